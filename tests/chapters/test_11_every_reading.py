"""What chapter 11 says of the universes that have been run."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from literate import says

from companion.judging.claims import FACTOR
from companion.judging.multiverse import ASKS, FITS, LARGEST, LOST, OBSERVATIONS
from companion.judging.verdicts import E
from companion.show.words import percent
from companion.studies import multiverse, robustness
from companion.sweeps.sweep import PAPER_SIZES
from companion.sweeps.universes import AXES, SEEDS

pytestmark = pytest.mark.long

states = says("11-every-reading")


@pytest.fixture(scope="module")
def judged():
    return multiverse.stored(ROOT, "sobol")


@pytest.fixture(scope="module")
def near():
    return multiverse.stored(ROOT, "neighbours")


@pytest.fixture(scope="module")
def shares(judged):
    return multiverse.shares(judged.of_claims).set_index("claim")


@pytest.fixture(scope="module")
def decided():
    return multiverse.decided_in(ROOT)


@pytest.fixture(scope="module")
def numbers():
    return multiverse.numbers(ROOT / "data")


@pytest.fixture(scope="module")
def own():
    return robustness.own_numbers(ROOT)


# --- the sample ---


@states("The axes have {combinations} combinations of levels.")
def test_the_combinations_are_the_product_of_the_levels(numbers):
    assert numbers["combinations"] == f"{math.prod(map(len, AXES.values())):,}"


@states(
    "Of these the first {universes} are run so far; the rest will follow, and every number of this page with them.",
    "each has seeds 7000 to 7009, which nothing before had looked at",
)
def test_the_universes_that_are_run_are_the_first_ones(judged):
    count = len(judged.observed)
    assert judged.observed["universe"].tolist() == list(range(count)) and count < len(multiverse.sample("sobol"))
    stored = pd.concat(
        [pd.read_parquet(path, columns=["universe", "seed"]) for path in multiverse.runs_of(ROOT, "sobol")]
    )
    assert stored["universe"].nunique() == count and len(stored) == 480 * count
    assert sorted(stored["seed"].unique()) == list(SEEDS)


@states("and all {neighbours} that differ from it on one axis")
def test_the_neighbours_differ_on_one_axis(near):
    sampled = multiverse.sample("neighbours")
    different = [
        sum(one != other for one, other in zip(universe.levels, sampled[0].levels, strict=True)) for universe in sampled
    ]
    assert different == [0] + [1] * (len(sampled) - 1) and len(near.observed) == len(sampled)


@states(
    "which then counts as the worst that there is (E at the largest 32-bit number, no specialization, all expelled); "
    "{lost} of {runs} runs are, in {lost-universes} universes."
)
def test_lost_runs_are_counted_and_none_is_left_out(judged):
    assert (LOST[E], LOST["specialization_ratio"], LOST["expelled_fraction"]) == (LARGEST, 0.0, 1.0)
    runs = pd.concat([pd.read_parquet(path) for path in multiverse.runs_of(ROOT, "sobol")])
    lost = runs[runs[E].isna()].groupby("universe").size()
    assert judged.observed.set_index("universe")["lost"].loc[lost.index].tolist() == lost.tolist()
    assert judged.observed["lost"].sum() == lost.sum()


@states(
    "(the median root mean squared error of each is at most {fits} at every size; targets lie between 0 and 1) is a "
    "second set: {fitting} universes."
)
def test_the_universes_that_fit(judged, numbers):
    runs = pd.read_parquet(multiverse.runs_of(ROOT, "sobol")[0], columns=["universe", "mask", "size", "fit_mse"])
    runs["rmse"] = np.sqrt(runs["fit_mse"].fillna(LARGEST))
    worst = runs.groupby(["universe", "mask", "size"])["rmse"].median().groupby("universe").max()
    fit = set(judged.fitting().observed["universe"])
    assert fit & set(worst.index) == set(worst.index[worst <= FITS]) and numbers["fitting"] == str(len(fit))


# --- shares ---


@states(
    "Seldom, as far as they have been run",
    "the following are seen in at least half of them: {often} ({c4-mean}).",
)
def test_most_claims_are_seen_in_fewer_than_half_of_the_universes(shares):
    often = shares.index[shares["mean share"] >= 1 / 2]
    assert list(often) == ["C4"] and len(shares) == len(ASKS)
    assert shares["mean share"].median() < 1 / 5


@states(
    "That coverage is lowest at every size (C1) is seen in {c1-mean}, that overlap is the higher band at every size"
)
def test_both_are_seen_in_few(shares):
    assert (shares.loc[["C1", "C3"], "mean share"] < 1 / 5).all()


@states(
    "No universe of them reproduces more than {most-reproduced} of {observations} observations that the paper reports"
)
def test_no_universe_reproduces_all(judged, near, numbers):
    reproduced = (judged.observed[list(OBSERVATIONS)] == 1).sum(axis=1)
    assert numbers["most-reproduced"] == str(reproduced.max()) and reproduced.max() < len(OBSERVATIONS)
    nominal = near.observed.query("universe == 0")[list(OBSERVATIONS)]
    assert numbers["nominal-reproduced"] == str(int((nominal == 1).sum(axis=1).iloc[0]))


@states("By means, {seldom} are seen in fewer than one universe of ten.")
def test_the_claims_that_are_seen_seldom(shares, numbers):
    assert numbers["seldom"].replace(" and ", ", ").split(", ") == list(shares.index[shares["mean share"] < 0.1])


@states("its share of cases is the same in all")
def test_means_show_one_of_each_pair_of_c4_s_cases(judged, near):
    for some in (judged, near):
        of_c4 = some.of_claims.query("claim == 'C4'")
        assert (2 * of_c4["mean"] == of_c4["cases"]).all()


def test_the_picture_of_shares_is_as_its_text_says(judged):
    for panel in multiverse.share_panels(judged).values():
        share = panel.set_index(["read", "claim"])["share"]
        assert share["by mean", "C4"] > 1 / 2 and (share["by rule"] < 1 / 3).all()
        assert (share["by mean"].drop(["C4", "C5"]) < 1 / 3).all()


# --- one curve a claim, what decides, together ---


def test_the_curves_are_as_their_text_says(judged, near, decided):
    places = multiverse.codes(multiverse.sample("sobol"))
    panels = multiverse.curve_panels(judged, places, decided, ["C1", "C2", "C3", "C9"], near)
    middle = {key: curve["effect"].median() for key, (curve, _, _) in panels.items()}
    assert abs(middle["C1"]) < 0.2 and abs(middle["C2"]) < 0.2
    assert (panels["C3"][0]["effect"] < 0).mean() > 1 / 2 and panels["C3"][1]["rank"].iloc[0] > 4 / 5
    assert (panels["C9"][0]["effect"] < 0).all()
    for curve, _, strip in panels.values():
        assert curve["effect"].is_monotonic_increasing
        assert np.allclose(strip.groupby("level")["value"].mean(), 1, atol=0.1)


@states("no single choice decides a claim by itself")
def test_no_axis_explains_half_of_a_claim(decided, numbers):
    assert decided["main"].max() < 1 / 2 and numbers["largest-main"] == f"{decided['main'].max():.2f}"


@states("For no claim: {axes-never}.", "(in brackets, for how many)")
def test_which_axes_matter_for_how_many_claims(decided, numbers):
    largest = [set(group.nlargest(3, "main")["axis"]) for _, group in decided.groupby("claim")]
    counts = {axis: sum(axis in some for some in largest) for axis in AXES}
    assert (
        numbers["axes-never"] in (", ".join(axis for axis in AXES if not counts[axis]), "none")
        or " and " in numbers["axes-never"]
    )
    for text in numbers["axes-often"].replace(" and ", ", ").split(", "):
        axis, _, count = text.rpartition(" (")
        assert counts[axis] == int(count.rstrip(")")) >= 3


def test_the_map_of_effects_is_as_its_text_says(decided):
    panels = multiverse.deciding_panels(decided)
    assert (panels["main effects"]["value"] < 1 / 2).all()
    empty = panels["total effects"].groupby("column")["value"].apply(lambda values: values.isna().all())
    assert not empty.all()
    assert (decided.groupby("claim")["R²"].first() < multiverse.KNOWN).eq(empty).all()


@states("{never-both} pairs are seen together in no universe of these")
def test_pairs_that_are_never_seen_together(judged, numbers):
    seen = judged.of_claims.pivot(index="universe", columns="claim", values="by_mean").astype(int)
    both = seen.T @ seen
    never = sum(both.loc[one, other] == 0 for k, one in enumerate(ASKS) for other in list(ASKS)[k + 1 :])
    assert numbers["never-both"] == str(never) and numbers["c1-and-c3"] == str(both.loc["C1", "C3"])


# --- two grids, our own results, what a step costs ---


@states(
    "On the first grid the most is {most-on-strength-temperature} of {observations}, at λ = {best-strength} and τ = "
    "{best-temperature}; on the second {most-on-start-overlap}, with the start *{best-start}* and the overlap "
    "*{best-overlap}*"
)
def test_the_most_that_the_grids_reproduce(numbers):
    """And the picture's text: no universe of them reproduces all."""
    for name, (row, column) in multiverse.GRIDS.items():
        counts = (multiverse.stored(ROOT, name).observed.set_index("universe")[list(OBSERVATIONS)] == 1).sum(axis=1)
        assert numbers[f"most-on-{name}"] == str(counts.max()) and counts.max() < len(OBSERVATIONS)
        sampled = multiverse.sample(name)
        best = [sampled[universe].names for universe in counts.index[counts == counts.max()]]
        parts = name.split("-")
        assert (numbers[f"best-{parts[0]}"], numbers[f"best-{parts[1]}"]) in [(one[row], one[column]) for one in best]


