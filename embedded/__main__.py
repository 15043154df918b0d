"""The embedded build: `python -m embedded` makes `_book/` with pandoc and Typst from PyPI; it executes nothing."""

import io
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
Variables = dict[str, dict[str, str]]
"""A chapter's numbers by name, of all chapters."""


def output_markdown(output: dict[str, Any], options: dict[str, Any], picture: Path) -> str:
    """Return a stored output as Markdown; if it is a picture, write it to `picture`, which lies beside the page."""
    data = output.get("data", {"text/plain": output.get("text", "")})  # a stream is shown as plain text is
    plain = f"~~~~~~\n{''.join(data.get('text/plain', '')).rstrip()}\n~~~~~~"
    if "image/svg+xml" not in data:
        return "".join(data.get("text/markdown", plain))
    picture.write_text("".join(data["image/svg+xml"]), encoding="utf-8")
    label = f"#{options['label']} " if "label" in options else ""
    alternative = options.get("fig-alt", options.get("fig-cap", "")).replace("\\", "\\\\").replace('"', '\\"')
    return f'![{options.get("fig-cap", "")}]({picture.name}){{{label}fig-alt="{alternative}"}}'


def cell_markdown(cell: dict[str, Any], page: Path, number: int) -> str:
    """Return a cell as Markdown: for code, its source and its outputs, as far as its `#|` options let them be seen."""
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return source
    rest = re.sub(r"\A(#\|.*\n?)*", "", source)
    head = source.removesuffix(rest)
    options = {"include": True, "echo": True, "output": True} | (yaml.safe_load(re.sub(r"(?m)^#\| ?", "", head)) or {})
    code, parts = f"~~~~~~ python\n{rest.strip()}\n~~~~~~", []
    if options["include"] and options["echo"] and head != source:
        parts.append(f'::: {{.callout-code collapse="true"}}\n{code}\n:::' if options.get("code-fold") else code)
    for index, output in enumerate(cell["outputs"]):
        if options["include"] and options["output"] and output.get("name") != "stderr":
            parts.append(output_markdown(output, options, page.with_name(f"{page.stem}-{number}-{index}.svg")))
    return "\n\n".join(parts)


def fill(text: str, variables: Variables) -> str:
    """Return text with the values of `_variables.yml` in the places of its `{{< var chapter.name >}}`."""
    return re.sub(r"\{\{< var ([\w-]+)\.([\w-]+) >\}\}", lambda found: variables[found[1]][found[2]], text)


def with_includes(text: str, folder: Path) -> str:
    """Return text with the files in the places of its `{{< include … >}}`; their paths start from `folder`."""
    include = re.compile(r"^\{\{< include (\S+) >\}\}$", re.MULTILINE)
    return include.sub(lambda found: (folder / found[1]).read_text(encoding="utf-8"), text)


def chapter_markdown(source: Path, page: Path, variables: Variables) -> str:
    """Return a chapter as Markdown, with its includes and variables; put a notebook's pictures beside `page`."""
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        kinds = [output["output_type"] for cell in cells for output in cell.get("outputs", [])]
        if not kinds or "error" in kinds:
            raise ValueError(f"{source}: no stored outputs, or an error among them; execute the notebook first")
        text = "\n\n".join(cell_markdown(cell, page, number) for number, cell in enumerate(cells))
    # Quarto labels an equation as $$ ... $$ {#eq-name}; pandoc knows a span with an identifier.
    text = re.sub(r"(?s)(\$\$(?:(?!\$\$).)+\$\$) *\{#(eq-[\w-]+)\}", r'<span id="\2">\1</span>', text)
    text = with_includes(text, source.parent)
    try:
        return fill(text, variables)
    except (KeyError, TypeError) as missing:  # no such chapter or name, or a value that is no text
        raise ValueError(f"{source}: _variables.yml has no text for {missing}; run `make chapters`") from None


def notebook_text(source: Path, variables: Variables) -> str:
    """Return a chapter as a notebook to download, includes and variables in place; Jupyter shows their names."""
    notebook = json.loads(source.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        text = with_includes("".join(cell["source"]), source.parent)
        cell["source"] = fill(text, variables).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def put(site: Path, place: Path, aside: Path) -> None:
    """Move a finished folder to its place; the one that was there goes aside, or stays if an error comes between."""
    if was_there := place.is_dir() or place.is_symlink():
        place.rename(aside)
    try:
        site.rename(place)
    except BaseException:
        if was_there:
            aside.rename(place)
        raise


def build(root: Path) -> str:
    """Build `root`/_book and say in a line what was made and by what; an error leaves an earlier _book as it was."""
    settings = yaml.safe_load((root / "_quarto.yml").read_text(encoding="utf-8"))
    book, chapters = settings | settings["book"], []
    variables = yaml.safe_load((root / "_variables.yml").read_text(encoding="utf-8"))
    pdf = book.get("output-file", re.sub(r"\W+", "-", book["title"]).strip("-")) + ".pdf"
    meta = {name: str(value) for name, value in book.items() if not isinstance(value, dict | list)} | {"pdf": pdf}
    with tempfile.TemporaryDirectory(dir=root, prefix=".book-") as folder:
        site = Path(folder) / "_book"
        shutil.copytree(root / "assets", site / "assets")
        shutil.copy(HERE / "style.css", site / "assets")
        for entry in [*book["chapters"], {"part": "Appendices", "chapters": book.get("appendices", [])}]:
            group = entry if isinstance(entry, dict) else {"part": "", "chapters": [entry]}
            for path in group["chapters"]:
                (site / path).parent.mkdir(parents=True, exist_ok=True)
                text = chapter_markdown(root / path, site / path, variables)
                chapters.append({**group, "path": path, "markdown": text})
        (site / "notebooks").mkdir()
        for source in sorted((root / "chapters").glob("*.ipynb")):
            (site / "notebooks" / source.name).write_text(notebook_text(source, variables), encoding="utf-8")
        printed = Path(folder) / "book.typ"
        source = json.dumps({"meta": meta, "chapters": chapters, "site": str(site), "page": str(HERE / "page.html")})
        options = [f"--from={HERE / 'book.lua'}", f"--defaults={HERE / 'defaults.yaml'}"]
        pypandoc.convert_text(source, "typst", "json", options, outputfile=str(printed), cworkdir=str(root))
        compiler = typst.Compiler(printed, root=folder, sys_inputs=meta)
        compiler.compile(output=site / pdf)
        sheets = compiler.query("<sheets>", field="value", one=True)
        put(site, root / "_book", Path(folder) / "before")
    made_by = f"pandoc {pypandoc.get_pandoc_version()}, typst {version('typst')}"
    return f"embedded build: {made_by} -> _book/index.html ({len(chapters)} pages), _book/{pdf} ({sheets} pages)"


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):  # a letter that the locale lacks is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        print(build(Path.cwd()))
    except (OSError, ValueError, KeyError, yaml.YAMLError, RuntimeError) as error:
        sys.exit("embedded build: " + " ".join(str(error).split()))
