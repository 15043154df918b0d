"""The built site in a headless browser without a network: every page, every picture, every link."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest
from conftest import CHAPTERS, REPLICATION, ROOT, open_page, requests, wait
from literate import captions, letters, source

from companion.show.prose import fill, stored

PAGES = ["index.html", *(f"chapters/{path.stem}.html" for path in CHAPTERS), "references.html"]


INCLUDE = re.compile(r"\{\{< include \.\./(\S+) >\}\}")
"""A file that a chapter includes, from the book's folder."""


def test_the_site_has_every_page(book):
    found = {str(path.relative_to(book)) for path in book.rglob("*.html") if "site_libs" not in path.parts}
    assert found == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_without_errors_and_asks_no_other_host(browser, address, page):
    open_page(browser, address, page)
    assert browser.execute_script('return document.querySelectorAll("main h1, header h1").length') >= 1
    assert len(browser.execute_script('return document.querySelector("main").innerText')) > 300
    assert browser.get_log("browser") == []
    asked = requests(browser)
    assert asked and all(url.startswith(address) for url in asked), asked


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_a_narrow_screen(browser, address, page):
    open_page(browser, address, page, width=400)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 400


def test_the_gradients_of_chapter_25_fit_a_narrow_screen(browser, address):
    open_page(browser, address, "chapters/27-memory.html", width=400)
    box = 'document.querySelector("#eq-gradients math").closest("p")'
    assert browser.execute_script(f"return {box}.scrollWidth <= {box}.clientWidth")


def test_the_seven_figures_are_live_pictures_with_a_text(browser, address):
    open_page(browser, address, REPLICATION)
    for number in range(1, 8):
        marks = f'document.querySelectorAll("#fig-{number} .live-figure svg.marks .role-mark path").length'
        assert browser.execute_script(f"return {marks}") > 10
        label = f'document.querySelector("#fig-{number} .live-figure").getAttribute("aria-label")'
        assert len(browser.execute_script(f"return {label}")) > 40


def test_a_legend_entry_singles_out_its_mask(browser, address):
    from selenium.webdriver import ActionChains

    open_page(browser, address, REPLICATION)
    lines = (
        '[...document.querySelectorAll("#fig-1 .mark-line path[opacity]")].map(line => line.getAttribute("opacity"))'
    )
    assert set(browser.execute_script(f"return {lines}")) == {"1"}
    symbol = browser.find_element("css selector", "#fig-1 .role-legend-symbol path")
    browser.execute_script('arguments[0].scrollIntoView({ block: "center" })', symbol)
    ActionChains(browser).move_to_element(symbol).click().perform()
    wait(browser, f'{lines}.includes("0.08")')
    opacities = browser.execute_script(f"return {lines}")
    assert sorted(opacities) == ["0.08"] * 14 + ["1"] * 2, "one mask of eight in each of two panels"


def test_a_mark_tells_its_numbers(browser, address):
    from selenium.webdriver import ActionChains

    open_page(browser, address, REPLICATION)
    mark = browser.find_element("css selector", "#fig-1 .mark-symbol.role-mark path")
    browser.execute_script('arguments[0].scrollIntoView({ block: "center" })', mark)
    ActionChains(browser).move_to_element(mark).perform()
    text = wait(browser, 'document.querySelector("#vg-tooltip-element.visible")?.innerText')
    assert all(name in text for name in ("label", "size", "mean", "sem", "median"))


def test_a_click_switches_to_dark_and_the_choice_stays(browser, address):
    open_page(browser, address, "index.html")
    ground = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).slice(0, 3).map(Number)"
    assert min(browser.execute_script(f"return {ground}")) > 200
    browser.execute_script('document.querySelector("#theme, .quarto-color-scheme-toggle").click()')
    wait(browser, f"Math.max(...{ground}) < 70")
    open_page(browser, address, PAGES[1])
    wait(browser, f"Math.max(...{ground}) < 70")
    browser.execute_script("localStorage.clear()")


