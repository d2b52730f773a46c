import re
import threading
import time
from datetime import UTC, datetime

import pytest
from live_builders import ROW, Camera, eventually, image
from worker_builders import manifest

from server.core import heap
from server.core.calls import Call
from server.core.errors import AddressRefused
from server.domain.stream import StreamSource, StreamState
from server.wire.messages import ChangeStream, Look, Reached, Refusals
from server.worker.live import walk
from server.worker.live.errors import SourceRefused, SourceUnauthorized, SourceUnreachable


def delivered(around):
    return sum(around.frames.values())


def stop(around, stream):
    stream.stop()
    assert stream.join(30)
    eventually(lambda: around.api.ended)


def test_every_frame_becomes_a_row_with_both_clocks(bench):
    around = bench(Camera())
    stream = around.stream()
    eventually(lambda: len(around.api.rows) >= 20)
    stop(around, stream)
    rows = around.api.rows
    assert [row["frame"] for row in rows] == sorted(row["frame"] for row in rows)
    assert rows[-1]["pts_s"] == pytest.approx(rows[-1]["frame"] / 20, abs=0.02)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", rows[0]["captured_at"])
    age = datetime.now(UTC) - datetime.fromisoformat(rows[-1]["captured_at"])
    assert 0 <= age.total_seconds() < 60
    assert (rows[0]["width"], rows[0]["height"], rows[0]["model"]) == (64, 36, "fake@1")
    assert around.page.result_age(ROW).cumulative[-1][1] == len(rows)


def test_every_delivered_frame_ends_in_one_outcome(bench):
    camera = Camera(fps=60, broken=frozenset({3, 4}), stamp=lambda n: n / 60)
    around = bench(camera)
    stream = around.stream(sample_fps=20)
    eventually(lambda: camera.given >= 90)
    stop(around, stream)
    assert camera.given - 1 <= delivered(around) <= camera.given
    assert around.frames["decode_error"] == 2
    assert around.frames["sampled_out"] >= 40
    assert around.slots.taken == 0


def test_while_the_engine_is_busy_the_newest_frame_waits_and_the_others_are_counted(bench):
    camera = Camera(fps=100)
    around = bench(camera, silent=True)
    stream = around.stream(max_age_ms=60_000)
    eventually(lambda: camera.given >= 50)
    stop(around, stream)
    assert around.frames["dropped_busy"] >= 40
    assert camera.given - 1 <= delivered(around) <= camera.given


def test_what_is_too_old_when_its_turn_comes_is_dropped(bench):
    camera = Camera(fps=50, stamp=lambda n: n / 50, hold=lambda n: 1.0 if 10 <= n < 20 else 0.0)
    around = bench(camera)
    stream = around.stream(max_age_ms=300)
    eventually(lambda: camera.given >= 60)
    stop(around, stream)
    assert around.frames["dropped_stale"] >= 1
    assert {row["frame"] for row in around.api.rows} & {*range(10, 18)} == set()


def test_a_backlog_that_was_held_back_shows_as_age(bench):
    camera = Camera(fps=20, hold=lambda n: 1.0 if n >= 20 else 0.0)
    around = bench(camera)
    around.stream(max_age_ms=60_000)

    def late():
        counts = dict(around.page.result_age(ROW).cumulative)
        return counts[2.0] - counts[0.75]

    eventually(lambda: late() >= 8)


def test_a_source_that_breaks_off_is_connected_again_and_media_time_goes_on(bench):
    camera = Camera(lasts=10)
    around = bench(camera)
    around.stream()
    eventually(lambda: camera.opened >= 3)
    rows = list(around.api.rows)
    assert [row["frame"] for row in rows] == sorted({row["frame"] for row in rows})
    assert [row["pts_s"] for row in rows] == sorted({row["pts_s"] for row in rows})
    assert camera.closed >= 2
    # What lasts half a second may be over before it is told.
    eventually(lambda: any(status.state == "running" for status in around.api.statuses))
    (lost, *_) = eventually(lambda: [status for status in around.api.statuses if status.retry_s])
    assert (lost.state, lost.code) == ("reconnecting", "source_lost")
    assert 1 <= lost.reconnects <= camera.opened
    assert lost.retry_s <= 0.5 * 2 ** (lost.reconnects - 1)


