"""Whatever a public function is given: a result, or one ValueError that names the argument and says what is allowed."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import pkgutil
import re
import signal
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import INPUTS, ROOT
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st
from inputs import batches, near, papermill_s, reals, runs, seeds, settings, sizes, strict, temperatures
from inputs import foreign as of_any_kind
from test_parameters import SWEEPS as NOTEBOOKS
from test_parameters import parameters_of, prepared
from test_sweep import notebook

from companion import core, engine, judging, sweeps
from companion.core import data, hull, losses, metrics, network, tables, train
from companion.core import settings as records
from companion.core.data import DENSITIES, TARGETS
from companion.core.network import Parameters
from companion.core.settings import MASKS, NAMES, Inputs, Neuron, Settings
from companion.engine import driver, lanes
from companion.judging import baselines, beyond, chance, ledger, paired, referee, verdicts
from companion.judging.claims import CLAIMS
from companion.sweeps import measures, parameters, store, sweep
from companion.sweeps import runs as of_runs
from companion.sweeps import universes as of_universes

pytestmark = pytest.mark.long
FEW = str(ROOT / "data/plain.parquet")
CASES = int(os.environ.get("INPUTS", "8"))
"""Generated cases a function; `make test-inputs` asks for more."""
SECONDS = 120
"""What takes longer hangs."""
PARTS = (
    *("runs", "x", "y", "differences", "statement", "statements", "size", "seeds", "argument", "setting", "settings"),
    *("fresh.sweep", "fresh.temperature", "seen.sweep", "seen.temperature"),
)
TOGETHER = ("shapes", "types")
"""Names that an error may give to parts of an argument, such as a column of runs; and to several arguments."""


class Case(NamedTuple):
    """A function with right arguments for it, by name."""

    function: Callable[..., Any]
    right: st.SearchStrategy[dict[str, Any]]


@st.composite
def shaped(draw: st.DrawFn, shapes: dict[str, str], **others: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Tensors of shapes such as "samples d" behind those of the runs, equal names of equal length; and other values."""
    leading, lengths = draw(runs), {}
    found = {}
    for name, shape in shapes.items():
        own = [lengths.setdefault(one, draw(st.integers(1, 4))) for one in shape.split()]
        found[name] = draw(reals(*leading, *own))
    return found | {name: draw(other) for name, other in others.items()}


def of(function: Callable[..., Any], **arguments: Any) -> Case:
    """A case of arguments that are each drawn alone; a text stands for a tensor's shape."""
    shapes = {name: one for name, one in arguments.items() if isinstance(one, str)}
    return Case(function, shaped(shapes, **{name: one for name, one in arguments.items() if name not in shapes}))


def of_batch(function: Callable[..., Any], *names: str, rename: dict[str, str] | None = None, **more: Any) -> Case:
    """A case of a batch of runs, of which the function takes some parts."""
    rename = rename or {}

    @st.composite
    def right(draw: st.DrawFn) -> dict[str, Any]:
        whole = draw(batches(more.get("leading", runs)))
        whole["neuron"] = whole["settings"].neuron
        others = {name: draw(one) for name, one in more.items() if name != "leading"}
        return {rename.get(name, name): whole[name] for name in names} | others

    return Case(function, right())


one_run, some_runs = st.just(()), st.sampled_from([(1,), (3,)])
records_of = st.sampled_from([(), (0,), [0], range(1)])
masks, targets = st.sampled_from(list(MASKS)), st.sampled_from(list(TARGETS))
densities, dimensions, draws = st.sampled_from(list(DENSITIES)), st.integers(1, 3), st.integers(1, 3)
neurons = st.sampled_from(list(Neuron))
four = {"x": "samples", "y": "samples", "prototypes": "samples", "values": "samples"}
four_in_space = {"x": "samples d", "y": "samples", "prototypes": "samples d", "values": "samples"}


def settings_of(**given: Any) -> Settings:
    return Settings.of(given)


