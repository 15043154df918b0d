"""The versions that stores and files carry: this companion's, Python's and those of the libraries."""

from __future__ import annotations

import functools
import platform
from importlib.metadata import version

__version__ = "0.2.0"


@functools.cache
def _library_versions() -> dict[str, str]:
    names = ("torch", "numpy", "numba", "scipy", "pandas", "pyarrow")
    return {"companion": __version__, "python": platform.python_version(), **{name: version(name) for name in names}}


def library_versions() -> dict[str, str]:
    """Return the versions that a result depends on: Python's, this module's, and the libraries'."""
    return dict(_library_versions())