def test_memory_is_given_back_after_each_connection_and_not_after_tries_in_vain(bench, monkeypatch):
    camera = Camera(lasts=10, failures=(SourceUnreachable("Nobody."),) * 2)
    closed_by_then: list[int] = []
    monkeypatch.setattr(heap, "release", lambda: closed_by_then.append(camera.closed))
    around = bench(camera)
    around.stream()
    eventually(lambda: len(closed_by_then) >= 2)
    assert closed_by_then[:2] == [1, 2]


def test_a_stream_goes_on_where_an_earlier_attempt_at_it_had_come_to(bench):
    camera = Camera()
    around = bench(camera)
    stream = around.stream(after=Reached(frame=99, pts_s=40.0, track=6), sample_fps=None)
    eventually(lambda: len(around.api.rows) >= 5)
    stop(around, stream)
    rows = around.api.rows
    frames = [row["frame"] for row in rows]
    assert frames == sorted(set(frames))
    assert frames[0] >= 100
    assert frames[-1] < 100 + camera.given
    assert 40.0 < rows[0]["pts_s"] < 75.0
    assert around.api.reached == Reached(rows[-1]["frame"], rows[-1]["pts_s"], 6)


def test_who_looks_sees_the_next_frame_although_it_is_not_sampled(bench):
    around = bench(Camera(fps=50, stamp=lambda n: n / 50))
    stream = around.stream(sample_fps=0.01, max_age_ms=60_000)
    eventually(lambda: around.api.rows)
    for number, boxes in enumerate((True, False)):
        stream.look(Look(number, "cam", 1, boxes))
        (looked, (jpeg,)) = eventually(lambda number=number: around.api.looked.get(number))
        assert (looked.code, jpeg[:2]) == ("", b"\xff\xd8")
    assert 2 <= len(around.api.rows) <= 10  # of some hundred frames
    stop(around, stream)


@pytest.mark.parametrize("failure", [SourceUnreachable("Nobody."), SourceRefused("No."), SourceUnauthorized("Who?")])
def test_a_source_whose_first_connection_fails_is_tried_again(bench, failure):
    camera = Camera(failures=(failure,))
    around = bench(camera)
    around.stream()
    eventually(lambda: around.api.rows)
    failed = [status for status in around.api.statuses if status.state == "reconnecting"]
    assert {status.code for status in failed} == {failure.code}
    assert around.api.statuses[-1].state == "running"
    assert around.api.statuses[-1].code == ""


def test_credentials_that_are_refused_twice_are_left_alone_for_minutes(bench):
    camera = Camera(failures=(SourceUnauthorized("Not these."),) * 3)
    around = bench(camera)
    around.stream()
    (status, *_) = eventually(lambda: [one for one in around.api.statuses if one.refusals == 2])
    assert (status.state, status.code) == ("reconnecting", "source_unauthorized")
    assert 295 < status.retry_s <= 300
    assert status.message == "Not these. It is tried again within 5 minutes, or as soon as the stream is changed."
    assert camera.opened == 2


def test_another_attempt_does_not_try_credentials_before_their_time(bench):
    camera = Camera(failures=(SourceUnauthorized("Not these."),))
    around = bench(camera)
    around.stream(refusals=Refusals(times=3, rest_s=1.0, message="Not these."))
    (status, *_) = eventually(lambda: [one for one in around.api.statuses if one.state == "reconnecting"])
    assert (status.code, status.message, status.refusals, camera.opened) == ("source_unauthorized", "Not these.", 3, 0)
    (status, *_) = eventually(lambda: [one for one in around.api.statuses if one.refusals == 4])
    assert status.retry_s > 890


def test_an_address_by_number_that_may_not_be_is_not_tried_again(bench):
    camera = Camera(failures=(AddressRefused("The address 127.0.0.1 is loopback."),))
    around = bench(camera)
    around.stream(StreamSource(url="rtsp://127.0.0.1/x"))
    (ended,) = eventually(lambda: around.api.ended)
    assert ended.code == "address_refused"
    assert camera.opened == 1


def test_a_name_that_leads_where_it_may_not_may_lead_elsewhere_later(bench):
    camera = Camera(failures=(AddressRefused("'camera' is 127.0.0.1, which is loopback."),))
    around = bench(camera)
    around.stream()
    eventually(lambda: around.api.rows)


def test_a_bug_in_a_source_ends_its_stream_alone_and_is_told(bench, caplog):
    camera = Camera(failures=(ZeroDivisionError(),))
    around = bench(camera)
    around.stream()
    (ended,) = eventually(lambda: around.api.ended)
    assert ended.code == "internal_error"
    assert "reading failed" in caplog.text


