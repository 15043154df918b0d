"""The search for a universe in which all that the paper reports is seen.

`python -m companion.studies.search --trials 500`, from the book's folder, goes on where an earlier call stopped:
Optuna's storage is a file. It looks at calibration seeds alone; what it finds is run again on fresh ones.
Book: chapter "Every reading at once", section "The sample".
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from companion.judging.multiverse import OBSERVATIONS, X, found, observe
from companion.show.chapters import ROOT
from companion.sweeps.runs import write_runs
from companion.sweeps.store import Group
from companion.sweeps.sweep import run_groups
from companion.sweeps.universes import AXES, Universe, run_universes

SEEDS = tuple(range(900, 905))
"""Calibration seeds: below 1000, as all that led to the nominal choice."""
FIRST = (3, 5, 10, 20)
"""Sizes that are seen first. Where little is seen at them, the two largest, which take most of the time, are not."""
DRAWN = 60
"""Trials that are drawn at random first."""
HOT = 1000.0
"""By how much τ is raised to see whether separation alone expels when it is hot."""
APART = 0.1
"""Expelled fractions that differ by more are apart, as in the ledger's rule of C8."""
WORTH = dict.fromkeys((*OBSERVATIONS, "C8"), 1.0)
"""What an observation counts in the search: all the same. The search maximises the sum of their shares, as a count of
whole ones would say too little to go by; the count is what is reported."""


def only_when_hot(universe: Universe, runs: pd.DataFrame, size: int = 100) -> float:
    """Return the share of C8 that is seen in a universe: separation alone expels no more than Std at its τ, and more at
    a thousand times that.

    Args:
        universe: which.
        runs: its own, of masks 000 and 001 at that size.
        size: N.
    """
    own = universe.settings("001", size)
    seeds = tuple(int(seed) for seed in runs["seed"].unique())
    hot = run_groups([Group(own.but(temperature=own.temperature * HOT), size, seeds)], columns=["expelled_fraction"])
    at = runs[runs["size"] == size].groupby("mask")[X].mean()
    above = hot["expelled_fraction"].fillna(1.0).mean() - at["000"]
    return float(np.mean([at["001"] - at["000"] < APART, above > APART]))


def worth(shares: dict[str, float]) -> float:
    """Return what a search maximises: the sum of the shares that are seen, each times what it counts."""
    return float(sum(WORTH[name] * share for name, share in shares.items()))


def look(universe: Universe, seeds: Sequence[int] = SEEDS) -> dict[str, float]:
    """Return the share of each observation, C8 among them, that is seen in a universe on some seeds."""
    runs = found(run_universes({0: universe}, seeds=seeds, progress=False))
    return observe(runs) | {"C8": only_when_hot(universe, runs)}


def search(storage: Path, trials: int) -> pd.DataFrame:
    """Go on with the search by so many trials, and return all that there are.

    The first is the nominal universe, the next `DRAWN` are drawn at random. Then Optuna's tree-structured Parzen
    estimator [akiba2019] proposes levels on all axes together, as their interactions may matter. Of a trial whose four
    smaller sizes show less than half of the earlier trials did, the two larger ones are not run. Several processes may
    search in one journal.

    Args:
        storage: the file of Optuna's journal, made if it is not there.
        trials: how many more.

    Returns:
        A row a trial: number, the levels by axis, of each observation its share (NaN where it was given up), worth.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    def objective(trial: optuna.Trial) -> float:
        universe = Universe(
            tuple(levels[trial.suggest_categorical(axis, range(len(levels)))] for axis, levels in AXES.items())
        )
        small = found(run_universes({0: universe}, sizes=FIRST, seeds=SEEDS, progress=False))
        trial.report(worth(observe(small)), step=0)
        if trial.should_prune():
            raise optuna.TrialPruned
        shares = look(universe)
        trial.set_user_attr("shares", shares)
        return worth(shares)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():  # that Optuna may rename these two options one day
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(n_startup_trials=DRAWN, multivariate=True, constant_liar=True)
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(storage))),
        study_name="paper",
        direction="maximize",
        load_if_exists=True,
        sampler=sampler,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=DRAWN),
    )
    if not study.trials:
        study.enqueue_trial(dict.fromkeys(AXES, 0))
    study.optimize(objective, n_trials=trials)
    rows = [
        {"trial": trial.number}
        | {axis: AXES[axis][trial.params[axis]].name for axis in AXES}
        | {name: trial.user_attrs.get("shares", {}).get(name, np.nan) for name in WORTH}
        | {"worth": np.nan if trial.value is None else trial.value}
        for trial in study.trials
        if trial.state.is_finished() and len(trial.params) == len(AXES)
    ]
    return pd.DataFrame(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Search for a universe in which all that the paper reports is seen.")
    parser.add_argument("--trials", type=int, default=500, help="how many more trials")
    parser.add_argument("--storage", type=Path, default=Path("search.journal"), help="the journal of all trials")
    given = parser.parse_args()
    write_runs(search(given.storage, given.trials), ROOT / "data" / "multiverse-search.parquet")
