"""The Dockerfile, as far as it can be looked at without building: nothing here has Docker."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from folder import DOCKER, ROOT, UID, pinned, settings_of

LINES = re.sub(r"\\\n\s*", "", (DOCKER / "Dockerfile").read_text()).splitlines()
INSTRUCTIONS = [line.split(maxsplit=1) for line in LINES if line.strip() and not line.startswith("#")]
STAGES = {words[2]: words[0] for name, line in INSTRUCTIONS if name == "FROM" for words in [line.split()]}


def instructions(name: str) -> list[str]:
    return [rest for found, rest in INSTRUCTIONS if found == name]


def ignored(path: str) -> bool:
    """Whether the build does not see a path of the repository; the last pattern that fits decides."""
    verdict = False
    for line in (DOCKER / "Dockerfile.dockerignore").read_text().split():
        pattern = line.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        heads = ["/".join(parts[: length + 1]) for length in range(len(parts))]
        fits = parts if "**/" in line else heads
        if any(fnmatch.fnmatchcase(one, pattern) for one in fits):
            verdict = not line.startswith("!")
    return verdict


def test_every_stage_is_built_on_a_pinned_image_or_another_stage() -> None:
    (default,) = instructions("ARG")
    name, _, python = default.partition("=")
    for base in STAGES.values():
        assert base in STAGES or pinned(base.replace(f"${{{name}}}", python)), base
    assert {"cpu", "gpu"} <= set(STAGES)
    assert list(STAGES)[-1] == "cpu"


def test_everything_that_is_copied_is_there() -> None:
    for line in instructions("COPY"):
        words = line.split()
        if words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in STAGES
            continue
        for source in words[:-1]:
            assert (ROOT / source).exists(), source
            assert not ignored(source), source


def test_the_build_sees_the_packages_whole_and_nothing_else() -> None:
    for path in ("server/models/moving-objects/1/model.onnx", "server/samples/street.mp4", "model_export/bundle.py"):
        assert (ROOT / path).is_file()
        assert not ignored(path)
    for path in (".git/HEAD", "tests/conftest.py", "vidserve-data/admin.key", "docker/secrets/admin.key", ".venv/x"):
        assert ignored(path), path
    assert ignored("server/__pycache__/app.pyc")


def test_the_server_runs_as_a_user_without_rights() -> None:
    assert instructions("USER") == [f"{UID}:{UID}"]
    assert any(f"--uid {UID}" in line for line in instructions("RUN"))


def test_what_is_replaced_is_pinned_for_its_own_sake() -> None:
    pins = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    replaced = re.findall(r"replace (\S+) (\S+)", "\n".join(LINES))
    assert {"opencv-python", "onnxruntime-gpu"} == {first for first, _ in replaced}
    assert {first for first, _ in replaced} <= pins


def test_its_variables_are_settings(tmp_path: Path) -> None:
    variables = dict(word.split("=", 1) for line in instructions("ENV") for word in line.split())
    ours = {name: value for name, value in variables.items() if name.startswith("VIDSERVE_")}
    settings = settings_of(ours, tmp_path, secrets=set())
    assert settings.host == "0.0.0.0"
    assert str(settings.data) in instructions("VOLUME")
    assert [str(settings.port)] == instructions("EXPOSE")


@pytest.mark.parametrize("script", ["healthy", "replace"])
def test_scripts_can_be_run(script: str) -> None:
    assert os.access(DOCKER / script, os.X_OK)
    assert f"COPY docker/{script} /usr/local/bin/" in LINES


def healthy(port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DOCKER / "healthy"],
        env={"VIDSERVE_PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_health_check_says_why_a_server_is_not_well() -> None:
    done = healthy(9)
    assert done.returncode == 1
    assert "http://127.0.0.1:9/health/ready" in done.stderr
