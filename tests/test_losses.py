"""The losses against reference values, finite differences, known limits and invariances."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

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
from companion.core.settings import MASKS, Attractor, Settings

CASES = json.loads((Path(__file__).parent / "reference" / "losses.json").read_text(encoding="utf-8"))
REFERENCED = ("fit", "coverage", "separation", "overlap")
TERMS = (*REFERENCED, "chamfer", "transport")


def term(name: str, x, y, parameters: Parameters, temperature: float) -> torch.Tensor:
    """One loss as a function of the parameters."""
    w, b, a, c = parameters
    return {
        "fit": lambda: fit_loss(predict(x, w, b, a, c), y),
        "coverage": lambda: coverage_loss(x, prototypes(w, b), temperature),
        "separation": lambda: separation_loss(prototypes(w, b), temperature),
        "overlap": lambda: overlap_loss(activations(x, w, b)),
        "chamfer": lambda: chamfer_loss(x, prototypes(w, b), temperature),
        "transport": lambda: transport_loss(x, prototypes(w, b)),
    }[name]()


def tensors(case: dict) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    values = {name: torch.tensor(case[name], dtype=torch.float64) for name in "xywbac"}
    return values["x"], values["y"], Parameters(*(values[name].requires_grad_() for name in "wbac"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"n{case['n']}-tau{case['tau']:g}")
@pytest.mark.parametrize("name", REFERENCED)
def test_values_and_gradients_equal_the_reference(case, name):
    x, y, parameters = tensors(case)
    loss = term(name, x, y, parameters, case["tau"])
    torch.testing.assert_close(loss.item(), case["losses"][name], rtol=1e-10, atol=1e-14)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    for symbol, gradient in zip("wbac", gradients, strict=True):
        expected = torch.tensor(case["gradients"][name][symbol], dtype=torch.float64)
        found = torch.zeros_like(expected) if gradient is None else gradient
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", TERMS)
def test_gradients_equal_finite_differences(name):
    x, y = sample_task(4, 7)
    parameters = Parameters(*(value.requires_grad_() for value in initial_parameters(4, 7)))
    # τ = 0.05 keeps every pair within reach, so that no term is trivially flat.
    assert torch.autograd.gradcheck(lambda *values: term(name, x, y, Parameters(*values), 0.05), tuple(parameters))
    assert any(
        g is not None and g.abs().max() > 1e-6
        for g in torch.autograd.grad(term(name, x, y, parameters, 0.05), parameters, allow_unused=True)
    )


def test_overlap_identity_equals_the_double_sum():
    h = torch.rand(3, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pairs = sum(h[..., j] * h[..., k] for j in range(5) for k in range(5) if j != k)
    torch.testing.assert_close(overlap_loss(h), pairs.mean(-1) / 20)


def test_two_prototypes_far_apart_do_not_repel_and_two_at_one_place_repel_fully():
    far, same = torch.tensor([[0.0, 100.0], [0.3, 0.3]], dtype=torch.float64)
    assert separation_loss(far, 1e-4).item() == 0
    assert separation_loss(same, 1e-4).item() == 1


def test_separation_force_peaks_at_root_of_half_the_temperature():
    distance = torch.linspace(1e-3, 1, 4000, dtype=torch.float64, requires_grad=True)
    pairs = torch.stack([torch.zeros_like(distance), distance], -1)
    force = -torch.autograd.grad(separation_loss(pairs, 0.08).sum(), distance)[0]
    assert distance[force.argmax()].item() == pytest.approx(0.2, abs=1e-3)


def test_coverage_of_prototypes_on_their_samples_vanishes_with_the_temperature():
    x = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    assert coverage_loss(x, x, 1e-6).item() == pytest.approx(0, abs=1e-12)
    # All at one place: exactly the squared distance less τ log N.
    together = torch.full((3,), 0.4, dtype=torch.float64)
    expected = ((x - 0.4) ** 2).mean() - 0.01 * torch.log(torch.tensor(3.0, dtype=torch.float64))
    torch.testing.assert_close(coverage_loss(x, together, 0.01), expected)


def test_coverage_lies_between_its_bounds():
    generator = torch.Generator().manual_seed(1)
    x, p = (torch.rand(50, 6, dtype=torch.float64, generator=generator) for _ in range(2))
    nearest = ((x[..., :, None] - p[..., None, :]) ** 2).min(-1).values.mean(-1)
    for temperature in (1e-4, 1e-1, 10.0):
        loss = coverage_loss(x, p, temperature)
        assert (loss <= nearest + 1e-15).all()
        assert (loss >= nearest - temperature * torch.log(torch.tensor(6.0)) - 1e-6 * temperature).all()


def test_coverage_does_not_pull_a_shielded_prototype():
    x = torch.tensor([0.2, 0.8], dtype=torch.float64)
    p = torch.tensor([0.2, 0.8, -3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.grad(coverage_loss(x, p, 1e-4), p)[0][2].item() == 0


def places(seed: int, samples: int, neurons: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples in [0, 1], and prototypes some of which are far outside."""
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.uniform(0, 1, samples)), torch.tensor(rng.standard_cauchy(neurons))


