"""The figures: each shows the numbers of its table, with chance where E is shown, in a palette with a second cue."""

from __future__ import annotations

import inspect
import json
import re

import altair as alt
import numpy as np
import pandas as pd
import pytest
from conftest import rows
from scipy.stats import trim_mean

from companion.core.metrics import reconstruction_error
from companion.core.settings import MASK_LABELS, MASKS
from companion.judging import chance as chances
from companion.judging.baselines import DRAWN, baseline_summary
from companion.judging.chance import AT_CHANCE, chance_level, chance_summary
from companion.show import charts as pictures
from companion.show import figures
from companion.show.notebook import svg
from companion.studies.replication import PARTS, WITH_BASELINES
from companion.sweeps import runs as stored_runs
from companion.sweeps.runs import WINDOW, median_run, originals_and_reconstructions, reconstruction_points, summary
from companion.sweeps.sweep import run_sweep


@pytest.fixture(scope="module")
def chance(replication) -> pd.DataFrame:
    return chance_summary(replication)


@pytest.fixture(scope="module")
def baselines(replication) -> dict[str, pd.DataFrame]:
    return {metric: baseline_summary(replication, metric) for metric in WITH_BASELINES}


@pytest.fixture(scope="module")
def charts(replication, temperature, chance, baselines) -> dict[int, alt.TopLevelMixin]:
    return {
        1: figures.error_by_size(replication, baselines["reconstruction_error"]),
        2: figures.error_heatmap(replication, baselines["reconstruction_error"]),
        3: figures.prototype_positions(replication),
        4: figures.temperature_sweep(temperature, chance),
        5: figures.specialization_by_size(replication, baselines["specialization_ratio"]),
        6: figures.specialization_heatmap(replication, baselines["specialization_ratio"]),
        7: figures.reconstructions(replication, chance),
    }


def encodings(spec: object, channel: str) -> list[dict]:
    """All encodings of a channel, anywhere inside a specification."""
    if isinstance(spec, list):
        return [found for part in spec for found in encodings(part, channel)]
    if not isinstance(spec, dict):
        return []
    here = [spec["encoding"][channel]] if channel in spec.get("encoding", {}) else []
    return here + [found for part in spec.values() for found in encodings(part, channel)]


def test_summary_is_the_mean_its_error_the_median_and_an_interval():
    values = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 100])
    runs = pd.DataFrame({"mask": "000", "size": 3, "E": values})
    row = summary(runs, "E").iloc[0]
    assert row["n"] == 10 and row["mean"] == 14.5 and row["median"] == 5.5
    assert row["sem"] == pytest.approx(values.std(ddof=1) / np.sqrt(10))
    assert row["trimmed"] == pytest.approx(trim_mean(values, 0.1)) == pytest.approx(5.5)
    assert 2 <= row["low"] < 5.5 < row["high"] <= 9


@pytest.mark.long
def test_a_single_run_has_no_interval(replication):
    one = replication[replication["seed"] == 1000]
    data = summary(one, "reconstruction_error")
    assert data[["sem", "low", "high"]].isna().all(axis=None)
    assert "NaN" not in figures.error_by_size(one, baseline_summary(one)).to_json()


def test_chance_summary_repeats_the_median_of_the_draws(chance):
    draws = chance_level(20, range(1000, 1010))
    row = chance.set_index("size").loc[20]
    assert row["median"] == np.median(draws) and row["mean"] == pytest.approx(draws.mean())


def test_the_chance_level_of_runs_is_that_of_their_target():
    runs = pd.DataFrame({"size": 5, "seed": [1, 2], "target": "step"})
    assert chance_summary(runs)["median"][0] == np.median(chance_level(5, [1, 2], target="step"))
    assert chance_summary(runs)["median"][0] != chance_summary(runs.drop(columns="target"))["median"][0]
    with pytest.raises(ValueError, match="targets sine, step were given; allowed are runs of one target"):
        chance_summary(runs.assign(target=["sine", "step"]))


