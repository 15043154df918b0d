"""Runs from weights that differ in the last bit, and what chapter "How far rounding travels" reads off them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT

from companion.core.network import initial_parameters
from companion.core.settings import MASKS
from companion.studies import rounding
from companion.studies.rounding import FEW_SEEDS, FEWER_STEPS, one_ulp_up, trained_again
from companion.sweeps.measures import METRICS

KEY = ["mask", "size", "seed"]
SUMMED = {"rtol": 1e-9, "atol": 1e-12}
"""How near metrics are that another processor summed of the same weights; another weight shows far above that."""


def test_every_input_weight_moves_to_the_next_number_and_nothing_else_moves():
    start = initial_parameters(20, 7)
    up = one_ulp_up(start)
    np.testing.assert_array_equal(up.w, np.nextafter(start.w.numpy(), np.inf))
    assert (up.w > start.w).all() and torch.equal(torch.nextafter(up.w, start.w), start.w)
    assert all(one is other for one, other in zip(up[1:], start[1:], strict=True))


def test_unmoved_runs_are_the_stored_ones(replication):
    again = trained_again(["111", "000"], [5, 20], [1003, 1001], moved=False)
    assert list(again.columns) == [*KEY, *METRICS]
    assert again[KEY].to_numpy().tolist() == [[m, n, s] for m in ("111", "000") for n in (5, 20) for s in (1003, 1001)]
    stored = again[KEY].merge(replication, on=KEY)
    np.testing.assert_allclose(again[list(METRICS)], stored[list(METRICS)], **SUMMED)


def test_moved_runs_start_beside_the_others_and_end_elsewhere_by_chance():
    for steps, near in ((0, 1e-9), (50, 1e-6)):
        one, other = (trained_again(["011"], [20], range(5), steps, moved) for moved in (False, True))
        shift = (one["reconstruction_error"] - other["reconstruction_error"]).abs()
        assert shift.max() < near and (shift > 0).any()


def test_a_mask_that_is_not_one_is_refused():
    with pytest.raises(ValueError, match="mask"):
        trained_again(["222"], [5], [1])


@pytest.fixture(scope="module")
def stored() -> pd.DataFrame:
    return pd.read_parquet(ROOT / "data/rounding.parquet")


@pytest.fixture(scope="module")
def moved(stored) -> pd.DataFrame:
    """The powered sweep's runs from one ulp up, as they are stored."""
    return stored[stored["steps"] == 2000].drop(columns=["steps", "moved"])


def test_stored_runs_are_those_of_the_powered_sweep(moved, powered):
    assert moved[KEY].to_numpy().tolist() == powered[KEY].to_numpy().tolist() and list(moved) == [*KEY, *METRICS]


def check_stored(moved: pd.DataFrame, masks: list[str], sizes: list[int], seeds: list[int]) -> None:
    again = trained_again(masks, sizes, seeds)
    stored = again[KEY].merge(moved, on=KEY)
    np.testing.assert_allclose(again[list(METRICS)], stored[list(METRICS)], **SUMMED)


def test_a_spot_of_them_is_trained_again_to_the_same_results(moved):
    check_stored(moved, ["000", "011", "111"], [3, 20, 100], [1000, 1007])


@pytest.mark.parametrize("steps", FEWER_STEPS)
@pytest.mark.parametrize("way", [False, True])
def test_a_spot_of_the_shorter_ones_is_trained_again_to_the_same_results(stored, steps, way):
    shorter = stored[(stored["steps"] == steps) & (stored["moved"] == way)]
    assert sorted(shorter["seed"].unique()) == list(FEW_SEEDS) and set(shorter["size"]) == {100}
    again = trained_again(["000", "111"], [100], [1003], steps, way)
    np.testing.assert_allclose(again[list(METRICS)], again[KEY].merge(shorter, on=KEY)[list(METRICS)], **SUMMED)


@pytest.mark.slow
def test_all_of_them_are_trained_again_to_the_same_results(moved):
    """But for seeds whose data another processor's sine rounds in another way: one of 200 on the two that we had."""
    again = trained_again(list(MASKS), sorted(moved["size"].unique().tolist()), sorted(moved["seed"].unique().tolist()))
    both = again[KEY].merge(moved, on=KEY)
    near = np.isclose(again[list(METRICS)], both[list(METRICS)], **SUMMED).all(axis=1)
    assert again["seed"][~near].nunique() <= 4


# --- what is read off them ---


