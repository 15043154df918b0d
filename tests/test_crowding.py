"""Separation's reach, the room it asks for, and the collapse of all sizes: propositions, definitions, numbers."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from scipy.optimize import minimize
from scipy.special import lambertw

from companion import collapse, crowding
from companion.figures import summary
from companion.losses import fit_loss, separation_loss
from companion.model import predict

RNG = np.random.default_rng


def net_forces(places: np.ndarray, temperature: float) -> np.ndarray:
    """The force of L_sep on each prototype, by automatic differentiation."""
    positions = torch.tensor(places, requires_grad=True)
    return -torch.autograd.grad(separation_loss(positions, temperature), positions)[0].numpy()


# --- propositions: each check takes the implementation that it checks ---


def check_force(pair_force: Callable, peak_force: Callable, share_of_peak: Callable) -> None:
    rng = RNG(0)
    for _ in range(20):
        size, temperature = int(rng.integers(2, 30)), 10 ** rng.uniform(-4, 1)
        places = rng.uniform(0, 3 * np.sqrt(temperature), size)
        apart = places[:, None] - places
        expected = (np.sign(apart) * pair_force(np.abs(apart), size, temperature)).sum(1)
        np.testing.assert_allclose(net_forces(places, temperature), expected, rtol=1e-9, atol=1e-12)
        reaches = np.linspace(0, 5, 5001)
        force = pair_force(reaches * np.sqrt(temperature), size, temperature)
        assert reaches[force.argmax()] == pytest.approx(np.sqrt(0.5), abs=1e-3)
        assert (np.diff(force[: force.argmax() + 1]) > 0).all() and (np.diff(force[force.argmax() :]) < 0).all()
        assert force.max() == pytest.approx(peak_force(size, temperature), rel=1e-6)
        np.testing.assert_allclose(share_of_peak(reaches) * peak_force(size, temperature), force, rtol=1e-9)


FORCE = (crowding.pair_force, crowding.peak_force, crowding.share_of_peak)


def test_proposition_force():
    check_force(*FORCE)


@pytest.mark.parametrize(
    "variant",
    {
        "a pair counted once": (lambda d, n, t: crowding.pair_force(d, n, t) / 2, *FORCE[1:]),
        "attraction": (lambda d, n, t: -crowding.pair_force(d, n, t), *FORCE[1:]),
        "N² for N (N - 1)": (lambda d, n, t: crowding.pair_force(d, n, t) * (n - 1) / n, *FORCE[1:]),
        "peak with another power of τ": (FORCE[0], lambda n, t: crowding.peak_force(n, t) / np.sqrt(t), FORCE[2]),
        "peak without N - 1": (FORCE[0], lambda n, t: crowding.peak_force(n, t) * (n - 1), FORCE[2]),
        "share without its factor": (*FORCE[:2], lambda k: crowding.share_of_peak(k) / np.sqrt(2)),
        "share with another exponent": (*FORCE[:2], lambda k: np.sqrt(2) * k * np.exp(0.5 - k**2 / 2)),
    }.items(),
    ids=lambda variant: variant[0],
)
def test_proposition_force_fails_for_a_false_variant(variant):
    with pytest.raises(AssertionError):
        check_force(*variant[1])


def check_net_force(greatest_net_force: Callable) -> None:
    rng = RNG(1)
    for _ in range(60):
        size, temperature = int(rng.integers(2, 30)), 10 ** rng.uniform(-4, 1)
        spacing = np.sqrt(temperature / 2) * rng.uniform(1, 2)
        places = np.cumsum(spacing * (1 + 1e-9 + rng.exponential(rng.choice([0.0, 0.1, 1.0]), size)))
        bound = greatest_net_force(spacing, size, temperature)
        assert np.abs(net_forces(rng.permutation(places), temperature)).max() <= bound * (1 + 1e-6)
        apart = np.abs(places[:, None] - places)
        assert crowding.pair_force(apart, size, temperature).sum(1).max() <= 2 * bound * (1 + 1e-6)
        even = net_forces(spacing * np.arange(size), temperature)
        assert -even[0] == pytest.approx(bound, rel=1e-9)


def test_proposition_net_force():
    check_net_force(crowding.greatest_net_force)
    with pytest.raises(ValueError, match="spacing"):
        crowding.greatest_net_force(0.7, 5, 1.0)


@pytest.mark.parametrize(
    "variant",
    {
        "both sides add up": lambda d, n, t: 2 * crowding.greatest_net_force(d, n, t),
        "the nearest neighbour only": lambda d, n, t: float(crowding.pair_force(d, n, t)),
        "one neighbour too few": lambda d, n, t: float(crowding.pair_force(d * np.arange(1, n - 1), n, t).sum()),
        "twice the spacing": lambda d, n, t: crowding.greatest_net_force(2 * d, n, t),
    }.items(),
    ids=lambda variant: variant[0],
)
def test_proposition_net_force_fails_for_a_false_variant(variant):
    with pytest.raises(AssertionError):
        check_net_force(variant[1])


def check_even_spacing(force: Callable) -> None:
    for crowded in (0.05, 0.1, 0.3, 1.0, 2.0):
        bounds = [(n - 1) * crowding.greatest_net_force(1 / n, n, crowded / n**2) for n in (10, 30, 100)]
        assert bounds == pytest.approx([force(crowded)] * 3, rel=1e-9)  # a function of u alone
        for n in (2, 3, 5):  # fewer neighbours, less force
            assert (n - 1) * crowding.greatest_net_force(1 / n, n, crowded / n**2) <= force(crowded) * (1 + 1e-12)
        first = 4 / crowded * np.exp(-1 / crowded)
        rest = sum(k * np.exp(-(k**2 - 1) / crowded) for k in range(2, 30))
        assert force(crowded) / first == pytest.approx(1 + rest, rel=1e-9)
    assert force(0.05) / (4 / 0.05 * np.exp(-1 / 0.05)) == pytest.approx(1, abs=1e-9)


def test_proposition_even_spacing():
    check_even_spacing(crowding.force_at_even_spacing)
    assert crowding.force_at_even_spacing(1e4) == pytest.approx(2, rel=1e-4)


@pytest.mark.parametrize(
    "variant",
    {
        "e^(-1/u²)": lambda u: 4 / u * sum(k * np.exp(-(k**2) / u**2) for k in range(1, 60)),
        "e^-u": lambda u: 4 / u * sum(k * np.exp(-(k**2) * u) for k in range(1, 60)),
        "a lost factor": lambda u: 2 / u * sum(k * np.exp(-(k**2) / u) for k in range(1, 60)),
        "the first term only": lambda u: 4 / u * np.exp(-1 / u),
    }.items(),
    ids=lambda variant: variant[0],
)
def test_proposition_even_spacing_fails_for_a_false_variant(variant):
    with pytest.raises(AssertionError):
        check_even_spacing(variant[1])


def arrangements() -> list[tuple[np.ndarray, float, float]]:
    """Prototypes in an interval, its length, and a temperature: random, minimised, clustered, and few apart."""
    rng, found = RNG(2), []
    for _ in range(200):
        size, temperature = int(rng.integers(2, 40)), 10 ** rng.uniform(-4, 1)
        room = np.sqrt(temperature) * size * 10 ** rng.uniform(-1.5, 0.5)
        found.append((np.sort(rng.uniform(0, room, size)), room, temperature))
        clusters = np.arange(int(np.ceil(room / np.sqrt(temperature)))) * np.sqrt(temperature)
        found.append((np.sort(rng.choice(clusters, size)), max(clusters[-1], 1e-3 * room), temperature))

    def repulsion(places: np.ndarray, temperature: float) -> tuple[float, np.ndarray]:
        loss = float(separation_loss(torch.tensor(places), temperature))
        return loss, -net_forces(places, temperature)

    for size in (3, 8, 20):
        for crowded in (0.5, 3.0, 30.0, 300.0):
            temperature = crowded / size**2
            best = minimize(
                repulsion, np.linspace(0, 1, size), (temperature,), jac=True, bounds=[(0, 1)] * size, method="L-BFGS-B"
            )
            found.append((best.x, 1.0, temperature))
    for share in (0.9999, 1.5, 1.9999):
        found.append((np.array([0.0, share]), share, 1.0))
    found.append((np.array([0.0, 5.0]), 5.0, 9.0))  # τ is above √τ here
    found.append((20.0 * np.arange(20), 380.0, 100.0))
    return found


def check_room(least_repulsion: Callable, room_needed: Callable) -> None:
    for places, room, temperature in arrangements():
        size, loss = len(places), float(separation_loss(torch.tensor(places), temperature))
        assert loss >= least_repulsion(size, room, temperature) - 1e-12
        assert room > room_needed(size, loss, temperature)
    for places, room, temperature in arrangements():
        # The second bound is the first, solved for the room: it asks for one cell less.
        size = len(places)
        cells = np.ceil(room / np.sqrt(temperature))
        allowed = room_needed(size, least_repulsion(size, room, temperature), temperature)
        if size > cells:
            assert allowed == pytest.approx(np.sqrt(temperature) * (cells - 1), abs=1e-9 * np.sqrt(temperature))
    assert least_repulsion(2, 1.0, 1.0) == pytest.approx(float(separation_loss(torch.tensor([0.0, 1.0]), 1.0)))


def test_proposition_room():
    check_room(crowding.least_repulsion, crowding.room_needed)


def without_e(size: int, room: float, temperature: float) -> float:
    return np.e * crowding.least_repulsion(size, room, temperature)


def rounded_down(size: int, room: float, temperature: float) -> float:
    cells = max(np.floor(room / np.sqrt(temperature)), 1)
    return max((size / cells - 1) / (np.e * (size - 1)), 0.0)


@pytest.mark.parametrize(
    "variant",
    {
        "without 1/e": (without_e, crowding.room_needed),
        "cells rounded down": (rounded_down, crowding.room_needed),
        "prototypes paired with themselves": (
            lambda n, s, t: n / np.ceil(s / np.sqrt(t)) / (np.e * (n - 1)),
            crowding.room_needed,
        ),
        "cells of width τ": (lambda n, s, t: crowding.least_repulsion(n, s, t**2), crowding.room_needed),
        "one cell less forgotten": (
            crowding.least_repulsion,
            lambda n, e, t: crowding.room_needed(n, e, t) + np.sqrt(t),
        ),
        "repulsion forgotten": (crowding.least_repulsion, lambda n, e, t: np.sqrt(t) * (n - 1)),
        "room that grows like τ": (
            crowding.least_repulsion,
            lambda n, e, t: crowding.room_needed(n, e, t) * np.sqrt(t),
        ),
    }.items(),
    ids=lambda variant: variant[0],
)
def test_proposition_room_fails_for_a_false_variant(variant):
    with pytest.raises(AssertionError):
        check_room(*variant[1])


def fit_forces(seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The fit's force on each prototype at fixed w and a, the products w a, and L_fit, of a random network."""
    rng = RNG(seed)
    samples, neurons = (int(count) for count in rng.integers(1, 8, 2))
    scale = 10 ** rng.uniform(-1, 1)
    x, y = (torch.tensor(rng.uniform(0, 1, samples)) for _ in range(2))
    w, a = torch.tensor(rng.normal(0, scale, neurons)), torch.tensor(rng.normal(0, 1, neurons))
    places = torch.tensor(rng.uniform(-0.5, 1.5, neurons), requires_grad=True)
    loss = fit_loss(predict(x, w, -w * places, a, torch.tensor(rng.normal(0, 1), dtype=torch.float64)), y)
    return -torch.autograd.grad(loss, places)[0].numpy(), (w * a).numpy(), loss.item()


