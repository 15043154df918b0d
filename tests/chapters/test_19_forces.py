"""What chapter 19 says of its pictures, of one step of training and of the stored runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from literate import says

from companion.core.network import prototypes
from companion.core.train import LEARNING_RATE
from companion.studies import forces

states = says("19-forces")
SAMPLES = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)


@pytest.fixture(scope="module")
def fields():
    return forces.fields(forces.POSITIONS)


@pytest.fixture(scope="module")
def strengths():
    return forces.pull_and_push(forces.DISTANCES)


# --- all four at once ---


@states(
    "Five samples, four neurons of $w = 5$ on the first four of them, and output weights that fit the target when the "
    "fifth neuron stands on the fifth sample, at 0.9."
)
def test_the_fifth_neuron_fits_the_target_where_it_stands_on_the_fifth_sample():
    x, y, network = forces.five_neurons()
    assert torch.equal(x, SAMPLES) and torch.equal(prototypes(network.w, network.b), x) and (network.w == 5).all()
    assert forces.fit_force(x, y, network).abs().max() < 1e-12


@states(
    "Three panels of the force on one neuron against its position, at a low temperature, at a higher one, and at the "
    "higher one with ten times the strength."
)
def test_the_panels_are_a_low_temperature_a_higher_one_and_ten_times_the_strength():
    low, higher, strong = forces.FIELD_SETTINGS.values()
    assert low.temperature < higher.temperature == strong.temperature
    assert low.strength == higher.strength == strong.strength / 10


@states("Overlap is negative to the left of the samples and positive to the right.")
def test_overlap_is_negative_left_of_the_samples_and_positive_right_of_them(fields):
    for field in fields.values():
        assert (field["overlap"][forces.POSITIONS < 0.1] < 0).all()
        assert (field["overlap"][forces.POSITIONS > 0.9] > 0).all()


@states(
    "Coverage pulls towards the last sample on both sides of it and cannot be told from zero far outside; nor can sep"
)
def test_coverage_pulls_to_the_last_sample_and_far_outside_it_and_separation_are_too_weak_to_be_seen(fields):
    at = forces.POSITIONS
    around, far = ((at - 0.9).abs() < 0.08) & ((at - 0.9).abs() > 1e-9), (at < -0.4) | (at > 1.4)
    for field in fields.values():
        assert (field["coverage"][around] * (0.9 - at[around]) > 0).all()
        for name in ("coverage", "separation"):
            assert field[name][far].abs().max() < 1e-6  # of an axis that is linear up to 0.01: no pixel


@states("The fit's force vanishes where the fit is met, and far outside")
def test_the_fit_s_force_vanishes_where_the_fit_is_met_and_far_outside():
    x, y, network = forces.five_neurons()
    at = torch.tensor([0.9, 0.8, -3.0, 4.0], dtype=torch.float64)
    met, missed, *far = forces.force_field(x, y, network, (forces.FIFTH, at), forces.Settings())["fit"].abs().tolist()
    assert met < 1e-12 and missed > 1e-3 and max(far) < 1e-30


# --- one step of training ---


@states("The *first* step is of one size in $w$ and $b$, however strong or weak the force")
def test_the_first_step_is_of_one_size_in_w_and_b():
    steps = forces.first_step()[["dw", "db"]].abs() / LEARNING_RATE
    assert (steps > 0.95).all(axis=None) and (steps <= 1).all(axis=None)


@states(
    "A weight within a few hundredths of zero can throw its prototype anywhere",
    "Of the {unbounded-neurons} others one moved by",
)
def test_only_weights_within_a_few_hundredths_of_zero_throw_their_prototypes_far():
    neurons = forces.first_step()
    small = neurons["weight"] < forces.longest_adam_step() * LEARNING_RATE
    assert 0.03 < forces.longest_adam_step() * LEARNING_RATE < 0.1
    assert neurons["moved"][small].max() > 100 > 10 > neurons["moved"][~small].max()


@states(
    "Later steps are shorter",
    "The median step of a bias is {pace-0} $\\eta$ at the start, {pace-5} $\\eta$ after 5 steps, {pace-20} after 20, "
    "{pace-97} after 97, {pace-192} after 192 and {pace-1000} after 1,000",
)
def test_later_steps_are_shorter_than_the_first():
    pace = forces.pace()
    assert forces.PACE_STEPS == (0, 5, 20, 97, 192, 1000) and pace.equals(forces.pace(100, "100", range(1000, 1010)))
    for name in ("|δw|/η", "|δb|/η"):
        steps = pace[name]
        assert steps[0] > 0.95 and steps.is_monotonic_decreasing and steps[5] < 0.7 and steps[1000] < 0.05


@states(
    "falls like $|w|^{ {step-power-at-large-weights} }$, below like $|w|^{ {step-power-at-small-weights} }$: a "
    "small weight has a far prototype beside it, and both lengthen the step.",
)
def test_a_small_weight_has_a_far_prototype_beside_it_so_moves_fall_faster_with_it():
    neurons = forces.first_step()
    small, large = forces.powers_of_the_weight(forces.moves_by_weight(neurons))
    assert small < -1.5 and -1.1 < large < -0.8
    reach = neurons["reach"].groupby(neurons["weight"] < 0.3).median()
    assert reach[True] > 2 * reach[False]


@states(
    "none moved further than the third part allows, at most {most-of-the-bound} of it",
)
def test_no_prototype_moves_further_than_the_bound_and_most_move_far_less():
    assert forces.bounded_moves(forces.first_step()).max() < 0.2


@states(
    "neurons (N = 100, mask 111 Full, seeds 1000–1039). Those with |w| from 0.03 to 10 are in ten parts of equal ratio"
)
def test_the_first_step_is_of_forty_networks_of_a_hundred_neurons_in_ten_parts():
    neurons = forces.first_step()
    assert len(neurons) == 40 * 100 and neurons.equals(forces.first_step(100, "111", range(1000, 1040)))
    middles = np.log10(forces.moves_by_weight(neurons).index)
    assert len(middles) == 10 and np.allclose(np.diff(middles), 0.25)
    assert round(10 ** (middles[0] - 0.125), 2) == 0.03 and np.isclose(middles[-1] + 0.125, 1)


@states(
    "The median lies close to the median of the learning rate times one plus the prototype's distance from zero, over "
    "the weight; it runs along the line of the learning rate over the weight at large weights and rises above it at "
    "small ones. The largest moves lie above all and reach about ten units at the smallest weights."
)
def test_the_moves_by_weight_are_as_the_alternative_text_says():
    moves = forces.moves_by_weight(forces.first_step())
    median, largest = moves["median of the neurons"], moves["largest"]
    assert (median / moves["η(1 + |x̂|)/|w|, median"]).between(0.5, 1).all()
    along = median / moves["η/|w|"]
    assert along[along.index > 1].between(0.8, 1).all() and (along[along.index < 0.3] > 2).all()
    assert along[along.index < 0.5].is_monotonic_decreasing
    assert moves.idxmax(axis=1).eq("largest").all() and largest.iloc[0] == largest.max() == pytest.approx(10, rel=0.1)


# --- overlap only pushes outward ---


@states(
    "The centre rises from the lowest sample's side to the highest's and never leaves the samples' range; the "
    "curves cross once, near the middle, and the prototype is pushed from the centre's curve towards its own "
    "side.",
    "the prototype is above it from {balance} on: from there it is pushed to the right, before that to the "
    "left. The two curves cross once, and the balance there is unstable.",
)
def test_the_crowd_s_centre_rises_and_crosses_the_prototype_once_where_the_balance_is_unstable():
    centres = forces.crowd_centres(forces.POSITIONS)
    centre, at = centres["the shared samples' centre"], centres["the prototype"]
    assert centre.is_monotonic_increasing and 0.1 - 1e-9 < centre.min() < 0.15 and 0.85 < centre.max() < 0.9 + 1e-9
    above = at > centre
    crossings = above.astype(int).diff().fillna(0)
    assert (crossings != 0).sum() == 1 and abs(forces.balance(centres) - at[crossings == 1].item()) < 0.01
    assert 0.3 < forces.balance(centres) < 0.7
    push = forces.fields(forces.POSITIONS)["τ = 0.0001, λ = 1"]["overlap"].numpy()
    assert ((push > 0) == above.to_numpy())[centre != at].all()  # away from the balance on both of its sides


@states(
    "Trained networks go both ways.",
    "After 2,000 steps the bumps are narrower with overlap alone than without it in the median at "
    "{sizes-with-narrower-bumps} of {sizes} sizes, and more prototypes are outside at",
)
def test_with_overlap_bumps_end_narrower_and_more_prototypes_outside(replication):
    assert set(replication["steps"]) == {2000}
    ways = forces.two_ways(replication)
    assert (ways["median |w|, 100 Ovl"] > ways["median |w|, 000 Std"]).all()
    assert (ways["expelled, 100 Ovl"] > ways["expelled, 000 Std"]).all()


@states(
    "So overlap does not push neurons away from one another. With samples at 0.1 and 0.3 and two neurons of $w = 3$ at "
    "0.6 and 0.9, the one at 0.6 is pushed to the right, *towards* the other."
)
def test_overlap_may_push_a_neuron_towards_another():
    x, w, at = (torch.tensor(values, dtype=torch.float64) for values in ([0.1, 0.3], [3.0, 3.0], [0.6, 0.9]))
    assert forces.overlap_force(x, w, -w * at)[0] > 1e-3


# --- coverage's blind spot ---


@states(
    "$r = 0.1$, a distance of 0.3 makes it $(0.09 - 0.01)/\\tau = 800$, and in double precision $e^{-746}$ is zero."
)
def test_the_exponent_at_a_distance_of_three_tenths_is_beyond_double_precision():
    assert (0.3**2 - 0.1**2) / 1e-4 == pytest.approx(800) and math.exp(-745) > 0 == math.exp(-746)


@states(
    "Coverage's pull on a prototype that others shield is smaller than any number a computer can hold, long "
    "before overlap's push is.",
    "coverage's pull is exactly zero in double precision from {coverage-silent-from} on, where overlap still "
    "pushes with",
)
def test_where_coverage_s_pull_is_exactly_zero_overlap_still_pushes(strengths):
    silent = strengths["coverage's pull"] == 0
    assert silent.any() and silent.is_monotonic_increasing
    assert strengths["overlap's push"][silent].iloc[0] > 1e-3 and (strengths["overlap's push"] > 0).all()


@states(
    "Overlap's push is the stronger one at all distances drawn, from 0.01 on, and @eq-wins proves it from $D = "
    "{overlap-proved-from}$",
)
def test_overlap_s_push_is_the_stronger_one_at_all_distances_drawn(strengths):
    assert (strengths["overlap's push"] > strengths["coverage's pull"]).all()
    assert strengths.index.min() == pytest.approx(0.01) and forces.proved_from() > forces.shield()


@states(
    "Coverage's pull runs along its bound, rises up to a distance of a tenth and drops out of the picture right after; "
    "overlap's push lies above it throughout and is still there beyond a distance of one.",
    "What is weaker than $10^{-40}$ is left out.",
)
def test_coverage_s_pull_drops_out_of_the_picture_beyond_a_tenth(strengths):
    pull, push = strengths["coverage's pull"], strengths["overlap's push"]
    drawn = pull > 1e-40
    assert (strengths["its bound"][drawn] / pull[drawn]).between(1 - 1e-9, 2.5).all()
    assert pull[pull.index < 0.09].is_monotonic_increasing and pull.idxmax() == pytest.approx(0.1, rel=0.05)
    assert drawn[drawn].index.max() < 0.15
    assert (push[push.index > 1] > 1e-40).any() and (push > pull).all()


@states(
    "so that each sample has one within $r = {shield}$",
)
def test_each_sample_has_one_of_the_four_within_a_tenth():
    x, network = forces.shielded_network()
    at = prototypes(network.w, network.b)[: forces.FIFTH]
    assert at.tolist() == pytest.approx([0.1, 0.3, 0.5, 0.8]) and torch.equal(x, SAMPLES)
    assert all((at - sample).abs().min() <= forces.shield() for sample in x)


@states(
    "After 2,000 steps {share-pushed-more} of {expelled} expelled prototypes feel more push than pull, and "
    "{share-without-pull} no pull at all; the push is above zero for",
    "Where the pull holds, {held-nearest} of {held} prototypes are the nearest to some sample: in these runs coverage "
    "holds none that others shield",
)
def test_coverage_holds_only_expelled_prototypes_that_are_the_nearest_to_some_sample(replication):
    outside = forces.expelled_prototypes(replication[replication["mask"] == "110"])
    held = outside["push"] <= outside["pull"]
    assert (outside["push"] > 0).all() and 0 < held.mean() < 0.02 and outside["nearest"][held].all()
    assert (outside["pull"] == 0).mean() > 0.5
