"""Where a sweep's jobs are done (this process, several processes, a Dask cluster), and how their results come back."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.synchronize import Semaphore
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import torch

from companion.core.checks import require_integer, shown

IN_FLIGHT = 128
"""Jobs that an executor holds at once: enough to keep as many workers busy, few enough that results which all arrive
together do not fill the memory."""
MOST_WORKERS = 61 if sys.platform == "win32" else IN_FLIGHT
"""Processes that `open_executor` starts: Windows can wait for no more, and elsewhere more would find no job."""
PATIENCE = 60
"""Seconds without a result after which a Dask cluster is asked whether it has any worker."""
Job = TypeVar("Job")
Result = TypeVar("Result")


@contextmanager
def open_executor(workers: int | None = None, scheduler: str | None = None) -> Generator[Executor | None]:
    """Give `run_sweep` its executor for as long as the `with` block lasts.

    Book: chapter "Rerunning, and what we chose", section "On many cores, or many machines".

    Args:
        workers: processes on this machine, from 1 to `MOST_WORKERS`, each with one thread. They leave when this process
            is gone, even if it is killed.
        scheduler: address of a Dask scheduler, such as "tcp://10.0.0.1:8786"; its workers must have this companion.

    Returns:
        A context manager whose value is the executor: None, which means this process, if neither is given.

    Raises:
        ValueError: if both are given, workers is no whole number in that range, no scheduler answers at the address
            within 10 seconds, or Dask is not installed.
    """
    if workers is not None and scheduler is not None:
        raise ValueError(
            f"workers: {shown(workers)} was given with scheduler {shown(scheduler)}; allowed is one of the two"
        )
    if scheduler is not None:
        with _dask_client(scheduler) as client, client.get_executor() as executor:
            yield executor
    elif workers is not None:
        count = require_integer("workers", workers, least=1, most=MOST_WORKERS)
        processes = get_context("spawn")
        speaks = processes.BoundedSemaphore(1)
        with ProcessPoolExecutor(count, processes, _become_worker, (speaks,)) as executor:
            with _deaf_to_ctrl_c():
                for _ in range(count):
                    executor.submit(int)  # each starts one worker, as none has nothing to do yet
            yield executor
    else:
        yield None


def _become_worker(speaks: Semaphore) -> None:
    """Train with one thread, and leave as soon as the process that started this one is gone, however it ended.

    The executor alone tells a worker to leave only where that process ends in order; killed, it would leave its
    workers to train on, and then to wait for jobs for ever.

    Args:
        speaks: taken by one worker, which says for all of them that compiled code is not kept.
    """
    torch.set_num_threads(1)
    if not speaks.acquire(block=False):
        warnings.filterwarnings("ignore", "the fast engine is compiled anew")
    starter = parent_process()
    assert starter is not None

    def leave_with_it() -> None:
        # What that process has forked holds its end of the sentinel open; its id changes all the same, but on Windows.
        while os.getppid() == starter.pid and not wait([starter.sentinel], timeout=1):
            pass
        os._exit(1)  # the main thread may be in compiled code, which no exception ends

    threading.Thread(target=leave_with_it, daemon=True).start()


def require_executor(executor: Any) -> None:
    """Pass if `executor` is one, or None.

    Raises:
        ValueError: if it is anything else, such as an executor's class.
    """
    if executor is not None and not isinstance(executor, Executor):
        raise ValueError(
            f"executor: {shown(executor)} was given; allowed are executors of concurrent.futures, Dask's (of "
            "client.get_executor()) and mpi4py's among them, and None"
        )


def as_they_finish(
    function: Callable[[Job], Result], jobs: Iterable[Job], executor: Executor | None = None
) -> Generator[tuple[Job, Result]]:
    """Return an iterator over each job with the function's result, as they finish; it holds on to none of them.

    A job that fails comes after those that are finished by then, and ends the iteration by its exception. So does
    Ctrl-C: it waits until this process is out of the executor's own code. Raised in there, it can leave a lock held,
    for which the executor then waits for ever.
    Book: chapter "How fast, and how it survives", section "Sweeps that survive".

    Args:
        function: what is done; a process or a cluster must be able to import it.
        jobs: its arguments, handed over in their order as earlier ones finish.
        executor: any of `concurrent.futures`; None does one job after another, here. Processes forked or
            spawned by this one are set to one thread of PyTorch, and stay so. Fork none while another thread of this
            process trains: a lock which that one holds just then stays held in the fork.

    Raises:
        ValueError: if executor is none, takes no job any more, or is Dask's and none of the workers that are there can
            import the companion. (A cluster without workers may get them later: after `PATIENCE` seconds a
            RuntimeWarning says that it is waited for.)
        Exception: the first failed job's own.
        KeyboardInterrupt: on Ctrl-C; jobs that wait are taken back, those under way go on to their end.
    """
    require_executor(executor)
    if executor is None:
        return ((job, function(job)) for job in jobs)
    return _by_executor(function, jobs, executor)


def _by_executor(
    function: Callable[[Job], Result], jobs: Iterable[Job], executor: Executor
) -> Generator[tuple[Job, Result]]:
    """Do what `as_they_finish` does, by an executor."""
    client = _dask_client_of(executor)
    if client is not None:
        _require_companion(client)
    work = partial(do_job, os.getpid(), function)
    waiting = iter(jobs)
    pending: dict[Future[Result], Job] = {}
    ended: SimpleQueue[Future[Any]] = SimpleQueue()
    with _ctrl_c_put_into(ended):
        try:
            submit = partial(_submit_first, executor)
            while True:
                for job in islice(waiting, IN_FLIGHT - len(pending)):
                    future = submit(work, job)
                    submit = executor.submit
                    pending[future] = job
                    future.add_done_callback(ended.put)
                if not pending:
                    break
                done = [_next(ended, client), *(ended.get() for _ in range(ended.qsize()))]
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


def do_job(caller: int, function: Callable[[Job], Result], job: Job) -> Result:
    """Return the function's result; in a process that the caller's process started, with one thread of PyTorch.

    A forked process has none of the threads that PyTorch thinks it has, and would wait for them for ever.
    """
    if os.getppid() == caller:
        torch.set_num_threads(1)
    return function(job)


def _submit_first(executor: Executor, work: Callable[[Job], Result], job: Job) -> Future[Result]:
    """Hand over the first job; an executor that is shut down, or whose workers died, takes none."""
    try:
        return executor.submit(work, job)
    except RuntimeError as error:
        raise ValueError(f"executor: {shown(executor)} was given; allowed is one that takes jobs ({error})") from None


def _next(ended: SimpleQueue[Future[Any]], client: Any) -> Future[Any]:
    """Wait for a job, a second at a time: Ctrl-C ends no wait that begins in the moment in which it arrives."""
    seconds = 0
    while True:
        try:
            return ended.get(timeout=1)
        except Empty:
            seconds += 1
            if client is not None and seconds % PATIENCE == 0:
                _warn_without_workers(client)


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


def _dask_client_of(executor: Executor) -> Any:
    """Return the Dask client whose executor it is, None for any other."""
    return getattr(executor, "_client", None) if type(executor).__module__.startswith("distributed.") else None


def _require_companion(client: Any) -> None:
    """Refuse a Dask cluster whose workers all lack this companion: each would leave at its first job, none finish it.

    Where only some lack it, those leave, and the others do their jobs.
    """
    if client.status != "running":
        raise ValueError(f"executor: one of a Dask client that is {client.status} was given; allowed is a running one")
    answers = client.run(exec, f"from {__name__} import {do_job.__name__}", on_error="return")
    if answers and None not in answers.values():
        worker, error = next(iter(answers.items()))
        raise ValueError(
            f"executor: a Dask cluster was given whose workers cannot import this companion ({error!r} on {worker}); "
            "allowed are workers on which it is installed"
        )


def _warn_without_workers(client: Any) -> None:
    with suppress(OSError):  # of a scheduler that does not answer, Dask itself tells
        if client.status == "running" and not client.nthreads():
            warnings.warn(
                "executor: the Dask cluster has no worker, and the sweep waits for one (a worker that cannot import "
                "companion leaves at its first job, and says so in its log)",
                RuntimeWarning,
                stacklevel=2,
            )


def _dask_client(scheduler: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise ValueError(
            f"scheduler: {shown(scheduler)} was given and Dask is not installed; pip install 'dask[distributed]'"
        ) from None
    try:
        return Client(scheduler, timeout=10)
    except (OSError, TypeError, ValueError, AssertionError) as error:  # the last: no such name
        raise ValueError(
            f"scheduler: {shown(scheduler)} was given, and none answers there; allowed is an address such as "
            f"'tcp://10.0.0.1:8786' ({error!r})"
        ) from None
