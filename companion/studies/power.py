"""What a study of few seeds can show: verdicts, orders and error bars of many studies drawn from one of many seeds.

`python -m companion.studies.power`, from the book's folder, makes `data/power.parquet`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binom, sem
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

from companion.core.checks import require_integer
from companion.core.settings import MASK_LABELS, MASKS
from companion.judging import paired
from companion.judging.claims import ACTIVE, CLAIMS, LEAST
from companion.judging.ledger import SEEN, stored
from companion.judging.verdicts import (
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    LEVEL,
    UNDECIDED,
    VERDICTS,
    Group,
    Margin,
    Study,
    Verdict,
    of_cases,
    p_values,
)
from companion.show import words
from companion.sweeps.runs import write_runs
from companion.sweeps.workers import as_they_finish, open_executor
from companion.version import library_versions

PAPER = 10
"""Seeds of the paper's study."""
COUNTS = (5, PAPER, 20, 50, 100)
"""Seeds of the drawn studies, each drawn without replacement where the full study has more; and, for another question,
as many as the full study has, drawn with replacement (`repeats`)."""
DRAWS, FEWER, NULLS = 1000, 200, 400
"""Drawn studies of ten seeds, of any other number, and studies without any difference."""
NULL_CLAIMS = ("C1", "C2", "C3")
"""Claims that are also judged on studies without any difference: nothing is lower by `LEAST`, so each is false."""
OF_LEAST = tuple(key for key, claim in CLAIMS.items() if claim.margin == LEAST)
"""Claims with the least effect `LEAST`, which are also judged without it."""
WITHOUT = (PAPER, 50, 100)
"""Seeds of the drawn studies in which they are."""
ENOUGH, SELDOM = 0.9, 0.05
"""Shares of studies with a verdict from which on their seeds are enough for it, and below which it seldom comes out."""
SURE = 0.95
"""Share of studies with the same order from which on an order of two means is sure."""


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


def drawn_verdicts(study: Study, claim: str, index: np.ndarray, margin: Margin | None = None) -> pd.DataFrame:
    """Return a claim's verdict in each of many smaller studies.

    Book: chapter "What ten seeds can show", section "Ten of two hundred".

    Args:
        study: the full study.
        claim: its key in `companion.judging.claims.CLAIMS`.
        index: of `draw_seeds`, shape (draws, seeds).
        margin: in place of the claim's own.

    Returns:
        One row a drawn study: "by rule" and "by mean", each one of `companion.judging.verdicts.VERDICTS`, and
        "any supported" and "any contradicted", whether any case is.

    Raises:
        ValueError: if the study lacks what the claim is about.
    """
    return _judged(claim, (study.take(drawn) for drawn in index), margin)


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


def null_verdicts(study: Study, claim: str, draws: int, margin: Margin | None = None) -> pd.DataFrame:
    """Return a claim's verdict in each of many studies in which the masks differ by nothing.

    Book: chapter "What ten seeds can show", section "Error rates at 200 seeds".

    Args:
        study: the full study, of which each null study keeps all seeds.
        claim: its key in `companion.judging.claims.CLAIMS`.
        draws: null studies, at least 1; the same for every claim and margin.
        margin: in place of the claim's own.

    Returns:
        One row a null study, with the columns of `drawn_verdicts`.

    Raises:
        ValueError: if an argument is out of range, or the study lacks what the claim is about.
    """
    draws, rng = require_integer("draws", draws, least=1), np.random.default_rng(0)
    return _judged(claim, (permute_masks(study, rng) for _ in range(draws)), margin)


def _judged(claim: str, studies: Iterable[Study], margin: Margin | None = None) -> pd.DataFrame:
    own = CLAIMS[claim].margin if margin is None else margin
    verdicts = [CLAIMS[claim].rule(study, own) for study in studies]
    return pd.DataFrame(
        {
            "by rule": [verdict.verdict for verdict in verdicts],
            "by mean": [verdict.by_mean for verdict in verdicts],
            "any supported": [bool(verdict.supported.any()) for verdict in verdicts],
            "any contradicted": [bool(verdict.contradicted.any()) for verdict in verdicts],
        }
    )


