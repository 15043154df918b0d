"""Kernels on the line: the gradient of one run in a core's cache, prototypes and samples kept sorted.

Book: chapter "How fast, and how it survives", section "One run in cache".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from companion.engine.cache import OPTIONS, SOURCE, kept_on_disk
from companion.engine.forms import (
    add_moments,
    assigned_part,
    cauchy_separation,
    centre,
    cosine_overlap,
    exponential_separation,
    gram_overlap,
    nearest_coverage,
    neighbour_separation,
    response_coverage,
)
from companion.engine.lanes import (
    FAINT,
    FAR,
    GREATEST,
    LOG2_E,
    NOTHING,
    TILE_ENTRIES,
    WIDTH,
    fill,
    fma,
    halvings,
    load,
    padded,
    read_constants,
    scale_of,
    store,
    total,
)
from companion.engine.steps import (
    CAUCHY,
    CHAMFER,
    COSINE,
    COVARIANCE,
    COVERAGE,
    EXPONENTIAL,
    GAUSSIAN,
    GRAM,
    NEAREST,
    NEIGHBOUR,
    PRODUCT,
    RESPONSE,
    SOFT_ASSIGNMENT,
    TRANSPORT,
    Terms,
    take_step,
)

ROOT = math.sqrt(LOG2_E)
"""exp(-z²) = 2^-(ROOT · z)²."""


class Workspace(NamedTuple):
    """One run's data, state and scratch space; samples and neurons are padded to multiples of WIDTH.

    Parameters, their gradient and Adam's two moments are flat: w, b, a (padded neurons each), then c in eight places.
    """

    samples: int
    neurons: int
    x: np.ndarray  # sorted; padding repeats the last
    y: np.ndarray
    share: np.ndarray  # 1 / samples; 0 in the padding
    parameters: np.ndarray
    gradient: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    responses: np.ndarray  # (tile of samples, neurons)
    partial: np.ndarray  # f and s of a tile's samples, in lanes to be summed
    residual: np.ndarray
    residual_x: np.ndarray
    residual_xx: np.ndarray
    row_sum: np.ndarray
    positions: np.ndarray  # prototypes by neuron
    order: np.ndarray  # neurons by position
    sorted_positions: np.ndarray
    nearest: np.ndarray  # squared distance of each sample to the nearest prototype
    above: np.ndarray  # number of prototypes below each sample
    closest: np.ndarray  # place of the sample nearest to each prototype, sorted
    squared: np.ndarray  # squared distance to it
    centred: np.ndarray  # responses less each neuron's mean, where covariances are asked for
    gram: np.ndarray  # products of two neurons' responses, summed over the samples; the same for its square
    forces: np.ndarray  # dL/dx̂, sorted: lanes to be summed, then what is summed already
    force: np.ndarray  # dL/dx̂ by neuron


def new_run(x: np.ndarray, y: np.ndarray, parameters: Sequence[np.ndarray], terms: Terms) -> Workspace:
    """Return a run at the start of its training: x, y of shape (samples,), w, b, a of shape (neurons,) and c."""
    w, b, a, c = parameters
    samples, neurons = x.size, w.size
    rows, columns = padded(samples), padded(neurons)
    order = np.argsort(x, kind="stable")
    flat = np.zeros(3 * columns + WIDTH)
    flat[neurons:columns], flat[columns + neurons : 2 * columns] = 1.0, FAR  # these respond to nothing
    for place, values in enumerate((w, b, a)):
        flat[place * columns : place * columns + neurons] = values
    flat[3 * columns] = c
    square = columns**2 if terms.overlap in (GRAM, COVARIANCE) else 0
    tile = samples if terms.overlap > PRODUCT else min(samples, max(1, TILE_ENTRIES // columns))
    share = np.zeros(rows)
    share[:samples] = 1 / samples
    return Workspace(
        samples=samples,
        neurons=neurons,
        x=np.pad(x[order], (0, rows - samples), mode="edge"),
        y=np.pad(y[order], (0, rows - samples)),
        share=share,
        parameters=flat,
        gradient=np.zeros(flat.size),
        mean=np.zeros(flat.size),
        square=np.zeros(flat.size),
        responses=np.zeros(padded(tile) * columns),
        partial=np.zeros(2 * padded(tile) * WIDTH),
        residual=np.zeros(tile),
        residual_x=np.zeros(tile),
        residual_xx=np.zeros(tile),
        row_sum=np.zeros(tile),
        positions=np.zeros(columns),
        order=np.arange(neurons),
        sorted_positions=np.full(columns + WIDTH, FAR),
        nearest=np.zeros(rows),
        above=np.zeros(samples, np.int64),
        closest=np.zeros(columns, np.int64),
        squared=np.full(columns, FAR**2),
        centred=np.zeros(padded(tile) * columns if terms.overlap == COVARIANCE else 0),
        gram=np.zeros(square),
        forces=np.zeros(neurons * WIDTH + columns),
        force=np.zeros(columns),
    )


@njit(**OPTIONS)
def _respond(run, start, stop, terms, table):
    """Responses of a tile of samples; a sample's residual r = 2/N (f - y), times 1, x and x², and sum s = Σ_j h_ij."""
    constants = read_constants(table, FAINT)
    columns, count = run.positions.size, stop - start
    root, summed = ROOT * math.sqrt(terms.exponent), terms.overlap == PRODUCT
    for i in range(2 * count):
        store(run.partial, i * WIDTH, fill(0.0))
    for j in range(0, columns, WIDTH):
        w, b = load(run.parameters, j) * root, load(run.parameters, columns + j) * root  # exp(-s z²) = 2^-(root z)²
        a = load(run.parameters, 2 * columns + j)
        for i in range(count):
            z = fma(w, run.x[start + i], b)
            h = halvings(z * z, constants)
            store(run.responses, i * columns + j, h)
            place = 2 * i * WIDTH
            store(run.partial, place, fma(h, a, load(run.partial, place)))
            if summed:
                store(run.partial, place + WIDTH, load(run.partial, place + WIDTH) + h)
    c = run.parameters[3 * columns]
    for i in range(count):
        x = run.x[start + i]
        f = total(load(run.partial, 2 * i * WIDTH)) + c
        r = 2.0 / run.samples * (f - run.y[start + i]) * terms.fit
        run.residual[i], run.residual_x[i], run.residual_xx[i] = r, r * x, r * x * x
        run.row_sum[i] = total(load(run.partial, (2 * i + 1) * WIDTH))
        run.gradient[3 * columns] += r


