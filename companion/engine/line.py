"""The fast engine: full-batch Adam compiled by numba, one run in a core's cache, eight numbers at a time.

Its arithmetic is written out in lanes of eight float64 numbers, with one fixed order of every sum, rather than left to
the compiler's vectoriser: so a run gives the same bits on any number of threads and on processors with wide or narrow
vectors. Compiled code is kept on disk; numba renews it when this file changes, which is why all of it is in one file.
Book: chapter "How fast, and how it survives".
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from companion.core.checks import require_number
from companion.core.losses import ATTRACTORS, MASKS
from companion.core.network import Parameters
from companion.core.train import BETAS, EPSILON, LEARNING_RATE, Trained, repulsion_schedule, require_training

WIDTH = 8
"""Numbers in a lane set: one AVX-512 register, two of AVX2; arrays are padded to multiples of it."""
TILE_ENTRIES = 2**15
"""Responses kept at once (256 kB): few enough for a core's second-level cache, and a bound on a run's memory."""
FAR = 1e150
"""Position of the padding behind the last prototype: its square is finite, its Gaussian is 0."""
NOTHING = 1075.5
"""2^-NOTHING rounds to 0 in float64, so a term that small is skipped."""
COVERAGE, CHAMFER, TRANSPORT = (ATTRACTORS.index(name) + 1 for name in ("coverage", "chamfer", "transport"))
"""Numbers of the attractors in compiled code; 0 is none."""
OPTIONS = {"error_model": "numpy", "nogil": True, "cache": True}


# --- eight numbers at a time ---

VECTOR = ir.VectorType(ir.DoubleType(), WIDTH)
BITS = ir.VectorType(ir.IntType(64), WIDTH)


class LanesType(types.Type):
    """The numba type of eight float64 numbers in one vector register."""


lanes = LanesType("lanes")


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, VECTOR)


def _shuffle(builder, vector, positions):
    chosen = ir.Constant(ir.VectorType(ir.IntType(32), len(positions)), positions)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), chosen)


def _spread(builder, kind, value):
    """Lanes as they are; a number in every lane."""
    if kind == lanes:
        return value
    first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return _shuffle(builder, first, [0] * WIDTH)


def _as_lanes_or_number(*kinds):
    return [kind if kind == lanes else types.float64 for kind in kinds]


def _address(context, builder, kind, array, index):
    start = builder.gep(context.make_array(kind)(context, builder, array).data, [index])
    return builder.bitcast(start, VECTOR.as_pointer())


@intrinsic
def load(typing, array, index):
    """Return lanes array[index : index + 8]."""

    def build(context, builder, signature, args):
        address = _address(context, builder, signature.args[0], *args)
        return builder.load(address, typ=VECTOR, align=8)

    return lanes(array, types.intp), build


@intrinsic
def store(typing, array, index, values):
    """Write lanes to array[index : index + 8]."""

    def build(context, builder, signature, args):
        builder.store(args[2], _address(context, builder, signature.args[0], *args[:2]), align=8)
        return context.get_dummy_value()

    return types.none(array, types.intp, lanes), build


@intrinsic
def fill(typing, number):
    """Return lanes that all hold one number."""
    return lanes(types.float64), lambda context, builder, signature, args: _spread(builder, types.float64, args[0])


@intrinsic
def fma(typing, x, y, z):
    """Return x · y + z, rounded once."""

    def build(context, builder, signature, args):
        function = ir.FunctionType(VECTOR, [VECTOR] * 3)
        values = [_spread(builder, *pair) for pair in zip(signature.args, args, strict=True)]
        return builder.call(cgutils.get_or_insert_function(builder.module, function, "llvm.fma.v8f64"), values)

    return lanes(*_as_lanes_or_number(x, y, z)), build


@intrinsic
def square_root(typing, x):
    """Return √x of each lane."""

    def build(context, builder, signature, args):
        function = ir.FunctionType(VECTOR, [VECTOR])
        return builder.call(cgutils.get_or_insert_function(builder.module, function, "llvm.sqrt.v8f64"), args)

    return lanes(lanes), build


@intrinsic
def zero_where_above(typing, x, y, limit):
    """Return x, but 0 in the lanes where y is above the limit."""

    def build(context, builder, signature, args):
        zero = ir.Constant(VECTOR, [0.0] * WIDTH)
        return builder.select(builder.fcmp_ordered(">", args[1], args[2]), zero, args[0])

    return lanes(lanes, lanes, lanes), build


@intrinsic
def add_to_exponent(typing, x, shift):
    """Return x with the low bits of `shift` added to its binary exponent: x · 2^k for a whole k."""

    def build(context, builder, signature, args):
        value, k = (builder.bitcast(arg, BITS) for arg in args)
        k = builder.shl(k, ir.Constant(BITS, [52] * WIDTH))
        return builder.bitcast(builder.add(value, k), VECTOR)

    return lanes(lanes, lanes), build


@intrinsic
def total(typing, x):
    """Return the sum over the lanes, always halves first."""

    def build(context, builder, signature, args):
        (part,) = args
        while (width := part.type.count // 2) > 0:
            low, high = (_shuffle(builder, part, list(range(k, k + width))) for k in (0, width))
            part = builder.fadd(low, high)
        return builder.extract_element(part, ir.Constant(ir.IntType(32), 0))

    return types.float64(lanes), build


def _operator(function, instruction):
    @intrinsic
    def apply(typing, x, y):
        def build(context, builder, signature, args):
            values = [_spread(builder, *pair) for pair in zip(signature.args, args, strict=True)]
            return getattr(builder, instruction)(*values)

        return lanes(*_as_lanes_or_number(x, y)), build

    @overload(function)
    def choose(x, y):
        if lanes in (x, y):
            return lambda x, y: apply(x, y)


_operator(operator.add, "fadd")
_operator(operator.sub, "fsub")
_operator(operator.mul, "fmul")
_operator(operator.truediv, "fdiv")


# --- the exponential ---

LIFT = 537
"""Half of float64's range of exponents: 2^-y is built as 2^(537 - y) · 2^-537, so that the exponent stays in range and
only the last product rounds when the result is subnormal."""
ROUNDER = 1.5 * 2.0**52 + LIFT
"""A number this large has no fraction bits: subtracting y from it rounds y to k, and leaves 537 - k in the low bits."""
MINIMAX = [
    "0x1.0000000000000p+0", "0x1.62e42fefa39efp-1", "0x1.ebfbdff82c5adp-3", "0x1.c6b08d7049fd1p-5",
    "0x1.3b2ab6fb9f413p-7", "0x1.5d87fe78cf26dp-10", "0x1.43091310bf6b0p-13", "0x1.ffcbfba7b89b6p-17",
    "0x1.62bfc3c1c8a7cp-20", "0x1.b526788b3b73dp-24", "0x1.e620fb765be15p-28", "0x1.e7aa0f6005d3cp-32",
]  # fmt: skip
"""The polynomial of degree 11 nearest to 2^r on [-½, ½] (Remez, relative error 3e-18 before rounding), lowest first."""
CONSTANTS = np.repeat(
    [float.fromhex(value) * (-1) ** power for power, value in enumerate(MINIMAX)] + [ROUNDER, 2.0**-LIFT, NOTHING],
    WIDTH,
)
"""What the exponential needs, in lanes: coefficients with alternating signs (it evaluates at -r), and three numbers.
They are an argument and no constants, so the compiler keeps them in registers and reads them once."""


@njit(forceinline=True, **OPTIONS)
def _constants(table):
    return (
        load(table, 0 * WIDTH), load(table, 1 * WIDTH), load(table, 2 * WIDTH), load(table, 3 * WIDTH),
        load(table, 4 * WIDTH), load(table, 5 * WIDTH), load(table, 6 * WIDTH), load(table, 7 * WIDTH),
        load(table, 8 * WIDTH), load(table, 9 * WIDTH), load(table, 10 * WIDTH), load(table, 11 * WIDTH),
        load(table, 12 * WIDTH), load(table, 13 * WIDTH), load(table, 14 * WIDTH),
    )  # fmt: skip


@njit(forceinline=True, **OPTIONS)
def halvings(y, constants):
    """Return 2^-y for lanes y >= 0, to one unit in the last place: 2^-k by exponent, 2^(k - y) by polynomial."""
    c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, rounder, drop, nothing = constants
    shift = rounder - y
    r = y + (shift - rounder)
    power = fma(r, c11, c10)
    power = fma(power, r, c9)
    power = fma(power, r, c8)
    power = fma(power, r, c7)
    power = fma(power, r, c6)
    power = fma(power, r, c5)
    power = fma(power, r, c4)
    power = fma(power, r, c3)
    power = fma(power, r, c2)
    power = fma(power, r, c1)
    power = fma(power, r, c0)
    # A 0 before the last product, not a product that underflows, for which processors take their time.
    return zero_where_above(add_to_exponent(power, shift), y, nothing) * drop


@njit(**OPTIONS)
def _halvings_of(y, out, table):
    constants = _constants(table)
    for i in range(0, y.size, WIDTH):
        store(out, i, halvings(load(y, i), constants))


def power_of_half(y: np.ndarray) -> np.ndarray:
    """Return 2^-y, the exponential that every Gaussian of the fast engine is made of.

    Args:
        y: numbers of at least 0, infinity or NaN, any shape.

    Returns:
        2^-y to one unit in the last place, subnormal results too, shape of y.
    """
    given = np.asarray(y, dtype=np.float64)
    padded = np.zeros(_padded(given.size))
    padded[: given.size] = given.ravel()
    out = np.empty_like(padded)
    _halvings_of(padded, out, CONSTANTS)
    return out[: given.size].reshape(given.shape)


# --- one run ---

LOG2_E = 1 / math.log(2)
ROOT = math.sqrt(LOG2_E)
"""exp(-z²) = 2^-(ROOT · z)²."""


class Run(NamedTuple):
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
    forces: np.ndarray  # dL/dx̂, sorted: lanes to be summed, then what is summed already
    force: np.ndarray  # dL/dx̂ by neuron


def _padded(count: int) -> int:
    return -(-count // WIDTH) * WIDTH


def _new_run(x: np.ndarray, y: np.ndarray, w: np.ndarray, b: np.ndarray, a: np.ndarray, c: float) -> Run:
    samples, neurons = x.size, w.size
    rows, columns = _padded(samples), _padded(neurons)
    order = np.argsort(x, kind="stable")
    parameters = np.zeros(3 * columns + WIDTH)
    parameters[neurons:columns], parameters[columns + neurons : 2 * columns] = 1.0, FAR  # these respond to nothing
    for place, values in enumerate((w, b, a)):
        parameters[place * columns : place * columns + neurons] = values
    parameters[3 * columns] = c
    tile = min(samples, max(1, TILE_ENTRIES // columns))
    share = np.zeros(rows)
    share[:samples] = 1 / samples
    return Run(
        samples=samples,
        neurons=neurons,
        x=np.pad(x[order], (0, rows - samples), mode="edge"),
        y=np.pad(y[order], (0, rows - samples)),
        share=share,
        parameters=parameters,
        gradient=np.zeros(parameters.size),
        mean=np.zeros(parameters.size),
        square=np.zeros(parameters.size),
        responses=np.zeros(max(tile, WIDTH) * columns),
        partial=np.zeros(2 * tile * WIDTH),
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
        forces=np.zeros(neurons * WIDTH + columns),
        force=np.zeros(columns),
    )


@njit(**OPTIONS)
def _respond(run, start, stop, overlap, table):
    """Responses of a tile of samples; a sample's residual r = 2/N (f - y), times 1, x and x², and sum s = Σ_j h_ij."""
    constants = _constants(table)
    columns, count = run.positions.size, stop - start
    for i in range(2 * count):
        store(run.partial, i * WIDTH, fill(0.0))
    for j in range(0, columns, WIDTH):
        w, b = load(run.parameters, j) * ROOT, load(run.parameters, columns + j) * ROOT  # exp(-z²) = 2^-(ROOT z)²
        a = load(run.parameters, 2 * columns + j)
        for i in range(count):
            z = fma(w, run.x[start + i], b)
            h = halvings(z * z, constants)
            store(run.responses, i * columns + j, h)
            place = 2 * i * WIDTH
            store(run.partial, place, fma(h, a, load(run.partial, place)))
            if overlap:
                store(run.partial, place + WIDTH, load(run.partial, place + WIDTH) + h)
    c = run.parameters[3 * columns]
    for i in range(count):
        x = run.x[start + i]
        f = total(load(run.partial, 2 * i * WIDTH)) + c
        r = 2.0 / run.samples * (f - run.y[start + i])
        run.residual[i], run.residual_x[i], run.residual_xx[i] = r, r * x, r * x * x
        run.row_sum[i] = total(load(run.partial, (2 * i + 1) * WIDTH))
        run.gradient[3 * columns] += r


