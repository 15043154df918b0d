"""The rules: each of the paper's claims C1 to C10 as one function from runs to a verdict.

Chapter "The ledger" prints each rule from its function's docstring. All numbers that a verdict depends on stand here
and in `companion.judging.verdicts`. Every rule takes its margin, what counts as little, as an argument: a verdict can
be drawn against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from companion.core.losses import MASKS
from companion.judging.verdicts import (
    BESIDE_STD,
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    PLACE,
    POSITION,
    UNDECIDED,
    Case,
    E,
    Margin,
    Statement,
    Study,
    Verdict,
    judge_by_margin,
)

LEAST = 1.05
"""The least effect on E and on the specialization ratio, as a factor: what is lower by less is not lower."""
LEAST_SHARE = 0.05
"""The same for expelled fractions, as a difference."""
FACTOR = 1.5
"""A geometry has collapsed when its position error is above Std's by more than this factor, and is made good when it
is not: the gap from which "The full replication" calls two medians clearly apart."""
SHARE = 0.1
"""Expelled fractions at two temperatures that differ by more than this are apart."""
HALF = 0.5
"""A specialization ratio has collapsed when it is under this part of Std's."""
FIT = (0.005, 0.05)
"""Root mean squared errors that differ by less, on targets between 0 and 1, are as low: a range, as nobody knows where
"as well" ends. A ratio would not do: small networks go through all points, and what is left of their error is how long
they were trained."""
STABLE = (1.25, 2.0)
"""A mask's place that moves by less than this factor is stable: a range, too. Its narrow end leaves room for C4, which
says that separation is better than Std at some sizes and worse at others."""

ACTIVE = tuple(mask for mask, switches in MASKS.items() if switches.overlap)
FREE = tuple(mask for mask, switches in MASKS.items() if not switches.overlap)
PARTNER = dict(zip(ACTIVE, FREE, strict=True))
"""Each overlap-active mask's partner: the same mask without overlap."""

S, X = "specialization_ratio", "expelled_fraction"


def coverage_is_lowest(runs: pd.DataFrame | Study, margin: Margin = LEAST) -> Verdict:
    """C1: coverage alone has the lowest E of all masks, at every size.

    The rule in words is `CLAIMS["C1"].stated`.
    Book: chapter "The ledger", section "C1".

    Args:
        runs: all masks, any sizes; one row a run.
        margin: the least factor; one number or a range.

    Returns:
        The verdict by count of sizes.

    Raises:
        ValueError: if runs are missing or have no finite metrics, or a margin is none.
    """
    study = Study.of(runs)
    study.needs(MASKS)
    others = [mask for mask in MASKS if mask != "010"]

    def cases(least: float) -> list[Case]:
        return [Case(f"N = {n}", [_lower(E, ("010", n), (mask, n), least) for mask in others]) for n in study.sizes]

    return judge_by_margin(study, cases, margin)


def coverage_specialises(runs: pd.DataFrame | Study, margin: Margin = LEAST) -> Verdict:
    """C2: coverage, alone or with separation, raises the specialization ratio over Std at every size.

    The rule in words is `CLAIMS["C2"].stated`.
    Book: chapter "The ledger", section "C2".

    Args:
        runs: masks 000, 010 and 011, any sizes; one row a run.
        margin: the least factor; one number or a range.

    Returns:
        The verdict by count of cases.

    Raises:
        ValueError: if runs are missing or have no finite metrics, or a margin is none.
    """
    study = Study.of(runs)
    study.needs(("000", "010", "011"))

    def cases(least: float) -> list[Case]:
        return [
            Case(f"{mask}, N = {n}", [_lower(S, ("000", n), (mask, n), least)])
            for mask in ("010", "011")
            for n in study.sizes
        ]

    return judge_by_margin(study, cases, margin)


