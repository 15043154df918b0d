"""The referee's rules, sweep and stored runs: what is asked where, what survives, and that the files are complete."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT

from companion.core.data import sample_cloud
from companion.core.hull import expelled_fraction
from companion.core.metrics import reconstruction_error, specialization_ratio, value_error
from companion.core.network import GEOMETRIES, output, ridge_prototypes, starting_batch
from companion.core.settings import MASKS, Settings
from companion.core.tables import TABLES, table_task
from companion.judging import referee
from companion.judging.claims import CLAIMS
from companion.judging.referee import HOT, NOT_ASKED, judge_cell, judge_cells, survival
from companion.judging.verdicts import DOES_NOT_HOLD, HOLDS, IN_PART, UNDECIDED
from companion.studies import space
from companion.studies.space import table_outside, temperature_of
from companion.sweeps import sweep
from companion.sweeps.measures import METRICS

NAMES = ("space", "space-ridge", "tables")


@pytest.fixture(scope="module")
def runs() -> dict[str, pd.DataFrame]:
    return {name: pd.read_parquet(ROOT / f"data/{name}.parquet") for name in NAMES}


# Rules


def cell(null=(0.9, 0.5), hot=1.0, cold=0.2, sizes=(10, 30), seeds=12) -> pd.DataFrame:
    """A cell of two sizes whose separation alone expels `cold` more than Std when cold and `hot` when hot."""
    rng, rows = np.random.default_rng(0), []
    for size, outside in zip(sizes, null, strict=False):
        for mask, heat in [*((mask, 1.0) for mask in MASKS), ("001", HOT)]:
            for seed in range(seeds):
                expelled = hot if heat == HOT else cold if mask == "001" else 0.2
                rows.append(
                    {"mask": mask, "size": size, "seed": seed, "heat": heat, "attractor": "coverage", "fit_mse": 1e-4,
                     "temperature": 1e-4 * size * heat, "reconstruction_error": 1 + (mask != "010") + rng.random() / 10,
                     "position_error": 0.1, "specialization_ratio": 0.5,
                     "expelled_fraction": expelled + rng.uniform(0, 0.01),
                     "fresh_outside": outside, "dimension": 2, "density": "uniform"}
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_a_cell_is_judged_by_the_claims_own_rules():
    found = judge_cell(cell())
    nominal = cell().query("heat == 1")
    assert list(found) == list(CLAIMS)
    for key in set(CLAIMS) - {"C8"}:
        assert found[key] == CLAIMS[key].rule(nominal).verdict
    assert found["C1"] == HOLDS
    others = pd.concat([cell(), cell().query("mask == '010'").assign(attractor="transport", reconstruction_error=9.0)])
    assert judge_cell(others) == found, "transport is no part of the paper's claims"


def test_c8_takes_the_nominal_temperature_as_cold_whatever_its_value():
    """τ depends on N: as it stands it would name four temperatures."""
    assert judge_cell(cell())["C8"] == HOLDS
    assert judge_cell(cell(hot=0.2))["C8"] == DOES_NOT_HOLD
    assert judge_cell(cell(cold=0.9))["C8"] == DOES_NOT_HOLD


def test_what_the_hull_cannot_say_is_not_asked():
    assert judge_cell(cell(null=(0.96, 0.97)))["C6"] == judge_cell(cell(null=(0.96, 0.97)))["C8"] == NOT_ASKED
    # At one size the null leaves room: the other size, where C8 would fail, takes no part.
    mixed = pd.concat([cell(null=(0.96,), sizes=(10,), hot=0.2), cell(null=(0.5,), sizes=(30,))])
    assert judge_cell(mixed)["C8"] == HOLDS
    mixed["fresh_outside"] = 0.5
    assert judge_cell(mixed)["C8"] != HOLDS
    assert judge_cell(cell(null=(0.95, 0.95)))["C8"] != NOT_ASKED


def test_one_size_is_not_asked_what_compares_sizes():
    one = judge_cell(cell(null=(0.5,), sizes=(30,)))
    assert {key for key, verdict in one.items() if verdict == NOT_ASKED} == {"C4", "C7", "C9"}


def table_of(home: dict[str, str], other: dict[str, str]) -> pd.DataFrame:
    places = [(1, "uniform", home), (4, "bell", other)]
    return pd.DataFrame(
        [{"dimension": d, "density": name, "claim": k, "verdict": v} for d, name, row in places for k, v in row.items()]
    )


def test_survival_counts_what_holds_at_home():
    home = {"C1": HOLDS, "C2": IN_PART, "C3": DOES_NOT_HOLD, "C4": UNDECIDED, "C5": HOLDS}
    found = survival(table_of(home, {"C1": IN_PART, "C2": DOES_NOT_HOLD, "C3": HOLDS, "C4": HOLDS, "C5": NOT_ASKED}))
    assert dict(zip(found.cases["claim"], found.cases["outcome"], strict=True)) == {
        "C1": "supported",
        "C2": "contradicted",
    }
    assert found.verdict == IN_PART
    assert survival(table_of({"C1": HOLDS}, {"C1": HOLDS})).verdict == HOLDS
    assert survival(table_of({"C1": HOLDS}, {"C1": UNDECIDED})).verdict == UNDECIDED
    assert survival(table_of({"C1": HOLDS}, {"C1": DOES_NOT_HOLD})).verdict == DOES_NOT_HOLD
    assert survival(table_of({"C1": UNDECIDED}, {"C1": HOLDS})).verdict == UNDECIDED
    with pytest.raises(ValueError, match="verdicts"):
        survival(table_of(home, home).query("dimension == 4"))


def test_the_tables_of_verdicts_count_other_cells_of_each_dimension():
    home = {"C1": HOLDS, "C2": IN_PART, "C3": DOES_NOT_HOLD}
    verdicts = table_of({**dict.fromkeys(CLAIMS, DOES_NOT_HOLD), **home}, {"C1": HOLDS, "C2": UNDECIDED, "C3": HOLDS})
    table = space.survival_table(verdicts)
    assert table.index[0] == "C1 Cov has the lowest E" and len(table) == len(CLAIMS)
    assert table.iloc[:3].to_numpy().tolist() == [
        ["✓ holds", "–", "1 of 1"],
        ["◐ holds in part", "–", "0 of 1"],
        ["✗ does not hold", "–", "–"],
    ]
    assert space.only_elsewhere(verdicts).to_dict() == {"C3": 1}
    other = table_of({}, {"C1": HOLDS, "C2": HOLDS})
    assert space.same_verdicts(verdicts, other).tolist() == [True, False]


def test_errors_are_counted_and_compared_training_set_by_training_set():
    """Two dimensions; coverage is lowest of the masks in one of them, transport below chance in the other.

    Position errors are a tenth of E; by them all are below their chance but overlap with transport.
    """
    runs = pd.DataFrame(
        [
            {"neuron": "radial", "dimension": d, "density": "bell", "size": 5, "mask": mask, "attractor": pull,
             "heat": heat, "seed": seed, "reconstruction_error": own * heat, "position_error": own * heat / 10,
             "chance": 0.5, "chance_position": 0.2, "fresh_outside": d / 10}
            for d, lowest in ((1, "010"), (4, "000"))
            for mask, pull, own in [*((mask, "coverage", 1 - 0.1 * (mask == lowest)) for mask in MASKS),
                                    ("010", "transport", 0.2 * d), ("110", "transport", 9.0)]
            for heat in (1.0, HOT)
            for seed in (1, 2, 3)
        ]
    )  # fmt: skip
    errors, chance = space.median_errors(runs), space.median_chance(runs)
    assert space.below_chance(errors, chance).loc[["000 Std", "transport"]].tolist() == [0, 1]
    lowest = space.lowest_masks(errors)
    assert lowest[5].tolist() == ["010", "000"]
    verdicts = pd.DataFrame({"dimension": [4, 1], "density": "bell", "claim": "C1", "verdict": [UNDECIDED, HOLDS]})
    assert space.where_c1_is_undecided(lowest, verdicts)[5].tolist() == ["000"]
    curves = space.error_curves(runs, size=5)["bell"]
    assert list(curves["curve"].unique()) == [*space.CURVES, "untrained", "chance"]
    table = space.curve_table(curves, "median E")
    assert table.loc["transport"].tolist() == pytest.approx([0.2, 0.8]) and table.loc["chance"].tolist() == [0.5, 0.5]
    positions = space.curve_table(space.error_curves(runs, 5, "position_error")["bell"], "position error")
    assert positions.loc["transport"].tolist() == pytest.approx([0.02, 0.08])
    assert positions.loc["chance"].tolist() == [0.2, 0.2]
    gained = {name: len(space.gained_by_position(runs, name)) for name in ("000 Std", "transport")}
    assert gained == {"000 Std": 2, "transport": 1} and not space.gained_by_position(runs, "overlap with transport")
    assert space.by_dimension(runs, "fresh_outside").loc[("bell", 5)].tolist() == pytest.approx([0.1, 0.4])
    errors, positions = (space.table_errors(runs, f"{metric}_error") for metric in ("reconstruction", "position"))
    assert errors.loc[("bell", "radial"), ["transport", "chance", "null"]].tolist() == pytest.approx([0.5, 0.5, 0.1])
    assert positions.loc[("bell", "radial"), ["transport", "chance"]].tolist() == pytest.approx([0.05, 0.2])


@pytest.mark.parametrize("neuron", ["radial", "ridge"])
def test_untrained_is_where_the_runs_started(neuron):
    cells = space.design([neuron], space.training_sets([2, 3], ["clusters"], [4]), [8001, 8000], Settings(steps=0))
    runs = space.run_cells(cells, progress=False)
    std, found = runs[runs["mask"] == "000"], space.untrained(runs)
    for metric in METRICS:
        np.testing.assert_allclose(found[metric], std[metric], rtol=1e-12)
    assert found[space.PLACE].to_numpy().tolist() == std[space.PLACE].to_numpy().tolist()


def test_on_the_line_a_ridge_neuron_s_runs_are_the_radial_ones():
    radial = pd.DataFrame({"dimension": [1, 1, 2], "density": ["bell", "uniform", "bell"], "run": [0, 1, 2]})
    ridge = pd.DataFrame({"dimension": [2], "density": ["bell"], "run": [3]})
    assert space.with_the_line(ridge, radial)["run"].tolist() == [0, 3]


# The sweep


def test_a_sweep_is_the_same_with_a_store_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    sets = space.training_sets([2], ["bell"], [4], ["linnerud-2"])
    cells = space.design(["ridge"], sets, [1, 2], Settings(steps=3))
    with ThreadPoolExecutor(1) as executor:
        how = {"engine": "torch", "executor": executor}
        whole = space.run_cells(cells, **how)
        space.run_cells(cells[:5], **how, store=tmp_path / "store")
        trained, run_batch = [], sweep.run_batch
        monkeypatch.setattr(sweep, "run_batch", lambda batch: trained.append(batch) or run_batch(batch))
        again = space.run_cells(cells, **how, store=tmp_path / "store")
    assert len(trained) == len(cells) - 5
    columns = [name for name in whole if name not in space.KEPT]
    pd.testing.assert_frame_equal(whole[columns], again[columns])
    assert len(whole) == 2 * 2 * 11 and whole["reconstruction_error"].notna().all()
    runs, networks = (pd.read_parquet(path) for path in space.write_space(again, tmp_path / "a.parquet"))
    assert list(runs) == columns and len(networks) == 11 and set(networks["density"]) == {"linnerud-2"}


def test_rows_stand_in_the_order_of_the_cells_each_beside_its_own_training_set():
    cells = space.design(["ridge", "radial"], space.training_sets([2, 1], ["bell"], [5, 4]), [2, 1], Settings(steps=1))
    table = space.run_cells(cells, engine="torch")
    names = ("neuron", "dimension", "density", "mask", "attractor")
    expected = [
        (*(getattr(cell.group.settings, name) for name in names), cell.group.size, cell.heat, seed)
        for cell in cells
        for seed in cell.group.seeds
    ]
    keys = [*names, "size", "heat", "seed"]
    assert list(table[keys].itertuples(index=False, name=None)) == expected and list(table) == space.COLUMNS
    for (dimension, size, seed), rows in table.groupby(["dimension", "size", "seed"]):
        place = Settings(neuron="radial", dimension=dimension, density="bell", target="diagonal")
        assert set(rows["fresh_outside"]) == {space.fresh_outside(size, seed, place)}
        assert set(rows["chance"]) == {np.median(space.chance_in(size, [seed], place))}
        assert set(rows["chance_position"]) == {np.median(space.chance_position_in(size, [seed], place))}
        assert set(rows["temperature"] / rows["heat"]) == {temperature_of(size, dimension, "bell")}


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"neurons": ["flat"]}, "neurons"), ({"densities": ["normal"]}, "densities"), ({"dimensions": [0]}, "dimensions"),
     ({"sizes": [1]}, "sizes"), ({"tables": ["iris"]}, "tables"), ({"seeds": [0, 0]}, "seeds"),
     ({"seeds": []}, "seeds"),
     ({"neurons": []}, "neurons"), ({"dimensions": []}, "no training set")],
)  # fmt: skip
def test_a_design_refuses_what_is_not_allowed(changed, words):
    good = {"neurons": ["radial"], "dimensions": [2], "densities": ["bell"], "sizes": [4], "seeds": [1]} | changed
    neurons, seeds = good.pop("neurons"), good.pop("seeds")
    with pytest.raises(ValueError, match=words):
        space.design(neurons, space.training_sets(**good), seeds)


# Entropic transport


def test_entropic_transport_tends_to_the_exact_one_and_blurs_as_it_grows():
    x, _, (w, b, _, _) = starting_batch(8, [3], Settings(neuron="ridge", dimension=2, target="diagonal"))
    positions = ridge_prototypes(w, b, x.mean(-2))[0].numpy()
    exact = space.exact_transport(x[0].numpy(), positions)
    nearly, blurred, mean = (space.entropic_transport(x[0].numpy(), positions, e) for e in (2e-3, 0.1, 1e4))
    assert nearly.value == pytest.approx(exact.value, rel=2e-3) and space.alignment(exact, nearly) > 0.999
    assert exact.value < nearly.value < blurred.value < mean.value
    # Without bound the plan is even: each prototype is pulled to the samples' mean.
    np.testing.assert_allclose(mean.gradient, 2 / 8 * (positions - x[0].numpy().mean(0)), atol=1e-4)


# Tables


def test_a_table_is_the_caller_s_own():
    mine = table_task("linnerud-2")
    mine.x.zero_()
    mine.others_x[:] = 0
    assert table_task("linnerud-2").x.abs().sum() > 1


def test_tables_are_as_their_rule_says():
    rows = {"diabetes-2": (100, 2, 342), "diabetes-4": (100, 4, 342), "linnerud-2": (20, 2, 0)}
    for name in TABLES:
        task = table_task(name)
        assert (*task.x.shape, len(task.others_x)) == rows[name]
        for values in (task.x, task.y.unsqueeze(-1)):
            torch.testing.assert_close(values.min(0).values, torch.zeros_like(values[0]), atol=1e-12, rtol=0)
            torch.testing.assert_close(values.max(0).values, torch.ones_like(values[0]))
        centred = task.x - task.x.mean(0)
        correlations = np.corrcoef(centred.T)
        np.testing.assert_allclose(correlations, np.eye(len(correlations)), atol=1e-10)  # principal components
        assert 0 < table_outside(name) < 1
    two, four = table_task("diabetes-2"), table_task("diabetes-4")
    torch.testing.assert_close(two.x, four.x[:, :2])


# What is stored


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_stored_runs_are_complete_and_as_their_parameters_say(name, runs):
    given, table = yaml.safe_load((ROOT / f"data/{name}.yaml").read_text(encoding="utf-8")), runs[name]
    given.pop("out")
    neurons, seeds = given.pop("neurons"), given.pop("seeds")
    given = {"dimensions": [], "densities": [], "sizes": []} | given
    cells = space.design(neurons, space.training_sets(**given), seeds)
    keys = ["neuron", "dimension", "density", "mask", "attractor", "heat", "size"]
    expected = {
        (s.neuron, s.dimension, s.density, s.mask, s.attractor, heat, size, seed)
        for (s, size, seeds), heat in cells
        for seed in seeds
    }
    assert len(table) == len(expected) and set(table[[*keys, "seed"]].itertuples(index=False, name=None)) == expected
    assert min(seeds) == 3000 and max(seeds) == 3029
    assert table[list(METRICS)].notna().all(axis=None), "no run was lost"
    for part in ("position_error", "value_error"):  # neither is more than the whole, but for rounding
        assert (table[part] <= table["reconstruction_error"] * (1 + 1e-12)).all()
    assert (table["chance_position"].fillna(0) <= table["chance"].fillna(0)).all()
    assert (table["chance_position"].isna() == (table["density"] == "linnerud-2")).all()
    assert {"torch", "numpy", "scipy", "numba"} <= set(table.attrs["versions"])
    for (dimension, density, size), part in table[table["heat"] == 1].groupby(["dimension", "density", "size"]):
        rule = temperature_of(size, dimension, density)
        np.testing.assert_allclose(part["temperature"], rule, rtol=1e-9)
    hot = table[table["heat"] != 1]
    assert set(hot["heat"]) == {HOT} and set(hot["mask"]) == {"001"}


@pytest.mark.parametrize("name", NAMES)
def test_stored_networks_give_the_stored_measures(name, runs):
    networks = pd.read_parquet(ROOT / f"data/{name}-networks.parquet")
    assert len(networks) >= 22
    for row in networks.itertuples():
        d = row.dimension
        x, w = (torch.tensor(np.reshape(given, (-1, d))) for given in (row.x, row.w))
        b = torch.tensor(np.reshape(row.b, (-1, d)) if row.neuron == "radial" else row.b)
        y, a, c = torch.tensor(row.y), torch.tensor(row.a), torch.tensor(row.c[0])
        geometry = GEOMETRIES[row.neuron]
        positions = geometry.peak(w, b, x)
        responses = geometry.respond(x, w, b)
        values, level = output(geometry.respond(positions, w, b), a, c), torch.zeros_like(y)
        again = [
            float(((output(responses, a, c) - y) ** 2).mean()),
            reconstruction_error(x, y, positions, values),
            reconstruction_error(x, level, positions, level),
            value_error(x, y, positions, values),
            specialization_ratio(responses),
            expelled_fraction(x, positions),
        ]
        assert again == pytest.approx([getattr(row, metric) for metric in METRICS], rel=1e-8, abs=1e-12)
        if row.density not in TABLES:
            assert torch.equal(x, sample_cloud(row.size, row.seed, d, row.density)[0])


def test_on_the_line_the_uniform_cell_is_the_paper_s_own_setting(runs):
    """Same start, same losses: other seeds, so medians are compared with the powered sweep's, not digits."""
    here = runs["space"].query("dimension == 1 and density == 'uniform' and heat == 1 and attractor == 'coverage'")
    powered = pd.read_parquet(ROOT / "data/powered.parquet", columns=["mask", "size", "reconstruction_error"])
    ours, theirs = (
        part[part["size"].isin((10, 100))].groupby(["mask", "size"])["reconstruction_error"].median()
        for part in (here, powered)
    )
    assert (np.log(ours / theirs).abs() < np.log(1.6)).all()
    assert np.log(ours / theirs).abs().median() < np.log(1.2)


