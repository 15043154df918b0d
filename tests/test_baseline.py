"""Comparisons with chance: known answers on made-up runs, and what is shown of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from companion.judging.chance import chance_level, chance_summary, split_error
from companion.studies import baseline
from companion.sweeps.runs import originals_and_reconstructions

SEEDS = list(range(1000, 1012))


def runs_at(metric: str, **values: np.ndarray) -> pd.DataFrame:
    """Runs of N = 3, not in the seeds' order: by mask, a metric of shape (seeds,)."""
    frames = [
        pd.DataFrame({"mask": mask[1:], "size": 3, "seed": SEEDS, metric: given}) for mask, given in values.items()
    ]
    return pd.concat(frames).sample(frac=1, random_state=0)


def test_an_error_is_compared_with_its_own_seed_s_chance_as_a_ratio():
    chance = chance_level(3, SEEDS).mean(axis=1)
    either = chance * np.where(np.arange(12) % 2, 1.1, 0.9)
    table = baseline.against_chance(
        runs_at("reconstruction_error", m000=2 * chance, m010=chance / 2, m011=either), "reconstruction_error"
    )
    rows = table.set_index("mask")
    assert rows["outcome"].to_dict() == {"000": "above", "010": "below", "011": "not told"}
    assert rows["below"].tolist() == [0, 1, 0.5]
    assert rows.loc["000", ["middle", "middle low", "middle high"]].tolist() == pytest.approx([2, 2, 2])
    assert rows.loc["010", "middle"] == pytest.approx(0.5)
    assert rows.loc["010", "p"] == pytest.approx(3 * 2 * 0.5**12)  # Holm's: the smallest of three, two-sided


def test_the_other_measures_are_compared_by_differences():
    chance = chance_level(3, SEEDS, metric="expelled_fraction").mean(axis=1)
    table = baseline.against_chance(runs_at("expelled_fraction", m000=chance + 0.1), "expelled_fraction")
    assert table["middle"].item() == pytest.approx(0.1) and table["outcome"].item() == "above"
    assert baseline.difference_table(table).loc["000 Std", "N = 3"] == "+0.10 (0.00)*"


@pytest.fixture
def compared() -> pd.DataFrame:
    columns = ["mask", "size", "below", "below low", "below high", "middle", "middle low", "middle high", "p"]
    return pd.DataFrame(
        [("010", 3, 0.5, 0.4, 0.6, 1.25, 1.1, 1.5, 0.2), ("010", 5, 0, 0, 0.02, 3, 2, 4, 1e-9)], columns=columns
    )


def test_a_comparison_is_shown_as_text_and_as_curves(compared):
    table = baseline.error_table(compared)
    assert table.loc["010 Cov"].to_numpy().tolist() == [
        [3, "0.50 [0.4, 0.6]", "1.2 [1.1, 1.5]", "0.200"],
        [5, "0.00 [0, 0.02]", "3 [2, 4]", "< 0.001"],
    ]
    assert baseline.difference_table(compared).loc["010 Cov"].tolist() == ["+1.25 (0.50)", "+3.00 (0.00)*"]
    below = baseline.curves(compared, "below")
    assert below.iloc[1][["curve", "size", "value", "low", "high"]].tolist() == ["010 Cov", 5, 0, 0, 0.02]
    assert baseline.flat(compared, 1.0)["size"].tolist() == [3, 5]


def test_chance_levels_stand_beside_their_expectation(replication):
    table = baseline.chance_levels(replication[replication["size"].isin([3, 5])])
    assert table["2/(N + 1)"].to_dict() == {3: 0.5, 5: pytest.approx(1 / 3)}
    level = np.median(chance_level(3, range(1000, 1010)))
    assert table.loc[3, "E, median"].startswith(f"{level:.2g} [")


def test_one_more_random_set_is_compared_with_the_mean_of_the_others(replication):
    single = baseline.one_more_set(replication[replication["size"] == 3])
    draws = chance_level(3, range(1000, 1010))
    assert single["value"].tolist() == [np.mean([row[0] < row[1:].mean() for row in draws])]


def test_the_parts_of_every_run_are_those_of_its_error(replication):
    few = replication[replication["size"].isin([3, 5]) & replication["mask"].isin(["000", "100"])]
    parts = baseline.error_parts(few).set_index(["mask", "size", "seed"])
    assert len(parts) == len(few)
    run = few[few["seed"] == 1004].iloc[[0]]
    position, value, expelled = (part.item() for part in split_error(*originals_and_reconstructions(run)))
    key = tuple(run[["mask", "size", "seed"]].iloc[0])
    assert parts.loc[key].tolist() == pytest.approx([position, value, expelled / position])


def test_medians_of_parts_stand_beside_their_chance_levels():
    parts = pd.DataFrame(
        {"mask": "010", "size": 3, "seed": SEEDS[:3], "matched_position_error": [1.0, 2, 6], "value_error": [1.0, 1, 3]}
    )
    row = baseline.part_medians(parts.assign(**{"owed to expelled": [0.5, 0.6, 0.9]})).loc[("010 Cov", 3)]
    levels = [chance_summary(parts, metric)["median"].item() for metric in baseline.AXES]
    assert row.tolist() == pytest.approx([2, 2 / levels[0], 1, 1 / levels[1], 0.6])