def pair_orders(study: Study, size: int, index: np.ndarray) -> pd.DataFrame:
    """Return how often smaller studies put two masks' E in the order of the full study's medians.

    Error bars are apart if the two means differ by more than the sum of their standard errors. The test is the
    ledger's sign test, on E seed by seed and without a least effect, at 2.5 % in either direction.
    Book: chapter "What ten seeds can show", section "Orders of two masks".

    Args:
        study: the full study.
        size: N.
        index: of `draw_seeds`, shape (draws, seeds) with at least two seeds.

    Returns:
        One row a pair of masks: "low" and "high" (by the full study's medians); "means too", whether its means stand
        in that order; "seeds too", whether "low" is lower in most of its seeds; "told apart", whether its test finds
        an order, corrected over the size's pairs; and shares of the drawn studies: "same" (means in that order),
        "bars apart", "bars wrong" (apart in the other order), "test apart" and "test wrong".

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
            "seeds too": (low < high).mean(-1) > 0.5,
            "told apart": paired.holm(full) <= LEVEL,
            "same": (difference > 0).mean(-1),
            "bars apart": apart.mean(-1),
            "bars wrong": (apart & (difference < 0)).mean(-1),
            "test apart": (right | wrong).mean(-1),
            "test wrong": wrong.mean(-1),
        }
    )


class Task(NamedTuple):
    """A claim to be judged in many studies of `seeds` seeds: drawn from a full one, or without difference (`null`).

    Its rule has its least effect, or takes any effect for one (`least`).
    """

    claim: str
    seeds: int
    studies: int
    null: bool = False
    least: bool = True


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
    nothing = [Task(key, studies["sweep"].seeds, NULLS, True, least) for least in (True, False) for key in NULL_CLAIMS]
    return tasks + nothing + [Task(key, n, FEWER, least=False) for key in OF_LEAST for n in WITHOUT]


def judge_task(given: tuple[Task, Study]) -> pd.DataFrame:
    """Return a task's verdicts, a row a study; as many seeds as the full study has are drawn with replacement.

    Book: chapter "What ten seeds can show", sections "Ten of two hundred" and "Error rates at 200 seeds".

    Args:
        given: the task and the full study.

    Returns:
        Columns claim, seeds, null, least, study (its number), and those of `drawn_verdicts`.
    """
    task, study = given
    margin = None if task.least else 1.0
    if task.null:
        verdicts = null_verdicts(study, task.claim, task.studies, margin)
    else:
        index = draw_seeds(study, task.seeds, task.studies, replace=task.seeds == study.seeds)
        verdicts = drawn_verdicts(study, task.claim, index, margin)
    same = {"claim": task.claim, "seeds": task.seeds, "null": task.null, "least": task.least}
    return pd.concat([pd.DataFrame({**same, "study": np.arange(task.studies)}), verdicts], axis=1)


def studies_of(runs: pd.DataFrame, heat: pd.DataFrame) -> dict[str, Study]:
    """Return the full studies by the names that `companion.judging.claims.Claim.data` has: "sweep" and "temperature".

    Args:
        runs: the powered sweep, one row a run.
        heat: the sweep of the temperature.
    """
    return {"sweep": Study.of(runs), "temperature": Study.of(heat, by=("mask", "size", "temperature"))}


@cache
def stored_studies(data: Path) -> dict[str, Study]:
    """Return the full studies of the stored runs that had been seen when the rules were written."""
    return studies_of(*stored(data.absolute().parent, SEEN))


def write_power(root: Path = Path(), workers: int = 2) -> None:
    """Judge every claim in all drawn studies and write `data/power.parquet`.

    Args:
        root: the book's folder.
        workers: processes.
    """
    studies = stored_studies(root / "data")
    tasks = tasks_of(studies)
    jobs = [(task, studies["sweep" if task.null else CLAIMS[task.claim].data]) for task in tasks]
    with open_executor(workers) as executor:
        found = {job[0]: table for job, table in as_they_finish(judge_task, jobs, executor)}
    table = pd.concat([found[task] for task in tasks], ignore_index=True)
    table.attrs["versions"] = library_versions()
    write_runs(table, root / "data/power.parquet")


class Judged(NamedTuple):
    """Every claim's verdict by all seeds, and those of the studies drawn from them.

    Attributes:
        full: the verdicts of the full studies, by claim.
        drawn: what `write_power` stores: one row a claim and drawn study.
    """

    full: dict[str, Verdict]
    drawn: pd.DataFrame

    def few(self, claim: str, seeds: int = PAPER) -> pd.DataFrame:
        """Return a claim's verdicts in drawn studies of so many seeds, with the columns of `drawn_verdicts`."""
        return self._of(claim, seeds)

    def without_least(self, claim: str, seeds: int) -> pd.DataFrame:
        """Return a claim's verdicts in the same studies, the first of them, judged without its least effect."""
        return self._of(claim, seeds, least=False)

    def of_nothing(self, claim: str, least: bool = True) -> pd.DataFrame:
        """Return a claim's verdicts in studies without any difference, with its least effect or without it."""
        return self._of(claim, self.full[claim].study.seeds, null=True, least=least)

    def _of(self, claim: str, seeds: int, null: bool = False, least: bool = True) -> pd.DataFrame:
        drawn = self.drawn[(self.drawn["null"] == null) & (self.drawn["least"] == least)]
        return drawn[(drawn["claim"] == claim) & (drawn["seeds"] == seeds)]


