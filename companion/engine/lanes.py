"""Eight float64 numbers at a time: what both sets of kernels are written in, and the exponential.

The arithmetic is written out in lanes of eight, with one fixed order of every sum, rather than left to the compiler's
vectoriser: so a run gives the same bits on any number of threads and on processors with wide or narrow vectors.
Book: chapter "How fast, and how it survives".
"""

from __future__ import annotations

import math
import operator
import sys

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from companion.core.checks import array_of, shown
from companion.engine.cache import OPTIONS, SOURCE, kept_on_disk

WIDTH = 8
"""Numbers in a lane set: one AVX-512 register, two of AVX2; arrays are padded to multiples of it."""
TILE_ENTRIES = 2**15
"""Responses kept at once (256 kB): few enough for a core's second-level cache, and a bound on a run's memory."""
FAR = 1e150
"""Position of the padding behind the last prototype: its square is finite, its Gaussian is 0."""
NOTHING = 1075.5
"""2^-NOTHING rounds to 0 in float64, so a term that small is skipped."""
FAINT = 500.0
"""A response below 2^-FAINT, 3e-151, counts as 0: processors take their time for subnormal products of two."""
GREATEST = sys.float_info.max
"""What a factor that overflows is brought down to: infinity times 0 would be no number."""
LOG2_E = 1 / math.log(2)


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
def load_one(typing, array, index):
    """Return lanes that all hold array[index]; indexing would ask each time whether the index counts from the end."""

    def build(context, builder, signature, args):
        place = builder.gep(context.make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])
        return _spread(builder, types.float64, builder.load(place))

    return lanes(array, types.intp), build


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


@intrinsic
def spread(typing, array, index):
    """Return array[index], a number, in every lane."""

    def build(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        value = builder.load(builder.gep(data, [args[1]]))
        first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        return builder.shuffle_vector(first, ir.Constant(VECTOR, ir.Undefined), zeros)

    return lanes(array, types.intp), build


@intrinsic
def smaller(typing, x, y):
    """Return the smaller of two lanes, y where x is NaN."""

    def build(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("<", *args), *args)

    return lanes(lanes, lanes), build


@intrinsic
def larger(typing, x, y):
    """Return the larger of two lanes, y where x is NaN."""

    def build(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return lanes(lanes, lanes), build


def _any(comparison):
    @intrinsic
    def holds(typing, x, y):
        def build(context, builder, signature, args):
            flags = builder.bitcast(builder.fcmp_ordered(comparison, *args), ir.IntType(WIDTH))
            return builder.icmp_unsigned("!=", flags, ir.Constant(ir.IntType(WIDTH), 0))

        return types.boolean(lanes, lanes), build

    return holds


any_below = _any("<")
any_at_most = _any("<=")


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
    [float.fromhex(value) * (-1) ** power for power, value in enumerate(MINIMAX)] + [ROUNDER, 2.0**-LIFT],
    WIDTH,
)
"""What the exponential needs, in lanes: coefficients with alternating signs (it evaluates at -r), and two numbers.
They are an argument and no constants, so the compiler keeps them in registers and reads them once."""


@njit(forceinline=True, **OPTIONS)
def read_constants(table, nothing=NOTHING):
    """Return what the exponential needs, in lanes, from `CONSTANTS`; 2^-y counts as 0 where y is above `nothing`."""
    return (
        load(table, 0 * WIDTH), load(table, 1 * WIDTH), load(table, 2 * WIDTH), load(table, 3 * WIDTH),
        load(table, 4 * WIDTH), load(table, 5 * WIDTH), load(table, 6 * WIDTH), load(table, 7 * WIDTH),
        load(table, 8 * WIDTH), load(table, 9 * WIDTH), load(table, 10 * WIDTH), load(table, 11 * WIDTH),
        load(table, 12 * WIDTH), load(table, 13 * WIDTH), fill(nothing),
    )  # fmt: skip


@njit(forceinline=True, **OPTIONS)
def scale_of(temperature):
    """Return log2(e)/τ, by which exp(-d²/τ) = 2^-y with y = d² log2(e)/τ.

    Kept from infinity, whose product with 0 is no number; and from where the padding, `FAR` away, would be felt.
    """
    return min(max(LOG2_E / temperature, 2.0 * NOTHING / FAR**2), GREATEST)


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


def _with_source(source: str):
    @kept_on_disk
    def halvings_of(y, out, table):
        _ = source
        constants = read_constants(table)
        for i in range(0, y.size, WIDTH):
            store(out, i, halvings(load(y, i), constants))

    return halvings_of


_halvings_of = _with_source(SOURCE)


def power_of_half(y: np.ndarray) -> np.ndarray:
    """Return 2^-y, the exponential that every Gaussian of the fast engine is made of.

    Args:
        y: numbers of at least 0, infinity or NaN, any shape.

    Returns:
        2^-y to one unit in the last place, subnormal results too, shape of y.

    Raises:
        ValueError: if y holds something else than real numbers, or one below 0.
    """
    given = array_of("y", y)
    if (given < 0).any():
        raise ValueError(f"y: {shown(given)} was given; allowed are numbers of at least 0")
    numbers = np.zeros(padded(given.size))
    numbers[: given.size] = given.ravel()
    out = np.empty_like(numbers)
    _halvings_of(numbers, out, CONSTANTS)
    return out[: given.size].reshape(given.shape)


def padded(count: int) -> int:
    """Return the least multiple of `WIDTH` that holds `count` numbers."""
    return -(-count // WIDTH) * WIDTH
