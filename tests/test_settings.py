"""The record of settings: what it refuses, that its text and key name the same settings for ever, and its labels."""

from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError, dataclass, fields, replace
from enum import StrEnum

import numpy as np
import pytest

from companion.core.settings import (
    CHECKS,
    FORMS,
    MASK_LABELS,
    MASK_NAMES,
    MASKS,
    NAMES,
    ROWS_OF_A_TABLE,
    TARGETS_ON_THE_LINE,
    Attractor,
    Density,
    Neuron,
    Settings,
    Target,
)

IN_SPACE = {"neuron": "radial", "dimension": 3, "target": "diagonal"}
LEVELS = {
    field.name: list(type(field.default)) for field in fields(Settings) if issubclass(type(field.default), StrEnum)
}
"""What each setting with a choice may be."""


# What is refused

WRONG = {
    "mask": (["012", "0", "", 0, 10, None, ["000"]], f"allowed are {', '.join(map(repr, MASKS))}"),
    "strength": ([-1, float("nan"), float("inf"), "1", None, True, 1j], "allowed are finite numbers of at least 0"),
    "temperature": ([0, -1e-4, float("nan"), float("inf"), "1e-4", None, True], "allowed are finite numbers above 0"),
    "balance": ([-0.5, float("nan"), float("inf"), "1", None, False], "allowed are finite numbers of at least 0"),
    "anneal": (["yes", 0, 1, None, np.True_], "allowed are True and False"),
    "matched": (["yes", 0, 1, None, np.True_], "allowed are True and False"),
    "dimension": ([0, -1, 100_001, 1.0, "1", None, True], "allowed are whole numbers from 1 to 100000"),
    "step_size": ([0, -0.01, float("nan"), float("inf"), "0.01", None, True], "allowed are finite numbers above 0"),
    "steps": ([-1, 1.5, 2000.0, "2000", None, True, 10_000_001], "allowed are whole numbers from 0 to 10000000"),
} | {
    name: (["gravity", "", 0, None, True, [str(levels[0])]], f"allowed are {', '.join(repr(str(n)) for n in levels)}")
    for name, levels in LEVELS.items()
}  # fmt: skip
"""Of each setting, values that it may not have, and what is said to be allowed."""


def message(**given) -> str:
    with pytest.raises(ValueError) as caught:
        Settings(**given)
    return str(caught.value)


def test_every_setting_is_here_and_has_a_check():
    assert set(WRONG) == set(NAMES) == LEVELS.keys() | CHECKS.keys() and not LEVELS.keys() & CHECKS.keys()
    assert NAMES == tuple(field.name for field in fields(Settings)) and len(NAMES) == 21


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_value_is_named_with_what_was_given_and_what_is_allowed(name):
    values, allowed = WRONG[name]
    for value in values:
        said = message(**{name: value})
        assert said == f"{name}: {value!r} was given; {allowed}" and "\n" not in said


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_value_is_named_in_a_text_and_in_a_change_too(name):
    said = message(**{name: "gravity"})
    for build in (
        lambda: Settings().but(**{name: "gravity"}),
        lambda: Settings.of({name: "gravity"}),
        lambda: Settings.parse(json.dumps({name: "gravity"})),
        lambda: replace(Settings(), **{name: "gravity"}),
    ):
        with pytest.raises(ValueError) as caught:
            build()
        assert str(caught.value) == said


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1"])
def test_numbers_that_only_json_has_are_refused(value):
    with pytest.raises(ValueError, match="strength: .* was given"):
        Settings.parse(f'{{"strength": {value}}}')


@pytest.mark.parametrize("target", TARGETS_ON_THE_LINE)
def test_the_line_has_five_targets_one_dimension_and_one_density(target):
    assert Settings(target=target).target is target
    assert TARGETS_ON_THE_LINE == ("sine", "line", "step", "chirp", "labels")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"target": "diagonal"}, "target: 'diagonal'"),
        ({"target": "the table's"}, 'target: "the table\'s"'),
        ({"dimension": 2}, "dimension: '2'"),
        ({"density": "bell"}, "density: 'bell'"),
        ({"density": "linnerud-2"}, "density: 'linnerud-2'"),
    ],
    ids=["diagonal", "table", "dimension", "density", "rows"],
)
def test_what_does_not_go_with_the_line_is_named(given, says):
    (name,) = given
    density = given.get("density", "uniform")
    allowed = {"target": "'sine', 'line', 'step', 'chirp', 'labels'", "dimension": "'1'", "density": "'uniform'"}[name]
    assert message(**given) == (
        f"{says} was given with neuron 'line' and density {density!r}; allowed are {allowed} there"
    )


