"""The network: one hidden layer of Gaussian neurons, the prototype at which each of them peaks, and where it starts.

On the line first; then the two ways to carry the neuron over to d dimensions, and what a training needs of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from companion.core.checks import (
    MOST_POINTS,
    checked_by,
    require_choice,
    require_finite,
    require_integer,
    require_list,
    require_seed,
    require_shapes,
    require_tensors,
    requires,
    shown,
    unchecked,
)
from companion.core.data import random_stream, sample_cloud, sample_task
from companion.core.settings import (
    MASKS,
    ROWS_OF_A_TABLE,
    Activation,
    Attractor,
    Initialisation,
    Neuron,
    Settings,
    require_settings,
)
from companion.core.tables import table_task


class Parameters(NamedTuple):
    """Parameters of a batch of networks: w, b, a of shape (..., neurons), c of shape (...)."""

    w: Tensor
    b: Tensor
    a: Tensor
    c: Tensor


def _known_form(x: Tensor, w: Tensor, b: Tensor, form: str = Activation.GAUSSIAN) -> None:
    require_choice("form", form, EXPONENTS)


@checked_by(_known_form)
@requires(finite=("x",))
def activations(
    x: Float[Tensor, "*runs samples"],
    w: Float[Tensor, "*runs neurons"],
    b: Float[Tensor, "*runs neurons"],
    form: str = Activation.GAUSSIAN,
) -> Float[Tensor, "*runs samples neurons"]:
    """Return h_ij = exp(-(w_j x_i + b_j)²), the response of neuron j to sample i; or another Gaussian of it.

    Book: chapter "The model and its prototypes", equation (activation).

    Args:
        x: inputs, shape (..., samples).
        w: input weights, shape (..., neurons).
        b: biases, shape (..., neurons).
        form: a name in `EXPONENTS`.

    Returns:
        Responses in [0, 1], shape (..., samples, neurons).

    Raises:
        ValueError: if shapes do not fit, x is not finite or the form is unknown.
    """
    z = x.unsqueeze(-1) * w.unsqueeze(-2) + b.unsqueeze(-2)
    return torch.exp(-EXPONENTS[form] * z**2)


EXPONENTS: dict[str, float] = {Activation.GAUSSIAN: 1.0, Activation.HALF: 0.5}
"""Of an activation exp(-s z²) its s: of the second, bumps are wider by √2 at the same weights."""


def in_nominal_activation(parameters: Parameters, form: str) -> Parameters:
    """Return the parameters of the same network with exp(-z²): w and b times √s, where its activation is exp(-s z²).

    Prototypes and values are the same numbers; what takes no `form` takes a network so.
    Book: chapter "Every reading at once", equation (activations).

    Args:
        parameters: of networks on the line, as they are trained.
        form: a name in `EXPONENTS`.

    Raises:
        ValueError: if the form is unknown.
    """
    root = math.sqrt(EXPONENTS[require_choice("form", form, EXPONENTS)])
    w, b, a, c = require_parameters("parameters", parameters)
    return Parameters(w * root, b * root, a, c)


@requires()
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

    Raises:
        ValueError: if shapes do not fit.
    """
    return (activations @ a.unsqueeze(-1)).squeeze(-1) + c.unsqueeze(-1)


@requires(finite=("x",))
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


@requires()
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


@requires(finite=("x",))
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


@requires(finite=("x",))
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


@requires()
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


@requires()
def squared_distances(p: Float[Tensor, "*runs p d"], q: Float[Tensor, "*runs q d"]) -> Float[Tensor, "*runs p q"]:
    """Return |p_i - q_j|² of points, shape (..., i, j), from shapes (..., i, d) and (..., j, d).

    Raises:
        ValueError: if shapes do not fit.
    """
    return ((p.unsqueeze(-2) - q.unsqueeze(-3)) ** 2).sum(-1)


