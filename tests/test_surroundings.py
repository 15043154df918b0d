"""What a caller's process may be set to: it changes no result, and stops none."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, posix
from inputs import strict

from companion.core import losses, metrics, network, train
from companion.core.network import Parameters, starting_batch
from companion.core.settings import MASKS, Settings
from companion.engine import driver
from companion.judging import paired, verdicts
from companion.sweeps import sweep
from companion.sweeps.measures import measure
from companion.sweeps.runs import summary
from companion.sweeps.sweep import run_sweep

SETTINGS = {
    "line": Settings("111", steps=5),
    "radial": Settings("111", neuron="radial", dimension=2, target="diagonal", steps=5),
    "ridge": Settings("111", attractor="transport", neuron="ridge", dimension=2, target="diagonal", steps=5),
}
FEW: dict[str, Any] = {"masks": ["000"], "sizes": [3], "seeds": [1, 2], "steps": 5}
ENGINES = {"torch": train.train, "fast": driver.train}


def trained(engine: str, settings: Settings, start_in: Any = nullcontext, train_in: Any = nullcontext) -> list[Any]:
    """A batch's parameters, recorded ones, and measures, with the start drawn and the training done in some modes."""
    with start_in():
        x, y, start = starting_batch(4, (1, 2), settings)
    with train_in():
        found = ENGINES[engine](x, y, start, settings, [0, 5])
        measured = measure(x, y, found.parameters, settings.neuron)
    return [*(value.numpy() for value in (*found.parameters, *found.recorded)), *measured.values()]


# --- PyTorch's modes ---


