"""Expulsion in d dimensions: which points lie outside the convex hull of the samples, and how many would anyway."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, QhullError

from companion.core import metrics
from companion.core.checks import array_of, require_finite, require_shapes

FACETS = 4
"""Up to this dimension the facets of a hull of 100 points are few enough to list."""
TOLERANCE = 1e-9
"""Points that are outside by less, in units of the samples' spread, are counted as on the boundary, that is inside."""
NEAR = 1e-7
"""The same where a linear programme decides: what its solver holds for exact."""


@np.errstate(all="ignore")
def outside_hull(x: ArrayLike, points: ArrayLike) -> np.ndarray:
    """Return which points are outside the convex hull of the samples: no λ >= 0 has Σ_i λ_i = 1 and Σ_i λ_i x_i = p.

    One linear programme a point decides it. Most points need none: one that is off the samples' affine hull, or farther
    from their mean than any sample in its own direction or along an axis, is outside; and up to four dimensions Qhull
    lists the hull's facets, which decide the rest. Points on the boundary are inside.
    Book: chapter "More dimensions, other densities", equation (hull).

    Args:
        x: samples, shape (samples, d).
        points: shape (points, d); infinite ones are outside.

    Returns:
        Booleans, shape (points,).

    Raises:
        ValueError: if shapes do not fit, x is not finite or a point is NaN.
    """
    data, given = array_of("x", x), array_of("points", points)
    if data.ndim != 2 or given.ndim != 2 or data.shape[1] != given.shape[1] or not data.size:
        raise ValueError(f"shapes: x {data.shape}, points {given.shape} were given; allowed are (n, d) and (m, d)")
    require_finite(x=data)
    if np.isnan(given).any():
        raise ValueError("points: NaN was given; allowed are numbers")
    outside = ((given < data.min(0)) | (given > data.max(0))).any(-1)
    if data.shape[1] == 1:
        return outside
    rest = np.flatnonzero(~outside)
    unit = max(1.0, np.abs(data).max() / metrics.LARGE)  # of larger numbers squares are not finite
    outside[rest] = _outside(data / unit, given[rest] / unit)
    return outside


def _outside(data: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The same for points inside the samples' bounding box."""
    centre = data.mean(0)
    data, points = data - centre, points - centre
    _, spread, axes = np.linalg.svd(data, full_matrices=False)
    axes = axes[spread > TOLERANCE * max(spread[0], np.finfo(float).tiny)]
    data, along = data @ axes.T, points @ axes.T
    scale = max(np.abs(data).max(initial=0.0), np.finfo(float).tiny)
    outside = np.abs(points - along @ axes).max(-1, initial=0.0) > TOLERANCE * scale
    reach = along @ data.T
    outside |= (along**2).sum(-1) > reach.max(-1) + TOLERANCE * scale**2
    rest = np.flatnonzero(~outside)
    if not len(axes) or not len(rest):
        return outside
    if 1 < len(axes) <= FACETS:
        with suppress(QhullError):  # it may be too flat
            facets = ConvexHull(data).equations
            heights = along[rest] @ facets[:, :-1].T + facets[:, -1]
            outside[rest] = heights.max(-1) > TOLERANCE * scale
            return outside
    outside[rest] = [not is_mixture(data / scale, point / scale) for point in along[rest]]
    return outside


def is_mixture(x: np.ndarray, point: np.ndarray) -> bool:
    """Return whether a point is Σ_i λ_i x_i with λ >= 0 and Σ_i λ_i = 1, by a linear programme.

    The programme looks for the mixture that is nearest, in the sum of the coordinates' distances: it has a solution for
    any point, where the search for a mixture that fits would have none.
    Book: chapter "More dimensions, other densities", equation (hull).

    Args:
        x: samples of about unit size, shape (samples, d).
        point: shape (d,).

    Raises:
        RuntimeError: if the solver reaches no decision.
    """
    samples, dimension = x.shape
    both_ways = np.vstack([np.hstack([np.eye(dimension), -np.eye(dimension)]), np.zeros((1, 2 * dimension))])
    conditions = np.hstack([np.vstack([x.T, np.ones(samples)]), both_ways])
    distances = np.append(np.zeros(samples), np.ones(2 * dimension))
    found = linprog(distances, A_eq=conditions, b_eq=np.append(point, 1.0), bounds=(0, None), method="highs")
    if found.status != 0:
        raise RuntimeError(f"linprog: {found.message}")
    return bool(found.fun <= NEAR)  # pyright: ignore[reportOptionalOperand]: a solution has a value


def expelled_fraction(x: ArrayLike, prototypes: ArrayLike) -> np.ndarray | float:
    """Return the share of prototypes outside the convex hull of the samples.

    Book: chapter "More dimensions, other densities", equation (hull).

    Args:
        x: training inputs, shape (..., samples, d).
        prototypes: x̂, shape (..., neurons, d); infinite ones count as outside.

    Returns:
        Fraction a run in [0, 1], shape (...); a float for one run.

    Raises:
        ValueError: if shapes do not fit, x is not finite or a prototype is NaN.
    """
    data, positions = array_of("x", x), array_of("prototypes", prototypes)
    require_shapes({"x": "*runs samples d", "prototypes": "*runs neurons d"}, x=data, prototypes=positions)
    if data.shape[-1] == positions.shape[-1] == 1:
        return metrics.expelled_fraction(data[..., 0], positions[..., 0])
    leading = data.shape[:-2]
    runs = zip(*(given.reshape(-1, *given.shape[-2:]) for given in (data, positions)), strict=True)
    return np.array([outside_hull(*run).mean() for run in runs]).reshape(leading)[()]
