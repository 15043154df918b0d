"""The referee's sweep: every neuron, dimension, density, mask, attractor and size, trained and measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import closing
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from companion.core.checks import require_choice, require_integer
from companion.core.hull import fresh_outside, hull_expelled
from companion.core.losses import MASKS
from companion.core.metrics import specialization_ratio
from companion.core.network import Parameters, output
from companion.core.space import (
    DENSITIES,
    NEURONS,
    space_activations,
    space_batch,
    space_chance,
    space_error,
    space_prototypes,
    space_start,
    space_temperature,
    train_space,
)
from companion.core.tables import TABLES, table_chance, table_outside, table_task, table_temperature
from companion.core.train import LEARNING_RATE
from companion.judging.referee import HOT
from companion.sweeps.store import differing_versions
from companion.sweeps.sweep import library_versions, write_runs
from companion.sweeps.workers import as_they_finish

TARGET = "diagonal"
VARIANTS = (
    *((mask, "coverage", 1.0) for mask in MASKS),
    ("010", "transport", 1.0),
    ("110", "transport", 1.0),
    ("001", "coverage", HOT),
)
"""What is trained on every training set: mask, attractor, and temperature over the nominal one."""
KEPT = ["x", "y", "w", "b", "a", "c", "prototypes", "values"]
"""What is kept of a network that a picture shows, each as one flat list."""


class Cell(NamedTuple):
    """Runs that train together: all seeds of one setting; `density` is a density's name or a table's."""

    neuron: str
    dimension: int
    density: str
    mask: str
    attractor: str
    heat: float
    size: int
    seeds: tuple[int, ...]
    strength: float
    steps: int
    engine: str

    @property
    def name(self) -> str:
        """A file's name that says which runs these are."""
        settings = (*self[:5], f"{self.heat:g}", f"N{self.size}", f"{self.seeds[0]}-{self.seeds[-1]}-{len(self.seeds)}")
        return "_".join(map(str, (*settings, f"{self.strength:g}", self.steps, self.engine))) + ".parquet"


def train_fast(*arguments: Any) -> Parameters:
    """Return what `companion.engine.space.train` does; numba is imported only where runs are trained."""
    from companion.engine import space as fast_space

    return fast_space.train(*arguments)


ENGINES: dict[str, Callable[..., Parameters]] = {"fast": train_fast, "torch": train_space}
"""Engines by name: the compiled one, and the plain reference."""


def design(
    neurons: Iterable[str],
    dimensions: Iterable[int],
    densities: Iterable[str],
    sizes: Iterable[int],
    seeds: Iterable[int],
    tables: Iterable[str] = (),
    strength: float = 1.0,
    steps: int = 2000,
    engine: str = "fast",
) -> list[Cell]:
    """Return the cells of a sweep: every combination, and every table, each with all of `VARIANTS`.

    Book: chapter "More dimensions, other densities", section "Data".

    Args:
        neurons: names in `companion.core.space.NEURONS`.
        dimensions, densities, sizes: of the drawn training sets.
        seeds: of each cell; a table has the same rows at every seed, and starts that differ.
        tables: names in `companion.core.tables.TABLES`; their size and dimension are their own.
        strength: λ >= 0.
        steps: Adam steps, at least 0.
        engine: a name in `ENGINES`.

    Raises:
        ValueError: naming the first argument that is not allowed.
    """
    engine, seeds = (
        require_choice("engine", engine, ENGINES),
        tuple(require_integer("seeds", s, least=0) for s in seeds),
    )
    neurons = [require_choice("neurons", name, NEURONS) for name in neurons]
    places = [
        (require_integer("dimensions", d, least=1), require_choice("densities", name, DENSITIES), size)
        for d, name, size in product(dimensions, densities, [require_integer("sizes", n, least=2) for n in sizes])
    ]
    for name in tables:
        rows, dimension = table_task(require_choice("tables", name, TABLES)).x.shape
        places.append((dimension, name, rows))
    return [
        Cell(neuron, dimension, density, *variant, size, seeds, strength, steps, engine)
        for neuron, (dimension, density, size), variant in product(neurons, places, VARIANTS)
    ]


