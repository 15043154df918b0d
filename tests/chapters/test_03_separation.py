"""What chapter 3 says of separation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from literate import says

from companion.core.losses import separation_loss
from companion.core.settings import Settings
from companion.studies import handful, separation
from companion.studies.alone import against_std
from companion.sweeps.sweep import PAPER_SIZES

states = says("03-separation")


@pytest.fixture(scope="module")
def ends():
    fit, low, high = (path[-1] for path in handful.paths(separation.TRAINED).values())
    return low, high, fit


@states(
    "with the fit alone and with separation at a low and a high temperature",
    "with the fit alone and under separation at",
)
def test_the_fit_alone_is_shown_beside_separation_at_two_temperatures():
    assert list(separation.TRAINED) == ["000 Std", "001 Sep, τ = 0.0001", "001 Sep, τ = 0.1"]


@states("It is 1 when all prototypes coincide and falls towards 0 as all distances grow.")
def test_the_loss_is_1_when_all_prototypes_coincide_and_falls_towards_0_as_distances_grow():
    at = torch.tensor([0.3, 0.3, 0.3], dtype=torch.float64)
    assert float(separation_loss(at, 1e-4)) == 1
    apart = [float(separation_loss(at + scale * torch.tensor([0.0, 1.0, 2.0]), 1e-4)) for scale in (0.005, 0.02, 0.05)]
    assert 1 > apart[0] > apart[1] > apart[2] > 0 and apart[2] < 1e-6


@pytest.mark.long
@states(
    r"the force peaks at $d = \sqrt{\tau/2}$, and at $4\sqrt\tau$ it is below a hundred-thousandth of that peak",
)
def test_the_force_peaks_at_the_root_of_half_the_temperature_and_is_below_1e_5_of_it_at_four_roots():
    table = separation.peaks()
    assert list(table.index) == ["0.1", "0.01", "0.001", "0.0001"]
    assert list(table["peak found at"]) == pytest.approx(list(table["√(τ/2)"]), rel=2e-3)
    assert (table["force at 4√τ over peak"] < 1e-5).all()


@states(
    "Each curve rises to a peak at the root of half the temperature and falls to an eighteenth of it at three times "
    "that distance; a lower temperature gives a stronger push of shorter reach."
)
def test_each_curve_rises_to_its_peak_and_falls_and_a_lower_temperature_pushes_harder_and_less_far():
    heights, reaches = [], []
    for temperature in (1e-1, 1e-2, 1e-3):
        peak = np.sqrt(temperature / 2)
        curve = separation.forces(peak * np.linspace(0, 6, 121), [temperature]).squeeze()
        top = curve.index.get_loc(curve.idxmax())
        assert curve.idxmax() == pytest.approx(peak)
        assert (np.diff(curve[: top + 1]) > 0).all() and (np.diff(curve[top:]) <= 0).all()
        assert separation.force(3 * peak, temperature) == pytest.approx(curve.max() / 18, rel=0.02)  # 3 / e⁴
        heights.append(curve.max())
        reaches.append(curve.index[curve > 0.06 * curve.max()].max())
    assert heights == sorted(heights) and reaches == sorted(reaches, reverse=True)


@states(
    "At the low temperature four of the five end within a twentieth of where the fit alone puts them, and one farther "
    "off; at the high temperature they are driven apart, most of them out of the unit interval."
)
def test_at_the_low_temperature_four_of_five_end_near_where_the_fit_puts_them_at_the_high_one_they_are_apart(ends):
    low, high, fit = ends
    assert ((low - fit).abs() < 1 / 20).sum() == 4 and (low - fit).abs().max() > 0.1
    assert ((high < 0) | (high > 1)).sum() == 4
    assert (high.sort().values.diff() > low.sort().values.diff()).all()
    assert ((high < 0) | (high > 1)).sum() > ((fit < 0) | (fit > 1)).sum() and high.max() > 10


@states(
    r"With the nominal $\tau = 10^{-4}$ the length $\sqrt\tau = 0.01$ equals that spacing at the largest size, "
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