@states(
    "The means show it at {hot-sizes} of the six sizes, at fewest for λ = {hot-seldom}; the rule supports it at "
    "{hot-by-rule} at most. These temperatures end at 0.1; the ledger's go up to 10 (@sec-c8)"
)
def test_at_which_strengths_separation_expels_only_when_hot(own):
    hot = robustness.hot_by_strength(ROOT)
    assert (hot["cases"] == len(PAPER_SIZES)).all() and own["hot-by-rule"] == f"{hot['rule'].max()}"
    assert own["hot-sizes"] == f"{hot['mean'].min()} to {hot['mean'].max()}"
    fewest = hot.index[hot["mean"] == hot["mean"].min()]
    assert own["hot-seldom"].replace(" and ", ", ").split(", ") == [f"{strength:.3g}" for strength in fewest]
    heats = pd.read_parquet(ROOT / "data/ledger-temperature.parquet", columns=["temperature"])["temperature"]
    own_heats = [one.settings("001", 3).temperature for one in multiverse.sample("strength-temperature")]
    assert heats.max() == 10 and max(own_heats) == pytest.approx(0.1)


@states(
    "The first {attractor-universes} universes were run again with transport",
    "beside overlap, position errors at most 1.5 times Std's",
    "Not in all. C10s is seen in {c10s-with-coverage} with coverage and in {c10s-with-transport} with transport, of "
    "its cases {c10s-cases-with-coverage} and {c10s-cases-with-transport}; the lowest error at every size (C1) in "
    "{c1-with-coverage} and {c1-with-transport}, and more specialization (C2) in {c2-with-coverage} and "
    "{c2-with-transport}.",
)
def test_transport_is_no_attractor_that_works_in_all_universes(own, judged):
    transport = multiverse.stored(ROOT, "transport")
    numbers = sorted(transport.observed["universe"])
    assert numbers == list(range(len(numbers))) and own["attractor-universes"] == str(len(numbers))
    for name, some in {"coverage": judged, "transport": transport}.items():
        claims = some.of_claims[some.of_claims["universe"].isin(numbers)].set_index("claim")
        for key in ("C1", "C2", "C10s"):
            assert own[f"{key.lower()}-with-{name}"] == percent(claims.loc[key, "by_mean"].mean())
        cases = (claims.loc["C10s", "mean"] / claims.loc["C10s", "cases"]).mean()
        assert own[f"c10s-cases-with-{name}"] == percent(cases)
    assert not transport.of_claims.query("claim == 'C10s'")["by_mean"].all() and FACTOR == 1.5