def judged(studies: Mapping[str, Study], drawn: pd.DataFrame) -> Judged:
    """Return the full studies' verdicts beside those of drawn studies.

    Args:
        studies: of `studies_of`.
        drawn: what `write_power` stored.
    """
    return Judged({key: claim.rule(studies[claim.data]) for key, claim in CLAIMS.items()}, drawn)


def outcomes(found: Judged) -> pd.DataFrame:
    """Return what studies of ten seeds say of every claim, beside what all seeds say.

    Book: chapter "What ten seeds can show", section "Ten of two hundred".

    Args:
        found: of `judged`.

    Returns:
        One row a claim (the index): the verdict of all seeds by rule; the shares of ten-seed studies that come to it,
        to *undecided*, and to another; the verdict of all seeds by mean; the shares that come by mean to it, and to
        the verdict of all seeds by rule.
    """
    rows = []
    for key, full in found.full.items():
        few = found.few(key)
        rule, mean = few["by rule"], few["by mean"]
        rows.append(
            {
                "claim": key,
                "all seeds, by rule": full.verdict,
                "by rule: the same": (rule == full.verdict).mean(),
                "undecided": (rule == UNDECIDED).mean(),
                "another": (~rule.isin([UNDECIDED, full.verdict])).mean(),
                "all seeds, by mean": full.by_mean,
                "by mean: the same": (mean == full.by_mean).mean(),
                "by mean: the rule's of all": (mean == full.verdict).mean(),
            }
        )
    return pd.DataFrame(rows).set_index("claim")


def verdict_bars(found: Judged) -> dict[str, pd.DataFrame]:
    """Return the shares of verdicts in ten-seed studies, by rule and by mean, for `companion.show.charts.stacked`.

    Book: chapter "What ten seeds can show", section "Ten of two hundred".

    Args:
        found: of `judged`.

    Returns:
        "by rule" and "by mean", each with one row a claim and verdict: name, part (the verdict), share, beside (the
        verdict of all seeds).
    """
    shares = {key: verdict_shares(found.few(key)) for key in found.full}
    return {
        way: pd.DataFrame(
            [
                {"name": key, "part": verdict, "share": share, "beside": getattr(full, attribute)}
                for key, full in found.full.items()
                for verdict, share in shares[key][way].items()
            ]
        )
        for way, attribute in (("by rule", "verdict"), ("by mean", "by_mean"))
    }


def agreement(found: Judged) -> pd.DataFrame:
    """Return how many of the drawn studies come, by rule, to the verdict of all seeds.

    All of them are drawn without replacement; those with as many seeds as there are, which are not, are in `repeats`.
    Book: chapter "What ten seeds can show", section "How many seeds a claim needs".

    Args:
        found: of `judged`.

    Returns:
        One row a claim and number of seeds: curve (the claim), x (the seeds of a study), value (the share).
    """
    all_seeds = found.drawn["claim"].map({key: full.study.seeds for key, full in found.full.items()})
    drawn = found.drawn[~found.drawn["null"] & found.drawn["least"] & (found.drawn["seeds"] < all_seeds)]
    same = drawn["by rule"] == drawn["claim"].map({key: full.verdict for key, full in found.full.items()})
    shares = same.groupby([drawn["claim"], drawn["seeds"]], sort=False).mean()
    return shares.rename_axis(["curve", "x"]).reset_index(name="value")


def agreement_on(found: Judged, *verdicts: str) -> pd.DataFrame:
    """Return the rows of `agreement` of those claims whose verdict by all seeds is one of `verdicts`.

    C10s, our question beside C10, is shown where C10 is.
    """
    shares = agreement(found)
    beside = {key: found.full[key.removesuffix("s")].verdict for key in found.full}
    return shares[shares["curve"].map(beside).isin(verdicts)]


