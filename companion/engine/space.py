"""Kernels in d dimensions: the gradient of one run of radial or ridge neurons, eight neurons at a time.

Distances are dense, N × N: in several dimensions no order of the prototypes tells which are near. What is far is
skipped where its term is 0 in float64.
Book: chapter "How fast, and how it survives".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.optimize import linear_sum_assignment

from companion.engine.cache import OPTIONS, SOURCE, kept_on_disk
from companion.engine.lanes import (
    FAR,
    GREATEST,
    LOG2_E,
    NOTHING,
    TILE_ENTRIES,
    WIDTH,
    any_at_most,
    any_below,
    fill,
    fma,
    halvings,
    load,
    padded,
    read_constants,
    scale_of,
    smaller,
    spread,
    store,
    total,
)
from companion.engine.steps import CHAMFER, TRANSPORT, Terms, take_step

GROUP = 4
"""Points taken at once against eight neurons, so that each number of a neuron is read once for all four."""
LARGEST = 1e290
"""Cap of a cost that is matched: sums of such numbers are finite."""


@njit(forceinline=True, **OPTIONS)
def _store_four(array, place, stride, values):
    v0, v1, v2, v3 = values
    store(array, place, v0)
    store(array, place + stride, v1)
    store(array, place + 2 * stride, v2)
    store(array, place + 3 * stride, v3)


@njit(forceinline=True, **OPTIONS)
def _load_four(array, place, stride):
    return (
        load(array, place), load(array, place + stride), load(array, place + 2 * stride),
        load(array, place + 3 * stride),
    )  # fmt: skip


# --- one run ---


class Workspace(NamedTuple):
    """One run's data, state and scratch space; samples and neurons are padded to multiples of WIDTH.

    Parameters, their gradient and Adam's two moments are flat: w (d rows of padded neurons), b (d rows, or one for
    ridge neurons), a (one row), then c in eight places. Points are in rows of d numbers; prototypes in both ways.
    """

    samples: int
    neurons: int
    dimension: int
    ridge: bool
    tile: int
    x: np.ndarray  # points; padding repeats the last
    x_squared: np.ndarray
    y: np.ndarray
    mean_x: np.ndarray
    parameters: np.ndarray
    gradient: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    responses: np.ndarray  # of a tile: eight neurons, all samples; then the next eight
    arguments: np.ndarray  # z of ridge neurons, in the same places
    partial: np.ndarray  # f and s of a tile's samples, in lanes to be summed
    residual: np.ndarray
    row_sum: np.ndarray
    positions: np.ndarray  # prototypes, d rows of neurons
    points: np.ndarray  # prototypes, rows of d numbers
    strip: np.ndarray  # squared distances, then weights: four points to all neurons, or all samples to eight neurons
    nearest: np.ndarray
    touched: np.ndarray  # places in the strip whose weights are not all 0
    share: np.ndarray  # 1 / neurons; 0 in the padding
    force: np.ndarray  # dL/dx̂, d rows of neurons
    cost: np.ndarray  # for transport: squared distances, (samples, neurons), less each neuron's smallest
    matching: np.ndarray  # the neuron of each sample
    price: np.ndarray  # of each neuron: prices that no exchange can undercut confirm the matching


def new_run(x: np.ndarray, y: np.ndarray, parameters: Sequence[np.ndarray], terms: Terms) -> Workspace:
    """Return a run at the start of its training: x (samples, d), y (samples,), w (neurons, d), b of w's shape for
    radial neurons and (neurons,) for ridge, a (neurons,) and c."""
    w, b, a, c = parameters
    (samples, dimension), neurons = x.shape, len(w)
    rows, columns = padded(samples), padded(neurons)
    ridge = b.ndim == 1
    # Padding neurons respond to nothing: w = 1, b = FAR puts their prototypes too far to be felt or to feel.
    pad = {"pad_width": ((0, 0), (0, columns - neurons))}
    flat = np.concatenate([
        np.pad(w.T, **pad, constant_values=1.0).ravel(),
        np.pad(np.atleast_2d(b.T), **pad, constant_values=FAR).ravel(),
        np.pad(a, (0, columns - neurons)),
        [c],
        np.zeros(WIDTH - 1),
    ])  # fmt: skip
    tile = min(rows, max(1, TILE_ENTRIES // columns // WIDTH) * WIDTH)
    points = np.ascontiguousarray(np.pad(x, ((0, rows - samples), (0, 0)), mode="edge")).ravel()
    share = np.zeros(columns)
    share[:neurons] = 1 / neurons
    return Workspace(
        samples=samples,
        neurons=neurons,
        dimension=dimension,
        ridge=ridge,
        tile=tile,
        x=points,
        x_squared=points * points,
        y=np.ascontiguousarray(y),
        mean_x=x.mean(0),
        parameters=flat,
        gradient=np.zeros(flat.size),
        mean=np.zeros(flat.size),
        square=np.zeros(flat.size),
        responses=np.zeros(tile * columns),
        arguments=np.zeros(tile * columns if ridge else 0),
        partial=np.zeros(2 * tile * WIDTH),
        residual=np.zeros(tile),
        row_sum=np.zeros(tile),
        positions=np.zeros(dimension * columns),
        points=np.zeros(columns * dimension),
        strip=np.zeros(max(GROUP * columns, WIDTH * rows)),
        nearest=np.zeros(GROUP * WIDTH),
        touched=np.zeros(max(rows, columns // WIDTH), np.int64),
        share=share,
        force=np.zeros(dimension * columns),
        cost=np.zeros(rows * columns if terms.attractor == TRANSPORT else 0),
        matching=np.arange(samples),
        price=np.zeros(columns),
    )


# --- responses, fit and overlap ---


@njit(forceinline=True, **OPTIONS)
def _four_radial(run, i, j):
    """Return Σ_k (w_k x_ik + b_k)² of eight neurons for four samples from i."""
    columns, d = run.share.size, run.dimension
    s0, s1, s2, s3 = fill(0.0), fill(0.0), fill(0.0), fill(0.0)
    for k in range(d):
        w, b = load(run.parameters, k * columns + j), load(run.parameters, (d + k) * columns + j)
        z0, z1 = fma(w, spread(run.x, i * d + k), b), fma(w, spread(run.x, (i + 1) * d + k), b)
        z2, z3 = fma(w, spread(run.x, (i + 2) * d + k), b), fma(w, spread(run.x, (i + 3) * d + k), b)
        s0, s1, s2, s3 = fma(z0, z0, s0), fma(z1, z1, s1), fma(z2, z2, s2), fma(z3, z3, s3)
    return s0, s1, s2, s3


@njit(forceinline=True, **OPTIONS)
def _four_ridge(run, i, j):
    """Return z = Σ_k w_k x_ik + b of eight neurons for four samples from i."""
    columns, d = run.share.size, run.dimension
    z0 = z1 = z2 = z3 = load(run.parameters, d * columns + j)
    for k in range(d):
        w = load(run.parameters, k * columns + j)
        z0, z1 = fma(w, spread(run.x, i * d + k), z0), fma(w, spread(run.x, (i + 1) * d + k), z1)
        z2, z3 = fma(w, spread(run.x, (i + 2) * d + k), z2), fma(w, spread(run.x, (i + 3) * d + k), z3)
    return z0, z1, z2, z3


@njit(**OPTIONS)
def _respond(run, start, count, overlap, table):
    """Responses of a tile of samples; each sample's residual r = 2/N (f - y) and sum s = Σ_j h_ij."""
    constants = read_constants(table)
    columns, tile = run.share.size, run.tile
    a_start = run.parameters.size - WIDTH - columns
    for i in range(2 * count):
        store(run.partial, i * WIDTH, fill(0.0))
    for j in range(0, columns, WIDTH):
        base = j * tile
        if run.ridge:
            for i in range(0, count, GROUP):
                z0, z1, z2, z3 = _four_ridge(run, start + i, j)
                _store_four(run.arguments, base + i * WIDTH, WIDTH, (z0, z1, z2, z3))
                _store_four(run.responses, base + i * WIDTH, WIDTH, (z0 * z0, z1 * z1, z2 * z2, z3 * z3))
        else:
            for i in range(0, count, GROUP):
                s0, s1, s2, s3 = _four_radial(run, start + i, j)
                _store_four(run.responses, base + i * WIDTH, WIDTH, (s0, s1, s2, s3))
        a = load(run.parameters, a_start + j)
        for i in range(count):
            place = base + i * WIDTH
            h = halvings(load(run.responses, place) * LOG2_E, constants)
            store(run.responses, place, h)
            place = 2 * i * WIDTH
            store(run.partial, place, fma(h, a, load(run.partial, place)))
            if overlap:
                store(run.partial, place + WIDTH, load(run.partial, place + WIDTH) + h)
    c_place = run.parameters.size - WIDTH
    for i in range(count):
        f = total(load(run.partial, 2 * i * WIDTH)) + run.parameters[c_place]
        r = 2.0 / run.samples * (f - run.y[start + i])
        run.residual[i] = r
        run.row_sum[i] = total(load(run.partial, (2 * i + 1) * WIDTH))
        run.gradient[c_place] += r


