"""How far separation reaches, how much room it asks for, and what its strength changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import lambertw


def pair_force(distance: ArrayLike, size: int, temperature: float) -> np.ndarray:
    """Return the force of L_sep between two of N prototypes, 4 d e^(-d²/τ) / (N (N - 1) τ).

    Book: chapter "Crowding", equation (pair-force).

    Args:
        distance: d >= 0, shape (...), in units of the input.
        size: N, at least 2.
        temperature: τ > 0, in units of squared input.

    Returns:
        Loss per unit of input, shape (...); positive pushes apart.
    """
    distance = np.asarray(distance, float)
    return 4 * distance * np.exp(-(distance**2) / temperature) / (size * (size - 1) * temperature)


def peak_force(size: int, temperature: float) -> float:
    """Return the greatest force between two of N prototypes, 2 √(2/e) / (N (N - 1) √τ), reached at d = √(τ/2).

    Book: chapter "Crowding", equation (peak-force).

    Args:
        size: N, at least 2.
        temperature: τ > 0, in units of squared input.
    """
    return float(2 * np.sqrt(2 / np.e) / (size * (size - 1) * np.sqrt(temperature)))


def share_of_peak(reaches: ArrayLike) -> np.ndarray:
    """Return the force at distance k √τ over its peak, √2 k e^(1/2 - k²); `reaches` is k, shape (...).

    Book: chapter "Crowding", equation (share-of-peak).
    """
    reaches = np.asarray(reaches, float)
    return np.sqrt(2) * reaches * np.exp(0.5 - reaches**2)


def greatest_net_force(spacing: float, size: int, temperature: float) -> float:
    """Return a bound on the net force on any of N prototypes that are pairwise at least D apart, Σ_k f(kD).

    Book: chapter "Crowding", equation (net-force).

    Args:
        spacing: D >= √(τ/2), in units of the input.
        size: N, at least 2.
        temperature: τ > 0, in units of squared input.

    Returns:
        The sum over k = 1 … N - 1 of the pair force at kD; the first of N equally spaced prototypes feels just this.

    Raises:
        ValueError: if spacing is below √(τ/2), where the pair force still rises.
    """
    if spacing**2 < temperature / 2 * (1 - 1e-12):
        raise ValueError(f"spacing: {spacing!r} was given; allowed is at least {np.sqrt(temperature / 2):.6g}, √(τ/2)")
    return float(pair_force(spacing * np.arange(1, size), size, temperature).sum())


def force_at_even_spacing(crowding: float) -> float:
    """Return G(u) = (4/u) Σ_{k>=1} k e^(-k²/u): N - 1 times the bound on the net force at spacing 1/N.

    Book: chapter "Crowding", equation (even-spacing).

    Args:
        crowding: u = τN², above 0.
    """
    k = np.arange(1, int(30 * np.sqrt(crowding)) + 30)  # what is left out is below e^-900
    return float(4 / crowding * (k * np.exp(-(k**2) / crowding)).sum())


def least_repulsion(size: int, room: float, temperature: float) -> float:
    """Return the least L_sep that N prototypes in an interval of length S can have by counting cells.

    Book: chapter "Crowding", equation (least-repulsion).

    Args:
        size: N, at least 2.
        room: S > 0, in units of the input.
        temperature: τ > 0, in units of squared input.

    Returns:
        (N/n - 1) / (e (N - 1)) with n = ⌈S/√τ⌉ cells, or 0 where that is negative.
    """
    cells = np.ceil(room / np.sqrt(temperature))
    return float(max((size / cells - 1) / (np.e * (size - 1)), 0.0))


def room_needed(size: int, repulsion: float, temperature: float) -> float:
    """Return the length that N prototypes whose L_sep is at most ε must exceed, √τ (N / (1 + eε(N - 1)) - 1).

    Book: chapter "Crowding", equation (room).

    Args:
        size: N, at least 2.
        repulsion: ε >= 0.
        temperature: τ > 0, in units of squared input.
    """
    return float(np.sqrt(temperature) * (size / (1 + np.e * repulsion * (size - 1)) - 1))


def reach(resistance: ArrayLike, size: int, temperature: float, strength: float = 1.0) -> np.ndarray:
    """Return the distance beyond which separation's force between two prototypes is below a resistance.

    Book: chapter "Crowding", equation (reach).

    Args:
        resistance: F > 0, in units of loss per unit of input, shape (...).
        size: N, at least 2.
        temperature: τ > 0, in units of squared input.
        strength: λ > 0.

    Returns:
        The d >= √(τ/2) with λ f(d) = F, by Lambert's W on its branch -1, shape (...); NaN where F is above λ times
        the peak force, so that separation overcomes it at no distance.
    """
    level = np.asarray(resistance, float) * size * (size - 1) * np.sqrt(temperature) / (4 * strength)
    with np.errstate(invalid="ignore"):
        squared = -lambertw(np.where(2 * np.e * level**2 <= 1, -2 * level**2, np.nan), -1).real / 2
        return np.sqrt(temperature * squared)


def winning_strength(size: int, temperature: float, fit: ArrayLike, weights: ArrayLike) -> np.ndarray:
    """Return the λ above which separation's peak is beyond any force of the fit, N (N - 1) √τ |w_j a_j| √L_fit.

    Book: chapter "Crowding", equation (winning).

    Args:
        size: N, at least 2.
        temperature: τ > 0, in units of squared input.
        fit: L_fit, shape (...).
        weights: the product w_j a_j of a neuron, shape (...).

    Returns:
        Strengths, shape (...).
    """
    return size * (size - 1) * np.sqrt(temperature) * np.abs(weights) * np.sqrt(fit)
