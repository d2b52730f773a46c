"""A live source's two clocks: media time that only rises, and the moment at which a frame was captured.

Pure: the moments of arrival are arguments, in seconds of any clock that does not jump (CLOCK_MONOTONIC).
"""

from __future__ import annotations

from collections import deque

_JUMP_S = 2.0
"""Time stamps that run ahead of the frames' arrival by more than this have jumped; a backlog never does that."""
_LEAST_STEP_S = 0.001
_WINDOW_S = 120.0
_BUCKET_S = 5.0


class MediaClock:
    """Media time in seconds from the first frame on, rising strictly, whatever the source's time stamps do.

    They are followed where they rise. Where there are none, or they fall, stand still or jump, a frame is dated by its
    arrival, and those after it by what their time stamps say from there on. So it is after a reconnect, too.

    Args:
        start_s: media time at the moment `at`, of a source that was read before; the first frame comes later.
        at: a moment on the clock of the arrivals; None: media time begins with the first frame.
    """

    def __init__(self, start_s: float = 0.0, at: float | None = None) -> None:
        self._shift_s: float | None = None
        self._last_s = start_s
        self._arrived = at

    def next(self, stamp_s: float | None, arrived: float) -> tuple[float, bool]:
        """Date the next frame.

        Args:
            stamp_s: the source's time stamp in seconds; None where it has none.
            arrived: when it came.

        Returns:
            Its media time, and whether the time stamps jumped there.
        """
        if self._arrived is None:
            self._arrived = arrived
            self._shift_s = None if stamp_s is None else self._last_s - stamp_s
            return self._last_s, False
        elapsed_s = max(arrived - self._arrived, 0.0)
        self._arrived = arrived
        jumped = False
        if stamp_s is not None and self._shift_s is not None:
            step_s = stamp_s + self._shift_s - self._last_s
            if _LEAST_STEP_S / 2 < step_s <= elapsed_s + _JUMP_S:
                self._last_s += step_s
                return self._last_s, False
            jumped = abs(step_s) > _JUMP_S
        self._last_s += max(elapsed_s, _LEAST_STEP_S)
        self._shift_s = None if stamp_s is None else self._last_s - stamp_s
        return self._last_s, jumped

    def stamped(self, stamp_s: float) -> float | None:
        """The media time of a time stamp that is not a frame's yet; None while nobody knows."""
        return None if self._shift_s is None else stamp_s + self._shift_s

    def break_off(self) -> None:
        """The source begins anew: its time stamps from here on have nothing to do with those before."""
        self._shift_s = None


class CaptureClock:
    """When a frame was captured: its media time plus the smallest (arrival - media time) of the last two minutes.

    The frame that was quickest to arrive says how the source's clock stands to ours; one that comes later than that has
    been held up on its way, by as much. What all frames have in common, the way of the quickest, cannot be seen.
    """

    def __init__(self, window_s: float = _WINDOW_S) -> None:
        self._window_s = window_s
        # The smallest of every few seconds: (their beginning, its value).
        self._least: deque[tuple[float, float]] = deque()

    def observe(self, pts_s: float, arrived: float) -> None:
        """Something with this media time has arrived."""
        offset = arrived - pts_s
        if self._least and arrived - self._least[-1][0] < _BUCKET_S:
            since, least = self._least[-1]
            self._least[-1] = since, min(least, offset)
        else:
            self._least.append((arrived, offset))
        while arrived - self._least[0][0] > self._window_s:
            self._least.popleft()

    def captured(self, pts_s: float) -> float:
        """When the frame with this media time was captured, on the clock of the arrivals; after an `observe`."""
        return pts_s + min(least for _, least in self._least)

    def restart(self) -> None:
        """What was observed holds no more."""
        self._least.clear()


class Metronome:
    """Lets frames go at the speed of their media time, where a source gives many at once (a file, HLS)."""

    _SLACK_S = 1.0

    def __init__(self) -> None:
        self._start: float | None = None

    def due(self, pts_s: float, now: float) -> float:
        """When the frame with this media time shall go; a source that was late goes on from there, without a rush."""
        if self._start is None or now - (self._start + pts_s) > self._SLACK_S:
            self._start = now - pts_s
        return self._start + pts_s


class Rate:
    """Frames a second, as measured over the last few seconds."""

    _SPAN_S = 10.0
    _MOST = 64

    def __init__(self) -> None:
        self._moments: deque[float] = deque(maxlen=self._MOST)

    def tick(self, now: float) -> None:
        """A frame has come."""
        self._moments.append(now)

    def per_s(self, now: float) -> float:
        """0 where none came for a while."""
        while self._moments and now - self._moments[0] > self._SPAN_S:
            self._moments.popleft()
        if len(self._moments) < 2:
            return 0.0
        return (len(self._moments) - 1) / max(self._moments[-1] - self._moments[0], 1e-3)
