"""Trained prototypes against chance: every run is compared with the mean chance level of its own training points."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from companion.core.settings import MASK_LABELS
from companion.judging.baselines import BASELINES, ORACLE, baseline_summary
from companion.judging.chance import chance_level, chance_summary, split_error
from companion.judging.claims import ACTIVE, FREE
from companion.judging.paired import Interval, holm, median_difference, p_less, superiority_interval
from companion.show import words
from companion.studies import reconstruction
from companion.sweeps.runs import groups_of, originals_and_reconstructions, summary

MEASURES = ("reconstruction_error", "specialization_ratio", "expelled_fraction")
"""The metrics that have a chance level: E, S and the expelled fraction."""
AXES = ("matched_position_error", "value_error")
"""E's two parts, both under its own matching."""
LEVEL = 0.05
"""Level of a comparison with chance, two-sided and corrected."""
ENDS = ("", " low", " high")
"""Of a column and the two that hold its interval."""


def against_chance(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return how a metric stands to its chance level, seed by seed.

    E is compared as a ratio, the others by differences. The p-values are two-sided sign tests, corrected by Holm's
    method over all masks and sizes.
    Book: chapter "Against chance", section "The error against chance".

    Args:
        runs: one row a run, every mask and size with the same seeds, of the sine.
        metric: one of `MEASURES`.

    Returns:
        One row a mask and size: mask, size; below, the share of seeds whose metric is below their chance level, with
        Wilson's interval (below low, below high); middle, the median of the metric over chance (E) or minus it, with
        its exact interval (middle low, middle high); p, corrected; outcome, "below" or "above" chance where p is
        under `LEVEL`, else "not told".
    """
    as_ratio, rows = metric == "reconstruction_error", []
    for (mask, size), group in groups_of(runs.sort_values(["mask", "size", "seed"]), "mask", "size"):
        own, chance = group[metric].to_numpy(), chance_level(size, group["seed"].tolist(), metric=metric).mean(axis=1)
        below, p = superiority_interval(own, chance), min(p_less(own, chance), p_less(chance, own))
        middle = np.exp(median_difference(np.log(own), np.log(chance))) if as_ratio else median_difference(own, chance)
        rows.append((mask, size, *below, *middle, min(1.0, 2 * p)))
    intervals = ["below", "below low", "below high", "middle", "middle low", "middle high"]
    table = pd.DataFrame(rows, columns=["mask", "size", *intervals, "p"])
    table["p"] = holm(table["p"])
    told = np.where(table["below"] > 0.5, "below", "above")
    return table.assign(outcome=np.where(table["p"] < LEVEL, told, "not told"))


def chance_levels(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the chance levels of the three measures, size by size, as a table to show.

    Book: chapter "Against chance", section "Three chance levels".

    Args:
        runs: one row a run.

    Returns:
        One row a size (the index, N): the medians of E and of the specialization ratio over all draws with their
        intervals (seeds resampled), the mean expelled fraction, and its expectation.
    """
    levels = {metric: chance_summary(runs, metric).set_index("size").rename_axis("N") for metric in MEASURES}
    error, special, expelled = levels.values()
    return pd.DataFrame(
        {
            "E, median": _with_intervals(error),
            "specialization ratio, median": _with_intervals(special),
            "expelled fraction, mean": expelled["mean"],
            "2/(N + 1)": 2 / (expelled.index.to_series() + 1),
        }
    )


def baselines(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the medians over seeds of every baseline, a row a metric and baseline and a column a size.

    Book: chapter "Against chance", section "Four baselines".

    Args:
        runs: one row a run; its sizes and seeds are taken.
    """
    metrics = (*MEASURES[:1], "position_error", "value_error", *MEASURES[1:])
    names = (*BASELINES, ORACLE)
    medians = {
        metric.replace("_", " "): baseline_summary(runs, metric, names).pivot(
            index="level", columns="size", values="median"
        )
        for metric in metrics
    }
    return pd.concat(medians, names=["metric", "baseline"]).reindex(names, level="baseline")


def _with_intervals(level: pd.DataFrame) -> list[str]:
    """The medians of `chance_summary` with their intervals, as text."""
    medians = zip(level["median"], level["low"], level["high"], strict=True)
    return [words.interval(Interval(*median), ".2g") for median in medians]


def one_more_set(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how often one random set of prototypes has an E below the mean of a seed's other random sets.

    Book: chapter "Against chance", section "The error against chance".

    Args:
        runs: one row a run; its sizes and seeds are taken.

    Returns:
        One row a size: size, value (share of seeds), low and high (Wilson's interval).
    """
    seeds, rows = sorted(runs["seed"].unique().tolist()), []
    for size in sorted(runs["size"].unique().tolist()):
        draws = chance_level(size, seeds)
        rows.append((size, *superiority_interval(draws[:, 0], draws[:, 1:].mean(axis=1))))
    return pd.DataFrame(rows, columns=["size", "value", "low", "high"])


def curves(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a comparison as curves for `companion.show.charts.by_size`: curve (a mask), size, value, low, high.

    Args:
        table: of `against_chance`.
        column: "below" or "middle".
    """
    drawn = table[["size", *(column + end for end in ENDS)]]
    drawn.columns = ["size", "value", "low", "high"]
    return drawn.assign(curve=table["mask"].map(MASK_LABELS))


def flat(table: pd.DataFrame, value: float) -> pd.DataFrame:
    """Return chance as a curve at one value, without bars.

    Args:
        table: of `against_chance`; its sizes are taken.
        value: 1 for a ratio, 0 for a difference.
    """
    return pd.DataFrame({"curve": "chance", "size": sorted(table["size"].unique().tolist()), "value": value})


def error_curves(runs: pd.DataFrame, error: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the two panels of E against chance.

    Book: chapter "Against chance", section "The error against chance".

    Args:
        runs: one row a run.
        error: of `against_chance`, of E.
    """
    single = one_more_set(runs)[["size", "value"]].assign(curve="one more random set")
    return {
        "E over chance, median": pd.concat([curves(error, "middle"), flat(error, 1.0)]),
        "share of seeds with E below chance": pd.concat([curves(error, "below"), single]),
    }


def difference_curves(special: pd.DataFrame, expelled: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the two panels of specialization and expulsion against chance.

    Book: chapter "Against chance", section "Specialization and expulsion".

    Args:
        special, expelled: of `against_chance`, of either measure.
    """
    return {
        f"{name} minus chance, median": pd.concat([curves(table, "middle"), flat(table, 0.0)])
        for name, table in (("specialization", special), ("expelled fraction", expelled))
    }


def error_table(error: pd.DataFrame) -> pd.DataFrame:
    """Return E against chance as text, a row a mask (its label, the index) and size.

    Book: chapter "Against chance", section "The error against chance".

    Args:
        error: of `against_chance`, of E.
    """

    def shown(column: str, form: str) -> list[str]:
        found = zip(*(error[column + end] for end in ENDS), strict=True)
        return [f"{value:{form}} [{low:.2g}, {high:.2g}]" for value, low, high in found]

    return pd.DataFrame(
        {
            "mask": error["mask"].map(MASK_LABELS),
            "N": error["size"],
            "share below chance": shown("below", ".2f"),
            "E over chance, median": shown("middle", ".2g"),
            "p, corrected": error["p"].map(words.p_value),
        }
    ).set_index("mask")


def difference_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a measure minus chance as text, a row a mask (its label, the index) and a column a size.

    Book: chapter "Against chance", section "Specialization and expulsion".

    Args:
        table: of `against_chance`.

    Returns:
        The median difference, the share of seeds below chance, and a star where p is under `LEVEL`.
    """
    rows = zip(table["middle"], table["below"], table["p"], strict=True)
    cells = [f"{middle:+.2f} ({below:.2f}){'*' if p < LEVEL else ''}" for middle, below, p in rows]
    return words.labelled(table.assign(cell=cells).pivot(index="mask", columns="size", values="cell"))


def error_parts(runs: pd.DataFrame) -> pd.DataFrame:
    """Return E's parts of every run.

    Book: chapter "Against chance", section "Position and value".

    Args:
        runs: one row a run, weights included.

    Returns:
        One row a run, by mask and size: mask, size, seed; matched_position_error and value_error, both under E's own
        matching, in units of the input; and owed to expelled, the share of the former that falls to prototypes outside
        the samples' range.
    """
    frames = []
    for _, group in groups_of(runs.sort_values(["mask", "size", "seed"]), "mask", "size"):
        position, value, expelled = split_error(*originals_and_reconstructions(group))
        parts = dict(zip(AXES, (position, value), strict=True)) | {"owed to expelled": np.divide(expelled, position)}
        frames.append(group[["mask", "size", "seed"]].assign(**parts))
    return pd.concat(frames, ignore_index=True)


def part_curves(parts: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the two panels of E's parts, each with its baselines.

    Book: chapter "Against chance", section "Position and value".

    Args:
        parts: of `error_parts`.
    """
    panels = {}
    for metric in AXES:
        drawn = summary(parts, metric)
        masks = drawn.assign(curve=drawn["mask"].map(MASK_LABELS))
        both = pd.concat([masks, baseline_summary(parts, metric).rename(columns={"level": "curve"})])
        named = both.rename(columns={"median": "value"})
        panels[f"{metric.replace('_', ' ')}, median"] = named[["curve", "size", "value", "low", "high"]]
    return panels


def part_medians(parts: pd.DataFrame) -> pd.DataFrame:
    """Return the medians of E's parts, also as multiples of their chance levels.

    Book: chapter "Against chance", section "Position and value".

    Args:
        parts: of `error_parts`.

    Returns:
        One row a mask (its label) and N, the index: position, position over chance, value, value over chance (chance's
        median over all draws), share of position owed to expelled.
    """
    medians = parts.groupby(["mask", "size"])[[*AXES, "owed to expelled"]].median()
    columns = {}
    for metric in AXES:
        level, name = chance_summary(parts, metric).set_index("size")["median"], metric.split("_")[-2]
        columns |= {name: medians[metric], f"{name} over chance": medians[metric].div(level, level="size")}
    columns["share of position owed to expelled"] = medians["owed to expelled"]
    return pd.DataFrame(columns).rename(index=MASK_LABELS, level="mask").rename_axis(["mask", "N"])


class Results(NamedTuple):
    """What the chapter shows of the stored runs: `against_chance` of each measure, `error_parts` and `part_medians`."""

    runs: pd.DataFrame
    error: pd.DataFrame
    special: pd.DataFrame
    expelled: pd.DataFrame
    parts: pd.DataFrame
    medians: pd.DataFrame


@cache
def results(data: Path) -> Results:
    """Return what the chapter shows of the runs stored in `data`."""
    runs = pd.read_parquet(data / "powered.parquet")
    parts = error_parts(runs)
    error, special, expelled = (against_chance(runs, metric) for metric in MEASURES)
    return Results(runs, error, special, expelled, parts, part_medians(parts))


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "Against chance", by name.

    Args:
        data: the folder of the stored runs.
    """
    found = results(data)
    return {
        **_numbers_of_error(found.runs, found.error),
        **_numbers_of_baselines(found.runs),
        **_numbers_of_parts(found.medians),
        "matched-over-best": words.span(_matched_over_best(found), ".2f"),
        "value-gained": words.span(gained_by_std(found.runs)["value_error"], ".2f"),
        "position-gained": words.span(gained_by_std(found.runs)["position_error"], ".2f"),
        "value-larger-at-3": words.span(value_larger(found.parts)[3], ".2f"),
        "value-larger-at-100": words.span(value_larger(found.parts)[100], ".2f"),
        **_numbers_of_difference("specialization", found.special),
        **_numbers_of_difference("expelled", found.expelled),
    }


def _numbers_of_error(runs: pd.DataFrame, error: pd.DataFrame) -> dict[str, str]:
    best, by_size = error.groupby("size")["middle"].min(), reconstruction.against_chance(runs)
    few, many = by_size.index[0], by_size.index[-1]
    return {
        "combinations": f"{len(error)}",
        "error-above": f"{(error['outcome'] == 'above').sum()}",
        "error-below": f"{(error['outcome'] == 'below').sum()}",
        "best-over-chance-at-3": f"{best[few]:.2g}",
        "best-over-chance-at-100": f"{best[many]:.2g}",
        "chance-error-at-3": f"{by_size.loc[few, 'chance, median E']:.2g}",
        "chance-error-at-100": f"{by_size.loc[many, 'chance, median E']:.2g}",
        "lowest-error-at-3": f"{by_size.loc[few, 'its median E']:.2g}",
        "lowest-error-at-100": f"{by_size.loc[many, 'its median E']:.2g}",
        "one-more-set-below": words.span(one_more_set(runs)["value"], ".2f"),
    }


def _numbers_of_baselines(runs: pd.DataFrame) -> dict[str, str]:
    levels, errors = baselines(runs), reconstruction.by_mask(runs, MEASURES[0])
    error, special = levels.loc["reconstruction error"], levels.loc["specialization ratio"]
    below = errors.lt(error.loc["untrained"], axis=0)
    return {
        "untrained-error": words.span(error.loc["untrained"].to_numpy(), ".2f"),
        "on-the-curve": words.span(error.loc["untrained, on the curve"].to_numpy(), ".2f"),
        "std-error": words.span(errors["000"], ".2f"),
        "below-untrained": f"{below.to_numpy().sum()}",
        "active-below-untrained": f"{below[list(ACTIVE)].to_numpy().sum()}",
        "active-combinations": f"{below[list(ACTIVE)].size}",
        "untrained-specialization": f"{special.loc['untrained'].iloc[-1]:.2f}",
        "std-specialization": f"{reconstruction.by_mask(runs, MEASURES[1])['000'].iloc[-1]:.2f}",
    }


def gained_by_std(runs: pd.DataFrame) -> pd.DataFrame:
    """Return by how much Std's median position error and value error lie below the untrained network's, a row a size.

    Book: chapter "Against chance", section "Four baselines".

    Args:
        runs: one row a run; mask 000 among them.
    """
    gained = {}
    for metric in ("position_error", "value_error"):
        untrained = baseline_summary(runs, metric, ("untrained",)).set_index("size")["median"]
        gained[metric] = untrained - reconstruction.by_mask(runs, metric)["000"]
    return pd.DataFrame(gained)


def value_larger(parts: pd.DataFrame) -> pd.DataFrame:
    """Return the share of runs whose value error is above their position error, a row a mask and a column a size.

    Book: chapter "Against chance", section "Position and value".

    Args:
        parts: of `error_parts`.
    """
    larger = parts.assign(larger=parts["value_error"] > parts["matched_position_error"])
    return larger.groupby(["mask", "size"])["larger"].mean().unstack("size")


def _matched_over_best(found: Results) -> pd.Series:
    """The median of the position error under E's matching over that under its own, by mask and size."""
    by = ["mask", "size"]
    return found.parts.groupby(by)[AXES[0]].median() / found.runs.groupby(by)["position_error"].median()


def _numbers_of_parts(medians: pd.DataFrame) -> dict[str, str]:
    last = medians.xs(medians.index.get_level_values("N").max(), level="N")
    free, active = ([MASK_LABELS[mask] for mask in masks] for masks in (FREE, ACTIVE))
    owed = "share of position owed to expelled"
    return {
        "position-over-chance-least": f"{last['position over chance'].min():.1f}",
        "position-over-chance-most": f"{last['position over chance'].max():.0f}",
        "value-over-chance": words.span(last["value over chance"], ".1f"),
        "position-without-overlap": words.span(last.loc[free, "position"], ".2f"),
        "value-without-overlap": words.span(last.loc[free, "value"], ".2f"),
        "position-with-overlap": words.span(last.loc[active, "position"], ".2f"),
        "value-with-overlap": words.span(last.loc[active, "value"], ".2f"),
        "owed-to-expelled": words.span(last[owed], ".2f"),
        "owed-to-expelled-least": f"{medians[owed].min():.2f}",
    }


def _numbers_of_difference(name: str, table: pd.DataFrame) -> dict[str, str]:
    return {
        f"{name}-above": f"{(table['outcome'] == 'above').sum()}",
        f"{name}-below": f"{(table['outcome'] == 'below').sum()}",
        f"{name}-minus-chance": words.span(table.loc[table["size"] == table["size"].max(), "middle"], "+.2f"),
    }
