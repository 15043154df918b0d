"""The losses: fit, and the structural terms that a mask switches on; two attractors that can take coverage's place."""

from __future__ import annotations

from typing import NamedTuple

import torch

from companion.core.checks import require_choice, require_finite, require_number, require_same_runs, require_same_shape
from companion.core.network import Parameters, activations, output, prototypes


class Switches(NamedTuple):
    """Which structural losses are on, in the order of the mask's three bits."""

    overlap: bool
    coverage: bool
    separation: bool


MASKS: dict[str, Switches] = {
    f"{bits:03b}": Switches(bool(bits & 4), bool(bits & 2), bool(bits & 1)) for bits in range(8)
}
"""The eight masks "000" … "111" in the order overlap-coverage-separation, each with its three switches."""

MASK_NAMES: dict[str, str] = {
    "000": "Std", "001": "Sep", "010": "Cov", "011": "Cov+Sep",
    "100": "Ovl", "101": "Ovl+Sep", "110": "Ovl+Cov", "111": "Full",
}  # fmt: skip
"""The paper's name of each mask."""


ATTRACTORS = ("coverage", "chamfer", "transport")
"""What the mask's middle bit switches on: the paper's coverage, or one of two losses in its place."""


def fit_loss(prediction: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return L_fit = mean_i (f(x_i) - y_i)².

    Book: chapter "The model and its prototypes", equation (fit).

    Args:
        prediction: the network's values, shape (..., samples).
        y: target values, shape (..., samples).

    Returns:
        Non-negative loss a run, shape (...).

    Raises:
        ValueError: if shapes differ or y is not finite.
    """
    require_same_shape(prediction=prediction, y=y)
    require_finite(y=y)
    return ((prediction - y) ** 2).mean(-1)


def coverage_loss(x: torch.Tensor, prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return L_cov = mean_i [-τ log Σ_j exp(-(x_i - x̂_j)²/τ)], a soft squared distance to the nearest prototype.

    Book: chapter "Coverage", equation (coverage).

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons).
        temperature: τ > 0, in units of squared input.

    Returns:
        Loss a run, shape (...): between D - τ log(neurons) and D, with D the mean squared distance
        from a sample to its nearest prototype.

    Raises:
        ValueError: if shapes do not fit, x is not finite or temperature is not above 0.
    """
    require_same_runs(x=x, prototypes=prototypes)
    require_finite(x=x)
    temperature = require_number("temperature", temperature, positive=True)
    return soft_nearest((x.unsqueeze(-1) - prototypes.unsqueeze(-2)) ** 2, temperature).mean(-1)


def chamfer_loss(x: torch.Tensor, prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return L_cha = L_cov + mean_j [-τ log Σ_i exp(-(x_i - x̂_j)²/τ)]: coverage and its mirror image, a soft Chamfer.

    The second term pulls each prototype to its soft-nearest sample, however far it is. Of equal samples or prototypes
    each counts, as in coverage.
    Book: chapter "A compatible attractor", equation (chamfer).

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons).
        temperature: τ > 0, in units of squared input.

    Returns:
        Loss a run, shape (...): the sum of two soft mean squared distances to a nearest partner.

    Raises:
        ValueError: if shapes do not fit, x is not finite or temperature is not above 0.
    """
    require_same_runs(x=x, prototypes=prototypes)
    require_finite(x=x)
    temperature = require_number("temperature", temperature, positive=True)
    squared = (x.unsqueeze(-1) - prototypes.unsqueeze(-2)) ** 2
    return soft_nearest(squared, temperature).mean(-1) + soft_nearest_from_afar(squared.mT, temperature).mean(-1)


def transport_loss(x: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """Return L_tra = min over matchings π of mean_i (x_i - x̂_π(i))², the squared distance of optimal transport.

    On the line the k-th smallest sample is matched with the k-th smallest prototype. Of equal prototypes (or samples)
    the earlier one takes the earlier place: the loss does not depend on that choice, and its gradient is that of the
    matching chosen, one of the loss's generalised gradients there.
    Book: chapter "A compatible attractor", equation (transport).

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons) with neurons = samples.

    Returns:
        Loss a run, in units of squared input, shape (...); 0 exactly where prototypes are the samples in some order.

    Raises:
        ValueError: if shapes differ or x is not finite.
    """
    require_same_shape(x=x, prototypes=prototypes)
    require_finite(x=x)
    samples, positions = (torch.sort(values, dim=-1, stable=True).values for values in (x, prototypes))
    return ((samples - positions) ** 2).mean(-1)


def soft_nearest(squared: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return -τ log Σ_k exp(-d_k²/τ) over the last axis, a soft minimum of squared distances.

    Book: chapter "Coverage", equation (coverage).

    Args:
        squared: squared distances d², shape (..., candidates).
        temperature: τ > 0, in their units.

    Returns:
        Soft minimum, shape (...): between the minimum less τ log(candidates) and the minimum.
    """
    return -temperature * torch.logsumexp(-squared / temperature, dim=-1)


