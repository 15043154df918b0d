"""What is seen in made-up universes: those in which the paper is right, wrong, or wrong in one thing; and what decides
outcomes that are made of one axis, of two together, or of none."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import rows
from scipy.stats import f_oneway, nchypergeom_fisher
from sklearn.ensemble import ExtraTreesRegressor
from test_claims import ACTIVE, PAPER, SPOILED, WRONG, Effect, made_up, of_errors, of_places, of_responses, on

from companion.core.settings import MASKS
from companion.judging import multiverse as judging
from companion.judging.claims import CLAIMS
from companion.judging.multiverse import ASKS, FITS, LARGEST, LOST, OBSERVATIONS, READ_AS, found, read_as
from companion.judging.verdicts import MADE_OF, POSITION, E, Study
from companion.show import multiverse as pictures
from companion.studies import multiverse
from companion.studies.multiverse import Judged
from companion.sweeps.measures import METRICS, READINGS
from companion.sweeps.sweep import PAPER_SIZES
from companion.sweeps.universes import AXES, MEASURED, NOMINAL, Level, run_universes, universes

S, X, HEAT = "specialization_ratio", "expelled_fraction", 1e-4
SEEDS = range(7000, 7010)
TWIN = {
    **dict.fromkeys(("root_mean_square_error", "value_error"), E),
    **dict.fromkeys(("distinct_samples", "above_half"), S),
    "outside_unit": X,
}
"""Of each other reading the measure whose effects it has; the position error has its own."""


def of_positions(mask: str, size: int, heat: float) -> float:
    """As errors, with a collapse where overlap is without an attractor and none where it has one."""
    return 0.8 if mask in ("100", "101") else 0.2 if mask in ACTIVE else of_errors(mask, size, heat)


def of_wrong_positions(mask: str, size: int, heat: float) -> float:
    if mask == "011":
        return 2.0 * PAPER_SIZES.index(size)
    return 0.3 if mask == "001" else WRONG["position"](mask, size, heat)


RIGHT = PAPER | {"position": of_positions}
ALL_WRONG = WRONG | {"position": of_wrong_positions, "X": lambda mask, *_: -0.3 if mask in ACTIVE else 0.7}
"""Worlds in which the paper is right, or wrong, in everything and in every reading."""


def table_of(values: dict[str, dict]) -> pd.DataFrame:
    """Made-up values as runs: a row a run."""
    groups = itertools.product(MASKS, PAPER_SIZES, range(len(SEEDS)))
    return pd.DataFrame(
        [
            {"mask": mask, "size": size, "seed": SEEDS[k]}
            | {metric: of_metric[mask, size, HEAT][k] for metric, of_metric in values.items()}
            for mask, size, k in groups
        ]
    )


def world(effects: dict[str, Effect], seed: int = 0, noise: float = 0.005) -> pd.DataFrame:
    """The runs of a universe as `run_universes` returns them, every measure with noise of its own."""
    design: dict[str, Any] = {"sizes": PAPER_SIZES, "heats": (HEAT,), "seeds": len(SEEDS), "noise": noise}
    own, other = (table_of(made_up(np.random.default_rng([seed, k]), **effects, **design)) for k in range(2))
    runs = own.assign(fit_mse=own["rmse"] ** 2, **{name: other[twin] for name, twin in TWIN.items()}, universe=seed)
    return runs[["universe", "mask", "size", "seed", *MEASURED]].astype(dict.fromkeys(MEASURED, np.float32))


def study_of(metric: str, values: dict[tuple[str, int], float], otherwise: float = 1.0, seeds: int = 3) -> Study:
    """A study in which one metric has given values, without noise."""
    groups = list(itertools.product(MASKS, PAPER_SIZES))
    names = (metric, *({E, POSITION, S, X, "rmse"} - {metric}))
    return Study(
        {
            name: {key: np.full(seeds, values.get(key, otherwise) if name == metric else 1.0) for key in groups}
            for name in names
        }
    )


def everywhere(masks: tuple[str, ...], value: float) -> dict[tuple[str, int], float]:
    return {(mask, size): value for mask in masks for size in PAPER_SIZES}


@pytest.fixture(scope="module")
def right() -> pd.DataFrame:
    return world(RIGHT)


@pytest.fixture(scope="module")
def seen(right) -> tuple[pd.DataFrame, pd.DataFrame]:
    return judging.judge_universes(right)


# --- what is seen in a universe ---


def test_the_measures_that_are_read_are_those_that_are_kept():
    assert set(LOST) == set(MEASURED) == {*METRICS, *READINGS}
    assert {name for other in READ_AS.values() for name in other.values()} == {*READINGS, POSITION, "value_error"}


def test_where_the_paper_is_right_in_everything_everything_is_seen_in_every_reading():
    claims, observed = judging.judge_universes(pd.concat([world(RIGHT, seed) for seed in (5, 2)]))
    assert claims["by_mean"].all() and claims["by_rule"].all()
    plain = claims[claims["claim"] != "C4"]
    assert (plain["mean"] == plain["cases"]).all() and (plain["rule"] == plain["cases"]).all()
    assert set(claims["claim"]) == set(ASKS) == {*CLAIMS} - {"C8"}
    # What is said to be near, or no higher but for a margin, has its place on either side of 0.
    apart = claims[~claims["claim"].isin(["C5", "C9", "C10s"])]
    assert (apart["low"] > 0).all()
    # An effect that is the weakest of several statements can lie beside the resamples, whose weakest is weaker.
    alone = claims[claims["claim"].isin(["C2", "C4", "C5", "C10", "C10s"])]
    assert (alone["low"] <= alone["effect"]).all() and (alone["effect"] <= alone["high"]).all()
    assert (observed[list(OBSERVATIONS)] == 1).all(axis=None)
    assert observed["universe"].tolist() == [5, 2] and list(claims["universe"].unique()) == [5, 2]
    assert (observed["lost"] == 0).all() and (observed["worst_fit"] < FITS).all()


def test_where_it_is_wrong_in_everything_nothing_is_seen_in_any_reading():
    claims, observed = judging.judge_universes(world(ALL_WRONG))
    assert not claims["by_mean"].any() and not claims["by_rule"].any()
    assert not claims["rule"].where(claims["claim"] != "C4", 0).any()
    assert (claims["high"] < 0).all()
    # Separation alone is worse at every size, as the paper says of some: half of what it reports of it.
    assert observed[list(OBSERVATIONS)].iloc[0].to_dict() == dict.fromkeys(OBSERVATIONS, 0.0) | {"C4": 0.5}
    assert observed["worst_fit"].iloc[0] > FITS


LOSES: dict[str, tuple[dict[str, Effect], set[str], set[str]]] = {
    "C1": (SPOILED["C1"], {"C1"}, {"C1"}),
    "C2, Cov": ({"S": lambda *of: of_responses(*of) - (0.4 if of[0] == "010" else 0)}, {"C2, Cov"}, {"C2"}),
    "C2, Cov+Sep": ({"S": lambda *of: of_responses(*of) - (0.4 if of[0] == "011" else 0)}, {"C2, Cov+Sep"}, {"C2"}),
    "C3": (SPOILED["C3"], {"C3"}, {"C3"}),
    "C4": ({"E": lambda mask, size, heat: of_errors(mask, 100, heat)}, {"C4"}, {"C4"}),
    "C5": (SPOILED["C5"], {"C5"}, {"C5"}),
    "C5, within its wide margin": ({"fit": on(["110"], 0.03)}, set(), {"C5"}),
    "C6": ({"X": lambda *of: of_places(*of) - (0.4 if of[0] == "111" else 0)}, {"C6"}, {"C6"}),
    "C6, expelled": (SPOILED["C6"], {"C6, all of 100"}, {"C6"}),
    "C7": (SPOILED["C7"], {"C7"}, {"C7"}),
    "C7, half": (
        {"S": lambda *of: -0.1 * PAPER_SIZES.index(of[1]) if of[0] in ACTIVE else of_responses(*of)},
        {"C7, half"},
        {"C7"},
    ),
    "C9": (SPOILED["C9"], {"C9"}, {"C9"}),
    "C9, within its wide margin": (
        {"E": lambda *of: of_errors(*of) + (0.5 if of[0] == "100" and of[1] > 3 else 0)},
        set(),
        {"C9"},
    ),
    "C10": ({"position": lambda *of: 0.2 if of[0] in ("100", "101") else of_positions(*of)}, {"C10"}, {"C10"}),
    "C10s": ({"position": on(ACTIVE, 0.8)}, set(), {"C10s"}),
}  # fmt: skip
"""Effects that spoil one thing; the observations that are then not whole, and the claims that the means do not show."""


@pytest.mark.parametrize(("spoiled", "observations", "claims"), LOSES.values(), ids=list(LOSES))
def test_a_universe_spoiled_in_one_thing_loses_that_and_nothing_else(spoiled, observations, claims):
    own = found(world(RIGHT | spoiled))
    shares, study = judging.observe(own), read_as(own, "nominal")
    assert {name for name, share in shares.items() if share < 1} == observations
    assert {key for key in ASKS if not judging.see(key, study).by_mean} == claims


@pytest.mark.parametrize(
    ("mask", "other", "name", "share"),
    [("100", 0.99, "C6, all of 100", 0.0), ("010", 1.0, "C6, some of 000, 010", 0.5)],
)
def test_figure_3_s_observations_ask_the_run_that_it_would_draw(right, mask, other, name, share):
    """The lower of the two middle ones of ten, by E at the largest size; the means of the others change nothing."""
    group = right[(right["mask"] == mask) & (right["size"] == 100)].sort_values(E)
    for place, expected in ((4, share), (5, 1.0)):
        runs = right.copy()
        runs.loc[group.index[place], X] = other
        assert judging.observe(runs) == dict.fromkeys(OBSERVATIONS, 1.0) | {name: expected}
        assert judging.see("C6", read_as(runs, "nominal")).by_mean


def test_every_observation_has_a_world_that_lacks_it_alone():
    of_runs = {"C6, some of 000, 010"}
    assert {name for _, lost, _ in LOSES.values() if len(lost) == 1 for name in lost} | of_runs == set(OBSERVATIONS)


def test_a_share_is_that_of_the_cases(right):
    """One of six sizes at which 100 is below 010: five sixths of C1 are left, and of C3 as many."""
    runs = right.copy()
    runs.loc[(runs["mask"] == "100") & (runs["size"] == 20), E] = 0.5
    shares = judging.observe(runs)
    assert shares["C1"] == shares["C3"] == pytest.approx(5 / 6)
    one = judging.see("C1", read_as(runs, "nominal"))
    assert (one.cases, one.mean, one.rule, one.by_mean, one.by_rule) == (6, 5, 5, False, False)


def test_one_wild_seed_of_ten_turns_a_mean_and_two_turn_the_rule(right):
    """Two that are slightly above turn the rule at that size, and no mean."""
    group = right.index[(right["mask"] == "010") & (right["size"] == 20)]
    slightly, wildly = right.copy(), right.copy()
    slightly.loc[group[:2], E] = 1.1
    wildly.loc[group[0], E] = 1e3
    one, other = (judging.see("C1", read_as(runs, "nominal")) for runs in (slightly, wildly))
    assert (one.mean, one.rule) == (6, 5) and one.by_mean and not one.by_rule
    assert (other.mean, other.rule) == (5, 6) and not other.by_mean and other.by_rule


@pytest.mark.long
@pytest.mark.parametrize("reading", [name for name in READ_AS if name != "nominal"])
def test_another_reading_changes_its_own_rows_alone(right, seen, reading):
    """And C10 and C10s, which are about positions in any reading."""
    ((_, column),) = READ_AS[reading].items()
    claims, observed = judging.judge_universes(right.assign(**{column: world(ALL_WRONG)[column]}))
    changed = claims[(claims != seen[0]).any(axis=1)]
    own = claims[claims["reading"] == reading]
    expected = {(key, reading) for key in own["claim"]}
    nominal = {("C10", "nominal"), ("C10s", "nominal")} if column == POSITION else set()
    assert set(zip(changed["claim"], changed["reading"], strict=True)) == expected | nominal
    assert not own["by_mean"].any() and len(own)
    lost = {name for name in OBSERVATIONS if observed[name].iloc[0] < 1}
    assert lost == ({"C10"} if nominal else set())


def test_claims_have_the_readings_of_what_they_ask_for(seen):
    of_errors = ["nominal", "E, root mean square", "E, position alone", "E, value alone"]
    of_responses = ["nominal", "S, by neuron", "S, above ½"]
    expected = dict.fromkeys(ASKS, ["nominal"]) | dict.fromkeys(("C1", "C3", "C4", "C9"), of_errors)
    expected |= dict.fromkeys(("C2", "C7"), of_responses) | {"C6": ["nominal", "X, from [0, 1]"]}
    assert {key: judging.readings(key) for key in ASKS} == expected
    assert {key: list(group["reading"]) for key, group in seen[0].groupby("claim", sort=False)} == expected
    for key, asked in ASKS.items():
        statements = [one for case in CLAIMS[key].rule(study_of(E, {})).cases for one in case.statements]
        assert {MADE_OF.get(one.metric, one.metric) for one in statements} & {E, S, X} == set(asked)


# --- lost runs ---


def test_a_lost_run_counts_as_the_worst_and_is_counted(right):
    """Three runs of coverage alone at N = 20: C1 is lost there, and what they leave is what `LOST` would give."""
    group = right.index[(right["mask"] == "010") & (right["size"] == 20)][:3]
    lost, filled = right.copy(), right.copy()
    lost.loc[group, list(MEASURED)] = np.nan
    filled.loc[group, list(MEASURED)] = pd.Series(LOST).astype(np.float32)[list(MEASURED)].to_numpy()
    claims, observed = judging.judge_universes(lost)
    others, plain = judging.judge_universes(filled)
    pd.testing.assert_frame_equal(claims, others)
    pd.testing.assert_frame_equal(observed.drop(columns="lost"), plain.drop(columns="lost"))
    assert (observed["lost"].iloc[0], plain["lost"].iloc[0]) == (3, 0)
    assert observed["C1"].iloc[0] == pytest.approx(5 / 6)
    assert np.isfinite(claims[["effect", "low", "high"]]).all(axis=None)


def test_the_worst_is_no_better_than_any_run(right):
    for name, worst in LOST.items():
        higher_is_worse = name not in (S, "distinct_samples", "above_half")
        assert (right[name] <= worst).all() if higher_is_worse else (right[name] >= worst).all()


def test_what_32_bits_do_not_hold_counts_as_the_largest_that_they_do(right):
    runs = right.astype({E: np.float64, "fit_mse": np.float64})
    group = runs.index[(runs["mask"] == "010") & (runs["size"] == 20)]
    runs.loc[group, [E, "fit_mse"]] = np.inf
    runs.loc[group[:3], [E, "fit_mse"]] = 1e39
    own = found(runs)
    assert (own.loc[group, [E, "fit_mse"]] == LARGEST).all(axis=None)
    assert own.drop(index=group)[list(MEASURED)].equals(runs.drop(index=group)[list(MEASURED)].astype(float))
    claims, observed = judging.judge_universes(runs)
    assert np.isfinite(claims[["effect", "low", "high"]]).all(axis=None)
    assert observed["lost"].iloc[0] == 0, "numbers, if large ones"
    assert observed["worst_fit"].iloc[0] == pytest.approx(math.sqrt(LARGEST))


def test_a_universe_that_is_lost_as_a_whole_is_judged_too(right):
    """Where all masks are equally bad, what is said to be equal is seen; nothing else that is about masks is."""
    claims, observed = judging.judge_universes(right.assign(**dict.fromkeys(MEASURED, np.float32(np.nan))))
    assert set(claims.loc[claims["by_mean"], "claim"]) == {"C5", "C9", "C10s"}
    assert observed["lost"].iloc[0] == len(right) == 480
    assert np.isfinite(claims[["effect", "low", "high"]]).all(axis=None)


def test_runs_that_cannot_be_judged_are_refused(right):
    with pytest.raises(ValueError, match=r"runs: columns .* were given; allowed are tables with \['seed'\], too"):
        found(right.drop(columns="seed"))
    with pytest.raises(ValueError, match=r"runs: .* were given; allowed are runs with \['011'\], too"):
        judging.judge_universes(right[right["mask"] != "011"])


# --- effects ---


def effect(key: str, study: Study) -> float:
    (value,) = judging.effects(key, CLAIMS[key].rule(study), judging.of_means(study))
    return float(value)


BY_SIZE = dict(zip(PAPER_SIZES, (1.1, 1.2, 1.4, 1.8, 2.0, 3.0), strict=True))
MIDDLE = (math.log(1.4) + math.log(1.8)) / 2
"""Factors by size, and the median of their logarithms."""


@pytest.mark.parametrize(
    ("key", "metric", "values", "expected"),
    [
        ("C1", E, {("010", size): 1 / factor for size, factor in BY_SIZE.items()}, MIDDLE),
        ("C1", E, everywhere(("010",), 0.25) | everywhere(("011",), 0.5), math.log(2)),
        ("C1", E, everywhere(("011",), 0.5), -math.log(2)),
        ("C2", S, {(mask, size): factor for mask in ("010", "011") for size, factor in BY_SIZE.items()}, MIDDLE),
        ("C3", E, everywhere(ACTIVE, 3.0) | everywhere(("111",), 1.5), math.log(1.5)),
        ("C3", E, everywhere(ACTIVE, 3.0) | everywhere(("011",), 6.0), -math.log(2)),
        ("C4", E, {("001", 3): 1 / 1.2, ("001", 5): 1 / 1.6, ("001", 20): 1.5, ("001", 50): 1.1}, math.log(1.5)),
        ("C4", E, {("001", 3): 1 / 1.2, ("001", 20): 1.5}, math.log(1.2)),
        ("C4", E, {("001", size): factor for size, factor in BY_SIZE.items()}, -math.log(1.1)),
        ("C5", "rmse", everywhere(ACTIVE, 1.03), -0.03),
        ("C5", "rmse", everywhere(ACTIVE, 0.9), 0.1),
        ("C6", X, everywhere(ACTIVE, 0.9) | everywhere(("111",), 0.7), 0.2),
        ("C9", E, {("100", size): 4.0 for size in PAPER_SIZES[1:]}, -math.log(4) * 7 / 8),
        ("C9", E, {("100", size): 0.25 for size in PAPER_SIZES[1:]}, -math.log(4) * 7 / 8),
        ("C10", POSITION, everywhere(("100", "101"), 1.2), math.log(1.2)),
        ("C10", POSITION, everywhere(("100",), 1.2) | everywhere(("101",), 3.0), (math.log(1.2) + math.log(3)) / 2),
        ("C10s", POSITION, everywhere(("110", "111"), 1.2), -math.log(1.2)),
    ],
)
def test_an_effect_is_the_factor_or_difference_that_was_put_in(key, metric, values, expected):
    otherwise = 0.5 if metric == X else 1.0
    assert effect(key, study_of(metric, values, otherwise)) == pytest.approx(expected, rel=1e-9)


def test_the_effect_on_falling_ratios_is_of_the_weaker_of_their_two_comparisons():
    """Ratios fall by 2 from size to size and Std's by 1.25: beside Std they fall by 1.6."""
    sizes = dict(enumerate(PAPER_SIZES))
    falling = {(mask, size): 2.0**-k for mask in ACTIVE for k, size in sizes.items()}
    study = study_of(S, falling | {("000", size): 1.25**-k for k, size in sizes.items()})
    assert effect("C7", study) == pytest.approx(math.log(1.6))


