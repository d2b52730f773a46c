import asyncio

import pytest
from dispatcher_builders import CRASHED, KILLED, inside, play

from model_export.manifest import Task
from server.core.calls import Call
from server.core.errors import StorageError, StorageFull
from server.domain.job import JobState
from server.runtime.processes.death import MEMORY
from server.wire.messages import StartJob


def test_jobs_are_spread_over_the_workers_oldest_first_and_as_many_as_each_takes(tmp_path):
    async def body(stage):
        await stage.put("a", "b", "c", "d", "e")
        await stage.running("a", "b", "c", "d")
        assert sorted(stage.started()) == [("worker-0", "a"), ("worker-0", "c"), ("worker-1", "b"), ("worker-1", "d")]
        stage.end("c")
        await stage.running("e")
        assert stage.started()[-1] == ("worker-0", "e")

    play(tmp_path, body)


def test_no_more_run_than_may_run_in_all(tmp_path):
    async def body(stage):
        await stage.put("a", "b", "c")
        await stage.running("a", "b")
        stage.end("b")
        await stage.running("c")
        assert sorted(job for _, job in stage.started()[:2]) == ["a", "b"]

    play(tmp_path, body, in_all=2)


def test_a_job_whose_model_takes_tensors_by_now_fails_with_the_reason(tmp_path):
    async def body(stage):
        stage.models.task = Task.TENSOR
        await stage.put("a")
        failed = await stage.ended("a")
        assert (failed.state, failed.error.code) == (JobState.FAILED, "task_not_for_video")
        await stage.until(lambda: stage.models.users == 0)
        assert stage.started() == []

    play(tmp_path, body)


def test_without_a_worker_jobs_wait_for_one(tmp_path):
    async def body(stage):
        await stage.put("a")
        await asyncio.sleep(0.05)
        assert stage.started() == []
        stage.up.append("worker-0")
        stage.dispatcher.wake()
        await stage.running("a")

    play(tmp_path, body, workers=())


def test_a_job_runs_to_its_end_and_says_what_came_of_it(tmp_path):
    async def body(stage):
        await stage.put("a")
        await stage.running("a")
        assert (await stage.ledger.get("a")).state is JobState.RUNNING
        stage.rows("a", 3)
        stage.end("a", frames=3)
        done = await stage.ended("a")
        assert (done.state, done.frames, done.progress) == (JobState.DONE, {"analysed": 3}, 1.0)
        assert (done.width, done.height, done.duration_s) == (64, 48, 0.3)
        assert b"".join(stage.media.read_rows("a")).count(b"\n") == 3
        await stage.until(lambda: stage.models.users == 0)

    play(tmp_path, body)


def quarantined(stage):
    return [job for worker, job in stage.started() if worker == "quarantine"]


@pytest.mark.parametrize(
    ("death", "seen", "alone", "elsewhere"),
    [
        (CRASHED, [inside("a"), inside("b", Call.NONE)], {"a"}, {"b"}),
        (CRASHED, [inside("a", Call.NONE), inside("b", Call.NONE)], {"a", "b"}, set()),
        (MEMORY, [inside("a"), inside("b", Call.NONE)], {"a", "b"}, set()),
        (KILLED, [inside("a"), inside("b")], set(), {"a", "b"}),
        (CRASHED, [], set(), {"a", "b"}),
    ],
)
def test_when_a_worker_dies_suspects_go_into_quarantine_one_by_one_and_neighbours_elsewhere_at_once(
    tmp_path, death, seen, alone, elsewhere
):
    async def body(stage):
        await stage.put("a", "x", "b")  # x is on the other worker
        await stage.running("a", "b", "x")
        stage.up.remove("worker-0")
        stage.dispatcher.worker_lost("worker-0", death, seen)
        for turn in range(len(alone)):
            await stage.until(lambda turn=turn: len(quarantined(stage)) > turn)
            await asyncio.sleep(0.02)
            assert len(quarantined(stage)) == turn + 1
            job = quarantined(stage)[-1]
            stage.end(job)
            await stage.ended(job)
        await stage.running(*elsewhere, tries=2)
        assert set(quarantined(stage)) == alone
        assert {job for worker, job in stage.started()[3:] if worker == "worker-1"} == elsewhere
        await stage.until(lambda: not stage.quarantine)

    play(tmp_path, body, each=4)


