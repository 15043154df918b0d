"""The pictures of the chapters on what holds: they show the numbers that they are given."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import rows

from companion.core.network import Parameters
from companion.core.settings import MASK_LABELS
from companion.show import charts


@pytest.mark.parametrize("ratios", [True, False])
def test_a_forest_shows_every_case_with_its_interval_and_the_line_of_no_difference(ratios):
    cases = pd.DataFrame(
        {
            "label": ["N = 3", "N = 5"],
            "effect": [0.5, 1.5],
            "low": [0.4, 1.2],
            "high": [0.7, 1.9],
            "outcome": ["supported", "contradicted"],
        }
    )
    drawn = rows(charts.forest(cases, "ratio", ratios))
    assert [row for row in drawn if "effect" in row] == cases.to_dict("records")
    assert {"none": 1.0 if ratios else 0.0} in drawn


@pytest.mark.parametrize(
    ("metric", "comparison", "statements", "label"),
    [
        ("fit", "E: 010 < 000", 1, "N = 3"),
        ("fit", "E: 010 < 000", 2, "N = 3: 010 < 000"),
        ("place", "place of 001: N = 5 ≈ N = 3", 8, "N = 3: place of 001"),
    ],
)
def test_a_verdict_s_forest_names_a_case_of_several_statements_with_what_is_compared(
    metric, comparison, statements, label
):
    row = {"case": "N = 3", "metric": metric, "comparison": comparison, "outcome": "open"}
    verdict = SimpleNamespace(
        table=pd.DataFrame([row | {"effect": 1.5, "low": 1.0, "high": 2.0}]),
        cases=[SimpleNamespace(statements=[None] * statements)],
    )
    drawn = rows(charts.verdict_forest(verdict))
    assert [found["label"] for found in drawn if "label" in found] == [label]
    assert {"none": 1.0 if metric == "place" else 0.0} in drawn, "a ratio's line is at 1"
    assert "label" not in verdict.table


def test_panels_by_size_show_values_and_intervals():
    frame = pd.DataFrame({"curve": [MASK_LABELS["010"], "chance"], "size": [3, 3], "value": [0.3, 0.5]})
    frame = frame.assign(low=[0.2, np.nan], high=[0.4, np.nan])
    drawn = {row["curve"]: row for row in rows(charts.by_size({"E": frame})) if "value" in row}
    assert {name: row["value"] for name, row in drawn.items()} == {MASK_LABELS["010"]: 0.3, "chance": 0.5}
    assert (drawn[MASK_LABELS["010"]]["low"], drawn[MASK_LABELS["010"]]["high"]) == (0.2, 0.4)


def test_panels_of_masks_show_their_numbers_and_in_grey_what_is_one_for_all():
    table = pd.DataFrame({"mask": ["010"], "size": [3], "value": [0.3], "low": [0.2], "high": [0.4]})
    chart = charts.masks_by_size({"E": table, "S": table}, {"E": pd.Series([0.5], [3], name="chance")}, log=["S"])
    drawn = [(row["curve"], row["size"], row["value"], row["low"], row["high"]) for row in rows(chart)]
    mask = MASK_LABELS["010"], 3, 0.3, 0.2, 0.4
    assert sorted(drawn) == [mask, mask, ("chance", 3, 0.5, 0.5, 0.5)]
    assert '"type": "log"' in chart.to_json()


def test_cells_of_a_grid_are_those_of_the_table():
    table = pd.DataFrame([[0.1, 0.2]], index=pd.Index(["010"], name="mask"), columns=pd.Index([3, 5], name="size"))
    expected = [{"row": MASK_LABELS["010"], "column": size, "value": value} for size, value in (("3", 0.1), ("5", 0.2))]
    assert charts.cells(table).to_dict("records") == expected


def test_curve_rows_stand_one_below_the_other():
    x, y = torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0])
    drawn = charts.curve_rows(x, {"up": y, "down": -y}).to_dict("list")
    assert drawn == {"x": [0, 1, 0, 1], "value": [2, 3, -2, -3], "curve": ["up", "up", "down", "down"]}


def test_networks_are_drawn_each_with_its_own_data():
    one = Parameters(*(torch.tensor(value) for value in ([2.0], [-1.0], [1.0], 0.0)))
    data = {place: torch.tensor([place]) for place in (0.25, 0.75)}
    chart = charts.networks_with_data({f"at {place}": (x, x, one) for place, x in data.items()})
    assert [panel.title.text for panel in chart.concat] == ["at 0.25", "at 0.75"]
    samples = [row["x"] for row in rows(chart) if row["x"] == row["value"]]
    assert set(data) <= set(samples)


def test_panels_against_a_number_show_values_and_intervals():
    frame = pd.DataFrame({"curve": ["N = 3", "N = 5"], "x": [0.1, 1.0], "value": [1.0, 2.0]})
    frame = frame.assign(low=[0.8, np.nan], high=[1.3, np.nan])
    chart = charts.against({"ratio": ("τN²", frame)}, log=["ratio"])
    drawn = {row["curve"]: row for row in rows(chart)}
    assert {name: (row["x"], row["value"]) for name, row in drawn.items()} == {"N = 3": (0.1, 1), "N = 5": (1, 2)}
    assert (drawn["N = 3"]["low"], drawn["N = 3"]["high"]) == (0.8, 1.3)
    assert drawn["N = 5"]["low"] == drawn["N = 5"]["high"] == 2  # no bar
    assert '"type": "log"' in chart.to_json()


def test_stacked_bars_begin_where_the_part_before_ends():
    parts = pd.DataFrame({"name": "C1", "part": ["no", "yes"], "share": [0.25, 0.75], "beside": "yes"})
    drawn = {
        row["part"]: row
        for row in rows(charts.stacked({"by rule": parts}, {"yes": "✓", "no": "✗"}, "share"))
        if "share" in row and row["middle"] < 1
    }
    assert (drawn["yes"]["start"], drawn["yes"]["end"]) == (0, 0.75)  # in the signs' order, not the rows'
    assert (drawn["no"]["start"], drawn["no"]["end"]) == (0.75, 1)


def test_grids_and_curve_panels_show_their_numbers():
    cells = pd.DataFrame({"row": ["a", "a"], "column": ["b", "c"], "value": [0.1, 0.9]})
    assert rows(charts.grids({"N = 5": cells}, "share", (0, 1))) == cells.to_dict("records")
    path = pd.DataFrame({"x": [0, 1], "value": [0.5, -0.5], "curve": "000 Std"})
    drawn = rows(charts.curve_panels({"w": (0.01, path)}, "step"))
    assert [row for row in drawn if "curve" in row] == path.to_dict("records")


def test_a_named_curve_has_its_name_near_half_its_height():
    rise = pd.DataFrame({"curve": "C1", "x": [5, 10, 20], "value": [0.0, 0.6, 1.0]})
    jump = pd.DataFrame({"curve": "C2", "x": [5, 10], "value": [0.0, 1.0]})
    chart = charts.named_curves(pd.concat([rise, jump], ignore_index=True), "seeds", "share", [5, 10, 20])
    points, names = chart.to_dict()["datasets"].values()
    assert points == [*rise.to_dict("records"), *jump.to_dict("records")]
    assert {row["curve"]: row["x"] for row in names} == {"C1": 10, "C2": 10}


def test_force_fields_show_every_force_the_samples_and_the_other_prototypes():
    at, samples = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.25, 0.75])
    field = {"overlap": torch.tensor([-1.0, 0.0, 1.0]), "sum": torch.tensor([-2.0, 0.5, 2.0])}
    drawn = rows(charts.force_fields(at, {"hot": field}, samples, samples[:1]))
    found = {name: [row["value"] for row in drawn if row.get("force") == name] for name in field}
    assert found == {name: values.tolist() for name, values in field.items()}
    assert {row["x"] for row in drawn if "force" not in row} == {0.25, 0.75}


def test_a_table_s_columns_are_curves_over_its_index():
    table = pd.DataFrame({"b": [1.0, 2.0], "a": [3.0, 4.0]}, index=[0.1, 0.2])
    assert charts.as_curves(table).to_dict("list") == {
        "x": [0.1, 0.2, 0.1, 0.2],
        "curve": ["b", "b", "a", "a"],
        "value": [1.0, 2.0, 3.0, 4.0],
    }
