"""Training: Adam as stated, runs independent of one another, trajectories, symmetries."""

from __future__ import annotations

import sys

import pytest
import torch

from companion.core import checks, losses
from companion.core.data import sample_task
from companion.core.losses import total_loss
from companion.core.network import Parameters, initial_parameters, starting_batch
from companion.core.settings import MASKS, Attractor, Neuron, Settings
from companion.core.train import repulsion_schedule, train


def check_adam(x: torch.Tensor, y: torch.Tensor, start: Parameters, settings: Settings) -> None:
    """Ten steps against Adam written out from its paper (Kingma and Ba, algorithm 1)."""
    values = [value.clone() for value in start]
    first = [torch.zeros_like(value) for value in values]
    second = [torch.zeros_like(value) for value in values]
    for step in range(1, 11):
        leaves = [value.clone().requires_grad_() for value in values]
        repulsion = 1 - (step - 1) / 10 if settings.anneal else 1.0
        loss = total_loss(x, y, Parameters(*leaves), settings, repulsion)
        for k, gradient in enumerate(torch.autograd.grad(loss, leaves)):
            first[k] = 0.9 * first[k] + 0.1 * gradient
            second[k] = 0.999 * second[k] + 0.001 * gradient**2
            move = (first[k] / (1 - 0.9**step)) / ((second[k] / (1 - 0.999**step)).sqrt() + 1e-8)
            values[k] = values[k] - settings.step_size * move
    for got, expected in zip(train(x, y, start, settings).parameters, values, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("attractor", Attractor)
@pytest.mark.parametrize("anneal", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_steps_are_adam_s(mask, anneal, attractor):
    settings = Settings(mask, attractor, temperature=1e-2, balance=1.5, anneal=anneal, steps=10)
    check_adam(*sample_task(5, 2), initial_parameters(5, 2), settings)


@pytest.mark.parametrize("neuron", ["radial", "ridge"])
@pytest.mark.parametrize("attractor", Attractor)
@pytest.mark.parametrize("mask", ["000", "111"])
def test_steps_in_d_dimensions_are_adam_s(mask, attractor, neuron):
    settings = Settings(mask, attractor, temperature=1e-2, balance=1.5, anneal=True, steps=10)
    settings = settings.but(neuron=neuron, dimension=2, target="diagonal")
    x, y, start = starting_batch(5, [2], settings)
    check_adam(x[0], y[0], Parameters(*(value[0] for value in start)), settings)


def test_the_step_size_is_adam_s():
    settings = Settings("111", temperature=1e-2, step_size=0.2, steps=10)
    check_adam(*sample_task(5, 2), initial_parameters(5, 2), settings)


@pytest.mark.parametrize("mask", ["000", "111"])
def test_a_batch_of_one_equals_a_row_of_many(mask):
    x, y, start = starting_batch(10, range(6))
    settings = Settings(mask, temperature=1e-2, steps=100)
    many = train(x, y, start, settings).parameters
    for run in (0, 5):
        alone = train(x[run], y[run], Parameters(*(v[run] for v in start)), settings).parameters
        for row, single in zip(many, alone, strict=True):
            torch.testing.assert_close(row[run], single, rtol=1e-9, atol=1e-11)


def test_permuting_neurons_permutes_what_is_learned():
    x, y = sample_task(6, 4)
    start = initial_parameters(6, 4)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    moved = Parameters(start.w[order], start.b[order], start.a[order], start.c)
    settings = Settings("111", temperature=1e-2, steps=100)
    plain, permuted = (train(x, y, begin, settings).parameters for begin in (start, moved))
    torch.testing.assert_close(permuted.w, plain.w[order], rtol=1e-8, atol=1e-10)


def test_training_lowers_the_loss_and_leaves_its_arguments():
    x, y, start = starting_batch(5, range(4))
    before = [value.clone() for value in start]
    settings = Settings("010", steps=300)
    after = train(x, y, start, settings).parameters
    assert (total_loss(x, y, after, settings) < total_loss(x, y, start, settings)).all()
    assert all(torch.equal(old, new) for old, new in zip(before, start, strict=True))
    assert not after.w.requires_grad


@pytest.mark.parametrize("neuron", Neuron)
def test_the_record_holds_the_parameters_of_the_steps_asked_for(neuron):
    space = {} if neuron == "line" else {"neuron": neuron, "dimension": 3, "target": "diagonal"}
    settings = Settings("100", steps=20, **space)
    x, y, start = starting_batch(4, range(3), settings)
    trained = train(x, y, start, settings, (0, 7, 20))
    seven = train(x, y, start, settings.but(steps=7)).parameters
    for name, recorded in trained.recorded._asdict().items():
        at_steps = [getattr(parameters, name) for parameters in (start, seven, trained.parameters)]
        assert torch.equal(recorded, torch.stack(at_steps)) and not recorded.requires_grad
    unrecorded = train(x, y, start, settings.but(steps=1)).recorded
    assert [value.shape for value in unrecorded] == [(0, *value.shape) for value in start]


def test_no_steps_return_the_start():
    x, y, start = starting_batch(4, range(2))
    untrained = train(x, y, start, Settings("111", steps=0)).parameters
    assert all(torch.equal(a, b) for a, b in zip(untrained, start, strict=True))


def test_strength_zero_trains_every_mask_alike():
    x, y, start = starting_batch(5, range(2))
    plain, full = (train(x, y, start, Settings(mask, strength=0, steps=30)).parameters for mask in ("000", "111"))
    torch.testing.assert_close(plain.w, full.w, rtol=1e-12, atol=1e-12)


def test_an_annealed_repulsion_starts_whole_and_ends_at_the_last_step_s_share():
    assert repulsion_schedule(4, True) == [1.0, 0.75, 0.5, 0.25] and repulsion_schedule(3, False) == [1.0] * 3
    assert repulsion_schedule(0, True) == []


def test_the_attractor_matters_only_where_the_middle_bit_is_on():
    x, y, start = starting_batch(5, range(2))
    for mask, switches in MASKS.items():
        ends = [train(x, y, start, Settings(mask, name, steps=20)).parameters.w for name in Attractor]
        assert all(torch.equal(ends[0], end) != switches.coverage for end in ends[1:])


def test_single_precision_stays_single():
    x, y, start = starting_batch(4, range(2))
    trained = train(x.float(), y.float(), Parameters(*(v.float() for v in start)), Settings("111", steps=3))
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
        ({"record": (11,)}, "record: 11 was given; allowed are whole numbers from 0 to 10"),
        ({"x": torch.tensor([0.1, torch.nan, 0.3]).double()}, "x: 1 of 3 values are NaN"),
        ({"y": torch.ones(2).double()}, r"x \(3,\), y \(2,\)"),
        ({"attractor": "gravity"}, "attractor: 'gravity'"),
        ({"balance": -1}, "balance: -1"),
        ({"anneal": 1}, "anneal: 1 was given; allowed are True and False"),
        (
            {"x": torch.ones(2).double(), "y": torch.ones(2).double(), "mask": "010", "attractor": "transport"},
            r"a \(3,\).* allowed are .*a \(\.\.\., samples\)",
        ),
        ({"step_size": 0}, "step_size: 0"),
    ],
)
def test_bad_input_is_named(change, says):
    x, y = sample_task(3, 0)
    given = {"x": x, "y": y, "record": ()}
    given |= {name: value for name, value in change.items() if name in given}
    own = {"steps": 10} | {name: value for name, value in change.items() if name not in given}
    with pytest.raises(ValueError, match=says):
        train(**given, initial=initial_parameters(3, 0), settings=Settings.of(own))


