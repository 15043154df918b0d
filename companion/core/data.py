"""The training task: N points drawn uniformly from the unit interval, on the graph of a target function."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from companion.core.checks import require_choice, require_integer

TARGETS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sine": lambda x: 0.5 * (1 + torch.sin(2 * math.pi * x)),
    "line": lambda x: x,
    "step": lambda x: (x >= 0.5).to(x.dtype),
    "chirp": lambda x: 0.5 * (1 + torch.sin(6 * math.pi * x * x)),
}
"""Target functions by name, from [0, 1] to itself; each maps inputs of any shape to values of that shape. The book's
results are the sine's; a reader's own runs may take another. The chirp is a wave that quickens to the right."""


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
    size = require_integer("size", size, least=2)
    seed = require_integer("seed", seed, least=0)
    return np.random.default_rng([size, seed, purpose])


def sample_task(size: int, seed: int, target: str = "sine") -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the training set of one (size, seed): x ~ U(0, 1) and y = target(x).

    Book: chapter "The model and its prototypes", equation (target).

    Args:
        size: number of points N, at least 2.
        seed: at least 0; masks of one seed share this data.
        target: a name in `TARGETS`.

    Returns:
        `x` in [0, 1] and `y`, each float64 of shape (size,), in the order drawn.

    Raises:
        ValueError: if size, seed or target is out of range.
    """
    target = require_choice("target", target, TARGETS)
    x = torch.from_numpy(random_stream(size, seed, purpose=0).uniform(0.0, 1.0, size))
    return x, TARGETS[target](x)


def fresh_samples(size: int, seed: int, draws: int, target: str = "sine") -> tuple[torch.Tensor, torch.Tensor]:
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
    target, draws = require_choice("target", target, TARGETS), require_integer("draws", draws, least=1)
    x = torch.from_numpy(random_stream(size, seed, purpose=3).uniform(0.0, 1.0, (draws, size)))
    return x, TARGETS[target](x)