@njit(**OPTIONS)
def _fit(run, start, stop):
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
        twice_a = load(run.parameters, 2 * columns + j) * 2.0
        _add_moments(run, j, twice_a * m0, twice_a * m1, twice_a * m2)


@njit(**OPTIONS)
def _overlap(run, start, stop, factor):
    """Add the overlap's gradient of a tile: dL/dh_ij = factor (s_i - h_ij), summed as in `_fit`."""
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
        _add_moments(run, j, m0 * (2.0 * factor), m1 * (2.0 * factor), m2 * (2.0 * factor))


@njit(forceinline=True, **OPTIONS)
def _add_moments(run, j, m0, m1, m2):
    """Add -Σ_i g_i z_i (x_i, 1) to dL/d(w, b) of eight neurons, with z = w x + b and moments Σ_i g_i (1, x_i, x_i²)."""
    columns = run.positions.size
    w, b = load(run.parameters, j), load(run.parameters, columns + j)
    store(run.gradient, j, load(run.gradient, j) - fma(w, m2, b * m1))
    store(run.gradient, columns + j, load(run.gradient, columns + j) - fma(w, m1, b * m0))


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
def _coverage(run, temperature, strength, table):
    """Add the coverage's force on each prototype, 2 λ mean_i p_ij (x̂_j - x_i), with p_ij the soft minimum's weights.

    The weights are exp(-(d_ij² - m_i²)/τ) with m_i the distance to the nearest prototype, over their sum. For eight
    neighbouring samples only the prototypes between two bounds have a weight that is not 0 in float64.
    """
    constants = _constants(table)
    x, sorted_positions, neurons = run.x, run.sorted_positions, run.neurons
    scale = LOG2_E / temperature
    _find_nearest(run)
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
        here, nearest, whole = load(x, i), load(run.nearest, i), fill(0.0)
        for k in range(low, high):
            distance = sorted_positions[k] - here
            weight = halvings((distance * distance - nearest) * scale, constants)
            whole = whole + weight
            store(run.responses, k * WIDTH, weight * distance)
        share = load(run.share, i) * (2.0 * strength) / whole
        for k in range(low, high):
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
    constants = _constants(table)
    x, sorted_positions, neurons, samples = run.x, run.sorted_positions, run.neurons, run.samples
    scale = LOG2_E / temperature
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
    constants = _constants(table)
    sorted_positions, neurons = run.sorted_positions, run.neurons
    scale = LOG2_E / temperature
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
def _gradient(run, overlap, attractor, separation, attraction, repulsion, temperature, table):
    """dL/d(w, b, a, c) of the total loss, into run.gradient; `attraction` is λκ and `repulsion` is λρ."""
    columns, neurons = run.positions.size, run.neurons
    pairs = max(neurons * (neurons - 1), 1)
    w, b, gradient = run.parameters[:columns], run.parameters[columns : 2 * columns], run.gradient
    for k in range(0, gradient.size, WIDTH):
        store(gradient, k, fill(0.0))
    tile = run.residual.size
    for start in range(0, run.samples, tile):
        stop = min(start + tile, run.samples)
        _respond(run, start, stop, overlap, table)
        _fit(run, start, stop)
        if overlap:
            _overlap(run, start, stop, 2.0 * repulsion / (run.samples * pairs))
    if not (attractor or separation):
        return
    for j in range(0, columns, WIDTH):
        store(run.positions, j, load(b, j) * -1.0 / load(w, j))
    _sort(run)
    for k in range(0, run.forces.size, WIDTH):
        store(run.forces, k, fill(0.0))
    if attractor == COVERAGE or attractor == CHAMFER:
        _coverage(run, temperature, attraction, table)
    if attractor == CHAMFER:
        _mirror(run, temperature, attraction, table)
    if attractor == TRANSPORT:
        _transport(run, attraction)
    if separation:
        _separation(run, temperature, 4.0 * repulsion / (pairs * temperature), table)
    for k in range(neurons):
        run.force[run.order[k]] = total(load(run.forces, k * WIDTH)) + run.forces[neurons * WIDTH + k]
    for j in range(0, columns, WIDTH):  # x̂ = -b/w, so dx̂/db = -1/w and dx̂/dw = -x̂/w
        pull = load(run.force, j) / load(w, j)
        store(gradient, j, load(gradient, j) - pull * load(run.positions, j))
        store(gradient, columns + j, load(gradient, columns + j) - pull)


