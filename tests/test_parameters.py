"""The notebooks' parameters: in whatever way they are given they mean the same; what is not allowed is named."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import CHAPTERS, ROOT, posix
from papermill.cli import _resolve_type
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from papermill.utils import find_first_tagged_cell_index

from companion.core.checks import MOST_POINTS, MOST_STEPS
from companion.core.settings import MASKS, Settings
from companion.show import notebook as shows
from companion.studies import memory
from companion.sweeps.parameters import DRAWN, Mask, every_combination, read_parameters, read_runs, require_design
from companion.sweeps.sweep import run_sweep
from companion.sweeps.workers import MOST_WORKERS

WITH_PARAMETERS = [
    path for path in CHAPTERS if find_first_tagged_cell_index(load_notebook_node(str(path)), "parameters") >= 0
]
SWEEPS = ("sweep", "space-sweep", "memory-sweep", "multiverse-sweep")


def prepared(stem: str, **parameters: object) -> dict[str, object]:
    """A notebook's names when papermill has run its parameters and the cell after them, without a kernel."""
    notebook = load_notebook_node(str(ROOT / f"chapters/{stem}.ipynb"))
    first = find_first_tagged_cell_index(notebook, "parameters")
    cells = parameterize_notebook(notebook, parameters).cells[first:]
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    names: dict[str, object] = {"In": [""]}
    for source in code[: 2 + bool(parameters)]:
        names["In"].append(source)
        exec(source, names)
    return names


def parameters_of(stem: str) -> list[str]:
    """The names in a notebook's cell of parameters."""
    notebook = load_notebook_node(str(ROOT / f"chapters/{stem}.ipynb"))
    return re.findall(r"^(\w+) = ", notebook.cells[find_first_tagged_cell_index(notebook, "parameters")].source, re.M)


def p(**given: str) -> dict[str, object]:
    """What papermill's -p makes of words."""
    return {name: _resolve_type(word) for name, word in given.items()}


def y(text: str) -> dict[str, object]:
    """What its -y and -f make of YAML."""
    return yaml.safe_load(text)


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        (p(anneal="true"), "anneal", True),
        (p(anneal="True"), "anneal", True),
        (p(anneal="FALSE"), "anneal", False),
        (p(anneal="yes"), "anneal", True),
        (y("anneal: no"), "anneal", False),
        (y("anneal: 'false'"), "anneal", False),
        (p(temperature="1e-4"), "temperature", [1e-4]),
        (y("temperature: 1e-4"), "temperature", [1e-4]),
        (y("temperature: [1e-4, 0.01]"), "temperature", [1e-4, 0.01]),
        (p(temperature="[1e-4, 1.e-02]"), "temperature", [1e-4, 0.01]),
        (p(temperature=str(np.array([0.001, 0.01]))), "temperature", [0.001, 0.01]),
        ({"strength": (1, 0.5)}, "strength", [1, 0.5]),
        (p(strength="2"), "strength", [2]),
        (p(balance="'3'"), "balance", [3.0]),
        (p(steps="20"), "steps", 20),
        (y("steps: ' 20 '"), "steps", 20),
        (p(sizes="3"), "sizes", [3]),
        (p(sizes="3, 5"), "sizes", [3, 5]),
        (p(sizes=" [3,5] "), "sizes", [3, 5]),
        (y("sizes: ['3', 5]"), "sizes", [3, 5]),
        (p(seeds="[ 7 ]"), "seeds", [7]),
        (p(masks="['000', \"100\"]"), "masks", ["000", "100"]),
        (p(masks="[000, 010]"), "masks", ["000", "010"]),
        (p(masks="000"), "masks", ["000"]),
        (p(masks="010"), "masks", ["010"]),
        (p(masks="111"), "masks", ["111"]),
        (y("masks: ['010', 111]"), "masks", ["010", "111"]),
        (p(attractor="[chamfer, transport]"), "attractor", ["chamfer", "transport"]),
        (p(attractor="chamfer"), "attractor", ["chamfer"]),
        (p(workers="2"), "workers", 2),
        (y("workers: '2'"), "workers", 2),
        *((p(**{name: word}), name, None) for name in ("workers", "store") for word in ("None", "none", "null")),
        (y("engine: none"), "engine", None),
        (y("scheduler: ~"), "scheduler", None),
        (p(store="mine"), "store", "mine"),
    ],
)
def test_a_parameter_of_the_sweep_may_be_given_in_any_way(given, name, value):
    names = prepared("sweep", **given)
    assert names["given"][name] == value and type(names["given"][name]) is type(value)


