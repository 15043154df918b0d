"""How long is long enough: trainings a hundred times as long as the book's, measured on the way.

`python -m companion.studies.budget [folder]`, from the book's folder, makes `data/budget.parquet` and
`data/budget-networks.parquet`; groups that it has finished wait in the folder, so that it can be stopped and go on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize
from torch import Tensor

from companion.core.checks import unchecked
from companion.core.data import sample_task
from companion.core.losses import total_loss
from companion.core.network import Parameters, starting_batch
from companion.core.settings import MASK_LABELS, MASKS, Attractor, Settings
from companion.judging.claims import CLAIMS
from companion.judging.ledger import MARKS, marked
from companion.judging.verdicts import Verdict
from companion.show.charts import as_curves
from companion.studies.infimum import VARIANTS, farthest, least_loss, loss_of_recovery
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


BUDGETS = (2_000, 20_000, LONGEST)
"""Steps after which the chapter compares: the book's, ten and a hundred times as many."""
SMALL = 1e-6
"""Gradient norm below which a run is called stationary."""
NAMES = {one.label: MASK_LABELS.get(one.mask) if one.attractor == Attractor.COVERAGE else one.label for one in SETTINGS}
"""What the settings are called in pictures and tables, by their labels: "010 Cov", "110 transport κ=10"."""
DRAWN = ("000 Std", "010 Cov", "100 Ovl", "110 Ovl+Cov", "110 transport")
"""The settings that the pictures show."""


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


# --- what the stored runs show ---


@cache
def stored_budget(data: Path) -> pd.DataFrame:
    """Return the measured runs, each with the name under which the chapter shows its settings.

    Args:
        data: the folder of the stored runs.
    """
    runs = pd.read_parquet(data / "budget.parquet")
    return runs.assign(name=runs["label"].map(NAMES))


def by_adam(runs: pd.DataFrame, steps: Sequence[int] = STEPS, size: int | None = None) -> pd.DataFrame:
    """Return the rows of long trainings at some steps, of all sizes or of one."""
    chosen = runs[(runs["optimiser"] == "Adam") & runs["step"].isin(steps)]
    return chosen if size is None else chosen[chosen["size"] == size]


def curves(runs: pd.DataFrame, metric: str, size: int) -> pd.DataFrame:
    """Return a metric's mean (of the expelled fraction) or median over seeds against the step, and where it began.

    Book: chapter "How long is long enough", section "What changes with the budget".

    Args:
        runs: of `stored_budget`.
        metric: a column.
        size: N.

    Returns:
        What `companion.show.charts.curves` draws: x (the step, from the first measured one on), value, curve. The curve
        "untrained" is level: what all had before the first step.
    """
    found = by_adam(runs, size=size)
    groups = found[found["name"].isin(DRAWN)].groupby(["name", "step"])[metric]
    table = (groups.mean() if metric == "expelled_fraction" else groups.median()).unstack("name")[list(DRAWN)]
    start = table.loc[0].iloc[0]
    return as_curves(table.loc[table.index > 0].assign(untrained=start))


def at_budgets(runs: pd.DataFrame, metric: str, size: int) -> pd.DataFrame:
    """Return a metric untrained and after three budgets: the mean of expelled fractions, the median of all else.

    Book: chapter "How long is long enough", section "What changes with the budget".

    Returns:
        One row a setting (by its name), one column a number of steps.
    """
    groups = by_adam(runs, (0, *BUDGETS), size).groupby(["name", "step"], sort=False)[metric]
    table = (groups.mean() if metric == "expelled_fraction" else groups.median()).unstack("step")
    return table.reindex(list(NAMES.values())).sort_index(axis=1).rename_axis(index="settings", columns=None)


def verdicts(runs: pd.DataFrame, steps: Sequence[int] = BUDGETS) -> dict[int, dict[str, Verdict]]:
    """Return the ledger's verdicts on all claims but C8, on these thirty seeds after some budgets.

    Book: chapter "How long is long enough", section "The paper's claims at three budgets".
    """
    masks = {Settings(mask).label: mask for mask in MASKS}
    found = by_adam(runs, steps)
    found = found[found["label"].isin(masks)].assign(mask=lambda rows: rows["label"].map(masks))
    judged = {key: claim for key, claim in CLAIMS.items() if claim.data == "sweep"}
    return {step: {key: claim.rule(found[found["step"] == step]) for key, claim in judged.items()} for step in steps}


