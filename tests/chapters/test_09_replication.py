"""What chapter 9 says of the ten seeds: of the seven figures, of the claims of order, of the independent runs."""

from __future__ import annotations

import json
import re
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from literate import prose, says

from companion.core.settings import MASK_LABELS, MASKS
from companion.judging.baselines import DRAWN, baseline_summary
from companion.judging.chance import chance_summary
from companion.judging.claims import ACTIVE, FACTOR, FREE, SHARE
from companion.studies import replication as study
from companion.studies.reconstruction import by_mask
from companion.sweeps.runs import groups_of, median_run, originals_and_reconstructions, reconstruction_points, summary

pytestmark = pytest.mark.long
states = says("09-replication")
E, S = "reconstruction_error", "specialization_ratio"


@pytest.fixture(scope="module")
def level(replication) -> pd.DataFrame:
    """Chance's mean and median E by size."""
    return chance_summary(replication).set_index("size")


@pytest.fixture(scope="module")
def independent() -> dict[str, Any]:
    return json.loads((ROOT / "data/independent.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def compared(replication, temperature, independent) -> dict[str, pd.DataFrame]:
    return study.against_independent(replication, temperature, independent)


@pytest.fixture(scope="module")
def harm(temperature) -> pd.DataFrame:
    """Median E of separation alone over Std's, a row a size and a column a temperature."""
    std = temperature[temperature["mask"] == "000"].groupby("size")[E].median()
    return study.separation_by_temperature(temperature).div(std, axis=0)


@states("Eight masks, six sizes, ten seeds: 480 runs, none dropped.", "The paper shows means and their standard errors")
def test_there_are_eight_masks_six_sizes_and_ten_seeds_and_no_run_is_dropped(replication):
    assert [replication[name].nunique() for name in ("mask", "size", "seed")] == [8, 6, 10]
    assert len(replication) == 8 * 6 * 10 and not replication[[E, S, "expelled_fraction"]].isna().any(axis=None)


@states("E has heavy tails", "the medians on the right lean less on any one run")
def test_medians_lean_less_on_any_one_run_than_means(replication):
    moved = {"mean": [], "median": []}
    for _, group in groups_of(replication, "mask", "size"):
        rest = group.drop(index=group[E].idxmax())
        for statistic, found in moved.items():
            found.append(group[E].agg(statistic) / rest[E].agg(statistic) - 1)
    assert max(moved["mean"]) > 1 > 0.5 > max(moved["median"])
    assert np.mean(moved["median"]) < np.mean(moved["mean"]) / 2


# --- figures 1 and 2 ---


@states(
    "The four masks with overlap form a band above the four without it, at every size.",
    "The lower four mask rows, with overlap, are brighter, that is worse, than the upper four",
)
@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_the_four_masks_with_overlap_form_a_band_above_the_four_without_it_at_every_size(replication, statistic):
    errors = by_mask(replication, E, statistic)
    assert (errors[list(ACTIVE)].min(axis=1) > errors[list(FREE)].max(axis=1)).all()
    assert list(MASKS)[4:] == list(ACTIVE), "the lower rows"


@pytest.fixture(scope="module")
def baselines(replication) -> dict[str, pd.DataFrame]:
    return {metric: baseline_summary(replication, metric) for metric in study.WITH_BASELINES}


def level_of(baselines, metric, name, statistic="median") -> pd.Series:
    return baselines[metric].query("level == @name").set_index("size")[statistic]


@states(
    "An oracle's draw and evenly spaced points fall with N and lie below all masks from N = 5 on",
    "the rows of an oracle's draw and of evenly spaced points darken towards N = 100 and are darkest of "
    "all from N = 5 on.",
    "The four masks with overlap form a band above the four without it, at every size. An oracle's draw",
)
@pytest.mark.parametrize("statistic", ["mean", "median"])
@pytest.mark.parametrize("name", ["oracle's draw", "evenly spaced"])
def test_two_baselines_fall_with_n_and_lie_below_all_masks_from_five_on(replication, baselines, statistic, name):
    level = level_of(baselines, E, name, statistic)
    assert level.is_monotonic_decreasing
    assert (by_mask(replication, E, statistic).min(axis=1).loc[5:] > level.loc[5:]).all()
    assert (level_of(baselines, E, "untrained", statistic) > level).loc[5:].all(), "of all rows, the untrained too"


@states("on the right the untrained network lies above the four masks without overlap.")
def test_the_untrained_network_lies_above_the_masks_without_overlap(replication, baselines):
    assert (by_mask(replication, E)[list(FREE)].max(axis=1) < level_of(baselines, E, "untrained")).all()


# --- E's two parts ---


@states(
    "Left, position error: the four masks with overlap form a band above the four without it at every size.",
    "Right, value error: from N = 10 on an oracle's draw and evenly spaced points lie below all masks, "
    "and the untrained "
    "network above them.",
)
def test_the_two_errors_beside_their_baselines(replication, baselines):
    positions, values = (by_mask(replication, metric) for metric in study.PARTS)
    assert (positions[list(ACTIVE)].min(axis=1) > positions[list(FREE)].max(axis=1)).all()
    for name in ("oracle's draw", "evenly spaced"):
        assert (values.min(axis=1).loc[10:] > level_of(baselines, "value_error", name).loc[10:]).all()
    assert (values.max(axis=1).loc[10:] < level_of(baselines, "value_error", "untrained").loc[10:]).all()


@states(
    "E measures position and height in one distance",
    "the position error (@eq-position) says, which no height can change",
)
def test_the_stored_errors_are_those_that_the_chapter_defines(replication):
    some = replication[replication["size"] == 5]
    x, y, positions, values = originals_and_reconstructions(some)
    sorted_apart = np.abs(np.sort(x) - np.sort(positions)).mean(-1)
    every = np.array(list(permutations(range(5))))
    least = np.abs(x[:, None] - positions[:, every]).mean(-1).min(1)
    np.testing.assert_allclose(some["position_error"], least, rtol=1e-9)
    np.testing.assert_allclose(sorted_apart, least, rtol=1e-9)
    distances = np.hypot(x[:, None] - positions[:, every], y[:, None] - values[:, every]).mean(-1)
    best = distances.argmin(1)
    np.testing.assert_allclose(some[E], distances.min(1), rtol=1e-9)
    of_best = np.abs(y - np.take_along_axis(values, every[best], 1)).mean(-1)
    np.testing.assert_allclose(some["value_error"], of_best, rtol=1e-9)


# --- figure 3 ---


@states(
    "Under 000 and 010 between a third and a half lie inside the samples' range; under 100 nearly all lie outside it"
)
def test_between_a_third_and_a_half_of_the_prototypes_lie_inside_and_under_overlap_nearly_none(replication, level):
    drawn = study.positions(replication, level.reset_index(), 100)
    inside = drawn["inside"] / (drawn["inside"] + drawn["expelled"])
    assert inside[["000 Std", "010 Cov"]].between(1 / 3, 1 / 2).all() and inside["100 Ovl"] < 0.1


@states(
    "with small markers, most of them to the left", "Prototypes at N = 100 in the median-error run of masks 000, 010"
)
def test_under_overlap_the_markers_are_small_and_most_of_those_outside_lie_to_the_left(replication):
    points = {mask: reconstruction_points(median_run(replication, mask, 100)) for mask in study.OF_POSITIONS}
    activation = {mask: frame["activation"].median() for mask, frame in points.items()}
    assert activation["100"] < min(activation["000"], activation["010"])
    outside = points["100"][points["100"]["expelled"]]
    assert (outside["prototype"] < 0).mean() > 0.5


# --- figure 4 ---


@states(
    "By median all lines are level and near Std at the two lowest temperatures and rise steeply at high ones; larger "
    "networks rise earlier."
)
def test_all_lines_are_near_std_at_low_temperatures_and_rise_steeply_at_high_ones_larger_networks_earlier(harm):
    assert harm.iloc[:, :2].max(axis=None) < 1.2 and harm.iloc[:, :2].min(axis=None) > 0.9
    assert (harm.iloc[:, -1] > 20).all()
    doubled = (harm > 2).idxmax(axis=1)
    assert doubled.is_monotonic_decreasing and doubled.iloc[-1] < doubled.iloc[0] / 100


@states(
    "A ring on each line marks τ = 1/N², near the place where it begins to rise: there the median is more than a third "
    "above Std's and less than twice as high.",
    "ring on a line: τ = 1/N², where the crowding τN² is 1 (@sec-crowding)",
)
def test_the_ring_is_near_the_place_where_a_line_begins_to_rise(harm):
    for size, line in harm.iterrows():
        at_ring = np.exp(np.interp(np.log(size**-2.0), np.log(line.index.to_numpy(float)), np.log(line)))
        assert 4 / 3 < at_ring < 2, "below 2, which chapter 20 calls the onset"


# --- figures 5 and 6 ---


@states(
    "All are lower at N = 100 than at N = 3; the masks with overlap end lowest, and overlap alone lowest of all",
)
@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_specialization_ends_lower_than_it_begins_with_overlap_lowest_and_overlap_alone_lowest_of_all(
    replication, statistic
):
    ratios = by_mask(replication, S, statistic)
    assert (ratios.loc[100] < ratios.loc[3]).all() and ratios.loc[100].idxmin() == "100"
    assert ratios.loc[100, list(ACTIVE)].max() < ratios.loc[100, list(FREE)].min()


@states(
    "from N = 10 to N = 100 those with separation but no overlap fall by less than a twentieth, all others by more."
)
@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_the_masks_with_separation_but_no_overlap_level_off(replication, statistic):
    ratios = by_mask(replication, S, statistic)
    fallen, level = ratios.loc[10] - ratios.loc[100], ["001", "011"]
    assert 0 < fallen[level].min() and fallen[level].max() < 0.05 < fallen.drop(level).min()


@states(
    "Most cells are darker, that is lower, than their left neighbours, and by mean the four mask rows with overlap are "
    "darker than the four without, but for 110 and 111 beside 001 at N = 5."
)
def test_most_cells_are_darker_than_their_neighbours_and_by_mean_the_rows_with_overlap(replication):
    ratios = by_mask(replication, S, "mean")
    lighter = [
        (active, free, size)
        for active in ACTIVE
        for free in FREE
        for size in ratios.index
        if ratios[active][size] >= ratios[free][size] - 1e-9
    ]
    assert lighter == [("110", "001", 5), ("111", "001", 5)]
    for statistic in ("mean", "median"):
        assert (by_mask(replication, S, statistic).diff().iloc[1:] < -1e-9).mean(axis=None) > 0.7


# --- figure 7 ---


@states("Under each mask one reconstruction lies on its original", "E is above chance in all three.")
def test_one_reconstruction_lies_on_its_original_and_e_is_above_chance_in_all_three(replication, level):
    pairs = study.pairs(replication, level.reset_index(), 5)
    assert (pairs["E"] > pairs["chance"]).all()
    assert ((pairs["distance"] < 0.01).groupby("mask").sum() == 1).all() and pairs.index.unique("mask").size == 3


@states("under 111 three of five lie more than one unit from theirs, to the left of the data")
def test_under_all_losses_three_of_five_lie_more_than_one_unit_away_to_the_left_of_the_data(replication, level):
    full = study.pairs(replication, level.reset_index(), 5).loc["111 Full"]
    far = full[full["distance"] > 1]
    assert len(full) == 5 and len(far) == 3 and (far["prototype"] < full["x"].min()).all()


# --- the claims ---


@states("A tie shows none; with few neurons, medians of a ratio tie often.")
def test_with_few_neurons_medians_of_a_ratio_tie_often(replication):
    distinct = by_mask(replication, S).nunique(axis=1)
    assert distinct.loc[3] <= 4 and distinct.loc[5] <= 4 < distinct.loc[100]
    counts = study.claim_counts(replication).set_index("claim")
    assert counts.loc["C2 Cov and Cov+Sep specialise more than Std", "by median"] < 12


@states("the pattern is stable from $N = 3$ to $N = 100$ (C9) is what the counts above say together")
def test_the_counts_cover_the_sizes_from_three_to_a_hundred(replication):
    assert sorted(replication["size"].unique()) == [3, 5, 10, 20, 50, 100]
    assert study.claim_counts(replication)["cases"].to_list() == [6, 12, 6, 6, 6, 20]


@states(
    "All four overlap-active masks have a higher median of $L_\\text{fit}$ than Std at {sizes-with-a-worse-fit} sizes, "
    "overlap alone by a factor of {least-factor-of-fit} or more ({median-factor-of-fit} in the median over sizes)",
    "C5 does not hold in these runs",
)
def test_each_mask_with_overlap_fits_worse_than_std_at_every_size(replication):
    fit = study.fits(replication)
    assert (fit.loc[[MASK_LABELS[mask] for mask in ACTIVE]] > fit.loc["000 Std"]).all(axis=None)
    assert (fit.loc["100 Ovl"] > 2 * fit.loc["000 Std"]).all()


@states(
    'read as "the data are still fitted", it does',
    "Of its prototypes more are outside at $N = 100$ than at $N = 3$, and its fit is better there.",
)
def test_the_data_are_still_fitted_where_more_prototypes_are_outside(replication):
    fit = study.fits(replication).loc["100 Ovl"] ** 0.5
    assert fit.max() < 0.1 and fit.iloc[-1] < 0.01
    expelled = by_mask(replication, "expelled_fraction", "mean")["100"]
    assert expelled.iloc[-1] > expelled.iloc[0] and fit.iloc[-1] < fit.iloc[0]


# --- against the independent implementation ---


@states(
    "run on 30 of the calibration seeds", "a factor of 1.5 between two medians of E and a difference of 0.1 between two"
)
def test_clear_is_a_factor_of_one_and_a_half_of_e_and_a_tenth_of_a_ratio(independent):
    assert (FACTOR, SHARE) == (1.5, 0.1)
    assert independent["nominal"]["seeds"] == 30


@states(
    "- E, N = 3: {e-in-another-order-at-3} there, not here",
    "- specialization ratio, N = 3: {specialization-ratio-in-another-order-at-3} there, not here",
    "- specialization ratio, N = 5: {specialization-ratio-in-another-order-at-5} there, not here",
    "- expelled fraction, N = 3: {expelled-fraction-in-another-order-at-3} there, not here",
    "- expelled fraction, N = 5: {expelled-fraction-in-another-order-at-5} there, not here",
)
def test_the_orders_differ_at_the_two_smallest_sizes_and_of_e_at_three_alone(compared):
    assert list(study.other_orders(compared)) == [
        ("E", 3),
        ("specialization ratio", 3),
        ("specialization ratio", 5),
        ("expelled fraction", 3),
        ("expelled fraction", 5),
    ]


@states(
    "the order of the medians should agree, where it is clear",
    "Over all sizes the orders agree in {e-in-the-same-order} pairs for E, "
    "{specialization-ratio-in-the-same-order} pairs",
)
def test_the_orders_agree_in_nearly_all_pairs(compared):
    for counts in compared.values():
        assert counts["same order"].sum() > 0.85 * counts["clearly apart"].sum()


@states("The table counts, for each size, the pairs of masks (last row: of temperatures, for separation alone)")
def test_the_table_s_last_row_is_of_temperatures(compared, temperature):
    table = study.agreement(compared)
    assert table.index[-1] == study.HEAT and list(table.columns) == [f"N = {n}" for n in (3, 5, 10, 20, 50, 100)]
    heats = temperature["temperature"].nunique()
    assert compared[study.HEAT]["clearly apart"].max() <= heats * (heats - 1) / 2


# --- in five lines ---


@states("none of these lines carries an interval", "some gaps between neighbouring masks are within noise")
def test_some_gaps_between_neighbouring_masks_are_within_noise(replication):
    assert "interval" not in prose("_findings") and "[" not in re.sub(r"\[\(.*?\)\]", "", prose("_findings"))
    table = summary(replication, E)
    for size, group in groups_of(table, "size"):
        ordered = group.sort_values("median")
        overlapping = ordered["low"].to_numpy()[1:] < ordered["high"].to_numpy()[:-1]
        assert overlapping.any(), size


def test_the_numbers_under_the_figures_are_labelled_as_the_figures(replication, baselines):
    """`show_numbers` stands under figures whose curves are named so."""
    names = study.by_mask_and_size(replication, E, baselines[E]).index.unique("mask")
    assert list(names) == [*MASK_LABELS.values(), *DRAWN]
