"""Where the playground's presets end when the companion trains them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch

from companion.core.data import sample_task
from companion.core.metrics import expelled_fraction, reconstruction_error, specialization_ratio
from companion.core.network import Parameters, activations, initial_parameters, predict, prototypes
from companion.core.settings import MASKS, Attractor, Settings
from companion.engine.driver import train

SIZE, SEED = 30, 1000
"""N and the seed of all presets."""
PRESETS = {
    "the fit alone": Settings("000"),
    "overlap expels": Settings("100"),
    "coverage cannot hold": Settings("110"),
    "separation at high temperature": Settings("001", temperature=1.0),
    "transport finds the points": Settings("010", attractor=Attractor.TRANSPORT),
    "transport holds": Settings("110", attractor=Attractor.TRANSPORT, balance=10.0),
}
"""The settings of each of the page's preset buttons."""
BEFORE = "before training"


class Task(NamedTuple):
    """The network that all presets train: its data x and y, shape (samples,), and its initial weights."""

    x: torch.Tensor
    y: torch.Tensor
    start: Parameters


def task() -> Task:
    """Return the data and the initial weights of all presets."""
    return Task(*sample_task(SIZE, SEED), initial_parameters(SIZE, SEED))


@cache
def trained(preset: str) -> Parameters:
    """Return a preset's network after its training.

    Args:
        preset: a name of `PRESETS`.
    """
    return train(*task(), PRESETS[preset]).parameters


def measures(parameters: Parameters) -> dict[str, float]:
    """Return E, the specialization ratio and the expelled fraction of a network of `task`.

    Args:
        parameters: w, b, a of shape (neurons,) and c.
    """
    x, y, _ = task()
    positions = prototypes(parameters.w, parameters.b)
    return {
        "E": float(reconstruction_error(x, y, positions, predict(positions, *parameters))),
        "specialization ratio": float(specialization_ratio(activations(x, parameters.w, parameters.b))),
        "expelled fraction": float(expelled_fraction(x, positions)),
    }


def outcomes() -> pd.DataFrame:
    """Return what each preset sets and where it ends, the weights before training first.

    Book: chapter "Playground", section "Six presets".

    Returns:
        One row a preset (the index, by name): mask, attractor, κ and τ as text, "–" where they do not apply; E,
        specialization ratio, expelled fraction.
    """
    nothing = {"mask": "–", "attractor": "–", "κ": "–", "τ": "–"}
    rows = {BEFORE: nothing | measures(task().start)}
    for name, settings in PRESETS.items():
        attracts = MASKS[settings.mask].coverage
        rows[name] = {
            "mask": settings.mask,
            "attractor": str(settings.attractor) if attracts else "–",
            "κ": f"{settings.balance:g}" if attracts else "–",
            "τ": f"{settings.temperature:g}",
            **measures(trained(name)),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("preset")


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "Playground", by name.

    Args:
        data: not read; the presets are trained.
    """
    table = outcomes()
    expelled = table["expelled fraction"].map("{:.2f}".format)
    error = table["E"].map("{:.2g}".format)
    farther = table["E"]["separation at high temperature"] / table["E"]["the fit alone"]
    return {
        "expelled-before": expelled[BEFORE],
        "expelled-fit": expelled["the fit alone"],
        "expelled-overlap": expelled["overlap expels"],
        "expelled-coverage": expelled["coverage cannot hold"],
        "expelled-separation": expelled["separation at high temperature"],
        "expelled-transport": expelled["transport holds"],
        "error-before": error[BEFORE],
        "error-fit": error["the fit alone"],
        "error-coverage": error["coverage cannot hold"],
        "error-transport-alone": error["transport finds the points"],
        "error-transport": error["transport holds"],
        "separation-times-fit": f"{round(farther, -1):.0f}",
    }
