"""Results of the book in other universes, on made-up runs and words whose answer is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_multiverse import RIGHT, world

from companion.core.settings import MASKS
from companion.judging.multiverse import AS_NOMINAL
from companion.studies import multiverse, robustness
from companion.studies.multiverse import Judged
from companion.sweeps.sweep import PAPER_SIZES
from companion.sweeps.universes import FINER, MEASURED, Universe, universes

SEEDS = range(7000, 7006)
HEATS = [level.at(3)["temperature"] for level in FINER["τ"]]


def runs_of(sampled: list[Universe], error: Callable[..., float], expelled: Callable[..., float]) -> pd.DataFrame:
    """Runs of masks 000 and 001 whose E and expelled fraction are given by universe, mask and size, with some noise."""
    noise = np.random.default_rng(0)
    rows = [
        {"universe": number, "mask": mask, "size": size, "seed": seed}
        | dict.fromkeys(MEASURED, 1.0)
        | {"reconstruction_error": error(one, mask, size) * np.exp(0.01 * noise.normal())}
        | {"expelled_fraction": np.clip(expelled(one, mask, size) + 0.01 * noise.normal(), 0, 1)}
        for number, one in enumerate(sampled)
        for mask, size, seed in itertools.product(("000", "001"), PAPER_SIZES, SEEDS)
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(MEASURED, np.float32))


def store(root: Path, name: str, runs: pd.DataFrame) -> None:
    (root / "data").mkdir(exist_ok=True)
    runs.to_parquet(root / "data" / f"multiverse-{name}-0000.parquet")


def test_a_form_that_obeys_the_crowding_law_is_told_from_those_that_do_not(tmp_path):
    """E grows with the root of τN² in the nominal form, of τN in the next, of τ in the third; not in the last."""
    powers = dict(zip(("exp(-d²/τ)", "exp(-d/√τ)", "1/(1+d²/τ)"), (2.0, 1.0, 0.0), strict=True))

    def error(one: Universe, mask: str, size: int) -> float:
        power = powers.get(one.names["separation"])
        if mask == "000" or power is None:
            return 1.0
        return float(np.sqrt(1 + 1e3 * one.settings("001", size).temperature * size**power))

    sampled = universes("finer grid", ("separation", "τ"))
    store(tmp_path, "separation-temperature", runs_of(sampled, error, lambda *_: 0.5))
    laws = robustness.crowding_laws(tmp_path)
    for form, power in powers.items():
        row = laws.loc[form]
        assert row["exponent"] == pytest.approx(power, abs=0.05)
        assert row["exponent low"] - 1e-9 <= row["exponent"] <= row["exponent high"] + 1e-9
        assert (row["exponent low"] <= 2 <= row["exponent high"]) == (power == 2)
    assert laws.loc["exp(-d²/τ)", "on crowding"] < 1.03 < 1.5 < laws.loc["exp(-d²/τ)", "on temperature"]
    assert laws.loc["1/(1+d²/τ)", "on temperature"] < 1.03 < 1.5 < laws.loc["1/(1+d²/τ)", "on crowding"]
    assert laws.loc["exp(-d²/τ)", "growth"] == pytest.approx(0.5, abs=0.02)
    assert laws.loc["nearest neighbour", "growth"] == pytest.approx(0, abs=0.01)
    assert list(robustness.law_table(laws).index) == list(laws.index) == [*powers, "nearest neighbour"]


def test_at_which_strengths_separation_expels_only_when_hot(tmp_path):
    """At λ up to 1 it expels from τ = 1e-2 on; above, it does at every temperature."""

    def expelled(one: Universe, mask: str, size: int) -> float:
        own = one.settings("001", size)
        hot = own.temperature > 0.005 or own.strength > 1
        return 0.9 if mask == "001" and hot else 0.2

    sampled = universes("finer grid", ("λ", "τ"))
    store(tmp_path, "strength-temperature", runs_of(sampled, lambda *_: 1.0, expelled))
    hot = robustness.hot_by_strength(tmp_path)
    assert (hot["cases"] == len(PAPER_SIZES)).all() and len(hot) == 9
    assert (hot.loc[hot.index <= 1, "mean"] == 6).all() and (hot.loc[hot.index > 1, "mean"] == 0).all()


def claims_of(seen: dict[int, bool], claim: str = "C10s") -> pd.DataFrame:
    row = {"claim": claim, "reading": AS_NOMINAL, "cases": 12, "rule": 0, "by_rule": False, "effect": 0.0}
    return pd.DataFrame([row | {"universe": n, "mean": 12 * one, "by_mean": one} for n, one in seen.items()])


def judged_of(seen: dict[int, bool], fits: set[int]) -> Judged:
    claims = pd.concat([claims_of(seen, claim) for claim in robustness.ATTRACTED])
    worst = [0.01 if number in fits else 0.5 for number in seen]
    return Judged(claims, pd.DataFrame({"universe": list(seen), "worst_fit": worst}))


def test_attractors_are_compared_in_the_universes_that_have_both():
    judged = {
        "coverage": judged_of(dict.fromkeys(range(4), False), {0, 1}),
        "transport": judged_of({n: n != 1 for n in range(4)}, {1, 2}),
    }
    shares = robustness.attractor_shares(judged).set_index(["claim", "attractor"])
    assert (shares.xs("coverage", level=1)["share"] == 0).all()
    assert (shares.xs("transport", level=1)["share"] == 0.75).all()
    table = robustness.attractor_table(judged)
    assert list(table.columns) == [
        "coverage, all",
        "transport, all",
        "coverage, the 1 that fit",
        "transport, the 1 that fit",
    ]
    assert table.loc["C10s", "transport, all"].startswith("75.0% [") and (table.iloc[:, 3].str.startswith("0.0%")).all()


def test_where_transport_fails_is_found_on_its_axis():
    sampled = multiverse.sample("sobol")[:128]
    judged = judged_of({n: one.names["steps"] != "500" for n, one in enumerate(sampled)}, set())
    effects = robustness.where_transport_fails({"transport": judged})
    assert effects["steps"] > 0.9 and effects.drop("steps").max() < 0.1 and "coverage" not in effects


def test_c5_is_counted_by_optimiser_and_steps():
    sampled = multiverse.sample("sobol")[:128]
    claims = claims_of({n: one.names["steps"] == "500" for n, one in enumerate(sampled)}, "C5")
    table = robustness.fit_by_steps(Judged(claims, pd.DataFrame()))
    assert len(table) == 12 and table["universes"].sum() == 128
    assert ((table["mean share"] == 1) == (table["steps"] == "500")).all()


def test_transport_is_judged_beside_the_other_masks_of_the_same_universes(tmp_path):
    """Its file has the four masks with an attractor; the other four come from the sample's."""
    right = world(RIGHT)
    attracted = right["mask"].isin([mask for mask, on in MASKS.items() if on.coverage])
    store(tmp_path, "sobol", right.assign(reconstruction_error=right["reconstruction_error"].where(~attracted, 9)))
    store(tmp_path, "transport", right[attracted])
    path = multiverse.runs_of(tmp_path, "transport")[0]
    found = multiverse._judge_file(("transport", path, (0,)))
    assert found.claims["by_mean"].all() and (found.claims["sample"] == "transport").all()
    spoiled = multiverse._judge_file(("sobol", multiverse.runs_of(tmp_path, "sobol")[0], (0,)))
    assert not spoiled.of_claims.set_index("claim").loc["C1", "by_mean"]
