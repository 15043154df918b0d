"""How a claim is judged: statements about two groups of runs, cases made of statements, and what the cases give.

Every statement is tested seed by seed (`companion.judging.paired`), every case comes out as supported, contradicted or
open, and their counts make the verdict. The claims themselves are in `companion.judging.claims`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import sem

from companion.core.checks import array_of, require_a, require_list, shown
from companion.core.losses import MASKS
from companion.judging import paired
from companion.sweeps.runs import require_table
from companion.sweeps.sweep import list_of

HOLDS, IN_PART, DOES_NOT_HOLD, UNDECIDED = "holds", "holds in part", "does not hold", "undecided"
ON_MARGIN = "depends on the margin"
VERDICTS = (HOLDS, IN_PART, DOES_NOT_HOLD, UNDECIDED, ON_MARGIN)

LEVEL = 0.025
"""Level of each direction: a claim's cases are supported or contradicted falsely with probability 5 % at most."""
E = "reconstruction_error"
POSITION = "position_error"
PLACE, BESIDE_STD = "place", "specialization beside Std's"
MADE_OF = {PLACE: E, BESIDE_STD: "specialization_ratio"}
"""Metrics that set a group beside others, see `Study.values`, and what they are made of."""
LOGARITHMIC = (E, POSITION, PLACE, "specialization_ratio", BESIDE_STD)
"""Metrics that are compared as ratios, that is by their logarithms; the others, which can be 0, by differences."""
IN_SIGNS = {
    E: "E",
    POSITION: "position error",
    "specialization_ratio": "S",
    BESIDE_STD: "S over S of 000",
    "expelled_fraction": "X",
}
"""Metrics as `describe` writes them."""

Group = tuple[Any, ...]
"""What the runs of one group share: (mask, size), or (mask, size, temperature); a label may stand for a mask."""


KINDS = ("below", "near")
"""How a statement's first side may lie to its second."""


class Statement(NamedTuple):
    """One comparison: `first` lies below, or near, `second`; either a group of runs or a number.

    `kind` is "below" (`first` - `second` < `gap`) or "near" (between -`gap` and `gap`); "below" a gap above 0 is "no
    higher, but for the gap". "Below" with a `least` effect is below by that much more, which the order of means is read
    without. Logarithmic metrics, `gap` and `least` with them, are in logarithms.
    """

    metric: str
    first: Group | float
    second: Group | float
    gap: float = 0.0
    kind: str = "below"
    least: float = 0.0


class Case(NamedTuple):
    """A part of a claim that is supported as a whole: all its statements, or not."""

    name: str
    statements: list[Statement]