@njit(**OPTIONS)
def _fit_and_overlap(run, start, count, overlap, factor):
    """Add a tile's gradient of fit and overlap, from g_ij = dL/dh_ij · h_ij = (r_i a_j + factor (s_i - h_ij)) h_ij.

    Radial: dL/dw_k = -2 Σ_i g z_k x_ik with z_k = w_k x_ik + b_k needs only Σ g, Σ g x_ik, Σ g x_ik²; ridge neurons
    have one z, which enters g.
    """
    columns, d, tile = run.share.size, run.dimension, run.tile
    a_start = run.parameters.size - WIDTH - columns
    for j in range(0, columns, WIDTH):
        base = j * tile
        a, m_a, m0 = load(run.parameters, a_start + j), fill(0.0), fill(0.0)
        for i in range(count):
            place = base + i * WIDTH
            h, r = load(run.responses, place), spread(run.residual, i)
            m_a = fma(h, r, m_a)
            slope = a * r
            if overlap:
                slope = fma(spread(run.row_sum, i) - h, factor, slope)
            g = slope * h
            if run.ridge:
                g = g * load(run.arguments, place)
            m0 = m0 + g
            store(run.responses, place, g)
        store(run.gradient, a_start + j, load(run.gradient, a_start + j) + m_a)
        if run.ridge:
            place = d * columns + j
            store(run.gradient, place, fma(m0, -2.0, load(run.gradient, place)))
            for k in range(0, d - 3, 4):
                m0, m1, m2, m3, x_place = fill(0.0), fill(0.0), fill(0.0), fill(0.0), start * d + k
                for i in range(count):
                    g, here = load(run.responses, base + i * WIDTH), x_place + i * d
                    m0, m1 = fma(g, spread(run.x, here), m0), fma(g, spread(run.x, here + 1), m1)
                    m2, m3 = fma(g, spread(run.x, here + 2), m2), fma(g, spread(run.x, here + 3), m3)
                g0, g1, g2, g3 = _load_four(run.gradient, k * columns + j, columns)
                g0, g1, g2, g3 = fma(m0, -2.0, g0), fma(m1, -2.0, g1), fma(m2, -2.0, g2), fma(m3, -2.0, g3)
                _store_four(run.gradient, k * columns + j, columns, (g0, g1, g2, g3))
            for k in range(d - d % 4, d):
                m1, x_place = fill(0.0), start * d + k
                for i in range(count):
                    m1 = fma(load(run.responses, base + i * WIDTH), spread(run.x, x_place + i * d), m1)
                place = k * columns + j
                store(run.gradient, place, fma(m1, -2.0, load(run.gradient, place)))
        else:
            for k in range(0, d - 1, 2):
                m1, m2, n1, n2, x_place = fill(0.0), fill(0.0), fill(0.0), fill(0.0), start * d + k
                for i in range(count):
                    g, here = load(run.responses, base + i * WIDTH), x_place + i * d
                    m1 = fma(g, spread(run.x, here), m1)
                    m2 = fma(g, spread(run.x_squared, here), m2)
                    n1 = fma(g, spread(run.x, here + 1), n1)
                    n2 = fma(g, spread(run.x_squared, here + 1), n2)
                _add_moments(run, j, k, (m0, m1, m2))
                _add_moments(run, j, k + 1, (m0, n1, n2))
            if d % 2 == 1:
                m1, m2, x_place = fill(0.0), fill(0.0), start * d + d - 1
                for i in range(count):
                    g, here = load(run.responses, base + i * WIDTH), x_place + i * d
                    m1 = fma(g, spread(run.x, here), m1)
                    m2 = fma(g, spread(run.x_squared, here), m2)
                _add_moments(run, j, d - 1, (m0, m1, m2))


