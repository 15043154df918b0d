"""The multiverse: its axes are those that were fixed first, its samples stay, and a universe's runs are its own."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from conftest import ROOT, posix
from test_sweep import notebook, papermill

from companion.core.settings import MASKS, Settings
from companion.sweeps import universes as of_universes
from companion.sweeps.measures import METRICS, READINGS
from companion.sweeps.store import Group, Store
from companion.sweeps.sweep import PAPER_SIZES, run_groups
from companion.sweeps.universes import (
    AXES,
    FINER,
    MEASURED,
    MOST,
    NOMINAL,
    SAMPLINGS,
    SEEDS,
    TRANSPORT,
    Level,
    Universe,
    parts_of,
    run_universes,
    universes,
)

TABLE: dict[str, dict[str, dict[str, Any]]] = {
    "inputs": {"random": {}, "grid": {"inputs": "grid"}},
    "target": {
        "sine": {},
        "line": {"target": "line"},
        "step": {"target": "step"},
        "chirp": {"target": "chirp"},
        "labels": {"target": "labels"},
    },
    "activation": {"exp(-z²)": {}, "exp(-z²/2)": {"activation": "exp(-z²/2)"}},
    "initialisation": {
        "uniform-10": {},
        "uniform-1": {"initialisation": "uniform-1"},
        "uniform-3": {"initialisation": "uniform-3"},
        "normal-1": {"initialisation": "normal-1"},
        "normal-5": {"initialisation": "normal-5"},
        "uniform-N": {"initialisation": "uniform-N"},
        "data-5": {"initialisation": "data-5"},
        "data-N": {"initialisation": "data-N"},
    },
    "coverage": {
        "soft minimum": {},
        "nearest prototype": {"coverage_form": "nearest prototype"},
        "largest response": {"coverage_form": "largest response"},
        "soft assignment": {"coverage_form": "soft assignment"},
    },
    "separation": {
        "exp(-d²/τ)": {},
        "exp(-d/√τ)": {"separation_form": "exp(-d/√τ)"},
        "1/(1+d²/τ)": {"separation_form": "1/(1+d²/τ)"},
        "nearest neighbour": {"separation_form": "nearest neighbour"},
    },
    "overlap": {
        "product": {},
        "cosine": {"overlap_form": "cosine"},
        "squared Gram": {"overlap_form": "squared Gram"},
        "squared covariance": {"overlap_form": "squared covariance"},
    },
    "reduction": {"mean": {}, "sum": {"reduction": "sum"}},
    "λ": {
        "1": {},
        "0.01": {"strength": 0.01},
        "0.1": {"strength": 0.1},
        "10": {"strength": 10.0},
        "gradient-matched": {"matched": True},
    },
    "τ": {
        "0.0001": {},
        "0.001": {"temperature": 1e-3},
        "0.01": {"temperature": 1e-2},
        "0.1": {"temperature": 1e-1},
        "1/N²": {"temperature": 1 / 400},
    },
    "optimiser": {
        "Adam, 0.01": {},
        "Adam, 0.001": {"step_size": 0.001},
        "momentum": {"optimiser": "momentum", "step_size": 1.0},
    },
    "steps": {"2,000": {}, "500": {"steps": 500}, "5,000": {"steps": 5000}, "20,000": {"steps": 20_000}},
}
"""The axes and their levels as they were fixed before any run, the nominal one first: what each changes at N = 20."""


# --- axes ---


def test_the_axes_are_those_that_were_fixed_first():
    assert {axis: [level.name for level in levels] for axis, levels in AXES.items()} == {
        axis: list(levels) for axis, levels in TABLE.items()
    }
    assert list(AXES) == list(TABLE)


@pytest.mark.parametrize("axis", TABLE)
def test_a_level_changes_what_its_name_says_and_nothing_else(axis):
    for level, changes in zip(AXES[axis], TABLE[axis].values(), strict=True):
        one = NOMINAL.but(**{axis: level})
        for mask in MASKS:
            assert one.settings(mask, 20) == Settings.of({"mask": mask} | changes)
        assert one.names == NOMINAL.names | {axis: level.name}


def test_the_nominal_universe_is_the_book_s_choice():
    for size in PAPER_SIZES:
        assert NOMINAL.settings("010", size) == Settings("010")
    assert list(NOMINAL.names.values()) == [next(iter(levels)) for levels in TABLE.values()]


@pytest.mark.parametrize("size", PAPER_SIZES)
def test_a_temperature_may_fall_with_the_size(size):
    coldest = NOMINAL.but(τ=AXES["τ"][-1]).settings("001", size).temperature
    assert coldest == pytest.approx(1 / size**2, rel=1e-15)
    assert (coldest == Settings().temperature) == (size == 100), "so two universes share their runs there"


def test_the_finer_levels_are_half_decades_through_the_nominal_ones():
    expected = {"λ": ("strength", np.logspace(-2, 2, 9)), "τ": ("temperature", np.logspace(-5, -1, 9))}
    for axis, (name, numbers) in expected.items():
        found = [level.at(20)[name] for level in FINER[axis]]
        np.testing.assert_allclose(found, numbers, rtol=1e-14)
        assert getattr(Settings(), name) in found and len({level.name for level in FINER[axis]}) == 9


# --- samples ---

FILES = {
    path.stem: {"number": 1024, "axes": list(AXES), **yaml.safe_load(path.read_text(encoding="utf-8"))}
    for path in sorted((ROOT / "data").glob("multiverse-*.yaml"))
}
"""The parameters of the sweeps."""


def names_of(sample: list[Universe]) -> list[tuple[str, ...]]:
    return [tuple(one.names.values()) for one in sample]


def test_the_samples_are_as_large_as_was_said():
    samples = {name: universes(one["sampling"], one["axes"], one["number"]) for name, one in FILES.items()}
    assert {name: len(sample) for name, sample in samples.items()} == {
        "multiverse-sobol": 1024,
        "multiverse-neighbours": 37,
        "multiverse-strength-temperature": 81,
        "multiverse-start-overlap": 32,
        "multiverse-transport": 128,
        "multiverse-separation-temperature": 36,
    }
    runs = 8 * 6 * 10
    assert len(MASKS) * len(PAPER_SIZES) * len(SEEDS) == runs and SEEDS == tuple(range(7000, 7010))
    whole = [name for name in samples if "masks" not in FILES[name]]
    assert sum(len(samples[name]) for name in whole) == 1174 and 1174 * runs == 563_520
    assert all(len(set(names_of(sample))) == len(sample) for sample in samples.values())


def test_the_parameter_files_write_the_design_that_was_said():
    for name, given in FILES.items():
        assert given["out"] == name and set(given) <= {"sampling", "axes", "number", "masks", "part", "out", "workers"}
        assert given.get("part", 128) == 128


def codes(sample: list[Universe]) -> np.ndarray:
    """Of each universe the place of its level on each axis."""
    places = [{level.name: place for place, level in enumerate(levels)} for levels in AXES.values()]
    return np.array([[of[name] for of, name in zip(places, row, strict=True)] for row in names_of(sample)], np.uint8)


def test_the_sobol_sample_is_the_same_for_ever():
    """A SciPy that scrambles in another way would give universes of the same numbers that are others."""
    found = codes(universes("sobol"))
    assert found.shape == (1024, 12)
    assert hashlib.sha256(found.tobytes()).hexdigest()[:16] == "b0bd254d8ff127aa"
    assert found[0].tolist() == [1, 1, 1, 5, 3, 1, 3, 1, 1, 2, 2, 1]


@pytest.mark.parametrize("number", [1, 2, 3, 100, 512, 1000])
def test_a_shorter_sample_begins_the_longer_ones(number):
    assert names_of(universes("sobol", number=number)) == names_of(universes("sobol"))[:number]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", [1, 3, 1000, 2000])
def test_no_length_is_warned_of(number):
    assert len(universes("sobol", number=number)) == number


@pytest.mark.parametrize("number", [128, 512, 1024])
def test_every_level_is_drawn_as_often_as_the_others_on_its_axis(number):
    found = codes(universes("sobol", number=number))
    for column, levels in zip(found.T, AXES.values(), strict=True):
        counts = np.bincount(column, minlength=len(levels))
        # One point lies in each of `number` equal parts of the axis; each end of a level may cut one of them.
        assert np.abs(counts - number / len(levels)).max() < (1e-9 if number % len(levels) == 0 else 2)


def test_pairs_of_levels_are_spread_too():
    """Each pair of axes by chi-square over its cells: far below what chance gives."""
    found = codes(universes("sobol"))
    ratios = []
    for one in range(12):
        for other in range(one):
            table = pd.crosstab(found[:, one], found[:, other]).to_numpy()
            expected = 1024 / prod(len(list(AXES.values())[axis]) for axis in (one, other))
            assert table.min() > 0.5 * expected and table.max() < 1.5 * expected
            ratios.append(((table - expected) ** 2 / expected).sum() / (table.size - sum(table.shape) + 1))
    assert len(ratios) == 66 and np.mean(ratios) < 0.5


def test_neighbours_differ_from_the_nominal_universe_on_one_axis():
    sample = universes("neighbours")
    assert sample[0] == NOMINAL
    changed = [[axis for axis in AXES if one.names[axis] != NOMINAL.names[axis]] for one in sample[1:]]
    assert all(len(axes) == 1 for axes in changed)
    assert [axes[0] for axes in changed] == [axis for axis, levels in TABLE.items() for _ in range(len(levels) - 1)]


def test_grids_have_every_combination_and_are_nominal_otherwise():
    grid = universes("grid", ["initialisation", "overlap"])
    found = [(one.names["initialisation"], one.names["overlap"]) for one in grid]
    assert found == [(start, overlap) for start in TABLE["initialisation"] for overlap in TABLE["overlap"]]
    finer = universes("finer grid", ["λ", "τ"])
    settings = [one.settings("111", 20) for one in finer]
    assert len(set(settings)) == 81 and settings.count(Settings("111")) == 1
    assert {one.but(strength=1.0, temperature=1e-4) for one in settings} == {Settings("111")}
    for one in grid:
        assert {axis for axis in AXES if one.names[axis] != NOMINAL.names[axis]} <= {"initialisation", "overlap"}
    assert names_of(universes("finer grid", ["reduction"])) == names_of(universes("grid", ["reduction"]))


def test_transport_takes_the_place_of_each_universe_s_coverage():
    for one, other in zip(universes("sobol, transport", number=128), universes("sobol"), strict=False):
        assert one == other.but(coverage=TRANSPORT)
        settings = one.settings("111", 20)
        assert settings.attractor == "transport"
        assert settings == other.settings("111", 20).but(attractor="transport", coverage_form="soft minimum")


def test_axes_that_do_not_vary_stay_nominal():
    for one in universes("sobol", ["τ", "steps"], 40):
        assert {axis for axis in AXES if one.names[axis] != NOMINAL.names[axis]} <= {"τ", "steps"}
    assert len(universes("neighbours", ["reduction"])) == 2 and len(universes("neighbours", number=5)) == 5


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sampling": "random"}, "sampling: 'random' was given; allowed are 'sobol', 'sobol, transport', "),
        ({"axes": ["colour"]}, "axes: 'colour' was given; allowed are 'inputs', 'target'"),
        ({"axes": []}, "axes: [] was given; allowed is a list of at least 1"),
        ({"axes": ["τ", "τ"]}, "axes: ['τ', 'τ'] was given; allowed is a list that holds no value twice"),
        ({"axes": "τ"}, "axes: 'τ' was given; allowed is a list"),
        ({"number": 0}, f"number: 0 was given; allowed are whole numbers from 1 to {MOST}"),
        ({"number": MOST + 1}, "number: 65537 was given"),
        ({"number": 2.0}, "number: 2.0 was given"),
    ],
)
def test_what_is_no_sample_is_named(given, says):
    with pytest.raises(ValueError, match="^" + re.escape(says)):
        universes(**{"sampling": "sobol"} | given)


# --- files ---


def test_parts_are_named_by_their_first_universe_and_keep_the_numbers():
    sample = universes("sobol", number=10)
    files = parts_of(sample, "some", 4)
    assert {name: list(part) for name, part in files.items()} == {
        "some-0000.parquet": [0, 1, 2, 3],
        "some-0004.parquet": [4, 5, 6, 7],
        "some-0008.parquet": [8, 9],
    }
    assert all(one == sample[number] for part in files.values() for number, one in part.items())
    assert parts_of(sample, "some", 4, [2, 0]) == {name: files[name] for name in (*files,)[::2]}
    assert list(parts_of(sample, "some", 4, [2, 0])) == ["some-0008.parquet", "some-0000.parquet"]
    assert list(parts_of(sample, "some", 100)) == ["some-0000.parquet"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"part": 0}, "part: 0 was given; allowed are whole numbers of at least 1"),
        ({"parts": [3]}, "parts: 3 was given; allowed are whole numbers from 0 to 2"),
        ({"parts": [-1]}, "parts: -1 was given"),
        ({"parts": [1, 1]}, "parts: [1, 1] was given; allowed is a list that holds no value twice"),
        ({"parts": ["1"]}, "parts: '1' was given"),
    ],
)
def test_what_is_no_part_is_named(given, says):
    with pytest.raises(ValueError, match="^" + re.escape(says)):
        parts_of(universes("sobol", number=10), "some", **{"part": 4} | given)


# --- runs ---

FEW = {"masks": ["000", "111"], "sizes": [3, 5], "seeds": [7001, 7000]}


def short(**levels: Level | str) -> Universe:
    """The nominal universe with other levels, by name, and few steps."""
    given = {axis: next(one for one in AXES[axis] if one.name == name) for axis, name in levels.items()}
    return NOMINAL.but(steps=Level("20", {"steps": 20}), **given)


SHORT = {7: short(overlap="cosine"), 2: short(), 9: short(optimiser="momentum", λ="gradient-matched", inputs="grid")}
"""Universes with numbers that do not follow one another."""


@pytest.fixture(scope="module")
def few() -> pd.DataFrame:
    return run_universes(SHORT, **FEW)


def test_a_row_is_a_run_in_the_order_of_the_arguments(few):
    expected = [(u, m, n, s) for u in (7, 2, 9) for m in FEW["masks"] for n in FEW["sizes"] for s in FEW["seeds"]]
    assert list(few[["universe", "mask", "size", "seed"]].itertuples(index=False, name=None)) == expected
    assert list(few) == ["universe", "mask", "size", "seed", *MEASURED] and MEASURED == (*METRICS, *READINGS)
    assert (few[[*MEASURED]].dtypes == np.float32).all() and few["universe"].dtype == np.int64
    assert few.attrs["versions"].keys() >= {"torch", "numpy", "numba", "companion"}


def test_a_row_holds_the_measures_of_its_settings(few):
    for number, one in SHORT.items():
        groups = [Group(one.settings(mask, size), size, (7001, 7000)) for mask in FEW["masks"] for size in FEW["sizes"]]
        alone = run_groups(groups, columns=MEASURED)
        assert (alone.dtypes == np.float64).all()
        here = few[few["universe"] == number]
        for name in MEASURED:
            assert here[name].tolist() == alone[name].astype(np.float32).tolist()


def test_universes_differ_where_their_levels_matter_and_share_runs_where_they_do_not(few):
    errors = {
        key: group["reconstruction_error"].tolist() for key, group in few.groupby(["universe", "mask"], sort=False)
    }
    assert errors[7, "000"] == errors[2, "000"] != errors[9, "000"], "without overlap its form does not matter"
    assert errors[7, "111"] != errors[2, "111"]


def test_runs_that_universes_share_are_trained_once(trained):
    pair = {0: short(), 1: short(τ="1/N²")}
    runs = run_universes(pair, masks=["001", "111"], sizes=[3, 100], seeds=[7000, 7001])
    groups = [batch.group for batch in trained]
    assert len(groups) == len(set(groups)) == 2 * 3, "at N = 100 both have τ = 1e-4"
    assert sum(len(group.seeds) for group in groups) == 12 and len(runs) == 16
    one, other = (
        runs[(runs["universe"] == number) & (runs["size"] == 100)].drop(columns="universe").reset_index(drop=True)
        for number in (0, 1)
    )
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    small = runs[(runs["size"] == 3) & (runs["mask"] == "001")]["position_error"].to_numpy().reshape(2, 2)
    assert (small[0] != small[1]).all()


def test_an_equal_universe_of_another_number_has_its_rows_too():
    runs = run_universes({3: short(), 8: short()}, **FEW)
    halves = [runs[runs["universe"] == number].drop(columns="universe").reset_index(drop=True) for number in (3, 8)]
    pd.testing.assert_frame_equal(*halves, check_exact=True)


def test_a_store_keeps_what_is_finished_and_only_the_rest_is_trained(few, trained, tmp_path):
    first = {7: SHORT[7]}
    run_universes(first, **FEW, store=tmp_path / "kept")
    trained.clear()
    pd.testing.assert_frame_equal(run_universes(SHORT, **FEW, store=tmp_path / "kept"), few, check_exact=True)
    done = [SHORT[7].settings(mask, size) for mask in FEW["masks"] for size in FEW["sizes"]]
    assert trained and not {batch.group.settings for batch in trained} & set(done)
    trained.clear()
    pd.testing.assert_frame_equal(run_universes(SHORT, **FEW, store=tmp_path / "kept"), few, check_exact=True)
    assert trained == []


def test_a_sweep_of_universes_that_is_stopped_goes_on(few, monkeypatch, tmp_path):
    add, seen = Store.add, []

    def stop(kept: Store, group: Group, runs: pa.Table) -> None:
        add(kept, group, runs)
        seen.append(group)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt) as caught:
        patched.setattr(Store, "add", stop)
        run_universes(SHORT, **FEW, store=tmp_path / "kept")
    assert "of 24 runs are finished and kept in" in caught.value.__notes__[0]
    pd.testing.assert_frame_equal(run_universes(SHORT, **FEW, store=tmp_path / "kept"), few, check_exact=True)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"masks": ["012"]}, "masks: '012' was given; allowed are '000'"),
        ({"masks": ["000", "000"]}, "masks: ['000', '000'] was given; allowed is a list that holds no value twice"),
        ({"sizes": [1]}, "sizes: 1 was given; allowed are whole numbers from 2 to 100000"),
        ({"seeds": [-1]}, "seeds: -1 was given"),
        ({"seeds": []}, "seeds: [] was given; allowed is a list of at least 1"),
        ({"engine": "jax"}, "engine: 'jax' was given; allowed are 'fast', 'torch'"),
    ],
)
def test_what_cannot_be_run_is_named_before_any_training(trained, given, says):
    with pytest.raises(ValueError, match="^" + re.escape(says)):
        run_universes(SHORT, **FEW | given)
    assert trained == []


@pytest.mark.long
def test_the_plain_engine_runs_universes_too(few):
    plain = run_universes(SHORT, **FEW, engine="torch")
    for name in MEASURED:
        np.testing.assert_allclose(plain[name], few[name], rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@posix
def test_a_dask_cluster_that_loses_a_worker_gives_the_same_universes(monkeypatch, tmp_path):
    distributed = pytest.importorskip("distributed")
    sample = {number: one.but(steps=AXES["steps"][1]) for number, one in enumerate(universes("sobol", number=6))}
    design = {"masks": ["000", "111"], "sizes": [3, 20], "seeds": [7000, 7001, 7002]}
    serial = run_universes(sample, **design)
    cluster = distributed.LocalCluster(2, threads_per_worker=1, processes=True, protocol="tcp", dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        assert all(address.startswith("tcp://") for address in client.scheduler_info()["workers"])
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
            table = run_universes(sample, **design, executor=executor, store=tmp_path / "runs")
        client.wait_for_workers(2, timeout=30)
        after = set(client.run(os.getpid).values())
    assert len(before) == 2 and victim not in after and len(finished) > 5
    pd.testing.assert_frame_equal(table, serial, check_exact=True)
    assert table.attrs == serial.attrs


# --- the notebook ---

TINY = {"sampling": "neighbours", "axes": ["reduction", "τ"], "part": 4, "masks": ["001"], "sizes": [3], "out": "tiny"}
TINY |= {"seeds": [7000, 7001]}


def test_the_notebook_writes_a_file_a_part(tmp_path, monkeypatch):
    notebook(tmp_path, monkeypatch, "multiverse-sweep", **TINY, store="kept")
    assert {path.name for path in tmp_path.glob("*.parquet")} == {"tiny-0000.parquet", "tiny-0004.parquet"}
    sample = universes("neighbours", ["reduction", "τ"])
    expected = run_universes(dict(enumerate(sample)), masks=["001"], sizes=[3], seeds=[7000, 7001])
    found = [pd.read_parquet(tmp_path / f"tiny-{first:04}.parquet") for first in (0, 4)]
    assert [sorted(set(one["universe"])) for one in found] == [[0, 1, 2, 3], [4, 5]]
    pd.testing.assert_frame_equal(pd.concat(found, ignore_index=True), expected, check_exact=True)
    assert all(one.attrs["versions"] == expected.attrs["versions"] for one in found)
    assert (found[0].dtypes[[*MEASURED]] == np.float32).all() and list((tmp_path / "kept").glob("*.parquet"))


def test_only_the_parts_asked_for_are_made_and_a_file_that_is_there_stays(tmp_path, monkeypatch, trained, capsys):
    notebook(tmp_path, monkeypatch, "multiverse-sweep", **TINY, parts=[1])
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-0004.parquet"]
    before = (tmp_path / "tiny-0004.parquet").read_bytes()
    trained.clear()
    capsys.readouterr()
    notebook(tmp_path, monkeypatch, "multiverse-sweep", **TINY | {"seeds": [1, 2, 3]})
    assert (tmp_path / "tiny-0004.parquet").read_bytes() == before
    assert {seed for batch in trained for seed in batch.group.seeds} == {1, 2, 3}
    assert capsys.readouterr().out.splitlines()[:2] == ["tiny-0000.parquet: 12 runs", "tiny-0004.parquet: 4 runs"]


def test_the_notebook_s_own_parameters_are_the_sobol_sample(tmp_path, monkeypatch):
    """Its cell of parameters alone, checked as a sweep with one part of one universe in it."""
    notebook(tmp_path, monkeypatch, "multiverse-sweep", part=1, parts=[3], masks=["000"], sizes=[3], seeds=[1])
    (path,) = tmp_path.glob("*.parquet")
    assert path.name == "multiverse-sobol-0003.parquet"
    design = {"masks": ["000"], "sizes": [3], "seeds": [1]}
    expected = run_universes({3: universes("sobol")[3]}, **design)
    pd.testing.assert_frame_equal(pd.read_parquet(path), expected, check_exact=True)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sampling": "random"}, "sampling: 'random' was given"),
        ({"axes": ["tau"]}, "axes: 'tau' was given; allowed are 'inputs'"),
        ({"number": 0}, "number: 0 was given"),
        ({"part": 0}, "part: 0 was given"),
        ({"parts": [2]}, "parts: 2 was given; allowed are whole numbers from 0 to 1"),
        ({"masks": ["012"]}, "masks: '012' was given"),
        ({"seeds": [-1]}, "seeds: -1 was given"),
        ({"out": "nowhere/tiny"}, "nowhere/tiny-0000.parquet' was given; allowed is a file in an existing folder"),
        ({"workers": 0}, "workers: 0 was given"),
        ({"store": "no/such"}, "no/such' was given; allowed is a folder"),
    ],
)
def test_a_wrong_parameter_stops_the_notebook_before_any_training(tmp_path, monkeypatch, trained, given, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        notebook(tmp_path, monkeypatch, "multiverse-sweep", **TINY | given)
    assert trained == [] and not list(tmp_path.iterdir())


@pytest.mark.long
def test_papermill_runs_it(tmp_path):
    arguments = ["-p", "sampling", "neighbours", "-p", "axes", "τ, reduction", "-p", "part", "3", "-p", "parts", "1"]
    arguments += ["-p", "masks", "001", "-p", "sizes", "3", "-p", "seeds", "7000", "-p", "out", "tiny"]
    done = papermill(tmp_path, *arguments, stem="multiverse-sweep")
    assert done.returncode == 0, done.stderr
    runs = pd.read_parquet(tmp_path / "tiny-0003.parquet")
    assert runs["universe"].tolist() == [3, 4, 5] and (runs["mask"] == "001").all()


# --- one more level ---

EDITS: dict[str, list[tuple[str, str]]] = {
    "core/settings.py": [
        ('    COVARIANCE = "squared covariance"\n', '    COVARIANCE = "squared covariance"\n    TOY = "toy"\n')
    ],
    "core/forms.py": [
        (
            "# --- overlap ---\n",
            '''# --- overlap ---


@form(OVERLAPS, OverlapForm.TOY, terms=lambda samples, neurons: samples)
def toy_overlap(responses: Tensor) -> Tensor:
    """Return mean_i (Σ_j h_ij)²."""
    return (responses.sum(-1) ** 2).mean(-1)
''',
        )
    ],
    "engine/steps.py": [("GRAM, COVARIANCE = numbers", "GRAM, COVARIANCE, TOY = numbers")],
    "engine/forms.py": [
        (
            "# --- of sorted prototypes ---\n",
            '''@njit(**OPTIONS)
def toy_overlap(run, factor):
    """Add the gradient of λ mean_i (Σ_j h_ij)²."""
    columns = run.positions.size
    for i in range(run.samples):
        sums = fill(0.0)
        for j in range(0, columns, WIDTH):
            sums = sums + load(run.responses, i * columns + j)
        run.row_sum[i] = total(sums)
    for j in range(0, columns, WIDTH):
        m0, m1, m2 = fill(0.0), fill(0.0), fill(0.0)
        for i in range(run.samples):
            term = load(run.responses, i * columns + j) * run.row_sum[i]
            term_x = term * run.x[i]
            m0, m1, m2 = m0 + term, m1 + term_x, fma(term_x, run.x[i], m2)
        add_moments(run, j, (m0 * factor, m1 * factor, m2 * factor))


# --- of sorted prototypes ---
''',
        )
    ],
    "engine/line.py": [
        ("    response_coverage,\n)", "    response_coverage,\n    toy_overlap,\n)"),
        ("    SOFT_ASSIGNMENT,\n    TRANSPORT,\n", "    SOFT_ASSIGNMENT,\n    TOY,\n    TRANSPORT,\n"),
        (
            "    elif form == COVARIANCE:\n",
            "    elif form == TOY:\n        toy_overlap(run, 2.0 * factor / samples)\n    elif form == COVARIANCE:\n",
        ),
    ],
}
"""All that one more overlap needs: a level, its formula, and its kernel with a number and a branch."""

FINDS = """
import sys
from pathlib import Path

