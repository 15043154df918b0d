"""A sweep: every mask, size and seed trained and measured, one row a run, weights included."""

from __future__ import annotations

import functools
import io
import json
import math
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, nullcontext
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from tqdm import tqdm

from companion import __version__
from companion.core.checks import require_choice, require_device, require_flag, require_integer, require_number
from companion.core.data import TARGETS
from companion.core.losses import ATTRACTORS, MASKS
from companion.core.metrics import expelled_fraction, reconstruction_error, specialization_ratio
from companion.core.network import Parameters, activations, prototypes, starting_batch
from companion.core.train import LEARNING_RATE, Trained, train
from companion.sweeps.store import COLUMNS, Store, differing_versions, write_whole
from companion.sweeps.workers import as_they_finish

PAPER_SIZES = (3, 5, 10, 20, 50, 100)
PAPER_SEEDS = tuple(range(1000, 1010))
METRICS = ("fit_mse", "reconstruction_error", "specialization_ratio", "expelled_fraction")
BATCH_ENTRIES = 50_000
"""Entries of a torch batch's (runs, samples, neurons) arrays: few enough to stay in a core's cache, which
also bounds a batch's memory (about 30 such arrays of 8 bytes live at once)."""
BATCH_RUNS = 500
"""Most runs of any batch: at most about half a megabyte of results."""
VERSIONS = b"versions"
"""Key of a batch's metadata: the versions of the process that trained it."""


class Engine(NamedTuple):
    """A way to train.

    `train` has the arguments and the result of `companion.core.train.train`; `batch` says how many seeds of a size
    train together, given the steps; `threads` whether several batches train side by side in one process.
    """

    train: Callable[..., Trained]
    batch: Callable[[int, int], int]
    threads: bool


