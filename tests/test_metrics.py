"""Metrics against brute force, known answers, invariances and reference values."""

from __future__ import annotations

import json
import math
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from companion.core.data import TARGETS, random_stream, sample_task
from companion.core.metrics import (
    distinct_samples,
    expelled_fraction,
    match,
    reconstruction_error,
    specialization_ratio,
)
from companion.core.network import activations, predict, prototypes, starting_batch
from companion.core.settings import Activation, Settings
from companion.judging.chance import AT_CHANCE, chance_level, split_error
from companion.sweeps.measures import METRICS, READINGS, measure, measure_every_reading
from companion.sweeps.sweep import run_sweep

CASES = json.loads((Path(__file__).parent / "reference" / "losses.json").read_text(encoding="utf-8"))


def brute_force_error(x, y, p, v) -> float:
    n = len(x)
    return min(
        sum(np.hypot(x[i] - p[order[i]], y[i] - v[order[i]]) for i in range(n)) / n for order in permutations(range(n))
    )


@pytest.mark.parametrize("n", range(1, 7))
def test_error_equals_the_best_of_all_matchings(n):
    x, y, p, v = np.random.default_rng(n).normal(size=(4, 5, n))
    expected = [brute_force_error(*row) for row in zip(x, y, p, v, strict=True)]
    np.testing.assert_allclose(reconstruction_error(x, y, p, v), expected, rtol=1e-13)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"n{case['n']}-tau{case['tau']:g}")
def test_metrics_equal_the_reference(case):
    x, y, w, b, a, c = (torch.tensor(case[name], dtype=torch.float64) for name in "xywbac")
    positions = prototypes(w, b)
    values = predict(positions, w, b, a, c)
    np.testing.assert_allclose(positions, case["prototypes"], rtol=1e-12)
    assert reconstruction_error(x, y, positions, values) == pytest.approx(case["reconstruction_error"], rel=1e-10)
    assert match(x, y, positions, values).neuron.tolist() == case["matching"]
    assert specialization_ratio(activations(x, w, b)) == case["specialization_ratio"]
    assert expelled_fraction(x, positions) == case["expelled_fraction"]


def test_error_is_zero_on_the_data_and_unchanged_by_order_and_shift():
    x, y, p, v = np.random.default_rng(3).normal(size=(4, 8))
    assert reconstruction_error(x, y, x[::-1], y[::-1]) == 0
    base, order = reconstruction_error(x, y, p, v), np.random.default_rng(4).permutation(8)
    assert reconstruction_error(x, y, p[order], v[order]) == pytest.approx(base, rel=1e-14)
    assert reconstruction_error(x + 2, y, p + 2, v) == pytest.approx(base, rel=1e-12)


def test_one_far_prototype_moves_the_error_by_its_distance_over_n():
    x = np.arange(4.0)
    p = np.array([0.0, 1, 2, 1003])
    assert reconstruction_error(x, x * 0, p, x * 0) == 250


@pytest.mark.parametrize("seed", range(5))
def test_specialization_counts_distinct_winners(seed):
    h = np.random.default_rng(seed).random((6, 5))
    assert specialization_ratio(h) == len({max(range(5), key=lambda j, row=row: row[j]) for row in h}) / 5


@pytest.mark.parametrize("seed", range(5))
def test_distinct_samples_are_counted_by_neuron(seed):
    responses = np.random.default_rng(seed).uniform(0, 1, (3, 6, 4))
    expected = [len({max(range(6), key=lambda i: run[i][j]) for j in range(4)}) / 4 for run in responses.tolist()]
    assert distinct_samples(responses).tolist() == expected
    assert distinct_samples(responses[0]) == expected[0]


def test_a_neuron_that_responds_to_nothing_has_no_sample_and_of_ties_the_first_counts():
    assert distinct_samples([[0.0, 0.5, 0.5], [0.0, 0.5, 0.1]]) == 1 / 3
    assert distinct_samples([[0.1, 0.0], [0.0, 0.1]]) == 1 and distinct_samples(np.zeros((3, 4))) == 0
    assert distinct_samples(np.eye(3)[:, :2]) == 1 and distinct_samples([[0.1, 0.2, 0.3]]) == 1 / 3


def test_specialization_extremes():
    assert specialization_ratio(np.eye(4)) == 1
    assert specialization_ratio(np.eye(4)[[2, 2, 2, 2]]) == 0.25
    np.testing.assert_array_equal(specialization_ratio(np.stack([np.eye(3), np.ones((3, 3))])), [1, 1 / 3])


def test_expelled_fraction_counts_both_sides_and_not_the_edges():
    x = np.array([0.2, 0.8, 0.5])
    assert expelled_fraction(x, np.array([0.2, 0.8, 0.1, 0.9, np.inf])) == pytest.approx(3 / 5)
    np.testing.assert_array_equal(expelled_fraction(np.stack([x, x + 10]), np.stack([x, x])), [0, 1])


