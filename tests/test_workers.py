"""Where batches are trained: what `open_executor` gives, and what it refuses."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import Pool, get_context

import pandas as pd
import psutil
import pytest
import torch
from conftest import ROOT, posix
from distributed import Client, LocalCluster
from stoppable import hold_busy_workers

from companion.sweeps import workers
from companion.sweeps.sweep import run_sweep
from companion.sweeps.workers import MOST_WORKERS, as_they_finish, open_executor

SMALL = {"masks": ["000", "111"], "sizes": [3, 5], "seeds": [1, 2], "steps": 20}


def test_nothing_given_means_this_process():
    with open_executor() as executor:
        assert executor is None


@pytest.mark.slow
def test_processes_and_a_dask_scheduler_give_the_same_table():
    expected = run_sweep(**SMALL)
    with open_executor(workers=2) as executor:
        assert isinstance(executor, ProcessPoolExecutor)
        pd.testing.assert_frame_equal(run_sweep(**SMALL, executor=executor), expected, check_exact=True)
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        with open_executor(scheduler=cluster.scheduler_address) as executor:
            pd.testing.assert_frame_equal(run_sweep(**SMALL, executor=executor), expected, check_exact=True)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"workers": 0}, "workers: 0 was given; allowed are whole numbers from 1 to 128"),
        ({"workers": "many"}, "workers: 'many' was given"),
        ({"workers": 10**9}, f"workers: 1000000000 was given; allowed are whole numbers from 1 to {MOST_WORKERS}"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "workers: 2 was given with scheduler 'tcp://127.0.0.1:1'"),
        pytest.param(
            {"scheduler": "tcp://127.0.0.1:1"},
            "scheduler: 'tcp://127.0.0.1:1' was given, and none answers there",
            marks=pytest.mark.slow,  # Dask waits ten seconds for an answer
        ),
        ({"scheduler": 8786}, "scheduler: 8786 was given, and none answers there"),
        ({"scheduler": ""}, "scheduler: '' was given, and none answers there"),
        ({"scheduler": "tcp://\0"}, r"scheduler: 'tcp://\\x00' was given, and none answers there"),
    ],
)
def test_what_cannot_be_is_named(given, says):
    gc.collect()  # a client that failed before: collected while Dask starts the next one, it waits for Dask's own lock
    with pytest.raises(ValueError, match=says), open_executor(**given):
        pass


def test_a_name_that_dask_looks_up_for_too_long_is_named(monkeypatch):
    def connect(*_: object, **__: object) -> None:
        raise AssertionError  # as Dask does then

    monkeypatch.setattr("distributed.Client", connect)
    with pytest.raises(ValueError, match="scheduler: 'tcp://a:1' was given, and"), open_executor(scheduler="tcp://a:1"):
        pass


def test_a_missing_dask_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match="Dask is not installed; pip install"), open_executor(scheduler="tcp://a:1"):
        pass


@pytest.mark.slow
def test_as_many_workers_as_are_allowed_can_be_asked_for(monkeypatch):
    monkeypatch.setattr(workers, "MOST_WORKERS", 1)
    with open_executor(workers=1) as executor:
        assert executor.submit(abs, -1).result() == 1
    with pytest.raises(ValueError, match="workers: 2 was given; .* from 1 to 1"), open_executor(workers=2):
        pass


def shut_down(executor: Executor) -> Executor:
    executor.shutdown()
    return executor


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: 5, "executor: 5 was given; allowed are executors of concurrent.futures"),
        (lambda: "x", "executor: 'x' was given"),
        (lambda: ProcessPoolExecutor, r"executor: <class '.*ProcessPoolExecutor'> was given"),
        (Pool, r"executor: <multiprocessing.pool.Pool .*> was given"),
        (lambda: shut_down(ThreadPoolExecutor(1)), r"executor: <.*ThreadPoolExecutor .*> was given; .* after shutdown"),
        (
            lambda: shut_down(ProcessPoolExecutor(1)),
            r"executor: <.*ProcessPoolExecutor .*> was given; .* after shutdown",
        ),
    ],
    ids=["number", "text", "class", "multiprocessing.Pool", "threads, shut down", "processes, shut down"],
)
def test_what_is_no_executor_is_named_before_any_training(make, says):
    given = make()
    done = []
    with pytest.raises(ValueError, match=says):
        run_sweep(**SMALL, executor=given)
    with pytest.raises(ValueError, match=says):
        list(as_they_finish(done.append, [1], given))
    assert not done
    if hasattr(given, "terminate"):
        given.terminate()


def test_a_wrong_executor_makes_no_store(tmp_path):
    with pytest.raises(ValueError, match="executor: 5 was given"):
        run_sweep(**SMALL, store=tmp_path / "runs", executor=5)
    assert not (tmp_path / "runs").exists()


def test_a_pool_that_breaks_halfway_is_not_called_wrong():
    class Breaking(ThreadPoolExecutor):
        def submit(self, function, job):
            if job == 2:
                raise BrokenProcessPool("gone")
            return super().submit(function, job)

    with Breaking(1) as executor, pytest.raises(BrokenProcessPool, match="gone"):
        list(as_they_finish(abs, [1, 2], executor))


FORKED = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from companion.sweeps.sweep import run_sweep

torch.set_num_threads(4)
torch.rand(1000, 1000).exp()  # PyTorch starts its threads
for _ in range(3):
    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        runs = run_sweep(masks=["000", "111"], sizes=[100], seeds=range(8), steps=5, engine=sys.argv[1], executor=pool)
        print(len(runs), pool.submit(torch.get_num_threads).result(), torch.get_num_threads())
"""


