"""What chapter 23 says of prototypes in motion."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from literate import says

from companion.core.data import sample_task
from companion.core.settings import MASKS, Settings
from companion.judging.claims import ACTIVE, FREE
from companion.studies import forces, motion
from companion.sweeps.runs import WINDOW
from companion.sweeps.sweep import PAPER_SEEDS

states = says("23-motion")
COVERED = [mask for mask in MASKS if MASKS[mask].coverage]
BARE = [mask for mask in MASKS if not MASKS[mask].coverage]
SEPARATED = [mask for mask in MASKS if MASKS[mask].separation]
LAST = Settings().steps


@pytest.fixture(scope="module")
def moves() -> pd.DataFrame:
    return pd.read_parquet(ROOT / "data/trajectories.parquet")


@pytest.fixture(scope="module")
def ends(moves):
    """The chapter's table at N = 20, by the masks' bits."""
    table = motion.ends(moves, 20)
    return table.set_axis(table.index.str[:3])


@pytest.fixture(scope="module")
def in_picture(moves):
    return motion.expulsions(motion.outside(moves)).set_index(["mask", "size"])


@pytest.fixture(scope="module")
def over_seeds():
    return motion.expulsions(motion.outside_over(PAPER_SEEDS)).set_index(["mask", "size"])


def paths(moves, mask, size):
    """A run's positions: a row a kept step, a column a neuron."""
    run = moves[(moves["mask"] == mask) & (moves["size"] == size)]
    return run.pivot(index="step", columns="neuron", values="position")


def beyond(moves, mask, size):
    """How far outside the samples' range each prototype is: negative on the left, positive on the right, 0 inside."""
    x, _ = sample_task(size, moves.attrs["seed"])
    at = paths(moves, mask, size)
    return at - at.clip(float(x.min()), float(x.max()))


@states("Prototypes move faster in the first quarter than after it, so these steps are dense there")
def test_prototypes_move_faster_in_the_first_quarter_than_after_it(moves):
    for size in motion.SIZES:
        for mask in MASKS:
            at = paths(moves, mask, size)
            way = at.diff().abs().div(np.diff(at.index, prepend=np.nan), axis=0).median(axis=1)
            assert way.loc[1:500].mean() > way.loc[501:].mean(), (mask, size)


@states(
    "These are 100 steps, 50 of them in the first quarter of training; the first are 0, 1, 2, 3, 5, 7, 10, 13, and the "
    "last two lie 40 apart.",
    "the positions of all its prototypes at a hundred of its steps",
)
def test_a_hundred_steps_are_kept_fifty_of_them_in_the_first_quarter(moves):
    kept = motion.kept_steps(moves.attrs["steps"])
    assert kept == sorted(moves["step"].unique()) and len(kept) == 100
    assert sum(step <= kept[-1] / 4 for step in kept) == 50
    assert kept[:8] == [0, 1, 2, 3, 5, 7, 10, 13] and kept[-1] - kept[-2] == 40


@states("The page rounds what it draws to a thousandth of the window from -1.5 to 2.5")
def test_the_window_is_from_minus_one_and_a_half_to_two_and_a_half():
    assert WINDOW == (-1.5, 2.5) and motion.UNITS == 1000


@states(
    "The twenty prototypes of one run of each mask at N = 20, seed 1000, through training.",
    "The first four are without overlap, the last four with it.",
    "The five prototypes of one run of each mask at N = 5, seed 1000, through training",
    "The hundred prototypes of one run of each mask at N = 100, seed 1000, through training",
)
def test_the_pictures_show_one_run_of_each_mask_those_without_overlap_first(moves):
    assert moves.attrs["seed"] == 1000 and set(moves["size"]) == {5, 20, 100}
    for size in motion.SIZES:
        runs = moves[moves["size"] == size]
        assert list(runs["mask"].unique()) == [*FREE, *ACTIVE]
        assert (runs.groupby(["mask", "step"]).size() == size).all()