class Study:
    """A sweep's metrics as the rules read them: for every metric and group one value a seed, in the seeds' order.

    Args:
        values: metric -> group -> array of shape (seeds,), in the metric's own units.
    """

    def __init__(self, values: Mapping[str, Mapping[Group, np.ndarray]]) -> None:
        self.raw = {metric: dict(groups) for metric, groups in values.items()}
        self._values = {
            metric: {key: _logarithm(array) for key, array in groups.items()} if metric in LOGARITHMIC else groups
            for metric, groups in self.raw.items()
        }
        groups = next(iter(self.raw.values()))
        names = {key[0] for key in groups}
        self.masks = [mask for mask in MASKS if mask in names] + sorted(names - set(MASKS))
        self.sizes = sorted({key[1] for key in groups})
        self.temperatures = sorted({key[2] for key in groups if len(key) > 2})
        self.seeds = len(next(iter(groups.values())))

    @classmethod
    def of(cls, runs: pd.DataFrame | Study, by: Iterable[str] = ("mask", "size")) -> Study:
        """Return runs as a study.

        Args:
            runs: one row a run, every group with the same seeds; or a study, which is returned.
            by: columns that name a group.

        Raises:
            ValueError: if a column or a run is missing, or a run stands twice or has a metric that is not a number.
        """
        if isinstance(runs, Study):
            return runs
        by = list_of("by", by, partial(require_a, str))
        if "seed" in by:
            raise ValueError(
                f"by: {by} was given; allowed are columns that name a group, whose runs differ in the seed"
            )
        metrics = (E, POSITION, "fit_mse", "specialization_ratio", "expelled_fraction")
        runs = require_table("runs", runs, metrics, [*by, "seed"])
        if (twice := runs.duplicated([*by, "seed"])).any():
            found = ", ".join(f"{name} {value}" for name, value in runs.loc[twice, [*by, "seed"]].iloc[0].items())
            raise ValueError(f"runs: {found} was given more than once; allowed is one run a group and seed")
        levels = [list(dict.fromkeys(runs[name])) for name in by]
        if missing := set(product(*levels)) - set(runs[by].itertuples(index=False, name=None)):
            found = ", ".join(f"{name} {value}" for name, value in zip(by, min(missing, key=str), strict=True))
            raise ValueError(f"runs: {found} is missing; allowed are all combinations of {', '.join(by)}")
        wide = runs.pivot(index="seed", columns=by, values=list(metrics))
        lacking: Any = ~np.isfinite(wide)
        if lacking.any(axis=None):
            seed, *group = lacking.stack(by, future_stack=True).any(axis=1).idxmax()
            found = ", ".join(f"{name} {value}" for name, value in zip([*by, "seed"], [*group, seed], strict=True))
            raise ValueError(
                f"runs: {found} is missing or has a metric that is no finite number; "
                "allowed are groups with the same seeds and finite metrics"
            )
        values = {metric: dict(zip(wide[metric], wide[metric].to_numpy().T, strict=True)) for metric in metrics}
        values["rmse"] = {key: np.sqrt(array) for key, array in values.pop("fit_mse").items()}
        return cls(values)

    def take(self, seeds: np.ndarray) -> Study:
        """Return the study of some seeds, given by their places; a place may repeat."""
        return Study(
            {metric: {key: array[seeds] for key, array in groups.items()} for metric, groups in self.raw.items()}
        )

    def needs(self, masks: Iterable[str], sizes: int = 1, temperatures: int = 0) -> None:
        """Refuse runs that a claim says nothing about.

        Raises:
            ValueError: if a mask, or a second size or temperature, is missing.
        """
        if missing := [mask for mask in masks if mask not in self.masks]:
            raise ValueError(f"runs: masks {self.masks} were given; allowed are runs with {missing}, too")
        for name, given, least in (("size", self.sizes, sizes), ("temperature", self.temperatures, temperatures)):
            if len(given) < least:
                raise ValueError(f"runs: {name}s {given} were given; allowed are runs of at least {least}")

    def values(self, metric: str, group: Group | float) -> np.ndarray:
        """Return a group's values as they are compared: logarithms where the metric is logarithmic, shape (seeds,).

        The metric `PLACE` is where a mask stands among all: log E less the mean of log E over the seed's masks;
        `BESIDE_STD` is log S less that of Std on the same seed.
        """
        if not isinstance(group, tuple):
            return np.full(self.seeds, float(group))
        if metric not in MADE_OF:
            return _of_group(self._values, metric, group)
        own, *others = (_of_group(self._values, MADE_OF[metric], one) for one in self._beside(metric, group))
        return own - np.mean(others, axis=0)

    def _beside(self, metric: str, group: Group) -> list[Group]:
        """A group and, after it, those that a metric made of several sets it beside."""
        masks = self.masks if metric == PLACE else ["000"]
        return [group, *((mask, *group[1:]) for mask in masks)]

    def own_units(self, metric: str, group: Group | float) -> np.ndarray:
        """Return one side of a statement in its metric's own units, shape (seeds,); of a `PLACE` it is E, and so on."""
        if not isinstance(group, tuple):
            return np.full(self.seeds, math.exp(group) if metric in LOGARITHMIC else group)
        return _of_group(self.raw, MADE_OF.get(metric, metric), group)

    def mean(self, metric: str, group: Group | float) -> float:
        """Return the same of the group's arithmetic mean over seeds, which is what the paper shows."""
        if not isinstance(group, tuple):
            return float(group)
        if metric in MADE_OF:
            own, *others = (self.mean(MADE_OF[metric], one) for one in self._beside(metric, group))
            return own - float(np.mean(others))
        mean = _of_group(self.raw, metric, group).mean()
        return float(_logarithm(mean) if metric in LOGARITHMIC else mean)


def _of_group(values: Mapping[str, Mapping[Group, np.ndarray]], metric: str, group: Group) -> np.ndarray:
    """A group's values of a metric, refusing what the study does not have."""
    if metric not in values or group not in values[metric]:
        held = list(values[metric]) if metric in values else list(values)
        raise ValueError(f"statement: {metric!r} of group {group} was given; allowed are the study's, {shown(held)}")
    return values[metric][group]


def _require_statements(study: Any, statements: Any) -> list[Statement]:
    require_a(Study, "study", study)
    return require_list("statements", statements, _require_statement)


