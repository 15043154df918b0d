"""The network: one hidden layer of Gaussian neurons, the prototype at which each of them peaks, and where it starts.

On the line first; then the two ways to carry the neuron over to d dimensions, and what a training needs of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from companion.core.checks import (
    require_choice,
    require_finite,
    require_integer,
    require_points,
    require_same_runs,
    require_same_shape,
    requires,
    unchecked,
)
from companion.core.data import random_stream, sample_cloud, sample_task
from companion.core.settings import MASKS, ROWS_OF_A_TABLE, Attractor, Neuron, Settings
from companion.core.tables import table_task


class Parameters(NamedTuple):
    """Parameters of a batch of networks: w, b, a of shape (..., neurons), c of shape (...)."""

    w: Tensor
    b: Tensor
    a: Tensor
    c: Tensor


def _seen_on_the_line(x: Tensor, w: Tensor, b: Tensor) -> None:
    require_same_shape(w=w, b=b)
    require_same_runs(x=x, w=w)
    require_finite(x=x)


@requires(_seen_on_the_line)
def activations(
    x: Float[Tensor, "*runs samples"], w: Float[Tensor, "*runs neurons"], b: Float[Tensor, "*runs neurons"]
) -> Float[Tensor, "*runs samples neurons"]:
    """Return h_ij = exp(-(w_j x_i + b_j)²), the response of neuron j to sample i.

    Book: chapter "The model and its prototypes", equation (activation).

    Args:
        x: inputs, shape (..., samples).
        w: input weights, shape (..., neurons).
        b: biases, shape (..., neurons).

    Returns:
        Responses in [0, 1], shape (..., samples, neurons).

    Raises:
        ValueError: if shapes do not fit or x is not finite.
    """
    z = x.unsqueeze(-1) * w.unsqueeze(-2) + b.unsqueeze(-2)
    return torch.exp(-(z**2))


def output(
    activations: Float[Tensor, "*runs samples neurons"], a: Float[Tensor, "*runs neurons"], c: Float[Tensor, "*runs"]
) -> Float[Tensor, "*runs samples"]:
    """Return f(x_i) = Σ_j a_j h_ij + c from the responses.

    Book: chapter "The model and its prototypes", equation (output).

    Args:
        activations: responses h, shape (..., samples, neurons).
        a: output weights, shape (..., neurons).
        c: output bias, shape (...).

    Returns:
        Values, shape (..., samples).
    """
    return (activations @ a.unsqueeze(-1)).squeeze(-1) + c.unsqueeze(-1)


def _one_network_a_run(x: Tensor, w: Tensor, b: Tensor, a: Tensor, c: Tensor) -> None:
    require_same_shape(w=w, b=b, a=a)
    if c.shape != w.shape[:-1]:
        raise ValueError(f"shapes: c {tuple(c.shape)} was given; allowed is one value a run, {tuple(w.shape[:-1])}")


@requires(_one_network_a_run)
def predict(
    x: Float[Tensor, "*runs samples"],
    w: Float[Tensor, "*runs neurons"],
    b: Float[Tensor, "*runs neurons"],
    a: Float[Tensor, "*runs neurons"],
    c: Float[Tensor, "*runs"],
) -> Float[Tensor, "*runs samples"]:
    """Return the network's values f(x_i) = Σ_j a_j exp(-(w_j x_i + b_j)²) + c.

    Book: chapter "The model and its prototypes", equation (output).

    Args:
        x: inputs, shape (..., samples); any points, not only the training inputs.
        w: input weights, shape (..., neurons).
        b: biases, shape (..., neurons).
        a: output weights, shape (..., neurons).
        c: output bias, shape (...).

    Returns:
        Values, shape (..., samples).

    Raises:
        ValueError: if shapes do not fit or x is not finite.
    """
    return output(activations(x, w, b), a, c)


def _one_bias_a_weight(w: Tensor, b: Tensor) -> None:
    require_same_shape(w=w, b=b)


@requires(_one_bias_a_weight)
def prototypes(w: Float[Tensor, "*runs neurons"], b: Float[Tensor, "*runs neurons"]) -> Float[Tensor, "*runs neurons"]:
    """Return x̂_j = -b_j / w_j, the input at which neuron j responds most.

    Book: chapter "The model and its prototypes", equation (prototype).

    Args:
        w: input weights, shape (..., neurons); a weight of exactly 0 gives an infinite prototype.
        b: biases, shape (..., neurons).

    Returns:
        Prototypes, shape (..., neurons), anywhere on the real line.

    Raises:
        ValueError: if shapes differ.
    """
    return -b / w


# --- in d dimensions ---


def _seen_by_radial(x: Tensor, w: Tensor, b: Tensor) -> None:
    require_points(x=x, w=w)
    require_same_shape(w=w, b=b)
    require_finite(x=x)


@requires(_seen_by_radial)
def radial_activations(
    x: Float[Tensor, "*runs samples d"], w: Float[Tensor, "*runs neurons d"], b: Float[Tensor, "*runs neurons d"]
) -> Float[Tensor, "*runs samples neurons"]:
    """Return h_ij = exp(-|w_j ∘ x_i + b_j|²), the response of a neuron with a width for each coordinate.

    Book: chapter "More dimensions, other densities", equation (radial).

    Args:
        x: inputs, shape (..., samples, d).
        w, b: input weights and biases, shape (..., neurons, d).

    Returns:
        Responses in [0, 1], shape (..., samples, neurons).

    Raises:
        ValueError: if shapes do not fit or x is not finite.
    """
    z = x.unsqueeze(-2) * w.unsqueeze(-3) + b.unsqueeze(-3)
    return torch.exp(-(z**2).sum(-1))


def _seen_by_ridge(x: Tensor, w: Tensor, b: Tensor) -> None:
    require_points(x=x, w=w)
    require_same_shape(**{"w without d": w[..., 0], "b": b})
    require_finite(x=x)


@requires(_seen_by_ridge)
def ridge_activations(
    x: Float[Tensor, "*runs samples d"], w: Float[Tensor, "*runs neurons d"], b: Float[Tensor, "*runs neurons"]
) -> Float[Tensor, "*runs samples neurons"]:
    """Return h_ij = exp(-(w_j·x_i + b_j)²), the response of a neuron with one direction.

    Book: chapter "More dimensions, other densities", equation (ridge).

    Args:
        x: inputs, shape (..., samples, d).
        w: input weights, shape (..., neurons, d).
        b: biases, shape (..., neurons).

    Returns:
        Responses in [0, 1], shape (..., samples, neurons).

    Raises:
        ValueError: if shapes do not fit or x is not finite.
    """
    z = (x.unsqueeze(-2) * w.unsqueeze(-3)).sum(-1) + b.unsqueeze(-2)  # summed as on the line, unlike a matrix product
    return torch.exp(-(z**2))


def _ridges(w: Tensor, b: Tensor, centre: Tensor) -> None:
    require_points(w=w, centre=centre.unsqueeze(-2))
    require_same_shape(**{"w without d": w[..., 0], "b": b})


@requires(_ridges)
def ridge_prototypes(
    w: Float[Tensor, "*runs neurons d"], b: Float[Tensor, "*runs neurons"], centre: Float[Tensor, "*runs d"]
) -> Float[Tensor, "*runs neurons d"]:
    """Return x̂_j, the point of w_j·x + b_j = 0 that is nearest to the centre m.

    A ridge neuron responds most on a whole hyperplane; which of its points to take is a choice. In one dimension it
    has only one, -b/w, whatever m is. (Of a radial neuron `prototypes` gives -b/w in each coordinate.)
    Book: chapter "More dimensions, other densities", equation (foot).

    Args:
        w: input weights, shape (..., neurons, d).
        b: biases, shape (..., neurons).
        centre: m, the mean of the run's samples, shape (..., d).

    Returns:
        Prototypes, shape (..., neurons, d).

    Raises:
        ValueError: if shapes do not fit.
    """
    if w.shape[-1] == 1:
        return (-b / w.squeeze(-1)).unsqueeze(-1)
    m = centre.unsqueeze(-2)
    return m - ((w * m).sum(-1) + b).unsqueeze(-1) * w / (w**2).sum(-1, keepdim=True)


class Geometry(NamedTuple):
    """What a training and its measures ask of a neuron; checks are left out, which would be made anew at every step.

    `respond` gives h from x, w and b; `peak` gives x̂ from w, b and the samples; `squared_distances` gives |p_i - q_j|²
    of two sets of points, shape (..., i, j). Each does what the function above with that equation does.
    """

    respond: Callable[[Tensor, Tensor, Tensor], Tensor]
    peak: Callable[[Tensor, Tensor, Tensor], Tensor]
    squared_distances: Callable[[Tensor, Tensor], Tensor]


def squared_distances(p: Float[Tensor, "*runs p d"], q: Float[Tensor, "*runs q d"]) -> Float[Tensor, "*runs p q"]:
    """Return |p_i - q_j|² of points, shape (..., i, j), from shapes (..., i, d) and (..., j, d)."""
    return ((p.unsqueeze(-2) - q.unsqueeze(-3)) ** 2).sum(-1)


GEOMETRIES: dict[Neuron, Geometry] = {
    Neuron.LINE: Geometry(
        unchecked(activations), lambda w, b, x: -b / w, lambda p, q: (p.unsqueeze(-1) - q.unsqueeze(-2)) ** 2
    ),
    Neuron.RADIAL: Geometry(unchecked(radial_activations), lambda w, b, x: -b / w, squared_distances),
    Neuron.RIDGE: Geometry(
        unchecked(ridge_activations), lambda w, b, x: unchecked(ridge_prototypes)(w, b, x.mean(-2)), squared_distances
    ),
}


SHAPES = {
    Neuron.LINE: ("x (..., samples)", "w (..., neurons)", "b (..., neurons)"),
    Neuron.RADIAL: ("x (..., samples, d)", "w (..., neurons, d)", "b (..., neurons, d)"),
    Neuron.RIDGE: ("x (..., samples, d)", "w (..., neurons, d)", "b (..., neurons)"),
}
"""Shapes of a batch by neuron; y is (..., samples), a (..., neurons) and c (...)."""


def require_batch(x: Tensor, y: Tensor, parameters: Parameters, settings: Settings) -> None:
    """Pass if data and networks are a batch of runs that these settings can train.

    Raises:
        ValueError: if shapes do not fit the neuron (or transport, which needs a neuron a sample), or a value is NaN or
            infinite.
    """
    w, b, a, c = parameters
    neuron, leading, neurons = settings.neuron, y.shape[:-1], a.shape[-1:]
    points = x.shape[-1:] if neuron != Neuron.LINE else x.shape[:0]
    expected = {
        "x": (*y.shape, *points),
        "y": y.shape,
        "w": (*leading, *neurons, *points),
        "b": (*leading, *neurons, *(points if neuron == Neuron.RADIAL else ())),
        "a": (*leading, *neurons),
        "c": leading,
    }
    given = {"x": x, "y": y, "w": w, "b": b, "a": a, "c": c}
    fits = y.dim() > 0 and a.dim() > 0 and all(given[name].shape == shape for name, shape in expected.items())
    matched = MASKS[settings.mask].coverage and settings.attractor == Attractor.TRANSPORT
    if not fits or 0 in x.shape or 0 in neurons or (matched and neurons != y.shape[-1:]):
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in given.items())
        raise ValueError(
            f"shapes: {shapes} were given; allowed for {neuron} are {', '.join(SHAPES[neuron])}, y (..., samples), "
            "a (..., neurons), c (...), with neurons = samples for transport"
        )
    require_finite(**given)


# --- where training starts ---


def initial_parameters(size: int, seed: int) -> Parameters:
    """Draw the initial parameters of one run: w ~ U(-10, 10), b ~ U(-1, 1), a and c ~ U(-N^-½, N^-½).

    Book: chapter "The model and its prototypes", section "Where training starts".

    Args:
        size: number of neurons N (equal to the number of training points), at least 2.
        seed: at least 0; masks of one seed share these values.

    Returns:
        w, b, a, float64 of shape (size,), and c of shape ().

    Raises:
        ValueError: if size or seed is out of range.
    """
    stream = random_stream(size, seed, purpose=1)
    bound = size**-0.5
    w = stream.uniform(-10.0, 10.0, size)
    b = stream.uniform(-1.0, 1.0, size)
    a = stream.uniform(-bound, bound, size)
    c = stream.uniform(-bound, bound)
    return Parameters(*(torch.as_tensor(value, dtype=torch.float64) for value in (w, b, a, c)))


def initial_parameters_in(dimension: int, size: int, seed: int, neuron: str) -> Parameters:
    """Draw the initial parameters of one run in d dimensions, from the stream of `initial_parameters`.

    w ~ U(-10, 10)/√d; radial b ~ U(-1, 1)/√d in each coordinate, ridge b ~ U(-1, 1). So each coordinate of a radial
    prototype, and the mean of the exponent at a given scale of the input, are distributed as on the line.
    Book: chapter "More dimensions, other densities", section "The same network, twice".

    Args:
        dimension: d, at least 1.
        size, seed: as in `initial_parameters`.
        neuron: "radial" or "ridge".

    Returns:
        w, float64 of shape (size, d); b of that shape for radial, (size,) for ridge; a of shape (size,), c of ().

    Raises:
        ValueError: if an argument is out of range.
    """
    dimension = require_integer("dimension", dimension, least=1)
    radial = require_choice("neuron", neuron, (Neuron.RADIAL, Neuron.RIDGE)) == Neuron.RADIAL
    stream = random_stream(size, seed, purpose=1)
    bound, root = size**-0.5, math.sqrt(dimension)
    w = stream.uniform(-10.0, 10.0, (size, dimension)) / root
    b = stream.uniform(-1.0, 1.0, (size, dimension)) / root if radial else stream.uniform(-1.0, 1.0, size)
    a = stream.uniform(-bound, bound, size)
    c = stream.uniform(-bound, bound)
    return Parameters(*(torch.as_tensor(value, dtype=torch.float64) for value in (w, b, a, c)))


def starting_batch(
    size: int, seeds: Iterable[int], settings: Settings = Settings()
) -> tuple[Tensor, Tensor, Parameters]:
    """Return the training data and the initial parameters of some seeds, as one batch of runs.

    Book: chapter "The model and its prototypes", section "Where training starts".

    Args:
        size: N, at least 2; of a table as many as it has rows.
        seeds: one a run, each at least 0; a table has the same rows at every seed, and starts that differ.
        settings: whose target, neuron, dimension and density are taken.

    Returns:
        On the line x, y, w, b and a of shape (seeds, size) and c of shape (seeds,). In d dimensions x and w have a
        last dimension of d more, and so has b of radial neurons.

    Raises:
        ValueError: if an argument is out of range.
    """
    starts = [_start(size, seed, settings) for seed in seeds]
    x, y, *parameters = (torch.stack(column) for column in zip(*starts, strict=True))
    return x, y, Parameters(*parameters)


def _start(size: int, seed: int, settings: Settings) -> tuple[Tensor, ...]:
    """One run's x, y, w, b, a and c."""
    if settings.neuron == Neuron.LINE:
        return *sample_task(size, seed, settings.target), *initial_parameters(size, seed)
    start = initial_parameters_in(settings.dimension, size, seed, settings.neuron)
    if settings.density not in ROWS_OF_A_TABLE:
        return *sample_cloud(size, seed, settings.dimension, settings.density), *start
    rows = table_task(settings.density)
    if rows.x.shape != (size, settings.dimension):
        raise ValueError(
            f"size: {size!r} in {settings.dimension} dimensions was given; allowed for {str(settings.density)!r} is "
            f"{rows.x.shape[0]} in {rows.x.shape[1]}"
        )
    return rows.x, rows.y, *start