@njit(**OPTIONS)
def _fit(run, start, stop, exponent):
    """Add the fit's gradient of a tile: with z = w x + b, its sums over samples need only Σ r h, Σ r h x, Σ r h x²."""
    columns = run.positions.size
    for j in range(0, columns, WIDTH):
        m0, m1, m2 = fill(0.0), fill(0.0), fill(0.0)
        for i in range(stop - start):
            h = load(run.responses, i * columns + j)
            m0 = fma(h, run.residual[i], m0)
            m1 = fma(h, run.residual_x[i], m1)
            m2 = fma(h, run.residual_xx[i], m2)
        store(run.gradient, 2 * columns + j, load(run.gradient, 2 * columns + j) + m0)
        twice_a = load(run.parameters, 2 * columns + j) * (2.0 * exponent)
        add_moments(run, j, (twice_a * m0, twice_a * m1, twice_a * m2))


@njit(**OPTIONS)
def _overlap(run, start, stop, factor):
    """Add the overlap's gradient of a tile: dL/dz_ij = -factor (s_i - h_ij) h_ij z_ij, summed as in `_fit`."""
    columns = run.positions.size
    for j in range(0, columns, WIDTH):
        m0, m1, m2 = fill(0.0), fill(0.0), fill(0.0)
        for i in range(stop - start):
            h = load(run.responses, i * columns + j)
            term = (run.row_sum[i] - h) * h
            term_x = term * run.x[start + i]
            m0 = m0 + term
            m1 = m1 + term_x
            m2 = fma(term_x, run.x[start + i], m2)
        add_moments(run, j, (m0 * factor, m1 * factor, m2 * factor))


@njit(**OPTIONS)
def _sort(run):
    """Sort the prototypes by insertion: between two steps hardly any change places.
    Of equal ones the first neuron is first."""
    order, sorted_positions = run.order, run.sorted_positions
    for k in range(run.neurons):
        neuron = order[k]
        position = run.positions[neuron]
        place = k
        while place > 0 and (
            sorted_positions[place - 1] > position
            or (sorted_positions[place - 1] == position and order[place - 1] > neuron)
        ):
            sorted_positions[place], order[place] = sorted_positions[place - 1], order[place - 1]
            place -= 1
        sorted_positions[place], order[place] = position, neuron


