"""Without a gate: every wanted frame is an input of the model."""

from __future__ import annotations

from collections import deque

from model_export.geometry import fit
from model_export.manifest import FrameInput
from server.worker.frames import Frames, Outcomes, Sheet, Turn
from server.worker.requests import Requests


class EveryFrame:
    """Writes each frame once, from the decoder's picture into its slot.

    Args:
        input: how a frame becomes the model's input.
        requests: has the slots.
    """

    def __init__(self, frames: Frames, input: FrameInput, requests: Requests) -> None:
        self.sheets: deque[Sheet] = deque()
        self.listens = False
        self._frames = frames
        self._input = input
        self._requests = requests
        self._shape = (input.height, input.width, 3)
        self._written: dict[int, tuple[int, tuple[int, ...]]] = {}
        """Of slots, the last content that is from here: its generation, and the shape of its picture."""

    @property
    def over(self) -> bool:
        return self._frames.over

    def advance(self) -> bool:
        place = self._requests.place(self._shape) if self._frames.waiting else None
        if place is None:
            return False
        slot, array = place
        try:
            taken = self._frames.next()
            if taken is None:
                self._requests.give(slot)
                return False
            picture, turn = taken
            start = self._frames.clock()
            before = slot.generation - 1, picture.shape
            fit(picture, self._input, out=array, framed=self._written.get(slot.slot) == before)
            self._written[slot.slot] = slot.generation, picture.shape
            self._frames.recorder.stage("fit", self._frames.clock() - start)
        except BaseException:
            self._requests.give(slot)
            raise
        self.sheets.append(Sheet([turn], slot))
        return True

    def listen(self) -> None:
        pass

    def finished(self, turn: Turn) -> None:
        pass

    def state(self, timeout_s: float) -> bytes:
        return b""

    def restore(self, state: bytes) -> None:
        if state:
            raise ValueError("the state of a gate, and there is none")

    def let_go(self) -> tuple[list[Turn], Outcomes]:
        return [], self._frames.take_passed()

    def close(self) -> None:
        pass
