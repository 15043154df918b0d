"""Symmetries: what is kept, by training too, false variants that the checks must refuse, and the start's sides."""

from __future__ import annotations

from functools import cache, partial
from itertools import product

import numpy as np
import pandas as pd
import pytest
import sympy
import torch
from variants import counted, rejected

from companion.core.data import TARGETS, sample_task
from companion.core.losses import total_loss
from companion.core.network import Parameters, initial_parameters, predict, prototypes, starting_batch
from companion.core.settings import MASKS, Settings
from companion.engine import driver
from companion.studies import symmetries
from companion.studies.symmetries import (
    QUANTITIES,
    SIGNED,
    TRANSFORMATIONS,
    State,
    centred_start,
    first_step_gaps,
    half_turn,
    moved_run,
    random_states,
    scale_inputs,
    sides,
    start_beyond,
    training_gap,
    what_is_kept,
)

SCALED = {
    "x → αx": {"coverage": "not kept", "separation": "not kept", "total L": "not kept", "E": "not kept"},
    "x → αx, τ → α²τ": {"coverage": "× α²", "total L": "not kept", "E": "not kept"},
    "x → αx, y → αy, τ → α²τ": {"fit": "× α²", "coverage": "× α²", "total L": "not kept", "E": "× α"},
}
"""What is not simply kept."""


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Arrays are tiny here: a second thread would only wait for the first."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# --- what is kept ---


def check_kept(transformations) -> None:
    found = what_is_kept(random_states(), transformations)
    expected = {name: {**dict.fromkeys(QUANTITIES, "kept"), **SCALED.get(name, {})} for name in transformations}
    pd.testing.assert_frame_equal(found, pd.DataFrame(expected).T.rename_axis("transformation"))


def test_proposition_kept():
    check_kept(TRANSFORMATIONS)


def with_parameters(state: State, **values) -> State:
    return state._replace(parameters=state.parameters._replace(**values))


KEPT = {
    "x → 1 - x, wrong sign": (
        "x → 1 - x",
        lambda s: with_parameters(symmetries.reflect(s), b=s.parameters.b - s.parameters.w),
    ),
    "x → 1 - x, w as it was": ("x → 1 - x", lambda s: with_parameters(symmetries.reflect(s), w=s.parameters.w)),
    "x + s, wrong sign": (
        "x → x + s",
        lambda s: with_parameters(symmetries.shift(s), b=s.parameters.b + 0.25 * s.parameters.w),
    ),
    "x + s, without w": ("x → x + s", lambda s: with_parameters(symmetries.shift(s), b=s.parameters.b - 0.25)),
    "only w's signs": (
        "signs (w, b) → (-w, -b)",
        lambda s: with_parameters(symmetries.flip_signs(s), b=s.parameters.b),
    ),
    "1 - y, c as it was": ("y → 1 - y", lambda s: with_parameters(symmetries.flip_values(s), c=s.parameters.c)),
    "1 - y, a as it was": ("y → 1 - y", lambda s: with_parameters(symmetries.flip_values(s), a=s.parameters.a)),
    "w in another order than b": (
        "neurons in another order",
        lambda s: with_parameters(symmetries.permute_neurons(s), w=s.parameters.w),
    ),
    "x in another order than y": ("samples in another order", lambda s: symmetries.permute_samples(s)._replace(y=s.y)),
    "αx, w times α": ("x → αx", lambda s: with_parameters(scale_inputs(s), w=0.6 * s.parameters.w)),
    "αx, b too": ("x → αx", lambda s: with_parameters(scale_inputs(s), b=s.parameters.b / 0.6)),
    "α in place of α² in τ": (
        "x → αx, τ → α²τ",
        lambda s: scale_inputs(s)._replace(settings=s.settings.but(temperature=0.6 * s.settings.temperature)),
    ),
    "αy, c as it was": (
        "x → αx, y → αy, τ → α²τ",
        lambda s: with_parameters(symmetries.scale_both(s), c=s.parameters.c),
    ),
}


FALSE = {"kept": {name: partial(check_kept, {row: wrong}) for name, (row, wrong) in KEPT.items()}}


