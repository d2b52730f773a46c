"""Nets of torch, exported and served: a video through `/v1/jobs` gets the scores that torch gives."""

import itertools
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from serving import SAMPLE, TWO_WORKERS, serving

from model_export.geometry import fit
from model_export.manifest import FrameInput
from model_export.repository import Repository
from model_export.sampling import Sampler
from model_export.torch_export import export
from model_export.video import open_video

sys.path.insert(0, str(Path(__file__).parents[1] / "model_export"))

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from torch_net_builders import (  # noqa: E402
    GRU_STATE,
    HIDDEN,
    LABELS,
    SIDE,
    WINDOW,
    RecurrentNet,
    WindowNet,
    clips,
    draft,
    net,
)

FPS = 5
ROUNDED = 1e-4
"""Rows hold four digits."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A server with both nets, and the nets."""
    data = tmp_path_factory.mktemp("data")
    repository = Repository(data / "models")
    recurrent, windowed = net(RecurrentNet), net(WindowNet)
    export(recurrent, draft(name="recurrent", state=GRU_STATE), clips(), repository)
    export(windowed, draft(name="windowed", window=WINDOW, fps=FPS), clips(frames=WINDOW), repository)
    with serving(data, env=TWO_WORKERS) as server:
        yield server, recurrent.eval(), windowed.eval()


def frames_of(video, fps=None):
    """Fitted frames of a file by index, uint8 [1, SIDE, SIDE, 3] each, as a job is shown them."""
    spec, sampler, found = FrameInput(width=SIDE, height=SIDE), Sampler(fps), {}
    with open_video(video) as source:
        while source.grab():
            if sampler.wants(source.pts_s):
                found[source.index] = torch.from_numpy(fit(source.retrieve(), spec)[None].copy())
    return found


def scores_of(server, model, video, **analysis):
    job = server.post(video, analysis=json.dumps({"model": model, **analysis}))
    assert server.wait(job)["state"] == "done"
    rows = [json.loads(line) for line in server.rows(job).splitlines()]
    return {
        row["frame"]: [{score["label"]: score["confidence"] for score in row["classes"]}[label] for label in LABELS]
        for row in rows
    }


def test_a_recurrent_net_gives_torchs_scores_at_every_frame_of_a_job(exported, street):
    server, recurrent, _ = exported

    got = scores_of(server, "recurrent", street)

    frames, memory, expected = frames_of(street), torch.zeros(1, HIDDEN), {}
    with torch.no_grad():
        for index, frame in frames.items():
            logits, memory = recurrent(frame, memory)
            expected[index] = logits.softmax(1)[0].tolist()
    assert list(got) == list(expected)
    np.testing.assert_allclose(list(got.values()), list(expected.values()), atol=2 * ROUNDED, rtol=0)


def test_a_net_of_windows_gives_torchs_scores_for_the_frames_that_its_rate_picks(exported, street):
    server, _, windowed = exported

    got = scores_of(server, "windowed", street)

    frames = frames_of(street, FPS)
    window, expected = list(itertools.repeat(next(iter(frames.values())), WINDOW)), {}
    with torch.no_grad():
        for index, frame in frames.items():
            window = [*window[1:], frame]
            expected[index] = windowed(torch.stack(window, dim=1)).softmax(1)[0].tolist()
    assert list(got) == list(expected)
    np.testing.assert_allclose(list(got.values()), list(expected.values()), atol=2 * ROUNDED, rtol=0)


def test_jobs_at_the_same_time_keep_their_own_memories(exported, street):
    server, _, _ = exported
    alone = scores_of(server, "recurrent", street)

    jobs = [server.post(street, analysis=json.dumps({"model": "recurrent"})) for _ in range(3)]
    assert [server.wait(job)["state"] for job in jobs] == ["done"] * 3

    told = {server.rows(job) for job in jobs}
    assert len(told) == 1
    rows = [json.loads(line) for line in told.pop().splitlines()]
    assert [row["frame"] for row in rows] == list(alone)


def test_a_picture_is_a_clip_in_which_nothing_happens(exported):
    server, _, windowed = exported
    picture = np.full((48, 48, 3), 120, np.uint8)
    _, encoded = cv2.imencode(".png", picture)

    answer = server.client.post(
        "/v1/models/windowed/predict", content=encoded.tobytes(), headers={"Content-Type": "image/png"}
    )

    still = torch.from_numpy(np.full((1, WINDOW, SIDE, SIDE, 3), 120, np.uint8))
    with torch.no_grad():
        expected = dict(zip(LABELS, windowed(still).softmax(1)[0].tolist(), strict=True))
    got = {score["label"]: score["confidence"] for score in answer.raise_for_status().json()["classes"]}
    assert got == pytest.approx(expected, abs=2 * ROUNDED)


def test_a_gate_would_hide_frames_from_a_model_that_remembers(exported):
    server, _, _ = exported

    answer = server.client.post(
        "/v1/jobs",
        files={"file": ("a.mp4", SAMPLE.read_bytes())},
        data={"analysis": json.dumps({"model": "windowed", "gate": "motion"})},
    )

    assert answer.status_code == 422
    assert "has to see every one" in answer.text
