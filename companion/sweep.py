"""A sweep: every mask, size and seed trained and measured, one row a run, weights included."""

from __future__ import annotations

import json
import math
import os
import platform
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, Future, as_completed
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from tqdm import tqdm

from companion import __version__
from companion.checks import require_choice, require_device, require_integer, require_number
from companion.data import sample_task
from companion.losses import MASKS, fit_loss
from companion.metrics import expelled_fraction, reconstruction_error, specialization_ratio
from companion.model import Parameters, activations, initial_parameters, predict, prototypes
from companion.train import LEARNING_RATE, train

PAPER_SIZES = (3, 5, 10, 20, 50, 100)
PAPER_SEEDS = tuple(range(1000, 1010))
ENGINES = ("torch",)
BATCH_ENTRIES = 50_000
"""Entries of a batch's (runs, samples, neurons) arrays: few enough to stay in a core's cache, which
also bounds a batch's memory (about 30 such arrays of 8 bytes live at once)."""


class Batch(NamedTuple):
    """Runs that train together: one mask, one size, several seeds."""

    mask: str
    size: int
    seeds: tuple[int, ...]
    strength: float
    temperature: float
    steps: int
    device: str
    dtype: str


def run_sweep(
    masks: Iterable[str] = tuple(MASKS),
    sizes: Iterable[int] = PAPER_SIZES,
    seeds: Iterable[int] = PAPER_SEEDS,
    strength: float = 1.0,
    temperature: float = 1e-4,
    steps: int = 2000,
    engine: str = "torch",
    executor: Executor | None = None,
    device: str = "cpu",
    dtype: str = "float64",
    progress: bool = False,
) -> pd.DataFrame:
    """Train and measure every combination of mask, size and seed.

    Book: chapter "The full replication"; columns: `data/README.md`.

    Args:
        masks: names in `companion.losses.MASKS`.
        sizes: numbers of training points and neurons, each at least 2.
        seeds: each at least 0; masks of one seed share data and initial weights.
        strength: λ >= 0.
        temperature: τ > 0.
        steps: Adam steps, at least 0.
        engine: "torch", the only one so far.
        executor: where batches are trained; None means here, one after another.
        device: a torch device, such as "cpu" or "cuda".
        dtype: "float64" or "float32".
        progress: show a progress bar on stderr.

    Returns:
        One row a run, ordered as the arguments are: mask, then size, then seed.
        `attrs["versions"]` holds the library versions.

    Raises:
        ValueError: naming the first argument that is not allowed, before any training.
    """
    masks = _list_of("masks", masks, lambda name, given: require_choice(name, given, MASKS))
    sizes = _list_of("sizes", sizes, lambda name, given: require_integer(name, given, least=2))
    seeds = _list_of("seeds", seeds, lambda name, given: require_integer(name, given, least=0))
    settings = {
        "strength": require_number("strength", strength),
        "temperature": require_number("temperature", temperature, positive=True),
        "steps": require_integer("steps", steps, least=0),
        "device": require_device("device", device),
        "dtype": require_choice("dtype", dtype, ("float64", "float32")),
    }
    require_choice("engine", engine, ENGINES)

    batches = [
        Batch(mask, size, tuple(chunk), **settings)
        for mask, size in product(masks, sizes)
        for chunk in _chunks(seeds, max(1, BATCH_ENTRIES // size**2))
    ]
    rows: dict[tuple[str, int, int], dict[str, Any]] = {}
    with tqdm(total=len(masks) * len(sizes) * len(seeds), unit="run", disable=not progress) as bar:
        for finished in _run_all(batches, executor):
            rows.update({(row["mask"], row["size"], row["seed"]): row for row in finished})
            bar.update(len(finished))
    table = pd.DataFrame([rows[key] for key in product(masks, sizes, seeds)])
    table.attrs["versions"] = library_versions()
    return table


def run_batch(batch: Batch) -> list[dict[str, Any]]:
    """Train one batch and return its rows.

    Args:
        batch: runs of one mask and size.

    Returns:
        One dict a seed, in their order: settings, metrics, and lists x, y, w, b, a and number c after training.
    """
    tasks = [sample_task(batch.size, seed) for seed in batch.seeds]
    initial = [initial_parameters(batch.size, seed) for seed in batch.seeds]
    kind = {"device": batch.device, "dtype": getattr(torch, batch.dtype)}
    x, y = (torch.stack(column).to(**kind) for column in zip(*tasks, strict=True))
    start = Parameters(*(torch.stack(column).to(**kind) for column in zip(*initial, strict=True)))
    trained = train(x, y, start, batch.mask, batch.strength, batch.temperature, batch.steps).parameters

    x, y = x.cpu(), y.cpu()
    parameters = Parameters(*(value.cpu() for value in trained))
    return [
        {
            "mask": batch.mask,
            "size": batch.size,
            "seed": seed,
            "strength": batch.strength,
            "temperature": batch.temperature,
            "steps": batch.steps,
            "learning_rate": LEARNING_RATE,
            "target": "sine",
            "engine": "torch",
            "dtype": batch.dtype,
            **measure(x[run], y[run], Parameters(*(value[run] for value in parameters))),
            "x": x[run].tolist(),
            "y": y[run].tolist(),
            **{name: value[run].tolist() for name, value in parameters._asdict().items()},
        }
        for run, seed in enumerate(batch.seeds)
    ]


def measure(x: torch.Tensor, y: torch.Tensor, parameters: Parameters) -> dict[str, float]:
    """Return the four metrics of one trained run, computed in float64.

    A run whose parameters or prototypes are not finite keeps its row, with NaN in every metric.

    Args:
        x, y: training data, shape (samples,).
        parameters: w, b, a of shape (neurons,), c of shape ().

    Returns:
        fit_mse, reconstruction_error, specialization_ratio and expelled_fraction.
    """
    x, y = x.double(), y.double()
    parameters = Parameters(*(value.double() for value in parameters))
    positions = prototypes(parameters.w, parameters.b)
    if not all(value.isfinite().all() for value in (*parameters, positions)):
        return dict.fromkeys(("fit_mse", "reconstruction_error", "specialization_ratio", "expelled_fraction"), math.nan)
    return {
        "fit_mse": float(fit_loss(predict(x, *parameters), y)),
        "reconstruction_error": reconstruction_error(x, y, positions, predict(positions, *parameters)),
        "specialization_ratio": specialization_ratio(activations(x, parameters.w, parameters.b)),
        "expelled_fraction": expelled_fraction(x, positions),
    }


def library_versions() -> dict[str, str]:
    """Return the versions that a result depends on: Python's, this module's, and the libraries'."""
    names = ("torch", "numpy", "scipy", "pandas", "pyarrow")
    return {"companion": __version__, "python": platform.python_version(), **{name: version(name) for name in names}}


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
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".parquet")
    os.close(handle)
    try:
        table.to_parquet(temporary, index=False)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
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


def _run_all(batches: list[Batch], executor: Executor | None) -> Iterable[list[dict[str, Any]]]:
    """Yield each batch's rows as it finishes; an executor gets the largest networks first."""
    if executor is None:
        yield from map(run_batch, batches)
        return
    futures: list[Future] = [
        executor.submit(run_batch, batch) for batch in sorted(batches, key=lambda batch: -batch.size)
    ]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
