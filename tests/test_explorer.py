"""The explorer of the multiverse: its numbers against pandas, and its page in a headless browser, opened as a file."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import numpy as np
import pandas as pd
import pypandoc
import pytest
from conftest import ROOT, open_page, requests, wait
from statsmodels.stats.proportion import proportion_confint

from companion.core.settings import MASKS, Settings
from companion.judging.multiverse import ASKS, FITS, LARGEST, OBSERVATIONS
from companion.show.figures import COLORS
from companion.show.notebook import application
from companion.studies import explorer, multiverse
from companion.studies.explorer import INSTEAD, PLAYGROUND, Sample, explorer_data
from companion.sweeps.sweep import PAPER_SIZES
from companion.sweeps.universes import AXES, Level, Universe, universes

SCRIPT = ROOT / "assets" / "explorer" / "explorer.js"
E = "reconstruction_error"
ANY = "any"


def synthetic(drawn: list[Universe], seed: int) -> Sample:
    """A sample with numbers drawn at random; some errors are 0, or what no axis holds."""
    stream, count = np.random.default_rng(seed), len(drawn)
    numbers = pd.RangeIndex(count, name="universe")
    shares = {f"{key} {kind}": stream.uniform() ** 2 for key in ASKS for kind in ("mean", "rule")}
    claims = pd.DataFrame({name: stream.uniform(size=count) < share for name, share in shares.items()}, numbers)
    near = pd.Series(stream.integers(0, 12, count), numbers).sort_values(ascending=False, kind="stable")
    rows = pd.MultiIndex.from_product([numbers, MASKS, PAPER_SIZES], names=["universe", "mask", "size"])
    overlap = rows.get_level_values("mask").str[0] == "1"
    level = np.repeat(stream.normal(-0.5, 0.7, count), len(MASKS) * len(PAPER_SIZES)) + np.where(overlap, 0.5, 0)
    errors = 10 ** (level + stream.normal(0, 0.3, len(rows)))
    errors[stream.integers(len(rows), size=len(rows) // 50)] = 0
    errors[stream.integers(len(rows), size=len(rows) // 50)] = np.inf
    errors[stream.integers(len(rows), size=len(rows) // 50)] = 1e38
    medians = pd.DataFrame({E: errors}, rows).reset_index().sample(frac=1, random_state=seed)
    return Sample(drawn, medians, claims, near, pd.Series(stream.uniform(size=count) < 0.4, numbers))


@pytest.fixture(scope="module")
def samples() -> dict[str, Sample]:
    return {"drawn": synthetic(universes("sobol"), 0), "neighbours": synthetic(universes("neighbours"), 1)}


@pytest.fixture(scope="module")
def table(samples) -> pd.DataFrame:
    """Of all universes what the page may show, put together without the module's own functions: a row a universe."""
    parts, nearest = [], []
    for name, sample in samples.items():
        levels = pd.DataFrame([universe.names for universe in sample.universes])
        wide = sample.medians.set_index(["universe", "mask", "size"])[E].unstack(["mask", "size"])
        wide.columns = wide.columns.to_flat_index()
        facts = pd.DataFrame({"sample": name, "number": levels.index, "near": sample.near, "fits": sample.fits})
        parts.append(pd.concat([facts, levels, sample.claims, wide], axis=1))
        nearest += [(name, number) for number in sample.near.index]
    whole = pd.concat(parts, ignore_index=True)
    place = {name: k for k, name in enumerate(nearest)}
    return whole.assign(place=[place[row] for row in zip(whole["sample"], whole["number"], strict=True)])


def write_page(samples: dict[str, Sample], folder: Path, script: str = "") -> str:
    """Write a page with the explorer, as a chapter has it, and return its folder's address."""
    shutil.copytree(ROOT / "assets", folder / "assets", ignore=shutil.ignore_patterns("vega.js"))
    shutil.copy(ROOT / "embedded" / "style.css", folder / "assets")
    if script:
        (folder / "assets" / "explorer" / "explorer.js").write_text(script, encoding="utf-8")
    (folder / "chapters").mkdir()
    text = f"# Every reading at once\n\n## The explorer {{#sec-explorer}}\n\n{explorer_markdown(samples)}"
    body = pypandoc.convert_text(text, "html", format="markdown")
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Test</title>'
    )
    styles = "".join(f'<link rel="stylesheet" href="../assets/{name}.css">' for name in ("book", "style"))
    page = f'<!doctype html><html lang="en"><head>{head}{styles}</head><body><main>{body}</main>'
    (folder / "chapters" / "page.html").write_text(page, encoding="utf-8")
    return (folder / "chapters").as_uri() + "/"


