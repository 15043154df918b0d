"""`make test-machines`: tests that a processor, fonts, a locale or a folder could decide, on machines simulated here.

`python tests/machines.py [WORD ...]` runs those whose names hold one of the words. Each machine gets a line: passed,
FAILED, or why it cannot be simulated here. The last line counts them; the exit code is 1 if one failed.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


def files(*names: str, only: str = "") -> list[str]:
    return [*(f"tests/test_{name}.py" for name in names), "-k", only]


ARITHMETIC = files("carriers", "crowding", "losses", "memory", "metrics", "network", "space", "train")
COMPILED = files("engine", "engine_space")
NUMBERS = files("variables", only="data_give")
PICTURES = ["--nbval", "--nbval-current-env", "chapters/22-symmetries.ipynb"]
TEXT = [
    "tests/chapters/test_findings.py",
    *files(
        *("chapters", "ledger", "notebook", "referee", "sweep"),
        only="not reader_s_own_runs and (not test_sweep or papermill_runs or papermill_ends or notebook)",
    ),
]
PATHS = "papermill or notebook or refused or removed or written or full_disk"
HISTORY = files("ledger", "beyond", only="fixed_them or before_their_runs")
FONT_FOLDERS = ["/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts", "/System/Library/Fonts"]


class Missing(Exception):
    """What a machine would need and this one lacks."""


class Run(NamedTuple):
    """A command, what differs from this machine when it runs, and a text that it must print."""

    command: list[str]
    environment: dict[str, str] = {}
    folder: Path = ROOT
    umask: int = -1
    says: str = "passed"


def pytest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *arguments]


def processor(folder: Path, tests: list[str] = ARITHMETIC, feature: str = "", **environment: str) -> Run:
    """A processor's kernels in OpenBLAS, PyTorch, NumPy or numba: an environment variable picks them."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        raise Missing(f"these kernels are for x86-64, this processor is {platform.machine()}")
    features = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    if feature not in features:
        raise Missing(f"this processor has no {feature}")
    return Run(pytest(*tests), environment)


def system_fonts() -> list[Path]:
    return sorted(path for place in FONT_FOLDERS for path in Path(place).rglob("*.ttf"))


def fonts(folder: Path, family: str = "") -> Run:
    """A machine with the fonts of one family and no others; without a family, with none at all."""
    found = [path for path in system_fonts() if path.name.startswith(family)]
    if family and not found:
        raise Missing(f"{family} is not installed")
    for path in found if family else []:
        shutil.copy(path, folder)
    return Run(pytest(*PICTURES), only_fonts_in(folder))


def named_font(folder: Path, family: str) -> Run:
    """A machine with a font of that name, whose letters are those of a font that is installed here."""
    if not (found := [path for path in system_fonts() if path.name == "DejaVuSerif.ttf"] or system_fonts()):
        raise Missing("there is no TrueType font here to rename")
    data = bytearray(found[0].read_bytes())
    tables = [struct.unpack_from(">4sLLL", data, 12 + 16 * k) for k in range(struct.unpack_from(">H", data, 4)[0])]
    start = next(offset for tag, _, offset, _ in tables if tag == b"name")
    _, count, strings = struct.unpack_from(">3H", data, start)
    wide, narrow = family.encode("utf-16-be"), family.encode("latin-1")
    data[start + strings : start + strings + len(wide + narrow)] = wide + narrow  # in place of a copyright
    for record in range(start + 6, start + 6 + 12 * count, 12):
        system, _, _, kind = struct.unpack_from(">4H", data, record)
        if kind in (1, 16):  # names of a family
            place = (len(narrow), len(wide)) if system == 1 else (len(wide), 0)
            struct.pack_into(">2H", data, record + 8, *place)
    (folder / "renamed.ttf").write_bytes(data)
    return Run(pytest(*PICTURES), only_fonts_in(folder))


def only_fonts_in(folder: Path) -> dict[str, str]:
    settings = folder / "fonts.conf"
    settings.write_text(f"<fontconfig><dir>{folder}</dir><cachedir>{folder}</cachedir></fontconfig>", encoding="utf-8")
    return {"FONTCONFIG_FILE": str(settings)}


def latin_1(folder: Path) -> Run:
    name = "de_DE.ISO-8859-1"
    made = shutil.which("localedef") and subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", folder / name], capture_output=True
    )
    if not made or not (folder / name).is_dir():
        raise Missing("there is no localedef, or none of its sources (Debian: apt-get install locales)")
    return Run(pytest(*TEXT), {"LOCPATH": str(folder), "LC_ALL": name})


def locale_c(folder: Path) -> Run:
    return Run(pytest(*TEXT), {"LC_ALL": "C"})


def elsewhere_and_private(folder: Path) -> Run:
    """A time zone 12 hours and 45 minutes ahead, and files that only their owner may read."""
    return Run(pytest(*files("sweep", "store", only=PATHS)), {"TZ": "Pacific/Chatham"}, umask=0o077)


