"""The fast engine is the plain one to rounding, and the same bits however its runs are spread."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import mpmath
import numpy as np
import pytest
import torch
from conftest import ROOT, check_by_differences

from companion.core import train
from companion.core.data import sample_task
from companion.core.losses import ATTRACTORS, MASKS, total_loss
from companion.core.network import Parameters, initial_parameters
from companion.engine import line as fast

SIZES = (3, 20, 100)


def tasks(size: int, seeds) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    """Data and initial parameters of several seeds, as one batch."""
    x, y = (torch.stack(column) for column in zip(*(sample_task(size, seed) for seed in seeds), strict=True))
    start = zip(*(initial_parameters(size, seed) for seed in seeds), strict=True)
    return x, y, Parameters(*map(torch.stack, start))


def largest_difference(left: Parameters, right: Parameters) -> torch.Tensor:
    """Largest difference of any parameter, a run."""
    return torch.stack(
        [(a - b).abs().reshape(len(left.c), -1).amax(-1) for a, b in zip(left, right, strict=True)]
    ).amax(0)


# --- the exponential ---


def test_the_exponential_is_exact_to_the_last_place_over_its_whole_range():
    numbers = np.random.default_rng(0)
    y = np.concatenate([numbers.uniform(0, high, 2000) for high in (1e-12, 1, 40, 1022)] + [np.arange(0, 1022, 0.5)])
    computed = fast.power_of_half(y)
    with mpmath.workdps(40):
        exact = [mpmath.power(2, -mpmath.mpf(value)) for value in y.tolist()]
        units = [
            abs(mpmath.mpf(float(value)) - e) / np.spacing(float(e)) for value, e in zip(computed, exact, strict=True)
        ]
    assert max(units) <= 1.0


def test_subnormal_results_are_exact_to_the_last_place():
    y = np.concatenate([np.random.default_rng(1).uniform(1022, 1076, 2000), np.arange(1022, 1077, 0.25)])
    computed = fast.power_of_half(y)
    with mpmath.workdps(40):
        smallest = mpmath.mpf(2) ** -1074
        off = [
            abs(mpmath.mpf(float(v)) - mpmath.power(2, -mpmath.mpf(a)))
            for v, a in zip(computed, y.tolist(), strict=True)
        ]
    assert max(off) <= smallest


@pytest.mark.parametrize(
    ("y", "power"),
    [(0, 1), (1, 0.5), (1074, 5e-324), (1075.1, 0), (2000, 0), (1e300, 0), (np.inf, 0), (np.nan, np.nan)],
)
def test_the_exponential_at_its_ends(y, power):
    np.testing.assert_array_equal(fast.power_of_half([y]), [power])


# --- gradients ---


def autograd(x, y, parameters, *settings) -> Parameters:
    leaves = Parameters(*(value.clone().requires_grad_() for value in parameters))
    total_loss(x, y, leaves, *settings).backward()
    return Parameters(*(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves))


def assert_same_gradient(computed: Parameters, expected: Parameters) -> None:
    """Equal to 1e-12 of the largest entry of each of w, b, a and c."""
    for name, one, other in zip(Parameters._fields, computed, expected, strict=True):
        scale = float(other.abs().max())
        assert float((one - other).abs().max()) <= 1e-12 * scale, name


@pytest.mark.parametrize("temperature", [1e-5, 1e-4, 1e-2, 10.0])
@pytest.mark.parametrize("size", [2, *SIZES, 300])
@pytest.mark.parametrize("mask", MASKS)
def test_gradients_are_autograd_s(mask, size, temperature):
    x, y = sample_task(size, 7)
    start = initial_parameters(size, 7)
    assert_same_gradient(
        fast.gradient(x, y, start, mask, 0.7, temperature), autograd(x, y, start, mask, 0.7, temperature)
    )


@pytest.mark.parametrize("temperature", [1e-5, 1e-2, 10.0])
@pytest.mark.parametrize("size", [2, 20, 100])
@pytest.mark.parametrize("mask", ["010", "111"])
@pytest.mark.parametrize("attractor", ["chamfer", "transport"])
def test_gradients_with_other_attractors_are_autograd_s(attractor, mask, size, temperature):
    x, y = sample_task(size, 7)
    settings = (initial_parameters(size, 7), mask, 0.7, temperature, attractor, 1.3, 0.6)
    assert_same_gradient(fast.gradient(x, y, *settings), autograd(x, y, *settings))


def test_equal_prototypes_are_matched_as_in_the_plain_engine_whatever_their_order_was_before():
    """Two neurons meet with the second before the first in the places of the step before."""
    x, y = sample_task(4, 3)
    w = torch.tensor([2.0, 2.0, 2.0, 2.0], dtype=torch.float64)
    start = Parameters(w, torch.tensor([-1.0, -0.5, -1.5, -1.0]).double(), w, torch.tensor(0.0).double())
    run = fast._new_run(*(value.numpy() for value in (x, y, *start)))
    settings = (*fast.terms("010", "transport"), 1.0, 1.0, 1e-4, fast.CONSTANTS)
    fast._gradient(run, *settings)
    assert run.order.tolist() == [1, 0, 3, 2]
    run.parameters[8 : 8 + 4] = -1.0
    fast._gradient(run, *settings)
    assert run.order.tolist() == [0, 1, 2, 3]
    together = start._replace(b=torch.full_like(w, -1.0))
    expected = autograd(x, y, together, "010", 1.0, 1e-4, "transport")
    assert_same_gradient(fast._split(run, run.gradient), expected)


@pytest.mark.parametrize("temperature", [1e-4, 1e-2, 10.0])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mask", ["001", "010", "100"])
def test_each_structural_term_s_gradient_is_autograd_s(mask, size, temperature):
    """With a = 0, c = 0 and y = 0 the fit's gradient is exactly 0, so the term stands alone."""
    x, _ = sample_task(size, 11)
    w, b, a, c = initial_parameters(size, 11)
    alone = Parameters(w, b, torch.zeros_like(a), torch.zeros_like(c))
    computed = fast.gradient(x, torch.zeros_like(x), alone, mask, 1.0, temperature)
    assert not computed.a.any() and not computed.c.any() and computed.w.any()
    assert_same_gradient(computed, autograd(x, torch.zeros_like(x), alone, mask, 1.0, temperature))