@pytest.mark.parametrize("key", ["C1", "C2", "C3", "C4"])
def test_an_effect_s_sign_is_the_order_of_the_means(key):
    """In universes of noise, and of a size alone, where each of two signs comes up."""
    stream, signs = np.random.default_rng(0), set()
    sizes = PAPER_SIZES[:2] if key == "C4" else PAPER_SIZES[:1]
    for _ in range(60):
        groups = {(mask, size): stream.lognormal(0, 0.3, 4) for mask in MASKS for size in sizes}
        first = {"C1": ("010",), "C3": ("000", "001", "010", "011")}.get(key, ())
        groups = {group: array * (0.6 if group[0] in first else 1) for group, array in groups.items()}
        study = Study(dict.fromkeys((E, POSITION, S, X, "rmse"), groups))
        verdict, value = CLAIMS[key].rule(study), effect(key, study)
        if key == "C2":  # two masks: the mean of their two effects, which is above 0 where both are
            all_or_none = {len(verdict.cases): True, 0: False}.get(int(verdict.by_mean_supported.sum()))
            assert all_or_none is None or (value > 0) == all_or_none
        else:
            assert (value > 0) == (verdict.by_mean == "holds")
        signs.add(value > 0)
    assert signs == {True, False}


@pytest.mark.long
@pytest.mark.parametrize(
    ("key", "name", "effects", "truth"),
    [("C2", "S", on(["010", "011"], 0.3), 0.3), ("C10", "position", on(["100", "101"], 0.8), 0.8)],
    ids=["C2", "C10"],
)
def test_an_effect_s_interval_covers_what_was_put_in(key, name, effects, truth):
    """In at least four of five universes of ten seeds; and it is about as wide as effects scatter."""
    found = []
    for seed in range(100):
        values = made_up(np.random.default_rng(seed), **{name: effects}, sizes=PAPER_SIZES, heats=(HEAT,), seeds=10)
        study = Study({metric: {of[:2]: array for of, array in groups.items()} for metric, groups in values.items()})
        found.append(judging.see(key, study))
    low, high, value = (np.array([getattr(one, end) for one in found]) for end in ("low", "high", "effect"))
    assert ((low <= truth) & (truth <= high)).sum() >= 80
    assert value.mean() == pytest.approx(truth, abs=0.02)
    assert 0.6 < (high - low).mean() / (2 * 1.96 * value.std()) < 1.6


