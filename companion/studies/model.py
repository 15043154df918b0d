"""Where training starts, and what it makes of five neurons by the fit alone."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from companion.core.data import sample_task
from companion.core.metrics import expelled_fraction
from companion.core.network import Parameters, initial_parameters, prototypes, starting_batch
from companion.core.settings import MASK_LABELS, MASKS, Settings
from companion.core.train import train
from companion.sweeps.sweep import PAPER_SIZES

SEEDS = range(1000, 1200)
"""Of the starts that are counted."""
LEFT = "mean share left of every sample"


def masks() -> pd.DataFrame:
    """Return which structural losses each mask switches on, a row a mask (its label, the index) and a column a loss.

    Book: chapter "The model and its prototypes", section "What is minimised".
    """
    rows = {
        MASK_LABELS[mask]: {loss: "on" if on else "–" for loss, on in switches._asdict().items()}
        for mask, switches in MASKS.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("mask")


def starts(seeds: Iterable[int] = SEEDS) -> pd.DataFrame:
    """Return where prototypes stand before training.

    Book: chapter "The model and its prototypes", section "Where training starts".

    Args:
        seeds: of the data and the starts.

    Returns:
        One row a size (the index, N): mean expelled fraction; of it, mean share left of every sample; median farthest
        |x̂|, of the farthest of each start.
    """
    rows = []
    for size in PAPER_SIZES:
        x, _, start = starting_batch(size, seeds)
        positions = prototypes(start.w, start.b)
        rows.append(
            {
                "N": size,
                "mean expelled fraction": np.mean(expelled_fraction(x, positions)),
                LEFT: (positions < x.amin(1, keepdim=True)).double().mean().item(),
                "median farthest |x̂|": np.median(positions.abs().amax(-1)),
            }
        )
    return pd.DataFrame(rows).set_index("N")


class Example(NamedTuple):
    """Five points, x and y of shape (samples,), and the network before and after it is trained on them."""

    x: Tensor
    y: Tensor
    start: Parameters
    trained: Parameters


@cache
def example(seed: int = 1000) -> Example:
    """Return five neurons on five points, before and after training on the fit alone.

    Book: chapter "The model and its prototypes", section "Five neurons".

    Args:
        seed: of the data and the start.
    """
    x, y = sample_task(5, seed)
    start = initial_parameters(5, seed)
    return Example(x, y, start, train(x, y, start, Settings("000")).parameters)


def before_and_after(of: Example) -> pd.DataFrame:
    """Return an example's prototypes before and after training and its weights after it, a row a neuron from 1.

    Args:
        of: what `example` returned.
    """
    before, after = (prototypes(parameters.w, parameters.b) for parameters in (of.start, of.trained))
    columns = {"x̂ before": before.numpy(), "x̂ after": after.numpy(), "w after": of.trained.w.numpy()}
    return pd.DataFrame(columns, index=pd.RangeIndex(1, len(before) + 1, name="neuron"))


def inside(of: Example) -> int:
    """Return how many of an example's prototypes lie within the samples' range after training.

    Args:
        of: what `example` returned.
    """
    positions = before_and_after(of)["x̂ after"]
    return int(positions.between(float(of.x.min()), float(of.x.max())).sum())


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "The model and its prototypes", by name.

    Args:
        data: the folder of the stored runs, of which this chapter uses none.
    """
    begun = starts()
    return {
        "largest-starting-outside": f"{begun['mean expelled fraction'].iloc[-1]:.2f}",
        "smallest-starting-left": f"{begun[LEFT].iloc[0]:.2f}",
        "largest-starting-left": f"{begun[LEFT].iloc[-1]:.2f}",
        "example-inside": f"{inside(example())}",
        "example-neurons": f"{len(example().x)}",
    }
