"""The losses: fit, and the structural terms that a mask switches on; two attractors that can take coverage's place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from companion.core.checks import checked_by, require_number, requires, unchecked
from companion.core.forms import COVERAGES, OVERLAPS, SEPARATIONS, Form, mean_over_pairs, pairs
from companion.core.network import (
    GEOMETRIES,
    Geometry,
    Parameters,
    activations,
    output,
    require_batch,
    squared_distances,
)
from companion.core.settings import (
    MASK_NAMES,
    MASKS,
    Attractor,
    CoverageForm,
    Neuron,
    OverlapForm,
    Reduction,
    SeparationForm,
    Settings,
    Switches,
)

__all__ = [
    "MASKS",
    "MASK_NAMES",
    "Switches",
    "mean_over_pairs",
]  # the masks stand with the settings, and are known by this name too


@requires(finite=("y",))
def fit_loss(prediction: Float[Tensor, "*runs samples"], y: Float[Tensor, "*runs samples"]) -> Float[Tensor, "*runs"]:
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
    return ((prediction - y) ** 2).mean(-1)


@requires(finite=("x",), positive=("temperature",))
def coverage_loss(
    x: Float[Tensor, "*runs samples"], prototypes: Float[Tensor, "*runs neurons"], temperature: float
) -> Float[Tensor, "*runs"]:
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
    return soft_nearest((x.unsqueeze(-1) - prototypes.unsqueeze(-2)) ** 2, temperature).mean(-1)


@requires(finite=("x",), positive=("temperature",))
def chamfer_loss(
    x: Float[Tensor, "*runs samples"], prototypes: Float[Tensor, "*runs neurons"], temperature: float
) -> Float[Tensor, "*runs"]:
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
    squared = (x.unsqueeze(-1) - prototypes.unsqueeze(-2)) ** 2
    return soft_nearest(squared, temperature).mean(-1) + soft_nearest_from_afar(squared.mT, temperature).mean(-1)


@requires(finite=("x",))
def transport_loss(
    x: Float[Tensor, "*runs samples"], prototypes: Float[Tensor, "*runs samples"]
) -> Float[Tensor, "*runs"]:
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
    samples, positions = (torch.sort(values, dim=-1, stable=True).values for values in (x, prototypes))
    return ((samples - positions) ** 2).mean(-1)


@requires(positive=("temperature",))
def soft_nearest(squared: Float[Tensor, "*runs candidates"], temperature: float) -> Float[Tensor, "*runs"]:
    """Return -τ log Σ_k exp(-d_k²/τ) over the last axis, a soft minimum of squared distances.

    Book: chapter "Coverage", equation (coverage).

    Args:
        squared: squared distances d², shape (..., candidates).
        temperature: τ > 0, in their units.

    Returns:
        Soft minimum, shape (...): between the minimum less τ log(candidates) and the minimum.

    Raises:
        ValueError: if there is no candidate or temperature is not above 0.
    """
    return -temperature * torch.logsumexp(-squared / temperature, dim=-1)


@requires(positive=("temperature",))
def soft_nearest_from_afar(squared: Float[Tensor, "*runs candidates"], temperature: float) -> Float[Tensor, "*runs"]:
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

    Raises:
        ValueError: as `soft_nearest`.
    """
    least = squared.detach().amin(-1, keepdim=True)  # a constant: the soft minimum of what is left moves along with it
    return least.squeeze(-1) + unchecked(soft_nearest)(squared - least, temperature)


@requires(positive=("temperature",))
def separation_loss(prototypes: Float[Tensor, "*runs neurons"], temperature: float) -> Float[Tensor, "*runs"]:
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
    squared = (prototypes.unsqueeze(-1) - prototypes.unsqueeze(-2)) ** 2
    return mean_over_pairs(torch.exp(-squared / temperature))


@requires()
def overlap_loss(activations: Float[Tensor, "*runs samples neurons"]) -> Float[Tensor, "*runs"]:
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
    neurons = activations.shape[-1]
    products = activations.sum(-1) ** 2 - (activations**2).sum(-1)
    return products.mean(-1) / pairs(neurons)


