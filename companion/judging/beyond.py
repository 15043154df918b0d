"""Beyond the paper: rules for what this book adds to the ten claims, and the verdicts on it.

A group of runs is named by its label and size: the mask, and what pulls where the mask's middle bit is on, such as
"110 transport" or "110 transport κ=10 annealed"; "chance" is a group, too. The rules were committed before the runs on
seeds 2000 to 2099 that they judge; what they try out was chosen on seeds below 100. They were changed once after it,
with the ledger's rules (chapter "The ledger", section "What changed"): by position where they were by E, sign tests
where there were signed ranks, a range for the fit where there was one number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from companion.core.checks import require_a, shown
from companion.core.settings import MASKS, Attractor, Settings, require_settings
from companion.judging.chance import chance_level, target_of
from companion.judging.claims import CLAIMS, FIT, coverage_is_sufficient
from companion.judging.verdicts import POSITION, Case, E, Statement, Study, Verdict, judge_by_margin
from companion.sweeps.runs import stored_table
from companion.sweeps.sweep import list_of

FILES = ("attractors", "attractors-chamfer-transport", "attractors-balance", "attractors-annealed")
"""The experiment's files in `data/`: together each combination of mask, attractor, balance and annealing once."""
COLUMNS = (
    "mask",
    "size",
    "seed",
    "attractor",
    "balance",
    "anneal",
    "fit_mse",
    "reconstruction_error",
    "position_error",
    "specialization_ratio",
    "expelled_fraction",
)
"""What the rules read of the stored runs."""
BESIDE = {alone: f"{alone[0]}1{alone[2]}" for alone in ("001", "100", "101")}
"""Each repulsion's mask without an attractor, and the mask with one beside it."""
CHANCE = "chance"