@pytest.mark.slow
@posix
@pytest.mark.parametrize("engine", ["fast", "torch"])
def test_a_forked_pool_trains_after_pytorch_has_started_its_threads(engine):
    process = subprocess.Popen(
        [sys.executable, "-c", FORKED, engine], cwd=ROOT, text=True, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        out, _ = process.communicate(timeout=300)
    finally:
        with contextlib.suppress(ProcessLookupError):  # where they wait for ever, the forked ones would stay
            os.killpg(process.pid, signal.SIGKILL)
    assert out.splitlines() == ["16 1 4"] * 3


def test_threads_of_this_process_leave_pytorch_its_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(1) as executor:
            assert list(as_they_finish(lambda _: torch.get_num_threads(), [1], executor)) == [(1, 3)]
    finally:
        torch.set_num_threads(before)


def gone(process: int) -> bool:
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.slow
@posix
@pytest.mark.parametrize("engine", ["fast", "torch"])
def test_workers_leave_when_their_process_is_killed(tmp_path, engine):
    holder = get_context("spawn").Process(target=hold_busy_workers, args=(tmp_path, engine))
    holder.start()
    try:
        while len(list(tmp_path.iterdir())) < 2:
            assert holder.is_alive()
            time.sleep(0.1)
        time.sleep(0.5)  # into the training
        ids = [int(path.name) for path in tmp_path.iterdir()]
        assert not any(map(gone, ids))
        holder.kill()
        holder.join()
        deadline = time.monotonic() + 60  # seconds are enough; the training would go on for minutes
        while not all(map(gone, ids)):
            assert time.monotonic() < deadline, "they train on"
            time.sleep(0.1)
    finally:
        holder.kill()
        for path in tmp_path.iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(path.name), signal.SIGKILL)


@pytest.fixture
def in_time() -> Iterator[None]:
    """Whatever waits for ever is ended by an error."""

    def end(*_: object) -> None:
        raise TimeoutError("it waits for ever")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """A scheduler without workers; those that it is asked for are threads of this process."""
    how = {"host": "127.0.0.1", "protocol": "tcp", "processes": False, "threads_per_worker": 1}
    with LocalCluster(n_workers=0, dashboard_address=None, **how) as cluster:
        yield cluster


@pytest.mark.slow
@posix
@pytest.mark.usefixtures("in_time")
def test_dask_workers_that_cannot_import_the_companion_are_named(tmp_path, cluster):
    (tmp_path / "companion.py").write_text("raise ImportError('none here')", encoding="utf-8")
    command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--no-dashboard"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    worker = subprocess.Popen([*command, "--no-nanny"], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    try:
        with Client(cluster) as client:
            client.wait_for_workers(1)
            says = r"executor: a Dask cluster .* cannot import this companion \(ImportError\('none here'\) on tcp://127"
            with client.get_executor() as executor, pytest.raises(ValueError, match=says):
                run_sweep(**SMALL, executor=executor)
            cluster.scale(1)
            client.wait_for_workers(2)
            with client.get_executor() as executor:
                assert len(run_sweep(**SMALL, executor=executor)) == 8, "one worker that can is enough"
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.long
@posix
@pytest.mark.usefixtures("in_time")
def test_a_dask_cluster_without_workers_is_told_of_and_may_get_them_later(cluster, monkeypatch):
    said = []

    def warn(message: str, *_: object, **__: object) -> None:
        if "companion" in message:
            said.append(message)
            cluster.scale(1)

    monkeypatch.setattr(workers, "PATIENCE", 1)
    monkeypatch.setattr(workers.warnings, "warn", warn)
    with Client(cluster) as client:
        with client.get_executor() as executor:
            assert len(run_sweep(**SMALL, executor=executor)) == 8
        assert said[0].startswith("executor: the Dask cluster has no worker, and the sweep waits for one")
        with pytest.raises(ValueError, match="executor: <.*ClientExecutor.*> was given; .* after shutdown"):
            run_sweep(**SMALL, executor=executor)
    with pytest.raises(ValueError, match="executor: one of a Dask client that is closed was given"):
        run_sweep(**SMALL, executor=executor)


