"""The compiled engine with other formulas, starts and optimisers: the plain one to rounding, the same bits anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import REPORT, check_by_differences
from test_engine import assert_same_gradient, autograd

from companion.core.losses import MEANS, Units, total_loss, units, weighed_loss
from companion.core.network import Parameters, starting_batch
from companion.core.settings import (
    MASKS,
    Activation,
    CoverageForm,
    Initialisation,
    Inputs,
    OverlapForm,
    Reduction,
    SeparationForm,
    Settings,
)
from companion.core.train import MOMENTUM, diverged, rates_of, repulsion_schedule, train
from companion.engine import driver, lanes, line, steps
from companion.sweeps.sweep import ENGINES
from companion.sweeps.universes import AXES, NOMINAL, Universe, run_universes, universes
from companion.sweeps.workers import open_executor

TEMPERATURES = (1e-4, 1e-3, 1e-2, 1e-1)
SIZES = (2, 3, 20, 100, 190)
"""The last is wider than a tile of responses, and no multiple of eight."""


class Run(NamedTuple):
    """One run's data and network."""

    x: torch.Tensor
    y: torch.Tensor
    parameters: Parameters


def start_of(size: int, seed: int, settings: Settings) -> Run:
    x, y, start = starting_batch(size, [seed], settings)
    return Run(x[0], y[0], Parameters(*(part[0] for part in start)))


def compiled(run: Run, settings: Settings, weighed: Units) -> Parameters:
    """The engine's gradient, with what λ counts taken from elsewhere."""
    arrays = [value.numpy() for value in (run.x, run.y, *run.parameters)]
    terms = steps.terms_of(settings, weighed)
    workspace = line.new_run(*arrays[:2], arrays[2:], terms)
    driver._advance(line, workspace, terms, steps.one_step_of_no_size(settings, 1.0))
    return Parameters(*map(torch.as_tensor, line.rows(workspace, workspace.gradient)))


def gradient_of(run: Run, settings: Settings, weighed: Units) -> Parameters:
    """The plain path's, with the same."""
    leaves = Parameters(*(value.clone().requires_grad_() for value in run.parameters))
    weighed_loss(run.x, run.y, leaves, settings, 1.0, weighed).backward()
    return Parameters(*(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves))


# --- gradients ---


