import contextlib

import pytest
from clip_builders import EVERYTHING, WINDOW, ClipBench, clip_manifest, clips_of
from worker_builders import FPS, FakeSource, counted, eventually, rows_of

from server.domain.analysis import Analysis, asked_fps, frames_fps
from server.domain.outcome import Outcome
from server.worker.checkpoint import Checkpoint
from tests.benches import benches


@pytest.fixture
def bench(tmp_path):
    """Makes a `ClipBench`, closed at the end."""
    yield from benches(ClipBench, tmp_path)


def test_every_frame_is_asked_about_with_those_before_it(bench):
    around = bench()
    walk = around.walk(FakeSource(30), analysis=EVERYTHING)
    walk.run()
    clips = clips_of(rows_of(around))
    assert list(clips) == list(range(30))
    assert all(clips[frame] == list(range(frame - WINDOW + 1, frame + 1)) for frame in range(WINDOW - 1, 30))
    assert counted(walk) == {Outcome.ANALYSED: 30}
    assert around.slots.taken == 0


def test_until_a_window_is_full_its_oldest_frame_stands_for_those_that_are_missing(bench):
    around = bench()
    around.walk(FakeSource(3), analysis=EVERYTHING).run()
    assert clips_of(rows_of(around)) == {0: [0, 0, 0, 0], 1: [0, 0, 0, 1], 2: [0, 0, 1, 2]}


def test_frames_of_a_clip_are_as_far_apart_in_media_time_as_the_model_wants(bench):
    around = bench(fps=FPS / 2)
    walk = around.walk(FakeSource(20), fps=frames_fps(around.manifest, EVERYTHING), analysis=EVERYTHING)
    walk.run()
    clips = clips_of(rows_of(around))
    assert list(clips) == list(range(0, 20, 2))
    assert clips[12] == [6, 8, 10, 12]
    assert counted(walk) == {Outcome.ANALYSED: 10, Outcome.SAMPLED_OUT: 10}


def test_clips_asked_about_less_often_hold_all_frames_nevertheless(bench):
    around = bench(fps=FPS)
    analysis = Analysis(confidence=0.0, sample_fps=FPS / 5)
    walk = around.walk(FakeSource(22), fps=frames_fps(around.manifest, analysis), analysis=analysis)
    walk.run()
    clips = clips_of(rows_of(around))
    assert clips == {n: [max(0, n - 3), max(0, n - 2), max(0, n - 1), n] for n in (0, 5, 10, 15, 20)}
    assert counted(walk) == {Outcome.ANALYSED: 5, Outcome.SAMPLED_OUT: 17}


def test_a_model_without_a_rate_is_shown_what_was_asked_for():
    assert frames_fps(clip_manifest(), Analysis(sample_fps=3)) == 3
    assert frames_fps(clip_manifest(fps=8), Analysis(sample_fps=3)) == 8
    assert asked_fps(clip_manifest(), Analysis(sample_fps=3)) == 3
    assert asked_fps(clip_manifest(fps=8), Analysis(sample_fps=3)) == 3
    assert asked_fps(clip_manifest(fps=8), Analysis(sample_fps=30)) == 8
    assert asked_fps(clip_manifest(fps=8), Analysis()) == 8


def test_frames_that_do_not_decode_are_left_out_of_the_window(bench):
    around = bench()
    walk = around.walk(FakeSource(10, broken={4, 5}), analysis=EVERYTHING)
    walk.run()
    assert clips_of(rows_of(around))[7] == [2, 3, 6, 7]
    assert counted(walk) == {Outcome.ANALYSED: 8, Outcome.DECODE_ERROR: 2}


@pytest.mark.parametrize("sample_fps", [None, 4])
def test_from_any_checkpoint_a_job_goes_on_with_the_same_bytes(bench, sample_fps):
    around = bench(failing={21}, fps=FPS)
    analysis = Analysis(confidence=0.0, sample_fps=sample_fps)
    whole = around.walk(FakeSource(60, broken={9, 10}), fps=FPS, analysis=analysis, checkpoint_s=0.0)
    whole.run()
    rows_of(around)
    expected, total = around.api.rows, dict(whole.outcomes)
    checkpoints = list(around.api.checkpoints)
    assert len(checkpoints) > 5
    for next_frame, blob, covered in checkpoints[:: max(1, len(checkpoints) // 4)]:
        around.api.rows = expected[:covered]
        again = around.walk(FakeSource(60, broken={9, 10}), fps=FPS, analysis=analysis)
        again.resume(Checkpoint.decode(blob))
        again.run()
        eventually(lambda: around.api.rows == expected)
        assert around.api.rows == expected, next_frame
        assert again.outcomes == total


def test_a_cancelled_job_accounts_for_every_frame(bench):
    around = bench(fps=FPS, silent=True)
    source = FakeSource(500)
    walk = around.walk(source, fps=FPS, analysis=Analysis(sample_fps=4), engine_patience_s=0.5)
    with contextlib.suppress(Exception):
        walk.run()
    walk.abandon()
    assert sum(walk.outcomes.values()) == source.index + 1
    assert around.slots.taken == 0
