from __future__ import annotations

import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from server.commands import checks
from server.commands.checks import CHECKS, Finding, Verdict
from server.commands.doctor import run
from server.core.settings import EngineSettings, Settings, TensorsSettings, WorkersSettings
from server.runtime.processes.folders import locked


def settings(data: Path, **more: object) -> Settings:
    return Settings.model_validate({"data": data, "port": 0, **more})


def test_a_machine_that_runs_these_tests_runs_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(settings(tmp_path)) == 0
    said = capsys.readouterr().out
    for word in ("Python", "cores", "memory", "ONNX Runtime", "decoders", "h264", "av1", "models", "port"):
        assert word in said


def test_what_does_not_work_has_a_fix(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bad = settings(
        tmp_path / "file" / "data",
        host="192.0.2.1",
        engine=EngineSettings(models=("no-such-model",), provider="cuda", require_provider=True),
        workers=WorkersSettings(count=64, shm_mb=16384),
    )
    found = {finding.name: finding for finding in (check(bad) for check in CHECKS)}
    for name in ("port", "models", "shared memory", "data folder"):
        assert found[name].verdict is Verdict.FAIL, found[name]
        assert found[name].fix
    assert "--shm-size=" in found["shared memory"].fix


@pytest.mark.parametrize(
    ("free_mb", "verdict", "fix"),
    [
        (400, Verdict.OK, ""),
        (120, Verdict.WARN, "For clients of /v2: Start the container with --shm-size="),
        (40, Verdict.FAIL, "Start the container with --shm-size="),
    ],
)
def test_shared_memory_must_hold_frames_and_better_tensors_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_mb: int, verdict: Verdict, fix: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free_mb * 2**20))
    wanted = settings(tmp_path, workers=WorkersSettings(count=2, shm_mb=28), v2=TensorsSettings(shm_mb=128))
    found = checks.shared_memory(wanted)
    assert found.verdict is verdict, found
    assert found.fix.startswith(fix)


def test_a_taken_port_fails(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        finding = checks.port(settings(tmp_path, port=other.getsockname()[1]))
    assert finding.verdict is Verdict.FAIL
    assert "is taken" in finding.detail


def test_a_port_that_is_taken_while_the_server_of_the_data_folder_runs_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    with socket.create_server(("127.0.0.1", 0)) as other, locked(tmp_path / "data"):
        running = settings(tmp_path / "data", port=other.getsockname()[1])
        for check in (checks.port, checks.shared_memory):
            finding = check(running)
            assert finding.verdict is Verdict.OK
            assert "the server of this data folder runs" in finding.detail
    assert checks.shared_memory(running).verdict is Verdict.FAIL


def test_of_a_port_that_is_open_to_the_network_it_says_where_the_key_is(tmp_path: Path) -> None:
    found = checks.port(settings(tmp_path, host="0.0.0.0"))
    assert found.verdict is Verdict.OK
    assert f"callers need the key in {tmp_path / 'admin.key'}" in found.detail


def test_a_missing_driver_is_said_and_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checks.gpu(settings(tmp_path)) == Finding(
        "GPU", Verdict.OK, "none: no NVIDIA driver here (nvidia-smi is absent)"
    )


def test_a_driver_that_fails_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'Driver/library version mismatch'\nexit 18\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    finding = checks.gpu(settings(tmp_path))
    assert finding.verdict is Verdict.WARN
    assert "version mismatch" in finding.detail