@states(
    "A form obeys the law here if 2 lies in the interval of the exponent that makes the sizes most alike. So do: "
    "{law-kept}. So do not: {law-broken}"
)
def test_which_separations_obey_the_crowding_law(own):
    laws = robustness.crowding_laws(ROOT)
    obeys = (laws["exponent low"] <= 2) & (laws["exponent high"] >= 2)
    for name, chosen in {"law-kept": obeys, "law-broken": ~obeys}.items():
        listed = own[name].replace(" and ", ", ").split(", ")
        assert listed == (list(laws.index[chosen]) or ["none"])


@states(
    "The largest main effects on transport's share of C10s' cases are those of {transport-decides}",
    "More about how strong the losses are. The largest main effects on the share of its cases are those of "
    "{c5-decides}; that of the number of steps is {c5-steps}, the optimiser's {c5-optimiser}",
)
def test_what_decides_where_transport_works_and_where_overlap_fits(own, decided):
    effects = decided.query("claim == 'C5'").set_index("axis")["main"]
    transport = robustness.where_transport_fails({"transport": multiverse.stored(ROOT, "transport")})
    for name, found in {"c5-decides": effects, "transport-decides": transport}.items():
        for text in own[name].replace(" and ", ", ").split(", "):
            axis, _, value = text.rstrip(")").rpartition(" (")
            assert value == f"{found[axis]:.2f}" and (found > found[axis]).sum() < 3
    stop = effects[["steps", "optimiser"]]
    assert [own["c5-steps"], own["c5-optimiser"]] == [f"{effect:.2f}" for effect in stop]
    assert effects[["reduction", "λ"]].min() > stop.max(), "what multiplies the losses decides more than the stop"


