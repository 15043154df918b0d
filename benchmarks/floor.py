"""The floor: only the exponentials of the formulas, vectorised, on numbers that stay in a core's cache.

Every exponential that the formulas contain counts; an engine that leaves out those that round to 0 can go below it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.work import CORES, Work, on_all_cores
from companion.core.settings import MASKS

Exponential = Callable[[np.ndarray, np.ndarray], None]
"""Writes the exponential of a whole array, to whatever base, into another; for the floor only its time matters."""
BLOCK = 8192
"""Numbers a call: 64 kB in and 64 kB out lie in a core's second-level cache, and the call itself costs little."""


def exponentials_a_step(mask: str, size: int) -> int:
    """Return how many exponentials one run's loss has: N² responses; coverage N²; separation one for each pair."""
    switches = MASKS[mask]
    return size**2 * (1 + switches.coverage) + switches.separation * size * (size - 1) // 2


def exponentials(work: Work) -> int:
    """Return how many exponentials the work has."""
    return work.steps * len(work.seeds) * sum(exponentials_a_step(mask, n) for mask in work.masks for n in work.sizes)


def blocks() -> tuple[np.ndarray, np.ndarray]:
    """Return input, none of it in need of special care, and output.

    They lie half a page apart: at equal places in their pages, a processor takes a load for one that waits for a store.
    """
    room = np.empty(2 * BLOCK + 256)
    room[:BLOCK] = np.linspace(0.0, 20.0, BLOCK)
    return room[:BLOCK], room[BLOCK + 256 :]


def floor(exponential: Exponential, count: int, cores: int = CORES) -> None:
    """Evaluate `count` exponentials, shared equally by the cores."""

    def evaluate(calls: int) -> None:
        source, target = blocks()
        for _ in range(calls):
            exponential(source, target)

    on_all_cores(evaluate, [-(-count // (BLOCK * cores))] * cores, cores)


def with_numpy(source: np.ndarray, target: np.ndarray) -> None:
    np.exp(source, out=target)


def with_torch(source: np.ndarray, target: np.ndarray) -> None:
    torch.exp(torch.from_numpy(source), out=torch.from_numpy(target))


def with_jax() -> Exponential:
    """JAX returns a new array: it cannot write into one of ours."""
    import jax

    compiled = jax.jit(jax.numpy.exp)
    return lambda source, target: compiled(source).block_until_ready()


def with_numba() -> Exponential:
    """A compiled loop; without Intel's SVML, which is not on PyPI for every machine, it calls the C library's exp."""
    import numba

    @numba.njit(nogil=True, fastmath=True)
    def exponential(source, target):
        for i in range(source.size):
            target[i] = np.exp(source[i])

    return exponential


def with_fast() -> Exponential:
    """The fast engine's own, 2^-y: a second, lower floor, since no library has it."""
    from companion.engine import lanes

    return lambda source, target: lanes._halvings_of(source, target, lanes.CONSTANTS)


def candidates() -> dict[str, Exponential]:
    """Return the libraries' exponentials, each computed by the thread that asks for it."""
    torch.set_num_threads(1)
    return {"numpy": with_numpy, "torch": with_torch, "jax": with_jax(), "numba": with_numba()}


def nanoseconds(exponential: Exponential, repeats: int = 20) -> float:
    """Return the best time of one exponential on one core."""
    source, target = blocks()
    exponential(source, target)  # compile

    def timed() -> float:
        start = time.perf_counter()
        for _ in range(50):
            exponential(source, target)
        return time.perf_counter() - start

    return min(timed() for _ in range(repeats)) / (50 * BLOCK) * 1e9
