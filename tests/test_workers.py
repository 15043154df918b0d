"""Where batches are trained: what `open_executor` gives, and what it refuses."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pandas as pd
import pytest
import torch
from distributed import LocalCluster

from companion.sweeps.sweep import run_sweep
from companion.sweeps.workers import as_they_finish, open_executor

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
        ({"workers": 0}, "workers: 0 was given; allowed are whole numbers of at least 1"),
        ({"workers": "many"}, "workers: 'many' was given"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "workers: 2 was given with scheduler 'tcp://127.0.0.1:1'"),
        pytest.param(
            {"scheduler": "tcp://127.0.0.1:1"},
            "scheduler: 'tcp://127.0.0.1:1' was given, and none answers there",
            marks=pytest.mark.slow,  # Dask waits ten seconds for an answer
        ),
        ({"scheduler": 8786}, "scheduler: 8786 was given, and none answers there"),
    ],
)
def test_what_cannot_be_is_named(given, says):
    with pytest.raises(ValueError, match=says), open_executor(**given):
        pass


def test_a_missing_dask_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match="Dask is not installed; pip install"), open_executor(scheduler="tcp://a:1"):
        pass


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
