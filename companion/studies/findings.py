"""What the stored runs show, where it is read outside the chapters, and the numbers of its sentences.

The sentences are prose: `_verdicts.md`, `_findings.md`, `_findings-readings.md` and `_findings-beyond.md`, which the
front page and the chapters include. `python -m companion.studies.findings` puts them into README.md, which has no
includes and no variables, and writes the ledger of claims into `_ledger.md`, that of the statements beyond the paper
into `_beyond.md`, both into `data/claims.json`, and the README's picture.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pandas as pd

from companion.judging import beyond, ledger, referee
from companion.judging.baselines import baseline_summary
from companion.judging.chance import chance_summary
from companion.show.chapters import ROOT
from companion.show.figures import error_by_size
from companion.show.notebook import svg
from companion.show.prose import fill, stored
from companion.studies.multiverse import shares_by_mean
from companion.studies.reconstruction import against_chance, by_mask, stored_runs, stored_sweep
from companion.studies.replication import claim_counts, separation_by_temperature
from companion.sweeps.store import write_whole

INCLUDED = re.compile(r"(<!-- (_[\w-]+\.md) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)
"""A file's place in README.md."""
BEYOND_KEY = f"{ledger.BEYOND_KEY} R: in how many other cells, of dimension and density, each claim survives."
"""What the cells of `_beyond.md` hold."""


@cache
def survival(data: Path) -> referee.LedgerRow:
    """Return in which cells of dimension and density each claim survives, of the stored runs."""
    return referee.stored_row(data.parent)


def attractors(data: Path) -> pd.DataFrame:
    """Return the median E of overlap with an attractor beside it, and chance's, a row a size (the index, N).

    Args:
        data: the folder of the stored runs.

    Returns:
        Columns: transport (at ten times overlap's strength), coverage, chance.
    """
    runs = beyond.labelled_runs(data.parent)
    errors = runs.pivot_table(index="size", columns="label", values="reconstruction_error", aggfunc="median")
    return pd.DataFrame(
        {
            "transport": errors["110 transport κ=10"],
            "coverage": errors["110 coverage"],
            "chance": chance_summary(runs).set_index("size")["median"],
        }
    ).rename_axis("N")


def readings(data: Path) -> pd.Series:
    """Return by how much each reader of each network misses the largest networks' training inputs.

    Args:
        data: the folder of the stored runs.

    Returns:
        Medians over seeds, along the input, by network and reader.
    """
    table = pd.read_parquet(data / "memory.parquet")
    table = table[table["decay"] == table["decay"].mode()[0]]  # others were trained to count neurons only
    return table[table["size"] == table["size"].max()].groupby(["network", "reader"])["position_error"].median()


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of `_findings.md` and `_findings-beyond.md`, by name.

    Args:
        data: the folder of the stored runs.
    """
    return _at_ten_seeds(data) | _beyond_the_paper(data)


def _at_ten_seeds(data: Path) -> dict[str, str]:
    runs = stored_runs(data)
    found: dict[str, str] = {}
    counts = claim_counts(runs).set_index("claim")
    counts.index = counts.index.str[:2]
    for claim, name in (("C3", "overlap-highest"), ("C1", "coverage-lowest"), ("C2", "coverage-specialises")):
        row = counts.loc[claim]
        found |= {f"{name}-by-mean": f"{row['by mean']} of {row['cases']}", f"{name}-by-median": f"{row['by median']}"}
    expelled, special = (by_mask(runs, metric, "mean") for metric in ("expelled_fraction", "specialization_ratio"))
    heat, chance = separation_by_temperature(stored_sweep(data)).iloc[-1], against_chance(runs)["times chance"]
    return found | {
        "expelled-by-overlap": f"{expelled['100'].iloc[-1]:.2f}",
        "expelled-by-std": f"{expelled['000'].iloc[-1]:.2f}",
        "specialization-of-few": f"{special['100'].iloc[0]:.2f}",
        "specialization-of-many": f"{special['100'].iloc[-1]:.2f}",
        "coldest-error": f"{heat.iloc[0]:.2f}",
        "hottest-error": f"{heat.iloc[-1]:.0f}",
        "sizes-where-chance-is-lower": f"{(chance > 1).sum()} of {len(chance)}",
    }


def _beyond_the_paper(data: Path) -> dict[str, str]:
    errors, missed, verdict = attractors(data), readings(data), beyond.BEYOND["B3"].judge(data.parent)
    largest = errors.iloc[-1]
    return {
        "transport-below-chance": f"{(errors['transport'] < errors['chance']).sum()} of {len(errors)}",
        "transport-error": f"{largest['transport']:.3f}",
        "coverage-error": f"{largest['coverage']:.2f}",
        "chance-error": f"{largest['chance']:.2f}",
        "compatible-cases": f"{verdict.supported.sum()} of {len(verdict.cases)}",
        "surviving-claims": survival(data).by_claim,
        "missed-by-prototypes": f"{missed['transport', 'prototypes']:.2g}",
        "missed-by-the-field": f"{missed['Std, decayed', 'KKT']:.2g}",
        "missed-by-chance": f"{missed['none', 'chance']:.2g}",
    }


def readme(root: Path = ROOT) -> str:
    """Return README.md with the files that it names between its markers, their variables filled."""
    variables = stored(root)

    def included(found: re.Match[str]) -> str:
        opening, file, end = found.groups()
        return opening + fill((root / file).read_text(encoding="utf-8"), variables) + end

    return INCLUDED.sub(included, (root / "README.md").read_text(encoding="utf-8"))


def write(root: Path = ROOT) -> None:
    """Write what the stored data show: both ledgers, README.md, and its picture, figure 1."""
    data = root / "data"
    entries, verdicts = ledger.judge_stored(root), beyond.judge_beyond(root)
    universes = shares_by_mean(root)
    judged = ledger.as_json(entries) | {
        "universes": {
            key: {end: round(value, 6) for end, value in found._asdict().items()} for key, found in universes.items()
        },
        "beyond": ledger.beyond_json(verdicts, survival(data)),
    }
    runs = stored_runs(data)
    for path, text in {
        "_ledger.md": f"{ledger.table(entries, universes)}\n\n{ledger.KEY}\n",
        "_beyond.md": f"{ledger.beyond_table(verdicts, survival(data))}\n\n{BEYOND_KEY}\n",
        "data/claims.json": json.dumps(judged, ensure_ascii=False, indent=1) + "\n",
        "assets/figure-1.svg": svg(error_by_size(runs, baseline_summary(runs))),
        "README.md": readme(root),
    }.items():
        write_whole(root / path, text.encode())


if __name__ == "__main__":
    write()