@njit(forceinline=True, **OPTIONS)
def _add_moments(run, j, k, moments):
    """Add -2 Σ_i g_i z_i (x_ik, 1) to dL/d(w_k, b_k) of eight radial neurons, with moments Σ_i g_i (1, x_ik, x_ik²)."""
    m0, m1, m2 = moments
    columns = run.share.size
    w_place, b_place = k * columns + j, (run.dimension + k) * columns + j
    w, b = load(run.parameters, w_place), load(run.parameters, b_place)
    store(run.gradient, w_place, fma(fma(w, m2, b * m1), -2.0, load(run.gradient, w_place)))
    store(run.gradient, b_place, fma(fma(w, m1, b * m0), -2.0, load(run.gradient, b_place)))


# --- prototypes and the forces on them ---


@njit(**OPTIONS)
def _place_prototypes(run):
    """Radial: x̂_k = -b_k / w_k. Ridge: x̂ = m - s w/|w|², s = w·m + b, the foot of the samples' mean m on the ridge."""
    columns, d = run.share.size, run.dimension
    for j in range(0, columns, WIDTH):
        if run.ridge:
            s, norm = _ridge_offset(run, j)
            for k in range(d):
                place = k * columns + j
                store(run.positions, place, spread(run.mean_x, k) - s * load(run.parameters, place) / norm)
        else:
            for k in range(d):
                place = k * columns + j
                b = load(run.parameters, d * columns + place)
                store(run.positions, place, b * -1.0 / load(run.parameters, place))
    for j in range(columns):
        for k in range(d):
            run.points[j * d + k] = run.positions[k * columns + j]


