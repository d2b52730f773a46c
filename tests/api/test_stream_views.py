from datetime import UTC, datetime

import pytest
from fakes import assert_problem

from server.core.errors import SnapshotUnavailable


@pytest.fixture
def stream(site):
    return site.runtime.streams.add().id


def test_the_latest_rows_are_a_page(site, client, stream):
    answer = client.get(f"/v1/streams/{stream}/results?since=2026-01-02T10:00:00Z&limit=2")
    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert ([row["frame"] for row in page["items"]], page["next_cursor"]) == ([2, 1], "e-1")
    (asked,) = site.runtime.views.asked
    assert asked == {"since": datetime(2026, 1, 2, 10, tzinfo=UTC), "until": None, "limit": 2, "cursor": None}


@pytest.mark.parametrize("query", ["since=yesterday", "since=2026-01-02T10:00:00", "limit=0", "cursor=now", "last=3"])
def test_what_cannot_be_asked_is_refused(client, stream, query):
    assert_problem(client.get(f"/v1/streams/{stream}/results?{query}"), 422, "fields_invalid")


def test_a_picture_comes_with_boxes_unless_they_are_not_wanted(client, stream):
    for query, jpeg in (("", b"JPEG with boxes"), ("?boxes=true", b"JPEG with boxes"), ("?boxes=false", b"JPEG")):
        answer = client.get(f"/v1/streams/{stream}/snapshot.jpg{query}")
        assert (answer.headers["content-type"], answer.content) == ("image/jpeg", jpeg)
        assert answer.headers["cache-control"] == "no-store"


def test_where_there_is_no_picture_it_is_said_when_to_ask_again(site, client, stream):
    site.runtime.views.broken = SnapshotUnavailable("Stream a gives no picture: it is reconnecting.")
    answer = client.get(f"/v1/streams/{stream}/snapshot.jpg")
    assert_problem(answer, 503, "snapshot_unavailable")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("what", ["results", "snapshot.jpg"])
def test_a_stream_that_is_not_there_shows_nothing(client, what):
    assert_problem(client.get(f"/v1/streams/nobody/{what}"), 404, "stream_not_found")
