"""Where a sweep's batches are trained: this process, several processes, or a Dask cluster."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import torch

from companion.checks import require_integer


@contextmanager
def open_executor(workers: int | None = None, scheduler: str | None = None) -> Iterator[Executor | None]:
    """Give `run_sweep` its executor for as long as the `with` block lasts.

    Book: chapter "Rerunning, and what we chose", section "On many cores, or many machines".

    Args:
        workers: processes on this machine, at least 1, each with one thread.
        scheduler: address of a Dask scheduler, such as "tcp://10.0.0.1:8786"; its workers must have this companion.

    Returns:
        A context manager whose value is the executor: None, which means this process, if neither is given.

    Raises:
        ValueError: if both are given, workers is no whole number of at least 1, no scheduler answers at the
            address, or Dask is not installed.
    """
    if workers is not None and scheduler is not None:
        raise ValueError(f"workers: {workers!r} was given with scheduler {scheduler!r}; allowed is one of the two")
    if scheduler is not None:
        with _dask_client(scheduler) as client, client.get_executor() as executor:
            yield executor
    elif workers is not None:
        count = require_integer("workers", workers, least=1)
        # Spawned, because PyTorch's threads do not survive a fork.
        with ProcessPoolExecutor(count, get_context("spawn"), _start_worker) as executor:
            yield executor
    else:
        yield None


def _start_worker() -> None:
    """Let a worker use one thread, so that they do not compete, and leave Ctrl-C to the process that coordinates.

    A terminal sends it to all; a worker that stopped halfway through handing over a result would keep that one waiting.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _dask_client(scheduler: str):
    try:
        from distributed import Client
    except ImportError:
        raise ValueError(
            f"scheduler: {scheduler!r} was given and Dask is not installed; pip install 'dask[distributed]'"
        ) from None
    try:
        return Client(scheduler, timeout=10)
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"scheduler: {scheduler!r} was given, and none answers there; allowed is an address such as "
            f"'tcp://10.0.0.1:8786' ({error})"
        ) from None
