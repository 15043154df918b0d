"""The compiled engine against the plain one and against what one would otherwise write: bits, errors, seconds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pandas as pd
import torch

from companion.core.data import sample_task
from companion.core.network import Parameters, initial_parameters
from companion.core.settings import MASK_LABELS, Settings
from companion.core.train import train
from companion.engine import driver, lanes
from companion.show import words
from companion.studies import reconstruction
from companion.studies.replication import claim_counts
from companion.sweeps.runs import groups_of
from companion.sweeps.sweep import BATCH_RUNS

Benchmarks = Mapping[str, Any]
"""What `data/benchmarks.json` holds."""
CONTENDERS = {
    "own_floor": "only the exponentials, our own",
    "floor": "only the exponentials, a library's",
    "fast": "fast engine",
    "fast_sweep": "fast engine, with all measures",
    "jax": "JAX, tuned",
    "jax_whole": "JAX, whole sizes",
    "torch_batched": "PyTorch, batched",
    "loop": "PyTorch, one run after another",
}
"""The names in `data/benchmarks.json`, and the book's."""
RANGES = {
    "0 to 1": (0, 1),
    "1 to 100": (1, 100),
    "100 to 1,022": (100, 1022),
    "1,022 to 1,076 (subnormal)": (1022, 1076),
}
"""Arguments y for which the error of 2^-y is measured."""
ELSEWHERE = 1e-3
"""Difference of E from which a run counts as ended elsewhere."""
EXPONENT_OF_ZERO = 745.2
"""float64 rounds exp(-z) to 0 for z above this."""
GOALS = {
    "PyTorch, one run after another": ("loop", "fast", "at least", 220),
    "JAX, whole sizes": ("jax_whole", "fast", "at least", 8),
    "JAX, tuned": ("jax", "fast", "at least", 8),
    "the exponentials, a library's": ("fast", "floor", "at most", 2),
    "the exponentials, our own": ("fast", "own_floor", "at most", 2),
}
"""Ratios of two contenders' seconds and what they should be, set before the engine was written."""


def memory() -> pd.DataFrame:
    """Return what one run holds while it is trained, as text, a row a size."""
    sizes = (3, 10, 30, 100, 300, 1000, 2000)
    held = {f"N = {size}": f"{driver.run_memory(size) / 1024:.0f} kB" for size in sizes}
    return pd.DataFrame({"memory": held}).rename_axis("size")


def exponential_error(low: float, high: float) -> float:
    """Return the largest error of 2^-y on 2,000 points y, in units in the last place of the result.

    Book: chapter "How fast, and how it survives", section "The exponential".

    Args:
        low, high: the range of y, uniform, seed 0.
    """
    y = np.random.default_rng(0).uniform(low, high, 2000)
    with mpmath.workdps(40):
        exact = [mpmath.power(2, -mpmath.mpf(value)) for value in y.tolist()]
        pairs = zip(lanes.power_of_half(y).tolist(), exact, strict=True)
        return max(float(abs(mpmath.mpf(value) - e) / np.spacing(float(e))) for value, e in pairs)


def exponential_errors() -> pd.DataFrame:
    """Return `exponential_error` as text, a row a range of y."""
    errors = {name: f"{exponential_error(*ends):.2f}" for name, ends in RANGES.items()}
    return pd.DataFrame({"largest error": errors}).rename_axis("y")


def share_felt(run: pd.Series) -> tuple[float, float]:
    """Return which shares of (sample, prototype) and (prototype, prototype) pairs have Gaussians that are not 0.

    Book: chapter "How fast, and how it survives", section "What is skipped".

    Args:
        run: a stored run, weights included.
    """
    position, limit = -run["b"] / run["w"], EXPONENT_OF_ZERO * run["temperature"]
    to_samples = (run["x"][:, None] - position) ** 2
    apart = (position[:, None] - position) ** 2
    felt = to_samples - to_samples.min(1, keepdims=True) <= limit
    return felt.mean(), (apart[np.triu_indices(len(position), 1)] <= limit).mean()


