"""Beyond the paper: rules for what this book adds to the ten claims, and the verdicts on it.

A group of runs is named by its label and size: the mask, and what pulls where the mask's middle bit is on, such as
"110 transport" or "110 transport κ=10 annealed"; "chance" is a group, too. The rules were committed before the runs on
seeds 2000 to 2099 that they judge; what they try out was chosen on seeds below 100.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from companion.core.losses import MASKS
from companion.core.metrics import chance_level
from companion.judging.claims import FIT, E, repulsion_needs_an_attractor
from companion.judging.verdicts import Case, Statement, Study, Verdict, judge

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
    "specialization_ratio",
    "expelled_fraction",
)
"""What the rules read of the stored runs."""
BESIDE = {alone: f"{alone[0]}1{alone[2]}" for alone in ("001", "100", "101")}
"""Each repulsion's mask without an attractor, and the mask with one beside it."""
CHANCE = "chance"


def label(mask: str, attractor: str = "coverage", balance: float = 1.0, anneal: bool = False) -> str:
    """Return the name of a group of runs: the mask, and its attractor if it has one, with κ and the annealing.

    Book: chapter "A compatible attractor", section "The experiment".

    Args:
        mask: one of `companion.core.losses.MASKS`.
        attractor: one of `companion.core.losses.ATTRACTORS`.
        balance: κ.
        anneal: whether the repulsions were annealed.

    Returns:
        Such as "100", "110 transport" or "110 transport κ=10 annealed".
    """
    if not MASKS[mask].coverage:
        return mask
    return f"{mask} {attractor}" + (f" κ={balance:g}" if balance != 1 else "") + (" annealed" if anneal else "")


def read(root: Path, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """Return the stored runs of the experiment with their labels.

    Args:
        root: the book's folder.
        columns: which to read, those of `COLUMNS` among them.

    Returns:
        One row a run, with a column `label`.
    """
    tables = [pd.read_parquet(root / "data" / f"{name}.parquet", columns=list(columns)) for name in FILES]
    runs = pd.concat(tables, ignore_index=True)
    settings = zip(runs["mask"], runs["attractor"], runs["balance"], runs["anneal"], strict=True)
    return runs.assign(label=[label(*setting) for setting in settings])


def study_of(runs: pd.DataFrame) -> Study:
    """Return runs with labels as a study that has the chance level as a group: a seed's mean over draws.

    Book: chapter "A compatible attractor", section "The experiment".

    Args:
        runs: one row a run, as `read` returns them; every label and size with the same seeds.

    Raises:
        ValueError: if a run is missing, or stands twice.
    """
    study = Study.of(runs, by=("label", "size"))
    seeds = sorted(runs["seed"].unique().tolist())
    chance = {(CHANCE, size): chance_level(size, seeds).mean(-1) for size in study.sizes}
    return Study(study.raw | {E: study.raw[E] | chance})


def is_compatible(study: Study, attractor: str) -> Verdict:
    """B1 to B5: an attractor is compatible with every repulsion: with it E is below chance, at no cost in fit.

    Rule: one case a size and repulsion (001, 100, 101), supported if E of the repulsion with the attractor beside it is
    below the chance level of the same seed (the mean over its draws) and its root mean squared error is near that of
    the same repulsion without an attractor (within 0.01 on targets between 0 and 1, two one-sided tests) or below it;
    contradicted if either is the other way round. C10's rule asks for less: there E has to be as low as Std's, within a
    factor of 1.5, and Std itself is above chance, so coverage could do no better than to repair; here the prototypes
    have to be where the data are, better than prototypes that know nothing of these data.
    Book: chapter "A compatible attractor", section "The verdicts".

    Args:
        study: what `study_of` returned.
        attractor: what stands behind the mask in a label, such as "transport κ=10".

    Returns:
        The verdict by count of cases.

    Raises:
        ValueError: if groups are missing.
    """
    study.needs((*BESIDE, *(f"{beside} {attractor}" for beside in BESIDE.values()), CHANCE))
    return judge(
        study,
        [
            Case(
                f"{alone}, N = {n}",
                [
                    Statement(E, (f"{beside} {attractor}", n), (CHANCE, n)),
                    Statement("rmse", (f"{beside} {attractor}", n), (alone, n), FIT, "as low"),
                ],
            )
            for alone, beside in BESIDE.items()
            for n in study.sizes
        ],
    )


def with_attractor(study: Study, attractor: str) -> Study:
    """Return a study of the eight masks, as the paper's claims read it, with one attractor in coverage's place.

    Args:
        study: what `study_of` returned.
        attractor: what stands behind the mask in a label.
    """
    names = {mask: f"{mask} {attractor}" if switches.coverage else mask for mask, switches in MASKS.items()}
    study.needs(names.values())
    return Study(
        {
            metric: {(mask, n): groups[name, n] for mask, name in names.items() for n in study.sizes}
            for metric, groups in study.raw.items()
        }
    )


def claim_with(study: Study, attractor: str) -> Verdict:
    """C10 by its own rule, with another attractor in coverage's place."""
    return repulsion_needs_an_attractor(with_attractor(study, attractor))


class Row(NamedTuple):
    """A statement of this book that is judged like a claim of the paper.

    Attributes:
        says: the statement in one sentence.
        compared: what was compared with what, in a few words.
        rule: the function whose docstring states the rule.
        judge: from the book's folder to the verdict on the stored runs.
        data: the files judged by, in `data/`.
        section: the label of the section that derives it, without "sec-".
    """

    says: str
    compared: str
    rule: Callable[..., Verdict]
    judge: Callable[[Path], Verdict]
    data: tuple[str, ...]
    section: str = "attractor"

    @property
    def stated(self) -> str:
        """The rule in the words of its function's docstring."""
        text = " ".join((self.rule.__doc__ or "").split())
        rule = text.split("Rule: ")[1].split(" Book: ")[0]
        return rule[0].upper() + rule[1:]


@cache
def _stored(root: Path) -> Study:
    return study_of(read(root))


def _judged(root: Path, judge: Callable[[Study, str], Verdict], attractor: str) -> Verdict:
    return judge(_stored(root), attractor)


def _row(says: str, attractor: str) -> Row:
    compared = "E with chance; fit with the repulsion alone"
    return Row(says, compared, is_compatible, partial(_judged, judge=is_compatible, attractor=attractor), FILES)


BEYOND = {
    "B1": _row("Chamfer is a compatible attractor for every repulsion", "chamfer"),
    "B2": _row("Transport is a compatible attractor for every repulsion at equal strength", "transport"),
    "B3": _row("Transport with ten times the repulsions' strength is a compatible attractor", "transport κ=10"),
    "B4": _row("Transport beside annealed repulsions is a compatible attractor", "transport annealed"),
    "B5": _row("Transport with both remedies is a compatible attractor", "transport κ=10 annealed"),
    "C10t": Row(
        "C10 with transport in coverage's place, by C10's own rule",
        "E alone and with transport with Std's",
        repulsion_needs_an_attractor,
        partial(_judged, judge=claim_with, attractor="transport"),
        FILES,
    ),
}
"""The statements by their keys; other modules add theirs here."""


def judge_beyond(root: Path) -> dict[str, Verdict]:
    """Judge every statement on the runs stored under `root`, by keys of `BEYOND`."""
    return {key: row.judge(root) for key, row in BEYOND.items()}
