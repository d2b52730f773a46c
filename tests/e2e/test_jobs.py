"""Videos in, what they show out: whole journeys against a real server."""

import json
import uuid

import cv2
import pytest
from footage import beginning
from serving import SAMPLE, eventually


def parsed(rows):
    return [json.loads(line) for line in rows.splitlines()]


@pytest.fixture(scope="module")
def whole(server):
    """The sample video's job, done."""
    job = server.wait(server.post(SAMPLE, model="moving-objects"))
    assert job["state"] == "done", job
    return job


def test_a_video_becomes_a_row_a_frame(server, whole):
    job = whole
    rows = parsed(server.rows(job))
    assert [row["frame"] for row in rows] == list(range(len(rows)))
    assert job["frames"] == {"analysed": len(rows)}
    assert job["progress"] == 1
    assert job["warnings"] == []
    assert {"frame", "pts_s", "captured_at", "width", "height", "model", "objects"} <= set(rows[0])
    assert rows[0]["model"] == "moving-objects@1"
    assert any(row["objects"] for row in rows)
    times = [row["pts_s"] for row in rows]
    assert times == sorted(set(times))


def test_what_moves_is_tracked_and_summed_up(server, whole):
    job = whole
    objects = [found for row in parsed(server.rows(job)) for found in row["objects"]]
    tracks = {found["track_id"] for found in objects if "track_id" in found}
    summary = job["summary"]["moving"]
    assert summary["tracks"] == len(tracks) > 3
    assert summary["most_at_once"] >= 2
    for found in objects:
        x1, y1, x2, y2 = found["box"]
        assert 0 <= x1 < x2 <= job["width"]
        assert 0 <= y1 < y2 <= job["height"]


def test_sampling_counts_the_frames_it_passed_over(server, whole):
    job = server.wait(server.post(SAMPLE, analysis=json.dumps({"sample_fps": 2})))
    total = whole["frames"]["analysed"]
    assert job["frames"]["analysed"] + job["frames"]["sampled_out"] == total
    assert job["frames"]["analysed"] == len(parsed(server.rows(job))) == pytest.approx(2 * job["duration_s"], abs=2)


@pytest.mark.data
def test_the_same_file_twice_alone_or_beside_others_gives_the_same_bytes(yolox_server, shared_data, tmp_path):
    video = shared_data / "videos/motorway.mp4"
    other = beginning(tmp_path / "other.mp4", shared_data / "videos/car-detection.mp4", frames=60)
    alone = yolox_server.rows(yolox_server.wait(yolox_server.post(video, model="yolox-nano")))
    beside = [yolox_server.post(other, model=model) for model in ("yolox-nano", "moving-objects", "yolox-nano")]
    again = yolox_server.wait(yolox_server.post(video, model="yolox-nano"))
    assert yolox_server.rows(again) == alone
    for job in beside:
        yolox_server.client.delete(f"/v1/jobs/{job['id']}").raise_for_status()
    assert parsed(alone)[0]["objects"]


def test_a_cancelled_job_keeps_what_is_done_and_a_deleted_one_is_gone(server, long_video):
    job = server.post(long_video)
    eventually(lambda: server.rows(job))
    cancelled = server.client.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status().json()
    assert cancelled["state"] == "cancelled"
    kept = server.rows(job)
    assert len(parsed(kept)) == cancelled["frames"]["analysed"]
    assert server.client.post(f"/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
    assert server.rows(job) == kept
    assert server.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert server.client.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert not (server.data / "jobs" / job["id"]).exists()


def test_the_same_idempotency_key_gives_the_same_job(server, few_frames):
    key = {"Idempotency-Key": uuid.uuid4().hex}
    answers = []
    for _ in range(2):
        with few_frames.open("rb") as file:
            answers.append(server.client.post("/v1/jobs", files={"file": ("a.mp4", file)}, headers=key))
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert answers[0].headers["location"] == answers[1].headers["location"]
    with few_frames.open("rb") as file:
        other = server.client.post(
            "/v1/jobs", files={"file": ("a.mp4", file)}, data={"analysis": '{"track": false}'}, headers=key
        )
    assert other.json()["code"] == "idempotency_key_conflict"
    server.wait(answers[0].json())


def test_a_file_that_is_no_video_fails_with_a_reason(server, tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("not a video at all\n" * 100)
    job = server.wait(server.post(path))
    assert job["state"] == "failed"
    assert job["error"]["code"] == "video_unreadable"


def test_a_picture_is_answered_with_a_row(server):
    capture = cv2.VideoCapture(str(SAMPLE))
    _, frame = capture.read()
    _, picture = cv2.imencode(".jpg", frame)
    answer = server.client.post(
        "/v1/models/moving-objects/predict", content=picture.tobytes(), headers={"Content-Type": "image/jpeg"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["width"] == frame.shape[1]
    bad = server.client.post(
        "/v1/models/moving-objects/predict", content=b"nope", headers={"Content-Type": "image/jpeg"}
    )
    assert bad.status_code == 422
    assert bad.json()["code"] == "picture_unreadable"


def test_an_unknown_model_and_an_unknown_key_are_refused_with_what_to_do(server):
    with SAMPLE.open("rb") as file:
        answer = server.client.post("/v1/jobs", files={"file": file}, data={"model": "nobody"})
    assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")
    with SAMPLE.open("rb") as file:
        answer = server.client.post("/v1/jobs", files={"file": file}, data={"analysis": '{"confidense": 0.5}'})
    assert answer.status_code == 422
    assert "confidence" in answer.text


def metric(server, name, **labels):
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    for line in server.client.get("/metrics").text.splitlines():
        if line.startswith(f"{name}{{") and all(part in line for part in wanted):
            return float(line.rpartition(" ")[2])
    return None


def test_every_frame_is_in_the_metrics_once(server, few_frames):
    before = metric(server, "vidserve_frames_total", source="job", outcome="analysed")
    inferred = metric(server, "vidserve_stage_seconds_count", stage="infer")
    job = server.wait(server.post(few_frames))
    frames = job["frames"]["analysed"]
    assert metric(server, "vidserve_frames_total", source="job", outcome="analysed") == before + frames
    assert metric(server, "vidserve_stage_seconds_count", stage="infer") == inferred + frames
    assert metric(server, "vidserve_model_info", model="moving-objects") == 1
    assert metric(server, "vidserve_jobs", state="running") == 0