def test_means_are_those_of_all_seeds_and_of_resamples_of_them(right):
    study = read_as(found(right), "nominal")
    means = judging.of_means(study)
    assert means.seeds == 1
    for metric in (E, POSITION, S, X, "rmse", "place", "specialization beside Std's"):
        for key in (("010", 3), ("100", 100)):
            assert means.values(metric, key).item() == pytest.approx(study.mean(metric, key), rel=1e-12)
    plain = right.groupby(["mask", "size"])[E].apply(lambda column: column.astype(float).mean())
    assert means.raw[E]["010", 20].item() == pytest.approx(plain["010", 20], rel=1e-12)

    drawn = judging.of_means(study, 300)
    own, resampled = study.raw[E]["010", 20], drawn.raw[E]["010", 20]
    assert drawn.seeds == 300 == len(np.unique(resampled))
    assert own.min() <= resampled.min() and resampled.max() <= own.max()
    assert resampled.std() == pytest.approx(own.std() / math.sqrt(10), rel=0.2)
    np.testing.assert_array_equal(judging.of_means(study, 300).raw[E]["010", 20], resampled)


def test_a_resample_draws_a_seed_with_all_its_masks_and_sizes():
    """Where every group is a multiple of one, so are the means of every resample: the effect has no spread."""
    common = np.random.default_rng(0).lognormal(size=10)
    groups = {(mask, size): common * (0.5 if mask == "010" else size) for mask in MASKS for size in PAPER_SIZES}
    study = Study(dict.fromkeys((E, POSITION, S, X, "rmse"), groups))
    one = judging.see("C1", study)
    assert one.low == pytest.approx(one.effect) == pytest.approx(one.high)
    assert one.effect == pytest.approx((math.log(10 / 0.5) + math.log(20 / 0.5)) / 2)