def check_strength(reach: Callable, winning_strength: Callable) -> None:
    rng = RNG(3)
    for _ in range(100):
        size, temperature, strength = int(rng.integers(2, 100)), 10 ** rng.uniform(-5, 1), 10 ** rng.uniform(-3, 3)
        peak = strength * crowding.peak_force(size, temperature)
        assert np.isnan(reach(peak * rng.uniform(1.001, 10), size, temperature, strength))
        resistance = peak * 10 ** rng.uniform(-8, -0.01)
        distance = reach(resistance, size, temperature, strength)
        assert distance >= np.sqrt(temperature / 2)
        force = strength * crowding.pair_force(distance * np.array([1, 1.001, 1.1, 3]), size, temperature)
        assert force[0] == pytest.approx(resistance, rel=1e-6) and (force[1:] < resistance).all()
        if distance**2 >= temperature:
            factor = 10 ** rng.uniform(0.01, 3)
            added = (reach(resistance, size, temperature, factor * strength) ** 2 - distance**2) / temperature
            assert np.log(factor) < added <= 2 * np.log(factor) * (1 + 1e-9)
    attained = 0.0
    for seed in range(200):  # no force of the fit is above separation's peak at that strength, and some come near
        forces, weights, loss = fit_forces(seed)
        for size, temperature in ((2, 1.0), (50, 1e-3)):
            most = winning_strength(size, temperature, loss, weights) * crowding.peak_force(size, temperature)
            assert (np.abs(forces) <= most * (1 + 1e-12)).all()
            attained = max(attained, (np.abs(forces) / most).max())
    assert attained > 0.99