CORE: dict[str, Case] = {
    "fit_loss": of(losses.fit_loss, prediction="samples", y="samples"),
    "coverage_loss": of(losses.coverage_loss, x="samples", prototypes="neurons", temperature=temperatures),
    "chamfer_loss": of(losses.chamfer_loss, x="samples", prototypes="neurons", temperature=temperatures),
    "transport_loss": of(losses.transport_loss, x="samples", prototypes="samples"),
    "soft_nearest": of(losses.soft_nearest, squared="candidates", temperature=temperatures),
    "soft_nearest_from_afar": of(losses.soft_nearest_from_afar, squared="candidates", temperature=temperatures),
    "separation_loss": of(losses.separation_loss, prototypes="neurons", temperature=temperatures),
    "mean_over_pairs": of(losses.mean_over_pairs, closeness="neurons neurons"),
    "overlap_loss": of(losses.overlap_loss, activations="samples neurons"),
    "matched_loss": of(losses.matched_loss, x="samples d", prototypes="samples d"),
    "total_loss": of_batch(losses.total_loss, "x", "y", "parameters", "settings", repulsion=st.floats(0, 1)),
    "activations": of(
        network.activations, x="samples", w="neurons", b="neurons", form=st.sampled_from(list(network.EXPONENTS))
    ),
    "in_nominal_activation": of_batch(
        network.in_nominal_activation, "parameters", form=st.sampled_from(list(network.EXPONENTS))
    ),
    "output": of(network.output, activations="samples neurons", a="neurons", c=""),
    "predict": of(network.predict, x="samples", w="neurons", b="neurons", a="neurons", c=""),
    "prototypes": of(network.prototypes, w="neurons", b="neurons"),
    "radial_activations": of(network.radial_activations, x="samples d", w="neurons d", b="neurons d"),
    "ridge_activations": of(network.ridge_activations, x="samples d", w="neurons d", b="neurons"),
    "ridge_prototypes": of(network.ridge_prototypes, w="neurons d", b="neurons", centre="d"),
    "squared_distances": of(network.squared_distances, p="p d", q="q d"),
    "require_batch": of_batch(network.require_batch, "x", "y", "parameters", "settings"),
    "require_startable": of(network.require_startable, size=sizes, settings=settings()),
    "initial_parameters": of(
        network.initial_parameters,
        size=sizes,
        seed=seeds,
        initialisation=st.sampled_from(list(network.INITIALISATIONS)),
    ),
    "initial_parameters_in": of(
        network.initial_parameters_in,
        dimension=dimensions,
        size=sizes,
        seed=seeds,
        neuron=st.sampled_from(["radial", "ridge"]),
    ),
    "starting_batch": of(
        network.starting_batch, size=sizes, seeds=st.lists(seeds, min_size=1, max_size=3), settings=settings()
    ),
    "random_stream": of(data.random_stream, size=sizes, seed=seeds, purpose=st.integers(0, 4)),
    "sample_task": of(
        data.sample_task,
        size=sizes,
        seed=seeds,
        target=st.sampled_from(data.TARGETS_AND_LABELS),
        inputs=st.sampled_from(list(Inputs)),
    ),
    "fresh_samples": of(data.fresh_samples, size=sizes, seed=seeds, draws=draws, target=targets),
    "diagonal": of(data.diagonal, x="d"),
    "sample_cloud": of(data.sample_cloud, size=sizes, seed=seeds, dimension=dimensions, density=densities),
    "draw": of(
        data.draw,
        stream=seeds.map(np.random.default_rng),
        shape=st.sampled_from([(2,), (2, 3)]),
        dimension=dimensions,
        density=densities,
    ),
    "train": of_batch(
        train.train, "x", "y", "parameters", "settings", rename={"parameters": "initial"}, record=records_of
    ),
    "require_training": of_batch(
        train.require_training, "x", "y", "parameters", "settings", rename={"parameters": "initial"}, record=records_of
    ),
    "repulsion_schedule": of(train.repulsion_schedule, steps=st.integers(0, 9), anneal=st.booleans()),
    "match": of(metrics.match, **four),
    "reconstruction_error": of(metrics.reconstruction_error, **four),
    "reconstruction_error in space": of(metrics.reconstruction_error, **four_in_space),
    "position_error": of(metrics.position_error, x="samples", prototypes="samples"),
    "value_error": of(metrics.value_error, **four),
    "specialization_ratio": of(metrics.specialization_ratio, activations="samples neurons"),
    "distinct_samples": of(metrics.distinct_samples, activations="samples neurons"),
    "expelled_fraction": of(metrics.expelled_fraction, x="samples", prototypes="neurons"),
    "expelled_fraction in space": of(hull.expelled_fraction, x="samples d", prototypes="neurons d"),
    "outside_hull": of(hull.outside_hull, x="samples d", points="points d"),
    "table_task": of(tables.table_task, name=st.sampled_from(list(tables.TABLES))),
    "Settings": Case(settings_of, settings().map(lambda one: {name: getattr(one, name) for name in NAMES})),
    "Settings.of": of(Settings.of, given=settings().map(lambda one: {name: getattr(one, name) for name in NAMES})),
    "Settings.parse": of(Settings.parse, text=settings().map(lambda one: one.text)),
    "Settings.but": Case(
        lambda of_all, **changes: records.require_settings("of_all", of_all).but(**changes),
        settings().map(lambda one: {"of_all": one, **{name: getattr(one, name) for name in NAMES}}),
    ),
}
"""Functions of the core, by name."""
ENGINE: dict[str, Case] = {
    "driver.train": of_batch(
        driver.train, "x", "y", "parameters", "settings", rename={"parameters": "initial"}, record=records_of
    ),
    "driver.gradient": of_batch(
        driver.gradient, "x", "y", "parameters", "settings", leading=one_run, repulsion=st.floats(0, 1)
    ),
    "driver.run_memory": of(driver.run_memory, size=sizes),
    "lanes.power_of_half": of(lanes.power_of_half, y="n"),
}
SWEEPS: dict[str, Case] = {
    "measure": of_batch(measures.measure, "x", "y", "parameters", "neuron", leading=some_runs),
    "measure_every_reading": of_batch(
        measures.measure_every_reading, "x", "y", "parameters", "neuron", leading=some_runs
    ),
    "reconstructions": of_batch(measures.reconstructions, "x", "parameters", "neuron", leading=some_runs),
}