def overlap_is_the_higher_band(runs: pd.DataFrame | Study, margin: Margin = LEAST) -> Verdict:
    """C3: the four overlap-active masks form a higher band of E than the four overlap-free ones, at every size.

    The rule in words is `CLAIMS["C3"].stated`.
    Book: chapter "The ledger", section "C3".

    Args:
        runs: all masks, any sizes; one row a run.
        margin: the least factor; one number or a range.

    Returns:
        The verdict by count of sizes.

    Raises:
        ValueError: if runs are missing or have no finite metrics, or a margin is none.
    """
    study = Study.of(runs)
    study.needs(MASKS)

    def cases(least: float) -> list[Case]:
        return [
            Case(f"N = {n}", [_lower(E, (free, n), (active, n), least) for free in FREE for active in ACTIVE])
            for n in study.sizes
        ]

    return judge_by_margin(study, cases, margin)


def separation_is_mixed(runs: pd.DataFrame | Study, margin: Margin = LEAST) -> Verdict:
    """C4: separation alone is mixed: a lower E than Std at some sizes, a higher one at others.

    The rule in words is `CLAIMS["C4"].stated`.
    Book: chapter "The ledger", section "C4".

    Args:
        runs: masks 000 and 001, any sizes; one row a run.
        margin: the least factor; one number or a range.

    Returns:
        The verdict by the rule above.

    Raises:
        ValueError: if runs are missing or have no finite metrics, or a margin is none.
    """
    study = Study.of(runs)
    study.needs(("000", "001"))

    def cases(least: float) -> list[Case]:
        better = [Case(f"better, N = {n}", [_lower(E, ("001", n), ("000", n), least)]) for n in study.sizes]
        return better + [Case(f"worse, N = {n}", [_lower(E, ("000", n), ("001", n), least)]) for n in study.sizes]

    def decide(supported: np.ndarray, contradicted: np.ndarray) -> str:
        found = [half.any() for half in np.split(supported, 2)]
        if all(found):
            return HOLDS
        if any(half.all() for half in np.split(contradicted, 2)):
            return DOES_NOT_HOLD
        return IN_PART if any(found) else UNDECIDED

    return judge_by_margin(study, cases, margin, decide)


def overlap_fits_as_well(runs: pd.DataFrame | Study, margin: Margin = FIT) -> Verdict:
    """C5: the harm is no failure of optimisation: overlap-active masks fit the data as well.

    The rule in words is `CLAIMS["C5"].stated`.
    Book: chapter "The ledger", section "C5".

    Args:
        runs: all masks, any sizes; one row a run.
        margin: how far root mean squared errors may be apart; one number or a range.

    Returns:
        The verdict by count of cases.

    Raises:
        ValueError: if runs are missing or have no finite metrics, or a margin is none.
    """
    study = Study.of(runs)
    study.needs(MASKS)

    def cases(near: float) -> list[Case]:
        return [
            Case(f"{mask}, N = {n}", [Statement("rmse", (mask, n), (PARTNER[mask], n), near)])
            for mask in ACTIVE
            for n in study.sizes
        ]

    return judge_by_margin(study, cases, margin)


def overlap_expels(runs: pd.DataFrame | Study, margin: Margin = LEAST_SHARE) -> Verdict:
    """C6: overlap expels prototypes; at the largest size mask 100 expels all, while 000 and 010 keep some inside.

    The rule in words is `CLAIMS["C6"].stated`.
    Book: chapter "The ledger", section "C6".

    Args:
        runs: all masks, any sizes; one row a run.
        margin: the least difference of expelled fractions; one number or a range.

    Returns:
        The verdict by count of cases.

    Raises:
        ValueError: if runs are missing or have no finite metrics, or a margin is none.
    """
    study = Study.of(runs)
    study.needs(MASKS)
    largest = study.sizes[-1]
    nearly = 1 - 1 / (2 * largest)

    def cases(least: float) -> list[Case]:
        return [
            *(
                Case(f"N = {n}", [Statement(X, (PARTNER[mask], n), (mask, n), least=least) for mask in ACTIVE])
                for n in study.sizes
            ),
            Case(f"100 expels all, N = {largest}", [Statement(X, nearly, ("100", largest))]),
            *(
                Case(f"{mask} keeps some, N = {largest}", [Statement(X, (mask, largest), nearly)])
                for mask in ("000", "010")
            ),
        ]

    return judge_by_margin(study, cases, margin)