def mixtures(coverage: str, overlap: str, size: int) -> Iterator[tuple[Settings, int]]:
    """Settings with two forms, every separation, activation and reduction, and the rest's levels in turn."""
    starts, places = list(Initialisation), [*CoverageForm].index(coverage) + 4 * [*OverlapForm].index(overlap)
    rest = list(product(SeparationForm, Activation, Reduction))
    for k, (separation, activation, reduction) in enumerate(rest[:: 1 if size < 100 else 3]):
        number = places + 5 * k
        settings = Settings(
            mask="111",
            strength=0.7,
            temperature=TEMPERATURES[(number // 3) % 4],
            inputs=list(Inputs)[number % 2],
            initialisation=starts[number % 8],
            activation=activation,
            coverage_form=coverage,
            separation_form=separation,
            overlap_form=overlap,
            reduction=reduction,
        )
        yield settings, number


@pytest.mark.long
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("overlap", OverlapForm)
@pytest.mark.parametrize("coverage", CoverageForm)
def test_gradients_of_every_form_are_autograd_s(coverage, overlap, size):
    for settings, number in mixtures(coverage, overlap, size):
        x, y, start = start_of(size, number % 10, settings)
        given = x, y, start, settings, 0.6
        assert_same_gradient(driver.gradient(*given), autograd(*given))


def test_the_mixtures_have_every_level_at_every_size():
    for size in SIZES:
        found = [settings for c, o in product(CoverageForm, OverlapForm) for settings, _ in mixtures(c, o, size)]
        for name in ("inputs", "initialisation", "activation", "separation_form", "reduction", "temperature"):
            levels = TEMPERATURES if name == "temperature" else type(getattr(Settings(), name))
            assert {getattr(one, name) for one in found} == set(levels)


@pytest.mark.parametrize("neurons", [1, 7, 30])
@pytest.mark.parametrize("overlap", OverlapForm)
@pytest.mark.parametrize("coverage", CoverageForm)
def test_samples_need_not_be_as_many_as_neurons(coverage, overlap, neurons):
    for separation in SeparationForm:
        settings = Settings(
            "111", temperature=0.01, coverage_form=coverage, separation_form=separation, overlap_form=overlap
        )
        (x, y, _), (_, _, start) = start_of(13, 4, settings), start_of(30, 5, settings)
        given = x, y, Parameters(*(part[:neurons] if part.dim() else part for part in start)), settings
        assert_same_gradient(driver.gradient(*given), autograd(*given))


ALONE = [
    *(("010", {"coverage_form": level}) for level in CoverageForm),
    *(("001", {"separation_form": level}) for level in SeparationForm),
    *(("100", {"overlap_form": level}) for level in OverlapForm),
]
"""Each form with no other structural loss."""
alone = pytest.mark.parametrize(("mask", "form"), ALONE, ids=lambda given: given if isinstance(given, str) else "")


@alone
@pytest.mark.parametrize("activation", Activation)
def test_each_form_s_gradient_alone_is_autograd_s(mask, form, activation):
    """Where a = 0, c = 0 and y = 0 the fit has no gradient, so nothing larger hides it."""
    seen = []
    for size, temperature in product((3, 20), TEMPERATURES):
        settings = Settings(mask, temperature=temperature, initialisation="data-5", activation=activation, **form)
        x, y, (w, b, a, c) = start_of(size, 3, settings)
        given = x, 0 * y, Parameters(w, b, 0 * a, 0 * c), settings
        computed = driver.gradient(*given)
        assert not computed.a.any() and not computed.c.any()
        assert_same_gradient(computed, autograd(*given))
        seen.append(bool(computed.w.any() and computed.b.any()))
    assert sum(seen) >= 7, "at N = 3 and the lowest τ prototypes are too far apart to push"


@alone
@pytest.mark.parametrize("reduction", Reduction)
def test_gradients_are_the_loss_s_differences(mask, form, reduction):
    settings = Settings(mask, temperature=0.05, reduction=reduction, activation="exp(-z²/2)", **form)
    x, y, start = start_of(6, 2, settings)
    computed = driver.gradient(x, y, start, settings, 0.5)
    check_by_differences(computed, lambda moved: total_loss(x, y, moved, settings, 0.5), start)


@pytest.mark.parametrize("temperature", [1e300, 1e100, 1e-18, 1e-20, 1e-30, 1e-100, 1e-300])
@alone
def test_gradients_at_extreme_temperatures_are_numbers_where_autograd_s_are(mask, form, temperature):
    for size, reduction in product((2, 3, 20, 100), Reduction):
        settings = Settings(mask, temperature=temperature, reduction=reduction, **form)
        x, y, start = start_of(size, 7, settings)
        computed, expected = driver.gradient(x, y, start, settings), autograd(x, y, start, settings)
        if all(part.isfinite().all() for part in expected):
            assert_same_gradient(computed, expected)
        assert all(part.isfinite().all() for part in computed)


@alone
def test_gradients_where_prototypes_coincide_or_are_far_away(mask, form):
    """Neurons that are alike, one beyond every reach, a weight that is nearly 0, one that responds to no sample."""
    x, y, _ = start_of(13, 3, Settings())
    w = torch.tensor([5.0, 5.0, -3.0, 1e-3, 1e-9, 20.0, 7.0, 7.0, 1e3], dtype=torch.float64)
    b = torch.tensor([-2.0, -2.0, 1.0, 1.0, -1.0, -9.0, 0.0, -7.0, 7e3], dtype=torch.float64)
    a = torch.linspace(-1, 1, 9, dtype=torch.float64)
    parameters = Parameters(w, b, a, torch.tensor(0.1, dtype=torch.float64))
    for temperature in (1e-4, 1.0):
        settings = Settings(mask, temperature=temperature, **form)
        computed, expected = driver.gradient(x, y, parameters, settings), autograd(x, y, parameters, settings)
        # Of two neurons at one place one is pulled by what takes a least or a largest: which, is not the formula's.
        together = [torch.cat([part[:2].sum(0, keepdim=True), part[2:]]) for part in (*computed[:2], *expected[:2])]
        for one, other in zip(together[:2], together[2:], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13)


@alone
def test_a_weight_of_zero_breaks_what_it_breaks_in_the_plain_path_and_no_more(mask, form):
    settings = Settings(mask, temperature=0.01, **form)
    x, y, start = start_of(5, 2, settings)
    start.w[2] = 0.0
    computed, expected = driver.gradient(x, y, start, settings), autograd(x, y, start, settings)
    if mask == "100" or form.get("coverage_form") == CoverageForm.RESPONSE:
        assert_same_gradient(computed, expected)
    else:
        assert computed.w[2].isnan() and expected.w[2].isnan(), "its prototype is infinite"
    assert all((one.isfinite() | ~other.isfinite()).all() for one, other in zip(computed, expected, strict=True))


# --- what λ counts ---

MATCHED = [Settings(mask, matched=True, reduction=reduction, **form) for mask, form in ALONE for reduction in Reduction]


@pytest.mark.parametrize("size", [20, 100])
@pytest.mark.parametrize("start", Initialisation)
def test_what_λ_counts_is_the_plain_path_s(start, size):
    for settings, activation in product(MATCHED[size // 20 % 2 :: 2], Activation):
        one = settings.but(initialisation=start, activation=activation, temperature=0.01)
        run = start_of(size, 2, one)
        expected = units(*run, one)
        found = driver._units(driver.Task(*(value.numpy() for value in run[:2]), [v.numpy() for v in run[2]]), one)
        for name, ours, theirs in zip(Units._fields, found, expected, strict=True):
            assert ours == pytest.approx(float(theirs), rel=1e-11), name


@pytest.mark.parametrize("size", [2, 3])
def test_of_few_neurons_a_matched_cosine_has_fewer_digits(size):
    """The gradient of a cosine is what is left of terms of about unit size. Of two or three neurons that are nearly
    alike, or share hardly a sample, it is tiny beside them, so either engine's is known to some 1e-15 and not to as
    many digits; matched, it is made as long as the fit's, and its error with it."""
    for start, seed, activation in product(Initialisation, range(6), Activation):
        settings = Settings(
            "111", matched=True, overlap_form="cosine", activation=activation, initialisation=start, temperature=0.01
        )
        run = start_of(size, seed, settings)
        expected = Units(*map(float, units(*run, settings)))
        found = driver._units(driver.Task(*(v.numpy() for v in run[:2]), [v.numpy() for v in run[2]]), settings)
        fit = float(torch.cat([part.reshape(-1) for part in driver.gradient(*run, settings.but(mask="000"))]).norm())
        assert abs(fit / found.overlap - fit / expected.overlap) <= 1e-14
        assert found.coverage == pytest.approx(expected.coverage, rel=1e-11)
        for one, other in zip(compiled(run, settings, expected), gradient_of(run, settings, expected), strict=True):
            largest = float(other.abs().max())
            assert float((one - other).abs().max()) <= 1e-12 * largest + 1e-14 * expected.overlap


@pytest.mark.parametrize("attractor", ["chamfer", "transport"])
def test_other_attractors_are_weighed_alike(attractor):
    for change in ({"reduction": "sum"}, {"matched": True}, {"matched": True, "reduction": "sum"}):
        settings = Settings("111", attractor, temperature=0.01, balance=1.3, **change)
        given = *start_of(20, 2, settings), settings, 0.6
        for one, other in zip(driver.gradient(*given), autograd(*given), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10 * float(other.abs().max()))


def test_without_a_mask_nothing_is_weighed():
    settings = Settings("000", matched=True)
    run = start_of(5, 2, settings)
    plain = driver.gradient(*run, Settings("000"))
    assert all(map(torch.equal, driver.gradient(*run, settings), plain))
    assert all(map(torch.equal, compiled(run, settings, MEANS), plain))


# --- padding ---


@pytest.mark.parametrize("optimiser", ["adam", "momentum"])
@pytest.mark.parametrize("overlap", OverlapForm)
@pytest.mark.parametrize("coverage", CoverageForm)
def test_padding_stays_where_it_is(coverage, overlap, optimiser):
    """Three neurons in lanes of eight: the five others stay where they were."""
    for separation in SeparationForm:
        settings = Settings(
            mask="111",
            temperature=0.01,
            optimiser=optimiser,
            steps=40,
            coverage_form=coverage,
            separation_form=separation,
            overlap_form=overlap,
        )
        x, y, start = start_of(3, 1, settings)
        terms = steps.terms_of(settings)
        run = line.new_run(x.numpy(), y.numpy(), [value.numpy() for value in start], terms)
        before = run.parameters.copy()
        driver._advance(line, run, terms, steps.schedule_of(settings, 0.01))
        changed = (run.parameters != before)[: -lanes.WIDTH].reshape(3, lanes.WIDTH)
        assert changed[:, :3].all() and not changed[:, 3:].any()


# --- training ---


def moved(start: Parameters, stream: np.random.Generator) -> Parameters:
    """A start of which about two thirds of the numbers are the next ones that float64 has."""
    signs = [torch.from_numpy(stream.integers(-1, 2, tuple(value.shape)).astype(float)) for value in start]
    return Parameters(*(value * (1 + 2.3e-16 * sign) for value, sign in zip(start, signs, strict=True)))


def distance(left: Parameters, right: Parameters) -> float:
    """The largest difference of any parameter, over the largest of its kind or 1."""
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1)) for a, b in zip(left, right, strict=True))


AMPLIFIED: dict[int, int] = {}
"""Of each size, runs that rounding moves by more than 1e-9."""


@pytest.mark.long
@pytest.mark.parametrize(("size", "count"), [(3, 60), (20, 60), (100, 10)])
def test_200_steps_of_random_universes_agree_with_the_plain_path(size, count):
    """To 1e-9; or else, as training amplifies rounding, a start moved in its last digits moves the plain path's own
    result by a thousandth as much at the least."""
    sample, stream, amplified = universes("sobol"), np.random.default_rng(0), 0
    for k, number in enumerate(stream.choice(1024, 60, replace=False)[:count]):
        settings = sample[number].settings(list(MASKS)[k % 8] if k % 3 else "111", size).but(steps=200)
        x, y, start = start_of(size, 5, settings)
        both = Parameters(*map(torch.stack, zip(start, moved(start, np.random.default_rng(k)), strict=True)))
        plain = train(x.expand(2, -1), y.expand(2, -1), both, settings).parameters
        here, beside = (Parameters(*(part[row] for part in plain)) for row in (0, 1))
        off = distance(driver.train(x, y, start, settings).parameters, here)
        if not off <= 1e-9:
            amplified += 1
            assert off <= 1000 * distance(beside, here), (number, settings.text)
    REPORT.append(f"universes: {amplified} of {count} runs of N = {size} that rounding moves by more than 1e-9")
    assert amplified <= count // 3


# --- the same bits ---

SMALL = {"masks": ["000", "111"], "sizes": [3, 20], "seeds": [1, 2, 3, 4]}


def universe(**levels: str) -> Universe:
    return NOMINAL.but(**{axis: {one.name: one for one in AXES[axis]}[name] for axis, name in levels.items()})


FEW = {
    0: universe(optimiser="momentum", λ="gradient-matched", steps="500", target="labels", inputs="grid"),
    1: universe(overlap="squared covariance", coverage="soft assignment", separation="1/(1+d²/τ)", steps="500"),
    2: universe(overlap="cosine", coverage="largest response", separation="exp(-d/√τ)", reduction="sum", steps="500"),
}


@pytest.fixture(scope="module")
def expected() -> pd.DataFrame:
    return run_universes(FEW, **SMALL)


def test_a_universe_s_runs_are_the_same_bits_in_any_batch(expected, monkeypatch):
    for batch in (1, 3):
        monkeypatch.setitem(ENGINES, "fast", ENGINES["fast"]._replace(batch=lambda size, steps, b=batch: b))
        pd.testing.assert_frame_equal(run_universes(FEW, **SMALL), expected, check_exact=True)
    monkeypatch.undo()
    for number, one in FEW.items():
        alone = run_universes({number: one}, **SMALL)
        here = expected[expected["universe"] == number].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, here, check_exact=True)