@pytest.mark.parametrize("mask", MASKS)
def test_gradients_along_a_training_are_autograd_s(mask):
    x, y = sample_task(30, 5)
    for steps in (50, 1000):
        trained = train.train(x, y, initial_parameters(30, 5), mask, steps=steps).parameters
        assert_same_gradient(fast.gradient(x, y, trained, mask), autograd(x, y, trained, mask, 1.0, 1e-4))


@pytest.mark.parametrize(
    ("mask", "attractor"),
    [("001", "coverage"), ("010", "coverage"), ("111", "coverage"), ("010", "chamfer"), ("111", "chamfer")],
)
def test_gradients_where_prototypes_coincide_or_are_far_away(mask, attractor):
    """Ties among prototypes and samples, a cluster beyond every reach, samples and neurons of unequal number."""
    x, y = sample_task(13, 3)
    inner = x.argsort()[3:7]
    x[inner[1]], x[inner[3]] = x[inner[0]], x[inner[2]]
    w = torch.tensor([5.0, 5.0, -3.0, 1e-3, 1e-9, 20.0, -20.0, 7.0, 7.0, 7.0], dtype=torch.float64)
    b = torch.tensor([-2.0, -2.0, 1.0, 1.0, -1.0, -9.0, 9.0, 0.0, -7.0, -3.5], dtype=torch.float64)
    parameters = Parameters(
        w, b, torch.linspace(-1, 1, 10, dtype=torch.float64), torch.tensor(0.1, dtype=torch.float64)
    )
    for temperature in (1e-4, 1.0):
        settings = (parameters, mask, 1.0, temperature, attractor)
        for one, other in zip(fast.gradient(x, y, *settings), autograd(x, y, *settings), strict=True):
            # Autograd's logsumexp rounds at d²/τ: far away its weights of Chamfer's mirror have fewer digits.
            torch.testing.assert_close(one, other, rtol=1e-9 if attractor == "chamfer" else 1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("mask", "attractor"),
    [(mask, "coverage") for mask in MASKS] + [(m, a) for m in ("010", "111") for a in ("chamfer", "transport")],
)
def test_gradients_are_the_loss_s_differences(mask, attractor):
    x, y = sample_task(6, 2)
    start = initial_parameters(6, 2)
    settings = (mask, 1.0, 1e-2, attractor, 1.5, 0.5)
    computed = fast.gradient(x, y, start, *settings)
    check_by_differences(computed, lambda moved: total_loss(x, y, moved, *settings), start)


