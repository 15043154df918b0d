"""Prose with its numbers in place: what `_variables.yml` holds, and text whose `{{< var … >}}` are filled from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

READS = "reads"
"""The key in `_variables.yml` of what each chapter's numbers were computed from; no chapter has this name."""
VARIABLE = re.compile(r"\{\{< var ([\w.-]+) >\}\}")
"""A variable as it stands in prose."""


def stored(root: Path) -> dict[str, dict[str, str]]:
    """Return what is stored under `root`: of each chapter its numbers by name, and under `READS` what they are from."""
    path = root / "_variables.yml"
    found = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    return found or {READS: {}}  # an empty file is as good as none


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