@pytest.mark.parametrize("threads", [1, 2])
def test_on_any_number_of_threads(expected, monkeypatch, threads):
    monkeypatch.setitem(ENGINES, "fast", ENGINES["fast"]._replace(batch=lambda size, steps: 1))
    with ThreadPoolExecutor(threads) as executor:
        found = run_universes(FEW, **SMALL, executor=executor)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.slow
def test_and_in_processes(expected):
    with open_executor(workers=2) as executor:
        pd.testing.assert_frame_equal(run_universes(FEW, **SMALL, executor=executor), expected, check_exact=True)


# --- momentum ---

BOTH = {"plain": train, "compiled": driver.train}
engines = pytest.mark.parametrize("engine", BOTH.values(), ids=BOTH)
SWINGING = Settings("111", optimiser="momentum", step_size=1.0, steps=60, overlap_form="cosine", strength=0.1).but(
    initialisation="data-5", temperature=0.01
)
"""Settings of which some starts take a step size of 1, and some do not."""


def momentum_by_hand(run: Run, settings: Settings, rate: float) -> list[Parameters]:
    """Gradient descent with momentum as its two lines say: v = 0.9 v + ∇L, p = p - rate v. Parameters at every step."""
    parameters, moving = run.parameters, [torch.zeros_like(value) for value in run.parameters]
    weighed, found = units(*run, settings), [run.parameters]
    for repulsion in repulsion_schedule(settings.steps, settings.anneal):
        leaves = Parameters(*(value.clone().requires_grad_() for value in parameters))
        weighed_loss(run.x, run.y, leaves, settings, repulsion, weighed).backward()
        moving = [MOMENTUM * one + leaf.grad for one, leaf in zip(moving, leaves, strict=True)]
        parameters = Parameters(*(value - rate * one for value, one in zip(parameters, moving, strict=True)))
        found.append(parameters)
    return found


