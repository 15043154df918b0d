"""The ledger: what the stored data give, the same wherever it stands, and what its chapter says of it."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from conftest import ROOT, history

from companion.judging import claims, ledger
from companion.judging.beyond import judge_beyond
from companion.judging.claims import CLAIMS
from companion.judging.referee import stored_row
from companion.judging.verdicts import DOES_NOT_HOLD, HOLDS, VERDICTS


@pytest.fixture(scope="module")
def entries() -> dict[str, ledger.Entry]:
    return ledger.judge_stored(ROOT)


@pytest.fixture(scope="module")
def stored() -> dict:
    return json.loads((ROOT / "data/claims.json").read_text(encoding="utf-8"))


def differences(one: object, other: object, place: str = "") -> list[str]:
    """Places at which two JSON values differ, numbers by more than their rounding."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [found for key in one for found in differences(one[key], other[key], f"{place}/{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for number, pair in pairs for found in differences(*pair, f"{place}/{number}")]
    if isinstance(one, float) and isinstance(other, float):
        return [] if one == pytest.approx(other, rel=1e-4, abs=1e-12) else [f"{place}: {one} {other}"]
    return [] if one == other else [f"{place}: {one} {other}"]


@pytest.mark.long
def test_the_stored_ledger_is_what_the_runs_give(entries, stored):
    again = json.loads(json.dumps(ledger.as_json(entries)))
    assert differences(again, {name: part for name, part in stored.items() if name != "beyond"}) == []
    assert list(stored["claims"]) == [f"C{number}" for number in range(1, 11)]


@pytest.mark.slow
def test_a_changed_run_changes_the_ledger(powered, temperature, stored):
    """The test above can fail: one mask's runs made a little worse move its verdicts' numbers."""
    worse = powered[list(ledger.COLUMNS)].copy()
    worse.loc[(worse["mask"] == "010") & (worse["size"] == 50), "reconstruction_error"] *= 1.1
    again = ledger.as_json(ledger.judge_all(worse, temperature[list(ledger.COLUMNS)]))
    found = differences(json.loads(json.dumps(again)), {name: stored[name] for name in again})
    assert any(place.startswith("/claims/C1/verdicts/all") for place in found)
    assert not any(place.startswith("/claims/C8") for place in found)


@pytest.mark.long
def test_the_ledger_stands_as_the_data_give_it(entries):
    assert (ROOT / "_ledger.md").read_text(encoding="utf-8") == f"{ledger.table(entries)}\n\n{ledger.KEY}\n"
    assert "{{< include _ledger.md >}}" in (ROOT / "index.qmd").read_text(encoding="utf-8")
    assert ledger.in_a_sentence(entries) in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.long
def test_what_stands_beyond_the_paper_is_what_the_runs_give(stored):
    verdicts = judge_beyond(ROOT)
    assert differences(json.loads(json.dumps(ledger.beyond_json(verdicts, stored_row(ROOT)))), stored["beyond"]) == []
    text = (ROOT / "_beyond.md").read_text(encoding="utf-8")
    assert f"\n{ledger.beyond_table(verdicts, stored_row(ROOT))}\n\n{ledger.BEYOND_KEY} " in text