@pytest.mark.parametrize(
    "mode",
    [
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.device("meta"),
        lambda: torch.autocast("cpu", torch.bfloat16),
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("neuron", SETTINGS)
def test_pytorch_s_modes_and_default_device_change_no_bit(engine, neuron, mode):
    expected = trained(engine, SETTINGS[neuron])
    for modes in ({"start_in": mode}, {"train_in": mode}, {"start_in": mode, "train_in": mode}):
        for value, same in zip(trained(engine, SETTINGS[neuron], **modes), expected, strict=True):
            np.testing.assert_array_equal(value, same)


def test_single_precision_stays_whole_beside_lower_ones():
    few = {**FEW, "masks": ["111"], "steps": 50, "dtype": "float32", "progress": False}
    expected = run_sweep(**few)
    with torch.autocast("cpu", torch.bfloat16):
        pd.testing.assert_frame_equal(run_sweep(**few), expected)


def test_training_leaves_the_caller_s_mode_and_takes_no_gradient_of_the_data():
    x, y, start = starting_batch(4, (1,))
    x.requires_grad_()
    with torch.no_grad():
        train.train(x, y, start, SETTINGS["line"])
        assert not torch.is_grad_enabled()
    assert x.grad is None


@pytest.mark.parametrize("engine", ENGINES)
def test_a_minus_that_is_only_a_bit_changes_nothing(engine):
    x, y, start = starting_batch(4, (1, 2))
    lazy = torch.complex(x, -x).conj().imag
    assert lazy.is_neg() and torch.equal(lazy, x)
    found, same = (ENGINES[engine](data, y, start, SETTINGS["line"]).parameters for data in (lazy, x))
    assert all(map(torch.equal, found, same))
    assert measure(lazy, y, found).keys() == measure(x, y, same).keys()
    assert metrics.position_error(lazy, x).tolist() == [0.0, 0.0]


LOSSES = {
    "coverage": lambda x, p: losses.coverage_loss(x, p, 0.1),
    "chamfer": lambda x, p: losses.chamfer_loss(x, p, 0.1),
    "transport": losses.transport_loss,
    "separation": lambda x, p: losses.separation_loss(p, 0.1),
    "overlap": lambda x, p: losses.overlap_loss(network.activations(x, p + 1, p)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_pytorch_maps_and_differentiates_a_loss_as_a_function(name):
    x, _, (w, *_) = starting_batch(4, (1, 2, 3))
    mapped = torch.func.vmap(LOSSES[name])(x, w)
    torch.testing.assert_close(mapped, LOSSES[name](x, w), rtol=1e-14, atol=0)
    hessian = torch.func.hessian(lambda p: LOSSES[name](x[0], p))(w[0])
    expected = torch.autograd.functional.hessian(lambda p: LOSSES[name](x[0], p), w[0])
    torch.testing.assert_close(hessian, expected, rtol=1e-12, atol=1e-14)


def test_pytorch_maps_the_total_loss_s_gradient_over_runs():
    x, y, start = starting_batch(4, (1, 2, 3))
    settings = SETTINGS["line"]

    def loss(*given: torch.Tensor) -> torch.Tensor:
        return losses.total_loss(given[0], given[1], Parameters(*given[2:]), settings)

    mapped = torch.func.vmap(torch.func.grad(loss, 2))(x, y, *start)
    alone = [torch.func.grad(loss, 2)(x[run], y[run], *(value[run] for value in start)) for run in range(3)]
    torch.testing.assert_close(mapped, torch.stack(alone), rtol=1e-12, atol=1e-14)


# --- NumPy's and Python's warnings ---


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-320, 1e300, 1e308, np.inf, np.nan])
def test_numbers_at_the_ends_are_summarised_where_warnings_are_errors(value):
    runs = pd.DataFrame({"mask": "000", "size": 3, "seed": range(4), "fit_mse": [value, 2 * value, value, 1.0]})
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = summary(runs, "fit_mse")
    with strict():
        pd.testing.assert_frame_equal(summary(runs, "fit_mse"), expected)
        for compare in (paired.median_difference, paired.p_less, paired.superiority_interval):
            if np.isfinite(value):
                compare(runs["fit_mse"], value)
            else:
                with pytest.raises(
                    ValueError, match="^differences: [34] of 4 are NaN; allowed are numbers on both sides"
                ):
                    compare(runs["fit_mse"], value)


@pytest.mark.parametrize("scale", [0.0, 1e-300, 1.0, 1e300, 1e308])
@pytest.mark.parametrize("neuron", SETTINGS)
def test_parameters_at_the_ends_are_measured_where_warnings_are_errors(neuron, scale):
    x, y, (w, b, a, c) = starting_batch(4, (1, 2), SETTINGS[neuron])
    with strict():
        found = measure(x, y, Parameters(w * scale, b, a * scale, c), neuron)
    assert {value.shape for value in found.values()} == {(2,)}


def test_a_mean_of_no_error_at_all_has_a_place():
    """A perfect run's 0 has no logarithm; the mean of perfect runs has none either."""
    group = {("000", 3): np.zeros(2), ("111", 3): np.ones(2)}
    study = verdicts.Study({"reconstruction_error": group})
    assert study.mean("reconstruction_error", ("000", 3)) == np.log(np.finfo(float).tiny)
    assert study.mean("reconstruction_error", ("000", 3)) == study.values("reconstruction_error", ("000", 3))[0]


# --- the process ---


class Bare:
    """What some programs put in stderr's place."""

    def write(self, text: str) -> None:
        pass

    def flush(self) -> None:
        pass


class Broken(Bare):
    def write(self, text: str) -> None:
        raise BrokenPipeError

    def isatty(self) -> bool:
        return True


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("progress", [None, True])
@pytest.mark.parametrize("stream", [lambda: None, closed, Bare, Broken])
def test_without_a_whole_stderr_a_sweep_trains_all_the_same(monkeypatch, stream, progress):
    monkeypatch.setattr(sys, "stderr", stream())
    found: list[pd.DataFrame] = []
    assert len(run_sweep(**FEW, progress=progress)) == 2
    other = threading.Thread(target=lambda: found.append(run_sweep(**FEW, progress=progress)), daemon=True)
    other.start()
    other.join(60)  # a bar that failed would have left tqdm's lock held
    assert len(found) == 1


def test_a_store_stays_where_it_was_opened(monkeypatch, tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    monkeypatch.chdir(tmp_path / "first")
    train_one = sweep.run_batch

    def elsewhere(batch: Any) -> Any:
        os.chdir(tmp_path / "second")
        return train_one(batch)

    monkeypatch.setattr(sweep, "run_batch", elsewhere)
    assert len(run_sweep(**FEW, store="kept", progress=False)) == 2
    assert list((tmp_path / "first/kept").glob("*.parquet")) and not list((tmp_path / "second").iterdir())


@posix
def test_a_forked_process_trains_after_pytorch_has_started_its_threads():
    """It is forked without a pool, whose jobs are set to one thread by the pool's own care."""
    code = """
import multiprocessing, torch
from companion.sweeps.sweep import run_sweep
few = {"masks": ["111"], "sizes": [50], "seeds": [1, 2, 3], "steps": 5, "engine": "torch", "progress": False}
run_sweep(**few)
process = multiprocessing.get_context("fork").Process(target=run_sweep, kwargs=few)
process.start()
process.join(60)
print(process.exitcode)
process.kill()
"""
    two = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=two, capture_output=True, text=True)
    assert done.stdout == "0\n", done.stderr


class Confused(ThreadPoolExecutor):
    """An executor that gives every job the first job's result, or one of its own."""

    def __init__(self, result: Any = None) -> None:
        super().__init__(1)
        self.result = result

    def submit(self, *arguments: Any, **others: Any) -> Any:
        if self.result is None:
            self.result = super().submit(*arguments, **others).result()
        future: Future[Any] = Future()
        future.set_result(self.result)
        return future


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (None, r"^masks: \['000'\] were given; allowed are the group's, \['111'\]"),
        (3, "^executor: .* gave 3; allowed is"),
    ],
)
@pytest.mark.parametrize("store", [None, "kept"])
def test_a_result_that_is_another_job_s_is_refused(monkeypatch, tmp_path, result, says, store):
    monkeypatch.chdir(tmp_path)
    with Confused(result) as executor, pytest.raises(ValueError, match=says):
        run_sweep(**{**FEW, "masks": ["000", "111"]}, executor=executor, store=store)


@pytest.mark.slow
@posix
def test_where_numba_is_not_to_compile_the_engine_says_so():
    code = "from companion.sweeps.sweep import run_sweep; run_sweep(steps=2)"
    told = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=told, capture_output=True, text=True)
    assert "ValueError: engine: 'fast' was given where NUMBA_DISABLE_JIT is set; allowed is 'torch'" in done.stderr


@pytest.mark.parametrize("given", [{"mask": "110"}, {"settings": Settings("110")}])
def test_a_mask_for_all_is_not_silently_that_of_the_masks(given):
    with pytest.raises(ValueError, match=r"'mask' was given; allowed are 'masks'|allowed is masks=\['110'\]"):
        run_sweep(**FEW | given)
    assert list(MASKS)[0] == Settings.mask
