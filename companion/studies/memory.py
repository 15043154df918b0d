"""The comparison of "Weights that remember": who reads the training inputs off the weights, and how well.

The rule, written before the runs that it judges. Of a pair of readers (`PAIRS`) the first is nearer at a size if the
sign test over the seeds (`companion.judging.paired.p_less` of the position errors, corrected by Holm's method over all
pairs and sizes) says so at 0.05, the second if the reversed test does; otherwise neither is. (At first it was the
signed-rank test, which asks something else of skewed differences: chapter "The ledger".) A
network is open to a membership attack at a size if the 95 % interval of the median AUC lies above ½. A sample is
recovered within 1/(4N), and exactly within 0.001.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from companion.core.checks import (
    MOST_POINTS,
    MOST_VALUES,
    checked_by,
    require_integer,
    require_number,
    require_seed,
)
from companion.core.data import TARGETS, fresh_samples, random_stream, sample_task
from companion.core.metrics import position_error, reconstruction_error
from companion.core.network import Parameters, predict, prototypes, starting_batch
from companion.core.settings import Attractor, Settings
from companion.core.train import train
from companion.judging.paired import holm, median_difference, p_less
from companion.studies.stationarity import (
    METHODS,
    Candidates,
    Search,
    condition_rank,
    distinct_neurons,
    membership,
    multipliers,
    reconstruct,
    recovered,
    train_to_stationarity,
)
from companion.sweeps.sweep import list_of
from companion.version import library_versions


class Network(NamedTuple):
    """A network that is read: trained as in the other chapters and, if decayed, from there to a stationary point."""

    settings: Settings
    decayed: bool = False


class Reader(NamedTuple):
    """A reconstruction by `companion.studies.stationarity`: how it searches and whether it knows the target."""

    method: str = METHODS[0]
    scale: bool = False
    knows_target: bool = False


COVERED, TRANSPORTED = Settings("010"), Settings("010", attractor=Attractor.TRANSPORT)
NETWORKS = {
    "Std": Network(Settings("000")),
    "Std, decayed": Network(Settings("000"), decayed=True),
    "coverage": Network(COVERED),
    "transport": Network(TRANSPORTED),
    "transport, decayed": Network(TRANSPORTED, decayed=True),
}
"""The networks by name."""
READERS = {
    "KKT": Reader(),
    "KKT by gradient": Reader(METHODS[1]),
    "KKT, target known": Reader(knows_target=True),
    "KKT, scale only": Reader(scale=True),
}
"""The reconstructions by name; beside them "prototypes" reads -b/w, and "chance" and "evenly spread" no network."""
TASKS = (
    *((network, "prototypes") for network in NETWORKS),
    *(("Std, decayed", reader) for reader in ("KKT", "KKT by gradient", "KKT, target known")),
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


class Case(NamedTuple):
    """What a reader is given: one network, or none, and the run it is of."""

    size: int
    seed: int
    parameters: Parameters | None
    decay: float
    gradient_norm: float = float("nan")


Job = tuple[int, list[int], float, int, tuple[float, ...]]
"""Arguments of `sweep`."""
SEEDS_OF_A_JOB = 10


def design(sizes: Iterable[int], first_seed: int, seeds: int, **reading: Any) -> list[Job]:
    """Return the jobs of a sweep, those of the largest sizes, which take longest, first.

    Book: chapter "Weights that remember", section "The comparison".

    Args:
        sizes: N of each, at least 2.
        first_seed: at least 0.
        seeds: how many, at least 1.
        reading: decay, starts and others of `sweep`.

    Raises:
        ValueError: naming the first argument that is not allowed.
    """
    sizes = list_of("sizes", sizes, lambda name, one: require_integer(name, one, least=2, most=MOST_POINTS))
    first_seed = require_seed("first_seed", first_seed)
    end = first_seed + require_integer("seeds", seeds, least=1, most=MOST_VALUES)
    chunks = [list(range(start, min(start + SEEDS_OF_A_JOB, end))) for start in range(first_seed, end, SEEDS_OF_A_JOB)]
    return [_job(size, chunk, **reading) for size in sorted(sizes, reverse=True) for chunk in chunks]


def _job(size: int, seeds: list[int], decay: float = 1e-4, starts: int = 4, others: Any = ()) -> Job:
    """Return the arguments of `sweep`, checked."""
    return (
        require_integer("size", size, least=2, most=MOST_POINTS),
        list_of("seeds", seeds, require_seed),
        require_number("decay", decay, positive=True),
        require_integer("starts", starts, least=1),
        () if others in ((), []) else tuple(list_of("others", others, partial(require_number, positive=True))),
    )


@checked_by(_job)
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

    Raises:
        ValueError: naming the first argument that is not allowed, before any training.
    """
    x, y, initial = starting_batch(size, seeds)
    plain = {network.settings for network in NETWORKS.values()}
    trained = {settings: train(x, y, initial, settings).parameters for settings in plain}
    rows = []
    for place, seed in enumerate(seeds):

        def case(network: Network, mu: float, place: int = place, seed: int = seed) -> Case:
            start = Parameters(*(value[place] for value in trained[network.settings]))
            if not network.decayed:
                return Case(size, seed, start, mu)
            # Without transport the decayed network has the fit alone.
            strength = network.settings.strength if network.settings.attractor == Attractor.TRANSPORT else 0.0
            return Case(size, seed, *_decayed(x[place], y[place], start, mu, strength))

        cases = {name: case(network, decay) for name, network in NETWORKS.items()}
        cases["none"] = Case(size, seed, None, decay)
        rows += [_row(*task, cases[task[0]], starts) for task in TASKS]
        again = [case(NETWORKS["Std, decayed"], other) for other in others]
        rows += [_row("Std, decayed", "prototypes", one, starts) for one in again]
    table = pd.DataFrame(rows)
    table.attrs["versions"] = library_versions()
    return table


