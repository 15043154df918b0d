"""Runs again from initial weights that differ in the last bit.

`python -m companion.studies.rounding`, from the book's folder, makes `data/rounding.parquet`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from statsmodels.stats.proportion import proportion_confint

from companion.core.network import Parameters, prototypes, starting_batch
from companion.core.settings import MASKS, Settings
from companion.engine import driver
from companion.judging.claims import CLAIMS
from companion.judging.ledger import COLUMNS, marked
from companion.judging.verdicts import Verdict
from companion.show import words
from companion.sweeps.measures import measure
from companion.sweeps.runs import groups_of, stored_networks, summary, write_runs
from companion.sweeps.sweep import PAPER_SIZES
from companion.version import library_versions

SEEDS = range(1000, 1200)
"""Of the powered sweep, whose runs are trained again."""
FEW_SEEDS = SEEDS[:30]
"""Of the shorter trainings."""
FEWER_STEPS = (500, 1000)
"""Their lengths; the powered sweep's is the nominal one."""
ELSEWHERE = 1e-3
"""A run whose E differs by more than this ends elsewhere; Appendix B counts with the same."""
RECORD = range(0, Settings().steps + 1, 20)
"""Steps at which the growth of a difference is looked at."""
RUN = ["mask", "size", "seed"]
WEIGHTS = ["x", "y", "w", "b", "a", "c"]
"""Columns of a run's data and network."""
E, E_MOVED = "reconstruction_error", "reconstruction_error moved"


def one_ulp_up(initial: Parameters) -> Parameters:
    """Return the parameters with every w moved to the next number above it: by one unit in the last place.

    Book: chapter "How far rounding travels", section "The last bit".

    Args:
        initial: w, b, a of shape (..., neurons), c of shape (...).

    Returns:
        The same, with w replaced.
    """
    return initial._replace(w=torch.nextafter(initial.w, torch.full_like(initial.w, torch.inf)))


def trained_again(
    masks: Iterable[str], sizes: Iterable[int], seeds: Sequence[int], steps: int = Settings().steps, moved: bool = True
) -> pd.DataFrame:
    """Train runs of a sweep's nominal settings with the fast engine, on all cores, from w one ulp up or as drawn.

    Book: chapter "How far rounding travels", section "The last bit".

    Args:
        masks: names in `companion.core.losses.MASKS`.
        sizes: numbers of training points and neurons, each at least 2.
        seeds: each at least 0.
        steps: Adam steps, at least 0.
        moved: whether w starts one ulp up.

    Returns:
        One row a run, ordered as the arguments are: mask, size, seed and the metrics of
        `companion.sweeps.measures.measure`.

    Raises:
        ValueError: as `companion.engine.driver.train`.
    """

    def group(key: tuple[str, int]) -> pd.DataFrame:
        mask, size = key
        x, y, start = starting_batch(size, seeds)
        trained = driver.train(x, y, one_ulp_up(start) if moved else start, Settings(mask, steps=steps))
        return pd.DataFrame({"mask": mask, "size": size, "seed": seeds, **measure(x, y, trained.parameters)})

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return pd.concat(pool.map(group, product(masks, sizes)), ignore_index=True)


def write_rounding(root: Path = Path()) -> None:
    """Train the powered sweep's runs again from w one ulp up and write `data/rounding.parquet`.

    Some of the largest size are trained for fewer steps as well, from w as drawn and from one ulp up.

    Args:
        root: the book's folder.
    """
    parts = [trained_again(MASKS, PAPER_SIZES, list(SEEDS)).assign(steps=Settings().steps, moved=True)]
    for steps, moved in product(FEWER_STEPS, (False, True)):
        again = trained_again(MASKS, PAPER_SIZES[-1:], list(FEW_SEEDS), steps, moved)
        parts.append(again.assign(steps=steps, moved=moved))
    table = pd.concat(parts, ignore_index=True)
    table.attrs["versions"] = library_versions()
    write_runs(table, root / "data/rounding.parquet")


