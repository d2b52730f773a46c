"""What the log says of a stream, by its name: that it runs, and what is wrong with it, the same less and less often."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from server.domain.stream import StreamState

_log = logging.getLogger(__name__)

_FIRST_S, _LONGEST_S = 60.0, 3600.0
_HOW = {
    StreamState.STARTING: "does not start",
    StreamState.RECONNECTING: "gives no frames",
    StreamState.FAILED: "has failed",
    StreamState.RUNNING: "goes on as it was",
}


class Diary:
    """Of one stream.

    Args:
        id: of the stream.
        now: seconds of a clock that does not jump.
    """

    def __init__(self, id: str, now: Callable[[], float] = time.monotonic) -> None:
        self._id = id
        self._now = now
        # By code: when it is said again, and how long after that once more.
        self._said: dict[str, tuple[float, float]] = {}
        self._troubled_at: float | None = None
        self._ran = False

    def runs(self, name: str) -> None:
        """Frames come. That is said the first time, and after trouble that was."""
        if self._troubled_at is not None:
            lasted = f" again, after {self._now() - self._troubled_at:.0f} s" if self._ran else ""
            _log.info("stream %r runs%s", name, lasted, extra={"stream": self._id})
        elif not self._ran:
            _log.info("stream %r runs", name, extra={"stream": self._id})
        self._troubled_at, self._ran = None, True

    def trouble(self, name: str, state: StreamState, code: str, message: str) -> None:
        """Something is wrong with it. The same is said again after one minute, two, four …, and then every hour."""
        now = self._now()
        due, pause_s = self._said.get(code, (now, 0.0))
        if now < due:
            return
        pause_s = min(2.0 * pause_s, _LONGEST_S) if pause_s and now - due < _LONGEST_S else _FIRST_S
        self._said[code] = now + pause_s, pause_s
        if self._troubled_at is None and state is not StreamState.RUNNING:
            self._troubled_at = now
        _log.warning("stream %r %s: %s", name, _HOW[state], message, extra={"stream": self._id, "code": code})

    def moved(self, name: str) -> None:
        """It is given to another worker, and nothing is wrong."""
        _log.info("stream %r is moved to another worker", name, extra={"stream": self._id})

    def changed(self) -> None:
        """It is another one now: what is wrong with that is news."""
        self._said.clear()
