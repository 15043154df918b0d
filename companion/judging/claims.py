"""The rules: each of the paper's claims C1 to C10 as one function from runs to a verdict.

Chapter "The ledger" prints each rule from its function's docstring. All numbers that a verdict depends on stand here
and in `companion.judging.verdicts`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from companion.core.losses import MASKS
from companion.judging import paired
from companion.judging.verdicts import (
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    LEVEL,
    UNDECIDED,
    Case,
    E,
    Statement,
    Study,
    Verdict,
    judge,
    p_for,
    shown_by_means,
)

FACTOR = 1.5
"""Values of E that differ by less than this factor count as near each other: the gap from which "The full replication"
calls two medians clearly apart."""
SHARE = 0.1
"""The same for expelled fractions, as a difference."""
HALF = 0.5
"""A specialization ratio has collapsed when it is under this part of its partner's."""
FIT = 0.01
"""Root mean squared errors that differ by less, on targets between 0 and 1, count as near each other. A ratio would not
do: small networks go through all points, and what is left of their error is how long they were trained."""

ACTIVE = tuple(mask for mask, switches in MASKS.items() if switches.overlap)
FREE = tuple(mask for mask, switches in MASKS.items() if not switches.overlap)
PARTNER = dict(zip(ACTIVE, FREE, strict=True))
"""Each overlap-active mask's partner: the same mask without overlap."""

S, X = "specialization_ratio", "expelled_fraction"


def coverage_is_lowest(runs: pd.DataFrame | Study) -> Verdict:
    """C1: coverage alone has the lowest E of all masks, at every size.

    The rule in words is `CLAIMS["C1"].stated`.
    Book: chapter "The ledger", section "C1".

    Args:
        runs: all masks, any sizes; one row a run.

    Returns:
        The verdict by count of sizes.

    Raises:
        ValueError: if runs are missing or have no finite metrics.
    """
    study = Study.of(runs)
    study.needs(MASKS)
    others = [mask for mask in MASKS if mask != "010"]
    return judge(
        study,
        [Case(f"N = {n}", [Statement(E, ("010", n), (mask, n)) for mask in others]) for n in study.sizes],
    )


def coverage_specialises(runs: pd.DataFrame | Study) -> Verdict:
    """C2: coverage, alone or with separation, raises the specialization ratio over Std at every size.

    The rule in words is `CLAIMS["C2"].stated`.
    Book: chapter "The ledger", section "C2".

    Args:
        runs: masks 000, 010 and 011, any sizes; one row a run.

    Returns:
        The verdict by count of cases.

    Raises:
        ValueError: if runs are missing or have no finite metrics.
    """
    study = Study.of(runs)
    study.needs(("000", "010", "011"))
    return judge(
        study,
        [
            Case(f"{mask}, N = {n}", [Statement(S, ("000", n), (mask, n))])
            for mask in ("010", "011")
            for n in study.sizes
        ],
    )


def overlap_is_the_higher_band(runs: pd.DataFrame | Study) -> Verdict:
    """C3: the four overlap-active masks form a higher band of E than the four overlap-free ones, at every size.

    The rule in words is `CLAIMS["C3"].stated`.
    Book: chapter "The ledger", section "C3".

    Args:
        runs: all masks, any sizes; one row a run.

    Returns:
        The verdict by count of sizes.

    Raises:
        ValueError: if runs are missing or have no finite metrics.
    """
    study = Study.of(runs)
    study.needs(MASKS)
    return judge(
        study,
        [
            Case(f"N = {n}", [Statement(E, (free, n), (active, n)) for free in FREE for active in ACTIVE])
            for n in study.sizes
        ],
    )


