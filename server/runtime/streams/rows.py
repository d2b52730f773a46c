"""The rows of the metrics page that streams count in."""

from __future__ import annotations

from server.core.metrics import Metrics, StreamRow
from server.core.metrics_page import JOBS_ROW, STREAM_ROWS, Page
from server.domain.outcome import Outcome


class StreamRows:
    """Gives rows out. One that a stream has left is given to another one only when no worker writes there any more."""

    def __init__(self, page: Page, metrics: Metrics) -> None:
        self._page = page
        self._rows = metrics.rows.streams
        self._free = [row for row in range(STREAM_ROWS) if row != JOBS_ROW]

    @property
    def most(self) -> int:
        """Streams that there may ever be at a time."""
        return STREAM_ROWS - 1

    def take(self, known: StreamRow) -> int:
        """A row for a stream, with nothing in it."""
        row = self._free.pop(0)
        self._page.forget_stream(row)
        self._rows[row] = known
        return row

    def forget(self, row: int) -> None:
        """The stream is deleted: its series go."""
        self._rows.pop(row, None)

    def free(self, row: int) -> None:
        """Nobody writes there any more."""
        self._free.append(row)

    def frames(self, row: int) -> dict[Outcome, int]:
        """Frames of a stream by outcome, those there are."""
        return {outcome: int(count) for outcome, count in self._page.frames(row).items() if count}
