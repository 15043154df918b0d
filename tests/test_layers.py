"""The companion's layers: who imports whom, what stays in one layer, and how long argument lists and the core are."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT

LAYERS = ("core", "engine", "sweeps", "judging", "show", "studies")
"""Each imports only from itself and from those before it."""
SHARED = "companion.version"
"""What every layer may import."""
ONLY_IN_SHOW = {"altair", "vl_convert", "IPython"}
MANY_PARAMETERS = {
    "companion.sweeps.sweep.run_groups",
    "companion.core.losses.weighed_loss",
    "companion.core.train._descend",
}
"""Functions with more than five parameters. The last two are a training's steps: data, network and settings, the step's
repulsion or size, and what λ counts, which is known from the start on."""
CORE_LINES = 2400
"""A fifth of them are the other forms of the losses, the other starts and the other optimiser."""


def name_of(file: Path, root: Path) -> str:
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def modules(root: Path) -> dict[str, ast.Module]:
    """Every file of root/companion, by its module's name."""
    files = sorted((root / "companion").rglob("*.py"))
    return {name_of(file, root): ast.parse(file.read_text(encoding="utf-8")) for file in files}


@pytest.fixture(scope="module")
def parsed() -> dict[str, ast.Module]:
    return modules(ROOT)


def imported(tree: ast.Module, known: set[str]) -> set[str]:
    """What a module imports, wherever in it: of the companion the modules themselves, of `from a import b` the b."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {part if part in known else node.module for part in parts}
    return found


def layer(module: str) -> int | None:
    """The number of a module's layer; of those at the top, None."""
    parts = module.split(".")
    return LAYERS.index(parts[1]) if len(parts) > 1 and parts[1] in LAYERS else None


def graph(parsed: dict[str, ast.Module]) -> dict[str, set[str]]:
    """What each module of the companion imports of it, but for the package's own file, which names all."""
    return {
        name: {other for other in imported(tree, set(parsed)) if other.split(".")[0] == "companion"}
        for name, tree in parsed.items()
        if name != "companion"
    }


def against_the_order(parsed: dict[str, ast.Module]) -> list[str]:
    return [
        f"{name} imports {other}"
        for name, others in graph(parsed).items()
        for other in sorted(others - {SHARED})
        if layer(other) is None or layer(name) is None or layer(other) > layer(name)
    ]


def circle(parsed: dict[str, ast.Module]) -> list[str]:
    try:
        TopologicalSorter(graph(parsed)).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def drawing_elsewhere(parsed: dict[str, ast.Module]) -> list[str]:
    return [
        f"{name} imports {other}"
        for name, tree in parsed.items()
        for other in sorted(imported(tree, set(parsed)))
        if other.split(".")[0] in ONLY_IN_SHOW and layer(name) != LAYERS.index("show")
    ]


def docstring_readers(parsed: dict[str, ast.Module]) -> list[str]:
    """Modules that look at a docstring: by its attribute, by its name in text, or by a function that fetches it."""
    readers = {"__doc__", "getdoc", "get_docstring"}
    return [
        name
        for name, tree in parsed.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in readers)
        or (isinstance(node, ast.Name) and node.id in readers)
        or (isinstance(node, ast.Constant) and node.value in readers)
        or (isinstance(node, ast.alias) and node.name in readers)
    ]


def with_many_parameters(parsed: dict[str, ast.Module]) -> set[str]:
    """Functions and methods, also inside others, that take more than five parameters, themselves not counted."""
    found = set()

    def visit(node: ast.AST, path: str, in_class: bool) -> None:
        for child in ast.iter_child_nodes(node):
            inner = path
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = f"{path}.{child.name}"
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                given = child.args
                names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
                names += [one.arg for one in (given.vararg, given.kwarg) if one]
                own = in_class and names[:1] in (["self"], ["cls"])
                if len(names) - own > 5:
                    found.add(inner)
            visit(child, inner, isinstance(child, ast.ClassDef))

    for name, tree in parsed.items():
        visit(tree, name, False)
    return found


def test_every_file_is_in_a_layer(parsed):
    assert {name for name in parsed if layer(name) is None} == {"companion", SHARED}
    assert {layer(name) for name in parsed} - {None} == set(range(len(LAYERS)))


def test_each_layer_imports_only_from_those_before_it(parsed):
    assert against_the_order(parsed) == []


def test_the_version_imports_nothing_of_the_companion(parsed):
    assert graph(parsed)[SHARED] == set()


def test_no_circle_among_files(parsed):
    assert circle(parsed) == []


def test_only_the_layer_that_shows_draws(parsed):
    assert drawing_elsewhere(parsed) == []


def test_no_file_reads_a_docstring(parsed):
    assert docstring_readers(parsed) == []


def test_no_function_has_more_than_five_parameters_but_those_listed(parsed):
    assert with_many_parameters(parsed) == MANY_PARAMETERS


def test_the_core_is_short():
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in CORE}
    assert sum(lengths.values()) < CORE_LINES, lengths


CORE = sorted((ROOT / "companion" / "core").glob("*.py"))


# --- the checks refuse what they should ---

WRONG = {
    "a later layer": (against_the_order, "core/data.py", "from companion.engine import line"),
    "a later layer, inside a function": (
        against_the_order,
        "judging/paired.py",
        "def f():\n    import companion.show.charts",
    ),
    "the package's own names": (against_the_order, "studies/tails.py", "from companion import train"),
    "two files of one layer": (circle, "core/checks.py", "from companion.core import data"),
    "altair in a study": (drawing_elsewhere, "studies/tails.py", "import altair.vegalite"),
    "IPython in the core": (drawing_elsewhere, "core/data.py", "from IPython.display import display"),
    "a docstring's attribute": (docstring_readers, "core/data.py", "x = print.__doc__"),
    "a docstring by inspect": (docstring_readers, "core/data.py", "import inspect\nx = inspect.getdoc(print)"),
    "a module's own": (docstring_readers, "show/charts.py", "x = __doc__"),
    "six parameters": (with_many_parameters, "core/data.py", "def f(a, b, /, c, *, d, e, f): ..."),
    "five and the rest": (with_many_parameters, "core/data.py", "def f(a, b, c, d, e, **more): ..."),
    "a method": (with_many_parameters, "core/data.py", "class C:\n    def f(self, a, b, c, d, e, f): ..."),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_check_refuses_what_breaks_it(tmp_path, name):
    check, place, line = WRONG[name]
    good = {
        "__init__.py": "from companion.core.data import f\n",
        "version.py": "",
        "core/checks.py": "from companion import version\n",
        "core/data.py": "from companion.core.checks import g\ndef f(a, b, c, d, e): ...\n",
        "judging/paired.py": "from companion.core import data\n",
        "show/charts.py": "import altair\nfrom companion.judging.paired import p\n",
        "studies/tails.py": "from companion.show import charts\n",
    }
    for file, text in good.items():
        path = tmp_path / "companion" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert not check(modules(tmp_path))
    with (tmp_path / "companion" / place).open("a", encoding="utf-8") as end:
        end.write(line + "\n")
    assert check(modules(tmp_path))
