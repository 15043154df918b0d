"""How well prototypes give back the training data, and how much of an average one run carries."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import pandas as pd

from companion.core.settings import MASK_LABELS
from companion.judging.chance import chance_summary
from companion.sweeps.runs import groups_of

Statistic = Literal["mean", "median"]
EXAMPLE = {"mask": "010", "size": 5, "seed": 1000}
"""The run that the chapter matches point by point."""


def example(runs: pd.DataFrame) -> pd.Series:
    """Return the run that the chapter matches point by point.

    Args:
        runs: the replication, weights included.
    """
    chosen = runs[(runs[list(EXAMPLE)] == pd.Series(EXAMPLE)).all(axis=1)]
    return chosen.iloc[0]


def leaning(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how much of each group's summed E its worst run carries, the groups that lean most first.

    Book: chapter "Reconstruction and its chance level", section "Heavy tails".

    Args:
        runs: one row a run.

    Returns:
        One row a mask (its label, the index) and size: N, mean, median, worst run's share of the sum.
    """
    share = "worst run's share of the sum"
    rows = [
        {
            "mask": MASK_LABELS[mask],
            "N": size,
            "mean": group["reconstruction_error"].mean(),
            "median": group["reconstruction_error"].median(),
            share: group["reconstruction_error"].max() / group["reconstruction_error"].sum(),
        }
        for (mask, size), group in groups_of(runs, "mask", "size")
    ]
    return pd.DataFrame(rows).sort_values(share, ascending=False, kind="stable").set_index("mask")


def by_mask(runs: pd.DataFrame, metric: str, statistic: Statistic = "median") -> pd.DataFrame:
    """Return a metric's mean or median over seeds, a row a size (the index, N) and a column a mask, by its bits.

    Args:
        runs: one row a run.
        metric: a column, such as "specialization_ratio".
        statistic: which.
    """
    # A mask all of whose runs are lost keeps its column.
    table = runs.pivot_table(index="size", columns="mask", values=metric, aggfunc=statistic, dropna=False)
    return table.rename_axis("N")


def against_chance(runs: pd.DataFrame) -> pd.DataFrame:
    """Return at each size chance's median E beside that of the mask whose median is lowest.

    Book: chapter "Reconstruction and its chance level", section "Chance".

    Args:
        runs: one row a run.

    Returns:
        One row a size (the index, N): chance, median E; best mask; its median E; times chance; masks below chance.
    """
    errors, chance = by_mask(runs, "reconstruction_error"), chance_summary(runs).set_index("size")["median"]
    return pd.DataFrame(
        {
            "chance, median E": chance,
            "best mask": errors.idxmin(axis=1).map(MASK_LABELS),
            "its median E": errors.min(axis=1),
            "times chance": errors.min(axis=1) / chance,
            "masks below chance": errors.lt(chance, axis=0).sum(axis=1),
        }
    ).rename_axis("N")


def specialization(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the median specialization ratio, a row a size and a column a mask, beside that of random choice.

    Book: chapter "Reconstruction and its chance level", section "Specialization".

    Args:
        runs: one row a run.
    """
    shares = by_mask(runs, "specialization_ratio").rename(columns=MASK_LABELS)
    shares["random choice"] = [1 - (1 - 1 / size) ** size for size in shares.index]
    return shares


@cache
def stored_runs(data: Path) -> pd.DataFrame:
    """Return the replication."""
    return pd.read_parquet(data / "replication.parquet")


@cache
def stored_sweep(data: Path) -> pd.DataFrame:
    """Return the temperature sweep."""
    return pd.read_parquet(data / "temperature.parquet")


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "Reconstruction and its chance level", by name.

    Args:
        data: the folder of the stored runs.
    """
    runs = stored_runs(data)
    run, chance = example(runs), against_chance(runs)
    return {
        "example-error": f"{run['reconstruction_error']:.2f}",
        "below-chance": f"{chance['masks below chance'].sum()}",
        "combinations": f"{by_mask(runs, 'reconstruction_error').size}",
        "largest-times-chance": f"{chance['times chance'].iloc[-1]:.1f}",
    }