def test_a_file_is_played_at_its_own_speed_and_ends(bench):
    camera = Camera(lasts=10, bulk=True, recorded=True, stamp=lambda n: n / 20)
    around = bench(camera)
    start = time.monotonic()
    around.stream(StreamSource(url="file:///video.mp4"), max_age_ms=60_000)
    (ended,) = eventually(lambda: around.api.ended)
    assert time.monotonic() - start >= 0.45
    assert ended.code == "source_ended"
    # A slow machine drops some, but not the last one.
    rows = around.api.rows
    frames = [row["frame"] for row in rows]
    assert frames == sorted(set(frames))
    assert frames[-1] == 9
    first, last = (datetime.fromisoformat(rows[n]["captured_at"]) for n in (0, -1))
    assert (last - first).total_seconds() >= rows[-1]["pts_s"] - rows[0]["pts_s"] - 0.05
    assert around.frames["analysed"] == len(rows)
    assert around.frames["analysed"] + around.frames.get("dropped_busy", 0) == 10


def test_a_looped_file_begins_again(bench):
    camera = Camera(lasts=10, bulk=True, recorded=True, stamp=lambda n: (n % 10) / 20)
    around = bench(camera)
    around.stream(StreamSource(url="file:///video.mp4", loop=True))
    eventually(lambda: camera.opened >= 3)
    pts = [row["pts_s"] for row in around.api.rows]
    assert pts == sorted(set(pts))
    assert not around.api.ended


def test_jobs_do_not_give_way_to_a_frame_that_waits_for_the_engine(bench):
    around = bench(Camera(), silent=True)
    around.stream(max_age_ms=60_000)
    eventually(lambda: around.around.precedence._streams and around.slots.taken)
    began = time.monotonic()
    for _ in range(100):
        around.around.precedence.give_way()
        time.sleep(0.002)
    assert time.monotonic() - began < 2.5  # 50 ms each, were it so


def test_a_looped_file_without_a_sound_frame_is_not_read_again_and_again_without_a_pause(bench):
    camera = Camera(lasts=10, bulk=True, recorded=True, broken=frozenset(range(10_000)))
    around = bench(camera)
    around.stream(StreamSource(url="file:///video.mp4", loop=True))
    eventually(lambda: camera.opened >= 2)
    assert around.api.statuses[-1].state == StreamState.RECONNECTING
    assert around.api.statuses[-1].code == "source_lost"
    assert camera.given <= 40


def test_a_change_of_size_is_followed(bench):
    # By the rows there are and not by the frame's number: of the first ten none may get a row.
    around = bench(Camera(shows=lambda n: image(n, (64, 36) if len(around.api.rows) < 10 else (128, 72))))
    around.stream()
    eventually(lambda: {(row["width"], row["height"]) for row in around.api.rows} == {(64, 36), (128, 72)})
    eventually(lambda: around.api.statuses[-1].width == 128)


def test_recurrent_state_is_forgotten_after_a_reconnect(bench):
    around = bench(Camera(lasts=6), recurrent=True)
    around.stream()

    def counts():
        rows = list(around.api.rows)
        return [next(c["confidence"] for c in row["classes"] if c["label"] == "b") for row in rows]

    eventually(lambda: len(around.engine.resets) >= 2 and counts().count(0.001) >= 2)
    assert max(counts()) <= 0.006


def test_a_stream_goes_on_by_itself_when_the_engine_is_back(bench):
    camera = Camera()
    around = bench(camera)
    stream = around.stream()
    eventually(lambda: len(around.api.rows) >= 5)
    around.engine.close()
    eventually(lambda: around.api.statuses[-1].code == "engine_silent")
    assert around.api.statuses[-1].state == "running"
    before = len(around.api.rows)
    around.start_engine(incarnation=2)
    eventually(lambda: len(around.api.rows) >= before + 5)
    eventually(lambda: around.api.statuses[-1].code == "")
    stop(around, stream)
    assert around.frames["dropped_busy"] >= 1
    assert camera.given - 1 <= delivered(around) <= camera.given
    assert around.slots.taken == 0