GEOMETRIES: dict[Neuron, Geometry] = {
    Neuron.LINE: Geometry(
        unchecked(activations), lambda w, b, x: -b / w, lambda p, q: (p.unsqueeze(-1) - q.unsqueeze(-2)) ** 2
    ),
    Neuron.RADIAL: Geometry(unchecked(radial_activations), lambda w, b, x: -b / w, unchecked(squared_distances)),
    Neuron.RIDGE: Geometry(
        unchecked(ridge_activations),
        lambda w, b, x: unchecked(ridge_prototypes)(w, b, x.mean(-2)),
        unchecked(squared_distances),
    ),
}


_DATA = {"y": "*runs samples", "a": "*runs neurons", "c": "*runs"}
_SPACE = {"x": "*runs samples d", "w": "*runs neurons d", **_DATA}
SHAPES: dict[Neuron, dict[str, str]] = {
    Neuron.LINE: {"x": "*runs samples", "w": "*runs neurons", "b": "*runs neurons", **_DATA},
    Neuron.RADIAL: {"b": "*runs neurons d", **_SPACE},
    Neuron.RIDGE: {"b": "*runs neurons", **_SPACE},
}
"""Shapes of a batch by neuron."""


def require_batch(x: Tensor, y: Tensor, parameters: Parameters, settings: Settings) -> None:
    """Pass if data and networks are a batch of runs that these settings can train.

    Raises:
        ValueError: if types or shapes do not fit the neuron (or transport, which needs a neuron a sample), or a value
            is NaN or infinite.
    """
    shapes = SHAPES[require_settings("settings", settings).neuron]
    if MASKS[settings.mask].coverage and settings.attractor == Attractor.TRANSPORT:
        shapes = {name: shape.replace("neurons", "samples") for name, shape in shapes.items()}
    require_finite(**require_networks(shapes, parameters, x=x, y=y))


def require_parameters(name: str, given: Any) -> Parameters:
    """Return `given` if it has the four parts of a network's parameters, refusing anything else."""
    if not isinstance(given, tuple) or len(given) != len(Parameters._fields):
        raise ValueError(f"{name}: {shown(given)} was given; allowed are Parameters, four tensors w, b, a and c")
    return Parameters(*given)


def require_networks(shapes: Mapping[str, str], parameters: Parameters, **data: Tensor) -> dict[str, Tensor]:
    """Return data and parameters by name if they are tensors of these shapes.

    Raises:
        ValueError: naming what is not.
    """
    given = data | require_parameters("parameters", parameters)._asdict()
    require_tensors(**given)
    require_shapes(shapes, **given)
    return given


# --- where training starts ---


def _uniform(w: float, b: float) -> Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]:
    return lambda stream, size: (stream.uniform(-w, w, size), stream.uniform(-b, b, size))


def _normal(w: float) -> Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]:
    return lambda stream, size: (stream.normal(0.0, w, size), stream.normal(0.0, 1.0, size))


def _at_data(stream: np.random.Generator, size: int, steepness: float) -> tuple[np.ndarray, np.ndarray]:
    """Prototypes ~ U(0, 1), |w| within a half of `steepness`, its sign a fair coin's."""
    w = stream.uniform(0.5 * steepness, 1.5 * steepness, size) * stream.choice([-1.0, 1.0], size)
    return w, -w * stream.uniform(0.0, 1.0, size)


INITIALISATIONS: dict[str, Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]] = {
    Initialisation.UNIFORM_10: _uniform(10.0, 1.0),
    Initialisation.UNIFORM_1: _uniform(1.0, 1.0),
    Initialisation.UNIFORM_3: _uniform(3.0, 1.0),
    Initialisation.NORMAL_1: _normal(1.0),
    Initialisation.NORMAL_5: _normal(5.0),
    Initialisation.UNIFORM_N: lambda stream, size: _uniform(float(size), 0.1 * size)(stream, size),
    Initialisation.DATA_5: lambda stream, size: _at_data(stream, size, 5.0),
    Initialisation.DATA_N: lambda stream, size: _at_data(stream, size, float(size)),
}
"""How w and b are drawn, each of shape (size,), from a stream: U(-10, 10) and U(-1, 1); U(-1, 1) both, PyTorch's
default for one input; U(-3, 3) and U(-1, 1); N(0, 1) both; N(0, 25) and N(0, 1); U(-N, N) and U(-N/10, N/10), bumps
that narrow with N; or prototypes -b/w ~ U(0, 1) with |w| ~ U(½, 3/2) times 5, or times N."""


