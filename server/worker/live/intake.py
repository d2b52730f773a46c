"""What a stream's decoding thread hands over: the newest frame, what became of the others, and how the source is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from threading import Lock

from av.video.frame import VideoFrame

from server.domain.outcome import Outcome
from server.domain.stream import StreamState
from server.worker.frames import Outcomes


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """A decoded frame that waits for its turn; not yet a picture, so that nothing is spent on one that is replaced.

    Attributes:
        index: in the stream, from 0, also over reconnects.
        pts_s: media time in seconds.
        captured: CLOCK_MONOTONIC seconds; of a source that gives many frames at once, when its turn came.
        due: when it would have been here had nothing held it up but what holds up every frame of its source; from then
            on its age counts against `max_age_ms`.
        begins: the source begins anew here: after a (re)connect or a gap.
        turned: quarter turns against the clock to set it upright.
    """

    index: int
    pts_s: float
    captured: float
    due: float
    image: VideoFrame
    begins: bool = False
    turned: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """How the source is.

    Attributes:
        state: `starting`, `running` or `reconnecting`; `ended` or `failed` where it is not tried again.
        code, message: why it does not run.
        retry_at: CLOCK_MONOTONIC seconds of the next try; 0 where none is due.
        refusals: of the credentials since the last frame.
        frame_at: CLOCK_MONOTONIC seconds at which the last frame came; 0 before the first.
    """

    state: StreamState = StreamState.STARTING
    code: str = ""
    message: str = ""
    retry_at: float = 0.0
    reconnects: int = 0
    refusals: int = 0
    codec: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    frame_at: float = 0.0


class Intake:
    """Between two threads, without a queue: there is at most one frame in it.

    Attributes:
        descriptor: readable while there is something new; `take` and `look` do not change that, `hush` does.
        looked_for: the next frame is wanted, whatever is sampled; set by who takes, and taken back by who puts.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._frame: LiveFrame | None = None
        self._begins = False
        self._passed: Outcomes = {}
        self._link = Link()
        self._rung = False
        self.looked_for = False
        self.descriptor, self._bell = os.pipe()

    # ── the decoding thread ──────────────────────────────────────────────────────────────────────────────────────

    def put(self, frame: LiveFrame) -> None:
        """The newest frame wins; the one that it replaces was not taken in time."""
        with self._lock:
            if self._frame is not None:
                self._count(Outcome.DROPPED_BUSY)
            self._begins |= frame.begins
            self._frame = frame
            self._ring()

    def pass_by(self, outcome: Outcome) -> None:
        """A frame has ended without being handed over."""
        with self._lock:
            self._count(outcome)

    def say(self, link: Link) -> None:
        """How the source is now; a change of its state wakes who waits."""
        with self._lock:
            if link.state is not self._link.state:
                self._ring()
            self._link = link

    # ── the other thread ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def waiting(self) -> bool:
        """Whether there is a frame."""
        return self._frame is not None

    @property
    def link(self) -> Link:
        return self._link

    def take(self) -> tuple[LiveFrame, bool] | None:
        """The newest frame, and whether the source has begun anew since the one taken before."""
        with self._lock:
            frame, self._frame = self._frame, None
            if frame is None:
                return None
            begins, self._begins = self._begins, False
            return frame, begins

    def take_passed(self) -> Outcomes:
        """The frames that ended since this was asked last."""
        with self._lock:
            passed, self._passed = self._passed, {}
            return passed

    def hush(self) -> None:
        """What is new has been heard of; before looking, not after."""
        with self._lock:
            if self._rung:
                os.read(self.descriptor, 1)
                self._rung = False

    def close(self) -> None:
        """No frame is taken any more; the decoding thread may still put some."""
        with self._lock:
            os.close(self.descriptor)
            os.close(self._bell)
            self._bell = -1

    def _ring(self) -> None:
        if not self._rung and self._bell >= 0:
            os.write(self._bell, b"!")
            self._rung = True

    def _count(self, outcome: Outcome) -> None:
        self._passed[outcome] = self._passed.get(outcome, 0) + 1
