"""The store: what it holds, what it refuses and leaves alone, and that no way to stop a sweep loses a finished run."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from conftest import REPORT, ROOT, posix
from stoppable import SCRIPT, SWEEP, batch_of_the_script, sweep_and_report, sweep_with_forked_workers

from companion.core.network import Parameters
from companion.core.settings import NAMES, Settings
from companion.studies import space
from companion.studies.space import design, run_cells, training_sets
from companion.sweeps import store as store_module
from companion.sweeps import sweep, workers
from companion.sweeps.measures import METRICS, measure
from companion.sweeps.store import COLUMNS, ON_THE_LINE, Group, Store
from companion.sweeps.sweep import (
    BATCH_RUNS,
    ENGINES,
    OF_SETTINGS,
    SETTING,
    Batch,
    How,
    Rows,
    batch_for_a_second,
    run_batch,
    run_groups,
    run_sweep,
)

KEYS = ["mask", "size", "seed"]
SMALL = {"masks": ["000", "111"], "sizes": [3, 5], "seeds": [4, 1, 3, 2], "steps": 5, "engine": "torch"}
KILLS = int(os.environ.get("KILLS", 12))
"""How many SIGKILLs at random moments; `make test-slow` sets 100."""


@pytest.fixture(autouse=True, scope="module")
def small_batches() -> Iterator[None]:
    """Two seeds a part and one thread, as in `stoppable`: torch gives the same bits only in the same batches."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENGINES, "torch", ENGINES["torch"]._replace(batch=lambda size, steps: 2))
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def filled(small_batches, tmp_path_factory) -> Path:
    """A finished store of SMALL, to be copied."""
    folder = tmp_path_factory.mktemp("filled") / "runs"
    run_sweep(**SMALL, store=folder)
    return folder


def same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    """Equal bit for bit, order and types included."""
    pd.testing.assert_frame_equal(left, right, check_exact=True)
    assert left.attrs == right.attrs


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.parquet"))


def runs_in(folder: Path) -> list[tuple]:
    """Keys of all rows in the parts, each of them whole, read without the store."""
    keys = []
    for path in parts(folder):
        table = pq.read_table(path, use_threads=False)
        assert all(table[name].null_count == 0 for name in table.column_names)
        for name in ("x", "y", "w", "b", "a", "prototypes", "values"):
            points = name in ("x", "w", "prototypes") or (name == "b" and table["neuron"][0].as_py() == "radial")
            numbers = pc.multiply(table["size"], table["dimension"]) if points else table["size"]
            assert pc.list_value_length(table[name]).to_pylist() == numbers.to_pylist()
        keys += zip(*(table[name].to_pylist() for name in KEYS), strict=True)
    return keys


def refused(folder: Path, says: str, **change) -> str:
    """The message with which a sweep into a store is refused, before training and with nothing changed."""
    before = contents(folder)
    with pytest.raises(ValueError, match=says) as caught, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "run_batch", lambda batch: pytest.fail("trained"))
        run_sweep(**(SMALL | change), store=folder)
    assert contents(folder) == before
    return str(caught.value)


# What a store holds


def test_with_and_without_a_store_the_table_is_the_same(tmp_path, filled):
    plain = run_sweep(**SMALL)
    same(run_sweep(**SMALL, store=tmp_path / "runs"), plain)
    same(run_sweep(**SMALL, store=str(filled)), plain)
    assert plain.columns.tolist() == ON_THE_LINE
    assert [*plain[KEYS].itertuples(index=False, name=None)][:5] == [("000", 3, s) for s in (4, 1, 3, 2)] + [
        ("000", 5, 4)
    ]
    assert isinstance(plain["w"][0], np.ndarray) and plain["w"][0].dtype == np.float64


def test_every_part_carries_settings_versions_and_a_schema_number(folder):
    assert len(parts(folder)) == 8
    for path in parts(folder):
        mask, key = re.fullmatch(r"(000|111)-([0-9a-f]{12})-N[35]-(4-1|3-2)-[0-9a-f]{16}\.parquet", path.name).groups()[
            :2
        ]
        header = json.loads(pq.read_schema(path).metadata[b"latent-to-data"])
        assert header.keys() == {"schema", "how", "settings", "versions"} and header["schema"] == 5
        assert header["how"] == {"engine": "torch", "device": "cpu", "dtype": "float64"}
        settings = Settings(mask=mask, steps=5)
        assert header["settings"] == settings.text and Settings.parse(header["settings"]) == settings
        assert key == settings.key
        assert header["versions"]["torch"] == version("torch") and "numba" in header["versions"]
        table = pd.read_parquet(path)
        for name in OF_SETTINGS:
            assert (table[name] == getattr(settings, SETTING.get(name, name))).all()
        assert (table["engine"] == "torch").all() and (table["dtype"] == "float64").all()
    assert {
        "mask", "strength", "temperature", "attractor", "balance", "anneal", "steps", "learning_rate", "target",
        "neuron", "dimension", "density", "inputs", "initialisation", "optimiser", "activation", "coverage_form",
        "separation_form", "overlap_form", "reduction", "matched",
    } == set(OF_SETTINGS)  # fmt: skip


def test_a_finished_sweep_trains_nothing(folder, trained):
    before = contents(folder)
    run_sweep(**SMALL, store=folder)
    assert trained == [] and contents(folder) == before


def test_what_is_missing_is_trained_and_nothing_else(folder, trained):
    expected = run_sweep(**SMALL)
    lost = [path for path in parts(folder) if re.match("000-.*-N5-4-1|111-.*-N3-3-2", path.name)]
    assert len(lost) == 2
    for path in lost:
        path.unlink()
    trained.clear()
    same(run_sweep(**SMALL, store=folder), expected)
    of = Settings(steps=5)
    assert {batch.group for batch in trained} == {Group(of, 5, (4, 1)), Group(of.but(mask="111"), 3, (3, 2))}
    assert all(path.exists() for path in lost), "the same runs make the same file"


