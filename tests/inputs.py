"""Generated input: what the public functions take, what is nearly that, and what is nothing of the kind."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from hypothesis import strategies as st

from companion.core.checks import MOST_POINTS
from companion.core.network import Parameters, starting_batch
from companion.core.settings import (
    FORMS,
    MASKS,
    TARGETS_ON_THE_LINE,
    Attractor,
    Density,
    Optimiser,
    Settings,
    Target,
)

# --- nothing of the kind ---

NUMBERS = [
    0, 1, -1, 2, 3, 7, 2**31, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400, -(10**400), True, False,
    0.0, -0.0, 0.5, 1.0, 3.0, -2.5, 1e-4, 5e-324, 1e-300, 1e300, 1.7e308, float("nan"), float("inf"), -float("inf"),
    1j, Fraction(1, 3), Fraction(1, 10**400), Fraction(10**400), Decimal("0.1"), Decimal("NaN"),
    np.float32(0.5), np.float64("nan"), np.int64(3), np.uint8(200), np.bool_(True), np.longdouble(2), np.complex64(1j),
    np.datetime64("2026-11-28"), np.str_("000"),
]  # fmt: skip
WORDS = [
    "",
    "000",
    "111",
    "3",
    "1e-4",
    "nan",
    "[3, 5]",
    "sine",
    "fast",
    "cpu",
    "float64",
    "radial",
    "é\n\0",
]


class OwnSettings(Settings):
    """A subclass: its settings equal none of the module's."""


OTHERS: list[Any] = [
    None, ..., NotImplemented, b"000", b"", bytearray(b"3"), (), (3,), {}, {"mask": "010"}, set(), {3}, frozenset(),
    range(3), slice(3), int, len, object(), Path("x"), ValueError("x"), memoryview(b"ab"), Settings("010"),
    OwnSettings(),
    Parameters(*[torch.ones(2)] * 4), pd.DataFrame({"x": [1.0]}), pd.DataFrame(), pd.Series([1, 2]), pd.NA, pd.NaT,
    [None], [[]], ["000", 3], [[1], [1, 2]], [3, 3], [2**63], [float("nan")], ["000"], [object()],
]  # fmt: skip
MADE: list[Callable[[], Any]] = [  # anew each time: these are used up, or belong to whoever changes them
    lambda: iter([3, 4]), lambda: (n for n in ()), itertools.count,
]  # fmt: skip
KINDS = ["?", "i4", "i8", "u1", "f2", "f4", "f8", "c16", "U3", "O", "M8[s]"]
TENSORS = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.bool, torch.complex64]
SHAPES = [(), (0,), (1,), (2,), (3,), (0, 3), (3, 0), (1, 3), (2, 3), (3, 3), (2, 2, 2), (1, 0, 2)]
arrays = st.builds(lambda kind, shape: np.ones(shape).astype(kind), st.sampled_from(KINDS), st.sampled_from(SHAPES))
tensors = st.builds(lambda kind, shape: torch.ones(shape).to(kind), st.sampled_from(TENSORS), st.sampled_from(SHAPES))
odd_tensors = st.builds(
    lambda make, shape: make(torch.ones(shape, dtype=torch.float64)),
    st.sampled_from(
        [
            lambda t: t.to("meta"),
            lambda t: t.to_sparse(),
            lambda t: t.requires_grad_(),
            lambda t: t.requires_grad_() * 2,
            lambda t: t * float("nan"),
            lambda t: t * 1e300,
            lambda t: torch.nn.Parameter(t),
            lambda t: [t],
        ]
    ),
    st.sampled_from([(1,), (2,), (3,), (2, 3)]),
)
whole = st.integers().filter(lambda n: not 1_000 < n <= MOST_POINTS)
"""Whole numbers, but for sizes that are allowed and take minutes."""
foreign: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(WORDS),
    st.sampled_from(OTHERS),
    st.sampled_from(MADE).map(lambda make: make()),
    whole,
    st.floats(),
    st.text(max_size=5),
    st.lists(st.one_of(whole, st.floats(), st.none(), st.text(max_size=3)), max_size=4),
    arrays,
    tensors,
    odd_tensors,
)
"""Values of many types and sizes, few of which any argument takes."""

papermill_s: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 5),
        whole,
        st.floats(),
        st.sampled_from([one for one in NUMBERS if type(one) in (int, float)]),
        st.sampled_from([word for word in WORDS if "\0" not in word] + ["true", "none", "[1e-4, 2]", "[", "['000']"]),
        st.text(max_size=4),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
"""What papermill's -p, -y and -f can hand over."""

# --- nearly what it should be ---


def in_inference_mode(tensor: torch.Tensor) -> torch.Tensor:
    """A copy of which no gradient can be taken later."""
    with torch.inference_mode():
        return tensor.clone()