@pytest.mark.long
def test_every_row_leads_to_a_section_with_rule_code_and_data(entries):
    cells = json.loads((ROOT / "chapters/09-ledger.ipynb").read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    for line, key in zip(ledger.table(entries).splitlines()[2:], CLAIMS, strict=True):
        assert f"| **{key}** {CLAIMS[key].says} (@sec-{key.lower()}) |" in line
        assert any(f"{{#sec-{key.lower()}}}" in source for source in sources)
    shown = [
        "".join(output.get("data", {}).get("text/markdown", "")) for cell in cells for output in cell.get("outputs", [])
    ]
    for claim in CLAIMS.values():
        assert any(f"def {claim.rule.__name__}(" in text for text in shown), "the rule's code"
        assert any(claim.stated in text for text in shown), "the rule's words"


def test_every_number_of_the_rules_was_in_the_commit_that_fixed_them():
    """History: `companion/claims.py` (its path then) came before the runs, with the gaps that it has now."""
    added = history("log", "--format=%H", "--diff-filter=A", "--", "data/powered.parquet").split()
    for module, names in (("claims", ("FACTOR", "SHARE", "FIT", "HALF")), ("verdicts", ("LEVEL",))):
        before = history("show", f"{added[-1]}~1:companion/{module}.py") if added else ""
        now = (ROOT / f"companion/judging/{module}.py").read_text(encoding="utf-8")
        if not before:
            pytest.skip("the history here is not the one in which the book was written")
        for name in names:
            pattern = rf"(?m)^{name} = .+$"
            assert re.search(pattern, before)[0] == re.search(pattern, now)[0]


@pytest.mark.long
def test_without_the_ten_seeds_that_had_been_seen_every_verdict_is_the_same(entries):
    assert [entry.others.verdict for entry in entries.values()] == [entry.all.verdict for entry in entries.values()]
    assert {entry.others.study.seeds for key, entry in entries.items() if key != "C8"} == {190}


def test_signs_differ_for_every_verdict():
    assert set(ledger.MARKS) == set(VERDICTS) and len(set(ledger.MARKS.values())) == len(VERDICTS)


@pytest.mark.long
def test_disagreements_are_the_cases_with_opposite_outcomes(entries):
    """A made-up run far out in one mask's tail turns the means, not the ranks."""
    study = entries["C1"].all.study
    values = {metric: {key: array.copy() for key, array in groups.items()} for metric, groups in study.raw.items()}
    values["reconstruction_error"]["010", 100][0] = 1e4
    turned = CLAIMS["C1"].rule(type(study)(values))
    found = ledger.disagreements(turned).set_index("case").loc["N = 100"]
    assert turned.verdict == HOLDS and turned.by_mean != HOLDS
    assert found["by ranks"] == "supported" and found["by mean"] == "contradicted"
    assert found["largest run of first"] > 0.9 > 0.5 > found["largest run of second"]
    assert ledger.disagreements(entries["C2"].all).empty


@pytest.mark.long
def test_what_the_chapter_says_of_its_pictures_is_so(entries):
    """Chapter "The ledger": the alternative texts, and what is read from each."""
    tables = {key: entry.all.table for key, entry in entries.items()}
    effect = {key: table["effect"] for key, table in tables.items()}
    outcome = {key: table["outcome"].to_list() for key, table in tables.items()}
    assert effect["C1"].between(0.9, 1.0001).all() and set(outcome["C1"]) == {"supported"}
    assert (effect["C2"] <= 1).all() and set(outcome["C2"]) == {"supported"}
    assert effect["C2"].nsmallest(2).index.to_list() == [11, 10]  # Cov+Sep at N = 100 and 50
    assert (effect["C3"] < 1).all() and outcome["C3"] == ["open"] + ["supported"] * 5
    assert (effect["C4"] > 1).all() and set(outcome["C4"]) == {"contradicted"} and effect["C4"].idxmax() == 5
    assert (effect["C5"] > 0).all()
    ends = np.array(outcome["C5"]).reshape(4, 6)
    assert (ends[:, 4:] == "supported").all()
    assert all(effect["C5"].to_numpy().reshape(4, 6)[:, 4:].max(axis=1) < 0.01)
    assert (tables["C5"]["superiority"] < 0.5).all()
    assert (effect["C6"][:6] <= 0).all() and outcome["C6"][:6] == ["supported"] * 6
    assert effect["C6"][6] > 0 and outcome["C6"][6:] == ["contradicted", "supported", "supported"]
    assert (effect["C6"][7:] < -0.4).all()
    assert (effect["C7"][:20] < 1).sum() > 10
    assert outcome["C7"][20:] == ["supported", "supported", "contradicted", "open"]
    assert (effect["C8"] <= 0).all() and outcome["C8"] == ["open"] * 3 + ["supported"] * 3
    assert (effect["C9"] < 1).all() and set(outcome["C9"]) == {"open"}
    alone, covered = effect["C10"][:6], [k for k in range(6, 18) if "≲" in tables["C10"]["comparison"][k]]
    assert (alone < 1).all() and outcome["C10"][:6].count("contradicted") > 3
    assert (effect["C10"][covered] > 1).all()
    assert [outcome["C10"][k] for k in covered].count("contradicted") > len(covered) / 2
    small = tables["C4"].iloc[:4]["effect"]
    assert (small < claims.FACTOR**0.1).all()  # worse by next to nothing
    assert entries["C4"].ten.by_mean == HOLDS and entries["C4"].all.by_mean == DOES_NOT_HOLD