@njit(forceinline=True, **OPTIONS)
def adam_step(run, rate, root, adam):
    """One step of Adam by the gradient of a run: `rate` is the step size over the mean's bias correction, `root` the
    inverse root of the square's; `adam` holds β₁, β₂ and ε."""
    beta1, beta2, epsilon = adam
    for k in range(0, run.parameters.size, WIDTH):
        g, mean = load(run.gradient, k), load(run.mean, k)
        mean = fma(g - mean, 1.0 - beta1, mean)
        square = fma(g * g, 1.0 - beta2, load(run.square, k) * beta2)
        store(run.mean, k, mean)
        store(run.square, k, square)
        size = mean * rate / fma(square_root(square), root, fill(epsilon))
        store(run.parameters, k, load(run.parameters, k) - size)


@njit(**OPTIONS)
def _advance(run, terms, attraction, repulsions, temperature, rates, roots, adam, table):
    """Adam steps, one for each entry of `repulsions` (λρ), `rates` and `roots` (see `adam_step`); `terms` says which
    losses are on: overlap, the attractor's number, separation."""
    overlap, attractor, separation = terms
    for step in range(rates.size):
        _gradient(run, overlap, attractor, separation, attraction, repulsions[step], temperature, table)
        adam_step(run, rates[step], roots[step], adam)


