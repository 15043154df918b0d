"""Tasks, the network and its prototypes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from companion.core.data import TARGETS, sample_cloud, sample_task
from companion.core.network import (
    EXPONENTS,
    GEOMETRIES,
    INITIALISATIONS,
    Parameters,
    activations,
    in_nominal_activation,
    initial_parameters,
    initial_parameters_in,
    predict,
    prototypes,
    radial_activations,
    require_batch,
    ridge_activations,
    ridge_prototypes,
    starting_batch,
)
from companion.core.settings import Activation, Initialisation, Neuron, Settings


def test_tasks_depend_on_size_and_seed_alone():
    x, y = sample_task(20, 1000)
    again, _ = sample_task(20, 1000)
    assert torch.equal(x, again) and x.shape == y.shape == (20,) and x.dtype == torch.float64
    assert not torch.equal(x, sample_task(20, 1001)[0])
    assert not torch.equal(x[:10], sample_task(10, 1000)[0])
    assert ((x >= 0) & (x <= 1)).all()
    np.testing.assert_allclose(y, 0.5 + 0.5 * np.sin(2 * np.pi * x.numpy()), rtol=1e-15)


def test_initial_parameters_fill_their_ranges():
    w, b, a, c = initial_parameters(2000, 5)
    for values, bound in ((w, 10), (b, 1), (a, 2000**-0.5)):
        assert values.abs().max() <= bound
        assert values.abs().max() > 0.99 * bound
        # The mean of 2,000 uniform draws lies within five standard errors of zero.
        assert abs(values.mean()) < 5 * bound / math.sqrt(3 * 2000)
    assert c.shape == () and abs(c) <= 2000**-0.5
    assert not torch.equal(w[:5], 10 * b[:5])


UNIFORM = {"uniform-10": (10, 1), "uniform-1": (1, 1), "uniform-3": (3, 1), "uniform-N": (2000, 200)}
NORMAL = {"normal-1": (1, 1), "normal-5": (5, 1)}
AT_DATA = {"data-5": 5, "data-N": 2000}


def test_each_start_is_drawn_as_its_name_says():
    assert {*UNIFORM, *NORMAL, *AT_DATA} == {str(level) for level in Initialisation} == set(INITIALISATIONS)
    for name, (of_w, of_b) in UNIFORM.items():
        w, b, _, _ = initial_parameters(2000, 5, name)
        for values, bound in ((w, of_w), (b, of_b)):
            assert kstest(values / bound, "uniform", (-1, 2)).pvalue > 1e-3
    for name, (of_w, of_b) in NORMAL.items():
        w, b, _, _ = initial_parameters(2000, 5, name)
        for values, deviation in ((w, of_w), (b, of_b)):
            assert kstest(values / deviation, "norm").pvalue > 1e-3
    for name, steepness in AT_DATA.items():
        w, b, _, _ = initial_parameters(2000, 5, name)
        assert kstest(prototypes(w, b), "uniform").pvalue > 1e-3
        assert kstest(w.abs() / steepness, "uniform", (0.5, 1)).pvalue > 1e-3
        assert abs(int((w > 0).sum()) - 1000) < 5 * math.sqrt(2000) / 2


def test_output_weights_are_drawn_alike_in_all_starts_and_the_nominal_one_is_as_before():
    for name in INITIALISATIONS:
        w, b, a, c = initial_parameters(2000, 5, name)
        assert kstest(a * math.sqrt(2000), "uniform", (-1, 2)).pvalue > 1e-3 and abs(float(c)) <= 2000**-0.5
        assert abs(np.corrcoef(w, b)[0, 1]) < 0.1 or name in AT_DATA
    assert all(map(torch.equal, initial_parameters(20, 7), initial_parameters(20, 7, "uniform-10")))
    stream = np.random.default_rng([20, 7, 1])
    assert initial_parameters(20, 7).w.tolist() == stream.uniform(-10.0, 10.0, 20).tolist()


def test_evenly_spaced_inputs_are_from_0_to_1_with_the_same_labels():
    x, y = sample_task(5, 3, "line", "grid")
    assert x.tolist() == y.tolist() == [0, 0.25, 0.5, 0.75, 1]
    drawn, labels = sample_task(500, 3, "labels")
    grid, same = sample_task(500, 3, "labels", "grid")
    assert torch.equal(labels, same) and grid.tolist() == [k / 499 for k in range(500)]
    assert torch.equal(drawn, sample_task(500, 3)[0]), "a seed's random inputs are the same with any target"
    assert not torch.equal(labels, sample_task(500, 4, "labels")[1])
    assert kstest(labels, "uniform").pvalue > 1e-3 and abs(np.corrcoef(drawn, labels)[0, 1]) < 5 / math.sqrt(500)


def test_another_activation_is_the_same_network_with_narrower_weights():
    x, _ = sample_task(6, 1)
    start = initial_parameters(4, 1)
    half = activations(x, start.w, start.b, "exp(-z²/2)")
    expected = [[math.exp(-((w * at + b) ** 2) / 2) for w, b in zip(*start[:2], strict=True)] for at in x.tolist()]
    torch.testing.assert_close(half, torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=0)
    one = in_nominal_activation(start, "exp(-z²/2)")
    torch.testing.assert_close(activations(x, one.w, one.b), half, rtol=1e-13, atol=0)
    torch.testing.assert_close(prototypes(one.w, one.b), prototypes(start.w, start.b), rtol=1e-15, atol=0)
    assert torch.equal(one.a, start.a) and torch.equal(one.c, start.c)
    assert all(map(torch.equal, in_nominal_activation(start, "exp(-z²)"), start))
    assert EXPONENTS == {"exp(-z²)": 1, "exp(-z²/2)": 0.5} and set(EXPONENTS) == set(Activation)


def test_a_neuron_peaks_at_its_prototype_and_falls_to_one_over_e_at_its_width():
    w, b = torch.tensor([-4.0, 2.5], dtype=torch.float64), torch.tensor([1.0, -2.0], dtype=torch.float64)
    peak = prototypes(w, b)
    response = torch.diagonal(activations(peak, w, b))
    assert torch.equal(response, torch.ones(2, dtype=torch.float64))
    edge = torch.diagonal(activations(peak + 1 / w.abs(), w, b))
    torch.testing.assert_close(edge, torch.full((2,), math.exp(-1), dtype=torch.float64))


def test_predict_is_the_sum_over_neurons():
    x, _ = sample_task(4, 0)
    w, b, a, c = initial_parameters(3, 0)
    expected = [sum(a[j] * math.exp(-((w[j] * value + b[j]) ** 2)) for j in range(3)) + c for value in x.tolist()]
    torch.testing.assert_close(predict(x, w, b, a, c), torch.stack(expected), rtol=1e-14, atol=1e-15)


def test_a_zero_weight_has_an_infinite_prototype():
    assert torch.isinf(prototypes(torch.tensor([0.0]), torch.tensor([1.0]))).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: sample_task(1, 0), "size: 1 was given; allowed are whole numbers from 2 to 100000"),
        (lambda: sample_task(2.5, 0), "size: 2.5"),
        (lambda: sample_task(True, 0), "size: True"),
        (lambda: sample_task(3, -1), "seed: -1"),
        (lambda: sample_task(3, 0, "cosine"), "target: 'cosine' was given; allowed are 'sine'"),
        (lambda: sample_task(3, 0, "sine", "even"), "inputs: 'even' was given; allowed are 'random', 'grid'"),
        (lambda: initial_parameters(0, 0), "size: 0"),
        (lambda: initial_parameters(3, 0, "uniform"), "initialisation: 'uniform' was given; allowed are 'uniform-10'"),
        (lambda: activations(*(torch.ones(2),) * 3, "relu"), r"form: 'relu' was given; allowed are 'exp\(-z²\)'"),
        (lambda: in_nominal_activation(initial_parameters(3, 0), "relu"), "form: 'relu' was given"),
        (lambda: prototypes(torch.ones(2), torch.ones(3)), r"w \(2,\), b \(3,\)"),
        (lambda: activations(torch.tensor([math.nan]), torch.ones(1), torch.ones(1)), "x: 1 of 1 values are NaN"),
        (lambda: predict(*(torch.ones(2),) * 4, torch.ones(2)), r"c \(2,\)"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize("name", TARGETS)
def test_targets_map_the_unit_interval_into_itself(name):
    values = TARGETS[name](torch.linspace(0, 1, 101, dtype=torch.float64))
    assert values.min() >= 0 and values.max() <= 1 and values.dtype == torch.float64


def test_targets_have_the_values_of_their_formulas():
    x = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64)
    expected = {
        "sine": [0.5, 1, 0.5, 0, 0.5],
        "line": [0, 0.25, 0.5, 0.75, 1],
        "step": [0, 0, 1, 1, 1],
        "chirp": [0.5 + 0.5 * math.sin(6 * math.pi * at * at) for at in x.tolist()],
    }
    assert {name: target(x).tolist() for name, target in TARGETS.items()} == {
        name: pytest.approx(values, abs=1e-15) for name, values in expected.items()
    }


@pytest.mark.parametrize("neuron", Neuron)
def test_a_geometry_does_what_the_checked_functions_do(neuron):
    space = {} if neuron == "line" else {"dimension": 3, "target": "diagonal"}
    x, _, (w, b, _, _) = starting_batch(5, (1, 2), Settings(neuron=neuron, **space))
    geometry = GEOMETRIES[neuron]
    respond = {"line": activations, "radial": radial_activations, "ridge": ridge_activations}[neuron]
    peaks = ridge_prototypes(w, b, x.mean(-2)) if neuron == "ridge" else prototypes(w, b)
    assert torch.equal(geometry.respond(x, w, b), respond(x, w, b))
    assert torch.equal(geometry.peak(w, b, x), peaks)
    points = (value if neuron != "line" else value.unsqueeze(-1) for value in (x, peaks))
    torch.testing.assert_close(geometry.squared_distances(x, peaks), torch.cdist(*points) ** 2)
    # Which a training uses: it checks once, not at every step.
    assert geometry.respond(x * math.nan, w, b).isnan().all()
    with pytest.raises(ValueError, match="x: 30 of 30|x: 10 of 10"):
        respond(x * math.nan, w, b)


@pytest.mark.parametrize("neuron", Neuron)
def test_a_batch_holds_each_seed_s_own_start(neuron):
    settings = Settings(target="chirp") if neuron == "line" else Settings(neuron=neuron, **CLOUD)
    x, y, start = starting_batch(5, iter((7, 3)), settings)
    assert x.shape[:2] == y.shape == start.a.shape == (2, 5) and start.c.shape == (2,)
    for row, seed in enumerate((7, 3)):
        if neuron == "line":
            task, own = sample_task(5, seed, "chirp"), initial_parameters(5, seed)
        else:
            task, own = sample_cloud(5, seed, 2, "bell"), initial_parameters_in(2, 5, seed, neuron)
        assert all(map(torch.equal, (x[row], y[row]), task))
        assert all(torch.equal(value[row], expected) for value, expected in zip(start, own, strict=True))


CLOUD = {"dimension": 2, "target": "diagonal", "density": "bell"}


def test_a_batch_is_of_its_settings_inputs_and_start():
    x, y, start = starting_batch(5, (7,), Settings(target="labels", inputs="grid", initialisation="data-N"))
    assert all(map(torch.equal, (x[0], y[0]), sample_task(5, 7, "labels", "grid")))
    assert all(torch.equal(part[0], one) for part, one in zip(start, initial_parameters(5, 7, "data-N"), strict=True))


@pytest.mark.parametrize("neuron", Neuron)
@pytest.mark.parametrize("name", ["x", "y", "w", "b", "a", "c"])
def test_a_batch_of_other_shapes_or_values_is_refused(name, neuron):
    settings = Settings() if neuron == "line" else Settings(neuron=neuron, **CLOUD)
    x, y, start = starting_batch(5, (7, 3), settings)
    given = {"x": x, "y": y, **start._asdict()}

    def ask(**change) -> None:
        all_of_it = given | change
        require_batch(all_of_it["x"], all_of_it["y"], Parameters(*(all_of_it[one] for one in "wbac")), settings)

    ask()
    with pytest.raises(ValueError, match=rf"shapes: .*{name} .* were given; allowed are .*{name} \("):
        ask(**{name: given[name][..., :-1] if name != "c" else given[name][:1]})
    with pytest.raises(ValueError, match=rf"^{name}: 1 of "):
        spoiled = given[name].clone()
        spoiled.view(-1)[0] = math.nan
        ask(**{name: spoiled})
