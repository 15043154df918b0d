"""Stored runs: written whole, read with the settings that made them, and summarised over seeds."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import bootstrap, sem, trim_mean

from companion.core.metrics import match
from companion.core.network import Parameters, activations, predict, prototypes
from companion.core.settings import Settings
from companion.sweeps.store import write_whole
from companion.sweeps.sweep import OF_SETTINGS, SETTING

WINDOW = (-1.5, 2.5)
"""Inputs drawn in pictures of prototypes; those beyond stand as arrows at the edge."""


def settings_in(runs: pd.DataFrame) -> list[Settings]:
    """Return the settings of stored runs, in the order in which they first stand there; a missing column is nominal.

    Args:
        runs: one row a run.
    """
    columns = [name for name in runs if name in OF_SETTINGS]
    rows = runs[columns].drop_duplicates().to_dict("records")
    return [Settings.of({SETTING.get(str(name), str(name)): value for name, value in row.items()}) for row in rows]


def write_runs(table: pd.DataFrame, out: str | Path) -> Path:
    """Write a sweep's table to a Parquet file, whole or not at all.

    Args:
        table: what `run_sweep` returned; its versions go into the file's metadata.
        out: path ending in .parquet, in a folder that exists; a file already there is replaced
            only once the new one is complete.

    Returns:
        The path written.

    Raises:
        ValueError: if the path is not allowed.
    """
    path = check_out(out)
    whole = io.BytesIO()
    table.to_parquet(whole, index=False)
    write_whole(path, whole.getvalue())
    return path


def check_out(out: str | Path) -> Path:
    """Return `out` as a path that a table can be written to.

    Raises:
        ValueError: if it does not end in .parquet or its folder does not exist.
    """
    path = Path(out) if isinstance(out, str | Path) else Path()
    if path.suffix != ".parquet":
        raise ValueError(f"out: {out!r} was given; allowed is a path that ends in .parquet")
    if not path.parent.is_dir():
        raise ValueError(f"out: the folder of {str(out)!r} does not exist; allowed is a file in an existing folder")
    return path


def summary(runs: pd.DataFrame, metric: str, by: Sequence[str] = ("mask", "size")) -> pd.DataFrame:
    """Summarise a metric over seeds: the paper's mean and SEM, and what heavy tails ask for beside them.

    Book: chapter "The full replication", section "How the runs are summarised".

    Args:
        runs: one row a run.
        metric: a column, such as "reconstruction_error".
        by: columns that name a group.

    Returns:
        One row a group: by, n, mean, sem (standard error of the mean), median, trimmed (mean without the
        highest and lowest 10 %), low and high (95 % bootstrap interval of the median: percentile method,
        2,000 resamples, seed 0). Of a single run, sem, low and high are NaN.
    """
    rows = []
    for key, values in runs.groupby(list(by), sort=False)[metric]:
        array = values.to_numpy()
        low, high = _median_interval(array) if len(array) > 1 else (np.nan, np.nan)
        rows.append(
            {
                **dict(zip(by, key, strict=True)),
                "n": len(array),
                "mean": array.mean(),
                "sem": sem(array) if len(array) > 1 else np.nan,
                "median": np.median(array),
                "trimmed": trim_mean(array, 0.1),
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows)


def _median_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the median."""
    rng = np.random.default_rng(0)
    interval = bootstrap((values,), np.median, n_resamples=2000, method="percentile", rng=rng).confidence_interval
    return float(interval.low), float(interval.high)


def groups_of(runs: pd.DataFrame, *by: str) -> Iterable[tuple[Any, pd.DataFrame]]:
    """Return the runs that agree in some columns, each group with its values there, in the order of their first runs.

    Pandas' own types say of these values no more than that they can be hashed.
    """
    return runs.groupby(list(by), sort=False)


def median_run(runs: pd.DataFrame, mask: str, size: int) -> pd.Series:
    """Return the run of a mask and size whose E is the median one (the lower of the two middle ones).

    Args:
        runs: one row a run, weights included.
        mask, size: which runs to choose from.

    Raises:
        ValueError: if there is no such run.
    """
    chosen = runs[(runs["mask"] == mask) & (runs["size"] == size)].sort_values("reconstruction_error", kind="stable")
    if chosen.empty:
        raise ValueError(f"runs: none of mask {mask!r} and size {size} was given; allowed are runs that hold some")
    return chosen.iloc[(len(chosen) - 1) // 2]


def stored_networks(runs: pd.DataFrame) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    """Return the data and the trained networks of stored runs of one size, as one batch.

    Args:
        runs: one row a run, weights included.

    Returns:
        x and y of shape (runs, size); w, b, a of shape (runs, size) and c of shape (runs,).
    """
    x, y, w, b, a = (torch.from_numpy(np.stack(runs[name].to_numpy())) for name in ("x", "y", "w", "b", "a"))
    return x, y, Parameters(w, b, a, torch.from_numpy(runs["c"].to_numpy(dtype=np.float64, copy=True)))


def originals_and_reconstructions(runs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y, prototypes x̂ and values f(x̂) of runs of one size, each of shape (runs, size).

    Args:
        runs: one row a run, weights included.
    """
    x, y, parameters = stored_networks(runs)
    positions = prototypes(parameters.w, parameters.b)
    values = predict(positions, *parameters)
    return x.numpy(), y.numpy(), positions.numpy(), values.numpy()


def reconstruction_points(run: pd.Series) -> pd.DataFrame:
    """Return where a run's neurons stand: one row a neuron.

    Args:
        run: one row of a sweep, weights included.

    Returns:
        neuron, prototype x̂, value f(x̂), activation (mean response over the training inputs), expelled (outside
        the samples' range), and the matched original's x and y with their distance.
    """
    x, y, w, b, a, c = (
        torch.tensor(np.asarray(run[name]), dtype=torch.float64) for name in ("x", "y", "w", "b", "a", "c")
    )
    positions = prototypes(w, b)
    values = predict(positions, w, b, a, c)
    matching = match(x, y, positions, values)
    sample = np.argsort(matching.neuron)
    return pd.DataFrame(
        {
            "neuron": np.arange(len(w)),
            "prototype": positions.numpy(),
            "value": values.numpy(),
            "activation": activations(x, w, b).mean(0).numpy(),
            "expelled": ((positions < x.min()) | (positions > x.max())).numpy(),
            "x": x.numpy()[sample],
            "y": y.numpy()[sample],
            "distance": matching.distance[sample],
        }
    )
