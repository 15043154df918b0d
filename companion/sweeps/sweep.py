"""A sweep: settings, sizes and seeds, each trained and measured, one row a run, weights included."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from tqdm import tqdm

from companion.core.checks import (
    MOST_POINTS,
    require_choice,
    require_flag,
    require_integer,
    require_list,
    require_seed,
    shown,
)
from companion.core.network import Parameters, in_nominal_activation, require_startable, starting_batch
from companion.core.settings import MASKS, NAMES, Settings, require_settings
from companion.core.train import Trained, train
from companion.sweeps.measures import measure_every_reading, reconstructions
from companion.sweeps.store import COLUMNS, ON_THE_LINE, Group, Store, differing_versions, require_runs
from companion.sweeps.workers import as_they_finish, require_executor
from companion.version import library_versions

Result = TypeVar("Result")
PAPER_SIZES = (3, 5, 10, 20, 50, 100)
PAPER_SEEDS = tuple(range(1000, 1010))
BATCH_ENTRIES = 50_000
"""Entries of a torch batch's (runs, samples, neurons) arrays: few enough to stay in a core's cache, which
also bounds a batch's memory (about 30 such arrays of 8 bytes live at once)."""
BATCH_RUNS = 500
"""Most runs of any batch: at most about half a megabyte of results."""
VERSIONS = b"versions"
"""Key of a batch's metadata: the versions of the process that trained it."""
STARTED_IN = os.getpid()
"""The process that imported this module."""


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
    size = require_integer("size", size, least=1)
    return max(1, min(BATCH_RUNS, BATCH_ENTRIES // size**2))


def batch_for_a_second(size: int, steps: int) -> int:
    """Return as many seeds as compiled code trains in about a second, so that progress shows and Ctrl-C is prompt."""
    size, steps = require_integer("size", size, least=1), require_integer("steps", steps, least=0)
    largest = min(BATCH_RUNS, 1_000_000 // size**2)  # 8 MB in each (runs, samples, neurons) array of the measures
    return max(1, min(largest, 400_000_000 // (size**2 * max(steps, 1))))


def train_fast(*arguments: Any, **settings: Any) -> Trained:
    """Return what the engine's `train` does; numba is imported, at a cost of 60 MB, only where runs are trained."""
    from companion.engine import driver

    return driver.train(*arguments, **settings)


ENGINES: dict[str, Engine] = {
    "fast": Engine(train_fast, batch_for_a_second, threads=True),
    "torch": Engine(train, batch_for_cache, threads=False),
}
"""Engines by name: all that depends on which one trains. PyTorch brings threads of its own."""


class How(NamedTuple):
    """How runs are trained: engine, device, float type. It decides no more of a run than its last digits."""

    engine: str
    device: str
    dtype: str


class Batch(NamedTuple):
    """Runs that train together."""

    group: Group
    how: How


def run_sweep(
    settings: Settings | None = None,
    *,
    masks: Iterable[str] = tuple(MASKS),
    sizes: Iterable[int] = PAPER_SIZES,
    seeds: Iterable[int] = PAPER_SEEDS,
    **more: Any,
) -> pd.DataFrame:
    """Train and measure every combination of mask, size and seed.

    Book: chapter "Rerunning, and what we chose", section "From Python"; chapter "How fast, and how it survives",
    section "Sweeps that survive". Columns: `data/README.md`.

    Args:
        settings: of all runs, the mask left as it is, for `masks` gives it; None means the nominal ones.
        masks: names in `companion.core.settings.MASKS`.
        sizes: numbers of training points and neurons, each at least 2.
        seeds: each at least 0; masks of one seed share data and initial weights.
        more: any of the settings by name, such as `temperature=1e-3`, in place of those given; and the options of
            `run_groups`: engine, executor, device, dtype, progress, store, columns.

    Returns:
        One row a run, ordered as the arguments are: mask, then size, then seed. Lists are NumPy arrays.
        `attrs["versions"]` holds the library versions.

    Raises:
        ValueError: naming the first argument that is not allowed, or the file for which the store is
            refused, before any training.
        RuntimeError: if a worker's versions of what decides a result are not those of this process.
        Exception: whatever stopped the training, with a note that says how many runs are finished.
    """
    for name in more:
        require_choice("argument", name, ["masks", "sizes", "seeds", *OPTIONS, *NAMES[1:]])  # all but "mask"
    options = {name: more.pop(name) for name in OPTIONS if name in more}
    of_all = require_settings("settings", Settings() if settings is None else settings).but(**more)
    if of_all.mask != Settings.mask:
        raise ValueError(f"settings: mask {of_all.mask!r} was given; allowed is masks=[{of_all.mask!r}] in its place")
    masks = list_of("masks", masks, lambda name, given: require_choice(name, given, MASKS))
    sizes = list_of("sizes", sizes, lambda name, given: require_integer(name, given, least=2, most=MOST_POINTS))
    seeds = tuple(list_of("seeds", seeds, require_seed))
    return run_groups([Group(of_all.but(mask=mask), size, seeds) for mask in masks for size in sizes], **options)


OPTIONS = ("engine", "executor", "device", "dtype", "progress", "store", "columns")
"""Arguments of `run_groups` beside the groups: all that changes no more of a run than its last digits."""


def run_groups(
    groups: Sequence[Group],
    *,
    engine: str | None = None,
    executor: Executor | None = None,
    device: str = "cpu",
    dtype: str = "float64",
    progress: bool | None = None,
    store: str | Path | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Train and measure groups of runs, on the line and in d dimensions.

    Args:
        groups: settings, size and seeds of each; none twice.
        engine: "fast" (compiled, float64 on a CPU), "torch" (the plain reference; any device), or None: the fast
            one where it can be used. They agree to rounding.
        executor: where batches are trained: any `concurrent.futures.Executor` whose workers can import
            `companion`, such as one of `companion.sweeps.workers.open_executor`, Dask's or mpi4py's (what it must
            be able to do: `companion.sweeps.workers.as_they_finish`); None means in this process, the fast engine on
            all its cores.
        device: a torch device, such as "cpu" or "cuda".
        dtype: "float64" or "float32".
        progress: whether to show a bar on stderr, where there is one; None means where that is a terminal.
        store: a folder that keeps every finished run, made if its parent exists. Runs that it holds are not
            trained again, so the same call goes on where an earlier one was stopped; None keeps nothing.
        columns: which to return, names in `companion.sweeps.store.COLUMNS`; None means those `ON_THE_LINE`. With a
            store, and without the weights, hundreds of thousands of runs fit into little memory.

    Returns:
        One row a run, in the order of the groups and of their seeds; as `run_sweep`.

    Raises:
        As `run_sweep`.
    """
    groups = require_list("groups", groups, _require_group)
    require_executor(executor)
    device, dtype = _require_device("device", device), require_choice("dtype", dtype, ("float64", "float32"))
    if progress is not None:
        require_flag("progress", progress)
    how = How(_require_engine(engine, device, dtype), device, dtype)
    names = list_of(
        "columns",
        ON_THE_LINE if columns is None else columns,
        lambda name, given: require_choice(name, given, COLUMNS.names),
    )
    table = Rows(groups, names)
    with _opened(store, how) as kept:
        batches = [
            Batch(Group(group.settings, group.size, tuple(chunk)), how)
            for group in groups
            for chunk in _chunks(
                _without(group.seeds, kept.finished(group.settings, group.size) if kept else set()),
                ENGINES[how.engine].batch(group.size, group.settings.steps),
            )
        ]
        # The longest first: one that starts last would keep all other workers waiting.
        batches.sort(key=lambda batch: -_work(batch.group))
        missing = sum(len(batch.group.seeds) for batch in batches)
        if kept and missing:
            kept.require_lock()
        hidden = True if _without_stderr() else None if progress is None else not progress
        with Bar(total=table.length, initial=table.length - missing, unit="run", disable=hidden) as bar:
            try:
                with closing(_run_all(batches, ENGINES[how.engine].threads, executor)) as trained:
                    for group, runs in trained:
                        kept.add(group, runs) if kept else table.put(group.settings, group.size, runs)
                        missing -= runs.num_rows
                        bar.update(runs.num_rows)
            except BaseException as error:
                error.add_note(_what_is_kept(table.length - missing, table.length, store))
                raise
        if kept:
            for part in kept.read(groups, list({"seed", *names})):
                table.put(*part)
    return table.frame()


def run_batch(batch: Batch) -> pa.Table:
    """Train one batch and measure it.

    Args:
        batch: runs of one group.

    Returns:
        `companion.sweeps.store.COLUMNS`, one row a seed, in their order; this process's versions in the metadata.
    """
    if os.getpid() != STARTED_IN:
        torch.set_num_threads(1)  # a forked process would wait for ever for the threads that PyTorch had before
    (settings, size, seeds), how = batch
    x, y, start = starting_batch(size, seeds, settings)
    kind: dict[str, Any] = {"device": how.device, "dtype": getattr(torch, how.dtype)}
    x, y, *moved = (value.to(**kind) for value in (x, y, *start))
    start = Parameters(*moved)
    trained = ENGINES[how.engine].train(x, y, start, settings)

    x, y = x.cpu().double(), y.cpu().double()
    parameters = Parameters(*(value.cpu().double() for value in trained.parameters))
    # A network's prototypes and values do not depend on how its activation is written.
    as_nominal = in_nominal_activation(parameters, settings.activation)
    positions, values = reconstructions(x, as_nominal, settings.neuron)
    same: dict[str, Any] = {name: getattr(settings, SETTING.get(name, name)) for name in OF_SETTINGS}
    same |= {"size": size, "engine": how.engine, "dtype": how.dtype}
    lists = {"x": x, "y": y, "prototypes": positions, "values": values, **parameters._asdict()}
    del lists["c"]
    columns = {
        **{name: pa.array([value] * len(seeds), COLUMNS.field(name).type) for name, value in same.items()},
        "seed": pa.array(seeds, pa.int64()),
        **measure_every_reading(x, y, as_nominal, settings.neuron),
        **{name: _list_column(value.numpy()) for name, value in lists.items()},
        "c": parameters.c.numpy(),
    }
    metadata = {VERSIONS: json.dumps(library_versions())}
    return pa.table({name: columns[name] for name in COLUMNS.names}, schema=COLUMNS.with_metadata(metadata))


SETTING = {"learning_rate": "step_size"}
"""Columns whose setting has another name."""
OF_SETTINGS = [name for name in map(str, COLUMNS.names) if SETTING.get(name, name) in NAMES]
"""Columns that are settings."""


def _list_column(values: np.ndarray) -> pa.ListArray:
    """Return rows of equal length as a column of lists, each flat."""
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    runs, length = flat.shape
    return pa.ListArray.from_arrays(np.arange(0, runs * length + 1, length, dtype=np.int32), flat.reshape(-1))


class Rows:
    """A table that is filled in any order: every run has its place from the start, so nothing is sorted or copied."""

    def __init__(self, groups: Sequence[Group], columns: Sequence[str]) -> None:
        ends = np.cumsum([len(group.seeds) for group in groups]).tolist()
        self.length = self._empty = ends[-1]
        self._groups = {
            (group.settings, group.size): (end - len(group.seeds), pd.Index(group.seeds, dtype=np.int64))
            for group, end in zip(groups, ends, strict=True)
        }
        if len(self._groups) < len(groups):
            raise ValueError("groups: one was given twice; allowed are groups that differ in settings or size")
        kinds = {name: COLUMNS.field(name).type for name in columns}
        self._values = {
            name: np.empty(self.length, kind.to_pandas_dtype() if pa.types.is_primitive(kind) else object)
            for name, kind in kinds.items()
        }

    def put(self, settings: Settings, size: int, runs: pa.Table) -> None:
        """Put runs of one group in their places; those that were not asked for have none."""
        first, seeds = self._groups[settings, size]
        places = seeds.get_indexer(runs["seed"].to_numpy())
        asked = places >= 0
        self._empty -= int(asked.sum())
        for name, values in self._values.items():
            text = pa.types.is_string(COLUMNS.field(name).type)
            # Text is the same in all runs of one group: one object instead of one a run.
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


def list_of(name: str, given: Any, check: Callable[[str, Any], Result]) -> list[Result]:
    """Return what `require_list` does, refusing values that repeat."""
    values = require_list(name, given, check)
    if len(set(values)) < len(values):
        raise ValueError(f"{name}: {shown(values)} was given; allowed is a list that holds no value twice")
    return values


def _require_group(name: str, given: Any) -> Group:
    """Return settings, a size and seeds that can be trained."""
    if not isinstance(given, tuple) or len(given) != len(Group._fields):
        raise ValueError(f"{name}: {shown(given)} was given; allowed are settings, a size and seeds")
    settings, size, seeds = given
    require_startable(size, require_settings("settings", settings))
    return Group(settings, int(size), tuple(list_of("seeds", seeds, require_seed)))


def _chunks(values: Sequence[int], length: int) -> list[Sequence[int]]:
    return [values[start : start + length] for start in range(0, len(values), length)]


def _without(seeds: Sequence[int], finished: set[int]) -> list[int]:
    """Return the seeds that are still to be trained, in their order."""
    return [seed for seed in seeds if seed not in finished]


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


def _require_device(name: str, given: Any) -> str:
    """Return `given` as the name of a device that this PyTorch can put a tensor on.

    Raises:
        ValueError: if it cannot.
    """
    try:
        number = torch.zeros(1, device=given)
        number.item()  # a meta tensor has none
    except Exception as error:  # of several kinds, by the device's own library
        reason = str(error).splitlines()[0]
        raise ValueError(f"{name}: {shown(given)} was given; allowed is 'cpu' or a device at hand ({reason})") from None
    return str(number.device)


def _work(group: Group) -> int:
    """A number that grows with the time that a group's training takes."""
    settings, size, seeds = group
    return len(seeds) * size**2 * settings.dimension * max(settings.steps, 1)


def _without_stderr() -> bool:
    """Whether this process has nowhere to show a bar: pythonw has no stderr, and others close it."""
    return sys.stderr is None or getattr(sys.stderr, "closed", False)


class Bar(tqdm):  # pyright: ignore[reportMissingTypeArgument]: it takes none when it runs
    """A bar that goes on without being seen where stderr takes nothing any more, such as a pipe that was closed."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        with suppress(OSError, ValueError):
            super().display(msg, pos)

    def close(self) -> None:
        with suppress(OSError, ValueError):
            super().close()


def _opened(store: str | Path | None, how: How) -> Any:
    """Return the store to be opened, or a stand-in that gives None."""
    if store is None:
        return nullcontext()
    kind = torch.device(how.device).type  # which of several GPUs trains decides nothing
    return Store(store, how._replace(device=kind)._asdict(), library_versions())


def _what_is_kept(finished: int, total: int, store: str | Path | None) -> str:
    """Return the line that a sweep which is stopped ends with."""
    if store is None:
        return f"{finished} of {total} runs were finished and are lost; with store=... they would be kept"
    return f"{finished} of {total} runs are finished and kept in {str(store)!r}; the same call goes on from there"


def _run_all(batches: list[Batch], threads: bool, executor: Executor | None) -> Generator[tuple[Group, pa.Table]]:
    """Yield each batch's group and runs as it finishes, and hold on to none of them."""
    own = ThreadPoolExecutor(os.cpu_count()) if threads and executor is None else nullcontext(executor)
    with own as place, closing(as_they_finish(run_batch, batches, place)) as finished:
        for batch, runs in finished:
            if not isinstance(runs, pa.Table) or VERSIONS not in (runs.schema.metadata or {}):
                raise ValueError(
                    f"executor: {shown(executor)} gave {shown(runs)}; allowed is one that gives jobs' results"
                )
            _refuse_other_versions(runs)
            require_runs(batch.group, runs)
            yield batch.group, runs


def _refuse_other_versions(runs: pa.Table) -> None:
    """Refuse runs of a worker whose bits may be others than this process's, whose versions the table will carry."""
    theirs = json.loads(runs.schema.metadata[VERSIONS])
    for name, (there, here) in differing_versions(theirs, library_versions()).items():
        raise RuntimeError(f"executor: a worker has {name} {there}, and {name} {here} is here; install one version")