def test_the_worst_fit_is_the_worst_mask_s_median(right):
    """The median of ten is between the middle two; what four of them do does not matter, what six do does."""
    errors = np.array([0.01, 0.02, 0.03, 0.04, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9])
    runs = right.astype({"fit_mse": float}).assign(fit_mse=0.01**2)
    group = runs.index[(runs["mask"] == "101") & (runs["size"] == 50)]
    runs.loc[group, "fit_mse"] = errors**2
    assert judging.worst_fit(runs) == pytest.approx(0.4)
    for lost, expected in ((4, 0.01), (6, LARGEST**0.5)):
        runs.loc[group, "fit_mse"] = np.where(np.arange(10) < lost, np.nan, 0.01**2)
        assert judging.worst_fit(found(runs)) == pytest.approx(expected)


# --- shares ---


def claims_of(seen: dict[str, Any], effects: Any = 0.0, cases: int = 4, reading: str = "nominal") -> pd.DataFrame:
    """Rows of made-up claims: of each named one, in how many cases by universe it is shown; of the others none."""
    count = len(next(iter(seen.values())))
    parts = [
        pd.DataFrame({"universe": range(count), "claim": key, "reading": reading, "cases": cases})
        .assign(mean=np.asarray(seen.get(key, np.zeros(count)), dtype=int), rule=0, effect=effects)
        .assign(by_mean=lambda rows: rows["mean"] == cases, by_rule=False)
        .assign(low=lambda rows: rows["effect"] - 0.1, high=lambda rows: rows["effect"] + 0.1)
        for key in ASKS
    ]
    return pd.concat(parts, ignore_index=True)


def observed_of(count: int, fit: Any = 0.01, **shares: Any) -> pd.DataFrame:
    """Rows of made-up observations, of which none is reproduced but those that are given."""
    table = pd.DataFrame({"universe": range(count), "worst_fit": fit, "lost": 0})
    return table.assign(**(dict.fromkeys(OBSERVATIONS, 0.0) | shares))


@pytest.mark.parametrize(("count", "of"), [(0, 10), (7, 50), (10, 10)])
def test_a_share_has_wilson_s_interval(count, of):
    z, p = 1.959963984540054, count / of
    middle = (p + z**2 / (2 * of)) / (1 + z**2 / of)
    half = z / (1 + z**2 / of) * math.sqrt(p * (1 - p) / of + z**2 / (4 * of**2))
    found = multiverse.share(count, of)
    assert found == pytest.approx((p, middle - half, middle + half), abs=1e-12)


def test_shares_count_the_universes_that_show_a_claim():
    claims = claims_of({"C1": [4, 4, 2, 0], "C3": [4, 0, 0, 0]}, effects=[0.3, 0.1, -0.2, -0.4])
    claims.loc[(claims["claim"] == "C1") & (claims["universe"] == 0), ["by_rule", "rule"]] = True, 4
    table = multiverse.shares(claims).set_index("claim")
    assert list(table.index) == list(ASKS) and (table["universes"] == 4).all()
    one = table.loc["C1"]
    assert (one["mean"], one["rule"], one["mean share"], one["rule share"]) == (2, 1, 0.5, 0.25)
    assert one["cases"] == pytest.approx((1 + 1 + 0.5 + 0) / 4) and one["effect"] == pytest.approx(-0.05)
    assert (one["rule low"], one["rule high"]) == multiverse.share(1, 4)[1:]
    assert table.loc["C3", "mean"] == 1 and table.loc["C2", "mean"] == 0
    both = pd.concat([claims, claims.assign(reading="E, value alone", by_mean=False)])
    by_reading = multiverse.shares(both, ["claim", "reading"]).set_index(["claim", "reading"])["mean"]
    assert (by_reading["C1", "nominal"], by_reading["C1", "E, value alone"]) == (2, 0)


def test_those_that_fit_are_those_whose_worst_mask_fits():
    judged = Judged(claims_of({"C1": [4, 4, 0, 0]}), observed_of(4, fit=[FITS, FITS + 1e-6, 0.5, 0.0]))
    fit = judged.fitting()
    assert fit.observed["universe"].tolist() == [0, 3] and set(fit.claims["universe"]) == {0, 3}
    other = Judged(pd.concat([judged.claims, claims_of({"C1": [4] * 4}, reading="E, value alone")]), judged.observed)
    pd.testing.assert_frame_equal(other.of_claims, judged.claims)


# --- what decides ---


def drawn(count: int, axes: tuple[str, ...] = tuple(AXES), seed: int = 0) -> pd.DataFrame:
    """Places of universes whose levels are drawn independently, each level about as often."""
    stream = np.random.default_rng(seed)
    return pd.DataFrame({axis: stream.permutation(np.arange(count) % len(AXES[axis])) for axis in axes})


FEW: tuple[str, ...] = ("inputs", "activation", "reduction", "optimiser")


@pytest.fixture
def quick(monkeypatch) -> None:
    """Fewer trees and draws than the book's."""
    monkeypatch.setattr(multiverse, "ExtraTreesRegressor", lambda _, **options: ExtraTreesRegressor(60, **options))
    monkeypatch.setattr(multiverse, "DRAWS", 2048)


def test_codes_are_the_places_of_levels():
    sample = universes("sobol", number=64)
    places = multiverse.codes(sample)
    again = [{axis: AXES[axis][int(row[axis])].name for axis in AXES} for _, row in places.iterrows()]
    assert again == [universe.names for universe in sample] and list(places) == list(AXES)
    assert (multiverse.codes([NOMINAL]) == 0).all(axis=None)


def test_the_main_effect_of_what_decides_alone_is_one_and_of_noise_none():
    places = drawn(480)
    effects = multiverse.main_effects(places, places["overlap"].isin([1, 3]).to_numpy(float))
    assert effects["overlap"] == pytest.approx(1) and effects.drop("overlap").max() < 0.02
    noise = [multiverse.main_effects(places, np.random.default_rng(k).normal(size=480)) for k in range(20)]
    assert np.mean(noise) < 0.004 and np.max(noise) < 0.04


def test_main_effects_are_omega_squared():
    """From SciPy's F of a one-way analysis of variance: ω² = d(F - 1) / (d(F - 1) + n), d = levels - 1."""
    places = drawn(300)
    outcome = places["τ"] + 0.5 * places["λ"] + np.random.default_rng(0).normal(size=300)
    found = multiverse.main_effects(places, outcome.to_numpy())
    for axis in AXES:
        f = f_oneway(*(group for _, group in outcome.groupby(places[axis]))).statistic
        free = places[axis].nunique() - 1
        assert found[axis] == pytest.approx(max(0, free * (f - 1) / (free * (f - 1) + 300)), abs=1e-12)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1 / 6, 5 / 6])
def test_nothing_decides_what_is_the_same_everywhere(value):
    """Also where the mean of equal numbers is not quite that number."""
    places, outcome = drawn(100), np.full(100, value)
    assert (multiverse.main_effects(places, outcome) == 0).all()
    total, r2 = multiverse.attribute(places, outcome)
    assert (total == 0).all() and list(total.index) == list(AXES) and math.isnan(r2)


