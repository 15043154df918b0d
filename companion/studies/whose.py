"""Whose data: a run's E to fresh samples of its data's distribution, and how near its prototypes come to each.

`python -m companion.studies.whose`, from the book's folder, makes `data/whose.parquet`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from companion.core.checks import require_finite
from companion.core.data import TARGETS, fresh_samples, random_stream, sample_task
from companion.core.metrics import reconstruction_error
from companion.core.settings import MASK_LABELS
from companion.sweeps.runs import originals_and_reconstructions, write_runs
from companion.version import library_versions

DRAWS = 9
"""Fresh samples of each size and seed; an odd number, so that their median is one of them."""
RANDOM, PERFECT = "random prototypes", "prototypes at the samples"
"""What stands beside the masks: what knowing nothing of the points, and all of them, would look like."""


def fresh_error(x: ArrayLike, y: ArrayLike, prototypes: ArrayLike, values: ArrayLike) -> np.ndarray:
    """Return E of a run to fresh samples of its data's distribution, in place of the points it was trained on.

    Book: chapter "Whose data?", equation (fresh).

    Args:
        x, y: of `companion.core.data.fresh_samples`, shape (draws, size).
        prototypes: x̂, shape (..., neurons) with neurons = size.
        values: f(x̂), shape (..., neurons).

    Returns:
        E to each fresh sample, in units of the input, shape (..., draws).

    Raises:
        ValueError: if shapes do not fit or a value is not finite.
    """
    own = [np.asarray(given, dtype=np.float64)[..., None, :] for given in (prototypes, values)]
    fresh = [np.asarray(given, dtype=np.float64) for given in (x, y)]
    shape = np.broadcast_shapes(own[0].shape, fresh[0].shape)
    return np.asarray(reconstruction_error(*(np.broadcast_to(given, shape) for given in (*fresh, *own))))


def nearest_distance(x: ArrayLike, prototypes: ArrayLike) -> np.ndarray | float:
    """Return the mean distance from the prototypes inside [0, 1] to the nearest sample, along the input.

    [0, 1] is where samples can lie, whichever were drawn; prototypes beyond it count for nothing.
    Book: chapter "Whose data?", equation (nearest).

    Args:
        x: inputs of a sample, shape (..., samples).
        prototypes: x̂, shape (..., neurons), leading dimensions as those of `x` or broadcast with them.

    Returns:
        Mean distance in units of the input, shape (...); NaN where no prototype is inside. A float for one run.

    Raises:
        ValueError: if leading dimensions do not fit or a value is NaN or, in x, infinite.
    """
    data, positions = np.asarray(x, dtype=np.float64), np.asarray(prototypes, dtype=np.float64)
    require_finite(x=data)
    if np.isnan(positions).any():
        raise ValueError("prototypes: NaN was given; allowed are numbers")
    inside = (positions >= 0) & (positions <= 1)
    nearest = np.abs(data[..., None, :] - np.where(inside, positions, 0.0)[..., None]).min(-1)
    count = inside.sum(-1)
    mean = np.where(count > 0, (nearest * inside).sum(-1) / np.maximum(count, 1), np.nan)
    return mean if mean.ndim else float(mean)


def measure_runs(runs: pd.DataFrame, draws: int = DRAWS) -> pd.DataFrame:
    """Return E and the nearest distance of runs, each to its own points and to fresh samples; and those of two anchors.

    Book: chapter "Whose data?", section "Fresh samples".

    Args:
        runs: one row a run, with its weights, of the sine.
        draws: fresh samples, at least 1.

    Returns:
        Columns name (a mask's label, `RANDOM` or `PERFECT`), size, seed, E, nearest, and the lists fresh E and fresh
        nearest, each of `draws` numbers; by mask and size, then the anchors.
    """
    rows: list[dict[str, object]] = []
    for (mask, _), group in runs.groupby(["mask", "size"]):
        own = zip(group["seed"], *originals_and_reconstructions(group), strict=True)
        rows += [_distances(MASK_LABELS[str(mask)], seed, run, draws) for seed, *run in own]
    for size in sorted(runs["size"].unique().tolist()):
        for name in (RANDOM, PERFECT):
            for seed in sorted(runs["seed"].unique().tolist()):
                x, y = sample_task(size, seed)
                drawn = x.new_tensor(random_stream(size, seed, purpose=2).uniform(0.0, 1.0, size))
                anchor = (drawn, TARGETS["sine"](drawn)) if name == RANDOM else (x, y)
                rows.append(_distances(name, seed, (x, y, *anchor), draws))
    return pd.DataFrame(rows)


def _distances(name: str, seed: int, run: Iterable[ArrayLike], draws: int) -> dict[str, object]:
    """One row of `measure_runs`, of a run's x, y, prototypes and values."""
    x, y, positions, values = map(np.asarray, run)
    fresh_x, fresh_y = fresh_samples(len(x), seed, draws)
    return {
        "name": name,
        "size": len(x),
        "seed": seed,
        "E": reconstruction_error(x, y, positions, values),
        "nearest": nearest_distance(x, positions),
        "fresh E": fresh_error(fresh_x, fresh_y, positions, values),
        "fresh nearest": nearest_distance(fresh_x, positions),
    }


def write_whose(root: Path = Path()) -> None:
    """Measure the powered sweep's runs and write `data/whose.parquet`.

    Args:
        root: the book's folder.
    """
    table = measure_runs(pd.read_parquet(root / "data/powered.parquet"))
    table.attrs["versions"] = library_versions()
    write_runs(table, root / "data/whose.parquet")


if __name__ == "__main__":
    write_whose()