import pandas as pd
import torch
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

import companion
from companion.core.losses import total_loss
from companion.core.network import Parameters, starting_batch
from companion.core.settings import NAMES, Settings
from companion.core.train import train
from companion.engine import driver
from companion.sweeps.universes import AXES, NOMINAL, run_universes, universes

assert Path(companion.__file__).is_relative_to(Path.cwd())
toy = Settings("100", overlap_form="toy")
assert toy.text == '{"mask": "100", "overlap_form": "toy"}' and Settings.parse(toy.text) == toy
assert toy.label == Settings("100").label == "100" and toy.key != Settings("100").key
assert Settings.but(toy, overlap_form="cosine").overlap_form == "cosine"

for change in ({}, {"reduction": "sum"}, {"matched": True}, {"mask": "111", "activation": "exp(-z²/2)"}):
    for size in (3, 20):
        settings = toy.but(**change)
        x, y, start = starting_batch(size, [4], settings)
        x, y, start = x[0], y[0], Parameters(*(part[0] for part in start))
        leaves = Parameters(*(part.clone().requires_grad_() for part in start))
        total_loss(x, y, leaves, settings).backward()
        for one, leaf in zip(driver.gradient(x, y, start, settings), leaves, strict=True):
            assert float((one - leaf.grad).abs().max()) <= 1e-12 * float(leaf.grad.abs().max())