def overlap_ends_specialization(runs: pd.DataFrame | Study, margin: Margin = LEAST) -> Verdict:
    """C7: the specialization ratio of overlap-active masks collapses toward zero as N grows.

    The rule in words is `CLAIMS["C7"].stated`.
    Book: chapter "The ledger", section "C7".

    Args:
        runs: all masks, at least two sizes; one row a run.
        margin: the least factor of a fall; one number or a range.

    Returns:
        The verdict by count of cases.

    Raises:
        ValueError: if runs are missing or have no finite metrics, or a margin is none.
    """
    study = Study.of(runs)
    study.needs(MASKS, sizes=2)
    largest = study.sizes[-1]
    neighbours = list(zip(study.sizes[:-1], study.sizes[1:], strict=True))

    def cases(least: float) -> list[Case]:
        return [
            *(
                Case(
                    f"{mask}, N = {small} to {large}",
                    [_lower(metric, (mask, large), (mask, small), least) for metric in (S, BESIDE_STD)],
                )
                for mask in ACTIVE
                for small, large in neighbours
            ),
            *(
                Case(
                    f"{mask} under half of 000, N = {largest}",
                    [Statement(S, (mask, largest), ("000", largest), math.log(HALF))],
                )
                for mask in ACTIVE
            ),
        ]

    return judge_by_margin(study, cases, margin)


def separation_expels_only_when_hot(runs: pd.DataFrame | Study, margin: Margin = SHARE) -> Verdict:
    """C8: separation alone expels only at a large temperature.

    The rule in words is `CLAIMS["C8"].stated`.
    Book: chapter "The ledger", section "C8".

    Args:
        runs: masks 000 and 001, at least two temperatures, any sizes; one row a run.
        margin: how far expelled fractions may be apart; one number or a range.

    Returns:
        The verdict by count of sizes.

    Raises:
        ValueError: if runs are missing or have no finite metrics, or a margin is none.
    """
    study = Study.of(runs, by=("mask", "size", "temperature"))
    study.needs(("000", "001"), temperatures=2)
    cold, hot = study.temperatures[0], study.temperatures[-1]
    neighbours = list(zip(study.temperatures[:-1], study.temperatures[1:], strict=True))

    def cases(share: float) -> list[Case]:
        return [
            Case(
                f"N = {n}",
                [
                    Statement(X, ("001", n, cold), ("000", n, cold), share),
                    Statement(X, ("000", n, hot), ("001", n, hot), -share),
                    *(Statement(X, ("001", n, low), ("001", n, high), share) for low, high in neighbours),
                ],
            )
            for n in study.sizes
        ]

    return judge_by_margin(study, cases, margin)


def pattern_is_stable(runs: pd.DataFrame | Study, margin: Margin = STABLE) -> Verdict:
    """C9: the pattern is stable from the smallest size to the largest.

    The rule in words is `CLAIMS["C9"].stated`.
    Book: chapter "The ledger", section "C9".

    Args:
        runs: all masks, at least two sizes; one row a run.
        margin: the factor by which a place may move; one number or a range.

    Returns:
        The verdict by count of sizes.

    Raises:
        ValueError: if runs are missing or have no finite metrics, or a margin is none.
    """
    study = Study.of(runs)
    study.needs(MASKS, sizes=2)
    smallest = study.sizes[0]

    def cases(factor: float) -> list[Case]:
        return [
            Case(
                f"N = {n}",
                [Statement(PLACE, (mask, n), (mask, smallest), math.log(factor), "near") for mask in MASKS],
            )
            for n in study.sizes[1:]
        ]

    return judge_by_margin(study, cases, margin)