def made_up(shifts: dict[tuple[str, int], list[float]], steps: int = 2000) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs with E = 1, 2, …, by mask and size, and the same moved by these shifts."""
    rows = [
        {"mask": mask, "size": size, "seed": seed, "steps": steps, "reconstruction_error": 1.0 + seed, "shift": shift}
        for (mask, size), values in shifts.items()
        for seed, shift in enumerate(values)
    ]
    table = pd.DataFrame(rows)
    again = table.assign(reconstruction_error=table["reconstruction_error"] + table["shift"], moved=True)
    return table.drop(columns="shift"), again.drop(columns="shift")


def test_runs_are_beside_the_moved_ones_of_as_many_steps():
    runs, again = made_up({("000", 3): [0.0, 0.0009, -0.0011]})
    fewer, fewer_moved = made_up({("000", 3): [0.5]}, steps=500)
    found = rounding.beside(runs, pd.concat([again, fewer.assign(moved=False), fewer_moved]))
    assert found["steps"].tolist() == [2000] * 3 + [500] and found["elsewhere"].tolist() == [False, False, True, True]
    np.testing.assert_allclose(found["shift"], [0, 0.0009, 0.0011, 0.5], atol=1e-15)
    assert rounding.full_length(found).equals(found[:3])


def test_a_share_has_wilson_s_interval():
    assert rounding.share_in_words(pd.Series([False] * 200)) == "0% (0%–2%)"
    assert rounding.share_in_words(pd.Series([True] * 3 + [False] * 27)) == "10% (3%–26%)"


def test_the_losses_that_are_on_sort_the_runs_of_the_largest_size():
    shifts = {("000", 3): [1.0]} | {(mask, 5): [float(mask == "011"), 0.0] for mask in MASKS}
    kinds = rounding.kinds(rounding.beside(*made_up(shifts)))
    assert {name: (len(runs), runs.sum()) for name, runs in kinds.items()} == {
        "separation": (8, 1),
        "coverage": (4, 0),
        "neither": (4, 0),
        "overlap": (8, 0),
        "no overlap": (8, 1),
    }


def test_the_examples_are_the_first_of_the_mask_in_which_most_end_elsewhere():
    shifts = {("011", 3): [1.0] * 8, ("010", 5): [1.0] + [0.0] * 7, ("001", 5): [0.0, 1.0] * 4}
    drawn = rounding.examples(rounding.beside(*made_up(shifts)))
    assert set(drawn["mask"]) == {"001"} and drawn["seed"].tolist() == [0, 2, 4, 1, 3, 5]


def test_an_order_changes_where_two_medians_change_places():
    medians = pd.DataFrame(
        {"stored": [1.0, 2.0, 3.0, 1.0], "moved": [2.5, 2.0, 3.0, 1.0]},
        index=pd.MultiIndex.from_tuples([("000", 3), ("001", 3), ("010", 3), ("000", 5)], names=["mask", "size"]),
    )
    found = rounding.orders(medians)
    assert found[["first", "second"]].to_numpy().tolist() == [["000", "001"], ["000", "010"], ["001", "010"]]
    assert found["changes"].tolist() == [True, False, False]


def test_medians_move_by_what_their_runs_move():
    runs, again = made_up({("000", 3): [0.0, 0.25, 0.0], ("111", 3): [0.0, 0.0, 7.0]})
    found = rounding.medians(runs, again)
    assert found["stored"].tolist() == [2, 2] and found["shift"].tolist() == [0.25, 0] and (found["width"] > 0).all()


def test_the_growth_of_a_difference_in_words():
    drawn = pd.DataFrame({"seed": [4, 7], "shift": [1e-6, 0.5], "elsewhere": [False, True]})
    grown = pd.DataFrame({4: [0.0, 2e-9, 3e-8], 7: [1e-15, 1.0, 20.0]}, index=[0, 1000, 2000])
    table = rounding.growth_table(grown, drawn)
    assert table.loc[4].tolist() == ["0e+00", "2e-09", "3e-08", "1e-06", "no"]
    assert table.loc[7].tolist() == ["1e-15", "1e+00", "2e+01", "5e-01", "yes"]
    curves = rounding.growth_curves(grown, drawn)
    assert curves["curve"].tolist() == ["4"] * 2 + ["7*"] * 3 and (curves["value"] > 0).all()


@pytest.mark.long
def test_a_case_with_another_outcome_is_named(powered):
    moved = powered.assign(moved=True)
    same = rounding.judged(powered, moved)
    assert not any(pair.changes or rounding.changed_cases(pair) for pair in same.values())
    swapped = moved.assign(mask=moved["mask"].replace({"000": "010", "010": "000"}))
    other = rounding.judged(powered, swapped)
    assert other["C2"].changes and "010, N = 100" in rounding.changed_cases(other["C2"])
    assert other["C1"].stored.verdict == other["C1"].moved.verdict == "does not hold"
    assert len(rounding.changed_cases(other["C1"])) == 5