def test_a_job_that_kills_three_times_at_one_place_is_set_aside(tmp_path):
    async def body(stage):
        await stage.put("a")
        for tries, worker in enumerate(("worker-0", "quarantine", "quarantine"), 1):
            await stage.running("a", tries=tries)
            assert stage.started()[-1][0] == worker
            stage.rows("a", 5)
            stage.dispatcher.worker_lost(worker, CRASHED, [inside("a", frame=10)])
        failed = await stage.ended("a")
        assert (failed.state, failed.error.code) == (JobState.FAILED, "decoder_crashed")
        assert failed.frames == {"analysed": 5}
        await stage.until(lambda: not stage.quarantine)

    play(tmp_path, body)


def test_however_often_others_kill_its_worker_a_job_goes_on(tmp_path):
    async def body(stage):
        await stage.put("a")
        for tries in range(1, 12):
            await stage.running("a", tries=tries)
            stage.dispatcher.worker_lost("worker-0", KILLED, [inside("a", frame=10)])
        await stage.running("a", tries=12)
        assert {worker for worker, _ in stage.started()} == {"worker-0"}
        stage.end("a")
        assert (await stage.ended("a")).state is JobState.DONE

    play(tmp_path, body, workers=("worker-0",))


def test_a_suspect_that_is_cleared_makes_room_for_the_next(tmp_path):
    async def body(stage):
        await stage.put("a", "b")
        await stage.running("a", "b")
        stage.dispatcher.worker_lost("worker-0", CRASHED, [inside("a", frame=10), inside("b", frame=10)])
        await stage.until(lambda: quarantined(stage))
        first = quarantined(stage)[0]
        second = {"a": "b", "b": "a"}[first]
        stage.checkpoint(first, 20)
        await asyncio.sleep(0.05)
        assert stage.called_off() == []
        stage.checkpoint(first, 100)
        await stage.running(first, tries=3)
        await stage.running(second, tries=2)
        assert stage.called_off() == [("quarantine", first, 2)]
        assert sorted(stage.started()[-2:]) == sorted([("worker-0", first), ("quarantine", second)])

    play(tmp_path, body, workers=("worker-0",))


def test_when_the_engine_dies_every_job_goes_back_to_its_checkpoint(tmp_path):
    async def body(stage):
        await stage.put("a", "b")
        await stage.running("a", "b")
        stage.rows("a", 5)
        stage.checkpoint("a", 5, b"after five")
        await stage.until((tmp_path / "jobs/a/checkpoint").exists)
        stage.rows("a", 2)
        await stage.dispatcher.engine_lost(CRASHED)
        await stage.running("a", "b", tries=2)
        assert sorted(stage.called_off()) == [("worker-0", "a", 1), ("worker-1", "b", 1)]
        again = {message.job: message for _, message in stage.hub.sent[-2:]}
        assert (again["a"].attempt, again["a"].checkpoint) == (2, b"after five")
        assert (again["b"].attempt, again["b"].checkpoint) == (2, b"")
        assert b"".join(stage.media.read_rows("a")).count(b"\n") == 5
        assert stage.dispatcher.attempt("a").progress.frames[0] == 5

    play(tmp_path, body)


def test_what_an_attempt_still_says_that_was_given_up_is_dropped_and_counted(tmp_path):
    async def body(stage):
        await stage.put("a")
        await stage.running("a")
        stage.dispatcher.worker_lost("worker-0", KILLED, [])
        await stage.running("a", tries=2)
        stage.rows("a", 5, attempt=1)
        stage.rows("a", 3, attempt=2)
        stage.end("a", frames=3)
        assert (await stage.ended("a")).frames == {"analysed": 3}
        assert b"".join(stage.media.read_rows("a")).count(b"\n") == 3
        await stage.until(lambda: stage.dispatcher.attempt("a") is None)
        stage.rows("a", 1)
        assert stage.stale == 2

    play(tmp_path, body)


