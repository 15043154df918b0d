"""The network in d dimensions: on the line the one-dimensional code; else right gradients, optima and symmetries."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import permutations

import numpy as np
import ot
import pandas as pd
import pytest
import torch
from conftest import ROOT
from scipy.spatial import Delaunay
from scipy.stats import special_ortho_group
from torch.autograd import gradcheck

from companion.core.data import DENSITIES, TARGETS, diagonal, fresh_samples, sample_cloud, sample_task
from companion.core.hull import expelled_fraction as outside_share
from companion.core.hull import is_mixture, outside_hull
from companion.core.losses import (
    chamfer_loss,
    coverage_loss,
    matched_loss,
    separation_loss,
    total_loss,
    transport_loss,
)
from companion.core.metrics import expelled_fraction, position_error, reconstruction_error
from companion.core.network import (
    Parameters,
    activations,
    initial_parameters,
    initial_parameters_in,
    output,
    prototypes,
    radial_activations,
    ridge_activations,
    ridge_prototypes,
    squared_distances,
    starting_batch,
)
from companion.core.settings import MASKS, Attractor, Settings
from companion.core.train import train
from companion.judging.chance import chance_level
from companion.studies.space import (
    VARIANTS_REJECTED,
    chance_in,
    chance_position_in,
    colder,
    fresh_cloud,
    fresh_outside,
    nearest_neighbour_distance,
    positions_apart,
    scaled_temperature,
    temperature_of,
)

NEURONS = ("radial", "ridge")
ATTRACTORS = tuple(Attractor)
SIZE, SEED, TEMPERATURE = 8, 5, 1e-3
SETTINGS = [
    (mask, attractor) for mask in MASKS for attractor in ATTRACTORS if MASKS[mask].coverage or attractor == "coverage"
]


def cube(neuron: str = "radial", dimension: int = 2, **settings) -> Settings:
    """Settings in d dimensions."""
    return Settings(neuron=neuron, dimension=dimension, target="diagonal", **settings)


def batch(size: int, dimension: int, seeds, neuron: str) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    return starting_batch(size, seeds, cube(neuron, dimension))


def respond(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, neuron: str) -> torch.Tensor:
    return radial_activations(x, w, b) if neuron == "radial" else ridge_activations(x, w, b)


def peaks(w: torch.Tensor, b: torch.Tensor, neuron: str, centre: torch.Tensor) -> torch.Tensor:
    return prototypes(w, b) if neuron == "radial" else ridge_prototypes(w, b, centre)


def structural(mask: str, x: torch.Tensor, positions: torch.Tensor, temperature: float, **settings) -> torch.Tensor:
    """What the total loss is of neurons with these prototypes, w = 1, whose fit costs nothing."""
    zeros = torch.zeros_like(positions[..., 0])
    network = Parameters(torch.ones_like(positions), -positions, zeros, zeros[..., 0])
    of_cube = cube(dimension=x.shape[-1], mask=mask, temperature=temperature, **settings)
    return total_loss(x, torch.zeros_like(x[..., 0]), network, of_cube)


def on_the_line(parameters: Parameters, neuron: str) -> Parameters:
    """One-dimensional parameters in the shapes of d = 1."""
    w, b, a, c = parameters
    return Parameters(w.unsqueeze(-1), b.unsqueeze(-1) if neuron == "radial" else b, a, c)


def leaves(parameters: Parameters) -> Parameters:
    return Parameters(*(value.clone().requires_grad_() for value in parameters))


# The line


@pytest.mark.parametrize("neuron", NEURONS)
def test_on_the_line_data_start_responses_and_prototypes_are_the_same_bits(neuron):
    x, y = sample_task(SIZE, SEED)
    points, values = sample_cloud(SIZE, SEED, 1)
    assert torch.equal(points, x.unsqueeze(-1)) and torch.equal(values, y)
    flat, start = initial_parameters(SIZE, SEED), initial_parameters_in(1, SIZE, SEED, neuron)
    assert all(map(torch.equal, start, on_the_line(flat, neuron)))
    assert torch.equal(respond(points, start.w, start.b, neuron), activations(x, flat.w, flat.b))
    positions = peaks(start.w, start.b, neuron, points.mean(-2))
    assert torch.equal(positions.squeeze(-1), prototypes(flat.w, flat.b))
    assert np.array_equal(fresh_cloud(SIZE, SEED, 3, cube(dimension=1))[..., 0], fresh_samples(SIZE, SEED, 3)[0])


@pytest.mark.parametrize("neuron", NEURONS)
def test_on_the_line_batches_are_the_same_bits(neuron):
    x, y, start = starting_batch(SIZE, [1, 2])
    points, values, wide = starting_batch(SIZE, [1, 2], cube(neuron, 1))
    assert torch.equal(points, x.unsqueeze(-1)) and torch.equal(values, y)
    assert all(map(torch.equal, wide, on_the_line(start, neuron)))


@pytest.mark.long
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize(("mask", "attractor"), SETTINGS)
def test_on_the_line_losses_gradients_and_training_are_the_same_bits(neuron, mask, attractor):
    x, y, start = starting_batch(SIZE, [1, 2])
    flat, wide = leaves(start), leaves(on_the_line(start, neuron))
    same = {"mask": mask, "temperature": TEMPERATURE, "attractor": attractor, "balance": 0.5, "steps": 40}
    line, wider = Settings(strength=2.0, **same), cube(neuron, 1, strength=2.0, **same)
    one = total_loss(x, y, flat, line)
    other = total_loss(x.unsqueeze(-1), y, wide, wider)
    assert torch.equal(one, other)
    one.sum().backward()
    other.sum().backward()
    expected = on_the_line(Parameters(*(value.grad for value in flat)), neuron)
    assert all(map(torch.equal, (value.grad for value in wide), expected))
    trained = train(x, y, start, line).parameters
    again = train(x.unsqueeze(-1), y, on_the_line(start, neuron), wider).parameters
    assert all(map(torch.equal, again, on_the_line(trained, neuron)))


def test_on_the_line_metrics_and_chance_are_the_same():
    x, y = sample_task(SIZE, SEED)
    flat = initial_parameters(SIZE, SEED)
    positions = prototypes(flat.w, flat.b)
    values = output(activations(positions, flat.w, flat.b), flat.a, flat.c)
    error = reconstruction_error(x.unsqueeze(-1), y, positions.unsqueeze(-1), values)
    assert error == reconstruction_error(x, y, positions, values)
    assert outside_share(x.unsqueeze(-1), positions.unsqueeze(-1)) == expelled_fraction(x, positions)
    np.testing.assert_array_equal(chance_in(SIZE, [1, 2], cube(dimension=1)), chance_level(SIZE, [1, 2]))
    of_positions = chance_level(SIZE, [1, 2], metric="position_error")
    np.testing.assert_allclose(chance_position_in(SIZE, [1, 2], cube(dimension=1)), of_positions, rtol=1e-12)


# Gradients


@pytest.mark.long
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize(("mask", "attractor"), SETTINGS)
def test_gradients_are_those_of_finite_differences(neuron, mask, attractor):
    x, y, start = batch(5, 3, [SEED], neuron)
    # A temperature of the size of the distances, so that every term of a soft minimum counts.
    start = start._replace(b=start.b - (start.w * 0.5 if neuron == "radial" else start.w.sum(-1) * 0.5))

    def loss(*parameters):
        settings = cube(neuron, 3, mask=mask, temperature=0.3, attractor=attractor, balance=0.7)
        return total_loss(x, y, Parameters(*parameters), settings)

    assert gradcheck(loss, tuple(leaves(start)), atol=1e-6)


# Prototypes


def test_a_ridge_prototype_is_the_nearest_point_of_its_hyperplane():
    x, _, (w, b, _, _) = batch(SIZE, 3, [SEED], "ridge")
    m = x.mean(-2)
    foot = peaks(w, b, "ridge", m)
    torch.testing.assert_close((w * foot).sum(-1) + b, torch.zeros_like(b), atol=1e-12, rtol=0)
    across = torch.from_numpy(np.random.default_rng(0).normal(size=(50, *w.shape)))
    across -= (across * w).sum(-1, keepdim=True) / (w**2).sum(-1, keepdim=True) * w  # other points of it
    nearest = ((foot - m.unsqueeze(-2)) ** 2).sum(-1)
    assert (((foot + across - m.unsqueeze(-2)) ** 2).sum(-1) > nearest).all()


def test_a_neuron_responds_most_at_its_prototype():
    for neuron in NEURONS:
        x, _, (w, b, _, _) = batch(SIZE, 3, [SEED], neuron)
        peak = respond(peaks(w, b, neuron, x.mean(-2)), w, b, neuron)
        torch.testing.assert_close(torch.diagonal(peak, dim1=-2, dim2=-1), torch.ones(1, SIZE, dtype=torch.float64))


# Transport


def test_transport_is_the_least_over_all_matchings():
    x, _, (w, b, _, _) = batch(5, 3, range(4), "radial")
    positions = peaks(w, b, "radial", x.mean(-2))
    least = [
        min(float(((one - other[list(order)]) ** 2).sum(-1).mean()) for order in permutations(range(5)))
        for one, other in zip(x, positions, strict=True)
    ]
    np.testing.assert_allclose(matched_loss(x, positions), least, rtol=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 6])
def test_transport_is_pot_s_cost_and_has_its_gradient(dimension):
    x, _, (w, b, _, _) = batch(20, dimension, [SEED], "radial")
    positions = peaks(w, b, "radial", x.mean(-2)).clamp(-3, 4)[0].requires_grad_()
    loss = matched_loss(x[0], positions)
    loss.backward()
    weights = np.full(20, 1 / 20)
    plan = ot.emd(weights, weights, ot.dist(x[0].numpy(), positions.detach().numpy()))
    assert float(loss.detach()) == pytest.approx(
        ot.emd2(weights, weights, ot.dist(x[0].numpy(), positions.detach().numpy()))
    )
    expected = 2 * (positions.detach().numpy() / 20 - plan.T @ x[0].numpy())
    np.testing.assert_allclose(positions.grad, expected, atol=1e-12)


def test_transport_to_the_samples_in_another_order_costs_nothing():
    x, _ = sample_cloud(12, SEED, 3)
    assert float(matched_loss(x, x.flip(0))) == 0
    assert float(matched_loss(x, x.flip(0) + 0.1)) > 0


def test_a_run_that_is_lost_to_overflow_leaves_the_others_alone():
    x = torch.stack([sample_cloud(4, seed, 2)[0] for seed in (1, 2)])
    positions = x.clone()
    positions[0, 0, 0] = math.inf
    loss = matched_loss(x, positions)
    assert not loss[0].isfinite() and loss[1] == 0


# Symmetries


@pytest.mark.parametrize("attractor", ATTRACTORS)
def test_rotations_and_permutations_leave_the_losses_on_distances(attractor):
    x, _, (w, b, _, _) = batch(SIZE, 4, [SEED], "radial")
    positions = peaks(w, b, "radial", x.mean(-2)).clamp(-2, 3)
    turn = torch.from_numpy(special_ortho_group.rvs(4, random_state=0))
    order = torch.from_numpy(np.random.default_rng(1).permutation(SIZE))
    for samples, others in ((x @ turn, positions @ turn), (x, positions[:, order]), (x[:, order], positions)):
        before, after = (
            structural("010", *pair, 0.05, attractor=attractor) for pair in ((x, positions), (samples, others))
        )
        torch.testing.assert_close(before, after)
        torch.testing.assert_close(structural("001", x, positions, 0.05), structural("001", x, others, 0.05))
    moved = structural("010", x, positions @ turn, 0.05, attractor=attractor)
    assert not torch.isclose(moved, before).all()


@pytest.mark.parametrize(("neuron", "holds"), [("ridge", True), ("radial", False)])
def test_a_ridge_network_can_be_rotated_and_a_radial_one_cannot(neuron, holds):
    """A radial neuron's widths lie along the axes."""
    x, y, start = batch(SIZE, 3, [SEED], neuron)
    turn = torch.from_numpy(special_ortho_group.rvs(3, random_state=0))
    turned = start._replace(w=start.w @ turn, b=start.b if neuron == "ridge" else start.b @ turn)
    before, after = (
        total_loss(points, y, parameters, cube(neuron, 3, mask="111", temperature=0.05))
        for points, parameters in ((x, start), (x @ turn, turned))
    )
    assert bool(torch.isclose(before, after, rtol=1e-10)) == holds