# --- what the book and the sweep call ---


def gradient(
    x: torch.Tensor,
    y: torch.Tensor,
    parameters: Parameters,
    mask: str,
    strength: float = 1.0,
    temperature: float = 1e-4,
    attractor: str = "coverage",
    balance: float = 1.0,
    repulsion: float = 1.0,
) -> Parameters:
    """Return the gradient of `companion.core.losses.total_loss` as the fast engine computes it.

    Args:
        x, y: training data of one run, float64 of shape (samples,).
        parameters: w, b, a of shape (neurons,), c of shape ().
        mask: one of `MASKS`.
        strength: λ >= 0.
        temperature: τ > 0.
        attractor: one of `companion.core.losses.ATTRACTORS`.
        balance: κ >= 0.
        repulsion: ρ >= 0.

    Returns:
        dL/dw, dL/db, dL/da, of shape (neurons,), and dL/dc, of shape ().

    Raises:
        ValueError: as `train`.
    """
    settings = (mask, strength, temperature, 0, (), attractor, balance)
    strength, temperature, _, balance = require_training(x, y, parameters, *settings)
    repulsion = require_number("repulsion", repulsion)
    _require_cpu_float64(x, y, parameters)
    run = _new_run(*(value.detach().numpy() for value in (x, y, *parameters)))
    _gradient(run, *terms(mask, attractor), strength * balance, strength * repulsion, temperature, CONSTANTS)
    return _split(run, run.gradient)


