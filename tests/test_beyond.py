"""What stands beyond the paper: the rules, on made-up runs and on the stored ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, history

from companion.core.settings import MASKS, Settings
from companion.judging import beyond, claims
from companion.judging.beyond import BEYOND, CHAMFER, TRANSPORT, is_compatible, with_attractor
from companion.judging.chance import chance_level
from companion.judging.ledger import beyond_table
from companion.judging.verdicts import DOES_NOT_HOLD, HOLDS, IN_PART, ON_MARGIN, POSITION, Study

SIZES, SEEDS = (3, 5), 40
E = "reconstruction_error"


@pytest.fixture(scope="module")
def stored() -> pd.DataFrame:
    return beyond.labelled_runs(ROOT)


def made_up(error: float = 0.1, rmse: float = 0.01, chance: float = 0.3, **changes: float) -> Study:
    """Runs in which every mask with an attractor has one error, the others another, and all fit alike; `changes` are
    errors of single groups, such as o110_3 for "110 transport" at N = 3."""
    numbers = np.random.default_rng(0)
    names = [*(mask for mask, on in MASKS.items() if not on.coverage), beyond.CHANCE]
    names += [f"{mask} transport" for mask, on in MASKS.items() if on.coverage]
    typical = {E: {}, POSITION: {}, "rmse": {}}
    for name in names:
        for size in SIZES:
            own = changes.get(f"o{name[:3]}_{size}", error if " " in name else chance if name == beyond.CHANCE else 1.0)
            typical[E][name, size] = own * np.exp(0.1 * numbers.normal(size=SEEDS))
            typical[POSITION][name, size] = 0.5 * typical[E][name, size]
            fit = rmse if " " in name else 0.01
            typical["rmse"][name, size] = fit + 0.001 * numbers.normal(size=SEEDS)
    return Study(typical)


def test_labels_name_what_differs_and_nothing_else():
    both = {"attractor": "transport", "balance": 10.0, "anneal": True}
    assert Settings("100", **both).label == "100"
    assert Settings("110").label == "110 coverage" and TRANSPORT.but(mask="110").label == "110 transport"
    assert Settings("111", **both).label == "111 transport κ=10 annealed"
    assert TRANSPORT.but(mask="011", anneal=True).label == "011 transport annealed"


def test_an_attractor_is_compatible_if_positions_are_below_chance_and_the_fit_as_good():
    verdict = is_compatible(made_up(), TRANSPORT)
    assert verdict.verdict == HOLDS and len(verdict.cases) == 3 * len(SIZES)
    assert is_compatible(made_up(rmse=0.005), TRANSPORT).verdict == HOLDS


def test_it_is_not_if_positions_are_above_chance_or_the_fit_pays():
    above, paying = is_compatible(made_up(error=0.4), TRANSPORT), is_compatible(made_up(rmse=0.1), TRANSPORT)
    assert above.verdict == paying.verdict == DOES_NOT_HOLD
    assert above.contradicted.all() and paying.contradicted.all()
    assert is_compatible(made_up(rmse=0.03), TRANSPORT).verdict == ON_MARGIN


def test_a_single_bad_case_leaves_it_in_part_and_is_the_one_contradicted():
    verdict = is_compatible(made_up(o110_3=0.5), TRANSPORT)
    assert verdict.verdict == IN_PART
    assert [case.name for case, bad in zip(verdict.cases, verdict.contradicted, strict=True) if bad] == ["100, N = 3"]


def test_missing_groups_are_named():
    with pytest.raises(ValueError, match="011 chamfer"):
        is_compatible(made_up(), CHAMFER)


def test_the_attractor_s_masks_stand_in_coverage_s_place():
    study = made_up(error=0.9)
    turned = with_attractor(study, TRANSPORT)
    assert turned.masks == list(MASKS)
    for mask, on in MASKS.items():
        name = f"{mask} transport" if on.coverage else mask
        np.testing.assert_array_equal(turned.raw[E][mask, 5], study.raw[E][name, 5])


def test_with_coverage_the_claim_is_the_paper_s_own(stored):
    runs = stored[stored["label"].isin([Settings(mask).label for mask in MASKS])]
    ours = beyond.claim_with(beyond.Study.of(stored, by=("label", "size")), Settings())
    theirs = claims.coverage_is_sufficient(runs)
    np.testing.assert_array_equal(ours.p_for, theirs.p_for)
    np.testing.assert_array_equal(ours.supported, theirs.supported)


def test_chance_is_a_seed_s_mean_over_draws(stored):
    few = stored[stored["seed"].isin([2000, 2003]) & (stored["size"] == 3)]
    found = beyond.study_of(few).raw
    for metric in (E, POSITION):
        level = chance_level(3, [2000, 2003], metric=metric).mean(-1)
        np.testing.assert_allclose(found[metric][beyond.CHANCE, 3], level)


def test_chance_is_that_of_the_runs_own_target(stored):
    few = stored[stored["seed"].isin([2000, 2003]) & (stored["size"] == 3)]
    found = beyond.study_of(few.assign(target="line")).raw[E][beyond.CHANCE, 3]
    np.testing.assert_allclose(found, chance_level(3, [2000, 2003], target="line").mean(-1))
    with pytest.raises(ValueError, match="targets line, sine were given; allowed are runs of one target"):
        beyond.study_of(few.assign(target=np.where(few["seed"] == 2000, "line", "sine")))
    with pytest.raises(ValueError, match="label 'chance' was given; allowed are labels of settings"):
        beyond.study_of(few.assign(label=few["label"].replace("000", "chance")))


def test_a_folder_is_itself_wherever_the_process_goes(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    assert beyond.judge_beyond(Path())["B2"].verdict in (HOLDS, IN_PART, DOES_NOT_HOLD)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="root: .* was given; allowed is a folder that holds"):
        beyond.judge_beyond(Path())


def test_the_rules_were_committed_before_their_runs():
    """History: `companion/beyond.py` (its path then) and the parameters came before the experiment's first file."""
    rules, runs = (
        history("log", "--format=%H", "--diff-filter=A", "--", path).split()
        for path in ("companion/beyond.py", "data/attractors.parquet")
    )
    if not rules or not runs:
        pytest.skip("the history here is not the one in which the book was written")
    assert rules[-1] != runs[-1] and history("merge-base", rules[-1], runs[-1]) == rules[-1]


def test_every_row_of_the_table_leads_to_its_section():
    lines = [line for line in (ROOT / "_beyond.md").read_text(encoding="utf-8").splitlines() if line.startswith("| **")]
    assert len(lines) == len(BEYOND) + 1, "and the referee's"
    for line, (key, row) in zip(lines, BEYOND.items(), strict=False):
        assert f"**{key}** {row.says} (@sec-{row.section})" in line and row.stated
    assert beyond_table({}).count("\n") == 1