def _decayed(
    x: torch.Tensor, y: torch.Tensor, start: Parameters, decay: float, strength: float
) -> tuple[Parameters, float, float]:
    """What a decayed case holds behind its run."""
    found = train_to_stationarity(x, y, start, decay, strength)
    return found.parameters, decay, found.gradient_norm


def candidates_of(reader: str, case: Case, starts: int = 4) -> Candidates:
    """Return what a reader takes for the training inputs.

    Book: chapter "Weights that remember", section "The comparison".

    Args:
        reader: a name of `TASKS`.
        case: what it is given; the two readers who know no network take the size and the seed alone.
        starts: of a reconstruction.

    Returns:
        The candidates; readers without a reconstruction have no multipliers and no residual.

    Raises:
        ValueError: if a reader of networks is given none.
    """
    size, seed = case.size, case.seed
    if reader == "evenly spread":
        return Candidates((np.arange(size) + 0.5) / size, np.empty(0), np.nan)
    if reader == "chance":
        return Candidates(random_stream(size, seed, purpose=2).uniform(0.0, 1.0, size), np.empty(0), np.nan)
    if case.parameters is None:
        raise ValueError(f"case: none of a network was given to {reader!r}; allowed are 'chance' and 'evenly spread'")
    if reader == "prototypes":
        positions = prototypes(case.parameters.w, case.parameters.b).numpy()
        # A neuron that died to the last bit, w = b = 0, has no prototype: the middle stands for it.
        return Candidates(np.where(np.isfinite(positions), positions, 0.5), np.empty(0), np.nan)
    return reconstruct(case.parameters, size, search_of(reader, case, starts))


def search_of(reader: str, case: Case, starts: int) -> Search:
    """Return how a reader of `READERS` searches, and what it knows.

    Args:
        reader: a name in `READERS`.
        case: whose seed and decay are taken.
        starts: random starts.
    """
    how = READERS[reader]
    known: dict[str, Any] = {"decay": case.decay, "target": _target} if how.knows_target else {}
    return Search(starts, case.seed, how.method, how.scale, **known)


def nearness(case: Case, found: np.ndarray) -> dict[str, float]:
    """Return how near candidates come to the training inputs, and what they tell of membership.

    Book: chapter "Weights that remember", section "The comparison".

    Args:
        case: whose run and network; without a network values are put on the target's graph.
        found: candidates, shape (samples,).

    Returns:
        E; the mean distance along the input under its own best matching; the shares recovered; the membership AUC.
    """
    size, seed = case.size, case.seed
    x, y = sample_task(size, seed)
    points = torch.tensor(found)
    values = _target(found) if case.parameters is None else predict(points, *case.parameters).numpy()
    fresh = fresh_samples(size, seed, FRESH)[0].flatten().numpy()
    return {
        "reconstruction_error": float(reconstruction_error(x, y, found, values)),
        "position_error": float(position_error(x, found)),
        "recovered": recovered(x, found, 1 / (4 * size)),
        "recovered_exactly": recovered(x, found, 0.001),
        "membership": membership(x, fresh, found),
    }


def _target(x: np.ndarray) -> np.ndarray:
    return TARGETS["sine"](torch.tensor(x)).numpy()


def _row(network: str, reader: str, case: Case, starts: int) -> dict[str, object]:
    found = candidates_of(reader, case, starts)
    row: dict[str, object] = {"size": case.size, "seed": case.seed, "network": network, "reader": reader}
    row |= {"decay": case.decay, "starts": starts, **nearness(case, found.x), "residual": found.residual}
    row |= {"gradient_norm": case.gradient_norm, "rank": -1, "distinct": -1}
    if case.parameters is not None:
        x, y = sample_task(case.size, case.seed)
        row["distinct"] = distinct_neurons(case.parameters)
        row["rank"] = condition_rank(case.parameters, x, multipliers(case.parameters, x, y, case.decay))
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
