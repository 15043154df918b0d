"""What chapter 5 says of the stored runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import rows
from literate import says

from companion.core.metrics import reconstruction_error
from companion.judging.baselines import baseline_summary
from companion.judging.chance import chance_summary
from companion.show import figures
from companion.studies import reconstruction
from companion.sweeps.runs import reconstruction_points

states = says("05-reconstruction")


@pytest.fixture(scope="module")
def chance(replication):
    return reconstruction.against_chance(replication)


@states(
    "E is the mean of the last column, {example-error}. One distant prototype makes more than half of it.",
)
def test_one_distant_prototype_carries_the_example_s_error(replication):
    run = reconstruction.example(replication)
    distance = reconstruction_points(run)["distance"]
    assert distance.mean() == pytest.approx(run["reconstruction_error"], rel=1e-12)
    assert distance.max() > distance.sum() / 2


@states("some pairs all but coincide, and prototypes outside the data have the longest joins")
def test_some_pairs_of_the_example_all_but_coincide_and_those_outside_have_the_longest_joins(replication):
    pairs = reconstruction_points(reconstruction.example(replication))
    outside = ~pairs["prototype"].between(pairs["x"].min(), pairs["x"].max())
    assert (pairs["distance"] < 0.05).any() and outside.any()
    assert pairs["distance"][outside].min() > pairs["distance"][~outside].max()


@states("One run of ten can double a mean:")
def test_one_run_of_ten_can_double_a_mean(replication):
    # A run with half of the sum: without it the other nine would have about half the mean.
    assert reconstruction.leaning(replication)["worst run's share of the sum"].iloc[0] > 0.5


@pytest.mark.long
@states(
    "E grows without bound with the distance of each prototype",
    "It is not the only way to a large E: the height $f(\\hat x)$ makes others (@sec-tails).",
)
def test_a_distant_prototype_or_a_great_height_makes_a_large_error():
    x, y = torch.tensor([0.2, 0.8]), torch.tensor([0.0, 1.0])
    for far in (1e2, 1e4):
        assert reconstruction_error(x, y, torch.tensor([0.2, far]), y) > far / 3
        assert reconstruction_error(x, y, x, torch.tensor([0.0, far])) > far / 3


@states("if each sample chose a neuron at random, $S$ would be $1 - (1 - 1/N)^N$ on average")
def test_of_neurons_chosen_at_random_so_many_are_distinct_on_average(replication):
    table = reconstruction.specialization(replication)["random choice"]
    draw = np.random.default_rng(0)
    for size in (3, 100):
        distinct = [len(np.unique(draw.integers(size, size=size))) / size for _ in range(5000)]
        assert table[size] == pytest.approx(np.mean(distinct), abs=0.01)


@states("the pictures of E in @sec-replication show ours")
def test_the_pictures_of_the_replication_show_chance(replication, temperature):
    drawn_from = {
        figures.error_by_size: replication,
        figures.error_heatmap: replication,
        figures.temperature_sweep: temperature,
    }
    for draw, runs in drawn_from.items():
        chance = chance_summary(runs)
        levels = chance if draw is figures.temperature_sweep else baseline_summary(runs)
        drawn = [value for row in rows(draw(runs, levels)) for value in row.values() if isinstance(value, float)]
        assert all(min(abs(value - level) for value in drawn) < 1e-3 * level for level in chance["median"])
