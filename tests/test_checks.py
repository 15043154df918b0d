"""Checks of input: what passes, and in which words the rest is refused."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from jaxtyping import Float
from torch import Tensor

from companion.core import checks
from companion.core.checks import array_of, require_integer, require_list, require_number, require_shapes, shown
from companion.core.hull import outside_hull
from companion.core.metrics import (
    expelled_fraction,
    match,
    position_error,
    reconstruction_error,
    specialization_ratio,
)
from companion.core.network import starting_batch
from companion.core.settings import Settings
from companion.judging.claims import CLAIMS
from companion.sweeps import runs as of_runs
from companion.sweeps import sweep
from companion.sweeps.measures import METRICS, measure
from companion.sweeps.parameters import require_design
from companion.sweeps.runs import require_table
from companion.sweeps.store import Group
from companion.sweeps.sweep import list_of, run_groups, run_sweep


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


def test_what_was_given_is_shown_on_one_line_of_a_sensible_length():
    assert shown(np.zeros((2, 2))) == "array([[0., 0.], [0., 0.]])"
    assert shown("a\nb") == "'a\\nb'" and len(shown("x" * 10**6)) == 201
    assert shown(10**5000) == "an object of type int" and shown(Mute()) == "an object of type Mute"


@pytest.mark.parametrize("given", [np.int32(3), 3, np.uint8(3)])
def test_whole_numbers_of_any_kind_pass(given):
    assert type(require_integer("n", given, least=1, most=3)) is int


@pytest.mark.parametrize("given", [True, np.bool_(True), 3.0, "3", None, torch.tensor(3), np.array(3), 0, 10**400])
def test_what_is_no_whole_number_in_the_range_is_named(given):
    with pytest.raises(ValueError, match=r"^n: .* was given; allowed are whole numbers from 1 to 9$"):
        require_integer("n", given, least=1, most=9)


@pytest.mark.parametrize("given", [10**400, Fraction(10**400), -1, "1", True, 1j, float("nan"), float("inf"), None])
def test_what_is_no_finite_number_is_named(given):
    with pytest.raises(ValueError, match=r"^x: .* was given; allowed are finite numbers of at least 0$"):
        require_number("x", given)


def test_what_a_float_holds_as_zero_is_zero():
    with pytest.raises(ValueError, match="allowed are finite numbers above 0"):
        require_number("x", Fraction(1, 10**400), positive=True)
    assert str(require_number("x", -0.0)) == "0.0"
    assert Settings(strength=-0.0).key == Settings(strength=0.0).key


@pytest.mark.parametrize(
    "given", ["35", b"35", {3: 5}, 3, None, np.array(3), itertools.count(3), (n for n in ()), [], itertools.repeat(3)]
)
def test_what_is_no_list_with_an_end_is_named(given):
    with pytest.raises(ValueError, match=r"^sizes: .* was given; allowed is a list of at least 1 and at most 1000000"):
        require_list("sizes", given, lambda name, one: require_integer(name, one, least=2))


@pytest.mark.parametrize("given", [[3, 5], (3, 5), range(3, 6, 2), np.array([3, 5]), iter([3, 5]), pd.Series([3, 5])])
def test_lists_of_any_kind_pass(given):
    assert list_of("sizes", given, lambda name, one: require_integer(name, one, least=2)) == [3, 5]


@pytest.mark.parametrize(
    "given",
    [
        [0.5, 1],
        np.float32([0.5, 1]),
        np.array([0.5, 1], dtype=object),
        torch.tensor([0.5, 1.0]),
        torch.tensor([0.5, 1.0], dtype=torch.bfloat16),
        torch.tensor([0.5, 1.0], requires_grad=True),
        pd.Series([0.5, 1]),
        [torch.tensor(0.5), torch.tensor(1.0)],
    ],
    ids=lambda given: type(given).__name__,
)
def test_numbers_of_any_kind_are_an_array(given):
    found = array_of("x", given)
    assert found.dtype == np.float64 and found.tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    "given",
    [
        None, "x", ["1"], 1j, [[1], [1, 2]], [10**400], {"a": 1}, object(), np.array(["2020-01-01"], "M8"),
        torch.ones(2).to("meta"), torch.ones(2, dtype=torch.complex64), torch.ones(2).to_sparse(),
    ],
    ids=lambda given: type(given).__name__,
)  # fmt: skip
def test_what_is_no_array_of_real_numbers_is_named(given):
    with pytest.raises(ValueError, match=r"^x: .* was given; allowed is an array of real numbers$"):
        array_of("x", given)


@pytest.mark.parametrize(
    "given", [np.ones(2), [1.0], None, torch.ones(2).long(), torch.ones(2).to("meta"), torch.ones(2).to_sparse()]
)
def test_what_is_no_dense_tensor_of_floating_point_numbers_is_named(given):
    with pytest.raises(ValueError, match=r"^x: .* was given; allowed is a torch tensor of floating-point numbers$"):
        checks.require_tensors(w=torch.ones(2), x=given)


def test_tensors_of_two_types_are_named_with_theirs():
    with pytest.raises(ValueError, match="types: x torch.float32 on cpu, y torch.float64 on cpu were given; allowed"):
        checks.require_tensors(x=torch.ones(2), y=torch.ones(2).double())


SHAPES = {"x": "*runs samples d", "w": "*runs neurons d", "c": "*runs", "s": "n n"}


@pytest.mark.parametrize("runs", [(), (2,), (0,), (2, 3)])
def test_shapes_that_fit_pass(runs):
    require_shapes(SHAPES, x=np.ones((*runs, 4, 2)), w=np.ones((*runs, 5, 2)), c=np.ones(runs), s=np.ones((3, 3)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"x": np.ones((2, 4, 3))},
        {"x": np.ones((3, 4, 2))},
        {"x": np.ones((4, 2))},
        {"x": np.ones((2, 0, 2))},
        {"x": np.ones(())},
        {"c": np.ones(3)},
        {"s": np.ones((3, 2))},
        {"s": np.ones((1, 3, 3))},
    ],
)
def test_shapes_that_do_not_fit_are_named(wrong):
    right = {"x": np.ones((2, 4, 2)), "w": np.ones((2, 5, 2)), "c": np.ones(2), "s": np.ones((3, 3))}
    with pytest.raises(ValueError) as caught:
        require_shapes(SHAPES, **(right | wrong))
    given = ", ".join(f"{name} {array.shape}" for name, array in (right | wrong).items())
    allowed = "x (..., samples, d), w (..., neurons, d), c (...), s (n, n), equal lengths for equal names"
    assert str(caught.value) == f"shapes: {given} were given; allowed are {allowed}"


Rows = Float[Tensor, "*runs n"]


Rows = Float[Tensor, "*runs n"]


@checks.requires(finite=("x",), positive=("temperature",))
def weighed(x: Rows, y: Rows, temperature: float = 1.0) -> Tensor:
    return (x * y).sum(-1) / temperature


def test_a_function_s_annotations_are_what_is_checked():
    x = torch.ones(2, 3)
    assert weighed(x, y=x, temperature=2.0).tolist() == [1.5, 1.5]
    for wrong, says in (
        ({"y": x[0]}, r"shapes: x \(2, 3\), y \(3,\) were given; allowed are x \(..., n\), y \(..., n\)"),
        ({"y": 3}, "y: 3 was given"),
        ({"x": x / 0}, "x: 6 of 6 values are NaN or infinite"),
        ({"temperature": 0}, "temperature: 0 was given; allowed are finite numbers above 0"),
    ):
        with pytest.raises(ValueError, match=says):
            weighed(**({"x": x, "y": x, "temperature": 1.0} | wrong))
    assert checks.unchecked(weighed)(x, x[0], 1.0).shape == (2,)


TABLE = pd.DataFrame({"mask": ["000"], "E": [0.5], "w": [[1.0]]})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (3, "runs: 3 was given; allowed is a table with rows"),
        (TABLE.iloc[:0], "runs: a table of 0 rows was given"),
        (pd.concat([TABLE, TABLE], axis=1), "no two of one name"),
        (
            TABLE.drop(columns=["E", "w"]),
            r"runs: columns \['mask'\] were given; allowed are tables with \['E', 'w'\], too",
        ),
        (TABLE.assign(E="x"), "runs: column 'E' of .* was given; allowed is one of numbers"),
        (TABLE.assign(mask=[[1]]), "runs: column 'mask' was given with lists or gaps; allowed are names or numbers"),
        (TABLE.assign(mask=None), "runs: column 'mask' was given with lists or gaps"),
    ],
)
def test_what_is_no_table_of_runs_is_named(given, says):
    assert require_table("runs", TABLE, ["E"], ["mask"], ["w"]) is TABLE
    with pytest.raises(ValueError, match=says):
        require_table("runs", given, ["E"], ["mask"], ["w"])


# --- where they are used ---


WRITTEN_OTHERWISE = {
    "nullable": lambda runs: runs.convert_dtypes(dtype_backend="numpy_nullable"),
    "Arrow's": lambda runs: runs.convert_dtypes(dtype_backend="pyarrow"),
    "categories": lambda runs: runs.astype({"mask": "category", "size": "category", "seed": "category"}),
    "an index of a column's name": lambda runs: runs.set_index("mask", drop=False),
    "an index of two": lambda runs: runs.set_index(["seed", "size"], drop=False),
}


@pytest.fixture(scope="module")
def stored() -> pd.DataFrame:
    return pd.read_parquet(ROOT / "data/plain.parquet")


@pytest.mark.parametrize("how", WRITTEN_OTHERWISE)
def test_a_table_is_read_alike_in_whatever_types_and_with_whatever_index(stored, how):
    other = WRITTEN_OTHERWISE[how](stored)
    for metric in METRICS:
        found = of_runs.summary(other, metric).astype({"mask": object, "size": "int64"})
        pd.testing.assert_frame_equal(found, of_runs.summary(stored, metric).astype({"mask": object}))
    assert of_runs.settings_in(other) == of_runs.settings_in(stored)
    require_design("runs", other)
    networks = [of_runs.stored_networks(runs[runs["size"].to_numpy() == 3]) for runs in (other, stored)]
    assert all(map(torch.equal, networks[0][2], networks[1][2]))
    for claim in CLAIMS.values():
        if claim.data == "sweep":
            pd.testing.assert_frame_equal(claim.rule(other).table, claim.rule(stored).table)


def test_what_is_missing_in_a_nullable_column_is_nan(stored):
    runs = stored.convert_dtypes(dtype_backend="pyarrow")
    runs.loc[0, "reconstruction_error"] = pd.NA
    found = require_table("runs", runs, ["reconstruction_error"])["reconstruction_error"]
    assert found.dtype == np.float64 and found.isna().sum() == 1
    with pytest.raises(ValueError, match="runs: mask 000, size 3, seed 1000 is missing or has a metric that is no"):
        CLAIMS["C1"].rule(runs)


def test_columns_of_two_levels_are_refused(stored):
    levels = stored.set_axis(pd.MultiIndex.from_product([["run"], stored.columns]), axis=1)
    with pytest.raises(ValueError, match="runs: a table of 480 rows was given; allowed is .* one level of columns"):
        of_runs.summary(levels, "reconstruction_error")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda runs: pd.concat([runs, runs], axis=1),
        lambda runs: runs.assign(mask=pd.Series(["\ud800"] * len(runs), dtype=object)),
        lambda runs: runs.assign(mask=[object()] * len(runs)),
    ],
)
def test_what_parquet_cannot_hold_is_named_and_nothing_is_written(stored, tmp_path, spoil):
    with pytest.raises(ValueError, match=r"^table: .*; allowed is what run_sweep returned$"):
        of_runs.write_runs(spoil(stored.head()), tmp_path / "x.parquet")
    assert not list(tmp_path.iterdir())


def test_a_summary_s_own_columns_name_no_group(stored):
    with pytest.raises(ValueError, match="by: 'n' was given; allowed are other columns"):
        of_runs.summary(stored.assign(n=1), "fit_mse", ["n"])


def test_a_masked_number_is_none():
    assert position_error(np.ma.masked_less([1.0, 2.0], 0), [1.0, 2.0]) == 0
    with pytest.raises(ValueError, match="^x: masked_array.* was given; allowed is an array of real numbers$"):
        position_error(np.ma.masked_less([1.0, 2.0], 1.5), [1.0, 2.0])


class OwnSettings(Settings):
    """A subclass, whose equality is its own: a store would not find its runs again."""


def test_settings_of_a_subclass_are_refused_before_any_training(tmp_path):
    with pytest.raises(ValueError, match=r"^settings: OwnSettings\(.* was given; allowed are Settings"):
        run_sweep(OwnSettings(), masks=["000"], sizes=[3], seeds=[1], steps=1, store=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_metrics_take_tensors_that_require_gradients():
    """Those of a network of one's own, in training."""
    x, y, p, f = (torch.rand(4, dtype=torch.float64, requires_grad=True) for _ in range(4))
    plain = [value.detach().numpy() for value in (x, y, p, f)]
    assert reconstruction_error(x, y, p, f) == reconstruction_error(*plain)
    assert match(x, y, p, f).neuron.tolist() == match(*plain).neuron.tolist()
    assert position_error(x, p) == position_error(plain[0], plain[2])
    assert expelled_fraction(x, p) == expelled_fraction(plain[0], plain[2])
    assert specialization_ratio(x * y[:, None]) == specialization_ratio((x * y[:, None]).detach())
    assert outside_hull(x.reshape(2, 2), p.reshape(2, 2)).dtype == bool
    x, y, start = starting_batch(4, [1, 2])
    trained = start._replace(w=start.w.clone().requires_grad_())
    for name, value in measure(x, y, trained).items():
        np.testing.assert_array_equal(value, measure(x, y, start)[name])