def _require_statement(name: str, given: Any) -> Statement:
    """Return a statement whose sides are groups or numbers, of a kind that has a test."""
    statement = require_a(Statement, name, given)
    groups = tuple(side for side in statement[1:3] if isinstance(side, tuple))
    numbers = [side for side in statement[1:3] if not isinstance(side, tuple)]
    numbers += [statement.gap, statement.least, *(part for group in groups for part in group[1:])]
    names = [statement.metric, statement.kind, *(part for group in groups for part in group[:1])]
    try:
        fits = all(isinstance(one, str) for one in names) and statement.kind in KINDS
        fits = fits and all(isinstance(one, Real) and math.isfinite(one) for one in numbers)
        fits = fits and all(2 <= len(group) <= 3 for group in groups)
        fits = fits and (statement.least >= 0 if statement.kind == "below" else statement.gap >= statement.least == 0)
    except OverflowError:  # of a number that no float holds
        fits = False
    if not fits:
        raise ValueError(
            f"{name}: {shown(given)} was given; allowed are groups (mask, size) or (mask, size, temperature) and "
            f"finite numbers as sides, a finite number as gap, {', '.join(map(repr, KINDS))} as kind, "
            'for "near" a gap of at least 0, and for "below" a least effect of at least 0'
        )
    return statement


def _logarithm(values: np.ndarray | np.floating) -> np.ndarray:
    """A perfect run's 0 has no logarithm: it stands below all others."""
    return np.log(np.maximum(values, np.finfo(float).tiny))


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim.

    Attributes:
        verdict: one of `VERDICTS`, by the rule.
        by_mean: one of them, by the order of the means alone.
        cases: the claim's parts.
        p_for, p_against: corrected p-values, shape (cases,).
        supported, contradicted: which cases are, shape (cases,).
        by_mean_supported: which cases the means show, shape (cases,).
        study: the runs.
    """

    verdict: str
    by_mean: str
    cases: list[Case]
    p_for: np.ndarray
    p_against: np.ndarray
    supported: np.ndarray
    contradicted: np.ndarray
    by_mean_supported: np.ndarray
    study: Study

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a case: what decided it.

        Of a case's statements the one shown is the weakest or, if the case is contradicted, the most contradicted.
        Columns: case, comparison, metric, seeds, effect with low and high (the median ratio of `first` to `second`,
        or difference if the metric is not logarithmic, and its exact 95 % interval), superiority with
        its low and high (share of seeds in which `first` is lower), p for, p against (corrected), outcome, mean and
        sem of either side, by mean.
        """
        return pd.DataFrame([self._row(number) for number in range(len(self.cases))])

    @property
    def decisive(self) -> int:
        """The case that decides: the most contradicted if the claim does not hold, else the least supported."""
        return int(self.p_against.argmin() if self.verdict == DOES_NOT_HOLD else self.p_for.argmax())

    def shown(self, number: int) -> Statement:
        """Return the statement that decided a case: its weakest, or the most contradicted if the case is."""
        statements = self.cases[number].statements
        if self.contradicted[number]:
            return statements[int(p_against(self.study, statements).argmin())]
        return statements[int(p_for(self.study, statements).argmax())]

    def _row(self, number: int) -> dict[str, object]:
        shown = self.shown(number)
        first, second = (self.study.values(shown.metric, side) for side in shown[1:3])
        effect, share = paired.median_difference(first, second), paired.superiority_interval(first, second)
        if shown.metric in LOGARITHMIC:
            effect = paired.Interval(*map(math.exp, effect))
        means = {}
        for name, side in (("first", shown.first), ("second", shown.second)):
            array = self.study.own_units(shown.metric, side)
            means |= {f"mean of {name}": array.mean(), f"sem of {name}": sem(array) if len(array) > 1 else math.nan}
        return {
            "case": self.cases[number].name,
            "comparison": describe(shown),
            "metric": shown.metric,
            "seeds": self.study.seeds,
            **dict(zip(("effect", "low", "high"), effect, strict=True)),
            **dict(zip(("superiority", "superiority low", "superiority high"), share, strict=True)),
            "p for": float(self.p_for[number]),
            "p against": float(self.p_against[number]),
            "outcome": self.outcome(number),
            **{name: float(value) for name, value in means.items()},
            "by mean": "supported" if self.by_mean_supported[number] else "contradicted",
        }

    def outcome(self, number: int) -> str:
        """Return what the rule says of a case: "supported", "contradicted" or "open"."""
        return "supported" if self.supported[number] else "contradicted" if self.contradicted[number] else "open"