@functools.cache
def few_runs() -> pd.DataFrame:
    """Stored runs of three seeds and two sizes, all masks."""
    runs = pd.read_parquet(ROOT / "data/replication.parquet")
    return runs[runs["size"].isin((3, 5)) & (runs["seed"] < 1003)].reset_index(drop=True)


@functools.cache
def study() -> verdicts.Study:
    return verdicts.Study.of(few_runs())


@functools.cache
def in_space() -> pd.DataFrame:
    runs = pd.read_parquet(ROOT / "data/space.parquet")
    return runs[runs["dimension"].isin((1, 2)) & (runs["density"] == "uniform") & (runs["seed"] < 3003)]


def deferred(make: Callable[[], Any]) -> st.SearchStrategy[Any]:
    """What is read only when a test asks for it."""
    return st.builds(make)


statements = st.builds(
    verdicts.Statement,
    st.sampled_from(["reconstruction_error", "rmse", "place", "expelled_fraction", "specialization_ratio", "no such"]),
    st.sampled_from([("000", 3), ("010", 5), ("111", 3), ("000", 7), 0.5]),
    st.sampled_from([("000", 3), ("110", 5), 1.0]),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from(["below", "near", "above"]),
    st.sampled_from([0.0, 0.05]),
)
groups_of_runs = st.builds(
    store.Group, settings(), sizes, st.lists(seeds, min_size=1, max_size=2, unique=True).map(tuple)
)
run_table = deferred(few_runs)
SWEEPS |= {
    "run_sweep": of(
        sweep.run_sweep,
        settings=st.one_of(st.none(), settings(("line",))),
        masks=st.lists(masks, min_size=1, max_size=2, unique=True),
        sizes=st.lists(sizes, min_size=1, max_size=2, unique=True),
        seeds=st.lists(seeds, min_size=1, max_size=2, unique=True),
        steps=st.integers(0, 2),
        temperature=temperatures,
        engine=st.sampled_from([None, "fast", "torch"]),
        device=st.just("cpu"),
        dtype=st.just("float64"),
        columns=st.sampled_from([None, ["seed"], ["w", "mask"]]),
        progress=st.sampled_from([None, False]),
    ),
    "run_groups": of(sweep.run_groups, groups=st.lists(groups_of_runs, min_size=1, max_size=2)),
    "batch_for_cache": of(sweep.batch_for_cache, size=sizes, steps=st.integers(0, 3)),
    "batch_for_a_second": of(sweep.batch_for_a_second, size=sizes, steps=st.integers(0, 3)),
    "universes": of(
        of_universes.universes,
        sampling=st.sampled_from(list(of_universes.SAMPLINGS)),
        axes=st.lists(st.sampled_from(list(of_universes.AXES)), min_size=1, max_size=3, unique=True),
        number=st.integers(1, 20),
    ),
    "settings_in": of(of_runs.settings_in, runs=run_table),
    "summary": of(of_runs.summary, runs=run_table, metric=st.just("fit_mse"), by=st.just(["mask", "size"])),
    "median_run": of(of_runs.median_run, runs=run_table, mask=masks, size=st.sampled_from([3, 5])),
    "stored_networks": of(of_runs.stored_networks, runs=run_table.map(lambda runs: runs[runs["size"] == 3])),
    "originals_and_reconstructions": of(
        of_runs.originals_and_reconstructions, runs=run_table.map(lambda runs: runs[runs["size"] == 3])
    ),
    "reconstruction_points": of(of_runs.reconstruction_points, run=run_table.map(lambda runs: runs.iloc[0])),
    "write_runs": of(of_runs.write_runs, table=run_table, out=st.just("x.parquet")),
    "check_out": of(of_runs.check_out, out=st.just("x.parquet")),
    "read_runs": of(functools.partial(parameters.read_runs, "path", usual="x.parquet"), path=st.just(FEW)),
    "require_design": of(functools.partial(parameters.require_design, "runs"), runs=run_table),
    "every_combination": of(
        parameters.every_combination,
        lists=st.just({"strength": [1.0, 2.0], "temperature": [1e-4]}),
        same=st.just({"steps": 3}),
    ),
    "differing_versions": of(
        store.differing_versions, one=st.just({"numpy": "1"}), other=st.just({"numpy": "2", "torch": "3"})
    ),
}
JUDGING: dict[str, Case] = {
    **{
        f"claim {key}": of(claim.rule, runs=run_table, margin=st.sampled_from([0.05, 1.5, (1.1, 2.0)]))
        for key, claim in CLAIMS.items()
    },
    "Study.of": of(verdicts.Study.of, runs=run_table, by=st.just(("mask", "size"))),
    "describe": of(verdicts.describe, statement=statements),
    "p_for": of(verdicts.p_for, study=deferred(study), statements=st.lists(statements, min_size=1, max_size=2)),
    "p_against": of(verdicts.p_against, study=deferred(study), statements=st.lists(statements, min_size=1, max_size=2)),
    "shown_by_means": of(verdicts.shown_by_means, study=deferred(study), statement=statements),
    "judge": of(
        verdicts.judge,
        study=deferred(study),
        cases=st.lists(
            st.builds(verdicts.Case, st.just("a case"), st.lists(statements, min_size=1, max_size=2)),
            min_size=1,
            max_size=2,
        ),
    ),
    "judge_by_margin": of(
        verdicts.judge_by_margin,
        study=deferred(study),
        cases_at=st.just(
            lambda margin: [verdicts.Case("a case", [verdicts.Statement(verdicts.E, ("000", 3), ("010", 3), margin)])]
        ),
        margin=st.sampled_from([0.05, 1.5, (1.1, 2.0)]),
    ),
    "by_count": of(
        verdicts.by_count,
        supported=st.just(np.array([True, False])),
        contradicted=st.just(np.array([False, False])),
    ),
    "p_less": of(paired.p_less, low="seeds", high="seeds", gap=st.just(0.0)),
    "p_within": of(paired.p_within, first="seeds", second="seeds", margin=st.just(0.1)),
    "holm": of(paired.holm, p="tests"),
    "superiority": of(paired.superiority, low="seeds", high="seeds", gap=st.just(0.0)),
    "superiority_interval": of(paired.superiority_interval, low="seeds", high="seeds", gap=st.just(0.0)),
    "median_difference": of(paired.median_difference, low="seeds", high="seeds"),
    "split_error": of(chance.split_error, **four),
    "baseline_summary": of(
        baselines.baseline_summary,
        runs=run_table,
        metric=st.sampled_from(list(chance.AT_CHANCE)),
        names=st.tuples(st.sampled_from([*baselines.BASELINES, baselines.ORACLE])),
    ),
    "chance_level": of(
        chance.chance_level,
        size=sizes,
        seeds=st.lists(seeds, min_size=1, max_size=2),
        draws=draws,
        target=targets,
        metric=st.sampled_from(list(chance.AT_CHANCE)),
    ),
    "target_of": of(chance.target_of, runs=run_table),
    "chance_summary": of(chance.chance_summary, runs=run_table, metric=st.sampled_from(list(chance.AT_CHANCE))),
    "judge_all": of(
        ledger.judge_all,
        fresh=st.builds(ledger.Runs, run_table, run_table),
        seen=st.builds(ledger.Runs, run_table, run_table),
    ),
    "ledger.stored": of(
        ledger.stored, root=st.just(Path("nowhere")), names=st.sampled_from([ledger.FRESH, ledger.SEEN])
    ),
    "ledger.table": of(
        ledger.table, entries=st.just({}), universes=st.none() | st.just({"C1": paired.Interval(0.1, 0.0, 0.2)})
    ),
    "beyond_table": of(ledger.beyond_table, verdicts=st.just({}), survival=st.none()),
    "marked": of(ledger.marked, verdict=st.sampled_from(list(ledger.MARKS))),
    "number": of(ledger.number, value=st.floats()),
    "as_json": of(ledger.as_json, entries=st.just({})),
    "beyond_json": of(ledger.beyond_json, verdicts=st.just({}), survival=st.none()),
    "judge_cell": of(referee.judge_cell, runs=deferred(lambda: in_space()[in_space()["dimension"] == 1])),
    "judge_cells": of(referee.judge_cells, runs=deferred(in_space)),
    "both_heats": of(referee.both_heats, runs=deferred(in_space)),
    "survival": of(referee.survival, verdicts=deferred(functools.cache(lambda: referee.judge_cells(in_space())))),
    "ledger_row": of(
        referee.ledger_row,
        verdicts=deferred(functools.cache(lambda: referee.judge_cells(in_space()))),
        seeds=st.integers(1, 3),
    ),
    "stored_row": of(referee.stored_row, root=st.just(Path("nowhere"))),
    "judge_stored": of(ledger.judge_stored, root=st.just(Path("nowhere"))),
    "labelled_runs": of(beyond.labelled_runs, root=st.just(Path("nowhere")), columns=st.just(beyond.COLUMNS)),
    "judge_beyond": of(beyond.judge_beyond, root=st.just(Path("nowhere"))),
    "study_of": of(beyond.study_of, runs=run_table.map(lambda runs: runs.assign(label=runs["mask"]))),
    "is_compatible": of(beyond.is_compatible, study=deferred(study), settings=settings()),
    "with_attractor": of(beyond.with_attractor, study=deferred(study), settings=settings()),
    "claim_with": of(beyond.claim_with, study=deferred(study), settings=settings()),
}
ALL = CORE | ENGINE | SWEEPS | JUDGING