@njit(forceinline=True, **OPTIONS)
def _ridge_offset(run, j):
    """Return s = w·m + b and |w|² of eight ridge neurons."""
    columns, d = run.share.size, run.dimension
    s, norm = load(run.parameters, d * columns + j), fill(0.0)
    for k in range(d):
        w = load(run.parameters, k * columns + j)
        s, norm = fma(w, spread(run.mean_x, k), s), fma(w, w, norm)
    return s, norm


@njit(forceinline=True, **OPTIONS)
def _four_squared(run, points, i, j):
    """Return the squared distances of eight prototypes to four points from i."""
    columns, d = run.share.size, run.dimension
    s0, s1, s2, s3 = fill(0.0), fill(0.0), fill(0.0), fill(0.0)
    for k in range(d):
        here = load(run.positions, k * columns + j)
        z0, z1 = here - spread(points, i * d + k), here - spread(points, (i + 1) * d + k)
        z2, z3 = here - spread(points, (i + 2) * d + k), here - spread(points, (i + 3) * d + k)
        s0, s1, s2, s3 = fma(z0, z0, s0), fma(z1, z1, s1), fma(z2, z2, s2), fma(z3, z3, s3)
    return s0, s1, s2, s3


@njit(forceinline=True, **OPTIONS)
def _pull_four(run, points, i, j, weights):
    """Add Σ_i w_i (x̂_j - point_i) to the force on eight prototypes, for four points from i.

    As differences, which are exact where the sum of the weights times x̂_j would cancel against that of the points.
    """
    w0, w1, w2, w3 = weights
    columns, d = run.share.size, run.dimension
    for k in range(d):
        place = k * columns + j
        here, force = load(run.positions, place), load(run.force, place)
        force = fma(w0, here - spread(points, i * d + k), force)
        force = fma(w1, here - spread(points, (i + 1) * d + k), force)
        force = fma(w2, here - spread(points, (i + 2) * d + k), force)
        force = fma(w3, here - spread(points, (i + 3) * d + k), force)
        store(run.force, place, force)


