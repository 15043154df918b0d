"""Overlap: its push on one neuron beside others, and what it does alone to E, expulsion and specialization."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from companion.core.losses import overlap_loss
from companion.core.network import activations
from companion.core.settings import MASK_LABELS, Settings
from companion.studies import handful
from companion.studies.alone import against_std
from companion.studies.reconstruction import stored_runs

SAMPLES = (0.2, 0.4, 0.6, 0.8)
WEIGHT = 5.0
"""w of all neurons while the fifth is moved."""
WEIGHTS = (3.0, 5.0, 7.0, 10.0, 15.0)
"""w at which the chapter counts inward forces."""
ALONG = np.linspace(-0.5, 1.5, 301)
"""Where the chapter's picture puts the fifth."""
TRAINED = {MASK_LABELS[mask]: Settings(mask) for mask in ("000", "100")}
"""The trainings of five neurons that the chapter draws."""
METRICS = {
    "E": "reconstruction_error",
    "expelled": "expelled_fraction",
    "specialization": "specialization_ratio",
}


def push(position: float, weight: float = WEIGHT) -> float:
    """Return the force of overlap on a fifth neuron of fixed width at `position`, beside one at each sample.

    Book: chapter "Overlap", section "What it does to a few neurons".

    Args:
        position: where the fifth is.
        weight: w of all five.
    """
    samples = torch.tensor(SAMPLES, dtype=torch.float64)

    def loss(centres: torch.Tensor) -> torch.Tensor:
        w = torch.full_like(centres, weight)
        return overlap_loss(activations(samples, w, -w * centres))

    return handful.force(loss, SAMPLES, position)


def pushes(places: Iterable[float]) -> pd.DataFrame:
    """Return the force of overlap on the fifth neuron, a row a place; what is below rounding, at its balance, is 0.

    Args:
        places: where it is put.
    """
    return handful.along({"force": push}, places).round(15)


def inward_shares(weights: Iterable[float] = WEIGHTS, count: int = 200) -> pd.DataFrame:
    """Return at which share of the positions between the outermost samples the fifth is pushed towards their centre.

    Book: chapter "Overlap", section "What it does to a few neurons".

    Args:
        weights: w of all five neurons.
        count: positions, in the middles of as many equal parts; even, so that none is at the centre.

    Returns:
        One row a weight (the index, w) with the share.
    """
    low, high = SAMPLES[0], SAMPLES[-1]
    middle = (low + high) / 2
    places = low + (np.arange(count) + 0.5) * (high - low) / count
    shares = {f"{w:g}": np.mean([push(at, w) * (at - middle) < 0 for at in places]) for w in weights}
    return pd.DataFrame({"share of positions": shares}).rename_axis("w")


def ends(x: torch.Tensor, paths: Mapping[str, torch.Tensor]) -> pd.DataFrame:
    """Return where prototypes stand after training.

    Book: chapter "Overlap", section "In training".

    Args:
        x: training inputs, shape (samples,).
        paths: what `companion.studies.handful.paths` returned.

    Returns:
        One row a mask: how many are outside the samples, the lowest and the highest as text.
    """
    rows = {
        name: {
            "outside the samples": int(((path[-1] < x.min()) | (path[-1] > x.max())).sum()),
            "lowest": f"{path[-1].min():.2f}",
            "highest": f"{path[-1].max():.2f}",
        }
        for name, path in paths.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("mask")


def medians(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the medians of Std and of overlap alone in three metrics.

    Book: chapter "Overlap", section "Over the 480 runs".

    Args:
        runs: one row a run.

    Returns:
        One row a size (the index, N); columns such as "E, 000 Std" and "expelled, 100 Ovl".
    """
    tables = {name: against_std(runs, "100", metric) for name, metric in METRICS.items()}
    labels = [MASK_LABELS[mask] for mask in ("000", "100")]
    return pd.DataFrame(
        {f"{name}, {label}": table[f"{label}, median"] for name, table in tables.items() for label in labels}
    )


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "Overlap", by name.

    Args:
        data: the folder of the stored runs.
    """
    table = medians(stored_runs(data))
    inward, outside = inward_shares()["share of positions"], pushes(ALONG)["force"].loc[SAMPLES[-1] :]
    change = {name: table[f"{name}, 100 Ovl"] - table[f"{name}, 000 Std"] for name in METRICS}
    return {
        **{f"inward-at-{w:g}": f"{inward[f'{w:g}']:.0%}" for w in (7.0, 10.0)},
        "greatest-outside-at": f"{outside.idxmax():.2f}",
        "sizes": f"{len(table)}",
        "higher-errors": f"{(change['E'] > 0).sum()}",
        "higher-expelled": f"{(change['expelled'] > 0).sum()}",
        "lower-specialization": f"{(change['specialization'] < 0).sum()}",
    }
