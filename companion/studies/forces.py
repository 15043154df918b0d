"""Forces on prototypes: where each loss drives a neuron, and how far one step of training carries it.

The force on prototype j is -∂L/∂x̂_j at fixed w_j: the neuron moves with its width as it is.
Book: chapter "Forces".
"""

from __future__ import annotations

import math

import torch

from companion.core.checks import require_number, require_same_runs, require_same_shape
from companion.core.network import Parameters, activations, output, prototypes
from companion.core.settings import Settings
from companion.core.train import BETAS


def fit_force(x: torch.Tensor, y: torch.Tensor, parameters: Parameters) -> torch.Tensor:
    """Return the force of the fit, -(4/N) w_j² a_j Σ_i (f(x_i) - y_i) h_ij (x_i - x̂_j).

    Book: chapter "Forces", equation (fit-force).

    Args:
        x, y: training data, shape (..., samples).
        parameters: w, b, a of shape (..., neurons), c of shape (...).

    Returns:
        Force, positive to the right, shape (..., neurons).

    Raises:
        ValueError: if shapes do not fit or data are not finite.
    """
    require_same_shape(x=x, y=y)
    w, b, a, c = parameters
    responses = activations(x, w, b)
    residual = (output(responses, a, c) - y).unsqueeze(-1)
    return -4 * w**2 * a * (residual * responses * _towards(x, prototypes(w, b))).mean(-2)