@states("no panel ends with more prototypes outside the samples' range than it began with")
def test_at_20_no_panel_without_overlap_ends_with_more_outside(in_picture):
    assert (in_picture.xs(20, level="size").loc[list(FREE), "net"] <= 0).all()


@states("In the lower row, with overlap, every panel ends with more of them outside.")
def test_at_20_every_panel_with_overlap_ends_with_more_outside(in_picture):
    assert (in_picture.xs(20, level="size").loc[list(ACTIVE), "net"] > 0).all()


@states(
    "With overlap, in the lower row, every panel ends with more prototypes outside the samples' range than any panel "
    "of the upper row."
)
def test_at_100_every_panel_with_overlap_ends_with_more_outside_than_any_without(in_picture):
    end = in_picture.xs(100, level="size")["end"]
    assert end[list(ACTIVE)].min() > end[list(FREE)].max()


@states(
    "Of 20 prototypes {outside-at-the-start} begin outside, and {outside-without-overlap} end there;",
    "From the same start {outside-with-overlap} end outside;",
)
def test_all_runs_begin_alike_and_those_with_overlap_end_with_more_outside(ends):
    assert ends["outside, start"].nunique() == 1
    assert ends.loc[list(FREE), "outside, end"].max() <= ends["outside, start"].iloc[0]
    assert ends.loc[list(ACTIVE), "outside, end"].min() > ends["outside, start"].iloc[0]


@states(
    "half of the paths end within {move-without-overlap} of where they began. *The last four, with overlap.*",
)
def test_with_overlap_paths_end_farther_from_where_they_began(ends):
    assert ends.loc[list(ACTIVE), "median move"].min() > 5 * ends.loc[list(FREE), "median move"].max()


@states(
    "In the picture bundles of them move away to one side together, but most of these began outside: "
    "{left-with-overlap} "
    "of the twenty cross the edge of the samples' range outward."
)
def test_with_overlap_bundles_move_away_together_of_which_few_cross_the_edge(moves, ends):
    for mask, on in MASKS.items():
        out = beyond(moves, mask, 20)
        away = out.abs() - out.abs().iloc[0]
        bundle = away.columns[away.iloc[-1] > 0.1]
        if not on.overlap:
            assert len(bundle) <= 1
            continue
        assert len(bundle) > 10 and np.sign(out[bundle].iloc[-1]).nunique() == 1  # to one side
        half = (away[bundle] >= away[bundle].iloc[-1] / 2).idxmax()
        assert half.quantile(0.75) - half.quantile(0.25) < LAST / 10
        assert (out[bundle].iloc[0] != 0).mean() > 0.5, "most began outside"
        crossed = ((out.iloc[0] == 0) & (out.iloc[-1] != 0)).sum()
        assert crossed == ends.loc[mask, "left the range"] <= 4


@states(
    "*Coverage (010, 011, 110, 111):* of 20 samples,",
    "more in {pairs-with-more-at-samples} of {pairs-that-differ-by-coverage} pairs of masks that differ by "
    "coverage alone",
)
def test_with_coverage_more_samples_have_a_prototype_at_them_in_every_pair(ends):
    at = ends["samples with a prototype at them"]
    assert COVERED == ["010", "011", "110", "111"]
    for mask in BARE:
        assert at[mask[0] + "1" + mask[2]] > at[mask]


@states(
    "*Separation (001, 011, 101, 111)* keeps neighbours apart: the smallest gap is {gap-with-separation} with it "
    "and {gap-without-separation} without",
)
def test_with_separation_the_smallest_gap_is_wider(ends):
    gap = ends["smallest gap"]
    assert SEPARATED == ["001", "011", "101", "111"]
    assert gap[SEPARATED].min() > 2 * gap.drop(SEPARATED).max()


