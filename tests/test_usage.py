"""The nearest prototype as a meaning of usage: brute force, its bound, and what its chapter reads off the runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, rows

from companion.core.metrics import expelled_fraction, specialization_ratio
from companion.core.network import activations, prototypes
from companion.show import charts, figures
from companion.studies import usage
from companion.studies.usage import nearest_ratio
from companion.sweeps.runs import summary


@pytest.mark.parametrize("seed", range(5))
def test_nearest_ratio_counts_distinct_nearest_prototypes(seed):
    x, positions = np.random.default_rng(seed).normal(size=(2, 6))
    nearest = {min(range(6), key=lambda j, at=at: abs(at - positions[j])) for at in x}
    assert nearest_ratio(x, positions) == pytest.approx(len(nearest) / 6)


def test_nearest_ratio_extremes():
    x = np.array([0.1, 0.5, 0.9])
    assert nearest_ratio(x, x) == 1
    assert nearest_ratio(x, [np.inf, -np.inf, 0.2]) == pytest.approx(1 / 3)
    np.testing.assert_allclose(nearest_ratio(np.stack([x, x]), np.stack([x, x + 5])), [1, 1 / 3])


def test_with_equal_widths_both_meanings_are_one():
    x = torch.rand(20, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    b = torch.rand(20, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 6 - 3
    w = torch.full_like(b, -3.0)
    ratios = nearest_ratio(x, prototypes(w, b))
    np.testing.assert_array_equal(ratios, specialization_ratio(activations(x, w, b)))


def test_expelled_prototypes_bound_the_nearest_ratio():
    rng = np.random.default_rng(0)
    x, positions = rng.uniform(size=(500, 10)), rng.normal(0.5, 1, size=(500, 10))
    assert (nearest_ratio(x, positions) <= 1 - expelled_fraction(x, positions) + 2 / 10 + 1e-12).all()


@pytest.mark.parametrize(
    ("x", "positions", "message"),
    [
        ([[0.0, 1.0]], [0.0, 1.0], "shapes: x"),
        ([0.0, np.inf], [0.0, 1.0], "x: 1 of 2"),
        ([0.0, 1.0], [np.nan, 1.0], "NaN"),
    ],
)
def test_wrong_arguments_are_refused(x, positions, message):
    with pytest.raises(ValueError, match=message):
        nearest_ratio(x, positions)


@pytest.mark.long
def test_the_figure_shows_both_means():
    runs = usage.results(ROOT / "data").runs
    chart = figures.usage_by_size(runs).to_dict()
    shown = [row["mean"] for dataset in chart["datasets"].values() for row in dataset]
    for metric in ("specialization_ratio", "nearest_ratio"):
        expected = {float(f"{value:.6g}") for value in summary(runs, metric)["mean"]}
        assert expected <= set(shown)
    assert len(chart["concat"]) == 2


def test_a_place_is_drawn_across_curves():
    frame = pd.DataFrame({"x": [0.0, 1.0], "value": [2.0, 3.0], "curve": "one"})
    drawn = rows(charts.curves_at(frame, "x", "h", 0.25))
    assert {"x": 0.25} in drawn and all(row in drawn for row in frame.to_dict("records"))


# --- what is read off stored runs ---


def made_up(w: list[list[float]], prototypes: list[list[float]]) -> pd.DataFrame:
    """Runs of mask 000 and N = 3 with samples at 0.1, 0.5 and 0.9, and these weights and prototypes."""
    rows = [
        {
            "mask": "000",
            "size": 3,
            "seed": seed,
            "x": np.array([0.1, 0.5, 0.9]),
            "w": np.array(of_run),
            "b": -np.multiply(of_run, at),
        }
        for seed, (of_run, at) in enumerate(zip(w, prototypes, strict=True))
    ]
    return pd.DataFrame(rows, index=range(7, 7 + len(rows)))


def test_the_neuron_that_responds_most_may_be_a_wide_one_outside():
    runs = made_up([[20.0, -0.5, 20.0]], [[0.2, 1.5, 0.0]])
    samples = usage.choices(runs)
    assert samples["neuron near"].tolist() == [0, 0, 1] and samples["neuron most"].tolist() == [1, 1, 1]
    assert samples["run"].tolist() == [7] * 3 and samples["same"].tolist() == [False, False, True]
    second = samples.iloc[1]
    assert (second["w most"], second["w near"]) == (0.5, 20) and not second["inside most"] and second["inside near"]
    np.testing.assert_allclose(second[["distance most", "distance near"]].astype(float), [1, 0.3])
    expected = [np.exp(-0.25), np.exp(-36.0)]
    np.testing.assert_allclose(second[["response most", "response near"]].astype(float), expected)


def test_shares_of_samples_and_of_runs():
    runs = usage.with_nearest_ratio(made_up([[20.0, -0.5, 20.0], [9.0] * 3], [[0.2, 1.5, 0.0], [0.1, 0.5, 0.9]]))
    assert runs["nearest_ratio"].tolist() == pytest.approx([2 / 3, 1])
    assert usage.agreement(usage.choices(runs)).loc["000", 3] == pytest.approx(4 / 6)
    found = usage.differing_table(usage.choices(runs)).loc["000 Std", 3]
    assert found["share of samples"] == pytest.approx(2 / 6) and found["its prototype inside"] == 0
    assert found["|w| of the most responding, over the nearest's"] == pytest.approx(0.5 / 20)


def test_the_example_is_the_sample_where_the_responses_are_farthest_apart():
    runs = made_up([[20.0, -0.5, 20.0], [20.0, -0.1, 20.0]], [[0.2, 1.5, 0.0], [0.2, 1.5, 0.0]])
    case = usage.wide_case(usage.choices(runs))
    assert (case["run"], case["sample"]) == (8, 1)
    found = usage.example(runs, case)
    assert found[:6] == pytest.approx((1, 0.5, 0.1, 0.9, 1.5, 0.2))
    wide, narrow = (bump for _, bump in found.bumps.groupby("curve", sort=False))
    assert wide["curve"].iloc[0] == "responds most, |w| = 0.1" and narrow["curve"].iloc[0] == "is nearest, |w| = 20"
    assert wide.loc[wide["value"].idxmax(), "x"] == pytest.approx(1.5)


def test_the_bound_and_what_is_reached_of_it():
    runs = pd.DataFrame(
        {"mask": "100", "size": [4, 4], "expelled_fraction": [0.75, 0.25], "nearest_ratio": [0.5, 0.75]}
    )
    found = usage.bounds(runs.assign(specialization_ratio=[0.25, 0.25])).loc["100"]
    assert found.tolist() == pytest.approx([1, 0.625, 0.25, 0.625])


@pytest.mark.long
def test_the_same_ratio_by_both_meanings_changes_no_case(powered):
    found = usage.verdicts(powered.assign(nearest_ratio=powered["specialization_ratio"]))
    assert [usage.changed_cases(both) for both in found.values()] == [[], []]
    table = usage.case_table(found["C7"])
    assert (table[f"p, {usage.RESPONSE}"] == table[f"p, {usage.NEAREST}"]).all() and len(table) == 24
    assert table.loc["110 under half of 000, N = 100", f"outcome, {usage.RESPONSE}"] == "contradicted"
