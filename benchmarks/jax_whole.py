"""JAX in the form that comes to mind first: all runs of a size in one vmap, whatever their masks.

One function serves all masks, with their switches as data, so there are six to compile instead of 48; each evaluates
terms that are off. XLA's own threads share the arrays out to the cores.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import torch

from benchmarks.jax_batch import adam
from benchmarks.work import STRENGTH, TEMPERATURE, Start, Work, start_of
from companion.core.network import Parameters
from companion.core.settings import MASKS


def loss(parameters: Parameters, x: jax.Array, y: jax.Array, switches: jax.Array) -> jax.Array:
    """The total loss of one run."""
    w, b, a, c = parameters
    pairs = w.size * (w.size - 1)
    h = jnp.exp(-jnp.square(x[:, None] * w + b))
    q = -b / w
    fit = jnp.square(h @ a + c - y).mean()
    overlap = (jnp.square(h.sum(1)).mean() - jnp.square(h).sum() / w.size) / pairs
    coverage = -TEMPERATURE * jax.nn.logsumexp(-jnp.square(x[:, None] - q) / TEMPERATURE, axis=1).mean()
    separation = (jnp.exp(-jnp.square(q[:, None] - q) / TEMPERATURE).sum() - w.size) / pairs
    return fit + STRENGTH * switches @ jnp.stack([overlap, coverage, separation])


def train(parameters: Parameters, x: jax.Array, y: jax.Array, switches: jax.Array, steps: int) -> Parameters:
    """Train a batch of runs."""
    gradient = jax.vmap(jax.grad(loss))
    return adam(lambda parameters: gradient(parameters, x, y, switches), parameters, steps)


def _arguments(start: Start, masks: tuple[str, ...], steps: int) -> tuple:
    """Every run of a start under every mask."""
    count = len(masks)
    x, y, *parameters = (
        jnp.tile(jnp.asarray(value), (count,) + (1,) * (value.dim() - 1))
        for value in (start.x, start.y, *start.parameters)
    )
    switches = jnp.repeat(jnp.array([MASKS[mask] for mask in masks], float), len(start.x), axis=0)
    return Parameters(*parameters), x, y, switches, steps


def compile_all(work: Work) -> dict[int, Callable]:
    """Compile one function for each size."""
    return {
        size: jax.jit(train).lower(*_arguments(start_of(size, work.seeds), work.masks, work.steps)).compile()
        for size in work.sizes
    }


def train_all(start: Start, mask: str, steps: int) -> Parameters:
    """Train a batch of runs of one mask, compiled for this call alone."""
    trained = jax.jit(train)(*_arguments(start, (mask,), steps))
    return Parameters(*(torch.from_numpy(jax.device_get(value).copy()) for value in trained))


def run(work: Work, compiled: dict[int, Callable]) -> None:
    """Do the work, one size after another."""
    for size in work.sizes:
        jax.block_until_ready(compiled[size](*_arguments(start_of(size, work.seeds), work.masks, work.steps)))