def test_every_transformation_moves_the_network_with_the_data():
    """f' at the moved inputs is f, flipped or scaled as y is; prototypes move as inputs do."""
    state = random_states(runs=20)
    f, positions = predict(state.x, *state.parameters), prototypes(state.parameters.w, state.parameters.b)
    for name, (on_x, on_y) in {
        "y → 1 - y": (lambda x: x, lambda y: 1 - y),
        "x → -x": (lambda x: -x, lambda y: y),
        "x → -x, y → -y": (lambda x: -x, lambda y: -y),
        "x → 1 - x": (lambda x: 1 - x, lambda y: y),
        "x → 1 - x, y → 1 - y": (lambda x: 1 - x, lambda y: 1 - y),
        "x → x + s": (lambda x: x + 0.25, lambda y: y),
        "x → αx": (lambda x: 0.6 * x, lambda y: y),
        "x → αx, y → αy, τ → α²τ": (lambda x: 0.6 * x, lambda y: 0.6 * y),
    }.items():
        moved = TRANSFORMATIONS[name](state)
        torch.testing.assert_close(moved.x, on_x(state.x))
        torch.testing.assert_close(moved.y, on_y(state.y))
        torch.testing.assert_close(predict(moved.x, *moved.parameters), on_y(f))
        torch.testing.assert_close(prototypes(moved.parameters.w, moved.parameters.b), on_x(positions))


def test_scaling_inputs_alone_changes_matchings_too():
    """So E's two parts have no factor of their own: only at one and the same matching do they."""
    state = random_states()
    assert 0.05 < symmetries.rematched(state, scale_inputs) < 0.95
    assert symmetries.rematched(state, symmetries.shift) == 0


@pytest.mark.parametrize("mask", MASKS)
def test_when_the_total_loss_follows_a_scale(mask):
    """With λ as it is if neither overlap nor separation is on, with α²λ if coverage is off, else with neither."""
    state, on = random_states(), MASKS[mask]
    moved = symmetries.scale_both(state)

    def follows(strength):
        before, after = (
            total_loss(given.x, given.y, given.parameters, given.settings.but(mask=mask, strength=value))
            for given, value in ((state, 1.0), (moved, strength))
        )
        return torch.allclose(after, 0.36 * before, rtol=1e-9, atol=0)

    assert follows(1.0) == (not on.overlap and not on.separation)
    assert follows(0.36) == (not on.coverage)


# --- the target ---


def check_turn(target, turn_x=lambda x: 1 - x, turn_y=lambda y: 1 - y) -> None:
    x = torch.linspace(0, 1, 501, dtype=torch.float64)
    torch.testing.assert_close(target(turn_x(x)), turn_y(target(x)), rtol=0, atol=1e-14)
    torch.testing.assert_close(turn_x(x).sort().values, x, rtol=0, atol=1e-14, msg="the law of x is kept")


def test_proposition_turn():
    check_turn(TARGETS["sine"])
    x, y = sample_task(20, 1000)
    moved = half_turn(State(x, y, initial_parameters(20, 1000), Settings()))
    torch.testing.assert_close(TARGETS["sine"](moved.x), moved.y)
    at = sympy.symbols("x", real=True)
    sine = (1 + sympy.sin(2 * sympy.pi * at)) / 2
    assert sympy.simplify(sine.subs(at, 1 - at) - (1 - sine)) == 0
    assert sympy.simplify(sine.subs(at, at + sympy.Rational(1, 2)) - (1 - sine)) == 0


SINE = TARGETS["sine"]
FALSE["turn"] = {
    "cosine": lambda: check_turn(lambda x: 0.5 * (1 + torch.cos(2 * torch.pi * x))),
    "square": lambda: check_turn(lambda x: x**2),
    "sine about 0": lambda: check_turn(lambda x: torch.sin(2 * torch.pi * x)),
    "one and a half waves": lambda: check_turn(lambda x: 0.5 * (1 + torch.sin(3 * torch.pi * x))),
    "x turned alone": lambda: check_turn(SINE, turn_y=lambda y: y),
    "y turned alone": lambda: check_turn(SINE, turn_x=lambda x: x),
    "-y for 1 - y": lambda: check_turn(SINE, turn_y=lambda y: -y),
    "½ - x for 1 - x": lambda: check_turn(SINE, turn_x=lambda x: 0.5 - x, turn_y=lambda y: y),
    "x + ½ for 1 - x": lambda: check_turn(SINE, turn_x=lambda x: x + 0.5),
}


# --- training ---


