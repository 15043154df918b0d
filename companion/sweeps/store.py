"""A sweep's store: a folder of Parquet parts, each written whole or not at all, each checked before it is believed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

SCHEMA = 2
"""Number of the layout of a part: its columns and its metadata. It grows when either changes."""

NUMBERS = pa.list_(pa.float64())
COLUMNS = pa.schema(
    {
        "mask": pa.string(),
        "size": pa.int64(),
        "seed": pa.int64(),
        "strength": pa.float64(),
        "temperature": pa.float64(),
        "attractor": pa.string(),
        "balance": pa.float64(),
        "anneal": pa.bool_(),
        "steps": pa.int64(),
        "learning_rate": pa.float64(),
        "target": pa.string(),
        "engine": pa.string(),
        "dtype": pa.string(),
        "fit_mse": pa.float64(),
        "reconstruction_error": pa.float64(),
        "specialization_ratio": pa.float64(),
        "expelled_fraction": pa.float64(),
        "x": NUMBERS,
        "y": NUMBERS,
        "w": NUMBERS,
        "b": NUMBERS,
        "a": NUMBERS,
        "c": pa.float64(),
    }
)
"""Columns of a run, in their order; `data/README.md` explains them."""

KEYS = ("mask", "size", "seed")
DECIDING = ("companion", "torch", "numpy", "numba")
"""Packages whose version may change the bits of a result; the versions of all others may differ within a store."""

METADATA = b"latent-to-data"
LOCK = ".lock"
TEMPORARY = ".tmp-"
PART = re.compile(r"[01]{3}-N\d+-\d+-\d+-(?P<digest>[0-9a-f]{16})\.parquet")
"""A part's name: mask, size, first and last seed, and the start of the SHA-256 of the file's bytes."""


class Part(NamedTuple):
    """One file of a store: runs of one mask and size."""

    path: Path
    mask: str
    size: int
    seeds: np.ndarray


class Store:
    """A folder that keeps finished runs, locked by one process while it is open.

    Use it as a context manager. On opening, every file is checked: a folder that is refused stays as it was.
    Runs are known by mask, size and seed; whatever else decides their numbers is a setting, equal in all parts.
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, Any], versions: Mapping[str, str]) -> None:
        """Describe the store; nothing is read or written yet.

        Args:
            folder: made when the store is opened, if its parent exists.
            settings: what decides a run besides mask, size and seed; numbers and text.
            versions: of the packages that make the runs.
        """
        if not isinstance(folder, str | Path):
            raise ValueError(f"store: {folder!r} was given; allowed is the path of a folder")
        self.folder = Path(folder)
        self.header = {"schema": SCHEMA, "settings": dict(settings), "versions": dict(versions)}
        self._lock = FileLock(self.folder / LOCK, timeout=0)
        self._parts: list[Part] = []

    def __enter__(self) -> Self:
        """Lock the folder, check every file in it, and remove what an interrupted write left.

        Raises:
            ValueError: naming the file that does not belong there, or the sweep that holds the lock.
        """
        if not self.folder.parent.is_dir() or (self.folder.exists() and not self.folder.is_dir()):
            raise ValueError(f"store: {str(self.folder)!r} was given; allowed is a folder, or a new one in a folder")
        if not self.folder.exists():
            self.folder.mkdir(exist_ok=True)
            _sync_folder(self.folder.parent)
        # Before the lock, too: it is a file, and a folder that is no store is to stay as it was.
        self._files()
        was_locked_before = (self.folder / LOCK).exists()
        try:
            self._lock.acquire()
        except Timeout:
            raise ValueError(
                f"store: {str(self.folder)!r} was given, and another sweep is using it; "
                "wait until that one ends, or give another folder"
            ) from None
        try:
            files = self._files()
            self._parts = [self._check(path) for path in files if PART.fullmatch(path.name)]
            self._refuse_runs_kept_twice()
            for path in files:
                if path.name.startswith(TEMPORARY):
                    path.unlink()
        except BaseException:
            if not was_locked_before:
                (self.folder / LOCK).unlink()
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def finished(self) -> dict[tuple[str, int], np.ndarray]:
        """Return the seeds that are kept, by mask and size."""
        seeds: dict[tuple[str, int], list[np.ndarray]] = {}
        for part in self._parts:
            seeds.setdefault((part.mask, part.size), []).append(part.seeds)
        return {key: np.concatenate(arrays) for key, arrays in seeds.items()}

    def add(self, table: pa.Table) -> None:
        """Keep runs; when this returns, they are on the disk and stay there.

        Args:
            table: `COLUMNS`, of one mask and size.

        Raises:
            ValueError: if a run is kept already, or the runs differ in mask or size.
            OSError: if they cannot be written; nothing of them is kept then.
        """
        mask, size, seeds = _keys(table)
        for part in self._parts:
            if (part.mask, part.size) == (mask, size) and np.isin(seeds, part.seeds).any():
                raise ValueError(f"seeds: of mask {mask!r}, size {size}, some are kept already in {str(part.path)!r}")
        metadata = {METADATA: json.dumps(self.header)}
        sink = pa.BufferOutputStream()
        pq.write_table(table.select(COLUMNS.names).replace_schema_metadata(metadata), sink)
        data = sink.getvalue()
        path = self.folder / _name(mask, size, seeds, _digest(data))
        write_whole(path, data)
        self._parts.append(Part(path, mask, size, seeds))

    def read(self, columns: Sequence[str] = tuple(COLUMNS.names)) -> Iterator[pa.Table]:
        """Yield each part, checked again, with the columns asked for; one part at a time is in memory.

        Raises:
            ValueError: naming a part whose bytes changed since it was written.
        """
        for part in self._parts:
            yield self._load(part.path, columns)

    def _files(self) -> list[Path]:
        """Return parts and leftovers of interrupted writes, sorted; refuse whatever else is in the folder."""
        files = sorted(path for path in self.folder.iterdir() if path.name != LOCK)
        for path in files:
            if not path.is_file() or not (PART.fullmatch(path.name) or path.name.startswith(TEMPORARY)):
                raise ValueError(
                    f"store: {str(path)!r} was found, which is no part of a store; "
                    "move it out of the folder, or give another folder"
                )
        return files

    def _check(self, path: Path) -> Part:
        """Return what a part holds, if its name says the same."""
        mask, size, seeds = _keys(self._load(path, KEYS))
        expected = _name(mask, size, seeds, PART.fullmatch(path.name)["digest"])
        if path.name != expected:
            raise ValueError(f"store: {str(path)!r} was renamed; give it back its name, {expected}")
        return Part(path, mask, size, seeds)

    def _load(self, path: Path, columns: Sequence[str]) -> pa.Table:
        """Read a part if its bytes are those that were written, by this schema, settings and versions."""
        data = path.read_bytes()
        if _digest(data) != PART.fullmatch(path.name)["digest"]:
            raise ValueError(
                f"store: {str(path)!r} is damaged (its bytes are not those that its name was made from); "
                "move it out of the folder, and the same call trains its runs again"
            )
        try:
            file = pq.ParquetFile(pa.BufferReader(data))
            header = json.loads(file.schema_arrow.metadata[METADATA])
            schema, settings, versions = header["schema"], dict(header["settings"]), dict(header["versions"])
        except (pa.ArrowInvalid, KeyError, TypeError, ValueError):
            raise ValueError(
                f"store: {str(path)!r} was not made by a sweep; move it out of the folder, or give another folder"
            ) from None
        if schema != SCHEMA:
            raise ValueError(
                f"store: {str(path)!r} has schema {schema}, and this companion ({self.header['versions']['companion']})"
                f" reads schema {SCHEMA}; use the companion that made it, or give another folder"
            )
        wanted = self.header["settings"]
        for name in sorted(wanted.keys() | settings.keys()):
            if settings.get(name) != wanted.get(name):
                raise ValueError(
                    f"store: {str(path)!r} was made with {name} {settings.get(name)!r}, and {wanted.get(name)!r} was "
                    "given; give the former, or another folder"
                )
        for name, (there, here) in differing_versions(versions, self.header["versions"]).items():
            raise ValueError(
                f"store: {str(path)!r} was made with {name} {there}, and {name} {here} is here; "
                "install the former, or give another folder"
            )
        if not file.schema_arrow.equals(COLUMNS):
            raise ValueError(f"store: {str(path)!r} has other columns than a sweep's; move it out of the folder")
        return file.read(list(columns), use_threads=False)

    def _refuse_runs_kept_twice(self) -> None:
        """Refuse a store in which a run stands twice, naming the parts."""
        for (mask, size), seeds in self.finished().items():
            values, counts = np.unique(seeds, return_counts=True)
            for seed in values[counts > 1]:
                same = [part for part in self._parts if (part.mask, part.size) == (mask, size) and seed in part.seeds]
                names = " and ".join(repr(str(part.path)) for part in same)
                raise ValueError(
                    f"store: mask {mask!r}, size {size}, seed {seed} stands twice, in {names}; "
                    "move all but one out of the folder"
                )


