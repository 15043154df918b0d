"""Where the playground's presets end when the companion trains them; and links that open it at any settings."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pandas as pd
import torch

from companion.core.checks import require_integer
from companion.core.data import sample_task
from companion.core.metrics import expelled_fraction, reconstruction_error, specialization_ratio
from companion.core.network import Parameters, activations, initial_parameters, predict, prototypes
from companion.core.settings import MASKS, Attractor, Settings, require_settings
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
PAGE = "24-playground.html"
LARGEST, LAST_SEED = 100, 2**32 - 1
"""The largest N that the page trains, and the last seed that it draws from."""
LIMITS = {
    "strength": (0.0, 1000.0),
    "balance": (0.0, 1000.0),
    "temperature": (1e-6, 10.0),
    "step_size": (1e-5, 10.0),
    "steps": (1, 100_000),
}
"""Numbers that the page takes, the least and the most of each setting; other settings it takes at any level."""
NOT_THERE = ("anneal", "neuron", "dimension", "density")
"""Settings that the page has at their nominal levels alone."""


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


def link_to(settings: Settings, size: int = SIZE, seed: int = SEED) -> str:
    """Return the address, beside the book's other chapters, at which the page opens a network.

    It holds mask, size and seed, and under their names the other settings that are not nominal.
    Book: chapter "Playground", section "The page".

    Args:
        settings: nominal in all of `NOT_THERE`, and within `LIMITS`.
        size: N, from 2 to `LARGEST`.
        seed: from 0 to `LAST_SEED`.

    Returns:
        An address such as "24-playground.html#mask=100&size=30&seed=1000&overlap_form=cosine".

    Raises:
        ValueError: naming what the page does not take.
    """
    size, seed = require_integer("size", size, least=2, most=LARGEST), require_integer("seed", seed, 0, LAST_SEED)
    told = {"mask": require_settings("settings", settings).mask, "size": size, "seed": seed}
    for field in fields(settings):
        name, given = field.name, getattr(settings, field.name)
        if given == field.default:
            continue
        if name in NOT_THERE:
            raise ValueError(f"{name}: {given} was given; allowed on the page is {field.default}")
        least, most = LIMITS.get(name, (given, given))
        if not least <= given <= most:
            raise ValueError(f"{name}: {given} was given; allowed on the page are numbers from {least} to {most}")
        told[name] = str(given).lower() if isinstance(given, bool) else given
    return f"{PAGE}#{urlencode(told)}"


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
