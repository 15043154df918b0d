"""Prototypes through training: their paths under every mask, and what a page needs to set them in motion.

`python -m companion.studies.motion`, from the book's folder, makes `data/trajectories.parquet`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from companion.core.checks import require_integer
from companion.core.data import sample_task
from companion.core.metrics import expelled_fraction
from companion.core.network import initial_parameters, prototypes
from companion.core.settings import MASK_LABELS, MASKS, Settings
from companion.judging.claims import ACTIVE, FREE
from companion.show.chapters import ROOT
from companion.show.words import listed, span
from companion.studies import forces
from companion.sweeps.runs import WINDOW, groups_of, stored_table, write_runs
from companion.sweeps.sweep import PAPER_SEEDS
from companion.version import library_versions

SIZES = (5, 20, 100)
FRAMES = 100
"""Kept steps, besides the start, if there are enough of them."""
UNITS = 1000
"""Parts of the window that a position is rounded to on the page."""


def kept_steps(steps: int = Settings().steps) -> list[int]:
    """Return the steps at which positions are kept: `steps` times (k / FRAMES)², rounded, for k = 0 … FRAMES.

    They lie evenly on an axis of square roots: half of them in the first quarter of training, which moves most.
    Book: chapter "Prototypes in motion", equation (kept).

    Args:
        steps: Adam steps in all, at least 1.

    Returns:
        Increasing steps from 0 to `steps`, none twice.

    Raises:
        ValueError: if steps is out of range.
    """
    steps = require_integer("steps", steps, least=1)
    return sorted({round(steps * k * k / FRAMES**2) for k in range(FRAMES + 1)})


def trajectories(
    sizes: Iterable[int] = SIZES,
    masks: Iterable[str] = tuple(MASKS),
    seed: int = 1000,
    steps: int = Settings().steps,
    data: Mapping[int, tuple[torch.Tensor, torch.Tensor]] | None = None,
) -> pd.DataFrame:
    """Train one run of every mask and size with the fast engine, and return its prototypes at the kept steps.

    λ = 1 and τ = 1e-4, the nominal settings. Book: chapter "Prototypes in motion", section "What is kept".

    Args:
        sizes: numbers of training points and neurons, each at least 2.
        masks: names in `companion.core.losses.MASKS`.
        seed: at least 0; masks of one size share data and initial weights.
        steps: Adam steps, at least 1.
        data: x and y by size, instead of those of the seed.

    Returns:
        One row a prototype and kept step: mask, size, step, neuron (from 0) and position (x̂, in units of the input);
        the settings and library versions in `attrs`.

    Raises:
        ValueError: if an argument is out of range.
    """
    from companion.engine import driver  # numba, which a reader of stored positions does not need

    record, frames, settings = kept_steps(steps), [], Settings(steps=steps)
    for size in sizes:
        (x, y), initial = data[size] if data else sample_task(size, seed), initial_parameters(size, seed)
        for mask in masks:
            at = driver.train(x, y, initial, settings.but(mask=mask), record).recorded
            columns = {
                "step": np.repeat(record, size),
                "neuron": np.tile(np.arange(size), len(record)),
                "position": prototypes(at.w, at.b).numpy().reshape(-1),
            }
            frames.append(pd.DataFrame({"mask": mask, "size": size, **columns}))
    table = pd.concat(frames, ignore_index=True)
    same = {"seed": seed, "strength": settings.strength, "temperature": settings.temperature, "steps": steps}
    same |= {"engine": "fast", "learning_rate": settings.step_size, "target": str(settings.target)}
    table.attrs = same | {"versions": library_versions()}
    return table


def outside(moves: pd.DataFrame) -> pd.DataFrame:
    """Return how many prototypes lie outside the samples' range at each kept step.

    Book: chapter "Expulsion", equation (expelled), times N.

    Args:
        moves: what `trajectories` returned.

    Returns:
        One row a mask, size and kept step, in that order: mask, size, step, outside (a count).
    """
    frames = []
    for (size, mask), path in groups_of(moves, "size", "mask"):
        at = path.pivot(index="step", columns="neuron", values="position")
        x, _ = sample_task(size, moves.attrs["seed"])
        counts = np.rint(size * expelled_fraction(x.expand(len(at), -1), at)).astype(int)
        frames.append(pd.DataFrame({"mask": mask, "size": size, "step": at.index, "outside": counts}))
    return pd.concat(frames, ignore_index=True)


def runs_of(moves: pd.DataFrame) -> pd.DataFrame:
    """Return the runs whose paths these are, with their settings: one row a run, as in a sweep's table.

    Args:
        moves: what `trajectories` returned.
    """
    same = {name: moves.attrs[name] for name in ("seed", "strength", "temperature", "steps", "engine")}
    runs = moves[["mask", "size"]].drop_duplicates().assign(**same)
    runs.attrs = moves.attrs
    return runs


def ends(moves: pd.DataFrame, size: int) -> pd.DataFrame:
    """Return where the prototypes of each mask's run are after training.

    Book: chapter "Prototypes in motion", section "What to look at".

    Args:
        moves: what `trajectories` returned.
        size: of the runs.

    Returns:
        One row a mask (its label, the index): how many prototypes are outside the samples' range before and after
        training, and how many were inside and are outside; how many samples have a prototype nearer to them than √τ
        after it; and in units of the input the smallest gap between two prototypes after it, and the median distance
        that they have moved.
    """
    (x, _), reach = sample_task(size, moves.attrs["seed"]), moves.attrs["temperature"] ** 0.5
    low, high = float(x.min()), float(x.max())
    rows = {}

    def beyond(positions: np.ndarray) -> np.ndarray:
        return (positions < low) | (positions > high)

    for (mask,), path in groups_of(moves[moves["size"] == size], "mask"):
        at = path.pivot(index="step", columns="neuron", values="position").to_numpy()
        start, end = at[0], at[-1]
        rows[MASK_LABELS[mask]] = {
            "outside, start": round(size * float(expelled_fraction(x, start))),
            "outside, end": round(size * float(expelled_fraction(x, end))),
            "left the range": int((~beyond(start) & beyond(end)).sum()),
            "samples with a prototype at them": int((np.abs(x.numpy()[:, None] - end).min(1) < reach).sum()),
            "smallest gap": np.diff(np.sort(end)).min(),
            "median move": np.median(np.abs(end - start)),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("mask")


@cache
def outside_over(seeds: tuple[int, ...] = PAPER_SEEDS) -> pd.DataFrame:
    """Train the runs of several seeds and return how many prototypes lie outside in all of them, at each kept step.

    Their data are those of `data/replication.parquet`: another processor's sine may round a target in another way, and
    training can carry that to another count.
    Book: chapter "Prototypes in motion", section "When prototypes leave".

    Args:
        seeds: of the paper's design.

    Returns:
        What `outside` returns, summed over the seeds.
    """
    runs = stored_table(ROOT, "replication", ["mask", "size", "seed", "x", "y"])

    def data(seed: int) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
        own = runs[(runs["mask"] == "000") & (runs["seed"] == seed)]
        return {
            size: (torch.tensor(x), torch.tensor(y)) for size, x, y in zip(own["size"], own["x"], own["y"], strict=True)
        }

    counts = pd.concat([outside(trajectories(seed=seed, data=data(seed))) for seed in seeds])
    return counts.groupby(["mask", "size", "step"])[["outside"]].sum().reset_index()


def expulsions(counts: pd.DataFrame) -> pd.DataFrame:
    """Return how many prototypes training takes out of the samples' range on balance, and by when half of them are out.

    Book: chapter "Prototypes in motion", equation (half).

    Args:
        counts: what `outside` returned, for one run of each mask and size or summed over several.

    Returns:
        One row a mask and size: mask, size, start and end (prototypes outside before and after training), net
        (end - start) and half (the first kept step by which outside - start is at least net / 2; NaN unless net > 0).
    """
    rows = []
    for (size, mask), path in counts.groupby(["size", "mask"], sort=False):
        start, end = path["outside"].iloc[0], path["outside"].iloc[-1]
        reached = path["step"][2 * (path["outside"] - start) >= end - start]
        half = float(reached.iloc[0]) if end > start else np.nan
        rows.append({"mask": mask, "size": size, "start": start, "end": end, "net": end - start, "half": half})
    return pd.DataFrame(rows)


def expulsion_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return net expulsions and the steps by which half of them have happened in words: a row a mask.

    Args:
        found: what `expulsions` returned.
    """
    net, half = (found.pivot(index="mask", columns="size", values=name) for name in ("net", "half"))
    signed = net.map(lambda value: f"{value:+d}" if value else "0").rename(columns="net, N = {}".format)
    halves = half.map(lambda step: "–" if np.isnan(step) else f"{step:.0f}").rename(columns="half by, N = {}".format)
    return signed.join(halves).rename(index=MASK_LABELS).rename_axis(columns=None)


