"""Training: full-batch Adam or gradient descent with momentum, batched over runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from companion.core.checks import MOST_STEPS, require_flag, require_integer, require_list, shown
from companion.core.losses import Units, units, weighed_loss
from companion.core.network import Parameters, require_batch, require_parameters
from companion.core.settings import Optimiser, Settings

LEARNING_RATE = Settings().step_size
"""Adam's nominal step size."""
BETAS = (0.9, 0.999)
"""Adam's decay rates β₁ and β₂ of the gradient's mean and mean square."""
EPSILON = 1e-8
"""Adam's ε, added to the root of the mean square."""
MOMENTUM = 0.9
"""Of gradient descent with momentum, the part of a step that the next one takes along."""


class Trained(NamedTuple):
    """What training returns: the final parameters, and those at recorded steps, with a dimension of steps first."""

    parameters: Parameters
    recorded: Parameters


@torch.inference_mode(False)  # gradients are taken, and no digit is left out, whatever the caller has switched on
@torch.enable_grad()
def train(
    x: Tensor, y: Tensor, initial: Parameters, settings: Settings = Settings(), record: Sequence[int] = ()
) -> Trained:
    """Minimise the total loss of every run in a batch, full-batch, with Adam or with momentum.

    Runs do not influence one another: the losses are summed, so each run's gradient is its own,
    and both optimisers act on every number apart. With momentum a run whose step size turns out too large
    (`diverged`) is trained anew from its start with the next of `rates_of`; what it ends in with the last stands.
    Device and float type are those of the arguments.
    Book: chapter "The model and its prototypes", section "Training"; chapter "More dimensions, other densities",
    section "The same network, twice".

    Args:
        x, y: training data, x of shape (..., samples), or (..., samples, d) for a neuron that is not on the line.
        initial: of the shapes that `companion.core.network.starting_batch` gives them; left as they are.
        settings: of all runs of the batch.
        record: increasing steps in 0 … steps at which to keep the parameters; 0 is before training.

    Returns:
        The trained parameters and the recorded ones, detached.

    Raises:
        ValueError: if a shape or step is not allowed, or data or initial parameters are not finite.
    """
    record = require_training(x, y, initial, settings, record)
    x, y, *start = (value.detach().clone() for value in (x, y, *initial))
    begun = Parameters(*start)
    weighed = units(x, y, begun, settings)
    with torch.autocast(x.device.type, enabled=False):
        if settings.optimiser == Optimiser.ADAM:
            return _descend(x, y, begun, settings, record, weighed, settings.step_size)
        tenth = settings.steps // 10
        moments = sorted({*record, tenth})
        chosen, left = None, torch.ones(y.shape[:-1], dtype=torch.bool, device=y.device)
        for rate in rates_of(settings):
            tried = _descend(x, y, begun, settings, moments, weighed, rate)
            chosen = tried if chosen is None else _where(left, tried, chosen)
            early = Parameters(*(value[moments.index(tenth)] for value in tried.recorded))
            left = left & diverged(x, y, [begun, early, tried.parameters], settings, weighed)
            if not left.any():
                break
        assert chosen is not None
        kept = [moments.index(step) for step in record]
        return Trained(chosen.parameters, Parameters(*(value[kept] for value in chosen.recorded)))


def rates_of(settings: Settings) -> list[float]:
    """Return the step sizes that a run tries, in their order: Adam's one; momentum's, a tenth and a hundredth of it.

    Book: chapter "Every reading at once", equation (momentum).
    """
    return [
        settings.step_size * part for part in ((1.0,) if settings.optimiser == Optimiser.ADAM else (1.0, 0.1, 0.01))
    ]


def diverged(x: Tensor, y: Tensor, moments: list[Parameters], settings: Settings, weighed: Units) -> Tensor:
    """Return of each run whether its loss is above its first moment's, or is no number, at one of the later moments.

    A step size counts as too large where it is so after a tenth of the steps, or at the end.
    Book: chapter "Every reading at once", equation (momentum).

    Args:
        x, y, settings: as of `train`.
        moments: parameters of the runs, those before training first.
        weighed: the `units` of the start.

    Returns:
        Booleans, shape (...).
    """
    with torch.no_grad():
        before, *after = (weighed_loss(x, y, moment, settings, 1.0, weighed) for moment in moments)
    return ~torch.stack([loss <= before for loss in after]).all(0)


def _where(left: Tensor, tried: Trained, chosen: Trained) -> Trained:
    """The second try of those runs that are left, the first of all others."""
    several = [
        Parameters(
            *(
                torch.where(left.reshape((*left.shape, *[1] * (a.dim() - left.dim() - more))), a, b)
                for a, b in zip(one, other, strict=True)
            )
        )
        for more, one, other in ((0, tried.parameters, chosen.parameters), (1, tried.recorded, chosen.recorded))
    ]
    return Trained(*several)


def _descend(
    x: Tensor, y: Tensor, start: Parameters, settings: Settings, record: list[int], weighed: Units, rate: float
) -> Trained:
    """All steps at one step size."""
    repulsions = repulsion_schedule(settings.steps, settings.anneal)
    parameters = Parameters(*(value.clone().requires_grad_() for value in start))
    if settings.optimiser == Optimiser.ADAM:
        optimizer = torch.optim.Adam(parameters, lr=rate, betas=BETAS, eps=EPSILON, fused=True)
    else:
        optimizer = torch.optim.SGD(parameters, lr=rate, momentum=MOMENTUM)
    recorded = [value.new_empty((len(record), *value.shape)) for value in start]
    for step in range(settings.steps + 1):
        if step in record:
            for kept, value in zip(recorded, parameters, strict=True):
                kept[record.index(step)] = value.detach()
        if step < settings.steps:
            optimizer.zero_grad()
            weighed_loss(x, y, parameters, settings, repulsions[step], weighed).sum().backward()
            optimizer.step()
    return Trained(Parameters(*(value.detach() for value in parameters)), Parameters(*recorded))


def repulsion_schedule(steps: int, anneal: bool) -> list[float]:
    """Return ρ, the repulsions' part of λ, at each step: 1, or 1 - t/steps at step t = 0, 1, … if it is annealed.

    Book: chapter "A compatible attractor", equation (balanced).
    """
    steps, anneal = require_integer("steps", steps, least=0, most=MOST_STEPS), require_flag("anneal", anneal)
    return [1 - step / steps if anneal else 1.0 for step in range(steps)]


def require_training(
    x: Tensor, y: Tensor, initial: Parameters, settings: Settings, record: Sequence[int] = ()
) -> list[int]:
    """Return the steps to record if a training can start from these arguments, those of `train`, whatever the engine.

    Raises:
        ValueError: if a shape or step is not allowed, or data or initial parameters are not finite.
    """
    require_batch(x, y, require_parameters("initial", initial), settings)
    steps = require_list("record", record, partial(require_integer, least=0, most=settings.steps), least=0)
    if steps != sorted(set(steps)):
        raise ValueError(f"record: {shown(steps)} was given; allowed are increasing steps from 0 to {settings.steps}")
    return steps