def repulsion_needs_an_attractor(runs: pd.DataFrame | Study, margin: Margin = FACTOR) -> Verdict:
    """C10: a repulsive loss must be compensated by a compatible attractor, or the latent geometry collapses.

    The part that the paper states: without an attractor it collapses. The rule in words is `CLAIMS["C10"].stated`.
    Book: chapter "The ledger", section "C10".

    Args:
        runs: masks 000, 100 and 101, any sizes; one row a run.
        margin: the factor of a collapse; one number or a range.

    Returns:
        The verdict by count of cases.

    Raises:
        ValueError: if runs are missing or have no finite metrics, or a margin is none.
    """
    study = Study.of(runs)
    study.needs(("000", "100", "101"))

    def cases(factor: float) -> list[Case]:
        return [
            Case(f"{alone}, N = {n}", [Statement(POSITION, ("000", n), (alone, n), -math.log(factor))])
            for alone in ("100", "101")
            for n in study.sizes
        ]

    return judge_by_margin(study, cases, margin)


def coverage_is_sufficient(runs: pd.DataFrame | Study, margin: Margin = FACTOR) -> Verdict:
    """C10s: with coverage beside overlap the geometry does not collapse.

    The other part of C10, which the paper does not state: whether its only attractor is a compatible one. The rule in
    words is `CLAIMS["C10s"].stated`.
    Book: chapter "The ledger", section "C10s".

    Args:
        runs: masks 000, 110 and 111, any sizes; one row a run.
        margin: the factor of a collapse; one number or a range.

    Returns:
        The verdict by count of cases.

    Raises:
        ValueError: if runs are missing or have no finite metrics, or a margin is none.
    """
    study = Study.of(runs)
    study.needs(("000", "110", "111"))

    def cases(factor: float) -> list[Case]:
        return [
            Case(f"{covered}, N = {n}", [Statement(POSITION, (covered, n), ("000", n), math.log(factor))])
            for covered in ("110", "111")
            for n in study.sizes
        ]

    return judge_by_margin(study, cases, margin)


def _lower(metric: str, first: tuple[str, int], second: tuple[str, int], least: float) -> Statement:
    """The statement that a logarithmic metric of `first` is lower by a factor of at least `least`."""
    return Statement(metric, first, second, least=math.log(least))


class Claim(NamedTuple):
    """A claim of the paper.

    Attributes:
        says: the claim in one sentence.
        evidence: what the paper shows for it.
        rule: the function that judges it.
        stated: its rule in words.
        margin: what counts as little in it.
        data: which runs it is judged by, "sweep" (all masks at the nominal temperature) or "temperature".
    """

    says: str
    evidence: str
    rule: Callable[..., Verdict]
    stated: str
    margin: Margin
    data: str = "sweep"


