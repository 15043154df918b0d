"""Other formulas that a reader of the paper could have taken for its three losses, and what λ counts for each.

Each is one function, named beside the level of `companion.core.settings` that chooses it; the nominal ones stand in
`companion.core.losses`. Book: chapter "Every reading at once", section "The forms".
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from companion.core.checks import requires, unchecked
from companion.core.settings import CoverageForm, OverlapForm, SeparationForm

SMALLEST_NORM = 1e-8
"""Least norm that a cosine divides by, as PyTorch's cosine similarity has it: a neuron that hardly responds has one."""


class Form(NamedTuple):
    """A formula: the loss, without checks; and how many terms its mean is over, from numbers of samples and neurons."""

    loss: Callable[..., Tensor]
    terms: Callable[[int, int], int]


COVERAGES: dict[CoverageForm, Form] = {}
"""Forms of coverage, each of samples x, prototypes x̂, responses h and τ."""
SEPARATIONS: dict[SeparationForm, Form] = {}
"""Forms of separation, each of prototypes x̂ and τ."""
OVERLAPS: dict[OverlapForm, Form] = {}
"""Forms of overlap, each of responses h."""


def form(
    table: dict[Any, Form], level: StrEnum, terms: Callable[[int, int], int]
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Return what names a function as the form that a level of the settings stands for."""

    def named(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        table[level] = Form(function, terms)
        return function

    return named


def pairs(neurons: int) -> int:
    """Return the number of ordered pairs j ≠ k; 1 for a single neuron, whose sum over them is 0."""
    return max(neurons * (neurons - 1), 1)


@requires()
def mean_over_pairs(closeness: Float[Tensor, "*runs neurons neurons"]) -> Float[Tensor, "*runs"]:
    """Return the mean of a matrix's entries off its diagonal, shape (...); 0 for a single neuron, which has no pair."""
    neurons = closeness.shape[-1]
    other = 1 - torch.eye(neurons, dtype=closeness.dtype, device=closeness.device)
    return (closeness * other).sum((-2, -1)) / pairs(neurons)


# --- coverage ---


@form(COVERAGES, CoverageForm.NEAREST, terms=lambda samples, neurons: samples)
def nearest_coverage(
    x: Float[Tensor, "*runs samples"],
    prototypes: Float[Tensor, "*runs neurons"],
    responses: Float[Tensor, "*runs samples neurons"],
    temperature: float,
) -> Float[Tensor, "*runs"]:
    """Return mean_i min_j (x_i - x̂_j)², soft-minimum coverage at τ = 0.

    Book: chapter "Every reading at once", equation (coverages).

    Args:
        x: samples, shape (..., samples).
        prototypes: x̂, shape (..., neurons).
        responses: h, shape (..., samples, neurons); not used.
        temperature: τ; not used.

    Returns:
        Loss a run, at least 0, in units of squared input, shape (...). Of prototypes equally near one is pulled.
    """
    return ((x.unsqueeze(-1) - prototypes.unsqueeze(-2)) ** 2).min(-1).values.mean(-1)


@form(COVERAGES, CoverageForm.RESPONSE, terms=lambda samples, neurons: samples)
def response_coverage(
    x: Float[Tensor, "*runs samples"],
    prototypes: Float[Tensor, "*runs neurons"],
    responses: Float[Tensor, "*runs samples neurons"],
    temperature: float,
) -> Float[Tensor, "*runs"]:
    """Return 1 - mean_i max_j h_ij: each sample should have a neuron that responds to it.

    It is the one form that a neuron can lower by growing wide, its prototype where it is.
    Book: chapter "Every reading at once", equation (coverages).

    Args: as of `nearest_coverage`; only the responses are used.

    Returns:
        Loss a run in [0, 1], shape (...). Of neurons that respond alike one is pulled.
    """
    return (1 - responses.max(-1).values).mean(-1)


@form(COVERAGES, CoverageForm.SOFT_ASSIGNMENT, terms=lambda samples, neurons: samples)
def assigned_coverage(
    x: Float[Tensor, "*runs samples"],
    prototypes: Float[Tensor, "*runs neurons"],
    responses: Float[Tensor, "*runs samples neurons"],
    temperature: float,
) -> Float[Tensor, "*runs"]:
    """Return mean_i Σ_j p_ij (x_i - x̂_j)², with p_ij ∝ exp(-(x_i - x̂_j)²/τ) and Σ_j p_ij = 1.

    A mean of squared distances, where the nominal form is a soft minimum of them; as τ goes to 0 both are the least.
    Book: chapter "Every reading at once", equation (coverages).

    Args: as of `nearest_coverage`; the responses are not used.

    Returns:
        Loss a run, at least 0, in units of squared input, shape (...).
    """
    squared = (x.unsqueeze(-1) - prototypes.unsqueeze(-2)) ** 2
    return (torch.softmax(-squared / temperature, -1) * squared).sum(-1).mean(-1)


# --- separation ---


@form(SEPARATIONS, SeparationForm.EXPONENTIAL, terms=lambda samples, neurons: pairs(neurons))
def exponential_separation(prototypes: Float[Tensor, "*runs neurons"], temperature: float) -> Float[Tensor, "*runs"]:
    """Return mean over j ≠ k of exp(-|x̂_j - x̂_k|/√τ): it pushes hardest where two prototypes meet.

    Book: chapter "Every reading at once", equation (separations).

    Args:
        prototypes: x̂, shape (..., neurons).
        temperature: τ > 0, in units of squared input.

    Returns:
        Loss a run in [0, 1], shape (...); 0 for a single neuron. Equal prototypes do not push one another.
    """
    distance = (prototypes.unsqueeze(-1) - prototypes.unsqueeze(-2)).abs()
    return unchecked(mean_over_pairs)(torch.exp(-distance / temperature**0.5))


@form(SEPARATIONS, SeparationForm.CAUCHY, terms=lambda samples, neurons: pairs(neurons))
def cauchy_separation(prototypes: Float[Tensor, "*runs neurons"], temperature: float) -> Float[Tensor, "*runs"]:
    """Return mean over j ≠ k of 1/(1 + (x̂_j - x̂_k)²/τ): far away its push falls by the cube of the distance only.

    Book: chapter "Every reading at once", equation (separations).

    Args and Returns: as of `exponential_separation`.
    """
    squared = (prototypes.unsqueeze(-1) - prototypes.unsqueeze(-2)) ** 2
    return unchecked(mean_over_pairs)(1 / (1 + squared / temperature))


@form(SEPARATIONS, SeparationForm.NEIGHBOUR, terms=lambda samples, neurons: neurons)
def neighbour_separation(prototypes: Float[Tensor, "*runs neurons"], temperature: float) -> Float[Tensor, "*runs"]:
    """Return mean over j of exp(-min over k ≠ j of (x̂_j - x̂_k)²/τ): only the nearest neighbour pushes.

    Book: chapter "Every reading at once", equation (separations).

    Args and Returns: as of `exponential_separation`; of neighbours equally near one counts.
    """
    squared = (prototypes.unsqueeze(-1) - prototypes.unsqueeze(-2)) ** 2
    itself = torch.eye(prototypes.shape[-1], dtype=torch.bool, device=prototypes.device)
    return torch.exp(-squared.masked_fill(itself, torch.inf).min(-1).values / temperature).mean(-1)


# --- overlap ---


@form(OVERLAPS, OverlapForm.COSINE, terms=lambda samples, neurons: pairs(neurons))
def cosine_overlap(responses: Float[Tensor, "*runs samples neurons"]) -> Float[Tensor, "*runs"]:
    """Return mean over j ≠ k of h_j·h_k / (|h_j| |h_k|), with h_j neuron j's responses to all samples.

    Computed as |Σ_j u_j|² - Σ_j |u_j|², with u_j = h_j/|h_j|. A norm counts as at least `SMALLEST_NORM`.
    Book: chapter "Every reading at once", equation (overlaps).

    Args:
        responses: h, shape (..., samples, neurons).

    Returns:
        Loss a run in [0, 1], shape (...); 0 for a single neuron.
    """
    norms = torch.linalg.vector_norm(responses, dim=-2, keepdim=True).clamp(min=SMALLEST_NORM)
    unit = responses / norms
    return (unit.sum(-1) ** 2 - (unit**2).sum(-1)).sum(-1) / pairs(responses.shape[-1])


@form(OVERLAPS, OverlapForm.GRAM, terms=lambda samples, neurons: pairs(neurons) * samples**2)
def gram_overlap(responses: Float[Tensor, "*runs samples neurons"]) -> Float[Tensor, "*runs"]:
    """Return mean over j ≠ k of G_jk², with G_jk = mean_i h_ij h_ik.

    Where sums stand for means, G is a sum over samples, too.
    Book: chapter "Every reading at once", equation (overlaps).

    Args and Returns: as of `cosine_overlap`.
    """
    return unchecked(mean_over_pairs)((responses.mT @ responses / responses.shape[-2]) ** 2)


@form(OVERLAPS, OverlapForm.COVARIANCE, terms=lambda samples, neurons: pairs(neurons))
def covariance_overlap(responses: Float[Tensor, "*runs samples neurons"]) -> Float[Tensor, "*runs"]:
    """Return mean over j ≠ k of C_jk², with C_jk the covariance of two neurons' responses over the samples.

    Source: Cogswell et al. 2016, whose loss is the half of the sum over pairs.
    Book: chapter "Every reading at once", equation (overlaps).

    Args and Returns: as of `cosine_overlap`, but in [0, 1/16]. C is a mean over samples, whatever the reduction.
    """
    centred = responses - responses.mean(-2, keepdim=True)
    return unchecked(mean_over_pairs)((centred.mT @ centred / responses.shape[-2]) ** 2)
