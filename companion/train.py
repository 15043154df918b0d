"""Training: full-batch Adam, batched over runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from companion.checks import require_choice, require_finite, require_integer, require_number, require_same_shape
from companion.losses import MASKS, total_loss
from companion.model import Parameters, prototypes

LEARNING_RATE = 0.01
"""Adam's step size."""
BETAS = (0.9, 0.999)
"""Adam's decay rates β₁ and β₂ of the gradient's mean and mean square."""
EPSILON = 1e-8
"""Adam's ε, added to the root of the mean square."""


class Trained(NamedTuple):
    """What training returns: final parameters, and prototypes at the recorded steps.

    `trajectory` has shape (recorded steps, ..., neurons), or is None if no step was asked for.
    """

    parameters: Parameters
    trajectory: torch.Tensor | None


def train(
    x: torch.Tensor,
    y: torch.Tensor,
    initial: Parameters,
    mask: str,
    strength: float = 1.0,
    temperature: float = 1e-4,
    steps: int = 2000,
    record: Sequence[int] = (),
) -> Trained:
    """Minimise the total loss of every run in a batch with full-batch Adam.

    Runs do not influence one another: the losses are summed, so each run's gradient is its own,
    and Adam acts on every number apart. Device and float type are those of the arguments.
    Book: chapter "The model and its prototypes", section "Training".

    Args:
        x, y: training data, shape (..., samples).
        initial: w, b, a of shape (..., neurons), c of shape (...); left as they are.
        mask: one of `MASKS`, for all runs of the batch.
        strength: λ >= 0.
        temperature: τ > 0.
        steps: number of Adam steps, at least 0.
        record: increasing steps in 0 … steps at which to keep the prototypes; 0 is before training.

    Returns:
        The trained parameters (detached) and the recorded prototypes.

    Raises:
        ValueError: if a setting or shape is not allowed, or data or initial parameters are not finite.
    """
    strength, temperature, steps = require_training(x, y, initial, mask, strength, temperature, steps, record)
    parameters = Parameters(*(value.detach().clone().requires_grad_() for value in initial))
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, betas=BETAS, eps=EPSILON, fused=True)
    recorded = []
    for step in range(steps + 1):
        if step in record:
            recorded.append(prototypes(parameters.w, parameters.b).detach())
        if step < steps:
            optimizer.zero_grad()
            total_loss(x, y, parameters, mask, strength, temperature).sum().backward()
            optimizer.step()
    return Trained(Parameters(*(value.detach() for value in parameters)), torch.stack(recorded) if recorded else None)


def require_training(
    x: torch.Tensor,
    y: torch.Tensor,
    initial: Parameters,
    mask: str,
    strength: float,
    temperature: float,
    steps: int,
    record: Sequence[int] = (),
) -> tuple[float, float, int]:
    """Return strength, temperature and steps if a training can start from these arguments, whatever the engine.

    Args: those of `train`.

    Returns:
        λ and τ as floats, the number of steps as an int.

    Raises:
        ValueError: if a setting or shape is not allowed, or data or initial parameters are not finite.
    """
    require_choice("mask", mask, MASKS)
    strength = require_number("strength", strength)
    temperature = require_number("temperature", temperature, positive=True)
    steps = require_integer("steps", steps, least=0)
    if list(record) != sorted(set(record)) or any(not 0 <= step <= steps for step in record):
        raise ValueError(f"record: {list(record)} was given; allowed are increasing steps from 0 to {steps}")
    require_same_shape(x=x, y=y)
    require_same_shape(w=initial.w, b=initial.b, a=initial.a)
    require_finite(x=x, y=y, **initial._asdict())
    return strength, temperature, steps
