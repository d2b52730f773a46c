"""Streams from the outside: a file that is played over and over stands in for a camera."""

import os
import signal
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import SAMPLE, TWO_WORKERS, Server, eventually, serving

SETTINGS = f"""
[sources]
folders = ["{SAMPLE.parent}"]

[streams.declared]
url = "file://{SAMPLE}"
loop = true
"""


@contextmanager
def cameras(folder, settings=SETTINGS):
    """A server with one declared stream."""
    file = folder / "cameras.toml"
    file.write_text(settings)
    with serving(folder / "data", "--config", str(file), env=TWO_WORKERS) as server:
        yield server


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with cameras(tmp_path_factory.mktemp("site")) as server:
        yield server


def add(server, name, **more):
    body = {"name": name, "url": f"file://{SAMPLE}", "loop": True, **more}
    answer = server.client.post("/v1/streams?force=true", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def look(server, stream):
    return server.client.get(f"/v1/streams/{stream}").raise_for_status().json()


def change(server, stream, **what):
    return server.client.patch(f"/v1/streams/{stream}", json=what).raise_for_status().json()


def analysed(server, stream, more_than=0):
    """Its frames, once it runs and more than so many were analysed."""

    def frames():
        seen = look(server, stream)
        count = seen["frames"].get("analysed", 0)
        return count if seen["state"] == "running" and count > more_than else 0

    return eventually(frames, seconds=60)


def test_a_stream_is_made_seen_changed_paused_and_deleted(site):
    stream = add(site, "street", analysis={"sample_fps": 10})
    analysed(site, stream)
    seen = eventually(lambda: (one := look(site, stream)).get("fps") and one)
    assert (seen["codec"], seen["width"], seen["height"], seen["model"]) == ("h264", 640, 360, "moving-objects@1")
    before = analysed(site, stream)
    assert change(site, stream, analysis={"confidence": 0.9})["analysis"]["sample_fps"] == 10
    analysed(site, stream, before)
    assert look(site, stream)["reconnects"] == 0
    assert change(site, stream, paused=True)["state"] == "paused"
    assert change(site, stream, paused=False)["state"] == "starting"
    analysed(site, stream, before)
    assert site.client.delete(f"/v1/streams/{stream}").status_code == 204
    assert site.client.get(f"/v1/streams/{stream}").status_code == 404
    assert stream not in site.client.get("/metrics").text


def test_what_a_stream_shows_can_be_looked_at_and_its_latest_rows_read(site):
    analysed(site, "cfg_declared", 2)
    for query in ("", "?boxes=false"):
        url = f"/v1/streams/cfg_declared/snapshot.jpg{query}"
        # A busy machine may take longer than a picture is waited for.
        answer = eventually(lambda url=url: (one := site.client.get(url)).status_code == 200 and one)
        picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (360, 640, 3)
    rows = site.client.get("/v1/streams/cfg_declared/results?limit=3").raise_for_status().json()["items"]
    assert [row["frame"] for row in rows] == sorted((row["frame"] for row in rows), reverse=True)
    newest = rows[0]["captured_at"]
    later = site.client.get("/v1/streams/cfg_declared/results", params={"since": newest}).json()["items"]
    assert newest in [row["captured_at"] for row in later]
    nobody = add(site, "away", url="rtsp://127.0.0.1:9/none")
    eventually(lambda: look(site, nobody)["state"] == "reconnecting")
    answer = site.client.get(f"/v1/streams/{nobody}/snapshot.jpg")
    assert (answer.status_code, answer.json()["code"]) == (503, "snapshot_unavailable")
    assert "source_refused" in answer.json()["detail"]
    assert site.client.delete(f"/v1/streams/{nobody}").status_code == 204


def test_a_source_is_tried_without_becoming_a_stream(site):
    tried = site.client.post("/v1/streams/probe", json={"url": f"file://{SAMPLE}"}).json()
    assert (tried["codec"], tried["width"], tried["height"]) == ("h264", 640, 360)
    assert len(tried["picture"]) > 1000
    failed = site.client.post("/v1/streams/probe", json={"url": "rtsp://127.0.0.1:9/none"}).json()
    assert failed["error"]["code"] == "source_refused"


def test_a_camera_that_does_not_answer_is_tried_again_and_its_password_is_nowhere(site):
    secret = "hunter2-%C3%A9"
    stream = add(site, "nobody", url=f"rtsp://me:{secret}@127.0.0.1:9/1?pwd={secret}")
    seen = eventually(lambda: (one := look(site, stream))["state"] == "reconnecting" and one)
    assert seen["error"]["code"] == "source_refused"
    change(site, stream, url=f"http://me:{secret}@127.0.0.1:9/1", name="nobody there")
    refused = site.client.post("/v1/streams", json={"url": f"rtsp://me:{secret}@camera/1", "name": "nobody there"})
    assert refused.status_code == 409
    eventually(lambda: look(site, stream)["state"] == "reconnecting")
    said = [site.client.get(path).text for path in ("/v1/streams", f"/v1/streams/{stream}", "/metrics")]
    for text in [*said, refused.text, site.log.read_text()]:
        assert "hunter2" not in text
    assert site.client.delete(f"/v1/streams/{stream}").status_code == 204


@pytest.mark.parametrize(
    ("url", "code", "hint"),
    [
        ("rtmp://camera/1", "source_scheme_refused", "rtsp://"),
        ("rtsp://camera:99999/1", "source_url_invalid", None),
        ("rtsp://169.254.169.254/1", "address_refused", None),
        ("file:///etc/passwd", "source_file_refused", "[sources] folders"),
        ("/dev/sda", "source_device_refused", "/dev/video0"),
    ],
)
def test_what_is_no_camera_is_refused_with_a_code(site, url, code, hint):
    for path in ("/v1/streams", "/v1/streams/probe"):
        answer = site.client.post(path, json={"url": url})
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert hint is None or hint in answer.json()["hint"]


def test_streams_are_back_after_the_server_was_killed(tmp_path):
    with cameras(tmp_path) as server:
        kept, paused = add(server, "kept"), add(server, "paused", paused=True)
        for stream in (kept, "cfg_declared"):
            analysed(server, stream)
        server.kill()
    again = Server(server.data, "--config", str(tmp_path / "cameras.toml"))
    try:
        again.wait_ready()
        for stream in (kept, "cfg_declared"):
            analysed(again, stream)
        assert look(again, paused)["state"] == "paused"
    finally:
        again.stop()


def test_the_settings_are_read_again_at_sighup(tmp_path):
    with cameras(tmp_path) as server:
        file = tmp_path / "cameras.toml"
        before = analysed(server, "cfg_declared")
        file.write_text(f'{SETTINGS}[streams.more]\nurl = "file://{SAMPLE}"\npaused = true\n')
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: server.client.get("/v1/streams/cfg_more").status_code == 200)
        file.write_text(f"{SETTINGS}lop = true\n")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: "everything stays as it was" in server.log.read_text())
        assert look(server, "cfg_more")["state"] == "paused"
        file.write_text(SETTINGS)
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: server.client.get("/v1/streams/cfg_more").status_code == 404)
        assert analysed(server, "cfg_declared", before)
        assert look(server, "cfg_declared")["reconnects"] == 0
        refused = server.client.patch("/v1/streams/cfg_declared", json={"paused": True})
        assert (refused.status_code, refused.json()["code"]) == (409, "stream_declared")


def test_streams_go_on_whatever_is_killed(tmp_path):
    with cameras(tmp_path) as server:
        streams = ["cfg_declared", add(server, "a"), add(server, "b")]
        for module in ("server.worker", "server.engine", "server.worker"):
            before = {stream: analysed(server, stream) for stream in streams}
            os.kill(eventually(lambda module=module: server.children(module))[0], signal.SIGKILL)
            for stream in streams:
                analysed(server, stream, before[stream])
        ended = {
            sample.labels["reason"]
            for family in text_string_to_metric_families(server.client.get("/metrics").text)
            for sample in family.samples
            if sample.name == "vidserve_process_restarts_total"
        }
        # On a busy machine others may seem to be dead, too; none has crashed.
        assert "sigkill" in ended
        assert ended <= {"sigkill", "silent", "hung"}
    assert server.segments() == set()
