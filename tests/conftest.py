"""What the tests share: the repository, its stored data, the built book, a browser; and what the last lines say."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import altair as alt
import pandas as pd
import pytest
import torch
from filelock import FileLock

from companion.core.network import Parameters
from companion.sweeps import sweep
from companion.sweeps.sweep import Batch, run_batch

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted(path for path in (ROOT / "chapters").glob("*.ipynb"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
REPLICATION = "chapters/09-replication.html"
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork, SIGKILL, Ctrl-C to itself or rlimit")
REPORT: list[str] = []
"""Lines that `make test` ends with."""
INPUTS: list[tuple[int, int]] = []
"""Of every process that generated inputs, how many and how many gave a result."""


def stored(name: str):
    """A fixture of that name: the runs of data/<name>.parquet."""

    @pytest.fixture(scope="session", name=name)
    def read() -> pd.DataFrame:
        return pd.read_parquet(ROOT / "data" / f"{name}.parquet")

    return read


replication, powered, temperature, strength, plain = map(
    stored, ("replication", "powered", "temperature", "strength", "plain")
)


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book as `make book` builds it, by whichever renderer it finds; BOOK names one that is built already."""
    if built := os.environ.get("BOOK"):
        REPORT.append(f"book: {built}, as it was")
        return Path(built).resolve()
    if sys.platform == "win32":
        pytest.skip("the Makefile's `make book` is for Linux and macOS")
    mine = tmp_path_factory.getbasetemp()
    ours = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine  # tests in several processes build it once
    with FileLock(ours / "book.lock"):
        said = ours / "book.txt"
        if not said.exists():
            done = subprocess.run(["make", "--no-print-directory", "book"], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            said.write_text(done.stdout.strip().splitlines()[-1], encoding="utf-8")
    REPORT.append("book: " + said.read_text(encoding="utf-8"))
    return ROOT / "_book"


@pytest.fixture
def folder(filled, tmp_path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "runs"))


@pytest.fixture
def trained(monkeypatch) -> list[Batch]:
    """The batches that this process trains."""
    batches = []
    monkeypatch.setattr(sweep, "run_batch", lambda batch: batches.append(batch) or run_batch(batch))
    return batches


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever opens the built book is marked `page`."""
    for item in items:
        if "book" in getattr(item, "fixturenames", ()):
            item.add_marker("page")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of several hands its lines over to the one that prints them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput |= {"report": REPORT, "inputs": INPUTS}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    said = getattr(node, "workeroutput", {})
    REPORT.extend(said.get("report", []))
    INPUTS.extend(said.get("inputs", []))


def history(*arguments: str) -> str:
    """What git says of the repository's history; where it is cut off or missing, the test is skipped and says so."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, encoding="utf-8")
        return done.stdout.strip() if done.returncode == 0 else ""

    shallow = git("rev-parse", "--is-shallow-repository") if shutil.which("git") else ""
    if shallow != "false":
        message = "a shallow clone, whose history is cut off" if shallow else "no git repository, so no history"
        REPORT.append(f"history: {message}")
        pytest.skip(message)
    return git(*arguments)


def rows(chart: alt.TopLevelMixin) -> list[dict]:
    """All data rows inside a chart's specification."""
    return [row for dataset in chart.to_dict()["datasets"].values() for row in dataset]


def check_by_differences(computed: Parameters, loss: Callable[[Parameters], torch.Tensor], at: Parameters) -> None:
    """A gradient equals a loss's central differences at these parameters."""
    for place, gradient in enumerate(computed):
        for k, slope in enumerate(gradient.reshape(-1).tolist()):
            values = []
            for step in (1e-6, -1e-6):
                moved = [value.clone() for value in at]
                moved[place].view(-1)[k] += step
                values.append(float(loss(Parameters(*moved))))
            assert slope == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-8)


def first_program(names: tuple[str, ...], what: str, packages: str) -> str:
    """Path of the first of some programs that is there; tests that need one are skipped where none is."""
    for name in names:
        if found := shutil.which(name):
            version = subprocess.run([found, "--version"], capture_output=True, text=True).stdout.strip()
            REPORT.append(f"{what}: {version}")
            return found
    message = f"{what}: none found, so the site was not opened; {packages} brings one"
    if os.environ.get("CI") and sys.platform == "linux":
        pytest.fail(message)
    REPORT.append(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def browser_binary() -> str:
    return first_program(BROWSERS, "browser", "Debian's `apt-get install chromium` or Google Chrome")


@pytest.fixture(scope="session")
def driver_binary() -> str:
    return first_program(("chromedriver",), "browser's driver", "Debian's `apt-get install chromium-driver`")


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def address(book: Path) -> Iterator[str]:
    """The site under a path, as GitHub Pages serves a project."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=book.parent))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{book.name}/"
    server.shutdown()


@pytest.fixture(scope="session")
def browser(browser_binary: str, driver_binary: str) -> Iterator:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser_binary
    # Every name but this machine's fails to resolve: the network is off.
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    for name in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "window-size=1280,1000"):
        options.add_argument(f"--{name}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(driver_binary))
    yield driver
    driver.quit()


def wait(browser, script: str) -> object:
    """Return what a script returns as soon as that is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(f"return {script}"))


def open_page(browser, address: str, page: str, width: int = 1280) -> None:
    """Open a page at a width; where there are live figures, wait until all eight are drawn."""
    device = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    browser.get(address + page)
    if page == REPLICATION:
        wait(browser, 'document.querySelectorAll(".live-figure svg.marks").length === 8')


def requests(browser, begins: str = "http") -> list[str]:
    """Addresses, of those that begin so, that the page asked for since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent" and event["params"]["request"]["url"].startswith(begins)
    ]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in dict.fromkeys(REPORT):
        terminalreporter.write_line(line)
    if INPUTS:
        cases, results = map(sum, zip(*INPUTS, strict=True))
        terminalreporter.write_line(f"generated inputs: {cases}, of which {results} gave a result")
