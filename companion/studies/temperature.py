"""The temperature of separation: E and expulsion over the stored sweep of τ, against crowding τN²."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from companion.core.settings import Settings
from companion.studies import collapse
from companion.studies.reconstruction import stored_sweep

CALM = 0.1
"""τN² up to which the chapter calls the ratio level."""
TRAINED = {
    f"τN² = {temperature * 25:g}": Settings("001", temperature=temperature) for temperature in (4e-4, 4e-3, 4e-2, 4e-1)
}
"""The trainings of five neurons that the chapter draws."""


def spread(paths: Mapping[str, torch.Tensor]) -> pd.DataFrame:
    """Return how far apart the outermost prototypes stand after training, a row a setting.

    Args:
        paths: what `companion.studies.handful.paths` returned.
    """
    found = {name: float(path[-1].max() - path[-1].min()) for name, path in paths.items()}
    return pd.DataFrame({"from the lowest prototype to the highest": found}).rename_axis("setting")


def ratios(sweep: pd.DataFrame) -> pd.DataFrame:
    """Return the median E of separation alone over that of Std, at every size and temperature.

    Book: chapter "The temperature of separation", section "All sizes on one axis".

    Args:
        sweep: the temperature sweep, one row a run.

    Returns:
        One row a size and temperature, both ascending: size, temperature, crowding (τN²), ratio.
    """
    found = collapse.grid(sweep)
    size, temperature = np.meshgrid(found.sizes, found.temperatures, indexing="ij")
    columns = {
        "size": size,
        "temperature": temperature,
        "crowding": temperature * size**2,
        "ratio": 10 ** collapse.log_ratio(found.values),
    }
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()})


def as_curves(found: pd.DataFrame) -> pd.DataFrame:
    """Return the ratios as `companion.show.charts.curves` draws them: x, value, curve.

    Args:
        found: what `ratios` returned.
    """
    names = "N = " + found["size"].astype(str)
    return pd.DataFrame({"x": found["crowding"], "value": found["ratio"], "curve": names})


def expelled(sweep: pd.DataFrame) -> pd.DataFrame:
    """Return the median expelled fraction of separation alone, a row a temperature and a column a size.

    Book: chapter "The temperature of separation", section "Does it expel?".

    Args:
        sweep: the temperature sweep, one row a run.
    """
    found = collapse.grid(sweep, "expelled_fraction")
    medians = pd.DataFrame(np.median(found.values[1], axis=-1).T, found.temperatures, found.sizes)
    return medians.rename(index="{:g}".format, columns="N = {}".format).rename_axis("τ")


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "The temperature of separation", by name.

    Args:
        data: the folder of the stored runs.
    """
    sweep = stored_sweep(data)
    found, largest = ratios(sweep), expelled(sweep)["N = 100"]
    calm = found["ratio"][found["crowding"] <= CALM]
    return {
        "calm-lowest": f"{calm.min():.2f}",
        "calm-highest": f"{calm.max():.2f}",
        "seeds": f"{sweep['seed'].min()}–{sweep['seed'].max()}",
        "outside-at-lowest": f"{largest.iloc[0]:.2f}",
        "outside-at-highest": f"{largest.iloc[-1]:.2f}",
    }
