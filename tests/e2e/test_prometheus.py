"""A real Prometheus reads a real server's metrics with the server's key, and finds nothing wrong with them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from serving import Server, eventually, free_port, serving

from server.core.metrics import Metrics, StreamRow
from server.core.metrics_page import Page
from server.domain.outcome import Outcome
from server.domain.stream import StreamState


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here: `make test-deps` installs prometheus")
    return found


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, few_frames) -> Iterator[Server]:
    """A server that wants the key that it made, and has analysed a video."""
    with serving(tmp_path_factory.mktemp("data"), "--host", "0.0.0.0") as running:
        key = (running.data / "admin.key").read_text().strip()
        running.client.headers["Authorization"] = f"Bearer {key}"
        running.wait(running.post(few_frames, model="moving-objects"))
        yield running


@contextlib.contextmanager
def prometheus(folder: Path, target: str, key_file: Path) -> Iterator[Callable[[str], dict]]:
    """A Prometheus that scrapes the target; ask it by the path of its API."""
    scrape = {
        "job_name": "vidserve",
        "scrape_interval": "1s",
        "authorization": {"credentials_file": str(key_file)},
        "static_configs": [{"targets": [target]}],
    }
    config, port = folder / "prometheus.yml", free_port()
    config.write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )

    def ask(path: str) -> dict:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=10)
            if answer.status_code == 200:
                return answer.json()["data"]
        assert process.poll() is None, (folder / "prometheus.log").read_text()
        return {}

    try:
        yield ask
    finally:
        process.terminate()
        process.wait(20)


def scraped(ask: Callable[[str], dict]) -> dict | None:
    """The target once it was scraped, and not given up after a second."""
    targets = ask("targets").get("activeTargets", [])
    late = targets and "deadline exceeded" in targets[0]["lastError"]
    return targets[0] if targets and targets[0]["health"] != "unknown" and not late else None


def test_prometheus_scrapes_with_the_key_file(guarded: Server, tmp_path: Path) -> None:
    with prometheus(tmp_path, f"127.0.0.1:{guarded.port}", guarded.data / "admin.key") as ask:
        target = eventually(lambda: scraped(ask))
        assert (target["health"], target["lastError"]) == ("up", "")

        def frames() -> list:
            query = 'query?query=vidserve_frames_total{outcome="analysed",source="job"}'
            return ask(query).get("result", [])

        (found,) = eventually(frames)
        assert float(found["value"][1]) == 20


def test_prometheus_with_another_key_is_refused(guarded: Server, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the-key-of-another-house")
    with prometheus(tmp_path, f"127.0.0.1:{guarded.port}", tmp_path / "key") as ask:
        target = eventually(lambda: scraped(ask))
    assert target["health"] == "down"
    assert "401" in target["lastError"]


def check(text: bytes) -> None:
    done = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_promtool_finds_nothing_wrong_with_what_a_server_tells(guarded: Server) -> None:
    text = guarded.client.get("/metrics").raise_for_status().content
    assert b"vidserve_frames_total" in text
    check(text)


def test_promtool_finds_nothing_wrong_with_streams_of_any_name() -> None:
    page = Page(bytearray(Page.bytes_for(1)), 1)
    metrics = Metrics(page, version="1", jobs=lambda: {}, storage=lambda: ({}, 1))
    for row, name in enumerate(['the "yard"', "two\nlines", "back\\slash", "100 % {of} it", "Höfe 🎥", ""], start=1):
        metrics.rows.streams[row] = StreamRow(f"cam{row}", name, StreamState.RUNNING, 1.7e9, 1.7e9, {"timeout": 1})
        page.recorder(0).frames(row, Outcome.ANALYSED)
        page.recorder(0).result_age(row, 0.1)
    check(metrics.scrape())
