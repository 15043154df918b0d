"""What a trained network is measured by: reconstruction error and its parts, specialization, expulsion; and chance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from companion.core.checks import array_of, require_finite, require_same_shape, require_shapes

SMALL, LARGE = 1e-100, 1e100
"""Numbers up to which, and from which on, squares are not sure to be numbers: distances are computed without."""


class Matching(NamedTuple):
    """One run's Hungarian matching: `neuron[i]` is matched to sample i at Euclidean distance `distance[i]`."""

    neuron: np.ndarray
    distance: np.ndarray


def match(x: ArrayLike, y: ArrayLike, prototypes: ArrayLike, values: ArrayLike) -> Matching:
    """Match originals (x_i, y_i) one to one with reconstructions (x̂_j, f(x̂_j)) at the least total distance.

    Book: chapter "Reconstruction and its chance level", equation (matching); chapter "More dimensions, other
    densities", equation (space-error).

    Args:
        x, y: training points of one run: y of shape (samples,), x too, or (samples, d).
        prototypes: x̂, of x's shape, with neurons = samples.
        values: f(x̂), shape (neurons,).

    Returns:
        The matched neuron of each sample and their distance, each of shape (samples,).

    Raises:
        ValueError: if the shapes differ, are not of one run, or a value is not finite.
    """
    rows, leading = runs_of(x, y, prototypes, values)
    if leading:
        raise ValueError(f"shapes: y {np.shape(y)} was given; allowed is one run, (samples,)")
    return match_run(*next(rows))


@np.errstate(all="ignore")
def match_run(x: np.ndarray, y: np.ndarray, prototypes: np.ndarray, values: np.ndarray) -> Matching:
    """Return one run's matching, as `match` does, of arrays that are known to fit."""
    largest = max(np.abs(one).max() for one in (x, y, prototypes, values))
    # A power of two, so that the digits stay: of larger numbers sums are not sure to be finite either.
    unit = 1.0 if largest < LARGE else 2.0 ** (math.frexp(largest)[1] - 1)
    x, y, prototypes, values = x / unit, y / unit, prototypes / unit, values / unit
    if x.ndim > 1 and SMALL < largest < LARGE:
        along = cdist(x, prototypes)
    else:
        along = np.hypot.reduce((x[:, None] - prototypes[None, :]).reshape(len(x), len(prototypes), -1), axis=-1)
    cost = np.hypot(along, y[:, None] - values[None, :])
    sample, neuron = linear_sum_assignment(cost)
    return Matching(neuron, cost[sample, neuron] * unit)


@np.errstate(all="ignore")
def reconstruction_error(x: ArrayLike, y: ArrayLike, prototypes: ArrayLike, values: ArrayLike) -> np.ndarray | float:
    """Return E, the mean distance of the Hungarian matching between originals and reconstructions.

    Book: chapter "Reconstruction and its chance level", equation (error); chapter "More dimensions, other densities",
    equation (space-error).

    Args:
        x, y: training points: y of shape (..., samples), x too, or (..., samples, d).
        prototypes: x̂, of x's shape, with neurons = samples.
        values: f(x̂), shape (..., neurons).

    Returns:
        E >= 0 a run, in units of the input, shape (...); a float for one run.

    Raises:
        ValueError: if the shapes differ or a value is not finite.
    """
    rows, leading = runs_of(x, y, prototypes, values)
    return np.array([match_run(*row).distance.mean() for row in rows]).reshape(leading)[()]


@np.errstate(all="ignore")
def position_error(x: ArrayLike, prototypes: ArrayLike) -> np.ndarray | float:
    """Return the mean distance along the input of samples and prototypes, both sorted: the best matching of positions.

    Book: chapter "Reconstruction and its chance level", equation (position).

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons) with neurons = samples.

    Returns:
        Distance a run, in units of the input, shape (...); a float for one run.

    Raises:
        ValueError: if the shapes differ or a value is not finite.
    """
    data, positions = array_of("x", x), array_of("prototypes", prototypes)
    require_same_shape(x=data, prototypes=positions)
    require_finite(x=data, prototypes=positions)
    return np.abs(np.sort(data) - np.sort(positions)).mean(-1)


