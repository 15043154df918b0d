"""Whose data: a run's E to fresh samples of its data's distribution, and how near its prototypes come to each."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from companion.core.checks import require_finite
from companion.core.metrics import reconstruction_error


def fresh_error(x: ArrayLike, y: ArrayLike, prototypes: ArrayLike, values: ArrayLike) -> np.ndarray:
    """Return E of a run to fresh samples of its data's distribution, in place of the points it was trained on.

    Book: chapter "Whose data?", equation (fresh).

    Args:
        x, y: of `companion.core.data.fresh_samples`, shape (draws, size).
        prototypes: x̂, shape (..., neurons) with neurons = size.
        values: f(x̂), shape (..., neurons).

    Returns:
        E to each fresh sample, in units of the input, shape (..., draws).

    Raises:
        ValueError: if shapes do not fit or a value is not finite.
    """
    own = [np.asarray(given, dtype=np.float64)[..., None, :] for given in (prototypes, values)]
    fresh = [np.asarray(given, dtype=np.float64) for given in (x, y)]
    shape = np.broadcast_shapes(own[0].shape, fresh[0].shape)
    return np.asarray(reconstruction_error(*(np.broadcast_to(given, shape) for given in (*fresh, *own))))


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