def separation_is_mixed(runs: pd.DataFrame | Study) -> Verdict:
    """C4: separation alone is mixed: a lower E than Std at some sizes, a higher one at others.

    The rule in words is `CLAIMS["C4"].stated`.
    Book: chapter "The ledger", section "C4".

    Args:
        runs: masks 000 and 001, any sizes; one row a run.

    Returns:
        The verdict by the rule above.

    Raises:
        ValueError: if runs are missing or have no finite metrics.
    """
    study = Study.of(runs)
    study.needs(("000", "001"))
    near = [Statement(E, ("001", n), ("000", n), math.log(FACTOR), "near") for n in study.sizes]
    tested = paired.holm(p_for(study, near)) <= LEVEL
    of_means = np.array([shown_by_means(study, statement) for statement in near])

    def decide(near: np.ndarray, better: np.ndarray, worse: np.ndarray) -> str:
        if better.any() and worse.any():
            return HOLDS
        if any((one | near).all() and not other.any() for one, other in ((better, worse), (worse, better))):
            return DOES_NOT_HOLD
        return IN_PART if better.any() or worse.any() else UNDECIDED

    cases = [Case(f"N = {n}", [Statement(E, ("001", n), ("000", n))]) for n in study.sizes]
    return judge(study, cases, partial(decide, tested), partial(decide, of_means))


def overlap_fits_as_well(runs: pd.DataFrame | Study) -> Verdict:
    """C5: the harm is no failure of optimisation: overlap-active masks fit the data as well.

    The rule in words is `CLAIMS["C5"].stated`.
    Book: chapter "The ledger", section "C5".

    Args:
        runs: all masks, any sizes; one row a run.

    Returns:
        The verdict by count of cases.

    Raises:
        ValueError: if runs are missing or have no finite metrics.
    """
    study = Study.of(runs)
    study.needs(MASKS)
    return judge(
        study,
        [
            Case(f"{mask}, N = {n}", [Statement("rmse", (mask, n), (PARTNER[mask], n), FIT, "as low")])
            for mask in ACTIVE
            for n in study.sizes
        ],
    )


def overlap_expels(runs: pd.DataFrame | Study) -> Verdict:
    """C6: overlap expels prototypes; at the largest size mask 100 expels all, while 000 and 010 keep some inside.

    The rule in words is `CLAIMS["C6"].stated`.
    Book: chapter "The ledger", section "C6".

    Args:
        runs: all masks, any sizes; one row a run.

    Returns:
        The verdict by count of cases.

    Raises:
        ValueError: if runs are missing or have no finite metrics.
    """
    study = Study.of(runs)
    study.needs(MASKS)
    largest = study.sizes[-1]
    nearly = 1 - 1 / (2 * largest)
    return judge(
        study,
        [
            *(Case(f"N = {n}", [Statement(X, (PARTNER[mask], n), (mask, n)) for mask in ACTIVE]) for n in study.sizes),
            Case(f"100 expels all, N = {largest}", [Statement(X, nearly, ("100", largest))]),
            *(
                Case(f"{mask} keeps some, N = {largest}", [Statement(X, (mask, largest), nearly)])
                for mask in ("000", "010")
            ),
        ],
    )


def overlap_ends_specialization(runs: pd.DataFrame | Study) -> Verdict:
    """C7: the specialization ratio of overlap-active masks collapses toward zero as N grows.

    The rule in words is `CLAIMS["C7"].stated`.
    Book: chapter "The ledger", section "C7".

    Args:
        runs: all masks, at least two sizes; one row a run.

    Returns:
        The verdict by count of cases.

    Raises:
        ValueError: if runs are missing or have no finite metrics.
    """
    study = Study.of(runs)
    study.needs(MASKS, sizes=2)
    largest = study.sizes[-1]
    neighbours = list(zip(study.sizes[:-1], study.sizes[1:], strict=True))
    return judge(
        study,
        [
            *(
                Case(f"{mask}, N = {small} to {large}", [Statement(S, (mask, large), (mask, small))])
                for mask in ACTIVE
                for small, large in neighbours
            ),
            *(
                Case(
                    f"{mask} under half of {PARTNER[mask]}, N = {largest}",
                    [Statement(S, (mask, largest), (PARTNER[mask], largest), math.log(HALF))],
                )
                for mask in ACTIVE
            ),
        ],
    )


