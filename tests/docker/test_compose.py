"""compose.yaml: its files are there, its settings are settings, and its parts find each other."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from folder import DOCKER, document, pinned, settings_of

from server.core.settings import Settings

COMPOSE = document("compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SECRETS = {f"/run/secrets/{name}" for name in COMPOSE["secrets"]}


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """What a service mounts, by where."""
    return {target: source for source, target in (one.split(":")[:2] for one in service.get("volumes", []))}


def test_every_image_of_others_is_pinned() -> None:
    for name, service in SERVICES.items():
        assert "build" in service or pinned(service["image"]), name


def test_every_file_that_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for source in mounts(service).values():
            assert source in COMPOSE["volumes"] or (DOCKER / source).is_file(), source


def test_every_secret_is_declared_and_none_is_in_the_repository() -> None:
    for service in SERVICES.values():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
    ignored = (DOCKER.parent / ".gitignore").read_text().split()
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    assert "/docker/secrets/" in ignored


def test_the_server_is_closed_in_and_has_room_for_frames() -> None:
    server = SERVICES["vidserve"]
    assert server["shm_size"] == "1gb"
    assert server["read_only"] is True
    assert server["cap_drop"] == ["ALL"]
    assert mounts(server)["/data"] == "data"
    assert server["tmpfs"] == ["/tmp"]


@pytest.mark.xfail("streams" not in Settings.model_fields, reason="streams cannot be declared yet", strict=True)
def test_its_variables_and_its_file_are_settings(tmp_path: Path) -> None:
    server = SERVICES["vidserve"]
    config = mounts(server)[server["environment"]["VIDSERVE_CONFIG"]]
    settings = settings_of(server["environment"], tmp_path, secrets=SECRETS, config=DOCKER / config)
    assert settings.admin_key is not None
    (ports,) = server["ports"]
    assert ports.endswith(f":{settings.port}")
    (camera,) = settings.streams.values()
    assert urlsplit(str(camera.url)).hostname in SERVICES


def test_the_camera_gives_what_the_server_looks_at() -> None:
    url = urlsplit(tomllib.loads((DOCKER / "vidserve.toml").read_text())["streams"]["street"]["url"])
    path = url.path.strip("/")
    assert (url.scheme, url.port) == ("rtsp", 8554)
    command = document("mediamtx.yml")["paths"][path]["runOnInit"]
    played = command.split(" -i ")[1].split()[0]
    assert Path(mounts(SERVICES["camera"])[played]).name == "street.mp4"


def test_prometheus_asks_the_server_with_the_key() -> None:
    (job,) = document("prometheus.yml")["scrape_configs"]
    assert job["authorization"]["credentials_file"] in SECRETS
    assert "admin_key" in SERVICES["prometheus"]["secrets"]
    host, port = job["static_configs"][0]["targets"][0].split(":")
    assert (host in SERVICES, port) == (True, "8000")


def test_prometheus_understands_its_file() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here: `make test-deps` installs prometheus")
    check = [promtool, "check", "config", "--syntax-only", str(DOCKER / "prometheus.yml")]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_different_with_a_gpu(tmp_path: Path) -> None:
    (server,) = document("compose.gpu.yaml")["services"].values()
    assert server["build"]["target"] == "gpu"
    (device,) = server["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert settings_of(server["environment"], tmp_path, secrets=SECRETS).engine.require_provider is True
