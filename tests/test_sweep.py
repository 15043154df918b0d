"""The sweep: what a row is, what it depends on, how it is written, and the notebook that papermill runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from conftest import ROOT
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from companion.core.data import TARGETS, sample_task
from companion.core.network import Parameters, initial_parameters, starting_batch
from companion.core.settings import MASKS, NAMES, Settings
from companion.core.train import train
from companion.sweeps.measures import METRICS, measure
from companion.sweeps.runs import settings_in, write_runs
from companion.sweeps.sweep import ENGINES, OPTIONS, run_sweep

SMALL = {"masks": ["000", "111"], "sizes": [3, 5], "seeds": [1, 2], "steps": 20}
NUMBERS = list(METRICS)


@pytest.fixture(scope="module")
def small() -> pd.DataFrame:
    return run_sweep(**SMALL)


def close(left: pd.DataFrame, right: pd.DataFrame) -> None:
    """Tables with the same rows, numbers and lists up to the rounding of one batch size against another."""
    keys = ["mask", "size", "seed"]
    left, right = (table.sort_values(keys).reset_index(drop=True) for table in (left, right))
    pd.testing.assert_frame_equal(left[keys], right[keys])
    for column in [*NUMBERS, "c"]:
        np.testing.assert_allclose(left[column], right[column], rtol=1e-9, atol=1e-12)
    for column in "xywba":
        for one, other in zip(left[column], right[column], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_rows_are_ordered_by_mask_then_size_then_seed(small):
    expected = [(mask, size, seed) for mask in ("000", "111") for size in (3, 5) for seed in (1, 2)]
    assert list(small[["mask", "size", "seed"]].itertuples(index=False, name=None)) == expected


def test_a_row_holds_the_trained_run_and_its_measures(small):
    row = small.iloc[-1]
    x, y = sample_task(5, 2)
    trained = train(x, y, initial_parameters(5, 2), Settings("111", steps=20)).parameters
    np.testing.assert_array_equal(row["x"], x)
    for name, value in trained._asdict().items():
        np.testing.assert_allclose(row[name], value, rtol=1e-9, atol=1e-12)
    measured = measure(x[None], y[None], Parameters(*(value[None] for value in trained)))
    assert {name: row[name] for name in NUMBERS} == pytest.approx(
        {name: v.item() for name, v in measured.items()}, rel=1e-9
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_the_attractor_its_balance_and_the_annealing_reach_the_training(engine):
    settings = {"attractor": "transport", "balance": 3.0, "anneal": True}
    row = run_sweep(masks=["111"], sizes=[5], seeds=[2], steps=20, engine=engine, **settings).iloc[0]
    assert {name: row[name] for name in settings} == settings
    trained = train(*sample_task(5, 2), initial_parameters(5, 2), Settings("111", steps=20, **settings)).parameters
    np.testing.assert_allclose(row["w"], trained.w, rtol=1e-9, atol=1e-12)
    for name, other in {"attractor": "chamfer", "balance": 1.0, "anneal": False}.items():
        changed = run_sweep(masks=["111"], sizes=[5], seeds=[2], steps=20, engine=engine, **(settings | {name: other}))
        assert np.abs(changed["w"][0] - row["w"]).max() > 1e-6


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("target", TARGETS)
def test_the_points_of_a_sweep_lie_on_its_target(target, engine):
    row = run_sweep(masks=["111"], sizes=[20], seeds=[2], steps=20, engine=engine, target=target).iloc[0]
    x, y = sample_task(20, 2, target)
    assert row["target"] == target and row["y"].tolist() == y.tolist() and row["x"].tolist() == x.tolist()
    trained = train(x, y, initial_parameters(20, 2), Settings("111", steps=20)).parameters
    np.testing.assert_allclose(row["a"], trained.a, rtol=1e-9, atol=1e-12)


def test_masks_of_a_seed_share_data_and_start():
    start = run_sweep(masks=list(MASKS), sizes=[4], seeds=[7], steps=0)
    for column in "xywba":
        assert len({tuple(values) for values in start[column]}) == 1
    np.testing.assert_array_equal(start["w"][0], initial_parameters(4, 7).w)


def test_a_run_does_not_depend_on_the_rest_of_the_sweep(small):
    wide = run_sweep(masks=["111", "010", "000"], sizes=[5, 4, 3], seeds=[9, 2, 1], steps=20)
    shared = wide[wide["mask"].isin(["000", "111"]) & wide["size"].isin([3, 5]) & wide["seed"].isin([1, 2])]
    close(shared, small)


def test_an_executor_gives_the_same_table(small):
    with ThreadPoolExecutor(2) as executor:
        pd.testing.assert_frame_equal(run_sweep(**SMALL, executor=executor), small)


def shuffled(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["mask", "size", "seed"]).reset_index(drop=True)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_the_fast_engine_gives_the_same_bits_in_any_chunks_and_order(batch, monkeypatch):
    design = {"masks": ["000", "011", "111"], "sizes": [3, 20], "seeds": [5, 1, 4, 2, 3], "steps": 50}
    expected = shuffled(run_sweep(**design))
    monkeypatch.setitem(ENGINES, "fast", ENGINES["fast"]._replace(batch=lambda size, steps: batch))
    again = run_sweep(**{name: given[::-1] if name != "steps" else given for name, given in design.items()})
    pd.testing.assert_frame_equal(shuffled(again), expected, check_exact=True)


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_the_fast_engine_gives_the_same_bits_on_any_number_of_threads(workers, monkeypatch):
    monkeypatch.setitem(ENGINES, "fast", ENGINES["fast"]._replace(batch=lambda size, steps: 1))
    design = {"masks": ["010", "101"], "sizes": [3, 20], "seeds": range(8), "steps": 50}
    with ThreadPoolExecutor(workers) as executor:
        pd.testing.assert_frame_equal(run_sweep(**design, executor=executor), run_sweep(**design), check_exact=True)


def test_the_engines_agree(small):
    close(run_sweep(**SMALL, engine="torch").assign(engine="fast"), small)


def test_the_fast_engine_is_used_where_it_can_be(small):
    assert set(small["engine"]) == {"fast"} and set(run_sweep(**SMALL, dtype="float32")["engine"]) == {"torch"}


def test_single_precision_trains_in_single_precision(small):
    single = run_sweep(**SMALL, dtype="float32")
    assert all(np.float32(value) == value for values in single["w"] for value in values)
    np.testing.assert_allclose(single["fit_mse"], small["fit_mse"], rtol=1e-3)


def test_a_run_that_is_not_finite_keeps_its_row():
    tasks, starts = zip(*((sample_task(3, seed), initial_parameters(3, seed)) for seed in range(4)), strict=True)
    x, y = (torch.stack(column) for column in zip(*tasks, strict=True))
    whole = Parameters(*(torch.stack(column) for column in zip(*starts, strict=True)))
    broken = Parameters(*(value.clone() for value in whole))
    broken.w[0, 1] = 0.0  # an infinite prototype
    broken.a[1, 2] = torch.nan
    broken.c[3] = torch.inf
    for name, values in measure(x, y, broken).items():
        assert np.isnan(values).tolist() == [True, True, False, True]
        assert values[2] == measure(x, y, whole)[name][2]


def test_one_run_without_its_dimension_is_not_measured():
    x, y = sample_task(3, 1)
    with pytest.raises(ValueError, match=r"shapes: .*y \(3,\).* were given; allowed are .*y \(runs, samples\)"):
        measure(x, y, initial_parameters(3, 1))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"masks": ["012"]}, "masks: '012' was given; allowed are '000'"),
        ({"masks": "000"}, "masks: '000' was given; allowed is a list"),
        ({"masks": []}, "masks: .* at least 1"),
        ({"sizes": [3, 1]}, "sizes: 1 was given; allowed are whole numbers from 2 to 100000"),
        ({"sizes": 3}, "sizes: 3 was given; allowed is a list"),
        ({"seeds": [1, 1]}, "seeds: .* no value twice"),
        ({"seeds": [-1]}, "seeds: -1"),
        ({"seeds": [2**63]}, r"seeds: 9223372036854775808 was given; allowed .* 9223372036854775807"),
        ({"strength": -1}, "strength: -1"),
        ({"strength": float("nan")}, "strength: nan"),
        ({"temperature": 0}, "temperature: 0 was given; allowed are finite numbers above 0"),
        ({"attractor": "gravity"}, "attractor: 'gravity' was given; allowed are 'coverage', 'chamfer', 'transport'"),
        ({"balance": -1}, "balance: -1"),
        ({"anneal": "yes"}, "anneal: 'yes' was given; allowed are True and False"),
        ({"target": "cosine"}, "target: 'cosine' was given; allowed are 'sine', 'line', 'step', 'chirp'"),
        ({"steps": 1.5}, "steps: 1.5"),
        ({"engine": "numpy"}, "engine: 'numpy' was given; allowed are 'fast', 'torch'"),
        ({"engine": "fast", "dtype": "float32"}, "engine: 'fast' was given with device 'cpu' and dtype 'float32'"),
        ({"dtype": "float16"}, "dtype: 'float16'"),
        ({"device": "gpu"}, "device: 'gpu' was given"),
    ],
)
def test_bad_input_is_named(change, says):
    with pytest.raises(ValueError, match=says):
        run_sweep(**(SMALL | change))


def test_written_runs_come_back_with_their_versions(small, tmp_path):
    path = write_runs(small, tmp_path / "runs.parquet")
    back = pd.read_parquet(path)
    close(back, small)
    assert back.attrs["versions"]["torch"] == version("torch")
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_file_that_was_there(small, tmp_path):
    path = tmp_path / "runs.parquet"
    path.write_bytes(b"before")
    with pytest.raises(Exception, match="object"):
        write_runs(small.assign(bad=[object()] * len(small)), path)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("out", "says"),
    [("runs.csv", "ends in .parquet"), ("nowhere/runs.parquet", "allowed is a file in an existing folder")],
)
def test_a_bad_path_is_named(small, tmp_path, out, says):
    with pytest.raises(ValueError, match=f"^out: .*{says}"):
        write_runs(small, tmp_path / out)


def papermill(folder: Path, *arguments: str, stem: str = "sweep") -> subprocess.CompletedProcess:
    """Run the sweep's notebook as the README does, with `folder` as the place of its files; or another sweep's."""
    return subprocess.run(papermill_command(folder, *arguments, stem=stem), capture_output=True, text=True)


def papermill_command(folder: Path, *arguments: str, stem: str = "sweep") -> list:
    notebook = ROOT / f"chapters/{stem}.ipynb"
    return [sys.executable, "-m", "papermill", notebook, folder / "out.ipynb", "--cwd", folder, *arguments]


@pytest.mark.long
def test_papermill_runs_the_readme_s_example(tmp_path):
    arguments = ["-y", "sizes: [3, 5]", "-y", "seeds: [1, 2]", "-p", "out", "small.parquet"]
    done = papermill(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert " ".join(f'"{word}"' if ":" in word else word for word in arguments) in readme
    runs = pd.read_parquet(tmp_path / "small.parquet")
    assert len(runs) == 8 * 2 * 2 and (runs["steps"] == 2000).all()
    assert "32/32" in (tmp_path / "out.ipynb").read_text(encoding="utf-8"), "no progress bar"


@pytest.mark.slow
def test_papermill_reads_lists_given_as_text(tmp_path, small):
    lists = ["-p", "masks", "['000', '111']", "-p", "sizes", "[3, 5]", "-p", "seeds", "[1, 2]"]
    done = papermill(tmp_path, *lists, "-p", "steps", "20", "-y", "temperature: [1.0e-4, 1.0e-2]")
    assert done.returncode == 0, done.stderr
    runs = pd.read_parquet(tmp_path / "replication.parquet")
    assert sorted(runs["temperature"].unique()) == [1e-4, 1e-2]
    close(runs[runs["temperature"] == 1e-4], small)


@pytest.mark.slow
def test_papermill_goes_on_where_it_was_stopped(tmp_path):
    """Killed with its kernel after some parts are written; the same command then trains what is missing."""
    design = {"masks": ["000", "111"], "sizes": [60], "seeds": list(range(60)), "steps": 3000}
    arguments = [part for name, given in design.items() for part in ("-y", f"{name}: {json.dumps(given)}")]
    arguments += ["-p", "store", "kept", "-p", "out", "runs.parquet"]
    parts = tmp_path / "kept"
    running = subprocess.Popen(papermill_command(tmp_path, *arguments), stderr=subprocess.DEVNULL)
    while not (written := list(parts.glob("[!.]*.parquet"))):  # a part that is being written has a name with a dot
        assert running.poll() is None
        time.sleep(0.05)
    for process in [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]:
        process.kill()
    running.wait()
    assert not (tmp_path / "runs.parquet").exists()
    before = {path: path.stat().st_mtime_ns for path in written}
    done = papermill(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    runs = pd.read_parquet(tmp_path / "runs.parquet")
    columns = [name for name in runs.columns if name not in "xywba"]
    pd.testing.assert_frame_equal(runs[columns], run_sweep(**design)[columns], check_exact=True)


def notebook(folder: Path, monkeypatch: pytest.MonkeyPatch, stem: str = "sweep", /, **parameters: object) -> None:
    """Do what papermill does with a sweep's notebook, without the kernel that takes seconds to start."""
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    for cell in parameterize_notebook(load_notebook_node(str(ROOT / f"chapters/{stem}.ipynb")), parameters).cells:
        if cell.cell_type == "code":
            exec(cell.source, names)


