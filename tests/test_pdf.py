"""The PDF: the book's chapters, and its seven figures drawn as vectors."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from conftest import CHAPTERS
from literate import captions, letters
from pypdf import PageObject, PdfReader
from pypdf.generic import ContentStream, DictionaryObject
from pypdfium2 import PdfDocument

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
def texts(book) -> list[str]:
    """The text of every page."""
    with PdfDocument(book / "latent-to-data.pdf") as document:
        return [page.get_textpage().get_text_bounded() for page in document]


def parts(holder: DictionaryObject) -> Iterator[DictionaryObject]:
    """A page, form or image, and all that stands inside it."""
    yield holder
    for inner in (holder.get("/Resources", DictionaryObject()).get_object().get("/XObject") or {}).values():
        yield from parts(inner.get_object())


def is_image(part: DictionaryObject) -> bool:
    return part.get("/Subtype") == "/Image"


def painted_paths(page: PageObject, reader: PdfReader) -> int:
    streams = (part.get_contents() if part is page else part for part in parts(page) if not is_image(part))
    return sum(operator in PAINTS for stream in streams for _, operator in ContentStream(stream, reader).operations)


@pytest.mark.parametrize("number", range(1, 8))
def test_a_figure_is_drawn_as_vectors(reader, texts, number):
    place = number + (number > 2)  # E's two parts stand between the paper's second and third
    caption = re.compile(rf"Figure9\.{place}\.?Thepapersfigure{number}")
    pages = [place for place, text in enumerate(texts) if caption.search(letters(text))]
    assert len(pages) == 1
    assert letters(WORDS[number]) in letters(texts[pages[0]])
    assert painted_paths(reader.pages[pages[0]], reader) > 40


def test_no_page_holds_a_raster_image(reader):
    assert not any(is_image(part) for page in reader.pages for part in parts(page))


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


def test_every_figure_has_its_number_and_its_caption(texts):
    text = letters("".join(texts))
    for path in CHAPTERS:
        for label, (first, *_) in captions(path.stem).items():
            begins = re.escape(letters(first)[:40])
            assert re.search(rf"Figure(\d+|[A-Z])\.\d+\.?{begins}", text), (path.stem, label)


def test_no_page_shows_a_variable_s_name(texts):
    assert not any("{{<" in text or ">}}" in text for text in texts)