@requires(finite=("x",))
def matched_loss(
    x: Float[Tensor, "*runs samples d"], prototypes: Float[Tensor, "*runs samples d"]
) -> Float[Tensor, "*runs"]:
    """Return transport in d dimensions: L_tra = min over matchings π of mean_i |x_i - x̂_π(i)|².

    On the line it sorts; in more dimensions the matching is the Hungarian one of the squared distances. Its gradient is
    that at the matching, where several are optimal that of the one found.
    Book: chapter "More dimensions, other densities", equation (space-losses).

    Args:
        x: training inputs, shape (..., samples, d).
        prototypes: x̂, shape (..., neurons, d) with neurons = samples.

    Returns:
        Loss a run, in units of squared input, shape (...).

    Raises:
        ValueError: if shapes differ or x is not finite.
    """
    if x.shape[-1] == 1:
        return unchecked(transport_loss)(x.squeeze(-1), prototypes.squeeze(-1))
    squared = unchecked(squared_distances)(x, prototypes)
    flat = squared.detach().cpu().reshape(-1, *squared.shape[-2:])
    matching = torch.from_numpy(np.array([_optimal(run) for run in flat], np.int64)).reshape(squared.shape[:-1])
    return squared.gather(-1, matching.to(x.device).unsqueeze(-1)).squeeze(-1).mean(-1)


def _optimal(squared: Tensor) -> np.ndarray:
    """Return one run's matching; a run that is lost to overflow keeps any, its loss is no number either way."""
    if not squared.isfinite().all():
        return np.arange(len(squared))
    return linear_sum_assignment(squared.double().numpy())[1]


COVERAGES[CoverageForm.SOFT_MINIMUM] = Form(
    lambda x, prototypes, responses, temperature: unchecked(coverage_loss)(x, prototypes, temperature),
    terms=lambda samples, neurons: samples,
)
SEPARATIONS[SeparationForm.GAUSSIAN] = Form(unchecked(separation_loss), terms=lambda samples, neurons: pairs(neurons))
OVERLAPS[OverlapForm.PRODUCT] = Form(unchecked(overlap_loss), terms=lambda samples, neurons: samples * pairs(neurons))


# --- their sum ---


class Units(NamedTuple):
    """What λ counts for each structural loss: a number, or one a run, shape (...)."""

    overlap: Tensor | float
    coverage: Tensor | float
    separation: Tensor | float


MEANS = Units(1.0, 1.0, 1.0)
"""λ as it is: each structural loss is a mean."""


def counts(settings: Settings, samples: int, neurons: int) -> Units:
    """Return by what a structural loss, which is a mean, is multiplied: 1, or under the reduction "sum" its terms.

    Book: chapter "Every reading at once", equation (units).
    """
    if settings.reduction == Reduction.MEAN:
        return MEANS
    chosen = OVERLAPS[settings.overlap_form], COVERAGES[settings.coverage_form], SEPARATIONS[settings.separation_form]
    return Units(*(float(form.terms(samples, neurons)) for form in chosen))


def units(x: Tensor, y: Tensor, start: Parameters, settings: Settings) -> Units:
    """Return what λ counts for each structural loss in trainings from these starts.

    `counts`; and where the settings are matched, also the ratio of the norms of two gradients at the start, the fit's
    over that of the structural loss (with `SMALLEST_GRADIENT` added to it: a loss may have none there).
    Book: chapter "Every reading at once", equation (units).

    Args: as of `total_loss`, with the parameters where training starts.

    Returns:
        Numbers; tensors of shape (...) where the settings are matched.
    """
    of_means = counts(settings, x.shape[-1 if settings.neuron == Neuron.LINE else -2], start.a.shape[-1])
    if not settings.matched:
        return of_means
    with torch.inference_mode(False), torch.enable_grad():
        x, y = x.detach().clone(), y.detach().clone()
        leaves = Parameters(*(value.detach().clone().requires_grad_() for value in start))
        fit, structural = _losses(x, y, leaves, settings.but(mask="111"))
        norms = [_gradient_norm(loss, leaves) for loss in (fit, *structural)]
    return Units(
        *(
            count * norms[0] / (count * norm + SMALLEST_GRADIENT)
            for count, norm in zip(of_means, norms[1:], strict=True)
        )
    )


SMALLEST_GRADIENT = 1e-8
"""Added to the norm of a structural loss's gradient before it divides the fit's."""


def _gradient_norm(loss: Tensor | float, leaves: Parameters) -> Tensor:
    """The norm of each run's gradient, shape (...)."""
    assert isinstance(loss, Tensor)
    parts = torch.autograd.grad(loss.sum(), leaves, retain_graph=True, materialize_grads=True)
    squares = [(part.reshape(*loss.shape, -1) ** 2).sum(-1) for part in parts]
    return torch.stack(squares).sum(0).sqrt()


