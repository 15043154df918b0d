"""Which chapters are stale: of each a digest of what it reads stands in its metadata.

`python -m companion.show.chapters`, from the book's folder, executes the stale ones in place; `--all` executes all.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from companion.sweeps.store import write_whole

ROOT = Path(__file__).parents[2]
DIGEST = "reads"
"""Key of a notebook's metadata."""
OPTIONS = re.compile(r"\A(#\|.*\n?)*")
"""A cell's lines for Quarto."""
OF_THE_RUN = "metadata.papermill cell.metadata.papermill cell.metadata.execution"
"""When and how long a cell ran is no result: it stays out of the stored notebooks."""


def chapters(root: Path = ROOT) -> list[Path]:
    """Return the notebooks that are executed: all but the sweeps, which make the data."""
    return [path for path in sorted((root / "chapters").glob("*.ipynb")) if not path.stem.endswith("sweep")]


def digest(chapter: Path, root: Path = ROOT) -> str:
    """Return 16 hexadecimal digits of what a chapter reads, the same on any machine.

    That is its own code (but for captions and other `#|` lines, which are prose), the companion's files that it
    imports, those that they import in turn, and all of `data/` (a chapter names files in too many ways to tell which)
    but `claims.json`, which is written for machines.
    """
    code = [OPTIONS.sub("", source(cell)) for cell in _read(chapter)["cells"] if cell["cell_type"] == "code"]
    return digest_of(code, root)


def digest_of(code: Iterable[str], root: Path = ROOT) -> str:
    """Return 16 hexadecimal digits of some pieces of code and of what they read: see `digest`."""
    code = list(code)
    files: set[Path] = set()
    waiting = [name for text in code for name in imported(text)]
    while waiting:
        path = root / (waiting.pop().replace(".", "/") + ".py")
        if path.is_file() and path not in files:
            files.add(path)
            waiting += _imported_by(path)
    parts = [*code, *(path.read_text(encoding="utf-8") for path in sorted(files)), _data(root)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def imported(code: str) -> list[str]:
    """Return the companion's modules that code imports, wherever in it; names that are no module are among them."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
    return [name for name in found if name.split(".")[0] == "companion"]


@cache
def _imported_by(path: Path) -> list[str]:
    return imported(path.read_text(encoding="utf-8"))


@cache
def _data(root: Path) -> str:
    files = (path for path in sorted((root / "data").iterdir()) if path.suffix in (".parquet", ".json"))
    files = (path for path in files if path.name != "claims.json")
    return " ".join(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files)


def source(cell: dict[str, Any]) -> str:
    """Return a cell's text."""
    return "".join(cell["source"])


def _read(chapter: Path) -> dict[str, Any]:
    return json.loads(chapter.read_text(encoding="utf-8"))


def stale(root: Path = ROOT) -> list[Path]:
    """Return the chapters that read something else than when they were executed."""
    return [path for path in chapters(root) if _read(path)["metadata"].get(DIGEST) != digest(path, root)]


def execute(chapter: Path) -> None:
    """Execute a chapter in place and note what it read; where that fails or is stopped, the chapter stays as it was."""
    python, name = sys.executable, f"chapters/{chapter.name}"
    print(name, file=sys.stderr)  # which, unlike stdout, shows any name, whatever the locale
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / chapter.name
        run = [python, "-m", "papermill", "--no-progress-bar", "--log-level", "ERROR", "--cwd", "chapters", name, made]
        subprocess.run(run, cwd=ROOT, check=True)
        strip = [python, "-m", "nbstripout", "--keep-output", "--keep-count", "--extra-keys", OF_THE_RUN, made]
        subprocess.run(strip, cwd=ROOT, check=True)
        notebook = _read(made)
    notebook["metadata"][DIGEST] = digest(chapter)
    write_whole(chapter, (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode())


if __name__ == "__main__":
    for each in chapters() if "--all" in sys.argv else stale():
        execute(each)
