"""The search for a universe in which all that the paper reports is seen, on universes of a few short runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from companion.judging.multiverse import OBSERVATIONS
from companion.studies import search
from companion.sweeps.universes import AXES, NOMINAL, Level, Universe

SHORT = NOMINAL.but(steps=Level("2", {"steps": 2}))
HEATED = 10.0


def runs_with(expelled: dict[str, float]) -> pd.DataFrame:
    rows = [
        {"mask": mask, "size": 5, "seed": seed, "expelled_fraction": value}
        for mask, value in expelled.items()
        for seed in (1, 2)
    ]
    return pd.DataFrame(rows)


def test_all_observations_count_the_same():
    assert set(search.WORTH) == {*OBSERVATIONS, "C8"} and len(set(search.WORTH.values())) == 1
    assert search.worth(dict.fromkeys(search.WORTH, 1.0)) == len(search.WORTH)
    assert search.worth(dict.fromkeys(search.WORTH, 0.0) | {"C3": 0.5}) == 0.5


@pytest.mark.parametrize(
    ("cold", "hot", "share"), [(0.4, 0.9, 1.0), (0.6, 0.9, 0.5), (0.4, 0.45, 0.5), (0.6, 0.45, 0.0)]
)
def test_c8_asks_for_no_expulsion_at_its_temperature_and_for_some_at_a_thousand_times_that(
    cold, hot, share, monkeypatch
):
    asked = []

    def heated(groups, **_):
        asked.extend(groups)
        return pd.DataFrame({"expelled_fraction": [hot, hot]})

    monkeypatch.setattr(search, "run_groups", heated)
    found = search.only_when_hot(NOMINAL, runs_with({"000": 0.4, "001": cold}), size=5)
    assert found == share
    (group,) = asked
    assert group.settings == NOMINAL.settings("001", 5).but(temperature=0.1) and group.seeds == (1, 2)


def test_a_look_gives_every_observation_its_share(monkeypatch):
    monkeypatch.setattr(search, "only_when_hot", lambda universe, runs: 0.5)
    found = search.look(SHORT, seeds=(1, 2, 3))
    assert set(found) == set(search.WORTH) and all(0 <= share <= 1 for share in found.values())


def test_a_search_goes_on_where_it_stopped(tmp_path: Path, monkeypatch):
    """Its own objective, but for the training: a universe is worth as many observations as it has levels of place 1."""

    def seen(universe: Universe) -> dict[str, float]:
        places = [levels.index(level) for levels, level in zip(AXES.values(), universe.levels, strict=True)]
        ones = sum(place == 1 for place in places)
        return {name: float(k < ones) for k, name in enumerate(search.WORTH)}

    monkeypatch.setattr(search, "run_universes", lambda numbered, **_: pd.DataFrame({"universe": [numbered[0]]}))
    monkeypatch.setattr(search, "found", lambda runs: runs)
    monkeypatch.setattr(search, "observe", lambda runs: seen(runs["universe"].iloc[0]))
    monkeypatch.setattr(search, "look", seen)
    journal = tmp_path / "search.journal"
    before = search.search(journal, 4)
    after = search.search(journal, 3)
    assert after["trial"].tolist() == list(range(7))
    assert after.loc[0, list(AXES)].to_dict() == NOMINAL.names and after["worth"].iloc[0] == 0
    pd.testing.assert_frame_equal(after.head(4), before)
    worth = after[list(search.WORTH)].sum(axis=1)
    np.testing.assert_array_equal(after["worth"], worth)
    named = after[list(AXES)].apply(lambda row: sum(row[axis] == AXES[axis][1].name for axis in AXES), axis=1)
    assert (worth == np.minimum(named, len(search.WORTH))).all() and worth.nunique() > 1
