"""Whose data: E to fresh samples, and how near prototypes come to a sample, on known answers and in any batch."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT

from companion.core.data import TARGETS, fresh_samples, random_stream, sample_task
from companion.core.metrics import reconstruction_error
from companion.judging.chance import chance_level
from companion.studies.whose import PERFECT, RANDOM, fresh_error, measure_runs, nearest_distance


def test_prototypes_at_the_samples_know_these_points_and_no_others():
    own, fresh = [], []
    for seed in range(200):
        x, y = sample_task(5, seed)
        own.append(reconstruction_error(x, y, x, y))
        fresh.append(fresh_error(*fresh_samples(5, seed, 20), x, y))
    assert max(own) == 0
    assert np.mean(fresh) == pytest.approx(chance_level(5, range(200)).mean(), rel=0.05)


@pytest.mark.parametrize("size", [3, 20])
def test_random_prototypes_are_as_near_to_their_own_sample_as_to_fresh_ones(size):
    ranks, differences = [], []
    for seed in range(300):
        x, y = sample_task(size, seed)
        drawn = torch.from_numpy(random_stream(size, seed, purpose=2).uniform(0, 1, size))
        run = drawn, TARGETS["sine"](drawn)
        own, fresh = reconstruction_error(x, y, *run), fresh_error(*fresh_samples(size, seed, 9), *run)
        ranks.append((fresh < own).sum())
        differences.append(fresh.mean() - own)
    # All ten ranks are equally likely: 30 each, with a standard deviation of about 5.
    counts = np.bincount(ranks, minlength=10)
    assert len(counts) == 10 and counts.min() > 10 and counts.max() < 50
    assert abs(np.mean(differences)) < 4 * np.std(differences) / np.sqrt(300)


def test_fresh_error_is_e_to_each_fresh_sample_in_any_batch():
    p, v = np.random.default_rng(7).normal(size=(2, 3, 4))
    x, y = fresh_samples(4, 11, draws=5)
    assert not np.isin(x, sample_task(4, 11)[0]).any()
    errors = fresh_error(x, y, p, v)
    assert errors.shape == (3, 5)
    for run in range(3):
        single = [reconstruction_error(x[draw], y[draw], p[run], v[run]) for draw in range(5)]
        np.testing.assert_array_equal(errors[run], single)
        np.testing.assert_array_equal(fresh_error(*fresh_samples(4, 11, 2), p[run], v[run]), single[:2])
    np.testing.assert_array_equal(fresh_error(x, y, p[None], v[None])[0], errors)


def test_nearest_distance_of_the_prototypes_inside():
    x = [0.2, 0.6]
    assert nearest_distance(x, [0.1, 0.5, 7.0, -3.0, np.inf]) == pytest.approx(0.1)
    assert nearest_distance(x, [0.0, 1.0]) == pytest.approx(0.3), "both ends are inside"
    assert np.isnan(nearest_distance(x, [2.0, -1.0]))
    assert nearest_distance(x, x) == 0
    many = np.random.default_rng(8).uniform(0, 1, (5, 2))
    expected = [nearest_distance(row, [0.1, 0.9]) for row in many]
    np.testing.assert_array_equal(nearest_distance(many, [0.1, 0.9]), expected)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: fresh_error(*fresh_samples(3, 1, 20), [0, 1], [0, 1]), "shape"),
        (lambda: fresh_error(*fresh_samples(2, 1, 4), [0, np.nan], [0, 1]), "prototypes: 4 of 8"),
        (lambda: fresh_samples(2, 1, draws=0), "draws: 0"),
        (lambda: fresh_samples(2, 1, 3, target="cosine"), "target: 'cosine'"),
        (lambda: nearest_distance([np.inf], [0.5]), "x: 1 of 1"),
        (lambda: nearest_distance([0.5], [np.nan]), "prototypes: NaN"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def check_stored(runs: pd.DataFrame) -> None:
    """These runs, and the anchors of their sizes and seeds, stand in data/whose.parquet as they are measured now."""
    key = ["name", "size", "seed"]
    stored = pd.read_parquet(ROOT / "data/whose.parquet").set_index(key)
    again = measure_runs(runs).set_index(key)
    assert set(again.index.unique("name")) == set(stored.index.unique("name")) >= {RANDOM, PERFECT}
    for column in stored:
        found, expected = (np.stack(table[column].loc[again.index]) for table in (again, stored))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_spot_of_the_stored_distances_is_measured_again(powered):
    check_stored(powered[powered["seed"].isin([1000, 1007, 1199])])


@pytest.mark.slow
def test_all_stored_distances_are_measured_again(powered):
    check_stored(powered)
