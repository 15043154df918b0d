"""What the tests share: the repository, its stored data, the built book, a browser; and what the last lines say."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import altair as alt
import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted(path for path in (ROOT / "chapters").glob("*.ipynb"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
REPORT: list[str] = []
"""Lines that `make test` ends with."""


@pytest.fixture(scope="session")
def replication() -> pd.DataFrame:
    return pd.read_parquet(ROOT / "data" / "replication.parquet")


@pytest.fixture(scope="session")
def powered() -> pd.DataFrame:
    return pd.read_parquet(ROOT / "data" / "powered.parquet")


@pytest.fixture(scope="session")
def temperature() -> pd.DataFrame:
    return pd.read_parquet(ROOT / "data" / "temperature.parquet")


@pytest.fixture(scope="session")
def strength() -> pd.DataFrame:
    return pd.read_parquet(ROOT / "data" / "strength.parquet")


@pytest.fixture(scope="session")
def plain() -> pd.DataFrame:
    return pd.read_parquet(ROOT / "data" / "plain.parquet")


@pytest.fixture(scope="session")
def book() -> Path:
    """The book as `make book` builds it, by whichever renderer it finds."""
    done = subprocess.run(["make", "--no-print-directory", "book"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    REPORT.append("book: " + done.stdout.strip().splitlines()[-1])
    return ROOT / "_book"


def rows(chart: alt.TopLevelMixin) -> list[dict]:
    """All data rows inside a chart's specification."""
    return [row for dataset in chart.to_dict()["datasets"].values() for row in dataset]


def first_program(names: tuple[str, ...], what: str, packages: str) -> str:
    """Path of the first of some programs that is there; tests that need one are skipped where none is."""
    for name in names:
        if found := shutil.which(name):
            version = subprocess.run([found, "--version"], capture_output=True, text=True).stdout.strip()
            REPORT.append(f"{what}: {version}")
            return found
    message = f"{what}: none found, so the site was not opened; {packages} brings one"
    if os.environ.get("CI"):
        pytest.fail(message)
    REPORT.append(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def browser_binary() -> str:
    return first_program(BROWSERS, "browser", "Debian's `apt-get install chromium` or Google Chrome")


@pytest.fixture(scope="session")
def driver_binary() -> str:
    return first_program(("chromedriver",), "browser's driver", "Debian's `apt-get install chromium-driver`")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in dict.fromkeys(REPORT):
        terminalreporter.write_line(line)
