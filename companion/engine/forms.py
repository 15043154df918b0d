"""Kernels of the other formulas of the three losses, on the line; `companion.core.forms` has them as equations.

Those of responses add to the gradient of w and b by moments over the samples; those of prototypes, which are sorted,
add to the forces on them, which `companion.engine.line` carries over to w and b.
Book: chapter "Every reading at once", section "What a step costs".
"""

from __future__ import annotations

import math

from numba import njit

from companion.core.forms import SMALLEST_NORM
from companion.engine.cache import OPTIONS
from companion.engine.lanes import (
    FAR,
    GREATEST,
    LOG2_E,
    WIDTH,
    any_at_most,
    fill,
    fma,
    halvings,
    larger,
    load,
    load_one,
    read_constants,
    scale_of,
    smaller,
    square_root,
    store,
    total,
    zero_where_above,
)


@njit(forceinline=True, **OPTIONS)
def add_moments(run, j, moments):
    """Add -Σ_i g_i z_i (x_i, 1) to dL/d(w, b) of eight neurons, with z = w x + b and moments Σ_i g_i (1, x_i, x_i²)."""
    m0, m1, m2 = moments
    columns = run.positions.size
    w, b = load(run.parameters, j), load(run.parameters, columns + j)
    store(run.gradient, j, load(run.gradient, j) - fma(w, m2, b * m1))
    store(run.gradient, columns + j, load(run.gradient, columns + j) - fma(w, m1, b * m0))


# --- of responses ---


@njit(**OPTIONS)
def response_coverage(run, start, stop, factor):
    """Add the gradient of -λ mean_i max_j h_ij for a tile of samples: of each only the largest response's."""
    columns = run.positions.size
    for i in range(stop - start):
        row = i * columns
        best = load(run.responses, row)
        for j in range(WIDTH, columns, WIDTH):
            best = larger(best, load(run.responses, row + j))
        store(run.partial, 0, best)
        peak = run.partial[0]
        for k in range(1, WIDTH):
            peak = max(peak, run.partial[k])
        j = 0
        while j < columns - WIDTH and not any_at_most(fill(peak), load(run.responses, row + j)):
            j += WIDTH
        while j < run.neurons - 1 and not run.responses[row + j] >= peak:
            j += 1
        x = run.x[start + i]
        slope = factor * peak * (run.parameters[j] * x + run.parameters[columns + j])
        run.gradient[j] += slope * x
        run.gradient[columns + j] += slope


@njit(**OPTIONS)
def cosine_overlap(run, factor):
    """Add the gradient of λ Σ_{j≠k} u_j·u_k: dL/dh_j = factor (s - u_j - (s·u_j - u_j·u_j) u_j)/|h_j|, s = Σ_k u_k.

    A neuron whose norm counts as `SMALLEST_NORM` has no part along itself taken off, as its norm is a constant.
    """
    columns, samples = run.positions.size, run.samples
    for j in range(0, columns, WIDTH):
        squares = fill(0.0)
        for i in range(samples):
            h = load(run.responses, i * columns + j)
            squares = fma(h, h, squares)
        store(run.squared, j, squares)
        store(run.force, j, fill(1.0) / larger(square_root(squares), fill(SMALLEST_NORM)))
    for i in range(samples):
        sums = fill(0.0)
        for j in range(0, columns, WIDTH):
            sums = fma(load(run.responses, i * columns + j), load(run.force, j), sums)
        run.row_sum[i] = total(sums)
    for j in range(0, columns, WIDTH):
        inverse, along = load(run.force, j), fill(0.0)
        for i in range(samples):
            u = load(run.responses, i * columns + j) * inverse
            along = fma(fill(run.row_sum[i]) - u, u, along)
        along = zero_where_above(along, fill(SMALLEST_NORM**2), load(run.squared, j))
        m0, m1, m2 = fill(0.0), fill(0.0), fill(0.0)
        for i in range(samples):
            u = load(run.responses, i * columns + j) * inverse
            term = (fill(run.row_sum[i]) - u - along * u) * u  # dL/dh times h, as h/|h| = u
            term_x = term * run.x[i]
            m0, m1, m2 = m0 + term, m1 + term_x, fma(term_x, run.x[i], m2)
        add_moments(run, j, (m0 * factor, m1 * factor, m2 * factor))
    for j in range(run.neurons, columns):  # where no prototype's force will be written, there is none
        run.force[j] = 0.0