SPOILED: list[Callable[[torch.Tensor], Any]] = [
    lambda t: t[..., :-1] if t.dim() else t,
    lambda t: t[..., :0] if t.dim() else t,
    lambda t: t.unsqueeze(0),
    lambda t: t.unsqueeze(-1),
    lambda t: t.squeeze(),
    lambda t: t.reshape(-1)[0],
    lambda t: t.expand(2, *t.shape),
    lambda t: t * 0,
    lambda t: t * 0 - 0.0,
    lambda t: t * 1e300,
    lambda t: t * 1.7e308,
    lambda t: t * 1e-300,
    lambda t: t * 1e-320,
    lambda t: t / 0,
    lambda t: t * float("nan"),
    lambda t: torch.where(torch.rand(t.shape) < 0.5, t, float("inf")),
    lambda t: torch.where(torch.rand(t.shape) < 0.5, t, 0.0),
    lambda t: t.long(),
    lambda t: t.bool(),
    lambda t: t.float(),
    lambda t: t.half(),
    lambda t: t.to(torch.bfloat16),
    lambda t: t.to(torch.complex128),
    lambda t: t.to_sparse(),
    lambda t: t.to("meta"),
    lambda t: t.clone().requires_grad_(),
    in_inference_mode,
    lambda t: torch.complex(t, -t).conj().imag,  # its minus is a bit, which NumPy cannot hold
    lambda t: t.repeat_interleave(2, -1)[..., ::2] if t.dim() else t,
    lambda t: t.flip(-1) if t.dim() else t,
    lambda t: t.mT if t.dim() > 1 else t,
    lambda t: t.numpy(),
    lambda t: t.numpy().astype(object),
    lambda t: t.numpy()[::-1] if t.dim() else t.numpy(),
    lambda t: np.ma.masked_invalid(t.numpy()),
    lambda t: np.ma.masked_less(t.numpy(), 0.5),
    lambda t: np.asfortranarray(t.numpy()),
    lambda t: t.tolist(),
    lambda t: pd.Series(t.reshape(-1).numpy()),
]


def replaced(record: Any, place: int, part: Any) -> Any:
    """A named tuple with another value in one place."""
    return type(record)(*record[:place], part, *record[place + 1 :])


def near(value: Any) -> st.SearchStrategy[Any]:
    """Values that differ from a right one in one respect."""
    if isinstance(value, Parameters):
        spoiled = [
            st.sampled_from([None, (), tuple(value), list(value), value._asdict(), value[:3], (*value, value.c)]),
            *(
                near(part).map(lambda new, name=name: value._replace(**{name: new}))
                for name, part in value._asdict().items()
            ),
        ]
        return st.one_of(spoiled)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return st.one_of([(near(part) | foreign).map(partial(replaced, value, n)) for n, part in enumerate(value)])
    if isinstance(value, torch.Tensor):
        return st.sampled_from(SPOILED).map(lambda spoil: spoil(value))
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return st.sampled_from(SPOILED).map(lambda spoil: spoil(torch.from_numpy(value)))
    if isinstance(value, pd.DataFrame):
        return spoiled_tables(value)
    if isinstance(value, list | tuple | range) and len(value):
        values = list(value)
        return st.one_of(
            near(values[0]).map(lambda one: [one, *values[1:]]),
            st.just([*values, values[0]]),
            st.sampled_from([[], tuple(values), iter(values), values[0], frozenset(map(repr, values)), [values]]),
            foreign.map(lambda one: [*values, one]),
        )
    if isinstance(value, Settings):
        return st.one_of(st.just(OwnSettings(**asdict(value))), foreign)
    if isinstance(value, int) and not isinstance(value, bool):
        return st.sampled_from([value + 1, -value, float(value), str(value), np.int32(value), 10**9, -(10**400)])
    if isinstance(value, float):
        return st.sampled_from([-value, 0.0, -0.0, 5e-324, 1e-300, 1e300, 1.7e308, np.float32(value), str(value)])
    return foreign


def as_kind(table: pd.DataFrame, name: str, kind: str) -> pd.DataFrame:
    """A table with a column of another type, if it is one of numbers without gaps."""
    if not pd.api.types.is_numeric_dtype(table[name].dtype) or table[name].isna().any():
        return table
    return table.assign(**{name: table[name].to_numpy().astype(kind)})


