"""The compiled engine: full-batch Adam, one run at a time in a core's cache, on the line and in d dimensions.

Book: chapter "How fast, and how it survives".
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np
import torch
from numba import config
from torch import Tensor

from companion.core.checks import MOST_POINTS, require_integer, require_number
from companion.core.network import Parameters, require_batch
from companion.core.settings import Neuron, Settings
from companion.core.train import Trained, require_training
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
    kernels, terms, schedule = _kernels(settings), terms_of(settings), schedule_of(settings)
    leading, ends = y.shape[:-1], [*record, settings.steps]
    flat = [value.reshape(-1, *value.shape[len(leading) :]).numpy(force=True) for value in (x, y, *initial)]
    kept = [np.empty((len(ends), *value.shape)) for value in flat[2:]]
    for place, (samples, values, *start) in enumerate(zip(*flat, strict=True)):
        run, done = kernels.new_run(samples, values, start, terms), 0
        for moment, end in enumerate(ends):
            _advance(kernels, run, terms, schedule.part(done, end))
            done = end
            for rows, row in zip(kept, kernels.rows(run, run.parameters), strict=True):
                rows[moment, place] = row
    at_ends = [torch.as_tensor(rows, device="cpu") for rows in kept]
    shaped = [value.reshape(len(ends), *given.shape) for value, given in zip(at_ends, initial, strict=True)]
    return Trained(Parameters(*(value[-1] for value in shaped)), Parameters(*(value[:-1] for value in shaped)))


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
    kernels, terms = _kernels(settings), terms_of(settings)
    run = kernels.new_run(
        *(value.numpy(force=True) for value in (x, y)), [value.numpy(force=True) for value in parameters], terms
    )
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
