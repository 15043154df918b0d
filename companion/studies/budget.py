"""How long is long enough: trainings a hundred times as long as the book's, measured on the way.

`python -m companion.studies.budget [folder]`, from the book's folder, makes `data/budget.parquet` and
`data/budget-networks.parquet`; groups that it has finished wait in the folder, so that it can be stopped and go on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize
from torch import Tensor

from companion.core.checks import unchecked
from companion.core.losses import total_loss
from companion.core.network import Parameters, starting_batch
from companion.core.settings import MASKS, Attractor, Settings
from companion.sweeps.measures import measure
from companion.sweeps.runs import write_runs
from companion.sweeps.sweep import PAPER_SIZES
from companion.sweeps.workers import as_they_finish, open_executor
from companion.version import library_versions

SEEDS = range(6200, 6230)
"""Of the long trainings; no other part of the book has them."""
FEW_SEEDS = SEEDS[:5]
"""Of the second optimiser, which takes a hundred times as long a step."""
LONGEST = 200_000
"""Steps of a long training."""
STEPS = (0, *(round(LONGEST * 10 ** (-k / 4)) for k in range(19, -1, -1)))
"""Where it is measured: untrained, and at twenty steps, four a decade; the book's 2,000 is the twelfth of these."""
SETTINGS = (
    *(Settings(mask) for mask in MASKS),
    *(
        Settings(mask, attractor=Attractor.TRANSPORT, balance=balance)
        for mask in ("110", "011")
        for balance in (1.0, 10.0)
    ),
)
"""What is trained: the paper's masks; transport beside overlap and beside separation."""
EVALUATIONS = {"L-BFGS": 3_000, "Adam, then L-BFGS": 1_000}
"""Of the loss and its gradient, at most, by what else minimises it: from the start, or from where Adam ends."""
LIMITS = {"maxiter": 10**6, "maxcor": 20, "ftol": 0.0, "gtol": 1e-10}
"""L-BFGS keeps twenty pairs of steps and gradients, and ends where no entry of the gradient is above 1e-10."""


class Job(NamedTuple):
    """Runs that differ in nothing but the seed, and what trains them."""

    settings: Settings
    size: int
    seeds: tuple[int, ...]
    optimiser: str


def design() -> list[Job]:
    """Return all trainings, the longest first.

    Book: chapter "How long is long enough", section "What was trained".
    """
    sizes = sorted(PAPER_SIZES, reverse=True)
    return [
        *(Job(one, size, tuple(SEEDS), "Adam") for size, one in product(sizes, SETTINGS)),
        *(Job(one, size, tuple(FEW_SEEDS), name) for size, one, name in product(sizes, SETTINGS, EVALUATIONS)),
    ]


def train_long(job: Job) -> pd.DataFrame:
    """Train and measure the runs of a job.

    Book: chapter "How long is long enough", section "What was trained".

    Returns:
        One row a run and measured step: label, size, seed, optimiser, step (of L-BFGS evaluations of the loss), the
        columns of `measured`, and w, b, a, c at the last step (missing at the others).
    """
    from companion.engine import driver  # numba, which a reader of stored runs does not need

    torch.set_num_threads(1)
    x, y, start = starting_batch(job.size, job.seeds)
    if job.optimiser == "L-BFGS":
        return _rows(job, x, y, *quasi_newton(x, y, start, job))
    settings = job.settings.but(steps=LONGEST)
    trained = driver.train(x, y, start, settings, STEPS)
    if job.optimiser != "Adam":
        return _rows(job, x, y, *quasi_newton(x, y, trained.parameters, job))
    at_steps = [Parameters(*(values[place] for values in trained.recorded)) for place in range(len(STEPS))]
    rows = [_rows(job, x, y, at, [step] * len(job.seeds)) for step, at in zip(STEPS, at_steps, strict=True)]
    lists = ["w", "b", "a", "c"]
    return pd.concat([*(row.drop(columns=lists) for row in rows[:-1]), rows[-1]], ignore_index=True)


