"""The newest frame of a stream, as the pipeline takes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event as Flag

from server.analytics.scene import Moment
from server.core.calls import Call, CallRow
from server.core.metrics_page import Recorder
from server.domain.outcome import Outcome
from server.worker.frames import Outcomes, Turn
from server.worker.live.intake import Intake
from server.worker.live.looks import Looks
from server.worker.live.pictures import Pictures
from server.worker.source import Frame


@dataclass
class LiveFrames:
    """Makes pictures of frames whose turn has come; those that are too old by then are dropped.

    Args:
        row: of the page of calls, the calling thread's.
        max_age_s: what is older when its turn comes is not worth analysing.
        looks: who wants to see the pictures.
        cancelled: set to end the stream.
    """

    intake: Intake
    row: CallRow
    recorder: Recorder
    cancelled: Flag
    max_age_s: float
    looks: Looks
    clock: Callable[[], float] = time.perf_counter
    over: bool = False
    _begins: bool = False
    _passed: Outcomes = field(default_factory=dict)
    _pictures: Pictures = field(default_factory=Pictures)
    _stale: tuple[float, float] | None = None

    @property
    def waiting(self) -> bool:
        return self.intake.waiting

    @property
    def descriptor(self) -> int:
        return self.intake.descriptor

    @property
    def late_s(self) -> float:
        """How long every frame has been too old."""
        return self._stale[1] - self._stale[0] if self._stale else 0.0

    def forget_lateness(self) -> None:
        """Frames that were too old until now say nothing of those to come."""
        self._stale = None

    def next(self) -> tuple[Frame, Turn] | None:
        taken = self.intake.take()
        if taken is None:
            return None
        live, begins = taken
        self._begins |= begins
        now = time.monotonic()
        if now - live.due > self.max_age_s:
            self._stale = self._stale[0] if self._stale else now, now
            self._pass(Outcome.DROPPED_STALE)
            return None
        self._stale = None
        start = self.clock()
        with self.row.inside(Call.RETRIEVE):
            picture = self._pictures.of(live.image, live.turned)
        if picture is None:
            self._pass(Outcome.DECODE_ERROR)
            return None
        self.recorder.stage("decode", self.clock() - start)
        self.looks.see(live.index, picture)
        height, width = picture.shape[:2]
        captured_s = time.time() - (time.monotonic() - live.captured)
        moment = Moment(live.index, live.pts_s, width, height, captured_s)
        begins, self._begins = self._begins, False
        return picture, Turn(moment, {}, captured=live.captured, deadline=live.due + self.max_age_s, begins=begins)

    def take_passed(self) -> Outcomes:
        passed, self._passed = self._passed, {}
        for outcome, count in self.intake.take_passed().items():
            passed[outcome] = passed.get(outcome, 0) + count
        return passed

    def _pass(self, outcome: Outcome) -> None:
        self._passed[outcome] = self._passed.get(outcome, 0) + 1
