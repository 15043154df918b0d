"""What chapter 7 says of the temperature of separation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from literate import says

from companion.core.settings import Settings
from companion.studies import collapse, handful
from companion.studies import temperature as study
from companion.sweeps.runs import WINDOW

states = says("07-temperature")


@pytest.fixture(scope="module")
def ratios(temperature):
    return study.ratios(temperature)


@pytest.fixture(scope="module")
def grid(temperature):
    return collapse.grid(temperature)


@states(
    "At the two lower ones all stay within the window; at the two higher ones some leave it, the more the hotter.",
)
def test_at_the_two_lower_temperatures_all_stay_within_the_window_at_the_two_higher_some_leave_it():
    paths = list(handful.paths(study.TRAINED).values())
    for path in paths[:2]:
        assert WINDOW[0] < path.min() and path.max() < WINDOW[1]
    beyond = [int(((path[-1] < WINDOW[0]) | (path[-1] > WINDOW[1])).sum()) for path in paths[2:]]
    assert 0 < beyond[0] < beyond[1]


@states(
    "Up to $\\tau N^2 = 0.1$ the ratio stays between {calm-lowest} and",
    "level near one up to about 0.1 and rising steadily beyond one.",
)
def test_up_to_a_tenth_the_ratio_stays_near_one(ratios):
    calm = ratios[ratios["crowding"] <= study.CALM]
    assert set(calm["size"]) == set(ratios["size"]) and calm["ratio"].between(0.9, 1.3).all()
    assert calm["ratio"].median() == pytest.approx(1, abs=0.1)


@states("beyond 1 all curves rise together", "rising steadily beyond one")
def test_beyond_1_all_curves_rise(ratios):
    for size in (3, 5, 10, 20, 50, 100):
        beyond = ratios[(ratios["size"] == size) & (ratios["crowding"] >= 1)].sort_values("crowding")["ratio"]
        assert len(beyond) > 3 and (np.diff(beyond) > 0).all() and beyond.iloc[-1] > 5 * beyond.iloc[0]


@states("beyond 1 all curves rise together", "The curves of all sizes lie close together:")
def test_the_curves_of_all_sizes_lie_close_together(grid):
    y = collapse.log_ratio(grid.values)
    apart = {power: float(collapse.residual(y, grid.sizes, grid.temperatures, power)) for power in (0.0, 2.0)}
    assert apart[2.0] < np.log10(1.3) < apart[0.0] / 4  # against τN², and against τ alone


@states(
    "So the temperature at which separation turns harmful depends on the number of neurons: of the temperatures swept, "
    "one that leaves E at $N = 3$ nearly as it is can multiply it at $N = 100$",
)
def test_the_temperature_at_which_separation_turns_harmful_falls_with_the_number_of_neurons(ratios):
    wide = ratios.pivot(index="temperature", columns="size", values="ratio")
    harmful = (wide > collapse.ONSET).idxmax()
    assert list(harmful.index) == [3, 5, 10, 20, 50, 100]
    assert harmful.is_monotonic_decreasing and harmful.iloc[0] > 100 * harmful.iloc[-1]
    assert (wide.loc[wide[3].between(0.8, 1.25), 100] > 4).any()


@states(
    "At $N = 100$ the median expelled fraction goes from {outside-at-lowest} at the lowest temperature to "
    "{outside-at-highest} at the highest.",
    "Separation expels where it crowds",
)
def test_at_the_largest_size_the_median_expelled_fraction_is_far_higher_at_the_highest_temperature(temperature):
    table = study.expelled(temperature)
    assert table.index[0] == "1e-05" and table.index[-1] == "10"
    assert table["N = 100"].iloc[-1] > table["N = 100"].iloc[0] + 0.25


@states("overlap, whose loss holds no temperature, pushes outward at any")
def test_overlap_pushes_the_same_at_any_temperature():
    cold, hot = (Settings("100", temperature=temperature) for temperature in (1e-5, 1.0))
    paths = handful.paths({"cold": cold, "hot": hot})
    assert torch.equal(paths["cold"], paths["hot"])
