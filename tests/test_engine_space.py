"""The compiled engine in d dimensions is the plain one to rounding, also far away, and always the same bits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from conftest import check_by_differences
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from companion.core import losses
from companion.core.data import sample_cloud, sample_task
from companion.core.losses import soft_nearest, soft_nearest_from_afar, total_loss
from companion.core.network import (
    GEOMETRIES,
    Parameters,
    initial_parameters,
    initial_parameters_in,
    ridge_prototypes,
    starting_batch,
)
from companion.core.settings import MASKS, Attractor, Neuron, Settings
from companion.core.train import train
from companion.engine import driver, lanes, space, steps

NEURONS = (Neuron.RADIAL, Neuron.RIDGE)


def in_space(mask: str, neuron: str, attractor: str = "coverage", **others) -> Settings:
    """Settings of a network that is not on the line."""
    return Settings(mask, attractor, neuron=neuron, target="diagonal", **others)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The plain engine's tensors are too small here for threads, which only wait for one another."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)


def task(size: int, dimension: int, seed: int, neuron: str) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    """One run's data and initial parameters."""
    return *sample_cloud(size, seed, dimension), initial_parameters_in(dimension, size, seed, neuron)


def new_run(x, y, start: Parameters, terms: steps.Terms) -> space.Workspace:
    return space.new_run(x.numpy(), y.numpy(), [value.numpy() for value in start], terms)


def autograd(x, y, parameters, settings: Settings, repulsion: float = 1.0) -> Parameters:
    leaves = Parameters(*(value.clone().requires_grad_() for value in parameters))
    total_loss(x, y, leaves, settings, repulsion).backward()
    return Parameters(*(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves))


def centred(squared: torch.Tensor, temperature: float) -> torch.Tensor:
    """The soft minimum as the engine has it; a test below says why."""
    least = squared.detach().amin(-1, keepdim=True)
    return least.squeeze(-1) - temperature * torch.logsumexp((least - squared) / temperature, -1)


def assert_same_gradient(*given, within: float = 1e-12) -> None:
    """Equal to `within` of the largest entry of each of w, b, a and c."""
    computed, expected = driver.gradient(*given), autograd(*given)
    for name, one, other in zip(Parameters._fields, computed, expected, strict=True):
        assert one.shape == other.shape
        assert float((one - other).abs().max()) <= within * float(other.abs().max()), (name, given[3])


# --- gradients ---


@pytest.mark.long
@pytest.mark.parametrize("dimension", [1, 2, 5])
@pytest.mark.parametrize("attractor", Attractor)
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("mask", MASKS)
def test_gradients_are_autograd_s(mask, neuron, attractor, dimension):
    for size, temperature in ((3, 1e-4), (10, 1e-4), (10, 1e-2), (17, 1e-2), (17, 1.0)):
        settings = in_space(mask, neuron, attractor, strength=0.7, temperature=temperature, balance=1.3)
        assert_same_gradient(*task(size, dimension, 7, neuron), settings)
        assert_same_gradient(*task(size, dimension, 7, neuron), settings, 0.6)


@pytest.mark.parametrize("temperature", [1e300, 1e100, 1e-20, 1e-100, 1e-300])
@pytest.mark.parametrize("attractor", Attractor)
@pytest.mark.parametrize("neuron", NEURONS)
def test_gradients_at_extreme_temperatures_are_autograd_s(neuron, attractor, temperature):
    """At enormous ones the padding of the arrays, which stands far away, is not to be felt."""
    for mask in ("001", "010", "111"):
        settings = in_space(mask, neuron, attractor, temperature=temperature)
        assert_same_gradient(*task(10, 2, 7, neuron), settings)