@pytest.mark.parametrize("neuron", NEURONS)
def test_the_order_of_neurons_and_of_coordinates_is_of_no_effect(neuron):
    x, y, start = batch(SIZE, 3, [SEED], neuron)
    order, axes = torch.tensor([3, 1, 0, 2, 7, 6, 5, 4]), torch.tensor([2, 0, 1])
    neurons = Parameters(*(value[:, order] for value in start[:3]), start.c)
    b = start.b if neuron == "ridge" else start.b[..., axes]
    coordinates = start._replace(w=start.w[..., axes], b=b)
    full = cube(neuron, 3, mask="111", temperature=0.05)
    before = total_loss(x, y, start, full)
    torch.testing.assert_close(before, total_loss(x, y, neurons, full))
    torch.testing.assert_close(before, total_loss(x[..., axes], y, coordinates, full))


# Data, starts and temperature


@pytest.mark.parametrize("dimension", [1, 4])
def test_densities_have_their_moments_and_stay_in_the_cube(dimension):
    variance = {"uniform": 1 / 12, "arcsine": 1 / 8, "bell": 1 / 44, "clusters": 9 / 64 + 1 / 192}
    for density in DENSITIES:
        x = fresh_cloud(2000, 1, 5, cube(dimension=dimension, density=density)).reshape(-1, dimension)
        assert x.min() >= 0 and x.max() <= 1
        np.testing.assert_allclose(x.mean(0), 0.5, atol=0.02)
        np.testing.assert_allclose(x.var(0), variance[density], rtol=0.05)
    low, high = (x < 0.25).all(-1), (x > 0.75).all(-1)
    assert (low | high).all() and 0.45 < low.mean() < 0.55