@njit(**OPTIONS)
def _find_nearest(run):
    """Squared distance of each sample to its nearest prototype; places found in the step before are the first guess."""
    x, sorted_positions, neurons = run.x, run.sorted_positions, run.neurons
    for i in range(run.samples):
        k = run.above[i]
        while k < neurons and sorted_positions[k] < x[i]:
            k += 1
        while k > 0 and sorted_positions[k - 1] >= x[i]:
            k -= 1
        run.above[i] = k
        squared = (sorted_positions[k] - x[i]) ** 2
        if k > 0:
            squared = min(squared, (sorted_positions[k - 1] - x[i]) ** 2)
        run.nearest[i] = squared
    for i in range(run.samples, x.size):
        run.nearest[i] = run.nearest[run.samples - 1]


@njit(**OPTIONS)
def _coverage(run, temperature, strength, assigned, table):
    """Add the coverage's force on each prototype, 2 λ mean_i p_ij (x̂_j - x_i), with p_ij the soft minimum's weights;
    for the mean distance of a soft assignment, which has the same weights, each term times 1 - (d_ij² - D_i)/τ.

    The weights are exp(-(d_ij² - m_i²)/τ) with m_i the distance to the nearest prototype, over their sum. For eight
    neighbouring samples only the prototypes between two bounds have a weight that is not 0 in float64.
    """
    constants = read_constants(table)
    x, sorted_positions, neurons = run.x, run.sorted_positions, run.neurons
    scale = scale_of(temperature)
    low = high = 0
    for i in range(0, x.size, WIDTH):
        left, right = math.inf, -math.inf
        for k in range(i, i + WIDTH):
            reach = math.sqrt(run.nearest[k] + NOTHING / scale)
            left, right = min(left, x[k] - reach), max(right, x[k] + reach)
        while low > 0 and sorted_positions[low - 1] >= left:
            low -= 1
        while low < neurons and sorted_positions[low] < left:
            low += 1
        while high > 0 and sorted_positions[high - 1] > right:
            high -= 1
        while high < neurons and sorted_positions[high] <= right:
            high += 1
        # Where τ is tiny beside x, or x̂ far away, the bounds are rounded: the nearest prototypes are always within.
        first = min(low, max(run.above[i] - 1, 0))
        behind = max(high, min(run.above[min(i + WIDTH, run.samples) - 1] + 1, neurons))
        here, nearest, whole = load(x, i), load(run.nearest, i), fill(0.0)
        for k in range(first, behind):
            distance = sorted_positions[k] - here
            weight = halvings((distance * distance - nearest) * scale, constants)
            whole = whole + weight
            store(run.responses, k * WIDTH, weight * distance)
        share = load(run.share, i) * (2.0 * strength) / whole
        if assigned:
            spread = fill(0.0)
            for k in range(first, behind):
                spread = fma(load(run.responses, k * WIDTH), sorted_positions[k] - here, spread)
            spread = spread / whole
            for k in range(first, behind):
                distance = sorted_positions[k] - here
                weighted = load(run.responses, k * WIDTH)
                store(run.responses, k * WIDTH, weighted * assigned_part(distance, spread, temperature))
        for k in range(first, behind):
            store(run.forces, k * WIDTH, fma(share, load(run.responses, k * WIDTH), load(run.forces, k * WIDTH)))


@njit(**OPTIONS)
def _find_closest(run):
    """The sample nearest to each prototype, in one pass over both, sorted as they are; of two the lower."""
    x, k = run.x, 0
    for j in range(run.neurons):
        position = run.sorted_positions[j]
        while k < run.samples and x[k] < position:
            k += 1
        below = k == run.samples or (k > 0 and position - x[k - 1] <= x[k] - position)
        run.closest[j] = k - 1 if below else k
        run.squared[j] = (position - x[run.closest[j]]) ** 2


