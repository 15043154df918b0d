"""What chapter 6 says of expulsion."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ROOT
from literate import says

from companion.core.data import sample_task
from companion.core.network import prototypes, starting_batch
from companion.core.settings import Settings
from companion.engine.driver import train
from companion.studies import coverage, expulsion, handful, symmetries

states = says("06-expulsion")


@pytest.fixture(scope="module")
def forces():
    return expulsion.outward_forces(np.linspace(0.75, 1.75, 201))


@pytest.fixture(scope="module")
def flows(replication):
    return expulsion.flows(replication)


@states(
    "Overlap pushes outward at every place drawn, and outside the samples at any (@sec-overlap).",
    "Overlap pushes outward and fades; separation is too weak to be seen;",
    "Separation does not reach that far.",
)
def test_overlap_pushes_outward_at_every_place_drawn_and_fades_and_separation_does_not_reach_that_far(forces):
    assert (forces["overlap"] > 0).all()
    assert (np.diff(forces["overlap"][forces.index > 0.9]) < 0).all()
    assert forces["overlap"].iloc[-1] < forces["overlap"].max() / 1000
    outside = forces[forces.index > coverage.SAMPLES[-1]]
    assert (outside["separation"].abs() < outside["overlap"] / 1e6).all()


@states(
    "Coverage pulls back only while the fifth prototype is still the nearest to some sample; from 1.1 on the prototype "
    "at 0.7 is nearer to the last sample, and coverage is silent.",
    "coverage pulls to the last sample, with a force that grows with the distance from it until the neighbour is "
    "nearer to that sample, and is then zero.",
)
def test_coverage_pulls_back_while_the_fifth_is_the_nearest_to_a_sample_and_is_silent_from_there_on(forces):
    assert coverage.OTHERS[-1] == 0.7 and coverage.SAMPLES[-1] == 0.9
    outside = forces["coverage"][forces.index > 0.901]
    nearest = np.array([not coverage.shielded(place) for place in outside.index])
    back, silent = outside[nearest], outside[~nearest]
    assert back.index.max() == pytest.approx(1.095) and silent.index.min() == pytest.approx(1.1)
    assert (back < 0).all() and (np.diff(back) < 0).all()
    assert silent.iloc[2:].abs().max() < 1e-15  # the softness of the minimum is felt at the border


@states(
    "With overlap more prototypes end outside the samples, all five without coverage and four with it.",
)
def test_with_overlap_more_prototypes_end_outside_all_five_without_coverage_and_four_with_it():
    x, _ = sample_task(5, seed=1001)
    end = expulsion.start_and_end(x, handful.paths(expulsion.TRAINED, seed=1001))["end"]
    assert end["100 Ovl"] > end["000 Std"] and end["110 Ovl+Cov"] > end["010 Cov"]
    assert (5 * end[["100 Ovl", "110 Ovl+Cov"]]).tolist() == [5, 4]


@states(
    "Half of all prototypes or more start outside (@sec-start), so the share that ends outside is not all training's"
)
def test_half_of_all_prototypes_or_more_start_outside(flows):
    start = flows.groupby("size")["start"].mean()
    assert len(start) == 6 and (start >= 0.5).all()


@states(
    "At $N = 100$ the fit alone ends, after 2,000 steps, with {std-end} outside, from {std-start} at the start.",
    "Overlap takes out {overlap-went-out} of those that began inside and ends at {overlap-end}; with coverage "
    "beside it",
    "in our runs expulsion holds in kind, not in degree",
)
def test_at_the_largest_size_expulsion_holds_in_kind_not_in_degree(flows):
    largest = expulsion.flows_at(flows, 100)
    assert (largest["start"].nunique(), len(largest)) == (1, 8)
    std, overlap, with_coverage = (largest.loc[label] for label in ("000 Std", "100 Ovl", "110 Ovl+Cov"))
    assert abs(std["end"] - std["start"]) < 0.05
    assert overlap["of those inside, went out"] > 0.5 and overlap["end"] > std["end"] + 0.3  # in kind
    assert largest["end"].idxmax() == "100 Ovl" and overlap["end"] < 0.95  # not in degree: not all of them
    assert std["end"] + 0.3 < with_coverage["end"] < overlap["end"]


@states(
    "Every overlap-active mask lies above every overlap-free one at {sizes-apart} of {sizes} sizes "
    "({which-sizes-apart}).",
)
def test_every_overlap_active_mask_lies_above_every_overlap_free_one_at_all_sizes_but_the_smallest(replication, flows):
    table = expulsion.by_size(replication, flows)
    assert expulsion.sizes_apart(table) == list(table.columns[1:]) and table.columns[0] == "N = 3"


@pytest.fixture(scope="module")
def began():
    return expulsion.stored_outside(ROOT / "data")


@pytest.mark.long
@states(
    "Coverage brings back {coverage-back-at-3} at $N = 3$ and {coverage-back-at-100} at $N = 100$, the fit alone "
    "{std-back-at-3} and {std-back-at-100}.",
    "Beside overlap it is fewer at every size; under overlap alone it is {overlap-back-at-3} at $N = 3$ and "
    "{overlap-back-at-100} of {outside-at-100} prototypes at $N = 100$",
)
def test_coverage_brings_back_more_than_the_fit_alone_and_fewer_beside_overlap_at_every_size(began):
    back = expulsion.returned(began)
    assert list(back) == [f"N = {size}" for size in (3, 5, 10, 20, 50, 100)] and len(back) == 8
    assert (back.loc["010 Cov"] > back.loc["000 Std"]).all() and (back.loc["000 Std"] > 0).all()
    # An expelled neuron is called back: not "never", and with coverage not seldom in small networks.
    assert back.loc["010 Cov", ["N = 3", "N = 5", "N = 10"]].min() > 0.25 and back.loc["000 Std", "N = 10"] > 0.15
    assert (back.loc["110 Ovl+Cov"] < back.loc["010 Cov"]).all() and (back.loc["100 Ovl"] < back.loc["000 Std"]).all()
    numbers = expulsion.of_those_outside(began)
    assert back.loc["100 Ovl", "N = 3"] > 0.05 and int(numbers["overlap-back-at-100"]) < 5


@pytest.mark.long
@states(
    "Under coverage, of those that were some sample's nearest, {open-back-least} to {open-back-most} came in, by size.",
    "Of those that others shielded it is fewer at every size, {shielded-back-at-3} at $N = 3$ and "
    "{shielded-back-at-100} at $N = 100$; still more than under the fit alone.",
    "So the blind spot forbids no return.",
    "At $N = 100$ {shielded-share-at-100} of those outside start shielded, at $N = 3$ {shielded-share-at-3}",
)
def test_shielded_prototypes_come_back_less_often_and_most_are_shielded_at_the_largest_size(began):
    share = expulsion.returned_by_shield(began)
    nearest, shielded = share.loc["010 Cov, nearest"], share.loc["010 Cov, shielded"]
    assert nearest.min() > 0.7 and (shielded < nearest / 2).all() and (shielded > 0).all()
    assert (shielded > share.loc["000 Std, shielded"]).all()
    cover = began[began["mask"] == "010"].groupby("size")["shielded"].mean()
    assert cover[100] > 0.95 and cover[3] < 0.75


@states("prototypes start about 0, at the data's left edge")
def test_prototypes_start_about_0():
    _, _, start = starting_batch(100, range(1000, 1200))
    at = prototypes(start.w, start.b)
    assert abs(float(at.median())) < 0.01 and float(at.abs().median()) < 0.15


@pytest.mark.long
@states("at the one size where the data were moved to the middle, fewer were expelled (@sec-middle)")
def test_with_the_data_moved_to_the_middle_fewer_were_expelled(replication):
    stored = symmetries.sides(replication.query("size == 20 and mask in ['000', '010', '100', '111']"))
    for mask, group in stored.groupby("mask"):
        middle = [symmetries.centred_run(Settings(mask), 20, seed, train) for seed in group["seed"]]
        outside = np.mean([run["left"] + run["right"] for run in middle])
        assert outside < (group["left"] + group["right"]).mean() - 0.2
