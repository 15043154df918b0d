"""What the chapters show: source of the companion, pictures, folded tables, what made the runs.

Everything is displayed as Markdown or SVG, never as text/html: Quarto adds scripts of another host
to any page that holds an HTML output.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import vl_convert
from IPython.display import Markdown, display

from companion.core.checks import require_a, require_integer
from companion.core.settings import Settings
from companion.sweeps.runs import require_table, settings_in

BOX_ROWS, BOX_WIDTH = 30, 72
"""Rows of a folded table that fit on a page, if a row has one line: up to so many characters, beyond which pandoc wraps
its cells."""


def show_source(*functions: Callable[..., object], fold: str | None = None) -> None:
    """Display the source of functions of the companion: the code that runs, not a copy of it.

    Args:
        functions: of one module or several.
        fold: the title of a box that opens on a click (it is open in the PDF); None means no box.
    """
    source = "\n\n".join(inspect.getsource(function).rstrip() for function in functions)
    block = f"```python\n{source}\n```"
    display(Markdown(block if fold is None else _folded(block, fold)))


def show_chart(chart: alt.TopLevelMixin) -> None:
    """Display a chart as SVG, which the web page, the PDF and Jupyter all can draw, with its `digest` as its text."""
    with alt.data_transformers.enable(max_rows=None):  # a picture of many bumps holds more points than altair's limit
        display({"image/svg+xml": svg(chart), "text/plain": f"chart {digest(chart)}"}, raw=True)


def svg(chart: alt.TopLevelMixin) -> str:
    """Return a chart's picture."""
    return vl_convert.vegalite_to_svg(chart.to_json())


def digest(chart: alt.TopLevelMixin) -> str:
    """Return 16 hexadecimal digits that differ where charts say different things.

    They are of the specification and its data, numbers at six significant digits, and zero below 1e-12 of a column's
    largest: the same on any machine, while a picture's letters, and so its legends, are as wide as a machine's fonts.
    """
    specification = chart.to_dict()
    datasets = specification.pop("datasets", {})
    text = json.dumps(specification, sort_keys=True)
    for name, rows in datasets.items():  # a dataset's name is a digest of all its digits: its rows stand for it
        table = pd.DataFrame(rows)
        numbers = table.select_dtypes("number")
        table[numbers.columns] = numbers.mask(numbers.abs() < 1e-12 * numbers.abs().max(), 0.0)
        text = text.replace(f'"{name}"', json.dumps(table.to_dict("list"), sort_keys=True))
    plain = json.loads(text, parse_float=lambda number: f"{float(number) + 0.0:.6g}")
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]


def show_provenance(runs: pd.DataFrame, command: str) -> None:
    """Display what made the runs of a figure, and the command (from the book's folder) that makes them again.

    Of a reader's own runs no command is known: their file's name stands in its place.

    Args:
        runs: a sweep's table, with its versions in `attrs`, and there too the file, if it is a reader's own.
        command: papermill's command line.

    Raises:
        ValueError: if they do not say what made them.
    """
    runs = require_table("runs", runs, ("seed", "strength", "temperature", "steps"), ("engine",))
    settings = settings_in(runs)
    values = {
        field.name: list(dict.fromkeys(getattr(one, field.name) for one in settings)) for field in fields(Settings)
    }
    others = [
        f"{name.replace('_', ' ')} {', '.join(map(str, given))}"
        for name, given in values.items()
        if name not in ("mask", "strength", "temperature", "steps") and given != [getattr(Settings(), name)]
    ]
    facts = [
        f"{len(runs)} runs; {seeds_of(runs)}; λ = {_listed(values['strength'])}; τ = {_listed(values['temperature'])}",
        *others,
        f"{_listed(values['steps'])} steps; engine {', '.join(sorted(runs['engine'].unique()))}",
        _versions(runs, "numba", "torch", "numpy"),
    ]
    _show_made_by(runs, f"{'; '.join(facts)}. Definitions: @sec-choices.", command)


def show_provenance_in_space(runs: pd.DataFrame, command: str) -> None:
    """Display the same of runs in d dimensions, whose temperature a rule sets, with their sizes and how many were lost.

    Args:
        runs: what `companion.studies.space.run_cells` returned, with its versions in `attrs`.
        command: papermill's command line.

    Raises:
        ValueError: if they do not say what made them.
    """
    runs = require_table("runs", runs, ("seed", "size", "strength", "steps", "reconstruction_error"), ("engine",))
    lost, sizes = int(runs["reconstruction_error"].isna().sum()), sorted(runs["size"].unique())
    facts = [
        f"{len(runs)} runs, {lost} of them lost to overflow; {seeds_of(runs)}; N = {', '.join(map(str, sizes))}",
        f"λ = {_listed(runs['strength'])}; τ by @eq-space-temperature",
        f"{_listed(runs['steps'])} steps; engine {', '.join(sorted(runs['engine'].unique()))}",
        _versions(runs, "numba", "torch", "numpy", "scipy"),
    ]
    _show_made_by(runs, f"{'; '.join(facts)}.", command)


def seeds_of(runs: pd.DataFrame) -> str:
    """Return which seeds runs have, such as "seeds 1000–1009"."""
    seeds = sorted(runs["seed"].unique())
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    every = seeds[-1] - seeds[0] == len(seeds) - 1
    return f"seeds {seeds[0]}–{seeds[-1]}" if every else f"{len(seeds)} seeds from {seeds[0]} to {seeds[-1]}"


def _listed(values: Iterable[float]) -> str:
    """Return numbers, each once, in ascending order."""
    return ", ".join(f"{value:g}" for value in sorted(set(values)))