@states(
    "Most levels cost what the nominal one does: a step of $N = 100$ with all three losses takes {nominal-step} "
    "microseconds on one core. The two forms of overlap that need all products of two neurons' responses take "
    "{gram-steps} times as long as the mean product"
)
def test_what_a_step_costs(numbers):
    stored = json.loads((ROOT / "data/benchmarks.json").read_text(encoding="utf-8"))["levels"]["steps"]
    step = {(one["axis"], one["level"]): one["microseconds"] for one in stored if one["size"] == 100}
    assert numbers["nominal-step"] == f"{step['inputs', 'random']:.0f}"
    factors = [value / step[axis, AXES[axis][0].name] for (axis, _), value in step.items()]
    assert np.mean([4 / 5 < factor < 5 / 4 for factor in factors]) > 1 / 2, "most cost what the nominal one does"
    factors = sorted(
        step["overlap", form] / step["overlap", "product"] for form in ("squared Gram", "squared covariance")
    )
    assert numbers["gram-steps"] == "{:.1f} to {:.1f}".format(*factors)


def test_stored_words_are_those_of_the_stored_runs(judged):
    """Two universes of the first file, judged again."""
    path = multiverse.runs_of(ROOT, "sobol")[0]
    again = multiverse.judge_universes(pd.read_parquet(path, filters=[("universe", "in", [3, 77])]))
    for fresh, table, keys in zip(again, judged, (["universe", "claim", "reading"], ["universe"]), strict=True):
        kept = table[table["universe"].isin([3, 77])].sort_values(keys).reset_index(drop=True)
        fresh = fresh.sort_values(keys).reset_index(drop=True)[kept.columns]
        pd.testing.assert_frame_equal(fresh, kept, check_dtype=False, rtol=1e-5)
