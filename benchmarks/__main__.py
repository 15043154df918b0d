"""`python -m benchmarks`: measures every contender on the work of the book's 480 runs, in one go.

Prints a table and writes data/benchmarks.json. Nothing is written unless all contenders compute the same thing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks import floor, loop, ours, profile, record
from benchmarks.timing import extrapolated, in_rounds, seconds_of, summary
from benchmarks.work import CORES, Start, Work, start_of
from companion.core.network import Parameters
from companion.core.settings import Settings
from companion.sweeps.workers import open_executor

TOLERANCE = 1e-9
LABELS = {
    "fast": "fast engine",
    "fast_sweep": "fast engine, whole run_sweep",
    "jax": "JAX, tuned",
    "jax_whole": "JAX, whole sizes",
    "torch_batched": "PyTorch, batched",
    "loop": "PyTorch, one run after another",
    "floor": "only the exponentials, a library's",
    "own_floor": "only the exponentials, the fast engine's",
}


class Options(argparse.Namespace):
    quick: bool
    out: Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a test-sized run, whose figures mean nothing")
    parser.add_argument("--out", type=Path, default=record.PATH, help="the JSON file (default: data/benchmarks.json)")
    options = parser.parse_args(namespace=Options())
    if not options.out.parent.is_dir():
        parser.error(f"--out: the folder of {options.out} does not exist")
    try:
        from benchmarks import jax_batch, jax_whole
    except ModuleNotFoundError as error:
        print(f"benchmarks: {error}; pip install --requirement benchmarks/requirements.txt", file=sys.stderr)
        return 1

    contenders = {
        "loop": loop.train_all,
        "jax": jax_batch.train_all,
        "jax_whole": jax_whole.train_all,
        "torch_batched": ours.train_all_torch,
        "fast": ours.train_all_fast,
    }
    if apart := disagreements(contenders, Work().masks):
        print("benchmarks: contenders disagree, nothing written: " + "; ".join(apart), file=sys.stderr)
        return 1

    work = Work(sizes=(3, 5), seeds=(1000, 1001), steps=20) if options.quick else Work()
    with open_executor(CORES) as pool:
        result = measure(work, jax_batch, jax_whole, pool, rounds=1 if options.quick else 3, quick=options.quick)
    record.write(options.out, result)
    print_table(result)
    print(f"{str(options.out)!a} written")
    return 0


def disagreements(contenders: dict[str, Callable[[Start, str, int], Parameters]], masks: tuple[str, ...]) -> list[str]:
    """Return where a contender's parameters after 20 steps differ from those of companion.core.train."""
    found = []
    for size in (3, 20):
        start = start_of(size, [1000, 1001])
        for mask in masks:
            expected = ours.train_all_torch(start, mask, 20)
            for name, train in contenders.items():
                pairs = zip(train(start, mask, 20), expected, strict=True)
                apart = max(float((given - wanted).abs().max()) for given, wanted in pairs)
                if not apart <= TOLERANCE:  # NaN too
                    found.append(f"{name} at mask {mask}, N = {size} by {apart:.1e}")
    return found


