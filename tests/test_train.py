"""Training: Adam as stated, runs independent of one another, trajectories, symmetries."""

from __future__ import annotations

import pytest
import torch

from companion.core.data import sample_task
from companion.core.losses import ATTRACTORS, MASKS, total_loss
from companion.core.network import Parameters, initial_parameters, prototypes
from companion.core.train import repulsion_schedule, train


def batch(size: int, seeds: range) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    x, y = (torch.stack(column) for column in zip(*(sample_task(size, seed) for seed in seeds), strict=True))
    starts = zip(*(initial_parameters(size, seed) for seed in seeds), strict=True)
    return x, y, Parameters(*(torch.stack(column) for column in starts))


@pytest.mark.parametrize("attractor", ATTRACTORS)
@pytest.mark.parametrize("anneal", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_steps_are_adam_s(mask, anneal, attractor):
    """Ten steps against Adam written out from its paper (Kingma and Ba, algorithm 1)."""
    x, y = sample_task(5, 2)
    values = [value.clone() for value in initial_parameters(5, 2)]
    first = [torch.zeros_like(value) for value in values]
    second = [torch.zeros_like(value) for value in values]
    for step in range(1, 11):
        leaves = [value.clone().requires_grad_() for value in values]
        repulsion = 1 - (step - 1) / 10 if anneal else 1.0
        loss = total_loss(x, y, Parameters(*leaves), mask, 1.0, 1e-2, attractor, 1.5, repulsion)
        for k, gradient in enumerate(torch.autograd.grad(loss, leaves)):
            first[k] = 0.9 * first[k] + 0.1 * gradient
            second[k] = 0.999 * second[k] + 0.001 * gradient**2
            move = (first[k] / (1 - 0.9**step)) / ((second[k] / (1 - 0.999**step)).sqrt() + 1e-8)
            values[k] = values[k] - 0.01 * move
    settings = {"temperature": 1e-2, "steps": 10, "attractor": attractor, "balance": 1.5, "anneal": anneal}
    found = train(x, y, initial_parameters(5, 2), mask, **settings).parameters
    for got, expected in zip(found, values, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("mask", ["000", "111"])
def test_a_batch_of_one_equals_a_row_of_many(mask):
    x, y, start = batch(10, range(6))
    many = train(x, y, start, mask, temperature=1e-2, steps=100).parameters
    for run in (0, 5):
        alone = train(
            x[run], y[run], Parameters(*(v[run] for v in start)), mask, temperature=1e-2, steps=100
        ).parameters
        for row, single in zip(many, alone, strict=True):
            torch.testing.assert_close(row[run], single, rtol=1e-9, atol=1e-11)


def test_permuting_neurons_permutes_what_is_learned():
    x, y = sample_task(6, 4)
    start = initial_parameters(6, 4)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    moved = Parameters(start.w[order], start.b[order], start.a[order], start.c)
    plain = train(x, y, start, "111", temperature=1e-2, steps=100).parameters
    permuted = train(x, y, moved, "111", temperature=1e-2, steps=100).parameters
    torch.testing.assert_close(permuted.w, plain.w[order], rtol=1e-8, atol=1e-10)


def test_training_lowers_the_loss_and_leaves_its_arguments():
    x, y, start = batch(5, range(4))
    before = [value.clone() for value in start]
    after = train(x, y, start, "010", steps=300).parameters
    assert (total_loss(x, y, after, "010", 1.0, 1e-4) < total_loss(x, y, start, "010", 1.0, 1e-4)).all()
    assert all(torch.equal(old, new) for old, new in zip(before, start, strict=True))
    assert not after.w.requires_grad


def test_trajectory_holds_the_prototypes_of_the_steps_asked_for():
    x, y, start = batch(4, range(3))
    trained = train(x, y, start, "100", steps=20, record=(0, 7, 20))
    assert trained.trajectory.shape == (3, 3, 4)
    assert torch.equal(trained.trajectory[0], prototypes(start.w, start.b))
    seven = train(x, y, start, "100", steps=7).parameters
    assert torch.equal(trained.trajectory[1], prototypes(seven.w, seven.b))
    assert torch.equal(trained.trajectory[2], prototypes(trained.parameters.w, trained.parameters.b))
    assert train(x, y, start, "100", steps=1).trajectory is None


def test_no_steps_return_the_start():
    x, y, start = batch(4, range(2))
    assert all(torch.equal(a, b) for a, b in zip(train(x, y, start, "111", steps=0).parameters, start, strict=True))


def test_strength_zero_trains_every_mask_alike():
    x, y, start = batch(5, range(2))
    plain, full = (train(x, y, start, mask, strength=0.0, steps=30).parameters for mask in ("000", "111"))
    torch.testing.assert_close(plain.w, full.w, rtol=1e-12, atol=1e-12)


def test_an_annealed_repulsion_starts_whole_and_ends_at_the_last_step_s_share():
    assert repulsion_schedule(4, True) == [1.0, 0.75, 0.5, 0.25] and repulsion_schedule(3, False) == [1.0] * 3
    assert repulsion_schedule(0, True) == []


def test_the_attractor_matters_only_where_the_middle_bit_is_on():
    x, y, start = batch(5, range(2))
    for mask, switches in MASKS.items():
        ends = [train(x, y, start, mask, steps=20, attractor=name).parameters.w for name in ATTRACTORS]
        assert all(torch.equal(ends[0], end) != switches.coverage for end in ends[1:])


def test_single_precision_stays_single():
    x, y, start = batch(4, range(2))
    trained = train(x.float(), y.float(), Parameters(*(v.float() for v in start)), "111", steps=3)
    assert trained.parameters.w.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mask": "211"}, "mask: '211'"),
        ({"strength": -0.1}, "strength: -0.1"),
        ({"temperature": 0}, "temperature: 0"),
        ({"steps": -1}, "steps: -1"),
        ({"steps": 1.5}, "steps: 1.5"),
        ({"record": (5, 3)}, r"record: \[5, 3\]"),
        ({"record": (11,)}, r"record: \[11\] was given; allowed are increasing steps from 0 to 10"),
        ({"x": torch.tensor([0.1, torch.nan, 0.3])}, "x: 1 of 3 values are NaN"),
        ({"y": torch.ones(2)}, r"x \(3,\), y \(2,\)"),
        ({"attractor": "gravity"}, "attractor: 'gravity'"),
        ({"balance": -1}, "balance: -1"),
        ({"anneal": 1}, "anneal: 1 was given; allowed are True and False"),
        ({"x": torch.ones(2), "y": torch.ones(2), "attractor": "transport"}, "one neuron a sample"),
    ],
)
def test_bad_input_is_named(change, says):
    x, y = sample_task(3, 0)
    arguments = {"x": x, "y": y, "initial": initial_parameters(3, 0), "mask": "000", "steps": 10} | change
    with pytest.raises(ValueError, match=says):
        train(**arguments)