def quasi_newton(x: Tensor, y: Tensor, start: Parameters, job: Job) -> tuple[Parameters, list[int]]:
    """Minimise the total loss of each run by L-BFGS [liu1989], as SciPy has it.

    Book: chapter "How long is long enough", section "Not Adam's step".

    Args:
        x, y, start: a batch of runs, as `companion.core.network.starting_batch` gives it.
        job: whose settings and optimiser are taken.

    Returns:
        The parameters where it ends, and how often each run's loss was evaluated.
    """
    from companion.engine import driver

    ends, evaluated = [], []
    for samples, values, *one in zip(x, y, *start, strict=True):

        def with_gradient(flat: np.ndarray, x: Tensor = samples, y: Tensor = values) -> tuple[float, np.ndarray]:
            at = _of_flat(flat)
            loss = unchecked(total_loss)(x, y, at, job.settings).item()
            if not np.isfinite(loss):  # a prototype is at infinity; the search takes back a step that leads there
                return 1e300, np.zeros_like(flat)
            return loss, torch.cat([part.reshape(-1) for part in driver.gradient(x, y, at, job.settings)]).numpy()

        found = minimize(  # pyright: ignore[reportCallIssue]: SciPy's stubs do not know all options of this method
            with_gradient,
            torch.cat([value.reshape(-1) for value in one]).numpy(),
            jac=True,
            method="L-BFGS-B",
            options=LIMITS | {"maxfun": EVALUATIONS[job.optimiser]},  # pyright: ignore[reportArgumentType]
        )
        ends.append(_of_flat(found.x))
        evaluated.append(found.nfev)
    return Parameters(*(torch.stack(values) for values in zip(*ends, strict=True))), evaluated


def _of_flat(flat: np.ndarray) -> Parameters:
    """w, b, a and c of one run that stand in a row."""
    w, b, a = torch.tensor(flat[:-1]).reshape(3, -1)
    return Parameters(w, b, a, torch.tensor(flat[-1]))


def measured(x: Tensor, y: Tensor, parameters: Parameters, settings: Settings) -> dict[str, np.ndarray]:
    """Return what is looked at in a batch of runs.

    Book: chapter "How long is long enough", section "What was trained".

    Returns:
        By name, each of shape (runs,): the metrics of `companion.sweeps.measures.measure`; loss, the total one;
        gradient_norm, the length of its gradient by all parameters; weight, the median |w|.
    """
    tracked = Parameters(*(value.detach().clone().requires_grad_() for value in parameters))
    loss = total_loss(x, y, tracked, settings)
    gradient = torch.autograd.grad(loss.sum(), tracked)
    norm = torch.cat([part.reshape(len(y), -1) for part in gradient], dim=1).norm(dim=1)
    beside = {"loss": loss.detach(), "gradient_norm": norm, "weight": parameters.w.abs().median(dim=1).values}
    return measure(x, y, parameters) | {name: value.numpy() for name, value in beside.items()}


def _rows(job: Job, x: Tensor, y: Tensor, parameters: Parameters, steps: Sequence[int]) -> pd.DataFrame:
    """What was measured of one batch, with its parameters."""
    same = {"label": job.settings.label, "size": job.size, "seed": job.seeds, "optimiser": job.optimiser}
    lists = {name: list(value.numpy()) for name, value in parameters._asdict().items()}
    return pd.DataFrame({**same, "step": steps, **measured(x, y, parameters, job.settings), **lists})


def write_budget(root: Path, folder: Path) -> None:
    """Train all that is not finished in the folder yet, on all cores, and write the two tables into the book's data."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = {job: folder / f"{job.optimiser}-{job.settings.key}-N{job.size}.parquet" for job in design()}
    with open_executor(os.cpu_count()) as executor:
        for job, rows in as_they_finish(train_long, [job for job, path in jobs.items() if not path.exists()], executor):
            write_runs(rows, jobs[job])
            print(job.optimiser, job.settings.label, job.size, flush=True)
    table = pd.concat([pd.read_parquet(path) for path in jobs.values()], ignore_index=True)
    table.attrs["versions"] = library_versions()
    lists = ["w", "b", "a", "c"]
    write_runs(table.drop(columns=lists), root / "data/budget.parquet")
    ends = table.dropna(subset=lists)[["label", "size", "seed", "optimiser", "step", *lists]]
    write_runs(ends, root / "data/budget-networks.parquet")


if __name__ == "__main__":
    write_budget(Path(), Path(*sys.argv[1:2] or [".budget"]))
