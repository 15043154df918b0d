"""What chapter 21 says of the stored runs and of its two examples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from literate import says

from companion.core.losses import fit_loss
from companion.core.network import predict, prototypes, starting_batch
from companion.judging.claims import ACTIVE, FREE
from companion.studies import carriers
from companion.studies.carriers import wide
from companion.studies.forces import fit_force

pytestmark = pytest.mark.long
states = says("21-holding")
ACTIVE, FREE = list(ACTIVE), list(FREE)
MOST = 100


@pytest.fixture(scope="module")
def found() -> carriers.Results:
    return carriers.results(ROOT / "data")


@pytest.fixture(scope="module")
def carried(found) -> pd.DataFrame:
    return found.carried


@pytest.fixture(scope="module")
def done(found) -> pd.DataFrame:
    """Deletions that removed something."""
    return found.deletions[found.deletions["deleted"] > 0]


@pytest.fixture(scope="module")
def hurt(done) -> dict[str, pd.DataFrame]:
    """By kind the share of runs in which a deletion hurts, masks by sizes."""
    return {kind: wide(part, "hurt", "mean") for kind, part in done.groupby("kind")}


@pytest.fixture(scope="module")
def after(done) -> dict[str, pd.DataFrame]:
    """By kind the median error after a deletion, masks by sizes."""
    return {kind: wide(part, "after") for kind, part in done.groupby("kind")}


# --- the fit's force ---


@pytest.fixture(scope="module")
def moving():
    places = torch.linspace(-0.5, 2.0, 251, dtype=torch.float64)
    return places, carriers.moving_neuron(places)


@states(
    "A fifth neuron is moved along the line, past five samples of the target; the other four stay on samples",
    "The force is below the first bound, a level curve that is lowest where the error is least, at every position.",
)
def test_the_moving_neuron_s_force_is_below_a_bound_that_is_lowest_where_the_error_is_least(moving):
    places, (x, y, parameters) = moving
    positions = -parameters.b / parameters.w
    torch.testing.assert_close(positions[:, 4], places)
    assert x.shape == (len(places), 5)
    torch.testing.assert_close(positions[:, :4], x[:, :4], msg="the others stay on samples")
    assert (places[0] < x).all() and (places[-1] > x).all()
    bound = carriers.fit_force_bound(x, y, parameters)[:, 4]
    assert (fit_force(x, y, parameters)[:, 4].abs() < bound).all()
    assert bound.argmin() == fit_loss(predict(x, *parameters), y).argmin()
    assert bound.max() < 3 * bound.min(), "level: of one order at every position"


@states(
    "Outside the samples, from about 0.14 beyond the last one on, a second bound falls to zero, and the force stays"
    " below it."
)
def test_far_outside_the_samples_a_second_bound_falls_to_zero_above_the_force(moving):
    places, data = moving
    bound = carriers.fit_force_bound_outside(*data)[:, 4]
    right = places > 0.9
    given = ~bound[right].isnan()
    first = places[right][given][0]
    assert first - 0.9 == pytest.approx(0.14, abs=0.011), "to the grid's step"
    assert given[places[right] >= first].all()
    falling = bound[right][given]
    assert (falling.diff() < 0).all() and falling[-1] < 1e-6 * falling[0]
    assert (fit_force(*data)[:, 4].abs() < bound)[right][given].all()


@states("In a quarter of the stored runs, the medians over a run's neurons of the force's size and of its bound")
def test_the_forces_are_of_a_quarter_of_the_runs(found):
    assert len(found.forces) / 2 == len(found.carried) / 4


@states(
    "At $N = 100$ training divides the median error by {error-divided-by}, by mask, and the median bound by",
    "The force itself ends lower still, at {force-at-the-end}: what is left of the residuals has little in "
    "common with a single neuron's slope",
)
def test_training_lowers_error_and_bound_and_the_force_more(found):
    at = carriers.force_medians(found.forces).xs(MOST, level="N")
    error, bound, force = (at[f"{name}, start"] / at[f"{name}, end"] for name in ("error", "bound", "force"))
    assert (error > 10).all() and (bound > 10).all() and (force > 10 * bound).all()
    assert (at["force, end"] < at["bound, end"] / 100).all()


# --- deletion of one neuron ---


@states(
    "One neuron with $a = 1$ at the distance $D$ from the edge of a hundred evenly spaced samples, in bump widths",
    "Both fall ever more steeply: the bound from one at the edge to about a third at one width and below one thousandth"
    " at three, the other below it throughout.",
)
def test_what_one_deletion_changes_falls_ever_more_steeply_with_distance():
    widths = torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=torch.float64)
    x, network, removed = carriers.neuron_outside(widths)
    assert x.shape == (4, 100) and (network.a == 1).all() and removed.all()
    torch.testing.assert_close(x.diff(), torch.full_like(x[:, 1:], 1 / 99), msg="evenly spaced")
    outside = carriers.distance_outside(x, -network.b / network.w)[:, 0] * network.w[:, 0]
    torch.testing.assert_close(outside, widths, rtol=0, atol=1e-12)
    change = carriers.deletion_bound(x, network, removed)
    bound = carriers.deletion_bound_outside(x, network, removed)
    assert (change < bound).all()
    for values in (change, bound):
        steps = values.log().diff()
        assert (steps < 0).all() and (steps.diff() < 0).all()
    assert bound[0] == pytest.approx(1) and bound[1] == pytest.approx(1 / 3, abs=0.05) and bound[3] < 1e-3


# --- how many neurons carry the fit ---


@states(
    "With overlap fewer neurons carry it than without: after 2,000 steps, at $N = 100$, the effective number of those "
    "that carry it is {k-overlap-rounded}, without overlap",
    "With overlap fewer neurons carry the fit after 2,000 steps, at each of the six sizes",
    "the four masks with overlap lie below the four without at every size",
    "the neurons that carry 99 percent, again fewer with overlap than without at every size",
)
def test_with_overlap_fewer_neurons_carry_the_fit_at_every_size(carried):
    for column in ("effective", "count"):
        table = wide(carried, column)
        assert (table.loc[ACTIVE].max() < table.loc[FREE].min()).all(), column
    assert wide(carried, "effective").loc[ACTIVE, MOST].max() < MOST / 5


@states("the median effective number of carriers, which rises with N for every mask")
def test_the_effective_number_rises_with_size_for_every_mask(carried):
    assert (wide(carried, "effective").diff(axis=1).iloc[:, 1:] > 0).all(axis=None)


@states("from N = 10 on all eight lie below the value before training")
def test_from_size_10_on_all_masks_lie_below_the_value_before_training(carried):
    start = carried.groupby("size")["start"].median()
    assert (wide(carried, "effective") < start).all().loc[10:].all()


@states("in grey K before training, which is the same for all masks")
def test_masks_start_alike(carried):
    assert (carried.groupby(["size", "seed"])["start"].nunique() == 1).all()


@states(
    "The number grows more slowly than $N$ under each of the eight masks, with an exponent of {exponent-overlap} with "
    "overlap and {exponent-others} without",
)
def test_the_effective_number_grows_more_slowly_than_size(carried):
    exponents = carriers.growth(carried)
    assert all(exponents[mask].high < 1 for mask in (*ACTIVE, *FREE))
    assert max(exponents[mask].value for mask in ACTIVE) < min(exponents[mask].value for mask in FREE)


@states(
    "Expelled neurons are no idle rest: at $N = 100$ they make {outside-others} of the contributions without "
    "overlap, {outside-overlap} with it.",
)
def test_expelled_neurons_are_no_idle_rest(carried):
    outside = wide(carried, "outside")[MOST]
    assert (outside[FREE] > 0.25).all() and outside[FREE].min() > outside[ACTIVE].max() and (outside > 0.03).all()


@states(
    "At $N = 3$ one neuron makes more than 99 % of all contributions in {overlap-one-carries} of the runs of 100 Ovl",
)
def test_one_of_three_neurons_makes_more_than_99_percent_in_most_runs_of_overlap_alone(carried, powered):
    runs = powered[(powered["mask"] == "100") & (powered["size"] == 3)]
    shares = []
    for run in runs.itertuples():
        made = np.abs(run.a) * np.exp(-((np.outer(run.x, run.w) + run.b) ** 2)).mean(0)
        shares.append(made.max() / made.sum())
    stored = carried[(carried["mask"] == "100") & (carried["size"] == 3)]
    assert (np.array(shares) > 0.99).mean() == (stored["count"] == 1).mean() > 0.5


# --- what deletion does ---


@pytest.fixture(scope="module")
def alone(found) -> dict[str, pd.DataFrame]:
    """By kind the share of neurons whose deletion by itself hurts, masks by sizes."""
    return {
        kind: part.pivot(index="mask", columns="size", values="hurt") for kind, part in found.singles.groupby("kind")
    }


@states(
    "Deleting a single neuron less than one bump width outside the data raises the fit's error by more than "
    "{hurts-above} in {one-near-hurts-at-most} of them at $N = 100$, by mask, and in {one-near-hurts-at-fewest} "
    "at $N = "
    "3$; deleting one farther out does so in {one-far-hurts-at-most} and {one-far-hurts-at-fewest}",
    "Of the far neurons of large networks hardly one is needed by itself; of the near ones it depends on the mask.",
)
def test_at_100_hardly_a_far_neuron_is_needed_by_itself_and_of_near_ones_it_depends_on_the_mask(alone):
    far, near = alone["far"][MOST], alone["near"][MOST]
    assert far.max() < 0.03 and near.min() < 0.4 < 0.7 < near.max()
    assert near["000"] < 0.5, "most near ones of Std are dead weight by themselves"
    assert alone["near"][3].min() > 0.9 and alone["far"][3].max() > 0.5


@states(
    "At each mask and size a far neuron's deletion hurts less often than a near one's.",
    "of all neurons of a kind in the 200 runs",
)
def test_a_far_neuron_hurts_less_often_than_a_near_one_everywhere(alone, found):
    assert (alone["far"] < alone["near"]).all(axis=None)
    neurons = found.singles.groupby(["mask", "size"])["neurons"].sum().unstack("mask")
    assert (neurons.div(neurons.index, axis=0) == 200).all(axis=None)


@states(
    "How much a group's deletion hurts depends on how large the group is",
    "All far ones together hurt more often than one of them, as small contributions add up: under 100 Ovl at $N "
    "= 100$ a "
    "single one hurts in {one-far-ovl}, all together in {all-far-ovl} of the runs.",
)
def test_all_far_ones_together_hurt_more_often_than_one_of_them(alone, hurt):
    assert (hurt["far"] > 2 * alone["far"])[MOST].all() and hurt["far"].loc["100", MOST] > 0.5


@states(
    "A deletion is said to hurt if it raises the root mean squared error by more than {hurts-above}, a "
    "hundredth of the",
)
def test_a_deletion_hurts_above_a_hundredth_of_the_target_s_range(found, powered):
    values = np.concatenate(powered["y"].to_list())
    assert carriers.HURT == pytest.approx(np.ptp(values) / 100, rel=1e-3)
    rise = found.deletions["after"] - found.deletions["before"]
    assert (found.deletions["hurt"] == (rise > carriers.HURT)).all()
    refitted = found.deletions["refitted"] - found.deletions["before"]
    assert (found.deletions["hurt_refitted"] == (refitted > carriers.HURT)).all()


@states(
    "a grey line shows the error of the best constant, about one third.",
    "Deleting all expelled neurons takes the masks without overlap to errors near the constant's or above it at N = 50"
    " and 100",
)
def test_without_overlap_deleting_all_expelled_ones_costs_about_as_much_as_a_constant(found, after):
    assert found.constant.between(0.28, 0.36).all()
    near = 0.8 * found.constant[[50, MOST]]
    assert (after["expelled"].loc[FREE, [50, MOST]] > near).all(axis=None)


@states("deleting the far ones alone leaves every mask far below the constant.")
def test_deleting_the_far_ones_alone_leaves_every_mask_far_below_the_constant(found, after):
    assert (after["far"] < found.constant / 3).all(axis=None)


@states("Near ones deleted: above one half in every cell, and above nine tenths in all cells without overlap.")
def test_deleting_near_ones_hurts_in_most_runs_of_every_cell(hurt):
    assert (hurt["near"] > 0.5).all(axis=None) and (hurt["near"].loc[FREE] > 0.9).all(axis=None)


@states("Far ones deleted: a lower share than for the near ones in every cell, largest for 001 and 011 at N = 100.")
def test_deleting_far_ones_hurts_less_often_than_near_ones_in_every_cell(hurt):
    assert (hurt["far"] < hurt["near"]).all(axis=None)
    assert list(hurt["far"].stack().nlargest(2).index) == [("001", MOST), ("011", MOST)]


@states(
    "At $N = 100$ the far ones can be deleted without hurt in {far-spared-std} of the runs of 000 Std and "
    "{far-spared-cov} of 010 Cov, but only in {far-spared-sep} of 001 Sep and {far-spared-ovl} of 100 Ovl: "
    "there are many of them",
)
def test_far_ones_are_spared_where_they_are_few(found, hurt):
    far = found.deletions[found.deletions["kind"] == "far"]
    spared, many = 1 - hurt["far"][MOST], wide(far, "deleted")[MOST]
    few, lots = ["000", "010"], ["001", "100"]
    assert spared[few].min() > 0.5 > spared[lots].max()
    assert many[lots].min() > MOST / 4 > MOST / 10 > many[few].max()


@states(
    "Without overlap and separation the near ones are about half of the network ({near-alone} of 100 in the median; "
    "with separation {near-separated}, with overlap {near-overlap}). With all expelled neurons gone the median "
    "error of "
    "000 Std at $N = 100$ is {std-error-after}, worse than the best constant's",
)
def test_without_overlap_and_separation_the_near_ones_are_about_half_of_the_network(found, after):
    near = found.deletions[found.deletions["kind"] == "near"]
    share = wide(near, "deleted")[MOST] / MOST
    assert share[["000", "010"]].between(0.4, 0.6).all() and share[["001", "011"]].between(0.15, 0.25).all()
    assert share[ACTIVE].max() < 0.1
    # An error above the best constant's: what is left alone is worse than nothing, so the two had cancelled in part.
    assert after["expelled"].loc["000", MOST] > found.constant[MOST]


@states(
    "With overlap it is {overlap-error-after}: those inside come closer to carrying the fit alone, but do not "
    "do so to within",
)
def test_with_overlap_those_inside_come_closer_to_carrying_the_fit_alone(after, hurt):
    expelled = after["expelled"][MOST]
    assert expelled[ACTIVE].max() < expelled[FREE].min()
    assert (hurt["expelled"].loc[ACTIVE, MOST] > 0.5).all()


# --- the rest ---


@states("Fewer prototypes can choose among more originals, so $E_k$ falls as neurons go, whatever they have learnt.")
def test_fewer_random_prototypes_match_better():
    levels = [np.mean([carriers.rest_chance(20, seed, rest) for seed in range(1000, 1005)]) for rest in (3, 8, 14, 20)]
    assert (np.diff(levels) > 0).all()


@states(
    "the rest's error is above its chance level (interval above 1) at",
    "000 and 010 rise far above one at N = 50 and 100, while the other six masks stay below or near one at every size.",
)
def test_the_rest_is_above_chance_for_std_and_cov_at_the_two_largest_sizes(found):
    ratio = wide(found.rests, "ratio")
    above = [("000", 50), ("000", MOST), ("010", 50), ("010", MOST)]
    assert carriers.above_chance(found.rests) == above and all(ratio.loc[cell] > 2 for cell in above)
    assert (ratio.drop(["000", "010"]) < 1.1).all(axis=None)


@states(
    "from N = 20 on the four masks with overlap are lowest, below the grey line of the untrained network, at N = 100 "
    "at less than half of it; the four without stay within about a tenth of that line.",
    "Grey: left, the share inside before training",
)
def test_with_overlap_fewest_neurons_remain_from_size_20_on_and_without_it_about_as_many_as_before(found, powered):
    share, start = wide(found.rests, "share").loc[:, 20:], carriers.inside_untrained(powered).loc[20:]
    assert (share.loc[ACTIVE].max() < share.loc[FREE].min()).all()
    assert (share.loc[ACTIVE].max() < start).all() and share.loc[ACTIVE, MOST].max() < start[MOST] / 2
    assert (share.loc[FREE] - start).abs().max(axis=None) < 0.11
    x, _, weights = starting_batch(50, range(1000, 1200))
    at = prototypes(weights.w, weights.b)
    inside = (at >= x.amin(-1, keepdim=True)) & (at <= x.amax(-1, keepdim=True))
    assert start[50] == pytest.approx(np.median(inside.double().mean(-1)))


@states(
    "After 2,000 steps at $N = 100$, the neurons that overlap leaves inside lie at the data about as well as "
    "random points of the graph would; its harm"
    " to $E$ is in those that it expels.",
)
def test_the_harm_of_overlap_is_in_those_that_it_expels(found):
    ratio, at = wide(found.rests, "ratio")[MOST], carriers.rest_medians(found.rests).xs(MOST, level="size")
    assert ratio[ACTIVE].between(0.7, 1.1).all()
    whole, rest = at["whole"], at["error"]
    assert (whole[ACTIVE] > 50 * rest[ACTIVE]).all()


@states("Without overlap and separation those inside are many and not spread like the data.")
def test_without_overlap_and_separation_those_inside_are_many_and_not_spread_like_the_data(found):
    rests = found.rests
    share, ratio = wide(rests, "share")[MOST], wide(rests, "ratio")[MOST]
    assert (share[["000", "010"]] > 0.4).all() and (ratio[["000", "010"]] > 2).all()


@states(
    "With the values of what remains of the network the error is {own-values-times} times as large at $N = "
    "100$ (ratio of the medians): the values of those inside are made by those outside too.",
)
def test_the_values_of_those_inside_are_made_by_those_outside_too(found):
    at = carriers.rest_medians(found.rests).xs(MOST, level="size")
    assert (at["own"] > 1.4 * at["error"]).all()
