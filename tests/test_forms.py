"""The formulas of the losses: each is its equation, has its limits and symmetries, and a false one is told apart."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import permutations
from math import exp, log, sqrt
from statistics import fmean
from typing import NamedTuple

import numpy as np
import pytest
import torch
from conftest import check_by_differences
from variants import rejected

from companion.core.forms import COVERAGES, OVERLAPS, SEPARATIONS, SMALLEST_NORM
from companion.core.losses import MEANS, SMALLEST_GRADIENT, Units, counts, fit_loss, total_loss, units, weighed_loss
from companion.core.network import GEOMETRIES, Parameters, activations, predict, starting_batch
from companion.core.settings import Activation, Attractor, CoverageForm, Neuron, OverlapForm, SeparationForm, Settings
from companion.core.train import train

LEVELS = (*CoverageForm, *SeparationForm, *OverlapForm)


class Sample(NamedTuple):
    """What the formulas take: x, x̂, h and τ; leading dimensions are those of runs."""

    x: torch.Tensor
    prototypes: torch.Tensor
    responses: torch.Tensor
    temperature: float


def drawn(samples: int, neurons: int, temperature: float, *runs: int) -> Sample:
    stream = np.random.default_rng([samples, neurons])
    x, prototypes, responses = (
        torch.from_numpy(stream.uniform(0, 1, (*runs, *shape)))
        for shape in ((samples,), (neurons,), (samples, neurons))
    )
    return Sample(x, prototypes, responses, temperature)


def value(level: str, sample: Sample) -> torch.Tensor:
    """A formula's loss, as the module has it."""
    if level in COVERAGES:
        return COVERAGES[CoverageForm(level)].loss(*sample)
    if level in SEPARATIONS:
        return SEPARATIONS[SeparationForm(level)].loss(sample.prototypes, sample.temperature)
    return OVERLAPS[OverlapForm(level)].loss(sample.responses)


def test_every_level_has_a_formula():
    assert [*COVERAGES, *SEPARATIONS, *OVERLAPS] != [] and set(LEVELS) == {*COVERAGES, *SEPARATIONS, *OVERLAPS}
    assert len(LEVELS) == len(set(LEVELS)) == 12 and set(LOOPS) == set(COUNTED) == set(LEVELS)


# --- the equations, as plain loops ---

Loop = Callable[[list[float], list[float], list[list[float]], float], float]


def of_samples(one: Callable[..., float]) -> Loop:
    """The mean over samples of a number made of a sample's distances d_ij, its responses h_ij and τ."""
    return lambda x, p, h, t: fmean(one([abs(a - b) for b in p], row, t) for a, row in zip(x, h, strict=True))


def of_pairs(one: Callable[[float, float], float]) -> Loop:
    """The mean over j ≠ k of a function of two prototypes' distance and τ."""
    return lambda x, p, h, t: fmean(one(abs(a - b), t) for a, b in permutations(p, 2))


def of_responses(one: Callable[[list[float], list[float]], float]) -> Loop:
    """The mean over j ≠ k of a function of two neurons' responses to all samples."""
    return lambda x, p, h, t: fmean(one(a, b) for a, b in permutations(list(zip(*h, strict=True)), 2))


def dot(a: list[float], b: list[float]) -> float:
    return sum(one * other for one, other in zip(a, b, strict=True))


def mean_product(a: list[float], b: list[float]) -> float:
    return dot(a, b) / len(a)


def covariance(a: list[float], b: list[float]) -> float:
    return mean_product([one - fmean(a) for one in a], [other - fmean(b) for other in b])


def assigned(d: list[float], h: list[float], t: float) -> float:
    weights = [exp(-(one**2) / t) for one in d]
    return sum(weight * one**2 for weight, one in zip(weights, d, strict=True)) / sum(weights)


def to_nearest(one: Callable[[float, float], float]) -> Loop:
    """The mean over j of a function of the distance to the nearest other prototype, and τ."""
    return lambda x, p, h, t: fmean(one(min(abs(a - b) for k, b in enumerate(p) if k != j), t) for j, a in enumerate(p))


