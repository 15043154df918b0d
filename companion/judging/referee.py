"""The referee's question: which of the paper's claims survive in more dimensions and under other densities.

Every cell, that is one neuron, dimension and density, is judged by the paper's own rules
(`companion.judging.claims`), which know nothing of dimensions. The rules below were committed before seeds 3000 to 3029
were trained; those of the claims were changed after it (chapter "The ledger", section "What changed").
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from companion.core.checks import require_integer
from companion.judging.claims import CLAIMS
from companion.judging.verdicts import DOES_NOT_HOLD, HOLDS, IN_PART, UNDECIDED, Study, by_count
from companion.sweeps.runs import require_table, stored_table

HOME = (1, "uniform")
"""The paper's own cell: points drawn uniformly on the line."""
HULL_CLAIMS = ("C6", "C8")
"""Claims about expelled fractions."""
NEED_SIZES = ("C4", "C7", "C9")
"""Claims that compare sizes: one size cannot answer them."""
NULL_LIMIT = 0.95
"""Where more of the fresh points than this are outside the hull of their training set, being outside says nothing."""
HOT = 1e5
"""C8's high temperature over the nominal one: the ratio of the temperature sweep's hottest to its nominal one."""
IN_SHORT = {
    "C1": "Cov has the lowest E",
    "C2": "Cov specialises more",
    "C3": "overlap is the higher band",
    "C4": "Sep is mixed",
    "C5": "overlap fits as well",
    "C6": "overlap expels",
    "C7": "overlap ends specialization",
    "C8": "Sep expels only when hot",
    "C9": "the pattern is stable in N",
    "C10": "repulsion needs an attractor",
    "C10s": "coverage suffices",
}
"""The paper's claims in a few words, for a map's rows."""
NOT_ASKED = "not asked"
"""In place of a verdict, where a claim cannot be asked."""
STATEMENT = "What holds at d = 1, uniform, survives d ≥ 2 and other densities"
CELL = (
    "C6 and C8 speak of expelled fractions; sizes at which the mean share of fresh points outside the hull is "
    "above 0.95 are left out of them, and with no size left they are not asked. C8 takes the nominal "
    "temperature as the cold one and 10⁵ times it as the hot one. With one size C4, C7 and C9 are not asked."
)
"""The rule of `judge_cell` in words."""
SURVIVAL = (
    "One case a claim that holds or holds in part at d = 1, uniform, in this same experiment, and other cell "
    "where it is asked; supported (the claim survives there) if it holds or holds in part there, contradicted if "
    "it does not hold, open otherwise. The verdict is by count, as a claim's is; undecided if there is "
    "no case."
)
"""The rule of `survival` in words."""


def judge_cell(runs: pd.DataFrame) -> dict[str, str]:
    """Judge every claim on the runs of one cell by its own rule.

    The rule in words is `CELL`.
    Book: chapter "More dimensions, other densities", section "What survives".

    Args:
        runs: of one neuron, dimension and density: the eight masks with coverage at the nominal temperature, mask 001
            at `HOT` times it; any sizes, one row a run.

    Returns:
        A verdict for each of `companion.judging.claims.CLAIMS`: one of `companion.judging.verdicts.VERDICTS`, or
        `NOT_ASKED`.

    Raises:
        ValueError: if runs are missing or have no finite metrics.
    """
    runs = _require_cells(runs)
    runs = runs[runs["attractor"] == "coverage"]
    null = runs.groupby("size")["fresh_outside"].mean()
    telling = runs[runs["size"].isin(null.index[null <= NULL_LIMIT])]
    verdicts, nominal = {}, Study.of(runs[runs["heat"] == 1])
    for key, claim in CLAIMS.items():
        if (key in HULL_CLAIMS and telling.empty) or (key in NEED_SIZES and len(nominal.sizes) < 2):
            verdicts[key] = NOT_ASKED
        elif key in HULL_CLAIMS:
            part = both_heats(telling) if claim.data == "temperature" else telling[telling["heat"] == 1]
            verdicts[key] = claim.rule(part).verdict
        else:
            verdicts[key] = claim.rule(nominal).verdict
    return verdicts


def _require_cells(runs: pd.DataFrame) -> pd.DataFrame:
    return require_table("runs", runs, ("heat", "fresh_outside"), ("attractor", "mask", "size", "dimension", "density"))


