"""What chapter 24 says of its presets, which the companion trains on thirty points."""

from __future__ import annotations

import json
import re
from dataclasses import fields

import pytest
from conftest import ROOT
from literate import cells, prose, says, source

from companion.core.losses import fit_loss
from companion.core.network import predict
from companion.core.settings import FORMS, Settings
from companion.show.prose import fill, stored
from companion.studies import crowding, playground

states = says("24-playground")
BEFORE, FIT, OVERLAP, COVERAGE, SEPARATION, TRANSPORT, HOLDS = playground.BEFORE, *playground.PRESETS


@pytest.fixture(scope="module")
def outcomes():
    return playground.outcomes()


@pytest.fixture(scope="module")
def expelled(outcomes):
    return outcomes["expelled fraction"]


@states(
    "overlap at {expelled-overlap}. With coverage beside overlap the share is {expelled-coverage}, still above "
    "where training began.",
    "Coverage beside overlap: the expelled fraction still goes from",
    "At the presets' settings the reader sees overlap and hot separation expel, coverage fail to hold",
)
def test_overlap_and_hot_separation_expel_and_coverage_does_not_hold(expelled):
    assert min(expelled[OVERLAP], expelled[SEPARATION], expelled[COVERAGE]) > expelled[BEFORE] > expelled[FIT]


@states(
    "Separation at τ = 1 ends at {expelled-separation}, and far away: its E is about {separation-times-fit} "
    "times that of the fit alone.",
)
def test_hot_separation_ends_far_away(outcomes):
    assert outcomes["E"][SEPARATION] > 10 * outcomes["E"][FIT]


@states(
    "Transport alone brings E from {error-before} to {error-transport-alone}, where the fit alone ends at",
    "beside overlap, with ten times its strength, it ends at {error-transport} and leaves {expelled-transport} outside",
    "and another attractor, transport (@sec-attractor), hold it",
)
def test_transport_brings_e_down_and_holds_what_overlap_drives_out(outcomes, expelled):
    error = outcomes["E"]
    assert error[TRANSPORT] < error[HOLDS] < error[FIT] / 10 and error[FIT] < error[BEFORE]
    assert expelled[HOLDS] < expelled[[BEFORE, FIT, COVERAGE]].min() / 2


@states("At τ = 1 prototypes repel each other across the whole range")
def test_at_a_temperature_of_one_the_force_reaches_across_the_whole_range():
    assert float(crowding.share_of_peak(1.0)) > 0.8 and float(crowding.share_of_peak(1 / 1e-4**0.5)) < 1e-100


@states("with its losses, λ, κ, τ, the points and the target in reach.")
def test_the_page_has_controls_for_these():
    losses, numbers = {"overlap", "separation", "coverage", "attractor"}, {"strength", "balance", "temperature"}
    first, _, _ = page_s_controls()
    assert first == losses | numbers | {"size", "seed", "target", "speed"}


@states("Under *Other readings of the paper* are the choices that the paper leaves open")
def test_all_other_settings_of_the_line_are_in_the_fold():
    _, folded, rest = page_s_controls()
    first = {"mask", "attractor", "strength", "balance", "temperature", "target"}
    assert folded == {field.name for field in fields(Settings)} - first - set(playground.NOT_THERE)
    assert {*FORMS, "optimiser", "step_size", "steps"} == folded and rest == set()


def page_s_controls() -> tuple[set[str], ...]:
    """The names of the controls before the fold, in it and after it."""
    page = "".join(source(cell) for cell in cells("24-playground"))
    parts = re.split(r"</?details>", page)
    return tuple(set(re.findall(r'<(?:input|select)[^>]* name="([a-z_]+)"', part)) for part in parts)


@states(
    "so a link to them opens the same network before its training, which has no chance in it: the same browser trains "
    "it the same way again, if no setting is changed on the way.",
)
def test_nothing_in_the_page_s_training_is_drawn_or_timed():
    for name in ("network", "random", "forms", "normal"):
        script = (ROOT / f"assets/playground/{name}.js").read_text(encoding="utf-8")
        assert not re.search(r"Math\.random|Date|performance\.|crypto", script), name


@states("Before training the curve ignores the data; after 2,000 steps it follows them, and few prototypes stand among")
def test_the_trained_curve_follows_the_data_with_few_prototypes_among_them(expelled):

    x, y, start = playground.task()
    before, after = (float(fit_loss(predict(x, *network), y)) for network in (start, playground.trained(COVERAGE)))
    assert before > 0.1 and after < before / 1000 and expelled[COVERAGE] > 0.75


def presets() -> list[dict]:
    """What the page's buttons are made of."""
    text = re.search(r'id="playground-presets">(.*?)</script>', prose("24-playground"), flags=re.S)[1]
    return json.loads(fill(text, stored(ROOT)))


def test_the_page_s_presets_are_those_that_the_companion_trains():
    assert [preset["name"] for preset in presets()] == list(playground.PRESETS)
    for preset in presets():
        given = dict(preset["settings"])
        assert (given.pop("size"), given.pop("seed")) == (playground.SIZE, playground.SEED)
        assert Settings(**given) == playground.PRESETS[preset["name"]]
        assert preset["sentence"].startswith(f"N = {playground.SIZE}, seed {playground.SEED}. ")


@pytest.mark.parametrize("name", [OVERLAP, COVERAGE, SEPARATION, HOLDS])
def test_a_preset_s_sentence_names_where_it_ends(expelled, name):
    (sentence,) = (preset["sentence"] for preset in presets() if preset["name"] == name)
    assert f"{expelled[name]:.2f}" in sentence
