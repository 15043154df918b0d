"""More dimensions, other densities: the referee's sweep, what it is read beside, and entropic transport.

Every neuron, dimension, density, mask, attractor and size is trained and measured at a temperature that keeps its ratio
to the squared distance of neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist

from companion.core.checks import require_choice, require_integer, require_number, require_same_shape
from companion.core.data import DENSITIES, diagonal, draw, random_stream, sample_cloud
from companion.core.hull import outside_hull
from companion.core.losses import matched_loss
from companion.core.metrics import reconstruction_error
from companion.core.settings import MASKS, ROWS_OF_A_TABLE, Attractor, Density, Neuron, Settings, Target
from companion.core.tables import TABLES, table_task
from companion.judging.referee import HOT
from companion.sweeps.runs import write_runs
from companion.sweeps.store import Group
from companion.sweeps.sweep import list_of, require_seed, run_groups
from companion.sweeps.workers import as_they_finish

CALIBRATION_SEEDS = range(100)
"""Seeds whose points set the temperature; no run that is reported has one of them."""


# --- the temperature ---


def neighbour_distance(x: np.ndarray) -> float:
    """Return δ of one set of points, shape (points, d): the mean distance from one to the nearest other one."""
    return float((cdist(x, x) + np.diag(np.full(len(x), np.inf))).min(-1).mean())


@cache
def nearest_neighbour_distance(size: int, dimension: int, density: str = "uniform") -> float:
    """Return δ, the mean distance from one of N points to the nearest other one, over the calibration seeds.

    Book: chapter "More dimensions, other densities", equation (space-temperature).

    Args:
        size: N, at least 2.
        dimension: d, at least 1.
        density: a name in `companion.core.data.DENSITIES`.

    Raises:
        ValueError: if an argument is out of range.
    """
    drawn = (sample_cloud(size, seed, dimension, density)[0].numpy() for seed in CALIBRATION_SEEDS)
    return float(np.mean([neighbour_distance(x) for x in drawn]))


def scaled_temperature(distance: float, size: int, base: float = Settings().temperature) -> float:
    """Return τ = base · (δ/δ₁)², which keeps its ratio to the squared distance of neighbours; δ₁ is that on the line.

    Book: chapter "More dimensions, other densities", equation (space-temperature).

    Args:
        distance: δ of the points.
        size: N, at least 2.
        base: τ of N uniform points in one dimension, above 0.

    Raises:
        ValueError: if an argument is out of range.
    """
    base = require_number("base", base, positive=True)
    return base * (distance / nearest_neighbour_distance(size, 1)) ** 2


def temperature_of(size: int, dimension: int, density: str) -> float:
    """Return the temperature of a training set: by its density's δ, or by a table's own.

    Book: chapter "More dimensions, other densities", equation (space-temperature).

    Args:
        size, dimension: N and d.
        density: a name in `companion.core.settings.Density`.
    """
    if density in ROWS_OF_A_TABLE:
        return scaled_temperature(neighbour_distance(table_task(density).x.numpy()), size)
    return scaled_temperature(nearest_neighbour_distance(size, dimension, density), size)


# --- what metrics are read beside ---


def fresh_cloud(size: int, seed: int, draws: int, settings: Settings) -> np.ndarray:
    """Draw further inputs that no network was trained on, in sets as large as the training set.

    Book: chapter "More dimensions, other densities", equation (null).

    Args:
        size, seed: of the run.
        draws: number of sets, at least 1.
        settings: whose dimension and density are taken.

    Returns:
        Inputs, shape (draws, size, d).

    Raises:
        ValueError: if an argument is out of range.
    """
    draws = require_integer("draws", draws, least=1)
    return draw(random_stream(size, seed, purpose=3), (draws, size), settings.dimension, settings.density)


def fresh_outside(size: int, seed: int, settings: Settings, draws: int = 2) -> float:
    """Return the share of fresh points of the samples' own density that lie outside the samples' hull.

    A hull of N points holds ever less as d grows: this is what an expelled fraction is to be read beside.
    Book: chapter "More dimensions, other densities", equation (null).

    Args:
        size, seed: of the run.
        settings: whose dimension and density are taken.
        draws: sets of `size` fresh points, at least 1.

    Returns:
        Share in [0, 1].

    Raises:
        ValueError: if an argument is out of range.
    """
    x = sample_cloud(size, seed, settings.dimension, settings.density)[0]
    fresh = fresh_cloud(size, seed, draws, settings).reshape(-1, settings.dimension)
    return float(outside_hull(x.numpy(), fresh).mean())


def chance_in(size: int, seeds: Sequence[int], settings: Settings, draws: int = 20) -> np.ndarray:
    """Return E of prototypes drawn afresh from the data's own density, on the target's graph.

    Book: chapter "More dimensions, other densities", equation (space-error).

    Args:
        size: N, at least 2.
        seeds: seeds whose training data are compared with; each at least 0.
        settings: whose dimension and density are taken.
        draws: random sets of prototypes a seed, at least 1.

    Returns:
        E, shape (seeds, draws).

    Raises:
        ValueError: if an argument is out of range.
    """
    draws, place = require_integer("draws", draws, least=1), (settings.dimension, settings.density)
    errors = []
    for seed in seeds:
        x, y = sample_cloud(size, seed, *place)
        drawn = torch.from_numpy(draw(random_stream(size, seed, purpose=2), (draws, size), *place))
        errors.append(reconstruction_error(x.expand(draws, -1, -1), y.expand(draws, -1), drawn, diagonal(drawn)))
    return np.array(errors)


def table_outside(name: str) -> float:
    """Return the null of an expelled fraction: the share of other rows outside the hull of the training set.

    Where no row was left out, each row in turn is compared with the hull of the rest.
    Book: chapter "More dimensions, other densities", equation (null).

    Args:
        name: one of `companion.core.tables.TABLES`.
    """
    task = table_task(name)
    x = task.x.numpy()
    if len(task.others_x):
        return float(outside_hull(x, task.others_x).mean())
    return float(np.mean([outside_hull(np.delete(x, row, axis=0), x[row : row + 1])[0] for row in range(len(x))]))


def table_chance(name: str, draws: int = 20) -> float:
    """Return the median E of other rows of the table as reconstructions; NaN where no row was left out.

    Book: chapter "More dimensions, other densities", section "Two real tables".

    Args:
        name: one of `companion.core.tables.TABLES`.
        draws: sets of rows, drawn without replacement, each as large as the training set.
    """
    task, stream = table_task(name), np.random.default_rng(1)
    rows = len(task.x)
    if len(task.others_x) < rows:
        return float("nan")
    drawn = [stream.choice(len(task.others_x), rows, replace=False) for _ in range(draws)]
    errors = [float(reconstruction_error(task.x, task.y, task.others_x[one], task.others_y[one])) for one in drawn]
    return float(np.median(errors))


# --- the sweep ---

VARIANTS = (
    *((mask, Attractor.COVERAGE, 1.0) for mask in MASKS),
    ("010", Attractor.TRANSPORT, 1.0),
    ("110", Attractor.TRANSPORT, 1.0),
    ("001", Attractor.COVERAGE, HOT),
)
"""What is trained on every training set: mask, attractor, and temperature over the nominal one."""
KEPT = ["x", "y", "w", "b", "a", "c", "prototypes", "values"]
"""What is kept of a network that a picture shows, each as one flat list."""
COLUMNS = [
    "neuron", "dimension", "density", "target", "mask", "attractor", "size", "heat", "strength", "temperature", "steps",
    "learning_rate", "engine", "seed", "fit_mse", "reconstruction_error", "specialization_ratio", "expelled_fraction",
    *KEPT, "fresh_outside", "chance",
]  # fmt: skip
"""Columns of the sweep's table, in their order."""