def beside(runs: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """Return the E of every run beside that of the same run from one ulp up, after the same number of steps.

    Book: chapter "How far rounding travels", section "Who ends elsewhere".

    Args:
        runs: a sweep's runs, which start as drawn.
        again: what `write_rounding` wrote.

    Returns:
        One row a run: mask, size, seed, steps, reconstruction_error, reconstruction_error moved, shift (how far they
        are apart) and elsewhere (whether by more than `ELSEWHERE`).
    """
    columns = [*RUN, "steps", E]
    drawn = pd.concat([runs[columns], again.loc[~again["moved"], columns]])
    both = drawn.merge(again.loc[again["moved"], columns], on=[*RUN, "steps"], suffixes=("", " moved"))
    shift = (both[E_MOVED] - both[E]).abs()
    return both.assign(shift=shift, elsewhere=shift > ELSEWHERE)


def full_length(compared: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the nominal number of steps.

    Args:
        compared: what `beside` returned.
    """
    return compared[compared["steps"] == Settings().steps]


def at_largest(compared: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the largest size.

    Args:
        compared: what `beside` returned, or some of it.
    """
    return compared[compared["size"] == compared["size"].max()]


def at_every_length(compared: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that are trained for fewer steps as well, at each number of steps.

    Args:
        compared: what `beside` returned.
    """
    return at_largest(compared)[at_largest(compared)["seed"].isin(FEW_SEEDS)]


def repeated(runs: pd.DataFrame) -> np.ndarray:
    """Train the first and the last mask again on the stored data and return which runs end in the stored weights.

    The data are taken as they are stored: another processor's sine may round a target in another way.
    Book: chapter "How far rounding travels", section "The last bit".

    Args:
        runs: a sweep's runs, weights included; some seeds of each size are trained.

    Returns:
        Whether all weights are the same to the last bit, one value a run.
    """
    masks = [mask for mask in MASKS if mask in set(runs["mask"])]
    some = runs[runs["mask"].isin([masks[0], masks[-1]]) & runs["seed"].isin(FEW_SEEDS)]

    def same(group: tuple[tuple[str, int], pd.DataFrame]) -> np.ndarray:
        (mask, size), own = group
        x, y, stored = stored_networks(own)
        trained = driver.train(x, y, starting_batch(size, own["seed"])[2], Settings(mask)).parameters
        equal = [(one == other).reshape(len(own), -1).all(1) for one, other in zip(trained, stored, strict=True)]
        return torch.stack(equal).all(0).numpy()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(same, some.groupby(["mask", "size"]))))


def share_in_words(found: pd.Series) -> str:
    """Return the share of what is true with its 95 % Wilson interval: "39% (35%–42%)".

    Args:
        found: true or false, one value a run.
    """
    low, high = proportion_confint(found.sum(), len(found), method="wilson")
    return f"{found.mean():.0%} ({low:.0%}–{high:.0%})"


def share_table(both: pd.DataFrame, column: str = "size") -> pd.DataFrame:
    """Return the share of runs that end elsewhere with its interval, in words.

    Book: chapter "How far rounding travels", section "Who ends elsewhere" and section "How a difference grows".

    Args:
        both: what `beside` returned, or some of it.
        column: "size" or "steps".

    Returns:
        One row a mask (its label), one column a size or a number of steps.
    """
    shares = both.groupby(["mask", column])["elsewhere"].apply(share_in_words)
    return words.labelled(shares.unstack(), "N = {}" if column == "size" else "{} steps")


def kinds(both: pd.DataFrame) -> dict[str, pd.Series]:
    """Return which runs of the largest size end elsewhere, by the losses that are on.

    Book: chapter "How far rounding travels", section "Who ends elsewhere".

    Args:
        both: what `beside` returned, or some of it.

    Returns:
        By "separation", "coverage" (without separation), "neither", "overlap" and "no overlap": one value a run.
    """
    top = at_largest(both)
    on = pd.DataFrame([MASKS[mask] for mask in top["mask"]], index=top.index)
    chosen = {
        "separation": on["separation"],
        "coverage": on["coverage"] & ~on["separation"],
        "neither": ~on["coverage"] & ~on["separation"],
        "overlap": on["overlap"],
        "no overlap": ~on["overlap"],
    }
    return {name: top.loc[which, "elsewhere"] for name, which in chosen.items()}


def examples(both: pd.DataFrame) -> pd.DataFrame:
    """Return six runs of the largest size and the mask that is most sensitive there.

    Book: chapter "How far rounding travels", section "How a difference grows".

    Args:
        both: what `beside` returned, of runs of the nominal number of steps.

    Returns:
        Its rows of the first three seeds that do not end elsewhere, then of the first three that do.
    """
    top = at_largest(both)
    most = top.groupby("mask")["elsewhere"].mean().idxmax()
    candidates = top[top["mask"] == most].sort_values("seed")
    return pd.concat([group.head(3) for _, group in candidates.groupby("elsewhere")])


def growth(drawn: pd.DataFrame) -> pd.DataFrame:
    """Train runs from w as drawn and from one ulp up, and return how far apart their prototypes come.

    Book: chapter "How far rounding travels", section "How a difference grows".

    Args:
        drawn: mask, size and seed, of one mask and size.

    Returns:
        The largest difference over a run's prototypes, in units of the input: one row a step of `RECORD` (the index),
        one column a seed.
    """
    x, y, start = starting_batch(drawn["size"].iloc[0], drawn["seed"].tolist())
    settings, paths = Settings(drawn["mask"].iloc[0]), []
    for initial in (start, one_ulp_up(start)):
        at = driver.train(x, y, initial, settings, record=list(RECORD)).recorded
        paths.append(prototypes(at.w, at.b))
    apart = (paths[1] - paths[0]).abs().amax(-1)
    return pd.DataFrame(apart.numpy(), index=list(RECORD), columns=drawn["seed"].tolist())


def growth_curves(grown: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """Return the curves of the chapter's picture; what is zero has no place on its logarithmic axis.

    Args:
        grown: what `growth` returned.
        drawn: the rows of `examples`.

    Returns:
        Columns x (step), value and curve: the seed, with a star if the run ends elsewhere.
    """
    names = {row["seed"]: f"{row['seed']}{'*' if row['elsewhere'] else ''}" for _, row in drawn.iterrows()}
    curves = grown.rename(columns=names).rename_axis(index="x").reset_index().melt("x", var_name="curve")
    return curves[curves["value"] > 0]


def growth_table(grown: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """Return how far apart the prototypes are before training, half-way and after it, in words.

    Book: chapter "How far rounding travels", section "How a difference grows".

    Args:
        grown: what `growth` returned.
        drawn: the rows of `examples`.

    Returns:
        One row a run (its seed): before training, after 1,000 steps, after 2,000, shift of E, ends elsewhere.
    """
    runs, last = drawn.set_index("seed"), grown.index[-1]
    columns = {
        "before training": grown.loc[0],
        f"after {last // 2:,} steps": grown.loc[last // 2],
        f"after {last:,}": grown.loc[last],
        "shift of E": runs["shift"],
    }
    table = pd.DataFrame(columns).map("{:.0e}".format)
    table["ends elsewhere"] = runs["elsewhere"].map({True: "yes", False: "no"})
    return table.rename_axis("seed")


def moved_runs(again: pd.DataFrame) -> pd.DataFrame:
    """Return the runs from one ulp up of the nominal number of steps, in a sweep's columns: mask, size, seed, metrics.

    Args:
        again: what `write_rounding` wrote.
    """
    return again[again["steps"] == Settings().steps].drop(columns=["steps", "moved"])


def medians(runs: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """Return how far the median E of each group moves, beside how unsure the seeds leave it.

    Book: chapter "How far rounding travels", section "Do the verdicts depend on it?".

    Args:
        runs: a sweep's runs, which start as drawn.
        again: what `write_rounding` wrote.

    Returns:
        One row a mask and size (the index): stored, moved (medians over seeds), shift (how far they are apart) and
        width (of the 95 % bootstrap interval of the stored median).
    """
    stored, moved = (summary(table, E).set_index(["mask", "size"]) for table in (runs, moved_runs(again)))
    found = {"stored": stored["median"], "moved": moved["median"], "width": stored["high"] - stored["low"]}
    return pd.DataFrame(found).assign(shift=lambda table: (table["moved"] - table["stored"]).abs())


def median_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return the medians before and after in words, "0.559 / 0.559": a row a mask, a column a size.

    Args:
        found: what `medians` returned.
    """
    return words.labelled(
        (found["stored"].map("{:.3g}".format) + " / " + found["moved"].map("{:.3g}".format)).unstack()
    )


def orders(found: pd.DataFrame) -> pd.DataFrame:
    """Return for every two masks at one size whether the order of their median E changes.

    Book: chapter "How far rounding travels", section "Do the verdicts depend on it?".

    Args:
        found: what `medians` returned.

    Returns:
        One row a pair: size, first, second (masks), changes.
    """
    rows = []
    for size, group in groups_of(found.reset_index(), "size"):
        of_mask = group.set_index("mask")
        for first, second in combinations(of_mask.index, 2):
            lower = of_mask.loc[first, ["stored", "moved"]] < of_mask.loc[second, ["stored", "moved"]]
            rows.append({"size": size[0], "first": first, "second": second, "changes": lower.nunique() == 2})
    return pd.DataFrame(rows)


class Judged(NamedTuple):
    """A claim's verdicts on the stored runs and on the moved ones."""

    stored: Verdict
    moved: Verdict

    @property
    def changes(self) -> bool:
        """Whether the verdict changes."""
        return self.stored.verdict != self.moved.verdict


def judged(runs: pd.DataFrame, again: pd.DataFrame) -> dict[str, Judged]:
    """Return what the ledger's rules say of the stored runs and of the moved ones.

    C8 is left out: it rests on another sweep.
    Book: chapter "How far rounding travels", section "Do the verdicts depend on it?".

    Args:
        runs: a sweep's runs, which start as drawn.
        again: what `write_rounding` wrote.
    """
    moved = moved_runs(again)
    rules = {key: claim.rule for key, claim in CLAIMS.items() if claim.data == "sweep"}
    return {key: Judged(rule(runs[list(COLUMNS)]), rule(moved)) for key, rule in rules.items()}


def changed_cases(pair: Judged) -> list[str]:
    """Return the names of a claim's cases that have another outcome on the moved runs."""
    cases = enumerate(pair.stored.cases)
    return [case.name for k, case in cases if pair.stored.outcome(k) != pair.moved.outcome(k)]


def verdict_table(pairs: dict[str, Judged]) -> pd.DataFrame:
    """Return the verdicts in words, with the cases supported and against.

    Book: chapter "How far rounding travels", section "Do the verdicts depend on it?".

    Args:
        pairs: what `judged` returned.

    Returns:
        One row a claim: stored runs, moved runs, cases with another outcome.
    """
    rows = {
        key: {
            "stored runs": _counts(pair.stored),
            "moved runs": _counts(pair.moved),
            "cases with another outcome": ", ".join(changed_cases(pair)) or "none",
        }
        for key, pair in pairs.items()
    }
    return pd.DataFrame(rows).T.rename_axis("claim")


def _counts(verdict: Verdict) -> str:
    counts = f"{verdict.supported.sum()} of {len(verdict.cases)}, {verdict.contradicted.sum()} against"
    return f"{marked(verdict.verdict)} ({counts})"


class Results(NamedTuple):
    """What the chapter's numbers are read from.

    Attributes:
        both: what `beside` returns, of the nominal number of steps.
        by_steps: the same after each number of steps, of the runs that are trained for fewer as well.
        repeated, medians, judged: what these functions return.
    """

    both: pd.DataFrame
    by_steps: pd.DataFrame
    repeated: np.ndarray
    medians: pd.DataFrame
    judged: dict[str, Judged]


@cache
def results(data: Path) -> Results:
    """Return what the chapter's numbers are read from.

    Args:
        data: the folder of the stored runs.
    """
    runs = pd.read_parquet(data / "powered.parquet", columns=[*COLUMNS, "steps", *WEIGHTS])
    again = pd.read_parquet(data / "rounding.parquet")
    compared = beside(runs, again)
    return Results(
        full_length(compared), at_every_length(compared), repeated(runs), medians(runs, again), judged(runs, again)
    )


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "How far rounding travels", by name.

    Args:
        data: the folder of the stored runs.
    """
    found = results(data)
    both, gone = found.both, found.both[found.both["elsewhere"]]
    by_mask = at_largest(both).groupby("mask")["elsewhere"].mean()
    of_width = found.medians["shift"] / found.medians["width"]
    relative = found.medians["shift"] / found.medians["stored"]
    pairs, by_steps = orders(found.medians), found.by_steps.groupby("steps")["elsewhere"].mean()
    shares = {f"elsewhere-{name.replace(' ', '-')}": share_in_words(runs) for name, runs in kinds(both).items()}
    after = {f"elsewhere-after-{steps}-steps": f"{share:.1%}" for steps, share in by_steps.items()}
    return {
        "runs": f"{len(both)}",
        "runs-elsewhere": f"{len(gone)}",
        "share-elsewhere": f"{both['elsewhere'].mean():.1%}",
        "share-elsewhere-up-to-20": f"{both.loc[both['size'] <= 20, 'elsewhere'].mean():.1%}",
        "least-share-elsewhere": f"{by_mask.min():.0%}",
        "most-share-elsewhere": f"{by_mask.max():.0%}",
        "repeated-runs": f"{len(found.repeated)}",
        "repeated-share-same": f"{found.repeated.mean():.0%}",
        **shares,
        **after,
        "shift-elsewhere": f"{gone['shift'].median():.2g}",
        "shift-of-the-others": f"{both.loc[~both['elsewhere'], 'shift'].median():.0e}",
        "runs-elsewhere-higher": f"{(gone[E_MOVED] > gone[E]).sum()}",
        "runs-elsewhere-lower": f"{(gone[E_MOVED] < gone[E]).sum()}",
        "groups": f"{len(found.medians)}",
        "greatest-shift-of-width": f"{of_width.max():.0%}",
        "median-shift-of-width": f"{of_width.median():.0e}",
        "groups-above-a-twentieth": f"{(of_width > 0.05).sum()}",
        "times-as-uncertain": f"{int((1 / of_width).min())}",
        "greatest-relative-shift": f"{relative.max():.1%}",
        "median-relative-shift": f"{relative.median():.0e}",
        "pairs": f"{len(pairs)}",
        "pairs-changed": f"{pairs['changes'].sum()}",
        "verdicts": f"{len(found.judged)}",
        "verdicts-changed": f"{sum(pair.changes for pair in found.judged.values())}",
        "cases": f"{sum(len(pair.stored.cases) for pair in found.judged.values())}",
        "cases-changed": f"{sum(len(changed_cases(pair)) for pair in found.judged.values())}",
    }


if __name__ == "__main__":
    write_rounding()
