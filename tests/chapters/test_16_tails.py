"""What chapter 16 says of the stored runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from literate import says

from companion.core.data import sample_task
from companion.core.losses import total_loss
from companion.core.network import initial_parameters
from companion.core.settings import MASKS, Settings
from companion.studies import tails
from companion.sweeps.runs import reconstruction_points

states = says("16-tails")
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def found() -> tails.Results:
    return tails.results(ROOT / "data")


@pytest.fixture(scope="module")
def drawn(found) -> pd.DataFrame:
    return tails.drawn_runs(found.farthest)


@pytest.fixture(scope="module")
def paths(drawn) -> pd.DataFrame:
    return tails.paths(drawn)


@pytest.fixture(scope="module")
def worst_kinds(found) -> pd.DataFrame:
    return tails.kinds(found.worst)


@states("each group of one mask and one size holds 200")
def test_each_group_holds_200_runs(found):
    assert (found.runs.groupby(["mask", "size"])["seed"].nunique() == 200).all()


@states(
    "In {worst-either} of these worst runs the neuron that lies farthest from its original is one whose $w$ "
    "went through zero or stopped close to it",
)
def test_in_most_worst_runs_the_farthest_neuron_s_w_went_through_zero_or_ended_near_it(found, worst_kinds):
    assert worst_kinds[tails.EITHER].mean() > 1 / 2 > 0.1 > tails.kinds(found.each)[tails.EITHER].mean()


@states("near the 1 down from which a mean does not exist")
def test_the_exponents_are_near_1(found):
    assert found.tails["α"].between(0.8, 1.25).all()


@states(
    "In a small network E is the mean of few distances, and one of them can carry it; "
    "in a large one a far prototype is divided by $N$."
)
def test_one_run_makes_more_of_a_mean_in_small_networks_than_in_large_ones(found):
    alone = found.shares["one"].groupby("size").median()
    assert alone[3] > 2 * alone[100] and (alone.idxmax(), found.shares["one"].idxmax()[1]) == (3, 3)


@states(
    "In {one-above-a-quarter} of {groups} groups one run makes more than a quarter of the mean.",
)
def test_one_run_makes_more_than_a_quarter_of_the_mean_in_some_groups(found):
    assert 0 < (found.shares["one"] > 1 / 4).sum() < len(found.shares) / 4


@states(
    "So there are two ways to a large E. One is the prototype's place, mostly with $w$ near zero. The other is its "
    "height",
    "what makes a large E is a $w$ that training leaves near zero, on either side.",
)
def test_a_worst_run_s_neuron_that_is_off_in_place_mostly_ends_with_w_near_zero_on_either_side(found, worst_kinds):
    placed = found.worst[~worst_kinds[tails.UPRIGHT]]
    small = placed[placed["w"].abs() < tails.NEAR_ZERO]
    assert len(small) > 3 / 4 * len(placed) and 0.4 < (small["w"] > 0).mean() < 0.6
    assert 0.4 < small["crossed"].mean() < 0.6, "whether w changed its sign does not matter"


@states(
    "outside the samples the fit holds $f$ to no value, so a prototype not far off can stand high above the data or"
)
def test_a_worst_run_s_neuron_that_is_off_in_height_is_outside_near_the_samples_and_above_or_below(found, worst_kinds):
    high = found.worst[worst_kinds[tails.UPRIGHT]]
    assert high["expelled"].all() and (high["sideways"] < 1).mean() > 3 / 4
    runs = found.runs.set_index(tails.RUN)
    values = [
        reconstruction_points(runs.loc[key])["value"][row["neuron"]]
        for key, row in high.nlargest(20, "error").iterrows()
    ]
    assert max(values) > 10 and min(values) < -10


@states("The second way is mostly one of small networks.")
def test_height_carries_e_mostly_in_small_networks(worst_kinds):
    height = worst_kinds[tails.UPRIGHT].groupby("size").mean()
    assert (height[[3, 5, 10]] > 1 / 2).all() and (height[[20, 50, 100]] < 0.2).all()


@states("In {worst-in-height} it is farther off in the network's value there than in the prototype's place.")
def test_in_more_than_a_third_of_the_worst_runs_it_is_the_height(worst_kinds):
    assert 1 / 3 < worst_kinds[tails.UPRIGHT].mean() < 1 / 2


@states(
    "the input weights of four neurons end within a fiftieth of zero",
    "all four end more than fifty units away from zero",
)
def test_the_weights_drawn_end_near_zero_and_their_prototypes_far_away(drawn):
    assert len(drawn) == 4 and (drawn["w"].abs() < 1 / 50).all() and (drawn["prototype"].abs() > 50).all()


@states(
    "runs out to one infinity and comes back from the other",
    "wherever a weight changes its sign the curve leaves at one edge and returns from the opposite one",
    "A gap in the right-hand picture is a passage of $w$ through zero.",
)
def test_next_to_a_change_of_sign_the_prototype_is_far_out_on_both_sides(paths):
    crossed = np.flatnonzero(paths["crossed"])
    before, after = paths["prototype"].to_numpy()[crossed - 1], paths["prototype"].to_numpy()[crossed]
    assert len(crossed) and (before * after < 0).all() and np.minimum(abs(before), abs(after)).min() > 10
    assert tails.path_panels(paths)["prototype -b/w"][1]["value"].isna().sum() == len(crossed)


@states("without a structural loss and with each of them alone, the worst run whose farthest neuron is off in place")
def test_the_runs_drawn_are_the_worst_of_their_masks_that_are_off_in_place(found, drawn):
    placed = found.farthest[~tails.kinds(found.farthest)[tails.UPRIGHT]]
    assert drawn["mask"].tolist() == ["000", "001", "010", "100"]
    assert drawn["error"].tolist() == [placed.loc[mask, "error"].max() for mask in drawn["mask"]]


@states("A passage alone does no harm if the prototype returns to the data")
def test_neurons_whose_w_changed_its_sign_and_that_came_back_lie_as_near_as_the_others_inside(found):
    inside = found.each[~found.each["expelled"]].groupby("crossed")["distance"]
    assert inside.mean()[True] <= inside.mean()[False] and inside.median()[True] < 2 * inside.median()[False]


@states("There the median with a change of sign is the higher one in")
def test_e_is_higher_with_a_change_of_sign_in_nearly_all_groups(found):
    ratio = found.changes["with"] / found.changes["without"]
    assert (ratio > 1).mean() > 0.9


@states(
    "by a factor of {changes-factor} in the median group and {changes-factor-small-sizes} up to $N = 10$",
)
def test_a_change_of_sign_matters_more_in_small_networks(found):
    ratio = (found.changes["with"] / found.changes["without"]).rename("ratio").reset_index("size")
    assert ratio.loc[ratio["size"] <= 10, "ratio"].median() > ratio["ratio"].median() > 1


@states(
    "At $N = 100$ some $w$ changed its sign in {changed-largest-size} of the runs, so there it sets few runs apart.",
)
def test_at_n_100_most_runs_have_a_change_of_sign(found):
    sums = found.changes.groupby("size")[["changed", "runs"]].sum()
    assert sums.loc[100, "changed"] > 3 / 4 * sums.loc[100, "runs"]


@states(r"since $E \ge (\max_j |\hat x_j| - 1)/N$")
def test_e_is_no_less_than_its_farthest_prototype_allows(found):
    runs = found.each.groupby(tails.RUN, sort=False)
    farthest = np.maximum(runs["prototype"].max(), -runs["prototype"].min())
    assert (runs["distance"].sum() >= farthest - 1).all()


@states(
    "Before training the curve follows the line 1/(20t).",
    "After training the curves of Std and coverage alone lie below it beyond ten, that of overlap with separation "
    "above it, and all fall about as steeply as the line.",
)
def test_the_curves_of_survival_follow_the_line_or_run_beside_it(found):
    near, far = np.array([0.1, 1.0, 10.0]), np.array([10.0, 30.0, 100.0])
    assert tails.survival(tails.start_of(found.each)["start"], near) == pytest.approx(1 / (20 * near), rel=0.1)
    after = {mask: tails.survival(group["prototype"], far) for mask, group in found.each.groupby("mask")}
    line = 1 / (20 * far)
    assert (after["000"] < line).all() and (after["010"] < line).all() and (after["101"] > line).all()
    assert (found.tails["α"] - 1).abs().max() < 1 / 4


@states("Training does not mend the tail's slope.", "it stays below 2 under")
def test_no_exponent_s_interval_reaches_2_and_all_meet_that_before_training(found):
    before, after = found.tails.loc[tails.BEFORE], found.tails.drop(tails.BEFORE)
    assert (after["high"] < 2).all() and (after["low"] < before["high"]).all() and (after["high"] > before["low"]).all()


@states("It changes how much lies in it: beyond 10 there are fewer prototypes", "more under the others")
def test_beyond_10_there_are_fewer_prototypes_under_most_masks_and_more_under_two(found):
    before, after = found.tails.loc[tails.BEFORE, "share"], found.tails.drop(tails.BEFORE)["share"]
    assert (after < before).sum() > len(after) / 2 and (after != before).all()
    assert set(after.index[after > before]) == {"101 Ovl+Sep", "111 Full"}


@states("Of the {masks} intervals {exponent-holds-one} hold 1.")
def test_all_exponents_intervals_but_one_hold_1(found):
    after = found.tails.drop(tails.BEFORE)
    assert ((after["low"] <= 1) & (after["high"] >= 1)).sum() == len(after) - 1 == 7


@states("no term of the loss grows without bound as one $w$ goes to zero")
def test_no_term_of_the_loss_grows_without_bound_as_one_w_goes_to_zero():
    (x, y), start = sample_task(5, 1000), initial_parameters(5, 1000)
    for mask in MASKS:
        losses = []
        for small in (1e-2, 1e-4, 1e-8):
            w = start.w.clone()
            w[0] = small
            losses.append(float(total_loss(x, y, start._replace(w=w), Settings(mask))))
        assert losses[2] == pytest.approx(losses[1], rel=0.05) and losses[2] < 2


@states(
    "So from one study of ten seeds to the next a mean varies by a factor of",
    "The median is the better summary for repeating",
)
def test_the_median_is_steadier_than_the_mean_in_every_group(found):
    assert (found.spread["median"] < found.spread["mean"]).all()
    assert found.spread["mean"].median() > 2 > found.spread["median"].median()


@states(
    "The mean's curve is highest at every N; those of the trimmed mean and of the median lie close together, "
    "the median's lowest, and both are lower at N = 100 than at N = 3."
)
def test_the_mean_spreads_most_at_every_size_and_the_median_least_but_little_less_than_the_trimmed_mean(found):
    middle = found.spread.groupby("size").median()
    assert (middle["mean"] > middle["trimmed"]).all() and (middle["trimmed"] > middle["median"]).all()
    assert (middle["trimmed"] < 1.25 * middle["median"]).all()
    assert (middle.loc[100, ["trimmed", "median"]] < middle.loc[3, ["trimmed", "median"]]).all()


@states(
    "In {trimmed-steadier} groups the trimmed mean is steadier than the median.",
)
def test_the_trimmed_mean_is_steadier_than_the_median_in_few_groups(found):
    assert 0 < (found.spread["median"] > found.spread["trimmed"]).sum() < len(found.spread) / 4


@states(
    "in {owed-exceeds} of {groups} groups their share of E exceeds their share of the prototypes",
    "So E measures above all how far the expelled went; how well the prototypes inside stand on the samples is a small",
)
def test_most_of_e_is_owed_to_the_expelled_in_every_group(found):
    assert (found.parts["owed"] > 0.8).all() and (found.parts["owed"] > found.parts["expelled"]).mean() > 0.9
