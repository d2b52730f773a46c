"""What streams have shown, and what they show."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from stream_builders import a_stream, play

from server.core.errors import FieldsInvalid, SnapshotUnavailable, StreamNotFound
from server.wire.messages import Look, Looked

EVERYTHING = {"since": None, "until": None, "limit": 100, "cursor": None}


def row(frame: int) -> bytes:
    """Of the frame that was captured so many seconds after midnight."""
    return json.dumps({"frame": frame, "captured_at": f"2026-01-02T00:00:{frame:02d}.500Z"}).encode() + b"\n"


def at(second: int) -> datetime:
    return datetime(2026, 1, 2, 0, 0, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "frames"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"since": at(3)}, [5, 4, 3]),
        ({"until": at(3)}, [2, 1]),
        ({"since": at(2), "until": at(4)}, [3, 2]),
        ({"since": at(9)}, []),
    ],
)
def test_the_latest_rows_come_newest_first(tmp_path, asked, frames):
    async def body(stage):
        made = await stage.add()
        for frame in range(1, 6):
            stage.rows(made.id, row(frame), events=b'{"type":"track_started"}\n')
        found, more = await stage.views.results(made.id, **{**EVERYTHING, **asked})
        assert [json.loads(one)["frame"] for one in found] == frames
        assert more is None

    play(tmp_path, body)


def test_rows_come_in_pages_and_those_that_come_meanwhile_disturb_nobody(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.rows(made.id, *map(row, range(1, 6)))
        pages, cursor = [], None
        while not pages or cursor:
            found, cursor = await stage.views.results(made.id, **{**EVERYTHING, "limit": 2, "cursor": cursor})
            pages.append([json.loads(one)["frame"] for one in found])
            stage.rows(made.id, row(50 + len(pages)))
        assert pages == [[5, 4], [3, 2], [1]]
        with pytest.raises(FieldsInvalid, match="before a restart"):
            await stage.views.results(made.id, **{**EVERYTHING, "cursor": "e0-3"})
        with pytest.raises(StreamNotFound):
            await stage.views.results("nobody", **EVERYTHING)

    play(tmp_path, body)


def looks(stage):
    return [message for _, message in stage.hub.of(Look)]


def test_a_picture_is_asked_of_the_worker_once_for_all_who_look(tmp_path):
    async def body(stage):
        made = await stage.add()
        stage.says(made.id)
        first, second = (asyncio.create_task(stage.views.snapshot(made.id, boxes=True)) for _ in range(2))
        bare = asyncio.create_task(stage.views.snapshot(made.id, boxes=False))
        await stage.until(lambda: len(looks(stage)) == 2)
        ask, other = sorted(looks(stage), key=lambda look: not look.boxes)
        assert (ask.stream, ask.attempt, other.boxes) == (made.id, stage.attempt(made.id), False)
        assert {peer for peer, _ in stage.hub.of(Look)} == {stage.worker(made.id)}
        first.cancel()  # who goes takes nothing from the others
        stage.hub.hear(Looked(ask.request), b"JPEG")
        assert await second == b"JPEG"
        stage.hub.hear(Looked(other.request, "snapshot_unavailable", "No frame came."))
        with pytest.raises(SnapshotUnavailable, match="No frame came"):
            await bare
        stage.hub.hear(Looked(ask.request), b"JPEG")  # too late for anybody

    play(tmp_path, body)


def test_who_gives_no_picture_says_what_to_do(tmp_path):
    async def hint(stage, id):
        with pytest.raises(SnapshotUnavailable) as refused:
            await stage.views.snapshot(id, boxes=True)
        return refused.value.hint

    async def body(stage):
        paused = await stage.streams.create(a_stream("a", paused=True), force=False)
        other = await stage.add("b")
        assert await hint(stage, paused.id) == f'PATCH /v1/streams/{paused.id} with {{"paused": false}} opens it again.'
        assert await hint(stage, other.id) == f"Try again when `state` of GET /v1/streams/{other.id} is `running`."
        stage.says(other.id, "failed", code="source_invalid", message="No.")
        assert "`error` of GET" in await hint(stage, other.id)
        await stage.streams.declare({"gate": a_stream("gate", paused=True)})
        assert await hint(stage, "cfg_gate") == "Take `paused` out of `[streams.gate]`, and send the server SIGHUP."

    play(tmp_path, body)


def test_who_gives_no_picture_says_why(tmp_path):
    async def body(stage):
        made = await stage.add()
        with pytest.raises(SnapshotUnavailable, match="it is starting"):
            await stage.views.snapshot(made.id, boxes=True)
        stage.says(made.id, "reconnecting", code="source_unreachable", message="There is no answer.")
        with pytest.raises(SnapshotUnavailable, match=r"reconnecting. There is no answer. \(source_unreachable\)"):
            await stage.views.snapshot(made.id, boxes=True)
        stage.says(made.id)
        looking = asyncio.create_task(stage.views.snapshot(made.id, boxes=True))
        await stage.until(lambda: looks(stage))
        stage.views.worker_lost(stage.worker(made.id))
        with pytest.raises(SnapshotUnavailable, match="ended"):
            await looking
        with pytest.raises(StreamNotFound):
            await stage.views.snapshot("nobody", boxes=True)

    play(tmp_path, body)