def explorer_markdown(samples: dict[str, Sample]) -> str:
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explorer, "show_application", lambda *given: shown.append(application(*given)))
        explorer.show_explorer(samples)
    return shown[0]


@pytest.fixture(scope="module")
def folder(samples, tmp_path_factory) -> str:
    return write_page(samples, tmp_path_factory.mktemp("explorer") / "site")


Choice = dict[str, str]


def opened(browser, folder: str, choice: Choice | str = "", width: int = 1280) -> None:
    """Open the page afresh, at a choice or an address' part after its #."""
    fragment = choice if isinstance(choice, str) else urlencode(choice)
    browser.get("about:blank")
    open_page(browser, folder, f"page.html{'#' if fragment else ''}{fragment}", width)
    wait(browser, 'document.querySelector("#explorer [role=status]")?.textContent')


def look(browser, script: str) -> object:
    return browser.execute_script(f'const root = document.getElementById("explorer"); return {script}')


def status(browser) -> str:
    return look(browser, 'root.querySelector("[role=status]").textContent')


def controls(browser) -> Choice:
    """What the controls show."""
    found = dict(
        look(browser, "[...root.querySelectorAll('select')].map((s) => [s.name, s.options[s.value * 1 + 1].text])")
    )
    found = {name: re.sub(r" \([\d,]+\)$", "", text) for name, text in found.items()}
    drawn = look(browser, "[...root.querySelectorAll('[name^=mask-]:checked')].map((box) => box.name.slice(5)).join()")
    return found | {
        "fits": "yes" if look(browser, "root.querySelector('[name=fits]').checked") else ANY,
        "masks": drawn,
    }


def in_address(browser) -> Choice:
    return dict(browser.execute_script("return [...new URLSearchParams(location.hash.slice(1))]"))


START = {"sample": "drawn"} | dict.fromkeys([*AXES, "fits"], ANY) | {"masks": ",".join(MASKS)}


def left(table: pd.DataFrame, choice: Choice) -> pd.DataFrame:
    """The universes that have a choice's levels."""
    asked = {name: level for name, level in (START | choice).items() if level != ANY and name != "masks"}
    held = table.assign(fits=table["fits"].map({True: "yes", False: "no"}))
    return table[np.all([held[name] == level for name, level in asked.items()] or [held["near"] >= 0], axis=0)]


def some_choices(table: pd.DataFrame, number: int) -> list[Choice]:
    """Random choices, each of which leaves a universe: levels of one of them, on up to four axes."""
    stream, choices = np.random.default_rng(3), []
    for _ in range(number):
        one = table.iloc[stream.integers(len(table))]
        axes = stream.choice([*AXES], size=stream.integers(0, 4), replace=False)
        fits = {"fits": "yes"} if one["fits"] and stream.uniform() < 0.5 else {}
        sample = {"sample": stream.choice([ANY, one["sample"]])}
        choices.append({axis: one[axis] for axis in axes} | fits | sample)
    return choices


def two_digits(error: float) -> str:
    """An error as the page keeps and shows it."""
    if error == 0:
        return "0"
    value = 10 ** (round(100 * math.log10(min(error, LARGEST))) / 100)
    return (
        f"{float(f'{value:.1e}'):g}" if 1e-3 <= value < 1e5 else f"{value:.1e}".replace("e+", "e").replace("e-0", "e-")
    )


def cells_of(browser, table: str, name: str) -> list[list[str]]:
    """What a table's rows are called, and the texts of their cells."""
    return look(
        browser,
        f"""[...root.querySelectorAll(".{table} tbody tr")]
          .map((row) => [row.dataset.{name}, ...[...row.cells].slice(1).map((cell) => cell.textContent)])""",
    )


def check_shares(browser, rows: pd.DataFrame) -> None:
    shown = cells_of(browser, "ex-claims", "claim")
    assert [key for key, *_ in shown] == list(ASKS)
    for key, *cells in shown:
        for kind, cell in zip(("mean", "rule"), cells, strict=True):
            found, of = int(rows[f"{key} {kind}"].sum()), len(rows)
            low, high = proportion_confint(found, of, method="wilson")
            numbers = [float(text) for text in re.findall(r"[\d.]+", cell.replace(",", ""))]
            assert numbers[3:] == [found, of], (key, kind)
            assert numbers[:3] == pytest.approx([100 * found / of, 100 * low, 100 * high], abs=0.0501)


