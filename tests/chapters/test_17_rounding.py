"""What chapter 17 says of runs that start one ulp higher."""

from __future__ import annotations

import pytest
import torch
from conftest import ROOT
from literate import says
from scipy.stats import ks_2samp

from companion.core.network import initial_parameters
from companion.judging.claims import CLAIMS
from companion.judging.verdicts import LEVEL
from companion.studies import rounding

pytestmark = pytest.mark.long
states = says("17-rounding")


@pytest.fixture(scope="module")
def found():
    return rounding.results(ROOT / "data")


@pytest.fixture(scope="module")
def both(found):
    return found.both


@pytest.fixture(scope="module")
def gone(both):
    return both[both["elsewhere"]]


@pytest.fixture(scope="module")
def by_mask(both):
    """Of each mask at the largest size, the share of runs that end elsewhere."""
    assert rounding.at_largest(both)["size"].unique() == [100]
    return rounding.at_largest(both).groupby("mask")["elsewhere"].mean()


@states(
    "end with an E that differs by more than 0.001",
    "A run ends elsewhere if its E differs by more than 0.001, the threshold that @sec-bits uses for the two engines.",
)
def test_a_run_ends_elsewhere_beyond_the_threshold_of_the_two_engines(both):
    apart = (both[rounding.E_MOVED] - both[rounding.E]).abs()
    assert ((apart > 0.001) == both["elsewhere"]).all() and both["elsewhere"].any()
    assert "by more than 0.001" in (ROOT / "chapters/91-engine.ipynb").read_text(encoding="utf-8")


@states(
    "at $N = 100$ it is between {least-share-elsewhere} (under 100 Ovl) and {most-share-elsewhere} (under 011 "
    "Cov+Sep), by mask",
)
def test_at_the_largest_size_least_end_elsewhere_under_overlap_and_most_under_coverage_with_separation(by_mask):
    assert by_mask["100"] == by_mask.min() and by_mask["011"] == by_mask.max() > by_mask.drop("011").max()


@states(
    "of the width of the median's 95 % bootstrap interval from the same 200 seeds",
    "So the choice of the seeds leaves every one of these medians at least {times-as-uncertain} times as "
    "uncertain as this change of the last bits does",
)
def test_the_seeds_leave_every_median_more_uncertain_than_its_last_bits_do(found, both):
    assert set(both.groupby(["mask", "size"])["seed"].nunique()) == {200}
    times = int(rounding.numbers(ROOT / "data")["times-as-uncertain"])
    assert times > 1 and (found.medians["shift"] * times <= found.medians["width"]).all()
    assert (found.medians["shift"] * (times + 1) > found.medians["width"]).any()


@states(
    "Of the ledger's verdicts {verdicts-changed} of {verdicts} change",
    "No verdict changes when every run starts one ulp higher, and of the {cases} cases behind them {cases-changed} "
    "does: C1 at N = 100, open on the stored runs, is contradicted on the moved ones",
    "no verdict hangs on these last bits, not that none hangs on any; one case does.",
    "of a claim whose margin is a range (C5, C9) those cases count that come out so at both of its ends:",
    "the order of the medians changes in {pairs-changed}. So the choice",
)
def test_no_verdict_changes_and_no_order_of_two_medians(found):
    assert not any(pair.changes for pair in found.judged.values()) and "C8" not in found.judged
    assert not rounding.orders(found.medians)["changes"].any()
    assert [key for key in found.judged if isinstance(CLAIMS[key].margin, tuple)] == ["C5", "C9"]
    changed = {key: names for key, pair in found.judged.items() if (names := rounding.changed_cases(pair))}
    assert changed == {"C1": ["N = 100"]}
    first, then = found.judged["C1"].stored, found.judged["C1"].moved
    assert (first.outcome(5), then.outcome(5)) == ("open", "contradicted")
    assert then.p_against[5] <= LEVEL < first.p_against[5]


@states("That is *one* perturbation, of $w$ alone, upward and before the first step:")
def test_the_perturbation_is_of_w_alone_upward_and_before_the_first_step():
    start = initial_parameters(5, 1000)
    up = rounding.one_ulp_up(start)
    assert (up.w > start.w).all() and all(torch.equal(*pair) for pair in zip(up[1:], start[1:], strict=True))


@states(
    "As a check, two masks are trained again on the stored data without the change: {repeated-share-same} of these "
    "{repeated-runs} runs end in the stored weights, to the last bit. So what follows is owed to the ulp alone."
)
def test_without_the_change_every_run_ends_in_the_stored_weights(found):
    assert found.repeated.all() and len(found.repeated) == 2 * 6 * 30


@states(
    "with separation on, {elsewhere-coverage} with coverage and without separation, {elsewhere-neither} with neither.",
)
def test_the_share_falls_from_separation_over_coverage_to_neither(both, by_mask):
    share = {name: runs.mean() for name, runs in rounding.kinds(both).items()}
    assert share["separation"] == pytest.approx(by_mask[["001", "011", "101", "111"]].mean())
    assert share["coverage"] == pytest.approx(by_mask[["010", "110"]].mean())
    assert share["neither"] == pytest.approx(by_mask[["000", "100"]].mean())
    assert share["separation"] > share["coverage"] > share["neither"]