@njit(**OPTIONS)
def _coverage(run, temperature, strength, table):
    """Add the coverage's force on each prototype, 2 λ mean_i p_ij (x̂_j - x_i), with p_ij the soft minimum's weights."""
    constants = read_constants(table)
    columns, strip, nearest = run.share.size, run.strip, run.nearest
    scale = scale_of(temperature)
    for i in range(0, run.samples, GROUP):
        n0, n1, n2, n3 = fill(math.inf), fill(math.inf), fill(math.inf), fill(math.inf)
        for j in range(0, columns, WIDTH):
            s0, s1, s2, s3 = _four_squared(run, run.x, i, j)
            _store_four(strip, j, columns, (s0, s1, s2, s3))
            n0, n1, n2, n3 = smaller(s0, n0), smaller(s1, n1), smaller(s2, n2), smaller(s3, n3)
        _store_four(nearest, 0, WIDTH, (n0, n1, n2, n3))
        for p in range(GROUP):
            for k in range(1, WIDTH):
                nearest[p * WIDTH] = min(nearest[p * WIDTH], nearest[p * WIDTH + k])
        n0, n1 = spread(nearest, 0), spread(nearest, WIDTH)
        n2, n3 = spread(nearest, 2 * WIDTH), spread(nearest, 3 * WIDTH)
        t0, t1, t2, t3 = fill(0.0), fill(0.0), fill(0.0), fill(0.0)
        count = 0
        for j in range(0, columns, WIDTH):
            s0, s1, s2, s3 = _load_four(strip, j, columns)
            s0, s1, s2, s3 = (s0 - n0) * scale, (s1 - n1) * scale, (s2 - n2) * scale, (s3 - n3) * scale
            if any_at_most(smaller(smaller(s0, s1), smaller(s2, s3)), fill(NOTHING)):
                w0, w1 = halvings(s0, constants), halvings(s1, constants)
                w2, w3 = halvings(s2, constants), halvings(s3, constants)
                t0, t1, t2, t3 = t0 + w0, t1 + w1, t2 + w2, t3 + w3
                _store_four(strip, j, columns, (w0, w1, w2, w3))
                run.touched[count] = j
                count += 1
        factor = 2.0 * strength / run.samples
        q0, q1 = factor / total(t0), (factor / total(t1) if i + 1 < run.samples else 0.0)
        q2 = factor / total(t2) if i + 2 < run.samples else 0.0  # padding samples do not count
        q3 = factor / total(t3) if i + 3 < run.samples else 0.0
        for k in range(count):
            j = run.touched[k]
            w0, w1, w2, w3 = _load_four(strip, j, columns)
            _pull_four(run, run.x, i, j, (w0 * q0, w1 * q1, w2 * q2, w3 * q3))