def test_a_store_grows_and_gives_what_was_asked_for(folder, trained):
    more = {"masks": ["111", "010"], "sizes": [5], "seeds": [9, 2, 4]}
    table = run_sweep(**(SMALL | more), store=folder)
    assert [*table[KEYS].itertuples(index=False, name=None)] == [(m, 5, s) for m in ("111", "010") for s in (9, 2, 4)]
    assert {(b.group.settings.mask, b.group.seeds) for b in trained} == {
        ("111", (9,)),
        ("010", (9, 2)),
        ("010", (4,)),
    }


def test_parts_of_another_machine_are_welcome(folder, trained):
    other = folder.parent / "other"
    run_sweep(**(SMALL | {"seeds": [8, 9]}), store=other)
    for path in parts(other):
        shutil.copy(path, folder)
    trained.clear()
    table = run_sweep(**(SMALL | {"seeds": [4, 8, 9]}), store=folder)
    assert trained == [] and len(table) == 12


def test_columns_are_those_asked_for_in_their_order(folder):
    names = ["reconstruction_error", "seed", "w", "engine"]
    whole = run_sweep(**SMALL)
    same(run_sweep(**SMALL, columns=names), whole[names])
    same(run_sweep(**SMALL, columns=names, store=folder), whole[names])
    every = run_sweep(**SMALL, columns=COLUMNS.names)
    assert every.columns.tolist() == COLUMNS.names
    same(every[ON_THE_LINE], whole)
    same(run_sweep(**SMALL, columns=COLUMNS.names, store=folder), every)
    for wrong, says in (
        (["z"], "columns: 'z' was given"),
        ("seed", "allowed is a list"),
        (["c", "c"], "twice"),
    ):
        with pytest.raises(ValueError, match=says):
            run_sweep(**SMALL, columns=wrong)


def test_a_table_that_lacks_a_run_is_not_given_out():
    rows = Rows([Group(Settings(), 3, (1, 2, 3))], ["seed"])
    rows.put(Settings(), 3, run_batch(_start(3, (1, 3))))
    with pytest.raises(RuntimeError, match="1 of its 3 runs are missing"):
        rows.frame()


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ([], r"groups: \[\] was given; allowed is a list of at least 1"),
        ([(Settings(), 3, (1,)), (Settings(strength=1), 3, (2,))], "groups: one was given twice"),
        ([(Settings(), 1, (1,))], "size: 1 was given; allowed are whole numbers from 2 to 100000"),
        ([(Settings(), 3, (1, 1))], "seeds: .* no value twice"),
        ([(Settings(), 3, (-1,))], "seeds: -1 was given"),
        ([(Settings(), 3, ())], "seeds: .* at least 1"),
    ],
    ids=["none", "a group twice", "size", "a seed twice", "seed", "no seed"],
)
def test_groups_that_cannot_be_are_named(groups, says):
    with pytest.raises(ValueError, match=says):
        run_groups([Group(*group) for group in groups])


@pytest.mark.parametrize("size", [3, 20, 100])
def test_measures_do_not_depend_on_the_company(size):
    """Not even in the last bit, or a sweep cut into other batches would give another table."""
    seeds = tuple(range(12))
    runs = run_batch(_start(size, seeds))
    x, y, w, b, a, c = (_tensor(runs, name) for name in "xywbac")
    together = measure(x, y, Parameters(w, b, a, c))
    for first, last in [(0, 3), (3, 10), *((run, run + 1) for run in range(12))]:
        some = measure(*(v[first:last] for v in (x, y)), Parameters(*(v[first:last] for v in (w, b, a, c))))
        assert some.keys() == set(METRICS)
        for name, values in some.items():
            np.testing.assert_array_equal(values, together[name][first:last])


def _start(size: int, seeds: tuple[int, ...], steps: int = 0) -> Batch:
    return Batch(Group(Settings(steps=steps), size, seeds), How("torch", "cpu", "float64"))


def _tensor(runs: pa.Table, name: str) -> torch.Tensor:
    return torch.tensor(np.array(runs[name].to_pylist()))


# Runs of other settings, and of other dimensions

CHANGES = {
    "strength": 2.0,
    "temperature": 1e-3,
    "attractor": "chamfer",
    "balance": 0.5,
    "anneal": True,
    "target": "line",
    "steps": 6,
    "step_size": 0.02,
    "inputs": "grid",
    "initialisation": "data-5",
    "optimiser": "momentum",
    "activation": "exp(-z²/2)",
    "coverage_form": "nearest prototype",
    "separation_form": "1/(1+d²/τ)",
    "overlap_form": "cosine",
    "reduction": "sum",
    "matched": True,
}


@pytest.mark.long
@pytest.mark.parametrize("name", CHANGES)
def test_runs_of_other_settings_stand_beside_and_each_is_found_again(folder, trained, name):
    change = {name: CHANGES[name]}
    before, here = contents(folder), run_sweep(**SMALL, store=folder)
    assert trained == []
    other = run_sweep(**(SMALL | change), store=folder)
    assert sum(len(batch.group.seeds) for batch in trained) == 16
    assert {batch.group.settings.but(mask="000") for batch in trained} == {Settings(steps=5).but(**change)}
    assert before.items() <= contents(folder).items(), "what was there stays as it was"
    trained.clear()
    same(run_sweep(**SMALL, store=folder), here)
    same(run_sweep(**(SMALL | change), store=folder), other)
    assert trained == []
    same(run_sweep(**(SMALL | change)), other)


