"""Streams whose workers die, whose sources end, whose models change."""

import asyncio
import time

import pytest
from dispatcher_builders import CRASHED, KILLED, inside
from stream_builders import a_stream, play

from server.domain.stream import StreamChange
from server.runtime.processes.death import HUNG
from server.runtime.streams.stint import Lost
from server.wire.messages import ChangeStream, Reached, Refusals, StartStream, StopStream, StreamEnded


def test_streams_are_spread_over_the_workers(tmp_path):
    async def body(stage):
        for name in "abcd":
            await stage.add(name)
        assert sorted(worker for worker, _ in stage.hub.of(StartStream)) == ["worker-0"] * 2 + ["worker-1"] * 2

    play(tmp_path, body)


def test_the_streams_of_a_worker_that_was_killed_go_on_at_once_in_another_one(tmp_path):
    async def body(stage):
        made = [await stage.add(name) for name in "abcd"]
        for one in made:
            stage.says(one.id)
        theirs = [one.id for one in made if stage.worker(one.id) == "worker-0"]
        began = time.monotonic()
        stage.dies("worker-0", KILLED, *[inside(id) for id in theirs])
        for id in theirs:
            await stage.placed(id, 2)
            assert stage.worker(id) == "worker-1"
            seen = await stage.streams.get(id)
            assert (seen.state, seen.reconnects, seen.error.code) == ("reconnecting", 1, "worker_lost")
            stage.says(id, "starting")
            assert (await stage.streams.get(id)).state == "reconnecting"
            stage.says(id)
        assert time.monotonic() - began < 30
        assert stage.models.users == {"net@1": 4}
        for one in made:
            assert (await stage.streams.get(one.id)).state == "running"
        assert not stage.quarantine

    play(tmp_path, body)


def test_frames_media_timesand_tracks_go_on_in_the_next_worker(tmp_path):
    async def body(stage):
        made = await stage.add()
        assert stage.orders(StartStream, made.id)[0].after == Reached()
        stage.rows(made.id, b'{"frame":7}\n', reached=Reached(7, 1.25, 3))
        stage.rows(made.id, b'{"frame":9}\n', reached=Reached(9, 1.5, 3), attempt=99)  # of nobody any more
        stage.dies(stage.worker(made.id))
        await stage.placed(made.id, 2)
        after = stage.orders(StartStream, made.id)[1].after
        assert (after.frame, after.track) == (7, 3)
        assert 1.25 < after.pts_s < 11.25
        # Also where the next one comes to nothing, and where somebody has closed it meanwhile.
        stage.dies(stage.worker(made.id))
        stage.back("worker-0")
        await stage.placed(made.id, 3)
        await stage.streams.change(made.id, StreamChange(paused=True), force=False)
        await stage.streams.change(made.id, StreamChange(paused=False), force=False)
        await stage.placed(made.id, 4)
        later = [order.after for order in stage.orders(StartStream, made.id)[1:]]
        assert [one.frame for one in later] == [7, 7, 7]
        assert [one.pts_s for one in later] == sorted({one.pts_s for one in later})

    play(tmp_path, body)


def test_deaths_by_another_hand_do_not_hold_a_stream_up(tmp_path):
    async def body(stage):
        made = await stage.add()
        for times in range(2, 8):
            worker = stage.worker(made.id)
            stage.dies(worker, KILLED, inside(made.id))
            stage.back(worker)
            await stage.placed(made.id, times)
        stage.ends(made.id, "engine_silent", "The engine does not answer.")
        # It is its first failure: after a seventh, the pause would be longer than this waits.
        await stage.placed(made.id, 8)
        assert not stage.quarantine

    play(tmp_path, body)


