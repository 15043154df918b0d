"""What chapter 4 says of overlap."""

from __future__ import annotations

import numpy as np
import pytest
from literate import says

from companion.core.data import sample_task
from companion.studies import handful, overlap

states = says("04-overlap")


@pytest.fixture(scope="module")
def pushes():
    return overlap.pushes(np.linspace(-0.5, 1.5, 301))["force"]


@states(
    "The force points away from the crowd's centre at every position drawn.",
    "It is negative to the left of the samples' centre and positive to the right: outward everywhere except at the "
    "unstable balance in the middle.",
)
def test_the_force_points_away_from_the_crowd_s_centre_at_every_position_drawn(pushes):
    left, right = pushes[pushes.index < 0.5 - 1e-9], pushes[pushes.index > 0.5 + 1e-9]
    assert len(left) == len(right) == 150 and (left < 0).all() and (right > 0).all()
    assert pushes.iloc[150] == 0


@states("Outside the samples it points outward and only fades with distance: a neuron that has left is never called")
def test_outside_the_samples_the_force_points_outward_and_fades_with_distance(pushes):
    right = pushes[pushes.index > overlap.SAMPLES[-1]]
    assert (right > 0).all()
    # It still grows a little behind the last sample, and fades from there on.
    assert right.idxmax() < 0.9 and (np.diff(right[right.index > right.idxmax()]) < 0).all()
    assert right.iloc[-1] < right.max() / 1000


@states("and one near the edge is pushed over it")
def test_a_neuron_near_the_edge_is_pushed_over_it(pushes):
    assert (pushes.loc[0.7:0.85] > 0.1).all() and (pushes.loc[0.15:0.3] < -0.1).all()


@states("With overlap the prototypes move further away from the samples.")
def test_with_overlap_the_prototypes_move_further_away_from_the_samples():
    x, _ = sample_task(5, seed=1000)
    paths = handful.paths(overlap.TRAINED)
    std, with_overlap = ((path[-1][:, None] - x).abs().amin(1).sort().values for path in paths.values())
    assert (with_overlap > std).all()
    assert list(overlap.ends(x, paths)["outside the samples"]) == [3, 4]


@states(
    "Overlap raises the median of E at {higher-errors} of {sizes} sizes, raises the median expelled fraction "
    "at {higher-expelled}, and lowers the median specialization ratio at",
    "takes most of them out of the data's range instead",
)
def test_overlap_raises_E_and_expulsion_and_lowers_specialization_at_every_size(replication):
    table = overlap.medians(replication)
    assert len(table) == 6
    assert (table["E, 100 Ovl"] > table["E, 000 Std"]).all()
    assert (table["expelled, 100 Ovl"] > table["expelled, 000 Std"]).all()
    assert (table["specialization, 100 Ovl"] < table["specialization, 000 Std"]).all()
    assert (table["expelled, 100 Ovl"] > 0.5).all()