@pytest.mark.parametrize("shape", [(5,), (5, 2)])
def test_enormous_numbers_are_matched_as_in_a_unit_of_their_size(shape):
    rng = np.random.default_rng(1)
    x, p = rng.normal(size=(2, *shape))
    y, f = rng.normal(size=(2, 5))
    unit = 2.0**1000  # its square is infinite
    assert reconstruction_error(*(unit * one for one in (x, y, p, f))) == unit * reconstruction_error(x, y, p, f)


@pytest.fixture
def untrained(monkeypatch):
    monkeypatch.setattr(sweep, "run_batch", lambda batch: pytest.fail("a batch was trained"))


SMALL = {"masks": ["000"], "sizes": [3], "seeds": [1], "steps": 5}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"device": "meta"}, "device: 'meta' was given; allowed is 'cpu' or a device at hand"),
        ({"device": 5}, "device: 5 was given"),
        ({"sizes": [2**63]}, "sizes: 9223372036854775808 was given; allowed are whole numbers from 2 to 100000"),
        ({"seeds": np.array(3)}, r"seeds: array\(3\) was given; allowed is a list"),
        ({"steps": 2**63}, "steps: 9223372036854775808 was given; allowed are whole numbers from 0 to 10000000"),
        ({"strength": 10**400}, "strength: 1000.* was given; allowed are finite numbers"),
        ({"progress": "yes"}, "progress: 'yes' was given; allowed are True and False"),
        ({"settings": "010"}, "settings: '010' was given; allowed are Settings"),
        ({"neuron": "radial", "dimension": 10**9, "target": "diagonal"}, "dimension: 1000000000 was given"),
    ],
)
def test_a_sweep_that_cannot_be_trains_nothing(untrained, wrong, says):
    with pytest.raises(ValueError, match=says):
        run_sweep(**(SMALL | wrong))


TABLE_RUNS = Settings(neuron="radial", dimension=2, density="linnerud-2", target="the table's", steps=5)


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        (iter(()), "groups: .* was given; allowed is a list of at least 1"),
        ([(None, 3, [0])], "settings: None was given; allowed are Settings"),
        ([(Settings(), 3)], "groups: .* was given; allowed are settings, a size and seeds"),
        (Settings(), "groups: Settings.* was given; allowed is a list"),
        (
            [Group(Settings(steps=5), 3, (1,)), Group(TABLE_RUNS, 19, (1,))],
            "size: 19 in 2 dimensions was given; allowed for 'linnerud-2' is 20 in 2",
        ),
    ],
)
def test_groups_that_cannot_be_are_named_before_any_training(untrained, groups, says):
    with pytest.raises(ValueError, match=says):
        run_groups(groups)


@pytest.mark.parametrize("text", [None, 3, "[" * 10**5, '{"steps": ' + "9" * 5000 + "}", b"\xff"])
def test_what_is_no_text_of_settings_is_named(text):
    with pytest.raises(ValueError, match="^text: .* was given; allowed is a JSON object"):
        Settings.parse(text)
