"""What clients and operators do wrong: each is told so, and nothing that was accepted is lost."""

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from serving import USUALLY, Server, eventually, free_port, serving

MIB = 2**20


def assert_problem(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"]) == (code, status)
    return problem


def sent(server, path, *, headers=None, **fields):
    with path.open("rb") as file:
        return server.client.post("/v1/jobs", files={"file": (path.name, file)}, data=fields, headers=headers)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A server that takes little: one job at a time, two waiting, videos of at most a megabyte."""
    data = tmp_path_factory.mktemp("narrow")
    env = {
        "VIDSERVE_JOBS__RUNNING": "1",
        "VIDSERVE_JOBS__QUEUED": "2",
        "VIDSERVE_JOBS__CHECKPOINT_S": "0.2",
        "VIDSERVE_JOBS__ALLOW_PRIVATE_URLS": "true",
        "VIDSERVE_LIMITS__UPLOAD_BYTES": str(MIB),
    }
    with serving(data, env=env) as running:
        yield running


def everything(server):
    return server.client.get("/v1/jobs", params={"limit": 200}).json()["items"]


@pytest.fixture
def idle(narrow):
    """The narrow server without any job, before and after."""
    yield narrow
    for job in everything(narrow):
        narrow.client.delete(f"/v1/jobs/{job['id']}").raise_for_status()


@pytest.mark.parametrize(
    ("fields", "status", "code", "said"),
    [
        ({"model": "nobody"}, 404, "model_not_found", "nobody"),
        ({"model": "moving-objects@99"}, 404, "model_not_found", "moving-objects"),
        ({"model": "Not A Name"}, 422, "fields_invalid", "model"),
        ({"modle": "moving-objects"}, 422, "fields_invalid", "`model`"),
        ({"analysis": '{"labels": ["unicorn"]}'}, 422, "fields_invalid", "unicorn"),
        ({"analysis": '{"sample_fsp": 1}'}, 422, "fields_invalid", "`sample_fps`"),
        ({"analysis": "{"}, 422, "fields_invalid", "JSON"),
    ],
)
def test_what_is_not_known_is_refused_and_the_video_is_gone(idle, fields, status, code, said, few_frames):
    problem = assert_problem(sent(idle, few_frames, **fields), status, code)
    assert said in problem["detail"]
    assert list((idle.data / "uploads").iterdir()) == []
    assert everything(idle) == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/jobs/nobody", 404, "job_not_found"),
        ("GET", "/v1/jobs/..%2f..%2fetc", 404, "not_found"),
        ("POST", "/v1/jobs/nobody/cancel", 404, "job_not_found"),
        ("DELETE", "/v1/jobs/nobody", 404, "job_not_found"),
        ("GET", "/v1/jobs/nobody/results", 404, "job_not_found"),
        ("GET", "/v1/jobs?state=lost", 422, "fields_invalid"),
        ("GET", "/v1/jobs?limit=0", 422, "fields_invalid"),
        ("GET", "/v1/models/nobody", 404, "model_not_found"),
        ("GET", "/v1/models/moving-objects@99", 404, "model_not_found"),
        ("POST", "/v1/models/moving-objects@99/load", 404, "model_not_found"),
        ("POST", "/v1/models/moving-objects@99/unload", 404, "model_not_found"),
        ("PUT", "/v1/models/moving-objects@99/default", 404, "model_not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("PATCH", "/v1/jobs", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there_is_a_problem(idle, method, path, status, code):
    assert_problem(idle.client.request(method, path), status, code)


def test_an_unknown_format_of_results_is_refused(idle, few_frames):
    job = idle.wait(idle.post(few_frames))
    assert_problem(idle.client.get(f"/v1/jobs/{job['id']}/results?format=xml"), 422, "fields_invalid")
    headers = {"Accept": "image/png"}
    assert_problem(idle.client.get(f"/v1/jobs/{job['id']}/results", headers=headers), 406, "not_acceptable")


def test_an_empty_file_is_refused(idle, tmp_path):
    (tmp_path / "empty.mp4").touch()
    assert_problem(sent(idle, tmp_path / "empty.mp4"), 422, "fields_invalid")


@pytest.mark.parametrize("length_is_said", [True, False])
def test_a_file_beyond_the_limit_is_refused_on_its_way_and_leaves_nothing(idle, length_is_said):
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
    pieces = [head, *[bytes(MIB)] * 64, b"\r\n--b--\r\n"]
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    if length_is_said:
        headers["Content-Length"] = str(sum(map(len, pieces)))
    answer = idle.client.post("/v1/jobs", content=iter(pieces), headers=headers)
    assert "[limits] upload_bytes" in assert_problem(answer, 413, "upload_too_large")["hint"]
    eventually(lambda: list((idle.data / "uploads").iterdir()) == [])
    assert everything(idle) == []


def test_a_full_queue_refuses_and_loses_none_that_it_took(idle, long_video, few_frames):
    running = idle.post(long_video)
    eventually(lambda: idle.client.get(f"/v1/jobs/{running['id']}").json()["state"] == "running")
    key = {"Idempotency-Key": uuid.uuid4().hex}
    waiting = [sent(idle, few_frames, headers=key).json(), idle.post(few_frames)]

    refused = sent(idle, few_frames)
    problem = assert_problem(refused, 429, "queue_full")
    assert "[jobs] queued" in problem["hint"]
    assert int(refused.headers["retry-after"]) > 0
    by_url = idle.client.post("/v1/jobs", json={"url": "http://127.0.0.1:1/a.mp4"})
    assert_problem(by_url, 429, "queue_full")
    assert sent(idle, few_frames, headers=key).json()["id"] == waiting[0]["id"]
    assert list((idle.data / "uploads").iterdir()) == []

    idle.client.post(f"/v1/jobs/{running['id']}/cancel").raise_for_status()
    assert [idle.wait(job)["state"] for job in waiting] == ["done", "done"]
    assert idle.wait(idle.post(few_frames))["state"] == "done"
    assert len(everything(idle)) == 4


def test_a_full_queue_goes_on_after_a_restart(tmp_path, long_video, few_frames):
    env = {"VIDSERVE_JOBS__RUNNING": "1", "VIDSERVE_JOBS__QUEUED": "1"}
    server = Server(tmp_path, env=env)
    server.wait_ready()
    running = server.post(long_video)
    eventually(lambda: server.client.get(f"/v1/jobs/{running['id']}").json()["state"] == "running")
    waiting = server.post(few_frames)
    server.kill()
    with serving(tmp_path, env=env) as again:
        again.client.delete(f"/v1/jobs/{running['id']}").raise_for_status()
        assert again.wait(waiting)["state"] == "done"


def test_the_same_key_at_the_same_moment_gives_one_job(idle, few_frames):
    key = {"Idempotency-Key": uuid.uuid4().hex}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: sent(idle, few_frames, headers=key), range(8)))
    assert [answer.status_code for answer in answers] == [202] * 8
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    job = idle.wait(answers[0].json())
    assert job["state"] == "done"
    assert [path.name for path in (idle.data / "jobs").iterdir()] == [job["id"]]
    assert_problem(sent(idle, few_frames, headers=key, model="moving-objects@1"), 409, "idempotency_key_conflict")


# ── cancel in every state ────────────────────────────────────────────────────────────────────────────────────────


def cancel_of(server, job):
    return server.client.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status().json()["state"]


def state_of(server, job):
    return server.client.get(f"/v1/jobs/{job['id']}").json()["state"]


@contextmanager
def silent_host():
    """Somebody who takes connections and says nothing; a URL there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/a.mp4", listener


def test_a_waiting_job_can_be_cancelled(idle, long_video, few_frames):
    running, waiting = idle.post(long_video), idle.post(few_frames)
    assert cancel_of(idle, waiting) == "cancelled"
    assert idle.rows(waiting) == b""
    eventually(lambda: state_of(idle, running) == "running")
    assert state_of(idle, waiting) == "cancelled"


def test_a_job_whose_video_is_being_fetched_can_be_cancelled(idle):
    with silent_host() as (url, listener):
        job = idle.client.post("/v1/jobs", json={"url": url}).json()
        listener.settimeout(20)
        connection, _ = listener.accept()
        with connection:
            assert cancel_of(idle, job) == "cancelled"
            connection.settimeout(20)
            while connection.recv(4096):
                pass  # its request, then the end: nothing is fetched any more
    assert idle.wait(job)["state"] == "cancelled"


def test_a_job_that_is_just_being_started_can_be_cancelled(idle, long_video):
    for pause_s in (0, 0.002, 0.005, 0.01, 0.02, 0.05):
        job = idle.post(long_video)
        time.sleep(pause_s)
        assert cancel_of(idle, job) == "cancelled"
        assert state_of(idle, job) == "cancelled"


def test_a_job_whose_model_is_being_loaded_can_be_cancelled(idle, long_video, few_frames):
    idle.client.post("/v1/models/moving-objects/unload").raise_for_status()
    job = idle.post(long_video)
    assert cancel_of(idle, job) == "cancelled"
    assert idle.wait(idle.post(few_frames))["state"] == "done"


def test_a_running_job_can_be_cancelled_by_many_at_once_and_keeps_its_rows(idle, long_video):
    job = idle.post(long_video)
    eventually(lambda: idle.rows(job))
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(lambda _: cancel_of(idle, job), range(4))) == {"cancelled"}
    ended = idle.wait(job)
    assert len(idle.rows(job).splitlines()) == ended["frames"]["analysed"] > 0


