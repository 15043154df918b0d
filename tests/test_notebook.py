"""What the chapters display: numbers as text, tables that keep every cell, charts that a page can bring to life."""

from __future__ import annotations

import json
import re

import altair as alt
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from companion.core.losses import overlap_loss
from companion.show import notebook


@pytest.fixture
def shown(monkeypatch) -> list[str]:
    """The Markdown that a call displays."""
    texts: list[str] = []
    monkeypatch.setattr(notebook, "display", lambda output: texts.append(output.data))
    return texts


def cells(text: str) -> list[list[str]]:
    """The rows of a pipe table, header first, without its rule."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|:")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5"),
        (130.4, "130"),
        (0.000123, "0.00012"),
        (1e-26, "1e-26"),
        (-0.0, "0"),
        (float("nan"), "–"),
        (1.0, "1"),
    ],
)
def test_numbers_have_two_digits_and_no_needless_exponent(shown, value, text):
    notebook.show_table(pd.DataFrame({"E": [value]}, index=pd.Index(["a"], name="mask")), "title", digits=2)
    assert cells(shown[0]) == [["mask", "E"], ["a", text]]


def test_a_pipe_in_a_name_or_a_cell_does_not_end_it(shown):
    notebook.show_table(pd.DataFrame({"farthest |x|": ["a|b"]}, index=pd.Index([3], name="N")), "title")
    assert cells(shown[0]) == [["N", r"farthest \|x\|"], ["3", r"a\|b"]]


@pytest.mark.parametrize("length", [1, notebook.BOX_ROWS, notebook.BOX_ROWS + 1, 2 * notebook.BOX_ROWS + 5])
def test_a_long_folded_table_is_split_and_keeps_every_row(shown, length):
    table = pd.DataFrame({"E": range(length)}, index=pd.Index(range(length), name="run"))
    notebook.show_table(table, "numbers", fold=True)
    rows = [row for text in shown for row in cells(text)[1:]]
    assert rows == [[str(k), str(k)] for k in range(length)]
    assert all(len(cells(text)) <= 1 + notebook.BOX_ROWS and text.startswith("::: {.callout-note") for text in shown)
    assert len({text.splitlines()[0] for text in shown}) == len(shown), "boxes that share a title"


def test_a_wide_folded_table_has_fewer_rows_a_box_since_its_cells_wrap(shown):
    table = pd.DataFrame({f"column {k}": ["some words"] * 30 for k in range(12)}, index=pd.Index(range(30), name="run"))
    notebook.show_table(table, "words", fold=True)
    assert len(shown) > 1 and sum(len(cells(text)) - 1 for text in shown) == 30
    assert max(len(cells(text)) - 1 for text in shown) <= notebook.BOX_ROWS / 2


def test_a_live_figure_s_specification_cannot_end_its_script(shown):
    chart = alt.Chart(pd.DataFrame({"x": ["</script>"]})).mark_point().encode(x="x:N")
    notebook.show_numbers(pd.DataFrame({"x": [1.0]}), chart, "fig-1")
    script = re.search(r'data-figure="fig-1">(.*)</script>', shown[-1])[1]
    assert "</script>" not in script and json.loads(script) == chart.to_dict()


def test_source_is_the_function_s_own(shown):
    notebook.show_source(overlap_loss)
    assert "products = activations.sum(-1) ** 2 - (activations**2).sum(-1)" in shown[0]
    notebook.show_source(overlap_loss, fold="as code")
    assert shown[0] in shown[1] and shown[1].startswith('::: {.callout-note collapse="true" title="as code"}')


def test_provenance_names_what_trained_the_runs(replication, shown):
    notebook.show_provenance(replication, "make it")
    numba = replication.attrs["versions"]["numba"]
    wanted = ("480 runs; seeds 1000–1009", f"engine fast; numba {numba}, torch", "make it")
    assert all(part in shown[0] for part in wanted)


def test_provenance_names_all_strengths(strength, shown):
    notebook.show_provenance(strength, "make it")
    assert "λ = 0.01, 0.1, 10, 100; τ = 1e-05, 0.0001" in shown[0]


def test_provenance_in_space_names_the_rule_and_counts_what_was_lost(shown):
    runs = pd.DataFrame({"seed": [3, 4], "size": [30, 10], "strength": 1.0, "steps": 200, "engine": "fast"})
    runs = runs.assign(reconstruction_error=[float("nan"), 0.5])
    runs.attrs = {"versions": {"numba": "1", "torch": "2", "numpy": "3", "scipy": "4"}}
    notebook.show_provenance_in_space(runs, "make it")
    wanted = (
        "*2 runs, 1 of them lost to overflow; seeds 3–4; N = 10, 30; λ = 1; τ by @eq-space-temperature; 200 steps; "
    )
    assert shown[0] == f"{wanted}engine fast; numba 1, torch 2, numpy 3, scipy 4. Made by*\n\n```bash\nmake it\n```"


VERSIONS = {"versions": {"numba": "1", "torch": "2", "numpy": "3"}}


def few(**columns: object) -> pd.DataFrame:
    """Three runs of two seeds that do not follow one another."""
    same = {"strength": 1.0, "temperature": 1e-4, "steps": 20, "engine": "fast"}
    runs = pd.DataFrame({"mask": "010", "size": 3, "seed": [1, 7, 7], **same, **columns})
    runs.attrs = dict(VERSIONS)
    return runs


def test_a_reader_s_own_runs_are_named_by_their_file_and_by_no_command(shown):
    runs = few(steps=[20, 20, 30], attractor=["coverage", "transport", "transport"], engine=["torch", "fast", "fast"])
    runs.attrs["file"] = "mine.parquet"
    notebook.show_provenance(runs, "make it")
    assert shown == [
        "*`mine.parquet`: 3 runs; 2 seeds from 1 to 7; λ = 1; τ = 0.0001; attractor coverage, transport; 20, 30 steps; "
        "engine fast, torch; numba 1, torch 2, numpy 3. Definitions: @sec-choices.*"
    ]


@pytest.mark.parametrize(
    ("runs", "says"),
    [
        (few().drop(columns="steps"), "allowed are tables with ['steps'], too"),
        (few().drop(columns=["seed", "engine"]), "allowed are tables with ['engine', 'seed'], too"),
        (few().iloc[:0], "runs: a table of 0 rows was given; allowed is a table with rows"),
        (few().assign(seed=1).pipe(lambda runs: pd.DataFrame(runs.to_dict("list"))), "without the versions of numba"),
        ("runs.parquet", "runs: 'runs.parquet' was given; allowed is a"),
    ],
)
def test_runs_that_do_not_say_what_made_them_are_refused(shown, runs, says):
    for show in (notebook.show_provenance, notebook.show_provenance_in_space):
        full = runs.assign(reconstruction_error=0.5) if isinstance(runs, pd.DataFrame) else runs
        with pytest.raises(ValueError, match=re.escape(says)):
            show(full, "make it")
    assert not shown


@pytest.mark.parametrize(
    ("seeds", "text"), [([5], "seed 5"), ([3, 2, 2], "seeds 2–3"), ([1, 9, 4], "3 seeds from 1 to 9")]
)
def test_seeds_are_a_range_only_where_none_is_left_out(seeds, text):
    assert notebook.seeds_of(pd.DataFrame({"seed": seeds})) == text


def test_a_cell_without_a_value_is_a_dash_and_any_float_is_rounded(shown):
    values = [None, pd.NA, pd.NaT, np.float32(0.1234567), np.float64("nan"), 3]
    notebook.show_table(pd.DataFrame({"E": pd.Series(values, dtype=object)}), "title", digits=2)
    assert [row[1] for row in cells(shown[0])[1:]] == ["–", "–", "–", "0.12", "–", "3"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"table": [1]}, "table: [1] was given; allowed is a"),
        ({"digits": 0}, "digits: 0 was given; allowed are whole numbers of at least 1"),
        ({"digits": "2"}, "digits: '2' was given; allowed are whole numbers of at least 1"),
    ],
)
def test_what_is_no_table_is_refused(shown, given, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        notebook.show_table(**{"table": pd.DataFrame({"E": [1.0]}), "title": "title"} | given)
    assert not shown


def test_a_ledger_is_shown_as_it_is(shown):
    notebook.show_verdicts("| **✓ holds** |\n| :--- |")
    assert shown == ["| **✓ holds** |\n| :--- |"]


def line(values: list[float], title: str = "E") -> alt.Chart:
    frame = pd.DataFrame({"x": range(len(values)), "E": values})
    return alt.Chart(frame).mark_line().encode(x="x:Q", y=alt.Y("E:Q", title=title))


def test_a_chart_s_digest_is_of_what_it_draws_and_not_of_a_rounding():
    values = [0.1, -1 / 3, 7e-9, 0.0]
    same, rounding = line(values), line([value * (1 + 1e-12) + 1e-17 for value in values])
    assert same.to_json() != rounding.to_json() and notebook.digest(same) == notebook.digest(rounding)
    others = [line([0.1, -1 / 3, 7.001e-9, 0.0]), line(values[:3]), line(values, "e"), line(values).mark_point()]
    assert len({notebook.digest(chart) for chart in (same, *others)}) == 5


def test_a_chart_is_shown_as_a_picture_whose_text_is_its_digest(monkeypatch):
    """nbval compares the text in the picture's place: tests/pictures.cfg."""
    outputs = []
    monkeypatch.setattr(notebook, "display", lambda data, raw: outputs.append(data))
    notebook.show_chart(line([1.0, 2.0]))
    assert outputs[0]["text/plain"] == f"chart {notebook.digest(line([1.0, 2.0]))}"
    regex, replacement = re.search(
        r"regex: (.+)\nreplace: (.+)", (ROOT / "tests/pictures.cfg").read_text(encoding="utf-8")
    ).groups()
    assert re.sub(regex, replacement, outputs[0]["image/svg+xml"]) == replacement
    assert re.sub(regex, replacement, outputs[0]["text/plain"]) == outputs[0]["text/plain"]
