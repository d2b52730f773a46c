"""A disk that is full, at whatever is being written: nothing that was accepted is lost, and it goes on when there is
space again.
"""

import subprocess
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
        self._ballast.unlink()


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be made here, which takes root: {mounted.stderr.strip()}")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def small(disk, tmp_path):
    """A server whose data lie on the small disk, its log elsewhere."""
    env = {"VIDSERVE_JOBS__CHECKPOINT_S": "0.2", "VIDSERVE_LIMITS__FREE_BYTES": "0"}
    with serving(disk.folder / "data", log=tmp_path / "log", env=env) as running:
        yield running


def state_of(server, job):
    return server.client.get(f"/v1/jobs/{job['id']}").json()["state"]


def test_a_running_job_waits_for_space_and_goes_on_with_the_same_bytes(small, disk, tmp_path):
    video = footage(tmp_path / "v.mp4", frames=3000)
    expected = small.wait(small.post(video))
    assert expected["state"] == "done"
    job = small.post(video)
    eventually((small.data / "jobs" / job["id"] / "checkpoint").exists)
    disk.fill()
    eventually(lambda: "No space is left" in small.log.read_text())
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
