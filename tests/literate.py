"""The book's prose as tests ask for it: what a reader reads, and the tests that stand behind a sentence."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
OPTIONS = re.compile(r"\A(#\|.*\n?)*")
"""A code cell's `#|` lines."""


def cells(chapter: str, root: Path = ROOT) -> list[dict[str, Any]]:
    """A chapter's cells; a chapter is named by its file, as "05-reconstruction"."""
    return json.loads((root / f"chapters/{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def options(cell: dict[str, Any]) -> dict[str, Any]:
    """A code cell's `#|` options."""
    return yaml.safe_load(re.sub(r"(?m)^#\| ?", "", OPTIONS.match(source(cell))[0])) or {}


def code(cell: dict[str, Any]) -> str:
    """A code cell's text without its options."""
    return OPTIONS.sub("", source(cell))


def hidden(cell: dict[str, Any]) -> bool:
    """Whether a reader of the page does not see a code cell's text."""
    given = options(cell)
    return not (given.get("echo", True) and given.get("include", True))


def prose(chapter: str, root: Path = ROOT, of_cells: tuple[str, ...] = ("fig-cap", "fig-alt")) -> str:
    """All that a person wrote of a chapter to be read: Markdown cells, captions and alternative texts, in their order.

    `of_cells` names the options of code cells that count.
    "index" and what begins with "_" name the front page and what pages include.
    """
    for suffix in (".qmd", ".md"):
        if (page := root / (chapter + suffix)).exists():
            return page.read_text(encoding="utf-8")
    parts = []
    for cell in cells(chapter, root):
        if cell["cell_type"] == "markdown":
            parts.append(source(cell))
        else:
            parts += [options(cell)[name] for name in of_cells if name in options(cell)]
    return "\n\n".join(parts)


def captions(chapter: str, root: Path = ROOT) -> dict[str, list[str]]:
    """The captions of a chapter's figures, by label, cut at variables, formulas, marks and references."""
    given = [options(cell) for cell in cells(chapter, root) if cell["cell_type"] == "code"]
    return {
        one["label"]: re.split(r"\{\{<.*?>\}\}|\$.*?\$|`.*?`|@[\w-]+|[*_\[\]()]|\{\..*?\}", one["fig-cap"])
        for one in given
        if "label" in one
    }


def letters(text: str) -> str:
    """A text's letters, digits and points: blanks and quotation marks are not as they were typed once a page is set."""
    return re.sub(r"[^\w.]", "", text)


def says(chapter: str) -> Callable[..., Callable[[Callable[..., None]], Callable[..., None]]]:
    """The decorator of a chapter's tests: `@states("{share} of all")` pins sentences to the test that shows them.

    A sentence that no longer stands in the chapter fails its test, so that what is asserted and what is said change
    together. `{name}` stands for a variable of the chapter, `{other.name}` for one of another.
    """

    def states(*sentences: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
        def pinned(test: Callable[..., None]) -> Callable[..., None]:
            @functools.wraps(test)
            def checked(*args: Any, **kwargs: Any) -> None:
                for sentence in sentences:
                    assert stands(sentence, prose(chapter), key(chapter)), f"{chapter} does not say: {sentence}"
                test(*args, **kwargs)

            return checked

        return pinned

    return states


def key(chapter: str) -> str:
    """The name of a chapter's variables: its file's, without its place in the book."""
    return re.sub(r"^(\d+-|_)", "", chapter)


def stands(sentence: str, text: str, chapter: str) -> bool:
    """Whether a sentence stands in a chapter's text, whatever its line breaks, with the variables that it names."""
    here = re.sub(r"\{\{< var ([\w-]+)\.([\w-]+) >\}\}", lambda found: name(found[1], found[2], chapter), text)
    return " ".join(sentence.split()) in " ".join(here.split())


def name(chapter: str, variable: str, of: str) -> str:
    """A variable as the pins of chapter `of` write it."""
    return "{" + (variable if chapter == of else f"{chapter}.{variable}") + "}"
