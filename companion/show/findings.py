"""What the stored runs show, in computed lines: the front page, the README and the replication chapter share them.

`python -m companion.show.findings` writes them from data/ into `_findings.md` and into README.md, with its picture,
the ledger of claims into `_ledger.md`, that of the statements beyond the paper into `_beyond.md`, and both into
`data/claims.json`.
"""

from __future__ import annotations

import json
import re
from itertools import permutations
from pathlib import Path

import pandas as pd
import vl_convert

from companion.judging import beyond, ledger, referee
from companion.judging.chance import chance_summary
from companion.judging.claims import ACTIVE, FIT, FREE
from companion.judging.verdicts import Verdict
from companion.show.figures import error_by_size
from companion.sweeps.runs import summary

ROOT = Path(__file__).parents[2]
BEYOND = "Beyond the paper:"
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
        our, their = ours.loc[row], theirs.loc[row]
        apart = [(low, high) for low, high in permutations(theirs.columns, 2) if their[high] - their[low] >= least]
        other = [(low, high) for low, high in apart if not our[low] < our[high]]
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


def findings_beyond(root: Path, survival: referee.LedgerRow) -> list[str]:
    """Return what the book finds beyond the paper, one Markdown sentence each.

    Args:
        root: the book's folder.
        survival: what `companion.judging.referee.ledger_row` returned.

    Returns:
        Three sentences with computed numbers.
    """
    runs = beyond.labelled_runs(root)
    errors = runs.pivot_table(index="size", columns="label", values="reconstruction_error", aggfunc="median")
    chance = chance_summary(runs).set_index("size")["median"]
    verdict = beyond.BEYOND["B3"].judge(root)
    balanced, largest = errors["110 transport κ=10"], errors.index.max()
    readings = pd.read_parquet(root / "data" / "memory.parquet")
    readings = readings[readings["decay"] == readings["decay"].mode()[0]]  # others were trained to count neurons only
    size = readings["size"].max()
    missed = readings[readings["size"] == size].groupby(["network", "reader"])["position_error"].median()
    return [
        f"**Transport is an attractor that works.** With overlap on, matching each prototype to a sample of its own at "
        f"ten times overlap's strength brings the median E below chance at {int((balanced < chance).sum())} of "
        f"{len(chance)} sizes; at N = {largest} to {balanced[largest]:.3f}, where coverage leaves "
        f"{errors['110 coverage'][largest]:.2f} and chance is {chance[largest]:.2f} "
        f"({runs['seed'].nunique()} seeds). Over all repulsions and sizes E is below chance and the root mean squared "
        f"error as low as without it, within {FIT}, in {int(verdict.supported.sum())} of {len(verdict.cases)} cases.",
        f"**In more dimensions and under other densities some claims survive, some end.** Of the claims that hold, or "
        f"hold in part, for uniform points on the line, so many survive elsewhere: {survival.by_claim} cells.",
        f"**With transport the weights show the training inputs.** -b/w misses them by "
        f"{missed['transport', 'prototypes']:.2g} at N = {size}; the field's reconstruction, from the stationary "
        f"weights of Std with weight decay, by {missed['Std, decayed', 'KKT']:.2g}, and chance by "
        f"{missed['none', 'chance']:.2g} (medians, along the input).",
    ]


def write_findings() -> None:
    """Write what the stored data show: `_findings.md`, the ledger, README.md and its picture, figure 1."""
    text = findings_list(ROOT)
    runs = pd.read_parquet(ROOT / "data" / "replication.parquet")
    chart = error_by_size(runs, chance_summary(runs))
    (ROOT / "assets" / "figure-1.svg").write_text(vl_convert.vegalite_to_svg(chart.to_json()), encoding="utf-8")
    (ROOT / "_findings.md").write_text(text, encoding="utf-8")
    entries = ledger.judge_stored(ROOT)
    (ROOT / "_ledger.md").write_text(f"{ledger.table(entries)}\n\n{ledger.KEY}\n", encoding="utf-8")
    verdicts, survival = beyond.judge_beyond(ROOT), referee.stored_row(ROOT)
    (ROOT / "_beyond.md").write_text(beyond_text(ROOT, verdicts, survival), encoding="utf-8")
    stored = ledger.as_json(entries) | {"beyond": ledger.beyond_json(verdicts, survival)}
    machines = json.dumps(stored, ensure_ascii=False, indent=1)
    (ROOT / "data" / "claims.json").write_text(machines + "\n", encoding="utf-8")
    further = numbered(findings_beyond(ROOT, survival))
    both = f"{ledger.in_a_sentence(entries)}\n\n{AT_TEN}\n\n{text}\n{BEYOND}\n\n{further}"
    readme = ROOT / "README.md"
    before = readme.read_text(encoding="utf-8")
    marked = re.sub(r"(?<=<!-- findings -->\n).*?(?=<!-- end of findings -->)", lambda _: both, before, flags=re.S)
    readme.write_text(marked, encoding="utf-8")


def beyond_text(root: Path, verdicts: dict[str, Verdict], survival: referee.LedgerRow) -> str:
    """Return what `_beyond.md` holds: the findings beyond the paper, the verdicts, and what their cells mean."""
    return (
        f"{numbered(findings_beyond(root, survival))}\n{ledger.beyond_table(verdicts, survival)}\n\n"
        f"{ledger.BEYOND_KEY} R: in how many other cells, of dimension and density, each claim survives.\n"
    )


def numbered(sentences: list[str]) -> str:
    """Return sentences as a numbered Markdown list."""
    return "".join(f"{number}. {sentence}\n" for number, sentence in enumerate(sentences, 1))


def findings_list(root: Path) -> str:
    """Return the findings of the data stored under `root` as a numbered Markdown list."""
    runs, temperature = (pd.read_parquet(root / "data" / f"{name}.parquet") for name in ("replication", "temperature"))
    return numbered(findings(runs, temperature))


if __name__ == "__main__":
    write_findings()