def separation_expels_only_when_hot(runs: pd.DataFrame | Study) -> Verdict:
    """C8: separation alone expels only at a large temperature.

    The rule in words is `CLAIMS["C8"].stated`.
    Book: chapter "The ledger", section "C8".

    Args:
        runs: masks 000 and 001, at least two temperatures, any sizes; one row a run.

    Returns:
        The verdict by count of sizes.

    Raises:
        ValueError: if runs are missing or have no finite metrics.
    """
    study = Study.of(runs, by=("mask", "size", "temperature"))
    study.needs(("000", "001"), temperatures=2)
    cold, hot = study.temperatures[0], study.temperatures[-1]
    return judge(
        study,
        [
            Case(
                f"N = {n}",
                [
                    Statement(X, ("001", n, cold), ("000", n, cold), SHARE, "as low"),
                    Statement(X, ("000", n, hot), ("001", n, hot), -SHARE),
                ],
            )
            for n in study.sizes
        ],
    )


def pattern_is_stable(runs: pd.DataFrame | Study) -> Verdict:
    """C9: the pattern is stable from the smallest size to the largest.

    The rule in words is `CLAIMS["C9"].stated`.
    Book: chapter "The ledger", section "C9".

    Args:
        runs: all masks, at least two sizes; one row a run.

    Returns:
        The verdict by count of sizes.

    Raises:
        ValueError: if runs are missing or have no finite metrics.
    """
    study = Study.of(runs)
    study.needs(MASKS, sizes=2)
    smallest = study.sizes[0]
    return judge(
        study,
        [
            Case(
                f"N = {n}",
                [Statement("place", (mask, n), (mask, smallest), math.log(FACTOR), "near") for mask in MASKS],
            )
            for n in study.sizes[1:]
        ],
    )


def repulsion_needs_an_attractor(runs: pd.DataFrame | Study) -> Verdict:
    """C10: a repulsive loss must be compensated by a compatible attractor, or the latent geometry collapses.

    The rule in words is `CLAIMS["C10"].stated`.
    Book: chapter "The ledger", section "C10".

    Args:
        runs: all masks, any sizes; one row a run.

    Returns:
        The verdict by count of cases.

    Raises:
        ValueError: if runs are missing or have no finite metrics.
    """
    study = Study.of(runs)
    study.needs(MASKS)
    gap = math.log(FACTOR)
    return judge(
        study,
        [
            Case(
                f"{alone}, N = {n}",
                [
                    Statement(E, ("000", n), (alone, n), -gap),
                    Statement(E, (covered, n), ("000", n), gap, "as low"),
                ],
            )
            for alone, covered in (("001", "011"), ("100", "110"), ("101", "111"))
            for n in study.sizes
        ],
    )


class Claim(NamedTuple):
    """A claim of the paper.

    Attributes:
        says: the claim in one sentence.
        evidence: what the paper shows for it.
        rule: the function that judges it.
        stated: its rule in words.
        data: which runs it is judged by, "sweep" (all masks at the nominal temperature) or "temperature".
    """

    says: str
    evidence: str
    rule: Callable[[pd.DataFrame | Study], Verdict]
    stated: str
    data: str = "sweep"


