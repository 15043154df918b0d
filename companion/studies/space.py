"""More dimensions, other densities: the referee's sweep, what it is read beside, what it shows, and entropic transport.

Every neuron, dimension, density, mask, attractor and size is trained and measured at a temperature that keeps its ratio
to the squared distance of neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist

from companion.core.checks import (
    require_choice,
    require_integer,
    require_number,
    require_same_shape,
    require_seed,
)
from companion.core.data import DENSITIES, diagonal, draw, random_stream, sample_cloud
from companion.core.hull import outside_hull
from companion.core.losses import matched_loss
from companion.core.metrics import reconstruction_error
from companion.core.network import ridge_prototypes, squared_distances, starting_batch
from companion.core.settings import MASK_LABELS, MASKS, ROWS_OF_A_TABLE, Attractor, Density, Neuron, Settings, Target
from companion.core.tables import TABLES, table_task
from companion.judging import referee
from companion.judging.claims import CLAIMS
from companion.judging.ledger import MARKS, marked
from companion.judging.referee import HOT, IN_SHORT, NOT_ASKED
from companion.judging.verdicts import HOLDS, IN_PART, UNDECIDED
from companion.show.words import listed
from companion.sweeps.measures import measure
from companion.sweeps.runs import groups_of, summary, write_runs
from companion.sweeps.store import Group
from companion.sweeps.sweep import list_of, run_groups
from companion.sweeps.workers import as_they_finish

CALIBRATION_SEEDS = range(100)
"""Seeds whose points set the temperature; no run that is reported has one of them."""


VARIANTS_REJECTED = {"null": 9}
"""How many false variants of each proposition its test in `tests/test_space.py` rejects."""

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
    errors = []
    for x, y, drawn in _drawn_afresh(size, seeds, settings, draws):
        errors.append(reconstruction_error(x, y, drawn, diagonal(drawn)))
    return np.array(errors)


def chance_position_in(size: int, seeds: Sequence[int], settings: Settings, draws: int = 20) -> np.ndarray:
    """Return the position error of the prototypes whose E `chance_in` returns.

    Book: chapter "More dimensions, other densities", section "How the errors grow".

    Args and Raises: those of `chance_in`.

    Returns:
        The position error, shape (seeds, draws).
    """
    errors = []
    for x, y, drawn in _drawn_afresh(size, seeds, settings, draws):
        level = torch.zeros_like(y)
        errors.append(reconstruction_error(x, level, drawn, level))
    return np.array(errors)


def _drawn_afresh(
    size: int, seeds: Sequence[int], settings: Settings, draws: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Return of each seed its x and y, repeated for every draw, and the prototypes drawn, (draws, size, d)."""
    draws, place = require_integer("draws", draws, least=1), (settings.dimension, settings.density)
    for seed in seeds:
        x, y = sample_cloud(size, seed, *place)
        drawn = torch.from_numpy(draw(random_stream(size, seed, purpose=2), (draws, size), *place))
        yield x.expand(draws, -1, -1), y.expand(draws, -1), drawn


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
    "learning_rate", "engine", "seed", "fit_mse", "reconstruction_error", "position_error", "value_error",
    "specialization_ratio", "expelled_fraction", *KEPT, "fresh_outside", "chance", "chance_position",
]  # fmt: skip
"""Columns of the sweep's table, in their order."""
REFERENCES = COLUMNS[-3:]
"""Those that a run's metrics are to be read beside: what `references` returns."""


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
    names = [name for name in COLUMNS if name not in ("heat", *REFERENCES)]
    table = run_groups([cell.group for cell in cells], columns=names, **options)
    # Cells of one training set share what is expensive about it; the longest first.
    sets = sorted({_set_of(cell) for cell in cells}, key=lambda key: -(key[2] ** 2) * key[0])
    known = dict(as_they_finish(references, sets, options.get("executor")))
    beside = [known[_set_of(cell)] for cell in cells]
    counts = [len(cell.group.seeds) for cell in cells]
    table["heat"] = np.repeat([cell.heat for cell in cells], counts)
    for place, name in enumerate(REFERENCES):
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


def references(key: Set) -> tuple[np.ndarray, ...]:
    """Return what a training set's metrics are to be read beside, each of shape (seeds,).

    Args:
        key: dimension, density, size and seeds of the training sets.

    Returns:
        By `REFERENCES`: the share of fresh points outside the hull, and chance, the median E and the median position
        error of reconstructions drawn afresh.
    """
    dimension, density, size, seeds = key
    if density in TABLES:
        found = (table_outside(density), table_chance(density), table_chance_of_positions(density))
        return tuple(np.full(len(seeds), value) for value in found)
    settings = Settings(neuron=Neuron.RADIAL, dimension=dimension, density=density, target=Target.DIAGONAL)
    null = [fresh_outside(size, seed, settings) for seed in seeds]
    drawn = (chance_in(size, seeds, settings), chance_position_in(size, seeds, settings))
    return np.array(null), *(np.median(errors, axis=1) for errors in drawn)


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


