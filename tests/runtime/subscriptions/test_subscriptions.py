import asyncio
import json

import pytest
from dispatcher_builders import play

from server.core.errors import JobNotFound, StreamNotFound, SubscribersFull
from server.domain.job import JobState
from server.events.bus import Bounds
from server.events.filter import EVERYTHING, Filter
from server.events.item import Kind
from server.events.position import START, Position
from server.runtime.processes.death import Death


class Follower:
    """Reads a feed in the background, as far as it is let."""

    def __init__(self, feed):
        self.feed = feed
        self.events = []
        self.ended = False
        self._may = asyncio.Event()
        self._may.set()
        self._task = asyncio.create_task(self._read())

    def stall(self):
        self._may.clear()

    def go_on(self):
        self._may.set()

    async def _read(self):
        async for frame in self.feed.frames():
            self.events += parsed(frame)
            await self._may.wait()
        self.ended = True
        self.feed.close()

    @property
    def frames(self):
        return [data["frame"] for name, data, _ in self.events if name == "result"]

    @property
    def names(self):
        return [name for name, _, _ in self.events]

    @property
    def states(self):
        return [data["state"] for name, data, _ in self.events if name == "state"]

    @property
    def last_id(self):
        return [id for _, _, id in self.events if id][-1]


def parsed(frame: bytes):
    """(event, data, id) of each event in a piece of a stream."""
    found = []
    for block in frame.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"]), fields.get("id")))
    return found


def position(id: str) -> Position:
    epoch, _, number = id.partition("-")
    return Position(epoch, int(number))


async def follow(stage, job="a", after=None, filter=EVERYTHING) -> Follower:
    return Follower(await stage.subscriptions.job(job, filter, after))


async def everything(stage, job="a", after=START, filter=EVERYTHING) -> Follower:
    """What a job that has ended has to say."""
    follower = await follow(stage, job, after, filter)
    await stage.until(lambda: follower.ended)
    return follower


async def whole_job(stage, job="a", frames=10):
    await stage.put(job)
    await stage.running(job)
    stage.rows(job, frames, events=True)
    stage.end(job)
    await stage.ended(job)


def test_who_follows_a_job_hears_its_states_results_and_events_to_its_end(tmp_path):
    async def body(stage):
        await stage.put("a")
        one = await follow(stage)
        await stage.running("a")
        stage.rows("a", 3, events=True)
        stage.end("a")
        await stage.until(lambda: one.ended)
        assert one.states[-2:] == ["running", "done"]
        assert one.frames == [0, 1, 2]
        assert [name for name in one.names if name in ("result", "event")] == ["result", "event"] * 3
        assert one.events[-2][0] == "progress"
        assert all(data["job"] == "a" for name, data, _ in one.events if name == "result")
        assert one.last_id == "0-7"

    play(tmp_path, body)


def test_from_the_start_a_running_job_gives_what_was_before_and_what_comes(tmp_path):
    async def body(stage):
        await stage.put("a")
        await stage.running("a")
        stage.rows("a", 3)
        await stage.until(lambda: stage.bus.place("a") == 3)
        late, now = await follow(stage, after=START), await follow(stage)
        stage.rows("a", 5, first=3)
        stage.end("a")
        await stage.until(lambda: late.ended and now.ended)
        assert late.frames == [0, 1, 2, 3, 4]
        assert now.frames == [3, 4]
        assert [late.last_id, now.last_id] == ["0-6", "0-6"]

    play(tmp_path, body)


def test_a_job_that_has_ended_says_its_last_state_and_from_the_start_everything(tmp_path):
    async def body(stage):
        await whole_job(stage, frames=1200)
        assert (await everything(stage, after=None)).names == ["state"]
        again = await everything(stage)
        assert again.frames == list(range(1200))
        assert again.states == ["done"]
        assert again.last_id == "0-2401"

    play(tmp_path, body)


def test_a_client_goes_on_exactly_where_it_was_wherever_that_is(tmp_path):
    async def body(stage):
        await whole_job(stage)
        all_of_it = (await everything(stage)).events
        for at, (_, _, id) in enumerate(all_of_it[:-1]):
            assert (await everything(stage, after=position(id))).events == all_of_it[at + 1 :]

    play(tmp_path, body)


def test_who_has_everything_of_an_ended_job_has_nothing_to_come_back_for(tmp_path):
    async def body(stage):
        await whole_job(stage)
        last = (await everything(stage)).last_id
        assert await stage.subscriptions.job("a", EVERYTHING, position(last)) is None

    play(tmp_path, body)


