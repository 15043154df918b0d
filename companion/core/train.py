"""Training: full-batch Adam, batched over runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from companion.core.checks import (
    require_choice,
    require_finite,
    require_flag,
    require_integer,
    require_number,
    require_same_shape,
)
from companion.core.losses import ATTRACTORS, MASKS, total_loss
from companion.core.network import Parameters, prototypes

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
    attractor: str = "coverage",
    balance: float = 1.0,
    anneal: bool = False,
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
        attractor: one of `companion.core.losses.ATTRACTORS`, the loss that the mask's middle bit switches on.
        balance: κ >= 0, the attractor's part of λ.
        anneal: whether the repulsions' part of λ falls linearly, from 1 at the first step to 1/steps at the last.

    Returns:
        The trained parameters (detached) and the recorded prototypes.

    Raises:
        ValueError: if a setting or shape is not allowed, or data or initial parameters are not finite.
    """
    strength, temperature, steps, balance = require_training(
        x, y, initial, mask, strength, temperature, steps, record, attractor, balance, anneal
    )
    repulsions = repulsion_schedule(steps, anneal)
    parameters = Parameters(*(value.detach().clone().requires_grad_() for value in initial))
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, betas=BETAS, eps=EPSILON, fused=True)
    recorded = []
    for step in range(steps + 1):
        if step in record:
            recorded.append(prototypes(parameters.w, parameters.b).detach())
        if step < steps:
            optimizer.zero_grad()
            settings = (mask, strength, temperature, attractor, balance, repulsions[step])
            total_loss(x, y, parameters, *settings).sum().backward()
            optimizer.step()
    return Trained(Parameters(*(value.detach() for value in parameters)), torch.stack(recorded) if recorded else None)


def repulsion_schedule(steps: int, anneal: bool) -> list[float]:
    """Return ρ, the repulsions' part of λ, at each step: 1, or 1 - t/steps at step t = 0, 1, … if it is annealed.

    Book: chapter "A compatible attractor", equation (balanced).
    """
    return [1 - step / steps if anneal else 1.0 for step in range(steps)]


def require_training(
    x: torch.Tensor,
    y: torch.Tensor,
    initial: Parameters,
    mask: str,
    strength: float,
    temperature: float,
    steps: int,
    record: Sequence[int] = (),
    attractor: str = "coverage",
    balance: float = 1.0,
    anneal: bool = False,
) -> tuple[float, float, int, float]:
    """Return λ, τ, steps and κ if a training can start from these arguments, whatever the engine.

    Args: those of `train`.

    Returns:
        λ and τ as floats, the number of steps as an int, κ as a float.

    Raises:
        ValueError: if a setting or shape is not allowed, or data or initial parameters are not finite.
    """
    require_choice("mask", mask, MASKS)
    strength = require_number("strength", strength)
    temperature = require_number("temperature", temperature, positive=True)
    steps = require_integer("steps", steps, least=0)
    if list(record) != sorted(set(record)) or any(not 0 <= step <= steps for step in record):
        raise ValueError(f"record: {list(record)} was given; allowed are increasing steps from 0 to {steps}")
    balance = require_number("balance", balance)
    require_flag("anneal", anneal)
    if require_choice("attractor", attractor, ATTRACTORS) == "transport" and x.shape != initial.w.shape:
        raise ValueError(
            f"shapes: x {tuple(x.shape)}, w {tuple(initial.w.shape)} were given; "
            "allowed for transport is one neuron a sample"
        )
    require_same_shape(x=x, y=y)
    require_same_shape(w=initial.w, b=initial.b, a=initial.a)
    require_finite(x=x, y=y, **initial._asdict())
    return strength, temperature, steps, balance
