"""`python -m benchmarks.gpu`: the companion's PyTorch path on a GPU, added to the JSON of `python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import torch

from benchmarks import ours, record
from benchmarks.timing import extrapolated
from benchmarks.work import Start, Work, jobs_of, start_of
from companion.core.network import Parameters

FEW, MORE, REPEATS = 5, 25, 3
ARRAYS = 40
"""Arrays of (runs, samples, neurons) that a step keeps at most: what autograd saves, gradients, temporaries."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=record.PATH, help="the JSON file to add to")
    out = parser.parse_args().out
    if not torch.cuda.is_available():
        print("benchmarks.gpu: PyTorch finds no CUDA device here; nothing was measured or written", file=sys.stderr)
        return 1
    if not out.exists():
        print(f"benchmarks.gpu: {out} is not here; python -m benchmarks writes it", file=sys.stderr)
        return 1
    result = json.loads(out.read_text(encoding="utf-8"))
    result["gpu"] = {"name": torch.cuda.get_device_name(), "torch": torch.__version__, "measured_steps": MORE - FEW}
    for copies in (1, 100):
        work = Work()
        times = [seconds_of_work(work, copies) for _ in range(REPEATS)]
        row = {"seconds": min(times), "median_seconds": statistics.median(times), "repeats": REPEATS}
        result["gpu"][f"runs_{copies * work.runs}"] = row
        print(f"{result['gpu']['name']}: {copies * work.runs} runs of {work.steps} steps in {min(times):.3g} s")
    record.write(out, result)
    print(f"{str(out)!a} written")
    return 0


def seconds_of_work(work: Work, copies: int) -> float:
    """Return the seconds of the work with each run `copies` times: what a step costs does not depend on the seeds."""
    return sum(seconds_of_job(job.mask, job.size, job.seeds, copies, work.steps) for job in jobs_of(work))


def seconds_of_job(mask: str, size: int, seeds: tuple[int, ...], copies: int, steps: int) -> float:
    """Return the seconds of all runs of one mask and size, in as few batches as the GPU's memory allows."""
    runs = len(seeds) * copies
    free, _ = torch.cuda.mem_get_info()
    batches = -(-runs * size**2 * 8 * ARRAYS // free)
    length = -(-runs // batches)
    one = start_of(size, seeds)
    rows = torch.arange(length) % len(seeds)
    x, y, *parameters = (value[rows].cuda() for value in (one.x, one.y, *one.parameters))
    start = Start(x, y, Parameters(*parameters))

    def run(count: int) -> None:
        ours.train_all_torch(start, mask, count)
        torch.cuda.synchronize()

    run(2)  # warm-up
    return batches * extrapolated(run, FEW, MORE, steps)


if __name__ == "__main__":
    sys.exit(main())