def check_figure(browser, rows: pd.DataFrame) -> None:
    for mask, *cells in cells_of(browser, "ex-numbers", "mask"):
        for size, cell in zip(PAPER_SIZES, cells, strict=True):
            low, middle, high = np.quantile(rows[(mask, size)], [0.25, 0.5, 0.75], method="inverted_cdf")
            assert cell == f"{two_digits(middle)} {two_digits(low)}–{two_digits(high)}", (mask, size)


def check_nearest(browser, rows: pd.DataFrame) -> None:
    several = rows.sort_values(["near", "place"], ascending=[False, True])[:5]
    for text, (_, row) in zip(
        look(browser, "[...root.querySelectorAll('li')].map((item) => item.textContent)"),
        several.iterrows(),
        strict=True,
    ):
        assert text.startswith(f"{row['sample']}, universe {row['number']}: {row['near']} of {len(OBSERVATIONS)}. ")
        assert "; ".join(f"{axis}: {row[axis]}" for axis in AXES) in text


def check_counts(browser, table: pd.DataFrame, choice: Choice) -> None:
    """The number beside a level is how many universes would be left with it."""
    script = "[...root.querySelectorAll('select')].map((s) => [s.name, ...[...s.options].map((option) => option.text)])"
    for axis, *options in look(browser, script):
        for option in options:
            level, number = re.fullmatch(r"(.*) \(([\d,]+)\)", option).groups()
            assert int(number.replace(",", "")) == len(left(table, choice | {axis: level})), (axis, level)
    fitting = re.search(r"fit \(([\d,]+)\)", look(browser, "root.querySelector('.ex-check').textContent"))[1]
    assert int(fitting.replace(",", "")) == len(left(table, choice | {"fits": "yes"}))


def check_numbers(browser, folder: str, table: pd.DataFrame, choices: list[Choice]) -> None:
    for choice in choices:
        opened(browser, folder, choice)
        rows, base = left(table, choice), left(table, {"sample": choice["sample"]})
        assert status(browser) == f"{len(rows):,} of {len(base):,} universes {'is' if len(rows) == 1 else 'are'} left."
        check_shares(browser, rows)
        check_figure(browser, rows)
        check_nearest(browser, rows)
        check_counts(browser, table, choice)


@pytest.mark.page
def test_the_page_s_numbers_are_pandas_s(browser, folder, table):
    check_numbers(browser, folder, table, some_choices(table, 20))
    assert browser.get_log("browser") == []


WRONG = {
    "an interval off its middle": ("share + Z ** 2 / (2 * of)", "share + Z ** 2 / of"),
    "a normal interval": ("Z ** 2 / (4 * of ** 2)", "0"),
    "quartiles one place too high": ("Math.ceil(part * sorted.length) - 1", "Math.floor(part * sorted.length)"),
    "counts of what is left only": ("lacks.every((other) => other === k)", "!lacks.length"),
    "the nearest of all": ("data.order.filter((u) => within.has(u))", "data.order"),
    "means in the rule's place": ("shareCell(rule, left, base)", "shareCell(mean, left, base)"),
    "levels shifted": ("parseInt(digit, 36)", "(parseInt(digit, 36) ^ 1)"),
}


@pytest.mark.page
@pytest.mark.parametrize("variant", WRONG)
def test_the_check_of_numbers_fails_for_a_false_variant(browser, samples, table, tmp_path, variant):
    text, (right, wrong) = SCRIPT.read_text(encoding="utf-8"), WRONG[variant]
    assert text.count(right) == 1, "a variant that changes nothing, or more than it says"
    folder = write_page(samples, tmp_path / "site", text.replace(right, wrong))
    with pytest.raises(AssertionError):
        check_numbers(browser, folder, table, some_choices(table, 4))
    browser.get_log("browser")


LINES = "[...root.querySelectorAll('.ex-picture [data-mask]')]"
"""The lines of figure 1."""


def alternative(browser) -> str:
    return look(browser, "root.querySelector('.ex-picture svg').ariaLabel")


