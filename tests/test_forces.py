"""The propositions of the chapter "Forces", each beside false variants on which its check fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from functools import cache

import numpy as np
import pandas as pd
import pytest
import sympy
import torch
from variants import counted, rejected

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


def check_way_to_w_and_b(way: Callable, seen_by_prototype: Collection[str] = ("coverage", "separation")) -> None:
    for x, y, p, temperature in instances():
        w, b = (value.clone().requires_grad_() for value in (p.w, p.b))
        for name, loss in LOSSES.items():
            force = FORCES[name](x, y, p, temperature)
            dw, db = torch.autograd.grad(loss(x, y, Parameters(w, b, p.a, p.c), temperature), (w, b))
            by_w, by_b = way(p.w, p.b, force)
            near(by_b, db)
            if name in seen_by_prototype:
                near(by_w, dw)


def way(w, b, force):
    return prototypes(w, b) * force / w, force / w


def test_proposition_forces():
    check_forces(FORCES)
    check_way_to_w_and_b(way)


def another(name: str, change: Callable) -> Callable[[], None]:
    """The check with one of the four forces changed: `change` takes the true one, the data, the network and τ."""
    return lambda: check_forces(FORCES | {name: lambda x, y, p, t: change(FORCES[name](x, y, p, t), x, p, t)})


FALSE = {}
FALSE["forces"] = {
    "fit, wrong sign": another("fit", lambda force, x, p, t: -force),
    "fit, w for w²": another("fit", lambda force, x, p, t: force / p.w),
    "fit, halved": another("fit", lambda force, x, p, t: force / 2),
    "fit, doubled": another("fit", lambda force, x, p, t: 2 * force),
    "fit, without a": another("fit", lambda force, x, p, t: force / p.a),
    "coverage, twice τ": another("coverage", lambda _, x, p, t: FORCES["coverage"](x, x, p, 2 * t)),
    "coverage, halved": another("coverage", lambda force, x, p, t: force / 2),
    "separation, one of two orders": another("separation", lambda force, x, p, t: force / 2),
    "separation, attracting": another("separation", lambda force, x, p, t: -force),
    "separation, without 1/τ": another("separation", lambda force, x, p, t: force * t),
    "overlap, halved": another("overlap", lambda force, x, p, t: force / 2),
    "overlap, w for w²": another("overlap", lambda force, x, p, t: force / p.w),
    "overlap, N² for N(N-1)": another("overlap", lambda force, x, p, t: force * (len(x) - 1) / len(x)),
    "x̂ lost on the way to w": lambda: check_way_to_w_and_b(lambda w, b, force: (force / w, force / w)),
    "wrong sign on the way to w": lambda: check_way_to_w_and_b(lambda w, b, f: (-way(w, b, f)[0], f / w)),
    "w² on the way to b": lambda: check_way_to_w_and_b(lambda w, b, f: (way(w, b, f)[0], f / w**2)),
    "the way to w for overlap too": lambda: check_way_to_w_and_b(way, LOSSES),
}


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
    paths = adam_s_steps()
    assert max(steps.max() for steps in paths) <= longest * LEARNING_RATE * (1 + 1e-9)
    assert paths[0].max() > 0.999 * longest * LEARNING_RATE, "the bound is reached"


@cache
def adam_s_steps() -> list[np.ndarray]:
    """Sizes of Adam's steps under some sequences of gradients; the first comes near the longest step."""
    rng = np.random.default_rng(5)
    # Long after the start, a gradient that grows from step to step as β₂/β₁; and one that is zero but once.
    growing, alone = np.zeros(8000), np.zeros(400)
    growing[-250:] = 1e-3 * (BETAS[1] / BETAS[0]) ** np.arange(250.0)
    alone[-1] = 1
    sequences = [growing, alone, *(rng.standard_cauchy(400) for _ in range(20)), *np.exp(rng.normal(size=(20, 400)))]
    return [np.abs(np.diff(adam(gradients))) for gradients in sequences]


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
    attained = 0.0
    for _ in range(500):
        w = rng.choice([-1, 1]) * (longest + 10 ** rng.uniform(-3, 1))
        at = rng.uniform(-3, 3)
        dw, db = rng.choice([-1, 1, rng.uniform(-1, 1)], 2) * longest
        allowed = reach(abs(w), abs(at), longest)
        assert moved_by(w, at, dw, db) <= allowed * (1 + 1e-9)
        attained = max(attained, moved_by(w, at, dw, db) / allowed)
    assert attained > 1 - 1e-9, "the bound is reached"
    for w in (longest / 2, longest):  # no bound there: a step ends as near to w = 0 as one likes
        assert moved_by(w, 0.5, -w * (1 - 1e-9), longest) > 1e6 and reach(w, 0.5, longest) == math.inf