@pytest.mark.parametrize("metric", AT_CHANCE)
def test_a_chance_level_has_its_own_interval(replication, metric):
    small = replication[replication["size"] <= 10]
    levels = chance_summary(small, metric)
    assert list(levels["size"]) == [3, 5, 10]
    assert (levels["low"] <= levels["median"]).all() and (levels["median"] <= levels["high"]).all()
    draws = chance_level(10, range(1000, 1010), metric=metric)
    assert levels["median"].iloc[-1] == np.median(draws)
    one = chance_summary(small[small["seed"] == 1000], metric)
    assert one[["low", "high"]].isna().all(axis=None) and one["median"].notna().all()


def test_a_chance_level_s_interval_counts_seeds_and_not_draws(replication, monkeypatch):
    """Draws that repeat within a seed are one datum: the interval is that of the seeds' values."""
    values = np.random.default_rng(2).normal(size=10)
    monkeypatch.setattr(chances, "chance_level", lambda *_, **__: np.repeat(values[:, None], 20, axis=1))
    row = chance_summary(replication).iloc[0]
    low, high = stored_runs._median_interval(values)
    assert (row["low"], row["high"]) == pytest.approx((low, high), abs=0.2) and high - low > 0.5


def test_the_median_run_has_as_many_runs_below_as_above(replication):
    errors = replication.query("mask == '110' and size == 20")["reconstruction_error"]
    chosen = median_run(replication, "110", 20)["reconstruction_error"]
    assert (errors < chosen).sum() == 4 and (errors > chosen).sum() == 5
    with pytest.raises(ValueError, match="none of mask '110' and size 7"):
        median_run(replication, "110", 7)


def test_reconstruction_points_give_back_the_run_s_error(replication):
    run = replication.iloc[-1]
    points = reconstruction_points(run)
    assert points["distance"].mean() == pytest.approx(run["reconstruction_error"], rel=1e-9)
    assert points["expelled"].mean() == run["expelled_fraction"]
    assert sorted(points["x"]) == sorted(run["x"])
    distance = np.hypot(points["prototype"] - points["x"], points["value"] - points["y"])
    np.testing.assert_allclose(points["distance"], distance)


def test_runs_of_one_size_give_back_their_errors(replication):
    group = replication.query("mask == '111' and size == 20")
    arrays = originals_and_reconstructions(group)
    assert {array.shape for array in arrays} == {(10, 20)}
    np.testing.assert_allclose(reconstruction_error(*arrays), group["reconstruction_error"], rtol=1e-9)


def test_numbers_by_size_keep_the_masks_cues_and_draw_the_rest_in_grey():
    frame = pd.DataFrame(
        {"curve": ["010 Cov", "010 Cov", "chance"], "size": [3, 5, 3], "value": [1.0, 2, 3], "low": [0.5, 1, np.nan]}
    ).assign(high=[2, 4, np.nan])
    chart = pictures.by_size({"first": frame, "second": frame}, log=["second"])
    assert "NaN" not in chart.to_json()
    assert [row["value"] for row in rows(chart)][:3] == [1, 2, 3]
    color = encodings(chart.to_dict(), "color")[0]["scale"]
    assert color == {"domain": ["010 Cov", "chance"], "range": [figures.COLORS[2], figures.CHANCE]}
    scales = [found["scale"].get("type") for found in encodings(chart.to_dict(), "y") if "scale" in found]
    assert scales.count("log") == 2 and len(scales) == 4