@pytest.mark.page
def test_figure_1_stands_where_its_numbers_are_and_says_them(browser, folder, table):
    opened(browser, folder)
    paths = dict(look(browser, f"{LINES}.map((line) => [line.dataset.mask, line.getAttribute('d')])"))
    assert list(paths) == list(MASKS)
    points = [np.array(re.findall(r"[\d.]+", path), dtype=float).reshape(-1, 2) for path in paths.values()]
    rows = left(table, {})
    logs = {
        mask: [math.log10(np.quantile(rows[(mask, size)], 0.5, method="inverted_cdf")) for size in PAPER_SIZES]
        for mask in MASKS
    }
    for place, values in ((0, np.tile(np.log(PAPER_SIZES), len(MASKS))), (1, np.concatenate([*logs.values()]))):
        drawn = np.concatenate(points)[:, place]
        slope, start = np.polyfit(values, drawn, 1)
        assert (slope > 0) == (place == 0), "a larger N stands further right, a larger error higher"
        np.testing.assert_allclose(drawn, slope * values + start, atol=1)
    ticks = look(
        browser, "[...root.querySelectorAll('[text-anchor=end]')].map((t) => [t.textContent, t.getAttribute('y')])"
    )
    labels, heights = np.array(ticks, dtype=float).T
    assert len(labels) > 3
    np.testing.assert_allclose(heights - 4, slope * np.log10(labels) + start, atol=1)
    assert f"Median over {len(rows):,} universes" in alternative(browser)
    assert f"At N = 100: 000 Std {two_digits(10 ** logs['000'][-1])}, " in alternative(browser)
    assert "100 Ovl " in alternative(browser)
    for mask in list(MASKS)[1:]:
        browser.execute_script(f"document.querySelector('#explorer [name=mask-{mask}]').click()")
    assert look(browser, f"{LINES}.map((line) => line.dataset.mask)") == ["000"]
    assert "000 Std " in alternative(browser) and "100 Ovl " not in alternative(browser)
    browser.execute_script("document.querySelector('#explorer [name=mask-000]').click()")
    assert "No mask is drawn." in alternative(browser) and browser.get_log("browser") == []


@pytest.mark.page
def test_masks_have_the_book_s_colours_and_overlap_is_dashed(browser, folder):
    def styles() -> list[tuple[str, bool]]:
        style = "[getComputedStyle(line).stroke, getComputedStyle(line).strokeDasharray !== 'none']"
        shown = look(browser, f"{LINES}.map((line) => {style})")
        return [("#" + "".join(f"{int(part):02X}" for part in re.findall(r"\d+", ink)), dash) for ink, dash in shown]

    opened(browser, folder)
    browser.execute_script("document.documentElement.dataset.theme = 'light'")
    light = styles()
    assert light == [(color, mask[0] == "1") for color, mask in zip(COLORS, MASKS, strict=True)]
    browser.execute_script("document.documentElement.dataset.theme = 'dark'")
    dark = styles()
    assert not set(dark) & set(light) and [dash for _, dash in dark] == [dash for _, dash in light]
    # Quarto tells its theme by a class of the body.
    for name, expected in (("quarto-light", light), ("quarto-dark", dark)):
        browser.execute_script("document.body.className = arguments[0]", name)
        assert styles() == expected


@pytest.mark.page
def test_what_lies_beyond_the_picture_stands_at_its_edge_and_is_counted(browser, samples, tmp_path):
    medians = samples["neighbours"].medians
    huge = medians.assign(
        **{E: np.where(medians["mask"] == "100", np.inf, np.where(medians["mask"] == "000", 0.0, 0.3))}
    )
    opened(browser, write_page({"neighbours": samples["neighbours"]._replace(medians=huge)}, tmp_path / "site"))
    assert look(browser, "root.textContent").count("drawn at its edge: 36.") == 1, (
        "three numbers of two masks at six sizes"
    )
    cells = look(browser, "[...root.querySelectorAll('.ex-numbers tr')].map((row) => row.cells[1].textContent)")
    assert cells[1:] == ["0 0–0", *["0.3 0.3–0.3"] * 3, "3.4e38 3.4e38–3.4e38", *["0.3 0.3–0.3"] * 3]
    assert look(browser, "root.querySelectorAll('select').length") == len(AXES), "one sample is no choice"
    assert browser.get_log("browser") == []


