"""Drawn studies: known limits, null studies, orders, and the tables of "What ten seeds can show"."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy.stats import binom

from companion.core.settings import MASKS
from companion.judging.claims import CLAIMS
from companion.judging.paired import p_less
from companion.judging.verdicts import (
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    LEVEL,
    ON_MARGIN,
    UNDECIDED,
    VERDICTS,
    Case,
    Statement,
    Study,
)
from companion.studies import power


@pytest.fixture(scope="module")
def studies() -> dict[str, Study]:
    return power.stored_studies(ROOT / "data")


@pytest.mark.long
@pytest.mark.parametrize("claim", CLAIMS)
def test_all_seeds_without_replacement_are_the_full_study(studies, claim):
    study = studies[CLAIMS[claim].data]
    full = CLAIMS[claim].rule(study)
    drawn = power.drawn_verdicts(study, claim, power.draw_seeds(study, study.seeds, 2))
    shares = power.verdict_shares(drawn)
    assert shares.loc[full.verdict, "by rule"] == shares.loc[full.by_mean, "by mean"] == 1
    assert drawn["any supported"].eq(full.supported.any()).all()
    assert drawn["any contradicted"].eq(full.contradicted.any()).all()


@pytest.mark.parametrize("claim", ["C1", "C4"])
def test_shares_add_up_to_one(studies, claim):
    shares = power.verdict_shares(
        power.drawn_verdicts(studies["sweep"], claim, power.draw_seeds(studies["sweep"], 10, 9))
    )
    assert list(shares.index) == list(VERDICTS)
    np.testing.assert_allclose(shares.sum(), 1)
    assert (shares >= 0).all(axis=None)


def test_five_seeds_can_decide_nothing(studies):
    index = power.draw_seeds(studies["sweep"], 5, 5)
    assert all(
        power.drawn_verdicts(studies["sweep"], claim, index)["by rule"].eq(UNDECIDED).all() for claim in ("C1", "C6")
    )


def test_draws_repeat_and_seeds_do_not(studies):
    study = studies["sweep"]
    index = power.draw_seeds(study, 10, 20)
    np.testing.assert_array_equal(index, power.draw_seeds(study, 10, 20))
    assert index.shape == (20, 10) and all(len(set(row)) == 10 for row in index)
    assert not np.array_equal(index, power.draw_seeds(study, 10, 20, stream=1))
    repeated = power.draw_seeds(study, study.seeds, 20, replace=True)
    assert all(len(set(row)) < study.seeds for row in repeated)


def test_null_studies_keep_every_seed_s_runs_and_lose_their_masks(studies):
    study = studies["sweep"]
    mixed = power.permute_masks(study, np.random.default_rng(0))
    assert list(mixed.raw) == list(study.raw) and mixed.masks == study.masks and mixed.sizes == study.sizes
    for size in study.sizes:
        before, after = (
            np.array([[given.raw[metric][mask, size] for metric in study.raw] for mask in MASKS])
            for given in (study, mixed)
        )  # masks, metrics, seeds
        assert not np.array_equal(before, after)
        for seed in range(study.seeds):
            runs = [sorted(map(tuple, given[..., seed])) for given in (before, after)]
            assert runs[0] == runs[1]  # whole runs: all metrics of a run moved together
    means = [np.log(mixed.raw["reconstruction_error"][mask, 100]).mean() for mask in MASKS]
    assert np.ptp(means) < 0.25 * abs(np.log(study.raw["reconstruction_error"]["100", 100]).mean()) + 0.15


def test_null_verdicts_are_seldom_anything_but_undecided(studies):
    found = power.null_verdicts(studies["sweep"], "C2", 40, margin=1.0)  # any effect counts: neither side is true
    assert found["by rule"].ne(UNDECIDED).sum() <= 7  # the 99.9 % point of 40 studies at 5 %
    assert found["by mean"].ne(UNDECIDED).all()
    least = power.null_verdicts(studies["sweep"], "C2", 3)
    assert least["by rule"].isin([UNDECIDED, DOES_NOT_HOLD]).all() and not least["any supported"].any()
    pd.testing.assert_frame_equal(found.head(3), power.null_verdicts(studies["sweep"], "C2", 3, 1.0))


def test_pair_orders_of_all_seeds_are_the_orders_of_the_means(studies):
    study = studies["sweep"]
    orders = power.pair_orders(study, 5, power.draw_seeds(study, study.seeds, 1))
    assert len(orders) == 28
    assert (orders["same"] == orders["means too"]).all()
    errors = {mask: study.raw["reconstruction_error"][mask, 5] for mask in MASKS}
    for row in orders.itertuples():
        assert np.median(errors[row.low]) <= np.median(errors[row.high])
    wrong = orders[["bars wrong", "test wrong"]].to_numpy() <= orders[["bars apart", "test apart"]].to_numpy()
    assert wrong.all()
    # Two copies of one sample: no order, no bars apart.
    raw = {metric: dict(groups) for metric, groups in study.raw.items()}
    raw["reconstruction_error"]["001", 5] = raw["reconstruction_error"]["000", 5]
    twins = (
        power.pair_orders(Study(raw), 5, power.draw_seeds(study, 10, 50)).set_index(["low", "high"]).loc[("000", "001")]
    )
    assert twins["same"] == twins["bars apart"] == twins["test apart"] == 0 and not twins["told apart"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda study: power.draw_seeds(study, 201, 1), "seeds: 201"),
        (lambda study: power.draw_seeds(study, 0, 1), "seeds: 0"),
        (lambda study: power.draw_seeds(study, 5, 0), "draws: 0"),
        (lambda study: power.null_verdicts(study, "C1", 0), "draws: 0"),
        (lambda study: power.pair_orders(study, 7, np.array([[0, 1]])), "size: 7"),
    ],
    ids=["too many seeds", "no seed", "no draw", "no null draw", "size"],
)
def test_wrong_arguments_are_refused(studies, call, message):
    with pytest.raises(ValueError, match=message):
        call(studies["sweep"])


VERDICTS_OF = ["by rule", "by mean", "any supported", "any contradicted"]


@pytest.fixture(scope="module")
def judged() -> pd.DataFrame:
    """The stored verdicts in drawn studies."""
    return pd.read_parquet(ROOT / "data/power.parquet")


def test_every_task_is_stored_once_and_in_order(studies, judged):
    tasks = power.tasks_of(studies)
    counts = judged.groupby(["claim", "seeds", "null", "least"], sort=False).size()
    assert list(counts.items()) == [((task.claim, task.seeds, task.null, task.least), task.studies) for task in tasks]
    assert judged["study"].tolist() == [number for task in tasks for number in range(task.studies)]


def check_stored(judged: pd.DataFrame, studies: dict[str, Study], task: power.Task) -> None:
    """A task's first studies are judged as they are stored."""
    study = studies["sweep" if task.null else CLAIMS[task.claim].data]
    again = power.judge_task((task, study))
    same = (judged["claim"] == task.claim) & (judged["seeds"] == task.seeds)
    same &= (judged["null"] == task.null) & (judged["least"] == task.least)
    stored = judged[same].head(task.studies).reset_index(drop=True)
    pd.testing.assert_frame_equal(stored[VERDICTS_OF], again[VERDICTS_OF])