def run_cells(cells: Sequence[Cell], executor: Executor | None = None, store: str | Path | None = None) -> pd.DataFrame:
    """Train and measure cells, the longest first; one that the store holds is read instead.

    Book: chapter "More dimensions, other densities", section "Data".

    Args:
        cells: what `design` returned.
        executor: where they are trained, such as one of `companion.sweeps.workers.open_executor`; None means in this process.
        store: a folder that keeps every finished cell, made if its parent exists; None keeps nothing.

    Returns:
        One row a run, in the order of the cells and their seeds; `KEPT` columns hold lists for the runs that pictures
        show and nothing for the others. `attrs["versions"]` holds the library versions.

    Raises:
        ValueError: if the store's cells were trained by other versions of what decides a result.
    """
    folder = None if store is None else Path(store)
    if folder:
        folder.mkdir(exist_ok=True)
    found: dict[Cell, pd.DataFrame] = {}
    for cell in cells:
        if folder and (folder / cell.name).exists():
            found[cell] = pd.read_parquet(folder / cell.name)
            if differing := differing_versions(found[cell].attrs["versions"], library_versions()):
                raise ValueError(f"store: {folder / cell.name} was made with other versions, {differing}")
    missing = sorted(set(cells) - set(found), key=lambda cell: -(cell.size**2) * cell.dimension)
    # Cells of one training set share what is expensive about it.
    known = {_set_of(cell): (table["fresh_outside"], table["chance"]) for cell, table in found.items()}
    sets = sorted({_set_of(cell) for cell in missing} - set(known), key=lambda key: -(key[2] ** 2) * key[0])
    with closing(as_they_finish(_references_of, sets, executor)) as made:
        known |= tqdm(made, total=len(sets), unit="training set")
    with closing(as_they_finish(run_cell, missing, executor)) as trained:
        for cell, table in tqdm(trained, total=len(missing), unit="cell"):
            null, chance = known[_set_of(cell)]
            table = table.assign(fresh_outside=null, chance=chance)
            table.attrs["versions"] = library_versions()
            if folder:
                write_runs(table, folder / cell.name)
            found[cell] = table
    together = pd.concat([found[cell] for cell in cells], ignore_index=True)
    together.attrs = {"versions": library_versions()}
    return together


def _set_of(cell: Cell) -> tuple[int, str, int, tuple[int, ...]]:
    return cell.dimension, cell.density, cell.size, cell.seeds