@pytest.mark.page
def test_with_nothing_left_the_page_says_what_to_take_back(browser, folder, table):
    stream, told = np.random.default_rng(5), set()
    for _ in range(12):
        axes = stream.choice([*AXES], size=7, replace=False)
        choice = {axis: stream.choice([level.name for level in AXES[axis]]) for axis in axes} | {"fits": "yes"}
        opened(browser, folder, choice)
        if len(left(table, choice)):
            continue
        names, number = re.fullmatch(
            r"No universe is left\. Take back (“.*”), and there (?:is|are) ([\d,]+)\.", status(browser)
        ).groups()
        listed = re.findall(r"“(.*?)”", names)
        taken = {"fits" if "masks fit" in one else one.split(": ")[0] for one in listed}
        assert set(listed) <= {f"{axis}: {level}" for axis, level in (START | choice).items()} | {
            "only universes where all masks fit"
        }
        asked = {name: level for name, level in (START | choice).items() if level != ANY and name != "masks"}
        lacks = pd.DataFrame(
            {name: table[name] != (level == "yes" if name == "fits" else level) for name, level in asked.items()}
        )
        fewest = lacks[lacks.sum(axis=1) == lacks.sum(axis=1).min()].value_counts()
        assert len(taken) == lacks.sum(axis=1).min() and int(number.replace(",", "")) == fewest.max()
        assert len(left(table, choice | dict.fromkeys(taken, ANY))) == fewest.max()
        assert not look(browser, "root.querySelector('.ex-claims').offsetParent"), "no share of nothing"
        told.add(len(taken))
    assert max(told) > 1, told


@pytest.mark.page
def test_the_choice_goes_into_the_address_and_comes_back(browser, folder):
    from selenium.webdriver.support.ui import Select

    opened(browser, folder)
    assert controls(browser) == START and in_address(browser) == {}
    wanted = {"target": "line", "τ": "1/N²", "separation": "exp(-d/√τ)", "sample": ANY}
    for name, level in wanted.items():
        select = Select(browser.find_element("css selector", f"#explorer [name={name}]"))
        select.select_by_index(
            next(k for k, option in enumerate(select.options) if option.text.startswith(f"{level} ("))
        )
    for name in ("fits", "mask-010", "mask-111"):
        browser.execute_script(f"document.querySelector('#explorer [name={name}]').click()")
    wanted |= {"fits": "yes", "masks": "000,001,011,100,101,110"}
    assert in_address(browser) == wanted and controls(browser) == START | wanted
    seen, link = look(browser, "root.innerText"), browser.execute_script("return location.hash")
    opened(browser, folder, link[1:])
    assert look(browser, "root.innerText") == seen and in_address(browser) == wanted
    browser.execute_script("location.hash = 'target=chirp'")
    wait(browser, "document.querySelector('#explorer [name=target]').selectedOptions[0].text.startsWith('chirp')")
    assert controls(browser) == START | {"target": "chirp"}
    browser.execute_script("location.hash = 'sec-explorer'")
    browser.execute_async_script("setTimeout(arguments[0], 50)")
    assert controls(browser) == START | {"target": "chirp"}, "a place of the page is no choice"
    browser.execute_script("document.querySelector('#explorer [name=reset]').click()")
    assert controls(browser) == START and in_address(browser) == {}


BAD = {
    "target=cosine": ("target: “cosine”", "any, sine, line", {}),
    "target=": ("target", "any, sine, line", {}),
    "colour=red&target=line": ("“colour”", "sample, inputs, target", {"target": "line"}),
    "__proto__=1": ("“__proto__”", "inputs", {}),
    "fits=maybe": ("fits", "any, no, yes", {}),
    "masks=000,112": ("masks", "000, 001", {}),
    "λ=%E0%A4%A": ("λ", "0.01, 0.1", {}),
    "target=<img src=x onerror=alert(1)>": ("target: “<img", "any, sine", {}),
    "target=" + "9" * 5000: ("target", "any, sine", {}),
}


@pytest.mark.page
@pytest.mark.parametrize("fragment", BAD, ids=lambda fragment: fragment[:30])
def test_a_bad_address_gives_words_and_a_working_page(browser, folder, fragment):
    name, allowed, kept = BAD[fragment]
    opened(browser, folder, fragment)
    assert name in status(browser) and allowed in status(browser) and len(status(browser)) < 500
    assert "universes are left." in status(browser)
    assert controls(browser) == START | kept and in_address(browser) == kept
    assert browser.get_log("browser") == []


