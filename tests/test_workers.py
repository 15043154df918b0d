"""Where batches are trained: what `open_executor` gives, and what it refuses."""

from __future__ import annotations

import signal
import sys
from concurrent.futures import ProcessPoolExecutor

import pandas as pd
import pytest
import torch
from distributed import LocalCluster

from companion.sweep import run_sweep
from companion.workers import open_executor

SMALL = {"masks": ["000", "111"], "sizes": [3, 5], "seeds": [1, 2], "steps": 20}


def test_nothing_given_means_this_process():
    with open_executor() as executor:
        assert executor is None


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
        ({"scheduler": "tcp://127.0.0.1:1"}, "scheduler: 'tcp://127.0.0.1:1' was given, and none answers there"),
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


def test_workers_leave_ctrl_c_to_the_process_that_coordinates():
    with open_executor(workers=1) as executor:
        assert executor.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN
        assert executor.submit(torch.get_num_threads).result() == 1
