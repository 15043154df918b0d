"""The network in d dimensions: two neurons, their prototypes, the losses on distances, training, and where it starts.

In one dimension everything is, bit for bit, what `companion.core.network`, `companion.core.losses` and `companion.core.train` compute.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from companion.core.checks import require_choice, require_finite, require_integer, require_number, require_same_shape
from companion.core.data import random_stream
from companion.core.losses import (
    ATTRACTORS,
    MASKS,
    fit_loss,
    overlap_loss,
    soft_nearest,
    soft_nearest_from_afar,
    transport_loss,
)
from companion.core.network import Parameters, output
from companion.core.train import BETAS, EPSILON, LEARNING_RATE

NEURONS = ("radial", "ridge")
"""The two ways to carry the neuron over: a width for each coordinate, or one direction."""

CALIBRATION_SEEDS = range(100)
"""Seeds whose points set the temperature; no run that is reported has one of them."""
NOMINAL_TEMPERATURE = 1e-4
"""τ of uniform points on the line."""


def space_activations(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, neuron: str) -> torch.Tensor:
    """Return h_ij: exp(-|w_j ∘ x_i + b_j|²) of a radial neuron, exp(-(w_j·x_i + b_j)²) of a ridge neuron.

    Book: chapter "More dimensions, other densities", equations (radial) and (ridge).

    Args:
        x: inputs, shape (..., samples, d).
        w: input weights, shape (..., neurons, d).
        b: biases, shape (..., neurons, d) for radial and (..., neurons) for ridge.
        neuron: one of `NEURONS`.

    Returns:
        Responses in [0, 1], shape (..., samples, neurons).

    Raises:
        ValueError: if neuron is unknown, shapes do not fit or x is not finite.
    """
    _require_neurons(w, b, neuron)
    require_finite(x=x)
    if x.dim() != w.dim() or x.shape[:-2] != w.shape[:-2] or x.shape[-1] != w.shape[-1]:
        raise ValueError(
            f"shapes: x {tuple(x.shape)}, w {tuple(w.shape)} were given; "
            "allowed are (..., samples, d) and (..., neurons, d) with equal leading dimensions"
        )
    products = x.unsqueeze(-2) * w.unsqueeze(-3)  # summed as on the line, which a product of matrices would not be
    if neuron == "radial":
        return torch.exp(-((products + b.unsqueeze(-3)) ** 2).sum(-1))
    return torch.exp(-((products.sum(-1) + b.unsqueeze(-2)) ** 2))


def space_prototypes(w: torch.Tensor, b: torch.Tensor, neuron: str, centre: torch.Tensor) -> torch.Tensor:
    """Return x̂_j: -b/w in each coordinate (radial), or the point of w·x + b = 0 nearest to the centre m (ridge).

    A ridge neuron responds most on a whole hyperplane; which of its points to take is a choice. In one dimension it
    has only one, -b/w, whatever m is.
    Book: chapter "More dimensions, other densities", equation (foot).

    Args:
        w: input weights, shape (..., neurons, d).
        b: biases, shape (..., neurons, d) for radial and (..., neurons) for ridge.
        neuron: one of `NEURONS`.
        centre: m, the mean of the run's samples, shape (..., d); of no effect for radial.

    Returns:
        Prototypes, shape (..., neurons, d).

    Raises:
        ValueError: if neuron is unknown or shapes do not fit.
    """
    _require_neurons(w, b, neuron)
    if neuron == "radial":
        return -b / w
    if w.shape[-1] == 1:
        return (-b / w.squeeze(-1)).unsqueeze(-1)
    m = centre.unsqueeze(-2)
    return m - ((w * m).sum(-1) + b).unsqueeze(-1) * w / (w**2).sum(-1, keepdim=True)


def squared_distances(x: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """Return |x_i - x̂_j|² of every sample and prototype.

    Args:
        x: points, shape (..., samples, d).
        prototypes: x̂, shape (..., neurons, d).

    Returns:
        Squared Euclidean distances, shape (..., samples, neurons).
    """
    return ((x.unsqueeze(-2) - prototypes.unsqueeze(-3)) ** 2).sum(-1)


def space_separation(prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return L_sep = mean over j ≠ k of exp(-|x̂_j - x̂_k|²/τ).

    Book: chapter "More dimensions, other densities", equation (space-losses).

    Args:
        prototypes: x̂, shape (..., neurons, d).
        temperature: τ > 0, in units of squared input.

    Returns:
        Loss a run in [0, 1], shape (...); 0 for a single neuron, which has no pair.

    Raises:
        ValueError: if temperature is not above 0.
    """
    temperature = require_number("temperature", temperature, positive=True)
    neurons = prototypes.shape[-2]
    closeness = torch.exp(-squared_distances(prototypes, prototypes) / temperature)
    other = 1 - torch.eye(neurons, dtype=prototypes.dtype, device=prototypes.device)
    return (closeness * other).sum((-2, -1)) / max(neurons * (neurons - 1), 1)


