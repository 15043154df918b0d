"""What the stored runs show, in five computed lines: the front page, the README and the replication chapter share them.

`python -m companion.findings` writes them from data/ into `_findings.md` and into README.md, with its picture, and the
ledger of claims into `_ledger.md`, that of the statements beyond the paper into `_beyond.md`, and both into
`data/claims.json`.
"""

from __future__ import annotations

import json
import re
from itertools import permutations
from pathlib import Path

import pandas as pd
import vl_convert

from companion import ledger
from companion.beyond import judge_beyond
from companion.claims import ACTIVE, FREE
from companion.figures import chance_summary, error_by_size, summary

ROOT = Path(__file__).parent.parent
AT_TEN = "At the paper's design (8 masks, 6 sizes, 10 seeds: 480 runs) and our nominal definitions:"


def by_mask(runs: pd.DataFrame, metric: str, statistic: str) -> pd.DataFrame:
    """Return a metric's mean or median over seeds, one row a size and one column a mask."""
    return summary(runs, metric).pivot(index="size", columns="mask", values=statistic)


def claim_counts(runs: pd.DataFrame) -> pd.DataFrame:
    """Count, for each of the paper's claims about an order of masks, the cases in which these runs show that order.

    Book: chapter "The full replication", section "The paper's claims".

    Args:
        runs: one row a run, all eight masks.

    Returns:
        One row a claim: claim, cases (how many there are), by mean, by median (in how many of them it holds).
    """
    rows = []
    for claim, cases in _cases(runs, "mean").items():
        medians = _cases(runs, "median")[claim]
        rows.append({"claim": claim, "cases": len(cases), "by mean": sum(cases), "by median": sum(medians)})
    return pd.DataFrame(rows)


def _cases(runs: pd.DataFrame, statistic: str) -> dict[str, list[bool]]:
    """Each claim's cases, true where these runs show it."""
    errors = by_mask(runs, "reconstruction_error", statistic)
    special = by_mask(runs, "specialization_ratio", statistic)
    expelled = by_mask(runs, "expelled_fraction", statistic)
    # With few seeds medians tie at multiples of 1/N; a tie shows no order, so every comparison is strict.
    return {
        "C1 coverage alone has the lowest E": list(errors["010"] < errors.drop(columns="010").min(axis=1)),
        "C2 Cov and Cov+Sep specialise more than Std": [
            *(special["010"] > special["000"]),
            *(special["011"] > special["000"]),
        ],
        "C3 every overlap-active mask has a higher E than every other": list(
            errors[list(ACTIVE)].min(axis=1) > errors[list(FREE)].max(axis=1)
        ),
        "C4 separation alone has a lower E than Std (the paper: at some N)": list(errors["001"] < errors["000"]),
        "C6 every overlap-active mask expels more than every other": list(
            expelled[list(ACTIVE)].min(axis=1) > expelled[list(FREE)].max(axis=1)
        ),
        "C7 specialization of an overlap-active mask is lower at the next N": [
            later < earlier
            for mask in ACTIVE
            for earlier, later in zip(special[mask].iloc[:-1], special[mask].iloc[1:], strict=True)
        ],
    }


def same_order(ours: pd.DataFrame, theirs: pd.DataFrame, least: float) -> pd.DataFrame:
    """Count the pairs of columns that stand in the same order in both tables, of those clearly apart in `theirs`.

    Book: chapter "The full replication", section "Against an independent implementation".

    Args:
        ours, theirs: one number a cell, with the same rows and columns.
        least: the difference from which two columns of `theirs` count as clearly apart, above 0.

    Returns:
        One row a row of the tables: clearly apart (pairs), same order (pairs of them in which ours has the same
        strict order), other order (the pairs in which it has not, the lower of `theirs` first).
    """
    rows = []
    for row in theirs.index:
        apart = [
            (low, high)
            for low, high in permutations(theirs.columns, 2)
            if theirs.loc[row, high] - theirs.loc[row, low] >= least
        ]
        other = [(low, high) for low, high in apart if not ours.loc[row, low] < ours.loc[row, high]]
        rows.append({"clearly apart": len(apart), "same order": len(apart) - len(other), "other order": other})
    return pd.DataFrame(rows, index=theirs.index)


