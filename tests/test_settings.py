"""The record of settings: what it refuses, its text and key, which name files, and its label."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from companion.core.settings import MASKS, NAMES, Attractor, Settings

CHANGED = Settings("110", attractor="transport", balance=10, temperature=1e-3, anneal=True, steps=7)
CUBE = Settings("001", neuron="ridge", dimension=4, density="clusters", target="diagonal")
TABLE = Settings(neuron="radial", dimension=2, density="linnerud-2", target="the table's")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"mask": "012"}, "mask: '012' was given; allowed are '000', '001'"),
        ({"mask": 0}, "mask: 0 was given"),
        ({"attractor": "gravity"}, "attractor: 'gravity' was given; allowed are 'coverage', 'chamfer', 'transport'"),
        ({"strength": -1}, "strength: -1 was given; allowed are finite numbers of at least 0"),
        ({"strength": "1"}, "strength: '1' was given"),
        ({"strength": float("inf")}, "strength: inf was given"),
        ({"temperature": 0}, "temperature: 0 was given; allowed are finite numbers above 0"),
        ({"balance": float("nan")}, "balance: nan was given"),
        ({"anneal": 1}, "anneal: 1 was given; allowed are True and False"),
        ({"target": "cosine"}, "target: 'cosine' was given; allowed are 'sine', 'line', 'step', 'chirp'"),
        ({"inputs": "grid"}, "inputs: 'grid' was given; allowed are 'random'"),
        ({"neuron": "flat"}, "neuron: 'flat' was given; allowed are 'line', 'radial', 'ridge'"),
        ({"dimension": 0}, "dimension: 0 was given; allowed are whole numbers of at least 1"),
        ({"dimension": True}, "dimension: True was given"),
        ({"density": "normal"}, "density: 'normal' was given; allowed are 'uniform', 'arcsine', 'bell', 'clusters'"),
        ({"initialisation": "zero"}, "initialisation: 'zero' was given; allowed are 'uniform-10'"),
        ({"optimiser": "sgd"}, "optimiser: 'sgd' was given; allowed are 'adam'"),
        ({"step_size": 0}, "step_size: 0 was given; allowed are finite numbers above 0"),
        ({"steps": 1.5}, "steps: 1.5 was given; allowed are whole numbers of at least 0"),
        ({"activation": "relu"}, "activation: 'relu' was given"),
        ({"coverage_form": "hard"}, "coverage_form: 'hard' was given"),
        ({"separation_form": "1/r"}, "separation_form: '1/r' was given"),
        ({"overlap_form": "cosine"}, "overlap_form: 'cosine' was given"),
        ({"reduction": "sum"}, "reduction: 'sum' was given; allowed are 'mean'"),
        # What does not go together.
        ({"dimension": 2}, "dimension: '2' was given with neuron 'line' .* allowed there: '1'"),
        ({"target": "diagonal"}, "target: 'diagonal' was given with neuron 'line' .* allowed there: 'sine', 'line'"),
        ({"density": "bell"}, "density: 'bell' was given with neuron 'line' .* allowed there: 'uniform'"),
        ({"neuron": "radial"}, "target: 'sine' was given with neuron 'radial' .* allowed there: 'diagonal'"),
        ({"neuron": "ridge", "density": "diabetes-2", "target": "diagonal"}, 'allowed there: "the table\'s"'),
    ],
    ids=str,
)
def test_a_setting_that_is_not_allowed_is_named(given, says):
    with pytest.raises(ValueError, match=says):
        Settings(**given)


def test_every_setting_is_refused_somewhere_above():
    cases = test_a_setting_that_is_not_allowed_is_named.pytestmark[0].args[1]
    assert {name for given, _ in cases for name in given} == set(NAMES)


@pytest.mark.parametrize(
    ("settings", "text", "key"),
    [
        (Settings(), "{}", "44136fa355b3"),
        (Settings("010"), '{"mask": "010"}', "d411c93ee46d"),
        (
            CHANGED,
            '{"mask": "110", "attractor": "transport", "temperature": 0.001, "balance": 10.0, "anneal": true, "steps": 7}',  # noqa: E501
            "d41a0ce16c4c",
        ),
    ],
    ids=["nominal", "coverage", "changed"],
)
def test_text_and_key_stay_what_files_are_named_by(settings, text, key):
    assert settings.text == text and settings.key == key


@pytest.mark.parametrize("settings", [Settings(), CHANGED, CUBE, TABLE], ids=["nominal", "changed", "cube", "table"])
def test_the_text_holds_all_that_decides_a_run(settings):
    again = Settings.parse(settings.text)
    assert again == settings and again.key == settings.key and hash(again) == hash(settings)
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_numbers_that_are_equal_make_equal_settings():
    assert Settings(strength=1, temperature=0.0001) == Settings() and Settings(strength=1).key == Settings().key


@pytest.mark.parametrize("text", ["", "[]", "mask=010", '"010"'])
def test_text_that_holds_no_settings_is_named(text):
    with pytest.raises(ValueError, match="settings: .* was given; allowed is a JSON object"):
        Settings.parse(text)


@pytest.mark.parametrize("make", [Settings.of, lambda given: Settings().but(**given)], ids=["of", "but"])
def test_a_name_that_is_no_setting_is_named(make):
    with pytest.raises(ValueError, match="setting: 'temprature' was given; allowed are 'mask', 'attractor'"):
        make({"temprature": 1.0})


def test_settings_cannot_be_changed_but_copied_with_changes():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CHANGED.mask = "000"
    assert CHANGED.but(mask="010") == Settings.parse(CHANGED.text.replace("110", "010"))
    assert CHANGED.mask == "110" and CHANGED.but() == CHANGED


def test_labels_say_what_attracts_where_something_does():
    assert Settings("110").label == "110 coverage" and CHANGED.label == "110 transport κ=10 annealed"
    for mask, switches in MASKS.items():
        labels = {Settings(mask, attractor=attractor).label for attractor in Attractor}
        assert len(labels) == (3 if switches.coverage else 1)
