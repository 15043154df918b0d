"""Baselines: what prototypes score that were never trained, or were not told the training points, or were told them.

Each is a set of N prototypes for the training points of one (size, seed), with the network's values at them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from companion.core.checks import require_choice
from companion.core.data import TARGETS, sample_task
from companion.core.metrics import specialization_ratio
from companion.core.network import activations, initial_parameters, predict, prototypes
from companion.judging.chance import AT_CHANCE, chance_summary, target_of
from companion.sweeps.runs import require_table, summary

ORACLE = "oracle's draw"
"""Points drawn from the data's density, on the target's graph: the chance level. An oracle told both."""


class Points(NamedTuple):
    """One set of prototypes: their positions, the network's values there, and its responses at the samples."""

    prototypes: Tensor
    values: Tensor
    responses: Tensor


def untrained(size: int, seed: int, target: str) -> Points:
    """The network before its first step, with its own values, which know nothing of the target."""
    (x, _), start = sample_task(size, seed, target), initial_parameters(size, seed)
    positions = prototypes(start.w, start.b)
    return Points(positions, predict(positions, *start), activations(x, start.w, start.b))


def untrained_on_the_curve(size: int, seed: int, target: str) -> Points:
    """The prototypes before the first step, put on the target's graph: what their positions alone are worth."""
    start = untrained(size, seed, target)
    return start._replace(values=TARGETS[target](start.prototypes))


def evenly_spaced(size: int, seed: int, target: str) -> Points:
    """The middles of N equal parts of [0, 1], on the target's graph; the nearest is taken to respond most."""
    x, _ = sample_task(size, seed, target)
    positions = (torch.arange(size, dtype=x.dtype) + 0.5) / size
    return Points(positions, TARGETS[target](positions), -(x[:, None] - positions).abs())


def centred(size: int, seed: int, target: str) -> Points:
    """A radial-basis network with a centre at every sample, fitted there: k-means with N means ends in the same."""
    x, y = sample_task(size, seed, target)
    return Points(x, y, -(x[:, None] - x).abs())


BASELINES: dict[str, Callable[[int, int, str], Points]] = {
    "untrained": untrained,
    "untrained, on the curve": untrained_on_the_curve,
    "evenly spaced": evenly_spaced,
    "centres at the data": centred,
}
"""By name, what gives one baseline's points for a size, seed and target; `ORACLE` is drawn several times a seed."""
DRAWN = ("untrained", ORACLE, "evenly spaced")
"""Those that pictures show: centres at the data have E = 0, which no logarithmic axis has."""


@cache
def _level(name: str, metric: str, size: int, seed: int, target: str) -> float:
    x, y = sample_task(size, seed, target)
    points = BASELINES[name](size, seed, target)
    if metric == "specialization_ratio":
        return float(specialization_ratio(points.responses))
    return float(np.asarray(AT_CHANCE[metric](x[None], y[None], points.prototypes[None], points.values[None]))[0])


def baseline_summary(
    runs: pd.DataFrame, metric: str = "reconstruction_error", names: tuple[str, ...] = DRAWN
) -> pd.DataFrame:
    """Return what some baselines score by a metric, at the sizes and seeds of some runs.

    Book: chapter "Against chance", section "Four baselines".

    Args:
        runs: one row a run; without a column `target`, the sine's.
        metric: a name in `companion.judging.chance.AT_CHANCE`.
        names: of `BASELINES`, or `ORACLE`.

    Returns:
        One row a baseline and size: level (its name), size, mean, median, low and high (95 % bootstrap interval of the
        median, seeds resampled).

    Raises:
        ValueError: if a name or the metric is not allowed, or the runs have several targets.
    """
    runs, target = require_table("runs", runs, numbers=("size", "seed")), target_of(runs)
    metric = require_choice("metric", metric, AT_CHANCE)
    pairs = runs[["size", "seed"]].drop_duplicates().sort_values(["size", "seed"])
    found = []
    for name in names:
        if require_choice("names", name, (*BASELINES, ORACLE)) == ORACLE:
            found.append(chance_summary(runs, metric).assign(level=name))
            continue
        levels = [_level(name, metric, int(size), int(seed), target) for size, seed in pairs.itertuples(index=False)]
        found.append(summary(pairs.assign(level=name, **{metric: levels}), metric, ("level", "size")))
    return pd.concat(found, ignore_index=True)[["level", "size", "mean", "median", "low", "high"]]
