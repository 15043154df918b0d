"""The comparison of "Weights that remember": who reads the training inputs off the weights, and how well.

The rule, written before the runs that it judges. Of a pair of readers (`PAIRS`) the first is nearer at a size if
Wilcoxon's signed-rank test over the seeds (`companion.judging.paired.p_less` of the position errors, corrected by Holm's method
over all pairs and sizes) says so at 0.05, the second if the reversed test does; otherwise neither is. A network is open
to a membership attack at a size if the 95 % interval of the median AUC lies above ½. A sample is recovered within
1/(4N), and exactly within 0.001.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from companion.core.data import TARGETS, fresh_samples, random_stream
from companion.core.metrics import reconstruction_error
from companion.core.network import Parameters, predict, prototypes, starting_batch
from companion.core.train import train
from companion.judging.paired import holm, median_difference, p_less
from companion.studies.stationarity import (
    Candidates,
    condition_rank,
    distinct_neurons,
    membership,
    multipliers,
    reconstruct,
    recovered,
    train_to_stationarity,
)
from companion.sweeps.sweep import library_versions

NETWORKS = {
    "Std": {"mask": "000"},
    "Std, decayed": {"mask": "000", "decay": True},
    "coverage": {"mask": "010"},
    "transport": {"mask": "010", "attractor": "transport"},
    "transport, decayed": {"mask": "010", "attractor": "transport", "decay": True},
}
"""The networks: all are trained as in the book's other chapters; decayed ones from there to a stationary point."""
READERS = ("prototypes", "KKT", "KKT by gradient", "KKT, target known", "KKT, scale only")
"""Who reads: -b/w, and the reconstructions of `companion.studies.stationarity.reconstruct`."""
TASKS = (
    *((network, "prototypes") for network in NETWORKS),
    *(("Std, decayed", reader) for reader in READERS[1:4]),
    *(("transport, decayed", reader) for reader in ("KKT", "KKT, scale only")),
    ("none", "chance"),
    ("none", "evenly spread"),
)
"""Networks with their readers; the last two know the distribution, and no network."""
PAIRS = (
    (("transport", "prototypes"), ("Std, decayed", "KKT")),
    (("transport", "prototypes"), ("Std, decayed", "KKT, target known")),
    (("transport, decayed", "prototypes"), ("Std, decayed", "KKT")),
    (("Std, decayed", "KKT"), ("Std, decayed", "prototypes")),
    (("Std, decayed", "KKT"), ("none", "chance")),
    (("Std, decayed", "KKT"), ("none", "evenly spread")),
    (("Std, decayed", "KKT, target known"), ("none", "chance")),
    (("Std, decayed", "KKT, target known"), ("none", "evenly spread")),
    (("transport, decayed", "KKT, scale only"), ("none", "chance")),
)
"""The pairs of tasks that the rule compares."""
FRESH = 20
"""Fresh samples of a run, each as large as its training set, for the membership attack."""


def sweep(
    size: int, seeds: list[int], decay: float = 1e-4, starts: int = 4, others: tuple[float, ...] = ()
) -> pd.DataFrame:
    """Train the networks of some seeds and let every reader read them.

    Book: chapter "Weights that remember", section "The comparison".

    Args:
        size: N, samples and neurons, at least 2.
        seeds: each at least 0.
        decay: μ > 0.
        starts: of each reconstruction.
        others: further μ, at which the decayed Std's prototypes alone are read.

    Returns:
        A row a seed and task of `TASKS`, and a row a further μ; columns as `data/README.md` has them.
    """
    x, y, initial = starting_batch(size, seeds)
    trained = {}
    for name, how in NETWORKS.items():
        settings = {key: value for key, value in how.items() if key != "decay"}
        if not how.get("decay"):
            trained[name] = train(x, y, initial, **settings).parameters
    rows = []
    for place, seed in enumerate(seeds):
        networks = {name: (_run(batch, place), np.nan) for name, batch in trained.items()}
        for name in ("Std", "transport"):
            strength = 1.0 if name == "transport" else 0.0
            networks[f"{name}, decayed"] = train_to_stationarity(x[place], y[place], networks[name][0], decay, strength)
        given = size, seed, x[place], y[place]
        rows += [_row(*task, decay, starts, *networks.get(task[0], (None, np.nan)), *given) for task in TASKS]
        for other in others:
            again = train_to_stationarity(x[place], y[place], networks["Std"][0], other)
            rows.append(_row("Std, decayed", "prototypes", other, starts, *again, *given))
    table = pd.DataFrame(rows)
    table.attrs["versions"] = library_versions()
    return table


