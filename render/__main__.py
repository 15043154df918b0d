"""The embedded build: the book's website and PDF from two PyPI wheels, pandoc and Typst, where there is no Quarto.

`python -m render`, in the book's folder, reads `_quarto.yml` and the chapters that it names, executes nothing, and
writes `_book/`. All chapters become one Markdown text, as Quarto writes it; `book.lua` resolves what is Quarto's in it;
pandoc splits the HTML into pages and writes the Typst that becomes the PDF.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pypandoc
import typst
import yaml

HERE = Path(__file__).parent


class BookError(Exception):
    """Something in the book's sources that cannot be rendered, said in one line."""


def chapter_paths(entries: list[Any]) -> list[str]:
    """Return the chapters of a `chapters:` list in order, those of parts included."""
    return [path for entry in entries for path in (entry["chapters"] if isinstance(entry, dict) else [entry])]


def cell_markdown(cell: dict[str, Any], stem: str, number: int, pictures: Path) -> str:
    """Return one code cell as Markdown: its source and its stored outputs, as its `#|` options say."""
    source = "".join(cell["source"])
    lines = source.splitlines()
    options = yaml.safe_load("\n".join(line[3:] for line in lines if line.startswith("#| "))) or {}
    code = "\n".join(line for line in lines if not line.startswith("#| ")).strip("\n")
    parts = [f"```python\n{code}\n```"] if code and options.get("echo", True) else []
    for index, output in enumerate(cell["outputs"] if options.get("output", True) else []):
        data = {kind: "".join(text) for kind, text in output.get("data", {}).items()}
        if output["output_type"] == "error":
            raise BookError(f"{stem}.ipynb: cell {number} holds an error among its stored outputs")
        if output["output_type"] == "stream":
            parts += [f"```\n{''.join(output['text']).rstrip()}\n```"] if output["name"] == "stdout" else []
        elif "text/markdown" in data:
            parts.append(data["text/markdown"])
        elif "image/svg+xml" in data:
            picture = pictures / f"{stem}-{number}-{index}.svg"
            picture.write_text(data["image/svg+xml"], encoding="utf-8")
            label = f"#{options['label']} " if "label" in options else ""
            alternative = options.get("fig-alt", "").replace('"', "'")
            parts.append(f'![{options.get("fig-cap", "")}](figures/{picture.name}){{{label}fig-alt="{alternative}"}}')
        elif "text/plain" in data:
            parts.append(f"```\n{data['text/plain']}\n```")
    return "\n\n".join(parts)


def chapter_markdown(path: Path, pictures: Path) -> str:
    """Return one chapter, a notebook or a Markdown file, as Markdown with its includes in place."""
    if not path.is_file():
        raise BookError(f"_quarto.yml names {path}, which does not exist")
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        if any(cell["cell_type"] == "code" and cell["execution_count"] is None for cell in cells):
            raise BookError(f"{path}: a cell was never executed; `make chapters` executes the chapters")
        text = "\n\n".join(
            "".join(cell["source"]) if cell["cell_type"] == "markdown" else cell_markdown(cell, path.stem, number, pictures)
            for number, cell in enumerate(cells)
        )
    include = re.compile(r"^\{\{< include (\S+) >\}\}$", re.MULTILINE)
    return include.sub(lambda found: (path.parent / found[1]).read_text(encoding="utf-8"), text)


def build(root: Path) -> str:
    """Build `root`/_book and return one line that says what was made and by what.

    Raises:
        BookError: if a source cannot be rendered; an earlier `_book` then stays as it was.
    """
    settings = yaml.safe_load((root / "_quarto.yml").read_text(encoding="utf-8"))
    book = settings["book"]
    with tempfile.TemporaryDirectory(dir=root, prefix=".book-") as temporary:
        work = Path(temporary)
        (work / "figures").mkdir()
        shutil.copytree(root / "assets", work / "assets")
        shutil.copy(HERE / "style.css", work / "assets")
        texts = [chapter_markdown(root / path, work / "figures") for path in chapter_paths(book["chapters"])]
        appendices = [chapter_markdown(root / path, work / "figures") for path in book.get("appendices", [])]
        markdown = "\n\n".join([*texts[:-1], "::: {.appendices}\n:::", *appendices, texts[-1]])
        name = f"{book['output-file']}.pdf"
        arguments = [f"--defaults={HERE / 'defaults.yaml'}", f"--bibliography={root / settings['bibliography']}"]
        arguments += [f"--metadata={key}={book[key]}" for key in ("title", "subtitle", "author")]
        arguments += [f"--resource-path={work}", f"--metadata=pdf={name}", f"--data-dir={HERE}"]

        pypandoc.convert_text(
            markdown, "typst", "markdown", [*arguments, f"--template={HERE / 'book.typ'}"], outputfile=str(work / "book.typ")
        )
        pages = work / "pages"
        # The site's front page carries the book's title over the text of index.qmd.
        front = f"# {book['title']} {{#about .unnumbered}}\n\n[{book['subtitle']}]{{.subtitle}}"
        markdown = re.sub(r"\A# .*", front, markdown)
        pypandoc.convert_text(
            markdown, "chunkedhtml", "markdown", [*arguments, f"--template={HERE / 'page.html'}"], outputfile=str(pages)
        )
        typst.compile(work / "book.typ", output=pages / name, root=work)
        shutil.copytree(work / "assets", pages / "assets", dirs_exist_ok=True)
        # Pandoc puts a title page of its own before the first chapter: the front page takes its place.
        (pages / "about.html").replace(pages / "index.html")
        for page in pages.glob("*.html"):
            text = page.read_text(encoding="utf-8").replace('href="about.html', 'href="index.html')
            page.write_text(text.replace('<a rel="prev" href="index.html">← ' + book["title"], "<a hidden>", 1) if page.name == "index.html" else text, encoding="utf-8")
        count = len(list(pages.glob("*.html")))
        shutil.rmtree(root / "_book", ignore_errors=True)
        shutil.move(pages, root / "_book")
    made_by = f"pandoc {pypandoc.get_pandoc_version()}, typst {version('typst')}"
    return f"embedded build ({made_by}): _book/index.html ({count} pages), _book/{name}"


if __name__ == "__main__":
    try:
        print(build(Path.cwd()))
    except (BookError, RuntimeError, typst.TypstError) as error:
        sys.exit(f"embedded build: {error}")
