"""A server that others can reach: it makes a key, asks for it, and tells it to nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from serving import Server, serving


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Server:
    """A server that is bound to every address of this machine."""
    with serving(tmp_path_factory.mktemp("data"), "--host", "0.0.0.0") as running:
        yield running


@pytest.fixture
def key(guarded: Server) -> str:
    return (guarded.data / "admin.key").read_text().strip()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_it_makes_a_key_for_its_owners_eyes_and_asks_for_it(guarded: Server, key: str) -> None:
    assert (guarded.data / "admin.key").stat().st_mode & 0o777 == 0o600
    for path in ("/v1/jobs", "/metrics", "/nowhere"):
        assert guarded.client.get(path).status_code == 401
    assert guarded.client.get("/v1/jobs").json()["code"] == "key_missing"
    assert guarded.client.get("/v1/jobs", headers=bearer("not-the-key")).json()["code"] == "key_wrong"
    assert guarded.client.get("/v1/jobs", headers=bearer(key)).status_code == 200


def test_a_probe_and_a_browser_that_opens_the_documentation_need_none(guarded: Server) -> None:
    for path in ("/health/live", "/readyz", "/docs", "/openapi.json"):
        assert guarded.client.get(path).status_code == 200


def test_the_health_check_of_the_images_finds_it_well(guarded: Server) -> None:
    check = Path(__file__).parents[2] / "docker" / "healthy"
    done = subprocess.run([sys.executable, check], env={"VIDSERVE_PORT": str(guarded.port)}, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_web_socket_without_a_key_is_refused_at_its_handshake(guarded: Server) -> None:
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    answer = guarded.client.get("/v1/ws", headers=handshake)
    assert (answer.status_code, answer.json()["code"]) == (401, "key_missing")


def test_an_upload_without_a_key_is_refused(guarded: Server, tmp_path: Path) -> None:
    (tmp_path / "large.mp4").write_bytes(bytes(8 * 2**20))
    with (tmp_path / "large.mp4").open("rb") as video:
        answer = guarded.client.post("/v1/jobs", files={"file": video})
    assert answer.json()["code"] == "key_missing"
    assert list((guarded.data / "uploads").glob("*")) == []


def test_a_ticket_reads_for_a_while_and_the_log_knows_neither_it_nor_the_key(guarded: Server, key: str) -> None:
    made = guarded.client.post("/v1/tickets", json={"path": "/v1/jobs"}, headers=bearer(key)).json()
    assert guarded.client.get("/v1/jobs", params={"ticket": made["ticket"], "limit": 7}).status_code == 200
    refused = guarded.client.post("/v1/jobs", params={"ticket": made["ticket"]}, files={"file": b"x"})
    assert refused.status_code == 401
    said = guarded.log.read_text()
    assert "/v1/jobs?limit=7" in said
    assert "admin.key" in said
    assert made["ticket"] not in said
    assert key not in said


def test_on_loopback_a_key_that_is_set_is_wanted_too(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the-key-of-the-house\n")
    with serving(tmp_path / "data", "--key-file", str(tmp_path / "key")) as server:
        assert server.client.get("/v1/jobs").status_code == 401
        assert server.client.get("/v1/jobs", headers=bearer("the-key-of-the-house")).status_code == 200
        assert not (server.data / "admin.key").exists()