@pytest.mark.parametrize("attractor", Attractor)
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("mask", ["001", "010", "100"])
def test_each_structural_term_s_gradient_is_autograd_s(mask, neuron, attractor):
    """With a = 0, c = 0 and y = 0 the fit's gradient is exactly 0, so the term stands alone."""
    x, y, (w, b, a, c) = task(10, 3, 11, neuron)
    alone = Parameters(w, b, torch.zeros_like(a), torch.zeros_like(c))
    given = x, torch.zeros_like(y), alone, in_space(mask, neuron, attractor, temperature=0.1)
    computed = driver.gradient(*given)
    assert not computed.a.any() and not computed.c.any() and computed.w.any() and computed.b.any()
    assert_same_gradient(*given)


@pytest.mark.parametrize("attractor", Attractor)
@pytest.mark.parametrize("neuron", NEURONS)
def test_gradients_of_many_samples_and_of_unequal_numbers_are_autograd_s(neuron, attractor, monkeypatch):
    """More samples than one tile holds; fewer and more neurons than samples."""
    monkeypatch.setattr(losses, "soft_nearest", centred)
    x, y, start = task(400, 3, 3, neuron)
    settings = in_space("111", neuron, attractor, temperature=1e-2)
    few = Parameters(start.w[:37], start.b[:37], start.a[:37], start.c)
    assert lanes.TILE_ENTRIES < 400**2
    assert_same_gradient(x, y, start, settings, within=1e-11)
    if attractor != "transport":
        assert_same_gradient(x, y, few, settings, within=1e-11)
        assert_same_gradient(x[:5], y[:5], few, settings, within=1e-11)


def with_far_and_equal_prototypes(dimension: int, neuron: str) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    """Two equal samples, three equal prototypes, five from 1e3 to 1e30 away and one very narrow neuron."""
    x, y, (w, b, a, c) = task(17, dimension, 3, neuron)
    x[5], y[5] = x[2], y[2]
    w[1], b[1], w[2], b[2] = w[0], b[0], -w[0], -b[0]
    for j, factor in ((3, 1e-3), (4, 1e-6), (5, 1e-9), (6, 1e-30)):
        w[j] *= factor
    b[7] *= 1e6
    w[9], b[9] = w[9] * 1e3, b[9] * 1e3
    return x, y, Parameters(w, b, a, c)


@pytest.mark.parametrize("dimension", [1, 2, 5])
@pytest.mark.parametrize("attractor", ["coverage", "chamfer"])
@pytest.mark.parametrize("neuron", NEURONS)
def test_gradients_of_far_and_equal_prototypes_are_autograd_s_entry_by_entry(neuron, attractor, dimension, monkeypatch):
    """Entry by entry, since the gradients of the farthest dwarf the others'."""
    monkeypatch.setattr(losses, "soft_nearest", centred)
    x, y, parameters = with_far_and_equal_prototypes(dimension, neuron)
    for mask in ("001", "010", "111"):
        for temperature in (1e-4, 1.0):
            settings = in_space(mask, neuron, attractor, strength=0.7, temperature=temperature, balance=1.3)
            given = x, y, parameters, settings
            for one, other in zip(driver.gradient(*given), autograd(*given), strict=True):
                torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_the_uncentred_soft_minimum_overstates_a_far_prototype_s_pull():
    """Why the tests above centre: all samples are equally far from 1e12, so the pull's weights are 1/5 each."""
    squared = torch.full((5,), 1e24, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.grad(soft_nearest(squared, 1e-4), squared)[0].sum() == pytest.approx(5)
    assert torch.autograd.grad(soft_nearest_from_afar(squared, 1e-4), squared)[0].sum() == pytest.approx(1)


@pytest.mark.parametrize("attractor", Attractor)
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("mask", MASKS)
def test_gradients_are_the_loss_s_differences(mask, neuron, attractor):
    x, y, start = task(6, 2, 2, neuron)
    settings = in_space(mask, neuron, attractor, temperature=0.1, balance=0.5)
    computed = driver.gradient(x, y, start, settings, 0.8)
    check_by_differences(computed, lambda moved: total_loss(x, y, moved, settings, 0.8), start)


# --- training ---

ENGINES = (train, driver.train)


def largest_difference(left: Parameters, right: Parameters) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(left, right, strict=True))


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize(
    ("mask", "attractor"),
    [("000", "coverage"), ("101", "coverage"), *((mask, name) for mask in ("010", "111") for name in Attractor)],
)
def test_60_steps_agree_with_the_plain_engine(mask, neuron, attractor):
    settings = in_space(mask, neuron, attractor, dimension=3, temperature=1e-2, balance=0.5, steps=60)
    x, y, start = starting_batch(12, (5, 6), settings)
    plain, quick = (engine(x, y, start, settings).parameters for engine in ENGINES)
    assert largest_difference(quick, plain) <= 1e-9
    assert largest_difference(start, plain) > 0.1


