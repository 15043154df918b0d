"""What appendix B says of the stored runs of both engines, of the benchmarks, and of a store that refuses."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ROOT
from literate import prose, says

from companion.core.settings import MASK_LABELS
from companion.studies import engine
from companion.sweeps.sweep import run_sweep

states = says("91-engine")
DATA = ROOT / "data"


@pytest.fixture(scope="module")
def both():
    return engine.both_engines(*engine.stored_runs(DATA))


@pytest.fixture(scope="module")
def benchmarks():
    return engine.stored_benchmarks(DATA)


@pytest.fixture(scope="module")
def seconds(benchmarks):
    return engine.race(benchmarks)["best"]


@states("so a run takes memory in proportion to $N$")
def test_a_run_takes_memory_in_proportion_to_n():
    held = engine.memory()["memory"].str.removesuffix(" kB").astype(float)
    assert held["N = 2000"] < 2 * held["N = 1000"] and held["N = 1000"] < 10 * held["N = 100"]


@states(
    "of {runs} runs end with another E",
    "over 2,000 steps some runs end elsewhere",
)
def test_some_runs_end_elsewhere_and_most_do_not(both):
    assert 0 < both["elsewhere"].sum() < 0.1 * len(both)
    assert engine.elsewhere(both).to_numpy().sum() == both["elsewhere"].sum()


@states(
    "Counts of @sec-replication that moved: {counts-moved} of {counts} (C2 by median: {c2-fast} now, "
    "{c2-plain} with the plain engine)",
)
def test_of_the_counts_c2_by_median_moved_and_no_other():
    counts = engine.moved_counts(*engine.stored_runs(DATA))
    assert list(counts.index[counts["fast"] != counts["plain"]]) == [("C2", "by median")]


@states("The fast engine stands close above the floor of its own exponentials")
def test_the_fast_engine_stands_close_above_the_floor_of_its_own_exponentials(seconds):
    assert 1 < seconds["fast engine"] / seconds["only the exponentials, our own"] < 1.5


@states(
    "both JAX versions take several times as long, batched PyTorch tens of times, the loop over runs hundreds of times"
)
def test_jax_takes_several_times_as_long_batched_pytorch_tens_and_the_loop_hundreds_of_times(seconds):
    times = seconds / seconds["fast engine"]
    assert 2 < times["JAX, tuned"] < times["JAX, whole sizes"] < 20
    assert 20 < times["PyTorch, batched"] < 100 and 200 < times["PyTorch, one run after another"] < 1000


@states("A goal is missed against the JAX that we tuned")
def test_the_one_goal_that_is_missed_is_against_the_jax_that_we_tuned(benchmarks):
    goals = engine.goals(benchmarks)
    assert list(goals.index[goals["met"] == "no"]) == ["JAX, tuned"]


@states(
    "times what the formulas' exponentials alone take with ours, so no engine that evaluates all of them could meet it"
)
def test_an_eighth_of_jax_s_time_is_less_than_the_exponentials_take(seconds):
    assert seconds["JAX, tuned"] / 8 < seconds["only the exponentials, our own"]


@states("What ours takes beyond the exponentials is in the table.")
def test_the_parts_of_a_step_add_up(benchmarks):
    parts = engine.parts_of_a_step(benchmarks)["microseconds"]
    assert parts.min() > 0
    assert parts.sum() == pytest.approx(benchmarks["profile"]["microseconds"]["whole gradient"], rel=1e-9)


@states(
    "A step's cost is that of its pairs, $N^2$, once there are enough of them",
    "From N = 100 to 2,000 the time grows like",
)
def test_from_a_hundred_neurons_on_the_time_grows_like_n_squared(benchmarks):
    exponents = engine.growth_exponents(engine.growth(benchmarks))
    assert exponents.pop("slope two") == pytest.approx(2, abs=1e-9)
    assert all(abs(exponent - 2) < 0.06 for exponent in exponents.values())


@states("Both curves fall less than the line towards small N, where fixed costs rule, and run along its slope from N =")
def test_both_curves_run_along_the_slope_of_two_from_n_100_on_and_fall_less_below(benchmarks):
    curves = engine.growth(benchmarks).pivot(index="x", columns="curve", values="value")
    for mask in ("000", "111"):
        ratio = curves[MASK_LABELS[mask]] / curves["slope two"]
        ratio /= ratio.iloc[-1]
        assert (ratio[ratio.index <= 20] > 2).all() and ratio.loc[:100].is_monotonic_decreasing
        assert (abs(ratio[ratio.index >= 100] - 1) < 0.2).all()


@states("No machine with a GPU was at hand.")
def test_no_gpu_was_measured(benchmarks):
    assert "gpu" not in benchmarks


@states("the store refuses:", "The error names the part and says what to do:")
def test_a_store_refuses_runs_of_the_other_engine_in_the_words_that_the_chapter_quotes(tmp_path):
    design = {"masks": ["000", "100"], "sizes": [5], "steps": 200, "seeds": [1, 2], "store": tmp_path / "runs"}
    run_sweep(**design)
    with pytest.raises(ValueError, match="store") as refused:
        run_sweep(**design, engine="torch")
    words = str(refused.value).replace(f"{tmp_path}/", "")
    part = next((tmp_path / "runs").glob("000-*.parquet")).name
    assert words.replace(part, part.split("-N5")[0] + "-N5-…") in prose("91-engine")


def test_shares_of_pairs_that_are_felt(replication):
    """Two prototypes beside one sample and one far away: of three pairs of prototypes one is felt."""
    run = replication.iloc[0].copy()
    run["temperature"] = 1e-4
    for name, value in {"x": [0.0, 0.1, 5.0], "w": [1.0, 1.0, 1.0], "b": [0.0, -0.1, -9.0]}.items():
        run[name] = np.array(value)
    coverage, separation = engine.share_felt(run)
    # The sample at 5 has its nearest prototype at 9, so only that one counts there; the other two feel two each.
    assert separation == pytest.approx(1 / 3) and coverage == pytest.approx(5 / 9)
