import time
from itertools import pairwise
from statistics import median

import pytest
from clip_builders import ClipEngine, clip_manifest, clips_of
from live_builders import Camera, eventually

from server.wire.messages import ChangeStream

FPS = 10


class SlowClipEngine(ClipEngine):
    """Takes several frames' time for a clip."""

    def _infer(self, ask):
        time.sleep(0.6)
        return super()._infer(ask)


@pytest.fixture
def streaming(bench):
    """A stream of a model of clips, and what is around it."""

    def making(camera, *, engine_kind=ClipEngine, fps=None, **analysis):
        around = bench(camera, engine_kind=engine_kind)
        around.bundle = around.bundle_of(clip_manifest(fps=fps))
        return around, around.stream(confidence=0.0, **analysis)

    return making


def steps(rows):
    """How many frames of the camera lie between those of clips."""
    return [after - before for clip in clips_of(rows).values() for before, after in pairwise(clip)]


def test_a_clip_holds_no_frame_from_before_the_source_began_anew(streaming):
    lasts = 8
    around, _ = streaming(Camera(fps=FPS, lasts=lasts, stamp=lambda n: (n % lasts) / FPS))
    eventually(lambda: len(around.api.rows) > 2 * lasts)
    clips = list(clips_of(around.api.rows).values())
    assert all(len({level // lasts for level in clip}) == 1 for clip in clips)
    assert any(len(set(clip)) == 1 for clip in clips[lasts:])


def test_frames_that_come_while_the_model_is_busy_move_the_window_on(streaming):
    around, stream = streaming(Camera(fps=FPS, stamp=lambda n: n / FPS), engine_kind=SlowClipEngine, max_age_ms=5000)
    eventually(lambda: len(around.api.rows) >= 6)
    stream.stop()
    assert stream.join(30)
    assert median(steps(around.api.rows[3:])) == 1
    assert around.frames["dropped_busy"] > 0
    assert around.slots.taken == 0


def test_a_stream_is_sampled_at_the_rate_of_its_model_and_asked_about_as_often_as_wanted(streaming):
    camera = Camera(fps=20, stamp=lambda n: n / 20)
    around, stream = streaming(camera, fps=10, sample_fps=2)
    eventually(lambda: len(around.api.rows) >= 4)
    stream.stop()
    assert stream.join(30)
    assert median(steps(around.api.rows[1:])) == 2
    assert around.frames["sampled_out"] > around.frames["analysed"]
    assert camera.given - 1 <= sum(around.frames.values()) <= camera.given


def test_how_often_clips_are_asked_about_can_be_changed(streaming):
    around, stream = streaming(Camera(fps=20, stamp=lambda n: n / 20), fps=10, sample_fps=1)
    eventually(lambda: len(around.api.rows) >= 3)
    stream.change(ChangeStream("cam", 1, b'{"confidence": 0.0, "sample_fps": 10}', around.bundle))
    rows = len(around.api.rows)
    eventually(lambda: len(around.api.rows) >= rows + 20)
    frames = [row["frame"] for row in around.api.rows[rows + 5 :]]
    assert median(after - before for before, after in pairwise(frames)) == 2