def test_proposition_strength():
    check_strength(crowding.reach, crowding.winning_strength)


def other_branch(resistance: float, size: int, temperature: float, strength: float = 1.0) -> np.ndarray:
    level = resistance * size * (size - 1) * np.sqrt(temperature) / (4 * strength)
    return np.sqrt(temperature * -lambertw(-2 * level**2, 0).real / 2) if 2 * np.e * level**2 <= 1 else np.nan


@pytest.mark.parametrize(
    "variant",
    {
        "the upper branch": (other_branch, crowding.winning_strength),
        "reach grows like √λ": (
            lambda f, n, t, s=1.0: np.sqrt(s) * crowding.reach(f / s, n, t),
            crowding.winning_strength,
        ),
        "reach without λ": (lambda f, n, t, s=1.0: crowding.reach(f, n, t), crowding.winning_strength),
        "half the winning strength": (crowding.reach, lambda *given: crowding.winning_strength(*given) / 2),
        "twice the winning strength": (crowding.reach, lambda *given: 2 * crowding.winning_strength(*given)),
        "winning strength with L_fit": (
            crowding.reach,
            lambda n, t, fit, wa: crowding.winning_strength(n, t, fit**2, wa),
        ),
    }.items(),
    ids=lambda variant: variant[0],
)
def test_proposition_strength_fails_for_a_false_variant(variant):
    with pytest.raises(AssertionError):
        check_strength(*variant[1])


# --- the collapse: definitions on made-up curves ---

SIZES = np.array([3, 5, 10, 20, 50, 100])
HEATS = np.array([number * 10.0**power for power in range(-5, 1) for number in (1, 3)] + [10.0])


def made_up(exponent: float, growth: float = 0.5) -> np.ndarray:
    """Curves that collapse on τN^p: level below 1, then growing."""
    u = HEATS * SIZES[:, None] ** exponent
    return growth * np.log10(1 + u)


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
    return json.loads((ROOT / "data/collapse.json").read_text())


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
