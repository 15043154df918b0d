"""Where a step of the fast engine goes: each part of it alone, again and again, on one core."""

from __future__ import annotations

from functools import partial

from numba import njit

from benchmarks.ours import train_all_torch
from benchmarks.timing import seconds_of
from benchmarks.work import STRENGTH, TEMPERATURE, start_of
from companion.core.settings import Settings
from companion.engine import lanes, line
from companion.engine.steps import terms_of

MASK = "111"
"""All terms on."""
TERMS = terms_of(Settings(MASK, strength=STRENGTH, temperature=TEMPERATURE))


@njit(nogil=True)
def _respond(run, times, table):
    for _ in range(times):
        line._respond(run, 0, run.samples, True, table)


@njit(nogil=True)
def _fit(run, times, table):
    for _ in range(times):
        line._fit(run, 0, run.samples)


@njit(nogil=True)
def _overlap(run, times, table):
    for _ in range(times):
        line._overlap(run, 0, run.samples, 1.0)


@njit(nogil=True)
def _coverage(run, times, table):
    for _ in range(times):
        line._coverage(run, TEMPERATURE, STRENGTH, table)


@njit(nogil=True)
def _separation(run, times, table):
    for _ in range(times):
        line._separation(run, TEMPERATURE, STRENGTH, table)


@njit(nogil=True)
def _whole(run, times, table):
    for _ in range(times):
        line._gradient(run, TERMS, STRENGTH, table)


PARTS = {
    "responses and sums": _respond,
    "fit": _fit,
    "overlap": _overlap,
    "coverage": _coverage,
    "separation": _separation,
    "whole gradient": _whole,
}


def microseconds(size: int, times: int, repeats: int = 20) -> dict[str, float]:
    """Return what each part of a step takes, the best of some repeats, on a network trained for 1,000 steps.

    All responses must fit into one tile, so size is at most 181.
    """
    start = start_of(size, [1000])
    trained = train_all_torch(start, MASK, 1000)
    run = line.new_run(start.x[0].numpy(), start.y[0].numpy(), [value[0].numpy() for value in trained], TERMS)
    line._gradient(run, TERMS, STRENGTH, lanes.CONSTANTS)
    found = {}
    for name, part in PARTS.items():
        part(run, 1, lanes.CONSTANTS)  # compile
        # Gradients add up over the repeats, which costs the same as overwriting them.
        again = partial(part, run, times, lanes.CONSTANTS)
        found[name] = min(seconds_of(again) for _ in range(repeats)) / times * 1e6
    return found
