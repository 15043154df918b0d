"""Chance: what prototypes score that know the data's distribution and nothing of the data; and E's two parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from torch import Tensor

from companion.core.checks import MOST_POINTS, require_choice, require_integer, require_list, require_seed
from companion.core.data import TARGETS, random_stream, sample_task
from companion.core.metrics import (
    expelled_fraction,
    match_run,
    position_error,
    reconstruction_error,
    runs_of,
    specialization_ratio,
    value_error,
)
from companion.core.settings import Target
from companion.sweeps.runs import RESAMPLES, require_table


class ErrorParts(NamedTuple):
    """Parts of E: mean distances along the input and along the value, and what expelled prototypes add to the first."""

    position: np.ndarray | float
    value: np.ndarray | float
    expelled: np.ndarray | float


def split_error(x: ArrayLike, y: ArrayLike, prototypes: ArrayLike, values: ArrayLike) -> ErrorParts:
    """Return E's two axes apart, under the matching that E takes: |x_i - x̂_π(i)| and |y_i - f(x̂_π(i))|, both means.

    Neither is above E, and E is not above their sum.
    Book: chapter "Against chance", equation (parts).

    Args:
        x, y: training points, shape (..., samples).
        prototypes: x̂, shape (..., neurons) with neurons = samples.
        values: f(x̂), shape (..., neurons).

    Returns:
        The position error, the value error, and the share of the position error's sum, over N, that falls to
        prototypes outside [min x_i, max x_i]; each in units of the input, shape (...), floats for one run.

    Raises:
        ValueError: if the four shapes differ or a value is not finite.
    """
    rows, leading = runs_of(x, y, prototypes, values)
    parts = np.array([_split(*row) for row in rows]).T.reshape(3, *leading)
    return ErrorParts(*(part if leading else float(part) for part in parts))


def _split(x: np.ndarray, y: np.ndarray, prototypes: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """One run's position error, value error, and the expelled prototypes' part of the position error."""
    neuron = match_run(x, y, prototypes, values).neuron
    matched = prototypes[neuron]
    distance = np.abs(x - matched)
    outside = (matched < x.min()) | (matched > x.max())
    return distance.mean(), np.abs(y - values[neuron]).mean(), (distance * outside).mean()


AT_CHANCE: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], np.ndarray | float]] = {
    "reconstruction_error": reconstruction_error,
    "position_error": lambda x, y, drawn, values: position_error(x, drawn),
    "matched_position_error": lambda x, y, drawn, values: split_error(x, y, drawn, values).position,
    "value_error": value_error,
    # Of neurons of one common width the nearest responds most.
    "specialization_ratio": lambda x, y, drawn, values: specialization_ratio(-abs(x[..., None] - drawn[..., None, :])),
    "expelled_fraction": lambda x, y, drawn, values: expelled_fraction(x, drawn),
}
"""Metrics that have a chance level, each of x, y, prototypes and values, shape (draws, size)."""


def chance_level(
    size: int, seeds: Sequence[int], draws: int = 20, target: str = "sine", metric: str = "reconstruction_error"
) -> np.ndarray:
    """Return a metric of prototypes drawn afresh from the data's own distribution, on the target's graph.

    An oracle's draw: a network that knew density and target but nothing of *these* training points would score this.
    Its neurons are taken to be equally wide, so that the nearest one to a sample responds most.
    Book: chapter "Reconstruction and its chance level", section "Chance".

    Args:
        size: N, at least 2.
        seeds: seeds whose training data are compared with; each at least 0.
        draws: random sets of prototypes a seed, at least 1; the same for every metric.
        target: a name in `companion.core.data.TARGETS`.
        metric: a name in `AT_CHANCE`.

    Returns:
        The metric, shape (seeds, draws).

    Raises:
        ValueError: if an argument is out of range.
    """
    draws = require_integer("draws", draws, least=1, most=MOST_POINTS)
    metric, target = require_choice("metric", metric, AT_CHANCE), require_choice("target", target, TARGETS)
    size = require_integer("size", size, least=2, most=MOST_POINTS)
    return np.array([_chance(size, seed, draws, target, metric) for seed in require_list("seeds", seeds, require_seed)])


@cache
def _chance(size: int, seed: int, draws: int, target: str, metric: str) -> np.ndarray:
    """One seed's chance level, kept: every picture of E asks for it."""
    x, y = sample_task(size, seed, target)
    drawn = x.new_tensor(random_stream(size, seed, purpose=2).uniform(0.0, 1.0, (draws, size)))
    return np.asarray(AT_CHANCE[metric](x.expand(draws, -1), y.expand(draws, -1), drawn, TARGETS[target](drawn)))


def target_of(runs: pd.DataFrame) -> str:
    """Return the target of some runs; without a column `target`, the sine.

    Raises:
        ValueError: if they have several, or one that is none.
    """
    if "target" not in require_table("runs", runs):
        return Target.SINE
    targets = require_table("runs", runs, keys=("target",))["target"].unique().tolist()
    if len(targets) != 1:
        raise ValueError(f"runs: targets {', '.join(targets)} were given; allowed are runs of one target")
    return require_choice("target", targets[0], TARGETS)


def chance_summary(runs: pd.DataFrame, metric: str = "reconstruction_error") -> pd.DataFrame:
    """Return a metric's chance level by size, for the sizes and seeds of some runs.

    Book: chapter "Reconstruction and its chance level", section "Chance".

    Args:
        runs: one row a run; without a column `target`, the sine's.
        metric: a name in `AT_CHANCE`.

    Returns:
        One row a size, ascending: size, mean and median over all draws, low and high (95 % bootstrap interval of the
        median: percentile method, 2,000 resamples, seed 0; seeds are drawn, each with all its draws). Of a single
        seed, low and high are NaN.

    Raises:
        ValueError: if the metric has no chance level, or the runs have several targets.
    """
    metric = require_choice("metric", metric, AT_CHANCE)
    runs = require_table("runs", runs, numbers=("size", "seed"))
    sizes, seeds = (sorted(runs[name].unique().tolist()) for name in ("size", "seed"))
    target = target_of(runs)
    rows = []
    for size in sizes:
        level = chance_level(size, seeds, target=target, metric=metric)
        low, high = _level_interval(level) if len(seeds) > 1 else (np.nan, np.nan)
        rows.append({"size": size, "mean": level.mean(), "median": np.median(level), "low": low, "high": high})
    return pd.DataFrame(rows)


def _level_interval(level: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the median of draws, shape (seeds, draws): seeds resampled."""
    picked = np.random.default_rng(0).integers(len(level), size=(RESAMPLES, len(level)))
    low, high = np.percentile(np.median(level[picked].reshape(len(picked), -1), axis=1), [2.5, 97.5])
    return float(low), float(high)
