from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_export.manifest import Task
from server.commands import serve
from server.domain.model import ModelState, ModelStatus

ROOT = Path(__file__).parents[2]


def model(**changes: Any) -> ModelStatus:
    values: dict[str, Any] = {
        "name": "yolox-nano",
        "version": 2,
        "default": True,
        "versions": (1, 2),
        "task": Task.DETECT,
        "family": "yolox",
        "state": ModelState.READY,
        "provider": "cpu",
        "asked_provider": "auto",
    }
    return ModelStatus(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "yolox-nano@2 runs on the CPU: no NVIDIA GPU is here"),
        ({"asked_provider": "cpu"}, "yolox-nano@2 runs on the CPU: so the settings say"),
        ({"provider": "cuda"}, "yolox-nano@2 runs on the GPU: it is here and works"),
        (
            {"asked_provider": "cuda", "provider_reason": "its libraries are missing."},
            "yolox-nano@2 runs on the CPU: cuda was asked for, but its libraries are missing.",
        ),
    ],
)
def test_it_says_what_a_model_runs_on_and_why(changes: dict[str, Any], line: str) -> None:
    assert serve.running([model(**changes)]) == [line]


def test_a_model_that_is_not_loaded_runs_on_nothing() -> None:
    assert serve.running([model(state=ModelState.UNLOADED, provider=None)]) == []


@pytest.mark.parametrize(
    ("path", "status", "logged"),
    [
        ("/health/ready", 200, False),
        ("/health/ready", 503, False),
        ("/metrics", 200, False),
        ("/metrics", 500, True),
        ("/v1/jobs", 200, True),
    ],
)
def test_probes_are_logged_only_if_they_are_answered_badly(path: str, status: int, logged: bool) -> None:
    record = logging.makeLogRecord({"args": ("127.0.0.1:1", "GET", path, "1.1", status)})
    assert serve._not_a_probe(record) is logged


def vidserve(*words: str, cwd: Path) -> subprocess.Popen[str]:
    """A command that is left running."""
    return subprocess.Popen(
        [sys.executable, "-m", "server.cli", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "VIDSERVE_WORKERS__COUNT": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_who_waits_for_a_job_when_the_server_ends_is_told_to_ask_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDSERVE_JOBS__ALLOW_PRIVATE_URLS", "true")
    # Who fetches from there waits for long.
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, vidserve("serve", "--port", "0", "--data", str(tmp_path / "data"), cwd=tmp_path) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split(" at ")[1].split(",")[0]
            video = {"url": f"http://127.0.0.1:{silent.getsockname()[1]}/a.mp4"}
            with httpx.Client(timeout=60) as client:
                job = client.post(f"{url}/v1/jobs", json=video).json()["id"]
                waiting = asyncio.run(_wait_while(client, f"{url}/v1/jobs/{job}?wait=30", process))
            assert waiting.status_code == 503
            assert waiting.json()["code"] == "stopping"
            assert process.wait(60) == 0
        finally:
            process.kill()


async def _wait_while(client: httpx.Client, url: str, process: subprocess.Popen[str]) -> httpx.Response:
    asking = asyncio.create_task(asyncio.to_thread(client.get, url))
    await asyncio.sleep(3)
    process.send_signal(signal.SIGTERM)
    return await asking


@pytest.mark.slow
def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with vidserve("serve", "--port", "0", "--data", str(tmp_path / "data"), cwd=tmp_path) as process:
        try:
            assert process.stdout is not None
            assert "is ready at" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            time.sleep(0.15)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) in (0, 130, -signal.SIGINT)  # it may have been at its very end
        finally:
            process.kill()


@pytest.mark.slow
def test_the_demo_shows_what_it_found_and_what_to_try_next(tmp_path: Path) -> None:
    with vidserve("demo", "--once", "--port", "18000", "--data", "demo", cwd=tmp_path) as process:
        said, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, complaints
    assert "moving-objects@1 runs on" in said
    assert "street.mp4: 300 frames" in said
    assert "curl -F file=@" in said
    assert "/results?format=csv" in said