def test_a_job_that_goes_back_to_its_checkpoint_can_be_cancelled(idle, long_video, few_frames):
    job = idle.post(long_video)
    eventually((idle.data / "jobs" / job["id"] / "checkpoint").exists)
    for pid in idle.children("server.worker"):
        subprocess.run(["kill", "-KILL", str(pid)], check=True)
    assert idle.client.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
    ended = idle.wait(job)
    assert ended["state"] == "cancelled"
    assert len(idle.rows(job).splitlines()) >= 1
    assert not (idle.data / "jobs" / job["id"] / "checkpoint").exists()
    assert idle.wait(idle.post(few_frames))["state"] == "done"


def test_a_job_that_has_ended_stays_as_it_is(idle, tmp_path, few_frames):
    (tmp_path / "notes.mp4").write_text("no video\n" * 100)
    done, failed = idle.wait(idle.post(few_frames)), idle.wait(idle.post(tmp_path / "notes.mp4"))
    rows = idle.rows(done)
    assert (cancel_of(idle, done), cancel_of(idle, failed)) == ("done", "failed")
    assert idle.client.get(f"/v1/jobs/{done['id']}").json() == done
    assert idle.rows(done) == rows


def test_a_deleted_job_is_not_found_and_a_delete_while_it_runs_waits_for_its_end(idle, long_video):
    job = idle.post(long_video)
    eventually(lambda: idle.rows(job))
    with ThreadPoolExecutor(4) as threads:
        statuses = sorted(threads.map(lambda _: idle.client.delete(f"/v1/jobs/{job['id']}").status_code, range(4)))
    assert statuses[0] == 204
    assert set(statuses) <= {204, 404}
    assert_problem(idle.client.post(f"/v1/jobs/{job['id']}/cancel"), 404, "job_not_found")
    assert list((idle.data / "jobs").iterdir()) == []


