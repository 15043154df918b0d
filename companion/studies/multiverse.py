"""Every reading at once: in what share of the universes each claim is seen, what decides it, and what is nearest to the
paper.

`python -m companion.studies.multiverse` judges the stored runs of all samples, which takes some minutes, and writes
data/multiverse-claims.parquet and data/multiverse-observed.parquet; all else is computed from these.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats.contingency import odds_ratio
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_predict
from statsmodels.stats.proportion import proportion_confint

from companion.core.losses import MASKS
from companion.judging.multiverse import AS_NOMINAL, ASKS, FITS, OBSERVATIONS, READ_AS, judge_universes
from companion.judging.paired import Interval
from companion.show.chapters import ROOT
from companion.show.words import listed_or_none, percent, span
from companion.sweeps.runs import stored_table, write_runs
from companion.sweeps.universes import AXES, Universe, universes
from companion.sweeps.workers import as_they_finish, open_executor

SAMPLES: dict[str, dict[str, Any]] = {
    "sobol": {"sampling": "sobol"},
    "neighbours": {"sampling": "neighbours"},
    "strength-temperature": {"sampling": "finer grid", "axes": ("λ", "τ")},
    "start-overlap": {"sampling": "grid", "axes": ("initialisation", "overlap")},
    "transport": {"sampling": "sobol, transport", "number": 128},
}
"""The samples by the names of their files, data/multiverse-NAME-….parquet, and how their universes are drawn."""
COMPLETED_BY = {"transport": "sobol"}
"""Samples whose runs are those of masks with an attractor: the other masks' are in another sample, under the same file
and universe numbers."""
FOUND = ("best", "around")
"""Samples that the search found, see `companion.studies.nearest`."""
CLAIMS, OBSERVED = "multiverse-claims", "multiverse-observed"


def sample(name: str) -> list[Universe]:
    """Return a sample's universes; a universe's number is its place."""
    return universes(**SAMPLES[name])


class Judged(NamedTuple):
    """What is seen in the universes of one sample: `claims`, a row a universe, claim and reading, and `observed`, a row
    a universe, as `companion.judging.multiverse.judge_universes` returns them."""

    claims: pd.DataFrame
    observed: pd.DataFrame

    @property
    def of_claims(self) -> pd.DataFrame:
        """The claims in the nominal reading alone."""
        return self.claims[self.claims["reading"] == AS_NOMINAL]

    def fitting(self) -> Judged:
        """Return the same of the universes in which all masks fit."""
        fit = self.observed["universe"][self.observed["worst_fit"] <= FITS]
        return Judged(*(table[table["universe"].isin(fit)] for table in self))


def stored(root: Path, name: str) -> Judged:
    """Return what is stored of one sample."""
    tables = (stored_table(root, file) for file in (CLAIMS, OBSERVED))
    return Judged(*(table[table["sample"] == name].drop(columns="sample") for table in tables))


# --- shares ---


def share(count: int, of: int) -> Interval:
    """Return a share with its 95 % Wilson interval, as if the universes were drawn independently.

    A Sobol' sequence spreads them more evenly than that, so its intervals are rather too wide than too narrow for the
    share over all combinations of levels.
    """
    ends: Any = proportion_confint(count, of, alpha=0.05, method="wilson")
    return Interval(count / of, float(ends[0]), float(ends[1]))


def shares_by_mean(root: Path) -> dict[str, Interval]:
    """Return in what share of the stored Sobol' sample each claim is seen by means, as the ledger's rows have it."""
    table = shares(stored(root, "sobol").of_claims).set_index("claim")
    return {str(key): Interval(*row) for key, row in table[["mean share", "mean low", "mean high"]].iterrows()}


def shares(claims: pd.DataFrame, by: Sequence[str] = ("claim",)) -> pd.DataFrame:
    """Return in what share of the universes claims are seen.

    Book: chapter "Every reading at once", section "Shares".

    Args:
        claims: of `Judged`.
        by: columns that name a group: of one row each universe.

    Returns:
        One row a group: `universes`; `mean` and `rule`, how many of them show it by means, and by the rule, each with
        `… share`, `… low` and `… high`; `cases`, the mean share of the claim's cases that the means show; the median
        effect.
    """
    rows = []
    for name, group in claims.groupby(list(by), sort=False):
        row: dict[str, Any] = dict(zip(by, name, strict=True)) | {"universes": len(group)}
        for kind in ("mean", "rule"):
            seen = int(group[f"by_{kind}"].sum())
            found = share(seen, len(group))
            row |= {
                kind: seen,
                **{f"{kind} {end}": value for end, value in zip(("share", "low", "high"), found, strict=True)},
            }
        row |= {"cases": float((group["mean"] / group["cases"]).mean()), "effect": float(group["effect"].median())}
        rows.append(row)
    return pd.DataFrame(rows)


# --- what decides ---


def codes(sampled: Iterable[Universe]) -> pd.DataFrame:
    """Return the place of each universe's level on its axis: a row a universe, a column an axis."""
    places = [[levels.index(level) for levels, level in zip(AXES.values(), one.levels, strict=True)] for one in sampled]
    return pd.DataFrame(places, columns=list(AXES))