def test_every_setting_with_a_choice_is_among_these():
    elsewhere = {"mask", "neuron", "dimension", "density"}  # of SMALL's keys; of a sweep in d dimensions, below
    one_level = {name for name in NAMES if len(getattr(type(getattr(Settings(), name)), "__members__", "ab")) == 1}
    assert set(NAMES) == CHANGES.keys() | elsewhere | one_level


def cells_of(seeds: list[int], neuron: str = "radial", **more) -> list[space.Cell]:
    """The eleven cells of four points in a density of two dimensions."""
    return design([neuron], training_sets([2], ["bell"], [4]), seeds, Settings(steps=3, **more))


def refused_in_space(folder: Path, says: str, seeds: list[int]) -> str:
    """The same as `refused`, of a sweep in d dimensions."""
    before = contents(folder)
    with pytest.raises(ValueError, match=says) as caught, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "run_batch", lambda batch: pytest.fail("trained"))
        run_cells(cells_of(seeds), engine="torch", store=folder)
    assert contents(folder) == before
    return str(caught.value)


@pytest.fixture
def in_space(small_batches, tmp_path) -> Path:
    """A store of a sweep in d dimensions, of seeds 1, 2 and 4."""
    run_cells(cells_of([1, 2, 4]), engine="torch", store=tmp_path / "space")
    return tmp_path / "space"


def test_after_seeds_1_2_4_a_call_for_1_3_4_returns_those(in_space, trained):
    """Cells were known by their first and last seed and how many there are: 1, 2 and 4 came back."""
    table = run_cells(cells_of([1, 3, 4]), engine="torch", store=in_space)
    assert table["seed"].tolist() == 11 * [1, 3, 4]
    assert {batch.group.seeds for batch in trained} == {(3,)} and len(trained) == 11
    same(table, run_cells(cells_of([1, 3, 4]), engine="torch"))
    assert Counter(Counter(runs_in(in_space)).values()).keys() <= {1, 2, 3}  # masks stand for several attractors, heats
    with_both = run_cells(cells_of([4, 2, 3, 1]), engine="torch", store=in_space)
    assert with_both["seed"].tolist() == 11 * [4, 2, 3, 1]


def test_an_edited_part_of_a_sweep_in_space_is_refused(in_space):
    path = parts(in_space)[0]
    whole = pq.read_table(path)
    place = whole.column_names.index("reconstruction_error")
    better = pc.multiply(whole["reconstruction_error"], 0.5)
    pq.write_table(whole.set_column(place, whole.schema.field(place), better), path)
    assert str(path) in refused_in_space(in_space, "is damaged .* move it out of the folder", [1, 2, 4])


@pytest.mark.long
@pytest.mark.parametrize("length", [0, 1, 1000, -1])
def test_a_truncated_part_of_a_sweep_in_space_is_refused_in_words(in_space, length):
    path = parts(in_space)[-1]
    path.write_bytes(path.read_bytes()[:length])
    assert str(path) in refused_in_space(in_space, "is damaged", [1, 2, 4])