@pytest.mark.parametrize("code", ["engine_silent", "model_not_loaded", "results_refused"])
def test_what_is_not_the_jobs_fault_is_tried_again_but_not_for_ever(tmp_path, code):
    async def body(stage):
        await stage.put("a")
        for tries in (1, 2, 3):
            await stage.running("a", tries=tries)
            stage.end("a", "failed", code=code, frames=7)
        failed = await stage.ended("a")
        assert (failed.state, failed.error.code) == (JobState.FAILED, code)
        assert {worker for worker, _ in stage.started()} == {"worker-0"}

    play(tmp_path, body)


def test_a_job_whose_checkpoint_cannot_be_read_begins_again(tmp_path):
    async def body(stage):
        await stage.put("a")
        await stage.running("a")
        stage.rows("a", 5)
        stage.checkpoint("a", 5)
        stage.end("a", "failed", code="checkpoint_unreadable")
        await stage.running("a", tries=2)
        assert stage.hub.sent[-1][1].checkpoint == b""
        assert b"".join(stage.media.read_rows("a")) == b""

    play(tmp_path, body)


@pytest.mark.parametrize("settings", ["cpu, 1 thread", "cpu, 2 threads"])
def test_a_checkpoint_holds_as_long_as_the_model_computes_as_it_did(tmp_path, settings):
    async def body(stage):
        await stage.put("a")
        await stage.running("a")
        stage.rows("a", 5)
        stage.checkpoint("a", 5, b"after five")
        await stage.until((tmp_path / "jobs/a/checkpoint").exists)
        stage.models.settings = settings
        await stage.dispatcher.engine_lost(KILLED)
        await stage.running("a", tries=2)
        same = settings == "cpu, 1 thread"
        assert stage.hub.of(StartJob)[-1][1].checkpoint == (b"after five" if same else b"")
        assert b"".join(stage.media.read_rows("a")).count(b"\n") == (5 if same else 0)

    play(tmp_path, body)


def test_a_model_that_goes_while_another_is_waited_for_is_waited_for_again(tmp_path):
    async def body(stage):
        stage.models.settings = None
        await stage.put("a")
        await stage.until(lambda: stage.dispatcher.attempt("a") and stage.dispatcher.attempt("a").number > 2)
        assert stage.started() == []
        stage.models.settings = "cpu, 1 thread"
        await stage.running("a")

    play(tmp_path, body)


def test_what_an_older_server_kept_is_given_to_the_worker_as_it_is(tmp_path):
    async def body(stage):
        (tmp_path / "jobs" / "a").mkdir(parents=True)
        stage.media.append_rows("a", b'{"frame":0}\n')
        stage.media.commit_checkpoint("a", b"from before")
        await stage.put("a")
        await stage.running("a")
        assert stage.hub.sent[-1][1].checkpoint == b"from before"
        assert stage.dispatcher.attempt("a").progress is None

    play(tmp_path, body)


def test_a_job_that_went_on_after_its_last_frame_still_knows_what_it_saw(tmp_path):
    async def body(stage):
        await stage.put("a")
        await stage.running("a")
        stage.rows("a", 100)
        stage.checkpoint("a", 100)
        await stage.until((tmp_path / "jobs/a/checkpoint").exists)
        stage.dispatcher.worker_lost("worker-0", KILLED, [])
        await stage.running("a", tries=2)
        stage.end("a", frames=100, width=0)
        done = await stage.ended("a")
        assert (done.width, done.height, done.duration_s) == (64, 48, 10.0)

    play(tmp_path, body)


def test_a_job_may_run_for_so_long_in_all_its_attempts(tmp_path):
    async def body(stage):
        await stage.put("a")
        await stage.running("a")
        stage.rows("a", 5)
        stage.dispatcher.attempt("a")._began -= 100
        stage.dispatcher.worker_lost("worker-0", KILLED, [])
        failed = await stage.ended("a")
        assert (failed.state, failed.error.code) == (JobState.FAILED, "job_timeout")
        assert stage.called_off() == [("worker-0", "a", 2)]
        assert b"".join(stage.media.read_rows("a")) == b""

    play(tmp_path, body, max_run_s=60)


