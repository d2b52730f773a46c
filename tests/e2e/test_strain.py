"""`vidserve bench --server`, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from serving import Server


def bench(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    url = f"http://127.0.0.1:{server.port}"
    command = [sys.executable, "-m", "server.cli", "bench", "--server", url, "--seconds", "1", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_pictures_are_sent_at_the_rates_that_are_asked_for(server: Server, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = bench(server, "moving-objects", "--rate", "2,4", "--latency-ms", "60000", "--json", str(report))
    assert done.returncode == 0, done.stderr
    assert "Pictures a second, p95 at most 60000 ms" in done.stdout
    figures = json.loads(report.read_text())
    assert [(one["rate"], one["sent"], one["errors"]) for one in figures["pictures"]] == [(2, 2, {}), (4, 4, {})]
    assert figures["streams"] == []


def test_rates_are_doubled_until_it_is_too_much(server: Server) -> None:
    done = bench(server, "--latency-ms", "1")
    assert done.returncode == 0, done.stderr
    assert "too slow" in done.stdout
    assert "Pictures a second, p95 at most 1 ms, counted from when each should have been sent: 0." in done.stdout


def test_a_model_that_is_not_there_is_told_at_once(server: Server) -> None:
    done = bench(server, "no-such-model")
    assert done.returncode == 1
    assert "There is no model 'no-such-model'" in done.stderr
