"""Coverage: its pull on one prototype beside others, and what it does to E alone."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from companion.core.losses import coverage_loss
from companion.core.settings import MASK_LABELS, Settings
from companion.studies import handful
from companion.studies.alone import against_std
from companion.studies.reconstruction import stored_runs

SAMPLES = (0.1, 0.3, 0.5, 0.7, 0.9)
OTHERS = SAMPLES[:4]
"""Where four prototypes stand while the fifth is moved."""
TEMPERATURES = (1e-1, 1e-2, 1e-4)
ALONG = np.linspace(-1, 2, 301)
"""Where the chapter's picture puts the fifth."""
PLACES = (-2.0, -1.0, -0.5, 0.0, 0.8, 1.2, 2.0)
"""Where the chapter's table puts the fifth."""
TRAINED = {MASK_LABELS[mask]: Settings(mask) for mask in ("000", "010")}
"""The trainings of five neurons that the chapter draws."""


def pull(position: float, temperature: float) -> float:
    """Return the force of coverage on a fifth prototype at `position`, positive to the right.

    Book: chapter "Coverage", section "What it does to a few neurons".
    """
    samples = torch.tensor(SAMPLES, dtype=torch.float64)
    return handful.force(lambda prototypes: coverage_loss(samples, prototypes, temperature), OTHERS, position)


def pulls(places: Iterable[float]) -> pd.DataFrame:
    """Return the force of coverage on the fifth prototype, a row a place and a column a temperature.

    Args:
        places: where it is put.
    """
    forces = {f"τ = {temperature:g}": partial(pull, temperature=temperature) for temperature in TEMPERATURES}
    return handful.along(forces, places)


def shielded(position: float) -> bool:
    """Return whether every sample has another prototype at least as near as a fifth at `position`."""
    return all(min(abs(x - other) for other in OTHERS) <= abs(x - position) for x in SAMPLES)


def blind_spot() -> pd.Series:
    """Return the force at the nominal temperature on the fifth prototype where others shield it, by its place.

    Book: chapter "Coverage", section "What it does to a few neurons".
    """
    nominal = f"τ = {Settings().temperature:g}"
    return pulls(filter(shielded, PLACES))[nominal]


def felt_from(found: pd.DataFrame) -> float:
    """Return the lowest place at which the hottest force exceeds a hundredth of its own greatest.

    Book: chapter "Coverage", section "What it does to a few neurons".

    Args:
        found: what `pulls` returned, for ascending places.
    """
    strength = found[f"τ = {max(TEMPERATURES):g}"].abs()
    return float((strength > strength.max() / 100).idxmax())


def mean_nearest(x: torch.Tensor, prototypes: torch.Tensor) -> float:
    """Return the mean distance from a sample to its nearest prototype.

    Args:
        x: training inputs, shape (samples,).
        prototypes: x̂, shape (neurons,).
    """
    return float((x[:, None] - prototypes).abs().amin(1).mean())


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "Coverage", by name.

    Args:
        data: the folder of the stored runs.
    """
    runs, blind = stored_runs(data), blind_spot()
    errors = against_std(runs, "010")
    gain = errors["000 Std, median"] - errors["010 Cov, median"]
    largest = runs[(runs["mask"] == "010") & (runs["size"] == 100)]
    return {
        "strongest-shielded": f"{blind.abs().max():.1e}",
        "silent-places": ", ".join(f"{at:g}" for at in blind.index[blind == 0]),
        "felt-from": f"{felt_from(pulls(ALONG)):.2f}",
        "sizes": f"{len(errors)}",
        "lower-medians": f"{(gain > 0).sum()}",
        "lower-means": f"{(errors['010 Cov, mean'] < errors['000 Std, mean']).sum()}",
        "largest-gain": f"{gain.max():.2f}",
        "size-of-largest-gain": f"{gain.idxmax()}",
        "gain-at-100": f"{gain.loc[100]:.2f}",
        "outside-at-100": f"{largest['expelled_fraction'].mean():.2f}",
    }