def main_effects(places: pd.DataFrame, outcome: np.ndarray) -> pd.Series:
    """Return of each axis the share of an outcome's variance that its levels' means explain, less what chance would.

    ω² of a one-way analysis of variance: 0 in expectation for an axis without an effect, and never below it here.
    Book: chapter "Every reading at once", section "What decides".

    Args:
        places: what `codes` returned.
        outcome: one number a universe, shape (universes,).

    Returns:
        Shares by axis; 0 where the outcome does not vary.
    """
    total = float(((outcome - outcome.mean()) ** 2).sum())
    found = {}
    for axis in places:
        groups = pd.Series(outcome).groupby(places[axis].to_numpy())
        between = float((groups.size() * (groups.mean() - outcome.mean()) ** 2).sum())
        free = groups.ngroups - 1
        within = (total - between) / (len(outcome) - free - 1)
        found[axis] = max(0.0, (between - free * within) / (total + within)) if np.ptp(outcome) else 0.0
    return pd.Series(found)


class Attribution(NamedTuple):
    """What decides an outcome.

    Attributes:
        total: of each axis the share of the surrogate's variance that is left when all other axes are known.
        r2: the surrogate's cross-validated R²: the part of the outcome's variance that it can say anything about, each
            universe predicted by trees that have not seen it; below 0 where they say less than the mean does.
    """

    total: pd.Series
    r2: float


DRAWS = 4096
"""Pairs of universes from which total effects are computed; their stream has seed 0."""


def attribute(places: pd.DataFrame, outcome: np.ndarray) -> Attribution:
    """Return the total effects of the axes on an outcome, by a surrogate: 200 extremely randomised trees.

    Total effects by Jansen's estimator: half the mean squared change of the surrogate's answer when the level of one
    axis is drawn anew, over its variance, universes drawn uniformly. Interactions count for each axis in them, so that
    totals may add up to more than 1. Some interactions are the same column in all universes of a Sobol' sample: of
    these the trees may name either.
    Book: chapter "Every reading at once", section "What decides".

    Args:
        places: what `codes` returned.
        outcome: one number a universe, shape (universes,); where it is the same in all, nothing decides and R² is NaN.
    """
    levels = {str(axis): int(places[axis].max()) + 1 for axis in places}

    def encoded(rows: pd.DataFrame) -> np.ndarray:
        return np.column_stack([rows[axis] == level for axis, count in levels.items() for level in range(count)])

    trees = ExtraTreesRegressor(200, min_samples_leaf=2, max_features=0.5, random_state=0, n_jobs=1)
    if np.ptp(outcome) == 0:
        return Attribution(pd.Series(0.0, index=list(levels)), math.nan)
    r2 = r2_score(outcome, cross_val_predict(trees, encoded(places), outcome, cv=5))
    trees.fit(encoded(places), outcome)
    stream = np.random.default_rng(0)
    drawn = pd.DataFrame({axis: stream.integers(count, size=DRAWS) for axis, count in levels.items()})
    before = trees.predict(encoded(drawn))
    variance = before.var()
    total = {}
    for axis, count in levels.items():
        moved = trees.predict(encoded(drawn.assign(**{str(axis): stream.integers(count, size=DRAWS)})))
        total[axis] = ((before - moved) ** 2).mean() / 2 / variance
    return Attribution(pd.Series(total), r2)


