"""The fast engine in d dimensions is the plain one to rounding, also far away, and always the same bits."""

from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from companion.core.space import NEURONS, space_batch, space_loss, space_prototypes, space_start, space_task
from conftest import check_by_differences
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from companion.core import space, train
from companion.core.data import sample_task
from companion.core.losses import ATTRACTORS, MASKS, soft_nearest, soft_nearest_from_afar
from companion.core.network import Parameters, initial_parameters
from companion.engine import line as fast
from companion.engine import space as fast_space


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The plain engine's tensors are too small here for threads, which only wait for one another."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)


def autograd(x, y, parameters, *settings) -> Parameters:
    leaves = Parameters(*(value.clone().requires_grad_() for value in parameters))
    space_loss(x, y, leaves, *settings).backward()
    return Parameters(*(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves))


def assert_same_gradient(x, y, parameters, *settings, within: float = 1e-12) -> None:
    """Equal to `within` of the largest entry of each of w, b, a and c."""
    computed, expected = fast_space.gradient(x, y, parameters, *settings), autograd(x, y, parameters, *settings)
    for name, one, other in zip(Parameters._fields, computed, expected, strict=True):
        assert one.shape == other.shape
        assert float((one - other).abs().max()) <= within * float(other.abs().max()), (name, settings)


# --- gradients ---


@pytest.mark.parametrize("dimension", [1, 2, 5])
@pytest.mark.parametrize("attractor", ATTRACTORS)
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("mask", MASKS)
def test_gradients_are_autograd_s(mask, neuron, attractor, dimension):
    for size, temperature in ((3, 1e-4), (10, 1e-4), (10, 1e-2), (17, 1e-2), (17, 1.0)):
        x, y = space_task(size, dimension, 7)
        start = space_start(size, dimension, 7, neuron)
        assert_same_gradient(x, y, start, mask, neuron, 0.7, temperature, attractor, 1.3)


@pytest.mark.parametrize("attractor", ATTRACTORS)
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("mask", ["001", "010", "100"])
def test_each_structural_term_s_gradient_is_autograd_s(mask, neuron, attractor):
    """With a = 0, c = 0 and y = 0 the fit's gradient is exactly 0, so the term stands alone."""
    x, y = space_task(10, 3, 11)
    w, b, a, c = space_start(10, 3, 11, neuron)
    alone = Parameters(w, b, torch.zeros_like(a), torch.zeros_like(c))
    computed = fast_space.gradient(x, torch.zeros_like(y), alone, mask, neuron, 1.0, 0.1, attractor)
    assert not computed.a.any() and not computed.c.any() and computed.w.any() and computed.b.any()
    assert_same_gradient(x, torch.zeros_like(y), alone, mask, neuron, 1.0, 0.1, attractor)


@pytest.mark.parametrize("attractor", ATTRACTORS)
@pytest.mark.parametrize("neuron", NEURONS)
def test_gradients_of_many_samples_and_of_unequal_numbers_are_autograd_s(neuron, attractor, monkeypatch):
    """More samples than one tile holds; fewer and more neurons than samples."""
    monkeypatch.setattr(space, "soft_nearest", soft_nearest_from_afar)
    x, y = space_task(400, 3, 3)
    start = space_start(400, 3, 3, neuron)
    few = Parameters(start.w[:37], start.b[:37], start.a[:37], start.c)
    assert fast_space.TILE_ENTRIES < 400**2
    assert_same_gradient(x, y, start, "111", neuron, 1.0, 1e-2, attractor, within=1e-11)
    if attractor != "transport":
        assert_same_gradient(x, y, few, "111", neuron, 1.0, 1e-2, attractor, within=1e-11)
        assert_same_gradient(x[:5], y[:5], few, "111", neuron, 1.0, 1e-2, attractor, within=1e-11)


