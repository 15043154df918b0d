"""A sweep's store: a folder of Parquet parts, each written whole or not at all, each checked before it is believed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import BaseFileLock, FileLock, Timeout

from companion.core.checks import require_a, shown
from companion.core.settings import Settings

SCHEMA = 5
"""Number of the layout of a part: its columns and its metadata. It grows when either changes."""

NOT_FOR_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)
"""What some network disks, on which a folder cannot be synchronised, answer when asked to."""

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
        "position_error": pa.float64(),
        "value_error": pa.float64(),
        "specialization_ratio": pa.float64(),
        "expelled_fraction": pa.float64(),
        "x": NUMBERS,
        "y": NUMBERS,
        "w": NUMBERS,
        "b": NUMBERS,
        "a": NUMBERS,
        "c": pa.float64(),
        "neuron": pa.string(),
        "dimension": pa.int64(),
        "density": pa.string(),
        "prototypes": NUMBERS,
        "values": NUMBERS,
        "inputs": pa.string(),
        "initialisation": pa.string(),
        "optimiser": pa.string(),
        "activation": pa.string(),
        "coverage_form": pa.string(),
        "separation_form": pa.string(),
        "overlap_form": pa.string(),
        "reduction": pa.string(),
        "matched": pa.bool_(),
        "root_mean_square_error": pa.float64(),
        "distinct_samples": pa.float64(),
        "above_half": pa.float64(),
        "outside_unit": pa.float64(),
    }
)
"""Columns of a run, in their order; `data/README.md` explains them. In d dimensions x, w and prototypes are flat lists,
point after point, and so is b of radial neurons."""
ON_THE_LINE = COLUMNS.names[: COLUMNS.names.index("neuron")]
"""Those that a sweep returns unless it is asked for others: the rest is known on the line, or follows from these."""

DECIDING = ("companion", "torch", "numpy", "numba")
"""Packages whose version may change the bits of a result; the versions of all others may differ within a store."""

METADATA = b"latent-to-data"
LOCK = ".lock"
TEMPORARY = ".tmp-"
PART = re.compile(r"[01]{3}-(?P<key>[0-9a-f]{12})-N\d+-\d+-\d+-(?P<digest>[0-9a-f]{16})\.parquet")
"""A part's name: mask, key of the settings, size, first and last seed, the start of the SHA-256 of its bytes."""
LEFTOVER = re.compile(rf"{re.escape(TEMPORARY)}{PART.pattern}(-[0-9a-f]{{8}})?")
"""Name under which a part is written (a companion before this one put nothing after the part's name)."""
OF_EARLIER_COMPANIONS = re.compile(r"[01]{3}-N\d+-\d+-\d+-[0-9a-f]{16}\.parquet|(radial|ridge)_\d+_.*\.parquet")
"""Names of parts that a companion before 0.2 kept, of sweeps on the line and in d dimensions."""


class Group(NamedTuple):
    """Runs that differ in nothing but the seed."""

    settings: Settings
    size: int
    seeds: tuple[int, ...]


class Part(NamedTuple):
    """One file of a store: some runs of one group."""

    path: Path
    settings: Settings
    size: int
    seeds: np.ndarray


def require_runs(group: Group, runs: pa.Table) -> None:
    """Pass if runs are those of a group, a row a seed, in the columns of a store.

    Raises:
        ValueError: naming what is not.
    """
    if not runs.schema.equals(COLUMNS):
        raise ValueError(f"runs: {runs.schema.names} were given; allowed are the columns of a store, in their types")
    for name, given, allowed in (
        ("masks", runs["mask"].unique(), [group.settings.mask]),
        ("sizes", runs["size"].unique(), [group.size]),
        ("seeds", runs["seed"], list(group.seeds)),
    ):
        if given.to_pylist() != allowed:
            raise ValueError(f"{name}: {given.to_pylist()} were given; allowed are the group's, {allowed}")