# --- the temperature's rule, and a colder one ---

COLDER = (1.0, 0.1)
"""Temperatures over that of the rule: a check added after the results."""
COLDER_SETS = ((2, 8), ("uniform",), (10, 30, 100))
"""Dimensions, density and sizes of that check."""
COLDER_SEEDS = range(8000, 8030)
"""Its seeds, which no other run of the book has."""
METRICS_IN_SHORT = {"reconstruction_error": "E", "specialization_ratio": "S", "expelled_fraction": "expelled"}
TIMES_IN_SHORT = {1.0: "τ", 0.1: "τ/10"}
OTHER_SEEDS = "chapter's seeds"
"""The column of verdicts that the chapter's own seeds got at the rule's temperature."""


def colder(seeds: Iterable[int] = COLDER_SEEDS, sets: Iterable[tuple[int, str, int]] | None = None) -> pd.DataFrame:
    """Train and measure the radial neuron, without transport, at the rule's temperature and at a tenth of it.

    Book: chapter "More dimensions, other densities", section "What the temperature's rule decides".

    Args:
        seeds: of each training set.
        sets: training sets; by default those of `COLDER_SETS`.

    Returns:
        Rows as `run_cells` returns them, without weights; `times` is the temperature over that of the rule, and `heat`
        that over the one taken for nominal.
    """
    chosen = training_sets(*COLDER_SETS) if sets is None else sets
    cells = [one for one in design([Neuron.RADIAL], chosen, seeds) if one.group.settings.attractor == "coverage"]
    tables = []
    for times in COLDER:
        own = [cell._replace(group=_at(cell.group, times)) for cell in cells]
        tables.append(run_cells(own, progress=False).drop(columns=KEPT).assign(times=times))
    table = pd.concat(tables, ignore_index=True)
    table.attrs = tables[0].attrs
    return table


def _at(group: Group, times: float) -> Group:
    settings, size, seeds = group
    return Group(settings.but(temperature=times * settings.temperature), size, seeds)


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


def blurring(times: float, dimension: int, seed: int) -> tuple[float, float]:
    """Return how entropic transport differs from the exact one at a ridge network's start, N = 30.

    Book: chapter "More dimensions, other densities", section "Entropic transport".

    Args:
        times: ε in units of δ², the squared distance of neighbours.
        dimension: d.
        seed: of the start and its data.

    Returns:
        The plan's cost over the least cost, and the cosine of the two gradients.
    """
    start = Settings(neuron=Neuron.RIDGE, dimension=dimension, target=Target.DIAGONAL)
    x, _, parameters = starting_batch(30, [seed], start)
    positions = ridge_prototypes(parameters.w, parameters.b, x.mean(-2))[0].numpy()
    exact = exact_transport(x[0].numpy(), positions)
    blurred = entropic_transport(x[0].numpy(), positions, times * nearest_neighbour_distance(30, dimension) ** 2)
    return blurred.value / exact.value, alignment(exact, blurred)


@cache
def blurring_table() -> pd.DataFrame:
    """Return the medians of `blurring` over seeds 3000 to 3002, by dimension and ε.

    Book: chapter "More dimensions, other densities", section "Entropic transport".

    Returns:
        One row a dimension and ε/δ² (the index): cost over the least cost, cosine of the gradients.
    """
    rows = {
        (dimension, times): np.median([blurring(times, dimension, seed) for seed in range(3000, 3003)], axis=0)
        for dimension, times in product((2, 8), (1, 3, 10))
    }
    columns = ["cost over the least cost", "cosine of the gradients"]
    return pd.DataFrame(rows, index=columns).T.rename_axis(["d", "ε/δ²"])


# --- what the runs show ---