def batch_for_cache(size: int, steps: int) -> int:
    """Return as many seeds as fit into a core's cache, whatever the number of steps."""
    return max(1, min(BATCH_RUNS, BATCH_ENTRIES // size**2))


def batch_for_a_second(size: int, steps: int) -> int:
    """Return as many seeds as compiled code trains in about a second, so that progress shows and Ctrl-C is prompt."""
    largest = min(BATCH_RUNS, 1_000_000 // size**2)  # 8 MB in each (runs, samples, neurons) array of the measures
    return max(1, min(largest, 400_000_000 // (size**2 * max(steps, 1))))


def train_fast(*arguments: Any, **settings: Any) -> Trained:
    """Return what `companion.engine.line.train` does; numba is imported, at a cost of 60 MB, only where runs are trained."""
    from companion.engine import line as fast

    return fast.train(*arguments, **settings)


ENGINES: dict[str, Engine] = {
    "fast": Engine(train_fast, batch_for_a_second, threads=True),
    "torch": Engine(train, batch_for_cache, threads=False),
}
"""Engines by name: all that depends on which one trains. PyTorch brings threads of its own."""


class Batch(NamedTuple):
    """Runs that train together: one mask, one size, several seeds."""

    mask: str
    size: int
    seeds: tuple[int, ...]
    strength: float
    temperature: float
    steps: int
    engine: str
    device: str
    dtype: str
    attractor: str = "coverage"
    balance: float = 1.0
    anneal: bool = False
    target: str = "sine"


def run_sweep(
    masks: Iterable[str] = tuple(MASKS),
    sizes: Iterable[int] = PAPER_SIZES,
    seeds: Iterable[int] = PAPER_SEEDS,
    strength: float = 1.0,
    temperature: float = 1e-4,
    steps: int = 2000,
    engine: str | None = None,
    executor: Executor | None = None,
    device: str = "cpu",
    dtype: str = "float64",
    progress: bool | None = None,
    store: str | Path | None = None,
    columns: Sequence[str] | None = None,
    attractor: str = "coverage",
    balance: float = 1.0,
    anneal: bool = False,
    target: str = "sine",
) -> pd.DataFrame:
    """Train and measure every combination of mask, size and seed.

    Book: chapter "Rerunning, and what we chose", section "From Python"; chapter "How fast, and how it survives",
    section "Sweeps that survive". Columns: `data/README.md`.

    Args:
        masks: names in `companion.core.losses.MASKS`.
        sizes: numbers of training points and neurons, each at least 2.
        seeds: each at least 0; masks of one seed share data and initial weights.
        strength: λ >= 0.
        temperature: τ > 0.
        steps: Adam steps, at least 0.
        engine: "fast" (compiled, float64 on a CPU), "torch" (the plain reference; any device), or None: the fast
            one where it can be used. They agree to rounding.
        executor: where batches are trained: any `concurrent.futures.Executor` whose workers can import
            `companion`, such as one of `companion.sweeps.workers.open_executor`, Dask's or mpi4py's; None means in this
            process, the fast engine on all its cores.
        device: a torch device, such as "cpu" or "cuda".
        dtype: "float64" or "float32".
        progress: whether to show a bar on stderr; None means where stderr is a terminal.
        store: a folder that keeps every finished run, made if its parent exists. Runs that it holds are not
            trained again, so the same call goes on where an earlier one was stopped; None keeps nothing.
        columns: which columns to return; None means all. With a store, and without the weights, hundreds of
            thousands of runs fit into little memory.
        attractor: one of `companion.core.losses.ATTRACTORS`, the loss that the mask's middle bit switches on.
        balance: κ >= 0, the attractor's part of λ.
        anneal: whether the repulsions' part of λ falls linearly during training.
        target: a name in `companion.core.data.TARGETS`, the function that the training points lie on.

    Returns:
        One row a run, ordered as the arguments are: mask, then size, then seed. Lists are NumPy arrays.
        `attrs["versions"]` holds the library versions.

    Raises:
        ValueError: naming the first argument that is not allowed, or the file for which the store is
            refused, before any training.
        RuntimeError: if a worker's versions of what decides a result are not those of this process.
        Exception: whatever stopped the training, with a note that says how many runs are finished.
    """
    masks = _list_of("masks", masks, lambda name, given: require_choice(name, given, MASKS))
    sizes = _list_of("sizes", sizes, lambda name, given: require_integer(name, given, least=2))
    seeds = _list_of("seeds", seeds, _require_seed)
    settings = {
        "strength": require_number("strength", strength),
        "temperature": require_number("temperature", temperature, positive=True),
        "attractor": require_choice("attractor", attractor, ATTRACTORS),
        "balance": require_number("balance", balance),
        "anneal": require_flag("anneal", anneal),
        "target": require_choice("target", target, TARGETS),
        "steps": require_integer("steps", steps, least=0),
        "device": require_device("device", device),
        "dtype": require_choice("dtype", dtype, ("float64", "float32")),
    }
    settings["engine"] = engine = _require_engine(engine, settings["device"], settings["dtype"])
    names = COLUMNS.names if columns is None else columns
    names = _list_of("columns", names, lambda name, given: require_choice(name, given, COLUMNS.names))

    table = Rows(masks, sizes, seeds, names)
    with _opened(store, settings) as kept:
        finished = kept.finished() if kept else {}
        batches = [
            Batch(mask, size, tuple(chunk), **settings)
            for mask, size in product(masks, sizes)
            for chunk in _chunks(
                _without(seeds, finished.get((mask, size))), ENGINES[engine].batch(size, settings["steps"])
            )
        ]
        # The longest first: one that starts last would keep all other workers waiting.
        batches.sort(key=lambda batch: -len(batch.seeds) * batch.size**2)
        missing = sum(len(batch.seeds) for batch in batches)
        hidden = None if progress is None else not progress
        with tqdm(total=table.length, initial=table.length - missing, unit="run", disable=hidden) as bar:
            try:
                with closing(_run_all(batches, ENGINES[engine].threads, executor)) as trained:
                    for runs in trained:
                        kept.add(runs) if kept else table.put(runs)
                        missing -= runs.num_rows
                        bar.update(runs.num_rows)
            except BaseException as error:
                error.add_note(_what_is_kept(table.length - missing, table.length, store))
                raise
        if kept:
            for runs in kept.read(list({"mask", "size", "seed", *names})):
                table.put(runs)
    return table.frame()


def run_batch(batch: Batch) -> pa.Table:
    """Train one batch and measure it.

    Args:
        batch: runs of one mask and size.

    Returns:
        `companion.sweeps.store.COLUMNS`, one row a seed, in their order; this process's versions in the metadata.
    """
    x, y, start = starting_batch(batch.size, batch.seeds, batch.target)
    kind = {"device": batch.device, "dtype": getattr(torch, batch.dtype)}
    x, y, start = x.to(**kind), y.to(**kind), Parameters(*(value.to(**kind) for value in start))
    attraction = {name: getattr(batch, name) for name in ("attractor", "balance", "anneal")}
    settings = (batch.mask, batch.strength, batch.temperature, batch.steps)
    trained = ENGINES[batch.engine].train(x, y, start, *settings, **attraction)

    x, y = x.cpu().double(), y.cpu().double()
    parameters = Parameters(*(value.cpu().double() for value in trained.parameters))
    same = {name: getattr(batch, name) for name in ("mask", "size", "strength", "temperature", "steps", "engine")}
    same |= attraction | {"learning_rate": LEARNING_RATE, "target": batch.target, "dtype": batch.dtype}
    lists = {"x": x, "y": y, "w": parameters.w, "b": parameters.b, "a": parameters.a}
    values = {
        **{name: pa.repeat(value, len(batch.seeds)) for name, value in same.items()},
        "seed": pa.array(batch.seeds, pa.int64()),
        **measure(x, y, parameters),
        **{name: _list_column(value.numpy()) for name, value in lists.items()},
        "c": parameters.c.numpy(),
    }
    metadata = {VERSIONS: json.dumps(library_versions())}
    return pa.table({name: values[name] for name in COLUMNS.names}, schema=COLUMNS.with_metadata(metadata))


def measure(x: torch.Tensor, y: torch.Tensor, parameters: Parameters) -> dict[str, np.ndarray]:
    """Return the four metrics of trained runs, computed in float64; each run's are the same bits in any company.

    A run whose parameters or prototypes are not finite keeps its row, with NaN in every metric.

    Args:
        x, y: training data, shape (runs, samples).
        parameters: w, b, a of shape (runs, neurons), c of shape (runs,).

    Returns:
        fit_mse, reconstruction_error, specialization_ratio and expelled_fraction, each of shape (runs,).

    Raises:
        ValueError: if one run is given without a dimension of runs.
    """
    if x.dim() != 2:
        raise ValueError(f"shapes: x {tuple(x.shape)} was given; allowed is (runs, samples)")
    x, y, w, b, a, c = (value.double() for value in (x, y, *parameters))
    positions = prototypes(w, b)
    finite = c.isfinite() & torch.stack([w, b, a, positions]).isfinite().all(-1).all(0)
    metrics = {name: np.full(len(x), math.nan) for name in METRICS}
    if finite.any():
        x, y, w, b, a, c, positions = (value[finite] for value in (x, y, w, b, a, c, positions))
        responses = activations(x, w, b)
        fitted = _weighted_sum(responses, a, c)
        values = _weighted_sum(activations(positions, w, b), a, c)
        found = (
            ((fitted - y.numpy()) ** 2).mean(-1),
            reconstruction_error(x, y, positions, values),
            specialization_ratio(responses),
            expelled_fraction(x, positions),
        )
        for name, value in zip(METRICS, found, strict=True):
            metrics[name][finite.numpy()] = value
    return metrics


def _weighted_sum(responses: torch.Tensor, a: torch.Tensor, c: torch.Tensor) -> np.ndarray:
    """Return the network's values, shape (runs, samples), from responses; see `companion.core.network.output`.

    That one multiplies matrices, which rounds differently with the number of runs; a sum along the last axis does not.
    """
    return (responses.numpy() * a.numpy()[:, None, :]).sum(-1) + c.numpy()[:, None]


def _list_column(values: np.ndarray) -> pa.ListArray:
    """Return rows of equal length as a column of lists."""
    runs, length = values.shape
    return pa.ListArray.from_arrays(np.arange(0, runs * length + 1, length, dtype=np.int32), values.reshape(-1))


class Rows:
    """A table that is filled in any order: every run has its place from the start, so nothing is sorted or copied."""

    def __init__(self, masks: list[str], sizes: list[int], seeds: list[int], columns: list[str]) -> None:
        self.length = len(masks) * len(sizes) * len(seeds)
        self._empty = self.length
        self._groups = {key: place * len(seeds) for place, key in enumerate(product(masks, sizes))}
        self._seeds = pd.Index(seeds, dtype=np.int64)
        kinds = {name: COLUMNS.field(name).type for name in columns}
        self._values = {
            name: np.empty(self.length, kind.to_pandas_dtype() if pa.types.is_primitive(kind) else object)
            for name, kind in kinds.items()
        }

    def put(self, runs: pa.Table) -> None:
        """Put runs of one mask and size in their places; those that were not asked for have none."""
        first = self._groups.get((runs["mask"][0].as_py(), runs["size"][0].as_py()))
        if first is None:
            return
        places = self._seeds.get_indexer(runs["seed"].to_numpy())
        asked = places >= 0
        self._empty -= int(asked.sum())
        for name, values in self._values.items():
            text = pa.types.is_string(COLUMNS.field(name).type)
            # Text is the same in all runs of one mask and one sweep: one object instead of one a run.
            found = runs[name][0].as_py() if text else runs[name].to_numpy()[asked]
            values[first + places[asked]] = found

    def frame(self) -> pd.DataFrame:
        """Return the table, once.

        Raises:
            RuntimeError: if a run is missing.
        """
        if self._empty:
            raise RuntimeError(f"table: {self._empty} of its {self.length} runs are missing")
        values = {name: pd.Series(self._values.pop(name), copy=False) for name in list(self._values)}
        table = pd.DataFrame(values, copy=False)
        table.attrs["versions"] = library_versions()
        return table


@functools.cache
def _library_versions() -> dict[str, str]:
    names = ("torch", "numpy", "numba", "scipy", "pandas", "pyarrow")
    return {"companion": __version__, "python": platform.python_version(), **{name: version(name) for name in names}}


def library_versions() -> dict[str, str]:
    """Return the versions that a result depends on: Python's, this module's, and the libraries'."""
    return dict(_library_versions())


def write_runs(table: pd.DataFrame, out: str | Path) -> Path:
    """Write a sweep's table to a Parquet file, whole or not at all.

    Args:
        table: what `run_sweep` returned; its versions go into the file's metadata.
        out: path ending in .parquet, in a folder that exists; a file already there is replaced
            only once the new one is complete.

    Returns:
        The path written.

    Raises:
        ValueError: if the path is not allowed.
    """
    path = check_out(out)
    whole = io.BytesIO()
    table.to_parquet(whole, index=False)
    write_whole(path, whole.getvalue())
    return path


def check_out(out: str | Path) -> Path:
    """Return `out` as a path that a table can be written to.

    Raises:
        ValueError: if it does not end in .parquet or its folder does not exist.
    """
    path = Path(out) if isinstance(out, str | Path) else Path()
    if path.suffix != ".parquet":
        raise ValueError(f"out: {out!r} was given; allowed is a path that ends in .parquet")
    if not path.parent.is_dir():
        raise ValueError(f"out: the folder of {str(out)!r} does not exist; allowed is a file in an existing folder")
    return path


def read_list(name: str, given: Any) -> list[Any]:
    """Return a notebook parameter as a list: a list as it is, text (papermill's -p) read as JSON, one value alone.

    Args:
        name: the parameter's name, for the error.
        given: a list, a number, or text such as "[3, 5]" or "3".

    Raises:
        ValueError: if text holds no JSON list, number or word.
    """
    if isinstance(given, str) and given.strip().startswith("["):
        try:
            given = json.loads(given.replace("'", '"'))
        except json.JSONDecodeError:
            raise ValueError(f"{name}: {given!r} was given; allowed is a list such as [3, 5]") from None
    return list(given) if isinstance(given, list | tuple) else [given]


def _list_of(name: str, given: Any, check: Any) -> list[Any]:
    """Return the checked values, refusing none at all and values that repeat."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ValueError(f"{name}: {given!r} was given; allowed is a list")
    values = [check(name, value) for value in given]
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{name}: {values} was given; allowed is a list of at least one value, none twice")
    return values


def _chunks(values: Sequence[int], length: int) -> list[Sequence[int]]:
    return [values[start : start + length] for start in range(0, len(values), length)]


def _without(seeds: list[int], finished: np.ndarray | None) -> list[int]:
    """Return the seeds that are still to be trained, in their order."""
    if finished is None:
        return seeds
    known = set(finished.tolist())
    return [seed for seed in seeds if seed not in known]


def _require_engine(given: str | None, device: str, dtype: str) -> str:
    """Return the engine's name, or that of the one to use; refuse the fast one what it cannot do."""
    fits = device == "cpu" and dtype == "float64"
    if given is None:
        return "fast" if fits else "torch"
    engine = require_choice("engine", given, ENGINES)
    if engine == "fast" and not fits:
        raise ValueError(
            f"engine: 'fast' was given with device {device!r} and dtype {dtype!r}; allowed are 'cpu' and 'float64', "
            "or engine 'torch'"
        )
    return engine


def _require_seed(name: str, given: Any) -> int:
    """Return a seed, refusing one that no column of 64-bit numbers holds."""
    seed = require_integer(name, given, least=0)
    if seed >= 2**63:
        raise ValueError(f"{name}: {given!r} was given; allowed are whole numbers from 0 to 2**63 - 1")
    return seed


def _opened(store: str | Path | None, settings: dict[str, Any]) -> Any:
    """Return the store to be opened, or a stand-in that gives None."""
    if store is None:
        return nullcontext()
    kind = torch.device(settings["device"]).type  # which of several GPUs trains decides nothing
    return Store(store, settings | {"learning_rate": LEARNING_RATE, "device": kind}, library_versions())


def _what_is_kept(finished: int, total: int, store: str | Path | None) -> str:
    """Return the line that a sweep which is stopped ends with."""
    if store is None:
        return f"{finished} of {total} runs were finished and are lost; with store=... they would be kept"
    return f"{finished} of {total} runs are finished and kept in {str(store)!r}; the same call goes on from there"


def _run_all(batches: list[Batch], threads: bool, executor: Executor | None) -> Iterator[pa.Table]:
    """Yield each batch's runs as it finishes, and hold on to none of them."""
    own = ThreadPoolExecutor(os.cpu_count()) if threads and executor is None else nullcontext(executor)
    with own as place, closing(as_they_finish(run_batch, batches, place)) as finished:
        for _, runs in finished:
            _refuse_other_versions(runs)
            yield runs


def _refuse_other_versions(runs: pa.Table) -> None:
    """Refuse runs of a worker whose bits may be others than this process's, whose versions the table will carry."""
    theirs = json.loads(runs.schema.metadata[VERSIONS])
    for name, (there, here) in differing_versions(theirs, library_versions()).items():
        raise RuntimeError(f"executor: a worker has {name} {there}, and {name} {here} is here; install one version")