def test_an_axis_that_decides_has_all_of_the_total_effect(quick):
    places = drawn(240)
    total, r2 = multiverse.attribute(places, (places["λ"] == 4).to_numpy(float))
    assert r2 > 0.95 and total["λ"] == pytest.approx(1, abs=0.15) and total.drop("λ").max() < 0.02


def test_two_axes_that_only_decide_together_have_total_effects_and_no_main_ones(quick):
    places = drawn(240, FEW)
    outcome = ((places["inputs"] + places["activation"]) % 2).to_numpy(float)
    main, (total, r2) = multiverse.main_effects(places, outcome), multiverse.attribute(places, outcome)
    assert main.max() < 0.03 and r2 > 0.95
    assert total["inputs"] == pytest.approx(1, abs=0.1) and total["activation"] == pytest.approx(1, abs=0.1)
    assert total[["reduction", "optimiser"]].max() < 0.02


def test_two_axes_that_add_up_share_the_variance(quick):
    """Twice one and once another, of two levels each: four fifths and one fifth, main and total alike."""
    places = drawn(240, FEW)
    outcome = (2 * places["inputs"] + places["activation"]).to_numpy(float)
    main, (total, r2) = multiverse.main_effects(places, outcome), multiverse.attribute(places, outcome)
    for shares, off in ((main, 0.06), (total, 0.08)):
        assert shares[["inputs", "activation"]].tolist() == pytest.approx([0.8, 0.2], abs=off)
    assert r2 > 0.95


def test_noise_has_no_r2(quick):
    """Total effects are of the surrogate, which names axes even then: R² says that they mean nothing."""
    places = drawn(240, FEW)
    assert multiverse.attribute(places, np.random.default_rng(3).normal(size=240)).r2 < 0.1
    half = places["inputs"] + np.random.default_rng(3).normal(0, 0.5, size=240)  # as much noise as effect
    assert multiverse.attribute(places, half.to_numpy()).r2 == pytest.approx(0.45, abs=0.2)


def test_r2_is_of_all_universes_at_once(quick):
    """Ordered by the axis that decides, most folds hold noise alone: the mean of their R² would be near 0."""
    places = drawn(240, FEW).sort_values("optimiser", kind="stable", ignore_index=True)
    outcome = (places["optimiser"] == 0) + np.random.default_rng(0).normal(0, 0.1, 240)
    assert multiverse.attribute(places, outcome.to_numpy()).r2 > 0.9


def test_main_effects_are_told_apart_in_the_book_s_own_sample():
    """Every level of one axis stands beside the levels of each other one about as often as independent draws would."""
    places = multiverse.codes(multiverse.sample("sobol"))
    for axis, levels in AXES.items():
        for level in range(len(levels)):
            effects = multiverse.main_effects(places, (places[axis] == level).to_numpy(float))
            assert effects[axis] > 0.05 and effects.drop(axis).max() < 0.01


def test_some_interactions_are_not_told_apart_in_it():
    """Its points are linear in the bits of their number: what activation and reduction decide together is, universe by
    universe, what overlap and steps decide together."""
    places = multiverse.codes(multiverse.sample("sobol"))
    one = (places["activation"] + places["reduction"]) % 2
    other = ((places["overlap"] >= 2).astype(int) + (places["steps"] >= 2)) % 2
    assert abs(np.corrcoef(one, other)[0, 1]) == pytest.approx(1)


def test_what_decides_a_claim_is_found_by_its_universes_numbers(quick):
    """C1 by its overlap's form, C4 by the initialisation; rows in any order, of some universes of the sample."""
    places = drawn(400)
    shown = 4 * (places["overlap"] == 1), 2 + 2 * (places["initialisation"] < 2)
    claims = claims_of({"C1": shown[0], "C4": shown[1]})
    claims.loc[claims["claim"] == "C4", "mean"] = 2  # of pairs, better and worse, one of each
    claims = claims[claims["universe"] % 5 > 0].sample(frac=1, random_state=0)
    table = multiverse.what_decides(places, claims)
    assert table[["claim", "axis"]].apply(tuple, axis=1).tolist() == list(itertools.product(ASKS, AXES))
    for key, axis in (("C1", "overlap"), ("C4", "initialisation")):
        own = table[table["claim"] == key].set_index("axis")
        assert own.loc[axis, "main"] == pytest.approx(1) and own.loc[axis, "total"] == pytest.approx(1, abs=0.15)
        assert own["R²"].iloc[0] > 0.95
        assert own.drop(index=axis)[["main", "total"]].max(axis=None) < 0.03
    rest = table[~table["claim"].isin(["C1", "C4"])]
    assert (rest[["main", "total"]] == 0).all(axis=None) and rest["R²"].isna().all()


def test_outcomes_are_shares_of_cases_and_of_c4_whether_it_is_seen():
    claims = claims_of({"C1": [4, 3, 0], "C4": [2, 2, 2]})
    claims.loc[(claims["claim"] == "C4") & (claims["universe"] == 1), "by_mean"] = True
    table = multiverse.outcomes(claims.sample(frac=1, random_state=0))
    assert list(table) == list(ASKS) and table.index.tolist() == [0, 1, 2]
    assert table["C1"].tolist() == [1, 0.75, 0] and table["C4"].tolist() == [0, 1, 0] and not table["C2"].any()


def test_a_curve_is_sorted_and_its_strip_counts_levels_in_that_order():
    places = drawn(64).set_index(pd.RangeIndex(100, 164))
    effects = np.where(places["inputs"] == 1, 1.0, -1.0) + np.random.default_rng(0).uniform(0, 0.5, 64)
    claims = claims_of({"C1": np.zeros(64)}, effects=effects)
    claims["universe"] += 100
    curve, strip = multiverse.specification_curve(claims.sample(frac=1, random_state=0), places, "C1", ["inputs", "τ"])
    assert curve["effect"].is_monotonic_increasing and sorted(curve["universe"]) == list(range(100, 164))
    assert curve["effect"].tolist() == effects[curve["universe"] - 100].tolist()
    assert (curve["low"] == curve["effect"] - 0.1).all() and (curve["high"] == curve["effect"] + 0.1).all()
    assert curve["rank"].tolist() == [(k + 0.5) / 64 for k in range(64)]
    assert strip.groupby("level")["value"].mean().tolist() == pytest.approx(
        [1.0] * (len(AXES["inputs"]) + len(AXES["τ"]))
    )
    assert set(strip["level"]) == {f"{axis}: {level.name}" for axis in ("inputs", "τ") for level in AXES[axis]}
    planted = strip[strip["level"] == f"inputs: {AXES['inputs'][1].name}"]
    assert planted.loc[planted["end"] <= 0.5, "value"].tolist() == [0] * 16
    assert planted.loc[planted["start"] >= 0.5, "value"].tolist() == [2] * 16


# --- together or apart ---


def paired() -> pd.DataFrame:
    """C1 and C3 go together, C1 and C6 exclude one another, C1 and C10 have nothing to do with each other."""
    seen = {
        "C1": np.repeat([1, 0], [20, 60]),
        "C3": np.r_[np.arange(20) < 15, np.arange(60) < 3],
        "C6": np.r_[np.zeros(20), np.arange(60) < 40],
        "C10": np.r_[np.arange(20) < 10, np.arange(60) < 30],
    }
    return claims_of({key: 4 * array for key, array in seen.items()}).sample(frac=1, random_state=0)