class Store:
    """A folder that keeps finished runs of any settings, locked by one process while it is open.

    Use it as a context manager. On opening, every file is checked: a folder that is refused stays as it was. A run is
    known by its settings, size and seed; how it is trained, and the versions that decide its bits, are equal in all.

    All who may write to the folder may use it, one at a time. Who may only read it, or finds it on a read-only disk,
    reads it without a lock, for a part is whole as soon as it has its name; runs that are missing cannot be added then.
    """

    def __init__(self, folder: str | Path, how: Mapping[str, str], versions: Mapping[str, str]) -> None:
        """Describe the store; nothing is read or written yet.

        Args:
            folder: made when the store is opened, if its parent exists.
            how: engine, device and dtype of the runs, by these names.
            versions: of the packages that make the runs.
        """
        if not isinstance(folder, str | Path) or folder == "":
            raise ValueError(f"store: {shown(folder)} was given; allowed is the path of a folder")
        self.folder = Path(folder)
        self.header: dict[str, Any] = {"schema": SCHEMA, "how": dict(how), "versions": dict(versions)}
        self._lock: BaseFileLock | None = None
        self._parts: list[Part] = []

    def __enter__(self) -> Self:
        """Lock the folder, check every file in it, and remove what an interrupted write left.

        Raises:
            ValueError: naming the file that does not belong there, or that another sweep holds the lock, or what the
                disk says.
        """
        try:
            with ExitStack() as undo:
                self.folder = self.folder.absolute()  # wherever this process changes to
                self._make_folder(undo)
                # Before the lock, too: it is a file, and a folder that is no store is to stay as it was.
                self._files()
                lock = self._locked(undo)
                files = self._files()
                self._parts = [self._check(path, name) for path in files if (name := PART.fullmatch(path.name))]
                self._refuse_runs_kept_twice()
                if lock:
                    for path in files:
                        if LEFTOVER.fullmatch(path.name):
                            path.unlink()
                undo.pop_all()
        except OSError as error:
            raise ValueError(
                f"store: {str(self.folder)!r} was given, and it cannot be opened ({error}); give another folder"
            ) from None
        self._lock = lock
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock:
            # All runs are on the disk; a lock that the disk does not give back ends with this process.
            _try(self._lock.release)
        self._lock = None

    def _make_folder(self, undo: ExitStack) -> None:
        """Make the folder if it is not there."""
        try:
            if self.folder.is_dir():
                return
            self.folder.mkdir(exist_ok=True)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"store: {str(self.folder)!r} was given; allowed is a folder, or a new one in a folder "
                f"({reason(error)})"
            ) from None
        undo.callback(_try, self.folder.rmdir)
        _sync_folder(self.folder.parent)

    def _locked(self, undo: ExitStack) -> BaseFileLock | None:
        """Return the folder's lock, held, or None for a folder that may only be read."""
        if not os.access(self.folder, os.W_OK):
            return None
        file = self.folder / LOCK
        was_there = file.exists()
        # On a disk without locks, filelock would take a file's existence for one, which a killed sweep never ends.
        lock = FileLock(file, timeout=0, fallback_to_soft=False)
        try:
            lock.acquire()
        except Timeout:
            raise ValueError(
                f"store: {str(self.folder)!r} was given, and another sweep is using it; "
                "wait until that one ends, or give another folder"
            ) from None
        except OSError as error:
            if not was_there:
                _try(file.unlink)
            raise ValueError(
                f"store: {str(file)!r} cannot be locked ({reason(error)}); allowed is a folder in which it can: give "
                "one of your own, on a disk of this machine, or a copy there"
            ) from None
        undo.callback(_try, lock.release)
        if not was_there:
            undo.callback(_try, file.unlink)
            # Whatever this user's umask: all who may write to the folder are to be able to lock it.
            _try(lambda: file.chmod(0o666))
        return lock

    def require_lock(self) -> None:
        """Pass if runs can be added.

        Raises:
            ValueError: if the folder may only be read, or is not open.
        """
        if self._lock is None:
            raise ValueError(
                f"store: {str(self.folder)!r} lacks runs and may only be read here; allowed is a folder that may be "
                "written to, such as a copy of it"
            )

    def finished(self, settings: Settings, size: int) -> set[int]:
        """Return the seeds of a group that are kept."""
        return {seed for part in self._of(settings, size) for seed in part.seeds.tolist()}

    def add(self, group: Group, runs: pa.Table) -> None:
        """Keep runs; when this returns, they are on the disk and stay there.

        Args:
            group: whose runs they are, and no others.
            runs: `COLUMNS`, a row a seed of the group.

        Raises:
            ValueError: if a run is kept already, runs are not those of the group, or the folder may only be read.
            OSError: if they cannot be written; the file of them is whole then, or there is none.
        """
        self.require_lock()
        require_runs(group, runs)
        seeds = np.asarray(group.seeds)
        for part in self._of(group.settings, group.size):
            if np.isin(seeds, part.seeds).any():
                raise ValueError(
                    f"seeds: of {group.settings.text}, size {group.size}, some are kept already in {str(part.path)!r}"
                )
        metadata = {METADATA: json.dumps(self.header | {"settings": group.settings.text})}
        sink = pa.BufferOutputStream()
        pq.write_table(runs.replace_schema_metadata(metadata), sink)
        data = sink.getvalue()
        path = self.folder / _name(group.settings, group.size, seeds, _digest(data))
        write_whole(path, data)
        self._parts.append(Part(path, group.settings, group.size, seeds))

    def read(
        self, groups: Iterable[Group], columns: Sequence[str] = tuple(COLUMNS.names)
    ) -> Iterator[tuple[Settings, int, pa.Table]]:
        """Yield the parts that hold runs of some groups, checked again, with the columns asked for, one at a time.

        Yields:
            The settings, the size and the runs of a part, all that it holds.

        Raises:
            ValueError: naming a part whose bytes changed since it was written.
        """
        for settings, size in dict.fromkeys((group.settings, group.size) for group in groups):
            for part in self._of(settings, size):
                yield settings, size, self._load(part.path, columns)[1]

    def _of(self, settings: Settings, size: int) -> list[Part]:
        return [part for part in self._parts if part.size == size and part.settings == settings]

    def _files(self) -> list[Path]:
        """Return parts and leftovers of interrupted writes, sorted; refuse whatever else is in the folder."""
        files: list[Path] = []
        for path in sorted(self.folder.iterdir()):
            # One that is gone by now was another sweep's, which holds the lock and gave the file its name.
            is_file = path.is_file() or not os.path.lexists(path)
            if is_file and OF_EARLIER_COMPANIONS.fullmatch(path.name):
                raise ValueError(
                    f"store: {str(path)!r} was kept by a companion before 0.2, and this one ({_here(self.header)}) "
                    "reads none of those; give another folder, and the same call trains the runs again, to the same "
                    "bits"
                )
            if not is_file or not (path.name == LOCK or PART.fullmatch(path.name) or LEFTOVER.fullmatch(path.name)):
                raise ValueError(
                    f"store: {str(path)!r} was found, which is no part of a store; "
                    "move it out of the folder, or give another folder"
                )
            if path.name != LOCK:
                files.append(path)
        return files

    def _check(self, path: Path, name: re.Match[str]) -> Part:
        """Return what a part holds, if its name says the same."""
        settings, runs = self._load(path, ("size", "seed"))
        sizes, seeds = runs["size"].unique().to_pylist(), runs["seed"].to_numpy()
        expected = _name(settings, sizes[0], seeds, name["digest"]) if len(sizes) == 1 else ""
        if path.name != expected:
            raise ValueError(f"store: {str(path)!r} was renamed; give it back its name, {expected}")
        return Part(path, settings, sizes[0], seeds)

    def _load(self, path: Path, columns: Sequence[str]) -> tuple[Settings, pa.Table]:
        """Read a part if its bytes are those that were written, by this schema, in this way and by these versions."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ValueError(
                f"store: {str(path)!r} cannot be read ({reason(error)}); make it readable, or give another folder"
            ) from None
        name = PART.fullmatch(path.name)
        if name is None or _digest(data) != name["digest"]:
            raise ValueError(
                f"store: {str(path)!r} is damaged (its bytes are not those that its name was made from); "
                "move it out of the folder, and the same call trains its runs again"
            )
        try:
            file = pq.ParquetFile(pa.BufferReader(data))
            header = json.loads(file.schema_arrow.metadata[METADATA])
            schema, how, versions = header["schema"], dict(header["how"]), dict(header["versions"])
            settings = header["settings"]
        except (pa.ArrowInvalid, KeyError, TypeError, ValueError):
            raise ValueError(
                f"store: {str(path)!r} was not made by a sweep; move it out of the folder, or give another folder"
            ) from None
        if schema != SCHEMA:
            raise ValueError(
                f"store: {str(path)!r} has schema {schema}, and this companion ({_here(self.header)})"
                f" reads schema {SCHEMA}; use the companion that made it, or give another folder"
            )
        wanted = self.header["how"]
        for name in sorted(wanted.keys() | how.keys()):
            if how.get(name) != wanted.get(name):
                raise ValueError(
                    f"store: {str(path)!r} was made with {name} {how.get(name)!r}, and {wanted.get(name)!r} was "
                    "given; give the former, or another folder"
                )
        for name, (there, here) in differing_versions(versions, self.header["versions"]).items():
            raise ValueError(
                f"store: {str(path)!r} was made with {name} {there}, and {name} {here} is here; "
                "install the former, or give another folder"
            )
        if not file.schema_arrow.equals(COLUMNS):
            raise ValueError(f"store: {str(path)!r} has other columns than a sweep's; move it out of the folder")
        try:
            found = Settings.parse(settings)
        except (TypeError, ValueError) as error:
            raise ValueError(f"store: {str(path)!r} was made with settings that are none here; {error}") from None
        return found, file.read(list(columns), use_threads=False)

    def _refuse_runs_kept_twice(self) -> None:
        """Refuse a store in which a run stands twice, naming the parts."""
        for settings, size in dict.fromkeys((part.settings, part.size) for part in self._parts):
            parts = self._of(settings, size)
            values, counts = np.unique(np.concatenate([part.seeds for part in parts]), return_counts=True)
            for seed in values[counts > 1]:
                names = " and ".join(repr(str(part.path)) for part in parts if seed in part.seeds)
                raise ValueError(
                    f"store: {settings.text}, size {size}, seed {seed} stands twice, in {names}; "
                    "move all but one out of the folder"
                )


def _here(header: Mapping[str, Any]) -> str:
    return header["versions"]["companion"]


def differing_versions(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Return the packages among `DECIDING` whose versions differ, with both."""
    one, other = require_a(Mapping, "one", one), require_a(Mapping, "other", other)
    return {name: (one.get(name), other.get(name)) for name in DECIDING if one.get(name) != other.get(name)}


