"""What chapter 14 says of the stored runs beside chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from literate import says
from scipy.stats import binom, binomtest

from companion.core.data import TARGETS, random_stream, sample_task
from companion.core.metrics import position_error, reconstruction_error, value_error
from companion.judging import baselines
from companion.judging.chance import chance_level, chance_summary
from companion.judging.claims import ACTIVE, FREE
from companion.judging.paired import holm
from companion.studies import baseline, reconstruction
from companion.sweeps.runs import originals_and_reconstructions

pytestmark = pytest.mark.long

states = says("14-chance")
FREE, ACTIVE = list(FREE), list(ACTIVE)
COLUMNS = ["mask", "attractor", "size", "seed", "reconstruction_error"]


@pytest.fixture(scope="module")
def found():
    return baseline.results(ROOT / "data")


@pytest.fixture(scope="module")
def medians(found):
    """E's parts: medians, by mask (its bits) and size."""
    return found.medians.rename(index=lambda label: label[:3], level="mask")


def wide(table, column):
    """A comparison's column, a row a mask and a column a size."""
    return table.pivot(index="mask", columns="size", values=column)


# --- the answer ---


@states(
    "(corrected p < 0.05)",
    "Below chance, corrected p < 0.05: none.",
    "combinations, below at {specialization-below}, corrected p < 0.05.",
)
def test_the_level_is_0_05():
    assert baseline.LEVEL == 0.05


@states(
    "Over 200 seeds, E is above its chance level at",
    "not told from it: 010 Cov and 011 Cov+Sep at N = 3.",
)
def test_only_coverage_without_overlap_at_3_is_not_told_from_chance(found):
    rest = found.error[found.error["outcome"] == "not told"]
    assert list(zip(rest["mask"], rest["size"], strict=True)) == [("010", 3), ("011", 3)]
    assert found.runs["seed"].nunique() == 200


@states(
    "The best mask's E is {best-over-chance-at-3} times chance at $N = 3$ (010 Cov) and "
    "{best-over-chance-at-100} times at $N = 100$ (010 Cov).",
)
def test_the_best_mask_is_coverage_alone_at_3_and_at_100(found):
    best = wide(found.error, "middle").idxmin()
    assert best[3] == best[100] == "010" and best.index[0] == 3 and best.index[-1] == 100


@states(
    "Between these sizes the median chance level falls from {chance-error-at-3} to {chance-error-at-100}, and "
    "the lowest median E of any mask goes from",
)
def test_chance_falls_and_the_lowest_median_error_does_not(found):
    by_size = reconstruction.against_chance(found.runs)
    assert (by_size["chance, median E"].diff().dropna() < 0).all()
    assert by_size["its median E"].iloc[-1] > by_size["its median E"].iloc[0]


# --- the error ---


@states(
    "with its exact interval. The p-values are two-sided sign tests, of that share and that median alike, corrected by "
    "Holm's method over all combinations",
    "medians over 200 seeds with exact 95 % intervals; dotted: chance.",
)
def test_p_values_are_of_the_shares_and_medians_beside_them(found):
    error = found.error
    by_share = [binomtest(round(200 * below), 200).pvalue for below in error["below"]]
    np.testing.assert_allclose(error["p"], holm(by_share))
    own = found.runs.query("mask == '011' and size == 3").sort_values("seed")["reconstruction_error"].to_numpy()
    ratio = np.sort(own / chance_level(3, range(1000, 1200)).mean(axis=1))
    row = error.query("mask == '011' and size == 3").iloc[0]
    k = int(binom.ppf(0.025, 200, 0.5))
    np.testing.assert_allclose(row[["middle low", "middle high"]].astype(float), [ratio[k - 1], ratio[200 - k]])


