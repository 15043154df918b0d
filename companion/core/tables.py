"""Two regression tables that scikit-learn ships, as training sets: rows chosen and inputs projected by a rule."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch

from companion.core.checks import require_choice
from companion.core.settings import Density


class Source(NamedTuple):
    """Where a training set comes from: a table of scikit-learn's, how many components of it, how many rows (0: all)."""

    table: str
    components: int
    rows: int


TABLES = {
    Density.DIABETES_2: Source("diabetes", 2, 100),
    Density.DIABETES_4: Source("diabetes", 4, 100),
    Density.LINNERUD_2: Source("linnerud", 2, 0),
}
"""Training sets by name."""


class TableTask(NamedTuple):
    """A training set: x in [0, 1]^d of shape (rows, d), y in [0, 1] of shape (rows,); and the rows left out, if any."""

    x: torch.Tensor
    y: torch.Tensor
    others_x: np.ndarray
    others_y: np.ndarray


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
    return deepcopy(_table_task(Density(require_choice("name", name, TABLES))))


@cache
def _table_task(name: Density) -> TableTask:
    source = TABLES[name]
    # Here, for most of the book needs no table, and scikit-learn takes a second to load.
    from sklearn import datasets
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    table: Any = {"diabetes": datasets.load_diabetes, "linnerud": datasets.load_linnerud}[source.table]()
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
