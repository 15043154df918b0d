"""The ledger: what the stored data give, the same wherever it stands, and its cases as the chapter tabulates them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from conftest import ROOT, history

from companion.judging import ledger
from companion.judging.beyond import judge_beyond
from companion.judging.claims import CLAIMS
from companion.judging.paired import Interval
from companion.judging.verdicts import VERDICTS, Case, Statement, Study, Verdict, judge
from companion.studies import multiverse
from companion.studies.findings import BEYOND_KEY, survival
from companion.studies.ledger import by_means, by_rule, counted, still_open, stored_entries
from companion.studies.multiverse import shares_by_mean


@pytest.fixture(scope="module")
def entries() -> dict[str, ledger.Entry]:
    return stored_entries(ROOT / "data")


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
    assert differences(again, {name: stored[name] for name in again}) == []
    assert stored.keys() - again.keys() == {"universes", "beyond"}
    assert list(stored["claims"]) == [*(f"C{number}" for number in range(1, 11)), "C10s"]


@pytest.mark.slow
def test_a_changed_run_changes_the_ledger(stored):
    """The test above can fail: one mask's runs made a little worse move its verdicts' numbers."""
    fresh, seen = ledger.stored(ROOT), ledger.stored(ROOT, ledger.SEEN)
    worse = fresh.sweep.copy()
    worse.loc[(worse["mask"] == "010") & (worse["size"] == 50), "reconstruction_error"] *= 1.1
    again = ledger.as_json(ledger.judge_all(fresh._replace(sweep=worse), seen))
    found = differences(json.loads(json.dumps(again)), {name: stored[name] for name in again})
    assert any(place.startswith("/claims/C1/verdicts/fresh") for place in found)
    assert not any(place.startswith("/claims/C8") for place in found)


@pytest.mark.long
def test_the_ledger_stands_as_the_data_give_it(entries):
    table = ledger.table(entries, shares_by_mean(ROOT))
    assert (ROOT / "_ledger.md").read_text(encoding="utf-8") == f"{table}\n\n{ledger.KEY}\n"
    assert "{{< include _ledger.md >}}" in (ROOT / "index.qmd").read_text(encoding="utf-8")


@pytest.mark.long
def test_each_row_has_its_share_of_universes(entries, stored):
    """But C8's, of which one universe shows nothing."""
    seen = multiverse.stored(ROOT, "sobol").of_claims.groupby("claim")["by_mean"].mean()
    table = ledger.table(entries, shares_by_mean(ROOT)).splitlines()
    assert table[0].endswith("| universes |") and not ledger.table(entries).splitlines()[0].endswith("| universes |")
    for line, key in zip(table[2:], CLAIMS, strict=True):
        cell = line.rstrip(" |").rpartition("| ")[2]
        assert cell == "–" if key == "C8" else cell.startswith(f"{100 * seen[key]:.0f}\u00a0% [")
    assert {key: one["value"] for key, one in stored["universes"].items()} == pytest.approx(seen.to_dict(), abs=1e-6)


@pytest.mark.parametrize("given", [{"C11": Interval(0.1, 0.0, 0.2)}, {"C1": 0.1}, [0.1]])
def test_what_is_no_share_of_universes_is_refused(entries, given):
    with pytest.raises(ValueError, match="^universes: "):
        ledger.table(entries, given)


@pytest.mark.long
def test_what_stands_beyond_the_paper_is_what_the_runs_give(stored):
    verdicts, row = judge_beyond(ROOT), survival(ROOT / "data")
    assert differences(json.loads(json.dumps(ledger.beyond_json(verdicts, row))), stored["beyond"]) == []
    text = (ROOT / "_beyond.md").read_text(encoding="utf-8")
    assert text == f"{ledger.beyond_table(verdicts, row)}\n\n{BEYOND_KEY}\n"
    assert "{{< include _beyond.md >}}" in (ROOT / "index.qmd").read_text(encoding="utf-8")


@pytest.mark.long
def test_every_row_leads_to_a_section_with_rule_code_and_data(entries):
    cells = json.loads((ROOT / "chapters/10-ledger.ipynb").read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    for line, key in zip(ledger.table(entries).splitlines()[2:], CLAIMS, strict=True):
        assert f"| **{key}** {CLAIMS[key].says} (@sec-{key.lower()}) |" in line
        assert any(f"{{#sec-{key.lower()}}}" in source for source in sources)
    shown = [
        "".join(output.get("data", {}).get("text/markdown", "")) for cell in cells for output in cell.get("outputs", [])
    ]
    for claim in CLAIMS.values():
        assert any(f"def {claim.rule.__name__}(" in text for text in shown), "the rule's code"


def test_every_number_of_the_rules_was_in_the_commit_before_the_runs():
    """History: the rules, with the margins that they have now, came before the runs of the fresh seeds."""
    added = history("log", "--format=%H", "--diff-filter=A", "--", "data/ledger.parquet").split()
    names = {"claims": ("LEAST", "LEAST_SHARE", "FACTOR", "SHARE", "HALF", "FIT", "STABLE"), "verdicts": ("LEVEL",)}
    for module, numbers in names.items():
        before = history("show", f"{added[-1]}~1:companion/judging/{module}.py") if added else ""
        now = (ROOT / f"companion/judging/{module}.py").read_text(encoding="utf-8")
        if not before:
            pytest.skip("the history here is not the one in which the book was written")
        for name in numbers:
            pattern = rf"(?m)^{name} = .+$"
            assert re.search(pattern, before)[0] == re.search(pattern, now)[0]


def test_signs_differ_for_every_verdict():
    assert set(ledger.MARKS) == set(VERDICTS) and len(set(ledger.MARKS.values())) == len(VERDICTS)


@pytest.fixture(scope="module")
def made_up() -> Verdict:
    """Of three cases one supported, one contradicted and one open: 001 expels as much as 000, of which 100 is above."""
    numbers = np.random.default_rng(0).uniform(0.4, 0.5, 40)
    study = Study({"expelled_fraction": {("000", 3): numbers, ("001", 3): numbers.copy(), ("100", 3): numbers + 0.25}})
    pairs = {"up": ("000", "100"), "down": ("100", "000"), "same": ("000", "001")}
    cases = [Case(name, [Statement("expelled_fraction", (a, 3), (b, 3))]) for name, (a, b) in pairs.items()]
    return judge(study, cases)


def test_cases_are_counted_by_what_became_of_them(made_up):
    assert counted(made_up) == "1 of 3 cases supported, 1 contradicted, 1 open" and still_open(made_up) == 1


def test_cases_are_tabulated_by_rule_with_their_effect_and_outcome(made_up):
    table = by_rule(made_up)
    assert table["median difference"].to_dict() == {
        "up": "-0.25 [-0.25, -0.25]",
        "down": "0.25 [0.25, 0.25]",
        "same": "0.00 [0.00, 0.00]",
    }
    assert table["P"].to_list() == ["1.00", "0.00", "0.50"]
    assert table["outcome"].to_list() == ["supported", "contradicted", "open"]


def test_cases_are_tabulated_by_mean_with_both_sides_and_whether_they_show_it(made_up):
    table, mean = by_means(made_up), made_up.study.raw["expelled_fraction"]["000", 3].mean()
    assert table["mean ± SEM, first"]["up"].startswith(f"{mean:.3g} ± 0.00")
    assert table["mean ± SEM, second"]["up"].startswith(f"{mean + 0.25:.3g} ± ")
    assert table["shown"].to_list() == ["yes", "no", "no"]
