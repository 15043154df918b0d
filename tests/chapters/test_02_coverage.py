"""What chapter 2 says of coverage."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import ROOT
from literate import says

from companion.core.data import sample_task
from companion.core.losses import coverage_loss
from companion.core.settings import Settings
from companion.show import charts
from companion.show.figures import ORIGINAL
from companion.studies import coverage, expulsion, handful
from companion.studies.alone import against_std
from companion.sweeps.runs import WINDOW

states = says("02-coverage")
LOW = Settings().temperature


@pytest.fixture(scope="module")
def pulls():
    return coverage.pulls(coverage.ALONG)


@pytest.fixture(scope="module")
def ends():
    return {name: path[-1] for name, path in handful.paths(coverage.TRAINED).items()}


@states(
    "At the nominal temperature, $10^{-4}$, the uncovered sample at 0.9 pulls the prototype that is nearest to it, and "
    "no other."
)
def test_the_uncovered_sample_pulls_the_prototype_that_is_nearest_to_it_and_no_other():
    uncovered = torch.tensor([0.9], dtype=torch.float64)
    last = coverage.OTHERS[-1]
    for place in np.linspace(0, 1.5, 31):
        pull = handful.force(lambda at: coverage_loss(uncovered, at, LOW), coverage.OTHERS, place)
        if abs(place - 0.9) < abs(last - 0.9) - 0.01:
            assert pull == pytest.approx(2 * (0.9 - place), abs=1e-6)
        elif abs(place - 0.9) > abs(last - 0.9) + 0.01:
            assert abs(pull) < 1e-15


@states(
    "From far to the left, where other prototypes stand between, the fifth then feels next to nothing:",
    "So coverage does not call back an expelled neuron that others shield, as long as they do.",
)
def test_far_outside_where_others_shield_it_the_fifth_prototype_feels_next_to_nothing():
    far = coverage.pulls([-2.0, -1.0, -0.5, 2.0])
    assert (far[f"τ = {LOW:g}"] == 0).all() and (far.loc[-2.0] < 1e-15).all()


@states(
    "Some expelled neurons are not shielded, and others move in training: of the prototypes that began outside, "
    "{expulsion.coverage-back-at-3} came in under coverage at $N = 3$ and {expulsion.coverage-back-at-100} at "
    "$N = 100$ (@sec-back).",
)
@pytest.mark.long
def test_coverage_brings_back_many_of_those_that_began_outside_in_small_networks_and_few_in_large_ones():
    back = expulsion.returned(expulsion.stored_outside(ROOT / "data")).loc["010 Cov"]
    assert back["N = 3"] > 0.4 and 0.04 < back["N = 100"] < 0.1  # not: never


@states(
    "Between the last two samples it is pulled towards the uncovered one at the two lower temperatures; at the "
    "highest, the pull of all samples together turns it back on most of that way. Beyond 1.1 on the right and to the "
    "left of zero the force at the lowest temperature is zero."
)
def test_the_fifth_is_pulled_towards_the_uncovered_sample_and_beyond_the_neighbour_s_reach_by_nothing(pulls):
    between = pulls.loc[0.705:0.895]
    assert (between[pulls.columns[1:]] > 0).all(axis=None) and pulls.columns[0] == "τ = 0.1"
    assert (between["τ = 0.1"] < 0).mean() > 3 / 4  # not towards it at every temperature
    low = pulls[f"τ = {LOW:g}"]
    assert low.loc[1.105:].abs().max() < 1e-15 and low.loc[:-0.005].abs().max() < 1e-15
    assert low.loc[1.08] < -0.01


@states(
    "at that temperature coverage acts on a prototype that others shield with no more than "
    "about {strongest-shielded}, and at {silent-places} with exactly nothing in double precision.",
)
def test_on_a_shielded_prototype_coverage_acts_with_next_to_nothing_or_exactly_nothing():
    assert LOW == 1e-4
    blind = coverage.blind_spot()
    assert list(blind.index) == [place for place in coverage.PLACES if place != 0.8]
    assert 0 < blind.abs().max() < 1e-40 and list(blind.index[blind == 0]) == [-2, -1, -0.5, 2]


@states(
    "A higher temperature reaches further: at the highest of the three the force on the left exceeds a hundredth of "
    "its own greatest only from {felt-from} on.",
)
def test_a_higher_temperature_reaches_further(pulls):
    felt = pulls.abs() > 1e-3
    reach = [felt.index[felt[name]].min() for name in pulls]
    assert reach == sorted(reach) and len(set(reach)) == 3  # the hottest column comes first
    hottest = pulls["τ = 0.1"].abs()
    assert (hottest.loc[: coverage.felt_from(pulls) - 0.005] <= hottest.max() / 100).all()
    assert coverage.felt_from(pulls) > -1


@states(
    "Without coverage they end beside the samples; with coverage three of them end nearer to a sample than any does "
    "without it."
)
def test_without_coverage_prototypes_end_beside_the_samples_with_coverage_three_nearer_to_one(ends):
    x, _ = sample_task(5, seed=1000)
    away = {name: (end[:, None] - x).abs().amin(1) for name, end in ends.items()}
    assert away["000 Std"].min() > 0.05
    assert (away["010 Cov"] < away["000 Std"].min()).sum() == 3
    assert coverage.mean_nearest(x, ends["010 Cov"]) < coverage.mean_nearest(x, ends["000 Std"]) / 2


@states("The blue lines are the samples; a path that leaves the window breaks off.")
def test_a_picture_of_paths_has_the_samples_as_blue_lines_and_breaks_off_what_leaves_the_window():
    x, steps = torch.tensor([0.25, 0.75], dtype=torch.float64), (0, 1)
    path = torch.tensor([[0.5, 0.5], [0.6, WINDOW[1] + 1]], dtype=torch.float64)
    chart = charts.paths(x, steps, {"one": path}).to_dict()
    (panel,) = chart["concat"]
    rules, lines = panel["layer"]
    assert rules["mark"]["type"] == "rule" and rules["mark"]["color"] == ORIGINAL
    assert [row["position"] for row in chart["datasets"][rules["data"]["name"]]] == [0.25, 0.75]
    drawn = [row["position"] for row in chart["datasets"][lines["data"]["name"]]]
    assert drawn[:3] == [0.5, 0.5, 0.6] and (drawn[3] is None or np.isnan(drawn[3]))


@states(
    "Coverage lowers the median of E at {lower-medians} of {sizes} sizes and the mean at",
    "In the median the gain is largest at $N = {size-of-largest-gain}$ ({largest-gain}) and {gain-at-100} at $N = 100$",
)
def test_coverage_lowers_the_median_at_every_size_most_at_the_smallest_and_the_mean_at_all_but_one(replication):
    errors = against_std(replication, "010")
    gain = errors["000 Std, median"] - errors["010 Cov, median"]
    assert (gain > 0).all() and gain.idxmax() == 3 and gain.loc[100] < gain.max() / 4
    assert (errors["010 Cov, mean"] < errors["000 Std, mean"]).sum() == len(errors) - 1 == 5


@states(
    "where a mean share of {outside-at-100} of the prototypes lies outside the samples' range",
)
def test_with_coverage_at_the_largest_size_about_half_of_the_prototypes_lie_outside(replication):
    largest = replication.query("mask == '010' and size == 100")
    assert largest["expelled_fraction"].mean() == pytest.approx(0.5, abs=0.05)