def test_a_slow_client_misses_nothing_of_a_job(tmp_path):
    async def body(stage):
        await stage.put("a")
        await stage.running("a")
        slow = await follow(stage)
        only_events = await follow(stage, filter=Filter.of(["event"], None))
        for one in (slow, only_events):
            await stage.until(lambda one=one: one.states)
            one.stall()
        for frames in range(10, 120, 10):
            stage.rows("a", frames, first=frames - 10, events=True)
            await stage.until(lambda frames=frames: stage.bus.place("a") == 2 * frames)
        for one in (slow, only_events):
            one.go_on()
        stage.rows("a", 115, first=110, events=True)
        stage.end("a")
        await stage.until(lambda: slow.ended and only_events.ended)
        assert slow.frames == list(range(115))
        assert "gap" not in slow.names
        assert only_events.names.count("event") == 115
        assert only_events.frames == []

    # Most of it is in neither its queue nor what is kept for replay, but in the files alone.
    play(tmp_path, body, bounds=Bounds(queue_items=7, owner_items=3))


def test_a_client_that_is_slow_again_and_again_misses_nothing(tmp_path):
    async def body(stage):
        await stage.put("a")
        await stage.running("a")
        slow = await follow(stage)
        await stage.until(lambda: slow.states)
        for round in range(5):
            slow.stall()
            for frames in range(round * 30, round * 30 + 30, 10):
                stage.rows("a", frames + 10, first=frames, events=True)
                await stage.until(lambda frames=frames: stage.bus.place("a") == 2 * frames + 20)
            slow.go_on()
            await stage.until(lambda round=round: len(slow.frames) >= round * 30 + 20)
        stage.end("a")
        await stage.until(lambda: slow.ended)
        assert slow.frames == list(range(150))
        assert slow.last_id == "0-301"

    play(tmp_path, body, bounds=Bounds(queue_items=7, owner_items=3))


def test_what_is_said_again_after_a_crash_is_not_told_again(tmp_path):
    async def body(stage):
        await stage.put("a")
        await stage.running("a")
        one = await follow(stage)
        stage.rows("a", 4, events=True)
        stage.checkpoint("a", 4)
        stage.rows("a", 8, first=4, events=True)
        await stage.until(lambda: stage.bus.place("a") == 16)
        stage.dispatcher.worker_lost(stage.started()[-1][0], Death("killed", by_itself=False), [])
        await stage.running("a", tries=2)
        stage.rows("a", 10, first=4, events=True)
        stage.end("a")
        await stage.until(lambda: one.ended)
        assert one.frames == list(range(10))
        assert one.states[-3:] == ["queued", "running", "done"]
        assert (await everything(stage)).frames == list(range(10))

    play(tmp_path, body)


def test_filters_hold_for_what_is_read_from_the_files_too_and_the_last_state_always_comes(tmp_path):
    async def body(stage):
        await whole_job(stage)
        events = await everything(stage, filter=Filter.of(["event"], None))
        assert events.names == ["event"] * 10 + ["state"]

    play(tmp_path, body)


def test_an_id_that_is_not_a_jobs_own_is_answered_with_a_gap_and_everything(tmp_path):
    async def body(stage):
        await whole_job(stage, frames=3)
        assert (await everything(stage, after=Position("3fa2", 7))).names[0] == "gap"
        await stage.put("b")
        await stage.running("b")
        stage.rows("b", 2)
        await stage.until(lambda: stage.bus.place("b") == 2)
        lost = await follow(stage, "b", after=Position("3fa2", 7))
        await stage.until(lambda: lost.frames == [0, 1])
        assert lost.names[:2] == ["gap", "state"]

    play(tmp_path, body)


def test_a_deleted_job_takes_its_leave(tmp_path):
    async def body(stage):
        await stage.put("a")
        await stage.running("a")
        one = await follow(stage)
        await stage.until(lambda: one.states)
        await stage.ledger.delete("a")
        await stage.until(lambda: one.ended)
        assert one.events[-1][:2] == ("closed", {"type": "closed", "reason": "deleted", "job": "a"})
        with pytest.raises(JobNotFound):
            await follow(stage)

    play(tmp_path, body)


def test_a_subscriber_that_goes_makes_room_for_another(tmp_path):
    async def body(stage):
        await stage.put("a")
        one = await follow(stage)
        with pytest.raises(SubscribersFull):
            await follow(stage)
        one.feed.close()
        await stage.until(lambda: one.ended)
        await follow(stage)

    play(tmp_path, body, bounds=Bounds(subscribers=1))