@pytest.mark.long
@pytest.mark.parametrize("mask", ["001", "100", "111"])
@pytest.mark.parametrize("attractor", Attractor)
@pytest.mark.parametrize("neuron", NEURONS)
def test_annealed_steps_agree_with_the_plain_engine(neuron, attractor, mask):
    settings = in_space(mask, neuron, attractor, dimension=2, temperature=1e-2, balance=2.0, anneal=True, steps=60)
    given = starting_batch(12, (5, 6), settings)
    plain, quick = (engine(*given, settings).parameters for engine in ENGINES)
    assert largest_difference(quick, plain) <= 1e-9
    parts = driver.train(*given, settings, (7, 30)).parameters
    assert all(torch.equal(one, other) for one, other in zip(quick, parts, strict=True))
    assert not torch.equal(quick.w, driver.train(*given, settings.but(anneal=False)).parameters.w)


@pytest.mark.parametrize("mask", ["000", "111"])
@pytest.mark.parametrize("attractor", Attractor)
@pytest.mark.parametrize("neuron", NEURONS)
def test_the_record_is_the_plain_engine_s(neuron, attractor, mask):
    settings = in_space(mask, neuron, attractor, dimension=3, temperature=1e-2, steps=60)
    x, y, start = starting_batch(6, (1, 2, 3), settings)
    plain, quick = (engine(x, y, start, settings, [0, 1, 50, 60]) for engine in ENGINES)
    assert quick.recorded.w.shape == (4, *start.w.shape)
    for ours, expected in zip(quick.recorded, plain.recorded, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-11)
    for place, parameters in ((0, start), (3, quick.parameters)):
        assert all(torch.equal(ours[place], given) for ours, given in zip(quick.recorded, parameters, strict=True))
    unrecorded = driver.train(x, y, start, settings)
    assert unrecorded.recorded.w.shape == (0, *start.w.shape)
    assert all(torch.equal(one, other) for one, other in zip(quick.parameters, unrecorded.parameters, strict=True))


@pytest.mark.parametrize("mask", ["000", "010", "111"])
def test_on_the_line_it_is_the_engine_of_the_line(mask):
    x, y = sample_task(20, 4)
    start = initial_parameters(20, 4)
    line = train(x, y, start, Settings(mask, steps=100)).parameters
    for neuron in NEURONS:
        b = start.b.unsqueeze(-1) if neuron == "radial" else start.b
        here = Parameters(start.w.unsqueeze(-1), b, start.a, start.c)
        trained = driver.train(x.unsqueeze(-1), y, here, in_space(mask, neuron, steps=100)).parameters
        flat = Parameters(*(value.reshape(other.shape) for value, other in zip(trained, line, strict=True)))
        assert largest_difference(flat, line) <= 1e-9


def test_training_lowers_the_loss():
    for neuron in NEURONS:
        given = task(20, 2, 4, neuron)
        for mask, attractor in (("000", "coverage"), ("010", "coverage"), ("010", "chamfer"), ("110", "transport")):
            settings = in_space(mask, neuron, attractor, temperature=1e-2, steps=500)
            ends = (given[2], driver.train(*given, settings).parameters)
            before, after = (total_loss(*given[:2], parameters, settings) for parameters in ends)
            assert after < 0.5 * before