def test_chance_level_repeats_falls_with_size_and_is_zero_for_no_run():
    small, large = chance_level(3, range(1000, 1010)), chance_level(50, range(1000, 1010), draws=5)
    assert small.shape == (10, 20) and np.array_equal(small, chance_level(3, range(1000, 1010)))
    # Between fresh samples of one distribution the transport distance falls about like N^-1/2.
    assert 2 < np.median(small) / np.median(large) < 8


def test_chance_prototypes_are_not_the_training_data():
    x, _ = sample_task(5, 1000)
    assert chance_level(5, [1000], draws=50).min() > 1e-3 and len(x) == 5


def test_the_parts_of_a_hand_made_error():
    # The matching joins (0, 0) to (0, 3), a value error, and (1, 0) to (4, 0), a position error by a prototype outside.
    run = [0.0, 1.0], [0.0, 0.0], [4.0, 0.0], [0.0, 3.0]
    assert reconstruction_error(*run) == 3
    assert split_error(*run) == (1.5, 1.5, 1.5)
    assert split_error([0.0, 1.0], [0.0, 0.0], [0.25, 0.5], [0.0, 0.0]) == (0.375, 0, 0)


def test_the_parts_bound_the_error_and_keep_under_order_and_shift():
    x, y, p, v = np.random.default_rng(5).normal(size=(4, 30, 7))
    parts, error = split_error(x, y, p, v), reconstruction_error(x, y, p, v)
    assert parts.position.shape == (30,)
    assert (np.maximum(parts.position, parts.value) <= error).all() and (error <= parts.position + parts.value).all()
    assert (parts.expelled <= parts.position).all() and (parts.expelled > 0).any()
    order = np.random.default_rng(6).permutation(7)
    np.testing.assert_allclose(split_error(x + 2, y - 1, p[:, order] + 2, v[:, order] - 1), parts, rtol=1e-12)
    # Exchanging the axes exchanges the parts.
    np.testing.assert_allclose(split_error(y, x, v, p)[:2], (parts.value, parts.position), rtol=1e-12)


@pytest.mark.parametrize("size", [3, 9])
def test_fresh_points_fall_outside_as_often_as_order_statistics_say(size):
    share = chance_level(size, range(200), metric="expelled_fraction")
    assert share.shape == (200, 20) and share.mean() == pytest.approx(2 / (size + 1), abs=0.03)


def test_every_metric_s_chance_level_is_that_of_the_same_prototypes():
    x, y = sample_task(6, 4)
    drawn = torch.from_numpy(random_stream(6, 4, purpose=2).uniform(0, 1, (20, 6)))
    errors = [reconstruction_error(x, y, row, TARGETS["sine"](row)) for row in drawn]
    parts = np.array([split_error(x, y, row, TARGETS["sine"](row))[:2] for row in drawn]).T
    w = torch.full((20, 6), 3.0, dtype=torch.float64)
    expected = {
        "reconstruction_error": errors,
        "position_error": np.abs(np.sort(drawn) - np.sort(x)).mean(-1),
        "matched_position_error": parts[0],
        "value_error": parts[1],
        "specialization_ratio": specialization_ratio(activations(x.expand(20, -1), w, -w * drawn)),
        "expelled_fraction": expelled_fraction(x.expand(20, -1), drawn),
    }
    assert set(expected) == set(AT_CHANCE)
    for metric, levels in expected.items():
        np.testing.assert_array_equal(chance_level(6, [4], metric=metric)[0], levels)
    np.testing.assert_array_equal(chance_level(6, [4])[0], errors)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: reconstruction_error([0, np.nan], [0, 1], [0, 1], [0, 1]), "x: 1 of 2 values are NaN"),
        (lambda: reconstruction_error([0, 1], [0, 1], [0, np.inf], [0, 1]), "prototypes: 1 of 2"),
        (lambda: reconstruction_error([0, 1], [0, 1], [0, 1, 2], [0, 1, 2]), r"x \(2,\).*prototypes \(3,\)"),
        (lambda: match(*np.zeros((4, 2, 2))), "allowed is one run"),
        (lambda: specialization_ratio([1, 2]), "samples, neurons"),
        (lambda: specialization_ratio([[np.nan, 1]]), "activations: 1 of 2"),
        (lambda: expelled_fraction([0, 1], [np.nan]), "prototypes: NaN"),
        (
            lambda: expelled_fraction(np.zeros((2, 2)), [0.5]),
            r"x \(\.\.\., samples\), prototypes \(\.\.\., neurons\)",
        ),
        (lambda: chance_level(5, [1], draws=0), "draws: 0"),
        (
            lambda: chance_level(5, [1], metric="fit_mse"),
            "metric: 'fit_mse' was given; allowed are 'reconstruction_error'",
        ),
        (lambda: split_error([0, 1], [0, 1], [0, 1, 2], [0, 1, 2]), r"x \(2,\).*prototypes \(3,\)"),
        (lambda: split_error([0, 1], [0, 1], [0, np.inf], [0, 1]), "prototypes: 1 of 2"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize("dimension", [1, 2, 5])
@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e-150, 1e-90, 1e90, 1e150, 1e250])
def test_the_error_has_the_unit_of_its_points_however_small_or_large_it_is(dimension, scale):
    numbers = np.random.default_rng(0)
    x, positions = numbers.uniform(size=(2, 6, dimension)).squeeze()
    y, values = numbers.uniform(size=(2, 6))
    expected = reconstruction_error(x, y, positions, values)
    found = reconstruction_error(x * scale, y * scale, positions * scale, values * scale)
    assert found / scale == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("far", [1e90, 1e160, 1e200, 1e300])
