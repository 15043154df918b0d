"""What is near to the paper, on made-up universes: sets of observations, and levels that near ones have in common."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from companion.judging.multiverse import OBSERVATIONS
from companion.show import multiverse as pictures
from companion.studies import multiverse, nearest
from companion.studies.multiverse import Judged
from companion.sweeps.universes import AXES, MEASURED, NOMINAL, Universe


def table(*rows: str) -> pd.DataFrame:
    """Universes by the observations a, b, c, d that each reproduces."""
    return pd.DataFrame([[name in row for name in "abcd"] for row in rows], columns=list("abcd"))


def observed_of(counts: list[int]) -> pd.DataFrame:
    """Universes that reproduce so many observations, the first ones, and half of the next."""
    rows = [[1.0] * count + [0.5] + [0.0] * (len(OBSERVATIONS) - count - 1) for count in counts]
    return pd.DataFrame(rows, columns=list(OBSERVATIONS)).assign(universe=range(len(counts)), worst_fit=0.0)


# --- universes by their levels' names ---


def test_a_universe_is_found_by_the_names_of_its_levels():
    for one in nearest.around(NOMINAL)[::5]:
        assert Universe.of(one.names) == one
    assert Universe.of({}) == NOMINAL and Universe.of({"steps": "500"}).names["steps"] == "500"


@pytest.mark.parametrize(
    ("names", "says"), [({"colour": "red"}, "axis: 'colour' was given"), ({"steps": "50"}, "steps: '50' was given")]
)
def test_what_names_no_universe_is_named(names, says):
    with pytest.raises(ValueError, match="^" + re.escape(says)):
        Universe.of(names)


def test_around_a_universe_lies_what_differs_on_one_axis():
    start = Universe.of({"steps": "500", "overlap": "cosine"})
    found = nearest.around(start)
    assert found[0] == start and len(found) == 37 == 1 + sum(len(levels) - 1 for levels in AXES.values())
    different = [sum(a != b for a, b in zip(one.levels, start.levels, strict=True)) for one in found[1:]]
    assert set(different) == {1} and len({tuple(one.names.values()) for one in found}) == 37
    assert NOMINAL not in found


# --- the search's best ---


def trials(root: Path) -> pd.DataFrame:
    rows = [
        {"trial": k, **Universe.of({"steps": steps}).names, "worth": worth}
        for k, (steps, worth) in enumerate(
            [("500", 2.0), ("2,000", np.nan), ("5,000", 3.0), ("500", 2.5), ("20,000", 2)]
        )
    ]
    (root / "data").mkdir()
    found = pd.DataFrame(rows)
    found.to_parquet(root / "data" / "multiverse-search.parquet")
    return found


def test_the_best_trials_are_those_of_the_greatest_worth_one_a_universe(tmp_path):
    trials(tmp_path)
    assert nearest.searched(tmp_path)["trial"].tolist() == [2, 0, 4]
    best = nearest.best_universes(tmp_path, 2)
    assert {number: one.names["steps"] for number, one in best.items()} == {2: "5,000", 0: "500"}


def test_the_best_are_run_on_fresh_seeds_and_what_lies_around_the_nearest_of_them(tmp_path, monkeypatch):
    trials(tmp_path)
    asked = []

    def run(numbered, seeds, **_):
        asked.append((list(numbered), tuple(seeds)))
        rows = [{"universe": number, "mask": "000", "size": 3, "seed": seed} for number in numbered for seed in seeds]
        return pd.DataFrame(rows).assign(**dict.fromkeys(MEASURED, 1.0))

    monkeypatch.setattr(nearest, "run_universes", run)
    nearest.write_best(tmp_path, None)
    observed = observed_of([3, 5, 4]).assign(universe=[2, 0, 4])
    monkeypatch.setattr(multiverse, "stored", lambda root, name: Judged(pd.DataFrame(), observed))
    assert nearest.nearest_found(tmp_path).names["steps"] == "500"
    nearest.write_around(tmp_path, None)
    assert asked == [([2, 0, 4], nearest.FRESH), (list(range(37)), nearest.FRESH)]
    assert len(nearest.FRESH) == 30
    for name in multiverse.FOUND:
        assert len(multiverse.runs_of(tmp_path, name)) == 1


# --- together and apart ---


def test_the_frontier_has_the_sets_that_are_part_of_no_other():
    found = nearest.frontier(table("ab", "a", "b", "abc", "ad", "ad", "", "c"))
    assert found["observations"].tolist() == [("a", "b", "c"), ("a", "d")]
    assert found["size"].tolist() == [3, 2] and found["universes"].tolist() == [1, 2]
    assert nearest.frontier(table("", ""))["observations"].tolist() == [()]


def test_pairs_that_are_seen_and_never_together_are_apart():
    found = nearest.apart(table("ab", "ab", "c", "ac"))
    assert found[["first", "second"]].to_numpy().tolist() == [["b", "c"]]
    assert found.iloc[0][["of first", "of second", "expected"]].tolist() == [2, 2, 1.0]
    assert nearest.seen_nowhere(table("ab", "ab", "c", "ac")) == ["d"]
    assert nearest.apart(table("abcd")).empty


def test_most_surprising_pairs_come_first():
    found = nearest.apart(table(*["ac"] * 6, *["bc"] * 6, "d"))
    assert found["expected"].is_monotonic_decreasing and tuple(found.iloc[0][["first", "second"]]) == ("a", "b")


# --- near levels ---


def test_a_level_that_all_near_universes_share_stands_out():
    sampled = multiverse.sample("sobol")[:400]
    own = [one.names["steps"] == "500" for one in sampled]
    observed = observed_of([9 if one else 2 for one in own])
    levels = nearest.near_levels(Judged(pd.DataFrame(), observed), multiverse.codes(sampled))
    assert (levels.groupby("axis")["near"].sum() == 20).all(), "a twentieth of 400"
    out = nearest.stands_out(levels).set_index(["axis", "level"])
    assert out.loc[("steps", "500"), "share"] == 1 and out.loc[("steps", "500"), "low"] > 0.8
    assert out.loc[("steps", "20,000"), "share"] == 0
    assert len(out) < len(levels) / 4


# --- as the chapter shows it ---


def test_counts_are_shares_of_each_set():
    seen = {"some": nearest.reproduced(observed_of([3, 3, 5, 0])), "one": nearest.reproduced(observed_of([12]))}
    found = nearest.counts_reproduced(seen).set_index(["set", "reproduced"])["share"]
    assert found["some", 3] == 0.5 and found["some", 5] == found["some", 0] == 0.25 and found["one", 12] == 1
    assert (found.groupby("set").sum() == 1).all() and len(found) == 2 * (len(OBSERVATIONS) + 1)


def test_the_panel_has_the_observations_of_each_universe_in_the_order_that_is_asked_for():
    panel = nearest.best_panel(observed_of([3, 5, 4]), [1, 2])
    assert list(panel["row"].unique()) == list(OBSERVATIONS) and list(panel["column"].unique()) == ["1", "2"]
    assert panel.groupby("column")["value"].sum().to_dict() == {"1": 5.5, "2": 4.5}


# --- pictures ---


def test_the_lines_are_the_shares_and_the_nominal_universe_is_named():
    frame = nearest.counts_reproduced({"some": nearest.reproduced(observed_of([3, 3, 5, 0]))})
    spec = pictures.shares_by_count(frame, "observations", 5, "the nominal universe").to_dict()
    (chart,) = spec["concat"]
    line, dots, rule, name = chart["layer"]
    drawn = spec["datasets"][(dots.get("data") or chart["data"])["name"]]
    assert {row["reproduced"]: row["share"] for row in drawn if row["share"]} == {0: 0.25, 3: 0.5, 5: 0.25}
    assert spec["datasets"][rule["data"]["name"]] == [{"reproduced": 5, "name": "the nominal universe"}]
    assert name["encoding"]["text"]["field"] == "name" and line["mark"]["type"] == "line"


def test_each_axis_has_a_panel_with_its_levels_their_intervals_and_what_was_drawn():
    sampled = multiverse.sample("sobol")[:100]
    judged = Judged(pd.DataFrame(), observed_of([k % 7 for k in range(100)]))
    levels = nearest.near_levels(judged, multiverse.codes(sampled))
    spec = pictures.levels_of_near(levels).to_dict()
    assert [chart["title"] for chart in spec["concat"]] == list(AXES)
    for chart, (_, own) in zip(spec["concat"], levels.groupby("axis", sort=False), strict=True):
        bars, drawn, dots = chart["layer"]
        assert (bars["encoding"]["x"]["field"], bars["encoding"]["x2"]["field"]) == ("low", "high")
        assert (drawn["encoding"]["x"]["field"], dots["encoding"]["x"]["field"]) == ("drawn", "share")
        assert dots["encoding"]["y"]["sort"] == list(own["level"])