@pytest.mark.long
def test_a_second_sweep_in_space_on_one_store_is_refused_and_the_first_goes_on(in_space):
    group = cells_of([8])[0].group
    code = (
        "import sys; sys.path.insert(0, 'tests'); import test_store as t; "
        "t.run_cells(t.cells_of([1, 3, 4]), engine='torch', store=sys.argv[1])"
    )
    with _opened(in_space) as kept:
        refused_in_space(in_space, f"store: {str(in_space)!r} was given, and another sweep is using it", [1, 3, 4])
        done = subprocess.run([sys.executable, "-c", code, in_space], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode and done.stderr.splitlines()[-1].startswith("ValueError: store: ")
        assert "another sweep is using it" in done.stderr.splitlines()[-1]
        kept.add(group, run_batch(Batch(group, How("torch", "cpu", "float64"))))
    assert len(run_cells(cells_of([8, 4]), engine="torch", store=in_space)) == 22


@pytest.mark.slow
def test_two_sweeps_in_space_at_once_leave_whole_files(tmp_path):
    """One of them is refused, or both end well; every part is whole either way."""
    code = (
        "import sys; sys.path.insert(0, 'tests'); import test_store as t; "
        "t.run_cells(t.cells_of([1, 2, 3]), engine='torch', store=sys.argv[1])"
    )
    command = [sys.executable, "-c", code, tmp_path / "runs"]
    both = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [(process.communicate()[1], process.returncode) for process in both]
    assert any(code == 0 for _, code in ends)
    assert all(code == 0 or "another sweep is using it" in said.splitlines()[-1] for said, code in ends)
    assert len(runs_in(tmp_path / "runs")) == 33 and not list((tmp_path / "runs").glob(".tmp-*"))


@pytest.mark.parametrize(
    "name",
    [
        "000-N3-4-1-0123456789abcdef.parquet",
        "111-N100-1000-1199-fedcba9876543210.parquet",
        "radial_1_uniform_000_coverage_1_N10_3000-3029-30_1_2000_fast.parquet",
        "ridge_2_diabetes-2_001_coverage_100000_N100_3000-3029-30_1_2000_torch.parquet",
        "radial_2_bell_110_transport_1_N4_1-2-2_0.5_3_fast.parquet",
    ],
)
def test_a_store_of_an_earlier_companion_is_refused_with_the_way_to_make_its_runs_again(tmp_path, name):
    (tmp_path / name).write_bytes(b"whatever it holds")
    version = sweep.library_versions()["companion"]
    says = (
        f"store: {str(tmp_path / name)!r} was kept by a companion before 0.2, and this one ({version}) reads none of "
        "those; give another folder, and the same call trains the runs again, to the same bits"
    )
    assert refused(tmp_path, re.escape(says)) == refused_in_space(tmp_path, re.escape(says), [1]) == says


def test_earlier_parts_among_later_ones_are_refused_too(folder):
    path = folder / "000-N3-4-1-0123456789abcdef.parquet"
    path.write_bytes(b"whatever it holds")
    assert repr(str(path)) in refused(folder, "was kept by a companion before 0.2")


@pytest.mark.long
def test_other_strengths_of_a_sweep_in_space_stand_beside(in_space, trained):
    here = run_cells(cells_of([1, 2, 4]), engine="torch", store=in_space)
    assert trained == []
    strong = run_cells(cells_of([1, 2, 4], strength=2.0), engine="torch", store=in_space)
    ridge = run_cells(cells_of([1, 2, 4], "ridge"), engine="torch", store=in_space)
    assert sum(len(batch.group.seeds) for batch in trained) == 66
    trained.clear()
    same(run_cells(cells_of([1, 2, 4]), engine="torch", store=in_space), here)
    same(run_cells(cells_of([1, 2, 4], strength=2.0), engine="torch", store=in_space), strong)
    same(run_cells(cells_of([1, 2, 4], "ridge"), engine="torch", store=in_space), ridge)
    assert trained == [] and set(strong["strength"]) == {2.0} and set(ridge["neuron"]) == {"ridge"}


@pytest.mark.long
def test_a_store_holds_the_line_and_more_dimensions_at_once(folder, trained):
    line = run_sweep(**SMALL, store=folder)
    cells = [*cells_of([1, 2]), *design(["ridge"], training_sets([1, 3], ["uniform"], [3]), [1, 2], Settings(steps=3))]
    cloud = run_cells(cells, engine="torch", store=folder)
    assert len(trained) == len(cells) == 33
    trained.clear()
    same(run_sweep(**SMALL, store=folder), line)
    same(run_cells(cells, engine="torch", store=folder), cloud)
    groups = [Group(Settings(steps=5), 3, (4, 2)), *(cell.group for cell in cells)]
    both = run_groups(groups, engine="torch", store=folder, columns=COLUMNS.names)
    assert trained == [] and both["neuron"].tolist() == 2 * ["line"] + 22 * ["radial"] + 44 * ["ridge"]
    assert both["dimension"].tolist() == 2 * [1] + 22 * [2] + 22 * [1] + 22 * [3]
    assert [len(values) for values in both["b"]] == 2 * [3] + 22 * [8] + 44 * [3]
    # On the line the uniform cell of either neuron is the line's own network, and another run all the same.
    assert len(runs_in(folder)) == 16 + 66
    same(run_groups(groups, engine="torch", columns=COLUMNS.names), both)


# What is refused, by name, and left as it was


def test_another_float_type_is_refused(folder):
    message = refused(folder, "made with dtype 'float64', and 'float32' was given; .*another folder", dtype="float32")
    assert str(parts(folder)[0]) in message


def test_another_device_is_refused(folder):
    header = _header(folder)
    path = plant(folder, header | {"how": header["how"] | {"device": "cuda"}})
    assert str(path) in refused(folder, "made with device 'cuda', and 'cpu' was given; give the former, or another")


def test_another_engine_is_refused(folder, monkeypatch):
    monkeypatch.setitem(ENGINES, "other", ENGINES["torch"])
    refused(folder, "made with engine 'torch', and 'other' was given", engine="other")


@pytest.mark.parametrize("name", ["companion", "torch", "numpy", "numba"])
def test_other_versions_of_what_decides_the_bits_are_refused(folder, monkeypatch, name):
    here = sweep.library_versions()
    monkeypatch.setattr(sweep, "library_versions", lambda: here | {name: "0.0.1"})
    refused(folder, f"'.*parquet' was made with {name} {re.escape(here[name])}, and {name} 0.0.1 is here; install")


@pytest.mark.parametrize("name", ["python", "scipy", "pandas", "pyarrow"])
def test_other_versions_of_the_rest_are_not(folder, monkeypatch, trained, name):
    here = sweep.library_versions()
    monkeypatch.setattr(sweep, "library_versions", lambda: here | {name: "0.0.1"})
    run_sweep(**SMALL, store=folder)
    assert trained == []


def damage(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("place", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_flipped_bit_is_found_wherever_it_is(folder, place):
    path = parts(folder)[3]
    damage(path, place)
    assert str(path) in refused(folder, "is damaged .* move it out of the folder")


@pytest.mark.parametrize("length", [0, 1, 1000, -1])
def test_a_truncated_part_is_found(folder, length):
    path = parts(folder)[3]
    path.write_bytes(path.read_bytes()[:length])
    assert str(path) in refused(folder, "is damaged")


def test_moving_a_damaged_part_away_is_all_it_takes(folder, trained):
    path = parts(folder)[3]
    expected = contents(folder)
    damage(path, 0.5)
    path.rename(folder.parent / "damaged")
    run_sweep(**SMALL, store=folder)
    assert len(trained) == 1 and contents(folder) == expected


def test_damage_after_opening_is_found_too(folder):
    with _opened(folder) as kept:
        damage(parts(folder)[0], 0.5)
        groups = [Group(Settings(mask=mask, steps=5), size, (4, 1, 3, 2)) for mask in ("000", "111") for size in (3, 5)]
        with pytest.raises(ValueError, match="is damaged"):
            list(kept.read(groups))


def _header(folder: Path) -> dict:
    return json.loads(pq.read_schema(parts(folder)[0]).metadata[b"latent-to-data"])


def _opened(folder: Path) -> Store:
    header = _header(folder)
    return Store(folder, header["how"], header["versions"])


def plant(folder: Path, header: dict | None, change: Callable[[pa.Table], pa.Table] = lambda table: table) -> Path:
    """Write a part whose name and bytes agree, with another header or other columns."""
    template = parts(folder)[0]
    metadata = None if header is None else {b"latent-to-data": json.dumps(header)}
    sink = io.BytesIO()
    pq.write_table(change(pq.read_table(template).replace_schema_metadata(metadata)), sink)
    digest = store_module._digest(sink.getvalue())
    template.unlink()
    path = template.with_name(re.sub(r"[0-9a-f]{16}\.parquet", f"{digest}.parquet", template.name))
    path.write_bytes(sink.getvalue())
    return path


@pytest.mark.parametrize("schema", [4, 6])
def test_another_schema_is_refused(folder, schema):
    path = plant(folder, _header(folder) | {"schema": schema})
    assert str(path) in refused(
        folder, f"has schema {schema}, and this companion .* reads schema 5; use the companion that made"
    )


@pytest.mark.parametrize("settings", ['{"colour": "blue"}', '{"mask": "012"}', "{", {"mask": "000"}, None], ids=str)
def test_settings_that_are_none_are_refused_naming_the_part(folder, settings):
    path = plant(folder, _header(folder) | {"settings": settings})
    assert str(path) in refused(folder, "was made with settings that are none here")


def test_a_part_whose_header_says_other_settings_than_its_name_is_refused(folder):
    path = plant(folder, _header(folder) | {"settings": Settings(steps=6).text})
    assert str(path) in refused(folder, f"was renamed; give it back its name, 000-{Settings(steps=6).key}-N3-3-2-")


def test_a_parquet_file_of_others_is_refused(folder):
    path = plant(folder, None)
    assert str(path) in refused(folder, "was not made by a sweep; move it")


def test_other_columns_are_refused(folder):
    path = plant(folder, _header(folder), lambda table: table.drop_columns("w"))
    assert str(path) in refused(folder, "has other columns")


def test_a_file_that_is_no_parquet_under_a_part_s_name_is_refused(folder):
    path = folder / f"000-{Settings().key}-N3-8-9-{store_module._digest(b'text')}.parquet"
    path.write_bytes(b"text")
    assert str(path) in refused(folder, "was not made by a sweep")


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "000-N3-4-1.parquet",
        "000-0123456789ab-N3-4-1.parquet",
        ".DS_Store",
        "deeper/",
        "000-N3-4-1-0123456789abcdef.parquet/",
        "000-0123456789ab-N3-4-1-0123456789abcdef.parquet/",
    ],
)
def test_a_foreign_file_is_refused(folder, name):
    path = folder / name
    path.mkdir() if name.endswith("/") else path.write_text("mine", encoding="utf-8")
    assert repr(str(path)) in refused(folder, "which is no part of a store; move it out of the folder, or give another")


def test_a_folder_of_something_else_stays_as_it_was(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine", encoding="utf-8")
    refused(tmp_path, "thesis.tex' was found, which is no part")
    (tmp_path / "thesis.tex").unlink()
    path = tmp_path / f"000-{Settings().key}-N3-8-9-{store_module._digest(b'text')}.parquet"
    path.write_bytes(b"text")
    refused(tmp_path, "was not made by a sweep")  # no lock file stays either: `refused` compares all names


@pytest.mark.parametrize(
    ("part", "other"),
    [("-N3-", "-N5-"), ("000-", "001-"), ("-3-2-", "-3-1-"), (Settings(steps=5).key, Settings().key)],
    ids=["size", "mask", "seed", "settings"],
)
def test_a_renamed_part_is_refused(folder, part, other):
    path = parts(folder)[0]
    moved = path.rename(path.with_name(path.name.replace(part, other)))
    assert moved != path
    message = refused(folder, "was renamed; give it back its name")
    assert str(moved) in message and message.endswith(path.name)


def test_a_run_that_stands_twice_is_refused_naming_both_parts(folder):
    other = folder.parent / "other"
    run_sweep(**(SMALL | {"masks": ["111"], "sizes": [5], "seeds": [3, 7]}), store=other)
    copy = Path(shutil.copy(parts(other)[0], folder))
    original = next(path for path in parts(folder) if re.match("111-.*-N5-3-2", path.name))
    says = re.escape(f"{Settings(mask='111', steps=5).text}, size 5, seed 3 stands twice, in ")
    message = refused(folder, f"{says}.* move all but one")
    assert str(copy) in message and str(original) in message


def test_a_kept_run_cannot_be_added_again(folder):
    batch = _start(5, (8, 2), steps=5)
    before, runs = contents(folder), run_batch(batch)
    with _opened(folder) as kept:
        says = re.escape(f"{Settings(steps=5).text}, size 5, some are kept already in ")
        with pytest.raises(ValueError, match=f"seeds: of {says}'.*/000-{Settings(steps=5).key}-N5-3-2"):
            kept.add(batch.group, runs)
    assert contents(folder) == before


def test_runs_of_another_group_cannot_be_added(folder):
    group = Group(Settings(steps=5), 5, (8, 9))
    before, runs = contents(folder), run_batch(_start(5, (8, 9), steps=5))
    mixed = pa.concat_tables([runs, run_batch(_start(3, (8,), steps=5))])
    with _opened(folder) as kept:
        with pytest.raises(ValueError, match=r"sizes: \[5, 3\] were given; allowed are the group's, \[5\]"):
            kept.add(group, mixed)
        with pytest.raises(ValueError, match=r"seeds: \[8, 9\] were given; allowed are the group's, \[8, 10\]"):
            kept.add(group._replace(seeds=(8, 10)), runs)
        with pytest.raises(ValueError, match=r"masks: \['000'\] were given; allowed are the group's, \['001'\]"):
            kept.add(group._replace(settings=Settings(mask="001", steps=5)), runs)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("given", "says"),
    [("nowhere/runs", "store: '.*nowhere/runs' was given; allowed is a folder"), ("file", "allowed is a folder")],
)
def test_a_place_that_can_be_no_store_is_named(tmp_path, given, says):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    refused_at = tmp_path / given
    with pytest.raises(ValueError, match=says):
        run_sweep(**SMALL, store=refused_at)
    with pytest.raises(ValueError, match="store: 3 was given; allowed is the path of a folder"):
        run_sweep(**SMALL, store=3)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.long
def test_a_second_sweep_on_one_store_is_refused_and_the_first_goes_on(folder):
    code = "import sys; sys.path.insert(0, 'tests'); import test_store as t; t.run_sweep(**t.SMALL, store=sys.argv[1])"
    batch = _start(3, (8,), steps=5)
    with _opened(folder) as kept:
        refused(folder, f"store: {str(folder)!r} was given, and another sweep is using it; wait until that one ends")
        done = subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode and done.stderr.splitlines()[-1].startswith("ValueError: store: ")
        assert "another sweep is using it" in done.stderr.splitlines()[-1]
        kept.add(batch.group, run_batch(batch))
    assert len(run_sweep(**(SMALL | {"seeds": [8, 4]}), store=folder)) == 8


def test_what_an_interrupted_write_left_is_removed_and_only_that(folder):
    before = contents(folder)
    path = parts(folder)[0]
    (folder / f".tmp-{path.name}").write_bytes(path.read_bytes()[:1000])
    run_sweep(**SMALL, store=folder)
    assert contents(folder) == before


# Ways to stop a sweep


def start(target: Callable, *arguments) -> tuple:
    """Start a process from a server that has imported the module already; return it and what it reports."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["companion.sweeps.sweep", "torch._dynamo"])  # Adam imports the latter, slowly
    reports, sender = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(arguments[0], sender, *arguments[1:]))
    process.start()
    sender.close()
    return process, reports


def received(reports) -> Iterator[tuple]:
    """Every run that was reported finished, until the process has ended."""
    while True:
        try:
            yield from reports.recv()
        except EOFError:
            return


def check_nothing_is_lost(folder: Path, reported: set[tuple]) -> None:
    found = Counter(runs_in(folder))
    assert reported <= found.keys(), "a finished run was lost"
    assert not found or max(found.values()) == 1, "a run stands twice"


def duration(folder: Path) -> float:
    """Seconds of an undisturbed sweep, from its start's report to its end."""
    process, reports = start(sweep_and_report, folder)
    reports.recv()
    begin = time.monotonic()
    assert len(list(received(reports))) == 72
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - begin


@pytest.mark.slow
@posix
def test_sigkill_at_random_moments_loses_nothing(tmp_path):
    expected = run_sweep(**SWEEP)
    longest = duration(tmp_path / "undisturbed")
    moments = random.Random(2605)
    kills = while_writing = 0
    for store in (tmp_path / str(number) for number in range(KILLS)):
        reported: set[tuple] = set()
        ended = False
        while not ended and kills < KILLS:
            process, reports = start(sweep_and_report, store)
            reports.recv()
            process.join(moments.uniform(0, longest))
            process.kill()
            process.join()
            ended = process.exitcode == 0
            assert ended or process.exitcode == -signal.SIGKILL
            kills += not ended
            while_writing += any(store.glob(".tmp-*"))
            reported.update(received(reports))
            check_nothing_is_lost(store, reported)
        same(run_sweep(**SWEEP, store=store), expected)
        assert len(runs_in(store)) == len(expected) and not any(store.glob(".tmp-*"))
        if kills == KILLS:
            break
    assert kills == KILLS
    REPORT.append(f"SIGKILL: {kills} at random moments, {while_writing} of them within a write; no finished run lost")


@posix
def test_a_part_is_on_the_disk_before_it_has_its_name_and_its_name_before_it_counts(folder, monkeypatch):
    calls = []
    fsync, replace = os.fsync, Path.replace
    kind = lambda handle: "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"  # noqa: E731
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append(f"fsync {kind(handle)}") or fsync(handle))
    monkeypatch.setattr(Path, "replace", lambda path, to: calls.append("rename") or replace(path, to))
    batch = _start(3, (8,))
    with _opened(folder) as kept:
        kept.add(batch.group, run_batch(batch))
    assert calls == ["fsync file", "rename", "fsync folder"]


