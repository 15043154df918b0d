"""The stored results: complete, as their dictionary says, and equal to what their own weights give."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT

from companion.core.data import sample_task
from companion.core.metrics import (
    expelled_fraction,
    position_error,
    reconstruction_error,
    specialization_ratio,
    value_error,
)
from companion.core.network import activations, predict, prototypes
from companion.core.settings import MASKS, Settings
from companion.judging.beyond import labelled_runs
from companion.studies.replication import same_order
from companion.sweeps.measures import METRICS
from companion.sweeps.runs import settings_in
from companion.sweeps.sweep import PAPER_SEEDS, PAPER_SIZES

ATTRACTORS = [f"attractors{part}" for part in ("", "-chamfer-transport", "-balance", "-annealed", "-strength")]


@pytest.fixture(params=["replication", "powered", "temperature", "strength", "plain", *ATTRACTORS])
def table(request) -> pd.DataFrame:
    if request.param in ATTRACTORS:
        return pd.read_parquet(ROOT / f"data/{request.param}.parquet")
    return request.getfixturevalue(request.param)


def test_the_replication_is_the_paper_s_design_with_no_run_dropped(replication):
    keys = replication[["mask", "size", "seed"]]
    design = {(mask, size, seed) for mask in MASKS for size in PAPER_SIZES for seed in PAPER_SEEDS}
    assert len(replication) == 480 and set(keys.itertuples(index=False, name=None)) == design
    settings = {"strength": 1.0, "temperature": 1e-4, "steps": 2000, "learning_rate": 0.01, "dtype": "float64"}
    assert all((replication[name] == value).all() for name, value in settings.items())


def test_the_powered_sweep_is_the_same_design_with_two_hundred_seeds(powered, replication):
    keys = ["mask", "size", "seed"]
    design = {(mask, size, seed) for mask in MASKS for size in PAPER_SIZES for seed in range(1000, 1200)}
    assert len(powered) == 9600 and set(powered[keys].itertuples(index=False, name=None)) == design
    ten = powered[powered["seed"].isin(PAPER_SEEDS)].reset_index(drop=True)
    pd.testing.assert_frame_equal(ten[replication.columns], replication)  # bit for bit


def test_the_temperature_sweep_has_every_temperature(temperature):
    keys = temperature[["mask", "size", "seed", "temperature"]]
    heats = [number * 10.0**power for power in range(-5, 1) for number in (1, 3)] + [10.0]
    assert len(temperature) == len(keys.drop_duplicates()) == 2 * len(PAPER_SIZES) * 30 * len(heats)
    np.testing.assert_allclose(sorted(keys["temperature"].unique()), heats)
    assert set(keys["mask"]) == {"000", "001"} and set(keys["seed"]) == set(range(1000, 1030))


def test_the_strength_sweep_is_separation_alone_at_four_strengths(strength, temperature):
    keys = strength[["strength", "size", "seed", "temperature"]]
    assert len(strength) == len(keys.drop_duplicates()) == 4 * 2 * 30 * 7 and set(strength["mask"]) == {"001"}
    assert set(keys["strength"]) == {0.01, 0.1, 10.0, 100.0} and set(keys["size"]) == {10, 100}
    assert set(keys["temperature"]) <= set(temperature["temperature"]) and set(keys["seed"]) == set(range(1000, 1030))


def test_the_attractors_are_every_combination_at_a_hundred_seeds_once():
    runs = labelled_runs(ROOT)
    plain = runs[(runs["balance"] == 1) & ~runs["anneal"]]
    assert len(plain) == 16 * 6 * 100 and plain["label"].nunique() == 4 + 4 * 3
    assert not runs.duplicated(["label", "size", "seed"]).any() and set(runs["seed"]) == set(range(2000, 2100))
    assert (runs.groupby(["label", "size"]).size() == 100).all() and set(runs["size"]) == set(PAPER_SIZES)
    assert not runs["seed"].isin(range(2000)).any(), "seeds that were looked at before"


@pytest.mark.parametrize("name", ["powered", "temperature", "strength", *ATTRACTORS])
def test_a_sweep_s_parameter_file_is_what_made_it(name):
    parameters = yaml.safe_load((ROOT / f"data/{name}.yaml").read_text(encoding="utf-8"))
    settings = ["mask", "size", "seed", "strength", "temperature", "attractor", "balance", "anneal"]
    table = pd.read_parquet(ROOT / "data" / parameters.pop("out"), columns=settings)
    for parameter, values in parameters.items():
        assert set(table[parameter.removesuffix("s")]) == set(values if isinstance(values, list) else [values])


def test_std_does_not_depend_on_the_temperature(temperature):
    std = temperature[temperature["mask"] == "000"].groupby(["size", "seed"])["reconstruction_error"]
    assert (std.nunique() == 1).all() and (std.size() == 13).all()


def test_the_two_files_agree_where_they_hold_the_same_runs(powered, temperature):
    keys = ["mask", "size", "seed"]
    cold = temperature[np.isclose(temperature["temperature"], 1e-4)].set_index(keys)
    shared = powered.set_index(keys).loc[cold.index]
    pd.testing.assert_series_equal(cold["reconstruction_error"], shared["reconstruction_error"], rtol=1e-12)


def test_the_plain_engine_trained_the_same_runs_with_the_same_statistics(replication, plain):
    """Rounding sends single runs elsewhere: one in twenty at these seeds; medians stay."""
    keys = ["mask", "size", "seed", "strength", "temperature", "steps"]
    pd.testing.assert_frame_equal(replication[keys], plain[keys])
    assert set(replication["engine"]) == {"fast"} and set(plain["engine"]) == {"torch"}
    elsewhere = (replication["reconstruction_error"] - plain["reconstruction_error"]).abs() > 1e-3
    assert elsewhere[replication["size"] <= 10].sum() == 0 and elsewhere.mean() < 0.1
    medians = [table.groupby(["mask", "size"])["reconstruction_error"].median() for table in (replication, plain)]
    assert ((medians[0] / medians[1] - 1).abs() < 0.1).all()


@pytest.mark.long
def test_measures_recomputed_from_the_stored_weights_agree(table):
    for row in table.iloc[:: 1 if len(table) < 1000 else 21].itertuples():  # of the large files every 21st run
        x, y, w, b, a, c = (torch.tensor(value, dtype=torch.float64) for value in row[-6:])
        positions = prototypes(w, b)
        again = {
            "fit_mse": float(((predict(x, w, b, a, c) - y) ** 2).mean()),
            "reconstruction_error": reconstruction_error(x, y, positions, predict(positions, w, b, a, c)),
            "position_error": position_error(x, positions),
            "value_error": value_error(x, y, positions, predict(positions, w, b, a, c)),
            "specialization_ratio": specialization_ratio(activations(x, w, b)),
            "expelled_fraction": expelled_fraction(x, positions),
        }
        stored = {name: getattr(row, name) for name in METRICS}
        assert again == pytest.approx(stored, rel=1e-9, abs=1e-12), (row.mask, row.size, row.seed)


@pytest.mark.long
def test_stored_training_points_are_those_of_their_seed(table):
    for (size, seed), group in table.groupby(["size", "seed"]):
        x, y = sample_task(size, seed)
        all_x, all_y = (np.stack(group[name]) for name in ("x", "y"))
        assert (all_x == x.numpy()).all()
        np.testing.assert_allclose(all_y, y.expand(len(group), -1), rtol=1e-14, atol=1e-16)


def test_versions_stand_in_the_files(table):
    assert {"companion", "python", "torch", "numpy", "scipy"} <= set(table.attrs["versions"])
    assert table.attrs["versions"]["torch"].split("+")[0] == "2.13.0"


def test_the_dictionary_names_every_column(table):
    text = (ROOT / "data/README.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`[a-z_`, ]+`) \| ", text, re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert named == list(table.columns)


@pytest.mark.parametrize(
    ("metric", "least", "share"),
    [("reconstruction_error", np.log(1.5), 0.95), ("specialization_ratio", 0.1, 0.8), ("expelled_fraction", 0.1, 0.8)],
)
def test_medians_stand_in_the_order_of_the_independent_runs(replication, metric, least, share):
    """Other seeds and other code: the same orders where the gaps are clear (few neurons make ratios tie)."""
    independent = json.loads((ROOT / "data/independent.json").read_text(encoding="utf-8"))["masks"]
    theirs = pd.DataFrame(
        {mask: {int(n): cell[metric]["median"] for n, cell in row.items()} for mask, row in independent.items()}
    )
    ours = replication.pivot_table(index="size", columns="mask", values=metric, aggfunc="median")
    scale = np.log if metric == "reconstruction_error" else np.asarray
    counts = same_order(ours.apply(scale), theirs.apply(scale), least)
    assert counts["clearly apart"].sum() > 80
    assert counts["same order"].sum() >= share * counts["clearly apart"].sum()
    large = counts.loc[[20, 50, 100]]
    assert (large["same order"] == large["clearly apart"]).all()


def test_every_row_holds_its_settings(table):
    """By name, with the levels of today: one record a combination, and the nominal ones where nothing was varied."""
    found = settings_in(table)
    columns = ["mask", "strength", "temperature", "steps", "learning_rate"]
    columns += [name for name in ("attractor", "balance", "anneal") if name in table]
    assert len(found) == len(set(found)) == len(table[columns].drop_duplicates())
    varied = {"mask": "000", "strength": 1.0, "temperature": 1e-4, "attractor": "coverage", "balance": 1.0}
    assert {one.but(**varied, anneal=False) for one in found} == {Settings()}
    assert {one.mask for one in found} == set(table["mask"])
    assert {one.temperature for one in found} == set(table["temperature"])
    assert {one.strength for one in found} == set(table["strength"])