@np.errstate(all="ignore")
def describe(statement: Statement) -> str:
    """Return a statement in signs, such as "E: 010 < 011" or "X: 001 ≲ 000 by 0.1 at τ = 1e-05"."""
    statement = _require_statement("statement", statement)
    sign = "≈" if statement.kind == "near" else "≲" if statement.gap > 0 else "<"
    size = abs(statement.gap - statement.least)
    gap = "" if not size else f" by {f'×{np.exp(size):.3g}' if statement.metric in LOGARITHMIC else f'{size:.3g}'}"
    groups = [side for side in statement[1:3] if isinstance(side, tuple)]
    if not groups:
        raise ValueError(f"statement: {shown(statement)} was given; allowed is one of which a side is a group of runs")
    # What two groups share is in the case's name, but for a temperature and the mask whose place it is.
    differing = [k for k in range(len(groups[0])) if len({group[k] for group in groups}) == 2] or [0]
    sides = [_side(side, differing, statement.metric) for side in statement[1:3]]
    name = IN_SIGNS.get(statement.metric, statement.metric)
    name = f"place of {groups[0][0]}" if statement.metric == PLACE else name
    at = f" at τ = {groups[0][2]:g}" if len(groups[0]) > 2 and 2 not in differing else ""
    return f"{name}: {sides[0]} {sign} {sides[1]}{gap}{at}"


def _side(side: Group | float, shown: list[int], metric: str) -> str:
    """One side of a statement in signs: a number in its metric's units, or those parts of a group that are shown."""
    if not isinstance(side, tuple):
        return f"{np.exp(side) if metric in LOGARITHMIC else side:.3g}"
    written = (str, "N = {}".format, "τ = {:g}".format)
    return ", ".join(written[k](side[k]) for k in shown)


def p_for(study: Study, statements: list[Statement]) -> np.ndarray:
    """Return p-values for statements, shape (statements,)."""
    return p_values(_differences(study, statements), statements)[0]


def p_against(study: Study, statements: list[Statement]) -> np.ndarray:
    """Return p-values for the opposites of statements, shape (statements,)."""
    return p_values(_differences(study, statements), statements)[1]


@np.errstate(all="ignore")
def _differences(study: Study, statements: list[Statement]) -> np.ndarray:
    """Return `first` - `second` of each statement, shape (statements, seeds)."""
    return np.stack(
        [
            study.values(statement.metric, statement.first) - study.values(statement.metric, statement.second)
            for statement in _require_statements(study, statements)
        ]
    )


Test = Callable[[np.ndarray, float, np.ndarray], np.ndarray]
"""A one-sided paired test as `companion.judging.paired.p_less`."""


def p_values(
    differences: np.ndarray, statements: list[Statement], test: Test = paired.p_less
) -> tuple[np.ndarray, np.ndarray]:
    """Return p-values for statements and for their opposites.

    Book: chapter "The ledger", section "How two masks are compared".

    Args:
        differences: `first` - `second` of each, shape (statements, ..., seeds).
        statements: what is said of them.
        test: what gives p-values for "below a gap".

    Returns:
        For and against, each of shape (statements, ...).
    """
    leading = (-1, *(1,) * (differences.ndim - 2))
    gap = np.reshape([statement.gap - statement.least for statement in statements], leading)
    kinds = np.reshape([statement.kind for statement in statements], leading)
    p, above = test(differences, 0.0, gap), test(-differences, 0.0, -gap)
    if (kinds == "below").all():
        return p, above
    within = np.maximum(p, test(-differences, 0.0, gap))  # the two one-sided tests of `paired.p_within`
    outside = np.minimum(2 * np.minimum(above, test(differences, 0.0, -gap)), 1.0)
    return np.where(kinds == "near", within, p), np.where(kinds == "near", outside, above)


def of_cases(p_for: np.ndarray, p_against: np.ndarray, cases: list[Case]) -> tuple[np.ndarray, np.ndarray]:
    """Return the corrected p-values of cases from those of their statements, shape (..., cases).

    Args:
        p_for, p_against: of all cases' statements in their order, shape (statements, ...).
        cases: the claim's parts.

    Returns:
        For: the largest of a case's; against: the smallest, times their number. Each corrected over the cases.
    """
    counts = np.array([len(case.statements) for case in cases])
    starts = np.cumsum([0, *counts[:-1]])
    largest = np.maximum.reduceat(p_for, starts)
    smallest = np.minimum.reduceat(p_against, starts) * counts.reshape(-1, *(1,) * (p_against.ndim - 1))
    return paired.holm(np.moveaxis(largest, 0, -1)), paired.holm(np.moveaxis(np.minimum(smallest, 1.0), 0, -1))