def shares_felt(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean shares of pairs that are felt, of the masks with coverage or separation, at the largest size.

    Args:
        runs: one row a run, weights included.

    Returns:
        One row a mask (its label, the index): coverage, separation.
    """
    largest = runs[(runs["size"] == runs["size"].max()) & ~runs["mask"].isin(["000", "100"])]
    felt = [share_felt(run) for _, run in largest.iterrows()]
    shares = pd.DataFrame(felt, columns=["coverage", "separation"], index=largest["mask"].map(MASK_LABELS))
    return shares.groupby(level=0).mean().rename_axis("mask")


def difference(mask: str, size: int) -> float:
    """Return the largest difference of any weight between the engines after 200 steps, over seeds 1000, 1001 and 1002.

    Book: chapter "How fast, and how it survives", section "The same bits".
    """
    tasks = [(*sample_task(size, seed), *initial_parameters(size, seed)) for seed in (1000, 1001, 1002)]
    x, y, *start = (torch.stack(column) for column in zip(*tasks, strict=True))
    pair = [engine(x, y, Parameters(*start), Settings(mask, steps=200)).parameters for engine in (train, driver.train)]
    return max(float((one - other).abs().max()) for one, other in zip(*pair, strict=True))


def differences() -> pd.DataFrame:
    """Return `difference` as text, a row a mask and a column a size."""
    return pd.DataFrame(
        {
            f"N = {size}": {label: f"{difference(mask, size):.0e}" for mask, label in MASK_LABELS.items()}
            for size in (3, 20, 100)
        }
    ).rename_axis("mask")


def both_engines(runs: pd.DataFrame, plain: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of both engines side by side.

    Args:
        runs, plain: the same runs, trained by the fast engine and by the plain one.

    Returns:
        One row a run: the columns of `runs`, those of `plain` with " plain" after their names, and elsewhere, whether
        the two E differ by more than `ELSEWHERE`.
    """
    both = runs.merge(plain, on=["mask", "size", "seed"], suffixes=("", " plain"))
    apart = (both["reconstruction_error"] - both["reconstruction_error plain"]).abs()
    return both.assign(elsewhere=apart > ELSEWHERE)


def elsewhere(both: pd.DataFrame) -> pd.DataFrame:
    """Return how many runs ended elsewhere, a row a mask and a column a size.

    Args:
        both: of `both_engines`.
    """
    return words.labelled(both.pivot_table(index="mask", columns="size", values="elsewhere", aggfunc="sum"))


def median_moves(both: pd.DataFrame) -> pd.Series:
    """Return by which part of it each mask's and size's median E differs between the engines.

    Args:
        both: of `both_engines`.
    """
    medians = both.groupby(["mask", "size"])[["reconstruction_error", "reconstruction_error plain"]].median()
    return (medians["reconstruction_error"] / medians["reconstruction_error plain"] - 1).abs()


def moved_counts(runs: pd.DataFrame, plain: pd.DataFrame) -> pd.DataFrame:
    """Return the counts of "The full replication" side by side: in how many cases each claim's order shows.

    Args:
        runs, plain: the same runs, trained by the fast engine and by the plain one.

    Returns:
        One row a claim (its number) and statistic ("by mean", "by median"): fast, plain.
    """
    counts = [claim_counts(table).set_index("claim")[["by mean", "by median"]].stack() for table in (runs, plain)]
    table = pd.DataFrame(dict(zip(("fast", "plain"), counts, strict=True)))
    return table.rename(index=lambda claim: claim.split()[0], level=0)


def race(benchmarks: Benchmarks) -> pd.DataFrame:
    """Return every contender's seconds for the 480 runs.

    Book: chapter "How fast, and how it survives", section "Against what a user would write".

    Returns:
        One row a contender: best and median seconds, times the fast engine's, to compile (seconds, NaN if nothing is),
        steps measured, as text.
    """
    rows, steps = benchmarks["contenders"], benchmarks["settings"]["steps"]
    table = {
        label: {
            "best": rows[name]["seconds"],
            "median": rows[name]["median_seconds"],
            "times the fast engine's": rows[name]["seconds"] / rows["fast"]["seconds"],
            "to compile": rows[name].get("compile_seconds", np.nan),
            "steps measured": str(rows[name].get("measured_steps", steps)),
        }
        for name, label in CONTENDERS.items()
    }
    return pd.DataFrame(table).T.rename_axis("contender")


def goals(benchmarks: Benchmarks) -> pd.DataFrame:
    """Return the ratios for which goals were set first: ratio and goal as text, met "yes" or "no"."""
    rows = {}
    for name, (above, below, side, goal) in GOALS.items():
        ratio = benchmarks["contenders"][above]["seconds"] / benchmarks["contenders"][below]["seconds"]
        met = ratio >= goal if side == "at least" else ratio <= goal
        rows[name] = {"ratio": f"{ratio:.3g}", "goal": f"{side} {goal}", "met": "yes" if met else "no"}
    return pd.DataFrame(rows).T.rename_axis("against")


def parts_of_a_step(benchmarks: Benchmarks) -> pd.DataFrame:
    """Return where the gradient's time goes: microseconds, and the share as text; one row a part."""
    parts = dict(benchmarks["profile"]["microseconds"])
    whole = parts.pop("whole gradient")
    parts["sorting, adding up"] = whole - sum(parts.values())
    table = pd.DataFrame({"microseconds": parts}).rename_axis("part")
    return table.assign(share=[f"{value:.0%}" for value in table["microseconds"] / whole])


def growth(benchmarks: Benchmarks) -> pd.DataFrame:
    """Return the microseconds of a step of one run on one core, with a line of slope two through Std's last.

    Returns:
        One row a curve and size: curve (a mask's label, or "slope two"), x (N), value.
    """
    measured = pd.DataFrame(benchmarks["fast_growth"])
    curves = pd.DataFrame(
        {
            "curve": measured["mask"].map(MASK_LABELS),
            "x": measured["size"],
            "value": measured["step_seconds"] * 1e6,
        }
    )
    std = curves[curves["curve"] == MASK_LABELS["000"]]
    last = std.iloc[-1]
    square = std.assign(curve="slope two", value=last["value"] * (std["x"] / last["x"]) ** 2)
    return pd.concat([curves, square], ignore_index=True)


def growth_exponents(curves: pd.DataFrame) -> dict[str, float]:
    """Return the exponent of N with which each curve grows from N = 100 on, by least squares in the logarithms.

    Args:
        curves: of `growth`.
    """
    upper = curves[curves["x"] >= 100]
    return {
        curve: float(np.polyfit(np.log(group["x"]), np.log(group["value"]), 1)[0])
        for (curve,), group in groups_of(upper, "curve")
    }


def store_parts(first: Iterable[str], second: Iterable[str]) -> pd.DataFrame:
    """Return which call of `run_sweep` wrote each part of a store.

    Args:
        first, second: the parts' names after the first call and after the second; a checksum ends each.

    Returns:
        One row a part (its name without the checksum, the index): written by.
    """
    before, names = ([name.rsplit("-", 1)[0] for name in sorted(after)] for after in (first, second))
    return pd.DataFrame(
        {"written by": ["the first call" if name in before else "the second" for name in names]},
        index=pd.Index(names, name="part"),
    )


def stored_runs(data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the replication by the fast engine and by the plain one."""
    return reconstruction.stored_runs(data), pd.read_parquet(data / "plain.parquet")


def stored_benchmarks(data: Path) -> Benchmarks:
    """Return what `make bench` measured."""
    return json.loads((data / "benchmarks.json").read_text(encoding="utf-8"))


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "How fast, and how it survives", by name.

    Args:
        data: the folder of the stored runs and of `benchmarks.json`.
    """
    runs, plain = stored_runs(data)
    benchmarks = stored_benchmarks(data)
    both, counts = both_engines(runs, plain), moved_counts(runs, plain)
    moves, each = median_moves(both), benchmarks["nanoseconds_an_exponential"]
    seconds = {name: row["seconds"] for name, row in benchmarks["contenders"].items()}
    size, own = benchmarks["profile"]["size"], each["companion.engine"]
    eighth, exponents = seconds["jax"] / 8, growth_exponents(growth(benchmarks))
    return {
        "tile": f"{lanes.TILE_ENTRIES * 8 // 1024} kB",
        "batch": f"{BATCH_RUNS}",
        "exponential-c": f"{each['numba']:.2f} ns",
        "exponential-torch": f"{each['torch']:.2f} ns",
        "exponential-jax": f"{each['jax']:.2f} ns",
        "exponential-numpy": f"{each['numpy']:.2f} ns",
        "exponential-own": f"{own:.2f} ns",
        "elsewhere": f"{both['elsewhere'].sum()}",
        "runs": f"{len(both)}",
        "median-moves-at-most": f"{moves.max():.0%}",
        "median-moves-half": f"{moves.median():.0e}",
        "counts": f"{len(counts)}",
        "counts-moved": f"{(counts['fast'] != counts['plain']).sum()}",
        "c2-fast": f"{counts.loc[('C2', 'by median'), 'fast']}",
        "c2-plain": f"{counts.loc[('C2', 'by median'), 'plain']}",
        "cores": f"{benchmarks['machine']['cores']}",
        "machine": f"{benchmarks['machine']['processor']}, {benchmarks['machine']['vectors']} vectors",
        "date": benchmarks["date"],
        "versions": ", ".join(f"{name} {number}" for name, number in benchmarks["versions"].items()),
        "ready": f"{benchmarks['contenders']['fast']['cached_compile_seconds']:.1f} s",
        "step-size": f"{size}",
        "step-exponentials": f"{size**2 * own / 1000:.1f}",
        "step-responses": f"{benchmarks['profile']['microseconds']['responses and sums']:.1f}",
        "jax-eighth": f"{eighth:.2f} s",
        "jax-eighth-floors": f"{eighth / seconds['own_floor']:.1f}",
        "growth-std": f"{exponents[MASK_LABELS['000']]:.2f}",
        "growth-full": f"{exponents[MASK_LABELS['111']]:.2f}",
    }
