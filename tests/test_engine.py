"""The compiled engine on the line is the plain one to rounding, and the same bits however its runs are spread."""

from __future__ import annotations

import errno
import inspect
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mpmath
import numba
import numpy as np
import pytest
import torch
from conftest import ROOT, check_by_differences, posix
from numba.core.caching import IndexDataCacheFile, _SourceFileBackedLocatorMixin

from companion.core.data import sample_task
from companion.core.losses import total_loss
from companion.core.network import Parameters, initial_parameters, predict, starting_batch
from companion.core.settings import MASKS, Attractor, Settings
from companion.core.train import train
from companion.engine import cache, driver, forms, lanes, line, space, steps

SIZES = (3, 20, 100)


def largest_difference(left: Parameters, right: Parameters) -> torch.Tensor:
    """Largest difference of any parameter, a run."""
    return torch.stack(
        [(a - b).abs().reshape(len(left.c), -1).amax(-1) for a, b in zip(left, right, strict=True)]
    ).amax(0)


# --- the exponential ---


@pytest.mark.long
def test_the_exponential_is_exact_to_the_last_place_over_its_whole_range():
    numbers = np.random.default_rng(0)
    y = np.concatenate([numbers.uniform(0, high, 2000) for high in (1e-12, 1, 40, 1022)] + [np.arange(0, 1022, 0.5)])
    computed = lanes.power_of_half(y)
    with mpmath.workdps(40):
        exact = [mpmath.power(2, -mpmath.mpf(value)) for value in y.tolist()]
        units = [
            abs(mpmath.mpf(float(value)) - e) / np.spacing(float(e)) for value, e in zip(computed, exact, strict=True)
        ]
    assert max(units) <= 1.0


def test_subnormal_results_are_exact_to_the_last_place():
    y = np.concatenate([np.random.default_rng(1).uniform(1022, 1076, 2000), np.arange(1022, 1077, 0.25)])
    computed = lanes.power_of_half(y)
    with mpmath.workdps(40):
        smallest = mpmath.mpf(2) ** -1074
        off = [
            abs(mpmath.mpf(float(v)) - mpmath.power(2, -mpmath.mpf(a)))
            for v, a in zip(computed, y.tolist(), strict=True)
        ]
    assert max(off) <= smallest


