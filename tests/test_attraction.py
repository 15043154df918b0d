"""Attractors against repulsions: each proposition on every pair, and false variants that fail."""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize

from companion.core.data import sample_task
from companion.core.losses import (
    chamfer_loss,
    coverage_loss,
    fit_loss,
    overlap_loss,
    separation_loss,
    total_loss,
    transport_loss,
)
from companion.core.network import Parameters, activations, initial_parameters, predict, prototypes
from companion.core.settings import Attractor, Settings
from companion.studies import attraction

PUSHES = ("001", "100", "101")
HOLDING = ("chamfer", "transport")


def forces(loss, positions: torch.Tensor) -> torch.Tensor:
    """-dL/dx̂ by automatic differentiation."""
    leaf = positions.detach().clone().requires_grad_()
    return -torch.autograd.grad(loss(leaf), leaf)[0]


def random_case(rng: np.random.Generator, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples in [0, 1], prototypes around them and far away."""
    x = torch.tensor(rng.uniform(0, 1, size))
    far = rng.choice([0.1, 1.0, 30.0], size)
    return x, torch.tensor(0.5 + far * rng.normal(size=size))


# --- springs: the forces, and their floor outside the data ---


def check_springs(transport, chamfer, floor) -> None:
    rng = np.random.default_rng(0)
    for trial in range(60):
        size = int(rng.integers(1, 12))
        x, at = random_case(rng, size)
        temperature = 10 ** rng.uniform(-4, 1)
        pulls = {
            "transport": (transport(x, at), forces(lambda p, x=x: transport_loss(x, p), at)),
            "chamfer": (
                chamfer(x, at, temperature),
                forces(lambda p, x=x, t=temperature: chamfer_loss(x, p, t), at),
            ),
        }
        outside = torch.maximum(x.min() - at, at - x.max()).clamp(min=0)
        for name, (stated, true) in pulls.items():
            torch.testing.assert_close(stated, true, rtol=1e-9, atol=1e-12, msg=f"{name}, trial {trial}")
            inward = torch.where(at > x.max(), -true, true)[outside > 0]
            least = torch.tensor([floor(float(d), size) for d in outside[outside > 0]], dtype=torch.float64)
            assert (inward >= least * (1 - 1e-12)).all(), name
    # The floor is reached: one sample, one prototype.
    x, at = (torch.tensor([place], dtype=torch.float64) for place in (0.3, 5.0))
    assert float(forces(lambda p: transport_loss(x, p), at)) == pytest.approx(-floor(4.7, 1), rel=1e-12)


SPRINGS = (attraction.transport_force, attraction.chamfer_force, attraction.attraction_floor)


def test_proposition_springs():
    check_springs(*SPRINGS)


FALSE_SPRINGS = {
    "a spring to the nearest sample": (
        lambda x, p: 2 * (x[(x - p[:, None]).abs().argmin(-1)] - p) / len(p),
        *SPRINGS[1:],
    ),
    "half the pull": (lambda x, p: attraction.transport_force(x, p) / 2, *SPRINGS[1:]),
    "twice the pull": (lambda x, p: attraction.transport_force(x, p) * 2, *SPRINGS[1:]),
    "outward": (lambda x, p: -attraction.transport_force(x, p), *SPRINGS[1:]),
    "Chamfer without its mirror": (
        SPRINGS[0],
        lambda x, p, t: forces(lambda q: coverage_loss(x, q, t), p),
        SPRINGS[2],
    ),
    "Chamfer without coverage": (
        SPRINGS[0],
        lambda x, p, t: attraction.chamfer_force(x, p, t) - forces(lambda q: coverage_loss(x, q, t), p),
        SPRINGS[2],
    ),
    "a floor of another size": (*SPRINGS[:2], lambda d, n: 2.1 * d / n),
    "a floor that does not fall with N": (*SPRINGS[:2], lambda d, n: 2 * d),
    "a floor below what is reached": (*SPRINGS[:2], lambda d, n: d / n),
}


@pytest.mark.parametrize("variant", FALSE_SPRINGS.items(), ids=lambda variant: variant[0])
def test_proposition_springs_fails_for_a_false_variant(variant):
    with pytest.raises(AssertionError):
        check_springs(*variant[1])


def test_coverage_has_no_floor():
    x = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    at = torch.tensor([0.2, 0.5, 0.8, 2.0, 9.0], dtype=torch.float64)
    assert not forces(lambda p: coverage_loss(x, p, 1e-4), at)[3:].any()


# --- ceilings: no repulsion is stronger than this, anywhere ---


def pushes(x, w, at, temperature) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlap's and separation's forces at fixed w."""
    return (
        forces(lambda p: overlap_loss(activations(x, w, -w * p)), at),
        forces(lambda p: separation_loss(p, temperature), at),
    )


def check_ceilings(overlap, separation) -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        size = int(rng.integers(2, 12))
        x, at = random_case(rng, size)
        w, temperature = torch.tensor(rng.uniform(-20, 20, size)), 10 ** rng.uniform(-4, 1)
        over, apart = pushes(x, w, at, temperature)
        assert (over.abs() <= overlap(w) * (1 + 1e-12)).all()
        assert float(apart.abs().max()) <= separation(size, temperature) * (1 + 1e-12)
    # Both are reached: all others in one place, at the distance where a Gaussian is steepest.
    x, w = torch.full((5,), 0.4, dtype=torch.float64), torch.tensor([7.0, 1, 1, 1, 1], dtype=torch.float64)
    at = torch.full((5,), 0.4, dtype=torch.float64)
    at[0] += 1 / (math.sqrt(2) * 7)
    assert float(pushes(x, w, at, 0.1)[0][0]) == pytest.approx(float(overlap(w)[0]), rel=1e-9)
    at[0] = 0.4 + math.sqrt(0.1 / 2)
    assert float(pushes(x, w, at, 0.1)[1][0]) == pytest.approx(separation(5, 0.1), rel=1e-9)


CEILINGS = (attraction.overlap_ceiling, attraction.separation_ceiling)


def test_proposition_ceilings():
    check_ceilings(*CEILINGS)


FALSE_CEILINGS = {
    "overlap, lower": (lambda w: 0.99 * attraction.overlap_ceiling(w), CEILINGS[1]),
    "overlap, higher": (lambda w: 1.01 * attraction.overlap_ceiling(w), CEILINGS[1]),
    "overlap, half": (lambda w: attraction.overlap_ceiling(w) / 2, CEILINGS[1]),
    "overlap, without w": (lambda w: attraction.overlap_ceiling(w.sign()), CEILINGS[1]),
    "overlap, over N²": (lambda w: attraction.overlap_ceiling(w) / len(w), CEILINGS[1]),
    "separation, lower": (CEILINGS[0], lambda n, t: 0.99 * attraction.separation_ceiling(n, t)),
    "separation, twice": (CEILINGS[0], lambda n, t: 2 * attraction.separation_ceiling(n, t)),
    "separation, one pair": (CEILINGS[0], lambda n, t: attraction.separation_ceiling(n, t) / (n - 1)),
    "separation, without √": (CEILINGS[0], lambda n, t: attraction.separation_ceiling(n, t**2)),
}


@pytest.mark.parametrize("variant", FALSE_CEILINGS.items(), ids=lambda variant: variant[0])
def test_proposition_ceilings_fails_for_a_false_variant(variant):
    with pytest.raises(AssertionError):
        check_ceilings(*variant[1])


# --- balance: beyond R every force balance fails ---


def network(rng: np.random.Generator, size: int) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    x, y = sample_task(size, int(rng.integers(1000)))
    w, _, a, c = initial_parameters(size, int(rng.integers(1000)))
    at = x.clone() + torch.tensor(0.02 * rng.normal(size=size))
    return x, y, Parameters(w, -w * at, a, c)


def check_beyond(radius, attractor: str, mask: str) -> None:
    """A prototype beyond R is pulled inward by the sum of all forces, with the fit's among them."""
    rng = np.random.default_rng(2)
    for trial in range(40):
        size = int(rng.integers(2, 12))
        x, y, (w, b, a, c) = network(rng, size)
        if trial % 2:  # a wide neuron, whom others meet at a distance, and no fit in the way
            a = torch.zeros_like(a)
            y, c = torch.zeros_like(y), torch.zeros_like(c)
        strength, temperature, balance, rho = 10 ** torch.tensor(rng.uniform([-1, -3, -1, -1], 1)).numpy()
        settings = Settings(mask, attractor, strength=strength, temperature=temperature, balance=balance)
        whole = settings.but(mask=f"{mask[0]}1{mask[2]}")
        neuron = int(rng.integers(size))
        # R_j depends on L_fit, which depends on the place: go out until the place is beyond its own R_j.
        side = rng.choice([-1, 1])
        for distance in (0.3 * 1.05**k for k in range(400)):
            place = x.max() + distance if side > 0 else x.min() - distance
            moved = Parameters(w, torch.where(torch.arange(size) == neuron, -w * place, b), a, c)
            if distance > float(radius(x, y, moved, settings, rho)[neuron]):
                break
        at = prototypes(moved.w, moved.b)

        def loss(p, x=x, y=y, w=w, a=a, c=c, settings=whole, rho=rho):
            return total_loss(x, y, Parameters(w, -w * p, a, c), settings, rho)

        assert float(forces(loss, at)[neuron]) * side < 0, (trial, distance)


class Edge(NamedTuple):
    """A network whose first prototype is where every bound of R is reached and transport balances the rest."""

    x: torch.Tensor
    y: torch.Tensor
    parameters: Parameters
    settings: Settings
    rho: float
    distance: float


def edge(mask: str, size: int, fits: bool, seed: int) -> Edge:
    """κ is what the balance asks for: forces are taken by automatic differentiation, so no formula of R is in it."""
    rng = np.random.default_rng(seed)
    narrow = float(rng.uniform(2, 9))
    distance = 1 / (math.sqrt(2) * narrow)
    x, at = (torch.full((size,), 0.4, dtype=torch.float64) for _ in range(2))
    at[0] += distance
    w = torch.tensor([narrow, *rng.uniform(1, 5, size - 1)])
    a, rho, strength = torch.tensor(rng.uniform(0.2, 2, size)), float(rng.uniform(0.3, 2)), float(rng.uniform(0.3, 3))
    settings = Settings(mask, strength=strength, temperature=1 / narrow**2)
    b, c = -w * at, torch.tensor(0.1, dtype=torch.float64)
    # Values below the network's: the fit pushes a bump of positive height outward.
    y = (predict(x, w, b, a, c) - 0.3 * fits).detach()
    push = forces(lambda p: total_loss(x, y, Parameters(w, -w * p, a, c), settings, rho), at)[0]
    balance = float(push) * size / (2 * strength * distance)
    held = settings.but(attractor="transport", balance=balance)
    return Edge(x, y, Parameters(w, b, a, c), held, rho, distance)


def edges() -> list[Edge]:
    return [
        edge(mask, size, fits, seed)
        for seed, (mask, size, fits) in enumerate(product(PUSHES, (2, 3, 6), (False, True)))
    ]


def check_reached(radius) -> None:
    """Where every bound is reached R is the distance itself: no part of it can be smaller, and none is larger."""
    for x, y, parameters, settings, rho, distance in edges():
        assert float(radius(x, y, parameters, settings, rho)[0]) == pytest.approx(distance, rel=1e-9)


def check_balance(radius, attractor: str, mask: str) -> None:
    check_reached(radius)
    check_beyond(radius, attractor, mask)


@pytest.mark.long
@pytest.mark.parametrize("mask", PUSHES)
@pytest.mark.parametrize("attractor", HOLDING)
def test_proposition_balance(attractor, mask):
    check_balance(attraction.radius, attractor, mask)


@pytest.mark.parametrize("mask", PUSHES)
def test_proposition_balance_fails_for_coverage(mask):
    with pytest.raises(AssertionError):
        check_beyond(attraction.radius, "coverage", mask)


def scaled(factor: float):
    return lambda *arguments: factor * attraction.radius(*arguments)


def parts(push=lambda over, apart: over + apart, fit=lambda part, x, y, p, settings: part, rho=lambda rho: rho):
    """R of its parts, each of which a false variant changes."""

    def radius(x, y, p, settings, repulsion=1.0):
        over, apart = (
            attraction.repulsive_radius(p.w, settings.but(mask=mask), 1.0) * (settings.mask[place] == "1")
            for mask, place in (("100", 0), ("001", 2))
        )
        found = fit(attraction.fit_radius(x, y, p, settings), x, y, p, settings)
        return rho(repulsion) * push(over, apart) + found

    return radius


def root_of_fit(x, y, p) -> float:
    return math.sqrt(float(fit_loss(predict(x, *p), y)))


FALSE_RADII = {
    "half": scaled(0.5),
    "twice": scaled(2),
    "√(2/e) left out": scaled(math.sqrt(math.e / 2)),
    "1/κ²": lambda x, y, p, settings, rho=1.0: attraction.radius(x, y, p, settings, rho) / settings.balance,
    "no ρ": parts(rho=lambda rho: 1.0),
    "ρ²": parts(rho=lambda rho: rho**2),
    "the larger repulsion, not both": parts(push=torch.maximum),
    "the fit left out": parts(fit=lambda part, *given: 0 * part),
    "L_fit for its root": parts(fit=lambda part, x, y, p, settings: part * root_of_fit(x, y, p)),
    "λ left out": parts(fit=lambda part, x, y, p, settings: part * settings.strength),
}
SMALLER_RADII = {
    "a fiftieth": scaled(0.02),
    "half": scaled(0.5),
    "one percent less": scaled(0.99),
    "as if nothing pushed": parts(push=lambda over, apart: 0 * over),
    "overlap left out": parts(push=lambda over, apart: apart),
    "separation left out": parts(push=lambda over, apart: over),
    "the fit left out": FALSE_RADII["the fit left out"],
    "L_fit for its root": FALSE_RADII["L_fit for its root"],
}


def test_the_parts_are_the_whole():
    check_reached(parts())


@pytest.mark.parametrize("variant", FALSE_RADII.items(), ids=lambda variant: variant[0])
def test_proposition_balance_fails_for_a_false_variant(variant):
    with pytest.raises(AssertionError):
        check_balance(variant[1], "transport", "101")


@pytest.mark.parametrize("mask", PUSHES)
@pytest.mark.parametrize("attractor", HOLDING)
def test_beyond_a_hundredth_of_the_radius_a_repulsion_wins(attractor, mask):
    """In some case, on each pair."""
    with pytest.raises(AssertionError):
        check_beyond(scaled(0.01), attractor, mask)


# --- at a minimum every prototype is within R of its own sample ---


def check_minimum(radius, mask: str, seeds=range(3)) -> None:
    for x, y, parameters, given, rho, distance in edges():
        assert distance <= float(radius(x, y, parameters, given, rho)[0]) * (1 + 1e-9)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        x, y, (w, b, a, c) = network(rng, 6)
        settings = Settings(f"{mask[0]}1{mask[2]}", "transport", temperature=0.3, balance=0.5)

        def loss(p, x=x, y=y, w=w, a=a, c=c, settings=settings):
            return total_loss(x, y, Parameters(w, -w * p, a, c), settings)

        def value_and_slope(p, loss=loss):
            p = torch.tensor(p)
            return float(loss(p)), -forces(loss, p).numpy()

        options = {"gtol": 1e-10, "maxiter": 5000}
        found = minimize(value_and_slope, prototypes(w, b).numpy(), jac=True, method="BFGS", options=options)
        at = torch.tensor(found.x)
        assert np.abs(found.jac).max() < 1e-6
        own = (attraction.matched_samples(x, at) - at).abs()
        limit = radius(x, y, Parameters(w, -w * at, a, c), settings.but(mask=mask))
        assert (own <= limit + 1e-4).all()


@pytest.mark.parametrize("mask", PUSHES)
def test_proposition_minimum(mask):
    check_minimum(attraction.radius, mask)


@pytest.mark.parametrize("variant", SMALLER_RADII.items(), ids=lambda variant: variant[0])
def test_proposition_minimum_fails_for_a_false_variant(variant):
    with pytest.raises(AssertionError):
        check_minimum(variant[1], "101")


def test_the_book_prints_how_many_false_variants_are_rejected():
    rejected = {
        "springs": FALSE_SPRINGS,
        "ceilings": FALSE_CEILINGS,
        "balance": FALSE_RADII,
        "minimum": SMALLER_RADII,
    }
    assert {name: len(variants) for name, variants in rejected.items()} == attraction.VARIANTS
    assert min(attraction.VARIANTS.values()) >= 6


def test_the_balance_for_a_distance_brings_the_radius_there():
    x, y = sample_task(5, 1)
    start = initial_parameters(5, 1)
    weight = float(start.w.abs().max())
    kappa = attraction.balance_for(0.05, weight)
    settings = Settings("100", balance=kappa)
    found = attraction.repulsive_radius(start.w, settings)
    assert float(found.max()) == pytest.approx(0.05) and (found <= 0.05 * (1 + 1e-12)).all()
    whole = attraction.radius(x, y, start, settings)
    torch.testing.assert_close(whole - found, attraction.fit_radius(x, y, start, settings))
    assert (whole > found).all()


@pytest.mark.parametrize("mask", PUSHES)
def test_the_repulsions_part_of_the_radius_does_not_depend_on_lambda_and_grows_with_rho(mask):
    w = initial_parameters(5, 1).w
    settings = Settings(mask, strength=3.0, temperature=0.01, balance=2.0)
    found = attraction.repulsive_radius(w, settings)
    over = attraction.overlap_ceiling(w) if mask[0] == "1" else 0
    apart = attraction.separation_ceiling(5, 0.01) if mask[2] == "1" else 0
    torch.testing.assert_close(found, (over + apart + 0 * w) * 5 / (2 * 2.0))
    assert torch.equal(attraction.repulsive_radius(w, settings.but(strength=7.0)), found)
    torch.testing.assert_close(attraction.repulsive_radius(w, settings, 0.5), found / 2)


@pytest.mark.parametrize(
    ("change", "repulsion", "says"),
    [
        ({"balance": 0}, 1.0, "balance: 0.0 was given"),
        ({"strength": 0}, 1.0, "strength: 0.0 was given"),
        ({}, -1.0, "repulsion: -1.0 was given"),
    ],
)
def test_a_radius_without_a_pull_is_refused(change, repulsion, says):
    x, y = sample_task(5, 1)
    with pytest.raises(ValueError, match=says):
        attraction.radius(x, y, initial_parameters(5, 1), Settings("101", **change), repulsion)


def test_matched_samples_are_those_of_equal_rank_and_ties_go_by_number():
    x = torch.tensor([0.9, 0.1, 0.5], dtype=torch.float64)
    at = torch.tensor([3.0, -1.0, 3.0], dtype=torch.float64)
    assert attraction.matched_samples(x, at).tolist() == [0.5, 0.1, 0.9]


def test_grid_error_is_the_mean_square_over_the_grid():
    w, b, a, c = initial_parameters(4, 3)
    grid = torch.linspace(0, 1, 11, dtype=torch.float64)
    expected = fit_loss(predict(grid, w, b, a, c), 0.5 * (1 + torch.sin(2 * math.pi * grid)))
    batch = Parameters(*(torch.stack([v, v]) for v in (w, b, a, c)))
    assert attraction.grid_error(batch, points=11).tolist() == pytest.approx([float(expected)] * 2)


@pytest.mark.parametrize("attractor", Attractor)
def test_the_attractor_by_its_name_is_its_loss(attractor):
    """In the total loss of a network without a fit to make: a = c = y = 0."""
    x, at = random_case(np.random.default_rng(3), 5)
    expected = {
        "coverage": lambda: coverage_loss(x, at, 0.1),
        "chamfer": lambda: chamfer_loss(x, at, 0.1),
        "transport": lambda: transport_loss(x, at),
    }[attractor]()
    one, nothing = torch.ones_like(at), torch.zeros_like(at)
    network = Parameters(one, -at, nothing, nothing[0])
    assert total_loss(x, nothing, network, Settings("010", attractor, temperature=0.1)) == expected


# --- what the runs show, on made-up ones ---

E = attraction.E


def made_up(error, sizes=(3, 5), seeds=(1, 2, 3)) -> pd.DataFrame:
    """Runs of every row of the chapter's table; `error` gives E by mask, attractor and size."""
    rows = []
    for mask in attraction.REPULSIONS.values():
        for label in (attraction.ALONE[mask], *(f"{mask} {one}" for one in Attractor)):
            rows += [
                {"label": label, "mask": label[:3], "size": size, "seed": seed, "strength": 1.0, E: error(label, size)}
                for size in sizes
                for seed in seeds
            ]
    return pd.DataFrame(rows)


def test_the_table_of_errors_has_its_rows_in_order_and_small_numbers_at_four_decimals():
    errors = attraction.medians(made_up(lambda label, size: 0.00123 if "transport" in label else size / 4), E)
    table = attraction.error_table(errors, pd.Series({3: 0.3, 5: 0.2}))
    assert list(table) == ["N = 3", "N = 5"] and list(table.index.names) == ["repulsion", "attractor"]
    assert [row for row in table.index if row[0] == "overlap"] == [
        ("overlap", one) for one in ("none", "coverage", "chamfer", "transport")
    ]
    assert table.loc[("overlap", "none")].tolist() == ["0.750", "1.250"]
    assert table.loc[("separation", "transport")].tolist() == ["0.0012", "0.0012"]
    assert table.index[-1] == ("–", "chance") and table.iloc[-1].tolist() == ["0.300", "0.200"]


def test_strength_1_is_taken_from_transport_s_runs_with_the_same_seeds():
    runs = made_up(lambda label, size: 0.5 if label == "110 transport" else 9.0)
    runs.loc[runs["seed"] == 3, E] = 99.0
    strengths = pd.DataFrame(
        {"mask": "110", "size": 3, "seed": [1, 2, 1, 2], "strength": [0.1, 0.1, 3.0, 3.0], E: [0.4, 0.2, 0.7, 0.7]}
    )
    table = attraction.by_strength(strengths, runs)
    own = table[(table["mask"] == "110") & (table["size"] == 3)].set_index("strength")["median"]
    assert own.to_dict() == pytest.approx({0.1: 0.3, 1.0: 0.5, 3.0: 0.7})
    best = attraction.best_strength(table, pd.Series({3: 0.1, 5: 0.25}))
    assert best.to_dict() == pytest.approx({3: 3.0, 5: 2.0})
    panel = attraction.strength_panels(table)["overlap"][1]
    np.testing.assert_allclose(panel.loc[panel["curve"] == "N = 3", ["x", "value"]], [[0.1, 0.3], [1, 0.5], [3, 0.7]])


def test_what_is_left_is_compared_with_the_other_forces():
    """The forces by differentiation: on x̂ at fixed w, that is b = -w x̂; annealed, the push is the last step's."""
    size, balance, steps = 4, 10.0, 200
    x, y = sample_task(size, 1)
    start = initial_parameters(size, 1)
    row = {"size": size, "balance": balance, "steps": steps, "x": x.numpy(), "y": y.numpy(), "c": float(start.c)}
    row |= {name: getattr(start, name).numpy() for name in "wba"}
    kinds = {"110 transport κ=10": False, "110 transport κ=10 annealed": True}
    left = attraction.left_over(pd.DataFrame([{**row, "label": name, "anneal": on} for name, on in kinds.items()]))
    at = prototypes(start.w, start.b)
    for kind, rho in (("κ=10", 1.0), ("κ=10 annealed", 1 / steps)):

        def others(positions, rho=rho):
            b = -start.w * positions
            fit = fit_loss(predict(x, start.w, b, start.a, start.c), y)
            return fit + rho * overlap_loss(activations(x, start.w, b))

        expected = (forces(others, at).abs() * size / (2 * balance)).median()
        assert left.loc[(kind, size), "by the forces"] == pytest.approx(float(expected))
        assert left.loc[(kind, size), "to its sample"] == float((attraction.matched_samples(x, at) - at).abs().median())
    assert left.loc[("κ=10 annealed", size), "R"] < left.loc[("κ=10", size), "R"]


def test_ratios_on_the_grid_are_typical_ones_seed_by_seed_and_clear_where_the_interval_excludes_1():
    alone = np.array([1.0, 2.0, 10.0, 100.0, 500.0, 1000.0])  # six: fewer have no interval
    grid = pd.DataFrame(
        {("100", 3): alone, ("110 transport", 3): 2 * alone, ("100", 5): alone, ("110 transport", 5): alone / 4}
    ).T.rename_axis(["label", "size"])
    for label in ("000", "001", "101"):
        grid.loc[(label, 3), :] = alone
    ratios = attraction.grid_ratios(grid)
    assert ratios[["repulsion", "attractor", "size"]].to_numpy().tolist() == [
        ["overlap", "transport", 3],
        ["overlap", "transport", 5],
    ]
    np.testing.assert_allclose(ratios[["value", "low", "high"]], [[2.0] * 3, [0.25] * 3])
    assert attraction.clear_sides(ratios, "overlap", "transport") == ([5], [3])
    assert attraction.ratio_table(ratios).loc[("overlap", "transport"), "N = 3"] == "2.00 [2.00, 2.00]"
    roots = attraction.grid_table(grid)
    assert roots.loc[("overlap", "none"), "N = 3"] == pytest.approx(55**0.5)
    assert roots.loc[("overlap", "transport"), "N = 5"] == pytest.approx((55 / 4) ** 0.5)
