"""Expulsion: the forces on a prototype that has left the data, and how many leave and return in the stored runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from companion.core.losses import coverage_loss, overlap_loss, separation_loss
from companion.core.metrics import expelled_fraction
from companion.core.network import activations, prototypes, starting_batch
from companion.core.settings import MASK_LABELS, MASKS, Settings
from companion.studies import handful
from companion.studies.coverage import OTHERS, SAMPLES
from companion.studies.reconstruction import stored_runs
from companion.sweeps.runs import groups_of, stored_networks, summary

TERMS = ("coverage", "separation", "overlap")
WEIGHT = 5.0
"""w of all neurons while the fifth is moved."""
TRAINED = {MASK_LABELS[mask]: Settings(mask) for mask in ("000", "010", "100", "110")}
"""The trainings of five neurons that the chapter draws."""
BEFORE = "before training"
"""The row of the table by size that no mask has trained."""


def outward_force(position: float, term: str) -> float:
    """Return the force of one structural loss on a fifth prototype, the others on the first four of five samples.

    Book: chapter "Expulsion", section "The forces on one that has left".

    Args:
        position: where the fifth is; to the right of the samples, a positive force points away from them.
        term: one of `TERMS`.
    """
    samples, temperature = torch.tensor(SAMPLES, dtype=torch.float64), Settings().temperature

    def loss(centres: torch.Tensor) -> torch.Tensor:
        if term == "coverage":
            return coverage_loss(samples, centres, temperature)
        if term == "separation":
            return separation_loss(centres, temperature)
        w = torch.full_like(centres, WEIGHT)
        return overlap_loss(activations(samples, w, -w * centres))

    return handful.force(loss, OTHERS, position)


def outward_forces(places: Iterable[float]) -> pd.DataFrame:
    """Return the force of each structural loss on the fifth prototype, a row a place and a column a loss.

    Args:
        places: where it is put.
    """
    return handful.along({term: partial(outward_force, term=term) for term in TERMS}, places)


def start_and_end(x: torch.Tensor, paths: Mapping[str, torch.Tensor]) -> pd.DataFrame:
    """Return the expelled fraction at the start and at the end of each path, a row a mask.

    Args:
        x: training inputs, shape (samples,).
        paths: what `companion.studies.handful.paths` returned.
    """
    rows = {
        name: {"start": expelled_fraction(x, path[0]), "end": expelled_fraction(x, path[-1])}
        for name, path in paths.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("mask")


def flows(runs: pd.DataFrame) -> pd.DataFrame:
    """Return which shares of each run's prototypes were outside the samples' range, and which left and returned.

    Book: chapter "Expulsion", section "What training adds".

    Args:
        runs: one row a run, weights included.

    Returns:
        One row a run: mask, size; start and end, the expelled fraction before and after training; of those inside,
        went out; of those outside, came in: each 0 where there were none.
    """
    parts = []
    for (mask, size), group in groups_of(runs, "mask", "size"):
        x, _, trained = stored_networks(group)
        _, _, start = starting_batch(size, group["seed"].tolist())
        low, high = x.amin(1, keepdim=True), x.amax(1, keepdim=True)
        before, after = (((at < low) | (at > high)).numpy() for at in (prototypes(p.w, p.b) for p in (start, trained)))
        columns = {
            "start": before.mean(1),
            "end": after.mean(1),
            "of those inside, went out": (~before & after).sum(1) / np.maximum((~before).sum(1), 1),
            "of those outside, came in": (before & ~after).sum(1) / np.maximum(before.sum(1), 1),
        }
        parts.append(pd.DataFrame({"mask": mask, "size": size, **columns}))
    return pd.concat(parts, ignore_index=True)


def flows_at(found: pd.DataFrame, size: int) -> pd.DataFrame:
    """Return the mean flows of a size's runs, a row a mask, by its label.

    Args:
        found: what `flows` returned.
        size: N.
    """
    return found[found["size"] == size].drop(columns="size").groupby("mask").mean().rename(index=MASK_LABELS)


def by_size(runs: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return the mean expelled fraction, a row a mask, by its label, and one before training; a column a size.

    Args:
        runs: one row a run.
        found: what `flows` returned for them.
    """
    table = summary(runs, "expelled_fraction").pivot(index="mask", columns="size", values="mean")
    table = table.rename(index=MASK_LABELS)
    table.loc[BEFORE] = found.groupby("size")["start"].mean()
    return table.rename(columns="N = {}".format)


def sizes_apart(table: pd.DataFrame) -> list[str]:
    """Return the sizes at which every overlap-active mask lies above every overlap-free one.

    Args:
        table: what `by_size` returned.
    """
    active, free = (
        table.loc[[MASK_LABELS[mask] for mask, on in MASKS.items() if on.overlap == wanted]] for wanted in (True, False)
    )
    return [str(name) for name in table if active[name].min() > free[name].max()]