@pytest.mark.parametrize("key", CLAIMS)
def test_the_first_studies_are_judged_as_they_are_stored(studies, judged, key):
    all_seeds = studies[CLAIMS[key].data].seeds
    for seeds, count in ((5, 3), (10, 3), (all_seeds, 1)):
        check_stored(judged, studies, power.Task(key, seeds, count))


def test_the_first_study_without_difference_is_judged_as_it_is_stored(studies, judged):
    for key in power.NULL_CLAIMS:
        for least in (True, False):
            check_stored(judged, studies, power.Task(key, 200, 1, True, least))


def test_the_first_studies_without_a_least_effect_are_judged_as_they_are_stored(studies, judged):
    assert power.OF_LEAST == ("C1", "C2", "C3", "C4", "C7")
    for key in power.OF_LEAST:
        for seeds in power.WITHOUT:
            check_stored(judged, studies, power.Task(key, seeds, 2, least=False))


@pytest.mark.parametrize("seeds", [5, 10, 20])
def test_no_case_is_contradicted_where_the_least_p_value_is_too_large(seeds):
    """One claim of two cases, of one and of three statements, and one of many: against the formula."""

    def claim(*statements: int) -> SimpleNamespace:
        return SimpleNamespace(cases=[Case(str(n), [Statement("rmse", 0.0, 1.0)] * n) for n in statements])

    full = {"short": claim(1, 3), "long": claim(*[8] * 6), "longer": claim(*[20] * 2000)}
    least = {"short": 2, "long": 48, "longer": 40000}  # statements of the shortest case times cases
    found = power.Judged(full, pd.DataFrame())
    assert power.never_contradicted(found, seeds) == [key for key, times in least.items() if times / 2**seeds > 0.025]