def outcomes(claims: pd.DataFrame) -> pd.DataFrame:
    """Return of each universe and claim the share of the claim's cases that the means show: universes by claims.

    Of C4 whether it is seen: its cases are pairs, better and worse, of which means show one.
    """
    part = claims["mean"] / claims["cases"]
    seen = claims.assign(seen=part.where(claims["claim"] != "C4", claims["by_mean"].astype(float)))
    return seen.pivot(index="universe", columns="claim", values="seen")[list(ASKS)]


def what_decides(places: pd.DataFrame, claims: pd.DataFrame) -> pd.DataFrame:
    """Return what decides each claim's share of cases: a row a claim and axis: main, total, and the surrogate's R².

    Book: chapter "Every reading at once", section "What decides".

    Args:
        places: `codes` of the universes in `claims`, indexed by their numbers.
        claims: of `Judged`, in one reading.
    """
    rows = []
    for claim, outcome in outcomes(claims).items():
        values = outcome.to_numpy()
        chosen = places.loc[outcome.index]
        main, (total, r2) = main_effects(chosen, values), attribute(chosen, values)
        rows += [{"claim": claim, "axis": axis, "main": main[axis], "total": total[axis], "R²": r2} for axis in AXES]
    return pd.DataFrame(rows)


@cache
def decided_in(root: Path) -> pd.DataFrame:
    """Return `what_decides` of the stored Sobol' sample; computed once, as it takes half a minute."""
    return what_decides(codes(sample("sobol")), stored(root, "sobol").of_claims)


BINS = 32
"""Parts of a claim's sorted universes in whose strip levels are counted."""