class Cell(NamedTuple):
    """Runs of one training set, all its seeds; `heat` is the temperature over the nominal one of that set."""

    group: Group
    heat: float


def training_sets(
    dimensions: Iterable[int], densities: Iterable[str], sizes: Iterable[int], tables: Iterable[str] = ()
) -> list[tuple[int, str, int]]:
    """Return the dimension, density and size of every training set: each combination, and each table's own.

    Args:
        dimensions, densities, sizes: of the drawn ones.
        tables: names in `companion.core.tables.TABLES`.

    Raises:
        ValueError: naming the first argument that is not allowed.
    """
    given = (
        _unless_empty("dimensions", dimensions, lambda name, d: require_integer(name, d, least=1)),
        _unless_empty("densities", densities, lambda name, one: require_choice(name, one, DENSITIES)),
        _unless_empty("sizes", sizes, lambda name, n: require_integer(name, n, least=2)),
    )
    sets = list(product(*given))
    for name in _unless_empty("tables", tables, lambda name, one: require_choice(name, one, TABLES)):
        rows, dimension = table_task(name).x.shape
        sets.append((dimension, name, rows))
    if not sets:
        raise ValueError("dimensions, densities, sizes, tables: no training set was given; allowed is at least one")
    return sets


def _unless_empty(name: str, given: Iterable[Any], check: Any) -> list[Any]:
    """Return checked values, none twice; there may be none, where tables are asked for alone."""
    values = given if isinstance(given, str) else list(given)
    return list_of(name, values, check) if values else []