@pytest.mark.slow
def test_all_studies_are_judged_as_they_are_stored(studies, judged):
    for task in power.tasks_of(studies):
        check_stored(judged, studies, task)


def judged_as(verdict: str, seeds: int, stored: list[tuple[int, bool, str, str]]) -> power.Judged:
    """Claim C1 with a verdict of so many seeds, and stored studies: seeds, null, by rule, by mean."""
    drawn = pd.DataFrame(stored, columns=["seeds", "null", "by rule", "by mean"]).assign(claim="C1", least=True)
    study = SimpleNamespace(seeds=seeds)
    return power.Judged({"C1": SimpleNamespace(verdict=verdict, by_mean=IN_PART, study=study)}, drawn)


def test_outcomes_are_shares_of_ten_seed_studies():
    stored = [
        (10, False, HOLDS, HOLDS),
        (10, False, UNDECIDED, IN_PART),
        (10, False, UNDECIDED, IN_PART),
        (10, False, DOES_NOT_HOLD, HOLDS),
        (20, False, HOLDS, HOLDS),
        (10, True, HOLDS, HOLDS),
    ]
    row = power.outcomes(judged_as(HOLDS, 200, stored)).loc["C1"]
    assert row[["by rule: the same", "undecided", "another"]].tolist() == [0.25, 0.5, 0.25]
    assert row[["by mean: the same", "by mean: the rule's of all"]].tolist() == [0.5, 0.5]
    bars = power.verdict_bars(judged_as(HOLDS, 200, stored))
    assert bars["by rule"].set_index("part")["share"].to_dict() == {
        HOLDS: 0.25,
        IN_PART: 0,
        DOES_NOT_HOLD: 0.25,
        UNDECIDED: 0.5,
        ON_MARGIN: 0,
    }
    assert set(bars["by rule"]["beside"]) == {HOLDS} and set(bars["by mean"]["beside"]) == {IN_PART}


@pytest.mark.parametrize(
    ("right", "enough"),
    [([0, 5, 9, 10], 20), ([9, 9, 9, 9], 5), ([10, 8, 10, 10], 20), ([10, 10, 10, 8], None), ([0, 0, 0, 9], 50)],
)
def test_seeds_are_enough_from_where_no_share_is_lower(right, enough):
    stored = [
        (seeds, False, HOLDS if study < number else UNDECIDED, HOLDS)
        for seeds, number in zip((5, 10, 20, 50), right, strict=True)
        for study in range(10)
    ]
    stored += [(60, False, UNDECIDED, HOLDS)] * 10  # as many seeds as there are, so drawn with replacement: no point
    found = judged_as(HOLDS, 60, stored)
    row = power.seeds_needed(found).loc["C1"]
    assert row[[f"n = {seeds}" for seeds in (5, 10, 20, 50)]].tolist() == [number / 10 for number in right]
    assert row["enough"] == enough if enough else np.isnan(row["enough"])
    assert power.agreement_on(found, HOLDS, IN_PART)["value"].tolist() == [number / 10 for number in right]
    assert power.agreement_on(found, UNDECIDED).empty