def soft_nearest_from_afar(squared: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return what `soft_nearest` does, with the least distance taken off first and added after.

    Of a prototype far from all samples the logarithm of their number is lost beside d²/τ, and with it the sum 1 of
    their weights; a sample always has some prototype near. (Coverage keeps the plain form: its bits are the stored
    runs'.)
    Book: chapter "A compatible attractor", equation (chamfer).

    Args:
        squared: squared distances d², shape (..., candidates).
        temperature: τ > 0, in their units.

    Returns:
        Soft minimum, shape (...).
    """
    least = squared.detach().amin(-1, keepdim=True)  # a constant: the soft minimum of what is left moves along with it
    return least.squeeze(-1) + soft_nearest(squared - least, temperature)


def separation_loss(prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return L_sep = mean over j ≠ k of exp(-(x̂_j - x̂_k)²/τ), a Gaussian repulsion between prototypes.

    Book: chapter "Separation", equation (separation).

    Args:
        prototypes: x̂, shape (..., neurons).
        temperature: τ > 0, in units of squared input.

    Returns:
        Loss a run in [0, 1], shape (...); 0 for a single neuron, which has no pair.

    Raises:
        ValueError: if temperature is not above 0 or there is no neuron.
    """
    require_same_shape(prototypes=prototypes)
    temperature = require_number("temperature", temperature, positive=True)
    neurons = prototypes.shape[-1]
    closeness = torch.exp(-((prototypes.unsqueeze(-1) - prototypes.unsqueeze(-2)) ** 2) / temperature)
    other = 1 - torch.eye(neurons, dtype=prototypes.dtype, device=prototypes.device)
    return (closeness * other).sum((-2, -1)) / max(neurons * (neurons - 1), 1)


def overlap_loss(activations: torch.Tensor) -> torch.Tensor:
    """Return L_ovl = mean over i and j ≠ k of h_ij h_ik, the mean product of two neurons' responses.

    Computed as Σ_{j≠k} h_ij h_ik = (Σ_j h_ij)² - Σ_j h_ij², which costs O(samples · neurons).
    Book: chapter "Overlap", equations (overlap) and (overlap-identity).

    Args:
        activations: responses h, shape (..., samples, neurons).

    Returns:
        Loss a run in [0, 1], shape (...); 0 for a single neuron, which has no pair.

    Raises:
        ValueError: if there are fewer than two dimensions or no neuron.
    """
    require_same_shape(activations=activations)
    if activations.dim() < 2:
        raise ValueError(
            f"shapes: activations {tuple(activations.shape)} was given; allowed is (..., samples, neurons)"
        )
    neurons = activations.shape[-1]
    pairs = activations.sum(-1) ** 2 - (activations**2).sum(-1)
    return pairs.mean(-1) / max(neurons * (neurons - 1), 1)


def total_loss(
    x: torch.Tensor,
    y: torch.Tensor,
    parameters: Parameters,
    mask: str,
    strength: float,
    temperature: float,
    attractor: str = "coverage",
    balance: float = 1.0,
    repulsion: float = 1.0,
) -> torch.Tensor:
    """Return L = L_fit + λ (κ m_cov L_att + ρ (m_sep L_sep + m_ovl L_ovl)).

    Book: chapter "The model and its prototypes", equation (total), where κ = ρ = 1 and L_att is coverage; chapter
    "A compatible attractor", equation (balanced).

    Args:
        x, y: training data, shape (..., samples).
        parameters: w, b, a of shape (..., neurons), c of shape (...).
        mask: one of `MASKS`.
        strength: λ >= 0, one coefficient for all three terms.
        temperature: τ > 0.
        attractor: one of `ATTRACTORS`, the loss that the mask's middle bit switches on.
        balance: κ >= 0, the attractor's part of λ.
        repulsion: ρ >= 0, the repulsions' part of λ.

    Returns:
        Loss a run, shape (...).

    Raises:
        ValueError: if an argument or a shape is not allowed, or data are not finite.
    """
    switches = MASKS[require_choice("mask", mask, MASKS)]
    strength = require_number("strength", strength)
    attractor = require_choice("attractor", attractor, ATTRACTORS)
    balance, repulsion = require_number("balance", balance), require_number("repulsion", repulsion)
    responses = activations(x, parameters.w, parameters.b)
    loss = fit_loss(output(responses, parameters.a, parameters.c), y)
    if switches.overlap:
        loss = loss + strength * repulsion * overlap_loss(responses)
    if switches.coverage or switches.separation:
        positions = prototypes(parameters.w, parameters.b)
        if switches.coverage:
            loss = loss + strength * balance * attraction_loss(attractor, x, positions, temperature)
        if switches.separation:
            loss = loss + strength * repulsion * separation_loss(positions, temperature)
    return loss


def attraction_loss(attractor: str, x: torch.Tensor, prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the attractor's loss by its name.

    Args:
        attractor: one of `ATTRACTORS`.
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons); neurons = samples for transport.
        temperature: τ > 0; transport does not depend on it.

    Returns:
        Loss a run, shape (...).

    Raises:
        ValueError: if an argument or a shape is not allowed, or x is not finite.
    """
    if require_choice("attractor", attractor, ATTRACTORS) == "transport":
        return transport_loss(x, prototypes)
    return {"coverage": coverage_loss, "chamfer": chamfer_loss}[attractor](x, prototypes, temperature)