def seeds_needed(found: Judged) -> pd.DataFrame:
    """Return the shares of `agreement` as a table, and from which number of seeds on they are at least `ENOUGH`.

    Book: chapter "What ten seeds can show", section "How many seeds a claim needs".

    Args:
        found: of `judged`.

    Returns:
        One row a claim (the index): the verdict of all seeds, the shares at each number of seeds (NaN: not drawn, as
        there are too few), and enough, the least number of those drawn from which on no share is lower (NaN: there is
        none).
    """
    shares = agreement(found).pivot(index="curve", columns="x", values="value").loc[list(found.full)]
    table = shares.rename(columns=lambda seeds: f"n = {seeds}").rename_axis("claim")
    table.insert(0, "all seeds", [full.verdict for full in found.full.values()])
    table["enough"] = [_enough(row.dropna()) for _, row in shares.iterrows()]
    return table


def spread_without(found: Judged, seeds: int) -> float:
    """Return how much less a mean of so many seeds spreads if they are drawn without replacement: a factor below 1.

    The correction for a finite population, of whom there are as many as the full study has seeds.
    Book: chapter "What ten seeds can show", section "How many seeds a claim needs".

    Args:
        found: of `judged`.
        seeds: of a drawn study.
    """
    everyone = found.full["C1"].study.seeds
    return ((everyone - seeds) / (everyone - 1)) ** 0.5


def _enough(shares: pd.Series) -> float:
    """The least index from which on all shares are at least `ENOUGH`; NaN if there is none."""
    from_here_on = (shares >= ENOUGH)[::-1].cummin()
    return min(from_here_on.index[from_here_on], default=np.nan)


def least_effects(found: Judged) -> pd.DataFrame:
    """Return how often studies decide a claim, that is are not *undecided*, with its least effect and without it.

    Book: chapter "What ten seeds can show", section "How many seeds a claim needs".

    Args:
        found: of `judged`.

    Returns:
        One row a claim of `OF_LEAST` (the index): the verdict of all seeds with its least effect and without; the
        shares of the same `FEWER` drawn studies that decide it, with and without, at each number of seeds of
        `WITHOUT`.
    """
    rows = []
    for key in OF_LEAST:
        full = found.full[key]
        row: dict[str, object] = {
            "claim": key,
            "all seeds": full.verdict,
            "all seeds, without": CLAIMS[key].rule(full.study, 1.0).verdict,
        }
        for n in WITHOUT:
            row[f"n = {n}"] = found.few(key, n)["by rule"].head(FEWER).ne(UNDECIDED).mean()
            row[f"n = {n}, without"] = found.without_least(key, n)["by rule"].ne(UNDECIDED).mean()
        rows.append(row)
    return pd.DataFrame(rows).set_index("claim")


def orders_of_ten(study: Study) -> pd.DataFrame:
    """Return how ten-seed studies order every two masks at every size.

    Book: chapter "What ten seeds can show", section "Orders of two masks".

    Args:
        study: the full study.

    Returns:
        One row a size and pair of masks: the columns of `pair_orders`; size; within, whether both masks have overlap
        or neither has.
    """
    index = draw_seeds(study, PAPER, DRAWS)
    orders = pd.concat([pair_orders(study, size, index).assign(size=size) for size in study.sizes], ignore_index=True)
    return orders.assign(within=orders["low"].isin(ACTIVE) == orders["high"].isin(ACTIVE))


def order_maps(orders: pd.DataFrame, *sizes: int) -> dict[str, pd.DataFrame]:
    """Return the shares of ten-seed studies with the order of all seeds, for `companion.show.charts.grids`.

    Book: chapter "What ten seeds can show", section "Orders of two masks".

    Args:
        orders: of `orders_of_ten`.
        sizes: those that are shown.

    Returns:
        By size, one row a pair: row and column (of two masks that with the more losses, by its label, and the other),
        value (the share).
    """
    place = list(MASKS).index
    maps = {}
    for size in sizes:
        chosen = orders[orders["size"] == size]
        pairs = [sorted(pair, key=place) for pair in zip(chosen["low"], chosen["high"], strict=True)]
        maps[f"N = {size}"] = pd.DataFrame(
            {
                "row": [MASK_LABELS[later] for _, later in pairs],
                "column": [earlier for earlier, _ in pairs],
                "value": chosen["same"].to_numpy(),
            }
        )
    return maps


