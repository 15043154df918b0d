"""Whatever a public function is given: a result, or one ValueError that names the argument and says what is allowed."""

from __future__ import annotations

import os
import re
import signal
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st
from inputs import batches, foreign, near, reals, runs, seeds, settings, sizes, temperatures

from companion.core import data, hull, losses, metrics, network, tables, train
from companion.core import settings as records
from companion.core.data import DENSITIES, TARGETS
from companion.core.network import Parameters
from companion.core.settings import MASKS, NAMES, Neuron, Settings
from companion.engine import driver, lanes
from companion.sweeps import measures

CASES = int(os.environ.get("INPUTS", "8"))
"""Generated cases a function; `make test-inputs` asks for more."""
SECONDS = 120
"""What takes longer hangs."""


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
    "activations": of(network.activations, x="samples", w="neurons", b="neurons"),
    "output": of(network.output, activations="samples neurons", a="neurons", c=""),
    "predict": of(network.predict, x="samples", w="neurons", b="neurons", a="neurons", c=""),
    "prototypes": of(network.prototypes, w="neurons", b="neurons"),
    "radial_activations": of(network.radial_activations, x="samples d", w="neurons d", b="neurons d"),
    "ridge_activations": of(network.ridge_activations, x="samples d", w="neurons d", b="neurons"),
    "ridge_prototypes": of(network.ridge_prototypes, w="neurons d", b="neurons", centre="d"),
    "squared_distances": of(network.squared_distances, p="p d", q="q d"),
    "require_batch": of_batch(network.require_batch, "x", "y", "parameters", "settings"),
    "require_startable": of(network.require_startable, size=sizes, settings=settings()),
    "initial_parameters": of(network.initial_parameters, size=sizes, seed=seeds),
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
    "sample_task": of(data.sample_task, size=sizes, seed=seeds, target=targets),
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
    "specialization_ratio": of(metrics.specialization_ratio, activations="samples neurons"),
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
    "reconstructions": of_batch(measures.reconstructions, "x", "parameters", "neuron", leading=some_runs),
}
ALL = CORE | ENGINE | SWEEPS


class Counted:
    """How many cases were generated, of how many functions, and how many of them gave a result."""

    functions = cases = results = 0


def answers(case: Case, arguments: dict[str, Any]) -> bool:
    """Whether a call gives a result; if not, then one ValueError that names an argument and says what is allowed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, of numbers that overflow: infinities are results
        try:
            case.function(**arguments)
        except ValueError as error:
            said = str(error)
            assert re.match(r"[\w, ]+: .*\ballowed (is|are)\b", said), said
            known = {*arguments, *NAMES, *Parameters._fields, "shapes", "types", "setting"}
            assert set(said.split(":")[0].split(", ")) <= known, said
            assert len(said.splitlines()) == 1 and len(said) < 2000, said
            assert error.__context__ is None or error.__suppress_context__, "an error while another was handled"
            return False
    return True


def too_long(*_: object) -> None:
    raise AssertionError(f"a call that lasts longer than {SECONDS} s")


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, too_long) if hasattr(signal, "SIGALRM") else None
    yield
    if before is not None:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


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


def try_out(case: Case, cases: int = CASES) -> None:
    """Give a function right arguments, and such with one or two spoiled."""

    @generated(cases)
    @given(st.data())
    def run(source: st.DataObject) -> None:
        arguments = source.draw(case.right)
        spoiled = source.draw(st.lists(st.sampled_from(sorted(arguments)), max_size=2, unique=True))
        for name in spoiled:
            arguments[name] = source.draw(st.one_of(near(arguments[name]), near(arguments[name]), foreign), label=name)
        if hasattr(signal, "alarm"):
            signal.alarm(SECONDS)
        Counted.results += answers(case, arguments)
        Counted.cases += 1
        if not spoiled:
            return

    run()
    Counted.functions += 1


@pytest.mark.parametrize("name", ALL)
def test_a_result_or_one_error_in_words(name):
    try_out(ALL[name])
