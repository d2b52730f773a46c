from datetime import UTC, datetime, timedelta

import pytest
from fakes import assert_problem

from server.domain.event import Event, EventType
from server.storage.database import Database
from server.storage.events import EventStore

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def events(site, tmp_path):
    """Five events of a stream, an hour apart, and one of a job."""
    database = Database.open(tmp_path / "vidserve.db")
    store = EventStore(database, keep_days=36500, most=1000)
    site.runtime.events = store
    for n in range(1, 6):
        at = (NOON + timedelta(hours=n)).isoformat().replace("+00:00", "Z")
        label = "car" if n % 2 else "dog"
        store.add([Event(id=f"cam-{n}", seq=n, type=EventType.TRACK_STARTED, stream="cam", label=label, at=at)])
    store.add([Event(id="job-1", seq=1, type=EventType.TRACK_ENDED, job="job", track_id=7, at=NOON.isoformat())])
    yield store
    database.close()


def found(client, **query):
    answer = client.get("/v1/events", params=query)
    assert answer.status_code == 200, answer.text
    return [event["id"] for event in answer.json()["items"]]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"stream": "cam"}, ["cam-5", "cam-4", "cam-3", "cam-2", "cam-1"]),
        ({"job": "job"}, ["job-1"]),
        ({"type": "track_ended"}, ["job-1"]),
        ({"label": "dog"}, ["cam-4", "cam-2"]),
        ({"track_id": 7}, ["job-1"]),
        ({"since": "2026-01-02T16:00:00Z"}, ["cam-5", "cam-4"]),
        ({"since": "2026-01-02T17:00:00+01:00", "until": "2026-01-02T17:00:00Z"}, ["cam-4"]),
    ],
)
def test_events_are_found_by_what_they_say(events, client, query, ids):
    assert found(client, **query) == ids


def test_events_come_in_pages(events, client):
    first = client.get("/v1/events?limit=4").json()
    rest = client.get("/v1/events", params={"limit": 4, "cursor": first["next_cursor"]}).json()
    assert [event["id"] for event in first["items"] + rest["items"]] == [
        "job-1",
        "cam-5",
        "cam-4",
        "cam-3",
        "cam-2",
        "cam-1",
    ]
    assert "next_cursor" not in rest


def test_an_event_is_found_by_its_id(events, client):
    assert client.get("/v1/events/cam-2").json() == {
        "id": "cam-2",
        "seq": 2,
        "type": "track_started",
        "stream": "cam",
        "label": "dog",
        "at": "2026-01-02T14:00:00Z",
    }
    assert_problem(client.get("/v1/events/cam-9"), 404, "event_not_found")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("since=2026-01-02T16:00:00", "since"),
        ("until=yesterday", "until"),
        ("since=0001-01-01T00:00:00%2B23:00", "since: in UTC it is not in the years 1 to 9999."),
        ("until=9999-12-31T23:59:59-23:00", "until: in UTC"),
        ("type=track_startd", "type"),
        ("cursor=j1", "cursor"),
        ("limit=0", "limit"),
        ("track_id=seven", "track_id"),
        ("streams=cam", "`stream` is"),
    ],
)
def test_filters_that_make_no_sense_are_refused(events, client, query, said):
    problem = assert_problem(client.get(f"/v1/events?{query}"), 422, "fields_invalid")
    assert said in problem["detail"]