def sure_orders(orders: pd.DataFrame) -> pd.DataFrame:
    """Return how many orders of two masks by the means of ten seeds are sure, size by size.

    Book: chapter "What ten seeds can show", section "Orders of two masks".

    Args:
        orders: of `orders_of_ten`.

    Returns:
        One row a size (the index, N): pairs, how many are in the same order in `SURE` of the studies, median and least
        share, how many the test on all seeds tells apart, and how many are sure across the bands and within a band.
    """
    sure = (orders["same"] >= SURE).rename("sure")
    by_size = orders.groupby("size")
    across, within = (sure[chosen].groupby(orders["size"]).sum() for chosen in (~orders["within"], orders["within"]))
    return pd.DataFrame(
        {
            "pairs": by_size.size(),
            "the same in ≥ 95 % of studies": sure.groupby(orders["size"]).sum(),
            "median share": by_size["same"].median(),
            "least share": by_size["same"].min(),
            "told apart by all seeds": by_size["told apart"].sum(),
            "of 16 pairs across the bands, the same in ≥ 95 %": across,
            "of 12 pairs within a band, the same in ≥ 95 %": within,
        }
    ).rename_axis("N")


def bars_worth(orders: pd.DataFrame) -> pd.DataFrame:
    """Return how often error bars, and the paired test, tell two masks apart, and how often in the wrong order.

    Book: chapter "What ten seeds can show", section "What error bars are worth".

    Args:
        orders: of `orders_of_ten`.

    Returns:
        One row a group of pairs (the index): all of them by bands, by whether all seeds tell them apart, and by size;
        pairs, bars apart (share of studies), of these, wrong order (share), test apart, wrong order, of these.
    """
    groups = {
        "across the bands": orders[~orders["within"]],
        "within a band": orders[orders["within"]],
        "told apart by all seeds": orders[orders["told apart"]],
        "not told apart by all seeds": orders[~orders["told apart"]],
        **{f"N = {size}": pairs for size, pairs in orders.groupby("size")},
    }
    rows = [
        {
            "pairs of masks": name,
            "pairs": len(pairs),
            "bars apart": pairs["bars apart"].mean(),
            "of these, wrong order": wrong_order(pairs, "bars"),
            "test apart": pairs["test apart"].mean(),
            "wrong order, of these": wrong_order(pairs, "test"),
        }
        for name, pairs in groups.items()
    ]
    return pd.DataFrame(rows).set_index("pairs of masks")


def wrong_order(pairs: pd.DataFrame, by: str) -> float:
    """Return in what share of the studies that tell two masks apart their order is the wrong one.

    Args:
        pairs: rows of `orders_of_ten`.
        by: "bars" or "test".
    """
    return float(pairs[f"{by} wrong"].sum() / pairs[f"{by} apart"].sum())


def worst_pair(orders: pd.DataFrame) -> pd.Series:
    """Return the row of `orders_of_ten` whose error bars, where they are apart, are most often in the wrong order."""
    wrong = orders["bars wrong"] / orders["bars apart"]
    return orders.iloc[int(wrong.to_numpy().argmax())]


def orders_of_nothing(study: Study) -> pd.DataFrame:
    """Return what `pair_orders` finds at every size in 20 studies without any difference, 50 ten-seed studies of each.

    Book: chapter "What ten seeds can show", section "What error bars are worth".

    Args:
        study: the full study, whose masks are exchanged.
    """
    rng, index = np.random.default_rng(0), draw_seeds(study, PAPER, DRAWS)[:50]
    mixed = [permute_masks(study, rng) for _ in range(20)]
    return pd.concat([pair_orders(one, size, index) for one in mixed for size in study.sizes], ignore_index=True)


def bars_apart_by_theory(seeds: int) -> float:
    """Return how often two means of as many normal values, with equal errors and no difference, have bars apart.

    The means differ by more than 2 SEM; the standard error of their difference is √2 SEM.
    Book: chapter "What ten seeds can show", section "What error bars are worth".

    Args:
        seeds: values in each mean, at least 2.
    """
    return float(2 * student.sf(2**0.5, 2 * (seeds - 1)))


