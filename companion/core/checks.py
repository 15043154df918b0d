"""Checks of input shared by the module: each raises one ValueError that says what was given and what is allowed."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar, get_type_hints

import numpy as np
import torch

MOST_POINTS = 100_000
"""Largest N, and largest dimension: the distances of so many points fill 80 GB."""
MOST_STEPS = 10_000_000
"""Longest training: what is known of each step in advance fills a gigabyte."""
MOST_VALUES = 1_000_000
"""Longest list: an iterator without an end is refused, too."""
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types of tensors that the module computes with."""
Given = ParamSpec("Given")
Result = TypeVar("Result")


def checked_by(check: Callable[Given, object]) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Return what lets a function begin with a check of its arguments, so that its own lines are its equation."""

    def decorate(function: Callable[Given, Result]) -> Callable[Given, Result]:
        @functools.wraps(function)
        def checked(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            check(*args, **kwargs)
            return function(*args, **kwargs)

        return checked

    return decorate


def requires(
    finite: Collection[str] = (), positive: Collection[str] = ()
) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Return what checks a function's tensors by the shapes of its annotations, and some of its arguments' values.

    Args:
        finite: names of the tensors that may hold neither NaN nor infinities.
        positive: names of the numbers that must be above 0.
    """

    def decorate(function: Callable[Given, Result]) -> Callable[Given, Result]:
        signature, hints = inspect.signature(function), get_type_hints(function)
        shapes = {name: hints[name].dim_str for name in signature.parameters if hasattr(hints[name], "dim_str")}

        @functools.wraps(function)
        def checked(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            require_tensors(**{name: given[name] for name in shapes})
            require_shapes(shapes, **{name: given[name] for name in shapes})
            require_finite(**{name: given[name] for name in finite})
            for name in positive:
                given[name] = require_number(name, given[name], positive=True)
            return function(*bound.args, **bound.kwargs)

        return checked

    return decorate


def unchecked(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Return a function of `requires` without its check: a training makes it once, not at every step."""
    return inspect.unwrap(function)


def shown(given: object) -> str:
    """Return what was given as an error writes it: on one line, and not at any length."""
    try:
        text = " ".join(line.strip() for line in repr(given).splitlines())
    except Exception:  # such as of a whole number with more digits than Python writes
        text = f"an object of type {type(given).__name__}"
    return text if len(text) <= 200 else f"{text[:200]}…"


def require_choice(name: str, given: Any, allowed: Collection[str]) -> str:
    """Return `given` if it is one of `allowed`."""
    if not isinstance(given, str) or given not in allowed:
        raise ValueError(
            f"{name}: {shown(given)} was given; allowed are {', '.join(repr(str(one)) for one in allowed)}"
        )
    return given


def require_integer(name: str, given: Any, least: int, most: int | None = None) -> int:
    """Return a whole number, which a bool is not, of at least `least` and, unless that is None, at most `most`."""
    whole = int(given) if isinstance(given, Integral) and not isinstance(given, bool) else least - 1
    if whole < least or (most is not None and whole > most):
        allowed = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name}: {shown(given)} was given; allowed are whole numbers {allowed}")
    return whole


def require_number(name: str, given: Any, *, positive: bool = False) -> float:
    """Return `given` as a finite float, at least 0, or above 0 if `positive`; what a float holds as 0 is 0."""
    number = math.nan
    if isinstance(given, Real) and not isinstance(given, bool):
        try:
            number = float(given)
        except OverflowError:
            number = math.inf
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        allowed = "finite numbers above 0" if positive else "finite numbers of at least 0"
        raise ValueError(f"{name}: {shown(given)} was given; allowed are {allowed}")
    return number + 0.0  # -0.0 is 0.0


def require_seed(name: str, given: Any) -> int:
    """Return a seed, refusing one that no column of 64-bit numbers holds."""
    return require_integer(name, given, least=0, most=2**63 - 1)


def require_flag(name: str, given: Any) -> bool:
    """Return `given` if it is True or False."""
    if not isinstance(given, bool):
        raise ValueError(f"{name}: {shown(given)} was given; allowed are True and False")
    return given


def require_a(kind: type[Result], name: str, given: Any) -> Result:
    """Return `given` if it is an instance of a class."""
    if not isinstance(given, kind):
        raise ValueError(f"{name}: {shown(given)} was given; allowed is a {kind.__name__}")
    return given


def require_list(name: str, given: Any, check: Callable[[str, Any], Result], least: int = 1) -> list[Result]:
    """Return the checked values of a list or another iterable that has an end, at least `least` of them."""
    values: list[Any] | None = None
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping):
        with contextlib.suppress(Exception):  # an array without a dimension says of itself that it is iterable
            values = list(islice(given, MOST_VALUES + 1))
    if values is None or not least <= len(values) <= MOST_VALUES:
        allowed = f"a list of at least {least or 'no'} and at most {MOST_VALUES} values"
        raise ValueError(f"{name}: {shown(given)} was given; allowed is {allowed}")
    return [check(name, value) for value in values]


def array_of(name: str, given: Any) -> np.ndarray:
    """Return real numbers as a float64 array; a tensor is taken off its device and its graph."""
    try:
        if isinstance(given, torch.Tensor):
            given = (given.double() if given.dtype in FLOATS else given).numpy(force=True)  # NumPy has no bfloat16
        array = np.asarray(given)
        real = (isinstance(one, Real) for one in array[array.dtype == object].flat)
        masked = any(map(np.ma.is_masked, given if isinstance(given, list | tuple) else [given]))
        if masked or array.dtype.kind not in "biufO" or not all(real):
            raise TypeError
        return array.astype(np.float64, copy=False)
    except Exception:  # whatever an object raises that is asked for an array
        raise ValueError(f"{name}: {shown(given)} was given; allowed is an array of real numbers") from None


def require_tensors(**given: Any) -> None:
    """Pass if all are dense tensors of one floating-point type, on one device.

    Raises:
        ValueError: naming the first that is not, or each with its type and device.
    """
    for name, value in given.items():
        fits = isinstance(value, torch.Tensor) and value.dtype in FLOATS and value.layout == torch.strided
        if not fits or value.is_meta or value.is_nested:
            raise ValueError(f"{name}: {shown(value)} was given; allowed is a torch tensor of floating-point numbers")
    if len({(value.dtype, value.device) for value in given.values()}) > 1:
        kinds = ", ".join(f"{name} {value.dtype} on {value.device}" for name, value in given.items())
        raise ValueError(f"types: {kinds} were given; allowed is one type on one device for all")


def require_finite(**arrays: torch.Tensor | np.ndarray) -> None:
    """Pass if every entry of every array is a finite number.

    Raises:
        ValueError: naming the first array that holds a NaN or an infinity, and how many.
    """
    for name, values in arrays.items():
        finite = torch.isfinite(values) if isinstance(values, torch.Tensor) else np.isfinite(values)
        with contextlib.suppress(RuntimeError):  # under torch.func.vmap a tensor has no values to look at
            if count := int((~finite).sum()):
                given = f"{count} of {math.prod(finite.shape)} values"
                raise ValueError(f"{name}: {given} are NaN or infinite; allowed are finite numbers")


def require_shapes(shapes: Mapping[str, str], **arrays: torch.Tensor | np.ndarray) -> None:
    """Pass if arrays have the shapes that `shapes` gives for their names, each such as "*runs samples d".

    A name stands for one length of at least 1, wherever it is written; one with a star for any leading dimensions.

    Raises:
        ValueError: naming each array with its shape.
    """
    lengths: dict[str, object] = {}
    for name, array in arrays.items():
        names, shape = shapes[name].split(), tuple(array.shape)
        if names[:1] == ["*runs"]:
            cut = max(0, len(shape) - len(names) + 1)
            shape = (shape[:cut], *shape[cut:])
        pairs = zip(names, shape, strict=False)
        if len(names) != len(shape) or not all(n != 0 and lengths.setdefault(key, n) == n for key, n in pairs):
            given = ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items())
            written = {name: shapes[name].replace("*runs", "...").replace(" ", ", ") for name in arrays}
            allowed = ", ".join(f"{name} ({shape})" for name, shape in written.items())
            raise ValueError(f"shapes: {given} were given; allowed are {allowed}, equal lengths for equal names")


def require_same_shape(**arrays: torch.Tensor | np.ndarray) -> None:
    """Pass if all arrays have one shape, with at least one dimension and one entry along the last; see above."""
    require_shapes(dict.fromkeys(arrays, "*runs n"), **arrays)