def train(
    x: torch.Tensor,
    y: torch.Tensor,
    initial: Parameters,
    mask: str,
    strength: float = 1.0,
    temperature: float = 1e-4,
    steps: int = 2000,
    record: Sequence[int] = (),
    attractor: str = "coverage",
    balance: float = 1.0,
    anneal: bool = False,
) -> Trained:
    """Do what `companion.core.train.train` does, run after run and much faster; float64 on a CPU only.

    Arguments, result and errors are those of `companion.core.train.train`; the two agree to rounding, which training can
    amplify over many steps. The interpreter's lock is released, so threads train runs at the same time.
    Book: chapter "How fast, and how it survives", section "One run in cache".

    Raises:
        ValueError: as `companion.core.train.train`, or if a tensor is not float64 on a CPU.
    """
    strength, temperature, steps, balance = require_training(
        x, y, initial, mask, strength, temperature, steps, record, attractor, balance, anneal
    )
    _require_cpu_float64(x, y, initial)
    leading, neurons = initial.w.shape[:-1], initial.w.shape[-1]
    flat = [value.detach().reshape(-1, value.shape[-1]).numpy() for value in (x, y, initial.w, initial.b, initial.a)]
    rates, roots = _bias_corrections(steps)
    adam = (*BETAS, EPSILON)
    repulsions = strength * np.array(repulsion_schedule(steps, anneal))
    weights = (terms(mask, attractor), strength * balance)
    ends = sorted({*record, steps})
    trained, recorded = [], []
    for *row, c in zip(*flat, initial.c.detach().reshape(-1).tolist(), strict=True):
        run = _new_run(*row, c)
        done = 0
        for end in ends:
            part = slice(done, end)
            _advance(run, *weights, repulsions[part], temperature, rates[part], roots[part], adam, CONSTANTS)
            done = end
            parameters = _split(run, run.parameters)
            if end in record:
                recorded.append(-parameters.b / parameters.w)
        trained.append(parameters)
    trajectory = None
    if recorded:
        trajectory = torch.stack(recorded).reshape(*leading, len(record), neurons).movedim(-2, 0)
    w, b, a, c = (torch.stack(values) for values in zip(*trained, strict=True))
    return Trained(Parameters(*(v.reshape(*leading, neurons) for v in (w, b, a)), c.reshape(leading)), trajectory)