def _losses(x: Tensor, y: Tensor, parameters: Parameters, settings: Settings) -> tuple[Tensor, Units]:
    """The fit, and the structural losses; 0 where the mask has one off."""
    geometry, switches = GEOMETRIES[settings.neuron], MASKS[settings.mask]
    w, b, a, c = parameters
    on_the_line = settings.neuron == Neuron.LINE
    responses = unchecked(activations)(x, w, b, settings.activation) if on_the_line else geometry.respond(x, w, b)
    fit = unchecked(fit_loss)(unchecked(output)(responses, a, c), y)
    overlap = OVERLAPS[settings.overlap_form].loss(responses) if switches.overlap else 0.0
    if not (switches.coverage or switches.separation):
        return fit, Units(overlap, 0.0, 0.0)
    positions = geometry.peak(w, b, x)
    attraction = _attraction(geometry, settings, x, positions, responses) if switches.coverage else 0.0
    return fit, Units(overlap, attraction, _separation(geometry, settings, positions) if switches.separation else 0.0)


def _trainable(x: Tensor, y: Tensor, parameters: Parameters, settings: Settings, repulsion: float = 1.0) -> None:
    require_batch(x, y, parameters, settings)
    require_number("repulsion", repulsion)


@checked_by(_trainable)
def total_loss(
    x: Tensor, y: Tensor, parameters: Parameters, settings: Settings, repulsion: float = 1.0
) -> Float[Tensor, "*runs"]:
    """Return L = L_fit + λ (κ m_cov L_att + ρ (m_sep L_sep + m_ovl L_ovl)).

    Book: chapter "The model and its prototypes", equation (total), where κ = ρ = 1 and L_att is coverage; chapter
    "A compatible attractor", equation (balanced); chapter "More dimensions, other densities", equation (space-losses).

    Args:
        x, y: training data, x of shape (..., samples), or (..., samples, d) for a neuron that is not on the line.
        parameters: of the shapes that `companion.core.network.starting_batch` gives them.
        settings: whose mask, λ, τ, κ, attractor, neuron and formulas are taken; matched, as if training started here.
        repulsion: ρ >= 0, the repulsions' part of λ.

    Returns:
        Loss a run, shape (...).

    Raises:
        ValueError: if a type or shape is not allowed, or a value is not finite.
    """
    return weighed_loss(x, y, parameters, settings, repulsion, units(x, y, parameters, settings))


def weighed_loss(
    x: Tensor, y: Tensor, parameters: Parameters, settings: Settings, repulsion: float, weighed: Units
) -> Float[Tensor, "*runs"]:
    """Return `total_loss` without its checks, with what λ counts for each structural loss taken from elsewhere.

    Args: as of `total_loss`; and the `units` of the start.
    """
    loss, structural = _losses(x, y, parameters, settings)
    repulsive, attractive = settings.strength * repulsion, settings.strength * settings.balance
    for on, weight, unit, term in zip(
        MASKS[settings.mask], (repulsive, attractive, repulsive), weighed, structural, strict=True
    ):
        if on:
            loss = loss + weight * unit * term
    return loss


def _separation(geometry: Geometry, settings: Settings, positions: Tensor) -> Tensor:
    """The separation; its nominal form is the same in d dimensions as on the line, with distances there."""
    if settings.separation_form != SeparationForm.GAUSSIAN:
        return SEPARATIONS[settings.separation_form].loss(positions, settings.temperature)
    squared = geometry.squared_distances(positions, positions)
    return unchecked(mean_over_pairs)(torch.exp(-squared / settings.temperature))


def _attraction(geometry: Geometry, settings: Settings, x: Tensor, positions: Tensor, responses: Tensor) -> Tensor:
    """The attractor's loss; of coverage and Chamfer the same as on the line, with distances in d dimensions."""
    if settings.attractor == Attractor.TRANSPORT:
        matched = transport_loss if settings.neuron == Neuron.LINE else matched_loss
        return unchecked(matched)(x, positions)
    if settings.attractor == Attractor.COVERAGE and settings.coverage_form != CoverageForm.SOFT_MINIMUM:
        return COVERAGES[settings.coverage_form].loss(x, positions, responses, settings.temperature)
    squared = geometry.squared_distances(x, positions)
    loss = unchecked(soft_nearest)(squared, settings.temperature).mean(-1)
    if settings.attractor == Attractor.CHAMFER:
        loss = loss + unchecked(soft_nearest_from_afar)(squared.mT, settings.temperature).mean(-1)
    return loss