LOOPS: dict[str, Loop] = {
    CoverageForm.SOFT_MINIMUM: of_samples(lambda d, h, t: -t * log(sum(exp(-(one**2) / t) for one in d))),
    CoverageForm.NEAREST: of_samples(lambda d, h, t: min(d) ** 2),
    CoverageForm.RESPONSE: of_samples(lambda d, h, t: 1 - max(h)),
    CoverageForm.SOFT_ASSIGNMENT: of_samples(assigned),
    SeparationForm.GAUSSIAN: of_pairs(lambda d, t: exp(-(d**2) / t)),
    SeparationForm.EXPONENTIAL: of_pairs(lambda d, t: exp(-d / sqrt(t))),
    SeparationForm.CAUCHY: of_pairs(lambda d, t: 1 / (1 + d**2 / t)),
    SeparationForm.NEIGHBOUR: to_nearest(lambda d, t: exp(-(d**2) / t)),
    OverlapForm.PRODUCT: of_responses(mean_product),
    OverlapForm.COSINE: of_responses(lambda a, b: dot(a, b) / sqrt(dot(a, a) * dot(b, b))),
    OverlapForm.GRAM: of_responses(lambda a, b: mean_product(a, b) ** 2),
    OverlapForm.COVARIANCE: of_responses(lambda a, b: covariance(a, b) ** 2),
}
"""Each formula as it is written."""
SAMPLES = [drawn(5, 4, 0.05), drawn(3, 2, 0.7), drawn(4, 6, 0.01)]


