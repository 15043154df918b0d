"""Where each loss is lowest: perfect recovery and full expulsion beside the infimum; false variants fail."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from companion.core.data import sample_task
from companion.core.losses import coverage_loss, separation_loss, total_loss, transport_loss
from companion.core.network import Parameters, prototypes, starting_batch
from companion.core.settings import MASKS, Settings
from companion.studies import infimum
from companion.studies.attraction import matched_samples
from companion.studies.budget import SETTINGS

ELSEWHERE = [one.but(strength=2.0, temperature=1e-2, balance=3.0 if "1" in one.mask[1] else 1.0) for one in SETTINGS]
"""The study's settings at another strength, temperature and balance, so that no factor is 1."""
FREE = [one for one in ELSEWHERE if not MASKS[one.mask].coverage]
HELD = [one for one in ELSEWHERE if MASKS[one.mask].coverage]
COVERED = [one for one in HELD if one.attractor == "coverage"]


def coverage(x: Tensor, one: Settings) -> Tensor:
    """Coverage's part of the loss where the prototypes are the samples; 0 without it."""
    if one not in COVERED:
        return x.new_zeros(())
    return coverage_loss(x, x, one.temperature)


def separation(x: Tensor, one: Settings) -> Tensor:
    return separation_loss(x, one.temperature) if MASKS[one.mask].separation else x.new_zeros(())


# --- perfect recovery ---


def check_recovery(limit: Callable[[Tensor, Settings], Tensor], sharpness: float = 1e6) -> None:
    """The loss of the network that recovers everything is `limit`, for each of the study's settings."""
    for size in (3, 10, 100):
        x, y = sample_task(size, 8000)
        network = infimum.recovering(x, y, sharpness)
        torch.testing.assert_close(prototypes(network.w, network.b), x, rtol=1e-14, atol=0)
        for one in ELSEWHERE:
            found = total_loss(x, y, network, one)
            torch.testing.assert_close(found, limit(x, one), rtol=1e-9, atol=1e-12, msg=f"{one.label}, N = {size}")


def test_proposition_recovery():
    check_recovery(infimum.loss_of_recovery)
    x, y = sample_task(10, 8001)
    for one in ELSEWHERE:  # it is a limit: the blunter the neurons, the farther
        far, near = (abs(total_loss(x, y, infimum.recovering(x, y, s), one) - infimum.loss_of_recovery(x, one))
                     for s in (10.0, 1e3))  # fmt: skip
        assert near < far / 10


RECOVERY = {
    "λ doubled": lambda x, one: 2 * infimum.loss_of_recovery(x, one),
    "λ dropped": lambda x, one: infimum.loss_of_recovery(x, one) / one.strength,
    "κ dropped": lambda x, one: one.strength * (coverage(x, one) + separation(x, one)),
    "separation dropped": lambda x, one: one.strength * one.balance * coverage(x, one),
    "coverage dropped": lambda x, one: one.strength * separation(x, one),
    "coverage's sign": lambda x, one: one.strength * (separation(x, one) - one.balance * coverage(x, one)),
    "τ doubled": lambda x, one: infimum.loss_of_recovery(x, one.but(temperature=2 * one.temperature)),
    "0 for every mask": lambda x, one: x.new_zeros(()),
}


@pytest.mark.parametrize("variant", RECOVERY)
def test_proposition_recovery_fails_for_a_false_variant(variant):
    with pytest.raises(AssertionError):
        check_recovery(RECOVERY[variant])


def test_proposition_recovery_fails_at_a_finite_sharpness():
    with pytest.raises(AssertionError):
        check_recovery(infimum.loss_of_recovery, sharpness=10.0)


# --- the least loss ---


def check_least(least: Callable[[int, Settings], float]) -> None:
    """No network's loss is below `least`, and at a high temperature one comes as near to it as a thousandth."""
    for size in (3, 20):
        x, y, start = starting_batch(size, range(8000, 8020))
        fitted = infimum.recovering(x[0], y[0], 1e6)
        for one in ELSEWHERE:
            assert (total_loss(x, y, start, one) >= least(size, one)).all(), one.label
            assert total_loss(x[0], y[0], fitted, one) >= least(size, one) - 1e-12, one.label
        for one in COVERED:
            hot = one.but(temperature=1e4, mask="010")
            lowest = least(size, hot)
            assert lowest <= total_loss(x[0], y[0], fitted, hot) <= lowest * (1 - 1e-3)


def test_proposition_least():
    check_least(infimum.least_loss)


LEAST: dict[str, Callable[[int, Settings], float]] = {
    "doubled": lambda size, one: 2 * infimum.least_loss(size, one),
    "halved": lambda size, one: infimum.least_loss(size, one) / 2,
    "λ dropped": lambda size, one: infimum.least_loss(size, one) / one.strength,
    "κ dropped": lambda size, one: infimum.least_loss(size, one) / one.balance,
    "τ squared": lambda size, one: infimum.least_loss(size, one) * one.temperature,
    "N for log N": lambda size, one: infimum.least_loss(size, one) * size / math.log(size),
    "log N squared": lambda size, one: infimum.least_loss(size, one) * math.log(size),
    "0 for every mask": lambda size, one: 0.0,
}


