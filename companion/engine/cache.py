"""Compiled code on disk: numba's cache, and what happens where it cannot be read or written.

Book: chapter "How fast, and how it survives", section "One run in cache".
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

OPTIONS = {"error_model": "numpy", "nogil": True}
"""How all of the engine is compiled: dividing by 0 gives an infinity, and other threads go on meanwhile."""
SOURCE = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py")))
"""All of the engine. What Python calls is kept on disk by numba, which renews it when that function's file changes, but
not when one does that it calls. The values that a function takes from where it was defined count, too: hence this."""


class Kept(FunctionCache):
    """numba's cache of one function. What it cannot read is compiled anew, and what it cannot write is not kept."""

    warned = False

    def load_overload(self, sig, target_context):
        """Return the compiled function, or None: so numba compiles it."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # a disk's, or a pickle's: truncated, or of a numba or an engine that was renamed
            warn(error)
            self.forget()
            return None

    def save_overload(self, sig, data):
        """Keep the compiled function if the disk lets it."""
        try:
            super().save_overload(sig, data)
        except Exception as error:
            warn(error)
            self.forget()

    def forget(self):
        """Remove the index: one that cannot be read keeps what comes later from being kept, too, and one that was
        written before its code could be may name the code of an older engine, of which the file is still there."""
        with suppress(OSError):
            os.remove(self._cache_file._index_path)


def warn(error: Exception) -> None:
    """Say once a process that code is not kept."""
    if Kept.warned:
        return
    Kept.warned = True
    warnings.warn(
        f"the fast engine is compiled anew in every process, as its code cannot be kept on disk ({error}); "
        "NUMBA_CACHE_DIR may name a folder for it",
        RuntimeWarning,
        stacklevel=2,
    )


def kept_on_disk(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is compiled when it is first called, and kept on disk where that is possible."""
    compiled = njit(**OPTIONS)(function)
    try:
        compiled._cache = Kept(function)  # what numba's own `cache=True` does, with its own class
    except (RuntimeError, OSError) as error:  # no folder can be written: neither the package's nor one at home
        warn(error)
    return compiled
