"""The chapters' form: prose is Markdown, its numbers stand there by name, hidden code draws and does no more."""

from __future__ import annotations

import ast
import re

import pytest
from conftest import CHAPTERS, ROOT
from literate import cells, code, hidden, options, prose, source

from companion.core.settings import MASKS

STEMS = [path.stem for path in CHAPTERS]
WRITTEN = [stem for stem in STEMS if not stem.endswith("sweep")]
LINES = 12
"""Of a cell of code, blank ones not counted: what is longer is a function of the companion."""
HIDDEN_SHARE = 1 / 4
"""Of a chapter's characters at most."""

SETTINGS = {
    *MASKS,
    *"0 1 2 3 5 10 20 30 50 100 200 450 480 1000 2,000".split(),
    "1000–1009",
    "1000–1199",
    "2000–2099",
    "95",
}
"""Numbers that are no results and may be typed: the design's masks, sizes, seeds, runs and steps; how many definitions
were tried; 95 % of intervals."""
OF_CHAPTERS = {
    "01-model": {"0.01", "0.9", "0.999"},
    "02-coverage": {"0.1", "0.3", "0.5", "0.7", "0.9"},
    "03-separation": {"0.01"},
    "04-overlap": {"0.2", "0.4", "0.6", "0.8"},
    "06-expulsion": {"0.1", "0.3", "0.5", "0.2", "0.7", "0.9", "1.1", "1001"},
    "07-temperature": {"0.1", "4"},
    "08-budget": {"6", "12"},
    "09-replication": {"0.1", "1.5", "4", "6", "7"},
    "10-ledger": {
        *("0.005", "0.05", "0.1", "0.15", "0.995", "1.02", "1.05", "1.2", "1.25", "1.5", "16", "2.5"),
        *("1199", "6000", "6199"),
    },
    "11-every-reading": {"0.001", "0.01", "0.1", "1.5", "1e-5", "32", "60", "7", "7000", "7009"},
    "13-ten-seeds": {"0.025", "100 of 200", "2.5", "28", "90"},
    "14-chance": {"0.05", "19"},
    "15-whose": {"0.05"},
    "16-tails": {"0.1", "97"},
    "17-rounding": {"0.001", "2000", "500", "7"},
    "19-forces": {"0.03", "0.01", "0.09", "0.1", "0.3", "0.6", "0.8", "0.9", "1,000", "192", "97", "1000–1039"},
    "20-crowding": {"0.01", "0.1", "1000–1029"},
    "21-holding": {"99"},
    "22-symmetries": {"0.5"},
    "23-motion": {"0.01", "97", "1,000", "1.5", "13", "2.5", "40", "7"},
    "25-attractor": {"0.005", "0.05", "0.01", "0.1", "0–39", "1,001", "1.5", "2000–2029"},
    "26-space": {"0.95", "0–99", "3000", "442", "8000–8029"},
    "27-memory": {"0.001", "1e-5", "1e-8", "4000", "4003", "4029"},
    "90-rerun": {
        "7000–7009",
        "6000–6199",
        "6200–6229",
        "0.01",
        "1000–1029",
        "100,000",
        "10,000,000",
        "128",
        "61",
        "3.14",
    },
    "91-engine": {"0.27", "11", "48,000"},
    "_findings": {"1e-05", "4"},
    "_findings-beyond": {"0.005", "4"},
}
"""More of them, chapter by chapter: places in examples, levels, seeds, the paper's figures."""
IN_ALTERNATIVE_TEXTS = {
    "02-coverage": {"1.1"},
    "08-budget": {"0.1", "0.8"},
    "13-ten-seeds": {"0.4", "0.95"},
    "15-whose": {"0.5", "0.6", "0.65", "0.8"},
    "17-rounding": {"0.01", "1e-14"},
    "20-crowding": {"0.03", "4"},
    "21-holding": {"0.14"},
    "22-symmetries": {"0.07", "0.4", "0.6", "0.8", "0.9"},
    "26-space": {"16", "4", "8"},
    "27-memory": {"0.6", "0.8", "0.9"},
}
"""What alternative texts name besides: ends of axes, and round bounds that a test of tests/chapters/ holds."""


def numbers_in(text: str) -> list[str]:
    """The numbers that a text types, but for code, equations on lines of their own, addresses and references.

    In inline formulas only decimals count: the others are the formula's.
    """
    for gone in (
        r"(?s)^```.*?^```",
        r"`[^`]*`",
        r"(?s)\$\$.*?\$\$",
        r"\{\{<.*?>\}\}",
        r"\{[^}]*\}",
        r"\]\([^)]*\)",
        r"@[\w-]+",
        r"<[\w/][^<>$]*>",
    ):
        text = re.sub(gone, " ", text, flags=re.M)
    formulas = re.findall(r"\$([^$]*)\$", text)
    text = re.sub(r"\$[^$]*\$", " ", text)
    found = re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?:–\d+)?(?![\w])", text)
    found += re.findall(r"\d+\.\d+", " ".join(formulas))
    return [number.rstrip(",") for number in found] + re.findall(r"\b\d+ of \d+\b", text)