def space_transport(x: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """Return L_tra = min over matchings π of mean_i |x_i - x̂_π(i)|².

    On the line it sorts; in more dimensions the matching is the Hungarian one of the squared distances. Its gradient is
    that at the matching, where several are optimal that of the one found.
    Book: chapter "More dimensions, other densities", equation (space-losses).

    Args:
        x: training inputs, shape (..., samples, d).
        prototypes: x̂, shape (..., neurons, d) with neurons = samples.

    Returns:
        Loss a run, in units of squared input, shape (...).

    Raises:
        ValueError: if shapes differ or x is not finite.
    """
    require_same_shape(x=x, prototypes=prototypes)
    require_finite(x=x)
    if x.shape[-1] == 1:
        return transport_loss(x.squeeze(-1), prototypes.squeeze(-1))
    squared = squared_distances(x, prototypes)
    flat = squared.detach().cpu().reshape(-1, *squared.shape[-2:])
    matching = torch.stack([_optimal(run) for run in flat]).reshape(squared.shape[:-1]).to(x.device)
    return squared.gather(-1, matching.unsqueeze(-1)).squeeze(-1).mean(-1)


def _optimal(squared: torch.Tensor) -> torch.Tensor:
    """Return one run's matching; a run that is lost to overflow keeps any, its loss is no number either way."""
    if not squared.isfinite().all():
        return torch.arange(len(squared))
    return torch.as_tensor(linear_sum_assignment(squared.numpy())[1])


def space_attraction(attractor: str, x: torch.Tensor, prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the attractor's loss by its name: coverage, chamfer or transport, on distances in d dimensions.

    Book: chapter "More dimensions, other densities", equation (space-losses).

    Args:
        attractor: one of `companion.core.losses.ATTRACTORS`.
        x: training inputs, shape (..., samples, d).
        prototypes: x̂, shape (..., neurons, d).
        temperature: τ > 0; transport does not depend on it.

    Returns:
        Loss a run, shape (...).

    Raises:
        ValueError: if an argument or a shape is not allowed, or x is not finite.
    """
    if require_choice("attractor", attractor, ATTRACTORS) == "transport":
        return space_transport(x, prototypes)
    require_finite(x=x)
    temperature = require_number("temperature", temperature, positive=True)
    squared = squared_distances(x, prototypes)
    loss = soft_nearest(squared, temperature).mean(-1)
    return loss + soft_nearest_from_afar(squared.mT, temperature).mean(-1) if attractor == "chamfer" else loss


def space_loss(
    x: torch.Tensor,
    y: torch.Tensor,
    parameters: Parameters,
    mask: str,
    neuron: str,
    strength: float,
    temperature: float,
    attractor: str = "coverage",
    balance: float = 1.0,
) -> torch.Tensor:
    """Return L = L_fit + λ (κ m_cov L_att + m_sep L_sep + m_ovl L_ovl), with distances in d dimensions.

    Book: chapter "More dimensions, other densities", equation (space-losses).

    Args:
        x: training inputs, shape (..., samples, d).
        y: target values, shape (..., samples).
        parameters: w of shape (..., neurons, d); b of that shape (radial) or (..., neurons) (ridge); a of shape
            (..., neurons); c of shape (...).
        mask: one of `companion.core.losses.MASKS`.
        neuron: one of `NEURONS`.
        strength: λ >= 0.
        temperature: τ > 0.
        attractor: one of `companion.core.losses.ATTRACTORS`, the loss that the mask's middle bit switches on.
        balance: κ >= 0, the attractor's part of λ.

    Returns:
        Loss a run, shape (...).

    Raises:
        ValueError: if an argument or a shape is not allowed, or data are not finite.
    """
    switches = MASKS[require_choice("mask", mask, MASKS)]
    strength, balance = require_number("strength", strength), require_number("balance", balance)
    responses = space_activations(x, parameters.w, parameters.b, neuron)
    loss = fit_loss(output(responses, parameters.a, parameters.c), y)
    if switches.overlap:
        loss = loss + strength * overlap_loss(responses)
    if switches.coverage or switches.separation:
        positions = space_prototypes(parameters.w, parameters.b, neuron, x.mean(-2))
        if switches.coverage:
            loss = loss + strength * balance * space_attraction(attractor, x, positions, temperature)
        if switches.separation:
            loss = loss + strength * space_separation(positions, temperature)
    return loss


def train_space(
    x: torch.Tensor,
    y: torch.Tensor,
    initial: Parameters,
    mask: str,
    neuron: str = "radial",
    strength: float = 1.0,
    temperature: float = NOMINAL_TEMPERATURE,
    steps: int = 2000,
    attractor: str = "coverage",
    balance: float = 1.0,
) -> Parameters:
    """Minimise the loss of every run in a batch with full-batch Adam, as `companion.core.train.train` does on the line.

    Book: chapter "More dimensions, other densities", section "The same network, twice".

    Args:
        x: training inputs, shape (..., samples, d).
        y: target values, shape (..., samples).
        initial: parameters of the shapes that `space_loss` takes; left as they are.
        mask: one of `companion.core.losses.MASKS`, for all runs of the batch.
        neuron: one of `NEURONS`.
        strength: λ >= 0.
        temperature: τ > 0.
        steps: number of Adam steps, at least 0.
        attractor: one of `companion.core.losses.ATTRACTORS`.
        balance: κ >= 0, the attractor's part of λ.

    Returns:
        The trained parameters, detached.

    Raises:
        ValueError: if a setting or shape is not allowed, or data or initial parameters are not finite.
    """
    steps = require_integer("steps", steps, least=0)
    require_finite(x=x, y=y, **initial._asdict())
    settings = (mask, neuron, strength, temperature, attractor, balance)
    parameters = Parameters(*(value.detach().clone().requires_grad_() for value in initial))
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, betas=BETAS, eps=EPSILON, fused=True)
    for _ in range(steps):
        optimizer.zero_grad()
        space_loss(x, y, parameters, *settings).sum().backward()
        optimizer.step()
    return Parameters(*(value.detach() for value in parameters))


def space_start(size: int, dimension: int, seed: int, neuron: str) -> Parameters:
    """Draw the initial parameters of one run from the stream of `companion.core.network.initial_parameters`.

    w ~ U(-10, 10)/√d; radial b ~ U(-1, 1)/√d in each coordinate, ridge b ~ U(-1, 1). So each coordinate of a radial
    prototype, and the mean of the exponent at a given scale of the input, are distributed as on the line.
    Book: chapter "More dimensions, other densities", section "The same network, twice".

    Args:
        size: number of neurons N, at least 2.
        dimension: d, at least 1.
        seed: at least 0; masks of one seed share these values.
        neuron: one of `NEURONS`.

    Returns:
        Parameters of one run, float64, of the shapes that `space_loss` takes.

    Raises:
        ValueError: if an argument is out of range.
    """
    dimension = require_integer("dimension", dimension, least=1)
    radial = require_choice("neuron", neuron, NEURONS) == "radial"
    stream = random_stream(size, seed, purpose=1)
    bound, root = size**-0.5, math.sqrt(dimension)
    w = stream.uniform(-10.0, 10.0, (size, dimension)) / root
    b = stream.uniform(-1.0, 1.0, (size, dimension)) / root if radial else stream.uniform(-1.0, 1.0, size)
    a = stream.uniform(-bound, bound, size)
    c = stream.uniform(-bound, bound)
    return Parameters(*(torch.as_tensor(value, dtype=torch.float64) for value in (w, b, a, c)))


def _clusters(stream: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    corner = stream.integers(0, 2, (*shape[:-1], 1))
    return 0.75 * corner + 0.25 * stream.uniform(0.0, 1.0, shape)


DENSITIES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "uniform": lambda stream, shape: stream.uniform(0.0, 1.0, shape),
    "arcsine": lambda stream, shape: stream.beta(0.5, 0.5, shape),
    "bell": lambda stream, shape: stream.beta(5.0, 5.0, shape),
    "clusters": _clusters,
}
"""Densities of the inputs in [0, 1]^d: coordinates independent and uniform, Beta(½, ½) or Beta(5, 5), or two clusters,
each point by a fair coin uniform in the cube [0, ¼]^d or in [¾, 1]^d."""


def _diagonal(x: torch.Tensor) -> torch.Tensor:
    root = math.sqrt(x.shape[-1])
    u = x.sum(-1) / root + 0.5 * (1 - root)
    return 0.5 * (1 + torch.sin(2 * math.pi * u))


SPACE_TARGETS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"diagonal": _diagonal}
"""Targets by name, from inputs (..., d) to values (...): the paper's sine along the cube's diagonal."""


def space_task(
    size: int, dimension: int, seed: int, density: str = "uniform", target: str = "diagonal"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the training set of one run: x from a density in [0, 1]^d and y = target(x).

    Book: chapter "More dimensions, other densities", section "Data".

    Args:
        size: number of points N, at least 2.
        dimension: d, at least 1.
        seed: at least 0; masks of one seed share this data.
        density: a name in `DENSITIES`.
        target: a name in `SPACE_TARGETS`.

    Returns:
        `x` of shape (size, d) and `y` of shape (size,), float64.

    Raises:
        ValueError: if an argument is out of range.
    """
    target = require_choice("target", target, SPACE_TARGETS)
    x = torch.from_numpy(_draw(random_stream(size, seed, purpose=0), (size,), dimension, density))
    return x, SPACE_TARGETS[target](x)


def space_fresh(size: int, dimension: int, seed: int, draws: int, density: str = "uniform") -> np.ndarray:
    """Draw further inputs that no network was trained on, in sets as large as the training set.

    Book: chapter "More dimensions, other densities", equation (null).

    Args:
        size, dimension, seed, density: as in `space_task`.
        draws: number of sets, at least 1.

    Returns:
        Inputs, shape (draws, size, d).

    Raises:
        ValueError: if an argument is out of range.
    """
    draws = require_integer("draws", draws, least=1)
    return _draw(random_stream(size, seed, purpose=3), (draws, size), dimension, density)


def _draw(stream: np.random.Generator, shape: tuple[int, ...], dimension: int, density: str) -> np.ndarray:
    dimension = require_integer("dimension", dimension, least=1)
    return DENSITIES[require_choice("density", density, DENSITIES)](stream, (*shape, dimension))


@cache
def nearest_neighbour_distance(size: int, dimension: int, density: str = "uniform") -> float:
    """Return δ, the mean distance from one of N points to the nearest other one, over the calibration seeds.

    Book: chapter "More dimensions, other densities", equation (space-temperature).

    Args:
        size: N, at least 2.
        dimension: d, at least 1.
        density: a name in `DENSITIES`.

    Raises:
        ValueError: if an argument is out of range.
    """
    means = []
    for seed in CALIBRATION_SEEDS:
        x = space_task(size, dimension, seed, density)[0].numpy()
        means.append((cdist(x, x) + np.diag(np.full(size, np.inf))).min(-1).mean())
    return float(np.mean(means))


def space_temperature(size: int, dimension: int, density: str = "uniform", base: float = NOMINAL_TEMPERATURE) -> float:
    """Return τ = base · (δ/δ₁)², which keeps its ratio to the squared distance of neighbours; δ₁ is that on the line.

    Book: chapter "More dimensions, other densities", equation (space-temperature).

    Args:
        size: N, at least 2.
        dimension: d, at least 1.
        density: a name in `DENSITIES`.
        base: τ of N uniform points in one dimension, above 0.

    Raises:
        ValueError: if an argument is out of range.
    """
    base = require_number("base", base, positive=True)
    ratio = nearest_neighbour_distance(size, dimension, density) / nearest_neighbour_distance(size, 1)
    return base * ratio**2


def space_batch(
    size: int, dimension: int, seeds: Iterable[int], neuron: str, density: str = "uniform", target: str = "diagonal"
) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    """Return training data and initial parameters of some seeds, as one batch of runs.

    Book: chapter "More dimensions, other densities", section "The same network, twice".

    Args:
        size, dimension, density, target: as in `space_task`.
        seeds: one a run, each at least 0.
        neuron: one of `NEURONS`.

    Returns:
        x of shape (seeds, size, d), y of shape (seeds, size), and parameters with a leading dimension of seeds.

    Raises:
        ValueError: if an argument is out of range.
    """
    starts = [
        (*space_task(size, dimension, seed, density, target), *space_start(size, dimension, seed, neuron))
        for seed in seeds
    ]
    x, y, *parameters = (torch.stack(column) for column in zip(*starts, strict=True))
    return x, y, Parameters(*parameters)


def space_error(x: ArrayLike, y: ArrayLike, prototypes: ArrayLike, values: ArrayLike) -> np.ndarray | float:
    """Return E, the mean distance in d + 1 dimensions of the Hungarian matching of (x_i, y_i) with (x̂_j, f(x̂_j)).

    Book: chapter "More dimensions, other densities", equation (space-error).

    Args:
        x: training inputs, shape (..., samples, d).
        y: target values, shape (..., samples).
        prototypes: x̂, shape (..., neurons, d) with neurons = samples.
        values: f(x̂), shape (..., neurons).

    Returns:
        E >= 0 a run, in units of the input, shape (...); a float for one run.

    Raises:
        ValueError: if shapes do not fit or a value is not finite.
    """
    data, targets, positions, heights = (np.asarray(given, dtype=np.float64) for given in (x, y, prototypes, values))
    require_same_shape(x=data, prototypes=positions)
    require_same_shape(y=targets, values=heights, **{"x without d": data[..., 0]})
    require_finite(x=data, y=targets, prototypes=positions, values=heights)
    leading = data.shape[:-2]
    runs = zip(
        *(given.reshape(-1, *given.shape[-2:]) for given in (data, positions)),
        *(given.reshape(-1, given.shape[-1]) for given in (targets, heights)),
        strict=True,
    )
    errors = np.array([space_match(*run)[1].mean() for run in runs]).reshape(leading)
    return errors if leading else float(errors)


def space_match(
    x: np.ndarray, prototypes: np.ndarray, y: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return one run's matching: the neuron of each sample and their distance in d + 1 dimensions.

    Book: chapter "More dimensions, other densities", equation (space-error).

    Args:
        x, prototypes: shape (samples, d).
        y, values: shape (samples,).

    Returns:
        Neurons and distances, each of shape (samples,).
    """
    cost = np.hypot(cdist(x, prototypes), y[:, None] - values[None, :])
    sample, neuron = linear_sum_assignment(cost)
    return neuron, cost[sample, neuron]


def space_chance(
    size: int,
    dimension: int,
    seeds: Sequence[int],
    density: str = "uniform",
    target: str = "diagonal",
    draws: int = 20,
) -> np.ndarray:
    """Return E of prototypes drawn afresh from the data's own density, on the target's graph.

    Book: chapter "More dimensions, other densities", equation (space-error).

    Args:
        size, dimension, density, target: as in `space_task`.
        seeds: seeds whose training data are compared with; each at least 0.
        draws: random sets of prototypes a seed, at least 1.

    Returns:
        E, shape (seeds, draws).

    Raises:
        ValueError: if an argument is out of range.
    """
    draws = require_integer("draws", draws, least=1)
    errors = []
    for seed in seeds:
        x, y = space_task(size, dimension, seed, density, target)
        drawn = torch.from_numpy(_draw(random_stream(size, seed, purpose=2), (draws, size), dimension, density))
        values = SPACE_TARGETS[target](drawn)
        errors.append(space_error(x.expand(draws, -1, -1), y.expand(draws, -1), drawn, values))
    return np.array(errors)


def _require_neurons(w: torch.Tensor, b: torch.Tensor, neuron: str) -> None:
    """Pass if w and b have the shapes of that neuron's parameters."""
    expected = w.shape if require_choice("neuron", neuron, NEURONS) == "radial" else w.shape[:-1]
    if w.dim() < 2 or b.shape != expected:
        raise ValueError(
            f"shapes: w {tuple(w.shape)}, b {tuple(b.shape)} were given; allowed are w (..., neurons, d), "
            "and b of that shape for radial, (..., neurons) for ridge"
        )