def design(
    neurons: Iterable[str],
    sets: Iterable[tuple[int, str, int]],
    seeds: Iterable[int],
    settings: Settings = Settings(),
) -> list[Cell]:
    """Return the cells of a sweep: every neuron on every training set, each with all of `VARIANTS`.

    Book: chapter "More dimensions, other densities", section "Data".

    Args:
        neurons: "radial", "ridge".
        sets: of `training_sets`.
        seeds: of each cell; a table has the same rows at every seed, and starts that differ.
        settings: whose λ and steps are taken.

    Raises:
        ValueError: naming the first argument that is not allowed.
    """
    neurons = list_of("neurons", neurons, lambda name, one: require_choice(name, one, (Neuron.RADIAL, Neuron.RIDGE)))
    seeds, cells = tuple(list_of("seeds", seeds, require_seed)), []
    for neuron, (dimension, density, size) in product(neurons, sets):
        target = Target.TABLE if density in ROWS_OF_A_TABLE else Target.DIAGONAL
        place = {"neuron": neuron, "dimension": dimension, "density": density, "target": target}
        nominal = temperature_of(size, dimension, density)
        for mask, attractor, heat in VARIANTS:
            chosen = {"mask": mask, "attractor": attractor, "temperature": heat * nominal}
            cells.append(Cell(Group(settings.but(**place, **chosen), size, seeds), heat))
    return cells


def run_cells(cells: Sequence[Cell], **options: Any) -> pd.DataFrame:
    """Train and measure cells, and put beside each run what its metrics are to be read beside.

    Book: chapter "More dimensions, other densities", section "Data".

    Args:
        cells: what `design` returned.
        options: of `companion.sweeps.sweep.run_groups`, such as executor and store.

    Returns:
        One row a run, in the order of the cells and their seeds, `COLUMNS`; `KEPT` columns hold lists for the runs that
        pictures show and nothing for the others. `attrs["versions"]` holds the library versions.

    Raises:
        ValueError, RuntimeError: as `run_groups`.
    """
    names = [name for name in COLUMNS if name not in ("heat", "fresh_outside", "chance")]
    table = run_groups([cell.group for cell in cells], columns=names, **options)
    # Cells of one training set share what is expensive about it; the longest first.
    sets = sorted({_set_of(cell) for cell in cells}, key=lambda key: -(key[2] ** 2) * key[0])
    known = dict(as_they_finish(references, sets, options.get("executor")))
    beside = [known[_set_of(cell)] for cell in cells]
    counts = [len(cell.group.seeds) for cell in cells]
    table["heat"] = np.repeat([cell.heat for cell in cells], counts)
    for place, name in enumerate(("fresh_outside", "chance")):
        table[name] = np.concatenate([found[place] for found in beside])
    first = np.zeros(len(table), bool)
    first[np.cumsum([0, *counts[:-1]])] = True
    table["c"] = list(table["c"].to_numpy()[:, None])
    shown = table["density"].isin(list(TABLES)) | ((table["dimension"] == 2) & (table["size"] == 30))
    for name in KEPT:
        table[name] = table[name].astype(object).where(first & shown, None)
    return table[COLUMNS]


