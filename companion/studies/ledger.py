"""The ledger as its chapter shows it: the rules' numbers, each claim's cases, and how the verdicts are counted."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import pandas as pd

from companion.judging import claims
from companion.judging.ledger import Entry, disagreements, judge_stored, number
from companion.judging.verdicts import LEVEL, LOGARITHMIC, VERDICTS, Verdict


def rule_numbers() -> pd.DataFrame:
    """Return all numbers that a verdict depends on: what each is (the index), number, why.

    Book: chapter "The ledger", section "From cases to a verdict".
    """
    rows = [
        ("level, either direction", LEVEL, "5 % a claim"),
        ("gap of E (factor)", claims.FACTOR, "from it on, chapter 9 calls medians clearly apart"),
        ("gap of an expelled fraction", claims.SHARE, "the same"),
        ("gap of a root mean squared error", claims.FIT, "one hundredth of the targets' range"),
        ("a collapsed specialization ratio, over its partner's", claims.HALF, "at least halved"),
    ]
    return pd.DataFrame(rows, columns=["what", "number", "why"]).set_index("what")


def by_ranks(verdict: Verdict) -> pd.DataFrame:
    """Return what decided each case of a verdict by ranks, as the chapter tabulates it.

    Args:
        verdict: of any claim.

    Returns:
        One row a case (the index): comparison; the typical ratio or, where the metric is no ratio, the typical
        difference, with its interval; P (the probability of superiority); p for, p against (corrected); outcome.
    """
    cases = verdict.table.set_index("case")
    effect = "typical ratio" if cases["metric"].isin(LOGARITHMIC).all() else "typical difference"
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
    stable = entries["C9"].all
    found = {"c9-open": f"{still_open(stable)} of {len(stable.cases)}"}
    for suffix, verdicts in (
        ("", [entry.all.verdict for entry in entries.values()]),
        ("-at-ten", [entry.ten.verdict for entry in entries.values()]),
    ):
        count = Counter(verdicts)
        found |= {verdict.replace(" ", "-") + suffix: f"{count[verdict]}" for verdict in VERDICTS}
    for claim, entry in entries.items():
        key = claim.lower()
        found |= {f"{key}-cases-at-ten": counted(entry.ten), f"{key}-cases": counted(entry.all)}
        for row in disagreements(entry.all).to_dict("records"):
            at = f"{key}-at-{row['case'].rpartition(' ')[2]}"
            found |= {
                f"{at}-means": f"{row['mean of first']:.3g} and {row['mean of second']:.3g}",
                f"{at}-largest-runs": f"{row['largest run of first']:.0%} and {row['largest run of second']:.0%}",
                f"{at}-first-lower": f"{row['superiority']:.0%}",
            }
    return found