def read(reader: str, parameters: Parameters | None, size: int, seed: int, decay: float, starts: int = 4) -> Candidates:
    """Return what a reader takes for the training inputs.

    Book: chapter "Weights that remember", section "The comparison".

    Args:
        reader: one of `TASKS`.
        parameters: of one run; None for the two readers who know no network.
        size: N.
        seed: of the run, and of the random starts.
        decay: μ, for the reader who knows it.
        starts: of a reconstruction.

    Returns:
        The candidates; readers without a reconstruction have no multipliers and no residual.
    """
    if reader == "evenly spread":
        return Candidates((np.arange(size) + 0.5) / size, np.empty(0), np.nan)
    if reader == "chance":
        return Candidates(random_stream(size, seed, purpose=2).uniform(0.0, 1.0, size), np.empty(0), np.nan)
    if reader == "prototypes":
        positions = prototypes(parameters.w, parameters.b).numpy()
        # A neuron that died to the last bit, w = b = 0, has no prototype: the middle stands for it.
        return Candidates(np.where(np.isfinite(positions), positions, 0.5), np.empty(0), np.nan)
    known = {"decay": decay, "target": _target} if reader == "KKT, target known" else {}
    method = "gradient" if reader == "KKT by gradient" else "least squares"
    return reconstruct(parameters, size, starts, seed, method, scale=reader == "KKT, scale only", **known)


def judge(
    x: torch.Tensor, y: torch.Tensor, parameters: Parameters | None, found: np.ndarray, size: int, seed: int
) -> dict[str, float]:
    """Return how near candidates come to the training inputs, and what they tell of membership.

    Book: chapter "Weights that remember", section "The comparison".

    Args:
        x, y: training data of one run, shape (samples,).
        parameters: of the network, for the values at the candidates; None puts them on the target's graph.
        found: candidates, shape (samples,).
        size, seed: of the run, for its fresh samples.

    Returns:
        E; the mean distance along the input under its own best matching; the shares recovered; the membership AUC.
    """
    points = torch.tensor(found)
    values = _target(found) if parameters is None else predict(points, *parameters).numpy()
    fresh = fresh_samples(size, seed, FRESH)[0].flatten().numpy()
    return {
        "reconstruction_error": reconstruction_error(x, y, found, values),
        "position_error": float(np.abs(np.sort(x.numpy()) - np.sort(found)).mean()),
        "recovered": recovered(x, found, 1 / (4 * size)),
        "recovered_exactly": recovered(x, found, 0.001),
        "membership": membership(x, fresh, found),
    }


def _target(x: np.ndarray) -> np.ndarray:
    return TARGETS["sine"](torch.tensor(x)).numpy()


def _run(batch: Parameters, place: int) -> Parameters:
    return Parameters(*(value[place] for value in batch))


def _row(
    network: str,
    reader: str,
    decay: float,
    starts: int,
    parameters: Parameters | None,
    gradient_norm: float,
    size: int,
    seed: int,
    x: torch.Tensor,
    y: torch.Tensor,
) -> dict[str, object]:
    found = read(reader, parameters, size, seed, decay, starts)
    row = {"size": size, "seed": seed, "network": network, "reader": reader, "decay": decay, "starts": starts}
    row |= judge(x, y, parameters, found.x, size, seed)
    row |= {"residual": found.residual, "gradient_norm": gradient_norm, "rank": -1, "distinct": -1}
    if parameters is not None:
        row["distinct"] = distinct_neurons(parameters)
        row["rank"] = condition_rank(parameters, x, multipliers(parameters, x, y, decay))
    return row | {"candidates": found.x}


def medians(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a column's median with its 95 % interval, a row a network, reader and size.

    Book: chapter "Weights that remember", section "The comparison".
    """
    rows = [
        {"network": network, "reader": reader, "size": size, **median_difference(group[column], 0.0)._asdict()}
        for (network, reader, size), group in table.groupby(["network", "reader", "size"], sort=False)
    ]
    return pd.DataFrame(rows)


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Return the verdict on each of `PAIRS` at each size, by the rule above.

    Book: chapter "Weights that remember", section "The comparison".

    Args:
        table: rows of `sweep` at one decay, of every task and the same seeds at each size.

    Returns:
        Columns first, second, size; the median difference of the position errors with its interval; both
        corrected p-values; nearer: "first", "second" or "neither".
    """
    errors = table.set_index(["network", "reader", "size", "seed"])["position_error"].sort_index()
    rows, tests = [], []
    for first, second in PAIRS:
        for size in sorted(table["size"].unique()):
            low, high = (errors.loc[(*task, size)].to_numpy() for task in (first, second))
            rows.append({"first": first, "second": second, "size": size, **median_difference(low, high)._asdict()})
            tests.append([float(p_less(low, high)), float(p_less(high, low))])
    p = np.transpose([holm(column) for column in np.transpose(tests)])
    nearer = np.where(p[:, 0] < 0.05, "first", np.where(p[:, 1] < 0.05, "second", "neither"))
    return pd.DataFrame(rows).assign(p_first=p[:, 0], p_second=p[:, 1], nearer=nearer)