Set = tuple[int, Density, int, tuple[int, ...]]


def _set_of(cell: Cell) -> Set:
    settings, size, seeds = cell.group
    return settings.dimension, settings.density, size, seeds


def references(key: Set) -> tuple[np.ndarray, np.ndarray]:
    """Return what a training set's metrics are to be read beside, each of shape (seeds,).

    Args:
        key: dimension, density, size and seeds of the training sets.

    Returns:
        The share of fresh points outside the hull, and chance: the median E of reconstructions drawn afresh.
    """
    dimension, density, size, seeds = key
    if density in TABLES:
        return np.full(len(seeds), table_outside(density)), np.full(len(seeds), table_chance(density))
    settings = Settings(neuron=Neuron.RADIAL, dimension=dimension, density=density, target=Target.DIAGONAL)
    null = [fresh_outside(size, seed, settings) for seed in seeds]
    return np.array(null), np.median(chance_in(size, seeds, settings), axis=1)


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


# --- entropic transport ---


class Transport(NamedTuple):
    """A transport cost of one run, and its gradient with respect to the prototypes, shape (neurons, d)."""

    value: float
    gradient: np.ndarray


def exact_transport(x: np.ndarray, prototypes: np.ndarray) -> Transport:
    """Return the squared distance under the optimal matching, with its gradient.

    Book: chapter "More dimensions, other densities", equation (space-losses).

    Args:
        x: samples, shape (samples, d).
        prototypes: shape (samples, d).
    """
    positions = torch.tensor(prototypes, requires_grad=True)
    loss = matched_loss(torch.as_tensor(x), positions)
    (gradient,) = torch.autograd.grad(loss, positions)
    return Transport(float(loss.detach()), gradient.numpy())


def entropic_transport(x: np.ndarray, prototypes: np.ndarray, regularisation: float) -> Transport:
    """Return Σ_ij P_ij |x_i - x̂_j|² of Sinkhorn's plan P, with the gradient at that plan.

    P minimises Σ_ij P_ij (|x_i - x̂_j|² + ε log P_ij) among plans whose rows and columns each add up to 1/N.
    Book: chapter "More dimensions, other densities", equation (sinkhorn).

    Args:
        x: samples, shape (samples, d).
        prototypes: shape (samples, d).
        regularisation: ε > 0, in units of squared input.

    Raises:
        ValueError: if shapes differ or the regularisation is not above 0.
    """
    require_same_shape(x=x, prototypes=prototypes)
    regularisation = require_number("regularisation", regularisation, positive=True)
    import ot  # here: it takes a second to load, and one section needs it

    costs, weights = ot.dist(x, prototypes), np.full(len(x), 1 / len(x))
    options: dict[str, Any] = {"method": "sinkhorn_log", "numItermax": 10_000, "warn": False}
    plan: Any = ot.sinkhorn(weights, weights, costs, regularisation, **options)
    return Transport(float((plan * costs).sum()), 2 * (prototypes * plan.sum(0)[:, None] - plan.T @ x))


def alignment(one: Transport, other: Transport) -> float:
    """Return the cosine of the angle between two transports' gradients.

    Book: chapter "More dimensions, other densities", section "Entropic transport".
    """
    size = np.linalg.norm(one.gradient) * np.linalg.norm(other.gradient)
    return float((one.gradient * other.gradient).sum() / size)
