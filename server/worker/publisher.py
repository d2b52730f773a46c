"""A job's results on their way to the API process: gathered, sent in pieces, never more under way than it takes."""

from __future__ import annotations

import time

import msgspec
import zmq

from server.domain.event import Event
from server.domain.result import Row
from server.wire.messages import JobCheckpoint, JobEnded, JobProgress, JobRows, RowsTaken
from server.wire.sockets import Dealer

_CREDITS = 4
_PIECE_BYTES = 64 * 1024
_PIECE_S = 0.5

_encoder = msgspec.json.Encoder()


class Publisher:
    """Sends rows and events as NDJSON. When the API process is slow, the sender waits: nothing of a job is dropped.

    Args:
        context: for the socket, which belongs to the calling thread.
        address: of the API process.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        identity: str,
        incarnation: int,
        *,
        job: str,
        attempt: int,
    ) -> None:
        self._dealer = Dealer(context, address, identity, incarnation)
        self._job = job
        self._attempt = attempt
        self._rows = bytearray()
        self._events = bytearray()
        self._under_way = 0
        self._sent_at = time.monotonic()

    def add(self, row: Row, events: list[Event]) -> None:
        """Take a frame's row and its events."""
        _encoder.encode_into(row, self._rows, -1)
        self._rows += b"\n"
        self.add_events(events)

    def add_events(self, events: list[Event]) -> None:
        for event in events:
            _encoder.encode_into(event, self._events, -1)
            self._events += b"\n"

    @property
    def due(self) -> bool:
        """Whether there is enough to send, or it has lain here for long enough."""
        size = len(self._rows) + len(self._events)
        return size >= _PIECE_BYTES or (size > 0 and time.monotonic() - self._sent_at >= _PIECE_S)

    def flush(self, progress: JobProgress, *, patience_s: float = 60.0) -> bool:
        """Send what there is; False if the API process has taken nothing for `patience_s`."""
        if not self._credit(patience_s):
            return False
        self._dealer.send(JobRows(self._job, self._attempt, progress), [bytes(self._rows), bytes(self._events)])
        self._under_way += 1
        self._rows.clear()
        self._events.clear()
        self._sent_at = time.monotonic()
        return True

    def checkpoint(self, next_frame: int, blob: bytes) -> None:
        """Say how to go on after the rows flushed so far."""
        self._dealer.send(JobCheckpoint(self._job, self._attempt, next_frame), [blob])

    def end(self, ended: JobEnded) -> None:
        self._dealer.send(ended)

    def close(self) -> None:
        self._dealer.close()

    def _credit(self, patience_s: float) -> bool:
        until = time.monotonic() + patience_s
        while True:
            # All that has come is read first; then only as long as there is no credit.
            wait_s = 0.0 if self._under_way < _CREDITS else max(0.0, until - time.monotonic())
            received = self._dealer.recv(wait_s)
            if received is not None and isinstance(received.message, RowsTaken):
                self._under_way -= received.message.count
            elif received is None:
                return self._under_way < _CREDITS