def findings(runs: pd.DataFrame, temperature: pd.DataFrame) -> list[str]:
    """Return the book's findings at the paper's ten seeds, one Markdown sentence each.

    Args:
        runs: the replication, `data/replication.parquet`.
        temperature: the temperature sweep, `data/temperature.parquet`.

    Returns:
        Five sentences with computed numbers.
    """
    counts = claim_counts(runs).set_index("claim")
    counts.index = counts.index.str[:2]
    errors, expelled = by_mask(runs, "reconstruction_error", "median"), by_mask(runs, "expelled_fraction", "mean")
    special = by_mask(runs, "specialization_ratio", "mean")
    sizes = errors.index
    chance = chance_summary(runs).set_index("size")["median"]
    largest = sizes.max()
    heat = summary(temperature, "reconstruction_error", ("mask", "size", "temperature"))
    hottest = heat["size"].max()
    hot = heat[(heat["mask"] == "001") & (heat["size"] == hottest)].set_index("temperature")["median"]

    def of(claim: str, cases: str) -> str:
        row = counts.loc[claim]
        return f"{row['by mean']} of {row['cases']} {cases} by mean, {row['by median']} by median"

    return [
        f"**Overlap harms.** All four overlap-active masks have a higher reconstruction error E than all four others "
        f"at {of('C3', 'sizes')}.",
        f"**Coverage helps a little.** Coverage alone has the lowest E of all masks at {of('C1', 'sizes')}; it and "
        f"Cov+Sep specialise more than Std in {of('C2', 'cases')}.",
        f"**Overlap expels in kind, not in degree.** At N = {largest} a mean share of {expelled['100'][largest]:.2f} "
        f"of mask 100's prototypes lies outside the data (the paper: all), of Std's {expelled['000'][largest]:.2f}; "
        f"mask 100's mean specialization ratio goes from {special['100'].iloc[0]:.2f} at N = {sizes.min()} to "
        f"{special['100'].iloc[-1]:.2f}.",
        f"**Separation harms when it is hot.** At N = {hottest} its median E goes from {hot.iloc[0]:.2f} at τ = "
        f"{hot.index[0]:g} to {hot.iloc[-1]:.0f} at τ = {hot.index[-1]:g} ({temperature['seed'].nunique()} seeds).",
        f"**No mask beats chance by much, and none at scale.** Prototypes drawn at random on the target have a lower "
        f"median E than the best mask at {int((errors.min(axis=1) > chance).sum())} of {len(sizes)} sizes; at N = "
        f"{largest} the best mask stands at {errors.loc[largest].min() / chance[largest]:.1f} times chance.",
    ]


def write_findings() -> None:
    """Write what the stored data show: `_findings.md`, the ledger, README.md and its picture, figure 1."""
    text = findings_list(ROOT)
    runs = pd.read_parquet(ROOT / "data" / "replication.parquet")
    chart = error_by_size(runs, chance_summary(runs))
    (ROOT / "assets" / "figure-1.svg").write_text(vl_convert.vegalite_to_svg(chart.to_json()))
    (ROOT / "_findings.md").write_text(text)
    entries = ledger.read(ROOT)
    (ROOT / "_ledger.md").write_text(f"{ledger.table(entries)}\n\n{ledger.KEY}\n")
    beyond = judge_beyond(ROOT)
    (ROOT / "_beyond.md").write_text(f"{ledger.beyond_table(beyond)}\n\n{ledger.BEYOND_KEY}\n")
    stored = ledger.as_json(entries) | {"beyond": ledger.beyond_json(beyond)}
    machines = json.dumps(stored, ensure_ascii=False, indent=1)
    (ROOT / "data" / "claims.json").write_text(machines + "\n")
    readme, both = ROOT / "README.md", f"{ledger.in_a_sentence(entries)}\n\n{AT_TEN}\n\n{text}"
    marked = re.sub(
        r"(?<=<!-- findings -->\n).*?(?=<!-- end of findings -->)", lambda _: both, readme.read_text(), flags=re.S
    )
    readme.write_text(marked)


def findings_list(root: Path) -> str:
    """Return the findings of the data stored under `root` as a numbered Markdown list."""
    runs, temperature = (pd.read_parquet(root / "data" / f"{name}.parquet") for name in ("replication", "temperature"))
    return "".join(f"{number}. {sentence}\n" for number, sentence in enumerate(findings(runs, temperature), 1))


if __name__ == "__main__":
    write_findings()