@njit(**OPTIONS)
def centre(run):
    """Each neuron's responses less their mean."""
    columns, samples = run.positions.size, run.samples
    for j in range(0, columns, WIDTH):
        sums = fill(0.0)
        for i in range(samples):
            sums = sums + load(run.responses, i * columns + j)
        mean = sums * (1.0 / samples)
        for i in range(samples):
            store(run.centred, i * columns + j, load(run.responses, i * columns + j) - mean)


@njit(**OPTIONS)
def gram_overlap(run, source, factor):
    """Add the gradient of λ Σ_{j≠k} G_jk², G = HᵀH of a source H: dL/dh_ij = factor Σ_{k≠j} h_ik G_kj.

    Of centred responses, which are no more than the responses less a constant each, it is the covariances' gradient:
    their sum over the samples is 0, so that the constants have no part in it.
    """
    _multiply(run, source)
    columns, samples = run.positions.size, run.samples
    for j in range(0, columns, WIDTH):
        m0, m1, m2 = fill(0.0), fill(0.0), fill(0.0)
        for first in range(0, samples, WIDTH):
            _slopes(run, source, first, j)
            for i in range(first, min(first + WIDTH, samples)):
                term = load(run.partial, (i - first) * WIDTH) * load(run.responses, i * columns + j)
                term_x = term * run.x[i]
                m0, m1, m2 = m0 + term, m1 + term_x, fma(term_x, run.x[i], m2)
        add_moments(run, j, (m0 * factor, m1 * factor, m2 * factor))


@njit(**OPTIONS)
def _multiply(run, source):
    """G = HᵀH with zeros on its diagonal: half of it, eight columns against eight at a time, then the other half."""
    columns, samples = run.positions.size, run.samples
    for k in range(0, columns, WIDTH):
        for j in range(k, columns, WIDTH):
            lower, upper = _none(), _none()
            for i in range(samples):
                row = i * columns
                h = load(source, row + j)
                lower = _add_four(h, source, row + k, 1, lower)
                upper = _add_four(h, source, row + k + 4, 1, upper)
            _store_four(run.gram, k * columns + j, columns, lower)
            _store_four(run.gram, (k + 4) * columns + j, columns, upper)
    for k in range(columns):
        run.gram[k * columns + k] = 0.0
        for j in range(k):
            run.gram[k * columns + j] = run.gram[j * columns + k]


@njit(forceinline=True, **OPTIONS)
def _slopes(run, source, i, j):
    """Σ_k h_ik G_kj of eight samples and eight neurons; of rows behind the last sample they mean nothing."""
    columns = run.positions.size
    lower, upper = _none(), _none()
    for k in range(run.neurons):
        g = load(run.gram, k * columns + j)
        lower = _add_four(g, source, i * columns + k, columns, lower)
        upper = _add_four(g, source, (i + 4) * columns + k, columns, upper)
    _store_four(run.partial, 0, WIDTH, lower)
    _store_four(run.partial, 4 * WIDTH, WIDTH, upper)


# Two times four sums at once: a processor that begins two fused multiply-adds a cycle ends each four cycles later.


@njit(forceinline=True, **OPTIONS)
def _none():
    return fill(0.0), fill(0.0), fill(0.0), fill(0.0)


@njit(forceinline=True, **OPTIONS)
def _add_four(lanes, factors, at, step, sums):
    """Add lanes times each of four numbers, which stand a step apart, to one of four sums."""
    s0, s1, s2, s3 = sums
    return (
        fma(lanes, load_one(factors, at), s0),
        fma(lanes, load_one(factors, at + step), s1),
        fma(lanes, load_one(factors, at + 2 * step), s2),
        fma(lanes, load_one(factors, at + 3 * step), s3),
    )


@njit(forceinline=True, **OPTIONS)
def _store_four(array, at, step, sums):
    s0, s1, s2, s3 = sums
    store(array, at, s0)
    store(array, at + step, s1)
    store(array, at + 2 * step, s2)
    store(array, at + 3 * step, s3)


# --- of sorted prototypes ---


