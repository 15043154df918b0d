"""What a study of few seeds can show: verdicts, orders and error bars of many studies drawn from one of many seeds.

`python -m companion.studies.power`, from the book's folder, makes `data/power.parquet`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import sem

from companion.core.checks import require_integer
from companion.judging import paired
from companion.judging.claims import CLAIMS
from companion.judging.verdicts import LEVEL, VERDICTS, Group, Study
from companion.sweeps.runs import write_runs
from companion.sweeps.workers import as_they_finish, open_executor
from companion.version import library_versions

PAPER = 10
"""Seeds of the paper's study."""
COUNTS = (5, PAPER, 20, 50, 100)
"""Seeds of the drawn studies; and as many as the full study has, drawn with replacement."""
DRAWS, FEWER, NULLS = 1000, 200, 400
"""Drawn studies of ten seeds, of any other number, and studies without any difference."""
NULL_CLAIMS = ("C1", "C2", "C3")
"""Claims that are also judged on studies without any difference."""


def draw_seeds(study: Study, seeds: int, draws: int, replace: bool = False, stream: int = 0) -> np.ndarray:
    """Return which seeds make up each of many smaller studies; the same for every claim and metric.

    Book: chapter "What ten seeds can show", section "Ten of two hundred".

    Args:
        study: the full study.
        seeds: seeds of a drawn study, at least 1; not more than the full study has, unless `replace`.
        draws: drawn studies, at least 1.
        replace: whether a seed may stand twice in a drawn study.
        stream: seed of the random numbers, at least 0.

    Returns:
        Places of seeds in the full study, shape (draws, seeds).

    Raises:
        ValueError: if an argument is out of range.
    """
    seeds, draws = require_integer("seeds", seeds, least=1), require_integer("draws", draws, least=1)
    if seeds > study.seeds and not replace:
        raise ValueError(f"seeds: {seeds} was given; allowed is at most {study.seeds}, as many as the study has")
    rng = np.random.default_rng([require_integer("stream", stream, least=0), seeds])
    return np.stack([rng.choice(study.seeds, seeds, replace=replace) for _ in range(draws)])


def drawn_verdicts(study: Study, claim: str, index: np.ndarray) -> pd.DataFrame:
    """Return a claim's verdict in each of many smaller studies.

    Book: chapter "What ten seeds can show", section "Ten of two hundred".

    Args:
        study: the full study.
        claim: its key in `companion.judging.claims.CLAIMS`.
        index: of `draw_seeds`, shape (draws, seeds).

    Returns:
        One row a drawn study: "by rule" and "by mean", each one of `companion.judging.verdicts.VERDICTS`, and
        "any case", whether any case is supported or contradicted.

    Raises:
        ValueError: if the study lacks what the claim is about.
    """
    return _judged(claim, (study.take(drawn) for drawn in index))


