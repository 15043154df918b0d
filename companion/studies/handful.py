"""A handful of neurons: what a loss does to one beside others that stand still, and where training takes five."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd
import torch

from companion.core.data import sample_task
from companion.core.network import initial_parameters, prototypes
from companion.core.settings import Settings
from companion.engine.driver import train

STEPS = range(0, 2001, 20)
"""Steps of training at which paths are recorded; 0 is before it."""


def force(loss: Callable[[torch.Tensor], torch.Tensor], others: Sequence[float], position: float) -> float:
    """Return the force of a loss on one prototype beside others, -dL/dx̂, by automatic differentiation.

    Args:
        loss: of all prototypes, shape (others + 1,); the one that is moved comes last.
        others: where the others stand.
        position: where the one that is moved stands.

    Returns:
        Loss per unit of input, positive to the right.
    """
    at = torch.tensor(position, dtype=torch.float64, requires_grad=True)
    prototypes = torch.cat([torch.tensor(others, dtype=torch.float64), at[None]])
    return -torch.autograd.grad(loss(prototypes), at)[0].item()


def along(forces: Mapping[str, Callable[[float], float]], places: Iterable[float]) -> pd.DataFrame:
    """Return forces along a line, a row a place (the index, position) and a column a force, by its name.

    Args:
        forces: functions of the place, by name.
        places: where they are asked for.
    """
    index = pd.Index(list(places), name="position")
    return pd.DataFrame({name: [of(at) for at in index] for name, of in forces.items()}, index=index)


def signed(table: pd.DataFrame) -> pd.DataFrame:
    """Return forces as text with their signs, "+1.4e-01", and "0" for none.

    Args:
        table: what `along` returned.
    """
    return table.map(lambda value: f"{value:+.1e}" if value else "0")


def paths(settings: Mapping[str, Settings], seed: int = 1000) -> dict[str, torch.Tensor]:
    """Return the paths of five prototypes through training, from one start on one set of five points.

    Book: chapter "Coverage", section "In training".

    Args:
        settings: of the trainings, by name.
        seed: of the data and the start.

    Returns:
        By name, prototypes at `STEPS`, shape (steps, neurons).
    """
    x, y = sample_task(5, seed)
    start = initial_parameters(5, seed)
    recorded = {name: train(x, y, start, chosen, record=STEPS).recorded for name, chosen in settings.items()}
    return {name: prototypes(at.w, at.b) for name, at in recorded.items()}