def initial_parameters(size: int, seed: int, initialisation: str = Initialisation.UNIFORM_10) -> Parameters:
    """Draw the initial parameters of one run: w ~ U(-10, 10), b ~ U(-1, 1), a and c ~ U(-N^-½, N^-½).

    Book: chapter "The model and its prototypes", section "Where training starts".

    Args:
        size: number of neurons N (equal to the number of training points), at least 2.
        seed: at least 0; masks of one seed share these values.
        initialisation: a name in `INITIALISATIONS`, how w and b are drawn; a and c are drawn as above in all.

    Returns:
        w, b, a, float64 of shape (size,), and c of shape ().

    Raises:
        ValueError: if an argument is out of range.
    """
    drawn = INITIALISATIONS[require_choice("initialisation", initialisation, INITIALISATIONS)]
    stream, bound = random_stream(size, seed, purpose=1), size**-0.5
    w, b = drawn(stream, size)
    a = stream.uniform(-bound, bound, size)
    c = stream.uniform(-bound, bound, ())
    return Parameters(*map(torch.from_numpy, (w, b, a, c)))


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
    dimension = require_integer("dimension", dimension, least=1, most=MOST_POINTS)
    radial = require_choice("neuron", neuron, (Neuron.RADIAL, Neuron.RIDGE)) == Neuron.RADIAL
    stream, bound, root = random_stream(size, seed, purpose=1), size**-0.5, math.sqrt(dimension)
    w = stream.uniform(-10.0, 10.0, (size, dimension)) / root
    b = stream.uniform(-1.0, 1.0, (size, dimension)) / root if radial else stream.uniform(-1.0, 1.0, size)
    a = stream.uniform(-bound, bound, size)
    c = stream.uniform(-bound, bound, ())
    return Parameters(*map(torch.from_numpy, (w, b, a, c)))


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
    require_startable(size, settings)
    starts = [_start(size, seed, settings) for seed in require_list("seeds", seeds, require_seed)]
    x, y, *parameters = (torch.stack(column) for column in zip(*starts, strict=True))
    return x, y, Parameters(*parameters)


def require_startable(size: int, settings: Settings) -> None:
    """Pass if these settings have data of this size.

    Raises:
        ValueError: if the size is out of range, or is not that of the settings' table.
    """
    require_integer("size", size, least=2, most=MOST_POINTS)
    if require_settings("settings", settings).density in ROWS_OF_A_TABLE:
        rows, dimension = table_task(settings.density).x.shape
        if (rows, dimension) != (size, settings.dimension):
            raise ValueError(
                f"size: {size!r} in {settings.dimension} dimensions was given; allowed for {str(settings.density)!r} "
                f"is {rows} in {dimension}"
            )


def _start(size: int, seed: int, settings: Settings) -> tuple[Tensor, ...]:
    """One run's x, y, w, b, a and c."""
    if settings.neuron == Neuron.LINE:
        task = sample_task(size, seed, settings.target, settings.inputs)
        return *task, *initial_parameters(size, seed, settings.initialisation)
    start = initial_parameters_in(settings.dimension, size, seed, settings.neuron)
    if settings.density in ROWS_OF_A_TABLE:
        rows = table_task(settings.density)
        return rows.x, rows.y, *start
    return *sample_cloud(size, seed, settings.dimension, settings.density), *start
