"""Drawn studies: known limits, null studies, orders; and the alternative texts of "What ten seeds can show"."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from companion.core.settings import MASKS
from companion.judging.claims import CLAIMS
from companion.judging.verdicts import HOLDS, IN_PART, UNDECIDED, VERDICTS, Study
from companion.studies import power

COLUMNS = ["mask", "size", "seed", "temperature"]
COLUMNS += ["fit_mse", "reconstruction_error", "specialization_ratio", "expelled_fraction"]


@pytest.fixture(scope="module")
def studies() -> dict[str, Study]:
    runs, heat = (
        pd.read_parquet(ROOT / f"data/{name}.parquet", columns=COLUMNS) for name in ("powered", "temperature")
    )
    return {"sweep": Study.of(runs), "temperature": Study.of(heat, by=("mask", "size", "temperature"))}


@pytest.mark.long
@pytest.mark.parametrize("claim", CLAIMS)
def test_all_seeds_without_replacement_are_the_full_study(studies, claim):
    study = studies[CLAIMS[claim].data]
    full = CLAIMS[claim].rule(study)
    drawn = power.drawn_verdicts(study, claim, power.draw_seeds(study, study.seeds, 2))
    shares = power.verdict_shares(drawn)
    assert shares.loc[full.verdict, "by rule"] == shares.loc[full.by_mean, "by mean"] == 1
    assert drawn["any case"].eq((full.supported | full.contradicted).any()).all()


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
    found = power.null_verdicts(studies["sweep"], "C2", 40)
    assert found["by rule"].ne(UNDECIDED).sum() <= 7  # the 99.9 % point of 40 studies at 5 %
    assert found["by mean"].ne(UNDECIDED).all()
    pd.testing.assert_frame_equal(found.head(3), power.null_verdicts(studies["sweep"], "C2", 3))


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


VERDICTS_OF = ["by rule", "by mean", "any case"]


@pytest.fixture(scope="module")
def judged() -> pd.DataFrame:
    """The stored verdicts in drawn studies."""
    return pd.read_parquet(ROOT / "data/power.parquet")


def test_every_task_is_stored_once_and_in_order(studies, judged):
    tasks = power.tasks_of(studies)
    counts = judged.groupby(["claim", "seeds", "null"], sort=False).size()
    assert list(counts.items()) == [((task.claim, task.seeds, task.null), task.studies) for task in tasks]
    assert judged["study"].tolist() == [number for task in tasks for number in range(task.studies)]


def check_stored(judged: pd.DataFrame, studies: dict[str, Study], task: power.Task) -> None:
    """A task's first studies are judged as they are stored."""
    study = studies["sweep" if task.null else CLAIMS[task.claim].data]
    again = power.judge_task((task, study))
    same = (judged["claim"] == task.claim) & (judged["seeds"] == task.seeds) & (judged["null"] == task.null)
    stored = judged[same].head(task.studies).reset_index(drop=True)
    pd.testing.assert_frame_equal(stored[VERDICTS_OF], again[VERDICTS_OF])


@pytest.mark.parametrize("key", CLAIMS)
def test_the_first_studies_are_judged_as_they_are_stored(studies, judged, key):
    all_seeds = studies[CLAIMS[key].data].seeds
    for seeds, count in ((5, 3), (10, 3), (all_seeds, 1)):
        check_stored(judged, studies, power.Task(key, seeds, count))


def test_the_first_study_without_difference_is_judged_as_it_is_stored(studies, judged):
    for key in power.NULL_CLAIMS:
        check_stored(judged, studies, power.Task(key, 200, 1, null=True))


@pytest.mark.slow
def test_all_studies_are_judged_as_they_are_stored(studies, judged):
    for task in power.tasks_of(studies):
        check_stored(judged, studies, task)


@pytest.mark.long
def test_what_the_alternative_texts_say_is_so(studies, judged):
    """The chapter's pictures, from the first of the stored draws."""
    full = {key: claim.rule(studies[claim.data]) for key, claim in CLAIMS.items()}
    drawn_studies = judged[~judged["null"]].set_index(["claim", "seeds"]).sort_index()

    def drawn(key: str, seeds: int, draws: int = 100) -> pd.DataFrame:
        return drawn_studies.loc[key, seeds].head(draws)

    def agreement(key: str, seeds: int, draws: int = 100) -> float:
        return drawn(key, seeds, draws)["by rule"].eq(full[key].verdict).mean()

    ten = {key: drawn(key, 10) for key in CLAIMS}  # the stacked bars
    undecided = {key: found["by rule"].eq(UNDECIDED).mean() for key, found in ten.items()}
    assert sum(share >= 0.72 for share in undecided.values()) == 8
    assert ten["C6"]["by rule"].eq(IN_PART).mean() > 0.95 and ten["C4"]["by rule"].eq(IN_PART).mean() > 0.7
    assert all(found["by mean"].ne(UNDECIDED).all() for found in ten.values())
    for key in ("C1", "C2", "C4", "C5"):
        assert 0.2 < ten[key]["by mean"].value_counts(normalize=True).iloc[1] <= 0.5

    up = [key for key, verdict in full.items() if verdict.verdict in (HOLDS, IN_PART)]  # the curves
    assert up == ["C1", "C2", "C3", "C6", "C7", "C8"]
    assert all(agreement(key, 5, 10) == 0 for key in up)
    assert agreement("C3", 20) > 0.75 and agreement("C8", 20) > 0.7
    assert agreement("C2", 100) > 0.95 and agreement("C7", 100) > 0.95
    assert agreement("C1", 100) < 0.95 < agreement("C1", 200) + 0.05 and 0.3 < agreement("C3", 200) < 0.7
    assert full["C9"].verdict == UNDECIDED and agreement("C9", 5, 10) == 1 and agreement("C9", 200, 60) < 0.95
    assert all(agreement(key, 10) < 0.1 for key in ("C4", "C5", "C10"))
    assert agreement("C10", 20) > 0.95 and agreement("C4", 50, 40) > 0.95 and 0.8 < agreement("C5", 100) < 1

    study = studies["sweep"]  # the heat maps
    index = power.draw_seeds(study, 10, 1000)
    few, many = (power.pair_orders(study, size, index).set_index(["low", "high"])["same"] for size in (5, 100))
    assert (few < 0.95).sum() > 14 and few.idxmin() == ("111", "100") and few.min() < 0.4
    assert (many >= 0.95).sum() == 14
    assert set(many.index[many < 0.6]) == {("001", "011"), ("110", "100")} and many.min() > 0.45