def _name(settings: Settings, size: int, seeds: np.ndarray, digest: str) -> str:
    return f"{settings.mask}-{settings.key}-N{size}-{seeds[0]}-{seeds[-1]}-{digest}.parquet"


def _digest(data: bytes | pa.Buffer) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def write_whole(path: Path, data: bytes | pa.Buffer) -> None:
    """Write a file so that under its name it is complete and on the disk, whenever the process or the machine stops.

    Args:
        path: in a folder that exists; a file already there is replaced only once the new one is complete.
        data: all its bytes.

    Raises:
        OSError: if they cannot be written; what stands under the name then is what was there, or all of the new.
    """
    temporary = temporary_of(path)
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        _try(temporary.unlink)
        raise
    _sync_folder(path.parent)


def temporary_of(path: Path) -> Path:
    """Return where a file is written before it gets its name: another place for each of several writers at once."""
    return path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}")


def reason(error: OSError | ValueError) -> str:
    """Return what the system says of a path: of a name that no disk could hold, Python says it, as a ValueError."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _try(tidy: Callable[[], object]) -> None:
    """Tidy up after an error, which is not to be hidden by a second one."""
    with suppress(OSError):
        tidy()


def _sync_folder(folder: Path) -> None:
    """Bring a folder's list of names onto the disk, where that can be done; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # it may be written to, and not read
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NOT_FOR_FOLDERS:
            raise
    finally:
        os.close(handle)
