"""From the source to a picture: the next wanted frame, and what ended before it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event as Flag
from typing import Protocol

from server.analytics.gate import GateMemory
from server.analytics.mosaic import Tile
from server.analytics.scene import Moment
from server.core.metrics_page import Recorder
from server.domain.outcome import Outcome
from server.wire.messages import FrameRef
from server.worker.sampling import Sampler
from server.worker.source import Frame, Source

Outcomes = dict[Outcome, int]


@dataclass(slots=True)
class Turn:
    """A wanted frame, which is accounted for when its turn in the order of the video has come.

    Attributes:
        passed: frames that ended between the one before and this one, by outcome.
        sampler: its state after this frame.
        tiles: where on the model's input its parts lie; None: the input is this frame; none: nothing moved.
        gate: what the gate remembers after this frame, where there is one.
    """

    moment: Moment
    passed: Outcomes
    sampler: float
    tiles: tuple[Tile, ...] | None = None
    gate: GateMemory | None = None

    @property
    def looked_at(self) -> bool:
        """Whether the model is asked about it."""
        return self.tiles is None or bool(self.tiles)


@dataclass(slots=True)
class Sheet:
    """An input of the model and the frames that it answers for, in order.

    Attributes:
        frame: the slot that holds it; None where the model need not be asked.
    """

    turns: list[Turn]
    frame: FrameRef | None


class Feed(Protocol):
    """Turns frames into inputs of the model.

    Attributes:
        sheets: that are ready, in order; to be taken from here.
        over: no more come.
    """

    sheets: deque[Sheet]

    @property
    def over(self) -> bool: ...

    def advance(self) -> bool:
        """Move on by about a frame; False, and nothing done, at the end or while no slot is free."""
        ...

    def finished(self, turn: Turn) -> None:
        """A frame is accounted for, and all before it."""
        ...

    def state(self, timeout_s: float) -> bytes | None:
        """What it takes to go on after the last finished frame, beyond the frames; None if the engine is silent."""
        ...

    def restore(self, state: bytes) -> None:
        """Go on from a `state()`, before the first frame."""
        ...

    def let_go(self) -> tuple[list[Turn], Outcomes]:
        """Give back every slot: the frames that are in hand, and those that ended after the last of them."""
        ...

    def close(self) -> None: ...


@dataclass
class Frames:
    """The wanted frames of a source.

    Args:
        cancelled: set from outside to stop at the next frame.
        clock: monotonic seconds, to measure how long things take.
    """

    source: Source
    sampler: Sampler
    recorder: Recorder
    cancelled: Flag
    clock: Callable[[], float] = time.perf_counter
    _passed: Outcomes = field(default_factory=dict)
    _picture: Frame | None = None

    def next(self) -> tuple[Frame, Turn] | None:
        """Decode up to the next wanted frame; None at the end. The picture is valid until the next call."""
        while not self.cancelled.is_set():
            start = self.clock()
            if not self.source.grab():
                break
            if not self.sampler.wants(self.source.pts_s):
                self._pass(Outcome.SAMPLED_OUT)
                continue
            picture = self.source.retrieve(self._picture)
            if picture is None:
                self._pass(Outcome.DECODE_ERROR)
                continue
            self.recorder.stage("decode", self.clock() - start)
            self._picture = picture
            height, width = picture.shape[:2]
            moment = Moment(self.source.index, self.source.pts_s, width, height)
            return picture, Turn(moment, self.take_passed(), self.sampler.state())
        return None

    def take_passed(self) -> Outcomes:
        """The frames that ended since the last wanted one; they are the caller's to count."""
        passed, self._passed = self._passed, {}
        return passed

    def _pass(self, outcome: Outcome) -> None:
        self._passed[outcome] = self._passed.get(outcome, 0) + 1
