"""The PDF: the book's chapters, and its seven figures drawn as vectors."""

from __future__ import annotations

import re

import pytest
from pypdf import PageObject, PdfReader
from pypdf.generic import ContentStream

PAINTS = {b"S", b"s", b"f", b"F", b"f*", b"B", b"B*", b"b", b"b*"}
WORDS = {
    1: "training points and neurons N",
    2: "011 Cov+Sep",
    3: "mean activation",
    4: "temperature",
    5: "training points and neurons N",
    6: "011 Cov+Sep",
    7: "x, prototype",
}
"""A text inside each picture: letters that can be read are no pixels."""


@pytest.fixture(scope="module")
def reader(book) -> PdfReader:
    return PdfReader(book / "latent-to-data.pdf")


@pytest.fixture(scope="module")
def texts(reader) -> list[str]:
    """The text of every page, read once: its pictures are long."""
    return [page.extract_text() for page in reader.pages]


def letters(text: str) -> str:
    """A text without its spaces, which a justified line need not hold."""
    return re.sub(r"\s", "", text)


def content(holder: PageObject, reader: PdfReader) -> tuple[int, int]:
    """Count the painted paths and the raster images of a page or a form, with the forms inside it."""
    stream = holder.get_contents() if isinstance(holder, PageObject) else holder
    operations = ContentStream(stream, reader).operations if stream is not None else []
    paths, images = sum(operator in PAINTS for _, operator in operations), 0
    resources = holder.get("/Resources", {})
    for inner in (resources.get_object().get("/XObject") or {}).values():
        inner = inner.get_object()
        if inner["/Subtype"] == "/Image":
            images += 1
        elif inner["/Subtype"] == "/Form":
            more_paths, more_images = content(inner, reader)
            paths, images = paths + more_paths, images + more_images
    return paths, images


@pytest.mark.parametrize("number", range(1, 8))
def test_a_figure_is_drawn_as_vectors(reader, texts, number):
    caption = re.compile(rf"Figure8\.{number}[:.]?Thepaper.sfigure{number}")
    pages = [place for place, text in enumerate(texts) if caption.search(letters(text))]
    assert len(pages) == 1
    assert letters(WORDS[number]) in letters(texts[pages[0]])
    paths, _ = content(reader.pages[pages[0]], reader)
    assert paths > 40


def test_no_page_holds_a_raster_image(reader):
    assert sum(content(page, reader)[1] for page in reader.pages) == 0


def test_every_chapter_is_in_the_bookmarks(reader):
    def titles(entries: list) -> list[str]:
        return [title for entry in entries for title in (titles(entry) if isinstance(entry, list) else [entry.title])]

    found = " ".join(titles(reader.outline))
    for title in ("About this book", "Coverage", "Expulsion", "The full replication", "References", "Rerunning"):
        assert title in found


def test_references_and_citations_are_resolved(texts):
    text = "\n".join(texts)
    assert "?@" not in text and "??" not in text
    assert re.search(r"Alba\s+and\s+López-Rubio", text) and "Broomhead" in text
