"""`python -m benchmarks.levels`: a step of every level of every axis of the multiverse against the nominal universe's,
added to the JSON of `python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks import ours, record
from companion.sweeps.universes import AXES, NOMINAL

SIZES = (3, 20, 100)
MASKS = {"coverage": "010", "separation": "001", "overlap": "100"}
"""Axes of a loss's forms are measured with that loss alone, all others with all three."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.levels", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a test-sized run, whose figures mean nothing")
    parser.add_argument("--out", type=Path, default=record.PATH, help="the JSON file to add to")
    options = parser.parse_args()
    if not options.out.exists():
        print(f"benchmarks.levels: {options.out} is not here; python -m benchmarks writes it", file=sys.stderr)
        return 1
    result = json.loads(options.out.read_text(encoding="utf-8"))
    rows = measure((3,) if options.quick else SIZES, 0.001 if options.quick else 0.1)
    result["levels"] = {"machine": record.machine(), "versions": record.versions(), "steps": rows}
    record.write(options.out, result)
    print(tabulate(rows, headers="keys", floatfmt=".3g"))
    print(f"{str(options.out)!a} written")
    return 0


def measure(sizes: tuple[int, ...], at_least: float) -> list[dict[str, Any]]:
    """Return the microseconds of a step by axis, level and size, on one core; sizes one after another.

    With momentum it is what its trainings cost together, up to three of them, over the steps of one.
    """
    ours.step_seconds(NOMINAL.settings("111", sizes[0]), sizes[0], at_least)  # compiles
    rows = []
    for size in sizes:
        for axis, levels in AXES.items():
            if axis == "steps":  # a step costs the same in all of them
                continue
            for level in levels:
                settings = NOMINAL.but(**{axis: level}).settings(MASKS.get(axis, "111"), size)
                step = ours.step_seconds(settings, size, at_least)
                rows.append({"axis": axis, "level": level.name, "size": size, "microseconds": 1e6 * step})
    return rows


if __name__ == "__main__":
    sys.exit(main())
