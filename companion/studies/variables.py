"""The numbers that the book's prose names: `_variables.yml`, from which Quarto fills `{{< var ten-seeds.studies >}}`.

A chapter's numbers are what its study's `numbers` returns. `python -m companion.studies.variables`, from the book's
folder, computes those that may have changed since they were written; `--all` computes all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from companion.show.chapters import ROOT, digest_of
from companion.show.prose import READS, stored
from companion.studies import findings, ledger, reconstruction, replication

NUMBERS: dict[str, Callable[[Path], dict[str, str]]] = {
    "reconstruction": reconstruction.numbers,
    "replication": replication.numbers,
    "ledger": ledger.numbers,
    "findings": findings.numbers,
}
"""The function of each chapter that names numbers; the chapter is named by its file, without its place in the book."""


def digest(chapter: str, root: Path = ROOT) -> str:
    """Return 16 hexadecimal digits of what a chapter's numbers are computed from: its study's code, and `data/`."""
    return digest_of([f"import {NUMBERS[chapter].__module__}"], root)


def stale(root: Path = ROOT) -> list[str]:
    """Return the chapters whose numbers were computed from something else than what stands there now."""
    before = stored(root)[READS]
    return [chapter for chapter in NUMBERS if before.get(chapter) != digest(chapter, root)]


def write(root: Path = ROOT, everything: bool = False) -> None:
    """Compute the numbers of the chapters that are stale (or of all) and write `_variables.yml`, sorted."""
    before, fresh = stored(root), list(NUMBERS) if everything else stale(root)
    table: dict[str, Any] = {
        chapter: numbers(root / "data") if chapter in fresh else before[chapter] for chapter, numbers in NUMBERS.items()
    }
    table[READS] = {chapter: digest(chapter, root) for chapter in NUMBERS}
    head = "# Written by `make chapters`; a number is mended in its chapter's study (companion/studies/variables.py).\n"
    text = yaml.safe_dump(table, allow_unicode=True, width=10_000)
    (root / "_variables.yml").write_text(head + text, encoding="utf-8")


if __name__ == "__main__":
    write(everything="--all" in sys.argv)