def began_outside(runs: pd.DataFrame) -> pd.DataFrame:
    """Return every prototype that began outside the samples' range, and whether it ended inside.

    Book: chapter "Expulsion", section "Who comes back".

    Args:
        runs: one row a run, weights included.

    Returns:
        One row a prototype: mask, size; shielded, whether at the start every sample had another prototype that was
        nearer; came in.
    """
    parts = []
    for (mask, size), group in groups_of(runs, "mask", "size"):
        x, _, trained = stored_networks(group)
        _, _, start = starting_batch(size, group["seed"].tolist())
        low, high = x.amin(1, keepdim=True), x.amax(1, keepdim=True)
        places = prototypes(start.w, start.b)
        before, after = ((at < low) | (at > high) for at in (places, prototypes(trained.w, trained.b)))
        nearest = (x[..., :, None] - places[..., None, :]).abs().argmin(-1)
        shielded = torch.ones_like(before).scatter_(1, nearest, False)
        columns = {"shielded": shielded[before].numpy(), "came in": ~after[before].numpy()}
        parts.append(pd.DataFrame({"mask": mask, "size": size, **columns}))
    return pd.concat(parts, ignore_index=True)


def returned(began: pd.DataFrame) -> pd.DataFrame:
    """Return the share of the prototypes that began outside and ended inside, a row a mask, a column a size.

    Args:
        began: what `began_outside` returned.
    """
    shares = began.groupby(["mask", "size"])["came in"].mean().unstack()
    return shares.rename(index=MASK_LABELS, columns="N = {}".format).rename_axis(columns=None)


def returned_by_shield(began: pd.DataFrame, masks: Sequence[str] = ("000", "010")) -> pd.DataFrame:
    """Return the same for those that some sample had as its nearest at the start, and for those that were shielded.

    Args:
        began: what `began_outside` returned.
        masks: which to show, of those that there are.

    Returns:
        Rows such as "010 Cov, nearest" and "010 Cov, shielded"; a column a size.
    """
    chosen = began[began["mask"].isin(masks)]
    shares = chosen.groupby(["mask", "shielded", "size"])["came in"].mean().unstack()
    shares.index = [f"{MASK_LABELS[mask]}, {'shielded' if shield else 'nearest'}" for mask, shield in shares.index]
    return shares.rename(columns="N = {}".format).rename_axis(index="mask", columns=None)


@cache
def stored_outside(data: Path) -> pd.DataFrame:
    """Return the prototypes of the powered sweep that began outside."""
    return began_outside(pd.read_parquet(data / "powered.parquet"))


def of_those_outside(began: pd.DataFrame) -> dict[str, str]:
    """Return the numbers of the section "Who comes back", by name.

    Args:
        began: what `began_outside` returned.
    """
    back, by_shield = returned(began), returned_by_shield(began)
    both = {"coverage": "010 Cov", "std": "000 Std"}
    found = {f"{name}-back-at-{size}": back.loc[row, f"N = {size}"] for name, row in both.items() for size in (3, 100)}
    nearest, shielded = by_shield.loc["010 Cov, nearest"], by_shield.loc["010 Cov, shielded"]
    found |= {
        "overlap-back-at-3": back.loc["100 Ovl", "N = 3"],
        "open-back-least": nearest.min(),
        "open-back-most": nearest.max(),
        **{f"shielded-back-at-{size}": shielded[f"N = {size}"] for size in (3, 100)},
    }
    cover = began[began["mask"] == "010"].groupby("size")["shielded"].mean()
    largest = began[(began["mask"] == "100") & (began["size"] == 100)]
    return {
        **{name: f"{share:.0%}" for name, share in found.items()},
        **{f"shielded-share-at-{size}": f"{cover[size]:.0%}" for size in (3, 100)},
        "overlap-back-at-100": f"{largest['came in'].sum()}",
        "outside-at-100": f"{len(largest)}",
    }


@cache
def stored_flows(data: Path) -> pd.DataFrame:
    """Return the flows of the replication."""
    return flows(stored_runs(data))


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "Expulsion", by name.

    Args:
        data: the folder of the stored runs.
    """
    found = stored_flows(data)
    largest, table = flows_at(found, 100), by_size(stored_runs(data), found)
    apart = sizes_apart(table)
    return {
        "std-end": f"{largest.loc['000 Std', 'end']:.2f}",
        "std-start": f"{largest.loc['000 Std', 'start']:.2f}",
        "overlap-went-out": f"{largest.loc['100 Ovl', 'of those inside, went out']:.2f}",
        "overlap-end": f"{largest.loc['100 Ovl', 'end']:.2f}",
        "overlap-coverage-end": f"{largest.loc['110 Ovl+Cov', 'end']:.2f}",
        "sizes-apart": f"{len(apart)}",
        "sizes": f"{len(table.columns)}",
        "which-sizes-apart": ", ".join(apart),
        **of_those_outside(stored_outside(data)),
    }
