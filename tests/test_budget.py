"""Long trainings and the second optimiser."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT

from companion.core.losses import total_loss
from companion.core.network import Parameters, initial_parameters, starting_batch
from companion.core.settings import Attractor, Settings
from companion.engine import driver
from companion.studies import budget
from companion.sweeps.measures import METRICS, measure
from companion.sweeps.sweep import PAPER_SIZES


@pytest.fixture(scope="module")
def runs():
    return budget.stored_budget(ROOT / "data")


def short(monkeypatch, optimiser: str) -> pd.DataFrame:
    monkeypatch.setattr(budget, "LONGEST", 40)
    monkeypatch.setattr(budget, "STEPS", (0, 4, 40))
    monkeypatch.setattr(budget, "EVALUATIONS", {"L-BFGS": 60, "Adam, then L-BFGS": 30})
    settings = Settings("110", attractor=Attractor.TRANSPORT, balance=10.0)
    return budget.train_long(budget.Job(settings, 5, (8000, 8001), optimiser))


def test_a_long_training_is_measured_on_its_way(monkeypatch):
    rows = short(monkeypatch, "Adam")
    assert rows["step"].tolist() == [0, 0, 4, 4, 40, 40] and rows["seed"].tolist() == [8000, 8001] * 3
    x, y, start = starting_batch(5, (8000, 8001))
    assert rows["weight"][:2].tolist() == start.w.abs().median(dim=1).values.tolist()
    for metric, values in measure(x, y, start).items():
        np.testing.assert_array_equal(rows[metric][:2], values)
    assert (rows["loss"][4:].to_numpy() < rows["loss"][:2].to_numpy()).all()
    assert rows["w"].isna().tolist() == [True] * 4 + [False] * 2
    ends = Parameters(*(torch.tensor(np.stack(list(rows[name][4:]))) for name in ("w", "b", "a", "c")))
    settings = Settings("110", attractor=Attractor.TRANSPORT, balance=10.0)
    np.testing.assert_allclose(rows["loss"][4:], total_loss(x, y, ends, settings), rtol=1e-12)


def test_the_gradient_norm_is_the_length_of_the_loss_s_gradient():
    x, y, start = starting_batch(3, (8000,))
    settings, found = Settings("111", temperature=1e-2), []
    for number, value in enumerate(start):
        for place in range(value.numel()):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [other.clone() for other in start]
                moved[number].view(-1)[place] += step
                ends.append(total_loss(x, y, Parameters(*moved), settings).item())
            found.append((ends[0] - ends[1]) / 2e-6)
    norm = budget.measured(x, y, start, settings)["gradient_norm"]
    assert norm == pytest.approx(np.linalg.norm(found), rel=1e-6)


@pytest.mark.parametrize("optimiser", ["L-BFGS", "Adam, then L-BFGS"])
def test_the_second_optimiser_lowers_the_loss_from_where_it_starts(monkeypatch, optimiser):
    before = short(monkeypatch, "Adam")
    first = before["loss"][:2] if optimiser == "L-BFGS" else before["loss"][4:]
    rows = short(monkeypatch, optimiser)
    assert (rows["loss"].to_numpy() < first.to_numpy()).all()
    assert (rows["step"] <= budget.EVALUATIONS[optimiser] + 25).all()  # the search under way is ended first


def test_l_bfgs_ends_where_the_gradient_is_next_to_nothing():
    job = budget.Job(Settings("000"), 3, (8000,), "L-BFGS")
    rows = budget.train_long(job)
    assert rows["gradient_norm"].item() < 1e-8 and rows["step"].item() < budget.EVALUATIONS["L-BFGS"]


def test_a_prototype_at_infinity_is_taken_back():
    x, y, _ = starting_batch(3, (8000,))
    start = initial_parameters(3, 8000)
    start = Parameters(*(value[None] for value in start))
    w = start.w.clone()
    w[0, 0] = 1e-160  # a prototype so far that its squared distance is no number
    job = budget.Job(Settings("010"), 3, (8000,), "L-BFGS")
    ends, _ = budget.quasi_newton(x, y, start._replace(w=w), job)
    assert all(value.isfinite().all() for value in ends)


def test_what_is_finished_is_not_trained_again(monkeypatch, tmp_path):
    done = []

    def train(job):
        done.append(job.size)
        return pd.DataFrame({"label": ["000"], "size": [job.size], "seed": [1], "optimiser": ["Adam"], "step": [0],
                             **{name: [[1.0]] for name in "wba"}, "c": [0.0]})  # fmt: skip

    jobs = [budget.Job(Settings("000"), size, (1,), "Adam") for size in (3, 5)]
    monkeypatch.setattr(budget, "design", lambda: jobs)
    monkeypatch.setattr(budget, "train_long", train)
    monkeypatch.setattr(budget.os, "cpu_count", lambda: None)  # in this process
    (tmp_path / "data").mkdir()
    budget.write_budget(tmp_path, tmp_path / "parts")
    next(iter((tmp_path / "parts").glob("*N3.parquet"))).unlink()
    budget.write_budget(tmp_path, tmp_path / "parts")
    assert done == [3, 5, 3]
    assert len(pd.read_parquet(tmp_path / "data/budget.parquet")) == 2
    assert "w" not in pd.read_parquet(tmp_path / "data/budget.parquet")


def test_the_stored_sweep_is_the_design_with_no_run_dropped(runs):
    adam = runs[runs["optimiser"] == "Adam"]
    keys = ["label", "size", "seed", "step"]
    labels = [settings.label for settings in budget.SETTINGS]
    expected = pd.MultiIndex.from_product([labels, PAPER_SIZES, budget.SEEDS, budget.STEPS])
    assert set(map(tuple, adam[keys].to_numpy())) == set(expected) and len(adam) == len(expected)
    others = runs[runs["optimiser"] != "Adam"]
    assert others.groupby("optimiser").size().tolist() == [12 * 6 * 5] * 2
    assert runs[list(METRICS)].notna().all(axis=None)
    total = sum((ROOT / f"data/budget{part}.parquet").stat().st_size for part in ("", "-networks"))
    assert total < 20e6


def test_the_stored_networks_give_what_is_stored_of_them(runs):
    ends = pd.read_parquet(ROOT / "data/budget-networks.parquet")
    assert len(ends) == 12 * 6 * (30 + 5 + 5)
    keys = ["label", "size", "seed", "optimiser", "step"]
    both = runs.merge(ends, on=keys)
    assert len(both) == len(ends)
    settings = {one.label: one for one in budget.SETTINGS}
    for (label, size), group in both.groupby(["label", "size"]):
        some = group.iloc[::13]
        x, y, _ = starting_batch(size, some["seed"].tolist())
        of = Parameters(*(torch.tensor(np.stack(list(some[name]))) for name in ("w", "b", "a", "c")))
        for name, values in budget.measured(x, y, of, settings[label]).items():
            np.testing.assert_allclose(values, some[name], rtol=1e-5, atol=1e-9, err_msg=f"{label} {size} {name}")


def test_the_first_steps_are_trained_again(runs):
    early = runs[(runs["optimiser"] == "Adam") & (runs["step"] == 20) & (runs["size"] == 10)]
    for settings in budget.SETTINGS:
        own = early[early["label"] == settings.label].iloc[:5]
        x, y, start = starting_batch(10, own["seed"].tolist())
        at = driver.train(x, y, start, settings.but(steps=20)).parameters
        np.testing.assert_allclose(total_loss(x, y, at, settings), own["loss"], rtol=1e-6)
