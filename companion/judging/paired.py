"""Comparisons of two paired samples: which tends to be lower, by how much, and how surely.

Masks of one seed share data and initial weights, so they are compared seed by seed. All functions take any leading
dimensions, so that thousands of resampled or simulated studies are one call.

The number shown is the median of the differences, so the test is the sign test: it asks for the median and assumes no
shape. Wilcoxon's signed-rank test, which this module had before, asks for the centre of a symmetric distribution; of
the skewed differences of these runs it said what is false far more often than its level allows (chapter "The ledger",
section "How often a false word").
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom, quantile_test
from statsmodels.stats.proportion import proportion_confint

from companion.core.checks import array_of, shown

DECIMALS = 12
"""Decimals to which differences are rounded before they are compared with a gap: 8/9 - ½ and ½ - 1/9 differ in the
last bit, and are the same difference."""


class Interval(NamedTuple):
    """An estimate and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@np.errstate(all="ignore")
def _differences(low: ArrayLike, high: ArrayLike, gap: ArrayLike = 0.0) -> np.ndarray:
    """Return `low` - `high` - `gap` of paired samples, rounded, shape (..., seeds)."""
    samples, others, gaps = array_of("low", low), array_of("high", high), array_of("gap", gap)
    try:
        fits = samples.ndim and others.shape[-1:] in ((), samples.shape[-1:])
        difference = samples - others - gaps[..., None] if fits else np.empty(0)
    except ValueError:
        difference = np.empty(0)
    if not difference.size:
        raise ValueError(
            f"shapes: low {samples.shape}, high {others.shape}, gap {gaps.shape} were given; allowed are (..., seeds), "
            "the same or one number, and (...)"
        )
    if count := int(np.isnan(difference).sum()):
        raise ValueError(f"differences: {count} of {difference.size} are NaN; allowed are numbers on both sides")
    return np.round(difference, DECIMALS)


def p_less(low: ArrayLike, high: ArrayLike, gap: ArrayLike = 0.0) -> np.ndarray:
    """Return one-sided p-values for "the median of `low` - `high` lies below `gap`".

    The sign test, exact: under the opposite at most half of all seeds lie below the gap, up to chance. A seed at the
    gap, to `DECIMALS` decimals, speaks neither for below nor for above.
    Book: chapter "The ledger", section "How two masks are compared".

    Args:
        low, high: paired samples, shape (..., seeds); `high` may be a number.
        gap: shape (...).

    Returns:
        p-values, shape (...).

    Raises:
        ValueError: if there is no seed, or shapes do not fit.
    """
    difference = _differences(low, high, gap)
    return np.asarray(binom.sf((difference < 0).sum(-1) - 1, difference.shape[-1], 0.5))


def p_within(first: ArrayLike, second: ArrayLike, margin: ArrayLike) -> np.ndarray:
    """Return p-values for "the median of `first` - `second` lies within `margin` of 0": two one-sided tests.

    A large p-value of a test for a difference would show nothing: equivalence has its own test [schuirmann1987].
    Book: chapter "The ledger", section "How two masks are compared".

    Args:
        first, second: paired samples, shape (..., seeds).
        margin: positive, shape (...).

    Returns:
        The larger p-value of the two tests, shape (...).

    Raises:
        ValueError: as `p_less`.
    """
    first, second, margin = array_of("first", first), array_of("second", second), array_of("margin", margin)
    if not (margin > 0).all():
        raise ValueError(f"margin: {shown(margin)} was given; allowed are numbers above 0")
    return np.maximum(p_less(first, second, margin), p_less(second, first, margin))


def holm(p: ArrayLike) -> np.ndarray:
    """Return p-values corrected for their number by Holm's method [holm1979], along the last dimension.

    A test holds it to statsmodels' `multipletests`, which takes one family at a time and 45 ms for each.
    Book: chapter "The ledger", section "How two masks are compared".

    Args:
        p: p-values, shape (..., tests).

    Returns:
        Corrected p-values, shape (..., tests): below α together, they are wrong anywhere with probability α at most.

    Raises:
        ValueError: if p is one number.
    """
    p = array_of("p", p)
    if not p.ndim:
        raise ValueError(f"shapes: p {p.shape} was given; allowed is (..., tests)")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p: {shown(p)} was given; allowed are numbers from 0 to 1")
    order = p.argsort(-1)
    times = np.arange(p.shape[-1], 0, -1)  # the smallest p-value times the number of tests, the next times one less
    corrected = np.minimum(np.maximum.accumulate(np.take_along_axis(p, order, -1) * times, -1), 1.0)
    return np.take_along_axis(corrected, order.argsort(-1), -1)


def superiority(low: ArrayLike, high: ArrayLike, gap: ArrayLike = 0.0) -> np.ndarray:
    """Return the share of seeds in which `low` - `high` lies below `gap`, ties counted half.

    The probability of superiority: ½ says that neither tends to be lower, 1 that `low` is lower in every seed.
    Book: chapter "The ledger", section "How two masks are compared".

    Args:
        low, high: paired samples, shape (..., seeds); `high` may be a number.
        gap: shape (...).

    Returns:
        Shares in [0, 1], shape (...).

    Raises:
        ValueError: as `p_less`.
    """
    difference = _differences(low, high, gap)
    return (difference < 0).mean(-1) + (difference == 0).mean(-1) / 2


def superiority_interval(low: ArrayLike, high: ArrayLike, gap: float = 0.0) -> Interval:
    """Return the probability of superiority with its 95 % Wilson interval; arguments as in `superiority`, one pair."""
    share, seeds = _of_one_pair(superiority(low, high, gap)), _differences(low, high, gap).size
    ends: Any = proportion_confint(share * seeds, seeds, alpha=0.05, method="wilson")
    return Interval(share, float(ends[0]), float(ends[1]))


def _of_one_pair(value: Any) -> float:
    if np.ndim(value):
        raise ValueError(f"shapes: {np.shape(value)} pairs of samples were given; allowed is one, (seeds,)")
    return float(value)


@np.errstate(all="ignore")
def median_difference(low: ArrayLike, high: ArrayLike) -> Interval:
    """Return the median of `low` - `high` with its exact 95 % interval, whose ends are two of the differences.

    The interval holds those medians that the two-sided sign test does not reject, so it lies below a gap where
    `p_less` is at most 2.5 % (if no difference stands at its end twice).
    Book: chapter "The ledger", section "How two masks are compared".

    Args:
        low, high: one pair of samples, shape (seeds,); `high` may be a number.

    Returns:
        Median and the ends of its interval; NaN for the ends of fewer than six seeds, which have none.

    Raises:
        ValueError: as `p_less`, or if there are several pairs.
    """
    difference = _differences(low, high)
    middle = _of_one_pair(np.median(difference, -1))
    ends: Any = quantile_test(difference, p=0.5).confidence_interval(0.95)
    return Interval(middle, float(ends.low), float(ends.high))
