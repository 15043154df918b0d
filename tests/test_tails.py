"""The tails: each helper against what it stands for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from companion.core.network import initial_parameters, prototypes
from companion.show import charts
from companion.studies import tails
from companion.studies.tails import neurons, spread_of_studies, tail_exponent, weight_path, worst_share
from companion.sweeps.runs import reconstruction_points

RUN = ["mask", "size", "seed"]


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


def of_neurons(*rows: dict) -> pd.DataFrame:
    """Neurons as `neurons` returns them, each near its original unless a row says otherwise."""
    usual = {"mask": "000", "size": 2, "seed": 1, "neuron": 0, "start_w": 5.0, "start": 0.5, "w": 5.0, "prototype": 0.5}
    usual |= {"crossed": False, "expelled": False, "sideways": 0.2, "upright": 0.1, "distance": 0.3}
    return pd.DataFrame([{**usual, **row} for row in rows])


def test_the_carrier_of_a_run_is_its_farthest_neuron():
    farthest = tails.carriers(of_neurons({}, {"neuron": 1, "distance": 0.9}, {"seed": 2, "distance": 4.0}, {"seed": 2}))
    assert farthest["neuron"].tolist() == [1, 0] and farthest.index.tolist() == [("000", 2, 1), ("000", 2, 2)]
    assert farthest["error"].tolist() == pytest.approx([0.6, 2.15])
    assert farthest["share"].tolist() == pytest.approx([0.75, 4 / 4.3])
    assert tails.worst_runs(farthest).index.tolist() == [("000", 2, 2)]
    assert len(tails.worst_runs(farthest, 0.6)) == 2, "rounded up"
    table = tails.highest_runs(farthest, 1)
    assert table.index.tolist() == ["000 Std"] and table["share of one neuron"].tolist() == ["93%"]


def test_what_happened_to_a_neuron():
    found = tails.kinds(
        of_neurons(
            {},
            {"w": -0.05, "crossed": True},
            {"w": 0.05, "start": 1.2},
            {"w": -0.2, "crossed": True, "upright": 0.3},
        )
    )
    columns = [[0, 1, 0, 1], [0, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(found.to_numpy().T, columns)


def test_the_runs_drawn_are_the_highest_whose_neuron_is_off_in_place():
    farthest = tails.carriers(
        of_neurons(
            {"distance": 9.0, "upright": 8.0},
            {"seed": 2, "distance": 2.0},
            {"seed": 3, "distance": 1.0},
            {"mask": "100", "distance": 5.0},
            {"mask": "111", "distance": 5.0},
        )
    )
    assert tails.drawn_runs(farthest)[RUN].to_numpy().tolist() == [["000", 2, 2], ["100", 2, 1]]


def test_a_curve_of_prototypes_has_a_gap_where_w_changes_its_sign():
    path = pd.DataFrame({"mask": "000", "step": [0, 2, 4], "w": [0.5, -0.5, -0.25], "prototype": [1.0, -1.0, -2.0]})
    panels = tails.path_panels(path.assign(crossed=[False, True, False]))
    (_, weights), (_, places) = panels["w"], panels["prototype -b/w"]
    assert weights["value"].tolist() == [0.5, -0.5, -0.25]
    np.testing.assert_array_equal(places["value"], [1.0, np.nan, -1.0, -2.0])
    assert places["x"].tolist() == [0, 2, 2, 4]


def test_medians_with_and_without_a_change_of_sign_are_of_five_runs_or_more():
    rows = [{"seed": seed, "crossed": seed < 5, "distance": seed} for seed in range(10)]
    rows += [{"mask": "001", "seed": seed, "crossed": seed < 4, "distance": 1.0} for seed in range(10)]
    found = tails.sign_changes(of_neurons(*rows))
    assert found["changed"].tolist() == [5, 4] and found["runs"].tolist() == [10, 10]
    assert found.loc[("000", 2), ["with", "without"]].tolist() == [2, 7]
    assert tails.with_and_without(found).tolist() == ["2 / 7", "–"]


def test_survival_is_the_share_beyond_on_either_side():
    np.testing.assert_array_equal(
        tails.survival([-3.0, 0.5, 1.0, 20.0], np.array([0.1, 1.0, 2.0, 30.0])), [1, 0.5, 0.5, 0]
    )


def test_what_is_owed_to_the_expelled_is_their_part_of_e():
    out = {"expelled": True, "distance": 0.9}
    parts = tails.owed(of_neurons(out, {}, {"seed": 2}, {"seed": 2}, {"seed": 3, **out}, {"seed": 3, **out}))
    assert parts.loc[("000", 2)].to_dict() == pytest.approx({"owed": 0.75, "expelled": 0.5})


def test_a_table_s_kinds_are_shares_of_all_neurons_and_of_the_worst():
    each = of_neurons({"w": 0.01, "distance": 2.0}, {}, {"seed": 2}, {"seed": 2})
    shares = tails.shares_of_kinds(each, tails.worst_runs(tails.carriers(each)))
    assert shares.loc[tails.SMALL].tolist() == [0.25, 1, 1]
    assert shares.columns.tolist() == ["all neurons", "the farthest of a worst run", "… at N = 2"]