def start(mask: str, steps: int) -> State:
    """Three runs of the book's task; a wide temperature, so that every loss has a gradient."""
    return State(*starting_batch(4, (1000, 1001, 1002)), Settings(mask, temperature=0.01, steps=steps))


def largest(gap: Parameters) -> float:
    return max(float(part.abs().max()) for part in gap)


def check_commutes(transformation, steps: int = 15, tolerance: float = 1e-12) -> None:
    for mask in MASKS:
        assert largest(training_gap(start(mask, steps), transformation)) <= tolerance, mask


@pytest.mark.long
@pytest.mark.parametrize("name", SIGNED)
def test_proposition_adam(name):
    check_commutes(TRANSFORMATIONS[name])


OTHERS = [name for name in TRANSFORMATIONS if name not in SIGNED]
"""Shears and scalings, which are no signed permutations."""
FALSE["adam"] = {name: partial(check_commutes, TRANSFORMATIONS[name]) for name in OTHERS} | {
    "w's sign alone": lambda: check_commutes(lambda s: with_parameters(s, w=-s.parameters.w)),
    "a's sign without y's": lambda: check_commutes(lambda s: with_parameters(s, a=-s.parameters.a)),
}


@pytest.mark.long
@pytest.mark.parametrize("name", ["signs (w, b) → (-w, -b)", "x → -x", "x → -x, y → -y"])
def test_mirrored_trainings_are_the_same_to_the_bit(name):
    """A change of sign is exact in floating point, so nothing is rounded otherwise."""
    check_commutes(TRANSFORMATIONS[name], steps=50, tolerance=0.0)


@cache
def steep() -> State:
    """Networks of wide bumps, none of whose gradients is near 0, so that Adam's ε is small beside all of them."""
    state = random_states(runs=5, size=3)
    leaves = Parameters(*(value.clone().requires_grad_() for value in state.parameters))
    leaves = leaves._replace(w=(state.parameters.w / 4).requires_grad_())
    loss = total_loss(state.x, state.y, leaves, state.settings).sum()
    gradients = torch.autograd.grad(loss, leaves)
    assert min(float(gradient.abs().min()) for gradient in gradients[:2]) > 1e-4
    return state._replace(parameters=Parameters(*(value.detach() for value in leaves)))


def check_first_step(gaps) -> None:
    state = steep()
    state = state._replace(settings=state.settings.but(steps=1))
    for name, (parameter, size) in gaps().items():
        found = getattr(training_gap(state, TRANSFORMATIONS[name]), parameter).abs()
        torch.testing.assert_close(found, torch.full_like(found, size), rtol=1e-3, atol=0)


def test_proposition_shears():
    check_first_step(first_step_gaps)


def changed_gaps(change):
    """The check with other sizes of the gaps."""
    return lambda: check_first_step(lambda: {k: (at, change(size)) for k, (at, size) in first_step_gaps().items()})


FALSE["shears"] = {
    "no gap": changed_gaps(lambda size: 0.0),
    "half of each": changed_gaps(lambda size: size / 2),
    "twice each": changed_gaps(lambda size: 2 * size),
    "the square of each": changed_gaps(lambda size: size**2),
    "the shift without s": lambda: check_first_step(lambda: first_step_gaps(by=1.0)),
    "the shift with 1/s": lambda: check_first_step(lambda: first_step_gaps(by=1 / symmetries.SHIFT)),
    "the scale upside down": lambda: check_first_step(lambda: first_step_gaps(factor=1 / symmetries.FACTOR)),
    "the reflection in w": lambda: check_first_step(lambda: {"x → 1 - x": ("w", 0.01)}),
}


def test_either_engine_may_train():
    x, y = sample_task(5, 1003)
    state = State(x, y, initial_parameters(5, 1003), Settings("111", steps=20))
    slow, quick = (training_gap(state, TRANSFORMATIONS["x → x + s"], *engine) for engine in ((), (driver.train,)))
    for first, second in zip(slow, quick, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-9)


# --- left and right ---


@cache
def starts() -> np.ndarray:
    """Prototypes of many starts."""
    drawn = [initial_parameters(100, seed) for seed in range(400)]
    return torch.cat([prototypes(one.w, one.b) for one in drawn]).numpy()