# --- training ---


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mask", MASKS)
def test_200_steps_agree_with_the_plain_engine(mask, size):
    x, y, start = tasks(size, (1000, 1001, 1002))
    plain = train.train(x, y, start, mask, steps=200).parameters
    assert (largest_difference(fast.train(x, y, start, mask, steps=200).parameters, plain) <= 1e-9).all()


@pytest.mark.parametrize("anneal", [False, True])
@pytest.mark.parametrize("mask", ["010", "111"])
@pytest.mark.parametrize("attractor", ATTRACTORS)
def test_200_steps_with_any_attractor_agree_with_the_plain_engine(attractor, mask, anneal):
    x, y, start = tasks(20, (1, 2))
    settings = {"steps": 200, "attractor": attractor, "balance": 2.0, "anneal": anneal}
    plain, quick = (engine.train(x, y, start, mask, **settings).parameters for engine in (train, fast))
    assert (largest_difference(quick, plain) <= 1e-9).all()


def test_annealing_does_not_depend_on_the_steps_recorded():
    x, y, start = tasks(5, (1, 2))
    settings = {"steps": 60, "attractor": "transport", "anneal": True}
    whole, parts = (fast.train(x, y, start, "111", record=record, **settings) for record in ((), (7, 30)))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters, parts.parameters, strict=True))
    constant = fast.train(x, y, start, "111", **(settings | {"anneal": False})).parameters
    assert not torch.equal(whole.parameters.w, constant.w)


@pytest.mark.parametrize("mask", MASKS)
def test_200_steps_differ_no_more_than_the_plain_engine_from_itself(mask):
    """Rounding travels: on every seed, also where it is amplified, a permutation of the neurons moves the plain engine
    as far as the fast engine is from it, up to a factor."""
    x, y, start = tasks(100, range(1000, 1010))
    plain = train.train(x, y, start, mask, steps=200).parameters
    itself = torch.zeros(10, dtype=torch.float64)
    for draw in range(3):
        order = torch.randperm(100, generator=torch.Generator().manual_seed(draw))
        mixed = train.train(x, y, Parameters(*(v[:, order] for v in start[:3]), start.c), mask, steps=200).parameters
        back = Parameters(*(v[:, order.argsort()] for v in mixed[:3]), mixed.c)
        itself = torch.maximum(itself, largest_difference(back, plain))
    assert (
        largest_difference(fast.train(x, y, start, mask, steps=200).parameters, plain) <= 1e-11 + 100 * itself
    ).all()


@pytest.mark.parametrize("mask", ["000", "111"])
def test_the_record_is_the_plain_engine_s(mask):
    x, y, start = tasks(5, (1, 2, 3))
    plain = train.train(x, y, start, mask, steps=60, record=[0, 1, 50, 60])
    quick = fast.train(x, y, start, mask, steps=60, record=[0, 1, 50, 60])
    assert quick.trajectory.shape == (4, 3, 5)
    torch.testing.assert_close(quick.trajectory, plain.trajectory, rtol=1e-10, atol=1e-12)
    unrecorded = fast.train(x, y, start, mask, steps=60)
    assert unrecorded.trajectory is None
    assert all(torch.equal(a, b) for a, b in zip(quick.parameters, unrecorded.parameters, strict=True))


