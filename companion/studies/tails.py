"""The tails of E: which runs and which neurons carry its mean, and how heavy -b/w makes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.stats import bootstrap

from companion.core.data import sample_task
from companion.core.metrics import match
from companion.core.network import Parameters, initial_parameters, prototypes, starting_batch
from companion.core.settings import MASK_LABELS, Settings
from companion.engine import driver
from companion.judging.paired import Interval
from companion.show import words
from companion.sweeps.runs import RESAMPLES, groups_of, originals_and_reconstructions

GROUP, RUN = ["mask", "size"], ["mask", "size", "seed"]
"""Columns that name a group of runs, and a run."""
NEAR_ZERO = 0.1
"""|w| below which a w counts as near zero; of the w before training one in a hundred is."""
CROSSED, SMALL, EITHER = "w changed its sign", "|w| ended below 0.1", "one or the other"
UPRIGHT = "farther off in height than in place"
"""What may have happened to a neuron: columns of `kinds`."""
FAR = 10.0
"""|x̂| beyond which the tail is looked at."""
BEFORE = "before training"
DRAWN = ("000", "001", "010", "100")
"""Masks of whose runs paths are drawn: no structural loss, and each of them alone."""
STEPS = (*range(0, 100, 2), *range(100, 2001, 10))
"""Steps of a path that are drawn."""
ENOUGH = 5
"""Runs of which a median is taken; that of fewer says nothing."""
STATISTICS = {"mean": "mean", "trimmed": "trimmed mean", "median": "median"}
"""What `spread_of_studies` compares, with its name in pictures."""
NAMES = {
    "size": "N",
    "error": "E",
    "share": "share of one neuron",
    "start_w": "w before",
    "w": "w after",
    "start": "x̂ before",
    "prototype": "x̂ after",
    "sideways": "off in place",
    "upright": "off in height",
    "changes": "sign changes of w",
}
"""Columns as tables head them."""


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


def worst_shares(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the shares of each group's sum of E owed to its worst runs.

    Book: chapter "Tails", section "Which runs make a mean".

    Args:
        runs: one row a run.

    Returns:
        Index mask and size; twentieth, the share of the worst twentieth of the runs, and one, that of the worst run.
    """
    errors = runs.groupby(GROUP)["reconstruction_error"]
    one = errors.max() / errors.sum()
    return pd.DataFrame({"twentieth": errors.apply(worst_share, fraction=0.05), "one": one})


def carriers(each: pd.DataFrame) -> pd.DataFrame:
    """Return of each run the neuron whose prototype lies farthest from its original.

    Book: chapter "Tails", section "What happened to the worst".

    Args:
        each: what `neurons` returned.

    Returns:
        Index mask, size and seed; the other columns of `neurons`; error, the run's E; share, of it owed to the neuron.
    """
    distances = each.groupby(RUN, sort=False)["distance"]
    found = each.loc[distances.idxmax()].set_index(RUN)
    return found.assign(error=distances.mean(), share=distances.max() / distances.sum())


def worst_runs(farthest: pd.DataFrame, fraction: float = 0.05) -> pd.DataFrame:
    """Return the runs of each group that have the highest E.

    Args:
        farthest: what `carriers` returned.
        fraction: of a group's runs, rounded up.
    """
    errors = farthest.groupby(GROUP)["error"]
    return farthest[errors.rank(ascending=False, method="first") <= np.ceil(fraction * errors.transform("size"))]


def kinds(each: pd.DataFrame) -> pd.DataFrame:
    """Return what happened to each neuron.

    Book: chapter "Tails", section "What happened to the worst".

    Args:
        each: rows of `neurons` or of `carriers`.

    Returns:
        As many rows, of booleans: `CROSSED`, `SMALL`, `EITHER`, `UPRIGHT`; and whether x̂ was outside before training.
    """
    crossed, small = each["crossed"], each["w"].abs() < NEAR_ZERO
    return pd.DataFrame(
        {
            CROSSED: crossed,
            SMALL: small,
            EITHER: crossed | small,
            "x̂ was outside [0, 1] before training": ~each["start"].between(0, 1),
            UPRIGHT: each["upright"] > each["sideways"],
        }
    )


