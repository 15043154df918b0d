"""The tails of E: which runs and which neurons carry its mean, and how heavy -b/w makes them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.stats import bootstrap

from companion.core.data import sample_task
from companion.core.metrics import match
from companion.core.network import Parameters, initial_parameters, prototypes, starting_batch
from companion.core.settings import Settings
from companion.engine import driver
from companion.judging.paired import RESAMPLES, Interval
from companion.sweeps.runs import groups_of, originals_and_reconstructions


def worst_share(values: ArrayLike, fraction: float) -> float:
    """Return the share of a sum owed to the largest `fraction` of its terms: at least one, rounded up.

    Book: chapter "Tails", section "Which runs make a mean".

    Args:
        values: terms of at least 0, shape (terms,).
        fraction: in (0, 1]; of equal terms this would be the share.

    Returns:
        Share in [0, 1].
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    count = max(1, math.ceil(fraction * len(ordered) - 1e-9))
    return float(ordered[-count:].sum() / ordered.sum())


def neurons(runs: pd.DataFrame) -> pd.DataFrame:
    """Return every neuron of every run: where it was before training and after, and what it adds to E.

    Book: chapter "Tails", section "What happened to the worst".

    Args:
        runs: one row a run, weights included.

    Returns:
        One row a neuron, the neurons of a run together: mask, size, seed, neuron; start_w and start, its w and x̂
        before training; w and prototype, after it; crossed, whether w changed its sign between the two; expelled,
        whether x̂ ended outside the samples' range; and of the two parts of `distance`, that to its matched original,
        sideways |x̂ - x| and upright |f(x̂) - y|.
    """
    parts = []
    for (mask, size), group in groups_of(runs, "mask", "size"):
        x, y, positions, values = originals_and_reconstructions(group)
        w = np.stack(group["w"].to_numpy())
        _, _, start = starting_batch(size, group["seed"].tolist())
        distance, sample = np.empty(w.shape), np.empty(w.shape, dtype=np.int64)
        for row, run in enumerate(zip(x, y, positions, values, strict=True)):
            matching = match(*run)
            distance[row, matching.neuron] = matching.distance
            sample[row, matching.neuron] = np.arange(size)
        columns = {
            "neuron": np.tile(np.arange(size), (len(group), 1)),
            "start_w": start.w.numpy(),
            "start": prototypes(start.w, start.b).numpy(),
            "w": w,
            "prototype": positions,
            "crossed": np.sign(start.w.numpy()) != np.sign(w),
            "expelled": (positions < x.min(1, keepdims=True)) | (positions > x.max(1, keepdims=True)),
            "sideways": np.abs(positions - np.take_along_axis(x, sample, 1)),
            "upright": np.abs(values - np.take_along_axis(y, sample, 1)),
            "distance": distance,
        }
        names = {"mask": mask, "size": size, "seed": np.repeat(group["seed"].to_numpy(), size)}
        parts.append(pd.DataFrame({**names, **{name: value.ravel() for name, value in columns.items()}}))
    return pd.concat(parts, ignore_index=True)


def weight_path(mask: str, size: int, seed: int, steps: Sequence[int]) -> Parameters:
    """Return the parameters of one run at some steps of its training: the run is trained anew up to each.

    Training is deterministic, so these are the steps of one path; it costs the sum of the steps.
    Book: chapter "Tails", section "What happened to the worst".

    Args:
        mask: one of `companion.core.losses.MASKS`.
        size: number of neurons and training points.
        seed: at least 0.
        steps: numbers of Adam steps, at least 0 each.

    Returns:
        w, b, a of shape (steps, neurons), c of shape (steps,).
    """
    x, y = sample_task(size, seed)
    start = initial_parameters(size, seed)
    found = [driver.train(x, y, start, Settings(mask, steps=step)).parameters for step in steps]
    return Parameters(*(torch.stack(values) for values in zip(*found, strict=True)))


def tail_exponent(run: ArrayLike, values: ArrayLike, threshold: float) -> Interval:
    """Return α of a tail P(value > t) ~ t^-α above a threshold: Hill's estimate [hill1975] and its 95 % interval.

    The mean exists if α > 1, the variance if α > 2. The interval is a bootstrap over runs (percentiles), since the
    neurons of a run do not end up independent of one another.
    Book: chapter "Tails", section "How heavy the tail is".

    Args:
        run: which run each value is from, shape (values,).
        values: at least 0, shape (values,).
        threshold: positive.

    Returns:
        α and the ends of its interval; NaN where fewer than two runs have a value above the threshold.
    """
    values = np.asarray(values, dtype=np.float64)
    beyond = values > threshold
    logs = np.log(values[beyond] / threshold)
    sums = pd.DataFrame({"count": 1.0, "sum": logs}).groupby(np.asarray(run)[beyond]).sum()
    if len(sums) < 2:
        return Interval(math.nan, math.nan, math.nan)
    ends = bootstrap(
        (sums["count"].to_numpy(), sums["sum"].to_numpy()),
        lambda count, total, axis: count.sum(axis) / total.sum(axis),
        paired=True,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(float(beyond.sum() / logs.sum()), float(ends.low), float(ends.high))


def spread_of_studies(values: ArrayLike, seeds: int = 10, studies: int = RESAMPLES) -> dict[str, float]:
    """Return how much a mean, a trimmed mean and a median would vary from one study of a few seeds to the next.

    Book: chapter "Tails", section "Why medians".

    Args:
        values: one metric of one group, positive, shape (runs,); the runs that studies are drawn from.
        seeds: runs of a study, drawn without replacement.
        studies: number of studies; their random stream has seed 0, so groups of equal length share the draws.

    Returns:
        For "mean", "trimmed" (without the highest and lowest tenth) and "median": the 97.5th percentile of the
        statistic over the studies, divided by the 2.5th.
    """
    values = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(0).random((studies, len(values))).argsort(1)[:, :seeds]
    ordered = np.sort(values[drawn], axis=1)
    cut = seeds // 10
    statistics = {
        "mean": ordered.mean(1),
        "trimmed": ordered[:, cut : seeds - cut].mean(1),
        "median": np.median(ordered, axis=1),
    }
    return {name: float(np.divide(*np.percentile(found, [97.5, 2.5]))) for name, found in statistics.items()}
