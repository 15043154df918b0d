"""What is seen in a universe: each of the paper's claims by its means and by its rule, and the paper's observations.

C8 is about several temperatures, of which a universe has one; it is judged on the grid of λ and τ.
Book: chapter "Every reading at once", section "What is seen in a universe".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from companion.judging.claims import CLAIMS, FIT, STABLE
from companion.judging.verdicts import HOLDS, POSITION, E, Margin, Study, Verdict
from companion.sweeps.runs import median_run, require_table

S, X = "specialization_ratio", "expelled_fraction"
LARGEST = float(np.finfo(np.float32).max)
LOST = {
    **dict.fromkeys(("fit_mse", E, POSITION, "value_error", "root_mean_square_error"), LARGEST),
    **dict.fromkeys((S, "distinct_samples", "above_half"), 0.0),
    **dict.fromkeys((X, "outside_unit"), 1.0),
}
"""What counts for a run whose weights are no numbers any more: the worst that there is. No run is left out."""

AS_NOMINAL = "nominal"
READ_AS: dict[str, dict[str, str]] = {
    AS_NOMINAL: {},
    "E, root mean square": {E: "root_mean_square_error"},
    "E, position alone": {E: POSITION},
    "E, value alone": {E: "value_error"},
    "S, by neuron": {S: "distinct_samples"},
    "S, above ½": {S: "above_half"},
    "X, from [0, 1]": {X: "outside_unit"},
}
"""Readings of the same weights: which measure stands for one of the nominal ones."""
ASKS: dict[str, tuple[str, ...]] = {
    "C1": (E,),
    "C2": (S,),
    "C3": (E,),
    "C4": (E,),
    "C5": (),
    "C6": (X,),
    "C7": (S,),
    "C9": (E,),
    "C10": (),
    "C10s": (),
}
"""Claims that one universe can show, each with those of its measures that have another reading."""


class Seen(NamedTuple):
    """What is seen of a claim in one universe.

    Attributes:
        cases: its number of cases.
        mean, rule: those that the means show, and those that the rule supports.
        by_mean, by_rule: whether the claim holds, read by means and by its rule.
        effect, low, high: how far the means lie on the claim's side (see `effects`), with a 95 % interval.
    """

    cases: int
    mean: int
    rule: int
    by_mean: bool
    by_rule: bool
    effect: float
    low: float
    high: float


def found(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one universe's runs with `LOST` in place of what is no number, or more than 32 bits hold."""
    table = require_table("runs", runs, keys=("mask", "size", "seed"))
    lost = {name: worst for name, worst in LOST.items() if name in table}
    return table.assign(
        **{name: table[name].astype(float).fillna(worst).clip(upper=LARGEST) for name, worst in lost.items()}
    )


def read_as(runs: pd.DataFrame, reading: str) -> Study:
    """Return one universe's runs as a study, in one of `READ_AS`; what is lost has to be filled by `found`."""
    return Study.of(runs.assign(**{name: runs[other] for name, other in READ_AS[reading].items()}))


def readings(key: str) -> list[str]:
    """Return the readings that a claim has: the nominal one, and those of the measures that it asks for."""
    return [name for name, other in READ_AS.items() if not other or set(other) & set(ASKS[key])]


def see(key: str, study: Study) -> Seen:
    """Return what is seen of a claim in one universe.

    C5 and C9 have a margin that is a range; as everywhere, they hold by the rule if they do at both its ends, and so
    they do by the means.

    Args:
        key: a name in `ASKS`.
        study: what `read_as` returned.
    """
    verdict = CLAIMS[key].rule(study)
    resampled = effects(key, verdict, of_means(study, RESAMPLES))
    return Seen(
        cases=len(verdict.cases),
        mean=int(verdict.by_mean_supported.sum()),
        rule=int(verdict.supported.sum()),
        by_mean=verdict.by_mean == HOLDS,
        by_rule=verdict.verdict == HOLDS,
        effect=float(effects(key, verdict, of_means(study))[0]),
        low=float(np.quantile(resampled, 0.025)),
        high=float(np.quantile(resampled, 0.975)),
    )


RESAMPLES = 400
"""Bootstrap resamples of an effect's interval, seeds drawn with all their masks and sizes; their stream has seed 0."""


def of_means(study: Study, resamples: int = 0) -> Study:
    """Return a study whose values are the means over a study's seeds: one of all seeds, or one a resample of them."""
    seeds = np.arange(study.seeds)[None]
    if resamples:
        seeds = np.random.default_rng(0).integers(study.seeds, size=(resamples, study.seeds))
    return Study(
        {metric: {key: array[seeds].mean(-1) for key, array in groups.items()} for metric, groups in study.raw.items()}
    )


def effects(key: str, verdict: Verdict, means: Study) -> np.ndarray:
    """Return how far means lie on a claim's side: above 0 where they do, whatever the margin.

    The logarithm of a factor or, of root mean squared errors and of shares, a difference. Of a case its weakest
    statement counts, of a claim the median of its cases; of C4, which asks for one size of either kind, the smaller of
    the best of each.

    Args:
        key: a name in `ASKS`.
        verdict: of the claim.
        means: what `of_means` returned.

    Returns:
        One a study of means, shape (resamples,).
    """
    weakest = []
    for case in verdict.cases:
        gaps = [(s.kind, means.values(s.metric, s.first) - means.values(s.metric, s.second)) for s in case.statements]
        weakest.append(np.min([-abs(gap) if kind == "near" else -gap for kind, gap in gaps], axis=0))
    if key == "C4":
        return np.min([np.max(half, axis=0) for half in np.split(np.array(weakest), 2)], axis=0)
    return np.median(weakest, axis=0)