def labelled_runs(root: Path, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """Return the stored runs of the experiment with the labels of their settings.

    Book: chapter "A compatible attractor", section "The experiment".

    Args:
        root: the book's folder.
        columns: which to read, those of `COLUMNS` among them.

    Returns:
        One row a run, with a column `label`: `companion.core.settings.Settings.label`.

    Raises:
        ValueError: if a file or a column is missing.
    """
    columns = list_of("columns", columns, partial(require_a, str))
    if missing := [name for name in COLUMNS if name not in columns]:
        raise ValueError(f"columns: {shown(columns)} were given; allowed are lists with {missing}, too")
    tables = [stored_table(root, name, columns) for name in FILES]
    runs = pd.concat(tables, ignore_index=True)
    names = ["mask", "attractor", "balance", "anneal"]
    labels = {
        row: Settings(**dict(zip(names, row, strict=True))).label
        for row in set(runs[names].itertuples(index=False, name=None))
    }
    return runs.assign(label=[labels[row] for row in runs[names].itertuples(index=False, name=None)])


def study_of(runs: pd.DataFrame) -> Study:
    """Return runs with labels as a study that has the chance level as a group: a seed's mean over draws.

    Book: chapter "A compatible attractor", section "The experiment".

    Args:
        runs: one row a run, as `labelled_runs` returns them; every label and size with the same seeds.

    Raises:
        ValueError: if a run is missing, or stands twice.
    """
    study = Study.of(runs, by=("label", "size"))
    if CHANCE in study.masks:
        raise ValueError(f"runs: label {CHANCE!r} was given; allowed are labels of settings")
    target, seeds = target_of(runs), sorted(runs["seed"].unique().tolist())
    chance = {
        metric: {(CHANCE, n): chance_level(n, seeds, target=target, metric=metric).mean(-1) for n in study.sizes}
        for metric in (E, POSITION)
    }
    return Study(study.raw | {metric: study.raw[metric] | level for metric, level in chance.items()})


def _require_study(study: Any, settings: Any) -> None:
    require_a(Study, "study", study)
    require_settings("settings", settings)


def is_compatible(study: Study, settings: Settings) -> Verdict:
    """B1 to B5: an attractor is compatible with every repulsion: nearer than chance with it, and no worse a fit.

    The rule in words is `COMPATIBLE`.
    Book: chapter "A compatible attractor", section "The verdicts".

    Args:
        study: what `study_of` returned.
        settings: whose attractor, balance and annealing are judged.

    Returns:
        The verdict by count of cases.

    Raises:
        ValueError: if groups are missing.
    """
    _require_study(study, settings)
    beside = {alone: settings.but(mask=mask).label for alone, mask in BESIDE.items()}
    study.needs((*beside, *beside.values(), CHANCE))

    def cases(near: float) -> list[Case]:
        return [
            Case(
                f"{alone}, N = {n}",
                [
                    Statement(POSITION, (label, n), (CHANCE, n)),
                    Statement("rmse", (label, n), (alone, n), near),
                ],
            )
            for alone, label in beside.items()
            for n in study.sizes
        ]

    return judge_by_margin(study, cases, FIT)


COMPATIBLE = (
    "One case a size and repulsion (001, 100, 101), supported if the position error of the repulsion with the "
    "attractor beside it is below the chance level of the same seed (the mean over its draws) and its root mean "
    "squared error is above that of the same repulsion without an attractor by less than a margin, or below it; "
    "contradicted if either is the other way round. The margin is a range, from 0.005 to 0.05, on targets between 0 "
    "and 1."
)
"""The rule of `is_compatible` in words."""


def with_attractor(study: Study, settings: Settings) -> Study:
    """Return a study of the eight masks, as the paper's claims read it, with one attractor in coverage's place.

    Args:
        study: what `study_of` returned.
        settings: whose attractor, balance and annealing are taken.
    """
    _require_study(study, settings)
    names = {mask: settings.but(mask=mask).label for mask in MASKS}
    study.needs(names.values())
    return Study(
        {
            metric: {(mask, n): groups[name, n] for mask, name in names.items() for n in study.sizes}
            for metric, groups in study.raw.items()
        }
    )


def claim_with(study: Study, settings: Settings) -> Verdict:
    """C10s by its own rule, with another attractor in coverage's place."""
    return coverage_is_sufficient(with_attractor(study, settings))


class OwnClaim(NamedTuple):
    """A statement of this book that is judged like a claim of the paper.

    Attributes:
        says: the statement in one sentence.
        compared: what was compared with what, in a few words.
        settings: whose attractor, balance and annealing it is about.
        stated: the rule in words.
        rule: from the study and these settings to the verdict.
        data: the files judged by, in `data/`.
        section: the label of the section that derives it, without "sec-".
    """

    says: str
    settings: Settings
    compared: str = "position error with chance; fit with the repulsion alone"
    stated: str = COMPATIBLE
    rule: Callable[[Study, Settings], Verdict] = is_compatible
    data: tuple[str, ...] = FILES
    section: str = "attractor"

    def judge(self, root: Path) -> Verdict:
        """Judge it on the runs stored under `root`."""
        return self.rule(_stored(require_a(Path, "root", root).absolute()), self.settings)


@cache
def _stored(root: Path) -> Study:
    """All statements' runs, read once a process."""
    return study_of(labelled_runs(root))


CHAMFER, TRANSPORT = Settings(attractor=Attractor.CHAMFER), Settings(attractor=Attractor.TRANSPORT)
BEYOND = {
    "B1": OwnClaim("Chamfer is a compatible attractor for every repulsion", CHAMFER),
    "B2": OwnClaim("Transport is a compatible attractor for every repulsion at equal strength", TRANSPORT),
    "B3": OwnClaim(
        "Transport with ten times the repulsions' strength is a compatible attractor", TRANSPORT.but(balance=10.0)
    ),
    "B4": OwnClaim("Transport beside annealed repulsions is a compatible attractor", TRANSPORT.but(anneal=True)),
    "B5": OwnClaim("Transport with both remedies is a compatible attractor", TRANSPORT.but(balance=10.0, anneal=True)),
    "C10t": OwnClaim(
        "C10s with transport in coverage's place, by C10s' own rule",
        TRANSPORT,
        "position error with transport with Std's",
        CLAIMS["C10s"].stated,
        claim_with,
    ),
}
"""The statements by their keys."""


def judge_beyond(root: Path) -> dict[str, Verdict]:
    """Judge every statement on the runs stored under `root`, by keys of `BEYOND`."""
    require_a(Path, "root", root)
    return {key: claim.judge(root) for key, claim in BEYOND.items()}
