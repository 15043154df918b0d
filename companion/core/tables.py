"""Two regression tables that scikit-learn ships, as training sets: rows chosen and inputs projected by a rule."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.distance import cdist
from sklearn.datasets import load_diabetes, load_linnerud
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from companion.core.checks import require_choice
from companion.core.hull import outside_hull
from companion.core.space import NOMINAL_TEMPERATURE, nearest_neighbour_distance, space_error


class Source(NamedTuple):
    """Where a training set comes from: a table of scikit-learn's, how many components of it, how many rows (0: all)."""

    table: str
    components: int
    rows: int


TABLES = {
    "diabetes-2": Source("diabetes", 2, 100),
    "diabetes-4": Source("diabetes", 4, 100),
    "linnerud-2": Source("linnerud", 2, 0),
}
"""Training sets by name."""

LOADERS = {"diabetes": load_diabetes, "linnerud": load_linnerud}


class TableTask(NamedTuple):
    """A training set: x in [0, 1]^d of shape (rows, d), y in [0, 1] of shape (rows,); and the rows left out, if any."""

    x: torch.Tensor
    y: torch.Tensor
    others_x: np.ndarray
    others_y: np.ndarray


@cache
def table_task(name: str) -> TableTask:
    """Return a training set by its name.

    Rows: of diabetes 100 of its 442, drawn once with seed 0; of linnerud all 20. Inputs: each column to mean 0 and
    variance 1, the leading principal components, each component to [0, 1] by its least and greatest value. Values: the
    table's target (linnerud: the first, weight), to [0, 1] in the same way. All is fitted to the chosen rows alone.
    Book: chapter "More dimensions, other densities", section "Two real tables".

    Args:
        name: one of `TABLES`.

    Returns:
        The chosen rows, and those left out under the same map.

    Raises:
        ValueError: if there is no such name.
    """
    source = TABLES[require_choice("name", name, TABLES)]
    table = LOADERS[source.table]()
    inputs, values = table.data, np.asarray(table.target, dtype=np.float64).reshape(len(table.data), -1)[:, :1]
    chosen = np.full(len(inputs), True)
    if source.rows:
        chosen[:] = False
        chosen[np.random.default_rng(0).choice(len(inputs), source.rows, replace=False)] = True
    map_x = make_pipeline(StandardScaler(), PCA(source.components, svd_solver="full"), MinMaxScaler())
    map_y = MinMaxScaler()
    x, y = map_x.fit_transform(inputs[chosen]), map_y.fit_transform(values[chosen])[:, 0]
    if chosen.all():
        others_x, others_y = np.empty((0, source.components)), np.empty(0)
    else:
        others_x, others_y = map_x.transform(inputs[~chosen]), map_y.transform(values[~chosen])[:, 0]
    return TableTask(torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(y.copy()), others_x, others_y)


def table_temperature(name: str) -> float:
    """Return τ = 10⁻⁴ (δ/δ₁)² with δ the mean distance of the table's rows to their nearest ones.

    Book: chapter "More dimensions, other densities", equation (space-temperature).

    Args:
        name: one of `TABLES`.
    """
    x = table_task(name).x.numpy()
    delta = float((cdist(x, x) + np.diag(np.full(len(x), np.inf))).min(-1).mean())
    return NOMINAL_TEMPERATURE * (delta / nearest_neighbour_distance(len(x), 1)) ** 2


def table_outside(name: str) -> float:
    """Return the null of an expelled fraction: the share of other rows outside the hull of the training set.

    Where no row was left out, each row in turn is compared with the hull of the rest.
    Book: chapter "More dimensions, other densities", equation (null).

    Args:
        name: one of `TABLES`.
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
        name: one of `TABLES`.
        draws: sets of rows, drawn without replacement, each as large as the training set.
    """
    task, stream = table_task(name), np.random.default_rng(1)
    rows = len(task.x)
    if len(task.others_x) < rows:
        return float("nan")
    drawn = [stream.choice(len(task.others_x), rows, replace=False) for _ in range(draws)]
    return float(np.median([space_error(task.x, task.y, task.others_x[one], task.others_y[one]) for one in drawn]))