@pytest.mark.parametrize("neuron", NEURONS)
def test_a_single_neuron_has_no_pair(neuron):
    x, y, start = task(6, 2, 1, neuron)
    start = Parameters(*(value[:1] if value.dim() else value for value in start))
    plain, quick = (engine(x, y, start, in_space("111", neuron, steps=30)).parameters for engine in ENGINES)
    assert largest_difference(quick, plain) <= 1e-10


def test_a_weight_of_zero_breaks_its_own_run_as_in_the_plain_engine():
    for attractor in Attractor:
        settings = in_space("011", "radial", attractor, dimension=2, temperature=1e-2, steps=3)
        x, y, start = starting_batch(5, (1, 2), settings)
        start.w[0, 2, 1] = 0.0
        plain, quick = (engine(x, y, start, settings).parameters for engine in ENGINES)
        assert quick.w[0, 2, 1].isnan() and plain.w[0, 2, 1].isnan()
        torch.testing.assert_close(quick.w[1], plain.w[1])


@pytest.mark.parametrize("attractor", Attractor)
@pytest.mark.parametrize("neuron", NEURONS)
def test_padding_stays_where_it_is(neuron, attractor):
    """Three neurons in lanes of eight: the five others feel nothing, not even in Adam, which takes any gradient as one
    of full size."""
    for temperature in (1e-4, 1e4):
        settings = in_space("111", neuron, attractor, temperature=temperature, steps=20)
        terms = steps.terms_of(settings)
        run = new_run(*task(3, 2, 1, neuron), terms)
        before = run.parameters.copy()
        driver._advance(space, run, terms, steps.schedule_of(settings, settings.step_size))
        for changed in (run.parameters != before, run.gradient != 0.0):
            by_neuron = changed[: -lanes.WIDTH].reshape(-1, lanes.WIDTH)
            assert by_neuron[:, :3].all() and not by_neuron[:, 3:].any()


# --- the matching ---


@pytest.mark.parametrize(("dimension", "mask"), [(1, "010"), (2, "011"), (8, "111")])
def test_every_step_s_matching_is_optimal(dimension, mask):
    """Also where no new one was made since the step before."""
    x, y, start = task(25, dimension, 3, "radial")
    settings = in_space(mask, "radial", "transport", steps=300)
    terms, schedule = steps.terms_of(settings), steps.schedule_of(settings, settings.step_size)
    run = new_run(x, y, start, terms)
    changes = 0
    for step in range(300):
        w, b, _, _ = map(torch.as_tensor, space.rows(run, run.parameters))
        before = run.matching.copy()
        driver._advance(space, run, terms, schedule.part(step, step + 1))
        cost = cdist(x, GEOMETRIES["radial"].peak(w, b, x), "sqeuclidean")
        assert sorted(run.matching) == list(range(25))
        best = cost[linear_sum_assignment(cost)].sum()
        assert cost[np.arange(25), run.matching].sum() == pytest.approx(best, rel=1e-12)
        changes += (before != run.matching).any()
    assert 0 < changes < 150


def test_every_other_matching_is_refused():
    x, y, start = task(4, 2, 3, "ridge")
    settings = in_space("010", "ridge", "transport")
    terms, schedule = steps.terms_of(settings), steps.one_step_of_no_size(settings, 1.0)
    run = new_run(x, y, start, terms)
    cost = cdist(x, ridge_prototypes(start.w, start.b, x.mean(0)), "sqeuclidean")
    best = linear_sum_assignment(cost)[1].tolist()
    for matching in np.array(np.meshgrid(*[range(4)] * 4)).reshape(4, -1).T:
        if len(set(matching)) == 4:
            run.matching[:], run.price[:] = matching, 0.0
            assert space.advance(run, 0, False, terms, schedule) == (matching.tolist() == best)


def test_a_far_prototype_s_pull_stays_with_a_best_matching():
    """Costs of 1e12 beside costs of 1e-2: the near prototypes are still matched as they should be."""
    x, y, parameters = with_far_and_equal_prototypes(2, "radial")
    parameters.w[5:7] *= 1e3 / parameters.w[5:7].abs()  # leaves the farthest at about 1e6
    given = x, y, parameters, in_space("010", "radial", "transport")
    computed, expected = driver.gradient(*given), autograd(*given)
    for j in range(3, 17):  # of the three equal ones any may have any's sample
        torch.testing.assert_close(computed.w[j], expected.w[j], rtol=1e-10, atol=0.0)


