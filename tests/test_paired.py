"""Paired comparisons: known answers, symmetries, and the libraries they lean on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest, wilcoxon
from statsmodels.stats.multitest import multipletests

from companion.judging import paired

RNG = np.random.default_rng


def test_a_sample_that_is_lower_everywhere_has_the_smallest_p_value_there_is():
    low = np.arange(10.0)
    assert paired.p_less(low, low + np.linspace(1, 2, 10)) == pytest.approx(2.0**-10)
    assert paired.p_less(low + np.linspace(1, 2, 10), low) == pytest.approx(1.0)


@pytest.mark.parametrize("seeds", [10, 200])
def test_p_values_are_scipy_s_one_comparison_at_a_time(seeds):
    first, second = RNG(0).normal(size=(2, 3, 4, seeds))
    p = paired.p_less(first, second, 0.1)
    assert p.shape == (3, 4)
    below = int((first[2, 1] - second[2, 1] < 0.1).sum())
    assert p[2, 1] == pytest.approx(binomtest(below, seeds, alternative="greater").pvalue)


def test_a_seed_at_the_gap_speaks_for_neither_side_whatever_its_last_bit():
    """1/9 - ½ and ½ - 8/9 are the same difference, and differ in the last bit."""
    assert 8 / 9 - 0.5 != 0.5 - 1 / 9
    assert (
        paired.p_less([8 / 9 - 0.5] * 10, 0.0, 0.5 - 1 / 9) == paired.p_less([0.5 - 1 / 9] * 10, 0.0, 8 / 9 - 0.5) == 1
    )
    assert paired.p_less([0.3] * 10, 0.2, 0.1) == paired.p_less([0.2] * 10, 0.3, -0.1) == 1


def test_uniform_ranks_of_nine_draws_are_lower_as_often_as_the_level_says():
    """Signed ranks of k/9 - ½ rejected 11.6 % here at 5 %: rounding broke ties that are none."""
    ranks = RNG(8).integers(10, size=(4000, 200)) / 9
    assert (paired.p_less(ranks, 0.5) <= 0.05).sum() <= binom.ppf(0.999, 4000, 0.05)


def test_a_skewed_sample_whose_median_is_the_gap_is_rejected_as_often_as_the_level_says():
    """The signed ranks of such a sample lie to one side: with them this rejects nearly always."""
    skewed = RNG(9).exponential(size=(2000, 200)) - np.log(2)
    for sample in (skewed, -skewed):
        assert (paired.p_less(sample, 0.0) <= 0.025).sum() <= binom.ppf(0.999, 2000, 0.025)
    assert (wilcoxon(skewed[:200], alternative="greater", axis=-1, method="approx").pvalue <= 0.025).mean() > 0.5


@pytest.mark.parametrize("spread", [0.5, 3.0])
@pytest.mark.parametrize("seeds", [10, 200])
def test_ties_and_zeros_do_not_raise_the_error_rate(seeds, spread):
    """A ratio of few neurons has few values: most differences are zero or tie with others."""
    difference = np.round(RNG(2).normal(0, spread, size=(4000, seeds)))
    assert (paired.p_less(difference, 0.0) <= 0.025).sum() <= binom.ppf(0.999, 4000, 0.025)


def test_equality_alone_shows_nothing_and_few_seeds_show_no_equivalence():
    same = np.zeros(200)
    assert paired.p_less(same, same) > 0.4
    noisy = RNG(3).normal(0, 1, size=(2, 10))
    assert paired.p_within(*noisy, 0.1) > 0.025  # a test for a difference would not reject either
    assert paired.p_less(*noisy) > 0.025 and paired.p_less(*noisy[::-1]) > 0.025


def test_equivalence_is_within_the_margin_on_both_sides_and_symmetric():
    first, second = RNG(4).normal(0, 0.1, size=(2, 200))
    assert paired.p_within(first, second, 0.5) < 1e-6
    assert paired.p_within(first + 0.6, second, 0.5) > 0.9 and paired.p_within(first - 0.6, second, 0.5) > 0.9
    assert paired.p_within(first, second, 0.02) == pytest.approx(float(paired.p_within(second, first, 0.02)), rel=1e-6)


@pytest.mark.long
def test_holm_is_statsmodels():
    p = RNG(5).uniform(size=(8, 12)) ** 3
    p[0, :4] = p[0, 0]  # ties
    expected = [multipletests(row, method="holm")[1] for row in p]
    np.testing.assert_allclose(paired.holm(p), expected, rtol=1e-12)


def test_superiority_counts_ties_half():
    low, high = np.array([1.0, 2, 3, 4]), np.array([2.0, 2, 2, 9])
    assert paired.superiority(low, high) == (2 + 0.5) / 4
    assert paired.superiority(low, high) + paired.superiority(high, low) == 1
    assert paired.superiority_interval(low, high).value == paired.superiority(low, high)


def test_the_interval_of_a_share_stays_within_its_limits():
    value, low, high = paired.superiority_interval(np.zeros(200), np.ones(200))
    assert value == 1 and 0.97 < low < 1 and high <= 1


def test_the_median_s_interval_holds_the_truth_as_often_as_it_says():
    skewed = RNG(6).exponential(1, size=(1000, 60))
    found = [paired.median_difference(row, 0.0) for row in skewed]
    held = sum(one.low <= np.log(2) <= one.high for one in found)
    assert binom.ppf(0.001, 1000, 0.95) <= held <= 990


@pytest.mark.parametrize("seeds", [6, 30, 200])
def test_the_median_s_interval_lies_below_a_gap_where_the_sign_test_says_so(seeds):
    for row in RNG(7).exponential(1, size=(200, seeds)) - np.log(2):
        found = paired.median_difference(row, 0.0)
        assert (found.high < 0) == (paired.p_less(row, 0.0) <= 0.025)
        assert (found.low > 0) == (paired.p_less(-row, 0.0) <= 0.025)


def test_one_wild_run_does_not_move_the_median_s_interval():
    values = RNG(7).normal(size=200)
    wild = values.copy()
    wild[values.argmax()] = 1e6
    assert paired.median_difference(values, 0.0) == paired.median_difference(wild, 0.0)


def test_intervals_of_ties_and_of_few_seeds_are_given():
    assert paired.median_difference(np.zeros(20), 0.0) == (0.0, 0.0, 0.0)
    one = paired.median_difference(np.ones(1), 0.0)
    assert one.value == 1 and np.isnan(one.low)
    assert np.isnan(paired.median_difference(np.arange(5.0), 0.0).low)
    assert paired.median_difference(np.arange(6.0), 0.0) == (2.5, 0, 5)


def test_only_seeds_that_are_there_are_counted_and_paired():
    low, high = np.ones(5), [0.0, 2, 3, 4, 5]
    assert paired.superiority_interval(low, 2.5) == paired.superiority_interval(low, np.full(5, 2.5))
    for one, other in (([1.0], high), (np.ones((3, 1)), np.zeros(3)), (np.ones(3), np.ones((3, 1)))):
        with pytest.raises(ValueError, match=r"^shapes: low .* the same or one number"):
            paired.superiority_interval(one, other)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: paired.p_less([np.nan, 1], 0.0), "differences: 1 of 2 are NaN; allowed are numbers"),
        (lambda: paired.superiority_interval([np.inf] * 3, [np.inf] * 3), "differences: 3 of 3 are NaN"),
        (lambda: paired.holm([-1, 2]), "p: .* was given; allowed are numbers from 0 to 1"),
        (lambda: paired.holm([np.nan]), "p: .* was given; allowed are numbers from 0 to 1"),
        (lambda: paired.p_within([1, 2], [1, 2], -1), "margin: .* was given; allowed are numbers above 0"),
    ],
)
def test_what_is_no_number_answers_no_question(call, says):
    with pytest.raises(ValueError, match=says):
        call()
