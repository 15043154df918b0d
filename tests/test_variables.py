"""The numbers in prose: each exists, is used, and is what the stored data give."""

from __future__ import annotations

import re
import shutil

import pytest
from conftest import CHAPTERS, ROOT
from literate import prose

from companion.show.prose import VARIABLE, fill
from companion.studies import variables

PAGES = ["index", "_verdicts", "_findings", "_findings-readings", "_findings-beyond", *(path.stem for path in CHAPTERS)]
STORED = variables.stored(ROOT)


def named(page: str) -> set[str]:
    """The variables that a page names."""
    return set(VARIABLE.findall(prose(page)))


@pytest.fixture(scope="module")
def used() -> set[str]:
    return {name for page in PAGES for name in named(page)}


@pytest.fixture(scope="module")
def existing() -> set[str]:
    return {f"{chapter}.{name}" for chapter in variables.NUMBERS for name in STORED[chapter]}


@pytest.mark.parametrize("page", PAGES)
def test_every_variable_that_prose_names_exists(page, existing):
    assert named(page) <= existing
    wellformed = re.findall(r"\{\{< (?:var [\w-]+\.[\w-]+|include \S+) >\}\}", prose(page))
    assert prose(page).count("{{<") == len(wellformed), "one that not every build fills"
    assert "{{{<" not in prose(page), "Quarto shows what stands in three braces as it is written"


def test_every_variable_is_used(existing, used):
    assert existing - used == set()


def test_a_variable_has_a_name_that_says_what_it_is():
    for chapter in variables.NUMBERS:
        for name, value in STORED[chapter].items():
            assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) and re.search("[a-z]{2}", name), name
            assert isinstance(value, str) and value and not re.search(r"\b(nan|inf|None)\b", value), (name, value)
            assert not re.search(r'["\\|\n]', value), (
                "it would end a cell, an alternative text or the presets of chapter 24"
            )


def test_the_stored_file_holds_the_chapters_numbers_sorted_and_no_more():
    assert set(STORED) == {*variables.NUMBERS, variables.READS} and variables.READS not in variables.NUMBERS
    lines = (ROOT / "_variables.yml").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[0] for line in lines if re.match(r"[a-z]", line)]
    assert names == sorted(names) and all(list(STORED[chapter]) == sorted(STORED[chapter]) for chapter in names)


@pytest.mark.parametrize("chapter", variables.NUMBERS)
def test_stored_numbers_are_not_stale(chapter):
    assert STORED[variables.READS][chapter] == variables.digest(chapter, ROOT), "run `make chapters`"


@pytest.mark.long
@pytest.mark.parametrize("chapter", variables.NUMBERS)
def test_stored_numbers_are_what_the_data_give(chapter):
    assert STORED[chapter] == variables.NUMBERS[chapter](ROOT / "data")


def test_prose_is_filled():
    values = {"tails": {"worst-share": "0.96 [0.94, 0.98]"}}
    assert fill("It is {{< var tails.worst-share >}}.", values) == "It is 0.96 [0.94, 0.98]."
    with pytest.raises(KeyError):
        fill("It is {{< var tails.best-share >}}.", values)


def test_the_file_is_written_again_only_where_it_is_stale(tmp_path, monkeypatch):
    for part in ("companion", "data/benchmarks.json", "_variables.yml"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, tmp_path / part)
    first, second = list(variables.NUMBERS)[:2]
    asked = []

    def fake(chapter):
        return lambda data: asked.append(chapter) or {"a-number": chapter}

    monkeypatch.setattr(variables, "NUMBERS", {first: fake(first), second: fake(second)})
    monkeypatch.setattr(variables, "digest", lambda chapter, root: {first: "1", second: "2"}[chapter])
    variables.write(tmp_path)
    assert asked == [first, second] and variables.stale(tmp_path) == []
    before = (tmp_path / "_variables.yml").read_bytes()
    variables.write(tmp_path)
    assert asked == [first, second] and (tmp_path / "_variables.yml").read_bytes() == before
    monkeypatch.setattr(variables, "digest", lambda chapter, root: {first: "1", second: "3"}[chapter])
    assert variables.stale(tmp_path) == [second]
    variables.write(tmp_path)
    assert asked == [first, second, second] and variables.stored(tmp_path)[first] == {"a-number": first}
