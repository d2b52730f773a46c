import asyncio
import logging
import time

from bus_builders import a_bus, raise_event, say

from server.core.errors import StorageFull
from server.events.history import History
from server.events.item import Kind


class FakeStore:
    """Keeps events in a list, unless it is full."""

    def __init__(self):
        self.kept, self.forgotten, self.full, self.broken = [], [], False, False
        self.trimmed = 0
        self.tidied = 0

    def add(self, events):
        if self.full:
            raise StorageFull("No space is left.")
        if self.broken:
            raise ZeroDivisionError
        self.kept += events

    def forget(self, owners):
        self.forgotten += owners
        self.kept = [event for event in self.kept if event.id.rpartition("-")[0] not in owners]

    def forget_the_lost(self):
        self.tidied += 1
        if self.broken:
            raise ZeroDivisionError

    def trim(self):
        self.trimmed += 1


def played(body, **options):
    """Run a test's coroutine with a bus that a history listens to."""

    async def run():
        bus, store, dropped = a_bus("cam"), FakeStore(), []
        history = History(store, dropped=dropped.append, **options)
        bus.tap(history)
        history.start()
        await body(bus, store, dropped)
        await history.close()
        return store, sum(dropped)

    return asyncio.run(run())


async def until(what, seconds=20.0):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def an_event(bus, seq, type="track_started", **more):
    raise_event(bus, "cam", type, id=f"cam-{seq}", seq=seq, **more)


def test_events_and_states_are_kept_and_results_are_not():
    async def body(bus, store, dropped):
        say(bus, "cam", 1)
        an_event(bus, 1)
        bus.publish("cam", Kind.STATE, b'{"id":"cam-s1","seq":1,"type":"stream_state"}')
        bus.publish("cam", Kind.PROGRESS, b"{}")
        await until(lambda: len(store.kept) == 2)
        assert store.trimmed == 1

    store, dropped = played(body)
    assert [event.id for event in store.kept] == ["cam-1", "cam-s1"]
    assert dropped == 0


def test_an_event_of_a_camera_happened_when_it_was_captured_another_when_it_was_heard_of():
    async def body(bus, store, dropped):
        an_event(bus, 1, captured_at="2026-01-02T03:04:05.678Z")
        an_event(bus, 2)
        an_event(bus, 3, at="2026-01-01T00:00:00Z")

    store, _ = played(body)
    assert [store.kept[0].at, store.kept[2].at] == ["2026-01-02T03:04:05.678Z", "2026-01-01T00:00:00Z"]
    assert store.kept[1].at.startswith("20")


def test_a_full_disk_delays_events_then_drops_the_oldest_and_counts_them(caplog):
    async def body(bus, store, dropped):
        store.full = True
        for seq in range(20):
            an_event(bus, seq)
        await until(lambda: "waits" in caplog.text)
        for seq in range(20, 30):
            an_event(bus, seq)
        store.full = False
        await until(lambda: store.kept)

    store, dropped = played(body, most=5)
    assert [event.seq for event in store.kept][-5:] == [25, 26, 27, 28, 29]
    assert dropped == 30 - len(store.kept)
    assert caplog.text.count("waits") == 1
    assert "goes on" in caplog.text


def test_a_disk_that_stays_full_does_not_hold_up_the_end(caplog):
    async def body(bus, store, dropped):
        store.full = True
        an_event(bus, 1)

    _, dropped = played(body)
    assert dropped == 1
    assert "1 events were not kept" in caplog.text


def test_what_is_no_event_is_told_and_the_others_are_kept(caplog):
    async def body(bus, store, dropped):
        bus.publish("cam", Kind.EVENT, b'{"type":"no such type"}')
        an_event(bus, 1)

    store, _ = played(body)
    assert [event.id for event in store.kept] == ["cam-1"]
    assert "an event is not kept" in caplog.text


def test_a_mistake_costs_its_batch_alone(caplog):
    async def body(bus, store, dropped):
        store.broken = True
        an_event(bus, 1)
        await until(lambda: dropped)
        store.broken = False
        an_event(bus, 2)

    with caplog.at_level(logging.ERROR):
        store, dropped = played(body)
    assert [event.id for event in store.kept] == ["cam-2"]
    assert dropped == 1


def test_events_go_with_their_owner_whether_they_are_kept_yet_or_not():
    async def body(bus, store, dropped):
        an_event(bus, 1)
        await until(lambda: store.kept)
        an_event(bus, 2)
        bus.close("cam")
        await until(lambda: store.forgotten)

    store, dropped = played(body)
    assert (store.kept, store.forgotten, dropped) == ([], ["cam"], 0)


def test_of_an_owner_that_is_gone_nothing_is_kept_however_many_batches_its_events_are():
    async def body(bus, store, dropped):
        store.full = True
        for seq in range(2500):
            an_event(bus, seq)
        bus.close("cam")
        store.full = False
        await until(lambda: store.forgotten)
        await asyncio.sleep(0.5)

    store, dropped = played(body)
    assert (store.kept, dropped) == ([], 0)


def test_a_mistake_does_not_end_the_tidying(caplog):
    async def run():
        store = FakeStore()
        store.broken = True
        history = History(store, dropped=lambda _: None)
        history.start()
        await until(lambda: store.trimmed)
        await history.close()
        assert store.tidied == 1

    asyncio.run(run())
    assert "was not tidied" in caplog.text