INCLUDED = ["_verdicts", "_findings", "_findings-readings", "_findings-beyond"]


@pytest.mark.parametrize("stem", [*WRITTEN, "index", *INCLUDED])
def test_prose_types_no_number_but_settings(stem):
    allowed = SETTINGS | OF_CHAPTERS.get(stem, set())
    message = "a result is a variable (`{{< var … >}}`); a setting is listed in this test"
    assert not set(numbers_in(prose(stem, of_cells=("fig-cap",)))) - allowed, message
    assert not set(numbers_in(prose(stem))) - allowed - IN_ALTERNATIVE_TEXTS.get(stem, set()), message


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Its E is 0.43.", ["0.43"]),
        ("At $N = 100$ it is $0.43$.", ["0.43"]),
        ("Lowest at 5 of 6 sizes", ["5", "6", "5 of 6"]),
        ("A share of 23 %, or 1e-5, of 1,234", ["23", "1e-5", "1,234"]),
        ("It is {{< var tails.worst-share >}} at `x = 3.5` (@fig-7, [here](a1.html)).", []),
        ("$$\nx = 3.5\n$$ {#eq-x}", []),
        ("If $|w| < |b|$, it is 0.43 > 0.", ["0.43", "0"]),
    ],
)
def test_a_typed_number_is_found(text, found):
    assert numbers_in(text) == found


def code_cells(stem: str) -> list[dict]:
    return [cell for cell in cells(stem) if cell["cell_type"] == "code"]


@pytest.mark.parametrize("stem", WRITTEN)
def test_a_cell_of_code_is_short(stem):
    for cell in code_cells(stem):
        lines = [line for line in code(cell).splitlines() if line.strip()]
        assert len(lines) <= LINES, code(cell)


ANALYSIS = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.While, ast.If, ast.IfExp, ast.comprehension)
"""What a hidden cell does not hold: it imports, reads, names and draws."""


@pytest.mark.parametrize("stem", WRITTEN)
def test_a_hidden_cell_draws_and_does_no_more(stem):
    for cell in code_cells(stem):
        if hidden(cell):
            assert not [node for node in ast.walk(ast.parse(code(cell))) if isinstance(node, ANALYSIS)], code(cell)


@pytest.mark.parametrize("stem", WRITTEN)
def test_no_cell_writes_prose(stem):
    """Prose is Markdown cells; what a cell displays are pictures, tables, source and what made them."""
    for cell in code_cells(stem):
        names = {node.id for node in ast.walk(ast.parse(code(cell))) if isinstance(node, ast.Name)}
        assert not names & {"Markdown", "display", "print"}, code(cell)


def characters(stem: str) -> dict[str, int]:
    """How many characters of a chapter are prose (with captions), visible code and hidden code."""
    count = {"prose": len(prose(stem)), "visible": 0, "hidden": 0}
    for cell in code_cells(stem):
        count["hidden" if hidden(cell) else "visible"] += len(code(cell))
    return count


@pytest.mark.parametrize("stem", WRITTEN)
def test_hidden_code_is_a_quarter_of_a_chapter_at_most(stem):
    count = characters(stem)
    assert count["hidden"] <= HIDDEN_SHARE * sum(count.values()), count


@pytest.mark.parametrize("stem", WRITTEN)
def test_a_picture_has_a_label_a_caption_and_an_alternative_text(stem):
    for cell in code_cells(stem):
        pictures = [output for output in cell["outputs"] if "image/svg+xml" in output.get("data", {})]
        given = options(cell)
        assert len(pictures) <= 1, "a figure has one picture"
        if pictures:
            assert re.fullmatch(r"fig-[a-z0-9-]+", given["label"])
            assert len(given["fig-cap"]) > 40 and len(given["fig-alt"]) > 40


def test_a_figure_s_label_is_its_own():
    labels = [options(cell).get("label") for stem in WRITTEN for cell in code_cells(stem)]
    labels = [label for label in labels if label]
    assert len(labels) == len(set(labels)) > 50


@pytest.mark.parametrize("stem", WRITTEN)
def test_titles_of_boxes_and_alternative_texts_name_no_variable(stem):
    """Quarto leaves the shortcode in a title's tooltip, and beside a picture in an attribute of its frame."""
    for cell in cells(stem):
        assert not re.search(r'title="[^"]*\{\{<', source(cell))
        assert cell["cell_type"] == "markdown" or "{{<" not in options(cell).get("fig-alt", "")


def test_the_settings_that_are_listed_are_typed_somewhere():
    for stem, listed in OF_CHAPTERS.items():
        assert listed <= set(numbers_in(prose(stem, of_cells=("fig-cap",)))), stem
    for stem, listed in IN_ALTERNATIVE_TEXTS.items():
        assert listed <= set(numbers_in(prose(stem))), stem
    typed = {number for stem in [*WRITTEN, "index"] for number in numbers_in(prose(stem))}
    assert SETTINGS - set(MASKS) <= typed


def test_the_front_page_has_no_cell():
    assert "```{python}" not in (ROOT / "index.qmd").read_text(encoding="utf-8")
