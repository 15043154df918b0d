"""What must the paper have done: the universes that are nearest to it, what they have in common, and what cannot be had
together.

`python -m companion.studies.nearest` runs the best universes of the stored search on fresh seeds, and what lies around
the best of them; `python -m companion.studies.multiverse` judges both.
Book: a chapter after "Every reading at once", which waits for these runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from companion.judging.multiverse import OBSERVATIONS
from companion.show.chapters import ROOT
from companion.studies import multiverse
from companion.sweeps.runs import stored_table, write_runs
from companion.sweeps.universes import AXES, Universe, run_universes
from companion.sweeps.workers import open_executor

FRESH = tuple(range(7010, 7040))
"""Seeds of the search's best universes: nothing before had looked at them."""
BEST = 20
"""How many of them run again."""
NEAR = 0.05
"""Part of the Sobol' sample that counts as near to the paper."""


# --- what the search found ---


def searched(root: Path) -> pd.DataFrame:
    """Return the stored trials of the search that ran to their end, one a universe, the best first.

    Of equals the earlier one; of a universe that was proposed again the first trial.
    """
    trials = stored_table(root, "multiverse-search").dropna(subset="worth")
    own = trials.drop_duplicates(list(AXES))
    return own.sort_values(["worth", "trial"], ascending=[False, True]).reset_index(drop=True)


def best_universes(root: Path, number: int = BEST) -> dict[int, Universe]:
    """Return the search's best universes by the numbers of their trials."""
    rows = searched(root).head(number)
    return {int(row["trial"]): Universe.of({axis: str(row[axis]) for axis in AXES}) for _, row in rows.iterrows()}


def around(universe: Universe) -> list[Universe]:
    """Return a universe and all that differ from it on one axis."""
    names = universe.names
    others = [
        universe.but(**{axis: level}) for axis, levels in AXES.items() for level in levels if level.name != names[axis]
    ]
    return [universe, *others]


def write_best(root: Path = ROOT, workers: int | None = 2) -> None:
    """Run the best universes on `FRESH`, and store their runs."""
    best = best_universes(root)
    with open_executor(workers) as executor:
        runs = run_universes(best, seeds=FRESH, executor=executor, progress=True)
    write_runs(runs, root / "data" / "multiverse-best-0000.parquet")


def nearest_found(root: Path) -> Universe:
    """Return the one of the best universes that reproduces most on the fresh seeds."""
    first = multiverse.nearness(multiverse.stored(root, "best").observed)["universe"].iloc[0]
    return best_universes(root)[int(first)]


def write_around(root: Path = ROOT, workers: int | None = 2) -> None:
    """Run what lies around `nearest_found` on `FRESH`, and store the runs; universe 0 is that itself."""
    with open_executor(workers) as executor:
        numbered = dict(enumerate(around(nearest_found(root))))
        runs = run_universes(numbered, seeds=FRESH, executor=executor, progress=True)
    write_runs(runs, root / "data" / "multiverse-around-0000.parquet")


# --- what can be had together ---


def reproduced(observed: pd.DataFrame) -> pd.DataFrame:
    """Return of each universe (the index) which of `OBSERVATIONS` it reproduces: booleans."""
    return observed.set_index("universe")[list(OBSERVATIONS)] == 1


def frontier(seen: pd.DataFrame) -> pd.DataFrame:
    """Return the largest sets of observations that some universe reproduces at once: none is part of another.

    Args:
        seen: booleans, a row a universe, a column an observation.

    Returns:
        A row a set, the largest first: size, observations (a tuple), universes (how many reproduce just these).
    """
    rows, counts = np.unique(seen.to_numpy(bool), axis=0, return_counts=True)
    # A row is part of another if nothing is in it alone.
    part = (rows[:, None] & ~rows[None]).sum(-1) == 0
    np.fill_diagonal(part, False)
    kept = [
        {
            "size": int(row.sum()),
            "observations": tuple(seen.columns[row]),
            "universes": int(count),
        }
        for row, count, inside in zip(rows, counts, part.any(1), strict=True)
        if not inside
    ]
    return pd.DataFrame(kept).sort_values(["size", "universes"], ascending=False, ignore_index=True)


