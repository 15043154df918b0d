"""The training task: points drawn at random, on the line or in the unit cube, on the graph of a target function."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from companion.core.checks import (
    MOST_POINTS,
    require_choice,
    require_integer,
    require_list,
    require_seed,
    requires,
    shown,
)
from companion.core.settings import Density, Inputs, Target

TARGETS: dict[str, Callable[[Tensor], Tensor]] = {
    Target.SINE: lambda x: 0.5 * (1 + torch.sin(2 * math.pi * x)),
    Target.LINE: lambda x: x,
    Target.STEP: lambda x: (x >= 0.5).to(x.dtype),
    Target.CHIRP: lambda x: 0.5 * (1 + torch.sin(6 * math.pi * x * x)),
}
"""Target functions on the line by name, from [0, 1] to itself; each maps inputs of any shape to values of that shape.
The book's results are the sine's; a reader's own may take another. The chirp is a wave that quickens to the right."""
TARGETS_AND_LABELS = (*TARGETS, Target.LABELS)
"""What may give points on the line their values: a function, or labels y ~ U(0, 1) that know nothing of x."""


def _clusters(stream: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    corner = stream.integers(0, 2, (*shape[:-1], 1))
    return 0.75 * corner + 0.25 * stream.uniform(0.0, 1.0, shape)


DENSITIES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    Density.UNIFORM: lambda stream, shape: stream.uniform(0.0, 1.0, shape),
    Density.ARCSINE: lambda stream, shape: stream.beta(0.5, 0.5, shape),
    Density.BELL: lambda stream, shape: stream.beta(5.0, 5.0, shape),
    Density.CLUSTERS: _clusters,
}
"""Densities of the inputs in [0, 1]^d: coordinates independent and uniform, Beta(½, ½) or Beta(5, 5), or two clusters,
each point by a fair coin uniform in the cube [0, ¼]^d or in [¾, 1]^d."""


def random_stream(size: int, seed: int, purpose: int) -> np.random.Generator:
    """Return the random stream of one (size, seed), the same whatever else is in a sweep.

    Args:
        size: number of training points N, at least 2.
        seed: at least 0.
        purpose: 0 for the data, 1 for the initial weights, 2 for chance, 3 for fresh samples, 4 for the starts of
            a reconstruction; streams of different purposes are independent.

    Raises:
        ValueError: if size or seed is out of range.
    """
    size = require_integer("size", size, least=2, most=MOST_POINTS)
    seed, purpose = require_seed("seed", seed), require_integer("purpose", purpose, least=0, most=4)
    return np.random.default_rng([size, seed, purpose])


def sample_task(
    size: int, seed: int, target: str = "sine", inputs: str = "random"
) -> tuple[Float[Tensor, " samples"], Float[Tensor, " samples"]]:
    """Draw the training set of one (size, seed): x ~ U(0, 1) or evenly spaced, and y = target(x) or drawn like x.

    Book: chapter "The model and its prototypes", equation (target).

    Args:
        size: number of points N, at least 2.
        seed: at least 0; masks of one seed share this data.
        target: a name in `TARGETS_AND_LABELS`.
        inputs: "random", or "grid": (i - 1)/(N - 1), the same at every seed.

    Returns:
        `x` in [0, 1] and `y`, each float64 of shape (size,), in the order drawn.

    Raises:
        ValueError: if an argument is out of range.
    """
    target = require_choice("target", target, TARGETS_AND_LABELS)
    inputs = require_choice("inputs", inputs, list(Inputs))
    stream = random_stream(size, seed, purpose=0)
    x = torch.from_numpy(stream.uniform(0.0, 1.0, size))
    # A grid leaves the stream where random inputs do: a seed's labels are the same with both.
    y = torch.from_numpy(stream.uniform(0.0, 1.0, size)) if target == Target.LABELS else None
    if inputs == Inputs.GRID:
        x = torch.from_numpy(np.arange(size) / (size - 1))  # not linspace, whose last digit depends on the processor
    return x, TARGETS[target](x) if y is None else y


def fresh_samples(
    size: int, seed: int, draws: int, target: str = "sine"
) -> tuple[Float[Tensor, "draws samples"], Float[Tensor, "draws samples"]]:
    """Draw further samples that no network was trained on, as large as the training set and distributed like it.

    Book: chapter "Whose data?", equation (fresh).

    Args:
        size: number of points N of a sample, at least 2.
        seed: at least 0; masks of one seed share these samples.
        draws: number of samples, at least 1; more of them begin with the same ones.
        target: a name in `TARGETS`.

    Returns:
        `x` in [0, 1] and `y`, each float64 of shape (draws, size), in the order drawn.

    Raises:
        ValueError: if an argument is out of range.
    """
    draws, target = require_integer("draws", draws, 1, MOST_POINTS), require_choice("target", target, TARGETS)
    x = torch.from_numpy(random_stream(size, seed, purpose=3).uniform(0.0, 1.0, (draws, size)))
    return x, TARGETS[target](x)


@requires()
def diagonal(x: Float[Tensor, "*runs d"]) -> Float[Tensor, "*runs"]:
    """Return the target in d dimensions, the paper's sine along the cube's diagonal: ½ (1 + sin 2πu).

    u = Σ_k x_k / √d + ½ (1 - √d) has the same slope along the diagonal in every dimension, and is ½ in the middle.
    Book: chapter "More dimensions, other densities", section "Data".

    Args and Returns: inputs of shape (..., d), and values in [0, 1] of shape (...).

    Raises:
        ValueError: if there is no coordinate.
    """
    root = math.sqrt(x.shape[-1])
    u = x.sum(-1) / root + 0.5 * (1 - root)
    return 0.5 * (1 + torch.sin(2 * math.pi * u))


def sample_cloud(
    size: int, seed: int, dimension: int, density: str = "uniform"
) -> tuple[Float[Tensor, "samples d"], Float[Tensor, " samples"]]:
    """Draw the training set of one run in d dimensions: x from a density in [0, 1]^d and y = `diagonal` (x).

    Book: chapter "More dimensions, other densities", section "Data".

    Args:
        size: number of points N, at least 2.
        seed: at least 0; masks of one seed share this data.
        dimension: d, at least 1.
        density: a name in `DENSITIES`.

    Returns:
        `x` of shape (size, d) and `y` of shape (size,), float64.

    Raises:
        ValueError: if an argument is out of range.
    """
    x = torch.from_numpy(draw(random_stream(size, seed, purpose=0), (size,), dimension, density))
    return x, diagonal(x)


def draw(stream: np.random.Generator, shape: tuple[int, ...], dimension: int, density: str) -> np.ndarray:
    """Return points of a density, shape (*shape, d), from a stream.

    Raises:
        ValueError: if an argument is not allowed.
    """
    if not isinstance(stream, np.random.Generator):
        raise ValueError(f"stream: {shown(stream)} was given; allowed is one of `random_stream`")
    lengths = require_list("shape", shape, partial(require_integer, least=1, most=MOST_POINTS))
    dimension = require_integer("dimension", dimension, least=1, most=MOST_POINTS)
    return DENSITIES[require_choice("density", density, DENSITIES)](stream, (*lengths, dimension))
