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


def test_what_the_chapter_says_of_the_collapse_is_so(temperature, stored):
    quality = {name: found["value"] for name, found in stored["quality"].items()}
    assert quality["noise"] < quality["residual_2"] < 0.5 * quality["residual_1"] < 0.5 * quality["residual_0"]
    assert stored["quality"]["noise"]["low"] < quality["residual_2"] <= stored["quality"]["noise"]["high"]
    grid = collapse.grid(temperature)
    y = collapse.log_ratio(grid.values)
    factor = {p: 10 ** float(collapse.residual(y, *grid[:2], p)) for p in np.round(np.linspace(0, 4, 41), 1)}
    assert 1.5 < min(factor, key=factor.get) < 2 and 1.2 < min(factor.values()) < 1.35
    assert all(value > 2 for p, value in factor.items() if p <= 1 or p >= 3)
    points = pd.DataFrame(stored["points"])
    assert points[points["crowding"] <= 0.1]["ratio"].between(0.9, 1.3).all() and points["ratio"].max() > 700
    excess = (points["expelled"] - points["expelled_std"]).groupby(points["size"]).max()
    assert (excess[[3, 5]] < 0.1).all() and (excess[[20, 50, 100]] > 0.25).all() and excess.idxmax() == 100
    std = points.groupby("size")["expelled_std"].first()
    assert (std[[3, 5]] > std[[20, 50, 100]].max()).all()


def test_what_the_chapter_says_of_the_room_is_so(temperature):
    spreads = temperature.assign(
        length=[np.subtract(*np.quantile(-r.b / r.w, [0.75, 0.25])) for r in temperature.itertuples()]
    )
    sizes, heats, values = collapse.grid(spreads, "length")
    u, lengths = heats * sizes[:, None] ** 2, np.median(values[1], axis=-1)
    over = lengths / (np.sqrt(heats) * sizes[:, None])
    assert (over[(u >= 10 * (1 - 1e-9)) & (u <= 1e3 * (1 + 1e-9))] > 0.8).all() and over[-1, -1] < 0.2
    assert (over[:, :5].argmax(axis=1) == 0).all() and (lengths.max(axis=1) > 100 * lengths[:, 0]).all()


@pytest.mark.long
def test_what_the_chapter_says_of_the_strength_is_so(strength, temperature):
    effects = collapse.by_strength(strength, temperature)
    assert effects[["strength", "size"]].to_numpy().tolist() == [
        [s, n] for s in (0.01, 0.1, 1, 10, 100) for n in (10, 100)
    ]
    ratios = effects.set_index(["strength", "size"])["ratios"]
    for size in (10, 100):
        strong = np.log10([ratios[s, size] for s in (1, 10, 100)])
        assert np.ptp(strong[:, :-1], axis=0).max() < np.log10(2.3)
        assert (ratios[0.01, size].iloc[-2:] < ratios[0.1, size].iloc[-2:]).all()
        assert (ratios[0.1, size].iloc[-2:] < ratios[1.0, size].iloc[-2:]).all()
    onsets = {(r.strength, r.size): r.onset.value for r in effects.itertuples()}
    assert 10 * onsets[1.0, 100] < 100 < onsets[0.01, 100] and onsets[0.1, 100] > 3 * onsets[1.0, 100]
    nominal = temperature[(temperature["size"] == 100) & np.isclose(temperature["temperature"], 0.1)]
    medians = nominal.groupby("mask")["reconstruction_error"].median()
    assert ratios[1.0, 100][0.1] == pytest.approx(medians["001"] / medians["000"])