def test_odds_ratios_are_those_of_the_counts():
    claims = paired()
    pairs = multiverse.together(claims).set_index(["first", "second"])
    assert len(pairs) == len(ASKS) * (len(ASKS) - 1) / 2
    for second, counts in {"C3": (15, 5, 3, 57), "C6": (0, 20, 40, 20), "C10": (10, 10, 30, 30)}.items():
        row = pairs.loc[("C1", second)]
        assert tuple(row[["both", "first only", "second only", "neither"]]) == counts
        both, one, other, neither = (count + 0.5 for count in counts)
        assert row["odds ratio"] == pytest.approx(both * neither / (one * other))
        total, first, of_second = sum(counts), counts[0] + counts[1], counts[0] + counts[2]
        tails = nchypergeom_fisher(total, first, of_second, np.array([row["low"], row["high"]])[:, None])
        assert tails.cdf(counts[0])[1, 0] == pytest.approx(0.025, rel=1e-4)
        assert row["low"] == 0 if not counts[0] else tails.sf(counts[0] - 1)[0, 0] == pytest.approx(0.025, rel=1e-4)
    assert pairs.loc[("C1", "C3"), "low"] > 1 > pairs.loc[("C1", "C6"), "high"]
    assert pairs.loc[("C1", "C10"), "low"] < 1 < pairs.loc[("C1", "C10"), "high"]
    assert (multiverse.together(claims, "rule")["neither"] == 80).all()


@pytest.mark.parametrize("seen", [(0, 0), (0, 5), (3, 2)])
def test_claims_that_are_hardly_ever_seen_and_never_at_once_do_not_go_together(seen):
    """With ½ in each count the interval of 0, 3, 2, 1019 would lie above 1."""
    first, second = seen
    shown = {"C1": np.arange(1024) < first, "C3": np.arange(1024) >= 1024 - second}
    row = multiverse.together(claims_of({key: 4 * array for key, array in shown.items()})).iloc[1]
    assert (row["first"], row["second"], row["both"]) == ("C1", "C3", 0)
    assert row["low"] == 0 and row["high"] > 1


def test_numbers_of_pairs_name_those_whose_intervals_exclude_one():
    """Counts of the others: C3 and C6 3, 15, 37, 25; C6 and C10 30, 10, 10, 30; C3 and C10, too few, 13, 5, 27, 35."""
    numbers = multiverse.pair_numbers(Judged(paired(), observed_of(80)))
    assert numbers["together"] == "C1 with C3 and C6 with C10"
    assert numbers["apart"] == "C1 with C6 and C3 with C6"
    # Of the ten claims four are seen at all: their six pairs, but for one, are seen at once.
    assert (numbers["c1-and-c3"], numbers["pairs"], numbers["never-both"]) == ("15", "45", "40")


# --- near to the paper ---


def test_the_nearest_reproduces_most_and_shares_decide_between_equals():
    observed = observed_of(5)
    observed.loc[3, list(OBSERVATIONS)] = 0.9  # much of all, and nothing whole
    for universe, (whole, part) in {0: (2, 0.5), 1: (3, 0.0), 2: (2, 0.9), 4: (2, 0.9)}.items():
        observed.loc[universe, list(OBSERVATIONS)[:whole]] = 1.0
        observed.loc[universe, list(OBSERVATIONS)[-1]] = part
    near = multiverse.nearness(observed)
    assert near["universe"].tolist() == [1, 2, 4, 0, 3] and near["reproduced"].tolist() == [3, 2, 2, 2, 0]
    assert near["shares"].tolist() == pytest.approx([3, 2.9, 2.9, 2.5, 0.9 * len(OBSERVATIONS)])


def test_a_level_that_was_planted_among_the_near_is_over_represented():
    places = drawn(400)
    planted = places.index[places["overlap"] == 2][:15]
    near = [*planted, *places.index[places["overlap"] == 0][:5]]
    table = multiverse.over_represented(places, near).set_index(["axis", "level"])
    row = table.loc[("overlap", AXES["overlap"][2].name)]
    assert row["near"] == 15 and row["drawn"] == 0.25
    assert tuple(row[["share", "low", "high"]]) == multiverse.share(15, 20) and row["low"] > row["drawn"]
    assert table.loc[("overlap", AXES["overlap"][1].name), "near"] == 0
    assert (table.groupby("axis")["near"].sum() == 20).all()
    assert table.groupby("axis")["drawn"].sum().tolist() == pytest.approx([1.0] * len(AXES))
    assert len(table) == sum(map(len, AXES.values()))


# --- what the chapter shows ---


@pytest.fixture(scope="module")
def made() -> Judged:
    """64 universes: C1 by overlap's form, C2 in all, C3 in four; other readings of C1 in none; half of them fit."""
    places = multiverse.codes(multiverse.sample("sobol")[:64])
    shown = {"C1": 4 * (places["overlap"] == 1), "C2": np.full(64, 4), "C3": np.where(np.arange(64) < 4, 4, 1)}
    nominal = claims_of(shown, effects=np.linspace(-5, 5, 64))
    others = [
        nominal[nominal["claim"] == "C1"].assign(reading=name, by_mean=False) for name in judging.readings("C1")[1:]
    ]
    observed = observed_of(64, fit=np.where(np.arange(64) % 2, 0.01, 0.5))
    observed.loc[3, list(OBSERVATIONS)[:5]] = 1.0
    return Judged(pd.concat([nominal, *others], ignore_index=True), observed)


def test_tables_of_axes_and_observations_name_all_of_them(made):
    axes = multiverse.table_of_axes()
    assert axes["levels"].to_dict() == {axis: len(levels) for axis, levels in AXES.items()}
    assert axes.loc["optimiser", "which"] == "; ".join(level.name for level in AXES["optimiser"])
    table = multiverse.table_of_observations(made)
    assert list(table.index) == list(OBSERVATIONS)
    assert table["universes"].tolist() == ["1.6%"] * 5 + ["0.0%"] * (len(OBSERVATIONS) - 5)
    assert table["the paper reports"].tolist() == [one.says for one in OBSERVATIONS.values()]


def test_shares_are_tabulated_and_drawn_of_all_and_of_those_that_fit(made):
    count = int((made.of_claims.query("claim == 'C1'")["by_mean"]).sum())
    low, high = multiverse.share(count, 64)[1:]
    table = multiverse.share_table(made)
    assert table.loc["C1", "by mean"] == f"{count} ({count / 64:.1%} [{low:.1%}, {high:.1%}])"
    assert table.loc["C3", "by mean, those that fit"].startswith("2 (6.2% ")
    assert table.loc["C1", "by rule"].startswith("0 (0.0% ")
    assert table.loc["C3", "cases, by mean"] == f"{(4 + 60 / 4) / 64:.0%}"
    panels = multiverse.share_panels(made)
    assert list(panels) == ["all universes (64)", "those in which all masks fit (32)"]
    every, fit = (panel.set_index(["claim", "read"]) for panel in panels.values())
    assert every.loc[("C1", "by mean")].tolist() == pytest.approx([count / 64, low, high])
    assert fit.loc[("C3", "by mean")].tolist() == pytest.approx(list(multiverse.share(2, 32)))
    assert (every.loc[(slice(None), "by rule"), "share"] == 0).all() and len(every) == 2 * len(ASKS)


def test_other_readings_are_tabulated_of_claims_that_have_some(made):
    table = multiverse.reading_table(made)
    assert list(table.index) == ["C1"] and list(table) == judging.readings("C1")
    assert table.loc["C1"].tolist() == ["25%", "0%", "0%", "0%"]
    both = Judged(
        pd.concat([made.claims, claims_of({"C1": [0] * 64}, reading="S, by neuron").query("claim == 'C2'")]),
        made.observed,
    )
    assert multiverse.reading_table(both).loc["C2", "E, value alone"] == "–"


def decided_of(r2: dict[str, float], **main: dict[str, float]) -> pd.DataFrame:
    """Made-up effects: of some claims the main ones by axis, others 0, with total ones twice as large."""
    rows = [
        {"claim": key, "axis": axis, "main": own.get(axis, 0.0), "total": 2 * own.get(axis, 0.0), "R²": r2[key]}
        for key, own in main.items()
        for axis in AXES
    ]
    return pd.DataFrame(rows)


