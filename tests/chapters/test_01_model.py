"""What chapter 1 says of where training starts and of five neurons."""

from __future__ import annotations

import numpy as np
import pytest
from literate import says

from companion.core.network import Parameters, predict, prototypes, starting_batch
from companion.show import charts
from companion.show.figures import ORIGINAL, RECONSTRUCTION
from companion.studies import model
from companion.sweeps.sweep import PAPER_SIZES

states = says("01-model")


@pytest.fixture(scope="module")
def starts():
    return model.starts()


@states("So about half of the prototypes start to the left of every sample before any loss has spoken:")
def test_about_half_of_the_prototypes_start_to_the_left_of_every_sample():
    left = {}
    for size in PAPER_SIZES:
        x, _, start = starting_batch(size, model.SEEDS)
        left[size] = float((prototypes(start.w, start.b) < x.amin(1, keepdim=True)).double().mean())
    # Few samples leave room between zero and the first of them: there it is more than half.
    assert left[50] == pytest.approx(0.5, abs=0.05) and left[100] == pytest.approx(0.5, abs=0.05)
    assert min(left.values()) > 0.5


@states(
    "a share of {largest-starting-outside} of the prototypes starts outside the samples' range.",
    "Expulsion must be measured against this beginning, not against zero",
)
def test_at_every_size_a_share_of_the_prototypes_starts_outside_that_is_far_from_zero(starts):
    outside = starts["mean expelled fraction"]
    assert list(starts.index) == list(PAPER_SIZES) and outside.index[-1] == 100
    assert outside.min() > 0.5 and outside.idxmin() == 100


def test_the_starts_are_those_of_single_runs():
    seeds = range(1000, 1003)
    found = model.starts(seeds)
    for size in (3, 100):
        outside, farthest = [], []
        for seed in seeds:
            (x,), _, start = starting_batch(size, [seed])
            at = prototypes(start.w, start.b)[0]
            outside.append(float(((at < x.min()) | (at > x.max())).double().mean()))
            farthest.append(float(at.abs().max()))
        assert list(found.loc[size]) == pytest.approx([np.mean(outside), np.median(farthest)], rel=1e-12)


@states("The eight masks and their names:")
def test_the_eight_masks_are_named_with_what_they_switch_on():
    table = model.masks()
    assert list(table) == ["overlap", "coverage", "separation"] and len(table) == 8
    for label, row in table.iterrows():
        assert "".join("1" if cell == "on" else "0" for cell in row) == label[:3]


@pytest.mark.long
@states(
    "Before training the curve ignores the data; afterwards it passes through all five points, while most "
    "prototypes lie away from them.",
    "The curve passes through the data, and",
    "not that any bump sit on a point: a steep flank can serve as well as a peak",
)
def test_the_curve_passes_through_the_data_while_most_prototypes_lie_away_from_them():
    example = model.example()
    before, after = ((predict(example.x, *network) - example.y).abs() for network in (example.start, example.trained))
    assert before.min() > 0.4 and after.max() < 0.01
    positions = prototypes(example.trained.w, example.trained.b)
    outside = (positions < example.x.min()) | (positions > example.x.max())
    assert outside.sum() > len(positions) / 2
    assert model.inside(example) == (~outside).sum()
    nearest = (positions[:, None] - example.x).abs().amin(1)
    assert nearest.min() > 0.05  # no bump sits on a point


@states(
    "Grey: the bumps $a_j h_j(x)$. Black: the network. Blue circles: the data. Orange diamonds: the prototypes, at the "
    "height of the network there."
)
def test_the_picture_of_five_neurons_has_the_colours_and_marks_that_its_caption_names():
    x, y, start = starting_batch(5, [1000])
    network = Parameters(*(value[0] for value in start))
    (panel,) = charts.network(x[0], y[0], {"one": network}).to_dict()["concat"]
    marks = [(layer["mark"].get("shape"), layer["mark"]["color"]) for layer in panel["layer"]]
    assert marks == [(None, "#999999"), (None, "black"), (None, ORIGINAL), ("diamond", RECONSTRUCTION)]
    blue, orange = ([int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in (ORIGINAL, RECONSTRUCTION))
    assert np.argmax(blue) == 2 and blue[0] < 50 and orange[0] > 200 > orange[1] > orange[2]
