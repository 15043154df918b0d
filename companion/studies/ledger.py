"""The ledger as its chapter shows it: the rules' margins, each claim's cases, the verdict against the margin, and what
changed."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from companion.judging import claims
from companion.judging.claims import CLAIMS
from companion.judging.ledger import COLUMNS, MARKS, Entry, judge_stored, marked, number
from companion.judging.verdicts import LEVEL, LOGARITHMIC, VERDICTS, Study, Verdict
from companion.studies import boundary


def rule_numbers() -> pd.DataFrame:
    """Return all numbers that a verdict depends on: what each is (the index), number, why.

    Book: chapter "The ledger", section "From cases to a verdict".
    """
    rows = [
        ("level, either direction", f"{LEVEL:g}", "5 % a claim"),
        (
            "least effect on E and S (factor): C1 to C4, C7",
            f"{claims.LEAST:g}",
            "a convention: what is less is not seen",
        ),
        ("least effect on an expelled fraction: C6", f"{claims.LEAST_SHARE:g}", "the same"),
        ("expelled fractions at two temperatures are apart: C8", f"{claims.SHARE:g}", "twice that"),
        ("a specialization ratio has collapsed, beside Std's: C7", f"{claims.HALF:g}", "at least halved"),
        (
            "a position error has collapsed (factor): C10, C10s",
            f"{claims.FACTOR:g}",
            "from it on, chapter 9 calls medians clearly apart",
        ),
        (
            "root mean squared errors are as low: C5",
            "{:g} to {:g}".format(*claims.FIT),
            "a half and five hundredths of the targets' range",
        ),
        ("a place is stable (factor): C9", "{:g} to {:g}".format(*claims.STABLE), "the lower end leaves room for C4"),
    ]
    return pd.DataFrame(rows, columns=["what", "number", "why"]).set_index("what")


def by_rule(verdict: Verdict) -> pd.DataFrame:
    """Return what decided each case of a verdict by the rule, as the chapter tabulates it.

    Args:
        verdict: of any claim.

    Returns:
        One row a case (the index): comparison; the median ratio or, where the metric is no ratio, the median
        difference, with its interval; P (the probability of superiority); p for, p against (corrected); outcome.
    """
    cases = verdict.table.set_index("case")
    effect = "median ratio" if cases["metric"].isin(LOGARITHMIC).all() else "median difference"
    interval = [f"{number(row['effect'])} [{number(row['low'])}, {number(row['high'])}]" for _, row in cases.iterrows()]
    ranks = cases[["comparison"]].assign(**{effect: interval}, P=cases["superiority"].map("{:.2f}".format))
    return ranks.join(cases[["p for", "p against", "outcome"]])


def by_means(verdict: Verdict) -> pd.DataFrame:
    """Return both sides' means of each case of a verdict, and whether they show what is claimed.

    Args:
        verdict: of any claim.

    Returns:
        One row a case (the index): mean ± SEM of the first side and of the second, shown ("yes" or "no").
    """
    cases = verdict.table.set_index("case")
    columns = {
        f"mean ± SEM, {side}": [
            f"{mean:.3g}" + ("" if pd.isna(error) or error == 0 else f" ± {error:.1g}")
            for mean, error in cases[[f"mean of {side}", f"sem of {side}"]].to_numpy()
        ]
        for side in ("first", "second")
    }
    shown = (cases["by mean"] == "supported").map({True: "yes", False: "no"})
    return pd.DataFrame(columns, index=cases.index).assign(shown=shown)


def counted(verdict: Verdict) -> str:
    """Return how the cases of a verdict came out: "5 of 6 cases supported, 0 contradicted, 1 open"."""
    supported, contradicted = verdict.supported.sum(), verdict.contradicted.sum()
    return (
        f"{supported} of {len(verdict.cases)} cases supported, {contradicted} contradicted, {still_open(verdict)} open"
    )


def still_open(verdict: Verdict) -> int:
    """Return how many cases of a verdict are neither supported nor contradicted."""
    return int((~verdict.supported & ~verdict.contradicted).sum())


READ = [*COLUMNS, "strength", "steps", "attractor", "balance", "anneal", "target", "engine"]
"""Columns of a file of runs that the chapter needs."""
FACTORS, ROOM = (1.0, 1.02, 1.05, 1.1, 1.2, 1.5), (1.05, 1.1, 1.25, 1.5, 2.0, 3.0)
MARGINS: dict[str, tuple[str, tuple[float, ...]]] = {
    **dict.fromkeys(("C1", "C2", "C3", "C4", "C7"), ("least effect, as a factor", FACTORS)),
    "C5": ("root mean squared errors are as low within", (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)),
    "C6": ("least effect, as a difference", (0.001, 0.02, 0.05, 0.1, 0.2, 0.3)),
    "C8": ("expelled fractions are apart from", (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)),
    **dict.fromkeys(("C9",), ("a place is stable within a factor of", ROOM)),
    **dict.fromkeys(("C10", "C10s"), ("a position error has collapsed from a factor of", ROOM)),
}
"""Of each claim what its margin is, and those at which its verdict is drawn."""


def against_margin(key: str, study: Study) -> pd.DataFrame:
    """Return a claim's verdict against its margin, as `companion.show.charts.by_margin` draws it.

    Book: chapter "The ledger", section "Verdict against margin".

    Args:
        key: the claim's, in `companion.judging.claims.CLAIMS`.
        study: the runs.

    Returns:
        One row a margin of `MARGINS` and outcome: margin, outcome, cases, order (of the outcome), verdict, sign, taken.
    """
    rows = []
    for margin in MARGINS[key][1]:
        found = CLAIMS[key].rule(study, margin)
        counts = {
            "supported": found.supported.sum(),
            "open": still_open(found),
            "contradicted": found.contradicted.sum(),
        }
        rows += [
            {
                "margin": f"{margin:g}",
                "outcome": outcome,
                "cases": int(count),
                "order": order,
                "verdict": found.verdict,
                "sign": MARKS[found.verdict],
                "taken": margin in boundary.ends(CLAIMS[key].margin),
            }
            for order, (outcome, count) in enumerate(counts.items())
        ]
    return pd.DataFrame(rows)


def signs_by_margin(found: pd.DataFrame) -> str:
    """Return what `against_margin` found as text: "0.01 ✗, 0.02 ◐, 0.05 ✓"."""
    return ", ".join(f"{margin} {sign}" for margin, sign in found.groupby("margin", sort=False)["sign"].first().items())


def margin_panels(entries: dict[str, Entry]) -> dict[str, tuple[str, pd.DataFrame]]:
    """Return every claim's verdict on the fresh seeds against its margin, for `companion.show.charts.by_margin`."""
    return {key: (MARGINS[key][0], against_margin(key, entry.fresh.study)) for key, entry in entries.items()}


