"""Separation's reach, the room it asks for and its strength: each proposition, and false variants that fail."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import lambertw
from variants import counted, rejected

from companion.core.losses import fit_loss, separation_loss
from companion.core.network import predict
from companion.studies import crowding

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


FALSE = {}
FALSE["force"] = {
    name: partial(check_force, *formulas)
    for name, formulas in {
        "a pair counted once": (lambda d, n, t: crowding.pair_force(d, n, t) / 2, *FORCE[1:]),
        "twice the force": (lambda d, n, t: crowding.pair_force(d, n, t) * 2, *FORCE[1:]),
        "attraction": (lambda d, n, t: -crowding.pair_force(d, n, t), *FORCE[1:]),
        "N² for N (N - 1)": (lambda d, n, t: crowding.pair_force(d, n, t) * (n - 1) / n, *FORCE[1:]),
        "peak with another power of τ": (FORCE[0], lambda n, t: crowding.peak_force(n, t) / np.sqrt(t), FORCE[2]),
        "peak without N - 1": (FORCE[0], lambda n, t: crowding.peak_force(n, t) * (n - 1), FORCE[2]),
        "2/e for its root in the peak": (
            FORCE[0],
            lambda n, t: crowding.peak_force(n, t) * np.sqrt(2 / np.e),
            FORCE[2],
        ),
        "share without its factor": (*FORCE[:2], lambda k: crowding.share_of_peak(k) / np.sqrt(2)),
        "share with another exponent": (*FORCE[:2], lambda k: np.sqrt(2) * k * np.exp(0.5 - k**2 / 2)),
    }.items()
}


def check_net_force(greatest: Callable, sides: float = 2, least: Callable = lambda t: np.sqrt(t / 2)) -> None:
    rng = RNG(1)
    for _ in range(60):
        size, temperature = int(rng.integers(2, 30)), 10 ** rng.uniform(-4, 1)
        spacing = least(temperature) * rng.uniform(1, 2)
        places = np.cumsum(spacing * (1 + 1e-9 + rng.exponential(rng.choice([0.0, 0.1, 1.0]), size)))
        bound = greatest(spacing, size, temperature)
        assert np.abs(net_forces(rng.permutation(places), temperature)).max() <= bound * (1 + 1e-6)
        apart = np.abs(places[:, None] - places)
        assert crowding.pair_force(apart, size, temperature).sum(1).max() <= sides * bound * (1 + 1e-6)
        even = net_forces(spacing * np.arange(size), temperature)
        assert -even[0] == pytest.approx(bound, rel=1e-9)
    # In the middle of many that stand evenly all pushes together are twice the bound.
    apart = np.sqrt(0.5) * np.abs(np.arange(41) - 20)
    total = crowding.pair_force(apart, 41, 1.0).sum()
    assert total == pytest.approx(sides * greatest(np.sqrt(0.5), 41, 1.0), rel=1e-6)


def test_proposition_net_force():
    check_net_force(crowding.greatest_net_force)
    with pytest.raises(ValueError, match="spacing"):
        crowding.greatest_net_force(0.7, 5, 1.0)


def pushes(d, n, t, first=1, last=0, power=1):
    """The sum of pushes at kD, from another first neighbour or to another last one, or at k²D."""
    return float(crowding.pair_force(d * np.arange(first, n - last) ** power, n, t).sum())


FALSE["net-force"] = {
    "both sides add up": lambda: check_net_force(lambda *given: 2 * pushes(*given)),
    "halved": lambda: check_net_force(lambda *given: pushes(*given) / 2),
    "attraction": lambda: check_net_force(lambda *given: -pushes(*given)),
    "the nearest neighbour only": lambda: check_net_force(lambda d, n, t: float(crowding.pair_force(d, n, t))),
    "one neighbour too few": lambda: check_net_force(lambda *given: pushes(*given, last=1)),
    "twice the spacing": lambda: check_net_force(lambda d, n, t: pushes(2 * d, n, t)),
    "k² for k": lambda: check_net_force(lambda *given: pushes(*given, power=2)),
    "all pushes together at most once": lambda: check_net_force(crowding.greatest_net_force, sides=1),
    "all pushes together up to four times": lambda: check_net_force(crowding.greatest_net_force, sides=4),
    "at every spacing": lambda: check_net_force(pushes, least=lambda t: 0.05 * np.sqrt(t)),
}


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


def series(u, factor=4.0, power=1, first=1, last=60, exponent=1.0):
    """G(u) with another factor, power of k, first or last term, or exponent."""
    k = np.arange(first, last)
    return factor / u * float((k**power * np.exp(-exponent * k**2.0 / u)).sum())


FALSE["even-spacing"] = {
    "e^(-1/u²)": lambda: check_even_spacing(lambda u: u * series(u**2)),
    "e^-u": lambda: check_even_spacing(lambda u: series(1 / u) / u**2),
    "twice the exponent": lambda: check_even_spacing(lambda u: series(u, exponent=2.0)),
    "half the exponent": lambda: check_even_spacing(lambda u: series(u, exponent=0.5)),
    "halved": lambda: check_even_spacing(lambda u: series(u, factor=2.0)),
    "doubled": lambda: check_even_spacing(lambda u: series(u, factor=8.0)),
    "k² for k": lambda: check_even_spacing(lambda u: series(u, power=2)),
    "without k": lambda: check_even_spacing(lambda u: series(u, power=0)),
    "the first term only": lambda: check_even_spacing(lambda u: series(u, last=2)),
    "without the first term": lambda: check_even_spacing(lambda u: series(u, first=2)),
    "without 1/u": lambda: check_even_spacing(lambda u: u * series(u)),
}


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


ROOM = (crowding.least_repulsion, crowding.room_needed)
FALSE["room"] = {
    name: partial(check_room, *formulas)
    for name, formulas in {
        "without 1/e": (without_e, ROOM[1]),
        "doubled": (lambda *given: 2 * ROOM[0](*given), ROOM[1]),
        "halved": (lambda *given: ROOM[0](*given) / 2, ROOM[1]),
        "cells rounded down": (rounded_down, ROOM[1]),
        "prototypes paired with themselves": (lambda n, s, t: n / np.ceil(s / np.sqrt(t)) / (np.e * (n - 1)), ROOM[1]),
        "N for N - 1": (lambda n, s, t: ROOM[0](n, s, t) * (n - 1) / n, ROOM[1]),
        "cells of width τ": (lambda n, s, t: ROOM[0](n, s, t**2), ROOM[1]),
        "one cell less forgotten": (ROOM[0], lambda n, e, t: ROOM[1](n, e, t) + np.sqrt(t)),
        "repulsion forgotten": (ROOM[0], lambda n, e, t: np.sqrt(t) * (n - 1)),
        "without e": (ROOM[0], lambda n, e, t: ROOM[1](n, e / np.e, t)),
        "twice the room": (ROOM[0], lambda n, e, t: 2 * ROOM[1](n, e, t)),
        "half the room": (ROOM[0], lambda n, e, t: ROOM[1](n, e, t) / 2),
        "room that grows like τ": (ROOM[0], lambda n, e, t: ROOM[1](n, e, t) * np.sqrt(t)),
    }.items()
}


def test_prototypes_at_one_place_do_not_push_one_another():
    """So no room follows from the absence of forces: it follows from a small loss, and theirs is the greatest."""
    places = np.full(20, 0.3)
    assert (net_forces(places, 1e-4) == 0).all()
    loss = float(separation_loss(torch.tensor(places), 1e-4))
    assert loss == 1 and crowding.room_needed(20, loss, 1e-4) < 0


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


def check_strength(reach: Callable, winning_strength: Callable, most: float = 2.0, from_q: float = 1.0) -> None:
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
        if distance**2 >= from_q * temperature:
            factor = 10 ** rng.uniform(0.01, 3)
            added = (reach(resistance, size, temperature, factor * strength) ** 2 - distance**2) / temperature
            assert np.log(factor) < added <= most * np.log(factor) * (1 + 1e-9)
    # At the least q and for a small factor the upper end is all but reached.
    least = float(crowding.pair_force(from_q**0.5, 2, 1.0))
    assert (reach(least, 2, 1.0, 1.001) ** 2 - from_q) / np.log(1.001) == pytest.approx(most, rel=0.01)
    attained = 0.0
    for seed in range(200):  # no force of the fit is above separation's peak at that strength, and some come near
        forces, weights, loss = fit_forces(seed)
        for size, temperature in ((2, 1.0), (50, 1e-3)):
            peaks = winning_strength(size, temperature, loss, weights) * crowding.peak_force(size, temperature)
            assert (np.abs(forces) <= peaks * (1 + 1e-12)).all()
            attained = max(attained, (np.abs(forces) / peaks).max())
    assert attained > 0.99


def test_proposition_strength():
    check_strength(crowding.reach, crowding.winning_strength)


def other_branch(resistance: float, size: int, temperature: float, strength: float = 1.0) -> np.ndarray:
    level = resistance * size * (size - 1) * np.sqrt(temperature) / (4 * strength)
    return np.sqrt(temperature * -lambertw(-2 * level**2, 0).real / 2) if 2 * np.e * level**2 <= 1 else np.nan


STRENGTH = (crowding.reach, crowding.winning_strength)
FALSE["strength"] = {
    name: partial(check_strength, *formulas)
    for name, formulas in {
        "the upper branch": (other_branch, STRENGTH[1]),
        "reach grows like √λ": (lambda f, n, t, s=1.0: np.sqrt(s) * STRENGTH[0](f / s, n, t), STRENGTH[1]),
        "reach without λ": (lambda f, n, t, s=1.0: STRENGTH[0](f, n, t), STRENGTH[1]),
        "twice the reach": (lambda *given: 2 * STRENGTH[0](*given), STRENGTH[1]),
        "half the reach": (lambda *given: STRENGTH[0](*given) / 2, STRENGTH[1]),
        "reach with twice the resistance": (lambda f, *given: STRENGTH[0](2 * f, *given), STRENGTH[1]),
        "at most ln s": (*STRENGTH, 1.0),
        "up to 4 ln s": (*STRENGTH, 4.0),
        "for every q": (*STRENGTH, 2.0, 0.5),
        "half the winning strength": (STRENGTH[0], lambda *given: STRENGTH[1](*given) / 2),
        "twice the winning strength": (STRENGTH[0], lambda *given: 2 * STRENGTH[1](*given)),
        "winning strength with L_fit": (STRENGTH[0], lambda n, t, fit, wa: STRENGTH[1](n, t, fit**2, wa)),
        "winning strength with τ": (STRENGTH[0], lambda n, t, fit, wa: STRENGTH[1](n, t**2, fit, wa)),
    }.items()
}

test_a_false_variant_is_rejected = rejected(FALSE)
test_the_chapter_prints_how_many_variants_are_rejected = counted(FALSE, crowding.VARIANTS, "20-crowding")


# --- what the chapter reads off ---


def test_the_least_repulsion_found_is_that_of_two_prototypes_at_the_ends():
    assert crowding.least_found(2, 0.5) == pytest.approx(np.exp(-2), rel=1e-6)
    three = float(separation_loss(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), 0.1))
    assert crowding.least_found(3, 0.1) == pytest.approx(three, rel=1e-6)


def test_looseness_leaves_bounds_of_0_out():
    bounds = pd.DataFrame({"the bound": [0.0, 0.1, 0.2], "least found": [0.1, 0.2, 0.8]}, index=[1, 2, 3])
    assert crowding.looseness(bounds).to_dict() == {2: 2.0, 3: 4.0}


def test_reaches_are_the_same_at_any_size_and_temperature():
    table = crowding.reaches({"half": 0.5, "five": 5}, [1, 100])
    assert table.index.tolist() == ["1", "100"] and table.isna().to_numpy().tolist() == [[False, True], [False, False]]
    for size, temperature in ((3, 0.1), (100, 1e-4)):
        peak = crowding.peak_force(size, temperature)
        found = crowding.reach(peak * np.array([0.5, 5]), size, temperature, 100.0) / np.sqrt(temperature)
        np.testing.assert_allclose(table.loc["100"], found, rtol=1e-9)


def test_room_needed_and_taken_is_that_of_the_middle_half():
    places = np.array([-50.0, 0.0, 1.0, 2.0, 90.0])
    runs = pd.DataFrame([{"size": 5, "temperature": 1e-4, "w": np.full(5, 2.0), "b": -2 * places}])
    rooms = crowding.needed_and_taken(runs)
    assert rooms["taken"].item() == 2 and rooms["needed"].item() == crowding.room_needed(3, 0.0, 1e-4)
    table = crowding.room_table(runs)
    assert table.loc["0.0001"].to_dict() == {
        "N√τ": 0.05,
        "room needed (proven)": rooms["needed"].item(),
        "room taken": 2,
    }


def test_winning_strengths_are_medians_over_seeds_of_std_at_the_lowest_temperature():
    columns = {"mask": "000", "size": 3, "temperature": 1e-5, "fit_mse": 4.0, "a": np.ones(3)}
    runs = pd.DataFrame([columns | {"w": np.array(w)} for w in ([1.0, 2.0, 6.0], [3.0, 4.0, 5.0], [0.0, 3.0, 9.0])])
    others = pd.concat([runs.assign(mask="001", fit_mse=1e3), runs.assign(temperature=1.0, fit_mse=1e3)])
    table = crowding.winning_strengths(pd.concat([others, runs]))
    # N (N - 1) √τ √L is 3 · 2 · ⅓ · 2 = 4.
    assert table.loc[3].tolist() == pytest.approx([4 * 3, 4 * 6])
