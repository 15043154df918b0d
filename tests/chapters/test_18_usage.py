"""What chapter 18 says of the two meanings of usage."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ROOT
from literate import says

from companion.core.settings import MASKS
from companion.judging.claims import ACTIVE, FREE, coverage_specialises
from companion.studies import usage

pytestmark = pytest.mark.long
states = says("18-usage")
RATIOS = ("response", "nearest")


@pytest.fixture(scope="module")
def found():
    return usage.results(ROOT / "data")


@pytest.fixture(scope="module")
def runs(found):
    return found.runs


@pytest.fixture(scope="module")
def samples(found):
    return found.samples


@pytest.fixture(scope="module")
def apart(samples):
    """Samples for which the two meanings name different neurons."""
    return samples[~samples["same"]]


@pytest.fixture(scope="module")
def means(runs):
    return usage.mean_ratios(runs)


@pytest.fixture(scope="module")
def agree(samples):
    return usage.agreement(samples)


@states(
    "Often not: the two name the same neuron for {least-agreement} to {greatest-agreement} of samples, least "
    "under 001 Sep",
)
def test_often_the_two_name_another_neuron_most_often_under_separation(agree):
    assert agree.min(axis=1).idxmin() == "001" and agree.min(axis=None) < 0.6


@states(
    "when they differ, the neuron that responds most is always a wider one, farther from the sample",
    "the neuron that responds most has a smaller $|w|$ in all {samples-apart} of these samples, as it must",
)
def test_where_they_differ_the_neuron_that_responds_most_is_wider_and_farther(apart):
    assert (apart["w most"] < apart["w near"]).all() and (apart["distance most"] > apart["distance near"]).all()


@states(
    "*How many* neurons are used is nearly the same by either: the mean ratios differ by "
    "{greatest-gap-rounded} at most",
    "The two panels look alike",
)
def test_how_many_neurons_are_used_is_nearly_the_same_by_either(means):
    assert means["gap"].max() < 0.05 < means["response"].min() and means["response"].max() > 0.6


@states(
    "both claims have the same verdict either way (C2 holds in part, C7 does not hold)",
    "**C2** holds in part by the largest response",
    "and holds in part by the nearest prototype",
    "**C7** does not hold by either.",
    "Either meaning gives the verdicts above",
)
def test_both_claims_have_the_same_verdict_either_way(found):
    words = {key: {verdict.verdict for verdict in both.values()} for key, both in found.verdicts.items()}
    assert words == {"C2": {"holds in part"}, "C7": {"does not hold"}}


@states("mean ± SEM over 200 seeds of each mask, by either meaning")
def test_the_picture_is_of_200_seeds_of_each_mask(runs):
    assert set(runs.groupby(["mask", "size"])["seed"].nunique()) == {200} and set(runs["mask"]) == set(MASKS)


@states(
    "The mean ratios differ by {greatest-gap} at most (010 Cov, $N = 50$)",
)
def test_the_mean_ratios_differ_most_under_coverage_at_50(means):
    assert means["gap"].idxmax() == ("010", 50)


@states(
    "Single runs do not agree as well: the correlation of the two ratios over seeds is {greatest-correlation} "
    "at $N = 50$ and {least-correlation} at $N = 5$ (median over masks)",
)
def test_single_runs_agree_best_at_50_and_least_at_5_and_less_than_means(runs, means):
    within = usage.correlations(runs)
    assert (within.idxmax(), within.idxmin()) == (50, 5)
    assert within.max() < means[list(RATIOS)].corr().loc["response", "nearest"]


@states(
    "With coverage the two agree on {agreement-with-coverage} of samples (mean over masks and sizes; least "
    "{least-agreement-with-coverage}), without it on {agreement-without-coverage} (least "
    "{least-agreement-without-coverage})",
)
def test_with_coverage_the_two_agree_on_more_samples(agree):
    on = agree[[MASKS[mask].coverage for mask in agree.index]]
    off = agree.drop(index=on.index)
    assert len(on) == len(off) == 4
    assert on.mean(axis=None) > off.mean(axis=None) and on.min(axis=None) > off.min(axis=None)


@states(
    "Coverage brings the nearest prototype nearer to a sample, and a bump that peaks near enough to it responds with "
    "nearly 1; without coverage the nearest prototype is farther off"
)
def test_with_coverage_the_nearest_prototype_is_nearer_and_its_neuron_responds_with_nearly_1(samples):
    on = samples["mask"].str[1] == "1"
    by_size = {name: samples[which].groupby("size") for name, which in (("on", on), ("off", ~on))}
    near = {name: groups["distance near"].median() for name, groups in by_size.items()}
    assert (near["on"] < near["off"]).all()
    assert (by_size["on"]["response near"].median() > 0.9).all()


@states(
    "Overlap alone (100 Ovl, {agreement-of-overlap-alone}) agrees more than Std ({agreement-of-std}) too.",
)
def test_overlap_alone_agrees_more_than_std(agree):
    assert (agree.loc["100"] > agree.loc["000"]).all()


@pytest.fixture(scope="module")
def case(samples):
    return usage.wide_case(samples)


@states(
    "mask 000, N = 5, seed",
    "Among the runs of Std with five neurons, the sample for which the two responses are farthest apart while "
    "the wide neuron's prototype is outside the data and the nearest one inside",
    "has its prototype at {example-most}, outside the data",
)
def test_the_example_is_the_sample_of_std_that_a_wide_bump_answers_most_clearly(case, apart, runs):
    assert (case["mask"], case["size"]) == ("000", 5)
    others = apart[(apart["mask"] == "000") & (apart["size"] == 5) & ~apart["inside most"] & apart["inside near"]]
    gap = others["response most"] - others["response near"]
    assert len(others) > 1 and gap.max() == case["response most"] - case["response near"]
    drawn = usage.example(runs, case)
    assert drawn.most > drawn.high and drawn.low <= drawn.near <= drawn.high


@states("is a narrow bump that has fallen to almost zero at the sample")
def test_the_nearest_neuron_of_the_example_is_narrow_and_almost_silent(case):
    assert case["response near"] < 0.01 and case["w near"] > 5 * case["w most"]


@states("is a wide bump whose peak lies to the right of the data, and is still near one at the sample")
def test_the_neuron_that_responds_most_in_the_example_is_wide_and_peaks_to_the_right(case, runs):
    drawn = usage.example(runs, case)
    assert drawn.most > drawn.high and case["response most"] > 0.9 and case["w most"] < case["w near"]


@states(
    "At $N = 100$ the share outside is greatest under 000 Std ({greatest-share-outside}) and least under 110 "
    "Ovl+Cov ({least-share-outside})",
)
def test_at_the_largest_size_the_share_outside_is_greatest_under_std_and_least_under_overlap_with_coverage(apart):
    outside = 1 - apart[apart["size"] == 100].groupby("mask")["inside most"].mean()
    assert (outside.idxmax(), outside.idxmin()) == ("000", "110")


@states(
    "S' \\le 1 - X + \\frac2N ,",
    "$S$ has no such bound: a wide bump outside can answer for samples inside",
)
def test_the_nearest_ratio_never_exceeds_its_bound_and_the_other_sometimes_does(runs):
    bound = 1 - runs["expelled_fraction"] + 2 / runs["size"] + 1e-12
    assert (runs["nearest_ratio"] <= bound).all() and (runs["specialization_ratio"] > bound).any()


@states("in both all masks fall from N = 3 to N = 20")
def test_all_masks_fall_up_to_20_by_either_meaning(means):
    for name in RATIOS:
        by_size = means[name].unstack("mask").loc[:20]
        assert (by_size.diff().dropna() < 0).all(axis=None) and len(by_size) == 4


@states("010 and 011 are the highest lines at N = 3")
def test_the_two_covered_masks_without_overlap_are_highest_at_3(means):
    for name in RATIOS:
        assert set(means[name].xs(3, level="size").nlargest(2).index) == {"010", "011"}


@states("the four masks with overlap are below the four without from N = 10 on")
def test_from_10_on_the_masks_with_overlap_are_below_those_without(means):
    for name in RATIOS:
        by_size = means[name].unstack("mask").loc[10:]
        assert (by_size[list(ACTIVE)].max(axis=1) < by_size[list(FREE)].min(axis=1)).all()


@states("and 001 and 011 rise a little at the end")
def test_separation_without_overlap_rises_a_little_at_the_end(means):
    for name in RATIOS:
        rise = means[name].unstack("mask").loc[[50, 100]].diff().loc[100]
        assert rise[["001", "011"]].between(0.001, 0.05).all()


@states(
    "with {c2-supported} of its {c2-cases} cases supported, and holds in part by the nearest prototype, with "
    "{c2-supported-nearest}; none is contradicted. By the largest response those at $N = 3$ and 5 and of 011 at "
    "$N = 10$ are open: few neurons give few ratios, both masks have the same in {c2-ties} of the seeds, and such a "
    "seed speaks for neither side, so the median ratio is 1. Where they differ, Std's is the lower in "
    "{c2-lower-of-untied}.",
    "By the nearest prototype the median ratio of Std to the covered mask is lower in {c2-effects-lower} cases, that "
    "is the difference is larger, and higher in",
)
def test_c2_is_open_at_small_sizes_and_no_ratio_is_higher_by_the_nearest_prototype(found):
    both = found.verdicts["C2"]
    assert not any(verdict.contradicted.any() for verdict in both.values())
    response, nearest = (both[name].table for name in (usage.RESPONSE, usage.NEAREST))
    left = response[response["outcome"] == "open"]
    assert set(left["case"]) == {f"{mask}, N = {n}" for mask in ("010", "011") for n in (3, 5)} | {"011, N = 10"}
    assert left["effect"].to_numpy() == pytest.approx(np.ones(5))
    without = coverage_specialises(found.runs, 1.0)  # they are open without any least effect as well
    assert (without.supported == both[usage.RESPONSE].supported).all()
    ties, lower = usage.open_by_ties(both[usage.RESPONSE])
    one = found.runs[found.runs["size"] == 10].pivot(index="seed", columns="mask", values="specialization_ratio")
    assert ties["011, N = 10"] == (one["011"] == one["000"]).mean() and (ties > 0.2).all()
    assert lower["011, N = 10"] == (one["000"] < one["011"]).sum() / (one["000"] != one["011"]).sum()
    assert (lower > 0.6).all() and set(lower.index) == set(left["case"])
    gap = nearest["effect"] - response["effect"]
    assert (gap < 1e-9).all() and (gap < -1e-9).sum() == int(usage.numbers(ROOT / "data")["c2-effects-lower"])
    assert response["comparison"].str.startswith("S: 000 < 01").all()  # lower is a larger difference


@states(
    "Against it stand by both meanings 101, 110 and 111, which at $N = 100$ are above half of Std, and 110 and 111 "
    "from N = 3 to 5; by the nearest prototype 101 from N = 20 to 50, too. Overlap alone is under half of Std by both",
)
def test_what_stands_against_c7_by_either_meaning(found):
    both = found.verdicts["C7"]
    against = {name: {c.name for c, no in zip(v.cases, v.contradicted, strict=True) if no} for name, v in both.items()}
    shared = {f"{mask} under half of 000, N = 100" for mask in ("101", "110", "111")}
    shared |= {f"{mask}, N = 3 to 5" for mask in ("110", "111")}
    assert against == {usage.RESPONSE: shared, usage.NEAREST: shared | {"101, N = 20 to 50"}}
    for verdict in both.values():
        assert verdict.table.set_index("case").loc["100 under half of 000, N = 100", "outcome"] == "supported"


@pytest.fixture(scope="module")
def bounds(runs):
    return usage.bounds(runs)


@states(
    "At $N = 100$ the overlap-active masks reach {reached-with-overlap} of the bound, and of the others those "
    "with separation",
)
def test_of_the_bound_overlap_and_separation_reach_most_and_the_others_little_more_than_half(bounds):
    reached = bounds["reached"]
    assert (reached[["000", "010"]].max() < reached.drop(["000", "010"])).all()


@states("Under overlap most prototypes that are left inside are used, and $S'$ is low because few are left.")
def test_under_overlap_most_prototypes_that_are_left_inside_are_used(bounds):
    # Two outside can be used as well: without them, S' - 2/N of 1 - X.
    used = (bounds["nearest"] - 0.02) / (bounds["bound"] - 0.02)
    assert (used[list(ACTIVE)] > 0.5).all()
    assert bounds.loc[list(ACTIVE), "bound"].max() < 0.25 < bounds.loc[list(FREE), "bound"].min()


@states("By the largest response it need not be, and comes out alike.")
def test_under_overlap_the_largest_response_comes_out_alike(bounds):
    active = bounds.loc[list(ACTIVE)]
    assert ((active["response"] - active["nearest"]).abs() < 0.01).all()
