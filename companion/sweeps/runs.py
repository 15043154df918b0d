"""Stored runs: written whole, read with the settings that made them, and summarised over seeds."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from scipy.stats import bootstrap, sem, trim_mean

from companion.core.checks import array_of, require_a, require_choice, require_integer, require_list, shown
from companion.core.metrics import match
from companion.core.network import SHAPES, Parameters, activations, predict, prototypes, require_networks
from companion.core.settings import MASKS, Neuron, Settings
from companion.sweeps.store import COLUMNS, reason, temporary_of, write_whole
from companion.sweeps.sweep import OF_SETTINGS, SETTING

RESAMPLES = 2000
"""Bootstrap resamples of an interval; their random stream has seed 0."""
WINDOW = (-1.5, 2.5)
"""Inputs drawn in pictures of prototypes; those beyond stand as arrows at the edge."""


def require_table(
    name: str, given: Any, numbers: Sequence[str] = (), keys: Sequence[str] = (), lists: Sequence[str] = ()
) -> pd.DataFrame:
    """Return a table that has rows and some columns, its numbers in NumPy's types and its index named as no column.

    Args:
        name: of the argument, for the error.
        given: what should be a table.
        numbers: columns that must be there and hold real numbers.
        keys: columns that must be there and can name a group: no lists, no gaps; a sweep's of the sweep's kind.
        lists: columns that must be there.

    Returns:
        `given`, or a copy in which numbers of other types are NumPy's of 64 bits, and what is missing among them NaN.

    Raises:
        ValueError: naming what is missing, or a column that holds something else.
    """
    if not isinstance(given, pd.DataFrame) or given.empty or not given.columns.is_unique or given.columns.nlevels > 1:
        what = f"a table of {len(given)} rows" if isinstance(given, pd.DataFrame) else shown(given)
        allowed = "a table with rows, one level of columns, and no two of one name"
        raise ValueError(f"{name}: {what} was given; allowed is {allowed}")
    if set(given.index.names) & set(given.columns):
        given = given.reset_index(drop=True)
    if missing := [one for one in (*keys, *numbers, *lists) if one not in given]:
        raise ValueError(
            f"{name}: columns {shown(list(given))} were given; allowed are tables with {shown(missing)}, too"
        )
    kinds = {one: COLUMNS.field(one).type for one in keys if one in COLUMNS.names}
    for one in (*numbers, *(one for one, kind in kinds.items() if kind in (pa.int64(), pa.float64()))):
        column = _numbers(given[one])
        if column is None:
            raise ValueError(f"{name}: column {one!r} of {given[one].dtype} was given; allowed is one of numbers")
        if column.dtype != given[one].dtype:
            given = given.assign(**{one: column})
    for one in keys:
        names = kinds.get(one) == pa.string()
        fits = all(isinstance(value, str) if names else pd.api.types.is_hashable(value) for value in given[one])
        if not fits or given[one].isna().any():
            raise ValueError(f"{name}: column {one!r} was given with lists or gaps; allowed are names or numbers")
    return given


def _numbers(column: pd.Series) -> np.ndarray | None:
    """Return a column as whole or real numbers of 64 bits, what is missing as NaN; or None if it holds others."""
    values = column.to_numpy()
    if values.dtype == object and pd.api.types.is_numeric_dtype(column.dtype):
        values = column.astype(float).to_numpy()
    kinds = {"i": np.int64, "u": np.int64, "f": np.float64, "b": np.float64}
    return values.astype(kinds[values.dtype.kind], copy=False) if values.dtype.kind in kinds else None


def settings_in(runs: pd.DataFrame) -> list[Settings]:
    """Return the settings of stored runs, in the order in which they first stand there; a missing column is nominal.

    Args:
        runs: one row a run.

    Raises:
        ValueError: if there is no run, or a setting is none.
    """
    held = require_table("runs", runs)
    columns = [name for name in OF_SETTINGS if name in held]
    runs = require_table("runs", held, keys=columns)
    rows = runs[columns].drop_duplicates().to_dict("records")
    return [Settings.of({SETTING.get(str(name), str(name)): value for name, value in row.items()}) for row in rows]


def stored_table(root: Path, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the runs of data/`name`.parquet in the book's folder.

    Raises:
        ValueError: if there is no such file.
    """
    path = require_a(Path, "root", root) / "data" / f"{name}.parquet"
    try:
        return pd.read_parquet(path, columns=None if columns is None else list(columns))
    except (OSError, ValueError) as error:
        allowed = f"a folder that holds {path.name} in data/ ({str(error).splitlines()[0]})"
        raise ValueError(f"root: {shown(root)} was given; allowed is {allowed}") from None


