"""The Makefile's .venv: whatever a reader's machine did to it, the next `make` makes it whole.

A script stands in for Python: it copies a folder where Python makes an environment, and notes what pip was told.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, posix

pytestmark = [posix, pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")]

PYTHON = """#!/bin/sh
case "$1 $2" in
-c*) exit 0 ;;
"-m venv")
    echo venv >> "$LOG"
    [ "$3 $4" = "--clear .venv" ] || exit 9
    rm -rf .venv && mkdir -p .venv/bin
    if [ -e kill ]; then rm kill; kill -9 $PPID; sleep 1; exit 1; fi
    cp pip .venv/bin/python && chmod +x .venv/bin/python
    if [ -e no-ensurepip ]; then rm no-ensurepip; echo "ensurepip is not available" >&2; exit 1; fi
    mkdir -p .venv/lib/python3.11/site-packages/pip && : > .venv/lib/python3.11/site-packages/pip/__main__.py ;;
*) exit 9 ;;
esac
"""
PIP = """#!/bin/sh
echo $2 $(env | sed -n 's/=the reader.s$//p') >> "$LOG"
[ -z "$FAIL" ]
"""
PIPS = ["pip", "pip"]
"""What `make install` asks of it: the versions of the lock, and the book itself, with no setting of the reader's."""


class Book:
    """A folder with the Makefile and what it reads, a stand-in for Python, and what that was asked for."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        for name in ("Makefile", "requirements.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, folder / name)
        (folder / "python").write_text(PYTHON, encoding="utf-8")
        (folder / "pip").write_text(PIP, encoding="utf-8")
        (folder / "python").chmod(0o755)

    def make(self, *, fails: bool = False, **settings: str) -> list[str]:
        """What `make install` asked Python for."""
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        command = ["make", "--no-print-directory", "install", "PYTHON=./python"]
        environment = {**inherited, **settings, "LOG": "log"}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []

    def move(self, name: str) -> None:
        self.folder = self.folder.rename(self.folder.with_name(name))


@pytest.fixture
def book(tmp_path) -> Book:
    return Book(tmp_path / "book")


def test_it_is_made_once(book):
    assert book.make() == ["venv", *PIPS]
    assert book.make() == []


@pytest.mark.parametrize("what", ["no-ensurepip", "kill"])
def test_one_left_half_made_is_made_anew(book, what):
    """The first time venv fails, or is killed with make, when the environment is there in part."""
    (book.folder / what).touch()
    assert book.make(fails=True) == ["venv"] and (book.folder / ".venv/bin").is_dir()
    assert book.make() == ["venv", *PIPS] and book.make() == []


def test_where_pip_failed_it_is_asked_again(book):
    assert book.make(fails=True, FAIL="yes") == ["venv", PIPS[0]]
    assert book.make() == PIPS and book.make() == []


@pytest.mark.parametrize("lost", ["bin/python", "lib/python3.11/site-packages/pip", "made-in", "."])
def test_one_that_lost_a_part_is_made_anew(book, lost):
    book.make()
    path = book.folder / ".venv" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert book.make() == ["venv", *PIPS] and book.make() == []


def test_one_whose_python_was_uninstalled_is_made_anew(book):
    book.make()
    python = book.folder / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/no/such/python")
    assert book.make() == ["venv", *PIPS] and book.make() == []


def test_one_that_was_moved_with_its_folder_is_made_anew(book):
    book.make()
    book.move("elsewhere")
    assert book.make() == ["venv", *PIPS] and book.make() == []


def test_by_a_link_to_the_folder_it_is_the_same(book, tmp_path):
    real, link = book.folder, tmp_path / "link"
    link.symlink_to(real)
    book.folder = link
    assert book.make(PWD=str(link)) == ["venv", *PIPS]  # as a shell that went there sets it
    book.folder = real
    assert book.make(PWD=str(real)) == []


@pytest.mark.parametrize(
    "name", ["with space", "bücher", "a$b", "a$HOME", "a#b", "it's", 'a"b', "a`b", "a(b,c", "a%b", "a&b;c"]
)
def test_the_folder_may_have_any_name(tmp_path, name):
    book = Book(tmp_path / name)
    assert book.make() == ["venv", *PIPS] and book.make() == []


@pytest.mark.parametrize(
    "setting", ["PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH"]
)
def test_a_reader_s_settings_are_for_other_environments(book, setting):
    assert book.make(**{setting: "the reader's"}) == ["venv", *PIPS]


def test_quarto_may_lie_in_a_folder_with_a_space(book, tmp_path):
    programs = tmp_path / "my programs"
    programs.mkdir()
    (programs / "quarto").write_text('#!/bin/sh\necho "quarto $*" >> "$LOG"\n', encoding="utf-8")
    (programs / "quarto").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "LOG": "log"}
    subprocess.run(["make", "book"], cwd=book.folder, env=environment, check=True, capture_output=True)
    assert "quarto render --no-execute" in (book.folder / "log").read_text(encoding="utf-8")