@pytest.mark.parametrize("mask", ["000", "100"])
@pytest.mark.parametrize(("halvings", "counts"), [(499, True), (501, False)])
def test_responses_below_two_to_minus_500_count_as_nothing(mask, halvings, counts):
    """Each of two neurons responds to one sample, where it is 0, with 2^-halvings."""
    bias = float(np.sqrt(halvings / lanes.LOG2_E))
    ones, x = torch.ones(2, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    parameters = Parameters(ones, bias * ones, ones, torch.zeros((), dtype=torch.float64))
    found = driver.gradient(x, torch.ones_like(x), parameters, Settings(mask))
    assert (found.a != 0).all() == counts and (found.a.abs() < 1e-149).all()
    leaf = parameters.a.clone().requires_grad_()
    total_loss(x, torch.ones_like(x), parameters._replace(a=leaf), Settings(mask)).backward()
    assert (leaf.grad != 0).all() and lanes.FAINT == 500


@pytest.mark.parametrize(
    ("y", "power"),
    [(0, 1), (1, 0.5), (1074, 5e-324), (1075.1, 0), (2000, 0), (1e300, 0), (np.inf, 0), (np.nan, np.nan)],
)
def test_the_exponential_at_its_ends(y, power):
    np.testing.assert_array_equal(lanes.power_of_half([y]), [power])


# --- gradients ---


def autograd(x, y, parameters, settings: Settings, repulsion: float = 1.0) -> Parameters:
    leaves = Parameters(*(value.clone().requires_grad_() for value in parameters))
    total_loss(x, y, leaves, settings, repulsion).backward()
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
    given = initial_parameters(size, 7), Settings(mask, strength=0.7, temperature=temperature)
    assert_same_gradient(driver.gradient(x, y, *given), autograd(x, y, *given))


@pytest.mark.parametrize("temperature", [1e-5, 1e-2, 10.0])
@pytest.mark.parametrize("size", [2, 20, 100])
@pytest.mark.parametrize("mask", ["010", "111"])
@pytest.mark.parametrize("attractor", ["chamfer", "transport"])
def test_gradients_with_other_attractors_are_autograd_s(attractor, mask, size, temperature):
    x, y = sample_task(size, 7)
    settings = Settings(mask, attractor, strength=0.7, temperature=temperature, balance=1.3)
    given = initial_parameters(size, 7), settings, 0.6
    assert_same_gradient(driver.gradient(x, y, *given), autograd(x, y, *given))


@pytest.mark.parametrize("temperature", [1e300, 1e100, 1e-18, 1e-20, 1e-30, 1e-100, 1e-300])
@pytest.mark.parametrize("mask", ["001", "010", "111"])
@pytest.mark.parametrize("attractor", Attractor)
def test_gradients_at_extreme_temperatures_are_autograd_s(attractor, mask, temperature):
    """Where τ is tiny beside x², the bounds of what a sample feels are rounded to its own place."""
    for size in SIZES:
        x, y = sample_task(size, 7)
        given = initial_parameters(size, 7), Settings(mask, attractor, temperature=temperature)
        assert_same_gradient(driver.gradient(x, y, *given), autograd(x, y, *given))


@pytest.mark.parametrize("attractor", ["coverage", "chamfer"])
def test_at_the_least_temperature_the_gradient_is_that_of_hard_distances(attractor):
    """Where the plain engine's d²/τ is infinite, its gradient is no number; the limit is known."""
    for size in SIZES:
        x, y = sample_task(size, 7)
        start = Parameters(*(value.requires_grad_() for value in initial_parameters(size, 7)))
        squared = (x[:, None] + (start.b / start.w)[None, :]) ** 2
        loss = ((predict(x, *start) - y) ** 2).mean() + squared.amin(1).mean()
        loss = loss + squared.amin(0).mean() if attractor == "chamfer" else loss
        expected = Parameters(*torch.autograd.grad(loss, start))
        settings = Settings("010", attractor, temperature=5e-324)
        computed = driver.gradient(x, y, Parameters(*(value.detach() for value in start)), settings)
        assert_same_gradient(computed, expected)


@pytest.mark.slow
def test_equal_prototypes_are_matched_as_in_the_plain_engine_whatever_their_order_was_before():
    """Two neurons meet with the second before the first in the places of the step before."""
    x, y = sample_task(4, 3)
    w = torch.tensor([2.0, 2.0, 2.0, 2.0], dtype=torch.float64)
    start = Parameters(w, torch.tensor([-1.0, -0.5, -1.5, -1.0]).double(), w, torch.tensor(0.0).double())
    settings = Settings("010", "transport")
    terms = steps.terms_of(settings)
    run = line.new_run(x.numpy(), y.numpy(), [value.numpy() for value in start], terms)
    line._gradient(run, terms, 1.0, lanes.CONSTANTS)
    assert run.order.tolist() == [1, 0, 3, 2]
    run.parameters[8 : 8 + 4] = -1.0
    line._gradient(run, terms, 1.0, lanes.CONSTANTS)
    assert run.order.tolist() == [0, 1, 2, 3]
    together = start._replace(b=torch.full_like(w, -1.0))
    computed = Parameters(*map(torch.as_tensor, line.rows(run, run.gradient)))
    assert_same_gradient(computed, autograd(x, y, together, settings))


@pytest.mark.parametrize("temperature", [1e-4, 1e-2, 10.0])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mask", ["001", "010", "100"])
def test_each_structural_term_s_gradient_is_autograd_s(mask, size, temperature):
    """With a = 0, c = 0 and y = 0 the fit's gradient is exactly 0, so the term stands alone."""
    x, _ = sample_task(size, 11)
    w, b, a, c = initial_parameters(size, 11)
    alone = Parameters(w, b, torch.zeros_like(a), torch.zeros_like(c))
    given = x, torch.zeros_like(x), alone, Settings(mask, temperature=temperature)
    computed = driver.gradient(*given)
    assert not computed.a.any() and not computed.c.any() and computed.w.any()
    assert_same_gradient(computed, autograd(*given))


@pytest.mark.slow
@pytest.mark.parametrize("mask", MASKS)
def test_gradients_along_a_training_are_autograd_s(mask):
    x, y = sample_task(30, 5)
    for count in (50, 1000):
        settings = Settings(mask, steps=count)
        trained = train(x, y, initial_parameters(30, 5), settings).parameters
        assert_same_gradient(driver.gradient(x, y, trained, settings), autograd(x, y, trained, settings))


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
        given = x, y, parameters, Settings(mask, attractor, temperature=temperature)
        for one, other in zip(driver.gradient(*given), autograd(*given), strict=True):
            # Autograd's logsumexp rounds at d²/τ: far away its weights of Chamfer's mirror have fewer digits.
            torch.testing.assert_close(one, other, rtol=1e-9 if attractor == "chamfer" else 1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("mask", "attractor"),
    [(mask, "coverage") for mask in MASKS] + [(m, a) for m in ("010", "111") for a in ("chamfer", "transport")],
)
def test_gradients_are_the_loss_s_differences(mask, attractor):
    x, y = sample_task(6, 2)
    start = initial_parameters(6, 2)
    settings = Settings(mask, attractor, temperature=1e-2, balance=1.5)
    computed = driver.gradient(x, y, start, settings, 0.5)
    check_by_differences(computed, lambda moved: total_loss(x, y, moved, settings, 0.5), start)


# --- training ---

ENGINES = (train, driver.train)


@pytest.mark.long
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mask", MASKS)
def test_200_steps_agree_with_the_plain_engine(mask, size):
    given = *starting_batch(size, (1000, 1001, 1002)), Settings(mask, steps=200)
    plain, quick = (engine(*given).parameters for engine in ENGINES)
    assert (largest_difference(quick, plain) <= 1e-9).all()


@pytest.mark.long
@pytest.mark.parametrize("anneal", [False, True])
@pytest.mark.parametrize("mask", ["010", "111"])
@pytest.mark.parametrize("attractor", Attractor)
def test_200_steps_with_any_attractor_agree_with_the_plain_engine(attractor, mask, anneal):
    settings = Settings(mask, attractor, balance=2.0, anneal=anneal, steps=200)
    plain, quick = (engine(*starting_batch(20, (1, 2)), settings).parameters for engine in ENGINES)
    assert (largest_difference(quick, plain) <= 1e-9).all()


@pytest.mark.long
def test_another_step_size_agrees_with_the_plain_engine_too():
    given = starting_batch(5, (1, 2))
    plain, quick = (engine(*given, Settings("111", step_size=0.1, steps=50)).parameters for engine in ENGINES)
    assert (largest_difference(quick, plain) <= 1e-9).all()
    assert (largest_difference(quick, driver.train(*given, Settings("111", steps=50)).parameters) > 0.1).all()


def test_annealing_does_not_depend_on_the_steps_recorded():
    given, settings = starting_batch(5, (1, 2)), Settings("111", "transport", anneal=True, steps=60)
    whole, parts = (driver.train(*given, settings, record) for record in ((), (7, 30)))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters, parts.parameters, strict=True))
    constant = driver.train(*given, settings.but(anneal=False)).parameters
    assert not torch.equal(whole.parameters.w, constant.w)


