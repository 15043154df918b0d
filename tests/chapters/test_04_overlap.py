"""What chapter 4 says of overlap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from literate import says

from companion.core.data import sample_task
from companion.core.losses import overlap_loss
from companion.core.network import activations
from companion.studies import handful, model, overlap

states = says("04-overlap")


@pytest.fixture(scope="module")
def pushes():
    return overlap.pushes(overlap.ALONG)["force"]


@states(
    "At this width the force points away from the crowd's centre at every position drawn",
    "It is negative to the left of the samples' centre and positive to the right: at this width outward at all places "
    "drawn but the unstable balance in the middle.",
)
def test_the_force_points_away_from_the_crowd_s_centre_at_every_position_drawn(pushes):
    left, right = pushes[pushes.index < 0.5 - 1e-9], pushes[pushes.index > 0.5 + 1e-9]
    assert len(left) == len(right) == 150 and (left < 0).all() and (right > 0).all()
    assert pushes.iloc[150] == 0


@states(
    "That is no rule: overlap acts through the samples that two neurons share",
    "the share of positions at which the force points *towards* the centre depends on the width:",
    "At $w = 7$ it is {inward-at-7}, at $w = 10$ {inward-at-10}",
)
def test_between_the_samples_the_force_of_narrow_bumps_points_inward_at_many_positions():
    share = overlap.inward_shares()["share of positions"]
    assert list(share.index) == ["3", "5", "7", "10", "15"] and (share[["3", "5"]] == 0).all()
    assert 0.2 < share["7"] < 0.3 and 0.6 < share["10"] < 0.7  # not: outward at every position
    assert overlap.push(0.55, 10.0) < 0 < overlap.push(0.55)


@states(
    "Outside the samples the force points outward whatever the widths and wherever the others are",
    "So *overlap* calls no neuron back that has left the samples.",
)
def test_outside_the_samples_overlap_pushes_outward_whatever_the_widths_and_wherever_the_others_are():
    draw = np.random.default_rng(0)
    for _ in range(50):
        x, others = (torch.tensor(draw.uniform(0, 1, 6)) for _ in range(2))
        w = torch.tensor(draw.uniform(-10, 10, 7))

        def loss(centres: torch.Tensor, x: torch.Tensor = x, w: torch.Tensor = w) -> torch.Tensor:
            return overlap_loss(activations(x, w, -w * centres))

        reach = draw.uniform(0, 0.3)
        right = handful.force(loss, others.tolist(), float(x.max()) + reach)
        left = handful.force(loss, others.tolist(), float(x.min()) - reach)
        assert left <= 0 <= right
        assert abs(float(w[-1])) < 1 or left < 0 < right


@states(
    "With equal bumps of $w = 5$ it grows up to {greatest-outside-at}, a little beyond the last sample, and fades from "
    "there on.",
)
def test_outside_the_samples_the_force_grows_a_little_beyond_the_last_and_fades_from_there_on(pushes):
    right = pushes[pushes.index > overlap.SAMPLES[-1]]
    assert (right > 0).all() and overlap.SAMPLES[-1] + 0.05 < right.idxmax() < 0.9  # it does not only fade
    assert (np.diff(right[right.index <= right.idxmax()]) > 0).all()
    assert (np.diff(right[right.index >= right.idxmax()]) < 0).all() and right.iloc[-1] < right.max() / 1000


@states("and a neuron near the edge is pushed over it")
def test_a_neuron_near_the_edge_is_pushed_over_it(pushes):
    assert (pushes.loc[0.7:0.85] > 0.1).all() and (pushes.loc[0.15:0.3] < -0.1).all()


@states("With overlap the prototypes end further away from the samples.")
def test_with_overlap_the_prototypes_end_further_away_from_the_samples():
    x, _ = sample_task(5, seed=1000)
    paths = handful.paths(overlap.TRAINED)
    std, with_overlap = ((path[-1][:, None] - x).abs().amin(1).sort().values for path in paths.values())
    assert (with_overlap > std).all()
    assert list(overlap.ends(x, paths)["outside the samples"]) == [3, 4]


@states(
    "Overlap raises the median of E at {higher-errors} of {sizes} sizes, raises the median expelled fraction "
    "at {higher-expelled}, and lowers the median specialization ratio at",
    "leaves most of them outside the data's range, where many of them began",
)
def test_overlap_raises_E_and_expulsion_and_lowers_specialization_at_every_size(replication):
    table = overlap.medians(replication)
    assert len(table) == 6
    assert (table["E, 100 Ovl"] > table["E, 000 Std"]).all()
    assert (table["expelled, 100 Ovl"] > table["expelled, 000 Std"]).all()
    assert (table["specialization, 100 Ovl"] < table["specialization, 000 Std"]).all()
    assert (table["expelled, 100 Ovl"] > 0.5).all()
    assert (model.starts()["mean expelled fraction"] > 0.5).all()
