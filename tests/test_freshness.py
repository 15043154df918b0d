"""Chapters are not stale: what each reads is what it read when it was executed."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from companion.show import chapters


@pytest.mark.parametrize("chapter", chapters.chapters(), ids=lambda path: path.stem)
def test_a_chapter_is_not_stale(chapter):
    stored = json.loads(chapter.read_text(encoding="utf-8"))["metadata"].get(chapters.DIGEST)
    assert stored == chapters.digest(chapter), "it reads something else than when it was executed; run `make chapters`"


@pytest.fixture
def book(tmp_path) -> Path:
    """A chapter with what it may read, to be changed."""
    for part in ("chapters/04-overlap.ipynb", "companion", "data/benchmarks.json"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, tmp_path / part)
    chapters._data.cache_clear()
    chapters._imported_by.cache_clear()
    return tmp_path


def digest_of(book: Path) -> str:
    chapters._data.cache_clear()
    chapters._imported_by.cache_clear()
    return chapters.digest(book / "chapters/04-overlap.ipynb", book)


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("companion/core/losses.py", True),  # imported
        ("companion/core/checks.py", True),  # by what it imports
        ("data/benchmarks.json", True),
        ("companion/studies/memory.py", False),
        ("companion/judging/claims.py", False),
    ],
)
def test_a_chapter_is_stale_where_what_it_reads_changes_and_only_there(book, file, counts):
    before = digest_of(book)
    (book / file).write_text((book / file).read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert (digest_of(book) != before) == counts


@pytest.mark.parametrize(("kind", "counts"), [("code", True), ("markdown", False)])
def test_a_chapter_s_own_code_counts_and_its_prose_does_not(book, kind, counts):
    before, path = digest_of(book), book / "chapters/04-overlap.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cell = next(cell for cell in notebook["cells"] if cell["cell_type"] == kind)
    cell["source"] = [*cell["source"], "\n"]
    path.write_text(json.dumps(notebook), encoding="utf-8")
    assert (digest_of(book) != before) == counts


@pytest.mark.parametrize("fails", ["papermill", "nbstripout", None])
def test_a_chapter_is_executed_whole_or_stays_as_it_was(book, monkeypatch, fails):
    """Papermill saves after every cell; whatever stopped it left half a chapter in the chapter's place."""
    path = (book / "chapters/04-overlap.ipynb").rename(book / "chapters/04-τ.ipynb")
    before = path.read_bytes()

    def run(command, cwd, check):
        program, made = command[2], Path(cwd) / command[-1]
        if program == "papermill":
            executed = json.loads((Path(cwd) / command[-2]).read_text(encoding="utf-8"))
            made.write_text(json.dumps(executed | {"executed": True}), encoding="utf-8")
        if program == fails:
            made.write_text("half", encoding="utf-8")
            raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(chapters, "ROOT", book)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "latin-1"))  # which has no τ
    if fails:
        with pytest.raises(subprocess.CalledProcessError):
            chapters.execute(path)
        assert path.read_bytes() == before
    else:
        chapters.execute(path)
        notebook = json.loads(path.read_text(encoding="utf-8"))
        assert notebook["executed"] and notebook["metadata"][chapters.DIGEST] == chapters.digest(path)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