class Page(HTMLParser):
    """What a page refers to, and what it can be referred by."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.ids, self.pictures, self.titles = [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.links += [given[name] for name in ("href", "src") if given.get(name) and tag != "base"]
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "img":
            self.pictures.append(given)


@pytest.fixture(scope="module")
def parsed(book: Path) -> dict[str, Page]:
    return {page: Page((book / page).read_text(encoding="utf-8")) for page in PAGES}


def test_every_internal_link_and_cross_reference_resolves(book, parsed):
    broken = []
    for page, content in parsed.items():
        for link in content.links:
            target, fragment = urldefrag(urljoin(f"http://site/{page}", link))
            if urlparse(target).netloc != "site":
                continue
            path = unquote(urlparse(target).path).lstrip("/") or "index.html"
            known = parsed[path].ids if path in parsed else set()
            if not (book / path).is_file() or (fragment and path in parsed and unquote(fragment) not in known):
                broken.append((page, link))
    assert not broken
    for page in PAGES:
        assert not re.search(r"\?@|quarto-unresolved-ref", (book / page).read_text(encoding="utf-8")), page


def test_pages_lead_to_the_next_and_the_one_before(book):
    listed = re.findall(r"- (\S+)\.(?:qmd|ipynb)\n", (ROOT / "_quarto.yml").read_text(encoding="utf-8"))
    assert {f"{page}.html" for page in listed} == set(PAGES)
    for at, page in enumerate(listed):
        text = (book / f"{page}.html").read_text(encoding="utf-8")
        assert ('rel="prev"' in text) == (at > 0), page
        assert ('rel="next"' in text) == (at < len(listed) - 1), page


def test_pictures_stand_in_the_page_without_javascript(book, parsed):
    pictures = [given for content in parsed.values() for given in content.pictures]
    assert len(pictures) >= 7 + 8
    for given in pictures:
        assert given["src"].endswith(".svg") and len(given.get("alt") or "") > 40
    assert len(parsed[REPLICATION].pictures) == 8, "the paper's seven figures, and E's two parts"


def test_every_figure_has_its_number_and_its_caption(book):
    for path in CHAPTERS:
        text = (book / f"chapters/{path.stem}.html").read_text(encoding="utf-8")
        for label, pieces in captions(path.stem).items():
            caption = re.search(r"<figcaption.*?</figcaption>", text[text.index(f'id="{label}"') :], flags=re.S)[0]
            shown = html.unescape(re.sub(r"<[^>]+>", "", caption))
            assert re.match(r"\s*Figure\s(\d+|[A-Z])\.\d+[.:]\s", shown), (path.stem, label)
            assert all(letters(piece) in letters(shown) for piece in pieces), (path.stem, label)


def test_no_page_shows_a_variable_s_name(book):
    for page in PAGES:
        assert "{{<" not in (book / page).read_text(encoding="utf-8"), page


def test_a_notebook_to_download_is_its_chapter_with_the_numbers(book, parsed):
    variables = stored(ROOT)
    links = {link for link in parsed["chapters/90-rerun.html"].links if "notebooks/" in link}
    assert {Path(link).name for link in links} == {path.name for path in CHAPTERS}
    for path in CHAPTERS:
        wanted, given = (
            json.loads(file.read_text(encoding="utf-8")) for file in (path, book / "notebooks" / path.name)
        )
        for cell in wanted["cells"]:
            cell["source"] = fill(
                INCLUDE.sub(lambda found: (ROOT / found[1]).read_text(encoding="utf-8"), source(cell)), variables
            )
        for cell in given["cells"]:
            cell["source"] = source(cell)
        assert given == wanted and "{{<" not in json.dumps(given)


def test_equations_are_mathml(book):
    assert (book / PAGES[1]).read_text(encoding="utf-8").count('<math display="block"') >= 6


def test_a_quarto_site_can_be_searched(book):
    if not (book / "site_libs").is_dir():
        pytest.skip("built without Quarto, which brings the search")
    assert len(json.loads((book / "search.json").read_text(encoding="utf-8"))) > 30


def test_the_pdf_is_offered_for_download(book, parsed):
    assert any(link.endswith("latent-to-data.pdf") for link in parsed["index.html"].links)
    assert (book / "latent-to-data.pdf").stat().st_size > 100_000