@pytest.mark.slow
def test_the_ledger_s_row_is_made_of_the_stored_verdicts(runs):
    found, row = survival(judge_cells(runs["space"])), referee.stored_row(ROOT)
    survived = found.cases["outcome"] == "supported"
    assert row.verdict == found.verdict and row.says == referee.STATEMENT
    assert row.counts.startswith(f"30 seeds: {survived.sum()} of {len(found.cases)}, ")
    assert 0 < len(found.cases) <= 19 * 10 and "19 other cells" in row.compared
    for claim, group in survived.groupby(found.cases["claim"]):
        assert f"{claim} in {group.sum()} of {len(group)}" in row.by_claim.split("; ")


def test_a_sweep_s_files_have_the_columns_and_types_of_the_stored_ones(tmp_path, runs):
    cells = space.design(["radial"], space.training_sets([2], ["bell"], [30]), [1, 2], Settings(steps=1))
    made = [pd.read_parquet(path) for path in space.write_space(space.run_cells(cells), tmp_path / "a.parquet")]
    for table, stored in zip(made, (runs["space"], pd.read_parquet(ROOT / "data/space-networks.parquet")), strict=True):
        assert dict(table.dtypes) == dict(stored.dtypes) and list(table) == list(stored)
    assert len(made[0]) == 22 and len(made[1]) == 11
    for name in space.KEPT:
        assert len(made[1][name][0]) == {"y": 30, "a": 30, "c": 1, "values": 30}.get(name, 60)
