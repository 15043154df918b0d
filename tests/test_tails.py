"""The tails: each helper against what it stands for, and what chapter "Tails" says of its pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT

from companion.core.network import initial_parameters, prototypes
from companion.show import charts
from companion.studies.tails import neurons, spread_of_studies, tail_exponent, weight_path, worst_share
from companion.sweeps.runs import reconstruction_points

RUN = ["mask", "size", "seed"]


@pytest.fixture(scope="module")
def powered() -> pd.DataFrame:
    return pd.read_parquet(ROOT / "data" / "powered.parquet")


@pytest.fixture(scope="module")
def each(powered) -> pd.DataFrame:
    return neurons(powered)


def test_the_worst_share_is_that_of_the_largest_rounded_up():
    assert worst_share([1.0, 7.0, 2.0], 1 / 3) == 0.7
    assert worst_share([1.0, 7.0, 2.0], 0.5) == 0.9
    assert worst_share(np.ones(200), 0.05) == pytest.approx(0.05)
    assert worst_share([3.0], 0.05) == 1


def test_neurons_give_back_each_run(replication):
    rows = neurons(replication)
    groups = rows.groupby(RUN, sort=False)
    np.testing.assert_allclose(groups["distance"].mean(), replication["reconstruction_error"], rtol=1e-9)
    np.testing.assert_array_equal(groups["expelled"].mean(), replication["expelled_fraction"])
    np.testing.assert_allclose(np.hypot(rows["sideways"], rows["upright"]), rows["distance"], rtol=1e-12)
    run = replication.iloc[-1]
    mine, points = rows.tail(run["size"]), reconstruction_points(run)
    np.testing.assert_allclose(mine[["prototype", "distance"]], points[["prototype", "distance"]], rtol=1e-9)
    start = initial_parameters(run["size"], run["seed"])
    np.testing.assert_array_equal(mine["start"], prototypes(start.w, start.b))
    np.testing.assert_array_equal(mine["crossed"], np.sign(start.w.numpy()) != np.sign(run["w"]))


def test_a_weight_path_leads_from_the_draw_to_the_stored_weights(replication):
    run = replication[(replication["mask"] == "010") & (replication["size"] == 5)].iloc[0]
    path = weight_path("010", 5, run["seed"], [0, 100, 2000])
    assert torch.equal(path.w[0], initial_parameters(5, run["seed"]).w)
    np.testing.assert_array_equal(path.w[2], run["w"])
    assert path.c.shape == (3,) and path.w.shape == (3, 5)


@pytest.mark.parametrize("alpha", [0.8, 2.0])
def test_the_exponent_of_a_pareto_tail_is_found(alpha):
    values = 1 + np.random.default_rng(3).pareto(alpha, 20_000)
    found = tail_exponent(np.repeat(np.arange(2000), 10), values, 1.0)
    assert found.low < alpha < found.high and found.value == pytest.approx(1 / np.log(values).mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * alpha / np.sqrt(20_000), rel=0.2)


def test_the_exponent_s_interval_counts_runs_and_not_neurons():
    values = 1 + np.random.default_rng(3).pareto(1.0, 200)
    alone, copied = (tail_exponent(np.tile(np.arange(200), n), np.tile(values, n), 1.0) for n in (1, 9))
    assert copied == pytest.approx(alone)
    assert np.isnan(tail_exponent([1, 1], [5.0, 6.0], 1.0)).all()


def test_the_spread_of_studies():
    assert spread_of_studies(np.full(50, 3.0)) == pytest.approx({"mean": 1.0, "trimmed": 1.0, "median": 1.0})
    values = np.r_[np.ones(199), 1000.0]
    found = spread_of_studies(values)
    assert found["median"] == found["trimmed"] == 1 and found["mean"] == pytest.approx(1009 / 10)
    assert spread_of_studies(values * 7)["mean"] == pytest.approx(found["mean"])


def test_curve_panels_share_curves_and_mark_powers():
    frame = pd.DataFrame({"x": [0, 1, 2], "value": [0.5, np.nan, -300.0], "curve": "one"})
    spec = charts.curve_panels({"plain": (None, frame), "stretched": (1.0, frame)}, "step").to_dict()
    plain, stretched = (panel["layer"][1]["encoding"]["y"] for panel in spec["concat"])
    assert "values" not in plain["axis"] and stretched["axis"]["values"] == [0.0, -1.0, -10.0, -100.0]
    assert stretched["scale"] == {"type": "symlog", "constant": 1.0}


@pytest.mark.slow
def test_the_tail_before_training_is_the_one_of_the_equation(each):
    before = each[each["mask"] == "000"]["start"].abs()
    for t in (0.1, 1.0, 10.0):
        assert (before > t).mean() == pytest.approx(1 / (20 * t), rel=0.1)


@pytest.mark.long
def test_what_the_alternative_texts_of_the_chapter_say_is_so(powered, each):
    rows = each.assign(error=each.groupby(RUN, sort=False)["distance"].transform("sum") / each["size"])
    farthest = rows.loc[rows.groupby(RUN, sort=False)["distance"].idxmax()]
    farthest = farthest[farthest["sideways"] > farthest["upright"]].sort_values("error", ascending=False)
    drawn = farthest.drop_duplicates("mask").set_index("mask").loc[["000", "001", "010", "100"]]
    assert (drawn["w"].abs() < 1 / 50).all() and (drawn["prototype"].abs() > 50).all()  # the paths
    for mask, row in drawn.iterrows():  # next to a change of sign the prototype is far out on both sides
        path = weight_path(mask, row["size"], row["seed"], range(0, 2001, 10))
        w, at = (values[:, row["neuron"]].numpy() for values in (path.w, prototypes(path.w, path.b)))
        for turn in np.flatnonzero(np.sign(w[1:]) != np.sign(w[:-1])):
            assert at[turn] * at[turn + 1] < 0 and np.abs(at[turn : turn + 2]).min() > 10

    beyond = {
        mask: [(group["prototype"].abs() > t).mean() for t in (10, 30, 100)] for mask, group in each.groupby("mask")
    }
    line = [1 / (20 * t) for t in (10, 30, 100)]  # the survival curves
    assert all(np.less(beyond["000"], line) & np.less(beyond["010"], line) & np.greater(beyond["101"], line))
    for _, group in each.groupby("mask"):
        run = group.groupby(RUN).ngroup()
        assert 0.8 < tail_exponent(run, group["prototype"].abs(), 10.0).value < 1.25

    spreads = powered.groupby(["mask", "size"])["reconstruction_error"].apply(spread_of_studies).unstack()
    middle = spreads.groupby("size").median()  # the studies
    assert (middle["mean"] > middle["trimmed"]).all() and (middle["trimmed"] > middle["median"]).all()
    assert (middle.loc[100, ["trimmed", "median"]] < middle.loc[3, ["trimmed", "median"]]).all()


@pytest.mark.long
def test_what_the_chapter_says_in_words_is_so(powered, each):
    rows = each.assign(error=each.groupby(RUN, sort=False)["distance"].transform("sum") / each["size"])
    farthest = rows.loc[rows.groupby(RUN, sort=False)["distance"].idxmax()]
    worst = farthest[farthest.groupby(["mask", "size"])["error"].rank(ascending=False) <= 10]
    height = (worst["upright"] > worst["sideways"]).groupby(worst["size"]).mean()
    assert (height[[3, 5, 10]] > 0.5).all() and (height[[20, 50, 100]] < 0.2).all()  # a way of small networks
    errors = powered.groupby(["mask", "size"])["reconstruction_error"]
    alone = errors.apply(lambda group: group.max() / group.sum()).groupby("size").median()
    assert alone[3] > alone[100]
    owed = rows["distance"].where(rows["expelled"], 0).groupby([rows[name] for name in RUN]).sum()
    share = (owed / rows.groupby(RUN)["distance"].sum()).groupby(["mask", "size"]).median()
    assert (share > 0.8).all()
