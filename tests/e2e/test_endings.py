"""How things end: in order, by a signal, by a kill; and what is left then."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from serving import SAMPLE, Server, eventually, serving

FAST_CHECKPOINTS = {"VIDSERVE_JOBS__CHECKPOINT_S": "0.2"}


def alive(pids):
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_in_order_and_leaves_nothing(tmp_path, number):
    server = Server(tmp_path, anew=True)
    server.wait_ready()
    children = server.children("server.engine") + server.children("server.worker")
    assert len(children) >= 2
    assert len(server.segments()) >= 2
    server.post(SAMPLE)
    server.process.send_signal(number)
    assert server.process.wait(60) == 0
    assert alive(children) == []
    assert server.segments() == set()
    server.client.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_every_process_ends_all_of_them_in_order_and_starts_none_anew(tmp_path, number):
    server = Server(tmp_path, anew=True)
    server.wait_ready()
    children = server.children("server.engine") + server.children("server.worker")
    server.post(SAMPLE)
    for pid in (server.process.pid, *children, server.process.pid):  # twice, as `timeout` does
        os.kill(pid, number)
    assert server.process.wait(60) == 0
    assert alive(children) == []
    log = server.log.read_text()
    assert "is started again" not in log
    assert "[error" not in log
    server.client.close()


def test_children_do_not_outlive_a_killed_parent_and_the_next_start_sweeps_up(tmp_path):
    server = Server(tmp_path, anew=True)
    server.wait_ready()
    children = server.children("server.engine") + server.children("server.worker")
    assert server.segments()
    server.kill()
    eventually(lambda: not alive(children), seconds=20)
    with serving(tmp_path):
        assert server.segments() == set()


def result_of(server, job):
    ended = server.wait(job)
    assert ended["state"] == "done", ended
    return server.rows(job), ended["frames"], ended["summary"]


def test_a_job_goes_on_after_its_worker_was_killed_with_the_same_bytes(tmp_path, street):
    with serving(tmp_path, env=FAST_CHECKPOINTS) as server:
        expected = result_of(server, server.post(street))
        job = server.post_until_checkpoint(street)
        for pid in server.children("server.worker"):
            os.kill(pid, signal.SIGKILL)
        assert result_of(server, job) == expected


def test_a_job_goes_on_after_the_engine_was_killed_with_the_same_bytes(tmp_path, street):
    with serving(tmp_path, env=FAST_CHECKPOINTS) as server:
        expected = result_of(server, server.post(street))
        job = server.post_until_checkpoint(street)
        for pid in server.children("server.engine"):
            os.kill(pid, signal.SIGKILL)
        assert result_of(server, job) == expected


def test_pictures_are_answered_again_once_there_is_another_engine(tmp_path):
    picture = cv2.imencode(".jpg", np.zeros((36, 64, 3), np.uint8))[1].tobytes()

    def status():
        head = {"Content-Type": "image/jpeg"}
        return server.client.post("/v1/models/moving-objects/predict", content=picture, headers=head).status_code

    with serving(tmp_path) as server:
        every_thread = 4 * len(server.children("server.worker"))
        assert {status() for _ in range(every_thread)} == {200}
        killed = server.children("server.engine")
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        # That it is not ready may be over before it is asked.
        eventually(lambda: set(server.children("server.engine")) - set(killed))
        server.wait_ready()
        assert {status() for _ in range(every_thread)} == {200}


def test_a_job_goes_on_after_the_whole_server_was_killed_with_the_same_bytes(tmp_path, street):
    with serving(tmp_path / "undisturbed") as server:
        expected = result_of(server, server.post(street))
    server = Server(tmp_path / "killed", env=FAST_CHECKPOINTS)
    server.wait_ready()
    job = server.post_until_checkpoint(street)
    server.kill()
    with serving(tmp_path / "killed") as again:
        assert result_of(again, job) == expected


def test_a_second_server_on_one_data_folder_is_refused(tmp_path):
    with serving(tmp_path):
        second = subprocess.run(
            [sys.executable, "-m", "server.cli", "serve", "--data", str(tmp_path), "--port", "0"],
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert second.returncode != 0
    assert "Another server works on" in second.stderr
