"""The rules on data whose truth is known: made to hold, to fail, and to be a tie at the edge of what a rule allows."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from companion.core.settings import MASKS
from companion.judging import verdicts
from companion.judging.claims import ACTIVE, CLAIMS, FACTOR, FIT, FREE, SHARE
from companion.judging.verdicts import (
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    UNDECIDED,
    VERDICTS,
    Case,
    Statement,
    Study,
    by_count,
    describe,
    judge,
    p_for,
    shown_by_means,
)

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


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_that_is_true_is_found_to_hold(claim):
    assert counts(claim, TRUE[claim])[HOLDS] >= 0.9 * STUDIES


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_that_is_false_is_found_not_to_hold(claim):
    assert counts(claim, FALSE[claim])[DOES_NOT_HOLD] >= 0.9 * STUDIES


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_at_the_edge_at_most_one_study_in_twenty_says_that_the_claim_holds(claim):
    assert counts(claim, EDGE[claim])[HOLDS] <= NOT_MORE_THAN


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_where_nothing_differs_at_most_one_study_in_twenty_says_what_is_false(claim):
    """Equal masks do fit equally well, have a stable pattern, do no harm and are not mixed."""
    found = counts(claim, {}, seed=1)
    true = {"C5": {HOLDS}, "C9": {HOLDS}}.get(claim, {UNDECIDED, DOES_NOT_HOLD})
    if claim in ("C1", "C2", "C3"):  # no order is the truth, and no test can show it
        true = {UNDECIDED}
    assert sum(count for name, count in found.items() if name not in true) <= NOT_MORE_THAN


@pytest.fixture(scope="module")
def small(replication) -> pd.DataFrame:
    return replication.drop(columns=["x", "y", "w", "b", "a", "c"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda runs: runs.drop(columns="fit_mse"), "allowed are tables with \\['fit_mse'\\], too"),
        (lambda runs: runs.iloc[1:], "mask 000, size 3, seed 1000 is missing"),
        (lambda runs: pd.concat([runs, runs.iloc[:1]]), "mask 000, size 3, seed 1000 was given more than once"),
        (lambda runs: runs.assign(fit_mse=np.where(runs.index == 7, np.nan, runs["fit_mse"])), "no finite number"),
        (
            lambda runs: runs[(runs["mask"] != "111") | (runs["size"] != 5)],
            "mask 111, size 5 is missing; allowed are all",
        ),
        (lambda runs: runs.astype({"size": str}), "column 'size' of str was given; allowed is one of numbers"),
        (lambda runs: runs.assign(mask=[7, *runs["mask"][1:]]), "column 'mask' was given with lists or gaps"),
        (lambda runs: runs[runs["mask"] != "011"], "allowed are runs with \\['011'\\], too"),
    ],
    ids=["a column", "a run", "a run twice", "no number", "a group", "text", "a number", "a mask"],
)
def test_runs_that_a_claim_cannot_be_judged_by_are_refused(small, spoil, message):
    with pytest.raises(ValueError, match=message):
        CLAIMS["C1"].rule(spoil(small))


def test_a_trend_needs_two_sizes_and_two_temperatures(small):
    one = small[small["size"] == 3]
    for claim, message in (("C7", "sizes"), ("C9", "sizes"), ("C8", "temperatures")):
        with pytest.raises(ValueError, match=f"{message} .* were given; allowed are runs of at least 2"):
            CLAIMS[claim].rule(one)


@pytest.mark.long
def test_the_order_of_rows_and_the_numbers_of_seeds_do_not_matter(small):
    shuffled = small.sample(frac=1, random_state=0).assign(seed=lambda runs: 5 * runs["seed"])
    for claim in CLAIMS.values():
        if claim.data == "sweep":
            one, other = claim.rule(small), claim.rule(shuffled)
            np.testing.assert_allclose(one.p_for, other.p_for)
            assert (one.verdict, one.by_mean) == (other.verdict, other.by_mean)


@pytest.mark.long
def test_a_common_factor_of_all_errors_does_not_matter(small):
    doubled = small.assign(reconstruction_error=2 * small["reconstruction_error"])
    for key in ("C1", "C3", "C4", "C9", "C10"):
        np.testing.assert_allclose(CLAIMS[key].rule(small).p_for, CLAIMS[key].rule(doubled).p_for)


def test_one_wild_run_turns_a_mean_and_no_verdict(small):
    """No run is dropped or clipped: a run a million times too bad counts as one seed of ten."""
    wild = small.copy()
    worst = wild[(wild["mask"] == "000") & (wild["size"] == 100)]["reconstruction_error"].idxmax()
    wild.loc[worst, "reconstruction_error"] *= 1e6
    before, after = (CLAIMS["C3"].rule(runs) for runs in (small, wild))
    np.testing.assert_array_equal(before.supported, after.supported)
    assert before.by_mean_supported[-1] and not after.by_mean_supported[-1]


def test_verdicts_by_count():
    """The four words, at the counts where one ends and the next begins."""
    for supported, contradicted, word in (
        (4, 0, HOLDS),
        (3, 1, IN_PART),
        (2, 2, IN_PART),
        (1, 1, DOES_NOT_HOLD),
        (1, 0, UNDECIDED),
        (0, 0, UNDECIDED),
    ):
        outcomes = np.arange(4)
        assert verdicts.by_count(outcomes < supported, outcomes >= 4 - contradicted) == word


def test_the_rules_that_the_chapter_prints_name_their_gaps():
    for key, number in (("C4", FACTOR), ("C5", FIT), ("C8", SHARE), ("C9", FACTOR), ("C10", FACTOR)):
        assert f"{number:g}" in CLAIMS[key].stated


@pytest.mark.parametrize("effect", [1.5, -1.5])
def test_a_place_that_moves_either_way_is_no_stable_pattern(effect):
    values = made_up(
        np.random.default_rng(5), E=lambda mask, size, heat: effect if (mask, size) == ("100", 10) else 0.0
    )
    found = verdict("C9", values)
    assert found.outcome(0) == "contradicted" and found.outcome(1) == "supported"


G, H = ("000", 3), ("010", 3)


@pytest.mark.parametrize(
    "statement",
    [
        Statement("reconstruction_error", G, H, 0.0, "above"),
        Statement("reconstruction_error", G, H, 0.0, ["below"]),  # pyright: ignore[reportArgumentType]
        Statement("reconstruction_error", "3", H),  # pyright: ignore[reportArgumentType]
        Statement("reconstruction_error", (), H),
        Statement("reconstruction_error", (["000"], 3), H),
        Statement("reconstruction_error", ("000", 3, "hot"), H),
        Statement("reconstruction_error", G, H, float("nan")),
        Statement("reconstruction_error", 10**400, H),
        Statement(["reconstruction_error"], G, H),  # pyright: ignore[reportArgumentType]
    ],
)
def test_a_statement_that_has_no_test_is_refused(small, statement):
    study = Study.of(small)
    calls = (lambda: p_for(study, [statement]), lambda: shown_by_means(study, statement), lambda: describe(statement))
    for call in (*calls, lambda: judge(study, [Case("a case", [statement])])):
        with pytest.raises(ValueError, match=r"^statements?: .* was given; allowed are groups"):
            call()


def test_cases_without_statements_and_counts_of_other_things_are_refused(small):
    with pytest.raises(ValueError, match="statements: .* was given; allowed is a list of at least 1"):
        judge(Study.of(small), [Case("a case", [])])
    with pytest.raises(ValueError, match="supported: .* was given; allowed are True and False"):
        by_count(np.array([np.nan]), np.array([0]))
