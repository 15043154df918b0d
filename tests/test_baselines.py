"""Baselines: each is what its name says, and scores what known limits ask for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from companion.core.data import TARGETS, sample_task
from companion.core.network import Parameters, initial_parameters
from companion.judging import baselines
from companion.judging.baselines import BASELINES, ORACLE, baseline_summary
from companion.judging.chance import AT_CHANCE, chance_summary
from companion.sweeps.measures import METRICS, measure

RUNS = pd.DataFrame({"size": np.repeat([4, 9], 3), "seed": [8000, 8001, 8002] * 2})


@pytest.mark.parametrize("metric", [name for name in METRICS if name != "fit_mse"])
def test_the_untrained_network_scores_what_measure_says_of_the_start(metric):
    rows = baseline_summary(RUNS, metric, ("untrained",)).set_index("size")
    for size in (4, 9):
        starts = [initial_parameters(size, seed) for seed in (8000, 8001, 8002)]
        together = Parameters(*(torch.stack(values) for values in zip(*starts, strict=True)))
        x, y = (
            torch.stack(values)
            for values in zip(*(sample_task(size, seed) for seed in (8000, 8001, 8002)), strict=True)
        )
        expected = measure(x, y, together)[metric]
        assert rows.loc[size, "median"] == pytest.approx(np.median(expected), rel=1e-9)
        assert rows.loc[size, "mean"] == pytest.approx(np.mean(expected), rel=1e-9)


@pytest.mark.parametrize("target", TARGETS)
def test_on_the_curve_only_the_values_change(target):
    start, moved = (BASELINES[name](6, 8000, target) for name in ("untrained", "untrained, on the curve"))
    assert torch.equal(start.prototypes, moved.prototypes) and torch.equal(start.responses, moved.responses)
    assert torch.equal(moved.values, TARGETS[target](start.prototypes))
    assert not torch.allclose(start.values, moved.values)


def test_evenly_spaced_points_are_the_middles_of_equal_parts():
    points = BASELINES["evenly spaced"](4, 8000, "sine")
    assert points.prototypes.tolist() == [0.125, 0.375, 0.625, 0.875]
    assert points.values.tolist() == pytest.approx(
        [0.5 + 0.5 * np.sin(2 * np.pi * x) for x in (0.125, 0.375, 0.625, 0.875)]
    )


def test_centres_at_the_data_have_no_error_and_one_neuron_a_sample():
    for metric in AT_CHANCE:
        levels = baseline_summary(RUNS, metric, ("centres at the data",))
        assert (levels["median"] == (1.0 if metric == "specialization_ratio" else 0.0)).all(), metric


def test_the_oracle_s_draw_is_the_chance_level():
    drawn, chance = baseline_summary(RUNS, names=(ORACLE,)), chance_summary(RUNS)
    pd.testing.assert_frame_equal(drawn[list(chance)], chance, check_like=True)


def test_a_target_of_their_own_is_followed():
    runs = RUNS.assign(target="step")
    assert set(BASELINES["evenly spaced"](5, 8000, "step").values.tolist()) == {0.0, 1.0}
    assert baseline_summary(runs)["median"].ne(baseline_summary(RUNS)["median"]).any()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"metric": "fit_mse"}, "metric: 'fit_mse' was given; allowed are 'reconstruction_error'"),
        ({"names": ("chance",)}, "names: 'chance' was given; allowed are 'untrained'"),
    ],
)
def test_what_is_no_baseline_or_has_none_is_named(given, says):
    with pytest.raises(ValueError, match=says):
        baseline_summary(RUNS, **given)


def test_every_baseline_that_is_drawn_exists():
    assert set(baselines.DRAWN) <= {*BASELINES, ORACLE}