DECIDED = decided_of(
    {"C1": 0.5, "C2": multiverse.KNOWN, "C3": multiverse.KNOWN - 0.001, "C6": math.nan},
    C1={"τ": 0.4, "steps": 0.3, "λ": 0.2, "inputs": 0.1},
    C2={"overlap": 0.1, "steps": 0.2, "τ": 0.45},
    C3={"steps": 0.05, "τ": 0.04, "λ": 0.03},
    C6={"τ": 0.01},
)


def test_curves_are_drawn_over_the_axes_that_decide_most_with_the_nominal_universe_marked(made):
    places = multiverse.codes(multiverse.sample("sobol")[:64])
    nominal = Judged(claims_of({"C1": [0, 0]}, effects=[1.7, 9.0]), observed_of(2))
    panels = multiverse.curve_panels(made, places, DECIDED, ["C3", "C1"], nominal)
    assert list(panels) == ["C3", "C1"]
    curve, marked, strip = panels["C1"]
    assert list(strip["level"].str.split(":").str[0].unique()) == ["τ", "steps", "λ"]
    effects = np.linspace(-5, 5, 64)
    assert curve["effect"].tolist() == pytest.approx(np.clip(effects, -multiverse.CLIP, multiverse.CLIP).tolist())
    assert curve["high"].max() == multiverse.CLIP and curve["low"].min() == -multiverse.CLIP
    assert marked.to_dict("records") == [{"rank": (effects < 1.7).mean(), "effect": 1.7}]


def test_total_effects_are_shown_where_the_surrogate_knows_enough():
    main, total = (
        cells.set_index(["column", "row"])["value"] for cells in multiverse.deciding_panels(DECIDED).values()
    )
    assert (main["C1", "τ"], main["C3", "steps"], main["C1", "inputs"]) == (0.4, 0.05, 0.1)
    assert (total["C1", "τ"], total["C2", "steps"], total["C2", "inputs"]) == (0.8, 0.4, 0)
    assert total["C3"].isna().all() and total["C6"].isna().all() and len(main) == len(total) == 4 * len(AXES)
    table = multiverse.deciding_table(DECIDED)
    assert table.loc["C1"].tolist() == ["τ 0.40 (0.80)", "steps 0.30 (0.60)", "λ 0.20 (0.40)", "0.50"]
    assert table.loc["C2", "R²"] == "0.10" and table.loc["C2", "first"] == "τ 0.45 (0.90)"
    assert table.loc["C3", "first"] == "steps 0.05 (–)"
    assert table.loc["C6", ["first", "R²"]].tolist() == ["τ 0.01 (–)", "–"]


def test_numbers_of_what_decides_count_claims_and_name_the_largest():
    numbers = multiverse.deciding_numbers(DECIDED)
    assert numbers["axes-often"] == "τ (4) and steps (3)"
    assert set(numbers["axes-never"].replace(" and ", ", ").split(", ")) == {*AXES} - {"τ", "steps", "λ", "overlap"}
    assert numbers["known-claims"] == "C1 and C2"
    largest = [numbers[f"largest-main{part}"] for part in ("", "-claim", "-axis")]
    assert largest == ["0.45", "C2", "τ"]


def test_pairs_are_drawn_both_ways_round_and_tabulated(made):
    pairs = multiverse.together(made.of_claims)
    cells = multiverse.pair_cells(pairs).set_index(["row", "column"])["value"]
    own = pairs.set_index(["first", "second"])
    assert len(cells) == 2 * len(pairs)
    assert cells["C1", "C3"] == cells["C3", "C1"] == pytest.approx(math.log10(own.loc[("C1", "C3"), "odds ratio"]))
    assert list(cells.index.get_level_values("row").unique()) == list(ASKS)
    row = multiverse.pair_table(pairs).loc["C1 and C3"]
    assert row[["both", "first only", "second only", "neither"]].tolist() == own.loc[("C1", "C3")].tolist()[:4]
    assert row["odds ratio"] == "{:.2g} [{:.2g}, {:.2g}]".format(*own.loc[("C1", "C3")].tolist()[4:])


def test_the_nearest_are_tabulated_with_their_levels(made):
    sample = multiverse.sample("sobol")
    table = multiverse.nearest_table(made, sample, 3)
    assert table.index[0] == 3 and len(table) == 3
    assert table.iloc[0].to_dict() == {"reproduced": f"5 of {len(OBSERVATIONS)}"} | sample[3].names


