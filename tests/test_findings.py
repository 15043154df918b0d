"""The findings: counted as their words say, and the same wherever they stand."""

from __future__ import annotations

import pandas as pd
import pytest
from conftest import ROOT

from companion.core.settings import MASKS
from companion.judging import beyond
from companion.judging.beyond import judge_beyond
from companion.judging.chance import chance_summary
from companion.judging.referee import stored_row
from companion.show.findings import (
    beyond_text,
    claim_counts,
    findings,
    findings_beyond,
    findings_list,
    numbered,
    same_order,
)


def made_up(errors: dict[str, float], ratios: dict[str, float]) -> pd.DataFrame:
    """Runs of two sizes and two seeds whose metrics are the given ones, the same in each."""
    return pd.DataFrame(
        {
            "mask": mask,
            "size": size,
            "seed": seed,
            "reconstruction_error": errors[mask],
            "specialization_ratio": ratios[mask] / size,
            "expelled_fraction": errors[mask],
        }
        for mask in MASKS
        for size in (3, 5)
        for seed in (1, 2)
    )


AS_THE_PAPER = {"010": 1.0, "011": 2.0, "001": 3.0, "000": 4.0, "100": 5.0, "101": 6.0, "110": 7.0, "111": 8.0}


@pytest.mark.long
def test_runs_as_the_paper_has_them_show_every_claim():
    counts = claim_counts(made_up(AS_THE_PAPER, {mask: -error for mask, error in AS_THE_PAPER.items()}))
    assert (counts["by mean"] == counts["cases"])[counts["claim"].str[:2] != "C7"].all()
    assert (counts["by mean"] == counts["by median"]).all()
    assert counts.set_index("claim")["cases"].to_list() == [2, 4, 2, 2, 2, 4]


@pytest.mark.long
def test_reversed_runs_show_none():
    errors = {mask: -error for mask, error in AS_THE_PAPER.items()}
    counts = claim_counts(made_up(errors, AS_THE_PAPER)).set_index("claim")
    assert counts["by mean"].to_list()[:5] == [0] * 5


@pytest.mark.long
def test_ties_show_no_order():
    counts = claim_counts(made_up(dict.fromkeys(MASKS, 1.0), dict.fromkeys(MASKS, 1.0)))
    assert counts["by mean"].to_list()[:5] == counts["by median"].to_list()[:5] == [0] * 5


@pytest.mark.long
def test_falling_specialization_is_counted_by_steps():
    counts = claim_counts(made_up(AS_THE_PAPER, dict.fromkeys(MASKS, 1.0))).set_index("claim")
    assert counts["by mean"].iloc[-1] == counts["cases"].iloc[-1] == 4


def test_same_order_counts_the_clear_pairs_alone():
    theirs = pd.DataFrame({"a": [1.0, 1.0], "b": [1.05, 2.0], "c": [3.0, 3.0]}, index=[3, 5])
    ours = pd.DataFrame({"a": [9.0, 1.0], "b": [0.0, 1.0], "c": [9.5, 2.0]}, index=[3, 5])
    counts = same_order(ours, theirs, least=0.1)
    assert counts["clearly apart"].to_list() == [2, 3]
    assert counts["same order"].to_list() == [2, 2]
    assert counts["other order"].to_list() == [[], [("a", "b")]]  # a tie of ours is no order


@pytest.mark.long
def test_findings_are_five_lines_with_numbers(replication, temperature):
    lines = findings(replication, temperature)
    assert len(lines) == 5 and all(any(letter.isdigit() for letter in line) for line in lines)


@pytest.mark.long
@pytest.mark.parametrize("place", ["_findings.md", "README.md", "index.qmd"])
def test_findings_stand_as_the_data_give_them(place):
    text = (ROOT / place).read_text(encoding="utf-8")
    assert "{{< include _findings.md >}}" in text if place == "index.qmd" else findings_list(ROOT) in text


@pytest.mark.long
def test_findings_beyond_the_paper_stand_as_the_data_give_them():
    survival = stored_row(ROOT)
    lines = findings_beyond(ROOT, survival)
    assert len(lines) == 3 and all(any(letter.isdigit() for letter in line) for line in lines)
    assert numbered(lines) in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / "_beyond.md").read_text(encoding="utf-8") == beyond_text(ROOT, judge_beyond(ROOT), survival)
    assert "{{< include _beyond.md >}}" in (ROOT / "index.qmd").read_text(encoding="utf-8")


@pytest.mark.long
def test_the_first_finding_beyond_the_paper_is_what_it_says():
    """At every size, and by a wide margin over coverage; an attractor that works in words only would not do."""
    runs = beyond.labelled_runs(ROOT)
    medians = runs.pivot_table(index="label", columns="size", values="reconstruction_error", aggfunc="median")
    chance = chance_summary(runs).set_index("size")["median"]
    assert (medians.loc["110 transport κ=10"] < chance).all()
    assert (medians.loc["110 transport κ=10"] < medians.loc["110 coverage"] / 5).all()
