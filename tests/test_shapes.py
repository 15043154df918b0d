"""The shapes that the core's functions are annotated with: right ones pass; wrong ones, and wrong annotations, fail."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch
from beartype import beartype
from jaxtyping import TypeCheckError, jaxtyped

import companion.core
from companion.core import losses, network
from companion.core.forms import COVERAGES, OVERLAPS, SEPARATIONS
from companion.core.network import Parameters, starting_batch
from companion.core.settings import Attractor, Neuron, Settings
from companion.sweeps import measures
from companion.sweeps.measures import METRICS, measure, reconstructions

MODULES = [
    measures,
    *(importlib.import_module(f"companion.core.{one.name}") for one in pkgutil.iter_modules(companion.core.__path__)),
]
LEADING = ((), (2,), (2, 3))
LENGTHS = {"samples": 5, "neurons": 4, "d": 3, "candidates": 6, "p": 7, "q": 8}


class Spec(NamedTuple):
    """A function's arguments and its result, each of a shape behind that of the runs; other arguments as they are."""

    given: tuple[str | float, ...]
    result: str


SPECS = {
    "activations": Spec(("samples", "neurons", "neurons"), "samples neurons"),
    "output": Spec(("samples neurons", "neurons", ""), "samples"),
    "predict": Spec(("samples", "neurons", "neurons", "neurons", ""), "samples"),
    "prototypes": Spec(("neurons", "neurons"), "neurons"),
    "radial_activations": Spec(("samples d", "neurons d", "neurons d"), "samples neurons"),
    "ridge_activations": Spec(("samples d", "neurons d", "neurons"), "samples neurons"),
    "ridge_prototypes": Spec(("neurons d", "neurons", "d"), "neurons d"),
    "squared_distances": Spec(("p d", "q d"), "p q"),
    "fit_loss": Spec(("samples", "samples"), ""),
    "coverage_loss": Spec(("samples", "neurons", 0.1), ""),
    "chamfer_loss": Spec(("samples", "neurons", 0.1), ""),
    "transport_loss": Spec(("samples", "samples"), ""),
    "matched_loss": Spec(("samples d", "samples d"), ""),
    "soft_nearest": Spec(("candidates", 0.1), ""),
    "soft_nearest_from_afar": Spec(("candidates", 0.1), ""),
    "separation_loss": Spec(("neurons", 0.1), ""),
    "mean_over_pairs": Spec(("neurons neurons",), ""),
    "overlap_loss": Spec(("samples neurons",), ""),
    "diagonal": Spec(("d",), ""),
    **{
        f"{name}_coverage": Spec(("samples", "neurons", "samples neurons", 0.1), "")
        for name in ("nearest", "response", "assigned")
    },
    **{f"{name}_separation": Spec(("neurons", 0.1), "") for name in ("exponential", "cauchy", "neighbour")},
    **{f"{name}_overlap": Spec(("samples neurons",), "") for name in ("cosine", "gram", "covariance")},
}
DRAWN = {
    "sample_task": ((5, 1), ("samples", "samples")),
    "fresh_samples": ((5, 1, 8), ("q samples", "q samples")),
    "sample_cloud": ((5, 1, 3), ("samples d", "samples")),
}
"""Functions that draw a sample: their arguments, and the shapes of x and y."""
BY_THE_NEURON = {"total_loss", "weighed_loss", "reconstructions"}
"""Functions some of whose shapes depend on the neuron, so that they are not annotated in full."""
CHECKS = {"require_finite", "require_shapes", "require_same_shape"}
PLAIN = CHECKS | {
    *("measure", "measure_every_reading", "require_batch", "require_networks", "require_training", "starting_batch"),
    *("train", "units", "diverged", "form"),
}
"""Functions of tensors all of whose shapes depend on the neuron, or that are checks of any."""


def public() -> Iterator[tuple[str, Callable]]:
    """The core's own public functions."""
    for module in MODULES:
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_"):
                yield name, value


FUNCTIONS = dict(public())


def annotations(function: Callable) -> dict[str, str]:
    return inspect.unwrap(function).__annotations__


def typed(function: Callable) -> Callable:
    """The function without the checks of `requires`, and with its annotated shapes checked."""
    return jaxtyped(typechecker=beartype)(inspect.unwrap(function))


