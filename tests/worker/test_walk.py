import threading

import pytest
from worker_builders import FPS, FakeSource, counted, eventually, rows_of

from server.core.metrics_page import JOBS_ROW, STAGES
from server.domain.outcome import Outcome
from server.worker.checkpoint import Checkpoint
from server.worker.errors import EngineSilent, InferenceFailed


def test_every_frame_becomes_a_row_in_order(bench):
    around = bench()
    walk = around.walk(FakeSource(50))
    walk.run()
    rows = rows_of(around)
    assert [row["frame"] for row in rows] == list(range(50))
    levels = [next(c["confidence"] for c in row["classes"] if c["label"] == "a") for row in rows]
    assert levels == [n / 1000 for n in range(50)]
    assert rows[7]["pts_s"] == 7 / FPS
    assert (rows[0]["width"], rows[0]["height"]) == (8, 6)
    assert counted(walk) == {Outcome.ANALYSED: 50}
    assert around.slots.taken == 0


def test_frames_not_asked_for_are_never_made_into_pictures(bench):
    around = bench()
    source = FakeSource(50)
    walk = around.walk(source, fps=2)
    walk.run()
    assert source.retrieved == list(range(0, 50, 5))
    assert counted(walk) == {Outcome.ANALYSED: 10, Outcome.SAMPLED_OUT: 40}


@pytest.mark.parametrize("recurrent", [False, True])
def test_every_frame_ends_in_exactly_one_outcome(bench, recurrent):
    around = bench(failing={11, 12}, recurrent=recurrent)
    walk = around.walk(FakeSource(40, broken={3, 4, 39}))
    walk.run()
    assert counted(walk) == {Outcome.ANALYSED: 35, Outcome.DECODE_ERROR: 3, Outcome.INFERENCE_ERROR: 2}
    assert {o: n for o, n in around.page.frames(JOBS_ROW).items() if n} == counted(walk)
    assert [row["frame"] for row in rows_of(around)] == [n for n in range(40) if n not in {3, 4, 39, 11, 12}]
    assert around.slots.taken == 0


def test_frames_are_asked_about_in_company_and_the_last_with_whom_there_is(bench, monkeypatch):
    around = bench()
    walk = around.walk(FakeSource(50))
    asked, ask = [], walk.requests.ask
    monkeypatch.setattr(walk.requests, "ask", lambda questions: (asked.append(len(questions)), ask(questions)))
    walk.run()
    assert asked == [4] * 12 + [2]


def test_each_stage_is_measured_once_a_frame(bench):
    around = bench()
    around.walk(FakeSource(20)).run()
    assert {stage: around.page.stage(stage).cumulative[-1][1] for stage in STAGES} == dict.fromkeys(STAGES, 20)
    assert around.page.stage("queue").sum == pytest.approx(0.020)
    assert around.page.stage("infer").sum == pytest.approx(0.040)


def test_it_works_with_a_single_slot(bench):
    around = bench(slots=1)
    walk = around.walk(FakeSource(20))
    walk.run()
    assert counted(walk) == {Outcome.ANALYSED: 20}


def test_a_cancelled_job_counts_what_it_had_in_hand(bench):
    around = bench(silent=True)
    source = FakeSource(500)
    walk = around.walk(source)
    timer = threading.Timer(0.3, around.cancelled.set)
    timer.start()
    walk.run()
    timer.join()
    assert counted(walk) == {Outcome.CANCELLED: source.index + 1}
    assert around.slots.taken == 0


def test_a_silent_engine_is_an_error_and_not_a_wait_for_ever(bench):
    walk = bench(silent=True).walk(FakeSource(5), engine_patience_s=0.3)
    with pytest.raises(EngineSilent):
        walk.run()


def test_no_frame_inferred_is_a_failure_with_the_last_error(bench):
    walk = bench(failing=set(range(10))).walk(FakeSource(10))
    with pytest.raises(InferenceFailed, match="told to fail"):
        walk.run()
    assert counted(walk) == {Outcome.INFERENCE_ERROR: 10}


def test_an_answer_that_is_no_number_is_an_error_of_inference_and_no_row(bench):
    around = bench(overflowing={3, 7})
    walk = around.walk(FakeSource(10))
    walk.run()
    assert counted(walk) == {Outcome.ANALYSED: 8, Outcome.INFERENCE_ERROR: 2}
    assert [row["frame"] for row in rows_of(around)] == [0, 1, 2, 4, 5, 6, 8, 9]
    with pytest.raises(InferenceFailed, match="fake@1 is not finite"):
        bench(overflowing=set(range(10))).walk(FakeSource(10)).run()


def test_progress_is_unknown_without_a_length_and_never_above_one(bench):
    around = bench()
    unknown = around.walk(FakeSource(10))
    unknown.run()
    assert unknown.progress().progress is None
    lying = around.walk(FakeSource(10, duration_s=0.5))
    lying.run()
    assert lying.progress().progress == 1.0
    assert lying.progress().frames[0] == 10


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("fps", [None, 4])
def test_from_any_checkpoint_a_job_goes_on_with_the_same_bytes(bench, recurrent, fps):
    around = bench(recurrent=recurrent, failing={21})
    whole = around.walk(FakeSource(60, broken={9, 10}), fps=fps, checkpoint_s=0.0)
    whole.run()
    rows_of(around)
    expected, total = around.api.rows, dict(whole.outcomes)
    checkpoints = list(around.api.checkpoints)
    assert len(checkpoints) > 5
    for next_frame, blob, covered in checkpoints[:: max(1, len(checkpoints) // 4)]:
        around.api.rows = expected[:covered]
        again = around.walk(FakeSource(60, broken={9, 10}), fps=fps)
        again.resume(Checkpoint.decode(blob))
        again.run()
        eventually(lambda: around.api.rows == expected)
        assert around.api.rows == expected, next_frame
        assert again.outcomes == total
        assert again.scene.summary() == whole.scene.summary()