@np.errstate(all="ignore")
def value_error(x: ArrayLike, y: ArrayLike, prototypes: ArrayLike, values: ArrayLike) -> np.ndarray | float:
    """Return the mean distance |y_i - f(x̂_π(i))| along the value, under the matching π that E takes.

    Arguments, result and errors as of `reconstruction_error`; it is not above E.
    Book: chapter "Reconstruction and its chance level", equation (value).
    """
    rows, leading = runs_of(x, y, prototypes, values)
    return np.array([value_gap(row, match_run(*row)) for row in rows]).reshape(leading)[()]


def value_gap(row: tuple[np.ndarray, ...], matching: Matching) -> float:
    """Return one run's `value_error`, of its x, y, x̂ and f(x̂) and its matching."""
    return np.abs(row[1] - row[3][matching.neuron]).mean()


def runs_of(*arrays: ArrayLike) -> tuple[Iterator[tuple[np.ndarray, ...]], tuple[int, ...]]:
    """Return an iterator over runs of x, y, prototypes and values, all finite, and their leading dimensions."""
    names = ("x", "y", "prototypes", "values")
    given = {name: array_of(name, array) for name, array in zip(names, arrays, strict=True)}
    y, line = given["y"], "*runs samples"
    points = f"{line} d" if given["x"].ndim > y.ndim else line
    require_shapes({"x": points, "y": line, "prototypes": points, "values": line}, **given)
    require_finite(**given)
    rows = zip(*(array.reshape(-1, *array.shape[y.ndim - 1 :]) for array in given.values()), strict=True)
    return rows, y.shape[:-1]


def specialization_ratio(activations: ArrayLike) -> np.ndarray | float:
    """Return the number of distinct neurons that respond most to at least one sample, over all neurons.

    Of neurons that tie, the first counts.
    Book: chapter "Reconstruction and its chance level", equation (specialization).

    Args:
        activations: responses h at the training inputs, shape (..., samples, neurons).

    Returns:
        Ratio a run in [1/neurons, 1], shape (...); a float for one run.

    Raises:
        ValueError: if there are fewer than two dimensions, an empty one, or a value is not finite.
    """
    responses = array_of("activations", activations)
    require_shapes({"activations": "*runs samples neurons"}, activations=responses)
    require_finite(activations=responses)
    winner = responses.argmax(-1)
    return (winner[..., :, None] == np.arange(responses.shape[-1])).any(-2).mean(-1)


def distinct_samples(activations: ArrayLike) -> np.ndarray | float:
    """Return the number of distinct samples that some neuron responds to most, over all neurons.

    The specialization ratio read the other way round. A neuron that responds to no sample in float64 has none; of
    samples that tie, the first counts.
    Book: chapter "Every reading at once", section "Readings of the same weights".

    Args:
        activations: responses h at the training inputs, shape (..., samples, neurons).

    Returns:
        Ratio a run in [0, 1], shape (...); a float for one run.

    Raises:
        ValueError: as `specialization_ratio`.
    """
    responses = array_of("activations", activations)
    require_shapes({"activations": "*runs samples neurons"}, activations=responses)
    require_finite(activations=responses)
    samples, neurons = responses.shape[-2:]
    chosen = np.where(responses.max(-2) > 0, responses.argmax(-2), samples)
    return (chosen[..., :, None] == np.arange(samples)).any(-2).sum(-1) / neurons


def expelled_fraction(x: ArrayLike, prototypes: ArrayLike) -> np.ndarray | float:
    """Return the share of prototypes outside [min x_i, max x_i], the convex hull of one-dimensional data.

    Book: chapter "Expulsion", equation (expelled).

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons); infinite ones count as outside.

    Returns:
        Fraction a run in [0, 1], shape (...); a float for one run.

    Raises:
        ValueError: if leading dimensions differ, x is not finite or a prototype is NaN.
    """
    data, positions = array_of("x", x), array_of("prototypes", prototypes)
    require_shapes({"x": "*runs samples", "prototypes": "*runs neurons"}, x=data, prototypes=positions)
    require_finite(x=data)
    if np.isnan(positions).any():
        raise ValueError("prototypes: NaN was given; allowed are numbers")
    return ((positions < data.min(-1, keepdims=True)) | (positions > data.max(-1, keepdims=True))).mean(-1)