def write_runs(table: pd.DataFrame, out: str | Path) -> Path:
    """Write a sweep's table to a Parquet file, whole or not at all.

    Args:
        table: what `run_sweep` returned; its versions go into the file's metadata.
        out: path ending in .parquet, in a folder that exists; a file already there is replaced
            only once the new one is complete.

    Returns:
        The path written.

    Raises:
        ValueError: if the path is not allowed, or Parquet has no type for a column.
        OSError: if the file cannot be written.
    """
    path, whole = check_out(out), io.BytesIO()
    try:
        require_a(pd.DataFrame, "table", table).to_parquet(whole, index=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"table: {str(error).splitlines()[0]}; allowed is what run_sweep returned") from None
    write_whole(path, whole.getvalue())
    return path


def check_out(out: str | Path) -> Path:
    """Return `out` as a path that a table can be written to: it is tried, so that no sweep ends in vain.

    Raises:
        ValueError: if it does not end in .parquet, is there and no file, or nothing can be written in its folder.
    """
    path = Path(out) if isinstance(out, str | Path) else Path()
    if path.suffix != ".parquet":
        raise ValueError(f"out: {shown(out)} was given; allowed is a path that ends in .parquet")
    temporary = temporary_of(path)
    try:
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except (OSError, ValueError) as error:
        raise ValueError(
            f"out: {str(out)!r} was given; allowed is a file in an existing folder that can be written to "
            f"({reason(error)})"
        ) from None
    if os.path.lexists(path) and not path.is_file():
        raise ValueError(f"out: {str(out)!r} was given, which is no file; allowed is a new file, or one to replace")
    return path


SUMMARY = ("n", "mean", "sem", "median", "trimmed", "low", "high")
"""Columns of a summary, beside those that name its groups."""


@np.errstate(all="ignore")
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
        2,000 resamples, seed 0). Of a single run, sem, low and high are NaN, and where a value is, all but n.

    Raises:
        ValueError: if a column is missing, or the metric's holds no numbers.
    """
    by, metric = require_list("by", by, partial(require_a, str)), require_a(str, "metric", metric)
    runs = require_table("runs", runs, [metric], by)
    for name in by:
        if name in SUMMARY:
            raise ValueError(f"by: {name!r} was given; allowed are other columns than the summary's own, {SUMMARY}")
    rows = []
    for key, values in runs.groupby(list(by), sort=False)[metric]:
        array = values.to_numpy()
        low, high = _median_interval(array) if len(array) > 1 and not np.isnan(array).any() else (np.nan, np.nan)
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
    interval = bootstrap((values,), np.median, n_resamples=RESAMPLES, method="percentile", rng=rng).confidence_interval
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
    runs = require_table("runs", runs, ["reconstruction_error"], ["mask", "size"])
    mask, size = require_choice("mask", mask, MASKS), require_integer("size", size, least=1)
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

    Raises:
        ValueError: if a column is missing, or its lists are not all of numbers and of one length.
    """
    runs = require_table("runs", runs, lists=("x", "y", "w", "b", "a"), numbers=("c",))
    x, y, w, b, a, c = (torch.from_numpy(array_of(name, list(runs[name]))) for name in ("x", "y", "w", "b", "a", "c"))
    require_networks(SHAPES[Neuron.LINE], Parameters(w, b, a, c), x=x, y=y)
    return x, y, Parameters(w, b, a, c)


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
    x, y, parameters = stored_networks(require_a(pd.Series, "run", run).to_frame().T.infer_objects())
    x, y, w, b, a, c = (value[0] for value in (x, y, *parameters))
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