def shown_by_means(study: Study, statement: Statement) -> bool:
    """Whether the means alone show a statement."""
    require_a(Study, "study", study)
    statement = _require_statement("statement", statement)
    difference = study.mean(statement.metric, statement.first) - study.mean(statement.metric, statement.second)
    return abs(difference) < statement.gap if statement.kind == "near" else difference < statement.gap


def by_count(supported: np.ndarray, contradicted: np.ndarray) -> str:
    """Return the verdict of a claim about all its cases.

    *Holds* if all are supported; *holds in part* if at least half are; else *does not hold* if any is contradicted, and
    *undecided* if none is.
    Book: chapter "The ledger", section "From cases to a verdict".

    Args:
        supported, contradicted: which cases are, shape (cases,).

    Returns:
        One of `VERDICTS`.

    Raises:
        ValueError: if there is no case, or shapes differ.
    """
    given = {"supported": array_of("supported", supported), "contradicted": array_of("contradicted", contradicted)}
    for name, one in given.items():
        if not np.isin(one, (0, 1)).all():
            raise ValueError(f"{name}: {shown(one)} was given; allowed are True and False")
    yes, no = (one != 0 for one in given.values())
    if yes.ndim != 1 or yes.shape != no.shape or not yes.size:
        raise ValueError(
            f"shapes: supported {yes.shape}, contradicted {no.shape} were given; allowed is (cases,) for both"
        )
    if yes.all():
        return HOLDS
    if 2 * yes.sum() >= len(yes):
        return IN_PART
    return DOES_NOT_HOLD if no.any() else UNDECIDED


Decision = Callable[[np.ndarray, np.ndarray], str]


def judge(study: Study, cases: list[Case], decide: Decision = by_count) -> Verdict:
    """Return the verdict on a claim.

    A case is supported if all its statements are (the largest of their p-values counts), and contradicted if the
    opposite of any is (the smallest, times their number). Either is corrected over the cases by Holm's method and
    compared with `LEVEL`.
    Book: chapter "The ledger", section "From cases to a verdict".

    Args:
        study: the runs.
        cases: the claim's parts.
        decide: from supported and contradicted cases to a verdict.

    Returns:
        The verdict, with all that led to it.

    Raises:
        ValueError: if there is no case, or one is about groups or metrics that the study does not have.
    """
    require_a(Study, "study", study)
    cases = require_list("cases", cases, lambda name, one: require_a(Case, name, one))
    statements = [one for case in cases for one in require_list("statements", case.statements, _require_statement)]
    largest, smallest = of_cases(*p_values(_differences(study, statements), statements), cases)
    supported, contradicted = largest <= LEVEL, smallest <= LEVEL
    means = np.array([all(shown_by_means(study, statement) for statement in case.statements) for case in cases])
    return Verdict(
        decide(supported, contradicted),
        decide(means, ~means),
        cases,
        largest,
        smallest,
        supported,
        contradicted,
        means,
        study,
    )


Margin = float | tuple[float, float]
"""What counts as little: one number, or the ends of a range."""


def judge_by_margin(
    study: Study, cases_at: Callable[[float], list[Case]], margin: Margin, decide: Decision = by_count
) -> Verdict:
    """Return the verdict on a claim whose cases depend on a margin.

    Over a range the claim is judged at both ends. Where the words agree, that is the verdict; else it is `ON_MARGIN`.
    (A wider margin never makes a supported case of nearness unsupported, nor an open one contradicted: with the same
    word at both ends it is the same between.) A case counts as supported or contradicted that is so at both ends.
    Book: chapter "The ledger", section "From cases to a verdict".

    Args:
        study: the runs.
        cases_at: from a margin to the claim's parts.
        margin: one number, or the narrow and the wide end of a range; above 0.
        decide: as in `judge`.

    Returns:
        The verdict; of a range with the cases of its narrow end.

    Raises:
        ValueError: if the margin is none, or as `judge`.
    """
    ends = margin if isinstance(margin, tuple) else (margin, margin)
    if len(ends) != 2 or not all(isinstance(end, Real) and 0 < end < math.inf for end in ends) or ends[0] > ends[1]:
        raise ValueError(f"margin: {shown(margin)} was given; allowed are a number above 0 and a range of two")
    narrow = judge(study, cases_at(ends[0]), decide)
    if ends[0] == ends[1]:
        return narrow
    wide = judge(study, cases_at(ends[1]), decide)
    return replace(
        narrow,
        verdict=narrow.verdict if narrow.verdict == wide.verdict else ON_MARGIN,
        by_mean=narrow.by_mean if narrow.by_mean == wide.by_mean else ON_MARGIN,
        p_against=wide.p_against,
        contradicted=wide.contradicted,
    )