def check(level: str, loop: Loop) -> None:
    for x, prototypes, responses, temperature in SAMPLES:
        expected = loop(x.tolist(), prototypes.tolist(), responses.tolist(), temperature)
        found = value(level, Sample(x, prototypes, responses, temperature))
        assert float(found) == pytest.approx(expected, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("level", LEVELS)
def test_each_formula_is_its_equation(level):
    check(level, LOOPS[level])


def with_diagonal(one: Callable[[list[float], list[float]], float]) -> Loop:
    """A false mean: over all j and k."""

    def loop(x: list[float], p: list[float], h: list[list[float]], t: float) -> float:
        neurons = list(zip(*h, strict=True))
        return fmean(one(a, b) for a in neurons for b in neurons)

    return loop


def mirrored(one: Callable[..., float]) -> Loop:
    """A false coverage: of prototypes by samples."""
    return lambda x, p, h, t: of_samples(one)(p, x, list(zip(*h, strict=True)), t)


FALSE: dict[str, dict[str, Loop]] = {
    CoverageForm.NEAREST: {
        "not squared": of_samples(lambda d, h, t: min(d)),
        "the farthest": of_samples(lambda d, h, t: max(d) ** 2),
        "of prototypes": mirrored(lambda d, h, t: min(d) ** 2),
        "in units of τ": of_samples(lambda d, h, t: min(d) ** 2 / t),
        "the soft minimum": LOOPS[CoverageForm.SOFT_MINIMUM],
    },
    CoverageForm.RESPONSE: {
        "the least": of_samples(lambda d, h, t: 1 - min(h)),
        "the mean": of_samples(lambda d, h, t: 1 - fmean(h)),
        "of neurons": mirrored(lambda d, h, t: 1 - max(h)),
        "squared": of_samples(lambda d, h, t: (1 - max(h)) ** 2),
        "some neuron's, by chance": of_samples(lambda d, h, t: np.prod([1 - one for one in h])),
        "a logarithm": of_samples(lambda d, h, t: -log(max(h))),
    },
    CoverageForm.SOFT_ASSIGNMENT: {
        "the soft minimum": LOOPS[CoverageForm.SOFT_MINIMUM],
        "the nearest": LOOPS[CoverageForm.NEAREST],
        "weights that do not sum to 1": of_samples(lambda d, h, t: sum(exp(-(one**2) / t) * one**2 for one in d)),
        "weights of prototypes": mirrored(assigned),
        "weights by exp(-d/√τ)": of_samples(lambda d, h, t: assigned([sqrt(one) for one in d], h, sqrt(t))),
        "all alike": of_samples(lambda d, h, t: fmean(one**2 for one in d)),
    },
    SeparationForm.EXPONENTIAL: {
        "with d²": of_pairs(lambda d, t: exp(-(d**2) / sqrt(t))),
        "with d²/τ": LOOPS[SeparationForm.GAUSSIAN],
        "with τ": of_pairs(lambda d, t: exp(-d / t)),
        "each pair once": lambda *given: 0.5 * LOOPS[SeparationForm.EXPONENTIAL](*given),
        "with itself": lambda x, p, h, t: fmean(exp(-abs(a - b) / sqrt(t)) for a in p for b in p),
        "to the nearest": to_nearest(lambda d, t: exp(-d / sqrt(t))),
    },
    SeparationForm.CAUCHY: {
        "squared": of_pairs(lambda d, t: 1 / (1 + d**2 / t) ** 2),
        "with √τ": of_pairs(lambda d, t: 1 / (1 + d**2 / sqrt(t))),
        "with d": of_pairs(lambda d, t: 1 / (1 + d / sqrt(t))),
        "a density": of_pairs(lambda d, t: 1 / (1 + d**2 / t) / (3.14159 * sqrt(t))),
        "with itself": lambda x, p, h, t: fmean(1 / (1 + (a - b) ** 2 / t) for a in p for b in p),
        "Student's of two degrees": of_pairs(lambda d, t: (1 + d**2 / (2 * t)) ** -1.5),
    },
    SeparationForm.NEIGHBOUR: {
        "itself the nearest": lambda x, p, h, t: 1.0,
        "all pairs": LOOPS[SeparationForm.GAUSSIAN],
        "the nearest pair alone": lambda x, p, h, t: exp(-(min(abs(a - b) for a, b in permutations(p, 2)) ** 2) / t),
        "the farthest": lambda x, p, h, t: fmean(exp(-max((a - b) ** 2 for b in p) / t) for a in p),
        "the one above": lambda x, p, h, t: (
            sum(exp(-((a - b) ** 2) / t) for a, b in zip(sorted(p), sorted(p)[1:], strict=False)) / len(p)
        ),
        "over the pairs": lambda x, p, h, t: LOOPS[SeparationForm.NEIGHBOUR](x, p, h, t) / max(len(p) - 1, 2),
    },
    OverlapForm.COSINE: {
        "no norms": of_responses(mean_product),
        "one norm": of_responses(lambda a, b: dot(a, b) / dot(a, a)),
        "with its diagonal": with_diagonal(lambda a, b: dot(a, b) / sqrt(dot(a, a) * dot(b, b))),
        "squared": of_responses(lambda a, b: dot(a, b) ** 2 / (dot(a, a) * dot(b, b))),
        "centred: the correlation": of_responses(
            lambda a, b: covariance(a, b) / sqrt(covariance(a, a) * covariance(b, b))
        ),
        "of samples": lambda x, p, h, t: LOOPS[OverlapForm.COSINE](x, p, list(zip(*h, strict=True)), t),
    },
    OverlapForm.GRAM: {
        "with its diagonal": with_diagonal(lambda a, b: mean_product(a, b) ** 2),
        "not squared": of_responses(mean_product),
        "a sum over samples": of_responses(lambda a, b: dot(a, b) ** 2),
        "half of it": lambda *given: 0.5 * LOOPS[OverlapForm.GRAM](*given),
        "centred": LOOPS[OverlapForm.COVARIANCE],
        "the squares' mean": of_responses(lambda a, b: mean_product([i**2 for i in a], [k**2 for k in b])),
    },
    OverlapForm.COVARIANCE: {
        "not centred": LOOPS[OverlapForm.GRAM],
        "with its diagonal": with_diagonal(lambda a, b: covariance(a, b) ** 2),
        "one of the two centred by all": of_responses(
            lambda a, b: mean_product([i - fmean([*a, *b]) for i in a], [k - fmean([*a, *b]) for k in b]) ** 2
        ),
        "over one sample less": of_responses(lambda a, b: (covariance(a, b) * len(a) / (len(a) - 1)) ** 2),
        "not squared": of_responses(covariance),
        "Cogswell's half of the sum": lambda x, p, h, t: (
            0.5 * len(p) * (len(p) - 1) * LOOPS[OverlapForm.COVARIANCE](x, p, h, t)
        ),
    },
}
"""Of each formula but the nominal ones (tests/test_losses.py), others that are nearly it."""


test_a_false_formula_is_told_apart = rejected(
    {level: {name: partial(check, level, loop) for name, loop in loops.items()} for level, loops in FALSE.items()}
)


def test_every_formula_but_the_nominal_ones_has_false_ones():
    assert set(FALSE) == set(LEVELS) - {"soft minimum", "exp(-d²/τ)", "product"}
    assert min(map(len, FALSE.values())) >= 5


@pytest.mark.parametrize("level", LEVELS)
def test_runs_do_not_mix(level):
    many = drawn(5, 4, 0.05, 2, 3)
    found = value(level, many)
    assert found.shape == (2, 3)
    for place in np.ndindex(2, 3):
        one = Sample(*(part[place] for part in many[:3]), many.temperature)
        torch.testing.assert_close(found[place], value(level, one), rtol=1e-13, atol=0)


# --- limits ---


@pytest.mark.parametrize("temperature", [1.0, 1e-1, 1e-2, 1e-3, 1e-4])
def test_soft_minimum_and_soft_assignment_are_within_known_bounds_of_the_nearest_distance(temperature):
    """A soft minimum lies below it by at most τ log n; a mean under weights p_j <= exp(-e_j/τ) of what exceeds it, e_j,
    above it by at most (n - 1) max_e e exp(-e/τ) = (n - 1) τ/e."""
    sample = drawn(30, 7, temperature)
    nearest, soft, mean = (value(level, sample) for level in ("nearest prototype", "soft minimum", "soft assignment"))
    assert nearest - temperature * log(7) <= soft < nearest < mean <= nearest + 6 * temperature / exp(1)


def test_both_are_the_nearest_distance_where_the_temperature_vanishes():
    sample = drawn(30, 7, 1e-12)
    nearest = value("nearest prototype", sample)
    for level in ("soft minimum", "soft assignment"):
        torch.testing.assert_close(value(level, sample), nearest, rtol=1e-9, atol=0)


def test_a_hot_soft_assignment_is_the_mean_of_all_squared_distances():
    sample = drawn(30, 7, 1e12)
    mean = ((sample.x[:, None] - sample.prototypes) ** 2).mean()
    torch.testing.assert_close(value("soft assignment", sample), mean, rtol=1e-9, atol=0)


@pytest.mark.parametrize("level", [*SeparationForm, *OverlapForm])
def test_a_single_neuron_has_no_pair_and_feels_nothing(level):
    sample = drawn(5, 1, 0.1)
    of = sample.prototypes if level in SEPARATIONS else sample.responses
    of.requires_grad_()
    loss = value(level, sample)
    loss.backward()
    assert loss.item() == 0 and not of.grad.any()


@pytest.mark.parametrize("level", SeparationForm)
@pytest.mark.parametrize("neurons", [2, 3])
def test_prototypes_at_one_place_are_as_close_as_can_be_and_do_not_push_one_another(level, neurons):
    prototypes = torch.full((neurons,), 0.3, dtype=torch.float64, requires_grad=True)
    loss = SEPARATIONS[level].loss(prototypes, 0.01)
    loss.backward()
    assert loss.item() == 1 and not prototypes.grad.any()


@pytest.mark.parametrize("level", SeparationForm)
def test_prototypes_far_apart_are_not_close_at_all(level):
    assert 0 <= float(SEPARATIONS[level].loss(torch.tensor([0.0, 1e6, -1e6], dtype=torch.float64), 0.01)) < 1e-13


def push(level: str, distance: float, temperature: float) -> float:
    """How hard a separation pushes two prototypes apart."""
    prototypes = torch.tensor([0.0, distance], dtype=torch.float64, requires_grad=True)
    SEPARATIONS[SeparationForm(level)].loss(prototypes, temperature).backward()
    assert float(prototypes.grad[0]) == -float(prototypes.grad[1])
    return float(prototypes.grad[0])


def test_each_separation_pushes_as_its_formula_says():
    distances = np.array([0.0001, 0.01, 0.1, 0.3, 1.0])
    found = {level: np.array([push(level, one, 0.04) for one in distances]) for level in SeparationForm}
    gaussian = 2 * distances / 0.04 * np.exp(-(distances**2) / 0.04)
    for level in (SeparationForm.GAUSSIAN, SeparationForm.NEIGHBOUR):  # of two, each is the other's nearest
        np.testing.assert_allclose(found[level], gaussian, rtol=1e-12)
    assert (np.diff(found[SeparationForm.EXPONENTIAL]) < 0).all(), "it pushes hardest where they meet"
    assert found[SeparationForm.EXPONENTIAL][0] == pytest.approx(1 / 0.2, rel=1e-3)
    assert push("1/(1+d²/τ)", 1e3, 0.04) == pytest.approx(2 * 0.04 / 1e3**3, rel=1e-6), "the cube of the distance"


def test_of_more_than_two_only_the_nearest_neighbours_push():
    prototypes = torch.tensor([0.0, 0.1, 1.0], dtype=torch.float64)
    beyond = prototypes + torch.tensor([0.0, 0.0, 0.001])
    for level in SeparationForm:
        moved = [
            torch.autograd.functional.jacobian(lambda p, level=level: SEPARATIONS[level].loss(p, 1.0), one)[0]
            for one in (prototypes, beyond)
        ]
        assert torch.equal(*moved) == (level == SeparationForm.NEIGHBOUR), "the third is not the first one's nearest"


def test_equal_prototypes_cover_as_one():
    one = drawn(6, 1, 0.02)
    three = one._replace(prototypes=one.prototypes.expand(3), responses=one.responses.expand(6, 3))
    for level in ("nearest prototype", "largest response", "soft assignment"):
        torch.testing.assert_close(value(level, three), value(level, one), rtol=1e-14, atol=0)
    less = value("soft minimum", one) - 0.02 * log(3)
    torch.testing.assert_close(value("soft minimum", three), less, rtol=1e-14, atol=0)


def test_a_sample_that_some_neuron_peaks_at_is_covered():
    responses = torch.tensor([[1.0, 0.2], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    assert float(value("largest response", drawn(3, 2, 0.1)._replace(responses=responses))) == 0
    assert float(value("largest response", drawn(3, 2, 0.1)._replace(responses=0 * responses))) == 1
    at_samples = Sample(torch.tensor([0.2, 0.7]), torch.tensor([0.7, 9.0, 0.2]), torch.zeros(2, 3), 0.1)
    assert float(value("nearest prototype", at_samples)) == 0 < float(value("soft assignment", at_samples))


@pytest.mark.parametrize("level", CoverageForm)
def test_only_a_largest_response_is_lowered_by_a_bump_that_widens_where_it_is(level):
    x, _, (w, b, _, _) = starting_batch(6, [4])
    narrow, wide = (Sample(x, -b * part / (w * part), activations(x, w * part, b * part), 0.01) for part in (1.0, 0.5))
    if level == CoverageForm.RESPONSE:
        assert value(level, wide) < value(level, narrow)
    else:
        assert torch.equal(value(level, wide), value(level, narrow))


def test_a_cosine_is_from_0_to_1():
    stream = np.random.default_rng(1)
    responses = torch.from_numpy(stream.uniform(0, 1, (200, 7, 5)) ** 4)
    found = OVERLAPS[OverlapForm.COSINE].loss(responses)
    assert (found > 0).all() and (found < 1).all()
    apart = torch.eye(5, dtype=torch.float64) * torch.linspace(0.1, 1, 5)
    assert float(OVERLAPS[OverlapForm.COSINE].loss(apart)) == pytest.approx(0, abs=1e-15)
    alike = responses[0, :, :1] * torch.tensor([1.0, 0.5, 1e-3, 2.0], dtype=torch.float64)
    assert float(OVERLAPS[OverlapForm.COSINE].loss(alike)) == pytest.approx(1, rel=1e-14)


def test_squared_covariances_are_from_0_to_a_sixteenth():
    stream = np.random.default_rng(2)
    loss = OVERLAPS[OverlapForm.COVARIANCE].loss
    found = loss(torch.from_numpy(stream.integers(0, 2, (500, 4, 3)).astype(float)))
    assert (found >= 0).all() and (found <= 1 / 16).all()
    half = torch.tensor([[0.0, 1, 0], [0, 1, 0], [1, 0, 1], [1, 0, 1]], dtype=torch.float64)
    assert float(loss(half)) == 1 / 16, "each neuron responds fully to half of the samples, and not to the others"
    assert float(loss(torch.full((4, 3), 0.7, dtype=torch.float64))) == pytest.approx(0, abs=1e-30)


def test_the_sum_of_squared_covariances_is_twice_cogswell_s_loss():
    """½ (|C|² - |diag C|²), with C the covariance matrix over the samples (Cogswell et al. 2016, equation 2)."""
    responses = drawn(9, 5, 0.1).responses
    matrix = np.cov(responses.numpy(), rowvar=False, bias=True)
    cogswell = 0.5 * ((matrix**2).sum() - (np.diag(matrix) ** 2).sum())
    of_sums = counts(Settings(overlap_form="squared covariance", reduction="sum"), 9, 5).overlap
    assert of_sums * float(value("squared covariance", drawn(9, 5, 0.1))) == pytest.approx(2 * cogswell, rel=1e-13)


def test_of_two_neurons_the_squares_are_squares():
    sample = drawn(6, 2, 0.1)
    product = float(value("product", sample))
    means = sample.responses.mean(0)
    assert float(value("squared Gram", sample)) == pytest.approx(product**2, rel=1e-13)
    assert float(value("squared covariance", sample)) == pytest.approx((product - float(means.prod())) ** 2, rel=1e-10)


def test_a_neuron_that_hardly_responds_has_the_smallest_norm_and_no_cosine():
    responses = torch.tensor([[0.5, 0.0, 1e-200], [0.2, 0.0, 1e-12]], dtype=torch.float64, requires_grad=True)
    loss = OVERLAPS[OverlapForm.COSINE].loss(responses)
    loss.backward()
    small = 1e-12 / SMALLEST_NORM * 0.2 / sqrt(0.29)  # of the first and the third; two of six pairs
    assert loss.item() == pytest.approx(2 * small / 6, rel=1e-12) and responses.grad.isfinite().all()


# --- symmetries ---


@pytest.mark.parametrize("level", LEVELS)
def test_the_order_of_neurons_and_samples_does_not_matter(level):
    x, prototypes, responses, temperature = sample = drawn(6, 5, 0.03)
    order, places = torch.tensor([3, 0, 4, 2, 1]), torch.tensor([5, 2, 0, 1, 4, 3])
    mixed = Sample(x[places], prototypes[order], responses[places][:, order], temperature)
    torch.testing.assert_close(value(level, mixed), value(level, sample), rtol=1e-13, atol=0)


@pytest.mark.parametrize("level", [*CoverageForm, *SeparationForm])
def test_the_origin_of_the_inputs_does_not_matter(level):
    sample = drawn(6, 5, 0.03)
    moved = sample._replace(x=sample.x + 2.75, prototypes=sample.prototypes + 2.75)
    torch.testing.assert_close(value(level, moved), value(level, sample), rtol=1e-12, atol=0)


@pytest.mark.parametrize("level", LEVELS)
def test_the_temperature_is_in_units_of_squared_input(level):
    sample = drawn(6, 5, 0.03)
    longer = Sample(3 * sample.x, 3 * sample.prototypes, sample.responses, 9 * sample.temperature)
    by_area = level in (CoverageForm.SOFT_MINIMUM, CoverageForm.NEAREST, CoverageForm.SOFT_ASSIGNMENT)
    expected = value(level, sample) * (9 if by_area else 1)
    torch.testing.assert_close(value(level, longer), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("level", OverlapForm)
def test_what_a_neuron_s_scale_and_level_do_to_the_overlap(level):
    """Only a cosine leaves out how strongly a neuron responds, only a covariance how much it does on the whole."""
    sample = drawn(6, 4, 0.1)
    before = float(value(level, sample))
    scaled = sample.responses * torch.tensor([1.0, 0.1, 2.0, 7.0], dtype=torch.float64)
    lifted = sample.responses + torch.tensor([0.0, 0.1, 0.3, 0.2], dtype=torch.float64)
    same = [float(value(level, sample._replace(responses=one))) == pytest.approx(before) for one in (scaled, lifted)]
    assert same == [level == OverlapForm.COSINE, level == OverlapForm.COVARIANCE]


def test_what_a_formula_does_not_use_does_not_matter():
    sample, other = drawn(6, 5, 0.03), drawn(6, 5, 0.03, 2)
    others = Sample(*(part[1] for part in other[:3]), 7.0)
    used = {
        **dict.fromkeys(("soft minimum", "soft assignment"), ("x", "prototypes", "temperature")),
        "nearest prototype": ("x", "prototypes"),
        "largest response": ("responses",),
    }
    for level, names in used.items():
        assert torch.equal(
            value(level, others._replace(**{n: getattr(sample, n) for n in names})), value(level, sample)
        )
        for name in names:
            assert not torch.equal(value(level, sample._replace(**{name: getattr(others, name)})), value(level, sample))


# --- gradients ---


@pytest.mark.parametrize("level", LEVELS)
def test_gradients_are_differences(level):
    for samples, neurons in ((5, 4), (2, 2), (3, 1)):
        x, prototypes, responses, temperature = drawn(samples, neurons, 0.05)

        def loss(p: torch.Tensor, h: torch.Tensor, x: torch.Tensor = x, t: float = temperature) -> torch.Tensor:
            return value(level, Sample(x, p, h, t)) + 0 * p.sum() + 0 * h.sum()

        given = prototypes.requires_grad_(), responses.requires_grad_()
        assert torch.autograd.gradcheck(loss, given, eps=1e-6, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("activation", Activation)
@pytest.mark.parametrize("level", LEVELS)
def test_the_total_loss_has_its_differences_as_gradient(level, activation, reduction):
    settings = settings_with(level, activation=activation, reduction=reduction, temperature=0.05)
    x, y, start = one_start(settings)
    leaves = leaves_of(start)
    total_loss(x, y, leaves, settings).backward()
    check_by_differences(
        Parameters(*(leaf.grad for leaf in leaves)), lambda moved: total_loss(x, y, moved, settings), start
    )


def settings_with(level: str, **more: object) -> Settings:
    """Settings whose mask has one structural loss on, in that form."""
    kinds = {"100": ("overlap_form", OVERLAPS), "010": ("coverage_form", COVERAGES)}
    kinds["001"] = ("separation_form", SEPARATIONS)
    (mask,) = (mask for mask, (_, table) in kinds.items() if level in table)
    return Settings.of({"mask": mask, kinds[mask][0]: level, "initialisation": "uniform-3"} | more)


def one_start(settings: Settings, size: int = 5, seed: int = 3) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    x, y, start = starting_batch(size, [seed], settings)
    return x[0], y[0], Parameters(*(part[0] for part in start))


def leaves_of(start: Parameters) -> Parameters:
    return Parameters(*(part.clone().requires_grad_() for part in start))


# --- what λ counts ---

COUNTED = {
    **dict.fromkeys(CoverageForm, 5),
    **dict.fromkeys((SeparationForm.GAUSSIAN, SeparationForm.EXPONENTIAL, SeparationForm.CAUCHY), 12),
    SeparationForm.NEIGHBOUR: 4,
    OverlapForm.PRODUCT: 60,
    OverlapForm.COSINE: 12,
    OverlapForm.GRAM: 300,
    OverlapForm.COVARIANCE: 12,
}
"""The terms of five samples and four neurons, counted by hand: 5 samples, 4 neurons, 12 ordered pairs, 5 · 12 products;
and 12 squares of a sum over samples, each 5² times that of the mean."""


def part_of(units: Units, level: str) -> torch.Tensor | float:
    """What λ counts for the structural loss that a level is a form of."""
    if level in COVERAGES:
        return units.coverage
    return units.separation if level in SEPARATIONS else units.overlap


@pytest.mark.parametrize("level", LEVELS)
def test_a_sum_is_the_mean_times_its_terms(level):
    assert part_of(counts(settings_with(level, reduction="sum"), 5, 4), level) == COUNTED[level]
    assert counts(settings_with(level), 5, 4) == MEANS == (1, 1, 1)


def test_sums_are_what_their_name_says():
    x, prototypes, responses, temperature = drawn(5, 4, 0.05)
    h = responses.numpy()
    pairs = list(permutations(range(4), 2))
    expected = {
        "product": sum(h[i, j] * h[i, k] for i in range(5) for j, k in pairs),
        "squared Gram": sum(sum(h[i, j] * h[i, k] for i in range(5)) ** 2 for j, k in pairs),
        "exp(-d²/τ)": sum(exp(-(float(prototypes[j] - prototypes[k]) ** 2) / temperature) for j, k in pairs),
        "largest response": sum(1 - h[i].max() for i in range(5)),
        "nearest neighbour": sum(
            exp(-min(float(prototypes[j] - prototypes[k]) ** 2 for k in range(4) if k != j) / temperature)
            for j in range(4)
        ),
    }
    for level, number in expected.items():
        count = part_of(counts(settings_with(level, reduction="sum"), 5, 4), level)
        assert count * float(value(level, drawn(5, 4, 0.05))) == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_the_total_loss_takes_the_form_its_count_and_its_coefficients(level):
    """Of a mask with all three on, each term alone."""
    x, y, start = starting_batch(5, [3, 4])
    four = Parameters(*(part[:, :4] if part.dim() > 1 else part for part in start))
    own = settings_with(level).but(mask="111", reduction="sum", strength=0.3, balance=1.7, temperature=0.05)
    sample = Sample(x, -four.b / four.w, activations(x, four.w, four.b), 0.05)
    names = own.coverage_form, own.separation_form, own.overlap_form
    weights = 0.3 * 1.7, 0.3 * 0.6, 0.3 * 0.6
    structural = sum(w * COUNTED[name] * value(name, sample) for name, w in zip(names, weights, strict=True))
    expected = fit_loss(predict(x, *four), y) + structural
    torch.testing.assert_close(total_loss(x, y, four, own, 0.6), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("attractor", ["chamfer", "transport"])
def test_other_attractors_are_counted_by_samples(attractor):
    settings = Settings("010", attractor, temperature=0.05)
    x, y, start = one_start(settings)
    of_mean, of_sum, fit = (
        total_loss(x, y, start, one) for one in (settings, settings.but(reduction="sum"), settings.but(mask="000"))
    )
    torch.testing.assert_close(of_sum - fit, 5 * (of_mean - fit), rtol=1e-12, atol=0)


def norm_of(loss: torch.Tensor, leaves: Parameters) -> float:
    parts = torch.autograd.grad(loss, leaves, retain_graph=True, materialize_grads=True)
    return sqrt(sum(float((part**2).sum()) for part in parts))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("activation", Activation)
@pytest.mark.parametrize("level", LEVELS)
def test_matched_each_structural_gradient_starts_as_long_as_the_fit_s(level, activation, reduction):
    settings = settings_with(level, activation=activation, temperature=0.05, reduction=reduction, matched=True)
    x, y, start = one_start(settings, size=7)
    leaves = leaves_of(start)
    fit = total_loss(x, y, leaves, settings.but(mask="000"))
    for strength in (1.0, 0.1):
        term = total_loss(x, y, leaves, settings.but(strength=strength)) - fit
        assert norm_of(term, leaves) == pytest.approx(strength * norm_of(fit, leaves), rel=1e-5), "ε aside"
    alone = settings.but(matched=False, reduction="mean")
    plain = norm_of(total_loss(x, y, leaves, alone) - fit, leaves)
    assert plain > 1e-3, "so ε = 1e-8 hardly counts"
    count = part_of(counts(settings, 7, 7), level)
    expected = count * norm_of(fit, leaves) / (count * plain + 1e-8)
    assert float(part_of(units(x, y, start, settings), level)) == pytest.approx(expected, rel=1e-10)


def test_matched_a_sum_weighs_as_its_mean_up_to_ε():
    settings = Settings("111", matched=True, temperature=0.05, initialisation="uniform-3")
    batch = starting_batch(7, [3, 4, 5], settings)
    of_mean, of_sum = (total_loss(*batch, settings.but(reduction=one)) for one in ("mean", "sum"))
    torch.testing.assert_close(of_mean, of_sum, rtol=1e-5, atol=0)
    assert not torch.equal(of_mean, of_sum), "ε is added to the longer norm"


def test_matched_no_gradient_goes_through_what_λ_counts():
    settings = Settings("111", matched=True, temperature=0.05, initialisation="uniform-3")
    x, y, start = one_start(settings)
    leaves = leaves_of(start)
    total_loss(x, y, leaves, settings).backward()
    again = leaves_of(start)
    weighed = units(x, y, start, settings)
    assert not any(one.requires_grad for one in weighed)
    weighed_loss(x, y, again, settings, 1.0, Units(*map(float, weighed))).backward()
    for one, other in zip(leaves, again, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-14, atol=0)


def test_matched_each_run_has_its_own_and_the_mask_and_coefficients_do_not_matter():
    settings = Settings("111", matched=True, temperature=0.05)
    x, y, start = starting_batch(6, [3, 4, 5], settings)
    together = units(x, y, start, settings)
    for row in range(3):
        alone = units(x[row], y[row], Parameters(*(part[row] for part in start)), settings)
        for one, other in zip(together, alone, strict=True):
            assert one.shape == (3,) and float(one[row]) == pytest.approx(float(other), rel=1e-12)
    for other in ({"mask": "000"}, {"mask": "010", "strength": 7.0}, {"balance": 3.0, "steps": 3}):
        assert all(map(torch.equal, units(x, y, start, settings.but(**other)), together))


def test_matched_a_loss_without_a_gradient_stays_without_one():
    settings = Settings("101", matched=True)
    x, y, start = one_start(settings)
    single = Parameters(*(part[:1] if part.dim() else part for part in start))
    weighed = units(x, y, single, settings)
    leaves = leaves_of(single)
    fit = total_loss(x, y, leaves, settings.but(mask="000"))
    for one in (weighed.overlap, weighed.separation):
        assert float(one) == pytest.approx(norm_of(fit, leaves) / SMALLEST_GRADIENT, rel=1e-12)
    assert float(total_loss(x, y, single, settings)) == fit.item()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("optimiser", ["adam", "momentum"])
def test_matched_a_caller_s_modes_change_no_bit(mode, optimiser):
    settings = Settings("111", matched=True, optimiser=optimiser, temperature=0.05, steps=7)
    given = starting_batch(4, [1, 2], settings)
    expected = units(*given, settings), total_loss(*given, settings), train(*given, settings).parameters
    with mode():
        inside = starting_batch(4, [1, 2], settings)
        found = units(*inside, settings), total_loss(*inside, settings), train(*inside, settings).parameters
    assert torch.equal(found[1], expected[1])
    for one, other in ((found[0], expected[0]), (found[2], expected[2])):
        assert all(map(torch.equal, one, other))


def test_in_d_dimensions_the_nominal_formulas_are_matched_too():
    for neuron in (Neuron.RADIAL, Neuron.RIDGE):
        settings = Settings("111", neuron=neuron, dimension=2, target="diagonal", temperature=0.1)
        with pytest.raises(ValueError, match="matched: 'True' was given with neuron"):
            settings.but(matched=True)
        x, y, start = starting_batch(4, [1], settings)
        assert units(x, y, start, settings) == MEANS and GEOMETRIES[neuron].peak(start.w, start.b, x).shape == (1, 4, 2)


def test_a_form_of_coverage_is_of_that_attractor_alone():
    for attractor in Attractor:
        x, y, start = one_start(Settings())
        losses = {
            float(total_loss(x, y, start, Settings("010", attractor, coverage_form=level, temperature=0.05)))
            for level in CoverageForm
        }
        assert len(losses) == (4 if attractor == Attractor.COVERAGE else 1)
