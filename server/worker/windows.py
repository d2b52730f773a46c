"""For a model of kind `clip`: a window over the last frames, which moves on with every frame.

Until it is full its oldest frame stands for those that are missing.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import NamedTuple

import msgspec
import numpy as np

from model_export.geometry import fit
from model_export.manifest import FrameInput
from model_export.sampling import Sampler
from server.domain.outcome import Outcome
from server.wire.slots import Array
from server.worker.frames import Frames, Outcomes, Sheet, Turn
from server.worker.requests import Requests
from server.worker.source import Frame


class _State(msgspec.Struct, frozen=True, array_like=True):
    """The window after the last finished frame: its frames, one below the other, their indices, and the sampler."""

    shape: tuple[int, ...]
    indices: tuple[int, ...]
    frames: bytes
    sampler: float


_decoder = msgspec.msgpack.Decoder(_State)


class _Held(NamedTuple):
    """A fitted frame of the window, and the sampler after it."""

    frame: int
    fitted: Frame
    sampler: float


class Windows:
    """Asks about clips, uint8 [length, H, W, 3].

    Args:
        input: how a frame is fitted.
        length: frames of a clip.
        requests: has the slots.
        fps: clips asked about, a second of media time; None: one with every frame. Other frames move the window on, and
            count as not asked for.
        live: frames that come while no clip may be asked about move the window on too, so that it always holds
            what the model was trained on; they count as dropped.
    """

    def __init__(
        self,
        frames: Frames,
        input: FrameInput,
        length: int,
        requests: Requests,
        *,
        fps: float | None = None,
        live: bool = False,
    ) -> None:
        self.sheets: deque[Sheet] = deque()
        self.listens = live
        self._frames = frames
        self._input = input
        self._length = length
        self._requests = requests
        self._sampler = Sampler(fps)
        self._held: deque[_Held] = deque()
        """The window, and before it what a checkpoint of the last finished frame needs."""
        self._settled = -1, self._sampler.state()
        self._passed: Outcomes = {}
        self._spare: list[Frame] = []

    @property
    def over(self) -> bool:
        return self._frames.over

    def advance(self) -> bool:
        shape = (self._length, self._input.height, self._input.width, 3)
        place = self._requests.place(shape) if self._frames.waiting else None
        if place is None:
            if self.listens:
                self.listen()
            return False
        slot, array = place
        try:
            turn = self._take()
            if turn is None or not self._wanted(turn):
                self._requests.give(slot)
                return turn is not None
            self._write(array)
        except BaseException:
            self._requests.give(slot)
            raise
        self._carry(turn)
        self.sheets.append(Sheet([turn], slot))
        return True

    def listen(self) -> None:
        while self._frames.waiting and (turn := self._take()) is not None:
            self._pass(turn, Outcome.DROPPED_BUSY)

    def finished(self, turn: Turn) -> None:
        if self.listens:
            return  # a stream has no checkpoints
        last = turn.moment.frame
        self._settled = next((one.frame, one.sampler) for one in reversed(self._held) if one.frame <= last)
        self._trim()

    def state(self, timeout_s: float) -> bytes:
        index, sampler = self._settled
        kept = [one for one in self._held if one.frame <= index][-self._length :]
        return msgspec.msgpack.encode(
            _State(
                (self._input.height, self._input.width, 3),
                tuple(one.frame for one in kept),
                b"".join(one.fitted.tobytes() for one in kept),
                sampler,
            )
        )

    def restore(self, state: bytes) -> None:
        """
        Raises:
            ValueError: the state is that of other frames.
        """
        saved = _decoder.decode(state)
        if saved.shape != (self._input.height, self._input.width, 3):
            raise ValueError(f"the window held frames of {list(saved.shape)}")
        fitted = np.frombuffer(saved.frames, np.uint8).reshape(len(saved.indices), *saved.shape).copy()
        self._held = deque(_Held(index, one, saved.sampler) for index, one in zip(saved.indices, fitted, strict=True))
        self._sampler.restore(saved.sampler)
        self._settled = saved.indices[-1] if saved.indices else -1, saved.sampler

    def let_go(self) -> tuple[list[Turn], Outcomes]:
        passed, self._passed = self._passed, {}
        for outcome, count in self._frames.take_passed().items():
            passed[outcome] = passed.get(outcome, 0) + count
        return [], passed

    def close(self) -> None:
        pass

    def _take(self) -> Turn | None:
        """The next frame, which the window then holds as its last."""
        taken = self._frames.next()
        if taken is None:
            return None
        picture, turn = taken
        if turn.begins:
            self._spare += [one.fitted for one in self._held]
            self._held.clear()
        start = self._frames.clock()
        fitted = self._spare.pop() if self._spare else np.empty((self._input.height, self._input.width, 3), np.uint8)
        fit(picture, self._input, out=fitted)
        self._frames.recorder.stage("fit", self._frames.clock() - start)
        self._held.append(_Held(turn.moment.frame, fitted, self._sampler.state()))
        if self.listens:
            self._settled = turn.moment.frame, self._sampler.state()
        self._trim()
        return turn

    def _wanted(self, turn: Turn) -> bool:
        """Whether a clip that ends with the newest frame is asked about; else that has ended."""
        wanted = self._sampler.wants(turn.moment.pts_s)
        self._held[-1] = self._held[-1]._replace(sampler=self._sampler.state())
        if not wanted:
            self._pass(turn, Outcome.SAMPLED_OUT)
        return wanted

    def _pass(self, turn: Turn, outcome: Outcome) -> None:
        """A frame has ended without being asked about; the next one that is carries the news."""
        for ended, count in (*turn.passed.items(), (outcome, 1)):
            self._passed[ended] = self._passed.get(ended, 0) + count

    def _carry(self, turn: Turn) -> None:
        passed, self._passed = self._passed, {}
        for outcome, count in turn.passed.items():
            passed[outcome] = passed.get(outcome, 0) + count
        turn.passed = passed

    def _write(self, clip: Array) -> None:
        there = [one.fitted for one in islice(self._held, max(0, len(self._held) - self._length), None)]
        missing = self._length - len(there)
        clip[:missing] = there[0]
        for place, fitted in enumerate(there, start=missing):
            clip[place] = fitted

    def _trim(self) -> None:
        """Let go of what neither the window nor a checkpoint will hold any more."""
        settled = sum(one.frame <= self._settled[0] for one in self._held)
        while settled > self._length:
            self._spare.append(self._held.popleft().fitted)
            settled -= 1