@pytest.mark.page
def test_the_keyboard_reaches_and_works_every_control(browser, folder, table):
    from selenium.webdriver import ActionChains, Keys

    def press(*keys: str) -> None:
        ActionChains(browser).send_keys(*keys).perform()

    opened(browser, folder)
    every = "[...root.querySelectorAll('select, input, button, summary, a')]"
    names = look(browser, f"{every}.map((control) => control.name || control.textContent)")
    assert len(names) == 1 + len(AXES) + 1 + 1 + len(MASKS) + 1 + 5
    browser.execute_script("document.body.focus()")
    reached = []
    for _ in names:
        press(Keys.TAB)
        reached.append(browser.execute_script("const at = document.activeElement; return at.name || at.textContent"))
        assert browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
        if reached[-1] == "target":
            press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
            assert status(browser).startswith(f"{len(left(table, {'target': 'line'})):,} of ")
        if reached[-1] == "fits":
            press(Keys.SPACE)
            assert status(browser).startswith(f"{len(left(table, {'target': 'line', 'fits': 'yes'})):,} of ")
        if reached[-1] == "reset":
            press(Keys.ENTER)
            assert controls(browser) == START
        if reached[-1] == "mask-000":
            press(Keys.SPACE)
            assert look(browser, "root.querySelectorAll('.ex-picture [data-mask]').length") == len(MASKS) - 1
        if reached[-1].startswith("The numbers"):
            press(Keys.ENTER)
            assert look(browser, "root.querySelector('.ex-numbers').offsetParent !== null")
    assert reached == names
    # The browser's own names for assistive technology.
    for control in browser.find_elements(
        "css selector", "#explorer :is(select, input, button, summary, a, table, svg[role])"
    ):
        assert control.accessible_name.strip(), control.get_attribute("outerHTML")
    assert look(browser, "root.querySelector('[name=target]').labels[0].firstChild.textContent") == "target"


@pytest.mark.page
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(browser, folder, width):
    parts = "[...root.querySelectorAll('*')]"
    scrolls = "part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).overflowX !== 'visible'"
    for fragment in ("", "initialisation=uniform-10&steps=500&λ=gradient-matched", f"nonsense={'w' * 90}"):
        opened(browser, folder, fragment, width)
        browser.execute_script("document.querySelector('#explorer details').open = true")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert look(browser, f"Math.max(...{parts}.map((part) => part.getBoundingClientRect().right))") <= width
        assert look(browser, f"{parts}.filter((part) => part.clientWidth && {scrolls}).length") == 0
        assert look(browser, "root.querySelector('.ex-picture').clientWidth") > 340
    narrower = {"width": width - 40, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrower)
    picture = "document.querySelector('.ex-picture')"
    wait(browser, f"{picture}.firstChild.clientWidth === {picture}.clientWidth")
    assert look(browser, "root.getBoundingClientRect().right") <= width - 40
    assert browser.get_log("browser") == []


@pytest.mark.page
def test_the_page_asks_for_nothing_but_its_own_files(browser, folder):
    browser.get_log("performance")
    opened(browser, folder, "target=line")
    browser.execute_script("document.querySelector('#explorer [name=reset]').click()")
    site = folder.removesuffix("chapters/")
    asked = [url.removeprefix(site) for url in requests(browser, "") if not url.startswith("about:")]
    own = {f"assets/{name}" for name in ("book.css", "style.css", "explorer/explorer.css", "explorer/explorer.js")}
    assert {url.split("#")[0] for url in asked} == own | {"chapters/page.html"} and browser.get_log("browser") == []
    assert re.findall(r"https?://[^\"]*", SCRIPT.read_text(encoding="utf-8")) == ["http://www.w3.org/2000/svg"]


@pytest.mark.page
def test_without_javascript_a_sentence_says_what_is_missing(browser, folder):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get("about:blank")
        browser.get(folder + "page.html")
        assert browser.find_element("css selector", ".explorer-still").text == INSTEAD
        assert browser.find_element("css selector", ".explorer-still").is_displayed()
        assert not browser.find_element("css selector", "#explorer").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    opened(browser, folder)
    assert not browser.find_element("css selector", ".explorer-still").is_displayed()


@pytest.mark.page
def test_a_link_into_the_playground_holds_the_universe_s_settings(browser, folder, samples):
    for fragment in ("τ=1/N²", "λ=gradient-matched", "optimiser=momentum&sample=any"):
        opened(browser, folder, fragment)
        for text, address in look(
            browser, "[...root.querySelectorAll('li a')].map((link) => [link.textContent, link.getAttribute('href')])"
        ):
            sample, number = re.fullmatch(r"(\w+), universe (\d+) in the playground", text).groups()
            parts = urlsplit(address)
            given = dict(parse_qsl(parts.fragment, strict_parsing=True))
            assert (ROOT / "chapters" / parts.path).with_suffix(".ipynb").is_file() and parts.path.endswith(
                "-playground.html"
            )
            assert " " not in address and "+" not in address
            assert {name: int(given.pop(name)) for name in PLAYGROUND} == PLAYGROUND
            kinds = {name: type(getattr(Settings(), name)) for name in given}
            read = {name: text == "true" if kinds[name] is bool else kinds[name](text) for name, text in given.items()}
            assert Settings.of(read) == samples[sample].universes[int(number)].settings("000", PLAYGROUND["size"])


