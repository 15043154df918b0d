"""Kernels that start warm: `pytest -p warm` forks each from one process that has imported what the chapters import.

An import of PyTorch, Numba, pandas and Altair takes longer than most chapters. Each kernel is a process of its own, as
ever; what a chapter does is seen by no other.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from importlib.metadata import EntryPoint

import pytest
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

IMPORTED = (
    "ipykernel.kernelapp",
    "torch._dynamo",  # Adam imports it, slowly
    "vl_convert",
    "companion.judging.ledger",
    "companion.show.figures",
    "companion.show.notebook",
    "companion.sweeps.sweep",
)


def kernel(connection_file: str, folder: str, environment: dict[str, str]) -> None:
    """Be an IPython kernel until the client ends it."""
    os.setsid()  # a signal to the kernel's process group must not reach the tests
    os.chdir(folder)
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import pandas as pd
    from ipykernel.kernelapp import IPKernelApp

    # Imported in a notebook pandas shows 20 columns, elsewhere as many as a terminal has room for; names of Altair's
    # views depend on what is shown.
    pd.set_option("display.max_columns", 20)
    IPKernelApp.launch_instance(["-f", connection_file])


class ForkedProcess:
    """A process as `subprocess.Popen` shows one, as far as Jupyter's client asks."""

    stdin = stdout = stderr = None

    def __init__(self, process: multiprocessing.context.ForkServerProcess) -> None:
        self.process, self.pid, self.kill, self.terminate = process, process.pid, process.kill, process.terminate

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


class WarmProvisioner(LocalProvisioner):
    """Starts a kernel as a fork of the process that has everything imported."""

    async def launch_kernel(self, cmd: list[str], **given) -> dict:
        context = multiprocessing.get_context("forkserver")
        process = context.Process(target=kernel, args=(cmd[cmd.index("-f") + 1], given["cwd"], given["env"]))
        process.start()
        self.process, self.pid, self.cwd = ForkedProcess(process), process.pid, given["cwd"]
        return self.connection_info


def pytest_configure(config: pytest.Config) -> None:
    multiprocessing.set_forkserver_preload(list(IMPORTED))
    factory = KernelProvisionerFactory.instance()
    factory.provisioners["warm"] = EntryPoint("warm", "warm:WarmProvisioner", factory.GROUP_NAME)
    factory.default_provisioner_name = "warm"
