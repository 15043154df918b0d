"""A step of training in compiled code: which terms of the loss are on, how they are weighed, and Adam."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numba import njit

from companion.core.settings import MASKS, Attractor, Settings
from companion.core.train import BETAS, EPSILON, repulsion_schedule
from companion.engine.cache import OPTIONS
from companion.engine.lanes import CONSTANTS, WIDTH, fill, fma, load, square_root, store

NO_ATTRACTOR = 0
COVERAGE, CHAMFER, TRANSPORT = (list(Attractor).index(name) + 1 for name in Attractor)
"""Numbers of the attractors in compiled code; 0 is none."""


class Terms(NamedTuple):
    """What of the loss is the same at every step."""

    overlap: bool
    attractor: int
    separation: bool
    attraction: float  # λκ
    temperature: float


class Schedule(NamedTuple):
    """What changes from step to step, one entry a step; and the constants of Adam and of the exponential."""

    repulsions: np.ndarray  # λρ
    rates: np.ndarray  # Adam's step size over the first bias correction
    roots: np.ndarray  # the inverse root of the second
    adam: tuple[float, float, float]  # β₁, β₂ and ε
    table: np.ndarray  # see `companion.engine.lanes.CONSTANTS`

    def part(self, start: int, stop: int) -> Schedule:
        """Return the schedule of the steps from `start` on, before `stop`."""
        arrays = (values[start:stop] for values in (self.repulsions, self.rates, self.roots))
        return Schedule(*arrays, self.adam, self.table)


def terms_of(settings: Settings) -> Terms:
    """Return the terms that the settings' mask and attractor switch on."""
    overlap, middle, separation = MASKS[settings.mask]
    attractor = list(Attractor).index(settings.attractor) + 1 if middle else NO_ATTRACTOR
    return Terms(overlap, attractor, separation, settings.strength * settings.balance, settings.temperature)


def schedule_of(settings: Settings) -> Schedule:
    """Return the schedule of all the settings' steps."""
    repulsions = settings.strength * np.array(repulsion_schedule(settings.steps, settings.anneal))
    return Schedule(repulsions, *_bias_corrections(settings.steps, settings.step_size), (*BETAS, EPSILON), CONSTANTS)


def one_step_of_no_size(settings: Settings, repulsion: float) -> Schedule:
    """Return a schedule that leaves the parameters as they are, and the gradient in the run."""
    return Schedule(np.array([settings.strength * repulsion]), np.zeros(1), np.ones(1), (*BETAS, EPSILON), CONSTANTS)


@functools.lru_cache(maxsize=8)
def _bias_corrections(steps: int, step_size: float) -> tuple[np.ndarray, np.ndarray]:
    passed = range(1, steps + 1)
    rates = [step_size / (1 - BETAS[0] ** step) for step in passed]
    roots = [1 / math.sqrt(1 - BETAS[1] ** step) for step in passed]
    return np.array(rates), np.array(roots)


@njit(forceinline=True, **OPTIONS)
def adam_step(run, step, schedule):
    """One step of Adam by the gradient of a run."""
    beta1, beta2, epsilon = schedule.adam
    rate, root = schedule.rates[step], schedule.roots[step]
    for k in range(0, run.parameters.size, WIDTH):
        g, mean = load(run.gradient, k), load(run.mean, k)
        mean = fma(g - mean, 1.0 - beta1, mean)
        square = fma(g * g, 1.0 - beta2, load(run.square, k) * beta2)
        store(run.mean, k, mean)
        store(run.square, k, square)
        size = mean * rate / fma(square_root(square), root, fill(epsilon))
        store(run.parameters, k, load(run.parameters, k) - size)
