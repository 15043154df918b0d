"""What one structural loss does alone, over the stored runs: its mask against Std, size by size."""

from __future__ import annotations

import pandas as pd

from companion.core.settings import MASK_LABELS
from companion.sweeps.runs import summary


def against_std(runs: pd.DataFrame, mask: str, metric: str = "reconstruction_error") -> pd.DataFrame:
    """Return a metric's medians and means over seeds of Std and of another mask.

    Book: chapter "Coverage", section "Over the 480 runs"; chapter "Separation", section "Over the 480 runs"; chapter
    "Overlap", section "Over the 480 runs".

    Args:
        runs: one row a run.
        mask: which is compared, such as "010".
        metric: a column.

    Returns:
        One row a size (the index, N); columns such as "000 Std, median" and "010 Cov, mean", the medians first.
    """
    found = summary(runs[runs["mask"].isin(["000", mask])], metric)
    table = found.pivot(index="size", columns="mask", values=["median", "mean"])
    table.columns = [f"{MASK_LABELS[of]}, {statistic}" for statistic, of in table.columns]
    return table.rename_axis("N")