SIGNS = MARKS | {NOT_ASKED: "–"}
"""A sign for each verdict, and for none."""
CURVES = {
    **{MASK_LABELS[mask]: (mask, Attractor.COVERAGE) for mask in ("000", "010", "100", "110")},
    "transport": ("010", Attractor.TRANSPORT),
    "overlap with transport": ("110", Attractor.TRANSPORT),
}
"""What is drawn: mask and attractor, by the curve's name."""
CLOUDS = {
    "Std": ("000", Attractor.COVERAGE),
    "Cov": ("010", Attractor.COVERAGE),
    "Ovl": ("100", Attractor.COVERAGE),
    "transport": ("010", Attractor.TRANSPORT),
}
"""What is drawn in the plane: mask and attractor, by the panel's name."""
BESIDE = {
    "reconstruction_error": ("chance", "chance"),
    "position_error": ("chance_position", "chance"),
    "expelled_fraction": ("fresh_outside", "null"),
}
"""The column that a metric is to be read beside, and its curve's name."""
PLACE = ["dimension", "density", "size"]
"""What a training set is known by."""


def with_the_line(ridge: pd.DataFrame, radial: pd.DataFrame) -> pd.DataFrame:
    """Return the ridge neuron's runs with those on the line, where it is a radial one and was not trained again.

    Args:
        ridge: the ridge neuron's runs.
        radial: the radial neuron's.
    """
    return pd.concat([radial[(radial["dimension"] == 1) & radial["density"].isin(ridge["density"])], ridge])