def test_what_a_silent_engine_was_asked_is_asked_back_and_lost(bench):
    around = bench(Camera(), recurrent=True)
    around.engine.silent = True
    around.stream()
    eventually(lambda: around.frames.get("lost"))
    around.engine.silent = False
    eventually(lambda: around.api.rows)
    assert around.frames["lost"] <= 2


def test_a_model_that_is_not_loaded_is_waited_for(bench):
    around = bench(Camera())
    around.engine.missing = True
    around.stream()
    eventually(lambda: around.api.statuses and around.api.statuses[-1].code == "model_not_loaded")
    around.engine.missing = False
    eventually(lambda: around.api.rows)
    eventually(lambda: around.api.statuses[-1].code == "")
    assert around.frames["inference_error"] <= 10


def test_a_slow_api_process_costs_old_rows_and_stops_nothing(bench):
    camera = Camera()
    around = bench(camera)
    around.api.takes = False
    around.stream()
    eventually(lambda: len(around.api.rows) >= 4)
    eventually(lambda: camera.given >= 20)
    assert len(around.api.rows) <= 8
    around.api.takes = True
    eventually(lambda: len(around.api.rows) >= 20)
    assert around.frames["analysed"] >= 20


def test_another_analysis_takes_effect_without_a_new_connection(bench):
    camera = Camera()
    around = bench(camera)
    stream = around.stream()
    eventually(lambda: len(around.api.rows) >= 5)
    stream.change(ChangeStream("cam", 1, b'{"labels": ["a"]}', around.bundle))
    eventually(lambda: around.api.rows[-1]["classes"] and len(around.api.rows[-1]["classes"]) == 1)
    assert camera.opened == 1


def test_another_model_takes_over_without_a_lost_frame(bench):
    camera = Camera()
    around = bench(camera)
    stream = around.stream(max_age_ms=60_000)
    eventually(lambda: len(around.api.rows) >= 5)
    newer = around.bundle_of(manifest().model_copy(update={"version": 2}))
    stream.change(ChangeStream("cam", 1, b'{"max_age_ms": 60000}', newer))
    eventually(lambda: around.api.rows[-1]["model"] == "fake@2")
    stop(around, stream)
    assert camera.opened == 1
    assert set(around.frames) <= {"analysed", "cancelled", "dropped_busy"}
    assert around.frames.get("cancelled", 0) <= 1


def test_a_stopped_stream_says_so_at_once_even_if_its_source_hangs(bench):
    hanging = threading.Event()

    def open_live(source, row):
        with row.inside(Call.OPEN):
            hanging.wait(120)  # for longer than is waited for the stream
        raise SourceUnreachable("Nobody.")

    around = bench(open_live)
    stream = around.stream()
    eventually(lambda: any(seen.call is Call.OPEN for seen in around.calls.seen(0)))
    stop(around, stream)
    assert around.api.ended[0].code == ""
    assert [seen.owner for seen in around.calls.seen(0)] == ["cam"]
    hanging.set()
    eventually(lambda: not around.calls.seen(0))


def test_a_stream_has_two_threads_and_leaves_none(bench):
    before = set(threading.enumerate())
    around = bench(Camera())
    stream = around.stream()
    eventually(lambda: around.api.rows)
    mine = [thread.name for thread in threading.enumerate() if thread.name.startswith("cam")]
    assert len(mine) == 2
    stop(around, stream)
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("cam")])
    assert before <= set(threading.enumerate())


def test_a_source_that_is_late_for_long_is_connected_anew(bench):
    # Its clock stands behind ours: no backlog, and yet every frame looks older than the one before.
    camera = Camera(fps=50, stamp=lambda n: n / 200)
    around = bench(camera)
    around.stream(max_age_ms=50)
    eventually(lambda: camera.opened >= 2)
    late = [status for status in around.api.statuses if status.state is not StreamState.RUNNING]
    assert "source_late" in {status.code for status in late}


def test_a_backlog_that_one_new_connection_ends_says_nothing_of_the_next_one(bench, monkeypatch, caplog):
    monkeypatch.setattr(walk, "_LATE_S", 1.0)
    camera = Camera(hold=lambda n: 1.0 if camera.opened == 1 and n >= 20 else 0.0)
    around = bench(camera)
    around.stream(max_age_ms=300)
    eventually(lambda: camera.opened >= 2)
    rows = len(around.api.rows)
    eventually(lambda: len(around.api.rows) > rows + 40)
    assert camera.opened == 2
    assert "time stamps run behind" not in caplog.text
