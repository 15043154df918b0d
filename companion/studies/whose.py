"""Whose data: a run's E to fresh samples of its data's distribution, and how near its prototypes come to each.

`python -m companion.studies.whose`, from the book's folder, makes `data/whose.parquet`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from companion.core.checks import require_finite
from companion.core.data import TARGETS, fresh_samples, random_stream, sample_task
from companion.core.metrics import reconstruction_error
from companion.core.settings import MASK_LABELS
from companion.judging.paired import (
    DECIMALS,
    Interval,
    holm,
    median_difference,
    p_less,
    superiority,
    superiority_interval,
)
from companion.judging.verdicts import Test
from companion.show import words
from companion.studies.boundary import signed_rank
from companion.sweeps.runs import groups_of, originals_and_reconstructions, write_runs
from companion.version import library_versions

DRAWS = 9
"""Fresh samples of each size and seed; an odd number, so that their median is one of them."""
RANDOM, PERFECT = "random prototypes", "prototypes at the samples"
"""What stands beside the masks: what knowing nothing of the points, and all of them, would look like."""
LEVEL = 0.05
"""Corrected p-values below it get a star."""
EVEN_UP_TO = 20
"""Largest size at which evenly spread prototypes are asked how typical the training samples are."""


def fresh_error(x: ArrayLike, y: ArrayLike, prototypes: ArrayLike, values: ArrayLike) -> np.ndarray:
    """Return E of a run to fresh samples of its data's distribution, in place of the points it was trained on.

    Book: chapter "Whose data?", equation (fresh).

    Args:
        x, y: of `companion.core.data.fresh_samples`, shape (draws, size), or of each run's own, (..., draws, size).
        prototypes: x̂, shape (..., neurons) with neurons = size.
        values: f(x̂), shape (..., neurons).

    Returns:
        E to each fresh sample, in units of the input, shape (..., draws).

    Raises:
        ValueError: if shapes do not fit or a value is not finite.
    """
    own = [np.asarray(given, dtype=np.float64)[..., None, :] for given in (prototypes, values)]
    fresh = [np.asarray(given, dtype=np.float64) for given in (x, y)]
    shape = np.broadcast_shapes(own[0].shape, fresh[0].shape)
    return np.asarray(reconstruction_error(*(np.broadcast_to(given, shape) for given in (*fresh, *own))))


def nearest_distance(x: ArrayLike, prototypes: ArrayLike) -> np.ndarray | float:
    """Return the mean distance from the prototypes inside [0, 1] to the nearest sample, along the input.

    [0, 1] is where samples can lie, whichever were drawn; prototypes beyond it count for nothing.
    Book: chapter "Whose data?", equation (nearest).

    Args:
        x: inputs of a sample, shape (..., samples).
        prototypes: x̂, shape (..., neurons), leading dimensions as those of `x` or broadcast with them.

    Returns:
        Mean distance in units of the input, shape (...); NaN where no prototype is inside. A float for one run.

    Raises:
        ValueError: if leading dimensions do not fit or a value is NaN or, in x, infinite.
    """
    data, positions = np.asarray(x, dtype=np.float64), np.asarray(prototypes, dtype=np.float64)
    require_finite(x=data)
    if np.isnan(positions).any():
        raise ValueError("prototypes: NaN was given; allowed are numbers")
    inside = (positions >= 0) & (positions <= 1)
    nearest = np.abs(data[..., None, :] - np.where(inside, positions, 0.0)[..., None]).min(-1)
    count = inside.sum(-1)
    mean = np.where(count > 0, (nearest * inside).sum(-1) / np.maximum(count, 1), np.nan)
    return mean if mean.ndim else float(mean)


def measure_runs(runs: pd.DataFrame, draws: int = DRAWS) -> pd.DataFrame:
    """Return E and the nearest distance of runs, each to its own points and to fresh samples; and those of two anchors.

    Book: chapter "Whose data?", section "Fresh samples".

    Args:
        runs: one row a run, with its weights, of the sine.
        draws: fresh samples, at least 1.

    Returns:
        Columns name (a mask's label, `RANDOM` or `PERFECT`), size, seed, E, nearest, and the lists fresh E and fresh
        nearest, each of `draws` numbers; the groups of a mask and a size in their order, then the anchors.
    """
    rows: list[dict[str, object]] = []
    for (mask, _), group in groups_of(runs, "mask", "size"):
        own = zip(group["seed"], *originals_and_reconstructions(group), strict=True)
        rows += [_distances(MASK_LABELS[mask], seed, run, draws) for seed, *run in own]
    for size in sorted(runs["size"].unique().tolist()):
        for name in (RANDOM, PERFECT):
            for seed in sorted(runs["seed"].unique().tolist()):
                x, y = sample_task(size, seed)
                drawn = x.new_tensor(random_stream(size, seed, purpose=2).uniform(0.0, 1.0, size))
                anchor = (drawn, TARGETS["sine"](drawn)) if name == RANDOM else (x, y)
                rows.append(_distances(name, seed, (x, y, *anchor), draws))
    return pd.DataFrame(rows)


def _distances(name: str, seed: int, run: Iterable[ArrayLike], draws: int) -> dict[str, object]:
    """One row of `measure_runs`, of a run's x, y, prototypes and values."""
    x, y, positions, values = map(np.asarray, run)
    fresh_x, fresh_y = fresh_samples(len(x), seed, draws)
    return {
        "name": name,
        "size": len(x),
        "seed": seed,
        "E": reconstruction_error(x, y, positions, values),
        "nearest": nearest_distance(x, positions),
        "fresh E": fresh_error(fresh_x, fresh_y, positions, values),
        "fresh nearest": nearest_distance(fresh_x, positions),
    }


def ranks(measured: pd.DataFrame, measure: str) -> dict[tuple[str, int], np.ndarray]:
    """Return R of all runs that have a measure, by name and size.

    Args:
        measured: what `measure_runs` returned.
        measure: "E" or "nearest".
    """
    held = measured[np.isfinite(measured[measure])]
    return {
        (name, size): rank(group[measure].to_numpy(), np.stack(group[f"fresh {measure}"].to_numpy()))
        for (name, size), group in groups_of(held, "name", "size")
    }


def mended_signed_rank(low: np.ndarray, high: float, gap: np.ndarray) -> np.ndarray:
    """Return p-values of `signed_rank` of rounded differences: those that differ in the last bit alone are ties.

    Args:
        low, high: paired samples, shape (..., seeds), and a number.
        gap: shape (...).

    Returns:
        One-sided p-values, shape (...).
    """
    return signed_rank(np.round(low - high - gap[..., None], DECIMALS), 0.0, gap * 0)


def stars_by(test: Test, measured: pd.DataFrame, measure: str) -> int:
    """Return how many masks and sizes get a star if R is tested otherwise than by the sign test.

    Book: chapter "Whose data?", section "Fresh samples".

    Args:
        test: as `companion.judging.paired.p_less`.
        measured: what `measure_runs` returned.
        measure: "E" or "nearest".
    """
    found = ranks(measured[measured["name"].isin(MASK_LABELS.values())], measure).values()
    return int((holm([test(one, 0.5, np.zeros(())).item() for one in found]) < LEVEL).sum())


def share_rejected(test: Test, studies: int = 4000, seeds: int = 200) -> float:
    """Return in what share of studies a test rejects at `LEVEL` that R is uniform, where it is.

    Book: chapter "Whose data?", section "Fresh samples".

    Args:
        test: as `companion.judging.paired.p_less`.
        studies: each of as many seeds, whose R are drawn from 0, 1/9, ..., 1.
        seeds: at least 1.
    """
    drawn = np.random.default_rng(0).integers(DRAWS + 1, size=(studies, seeds)) / DRAWS
    return float((test(drawn, 0.5, np.zeros(studies)) <= LEVEL).mean())


def compare(measured: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return how much nearer runs lie to the points they were trained on than to fresh samples.

    Book: chapter "Whose data?", section "Fresh samples".

    Args:
        measured: what `measure_runs` returned.
        measure: "E" or "nearest"; runs that do not have it are left out.

    Returns:
        Index name (a mask's label or an anchor) and size; runs; the medians own and fresh; log ratio ℓ, saved 1 - e^-ℓ
        and nearer, the share of seeds, each with two columns for the ends of its interval, such as "saved low" and
        "saved high"; p, of the sign test of R against ½, and corrected, NaN for anchors.
    """
    rows = []
    for (name, size), results in groups_of(measured, "name", "size"):
        held = results[np.isfinite(results[measure])]
        own, fresh = held[measure].to_numpy(), np.stack(held[f"fresh {measure}"].to_numpy())
        middle, ratio = np.median(fresh, axis=1), log_ratio(own, fresh)
        rows.append(
            {
                "name": name,
                "size": size,
                "runs": len(own),
                "own": np.median(own),
                "fresh": np.median(middle),
                **columns_of("log ratio", ratio),
                **columns_of("saved", Interval(*(1 - math.exp(-value) for value in ratio))),
                **columns_of("nearer", superiority_interval(own, middle)),
                "p": float(p_less(rank(own, fresh), 0.5)),
            }
        )
    table = pd.DataFrame(rows).set_index(["name", "size"])
    p = of_masks(table)["p"]
    return table.assign(corrected=pd.Series(holm(p), index=p.index))


def columns_of(name: str, found: Interval) -> dict[str, float]:
    """Return an estimate and the ends of its interval as columns of a table: "saved", "saved low" and "saved high"."""
    return {name: found.value, f"{name} low": found.low, f"{name} high": found.high}


def log_ratio(own: np.ndarray, fresh: np.ndarray) -> Interval:
    """Return ℓ, how much lower runs' own measure is than the median of the fresh ones: its median over the runs.

    Book: chapter "Whose data?", equation (knowledge).

    Args:
        own: of at least 0, shape (runs,).
        fresh: shape (runs, draws).

    Returns:
        Median with its 95 % interval; infinite if a run lies at its samples.
    """
    if not own.all():
        return Interval(math.inf, math.inf, math.inf)
    return median_difference(np.log(np.median(fresh, axis=1)), np.log(own))


def rank(own: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Return R, the share of fresh samples that are nearer to a run than its own points, ties counted half.

    Book: chapter "Whose data?", equation (rank).

    Args:
        own: shape (runs,).
        fresh: shape (runs, draws).

    Returns:
        Shares in [0, 1], shape (runs,).
    """
    return superiority(fresh, np.broadcast_to(own[:, None], fresh.shape))


def of_masks(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `compare` that are masks and not anchors."""
    return table[table.index.get_level_values("name").isin(MASK_LABELS.values())]


def starred(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `compare` whose own points are nearer, corrected p < 0.05."""
    return table[table["corrected"] < LEVEL]


def medians_saved(table: pd.DataFrame) -> pd.DataFrame:
    """Return what `compare` found, as a table of the medians saved: percent, starred where corrected p < 0.05."""
    percent = (100 * table["saved"]).map("{:+.1f}".format).replace("+100.0", "100")
    return words.by_mask(percent + (table["corrected"] < LEVEL).map({True: "*", False: ""}))


def all_numbers(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return what `compare` found of the masks, written out: a row a mask (the index) and size.

    Args:
        table: what `compare` returned.
        measure: its sign, which names the columns: "E" or "D".
    """
    rows = of_masks(table).reset_index("size")
    return pd.DataFrame(
        {
            "N": rows["size"],
            "runs": rows["runs"],
            measure: rows["own"],
            f"fresh {measure}": rows["fresh"],
            "log ratio": [words.interval(found, "+.3f") for found in intervals(rows, "log ratio")],
            "own nearer": [words.interval(found, ".2f") for found in intervals(rows, "nearer")],
            "p, corrected": rows["corrected"].map(words.p_value),
        }
    ).rename_axis("mask")


def intervals(table: pd.DataFrame, column: str) -> list[Interval]:
    """Return the estimates of one column of `compare` with their intervals, row by row."""
    ends = table[[column, f"{column} low", f"{column} high"]]
    return [Interval(*found) for found in ends.itertuples(index=False)]


def curves(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the estimates of one column as `companion.show.charts.by_size` draws them.

    Args:
        table: what `compare` returned.
        column: "saved" or "nearer".
    """
    found = pd.DataFrame(intervals(table, column), index=table.index)
    return found.rename_axis(["curve", "size"]).reset_index()


def among_other_seeds(runs: pd.DataFrame, measure: str, draws: int = DRAWS) -> np.ndarray:
    """Return R of runs with the training points of the next seeds in place of the fresh samples.

    Book: chapter "Whose data?", section "A check added after the results".

    Args:
        runs: one mask's runs of one size, weights included; after the last seed comes the first.
        measure: "E" or "nearest"; runs that do not have it are left out.
        draws: seeds whose points are taken.

    Returns:
        Shares in [0, 1], shape (runs,).
    """
    x, y, positions, values = originals_and_reconstructions(runs)
    at = (np.arange(len(x))[:, None] + np.arange(draws + 1)) % len(x)  # own points first
    if measure == "E":
        found = fresh_error(x[at], y[at], positions, values)
    else:
        found = np.asarray(nearest_distance(x[at], positions[:, None]))
    held = found[np.isfinite(found[:, 0])]
    return rank(held[:, 0], held[:, 1:])


def standing(runs: pd.DataFrame, table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return the starred rows that keep their star with other seeds' points in place of the fresh samples.

    Book: chapter "Whose data?", section "A check added after the results".

    Args:
        runs: one row a run, weights included.
        table: what `compare` returned of them.
        measure: "E" or "nearest".
    """
    stars = starred(table)
    groups = {
        (MASK_LABELS[mask], size): group
        for (mask, size), group in groups_of(runs.sort_values("seed", kind="stable"), "mask", "size")
    }
    p = [float(p_less(among_other_seeds(groups[row], measure), 0.5)) for row in stars.index]
    return stars[holm(p) < LEVEL]


def evenly_spread(runs: pd.DataFrame) -> pd.DataFrame:
    """Return whether the training samples happen to be nearer than fresh ones to prototypes that know no sample.

    Book: chapter "Whose data?", section "A check added after the results".

    Args:
        runs: whose sizes, up to `EVEN_UP_TO`, and seeds are taken.

    Returns:
        One row a size (the index, as "N = 3"): the mean of R, ½ if neither is nearer; p, one-sided, not corrected.
    """
    sizes, seeds = (sorted(runs[name].unique().tolist()) for name in ("size", "seed"))
    ranks = {f"N = {size}": even_ranks(size, seeds) for size in sizes if size <= EVEN_UP_TO}
    found = [{"mean of R": found.mean(), "p": float(p_less(found, 0.5))} for found in ranks.values()]
    return pd.DataFrame(found, index=pd.Index(ranks, name="evenly spread"))


def even_ranks(size: int, seeds: Iterable[int]) -> np.ndarray:
    """Return R of prototypes at (j - ½)/N on the sine's graph, of its E to each seed's training and fresh samples.

    Args:
        size: N.
        seeds: each at least 0.

    Returns:
        Shares in [0, 1], shape (seeds,).
    """
    spread = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    run = spread, TARGETS["sine"](spread)
    seeds = list(seeds)
    own = np.array([reconstruction_error(*sample_task(size, seed), *run) for seed in seeds])
    fresh = np.array([fresh_error(*fresh_samples(size, seed, DRAWS), *run) for seed in seeds])
    return rank(own, fresh)


def shares_inside(runs: pd.DataFrame) -> pd.Series:
    """Return the share of the prototypes of runs of one size that lie in [0, 1], by mask.

    Args:
        runs: one row a run, weights included.
    """
    places = {mask: originals_and_reconstructions(group)[2] for (mask,), group in groups_of(runs, "mask")}
    return pd.Series({mask: float(((x >= 0) & (x <= 1)).mean()) for mask, x in places.items()})


def farther(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `compare` whose own points are farther: the log ratio's interval lies below 0, uncorrected."""
    return table[table["log ratio high"] < 0]


class Results(NamedTuple):
    """What the chapter finds: of each measure the comparison and the starred rows that stand."""

    runs: pd.DataFrame
    error: pd.DataFrame
    nearest: pd.DataFrame
    error_standing: pd.DataFrame
    nearest_standing: pd.DataFrame


@cache
def results(data: Path) -> Results:
    """Return what the chapter finds in the stored runs."""
    runs, measured = (pd.read_parquet(data / f"{name}.parquet") for name in ("powered", "whose"))
    error, nearest = compare(measured, "E"), compare(measured, "nearest")
    return Results(runs, error, nearest, standing(runs, error, "E"), standing(runs, nearest, "nearest"))


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "Whose data?", by name.

    Args:
        data: the folder of the stored runs.
    """
    runs, error, nearest, error_standing, nearest_standing = results(data)
    measured = pd.read_parquet(data / "whose.parquet")
    sizes, largest = sorted(runs["size"].unique().tolist()), runs["size"].max()
    both = error_standing.index.intersection(nearest_standing.index)
    fallen = starred(error).index.difference(error_standing.index, sort=False)
    turned, even = farther(nearest), evenly_spread(runs)
    inside = shares_inside(runs[runs["size"] == largest])
    found = {
        "runs": f"{len(runs)}",
        "combinations": f"{len(of_masks(error))}",
        "without-prototype-inside": f"{len(runs) - of_masks(nearest)['runs'].sum()}",
        "even-tests": f"{len(even)}",
        "signed-ranks-reject": f"{share_rejected(signed_rank):.1%}",
        "sign-test-rejects": f"{share_rejected(p_less):.1%}",
        "error-stars-by-signed-ranks": f"{stars_by(signed_rank, measured, 'E')}",
        "error-stars-by-mended-ranks": f"{stars_by(mended_signed_rank, measured, 'E')}",
        "error-stars-fallen": words.at_sizes(fallen, sizes),
        "both-stand": f"{len(both)}",
        "only-nearest-stands": f"{len(nearest_standing.index.difference(error_standing.index))}",
        "nearest-farther": f"{len(turned)}",
        "nearest-farther-listed": words.at_sizes(turned.index, sizes),
    }
    for name, table, left in (("error", error, error_standing), ("nearest", nearest, nearest_standing)):
        found |= {f"{name}-{key}": value for key, value in _of_measure(table, len(left), sizes).items()}
    for name, mask in (("std", "000"), ("coverage", "010"), ("overlap", "100")):
        row = (MASK_LABELS[mask], largest)
        found |= {
            f"error-saved-{name}": f"{100 * error['saved'][row]:.1f}",
            f"nearest-saved-{name}": f"{100 * nearest['saved'][row]:.0f}",
            f"inside-{name}": f"{inside[mask]:.2f}",
        }
    return found


def _of_measure(table: pd.DataFrame, left: int, sizes: list[int]) -> dict[str, str]:
    """The numbers that the prose names of either measure; `left` of its stars stand."""
    stars, control = starred(table), table.loc[RANDOM]
    return {
        "stars": f"{len(stars)}",
        "stars-listed": words.at_sizes(stars.index, sizes),
        "stars-standing": f"{left}",
        "saved": words.span(100 * stars["saved"], ".1f"),
        "seeds-nearer": words.span(stars["nearer"], ".2f"),
        "random-least": f"{100 * control['saved'].min():+.1f}",
        "random-most": f"{100 * control['saved'].max():+.1f}",
        "random-tests": f"{len(control)}",
        "random-p": f"{control['p'].min():.2f}",
        "random-p-corrected": f"{holm(control['p']).min():.2f}",
    }


def write_whose(root: Path = Path()) -> None:
    """Measure the powered sweep's runs and write `data/whose.parquet`.

    Args:
        root: the book's folder.
    """
    table = measure_runs(pd.read_parquet(root / "data/powered.parquet"))
    table.attrs["versions"] = library_versions()
    write_runs(table, root / "data/whose.parquet")


if __name__ == "__main__":
    write_whose()