@pytest.mark.long
@pytest.mark.parametrize("number", [1, 2, 5, 6])
def test_figures_by_mask_show_the_summary(charts, replication, number):
    metric = "reconstruction_error" if number < 3 else "specialization_ratio"
    drawn = {(row["mask"], row["size"]): row for row in rows(charts[number]) if isinstance(row.get("mask"), str)}
    expected = summary(replication, metric)
    assert len(drawn) == len(expected) == 48
    for row in expected.itertuples():
        shown = drawn[row.mask, row.size]
        assert (shown["mean"], shown["median"]) == pytest.approx((row.mean, row.median), rel=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("number", [4, 7])
def test_pictures_of_single_levels_show_chance(charts, chance, number):
    text = charts[number].to_json()
    assert "chance" in text
    if number == 7:
        assert f"chance: E = {chance.set_index('size')['median'][5]:.2g}" in text
    else:
        levels = {float(f"{value:.6g}") for value in chance["median"]}
        assert levels <= {row.get("median", row.get("value")) for row in rows(charts[number])}


@pytest.mark.long
@pytest.mark.parametrize("number", [1, 2, 5, 6])
def test_pictures_by_mask_and_size_show_the_baselines(charts, baselines, number):
    metric = "reconstruction_error" if number < 3 else "specialization_ratio"
    drawn = rows(charts[number])
    assert set(DRAWN) <= set(written(charts[number]))
    for level in baselines[metric].itertuples():
        named = [
            row for row in drawn if level.level in (row.get("level"), row.get("label")) and row["size"] == level.size
        ]
        assert {float(f"{level.median:.6g}")} == {row["median"] for row in named}


@pytest.mark.long
def test_the_two_errors_are_drawn_with_their_baselines(replication, baselines):
    levels = {metric: baselines[metric] for metric in PARTS}
    drawn = rows(figures.error_parts_by_size(replication, levels))
    for metric in PARTS:
        expected = {
            float(f"{value:.6g}") for value in [*summary(replication, metric)["median"], *levels[metric]["median"]]
        }
        assert expected <= {row.get("median") for row in drawn}


@pytest.mark.long
def test_temperature_figure_shows_separation_against_std(charts, temperature):
    expected = summary(temperature, "reconstruction_error", ("mask", "size", "temperature"))
    medians = {float(f"{value:.6g}") for value in expected.query("mask == '001'")["median"]}
    assert medians <= {row.get("median") for row in rows(charts[4])}
    std = {float(f"{value:.6g}") for value in expected.query("mask == '000'")["median"]}
    assert std <= {row["value"] for row in rows(charts[4]) if row.get("level") == "Std"}


@pytest.mark.long
def test_temperature_figure_marks_a_crowding_of_one_on_every_line(charts, temperature):
    panels = charts[4].to_dict()["concat"]
    for panel, statistic in zip(panels, ("mean", "median"), strict=True):
        layers = [layer for layer in panel["layer"] if layer["mark"].get("shape") == "circle"]
        assert len(layers) == 1
        marks = charts[4].to_dict()["datasets"][layers[0]["data"]["name"]]
        assert {row["size"]: row["temperature"] for row in marks} == pytest.approx(
            {size: 1 / size**2 for size in sorted(temperature["size"].unique())}, rel=1e-5
        )
        ten = temperature[(temperature["mask"] == "001") & (temperature["size"] == 10)]
        expected = ten[np.isclose(ten["temperature"], 0.01)]["reconstruction_error"].agg(statistic)
        assert {row["size"]: row[statistic] for row in marks}[10] == pytest.approx(expected, rel=1e-5)


@pytest.mark.long
def test_a_crowding_of_one_outside_the_temperatures_of_a_sweep_is_not_marked(temperature, chance):
    cold = temperature[temperature["temperature"] < 2e-3]
    marked = {
        row["size"]
        for row in rows(figures.temperature_sweep(cold, chance))
        if set(row) == {"size", "temperature", "median"}
    }
    assert marked == {50, 100}


@pytest.mark.long
def test_positions_figure_draws_every_prototype_of_three_runs(charts):
    drawn = [row for row in rows(charts[3]) if "prototype" in row]
    assert len(drawn) == 300
    beyond = [row for row in drawn if not WINDOW[0] <= row["prototype"] <= WINDOW[1]]
    assert beyond and all(row["drawn"] in WINDOW and row["side"] != "inside" for row in beyond)


@pytest.mark.long
def test_masks_differ_in_colour_and_in_a_second_cue(charts):
    assert len(set(figures.COLORS)) == len(set(figures.SHAPES)) == len(MASKS)
    for number in (1, 5):
        for channel, cues in (("color", figures.COLORS), ("shape", figures.SHAPES)):
            scales = [e["scale"] for e in encodings(charts[number].to_dict(), channel) if "scale" in e]
            assert scales and all(scale["range"] == list(cues) for scale in scales)
            assert all(scale["domain"] == list(MASK_LABELS.values()) for scale in scales)


def contrast(color: str) -> float:
    """Contrast of a colour against white (WCAG 2.2, relative luminance)."""
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


def test_colours_can_be_told_from_the_ground():
    assert all(contrast(color) > 2 for color in figures.COLORS)


@pytest.mark.long
@pytest.mark.parametrize("number", range(1, 8))
def test_live_pictures_have_tooltips_and_toggles(charts, number):
    spec = charts[number].to_dict()
    assert encodings(spec, "tooltip")
    if number in (1, 4, 5):
        assert any(param.get("bind") == "legend" for param in spec["params"])


def test_every_figure_is_one_function_of_a_table():
    names = ("error_by_size", "error_heatmap", "prototype_positions", "temperature_sweep")
    names += ("specialization_by_size", "specialization_heatmap", "reconstructions")
    for number, name in enumerate(names, 1):
        function = getattr(figures, name)
        assert function.__doc__.startswith(f"Figure {number}")
        assert next(iter(inspect.signature(function).parameters)) == "runs"


@pytest.fixture(scope="module")
def lost() -> pd.DataFrame:
    """Runs of two sizes and seeds; those of one mask were lost to overflow."""
    runs = run_sweep(sizes=[3, 5], seeds=[1, 2], steps=20)
    metrics = ["reconstruction_error", "specialization_ratio", "expelled_fraction", "fit_mse"]
    runs.loc[runs["mask"] == "110", metrics] = np.nan
    return runs


@pytest.mark.parametrize("draw", [figures.error_heatmap, figures.specialization_heatmap])
def test_a_heat_map_has_a_dash_where_all_runs_are_lost(lost, draw):
    metric = "reconstruction_error" if draw is figures.error_heatmap else "specialization_ratio"
    levels = baseline_summary(lost, metric)
    chart = draw(lost, levels)
    assert re.findall(r'fill="(\w+)"[^>]*>–</text>', svg(chart)) == ["black"] * 4, "two sizes, two panels"
    assert "110 Ovl+Cov" in written(chart) and "null" not in written(chart)
    nothing = written(draw(lost[lost["mask"] == "110"], levels))
    assert nothing.count("–") == 4 and "null" not in nothing


def test_so_have_grids_and_signs():
    cells = pd.DataFrame({"row": ["a", "b"], "column": "c", "value": [0.5, np.nan], "verdict": ["holds", None]})
    assert written(pictures.grids({"one": cells}, "share", (0, 1)))[:2] == ["0.50", "–"]
    assert {"+", "–"} <= set(written(pictures.verdict_map({"one": cells}, {"holds": "+"})))


def written(chart: alt.TopLevelMixin) -> list[str]:
    """The texts of a chart's picture."""
    return re.findall(r">([^<]+)</text>", svg(chart))


@pytest.mark.parametrize("number", [1, 2, 4, 5, 6])
def test_no_tooltip_says_null(charts, number):
    """Chance has no SEM, nor has a single run."""
    spec = charts[number].to_dict()
    shown = [field["field"] for fields in encodings(spec, "tooltip") for field in fields if field.get("title") == "sem"]
    told = re.findall(r'"calculate": "([^"]*)", "as": "sem told"', json.dumps(spec, ensure_ascii=False))
    assert set(shown) == {"sem told"}
    assert set(told) == {"isValid(datum.sem) ? format(datum.sem, '.3~g') : '–'"}