@njit(**OPTIONS)
def _mirror(run, temperature, strength, table):
    """Add the mirror image's force, 2 λ/N Σ_i q_ij (x̂_j - x_i), with q_ij a soft minimum's weights over samples."""
    constants = read_constants(table)
    columns, strip = run.share.size, run.strip
    scale = scale_of(temperature)
    for j in range(0, columns, WIDTH):
        least = fill(math.inf)
        for i in range(0, run.samples, GROUP):
            s0, s1, s2, s3 = _four_squared(run, run.x, i, j)
            _store_four(strip, i * WIDTH, WIDTH, (s0, s1, s2, s3))
            least = smaller(smaller(s0, s1), smaller(smaller(s2, s3), least))  # padding repeats a sample
        for i in range(run.samples, strip.size // WIDTH):  # and does not count
            store(strip, i * WIDTH, fill(math.inf))
        whole, count = fill(0.0), 0
        for i in range(0, run.samples, GROUP):
            s0, s1, s2, s3 = _load_four(strip, i * WIDTH, WIDTH)
            s0, s1, s2, s3 = (s0 - least) * scale, (s1 - least) * scale, (s2 - least) * scale, (s3 - least) * scale
            if any_at_most(smaller(smaller(s0, s1), smaller(s2, s3)), fill(NOTHING)):
                w0, w1 = halvings(s0, constants), halvings(s1, constants)
                w2, w3 = halvings(s2, constants), halvings(s3, constants)
                whole = whole + w0 + w1 + w2 + w3
                _store_four(strip, i * WIDTH, WIDTH, (w0, w1, w2, w3))
                run.touched[count] = i
                count += 1
        share = load(run.share, j) * (2.0 * strength) / whole  # 0 for padding neurons
        for k in range(count):
            i = run.touched[k]
            w0, w1, w2, w3 = _load_four(strip, i * WIDTH, WIDTH)
            _pull_four(run, run.x, i, j, (w0 * share, w1 * share, w2 * share, w3 * share))


@njit(**OPTIONS)
def _separation(run, temperature, factor, table):
    """Add the separation's force on each prototype, -factor Σ_k (x̂_j - x̂_k) exp(-|x̂_j - x̂_k|²/τ); k = j adds 0."""
    constants = read_constants(table)
    scale = scale_of(temperature)
    for j in range(0, run.share.size, WIDTH):
        for k in range(0, run.neurons, GROUP):
            s0, s1, s2, s3 = _four_squared(run, run.points, k, j)
            s0, s1, s2, s3 = s0 * scale, s1 * scale, s2 * scale, s3 * scale
            if any_at_most(smaller(smaller(s0, s1), smaller(s2, s3)), fill(NOTHING)):
                w0, w1 = halvings(s0, constants) * -factor, halvings(s1, constants) * -factor
                w2, w3 = halvings(s2, constants) * -factor, halvings(s3, constants) * -factor
                _pull_four(run, run.points, k, j, (w0, w1, w2, w3))


@njit(**OPTIONS)
def _transport(run, strength):
    """Add the transport's force on each prototype, 2 λ/N (x̂_j - x_i) for the sample i that it is matched with."""
    columns, d = run.share.size, run.dimension
    for i in range(run.samples):
        for k in range(d):
            place = k * columns + run.matching[i]
            run.force[place] += 2.0 * strength / run.samples * (run.positions[place] - run.x[i * d + k])


@njit(**OPTIONS)
def _through_prototypes(run):
    """Carry dL/dx̂ = F over to dL/d(w, b)."""
    columns, d, gradient = run.share.size, run.dimension, run.gradient
    for j in range(0, columns, WIDTH):
        if run.ridge:  # x̂ = m - s w/|w|², s = w·m + b
            s, norm = _ridge_offset(run, j)
            along = fill(0.0)
            for k in range(d):
                along = fma(load(run.force, k * columns + j), load(run.parameters, k * columns + j), along)
            along = along / norm
            place = d * columns + j
            store(gradient, place, load(gradient, place) - along)
            for k in range(d):
                place = k * columns + j
                turn = s * (load(run.parameters, place) * along * 2.0 - load(run.force, place)) / norm
                store(gradient, place, load(gradient, place) + turn - along * spread(run.mean_x, k))
        else:  # x̂_k = -b_k/w_k, so dx̂/db = -1/w and dx̂/dw = -x̂/w
            for k in range(d):
                place = k * columns + j
                pull = load(run.force, place) / load(run.parameters, place)
                store(gradient, place, load(gradient, place) - pull * load(run.positions, place))
                place += d * columns
                store(gradient, place, load(gradient, place) - pull)


# --- matching ---


@njit(**OPTIONS)
def _set_costs(run):
    """Squared distances less each neuron's smallest, which moves no matching and keeps the digits of far prototypes."""
    columns, cost = run.share.size, run.cost
    for j in range(0, columns, WIDTH):
        least = fill(math.inf)
        for i in range(0, run.samples, GROUP):
            s0, s1, s2, s3 = _four_squared(run, run.x, i, j)
            _store_four(cost, i * columns + j, columns, (s0, s1, s2, s3))
            least = smaller(smaller(s0, s1), smaller(smaller(s2, s3), least))
        for i in range(run.samples):
            place = i * columns + j
            store(cost, place, smaller(load(cost, place) - least, fill(LARGEST)))


@njit(**OPTIONS)
def _is_still_best(run):
    """Whether prices confirm the matching: one that no chain of exchanges makes cheaper has prices with
    price_j <= price_π(i) + cost_ij - cost_iπ(i) for all samples i and neurons j. They are those of the step before,
    lowered (Bellman and Ford) until they fit; if as many rounds as neurons do not suffice, a chain is cheaper."""
    columns, price = run.share.size, run.price
    for _ in range(run.neurons + 1):
        changed = False
        for j in range(0, columns, WIDTH):
            former = load(price, j)
            low = former
            for i in range(run.samples):
                match = run.matching[i]
                exchange = load(run.cost, i * columns + j) - run.cost[i * columns + match]
                low = smaller(exchange + price[match], low)
            store(price, j, low)
            changed = changed or any_below(low, former)
        if not changed:
            return True
    return False


# --- gradient and steps ---


@njit(**OPTIONS)
def _gradient(run, terms, repulsion, table):
    """dL/d(w, b, a, c) of the total loss, into run.gradient; `repulsion` is λρ; a matching is as it stands."""
    overlap, separation = terms.overlap > 0, terms.separation > 0
    attractor, attraction, temperature = terms.attractor, terms.attraction, terms.temperature
    pairs = max(run.neurons * (run.neurons - 1), 1)
    run.gradient[:] = 0.0
    for start in range(0, run.samples, run.tile):
        count = min(run.samples - start, run.tile)
        _respond(run, start, count, overlap, table)
        _fit_and_overlap(run, start, count, overlap, 2.0 * repulsion / (run.samples * pairs))
    if not (attractor or separation):
        return
    _place_prototypes(run)
    run.force[:] = 0.0
    if attractor == TRANSPORT:
        _transport(run, attraction)
    elif attractor:
        _coverage(run, temperature, attraction, table)
        if attractor == CHAMFER:
            _mirror(run, temperature, attraction, table)
    if separation:
        _separation(run, temperature, min(4.0 * repulsion / (pairs * temperature), GREATEST), table)
    _through_prototypes(run)


@njit(**OPTIONS)
def _advance(run, step, matched, terms, schedule):
    while step < schedule.rates.size:
        if run.cost.size > 0 and not matched:
            _place_prototypes(run)
            _set_costs(run)
            if not _is_still_best(run):
                return step
        matched = False
        _gradient(run, terms, schedule.repulsions[step], schedule.table)
        take_step(run, step, schedule)
        step += 1
    return step


def _with_source(source: str):
    @kept_on_disk
    def advance(run, step, matched, terms, schedule):
        """Adam steps from `step` of a schedule on; returns the step reached. It stops at a step whose matching has to
        be made anew, and goes on from it when called as `matched`."""
        _ = source
        return _advance(run, step, matched, terms, schedule)

    return advance


advance = _with_source(SOURCE)


def match(run: Workspace) -> None:
    """Make the run's matching anew: the Hungarian one of its costs."""
    cost = run.cost.reshape(-1, run.share.size)[: run.samples, : run.neurons]
    run.matching[:] = linear_sum_assignment(cost)[1]


def rows(run: Workspace, flat: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return copies of w, b, a and c, in the shapes that `new_run` takes, from a flat array of a run."""
    by_row = flat[:-WIDTH].reshape(-1, run.share.size)[:, : run.neurons]
    w, b, a = by_row[: run.dimension].T, by_row[run.dimension : -1].T, by_row[-1]
    return *(np.array(value, order="C") for value in (w, b[:, 0] if run.ridge else b, a)), flat[-WIDTH].copy()