def differing_versions(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Return the packages among `DECIDING` whose versions differ, with both."""
    return {name: (one.get(name), other.get(name)) for name in DECIDING if one.get(name) != other.get(name)}


def _keys(table: pa.Table) -> tuple[str, int, np.ndarray]:
    """Return the one mask and the one size of some runs, and their seeds."""
    mask, size = (table[name].unique().to_pylist() for name in ("mask", "size"))
    if len(mask) != 1 or len(size) != 1:
        raise ValueError(f"runs: masks {mask}, sizes {size} were given; allowed is one of each a part")
    return mask[0], size[0], table["seed"].to_numpy()


def _name(mask: str, size: int, seeds: np.ndarray, digest: str) -> str:
    return f"{mask}-N{size}-{seeds[0]}-{seeds[-1]}-{digest}.parquet"


def _digest(data: bytes | pa.Buffer) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def write_whole(path: Path, data: bytes | pa.Buffer) -> None:
    """Write a file so that under its name it is complete and on the disk, whenever the process or the machine stops.

    Args:
        path: in a folder that exists; a file already there is replaced only once the new one is complete.
        data: all its bytes.

    Raises:
        OSError: if they cannot be written; the file that was there stays.
    """
    temporary = path.with_name(TEMPORARY + path.name)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Bring a folder's list of names onto the disk; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
