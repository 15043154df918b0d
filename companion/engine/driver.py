"""The compiled engine: full-batch training, one run at a time in a core's cache, on the line and in d dimensions.

Book: chapter "How fast, and how it survives".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from numba import config
from torch import Tensor

from companion.core.checks import MOST_POINTS, require_integer, require_number
from companion.core.losses import SMALLEST_GRADIENT, Units, counts
from companion.core.network import Parameters, require_batch
from companion.core.settings import Neuron, Settings
from companion.core.train import Trained, diverged, rates_of, require_training
from companion.engine import line, space
from companion.engine.steps import Schedule, Terms, one_step_of_no_size, schedule_of, terms_of


def train(
    x: Tensor, y: Tensor, initial: Parameters, settings: Settings = Settings(), record: Sequence[int] = ()
) -> Trained:
    """Do what `companion.core.train.train` does, run after run and much faster; float64 on a CPU only.

    Arguments, result and errors are those of `companion.core.train.train`; the two agree to rounding, which training
    can amplify over many steps. The interpreter's lock is released, so threads train runs at the same time.
    Book: chapter "How fast, and how it survives", section "One run in cache".

    Raises:
        ValueError: as `companion.core.train.train`, or if a tensor is not float64 on a CPU, or numba is not to compile.
    """
    record = require_training(x, y, initial, settings, record)
    _require_compilable(x, y, initial)
    leading, ends = y.shape[:-1], [*record, settings.steps]
    flat = [value.reshape(-1, *value.shape[len(leading) :]).numpy(force=True) for value in (x, y, *initial)]
    kept = [np.empty((len(ends), *value.shape)) for value in flat[2:]]
    tries = [schedule_of(settings, rate) for rate in rates_of(settings)]
    for place, (samples, values, *start) in enumerate(zip(*flat, strict=True)):
        moments = _train_run(Task(samples, values, start), settings, tries, ends)
        for rows, of_all in zip(kept, zip(*moments, strict=True), strict=True):
            rows[:, place] = of_all
    at_ends = [torch.as_tensor(rows, device="cpu") for rows in kept]
    shaped = [value.reshape(len(ends), *given.shape) for value, given in zip(at_ends, initial, strict=True)]
    return Trained(Parameters(*(value[-1] for value in shaped)), Parameters(*(value[:-1] for value in shaped)))


class Task(NamedTuple):
    """One run before its training."""

    x: np.ndarray
    y: np.ndarray
    start: list[np.ndarray]


def _train_run(task: Task, settings: Settings, tries: list[Schedule], ends: list[int]) -> list[Sequence[np.ndarray]]:
    """One run's parameters at the ends of some steps, by the first schedule whose step size it can take or the last."""
    kernels, units, tenth = _kernels(settings), _units(task, settings), settings.steps // 10
    terms, moments = terms_of(settings, units), sorted({*ends, tenth})
    at: dict[int, Sequence[np.ndarray]] = {}
    for left, schedule in zip(range(len(tries) - 1, -1, -1), tries, strict=True):
        run = kernels.new_run(*task, terms)
        for done, end in pairwise([0, *moments]):
            _advance(kernels, run, terms, schedule.part(done, end))
            at[end] = kernels.rows(run, run.parameters)
            if left and end in (tenth, settings.steps) and _diverged(task, at[end], settings, units):
                break
        else:
            break
    return [at[end] for end in ends]


def _diverged(task: Task, reached: Sequence[np.ndarray], settings: Settings, units: Units) -> bool:
    """Whether one run's step size is too large by what it has reached; see `companion.core.train.diverged`."""
    with torch.device("cpu"):  # a caller's default may be another one
        x, y = torch.as_tensor(task.x), torch.as_tensor(task.y)
        moments = [Parameters(*map(torch.as_tensor, parameters)) for parameters in (task.start, reached)]
        return bool(diverged(x, y, moments, settings, units))