CLAIMS = {
    "C1": Claim(
        "Coverage alone has the lowest E at every N",
        "means, figures 1, 2",
        coverage_is_lowest,
        (
            "One case a size, supported if E of 010 is below that of each of the seven other masks, contradicted if "
            "it is above that of any."
        ),
    ),
    "C2": Claim(
        "Cov and Cov+Sep specialise more than Std at every N",
        "means, figures 5, 6",
        coverage_specialises,
        (
            "One case a size and mask (010, 011), supported if its specialization ratio is above that of 000, "
            "contradicted if it is below."
        ),
    ),
    "C3": Claim(
        "The four overlap-active masks are a higher band of E than the other four at every N",
        "means, figures 1, 2",
        overlap_is_the_higher_band,
        (
            "One case a size, supported if E of each overlap-active mask is above that of each overlap-free one (16 "
            "pairs), contradicted if any pair is the other way round."
        ),
    ),
    "C4": Claim(
        "Separation alone is mixed: better than Std at some N, worse at others",
        "means, figures 1, 2",
        separation_is_mixed,
        (
            "One case a size, supported if E of 001 is below that of 000, contradicted if it is above. *Holds* with "
            "at least one of each. *Does not hold* if no size is supported and each is contradicted or near (within a "
            "factor of 1.5, two one-sided tests, corrected over sizes), or the same with the directions exchanged. "
            "Otherwise *in part* with sizes of one kind only, and *undecided* with none."
        ),
    ),
    "C5": Claim(
        "The harm is no failure of optimisation: overlap-active masks fit as well",
        "in words",
        overlap_fits_as_well,
        (
            "One case a size and overlap-active mask, supported if its root mean squared error is near that of the "
            "same mask without overlap (within 0.01 on targets between 0 and 1, two one-sided tests) or below it, "
            "contradicted if it is above by more than that."
        ),
    ),
    "C6": Claim(
        "Overlap expels: at N = 100 mask 100 expels all, 000 and 010 keep some inside",
        "single runs, figure 3",
        overlap_expels,
        (
            "One case a size, supported if each overlap-active mask has a higher expelled fraction than the same mask "
            "without overlap, contradicted if any has a lower one; and three at the largest size: supported if the "
            "expelled fraction of 100 is above, and those of 000 and of 010 are below, the middle between all "
            "prototypes and all but one. (That those inside do the work is not part of the rule.)"
        ),
    ),
    "C7": Claim(
        "Specialization of overlap-active masks collapses toward zero as N grows",
        "means, figures 5, 6",
        overlap_ends_specialization,
        (
            "For each overlap-active mask one case for every two neighbouring sizes, supported if the ratio is lower "
            "at the larger one, contradicted if it is higher, and one case at the largest size, supported if the "
            "ratio is below half of that of the same mask without overlap, contradicted if it is above half. (No "
            "finite sweep shows a limit.)"
        ),
    ),
    "C8": Claim(
        "Separation alone expels only at a large temperature",
        "figure 4 (inferred)",
        separation_expels_only_when_hot,
        (
            "One case a size, supported if at the lowest temperature the expelled fraction of 001 is near that of 000 "
            "(within 0.1, two one-sided tests) or below it, and at the highest temperature above it by more than 0.1; "
            "contradicted if either is the other way round."
        ),
        "temperature",
    ),
    "C9": Claim(
        "The pattern is stable from N = 3 to N = 100",
        "means, figures 1, 2",
        pattern_is_stable,
        (
            "A mask's place is its E over the geometric mean of E of all masks on the same seed. One case for every "
            "size but the smallest, supported if each mask's place is near its place at the smallest size (within a "
            "factor of 1.5, two one-sided tests), contradicted if any is further away. (Sizes share no data; equal "
            "seed numbers are paired, which is as good as any order.)"
        ),
    ),
    "C10": Claim(
        "A repulsive loss must be compensated by a compatible attractor, or the geometry collapses",
        "its conclusion",
        repulsion_needs_an_attractor,
        (
            "The attractor is coverage, the paper's only one. One case a size and repulsion (001, 100, 101), "
            "supported if E of the repulsion alone is above that of 000 by more than a factor of 1.5, and E with "
            "coverage beside it is near that of 000 (within that factor, two one-sided tests) or below it; "
            "contradicted if either is the other way round, that is if the repulsion does no such harm or coverage "
            "does not make it good."
        ),
    ),
}
"""The paper's claims by their numbers."""