def test_a_stream_feed_ends_when_all_that_it_was_asked_for_are_deleted(tmp_path):
    async def body(stage):
        for name in ("cam", "other"):
            stage.bus.open(name)
        both = Follower(await stage.subscriptions.streams(["cam", "other"], [], EVERYTHING, None))
        every = Follower(await stage.subscriptions.streams([], [], EVERYTHING, None))
        stage.bus.publish("cam", Kind.RESULT, b'{"frame":1}')
        stage.bus.close("cam")
        stage.bus.publish("other", Kind.RESULT, b'{"frame":2}')
        await stage.until(lambda: both.frames == [1, 2] == every.frames)
        assert not both.ended
        stage.bus.close("other")
        await stage.until(lambda: both.ended and every.names.count("closed") == 2)
        assert not every.ended
        with pytest.raises(StreamNotFound):
            await stage.subscriptions.streams(["cam"], [], EVERYTHING, None)

    play(tmp_path, body)


def test_who_begins_to_follow_a_stream_hears_at_once_how_it_is(tmp_path):
    async def body(stage):
        stage.bus.open("cam")
        stage.bus.publish("cam", Kind.STATE, b'{"type":"stream_state","state":"running"}')
        stage.present = [b'{"type":"stream_state","state":"reconnecting"}']

        async def told(after, *types):
            one = Follower(await stage.subscriptions.streams(["cam"], [], Filter.of(types, ()), after))
            stage.bus.publish("cam", Kind.RESULT, b'{"frame":1}')
            await stage.until(lambda: "result" in one.names)
            return [data.get("state", name) for name, data, _ in one.events]

        assert await told(None) == ["reconnecting", "result"]
        assert await told(None, "result") == ["result"]
        assert await told(None, "result", "stream_state") == ["reconnecting", "result"]
        # What was before comes before.
        assert (await told(START, "state", "result"))[0] == "running"
        channel = stage.subscriptions.channel()
        await channel.follow(["cam"], [], Filter.of(["state"], ()), START)
        said = [json.loads(text) for text in await channel.take()]
        assert [one["data"].get("state", one["event"]) for one in said] == ["subscribed", "running", "reconnecting"]
        assert "id" not in said[-1]

    play(tmp_path, body)


def test_a_server_that_stops_ends_every_feed(tmp_path):
    async def body(stage):
        await stage.put("a")
        stage.bus.open("cam")
        feeds = [await follow(stage), Follower(await stage.subscriptions.streams([], [], EVERYTHING, None))]
        stage.bus.stop()
        for one in feeds:
            await stage.until(lambda one=one: one.ended)
            assert one.events[-1][:2] == ("closed", {"type": "closed", "reason": "stopping"})

    play(tmp_path, body)


def test_over_a_channel_jobs_and_streams_have_one_sequence_of_ids(tmp_path):
    async def body(stage):
        await stage.put("a")
        await stage.running("a")
        stage.bus.open("cam")
        channel = stage.subscriptions.channel()
        await channel.follow(["cam"], ["a"], EVERYTHING, None)
        stage.rows("a", 1)
        await stage.until(lambda: stage.bus.place("a") == 1)
        stage.bus.publish("cam", Kind.RESULT, b'{"frame":7}')
        said = [json.loads(text) for text in await channel.take()]
        assert [one["event"] for one in said] == ["subscribed", "state", "result", "progress", "result"]
        assert [one["data"].get("stream", one["data"].get("job")) for one in said[2:]] == ["a", "a", "cam"]
        numbers = [int(one["id"].partition("-")[2]) for one in said[2:]]
        assert numbers == sorted(set(numbers))
        channel.unfollow(["cam"], [])
        stage.bus.publish("cam", Kind.RESULT, b'{"frame":8}')
        assert [json.loads(text)["event"] for text in await channel.take()] == ["unsubscribed"]
        channel.close()
        assert await channel.take() is None

    play(tmp_path, body)


def test_over_a_channel_a_job_whose_news_are_not_kept_is_a_gap(tmp_path):
    async def body(stage):
        for job in ("a", "b"):
            await whole_job(stage, job, frames=2)
        channel = stage.subscriptions.channel()
        await channel.follow([], ["a"], EVERYTHING, START)
        said = [json.loads(text) for text in await channel.take()]
        assert [(one["event"], one["data"].get("reason")) for one in said[1:]] == [("state", None), ("gap", "too_old")]
        assert said[1]["data"]["state"] == JobState.DONE
        with pytest.raises(JobNotFound):
            await channel.follow([], ["b", "nobody"], EVERYTHING, None)

    play(tmp_path, body, bounds=Bounds(ended=1))