@njit(**OPTIONS)
def nearest_coverage(run, strength):
    """Add the force 2 λ/N (x̂ - x_i) of each sample on the prototype nearest to it; of two the lower."""
    base = run.neurons * WIDTH
    for i in range(run.samples):
        k = run.above[i]
        if k > 0 and (run.sorted_positions[k - 1] - run.x[i]) ** 2 <= run.nearest[i]:
            k -= 1
        run.forces[base + k] += 2.0 * strength * run.share[i] * (run.sorted_positions[k] - run.x[i])


@njit(**OPTIONS)
def exponential_separation(run, temperature, factor, table):
    """Add the force -factor Σ_k sign(x̂_j - x̂_k) exp(-|x̂_j - x̂_k|/√τ), in two passes over neighbours.

    From one prototype to the next all that lie behind fade by the same factor, so no pair is visited. Equal ones do not
    push one another: they wait until the next place.
    """
    constants = read_constants(table)
    positions, neurons = run.sorted_positions, run.neurons
    base, scale = neurons * WIDTH, min(LOG2_E / math.sqrt(temperature), GREATEST)
    for j in range(0, run.squared.size, WIDTH):
        gap = load(positions, j + 1) - load(positions, j)
        store(run.squared, j, halvings(larger(gap, fill(0.0)) * scale, constants))
    behind = waiting = 0.0
    for j in range(neurons):
        if j > 0 and positions[j] > positions[j - 1]:
            behind, waiting = (behind + waiting) * run.squared[j - 1], 0.0
        waiting += 1.0
        run.forces[base + j] -= factor * behind
    behind = waiting = 0.0
    for j in range(neurons - 1, -1, -1):
        if j < neurons - 1 and positions[j] < positions[j + 1]:
            behind, waiting = (behind + waiting) * run.squared[j], 0.0
        waiting += 1.0
        run.forces[base + j] += factor * behind


@njit(**OPTIONS)
def cauchy_separation(run, temperature, factor):
    """Add the force -factor Σ_k (x̂_j - x̂_k) q², q = 1/(1 + (x̂_j - x̂_k)²/τ), of all pairs, each visited once."""
    positions, neurons = run.sorted_positions, run.neurons
    inverse, half = min(1.0 / temperature, GREATEST), 0.5 * factor
    for j in range(0, neurons, WIDTH):
        here, push = load(positions, j), fill(0.0)
        behind = min(j + WIDTH, neurons)
        for k in range(j, neurons):
            distance = here - positions[k]
            q = fill(1.0) / (distance * distance * inverse + 1.0)
            # What comes after the last prototype lies `FAR` away, and pushes nothing however large τ is.
            pair = zero_where_above(distance * q * q, here, fill(0.1 * FAR)) * (factor if k >= behind else half)
            push = push + pair
            store(run.forces, k * WIDTH, load(run.forces, k * WIDTH) + pair)
        store(run.forces, neurons * WIDTH + j, load(run.forces, neurons * WIDTH + j) - push)


@njit(**OPTIONS)
def neighbour_separation(run, temperature, factor, table):
    """Add the force -factor (x̂_j - x̂_k) exp(-(x̂_j - x̂_k)²/τ) of each prototype and its nearest one, on both."""
    constants = read_constants(table)
    positions, neurons = run.sorted_positions, run.neurons
    if neurons < 2:
        return
    base, scale = neurons * WIDTH, scale_of(temperature)
    for j in range(neurons):
        lower = j > 0 and (j == neurons - 1 or positions[j] - positions[j - 1] <= positions[j + 1] - positions[j])
        run.closest[j] = j - 1 if lower else j + 1
        run.squared[j] = (positions[j] - positions[run.closest[j]]) ** 2
    for j in range(0, run.squared.size, WIDTH):
        store(run.squared, j, halvings(load(run.squared, j) * scale, constants))
    for j in range(neurons):
        k = run.closest[j]
        push = factor * (positions[j] - positions[k]) * run.squared[j]
        run.forces[base + j] -= push
        run.forces[base + k] += push


@njit(forceinline=True, **OPTIONS)
def assigned_part(distance, spread, temperature):
    """Return 1 - (d² - D)/τ, by which the slope of a soft assignment's mean squared distance D differs from 2 p d."""
    excess = (distance * distance - spread) * min(1.0 / temperature, GREATEST)
    return fill(1.0) - smaller(larger(excess, fill(-GREATEST)), fill(GREATEST))  # times a weight of 0 it has to be 0
