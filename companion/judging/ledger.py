"""The ledger: every claim's verdict at the paper's ten seeds and at two hundred fresh ones, for readers and machines.

`companion.studies.findings` writes it into `data/claims.json` and `_ledger.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from companion.core.checks import array_of, require_a, require_choice, shown
from companion.judging import claims, referee
from companion.judging.beyond import BEYOND
from companion.judging.claims import CLAIMS
from companion.judging.paired import Interval
from companion.judging.verdicts import (
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    LEVEL,
    LOGARITHMIC,
    ON_MARGIN,
    UNDECIDED,
    Verdict,
)
from companion.sweeps.runs import require_table, stored_table
from companion.sweeps.sweep import PAPER_SEEDS

MARKS = {HOLDS: "✓", IN_PART: "◐", DOES_NOT_HOLD: "✗", UNDECIDED: "?", ON_MARGIN: "±"}
"""A sign for each verdict, which needs no colour."""
COLUMNS = (
    "mask",
    "size",
    "seed",
    "temperature",
    "fit_mse",
    "reconstruction_error",
    "position_error",
    "specialization_ratio",
    "expelled_fraction",
)
"""What the rules read of the stored runs."""
DIGITS = 6
"""Significant digits of the numbers in `claims.json`."""


class Runs(NamedTuple):
    """What the claims are judged by, under the names that `companion.judging.claims.Claim.data` has.

    Attributes:
        sweep: all masks at the nominal temperature, one row a run.
        temperature: masks 000 and 001 at several temperatures.
    """

    sweep: pd.DataFrame
    temperature: pd.DataFrame


class Entry(NamedTuple):
    """One claim's verdicts.

    Attributes:
        fresh: on seeds that nothing had looked at when the rules were written: the verdict.
        seen: on seeds that had been looked at.
        ten: on the paper's ten seeds, which are among the seen.
    """

    fresh: Verdict
    seen: Verdict
    ten: Verdict


FRESH, SEEN = ("ledger", "ledger-temperature"), ("powered", "temperature")
"""Files of the fresh and of the seen runs in `data/`, in the order of `Runs`."""


def judge_all(fresh: Runs, seen: Runs) -> dict[str, Entry]:
    """Judge every claim by its rule.

    Book: chapter "The ledger", section "The verdicts".

    Args:
        fresh: the runs of the verdicts.
        seen: runs that were looked at before the rules were written, the paper's ten seeds among others.

    Returns:
        Entries by the keys of `companion.judging.claims.CLAIMS`.

    Raises:
        ValueError: if runs are missing or have no finite metrics.
    """
    given = {name: _require_tables(name, runs) for name, runs in (("fresh", fresh), ("seen", seen))}
    ten = Runs(*(runs[runs["seed"].isin(PAPER_SEEDS)] for runs in given["seen"]))
    if any(part.empty or len(part) == len(runs) for part, runs in zip(ten, given["seen"], strict=True)):
        raise ValueError(
            f"seen: {given['seen'].sweep['seed'].nunique()} seeds were given; allowed are the paper's and others"
        )
    return {
        key: Entry(*(claim.rule(getattr(runs, claim.data)) for runs in (given["fresh"], given["seen"], ten)))
        for key, claim in CLAIMS.items()
    }


def _require_tables(name: str, runs: Any) -> Runs:
    given = require_a(Runs, name, runs)
    return Runs(*(require_table(f"{name}.{part}", table, keys=("seed",)) for part, table in given._asdict().items()))


def stored(root: Path, names: tuple[str, str] = FRESH) -> Runs:
    """Return the stored runs that claims are judged by.

    Args:
        root: the book's folder.
        names: of two files in `data/`, without their ending.
    """
    return Runs(*(stored_table(root, name, COLUMNS) for name in names))


def judge_stored(root: Path) -> dict[str, Entry]:
    """Judge every claim on the runs stored under `root`."""
    return judge_all(stored(root), stored(root, SEEN))


def table(entries: dict[str, Entry], universes: Mapping[str, Interval] | None = None) -> str:
    """Return the ledger for readers as a Markdown table: one row a claim, each with a link to its section.

    Book: chapter "The ledger", section "The verdicts".

    Args:
        entries: what `judge_all` returned.
        universes: in what share of them a claim is seen by means, for a column more; a claim that is not named has a
            dash there.

    Returns:
        Columns: verdict, the claim and where it is derived, what the paper shows, ten seeds, more seeds, universes.
    """
    _require_entries(entries)
    universes = _require_shares(universes)
    # The verdict comes first: on a narrow screen a wide table shows its left side.
    seeds = entries["C1"].fresh.study.seeds
    head = ["verdict", "claim", "the paper shows", "ten seeds", f"{seeds} fresh seeds"]
    widths = [14, 32, 15, 15, 24]  # of the columns, as parts of the page's
    if universes:
        head, widths = [*head, "universes"], [14, 28, 14, 14, 20, 12]
    rows = [
        (
            f"**{marked(entry.fresh.verdict)}**",
            f"**{key}** {CLAIMS[key].says} (@sec-{key.lower()})",
            CLAIMS[key].evidence,
            _counts(entry.ten),
            f"{_counts(entry.fresh)}; {_decisive(entry.fresh)}",
            *([_share(universes[key]) if key in universes else "–"] if universes else []),
        )
        for key, entry in entries.items()
    ]
    lines = [head, [":" + "-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _require_entries(entries: Any) -> None:
    """Refuse what `judge_all` does not return."""
    if not isinstance(entries, dict) or list(entries) != list(CLAIMS):
        raise ValueError(f"entries: {shown(entries)} was given; allowed is what judge_all returns")
    for entry in entries.values():
        require_a(Entry, "entries", entry)


def _require_shares(universes: Any) -> dict[str, Interval]:
    if universes is None:
        return {}
    if not isinstance(universes, Mapping) or not universes.keys() <= CLAIMS.keys():
        raise ValueError(f"universes: {shown(universes)} was given; allowed are shares by claim")
    return {key: require_a(Interval, "universes", value) for key, value in universes.items()}


def _require_beyond(verdicts: Any, survival: Any) -> None:
    """Refuse what `judge_beyond` and `ledger_row` do not return."""
    if not isinstance(verdicts, dict) or not verdicts.keys() <= BEYOND.keys():
        raise ValueError(f"verdicts: {shown(verdicts)} was given; allowed is what judge_beyond returns")
    for verdict in verdicts.values():
        require_a(Verdict, "verdicts", verdict)
    if survival is not None:
        require_a(referee.LedgerRow, "survival", survival)


def beyond_table(verdicts: dict[str, Verdict], survival: referee.LedgerRow | None = None) -> str:
    """Return the verdicts on the statements beyond the paper as a Markdown table: one row each, with its section.

    Book: chapter "A compatible attractor", section "The verdicts".

    Args:
        verdicts: what `companion.judging.beyond.judge_beyond` returned.
        survival: what `companion.judging.referee.ledger_row` returned, for a row more: what survives elsewhere.

    Returns:
        Columns: verdict, the statement and where it is derived, what was compared, counts, and the case that decides.
    """
    _require_beyond(verdicts, survival)
    head = ("verdict", "statement", "compared", "seeds and cases", "the case that decides")
    rows = [
        (
            f"**{marked(verdict.verdict)}**",
            f"**{key}** {BEYOND[key].says} (@sec-{BEYOND[key].section})",
            BEYOND[key].compared,
            f"{verdict.study.seeds} seeds: {_counts(verdict)}",
            _decided(verdict),
        )
        for key, verdict in verdicts.items()
    ]
    if survival is not None:
        statement = f"**R** {survival.says} (@sec-space)"
        rows.append((f"**{marked(survival.verdict)}**", statement, *survival[2:5]))
    lines = [head, tuple(":" + "-" * width for width in (14, 30, 20, 16, 20)), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def marked(verdict: str) -> str:
    """Return a verdict with its sign."""
    verdict = require_choice("verdict", verdict, MARKS)
    return f"{MARKS[verdict]} {verdict}"


def _counts(verdict: Verdict) -> str:
    """How many cases are supported and, if any are, contradicted; with the signs of both verdicts."""
    against = verdict.contradicted.sum()
    counts = f"{verdict.supported.sum()} of {len(verdict.cases)}" + (f", {against} against" if against else "")
    return f"{MARKS[verdict.verdict]} {counts}; by mean {MARKS[verdict.by_mean]}".replace(" ", NO_BREAK, 3)


def _share(found: Interval) -> str:
    """A share with its interval, in percent."""
    value, low, high = (f"{100 * end:.0f}" for end in found)
    return f"{value}{NO_BREAK}% [{low},{NO_BREAK}{high}]"


def _decisive(verdict: Verdict) -> str:
    """The case that decides a verdict: its effect and interval."""
    row = verdict.table.iloc[verdict.decisive]
    return f"{number(row['effect'])} [{number(row['low'])},{NO_BREAK}{number(row['high'])}]"


def _decided(verdict: Verdict) -> str:
    """The same with what was compared in it."""
    row = verdict.table.iloc[verdict.decisive]
    kind = "ratio" if row["metric"] in LOGARITHMIC else "difference"
    return f"{row['case']}: {row['comparison']}; {kind} {_decisive(verdict)}"


BEYOND_KEY = (
    "Counts: cases that are supported, of all, and contradicted ones. The case that decides is the weakest one, or the "
    "most contradicted where the statement does not hold; its number is the median ratio or difference with its 95 % "
    "interval. " + ", ".join(f"{mark} {name}" for name, mark in MARKS.items()) + "."
)
"""What the cells of the table beyond the paper hold."""

NO_BREAK = "\u00a0"
KEY = (
    "Counts: cases that are supported, of all, and contradicted ones. Numbers: the median ratio (C5, C6, C8: "
    "difference) with its 95 % interval in the case that decides, the weakest one, or the most contradicted where the "
    "claim does not hold. "
    + ", ".join(f"{mark} {name}" for name, mark in MARKS.items())
    + ". Universes: in what share "
    "of the readings of the paper that were run the means of ten seeds show the claim, with its 95 % interval "
    "(@sec-multiverse); C8 compares temperatures, of which a reading has one."
)
"""What the ledger's cells hold."""