def measure(work: Work, jax_batch: Any, jax_whole: Any, pool: Executor, rounds: int, quick: bool) -> dict[str, Any]:
    """Return every figure, after a warm-up of each contender."""
    compiled: dict[str, Any] = {}
    jax_compile = seconds_of(lambda: compiled.update(jax_batch.compile_all(work)))
    whole: dict[int, Any] = {}
    whole_compile = seconds_of(lambda: whole.update(jax_whole.compile_all(work)))
    cold, cached = ours.first_call_seconds()
    candidates = floor.candidates()
    nanoseconds = {name: floor.nanoseconds(exponential) for name, exponential in candidates.items()}
    fastest = min(nanoseconds, key=nanoseconds.get)
    own = floor.with_fast()
    nanoseconds["companion.engine"] = floor.nanoseconds(own)

    few, more = (2, 4) if quick else (10, 60)
    torch_few, torch_more = (2, 4) if quick else (10, 110)
    functions: dict[str, Callable[[], float]] = {
        "fast": lambda: seconds_of(lambda: ours.run_fast(work)),
        "jax": lambda: seconds_of(lambda: jax_batch.run(work, compiled)),
        "jax_whole": lambda: seconds_of(lambda: jax_whole.run(work, whole)),
        "floor": lambda: seconds_of(lambda: floor.floor(candidates[fastest], floor.exponentials(work))),
        "own_floor": lambda: seconds_of(lambda: floor.floor(own, floor.exponentials(work))),
        "torch_batched": lambda: extrapolated(
            lambda steps: ours.run_torch(work._replace(steps=steps), pool), torch_few, torch_more, work.steps
        ),
        "fast_sweep": lambda: seconds_of(lambda: ours.run_sweep(work)),
        "loop": lambda: extrapolated(lambda steps: loop.run(work._replace(steps=steps)), few, more, work.steps),
    }
    warm_up = work._replace(steps=2)
    for run in (ours.run_fast, partial(ours.run_torch, pool=pool), loop.run, partial(jax_batch.run, compiled=compiled)):
        run(warm_up)
    rows = {name: summary(times) for name, times in in_rounds(functions, rounds).items()}
    rows["fast"] |= {"compile_seconds": cold, "cached_compile_seconds": cached}
    rows["jax"] |= {"compile_seconds": jax_compile}
    rows["jax_whole"] |= {"compile_seconds": whole_compile}
    rows["floor"] |= {"exponentials": floor.exponentials(work), "library": fastest}
    rows["own_floor"] |= {"exponentials": floor.exponentials(work), "library": "companion.engine"}
    rows["loop"] |= {"measured_steps": more - few}
    rows["torch_batched"] |= {"measured_steps": torch_more - torch_few}

    by_size = {size: partial(ours.run_fast, work._replace(sizes=(size,))) for size in work.sizes}
    size_times = in_rounds({str(size): partial(seconds_of, run) for size, run in by_size.items()}, rounds)
    sizes = (3, 5) if quick else ours.GROWTH_SIZES
    seconds = {name: rows[name]["seconds"] for name in rows}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": record.machine(),
        "versions": record.versions(),
        "settings": {**work._asdict(), "runs": work.runs, "dtype": "float64", "cores": CORES, "quick": quick},
        "contenders": rows,
        "ratios": {
            "loop_over_fast": seconds["loop"] / seconds["fast"],
            "jax_over_fast": seconds["jax"] / seconds["fast"],
            "jax_whole_over_fast": seconds["jax_whole"] / seconds["fast"],
            "fast_over_floor": seconds["fast"] / seconds["floor"],
            "fast_over_own_floor": seconds["fast"] / seconds["own_floor"],
        },
        "nanoseconds_an_exponential": nanoseconds,
        "profile": {
            "mask": profile.MASK,
            "size": 20 if quick else 100,
            "microseconds": profile.microseconds(20 if quick else 100, 200),
        },
        "fast_by_size": {size: summary(times) for size, times in size_times.items()},
        "fast_growth": [
            {
                "mask": mask,
                "size": size,
                "step_seconds": ours.step_seconds(Settings(mask), size, 0.001 if quick else 0.2),
            }
            for mask in ("000", "111")
            for size in sizes
        ],
    }


def print_table(result: dict[str, Any]) -> None:
    """Print the contenders, fastest first, and the three ratios."""
    contenders, settings = result["contenders"], result["settings"]
    fast = contenders["fast"]["seconds"]
    rows = [
        [LABELS[name], row["seconds"], row["median_seconds"], row["seconds"] / fast, row.get("compile_seconds"),
         f"scaled from {row['measured_steps']} steps" if "measured_steps" in row else ""]
        for name, row in sorted(contenders.items(), key=lambda item: item[1]["seconds"])
    ]  # fmt: skip
    headers = ["", "seconds", "median", "times ours", "compile s", ""]
    print(f"{settings['runs']} runs of {settings['steps']} steps, float64, {settings['cores']} cores; best of repeats")
    print(tabulate(rows, headers, floatfmt=".3g"))
    print(f"floor: {result['contenders']['floor']['library']}, nanoseconds an exponential on one core:", end=" ")
    print(", ".join(f"{name} {value:.2f}" for name, value in result["nanoseconds_an_exponential"].items()))
    ratios = result["ratios"]
    print(f"loop / ours {ratios['loop_over_fast']:.0f}, ", end="")
    print(f"JAX / ours {ratios['jax_whole_over_fast']:.1f} (tuned {ratios['jax_over_fast']:.1f}), ", end="")
    print(f"ours / floor {ratios['fast_over_floor']:.2f} ({ratios['fast_over_own_floor']:.2f} with our exponential)")


if __name__ == "__main__":
    sys.exit(main())
