import asyncio
import json

import pytest
from bus_builders import EPOCH, a_bus, follower, raise_event, say, taken, told

from server.core.errors import Stopping, SubscribersFull
from server.events.bus import Bounds, Bus
from server.events.filter import Filter
from server.events.item import Item, Kind, OwnerKind
from server.events.position import START, Position


def test_who_follows_a_stream_hears_what_it_says_from_then_on():
    bus = a_bus("cam", "other")
    say(bus, "cam", 1)
    one, two = follower(bus, "cam"), follower(bus, "other", "cam")
    say(bus, "cam", 2, 3)
    say(bus, "other", 4)
    assert told(one) == [2, 3]
    assert told(two) == [2, 3, 4]
    assert told(one) == []


def test_all_subscribers_share_one_item_and_its_frames():
    bus = a_bus("cam")
    one, two = follower(bus, "cam"), follower(bus, "cam")
    say(bus, "cam", 1)
    (mine,), (yours,) = taken(one), taken(two)
    assert mine is yours
    assert mine.sse is yours.sse
    assert mine.text is yours.text


def test_an_item_is_framed_with_its_id_and_says_whose_it_is():
    bus = a_bus("cam")
    subscription = follower(bus, "cam")
    say(bus, "cam", 7)
    (item,) = taken(subscription)
    said = b'{"stream":"cam","frame": 7, "objects": [{"label": "car"}]}'
    assert item.sse == b"id: e-1\nevent: result\ndata: " + said + b"\n\n"
    assert json.loads(item.text) == {"id": "e-1", "event": "result", "data": json.loads(said)}


def test_a_subscriber_that_does_not_read_is_told_what_it_lost_and_nobody_else_notices():
    bus = a_bus("cam", "other", queue_items=3)
    slow, quick = follower(bus, "cam", "other"), follower(bus, "cam")
    heard = []
    for frame in range(10):
        say(bus, "cam", frame)
        heard += told(quick)
    assert heard == list(range(10))
    say(bus, "other", 10)
    assert told(slow) == ["gap slow 8", 8, 9, 10]
    say(bus, "cam", 11)
    assert told(slow) == [11]


def test_a_queue_is_bounded_in_bytes_too():
    bus = a_bus("cam", queue_bytes=200)
    slow = follower(bus, "cam")
    say(bus, "cam", *range(10))
    first, *rest = told(slow)
    assert first == f"gap slow {10 - len(rest)}"
    assert 0 < len(rest) < 5


def test_what_was_lost_on_the_way_to_the_bus_is_a_gap_for_everybody():
    bus = a_bus("cam", queue_items=3)
    one, slow = follower(bus, "cam"), follower(bus, "cam")
    say(bus, "cam", 1)
    bus.lost("cam", 5)
    say(bus, "cam", 2)
    assert told(one) == [1, "gap lost 5", 2]
    say(bus, "cam", 3, 4, 5)
    assert told(slow) == ["gap slow 7", 3, 4, 5]


def test_a_stream_that_is_named_twice_is_followed_once():
    bus = a_bus("cam")
    say(bus, "cam", 1)
    twice = follower(bus, "cam", "cam", after=START)
    say(bus, "cam", 2)
    assert told(twice) == [1, 2]


def test_who_comes_back_hears_what_it_missed():
    bus = a_bus("cam", "other")
    say(bus, "cam", 1, 2)
    say(bus, "other", 3)
    say(bus, "cam", 4)
    back = follower(bus, "cam", "other", after=Position(EPOCH, 1))
    say(bus, "cam", 5)
    assert told(back) == [2, 3, 4, 5]
    assert told(follower(bus, "cam", after=START)) == [1, 2, 4, 5]


def test_an_id_that_is_too_old_is_answered_with_a_gap_first():
    bus = a_bus("cam", owner_items=2)
    say(bus, "cam", 1, 2, 3, 4)
    assert told(follower(bus, "cam", after=Position(EPOCH, 1))) == ["gap too_old", 3, 4]
    assert told(follower(bus, "cam", after=Position(EPOCH, 2))) == [3, 4]


@pytest.mark.parametrize("gone", [Position("f", 1), Position(EPOCH, 99)])
def test_an_id_of_another_run_is_answered_with_a_gap_and_all_there_is(gone):
    bus = a_bus("cam")
    say(bus, "cam", 1, 2)
    assert told(follower(bus, "cam", after=gone)) == ["gap restarted", 1, 2]


def test_what_is_kept_is_bounded_over_all_owners_and_the_largest_gives_way():
    bus = a_bus("small", "large", all_bytes=20_000)
    say(bus, "small", 0)
    say(bus, "large", *range(100))
    kept = told(follower(bus, "large", after=START))
    assert kept[0] == "gap too_old"
    assert 5 < len(kept) < 25
    assert told(follower(bus, "small", after=START)) == [0]


def test_of_a_job_less_is_kept_since_its_files_have_it():
    bus = a_bus("cam", jobs=("job",), owner_bytes=20_000, job_bytes=2_000)
    for owner in ("cam", "job"):
        say(bus, owner, *range(10))
    assert len(told(follower(bus, "cam", after=START))) == 10
    assert told(follower(bus, "job", after=START)) == ["gap too_old", 8, 9]


