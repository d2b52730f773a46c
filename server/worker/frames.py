"""From the source to a picture: the next wanted frame, and what ended before it; and what makes inputs of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event as Flag
from typing import Protocol

from model_export.sampling import Sampler
from server.analytics.gate import GateMemory
from server.analytics.mosaic import Tile
from server.analytics.scene import Moment
from server.core.metrics_page import Recorder
from server.domain.outcome import Outcome
from server.wire.messages import FrameRef
from server.worker.source import Frame, Source

Outcomes = dict[Outcome, int]


@dataclass(slots=True)
class Turn:
    """A wanted frame, which is accounted for when its turn in the order of the video has come.

    Attributes:
        passed: frames that ended between the one before and this one, by outcome.
        sampler: its state after this frame.
        captured, deadline: of a live frame, CLOCK_MONOTONIC seconds: when it was, and until when it is worth anything.
        begins: the source begins anew here: what remembers the frames before must forget them.
        tiles: where on the model's input its parts lie; None: the input is this frame; none: nothing moved.
        gate: what the gate remembers after this frame, where there is one.
    """

    moment: Moment
    passed: Outcomes
    sampler: float = 0.0
    captured: float | None = None
    deadline: float | None = None
    begins: bool = False
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

    @property
    def deadline(self) -> float | None:
        """Until when the answer is worth anything."""
        return self.turns[-1].deadline

    @property
    def begins(self) -> bool:
        return any(turn.begins for turn in self.turns)


class Frames(Protocol):
    """The wanted frames of a source, in order.

    Attributes:
        recorder: where they are measured.
        cancelled: set from outside to stop at the next frame.
        clock: monotonic seconds, to measure how long things take.
        over: no more come.
        waiting: `next` would have one, as far as anybody knows.
        descriptor: readable when one may have come; None where `next` itself waits for them.
    """

    @property
    def recorder(self) -> Recorder: ...
    @property
    def cancelled(self) -> Flag: ...
    @property
    def clock(self) -> Callable[[], float]: ...
    @property
    def over(self) -> bool: ...
    @property
    def waiting(self) -> bool: ...
    @property
    def descriptor(self) -> int | None: ...

    def next(self) -> tuple[Frame, Turn] | None:
        """The next wanted frame; None where there is none (yet). The picture is valid until the next call."""
        ...

    def take_passed(self) -> Outcomes:
        """The frames that ended since the last wanted one; they are the caller's to count."""
        ...


class Feed(Protocol):
    """Turns frames into inputs of the model.

    Attributes:
        sheets: that are ready, in order; to be taken from here.
        listens: it is told by `listen` of frames that come while no more inputs may be ready.
        over: no more come.
    """

    sheets: deque[Sheet]
    listens: bool

    @property
    def over(self) -> bool: ...

    def listen(self) -> None:
        """Take what waits, although it cannot be asked about."""
        ...

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
class FileFrames:
    """The wanted frames of a file, which are decoded when they are asked for: none is lost."""

    source: Source
    sampler: Sampler
    recorder: Recorder
    cancelled: Flag
    clock: Callable[[], float] = time.perf_counter
    over: bool = False
    descriptor: None = None
    _passed: Outcomes = field(default_factory=dict)
    _picture: Frame | None = None

    @property
    def waiting(self) -> bool:
        return not self.over

    def next(self) -> tuple[Frame, Turn] | None:
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
        self.over = True
        return None

    def take_passed(self) -> Outcomes:
        passed, self._passed = self._passed, {}
        return passed

    def _pass(self, outcome: Outcome) -> None:
        self._passed[outcome] = self._passed.get(outcome, 0) + 1
