"""What chapter 22 says of random instances, short trainings, the stored runs and those on data in the middle."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from literate import says

from companion.core.data import sample_task
from companion.core.network import initial_parameters, predict, prototypes, starting_batch
from companion.core.settings import Settings
from companion.engine import driver
from companion.judging.claims import ACTIVE, FREE
from companion.studies import symmetries
from companion.studies.symmetries import SIGNED, TRANSFORMATIONS

pytestmark = pytest.mark.long
states = says("22-symmetries")
ACTIVE, FREE = list(ACTIVE), list(FREE)


# --- what is kept ---


@states(
    "Losses and metrics keep order, signs, reflections and shifts.",
    "Kept and scaled mean: in every instance up to {tolerance} of the quantity's size.",
)
def test_losses_and_metrics_keep_order_signs_reflections_and_shifts():
    kept = symmetries.what_is_kept(symmetries.random_states())
    assert (kept.loc[[*SIGNED, "x → 1 - x", "x → 1 - x, y → 1 - y", "x → x + s"]] == "kept").all(axis=None)
    assert symmetries.TOLERANCE <= 1e-9


@states(
    "Under x → αx the best matching is another one in {scaled-rematched} of the instances.",
)
def test_another_scale_of_inputs_gives_some_instances_another_matching():
    assert 0.05 < symmetries.rematched(symmetries.random_states(), symmetries.scale_inputs) < 0.2


@states(
    "Under the change of signs the picture is the same; under y to 1 - y it is upside down; under x to 1 - x it is"
    " mirrored; under both together it is turned by half a turn; shifted by a quarter it stands further right; scaled"
    " by 0.6 it is narrower and nearer to zero.",
    "The curve, the data and the prototypes move together",
)
@pytest.mark.parametrize(
    ("name", "move_x", "move_y"),
    [
        ("signs (w, b) → (-w, -b)", lambda x: x, lambda y: y),
        ("y → 1 - y", lambda x: x, lambda y: 1 - y),
        ("x → 1 - x", lambda x: 1 - x, lambda y: y),
        ("x → 1 - x, y → 1 - y", lambda x: 1 - x, lambda y: 1 - y),
        ("x → x + s", lambda x: x + 1 / 4, lambda y: y),
        ("x → αx", lambda x: 0.6 * x, lambda y: y),
    ],
)
def test_curve_data_and_prototypes_of_the_small_network_move_together(name, move_x, move_y):
    start = symmetries.small_network()
    moved = TRANSFORMATIONS[name](start)
    torch.testing.assert_close((moved.x, moved.y), (move_x(start.x), move_y(start.y)))
    torch.testing.assert_close(predict(moved.x, *moved.parameters), move_y(predict(start.x, *start.parameters)))
    before, after = (prototypes(state.parameters.w, state.parameters.b) for state in (start, moved))
    torch.testing.assert_close(after, move_x(before))


# --- Adam ---


@pytest.fixture(scope="module")
def gaps() -> pd.DataFrame:
    return symmetries.gaps()


def gaps_after(gaps: pd.DataFrame, steps: int) -> pd.DataFrame:
    """The gaps after some steps, a row a transformation and a column a mask and seed."""
    return gaps[gaps["steps"] == steps].pivot(index="transformation", columns=["mask", "seed"], values="gap")


@states(
    "Adam keeps the signs and the order, but neither shifts nor the reflection about ½",
    "Signs and orders agree to {signs-agree-to} or better after 100 steps.",
)
def test_adam_keeps_signs_and_orders_but_neither_shifts_nor_the_reflection(gaps):
    gap = gaps_after(gaps, 100)
    assert gap.loc[list(SIGNED)].max(axis=None) < 1e-13
    assert gap.loc[["x → x + s", "x → 1 - x"]].min(axis=None) > 1e-3


@states("After 2,000 steps some of them differ by more: rounding travels in training")
def test_after_2000_steps_some_signs_and_orders_differ_by_more(gaps):
    early, late = (gaps_after(gaps, steps).loc[list(SIGNED)].max(axis=1) for steps in (100, 2000))
    assert late.max() > 1000 * early.max()


@states("the fast engine sorts samples first, so their order alone changes no bit")
def test_the_order_of_samples_changes_no_bit(gaps):
    assert (gaps.loc[gaps["transformation"] == "samples in another order", "gap"] == 0).all()


@states(
    "The gap of the shift by {shift} begins near {shift-gap-first} in the median and ends after 2,000 steps at "
    "{shift-gap-last} in the median (000 Std and 101 Ovl+Sep), where half of the trained parameters are larger than "
    "{shift-parameters}",
)
def test_the_shift_s_gap_begins_at_the_first_step_s_and_ends_beside_the_median_parameter(gaps):
    assert symmetries.GAP_MASKS == ("000", "101")
    shifted = gaps[gaps["transformation"] == "x → x + s"].groupby(["mask", "steps"])["gap"].median()
    assert list(shifted.xs(1, level="steps")) == pytest.approx([symmetries.SHIFT * 0.01] * 2, rel=0.1)
    for mask in symmetries.GAP_MASKS:
        sizes = []
        for seed in symmetries.GAP_SEEDS:
            start = *sample_task(symmetries.GAP_SIZE, seed), initial_parameters(symmetries.GAP_SIZE, seed)
            trained = driver.train(*start, Settings(mask)).parameters
            sizes += [abs(float(value)) for part in trained for value in part.reshape(-1)]
        assert symmetries.parameter_sizes()[mask] == pytest.approx(np.median(sizes), rel=0.01)
        assert np.median(sizes) / 3 < shifted[mask, 2000] < 3 * np.median(sizes)
    assert shifted["000", 2000] < symmetries.parameter_sizes()["000"] / 2


@states("The parameters that a run ends with depend on where the data are put.")
def test_what_a_run_ends_with_depends_on_where_the_data_are_put(gaps):
    assert gaps_after(gaps, 2000).loc["x → x + s"].min() > 0.05


# --- the start ---


@states(
    "a prototype starts below 0 with probability 0.5 and above 1 with probability {starts-above-1}; that "
    "leaves {starts-inside} for $[0, 1]$, and most of these are near 0: {starts-above-half} for the half above "
    "½",
)
def test_most_prototypes_that_start_inside_start_near_0():
    drawn = [initial_parameters(100, seed) for seed in range(500)]
    positions = torch.cat([prototypes(one.w, one.b) for one in drawn])
    inside = positions[(positions > 0) & (positions < 1)]
    assert (positions < 0).double().mean() == pytest.approx(0.5, abs=0.01)
    assert (positions > 1).double().mean() == pytest.approx(symmetries.start_beyond(1.0), abs=0.003)
    upper = symmetries.start_beyond(0.5) - symmetries.start_beyond(1.0)
    assert ((positions > 0.5) & (positions < 1)).double().mean() == pytest.approx(upper, abs=0.003)
    assert (inside < 0.1).double().mean() > 0.5


# --- left and right ---


@pytest.fixture(scope="module")
def found() -> symmetries.Results:
    return symmetries.results(ROOT / "data")


@pytest.fixture(scope="module")
def shares(found) -> pd.DataFrame:
    """Mean shares by mask and size: left_start, right_start, left, right."""
    return found.sides.groupby(["mask", "size"])[["left_start", "right_start", "left", "right"]].mean()


@states(
    "the start is not centred on the data: at $N = 100$ a share of {starts-left} of the prototypes starts left "
    "of the data and",
)
def test_the_start_is_not_centred_on_the_data(found, shares):
    assert (shares["left_start"] > 10 * shares["right_start"]).all()
    starts = found.sides.groupby(["size", "seed"])[["left_start", "right_start"]].nunique()
    assert (starts == 1).all(axis=None), "all masks start alike, so that one of them stands for all"


@states(
    "Of the expelled prototypes {expelled-left} are on the left, over all masks and sizes",
)
def test_expulsion_is_to_the_left(found):
    assert symmetries.left_of_expelled(found.sides).min() > 0.85


@states(
    "the masks with overlap end between about 0.6 and 0.9, from N = 10 on above all masks without it, which stay"
    " between 0.4 and 0.8; before training the share falls from about 0.8 to about 0.5. Right: all shares are"
    " below 0.07.",
)
def test_shares_left_and_right_are_as_the_picture_s_text_says(shares):
    left = shares["left"].unstack("size")
    assert left.loc[ACTIVE].min(axis=None) > 0.6 and left.loc[ACTIVE].max(axis=None) < 0.9
    assert (left.loc[ACTIVE].min() > left.loc[FREE].max()).loc[10:].all()
    assert left.loc[FREE].min(axis=None) > 0.4 and left.loc[FREE].max(axis=None) < 0.8
    start = shares.loc["000", "left_start"]
    assert start.iloc[0] == pytest.approx(0.8, abs=0.05) and start.iloc[-1] == pytest.approx(0.5, abs=0.05)
    assert (start.diff().iloc[1:] < 0).all()
    assert shares[["right", "right_start"]].max(axis=None) < 0.07


@states("Overlap drives out what is near the left edge, where the start has put the prototypes")
def test_overlap_takes_to_the_left_what_started_near_the_left_edge(shares, found):
    at = shares.xs(100, level="size")
    assert at.loc["100", "left"] > at.loc["100", "left_start"] + 0.2
    x, _, start = starting_batch(100, range(1000, 1010))
    positions, edge = prototypes(start.w, start.b), x.amin(-1, keepdim=True)
    inside = (positions > edge) & (positions < x.amax(-1, keepdim=True))
    assert (positions - edge)[inside].median() < 0.1


# --- data in the middle ---


@pytest.fixture(scope="module")
def ends(found) -> dict[str, pd.DataFrame]:
    """What the same runs end with, by what is moved, a row a mask."""
    return {moved: found.by_origin.xs(moved, level="moved") for moved in (symmetries.AS_STORED, *symmetries.MOVES)}


def expelled(table: pd.DataFrame) -> pd.Series:
    return table["expelled, end"]


@states("So the same seeds are trained once more, on the same data moved by (-½, -½), from the same weights.")
def test_the_same_seeds_are_trained_once_more_on_the_same_data_moved(powered):
    moved = symmetries.moved_runs()
    both = moved[moved["moved"] == "x and y"]
    chosen = symmetries.as_stored(powered, both[["mask", "size", "seed"]])
    assert len(chosen) == len(both) == 4 * 50 == len(moved) / 3
    run = chosen.iloc[7]
    start = symmetries.centred_start(int(run["size"]), int(run["seed"]))
    np.testing.assert_allclose(start.x + 0.5, run["x"])


@states(
    "On data moved to the middle of the start's law, 100 Ovl ends at $N = 20$ with {ovl-expelled-centred} outside in "
    "place of {ovl-expelled-stored}, on both sides alike, and 000 Std with {std-expelled-centred} in place of",
    "With the data in the middle, 100 Ovl ends with {ovl-left-centred} on the left and {ovl-right-centred} on "
    "the right",
    "overlap's surplus over Std remains in the middle.",
)
def test_in_the_middle_overlap_expels_to_both_sides_alike_and_more_than_std(ends):
    runs = symmetries.moved_runs().query("moved == 'x and y' and mask == '100'")
    difference = runs["left"] - runs["right"]
    assert abs(difference.mean()) < 2 * difference.sem()
    middle, stored = ends["x and y"], ends["neither"]
    assert expelled(middle)["100"] > 2 * expelled(middle)["000"]
    assert expelled(middle)["100"] < expelled(stored)["100"] - 0.2
    assert expelled(middle)["100"] - expelled(middle)["000"] > expelled(stored)["100"] - expelled(stored)["000"]


@states(
    "Moving $x$ alone does it all ({ovl-expelled-x-alone} and {std-expelled-x-alone}), moving $y$ alone next to "
    "nothing",
    "With $x$ moved alone 100 Ovl ends with {ovl-expelled-x-alone} outside and Std with {std-expelled-x-alone}, "
    "as with "
    "both moved; with $y$ moved alone with {ovl-expelled-y-alone} and {std-expelled-y-alone}, nearly as with neither.",
    "It is the origin of $x$ that does it.",
)
def test_moving_x_alone_does_it_all_and_y_alone_next_to_nothing(ends):
    both, neither, x_alone, y_alone = (expelled(ends[name]) for name in ("x and y", "neither", "x alone", "y alone"))
    assert (neither - both > 0.35).all()
    assert (x_alone - both).abs().max() < 0.02 and (y_alone - neither).abs().max() < 0.07


@states(
    "How many are expelled (@sec-expulsion) is thus decided, at this size, as much by where the inputs lie "
    "against the start's law as "
    "by the mask.",
    "So most of what Std ends with outside is neither the fit's doing nor that of any loss, but of a start about 0 on "
    "data that begin there",
)
def test_the_inputs_place_decides_as_much_as_the_mask(ends):
    by_place = expelled(ends["neither"]) - expelled(ends["x alone"])
    by_mask = [float(np.ptp(expelled(ends[name]))) for name in ("neither", "x alone")]
    assert by_place.min() > max(by_mask) - 0.05
    assert expelled(ends["x alone"])["000"] < expelled(ends["neither"])["000"] / 2


@states("Fewer are outside, but with overlap those that are lie farther away")
def test_in_the_middle_fewer_are_outside_but_with_overlap_farther_away(ends):
    assert (expelled(ends["x and y"]) < 0.7 * expelled(ends["neither"])).all()
    assert (ends["x and y"]["distance"] > 5 * ends["neither"]["distance"])[["100", "111"]].all()


@states("The order of the four masks by median E is the same in all four (010 Cov, 000 Std, 111 Full, 100 Ovl)")
def test_the_order_of_the_masks_by_median_error_is_the_same_in_all_four(ends):
    assert len(ends) == 4
    for table in ends.values():
        assert list(table["E, median"].sort_values().index) == ["010", "000", "111", "100"]


@states("how many are expelled, and how large E is, owes much to the place of the origin.")
def test_how_many_are_expelled_and_how_large_the_error_is_owes_much_to_the_origin(ends):
    assert (expelled(ends["x and y"]) / expelled(ends["neither"]) < 0.7).all()
    times = ends["x and y"]["E, median"] / ends["neither"]["E, median"]
    assert ((times > 2) | (times < 1 / 2)).all()