def verdict_table(judged: dict[int, dict[str, Verdict]]) -> pd.DataFrame:
    """Return these verdicts as a table: a row a claim, a column a budget, by rule and by mean.

    Args:
        judged: of `verdicts`.
    """
    columns = {
        f"{step:,} steps": {
            key: f"{marked(verdict.verdict)} ({verdict.supported.sum()} of {len(verdict.cases)}, "
            f"{verdict.contradicted.sum()} against); by mean {MARKS[verdict.by_mean]}"
            for key, verdict in of_step.items()
        }
        for step, of_step in judged.items()
    }
    return pd.DataFrame(columns).rename_axis("claim")


def stationary_share(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the share of runs whose gradient norm is below `SMALL` at the last step, a row a setting, a column a size.

    Book: chapter "How long is long enough", section "Is it an equilibrium?".
    """
    last = by_adam(runs, (LONGEST,))
    table = last.assign(small=last["gradient_norm"] < SMALL).pivot_table(index="name", columns="size", values="small")
    return (
        table.reindex(list(NAMES.values())).rename(columns="N = {}".format).rename_axis(index="settings", columns=None)
    )


def nearness(runs: pd.DataFrame, size: int) -> pd.DataFrame:
    """Return how near to the least loss the long trainings come, beside perfect recovery, medians over seeds.

    Book: chapter "How long is long enough", section "How near to the infimum".

    Args:
        runs: of `stored_budget`.
        size: N.

    Returns:
        One row a setting: `least_loss`; `loss_of_recovery`; the loss after 2,000 and after 200,000 steps; and after the
        latter the position error and the share outside (mean).
    """
    rows = {}
    x = _samples(size)
    for settings in SETTINGS:
        own = by_adam(runs, BUDGETS, size)
        own = own[own["label"] == settings.label]
        first, last = (own[own["step"] == step] for step in (BUDGETS[0], BUDGETS[-1]))
        rows[NAMES[settings.label]] = {
            "no loss is below": least_loss(size, settings),
            "perfect recovery": loss_of_recovery(x, settings).median().item(),
            f"after {BUDGETS[0]:,} steps": first["loss"].median(),
            f"after {LONGEST:,} steps": last["loss"].median(),
            "position error": last["position_error"].median(),
            "outside": last["expelled_fraction"].mean(),
        }
    return pd.DataFrame(rows).T.rename_axis("settings")


def optimisers(runs: pd.DataFrame, size: int) -> pd.DataFrame:
    """Return where two optimisers end from the same starts, and where the second goes on from the first's end.

    Book: chapter "How long is long enough", section "Not Adam's step".

    Args:
        runs: of `stored_budget`.
        size: N.

    Returns:
        One row a setting; of each optimiser the median loss and the mean share outside, of the few seeds that all three
        have.
    """
    ends = runs[(runs["size"] == size) & runs["seed"].isin(FEW_SEEDS)]
    ends = ends[(ends["optimiser"] != "Adam") | (ends["step"] == LONGEST)]
    groups = ends.groupby(["name", "optimiser"])
    parts = {
        "loss": groups["loss"].median(),
        "outside": groups["expelled_fraction"].mean(),
    }
    columns = {
        f"{part}: {name}": values.unstack("optimiser")[name]
        for part, values in parts.items()
        for name in ("Adam", *EVALUATIONS)
    }
    return pd.DataFrame(columns).reindex(list(NAMES.values())).rename_axis("settings")


def by_size(runs: pd.DataFrame, metric: str, names: Sequence[str]) -> pd.DataFrame:
    """Return what `at_budgets` does of a few settings at every size: a row a setting and size.

    Args:
        runs: of `stored_budget`.
        metric: a column.
        names: of settings, as in `NAMES`.
    """
    tables = {f"N = {size}": at_budgets(runs, metric, size).loc[list(names)] for size in PAPER_SIZES}
    return pd.concat(tables, names=["size"]).swaplevel().sort_index(level=0, sort_remaining=False)


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "How long is long enough", by name.

    Args:
        data: the folder of the stored runs.
    """
    runs, largest = stored_budget(data), 100
    return _of_the_design(runs) | _of_the_metrics(runs, largest) | _of_the_landscape(runs, largest) | _of_claims(runs)


def _of_the_design(runs: pd.DataFrame) -> dict[str, str]:
    crowded = {size: loss_of_recovery(_samples(size), Settings("001")).median().item() for size in (10, 100)}
    return {
        **{f"variants-{name}": str(count) for name, count in VARIANTS.items()},
        "coverage-gap": f"{-least_loss(100, Settings('010')):.2g}",
        "separation-gap-small": f"{crowded[10]:.2g}",
        "separation-gap": f"{crowded[100]:.2g}",
        "runs": f"{len(by_adam(runs, (LONGEST,))):,}",
        "longest": f"{LONGEST:,}",
        "measured": str(len(STEPS) - 1),
        "seeds": f"{SEEDS[0]}–{SEEDS[-1]}",
        "seeds-count": str(len(SEEDS)),
        "few-seeds": f"seeds {FEW_SEEDS[0]}–{FEW_SEEDS[-1]}",
        "evaluations": f"{EVALUATIONS['L-BFGS']:,}",
    }


def _of_the_metrics(runs: pd.DataFrame, size: int) -> dict[str, str]:
    columns = {"start": 0, "first": BUDGETS[0], "middle": BUDGETS[1], "last": BUDGETS[2]}
    wanted = {
        "outside": ("expelled_fraction", {"std": "000 Std", "ovl": "100 Ovl"}, ".2f"),
        "special": ("specialization_ratio", {"std": "000 Std", "ovl": "100 Ovl"}, ".2f"),
        "position": ("position_error", {"transport": "110 transport"}, ".2g"),
        "error": ("reconstruction_error", {"transport": "110 transport"}, ".2g"),
        "value": ("value_error", {"transport": "110 transport"}, ".2g"),
        "weight": ("weight", {"transport": "110 transport"}, ".0f"),
    }
    found = {}
    for word, (metric, names, form) in wanted.items():
        table = at_budgets(runs, metric, size)
        for short, name in names.items():
            found |= {f"{word}-{short}-{when}": f"{table.loc[name, step]:{form}}" for when, step in columns.items()}
    used = (
        *(f"outside-std-{when}" for when in columns),
        *("outside-ovl-first", "outside-ovl-last", "special-std-first", "special-std-last", "special-ovl-last"),
        *("position-transport-first", "position-transport-last", "error-transport-middle", "error-transport-last"),
        *("value-transport-last", "weight-transport-first", "weight-transport-last"),
    )
    return {name: found[name] for name in used}


def _of_the_landscape(runs: pd.DataFrame, size: int) -> dict[str, str]:
    share, ends, near = stationary_share(runs), optimisers(runs, size), nearness(runs, size)
    below = {step: (by_adam(runs, (step,))["gradient_norm"] < SMALL).mean() for step in (BUDGETS[0], LONGEST)}
    last = near[f"after {LONGEST:,} steps"]
    recovered = near["perfect recovery"]
    outside = ends[[f"outside: {name}" for name in ("Adam", *EVALUATIONS)]].set_axis(["Adam", *EVALUATIONS], axis=1)
    free = ["000 Std", "001 Sep", "100 Ovl", "101 Ovl+Sep"]
    separated = ["001 Sep", "011 Cov+Sep", "101 Ovl+Sep", "111 Full"]
    bound = farthest(torch.tensor(last["110 transport"]), size, Settings("110", attractor=Attractor.TRANSPORT))
    return {
        "stationary-majority": str(int((share > 0.5).to_numpy().sum())),
        "stationary-cells": str(share.size),
        "stationary-first": f"{below[BUDGETS[0]]:.1%}",
        "stationary-last": f"{below[LONGEST]:.0%}",
        "outside-std-lbfgs": f"{outside.loc['000 Std', 'L-BFGS']:.2f}",
        "outside-std-adam": f"{outside.loc['000 Std', 'Adam']:.2f}",
        "outside-ovl-lbfgs": f"{outside.loc['100 Ovl', 'L-BFGS']:.2f}",
        "outside-ovl-adam": f"{outside.loc['100 Ovl', 'Adam']:.2f}",
        "polished": f"{(outside['Adam, then L-BFGS'] - outside['Adam']).abs().max():.3f}",
        "end-free": f"{last[free].max():.1g}",
        "separation-factor": f"{(recovered / last)[separated].min():.0f}",
        "above-cov": f"{(last - recovered)['010 Cov']:.2g}",
        "above-cov-ovl": f"{(last - recovered)['110 Ovl+Cov']:.2g}",
        "end-transport": f"{last['110 transport']:.2g}",
        "bound-transport": f"{bound.item():.2g}",
    }


def _of_claims(runs: pd.DataFrame) -> dict[str, str]:
    judged = verdicts(runs, (BUDGETS[0], LONGEST))
    first, last = judged.values()
    return {
        "c1-mean-first": str(int(np.sum(first["C1"].by_mean_supported))),
        "c1-mean-last": str(int(np.sum(last["C1"].by_mean_supported))),
        "c2-first": str(int(first["C2"].supported.sum())),
        "c2-last": str(int(last["C2"].supported.sum())),
    }


def _samples(size: int) -> Tensor:
    """The training inputs of all long trainings of one size, shape (seeds, size)."""
    return torch.stack([sample_task(size, seed)[0] for seed in SEEDS])


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
