"""What disks and other users do to a store and to files: it is said in words, and nothing finished is lost."""

from __future__ import annotations

import ast
import contextlib
import errno
import io
import json
import os
import re
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import torch
from conftest import ROOT
from test_store import SMALL, contents, parts, runs_in, same

from companion.core.settings import Settings
from companion.sweeps import store as store_module
from companion.sweeps import sweep
from companion.sweeps.runs import check_out, write_runs
from companion.sweeps.store import Group, Store, write_whole
from companion.sweeps.sweep import ENGINES, Batch, How, run_batch, run_sweep

fcntl = pytest.importorskip("fcntl", reason="this is how Linux and macOS fail; Windows has no fcntl")
FEW = SMALL | {"sizes": [3], "columns": ["mask", "seed", "w", "reconstruction_error"]}
"""Four parts of two runs, two a mask."""
LENGTH = 8


@pytest.fixture(autouse=True, scope="module")
def prepared() -> Iterator[dict[Batch, pa.Table]]:
    """Every batch is trained once, and given out again wherever it is asked for; two seeds a part."""
    known: dict[Batch, pa.Table] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENGINES, "torch", ENGINES["torch"]._replace(batch=lambda size, steps: 2))
        patch.setattr(sweep, "run_batch", lambda batch: known[batch] if batch in known else trained_once(batch, known))
        yield known
    torch.set_num_threads(threads)


def trained_once(batch: Batch, known: dict[Batch, pa.Table]) -> pa.Table:
    return known.setdefault(batch, run_batch(batch))


@pytest.fixture(scope="module")
def expected(prepared) -> pd.DataFrame:
    return run_sweep(**FEW)