@pytest.fixture
def ctrl_c():
    """A function that does what Ctrl-C does; a shell starts what is in its background deaf to that."""
    if sys.platform == "win32":
        pytest.skip("a process on Windows cannot send itself Ctrl-C")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_workers_leave_ctrl_c_to_the_process_that_coordinates(ctrl_c):
    with open_executor(workers=2) as executor:
        assert len(executor._processes) == 2, "all are started before anyone could press it"
        assert executor.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN
        assert executor.submit(torch.get_num_threads).result() == 1
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_an_executor_jobs_are_done_here_one_after_another():
    threads = {thread for _, thread in as_they_finish(lambda _: threading.current_thread(), range(3))}
    assert threads == {threading.current_thread()}
    assert list(as_they_finish(abs, [-1, -2])) == [(-1, 1), (-2, 2)]


def test_ctrl_c_never_stops_the_executor_s_own_code(ctrl_c):
    handed_over = []

    class Interrupted(ThreadPoolExecutor):
        def submit(self, function, job):
            if job == 3:
                ctrl_c()
            handed_over.append(job)
            return super().submit(function, job)

    with Interrupted(1) as executor, pytest.raises(KeyboardInterrupt):
        list(as_they_finish(abs, [1, 2, 3, 4], executor))
    assert handed_over == [1, 2, 3, 4]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("heard_by", ["the process", "a thread of the executor's"])
def test_ctrl_c_does_not_wait_for_the_jobs_under_way(ctrl_c, heard_by):
    may_end, has_ended, finished = threading.Event(), threading.Event(), []

    def job(number: int) -> int:
        if number == 2:
            if heard_by == "the process":
                ctrl_c()
            else:  # the main thread's wait is not ended by it
                signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            may_end.wait(20)
            has_ended.set()
        return number

    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(KeyboardInterrupt):
            for one, _ in as_they_finish(job, [1, 2, 3, 4], executor):
                finished.append(one)
        assert not has_ended.is_set()
        may_end.set()
    assert finished == [1]


def test_what_is_finished_comes_first_then_ctrl_c_then_what_failed(ctrl_c):
    class AtOnce(Executor):
        """Ends all jobs as the last is handed over: the first by a dead pool, the others well; and Ctrl-C arrives."""

        futures = [Future() for _ in range(3)]

        def submit(self, function, job):
            if job == 2:
                self.futures[0].set_exception(BrokenProcessPool("killed by Ctrl-C, too"))
                ctrl_c()
                self.futures[1].set_result("one")
                self.futures[2].set_result("two")
            return self.futures[job]

    finished = []
    with pytest.raises(KeyboardInterrupt):
        for one in as_they_finish(abs, [0, 1, 2], AtOnce()):
            finished.append(one)
    assert sorted(finished) == [(1, "one"), (2, "two")]


def test_ctrl_c_after_the_last_job_is_heard(ctrl_c):
    finished = []
    with ThreadPoolExecutor(1) as executor, pytest.raises(KeyboardInterrupt):
        for one in as_they_finish(abs, [-1], executor):
            finished.append(one)
            ctrl_c()
    assert finished == [(-1, 1)]


def test_a_caller_s_own_handler_of_ctrl_c_stays(ctrl_c):
    heard = []
    signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    with ThreadPoolExecutor(1) as executor:
        for _ in as_they_finish(abs, [-1, -2], executor):
            ctrl_c()
    assert heard == [1, 1]


def test_a_thread_that_never_gets_ctrl_c_waits_as_well():
    with ThreadPoolExecutor(1) as outer, ThreadPoolExecutor(1) as inner:
        assert outer.submit(lambda: sorted(as_they_finish(abs, [-1, -2], inner))).result() == [(-2, 2), (-1, 1)]