def window_units(positions: np.ndarray) -> np.ndarray:
    """Return positions in whole thousandths of the window; -1 stands for all to its left, 1001 for all to its right."""
    low, high = WINDOW
    units = np.rint((np.clip(positions, low, high) - low) / (high - low) * UNITS).astype(int)
    return np.select([positions < low, positions > high], [-1, UNITS + 1], units)


def page_data(moves: pd.DataFrame) -> dict[str, Any]:
    """Return what `assets/motion.js` draws, ready for JSON.

    Args:
        moves: what `trajectories` returned.

    Returns:
        window; steps (the kept ones); sizes: for each N the samples and runs, each with its mask, label,
        the number of prototypes outside at each kept step, and where they are drawn (`window_units`), shape
        (kept steps, neurons).
    """
    counts = outside(moves).set_index(["size", "mask"])["outside"]
    sizes: dict[str, Any] = {}
    for (size, mask), path in groups_of(moves, "size", "mask"):
        x, _ = sample_task(size, moves.attrs["seed"])
        drawn = window_units(path["position"].to_numpy()).reshape(-1, size)
        of_size = sizes.setdefault(str(size), {"samples": window_units(x.numpy()).tolist(), "runs": []})
        found = {"mask": mask, "label": MASK_LABELS[mask], "outside": counts[size, mask].tolist()}
        of_size["runs"].append(found | {"drawn": drawn.tolist()})
    return {"window": list(WINDOW), "steps": sorted(moves["step"].unique().tolist()), "sizes": sizes}


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "Prototypes in motion", by name; some come from runs trained for it.

    Args:
        data: the folder of the stored paths.
    """
    moves = pd.read_parquet(data / "trajectories.parquet")
    pace = forces.pace()
    return (
        {"positions": f"{len(moves):,}"}
        | {f"pace-after-{done}": f"{pace['|δb|/η'][done]:.2f}" for done in (5, 97, 1000)}
        | {"bias-moved-by-97": f"{pace['|b - b at the start|'][97]:.2f}"}
        | _of_ends(ends(moves, 20))
        | _of_expulsions(expulsions(outside_over()))
    )


def _of_ends(found: pd.DataFrame) -> dict[str, str]:
    """Those of the table of one run of each mask."""
    found = found.rename(index={label: mask for mask, label in MASK_LABELS.items()})
    at, move, gap = (found[name] for name in ("samples with a prototype at them", "median move", "smallest gap"))
    covered, bare = [[mask for mask in MASKS if MASKS[mask].coverage == on] for on in (True, False)]
    separated, close = [[mask for mask in MASKS if MASKS[mask].separation == on] for on in (True, False)]
    return {
        "outside-at-the-start": f"{found['outside, start'].iloc[0]}",
        "outside-without-overlap": span(found.loc[list(FREE), "outside, end"], ".0f"),
        "outside-with-overlap": span(found.loc[list(ACTIVE), "outside, end"], ".0f"),
        "left-with-overlap": span(found.loc[list(ACTIVE), "left the range"], ".0f"),
        "move-without-overlap": span(move[list(FREE)], ".2g"),
        "move-with-overlap": span(move[list(ACTIVE)], ".2g"),
        "at-samples-with-coverage": span(at[covered], ".0f"),
        "at-samples-without-coverage": span(at[bare], ".0f"),
        "pairs-with-more-at-samples": f"{(at[covered].to_numpy() > at[bare].to_numpy()).sum()}",
        "pairs-that-differ-by-coverage": f"{len(covered)}",
        "gap-with-separation": span(gap[separated], ".2g"),
        "gap-without-separation": span(gap[close], ".2g"),
    }


def _of_expulsions(found: pd.DataFrame) -> dict[str, str]:
    """Those of the table of sums over seeds."""
    by_size = {size: group.set_index("mask") for (size,), group in groups_of(found, "size")}
    small, middle, large = (by_size[size] for size in SIZES)
    half = large["half"]
    latest = max(table.loc[list(ACTIVE), "half"].max() for table in (middle, large))
    return {
        "starts": listed(table["start"].iloc[0] for table in by_size.values()),
        "half-at-20": span(middle.loc[list(ACTIVE), "half"], ".0f"),
        "half-at-100": span(half[list(ACTIVE)], ".0f"),
        "half-at-100-of-overlap": f"{half['100']:.0f}",
        "half-at-100-of-overlap-and-separation": f"{half['101']:.0f}",
        "half-at-100-of-overlap-and-coverage": f"{half['110']:.0f}",
        "half-at-100-of-all-three": f"{half['111']:.0f}",
        "percent-of-training": f"{100 * latest / Settings().steps:.0f}",
        "net-at-100-without-overlap": span(large.loc[list(FREE), "net"], "+.0f"),
        "net-at-100-with-overlap": span(large.loc[list(ACTIVE), "net"], "+.0f"),
        "greatest-net-at-5": f"{small['net'].max()}",
    }


if __name__ == "__main__":
    write_runs(trajectories(), "data/trajectories.parquet")