CLAIMS = {
    "C1": Claim(
        "Coverage alone has the lowest E at every N",
        "means, figures 1, 2",
        coverage_is_lowest,
        (
            "One case a size, supported if E of 010 is below that of each of the seven other masks by a factor of at "
            "least 1.05, contradicted if for any it is not."
        ),
        LEAST,
    ),
    "C2": Claim(
        "Cov and Cov+Sep specialise more than Std at every N",
        "means, figures 5, 6",
        coverage_specialises,
        (
            "One case a size and mask (010, 011), supported if its specialization ratio is above that of 000 by a "
            "factor of at least 1.05, contradicted if it is not."
        ),
        LEAST,
    ),
    "C3": Claim(
        "The four overlap-active masks are a higher band of E than the other four at every N",
        "means, figures 1, 2",
        overlap_is_the_higher_band,
        (
            "One case a size, supported if E of each overlap-active mask is above that of each overlap-free one (16 "
            "pairs) by a factor of at least 1.05, contradicted if for any pair it is not."
        ),
        LEAST,
    ),
    "C4": Claim(
        "Separation alone is mixed: better than Std at some N, worse at others",
        "means, figures 1, 2",
        separation_is_mixed,
        (
            "Two cases a size: *better*, supported if E of 001 is below that of 000 by a factor of at least 1.05, and "
            "*worse*, supported if it is above by as much; each contradicted if it is not. *Holds* with at least one "
            "size of each supported. *Does not hold* if all sizes of one of the two are contradicted. Otherwise *in "
            "part* with any size supported, and *undecided* with none."
        ),
        LEAST,
    ),
    "C5": Claim(
        "The harm is no failure of optimisation: overlap-active masks fit as well",
        "in words",
        overlap_fits_as_well,
        (
            "One case a size and overlap-active mask, supported if its root mean squared error is above that of the "
            "same mask without overlap by less than a margin, or below it; contradicted if it is above by more. The "
            "margin is a range, from 0.005 to 0.05, on targets between 0 and 1."
        ),
        FIT,
    ),
    "C6": Claim(
        "Overlap expels: at N = 100 mask 100 expels all, 000 and 010 keep some inside",
        "single runs, figure 3",
        overlap_expels,
        (
            "One case a size, supported if each overlap-active mask has an expelled fraction above that of the same "
            "mask without overlap by at least 0.05, contradicted if any has not; and three at the largest size: "
            "supported if the expelled fraction of 100 is above, and those of 000 and of 010 are below, the middle "
            "between all prototypes and all but one. (That those inside do the work is not part of the rule.)"
        ),
        LEAST_SHARE,
    ),
    "C7": Claim(
        "Specialization of overlap-active masks collapses toward zero as N grows",
        "means, figures 5, 6",
        overlap_ends_specialization,
        (
            "For each overlap-active mask one case for every two neighbouring sizes, supported if the ratio, and the "
            "ratio over that of 000 on the same seed, are both lower at the larger one by a factor of at least 1.05, "
            "contradicted if either is not, and one case at the largest size, supported if the ratio is below half of "
            "that of 000, contradicted if it is above half. (Sizes share no data: equal seed numbers are paired. No "
            "finite sweep shows a limit.)"
        ),
        LEAST,
    ),
    "C8": Claim(
        "Separation alone expels only at a large temperature",
        "figure 4 (inferred)",
        separation_expels_only_when_hot,
        (
            "One case a size, supported if the expelled fraction of 001 is above that of 000 by less than 0.1, or "
            "below it, at the lowest temperature, above it by more than 0.1 at the highest, and from no temperature to "
            "the next higher one falls by 0.1 or more; contradicted if any of these is the other way round."
        ),
        SHARE,
        "temperature",
    ),
    "C9": Claim(
        "The pattern is stable from N = 3 to N = 100",
        "means, figures 1, 2",
        pattern_is_stable,
        (
            "A mask's place is its E over the geometric mean of E of all masks on the same seed. One case for every "
            "size but the smallest, supported if each mask's place is near its place at the smallest size (two "
            "one-sided tests), contradicted if any is further away. Near is within a factor, a range from 1.25 to "
            "2. (Sizes share no data: equal seed numbers are paired, which is as good as any order.)"
        ),
        STABLE,
    ),
    "C10": Claim(
        "A repulsive loss must be compensated by a compatible attractor, or the geometry collapses",
        "its conclusion",
        repulsion_needs_an_attractor,
        (
            "The repulsion is overlap: of separation the paper says that it is mixed (C4) and expels when hot (C8). "
            "One case a size and mask without an attractor (100, 101), supported if its position error is above that "
            "of 000 by more than a factor of 1.5, contradicted if it is not."
        ),
        FACTOR,
    ),
    "C10s": Claim(
        "Coverage is such an attractor: beside it overlap does not collapse the geometry",
        "not stated; our question",
        coverage_is_sufficient,
        (
            "One case a size and mask with coverage beside overlap (110, 111), supported if its position error is "
            "above that of 000 by less than a factor of 1.5, or below it; contradicted if it is above by more."
        ),
        FACTOR,
    ),
}
"""The paper's claims by their numbers; C10s is what C10 leaves open."""