def test_what_is_read_is_what_is_swept():
    few = p(anneal="true", masks="111", sizes="[3, 5]", seeds="1", steps="20") | y("temperature: [1e-4, 1e-2]")
    names = prepared("sweep", **few)
    assert names["design"] == {"masks": ["111"], "sizes": [3, 5], "seeds": [1]}
    same = {"anneal": True, "steps": 20}
    assert names["combinations"] == [Settings(temperature=1e-4, **same), Settings(temperature=1e-2, **same)]


def test_yaml_reads_no_mask_as_another_one():
    """Without quotes 010 is the number 8 in YAML 1.1: refused, as is what no mask is."""
    for mask in MASKS:
        read = prepared("sweep", **y(f"masks: [{mask}]"))["design"]["masks"][0]
        assert read == mask or read not in MASKS


def test_the_other_sweeps_read_text_too():
    text = {"neurons": "ridge", "dimensions": "[1, 2]", "densities": "[uniform]", "sizes": "10", "seeds": "[0]"}
    names = prepared("space-sweep", **p(**text, tables="[]", workers="none", store="none", engine="torch"))
    assert {(cell.group.settings.dimension, cell.group.size, cell.group.seeds) for cell in names["cells"]} == {
        (1, 10, (0,)),
        (2, 10, (0,)),
    }
    assert [names["given"][name] for name in ("workers", "store", "engine")] == [None, None, "torch"]
    strong = prepared("space-sweep", **y("strength: 1e-1\nsteps: '5'"))["settings"]
    assert (strong.strength, strong.steps) == (0.1, 5)
    names = prepared(
        "memory-sweep", **y("decay: 1e-3\nothers: [1e-2]"), **p(sizes="[3, 5]", seeds="12", workers="None")
    )
    jobs = [(5, 0, 10), (5, 10, 12), (3, 0, 10), (3, 10, 12)]
    assert names["jobs"] == [(size, list(range(*ends)), 1e-3, 4, (1e-2,)) for size, *ends in jobs]
    assert names["given"]["workers"] is None and prepared("memory-sweep", others="[]")["jobs"][0][-1] == ()


WRONG = [
    ("sweep", p(anneal="perhaps"), "anneal: 'perhaps' was given; allowed are True and False"),
    ("sweep", p(anneal="1"), "anneal: 1 was given; allowed are True and False"),
    ("sweep", p(temperature="hot"), "temperature: 'hot' was given; allowed are finite numbers above 0"),
    ("sweep", p(temperature="nan"), "temperature: nan was given; allowed are finite numbers above 0"),
    ("sweep", p(strength="[]"), "strength: [] was given; allowed is a list of at least 1"),
    ("sweep", p(strength="[1, 1.0]"), "strength: [1.0, 1.0] was given; allowed is a list that holds no value twice"),
    ("sweep", p(strength="[1, 2"), "strength: '[1, 2' was given; allowed is a list such as [3, 5], or one value"),
    ("sweep", p(sizes=" "), "sizes: ' ' was given; allowed is a list such as [3, 5], or one value"),
    ("sweep", p(steps="2.5"), "steps: 2.5 was given; allowed are whole numbers"),
    ("sweep", p(steps="many"), "steps: 'many' was given; allowed are whole numbers"),
    ("sweep", p(steps="none"), "steps: None was given; allowed are whole numbers"),
    ("sweep", p(target="3"), "target: 3 was given; allowed are 'sine', 'line', 'step', 'chirp'"),
    ("sweep", y("attractor: {a: 1}"), "attractor: {'a': 1} was given; allowed are 'coverage', 'chamfer'"),
    ("sweep", p(out="none"), "out: None was given; allowed is a path that ends in .parquet"),
    ("space-sweep", p(neurons="linear"), "neurons: 'linear' was given; allowed are 'radial', 'ridge'"),
    ("space-sweep", p(dimensions="two"), "dimensions: 'two' was given; allowed are whole numbers"),
    ("space-sweep", p(tables="iris"), "tables: 'iris' was given; allowed are 'diabetes-2'"),
    ("space-sweep", p(seeds="[]"), "seeds: [] was given; allowed is a list of at least 1"),
    ("space-sweep", p(steps="-1"), "steps: -1 was given; allowed are whole numbers from 0"),
    ("space-sweep", p(seeds="[0, 0]"), "seeds: [0, 0] was given; allowed is a list that holds no value twice"),
    ("space-sweep", p(strength="-1"), "strength: -1 was given; allowed are finite numbers of at least 0"),
    ("space-sweep", p(out="a.csv"), "out: 'a.csv' was given; allowed is a path that ends in .parquet"),
    ("multiverse-sweep", p(sampling="chance"), "sampling: 'chance' was given; allowed are 'sobol', 'sobol, transport'"),
    ("multiverse-sweep", p(axes="tau"), "axes: 'tau' was given; allowed are 'inputs', 'target'"),
    ("multiverse-sweep", p(axes="[λ, λ]"), "axes: ['λ', 'λ'] was given; allowed is a list that holds no value twice"),
    ("multiverse-sweep", p(number="0"), "number: 0 was given; allowed are whole numbers from 1 to"),
    ("multiverse-sweep", p(number="many"), "number: 'many' was given; allowed are whole numbers"),
    ("multiverse-sweep", p(part="0"), "part: 0 was given; allowed are whole numbers of at least 1"),
    ("multiverse-sweep", p(parts="8"), "parts: 8 was given; allowed are whole numbers from 0 to 7"),
    ("multiverse-sweep", p(out="nowhere/x"), "nowhere/x-0000.parquet' was given; allowed is a file in an existing"),
    ("memory-sweep", p(sizes="[1]"), "sizes: 1 was given; allowed are whole numbers"),
    ("memory-sweep", p(sizes="[]"), "sizes: [] was given; allowed is a list of at least 1"),
    ("memory-sweep", p(seeds="0"), "seeds: 0 was given; allowed are whole numbers"),
    ("memory-sweep", p(seeds="[1, 2]"), "seeds: '[1, 2]' was given; allowed are whole numbers"),
    ("memory-sweep", p(first_seed="-1"), "first_seed: -1 was given; allowed are whole numbers"),
    ("memory-sweep", p(starts="0"), "starts: 0 was given; allowed are whole numbers"),
    ("memory-sweep", p(decay="-1"), "decay: -1 was given; allowed are finite numbers above 0"),
    ("memory-sweep", p(others="[0]"), "others: 0.0 was given; allowed are finite numbers above 0"),
    ("memory-sweep", p(others="none"), "others: None was given; allowed are finite numbers above 0"),
    ("memory-sweep", p(out="memory"), "out: 'memory' was given; allowed is a path that ends in .parquet"),
]