def repeats(found: Judged) -> pd.DataFrame:
    """Return how often as many seeds as there are, drawn with replacement, come to the same verdict.

    Book: chapter "What ten seeds can show", section "Error rates at 200 seeds".

    Args:
        found: of `judged`.

    Returns:
        One row a claim (the index): seeds, verdict, same again (share of resamples) with its Clopper-Pearson interval
        (95 % from, to), else (the other verdicts with their shares), and the open case nearest to the level.
    """
    rows = []
    for key, full in found.full.items():
        verdicts = found.few(key, full.study.seeds)["by rule"]
        same = _share(verdicts == full.verdict)
        others = verdicts[verdicts != full.verdict].value_counts() / len(verdicts)
        rows.append(
            {
                "claim": key,
                "seeds": full.study.seeds,
                "verdict": full.verdict,
                "same again": same.value,
                "95 % from": same.low,
                "to": same.high,
                "else": ", ".join(f"{other} {share:.1%}" for other, share in others.items()) or "–",
                "open case nearest to the level": _nearest(full),
            }
        )
    return pd.DataFrame(rows).set_index("claim")


def _share(found: pd.Series) -> paired.Interval:
    """A share of studies with its Clopper-Pearson interval."""
    ends: Any = proportion_confint(int(found.sum()), len(found), method="beta")
    return paired.Interval(float(found.mean()), float(ends[0]), float(ends[1]))


def _nearest(full: Verdict) -> str:
    """The open case whose p-value, for or against, is the smallest, as text; "–" if no case is open."""
    still = ~(full.supported | full.contradicted)
    if not still.any():
        return "–"
    nearest = int(np.where(still, np.minimum(full.p_for, full.p_against), 2).argmin())
    p, side = min((full.p_for[nearest], "for"), (full.p_against[nearest], "against"))
    return f"{full.cases[nearest].name}, p {side} {p:.2g}"


def false_verdicts(found: Judged) -> pd.DataFrame:
    """Return how often studies without any difference are judged to show one.

    Where nothing differs, nothing is lower by the least effect: *holds*, *holds in part* and a supported case are
    false, *does not hold* is true. Without a least effect that is the edge: every verdict but *undecided*, and every
    case that is supported or contradicted, is false.
    Book: chapter "What ten seeds can show", section "Error rates at 200 seeds".

    Args:
        found: of `judged`.

    Returns:
        One row a claim of `NULL_CLAIMS`, with its least effect and without (the index): false verdicts (by rule) and
        studies with any false case, each as a count, a share and its Clopper-Pearson interval; the shares of *does not
        hold* and *undecided*; and those of three verdicts by mean.
    """
    rows = []
    for least, key in product((True, False), NULL_CLAIMS):
        verdicts = found.of_nothing(key, least)
        rule = verdicts["by rule"]
        row: dict[str, object] = {"claim": key if least else f"{key}, no least effect"}
        for name, false in (
            ("false verdicts", rule.isin([HOLDS, IN_PART]) if least else rule != UNDECIDED),
            ("any false case", verdicts["any supported"] | (verdicts["any contradicted"] & (not least))),
        ):
            share = _share(false)
            row[name] = f"{false.sum()} of {len(false)}"
            row[f"{name}, share"] = share.value
            row[f"{name}, 95 %"] = f"{share.low:.3f}–{share.high:.3f}"
        row |= {verdict: (rule == verdict).mean() for verdict in (DOES_NOT_HOLD, UNDECIDED)}
        by_mean = [(verdicts["by mean"] == verdict).mean() for verdict in (HOLDS, IN_PART, DOES_NOT_HOLD)]
        row["by mean: holds, in part, does not hold"] = " / ".join(f"{share:.0%}" for share in by_mean)
        rows.append(row)
    return pd.DataFrame(rows).set_index("claim")


class Results(NamedTuple):
    """What the chapter shows of the stored runs: `judged`, `orders_of_ten` and `orders_of_nothing`."""

    judged: Judged
    orders: pd.DataFrame
    nothing: pd.DataFrame


