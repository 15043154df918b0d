"""Runs again from initial weights that differ in the last bit.

`python -m companion.studies.rounding`, from the book's folder, makes `data/rounding.parquet`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pandas as pd
import torch

from companion.core.measures import measure
from companion.core.network import Parameters, starting_batch
from companion.core.settings import MASKS, Settings
from companion.engine import driver
from companion.sweeps.runs import write_runs
from companion.sweeps.sweep import PAPER_SIZES
from companion.version import library_versions

SEEDS = range(1000, 1200)
"""Of the powered sweep, whose runs are trained again."""
FEW_SEEDS = SEEDS[:30]
"""Of the shorter trainings."""
FEWER_STEPS = (500, 1000)
"""Their lengths; the powered sweep's is 2,000."""


def one_ulp_up(initial: Parameters) -> Parameters:
    """Return the parameters with every w moved to the next number above it: by one unit in the last place.

    Book: chapter "How far rounding travels", section "The last bit".

    Args:
        initial: w, b, a of shape (..., neurons), c of shape (...).

    Returns:
        The same, with w replaced.
    """
    return initial._replace(w=torch.nextafter(initial.w, torch.full_like(initial.w, torch.inf)))


def trained_again(
    masks: Iterable[str], sizes: Iterable[int], seeds: Sequence[int], steps: int = 2000, moved: bool = True
) -> pd.DataFrame:
    """Train runs of a sweep's nominal settings with the fast engine, on all cores, from w one ulp up or as drawn.

    Book: chapter "How far rounding travels", section "The last bit".

    Args:
        masks: names in `companion.core.losses.MASKS`.
        sizes: numbers of training points and neurons, each at least 2.
        seeds: each at least 0.
        steps: Adam steps, at least 0.
        moved: whether w starts one ulp up.

    Returns:
        One row a run, ordered as the arguments are: mask, size, seed and the four metrics of
        `companion.core.measures.measure`.

    Raises:
        ValueError: as `companion.engine.driver.train`.
    """

    def group(key: tuple[str, int]) -> pd.DataFrame:
        mask, size = key
        x, y, start = starting_batch(size, seeds)
        trained = driver.train(x, y, one_ulp_up(start) if moved else start, Settings(mask, steps=steps))
        return pd.DataFrame({"mask": mask, "size": size, "seed": seeds, **measure(x, y, trained.parameters)})

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return pd.concat(pool.map(group, product(masks, sizes)), ignore_index=True)


def write_rounding(root: Path = Path()) -> None:
    """Train the powered sweep's runs again from w one ulp up and write `data/rounding.parquet`.

    Some of the largest size are trained for fewer steps as well, from w as drawn and from one ulp up.

    Args:
        root: the book's folder.
    """
    parts = [trained_again(MASKS, PAPER_SIZES, list(SEEDS)).assign(steps=2000, moved=True)]
    for steps, moved in product(FEWER_STEPS, (False, True)):
        again = trained_again(MASKS, PAPER_SIZES[-1:], list(FEW_SEEDS), steps, moved)
        parts.append(again.assign(steps=steps, moved=moved))
    table = pd.concat(parts, ignore_index=True)
    table.attrs["versions"] = library_versions()
    write_runs(table, root / "data/rounding.parquet")


if __name__ == "__main__":
    write_rounding()