def with_far_and_equal_prototypes(dimension: int, neuron: str) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    """Two equal samples, three equal prototypes, five from 1e3 to 1e30 away and one very narrow neuron."""
    x, y = space_task(17, dimension, 3)
    x[5], y[5] = x[2], y[2]
    w, b, a, c = space_start(17, dimension, 3, neuron)
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
    monkeypatch.setattr(space, "soft_nearest", soft_nearest_from_afar)
    x, y, parameters = with_far_and_equal_prototypes(dimension, neuron)
    for mask in ("001", "010", "111"):
        for temperature in (1e-4, 1.0):
            settings = (mask, neuron, 0.7, temperature, attractor, 1.3)
            expected = autograd(x, y, parameters, *settings)
            for one, other in zip(fast_space.gradient(x, y, parameters, *settings), expected, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_the_uncentred_soft_minimum_overstates_a_far_prototype_s_pull():
    """Why the test above centres: all samples are equally far from 1e12, so the pull's weights are 1/5 each."""
    squared = torch.full((5,), 1e24, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.grad(soft_nearest(squared, 1e-4), squared)[0].sum() == pytest.approx(5)
    assert torch.autograd.grad(soft_nearest_from_afar(squared, 1e-4), squared)[0].sum() == pytest.approx(1)


@pytest.mark.parametrize("attractor", ATTRACTORS)
@pytest.mark.parametrize("neuron", NEURONS)
def test_gradients_are_the_loss_s_differences(neuron, attractor):
    x, y = space_task(6, 2, 2)
    start = space_start(6, 2, 2, neuron)
    settings = ("111", neuron, 1.0, 0.1, attractor, 0.5)
    computed = fast_space.gradient(x, y, start, *settings)
    check_by_differences(computed, lambda moved: space_loss(x, y, moved, *settings), start)


# --- training ---


def largest_difference(left: Parameters, right: Parameters) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(left, right, strict=True))


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize(
    ("mask", "attractor"),
    [("000", "coverage"), ("101", "coverage"), *((mask, name) for mask in ("010", "111") for name in ATTRACTORS)],
)
def test_60_steps_agree_with_the_plain_engine(mask, neuron, attractor):
    x, y, start = space_batch(12, 3, (5, 6), neuron)
    settings = (mask, neuron, 1.0, 1e-2, 60, attractor, 0.5)
    plain = space.train_space(x, y, start, *settings)
    assert largest_difference(fast_space.train(x, y, start, *settings), plain) <= 1e-9
    assert largest_difference(start, plain) > 0.1


@pytest.mark.parametrize("mask", ["000", "010", "111"])
def test_on_the_line_it_is_the_engine_of_the_line(mask):
    x, y = sample_task(20, 4)
    start = initial_parameters(20, 4)
    line = train.train(x, y, start, mask, steps=100).parameters
    for neuron in NEURONS:
        b = start.b.unsqueeze(-1) if neuron == "radial" else start.b
        here = Parameters(start.w.unsqueeze(-1), b, start.a, start.c)
        trained = fast_space.train(x.unsqueeze(-1), y, here, mask, neuron, steps=100)
        flat = Parameters(*(value.reshape(other.shape) for value, other in zip(trained, line, strict=True)))
        assert largest_difference(flat, line) <= 1e-9


def test_training_lowers_the_loss():
    for neuron in NEURONS:
        x, y = space_task(20, 2, 4)
        start = space_start(20, 2, 4, neuron)
        for mask, attractor in (("000", "coverage"), ("010", "coverage"), ("010", "chamfer"), ("110", "transport")):
            trained = fast_space.train(x, y, start, mask, neuron, 1.0, 1e-2, 500, attractor)
            before, after = (space_loss(x, y, p, mask, neuron, 1.0, 1e-2, attractor) for p in (start, trained))
            assert after < 0.5 * before


@pytest.mark.parametrize("neuron", NEURONS)
def test_a_single_neuron_has_no_pair(neuron):
    x, y = space_task(6, 2, 1)
    start = Parameters(*(value[:1] if value.dim() else value for value in space_start(6, 2, 1, neuron)))
    plain = space.train_space(x, y, start, "111", neuron, steps=30)
    assert largest_difference(fast_space.train(x, y, start, "111", neuron, steps=30), plain) <= 1e-10


def test_a_weight_of_zero_breaks_its_own_run_as_in_the_plain_engine():
    x, y, start = space_batch(5, 2, (1, 2), "radial")
    start.w[0, 2, 1] = 0.0
    for attractor in ATTRACTORS:
        settings = ("011", "radial", 1.0, 1e-2, 3, attractor)
        quick, plain = fast_space.train(x, y, start, *settings), space.train_space(x, y, start, *settings)
        assert quick.w[0, 2, 1].isnan() and plain.w[0, 2, 1].isnan()
        torch.testing.assert_close(quick.w[1], plain.w[1])


@pytest.mark.parametrize("attractor", ATTRACTORS)
@pytest.mark.parametrize("neuron", NEURONS)
def test_padding_stays_where_it_is(neuron, attractor):
    """Three neurons in lanes of eight: the five others feel nothing, not even in Adam, which takes any gradient as one
    of full size."""
    x, y = space_task(3, 2, 1)
    start = space_start(3, 2, 1, neuron)
    for temperature in (1e-4, 1e4):
        settings = fast_space._require(x, y, start, "111", neuron, 1.0, temperature, attractor, 1.0)
        run = fast_space._new_run(*(value.numpy() for value in (x, y, *start)), match=attractor == "transport")
        before = run.parameters.copy()
        fast_space._train_run(run, settings, *fast._bias_corrections(20))
        for changed in (run.parameters != before, run.gradient != 0.0):
            by_neuron = changed[: -fast.WIDTH].reshape(-1, fast.WIDTH)
            assert by_neuron[:, :3].all() and not by_neuron[:, 3:].any()


# --- the matching ---


@pytest.mark.parametrize(("dimension", "mask"), [(1, "010"), (2, "011"), (8, "111")])
def test_every_step_s_matching_is_optimal(dimension, mask):
    """Also where no new one was made since the step before."""
    x, y = space_task(25, dimension, 3)
    start = space_start(25, dimension, 3, "radial")
    settings = fast_space._require(x, y, start, mask, "radial", 1.0, 1e-4, "transport", 1.0)
    run = fast_space._new_run(*(value.numpy() for value in (x, y, *start)), match=True)
    rates, roots = fast._bias_corrections(300)
    changes = 0
    for step in range(300):
        now = fast_space._split(run, run.parameters)
        before = run.matching.copy()
        fast_space._train_run(run, settings, rates[step : step + 1], roots[step : step + 1])
        cost = cdist(x, space_prototypes(now.w, now.b, "radial", x.mean(0)), "sqeuclidean")
        assert sorted(run.matching) == list(range(25))
        best = cost[linear_sum_assignment(cost)].sum()
        assert cost[np.arange(25), run.matching].sum() == pytest.approx(best, rel=1e-12)
        changes += (before != run.matching).any()
    assert 0 < changes < 150


def test_every_other_matching_is_refused():
    x, y = space_task(4, 2, 3)
    start = space_start(4, 2, 3, "ridge")
    run = fast_space._new_run(*(value.numpy() for value in (x, y, *start)), match=True)
    settings = fast_space._require(x, y, start, "010", "ridge", 1.0, 1e-4, "transport", 1.0)
    adam = (np.zeros(1), np.ones(1), (*train.BETAS, train.EPSILON))
    cost = cdist(x, space_prototypes(start.w, start.b, "ridge", x.mean(0)), "sqeuclidean")
    best = linear_sum_assignment(cost)[1].tolist()
    for matching in np.array(np.meshgrid(*[range(4)] * 4)).reshape(4, -1).T:
        if len(set(matching)) == 4:
            run.matching[:], run.price[:] = matching, 0.0
            steps_done = fast_space.advance(run, 0, False, *settings, *adam, fast.CONSTANTS)
            assert steps_done == (matching.tolist() == best)


def test_a_far_prototype_s_pull_stays_with_a_best_matching():
    """Costs of 1e12 beside costs of 1e-2: the near prototypes are still matched as they should be."""
    x, y, parameters = with_far_and_equal_prototypes(2, "radial")
    parameters.w[5:7] *= 1e3 / parameters.w[5:7].abs()  # leaves the farthest at about 1e6
    computed = fast_space.gradient(x, y, parameters, "010", "radial", 1.0, 1e-4, "transport")
    expected = autograd(x, y, parameters, "010", "radial", 1.0, 1e-4, "transport")
    for j in range(3, 17):  # of the three equal ones any may have any's sample
        torch.testing.assert_close(computed.w[j], expected.w[j], rtol=1e-10, atol=0.0)


# --- the same bits ---


def weights(seed: int, attractor: str = "chamfer") -> bytes:
    task, start = space_task(20, 3, seed), space_start(20, 3, seed, "radial")
    return bits(fast_space.train(*task, start, "111", "radial", 1.0, 1e-2, 200, attractor))


def bits(parameters: Parameters) -> bytes:
    return b"".join(value.numpy().tobytes() for value in parameters)


@pytest.mark.parametrize("attractor", ["chamfer", "transport"])
def test_alone_again_in_threads_and_in_a_batch_are_the_same_bits(attractor):
    alone = [weights(seed, attractor) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(weights, range(8), [attractor] * 8)) == alone
    together = fast_space.train(*space_batch(20, 3, range(8), "radial"), "111", "radial", 1.0, 1e-2, 200, attractor)
    assert [bits(Parameters(*(value[seed] for value in together))) for seed in range(8)] == alone


def test_arguments_stay_as_they_were_and_no_step_changes_nothing():
    x, y, start = space_batch(4, 2, (1, 2, 3, 4), "ridge")
    x, y, start = x.reshape(2, 2, 4, 2), y.reshape(2, 2, 4), Parameters(*(v.reshape(2, 2, *v.shape[1:]) for v in start))
    before = [value.clone() for value in (x, y, *start)]
    trained = fast_space.train(x, y, start, "111", "ridge", steps=5)
    assert [value.shape for value in trained] == [value.shape for value in start]
    assert all(torch.equal(a, b) for a, b in zip(before, (x, y, *start), strict=True))
    untrained = fast_space.train(x, y, start, "111", "ridge", steps=0)
    assert all(torch.equal(a, b) for a, b in zip(untrained, start, strict=True))


def test_stored_code_is_renewed_when_the_lanes_change():
    """numba looks only at the file of the function that it stores; what its lanes do is in another."""
    closure = dict(
        zip(fast_space.advance.py_func.__code__.co_freevars, fast_space.advance.py_func.__closure__, strict=True)
    )
    assert closure["source"].cell_contents == inspect.getsource(fast)
    codegen = fast_space.advance.targetctx.codegen()
    keys = {fast_space._keep_on_disk(source)._cache._index_key((), codegen) for source in ("a", "b", "a")}
    assert len(keys) == 2


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
        ({"x": torch.zeros(4)}, "shapes: "),
        ({"y": torch.zeros(3)}, "shapes: "),
        ({"neuron": "ridge"}, "shapes: .* allowed for ridge are"),
        ({"x": torch.zeros(3, 2), "y": torch.zeros(3), "attractor": "transport"}, "neurons = samples for transport"),
        ({"y": torch.tensor([0.1, torch.nan, 0.2, 0.3], dtype=torch.float64)}, "y: 1 of 4"),
        ({"x": torch.zeros(4, 2)}, "x: torch.float32 on cpu was given; allowed is torch.float64 on cpu"),
    ],
)
def test_bad_input_is_named(change, says):
    x, y = space_task(4, 2, 1)
    good = {"x": x, "y": y, "initial": space_start(4, 2, 1, "radial"), "mask": "111", "steps": 5}
    with pytest.raises(ValueError, match=says):
        fast_space.train(**(good | change))


def test_a_gradient_is_of_one_run():
    x, y, start = space_batch(4, 2, (1, 2), "radial")
    with pytest.raises(ValueError, match="allowed is one run"):
        fast_space.gradient(x, y, start, "111")
