"""Entropic transport, the usual fast stand-in for the exact matching, beside it: its value and its pull."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import ot
import torch

from companion.core.checks import require_number, require_same_shape
from companion.core.space import space_transport


class Transport(NamedTuple):
    """A transport cost of one run, and its gradient with respect to the prototypes, shape (neurons, d)."""

    value: float
    gradient: np.ndarray


def exact_transport(x: np.ndarray, prototypes: np.ndarray) -> Transport:
    """Return the squared distance under the optimal matching, with its gradient.

    Book: chapter "More dimensions, other densities", equation (space-losses).

    Args:
        x: samples, shape (samples, d).
        prototypes: shape (samples, d).
    """
    positions = torch.tensor(prototypes, requires_grad=True)
    loss = space_transport(torch.as_tensor(x), positions)
    loss.backward()
    return Transport(float(loss.detach()), positions.grad.numpy())


def entropic_transport(x: np.ndarray, prototypes: np.ndarray, regularisation: float) -> Transport:
    """Return Σ_ij P_ij |x_i - x̂_j|² of Sinkhorn's plan P, with the gradient at that plan.

    P minimises Σ_ij P_ij (|x_i - x̂_j|² + ε log P_ij) among plans whose rows and columns each add up to 1/N.
    Book: chapter "More dimensions, other densities", equation (sinkhorn).

    Args:
        x: samples, shape (samples, d).
        prototypes: shape (samples, d).
        regularisation: ε > 0, in units of squared input.

    Raises:
        ValueError: if shapes differ or the regularisation is not above 0.
    """
    require_same_shape(x=x, prototypes=prototypes)
    regularisation = require_number("regularisation", regularisation, positive=True)
    costs, weights = ot.dist(x, prototypes), np.full(len(x), 1 / len(x))
    plan = ot.sinkhorn(weights, weights, costs, regularisation, method="sinkhorn_log", numItermax=10_000, warn=False)
    return Transport(float((plan * costs).sum()), 2 * (prototypes * plan.sum(0)[:, None] - plan.T @ x))


def alignment(one: Transport, other: Transport) -> float:
    """Return the cosine of the angle between two transports' gradients.

    Book: chapter "More dimensions, other densities", section "Entropic transport".
    """
    size = np.linalg.norm(one.gradient) * np.linalg.norm(other.gradient)
    return float((one.gradient * other.gradient).sum() / size)
