"""Streams as they are asked for: made, shown, changed, deleted, declared."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from stream_builders import a_stream, play

from model_export.errors import ModelNotFound, TaskNotForVideo
from server.core.errors import (
    CapacityExceeded,
    FieldsInvalid,
    SourceNotAllowed,
    StreamDeclared,
    StreamExists,
    StreamNotFound,
    StreamsFull,
)
from server.domain.stream import NewStream, ProbeSource, StreamChange
from server.events.states import rfc3339
from server.runtime.streams.sources import SourcePolicy
from server.wire.messages import ChangeStream, Probe, Probed, RowsTaken, StartStream, StopStream


def change(**what) -> StreamChange:
    return StreamChange.model_validate(what)


def declared(**streams) -> dict[str, NewStream]:
    return {name: NewStream.model_validate(what) for name, what in streams.items()}


def test_a_stream_is_given_to_a_worker_with_all_that_it_needs(tmp_path):
    async def body(stage):
        made = await stage.add("front", url="rtsp://me:p%40ss@front.local/1", transport="udp")
        order = stage.orders(StartStream, made.id)[0]
        assert (order.bundle, order.engine, order.gate) == ("bundles/net@1", "ipc://engine", "")
        assert b'"sample_fps":5.0' in order.analysis
        source = stage.source(made.id)
        assert (source["url"], source["username"], source["password"]) == ("rtsp://front.local/1", "me", "p@ss")
        assert source["transport"] == "udp"
        assert (made.name, made.url, made.username, made.state) == ("front", "rtsp://front.local/1", "me", "starting")
        assert "p@ss" not in made.model_dump_json()

    play(tmp_path, body)


def test_every_frame_is_wanted_where_that_is_said(tmp_path):
    async def body(stage):
        made = await stage.add(analysis={"sample_fps": None, "gate": "motion"})
        order = stage.orders(StartStream, made.id)[0]
        assert b'"sample_fps":null' in order.analysis
        assert order.gate == "bundles/moving-objects@1"

    play(tmp_path, body)


def test_a_stream_is_shown_as_its_worker_sees_it(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.says(made.id, codec="h264", width=640, height=360, fps=9.876, frame_at=1e9, result_at=1e9 + 1)
        row = next(iter(stage.metrics.rows.streams))
        stage.page.recorder(0).frames(row, "analysed", 3)
        seen = await stage.streams.get(made.id)
        assert (seen.state, seen.codec, seen.width, seen.fps) == ("running", "h264", 640, 9.88)
        assert (seen.model, seen.frames) == ("net@1", {"analysed": 3})
        assert seen.last_frame_at.isoformat() == "2001-09-09T01:46:40+00:00"
        assert stage.metrics.rows.streams[row].state == "running"
        stage.says(made.id, "reconnecting", code="source_lost", message="The connection broke.")
        stage.says(made.id, "reconnecting", code="source_unreachable", message="No answer.")
        stage.says(made.id)
        seen = await stage.streams.get(made.id)
        assert (seen.state, seen.reconnects, seen.error.code) == ("running", 1, "source_unreachable")
        assert stage.metrics.rows.streams[row].reconnects == {"source_lost": 1}
        assert stage.states(made.id) == ["running", "reconnecting", "running"]

    play(tmp_path, body)


def test_how_streams_are_at_this_moment_is_told_with_what_is_wrong(tmp_path):
    async def body(stage):
        cam, other = await stage.add("cam"), await stage.add("other")

        def told(*streams):
            return [json.loads(state) for state in stage.streams.present(streams)]

        assert [(one["stream"], one["state"]) for one in told()] == [(cam.id, "starting"), (other.id, "starting")]
        stage.says(cam.id, "reconnecting", code="source_lost", message="The connection broke.")
        stage.says(cam.id, "reconnecting", code="source_unreachable", message="No answer.")
        (said,) = told(cam.id)
        assert said.pop("at") <= rfc3339(datetime.now(UTC))
        assert said == {
            "type": "stream_state",
            "stream": cam.id,
            "state": "reconnecting",
            "code": "source_unreachable",
            "message": "No answer.",
        }
        stage.says(cam.id, code="engine_silent", message="The engine does not answer.")
        assert (told(cam.id)[0]["state"], told(cam.id)[0]["code"]) == ("running", "engine_silent")
        stage.says(cam.id)
        assert "code" not in told(cam.id)[0]
        assert told("nobody") == []

    play(tmp_path, body)


def test_rows_and_events_are_published_and_their_arrival_acknowledged(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.rows(made.id, b'{"frame":1}\n', b'{"frame":2}\n', events=b'{"type":"track_started"}\n')
        assert [(kind, data) for _, kind, data in stage.heard if kind in ("result", "event")] == [
            ("result", {"stream": made.id, "frame": 1}),
            ("result", {"stream": made.id, "frame": 2}),
            ("event", {"type": "track_started"}),
        ]
        await stage.until(lambda: stage.hub.of(RowsTaken))
        assert stage.hub.of(RowsTaken) == [(b"peer", RowsTaken(made.id))]

    play(tmp_path, body)


def test_what_an_attempt_says_that_was_given_up_is_dropped_and_counted(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.rows(made.id, b'{"frame":1}\n', attempt=99)
        stage.says(made.id, attempt=99)
        assert stage.stale == 2
        assert (await stage.streams.get(made.id)).state == "starting"
        assert not [kind for _, kind, _ in stage.heard if kind == "result"]

    play(tmp_path, body)


def test_streams_outlive_the_server_and_those_that_were_paused_stay_so(tmp_path):
    ids = {}

    async def first(stage):
        for name in ("front", "back"):
            ids[name] = (await stage.add(name, password="hunter2")).id
        await stage.streams.change(ids["back"], change(paused=True), force=False)

    async def second(stage):
        await stage.placed(ids["front"])
        assert stage.source(ids["front"])["password"] == "hunter2"
        streams, _ = await stage.streams.list(state=None, name=None, limit=10, cursor=None)
        assert [(one.name, one.state) for one in streams] == [("back", "paused"), ("front", "starting")]
        assert not stage.orders(StartStream, ids["back"])

    play(tmp_path, first)
    play(tmp_path, second)


def test_a_paused_stream_is_closed_and_opened_again(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.says(made.id)
        paused = await stage.streams.change(made.id, change(paused=True), force=False)
        assert (paused.state, paused.paused) == ("paused", True)
        assert [order.attempt for order in stage.orders(StopStream, made.id)] == [stage.attempt(made.id)]
        stage.says(made.id)  # its last words
        assert (await stage.streams.get(made.id)).state == "paused"
        await stage.until(lambda: not any(stage.models.users.values()))
        resumed = await stage.streams.change(made.id, change(paused=False), force=False)
        assert resumed.state == "starting"
        await stage.placed(made.id, 2)

    play(tmp_path, body)


def test_another_analysis_takes_hold_without_opening_the_source_anew(tmp_path):
    async def body(stage):
        stage.models.serving["other"] = 3
        made = await stage.add(analysis={"labels": ["car"], "sample_fps": 2})
        after = await stage.streams.change(made.id, change(analysis={"model": "other", "labels": None}), force=False)
        assert (after.analysis.model, after.analysis.labels, after.analysis.sample_fps) == ("other", None, 2)
        (order,) = await stage.until(lambda: stage.orders(ChangeStream, made.id))
        assert order.bundle == "bundles/other@3"
        assert len(stage.orders(StartStream, made.id)) == 1
        # Its last frame may still be under way through the first model.
        await stage.until(lambda: stage.models.users == {"net@1": 0, "other@3": 1})

    play(tmp_path, body)


def test_another_path_of_a_camera_is_opened_anew_and_the_password_that_was_not_said_stays(tmp_path):
    async def body(stage):
        made = await stage.add(username="me", password="hunter2")
        for url in ("rtsp://cam.local/2", "rtsp://me:***@cam.local/3", "rtsp://CAM.local:554/4"):
            await stage.streams.change(made.id, change(url=url, password="*****"), force=False)
            await stage.until(lambda url=url: stage.source(made.id)["url"].endswith(url[-2:]))
            assert stage.source(made.id)["password"] == "hunter2"
        await stage.streams.change(made.id, change(username=None, password=None), force=False)
        await stage.until(lambda: stage.source(made.id)["password"] == "")

    play(tmp_path, body)


@pytest.mark.parametrize(
    "elsewhere",
    ["rtsp://thief.local/1", "rtsp://cam.local:8554/1", "rtsps://cam.local/1", "rtsp://me:***@thief.local/1"],
)
def test_a_password_is_not_sent_elsewhere_unless_it_is_said_anew(tmp_path, elsewhere):
    async def body(stage):
        made = await stage.add(username="me", password="hunter2")
        for masked in ({}, {"password": "*****"}):
            with pytest.raises(FieldsInvalid, match=r"for rtsp://cam\.local:554, and is not sent to") as refused:
                await stage.streams.change(made.id, change(url=elsewhere, **masked), force=False)
            assert "hunter2" not in str(refused.value)
        assert stage.source(made.id)["url"] == "rtsp://cam.local/1"
        bare = elsewhere.replace("me:***@", "")
        await stage.streams.change(made.id, change(url=bare, password="other"), force=False)
        await stage.until(lambda: stage.source(made.id)["password"] == "other")
        await stage.streams.change(made.id, change(url="rtsp://third.local/1", password=None), force=False)
        await stage.until(lambda: stage.source(made.id)["url"] == "rtsp://third.local/1")
        assert stage.source(made.id)["password"] == ""
        await stage.streams.change(made.id, change(url="rtsp://fourth.local/1"), force=False)  # there is none to keep

    play(tmp_path, body)


def test_a_url_that_comes_back_as_it_was_shown_changes_nothing(tmp_path):
    async def body(stage):
        made = await stage.add(url="http://cam.local/video?pwd=hunter2&channel=1")
        assert made.url == "http://cam.local/video?pwd=***&channel=1"
        await stage.streams.change(made.id, change(url=made.url, name="garden"), force=False)
        assert len(stage.orders(StartStream, made.id)) == 1
        with pytest.raises(FieldsInvalid, match="a secret was masked"):
            await stage.streams.change(made.id, change(url="http://other.local/?pwd=***"), force=False)

    play(tmp_path, body)


@pytest.mark.parametrize(
    ("new", "error"),
    [
        ({"url": "ftp://camera/1"}, SourceNotAllowed),
        ({"url": "rtsp://169.254.169.254/1"}, SourceNotAllowed),
        ({"url": "rtsp://me:a@camera/1", "password": "b"}, FieldsInvalid),
        ({"password": "*****"}, FieldsInvalid),
        ({"analysis": {"model": "nobody"}}, ModelNotFound),
        ({"analysis": {"model": "tensors"}}, TaskNotForVideo),
        ({"analysis": {"labels": ["cat"]}}, FieldsInvalid),
        ({"analysis": {"model": "moving-objects", "gate": "motion"}}, FieldsInvalid),
        ({"name": "taken"}, StreamExists),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(tmp_path, new, error):
    async def body(stage):
        await stage.add("taken")
        with pytest.raises(error):
            await stage.add(**{"name": "new", **new})
        streams, _ = await stage.streams.list(state=None, name=None, limit=10, cursor=None)
        assert [one.name for one in streams] == ["taken"]

    play(tmp_path, body)


def test_a_change_that_cannot_be_leaves_the_stream_as_it_was(tmp_path):
    async def body(stage):
        await stage.add("taken")
        made = await stage.add("cam")
        for what, error in [
            ({"url": "ftp://camera/1"}, SourceNotAllowed),
            ({"name": "taken"}, StreamExists),
            ({"name": None}, FieldsInvalid),
            ({"analysis": {"model": "nobody"}}, ModelNotFound),
        ]:
            with pytest.raises(error):
                await stage.streams.change(made.id, change(**what), force=False)
        seen = await stage.streams.get(made.id)
        assert (seen.name, seen.url, seen.analysis) == (made.name, made.url, made.analysis)

    play(tmp_path, body)


def test_a_stream_without_a_name_gets_one_of_its_own(tmp_path):
    async def body(stage):
        names = []
        for channel in (1, 2):
            new = NewStream(url=f"rtsp://recorder.local/{channel}")
            names.append((await stage.streams.create(new, force=False)).name)
        assert names == ["recorder.local", "recorder.local (2)"]

    play(tmp_path, body)


def test_there_are_no_more_streams_than_the_settings_allow(tmp_path):
    async def body(stage):
        made = await stage.add("a")
        with pytest.raises(StreamsFull, match="There may be 1 streams"):
            await stage.add("b")
        await stage.streams.delete(made.id)
        await stage.add("b")

    play(tmp_path, body, most=1)


def test_a_stream_that_asks_for_too_much_is_refused_unless_it_is_forced(tmp_path):
    async def body(stage):
        stage.models.does(net=20)
        for name in "abc":
            await stage.add(name)
        with pytest.raises(CapacityExceeded, match=r"5 frames a second of net@1, 25% .* the others have 75%"):
            await stage.add("d")
        forced = await stage.add("d", force=True)
        with pytest.raises(CapacityExceeded):
            await stage.streams.change(forced.id, change(analysis={"sample_fps": 6}), force=False)
        for what in ({"analysis": {"sample_fps": 4}}, {"paused": True}):
            await stage.streams.change(forced.id, change(**what), force=False)
        with pytest.raises(CapacityExceeded):
            await stage.streams.change(forced.id, change(paused=False), force=False)
        await stage.streams.change(forced.id, change(paused=False), force=True)

    play(tmp_path, body)


def test_a_deleted_stream_leaves_nothing_and_its_row_is_used_again_when_nobody_writes_there(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.says(made.id)
        stage.page.recorder(0).frames(1, "analysed", 3)
        stage.hub.deaf = True
        await stage.streams.delete(made.id)
        assert stage.metrics.rows.streams == {}
        assert (made.id, "closed", {}) in stage.heard
        with pytest.raises(StreamNotFound):
            await stage.streams.get(made.id)
        stage.rows(made.id, b'{"frame":1}\n')
        assert not [kind for _, kind, _ in stage.heard if kind == "result"]
        free = stage.streams._rows._free
        assert 1 not in free
        stage.ends(made.id)
        await stage.until(lambda: 1 in free)
        assert stage.models.users == {"net@1": 0}

    play(tmp_path, body)


def test_the_row_of_a_stream_that_was_deleted_is_empty_for_the_next_one(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.page.recorder(0).frames(1, "analysed", 3)
        await stage.streams.delete(made.id)
        for number in range(255):
            await stage.streams.create(a_stream(f"cam {number}", paused=True), force=False)
        last = await stage.streams.create(a_stream("last", paused=True), force=False)
        assert (last.frames, stage.metrics.rows.streams[1].name) == ({}, "last")

    play(tmp_path, body, most=256)


async def named(stage, name):
    streams, _ = await stage.streams.list(state=None, name=name, limit=2, cursor=None)
    return streams


def test_an_id_that_is_a_name_is_answered_with_how_to_find_the_id(tmp_path):
    async def body(stage):
        made = await stage.add("front door")
        with pytest.raises(StreamNotFound) as failure:
            await stage.streams.get("front door")
        assert "GET /v1/streams?name=front%20door finds its id" in failure.value.hint
        assert [one.id for one in (await named(stage, "front door"))] == [made.id]

    play(tmp_path, body)


def test_streams_come_by_name_in_pages_and_one_by_its_exact_name(tmp_path):
    async def body(stage):
        for name in ("b", "Straße", "a", "C"):
            await stage.add(name, url="rtsp://cam.local/1")
        names, cursor = [], None
        for _ in range(3):
            found, cursor = await stage.streams.list(state=None, name=None, limit=2, cursor=cursor)
            names += [one.name for one in found]
            if cursor is None:
                break
        assert names == ["a", "b", "C", "Straße"]
        assert (await stage.streams.list(state="running", name=None, limit=2, cursor=None)) == ([], None)
        assert [one.name for one in (await named(stage, "C"))] == ["C"]
        assert await named(stage, "c") == []
        for wrong in ("x", "W10", "bm8"):
            with pytest.raises(FieldsInvalid):
                await stage.streams.list(state=None, name=None, limit=2, cursor=wrong)

    play(tmp_path, body)


def test_models_of_streams_are_pinned(tmp_path):
    async def body(stage):
        await stage.add("a", analysis={"gate": "motion"})
        await stage.streams.create(a_stream("b", analysis={"model": "net@7"}, paused=True), force=False)
        await stage.streams.create(a_stream("c", analysis={"model": "net"}, paused=True), force=False)
        assert await stage.streams.pinned() == {"net@1", "moving-objects@1", "net@7"}

    play(tmp_path, body)


def test_declared_streams_are_there_and_only_the_file_changes_them(tmp_path):
    async def body(stage):
        await stage.placed("cfg_front")
        seen = await stage.streams.get("cfg_front")
        assert (seen.name, seen.managed_by, seen.url) == ("front", "config", "rtsp://front.local/1")
        assert stage.source("cfg_front")["username"] == "me"
        assert (await stage.streams.get("cfg_back")).state == "paused"
        for refused in (
            stage.streams.change("cfg_front", change(paused=True), force=False),
            stage.streams.delete("cfg_front"),
        ):
            with pytest.raises(StreamDeclared) as caught:
                await refused
            assert "[streams.front]" in caught.value.hint

    front = {"url": "rtsp://me:hunter2@front.local/1"}
    back = {"url": "rtsp://back.local/1", "paused": True}
    play(tmp_path, body, declared=declared(front=front, back=back))


def test_a_file_that_is_read_again_changes_what_has_changed_in_it_and_nothing_else(tmp_path):
    front, back, side = ({"url": f"rtsp://{name}.local/1"} for name in ("front", "back", "side"))

    async def body(stage):
        for name in ("front", "back", "side"):
            await stage.placed(f"cfg_{name}")
        own = await stage.add("own")
        before = await stage.streams.get("cfg_front")
        stage.says("cfg_front")
        moved, other = {"url": "rtsp://elsewhere.local/1"}, {**side, "analysis": {"labels": ["car"]}}
        await stage.streams.declare(declared(front=front, back=moved, side=other, new=front))
        await stage.placed("cfg_new")
        await stage.placed("cfg_back", 2)
        assert stage.source("cfg_back")["url"] == "rtsp://elsewhere.local/1"
        await stage.until(lambda: stage.orders(ChangeStream, "cfg_side"))
        assert [len(stage.orders(StartStream, id)) for id in ("cfg_front", "cfg_side", own.id)] == [1, 1, 1]
        after = await stage.streams.get("cfg_front")
        assert (after.state, after.created_at) == ("running", before.created_at)
        await stage.streams.declare({})
        streams, _ = await stage.streams.list(state=None, name=None, limit=10, cursor=None)
        assert [one.name for one in streams] == ["own"]

    play(tmp_path, body, declared=declared(front=front, back=back, side=side))


def test_declarations_that_cannot_be_change_nothing(tmp_path):
    async def body(stage):
        await stage.placed("cfg_front")
        with pytest.raises(SourceNotAllowed, match=r"streams\.back\.url: The URL cannot be read"):
            await stage.streams.declare(declared(back={"url": "rtsp://back:99999/1"}))
        with pytest.raises(StreamsFull):
            await stage.streams.declare(declared(**{f"s{n}": {"url": "rtsp://s/1"} for n in range(9)}))
        assert (await stage.streams.get("cfg_front")).state == "starting"

    play(tmp_path, body, declared=declared(front={"url": "rtsp://front.local/1"}))


def test_a_declared_stream_that_must_not_be_opened_has_failed_and_says_why(tmp_path):
    async def body(stage):
        await stage.until(lambda: stage.states("cfg_front"))
        seen = await stage.streams.get("cfg_front")
        assert (seen.state, seen.error.code) == ("failed", "address_refused")
        assert "[sources] allow_loopback" in seen.error.message
        assert not stage.orders(StartStream, "cfg_front")

    front = {"url": "rtsp://127.0.0.1/1"}
    play(tmp_path, body, declared=declared(front=front), policy=SourcePolicy(loopback=False))


def test_a_declared_stream_that_cannot_run_is_named_in_the_log(tmp_path, caplog):
    async def body(stage):
        await stage.until(lambda: stage.states("cfg_front") and stage.states("cfg_back"))
        said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert any("'front door' has failed: The address 127.0.0.1 is loopback" in line for line in said)
        assert any("'back' has failed: There is no model 'nowhere'" in line for line in said)

    front = {"url": "rtsp://127.0.0.1/1", "name": "front door"}
    back = {"url": "rtsp://back.local/1", "analysis": {"model": "nowhere"}}
    play(tmp_path, body, declared=declared(front=front, back=back), policy=SourcePolicy(loopback=False))


def test_an_error_says_since_when_it_is_and_when_it_was_over(tmp_path):
    async def body(stage):
        made = await stage.add()

        async def error():
            return (await stage.streams.get(made.id)).error

        stage.says(made.id, "reconnecting", code="source_lost", message="The connection broke.")
        first = await error()
        stage.says(made.id, "reconnecting", code="source_lost", message="The connection broke.")
        again = await error()
        assert (again.since, again.over_at) == (first.since, None)
        assert again.at > first.at
        stage.says(made.id, "reconnecting", code="source_unreachable", message="No answer.")
        assert (await error()).since > again.at
        stage.says(made.id)
        over = await error()
        assert over.at <= over.over_at
        stage.says(made.id)
        assert await error() == over
        stage.says(made.id, "reconnecting", code="source_unreachable", message="No answer.")
        assert (await error()).since > over.over_at
        assert (await error()).over_at is None

    play(tmp_path, body)


def test_a_change_that_came_to_nothing_stays_an_error_although_frames_come(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.says(made.id)
        stage.models.serving["other"] = 1
        stage.models.away.add("other@1")
        await stage.streams.change(made.id, change(analysis={"model": "other"}), force=False)
        error = await stage.until(lambda: stage.streams._cases[made.id].problem)
        stage.says(made.id)
        seen = (await stage.streams.get(made.id)).error
        assert (seen.code, seen.over_at, seen.since) == ("model_unavailable", None, error.since)
        await stage.streams.change(made.id, change(analysis={"model": "net"}), force=False)
        await stage.until(lambda: stage.orders(ChangeStream, made.id))
        stage.says(made.id)
        assert (await stage.streams.get(made.id)).error.over_at

    play(tmp_path, body)


def test_a_source_can_be_tried_without_becoming_a_stream(tmp_path):
    async def body(stage):
        asked = asyncio.create_task(stage.streams.probe(ProbeSource(url="rtsp://me:hunter2@cam.local/1")))
        ((worker, order),) = await stage.until(lambda: stage.hub.of(Probe))
        assert (worker, b"hunter2" in order.source, "hunter2" in repr(order)) == ("worker-0", True, False)
        stage.hub.hear(Probed(order.request, codec="h264", width=640, height=360, fps=10.0), b"JPEG")
        seen = await asked
        assert (seen.codec, seen.width, seen.fps, seen.picture, seen.error) == ("h264", 640, 10.0, "SlBFRw==", None)
        asked = asyncio.create_task(stage.streams.probe(ProbeSource(url="rtsp://cam.local/1")))
        _, order = (await stage.until(lambda: stage.hub.of(Probe)[1:]))[0]
        stage.hub.hear(Probed(order.request, code="source_unauthorized", message="It wants a password."))
        assert (await asked).error.code == "source_unauthorized"
        asked = asyncio.create_task(stage.streams.probe(ProbeSource(url="rtsp://cam.local/1")))
        await stage.until(lambda: stage.hub.of(Probe)[2:])
        stage.probes.worker_lost("worker-0")
        assert (await asked).error.code == "worker_lost"
        with pytest.raises(SourceNotAllowed):
            await stage.streams.probe(ProbeSource(url="ftp://cam.local/1"))

    play(tmp_path, body)
