"""Two meanings of usage: the neuron that responds most to a sample, and the one whose prototype is nearest to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from companion.core.checks import require_finite


def nearest_ratio(x: ArrayLike, prototypes: ArrayLike) -> np.ndarray | float:
    """Return the number of distinct neurons whose prototype is nearest to at least one sample, over all neurons.

    Another meaning of being used than `companion.core.metrics.specialization_ratio`, equal to it if all |w| are. Of
    neurons that tie, the first counts.
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