@pytest.mark.parametrize("neuron", ["radial", "ridge"])
@pytest.mark.parametrize("density", Density)
@pytest.mark.parametrize("target", Target)
def test_in_d_dimensions_the_density_has_one_target(neuron, density, target):
    right = Target.TABLE if density in ROWS_OF_A_TABLE else Target.DIAGONAL
    given = {"neuron": neuron, "dimension": 2, "density": density, "target": target}
    if target == right:
        assert Settings(**given).but(dimension=7).density is density
    else:
        assert message(**given) == (
            f"target: {str(target)!r} was given with neuron {neuron!r} and density {str(density)!r}; "
            f"allowed are {str(right)!r} there"
        )


@pytest.mark.parametrize("neuron", ["radial", "ridge"])
@pytest.mark.parametrize("dimension", [1, 2, 16])
def test_in_d_dimensions_any_dimension_goes(neuron, dimension):
    assert Settings(neuron=neuron, dimension=dimension, target="diagonal").dimension == dimension


@pytest.mark.parametrize("neuron", ["radial", "ridge"])
@pytest.mark.parametrize("name", FORMS)
def test_in_d_dimensions_the_formulas_are_the_nominal_ones(neuron, name):
    nominal = getattr(Settings(), name)
    for level in LEVELS.get(name, [False, True]):
        given = {"neuron": neuron, "dimension": 2, "target": "diagonal", name: level}
        if level == nominal:
            assert getattr(Settings(**given), name) == nominal
        else:
            assert message(**given) == (
                f"{name}: {str(level)!r} was given with neuron {neuron!r} and density 'uniform'; "
                f"allowed are {str(nominal)!r} there"
            )


def test_names_that_are_no_settings_are_refused():
    allowed = f"allowed are {', '.join(map(repr, NAMES))}"
    for build in (
        lambda: Settings().but(colour="blue"),
        lambda: Settings.of({"mask": "010", "colour": "blue"}),
        lambda: Settings.parse('{"colour": "blue"}'),
    ):
        with pytest.raises(ValueError) as caught:
            build()
        assert str(caught.value) == f"setting: 'colour' was given; {allowed}"
    for name in ("learning_rate", "engine", "size", "seed", "text", "key", "Mask", ""):
        with pytest.raises(ValueError, match=f"setting: '{name}' was given"):
            Settings().but(**{name: 1})
    with pytest.raises(TypeError):
        Settings(colour="blue")


@pytest.mark.parametrize("text", ["", "{", "[]", '"000"', "3", "null", "{'mask': '010'}"])
def test_what_is_no_json_object_is_no_text(text):
    with pytest.raises(ValueError) as caught:
        Settings.parse(text)
    assert str(caught.value) == (f'text: {text!r} was given; allowed is a JSON object such as {{"mask": "010"}}')


# Text and key: they stand in stores and in the names of their parts