@states(
    "It rises with N for every mask, and the four masks with overlap lie above the four without at every size; only "
    "coverage alone, at N = 3, is not above one."
)
def test_the_ratio_rises_with_the_size_and_overlap_lies_above(found):
    ratio = wide(found.error, "middle")
    assert (ratio.diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    assert (ratio.loc[ACTIVE].min() > ratio.loc[FREE].max()).all()
    assert list(ratio.stack()[lambda values: values <= 1].index) == [("010", 3)]


@states("It is about one half for coverage alone at N = 3 and zero for every mask from N = 20 on.")
def test_the_share_below_chance_is_a_half_for_coverage_at_3_and_zero_from_20_on(found):
    below = wide(found.error, "below")
    assert abs(below.loc["010", 3] - 0.5) < 0.05 and below.loc["010", 3] == below.max(axis=None)
    assert (below.loc[:, 20:] == 0).all(axis=None)


@states(
    "has an E below the mean of the other 19, {one-more-set-below} of the seeds; it is not exactly one half "
    "because E is skewed",
)
def test_one_more_random_set_is_below_the_others_mean_in_more_than_half_of_the_seeds(found):
    single = baseline.one_more_set(found.runs)
    assert (single["value"] > 0.5).all()
    for size in single["size"]:
        draws = chance_level(size, range(1000, 1200))
        assert draws.shape == (200, 20)
        less = draws - draws.mean(axis=1, keepdims=True)
        assert (less**3).mean() > 0 and np.median(less) < 0


@states("Below chance, corrected p < 0.05: none.")
def test_no_mask_is_below_chance_at_any_size(found):
    assert not (found.error["outcome"] == "below").any()


@states("among them all eight masks at N = 5, 10, 20, 50, 100")
def test_all_eight_masks_are_above_chance_from_5_on(found):
    above = (wide(found.error, "outcome") == "above").sum()
    assert list(above.index[above == 8]) == [5, 10, 20, 50, 100]


# --- baselines ---


@pytest.fixture(scope="module")
def levels(found):
    return baseline.baselines(found.runs)


@states("it is told the data, and its E is 0")
def test_centres_at_the_data_have_no_error(levels):
    told = levels.xs("centres at the data", level="baseline")
    assert (told.drop("specialization ratio") == 0).all(axis=None) and (told.loc["specialization ratio"] == 1).all()


@states(
    "The untrained network has a median E of {untrained-error}, whatever the size.",
    "The 2,000 steps of training lower it in {below-untrained} of {combinations} combinations of mask and size, in "
    "{active-below-untrained} of the {active-combinations} with overlap; overlap alone is worse than no "
    "training at every "
    "size.",
    "With no prototype moved, but all put on the true curve, untrained networks have an E of {on-the-curve}; Std, "
    "trained, has {std-error}.",
)
def test_training_beside_no_training(found, levels):
    error, masks = levels.loc["reconstruction error"], reconstruction.by_mask(found.runs, "reconstruction_error")
    untrained, on_the_curve = error.loc["untrained"], error.loc["untrained, on the curve"]
    assert untrained.max() / untrained.min() < 1.1
    below = masks.lt(untrained, axis=0)
    assert below[FREE].all(axis=None) and (masks["100"] > untrained).all()
    assert baseline.numbers(ROOT / "data")["below-untrained"] == str(below.to_numpy().sum())
    assert ((untrained - on_the_curve) / (untrained - masks["000"]) > 0.5).all()


@states(
    "Most of what Std gains is in its heights: its median value error is {value-gained} below the untrained network's, "
    "its median position error {position-gained}.",
)
def test_most_of_what_std_gains_is_in_its_heights(found):
    gained = baseline.gained_by_std(found.runs)
    assert (gained["value_error"] > 2 * gained["position_error"]).all() and (gained > 0).all(axis=None)
    x, y, positions, values = originals_and_reconstructions(found.runs.query("mask == '000' and size == 20"))
    std = np.median(position_error(x, positions)), np.median(value_error(x, y, positions, values))
    start = [baselines.untrained(20, seed, "sine") for seed in range(1000, 1200)]
    before = torch.stack([one.prototypes for one in start]), torch.stack([one.values for one in start])
    own = np.median(position_error(x, before[0])), np.median(value_error(x, y, *before))
    np.testing.assert_allclose(gained.loc[20], np.subtract(own, std), rtol=1e-9)


@states("is {untrained-specialization}, trained Std's {std-specialization}.")
def test_std_is_hardly_more_specialised_than_no_training(found, levels):
    untrained = levels.loc["specialization ratio", "untrained"][100]
    assert 0 < reconstruction.by_mask(found.runs, "specialization_ratio")["000"][100] - untrained < 0.05


# --- position and value ---


@states("its median is {matched-over-best} times that of $P$, by mask and size.)")
def test_the_position_error_chooses_its_own_matching(found):
    runs = found.runs.sort_values(["mask", "size", "seed"], ignore_index=True)
    assert (found.parts["matched_position_error"] >= runs["position_error"] * (1 - 1e-9)).all()
    by = ["mask", "size"]
    matched, best = (
        table.groupby(by)[name].median()
        for table, name in ((found.parts, "matched_position_error"), (runs, "position_error"))
    )
    assert (
        f"{(matched / best).max():.2f}" in baseline.numbers(ROOT / "data")["matched-over-best"]
        and (matched / best).max() < 1.1
    )


@states(
    "A high E can come from either axis.",
    "Neither is above E, and E is not above their sum, so that a low E needs both low.",
)
def test_neither_part_is_above_e_and_e_is_not_above_their_sum(found):
    runs = found.runs.sort_values(["mask", "size", "seed"], ignore_index=True)
    error, parts = runs["reconstruction_error"], found.parts
    assert (runs["seed"] == parts["seed"]).all()
    assert (parts[["matched_position_error", "value_error"]].max(axis=1) <= error * (1 + 1e-9)).all()
    assert (error <= (parts["matched_position_error"] + parts["value_error"]) * (1 + 1e-9)).all()
    # Of the runs with an E above one, some owe more than nine tenths of it to either axis.
    high = parts.loc[error > 1, list(baseline.AXES)].div(error[error > 1], axis=0)
    assert (high > 0.9).any().all()


@states(
    "$E_y$ is the larger part in {value-larger-at-3} of the runs at $N = 3$, by mask, and in {value-larger-at-100} at",
)
def test_the_value_error_is_the_larger_part_in_many_runs_at_3_and_in_hardly_any_at_100(found):
    larger = baseline.value_larger(found.parts)
    assert larger[3].min() > 1 / 3 and larger[100].max() < 0.05
    run = found.parts[(found.parts["mask"] == "100") & (found.parts["size"] == 3)]
    assert larger.loc["100", 3] == (run["value_error"] > run["matched_position_error"]).sum() / 200


@states(
    "under transport alone, which pulls every prototype to a sample of its own, the median E is below a tenth of "
    "chance's at every size (@sec-attractor).",
)
def test_under_transport_alone_the_error_is_below_a_tenth_of_chance_s():
    alone = pd.read_parquet(ROOT / "data/attractors-chamfer-transport.parquet", columns=COLUMNS).query(
        "attractor == 'transport' and mask == '010'"
    )
    chance = chance_summary(alone).set_index("size")["median"]
    median = alone.groupby("size")["reconstruction_error"].median()
    assert len(median) == 6 and (alone.groupby("size").size() == 100).all() and (median < chance / 10).all()


@states(
    "An E of chance's size says that the prototypes are about as near the training points as a random set on the "
    "target's graph",
    "the random set was told none of them.",
)
def test_a_random_set_is_told_the_target_and_none_of_the_training_points():
    x, y = sample_task(5, 1000)
    drawn = chance_level(5, [1000])[0]
    again = random_stream(5, 1000, purpose=2).uniform(0.0, 1.0, (20, 5))
    values = TARGETS["sine"](torch.from_numpy(again))
    by_hand = reconstruction_error(x.expand(20, -1), y.expand(20, -1), torch.from_numpy(again), values)
    np.testing.assert_allclose(drawn, by_hand)
    assert np.abs(again[:, :, None] - x.numpy()).min() > 0, "no draw is a sample"


@states(
    "Left: median position error under E's matching. Chance falls with N, every mask is higher at the "
    "largest N than at the "
    "smallest, and the four masks with overlap lie highest at every size."
)
def test_position_errors_end_higher_than_they_begin_and_with_overlap_highest(found, medians):
    position = medians["position"].unstack()
    assert (chance_summary(found.parts, "matched_position_error")["median"].diff().dropna() < 0).all()
    assert (position[100] > position[3]).all() and (position.loc[ACTIVE].min() > position.loc[FREE].max()).all()


@states("Right: median value error. It falls for most masks, but less than chance does;")
def test_value_errors_fall_for_most_masks_but_less_than_chance(found, medians):
    value, chance = medians["value"].unstack(), chance_summary(found.parts, "value_error").set_index("size")["median"]
    assert (value[100] < value[3]).sum() > 4 and (value[100] / value[3] > chance[100] / chance[3]).all()


@states("from N = 10 on every mask is above chance in both panels")
def test_from_10_on_both_parts_are_above_chance(medians):
    for part in ("position", "value"):
        assert (medians[f"{part} over chance"].unstack().loc[:, 10:] > 1).all(axis=None)


@states("Medians below chance: position none; value 010 Cov at N = 3, 5; 011 Cov+Sep at N = 3.")
def test_only_three_medians_of_the_value_are_below_chance(medians):
    assert (medians["position over chance"] > 1).all()
    value = medians["value over chance"]
    assert list(value.index[value < 1]) == [("010", 3), ("010", 5), ("011", 3)]


@states(
    "Without overlap the position error there is {position-without-overlap} beside a value error of "
    "{value-without-overlap}; with overlap {position-with-overlap} beside",
)
def test_at_100_the_position_error_is_the_larger_part(medians):
    last = medians.xs(100, level="N")
    assert (last["position"] > 2 * last["value"]).all()


# --- specialization and expulsion ---


@states(
    "Left: the specialization ratio lies below chance for every mask and size, and farther below with overlap "
    "than without at every size."
)
def test_specialization_is_below_chance_and_farther_with_overlap(found):
    special = wide(found.special, "middle")
    assert (special < 0).all(axis=None) and (special.loc[ACTIVE].max() < special.loc[FREE].min()).all()


@states(
    "Right: the expelled fraction lies above chance from N = 5 on for every mask, and higher with overlap than "
    "without from N = 10 on."
)
def test_expulsion_is_above_chance_from_5_on_and_higher_with_overlap_from_10_on(found):
    expelled = wide(found.expelled, "middle")
    assert (expelled.loc[:, 5:] > 0).all(axis=None)
    assert (expelled.loc[ACTIVE].min() > expelled.loc[FREE].max()).loc[10:].all()