def loss_of(run: Run, at: Parameters, settings: Settings) -> float:
    return float(weighed_loss(run.x, run.y, at, settings, 1.0, units(*run, settings)))


def rate_by_hand(run: Run, settings: Settings) -> tuple[float, list[Parameters]]:
    """The largest step size whose loss is not above the start's after a tenth of the steps nor at the end; and its
    parameters at every step."""
    for rate in (settings.step_size, settings.step_size / 10, settings.step_size / 100):
        path = momentum_by_hand(run, settings, rate)
        before = loss_of(run, run.parameters, settings)
        if all(loss_of(run, path[step], settings) <= before for step in (settings.steps // 10, settings.steps)):
            break
    return rate, path


def close(found: Parameters, expected: Parameters, tolerance: float = 1e-10) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_step_sizes_are_tried_from_the_largest():
    assert MOMENTUM == 0.9
    assert rates_of(Settings(optimiser="momentum", step_size=1.0)) == [1.0, 0.1, 0.01]
    assert rates_of(Settings(optimiser="momentum", step_size=0.5)) == [0.5, 0.05, 0.005]
    assert rates_of(Settings()) == [0.01] and rates_of(Settings(step_size=1e-3)) == [1e-3]


@engines
@pytest.mark.parametrize("change", [{}, {"anneal": True}, {"matched": True}, {"mask": "000"}, {"reduction": "sum"}])
def test_each_run_takes_the_largest_step_size_that_it_can(engine, change):
    settings = SWINGING.but(**change)
    found = engine(*starting_batch(5, range(8), settings), settings).parameters
    rates = []
    for seed in range(8):
        rate, path = rate_by_hand(start_of(5, seed, settings), settings)
        close(Parameters(*(part[seed] for part in found)), path[-1], 1e-8)
        rates.append(rate)
    assert {1.0, 0.1} <= set(rates), "in one batch some take 1, and others do not"


@engines
def test_one_that_cannot_take_1_is_the_same_bits_as_trained_at_a_tenth(engine):
    """Whatever was tried before leaves nothing behind."""
    diverging = [seed for seed in range(8) if rate_by_hand(start_of(5, seed, SWINGING), SWINGING)[0] == 0.1]
    whole = engine(*starting_batch(5, diverging, SWINGING), SWINGING, [0, 7, 60])
    tenth = engine(*starting_batch(5, diverging, SWINGING), SWINGING.but(step_size=0.1), [0, 7, 60])
    assert len(diverging) > 1 and all(map(torch.equal, whole.parameters, tenth.parameters))
    assert all(map(torch.equal, whole.recorded, tenth.recorded))


@engines
def test_the_last_step_size_stands_where_all_are_too_large(engine):
    settings = Settings("000", optimiser="momentum", step_size=300.0, steps=20)
    run = start_of(5, 1, settings)
    found = engine(*run, settings, [0, 20])
    expected = momentum_by_hand(run, settings, 3.0)[-1]
    assert loss_of(run, expected, settings) > loss_of(run, run.parameters, settings), "too large, too"
    close(found.parameters, expected, 1e-7)
    close(Parameters(*(part[1] for part in found.recorded)), found.parameters, 0)


@engines
def test_a_run_that_overflows_with_every_step_size_is_lost_and_no_other(engine):
    settings = Settings("010", optimiser="momentum", step_size=1e300, steps=30)
    x, y, start = starting_batch(4, [1, 2], settings)
    start.a[1] *= 0
    start.c[1] = 0
    y[1] *= 0
    found = engine(x, y, start, settings.but(mask="000")).parameters
    assert not found.c[0].isfinite()
    assert torch.equal(found.w[1], start.w[1]) and float(found.c[1]) == 0, "a run at its least stays there"


@engines
def test_the_record_is_of_the_step_size_that_a_run_takes(engine):
    record = [0, 3, 6, 31, 60]
    found = engine(*starting_batch(5, range(8), SWINGING), SWINGING, record)
    assert found.recorded.w.shape == (5, 8, 5) and found.recorded.c.shape == (5, 8)
    for seed in range(8):
        _, path = rate_by_hand(start_of(5, seed, SWINGING), SWINGING)
        for place, step in enumerate(record):
            close(Parameters(*(part[place, seed] for part in found.recorded)), path[step], 1e-8)
    unrecorded = engine(*starting_batch(5, range(8), SWINGING), SWINGING)
    assert unrecorded.recorded.w.shape == (0, 8, 5)
    assert all(map(torch.equal, unrecorded.parameters, found.parameters))


def test_a_run_that_has_its_step_size_keeps_it_whatever_the_next_one_would_do(monkeypatch):
    """The plain path trains a whole batch again where one run is left."""
    answers = iter([[False, True, True], [True, False, True], [False, False, False]])
    monkeypatch.setattr("companion.core.train.diverged", lambda *_: torch.tensor(next(answers)))
    found = train(*starting_batch(5, range(3), SWINGING), SWINGING).parameters
    for seed, rate in enumerate((1.0, 0.1, 0.01)):
        expected = momentum_by_hand(start_of(5, seed, SWINGING), SWINGING, rate)[-1]
        close(Parameters(*(part[seed] for part in found)), expected, 1e-8)


@engines
def test_annealing_with_momentum(engine):
    """The repulsions fall as steps pass; whether a step size is too large is asked of the whole loss."""
    settings = SWINGING.but(anneal=True, step_size=0.1)
    run = start_of(5, 3, settings)
    close(engine(*run, settings).parameters, rate_by_hand(run, settings)[1][-1], 1e-9)
    assert distance(engine(*run, settings).parameters, engine(*run, settings.but(anneal=False)).parameters) > 1e-4


@engines
@pytest.mark.parametrize("count", [0, 1, 9])
def test_few_steps_have_no_tenth(engine, count):
    settings = SWINGING.but(steps=count)
    for seed in range(4):
        run = start_of(5, seed, settings)
        found = engine(*run, settings, [0, count] if count else [0])
        close(found.parameters, rate_by_hand(run, settings)[1][-1], 1e-10)
        close(Parameters(*(part[0] for part in found.recorded)), run.parameters, 0)


@pytest.mark.parametrize("shape", [(), (6,), (2, 3)], ids=str)
def test_both_engines_choose_alike_in_any_arrangement_of_runs(shape):
    x, y, start = starting_batch(5, range(6), SWINGING)
    given = [value.reshape((*shape, *value.shape[1:])) if shape else value[3] for value in (x, y, *start)]
    both = [engine(*given[:2], Parameters(*given[2:]), SWINGING, [6]) for engine in BOTH.values()]
    close(both[1].parameters, both[0].parameters, 1e-9)
    close(both[1].recorded, both[0].recorded, 1e-9)
    flat = train(x, y, start, SWINGING).parameters
    for one, whole in zip(both[0].parameters, flat, strict=True):
        part = whole.reshape(one.shape) if shape else whole[3]
        torch.testing.assert_close(one, part, rtol=1e-9, atol=1e-9)


def moments_of(*losses: float) -> tuple[torch.Tensor, torch.Tensor, list[Parameters]]:
    """One run at moments of which the loss is given: a network that is a constant, and values of 0."""
    zero = torch.zeros(2, dtype=torch.float64)
    constants = [torch.tensor(loss, dtype=torch.float64).sqrt() for loss in losses]
    return zero + 0.5, zero, [Parameters(zero + 1, zero, zero, c) for c in constants]


@pytest.mark.parametrize(
    ("losses", "too_large"),
    [
        ((1.0, 0.5, 0.25), False),
        ((1.0, 1.0, 1.0), False),
        ((1.0, 1.5, 0.5), True),
        ((1.0, 0.5, 1.5), True),
        ((1.0, 0.5, float("nan")), True),
        ((1.0, float("inf"), 0.5), True),
        ((1.0, 0.5), False),
    ],
)
def test_a_step_size_is_too_large_where_the_loss_is_above_the_first_or_no_number(losses, too_large):
    x, y, moments = moments_of(*losses)
    assert diverged(x, y, moments, Settings(), MEANS).tolist() is too_large


def test_each_run_diverges_alone_and_by_the_loss_that_is_trained():
    x, y, moments = moments_of(1.0, 0.5, 0.5)
    other = moments_of(1.0, 0.5, 2.0)[2]
    both = [Parameters(*map(torch.stack, zip(*pair, strict=True))) for pair in zip(moments, other, strict=True)]
    assert diverged(x.expand(2, -1), y.expand(2, -1), both, Settings(), MEANS).tolist() == [False, True]
    apart = [moments[0], moments[1]._replace(b=moments[1].b - 5)]  # better fitted, but far from all samples
    for mask, strength, too_large in (("000", 1.0, False), ("010", 1.0, True), ("010", 1e-9, False)):
        settings = Settings(mask, strength=strength, coverage_form="nearest prototype")
        assert diverged(x, y, apart, settings, MEANS).tolist() is too_large
    assert diverged(x, y, apart, Settings("010"), Units(1.0, 1e-9, 1.0)).tolist() is False


def test_momentum_is_pytorch_s():
    settings = Settings("111", optimiser="momentum", step_size=0.01, steps=25, temperature=0.01)
    run = start_of(5, 2, settings)
    leaves = Parameters(*(value.clone().requires_grad_() for value in run.parameters))
    optimiser = torch.optim.SGD(leaves, lr=0.01, momentum=0.9)
    for _ in range(25):
        optimiser.zero_grad()
        total_loss(run.x, run.y, leaves, settings).backward()
        optimiser.step()
    expected = Parameters(*(leaf.detach() for leaf in leaves))
    assert all(map(torch.equal, train(*run, settings).parameters, expected))
    close(momentum_by_hand(run, settings, 0.01)[-1], expected, 1e-12)