def test_one_prototype_far_away_leaves_the_others_distances(far):
    numbers = np.random.default_rng(1)
    x, positions = numbers.uniform(size=(2, 6, 2))
    y, values = numbers.uniform(size=(2, 6))
    positions[0] = far
    found = match(x, y, positions, values)
    for sample, neuron in enumerate(found.neuron):
        expected = math.hypot(*(x[sample] - positions[neuron]), y[sample] - values[neuron])
        assert found.distance[sample] == pytest.approx(expected, rel=1e-12)


# --- other readings of the same weights ---


def test_other_readings_are_what_they_say_run_by_run():
    x, y, start = starting_batch(6, range(8), Settings(initialisation="uniform-3"))
    found = measure_every_reading(x, y, start)
    assert tuple(found) == (*METRICS, *READINGS) and all(one.shape == (8,) for one in found.values())
    assert {name: one.tolist() for name, one in measure(x, y, start).items()} == {
        name: found[name].tolist() for name in METRICS
    }
    for row in range(8):
        own = [part[row].numpy() for part in (x, y, *start)]
        x_own, y_own, w, b, a, c = own
        positions = -b / w
        values = np.array([(a * np.exp(-((w * at + b) ** 2))).sum() + c for at in positions])
        best = match(x_own, y_own, positions, values)
        apart = np.hypot(x_own - positions[best.neuron], y_own - values[best.neuron])
        responses = np.exp(-((np.outer(x_own, w) + b) ** 2))
        expected = {
            "reconstruction_error": apart.mean(),
            "root_mean_square_error": math.sqrt((apart**2).mean()),
            "value_error": np.abs(y_own - values[best.neuron]).mean(),
            "distinct_samples": len({responses[:, j].argmax() for j in range(6)}) / 6,
            "above_half": sum(responses[:, j].max() > 0.5 for j in range(6)) / 6,
            "outside_unit": sum(not 0 <= at <= 1 for at in positions) / 6,
        }
        assert {name: found[name][row] for name in expected} == pytest.approx(expected, rel=1e-10)
        assert found["root_mean_square_error"][row] >= found["reconstruction_error"][row]
        assert found["outside_unit"][row] <= found["expelled_fraction"][row], "the samples lie in [0, 1]"
    assert all(len(set(found[name].tolist())) > 1 for name in READINGS)


def test_a_run_that_is_lost_has_no_reading_and_leaves_the_others_theirs():
    x, y, start = starting_batch(5, (1, 2), Settings())
    whole = measure_every_reading(x, y, start)
    start.w[0, 2] = 0.0
    found = measure_every_reading(x, y, start)
    for name in (*METRICS, *READINGS):
        assert np.isnan(found[name][0]) and found[name][1] == whole[name][1]


@pytest.mark.parametrize("engine", ["fast", "torch"])
@pytest.mark.parametrize("activation", Activation)
def test_a_sweep_measures_the_network_that_it_trained(activation, engine):
    """With exp(-z²/2) the same weights are another network."""
    columns = [*"xywbac", "prototypes", "values", *METRICS, *READINGS]
    few = {"masks": ["111"], "sizes": [6], "seeds": [3], "steps": 40, "engine": engine}
    row = run_sweep(**few, activation=activation, columns=columns).iloc[0]
    x, y, w, b, a, c = (row[name] for name in "xywbac")
    part = {"exp(-z²)": 1.0, "exp(-z²/2)": 0.5}[activation]
    responses = np.exp(-part * (np.outer(x, w) + b) ** 2)
    at_prototypes = np.exp(-part * (np.outer(-b / w, w) + b) ** 2)
    np.testing.assert_allclose(row["prototypes"], -b / w, rtol=1e-14)
    np.testing.assert_allclose(row["values"], at_prototypes @ a + c, rtol=1e-9)
    assert row["fit_mse"] == pytest.approx(((responses @ a + c - y) ** 2).mean(), rel=1e-9)
    assert row["specialization_ratio"] == specialization_ratio(responses)
    assert row["distinct_samples"] == distinct_samples(responses)
    assert row["above_half"] == pytest.approx((responses > 0.5).any(0).mean(), rel=1e-12)