def refusing(write, error, *, times):
    """`write`, after that many refusals."""
    left = iter(range(times))

    def refuse(*args, **options):
        if next(left, None) is not None:
            raise error
        return write(*args, **options)

    return refuse


def test_a_full_disk_holds_a_job_up_wherever_it_writes_and_loses_nothing(tmp_path):
    full = StorageFull("No space is left.")

    async def body(stage):
        for name in ("resume", "append_rows", "commit_checkpoint"):
            setattr(stage.media, name, refusing(getattr(stage.media, name), full, times=3))
        stage.ledger.update = refusing(stage.ledger.update, full, times=3)
        await stage.put("a")
        await stage.running("a")
        stage.rows("a", 5)
        stage.checkpoint("a", 5)  # left out; the next one is not missed
        stage.ledger.update = refusing(stage.ledger.update, full, times=3)
        stage.dispatcher.worker_lost("worker-0", KILLED, [])
        await stage.running("a", tries=2)
        stage.rows("a", 5)
        stage.end("a")
        ended = await stage.ended("a")
        assert (ended.state, ended.error) == (JobState.DONE, None)
        assert len(b"".join(stage.media.read_rows("a")).splitlines()) == 5

    play(tmp_path, body)


def test_results_that_cannot_be_kept_fail_the_job_and_call_its_worker_off(tmp_path):
    async def body(stage):
        await stage.put("a")
        await stage.running("a")
        stage.media.append_rows = refusing(None, StorageError("Permission denied."), times=1000)
        stage.rows("a", 5)
        failed = await stage.ended("a")
        assert (failed.state, failed.error.code) == (JobState.FAILED, "storage_error")
        assert stage.called_off() == [("worker-0", "a", 1)]

    play(tmp_path, body)


def test_a_worker_that_is_gone_when_the_order_comes_is_held_against_nobody(tmp_path):
    async def body(stage):
        stage.hub.gone.add("worker-0")
        await stage.put("a")
        await stage.until(lambda: stage.dispatcher.attempt("a") and stage.dispatcher.attempt("a").number > 3)
        stage.hub.gone.clear()
        await stage.running("a")
        assert stage.started() == [("worker-0", "a")]

    play(tmp_path, body, workers=("worker-0",))


async def in_the_queue(stage):
    await stage.put("b", "c", "a")
    await stage.running("b", "c")


async def waiting_for_its_model(stage):
    stage.models.loaded.clear()
    await stage.put("a")
    await asyncio.sleep(0.02)


@pytest.mark.parametrize("where", [in_the_queue, waiting_for_its_model])
def test_a_job_that_does_not_run_yet_is_cancelled_at_once(tmp_path, where):
    async def body(stage):
        await where(stage)
        await stage.dispatcher.cancel("a")
        assert (await stage.ended("a")).state is JobState.CANCELLED
        assert ("worker-0", "a") not in stage.started()
        assert stage.models.users == len(stage.started())

    play(tmp_path, body, workers=("worker-0",), each=2)


def test_a_running_job_is_cancelled_by_its_worker_and_keeps_what_is_done(tmp_path):
    async def body(stage):
        await stage.put("a")
        await stage.running("a")
        stage.rows("a", 4)
        await stage.dispatcher.cancel("a")
        assert stage.called_off() == [("worker-0", "a", 1)]
        stage.end("a", "cancelled", frames=4)
        cancelled = await stage.ended("a")
        assert (cancelled.state, cancelled.frames) == (JobState.CANCELLED, {"analysed": 4})

    play(tmp_path, body)


def test_a_cancelled_job_whose_worker_dies_is_not_tried_again(tmp_path):
    async def body(stage):
        await stage.put("a")
        await stage.running("a")
        await stage.dispatcher.cancel("a")
        stage.dispatcher.worker_lost("worker-0", CRASHED, [inside("a")])
        assert (await stage.ended("a")).state is JobState.CANCELLED
        assert len(stage.started()) == 1

    play(tmp_path, body)