def moved_by(w: float, at: float, dw: float, db: float) -> float:
    return abs(float(forces.displacement(*(torch.tensor([value]).double() for value in (w, -w * at, dw, db)))))


def reach_of_a_step(w, at, longest):
    return longest * (1 + at) / (w - longest) if w > longest else math.inf


@pytest.mark.long
def test_proposition_steps():
    check_step(lambda w, b, dw, db: -(db + (-b / w) * dw) / (w + dw))
    w, b, dw, db = torch.rand(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    near(forces.displacement(w, b, dw, db), prototypes(w + dw, b + db) - prototypes(w, b))
    check_longest(forces.longest_adam_step())
    check_reach_of_a_step(reach_of_a_step)


FALSE["steps"] = {
    "to first order only": lambda: check_step(lambda w, b, dw, db: -(db + (-b / w) * dw) / w),
    "wrong sign of x̂": lambda: check_step(lambda w, b, dw, db: -(db - (-b / w) * dw) / (w + dw)),
    "x̂ lost": lambda: check_step(lambda w, b, dw, db: -(db + dw) / (w + dw)),
    "the other way": lambda: check_step(lambda w, b, dw, db: (db + (-b / w) * dw) / (w + dw)),
    "K = 1": lambda: check_longest(1.0),
    "K of a gradient among zeros": lambda: check_longest((1 - BETAS[0]) / math.sqrt(1 - BETAS[1])),
    "K one percent larger": lambda: check_longest(1.01 * forces.longest_adam_step()),
    "K one percent smaller": lambda: check_longest(0.99 * forces.longest_adam_step()),
    "K without its root": lambda: check_longest(forces.longest_adam_step() ** 2 / (1 - BETAS[0])),
    "w for w - Kη": lambda: check_reach_of_a_step(lambda *given: given[2] * (1 + given[1]) / given[0]),
    "reach without x̂": lambda: check_reach_of_a_step(lambda w, at, k: reach_of_a_step(w, 0, k)),
    "half the reach": lambda: check_reach_of_a_step(lambda *given: reach_of_a_step(*given) / 2),
    "twice the reach": lambda: check_reach_of_a_step(lambda *given: reach_of_a_step(*given) * 2),
    "bounded at every w": lambda: check_reach_of_a_step(lambda w, at, k: k * (1 + at) / max(abs(w - k), 1e-9)),
}


# --- overlap ---


def exact_overlap(x, w, b) -> float:
    """L_ovl without the identity, whose difference of two sums rounds to 0 where hardly anything is shared."""
    n = len(w)
    return float(forces.shared_responses(x, w, b).sum() / (len(x) * n * (n - 1)))


def stiffness(x, w, b):
    """κ_j of the proposition."""
    n = len(w)
    return 4 * w**2 * forces.shared_responses(x, w, b).sum(-2) / (len(x) * n * (n - 1))


def check_outward(force: Callable = forces.overlap_force, centre=forces.crowd_centre, stiff=stiffness) -> None:
    outside = 0
    for x, _, p, _ in instances(120):
        at, away, middle = prototypes(p.w, p.b), force(x, p.w, p.b), centre(x, p.w, p.b)
        assert ((middle >= x.min() - 1e-12) & (middle <= x.max() + 1e-12)).all()
        near(away / (stiff(x, p.w, p.b) * (at - middle)), torch.ones_like(at))
        assert (stiff(x, p.w, p.b) > 0).all() and (away * (at - middle) > 0).all()
        assert (away[at > x.max()] > 0).all() and (away[at < x.min()] < 0).all()
        outside += int(((at > x.max()) | (at < x.min())).sum())
        # What drives it is the loss itself: a small step along the force lowers it.
        step = 1e-7 * away / away.abs().max()
        assert exact_overlap(x, p.w, -p.w * (at + step)) < exact_overlap(x, p.w, p.b)
    assert outside > 100


def test_proposition_outward():
    check_outward()


def others_mean(x, w, b):
    at = prototypes(w, b)
    return (at.sum(-1, keepdim=True) - at) / (len(at) - 1)


FALSE["outward"] = {
    "inward": lambda: check_outward(force=lambda *given: -forces.overlap_force(*given)),
    "away from the samples' mean": lambda: check_outward(centre=lambda x, w, b: x.mean(-1, keepdim=True).expand_as(w)),
    "away from the other prototypes' mean": lambda: check_outward(
        centre=lambda x, w, b: others_mean(x, w, b).clamp(x.min(), x.max())
    ),
    "away from the mean of all samples that it answers to": lambda: check_outward(
        centre=lambda x, w, b: (activations(x, w, b) * x[:, None]).sum(-2) / activations(x, w, b).sum(-2)
    ),
    "a centre out of the range": lambda: check_outward(centre=lambda x, w, b: -prototypes(w, b)),
    "stiffness doubled": lambda: check_outward(stiff=lambda *given: 2 * stiffness(*given)),
    "stiffness halved": lambda: check_outward(stiff=lambda *given: stiffness(*given) / 2),
    "stiffness with |w| for w²": lambda: check_outward(stiff=lambda x, w, b: stiffness(x, w, b) / w.abs()),
    "stiffness without N - 1": lambda: check_outward(stiff=lambda x, w, b: stiffness(x, w, b) * (len(x) - 1) * 2),
}


@pytest.mark.parametrize("other", [0.9, -0.3])
def test_overlap_may_push_towards_another_neuron(other):
    """Away from the samples that are shared: samples at .1 and .3, a neuron at .6, another at .9 or at -.3."""
    x, w = (torch.tensor(values, dtype=torch.float64) for values in ([0.1, 0.3], [3.0, 3.0]))
    push = forces.overlap_force(x, w, -w * torch.tensor([0.6, other], dtype=torch.float64))
    assert push[0] > 0 and (other > 0.6) == (push[0] * (other - 0.6) > 0)


def check_only_two_ways(bound: Callable) -> None:
    for x, _, p, _ in instances(120):
        at, span = prototypes(p.w, p.b), float(x.max() - x.min())
        beyond = float(torch.maximum(x.min() - at, at - x.max()).clamp(min=0).max())
        assert exact_overlap(x, p.w, p.b) >= bound(p.w.abs(), span, beyond)
    # Two neurons at one end and both samples at the other, or as far out of the range: the bound is reached.
    for samples, place, span, beyond in (([0.0, 0.0], 0.7, 0.0, 0.7), ([0.0, 0.4], 0.4, 0.4, 0.0)):
        x, w = (torch.tensor(values, dtype=torch.float64) for values in (samples, [2.0, -2.0]))
        loss = exact_overlap(x[:1], w, -w * place)  # the farthest sample's
        assert bound(w.abs(), span, beyond) == pytest.approx(loss, rel=1e-12)


def two_ways_bound(widths, span, beyond, factor=2.0):
    return math.exp(-factor * float(widths.max()) ** 2 * (span + beyond) ** 2)


def test_proposition_two_ways():
    check_only_two_ways(two_ways_bound)


FALSE["two-ways"] = {
    "one response for two": lambda: check_only_two_ways(lambda *given: two_ways_bound(*given, factor=1.0)),
    "four responses for two": lambda: check_only_two_ways(lambda *given: two_ways_bound(*given, factor=4.0)),
    "distance for its square": lambda: check_only_two_ways(
        lambda w, span, beyond: math.exp(-2 * float(w.max()) ** 2 * (span + beyond))
    ),
    "W for W²": lambda: check_only_two_ways(lambda w, r, d: two_ways_bound(w.sqrt(), r, d)),
    "without R": lambda: check_only_two_ways(lambda w, r, d: two_ways_bound(w, 0, d)),
    "without D": lambda: check_only_two_ways(lambda w, r, d: two_ways_bound(w, r, 0)),
    "doubled": lambda: check_only_two_ways(lambda *given: 2 * two_ways_bound(*given)),
    "halved": lambda: check_only_two_ways(lambda *given: two_ways_bound(*given) / 2),
    "the narrowest width at most W": lambda: check_only_two_ways(lambda w, r, d: two_ways_bound(w.min(), r, d)),
}


def free_velocity(x, w, b):
    """The proposition's velocity of every prototype under the flow of w and b."""
    n, at = len(w), prototypes(w, b)
    pushes = forces.shared_responses(x, w, b) * (at - x[:, None]) * (1 + at * x[:, None])
    return 4 * pushes.sum(-2) / (len(x) * n * (n - 1))


def check_free_width(velocity: Callable = free_velocity, outward_from: float = -1.0) -> None:
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
        torch.testing.assert_close(velocity(x, w, b), moving, rtol=1e-6, atol=1e-12)
        assert moving[0] > 0 if side else moving[0] < 0


def test_proposition_free_width():
    check_free_width()


FALSE["free-width"] = {
    "outward down to -6": lambda: check_free_width(outward_from=-6.0),
    "doubled": lambda: check_free_width(lambda *given: 2 * free_velocity(*given)),
    "halved": lambda: check_free_width(lambda *given: free_velocity(*given) / 2),
    "inward": lambda: check_free_width(lambda *given: -free_velocity(*given)),
    "as at fixed width": lambda: check_free_width(forces.overlap_force),
    "without 1 + x̂x": lambda: check_free_width(lambda x, w, b: forces.overlap_force(x, w, b) / w**2),
    "1 - x̂x for 1 + x̂x": lambda: check_free_width(
        lambda x, w, b: 2 * forces.overlap_force(x, w, b) / w**2 - free_velocity(x, w, b)
    ),
    "N² for N(N-1)": lambda: check_free_width(lambda x, *at: free_velocity(x, *at) * (len(x) - 1) / len(x)),
}


# --- coverage ---


def check_blind_spot(bound: Callable) -> None:
    for x, _, p, temperature in instances(200):
        at = prototypes(p.w, p.b)
        force, limit = forces.coverage_force(x, at, temperature).abs(), bound(x, at, temperature)
        assert (force <= limit * (1 + 1e-12)).all()
    # One prototype far nearer to all samples than the other: the bound of the other's force is all but reached.
    x, at = (torch.tensor(values, dtype=torch.float64) for values in ([0.0, 0.1], [0.15, 0.8]))
    for temperature in (0.02, 0.05, 0.08):
        force, limit = forces.coverage_force(x, at, temperature).abs(), bound(x, at, temperature)
        assert 0.99 < float(force[1] / limit[1]) <= 1


def test_proposition_blind_spot():
    check_blind_spot(forces.coverage_bound)


def blind(x, at, temperature, power=1, shield=torch.amin):
    """The bound as a formula, with another power of the distance or another m_i."""
    distance = (x[:, None] - at).abs()
    excess = distance**2 - shield(distance, -1, keepdim=True) ** 2
    return 2 * (distance**power * torch.exp(-excess / temperature)).mean(-2)


FALSE["blind-spot"] = {
    "halved": lambda: check_blind_spot(lambda *given: forces.coverage_bound(*given) / 2),
    "doubled": lambda: check_blind_spot(lambda *given: 2 * forces.coverage_bound(*given)),
    "half τ": lambda: check_blind_spot(lambda x, at, t: forces.coverage_bound(x, at, t / 2)),
    "twice τ": lambda: check_blind_spot(lambda x, at, t: forces.coverage_bound(x, at, 2 * t)),
    "τ² for τ": lambda: check_blind_spot(lambda x, at, t: forces.coverage_bound(x, at, t**2)),
    "a sum for the mean": lambda: check_blind_spot(lambda x, *given: len(x) * forces.coverage_bound(x, *given)),
    "without the distance": lambda: check_blind_spot(lambda *given: blind(*given, power=0)),
    "the distance squared": lambda: check_blind_spot(lambda *given: blind(*given, power=2)),
    "m of the farthest prototype": lambda: check_blind_spot(lambda *given: blind(*given, shield=torch.amax)),
    "without m": lambda: check_blind_spot(lambda *given: blind(*given, shield=lambda d, *_, **__: 0 * d)),
}


def shielded(count: int, least: Callable) -> list:
    """Networks whose last prototype is D outside the samples, each sample having a prototype within r < D."""
    rng = np.random.default_rng(9)
    drawn = []
    for _ in range(count):
        n, temperature = int(rng.integers(2, 8)), float(10 ** rng.uniform(-4, -1))
        x = torch.as_tensor(np.sort(rng.uniform(0, 1, n)))
        r = rng.uniform(0, 0.2)
        others = x[1:] + torch.as_tensor(rng.uniform(-r, r, n - 1))
        r = float((x[:, None] - others).abs().min(1).values.max())  # the lowest sample has lost its own
        distance = max(r, least(temperature)) + 10 ** rng.uniform(-3, 0.5)
        at = torch.cat([others, torch.tensor([float(x.max()) + distance])])
        w = torch.as_tensor(rng.uniform(0.2, 0.9 / math.sqrt(temperature), n).clip(max=12))
        drawn.append((x, at, w, temperature, r, distance))
    return drawn


def root_of_half(temperature: float) -> float:
    return math.sqrt(temperature / 2)


def check_far(bound: Callable, least: Callable = root_of_half) -> None:
    silent = 0
    for x, at, _, temperature, r, distance in shielded(300, least):
        force = abs(float(forces.coverage_force(x, at, temperature)[-1]))
        assert force <= bound(distance, r, temperature) * (1 + 1e-12)
        if (distance**2 - r**2) / temperature > 746:
            assert force == 0.0, "in double precision nothing at all"
            silent += 1
    assert silent > 20
    # From D = √(τ/2) on, and no sooner: a second sample, at just that distance, pulls more than one that is nearer.
    distance = least(1.0)
    x = torch.tensor([0.0, -max(root_of_half(1.0) - distance, 0.0)], dtype=torch.float64)
    at = torch.tensor([0.0, float(x[1]), distance], dtype=torch.float64)
    assert abs(float(forces.coverage_force(x, at, 1.0)[-1])) <= bound(distance, 0.0, 1.0)
    # Both samples at one place, the other prototype r behind them: the bound is all but reached.
    x = torch.zeros(2, dtype=torch.float64)
    for temperature, r, distance in ((0.1, 0.3, 0.9), (0.05, 0.4, 0.7), (0.2, 0.1, 1.5)):
        at = torch.tensor([-r, distance], dtype=torch.float64)
        force = abs(float(forces.coverage_force(x, at, temperature)[-1]))
        assert 0.99 < force / bound(distance, r, temperature) <= 1


def far_bound(distance, r, temperature):
    return 2 * distance * math.exp(-(distance**2 - r**2) / temperature)


def pull_and_push(x, at, w, temperature) -> tuple[float, float]:
    """Coverage's pull and overlap's push on the last prototype, to the right of the samples."""
    pull = -float(forces.coverage_force(x, at, temperature)[-1])
    return pull, float(forces.overlap_force(x, w, -w * at)[-1])


def check_overlap_wins(beyond: Callable, decay: Callable = lambda w, t: 1 / t - w**2) -> None:
    won = 0
    for x, at, w, temperature, r, distance in shielded(600, root_of_half):
        shared = float(activations(x, w, -w * at)[x.argmax(), :-1].sum())
        if shared > 1e-200 and distance > beyond(len(x), float(w[-1]), shared, r, temperature):
            pull, push = pull_and_push(x, at, w, temperature)
            assert push > pull or push == 0
            won += push > 0
    assert won > 50
    for n, weight, temperature in ((5, 0.5, 0.01), (20, 7.0, 0.01), (200, 60.0, 1e-4), (60, 2.0, 0.1)):
        # Where one sample of N is shared, and one prototype shields all of them, pull and push are equal at D.
        x, at, w, shared = one_sample_shared(n, weight, temperature)
        distance = beyond(n, weight, shared, 0.0, temperature)
        ratios = []
        for at[-1] in (distance, 1.1 * distance):
            pull, push = pull_and_push(x, at, w, temperature)
            ratios.append(pull / push)
        assert 0.99 < ratios[0] <= 1
        # The quotient falls as the proposition says.
        fall = math.log(ratios[0] / ratios[1]) / (distance**2 * (1.1**2 - 1))
        assert fall == pytest.approx(decay(weight, temperature), rel=0.02)
    for weight, temperature, r in ((0.05, 0.01, 0.7), (0.1, 0.02, 0.9), (0.05, 1e-4, 0.07)):
        # Two samples at one place, shielded from r: overlap has two of the terms, hence one half.
        x, w = torch.zeros(2, dtype=torch.float64), torch.tensor([0.5, weight], dtype=torch.float64)
        at = torch.tensor([-r, 0.0], dtype=torch.float64)
        at[-1] = beyond(2, weight, math.exp(-((0.5 * r) ** 2)), r, temperature)
        pull, push = pull_and_push(x, at, w, temperature)
        assert push > 0 and pull == pytest.approx(push / 2, rel=0.01)


def one_sample_shared(n: int, weight: float, temperature: float) -> tuple:
    """Samples all but at one place, of which a prototype at the nearest answers to that one alone: x, x̂, w and s.

    The other prototypes are far away on the left; the last one is to be placed on the right.
    """
    unit = 1e-5 * math.sqrt(temperature)
    x, at, w = torch.full((3, n), -unit, dtype=torch.float64)
    x[0], at[0], at[1:], w[:] = 0.0, 0.0, -100.0, 10 / unit
    w[-1] = weight
    return x, at, w, float(activations(x, w, -w * at)[0, :-1].sum())


def test_proposition_not_compatible():
    check_far(far_bound)
    check_overlap_wins(forces.overlap_wins_from)


def wins(change: Callable) -> Callable[[], None]:
    """The check with another formula, of N, w, s, r and τ."""
    return lambda: check_overlap_wins(lambda n, w, s, r, t: math.sqrt(max(change(n, w, s, r**2 / t, t), 0.0)))


def log_of(n, w, s):
    return math.log(n**2 * (n - 1) / (2 * w**2 * s))


FALSE["not-compatible"] = {
    "far, r forgotten": lambda: check_far(lambda distance, r, t: far_bound(distance, 0.0, t)),
    "far, twice the exponent": lambda: check_far(lambda distance, r, t: far_bound(distance, r, t) ** 2 / distance / 2),
    "far, half the exponent": lambda: check_far(lambda d, r, t: 2 * d * math.exp(-(d**2 - r**2) / (2 * t))),
    "far, halved": lambda: check_far(lambda *given: far_bound(*given) / 2),
    "far, doubled": lambda: check_far(lambda *given: far_bound(*given) * 2),
    "far, without D": lambda: check_far(lambda distance, *given: far_bound(distance, *given) / distance),
    "far, from every D": lambda: check_far(far_bound, least=lambda temperature: 0.1 * root_of_half(temperature)),
    "r² dropped": wins(lambda n, w, s, rr, t: log_of(n, w, s) / (1 / t - w**2)),
    "r² halved": wins(lambda n, w, s, rr, t: (rr / 2 + log_of(n, w, s)) / (1 / t - w**2)),
    "r² doubled": wins(lambda n, w, s, rr, t: (2 * rr + log_of(n, w, s)) / (1 / t - w**2)),
    "N(N-1) for N²(N-1)": wins(lambda n, w, s, rr, t: (rr + log_of(n, w, s) - math.log(n)) / (1 / t - w**2)),
    "1/τ for 1/τ - w²": wins(lambda n, w, s, rr, t: (rr + log_of(n, w, s)) * t),
    "1/τ + w² for 1/τ - w²": wins(lambda n, w, s, rr, t: (rr + log_of(n, w, s)) / (1 / t + w**2)),
    "a factor 2 more in the log": wins(lambda n, w, s, rr, t: (rr + log_of(n, w, s / 2)) / (1 / t - w**2)),
    "a factor 2 less in the log": wins(lambda n, w, s, rr, t: (rr + log_of(n, w, 2 * s)) / (1 / t - w**2)),
    "w for w² in the log": wins(lambda n, w, s, rr, t: (rr + log_of(n, math.sqrt(w), s)) / (1 / t - w**2)),
    "without s": wins(lambda n, w, s, rr, t: (rr + log_of(n, w, s**0.5)) / (1 / t - w**2) if s < 0.5 else 0.0),
    "D halved": lambda: check_overlap_wins(lambda *given: forces.overlap_wins_from(*given) / 2),
    "D doubled": lambda: check_overlap_wins(lambda *given: forces.overlap_wins_from(*given) * 2),
    "at every distance": lambda: check_overlap_wins(lambda *given: 1e-9),
    "a quotient like e^(-D²/τ)": lambda: check_overlap_wins(forces.overlap_wins_from, lambda w, t: 1 / t),
}


test_a_false_variant_is_rejected = rejected(FALSE)
test_the_chapter_prints_how_many_variants_are_rejected = counted(FALSE, forces.VARIANTS, "19-forces")


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
