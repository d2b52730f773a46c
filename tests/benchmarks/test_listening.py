from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.cameras.listening import Heard, Listener, disorder

ROWS = """\
retry: 2000

id: 1-1
event: result
data: {"stream":"a","frame":3,"pts_s":0.3,"captured_at":"2026-11-25T10:00:00.500Z","width":8,"height":8,"model":"m@1"}

event: gap
data: {"type":"gap","reason":"slow","stream":"a","value":4}

: nothing new

id: 1-2
event: state
data: {"type":"stream_state","stream":"a","state":"running"}

id: 1-3
event: result
data: {"stream":"a","frame":9,"pts_s":0.9,"captured_at":"2026-11-25T10:00:01.100Z","width":8,"height":8,"model":"m@1"}

"""


@pytest.fixture
def address() -> Iterator[str]:
    """Of a server that sends those rows to whoever subscribes, and then says nothing more."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(ROWS.encode())
            over.wait()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        over.set()
        server.shutdown()


def test_rows_are_kept_with_their_age_and_gaps_are_counted(address: str) -> None:
    before = time.time()
    with Listener(address, ["a"]) as listener:
        until = time.monotonic() + 10
        while len(listener.heard("a")) < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
        heard = listener.heard("a")
        assert [(row.frame, row.pts_s) for row in heard[:2]] == [(3, 0.3), (9, 0.9)]
        assert heard[0].captured_at == 1795600800.5
        assert heard[0].age_s == heard[0].at - heard[0].captured_at
        assert len(listener.since("a", before)) == len(heard)
        assert listener.since("a", time.time() + 1) == []
        assert listener.gaps >= 4


def test_rows_that_go_back_in_frame_or_time_are_counted():
    def rows(*moments):
        return [Heard(0.0, frame, pts_s, captured_at, {}) for frame, pts_s, captured_at in moments]

    assert disorder(rows((1, 0.1, 5.0), (2, 0.2, 5.1), (7, 0.9, 5.05)), 10) == 0
    assert disorder(rows((1, 0.1, 5.0), (1, 0.2, 5.1), (2, 0.2, 5.2), (3, 0.3, 5.0)), 10) == 3