def apart(seen: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of observations that are each reproduced somewhere, and together in no universe.

    Args:
        seen: booleans, a row a universe, a column an observation.

    Returns:
        A row a pair: first, second; how many universes reproduce each; expected (how many both, were they independent),
        the most surprising pair first.
    """
    counts = seen.sum()
    rows = [
        {"first": one, "second": other, "of first": int(counts[one]), "of second": int(counts[other])}
        for one, other in combinations(map(str, seen), 2)
        if counts[one] and counts[other] and not (seen[one] & seen[other]).any()
    ]
    table = pd.DataFrame(rows, columns=["first", "second", "of first", "of second"])
    table["expected"] = table["of first"] * table["of second"] / len(seen)
    return table.sort_values("expected", ascending=False, ignore_index=True)


def seen_nowhere(seen: pd.DataFrame) -> list[str]:
    """Return the observations that no universe reproduces."""
    return [name for name in map(str, seen) if not seen[name].any()]


# --- what near universes have in common ---


def near_levels(judged: multiverse.Judged, places: pd.DataFrame) -> pd.DataFrame:
    """Return how often each level stands among the part `NEAR` of a sample that is nearest to the paper.

    Args:
        judged: of the sample.
        places: `companion.studies.multiverse.codes` of its universes.

    Returns:
        As `companion.studies.multiverse.over_represented`.
    """
    near = multiverse.nearness(judged.observed)
    number = max(1, round(NEAR * len(near)))
    return multiverse.over_represented(places.loc[judged.observed["universe"]], near["universe"].head(number).tolist())


def stands_out(levels: pd.DataFrame) -> pd.DataFrame:
    """Return the levels whose interval does not hold the share with which they were drawn."""
    return levels[(levels["low"] > levels["drawn"]) | (levels["high"] < levels["drawn"])]


# --- as the chapter shows it ---


def counts_reproduced(sets: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return of each set of universes what share reproduces how many observations: rows set, reproduced, share.

    Args:
        sets: by name, what `reproduced` returned.
    """
    rows = []
    for name, seen in sets.items():
        count = np.bincount(seen.sum(axis=1), minlength=len(OBSERVATIONS) + 1)
        rows += [{"set": name, "reproduced": k, "share": value / len(seen)} for k, value in enumerate(count)]
    return pd.DataFrame(rows)


def best_panel(observed: pd.DataFrame, order: Sequence[int]) -> pd.DataFrame:
    """Return the share of each observation that universes show, for `companion.show.charts.grids`.

    Args:
        observed: of `companion.studies.multiverse.Judged`.
        order: the universes' numbers, the nearest first.
    """
    rows = observed.set_index("universe").loc[list(order), list(OBSERVATIONS)].T
    named = rows.rename(columns=str).rename_axis("row").reset_index()
    return named.melt("row", var_name="column", value_name="value")


READINGS = ("sobol", "neighbours", "strength-temperature", "start-overlap", *multiverse.FOUND)
"""The samples whose universes are readings of the paper."""


def seen_in_all(root: Path) -> pd.DataFrame:
    """Return what `reproduced` says of all readings that were run whole, in the order of `READINGS`."""
    return pd.concat([reproduced(multiverse.stored(root, name).observed) for name in READINGS], ignore_index=True)


def counts_of(root: Path) -> pd.DataFrame:
    """Return `counts_reproduced` of the sample, the search's trials, and its best on fresh seeds."""
    trials = searched(root).rename(columns={"trial": "universe"})
    sets = {
        "Sobol' sample": multiverse.stored(root, "sobol").observed,
        "the search's trials": trials,
        "its best twenty, fresh seeds": multiverse.stored(root, "best").observed,
    }
    return counts_reproduced({name: reproduced(observed) for name, observed in sets.items()})


def nominal_count(root: Path) -> int:
    """Return how many observations the nominal universe reproduces."""
    near = multiverse.nearness(multiverse.stored(root, "neighbours").observed)
    return int(near["reproduced"][near["universe"] == 0].iloc[0])


def best_table(root: Path) -> pd.DataFrame:
    """Return the search's best universes: how much each shows on calibration and on fresh seeds, and its levels.

    Returns:
        A row a universe (the index: its trial), the one that reproduces most on fresh seeds first.
    """
    trials = searched(root).set_index("trial")
    near = multiverse.nearness(multiverse.stored(root, "best").observed)
    own = trials.loc[near["universe"]]
    counts = {
        "calibration": (own[list(OBSERVATIONS)] == 1).sum(axis=1).to_numpy(),
        "fresh": near["reproduced"].to_numpy(),
        "shares, fresh": near["shares"].round(1).to_numpy(),
    }
    return pd.DataFrame(counts, index=pd.Index(near["universe"], name="trial")).join(own[list(AXES)])


def around_table(root: Path, number: int = 10) -> pd.DataFrame:
    """Return what lies around the nearest universe found, what reproduces most first: what differs, and how much."""
    universes = around(nearest_found(root))
    near = multiverse.nearness(multiverse.stored(root, "around").observed).head(number)
    changed = [
        "nothing" if universe == 0 else _difference(universes[0], universes[int(universe)])
        for universe in near["universe"]
    ]
    table = pd.DataFrame({"differs in": changed, "reproduced": near["reproduced"], "shares": near["shares"].round(1)})
    return table.set_index("differs in")


def _difference(one: Universe, other: Universe) -> str:
    """The axis on which two universes differ, and the level of the other."""
    axis = next(axis for axis, name in one.names.items() if other.names[axis] != name)
    return f"{axis}: {other.names[axis]}"


def frontier_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return `frontier` as the chapter tabulates it: the observations that each set lacks are fewer than it has."""
    lacking = [", ".join(name for name in OBSERVATIONS if name not in row) for row in found["observations"]]
    table = found.assign(lacks=lacking)[["size", "universes", "lacks"]]
    return table.rename(columns={"size": "reproduced"}).set_index("reproduced")


if __name__ == "__main__":
    write_best()
    multiverse.write()
    write_around()
