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
from companion.judging.paired import Interval
from companion.studies import whose
from companion.studies.whose import PERFECT, RANDOM, fresh_error, measure_runs, nearest_distance
from companion.sweeps.runs import originals_and_reconstructions


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


def measured(own: np.ndarray, fresh: np.ndarray, name: str = "000 Std") -> pd.DataFrame:
    """Runs of one size as `measure_runs` returns them, with the same measure for E and for the nearest distance."""
    columns = {"E": own, "nearest": own, "fresh E": list(fresh), "fresh nearest": list(fresh)}
    return pd.DataFrame({"name": name, "size": 3, "seed": range(len(own)), **columns})


def test_a_comparison_of_runs_that_save_half():
    own, draws = np.random.default_rng(5).uniform(1, 2, 40), np.array([0.5, 1.9, 2.0, 2.1, 3.0])
    runs = [measured(own, own[:, None] * draws), measured(own * 0, own[:, None] * draws, PERFECT)]
    table = whose.compare(pd.concat(runs, ignore_index=True), "E")
    row, anchor = table.loc[("000 Std", 3)], table.loc[(PERFECT, 3)]
    assert row["saved"] == pytest.approx(0.5) and row["log ratio"] == pytest.approx(np.log(2))
    assert row["saved low"] == pytest.approx(0.5) and row["saved high"] == pytest.approx(0.5)
    assert row["nearer"] == 1 > row["nearer low"] > 0.9 and row["p"] == row["corrected"] < 1e-6
    assert anchor["saved"] == 1 and np.isinf(anchor["log ratio"]) and np.isnan(anchor["corrected"])
    assert whose.starred(table).index.tolist() == [("000 Std", 3)] == whose.of_masks(table).index.tolist()
    assert whose.medians_saved(table)["N = 3"].tolist() == ["+50.0*", "100"]
    assert whose.farther(table).empty and whose.intervals(table, "saved")[1] == Interval(1, 1, 1)
    assert whose.curves(table, "nearer")["curve"].tolist() == ["000 Std", PERFECT]


def test_runs_that_lie_farther_from_their_own_points_are_told():
    own = np.random.default_rng(5).uniform(1, 2, 40)
    table = whose.compare(measured(own, own[:, None] * [0.4, 0.5, 0.6]), "nearest")
    assert whose.farther(table).index.tolist() == [("000 Std", 3)] and whose.starred(table).empty
    assert table["saved"].tolist() == pytest.approx([-1])


def test_a_run_without_the_measure_is_left_out():
    own = np.array([1.0, np.nan, 1.0, 1.0])
    table = whose.compare(measured(own, np.full((4, 3), 2.0)), "nearest")
    assert table["runs"].tolist() == [3] and table["nearer"].tolist() == [1]


def test_the_rank_is_the_share_of_nearer_samples_ties_counted_half():
    assert whose.rank(np.array([1.0, 2.0]), np.array([[0.5, 1.0, 3.0, 3.0], [0.0, 1.0, 1.5, 1.0]])).tolist() == [
        0.375,
        1,
    ]


@pytest.mark.parametrize("measure", ["E", "nearest"])
def test_other_seeds_points_come_in_turn(replication, measure):
    runs = replication[(replication["mask"] == "010") & (replication["size"] == 5)]
    x, y, positions, values = originals_and_reconstructions(runs)
    expected = []
    for run in range(len(runs)):
        others = [(run + step) % len(runs) for step in (0, 1, 2, 3)]
        if measure == "E":
            found = [reconstruction_error(x[k], y[k], positions[run], values[run]) for k in others]
        else:
            found = [nearest_distance(x[k], positions[run]) for k in others]
        expected.append(np.mean(np.less(found[1:], found[0])))
    np.testing.assert_array_equal(whose.among_other_seeds(runs, measure, draws=3), expected)


def test_stars_that_stand_are_of_runs_that_know_their_points():
    rows = []
    for seed in range(60):
        x, y = (values.numpy() for values in sample_task(5, seed))
        spread = np.linspace(0.1, 0.9, 5)
        for mask, at in (("010", x), ("000", spread)):  # prototypes at the samples; the same in every run
            w = np.full(5, 30.0)
            rows.append({"mask": mask, "size": 5, "seed": seed, "x": x, "y": y, "w": w, "b": -w * at, "a": y, "c": 0.0})
    runs = pd.DataFrame(rows)
    stars = pd.DataFrame({"corrected": 0.01}, index=[("000 Std", 5), ("010 Cov", 5)])
    assert whose.standing(runs, stars, "nearest").index.tolist() == [("010 Cov", 5)]
    assert whose.standing(runs, stars.assign(corrected=0.9), "nearest").empty
    assert whose.shares_inside(runs).to_dict() == {"010": 1.0, "000": 1.0}
    assert whose.shares_inside(runs.assign(b=runs["b"] * 10)).max() < 0.5


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
