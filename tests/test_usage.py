"""The nearest prototype as a meaning of usage: brute force, its bound, and what "Two meanings of usage" says of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT

from companion.core.metrics import expelled_fraction, specialization_ratio
from companion.core.network import activations, prototypes
from companion.judging.claims import ACTIVE, FREE
from companion.show import figures
from companion.studies.usage import nearest_ratio
from companion.sweeps.runs import summary


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    columns = ["mask", "size", "seed", "x", "w", "b", "specialization_ratio", "expelled_fraction"]
    runs = pd.read_parquet(ROOT / "data/powered.parquet", columns=columns)
    ratios = [
        pd.Series(nearest_ratio(x, -b / w), index=group.index)
        for _, group in runs.groupby("size")
        for x, w, b in [[np.stack(group[name].to_numpy()) for name in ("x", "w", "b")]]
    ]
    return runs.assign(nearest_ratio=pd.concat(ratios))


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
        ([[0.0, 1.0]], [0.0, 1.0], "leading"),
        ([0.0, np.inf], [0.0, 1.0], "x: 1 of 2"),
        ([0.0, 1.0], [np.nan, 1.0], "NaN"),
    ],
)
def test_wrong_arguments_are_refused(x, positions, message):
    with pytest.raises(ValueError, match=message):
        nearest_ratio(x, positions)


@pytest.mark.long
def test_the_figure_shows_both_means(runs):
    chart = figures.usage_by_size(runs).to_dict()
    shown = [row["mean"] for dataset in chart["datasets"].values() for row in dataset]
    for metric in ("specialization_ratio", "nearest_ratio"):
        expected = {float(f"{value:.6g}") for value in summary(runs, metric)["mean"]}
        assert expected <= set(shown)
    assert len(chart["concat"]) == 2


@pytest.mark.long
def test_what_the_alternative_texts_say_is_so(runs):
    for metric in ("specialization_ratio", "nearest_ratio"):
        means = runs.pivot_table(index="size", columns="mask", values=metric, aggfunc="mean")
        assert (means.loc[:20].diff().dropna() < 0).all(axis=None)
        assert set(means.loc[3].nlargest(2).index) == {"010", "011"}
        assert (means.loc[10:, list(ACTIVE)].max(axis=1) < means.loc[10:, list(FREE)].min(axis=1)).all()
        assert (means.loc[100, ["001", "011"]] > means.loc[50, ["001", "011"]]).all()

    std, best = runs.query("mask == '000' and size == 5"), (0.0,)  # the sample that the second picture draws
    for run in std.itertuples():
        positions = -run.b / run.w
        inside = (positions >= run.x.min()) & (positions <= run.x.max())
        responses = np.exp(-((np.outer(run.x, run.w) + run.b) ** 2))
        for i, at in enumerate(run.x):
            most, near = responses[i].argmax(), np.abs(at - positions).argmin()
            gap = responses[i, most] - responses[i, near]
            if most != near and not inside[most] and inside[near] and gap > best[0]:
                best = (gap, responses[i, most], responses[i, near], positions[most] - run.x.max(), run.w[[most, near]])
    _, most, near, beyond, width = best
    assert most > 0.9 and near < 0.01 and beyond > 0 and abs(width[0]) < abs(width[1])