def _versions(runs: pd.DataFrame, *libraries: str) -> str:
    known = runs.attrs.get("versions") or {}
    if lacks := [library for library in libraries if library not in known]:
        raise ValueError(f"runs: attrs without the versions of {', '.join(lacks)} were given; allowed are a sweep's")
    return ", ".join(f"{library} {known[library]}" for library in libraries)


def _show_made_by(runs: pd.DataFrame, facts: str, command: str) -> None:
    if "file" in runs.attrs:
        display(Markdown(f"*`{runs.attrs['file']}`: {facts}*"))
        return
    display(Markdown(f"*{facts} Made by*\n\n```bash\n{command}\n```"))


def show_table(table: pd.DataFrame, title: str, fold: bool = False, digits: int = 3) -> None:
    """Display a table with its index, numbers at `digits` significant digits.

    Args:
        table: any frame; the index becomes the first columns.
        title: one line above it, or of the fold.
        fold: put it into a box that opens on a click (it is open in the PDF).
        digits: significant digits of floats, at least 1.

    Raises:
        ValueError: if the table is none, or the digits are not allowed.
    """
    require_a(pd.DataFrame, "table", table)
    digits = require_integer("digits", digits, least=1)
    if not fold:
        display(Markdown(f"**{title}**\n\n{_markdown(table, digits)}"))
        return
    # A folded box of Quarto's does not break across pages in print: one that is longer than a page loses its end.
    width = max(len(line) for line in _markdown(table, digits).splitlines())
    rows = max(1, min(BOX_ROWS, BOX_ROWS * BOX_WIDTH // width))
    parts = -(-len(table) // rows)
    for part in range(parts):
        heading = title if parts == 1 else f"{title} ({part + 1} of {parts})"
        display(Markdown(_folded(_markdown(table.iloc[part * rows : (part + 1) * rows], digits), heading)))


def show_verdicts(table: str, key: str = "") -> None:
    """Display a ledger, which is a Markdown table with references, and what its cells mean.

    Args:
        table: what `companion.judging.ledger.table` or `beyond_table` returned.
        key: `companion.judging.ledger.KEY` or `BEYOND_KEY`; none where the text says it.
    """
    display(Markdown(f"{table}\n\n{key}".rstrip()))


def show_numbers(table: pd.DataFrame, chart: alt.TopLevelMixin, figure: str, digits: int = 3) -> None:
    """Display, under a figure, the numbers it shows (folded), and hand the page what makes its picture live.

    Args:
        table: the numbers that the figure shows.
        chart: the figure's chart; the web page's script draws it in place of the stored picture.
        figure: the figure's label, such as "fig-1".
        digits: significant digits of floats.
    """
    show_table(table, "The numbers of this figure", fold=True, digits=digits)
    display(Markdown(_html(_json_script(chart.to_dict(), f'data-figure="{figure}"'))))


def show_live(name: str, data: dict[str, Any], script: str, module: bool = True) -> None:
    """Hand the web page data and the script that draws them; a PDF and a page without JavaScript show nothing of it.

    Args:
        name: the id by which the script finds its data.
        data: what JSON can hold.
        script: its path from the page's folder, such as "../assets/force-field.js".
        module: whether it is an ES module; browsers load none into a page that was opened as a file.
    """
    holder, kind = _json_script(data, f'id="{name}"'), 'type="module"' if module else "defer"
    display(Markdown(_html(f'{holder}\n<script {kind} src="{script}"></script>')))


def application(name: str, data: dict[str, Any], instead: str) -> str:
    """Return Markdown of an application of assets/NAME/: NAME.css, NAME.js, which fills the element NAME, and its data.

    Args:
        name: of its folder and files; its data stand in the element NAME-data.
        data: what JSON can hold.
        instead: Markdown that stands in print and where JavaScript is off; the script hides what has class NAME-still.
    """
    folder = f"../assets/{name}/{name}"
    elements = [
        f'<link rel="stylesheet" href="{folder}.css">',
        f'<div id="{name}" hidden></div>',
        _json_script(data, f'id="{name}-data"'),
        f'<script defer src="{folder}.js"></script>',  # no module: browsers load none into a page opened as a file
    ]
    return f"::: {{.{name}-still}}\n{instead}\n:::\n\n{_html(chr(10).join(elements))}"


def show_application(name: str, data: dict[str, Any], instead: str) -> None:
    """Display an `application`."""
    display(Markdown(application(name, data, instead)))


def _json_script(data: dict[str, Any], attribute: str) -> str:
    """Return an element that holds data; "<" is escaped so that no text inside them can end it."""
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" {attribute}>{text}</script>'


def _html(element: str) -> str:
    """Return Markdown of an element that only the web page has."""
    return f"```{{=html}}\n{element}\n```"


def _folded(body: str, title: str) -> str:
    """Return Markdown in a box that opens on a click."""
    return f'::: {{.callout-note collapse="true" title="{title}"}}\n{body}\n:::'


def _markdown(table: pd.DataFrame, digits: int) -> str:
    """Return a pipe table; cells are text already, so that no library chooses their digits."""
    cells = table.reset_index().map(lambda cell: _text(cell, digits))
    # A pipe in a cell would end it.
    cells = cells.rename(columns=lambda name: str(name).replace("|", r"\|")).map(lambda cell: cell.replace("|", r"\|"))
    return cells.to_markdown(index=False, disable_numparse=True)


def _text(cell: Any, digits: int) -> str:
    """Return a cell's text: a number at `digits` significant digits, and a dash where there is none."""
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return "–"
    return _significant(float(cell), digits) if isinstance(cell, float | np.floating) else str(cell)


def _significant(value: float, digits: int) -> str:
    """Return a number at `digits` significant digits, without an exponent up to a million and never as -0."""
    if math.isnan(value):
        return "–"
    return f"{float(f'{value:.{digits}g}') + 0.0:g}"
