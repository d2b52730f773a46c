"""From a recipe to a model that serves, and on to its successor, while the server is under load."""

import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter

import cv2
import pytest
from serving import TWO_WORKERS, eventually, serving
from typer.testing import CliRunner

from server.cli import app

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

RECIPE = """
data:
  source: {kind: shapes, count: 40, frames: 4, size: 16}
  input: {width: 16, height: 16, channels: 1, frames: 4}
  split: {val: 0.2}
  cache: {workers: 0}
net:
  - {particle: conv, channels: 4, stride: 4, activation: relu}
  - {particle: global_pool}
  - {particle: gru, hidden: 8}
  - {particle: time_pool, kind: last}
  - {particle: linear, channels: outputs}
fit: {epochs: 1, batch: 16}
"""


def vidserve(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", *arguments], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def vidserve_here(*arguments):
    """The same without a process that would have to import torch."""
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


PACE_S, JOB_PACE_S = 0.25, 2.0
"""Between an answer and the next question: some eight a second, and time left for training beside them."""


class Load:
    """Asks for single pictures and whole videos, again and again.

    Attributes:
        answers: how often each status and version came to a picture.
        jobs: ended jobs with their rows.
    """

    def __init__(self, server, model, video):
        self.answers, self.jobs = Counter(), []
        self._server, self._model, self._video = server, model, video
        picture = cv2.resize(cv2.VideoCapture(str(video)).read()[1], (160, 90))
        self._picture = cv2.imencode(".jpg", picture)[1].tobytes()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._ask, self._ask, self._post)]

    def __enter__(self):
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for one in self._threads:
            one.join(60)

    def _ask(self):
        url, head = f"/v1/models/{self._model}/predict", {"Content-Type": "image/jpeg"}
        while not self._over.is_set():
            answer = self._server.client.post(url, content=self._picture, headers=head)
            self.answers[answer.status_code, answer.json().get("model")] += 1
            time.sleep(PACE_S)

    def _post(self):
        while not self._over.is_set():
            job = self._server.wait(self._server.post(self._video, analysis=json.dumps({"model": self._model})))
            self.jobs.append((job, [json.loads(line) for line in self._server.rows(job).splitlines()]))
            self._over.wait(JOB_PACE_S)


def test_no_request_fails_while_a_model_is_trained_and_takes_the_place_of_its_predecessor(
    tmp_path, street, monkeypatch
):
    recipe = tmp_path / "shapes.yaml"
    recipe.write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path / "data", env=TWO_WORKERS) as server:
        url = f"http://127.0.0.1:{server.port}"
        vidserve_here("train", str(recipe), "seed=1", "name=first")
        said = vidserve_here("export", "runs/first", "--name", "shapes", "--to", url)
        assert "shapes@1" in said
        with Load(server, "shapes", street) as load:
            vidserve("train", str(recipe), "seed=2", "name=second", cwd=tmp_path)
            eventually(lambda: load.answers[200, "shapes@1"] >= 10)
            said = vidserve("export", "runs/second", "--name", "shapes", "--to", url, cwd=tmp_path)
            assert "shapes@2" in said
            eventually(lambda: load.answers[200, "shapes@2"] >= 10)
            ended = len(load.jobs)
            eventually(lambda: len(load.jobs) >= ended + 2, seconds=120)

    assert set(load.answers) == {(200, "shapes@1"), (200, "shapes@2")}
    assert {job["state"] for job, _ in load.jobs} == {"done"}
    frames = {tuple(row["frame"] for row in rows) for _, rows in load.jobs}
    assert len(frames) == 1, "a job lost frames"
    scores = {}
    for _, rows in load.jobs:
        # What a job began with it ends with: a net that remembers cannot be handed over.
        (model,) = {row["model"] for row in rows}
        scores.setdefault(model, []).append([row["classes"] for row in rows])
    assert set(scores) == {"shapes@1", "shapes@2"}
    for of_one in scores.values():
        assert all(one == other for one, other in itertools.pairwise(of_one))
    assert scores["shapes@1"][0] != scores["shapes@2"][0]
