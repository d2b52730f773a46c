import json
import os

import pytest
import zmq
from live_builders import ROW, StreamApi, eventually

from server.core.metrics_page import Page
from server.domain.event import Event, EventType
from server.domain.result import Row
from server.wire.messages import StreamEnded
from server.worker.live.publisher import LivePublisher


@pytest.fixture
def around(tmp_path):
    context = zmq.Context()
    api = StreamApi(context, f"ipc://{tmp_path}/api")
    yield context, api, f"ipc://{tmp_path}/api"
    api.close()
    context.destroy(linger=0)


def publisher(around, page, **options):
    context, _, address = around
    return LivePublisher(
        context, address, "w.cam", 1, stream="cam", attempt=1, recorder=page.recorder(0), row=ROW, **options
    )


def row(frame):
    return Row(frame=frame, pts_s=frame / 10, captured_at=None, width=64, height=36, model="fake@1")


def event(seq):
    return Event(id=f"cam-{seq}", seq=seq, type=EventType.TRACK_STARTED, stream="cam")


def test_while_nobody_takes_them_the_oldest_rows_give_way_and_events_never_do(around):
    api = around[1]
    api.takes = False
    page = Page(bytearray(Page.bytes_for(1)), 1)
    live = publisher(around, page, most_bytes=10 * len(json.dumps({"frame": 100})) * 5)
    for frame in range(100):
        live.add(row(frame), captured=0.0)
        live.add_events([event(frame + 1)])
        live.flush()
    eventually(lambda: len(api.rows) == 4)
    api.takes = True
    eventually(lambda: live.flush() or len(api.events) == 100)
    eventually(lambda: api.rows[-1]["frame"] == 99)
    assert api.lost == 100 - len(api.rows)
    assert 0 < api.lost < 96
    frames = [one["frame"] for one in api.rows]
    assert frames == sorted(frames)
    assert page.result_age(ROW).cumulative[-1][1] == len(api.rows)
    live.close()


def test_the_last_word_comes_after_all_rows_whether_they_are_taken_or_not(around):
    api = around[1]
    api.takes = False
    live = publisher(around, Page(bytearray(Page.bytes_for(1)), 1))
    for frame in range(20):
        live.add(row(frame), captured=0.0)
        live.flush()
    live.end(StreamEnded("cam", 1))
    eventually(lambda: api.ended)
    assert len(api.rows) == 20
    live.close()


def test_the_age_of_a_result_is_from_capture_to_publishing(around):
    page = Page(bytearray(Page.bytes_for(1)), 1)
    live = publisher(around, page)
    live.add(row(1), captured=os.times().elapsed)
    live.flush()
    (counted,) = {count for _, count in page.result_age(ROW).cumulative[-1:]}
    assert counted == 1
    live.close()