def shares_of_kinds(each: pd.DataFrame, worst: pd.DataFrame) -> pd.DataFrame:
    """Return how frequent each kind is, a row a kind: among all neurons, and among the farthest of the worst runs.

    Args:
        each: what `neurons` returned.
        worst: what `worst_runs` returned; it has a column for all sizes together, and one for each.
    """
    found = kinds(worst)
    shares = pd.DataFrame({"all neurons": kinds(each).mean(), "the farthest of a worst run": found.mean()})
    by_size = found.groupby("size").mean().T.rename(columns=lambda size: f"… at N = {size}")
    return shares.join(by_size).rename_axis("share in which")


def named(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return columns of runs with the heads of a table: a row a run, by the label of its mask.

    Args:
        rows: with mask among the index's or the table's columns.
        columns: whose heads are in `NAMES`, or are their own.
    """
    table = rows.reset_index().set_index("mask")[list(columns)].rename(columns=NAMES)
    return table.rename(index=MASK_LABELS)


def highest_runs(farthest: pd.DataFrame, count: int = 10) -> pd.DataFrame:
    """Return the runs with the highest E and the neuron that carries each, as a table: a row a run.

    Args:
        farthest: what `carriers` returned, or rows of it.
        count: rows.
    """
    highest = farthest.nlargest(count, "error")
    columns = ["size", "seed", "error", "share", "start_w", "w", "start", "prototype", "sideways", "upright"]
    return named(highest.assign(share=highest["share"].map(words.percent)), *columns)


def drawn_runs(farthest: pd.DataFrame) -> pd.DataFrame:
    """Return of each mask in `DRAWN` the run of the highest E among those whose farthest neuron is off in place.

    Args:
        farthest: what `carriers` returned.
    """
    placed = farthest[~kinds(farthest)[UPRIGHT]].sort_values("error", ascending=False).reset_index()
    return placed[placed["mask"].isin(DRAWN)].drop_duplicates("mask").sort_values("mask", ignore_index=True)


def paths(drawn: pd.DataFrame, steps: Sequence[int] = STEPS) -> pd.DataFrame:
    """Return the paths of the farthest neurons of some runs: each run is trained anew, up to each step.

    Book: chapter "Tails", section "What happened to the worst".

    Args:
        drawn: what `drawn_runs` returned.
        steps: numbers of Adam steps, ascending.

    Returns:
        One row a mask and step: mask, step, w, prototype; and crossed, whether w has another sign than a step before.
    """
    parts = []
    for mask, size, seed, neuron in drawn[[*RUN, "neuron"]].itertuples(index=False):
        path = weight_path(mask, size, seed, steps)
        w, places = (values[:, neuron].numpy() for values in (path.w, prototypes(path.w, path.b)))
        crossed = np.r_[False, np.sign(w[1:]) != np.sign(w[:-1])]
        parts.append(pd.DataFrame({"mask": mask, "step": steps, "w": w, "prototype": places, "crossed": crossed}))
    return pd.concat(parts, ignore_index=True)


def path_panels(path: pd.DataFrame) -> dict[str, tuple[float | None, pd.DataFrame]]:
    """Return paths as `companion.show.charts.curve_panels` draws them: w, and the prototype -b/w.

    The prototype's curve has a gap where w changes its sign: it does not pass through the places between.

    Args:
        path: what `paths` returned.
    """
    curves = path.assign(curve=path["mask"].map(MASK_LABELS)).rename(columns={"step": "x"})
    gaps = curves[curves["crossed"]].assign(prototype=np.nan)
    gaps.index = gaps.index - 0.5  # before the row of the other sign
    broken = pd.concat([curves, gaps]).sort_index()
    frames = {"w": (0.01, curves, "w"), "prototype -b/w": (1.0, broken, "prototype")}
    return {
        title: (constant, frame[["x", column, "curve"]].rename(columns={column: "value"}))
        for title, (constant, frame, column) in frames.items()
    }


def drawn_table(drawn: pd.DataFrame, path: pd.DataFrame) -> pd.DataFrame:
    """Return the runs drawn with the weight and the prototype of their farthest neurons, a row a mask.

    Args:
        drawn: what `drawn_runs` returned.
        path: what `paths` returned of them.
    """
    changes = drawn["mask"].map(path.groupby("mask")["crossed"].sum())
    columns = ["size", "seed", "error", "start_w", "w", "start", "prototype", "changes"]
    return named(drawn.assign(changes=changes), *columns)


def sign_changes(each: pd.DataFrame) -> pd.DataFrame:
    """Return in how many runs some w ends with another sign than it began with, and E of these and of the others.

    Book: chapter "Tails", section "What happened to the worst".

    Args:
        each: what `neurons` returned.

    Returns:
        Index mask and size; runs; changed, those with such a w; the median E "with" and "without" one, both NaN where
        either side has fewer than `ENOUGH` runs.
    """
    runs = each.groupby(RUN, sort=False).agg(error=("distance", "mean"), changed=("crossed", "any")).reset_index()
    rows = []
    for (mask, size), group in groups_of(runs, *GROUP):
        sides = {
            name: group.loc[group["changed"] == side, "error"] for name, side in (("with", True), ("without", False))
        }
        enough = all(len(errors) >= ENOUGH for errors in sides.values())
        medians = {name: errors.median() if enough else math.nan for name, errors in sides.items()}
        rows.append({"mask": mask, "size": size, "runs": len(group), "changed": len(sides["with"]), **medians})
    return pd.DataFrame(rows).set_index(GROUP)


def with_and_without(changes: pd.DataFrame) -> pd.Series:
    """Return both medians of `sign_changes` as text: "0.73 / 0.61"; "–" where there are none."""
    texts = changes["with"].map("{:.2g}".format) + " / " + changes["without"].map("{:.2g}".format)
    return texts.where(changes["with"].notna(), "–")


def survival(values: ArrayLike, grid: np.ndarray) -> np.ndarray:
    """Return the share of values whose size is above each point of a grid.

    Args:
        values: shape (values,).
        grid: of at least 0, ascending, shape (points,).

    Returns:
        Shares in [0, 1], shape (points,).
    """
    ordered = np.sort(np.abs(np.asarray(values, dtype=np.float64)))
    return 1 - np.searchsorted(ordered, grid, side="right") / len(ordered)


def survival_curves(each: pd.DataFrame, masks: Sequence[str] = ("000", "010", "100", "101")) -> pd.DataFrame:
    """Return the share of prototypes farther from zero than t, before training, by formula, and after it.

    Book: chapter "Tails", equation (tail).

    Args:
        each: what `neurons` returned.
        masks: which to draw, of those that there are.

    Returns:
        Columns x (t), value and curve; each curve ends with the last t that some prototype is beyond.
    """
    grid = np.logspace(-1, 3, 81)
    found = {
        "before": survival(start_of(each)["start"], grid),
        "1/(20t)": 1 / (20 * grid),
        **{
            MASK_LABELS[mask]: survival(group["prototype"], grid)
            for (mask,), group in groups_of(each, "mask")
            if mask in masks
        },
    }
    return pd.concat(
        pd.DataFrame({"x": grid, "value": share, "curve": curve})[share > 0] for curve, share in found.items()
    )


def start_of(each: pd.DataFrame) -> pd.DataFrame:
    """Return the neurons of one mask: before training those of any other are where they are."""
    return each[each["mask"] == each["mask"].iloc[0]]


def tails_beyond(each: pd.DataFrame) -> pd.DataFrame:
    """Return how heavy the tail of |x̂| is by mask, all sizes together, and before training.

    Book: chapter "Tails", section "How heavy the tail is".

    Args:
        each: what `neurons` returned.

    Returns:
        One row a mask (its label, the index) and `BEFORE` for all: share of the prototypes beyond `FAR`; α, low and
        high, the exponent with its 95 % interval.
    """
    found = {MASK_LABELS[mask]: (group, group["prototype"]) for (mask,), group in groups_of(each, "mask")}
    before = start_of(each)
    rows = {}
    for name, (group, places) in {**found, BEFORE: (before, before["start"])}.items():
        exponent = tail_exponent(group.groupby(RUN, sort=False).ngroup(), places.abs(), FAR)
        rows[name] = {"share": (places.abs() > FAR).mean(), "α": exponent.value, **exponent._asdict()}
    return pd.DataFrame(rows).T[["share", "α", "low", "high"]].rename_axis("mask")


def tails_table(tails: pd.DataFrame) -> pd.DataFrame:
    """Return what `tails_beyond` found, written out."""
    intervals = [f"{low:.2f}–{high:.2f}" for low, high in zip(tails["low"], tails["high"], strict=True)]
    return pd.DataFrame(
        {
            "share beyond 10": tails["share"].map("{:.2%}".format),
            "α": tails["α"].map("{:.2f}".format),
            "95 % interval": intervals,
        }
    )


def spreads(runs: pd.DataFrame) -> pd.DataFrame:
    """Return `spread_of_studies` of E for each group: index mask and size; mean, trimmed and median.

    Book: chapter "Tails", section "Why medians".

    Args:
        runs: one row a run.
    """
    found = {key: spread_of_studies(group["reconstruction_error"]) for key, group in groups_of(runs, *GROUP)}
    return pd.DataFrame(found).T.rename_axis(GROUP)


def spread_curves(spread: pd.DataFrame) -> pd.DataFrame:
    """Return the median over the masks of what `spreads` found: columns x (N), value and curve."""
    middle = spread.groupby("size").median().rename(columns=STATISTICS).rename_axis("x")
    return middle.melt(var_name="curve", ignore_index=False).reset_index()


def spread_texts(spread: pd.DataFrame) -> pd.Series:
    """Return what `spreads` found as text: "2.7 / 2.4 / 2.3"."""
    return spread[list(STATISTICS)].map("{:.1f}".format).agg(" / ".join, axis=1)


def owed(each: pd.DataFrame) -> pd.DataFrame:
    """Return how much of E the expelled prototypes have, in the median run of each group.

    Book: chapter "Tails", section "What is owed to the expelled".

    Args:
        each: what `neurons` returned.

    Returns:
        Index mask and size; owed, their share of E, and expelled, their share of the prototypes: each the median over
        the runs.
    """
    outside = each["distance"].where(each["expelled"], 0.0)
    runs = each.assign(outside=outside).groupby(RUN, sort=False)[["outside", "distance", "expelled"]].sum()
    count = each.groupby(RUN, sort=False).size()
    shares = pd.DataFrame({"owed": runs["outside"] / runs["distance"], "expelled": runs["expelled"] / count})
    return shares.groupby(GROUP).median()


class Results(NamedTuple):
    """What the chapter finds, each as the function of its name has it."""

    runs: pd.DataFrame
    each: pd.DataFrame
    farthest: pd.DataFrame
    worst: pd.DataFrame
    shares: pd.DataFrame
    changes: pd.DataFrame
    tails: pd.DataFrame
    spread: pd.DataFrame
    parts: pd.DataFrame


@cache
def results(data: Path) -> Results:
    """Return what the chapter finds in the stored runs: seconds, for all neurons are matched."""
    runs = pd.read_parquet(data / "powered.parquet")
    each = neurons(runs)
    farthest = carriers(each)
    return Results(
        runs=runs,
        each=each,
        farthest=farthest,
        worst=worst_runs(farthest),
        shares=worst_shares(runs),
        changes=sign_changes(each),
        tails=tails_beyond(each),
        spread=spreads(runs),
        parts=owed(each),
    )


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "Tails", by name.

    Args:
        data: the folder of the stored runs.
    """
    found = results(data)
    return {
        "runs": f"{len(found.runs)}",
        "groups": f"{len(found.shares)}",
        **_of_shares(found.shares),
        **_of_the_worst(found.each, found.worst),
        **_of_changes(found.changes),
        **_of_tails(found.tails),
        **_of_spreads(found.spread),
        **_of_parts(found.parts),
    }


def _of_shares(shares: pd.DataFrame) -> dict[str, str]:
    """The numbers of the section "Which runs make a mean"."""
    by_size = shares["one"].groupby("size").median()
    return {
        "twentieth-median-share": f"{shares['twentieth'].median():.0%}",
        "one-largest-share": f"{shares['one'].max():.0%}",
        "one-share-smallest-size": f"{by_size.iloc[0]:.0%}",
        "one-share-largest-size": f"{by_size.iloc[-1]:.0%}",
        "one-above-a-quarter": f"{(shares['one'] > 0.25).sum()}",
    }


def _of_the_worst(each: pd.DataFrame, worst: pd.DataFrame) -> dict[str, str]:
    """The numbers of what happened to the worst runs' farthest neurons, and to all."""
    of_all, of_worst, distances = kinds(each), kinds(worst), each["distance"]
    return {
        "worst-either": f"{of_worst[EITHER].mean():.0%}",
        "worst-in-height": f"{of_worst[UPRIGHT].mean():.0%}",
        "worst-crossed": f"{of_worst[CROSSED].mean():.0%}",
        "worst-one-neuron-share": f"{worst['share'].median():.0%}",
        "worst-in-place-either": f"{of_worst.loc[~of_worst[UPRIGHT], EITHER].mean():.0%}",
        "all-either": f"{of_all[EITHER].mean():.1%}",
        "all-crossed": f"{of_all[CROSSED].mean():.1%}",
        "all-crossed-distances": f"{distances[of_all[CROSSED]].sum() / distances.sum():.0%}",
        "all-near-zero": f"{of_all[SMALL].mean():.1%}",
        "all-near-zero-distances": f"{distances[of_all[SMALL]].sum() / distances.sum():.0%}",
    }


def _of_changes(changes: pd.DataFrame) -> dict[str, str]:
    """The numbers of the runs in which some w changed its sign."""
    ratio = (changes["with"] / changes["without"]).dropna()
    largest = changes[changes.index.get_level_values("size") == changes.index.get_level_values("size").max()]
    return {
        "changes-compared": f"{len(ratio)}",
        "changes-higher": f"{(ratio > 1).sum()}",
        "changes-factor": f"{ratio.median():.2f}",
        "changes-factor-small-sizes": f"{ratio[ratio.index.get_level_values('size') <= 10].median():.2f}",
        "changed-largest-size": f"{largest['changed'].sum() / largest['runs'].sum():.0%}",
    }


def _of_tails(tails: pd.DataFrame) -> dict[str, str]:
    """The numbers of the section "How heavy the tail is"."""
    exponents, start = tails.drop(BEFORE), tails.T[BEFORE]
    low, high = exponents["low"], exponents["high"]
    fewer = exponents.index[exponents["share"] < start["share"]]
    return {
        "masks": f"{len(exponents)}",
        "exponent-least": f"{exponents['α'].min():.2f}",
        "exponent-most": f"{exponents['α'].max():.2f}",
        "exponent-before": f"{start['α']:.2f}",
        "exponent-before-low": f"{start['low']:.2f}",
        "exponent-before-high": f"{start['high']:.2f}",
        "exponent-holds-one": f"{((low <= 1) & (high >= 1)).sum()}",
        "exponent-above-one": f"{(low > 1).sum()}",
        "exponent-below-one": f"{(high < 1).sum()}",
        "exponent-below-two": f"{(high < 2).sum()}",
        "fewer-beyond": f"{len(fewer)}",
        "fewer-beyond-listed": ", ".join(fewer),
    }


def _of_spreads(spread: pd.DataFrame) -> dict[str, str]:
    """The numbers of the section "Why medians"."""
    return {
        "median-steadier": f"{(spread['median'] < spread['mean']).sum()}",
        "trimmed-steadier": f"{(spread['median'] > spread['trimmed']).sum()}",
        "spread-mean": f"{spread['mean'].median():.1f}",
        "spread-mean-widest": f"{spread['mean'].max():.0f}",
        "spread-trimmed": f"{spread['trimmed'].median():.1f}",
        "spread-trimmed-widest": f"{spread['trimmed'].max():.1f}",
        "spread-median": f"{spread['median'].median():.1f}",
        "spread-median-widest": f"{spread['median'].max():.1f}",
    }


def _of_parts(parts: pd.DataFrame) -> dict[str, str]:
    """The numbers of the section "What is owed to the expelled"."""
    largest = parts["owed"].xs(parts.index.get_level_values("size").max(), level="size")
    return {
        "owed-least": f"{largest.min():.0%}",
        "owed-least-mask": MASK_LABELS[str(largest.idxmin())],
        "owed-most": f"{largest.max():.0%}",
        "owed-most-mask": MASK_LABELS[str(largest.idxmax())],
        "owed-median": f"{parts['owed'].median():.0%}",
        "owed-exceeds": f"{(parts['owed'] > parts['expelled']).sum()}",
    }