@pytest.mark.slow
@pytest.mark.parametrize("mask", MASKS)
def test_200_steps_differ_no_more_than_the_plain_engine_from_itself(mask):
    """Rounding travels: on every seed, also where it is amplified, a permutation of the neurons moves the plain engine
    as far as the fast engine is from it, up to a factor."""
    x, y, start = starting_batch(100, range(1000, 1010))
    settings = Settings(mask, steps=200)
    plain = train(x, y, start, settings).parameters
    itself = torch.zeros(10, dtype=torch.float64)
    for draw in range(3):
        order = torch.randperm(100, generator=torch.Generator().manual_seed(draw))
        mixed = train(x, y, Parameters(*(v[:, order] for v in start[:3]), start.c), settings).parameters
        back = Parameters(*(v[:, order.argsort()] for v in mixed[:3]), mixed.c)
        itself = torch.maximum(itself, largest_difference(back, plain))
    quick = driver.train(x, y, start, settings).parameters
    assert (largest_difference(quick, plain) <= 1e-11 + 100 * itself).all()


@pytest.mark.parametrize("mask", ["000", "111"])
def test_the_record_is_the_plain_engine_s(mask):
    given = *starting_batch(5, (1, 2, 3)), Settings(mask, steps=60)
    plain, quick = (engine(*given, [0, 1, 50, 60]) for engine in ENGINES)
    assert quick.recorded.w.shape == (4, 3, 5)
    for ours, expected in zip(quick.recorded, plain.recorded, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)
    unrecorded = driver.train(*given)
    assert unrecorded.recorded.w.shape == (0, 3, 5)
    assert all(torch.equal(a, b) for a, b in zip(quick.parameters, unrecorded.parameters, strict=True))