def coverage_force(x: torch.Tensor, prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the force of coverage, (2/N) Σ_i p_ij (x_i - x̂_j), with p_ij the softmax over j of -(x_i - x̂_j)²/τ.

    Book: chapter "Coverage", equation (coverage-force).

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
    towards = _towards(x, prototypes)
    return 2 * (torch.softmax(-(towards**2) / temperature, -1) * towards).mean(-2)


def separation_force(prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the force of separation, 4/(N(N-1)τ) Σ_k (x̂_j - x̂_k) exp(-(x̂_j - x̂_k)²/τ).

    Book: chapter "Forces", equation (separation-forces).

    Args:
        prototypes: x̂, shape (..., neurons).
        temperature: τ > 0.

    Returns:
        Force, positive to the right, shape (..., neurons); 0 for a single neuron.

    Raises:
        ValueError: if temperature is not above 0 or there is no neuron.
    """
    require_same_shape(prototypes=prototypes)
    temperature = require_number("temperature", temperature, positive=True)
    neurons = prototypes.shape[-1]
    from_others = prototypes.unsqueeze(-1) - prototypes.unsqueeze(-2)
    pushes = from_others * torch.exp(-(from_others**2) / temperature)
    return 4 * pushes.sum(-1) / (max(neurons * (neurons - 1), 1) * temperature)


def overlap_force(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the force of overlap, κ_j (x̂_j - c_j): away from the crowd's centre, with κ_j = 4 w_j² S_j / (N · N(N-1)).

    Book: chapter "Forces", equation (outward).

    Args:
        x: training inputs, shape (..., samples).
        w: input weights, shape (..., neurons).
        b: biases, shape (..., neurons).

    Returns:
        Force, positive to the right, shape (..., neurons); 0 for a single neuron.

    Raises:
        ValueError: if shapes do not fit or x is not finite.
    """
    shared, neurons = shared_responses(x, w, b), w.shape[-1]
    away = -_towards(x, prototypes(w, b))
    return 4 * w**2 * (shared * away).mean(-2) / max(neurons * (neurons - 1), 1)


def force_field(
    x: torch.Tensor,
    y: torch.Tensor,
    parameters: Parameters,
    moved: tuple[int, torch.Tensor],
    settings: Settings,
) -> dict[str, torch.Tensor]:
    """Return the forces on one neuron of a network as it is moved along the line, its width and all else as they are.

    Book: chapter "Forces", section "All four at once".

    Args:
        x, y: training data, shape (samples,).
        parameters: w, b, a of shape (neurons,), c of shape ().
        moved: which neuron, and where its prototype is put, shape (positions,).
        settings: whose λ and τ are taken; all three structural losses are on, whatever the mask.

    Returns:
        By name, each of shape (positions,): "fit"; "coverage", "separation" and "overlap", each times λ; and "sum".

    Raises:
        ValueError: if shapes do not fit.
    """
    (neuron, positions), strength, temperature = moved, settings.strength, settings.temperature
    x, y, w, b, a = (value.expand(len(positions), -1) for value in (x, y, *parameters[:3]))
    b = b.clone()
    b[:, neuron] = -w[:, neuron] * positions
    at = prototypes(w, b)
    fields = {
        "fit": fit_force(x, y, Parameters(w, b, a, parameters.c.expand(len(positions)))),
        "coverage": strength * coverage_force(x, at, temperature),
        "separation": strength * separation_force(at, temperature),
        "overlap": strength * overlap_force(x, w, b),
    }
    fields["sum"] = sum(fields.values(), torch.zeros(()))
    return {name: field[:, neuron] for name, field in fields.items()}


def shared_responses(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return q_ij = h_ij Σ_{k≠j} h_ik, by how much neuron j's response to sample i is shared with others.

    Book: chapter "Forces", equation (crowd).

    Args:
        x: training inputs, shape (..., samples).
        w: input weights, shape (..., neurons).
        b: biases, shape (..., neurons).

    Returns:
        Non-negative numbers, shape (..., samples, neurons).

    Raises:
        ValueError: if shapes do not fit or x is not finite.
    """
    responses = activations(x, w, b)
    # Not the sum over all less one's own: where only neuron j answers, that difference is rounding.
    others = 1 - torch.eye(w.shape[-1], dtype=w.dtype, device=w.device)
    return responses * (responses @ others)


def crowd_centre(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return c_j = Σ_i q_ij x_i / Σ_i q_ij, the mean of the samples weighted by how much neuron j shares them.

    Book: chapter "Forces", equation (crowd).

    Args:
        x: training inputs, shape (..., samples).
        w: input weights, shape (..., neurons).
        b: biases, shape (..., neurons).

    Returns:
        Positions between the lowest and the highest sample, shape (..., neurons); NaN where a neuron shares nothing in
        double precision.

    Raises:
        ValueError: if shapes do not fit or x is not finite.
    """
    shared = shared_responses(x, w, b)
    return (shared * x.unsqueeze(-1)).sum(-2) / shared.sum(-2)


def coverage_bound(x: torch.Tensor, prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return (2/N) Σ_i d_ij exp(-(d_ij² - m_i²)/τ), which coverage's force on prototype j never exceeds.

    d_ij is its distance to sample i and m_i that of the prototype nearest to the sample.
    Book: chapter "Forces", equation (blind).

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons).
        temperature: τ > 0.

    Returns:
        Non-negative bound, shape (..., neurons).

    Raises:
        ValueError: if shapes do not fit or temperature is not above 0.
    """
    require_same_runs(x=x, prototypes=prototypes)
    temperature = require_number("temperature", temperature, positive=True)
    distance = _towards(x, prototypes).abs()
    excess = distance**2 - (distance**2).amin(-1, keepdim=True)
    return 2 * (distance * torch.exp(-excess / temperature)).mean(-2)


def overlap_wins_from(neurons: int, weight: float, responses: float, shield: float, temperature: float) -> float:
    """Return the distance outside the samples from which overlap's push on a prototype exceeds coverage's pull.

    Book: chapter "Forces", equation (wins).

    Args:
        neurons: N, at least 2; as many samples.
        weight: w_j of the prototype's neuron, with 0 < |w_j| < 1/√τ.
        responses: s > 0, the sum of the other neurons' responses to the sample nearest to it.
        shield: r >= 0, within which every sample has some prototype.
        temperature: τ > 0.

    Returns:
        D in units of the input; the statement asks for D > r and D >= √(τ/2) besides.
    """
    count = neurons**2 * (neurons - 1)
    squared = shield**2 / temperature + math.log(count / (2 * weight**2 * responses))
    return math.sqrt(max(0.0, squared) / (1 / temperature - weight**2))


def displacement(w: torch.Tensor, b: torch.Tensor, dw: torch.Tensor, db: torch.Tensor) -> torch.Tensor:
    """Return how far a step (δw, δb) moves the prototypes: -(δb + x̂ δw) / (w + δw), exactly.

    Book: chapter "Forces", equation (step).

    Args:
        w, b: input weights and biases, shape (..., neurons).
        dw, db: the step, shape (..., neurons).

    Returns:
        Displacement, shape (..., neurons); infinite where the step ends at w = 0.

    Raises:
        ValueError: if shapes differ.
    """
    require_same_shape(w=w, b=b, dw=dw, db=db)
    return -(db + prototypes(w, b) * dw) / (w + dw)


def longest_adam_step() -> float:
    """Return K = (1 - β₁)/√((1 - β₂)(1 - β₁²/β₂)): no step of Adam moves a parameter by more than K learning rates.

    Book: chapter "Forces", equation (adam).
    """
    first, second = BETAS
    return (1 - first) / math.sqrt((1 - second) * (1 - first**2 / second))


def _towards(x: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """x_i - x̂_j, shape (..., samples, neurons)."""
    return x.unsqueeze(-1) - prototypes.unsqueeze(-2)