def _units(task: Task, settings: Settings) -> Units:
    """`companion.core.losses.units` of one run, by this engine's own gradients: the same bits in any company."""
    of_means = counts(settings, len(task.x), task.start[2].size)
    if not settings.matched:
        return of_means
    kernels, norms = _kernels(settings), []
    for mask in ("000", "100", "010", "001"):
        alone = settings.but(mask=mask, strength=1.0, balance=1.0)
        terms = terms_of(alone, of_means)._replace(fit=float(mask == "000"))
        run = kernels.new_run(*task, terms)
        _advance(kernels, run, terms, one_step_of_no_size(alone, 1.0))
        norms.append(math.hypot(*np.concatenate([row.ravel() for row in kernels.rows(run, run.gradient)])))
    fit, *structural = norms
    return Units(*(count * fit / (norm + SMALLEST_GRADIENT) for count, norm in zip(of_means, structural, strict=True)))


def gradient(
    x: Tensor, y: Tensor, parameters: Parameters, settings: Settings = Settings(), repulsion: float = 1.0
) -> Parameters:
    """Return the gradient of `companion.core.losses.total_loss` of one run as this engine computes it.

    Args:
        x, y: training data of one run, float64, y of shape (samples,), x too, or (samples, d).
        parameters: of one run.
        settings: as in `companion.core.losses.total_loss`.
        repulsion: ρ >= 0.

    Returns:
        dL/dw, dL/db, dL/da and dL/dc, of the parameters' shapes.

    Raises:
        ValueError: as `train`, or if more than one run is given.
    """
    require_batch(x, y, parameters, settings)
    _require_compilable(x, y, parameters)
    if y.dim() != 1:
        raise ValueError(f"shapes: y {tuple(y.shape)} was given; allowed is one run, (samples,)")
    task = Task(x.numpy(force=True), y.numpy(force=True), [value.numpy(force=True) for value in parameters])
    kernels, terms = _kernels(settings), terms_of(settings, _units(task, settings))
    run = kernels.new_run(*task, terms)
    _advance(kernels, run, terms, one_step_of_no_size(settings, require_number("repulsion", repulsion)))
    return Parameters(*(torch.as_tensor(row, device="cpu") for row in kernels.rows(run, run.gradient)))


def run_memory(size: int) -> int:
    """Return the bytes that the engine holds while it trains one run of `size` samples and neurons on the line.

    Book: chapter "How fast, and how it survives", section "One run in cache".

    Args:
        size: N, at least 1.

    Returns:
        Bytes: responses of at most `companion.engine.lanes.TILE_ENTRIES` numbers, and all else in proportion to N.

    Raises:
        ValueError: if the size is out of range.
    """
    ones = np.ones(require_integer("size", size, least=1, most=MOST_POINTS))
    run = line.new_run(ones, ones, (ones, ones, ones, np.zeros(())), terms_of(Settings()))
    return sum(value.nbytes for value in run if isinstance(value, np.ndarray))


def _kernels(settings: Settings) -> ModuleType:
    return line if settings.neuron == Neuron.LINE else space


def _advance(kernels: ModuleType, run: line.Workspace | space.Workspace, terms: Terms, schedule: Schedule) -> None:
    """All steps of a schedule; where a run's matching is no longer confirmed, it is made anew."""
    step, matched = 0, False
    while (step := kernels.advance(run, step, matched, terms, schedule)) < schedule.rates.size:
        kernels.match(run)
        matched = True


def _require_compilable(x: Tensor, y: Tensor, parameters: Parameters) -> None:
    if config.DISABLE_JIT:
        raise ValueError("engine: 'fast' was given where NUMBA_DISABLE_JIT is set; allowed is 'torch', or to unset it")
    for name, value in {"x": x, "y": y, **Parameters(*parameters)._asdict()}.items():
        if value.dtype != torch.float64 or value.device.type != "cpu":
            raise ValueError(
                f"{name}: {value.dtype} on {value.device} was given; allowed is torch.float64 on cpu "
                "(engine 'torch' trains other types and devices)"
            )
