"""What chapter 15 says of the stored runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from literate import says
from scipy.stats import binomtest

from companion.core.settings import MASK_LABELS
from companion.judging.paired import holm, p_less
from companion.studies import tails, whose
from companion.studies.boundary import signed_rank

states = says("15-whose")
pytestmark = pytest.mark.long

COVERED = [label for mask, label in MASK_LABELS.items() if mask[1] == "1"]
FREE = [label for label in MASK_LABELS.values() if label not in COVERED]


@pytest.fixture(scope="module")
def found() -> whose.Results:
    return whose.results(ROOT / "data")


@pytest.fixture(scope="module")
def measured() -> pd.DataFrame:
    return pd.read_parquet(ROOT / "data/whose.parquet")


def by_mask(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column of a comparison, a row a mask (its label) and a column a size."""
    return whose.of_masks(table)[column].unstack()


@states("Over 200 seeds, E to the training points is lower")
def test_all_runs_are_of_the_same_200_seeds(found):
    assert (found.runs.groupby(["mask", "size"])["seed"].nunique() == 200).all() and found.runs["seed"].nunique() == 200


@states(
    "E to the training points is lower than E to fresh samples at {error-stars} of {combinations} combinations "
    "of mask and size ",
    "the distance to the nearest training point is smaller than to the nearest fresh one at {nearest-stars} of "
    "{combinations}; there it saves",
    "and the own points are nearer in {error-seeds-nearer} of the seeds",
)
def test_wherever_there_is_a_star_the_own_points_are_nearer(found):
    for table in (found.error, found.nearest):
        stars = whose.starred(table)
        assert len(stars) and (stars["saved"] > 0).all() and (stars["nearer"] > 0.5).all()
        assert (stars["own"] < stars["fresh"]).all()


@states(
    "That share stands in the tables, and it is what is tested: by the sign test of $R$ against ½, one-sided, with "
    "Holm's correction over all masks and sizes",
)
def test_what_is_tested_is_the_share_of_seeds_that_stands_in_the_tables(found):
    rows = whose.of_masks(found.error)
    nearer = (rows["nearer"] * rows["runs"]).round(9)
    by_share = [binomtest(int(count), 200, alternative="greater").pvalue for count in nearer]
    assert (nearer % 1 == 0).all() and (rows["runs"] == 200).all()
    np.testing.assert_allclose(rows["p"], by_share)
    np.testing.assert_allclose(rows["corrected"], holm(by_share))


@states(
    "but $D$ can tie: of two prototypes with one sample between them it is half their distance", "a tie counts half."
)
def test_the_nearest_distance_ties_and_e_does_not(measured):
    assert whose.nearest_distance([[0.4], [0.6]], [[0.3, 0.7]] * 2) == pytest.approx(0.2)
    tied = {
        name: np.equal(np.stack(measured[f"fresh {name}"]), measured[name].to_numpy()[:, None])
        for name in ("E", "nearest")
    }
    assert tied["nearest"].any() and not tied["E"].any()
    assert whose.rank(np.array([1.0]), np.array([[1.0, 1.0, 2.0]])) == 1 / 3


@states(
    "and rounding broke that test: $\\tfrac89 - \\tfrac12$ and $\\tfrac12 - \\tfrac19$ differ in the last bit, so ties "
    "came out as ranks.",
    "it rejected in {signed-ranks-reject} of studies of 200 seeds at a level of 0.05 (the sign test: "
    "{sign-test-rejects}).",
    "It gave E {error-stars-by-signed-ranks} stars; with differences rounded first they are "
    "{error-stars-by-mended-ranks}, and by the sign test, which reads of $R$ no more than whether it is below ½, "
    "{error-stars}",
)
def test_the_test_that_this_chapter_had_before_was_broken_by_rounding(found, measured):
    assert 8 / 9 - 1 / 2 != 1 / 2 - 1 / 9
    assert whose.share_rejected(signed_rank) > 0.1 > 0.05 >= whose.share_rejected(whose.mended_signed_rank)
    assert whose.share_rejected(p_less) <= 0.05
    before, mended = (whose.stars_by(test, measured, "E") for test in (signed_rank, whose.mended_signed_rank))
    assert before > mended > len(whose.starred(found.error)) == whose.stars_by(p_less, measured, "E")
    drawn = np.random.default_rng(0).integers(10, size=(50, 200)) / 9
    np.testing.assert_array_equal(p_less(drawn, 0.5), p_less(drawn > 0.5, 0.5))


@states("{error-random-p-corrected} corrected, so that none would get a star")
def test_random_prototypes_get_no_star(found):
    """By the signed ranks they did: corrected p = 0.04 of E."""
    for table in (found.error, found.nearest):
        assert holm(table.loc[whose.RANDOM]["p"]).min() >= whose.LEVEL


@states("random prototypes are drawn from the distribution (what no knowledge of the points looks like)")
def test_random_prototypes_save_next_to_nothing(found):
    for table in (found.error, found.nearest):
        assert (table.loc[whose.RANDOM]["saved"].abs() < 0.1).all()


@states(
    "prototypes at the samples are the training points themselves (perfect knowledge)",
    "1 for prototypes at the samples",
)
def test_prototypes_at_the_samples_save_all(found):
    for table in (found.error, found.nearest):
        assert (table.loc[whose.PERFECT, ["saved", "nearer"]] == 1).all(axis=None)
        assert (table.loc[whose.PERFECT, "own"] == 0).all()


