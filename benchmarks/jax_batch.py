"""What an expert would pick: JAX, with vmap over runs, jit, and fori_loop over steps.

As fast as we could make it. Tried on one Zen 4 core, microseconds a step of ten runs at N = 100, masks 000, 111:
    240, 720 with all ten runs in one batch; 210, 685 run after run, as below from N = 50 on (smaller: batches win)
    350, 900 with h * a summed in place of h @ a; 410, 1040 with the runs as the arrays' last axis
    230, 740 with the gradient written by hand in place of jax.grad
    235, 725 with each pair of the separation once (triu_indices) or one-sided (stop_gradient): noise
    260, 780 with XLA's own choice of 256-bit vectors; 300, 870 with AVX2; fast-math, fusion emitters: noise
On two cores, seconds for the whole work: 5.4 with ALONE = 50, 5.9 with 20, 6.2 with batches only. Then, in the noise:
5.6 as below, 5.5 with the loop unrolled by 4 (and 4 times the compilation), 5.8 with donated arguments, 6.1 with an own
logsumexp where jax.nn's took 5.9. One function for all masks, with their coefficients as data, evaluates terms that
are off: at N = 100 it takes 1.8 times as long, at N = 3 0.6 times, where hardly any time goes.
Both cores: two threads take jobs from one queue. XLA's own threads alone: 12 s where two threads took 9 (batches only);
one-threaded XLA (PJRT_NPROC=1, xla_cpu_multi_thread_eigen=false) is no faster; two processes with half the work each
would take as long. Not tried: two virtual devices.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), "--xla_cpu_prefer_vector_width=512"])  # before jax

import jax
import jax.numpy as jnp
import torch
from jax import lax

from benchmarks.work import STRENGTH, TEMPERATURE, Job, Start, Work, jobs_of, on_all_cores, start_of
from companion.core.network import Parameters
from companion.core.settings import MASKS, Switches

ALONE = 50
"""Size from which a run trains alone."""

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_cpu_enable_async_dispatch", False)  # a job runs in the thread that asked for it


def loss(parameters: Parameters, x: jax.Array, y: jax.Array, switches: Switches) -> jax.Array:
    """The total loss of one run."""
    w, b, a, c = parameters
    neurons = w.size
    pairs = neurons * (neurons - 1)
    h = jnp.exp(-jnp.square(x[:, None] * w + b))
    result = jnp.square(h @ a + c - y).mean()
    if switches.overlap:
        result += STRENGTH * (jnp.square(h @ jnp.ones(neurons)).mean() - jnp.square(h).sum() / neurons) / pairs
    if switches.coverage or switches.separation:
        q = -b / w
        if switches.coverage:
            exponent = jnp.square(x[:, None] - q) * (-1 / TEMPERATURE)
            result -= STRENGTH * TEMPERATURE * jax.nn.logsumexp(exponent, axis=1).mean()
        if switches.separation:
            closeness = jnp.exp(jnp.square(q[:, None] - q) * (-1 / TEMPERATURE)).sum()
            result += STRENGTH * (closeness - neurons) / pairs  # a prototype's own closeness is 1
    return result


def train_batch(parameters: Parameters, x: jax.Array, y: jax.Array, steps: int, *, mask: str) -> Parameters:
    """Train a batch of runs of one mask."""
    gradient = jax.vmap(jax.grad(partial(loss, switches=MASKS[mask])))
    return adam(lambda parameters: gradient(parameters, x, y), parameters, steps)


def adam(gradient: Callable[[Parameters], Parameters], parameters: Parameters, steps: int) -> Parameters:
    """Follow a gradient."""

    def step(count: int, state: tuple[Parameters, Parameters, Parameters]) -> tuple[Parameters, Parameters, Parameters]:
        parameters, mean, square = state
        passed = (count + 1).astype(jnp.float64)
        g = gradient(parameters)
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, g)
        square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, square, g)
        rate, root = 0.01 / (1 - 0.9**passed), jnp.sqrt(1 - 0.999**passed)
        moved = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), parameters, mean, square)
        return moved, mean, square

    zeros = jax.tree.map(jnp.zeros_like, parameters)
    return lax.fori_loop(0, steps, step, (parameters, zeros, zeros))[0]


def train(parameters: Parameters, x: jax.Array, y: jax.Array, steps: int, *, mask: str) -> Parameters:
    """Train runs together while that is cheaper a step, large ones one after another: each then fits a core's cache."""
    if x.shape[-1] < ALONE:
        return train_batch(parameters, x, y, steps, mask=mask)
    batches_of_one = jax.tree.map(lambda value: value[:, None], (parameters, x, y))
    trained = lax.map(lambda batch: train_batch(*batch, steps, mask=mask), batches_of_one)
    return jax.tree.map(lambda value: value[:, 0], trained)


Compiled = dict[tuple[str, int], Callable]


def _arguments(start: Start, steps: int) -> tuple:
    return (Parameters(*map(jnp.asarray, start.parameters)), jnp.asarray(start.x), jnp.asarray(start.y), steps)


def compile_all(work: Work) -> Compiled:
    """Compile one function for each mask and size, on all cores."""

    def compiled(job: Job) -> Callable:
        arguments = _arguments(start_of(job.size, job.seeds), work.steps)
        return jax.jit(partial(train, mask=job.mask)).lower(*arguments).compile()

    kinds = {(job.mask, job.size): job for job in jobs_of(work)}
    return dict(zip(kinds, on_all_cores(compiled, kinds.values()), strict=True))


def train_all(start: Start, mask: str, steps: int) -> Parameters:
    """Train a batch of runs, compiled for this call alone."""
    trained = jax.jit(partial(train, mask=mask))(*_arguments(start, steps))
    return Parameters(*(torch.from_numpy(jax.device_get(value).copy()) for value in trained))


def run(work: Work, compiled: Compiled) -> None:
    """Do the work on all cores, a job a thread."""

    starts = {size: start_of(size, work.seeds) for size in work.sizes}

    def trained(job: Job) -> None:
        jax.block_until_ready(compiled[job.mask, job.size](*_arguments(starts[job.size], work.steps)))

    on_all_cores(trained, jobs_of(work))
