"""What the fit holds: each proposition's check, false variants that it must refuse, and the measures on stored runs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import sympy
import torch
from variants import counted, rejected

from companion.core.losses import fit_loss
from companion.core.metrics import expelled_fraction, reconstruction_error
from companion.core.network import Parameters, activations, predict, prototypes
from companion.judging.chance import chance_level
from companion.show import words
from companion.studies import carriers
from companion.studies.carriers import (
    carried,
    carrier_count,
    delete,
    deletion_bound,
    deletion_bound_outside,
    deletions,
    distance_outside,
    effective_number,
    fit_force_bound,
    fit_force_bound_outside,
    forces,
    growth_exponent,
    rest_chance,
    rest_error,
    rests,
)
from companion.studies.forces import fit_force
from companion.sweeps.runs import stored_networks

RUNS, SIZE = 200, 6


@pytest.fixture(scope="module")
def few(replication):
    return replication[replication["size"] <= 20]


def instances(far: float = 2.0) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    """Random data and networks; prototypes up to `far` from 0."""
    draw = torch.Generator().manual_seed(18)
    x, y, w, at, a = (torch.rand(RUNS, SIZE, generator=draw, dtype=torch.float64) for _ in range(5))
    w = (0.3 + 6 * w) * torch.where(torch.arange(SIZE) % 2 == 0, 1.0, -1.0)
    return x, y, Parameters(w, -w * far * (2 * at - 1), 4 * a - 2, y.mean(-1) - 0.3)


def single(position: float, w: float = 2.5, a: float = -0.7) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    """One sample at 0 and one neuron at `position`."""
    zero = torch.zeros(1, dtype=torch.float64)
    return zero, zero + 0.4, Parameters(zero + w, zero - w * position, zero + a, torch.tensor(0.1, dtype=torch.float64))


# --- the fit's force is bounded by its error ---


def middle_bound(x, y, p):
    """4 w² |a| √L √(mean d² h²), between the force and the bound."""
    h = activations(x, p.w, p.b)
    distance = x.unsqueeze(-1) - prototypes(p.w, p.b).unsqueeze(-2)
    error = fit_loss(predict(x, *p), y).sqrt().unsqueeze(-1)
    return 4 * p.w**2 * p.a.abs() * error * ((distance * h) ** 2).mean(-2).sqrt()


def check_fit_bound(bound=fit_force_bound, middle=middle_bound) -> None:
    x, y, parameters = instances()
    assert (fit_force(x, y, parameters).abs() <= middle(x, y, parameters) * (1 + 1e-12)).all()
    assert (middle(x, y, parameters) <= bound(x, y, parameters) * (1 + 1e-12)).all()
    # No smaller constant would do: one sample, and the neuron where its force is greatest.
    for w in (0.3, 2.5, -7.0):
        tight = single(1 / (math.sqrt(2) * abs(w)), w)
        for reached in (bound, middle):
            torch.testing.assert_close(fit_force(*tight).abs(), reached(*tight), rtol=1e-12, atol=0)


def test_proposition_fitbound():
    check_fit_bound()


def error_of(x, y, p):
    return fit_loss(predict(x, *p), y).sqrt().unsqueeze(-1)


FALSE = {}
FALSE["fitbound"] = {
    "half": lambda: check_fit_bound(lambda *given: fit_force_bound(*given) / 2),
    "twice": lambda: check_fit_bound(lambda *given: fit_force_bound(*given) * 2),
    "L_fit for its root": lambda: check_fit_bound(lambda *given: fit_force_bound(*given) * error_of(*given)),
    "without w": lambda: check_fit_bound(lambda x, y, p: fit_force_bound(x, y, p) / p.w.abs()),
    "w² for w": lambda: check_fit_bound(lambda x, y, p: fit_force_bound(x, y, p) * p.w.abs()),
    "without a": lambda: check_fit_bound(lambda x, y, p: fit_force_bound(x, y, p) / p.a.abs()),
    "2/e for its root": lambda: check_fit_bound(lambda *given: fit_force_bound(*given) * math.sqrt(2 / math.e)),
    "middle, half": lambda: check_fit_bound(middle=lambda *given: middle_bound(*given) / 2),
    "middle, twice": lambda: check_fit_bound(middle=lambda *given: middle_bound(*given) * 2),
    "middle, w for w²": lambda: check_fit_bound(middle=lambda x, y, p: middle_bound(x, y, p) / p.w.abs()),
    "middle, L_fit for its root": lambda: check_fit_bound(middle=lambda *at: middle_bound(*at) * error_of(*at)),
}


def check_fit_far(bound) -> None:
    x, y, parameters = instances(far=3.0)
    found, force = bound(x, y, parameters), fit_force(x, y, parameters).abs()
    away = distance_outside(x, prototypes(parameters.w, parameters.b))
    given = ~found.isnan()
    assert torch.equal(given, away >= 1 / (math.sqrt(2) * parameters.w.abs())) and given.sum() > 100
    assert (force <= found * (1 + 1e-12) + 1e-300)[given].all()
    for position in (-0.3, 0.4, 1.0):
        tight = single(position)
        torch.testing.assert_close(fit_force(*tight).abs(), bound(*tight), rtol=1e-12, atol=0)


def far_formula(x, y, p, power=1.0, decay=1.0):
    """The bound far outside as a formula, wherever the prototype is; with another power of D or another decay."""
    away = distance_outside(x, prototypes(p.w, p.b))
    error = fit_loss(predict(x, *p), y).sqrt().unsqueeze(-1)
    return 4 * p.w**2 * p.a.abs() * error * away**power * torch.exp(-decay * p.w**2 * away**2)


def test_proposition_fitfar():
    check_fit_far(fit_force_bound_outside)


def far_changed(change, **powers):
    """The check with the bound changed by a factor, or with other powers, where it is given."""

    def bound(x, y, p):
        given = fit_force_bound_outside(x, y, p)
        return torch.where(given.isnan(), torch.nan, change(far_formula(x, y, p, **powers), x, y, p))

    return lambda: check_fit_far(bound)


FALSE["fitfar"] = {
    "also near the data": lambda: check_fit_far(far_formula),
    "half": far_changed(lambda bound, *_: bound / 2),
    "twice": far_changed(lambda bound, *_: bound * 2),
    "without D": far_changed(lambda bound, *_: bound, power=0.0),
    "D² for D": far_changed(lambda bound, *_: bound, power=2.0),
    "twice the exponent": far_changed(lambda bound, *_: bound, decay=2.0),
    "half the exponent": far_changed(lambda bound, *_: bound, decay=0.5),
    "the exponent's sign": far_changed(lambda bound, *_: bound, decay=-1.0),
    "w for w²": far_changed(lambda bound, x, y, p: bound / p.w.abs()),
    "without a": far_changed(lambda bound, x, y, p: bound / p.a.abs()),
    "L_fit for its root": far_changed(lambda bound, *given: bound * error_of(*given)),
}


def test_the_bound_of_the_far_ones_does_not_hold_near_the_data():
    """The condition D >= 1/(√2 |w|) is needed: a prototype at the edge feels the samples farther in."""
    x, y, parameters = instances()
    away = distance_outside(x, prototypes(parameters.w, parameters.b))
    near = (away > 0) & (away < 1 / (math.sqrt(2) * parameters.w.abs()))
    assert (fit_force(x, y, parameters).abs() > far_formula(x, y, parameters))[near].any()


def test_the_greatest_distance_times_response_is_as_the_proof_says():
    d, w = sympy.symbols("d w", positive=True)
    force = d * sympy.exp(-(w**2) * d**2)
    (top,) = sympy.solve(sympy.diff(force, d), d)
    assert sympy.simplify(top - 1 / (sympy.sqrt(2) * w)) == 0
    assert sympy.simplify(force.subs(d, top) - 1 / (sympy.sqrt(2 * sympy.E) * w)) == 0
    assert sympy.simplify(4 * w**2 * force.subs(d, top) - 2 * sympy.sqrt(2 / sympy.E) * w) == 0
    assert sympy.simplify(sympy.diff(force, d).subs(d, 2 * top)) < 0, "beyond its top it falls"


# --- deleting a distant neuron costs little ---


def subsets() -> torch.Tensor:
    return torch.rand(RUNS, SIZE, generator=torch.Generator().manual_seed(19)) < 0.4


def check_deletion(bound) -> None:
    x, y, parameters = instances()
    removed = subsets()
    before = fit_loss(predict(x, *parameters), y).sqrt()
    after = fit_loss(predict(x, *delete(parameters, removed)), y).sqrt()
    assert ((after - before).abs() <= bound(x, parameters, removed) * (1 + 1e-12) + 1e-12).all()
    # No smaller bound would do: a perfect fit by neurons of one sign loses all that was deleted.
    positive = parameters._replace(a=parameters.a.abs())
    lost = fit_loss(predict(x, *delete(positive, removed)), predict(x, *positive)).sqrt()
    torch.testing.assert_close(bound(x, positive, removed), lost, rtol=1e-10, atol=1e-12)


def test_proposition_deletion():
    check_deletion(deletion_bound)


def narrowed(p):
    """The same network with squared responses."""
    return p._replace(w=p.w * math.sqrt(2), b=p.b * math.sqrt(2))


def widest(p):
    return p.w.abs() == p.w.abs().amin(-1, keepdim=True)


def summed_apart(x, p, s):
    """A root of the sum of squares where the bound has the square of the sum."""
    return (((activations(x, p.w, p.b) * (p.a.abs() * s).unsqueeze(-2)) ** 2).sum(-1)).mean(-1).sqrt()


FALSE["deletion"] = {
    "half": lambda: check_deletion(lambda *given: deletion_bound(*given) / 2),
    "twice": lambda: check_deletion(lambda *given: deletion_bound(*given) * 2),
    "the square": lambda: check_deletion(lambda *given: deletion_bound(*given) ** 2),
    "only the widest": lambda: check_deletion(lambda x, p, s: deletion_bound(x, p, s & widest(p))),
    "the other neurons": lambda: check_deletion(lambda x, p, s: deletion_bound(x, p, ~s)),
    "squared responses": lambda: check_deletion(lambda x, p, s: deletion_bound(x, narrowed(p), s)),
    "without a": lambda: check_deletion(lambda x, p, s: deletion_bound(x, p._replace(a=torch.ones_like(p.a)), s)),
    "squares of neurons summed": lambda: check_deletion(summed_apart),
}


def check_deletion_far(bound) -> None:
    x, y, parameters = instances(far=3.0)
    removed = subsets()
    assert (deletion_bound(x, parameters, removed) <= bound(x, parameters, removed) * (1 + 1e-12)).all()
    zero, _, alone = single(0.6)
    all_of_it = torch.ones(1, dtype=torch.bool)
    torch.testing.assert_close(deletion_bound(zero, alone, all_of_it), bound(zero, alone, all_of_it))


def test_proposition_deletionfar():
    check_deletion_far(deletion_bound_outside)


def far_of(x, p, s, distance=1.0, power=2.0):
    """The bound by distance, with another distance or another power of it in the exponent."""
    away = distance * distance_outside(x, prototypes(p.w, p.b)) * p.w.abs()
    return (p.a.abs() * torch.exp(-(away**power)) * s).sum(-1)


FALSE["deletionfar"] = {
    "half": lambda: check_deletion_far(lambda *given: far_of(*given) / 2),
    "twice": lambda: check_deletion_far(lambda *given: far_of(*given) * 2),
    "without a": lambda: check_deletion_far(lambda x, p, s: far_of(x, p._replace(a=torch.ones_like(p.a)), s)),
    "distance from the middle": lambda: check_deletion_far(
        lambda x, p, s: far_of(x.mean(-1, keepdim=True), p._replace(b=p.b - p.w * 0.2), s)
    ),
    "twice the distance": lambda: check_deletion_far(lambda *given: far_of(*given, distance=2.0)),
    "half the distance": lambda: check_deletion_far(lambda *given: far_of(*given, distance=0.5)),
    "w D for its square": lambda: check_deletion_far(lambda *given: far_of(*given, power=1.0)),
    "the largest alone": lambda: check_deletion_far(
        lambda x, p, s: (
            torch.stack([far_of(x, p, s & (torch.arange(s.shape[-1]) == j)) for j in range(s.shape[-1])]).max(0).values
        )
    ),
}


def test_deleting_is_the_same_as_leaving_out():
    x, y, parameters = instances()
    removed = torch.tensor([True, False, True, False, False, False])
    w, b, a, c = parameters
    expected = predict(x, w[:, ~removed], b[:, ~removed], a[:, ~removed], c)
    torch.testing.assert_close(predict(x, *delete(parameters, removed)), expected)


test_a_false_variant_is_rejected = rejected(FALSE)
test_the_chapter_prints_how_many_variants_are_rejected = counted(FALSE, carriers.VARIANTS, "21-holding")


# --- the measures ---


def check_effective(number) -> None:
    m = np.random.default_rng(20).random((50, 7))
    assert ((number(m) >= 1) & (number(m) <= 7)).all()
    np.testing.assert_allclose(number(1e-250 * m), number(m))
    for k in range(1, 8):
        assert number(3.0 * (np.arange(7) < k)) == pytest.approx(k)
    assert number([2.0, 1.0]) == pytest.approx(9 / 5)


def test_the_effective_number():
    check_effective(effective_number)
    assert math.isnan(effective_number(np.zeros(3)))
    with pytest.raises(ValueError, match="contributions"):
        effective_number([1.0, np.nan])


@pytest.mark.parametrize(
    "wrong",
    {
        "upside down": lambda m: 1 / effective_number(m),
        "over N": lambda m: effective_number(m) / np.shape(m)[-1],
        "of squares": lambda m: effective_number(np.square(m)),
        "not scale-free": lambda m: np.asarray(m).sum(-1) ** 2,
    }.items(),
    ids=lambda item: item[0],
)
def test_the_effective_number_fails_for_a_false_variant(wrong):
    with pytest.raises(AssertionError):
        check_effective(wrong[1])


def test_carriers_are_the_fewest_that_add_up():
    assert carrier_count([0.5, 0.3, 0.15, 0.05], 0.79) == 2
    assert carrier_count([0.05, 0.15, 0.3, 0.5], 0.81) == 3
    np.testing.assert_array_equal(carrier_count(np.ones((2, 100))), [99, 99])
    assert carrier_count([1.0, 0.0]) == 1


def test_the_growth_exponent_of_a_power_is_its_power():
    grown = growth_exponent({size: np.full(5, 3 * size**0.7) for size in (3, 10, 100)})
    np.testing.assert_allclose(grown, 0.7)
    rng = np.random.default_rng(0)
    noisy = growth_exponent({size: size**0.5 * rng.lognormal(sigma=0.5, size=400) for size in (3, 10, 100)})
    assert noisy.low < 0.5 < noisy.high and noisy.high - noisy.low < 0.1


def test_the_rest_of_all_is_the_whole(few):
    run = few.iloc[40]
    x, y, parameters = stored_networks(few.iloc[40:41])
    positions = prototypes(parameters.w, parameters.b)
    values = predict(positions, *parameters)
    whole = reconstruction_error(x[0], y[0], positions[0], values[0])
    assert rest_error(x[0], y[0], positions[0], values[0]) == whole == pytest.approx(run["reconstruction_error"])
    assert math.isnan(rest_error(x[0], y[0], [], []))
    assert rest_error([0.0, 1.0, 5.0], [0.0, 0.0, 0.0], [1.5], [0.0]) == 0.5
    for size in (3, 10):
        assert rest_chance(size, 1000, size, draws=20) == pytest.approx(chance_level(size, [1000]).mean())
    assert math.isnan(rest_chance(3, 1000, 0))


def test_the_tables_agree_with_the_runs_one_by_one(few):
    table, deleted, rest = carried(few), deletions(few), rests(few, draws=1)
    row = few.iloc[[137]]
    keys = tuple(row[["mask", "size", "seed"]].iloc[0])
    of_run = {
        name: frame.set_index(["mask", "size", "seed"]).loc[[keys]]
        for name, frame in {"table": table, "deleted": deleted, "rest": rest}.items()
    }
    x, w, b, a = (np.array(row[name].iloc[0]) for name in ("x", "w", "b", "a"))
    m = abs(a) * np.exp(-((np.outer(x, w) + b) ** 2)).mean(0)
    assert of_run["table"]["effective"].item() == pytest.approx(m.sum() ** 2 / (m**2).sum())
    outside = (-b / w < x.min()) | (-b / w > x.max())
    assert of_run["rest"]["rest"].item() == (~outside).sum()
    assert of_run["table"]["outside"].item() == pytest.approx(m[outside].sum() / m.sum())
    kinds = of_run["deleted"].set_index("kind")
    assert kinds.loc["expelled", "deleted"] == kinds.loc["near", "deleted"] + kinds.loc["far", "deleted"]
    share = (len(w) - of_run["rest"]["rest"].item()) / len(w)
    assert share == pytest.approx(expelled_fraction(x, -b / w))


def test_no_deletion_costs_more_than_its_bound_and_no_bias_is_better_than_the_refitted(few):
    deleted = deletions(few)
    assert ((deleted["after"] - deleted["before"]).abs() <= deleted["bound"] * (1 + 1e-9) + 1e-12).all()
    assert (deleted["refitted"] <= deleted["after"] + 1e-15).all()
    untouched = deleted[deleted["deleted"] == 0]
    np.testing.assert_array_equal(untouched["before"], untouched["after"])


def test_deletions_of_one_neuron_are_those_of_a_group_of_one(few):
    runs = few[(few["mask"] == "100") & (few["size"] == 5)]
    table = carriers.single_deletions(runs).set_index("kind")
    x, y, parameters = stored_networks(runs)
    before, hurts = fit_loss(predict(x, *parameters), y).sqrt(), []
    for neuron in range(5):
        after = fit_loss(predict(x, *delete(parameters, torch.arange(5) == neuron)), y).sqrt()
        hurts.append(after - before > carriers.HURT)
    away = distance_outside(x, prototypes(parameters.w, parameters.b))
    far, hurt = away * parameters.w.abs() > 1, torch.stack(hurts, -1)
    for kind, chosen in {"inside": away == 0, "near": (away > 0) & ~far, "far": far}.items():
        assert table.loc[kind, "neurons"] == chosen.sum() > 0
        assert table.loc[kind, "hurt"] == pytest.approx(float(hurt[chosen].double().mean()))
    assert (
        carriers.single_table(table.reset_index())
        .loc[("100 Ovl", "near"), "N = 5"]
        .endswith(f" of {table.loc['near', 'neurons']}")
    )


def test_the_forces_are_those_of_the_runs(few):
    table = forces(few)
    end, first = (table[table["when"] == when].reset_index(drop=True) for when in ("end", "start"))
    np.testing.assert_allclose(end["error"] ** 2, few["fit_mse"], rtol=1e-6, atol=1e-15)
    assert (table["force"] <= table["bound"] * (1 + 1e-12)).all()
    std, full = (first[first["mask"] == mask]["error"].to_numpy() for mask in ("000", "111"))
    np.testing.assert_array_equal(std, full), "masks of a seed start alike"


# --- the tables ---


def frame(values: dict[str, list[float]], column: str) -> pd.DataFrame:
    """Runs of N = 3 and N = 12, three of each, by mask: all of size 3, then all of size 12."""
    rows = [
        (mask, size, seed, value)
        for mask, given in values.items()
        for (size, seed), value in zip([(3, 0), (3, 1), (3, 2), (12, 0), (12, 1), (12, 2)], given, strict=True)
    ]
    return pd.DataFrame(rows, columns=["mask", "size", "seed", column])


def test_tables_of_masks_by_sizes():
    runs = frame({"010": [1, 2, 9, 4, 4, 4], "000": [5, 5, 5, 6, 7, 8]}, "count")
    table = carriers.wide(runs, "count")
    assert table.loc["010"].to_dict() == {3: 2, 12: 4} and list(table.index) == ["000", "010"]
    assert carriers.wide(runs, "count", "mean").loc["010", 3] == 4
    printed = words.labelled(table)
    assert (list(printed.index), list(printed)) == (["000 Std", "010 Cov"], ["N = 3", "N = 12"])
    found = carriers.medians(runs, "count").set_index(["mask", "size"])
    assert found.loc[("010", 3)].to_dict() == {"value": 2, "low": 1, "high": 9}


def test_the_table_of_effective_numbers_ends_with_the_starts_and_the_exponents():
    runs = frame({"000": [3] * 3 + [6] * 3, "010": [2] * 3 + [8] * 3}, "effective").assign(
        start=[1.5] * 3 + [6.0] * 3 + [0.0] * 6
    )
    assert {name: round(found.value, 12) for name, found in carriers.growth(runs).items()} == {
        "000": 0.5,
        "010": 1.0,
        carriers.BEFORE: 1.0,
    }
    table = carriers.effective_table(runs)
    assert list(table.index) == ["000 Std", "010 Cov", "before training"]
    assert list(table.loc["000 Std"]) == ["3 [3, 3]", "6 [6, 6]", "0.50 [0.50, 0.50]"]
    assert list(table.loc["before training"]) == ["1.5 [1.5, 1.5]", "6 [6, 6]", "1.00 [1.00, 1.00]"]


def test_forces_are_summed_up_at_the_least_and_the_greatest_size():
    runs = pd.concat(
        frame({"000": [1, 2, 3, 7, 8, 9]}, "error").assign(when=when, force=value, bound=2 * value)
        for when, value in {"start": 4.0, "end": 1.0}.items()
    )
    table = carriers.force_medians(pd.concat([runs, runs[runs["size"] == 3].assign(size=5)]))
    assert list(table.index) == [("000", 3), ("000", 12)] and list(table)[:2] == ["error, start", "error, end"]
    assert list(table.loc[("000", 12)]) == [8, 8, 8, 2, 4, 1]


def test_tables_of_deletions_are_of_one_kind():
    runs = frame({"000": [0.2, 0.3, 0.4, 0.1, 0.1, 0.1]}, "after").assign(before=0.05, refitted=0.125, kind="far")
    runs["hurt"] = [True, False, True, False, False, False]
    both = pd.concat([runs, runs.assign(kind="near", hurt=True, after=9.0)])
    assert list(carriers.errors_table(both, "far").loc["000 Std"]) == [
        "0.05 → 0.3 [0.2, 0.4] (0.12)",
        "0.05 → 0.1 [0.1, 0.1] (0.12)",
    ]
    assert list(carriers.hurt_table(both, "far").loc["000 Std"]) == ["0.67 of 3", "0.00 of 3"]


def test_the_rest_is_above_chance_where_the_interval_is():
    runs = frame({"000": [2, 3, 4, 0.5, 2, 2], "010": [0.5] * 6}, "ratio").assign(rest=1, whole=9.0, chance=0.5)
    runs = runs.assign(error=runs["ratio"] / 2, own=1.0)
    none = runs.iloc[[0]].assign(seed=3, rest=0, ratio=np.nan, error=np.nan)
    runs = pd.concat([runs, none])
    assert carriers.above_chance(runs) == [("000", 3)]
    row = carriers.rest_table(runs).loc[("000 Std", 3)]
    assert row.to_dict() == {
        "remain": 1,
        "E, whole": 9,
        "E of the rest": 1.5,
        "by its own values": 1,
        "chance": 0.5,
        "over chance": "3.00 [2.00, 4.00]",
        "none remain": 1,
    }


def test_the_best_constant_is_the_mean():
    runs = pd.DataFrame({"size": [2, 2, 2, 3], "y": [np.array(y) for y in ([0, 2], [0, 4], [0, 20], [1, 1, 1])]})
    assert carriers.best_constant(runs).to_dict() == {2: 2, 3: 0}