def test_one_run_needs_no_leading_dimension_and_arguments_stay_as_they_were():
    x, y = sample_task(4, 1)
    start = initial_parameters(4, 1)
    before = [value.clone() for value in (x, y, *start)]
    trained = driver.train(x, y, start, Settings("111", steps=5), [5])
    assert trained.parameters.w.shape == (4,) and trained.parameters.c.shape == ()
    assert trained.recorded.w.shape == (1, 4) and trained.recorded.c.shape == (1,)
    assert all(torch.equal(a, b) for a, b in zip(before, (x, y, *start), strict=True))
    untrained = driver.train(x, y, start, Settings("111", steps=0)).parameters
    assert all(torch.equal(a, b) for a, b in zip(untrained, start, strict=True))


def test_a_single_neuron_has_no_pair():
    x, y = sample_task(6, 1)
    start = Parameters(*(value[:1] if value.dim() else value for value in initial_parameters(6, 1)))
    plain, quick = (engine(x, y, start, Settings("111", steps=30)).parameters for engine in ENGINES)
    for one, other in zip(quick, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_a_weight_of_zero_breaks_its_own_run_as_in_the_plain_engine():
    x, y, start = starting_batch(5, (1, 2))
    start.w[0, 2] = 0.0
    quick, plain = (engine(x, y, start, Settings("011", steps=3)).parameters for engine in (driver.train, train))
    assert quick.w[0, 2].isnan() and plain.w[0, 2].isnan()
    torch.testing.assert_close(quick.w[1], plain.w[1])


def test_training_lowers_the_loss():
    x, y = sample_task(20, 4)
    start = initial_parameters(20, 4)
    for mask in MASKS:
        settings = Settings(mask, steps=500)
        trained = driver.train(x, y, start, settings).parameters
        assert total_loss(x, y, trained, settings) < 0.5 * total_loss(x, y, start, settings)


# --- the same bits ---


def weights(seed: int) -> bytes:
    start = initial_parameters(20, seed)
    trained = driver.train(*sample_task(20, seed), start, Settings("111", steps=300)).parameters
    return b"".join(value.numpy().tobytes() for value in trained)


def test_threads_give_the_same_bits():
    alone = [weights(seed) for seed in range(16)]
    for count in (2, 8):
        with ThreadPoolExecutor(count) as pool:
            assert list(pool.map(weights, range(16))) == alone


def test_batches_give_the_same_bits():
    together = driver.train(*starting_batch(20, range(16)), Settings("111", steps=300)).parameters
    for seed in (0, 15):
        assert b"".join(value[seed].numpy().tobytes() for value in together) == weights(seed)


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86-64-v3 is the name of an x86 processor")
def test_narrow_vectors_give_the_same_bits():
    """A processor with 256-bit vectors only: the order of every sum is in the source, not in the compiler's hands."""
    script = "import sys; sys.path.insert(0, 'tests'); import test_engine; print(test_engine.weights(3).hex())"
    narrow = os.environ | {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=narrow, capture_output=True, text=True)
    assert done.stdout.strip() == weights(3).hex(), done.stderr


# --- both sets of kernels ---


ENTRIES = {"line": (line, "advance"), "space": (space, "advance"), "lanes": (lanes, "_halvings_of")}
"""What Python calls, and numba therefore keeps on disk."""


@pytest.mark.parametrize("name", ENTRIES)
def test_stored_code_is_renewed_when_any_file_of_the_engine_changes(name):
    """numba looks only at the file of the function that it stores; what that one calls is in others."""
    module, entry = ENTRIES[name]
    function = getattr(module, entry)
    source = inspect.getclosurevars(function.py_func).nonlocals["source"]
    files = sorted((ROOT / "companion" / "engine").glob("*.py"))
    assert {file.stem for file in files} >= {"cache", "lanes", "steps", "forms", "line", "space", "driver"}
    assert all(file.read_text(encoding="utf-8") in source for file in files)
    codegen = function.targetctx.codegen()
    keys = [module._with_source(text)._cache._index_key((), codegen) for text in ("a", "b", "a", source)]
    assert keys[0] == keys[2] and len(set(keys)) == 3
    assert function._cache._index_key((), codegen) == keys[3]


def test_nothing_else_of_the_engine_is_kept_on_disk():
    modules = (cache, lanes, steps, forms, line, space, driver)
    found = [
        (module, name)
        for module in modules
        for name, value in vars(module).items()
        if type(getattr(value, "_cache", None)).__name__ == "Kept"
    ]
    assert sorted(found, key=str) == sorted(ENTRIES.values(), key=str)


def doubled(x):
    return x + x


@pytest.fixture
def unwarned(monkeypatch):
    monkeypatch.setattr(cache.Kept, "warned", False)


def compiled_in(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that numba would keep in that folder."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder))
    return cache.kept_on_disk(doubled)


WARNED = "the fast engine is compiled anew in every process"


def test_where_no_folder_can_be_written_it_is_compiled_all_the_same(unwarned, monkeypatch):
    monkeypatch.setattr(cache.Kept._impl_class, "_locator_classes", [])
    with pytest.warns(RuntimeWarning, match=WARNED) as said:
        assert [cache.kept_on_disk(doubled)(2), cache.kept_on_disk(doubled)(3)] == [4, 6]
    assert len(said) == 1, "one warning for all functions"


@pytest.mark.parametrize("call", ["_save_index", "_save_data"])
def test_a_full_disk_only_means_that_nothing_is_kept(unwarned, monkeypatch, tmp_path, call):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    function = compiled_in(tmp_path, monkeypatch)
    with monkeypatch.context() as patched, pytest.warns(RuntimeWarning, match=f"{WARNED}.*No space left"):
        patched.setattr(IndexDataCacheFile, call, full)
        assert function(2) == 4
    later = compiled_in(tmp_path, monkeypatch)  # the disk has room again
    assert later(2) == 4 and later.stats.cache_misses.total() == 1
    again = compiled_in(tmp_path, monkeypatch)
    assert again(2) == 4 and again.stats.cache_hits


def test_after_a_full_disk_no_older_code_passes_for_new(unwarned, monkeypatch, tmp_path):
    """numba writes its index first, and numbers the files of code anew whenever the source has changed."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def compiled(factor: int):
        monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
        return cache.kept_on_disk(lambda x: factor * x)

    def changed_source(*_: object) -> tuple[float, int]:
        return (2.0, 2)

    assert compiled(2)(3) == 6
    monkeypatch.setattr(_SourceFileBackedLocatorMixin, "get_source_stamp", changed_source)
    with monkeypatch.context() as patched, pytest.warns(RuntimeWarning, match="No space left"):
        patched.setattr(IndexDataCacheFile, "_save_data", full)
        assert compiled(5)(3) == 15
    assert compiled(5)(3) == 15


SPOILED = {
    "an empty file": lambda data: b"",
    "half a file": lambda data: data[: len(data) // 2],
    "something else": lambda data: b"something else",
    "a class that was renamed": lambda data: data.replace(b"numba.core", b"numba.cove"),
}


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
@pytest.mark.parametrize("what", SPOILED)
def test_what_cannot_be_read_is_compiled_and_kept_anew(unwarned, monkeypatch, tmp_path, what, ending):
    compiled_in(tmp_path, monkeypatch)(2)
    for file in tmp_path.rglob(f"*{ending}"):
        file.write_bytes(SPOILED[what](file.read_bytes()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert compiled_in(tmp_path, monkeypatch)(2) == 4
    again = compiled_in(tmp_path, monkeypatch)
    assert again(2) == 4 and again.stats.cache_hits


NOBODY = """
from companion.sweeps.sweep import run_sweep
from companion.sweeps.workers import open_executor

with open_executor({workers}) as executor:
    runs = run_sweep(masks=["000", "111"], sizes=[3], seeds=[1], steps=5, progress=False, executor=executor)
print(len(runs))
"""


@pytest.mark.slow
@posix
@pytest.mark.parametrize("workers", [None, 2])
def test_a_user_without_a_home_trains_with_a_package_that_is_read_only(workers):
    python = shutil.which(f"python{sys.version_info.major}.{sys.version_info.minor}", path="/usr/bin")
    if python is None or os.geteuid() != 0:
        pytest.skip("only root can become another user, who needs a Python of this version in /usr/bin")
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    with tempfile.TemporaryDirectory() as package:  # pytest's own folders are closed to others
        shutil.copytree(ROOT / "companion", f"{package}/companion", ignore=shutil.ignore_patterns("__pycache__"))
        os.chmod(package, 0o755)
        bare = {"HOME": "/nonexistent", "PYTHONPATH": f"{package}{os.pathsep}{libraries}"}
        nobody = {"user": 65534, "group": 65534, "extra_groups": [], "env": bare, "cwd": "/"}
        done = subprocess.run([python, "-c", NOBODY.format(workers=workers)], capture_output=True, text=True, **nobody)
    assert done.stdout == "2\n" and done.stderr.count(WARNED) == 1, done.stderr


@pytest.mark.parametrize(
    "settings",
    [
        Settings("111", steps=3),
        Settings("111", attractor="transport", neuron="ridge", dimension=2, target="diagonal", steps=3),
    ],
    ids=["line", "ridge"],
)
def test_a_batch_without_runs_gives_one_without_runs(settings):
    x, y, start = starting_batch(4, (1,), settings)
    none = Parameters(*(value[:0] for value in start))
    for found in (driver.train(x[:0], y[:0], none, settings, [0, 3]), train(x[:0], y[:0], none, settings, [0, 3])):
        assert [value.shape for value in found.parameters] == [value.shape for value in none]
        assert [value.shape for value in found.recorded] == [(2, *value.shape) for value in none]


def test_one_step_serves_both():
    assert line.take_step is space.take_step is steps.take_step


# --- what is refused ---


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mask": "012"}, "mask: '012' was given"),
        ({"strength": -1}, "strength: -1"),
        ({"temperature": 0}, "temperature: 0"),
        ({"steps": -1}, "steps: -1"),
        ({"record": [7]}, "record: 7 was given"),
        ({"attractor": "gravity"}, "attractor: 'gravity' was given"),
        ({"balance": -1}, "balance: -1"),
        ({"anneal": 1}, "anneal: 1 was given; allowed are True and False"),
        ({"x": torch.zeros(3).double()}, "shapes: "),
        ({"x": torch.tensor([0.1, torch.nan, 0.2, 0.3], dtype=torch.float64)}, "x: 1 of 4"),
        ({"x": torch.zeros(4)}, "types: x torch.float32 on cpu, y torch.float64 on cpu"),
        ({"step_size": 0}, "step_size: 0"),
    ],
)
def test_bad_input_is_named(change, says):
    x, y = sample_task(4, 1)
    good = {"x": x, "y": y, "initial": initial_parameters(4, 1)}
    own = {name: value for name, value in change.items() if name not in ("x", "record")}
    with pytest.raises(ValueError, match=says):
        driver.train(**(good | {k: v for k, v in change.items() if k not in own}), settings=Settings.of(OWN | own))


OWN = {"mask": "111", "steps": 5}


def test_a_gradient_is_of_one_run():
    with pytest.raises(ValueError, match="allowed is one run"):
        driver.gradient(*starting_batch(4, (1, 2)), Settings("111"))
    with pytest.raises(ValueError, match="repulsion: -1"):
        driver.gradient(*sample_task(4, 1), initial_parameters(4, 1), Settings("111"), -1)


def test_a_run_s_memory_grows_no_faster_than_its_size():
    small, large = driver.run_memory(500), driver.run_memory(50_000)
    assert driver.run_memory(100) < 2**18 and large / small < 110
