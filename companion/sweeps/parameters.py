"""A notebook's parameters: none unknown; text, which papermill's -p and YAML make of much, read as what it says."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from types import GenericAlias
from typing import Any, NewType, get_args

import pandas as pd
import pyarrow.parquet as pq

from companion.core.checks import require_a, require_choice, require_list, shown
from companion.core.settings import MASKS, Settings
from companion.sweeps.runs import groups_of, require_table, settings_in

Mask = NewType("Mask", str)
"""A mask's bits, such as "010"."""
NONE = ("none", "null")
FLAGS = {"true": True, "yes": True, "false": False, "no": False}
"""How None, True and False may be written, in small letters or capitals: as in Python, in JSON, in YAML."""
DRAWN = (
    *("mask", "size", "seed", "strength", "temperature", "steps", "engine", *"xywbac"),
    *("fit_mse", "reconstruction_error", "specialization_ratio", "expelled_fraction"),
)
"""Columns that the paper's figures and the line below them need."""


def only_parameters(names: Mapping[str, Any], known: Collection[str]) -> None:
    """Pass if papermill was given no parameter but those known; by itself it runs with any, and only logs them.

    Args:
        names: the notebook's names, `globals()`: the kernel keeps the cells it ran under `In`.
        known: the names in the notebook's cell of parameters.

    Raises:
        ValueError: naming the first other one.
    """
    # The last one: in an open notebook it may have been mended and run again.
    for cell in [cell for cell in names.get("In", []) if cell.startswith("# Parameters\n")][-1:]:
        for name in re.findall(r"^(\w+) = ", cell, re.MULTILINE):
            require_choice("parameter", name, known)


def read_parameters(names: Mapping[str, Any], /, **kinds: type | GenericAlias | NewType) -> dict[str, Any]:
    """Return a notebook's parameters, text read as what they are; whether a value is allowed is its user's to check.

    Args:
        names: the notebook's names, `globals()`.
        kinds: of each parameter bool, int, float, str, `Mask`, or a list of one, such as list[int]. "none" is None, of
            whatever kind; text that is nothing of its kind stays text; one value is a list of one.

    Raises:
        ValueError: naming a parameter that is unknown, or one whose text is no list where one is read.
    """
    only_parameters(names, kinds)
    return {name: _read(name, names[name], kind) for name, kind in kinds.items()}


def _read(name: str, given: Any, kind: Any) -> Any:
    """Return a parameter's value, or its values."""
    if not isinstance(kind, GenericAlias):
        return _value(given, kind)
    (part,) = get_args(kind)
    if isinstance(given, str):
        text = given.strip()
        inner = text[1:-1] if text[:1] + text[-1:] in ("[]", "()") else text
        if not text or set(inner) & set("[]()"):
            raise ValueError(f"{name}: {shown(given)} was given; allowed is a list such as [3, 5], or one value")
        given = [word.strip("\"'") for word in re.split(r"[,\s]+", inner) if word]  # NumPy writes no commas
    several = isinstance(given, Iterable) and not isinstance(given, Mapping)
    return [_value(one, part) for one in (given if several else [given])]


def _value(given: Any, kind: Any) -> Any:
    """Return what text says, if it says something of that kind; whatever else as it is."""
    if kind is Mask and isinstance(given, int) and not isinstance(given, bool):
        return f"{given:03}"  # papermill's -p reads 010 as the number 10; YAML 1.1 as 8, which stays no mask
    if not isinstance(given, str):
        return given
    word = given.strip().lower()
    if word in NONE:
        return None
    if kind is bool:
        return FLAGS.get(word, given)
    try:
        return kind(given)
    except ValueError:
        return given


def every_combination(lists: Mapping[str, Iterable[Any]], same: dict[str, Any]) -> list[Settings]:
    """Return the settings of every combination of some settings' values.

    Args:
        lists: of each of these settings its values, at least one and none twice.
        same: the settings that are one for all.

    Raises:
        ValueError: naming the first setting that is not allowed.
    """
    require_a(Mapping, "lists", lists)
    require_a(Mapping, "same", same)
    if twice := [name for name in lists if name in same]:
        raise ValueError(f"same: {', '.join(map(repr, twice))} was given with lists of them; allowed is one of the two")
    values = [require_list(name, given, lambda _, value: value) for name, given in lists.items()]
    found = [Settings.of({**same, **dict(zip(lists, row, strict=True))}) for row in product(*values)]
    for name, given in zip(lists, values, strict=True):
        if len({getattr(settings, name) for settings in found}) < len(given):
            raise ValueError(f"{name}: {shown(given)} was given; allowed is a list that holds no value twice")
    return found


def read_runs(name: str, path: str, usual: str, columns: Sequence[str] = DRAWN) -> pd.DataFrame:
    """Return the runs of a file that a chapter is given; of a reader's own, `attrs["file"]` is its name.

    Args:
        name: the chapter's parameter, for the error.
        path: a Parquet file that `write_runs` wrote.
        usual: the file of `data/` that the chapter is about, such as "replication.parquet".
        columns: those that the chapter needs; others are read only by default.

    Raises:
        ValueError: if there is no such file, or it lacks a column, the versions that made it, or any run.
    """
    columns = require_list("columns", columns, partial(require_a, str))
    try:
        if not Path(path).is_file():
            raise FileNotFoundError
        held = pq.read_schema(path).names
        every = columns == list(DRAWN)
        runs = pd.read_parquet(path, columns=None if every else [one for one in columns if one in held])
    except Exception:  # whatever a damaged file makes its readers raise
        raise ValueError(f"{name}: {shown(path)} was given; allowed is a Parquet file that the sweep wrote") from None
    lacks = [*(one for one in columns if one not in held), *(["versions"] if not runs.attrs.get("versions") else [])]
    if lacks or runs.empty:
        what = f"without {', '.join(lacks)}" if lacks else "without runs"
        raise ValueError(f"{name}: {path!r} {what} was given; allowed is a Parquet file that the sweep wrote")
    runs.attrs.pop("file", None)
    if path != f"../data/{usual}":
        runs.attrs["file"] = Path(path).name
    return runs


def require_design(name: str, runs: pd.DataFrame) -> None:
    """Pass if runs are of one choice of settings and of all eight masks at every size, as the paper's figures are.

    Args:
        name: what they are called, for the error.
        runs: one row a run.

    Raises:
        ValueError: if they are not.
    """
    runs = require_table(name, runs, keys=("mask", "size"))
    masks = [set(group["mask"]) for _, group in groups_of(runs, "size")]
    if any(one != set(MASKS) for one in masks):
        held = ", ".join(sorted(map(str, set.intersection(*masks))))
        raise ValueError(f"{name}: runs that have at every size masks {held} were given; allowed are all eight there")
    if len(given := {settings.but(mask="000").text for settings in settings_in(runs)}) > 1:
        raise ValueError(f"{name}: runs of {len(given)} choices of settings were given; allowed is one for all masks")
