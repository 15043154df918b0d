"""Prototypes through training: their paths under every mask, and what a page needs to set them in motion.

`python -m companion.studies.motion`, from the book's folder, makes `data/trajectories.parquet`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from companion.core.checks import require_integer
from companion.core.data import sample_task
from companion.core.metrics import expelled_fraction
from companion.core.network import initial_parameters
from companion.core.settings import MASK_LABELS, MASKS, Settings
from companion.sweeps.runs import WINDOW, groups_of, write_runs
from companion.version import library_versions

SIZES = (5, 20, 100)
FRAMES = 100
"""Kept steps, besides the start, if there are enough of them."""
UNITS = 1000
"""Parts of the window that a position is rounded to on the page."""


def kept_steps(steps: int = 2000) -> list[int]:
    """Return the steps at which positions are kept: `steps` times (k / FRAMES)², rounded, for k = 0 … FRAMES.

    They lie evenly on an axis of square roots: half of them in the first quarter of training, which moves most.
    Book: chapter "Prototypes in motion", equation (kept).

    Args:
        steps: Adam steps in all, at least 1.

    Returns:
        Increasing steps from 0 to `steps`, none twice.

    Raises:
        ValueError: if steps is out of range.
    """
    steps = require_integer("steps", steps, least=1)
    return sorted({round(steps * k * k / FRAMES**2) for k in range(FRAMES + 1)})


def trajectories(
    sizes: Iterable[int] = SIZES, masks: Iterable[str] = tuple(MASKS), seed: int = 1000, steps: int = 2000
) -> pd.DataFrame:
    """Train one run of every mask and size with the fast engine, and return its prototypes at the kept steps.

    λ = 1 and τ = 1e-4, the nominal settings. Book: chapter "Prototypes in motion", section "What is kept".

    Args:
        sizes: numbers of training points and neurons, each at least 2.
        masks: names in `companion.core.losses.MASKS`.
        seed: at least 0; masks of one size share data and initial weights.
        steps: Adam steps, at least 1.

    Returns:
        One row a prototype and kept step: mask, size, step, neuron (from 0) and position (x̂, in units of the input);
        the settings and library versions in `attrs`.

    Raises:
        ValueError: if an argument is out of range.
    """
    from companion.engine import driver  # numba, which a reader of stored positions does not need

    record, frames, settings = kept_steps(steps), [], Settings(steps=steps)
    for size in sizes:
        (x, y), initial = sample_task(size, seed), initial_parameters(size, seed)
        for mask in masks:
            path = driver.train(x, y, initial, settings.but(mask=mask), record).trajectory
            assert path is not None  # steps are asked for
            columns = {
                "step": np.repeat(record, size),
                "neuron": np.tile(np.arange(size), len(record)),
                "position": path.numpy().reshape(-1),
            }
            frames.append(pd.DataFrame({"mask": mask, "size": size, **columns}))
    table = pd.concat(frames, ignore_index=True)
    same = {"seed": seed, "strength": settings.strength, "temperature": settings.temperature, "steps": steps}
    same |= {"engine": "fast", "learning_rate": settings.step_size, "target": str(settings.target)}
    table.attrs = same | {"versions": library_versions()}
    return table


def outside(moves: pd.DataFrame) -> pd.DataFrame:
    """Return how many prototypes lie outside the samples' range at each kept step.

    Book: chapter "Expulsion", equation (expelled), times N.

    Args:
        moves: what `trajectories` returned.

    Returns:
        One row a mask, size and kept step, in that order: mask, size, step, outside (a count).
    """
    frames = []
    for (size, mask), path in groups_of(moves, "size", "mask"):
        at = path.pivot(index="step", columns="neuron", values="position")
        x, _ = sample_task(size, moves.attrs["seed"])
        counts = np.rint(size * expelled_fraction(x.expand(len(at), -1), at)).astype(int)
        frames.append(pd.DataFrame({"mask": mask, "size": size, "step": at.index, "outside": counts}))
    return pd.concat(frames, ignore_index=True)


def expulsions(counts: pd.DataFrame) -> pd.DataFrame:
    """Return how many prototypes training takes out of the samples' range on balance, and by when half of them are out.

    Book: chapter "Prototypes in motion", equation (half).

    Args:
        counts: what `outside` returned, for one run of each mask and size or summed over several.

    Returns:
        One row a mask and size: mask, size, start and end (prototypes outside before and after training), net
        (end - start) and half (the first kept step by which outside - start is at least net / 2; NaN unless net > 0).
    """
    rows = []
    for (size, mask), path in counts.groupby(["size", "mask"], sort=False):
        start, end = path["outside"].iloc[0], path["outside"].iloc[-1]
        reached = path["step"][2 * (path["outside"] - start) >= end - start]
        half = float(reached.iloc[0]) if end > start else np.nan
        rows.append({"mask": mask, "size": size, "start": start, "end": end, "net": end - start, "half": half})
    return pd.DataFrame(rows)


def window_units(positions: np.ndarray) -> np.ndarray:
    """Return positions in whole thousandths of the window; -1 stands for all to its left, 1001 for all to its right."""
    low, high = WINDOW
    units = np.rint((np.clip(positions, low, high) - low) / (high - low) * UNITS).astype(int)
    return np.select([positions < low, positions > high], [-1, UNITS + 1], units)


def page_data(moves: pd.DataFrame) -> dict[str, Any]:
    """Return what `assets/motion.js` draws, ready for JSON.

    Args:
        moves: what `trajectories` returned.

    Returns:
        window; steps (the kept ones); sizes: for each N the samples and runs, each with its mask, label,
        the number of prototypes outside at each kept step, and where they are drawn (`window_units`), shape
        (kept steps, neurons).
    """
    counts = outside(moves).set_index(["size", "mask"])["outside"]
    sizes: dict[str, Any] = {}
    for (size, mask), path in groups_of(moves, "size", "mask"):
        x, _ = sample_task(size, moves.attrs["seed"])
        drawn = window_units(path["position"].to_numpy()).reshape(-1, size)
        of_size = sizes.setdefault(str(size), {"samples": window_units(x.numpy()).tolist(), "runs": []})
        found = {"mask": mask, "label": MASK_LABELS[mask], "outside": counts[size, mask].tolist()}
        of_size["runs"].append(found | {"drawn": drawn.tolist()})
    return {"window": list(WINDOW), "steps": sorted(moves["step"].unique().tolist()), "sizes": sizes}


if __name__ == "__main__":
    write_runs(trajectories(), "data/trajectories.parquet")