ORDERS = pd.DataFrame(
    {
        "low": ["111", "000"],
        "high": ["100", "100"],
        "same": [0.4, 0.99],
        "told apart": [False, True],
        "bars apart": [0.2, 0.8],
        "bars wrong": [0.1, 0.0],
        "test apart": [0.25, 0.75],
        "test wrong": [0.05, 0.0],
        "size": [5, 5],
        "within": [True, False],
    }
)


def test_error_bars_are_worth_what_they_tell_apart_and_how_rightly():
    table = power.bars_worth(ORDERS)
    assert table.loc["N = 5"].tolist() == pytest.approx([2, 0.5, 0.1, 0.5, 0.05])
    assert table.loc["within a band", "of these, wrong order"] == 0.5 and table.loc["across the bands", "pairs"] == 1
    assert power.worst_pair(ORDERS)["low"] == "111"


def test_orders_are_counted_and_drawn_by_bands():
    assert power.sure_orders(ORDERS).loc[5].tolist() == pytest.approx([2, 1, 0.695, 0.4, 1, 1, 0])
    (cells,) = power.order_maps(ORDERS, 5).values()
    assert cells.to_numpy().tolist() == [["111 Full", "100", 0.4], ["100 Ovl", "000", 0.99]]


def test_orders_of_ten_know_their_bands(studies):
    study = studies["sweep"]
    small = Study(
        {metric: {group: v for group, v in groups.items() if group[1] == 3} for metric, groups in study.raw.items()}
    )
    within = power.orders_of_ten(small).set_index(["low", "high"])["within"]
    assert within.sum() == 12 and all((low[0] == high[0]) == same for (low, high), same in within.items())


def test_bars_of_two_normal_means_are_apart_as_theory_says():
    values = np.random.default_rng(0).normal(size=(2, 20000, 10))
    pooled = (values.var(-1, ddof=1).mean(0) / 10) ** 0.5  # with equal errors both have the pooled one
    apart = np.abs(np.diff(values.mean(-1), axis=0)) > 2 * pooled
    assert apart.mean() == pytest.approx(power.bars_apart_by_theory(10), abs=0.01)


def test_false_words_are_what_is_not_true_where_nothing_differs():
    stored = [(200, True, DOES_NOT_HOLD, IN_PART)] * 2 + [(200, True, UNDECIDED, IN_PART), (200, True, HOLDS, HOLDS)]
    columns = {"any supported": [False, False, True, True], "any contradicted": [True, True, False, False]}
    drawn = judged_as(UNDECIDED, 200, stored).drawn.assign(**columns)
    drawn = pd.concat([drawn.assign(claim=key, least=least) for key in power.NULL_CLAIMS for least in (True, False)])
    full = dict.fromkeys(power.NULL_CLAIMS, SimpleNamespace(verdict=UNDECIDED, study=SimpleNamespace(seeds=200)))
    table = power.false_verdicts(power.Judged(full, drawn))
    edge = table.loc["C2, no least effect"]
    assert edge["false verdicts"] == "3 of 4" and edge["any false case, share"] == 1
    row = table.loc["C2"]  # with a least effect "does not hold" is true, and so is a contradicted case
    assert row["false verdicts"] == "1 of 4" and row["any false case, share"] == 0.5
    assert row[DOES_NOT_HOLD] == 0.5 and row[UNDECIDED] == 0.25
    assert row["by mean: holds, in part, does not hold"] == "25% / 75% / 0%"
    low, high = map(float, row["false verdicts, 95 %"].split("–"))
    # Clopper-Pearson: at its ends, as few or as many as were found have 2.5 %.
    assert binom.sf(0, 4, low) == pytest.approx(0.025, abs=0.002) and binom.cdf(1, 4, high) == pytest.approx(
        0.025, abs=0.002
    )


@pytest.mark.parametrize("seeds", range(6, 30))
def test_so_many_seeds_tell_apart_and_one_fewer_do_not(seeds):
    least, chance = power.apart_by_signs(seeds)
    p = [p_less(np.where(np.arange(seeds) < below, -1.0, 1.0), 0.0) for below in range(seeds + 1)]
    assert min(below for below in range(seeds + 1) if p[below] <= LEVEL) == least
    assert chance == pytest.approx(2 * p[least])
