"""The rules on data whose truth is known: made to hold, to fail, and to be a tie at the edge of what a rule allows."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from companion import verdicts
from companion.claims import ACTIVE, CLAIMS, FACTOR, FIT, FREE, SHARE
from companion.losses import MASKS
from companion.verdicts import DOES_NOT_HOLD, HOLDS, UNDECIDED, VERDICTS, Study

SIZES, HEATS = (3, 10, 100), (1e-5, 10.0)
SEEDS, STUDIES = 200, 200
NOT_MORE_THAN = binom.ppf(0.999, STUDIES, 0.05)
"""False verdicts of so many studies that are compatible with 5 %."""

Effect = Callable[[str, int, float], float]


def nothing(mask: str, size: int, heat: float) -> float:
    return 0.0


def made_up(
    rng: np.random.Generator, E: Effect = nothing, S: Effect = nothing, X: Effect = nothing, fit: Effect = nothing
):
    """A study whose groups differ by the given effects (logarithms for E and S) and by noise that is the same for all.

    Noise of E has tails as heavy as Cauchy's, and part of it is common to all masks of a seed.
    """
    common = {size: rng.normal(0, 0.3, SEEDS) for size in SIZES}
    values = {"reconstruction_error": {}, "specialization_ratio": {}, "expelled_fraction": {}, "rmse": {}}
    for mask, size, heat in itertools.product(MASKS, SIZES, HEATS):
        key = (mask, size, heat)
        tails = 0.2 * np.log1p(np.abs(rng.standard_cauchy(SEEDS)))
        values["reconstruction_error"][key] = np.exp(E(*key) + common[size] + rng.normal(0, 0.3, SEEDS) + tails)
        values["specialization_ratio"][key] = np.exp(S(*key) + rng.normal(-1, 0.4, SEEDS))
        values["expelled_fraction"][key] = 0.5 + X(*key) + rng.normal(0, 0.1, SEEDS)
        values["rmse"][key] = 0.05 + fit(*key) + np.abs(rng.normal(0, 0.01, SEEDS))
    return values


def verdict(claim: str, values: dict) -> verdicts.Verdict:
    """A claim's verdict on made-up values; all but C8 see one temperature."""
    if CLAIMS[claim].data == "sweep":
        values = {
            metric: {key[:2]: array for key, array in groups.items() if key[2] == HEATS[0]}
            for metric, groups in values.items()
        }
    return CLAIMS[claim].rule(Study(values))


def on(masks: tuple[str, ...] | list[str], effect: float) -> Effect:
    """The same effect on some masks, at every size and temperature."""
    return lambda mask, size, heat: effect if mask in masks else 0.0


ALL_OUT = {"X": lambda mask, size, heat: (0.6 if mask == "100" and size == 100 else 0.2) if mask in ACTIVE else -0.4}
FALLING = {"S": lambda mask, size, heat: -0.5 * SIZES.index(size) if mask in ACTIVE else 0.0}
HOT = {"X": lambda mask, size, heat: 0.3 if mask == "001" and heat > 1 else 0.0}
HARM = ("001", "100", "101")

TRUE = {
    "C1": {"E": on(["010"], -0.4)},
    "C2": {"S": on(["010", "011"], 0.3)},
    "C3": {"E": on(ACTIVE, 0.6)},
    "C4": {"E": lambda mask, size, heat: {3: -0.3, 10: 0.0, 100: 0.3}[size] if mask == "001" else 0.0},
    "C5": {},
    "C6": ALL_OUT,
    "C7": FALLING,
    "C8": HOT,
    "C9": {"E": on(ACTIVE, 0.6)},
    "C10": {"E": on(HARM, 1.0)},
}
"""Effects under which each claim is true."""

FALSE = {
    "C1": {"E": on(["010"], 0.4)},
    "C2": {"S": on(["000"], 0.3)},
    "C3": {"E": on(FREE, 0.6)},
    "C4": {"E": on(["001"], 0.3)},
    "C5": {"fit": on(ACTIVE, 0.03)},
    "C6": {"X": on(FREE, 0.3)},
    "C7": {"S": lambda mask, size, heat: 0.5 * SIZES.index(size)},
    "C8": {"X": on(["001"], 0.3)},
    "C9": {"E": lambda mask, size, heat: 1.5 if mask == "100" and size > 3 else 0.0},
    "C10": {"E": on(["100", "101", "110", "111"], 1.0)},
}
"""Effects under which each is false."""

PLACE = np.log(FACTOR) / (1 - 1 / len(MASKS))
"""An effect on one mask that moves its place among all by exactly the factor."""
EDGE = {
    "C1": {"E": lambda mask, size, heat: 0.0 if mask in ("010", "011") else 0.6},
    "C2": {"S": lambda mask, size, heat: 0.4 if mask == "011" or (mask == "010" and size > 3) else 0.0},
    "C3": {"E": lambda mask, size, heat: 0.6 if mask in ACTIVE and (mask, size) != ("111", 10) else 0.0},
    "C4": {"E": lambda mask, size, heat: 0.4 if mask == "001" and size > 3 else 0.0},
    "C5": {"fit": lambda mask, size, heat: FIT if (mask, size) == ("110", 10) else 0.0},
    "C6": {"X": lambda mask, size, heat: 0.0 if mask == "111" and size == 10 else 0.6 if mask in ACTIVE else 0.0},
    "C7": {"S": lambda mask, size, heat: (-1.0 if size == 100 else 0.0) if mask in ACTIVE else 0.0},
    "C8": {"X": lambda mask, size, heat: 0.0 if mask != "001" else 0.4 if heat > 1 else SHARE},
    "C9": {"E": lambda mask, size, heat: PLACE if mask == "100" and size == 10 else 0.0},
    "C10": {"E": lambda mask, size, heat: (np.log(FACTOR) if mask == "001" else 1.0) if mask in HARM else 0.0},
}
"""Effects at the very edge at which each claim becomes false: all but one part of it is plainly true."""


def counts(claim: str, effects: dict, seed: int = 0) -> dict[str, int]:
    rng = np.random.default_rng([seed, int(claim[1:])])
    found = [verdict(claim, made_up(rng, **effects)).verdict for _ in range(STUDIES)]
    return {name: found.count(name) for name in VERDICTS}


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_that_is_true_is_found_to_hold(claim):
    assert counts(claim, TRUE[claim])[HOLDS] >= 0.9 * STUDIES


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_that_is_false_is_found_not_to_hold(claim):
    assert counts(claim, FALSE[claim])[DOES_NOT_HOLD] >= 0.9 * STUDIES


@pytest.mark.parametrize("claim", CLAIMS)
def test_at_the_edge_at_most_one_study_in_twenty_says_that_the_claim_holds(claim):
    assert counts(claim, EDGE[claim])[HOLDS] <= NOT_MORE_THAN


@pytest.mark.parametrize("claim", CLAIMS)
def test_where_nothing_differs_at_most_one_study_in_twenty_says_what_is_false(claim):
    """Equal masks do fit equally well, have a stable pattern, do no harm and are not mixed."""
    found = counts(claim, {}, seed=1)
    true = {"C5": {HOLDS}, "C9": {HOLDS}}.get(claim, {UNDECIDED, DOES_NOT_HOLD})
    if claim in ("C1", "C2", "C3"):  # no order is the truth, and no test can show it
        true = {UNDECIDED}
    assert sum(count for name, count in found.items() if name not in true) <= NOT_MORE_THAN