@states(
    "With overlap on it is {elsewhere-overlap}, without {elsewhere-no-overlap}. Of the runs that end elsewhere "
    "the median shift of E is",
)
def test_without_overlap_more_runs_end_elsewhere(both, by_mask):
    share = {name: runs.mean() for name, runs in rounding.kinds(both).items()}
    assert share["overlap"] == pytest.approx(by_mask[["100", "101", "110", "111"]].mean())
    assert share["no overlap"] == pytest.approx(by_mask[["000", "001", "010", "011"]].mean())
    assert share["overlap"] < share["no overlap"]


@states("and where overlap has expelled most prototypes, few are left to be told apart")
def test_overlap_has_expelled_most_prototypes_at_the_largest_size(powered):
    active = powered[(powered["size"] == 100) & powered["mask"].str.startswith("1")]
    assert (active.groupby("mask")["expelled_fraction"].mean() > 0.5).all()


@states("A run that ends elsewhere ends at another draw of much the same distribution.")
def test_runs_that_end_elsewhere_end_at_another_draw_of_much_the_same_distribution(gone):
    higher = (gone[rounding.E_MOVED] > gone[rounding.E]).mean()
    assert 0.45 < higher < 0.55
    assert ks_2samp(gone[rounding.E], gone[rounding.E_MOVED]).statistic < 0.05


@states(
    "Over all masks: {elsewhere-after-500-steps} after 500 steps, {elsewhere-after-1000-steps} after 1000 "
    "steps, {elsewhere-after-2000-steps} after 2000 steps.",
)
def test_after_more_steps_more_runs_end_elsewhere(found):
    by_steps = found.by_steps.groupby("steps")["elsewhere"]
    assert list(by_steps.mean().index) == [500, 1000, 2000] and by_steps.mean().is_monotonic_increasing
    assert set(by_steps.size()) == {8 * 30}


@pytest.fixture(scope="module")
def drawn(both):
    return rounding.examples(both)


@pytest.fixture(scope="module")
def grown(drawn):
    return rounding.growth(drawn)


@states(
    "for six runs of the mask that is most sensitive at that size: the first three seeds that end elsewhere and the "
    "first three that do not",
    "six runs of 011 Cov+Sep at N = 100, named by their seeds; those with a star end elsewhere",
)
def test_the_six_runs_are_the_first_of_the_most_sensitive_mask(drawn, grown, both, by_mask):
    assert set(drawn["mask"]) == {by_mask.idxmax()} == {"011"} and set(drawn["size"]) == {100}
    for elsewhere, group in drawn.groupby("elsewhere"):
        of_mask = both[(both["mask"] == "011") & (both["size"] == 100) & (both["elsewhere"] == elsewhere)]
        assert group["seed"].tolist() == sorted(of_mask["seed"])[:3]
    curves = set(rounding.growth_curves(grown, drawn)["curve"])
    stars = {f"{seed}*" for seed in drawn.loc[drawn["elsewhere"], "seed"]}
    assert {name for name in curves if name.endswith("*")} == stars and len(curves) == 6


@states("All start below 1e-14.", "three of those drawn end above one, and these are the runs whose E ends elsewhere")
def test_the_differences_start_below_what_is_named_and_three_end_above_one(drawn, grown):
    assert (grown.loc[0] < 1e-14).all()
    assert set(drawn.loc[drawn["elsewhere"], "seed"]) == set(grown.columns[grown.iloc[-1] > 1])
    assert (grown.iloc[-1] > 1).sum() == 3


@states("the other three end below 0.01")
def test_the_other_three_end_below_a_hundredth(drawn, grown):
    assert (grown.iloc[-1][drawn.loc[~drawn["elsewhere"], "seed"]] < 0.01).all()


@states("They grow in jumps:")
def test_the_differences_grow_in_jumps(grown):
    # In 20 steps of 2,000 each grows more than a hundredfold; in most stretches of 20 it does not even double.
    growth = grown / grown.shift()
    assert (growth.max() > 100).all() and ((growth < 2).mean() > 0.5).all()


@states("so a wide difference of one prototype need not move E")
def test_a_wide_difference_of_a_prototype_may_leave_the_error(drawn, grown):
    wide = grown.columns[grown.iloc[-1] > 1]
    assert drawn.set_index("seed").loc[wide, "shift"].min() < 0.1


@states("This does not show that a single run can be trusted to its digits: at the largest size it cannot.")
def test_at_the_largest_size_a_single_run_cannot_be_trusted_to_its_digits(both):
    by_size = both.groupby("size")["elsewhere"].mean()
    assert by_size.idxmax() == 100 and by_size[100] > 0.2


@states("between two engines @sec-bits finds about as many runs that part")
def test_two_engines_part_in_about_as_many_runs(both, replication, plain):
    engines = replication.merge(plain, on=rounding.RUN, suffixes=("", " plain"))
    parted = ((engines[rounding.E] - engines[rounding.E + " plain"]).abs() > rounding.ELSEWHERE).sum()
    same_runs = both[both["seed"].isin(replication["seed"])]
    assert len(same_runs) == len(engines) and 0.7 < parted / same_runs["elsewhere"].sum() < 1.4