@pytest.mark.parametrize(("stem", "given", "says"), WRONG)
def test_a_parameter_that_is_not_allowed_is_named_before_any_training(stem, given, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        prepared(stem, **given)


@pytest.mark.parametrize("stem", ["sweep", "space-sweep", "multiverse-sweep"])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        (p(workers="two"), "workers: 'two' was given; allowed are whole numbers"),
        (p(workers="0"), "workers: 0 was given; allowed are whole numbers"),
        (p(engine="3"), "engine: 3 was given; allowed are 'fast', 'torch'"),
        (p(store="3"), "store: 3 was given; allowed is the path of a folder"),
    ],
)
def test_so_is_one_that_says_where_it_is_trained(tmp_path, monkeypatch, stem, given, says):
    monkeypatch.chdir(tmp_path)
    names = prepared(stem, **{"workers": None, **given})
    trains = next(
        cell.source
        for cell in load_notebook_node(str(ROOT / f"chapters/{stem}.ipynb")).cells
        if "with open_executor" in cell.source
    )
    with pytest.raises(ValueError, match=re.escape(says)):
        exec(trains, names)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("changes", [{"seeds": []}, {"size": 1}, {"decay": -1}, {"starts": 0}, {"others": (0,)}])
def test_the_memory_sweep_checks_what_it_is_given_first(monkeypatch, changes):
    monkeypatch.setattr(memory, "train", lambda *_: pytest.fail("trained"))
    name, given = next(iter(changes.items()))
    message = rf"{name}: {re.escape(str(given[0] if name == 'others' else given))} was given; allowed"
    with pytest.raises(ValueError, match=message):
        memory.sweep(**{"size": 3, "seeds": [1]} | changes)


@pytest.mark.parametrize("path", WITH_PARAMETERS, ids=lambda path: path.stem)
def test_a_parameter_that_is_unknown_stops_every_notebook(path):
    with pytest.raises(ValueError, match="parameter: 'temprature' was given; allowed are '"):
        prepared(path.stem, temprature=0.5)


@pytest.mark.parametrize("path", WITH_PARAMETERS, ids=lambda path: path.stem)
def test_every_parameter_is_known(path, monkeypatch):
    """Papermill given each parameter's own default: none is refused."""
    notebook = load_notebook_node(str(path))
    names: dict[str, object] = {}
    exec(notebook.cells[find_first_tagged_cell_index(notebook, "parameters")].source, names)
    del names["__builtins__"]
    monkeypatch.chdir(ROOT / "chapters")
    prepared(path.stem, **names)


