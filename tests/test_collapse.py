"""The collapse on τN²: its definitions on made-up curves of known exponents, and the stored numbers."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from companion.studies import collapse
from companion.sweeps.runs import summary

RNG = np.random.default_rng

# --- definitions on made-up curves ---

SIZES = np.array([3, 5, 10, 20, 50, 100])
HEATS = np.array([number * 10.0**power for power in range(-5, 1) for number in (1, 3)] + [10.0])


def made_up(exponent: float, growth: float = 0.5) -> np.ndarray:
    """Curves that collapse on τN^p: level below 1, then growing."""
    u = HEATS * SIZES[:, None] ** exponent
    return growth * np.log10(1 + u)


@pytest.mark.long
@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0, 3.0])
def test_the_exponent_of_curves_that_collapse_is_found(exponent):
    y = made_up(exponent)
    assert collapse.residual(y, SIZES, HEATS, exponent) < 0.01  # interpolation between temperatures
    assert collapse.best_exponent(y, SIZES, HEATS) == pytest.approx(exponent, abs=0.021)
    assert collapse.residual(y, SIZES, HEATS, exponent + 1) > 10 * collapse.residual(y, SIZES, HEATS, exponent)


def test_curves_that_do_not_collapse_have_a_large_residual_at_every_exponent():
    slopes = np.array([0.1, 0.9, 0.3, 0.7, 0.2, 0.8])[:, None]
    y = slopes * np.log10(1 + HEATS * SIZES[:, None] ** 2)
    least = min(float(collapse.residual(y, SIZES, HEATS, p)) for p in np.linspace(0, 4, 41))
    assert least > 0.2 > 20 * collapse.residual(made_up(2), SIZES, HEATS, 2.0)


def test_the_residual_is_the_plain_double_loop():
    y, heat = RNG(4).normal(size=(6, 13)), np.log10(HEATS)
    for exponent in (0.0, 1.3, 2.0, 4.0):
        squares = []
        for a in range(6):
            for b in range(6):
                shift = exponent * (np.log10(SIZES[a]) - np.log10(SIZES[b]))
                for k, place in enumerate(heat + shift):
                    if a != b and heat[0] - 1e-9 <= place <= heat[-1] + 1e-9:
                        squares.append((y[a, k] - np.interp(place, heat, y[b])) ** 2)
        assert collapse.residual(y, SIZES, HEATS, exponent) == pytest.approx(np.sqrt(np.mean(squares)))
    batch = np.stack([y, 2 * y])
    np.testing.assert_allclose(
        collapse.residual(batch, SIZES, HEATS, 2.0)[1], 2 * collapse.residual(y, SIZES, HEATS, 2.0)
    )


def test_a_constant_offset_between_two_sizes_is_the_residual():
    level = np.array([[0.0], [0.1]]) + np.zeros(13)
    assert collapse.residual(level, SIZES[[0, 5]], HEATS, 2.0) == pytest.approx(0.1)
    far = np.array([1, 10**6])
    assert np.isnan(collapse.residual(level, far, HEATS, 2.0))  # no range of u is shared


@pytest.mark.parametrize("growth", [0.25, 0.5, 1.0])
def test_the_growth_exponent_is_the_slope_beyond_ten_whatever_the_sizes_levels(growth):
    places = np.log10(HEATS * SIZES[:, None] ** 2)
    y = np.where(places >= 1 - 1e-9, growth * places + RNG(5).normal(size=(6, 1)), RNG(6).normal(size=(6, 13)))
    assert collapse.growth_exponent(y, SIZES, HEATS) == pytest.approx(growth)
    assert collapse.growth_exponent(np.stack([y, 3 * y]), SIZES, HEATS) == pytest.approx([growth, 3 * growth])


def test_onset_and_level_are_read_off_by_interpolation():
    places = np.log10(HEATS * SIZES[:, None] ** 2)
    y = np.log10(2) * (1 + places - np.log10([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]))
    np.testing.assert_allclose(collapse.onset(y, SIZES, HEATS), [1, 2, 3, 4, 5, 6])
    ends = np.stack([np.zeros(13), np.ones(13)])
    np.testing.assert_array_equal(collapse.onset(ends, SIZES[:2], HEATS), [np.nan, 0])
    np.testing.assert_allclose(collapse.at_crowding(places, SIZES, HEATS, 30.0), np.log10(30))
    assert np.isnan(collapse.at_crowding(places, SIZES, HEATS, 1e4)).tolist() == [True] * 3 + [True, False, False]


def test_a_grid_that_lacks_a_run_is_refused(temperature):
    grid = collapse.grid(temperature)
    assert grid.values.shape == (2, 6, 13, 30)
    run = temperature.iloc[1234]
    k = [grid.sizes.tolist().index(run["size"]), grid.temperatures.tolist().index(run["temperature"])]
    assert grid.values[int(run["mask"]), k[0], k[1], run["seed"] - 1000] == run["reconstruction_error"]
    with pytest.raises(ValueError, match="runs: 4679 were given"):
        collapse.grid(temperature.drop(index=7))


# --- the stored numbers ---


@pytest.fixture(scope="module")
def stored() -> dict:
    return json.loads((ROOT / "data/collapse.json").read_text(encoding="utf-8"))


@pytest.mark.long
def test_the_stored_collapse_is_what_the_runs_give(temperature, stored):
    again = collapse.collapse(temperature)
    assert again.keys() == stored.keys()
    assert {name: again[name] for name in ("data", "seeds", "resamples", "versions")} == {
        name: stored[name] for name in ("data", "seeds", "resamples", "versions")
    }
    pd.testing.assert_frame_equal(pd.DataFrame(again["points"]), pd.DataFrame(stored["points"]), rtol=1e-5)
    assert {name: list(found) for name, found in stored["quality"].items()} == {
        name: ["value", "low", "high"] for name in again["quality"]
    }
    for name, found in again["quality"].items():
        assert found == pytest.approx(stored["quality"][name], rel=1e-4, abs=0.011 if "exponent" in name else 0)
    medians = summary(temperature, "reconstruction_error", ("mask", "size", "temperature"))
    wide = medians.pivot(index=["size", "temperature"], columns="mask", values="median")
    np.testing.assert_allclose([point["ratio"] for point in stored["points"]], wide["001"] / wide["000"], rtol=1e-5)


def test_the_stored_collapse_is_read_with_decades_as_factors(stored):
    points, quality = collapse.stored(ROOT / "data/collapse.json")
    assert quality.loc["spread", "low"] == pytest.approx(10 ** stored["quality"]["spread"]["low"])
    assert quality.loc["growth_exponent"].to_dict() == stored["quality"]["growth_exponent"]
    first = stored["points"][0]
    assert points.loc[0, "excess"] == pytest.approx(first["expelled"] - first["expelled_std"])
    assert list(quality.index) == list(collapse.QUALITY) and len(points) == len(SIZES) * len(HEATS)


# --- what the chapter reads off ---


def test_levels_and_pairs_of_curves_that_collapse_are_equal():
    curves = collapse.Ratios(made_up(2.0), SIZES, HEATS)
    levels = collapse.at_levels(curves)
    np.testing.assert_allclose(levels.loc[100], [(1 + u) ** 0.5 for u in collapse.LEVELS], rtol=0.01)
    assert levels.loc[3].isna().tolist() == [False, False, False, True, True]  # 3 neurons end at τN² = 90
    assert list(collapse.between_sizes(levels)) == pytest.approx([1] * 4, rel=0.02)
    apart = curves._replace(y=curves.y + np.log10([1, 1, 1, 1, 1, 3])[:, None])
    assert list(collapse.between_sizes(collapse.at_levels(apart))) == pytest.approx([3] * 4, rel=0.02)
    pairs = collapse.between_pairs(apart)
    assert (
        len(pairs) == 15 and pairs[3, 100] == pytest.approx(3, rel=0.02) and pairs[3, 5] == pytest.approx(1, rel=0.02)
    )


def test_factors_are_least_at_the_exponent_of_curves_that_collapse():
    factors = collapse.factors(collapse.Ratios(made_up(2.0), SIZES, HEATS), [1, 2, 3])["10^R(p)"]
    assert factors[2] == pytest.approx(1, abs=0.01) and min(factors[1], factors[3]) > 1.5


def test_intervals_of_onset_and_growth_hold_their_numbers():
    noise = RNG(1).lognormal(0, 0.1, (2, *made_up(2.0).shape, 30))
    noise[1] *= 10 ** made_up(2.0)[..., None]
    errors = collapse.Grid(SIZES, HEATS, noise)
    found = collapse.onsets(errors)
    assert [one.value for one in found] == collapse.onset(*collapse.ratios(errors)).tolist()
    assert all(one.low <= one.value <= one.high < 2 * one.low for one in found)
    assert np.median([one.value for one in found]) == pytest.approx(3, rel=0.1)  # √(1 + u) is 2 there
    growth = collapse.growth(errors)
    assert growth.low < growth.value == pytest.approx(0.5, abs=0.05) and growth.value < growth.high


def test_the_room_taken_is_the_median_length_between_quartiles_over_n_root_tau():
    assert collapse.middle_length([[0, 1, 2, 3, 4], [0, 0, 0, 0, 8]]).tolist() == [2, 0]
    settings = [(m, n, t, s) for m in ("000", "001") for n in (3, 5) for t in (0.25, 100.0) for s in (1, 2, 3)]
    runs = pd.DataFrame(settings, columns=["mask", "size", "temperature", "seed"])
    runs["w"] = [np.full(n, -2.0) for n in runs["size"]]
    runs["b"] = [2 * seed * np.arange(n) for n, seed in zip(runs["size"], runs["seed"], strict=True)]
    halves = collapse.middle_halves(runs)
    assert halves.values[1, :, 0].tolist() == [[1, 2, 3], [2, 4, 6]]
    room = collapse.room_taken(halves)
    assert room["length"].tolist() == [2, 2, 4, 4] and room["crowding"].tolist() == [2.25, 900, 6.25, 2500]
    assert room["over"].tolist() == [2 / 1.5, 2 / 30, 4 / 2.5, 4 / 50]
    assert collapse.where_taken(room).tolist() == [2 / 30]
    _, frame = collapse.room_panels(room)["the same over N√τ"]
    assert frame["value"].tolist() == room["over"].tolist() and set(frame["curve"]) == {"N = 3", "N = 5"}


def test_strengths_are_compared_size_by_size():
    one = collapse.Interval(2.0, 1.0, 4.0)
    rows = [
        {"strength": s, "size": n, "onset": one._replace(value=n / s), "growth": one, "ratios": pd.Series({0.1: s})}
        for s in (1.0, 10.0)
        for n in (2, 4)
    ]
    effects = pd.DataFrame(rows)
    onsets = collapse.onsets_by_strength(effects)
    assert onsets.to_numpy().tolist() == [[2, 4], [0.2, 0.4]]
    assert collapse.added_by_strength(onsets).to_numpy().tolist() == [[4.5, 2.25]]
    table = collapse.strength_table(effects)
    assert table.index.tolist() == ["1", "10"] and table.loc["10", "N = 4, onset"] == "0.4 [1.0, 4.0]"
    assert (
        list(table)[:2] == ["N = 2, onset", "N = 2, growth"] and table.loc["1", "N = 2, growth"] == "2.00 [1.00, 4.00]"
    )
    _, frame = collapse.strength_panels(effects)["N = 4"]
    assert frame[["x", "value", "curve"]].to_numpy().tolist() == [[1.6, 1, "λ = 1"], [1.6, 10, "λ = 10"]]


@pytest.mark.long
def test_std_of_a_strength_is_the_temperature_sweep_s(strength, temperature):
    effects = collapse.by_strength(strength, temperature)
    pairs = [[s, n] for s in (0.01, 0.1, 1, 10, 100) for n in (10, 100)]
    assert effects[["strength", "size"]].to_numpy().tolist() == pairs
    nominal = temperature[(temperature["size"] == 100) & np.isclose(temperature["temperature"], 0.1)]
    medians = nominal.groupby("mask")["reconstruction_error"].median()
    ratios = effects.set_index(["strength", "size"])["ratios"]
    assert ratios[1.0, 100][0.1] == pytest.approx(medians["001"] / medians["000"])