@states(
    "Prototypes at the samples stand at one; every mask lies far below, "
    "coverage alone highest at N = 3 with less than a quarter,"
)
def test_every_mask_saves_far_less_of_the_error_than_all_and_coverage_alone_most_at_n_3(found):
    saved = by_mask(found.error, "saved")
    assert saved.max(axis=None) == saved.loc["010 Cov", 3] < 1 / 4


@states("from N = 20 on all masks lie close to zero, like random prototypes")
def test_from_n_20_on_the_error_saved_is_next_to_zero_under_all_masks(found):
    saved, random = by_mask(found.error, "saved"), found.error.loc[whose.RANDOM]["saved"]
    assert (saved.loc[:, 20:].abs() < 0.03).all(axis=None) and saved.loc[:, 20:].abs().max(
        axis=None
    ) < random.abs().max()


@states("Coverage alone is highest at N = 3 with almost 0.8; at N = 100 all masks lie between 0.5 and 0.6.")
def test_in_how_many_seeds_e_to_the_own_points_is_lower(found):
    nearer = by_mask(found.error, "nearer")
    assert nearer.max(axis=None) == nearer.loc["010 Cov", 3] and 0.75 < nearer.loc["010 Cov", 3] < 0.8
    assert nearer[100].between(0.5, 0.6).all()


@states("The four masks with coverage lie above the four without at every size.")
def test_masks_with_coverage_save_more_of_the_nearest_distance_at_every_size(found):
    saved = by_mask(found.nearest, "saved")
    assert (saved.loc[COVERED].min() > saved.loc[FREE].max()).all()


@states(
    "Coverage alone stays above one half, Cov+Sep falls to a tenth at N = 100, "
    "and the masks without coverage lie near zero or below."
)
def test_coverage_alone_saves_half_of_the_nearest_distance_and_masks_without_it_nothing(found):
    saved = by_mask(found.nearest, "saved")
    assert (saved.loc["010 Cov"] > 0.5).all() and (saved.loc[FREE] < 0.05).all(axis=None)
    assert saved.loc["011 Cov+Sep", 100] == saved.loc["011 Cov+Sep"].min() == pytest.approx(0.1, abs=0.01)


@states("the own points are nearer: above 0.65 with coverage, below 0.6 without, at every size.")
def test_in_how_many_seeds_the_nearest_own_point_is_nearer(found):
    nearer = by_mask(found.nearest, "nearer")
    assert (nearer.loc[COVERED] > 0.65).all(axis=None) and (nearer.loc[FREE] < 0.6).all(axis=None)


@states(
    "More typical than the fresh samples, by this measure, are the training sets at N = 5 (sign test; p < 0.05, "
    "corrected over {even-tests} tests)"
)
def test_the_training_sets_of_size_5_alone_are_more_typical_than_the_fresh_samples(found):
    even = whose.evenly_spread(found.runs)
    assert even.index[holm(even["p"]) < 0.05].tolist() == ["N = 5"] and even["mean of R"].idxmin() == "N = 5"


@states(
    "Against other seeds' training points (@sec-swap) {error-stars-standing} and {nearest-stars-standing} of "
    "these stand",
    "(not {error-stars-fallen})",
)
def test_some_stars_of_e_fall_against_other_seeds_points(found):
    assert 0 < len(found.error_standing) < len(whose.starred(found.error))


@states(
    "of the nearest distance {nearest-stars-standing} of {nearest-stars} [(ours)]",
)
def test_all_stars_of_the_nearest_distance_stand_so_that_none_is_named(found):
    assert found.nearest_standing.index.equals(whose.starred(found.nearest).index)


@states(
    "Of the four masks with coverage, all four have prototypes nearer to the training points at every size; "
    "of the four without it, none at any."
)
def test_all_masks_with_coverage_know_the_points_at_every_size_and_no_other_at_any(found):
    sizes = found.runs["size"].unique()
    assert set(found.nearest_standing.index) == {(name, size) for name in COVERED for size in sizes}
    assert len(COVERED) == len(FREE) == 4


@states(
    "where E saves {error-saved-coverage}, {error-saved-std} and {error-saved-overlap} %; it speaks for the "
    "prototypes inside",
)
def test_at_n_100_coverage_alone_saves_much_of_the_distance_and_next_to_nothing_of_e(found):
    assert found.nearest.loc[("010 Cov", 100), "saved"] > 0.5 > 0.01 > abs(found.error.loc[("010 Cov", 100), "saved"])


@states("prototypes lie *farther* from the training points than from fresh ones")
def test_where_prototypes_lie_farther_overlap_is_on_and_coverage_is_off(found):
    turned = whose.farther(found.nearest)
    assert (turned["saved"] < 0).all() and set(turned.index.unique("name")) == {"100 Ovl", "101 Ovl+Sep"}


@states("most of E is the distance of the prototypes outside (@sec-baseline)")
def test_most_of_e_is_the_distance_of_the_prototypes_outside(found):
    runs = found.runs[found.runs["seed"] < 1020]
    assert (tails.owed(tails.neurons(runs))["owed"] > 1 / 2).all()


@states("A low E and knowledge of the points are two things.")
def test_a_mask_of_higher_e_knows_the_points_where_one_of_lower_e_does_not(found):
    error, stars = found.error["own"].xs(100, level="size"), found.nearest_standing.xs(100, level="size").index
    assert error["111 Full"] > error["000 Std"] and "111 Full" in stars and "000 Std" not in stars