# ── how it is started ────────────────────────────────────────────────────────────────────────────────────────────


def test_two_uvicorn_workers_on_one_data_folder_are_refused(tmp_path):
    """The first of them serves; the second says why it does not."""
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\n"
        "from server.app import create_app\n"
        "from server.core.settings import Settings\n"
        f"app = create_app(Settings(data=Path({str(tmp_path / 'data')!r})))\n"
    )
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "mine:app", "--workers", "2", "--port", str(port)]
    log = tmp_path / "log"
    with log.open("wb") as file:
        environ = {**os.environ, **USUALLY}
        both = subprocess.Popen(command, cwd=tmp_path, env=environ, stderr=file, stdout=file)
    try:
        eventually(lambda: "Another server works on" in log.read_text(), seconds=120)
        assert "--data" in log.read_text()
    finally:
        both.terminate()
        both.wait(60)


def little_shared_memory():
    """What to put before a command, and `workers.shm_mb`, so that there is too little shared memory."""
    total_mb = shutil.disk_usage("/dev/shm").total // MIB
    if total_mb < 16384:
        return [], max(8, total_mb + 1)
    private = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if subprocess.run([*private, "mount -t tmpfs tmpfs /dev/shm"], capture_output=True).returncode != 0:
        pytest.xfail("there is much shared memory here, and no way to have less of it")
    return [*private, 'mount -t tmpfs -o size=16m tmpfs /dev/shm && exec "$@"', "sh"], 28


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /dev/shm")
def test_too_little_shared_memory_refuses_to_start_and_says_what_to_do(tmp_path):
    before, shm_mb = little_shared_memory()
    server = [sys.executable, "-m", "server.cli", "serve", "--data", str(tmp_path), "--port", str(free_port())]
    file = tmp_path / "vidserve.toml"
    file.write_text(f"[workers]\nshm_mb = {shm_mb}\n")
    ended = subprocess.run([*before, *server, "--config", str(file)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1, ended.stderr
    assert "--shm-size" in ended.stderr
    assert "Traceback" not in ended.stderr