COMPILED = "called by compiled code, or by the driver with what it has checked"
LEFT_OUT = {
    **{
        f"companion.judging.baselines.{name}": "called with what baseline_summary has checked"
        for name in ("untrained", "untrained_on_the_curve", "evenly_spaced", "centred")
    },
    **{f"companion.judging.verdicts.{name}": "called with what judge has checked" for name in ("p_values", "of_cases")},
    "companion.core.checks": "the checks themselves",
    "companion.judging.multiverse": "called with what run_universes returned: tests/test_multiverse.py",
    "companion.core.forms": "called by total_loss with what it has checked: tests/test_forms.py",
    **{f"companion.core.losses.{name}": "a part of total_loss" for name in ("weighed_loss", "counts", "units")},
    **{f"companion.core.train.{name}": "called with what train has checked" for name in ("rates_of", "diverged")},
    "companion.core.metrics.value_gap": "called with arrays that are known to fit",
    "companion.core.metrics.match_run": "called with arrays that are known to fit",
    "companion.core.metrics.runs_of": "what three metrics begin with",
    "companion.core.hull.is_mixture": "called with arrays that are known to fit",
    "companion.core.network.require_networks": "a check",
    "companion.core.network.require_parameters": "a check",
    "companion.core.settings.require_settings": "a check",
    "companion.engine.lanes": COMPILED,
    "companion.engine.steps": COMPILED,
    "companion.engine.forms": COMPILED,
    "companion.engine.line": COMPILED,
    "companion.engine.space": COMPILED,
    "companion.sweeps.workers": "tests/test_workers.py: it starts processes",
    "companion.engine.cache": "what Python calls at its import, and what a disk can refuse: tests/test_engine.py",
    "companion.sweeps.store.reason": "of an error that was caught",
    "companion.sweeps.store.temporary_of": "of a path that is known to be one",
    "companion.sweeps.store.write_whole": "tests/test_store.py: what a disk can refuse",
    "companion.sweeps.sweep.train_fast": "the driver's train, imported late",
    "companion.sweeps.sweep.run_batch": "called with batches that are known to fit",
    "companion.sweeps.sweep.list_of": "a check",
    "companion.sweeps.runs.require_table": "a check",
    "companion.sweeps.store.require_runs": "a check",
    "companion.sweeps.runs.stored_table": "tried through what reads by it",
    "companion.sweeps.parameters.only_parameters": "tests/test_parameters.py, and the notebooks below",
    "companion.sweeps.parameters.read_parameters": "tests/test_parameters.py, and the notebooks below",
    "companion.sweeps.runs.groups_of": "pandas' own groupby",
    **{
        f"companion.sweeps.universes.{name}": "called with what universes returned: tests/test_universes.py"
        for name in ("run_universes", "parts_of")
    },
}
"""Public functions, or whole files of them, that no case is generated for, and why."""


