from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from server.core.errors import EventNotFound, FieldsInvalid
from server.domain.event import Event, EventType
from server.storage.database import Database
from server.storage.events import EventStore, Wanted

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def database(tmp_path):
    database = Database.open(tmp_path / "vidserve.db")
    yield database
    database.close()


@pytest.fixture
def store(database):
    return EventStore(database, keep_days=36500, most=1000)


def an_event(owner="cam", seq=1, *, at=NOON, type=EventType.TRACK_STARTED, job=False, **more) -> Event:
    whose = {"job" if job else "stream": owner}
    return Event(id=f"{owner}-{seq}", seq=seq, type=type, at=at.isoformat(), **whose, **more)


def ids(store, limit=50, cursor=None, **wanted):
    page, _ = store.page(Wanted(**wanted), limit=limit, cursor=cursor)
    return [msgspec.json.decode(event)["id"] for event in page]


def test_events_are_listed_newest_first_and_found_by_id(store):
    store.add([an_event(seq=1, label="car", track_id=7), an_event(seq=2)])
    assert ids(store) == ["cam-2", "cam-1"]
    assert msgspec.json.decode(store.get("cam-1"), type=Event) == an_event(seq=1, label="car", track_id=7)
    with pytest.raises(EventNotFound):
        store.get("cam-3")


def test_an_event_that_is_known_already_stays_as_it_is(store):
    store.add([an_event(seq=1, label="car")])
    store.add([an_event(seq=1, label="dog"), an_event(seq=2)])
    assert ids(store) == ["cam-2", "cam-1"]
    assert b"car" in store.get("cam-1")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"stream": "cam"}, ["cam-3", "cam-2", "cam-1"]),
        ({"job": "job"}, ["job-1"]),
        ({"type": "track_ended"}, ["cam-3"]),
        ({"label": "dog"}, ["cam-2"]),
        ({"track_id": 7}, ["job-1", "cam-2"]),
        ({"stream": "cam", "track_id": 7}, ["cam-2"]),
        ({"since": NOON + timedelta(hours=1)}, ["cam-3", "cam-2"]),
        ({"until": NOON + timedelta(hours=1)}, ["job-1", "cam-1"]),
        ({"since": NOON + timedelta(hours=1), "until": NOON + timedelta(hours=2)}, ["cam-2"]),
        ({"stream": "job"}, []),
    ],
)
def test_filters_leave_out_what_is_not_wanted(store, wanted, found):
    store.add(
        [
            an_event(seq=1),
            an_event(seq=2, at=NOON + timedelta(hours=1), label="dog", track_id=7),
            an_event(seq=3, at=NOON + timedelta(hours=2), type=EventType.TRACK_ENDED),
            an_event("job", 1, job=True, track_id=7),
        ]
    )
    assert ids(store, **wanted) == found


def test_pages_join_without_a_hole_while_others_come(store):
    store.add([an_event(seq=seq) for seq in range(5)])
    first, cursor = store.page(Wanted(), limit=2, cursor=None)
    store.add([an_event(seq=9)])
    rest, end = store.page(Wanted(), limit=10, cursor=cursor)
    found = [msgspec.json.decode(event)["seq"] for event in first + rest]
    assert (found, end) == ([4, 3, 2, 1, 0], None)
    with pytest.raises(FieldsInvalid, match="cursor"):
        store.page(Wanted(), limit=2, cursor="j1")


def test_the_oldest_go_when_there_are_too_many(database):
    store = EventStore(database, keep_days=36500, most=3)
    store.add([an_event(seq=seq) for seq in range(6)])
    store.trim()
    assert ids(store) == ["cam-5", "cam-4", "cam-3"]


def test_what_is_too_old_goes(database):
    store = EventStore(database, keep_days=1, most=100)
    store.add([an_event(seq=1), an_event(seq=2, at=datetime.now(UTC))])
    store.trim()
    assert ids(store) == ["cam-2"]


def test_events_go_with_their_owner(store):
    store.add([an_event(seq=1), an_event("other", 1), an_event("job", 1, job=True)])
    store.forget({"cam", "job"})
    assert ids(store) == ["other-1"]


def test_events_of_jobs_that_are_gone_are_found(store):
    store.add([an_event(seq=1), an_event("job", 1, job=True)])
    store.forget_the_lost()
    assert ids(store) == ["cam-1"]
