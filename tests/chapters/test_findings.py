"""What the front page, the README and chapter 9 find: at the paper's ten seeds, beyond the paper, and in how many
claims."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from literate import says

from companion.core.settings import MASKS
from companion.judging import beyond
from companion.judging.baselines import ORACLE, baseline_summary
from companion.judging.claims import ACTIVE, FIT, FREE
from companion.judging.multiverse import OBSERVATIONS
from companion.judging.verdicts import VERDICTS
from companion.show.prose import fill, stored
from companion.studies import budget, findings, multiverse
from companion.studies.ledger import stored_entries
from companion.studies.reconstruction import against_chance, by_mask
from companion.studies.replication import separation_by_temperature
from companion.sweeps.sweep import PAPER_SIZES

states, states_beyond, states_verdicts = says("_findings"), says("_findings-beyond"), says("_verdicts")
states_readings = says("_findings-readings")
NUMBERS = stored(ROOT)["every-reading"]
DATA = ROOT / "data"
README = (ROOT / "README.md").read_text(encoding="utf-8")
E = "reconstruction_error"


@pytest.fixture(scope="module")
def attractors() -> pd.DataFrame:
    return findings.attractors(DATA)


# --- at the paper's ten seeds ---


@states("**Overlap harms.** All four overlap-active masks have a higher reconstruction error E than all four others at")
@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_overlap_harms_at_every_size(replication, statistic):
    errors = by_mask(replication, E, statistic)
    assert (errors[list(ACTIVE)].min(axis=1) > errors[list(FREE)].max(axis=1)).all()


@states("**Coverage helps a little.** Coverage alone has the lowest E of all masks at")
@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_coverage_alone_is_lowest_at_most_sizes_by_little(replication, statistic):
    errors = by_mask(replication, E, statistic)
    lowest = errors.idxmin(axis=1) == "010"
    assert lowest.sum() > len(errors) / 2
    assert (errors["010"] / errors["000"]).loc[10:].min() > 0.8


@states("it and Cov+Sep specialise more than Std in")
def test_cov_and_cov_sep_specialise_more_than_std(replication):
    for statistic, least in (("mean", 12), ("median", 7)):
        ratios = by_mask(replication, "specialization_ratio", statistic)
        assert sum((ratios[mask] > ratios["000"]).sum() for mask in ("010", "011")) >= least


@states("**Overlap expels in kind, not in degree.** At N = 100 a mean share of", "(the paper: all)")
def test_overlap_expels_more_than_std_and_not_all(replication):
    expelled = by_mask(replication, "expelled_fraction", "mean").loc[100]
    assert expelled["000"] + 0.3 < expelled["100"] < 1
    assert expelled[list(ACTIVE)].min() > expelled[list(FREE)].max()


@states(
    "mask 100's mean specialization ratio goes from {specialization-of-few} at N = 3 to",
)
def test_overlap_s_specialization_falls_from_three_to_a_hundred(replication):
    special = by_mask(replication, "specialization_ratio", "mean")["100"]
    assert special.index[[0, -1]].to_list() == [3, 100] and special.is_monotonic_decreasing


@states(
    "**Separation harms when it is hot.** At N = 100 its median E goes from {coldest-error} at τ = 1e-05 to "
    "{hottest-error} at τ = 10 (30 seeds).",
)
def test_separation_harms_when_it_is_hot(temperature):
    heat = separation_by_temperature(temperature)
    std = temperature[temperature["mask"] == "000"].groupby("size")[E].median()
    assert heat.index[-1] == 100 and heat.columns[[0, -1]].to_list() == [1e-5, 10.0]
    assert temperature["seed"].nunique() == 30
    assert (heat[10.0] > 20 * std).all() and (heat[1e-5] < 1.2 * std).all()


@states(
    "**No mask beats chance by much, and none at scale.** Prototypes drawn at random on the target have a "
    "lower median E than the best mask at",
    "at N = 100 the best mask stands at {reconstruction.largest-times-chance} times chance.",
)
def test_no_mask_beats_chance_by_much_and_none_at_scale(replication):
    times = against_chance(replication)["times chance"]
    assert times.min() > 0.5 and (times > 1).sum() > len(times) / 2
    assert times.index[-1] == 100 and times.iloc[-1] == times.max() > 2


# --- beyond the paper ---


@pytest.mark.long
@states_beyond(
    "**Transport holds prototypes at the data beside overlap.** After 2,000 steps with overlap on, matching each "
    "prototype to a sample of its own at ten times overlap's strength brings the median E below "
    "chance at {findings.transport-below-chance} "
    "sizes; at N = 100 to",
    "(100 seeds)",
)
def test_transport_brings_e_below_chance_at_every_size_and_far_below_coverage(attractors):
    """By a wide margin: an attractor that works in words only would not do."""
    assert (attractors["transport"] < attractors["chance"]).all() and attractors.index[-1] == 100
    assert (attractors["transport"] < attractors["coverage"] / 5).all()
    assert beyond.BEYOND["B3"].settings.balance == 10 and beyond.labelled_runs(ROOT)["seed"].nunique() == 100


@pytest.mark.long
@states_beyond(
    "Over all repulsions and sizes prototypes are nearer than chance, by position, and the root mean squared error is "
    "above the one without transport by less than 0.005, if at all, in"
)
def test_with_transport_prototypes_are_nearer_than_chance_and_the_fit_as_low_over_all_repulsions_and_sizes():
    verdict = beyond.BEYOND["B3"].judge(ROOT)
    assert verdict.supported.all() and len(verdict.cases) == len(beyond.BESIDE) * len(PAPER_SIZES) and FIT[0] == 0.005


@pytest.mark.long
@states_beyond(
    "**In more dimensions and under other densities each claim survives here and ends there.** Of the claims that "
    "hold, or hold in part, for uniform points on the line, so many survive elsewhere: {findings.surviving-claims} "
    "cells.",
)
def test_in_more_dimensions_and_under_other_densities_each_claim_survives_here_and_ends_there():
    shares = findings.survival(DATA).cases.assign(lives=lambda t: t["outcome"] == "supported").groupby("claim")["lives"]
    assert shares.mean().between(0, 1, inclusive="neither").all()


@states_beyond(
    "**With transport the weights show the training inputs, because its loss writes them there.** -b/w misses them by "
    "{findings.missed-by-prototypes} at N = 50 (an RBF network with its centres at the data: by nothing, by "
    "construction); the field's reconstruction, from the stationary weights of Std with weight decay and four starts, "
    "by {findings.missed-by-the-field}, and chance by {findings.missed-by-chance} (medians, along the input). This "
    "compares training objectives, not readers of one network.",
)
def test_with_transport_the_weights_show_the_training_inputs_and_the_field_s_reconstruction_hardly_beats_chance():
    missed = findings.readings(DATA)
    stored = pd.read_parquet(DATA / "memory.parquet", columns=["size", "starts"])
    assert stored["size"].max() == 50 and set(stored["starts"]) == {4}
    assert missed["transport", "prototypes"] < missed["Std, decayed", "KKT"] / 20
    assert missed["Std, decayed", "KKT"] < missed["none", "chance"]


# --- the verdicts ---


@pytest.mark.long
@states_verdicts(
    "Of the paper's ten claims and C10s, our own question beside the tenth, judged on 200 seeds that were run after "
    "the rules were written"
)
def test_ten_claims_and_one_of_ours_are_judged_on_two_hundred_fresh_seeds():
    seeds = {key: entry.fresh.study.seeds for key, entry in stored_entries(DATA).items()}
    assert len(seeds) == 11 and set(seeds.values()) == {200}


@pytest.mark.long
@states_verdicts(
    "✓ holds: {ledger.holds}; ◐ holds in part: {ledger.holds-in-part}; ✗ does not hold: "
    "{ledger.does-not-hold}; ? undecided: {ledger.undecided}; ± depends on the margin: {ledger.depends-on-the-margin}.",
    "The same rules at the paper's ten seeds: ✓ holds: {ledger.holds-at-ten}; ◐ holds in part: "
    "{ledger.holds-in-part-at-ten}; ✗ does not hold: {ledger.does-not-hold-at-ten}; ? undecided: "
    "{ledger.undecided-at-ten}; ± depends on the margin: {ledger.depends-on-the-margin-at-ten}.",
)
def test_verdicts_are_counted_under_their_own_words():
    entries, values = stored_entries(DATA).values(), stored(ROOT)["ledger"]
    for verdict in VERDICTS:
        name = verdict.replace(" ", "-")
        assert int(values[name]) == [entry.fresh.verdict for entry in entries].count(verdict)
        assert int(values[f"{name}-at-ten"]) == [entry.ten.verdict for entry in entries].count(verdict)
    assert sum(int(values[verdict.replace(" ", "-")]) for verdict in VERDICTS) == 11


# --- in all readings ---


@pytest.fixture(scope="module")
def readings() -> multiverse.Judged:
    return multiverse.stored(ROOT, "sobol")


@states_readings(
    "The choices that its abstract and captions leave open, as far as we thought of them, make "
    "{every-reading.combinations} combinations.",
    "coverage alone has the lowest mean E at every size in {every-reading.c1-mean}, the four overlap-active masks are "
    "the higher band at every size in {every-reading.c3-mean}, and both are so in {every-reading.c1-and-c3} of them.",
)
def test_few_readings_show_the_paper_s_order(readings):
    seen = readings.of_claims.pivot(index="universe", columns="claim", values="by_mean").astype(bool)
    assert seen["C1"].mean() < 1 / 5 and seen["C3"].mean() < 1 / 20
    assert NUMBERS["c1-and-c3"] == str((seen["C1"] & seen["C3"]).sum())
    assert [NUMBERS["c1-mean"], NUMBERS["c3-mean"]] == [f"{seen[key].mean():.0%}" for key in ("C1", "C3")]


@states_readings(
    "Of {every-reading.observations} things that the paper reports the nearest of these readings reproduces "
    "{every-reading.most-reproduced}, by means; the choice on which the rest of this book stands reproduces "
    "{every-reading.nominal-reproduced}."
)
def test_none_shows_all(readings):
    counts = (readings.observed[list(OBSERVATIONS)] == 1).sum(axis=1)
    assert NUMBERS["most-reproduced"] == str(counts.max()) and counts.max() < len(OBSERVATIONS)
    assert int(NUMBERS["nominal-reproduced"]) < len(OBSERVATIONS)


@states_readings("**No choice decides alone.**", "is {every-reading.largest-main} of their variance")
def test_no_choice_decides_alone():
    assert float(NUMBERS["largest-main"]) < 1 / 2


# --- where they stand ---


def test_the_readme_s_findings_are_those_of_the_front_page_with_their_numbers():
    assert findings.readme(ROOT) == README, "run `make chapters`"
    for file in ("_verdicts.md", "_findings.md", "_findings-readings.md", "_findings-beyond.md"):
        text = fill((ROOT / file).read_text(encoding="utf-8"), stored(ROOT))
        assert f"<!-- {file} -->\n{text}<!-- end of {file} -->" in README
    assert "{{<" not in README


@pytest.mark.parametrize(
    ("page", "includes"),
    [
        ("index.qmd", ["_ledger.md", *(f"_findings{of}.md" for of in ("", "-readings", "-beyond")), "_beyond.md"]),
        ("chapters/09-replication.ipynb", ["../_findings.md"]),
        ("chapters/10-ledger.ipynb", ["../_verdicts.md"]),
    ],
)
def test_a_page_includes_what_it_finds(page, includes):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert re.findall(r"\{\{< include (\S+) >\}\}", text) == includes


def test_the_readme_is_filled_between_its_markers_and_nowhere_else(tmp_path):
    (tmp_path / "_variables.yml").write_text("tails: {worst-share: '0.96'}\n", encoding="utf-8")
    (tmp_path / "_a-b.md").write_text("It is {{< var tails.worst-share >}}.\n", encoding="utf-8")
    page = "Before.\n<!-- _a-b.md -->\n{}<!-- end of _a-b.md -->\n\nBehind.\n"
    (tmp_path / "README.md").write_text(page.format("Old.\nLines.\n"), encoding="utf-8")
    assert findings.readme(tmp_path) == page.format("It is 0.96.\n")


@states_beyond(
    "After {budget.longest}, Std has {budget.outside-std-last} of the prototypes outside at N = 100 (after 2,000: "
    "{budget.outside-std-first}) and "
    "overlap {budget.outside-ovl-last} ({budget.outside-ovl-first}).",
    "Under both losses everything recovered and everything expelled are alike at the infimum",
)
def test_the_budget_is_part_of_the_result():
    """The infimum is chapter 8's proposition, tested in tests/test_infimum.py."""
    outside = budget.at_budgets(budget.stored_budget(DATA), "expelled_fraction", 100)
    std, overlap = outside.loc["000 Std"], outside.loc["100 Ovl"]
    assert std[2000] < 0.6 < 0.85 < std[200_000] < overlap[200_000] and overlap[2000] > 0.85
    assert {"000", "100"} <= {one.mask for one in budget.SETTINGS if not MASKS[one.mask].coverage}