with torch.no_grad():
    h = torch.exp(-(x[:, None] * start.w + start.b) ** 2)
    sums = total_loss(x, y, start, toy.but(reduction="sum")) - total_loss(x, y, start, toy.but(mask="000"))
    torch.testing.assert_close(sums, (h.sum(-1) ** 2).sum())
batch = starting_batch(5, [1, 2], toy)
few = toy.but(steps=50)
for one, other in zip(train(*batch, few).parameters, driver.train(*batch, few).parameters, strict=True):
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)

level = AXES["overlap"][-1]
assert level.name == "toy" and NOMINAL.but(overlap=level).settings("100", 5) == toy
assert {one.names["overlap"] for one in universes("sobol", number=64)} >= {"toy", "product"}
design = {"masks": ["100"], "sizes": [3], "seeds": [7000]}
runs = run_universes({5: NOMINAL.but(overlap=level)}, **design, store="kept")
pd.testing.assert_frame_equal(run_universes({5: NOMINAL.but(overlap=level)}, **design, store="kept"), runs)
assert len(list(Path("kept").glob("*.parquet"))) == 1 and runs["fit_mse"].notna().all()

given = {**design, "sampling": "grid", "axes": ["overlap"], "out": "toy"}
names = {}
for cell in parameterize_notebook(load_notebook_node(sys.argv[1]), given).cells:
    if cell.cell_type == "code":
        exec(cell.source, names)
written = pd.read_parquet("toy-0000.parquet")
assert written["universe"].tolist() == [0, 1, 2, 3, 4]
assert written["fit_mse"][4] == runs["fit_mse"][0] != written["fit_mse"][0]
print("found everywhere")
"""


@pytest.mark.long
def test_a_level_more_is_a_line_a_formula_and_a_kernel(tmp_path):
    """Nothing else has a list of the levels: with these edits the settings, both engines, the axes, the store and the
    notebook know the new one."""
    shutil.copytree(ROOT / "companion", tmp_path / "companion", ignore=shutil.ignore_patterns("__pycache__"))
    for name, edits in EDITS.items():
        path: Path = tmp_path / "companion" / name
        text = path.read_text(encoding="utf-8")
        for before, after in edits:
            assert text.count(before) == 1, f"{name}: {before}"
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", FINDS, ROOT / "chapters/multiverse-sweep.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("found everywhere\n")


def test_each_sampling_is_reached_by_its_name():
    assert list(SAMPLINGS) == ["sobol", "sobol, transport", "neighbours", "grid", "finer grid"]
    assert {one["sampling"] for one in FILES.values()} == set(SAMPLINGS)
    assert of_universes.NUMBER == 1024 and len(universes("sobol")) == 1024