def test_only_what_papermill_gave_last_counts():
    """A notebook that was mended and goes on, and whatever else a reader's own cells name."""
    cells = ["", "steps = 5", "# Parameters\nstep = 6\n", "mine = 7", "# Parameters\nsteps = 6\n", "step = 8"]
    assert read_parameters({"In": cells, "steps": 6, "mine": 7}, steps=int) == {"steps": 6}
    assert read_parameters({"steps": 5, "mine": 7}, steps=int) == {"steps": 5}
    long = "# Parameters\nmasks = [\n    '000',\n]\nnote = \"step = 8\"\n"  # as Black writes a long line
    assert read_parameters({"In": [long], "masks": ["000"], "note": ""}, masks=list[Mask], note=str)["note"] == ""


def test_combinations_are_of_all_lists():
    found = every_combination({"strength": [1, 2], "balance": [3, 4]}, {"steps": 7})
    assert [(one.strength, one.balance, one.steps) for one in found] == [(1, 3, 7), (1, 4, 7), (2, 3, 7), (2, 4, 7)]


def test_combinations_that_hide_a_value_are_refused():
    with pytest.raises(ValueError, match="same: 'strength' was given with lists of them; allowed is one of the two"):
        every_combination({"strength": [1, 2]}, {"strength": 3})
    with pytest.raises(
        ValueError, match=r"strength: \[1, 1.0\] was given; allowed is a list that holds no value twice"
    ):
        every_combination({"strength": [1, 1.0], "balance": [3, 4]}, {})
    of_space = every_combination({"dimension": [2, 3]}, {"neuron": "radial", "target": "diagonal"})
    assert [one.dimension for one in of_space] == [2, 3]


@pytest.fixture(scope="module")
def few() -> pd.DataFrame:
    return run_sweep(sizes=[3, 5], seeds=[1, 4], steps=20, target="step")


def executed(monkeypatch: pytest.MonkeyPatch, runs: pd.DataFrame, file: Path, cells: str = "") -> list[str]:
    """What chapter 9, or those of its cells that hold a pattern, displays as Markdown of a reader's own runs."""
    texts: list[str] = []
    runs.to_parquet(file, index=False)
    monkeypatch.chdir(ROOT / "chapters")
    monkeypatch.setattr(shows, "display", lambda output, **_: texts.append(getattr(output, "data", "")))
    notebook, names = load_notebook_node(str(ROOT / "chapters/09-replication.ipynb")), {}
    for cell in parameterize_notebook(notebook, {"runs_file": str(file)}).cells:
        if cell.cell_type == "code" and re.search(cells, cell.source):
            exec(cell.source, names)
    return texts


@pytest.mark.long
def test_chapter_9_says_of_a_reader_s_own_runs_what_they_say(monkeypatch, tmp_path, few):
    texts = executed(monkeypatch, few, tmp_path / "mine.parquet", "import|_file|show_provenance|claim_counts")
    own = [text for text in texts if text.startswith("*`mine.parquet`: 32 runs; 2 seeds from 1 to 4; ")]
    assert len(own) == 7 and all("; 20 steps; engine fast; numba " in text for text in own)
    made = [text for text in texts if "Made by" in text]
    assert len(made) == 1 and "4680 runs" in made[0], "the stored temperature sweep's"
    assert any("Claims of order, 2 seeds from 1 to 4" in text for text in texts)


@pytest.mark.slow
def test_chapter_8_takes_one_seed_and_a_mask_whose_runs_are_lost(monkeypatch, tmp_path, few):
    lost = few[few["seed"] == 4].reset_index(drop=True)
    lost.loc[lost["mask"] == "110", ["reconstruction_error", "specialization_ratio", "fit_mse"]] = float("nan")
    lost.attrs = few.attrs
    texts = executed(monkeypatch, lost, tmp_path / "mine.parquet")
    assert any("Claims of order, seed 4" in text for text in texts)
    rows = [line for text in texts for line in text.splitlines() if line.startswith("| 110 Ovl+Cov")]
    assert len(rows) == 4 * 2 + 1 and all("–" in row and "nan" not in row for row in rows), "four figures, and the fits"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        *(
            (lambda runs, name=name: runs.drop(columns=name), f"' without {name} was given; allowed is a")
            for name in DRAWN
        ),
        (lambda runs: pd.DataFrame(runs.to_dict("list")), "' without versions was given; allowed is a Parquet file"),
        (lambda runs: runs.iloc[:0], "' without runs was given; allowed is a Parquet file"),
        (lambda runs: runs[runs["mask"] != "110"], "masks 000, 001, 010, 011, 100, 101, 111 were given; allowed are"),
        (
            lambda runs: runs[(runs["mask"] != "110") | (runs["size"] == 3)],
            "111 were given; allowed are all eight there",
        ),
        (
            lambda runs: runs.assign(temperature=[1e-4, 1e-3] * 16),
            "runs of 2 choices of settings were given; allowed is",
        ),
    ],
)
def test_a_file_that_chapter_8_cannot_draw_is_named(tmp_path, few, change, says):
    file = tmp_path / "mine.parquet"
    change(few).to_parquet(file, index=False)
    with pytest.raises(ValueError, match="runs_file: .*" + re.escape(says)):
        require_design("runs_file", read_runs("runs_file", str(file), "replication.parquet"))