# --- the README's own words ---


def test_the_readme_s_picture_is_as_its_text_says(replication):
    """Its alternative text, and the line above the findings."""
    assert (
        "the four masks with overlap lie above the four without, and an oracle's draw and evenly spaced "
        "points lie below "
        "all from five points on" in README
    )
    assert "At the paper's design (8 masks, 6 sizes, 10 seeds: 480 runs)" in README
    levels = baseline_summary(replication, names=(ORACLE, "evenly spaced"))
    for statistic in ("mean", "median"):
        errors = by_mask(replication, E, statistic)
        assert (errors[list(ACTIVE)].min(axis=1) > errors[list(FREE)].max(axis=1)).all()
        for _, level in levels.groupby("level"):
            assert (errors.min(axis=1).loc[5:] > level.set_index("size")[statistic].loc[5:]).all()
    assert len(replication) == len(MASKS) * len(PAPER_SIZES) * 10 == 480


def test_made_up_readings_are_medians_of_the_largest_networks_at_the_usual_decay(tmp_path):
    table = pd.DataFrame(
        {
            "decay": [0.1] * 4 + [0.5],
            "size": [3, 50, 50, 50, 50],
            "network": "Std",
            "reader": "KKT",
            "position_error": [9.0, 1.0, 2.0, 6.0, 9.0],
        }
    )
    table.to_parquet(tmp_path / "memory.parquet")
    assert np.isclose(findings.readings(tmp_path)["Std", "KKT"], 2.0) and len(findings.readings(tmp_path)) == 1