def test_where_no_worker_is_up_streams_wait_for_the_first(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.dies("worker-0")
        await stage.until(lambda: stage.states(made.id) or stage.models.users["net@1"] == 1)
        assert len(stage.orders(StartStream, made.id)) == 1
        stage.back("worker-0")
        await stage.placed(made.id, 2)

    play(tmp_path, body, workers=("worker-0",))


def test_the_only_stream_that_is_suspected_goes_on_alone_and_its_neighbours_elsewhere(tmp_path):
    async def body(stage):
        made = [await stage.add(name) for name in "abcd"]
        bad, good = [one.id for one in made if stage.worker(one.id) == "worker-0"]
        stage.dies("worker-0", HUNG, inside(bad), inside(good, overdue_s=-5.0))
        await stage.placed(bad, 2)
        await stage.placed(good, 2)
        assert (stage.worker(bad), stage.worker(good)) == ("quarantine", "worker-1")
        stage.dies("quarantine", CRASHED, inside(bad))
        await stage.placed(bad, 3)
        assert stage.worker(bad) == "quarantine"
        # Never given up, but after pauses that grow.
        case = stage.streams._cases[bad]
        pauses = []
        for _ in range(9):
            case.suspicion.strikes += 1
            pauses.append(case.suspicion.pause_s)
        assert pauses == sorted(pauses)
        assert pauses[-1] == 60
        await stage.streams.delete(bad)
        await stage.until(lambda: not stage.quarantine)

    play(tmp_path, body)


def test_where_many_are_suspected_all_go_on_at_once_and_the_next_death_tells_more(tmp_path):
    async def body(stage):
        made = [(await stage.add(name)).id for name in "abcdef"]
        theirs = [id for id in made if stage.worker(id) == "worker-0"]
        stage.dies("worker-0", CRASHED, *[inside(id) for id in theirs])
        stage.back("worker-0")
        for id in theirs:
            await stage.placed(id, 2)
        assert not stage.quarantine
        bad, companions = theirs[0], [id for id in made if stage.worker(id) == stage.worker(theirs[0])]
        while stage.streams._cases[bad].suspicion.alone is False:
            worker = stage.worker(bad)
            companions = [id for id in made if stage.worker(id) == worker]
            times = {id: len(stage.orders(StartStream, id)) for id in companions}
            stage.dies(worker, CRASHED, *[inside(id) for id in companions])
            stage.back(worker)
            for id in companions:
                await stage.placed(id, times[id] + 1)
            assert max(times.values()) < 8
        assert stage.worker(bad) == "quarantine"

    play(tmp_path, body)


def test_a_stream_waits_for_the_quarantine_worker_while_a_job_is_in_it(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.job_inside = True
        stage.dies(stage.worker(made.id), CRASHED, inside(made.id))
        await stage.until(lambda: stage.dispatcher.waits_for_quarantine)
        assert len(stage.orders(StartStream, made.id)) == 1
        stage.job_inside = False
        await stage.placed(made.id, 2)
        assert stage.dispatcher.in_quarantine

    play(tmp_path, body)


@pytest.mark.parametrize("code", ["engine_silent", "internal_error", "source_lost", ""])
def test_a_stream_whose_worker_is_done_with_it_for_what_mends_is_started_again(tmp_path, code):
    async def body(stage):
        made = await stage.add()
        stage.says(made.id)
        stage.ends(made.id, code, "Something happened.")
        assert await stage.until(lambda: [*stage.states(made.id), ""][1]) == "reconnecting"
        await stage.placed(made.id, 2)

    play(tmp_path, body)


def test_a_file_that_is_over_has_ended_and_can_be_played_again(tmp_path):
    async def body(stage):
        (tmp_path / "a.mp4").touch()
        made = await stage.add(url=f"file://{tmp_path}/a.mp4")
        stage.says(made.id)
        stage.ends(made.id, "source_ended")
        await stage.until(lambda: stage.states(made.id) == ["running", "ended"])
        assert stage.models.users == {"net@1": 0}
        for paused in (True, False):
            await stage.streams.change(made.id, StreamChange(paused=paused), force=False)
        await stage.placed(made.id, 2)

    play(tmp_path, body)


def test_what_cannot_mend_itself_has_failed_until_somebody_mends_it(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.ends(made.id, "address_refused", "It is where no camera may be.")
        await stage.until(lambda: stage.states(made.id) == ["failed"])
        assert (await stage.streams.get(made.id)).error.code == "address_refused"
        await stage.streams.change(made.id, StreamChange(url="rtsp://right.local/1"), force=False)
        await stage.placed(made.id, 2)

    play(tmp_path, body)


def test_a_model_that_does_not_load_is_tried_again(tmp_path):
    async def body(stage):
        stage.models.away.add("net@1")
        made = await stage.streams.create(a_stream(), force=False)
        await stage.until(lambda: stage.streams._cases[made.id].problem)
        seen = await stage.streams.get(made.id)
        assert (seen.state, seen.error.code) == ("starting", "model_unavailable")
        stage.models.away.clear()
        await stage.placed(made.id)

    play(tmp_path, body)


def test_a_stream_whose_model_takes_tensors_by_now_goes_on_as_it_was_or_says_why_not(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.says(made.id)
        stage.models.takes_tensors.add("net")
        stage.models.serving["net"] = 2
        stage.dispatcher.watch()
        await stage.until(lambda: stage.streams._cases[made.id].problem)
        seen = await stage.streams.get(made.id)
        assert (seen.state, seen.model, seen.error.code) == ("running", "net@1", "task_not_for_video")

        stage.ends(made.id, "source_lost", "The connection broke.")
        case = stage.streams._cases[made.id]
        for code in ("source_lost", "task_not_for_video"):  # it is begun anew, and refused
            await stage.until(lambda code=code: case.problem.code == code)
        assert stage.models.users["net@2"] == 0

    play(tmp_path, body)


def test_a_stream_says_how_often_its_model_is_asked(tmp_path):
    async def body(stage):
        stage.models.made_for["made-for-8"] = 8.0
        stage.models.serving["made-for-8"] = 1
        for name, analysis, fps in (
            ("usual", {}, 5.0),
            ("said", {"sample_fps": 2.5}, 2.5),
            ("every", {"sample_fps": None}, None),
            ("made", {"model": "made-for-8", "sample_fps": 2.5}, 8.0),
        ):
            made = await stage.add(name, analysis=analysis)
            assert (await stage.streams.get(made.id)).asked_fps == fps

    play(tmp_path, body)


def test_a_stream_that_follows_a_name_is_switched_to_the_version_that_serves_and_one_that_names_it_is_not(tmp_path):
    async def body(stage):
        follows = await stage.add("follows", analysis={"gate": "motion"})
        named = await stage.add("named", analysis={"model": "net@1"})
        stage.models.serving["net"] = 2
        (order,) = await stage.until(lambda: stage.orders(ChangeStream, follows.id))
        assert (order.bundle, order.gate) == ("bundles/net@2", "bundles/moving-objects@1")
        assert (await stage.streams.get(follows.id)).model == "net@2"
        assert len(stage.orders(StartStream, follows.id)) == 1
        await stage.until(lambda: stage.models.users == {"net@1": 1, "net@2": 1, "moving-objects@1": 1})
        assert not stage.orders(ChangeStream, named.id)

    play(tmp_path, body)


def test_a_stream_that_is_deleted_while_it_waits_for_a_worker_leaves_nothing(tmp_path):
    async def body(stage):
        made = await stage.streams.create(a_stream(), force=False)
        await stage.until(lambda: stage.models.users.get("net@1"))
        await stage.streams.delete(made.id)
        stage.back("worker-0")
        assert stage.models.users == {"net@1": 0}
        assert not stage.orders(StartStream, made.id)

    play(tmp_path, body, workers=())


def test_a_worker_that_dies_while_a_stream_is_called_off_ends_that_too(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.hub.deaf = True
        await stage.streams.change(made.id, StreamChange(paused=True), force=False)
        case = stage.streams._cases[made.id]
        assert not case.quiet.is_set()
        stage.dies(stage.worker(made.id))
        assert case.quiet.is_set()
        assert stage.models.users == {"net@1": 0}
        assert len(stage.orders(StopStream, made.id)) == 1

    play(tmp_path, body)


def test_the_last_rows_of_a_stream_that_is_called_off_are_heard_and_those_that_come_too_late_are_not(tmp_path):
    async def body(stage):
        def heard():
            return [data["type"] for owner, kind, data in stage.heard if kind == "event"]

        stage.hub.deaf = True
        made = await stage.add()
        stage.says(made.id)
        attempt = stage.attempt(made.id)
        await stage.streams.change(made.id, StreamChange(paused=True), force=False)
        stage.rows(
            made.id, b'{"frame":7}\n', events=b'{"type":"track_ended"}\n', attempt=attempt, reached=Reached(7, 1.0, 3)
        )
        assert (heard(), stage.stale) == (["track_ended"], 0)

        await stage.streams.change(made.id, StreamChange(paused=False), force=False)
        stage.hub.hear(StreamEnded(made.id, attempt, "", ""))
        await stage.placed(made.id, 2)
        assert stage.orders(StartStream, made.id)[1].after.frame == 7
        stage.rows(made.id, events=b'{"type":"track_ended"}\n', attempt=attempt)
        assert (heard(), stage.stale) == (["track_ended"], 1)

    play(tmp_path, body)


def test_a_stream_goes_on_elsewhere_though_its_worker_does_not_say_that_it_has_let_it_go(tmp_path):
    async def body(stage):
        stage.hub.deaf = True
        made = await stage.add()
        stage.says(made.id)
        attempt = stage.attempt(made.id)
        await stage.streams.change(made.id, StreamChange(url="rtsp://other.local/1"), force=False)
        await stage.placed(made.id, 2)
        stage.rows(made.id, b'{"frame":7}\n', attempt=attempt)
        assert stage.stale == 1

    play(tmp_path, body)


def test_the_quarantine_worker_stays_until_the_last_word_on_a_stream_that_leaves_it(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.says(made.id)
        stage.dies(stage.worker(made.id), CRASHED, inside(made.id))
        await stage.placed(made.id, 2)
        assert stage.worker(made.id) == "quarantine"
        stage.hub.deaf = True
        stage.dispatcher.watch()
        await stage.streams.change(made.id, StreamChange(paused=True), force=False)
        await asyncio.sleep(1.5)
        assert stage.quarantine
        assert stage.models.users == {"net@1": 1}

        stage.hub.hear(StreamEnded(made.id, stage.attempt(made.id), "", ""))
        assert not stage.quarantine
        assert stage.models.users == {"net@1": 0}

    play(tmp_path, body)


def test_a_file_that_was_alone_needs_no_quarantine_worker_once_it_is_over(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.says(made.id)
        stage.dies(stage.worker(made.id), CRASHED, inside(made.id))
        await stage.placed(made.id, 2)
        stage.dispatcher.watch()
        stage.says(made.id)
        stage.ends(made.id, "source_ended", "The file is over.")
        await stage.until(lambda: not stage.quarantine)
        assert (await stage.streams.get(made.id)).state == "ended"

    play(tmp_path, body)


def test_a_model_that_does_not_load_is_not_tried_again_and_again_and_the_stream_says_so(tmp_path):
    async def body(stage):
        tries = 0
        acquire = stage.models.acquire

        async def counted(reference):
            nonlocal tries
            tries += reference == "broken"
            return await acquire(reference)

        stage.models.acquire = counted
        stage.models.serving["broken"] = 1
        stage.models.away.add("broken@1")
        made = await stage.add()
        stage.says(made.id)
        stage.dispatcher.watch()
        change = StreamChange.model_validate({"analysis": {"model": "broken"}})
        await stage.streams.change(made.id, change, force=False)
        await asyncio.sleep(3.5)
        seen = await stage.streams.get(made.id)
        assert (seen.state, seen.model, seen.error.code) == ("running", "net@1", "model_unavailable")
        assert "broken@1 does not load" in seen.error.message
        assert tries == 2

        # Another version of it is another matter.
        stage.models.serving["broken"] = 2
        await stage.until(lambda: stage.orders(ChangeStream, made.id))

    play(tmp_path, body)


def test_credentials_that_were_refused_are_not_tried_sooner_because_a_worker_died(tmp_path):
    async def body(stage):
        made = await stage.add()
        refused = {"code": "source_unauthorized", "message": "Not these.", "refusals": 2, "retry_s": 300.0}
        stage.says(made.id, "reconnecting", **refused)
        stage.dies(stage.worker(made.id))
        await stage.placed(made.id, 2)
        told = stage.orders(StartStream, made.id)[-1].refusals
        assert (told.times, told.message) == (2, "Not these.")
        assert 290 < told.rest_s <= 300

    play(tmp_path, body)


@pytest.mark.parametrize("change", [{"password": "another"}, {"name": "cam 2"}])
def test_credentials_that_were_refused_are_tried_at_once_when_the_stream_is_changed(tmp_path, change):
    async def body(stage):
        made = await stage.add()
        refused = {"code": "source_unauthorized", "message": "Not these.", "refusals": 2, "retry_s": 300.0}
        stage.says(made.id, "reconnecting", **refused)
        await stage.streams.change(made.id, StreamChange.model_validate(change), force=False)
        await stage.placed(made.id, 2)
        assert stage.orders(StartStream, made.id)[-1].refusals == Refusals()

    play(tmp_path, body)


def test_credentials_that_were_right_once_more_are_not_held_against_the_stream(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.says(made.id, "reconnecting", code="source_unauthorized", message="No.", refusals=1, retry_s=0.5)
        stage.says(made.id)
        stage.dies(stage.worker(made.id))
        await stage.placed(made.id, 2)
        assert stage.orders(StartStream, made.id)[-1].refusals == Refusals()

    play(tmp_path, body)


def test_the_log_names_a_stream_that_is_moved_and_has_no_fault_to_find_with_it(tmp_path, caplog):
    caplog.set_level("INFO")

    async def body(stage):
        made = await stage.add("front door")
        stage.says(made.id)
        stage.dispatcher.stint(stage.streams.find(made.id)).put(Lost("moved", ""))
        await stage.placed(made.id, 2)
        stage.says(made.id)
        said = [(record.levelname, record.getMessage()) for record in caplog.records]
        assert said == [
            ("INFO", "stream 'front door' runs"),
            ("INFO", "stream 'front door' is moved to another worker"),
        ]
        stage.dies(stage.worker(made.id))
        await stage.placed(made.id, 3)
        stage.says(made.id)
        said = [(record.levelname, record.getMessage()) for record in caplog.records][2:]
        assert said[0] == ("WARNING", "stream 'front door' gives no frames: The process that read it ended (sigkill).")
        assert said[1][1].startswith("stream 'front door' runs again, after ")

    play(tmp_path, body)