@pytest.mark.parametrize("given", ["no.parquet", str(ROOT / "Makefile"), 3, None])
def test_so_is_what_is_no_file_of_runs(given):
    with pytest.raises(ValueError, match=re.escape(f"runs_file: {given!r} was given; allowed is a Parquet file")):
        read_runs("runs_file", given, "replication.parquet")


@posix
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.parquet")
    with pytest.raises(ValueError, match="runs_file: .* was given; allowed is a Parquet file"):
        read_runs("runs_file", str(tmp_path / "pipe.parquet"), "replication.parquet")


def test_whatever_byte_of_a_file_is_damaged_it_is_read_or_named(tmp_path):
    data = (ROOT / "data/plain.parquet").read_bytes()
    for place in range(0, len(data), len(data) // 40):
        file = tmp_path / "damaged.parquet"
        file.write_bytes(data[:place] + bytes(8) + data[place + 8 :])
        try:
            assert len(read_runs("runs_file", str(file), "replication.parquet"))
        except ValueError as error:
            assert str(error).startswith("runs_file: ") and "allowed is a Parquet file" in str(error)


def test_only_a_reader_s_own_file_is_named(monkeypatch, tmp_path, few):
    monkeypatch.chdir(ROOT / "chapters")
    columns = ["mask", "size", "seed"]
    stored = read_runs("runs_file", "../data/replication.parquet", "replication.parquet", columns)
    assert "file" not in stored.attrs and list(stored) == columns
    # What a command of the chapter does not make is a reader's, even beside what it makes.
    other = read_runs("runs_file", "../data/replication.parquet", "powered.parquet", columns)
    assert other.attrs["file"] == "replication.parquet"
    few.assign(extra=1).to_parquet(tmp_path / "mine.parquet")
    own = read_runs("runs_file", str(tmp_path / "mine.parquet"), "replication.parquet")
    assert own.attrs == few.attrs | {"file": "mine.parquet"} and "extra" in own


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stem", "arguments"),
    [(stem, ["-p", "temprature", "0.5"]) for stem in (*SWEEPS, "09-replication")]
    + [("memory-sweep", ["-p", "seeds", "0"])],
)
def test_papermill_itself_is_stopped(tmp_path, stem, arguments):
    command = [sys.executable, "-m", "papermill", ROOT / f"chapters/{stem}.ipynb", tmp_path / "out.ipynb"]
    done = subprocess.run([*command, "--cwd", ROOT / "chapters", *arguments], capture_output=True, text=True)
    assert done.returncode != 0 and re.search(r"ValueError: (parameter: 'temprature'|seeds: 0) was given", done.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["out.ipynb"]


@pytest.mark.slow
def test_papermill_takes_the_book_s_words(tmp_path):
    words = ["-p", "anneal", "true", "-y", "temperature: 1e-3", "-p", "workers", "none", "-p", "masks", "010"]
    few = ["-p", "sizes", "3", "-p", "seeds", "1", "-p", "steps", "5", "-p", "out", "o.parquet"]
    command = [sys.executable, "-m", "papermill", ROOT / "chapters/sweep.ipynb", tmp_path / "out.ipynb"]
    done = subprocess.run([*command, "--cwd", tmp_path, *words, *few], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = pd.read_parquet(tmp_path / "o.parquet").iloc[0]
    assert (run["mask"], run["anneal"], run["temperature"]) == ("010", True, 1e-3)


def test_the_table_of_parameters_gives_the_limits():
    text = (ROOT / "chapters/90-rerun.ipynb").read_text(encoding="utf-8")
    for line in (
        f"a list of whole numbers from 2 to {MOST_POINTS:,}",
        f"a whole number from 0 to {MOST_STEPS:,}",
        f"a whole number from 1 to {MOST_WORKERS}",
    ):
        assert line in text, line
