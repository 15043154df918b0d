"""The full replication: the numbers behind the seven figures, the paper's claims of order, an independent check."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from companion.core.settings import MASK_LABELS
from companion.judging.baselines import baseline_summary
from companion.judging.claims import ACTIVE, FACTOR, FREE, SHARE
from companion.studies.reconstruction import Statistic, by_mask, stored_runs, stored_sweep
from companion.sweeps.runs import median_run, reconstruction_points, summary

OF_POSITIONS = ("000", "010", "100")
"""Masks of the paper's figure 3."""
OF_RECONSTRUCTIONS = ("000", "010", "111")
"""Masks of its figure 7."""
METRICS = {
    "E": "reconstruction_error",
    "specialization ratio": "specialization_ratio",
    "expelled fraction": "expelled_fraction",
}
"""Metrics whose order is compared with that of the independent implementation, by their names in prose."""
HEAT = "E by temperature"
"""What is compared over temperatures."""


def sizes_drawn(runs: pd.DataFrame) -> tuple[int, int]:
    """Return the sizes of figures 7 and 3: five points, or the fewest where no run has five, and the most."""
    sizes = sorted(runs["size"].unique().tolist())
    return (5 if 5 in sizes else sizes[0]), sizes[-1]


PARTS = ("position_error", "value_error")
"""E's two parts: position by the best matching of positions alone, value by E's own."""
WITH_BASELINES = ("reconstruction_error", *PARTS, "specialization_ratio")
"""The metrics whose figures show baselines."""