@pytest.mark.parametrize(
    "lists",
    [
        {"temperature": [1e-4, 1e-2]},
        {"strength": [1, 0.5], "temperature": [1e-4, 1e-2]},
        {"attractor": ["chamfer", "transport"], "balance": [1, 10]},
        {"strength": 0.5, "attractor": "transport", "anneal": True, "target": "line"},
    ],
    ids=" ".join,
)
def test_the_notebook_keeps_every_combination_of_settings_in_one_store(tmp_path, monkeypatch, lists):
    small = {"masks": ["001"], "sizes": [3], "seeds": [1], "steps": 5}
    notebook(tmp_path, monkeypatch, **small, **lists, store="kept")
    given = {name: values if isinstance(values, list) else [values] for name, values in lists.items()}
    expected = [Settings("001", steps=5, **dict(zip(given, row, strict=True))) for row in product(*given.values())]
    runs = pd.read_parquet(tmp_path / "replication.parquet")
    assert settings_in(runs) == expected and len(runs) == len(expected)
    kept = {path.name.split("-")[1] for path in (tmp_path / "kept").glob("*.parquet")}
    assert kept == {settings.key for settings in expected}


def test_the_notebook_s_parameters_are_settings_and_nominal():
    cells = load_notebook_node(str(ROOT / "chapters/sweep.ipynb")).cells
    names: dict[str, object] = {}
    exec(next(cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])), names)
    given = {name: value for name, value in names.items() if name in NAMES}
    assert Settings.of(given) == Settings() and {"strength", "temperature", "attractor", "steps"} <= set(given)
    options = (
        set(names) - set(given) - {"__builtins__", "masks", "sizes", "seeds", "workers", "scheduler", "out", "weights"}
    )
    assert options <= set(OPTIONS)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"masks": ["000", "012"]}, "masks: '012' was given; allowed are '000'"),
        ({"sizes": [1]}, "sizes: 1 was given; allowed are whole numbers from 2 to 100000"),
        ({"temperature": 0}, "temperature: 0 was given; allowed are finite numbers above 0"),
        ({"strength": [1.0, -1.0]}, "strength: -1.0 was given; allowed are finite numbers of at least 0"),
        ({"attractor": "gravity"}, "attractor: 'gravity' was given; allowed are 'coverage', 'chamfer'"),
        ({"target": "cosine"}, "target: 'cosine' was given; allowed are 'sine', 'line', 'step', 'chirp'"),
        ({"engine": "jax"}, "engine: 'jax' was given; allowed are 'fast', 'torch'"),
        ({"workers": 0}, "workers: 0 was given; allowed are whole numbers from 1 to 128"),
        ({"store": "no/such"}, "no/such' was given; allowed is a folder, or a new one in a folder"),
        ({"out": "runs.csv"}, "out: 'runs.csv' was given; allowed is a path that ends in .parquet"),
    ],
)
def test_a_wrong_parameter_stops_the_notebook_and_leaves_the_file(tmp_path, monkeypatch, given, says):
    (tmp_path / "replication.parquet").write_bytes(b"before")
    with pytest.raises(ValueError, match=re.escape(says)):
        notebook(tmp_path, monkeypatch, **given)
    assert (tmp_path / "replication.parquet").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["replication.parquet"]


