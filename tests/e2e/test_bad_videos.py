"""Videos that are none, too large, too long or damaged: a reason each, and nobody else notices."""

import socket
import subprocess
import sys

import cv2
import numpy as np
import pytest
from damage import mutations
from footage import endless, footage
from serving import serving

PIXELS = 64 * 48
SECONDS = 3


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A server that takes small and short videos only."""
    env = {
        "VIDSERVE_LIMITS__PIXELS": str(PIXELS),
        "VIDSERVE_LIMITS__VIDEO_S": str(SECONDS),
        "VIDSERVE_JOBS__CHECKPOINT_S": "0.1",
    }
    with serving(tmp_path_factory.mktemp("strict"), env=env) as running:
        yield running


def failure_of(server, job):
    ended = server.wait(job)
    assert ended["state"] == "failed", ended
    return ended


def failure(server, path):
    return failure_of(server, server.post(path))


def test_a_video_within_the_limits_is_analysed(strict, tmp_path):
    job = strict.wait(strict.post(footage(tmp_path / "v.mp4", frames=10 * SECONDS)))
    assert (job["state"], job["frames"]) == ("done", {"analysed": 10 * SECONDS})


def test_a_video_with_too_many_pixels_fails_before_it_is_read(strict, tmp_path):
    job = failure(strict, footage(tmp_path / "v.mp4", size_wh=(64, 64)))
    assert job["error"]["code"] == "video_too_large"
    assert "64×64" in job["error"]["message"]
    assert strict.rows(job) == b""


def test_a_video_that_says_to_be_too_long_fails_before_it_is_read(strict, tmp_path):
    job = failure(strict, footage(tmp_path / "v.mp4", frames=10 * SECONDS + 1))
    assert job["error"]["code"] == "video_too_long"
    assert strict.rows(job) == b""


def test_what_was_seen_of_a_video_that_turns_out_to_be_too_long_can_be_read(strict, tmp_path):
    jobs = [failure(strict, footage(tmp_path / "v.mkv", frames=500, live="1")) for _ in range(2)]
    assert [job["error"]["code"] for job in jobs] == ["video_too_long"] * 2
    frames = 10 * SECONDS + 1
    assert [job["frames"] for job in jobs] == [{"analysed": frames}] * 2
    assert len(strict.rows(jobs[0]).splitlines()) == frames
    assert strict.rows(jobs[0]) == strict.rows(jobs[1])
    assert jobs[0]["duration_s"] == SECONDS
    assert jobs[0]["summary"]


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".bmp"])
def test_a_picture_with_too_many_pixels_is_refused_before_it_is_unfolded(strict, kind):
    for size, status in (((48, 64), 200), ((64, 64), 422)):
        picture = cv2.imencode(kind, np.zeros((*size, 3), np.uint8))[1].tobytes()
        headers = {"Content-Type": "application/octet-stream"}
        answer = strict.client.post("/v1/models/moving-objects/predict", content=picture, headers=headers)
        assert answer.status_code == status, answer.text
    assert answer.json()["code"] == "picture_too_large"
    assert "[limits] pixels" in answer.json()["detail"]


@pytest.mark.parametrize("picture", [b"no picture", bytes(1000), b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_what_is_no_picture_is_refused(strict, picture):
    answer = strict.client.post(
        "/v1/models/moving-objects/predict", content=picture, headers={"Content-Type": "image/png"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "picture_unreadable")


def test_the_command_line_has_the_same_limits(tmp_path):
    video = footage(tmp_path / "v.mp4", size_wh=(64, 64))
    (tmp_path / "vidserve.toml").write_text(f"[limits]\npixels = {PIXELS}\n")
    analyze = [sys.executable, "-m", "server.cli", "analyze", str(video), "--config", str(tmp_path / "vidserve.toml")]
    ended = subprocess.run(analyze, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "64×64" in ended.stderr


LISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{url}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile '{url}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\na=control:{url}\n",
    "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period>'
    "</MPD>",
    "asx": '<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
    "ram": "{url}\n",
    "xspf": '<playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList><track><location>{url}</location></track>'
    "</trackList></playlist>",
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_of_videos_is_none_and_nothing_it_names_is_opened(server, tmp_path, kind):
    video = footage(tmp_path / "v.mp4")
    jobs = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        targets = [f"{scheme}://127.0.0.1:{port}/v.mp4" for scheme in ("http", "tcp", "rtsp", "ftp")]
        targets += [video.as_uri(), str(video), f"concat:{video}", f"subfile,,start,0,end,0,,:{video}"]
        for number, target in enumerate(targets):
            path = tmp_path / (f"list.{kind}" if number % 2 else "list.mp4")
            path.write_text(LISTS[kind].format(url=target, port=port))
            jobs.append(server.post(path))
        ended = [server.wait(job) for job in jobs]
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert {job["state"] for job in ended} == {"failed"}
    assert {job["error"]["code"] for job in ended} == {"video_unreadable"}


@pytest.mark.parametrize("content", [b"no video\n" * 100, bytes(5000), b"\x89PNG\r\n\x1a\n" + bytes(100), b"x"])
def test_what_is_no_video_fails_with_a_reason(server, tmp_path, content):
    (tmp_path / "v.mp4").write_bytes(content)
    job = failure(server, tmp_path / "v.mp4")
    assert job["error"]["code"] == "video_unreadable"
    assert "Send MP4" in job["error"]["message"]


@pytest.mark.parametrize(
    ("env", "code"),
    [
        ({"VIDSERVE_WORKERS__MEMORY_MB": "512", "VIDSERVE_WORKERS__CALL_S": "60"}, "decoder_memory"),
        ({"VIDSERVE_WORKERS__MEMORY_MB": "16384", "VIDSERVE_WORKERS__CALL_S": "1"}, "decoder_hung"),
    ],
)
def test_a_small_file_that_takes_all_memory_or_time_fails_and_its_neighbours_do_not_notice(tmp_path, env, code):
    video = footage(tmp_path / "v.mp4", frames=300)
    with serving(tmp_path / "data", env=env) as server:
        expected = server.rows(server.wait(server.post(video)))
        before, bad, after = server.post(video), server.post(endless(tmp_path / "endless.mp4")), server.post(video)
        assert failure_of(server, bad)["error"]["code"] == code
        for job in (before, after):
            assert server.wait(job)["state"] == "done"
            assert server.rows(job) == expected


@pytest.mark.data
def test_damaged_videos_are_analysed_as_far_as_they_go_or_fail_and_their_neighbours_do_not_notice(
    server, shared_data, street, tmp_path
):
    good = server.wait(server.post(street))
    jobs = {}
    for name, content in mutations(shared_data / "formats", usually=60):
        (tmp_path / name).write_bytes(content)
        # All frames are decoded; to show them all to a model takes the most time, and shows nothing of the file.
        jobs[name] = server.post(tmp_path / name, analysis='{"sample_fps": 5}')
        (tmp_path / name).unlink()
    beside = server.post(street)
    ended = {name: server.wait(job) for name, job in jobs.items()}
    for name, job in ended.items():
        if job["state"] == "failed":
            code = job["error"]["code"]
            assert code in ("video_unreadable", "video_too_large", "decoder_crashed", "decoder_hung"), (name, job)
        else:
            assert job["state"] == "done", (name, job)
            assert len(server.rows(job).splitlines()) == job["frames"]["analysed"] > 0, (name, job)
    assert {job["state"] for job in ended.values()} == {"done", "failed"}
    assert any("truncated" in job["warnings"] for job in ended.values())
    assert server.process.poll() is None
    assert server.wait(beside)["state"] == "done"
    assert server.rows(beside) == server.rows(good)
