"""What a trained network is measured by: reconstruction error and its chance level, specialization, expulsion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from companion.checks import require_finite, require_integer, require_same_shape
from companion.data import TARGETS, random_stream, sample_task


class Matching(NamedTuple):
    """One run's Hungarian matching: `neuron[i]` is matched to sample i at Euclidean distance `distance[i]`."""

    neuron: np.ndarray
    distance: np.ndarray


def match(x: ArrayLike, y: ArrayLike, prototypes: ArrayLike, values: ArrayLike) -> Matching:
    """Match originals (x_i, y_i) one to one with reconstructions (x̂_j, f(x̂_j)) at the least total distance.

    Book: chapter "Reconstruction and its chance level", equation (matching).

    Args:
        x, y: training points of one run, shape (samples,).
        prototypes: x̂, shape (neurons,) with neurons = samples.
        values: f(x̂), shape (neurons,).

    Returns:
        The matched neuron of each sample and their distance, each of shape (samples,).

    Raises:
        ValueError: if the four shapes differ, are not one-dimensional, or a value is not finite.
    """
    arrays = {
        name: np.asarray(given, dtype=np.float64)
        for name, given in {"x": x, "y": y, "prototypes": prototypes, "values": values}.items()
    }
    require_same_shape(**arrays)
    require_finite(**arrays)
    if arrays["x"].ndim != 1:
        raise ValueError(f"shapes: x {arrays['x'].shape} was given; allowed is one run, (samples,)")
    cost = np.hypot(
        arrays["x"][:, None] - arrays["prototypes"][None, :], arrays["y"][:, None] - arrays["values"][None, :]
    )
    sample, neuron = linear_sum_assignment(cost)
    return Matching(neuron, cost[sample, neuron])


def reconstruction_error(x: ArrayLike, y: ArrayLike, prototypes: ArrayLike, values: ArrayLike) -> np.ndarray | float:
    """Return E, the mean distance of the Hungarian matching between originals and reconstructions.

    Book: chapter "Reconstruction and its chance level", equation (error).

    Args:
        x, y: training points, shape (..., samples).
        prototypes: x̂, shape (..., neurons) with neurons = samples.
        values: f(x̂), shape (..., neurons).

    Returns:
        E >= 0 a run, in units of the input, shape (...); a float for one run.

    Raises:
        ValueError: if the four shapes differ or a value is not finite.
    """
    runs = [np.asarray(given, dtype=np.float64) for given in (x, y, prototypes, values)]
    require_same_shape(**dict(zip(("x", "y", "prototypes", "values"), runs, strict=True)))
    leading = runs[0].shape[:-1]
    rows = zip(*(given.reshape(-1, given.shape[-1]) for given in runs), strict=True)
    errors = np.array([match(*row).distance.mean() for row in rows]).reshape(leading)
    return errors if leading else float(errors)


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
    responses = np.asarray(activations, dtype=np.float64)
    if responses.ndim < 2 or 0 in responses.shape[-2:]:
        raise ValueError(f"shapes: activations {responses.shape} was given; allowed is (..., samples, neurons)")
    require_finite(activations=responses)
    neurons = responses.shape[-1]
    winner = responses.argmax(-1)
    wins = (winner[..., :, None] == np.arange(neurons)).any(-2)
    ratio = wins.sum(-1) / neurons
    return ratio if responses.ndim > 2 else float(ratio)


def nearest_ratio(x: ArrayLike, prototypes: ArrayLike) -> np.ndarray | float:
    """Return the number of distinct neurons whose prototype is nearest to at least one sample, over all neurons.

    Another meaning of being used than `specialization_ratio`, equal to it if all |w| are. Of neurons that tie, the
    first counts.
    Book: chapter "Two meanings of usage", equation (usage).

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons); infinite ones are farther than any other.

    Returns:
        Ratio a run in [1/neurons, 1], shape (...); a float for one run.

    Raises:
        ValueError: if leading dimensions differ, x is not finite or a prototype is NaN.
    """
    data, positions = np.asarray(x, dtype=np.float64), np.asarray(prototypes, dtype=np.float64)
    if data.shape[:-1] != positions.shape[:-1] or not data.size or not positions.size:
        raise ValueError(
            f"shapes: x {data.shape}, prototypes {positions.shape} were given; "
            "allowed are (..., samples) and (..., neurons) with equal leading dimensions"
        )
    require_finite(x=data)
    if np.isnan(positions).any():
        raise ValueError("prototypes: NaN was given; allowed are numbers")
    nearest = np.abs(data[..., :, None] - positions[..., None, :]).argmin(-1)
    wins = (nearest[..., :, None] == np.arange(positions.shape[-1])).any(-2)
    ratio = wins.mean(-1)
    return ratio if data.ndim > 1 else float(ratio)


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
    data, positions = np.asarray(x, dtype=np.float64), np.asarray(prototypes, dtype=np.float64)
    if data.shape[:-1] != positions.shape[:-1] or not data.size or not positions.size:
        raise ValueError(
            f"shapes: x {data.shape}, prototypes {positions.shape} were given; "
            "allowed are (..., samples) and (..., neurons) with equal leading dimensions"
        )
    require_finite(x=data)
    if np.isnan(positions).any():
        raise ValueError("prototypes: NaN was given; allowed are numbers")
    outside = (positions < data.min(-1, keepdims=True)) | (positions > data.max(-1, keepdims=True))
    fraction = outside.mean(-1)
    return fraction if data.ndim > 1 else float(fraction)


def chance_level(size: int, seeds: Sequence[int], draws: int = 20, target: str = "sine") -> np.ndarray:
    """Return E of prototypes drawn afresh from the data's own distribution, on the target's graph.

    A network that knew the target but nothing of *these* training points would score this.
    Book: chapter "Reconstruction and its chance level", section "Chance".

    Args:
        size: N, at least 2.
        seeds: seeds whose training data are compared with; each at least 0.
        draws: random sets of prototypes a seed, at least 1.
        target: a name in `companion.data.TARGETS`.

    Returns:
        E, shape (seeds, draws).

    Raises:
        ValueError: if an argument is out of range.
    """
    draws = require_integer("draws", draws, least=1)
    errors = []
    for seed in seeds:
        x, y = sample_task(size, seed, target)
        drawn = x.new_tensor(random_stream(size, seed, purpose=2).uniform(0.0, 1.0, (draws, size)))
        values = TARGETS[target](drawn)
        errors.append(reconstruction_error(x.expand(draws, -1), y.expand(draws, -1), drawn, values))
    return np.array(errors)