def specification_curve(
    claims: pd.DataFrame, places: pd.DataFrame, claim: str, axes: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a claim's effect in all universes, sorted, and which levels stand where in that order.

    Book: chapter "Every reading at once", section "One curve a claim".

    Args:
        claims: of `Judged`, in one reading.
        places: `codes` of the universes, indexed by their numbers.
        claim: which.
        axes: whose levels are counted.

    Returns:
        The curve: universe, rank (0 to 1), effect, low, high; and the strip: start, end, level, value (the level's
        share in that part of the order, over its share at all).
    """
    own = claims[claims["claim"] == claim].sort_values("effect", kind="stable").reset_index(drop=True)
    curve = own[["universe", "effect", "low", "high"]].assign(rank=(np.arange(len(own)) + 0.5) / len(own))
    part = np.minimum(np.arange(len(own)) * BINS // len(own), BINS - 1)
    rows = []
    for axis in axes:
        of_universes = places.loc[own["universe"], axis].to_numpy()
        for place, level in enumerate(AXES[axis]):
            here = of_universes == place
            for k in range(BINS):
                value = float(here[part == k].mean() / here.mean())
                rows.append(
                    {"start": k / BINS, "end": (k + 1) / BINS, "level": f"{axis}: {level.name}", "value": value}
                )
    return curve, pd.DataFrame(rows)


# --- together or apart ---


def together(claims: pd.DataFrame, kind: str = "mean") -> pd.DataFrame:
    """Return how often pairs of claims are seen in the same universe, against how often one is without the other.

    Book: chapter "Every reading at once", section "Together or apart".

    Args:
        claims: of `Judged`, in one reading.
        kind: "mean" or "rule".

    Returns:
        One row a pair: both, first only, second only, neither; odds ratio, ½ added to each count (so that it exists
        where one is 0), with the exact 95 % interval of the counts themselves: from 0 to infinity for a claim that is
        seen in no universe.
    """
    seen = claims.pivot(index="universe", columns="claim", values=f"by_{kind}")[list(ASKS)].astype(bool)
    rows = []
    for first, second in itertools.combinations(ASKS, 2):
        counts = [
            int(((seen[first] == one) & (seen[second] == other)).sum())
            for one, other in itertools.product((True, False), repeat=2)
        ]
        # With ½ in each count the interval would say that two claims go together that are hardly ever seen.
        low, high = odds_ratio(np.reshape(counts, (2, 2))).confidence_interval(0.95)
        both, one, other, neither = np.array(counts) + 0.5
        names = ("both", "first only", "second only", "neither")
        ratio = {"odds ratio": both * neither / (one * other), "low": low, "high": high}
        rows.append({"first": first, "second": second, **dict(zip(names, counts, strict=True)), **ratio})
    return pd.DataFrame(rows)


# --- near to the paper ---


def nearness(observed: pd.DataFrame) -> pd.DataFrame:
    """Return of each universe how many observations of the paper it reproduces, and the sum of their shares.

    Returns:
        Columns universe, reproduced, shares; the nearest universe first.
    """
    parts = observed[list(OBSERVATIONS)]
    table = pd.DataFrame(
        {"universe": observed["universe"], "reproduced": (parts == 1).sum(axis=1), "shares": parts.sum(axis=1)}
    )
    return table.sort_values(["reproduced", "shares"], ascending=False, kind="stable").reset_index(drop=True)


def over_represented(places: pd.DataFrame, near: Sequence[int]) -> pd.DataFrame:
    """Return how often each level stands among some universes, against how often it was drawn.

    Args:
        places: `codes` of the universes drawn, indexed by their numbers.
        near: numbers of those that are near to the paper.

    Returns:
        One row an axis and level: near (count), share with its 95 % Wilson interval, drawn (share).
    """
    rows = []
    for axis, levels in AXES.items():
        for place, level in enumerate(levels):
            chosen = places[axis] == place
            count = int(chosen.loc[list(near)].sum())
            found = share(count, len(near))
            ends = {"share": found.value, "low": found.low, "high": found.high}
            rows.append({"axis": axis, "level": level.name, "near": count, **ends, "drawn": float(chosen.mean())})
    return pd.DataFrame(rows)


# --- as the chapter shows it ---


def table_of_axes() -> pd.DataFrame:
    """Return the axes (the index) with their levels, the nominal one first, as the chapter tabulates them."""
    rows = [(axis, len(levels), "; ".join(level.name for level in levels)) for axis, levels in AXES.items()]
    return pd.DataFrame(rows, columns=["axis", "levels", "which"]).set_index("axis")


def table_of_observations(judged: Judged) -> pd.DataFrame:
    """Return what the paper reports (the index, by its name) in words, and the share of universes that reproduce it."""
    rows = [
        (name, observation.says, f"{(judged.observed[name] == 1).mean():.1%}")
        for name, observation in OBSERVATIONS.items()
    ]
    return pd.DataFrame(rows, columns=["observation", "the paper reports", "universes"]).set_index("observation")


def share_panels(judged: Judged) -> dict[str, pd.DataFrame]:
    """Return the shares of all universes and of those that fit, as `show.multiverse.shares_of_universes` draws them."""
    panels = {}
    for title, some in {"all universes": judged, "those in which all masks fit": judged.fitting()}.items():
        table = shares(some.of_claims)
        ends = {
            kind: table[["claim", *(f"{kind} {end}" for end in ("share", "low", "high"))]] for kind in ("mean", "rule")
        }
        named = [
            rows.set_axis(["claim", "share", "low", "high"], axis=1).assign(read=f"by {kind}")
            for kind, rows in ends.items()
        ]
        panels[f"{title} ({len(some.observed)})"] = pd.concat(named, ignore_index=True)
    return panels


def share_table(judged: Judged) -> pd.DataFrame:
    """Return the shares as the chapter tabulates them: a row a claim; all universes and those that fit."""

    def written(table: pd.DataFrame, kind: str) -> list[str]:
        return [
            f"{row[kind]} ({row[f'{kind} share']:.1%} [{row[f'{kind} low']:.1%}, {row[f'{kind} high']:.1%}])"
            for _, row in table.iterrows()
        ]

    every, fit = (shares(some.of_claims) for some in (judged, judged.fitting()))
    columns = {
        "by mean": written(every, "mean"),
        "by rule": written(every, "rule"),
        "by mean, those that fit": written(fit, "mean"),
        "by rule, those that fit": written(fit, "rule"),
        "cases, by mean": [
            f"{value:.0%}" if key != "C4" else "–" for key, value in every.set_index("claim")["cases"].items()
        ],
    }
    return pd.DataFrame(columns, index=pd.Index(every["claim"], name="claim"))


def reading_table(judged: Judged) -> pd.DataFrame:
    """Return the share of universes that show a claim by means, in each reading of the same weights."""
    table = shares(judged.claims, ["claim", "reading"])
    wide = table.pivot(index="claim", columns="reading", values="mean share").loc[list(ASKS)]
    some = wide.dropna(thresh=2)
    columns = [name for name in READ_AS if name in some]
    return some[columns].map(percent)


STRIP = 3
"""Axes whose levels a strip shows: those of the largest main effects."""


def curve_panels(
    judged: Judged, places: pd.DataFrame, decided: pd.DataFrame, keys: Sequence[str], nominal: Judged
) -> dict[str, tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]]:
    """Return some claims' curves, as `show.multiverse.specification_curves` draws them.

    Args:
        judged: of the sample.
        places: `codes` of its universes.
        decided: what `what_decides` returned.
        keys: the claims.
        nominal: the sample whose universe 0 is the nominal one, which is marked.
    """
    panels = {}
    for key in keys:
        chosen = decided[decided["claim"] == key].nlargest(STRIP, "main")["axis"]
        curve, strip = specification_curve(judged.of_claims, places, key, list(chosen))
        own = nominal.of_claims.query("universe == 0 and claim == @key")["effect"].iloc[0]
        marked = pd.DataFrame({"rank": [(curve["effect"] < own).mean()], "effect": [own]})
        panels[key] = _clipped(curve), _clipped(marked), strip
    return panels


CLIP = 3.0
"""Effects are drawn up to this; beyond it a run of a universe has left all bounds."""


def _clipped(table: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in ("effect", "low", "high") if name in table]
    return table.assign(**{name: table[name].clip(-CLIP, CLIP) for name in names})


KNOWN = 0.1
"""A surrogate with a smaller R² knows too little of an outcome to say what decides it."""


def deciding_panels(decided: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return main and total effects as `companion.show.charts.grids` draws them: axes by claims.

    Total effects are left out (NaN) where the surrogate's R² is below `KNOWN`.
    """
    total = decided["total"].where(decided["R²"] >= KNOWN)
    drawn = decided.rename(columns={"claim": "column", "axis": "row"})
    return {
        "main effects": drawn.assign(value=drawn["main"])[["row", "column", "value"]],
        "total effects": drawn.assign(value=total)[["row", "column", "value"]],
    }


def deciding_table(decided: pd.DataFrame) -> pd.DataFrame:
    """Return of each claim the three axes of the largest main effects, with the total ones, and the surrogate's R²."""
    rows = []
    for claim, group in decided.groupby("claim", sort=False):
        known = group["R²"].iloc[0] >= KNOWN
        largest = group.nlargest(3, "main")
        totals = [f"{value:.2f}" if known else "–" for value in largest["total"]]
        texts = [
            f"{axis} {main:.2f} ({total})"
            for axis, main, total in zip(largest["axis"], largest["main"], totals, strict=True)
        ]
        rows.append({"claim": claim, **dict(zip(("first", "second", "third"), texts, strict=True)), "R²": _r2(group)})
    return pd.DataFrame(rows).set_index("claim")


def _r2(group: pd.DataFrame) -> str:
    r2 = float(group["R²"].iloc[0])
    return "–" if math.isnan(r2) else f"{r2:.2f}"


def pair_cells(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return log10 of the odds ratios of pairs of claims, both ways round, as rows for `show.charts.grids`."""
    there = pairs.assign(row=pairs["first"], column=pairs["second"])
    back = pairs.assign(row=pairs["second"], column=pairs["first"])
    both = pd.concat([there, back]).assign(value=lambda rows: np.log10(rows["odds ratio"]))
    order = {key: place for place, key in enumerate(ASKS)}
    return both[["row", "column", "value"]].sort_values(
        ["row", "column"], key=lambda column: column.map(order), kind="stable"
    )


def pair_table(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of claims as the chapter tabulates them: counts, and the odds ratio with its interval."""
    ratio = [f"{row['odds ratio']:.2g} [{row['low']:.2g}, {row['high']:.2g}]" for _, row in pairs.iterrows()]
    named = pairs.assign(pair=pairs["first"] + " and " + pairs["second"], **{"odds ratio": ratio})
    return named.set_index("pair")[["both", "first only", "second only", "neither", "odds ratio"]]


def nearest_table(judged: Judged, sampled: Sequence[Universe], number: int = 10) -> pd.DataFrame:
    """Return the universes that reproduce most of the paper's observations: how many, and their levels.

    Args:
        judged: of a sample.
        sampled: its universes.
        number: how many rows.
    """
    near = nearness(judged.observed).head(number)
    rows = [
        {"universe": int(row["universe"]), "reproduced": f"{row['reproduced']:.0f} of {len(OBSERVATIONS)}"}
        | sampled[int(row["universe"])].names
        for _, row in near.iterrows()
    ]
    return pd.DataFrame(rows).set_index("universe")


GRIDS = {"strength-temperature": ("λ", "τ"), "start-overlap": ("initialisation", "overlap")}
"""The samples that are full grids, nominal otherwise, and their two axes."""


SHORT = {"product": "prod.", "cosine": "cos.", "squared Gram": "Gram", "squared covariance": "cov."}
"""Forms of overlap as the columns of a picture name them; a τ is named by its power of ten."""


def grid_panels(root: Path) -> dict[str, pd.DataFrame]:
    """Return what part of the paper's observations each universe of the grids reproduces, for `show.charts.grids`."""
    panels = {}
    for name, (row, column) in GRIDS.items():
        names = [one.names for one in sample(name)]
        near = nearness(stored(root, name).observed).set_index("universe")["reproduced"].sort_index()
        cells = {
            "row": [one[row] for one in names],
            "column": [_short(column, one[column]) for one in names],
            "value": (near / len(OBSERVATIONS)).to_numpy(),
        }
        panels[f"{row} (rows) and {'log10 τ' if column == 'τ' else column}"] = pd.DataFrame(cells)
    return panels


def _short(axis: str, level: str) -> str:
    return f"{math.log10(float(level)):.1f}" if axis == "τ" else SHORT.get(level, level)


def step_table(data: Path) -> pd.DataFrame:
    """Return what a step of each level costs: a row a level (the index), a column a size.

    Args:
        data: the folder of the stored runs, with what `python -m benchmarks.levels` measured.

    Returns:
        Microseconds, and in brackets the factor to the axis' nominal level.
    """
    measured = _measured_steps(data)
    nominal = measured.groupby(["axis", "size"])["microseconds"].transform("first")
    factors = measured["microseconds"] / nominal
    text = [f"{step:.3g} ({factor:.1f})" for step, factor in zip(measured["microseconds"], factors, strict=True)]
    named = measured.assign(text=text, level=measured["axis"] + ": " + measured["level"])
    wide = named.pivot(index="level", columns="size", values="text").loc[named["level"].unique()]
    return wide.rename(columns="N = {}".format)


def _measured_steps(data: Path) -> pd.DataFrame:
    return pd.DataFrame(json.loads((data / "benchmarks.json").read_text(encoding="utf-8"))["levels"]["steps"])


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter's prose, by name.

    Args:
        data: the book's folder `data`.
    """
    judged, near = (stored(data.parent, name) for name in ("sobol", "neighbours"))
    fit, count = judged.fitting(), len(judged.observed)
    decided = decided_in(data.parent)
    found = {
        "combinations": f"{math.prod(len(levels) for levels in AXES.values()):,}",
        "universes": f"{count:,}",
        "planned": f"{len(sample('sobol')):,}",
        "neighbours": str(len(near.observed) - 1),
        "runs": f"{480 * count:,}",
        "lost": f"{judged.observed['lost'].sum():,}",
        "lost-universes": str((judged.observed["lost"] > 0).sum()),
        "fits": f"{FITS:g}",
        "fitting": str(len(fit.observed)),
        "known": f"{KNOWN:g}",
    }
    found |= grid_numbers(data.parent) | step_numbers(data)
    parts = share_numbers(judged, fit), near_numbers(judged, near), deciding_numbers(decided), pair_numbers(judged)
    return found | {name: value for part in parts for name, value in part.items()}


def grid_numbers(root: Path) -> dict[str, str]:
    """Return how many observations are reproduced at most on each grid, and where."""
    found = {}
    for name, axes in GRIDS.items():
        best = nearness(stored(root, name).observed).iloc[0]
        names = sample(name)[int(best["universe"])].names
        found |= {f"most-on-{name}": f"{best['reproduced']:.0f}"}
        found |= {f"best-{part}": names[axis] for part, axis in zip(name.split("-"), axes, strict=True)}
    return found


def step_numbers(data: Path) -> dict[str, str]:
    """Return what a nominal step takes at the largest size, and how much longer the products of all responses."""
    measured = _measured_steps(data)
    step = measured[measured["size"] == measured["size"].max()].set_index(["axis", "level"])["microseconds"].to_dict()
    product, *grams = (step["overlap", level] for level in ("product", "squared Gram", "squared covariance"))
    return {
        "nominal-step": f"{step['inputs', 'random']:.0f}",
        "gram-steps": span((gram / product for gram in grams), ".1f"),
    }


def share_numbers(judged: Judged, fit: Judged) -> dict[str, str]:
    """Return each claim's share as the prose has it, and which claims are seen often, seldom, or by the rule."""
    every, fitting = (shares(some.of_claims).set_index("claim") for some in (judged, fit))
    mean, rule = every["mean share"], every["rule share"]
    most = str((fitting["mean share"] - mean).abs().idxmax())
    return {
        "claims": str(len(every)),
        **{f"{key.lower()}-mean": percent(mean[key]) for key in ("C1", "C3", "C4")},
        "often": listed_or_none(mean.index[mean >= 1 / 2]),
        "seldom": listed_or_none(mean.index[mean < 1 / 10]),
        "largest-rule": percent(rule.max()),
        "largest-rule-claim": str(rule.idxmax()),
        "rule-none": listed_or_none(rule.index[rule == 0]),
        "most-moved": most,
        "most-moved-mean": percent(mean[most]),
        "most-moved-fitting": percent(fitting["mean share"][most]),
    }


def near_numbers(judged: Judged, near: Judged) -> dict[str, str]:
    """Return how many observations are reproduced at most, in the middle, and in the nominal universe."""
    reproduced, nominal = nearness(judged.observed)["reproduced"], nearness(near.observed).set_index("universe")
    return {
        "observations": str(len(OBSERVATIONS)),
        "most-reproduced": str(reproduced.max()),
        "median-reproduced": f"{reproduced.median():g}",
        "nominal-reproduced": str(nominal.loc[0, "reproduced"]),
        "neighbour-reproduced": str(nominal["reproduced"].max()),
        "as-many-as-nominal": percent(float((reproduced >= nominal.loc[0, "reproduced"]).mean())),
    }


def deciding_numbers(decided: pd.DataFrame) -> dict[str, str]:
    """Return for how many claims an axis has one of the three largest main effects, and which claims are known."""
    largest = pd.concat([group.nlargest(3, "main") for _, group in decided.groupby("claim", sort=False)])
    first = decided.nlargest(1, "main").iloc[0]
    counts = largest[largest["main"] > 0]["axis"].value_counts()
    known = decided.drop_duplicates("claim").set_index("claim")["R²"] >= KNOWN
    named = [f"{axis} ({count})" for axis, count in counts.items() if count >= 3]
    return {
        "axes-often": listed_or_none(named),
        "axes-never": listed_or_none(axis for axis in AXES if axis not in counts),
        "known-claims": listed_or_none(known.index[known]),
        "largest-main": f"{first['main']:.2f}",
        "largest-main-claim": str(first["claim"]),
        "largest-main-axis": str(first["axis"]),
    }


def pair_numbers(judged: Judged) -> dict[str, str]:
    """Return which pairs of claims go together and which apart, and how often C1 and C3 are seen at once."""
    pairs = together(judged.of_claims)
    names = pairs["first"] + " with " + pairs["second"]
    both = pairs[(pairs["first"] == "C1") & (pairs["second"] == "C3")]["both"].iloc[0]
    return {
        "c1-and-c3": str(both),
        "pairs": str(len(pairs)),
        "together": listed_or_none(names[pairs["low"] > 1]),
        "apart": listed_or_none(names[pairs["high"] < 1]),
        "never-both": str(int((pairs["both"] == 0).sum())),
    }


# --- what is stored ---


def runs_of(root: Path, name: str) -> list[Path]:
    """Return the files of a sample's runs, in the order of their universes."""
    return sorted((root / "data").glob(f"multiverse-{name}-[0-9]*.parquet"))


def _judge_file(job: tuple[str, Path, tuple[int, ...]]) -> Judged:
    """Judge some universes of one file, by their numbers."""
    name, path, numbers = job
    chosen = [("universe", "in", numbers)]
    runs = pd.read_parquet(path, filters=chosen)
    if name in COMPLETED_BY:
        other = path.with_name(path.name.replace(name, COMPLETED_BY[name]))
        free = [mask for mask, on in MASKS.items() if not on.coverage]
        runs = pd.concat([runs, pd.read_parquet(other, filters=[*chosen, ("mask", "in", free)])])
    return Judged(*(table.assign(sample=name) for table in judge_universes(runs)))


BATCH = 8
"""Universes that are judged at once."""


def judge_stored(root: Path, workers: int | None = None) -> Judged:
    """Judge all stored runs: those of every sample, whatever of its files is there."""
    jobs = []
    for name in (*SAMPLES, *FOUND):
        for path in runs_of(root, name):
            numbers = pd.read_parquet(path, columns=["universe"])["universe"].unique().tolist()
            jobs += [(name, path, tuple(numbers[k : k + BATCH])) for k in range(0, len(numbers), BATCH)]
    with open_executor(workers) as executor:
        found = dict(as_they_finish(_judge_file, jobs, executor))
    return Judged(*(pd.concat([found[job][k] for job in jobs], ignore_index=True) for k in range(2)))


def write(root: Path = ROOT, workers: int | None = 2) -> None:
    """Judge all stored runs and store what is seen."""
    judged = judge_stored(root, workers)
    numbers = judged.claims.select_dtypes("float").columns
    write_runs(judged.claims.astype(dict.fromkeys(numbers, np.float32)), root / "data" / f"{CLAIMS}.parquet")
    write_runs(judged.observed, root / "data" / f"{OBSERVED}.parquet")


if __name__ == "__main__":
    write()
