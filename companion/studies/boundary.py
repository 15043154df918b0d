"""How often the ledger's rules say what is false: real differences of runs, shifted to where no word is true any more.

`python -m companion.studies.boundary`, from the book's folder, makes `data/false-words.parquet`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from companion.judging import paired
from companion.judging.claims import CLAIMS
from companion.judging.verdicts import LEVEL, Case, Margin, Statement, Study, Test, of_cases, p_values
from companion.studies.power import stored_studies
from companion.sweeps.runs import write_runs
from companion.version import library_versions

DRAWS = 2000
"""Resampled studies of a claim and arrangement."""
PROMISE = 2 * LEVEL
"""The share of studies in which a claim has any false word, at most: both directions together."""
ALL, ONE = "all at the boundary", "one at the boundary"
"""Arrangements of a case's statements: all at the boundary, or one there and the others plainly true."""


def signed_rank(low: np.ndarray, high: float, gap: np.ndarray) -> np.ndarray:
    """Return p-values of Wilcoxon's signed-rank test, with which this book judged before: a false variant of `p_less`.

    Args:
        low, high: paired samples, shape (..., seeds), and a number.
        gap: shape (...).

    Returns:
        One-sided p-values for "low - high tends to lie below gap", shape (...).
    """
    difference = low - high - gap[..., None]
    found = wilcoxon(difference, alternative="less", zero_method="zsplit", correction=True, method="approx", axis=-1)
    return np.asarray(found.pvalue)


TESTS: dict[str, Test] = {"sign test": paired.p_less, "signed rank": signed_rank}
"""By name, the ledger's test and the one it had before."""


def at_the_boundary(study: Study, cases: list[Case], arrangement: str) -> np.ndarray:
    """Return every statement's differences, shifted so that their median lies where the statement turns false.

    The shape of the differences, skewed or with ties, is the runs' own.
    Book: chapter "The ledger", section "How often a false word".

    Args:
        study: the runs.
        cases: a claim's parts.
        arrangement: `ALL`, or `ONE`: of each case the statement whose differences are most skewed is at the boundary,
            and those beside it are plainly true.

    Returns:
        Shape (statements, seeds), in the cases' order.
    """
    rows = []
    for case in cases:
        found = [study.values(one.metric, one.first) - study.values(one.metric, one.second) for one in case.statements]
        skewness = [abs(values.mean() - np.median(values)) / (values.std() or 1.0) for values in found]
        for place, (statement, values) in enumerate(zip(case.statements, found, strict=True)):
            here = arrangement == ALL or place == int(np.argmax(skewness))
            rows.append(
                values - np.median(values) + _edge(statement) if here else np.full(study.seeds, plainly_true(statement))
            )
    return np.array(rows)


def _edge(statement: Statement) -> float:
    """Where a statement about a median turns false."""
    return statement.gap - statement.least


def plainly_true(statement: Statement) -> float:
    """A difference at which a statement is plainly true."""
    return 0.0 if statement.kind == "near" else _edge(statement) - 10.0


def false_words(
    differences: np.ndarray, cases: list[Case], test: Test, draws: int = DRAWS
) -> tuple[float, float, float]:
    """Return in what share of resampled studies any case is supported, any contradicted, and either: neither is true.

    Args:
        differences: of `at_the_boundary`, shape (statements, seeds).
        cases: the claim's parts.
        test: one of `TESTS`.
        draws: studies, each of as many seeds as there are, drawn with replacement.

    Returns:
        The share with a supported case, that with a contradicted one, and that with one or the other.
    """
    seeds = differences.shape[-1]
    drawn = np.random.default_rng(0).integers(seeds, size=(draws, seeds))
    statements = [statement for case in cases for statement in case.statements]
    for_, against = of_cases(*p_values(differences[:, drawn], statements, test), cases)
    supported, contradicted = (for_ <= LEVEL).any(-1), (against <= LEVEL).any(-1)
    return float(supported.mean()), float(contradicted.mean()), float((supported | contradicted).mean())


def ends(margin: Margin) -> tuple[float, ...]:
    """Return one number, or both ends of a range."""
    return margin if isinstance(margin, tuple) else (margin,)


def measure(studies: dict[str, Study], draws: int = DRAWS) -> pd.DataFrame:
    """Return the shares of false words of every claim, by the ledger's test and by the one it had before.

    Args:
        studies: by the names that `companion.judging.claims.Claim.data` has.
        draws: resampled studies.

    Returns:
        One row a claim, end of its margin, arrangement and test: claim, margin, arrangement, test, supported,
        contradicted, either (shares of studies).
    """
    rows = []
    for key, claim in CLAIMS.items():
        study = studies[claim.data]
        for margin in ends(claim.margin):
            cases = claim.rule(study, margin).cases
            longest = max(len(case.statements) for case in cases)
            for arrangement in (ALL, ONE) if longest > 1 else (ALL,):
                differences = at_the_boundary(study, cases, arrangement)
                for name, test in TESTS.items():
                    found = false_words(differences, cases, test, draws)
                    rows.append((key, margin, arrangement, name, *found))
    return pd.DataFrame(rows, columns=["claim", "margin", "arrangement", "test", "supported", "contradicted", "either"])


def write_false_words(root: Path = Path()) -> None:
    """Measure the rules and write `data/false-words.parquet`.

    Args:
        root: the book's folder.
    """
    table = measure(stored_studies(root / "data"))
    table.attrs["versions"] = library_versions()
    write_runs(table, root / "data/false-words.parquet")


if __name__ == "__main__":
    write_false_words()