def words_by_margin(entries: dict[str, Entry]) -> pd.DataFrame:
    """Return the same as a table: a row a claim, the verdict's sign with the cases supported and contradicted.

    Book: chapter "The ledger", section "Verdict against margin".
    """
    rows = {}
    for key, entry in entries.items():
        found = against_margin(key, entry.fresh.study)
        supported, _, against = (
            found[found["outcome"] == outcome] for outcome in ("supported", "open", "contradicted")
        )
        rows[key] = [
            f"{margin}: {sign} {yes}, {no} against"
            for margin, sign, yes, no in zip(
                supported["margin"], supported["sign"], supported["cases"], against["cases"], strict=True
            )
        ]
    columns = ["narrowest", *(f"{k}" for k in range(2, len(FACTORS))), "widest"]
    return pd.DataFrame(rows, index=columns).T.rename_axis("claim")


def before_and_after(data: Path) -> pd.DataFrame:
    """Return the verdicts by the rules that the ledger had before, and by those it has.

    Book: chapter "The ledger", section "What changed".

    Args:
        data: the folder of the stored runs; `claims-before.json` holds the earlier verdicts.

    Returns:
        One row a claim (the index): the earlier verdict on the seen seeds with its counts, that of the rules of now on
        the same seeds, and that on the fresh ones.
    """
    earlier = json.loads((data / "claims-before.json").read_text(encoding="utf-8"))["claims"]
    rows = {}
    for key, entry in stored_entries(data).items():
        was = earlier[key]["verdicts"]["all"] if key in earlier else None
        rows[key] = {
            "earlier rules, seen seeds": (
                f"{marked(was['verdict'])} ({was['supported']} of {was['cases']}, {was['contradicted']} against)"
                if was
                else "part of C10"
            ),
            "rules of now, seen seeds": _with_counts(entry.seen),
            "rules of now, fresh seeds": _with_counts(entry.fresh),
        }
    return pd.DataFrame(rows).T.rename_axis("claim")


def _with_counts(verdict: Verdict) -> str:
    supported, contradicted = verdict.supported.sum(), verdict.contradicted.sum()
    return f"{marked(verdict.verdict)} ({supported} of {len(verdict.cases)}, {contradicted} against)"


def false_words(data: Path) -> pd.DataFrame:
    """Return the shares of resampled studies with a false word, of each claim the largest over its arrangements.

    Book: chapter "The ledger", section "How often a false word".

    Args:
        data: the folder of the stored runs, with `false-words.parquet`.

    Returns:
        One row a claim (the index); by the sign test and by signed ranks, each: the share of studies with a supported
        or a contradicted case.
    """
    found = pd.read_parquet(data / "false-words.parquet")
    return found.pivot_table(index="claim", columns="test", values="either", aggfunc="max", sort=False)


@cache
def stored_entries(data: Path) -> dict[str, Entry]:
    """Return every claim's verdicts on the stored runs."""
    return judge_stored(data.parent)


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "The ledger", by name.

    Args:
        data: the folder of the stored runs.
    """
    entries = stored_entries(data)
    found: dict[str, str] = {}
    for suffix, name in (("", "fresh"), ("-at-ten", "ten")):
        count = Counter(getattr(entry, name).verdict for entry in entries.values())
        found |= {verdict.replace(" ", "-") + suffix: f"{count[verdict]}" for verdict in VERDICTS}
    for claim, entry in entries.items():
        key = claim.lower()
        found |= {
            f"{key}-cases-at-ten": counted(entry.ten),
            f"{key}-cases-seen": counted(entry.seen),
            f"{key}-cases": counted(entry.fresh),
        }
    lowest = entries["C1"].fresh.by_mean_supported
    found["c1-by-mean"] = f"{lowest.sum()} of {len(lowest)}"
    for claim in ("C1", "C5", "C9", "C10"):
        found[f"{claim.lower()}-by-margin"] = signs_by_margin(against_margin(claim, entries[claim].fresh.study))
    ratios = entries["C7"].fresh.study.raw["specialization_ratio"]
    beside = [float(np.median(ratios["100", n] / ratios["000", n])) for n in entries["C7"].fresh.study.sizes]
    found |= {"c7-beside-std-first": f"{beside[0]:.2f}", "c7-beside-std-last": f"{beside[-1]:.2f}"}
    shares = false_words(data)
    return found | {
        "false-words": f"{100 * shares['sign test'].max():.1f}",
        "false-words-signed": f"{100 * shares['signed rank'].min():.0f} to {100 * shares['signed rank'].max():.0f}",
        "draws": f"{boundary.DRAWS:,}",
    }