# --- the same bits ---


def many(attractor: str) -> Settings:
    return in_space("111", "radial", attractor, dimension=3, temperature=1e-2, steps=200)


def weights(seed: int, attractor: str = "chamfer") -> bytes:
    return bits(driver.train(*task(20, 3, seed, "radial"), many(attractor)).parameters)


def bits(parameters: Parameters) -> bytes:
    return b"".join(value.numpy().tobytes() for value in parameters)


@pytest.mark.parametrize("attractor", ["chamfer", "transport"])
def test_alone_again_in_threads_and_in_a_batch_are_the_same_bits(attractor):
    alone = [weights(seed, attractor) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(weights, range(8), [attractor] * 8)) == alone
    settings = many(attractor)
    together = driver.train(*starting_batch(20, range(8), settings), settings).parameters
    assert [bits(Parameters(*(value[seed] for value in together))) for seed in range(8)] == alone


def test_arguments_stay_as_they_were_and_no_step_changes_nothing():
    settings = in_space("111", "ridge", dimension=2, steps=5)
    x, y, start = starting_batch(4, (1, 2, 3, 4), settings)
    x, y, start = x.reshape(2, 2, 4, 2), y.reshape(2, 2, 4), Parameters(*(v.reshape(2, 2, *v.shape[1:]) for v in start))
    before = [value.clone() for value in (x, y, *start)]
    trained, recorded = driver.train(x, y, start, settings, [0, 5])
    assert [value.shape for value in trained] == [value.shape for value in start]
    assert [value.shape for value in recorded] == [(2, *value.shape) for value in start]
    assert all(torch.equal(a, b) for a, b in zip(before, (x, y, *start), strict=True))
    untrained = driver.train(x, y, start, settings.but(steps=0)).parameters
    assert all(torch.equal(a, b) for a, b in zip(untrained, start, strict=True))


# --- what is refused ---


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mask": "012"}, "mask: '012' was given"),
        ({"neuron": "cubic"}, "neuron: 'cubic' was given"),
        ({"attractor": "magnet"}, "attractor: 'magnet' was given"),
        ({"strength": -1}, "strength: -1"),
        ({"balance": -1}, "balance: -1"),
        ({"temperature": 0}, "temperature: 0"),
        ({"steps": -1}, "steps: -1"),
        ({"x": torch.zeros(4).double()}, "shapes: "),
        ({"y": torch.zeros(3).double()}, "shapes: "),
        ({"neuron": "ridge"}, r"shapes: .* allowed are .*b \(\.\.\., neurons\)"),
        (
            {"x": torch.zeros(3, 2).double(), "y": torch.zeros(3).double(), "attractor": "transport"},
            r"a \(\.\.\., samples\)",
        ),
        ({"y": torch.tensor([0.1, torch.nan, 0.2, 0.3], dtype=torch.float64)}, "y: 1 of 4"),
        ({"x": torch.zeros(4, 2)}, "types: x torch.float32 on cpu, y torch.float64 on cpu"),
    ],
)
def test_bad_input_is_named(change, says):
    x, y, start = task(4, 2, 1, "radial")
    given = {"x": x, "y": y} | {name: value for name, value in change.items() if name in ("x", "y")}
    own = {"mask": "111", "neuron": "radial", "target": "diagonal", "steps": 5}
    own |= {name: value for name, value in change.items() if name not in given}
    with pytest.raises(ValueError, match=says):
        driver.train(**given, initial=start, settings=Settings.of(own))


def test_a_gradient_is_of_one_run():
    settings = in_space("111", "radial", dimension=2)
    with pytest.raises(ValueError, match="allowed is one run"):
        driver.gradient(*starting_batch(4, (1, 2), settings), settings)