PINNED = {
    "nominal": (Settings(), "{}", "44136fa355b3"),
    "mask": (Settings(mask="010"), '{"mask": "010"}', "d411c93ee46d"),
    "attractor": (
        Settings(mask="111", attractor="transport", balance=10.0, anneal=True),
        '{"mask": "111", "attractor": "transport", "balance": 10.0, "anneal": true}',
        "9a4e11f4c753",
    ),
    "temperature": (
        Settings(mask="001", temperature=10.0, strength=0.1),
        '{"mask": "001", "strength": 0.1, "temperature": 10.0}',
        "f893313ca3ed",
    ),
    "steps": (
        Settings(steps=5, step_size=0.001, target="chirp"),
        '{"target": "chirp", "step_size": 0.001, "steps": 5}',
        "4c830b2ba8ec",
    ),
    "radial": (
        Settings(
            mask="110", neuron="radial", dimension=16, density="clusters", target="diagonal", temperature=1e-4 / 3
        ),
        '{"mask": "110", "temperature": 3.3333333333333335e-05, "target": "diagonal", "neuron": "radial", '
        '"dimension": 16, "density": "clusters"}',
        "148ec880b983",
    ),
    "forms": (
        Settings(
            mask="111",
            inputs="grid",
            initialisation="data-N",
            optimiser="momentum",
            step_size=1.0,
            activation="exp(-z²/2)",
            coverage_form="soft assignment",
            separation_form="1/(1+d²/τ)",
            overlap_form="squared covariance",
            reduction="sum",
            matched=True,
        ),
        '{"mask": "111", "inputs": "grid", "initialisation": "data-N", "optimiser": "momentum", "step_size": 1.0, '
        '"activation": "exp(-z²/2)", "coverage_form": "soft assignment", "separation_form": "1/(1+d²/τ)", '
        '"overlap_form": "squared covariance", "reduction": "sum", "matched": true}',
        "4434defe710a",
    ),
    "table": (
        Settings(neuron="ridge", dimension=2, density="linnerud-2", target="the table's"),
        '{"target": "the table\'s", "neuron": "ridge", "dimension": 2, "density": "linnerud-2"}',
        "bc6b76a6bbd0",
    ),
}


@pytest.mark.parametrize("name", PINNED)
def test_texts_and_keys_are_for_ever(name):
    settings, text, key = PINNED[name]
    assert settings.text == text and settings.key == key
    assert Settings.parse(text) == settings


def one_changed() -> list[Settings]:
    """Each setting away from its nominal value, as far as it has another, one at a time."""
    numbers = {"strength": 0.1, "temperature": 3e-05, "balance": 10.0, "step_size": 1e-3, "steps": 0}
    numbers |= {"anneal": True, "matched": True}
    found = [Settings(mask=mask) for mask in MASKS] + [Settings(**{name: value}) for name, value in numbers.items()]
    found += [Settings(target=one) for one in TARGETS_ON_THE_LINE]
    on_any_line = LEVELS.keys() - {"target", "neuron", "density"}
    found += [Settings(**{name: level}) for name in sorted(on_any_line) for level in LEVELS[name]]
    for neuron in (Neuron.RADIAL, Neuron.RIDGE):
        for density in Density:
            target = Target.TABLE if density in ROWS_OF_A_TABLE else Target.DIAGONAL
            found += [Settings(neuron=neuron, dimension=d, density=density, target=target) for d in (1, 4)]
    return found


def test_a_text_is_read_back_as_the_same_settings():
    every = one_changed()
    for settings in [*every, every[-1].but(mask="111", attractor="transport", temperature=1 / 3, steps=7, anneal=True)]:
        again = Settings.parse(settings.text)
        assert again == settings and again.text == settings.text and again.key == settings.key
        assert "\n" not in settings.text and len(settings.key) == 12 and int(settings.key, 16) >= 0
        for name in NAMES:
            assert type(getattr(again, name)) is type(getattr(settings, name)) is type(getattr(Settings(), name))


def test_other_settings_have_another_text_and_key():
    every = set(one_changed())
    assert len({settings.text for settings in every}) == len({settings.key for settings in every}) == len(every)


def test_a_text_holds_what_is_not_nominal_alone_in_the_order_of_the_settings():
    given = {"steps": 5, "attractor": "chamfer", "mask": "110", "temperature": 0.5}
    settings = Settings(**given)
    assert json.loads(settings.text) == given
    assert list(json.loads(settings.text)) == ["mask", "attractor", "temperature", "steps"]


@pytest.mark.parametrize("name", NAMES)
def test_nominal_values_given_by_name_change_no_text_and_no_key(name):
    nominal = getattr(Settings(), name)
    assert Settings(**{name: nominal}).text == "{}"
    assert Settings.parse(json.dumps({name: nominal})).key == Settings().key
    other = Settings(mask="011", strength=0.1) if name not in ("mask", "strength") else Settings(steps=5)
    again = other.but(**{name: nominal})
    assert again == other and again.text == other.text and again.key == other.key