@njit(**OPTIONS)
def _mirror(run, temperature, strength, table):
    """Add the force of Chamfer's second term, 2 λ (x̂_j - Σ_i q_ij x_i) / neurons, q_ij the weights of its soft minimum.

    As in `_coverage` with prototypes and samples exchanged: for eight neighbouring prototypes only the samples between
    two bounds have a weight that is not 0. Far away the bounds are rounded; the nearest samples are always within.
    """
    constants = read_constants(table)
    x, sorted_positions, neurons, samples = run.x, run.sorted_positions, run.neurons, run.samples
    scale = scale_of(temperature)
    _find_closest(run)
    low = high = 0
    for j in range(0, neurons, WIDTH):
        behind = min(j + WIDTH, neurons)
        left, right = math.inf, -math.inf
        for k in range(j, behind):
            reach = math.sqrt(run.squared[k] + NOTHING / scale)
            left, right = min(left, sorted_positions[k] - reach), max(right, sorted_positions[k] + reach)
        while low > 0 and x[low - 1] >= left:
            low -= 1
        while low < samples and x[low] < left:
            low += 1
        while high > 0 and x[high - 1] > right:
            high -= 1
        while high < samples and x[high] <= right:
            high += 1
        here, squared, whole, moment = load(sorted_positions, j), load(run.squared, j), fill(0.0), fill(0.0)
        for i in range(min(low, run.closest[j]), max(high, run.closest[behind - 1] + 1)):
            distance = here - x[i]
            weight = halvings((distance * distance - squared) * scale, constants)
            whole = whole + weight
            moment = moment + weight * distance
        place = neurons * WIDTH + j
        store(run.forces, place, load(run.forces, place) + moment * (2.0 * strength / neurons) / whole)


@njit(**OPTIONS)
def _transport(run, strength):
    """Add the force of transport, 2 λ (x̂_(k) - x_(k)) / N: the k-th smallest prototype to the k-th smallest sample."""
    for k in range(0, run.positions.size, WIDTH):
        place = run.neurons * WIDTH + k
        force = (load(run.sorted_positions, k) - load(run.x, k)) * (2.0 * strength / run.samples)
        store(run.forces, place, load(run.forces, place) + force)


@njit(**OPTIONS)
def _separation(run, temperature, factor, table):
    """Add the separation's force on each prototype, -factor Σ_k (x̂_j - x̂_k) exp(-(x̂_j - x̂_k)²/τ).

    Each pair of neighbours that feel one another is visited once, eight prototypes against one behind them, and pushes
    both ways; only among the eight themselves it is visited twice.
    """
    constants = read_constants(table)
    sorted_positions, neurons = run.sorted_positions, run.neurons
    scale = scale_of(temperature)
    reach = math.sqrt(NOTHING / scale)
    half = 0.5 * factor
    high = 0
    for j in range(0, neurons, WIDTH):
        here, push = load(sorted_positions, j), fill(0.0)
        behind = min(j + WIDTH, neurons)
        while high < neurons and sorted_positions[high] <= sorted_positions[behind - 1] + reach:
            high += 1
        for k in range(j, max(high, behind)):
            distance = here - sorted_positions[k]
            pair = distance * halvings(distance * distance * scale, constants) * (factor if k >= behind else half)
            push = push + pair
            store(run.forces, k * WIDTH, load(run.forces, k * WIDTH) + pair)
        store(run.forces, neurons * WIDTH + j, load(run.forces, neurons * WIDTH + j) - push)