def baselines(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the baselines of the figures that show them, by metric.

    Args:
        runs: one row a run; its sizes, seeds and target are taken.
    """
    return {metric: baseline_summary(runs, metric) for metric in WITH_BASELINES}


def by_mask_and_size(runs: pd.DataFrame, metric: str, levels: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers of a figure by mask and size: what the paper shows, and what heavy tails ask for.

    Args:
        runs: one row a run.
        metric: a column, such as "reconstruction_error".
        levels: its baselines, as `companion.judging.baselines.baseline_summary` returns them.

    Returns:
        One row a mask (its label) or baseline (its name) and N: mean, sem, median, trimmed, low, high.
    """
    table = summary(runs, metric)
    table["mask"] = table["mask"].map(MASK_LABELS)
    table = pd.concat([table, levels.rename(columns={"level": "mask"})])
    return table.rename(columns={"size": "N"}).set_index(["mask", "N"]).drop(columns="n")


def parts_by_mask_and_size(runs: pd.DataFrame, levels: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return what `by_mask_and_size` does of E's two parts, the error first in the index.

    Args:
        runs: one row a run.
        levels: of `baselines`.
    """
    tables = {metric.replace("_", " "): by_mask_and_size(runs, metric, levels[metric]) for metric in PARTS}
    return pd.concat(tables, names=["error"])


def by_temperature(sweep: pd.DataFrame, chance: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers of figure 4: E of separation alone by size and temperature, then Std's and chance's.

    Args:
        sweep: masks 000 and 001 at several temperatures; Std depends on none.
        chance: the sweep's chance level.

    Returns:
        One row an N and τ (a temperature, "Std" or "chance"): mean, sem, median, trimmed, low, high.
    """
    table = summary(sweep[sweep["mask"] == "001"], "reconstruction_error", ("size", "temperature"))
    table["temperature"] = [f"{value:g}" for value in table["temperature"]]
    std = sweep[(sweep["mask"] == "000") & (sweep["temperature"] == sweep["temperature"].min())]
    levels = [summary(std, "reconstruction_error").assign(temperature="Std"), chance.assign(temperature="chance")]
    table = pd.concat([table, *levels])[table.columns].sort_values("size", kind="stable")
    return table.rename(columns={"size": "N", "temperature": "τ"}).set_index(["N", "τ"]).drop(columns="n")


def positions(runs: pd.DataFrame, chance: pd.DataFrame, size: int) -> pd.DataFrame:
    """Return the numbers of figure 3: where the prototypes of each mask's median-error run lie.

    Args:
        runs: one row a run, weights included.
        chance: the chance level of E.
        size: N of the runs that are drawn.

    Returns:
        One row a mask (its label): seed, E, how many prototypes are inside the samples' range and expelled, their
        median, lowest and highest position, and the median E of chance.
    """
    rows = []
    for mask in OF_POSITIONS:
        run = median_run(runs, mask, size)
        points = reconstruction_points(run)
        rows.append(
            {
                "mask": MASK_LABELS[mask],
                "seed": run["seed"],
                "E": run["reconstruction_error"],
                "inside": int((~points["expelled"]).sum()),
                "expelled": int(points["expelled"].sum()),
                "median x̂": points["prototype"].median(),
                "lowest x̂": points["prototype"].min(),
                "highest x̂": points["prototype"].max(),
                "chance, median E": chance.set_index("size")["median"][size],
            }
        )
    return pd.DataFrame(rows).set_index("mask")


def pairs(runs: pd.DataFrame, chance: pd.DataFrame, size: int) -> pd.DataFrame:
    """Return the numbers of figure 7: the originals and reconstructions of each mask's median-error run.

    Args:
        runs: one row a run, weights included.
        chance: the chance level of E.
        size: N of the runs that are drawn.

    Returns:
        One row a mask (its label) and neuron: prototype, value, the original's x and y, their distance; E of the run,
        and the median E of chance.
    """
    level = chance.set_index("size")["median"][size]
    chosen = [median_run(runs, mask, size) for mask in OF_RECONSTRUCTIONS]
    parts = [
        reconstruction_points(run).assign(mask=MASK_LABELS[run["mask"]], E=run["reconstruction_error"], chance=level)
        for run in chosen
    ]
    columns = ["prototype", "value", "x", "y", "distance", "E", "chance"]
    return pd.concat(parts).set_index(["mask", "neuron"])[columns]


def claim_counts(runs: pd.DataFrame) -> pd.DataFrame:
    """Count, for each of the paper's claims about an order of masks, the cases in which these runs show that order.

    Book: chapter "The full replication", section "The paper's claims".

    Args:
        runs: one row a run, all eight masks.

    Returns:
        One row a claim: claim, cases (how many there are), by mean, by median (in how many of them it holds).
    """
    by_mean, by_median = _cases(runs, "mean"), _cases(runs, "median")
    rows = [
        {"claim": claim, "cases": len(cases), "by mean": sum(cases), "by median": sum(by_median[claim])}
        for claim, cases in by_mean.items()
    ]
    return pd.DataFrame(rows)


def _cases(runs: pd.DataFrame, statistic: Statistic) -> dict[str, list[bool]]:
    """Each claim's cases, true where these runs show it."""
    errors = by_mask(runs, "reconstruction_error", statistic)
    special = by_mask(runs, "specialization_ratio", statistic)
    expelled = by_mask(runs, "expelled_fraction", statistic)
    # With few seeds medians tie at multiples of 1/N; a tie shows no order, so every comparison is strict.
    return {
        "C1 coverage alone has the lowest E": list(errors["010"] < errors.drop(columns="010").min(axis=1)),
        "C2 Cov and Cov+Sep specialise more than Std": [
            *(special["010"] > special["000"]),
            *(special["011"] > special["000"]),
        ],
        "C3 every overlap-active mask has a higher E than every other": list(
            errors[list(ACTIVE)].min(axis=1) > errors[list(FREE)].max(axis=1)
        ),
        "C4 separation alone has a lower E than Std (the paper: at some N)": list(errors["001"] < errors["000"]),
        "C6 every overlap-active mask expels more than every other": list(
            expelled[list(ACTIVE)].min(axis=1) > expelled[list(FREE)].max(axis=1)
        ),
        "C7 specialization of an overlap-active mask is lower at the next N": [
            later < earlier
            for mask in ACTIVE
            for earlier, later in zip(special[mask].iloc[:-1], special[mask].iloc[1:], strict=True)
        ],
    }


def fits(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the median of the mean squared error after training, a row a mask (its label) and a column a size.

    Book: chapter "The full replication", section "The paper's claims".

    Args:
        runs: one row a run.
    """
    return by_mask(runs, "fit_mse").T.rename(index=MASK_LABELS).rename(columns="N = {}".format)


def same_order(ours: pd.DataFrame, theirs: pd.DataFrame, least: float) -> pd.DataFrame:
    """Count the pairs of columns that stand in the same order in both tables, of those clearly apart in `theirs`.

    Book: chapter "The full replication", section "Against an independent implementation".

    Args:
        ours, theirs: one number a cell, with the same rows and columns.
        least: the difference from which two columns of `theirs` count as clearly apart, above 0.

    Returns:
        One row a row of the tables: clearly apart (pairs), same order (pairs of them in which ours has the same
        strict order), other order (the pairs in which it has not, the lower of `theirs` first).
    """
    rows = []
    for row in theirs.index:
        our, their = ours.loc[row], theirs.loc[row]
        apart = [(low, high) for low, high in permutations(theirs.columns, 2) if their[high] - their[low] >= least]
        other = [(low, high) for low, high in apart if not our[low] < our[high]]
        rows.append({"clearly apart": len(apart), "same order": len(apart) - len(other), "other order": other})
    return pd.DataFrame(rows, index=theirs.index)


def separation_by_temperature(sweep: pd.DataFrame) -> pd.DataFrame:
    """Return the median E of separation alone, a row a size and a column a temperature.

    Args:
        sweep: mask 001, among others, at several temperatures.
    """
    alone = sweep[sweep["mask"] == "001"]
    return alone.pivot_table(index="size", columns="temperature", values="reconstruction_error", aggfunc="median")


def independent_medians(independent: Mapping[str, Any], metric: str) -> pd.DataFrame:
    """Return the independent implementation's medians of a metric, a row a size and a column a mask.

    Args:
        independent: what `data/independent.json` holds.
        metric: "reconstruction_error", "specialization_ratio" or "expelled_fraction".
    """
    masks = independent["masks"].items()
    return pd.DataFrame({mask: {int(n): cell[metric]["median"] for n, cell in row.items()} for mask, row in masks})


def independent_temperatures(independent: Mapping[str, Any]) -> pd.DataFrame:
    """Return its median E of separation alone, a row a size and a column a temperature."""
    rows = [
        {"size": row["N"], "τ": row["tau"], "E": row["reconstruction_error"]["median"]}
        for row in independent["tau_sweep"]
    ]
    return pd.DataFrame(rows).pivot(index="size", columns="τ", values="E")


def against_independent(
    runs: pd.DataFrame, sweep: pd.DataFrame, independent: Mapping[str, Any]
) -> dict[str, pd.DataFrame]:
    """Return where the order of medians is that of an independent implementation, by what was measured.

    Book: chapter "The full replication", section "Against an independent implementation".

    Args:
        runs: all masks, one row a run.
        sweep: separation alone at several temperatures.
        independent: what `data/independent.json` holds.

    Returns:
        What `same_order` returned, of the sizes in `runs`: for each of `METRICS` over masks, for `HEAT` over the
        temperatures of separation alone. Clearly apart are values of E from a factor of
        `companion.judging.claims.FACTOR` on, ratios and fractions from a difference of its `SHARE` on.
    """
    tables = {
        name: (by_mask(runs, metric), independent_medians(independent, metric)) for name, metric in METRICS.items()
    }
    tables[HEAT] = (separation_by_temperature(sweep), independent_temperatures(independent))
    compared: dict[str, pd.DataFrame] = {}
    for name, (ours, theirs) in tables.items():
        theirs = theirs.reindex(index=ours.index, columns=ours.columns)
        if name in ("E", HEAT):
            compared[name] = same_order(ours.apply(np.log), theirs.apply(np.log), math.log(FACTOR))
        else:
            compared[name] = same_order(ours, theirs, SHARE)
    return compared


def agreement(compared: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return how many pairs stand in the same order, of those clearly apart, as "15/16"; a column a size.

    Book: chapter "The full replication", section "Against an independent implementation".

    Args:
        compared: what `against_independent` returned.
    """
    table = {
        name: counts["same order"].astype(str) + "/" + counts["clearly apart"].astype(str)
        for name, counts in compared.items()
    }
    return pd.DataFrame(table).T.rename(columns="N = {}".format).rename_axis("medians of")


def other_orders(compared: Mapping[str, pd.DataFrame]) -> dict[tuple[str, int], str]:
    """Return the pairs that stand in another order there, by what was measured and N; places without any are left out.

    Args:
        compared: what `against_independent` returned.

    Returns:
        Text such as "000 Std under 010 Cov, 001 Sep under 010 Cov".
    """
    return {
        (name, size): ", ".join(f"{_label(low)} under {_label(high)}" for low, high in found)
        for name, counts in compared.items()
        for size, found in zip(counts.index.tolist(), counts["other order"], strict=True)
        if found
    }


def _label(column: Any) -> str:
    """A mask's label, or a temperature as it is."""
    return MASK_LABELS.get(column, str(column))


@cache
def stored_comparison(data: Path) -> dict[str, pd.DataFrame]:
    """Return what `against_independent` gives of the stored runs."""
    independent = json.loads((data / "independent.json").read_text(encoding="utf-8"))
    return against_independent(stored_runs(data), stored_sweep(data), independent)


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "The full replication", by name.

    Args:
        data: the folder of the stored runs.
    """
    fit, compared = fits(stored_runs(data)), stored_comparison(data)
    overlap, ratio = fit.loc[MASK_LABELS["100"]], fit.loc[MASK_LABELS["100"]] / fit.loc[MASK_LABELS["000"]]
    worse = (fit.loc[[MASK_LABELS[mask] for mask in ACTIVE]] > fit.loc[MASK_LABELS["000"]]).all()
    found = {
        "sizes-with-a-worse-fit": f"{worse.sum()} of {len(worse)}",
        "least-factor-of-fit": f"{ratio.min():.1f}",
        "median-factor-of-fit": f"{ratio.median():.0f}",
        "largest-rmse": f"{overlap.max() ** 0.5:.2f}",
        "rmse-at-the-largest-size": f"{overlap.iloc[-1] ** 0.5:.3f}",
    }
    for name, counts in compared.items():
        same, apart = counts["same order"].sum(), counts["clearly apart"].sum()
        found[f"{_slug(name)}-in-the-same-order"] = f"{same} of {apart}"
    for (name, size), text in other_orders(compared).items():
        found[f"{_slug(name)}-in-another-order-at-{size}"] = text
    return found


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")
