"""When an attractor balances a repulsion: forces that do not vanish at a distance, and the radius they hold within."""

from __future__ import annotations

import math

import torch

from companion.core.checks import require_number, require_same_runs, require_same_shape
from companion.core.data import TARGETS
from companion.core.network import Parameters, predict
from companion.core.settings import MASKS, Settings
from companion.studies.carriers import fit_force_bound
from companion.studies.forces import coverage_force

PEAK = 2 * math.sqrt(2 / math.e)
"""Twice the slope of exp(-z²) where it is steepest, 2 √(2/e): both repulsions are sums of such slopes."""


def matched_samples(x: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """Return x_π(j), the sample that transport matches with each prototype: the one of its rank.

    Book: chapter "A compatible attractor", equation (transport).

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons) with neurons = samples.

    Returns:
        Samples, shape (..., neurons).

    Raises:
        ValueError: if shapes differ.
    """
    require_same_shape(x=x, prototypes=prototypes)
    ranks = prototypes.argsort(dim=-1, stable=True).argsort(dim=-1)
    return x.sort(dim=-1).values.gather(-1, ranks)


def transport_force(x: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """Return the force of transport, (2/N) (x_π(j) - x̂_j): a spring to the matched sample.

    Book: chapter "A compatible attractor", equation (springs).

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons) with neurons = samples.

    Returns:
        Force, positive to the right, shape (..., neurons).

    Raises:
        ValueError: if shapes differ.
    """
    return 2 * (matched_samples(x, prototypes) - prototypes) / prototypes.shape[-1]


def chamfer_force(x: torch.Tensor, prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the force of Chamfer: coverage's, and the mirror's (2/N) (m_j - x̂_j), m_j = Σ_i q_ji x_i.

    The weights q_ji are the softmax over the samples of -(x_i - x̂_j)²/τ.
    Book: chapter "A compatible attractor", equation (springs).

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons).
        temperature: τ > 0.

    Returns:
        Force, positive to the right, shape (..., neurons).

    Raises:
        ValueError: if shapes do not fit or temperature is not above 0.
    """
    require_same_runs(x=x, prototypes=prototypes)
    temperature = require_number("temperature", temperature, positive=True)
    towards = x.unsqueeze(-1) - prototypes.unsqueeze(-2)
    mirror = 2 * (torch.softmax(-(towards**2) / temperature, -2) * towards).sum(-2) / prototypes.shape[-1]
    return coverage_force(x, prototypes, temperature) + mirror


def attraction_floor(distance: float, neurons: int) -> float:
    """Return 2D/N: at D outside the samples' range, transport's and Chamfer's pull is at least that.

    Book: chapter "A compatible attractor", equation (floor).

    Args:
        distance: D >= 0, from the samples' range.
        neurons: N, at least 1.
    """
    return 2 * distance / neurons


def overlap_ceiling(w: torch.Tensor) -> torch.Tensor:
    """Return 2 √(2/e) |w_j| / N, which overlap's force on a prototype does not exceed anywhere.

    Book: chapter "A compatible attractor", equation (ceilings).

    Args:
        w: input weights, shape (..., neurons).
    """
    return PEAK * w.abs() / w.shape[-1]


def separation_ceiling(neurons: int, temperature: float) -> float:
    """Return 2 √(2/e) / (N √τ), which separation's force on a prototype does not exceed anywhere.

    Book: chapter "A compatible attractor", equation (ceilings).

    Args:
        neurons: N, at least 1.
        temperature: τ > 0.
    """
    return PEAK / (neurons * math.sqrt(temperature))


def radius(
    x: torch.Tensor, y: torch.Tensor, parameters: Parameters, settings: Settings, repulsion: float = 1.0
) -> torch.Tensor:
    """Return R_j, the distance within which transport or Chamfer holds a prototype wherever its forces balance.

    Book: chapter "A compatible attractor", equation (radius): the sum of `repulsive_radius` and `fit_radius`.

    Args:
        x, y: training data, shape (..., samples).
        parameters: w, b, a of shape (..., neurons), c of shape (...); neurons = samples.
        settings: whose λ > 0, κ > 0, τ and mask are taken; its first and last bits say which repulsions push.
        repulsion: ρ >= 0.

    Returns:
        Radii, shape (..., neurons), in units of the input.

    Raises:
        ValueError: if λ or κ is 0, ρ is below 0, or shapes do not fit.
    """
    return repulsive_radius(parameters.w, settings, repulsion) + fit_radius(x, y, parameters, settings)


def repulsive_radius(w: torch.Tensor, settings: Settings, repulsion: float = 1.0) -> torch.Tensor:
    """Return the part of R_j that the repulsions ask for, that of the structural forces alone.

    Book: chapter "A compatible attractor", equation (radius).

    Args:
        w: input weights, shape (..., neurons).
        settings, repulsion: as in `radius`.

    Returns:
        Radii, shape (..., neurons), in units of the input.

    Raises:
        ValueError: if κ is 0 or ρ is below 0.
    """
    switches, neurons = MASKS[settings.mask], w.shape[-1]
    push = torch.zeros_like(w)
    if switches.overlap:
        push = push + overlap_ceiling(w)
    if switches.separation:
        push = push + separation_ceiling(neurons, settings.temperature)
    repulsion, balance = require_number("repulsion", repulsion), settings.balance
    return repulsion * push * neurons / (2 * require_number("balance", balance, positive=True))


def fit_radius(x: torch.Tensor, y: torch.Tensor, parameters: Parameters, settings: Settings) -> torch.Tensor:
    """Return the part of R_j that the fit's force asks for.

    Book: chapter "A compatible attractor", equation (radius).

    Args and Raises: those of `radius`.

    Returns:
        Radii, shape (..., neurons), in units of the input.
    """
    require_same_shape(x=x, w=parameters.w)
    strength, balance = (
        require_number(name, getattr(settings, name), positive=True) for name in ("strength", "balance")
    )
    return fit_force_bound(x, y, parameters) * parameters.w.shape[-1] / (2 * strength * balance)


def balance_for(distance: float, weight: float) -> float:
    """Return κ = √(2/e) W / δ, which holds every prototype with |w_j| <= W within δ of the data against overlap alone.

    Book: chapter "A compatible attractor", equation (enough).

    Args:
        distance: δ > 0, in units of the input.
        weight: W > 0.
    """
    distance = require_number("distance", distance, positive=True)
    return PEAK / 2 * require_number("weight", weight, positive=True) / distance


def grid_error(parameters: Parameters, points: int = 1001, target: str = "sine") -> torch.Tensor:
    """Return the mean squared error of networks on an even grid of [0, 1], where they were not trained.

    Book: chapter "A compatible attractor", section "Does it generalise differently?".

    Args:
        parameters: w, b, a of shape (..., neurons), c of shape (...).
        points: of the grid, both ends included.
        target: a name in `companion.core.data.TARGETS`.

    Returns:
        Error a network, shape (...).
    """
    grid = torch.linspace(0, 1, points, dtype=parameters.w.dtype, device=parameters.w.device)
    x = grid.expand(*parameters.w.shape[:-1], -1)
    return ((predict(x, *parameters) - TARGETS[target](x)) ** 2).mean(-1)
