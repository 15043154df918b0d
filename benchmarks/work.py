"""The work that every contender does, and the cores it may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple

import torch

from companion.core.network import Parameters, starting_batch
from companion.core.settings import MASKS
from companion.sweeps.sweep import PAPER_SEEDS, PAPER_SIZES

STRENGTH, TEMPERATURE = 1.0, 1e-4
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Work(NamedTuple):
    """Every mask at every size with every seed, each trained for `steps` full-batch Adam steps."""

    masks: tuple[str, ...] = tuple(MASKS)
    sizes: tuple[int, ...] = PAPER_SIZES
    seeds: tuple[int, ...] = PAPER_SEEDS
    steps: int = 2000

    @property
    def runs(self) -> int:
        return len(self.masks) * len(self.sizes) * len(self.seeds)


class Job(NamedTuple):
    """Runs of one mask and size that a contender trains in one call."""

    mask: str
    size: int
    seeds: tuple[int, ...]


class Start(NamedTuple):
    """Data and initial parameters of a job's runs: shape (runs, size), for c (runs,)."""

    x: torch.Tensor
    y: torch.Tensor
    parameters: Parameters


def jobs_of(work: Work) -> list[Job]:
    """Return the work cut into jobs, the largest networks first."""
    return [Job(mask, size, work.seeds) for size, mask in product(sorted(work.sizes, reverse=True), work.masks)]


def start_of(size: int, seeds: Iterable[int]) -> Start:
    """Return where the runs of one size start, the same for every mask."""
    return Start(*starting_batch(size, seeds))


def on_all_cores(function: Callable, items: Iterable, cores: int = CORES) -> list:
    """Return function(item) of every item, computed by one thread a core; the items are taken in their order."""
    with ThreadPoolExecutor(cores) as pool:
        return list(pool.map(function, items))
