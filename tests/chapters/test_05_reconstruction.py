"""What chapter 5 says of the stored runs."""

from __future__ import annotations

import pytest
from conftest import rows
from literate import says

from companion.judging.chance import chance_summary
from companion.show import figures
from companion.studies import reconstruction
from companion.sweeps.runs import reconstruction_points

states = says("05-reconstruction")


@pytest.fixture(scope="module")
def chance(replication):
    return reconstruction.against_chance(replication)


@states(
    "E is the mean of the last column, {example-error}. One distant prototype is enough to carry it.",
)
def test_one_distant_prototype_carries_the_example_s_error(replication):
    run = reconstruction.example(replication)
    distance = reconstruction_points(run)["distance"]
    assert distance.mean() == pytest.approx(run["reconstruction_error"], rel=1e-12)
    assert distance.max() > distance.sum() / 2


@states("some pairs coincide, and prototypes away from the data have long joins")
def test_some_pairs_of_the_example_coincide_and_others_have_long_joins(replication):
    pairs = reconstruction_points(reconstruction.example(replication))
    outside = ~pairs["prototype"].between(0, 1)
    assert (pairs["distance"] < 0.05).any() and outside.any()
    assert pairs["distance"][outside].min() > pairs["distance"][~outside].max()


@states("One run of ten can double a mean:")
def test_one_run_of_ten_can_double_a_mean(replication):
    # A run with half of the sum: without it the other nine would have about half the mean.
    assert reconstruction.leaning(replication)["worst run's share of the sum"].iloc[0] > 0.5


@pytest.mark.long
@states("every picture of E in this book shows it")
def test_the_pictures_of_the_replication_show_chance(replication, temperature):
    drawn_from = {
        figures.error_by_size: replication,
        figures.error_heatmap: replication,
        figures.temperature_sweep: temperature,
    }
    for draw, runs in drawn_from.items():
        chance = chance_summary(runs)
        drawn = [value for row in rows(draw(runs, chance)) for value in row.values() if isinstance(value, float)]
        assert all(min(abs(value - level) for value in drawn) < 1e-3 * level for level in chance["median"])