@cache
def results(data: Path) -> Results:
    """Return what the chapter shows of the runs stored in `data`."""
    studies = stored_studies(data)
    found = judged(studies, pd.read_parquet(data / "power.parquet"))
    return Results(found, orders_of_ten(studies["sweep"]), orders_of_nothing(studies["sweep"]))


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "What ten seeds can show", by name.

    Args:
        data: the folder of the stored runs.
    """
    found, orders, nothing = results(data)
    return {
        **_numbers_of_ten(found),
        **_numbers_of_needed(found),
        **_numbers_of_orders(orders),
        **_numbers_of_bars(orders, nothing),
        **_numbers_of_rates(found),
    }


def seldom_right(found: Judged) -> list[str]:
    """Return the claims on which fewer than one ten-seed study of twenty comes to the verdict of all seeds."""
    right = outcomes(found)["by rule: the same"]
    return list(right.index[right < SELDOM])


def unsteady(found: Judged) -> pd.DataFrame:
    """Return the rows of `repeats` whose verdict comes again in fewer than `ENOUGH` of the resamples."""
    again = repeats(found)
    return again[again["same again"] < ENOUGH]


def never_contradicted(found: Judged, seeds: int = PAPER) -> list[str]:
    """Return the claims of which so many seeds can contradict no case, even if all of them contradict all statements.

    The least p-value, 2^-seeds, counts times the statements of its case and times the cases.
    Book: chapter "What ten seeds can show", section "Ten of two hundred".

    Args:
        found: of `judged`.
        seeds: at least 1.
    """
    keys = []
    for key, full in found.full.items():
        statements = [statement for case in full.cases for statement in case.statements]
        plainly_false = np.full((len(statements), seeds), 1e3)
        _, against = of_cases(*p_values(plainly_false, statements), full.cases)
        keys += [key] if (against > LEVEL).all() else []
    return keys


def apart_by_signs(seeds: int) -> tuple[int, float]:
    """Return in how many seeds one of two must be lower for the sign test to tell them apart, and how often it is.

    Book: chapter "What ten seeds can show", section "What error bars are worth".

    Args:
        seeds: of a study, at least 6.

    Returns:
        The least number of seeds, and the share of studies without any difference and without ties that have as many
        or more, in either direction.
    """
    least = int(binom.isf(LEVEL, seeds, 0.5)) + 1
    return least, float(2 * binom.sf(least - 1, seeds, 0.5))


def _numbers_of_ten(found: Judged) -> dict[str, str]:
    table, seldom = outcomes(found), seldom_right(found)
    harm, cases = found.full["C4"].table["effect"].head(6), len(found.full["C5"].cases)
    the_rule_s = table["by mean: the rule's of all"]
    by_means = {key: found.few(key)["by mean"].eq(HOLDS).mean() for key in ("C1", "C4")}
    of_any = [found.few("C1", n)["by mean"].eq(HOLDS).mean() for n in (*COUNTS, found.full["C1"].study.seeds)]
    return {
        "right-by-rule": f"{table['by rule: the same'].sum():.1f}",
        "claims": f"{len(table)}",
        "seldom-right": f"{len(seldom)}",
        "seldom-right-claims": ", ".join(seldom),
        "c4-another-verdict": f"{table.loc['C4', 'another']:.0%}",
        "c6-another-verdict": f"{table.loc['C6', 'another']:.0%}",
        "right-by-mean": f"{the_rule_s.sum():.1f}",
        "draws": f"{DRAWS:,}",
        "c5-cases": f"{cases}",
        "never-contradicted-claims": ", ".join(never_contradicted(found)),
        "least-p-of-ten": f"{0.5**PAPER:.2g}",
        "least-p-of-ten-corrected": f"{cases * 0.5**PAPER:.3f}",
        "least-p-of-five": f"{0.5**5:.3f}",
        "c4-mixed-by-mean": f"{by_means['C4']:.0%}",
        "c4-harm": words.span(harm, ".2f"),
        "c4-harm-median": f"{harm.median():.2f}",
        "c1-lowest-by-mean": f"{by_means['C1']:.0%}",
        "c1-lowest-by-rule": f"{found.few('C1')['by rule'].eq(HOLDS).mean():.0%}",
        "c1-lowest-by-mean-of-any-seeds": words.span(pd.Series(of_any), ".0%"),
    }


def _numbers_of_needed(found: Judged) -> dict[str, str]:
    enough, least = seeds_needed(found)["enough"], least_effects(found)
    return {
        **{f"enough-{n}-claims": words.listed(enough.index[enough == n]) for n in COUNTS[1:]},
        "never-enough-claims": ", ".join(enough.index[enough.isna()]),
        "spread-of-ten": f"{spread_without(found, PAPER):.2f}",
        "spread-of-hundred": f"{spread_without(found, COUNTS[-1]):.2f}",
        **{f"{key.lower()}-decided": f"{least.loc[key, 'n = 100']:.1%}" for key in ("C1", "C2")},
        **{f"{key.lower()}-decided-without": f"{least.loc[key, 'n = 100, without']:.1%}" for key in ("C1", "C2")},
        "c6-too-soon-of-twenty": f"{found.few('C6', 20)['by rule'].eq(DOES_NOT_HOLD).mean():.0%}",
        "c4-decided": f"{least.loc['C4', 'n = 10']:.1%}",
        "c4-decided-without": f"{least.loc['C4', 'n = 10, without']:.1%}",
    }


def _numbers_of_orders(orders: pd.DataFrame) -> dict[str, str]:
    sure, within = orders["same"] >= SURE, orders["within"]
    opposite = orders[orders["same"] < 0.5]
    return {
        "orders": f"{len(orders)}",
        "orders-sure": f"{sure.sum()}",
        "orders-told-apart": f"{orders['told apart'].sum()}",
        "orders-told-otherwise": f"{(orders['told apart'] & ~orders['seeds too']).sum()}",
        "orders-across": f"{(~within).sum()}",
        "orders-across-sure": f"{sure[~within].sum()}",
        "orders-within": f"{within.sum()}",
        "orders-within-sure": f"{sure[within].sum()}",
        "orders-opposite": f"{len(opposite)}",
        "orders-opposite-by-mean": f"{(~opposite['means too']).sum()}",
    }


def _numbers_of_bars(orders: pd.DataFrame, nothing: pd.DataFrame) -> dict[str, str]:
    worst, apart = worst_pair(orders), nothing["bars apart"].mean()
    return {
        "bars-wrong": f"{wrong_order(orders, 'bars'):.1%}",
        "bars-wrong-within": f"{bars_worth(orders).loc['within a band', 'of these, wrong order']:.1%}",
        "bars-wrong-worst": f"{worst['bars wrong'] / worst['bars apart']:.0%}",
        "bars-wrong-of-agreed": f"{wrong_order(orders[orders['means too']], 'bars'):.1%}",
        "test-wrong": f"{wrong_order(orders, 'test'):.1%}",
        "bars-wrong-untold": f"{wrong_order(orders[~orders['told apart']], 'bars'):.0%}",
        "nothing-bars-apart": f"{apart:.0%}",
        "nothing-test-apart": f"{nothing['test apart'].mean():.1%}",
        "nothing-test-apart-by-theory": f"{apart_by_signs(PAPER)[1]:.1%}",
        "seeds-apart-by-signs": f"{apart_by_signs(PAPER)[0]}",
        "nothing-bars-apart-by-theory": f"{bars_apart_by_theory(PAPER):.0%}",
        "nothing-false-differences": f"{len(list(combinations(MASKS, 2))) * apart:.0f}",
    }


def _numbers_of_rates(found: Judged) -> dict[str, str]:
    again, below, false = repeats(found)["same again"], unsteady(found), false_verdicts(found)
    least, edge = false[: len(NULL_CLAIMS)], false[len(NULL_CLAIMS) :]
    shares = [f"{key} ({row['same again']:.1%}; else {row['else']})" for key, row in below.iterrows()]
    highest = [_share(found.of_nothing(key)["any supported"]).high for key in NULL_CLAIMS]
    return {
        "again-often": f"{(again >= ENOUGH).sum()}",
        "again-seldom": "; ".join(shares),
        "c10s-again": f"{again['C10s']:.0%}",
        "c1-p-against": f"{found.full['C1'].p_against.min():.3f}",
        "c2-supported": f"{found.full['C2'].supported.sum()}",
        "c2-cases": f"{len(found.full['C2'].cases)}",
        "c3-p-for": f"{found.full['C3'].p_for.max():.3f}",
        "c8-supported": f"{found.full['C8'].supported.sum()}",
        "c8-cases": f"{len(found.full['C8'].cases)}",
        "false-cases": f"{sum(found.of_nothing(key)['any supported'].sum() for key in NULL_CLAIMS)}",
        "false-cases-at-most": f"{max(highest):.1%}",
        "nulls": f"{NULLS}",
        "nothing-true": words.span(least[DOES_NOT_HOLD], ".1%"),
        "edge-false-verdicts": f"{edge['false verdicts, share'].max():.2%}",
        "edge-false-cases": f"{edge['any false case, share'].max():.2%}",
        "nothing-c2-in-part": f"{found.of_nothing('C2')['by mean'].eq(IN_PART).mean():.0%}",
        "share-error-of-fewer": f"{0.5 / FEWER**0.5:.1%}",
        "share-error": f"{0.5 / DRAWS**0.5:.1%}",
    }


if __name__ == "__main__":
    write_power()