def verdict_shares(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return how often each verdict was given: the estimate of its probability.

    Book: chapter "What ten seeds can show", equation (share).

    Args:
        verdicts: of `drawn_verdicts`, one row a study.

    Returns:
        Shares that add up to 1, index `companion.judging.verdicts.VERDICTS`, columns "by rule" and "by mean".
    """
    ways = ("by rule", "by mean")
    shares = {way: verdicts[way].value_counts(normalize=True).reindex(VERDICTS, fill_value=0.0) for way in ways}
    return pd.DataFrame(shares).rename_axis("verdict")


def permute_masks(study: Study, rng: np.random.Generator) -> Study:
    """Return a study in which the masks differ by nothing: in every seed and size their runs change places at random.

    All metrics of a seed and size follow the same permutation, so a run stays one run.
    Book: chapter "What ten seeds can show", section "Error rates at 200 seeds".

    Args:
        study: any study.
        rng: the random numbers.

    Returns:
        A study of the same seeds, groups and values.
    """
    values: dict[str, dict[Group, np.ndarray]] = {metric: {} for metric in study.raw}
    rests = dict.fromkeys(group[1:] for group in next(iter(study.raw.values())))  # what a group is beside its mask
    for rest in rests:
        groups = [(mask, *rest) for mask in study.masks]
        place = rng.permuted(np.tile(np.arange(len(groups)), (study.seeds, 1)), axis=1).T
        for metric, given in study.raw.items():
            mixed = np.take_along_axis(np.stack([given[group] for group in groups]), place, axis=0)
            values[metric].update(zip(groups, mixed, strict=True))
    return Study(values)


def null_verdicts(study: Study, claim: str, draws: int, stream: int = 0) -> pd.DataFrame:
    """Return a claim's verdict in each of many studies in which the masks differ by nothing.

    Book: chapter "What ten seeds can show", section "Error rates at 200 seeds".

    Args:
        study: the full study, of which each null study keeps all seeds.
        claim: its key in `companion.judging.claims.CLAIMS`.
        draws: null studies, at least 1.
        stream: seed of the random numbers, at least 0; the same null studies for every claim.

    Returns:
        One row a null study, with the columns of `drawn_verdicts`.

    Raises:
        ValueError: if an argument is out of range, or the study lacks what the claim is about.
    """
    draws, stream = require_integer("draws", draws, least=1), require_integer("stream", stream, least=0)
    rng = np.random.default_rng(stream)
    return _judged(claim, (permute_masks(study, rng) for _ in range(draws)))


def _judged(claim: str, studies: Iterable[Study]) -> pd.DataFrame:
    verdicts = [CLAIMS[claim].rule(study) for study in studies]
    return pd.DataFrame(
        {
            "by rule": [verdict.verdict for verdict in verdicts],
            "by mean": [verdict.by_mean for verdict in verdicts],
            "any case": [bool((verdict.supported | verdict.contradicted).any()) for verdict in verdicts],
        }
    )


def pair_orders(study: Study, size: int, index: np.ndarray) -> pd.DataFrame:
    """Return how often smaller studies put two masks' E in the order of the full study's medians.

    Error bars are apart if the two means differ by more than the sum of their standard errors. The test is the
    ledger's, on log E seed by seed, at 2.5 % in either direction.
    Book: chapter "What ten seeds can show", section "Orders of two masks".

    Args:
        study: the full study.
        size: N.
        index: of `draw_seeds`, shape (draws, seeds) with at least two seeds.

    Returns:
        One row a pair of masks: "low" and "high" (by the full study's medians); "means too", whether its means stand
        in that order; "told apart", whether its test finds one, corrected over the size's pairs; and shares of the
        drawn studies: "same" (means in that order), "bars apart", "bars wrong" (apart in the other order), "test
        apart" and "test wrong".

    Raises:
        ValueError: if the study has no such size.
    """
    if size not in study.sizes:
        raise ValueError(f"size: {size!r} was given; allowed are those of the study, {study.sizes}")
    errors = {mask: study.raw["reconstruction_error"][mask, size] for mask in study.masks}
    pairs = [sorted(pair, key=lambda mask: np.median(errors[mask])) for pair in combinations(errors, 2)]
    low, high = (np.stack([errors[pair[side]] for pair in pairs]) for side in (0, 1))
    full = np.minimum(paired.p_less(np.log(low), np.log(high)), paired.p_less(np.log(high), np.log(low)))
    few_low, few_high = low[:, index], high[:, index]
    difference = few_high.mean(-1) - few_low.mean(-1)
    apart = np.abs(difference) > sem(few_low, axis=-1) + sem(few_high, axis=-1)
    right, wrong = (
        paired.p_less(np.log(first), np.log(second)) <= LEVEL
        for first, second in ((few_low, few_high), (few_high, few_low))
    )
    return pd.DataFrame(
        {
            "low": [pair[0] for pair in pairs],
            "high": [pair[1] for pair in pairs],
            "means too": low.mean(-1) < high.mean(-1),
            "told apart": paired.holm(full) <= LEVEL,
            "same": (difference > 0).mean(-1),
            "bars apart": apart.mean(-1),
            "bars wrong": (apart & (difference < 0)).mean(-1),
            "test apart": (right | wrong).mean(-1),
            "test wrong": wrong.mean(-1),
        }
    )


class Task(NamedTuple):
    """A claim to be judged in many studies of `seeds` seeds: drawn from a full one, or without difference (`null`)."""

    claim: str
    seeds: int
    studies: int
    null: bool = False


def tasks_of(studies: Mapping[str, Study]) -> list[Task]:
    """Return what the chapter judges.

    Args:
        studies: the full studies by the names that `companion.judging.claims.Claim.data` has.
    """
    tasks = []
    for key, claim in CLAIMS.items():
        all_seeds = studies[claim.data].seeds
        counts = [n for n in COUNTS if n < all_seeds]
        tasks += [Task(key, n, DRAWS if n == PAPER else FEWER) for n in counts]
        tasks.append(Task(key, all_seeds, FEWER))
    return tasks + [Task(key, studies["sweep"].seeds, NULLS, null=True) for key in NULL_CLAIMS]


def judge_task(given: tuple[Task, Study]) -> pd.DataFrame:
    """Return a task's verdicts, a row a study; as many seeds as the full study has are drawn with replacement.

    Book: chapter "What ten seeds can show", sections "Ten of two hundred" and "Error rates at 200 seeds".

    Args:
        given: the task and the full study.

    Returns:
        Columns claim, seeds, null, study (its number), and those of `drawn_verdicts`.
    """
    task, study = given
    if task.null:
        verdicts = null_verdicts(study, task.claim, task.studies)
    else:
        index = draw_seeds(study, task.seeds, task.studies, replace=task.seeds == study.seeds)
        verdicts = drawn_verdicts(study, task.claim, index)
    same = {"claim": task.claim, "seeds": task.seeds, "null": task.null, "study": np.arange(task.studies)}
    return pd.concat([pd.DataFrame(same), verdicts], axis=1)


def full_studies(root: Path) -> dict[str, Study]:
    """Return the full studies from the runs stored under `root`: the powered sweep, and that of the temperature."""
    columns = ["mask", "size", "seed", "temperature", "fit_mse", "reconstruction_error"]
    columns += ["specialization_ratio", "expelled_fraction"]
    files = (root / f"data/{name}.parquet" for name in ("powered", "temperature"))
    sweep, heat = (pd.read_parquet(file, columns=columns) for file in files)
    return {"sweep": Study.of(sweep), "temperature": Study.of(heat, by=("mask", "size", "temperature"))}


def write_power(root: Path = Path(), workers: int = 2) -> None:
    """Judge every claim in all drawn studies and write `data/power.parquet`.

    Args:
        root: the book's folder.
        workers: processes.
    """
    studies = full_studies(root)
    tasks = tasks_of(studies)
    jobs = [(task, studies["sweep" if task.null else CLAIMS[task.claim].data]) for task in tasks]
    with open_executor(workers) as executor:
        found = {job[0]: table for job, table in as_they_finish(judge_task, jobs, executor)}
    table = pd.concat([found[task] for task in tasks], ignore_index=True)
    table.attrs["versions"] = library_versions()
    write_runs(table, root / "data/power.parquet")


if __name__ == "__main__":
    write_power()