@pytest.mark.long
@posix
@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_sigkill_at_each_step_of_a_write_loses_nothing(tmp_path, call, count):
    process, reports = start(sweep_and_report, tmp_path / "runs", (call, count))
    reported = set(received(reports))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    check_nothing_is_lost(tmp_path / "runs", reported)
    same(run_sweep(**SWEEP, store=tmp_path / "runs"), run_sweep(**SWEEP))


@pytest.mark.slow
@posix
def test_workers_that_outlive_a_killed_sweep_do_not_keep_its_store_locked(tmp_path):
    process, reports = start(sweep_with_forked_workers, tmp_path / "runs")
    workers = reports.recv()
    process.kill()
    process.join()
    try:
        assert len(workers) == 2
        for worker in workers:
            os.kill(worker, 0)  # raises if it is gone
        small = SWEEP | {"masks": ["000"], "sizes": [3], "seeds": [1], "steps": 2000}
        assert len(run_sweep(**small, store=tmp_path / "runs")) == 1
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)


def script(folder: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, ROOT / "tests/stoppable.py", folder, *arguments]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


@pytest.mark.slow
@posix
def test_a_full_disk_ends_with_a_clear_line_and_keeps_what_is_finished(tmp_path):
    folder = tmp_path / "runs"
    process = script(folder, "90", "0", "20000")
    out, err = process.communicate(timeout=60)
    reported = {tuple(run) for line in out.splitlines() for run in json.loads(line)}
    assert process.returncode == 1 and len(reported) == 180
    *_, last, note = err.splitlines()
    assert last == f"OSError: [Errno {errno.EFBIG}] {os.strerror(errno.EFBIG)}"
    assert note == f"180 of 360 runs are finished and kept in {str(folder)!r}; the same call goes on from there"
    assert set(runs_in(folder)) == reported and not list(folder.glob(".tmp-*"))