def number(value: float) -> str:
    """Return an effect at two decimals, or two significant digits where it is small."""
    value = float(array_of("value", require_a(Real, "value", value)))
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def as_json(entries: dict[str, Entry]) -> dict[str, Any]:
    """Return the ledger for machines.

    Args:
        entries: what `judge_all` returned.

    Returns:
        numbers (what all rules depend on) and claims: of each what it says, the paper's evidence, the rule, its margin,
        the file it was judged by, and the verdicts on fresh, on seen and on the paper's ten seeds, with their cases.
    """
    _require_entries(entries)
    return {
        "numbers": {"level": LEVEL, "half": claims.HALF},
        "claims": {
            key: {
                "says": CLAIMS[key].says,
                "paper": CLAIMS[key].evidence,
                "rule": CLAIMS[key].stated,
                "margin": CLAIMS[key].margin,
                "function": f"companion.judging.claims.{CLAIMS[key].rule.__name__}",
                "data": f"{FRESH[Runs._fields.index(CLAIMS[key].data)]}.parquet",
                "verdicts": {name: _verdict(verdict) for name, verdict in entry._asdict().items()},
            }
            for key, entry in entries.items()
        },
    }


def beyond_json(verdicts: dict[str, Verdict], survival: referee.LedgerRow) -> dict[str, Any]:
    """Return the statements beyond the paper for machines: as a claim's, with one verdict each.

    Args:
        verdicts: what `companion.judging.beyond.judge_beyond` returned.
        survival: what `companion.judging.referee.ledger_row` returned, under the key "R".
    """
    _require_beyond(verdicts, require_a(referee.LedgerRow, "survival", survival))
    outcomes = survival.cases["outcome"]
    return {
        key: {
            "says": BEYOND[key].says,
            "compared": BEYOND[key].compared,
            "rule": BEYOND[key].stated,
            "function": f"{BEYOND[key].rule.__module__}.{BEYOND[key].rule.__name__}",
            "data": [f"{name}.parquet" for name in BEYOND[key].data],
            "verdict": _verdict(verdict),
        }
        for key, verdict in verdicts.items()
    } | {
        "R": {
            "says": survival.says,
            "compared": survival.compared,
            "rule": referee.SURVIVAL,
            "function": "companion.judging.referee.survival",
            "data": ["space.parquet"],
            "verdict": {
                "verdict": survival.verdict,
                "cases": len(outcomes),
                "supported": int((outcomes == "supported").sum()),
                "contradicted": int((outcomes == "contradicted").sum()),
                "table": survival.cases.to_dict("records"),
            },
        }
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "verdict": verdict.verdict,
        "by_mean": verdict.by_mean,
        "seeds": verdict.study.seeds,
        "cases": len(verdict.cases),
        "supported": int(verdict.supported.sum()),
        "contradicted": int(verdict.contradicted.sum()),
        "decided_by": verdict.cases[verdict.decisive].name,
        "table": [
            {str(name).replace(" ", "_"): _rounded(cell) for name, cell in row.items()}
            for row in verdict.table.to_dict("records")
        ],
    }


def _rounded(cell: Any) -> Any:
    """A cell as JSON holds it: rounded, and null for no number."""
    if not isinstance(cell, float):
        return cell
    return None if math.isnan(cell) else float(f"{cell:.{DIGITS}g}")
