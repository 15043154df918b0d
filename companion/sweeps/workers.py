"""Where a sweep's jobs are done (this process, several processes, a Dask cluster), and how their results come back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import torch

from companion.core.checks import require_integer

IN_FLIGHT = 128
"""Jobs that an executor holds at once: enough to keep as many workers busy, few enough that results which all arrive
together do not fill the memory."""
Job = TypeVar("Job")
Result = TypeVar("Result")


@contextmanager
def open_executor(workers: int | None = None, scheduler: str | None = None) -> Generator[Executor | None]:
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
        with ProcessPoolExecutor(count, get_context("spawn"), torch.set_num_threads, (1,)) as executor:
            with _deaf_to_ctrl_c():
                for _ in range(count):
                    executor.submit(int)  # each starts one worker, as none has nothing to do yet
            yield executor
    else:
        yield None


def as_they_finish(
    function: Callable[[Job], Result], jobs: Iterable[Job], executor: Executor | None = None
) -> Generator[tuple[Job, Result]]:
    """Yield each job with the function's result, in the order in which they finish; hold on to none of them.

    A job that fails comes after those that are finished by then, and ends the iteration by its exception. So does
    Ctrl-C: it waits until this process is out of the executor's own code. Raised in there, it can leave a lock held,
    for which the executor then waits for ever.
    Book: chapter "How fast, and how it survives", section "Sweeps that survive".

    Args:
        function: what is done; a process or a cluster must be able to import it.
        jobs: its arguments, handed over in their order as earlier ones finish.
        executor: any of `concurrent.futures`; None does one job after another, here.

    Raises:
        Exception: the first failed job's own.
        KeyboardInterrupt: on Ctrl-C; jobs that wait are taken back, those under way go on to their end.
    """
    if executor is None:
        yield from ((job, function(job)) for job in jobs)
        return
    waiting = iter(jobs)
    pending: dict[Future[Result], Job] = {}
    ended: SimpleQueue[Future[Any]] = SimpleQueue()
    with _ctrl_c_put_into(ended):
        try:
            while True:
                for job in islice(waiting, IN_FLIGHT - len(pending)):
                    future = executor.submit(function, job)
                    pending[future] = job
                    future.add_done_callback(ended.put)
                if not pending:
                    break
                done = [_next(ended), *(ended.get() for _ in range(ended.qsize()))]
                # Taken from the end: what is finished, then Ctrl-C, then what failed (perhaps by it).
                done.sort(key=lambda future: (future.exception() is None, future not in pending))
                while done:
                    future = done.pop()
                    result = future.result()
                    yield pending.pop(future), result
        finally:
            for future in pending:
                future.cancel()
    if not ended.empty():  # Ctrl-C, after the last job
        ended.get().result()


def _next(ended: SimpleQueue[Future[Any]]) -> Future[Any]:
    """Wait for a job, a second at a time: Ctrl-C ends no wait that begins in the moment in which it arrives."""
    while True:
        try:
            return ended.get(timeout=1)
        except Empty:
            continue


@contextmanager
def _ctrl_c_put_into(ended: SimpleQueue[Future[Any]]) -> Generator[None]:
    """Let Ctrl-C put a job that failed by KeyboardInterrupt into a queue, instead of raising it there and then.

    Other threads than the main one never get Ctrl-C, and who has a handler of their own keeps it.
    """

    def put(*_: object) -> None:
        interrupted: Future[Any] = Future()
        interrupted.set_exception(KeyboardInterrupt())
        ended.put(interrupted)

    raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not raises or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, put)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _deaf_to_ctrl_c() -> Generator[None]:
    """Start processes that ignore Ctrl-C from their first moment on and leave it to the one that coordinates.

    A terminal sends it to all. A worker that stopped halfway through handing over a result would keep that one waiting.
    """
    if threading.current_thread() is not threading.main_thread():  # only there can it be set
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