def test_filters_look_at_kinds_types_and_labels():
    bus = a_bus("cam")
    every = {
        "results": Filter.of(["result"], None),
        "starts": Filter.of(["track_started", "state"], None),
        "cars": Filter.of(None, ["car"]),
        "started cars": Filter.of(["track_started"], ["car", "bus"]),
    }
    following = {name: follower(bus, "cam", filter=filter) for name, filter in every.items()}
    say(bus, "cam", 1)
    say(bus, "cam", 2, label="dog")
    raise_event(bus, "cam", "track_started", label="car")
    raise_event(bus, "cam", "track_started", label="dog")
    raise_event(bus, "cam", "track_ended", label="car")
    bus.publish("cam", Kind.STATE, b'{"type":"stream_state"}')
    assert {name: told(one) for name, one in following.items()} == {
        "results": [1, 2],
        "starts": ["track_started", "track_started", "stream_state"],
        "cars": [1, "track_started", "track_ended", "stream_state"],
        "started cars": ["track_started"],
    }


def test_who_follows_all_streams_follows_those_to_come_and_no_jobs():
    bus = a_bus("cam", jobs=("job",))
    everybody = follower(bus, all=True)
    bus.open("new")
    say(bus, "new", 1)
    say(bus, "job", 2)
    say(bus, "cam", 3)
    assert told(everybody) == [1, 3]
    bus.unfollow(everybody, None)
    bus.open("newer")
    say(bus, "newer", 4)
    say(bus, "cam", 5)
    assert told(everybody) == []


def test_a_deleted_stream_takes_its_leave_and_the_others_go_on():
    bus = a_bus("cam", "other")
    subscription = follower(bus, "cam", "other")
    bus.close("cam")
    say(bus, "other", 1)
    assert told(subscription) == ["closed deleted", 1]
    assert not bus.knows("cam", OwnerKind.STREAM)


def test_a_stream_that_was_deleted_does_not_come_back_with_its_last_words():
    bus, ear = a_bus("cam"), Ear()
    everybody = follower(bus, all=True)
    bus.tap(ear)
    bus.close("cam")
    say(bus, "cam", 1)
    bus.end("cam", b'{"type":"stream_state"}')
    assert not bus.knows("cam", OwnerKind.STREAM)
    assert told(everybody) == ["closed deleted"]
    assert ear.heard_of == []


def test_that_a_stream_was_deleted_outlives_a_full_queue():
    bus = a_bus("cam", "other", queue_items=2)
    subscription = follower(bus, "cam", "other")
    bus.close("cam")
    say(bus, "other", 1, 2, 3)
    assert told(subscription) == ["gap slow 1", "closed deleted", 2, 3]


def test_a_jobs_results_and_events_are_counted_and_its_last_word_is_known_as_such():
    bus = a_bus(jobs=("job",))
    bus.open("job", OwnerKind.JOB, place=10)
    subscription = follower(bus, "job")
    say(bus, "job", 1)
    raise_event(bus, "job", "track_started")
    bus.publish("job", Kind.PROGRESS, b"{}")
    bus.end("job", b'{"type":"job_state","state":"done"}')
    assert [(one.place, one.last) for one in taken(subscription)] == [
        (11, False),
        (12, False),
        (None, False),
        (13, True),
    ]


def test_jobs_that_have_ended_are_kept_for_a_while():
    bus = a_bus(jobs=("a", "b", "c"), ended=2)
    for job in ("a", "b", "c"):
        bus.end(job, b'{"type":"job_state"}')
    assert [bus.knows(job, OwnerKind.JOB) for job in ("a", "b", "c")] == [False, True, True]


def test_progress_is_not_repeated_to_who_comes_back():
    bus = a_bus(jobs=("job",))
    bus.publish("job", Kind.PROGRESS, b'{"progress":0.5}')
    say(bus, "job", 1)
    assert told(follower(bus, "job", after=START)) == [1]


def test_there_are_no_more_subscribers_than_may_be():
    bus = a_bus("cam", subscribers=2)
    one, _ = bus.join(), bus.join()
    with pytest.raises(SubscribersFull, match="2 subscribers"):
        bus.join()
    bus.leave(one)
    bus.join()


def test_a_bus_that_stops_ends_every_subscription():
    bus = a_bus("cam")
    subscription = follower(bus, "cam")
    say(bus, "cam", 1)
    bus.stop()
    say(bus, "cam", 2)

    async def to_the_end():
        taken = await subscription.take()
        return [one.kind if isinstance(one, Item) else one.name for one in taken], subscription.ended

    assert asyncio.run(to_the_end()) == (["result", "closed"], True)
    with pytest.raises(Stopping):
        bus.join()


def test_a_reader_waits_until_there_is_something():
    async def run():
        bus = Bus(Bounds())
        bus.open("cam")
        subscription = follower(bus, "cam")
        reader = asyncio.create_task(subscription.take())
        await asyncio.sleep(0)
        assert not reader.done()
        say(bus, "cam", 1)
        assert [one.kind for one in await reader] == [Kind.RESULT]
        reader = asyncio.create_task(subscription.take())
        await asyncio.sleep(0)
        subscription.end()
        assert await reader == []
        assert subscription.ended

    asyncio.run(run())


class Ear:
    """Hears everything."""

    def __init__(self):
        self.heard_of, self.gone = [], []

    def heard(self, item, owner):
        self.heard_of.append((owner, item.owner, item.kind))

    def closed(self, owner):
        self.gone.append(owner)


def test_a_tap_hears_everything_of_everybody():
    bus, ear = a_bus("cam", jobs=("job",)), Ear()
    bus.tap(ear)
    say(bus, "cam", 1)
    bus.publish("job", Kind.PROGRESS, b"{}")
    bus.close("cam")
    assert ear.heard_of == [("stream", "cam", "result"), ("job", "job", "progress")]
    assert ear.gone == ["cam"]