def check_start_law(beyond, least: float = 0.1) -> None:
    w, b, t = sympy.symbols("w b t", positive=True)
    for at in (sympy.Rational(1, 5), 1, 3):  # exact from B / W on
        # ½ P(|b| > t |w|), with |w| uniform up to 10 and |b| up to 1.
        exact = sympy.integrate(sympy.integrate(sympy.Rational(1, 10), (w, 0, b / at)), (b, 0, 1)) / 2
        assert beyond(float(at)) == pytest.approx(float(exact), rel=1e-12)
    positions = starts()
    for at in (least, 0.2, 1.0, 4.0):
        for side in (positions > at, positions < -at):
            error = (beyond(at) * (1 - beyond(at)) / len(positions)) ** 0.5
            assert abs(side.mean() - beyond(at)) < 4 * error
    assert abs((positions < 0).mean() - 0.5) < 4 * 0.5 / len(positions) ** 0.5


def test_proposition_startlaw():
    check_start_law(start_beyond)
    with pytest.raises(ValueError, match="distance"):
        start_beyond(0.05)


FALSE["startlaw"] = {
    "twice": lambda: check_start_law(lambda t: 2 * start_beyond(t)),
    "half": lambda: check_start_law(lambda t: start_beyond(t) / 2),
    "an inverse square": lambda: check_start_law(lambda t: start_beyond(t) / t),
    "an inverse root": lambda: check_start_law(lambda t: start_beyond(t) * t**0.5),
    "without W": lambda: check_start_law(lambda t: 1 / (4 * t)),
    "bounds exchanged": lambda: check_start_law(lambda t: 10 / (4 * t)),
    "as for normal draws": lambda: check_start_law(lambda t: 0.5 - np.arctan(10 * t) / np.pi),
    "also below B / W": lambda: check_start_law(lambda t: 1 / (40 * t), least=0.04),
}


# --- data in the middle ---


def about_0(state: State) -> State:
    """The half turn about 0, as the proposition has it."""
    w, b, a, c = state.parameters
    return state._replace(x=-state.x, y=-state.y, parameters=Parameters(-w, b, -a, -c))


def check_middle(turn=about_0, moved: str = "x and y", target=None) -> None:
    """Starts and their images have one law, and end with left and right exchanged."""
    target = target or (lambda x: SINE(x + 0.5) - 0.5)
    for mask, seed in product(MASKS, (1000, 1001)):
        start = centred_start(6, seed, Settings(mask, temperature=0.01, steps=30), moved)
        start = start._replace(y=target(start.x))
        image = turn(start)
        assert (image.x.abs() <= 0.5).all()
        torch.testing.assert_close(image.y, target(image.x), rtol=0, atol=1e-12, msg="the data's law")
        for before, after in zip(start.parameters, image.parameters, strict=True):
            torch.testing.assert_close(after.abs(), before.abs(), rtol=0, atol=0, msg="the start's law")
        ends = [moved_run(state) for state in (start, image)]
        for one, other in (("left", "right"), ("left_start", "right_start")):
            assert ends[0][one] == ends[1][other] and ends[0][other] == ends[1][one]


@pytest.mark.long
def test_proposition_middle():
    check_middle()


FALSE["middle"] = {
    "data on [0, 1]": lambda: check_middle(symmetries.half_turn, moved="y alone", target=lambda x: SINE(x) - 0.5),
    "the turn about ½": lambda: check_middle(symmetries.half_turn),
    "x turned alone": lambda: check_middle(lambda s: symmetries.negate_inputs(s)),
    "y as stored": lambda: check_middle(moved="x alone", target=lambda x: SINE(x + 0.5)),
    "an even target": lambda: check_middle(target=lambda x: torch.cos(2 * torch.pi * x)),
    "w as it was": lambda: check_middle(lambda s: about_0(s)._replace(parameters=symmetries.flip_values(s).parameters)),
    "nothing turned": lambda: check_middle(lambda s: s),
    "a as it was": lambda: check_middle(lambda s: with_parameters(about_0(s), a=s.parameters.a)),
}


test_a_false_variant_is_rejected = rejected(FALSE)
test_the_chapter_prints_how_many_variants_are_rejected = counted(FALSE, symmetries.VARIANTS, "22-symmetries")