def _references_of(key: tuple[int, str, int, tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    return references(*key)


def references(dimension: int, density: str, size: int, seeds: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return what a training set's metrics are to be read beside, each of shape (seeds,).

    Args:
        dimension, density, size, seeds: of the training sets.

    Returns:
        The share of fresh points outside the hull, and chance: the median E of reconstructions drawn afresh.
    """
    if density in TABLES:
        return np.full(len(seeds), table_outside(density)), np.full(len(seeds), table_chance(density))
    null = [fresh_outside(size, dimension, seed, density) for seed in seeds]
    return np.array(null), np.median(space_chance(size, dimension, seeds, density, TARGET), axis=1)


def start_of(cell: Cell) -> tuple[torch.Tensor, torch.Tensor, Parameters, float]:
    """Return a cell's training data, initial parameters and temperature.

    Args:
        cell: any.

    Returns:
        x of shape (seeds, size, d), y of shape (seeds, size), parameters with a leading dimension of seeds, and τ.
    """
    if cell.density not in TABLES:
        batch = space_batch(cell.size, cell.dimension, cell.seeds, cell.neuron, cell.density, TARGET)
        return *batch, cell.heat * _temperature(cell.size, cell.dimension, cell.density)
    task = table_task(cell.density)
    starts = [space_start(cell.size, cell.dimension, seed, cell.neuron) for seed in cell.seeds]
    x, y = (given.expand(len(starts), *given.shape).contiguous() for given in (task.x, task.y))
    return x, y, Parameters(*map(torch.stack, zip(*starts, strict=True))), cell.heat * table_temperature(cell.density)


_temperature = cache(space_temperature)


def run_cell(cell: Cell) -> pd.DataFrame:
    """Train one cell and measure it.

    Args:
        cell: runs of one setting.

    Returns:
        One row a seed, in their order: settings, metrics and, for a run that a picture shows, `KEPT`.
    """
    x, y, start, temperature = start_of(cell)
    settings = (cell.mask, cell.neuron, cell.strength, temperature, cell.steps, cell.attractor)
    trained = ENGINES[cell.engine](x, y, start, *settings)
    same = {
        "neuron": cell.neuron,
        "dimension": cell.dimension,
        "density": cell.density,
        "target": "the table's" if cell.density in TABLES else TARGET,
        "mask": cell.mask,
        "attractor": cell.attractor,
        "size": cell.size,
        "heat": cell.heat,
        "strength": cell.strength,
        "temperature": temperature,
        "steps": cell.steps,
        "learning_rate": LEARNING_RATE,
        "engine": cell.engine,
    }
    metrics, positions, values = measure_space(x, y, trained, cell.neuron)
    table = pd.DataFrame({"seed": cell.seeds, **metrics}).assign(**same)
    lists = dict(zip(KEPT, (x, y, *trained, positions, values), strict=True))
    kept = cell.density in TABLES or (cell.dimension, cell.size) == (2, 30)
    for name, tensor in lists.items():
        first = [tensor[0].reshape(-1).numpy()] if kept else [None]
        table[name] = pd.Series(first + [None] * (len(cell.seeds) - 1), dtype=object)
    return table[[*same, "seed", *metrics, *KEPT]]


def measure_space(
    x: torch.Tensor, y: torch.Tensor, parameters: Parameters, neuron: str
) -> tuple[dict[str, np.ndarray], torch.Tensor, torch.Tensor]:
    """Return the four metrics of trained runs, their prototypes and the network's values there.

    A run whose parameters or prototypes are not finite keeps its row, with NaN in every metric.

    Args:
        x: training inputs, shape (runs, samples, d).
        y: target values, shape (runs, samples).
        parameters: with a leading dimension of runs.
        neuron: one of `companion.core.space.NEURONS`.

    Returns:
        fit_mse, reconstruction_error, specialization_ratio and expelled_fraction, each of shape (runs,); x̂ of shape
        (runs, neurons, d); f(x̂) of shape (runs, neurons).
    """
    w, b, a, c = parameters
    positions = space_prototypes(w, b, neuron, x.mean(-2))
    finite = positions.isfinite().all(-1).all(-1) & a.isfinite().all(-1) & c.isfinite()
    responses = space_activations(x, w, b, neuron)
    values = torch.full_like(y, torch.nan)
    metrics = {name: np.full(len(x), np.nan) for name in METRICS}
    if finite.any():
        values[finite] = output(
            space_activations(positions[finite], w[finite], b[finite], neuron), a[finite], c[finite]
        )
        found = (
            ((output(responses, a, c) - y) ** 2).mean(-1)[finite].numpy(),
            space_error(x[finite], y[finite], positions[finite], values[finite]),
            specialization_ratio(responses[finite]),
            hull_expelled(x[finite], positions[finite]),
        )
        for name, value in zip(METRICS, found, strict=True):
            metrics[name][finite.numpy()] = value
    return metrics, positions, values


METRICS = ("fit_mse", "reconstruction_error", "specialization_ratio", "expelled_fraction")


def write_space(table: pd.DataFrame, out: str | Path) -> tuple[Path, Path]:
    """Write a sweep's table without weights, and beside it the networks that pictures show.

    Args:
        table: what `run_cells` returned.
        out: path ending in .parquet; the second file's name ends in -networks.parquet.

    Returns:
        Both paths.

    Raises:
        ValueError: if the path is not allowed.
    """
    path = Path(out)
    networks = table[table["x"].notna()].reset_index(drop=True)
    networks.attrs = table.attrs
    runs = table.drop(columns=KEPT)
    return write_runs(runs, path), write_runs(networks, path.with_name(f"{path.stem}-networks.parquet"))