def copy_of_the_tree(folder: Path) -> Path:
    """The files that git knows or would add, in a folder whose name has blanks and a letter beyond ASCII."""
    tree = folder / "über die Bücher" / "latent to data"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise Missing("this is no git repository")
    for name in filter(None, done.stdout.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    if (ROOT / ".venv").exists():
        (tree / ".venv").mkdir()
        for part in (ROOT / ".venv").iterdir():
            (tree / ".venv" / part.name).symlink_to(part)
        (tree / ".venv/made-in").unlink(missing_ok=True)  # the Makefile makes anew what was made in another folder
        (tree / ".venv/made-in").write_text(str(tree.resolve()), encoding="utf-8")
    return tree


def path_with_blanks(folder: Path) -> Run:
    tree = copy_of_the_tree(folder)
    tests = files("sweep", "store", "pdf", only=f"{PATHS} or test_pdf")
    return Run(pytest(*tests), {"PYTHONPATH": str(tree)}, tree)


def shallow_clone(folder: Path) -> Run:
    clone = ["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", folder / "clone"]
    if subprocess.run(clone, capture_output=True).returncode:
        raise Missing("this is no git repository")
    tree = folder / "clone"
    return Run(pytest(*HISTORY), {"PYTHONPATH": str(tree)}, tree, says="a shallow clone, whose history is cut off")


def another_python(folder: Path, version: str) -> Run:
    """Every file compiles without a warning; the tests themselves need PyTorch for that Python."""
    places = [*map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python")), shutil.which(f"python{version}")]
    if not (found := next(filter(None, places), None)):
        raise Missing(f"there is no Python {version}")
    script = f"import compileall, sys; sys.pycache_prefix = {str(folder)!r}; print('passed: it compiles' if all("
    script += "compileall.compile_dir(name, quiet=1, force=True)"
    script += " for name in ('benchmarks', 'companion', 'embedded', 'tests')) else '')"
    return Run([found, "-W", "error", "-c", script])


MACHINES: dict[str, Callable[[Path], Run]] = {
    "OpenBLAS for Haswell": partial(processor, feature="avx2", OPENBLAS_CORETYPE="Haswell"),
    "OpenBLAS for SkylakeX": partial(processor, feature="avx512f", OPENBLAS_CORETYPE="SkylakeX"),
    "OpenBLAS for Zen": partial(processor, feature="avx2", OPENBLAS_CORETYPE="Zen"),
    "OpenBLAS for Prescott": partial(processor, OPENBLAS_CORETYPE="Prescott"),
    "PyTorch without vectors": partial(processor, ATEN_CPU_CAPABILITY="default", MKL_CBWR="COMPATIBLE"),
    "NumPy without AVX": partial(processor, feature="avx2", NPY_DISABLE_CPU_FEATURES="X86_V3"),
    "prose's numbers without AVX": partial(
        processor,
        tests=NUMBERS,
        feature="avx2",
        OPENBLAS_CORETYPE="Prescott",
        ATEN_CPU_CAPABILITY="default",
        NPY_DISABLE_CPU_FEATURES="X86_V3",
    ),
    "numba for any processor": partial(processor, tests=COMPILED, NUMBA_CPU_NAME="generic"),
    "no fonts": fonts,
    "DejaVu fonts": partial(fonts, family="DejaVu"),
    "Liberation fonts": partial(fonts, family="Liberation"),
    "a font named Arial": partial(named_font, family="Arial"),
    "a font named Liberation Sans": partial(named_font, family="Liberation Sans"),
    "locale C": locale_c,
    "locale de_DE.ISO-8859-1": latin_1,
    "time zone +12:45, umask 077": elsewhere_and_private,
    "a path with blanks and ü": path_with_blanks,
    "a shallow clone": shallow_clone,
    "Python 3.12": partial(another_python, version="3.12"),
    "Python 3.13": partial(another_python, version="3.13"),
    "Python 3.14": partial(another_python, version="3.14"),
}


def simulate(name: str) -> bool | None:
    """Run a machine's tests and print its line; return whether they passed, None if it cannot be simulated."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        try:
            run = MACHINES[name](Path(folder))
        except Missing as reason:
            print(f"{name:30} not simulated: {reason}", flush=True)
            return None
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | run.environment
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8", "errors": "replace"}
        done = subprocess.run(run.command, cwd=run.folder, env=environment, umask=run.umask, **output)
    passed = done.returncode == 0 and run.says in done.stdout
    summary = re.sub(r" in [\d.]+s.*", "", done.stdout.strip().splitlines()[-1].strip("= ")) if done.stdout else ""
    print(f"{name:30} {'passed' if passed else 'FAILED'} in {time.monotonic() - began:.0f} s: {summary}", flush=True)
    if not passed:
        print(done.stdout, flush=True)
    return passed


def main(words: list[str]) -> int:
    names = [name for name in MACHINES if not words or any(word.lower() in name.lower() for word in words)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(simulate, names))
    print(f"{results.count(True)} passed, {results.count(False)} failed, {results.count(None)} not simulated here")
    return int(False in results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