@pytest.mark.slow
@posix
@pytest.mark.parametrize("workers", ["0", "2"])
def test_ctrl_c_ends_with_a_clear_line_and_keeps_what_is_finished(tmp_path, monkeypatch, workers):
    folder = tmp_path / "runs"
    process = script(folder, "40", workers)
    lines = [process.stdout.readline() for _ in range(5)]
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    try:
        out, err = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):  # nobody is left, as it should be
            os.killpg(process.pid, signal.SIGKILL)
    reported = {tuple(run) for line in [*lines, *out.splitlines()] for run in json.loads(line)}
    kept = set(runs_in(folder))
    *_, last, note = err.splitlines()
    assert process.returncode and last == "KeyboardInterrupt"
    assert re.fullmatch(rf"\d+ of 160 runs are finished and kept in '{folder}'; the same call goes on from there", note)
    assert len(reported) >= 5 and reported <= kept and len(kept) < 160 and not any(folder.glob(".tmp-*"))
    monkeypatch.setitem(ENGINES, "torch", ENGINES["torch"]._replace(batch=batch_of_the_script))
    settings = SCRIPT | {"seeds": range(40)}
    same(run_sweep(**settings, store=folder), run_sweep(**settings))


class Failing(ThreadPoolExecutor):
    """An executor whose fourth batch fails, as a worker's exception or a dead pool does; later ones never start."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(1)
        self.error, self.count, self.later = error, 0, []

    def submit(self, function, batch):
        self.count += 1
        if self.count > 4:
            self.later.append(Future())
            return self.later[-1]
        return super().submit(function if self.count < 4 else self.fail, batch)

    def fail(self, batch):
        raise self.error


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left"), BrokenProcessPool("gone"), KeyboardInterrupt()],
    ids=["full disk", "dead pool", "ctrl-c"],
)
def test_whatever_stops_a_sweep_comes_through_with_what_is_kept(tmp_path, error, trained):
    with Failing(error) as executor, pytest.raises(type(error)) as caught:
        run_sweep(**SMALL, store=tmp_path / "runs", executor=executor)
    kept = len(runs_in(tmp_path / "runs"))
    assert caught.value is error and kept == 6 and len(trained) == 3
    assert len(executor.later) == 4 and all(future.cancelled() for future in executor.later)
    assert error.__notes__ == [
        f"6 of 16 runs are finished and kept in '{tmp_path / 'runs'}'; the same call goes on from there"
    ]
    trained.clear()
    same(run_sweep(**SMALL, store=tmp_path / "runs"), run_sweep(**SMALL))


def test_without_a_store_the_line_says_what_is_lost():
    with Failing(ValueError("no")) as executor, pytest.raises(ValueError) as caught:
        run_sweep(**SMALL, executor=executor)
    assert caught.value.__notes__ == ["6 of 16 runs were finished and are lost; with store=... they would be kept"]


def test_a_worker_of_another_version_is_refused(monkeypatch, tmp_path):
    here = sweep.library_versions()
    runs = run_batch(_start(3, (1, 2)))
    other = runs.replace_schema_metadata({sweep.VERSIONS: json.dumps(here | {"torch": "0.0.1"})})
    monkeypatch.setattr(sweep, "run_batch", lambda batch: other)
    with ThreadPoolExecutor(1) as executor, pytest.raises(RuntimeError, match="a worker has torch 0.0.1, and torch 2"):
        run_sweep(**SMALL, store=tmp_path / "runs", executor=executor)
    assert not parts(tmp_path / "runs")


# Executors


def threads() -> Executor:
    return ThreadPoolExecutor(2)


def processes(method: str) -> Executor:
    return ProcessPoolExecutor(2, get_context(method), torch.set_num_threads, (1,))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [threads, lambda: processes("spawn"), pytest.param(lambda: processes("fork"), marks=posix)],
    ids=["threads", "spawn", "fork"],
)
def test_every_executor_gives_the_serial_table(tmp_path, make):
    serial = run_sweep(**SWEEP)
    with make() as executor:
        same(run_sweep(**SWEEP, executor=executor), serial)
        same(run_sweep(**SWEEP, executor=executor, store=tmp_path / "runs"), serial)


@pytest.mark.long
def test_an_engine_that_shares_a_process_trains_in_threads(monkeypatch, tmp_path):
    names = set()
    both = threading.Barrier(2, timeout=10)

    def train(*arguments, **settings):
        name = threading.current_thread().name
        if name not in names:
            names.add(name)
            both.wait()  # passes only if two threads train at once
        return sweep.train(*arguments, **settings)

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    expected = run_sweep(**SWEEP)
    monkeypatch.setitem(ENGINES, "torch", sweep.Engine(train, lambda size, steps: 2, threads=True))
    same(run_sweep(**SWEEP), expected)
    same(run_sweep(**SWEEP, store=tmp_path / "runs"), expected)
    assert len(names) == 4 and threading.main_thread().name not in names


def test_no_more_batches_are_in_flight_than_workers_need(monkeypatch):
    monkeypatch.setattr(workers, "IN_FLIGHT", 3)
    waiting = []

    class Counting(ThreadPoolExecutor):
        def submit(self, function, batch):
            waiting.append(self._work_queue.qsize())
            return super().submit(function, batch)

    with Counting(1) as executor:
        same(run_sweep(**SMALL, executor=executor), run_sweep(**SMALL))
    assert len(waiting) == 8 and max(waiting) <= 2


def test_the_longest_batches_come_first(trained):
    run_sweep(masks=["000", "001"], sizes=[3, 9, 5], seeds=[1, 2, 3], steps=0, engine="torch")
    work = [len(batch.group.seeds) * batch.group.size**2 for batch in trained]
    assert work == sorted(work, reverse=True) and len(set(work)) == 6
    trained.clear()
    run_groups([Group(Settings(steps=steps), 3, (1,)) for steps in (0, 5, 2)], engine="torch")
    assert [batch.group.settings.steps for batch in trained] == [5, 2, 0]
    trained.clear()
    sets = training_sets([1, 6, 3], ["uniform"], [3, 4])
    run_groups([cell.group for cell in design(["radial"], sets, [1, 2], Settings(steps=0))], engine="torch")
    work = [batch.group.size**2 * batch.group.settings.dimension for batch in trained]
    assert work == sorted(work, reverse=True) and len(set(work)) == 6


def test_batches_of_compiled_code_are_short_and_small():
    assert batch_for_a_second(100, 2000) == 20 and batch_for_a_second(3, 2000) == BATCH_RUNS
    assert (
        batch_for_a_second(1000, 2000) == 1 and batch_for_a_second(1000, 0) == 1 and batch_for_a_second(100, 0) == 100
    )


@pytest.mark.slow
@posix
def test_a_dask_cluster_that_loses_a_worker_gives_the_serial_table(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    settings = SWEEP | {"steps": 100}
    serial = run_sweep(**settings)
    cluster = distributed.LocalCluster(2, threads_per_worker=1, processes=True, protocol="tcp", dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        assert all(address.startswith("tcp://") for address in client.scheduler_info()["workers"])
        client.run(torch.set_num_threads, 1)
        before = set(client.run(os.getpid).values())
        victim, *_ = before
        add, finished = Store.add, []

        def add_and_kill(kept: Store, group: Group, runs: pa.Table) -> None:
            add(kept, group, runs)
            finished.append(runs.num_rows)
            if len(finished) == 5:
                os.kill(victim, signal.SIGKILL)

        monkeypatch.setattr(Store, "add", add_and_kill)
        with client.get_executor() as executor:
            table = run_sweep(**settings, executor=executor, store=tmp_path / "runs")
        client.wait_for_workers(2, timeout=30)
        after = set(client.run(os.getpid).values())
    assert len(before) == 2 and victim not in after and sum(finished) == 72 and len(finished) > 5
    same(table, serial)
    check_nothing_is_lost(tmp_path / "runs", set(runs_in(tmp_path / "runs")))


# Progress and memory


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("progress", "stream", "shown"),
    [(None, Terminal, True), (None, io.StringIO, False), (True, io.StringIO, True), (False, Terminal, False)],
)
def test_progress_is_shown_on_a_terminal(folder, monkeypatch, progress, stream, shown):
    parts(folder)[0].unlink()
    monkeypatch.setattr(sys, "stderr", stream())
    run_sweep(**SMALL, store=folder, progress=progress)
    bar = sys.stderr.getvalue()
    assert bool(bar) == shown
    if shown:
        first, last = bar.strip("\r\n").split("\r")[0], bar.strip("\r\n").split("\r")[-1]
        assert "14/16" in first and re.search(r"16/16 \[\d\d:\d\d<\d\d:\d\d, .*run/s\]", last)


def test_a_run_counts_as_finished_only_when_it_is_kept(tmp_path, monkeypatch):
    counts = []

    class Bar(sweep.Bar):
        def update(self, n=1):
            counts.append((self.n + n, len(runs_in(tmp_path / "runs"))))
            super().update(n)

    monkeypatch.setattr(sweep, "Bar", Bar)
    run_sweep(**SMALL, store=tmp_path / "runs", progress=True)
    assert counts == [(n, n) for n in range(2, 17, 2)]


PEAK = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from companion.sweeps.store import COLUMNS, NUMBERS, ON_THE_LINE
from companion.sweeps.sweep import run_sweep

if __name__ == "__main__":
    numbers = [name for name in ON_THE_LINE if COLUMNS.field(name).type != NUMBERS]
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        for count in map(int, sys.argv[2:]):
            settings = {"sizes": [2, 3], "seeds": range(count // 16), "steps": 1}
            table = run_sweep(**settings, store=f"{sys.argv[1]}/{count}", executor=executor, columns=numbers)
            status = dict(line.split(":") for line in open("/proc/self/status"))
            print(len(table), status["VmHWM"].split()[0])
            del table
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process's memory is read from /proc")
def test_the_coordinating_process_stays_below_500_megabytes_for_480_000_runs(tmp_path):
    (tmp_path / "peak.py").write_text(PEAK, encoding="utf-8")
    # From fewer runs, room that Arrow takes once would be counted as growth.
    command = [sys.executable, tmp_path / "peak.py", tmp_path, "40000", "120000"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    (few, less), (many, more) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert (few, many) == (40_000, 120_000)
    expected = more + (more - less) / (many - few) * (480_000 - many)
    assert expected / 1000 < 500
    REPORT.append(f"memory: {more // 1000} MB at {many:,} runs, so about {expected / 1000:.0f} MB at 480,000")