def test_the_script_is_short_and_the_data_are_small(samples, monkeypatch):
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) < 300
    assert sum(len(sample.universes) for sample in samples.values()) == 1061
    size = len(json.dumps(explorer_data(samples), separators=(",", ":"), allow_nan=False).encode())
    assert size < 600_000
    monkeypatch.setattr(explorer, "MOST_BYTES", size)
    with pytest.raises(ValueError, match=f"1061 universes of {size} bytes were given; allowed are"):
        explorer_data(samples)


def test_errors_are_kept_to_a_hundredth_of_their_logarithm():
    sample = synthetic(universes("neighbours"), 1)
    values = {0: 0.0, 1: 1e-45, 2: 0.1, 3: 1.0, 4: 10**0.124, 5: LARGEST, 6: 1e38, 7: np.inf, 8: 1e300}
    medians = sample.medians.assign(**{E: sample.medians["universe"].map(values).fillna(1.0)})
    data = explorer_data({"one": sample._replace(medians=medians)})
    assert data["errors"][3][2][:9] == [data["zero"], -4500, -100, 0, 12, 3853, 3800, 3853, 3853]
    assert data["zero"] < -4500


def change(sample: Sample, **changes) -> Sample:
    return sample._replace(**changes)


REFUSED = {
    "a universe without medians": (
        lambda s: change(s, medians=s.medians[s.medians["universe"] != 3]),
        r"medians: of one universes \[3\]",
    ),
    "a mask less": (lambda s: change(s, medians=s.medians[s.medians["mask"] != "110"]), "medians: of one universes"),
    "a negative error": (lambda s: change(s, medians=s.medians.assign(**{E: -1.0})), "negative or no number"),
    "an error that is no number": (
        lambda s: change(s, medians=s.medians.assign(**{E: np.nan})),
        "negative or no number",
    ),
    "a claim less": (lambda s: change(s, claims=s.claims.drop(columns="C3 rule")), "claims: of one universes"),
    "a universe less that fits or not": (lambda s: change(s, fits=s.fits[1:]), r"fits: of one universes \[0\]"),
    "a universe without a nearness": (lambda s: change(s, near=s.near.drop(5)), r"near: of one universes \[5\]"),
    "a level off its axis": (
        lambda s: change(s, universes=[s.universes[0].but(steps=Level("7", {"steps": 7})), *s.universes[1:]]),
        "levels off the axes",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_lacks_something_is_refused(case):
    spoil, message = REFUSED[case]
    sample = synthetic(universes("neighbours"), 1)
    assert explorer_data({"one": sample})
    with pytest.raises(ValueError, match=message):
        explorer_data({"one": spoil(sample)})


def test_no_sample_and_other_sizes_are_refused():
    sample = synthetic(universes("neighbours"), 1)
    other = change(sample, medians=sample.medians[sample.medians["size"] < 50])
    with pytest.raises(ValueError, match="none was given"):
        explorer_data({})
    with pytest.raises(ValueError, match=r"other sizes than \[3, 5, 10, 20, 50, 100\]"):
        explorer_data({"one": sample, "other": other})


def test_a_sample_is_made_of_what_is_judged():
    drawn = universes("neighbours")[:3]
    claims = pd.DataFrame(
        [
            {"universe": u, "claim": key, "reading": reading, "by_mean": (u + k) % 2 == 0, "by_rule": u == 1}
            for u in (2, 0, 1)
            for k, key in enumerate(ASKS)
            for reading in ("nominal", "E, value alone")
        ]
    )
    claims.loc[claims["reading"] != "nominal", ["by_mean", "by_rule"]] = True
    shares = dict.fromkeys(OBSERVATIONS, 1.0)
    observed = pd.DataFrame(
        [
            {"universe": 0, "worst_fit": FITS, "lost": 0, **shares, "C1": 0.5},
            {"universe": 1, "worst_fit": FITS + 0.01, "lost": 0, **shares, "C1": 0.9},
            {"universe": 2, "worst_fit": 0.01, "lost": 0, **dict.fromkeys(OBSERVATIONS, 0.4)},
        ]
    )
    sample = Sample.of(drawn, synthetic(drawn, 0).medians, multiverse.Judged(claims, observed))
    data = explorer_data({"one": sample})
    assert [claim["mean"] for claim in data["claims"]] == ["101", "010"] * (len(ASKS) // 2)
    assert {claim["rule"] for claim in data["claims"]} == {"010"}
    assert data["near"] == [len(OBSERVATIONS) - 1] * 2 + [0] and data["fits"] == "101"
    assert data["order"] == [1, 0, 2], "of equal numbers of observations the sum of their shares decides"


def test_what_is_stored_is_read_again(tmp_path):
    """Medians of three runs, one of them lost, and the universes that were judged: the first two of a sample."""
    stream, parts = np.random.default_rng(7), {"sobol": [0, 1], "neighbours": [*range(37)]}
    (tmp_path / "data").mkdir()
    runs, judged = {}, []
    for name, numbers in parts.items():
        keys = pd.MultiIndex.from_product(
            [numbers, MASKS, PAPER_SIZES, range(3)], names=["universe", "mask", "size", "seed"]
        )
        values = stream.lognormal(size=len(keys)).astype(np.float32)
        values[stream.integers(len(keys), size=len(keys) // 5)] = np.nan
        runs[name] = pd.DataFrame({E: values, "fit_mse": values}, keys).reset_index()
        runs[name].to_parquet(tmp_path / "data" / f"multiverse-{name}-0000.parquet")
        claims = [
            {"universe": u, "claim": key, "reading": "nominal", "by_mean": u == 0, "by_rule": False}
            for u in numbers
            for key in ASKS
        ]
        observed = [{"universe": u, "worst_fit": 0.0, "lost": 0, **dict.fromkeys(OBSERVATIONS, 1.0)} for u in numbers]
        judged.append([pd.DataFrame(rows).assign(sample=name) for rows in (claims, observed)])
    for file, tables in zip((multiverse.CLAIMS, multiverse.OBSERVED), zip(*judged, strict=True), strict=True):
        pd.concat(tables).to_parquet(tmp_path / "data" / f"{file}.parquet")
    explorer.write(tmp_path)
    samples = explorer.stored(tmp_path)
    assert {name: len(sample.universes) for name, sample in samples.items()} == {"drawn": 2, "neighbours": 37}
    assert samples["drawn"].universes == universes("sobol")[:2]
    for name, sample in zip(parts, samples.values(), strict=True):
        whole = runs[name].fillna({E: LARGEST}).set_index(["universe", "mask", "size"])[E]
        medians = sample.medians.set_index(["universe", "mask", "size"])[E]
        assert len(medians) == len(parts[name]) * len(MASKS) * len(PAPER_SIZES)
        for key, value in medians.items():
            assert value == sorted(whole.loc[key])[1]
    assert explorer_data(samples)["claims"][0]["mean"] == "10" + "1" + "0" * 36
    (tmp_path / "data" / "multiverse-errors.parquet").unlink()
    with pytest.raises(ValueError, match="allowed is a folder that holds multiverse-errors.parquet"):
        explorer.stored(tmp_path)


@pytest.mark.parametrize("fragment", ["", "#fits=yes"])
def test_the_chapter_s_explorer_shows_the_chapter_s_numbers(browser, address, book, fragment):
    page = next(path for path in book.glob("chapters/*-every-reading.html"))
    browser.get("about:blank")
    open_page(browser, address, f"{page.relative_to(book)}{fragment}")
    wait(browser, 'document.querySelector("#explorer [role=status]")?.textContent')
    judged = multiverse.stored(ROOT, "sobol")
    judged = judged.fitting() if fragment else judged
    shares = multiverse.shares(judged.of_claims).set_index("claim")
    for key, *cells in cells_of(browser, "ex-claims", "claim"):
        for kind, cell in zip(("mean", "rule"), cells, strict=True):
            expected = [100 * shares.loc[key, f"{kind} {end}"] for end in ("share", "low", "high")]
            numbers = [float(text) for text in re.findall(r"[\d.]+", cell.replace(",", ""))]
            assert numbers[3:] == list(shares.loc[key, [kind, "universes"]])
            assert numbers[:3] == pytest.approx(expected, abs=0.0501)
    near = multiverse.nearest_table(judged, multiverse.sample("sobol"), 5)
    several = look(browser, "[...root.querySelectorAll('li')].map((item) => item.textContent)")
    for (number, row), text in zip(near.iterrows(), several, strict=True):
        assert text.startswith(f"drawn, universe {number}: {row['reproduced']}. ")
        assert "; ".join(f"{axis}: {row[axis]}" for axis in AXES) in text