def as_category(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return table.astype({name: "category"}) if pd.api.types.is_scalar(table[name].iloc[0]) else table


SPOILED_TABLES: list[Callable[[pd.DataFrame, str], Any]] = [
    lambda table, name: table.drop(columns=name),
    lambda table, name: table.iloc[:0],
    lambda table, name: table.iloc[:1],
    lambda table, name: table.iloc[::-1],
    lambda table, name: table.sample(frac=0.5, random_state=0),
    lambda table, name: pd.concat([table, table]),
    lambda table, name: table.assign(**{name: None}),
    lambda table, name: table.assign(**{name: "x"}),
    lambda table, name: table.assign(**{name: [3, *table[name][1:]]}),
    lambda table, name: table[table[name].map(repr) != repr(table[name].iloc[0])],
    lambda table, name: table.assign(**{name: float("nan")}),
    lambda table, name: table.assign(**{name: float("inf")}),
    lambda table, name: table.assign(**{name: 0}),
    lambda table, name: table.assign(**{name: [[1.0]] * len(table)}),
    lambda table, name: table.rename(columns={name: 3}),
    lambda table, name: table.set_index(name),
    lambda table, name: table.set_index(name, drop=False),
    lambda table, name: table.set_index(list(table.columns[:2]), drop=False),
    as_category,
    # None in another machine's byte order: pandas itself can neither filter nor print such a column.
    *(partial(as_kind, kind=kind) for kind in ("float16", "longdouble", "uint8", "bool", "str", "object", "complex")),
    lambda table, name: table.convert_dtypes(dtype_backend="numpy_nullable"),
    lambda table, name: table.convert_dtypes(dtype_backend="numpy_nullable").shift(),
    lambda table, name: table.convert_dtypes(dtype_backend="pyarrow"),
    lambda table, name: table.set_axis(pd.MultiIndex.from_product([["a"], table.columns]), axis=1),
    lambda table, name: table.to_dict("list"),
    lambda table, name: table.reset_index(drop=True).T,
]


def spoiled_tables(table: pd.DataFrame) -> st.SearchStrategy[Any]:
    """A table without a column or rows, with a column of something else, of other types or another index, and such."""
    return st.builds(
        lambda spoil, name: spoil(table, name), st.sampled_from(SPOILED_TABLES), st.sampled_from(list(table.columns))
    )


# --- right ---

sizes, seeds = st.integers(2, 5), st.integers(0, 3)
temperatures = st.sampled_from([1e-4, 1e-2, 1.0, 1e-20, 1e300, 5e-324])


@st.composite
def reals(draw: st.DrawFn, *shape: int) -> torch.Tensor:
    """Numbers of about unit size, now and then some equal, enormous or tiny, as a float64 tensor."""
    numbers = torch.from_numpy(np.random.default_rng(draw(st.integers(0, 2**32 - 1))).normal(size=shape))
    return numbers * draw(st.sampled_from([1.0, 1.0, 1.0, 0.0, 1e-300, 1e-8, 1e8, 1e150, 1e300]))


runs = st.sampled_from([(), (1,), (2,), (2, 2)])


@st.composite
def settings(draw: st.DrawFn, neurons: tuple[str, ...] = ("line", "radial", "ridge")) -> Settings:
    """Settings that are quick to train."""
    neuron = draw(st.sampled_from(neurons))
    place: dict[str, Any] = {"target": draw(st.sampled_from(TARGETS_ON_THE_LINE))}
    if neuron != "line":
        density = draw(st.sampled_from([Density.UNIFORM, Density.ARCSINE, Density.BELL, Density.CLUSTERS]))
        place = {"target": Target.DIAGONAL, "dimension": draw(st.integers(1, 3)), "density": density}
    elif draw(st.booleans()):
        forms = {name: type(getattr(Settings(), name)) for name in FORMS if name != "matched"}
        place |= {name: draw(st.sampled_from(list(levels))) for name, levels in forms.items()}
        place["matched"] = draw(st.booleans())
    return Settings(
        mask=draw(st.sampled_from(list(MASKS))),
        attractor=draw(st.sampled_from(list(Attractor))),
        strength=draw(st.sampled_from([1.0, 0.0, 1e-3, 1e300])),
        temperature=draw(temperatures),
        balance=draw(st.sampled_from([1.0, 0.0, 10.0, 1e300])),
        anneal=draw(st.booleans()),
        step_size=draw(st.sampled_from([0.01, 1e-300, 1e300])),
        steps=draw(st.integers(0, 3)),
        optimiser=draw(st.sampled_from(list(Optimiser))),
        neuron=neuron,
        **place,
    )


@st.composite
def batches(draw: st.DrawFn, leading: st.SearchStrategy[tuple[int, ...]] = runs) -> dict[str, Any]:
    """Data, a start and settings that go together; parameters now and then enormous, tiny, equal or 0."""
    chosen = draw(settings())
    shape = draw(leading)
    count = int(np.prod(shape))
    x, y, start = starting_batch(draw(sizes), range(count), chosen)
    x, y, *start = (value.reshape((*shape, *value.shape[1:])) for value in (x, y, *start))
    if draw(st.booleans()):
        scale = draw(st.sampled_from([0.0, 1e-300, 1e150, 1e300, 1e-160]))
        place = draw(st.integers(0, 3))
        start[place] = start[place] * scale
    return {"x": x, "y": y, "parameters": Parameters(*start), "settings": chosen}


# --- where it is given ---


def strict() -> ExitStack:
    """All warnings are errors, NumPy's of numbers that overflow, too: infinities are results."""
    stack = ExitStack()
    stack.enter_context(warnings.catch_warnings())
    warnings.simplefilter("error")
    stack.enter_context(np.errstate(all="raise"))
    return stack