def both_heats(runs: pd.DataFrame) -> pd.DataFrame:
    """Return masks 000 and 001 at both temperatures, in units of the nominal one, which depends on N.

    Std does not depend on the temperature: its runs are taken at both.

    Args:
        runs: as `judge_cell` takes them.

    Raises:
        ValueError: if a column is missing.
    """
    runs = _require_cells(runs)
    std = runs[(runs["mask"] == "000") & (runs["heat"] == 1)]
    both = pd.concat([std, std.assign(heat=HOT), runs[runs["mask"] == "001"]])
    return both.assign(temperature=both["heat"])


def judge_cells(runs: pd.DataFrame) -> pd.DataFrame:
    """Judge every claim in every cell.

    Book: chapter "More dimensions, other densities", section "What survives".

    Args:
        runs: one neuron, any dimensions and densities.

    Returns:
        One row a cell and claim: dimension, density, claim, verdict.

    Raises:
        ValueError: as `judge_cell`.
    """
    runs = _require_cells(runs)
    rows = [
        {"dimension": dimension, "density": density, "claim": claim, "verdict": verdict}
        for (dimension, density), cell in runs.groupby(["dimension", "density"], sort=False)
        for claim, verdict in judge_cell(cell).items()
    ]
    return pd.DataFrame(rows)


class Survival(NamedTuple):
    """What the cells say of the statement.

    Attributes:
        verdict: of the statement.
        cases: claims that hold, or hold in part, at home, in every other cell where they are asked; columns claim,
            dimension, density, verdict, outcome.
    """

    verdict: str
    cases: pd.DataFrame


def survival(verdicts: pd.DataFrame) -> Survival:
    """Judge the statement that what holds at d = 1, uniform, survives d >= 2 and other densities.

    The rule in words is `SURVIVAL`.
    Book: chapter "More dimensions, other densities", section "What survives".

    Args:
        verdicts: what `judge_cells` returned, `HOME` among its cells.

    Returns:
        The verdict and its cases.

    Raises:
        ValueError: if home is missing.
    """
    verdicts = require_table("verdicts", verdicts, keys=("dimension", "density", "claim", "verdict"))
    at_home = (verdicts["dimension"] == HOME[0]) & (verdicts["density"] == HOME[1])
    if not at_home.any():
        raise ValueError(f"verdicts: no row of d = {HOME[0]}, {HOME[1]} was given; allowed are verdicts with it")
    kept = verdicts.loc[at_home & verdicts["verdict"].isin((HOLDS, IN_PART)), "claim"]
    cases = verdicts[~at_home & verdicts["claim"].isin(kept) & (verdicts["verdict"] != NOT_ASKED)].copy()
    cases["outcome"] = np.select(
        [cases["verdict"].isin((HOLDS, IN_PART)), cases["verdict"] == DOES_NOT_HOLD],
        ["supported", "contradicted"],
        "open",
    )
    cases = cases[["claim", "dimension", "density", "verdict", "outcome"]].reset_index(drop=True)
    supported, contradicted = ((cases["outcome"] == name).to_numpy() for name in ("supported", "contradicted"))
    return Survival(by_count(supported, contradicted) if len(cases) else UNDECIDED, cases)


class LedgerRow(NamedTuple):
    """The ledger's row: cells of one line of its table, and the cases behind them."""

    verdict: str
    says: str
    compared: str
    counts: str
    by_claim: str
    cases: pd.DataFrame


def ledger_row(verdicts: pd.DataFrame, seeds: int) -> LedgerRow:
    """Return the ledger's row "referee", by the radial neuron.

    Book: chapter "More dimensions, other densities", section "What survives".

    Args:
        verdicts: what `judge_cells` returned for the radial neuron.
        seeds: how many seeds each cell has.

    Returns:
        The verdict, the statement, what is compared, how many cases are supported and contradicted, in how many other
        cells each claim survives, and the cases.

    Raises:
        ValueError: as `survival`.
    """
    seeds = require_integer("seeds", seeds, least=1)
    found = survival(verdicts)
    outcomes = found.cases["outcome"].value_counts()
    cells = found.cases[["dimension", "density"]].drop_duplicates()
    claims = found.cases.groupby("claim", sort=False)["outcome"]
    return LedgerRow(
        found.verdict,
        STATEMENT,
        f"{claims.ngroups} claims in {len(cells)} other cells",
        f"{seeds} seeds: {outcomes.get('supported', 0)} of {len(found.cases)}, "
        f"{outcomes.get('contradicted', 0)} against",
        "; ".join(f"{claim} in {(group == 'supported').sum()} of {len(group)}" for claim, group in claims),
        found.cases,
    )


def stored_row(root: Path) -> LedgerRow:
    """Return the ledger's row from the runs stored under `root`."""
    runs = stored_table(root, "space")
    return ledger_row(judge_cells(runs), runs["seed"].nunique())
