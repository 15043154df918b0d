"""The multiverse: axes, on each of which the paper leaves a choice; universes, a choice on every axis; their samples.

A universe holds the paper's whole design, eight masks at six sizes. Its sample and its number there are enough to make
its runs again. Book: chapter "Every reading at once", section "The axes".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import qmc

from companion.core.checks import MOST_POINTS, require_choice, require_integer, require_seed
from companion.core.settings import (
    MASKS,
    TARGETS_ON_THE_LINE,
    Activation,
    CoverageForm,
    Initialisation,
    Inputs,
    OverlapForm,
    Reduction,
    SeparationForm,
    Settings,
)
from companion.sweeps.measures import METRICS, READINGS
from companion.sweeps.store import Group
from companion.sweeps.sweep import PAPER_SIZES, list_of, run_groups

SEEDS = tuple(range(7000, 7010))
"""Of the multiverse's runs; nothing before had looked at them."""
NUMBER, SEED = 1024, 20261128
"""Universes in the Sobol' sample, and the seed of its scrambling."""
MOST = 2**16
"""Universes of a sample at most."""


class Level(NamedTuple):
    """One choice on an axis: its name, and the settings that it makes; λ and τ may depend on N."""

    name: str
    settings: Mapping[str, Any]

    def at(self, size: int) -> dict[str, Any]:
        """Return the settings at a size N."""
        return {name: value(size) if callable(value) else value for name, value in self.settings.items()}


def _levels(setting: str, levels: Any) -> tuple[Level, ...]:
    return tuple(Level(str(level), {setting: level}) for level in levels)


AXES: dict[str, tuple[Level, ...]] = {
    "inputs": _levels("inputs", Inputs),
    "target": _levels("target", TARGETS_ON_THE_LINE),
    "activation": _levels("activation", Activation),
    "initialisation": _levels("initialisation", Initialisation),
    "coverage": _levels("coverage_form", CoverageForm),
    "separation": _levels("separation_form", SeparationForm),
    "overlap": _levels("overlap_form", OverlapForm),
    "reduction": _levels("reduction", Reduction),
    "λ": (
        *(Level(f"{strength:g}", {"strength": strength}) for strength in (1.0, 0.01, 0.1, 10.0)),
        Level("gradient-matched", {"matched": True}),
    ),
    "τ": (
        *(Level(f"{temperature:g}", {"temperature": temperature}) for temperature in (1e-4, 1e-3, 1e-2, 1e-1)),
        Level("1/N²", {"temperature": lambda size: size**-2.0}),
    ),
    "optimiser": (
        Level("Adam, 0.01", {"step_size": 0.01}),
        Level("Adam, 0.001", {"step_size": 0.001}),
        Level("momentum", {"optimiser": "momentum", "step_size": 1.0}),
    ),
    "steps": tuple(Level(f"{steps:,}", {"steps": steps}) for steps in (2000, 500, 5000, 20_000)),
}
"""The axes by name, each with its levels, the nominal one first. A form that the settings get more is a level more."""

FINER = {
    "λ": tuple(
        Level(f"{10 ** (power / 2):.3g}", {"strength": 10 ** (power / 2)}) for power in np.arange(-4, 5).tolist()
    ),
    "τ": tuple(
        Level(f"{10 ** (power / 2):.3g}", {"temperature": 10 ** (power / 2)}) for power in np.arange(-10, -1).tolist()
    ),
}
"""Levels of two axes in half decades: λ from 0.01 to 100, τ from 1e-5 to 0.1."""

TRANSPORT = Level("transport", {"attractor": "transport"})
"""Our attractor in coverage's place. No reading of the paper, so no level of an axis."""


class Universe(NamedTuple):
    """A level on every axis, in their order."""

    levels: tuple[Level, ...]

    @property
    def names(self) -> dict[str, str]:
        """The level's name by axis."""
        return {axis: level.name for axis, level in zip(AXES, self.levels, strict=True)}

    def settings(self, mask: str, size: int) -> Settings:
        """Return the settings of one mask and size."""
        return Settings.of(
            {"mask": mask} | {name: value for level in self.levels for name, value in level.at(size).items()}
        )

    @classmethod
    def of(cls, names: Mapping[str, str]) -> Universe:
        """Return the universe whose levels have these names by axis; an axis that is not named stays nominal.

        Raises:
            ValueError: naming what is not allowed.
        """
        chosen = {}
        for axis, name in names.items():
            levels = {level.name: level for level in AXES[require_choice("axis", axis, AXES)]}
            chosen[axis] = levels[require_choice(axis, name, levels)]
        return NOMINAL.but(**chosen)

    def but(self, **changes: Level) -> Universe:
        """Return the universe with other levels on some axes."""
        return Universe(tuple(changes.get(axis, level) for axis, level in zip(AXES, self.levels, strict=True)))


NOMINAL = Universe(tuple(levels[0] for levels in AXES.values()))
"""The book's own choice."""


def _sobol(axes: Mapping[str, Sequence[Level]], number: int) -> list[Universe]:
    """A scrambled Sobol' sequence over the axes: its first 2^k universes are spread evenly, too."""
    points = qmc.Sobol(len(axes), seed=SEED).random_base2((number - 1).bit_length())  # SciPy warns of other lengths
    places = (points * [len(levels) for levels in axes.values()]).astype(int)
    rows = [[levels[k] for levels, k in zip(axes.values(), row, strict=True)] for row in places]
    return [NOMINAL.but(**dict(zip(axes, row, strict=True))) for row in rows]