class Observation(NamedTuple):
    """Something that the paper reports, and how it is seen in one universe: the share of it that is."""

    says: str
    share: Callable[[Study, pd.DataFrame], float]


def _by_means(key: str, begins: str = "", margin: Margin | None = None) -> Callable[[Study, pd.DataFrame], float]:
    """The share of a claim's cases, of those whose names begin so, that the means show."""

    def share(study: Study, runs: pd.DataFrame) -> float:
        verdict = CLAIMS[key].rule(study, CLAIMS[key].margin if margin is None else margin)
        chosen = [case.name.startswith(begins) for case in verdict.cases]
        return float(verdict.by_mean_supported[chosen].mean())

    return share


def _mixed(study: Study, runs: pd.DataFrame) -> float:
    better, worse = np.split(CLAIMS["C4"].rule(study).by_mean_supported, 2)
    return float(np.mean([better.any(), worse.any()]))


def _falls(study: Study, runs: pd.DataFrame) -> float:
    verdict = CLAIMS["C7"].rule(study)
    falls = [" to " in case.name for case in verdict.cases]
    return float(verdict.by_mean_supported[falls].mean())


def _halved(study: Study, runs: pd.DataFrame) -> float:
    verdict = CLAIMS["C7"].rule(study)
    return float(verdict.by_mean_supported[["under half" in case.name for case in verdict.cases]].mean())


def _all_out(study: Study, runs: pd.DataFrame) -> float:
    return float(_drawn(runs, "100") == 1)


def _some_in(study: Study, runs: pd.DataFrame) -> float:
    return float(np.mean([_drawn(runs, mask) < 1 for mask in ("000", "010")]))


def _drawn(runs: pd.DataFrame, mask: str) -> float:
    """The expelled fraction of the run that figure 3 would draw: that of the median error, at the largest size."""
    return float(median_run(runs, mask, runs["size"].max())[X])


OBSERVATIONS: dict[str, Observation] = {
    "C1": Observation("coverage alone has the lowest mean E, at every size", _by_means("C1")),
    "C2, Cov": Observation(
        "coverage raises the mean specialization ratio over Std's, at every size", _by_means("C2", "010")
    ),
    "C2, Cov+Sep": Observation("so does coverage with separation", _by_means("C2", "011")),
    "C3": Observation("the overlap-active masks are the higher band of mean E, at every size", _by_means("C3")),
    "C4": Observation("separation alone has a lower mean E than Std at some size, a higher one at another", _mixed),
    "C5": Observation("overlap-active masks fit as well, within 0.05, in every case", _by_means("C5", margin=FIT[1])),
    "C6": Observation("overlap raises the mean expelled fraction, at every size", _by_means("C6", "N = ")),
    "C6, all of 100": Observation(
        "at the largest size the run of mask 100 with the median E has all outside", _all_out
    ),
    "C6, some of 000, 010": Observation("those of masks 000 and 010 have some inside", _some_in),
    "C7": Observation("overlap-active masks specialise less, alone and beside Std, from each size to the next", _falls),
    "C7, half": Observation("at the largest size their specialization ratio is under half of Std's", _halved),
    "C9": Observation(
        "each mask keeps its place, within a factor of 2, at every size", _by_means("C9", margin=STABLE[1])
    ),
    "C10": Observation(
        "overlap without an attractor raises the position error by 1.5, in every case", _by_means("C10")
    ),
}
"""What the paper reports and one universe can show, each with the same weight: reproduced where its share is 1."""


def observe(runs: pd.DataFrame) -> dict[str, float]:
    """Return of each of `OBSERVATIONS` the share of it that is seen in one universe.

    Args:
        runs: all masks, any sizes; what is lost has to be filled by `found`.
    """
    study = read_as(runs, AS_NOMINAL)
    return {name: observation.share(study, runs) for name, observation in OBSERVATIONS.items()}


FITS = 0.1
"""A mask fits where the median of its root mean squared errors is at most this, at every size, on targets in [0, 1]."""


def worst_fit(runs: pd.DataFrame) -> float:
    """Return the largest of the median root mean squared errors of one universe's masks and sizes."""
    return float(np.sqrt(runs.groupby(["mask", "size"])["fit_mse"].median().max()))


def judge_universes(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what is seen in each universe.

    Args:
        runs: of several universes, as `companion.sweeps.universes.run_universes` returns them.

    Returns:
        A row a universe, claim and reading: `Seen`. And a row a universe: worst_fit; lost (runs that are no numbers);
        of each observation its share.
    """
    claimed, observed = [], []
    for number, group in runs.groupby("universe", sort=False):
        own = found(group)
        studies = {reading: read_as(own, reading) for reading in READ_AS}
        claimed += [
            {"universe": number, "claim": key, "reading": reading, **see(key, studies[reading])._asdict()}
            for key in ASKS
            for reading in readings(key)
        ]
        lost = int(group["reconstruction_error"].isna().sum())
        observed.append({"universe": number, "worst_fit": worst_fit(own), "lost": lost, **observe(own)})
    return pd.DataFrame(claimed), pd.DataFrame(observed)