def public(package: types.ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions of a package's files, by their full names."""
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == module.__name__ and inspect.isroutine(inspect.unwrap(value))
            if own and not name.startswith("_"):
                yield f"{module.__name__}.{name}", inspect.unwrap(value)


def test_every_public_function_below_the_pictures_has_cases_or_a_reason():
    functions = [getattr(case.function, "func", case.function) for case in ALL.values()]
    tried = {inspect.unwrap(function) for function in functions}
    found = {name: one for layer in (core, engine, sweeps, judging) for name, one in public(layer)}
    left = {name for name, one in found.items() if one not in tried}
    reasons = {name for name in left if name in LEFT_OUT or name.rpartition(".")[0] in LEFT_OUT}
    assert left == reasons, sorted(left - reasons)
    assert len(found) > 100 and all(any(name.startswith(reason) for name in left) for reason in LEFT_OUT)


class Counted:
    """How many cases were generated, and how many of them gave a result."""

    cases = results = 0


@pytest.fixture(scope="module", autouse=True)
def count() -> Iterator[None]:
    yield
    INPUTS.append((Counted.cases, Counted.results))


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """A generated text may be a path."""
    monkeypatch.chdir(tmp_path)


@contextmanager
def alarm() -> Iterator[None]:
    """Whatever takes longer than `SECONDS` hangs."""

    def too_long(*_: object) -> None:
        raise AssertionError(f"a call that lasts longer than {SECONDS} s")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


SURROUNDINGS: list[Callable[[], AbstractContextManager[Any]]] = [
    nullcontext, torch.no_grad, torch.inference_mode, strict, lambda: torch.device("meta")
]  # fmt: skip
"""What a caller's process may be set to."""


def answer(function: Callable[..., Any], arguments: dict[str, Any], surroundings: Any = nullcontext) -> Any:
    """What a call returns, in a list; or None for one ValueError that names an argument and says what is allowed."""
    Counted.cases += 1
    with warnings.catch_warnings(), alarm(), surroundings():
        try:
            result = [function(**arguments)]
        except ValueError as error:
            said = str(error)
            assert re.match(r"[\w., ]+: .*\ballowed (is|are)\b|store: .*; (give|move|wait) ", said), said
            known = {*arguments, *NAMES, *Parameters._fields, *PARTS, *TOGETHER}
            assert set(said.split(":")[0].split(", ")) <= known, said
            assert len(said.splitlines()) == 1 and len(said) < 2000, said
            assert error.__context__ is None or error.__suppress_context__, "an error while another was handled"
            return None
    Counted.results += 1
    return result


def generated(cases: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Hypothesis's own options: the same cases in every `make test`, others in every `make test-inputs`."""
    return of_hypothesis(
        max_examples=cases,
        derandomize="INPUTS" not in os.environ,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def spoiled(
    source: st.DataObject, right: st.SearchStrategy[dict[str, Any]], foreign: st.SearchStrategy[Any] | None = None
) -> dict[str, Any]:
    """Right arguments, of which up to two are nearly right or nothing of the kind."""
    arguments = dict(source.draw(right))
    for name in source.draw(st.lists(st.sampled_from(sorted(arguments)), max_size=2, unique=True)):
        nearly = near(arguments[name])
        arguments[name] = source.draw(
            st.one_of(nearly, nearly, of_any_kind) if foreign is None else foreign, label=name
        )
    return arguments


@pytest.mark.parametrize("name", ALL)
def test_a_result_or_one_error_in_words(name):
    @generated(CASES)
    @given(st.data())
    def run(source: st.DataObject) -> None:
        arguments = spoiled(source, ALL[name].right)
        answer(ALL[name].function, arguments, source.draw(st.sampled_from(SURROUNDINGS)))

    run()


def test_both_engines_take_and_refuse_the_same():
    @generated(5 * CASES)
    @given(st.data())
    def run(source: st.DataObject) -> None:
        arguments = spoiled(source, CORE["train"].right)
        assume(not any(isinstance(value, Iterator) for value in arguments.values()))  # the second would find it used up
        plain, fast = (answer(case.function, arguments) for case in (CORE["train"], ENGINE["driver.train"]))
        if plain is not None and fast is None:  # the fast engine has one float type
            assert plain[0].parameters.w.dtype != torch.float64
        else:
            assert (plain is None) == (fast is None)
        if plain and fast:
            shapes = [[value.shape for value in one[0].parameters] for one in (plain, fast)]
            assert shapes[0] == shapes[1]

    run()


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_a_notebook_s_parameters_are_read_or_named(stem):
    """Its cells up to the first training: what papermill can hand over, each as the notebook checks it."""
    right = {name: value for name, value in prepared(stem).items() if name in parameters_of(stem)}

    @generated(2 * CASES)
    @given(st.data())
    def run(source: st.DataObject) -> None:
        arguments = spoiled(source, st.just(right), foreign=papermill_s)
        answer(functools.partial(prepared, stem), arguments)

    run()


def test_the_sweep_s_notebook_ends_with_a_table_or_an_error_in_words(tmp_path, monkeypatch):
    right = {"masks": ["000"], "sizes": [3], "seeds": [1], "strength": 1.0, "temperature": 1e-4, "steps": 2}
    right |= {"attractor": "coverage", "balance": 1.0, "anneal": False, "target": "sine", "engine": None}
    right |= {"out": "x.parquet", "store": None}

    @generated(CASES)
    @given(st.data())
    def run(source: st.DataObject) -> None:
        arguments = spoiled(source, st.just(right), foreign=papermill_s)
        answer(functools.partial(notebook, tmp_path, monkeypatch), arguments)

    run()


def test_nothing_that_is_stored_is_lost_whatever_a_later_sweep_is_given(tmp_path):
    kept = {"masks": ["000", "010"], "sizes": [3], "seeds": [1, 2], "steps": 3}
    sweep.run_sweep(**kept, store="kept", progress=False)
    before = {path.name: path.read_bytes() for path in (tmp_path / "kept").glob("*.parquet")}

    @generated(2 * CASES)
    @given(st.data())
    def run(source: st.DataObject) -> None:
        arguments = spoiled(source, SWEEPS["run_sweep"].right)
        answer(sweep.run_sweep, arguments | {"store": "kept"})
        after = {path.name: path.read_bytes() for path in (tmp_path / "kept").glob("*.parquet")}
        assert before.items() <= after.items()
        assert not [path for path in (tmp_path / "kept").iterdir() if path.name.startswith(store.TEMPORARY)]

    run()
    again = sweep.run_sweep(**kept, store="kept", progress=False)
    pd.testing.assert_frame_equal(again, sweep.run_sweep(**kept, progress=False))


def raising(error: BaseException) -> Callable[..., None]:
    def function(x: Any) -> None:
        raise error

    return function


def while_another_is_handled(x: Any) -> None:
    try:
        int("x")
    except ValueError:
        raise ValueError("x: 3 was given; allowed is 4")  # noqa: B904


FALSE = {
    "another error": raising(TypeError("x: 3 was given; allowed is 4")),
    "what is allowed is not said": raising(ValueError("x: 3 was given")),
    "no argument is named": raising(ValueError("3 was given; allowed is 4")),
    "another argument is named": raising(ValueError("z: 3 was given; allowed is 4")),
    "several lines": raising(ValueError("x: 3\nwas given; allowed is 4")),
    "no end": raising(ValueError(f"x: {'3' * 2000} was given; allowed is 4")),
    "an error in handling another": while_another_is_handled,
    "no answer": lambda x: time.sleep(5),
}


@pytest.mark.parametrize("name", FALSE)
def test_what_breaks_the_promise_is_found(monkeypatch, name):
    monkeypatch.setattr(sys.modules[__name__], "SECONDS", 1)
    assert answer(raising(ValueError("x: 3 was given; allowed is 4")), {"x": 3}) is None
    with pytest.raises((AssertionError, TypeError)):
        answer(FALSE[name], {"x": 3})
