"""Companion module of the book *From latent space to training data*.

In layers, each using only those before it: `core` (the book's equations), `engine` (compiled), `sweeps`, `judging`,
`show`, and `studies`, one file a chapter. What a reader calls on a network of their own is here by name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from companion.version import __version__

if TYPE_CHECKING:
    from companion.core.data import sample_task
    from companion.core.losses import total_loss
    from companion.core.network import Parameters, activations, predict, prototypes, starting_batch
    from companion.core.settings import MASKS, Settings
    from companion.core.train import train
    from companion.sweeps.measures import measure
    from companion.sweeps.runs import write_runs
    from companion.sweeps.sweep import run_sweep

__all__ = [
    "MASKS",
    "Parameters",
    "Settings",
    "__version__",
    "activations",
    "measure",
    "predict",
    "prototypes",
    "run_sweep",
    "sample_task",
    "starting_batch",
    "total_loss",
    "train",
    "write_runs",
]

_HOMES = {
    "companion.core.data": ("sample_task",),
    "companion.core.losses": ("total_loss",),
    "companion.sweeps.measures": ("measure",),
    "companion.core.network": ("Parameters", "activations", "predict", "prototypes", "starting_batch"),
    "companion.core.settings": ("MASKS", "Settings"),
    "companion.core.train": ("train",),
    "companion.sweeps.runs": ("write_runs",),
    "companion.sweeps.sweep": ("run_sweep",),
}


def __getattr__(name: str) -> Any:
    """Load what is asked for when it is: `import companion` alone brings neither PyTorch nor pandas."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'companion' has no attribute {name!r}; it has {', '.join(__all__)}")