@pytest.mark.long
@states(
    "In our runs overlap does most of this early: at $N = 100$, over 10 seeds, half of what its four masks "
    "expel on balance in 2,000 steps is out by step {half-at-100}.",
    "With overlap, half of the net expulsions have happened by step {half-at-20} at $N = 20$ and {half-at-100} "
    "at $N = 100$: within the first",
)
def test_with_overlap_half_of_the_net_expulsions_have_happened_early(over_seeds):
    half = over_seeds.loc[list(ACTIVE), "half"].unstack("size")[[20, 100]]
    assert half.max(axis=None) < LAST / 10 and (len(PAPER_SEEDS), LAST) == (10, 2000)


@pytest.mark.long
@states(
    "Without overlap the balance after 2,000 steps is small, from {net-at-100-without-overlap} prototypes of "
    "1,000, against "
    "{net-at-100-with-overlap} with it",
)
def test_without_overlap_the_balance_is_small(over_seeds):
    net = over_seeds.xs(100, level="size")["net"]
    assert net[list(FREE)].abs().max() < net[list(ACTIVE)].min() / 5


@pytest.mark.long
@states(
    "They begin with {starts} outside, of 50, 200, 1,000.",
)
def test_all_masks_begin_alike(over_seeds):
    assert (over_seeds["start"].groupby("size").nunique() == 1).all()
    assert [10 * size for size in motion.SIZES] == [50, 200, 1000]


@pytest.mark.long
@states(
    "With separation beside it, the half comes later than without at $N = 100$ "
    "({half-at-100-of-overlap-and-separation} against {half-at-100-of-overlap}, {half-at-100-of-all-three} against "
    "{half-at-100-of-overlap-and-coverage} if coverage",
)
def test_with_separation_beside_overlap_the_half_comes_later(over_seeds):
    half = over_seeds.xs(100, level="size")["half"]
    assert half["101"] > half["100"] and half["111"] > half["110"]


@pytest.mark.long
@states(
    "At $N = 5$ hardly anything is left to expel, and no mask takes out more than {greatest-net-at-5} on balance.",
)
def test_at_5_hardly_anything_is_left_to_expel(over_seeds):
    of_five = over_seeds.xs(5, level="size")
    assert (of_five["start"] > 0.8 * 50).all() and of_five["net"].max() < 5


@pytest.mark.long
@states("Masks that bring more in than they take out at every size: 010 Cov")
def test_coverage_alone_brings_more_in_than_it_takes_out_at_every_size(over_seeds):
    inward = (over_seeds["net"] < 0).groupby("mask").all()
    assert list(inward.index[inward]) == ["010"]


@pytest.mark.long
@states(
    "Where the balance is small it is a difference of coming and going, and the step at which half of it is reached "
    "says little."
)
def test_where_the_balance_is_small_prototypes_come_and_go_and_its_half_may_be_at_any_step(moves, over_seeds):
    outside = beyond(moves, "000", 100).iloc[[0, -1]] != 0
    assert (outside.iloc[0] & ~outside.iloc[1]).any() and (~outside.iloc[0] & outside.iloc[1]).any()
    half = over_seeds.xs(100, level="size")["half"]
    assert half[list(FREE)].max() > 50 * half[list(FREE)].min() and half[list(ACTIVE)].max() < 3 * half["100"]


@pytest.mark.long
@states(
    "Adam's first step moves a weight by its step size, 0.01, and later ones are shorter: under overlap alone at "
    "$N = 100$ "
    "the median step of a bias is {pace-after-5} of that after 5 steps, {pace-after-97} after 97 and {pace-after-1000} "
    "after 1,000 (@sec-step), and half of the biases, drawn from $(-1, 1)$, have moved by less than "
    "{bias-moved-by-97} by "
    "step 97",
)
def test_later_steps_are_shorter_and_half_of_the_biases_move_by_a_fraction_of_their_range(over_seeds):
    pace = forces.pace()
    assert pace["|δb|/η"][0] > 0.95 > 0.7 > pace["|δb|/η"][5] and pace["|δb|/η"].is_monotonic_decreasing
    assert pace["|b - b at the start|"][97] < 0.35
    assert over_seeds.loc[("100", 100), "half"] == 97
