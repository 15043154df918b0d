"""What a trained network is measured by: reconstruction error and its parts, specialization, expulsion; and chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from companion.core.checks import require_choice, require_finite, require_integer, require_same_shape
from companion.core.data import TARGETS, fresh_samples, random_stream, sample_task


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
    rows, leading = _runs(x, y, prototypes, values)
    errors = np.array([match(*row).distance.mean() for row in rows]).reshape(leading)
    return errors if leading else float(errors)


class ErrorParts(NamedTuple):
    """Parts of E: mean distances along the input and along the value, and what expelled prototypes add to the first."""

    position: np.ndarray | float
    value: np.ndarray | float
    expelled: np.ndarray | float


def split_error(x: ArrayLike, y: ArrayLike, prototypes: ArrayLike, values: ArrayLike) -> ErrorParts:
    """Return E's two axes apart, under the matching that E takes: |x_i - x̂_π(i)| and |y_i - f(x̂_π(i))|, both means.

    Neither is above E, and E is not above their sum.
    Book: chapter "Against chance", equation (parts).

    Args:
        x, y: training points, shape (..., samples).
        prototypes: x̂, shape (..., neurons) with neurons = samples.
        values: f(x̂), shape (..., neurons).

    Returns:
        The position error, the value error, and the share of the position error's sum, over N, that falls to
        prototypes outside [min x_i, max x_i]; each in units of the input, shape (...), floats for one run.

    Raises:
        ValueError: if the four shapes differ or a value is not finite.
    """
    rows, leading = _runs(x, y, prototypes, values)
    parts = np.array([_split(*row) for row in rows]).T.reshape(3, *leading)
    return ErrorParts(*(part if leading else float(part) for part in parts))


def _split(x: np.ndarray, y: np.ndarray, prototypes: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """One run's position error, value error, and the expelled prototypes' part of the position error."""
    neuron = match(x, y, prototypes, values).neuron
    matched = prototypes[neuron]
    distance = np.abs(x - matched)
    outside = (matched < x.min()) | (matched > x.max())
    return distance.mean(), np.abs(y - values[neuron]).mean(), (distance * outside).mean()


def _runs(*arrays: ArrayLike) -> tuple[Iterator[tuple[np.ndarray, ...]], tuple[int, ...]]:
    """Iterate over the runs of x, y, prototypes and values; return their leading dimensions too."""
    runs = [np.asarray(given, dtype=np.float64) for given in arrays]
    require_same_shape(**dict(zip(("x", "y", "prototypes", "values"), runs, strict=True)))
    return zip(*(given.reshape(-1, given.shape[-1]) for given in runs), strict=True), runs[0].shape[:-1]


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


AT_CHANCE: dict[str, Callable[[ArrayLike, ArrayLike, ArrayLike, ArrayLike], np.ndarray]] = {
    "reconstruction_error": reconstruction_error,
    "position_error": lambda x, y, drawn, values: split_error(x, y, drawn, values).position,
    "value_error": lambda x, y, drawn, values: split_error(x, y, drawn, values).value,
    # Of neurons of one common width the nearest responds most.
    "specialization_ratio": lambda x, y, drawn, values: specialization_ratio(-abs(x[..., None] - drawn[..., None, :])),
    "expelled_fraction": lambda x, y, drawn, values: expelled_fraction(x, drawn),
}
"""Metrics that have a chance level, each of x, y, prototypes and values, shape (draws, size)."""


def chance_level(
    size: int, seeds: Sequence[int], draws: int = 20, target: str = "sine", metric: str = "reconstruction_error"
) -> np.ndarray:
    """Return a metric of prototypes drawn afresh from the data's own distribution, on the target's graph.

    A network that knew the target but nothing of *these* training points would score this. Its neurons are taken to be
    equally wide, so that the nearest one to a sample responds most.
    Book: chapter "Reconstruction and its chance level", section "Chance".

    Args:
        size: N, at least 2.
        seeds: seeds whose training data are compared with; each at least 0.
        draws: random sets of prototypes a seed, at least 1; the same for every metric.
        target: a name in `companion.core.data.TARGETS`.
        metric: a name in `AT_CHANCE`.

    Returns:
        The metric, shape (seeds, draws).

    Raises:
        ValueError: if an argument is out of range.
    """
    draws, metric = require_integer("draws", draws, least=1), require_choice("metric", metric, AT_CHANCE)
    return np.array([_chance(size, seed, draws, target, metric) for seed in seeds])


@cache
def _chance(size: int, seed: int, draws: int, target: str, metric: str) -> np.ndarray:
    """One seed's chance level, kept: every picture of E asks for it."""
    x, y = sample_task(size, seed, target)
    drawn = x.new_tensor(random_stream(size, seed, purpose=2).uniform(0.0, 1.0, (draws, size)))
    return AT_CHANCE[metric](x.expand(draws, -1), y.expand(draws, -1), drawn, TARGETS[target](drawn))


def fresh_error(
    size: int, seed: int, prototypes: ArrayLike, values: ArrayLike, draws: int = 20, target: str = "sine"
) -> np.ndarray:
    """Return E of a run to fresh samples of its data's distribution, in place of the points it was trained on.

    Book: chapter "Whose data?", equation (fresh).

    Args:
        size, seed: of the run; N at least 2, seed at least 0.
        prototypes: x̂, shape (..., neurons) with neurons = size.
        values: f(x̂), shape (..., neurons).
        draws: number of fresh samples, at least 1; the same for all runs of one size and seed.
        target: a name in `companion.core.data.TARGETS`.

    Returns:
        E to each fresh sample, in units of the input, shape (..., draws).

    Raises:
        ValueError: if an argument is out of range, shapes do not fit or a value is not finite.
    """
    x, y = fresh_samples(size, seed, draws, target)
    positions, heights = (np.asarray(given, dtype=np.float64)[..., None, :] for given in (prototypes, values))
    shape = (*positions.shape[:-2], draws, positions.shape[-1])
    samples = (given.expand(*shape[:-1], -1) for given in (x, y))
    return reconstruction_error(*samples, np.broadcast_to(positions, shape), np.broadcast_to(heights, shape))


def nearest_distance(x: ArrayLike, prototypes: ArrayLike) -> np.ndarray | float:
    """Return the mean distance from the prototypes inside [0, 1] to the nearest sample, along the input.

    [0, 1] is where samples can lie, whichever were drawn; prototypes beyond it count for nothing.
    Book: chapter "Whose data?", equation (nearest).

    Args:
        x: inputs of a sample, shape (..., samples).
        prototypes: x̂, shape (..., neurons), leading dimensions as those of `x` or broadcast with them.

    Returns:
        Mean distance in units of the input, shape (...); NaN where no prototype is inside. A float for one run.

    Raises:
        ValueError: if leading dimensions do not fit or a value is NaN or, in x, infinite.
    """
    data, positions = np.asarray(x, dtype=np.float64), np.asarray(prototypes, dtype=np.float64)
    require_finite(x=data)
    if np.isnan(positions).any():
        raise ValueError("prototypes: NaN was given; allowed are numbers")
    inside = (positions >= 0) & (positions <= 1)
    nearest = np.abs(data[..., None, :] - np.where(inside, positions, 0.0)[..., None]).min(-1)
    count = inside.sum(-1)
    mean = np.where(count > 0, (nearest * inside).sum(-1) / np.maximum(count, 1), np.nan)
    return mean if mean.ndim else float(mean)