def nominal(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs at the temperature of the rule."""
    return runs[runs["heat"] == 1]


def by_dimension(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a column's means over runs, a row a density and size and a column a dimension.

    Book: chapter "More dimensions, other densities", section "Data".

    Args:
        runs: of one neuron.
        column: such as "fresh_outside".
    """
    means = runs.groupby(["density", "size", "dimension"], sort=False)[column].mean().unstack("dimension")
    return _named(means.rename_axis(index=["density", "N"]))


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose columns, dimensions, are named for readers."""
    return table.rename(columns=lambda d: f"d = {d}").rename_axis(columns=None)


def median_errors(runs: pd.DataFrame, metric: str = "reconstruction_error") -> pd.Series:
    """Return the nominal runs' median E, or another metric's, by dimension, density, size, mask and attractor."""
    return nominal(runs).groupby([*PLACE, "mask", "attractor"])[metric].median()


def median_chance(runs: pd.DataFrame, column: str = "chance") -> pd.Series:
    """Return chance's median E, or in the column "chance_position" position error, by dimension, density and size."""
    return runs.groupby(PLACE)[column].median()


def below_chance(errors: pd.Series, chance: pd.Series) -> pd.Series:
    """Return for each of `CURVES` in how many training sets its median E is below chance's.

    Book: chapter "More dimensions, other densities", section "How the errors grow".

    Args:
        errors: what `median_errors` returned.
        chance: what `median_chance` returned.
    """
    shown = {name: errors.xs(key, level=("mask", "attractor")) for name, key in CURVES.items()}
    return pd.Series({name: int(own.lt(chance).sum()) for name, own in shown.items()})


def gained_by_position(runs: pd.DataFrame, curve: str) -> list[tuple[int, str, int]]:
    """Return the training sets where a curve's median E is not below chance, and its median position error is.

    Book: chapter "More dimensions, other densities", section "How the errors grow".

    Args:
        runs: of one neuron.
        curve: one of `CURVES`.
    """
    below = {}
    for metric in ("reconstruction_error", "position_error"):
        own = median_errors(runs, metric).xs(CURVES[curve], level=("mask", "attractor"))
        below[metric] = own < median_chance(runs, BESIDE[metric][0])
    gained = below["position_error"] & ~below["reconstruction_error"]
    return list(gained.index[gained])


def above_untrained(runs: pd.DataFrame) -> pd.Series:
    """Return for each of `CURVES` in how many training sets its median E is above the untrained network's.

    Book: chapter "More dimensions, other densities", section "How the errors grow".

    Args:
        runs: of one neuron.
    """
    errors, start = median_errors(runs), untrained(runs).groupby(PLACE)["reconstruction_error"].median()
    shown = {name: errors.xs(key, level=("mask", "attractor")) for name, key in CURVES.items()}
    return pd.Series({name: int(own.gt(start).sum()) for name, own in shown.items()})


def lowest_masks(errors: pd.Series) -> pd.DataFrame:
    """Return which of the eight masks has the lowest median E, a row a dimension and density and a column a size.

    Args:
        errors: what `median_errors` returned.
    """
    return errors.xs(Attractor.COVERAGE, level="attractor").unstack("mask").idxmin(axis=1).unstack("size")


def where_c1_is_undecided(lowest: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of those cells where it is undecided whether coverage's E is the lowest.

    Args:
        lowest: what `lowest_masks` returned.
        verdicts: what `companion.judging.referee.judge_cells` returned.
    """
    first = verdicts[verdicts["claim"] == "C1"].set_index(["dimension", "density"])["verdict"]
    return lowest[first.reindex(lowest.index) == UNDECIDED]


def untrained(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the metrics of the networks from which runs started, before the first step.

    Book: chapter "More dimensions, other densities", section "How the errors grow".

    Args:
        runs: of drawn training sets; what they started from depends on the neuron, `PLACE` and the seed.

    Returns:
        One row a start: dimension, density, size, and the metrics of `companion.sweeps.measures`.
    """
    frames = []
    for (neuron, *place), own in groups_of(runs, "neuron", *PLACE):
        metrics = _at_start(neuron, *place, tuple(own["seed"].unique().tolist()))
        frames.append(pd.DataFrame(metrics).assign(**dict(zip(PLACE, place, strict=True))))
    return pd.concat(frames, ignore_index=True)


@cache
def _at_start(neuron: str, dimension: int, density: str, size: int, seeds: tuple[int, ...]) -> dict[str, np.ndarray]:
    settings = Settings().but(neuron=neuron, dimension=dimension, density=density, target=Target.DIAGONAL)
    x, y, parameters = starting_batch(size, seeds, settings)
    return measure(x, y, parameters, neuron)


def curves(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a metric's medians with their intervals against the dimension, and what they are to be read beside.

    Args:
        runs: of one neuron, density and size.
        metric: one of `BESIDE`, or "value_error", of which no chance is stored.

    Returns:
        One row a curve and dimension, as `companion.show.charts.by_dimension` takes them: dimension, curve, value,
        low and high; the last two curves are the untrained network and, without an interval, that of `BESIDE`.
    """
    here = nominal(runs)
    shown = {
        curve: here[(here["mask"] == mask) & (here["attractor"] == attractor)]
        for curve, (mask, attractor) in CURVES.items()
    }
    frames = []
    for curve, own in (shown | {"untrained": untrained(shown["000 Std"])}).items():
        drawn = summary(own, metric, ["dimension"])
        frames.append(drawn.assign(curve=curve, value=drawn["median"])[["dimension", "curve", "value", "low", "high"]])
    if metric in BESIDE:
        column, name = BESIDE[metric]
        beside = shown["000 Std"].groupby("dimension")[column].median().rename("value").reset_index()
        frames.append(beside.assign(curve=name, low=np.nan, high=np.nan))
    return pd.concat(frames)


def error_curves(runs: pd.DataFrame, size: int = 30, metric: str = "reconstruction_error") -> dict[str, pd.DataFrame]:
    """Return the curves of E of one size, or those of one of its parts, by density.

    Book: chapter "More dimensions, other densities", section "How the errors grow".

    Args:
        runs: of one neuron.
        size: N.
        metric: "reconstruction_error", "position_error" or "value_error".
    """
    here = runs[runs["size"] == size]
    return {density: curves(own, metric) for (density,), own in groups_of(here, "density")}


def expelled_curves(runs: pd.DataFrame, size: int = 100) -> pd.DataFrame:
    """Return the curves of the expelled fraction of one size, inputs uniform.

    Book: chapter "More dimensions, other densities", section "Expelled, beside the null".

    Args:
        runs: of one neuron.
        size: N.
    """
    return curves(runs[(runs["density"] == "uniform") & (runs["size"] == size)], "expelled_fraction")


def curve_table(drawn: pd.DataFrame, title: str) -> pd.DataFrame:
    """Return the values of curves, a row a curve and a column a dimension.

    Args:
        drawn: what `curves` returned.
        title: of the rows.
    """
    order = drawn["curve"].drop_duplicates()
    return _named(drawn.pivot(index="curve", columns="dimension", values="value").loc[order].rename_axis(index=title))


def clouds(networks: pd.DataFrame, densities: Iterable[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return samples and prototypes of the radial neuron's networks that are drawn in the plane.

    Args:
        networks: one row a run, as `write_space` writes them.
        densities: which to draw, one row of panels each.

    Returns:
        By title, samples and prototypes, each of shape (points, 2): what `companion.show.charts.clouds` takes.
    """
    panels = {}
    for density, (name, (mask, attractor)) in product(densities, CLOUDS.items()):
        chosen = nominal(networks[(networks["neuron"] == Neuron.RADIAL) & (networks["density"] == density)])
        run = chosen[(chosen["mask"] == mask) & (chosen["attractor"] == attractor)].iloc[0]
        panels[f"{name}, {density}"] = (np.reshape(run["x"], (-1, 2)), np.reshape(run["prototypes"], (-1, 2)))
    return panels


def pair_distance(size: int, dimension: int, seeds: Iterable[int]) -> float:
    """Return the mean squared distance of two samples of one run, inputs uniform.

    Args:
        size: N, at least 2.
        dimension: d.
        seeds: over which it is averaged.
    """
    clouds = (sample_cloud(size, seed, dimension)[0] for seed in seeds)
    return float(np.mean([float(squared_distances(x, x).sum()) / (size * (size - 1)) for x in clouds]))


# --- the verdicts ---


def verdict_panels(verdicts: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the verdicts as `companion.show.charts.verdict_map` takes them, by density.

    Book: chapter "More dimensions, other densities", section "What survives".

    Args:
        verdicts: what `companion.judging.referee.judge_cells` returned.
    """
    rows = [f"{claim} {IN_SHORT[claim]}" for claim in verdicts["claim"]]
    drawn = verdicts.assign(row=rows, column=verdicts["dimension"].astype(str))
    return {density: own for (density,), own in groups_of(drawn, "density")}


def at_home(verdicts: pd.DataFrame) -> pd.Series:
    """Return the verdicts at d = 1, uniform, by claim."""
    dimension, density = referee.HOME
    home = verdicts[(verdicts["dimension"] == dimension) & (verdicts["density"] == density)]
    return home.set_index("claim")["verdict"]


def survival_table(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return in how many other cells of each dimension a claim survives, of those where it is asked.

    Book: chapter "More dimensions, other densities", section "What survives".

    Args:
        verdicts: what `companion.judging.referee.judge_cells` returned.

    Returns:
        One row a claim, with its verdict at home and its counts by dimension, "–" where it is no case.
    """
    home = at_home(verdicts)
    counts = {
        key: f"{(own['outcome'] == 'supported').sum()} of {len(own)}"
        for key, own in groups_of(referee.survival(verdicts).cases, "claim", "dimension")
    }
    rows = {
        f"{claim} {IN_SHORT[claim]}": {
            "at d = 1, uniform": marked(home[claim]),
            **{f"d = {d}": counts.get((claim, d), "–") for d in verdicts["dimension"].unique()},
        }
        for claim in CLAIMS
    }
    return pd.DataFrame(rows).T.rename_axis("claim")


def only_elsewhere(verdicts: pd.DataFrame) -> pd.Series:
    """Return in how many cells claims hold, at least in part, that do not hold at home, by claim.

    Args:
        verdicts: what `companion.judging.referee.judge_cells` returned.
    """
    held = verdicts[verdicts["verdict"].isin((HOLDS, IN_PART))]
    home = at_home(held)
    return held[~held["claim"].isin(home.index)].groupby("claim", sort=False).size()


def same_verdicts(one: pd.DataFrame, other: pd.DataFrame) -> pd.Series:
    """Return whether two neurons get the same verdict, a value a claim and cell with d >= 2 that both have.

    Args:
        one, other: what `companion.judging.referee.judge_cells` returned for each.
    """
    both = one.merge(other, on=["dimension", "density", "claim"], suffixes=(" of one", " of other"))
    both = both[both["dimension"] > 1]
    return both["verdict of one"] == both["verdict of other"]


# --- the real tables ---


def table_verdicts(tables: pd.DataFrame) -> pd.DataFrame:
    """Return the signs of the claims' verdicts on each real table.

    Book: chapter "More dimensions, other densities", section "Two real tables".

    Args:
        tables: runs on the tables, of both neurons.

    Returns:
        One row a table and neuron (the index), a column a claim.
    """
    found = {
        f"{table}, {neuron}": referee.judge_cell(runs)
        for (neuron, table), runs in groups_of(tables, "neuron", "density")
    }
    return pd.DataFrame(found).map(lambda verdict: SIGNS[verdict]).T.rename_axis("table, neuron")


def table_errors(tables: pd.DataFrame, metric: str = "reconstruction_error") -> pd.DataFrame:
    """Return the median E of each of `CURVES` on each real table, with chance; or the median position error.

    Book: chapter "More dimensions, other densities", section "Two real tables".

    Args:
        tables: runs on the tables, of both neurons.
        metric: "reconstruction_error" or "position_error".

    Returns:
        One row a table and neuron (the index); the names of `CURVES`, chance, and beside E the null of expelled
        fractions.
    """
    keys = ["density", "neuron"]
    errors = nominal(tables).groupby([*keys, "mask", "attractor"], sort=False)[metric].median()
    columns = {name: errors.xs(key, level=("mask", "attractor")) for name, key in CURVES.items()}
    beside = tables.groupby(keys, sort=False)[["fresh_outside", BESIDE[metric][0]]].first()
    table = pd.DataFrame(columns).assign(chance=beside[BESIDE[metric][0]])
    if metric == "reconstruction_error":
        table["null"] = beside["fresh_outside"]
    return table.rename_axis(["table", "neuron"])


def table_parts(networks: pd.DataFrame) -> pd.DataFrame:
    """Return E of Std's and of transport's stored networks beside the position error and the fit.

    The position error is the mean distance of rows and prototypes under their own best matching.
    Book: chapter "More dimensions, other densities", section "Two real tables".

    Args:
        networks: `data/tables-networks.parquet`, a network of one seed a table, neuron, mask and attractor.

    Returns:
        One row a table, neuron and curve (the index): E, position, rmse (of the fit).
    """
    rows = {}
    for name in ("000 Std", "transport"):
        mask, attractor = CURVES[name]
        chosen = nominal(networks[(networks["mask"] == mask) & (networks["attractor"] == attractor)])
        for row in chosen.to_dict("records"):
            samples, at = (np.reshape(row[column], (row["size"], -1)) for column in ("x", "prototypes"))
            rows[row["density"], row["neuron"], name] = {
                "E": row["reconstruction_error"],
                "position": positions_apart(samples, at),
                "rmse": row["fit_mse"] ** 0.5,
            }
    return pd.DataFrame(rows).T.rename_axis(["table", "neuron", "curve"])


def positions_apart(x: np.ndarray, prototypes: np.ndarray) -> float:
    """Return the position error in d dimensions: the mean distance under the best matching of positions alone.

    Args:
        x, prototypes: shape (points, d).
    """
    nothing = np.zeros(len(x))
    return float(reconstruction_error(x, nothing, prototypes, nothing))


def table_chance_of_positions(name: str, draws: int = 20) -> float:
    """Return the median position error of other rows of a table as prototypes, the draws of `table_chance`.

    Args:
        name: one of `companion.core.tables.TABLES`.
        draws: sets of rows.

    Returns:
        It, NaN where no row was left out.
    """
    task, stream = table_task(name), np.random.default_rng(1)
    rows, others = len(task.x), np.asarray(task.others_x)
    if len(others) < rows:
        return float("nan")
    drawn = [stream.choice(len(others), rows, replace=False) for _ in range(draws)]
    return float(np.median([positions_apart(np.asarray(task.x), others[one]) for one in drawn]))


# --- the temperature's rule, what its check shows ---


def colder_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return what a tenth of the rule's temperature makes of coverage, medians.

    Book: chapter "More dimensions, other densities", section "What the temperature's rule decides".

    Args:
        found: `data/space-colder.parquet`.

    Returns:
        One row a dimension and N (the index): τ/δ² by the rule; for the rule's τ and a tenth, E, the specialization
        ratio and the expelled fraction of coverage; Std's E and specialization ratio.
    """
    runs, rows = nominal(found), {}
    for (dimension, size), own in groups_of(runs, "dimension", "size"):
        row = {"τ/δ²": temperature_of(size, dimension, "uniform") / nearest_neighbour_distance(size, dimension) ** 2}
        for metric, short in METRICS_IN_SHORT.items():
            middle = own.groupby(["mask", "times"])[metric].median()
            row[f"{short}: Std"] = middle["000", 1.0]
            row |= {f"{short}: Cov, {name}": middle["010", times] for times, name in TIMES_IN_SHORT.items()}
        rows[dimension, size] = row
    return pd.DataFrame(rows).T.rename_axis(["d", "N"])


def colder_verdicts(found: pd.DataFrame, radial: pd.DataFrame) -> pd.DataFrame:
    """Return every claim's verdict at the rule's temperature and at a tenth, and on the seeds of the chapter.

    Book: chapter "More dimensions, other densities", section "What the temperature's rule decides".

    Args:
        found: `data/space-colder.parquet`.
        radial: the radial neuron's runs.

    Returns:
        One row a dimension and claim (the index), with those of `COLDER_SETS`: "chapter's seeds", "τ", "τ/10".
    """
    columns = {
        name: referee.judge_cells(found[found["times"] == times]).set_index(["dimension", "claim"])["verdict"]
        for times, name in TIMES_IN_SHORT.items()
    }
    here = radial[radial["dimension"].isin(COLDER_SETS[0]) & radial["density"].isin(COLDER_SETS[1])]
    chapter = referee.judge_cells(here).set_index(["dimension", "claim"])["verdict"]
    return pd.DataFrame({OTHER_SEEDS: chapter, **columns}).rename_axis(["d", "claim"])


def differing(verdicts: pd.DataFrame, one: str, other: str) -> int:
    """Return how many verdicts differ between two columns of `colder_verdicts`."""
    return int((verdicts[one] != verdicts[other]).sum())


# --- the chapter's numbers ---


class Results(NamedTuple):
    """What the chapter's sentences are about: the runs of both neurons and on the tables, and the verdicts on them."""

    radial: pd.DataFrame
    ridge: pd.DataFrame
    tables: pd.DataFrame
    verdicts: pd.DataFrame
    ridge_verdicts: pd.DataFrame
    table_networks: pd.DataFrame
    colder: pd.DataFrame


@cache
def results(data: Path) -> Results:
    """Return what the chapter's sentences are about, of the stored runs.

    Args:
        data: the folder of the stored runs.
    """
    radial, ridge, tables = (pd.read_parquet(data / f"{name}.parquet") for name in ("space", "space-ridge", "tables"))
    ridge = with_the_line(ridge, radial)
    networks, cold = (pd.read_parquet(data / f"{name}.parquet") for name in ("tables-networks", "space-colder"))
    return Results(radial, ridge, tables, referee.judge_cells(radial), referee.judge_cells(ridge), networks, cold)


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "More dimensions, other densities", by name.

    Args:
        data: the folder of the stored runs.
    """
    found = results(data)
    return {
        **_of_survival(found),
        **_of_errors(found),
        **_of_the_hull(found),
        **_of_transport(found),
        **_of_the_temperature(found),
        **{f"variants-{name}": f"{count}" for name, count in VARIANTS_REJECTED.items()},
    }


def _of_the_temperature(found: Results) -> dict[str, str]:
    table, verdicts = colder_table(found.colder), colder_verdicts(found.colder, found.radial)
    asked = verdicts[(verdicts != NOT_ASKED).all(axis=1)]
    worst = table.loc[[(8, 100)]].iloc[0]
    return {
        "heat-over-spacing": listed(f"{ratio:.2g}" for ratio in table["τ/δ²"].loc[2]),
        "asked-verdicts": f"{len(asked)}",
        "differ-by-temperature": f"{differing(asked, 'τ', 'τ/10')}",
        "differ-by-seeds": f"{differing(asked, 'τ', OTHER_SEEDS)}",
        "cold-special-rule": f"{worst['S: Cov, τ']:.2f}",
        "cold-special-tenth": f"{worst['S: Cov, τ/10']:.2f}",
        "cold-special-std": f"{worst['S: Std']:.2f}",
        "cold-expelled-rule": f"{worst['expelled: Cov, τ']:.2g}",
        "cold-expelled-tenth": f"{worst['expelled: Cov, τ/10']:.2g}",
        "cold-error-rule": f"{table.loc[(2, 100), 'E: Cov, τ']:.2f}",
        "cold-error-tenth": f"{table.loc[(2, 100), 'E: Cov, τ/10']:.2f}",
        "cold-error-std": f"{table.loc[(2, 100), 'E: Std']:.2f}",
    }


def _of_survival(found: Results) -> dict[str, str]:
    cases, ridge = (referee.survival(one).cases for one in (found.verdicts, found.ridge_verdicts))
    row = referee.ledger_row(found.verdicts, found.radial["seed"].nunique())
    kept, same = list(cases["claim"].unique()), same_verdicts(found.verdicts, found.ridge_verdicts)
    return {
        "kept-claims": f"{len(kept)}",
        "kept-claims-listed": ", ".join(kept),
        "other-cells": f"{len(cases[['dimension', 'density']].drop_duplicates())}",
        "cases": f"{len(cases)}",
        "survived": f"{(cases['outcome'] == 'supported').sum()}",
        "contradicted": f"{(cases['outcome'] == 'contradicted').sum()}",
        "ledger-counts": row.counts,
        "ledger-compared": row.compared,
        "ledger-by-claim": row.by_claim,
        "only-elsewhere": ", ".join(f"{claim} in {count}" for claim, count in only_elsewhere(found.verdicts).items()),
        "ridge-cases": f"{len(ridge)}",
        "ridge-survived": f"{(ridge['outcome'] == 'supported').sum()}",
        "ridge-contradicted": f"{(ridge['outcome'] == 'contradicted').sum()}",
        "same-verdicts": f"{same.sum()}",
        "compared-verdicts": f"{len(same)}",
    }


def _of_errors(found: Results) -> dict[str, str]:
    errors, chance = median_errors(found.radial), median_chance(found.radial)
    below, lowest = below_chance(errors, chance), lowest_masks(errors)
    nearer = below_chance(median_errors(found.radial, "position_error"), median_chance(found.radial, "chance_position"))
    undecided, times = where_c1_is_undecided(lowest, found.verdicts), lowest.stack().value_counts()
    above, gained = above_untrained(found.radial), gained_by_position(found.radial, "overlap with transport")
    places = {"two": (2, "uniform", 30), "sixteen": (16, "uniform", 30)}
    return {
        **{f"transport-{name}": f"{errors[*place, '010', 'transport']:.2g}" for name, place in places.items()},
        **{f"std-{name}": f"{errors[*place, '000', 'coverage']:.2g}" for name, place in places.items()},
        **{f"chance-{name}": f"{chance[place]:.2g}" for name, place in places.items()},
        "training-sets": f"{lowest.size}",
        "lowest-coverage": f"{times['010']}",
        "lowest-coverage-and-separation": f"{times['011']}",
        "lowest-std": f"{times['000']}",
        "undecided-cells": f"{len(undecided)}",
        "undecided-sizes": f"{undecided.size}",
        "undecided-coverage-lowest": f"{(undecided == '010').to_numpy().sum()}",
        "below-chance-std": f"{below['000 Std']}",
        "below-chance-coverage": f"{below['010 Cov']}",
        "below-chance-overlap": f"{below['100 Ovl']}",
        "below-chance-overlap-and-coverage": f"{below['110 Ovl+Cov']}",
        "below-chance-transport": f"{below['transport']}",
        "below-chance-overlap-with-transport": f"{below['overlap with transport']}",
        "nearer-std": f"{nearer['000 Std']}",
        "nearer-coverage": f"{nearer['010 Cov']}",
        "nearer-overlap": f"{nearer['100 Ovl']}",
        "nearer-overlap-and-coverage": f"{nearer['110 Ovl+Cov']}",
        "nearer-transport": f"{nearer['transport']}",
        "gained-overlap-with-transport": f"{len(gained)}",
        "gained-at-ten": f"{sum(size == 10 for _, _, size in gained)}",
        "nearer-overlap-with-transport": f"{nearer['overlap with transport']}",
        "above-untrained-std": f"{above['000 Std']}",
        "above-untrained-coverage": f"{above['010 Cov']}",
        "above-untrained-overlap": f"{above['100 Ovl']}",
        "above-untrained-overlap-and-coverage": f"{above['110 Ovl+Cov']}",
        "above-untrained-transport": f"{above['transport']}",
        "above-untrained-overlap-with-transport": f"{above['overlap with transport']}",
    }


def _of_the_hull(found: Results) -> dict[str, str]:
    eight = curve_table(expelled_curves(found.radial), "expelled")["d = 8"]
    return {
        "expelled-coverage": f"{eight['010 Cov']:.2g}",
        "expelled-fresh": f"{eight['null']:.2g}",
        "expelled-transport": f"{eight['transport']:.2g}",
        "temperature": f"{by_dimension(nominal(found.radial), 'temperature').loc[('uniform', 100), 'd = 8']:.2g}",
        "pair-distance": f"{pair_distance(100, 8, range(3000, 3010)):.2g}",
    }


def _of_transport(found: Results) -> dict[str, str]:
    cosine, errors = blurring_table()["cosine of the gradients"], table_errors(found.tables)
    with_chance, beside = errors["chance"].notna(), "overlap with transport"
    positions = table_errors(found.tables, "position_error")
    diabetes = table_parts(found.table_networks).loc[[("diabetes-2", "radial", "transport")]].iloc[0]
    return {
        "cosine-two": f"{cosine[2, 1]:.2f}",
        "cosine-eight": f"{cosine[8, 1]:.2f}",
        "diabetes-error": f"{diabetes['E']:.2f}",
        "diabetes-chance": f"{table_chance('diabetes-2'):.2f}",
        "diabetes-position": f"{diabetes['position']:.4f}",
        "diabetes-chance-position": f"{table_chance_of_positions('diabetes-2'):.3f}",
        "diabetes-fit": f"{diabetes['rmse']:.2f}",
        "table-lines": f"{len(errors)}",
        "table-lines-transport-lowest": f"{(errors[list(CURVES)].idxmin(axis=1) == 'transport').sum()}",
        "table-lines-with-chance": f"{with_chance.sum()}",
        "table-below-chance-overlap-with-transport": f"{(errors[beside] < errors['chance']).sum()}",
        "table-nearer-overlap-with-transport": f"{(positions[beside] < positions['chance']).sum()}",
    }


def write_colder(root: Path = Path()) -> None:
    """Write `data/space-colder.parquet`.

    Args:
        root: the book's folder.
    """
    write_runs(colder(), root / "data/space-colder.parquet")


if __name__ == "__main__":
    write_colder()
