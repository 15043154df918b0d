"""The numbers that the book's prose names: `_variables.yml`, from which Quarto fills `{{< var ten-seeds.studies >}}`.

A chapter's numbers are what its study's `numbers` returns. `python -m companion.studies.variables`, from the book's
folder, computes those that may have changed since they were written; `--all` computes all.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from companion.show.chapters import ROOT, digest_of
from companion.show.prose import READS, stored
from companion.studies import (
    attraction,
    baseline,
    budget,
    carriers,
    coverage,
    crowding,
    engine,
    expulsion,
    findings,
    forces,
    ledger,
    model,
    motion,
    overlap,
    playground,
    power,
    readers,
    reconstruction,
    replication,
    robustness,
    rounding,
    separation,
    space,
    symmetries,
    tails,
    temperature,
    usage,
    whose,
)
from companion.sweeps.store import write_whole

NUMBERS: dict[str, Callable[[Path], dict[str, str]]] = {
    "attractor": attraction.numbers,
    "budget": budget.numbers,
    "chance": baseline.numbers,
    "coverage": coverage.numbers,
    "crowding": crowding.numbers,
    "engine": engine.numbers,
    "every-reading": robustness.numbers,
    "expulsion": expulsion.numbers,
    "findings": findings.numbers,
    "forces": forces.numbers,
    "holding": carriers.numbers,
    "ledger": ledger.numbers,
    "memory": readers.numbers,
    "model": model.numbers,
    "motion": motion.numbers,
    "overlap": overlap.numbers,
    "playground": playground.numbers,
    "reconstruction": reconstruction.numbers,
    "replication": replication.numbers,
    "rounding": rounding.numbers,
    "separation": separation.numbers,
    "space": space.numbers,
    "symmetries": symmetries.numbers,
    "tails": tails.numbers,
    "temperature": temperature.numbers,
    "ten-seeds": power.numbers,
    "usage": usage.numbers,
    "whose": whose.numbers,
}
"""The function of each chapter that names numbers; the chapter is named by its file, without its place in the book."""


def digest(chapter: str, root: Path = ROOT) -> str:
    """Return 16 hexadecimal digits of what a chapter's numbers are computed from: its study's code, and `data/`."""
    return digest_of([f"import {NUMBERS[chapter].__module__}"], root)


def stale(root: Path = ROOT) -> list[str]:
    """Return the chapters whose numbers were computed from something else than what stands there now."""
    before = stored(root)[READS]
    return [chapter for chapter in NUMBERS if before.get(chapter) != digest(chapter, root)]


def write(root: Path = ROOT, everything: bool = False) -> None:
    """Compute the numbers of the chapters that are stale (or of all) and write `_variables.yml`, sorted."""
    before, fresh = stored(root), list(NUMBERS) if everything else stale(root)
    table = {
        chapter: numbers(root / "data") if chapter in fresh else before[chapter] for chapter, numbers in NUMBERS.items()
    }
    table[READS] = {chapter: digest(chapter, root) for chapter in NUMBERS}
    lines = ["# Written by `make chapters`; what computes a number is named in companion/studies/variables.py."]
    for chapter, values in sorted(table.items()):
        # In quotes as JSON has them, which YAML reads too and _downloads.ts without a library.
        lines += [
            f"{chapter}:",
            *(f"  {name}: {json.dumps(values[name], ensure_ascii=False)}" for name in sorted(values)),
        ]
    write_whole(root / "_variables.yml", ("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    write(everything="--all" in sys.argv)
