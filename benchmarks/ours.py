"""The companion module's engines: the fast one and the batched PyTorch one, as `run_sweep` drives them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import repeat

from benchmarks.work import CORES, STRENGTH, TEMPERATURE, Job, Start, Work, jobs_of, on_all_cores, start_of
from companion.core.network import Parameters, starting_batch
from companion.core.settings import Settings
from companion.core.train import train as torch_train
from companion.engine.driver import train as fast_train
from companion.sweeps import sweep

GROWTH_SIZES = (3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)

FIRST_CALL = """
import time
from benchmarks.ours import train_all_fast
from benchmarks.work import start_of
start = start_of(3, [1000])
begin = time.perf_counter()
train_all_fast(start, "111", 1)
print(time.perf_counter() - begin)
"""


def train_all_fast(start: Start, mask: str, steps: int) -> Parameters:
    """Train runs with the fast engine."""
    return fast_train(*start, _settings(mask, steps)).parameters


def train_all_torch(start: Start, mask: str, steps: int) -> Parameters:
    """Train runs as one batch of PyTorch."""
    return torch_train(*start, _settings(mask, steps)).parameters


def _settings(mask: str, steps: int) -> Settings:
    return Settings(mask, strength=STRENGTH, temperature=TEMPERATURE, steps=steps)


def run_fast(work: Work) -> None:
    """Do the work with the fast engine on all cores; a job is one run, so that the last ones leave no core idle."""
    starts = {size: start_of(size, work.seeds) for size in work.sizes}

    def trained(item: tuple[Job, int]) -> None:
        job, row = item
        start = starts[job.size]
        one = Start(start.x[row], start.y[row], Parameters(*(value[row] for value in start.parameters)))
        train_all_fast(one, job.mask, work.steps)

    on_all_cores(trained, [(job, row) for job in jobs_of(work) for row in range(len(work.seeds))])


def run_torch(work: Work, pool: Executor) -> None:
    """Do the work with batches of PyTorch, cut so that their arrays stay in a core's cache, in a process a core.

    Threads would wait for the interpreter (124 s, not 83).
    """
    list(pool.map(_train_job, jobs_of(work), repeat(work.steps)))


def _train_job(job: Job, steps: int) -> None:
    length = sweep.batch_for_cache(job.size, steps)
    for first in range(0, len(job.seeds), length):
        train_all_torch(start_of(job.size, job.seeds[first : first + length]), job.mask, steps)


def run_sweep(work: Work) -> None:
    """Do the work and measure every run: the whole of `run_sweep` with the fast engine."""
    with ThreadPoolExecutor(CORES) as executor:
        of_runs = {"masks": work.masks, "sizes": work.sizes, "seeds": work.seeds}
        sweep.run_sweep(_settings("000", work.steps), **of_runs, engine="fast", executor=executor)


def first_call_seconds() -> tuple[float, float]:
    """Return the seconds of the first call in two fresh processes, the second with numba's cache filled."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        command = [sys.executable, "-c", FIRST_CALL]
        cold, cached = (float(subprocess.check_output(command, env=environment)) for _ in range(2))
    return cold, cached


def step_seconds(settings: Settings, size: int, at_least: float) -> float:
    """Return the best of three times of a step of one run on one core, from trainings of `at_least` seconds each."""
    x, y, parameters = starting_batch(size, [1000], settings)
    one = Start(x[0], y[0], Parameters(*(value[0] for value in parameters)))

    def seconds(steps: int) -> float:
        begin = time.perf_counter()
        fast_train(*one, settings.but(steps=steps))
        return time.perf_counter() - begin

    steps = 1
    while seconds(steps) < at_least:
        steps *= 2
    return min(seconds(steps) for _ in range(3)) / steps