# --- what is stored ---


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """A book's folder with a few universes of two samples: sizes 3 and 5, three seeds, a few steps."""
    root = tmp_path_factory.mktemp("book")
    (root / "data").mkdir()
    short = [NOMINAL.but(steps=Level(f"{steps}", {"steps": steps})) for steps in (2, 20)]
    runs = run_universes(dict(enumerate(short)), sizes=(3, 5), seeds=SEEDS[:3], progress=False)
    first = runs[runs["universe"] == 0]
    for name, table in {"sobol-0000": runs, "sobol-0009": first.assign(universe=9), "neighbours-0000": first}.items():
        table.to_parquet(root / "data" / f"multiverse-{name}.parquet")
    (root / "data" / "multiverse-sobol.yaml").write_text("", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def judged(kept) -> Judged:
    return multiverse.judge_stored(kept)


@pytest.mark.long
def test_stored_runs_are_those_of_one_sample_in_order(kept):
    names = [path.name for path in multiverse.runs_of(kept, "sobol")]
    assert names == ["multiverse-sobol-0000.parquet", "multiverse-sobol-0009.parquet"]
    assert multiverse.runs_of(kept, "start-overlap") == []


@pytest.mark.long
def test_stored_runs_are_judged_by_sample_and_universe(kept, judged):
    runs = pd.read_parquet(kept / "data" / "multiverse-sobol-0000.parquet")
    for table, expected in zip(judged, judging.judge_universes(runs), strict=True):
        order = list(table[["sample", "universe"]].drop_duplicates().itertuples(index=False, name=None))
        assert order == [("sobol", 0), ("sobol", 1), ("sobol", 9), ("neighbours", 0)]
        chosen = table[(table["sample"] == "sobol") & (table["universe"] < 9)].drop(columns="sample")
        pd.testing.assert_frame_equal(chosen.reset_index(drop=True), expected)
        own, *same = (
            table[table["sample"] + table["universe"].astype(str) == k] for k in ("sobol0", "sobol9", "neighbours0")
        )
        for other in same:  # the same runs by other names
            pd.testing.assert_frame_equal(
                *(one.drop(columns=["sample", "universe"]).reset_index(drop=True) for one in (own, other))
            )


@pytest.mark.long
def test_universes_that_are_judged_together_do_not_change_what_is_seen(kept, judged, monkeypatch):
    monkeypatch.setattr(multiverse, "BATCH", 1)
    for one, other in zip(multiverse.judge_stored(kept), judged, strict=True):
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.long
def test_two_workers_see_what_one_process_does_and_it_is_stored(kept, judged):
    multiverse.write(kept, workers=2)
    for sample in ("sobol", "neighbours"):
        claims, observed = multiverse.stored(kept, sample)
        own, shares = (table[table["sample"] == sample].drop(columns="sample") for table in judged)
        pd.testing.assert_frame_equal(observed.reset_index(drop=True), shares.reset_index(drop=True))
        floats = dict.fromkeys(("effect", "low", "high"), np.float32)
        pd.testing.assert_frame_equal(claims.reset_index(drop=True), own.reset_index(drop=True).astype(floats))
    assert multiverse.stored(kept, "start-overlap").observed.empty


def test_numbers_of_shares_name_claims_by_them():
    """Of all universes and, in the second half, of those that fit: C2 is seen in most, C6 only where masks fit."""
    judged = Judged(
        claims_of({"C2": 4 * (np.arange(40) < 30), "C1": 4 * (np.arange(40) < 4), "C6": 4 * (np.arange(40) >= 36)}),
        observed_of(40, fit=np.where(np.arange(40) < 20, 0.5, 0.01)),
    )
    judged.claims.loc[(judged.claims["claim"] == "C2") & (judged.claims["universe"] < 2), "by_rule"] = True
    numbers = multiverse.share_numbers(judged, judged.fitting())
    assert (numbers["c1-mean"], numbers["c3-mean"], numbers["c4-mean"]) == ("10%", "0%", "0%")
    assert numbers["often"] == "C2" and numbers["seldom"] == "C3, C4, C5, C7, C9, C10 and C10s"
    assert (numbers["largest-rule"], numbers["largest-rule-claim"]) == ("5%", "C2")
    assert "C2" not in numbers["rule-none"] and "C1" in numbers["rule-none"]
    moved = [numbers[f"most-moved{part}"] for part in ("", "-mean", "-fitting")]
    assert moved == ["C2", "75%", "50%"]


def test_numbers_of_the_prose_are_those_of_what_is_stored(made, tmp_path, monkeypatch):
    """What decides is asked once of the whole sample's places, and of the nominal reading."""
    (tmp_path / "data").mkdir()
    near = Judged(claims_of({"C1": [4, 0, 0]}), observed_of(3))
    near.observed.loc[0, list(OBSERVATIONS)[:2]] = 1.0
    near.observed.loc[1, list(OBSERVATIONS)[:3]] = 1.0
    both = {
        "sobol": Judged(made.claims, made.observed.assign(lost=2 * (made.observed["universe"] < 5))),
        "neighbours": near,
    }
    for k, file in enumerate((multiverse.CLAIMS, multiverse.OBSERVED)):
        table = pd.concat([judged[k].assign(sample=name) for name, judged in both.items()])
        table.to_parquet(tmp_path / "data" / f"{file}.parquet")
    for part in ("grid_numbers", "step_numbers"):
        monkeypatch.setattr(multiverse, part, lambda folder, part=part: {part: str(folder.name)})
    asked = []
    monkeypatch.setattr(multiverse, "what_decides", lambda *arguments: asked.append(arguments) or DECIDED)
    numbers = [multiverse.numbers(tmp_path / "data") for _ in range(2)][-1]
    ((places, claims),) = asked
    assert len(places) == 1024 and set(claims["reading"]) == {"nominal"} and claims["universe"].nunique() == 64
    expected = {"universes": "64", "planned": "1,024", "neighbours": "2", "runs": "30,720", "lost": "10"}
    expected |= {"lost-universes": "5", "fits": "0.1", "known": "0.1", "fitting": "32", "c1-mean": "25%"}
    expected |= {"observations": "13", "most-reproduced": "5", "median-reproduced": "0", "nominal-reproduced": "2"}
    expected |= {"neighbour-reproduced": "3", "as-many-as-nominal": "2%", "axes-often": "τ (4) and steps (3)"}
    expected |= {"grid_numbers": tmp_path.name, "step_numbers": "data"}
    assert {name: numbers[name] for name in expected} == expected
    assert numbers["combinations"] == f"{np.prod([len(levels) for levels in AXES.values()]):,}"


def test_the_grids_are_shown_by_their_axes_and_the_best_of_each_is_named(monkeypatch):
    """On either grid the universe of a given number reproduces most: four observations, the others two."""
    best = {"strength-temperature": 12, "start-overlap": 30}

    def stored(root: Path, name: str) -> Judged:
        observed = observed_of(len(multiverse.sample(name)))
        observed[list(OBSERVATIONS)[:2]] = 1.0
        observed.loc[best[name], list(OBSERVATIONS)[:4]] = 1.0
        return Judged(pd.DataFrame(), observed)

    monkeypatch.setattr(multiverse, "stored", stored)
    panels = multiverse.grid_panels(Path())
    assert [len(panel) for panel in panels.values()] == [81, 32]
    for panel, (name, (row, column)) in zip(panels.values(), multiverse.GRIDS.items(), strict=True):
        names = multiverse.sample(name)[best[name]].names
        (cell,) = panel[panel["value"] > 2 / 13].to_dict("records")
        shown = {"τ": lambda τ: f"{math.log10(float(τ)):.1f}", "overlap": multiverse.SHORT.get}[column](names[column])
        assert cell == {"row": names[row], "column": shown, "value": pytest.approx(4 / 13)}
        assert panel.groupby("row")["column"].nunique().eq(panel["column"].nunique()).all()
    numbers = multiverse.grid_numbers(Path())
    assert numbers["most-on-strength-temperature"] == numbers["most-on-start-overlap"] == "4"
    names = multiverse.sample("start-overlap")[30].names
    assert (numbers["best-start"], numbers["best-overlap"]) == (names["initialisation"], names["overlap"])


def test_steps_stand_beside_the_nominal_level_s(tmp_path):
    levels = {"inputs": {"random": 20.0, "grid": 22.0}, "overlap": {"product": 10.0, "squared Gram": 60.0}}
    levels["overlap"]["squared covariance"] = 70.0
    steps = [
        {"axis": axis, "level": level, "size": size, "microseconds": value * size / 100}
        for size in (20, 100)
        for axis, of in levels.items()
        for level, value in of.items()
    ]
    (tmp_path / "benchmarks.json").write_text(json.dumps({"levels": {"steps": steps}}), encoding="utf-8")
    table = multiverse.step_table(tmp_path)
    assert list(table.columns) == ["N = 20", "N = 100"] and list(table.index)[:2] == ["inputs: random", "inputs: grid"]
    assert table.loc["overlap: squared Gram"].tolist() == ["12 (6.0)", "60 (6.0)"]
    assert multiverse.step_numbers(tmp_path) == {"nominal-step": "20", "gram-steps": "6.0 to 7.0"}


# --- the pictures ---


def test_the_picture_of_shares_shows_every_claim_s_share_with_its_interval(made):
    panels = multiverse.share_panels(made)
    chart = pictures.shares_of_universes(panels)
    assert [panel.title for panel in chart.concat] == list(panels)
    drawn = rows(chart)
    expected = pd.concat(panels).to_dict("records")
    assert len(drawn) == len(expected)
    for row, own in zip(drawn, expected, strict=True):
        assert (row["claim"], row["read"]) == (own["claim"], own["read"])
        assert [row[end] for end in ("share", "low", "high")] == pytest.approx(
            [own[end] for end in ("share", "low", "high")], rel=1e-5
        )
    assert chart.to_dict()["concat"][0]["layer"][1]["encoding"]["x"]["scale"] == {"domain": [0, 1]}


def test_the_picture_of_curves_shows_the_effects_the_nominal_universe_and_the_strip():
    curve = pd.DataFrame({"rank": [0.25, 0.75], "effect": [-0.5, 0.5], "low": [-1.0, 0.25], "high": [0.0, 1.0]})
    marked = pd.DataFrame({"rank": [0.5], "effect": [0.125]})
    strip = pd.DataFrame({"start": [0.0, 0.5], "end": [0.5, 1.0], "level": "τ: 0.1", "value": [0.5, 1.5]})
    chart = pictures.specification_curves({"C1": (curve, marked, strip), "C3": (curve, marked, strip)}, "rank")
    drawn = rows(chart)
    for table in (curve, marked, strip):
        assert all(row in drawn for row in table.to_dict("records"))
    assert {"effect": 0.0} in drawn, "the line of no effect"
    assert [panel.vconcat[0].title for panel in chart.concat] == ["C1", "C3"]
    assert len(chart.to_dict()["concat"]) == 2
