"""Checks of input shared by the module: each raises one error that says what was given and what is allowed."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch

Given = ParamSpec("Given")
Result = TypeVar("Result")


def requires(check: Callable[Given, object]) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Return what lets a function begin with a check of its arguments, so that its own lines are its equation."""

    def decorate(function: Callable[Given, Result]) -> Callable[Given, Result]:
        @functools.wraps(function)
        def checked(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            check(*args, **kwargs)
            return function(*args, **kwargs)

        return checked

    return decorate


def unchecked(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Return a function of `requires` without its check: a training makes it once, not at every step."""
    return inspect.unwrap(function)


def require_choice(name: str, given: Any, allowed: Collection[str]) -> str:
    """Return `given` if it is one of `allowed`.

    Raises:
        ValueError: if it is anything else.
    """
    if not isinstance(given, str) or given not in allowed:
        raise ValueError(f"{name}: {given!r} was given; allowed are {', '.join(repr(str(one)) for one in allowed)}")
    return given


def require_integer(name: str, given: Any, least: int) -> int:
    """Return `given` as an int of at least `least`.

    Raises:
        ValueError: if it is no whole number (a bool is none) or too small.
    """
    if isinstance(given, bool) or not isinstance(given, Integral) or given < least:
        raise ValueError(f"{name}: {given!r} was given; allowed are whole numbers of at least {least}")
    return int(given)


def require_number(name: str, given: Any, *, positive: bool = False) -> float:
    """Return `given` as a finite float, at least 0, or above 0 if `positive`.

    Raises:
        ValueError: if it is no finite number in that range.
    """
    is_number = not isinstance(given, bool) and isinstance(given, Real) and math.isfinite(given)
    if not is_number or given < 0 or (positive and given == 0):
        allowed = "finite numbers above 0" if positive else "finite numbers of at least 0"
        raise ValueError(f"{name}: {given!r} was given; allowed are {allowed}")
    return float(given)


def require_flag(name: str, given: Any) -> bool:
    """Return `given` if it is True or False.

    Raises:
        ValueError: if it is anything else.
    """
    if not isinstance(given, bool):
        raise ValueError(f"{name}: {given!r} was given; allowed are True and False")
    return given


def require_finite(**arrays: torch.Tensor | np.ndarray) -> None:
    """Pass if every entry of every array is a finite number.

    Raises:
        ValueError: naming the first array that holds a NaN or an infinity, and how many.
    """
    for name, values in arrays.items():
        finite = torch.isfinite(values) if isinstance(values, torch.Tensor) else np.isfinite(values)
        if not finite.all():
            count = int((~finite).sum())
            raise ValueError(
                f"{name}: {count} of {values.size if isinstance(values, np.ndarray) else values.numel()} "
                "values are NaN or infinite; allowed are finite numbers"
            )


def require_same_shape(**arrays: torch.Tensor | np.ndarray) -> None:
    """Pass if all arrays have one shape, with at least one dimension and one entry along the last.

    Raises:
        ValueError: naming each array with its shape.
    """
    _require_one("one shape (..., n) for all, with n at least 1", arrays, lambda shape: shape)


def require_same_runs(**arrays: torch.Tensor) -> None:
    """Pass if all arrays agree in their leading dimensions (the runs), whatever their last one.

    Raises:
        ValueError: naming each array with its shape.
    """
    _require_one("equal leading dimensions and a last one of at least 1", arrays, lambda shape: shape[:-1])


def require_points(**arrays: torch.Tensor | np.ndarray) -> None:
    """Pass if arrays of points, shape (..., n, d), agree in their leading dimensions and in d.

    Raises:
        ValueError: naming each array with its shape.
    """
    allowed = "(..., n, d) with equal leading dimensions and d"
    _require_one(allowed, arrays, lambda shape: (shape[:-2], shape[-1:]), least=2)


Shape = tuple[int, ...]


def _require_one(
    allowed: str, arrays: Mapping[str, torch.Tensor | np.ndarray], part: Callable[[Shape], Any], least: int = 1
) -> None:
    """Refuse arrays that differ in a part of their shapes, have too few dimensions, or none of a last one."""
    shapes = {name: tuple(values.shape) for name, values in arrays.items()}
    if len(set(map(part, shapes.values()))) > 1 or any(len(s) < least or 0 in s[-least:] for s in shapes.values()):
        given = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"shapes: {given} were given; allowed {'is' if least == 1 else 'are'} {allowed}")
