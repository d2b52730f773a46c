"""Jobs stand back while a frame of a stream waits in their worker."""

import threading
import time
from types import SimpleNamespace

from worker_builders import FakeSource, counted

from server.domain.outcome import Outcome
from server.worker.precedence import Precedence


def stream(waiting=True):
    return SimpleNamespace(waiting=waiting)


def test_a_job_goes_on_at_once_where_no_stream_waits():
    precedence = Precedence(patience_s=60)
    precedence.give_way()
    with precedence.given(stream(waiting=False)):
        precedence.give_way()
    with precedence.given(stream()):
        pass
    precedence.give_way()  # it has ended


def test_a_job_waits_until_the_frame_was_taken():
    precedence, camera = Precedence(patience_s=60), stream()
    start = time.monotonic()
    threading.Timer(0.2, lambda: setattr(camera, "waiting", False)).start()
    with precedence.given(stream(waiting=False)), precedence.given(camera):
        precedence.give_way()
    assert time.monotonic() - start > 0.2


def test_a_job_beside_streams_that_always_wait_is_slow_and_does_not_stand_still(bench):
    precedence = Precedence(patience_s=0.1)
    around = bench()
    with precedence.given(stream()):
        walk = around.walk(FakeSource(5), give_way=precedence.give_way)
        start = time.monotonic()
        walk.run()
    assert time.monotonic() - start > 0.3
    assert counted(walk) == {Outcome.ANALYSED: 5}