def squared_distances(x: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    return (x[:, None] - p) ** 2


def test_chamfer_is_coverage_and_coverage_with_samples_and_prototypes_exchanged():
    for seed in range(5):
        x, p = places(seed, 4, 7)
        expected = coverage_loss(x, p, 0.05) + coverage_loss(p, x, 0.05)
        torch.testing.assert_close(chamfer_loss(x, p, 0.05), expected, rtol=1e-13, atol=0)


def test_chamfer_tends_to_the_hard_chamfer_distance_as_the_temperature_falls():
    for seed in range(5):
        x, p = places(seed, 6, 6)
        squared = squared_distances(x, p)
        hard = float(squared.min(1).values.mean() + squared.min(0).values.mean())
        gaps = [hard - float(chamfer_loss(x, p, temperature)) for temperature in (1e-1, 1e-3, 1e-6)]
        assert gaps[0] > 1e-3 and abs(gaps[2]) < 1e-9
        assert all(-1e-12 <= gap <= 2 * t * np.log(6) + 1e-12 for gap, t in zip(gaps, (1e-1, 1e-3, 1e-6), strict=True))


def test_chamfer_pulls_from_far_away_with_weights_that_sum_to_one():
    """The logarithm of 17 equal samples is lost beside d²/τ = 1e20, and must not be."""
    x = torch.full((17,), 0.5, dtype=torch.float64)
    p = torch.linspace(0, 1, 17, dtype=torch.float64)
    p[3] = 1e8
    p.requires_grad_()
    found = torch.autograd.grad(chamfer_loss(x, p, 1e-4), p)[0][3].item()
    assert found == pytest.approx(2 * (1e8 - 0.5) / 17, rel=1e-12)


def test_chamfer_pulls_a_shielded_prototype_that_coverage_leaves():
    x = torch.tensor([0.2, 0.8], dtype=torch.float64)
    p = torch.tensor([0.2, 0.8, -3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.grad(chamfer_loss(x, p, 1e-4), p)[0][2].item() == pytest.approx(-2 * 3.2 / 3)


def test_of_equal_samples_and_equal_prototypes_each_counts():
    x, p = (torch.tensor(v, dtype=torch.float64) for v in ([0.2, 0.2, 0.8], [0.5, 0.5, 0.5]))
    log = torch.log(torch.tensor(2.0, dtype=torch.float64))
    mirror = 0.09 - 1e-2 * (log + torch.log(torch.tensor(1.5, dtype=torch.float64)))  # three samples equally near
    cover = 0.09 - 1e-2 * torch.log(torch.tensor(3.0, dtype=torch.float64))
    torch.testing.assert_close(chamfer_loss(x, p, 1e-2), mirror + cover)


def test_transport_is_the_least_cost_over_all_matchings():
    for seed in range(10):
        x, p = places(seed, 5, 5)
        squared = squared_distances(x, p)
        least = min(float(squared[range(5), order].mean()) for order in permutations(range(5)))
        assert float(transport_loss(x, p)) == pytest.approx(least, rel=1e-13)


@pytest.mark.parametrize("size", [1, 2, 20, 100])
def test_transport_is_the_cost_of_the_hungarian_matching(size):
    x, p = places(size, size, size)
    squared = squared_distances(x, p).numpy()
    assert float(transport_loss(x, p)) == pytest.approx(squared[linear_sum_assignment(squared)].mean(), rel=1e-12)


def test_transport_is_zero_exactly_where_prototypes_are_the_samples_in_some_order():
    x, _ = places(0, 6, 6)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    assert float(transport_loss(x, x[order])) == 0
    for k in range(6):
        moved = x[order].clone()
        moved[k] += 1e-6
        assert float(transport_loss(x, moved)) > 0


def test_of_equal_prototypes_the_earlier_one_takes_the_lower_sample():
    x = torch.tensor([0.9, 0.1, 0.4], dtype=torch.float64)
    p = torch.full((3,), 0.3, dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(transport_loss(x, p), p)[0]
    torch.testing.assert_close(gradient, 2 * (0.3 - torch.tensor([0.1, 0.4, 0.9], dtype=torch.float64)) / 3)


@pytest.mark.parametrize("attractor", ["chamfer", "transport"])
def test_attractors_act_on_each_run_alone_and_do_not_depend_on_order_or_origin(attractor):
    loss = {"chamfer": lambda x, p: chamfer_loss(x, p, 0.02), "transport": transport_loss}[attractor]
    runs = [places(seed, 6, 6) for seed in range(3)]
    x, p = (torch.stack(values) for values in zip(*runs, strict=True))
    expected = loss(x, p)
    torch.testing.assert_close(expected, torch.stack([loss(*run) for run in runs]))
    order, shuffle = torch.tensor([3, 1, 0, 5, 2, 4]), torch.tensor([5, 3, 0, 1, 4, 2])
    torch.testing.assert_close(loss(x[:, shuffle], p[:, order]), expected, rtol=1e-13, atol=0)
    torch.testing.assert_close(loss(x + 0.25, p + 0.25), expected, rtol=1e-11, atol=0)
    torch.testing.assert_close(loss(-x, -p), expected, rtol=1e-12, atol=0)


def test_overlap_pushes_a_neuron_outside_further_out():
    x = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    for place, sign in ((-0.2, -1), (1.2, 1)):
        centres = torch.tensor([0.2, 0.5, 0.8, place], dtype=torch.float64, requires_grad=True)
        w = torch.full_like(centres, 4.0)
        force = -torch.autograd.grad(overlap_loss(activations(x, w, -w * centres)), centres)[0][3]
        assert force.item() * sign > 0


def test_one_neuron_has_no_pair():
    x, w, b = (torch.tensor([value], dtype=torch.float64) for value in (0.3, 2.0, -1.0))
    assert overlap_loss(activations(x, w, b)).item() == 0
    assert separation_loss(prototypes(w, b), 0.1).item() == 0
    assert coverage_loss(x, prototypes(w, b), 0.1).item() == pytest.approx(0.04)


@pytest.mark.parametrize("attractor", Attractor)
@pytest.mark.parametrize("mask", MASKS)
def test_total_is_unchanged_by_permuting_neurons_and_samples(mask, attractor):
    x, y = sample_task(6, 3)
    w, b, a, c = initial_parameters(6, 3)
    order, shuffle = torch.randperm(6, generator=torch.Generator().manual_seed(2)), torch.tensor([5, 3, 0, 1, 4, 2])
    settings = Settings(mask, attractor, strength=0.7, temperature=0.05)
    base = total_loss(x, y, Parameters(w, b, a, c), settings)
    moved = total_loss(x[shuffle], y[shuffle], Parameters(w[order], b[order], a[order], c), settings)
    torch.testing.assert_close(moved, base, rtol=1e-13, atol=0)


@pytest.mark.parametrize("mask", MASKS)
def test_total_is_unchanged_by_shifting_inputs_with_biases(mask):
    x, y = sample_task(6, 3)
    w, b, a, c = initial_parameters(6, 3)
    settings = Settings(mask, strength=0.7, temperature=0.05)
    base = total_loss(x, y, Parameters(w, b, a, c), settings)
    shifted = total_loss(x + 0.25, y, Parameters(w, b - 0.25 * w, a, c), settings)
    torch.testing.assert_close(shifted, base, rtol=1e-12, atol=0)


def test_total_is_the_fit_plus_the_terms_that_the_mask_names():
    case = CASES[-1]
    x, y, parameters = tensors(case)
    for mask, switches in MASKS.items():
        expected = case["losses"]["fit"] + 2.5 * sum(
            case["losses"][name] for name, on in switches._asdict().items() if on
        )
        found = total_loss(x, y, parameters, Settings(mask, strength=2.5, temperature=case["tau"]))
        assert found.item() == pytest.approx(expected, rel=1e-12)
    assert list(MASKS) == [f"{bits:03b}" for bits in range(8)]
    assert MASKS["100"].overlap and MASKS["010"].coverage and MASKS["001"].separation


def test_balance_and_repulsion_weigh_their_terms():
    x, y = sample_task(6, 3)
    start = initial_parameters(6, 3)
    parts = {name: float(term(name, x, y, start, 0.05)) for name in TERMS}
    for attractor in Attractor:
        settings = Settings("111", attractor, strength=2.5, temperature=0.05, balance=3.0)
        for mask, on in MASKS.items():
            pull, push = on.coverage * parts[attractor], on.overlap * parts["overlap"]
            expected = parts["fit"] + 2.5 * (3 * pull + 0.2 * (push + on.separation * parts["separation"]))
            found = total_loss(x, y, start, settings.but(mask=mask), 0.2)
            assert float(found) == pytest.approx(expected, rel=1e-12)
        nothing = total_loss(x, y, start, settings.but(balance=0.0), 0.0)
        assert float(nothing) == pytest.approx(parts["fit"], rel=1e-12)


def test_single_precision_stays_single():
    x, y = (value.float() for value in sample_task(5, 0))
    parameters = Parameters(*(value.float() for value in initial_parameters(5, 0)))
    assert total_loss(x, y, parameters, Settings("111", temperature=1e-2)).dtype == torch.float32


def of_one(x: torch.Tensor, repulsion: float = 1.0, **settings) -> torch.Tensor:
    """The total loss of a network whose parameters are the data."""
    return total_loss(x, x, Parameters(x, x, x, x[0]), Settings(**({"mask": "111"} | settings)), repulsion)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: coverage_loss(x, x, 0.0), "temperature: 0.0 was given"),
        (lambda x: coverage_loss(x, x, -1.0), "temperature: -1.0"),
        (lambda x: coverage_loss(x, x, float("nan")), "temperature: nan"),
        (lambda x: separation_loss(x, 0), "temperature: 0"),
        (lambda x: coverage_loss(x * float("nan"), x, 0.1), "x: 3 of 3 values are NaN"),
        (lambda x: coverage_loss(x.expand(2, 3), x, 0.1), r"x \(2, 3\), prototypes \(3,\)"),
        (lambda x: fit_loss(x, x[:2]), r"prediction \(3,\), y \(2,\)"),
        (lambda x: fit_loss(x, x / 0), "y: 3 of 3"),
        (lambda x: overlap_loss(x), "samples, neurons"),
        (
            lambda x: of_one(x, mask="012"),
            "mask: '012' was given; allowed are '000'",
        ),
        (lambda x: of_one(x, strength=-1.0), "strength: -1.0"),
        (lambda x: of_one(x, temperature=0.0), "temperature: 0.0"),
        (lambda x: of_one(x * float("nan")), "x: 3 of 3 values are NaN"),
        (
            lambda x: total_loss(x, x[:2], Parameters(x, x, x, x[0]), Settings()),
            r"x \(3,\), y \(2,\).* allowed are x \(..., samples\)",
        ),
        (
            lambda x: total_loss(x[:2], x[:2], Parameters(x, x, x, x[0]), Settings("010", "transport")),
            r"a \(3,\).* allowed are .*a \(\.\.\., samples\)",
        ),
        (
            lambda x: of_one(x, attractor="gravity"),
            "attractor: 'gravity' was given; allowed are 'coverage', 'chamfer', 'transport'",
        ),
        (lambda x: of_one(x, balance=-1), "balance: -1"),
        (lambda x: of_one(x, repulsion=-1), "repulsion: -1"),
        (lambda x: chamfer_loss(x, x, 0.0), "temperature: 0.0 was given"),
        (lambda x: chamfer_loss(x * float("nan"), x, 0.1), "x: 3 of 3 values are NaN"),
        (lambda x: transport_loss(x, x[:2]), r"x \(3,\), prototypes \(2,\)"),
        (lambda x: transport_loss(x / 0, x), "x: 3 of 3"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(ValueError, match=says):
        call(torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64))