@pytest.mark.parametrize("dimension", [1, 2, 16])
def test_the_diagonal_target_keeps_its_spread(dimension):
    """u has the uniform density's mean ½ and variance 1/12 in any dimension."""
    x = torch.from_numpy(fresh_cloud(5000, 1, 4, cube(dimension=dimension)).reshape(-1, dimension))
    y = diagonal(x)
    u = 0.5 + (x - 0.5).sum(-1) / math.sqrt(dimension)
    torch.testing.assert_close(y, TARGETS["sine"](u))
    assert abs(float(u.var()) * 12 - 1) < 0.05 and float(y.min()) < 0.01 and float(y.max()) > 0.99


@pytest.mark.parametrize("dimension", [1, 2, 8])
def test_radial_starts_have_the_line_s_prototypes_in_each_coordinate(dimension):
    w, b, _, _ = initial_parameters_in(dimension, 20_000 // dimension, 1, "radial")
    share = ((-b / w).abs() < 0.1).double().mean()  # on the line: |b| < |w|/10, which has probability ½
    assert abs(float(share) - 0.5) < 0.02
    assert abs(float((b**2).sum(-1).mean()) - 1 / 3) < 0.01


def test_the_temperature_keeps_its_ratio_to_neighbours():
    assert temperature_of(10, 1, "uniform") == 1e-4
    ratio = temperature_of(10, 4, "bell") / temperature_of(10, 2, "arcsine")
    distance = nearest_neighbour_distance(10, 4, "bell") / nearest_neighbour_distance(10, 2, "arcsine")
    assert ratio == pytest.approx(distance**2)
    assert nearest_neighbour_distance(10, 1) == pytest.approx((1 / 11) * (1 / 2 + 1 / 20) * 1.0909, rel=0.1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sample_cloud(1, 0, 2), "size"),
        (lambda: sample_cloud(5, 0, 0), "dimension"),
        (lambda: sample_cloud(5, 0, 2, "normal"), "density"),
        (lambda: initial_parameters_in(2, 5, 0, "sigmoid"), "neuron"),
        (lambda: scaled_temperature(0.1, 5, base=0.0), "base"),
        (lambda: respond(torch.zeros(5, 2), torch.ones(4, 3), torch.ones(4, 3), "radial"), "shapes"),
        (lambda: peaks(torch.ones(4, 3), torch.ones(4, 3), "ridge", torch.ones(3)), "shapes"),
        (lambda: matched_loss(torch.zeros(5, 2), torch.zeros(4, 2)), "shapes"),
        (lambda: outside_hull(np.zeros((5, 2)), np.zeros((5, 3))), "shapes"),
        (lambda: outside_share(np.zeros((5, 2)), np.full((5, 2), np.nan)), "points"),
    ],
)
def test_bad_input_is_refused_in_one_line(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# The error in d + 1 dimensions


def test_the_error_is_the_least_mean_distance_over_all_matchings():
    x, y = (value.numpy() for value in sample_cloud(5, SEED, 3))
    positions, values = np.random.default_rng(0).normal(size=(5, 3)), np.random.default_rng(1).normal(size=5)
    least = min(
        np.linalg.norm(np.c_[x, y] - np.c_[positions, values][list(order)], axis=1).mean()
        for order in permutations(range(5))
    )
    assert reconstruction_error(x, y, positions, values) == pytest.approx(least, rel=1e-12)


# The hull


def clouds(dimension: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples; and points inside, outside and near them, the samples themselves among these."""
    stream = np.random.default_rng([dimension, size])
    x = stream.uniform(size=(size, dimension))
    mixtures = stream.dirichlet(np.full(size, 0.3), 30) @ x
    return x, np.vstack([x, mixtures, stream.uniform(-0.1, 1.1, (40, dimension)), 1.5 * mixtures[:10] - 0.2])


@pytest.mark.long
@pytest.mark.parametrize(("dimension", "size"), [(2, 30), (3, 12), (4, 30), (6, 40), (8, 5), (16, 10)])
def test_the_shortcuts_decide_what_the_linear_programme_does(dimension, size):
    x, points = clouds(dimension, size)
    outside = outside_hull(x, points)
    # Of points on the boundary, as the samples are, the programme may say either: its tolerance is wider.
    expected = np.array([not is_mixture(x, point) for point in points[size:]])
    assert not outside[:size].any() and (outside[size:] == expected).all()
    assert 0 < outside.mean() < 1


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_hull_is_that_of_a_triangulation(dimension):
    x, points = clouds(dimension, 25)
    inside = Delaunay(x).find_simplex(points[25:]) >= 0
    assert (outside_hull(x, points[25:]) == ~inside).all()


@pytest.mark.parametrize("dimension", [2, 5, 8])
def test_in_a_simplex_the_hull_is_where_barycentric_coordinates_are_positive(dimension):
    x, points = clouds(dimension, dimension + 1)
    points = points[dimension + 1 :]
    weights = np.linalg.solve(np.vstack([x.T, np.ones(dimension + 1)]), np.vstack([points.T, np.ones(len(points))]))
    assert (outside_hull(x, points) == (weights < -1e-9).any(0)).all()


def test_boundary_points_are_inside_and_degenerate_hulls_are_no_trouble():
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    points = np.array([[0.5, 0], [1, 1], [0.5, 0.5], [0.5, -1e-6], [np.inf, 0]])
    assert outside_hull(square, points).tolist() == [False, False, False, True, True]
    line = np.array([[0, 0], [1, 1], [0.5, 0.5]])
    assert outside_hull(line, np.array([[0.2, 0.2], [0.2, 0.21], [1.1, 1.1]])).tolist() == [False, True, True]
    same = np.ones((3, 2))
    assert outside_hull(same, np.array([[1, 1], [1, 1.1]])).tolist() == [False, True]


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e200, 1.7e308])
def test_a_hull_is_one_at_any_scale(scale):
    triangle = np.array([[-1, -1], [1, -1], [0, 1.0], [0.5, 0.5]]) * scale
    points = np.array([[0, 0], [0.3, -0.3], [-0.9, 0.9]]) * scale
    with np.errstate(all="raise"):
        assert outside_hull(triangle, points).tolist() == [False, False, True]


def test_a_hull_holds_ever_less_in_more_dimensions():
    shares = [np.mean([fresh_outside(30, seed, cube(dimension=d)) for seed in range(10)]) for d in (2, 4, 8)]
    assert shares == sorted(shares) and shares[-1] > 0.99
    # On the line the two ends have 2 of the N + 1 gaps that are equal on average.
    line = np.mean([fresh_outside(30, seed, cube(dimension=1), draws=20) for seed in range(100)])
    assert line == pytest.approx(2 / 31, abs=0.01) and line < shares[0]


def test_distances_are_euclidean():
    x, positions = (np.random.default_rng(seed).normal(size=(5, 3)) for seed in (0, 1))
    expected = np.linalg.norm(x[:, None] - positions[None], axis=-1) ** 2
    np.testing.assert_allclose(squared_distances(torch.from_numpy(x), torch.from_numpy(positions)), expected)


def test_the_line_s_separate_losses_are_the_same():
    x, _, (w, b, _, _) = batch(SIZE, 1, [SEED], "radial")
    positions = peaks(w, b, "radial", x.mean(-2))
    samples, at = x.squeeze(-1), positions.squeeze(-1)
    assert torch.equal(structural("001", x, positions, 0.1), separation_loss(at, 0.1))
    flat = {"coverage": coverage_loss(samples, at, 0.1), "chamfer": chamfer_loss(samples, at, 0.1)}
    flat["transport"] = transport_loss(samples, at)
    for attractor in ATTRACTORS:
        assert torch.equal(structural("010", x, positions, 0.1, attractor=attractor), flat[attractor])


# The proposition on the null


def check_null(share: Callable[[int, int, str], float], is_one: Callable[[int, int], bool]) -> None:
    for dimension in (1, 2, 3):
        for size in {2, max(2, dimension), dimension + 1, dimension + 2}:
            for density in ("uniform", "arcsine", "clusters"):
                assert (share(size, dimension, density) == 1) == is_one(size, dimension), (size, dimension, density)


@cache
def share_outside(size: int, dimension: int, density: str) -> float:
    settings, draws = cube(dimension=dimension, density=density), 10 * 4**dimension
    return float(np.mean([fresh_outside(size, seed, settings, draws) for seed in range(8)]))


def share_outside_box(size: int, dimension: int, density: str) -> float:
    """Of the samples' box in place of their hull."""
    x = sample_cloud(size, 1, dimension, density)[0].numpy()
    fresh = fresh_cloud(size, 1, 200, cube(dimension=dimension, density=density)).reshape(-1, dimension)
    return float(((fresh < x.min(0)) | (fresh > x.max(0))).any(-1).mean())


def test_proposition_null():
    check_null(share_outside, lambda size, dimension: size <= dimension)


FALSE_NULLS = {
    "a simplex holds nothing": (share_outside, lambda size, dimension: size <= dimension + 1),
    "d samples hold something": (share_outside, lambda size, dimension: size < dimension),
    "the box for the hull": (share_outside_box, lambda size, dimension: size <= dimension),
    "twice the dimension": (share_outside, lambda size, dimension: size <= 2 * dimension),
    "half the dimension": (share_outside, lambda size, dimension: size <= dimension / 2),
    "the other way round": (share_outside, lambda size, dimension: size > dimension),
    "the dimension left out": (share_outside, lambda size, dimension: size <= 2),
    "at no size": (share_outside, lambda size, dimension: False),
    "at every size": (share_outside, lambda size, dimension: True),
}


@pytest.mark.parametrize("variant", FALSE_NULLS.items(), ids=lambda variant: variant[0])
def test_proposition_null_fails_for_a_false_variant(variant):
    with pytest.raises(AssertionError):
        check_null(*variant[1])


def test_the_book_prints_how_many_false_variants_are_rejected():
    assert {"null": len(FALSE_NULLS)} == VARIANTS_REJECTED


def test_a_tenth_of_the_temperature_is_that_and_c8_is_asked_of_a_hundred_thousand_times_it():
    runs = colder(seeds=(8000,), sets=[(2, "uniform", 10)])
    rule = temperature_of(10, 2, "uniform")
    nominal = runs[runs["heat"] == 1].groupby("times")["temperature"].unique()
    assert [float(one) for (one,) in nominal] == pytest.approx([rule / 10, rule])
    hot = runs[runs["heat"] != 1]
    assert set(hot["mask"]) == {"001"} and (hot["heat"] == 1e5).all()
    np.testing.assert_allclose(hot["temperature"], 1e5 * hot["times"] * rule)
    kept = pd.read_parquet(ROOT / "data/space-colder.parquet")
    kept = kept[(kept["seed"] == 8000) & (kept["size"] == 10) & (kept["dimension"] == 2)]
    keys = ["times", "heat", "mask"]
    same = ["temperature", "reconstruction_error", "specialization_ratio", "expelled_fraction", "chance"]
    one, other = (table.set_index(keys).sort_index()[same] for table in (runs, kept))
    pd.testing.assert_frame_equal(one, other, rtol=1e-3)


def test_positions_apart_is_the_position_error_on_the_line_and_that_of_the_best_matching_elsewhere():
    stream = np.random.default_rng(0)
    x, at = stream.uniform(size=(6, 1)), stream.normal(size=(6, 1))
    assert positions_apart(x, at) == pytest.approx(position_error(x[:, 0], at[:, 0]))
    x, at = stream.uniform(size=(5, 3)), stream.normal(size=(5, 3))
    least = min(np.linalg.norm(x - at[list(order)], axis=1).mean() for order in permutations(range(5)))
    assert positions_apart(x, at) == pytest.approx(least)


@pytest.mark.parametrize("size", [1, 2, 5, 7])
def test_the_position_error_is_the_least_mean_distance_along_the_input_over_all_matchings(size):
    stream = np.random.default_rng(size)
    x, positions = stream.uniform(size=(6, size)), 3 * stream.normal(size=(6, size))
    x[1], positions[2] = x[1, 0], positions[2, 0]  # equal samples, equal prototypes
    least = [
        min(np.abs(one - other[list(order)]).mean() for order in permutations(range(size)))
        for one, other in zip(x, positions, strict=True)
    ]
    np.testing.assert_allclose(position_error(x, positions), least, rtol=1e-12)
    assert isinstance(position_error(x[0], positions[0]), float)
    assert position_error(x[0], positions[0]) == pytest.approx(least[0], rel=1e-12)
    np.testing.assert_array_equal(
        position_error(x.reshape(2, 3, size), positions.reshape(2, 3, size)).ravel(), position_error(x, positions)
    )
    assert position_error(x[0], x[0][::-1]) == 0
    for wrong, words in (
        (positions[:, :-1], "shapes"),
        (np.where(positions == positions[0, 0], np.nan, positions), "prototypes"),
    ):
        with pytest.raises(ValueError, match=words):
            position_error(x, wrong)
