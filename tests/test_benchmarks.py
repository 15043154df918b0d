"""Benchmarks: contenders train the same networks, the floor counts every exponential, a run writes what it measured."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from itertools import combinations, product
from pathlib import Path

import pytest
import torch

from benchmarks import floor, loop, ours
from benchmarks.timing import extrapolated
from benchmarks.work import Work, jobs_of, start_of
from companion.core.losses import total_loss
from companion.core.network import Parameters
from companion.core.settings import MASKS, Settings, Switches
from companion.sweeps.universes import AXES

ROOT = Path(__file__).parents[1]


def test_work_is_the_paper_s():
    work = Work()
    assert work.runs == 480
    assert sum(len(job.seeds) for job in jobs_of(work)) == 480
    assert [job.size for job in jobs_of(work)] == sorted((job.size for job in jobs_of(work)), reverse=True)


@pytest.mark.long
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("contender", ["loop", "jax", "jax_whole", "fast"])
def test_contenders_train_alike(contender, mask):
    if contender == "jax":
        pytest.importorskip("jax")
        from benchmarks.jax_batch import train_all
    elif contender == "jax_whole":
        pytest.importorskip("jax")
        from benchmarks.jax_whole import train_all
    elif contender == "fast":
        train_all = ours.train_all_fast
    else:
        train_all = loop.train_all
    start = start_of(5, [1, 2])
    for given, expected in zip(train_all(start, mask, 20), ours.train_all_torch(start, mask, 20), strict=True):
        torch.testing.assert_close(given, expected, rtol=0, atol=1e-9)


def test_jax_trains_large_networks_alike():
    """From 50 neurons on, JAX trains a job's runs one after another."""
    pytest.importorskip("jax")
    from benchmarks.jax_batch import ALONE, train_all

    start = start_of(ALONE, [1, 2])
    for given, expected in zip(train_all(start, "111", 5), ours.train_all_torch(start, "111", 5), strict=True):
        torch.testing.assert_close(given, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("mask", MASKS)
def test_floor_counts_the_formulas_exponentials(mask):
    """Against the loss written number by number, each exponential counted where it is evaluated."""
    size, temperature, calls = 6, 1e-2, Counter()

    def exp(value: float) -> float:
        calls[mask] += 1
        return math.exp(value)

    x, y, parameters = (
        value[0] if isinstance(value, torch.Tensor) else [v[0] for v in value] for value in start_of(size, [3])
    )
    assert math.isclose(
        loss_by_number(x.tolist(), y.tolist(), [value.tolist() for value in parameters], MASKS[mask], temperature, exp),
        float(total_loss(x, y, Parameters(*parameters), Settings(mask, temperature=temperature))),
        rel_tol=1e-12,
    )
    assert floor.exponentials_a_step(mask, size) == calls[mask]


def loss_by_number(x: list, y: list, parameters: list, switches: Switches, temperature: float, exp) -> float:
    w, b, a, c = parameters
    neurons = range(len(w))
    pairs = len(w) * (len(w) - 1)
    h = [[exp(-((w[j] * point + b[j]) ** 2)) for j in neurons] for point in x]
    loss = sum((sum(a[j] * row[j] for j in neurons) + c - t) ** 2 for row, t in zip(h, y, strict=True)) / len(x)
    if switches.overlap:
        loss += sum(row[j] * row[k] for row in h for j, k in product(neurons, repeat=2) if j != k) / len(x) / pairs
    q = [-b[j] / w[j] for j in neurons]
    if switches.coverage:
        for point in x:
            nearest = min((point - position) ** 2 for position in q)
            weights = [exp((nearest - (point - position) ** 2) / temperature) for position in q]
            loss += (nearest - temperature * math.log(sum(weights))) / len(x)
    if switches.separation:
        loss += 2 * sum(exp(-((q[j] - q[k]) ** 2) / temperature) for j, k in combinations(neurons, 2)) / pairs
    return loss


def test_floor_evaluates_what_it_counts():
    evaluated = []
    floor.floor(lambda source, target: evaluated.append(source.size), 3 * floor.BLOCK * 2, cores=2)
    assert sum(evaluated) == 3 * floor.BLOCK * 2
    work = Work(masks=("010",), sizes=(3, 4), seeds=(1, 2), steps=7)
    assert floor.exponentials(work) == 7 * 2 * (2 * 9 + 2 * 16)


def test_extrapolation_continues_the_cost_of_a_step(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("benchmarks.timing.time.perf_counter", lambda: clock[0])

    def run(steps: int) -> None:
        clock[0] += 5 + 0.25 * steps

    assert extrapolated(run, 10, 60, 2000) == pytest.approx(5 + 0.25 * 2000)


def test_quick_run_writes_what_it_measured(tmp_path):
    pytest.importorskip("jax")
    out = tmp_path / "benchmarks.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--out", str(out)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "32 runs of 20 steps" in printed
    result = json.loads(out.read_text(encoding="utf-8"))
    assert {"date", "machine", "versions", "settings", "contenders", "ratios"} <= set(result)
    assert {"nanoseconds_an_exponential", "fast_by_size", "fast_growth", "profile"} <= set(result)
    assert {"fast", "jax", "loop", "floor", "torch_batched"} <= set(result["contenders"])
    assert all(row["seconds"] > 0 and row["repeats"] == 1 for row in result["contenders"].values())
    assert result["contenders"]["fast"]["compile_seconds"] > 0 and result["contenders"]["jax"]["compile_seconds"] > 0
    over_fast = {"loop_over_fast", "jax_over_fast", "jax_whole_over_fast"}
    assert set(result["ratios"]) == over_fast | {"fast_over_floor", "fast_over_own_floor"}
    assert set(result["fast_by_size"]) == {"3", "5"}
    assert [path.name for path in tmp_path.iterdir()] == ["benchmarks.json"]


@pytest.mark.long
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_nothing_is_written(tmp_path):
    out = tmp_path / "benchmarks.json"
    out.write_text("{}", encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert out.read_text(encoding="utf-8") == "{}"


def test_a_step_of_every_level_is_measured(tmp_path):
    out = tmp_path / "benchmarks.json"
    command = [sys.executable, "-m", "benchmarks.levels", "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and not out.exists() and "python -m benchmarks writes it" in done.stderr
    out.write_text('{"date": "kept"}', encoding="utf-8")
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    result = json.loads(out.read_text(encoding="utf-8"))
    rows = result["levels"]["steps"]
    assert result["date"] == "kept" and all(row["microseconds"] > 0 for row in rows)
    expected = [(axis, level.name, 3) for axis, levels in AXES.items() if axis != "steps" for level in levels]
    assert [(row["axis"], row["level"], row["size"]) for row in rows] == expected


def test_what_the_chapter_s_pictures_say_is_so():
    """Chapter "How fast, and how it survives": the texts that stand in place of its two pictures."""
    stored = json.loads((ROOT / "data/benchmarks.json").read_text(encoding="utf-8"))
    seconds = {name: row["seconds"] for name, row in stored["contenders"].items()}
    fast = seconds["fast"]
    assert seconds["own_floor"] < fast < 3 * seconds["own_floor"]
    assert 2 * fast < seconds["jax"] < seconds["jax_whole"] < 20 * fast
    assert 20 * fast < seconds["torch_batched"] < 100 * fast < seconds["loop"] < 1000 * fast
    for mask in ("000", "111"):
        step = {row["size"]: row["step_seconds"] for row in stored["fast_growth"] if row["mask"] == mask}
        squares = {size: value / size**2 for size, value in step.items()}
        assert squares[3] > 3 * squares[20] and max(squares.values()) == squares[3]
        assert 0.5 < squares[2000] / squares[100] < 2
