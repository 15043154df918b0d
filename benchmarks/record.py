"""What a measurement is stored with, and how: the machine, the versions, a file written whole or not at all."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.work import CORES
from companion.sweeps.store import write_whole

PATH = Path(__file__).parents[1] / "data" / "benchmarks.json"


def machine() -> dict[str, Any]:
    """Return the processor's name, the cores that this process may use, and the operating system."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "vectors": "AVX-512" if any("avx512f" in line for line in lines if line.startswith("flags")) else "narrower",
        "cores": CORES,
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries measured, of those that are here."""
    found = {"python": platform.python_version()}
    for name in ("torch", "numpy", "numba", "llvmlite", "jax", "jaxlib"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write(path: Path, result: dict[str, Any]) -> None:
    """Write a result, whole or not at all."""
    write_whole(path, (json.dumps(result, indent=1) + "\n").encode())