@pytest.mark.long
def test_papermill_ends_with_what_was_wrong(tmp_path):
    done = papermill(tmp_path, "-y", "masks: ['000', '012']", "-p", "workers", "1")
    assert done.returncode != 0 and "ValueError: masks: '012' was given; allowed are '000'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.ipynb"]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_step_size_reaches_the_training_and_its_column(engine):
    few = {"masks": ["111"], "sizes": [5], "seeds": [2], "steps": 20, "engine": engine}
    row = run_sweep(**few, step_size=0.05).iloc[0]
    trained = train(*sample_task(5, 2), initial_parameters(5, 2), Settings(mask="111", steps=20, step_size=0.05))
    np.testing.assert_allclose(row["w"], trained.parameters.w, rtol=1e-9, atol=1e-12)
    assert row["learning_rate"] == 0.05 and run_sweep(**few)["learning_rate"][0] == 0.01


def test_settings_may_be_given_as_one_record_by_name_or_both():
    few = {"masks": ["011", "111"], "sizes": [4], "seeds": [3, 1]}
    record = Settings(temperature=1e-3, attractor="chamfer", steps=7)
    by_name = run_sweep(**few, temperature=1e-3, attractor="chamfer", steps=7)
    pd.testing.assert_frame_equal(run_sweep(record, **few), by_name, check_exact=True)
    both = run_sweep(record.but(steps=9, anneal=True), **few, steps=7, anneal=False)
    pd.testing.assert_frame_equal(both, by_name, check_exact=True)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("neuron", ["radial", "ridge"])
def test_a_sweep_may_be_of_more_dimensions(neuron, engine):
    settings = Settings(neuron=neuron, dimension=2, density="bell", target="diagonal", steps=9, temperature=0.01)
    columns = ["neuron", "dimension", "density", *"xywbac", *NUMBERS]
    row = run_sweep(settings, masks=["111"], sizes=[6], seeds=[4], engine=engine, columns=columns).iloc[0]
    assert row[:3].to_list() == [neuron, 2, "bell"]
    x, y, start = starting_batch(6, [4], settings)
    trained = train(x, y, start, settings.but(mask="111")).parameters
    for name, value in {"x": x, "y": y, **trained._asdict()}.items():
        np.testing.assert_allclose(
            row[name], value.squeeze(0).reshape(-1 if name != "c" else ()), rtol=1e-8, atol=1e-11
        )
    for name, value in measure(x, y, trained, neuron).items():
        assert row[name] == pytest.approx(value.item(), rel=1e-8)
