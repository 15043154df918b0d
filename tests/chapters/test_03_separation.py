"""What chapter 3 says of separation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from literate import says

from companion.core.losses import separation_loss
from companion.core.settings import Settings
from companion.studies import handful, overlap, separation
from companion.studies.alone import against_std
from companion.sweeps.sweep import PAPER_SIZES

states = says("03-separation")


@pytest.fixture(scope="module")
def ends():
    found = handful.paths(separation.TRAINED | {"fit": overlap.TRAINED["000 Std"]})
    low, high, fit = (path[-1] for path in found.values())
    return low, high, fit


@states("It is 1 when all prototypes coincide and 0 when all are far apart.")
def test_the_loss_is_1_when_all_prototypes_coincide_and_0_when_all_are_far_apart():
    at = torch.tensor([0.3, 0.3, 0.3], dtype=torch.float64)
    assert float(separation_loss(at, 1e-4)) == 1
    assert float(separation_loss(at + torch.tensor([0.0, 1.0, 2.0]), 1e-4)) == 0


@pytest.mark.long
@states(r"the force peaks at $d = \sqrt{\tau/2}$ and is gone beyond a few $\sqrt\tau$")
def test_the_force_peaks_at_the_root_of_half_the_temperature_and_is_gone_beyond_a_few_roots():
    table = separation.peaks()
    assert list(table.index) == ["0.1", "0.01", "0.001", "0.0001"]
    assert list(table["peak found at"]) == pytest.approx(list(table["√(τ/2)"]), rel=2e-3)
    assert (table["force at 4√τ over peak"] < 1e-5).all()


@states(
    "Each curve rises to a peak at the root of half the temperature and vanishes beyond three times that distance; "
    "a lower temperature gives a stronger push of shorter reach."
)
def test_each_curve_rises_to_its_peak_and_vanishes_and_a_lower_temperature_pushes_harder_and_less_far():
    heights, reaches = [], []
    for temperature in (1e-1, 1e-2, 1e-3):
        peak = np.sqrt(temperature / 2)
        curve = separation.forces(peak * np.linspace(0, 6, 121), [temperature]).squeeze()
        top = curve.index.get_loc(curve.idxmax())
        assert curve.idxmax() == pytest.approx(peak)
        assert (np.diff(curve[: top + 1]) > 0).all() and (np.diff(curve[top:]) <= 0).all()
        assert curve[curve.index > 3.01 * peak].max() < 0.06 * curve.max()
        heights.append(curve.max())
        reaches.append(curve.index[curve > 0.06 * curve.max()].max())
    assert heights == sorted(heights) and reaches == sorted(reaches, reverse=True)


@states(
    "At the low temperature they stay where the fit puts them; at the high temperature they are driven apart, some out "
    "of the unit interval."
)
def test_at_the_low_temperature_they_stay_near_where_the_fit_puts_them_at_the_high_one_they_are_driven_apart(ends):
    low, high, fit = ends
    # One of the five ends 0.18 from where the fit alone puts it.
    assert (low - fit).abs().max() < 0.2 and (low - fit).abs().median() < 0.04
    assert (high.sort().values.diff() > low.sort().values.diff()).all()
    assert ((high < 0) | (high > 1)).sum() > ((fit < 0) | (fit > 1)).sum() and high.max() > 10


@states(
    r"With the nominal $\tau = 10^{-4}$ the reach $\sqrt\tau = 0.01$ equals that spacing at the largest size, "
    "$N = 100$, and is below it at all others"
)
def test_the_nominal_reach_equals_the_spacing_at_the_largest_size_and_is_below_it_at_all_others():
    reach = np.sqrt(Settings().temperature)
    *others, largest = PAPER_SIZES
    assert reach == pytest.approx(0.01) == 1 / largest and all(reach < 1 / size for size in others)


@states(
    "Separation alone has the lower mean at N = {sizes-of-lower-means} and the lower median at no size",
)
def test_separation_alone_has_the_lower_mean_at_the_smallest_size_and_the_lower_median_at_none(replication):
    errors = against_std(replication, "001")
    assert list(errors.index[errors["001 Sep, mean"] < errors["000 Std, mean"]]) == [3]
    assert not (errors["001 Sep, median"] < errors["000 Std, median"]).any()