def terms(mask: str, attractor: str = "coverage") -> tuple[bool, int, bool]:
    """Return which losses a mask and an attractor switch on, as compiled code reads them: the attractor by number."""
    overlap, middle, separation = MASKS[mask]
    return overlap, (ATTRACTORS.index(attractor) + 1) * middle, separation


@functools.lru_cache(maxsize=8)
def _bias_corrections(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Adam's step size over the first bias correction, and the inverse root of the second, for each step."""
    passed = range(1, steps + 1)
    rates = [LEARNING_RATE / (1 - BETAS[0] ** step) for step in passed]
    roots = [1 / math.sqrt(1 - BETAS[1] ** step) for step in passed]
    return np.array(rates), np.array(roots)


def run_memory(size: int) -> int:
    """Return the bytes that the engine holds while it trains one run of `size` samples and neurons.

    Book: chapter "How fast, and how it survives", section "One run in cache".

    Args:
        size: N, at least 1.

    Returns:
        Bytes: responses of at most `TILE_ENTRIES` numbers, and all else in proportion to N.
    """
    ones = np.ones(size)
    return sum(value.nbytes for value in _new_run(ones, ones, ones, ones, ones, 0.0) if isinstance(value, np.ndarray))


def _split(run: Run, flat: np.ndarray) -> Parameters:
    """A flat array of a run as copies of w, b, a and c."""
    columns = run.positions.size
    rows = [flat[start : start + run.neurons] for start in range(0, 3 * columns, columns)]
    return Parameters(*(torch.from_numpy(row.copy()) for row in rows), torch.tensor(flat[3 * columns]))


def _require_cpu_float64(x: torch.Tensor, y: torch.Tensor, parameters: Parameters) -> None:
    for name, value in {"x": x, "y": y, **parameters._asdict()}.items():
        if value.dtype != torch.float64 or value.device.type != "cpu":
            raise ValueError(
                f"{name}: {value.dtype} on {value.device} was given; allowed is torch.float64 on cpu "
                "(engine 'torch' trains other types and devices)"
            )
