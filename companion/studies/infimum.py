"""Where each loss is lowest: how near to its infimum perfect recovery is, and how near full expulsion is."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from companion.core.checks import require_integer, require_number, require_same_shape
from companion.core.losses import coverage_loss, separation_loss
from companion.core.network import Parameters
from companion.core.settings import MASKS, Attractor, Settings

VARIANTS = {"recovery": 9, "least": 8, "expulsion": 8, "farthest": 8}
"""How many false variants of each proposition its test in `tests/test_infimum.py` rejects."""


def recovering(x: Tensor, y: Tensor, sharpness: float) -> Parameters:
    """Return a network whose prototypes are the samples, each with its value: w = s, b = -s x_j, a = y_j - c, c = 0.

    Book: chapter "How long is long enough", equation (recovering).

    Args:
        x, y: training data of one run, shape (samples,).
        sharpness: s > 0, every |w|.

    Raises:
        ValueError: if shapes differ or the sharpness is not above 0.
    """
    require_same_shape(x=x, y=y)
    s = require_number("sharpness", sharpness, positive=True)
    return Parameters(torch.full_like(x, s), -s * x, y.clone(), y.new_zeros(()))


def expelling(x: Tensor, y: Tensor, distance: float, sharpness: float = 2.0) -> Parameters:
    """Return a network that fits every sample with all its prototypes beyond them: x̂_j = max x + D j, j = 1 … N.

    Responses of one width, exp(-s² (x_i - x̂_j)²), are independent at distinct samples: a follows from N equations.
    Book: chapter "How long is long enough", equation (expelling).

    Args:
        x, y: training data of one run, shape (samples,), x without equal samples.
        distance: D > 0, from the samples to the first prototype, and between prototypes.
        sharpness: s > 0, every |w|.

    Raises:
        ValueError: if shapes differ, or a number is not above 0.
    """
    require_same_shape(x=x, y=y)
    d = require_number("distance", distance, positive=True)
    s = require_number("sharpness", sharpness, positive=True)
    beyond = d * torch.arange(1, len(x) + 1, dtype=x.dtype)
    positions = x.max() + beyond
    # Responses over those at the largest sample: numbers of about one, where the responses themselves are tiny.
    relative = torch.exp(s**2 * (beyond**2 - (x[:, None] - positions) ** 2))
    a = torch.linalg.solve(relative, y) * torch.exp(s**2 * beyond**2)
    return Parameters(torch.full_like(x, s), -s * positions, a, y.new_zeros(()))


def loss_of_recovery(x: Tensor, settings: Settings) -> Tensor:
    """Return what the total loss of `recovering` tends to as s grows: λ (κ m_cov L_att(x, x) + m_sep L_sep(x)).

    The fit's and overlap's parts vanish, and so does transport at every s.
    Book: chapter "How long is long enough", equation (recovery).

    Args:
        x: training inputs, shape (..., samples), without equal samples.
        settings: whose mask, attractor, λ, κ and τ are taken; the attractor is coverage or transport.

    Returns:
        Loss a run, shape (...).

    Raises:
        ValueError: if the attractor is another one.
    """
    switches, loss = MASKS[settings.mask], x.new_zeros(x.shape[:-1])
    if switches.coverage and settings.attractor == Attractor.CHAMFER:
        raise ValueError("settings: attractor 'chamfer' was given; allowed are 'coverage' and 'transport'")
    if switches.coverage and settings.attractor == Attractor.COVERAGE:
        loss = loss + settings.balance * coverage_loss(x, x, settings.temperature)
    if switches.separation:
        loss = loss + separation_loss(x, settings.temperature)
    return settings.strength * loss


def least_loss(size: int, settings: Settings) -> float:
    """Return a number below which no network's total loss is: -λκτ log N with coverage, else 0.

    Book: chapter "How long is long enough", equation (least).

    Args:
        size: N, at least 2.
        settings: whose mask, attractor, λ, κ and τ are taken; the attractor is coverage or transport.
    """
    size = require_integer("size", size, least=2)
    covers = MASKS[settings.mask].coverage and settings.attractor == Attractor.COVERAGE
    return -settings.strength * settings.balance * settings.temperature * math.log(size) if covers else 0.0


def farthest(loss: Tensor, size: int, settings: Settings) -> Tensor:
    """Return √(N (L - L₀)/(λκ)): under an attractor no sample's partner is farther away in a network of loss L.

    L₀ is `least_loss`. Under transport the partner is the matched prototype, so that every prototype has one; under
    coverage it is the nearest prototype.
    Book: chapter "How long is long enough", equation (farthest).

    Args:
        loss: total losses L, any shape.
        size: N, at least 2.
        settings: whose mask holds an attractor, with λ and κ above 0.
    """
    above = (loss - least_loss(size, settings)).clamp(min=0.0)
    return (size * above / (settings.strength * settings.balance)).sqrt()
