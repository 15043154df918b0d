"""The propositions of the chapter "Forces", each beside false variants on which its check fails."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import sympy
import torch

from companion.core.losses import coverage_loss, fit_loss, overlap_loss, separation_loss
from companion.core.network import Parameters, activations, predict, prototypes, starting_batch
from companion.core.settings import Settings
from companion.core.train import BETAS, EPSILON, LEARNING_RATE
from companion.studies import forces

LOSSES = {
    "fit": lambda x, y, p, temperature: fit_loss(predict(x, *p), y),
    "coverage": lambda x, y, p, temperature: coverage_loss(x, prototypes(p.w, p.b), temperature),
    "separation": lambda x, y, p, temperature: separation_loss(prototypes(p.w, p.b), temperature),
    "overlap": lambda x, y, p, temperature: overlap_loss(activations(x, p.w, p.b)),
}
FORCES = {
    "fit": lambda x, y, p, temperature: forces.fit_force(x, y, p),
    "coverage": lambda x, y, p, temperature: forces.coverage_force(x, prototypes(p.w, p.b), temperature),
    "separation": lambda x, y, p, temperature: forces.separation_force(prototypes(p.w, p.b), temperature),
    "overlap": lambda x, y, p, temperature: forces.overlap_force(x, p.w, p.b),
}


def instances(count: int = 40, neurons: tuple[int, ...] = (2, 3, 7)) -> list:
    """Random tasks and networks: samples in [0, 1], prototypes in and out of it, as many neurons as samples."""
    rng = np.random.default_rng(20260101)
    drawn = []
    for number in range(count):
        n = neurons[number % len(neurons)]
        w = rng.choice([-1, 1], n) * rng.uniform(0.3, 8, n)
        at = rng.uniform(-1, 2, n)
        values = [rng.uniform(0, 1, n), rng.uniform(0, 1, n), w, -w * at, rng.normal(size=n), rng.normal()]
        x, y, w, b, a, c = (torch.as_tensor(value, dtype=torch.float64) for value in values)
        drawn.append((x, y, Parameters(w, b, a, c), float(10 ** rng.uniform(-2, 0))))
    return drawn


def near(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-13)


# --- the force of each loss, and the way to w and b ---


def check_forces(given: dict[str, Callable]) -> None:
    for x, y, p, temperature in instances():
        at = prototypes(p.w, p.b).requires_grad_()
        for name, loss in LOSSES.items():
            moved = Parameters(p.w, -p.w * at, p.a, p.c)
            expected = -torch.autograd.grad(loss(x, y, moved, temperature), at)[0]
            assert expected.abs().max() > 0
            near(given[name](x, y, p, temperature), expected)


def check_way_to_w_and_b(way: Callable) -> None:
    for x, y, p, temperature in instances():
        w, b = (value.clone().requires_grad_() for value in (p.w, p.b))
        for name, loss in LOSSES.items():
            force = FORCES[name](x, y, p, temperature)
            dw, db = torch.autograd.grad(loss(x, y, Parameters(w, b, p.a, p.c), temperature), (w, b))
            by_w, by_b = way(p.w, p.b, force)
            near(by_b, db)
            if name in ("coverage", "separation"):  # the two that see a neuron by its prototype alone
                near(by_w, dw)


def way(w, b, force):
    return prototypes(w, b) * force / w, force / w


def test_proposition_forces():
    check_forces(FORCES)
    check_way_to_w_and_b(way)


@pytest.mark.parametrize(
    ("name", "false"),
    [
        ("fit", lambda x, y, p, t: -forces.fit_force(x, y, p)),
        ("fit", lambda x, y, p, t: forces.fit_force(x, y, p) / p.w),
        ("coverage", lambda x, y, p, t: forces.coverage_force(x, prototypes(p.w, p.b), 2 * t)),
        ("separation", lambda x, y, p, t: forces.separation_force(prototypes(p.w, p.b), t) / 2),
        ("overlap", lambda x, y, p, t: forces.overlap_force(x, p.w, p.b) / 2),
    ],
    ids=["fit, wrong sign", "fit, w for w²", "coverage, twice τ", "separation, one of two orders", "overlap, halved"],
)
def test_proposition_forces_fails_for_a_false_variant(name, false):
    with pytest.raises(AssertionError):
        check_forces(FORCES | {name: false})


@pytest.mark.parametrize(
    "false",
    [lambda w, b, force: (force / w, force / w), lambda w, b, force: (-prototypes(w, b) * force / w, force / w)],
    ids=["x̂ lost", "wrong sign"],
)
def test_proposition_way_to_w_and_b_fails_for_a_false_variant(false):
    with pytest.raises(AssertionError):
        check_way_to_w_and_b(false)


def test_a_field_is_the_force_on_the_moved_neuron():
    x, y, p, temperature = instances(3)[2]
    places = torch.linspace(-0.5, 1.5, 9, dtype=torch.float64)
    field = forces.force_field(x, y, p, (4, places), Settings(strength=3.0, temperature=temperature))
    for number, place in enumerate(places):
        b = p.b.clone()
        b[4] = -p.w[4] * place
        moved = p._replace(b=b)
        apart = {name: float(FORCES[name](x, y, moved, temperature)[4]) for name in LOSSES}
        for name, force in apart.items():
            assert float(field[name][number]) == pytest.approx((1 if name == "fit" else 3) * force, rel=1e-9)
        total = apart["fit"] + 3 * (apart["coverage"] + apart["separation"] + apart["overlap"])
        assert float(field["sum"][number]) == pytest.approx(total, rel=1e-9)


# --- one step ---


def check_step(displacement: Callable) -> None:
    w, b, dw, db = sympy.symbols("w b dw db", nonzero=True)
    assert sympy.simplify(displacement(w, b, dw, db) - (-(b + db) / (w + dw) + b / w)) == 0


def check_longest(longest: float) -> None:
    rate = longest * LEARNING_RATE
    rng = np.random.default_rng(5)
    # Long after the start, a gradient that grows from step to step as β₂/β₁; and one that is zero but once.
    growing, alone = np.zeros(8000), np.zeros(400)
    growing[-250:] = 1e-3 * (BETAS[1] / BETAS[0]) ** np.arange(250.0)
    alone[-1] = 1
    sequences = [growing, alone, *(rng.standard_cauchy(400) for _ in range(20)), *np.exp(rng.normal(size=(20, 400)))]
    for gradients in sequences:
        steps = np.abs(np.diff(adam(gradients)))
        assert steps.max() <= rate * (1 + 1e-9)
    assert np.abs(np.diff(adam(growing))).max() > 0.999 * rate, "the bound is reached"


def adam(gradients: np.ndarray) -> np.ndarray:
    """A parameter's path under torch's Adam and a given sequence of gradients."""
    at = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([at], lr=LEARNING_RATE, betas=BETAS, eps=EPSILON)
    path = [0.0]
    for gradient in gradients:
        at.grad = torch.tensor([float(gradient)], dtype=torch.float64)
        optimizer.step()
        path.append(at.item())
    return np.array(path)


def check_reach_of_a_step(reach: Callable) -> None:
    longest = forces.longest_adam_step() * LEARNING_RATE
    rng = np.random.default_rng(6)
    for _ in range(500):
        w = rng.choice([-1, 1]) * (longest + 10 ** rng.uniform(-3, 1))
        at = rng.uniform(-3, 3)
        dw, db = rng.choice([-1, 1, rng.uniform(-1, 1)], 2) * longest
        moved = float(forces.displacement(*(torch.tensor([value]).double() for value in (w, -w * at, dw, db))))
        assert abs(moved) <= reach(abs(w), abs(at), longest) * (1 + 1e-9)


@pytest.mark.long
def test_proposition_steps():
    check_step(lambda w, b, dw, db: -(db + (-b / w) * dw) / (w + dw))
    w, b, dw, db = torch.rand(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    near(forces.displacement(w, b, dw, db), prototypes(w + dw, b + db) - prototypes(w, b))
    check_longest(forces.longest_adam_step())
    check_reach_of_a_step(lambda w, at, longest: longest * (1 + at) / (w - longest))


@pytest.mark.slow
def test_proposition_steps_fails_for_a_false_variant():
    for false in (
        lambda w, b, dw, db: -(db + (-b / w) * dw) / w,  # to first order only
        lambda w, b, dw, db: -(db - (-b / w) * dw) / (w + dw),
    ):
        with pytest.raises(AssertionError):
            check_step(false)
    for false in (1.0, (1 - BETAS[0]) / math.sqrt(1 - BETAS[1]), 1.01 * forces.longest_adam_step()):
        with pytest.raises(AssertionError):
            check_longest(false)
    for false in (
        lambda w, at, longest: longest * (1 + at) / w,
        lambda w, at, longest: longest / (w - longest),
    ):
        with pytest.raises(AssertionError):
            check_reach_of_a_step(false)


# --- overlap ---


def exact_overlap(x, w, b) -> float:
    """L_ovl without the identity, whose difference of two sums rounds to 0 where hardly anything is shared."""
    n = len(w)
    return float(forces.shared_responses(x, w, b).sum() / (len(x) * n * (n - 1)))


def check_outward(force: Callable, centre: Callable) -> None:
    outside = 0
    for x, _, p, _ in instances(120):
        at, away, middle = prototypes(p.w, p.b), force(x, p.w, p.b), centre(x, p.w, p.b)
        assert ((middle >= x.min() - 1e-12) & (middle <= x.max() + 1e-12)).all()
        assert (away * (at - middle) > 0).all()
        assert (away[at > x.max()] > 0).all() and (away[at < x.min()] < 0).all()
        outside += int(((at > x.max()) | (at < x.min())).sum())
        # What drives it is the loss itself: a small step along the force lowers it.
        step = 1e-7 * away / away.abs().max()
        assert exact_overlap(x, p.w, -p.w * (at + step)) < exact_overlap(x, p.w, p.b)
    assert outside > 100


def test_proposition_outward():
    check_outward(forces.overlap_force, forces.crowd_centre)


@pytest.mark.parametrize(
    ("force", "centre"),
    [
        (lambda x, w, b: -forces.overlap_force(x, w, b), forces.crowd_centre),
        (forces.overlap_force, lambda x, w, b: x.mean(-1, keepdim=True).expand_as(w)),
        (forces.overlap_force, lambda x, w, b: -prototypes(w, b)),
    ],
    ids=["inward", "away from the samples' mean", "a centre out of the range"],
)
def test_proposition_outward_fails_for_a_false_variant(force, centre):
    with pytest.raises(AssertionError):
        check_outward(force, centre)


def check_only_two_ways(bound: Callable) -> None:
    for x, _, p, _ in instances(120):
        at, span = prototypes(p.w, p.b), float(x.max() - x.min())
        beyond = float(torch.maximum(x.min() - at, at - x.max()).clamp(min=0).max())
        loss = exact_overlap(x, p.w, p.b)
        assert loss >= bound(float(p.w.abs().max()), span + beyond)
    # Two neurons at one end and both samples at the other: the bound is reached.
    x = torch.tensor([0.0, 0.0], dtype=torch.float64)
    w, at = torch.tensor([2.0, -2.0], dtype=torch.float64), torch.tensor([0.7, 0.7], dtype=torch.float64)
    assert bound(2.0, 0.7) == pytest.approx(exact_overlap(x, w, -w * at), rel=1e-12)


def test_proposition_two_ways():
    check_only_two_ways(lambda width, reach: math.exp(-2 * (width * reach) ** 2))


@pytest.mark.parametrize(
    "false",
    [lambda width, reach: math.exp(-((width * reach) ** 2)), lambda width, reach: math.exp(-2 * width**2 * reach)],
    ids=["one response for two", "distance for its square"],
)
def test_proposition_two_ways_fails_for_a_false_variant(false):
    with pytest.raises(AssertionError):
        check_only_two_ways(false)


def check_free_width(outward_from: float) -> None:
    rng = np.random.default_rng(8)
    for _ in range(300):
        n = int(rng.integers(2, 6))
        x = torch.as_tensor(rng.uniform(0, 1, n))
        at = torch.as_tensor(rng.uniform(-1, 2, n))
        side = rng.integers(2)
        at[0] = rng.uniform(x.max(), 4) if side else rng.uniform(outward_from, x.min())
        w = torch.as_tensor(rng.choice([-1, 1], n) * rng.uniform(0.1, 0.6, n))
        b = (-w * at).requires_grad_()
        w.requires_grad_()
        dw, db = torch.autograd.grad(overlap_loss(activations(x, w, b)), (w, b))
        # The flow -∂L/∂(w, b), seen at the prototype.
        moving = -(-db + prototypes(w, b) * -dw) / w
        assert moving[0] > 0 if side else moving[0] < 0


def test_proposition_free_width():
    check_free_width(-1.0)


def test_proposition_free_width_fails_for_a_false_variant():
    with pytest.raises(AssertionError):
        check_free_width(-6.0)


# --- coverage ---


def check_blind_spot(bound: Callable) -> None:
    tight = 0.0
    for x, _, p, temperature in instances(200):
        at = prototypes(p.w, p.b)
        force, limit = forces.coverage_force(x, at, temperature).abs(), bound(x, at, temperature)
        assert (force <= limit * (1 + 1e-12)).all()
        tight = max(tight, float((force / limit).max()))
    assert tight > 0.9, "no instance comes near the bound"


def test_proposition_blind_spot():
    check_blind_spot(forces.coverage_bound)


@pytest.mark.parametrize(
    "false",
    [
        lambda x, at, t: forces.coverage_bound(x, at, t) / 2,
        lambda x, at, t: forces.coverage_bound(x, at, t / 2),
        lambda x, at, t: 10 * forces.coverage_bound(x, at, t),
    ],
    ids=["half", "half τ", "ten times as wide"],
)
def test_proposition_blind_spot_fails_for_a_false_variant(false):
    with pytest.raises(AssertionError):
        check_blind_spot(false)


def shielded(count: int) -> list:
    """Networks whose last prototype is D outside the samples, each sample having a prototype within r < D."""
    rng = np.random.default_rng(9)
    drawn = []
    for _ in range(count):
        n, temperature = int(rng.integers(2, 8)), float(10 ** rng.uniform(-4, -1))
        x = torch.as_tensor(np.sort(rng.uniform(0, 1, n)))
        r = rng.uniform(0, 0.2)
        others = x[1:] + torch.as_tensor(rng.uniform(-r, r, n - 1))
        r = float((x[:, None] - others).abs().min(1).values.max())  # the lowest sample has lost its own
        distance = max(r, math.sqrt(temperature / 2)) + 10 ** rng.uniform(-3, 0.5)
        at = torch.cat([others, torch.tensor([float(x.max()) + distance])])
        w = torch.as_tensor(rng.uniform(0.2, 0.9 / math.sqrt(temperature), n).clip(max=12))
        drawn.append((x, at, w, temperature, r, distance))
    return drawn


def check_far(bound: Callable) -> None:
    silent = 0
    for x, at, _, temperature, r, distance in shielded(300):
        force = abs(float(forces.coverage_force(x, at, temperature)[-1]))
        assert force <= bound(distance, r, temperature) * (1 + 1e-12)
        if (distance**2 - r**2) / temperature > 746:
            assert force == 0.0, "in double precision nothing at all"
            silent += 1
    assert silent > 20


def check_overlap_wins(beyond: Callable) -> None:
    won = 0
    for x, at, w, temperature, r, distance in shielded(600):
        b, n = -w * at, len(x)
        shared = float(activations(x, w, b)[x.argmax(), :-1].sum())
        if shared > 1e-200 and distance > beyond(n, float(w[-1]), shared, r, temperature):
            pull = -float(forces.coverage_force(x, at, temperature)[-1])
            push = float(forces.overlap_force(x, w, b)[-1])
            assert push > pull or push == 0
            won += push > 0
    assert won > 50


def test_proposition_not_compatible():
    check_far(lambda distance, r, temperature: 2 * distance * math.exp(-(distance**2 - r**2) / temperature))
    check_overlap_wins(forces.overlap_wins_from)


def test_proposition_not_compatible_fails_for_a_false_variant():
    for false in (
        lambda distance, r, temperature: 2 * distance * math.exp(-(distance**2) / temperature),  # r forgotten
        lambda distance, r, temperature: 2 * distance * math.exp(-2 * (distance**2 - r**2) / temperature),
    ):
        with pytest.raises(AssertionError):
            check_far(false)
    with pytest.raises(AssertionError):
        check_overlap_wins(lambda *given: 0.0)  # at every distance


# --- what the chapter reads off ---


def test_a_moved_neuron_is_the_only_thing_that_moves():
    x, _, network = forces.five_neurons()
    at = torch.tensor([-0.3, 0.6], dtype=torch.float64)
    moved = forces.moved_along(network, 1, at)
    near(moved.w, network.w.expand(2, -1))
    near(prototypes(moved.w, moved.b), torch.tensor([[0.1, p, 0.5, 0.7, 0.9] for p in at], dtype=torch.float64))
    assert moved.c.tolist() == [0.5, 0.5] and torch.equal(prototypes(network.w, network.b), x)


def made_up_moves(small: float, large: float) -> pd.DataFrame:
    """Neurons whose moves go with one power of |w| below 1 and with another above."""
    weight = np.logspace(-1.5, 1, 2001)[1:-1]
    moved = np.where(weight < 1, weight**small, weight**large)
    return pd.DataFrame({"weight": weight, "reach": 2.0, "moved": moved})


def test_moves_are_read_off_by_weight():
    moves = forces.moves_by_weight(made_up_moves(-2, -1))
    assert len(moves) == 10 and moves.notna().all(axis=None)
    np.testing.assert_allclose(moves.index[1:] / moves.index[:-1], 10**0.25)
    assert forces.powers_of_the_weight(moves) == pytest.approx((-2, -1), abs=0.01)
    np.testing.assert_allclose(moves["median of the neurons"].iloc[-4:] * moves.index[-4:], 1, rtol=0.01)
    np.testing.assert_allclose(moves["η(1 + |x̂|)/|w|, median"], 2 * moves["η/|w|"], rtol=0.01)
    assert moves["largest"].iloc[-1] == pytest.approx(10**-0.75, rel=0.01)


def test_a_move_is_compared_with_what_the_proposition_allows():
    longest = forces.longest_adam_step() * LEARNING_RATE
    neurons = pd.DataFrame({"weight": [longest, 2 * longest, 3 * longest], "reach": [1.0, 2.0, 3.0], "moved": 1.0})
    assert forces.bounded_moves(neurons).tolist() == pytest.approx(
        [1 / 2, 2 / 3]
    )  # longest · reach / (weight - longest)


def test_ways_out_are_medians_over_seeds(replication):
    few = replication[(replication["size"] == 5) & replication["mask"].isin(["000", "100", "110"])]
    table = forces.two_ways(few)
    assert table.index.tolist() == [5] and table.shape == (1, 5)
    overlap = few[few["mask"] == "100"]
    assert table["median |w|, 100 Ovl"].item() == np.median([np.median(np.abs(w)) for w in overlap["w"]])
    assert table["expelled, 100 Ovl"].item() == overlap["expelled_fraction"].median()
    before = [starting_batch(5, [seed])[2].w.abs().median().item() for seed in range(1000, 1010)]
    assert table["median |w| before"].item() == np.median(before)


def test_expelled_prototypes_are_told_apart_by_who_holds_them():
    """Outside stand one near to the right end that overlap hardly sees, one behind it, and one on the left."""
    x, at, w = np.array([0.0, 1.0, 0.4, 0.5]), np.array([1.01, 1.02, -0.2, 0.45]), np.array([0.1, 3.0, 3.0, 3.0])
    run = {"size": 4, "temperature": 1e-4, "x": x, "y": x, "w": w, "b": -w * at, "a": w, "c": 0.0}
    runs = pd.DataFrame([run])
    outside = forces.expelled_prototypes(runs)
    batch = [torch.tensor(value) for value in (x, w, -w * at)]
    push, pull = forces.overlap_force(*batch), forces.coverage_force(batch[0], torch.tensor(at), 1e-4)
    sign = torch.tensor([1.0, 1.0, -1.0])
    near(torch.tensor(outside["push"]), sign * push[:3])
    near(torch.tensor(outside["pull"]), -sign * pull[:3])
    assert outside["nearest"].tolist() == [True, False, True]
    assert forces.who_wins(runs).to_dict("records") == [
        {
            "expelled": 3,
            "push above 0": 3,
            "pull exactly 0": 0,
            "push exceeds pull": 2,  # the second, shielded; the third, for all its pull
            "pull holds, nearest to a sample": 1,
            "pull holds, shielded": 0,
        }
    ]