def _neighbours(axes: Mapping[str, Sequence[Level]], number: int) -> list[Universe]:
    """The nominal universe, and all that differ from it on one axis."""
    return [NOMINAL, *(NOMINAL.but(**{axis: level}) for axis, levels in axes.items() for level in levels[1:])]


def _grid(axes: Mapping[str, Sequence[Level]], number: int) -> list[Universe]:
    """Every combination of the axes' levels."""
    return [NOMINAL.but(**dict(zip(axes, row, strict=True))) for row in product(*axes.values())]


SAMPLINGS: dict[str, Callable[[Mapping[str, Sequence[Level]], int], list[Universe]]] = {
    "sobol": _sobol,
    "sobol, transport": lambda axes, number: [one.but(coverage=TRANSPORT) for one in _sobol(axes, number)],
    "neighbours": _neighbours,
    "grid": _grid,
    "finer grid": lambda axes, number: _grid({axis: FINER.get(axis, levels) for axis, levels in axes.items()}, number),
}
"""How universes are drawn, of some axes' levels and a number that the Sobol' sequence alone needs; the other axes stay
nominal."""


def universes(sampling: str, axes: Sequence[str] = tuple(AXES), number: int = NUMBER) -> list[Universe]:
    """Return a sample of universes; a universe's number is its place here.

    Book: chapter "Every reading at once", section "The sample".

    Args:
        sampling: a name in `SAMPLINGS`.
        axes: names in `AXES` that vary, none twice; the others stay nominal.
        number: of universes, from 1 to `MOST`: the first ones, of a Sobol' sequence of this length or longer.

    Returns:
        At most `number` universes.

    Raises:
        ValueError: naming what is not allowed.
    """
    draw = SAMPLINGS[require_choice("sampling", sampling, SAMPLINGS)]
    number = require_integer("number", number, least=1, most=MOST)
    names = list_of("axes", axes, lambda name, given: require_choice(name, given, AXES))
    return draw({axis: AXES[axis] for axis in names}, number)[:number]


MEASURED = (*METRICS, *READINGS)
"""Of each run of a universe, what is kept: no weights, as its universe, size, mask and seed make it again."""


def run_universes(
    numbered: Mapping[int, Universe],
    *,
    masks: Sequence[str] = tuple(MASKS),
    sizes: Sequence[int] = PAPER_SIZES,
    seeds: Sequence[int] = SEEDS,
    **options: Any,
) -> pd.DataFrame:
    """Train and measure universes, each by its number.

    Args:
        numbered: the universes of a sample that are to run.
        masks, sizes, seeds: of each; as of `companion.sweeps.sweep.run_sweep`.
        options: of `companion.sweeps.sweep.run_groups`, but for the columns.

    Returns:
        One row a run, ordered by universe, mask, size and seed: `universe`, `mask`, `size`, `seed`, and `MEASURED` as
        float32. `attrs["versions"]` holds the library versions.

    Raises:
        As `companion.sweeps.sweep.run_groups`.
    """
    masks = list_of("masks", masks, lambda name, given: require_choice(name, given, MASKS))
    sizes = list_of("sizes", sizes, lambda name, given: require_integer(name, given, least=2, most=MOST_POINTS))
    seeds = tuple(list_of("seeds", seeds, require_seed))
    designs = {
        number: [Group(universe.settings(mask, size), size, seeds) for mask in masks for size in sizes]
        for number, universe in numbered.items()
    }
    # Universes may share groups: at N = 100 τ = 1/N² is 1e-4.
    groups = list(dict.fromkeys(group for design in designs.values() for group in design))
    runs = run_groups(groups, columns=["mask", "size", "seed", *MEASURED], **options)
    first = {group: place * len(seeds) for place, group in enumerate(groups)}
    rows = [first[group] + place for design in designs.values() for group in design for place in range(len(seeds))]
    table = runs.iloc[rows].reset_index(drop=True).astype(dict.fromkeys(MEASURED, np.float32))
    table.insert(0, "universe", np.repeat(list(designs), len(masks) * len(sizes) * len(seeds)))
    table.attrs = runs.attrs
    return table


def parts_of(
    sample: Sequence[Universe], out: str, part: int, parts: Sequence[int] = ()
) -> dict[str, dict[int, Universe]]:
    """Return the universes of a sample by the file that holds their runs, and by their numbers.

    Args:
        sample: what `universes` returned.
        out: how the files' names begin; then follows the number of their first universe.
        part: universes a file, at least 1.
        parts: which files, counted from 0, none twice; none means all.

    Raises:
        ValueError: naming what is not allowed.
    """
    part = require_integer("part", part, least=1)
    starts = range(0, len(sample), part)
    if parts:
        chosen = partial(require_integer, least=0, most=len(starts) - 1)
        starts = [part * place for place in list_of("parts", parts, chosen)]
    return {f"{out}-{first:04}.parquet": dict(enumerate(sample[first : first + part], first)) for first in starts}