@njit(**OPTIONS)
def _gradient(run, terms, repulsion, table):
    """dL/d(w, b, a, c) of the total loss, into run.gradient; `repulsion` is λρ.

    The nominal forms are called from here, the others from functions of their own: each call on the way counts the
    references to the run's arrays up and down, which takes as long as a step of a few neurons.
    """
    columns, neurons = run.positions.size, run.neurons
    pairs = max(neurons * (neurons - 1), 1)
    w, b, gradient = run.parameters[:columns], run.parameters[columns : 2 * columns], run.gradient
    for k in range(0, gradient.size, WIDTH):
        store(gradient, k, fill(0.0))
    of_overlap, of_separation = terms.units
    temperature, attraction, pushing = terms.temperature, terms.attraction, repulsion * of_separation
    twice = 2.0 * terms.exponent  # dh/dz = -2 s z h
    tile = run.residual.size
    for start in range(0, run.samples, tile):
        stop = min(start + tile, run.samples)
        _respond(run, start, stop, terms, table)
        _fit(run, start, stop, terms.exponent)
        if terms.overlap == PRODUCT:
            _overlap(run, start, stop, twice * (2.0 * repulsion * of_overlap / (run.samples * pairs)))
        elif terms.overlap:
            _other_overlap(run, terms.overlap, twice * repulsion * of_overlap)
        if terms.coverage == RESPONSE:
            response_coverage(run, start, stop, twice * attraction / run.samples)
    if not terms.separation and (terms.coverage == RESPONSE or not terms.attractor):
        return
    for j in range(0, columns, WIDTH):
        store(run.positions, j, load(b, j) * -1.0 / load(w, j))
    _sort(run)
    for k in range(0, run.forces.size, WIDTH):
        store(run.forces, k, fill(0.0))
    if terms.attractor == COVERAGE or terms.attractor == CHAMFER:
        _find_nearest(run)
        if terms.coverage == NEAREST:
            nearest_coverage(run, attraction)
        elif terms.coverage != RESPONSE:
            _coverage(run, temperature, attraction, terms.coverage == SOFT_ASSIGNMENT, table)
    if terms.attractor == CHAMFER:
        _mirror(run, temperature, attraction, table)
    if terms.attractor == TRANSPORT:
        _transport(run, attraction)
    if terms.separation == GAUSSIAN:
        _separation(run, temperature, min(4.0 * pushing / (pairs * temperature), GREATEST), table)
    elif terms.separation:
        _other_separation(run, terms.separation, temperature, pushing, table)
    for k in range(neurons):
        run.force[run.order[k]] = total(load(run.forces, k * WIDTH)) + run.forces[neurons * WIDTH + k]
    for j in range(0, columns, WIDTH):  # x̂ = -b/w, so dx̂/db = -1/w and dx̂/dw = -x̂/w
        pull = load(run.force, j) / load(w, j)
        store(gradient, j, load(gradient, j) - pull * load(run.positions, j))
        store(gradient, columns + j, load(gradient, columns + j) - pull)


@njit(**OPTIONS)
def _other_overlap(run, form, factor):
    """Add the gradient of an overlap that needs the responses to all samples; `factor` is 2 λρ s."""
    samples, pairs = float(run.samples), max(run.neurons * (run.neurons - 1), 1)
    if form == COSINE:
        cosine_overlap(run, 2.0 * factor / pairs)
    elif form == GRAM:
        gram_overlap(run, run.responses, 4.0 * factor / (samples * samples * pairs))
    elif form == COVARIANCE:
        centre(run)
        gram_overlap(run, run.centred, 4.0 * factor / (samples * samples * pairs))


@njit(**OPTIONS)
def _other_separation(run, form, temperature, pushing, table):
    """Add the force of another separation than the Gaussian; `pushing` is λρ."""
    neurons = run.neurons
    pairs, root = max(neurons * (neurons - 1), 1), math.sqrt(temperature)
    if form == EXPONENTIAL:
        exponential_separation(run, temperature, min(2.0 * pushing / (pairs * root), GREATEST), table)
    elif form == CAUCHY:
        cauchy_separation(run, temperature, min(4.0 * pushing / (pairs * temperature), GREATEST))
    elif form == NEIGHBOUR:
        neighbour_separation(run, temperature, min(2.0 * pushing / (neurons * temperature), GREATEST), table)


@njit(**OPTIONS)
def _advance(run, step, matched, terms, schedule):
    while step < schedule.rates.size:
        _gradient(run, terms, schedule.repulsions[step], schedule.table)
        take_step(run, step, schedule)
        step += 1
    return step


def _with_source(source: str):
    @kept_on_disk
    def advance(run, step, matched, terms, schedule):
        """Adam steps from `step` of a schedule on; returns the step reached, which is its end."""
        _ = source
        return _advance(run, step, matched, terms, schedule)

    return advance


advance = _with_source(SOURCE)


def rows(run: Workspace, flat: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return copies of w, b, a, shape (neurons,), and c from a flat array of a run."""
    columns = run.positions.size
    starts = range(0, 3 * columns, columns)
    return *(flat[start : start + run.neurons].copy() for start in starts), flat[3 * columns].copy()