def tensor(shape: str, leading: tuple[int, ...]) -> torch.Tensor:
    lengths = [LENGTHS[name] for name in shape.split()]
    return torch.rand((*leading, *lengths), dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5


def arguments(spec: Spec, leading: tuple[int, ...]) -> list[torch.Tensor | float]:
    return [tensor(given, leading) if isinstance(given, str) else given for given in spec.given]


def check_right(function: Callable, spec: Spec) -> None:
    for leading in LEADING:
        found = function(*arguments(spec, leading))
        assert found.shape == tensor(spec.result, leading).shape


def wrong(spec: Spec, leading: tuple[int, ...]) -> Iterator[tuple[str, list[torch.Tensor | float]]]:
    """Arguments one of which is not of its shape."""
    given = arguments(spec, leading)
    shapes = [shape for shape in spec.given if isinstance(shape, str)]
    everywhere = " ".join(shapes).split()
    for place, shape in enumerate(shapes):

        def but(value: torch.Tensor, place: int = place) -> list[torch.Tensor | float]:
            return [*given[:place], value, *given[place + 1 :]]

        for k, name in enumerate(shape.split()):
            if everywhere.count(name) > 1:
                lengths = list(given[place].shape)
                lengths[len(leading) + k] += 1
                yield f"argument {place}, {name}", but(torch.rand(lengths).double())
        if len(shapes) > 1:
            yield f"argument {place}, more runs", but(given[place].expand(9, *given[place].shape))
        if not leading and shape:
            yield f"argument {place}, a dimension too few", but(given[place][0])
        yield f"argument {place}, whole numbers", but(given[place].long())


def check_wrong(function: Callable, spec: Spec) -> None:
    for leading in LEADING:
        for what, given in wrong(spec, leading):
            with pytest.raises(TypeCheckError):
                function(*given)
                pytest.fail(what)


def check_result(function: Callable, given: list[Any], wrong_results: list[Any]) -> None:
    """A body that returns one of these is refused under the function's annotations."""
    bare = inspect.unwrap(function)
    for result in wrong_results:
        space = dict(bare.__globals__) | {"RESULT": result}
        exec(f"def fake({', '.join(inspect.signature(bare).parameters)}): return RESULT", space)
        space["fake"].__annotations__ = dict(bare.__annotations__)
        space["fake"].__defaults__ = bare.__defaults__
        fake = jaxtyped(typechecker=beartype)(space["fake"])
        with pytest.raises(TypeCheckError):
            fake(*given)


@pytest.mark.parametrize("name", SPECS)
def test_right_shapes_pass(name):
    check_right(typed(FUNCTIONS[name]), SPECS[name])


@pytest.mark.long
@pytest.mark.parametrize("name", SPECS)
def test_wrong_shapes_are_refused(name):
    check_wrong(typed(FUNCTIONS[name]), SPECS[name])


@pytest.mark.long
@pytest.mark.parametrize("name", SPECS)
def test_a_result_of_another_shape_is_refused(name):
    spec = SPECS[name]
    for leading in LEADING:
        right = tensor(spec.result, leading)
        results = [right.expand(9, *right.shape), right.long(), right.numpy()]
        for k, length in enumerate(spec.result.split()):
            if length in " ".join(given for given in spec.given if isinstance(given, str)).split():
                lengths = list(right.shape)
                lengths[len(leading) + k] += 1
                results.append(torch.rand(lengths).double())
        check_result(FUNCTIONS[name], arguments(spec, leading), results)


@pytest.mark.parametrize("name", DRAWN)
def test_drawn_samples_have_their_shapes(name):
    given, shapes = DRAWN[name]
    defaults = [value.default for value in inspect.signature(FUNCTIONS[name]).parameters.values()][len(given) :]
    x, y = typed(FUNCTIONS[name])(*given)
    assert (x.shape, y.shape) == tuple(tensor(shape, ()).shape for shape in shapes)
    check_result(FUNCTIONS[name], [*given, *defaults], [(x, y[..., 1:]), (x[None], y), (x, y[None]), (x.long(), y)])


def mutations(argument: str, annotation: str) -> set[str]:
    """Annotations that say something else: without the runs, with a dimension more or fewer; a result transposed."""
    found = re.search(r"'\s*([^']*)'", annotation)
    if not found:
        return set()
    names = found[1].split()
    others = [names[1:], [*names, "more"], names[:-1] if len(names) > 1 else ["one", "two"], ["2", *names[1:]]]
    others += [[*names[:-2], names[-1], names[-2]]] if argument == "return" and len(names) > 2 else []
    return {annotation.replace(found[0], repr(" ".join(other))) for other in others if other != names}


def is_refused(function: Callable, spec: Spec) -> bool:
    try:
        check_right(function, spec)
        check_wrong(function, spec)
    except (TypeCheckError, AssertionError, pytest.fail.Exception):
        return True
    return False


@pytest.mark.long
@pytest.mark.parametrize("name", SPECS)
def test_a_wrong_annotation_fails(name):
    bare = inspect.unwrap(FUNCTIONS[name])
    assert not is_refused(typed(bare), SPECS[name])
    seen = 0
    for argument, annotation in bare.__annotations__.items():
        for false in mutations(argument, annotation):
            copy = types.FunctionType(bare.__code__, bare.__globals__, bare.__name__, bare.__defaults__)
            copy.__annotations__ = bare.__annotations__ | {argument: false}
            assert is_refused(typed(copy), SPECS[name]), f"{argument}: {false}"
            seen += 1
    assert seen >= 4


def test_every_function_of_tensors_is_here_and_says_its_shapes():
    shaped = {name for name, function in FUNCTIONS.items() if "Float[" in " ".join(annotations(function).values())}
    assert shaped == set(SPECS) | set(DRAWN) | BY_THE_NEURON
    unshaped = {
        name
        for name, function in FUNCTIONS.items()
        if any(
            re.search(r"\bTensor\b", re.sub(r"Float\[Tensor[^]]*\]", "", one)) for one in annotations(function).values()
        )
    }
    assert unshaped == PLAIN | BY_THE_NEURON


# --- one inside another ---


@pytest.fixture
def typed_core(monkeypatch) -> dict[str, Callable]:
    """All shapes are checked, also where one function of the core calls another."""
    checked = {name: typed(FUNCTIONS[name]) for name in {*SPECS, *DRAWN, *BY_THE_NEURON}}
    for module in MODULES:
        for name, function in checked.items():
            if vars(module).get(name) is FUNCTIONS[name]:
                monkeypatch.setattr(module, name, function)
        if "unchecked" in vars(module):  # it would take the shapes' checks away with the others
            monkeypatch.setattr(module, "unchecked", lambda function: function)
    responses = {Neuron.LINE: "activations", Neuron.RADIAL: "radial_activations", Neuron.RIDGE: "ridge_activations"}
    for neuron, name in responses.items():
        geometry = network.GEOMETRIES[neuron]._replace(respond=checked[name])
        if neuron != Neuron.LINE:
            geometry = geometry._replace(squared_distances=checked["squared_distances"])
        monkeypatch.setitem(network.GEOMETRIES, neuron, geometry)
    for table in (COVERAGES, SEPARATIONS, OVERLAPS):
        for level, form in list(table.items()):
            if form.loss.__name__ in checked:
                monkeypatch.setitem(table, level, form._replace(loss=checked[form.loss.__name__]))
    return checked


def settings_of(neuron: str, mask: str = "111", attractor: str = "coverage") -> Settings:
    space = {} if neuron == "line" else {"dimension": 3, "target": "diagonal"}
    return Settings(mask, attractor, neuron=neuron, temperature=0.1, steps=2, **space)


def batch(settings: Settings, leading: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    count = 1
    for length in leading:
        count *= length
    x, y, start = starting_batch(5, range(count), settings)
    x, y, *start = (value.reshape((*leading, *value.shape[1:])) for value in (x, y, *start))
    return x, y, Parameters(*start)


@pytest.mark.long
@pytest.mark.parametrize("leading", LEADING, ids=str)
@pytest.mark.parametrize("attractor", Attractor)
@pytest.mark.parametrize("neuron", Neuron)
def test_the_total_loss_and_training_keep_to_the_shapes(typed_core, neuron, attractor, leading):
    for mask in ("000", "001", "010", "111"):
        settings = settings_of(neuron, mask, attractor)
        x, y, start = batch(settings, leading)
        assert losses.total_loss(x, y, start, settings).shape == leading
        trained = importlib.import_module("companion.core.train").train(x, y, start, settings, (0, 2))
        assert [value.shape for value in trained.recorded] == [(2, *value.shape) for value in start]


@pytest.mark.parametrize("leading", LEADING, ids=str)
def test_the_other_formulas_keep_to_the_shapes(typed_core, leading):
    for table, name in ((COVERAGES, "coverage_form"), (SEPARATIONS, "separation_form"), (OVERLAPS, "overlap_form")):
        for level in table:
            settings = Settings("111", temperature=0.1, **{name: level})
            x, y, start = batch(settings, leading)
            assert losses.total_loss(x, y, start, settings).shape == leading
            matched = losses.units(x, y, start, settings.but(matched=True))
            assert [one.shape for one in matched] == [leading] * 3


@pytest.mark.parametrize("neuron", Neuron)
def test_measures_keep_to_the_shapes(typed_core, neuron):
    x, y, start = batch(settings_of(neuron), (4,))
    assert {name: value.shape for name, value in measure(x, y, start, neuron).items()} == dict.fromkeys(METRICS, (4,))
    positions, values = typed_core["reconstructions"](x, start, neuron)
    assert positions.shape == start.w.shape and values.shape == (4, 5)
    check_result(reconstructions, [x, start, neuron], [(positions, values.long()), (positions, values.sum())])


@pytest.mark.long
@pytest.mark.parametrize("name", ["w", "b", "a", "c", "x", "y"])
@pytest.mark.parametrize("neuron", Neuron)
def test_the_total_loss_of_one_wrong_shape_is_refused_inside(typed_core, neuron, name):
    """Its own check is taken off: a function that it calls refuses what does not fit."""
    settings = settings_of(neuron)
    x, y, start = batch(settings, (2,))
    given = {"x": x, "y": y, **start._asdict()}
    given[name] = given[name].expand(3, *given[name].shape)
    parameters = Parameters(*(given[one] for one in "wbac"))
    with pytest.raises(TypeCheckError):
        typed_core["total_loss"](given["x"], given["y"], parameters, settings)
