"""Sweeps in processes of their own, made to be stopped: each reports every run that it calls finished.

As a script, `python stoppable.py FOLDER SEEDS [WORKERS] [LIMIT]` sweeps into a store, in WORKERS processes (0: in
its own) and with files of at most LIMIT bytes, which is how a full disk looks to it.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from companion.core.network import starting_batch
from companion.core.settings import Settings
from companion.sweeps import store
from companion.sweeps.store import Group, Store
from companion.sweeps.sweep import ENGINES, run_sweep
from companion.sweeps.workers import open_executor

SWEEP = {"masks": ["000", "011", "111"], "sizes": [3, 5], "seeds": list(range(12)), "steps": 3, "engine": "torch"}
SCRIPT = {"masks": ["000", "111"], "sizes": [30, 3], "steps": 40, "engine": "torch"}
"""The script's sweeps; the steps are so many that a batch takes some hundredths of a second."""


def batches_of(count: int) -> None:
    """Train `count` seeds at a time, for many small parts."""
    ENGINES["torch"] = ENGINES["torch"]._replace(batch=lambda size, steps: count)


def batch_of_the_script(size: int, steps: int) -> int:
    """A size of 30 takes the longer, so it comes first; its parts are the smaller."""
    return 1 if size == 30 else 90


def report_finished(report: Callable[[list[tuple]], Any]) -> None:
    """Call `report` with the runs of a part as soon as the store calls them kept."""
    add = Store.add

    def add_and_report(kept: Store, group: Group, runs: pa.Table) -> None:
        add(kept, group, runs)
        report(list(zip(*(runs[name].to_pylist() for name in ("mask", "size", "seed")), strict=True)))

    Store.add = add_and_report


class SlowFile(io.FileIO):
    """A file on a slow disk, whose bytes arrive in two halves: most of a sweep's time is spent within writes."""

    def write(self, data: bytes) -> int:
        half = len(data) // 2
        written = super().write(memoryview(data)[:half])
        time.sleep(0.005)
        return written + super().write(memoryview(data)[half:])

    def flush(self) -> None:
        time.sleep(0.005)
        super().flush()


def sweep_and_report(folder: Path, reports: Connection, crash: tuple[str, int] | None = None) -> None:
    """Sweep into a store, telling when it starts and what is finished.

    Args:
        folder: the store.
        reports: gets one message at the start, and a list of runs a part.
        crash: ("fsync" or "replace", n): SIGKILL itself right before the n-th such call of the store;
            None: write slowly, to be killed by another.
    """
    torch.set_num_threads(1)
    batches_of(2)
    report_finished(reports.send)
    if crash:
        _kill_itself_before(*crash)
    else:
        opened = store.Path.open
        store.Path.open = lambda path, *how, **more: (
            SlowFile(path, "wb") if path.name.startswith(store.TEMPORARY) else opened(path, *how, **more)
        )
    reports.send([])
    run_sweep(**SWEEP, store=folder)


def sweep_with_forked_workers(folder: Path, reports: Connection) -> None:
    """Sweep into a store with two workers, which get every open file of this process; tell their ids."""
    batches_of(1)
    with ProcessPoolExecutor(2, get_context("fork"), torch.set_num_threads, (1,)) as executor:
        report_finished(lambda _: reports.send(list(executor._processes)))
        run_sweep(**(SWEEP | {"steps": 2000}), store=folder, executor=executor)


def hold_busy_workers(folder: Path, engine: str) -> None:
    """Keep two workers busy for many minutes; each leaves a file in the folder, named by its id, as it begins."""
    with open_executor(2) as executor:
        list(executor.map(train_for_minutes, [folder] * 2, [engine] * 2))


def train_for_minutes(folder: Path, engine: str) -> None:
    """Train one run, within compiled code or within PyTorch; what has to be compiled is so before the file is left."""
    for steps in (1, 10**6):
        x, y, start = starting_batch(300, [1], Settings("111"))
        if steps > 1:
            (folder / str(os.getpid())).touch()
        ENGINES[engine].train(x, y, start, Settings("111", steps=steps))


def _kill_itself_before(name: str, calls: int) -> None:
    place = store.os if name == "fsync" else store.Path
    original = getattr(place, name)
    left = [calls]

    def counted(*arguments: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    setattr(place, name, counted)


def main(folder: str, seeds: str, workers: str = "0", limit: str = "") -> None:
    torch.set_num_threads(1)
    if limit:
        import resource  # Windows has none

        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    ENGINES["torch"] = ENGINES["torch"]._replace(batch=batch_of_the_script)
    report_finished(lambda runs: print(json.dumps(runs), flush=True))
    with open_executor(int(workers) or None) as executor:
        run_sweep(**SCRIPT, seeds=range(int(seeds)), store=folder, executor=executor)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in its background deaf to Ctrl-C
    main(*sys.argv[1:])
