"""A stream's results on their way to the API process: at once, and never waiting for it."""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

import msgspec
import zmq

from server.core.metrics_page import Recorder
from server.domain.event import Event
from server.domain.result import Row
from server.wire.messages import Looked, Reached, RowsTaken, StreamEnded, StreamRows, StreamStatus
from server.wire.sockets import Dealer

_CREDITS = 4
_MOST_BYTES = 1024 * 1024

_encoder = msgspec.json.Encoder()


class _Waiting(NamedTuple):
    line: bytes
    captured: float


class LivePublisher:
    """Sends rows and events as NDJSON. While the API process takes none, the oldest rows give way, and are counted;
    events never do.

    Args:
        context: for the socket, which belongs to the calling thread.
        address: of the API process.
        row: of the metrics page, the stream's own.
        most_bytes: of rows that wait.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        identity: str,
        incarnation: int,
        *,
        stream: str,
        attempt: int,
        recorder: Recorder,
        row: int,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        self._dealer = Dealer(context, address, identity, incarnation)
        self._stream = stream
        self._attempt = attempt
        self._recorder = recorder
        self._row = row
        self._most_bytes = most_bytes
        self._rows: deque[_Waiting] = deque()
        self._bytes = 0
        self._events = bytearray()
        self._lost = 0
        self._reached = Reached()
        self._under_way = 0
        self.result_at = 0.0

    def add(self, row: Row, captured: float, *, last_track: int = 0) -> None:
        """Take a frame's row.

        Args:
            captured: CLOCK_MONOTONIC seconds.
            last_track: the highest id that a track has been given so far.
        """
        self._reached = Reached(row.frame, row.pts_s, last_track)
        line = _encoder.encode(row) + b"\n"
        self._rows.append(_Waiting(line, captured))
        self._bytes += len(line)
        while self._bytes > self._most_bytes:
            self._bytes -= len(self._rows.popleft().line)
            self._lost += 1

    def add_events(self, events: list[Event]) -> None:
        for event in events:
            _encoder.encode_into(event, self._events, -1)
            self._events += b"\n"

    def flush(self) -> None:
        """Send what there is, if the API process has taken what was sent before."""
        while (received := self._dealer.recv(0.0)) is not None:
            if isinstance(received.message, RowsTaken):
                self._under_way -= received.message.count
        if self._under_way >= _CREDITS or not (self._rows or self._events):
            return
        rows = b"".join(waiting.line for waiting in self._rows)
        message = StreamRows(self._stream, self._attempt, self._lost, self._reached)
        self._dealer.send(message, [rows, bytes(self._events)])
        now = time.monotonic()
        for waiting in self._rows:
            self._recorder.result_age(self._row, now - waiting.captured)
        if self._rows:
            self.result_at = now
        self._under_way += 1
        self._rows.clear()
        self._events.clear()
        self._bytes = self._lost = 0

    def tell(self, status: StreamStatus) -> None:
        self._dealer.send(status)

    def show(self, looked: Looked, jpeg: bytes) -> None:
        self._dealer.send(looked, [jpeg] if jpeg else [])

    def end(self, ended: StreamEnded) -> None:
        """Send the rest and the last word, whatever waits."""
        self._under_way = 0
        self.flush()
        self._dealer.send(ended)

    def close(self) -> None:
        self._dealer.close()