def checks_of_training(settings: Settings) -> int:
    """How often a training calls a check of its arguments."""
    batch, counted = starting_batch(4, [1], settings), 0

    def count(frame, event, _):
        nonlocal counted
        code = frame.f_code
        of_checks = code.co_filename == checks.__file__ and (code.co_name + "_").startswith(("checked_", "require_"))
        counted += event == "call" and of_checks

    sys.setprofile(count)
    try:
        train(*batch, settings)
    finally:
        sys.setprofile(None)
    return counted


@pytest.mark.parametrize("attractor", Attractor)
@pytest.mark.parametrize("neuron", Neuron)
def test_no_check_is_repeated_at_every_step(monkeypatch, attractor, neuron):
    place = {} if neuron == Neuron.LINE else {"dimension": 2, "target": "diagonal"}
    few, many = (Settings("111", neuron=neuron, attractor=attractor, steps=steps, **place) for steps in (2, 9))
    assert checks_of_training(many) == checks_of_training(few) > 0
    monkeypatch.setattr(losses, "unchecked", lambda function: function)
    assert checks_of_training(many) > checks_of_training(few)


@pytest.mark.parametrize("matched", [False, True])
@pytest.mark.parametrize("name", ["activation", "coverage_form", "separation_form", "overlap_form"])
def test_no_check_of_another_formula_is_repeated_at_every_step(name, matched):
    for level in type(getattr(Settings(), name)):
        few, many = (Settings("111", steps=steps, matched=matched, **{name: level}) for steps in (2, 9))
        assert checks_of_training(many) == checks_of_training(few) > 0
