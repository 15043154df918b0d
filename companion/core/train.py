"""Training: full-batch Adam, batched over runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from companion.core.checks import MOST_STEPS, require_flag, require_integer, require_list, shown, unchecked
from companion.core.losses import total_loss
from companion.core.network import Parameters, require_batch, require_parameters
from companion.core.settings import Settings

LEARNING_RATE = Settings().step_size
"""Adam's nominal step size."""
BETAS = (0.9, 0.999)
"""Adam's decay rates β₁ and β₂ of the gradient's mean and mean square."""
EPSILON = 1e-8
"""Adam's ε, added to the root of the mean square."""


class Trained(NamedTuple):
    """What training returns: the final parameters, and those at recorded steps, with a dimension of steps first."""

    parameters: Parameters
    recorded: Parameters


@torch.inference_mode(False)  # gradients are taken, and no digit is left out, whatever the caller has switched on
@torch.enable_grad()
def train(
    x: Tensor, y: Tensor, initial: Parameters, settings: Settings = Settings(), record: Sequence[int] = ()
) -> Trained:
    """Minimise the total loss of every run in a batch with full-batch Adam.

    Runs do not influence one another: the losses are summed, so each run's gradient is its own,
    and Adam acts on every number apart. Device and float type are those of the arguments.
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
    loss, repulsions = unchecked(total_loss), repulsion_schedule(settings.steps, settings.anneal)
    x, y, *start = (value.detach().clone() for value in (x, y, *initial))
    parameters = Parameters(*(value.requires_grad_() for value in start))
    optimizer = torch.optim.Adam(parameters, lr=settings.step_size, betas=BETAS, eps=EPSILON, fused=True)
    recorded = [value.new_empty((len(record), *value.shape)) for value in start]
    with torch.autocast(x.device.type, enabled=False):
        for step in range(settings.steps + 1):
            if step in record:
                for kept, value in zip(recorded, parameters, strict=True):
                    kept[record.index(step)] = value.detach()
            if step < settings.steps:
                optimizer.zero_grad()
                loss(x, y, parameters, settings, repulsions[step]).sum().backward()
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