@pytest.mark.parametrize("variant", LEAST)
def test_proposition_least_fails_for_a_false_variant(variant):
    with pytest.raises(AssertionError):
        check_least(LEAST[variant])


# --- full expulsion ---


def check_expulsion(settings: list[Settings], network: Callable[..., Parameters]) -> None:
    """With every prototype beyond the samples the loss comes within 1e-8 of the least there is."""
    for size in (3, 4, 5):
        x, y = sample_task(size, 8002)
        parameters = network(x, y, 2.0, 1.0)
        assert (prototypes(parameters.w, parameters.b) > x.max() + 1.99).all()
        for one in settings:
            assert total_loss(x, y, parameters, one) < infimum.least_loss(size, one) + 1e-8, one.label


def test_proposition_expulsion():
    assert [one.mask for one in FREE] == ["000", "001", "100", "101"]
    check_expulsion(FREE, infimum.expelling)


def unfitted(x: Tensor, y: Tensor, *how: float) -> Parameters:
    return infimum.expelling(x, y, *how)._replace(a=y)


def reversed_(x: Tensor, y: Tensor, *how: float) -> Parameters:
    network = infimum.expelling(x, y, *how)
    return network._replace(a=-network.a)


EXPULSION = {
    **{f"of {one.label}": ([one], infimum.expelling) for one in HELD},
    "with a = y": (FREE, unfitted),
    "with -a": (FREE, reversed_),
}


@pytest.mark.parametrize("variant", EXPULSION)
def test_proposition_expulsion_fails_for_a_false_variant(variant):
    with pytest.raises(AssertionError):
        check_expulsion(*EXPULSION[variant])


# --- how far a partner can be ---


def partners(x: Tensor, positions: Tensor, one: Settings) -> Tensor:
    """The largest distance of a prototype to its matched sample, or under coverage of a sample to its nearest."""
    if one in COVERED:
        return (x[..., :, None] - positions[..., None, :]).abs().amin(-1).amax(-1)
    return (matched_samples(x, positions) - positions).abs().amax(-1)


def loss_of_one_that_is_off(size: int, one: Settings) -> Tensor:
    """The attractor's part of the loss where one partner alone is off, by a quarter."""
    places, off = torch.arange(size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
    off[-1] = 0.25
    if one in COVERED:
        attraction = coverage_loss(off, 0 * off, one.temperature)
    else:
        attraction = transport_loss(places, places + off)
    return one.strength * one.balance * attraction


def check_farthest(bound: Callable[[Tensor, int, Settings], Tensor]) -> None:
    """No partner is farther than `bound` of the loss, and where one alone is off, it is that far."""
    for size in (4, 20):
        x, y, start = starting_batch(size, range(8000, 8020))
        for one in HELD:
            loss, positions = total_loss(x, y, start, one), prototypes(start.w, start.b)
            assert (partners(x, positions, one) <= bound(loss, size, one)).all()
            reached = bound(loss_of_one_that_is_off(size, one), size, one)
            assert reached.item() == pytest.approx(0.25, rel=1e-9)


def test_proposition_farthest():
    check_farthest(infimum.farthest)


FARTHEST: dict[str, Callable[[Tensor, int, Settings], Tensor]] = {
    "doubled": lambda loss, size, one: 2 * infimum.farthest(loss, size, one),
    "halved": lambda loss, size, one: infimum.farthest(loss, size, one) / 2,
    "N dropped": lambda loss, size, one: infimum.farthest(loss, size, one) / math.sqrt(size),
    "N squared": lambda loss, size, one: infimum.farthest(loss, size, one) * math.sqrt(size),
    "λ dropped": lambda loss, size, one: infimum.farthest(loss, size, one) * math.sqrt(one.strength),
    "κ dropped": lambda loss, size, one: infimum.farthest(loss, size, one) * math.sqrt(one.balance),
    "no root": lambda loss, size, one: infimum.farthest(loss, size, one) ** 2,
    "L for L - L₀": lambda loss, size, one: (size * loss.clamp(min=0) / (one.strength * one.balance)).sqrt(),
}


@pytest.mark.parametrize("variant", FARTHEST)
def test_proposition_farthest_fails_for_a_false_variant(variant):
    with pytest.raises(AssertionError):
        check_farthest(FARTHEST[variant])


def test_expelled_prototypes_and_bounds_refuse_what_they_do_not_hold_for():
    x, y = sample_task(4, 8000)
    with pytest.raises(ValueError, match="chamfer"):
        infimum.loss_of_recovery(x, Settings("010", attractor="chamfer"))
    with pytest.raises(ValueError, match="distance"):
        infimum.expelling(x, y, 0.0)
    with pytest.raises(ValueError, match="sharpness"):
        infimum.recovering(x, y, -1.0)


def test_the_counts_beside_the_propositions_are_those_of_the_variants_here():
    found = {"recovery": len(RECOVERY) + 1, "least": len(LEAST), "expulsion": len(EXPULSION), "farthest": len(FARTHEST)}
    assert found == infimum.VARIANTS
