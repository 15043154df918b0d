"""A step of training in compiled code: which terms of the loss are on, how they are weighed, and the optimisers."""

from __future__ import annotations

import functools
import math
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numba import njit

from companion.core.losses import MEANS, Units
from companion.core.network import EXPONENTS
from companion.core.settings import (
    MASKS,
    Attractor,
    CoverageForm,
    Optimiser,
    OverlapForm,
    SeparationForm,
    Settings,
)
from companion.core.train import BETAS, EPSILON, MOMENTUM, repulsion_schedule
from companion.engine.cache import OPTIONS
from companion.engine.lanes import CONSTANTS, WIDTH, fill, fma, load, square_root, store

OFF = 0


def numbers(levels: type[StrEnum]) -> range:
    """Return the numbers of some levels in compiled code, in their order; 0 is `OFF`."""
    return range(1, len(levels) + 1)


def number(level: StrEnum) -> int:
    """Return the number of one level in compiled code."""
    return list(type(level)).index(level) + 1


COVERAGE, CHAMFER, TRANSPORT = numbers(Attractor)
SOFT_MINIMUM, NEAREST, RESPONSE, SOFT_ASSIGNMENT = numbers(CoverageForm)
GAUSSIAN, EXPONENTIAL, CAUCHY, NEIGHBOUR = numbers(SeparationForm)
PRODUCT, COSINE, GRAM, COVARIANCE = numbers(OverlapForm)


class Terms(NamedTuple):
    """What of the loss is the same at every step: numbers of the forms, `OFF` where the mask has one off."""

    fit: float  # 1; 0 where the structural losses' gradient is asked for alone
    exponent: float  # s of the activation exp(-s z²)
    overlap: int
    attractor: int
    coverage: int  # the form, where the attractor is coverage
    separation: int
    attraction: float  # λκ, times what λ counts for the attractor
    units: tuple[float, float]  # what λ counts for the overlap, and for the separation
    temperature: float


class Schedule(NamedTuple):
    """What changes from step to step, one entry a step; and the constants of the optimiser and of the exponential."""

    repulsions: np.ndarray  # λρ
    rates: np.ndarray  # the step size; Adam's over the first bias correction
    roots: np.ndarray  # the inverse root of the second; momentum has none
    momentum: float  # 0 for Adam
    adam: tuple[float, float, float]  # β₁, β₂ and ε
    table: np.ndarray  # see `companion.engine.lanes.CONSTANTS`

    def part(self, start: int, stop: int) -> Schedule:
        """Return the schedule of the steps from `start` on, before `stop`."""
        arrays = (values[start:stop] for values in (self.repulsions, self.rates, self.roots))
        return Schedule(*arrays, self.momentum, self.adam, self.table)


def terms_of(settings: Settings, units: Units = MEANS) -> Terms:
    """Return the terms that the settings' mask and forms switch on, in these units."""
    on = MASKS[settings.mask]
    coverage = on.coverage and settings.attractor == Attractor.COVERAGE
    return Terms(
        fit=1.0,
        exponent=EXPONENTS[settings.activation],
        overlap=number(settings.overlap_form) if on.overlap else OFF,
        attractor=number(settings.attractor) if on.coverage else OFF,
        coverage=number(settings.coverage_form) if coverage else OFF,
        separation=number(settings.separation_form) if on.separation else OFF,
        attraction=settings.strength * settings.balance * float(units.coverage),
        units=(float(units.overlap), float(units.separation)),
        temperature=settings.temperature,
    )


def schedule_of(settings: Settings, rate: float) -> Schedule:
    """Return the schedule of all the settings' steps at one step size."""
    repulsions = settings.strength * np.array(repulsion_schedule(settings.steps, settings.anneal))
    if settings.optimiser == Optimiser.MOMENTUM:
        same = np.full(settings.steps, rate), np.zeros(settings.steps)
        return Schedule(repulsions, *same, MOMENTUM, (*BETAS, EPSILON), CONSTANTS)
    return Schedule(repulsions, *_bias_corrections(settings.steps, rate), 0.0, (*BETAS, EPSILON), CONSTANTS)


def one_step_of_no_size(settings: Settings, repulsion: float) -> Schedule:
    """Return a schedule that leaves the parameters as they are, and the gradient in the run."""
    repulsions = np.array([settings.strength * repulsion])
    return Schedule(repulsions, np.zeros(1), np.ones(1), 0.0, (*BETAS, EPSILON), CONSTANTS)


@functools.lru_cache(maxsize=8)
def _bias_corrections(steps: int, step_size: float) -> tuple[np.ndarray, np.ndarray]:
    passed = range(1, steps + 1)
    rates = [step_size / (1 - BETAS[0] ** step) for step in passed]
    roots = [1 / math.sqrt(1 - BETAS[1] ** step) for step in passed]
    return np.array(rates), np.array(roots)


@njit(forceinline=True, **OPTIONS)
def momentum_step(run, step, schedule):
    """One step of gradient descent with momentum; what moves on is kept where Adam has its mean."""
    for k in range(0, run.parameters.size, WIDTH):
        moving = fma(load(run.mean, k), schedule.momentum, load(run.gradient, k))
        store(run.mean, k, moving)
        store(run.parameters, k, load(run.parameters, k) - moving * schedule.rates[step])


@njit(forceinline=True, **OPTIONS)
def adam_step(run, step, schedule):
    """One step of Adam."""
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


@njit(forceinline=True, **OPTIONS)
def take_step(run, step, schedule):
    """One step by the gradient of a run."""
    if schedule.momentum > 0.0:
        momentum_step(run, step, schedule)
    else:
        adam_step(run, step, schedule)