@pytest.fixture(scope="module")
def filled(expected, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "runs"
    run_sweep(**FEW, store=folder)
    return folder


def in_words(error: BaseException, name: str) -> str:
    """The message of an error that is one sentence about an argument."""
    assert type(error) is ValueError and str(error).startswith(f"{name}: ") and "\n" not in str(error), repr(error)
    return str(error)


# Every call that the store makes fails in turn


class Opened:
    """An open file on a disk that can fail."""

    def __init__(self, disk: Disk, file: Any) -> None:
        self._disk, self._file = disk, file
        disk.handles[file.fileno()] = "file"

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._file.closed:
            self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        self._disk.handles.pop(self._file.fileno())
        self._file.close()
        self._disk.call("close file")

    def _failing(name: str) -> Callable[..., Any]:  # noqa: N805
        def called(self: Opened, *arguments: Any) -> Any:
            self._disk.call(name)
            return getattr(self._file, name)(*arguments)

        return called

    write, flush, read = map(_failing, ("write", "flush", "read"))


class Disk:
    """Every call to the system that concerns a folder: they are noted, and one of them fails."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path, fails: int | None = None, number: int = 0) -> None:
        self.folder, self.fails, self.number = str(folder), fails, number
        self.handles: dict[int, str] = {}
        self.calls: list[tuple[str, tuple]] = []
        self._stat = os.stat
        for name in ("mkdir", "rmdir", "listdir", "stat", "lstat", "access", "chmod", "replace", "unlink"):
            patch.setattr(os, name, self._of_a_path(name, getattr(os, name)))
        for name in ("fsync", "fstat", "close"):
            patch.setattr(os, name, self._of_a_handle(name, getattr(os, name)))
        patch.setattr(os, "open", self._open(os.open))
        patch.setattr(io, "open", self._open_file(io.open))
        patch.setattr(fcntl, "flock", self._lock(fcntl.flock))

    def call(self, name: str) -> None:
        frame, lines = sys._getframe(1), []
        while frame:
            if frame.f_code.co_filename.endswith(("sweeps/store.py", "filelock/_unix.py")):
                lines.append((frame.f_code.co_filename[-8:], frame.f_lineno))
            frame = frame.f_back
        self.calls.append((name, tuple(lines)))
        if len(self.calls) - 1 == self.fails:
            raise OSError(self.number, os.strerror(self.number))

    def _concerns(self, path: Any) -> bool:
        return isinstance(path, str | Path) and str(path).startswith(self.folder)

    def _is_there(self, path: Path) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return bool(self._stat(path))
        return False

    def _of_a_path(self, name: str, real: Callable) -> Callable:
        def called(path: Any, *arguments: Any, **more: Any) -> Any:
            if self._concerns(path):
                self.call("mkdir again" if name == "mkdir" and self._is_there(path) else name)
            return real(path, *arguments, **more)

        return called

    def _of_a_handle(self, name: str, real: Callable) -> Callable:
        def called(handle: int, *arguments: Any) -> Any:
            kind = self.handles.get(handle)
            if name == "close":  # the handle is gone, whatever the answer
                self.handles.pop(handle, None)
                real(handle)
            if kind:
                self.call(f"{name} {kind}")
            return None if name == "close" else real(handle, *arguments)

        return called

    def _open(self, real: Callable) -> Callable:
        def called(path: Any, *arguments: Any, **more: Any) -> int:
            if not self._concerns(path):
                return real(path, *arguments, **more)
            kind = "lock" if str(path).endswith(store_module.LOCK) else "folder"
            self.call(f"open {kind}")
            handle = real(path, *arguments, **more)
            self.handles[handle] = kind
            return handle

        return called

    def _open_file(self, real: Callable) -> Callable:
        def called(path: Any, *arguments: Any, **more: Any) -> Any:
            if not self._concerns(path):
                return real(path, *arguments, **more)
            self.call("open file")
            return Opened(self, real(path, *arguments, **more))

        return called

    def _lock(self, real: Callable) -> Callable:
        def called(handle: int, what: int) -> None:
            if handle in self.handles:
                self.call("unlock" if what == fcntl.LOCK_UN else "lock")
            real(handle, what)

        return called


def nothing(filled: Path, folder: Path) -> None:
    """Of the store no more than the folder in which it is to be made."""
    folder.parent.mkdir()


def half_done(filled: Path, folder: Path) -> None:
    """Of four parts two, and what an interrupted write left of another."""
    shutil.copytree(filled, folder)
    third, fourth = parts(folder)[2:]
    third.rename(third.with_name(f"{store_module.TEMPORARY}{third.name}-01234567"))
    fourth.unlink()


SITES = {"open file", "write", "flush", "fsync file", "close file", "replace", "open folder", "fsync folder"} | {
    "close folder", "listdir", "stat", "open lock", "lock", "unlock"
}  # fmt: skip
ONLY_IN = {nothing: {"mkdir"}, half_done: {"read", "unlink"}}
"""The calls by which a store is opened, filled and closed; a part that was written is read again in any state."""
CARRIED_ON = {
    *(("fsync folder", number) for number in store_module.NOT_FOR_FOLDERS),
    *((call, number) for call in ("open folder", "open lock") for number in (errno.EACCES, errno.EPERM)),
}
"""What a disk may refuse, and the runs are kept all the same."""
NEVER_MIND = {"mkdir again", "lstat", "chmod", "unlock", "close lock"}
"""What may fail in any way: a folder or a file is there anyhow, the lock is one user's alone, all runs are kept."""
NUMBERS = {
    "ENOSPC": {"open file", "write", "flush", "fsync file", "close file", "mkdir", "replace", "open lock"},
    "EACCES": None,
    "EPERM": None,
    "EIO": None,
    "EROFS": {"open file", "mkdir", "replace", "unlink", "open lock", "chmod"},
    "EINVAL": {"fsync file", "fsync folder", "lock"},
    "ENOTSUP": {"fsync file", "fsync folder", "lock", "chmod"},
    "ENOLCK": {"lock"},
    "ENOSYS": {"lock"},
}
"""Which calls answer so; None: any."""


def check_parts(folder: Path) -> None:
    """Every part is whole, and beside them stand a lock and leftovers at most."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.name != store_module.LOCK and not store_module.LEFTOVER.fullmatch(path.name):
            name = store_module.PART.fullmatch(path.name)
            assert name and store_module._digest(path.read_bytes()) == name["digest"]


@pytest.mark.long
@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("state", ONLY_IN, ids=["a new store", "a half-done store"])
def test_whichever_call_fails_it_is_said_and_the_same_call_goes_on(filled, expected, tmp_path, trained, state, name):
    number, carried_on = getattr(errno, name), set()
    with pytest.MonkeyPatch.context() as patch:
        state(filled, tmp_path / "first" / "runs")
        undisturbed = Disk(patch, tmp_path / "first")
        same(run_sweep(**FEW, store=tmp_path / "first" / "runs"), expected)
    assert {call for call, _ in undisturbed.calls} >= SITES | ONLY_IN[state]
    # Of a line that is passed often, the last time.
    last = {site: place for place, site in enumerate(undisturbed.calls)}
    tried = {place: call for (call, _), place in last.items() if NUMBERS[name] is None or call in NUMBERS[name]}
    assert tried
    for place, call in tried.items():
        folder = tmp_path / str(place) / "runs"
        state(filled, folder)
        trained.clear()
        before, error = contents(folder.parent), None
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, folder.parent, place, number)
            try:
                table = run_sweep(**FEW, store=folder)
            except (ValueError, OSError) as raised:
                error = raised
        assert disk.calls[place][0] == call, "another one failed"
        check_parts(folder)
        assert {path: data for path, data in before.items() if ".parquet" in path and ".tmp-" not in path}.items() <= (
            contents(folder.parent).items()
        )
        if error is None:
            carried_on.add((call, number))
            same(table, expected)
        elif isinstance(error, OSError):
            kept = int(error.__notes__[0].split()[0])
            assert error.errno == number and "are finished and kept in" in error.__notes__[0]
            # Where only the folder could not be synchronised, the part stands there, and does not count yet.
            assert kept == len(runs_in(folder)) - 2 * (call in ("open folder", "fsync folder", "close folder"))
        else:
            said = in_words(error, "store")
            in_use = (call, name) == ("lock", "EACCES")  # which says so on some disks
            assert ("another sweep is using it" if in_use else os.strerror(number)) in said
            assert trained or in_use or contents(folder.parent) == before, "a store that is refused stays as it was"
        trained.clear()
        missing = LENGTH - len(runs_in(folder))
        same(run_sweep(**FEW, store=folder), expected)  # which could not lock the folder if the first still did
        assert sum(len(batch.group.seeds) for batch in trained) == missing
        assert len(runs_in(folder)) == LENGTH and not list(folder.glob(".tmp-*"))
    assert {one for one in carried_on if one[0] not in NEVER_MIND} <= CARRIED_ON


def test_a_failure_is_not_hidden_by_that_of_tidying_up(folder, expected, monkeypatch):
    """What a full disk that became read-only leaves is removed by the next sweep."""
    parts(folder)[0].unlink()

    def fail(number: int) -> Callable:
        def failing(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        return failing

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail(errno.ENOSPC))
        patch.setattr(os, "unlink", fail(errno.EROFS))
        with pytest.raises(OSError) as caught:
            run_sweep(**FEW, store=folder)
    assert caught.value.errno == errno.ENOSPC and len(list(folder.glob(".tmp-*"))) == 1
    same(run_sweep(**FEW, store=folder), expected)
    assert not list(folder.glob(".tmp-*"))


# Places that can be no store, and no file


def a_file(path: Path) -> None:
    path.write_text("mine", encoding="utf-8")


PLACES: dict[str, Callable[[Path], str | Path]] = {
    "no name": lambda at: "",
    "a link to nothing": lambda at: (at / "link").symlink_to(at / "gone") or at / "link",
    "a link to itself": lambda at: (at / "link").symlink_to(at / "link") or at / "link",
    "300 letters": lambda at: at / (300 * "a"),
    "below 300 letters": lambda at: at / (300 * "a") / "runs",
    "a file": lambda at: a_file(at / "file") or at / "file",
    "below a file": lambda at: a_file(at / "file") or at / "file" / "runs",
    "below nothing": lambda at: at / "gone" / "runs",
    "a zero byte": lambda at: f"{at}/a\0b",
    "half a character": lambda at: f"{at}/\ud800",
    "a pipe": lambda at: os.mkfifo(at / "pipe") or at / "pipe",
    "a device": lambda at: os.devnull,
    "a folder of the kernel's": lambda at: "/proc/runs",
}
LOCKS: dict[str, Callable[[Path], object]] = {
    "a folder": lambda lock: lock.mkdir(),
    "a pipe": os.mkfifo,
    "a link to nothing": lambda lock: lock.symlink_to("gone"),
    "a link to a file": lambda lock: a_file(lock.parent.parent / "mine") or lock.symlink_to("../mine"),
}


def refused(store: str | Path, at: Path) -> str:
    """The message of a store that is refused before training, with nothing changed at some place."""
    before = {path: path.lstat().st_mtime_ns for path in at.rglob("*")}
    with pytest.raises(ValueError) as caught, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "run_batch", lambda batch: pytest.fail("trained"))
        run_sweep(**FEW, store=store)
    after = {path: path.lstat().st_mtime_ns for path in at.rglob("*")}
    assert before.keys() == after.keys()
    return in_words(caught.value, "store")


@pytest.mark.parametrize("place", PLACES)
def test_a_path_that_can_be_no_store_is_refused_in_one_sentence(tmp_path, place):
    store = PLACES[place](tmp_path)
    assert refused(store, tmp_path).startswith(f"store: {str(store)!r} was given; allowed is ")


@pytest.mark.parametrize("kind", LOCKS)
def test_a_lock_that_is_no_plain_file_is_refused_by_name(folder, kind):
    (folder / ".lock").unlink()
    LOCKS[kind](folder / ".lock")
    assert repr(str(folder / ".lock")) in refused(folder, folder.parent)


@pytest.mark.parametrize("place", [place for place in PLACES if place != "a file"])
def test_a_path_that_can_be_no_table_is_refused_in_one_sentence(tmp_path, place):
    out = PLACES[place](tmp_path)
    if place in ("a link to nothing", "a link to itself", "a pipe"):
        out = Path(out).rename(tmp_path / "out.parquet")
    elif place not in ("no name", "a device"):
        out = f"{out}.parquet"
    before = sorted(tmp_path.rglob("*"))
    for check in (check_out, lambda path: write_runs(pd.DataFrame({"seed": [1]}), path)):
        with pytest.raises(ValueError) as caught:
            check(out)
        assert in_words(caught.value, "out").startswith(f"out: {str(out)!r} was given")
    assert sorted(tmp_path.rglob("*")) == before and not (tmp_path / "gone").exists()


def test_a_table_takes_no_folder_s_place_and_any_file_s(tmp_path):
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(ValueError, match="which is no file; allowed is a new file, or one to replace"):
        check_out(tmp_path / "folder.parquet")
    a_file(tmp_path / "file.parquet")
    assert check_out(tmp_path / "file.parquet").read_text(encoding="utf-8") == "mine"
    assert pd.read_parquet(write_runs(pd.DataFrame({"seed": [1]}), tmp_path / "file.parquet"))["seed"].tolist() == [1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.parquet", "folder.parquet"]


def test_a_name_under_which_there_is_no_room_to_write_first_is_refused_before_a_sweep(tmp_path):
    with pytest.raises(ValueError, match="out: .* was given"):
        check_out(tmp_path / f"{247 * 'a'}.parquet")


@pytest.mark.parametrize(
    "name", [".tmp-mine", ".tmp-", ".tmp-thesis.parquet", ".tmp-000-N3-4-1-0123456789abcdef.parquet"]
)
def test_a_temporary_file_of_others_is_refused_and_stays(folder, tmp_path, name):
    (tmp_path / "theirs").mkdir()
    for place in (folder, tmp_path / "theirs"):
        a_file(place / name)
        assert f"{str(place / name)!r} was found, which is no part of a store" in refused(place, tmp_path)
        assert (place / name).read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("end", ["", "-0123abcd"])
def test_a_leftover_of_this_store_s_own_is_removed(folder, expected, end):
    before = contents(folder)
    a_file(folder / f".tmp-{parts(folder)[0].name}{end}")
    same(run_sweep(**FEW, store=folder), expected)
    assert contents(folder) == before


def test_a_part_that_another_sweep_just_named_is_no_foreign_file(folder, monkeypatch):
    """A sweep that holds the lock renames files while a second one looks: that one is told of the lock."""
    listdir = os.listdir
    with Store(folder, {"engine": "torch", "device": "cpu", "dtype": "float64"}, sweep.library_versions()):
        name = f".tmp-{parts(folder)[0].name}-0123abcd"
        monkeypatch.setattr(os, "listdir", lambda path: [*listdir(path), name])
        with pytest.raises(ValueError, match="another sweep is using it"):
            run_sweep(**FEW, store=folder)


def test_runs_with_other_columns_cannot_be_added(folder, prepared):
    batch = Batch(Group(Settings(steps=5), 3, (8,)), How("torch", "cpu", "float64"))
    runs, before = run_batch(batch), contents(folder)
    place = runs.schema.get_field_index("c")
    with Store(folder, {"engine": "torch", "device": "cpu", "dtype": "float64"}, sweep.library_versions()) as kept:
        for wrong in (runs.drop_columns("w"), runs.set_column(place, "c", runs["c"].cast(pa.float32()))):
            with pytest.raises(ValueError, match="runs: .* were given; allowed are the columns of a store"):
                kept.add(batch.group, wrong)
    assert contents(folder) == before


def test_a_store_that_is_not_open_takes_no_runs(folder, prepared):
    batch = Batch(Group(Settings(steps=5), 3, (8,)), How("torch", "cpu", "float64"))
    kept, before, runs = Store(folder, {}, {}), contents(folder), run_batch(batch)
    with pytest.raises(ValueError, match="may only be read"):
        kept.add(batch.group, runs)
    assert contents(folder) == before


# Other users, and folders that may only be read


@pytest.fixture
def shared(filled) -> Iterator[Path]:
    """A finished store below a folder that any user of the machine reaches."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(shutil.copytree(filled, Path(folder) / "runs"))


def as_another(function: Callable[[], object]) -> str:
    """What a function returns or raises, as text, where a user runs it who owns nothing: root's child, or any user."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        said = "it never ended"
        with contextlib.suppress(BaseException):
            signal.alarm(60)
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            try:
                said = repr(function())
            except BaseException as error:
                said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb") as pipe:
        return pipe.read().decode()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@only_root
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_two_users_take_turns_on_one_store(shared, expected, umask, prepared):
    before = os.umask(umask)
    try:
        shutil.rmtree(shared)
        shared.mkdir()
        shared.chmod(0o777)
        run_sweep(**(FEW | {"masks": ["000"]}), store=shared)
        assert mode(shared / ".lock") == 0o666, "whoever may write to the folder may lock it"
    finally:
        os.umask(before)
    # The rest is prepared by the fixture `expected`: nothing is trained after a fork.
    said = as_another(lambda: len(run_sweep(**FEW, store=shared)))
    if umask == 0o077:  # who keeps files to himself is taken at his word
        assert said.startswith("ValueError: store: ") and "cannot be read (Permission denied)" in said
        assert len(parts(shared)) == 2
    else:
        assert said == "8" and {path.stat().st_uid for path in parts(shared)} == {0, 65534}
        same(run_sweep(**FEW, store=shared), expected)


@only_root
def test_a_lock_of_another_user_that_cannot_be_had_is_named(shared):
    shared.chmod(0o777)
    (shared / ".lock").chmod(0o644)
    said = as_another(lambda: run_sweep(**FEW, store=shared))
    assert said.startswith(f"ValueError: store: {str(shared / '.lock')!r} cannot be locked (Permission denied); ")


@pytest.mark.parametrize("lock", [True, False], ids=["with its lock", "without"])
def test_a_folder_that_may_only_be_read_is_read(shared, expected, lock):
    if not lock:
        (shared / ".lock").unlink()
    leftover = shared / f".tmp-{parts(shared)[0].name}-0123abcd"
    a_file(leftover)
    before = contents(shared)
    shared.chmod(0o555)
    assert as_another(lambda: same(run_sweep(**FEW, store=shared), expected)) == "None"
    shared.chmod(0o755)
    assert contents(shared) == before
    parts(shared)[0].unlink()
    before = contents(shared)
    shared.chmod(0o555)
    said = as_another(lambda: run_sweep(**FEW, store=shared))
    shared.chmod(0o755)
    assert said.startswith(f"ValueError: store: {str(shared)!r} lacks runs and may only be read here; allowed is ")
    assert contents(shared) == before


def test_a_folder_that_may_only_be_read_is_read_while_another_fills_it(shared, expected):
    with Store(shared, {"engine": "torch", "device": "cpu", "dtype": "float64"}, sweep.library_versions()):
        shared.chmod(0o555)
        assert as_another(lambda: same(run_sweep(**FEW, store=shared), expected)) == "None"
        shared.chmod(0o755)


@pytest.mark.parametrize("allowed", [0o000, 0o444, 0o111])
def test_a_folder_that_may_not_be_read_is_refused_in_one_sentence(shared, allowed):
    shared.chmod(allowed)
    for place in (shared, shared / "new"):
        said = as_another(lambda place=place: run_sweep(**FEW, store=place))
        assert said.startswith(f"ValueError: store: {str(place)!r} was given") and "Permission denied" in said
    said = as_another(lambda: check_out(shared / "out.parquet"))
    shared.chmod(0o755)
    assert said.startswith(f"ValueError: out: {str(shared / 'out.parquet')!r} was given; allowed is ")


# Whole files


def test_two_writers_of_one_file_leave_one_whole_file(tmp_path, monkeypatch):
    """Both wrote into one temporary file, whose half got the name."""
    fsync, first = os.fsync, []

    def second_writer(handle: int) -> None:
        if not first:
            first.append(True)
            write_whole(tmp_path / "out", b"second")
            assert (tmp_path / "out").read_bytes() == b"second"
        fsync(handle)

    monkeypatch.setattr(os, "fsync", second_writer)
    write_whole(tmp_path / "out", b"the first's, and longer")
    assert (tmp_path / "out").read_bytes() == b"the first's, and longer" and len(list(tmp_path.iterdir())) == 1


def test_a_finished_book_takes_the_place_of_another_or_leaves_it(tmp_path, monkeypatch):
    """In the place of a link to a folder, the book was moved into that folder."""
    pytest.importorskip("pypandoc")
    from embedded.__main__ import put

    for name in ("site", "elsewhere", "aside"):
        (tmp_path / name).mkdir()
        a_file(tmp_path / name / f"{name}.html")
    (tmp_path / "_book").symlink_to("elsewhere")
    put(tmp_path / "site", tmp_path / "_book", tmp_path / "aside" / "before")
    assert [path.name for path in (tmp_path / "_book").iterdir()] == ["site.html"]
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["elsewhere.html"]
    with pytest.raises(FileNotFoundError):
        put(tmp_path / "gone", tmp_path / "_book", tmp_path / "aside" / "again")
    assert [path.name for path in (tmp_path / "_book").iterdir()] == ["site.html"]


WRITING = {"write_text", "write_bytes", "to_csv", "to_parquet", "write_table", "savefig", "dump", "open"}
MAY_WRITE = {
    "companion/sweeps/store.py": {"write_table", "open"},  # into memory; and in `write_whole` itself
    "companion/sweeps/runs.py": {"to_parquet"},  # into memory
    "embedded/__main__.py": {"write_text"},  # in a folder that gets its name when all is done
}


def writes(code: str) -> set[str]:
    """The calls by which code may write a file beside `write_whole`; `open` only to write, and `os.open` not."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = [
                one.value for one in (*node.args, *(k.value for k in node.keywords)) if isinstance(one, ast.Constant)
            ]
            to_write = any(isinstance(one, str) and re.fullmatch(r"[wxa][bt+]*|r[bt]*\+[bt]*", one) for one in given)
            if name in WRITING and (name != "open" or to_write):
                found.add(name)
    return found


def test_every_file_is_written_whole_and_in_utf_8():
    found = {}
    for folder in ("companion", "embedded", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if names := writes(path.read_text(encoding="utf-8")):
                found[path.relative_to(ROOT).as_posix()] = names
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                assert not writes("".join(cell["source"])), path.name
    assert found == MAY_WRITE
    assert "encoding" not in (ROOT / "companion/sweeps/store.py").read_text(encoding="utf-8"), "bytes only"
    text = (ROOT / "embedded/__main__.py").read_text(encoding="utf-8")
    calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    calls = [call for call in calls if call.func.attr in ("write_text", "read_text")]
    assert calls and all([k.value.value for k in call.keywords if k.arg == "encoding"] == ["utf-8"] for call in calls)


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("path.write_text('a')", {"write_text"}),
        ("json.dump(a, open('b', 'w'))", {"dump", "open"}),
        ("path.open(mode='a')", {"open"}),
        ("open('b').read(); path.open('rb'); os.open(p, os.O_RDONLY); json.dumps(a)", set()),
    ],
)
def test_what_writes_is_seen(code, names):
    assert writes(code) == names
