"""The numbers that the book's prose names: `_variables.yml`, from which Quarto fills `{{< var ten-seeds.studies >}}`.

A chapter's numbers are what its study's `numbers` returns. `python -m companion.studies.variables`, from the book's
folder, computes those that may have changed since they were written; `--all` computes all.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from companion.show.chapters import ROOT, digest_of
from companion.studies import attraction, reconstruction, space

NUMBERS: dict[str, Callable[[Path], dict[str, str]]] = {
    "attractor": attraction.numbers,
    "reconstruction": reconstruction.numbers,
    "space": space.numbers,
}
"""The function of each chapter that names numbers; the chapter is named by its file, without its place in the book."""
READS = "reads"
"""The key in `_variables.yml` of what each chapter's numbers were computed from; no chapter has this name."""
VARIABLE = re.compile(r"\{\{< var ([\w.-]+) >\}\}")
"""A variable as it stands in prose."""


def stored(root: Path = ROOT) -> dict[str, dict[str, str]]:
    """Return what is stored: of each chapter its numbers by name, and under `READS` what they were computed from."""
    path = root / "_variables.yml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {READS: {}}


def digest(chapter: str, root: Path = ROOT) -> str:
    """Return 16 hexadecimal digits of what a chapter's numbers are computed from: its study's code, and `data/`."""
    return digest_of([f"import {NUMBERS[chapter].__module__}"], root)


def stale(root: Path = ROOT) -> list[str]:
    """Return the chapters whose numbers were computed from something else than what stands there now."""
    before = stored(root)[READS]
    return [chapter for chapter in NUMBERS if before.get(chapter) != digest(chapter, root)]


def fill(text: str, variables: Mapping[str, Mapping[str, str]]) -> str:
    """Return Markdown with its variables' values in their places, as both builds show it.

    Args:
        text: Markdown.
        variables: what `stored` returned.

    Raises:
        KeyError: if the text names a variable that does not exist.
    """

    def value(found: re.Match[str]) -> str:
        chapter, _, name = found[1].partition(".")
        return variables[chapter][name]

    return VARIABLE.sub(value, text)


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
