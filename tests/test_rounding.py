"""Runs from weights that differ in the last bit, and what chapter "How far rounding travels" says of its picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT

from companion.core.measures import METRICS
from companion.core.network import initial_parameters, starting_batch
from companion.core.settings import MASKS, Settings
from companion.engine import driver
from companion.studies.rounding import FEW_SEEDS, FEWER_STEPS, one_ulp_up, trained_again

KEY = ["mask", "size", "seed"]


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
    np.testing.assert_array_equal(again[list(METRICS)], stored[list(METRICS)])


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
    np.testing.assert_array_equal(again[list(METRICS)], stored[list(METRICS)])


def test_a_spot_of_them_is_trained_again_to_the_same_bits(moved):
    check_stored(moved, ["000", "011", "111"], [3, 20, 100], [1000, 1007])


@pytest.mark.parametrize("steps", FEWER_STEPS)
@pytest.mark.parametrize("way", [False, True])
def test_a_spot_of_the_shorter_ones_is_trained_again_to_the_same_bits(stored, steps, way):
    shorter = stored[(stored["steps"] == steps) & (stored["moved"] == way)]
    assert sorted(shorter["seed"].unique()) == list(FEW_SEEDS) and set(shorter["size"]) == {100}
    again = trained_again(["000", "111"], [100], [1003], steps, way)
    np.testing.assert_array_equal(again[list(METRICS)], again[KEY].merge(shorter, on=KEY)[list(METRICS)])


@pytest.mark.slow
def test_all_of_them_are_trained_again_to_the_same_bits(moved):
    check_stored(moved, list(MASKS), sorted(moved["size"].unique().tolist()), sorted(moved["seed"].unique().tolist()))


@pytest.mark.long
def test_what_the_alternative_text_of_the_chapter_says_is_so(moved, powered):
    largest = {"size": 100, "seed": range(1000, 1030)}
    one, other = (
        table[(table["size"] == largest["size"]) & table["seed"].isin(largest["seed"])].reset_index(drop=True)
        for table in (powered, moved)
    )
    elsewhere = (one["reconstruction_error"] - other["reconstruction_error"]).abs() > 1e-3
    runs: pd.DataFrame = one[KEY].assign(elsewhere=elsewhere)
    most = runs.groupby("mask")["elsewhere"].mean().idxmax()
    drawn = pd.concat([group.head(3) for _, group in runs[runs["mask"] == most].groupby("elsewhere")])
    assert drawn["elsewhere"].to_list() == [False] * 3 + [True] * 3
    x, y, start = starting_batch(100, drawn["seed"].tolist())
    ways = (start, one_ulp_up(start))
    paths = [driver.train(x, y, way, Settings(most), [0, 2000]).trajectory for way in ways]
    before, after = (paths[1] - paths[0]).abs().amax(-1)
    assert (before < 1e-14).all() and (after[:3] < 0.01).all() and (after[3:] > 1).all()
