"""What chapter 1 says of where training starts and of five neurons."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from conftest import ROOT
from literate import key, prose, says, stands

from companion.core.network import Parameters, activations, predict, prototypes, starting_batch
from companion.show import charts
from companion.show.figures import ORIGINAL, RECONSTRUCTION
from companion.studies import model, tails
from companion.sweeps.sweep import PAPER_SIZES

states = says("01-model")


@pytest.fixture(scope="module")
def starts():
    return model.starts()


@states(
    "So half of the prototypes or more start to the left of every sample before any loss has spoken, the more the "
    "fewer samples there are, since the first of few samples lies farther from zero:",
    "To the left of every sample starts a share of {smallest-starting-left} at $N = 3$ and of {largest-starting-left} "
    "at $N = 100$",
)
def test_half_of_the_prototypes_or_more_start_to_the_left_the_more_the_fewer_samples(starts):
    left = starts[model.LEFT]
    assert left.index[0] == 3 and left.index[-1] == 100
    assert (left >= 0.5).all() and left.is_monotonic_decreasing
    assert left[100] == pytest.approx(0.5, abs=0.05) and left[3] > 0.75  # not "about half" at all sizes
    first = [float(starting_batch(size, model.SEEDS)[0].amin(1).mean()) for size in PAPER_SIZES]
    assert first == sorted(first, reverse=True)


@states(r"with $w \sim U(-1, 1)$ each bump would start at least as wide as the data")
def test_a_bump_of_a_weight_of_1_at_most_is_at_least_as_wide_as_the_data():
    """It falls to 1/e at 1/|w| from its prototype, and the data lie in an interval of length 1."""
    w = torch.tensor([1.0, -0.7, 0.1], dtype=torch.float64)
    x = (1 / w.abs())[:, None]
    h = activations(x, w[:, None], torch.zeros(3, 1, dtype=torch.float64))
    assert (1 / w.abs() >= 1).all() and h.flatten().tolist() == pytest.approx([np.exp(-1)] * 3)


@states(
    "Much of what is odd in this book's statistics comes from that quotient",
    "the prototype that lies farthest from its original is off in height, $f(\\hat x)$, more than in place in "
    "{tails.worst-in-height}, and its weight changed its sign in {tails.worst-crossed} (@sec-tails).",
)
@pytest.mark.long
def test_not_all_that_is_odd_comes_from_the_quotient():
    found = tails.results(ROOT / "data")
    worst, all_neurons = tails.kinds(found.worst), tails.kinds(found.each)
    in_height, crossed = worst[tails.UPRIGHT].mean(), worst[tails.CROSSED].mean()
    assert 1 / 4 < in_height < 1 / 2 and crossed < 1 / 2  # not everything
    assert crossed > 5 * all_neurons[tails.CROSSED].mean() and worst[tails.EITHER].mean() > 1 / 2  # much of it
    assert tails.numbers(ROOT / "data")["worst-crossed"] == f"{crossed:.0%}"


@states(
    "where {largest-starting-outside} of the prototypes start outside the samples' range on either side.",
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
        outside, left, farthest = [], [], []
        for seed in seeds:
            (x,), _, start = starting_batch(size, [seed])
            at = prototypes(start.w, start.b)[0]
            outside.append(float(((at < x.min()) | (at > x.max())).double().mean()))
            left.append(float((at < x.min()).double().mean()))
            farthest.append(float(at.abs().max()))
        expected = [np.mean(outside), np.mean(left), np.median(farthest)]
        assert list(found.loc[size]) == pytest.approx(expected, rel=1e-12)


@states("The eight masks and their names:")
def test_the_eight_masks_are_named_with_what_they_switch_on():
    table = model.masks()
    assert list(table) == ["overlap", "coverage", "separation"] and len(table) == 8
    for label, row in table.iterrows():
        assert "".join("1" if cell == "on" else "0" for cell in row) == label[:3]


@pytest.mark.long
@states(
    "Before training the curve runs far from all five points; afterwards it passes through them, while no prototype "
    "lies on one and most lie outside their range.",
    "The curve passes through the data, and",
    "not that any bump sit on a point: a flank can serve as well as a peak, as it does here",
)
def test_the_curve_passes_through_the_data_while_most_prototypes_lie_outside_and_none_on_a_point():
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


NOT_OF_THE_PAPER = {
    "01-model": (
        "form, $e^{-z^2}$ without a factor in the exponent, is ours [(ours)]{.mark-ours}",
        "overlap-coverage-separation, and that there is one strength $\\lambda$ for all three and one temperature "
        "$\\tau$, we concluded from the captions [(inferred)]{.mark-inferred}",
        "that they are these points, we concluded from its captions [(inferred)]{.mark-inferred}",
    ),
    "05-reconstruction": (
        "the reconstructions $r_j = (\\hat x_j, f(\\hat x_j))$, as we conclude from the captions "
        "[(inferred)]{.mark-inferred}",
    ),
    "90-rerun": (
        "| activation | $e^{-z^2}$ of $z = wx + b$ (@eq-activation)",
        "concluded from the captions [(inferred)]{.mark-inferred} |",
    ),
}
"""What is no statement of the abstract or of a caption: formulas, the order of the bits, one λ and one τ."""


@pytest.mark.parametrize("chapter", NOT_OF_THE_PAPER)
def test_what_the_abstract_and_the_captions_do_not_state_is_not_marked_as_the_paper_s(chapter):
    text = prose(chapter)
    for sentence in NOT_OF_THE_PAPER[chapter]:
        assert stands(sentence, text, key(chapter)), sentence
    for piece in ("temperature $\\tau$", "f(\\hat x_j))$"):
        assert not re.search(re.escape(piece) + r",?\s*\[\(paper\)\]", text)
