"""How times are taken: in rounds, so that a busy minute of the machine falls on every contender alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def seconds_of(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_rounds(functions: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return what each function measures in every round, each round calling all of them."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(function())
    return times


def extrapolated(run: Callable[[int], object], few: int, more: int, steps: int) -> float:
    """Return the seconds that `run(steps)` would take: the cost a step from `few` to `more` steps, continued."""
    short, long = (seconds_of(lambda count=count: run(count)) for count in (few, more))
    return long + (steps - more) * (long - short) / (more - few)


def summary(times: list[float]) -> dict[str, float | int]:
    """Return the best and the median of repeated times."""
    return {"seconds": min(times), "median_seconds": statistics.median(times), "repeats": len(times)}
