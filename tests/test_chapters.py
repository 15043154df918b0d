"""The chapters as files: executed, portable, and what the module's docstrings say of them."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys

import pytest
import yaml
from conftest import CHAPTERS, ROOT

import companion

NOTEBOOKS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in CHAPTERS}


def source(cell: dict) -> str:
    return "".join(cell["source"])


def prose(stem: str) -> str:
    return "\n\n".join(source(cell) for cell in NOTEBOOKS[stem]["cells"] if cell["cell_type"] == "markdown")


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_a_cell_s_options_come_before_all_else(stem):
    """Quarto reads `#|` lines at a cell's top only: behind a comment they are printed with the code."""
    for cell in NOTEBOOKS[stem]["cells"]:
        lines = source(cell).splitlines()
        options = [number for number, line in enumerate(lines) if line.startswith("#|")]
        if cell["cell_type"] == "code":
            assert options == list(range(len(options))), lines[:3]


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_every_cell_was_executed_without_error(stem):
    for cell in NOTEBOOKS[stem]["cells"]:
        if cell["cell_type"] == "code":
            assert cell["execution_count"] is not None
            assert all(output["output_type"] != "error" for output in cell["outputs"])
            # An HTML output makes Quarto load scripts of another host.
            assert all("text/html" not in output.get("data", {}) for output in cell["outputs"])


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_a_chapter_carries_nothing_of_the_machine(stem):
    assert not re.search(r"/(work|home|root|Users)/", json.dumps(NOTEBOOKS[stem]))
    assert "papermill" not in NOTEBOOKS[stem]["metadata"], "make chapters strips it"


@pytest.mark.parametrize("stem", [stem for stem in NOTEBOOKS if stem not in ("sweep", "space-sweep")])
def test_a_chapter_starts_with_its_question(stem):
    first = source(NOTEBOOKS[stem]["cells"][0])
    assert re.match(r"# .+ \{#sec-[a-z]+\}\n\n\*\*[^*]+\?\*\*", first)


def test_every_chapter_is_in_the_book():
    book = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))["book"]
    parts = [entry["chapters"] if isinstance(entry, dict) else [entry] for entry in book["chapters"]]
    listed = [path for part in parts for path in part] + book["appendices"]
    assert {f"chapters/{path.name}" for path in CHAPTERS} == {path for path in listed if path.endswith(".ipynb")}


def test_a_label_stands_once_in_the_book():
    labels = [label for stem in NOTEBOOKS for label in re.findall(r"\{#((?:sec|eq)-[\w-]+)", prose(stem))]
    assert len(labels) > 100 and {label for label in labels if labels.count(label) > 1} == set()


def test_the_seven_figures_have_labels_captions_and_alternative_texts():
    labels = {}
    for notebook in NOTEBOOKS.values():
        for cell in notebook["cells"]:
            head = re.match(r"(#\|.*\n)*", source(cell))[0] if cell["cell_type"] == "code" else ""
            options = yaml.safe_load(re.sub(r"(?m)^#\| ", "", head)) or {}
            if any("image/svg+xml" in output.get("data", {}) for output in cell.get("outputs", [])):
                assert len(options["fig-alt"]) > 40, "a picture without a text that says what it shows"
                if "label" in options:
                    labels[options["label"]] = options["fig-cap"]
    # The paper's figures are named by their numbers, ours by words.
    ours = {label: labels.pop(label) for label in list(labels) if not label[-1].isdigit()}
    assert list(labels) == [f"fig-{number}" for number in range(1, 8)]
    assert all(caption.startswith(f"The paper's figure {label[-1]}") for label, caption in labels.items())
    assert not any(caption.startswith("The paper's") for caption in ours.values())
    assert "inferred" in labels["fig-4"]


def test_every_chapter_says_whose_its_statements_are():
    for stem in NOTEBOOKS:
        if stem not in ("sweep", "space-sweep", "multiverse-sweep", "90-rerun"):
            text = json.dumps(NOTEBOOKS[stem], ensure_ascii=False)
            assert ".mark-paper" in text and ".mark-ours" in text, stem


PUBLIC = [
    function
    for module in pkgutil.walk_packages(companion.__path__, "companion.")
    for name, function in vars(importlib.import_module(module.name)).items()
    if inspect.isfunction(function) and function.__module__ == module.name and not name.startswith("_")
]


@pytest.mark.parametrize("function", PUBLIC, ids=lambda function: f"{function.__module__}.{function.__name__}")
def test_a_docstring_names_a_place_that_the_book_has(function):
    """`Book: chapter "Coverage", equation (coverage).` must lead somewhere."""
    text = inspect.getdoc(function)
    assert text, "no docstring"
    for title, place in re.findall(r'Book: chapter "([^"]+)", (.+?)[.;]\s', text + "\n"):
        stems = [stem for stem in NOTEBOOKS if prose(stem).startswith(f"# {title} {{")]
        assert len(stems) == 1, title
        for label in re.findall(r"\(([\w-]+)\)", place):
            assert f"{{#eq-{label}}}" in prose(stems[0]), label
        for section in re.findall(r'section "([^"]+)"', place):
            assert f"\n## {section}" in prose(stems[0]), section
    gives_something = inspect.signature(function).return_annotation != "None"
    if gives_something and function.__module__.startswith(("companion.core.", "companion.sweeps.")):
        assert "Returns" in text or text.startswith(("Return", "Yield")), "what comes out"


@pytest.mark.slow
def test_figures_can_be_drawn_from_a_reader_s_own_runs(tmp_path):
    small = [
        "-y",
        "sizes: [3, 4]",
        "-y",
        "seeds: [1]",
        "-p",
        "steps",
        "10",
        "-p",
        "out",
        str(tmp_path / "mine.parquet"),
    ]
    for chapter, arguments in (
        ("sweep", small),
        ("09-replication", ["-p", "runs_file", str(tmp_path / "mine.parquet")]),
    ):
        notebook = [ROOT / f"chapters/{chapter}.ipynb", tmp_path / "out.ipynb", "--cwd", ROOT / "chapters"]
        command = [sys.executable, "-m", "papermill", *notebook, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
