"""What every test may use: the real data, and the two rules about tests that do not run.

A test that cannot run skips with a reason; with `VIDSERVE_TEST_STRICT=1` (as in CI) it fails instead, whatever skipped
it. A test that needs a GPU is not skipped but deselected, unless `-m` speaks of `gpu`.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from server.core.heap import importing

# Nets in tests are so small that threads would only wait for each other; processes that tests start keep to it too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_STRICT = os.environ.get("VIDSERVE_TEST_STRICT") == "1"

# What takes long here takes it because others want the processor, too. CI judges a change by the same examples each
# time; who tests without it looks for new ones.
settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=_STRICT
)
settings.load_profile("busy machine")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real videos and models, at $VIDSERVE_TEST_DATA or beside the checkout; only to read."""
    folder = Path(os.environ.get("VIDSERVE_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no real data: set VIDSERVE_TEST_DATA to the folder that holds it")
    return folder


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A command that sets up its log in a test must not decide what later tests can see of theirs."""
    root = logging.getLogger()
    handlers, level, format_warning = root.handlers[:], root.level, warnings.formatwarning
    yield
    root.handlers, root.level, warnings.formatwarning = handlers, level, format_warning
    logging.captureWarnings(False)


@pytest.fixture(autouse=True)
def _priority_as_it_was() -> Iterator[None]:
    """Processes that later tests start would have it too, and real-time ones keep all others from the processor."""
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    before = os.sched_getscheduler(0)
    yield
    assert os.sched_getscheduler(0) == before


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "gpu" in str(config.option.markexpr):
        return
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if on_gpu:
        config.hook.pytest_deselected(items=on_gpu)
        items[:] = [item for item in items if not item.get_closest_marker("gpu")]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    # To look for garbage is a third of the time that it takes otherwise.
    with importing():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if _STRICT and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and nothing may be with VIDSERVE_TEST_STRICT=1: {_reason(report.longrepr)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if _STRICT and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, and nothing may be with VIDSERVE_TEST_STRICT=1: {_reason(report.longrepr)}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = len(terminalreporter.stats.get("skipped", []))
    if skipped:
        terminalreporter.write_line(
            f"{skipped} did not run, for the reasons above: `make test-deps` (as root, on Debian) installs what the"
            " system lacks, VIDSERVE_TEST_DATA names the folder of real videos.",
            yellow=True,
        )


def _reason(longrepr: object) -> str:
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
