"""What chapter 20 says of separation's bounds, of the temperature sweep and of the sweep of strengths."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from literate import says

from companion.core.losses import separation_loss
from companion.core.settings import Settings
from companion.studies import collapse, crowding
from companion.sweeps.runs import settings_in

pytestmark = pytest.mark.long
states = says("20-crowding")
SEEDS = list(range(1000, 1030))


@pytest.fixture(scope="module")
def ours(temperature):
    return collapse.ratios(collapse.grid(temperature))


@pytest.fixture(scope="module")
def theirs():
    return collapse.independent(ROOT / "data/independent.json")


@pytest.fixture(scope="module")
def points():
    return collapse.stored(ROOT / "data/collapse.json")[0]


@pytest.fixture(scope="module")
def quality():
    return collapse.stored(ROOT / "data/collapse.json")[1]


@pytest.fixture(scope="module")
def halves(temperature):
    return collapse.middle_halves(temperature)


@pytest.fixture(scope="module")
def room(halves):
    return collapse.room_taken(halves)


@pytest.fixture(scope="module")
def effects(strength, temperature):
    return collapse.by_strength(strength, temperature)


@pytest.fixture(scope="module")
def onsets(effects):
    return collapse.onsets_by_strength(effects)


# --- reach and room ---


@states(
    "at even spacing $N - 1$ times the net force is at most {even-force-at-a-tenth} at $u = 0.1$, and less below.",
    "Both are near zero up to 0.1 and rise together up to about 1; beyond, the bound levels off towards 2 while the "
    "first term falls.",
)
def test_the_force_at_even_spacing_is_absent_below_a_tenth_and_levels_off_towards_two():
    forces = crowding.even_spacing(np.geomspace(0.03, 10, 101))
    bound, first = forces["G(u)"], forces["its first term"]
    assert (forces[forces.index <= 0.1] < 0.002).all(axis=None) and (forces.diff().iloc[1:20] > 0).all(axis=None)
    together = forces[forces.index <= 0.9]
    assert (together.diff().iloc[1:] > 0).all(axis=None) and (
        together["G(u)"] / together["its first term"] < 1.15
    ).all()
    assert bound.is_monotonic_increasing and 1.9 < bound.iloc[-1] < 2
    assert first[first.index > 1].is_monotonic_decreasing and first.iloc[-1] < bound.iloc[-1] / 4


@states(
    "For twenty prototypes, where the bound is above 0, the least value found is {looseness} times the bound.",
)
def test_the_least_repulsion_found_is_above_the_bound_by_a_factor_where_the_bound_is_above_0():
    loose = crowding.looseness(crowding.tightness())
    assert len(loose) > 3 and loose.min() > 1.5 and loose.max() < 10


@states(
    "twenty prototypes at one and the same place do not push one another at all, but their $L_\\text{sep}$ is 1, the "
    "greatest there is."
)
@pytest.mark.parametrize("temperature", [1e-4, 1.0])
def test_twenty_prototypes_at_one_place_have_no_force_and_the_greatest_loss(temperature):
    at_one = torch.full((20,), 0.4, dtype=torch.float64, requires_grad=True)
    loss = separation_loss(at_one, temperature)
    assert loss == 1 and (torch.autograd.grad(loss, at_one)[0] == 0).all()
    apart = torch.linspace(0, 1, 20, dtype=torch.float64)
    assert separation_loss(apart, temperature) < 1


@states("Two prototypes at the distance $\\sqrt\\tau$ reach it.")
@pytest.mark.parametrize("temperature", [1e-4, 1.0])
def test_two_prototypes_at_the_distance_root_tau_reach_the_bound(temperature):
    room = temperature**0.5
    found = float(separation_loss(torch.tensor([0.0, room], dtype=torch.float64), temperature))
    assert found == pytest.approx(crowding.least_repulsion(2, room, temperature), rel=1e-12) and found > 0


@states("Random places lie highest, the bound lowest; the least found departs from zero near one.")
def test_random_places_repel_most_and_the_bound_lies_lowest():
    bounds = crowding.tightness()
    assert bounds.index.min() == 0.1 and bounds.index.max() == 1000
    assert (bounds["random, mean"] > bounds["least found"]).all()
    assert (bounds["least found"] > bounds["the bound"]).all()
    assert bounds["least found"][0.3] < 0.01 < 0.03 < bounds["least found"][1.0]


# --- the collapse ---


@states(
    "near 1 up to 0.1, then rising by close to three decades along one band. Right: the mean expelled fraction beyond "
    "that of Std, which rises from near 0 with the crowding at 10 and more neurons, most at 100, and falls back a "
    "little at the highest crowding; at 3 and 5 it stays near 0."
)
def test_ratios_of_all_sizes_rise_along_one_band_and_expelled_fractions_do_not(points, ours):
    assert points["ratio"][points["crowding"] <= 0.1].between(0.9, 1.3).all()
    assert 2.7 < np.log10(points["ratio"].max()) < 3
    assert collapse.between_sizes(collapse.at_levels(ours)).max() < 2
    low = points["excess"][points["crowding"] <= 0.1].groupby(points["size"]).apply(lambda rows: rows.abs().max())
    most = points["excess"].groupby(points["size"]).max()
    assert (low < 0.1).all() and (most[[3, 5]] < 0.1).all()
    assert (most[[10, 20, 50, 100]] > 0.25).all() and most.idxmax() == 100
    hottest = points.sort_values("crowding").groupby("size")["excess"].last()
    assert ((most - hottest).loc[10:] > 0.05).all() and (hottest / most).loc[10:].min() > 0.5


@states(
    "the expelled fraction in the right panel of @fig-collapse does not collapse. With few neurons most are outside "
    "already under Std, and little can be added."
)
def test_with_few_neurons_most_are_outside_already_and_the_expelled_fraction_does_not_collapse(points):
    at_ten = points[points["crowding"].between(5, 20)].groupby("size")["excess"].mean()
    assert at_ten[100] - at_ten[3] > 0.15
    std = points.groupby("size")["expelled_std"].first()
    assert (std[[3, 5]] > 0.7).all() and (std[[3, 5]] > std[[20, 50, 100]].max()).all()
    assert points.groupby("size")["excess"].max()[[3, 5]].max() < 0.1


@states("seeds (1000–1029) are resampled")
def test_the_sweeps_have_the_seeds_and_resamples_that_titles_and_captions_name(temperature, strength):
    stored = json.loads((ROOT / "data/collapse.json").read_text(encoding="utf-8"))
    assert stored["seeds"] == sorted(temperature["seed"].unique()) == sorted(strength["seed"].unique()) == SEEDS
    assert stored["resamples"] == 2000


@states(
    "One valley, falling before and rising after its floor a little below 2; the factor there is near one and a "
    "quarter, and above 2 at exponents of 1 and below and of 3 and above."
)
def test_the_residual_has_one_valley_a_little_below_the_exponent_two(ours):
    factors = collapse.factors(ours, np.linspace(0, 4, 41))["10^R(p)"]
    assert 1.5 < factors.idxmin() < 2 and factors.min() == pytest.approx(1.25, abs=0.05)
    floor = factors.idxmin()
    assert factors[factors.index <= floor].is_monotonic_decreasing
    assert factors[factors.index >= floor].is_monotonic_increasing
    outside = (factors.index < 1 + 1e-9) | (factors.index > 3 - 1e-9)
    assert (factors[outside] > 2).all()


@states(
    "one slope through all points beyond 10 was a little above one half",
)
def test_one_slope_through_all_points_beyond_ten_is_a_little_above_one_half(points):
    crowded = points[points["crowding"] >= 10]
    slope = np.polyfit(np.log10(crowded["crowding"]), np.log10(crowded["ratio"]), 1)[0]
    assert 0.5 < slope < 0.6


@states(
    "On $\\tau N^2$ two sizes differ by a factor of {factor-on-crowding} typically, where they differ by "
    "{factor-on-temperature} on $\\tau$ and all ratios together spread by {factor-of-all}; the seeds alone "
    "would make",
)
def test_on_crowding_two_sizes_differ_far_less_than_on_temperature_and_more_than_seeds_make(quality):
    value = quality["value"]
    assert value["spread"] > value["residual_0"] > 2 * value["residual_1"] > 3 * value["residual_2"]
    assert value["residual_2"] > value["noise"]


@states("the theory's 2 is inside its interval, 1 is far outside.")
def test_the_best_exponent_s_interval_holds_two_and_is_far_from_one(quality):
    best = quality.loc["best_exponent"]
    assert best["low"] < 2 < best["high"] and best["low"] - 1 > 2 * (best["high"] - best["low"])


@states("the theory's ½ is below that interval")
def test_one_half_is_below_the_growth_exponent_s_interval(quality):
    assert quality.loc["growth_exponent", "low"] > 0.5


@states("Resampling adds noise to noise, so the intervals of residuals lie high.")
def test_the_intervals_of_residuals_lie_high(quality):
    residuals = quality.loc[["residual_0", "residual_1", "residual_2"]]
    assert (residuals["high"] - residuals["value"] > 1.2 * (residuals["value"] - residuals["low"])).all()


# --- where it fails ---


@states("Seeds alone leave a residual, and the one measured is at the upper end of what they leave.")
def test_the_residual_measured_is_at_the_upper_end_of_what_the_seeds_alone_leave(quality):
    noise, measured = quality.loc["noise"], quality.loc["residual_2", "value"]
    assert (noise["value"] + noise["high"]) / 2 < measured <= noise["high"]


@states(
    "From $\\tau N^2 = 1$ on the largest factor between sizes in the first table is "
    "{largest-factor-between-sizes}, at 1000.",
)
def test_sizes_differ_most_at_a_thousand(ours):
    between = collapse.between_sizes(collapse.at_levels(ours))
    assert list(between.index) == ["1", "10", "100", "1000"] and between.idxmax() == "1000"


@states(
    "3 and 100 differ most (a factor of {farthest-pair} typically), 20 and 50 least",
)
def test_the_sizes_3_and_100_differ_most_and_20_and_50_least(ours):
    pairs = collapse.between_pairs(ours)
    assert pairs.idxmax() == (3, 100) and pairs.idxmin() == (20, 50) and len(pairs) == 15


@states(
    "The largest networks start latest: at $\\tau N^2 = 1$ the ratio is lowest at $N$ = 100 here and at $N$ = "
    "100 in the independent runs, and the onset at $N = 100$ is {onset-of-hundred-over-ten} times that at $N = "
    "10$.",
)
def test_the_largest_networks_start_latest_here_and_in_the_independent_runs(ours, theirs):
    for curves in (ours, theirs):
        onset = pd.Series(collapse.onset(*curves), curves.sizes)
        assert collapse.at_levels(curves)["1"].idxmin() == 100 and onset.idxmax() == 100 and onset[100] > onset[10]
        assert onset.drop(100).idxmax() == 50


@states("An exponent below 2 says the same.")
def test_the_best_exponent_is_below_two_here_and_in_the_independent_runs(ours, theirs):
    assert collapse.best_exponent(*ours) < 2 and collapse.best_exponent(*theirs) < 2


# --- the room they take ---


@states(
    "the middle half takes between {least-room} and {most-room} times $N\\sqrt\\tau$ at all six sizes: no "
    "constant is fitted.",
)
def test_between_ten_and_a_thousand_the_middle_half_takes_about_n_root_tau_at_all_sizes(room):
    taken = collapse.where_taken(room)
    assert set(room["size"][taken.index]) == {3, 5, 10, 20, 50, 100}
    assert room["crowding"][taken.index].min() == pytest.approx(10)
    assert room["crowding"][taken.index].max() == pytest.approx(1000)
    assert taken.min() > 0.5 and taken.max() < 2


@states("below ½: at the highest temperatures the larger networks fall behind")
def test_lengths_grow_less_than_the_theory_says_as_the_larger_networks_fall_behind(halves, room):
    assert collapse.growth(halves).high < 0.5
    hottest = room.groupby("size")["over"].last()
    assert hottest[[3, 5, 10]].min() > 1 > 0.9 > hottest[[20, 50, 100]].max()
    assert hottest.loc[20:].is_monotonic_decreasing


@states(
    "Left, under separation: level at low crowding, then rising with it by more than two decades, and at 50 and 100 "
    "neurons falling off at the highest temperatures. Right, the same over N times the root of the temperature: "
    "falling until about 1, then level, between a little below one and a little below two, but falling below at the "
    "highest crowding of the larger sizes."
)
def test_lengths_are_level_then_rise_and_fall_off_for_the_largest_networks(room):
    for size, rows in room.groupby("size"):
        length = rows["length"]
        assert length.max() > 100 * length.iloc[0] and (length.iloc[-1] < length.max()) == (size in (50, 100))
        assert rows["over"][rows["crowding"] < 0.1].is_monotonic_decreasing
        assert rows["over"].iloc[0] > 1.1 * rows["over"][rows["crowding"].between(0.7, 2)].iloc[0]
        assert (rows["over"].iloc[-1] < collapse.where_taken(room).min()) == (size >= 20)
    level = collapse.where_taken(room)
    assert 0.8 < level.min() < 1 and 1.8 < level.max() < 2
    low = room[room["crowding"] < 0.003]
    assert (low.groupby("size")["length"].max() < 2 * low.groupby("size")["length"].min()).all()


@states("@eq-room holds for any set of prototypes, so also for those in the middle half of a run")
def test_the_middle_half_of_every_run_takes_more_room_than_it_needs(temperature):
    alone = temperature[(temperature["mask"] == "001") & (temperature["size"] == 100)]
    rooms = crowding.needed_and_taken(alone)
    assert len(rooms) == 13 * 30 and (rooms["taken"] > rooms["needed"]).all()


@states(
    "They go on spreading: the highest temperatures show where training was stopped, not where it leads",
    "at temperatures where the length over $N\\sqrt\\tau$ is low",
)
def test_trained_four_times_as_long_they_go_on_spreading(room):
    longer = crowding.longer()
    assert (longer["8000 steps"] > 1.4 * longer["2000 steps"]).all()
    assert (longer["2000 steps"] < collapse.where_taken(room).min()).all()


# --- what the strength changes ---


@states("The runs above have $\\lambda = 1$. Separation alone at four other strengths")
def test_the_strengths_are_four_others_than_one(strength, temperature):
    assert {settings.strength for settings in settings_in(temperature)} == {Settings().strength} == {1.0}
    assert sorted(strength["strength"].unique()) == [0.01, 0.1, 10, 100]
    assert set(strength["size"]) == {10, 100} and strength["temperature"].nunique() == 7


@states(
    "The curves at strengths 1, 10 and 100 lie close together, within a factor of about two but for the highest "
    "temperature; at 0.1 and, more so, 0.01 the ratio grows less, and at 100 neurons it also starts to grow at a "
    "higher crowding."
)
def test_strong_separations_lie_close_together_and_weak_ones_grow_less(effects, onsets):
    ratios = effects.set_index(["strength", "size"])["ratios"]
    for size in (10, 100):
        strong = np.log10([ratios[strength, size] for strength in (1, 10, 100)])
        assert np.ptp(strong[:, :-1], axis=0).max() < np.log10(2.3)
        for weaker, stronger in ((0.01, 0.1), (0.1, 1.0)):
            assert (ratios[weaker, size].iloc[-2:] < ratios[stronger, size].iloc[-2:]).all()
    assert onsets.loc[0.01, 100] > onsets.loc[0.1, 100] > 3 * onsets.loc[1.0, 100]


@states(
    "It does not hold. A factor of 10 should add {predicted-least} to {predicted-most}; the "
    "{steps-of-strength} steps measured add between {added-least} and",
)
def test_no_tenfold_strength_adds_what_the_theory_predicted(onsets):
    added = collapse.added_by_strength(onsets)
    assert added.size == 8 and added.max(axis=None) < np.log(10) / 2


@states(
    "From $\\lambda = 1$ on the onset stays between {earliest-strong-onset} and {latest-strong-onset}: a "
    "hundredfold strength moves it by a factor of",
)
def test_from_strength_one_on_the_onset_hardly_moves(onsets):
    strong = onsets[onsets.index >= 1]
    assert strong.index.tolist() == [1, 10, 100] and strong.max(axis=None) < 2 * strong.min(axis=None)
    assert (onsets.loc[1.0] / onsets.loc[100.0]).between(1, 1.5).all()


@states(
    "At $\\lambda = 0.1$ it is at {weaker-onset-at-ten} for $N = 10$, no later than at $\\lambda = 1$ "
    "({nominal-onset-at-ten}), and at {weaker-onset-at-hundred} in place of {nominal-onset-at-hundred} for $N = "
    "100$; at "
    "$\\lambda = 0.01$ it comes later at both, at {weak-onset-at-ten} and {weak-onset-at-hundred}",
)
def test_below_strength_one_the_onset_comes_later_but_for_a_tenth_at_ten_neurons(onsets):
    assert onsets.loc[0.1, 10] <= onsets.loc[1.0, 10] and onsets.loc[0.1, 100] > 4 * onsets.loc[1.0, 100]
    assert (onsets.loc[0.01] > 4 * onsets.loc[1.0]).all()


@states("The premise fails: $q \\ge 1$ asks for onsets below 1, and none is;")
def test_no_onset_is_below_one(onsets):
    assert onsets.min(axis=None) > 1


@states(
    "So $\\lambda = 1$ is beyond both and 0.01 is beyond neither, which agrees with the onsets at these two strengths. "
    "At $\\lambda = 0.1$, between the two at both sizes, it does not tell the sizes apart, whose onsets differ; "
    "nor does "
    "it say why a weak separation is held back so much more at $N = 100$ than at $N = 10$."
)
def test_strength_one_wins_over_the_fit_and_a_hundredth_does_not_at_ten_and_at_a_hundred_neurons(temperature, onsets):
    winning = crowding.winning_strengths(temperature).loc[[10, 100]]
    assert (winning > 0.01).all(axis=None) and (winning < 1).all(axis=None)
    assert (winning["most firmly held"] > 0.1).all() and (winning["typical neuron"] < 0.1).all()
    late = onsets.loc[0.01] / onsets.loc[1.0]
    assert late[100] > 10 * late[10] and winning["typical neuron"][100] < winning["typical neuron"][10]
