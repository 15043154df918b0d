"""Separation: its push between two prototypes, and what it does to E alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from companion.core.losses import separation_loss
from companion.core.settings import MASK_LABELS, Settings
from companion.show import words
from companion.studies import handful
from companion.studies.alone import against_std
from companion.studies.reconstruction import stored_runs

TRAINED = {MASK_LABELS["000"]: Settings("000")} | {
    f"001 Sep, τ = {temperature:g}": Settings("001", temperature=temperature) for temperature in (1e-4, 1e-1)
}
"""The trainings of five neurons that the chapter draws."""


def force(distance: float, temperature: float) -> float:
    """Return the force with which one prototype pushes another away that is alone with it.

    Book: chapter "Separation", equation (separation-force).
    """
    return handful.force(lambda prototypes: separation_loss(prototypes, temperature), [0.0], distance)


def forces(distances: Iterable[float], temperatures: Iterable[float] = (1e-1, 1e-2, 1e-3)) -> pd.DataFrame:
    """Return the force between two prototypes, a row a distance and a column a temperature.

    Args:
        distances: between the two.
        temperatures: τ > 0.
    """
    named = {f"τ = {temperature:g}": partial(force, temperature=temperature) for temperature in temperatures}
    return handful.along(named, distances)


def peaks(temperatures: Iterable[float] = (1e-1, 1e-2, 1e-3, 1e-4)) -> pd.DataFrame:
    """Return at which distance the force peaks, looked for on a grid, beside the formula's √(τ/2).

    Book: chapter "Separation", section "What it does to a few neurons".

    Args:
        temperatures: τ > 0.

    Returns:
        One row a temperature (the index, τ): peak found at; √(τ/2); force at 4√τ over peak.
    """
    rows = []
    for temperature in temperatures:
        reach, expected = np.sqrt(temperature), np.sqrt(temperature / 2)
        found = forces(np.linspace(0, 2 * reach, 2001), [temperature]).iloc[:, 0]
        rows.append(
            {
                "τ": f"{temperature:g}",
                "peak found at": found.idxmax(),
                "√(τ/2)": expected,
                "force at 4√τ over peak": force(4 * reach, temperature) / force(expected, temperature),
            }
        )
    return pd.DataFrame(rows).set_index("τ")


def ends(paths: Mapping[str, torch.Tensor]) -> pd.DataFrame:
    """Return from where to where prototypes reach after training, as text, a row a setting.

    Args:
        paths: what `companion.studies.handful.paths` returned.
    """
    spans = {name: words.span(path[-1].tolist(), ".2f") for name, path in paths.items()}
    return pd.DataFrame({"prototypes after training": spans}).rename_axis("setting")


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "Separation", by name.

    Args:
        data: the folder of the stored runs.
    """
    errors = against_std(stored_runs(data), "001")
    lower = errors.index[errors["001 Sep, mean"] < errors["000 Std, mean"]]
    return {"sizes-of-lower-means": ", ".join(map(str, lower))}
