"""Tables over stored runs by mask, size and temperature, on runs made up for them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from companion.core.data import sample_task
from companion.core.network import initial_parameters, prototypes, starting_batch
from companion.studies import expulsion, temperature
from companion.studies.alone import against_std


def test_a_mask_stands_beside_std_in_median_and_mean():
    rows = [("000", 3, 1.0), ("000", 3, 2.0), ("000", 3, 6.0), ("010", 3, 1.0), ("010", 3, 1.0), ("010", 3, 4.0)]
    runs = pd.DataFrame([*rows, ("111", 3, 9.0)], columns=["mask", "size", "reconstruction_error"])
    table = against_std(runs, "010")
    assert table.loc[3].to_dict() == {
        "000 Std, median": 2,
        "010 Cov, median": 1,
        "000 Std, mean": 3,
        "010 Cov, mean": 2,
    }
    assert list(table)[0] == "000 Std, median" and table.index.name == "N"


def run_from(size: int, seed: int, moved: dict[int, float]) -> dict[str, object]:
    """A stored run whose prototypes are those of its start but for some, moved to given places."""
    x, y = sample_task(size, seed)
    w, b, a, c = initial_parameters(size, seed)
    b = b.clone()
    for neuron, place in moved.items():
        b[neuron] = -w[neuron] * place
    arrays = {"x": x.numpy(), "y": y.numpy(), "w": w.numpy(), "b": b.numpy(), "a": a.numpy()}
    return {"mask": "000", "size": size, "seed": seed, "c": float(c), **arrays}


def test_flows_count_who_went_out_and_who_came_in():
    # Of seed 1000's five prototypes the last alone starts inside the samples.
    middle = float(sample_task(5, 1000)[0].mean())
    runs = pd.DataFrame([run_from(5, 1000, {}), run_from(5, 1000, {4: 9.0}), run_from(5, 1000, {0: middle})])
    found = expulsion.flows(runs)
    assert found["start"].tolist() == [0.8] * 3 and found["end"].tolist() == [0.8, 1.0, 0.6]
    assert found["of those inside, went out"].tolist() == [0, 1, 0]
    assert found["of those outside, came in"].tolist() == [0, 0, 0.25]
    assert expulsion.flows_at(found, 5).loc["000 Std", "end"] == pytest.approx(0.8)


def test_those_that_began_outside_are_shielded_unless_some_sample_has_them_as_its_nearest():
    x, _, start = starting_batch(5, [1000])
    middle = float(x.mean())
    runs = pd.DataFrame([run_from(5, 1000, {0: middle}), run_from(5, 1000, {2: 9.0})])
    found = expulsion.began_outside(runs)
    places = prototypes(start.w, start.b)[0]
    nearest = {int((sample - places).abs().argmin()) for sample in x[0]}
    assert found["shielded"].tolist() == [neuron not in nearest for neuron in range(4)] * 2
    assert found["came in"].tolist() == [True] + [False] * 7
    assert expulsion.returned(found).loc["000 Std", "N = 5"] == 1 / 8
    rows = expulsion.returned_by_shield(found)
    assert rows.loc["000 Std, shielded", "N = 5"] == found[found["shielded"]]["came in"].mean()


def test_sizes_are_apart_where_the_lowest_active_mask_is_above_the_highest_free_one():
    labels = ["000 Std", "001 Sep", "010 Cov", "011 Cov+Sep", "100 Ovl", "101 Ovl+Sep", "110 Ovl+Cov", "111 Full"]
    table = pd.DataFrame({"N = 3": [0.1] * 4 + [0.2] * 4, "N = 5": [0.1, 0.1, 0.1, 0.3, 0.2, 0.4, 0.4, 0.4]}, labels)
    table.loc[expulsion.BEFORE] = 0.9
    assert expulsion.sizes_apart(table) == ["N = 3"]


def test_ratios_and_expelled_shares_are_of_medians_at_each_size_and_temperature():
    rows = [
        (mask, size, heat, seed, error, share)
        for size in (2, 10)
        for heat in (0.01, 1.0)
        for mask, errors in (("000", (1.0, 2.0, 9.0)), ("001", (0.0, 2.0 * size * heat, 99.0)))
        for seed, (error, share) in enumerate(zip(errors, (0.0, heat / 4, 1.0), strict=True))
    ]
    names = ["mask", "size", "temperature", "seed", "reconstruction_error", "expelled_fraction"]
    sweep = pd.DataFrame(rows, columns=names)
    found = temperature.ratios(sweep)
    assert found["crowding"].tolist() == pytest.approx([0.04, 4, 1, 100])
    assert found["ratio"].tolist() == pytest.approx([0.02, 2, 0.1, 10])
    curves = temperature.as_curves(found)
    assert list(curves["curve"]) == ["N = 2"] * 2 + ["N = 10"] * 2 and list(curves["x"]) == list(found["crowding"])
    table = temperature.expelled(sweep)
    assert list(table) == ["N = 2", "N = 10"] and list(table.index) == ["0.01", "1"]
    np.testing.assert_allclose(table.to_numpy(), [[0.0025] * 2, [0.25] * 2])