def test_sides_add_up_to_the_expelled_fraction(replication):
    some = replication[replication["size"] <= 20]
    table = sides(some)
    np.testing.assert_allclose(table["left"] + table["right"], some["expelled_fraction"], atol=1e-12)
    run = some.iloc[200]
    first = initial_parameters(run["size"], run["seed"])
    positions = (-first.b / first.w).numpy()
    assert table["left_start"].iloc[200] == (positions < run["x"].min()).mean()
    assert table["right_start"].iloc[200] == (positions > run["x"].max()).mean()


def test_moved_runs_start_from_the_same_weights_on_data_about_0():
    state = centred_start(10, 1000)
    x, y = sample_task(10, 1000)
    torch.testing.assert_close((state.x + 0.5, state.y + 0.5), (x, y))
    assert all(map(torch.equal, state.parameters, initial_parameters(10, 1000)))
    for moved, (by_x, by_y) in {"x alone": (0.5, 0), "y alone": (0, 0.5)}.items():
        alone = centred_start(10, 1000, moved=moved)
        torch.testing.assert_close((alone.x + by_x, alone.y + by_y), (x, y))
    # The target about its middle is odd: the half turn about 0 maps the task into itself.
    torch.testing.assert_close(state.y, 0.5 * torch.sin(2 * torch.pi * (state.x + 0.5)))
    settings = Settings("100", steps=0)
    assert centred_start(10, 1000, settings).settings == settings
    run = moved_run(centred_start(10, 1000, settings), driver.train)
    positions = prototypes(*initial_parameters(10, 1000)[:2])
    assert run["left"] == run["left_start"] == (positions < state.x.min()).double().mean()
    assert run["right"] == run["right_start"] == (positions > state.x.max()).double().mean()
    assert run["away"] > 0


# --- the tables ---


def test_gaps_are_written_as_median_and_greatest():
    rows = [("x → x + s", "000", steps, seed, gap) for steps in (1, 10) for seed, gap in enumerate((0.1, 0.2, 3.0))]
    table = symmetries.gap_table(pd.DataFrame(rows, columns=["transformation", "mask", "steps", "seed", "gap"]))
    assert table.loc[("x → x + s", "000 Std")].to_dict() == {"1 step": "0.2 (3)", "10 steps": "0.2 (3)"}


@pytest.fixture(scope="module")
def two_masks() -> pd.DataFrame:
    """Sides of two masks, two runs each."""
    table = pd.DataFrame({"mask": ["000", "000", "100", "100"], "size": 20, "seed": [1000, 1001] * 2, "away": 1.0})
    table = table.assign(left=[0.1, 0.3, 0.6, 1.0], right=[0.2, 0.2, 0.0, 0.2])
    return table.assign(left_start=[0.5, 0.7] * 2, right_start=[0.0, 0.1] * 2)


def test_shares_of_sides_are_means_over_runs(two_masks):
    table = symmetries.share_table(two_masks)
    assert list(table.index.get_level_values("mask")) == ["before training", "000 Std", "100 Ovl"] * 2
    np.testing.assert_allclose(table["N = 20"], [0.6, 0.2, 0.8, 0.05, 0.2, 0.1])
    np.testing.assert_allclose(symmetries.left_of_expelled(two_masks), [0.5, 8 / 9])
    mean = symmetries.means(two_masks, "left").iloc[0]
    assert (mean["low"], mean["value"], mean["high"]) == pytest.approx((0.2 - 0.196, 0.2, 0.2 + 0.196))


def test_runs_on_data_in_the_middle_are_compared_with_the_same_runs_as_stored(two_masks):
    metrics = {"reconstruction_error": [1.0, 3.0, 5.0, 7.0], "specialization_ratio": 0.5}
    runs = two_masks[["mask", "size", "seed"]].assign(**metrics)
    other = runs.assign(size=10)
    stored = symmetries.as_stored(pd.concat([other, runs]), pd.concat([two_masks.assign(size=10), two_masks]))
    assert (stored["size"] == 20).all() and len(stored) == 4
    table = symmetries.by_origin(stored, stored.assign(left=0.0, moved="x alone"))
    assert set(table.index) == {(mask, data) for mask in ("000", "100") for data in ("neither", "x alone")}
    row = table.loc[("100", "neither")]
    assert (row["left, end"], row["right, end"], row["E, median"]) == pytest.approx((0.8, 0.1, 6.0))
    assert row["expelled, end"] == pytest.approx(0.9)
    assert table.loc[("100", "x alone"), "left, end"] == 0