def test_equal_numbers_of_other_types_are_the_same_settings():
    given = Settings(strength=2, balance=np.float32(0.5), steps=np.int64(7), mask=str(np.str_("010")))
    same = Settings(strength=2.0, balance=0.5, steps=7, mask="010")
    assert given == same and given.text == same.text and given.key == same.key and hash(given) == hash(same)
    assert type(given.strength) is type(given.balance) is float and type(given.steps) is int
    assert Settings(strength=np.float64(1), temperature=1e-4, steps=np.int32(2000)).text == "{}"
    assert Settings(attractor="chamfer") == Settings(attractor=Attractor.CHAMFER)
    assert Settings(attractor="chamfer").attractor is Attractor.CHAMFER


def test_a_setting_added_later_changes_no_older_text_and_no_older_key():
    Noise = StrEnum("Noise", {"NONE": "none", "NORMAL": "normal"})

    @dataclass(frozen=True)
    class Later(Settings):
        noise: Noise = Noise.NONE

    for settings in one_changed():
        given = {name: getattr(settings, name) for name in NAMES}
        assert Later(**given).text == settings.text and Later(**given).key == settings.key
        noisy = Later(**given, noise="normal")
        assert noisy.key != settings.key
        assert json.loads(noisy.text) == json.loads(settings.text) | {"noise": "normal"}


# A record


def test_it_is_frozen():
    settings = Settings()
    for name in (*NAMES, "colour"):
        with pytest.raises(FrozenInstanceError):
            setattr(settings, name, "010")
    with pytest.raises(FrozenInstanceError):
        del settings.mask
    assert settings == Settings()


def test_it_is_a_key_of_dictionaries_and_changes_give_another_one():
    settings = Settings(mask="010")
    assert {settings: 1}[Settings().but(mask="010")] == 1 and settings != Settings()
    changed = settings.but(strength=2.0, steps=5)
    assert settings == Settings(mask="010") and changed == Settings(mask="010", strength=2.0, steps=5)
    assert settings.but() == settings and hash(settings.but()) == hash(settings)
    assert changed.text != settings.text, "what was computed of the former is not kept"
    line = Settings().but(**IN_SPACE).but(neuron="line", dimension=1, target="step")
    assert line == Settings(target="step")


@pytest.mark.parametrize("looked_at", [False, True])
def test_it_comes_through_a_pickle(looked_at):
    for settings in one_changed():
        if looked_at:
            assert settings.text and settings.key and settings.label
        again = pickle.loads(pickle.dumps(settings))
        assert again == settings and hash(again) == hash(settings)
        assert (again.text, again.key, again.label) == (settings.text, settings.key, settings.label)
        for name in LEVELS:
            assert getattr(again, name) is getattr(settings, name)


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({}, "000"),
        ({"mask": "101", "attractor": "transport", "balance": 10.0, "anneal": True}, "101"),
        ({"mask": "110"}, "110 coverage"),
        ({"mask": "010", "attractor": "chamfer"}, "010 chamfer"),
        ({"mask": "110", "attractor": "transport", "balance": 10}, "110 transport κ=10"),
        ({"mask": "011", "balance": 0.5}, "011 coverage κ=0.5"),
        ({"mask": "011", "attractor": "transport", "anneal": True}, "011 transport annealed"),
        (
            {"mask": "111", "attractor": "transport", "balance": 10.0, "anneal": True},
            "111 transport κ=10 annealed",
        ),
        ({"mask": "111", "strength": 2.0, "temperature": 1.0, "steps": 5, **IN_SPACE}, "111 coverage"),
    ],
)
def test_labels_name_the_mask_and_what_attracts(given, label):
    assert Settings(**given).label == label


def test_masks_have_their_bits_names_and_labels():
    assert list(MASKS) == list(MASK_NAMES) == list(MASK_LABELS) == [f"{bits:03b}" for bits in range(8)]
    for mask, on in MASKS.items():
        assert "".join("1" if one else "0" for one in (on.overlap, on.coverage, on.separation)) == mask
        assert MASK_LABELS[mask] == f"{mask} {MASK_NAMES[mask]}"
    assert len(set(MASK_NAMES.values())) == 8 and MASK_NAMES["000"] == "Std" and MASK_NAMES["111"] == "Full"