def test_one_run_needs_no_leading_dimension_and_arguments_stay_as_they_were():
    x, y = sample_task(4, 1)
    start = initial_parameters(4, 1)
    before = [value.clone() for value in (x, y, *start)]
    trained = fast.train(x, y, start, "111", steps=5, record=[5])
    assert (
        trained.parameters.w.shape == (4,) and trained.parameters.c.shape == () and trained.trajectory.shape == (1, 4)
    )
    assert all(torch.equal(a, b) for a, b in zip(before, (x, y, *start), strict=True))
    untrained = fast.train(x, y, start, "111", steps=0).parameters
    assert all(torch.equal(a, b) for a, b in zip(untrained, start, strict=True))


def test_a_single_neuron_has_no_pair():
    x, y = sample_task(6, 1)
    start = Parameters(*(value[:1] if value.dim() else value for value in initial_parameters(6, 1)))
    plain = train.train(x, y, start, "111", steps=30).parameters
    for one, other in zip(fast.train(x, y, start, "111", steps=30).parameters, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_a_weight_of_zero_breaks_its_own_run_as_in_the_plain_engine():
    x, y, start = tasks(5, (1, 2))
    start.w[0, 2] = 0.0
    quick, plain = (engine.train(x, y, start, "011", steps=3).parameters for engine in (fast, train))
    assert quick.w[0, 2].isnan() and plain.w[0, 2].isnan()
    torch.testing.assert_close(quick.w[1], plain.w[1])


def test_training_lowers_the_loss():
    x, y = sample_task(20, 4)
    start = initial_parameters(20, 4)
    for mask in MASKS:
        trained = fast.train(x, y, start, mask, steps=500).parameters
        assert total_loss(x, y, trained, mask, 1.0, 1e-4) < 0.5 * total_loss(x, y, start, mask, 1.0, 1e-4)


# --- the same bits ---


def weights(seed: int) -> bytes:
    trained = fast.train(*sample_task(20, seed), initial_parameters(20, seed), "111", steps=300).parameters
    return b"".join(value.numpy().tobytes() for value in trained)


def test_threads_give_the_same_bits():
    alone = [weights(seed) for seed in range(16)]
    for count in (2, 8):
        with ThreadPoolExecutor(count) as pool:
            assert list(pool.map(weights, range(16))) == alone


def test_batches_give_the_same_bits():
    together = fast.train(*tasks(20, range(16)), "111", steps=300).parameters
    for seed in (0, 15):
        assert b"".join(value[seed].numpy().tobytes() for value in together) == weights(seed)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86-64-v3 is the name of an x86 processor")
def test_narrow_vectors_give_the_same_bits():
    """A processor with 256-bit vectors only: the order of every sum is in the source, not in the compiler's hands."""
    script = "import sys; sys.path.insert(0, 'tests'); import test_fast; print(test_fast.weights(3).hex())"
    narrow = os.environ | {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=narrow, capture_output=True, text=True)
    assert done.stdout.strip() == weights(3).hex(), done.stderr


# --- what is refused ---


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mask": "012"}, "mask: '012' was given"),
        ({"strength": -1}, "strength: -1"),
        ({"temperature": 0}, "temperature: 0"),
        ({"steps": -1}, "steps: -1"),
        ({"record": [7]}, r"record: \[7\] was given"),
        ({"attractor": "gravity"}, "attractor: 'gravity' was given"),
        ({"balance": -1}, "balance: -1"),
        ({"anneal": 1}, "anneal: 1 was given; allowed are True and False"),
        ({"x": torch.zeros(3)}, "shapes: "),
        ({"x": torch.tensor([0.1, torch.nan, 0.2, 0.3], dtype=torch.float64)}, "x: 1 of 4"),
        ({"x": torch.zeros(4)}, "x: torch.float32 on cpu was given; allowed is torch.float64 on cpu"),
    ],
)
def test_bad_input_is_named(change, says):
    x, y = sample_task(4, 1)
    good = {"x": x, "y": y, "initial": initial_parameters(4, 1), "mask": "111", "steps": 5}
    with pytest.raises(ValueError, match=says):
        fast.train(**(good | change))


def test_a_run_s_memory_grows_no_faster_than_its_size():
    small, large = fast.run_memory(500), fast.run_memory(50_000)
    assert fast.run_memory(100) < 2**18 and large / small < 110
