"""With a gate: the background model sees a few frames a second, the costly one only what moves.

    frame ─▶ fit ─▶ waits for the gate ─▶ its parts onto a sheet with those of others ─▶ full: to the engine
       └─ now and then ─▶ background model ─▶ what moves ─▶ gate ─┘

A sheet is one input of the costly model. It holds the parts of as many frames as there is room for; frames in which
nothing moves are carried by it too, and cost nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from model_export.geometry import fit, place, to_source
from model_export.manifest import FrameInput
from model_export.sampling import Sampler
from server.analytics.gate import MOTION_FPS, Gate, GateMemory, Look, Told
from server.analytics.mosaic import Mosaic, draw
from server.analytics.motion import boxes_of
from server.wire.messages import FrameRef
from server.wire.slots import Array
from server.worker.errors import EngineSilent, ModelGone
from server.worker.frames import Frames, Outcomes, Sheet, Turn
from server.worker.requests import WITHDRAW_S, Question, Requests
from server.worker.source import Frame

F32 = npt.NDArray[np.float32]

_MOST_TURNS = 32
"""Frames that wait for one sheet; so many may be analysed again after a crash."""


class _State(msgspec.Struct, frozen=True, array_like=True):
    """How to go on: what the gate remembered, what it was told after that, and the background model's memory."""

    model: str
    memory: GateMemory
    told: tuple[Told, ...]
    sampler: float
    rows: tuple[bytes, ...]


_decoder = msgspec.msgpack.Decoder(_State)


@dataclass(slots=True)
class _Waiting:
    """A fitted frame that the gate has not decided about."""

    turn: Turn
    fitted: Frame


@dataclass(slots=True)
class _Open:
    """A sheet that has room left. `array` is its slot's."""

    mosaic: Mosaic
    frame: FrameRef
    array: Array


class GatedFrames:
    """Asks the background model, hears the gate, and fills sheets.

    Args:
        spec: input of the costly model.
        requests: to the costly model; here only for its slots.
        motion_spec, motion: of the background model.
        parts: whether the costly model can look at parts of a frame.
        patience_s: seconds that the engine may be silent.
        live: no frame waits for what comes after it: the gate decides at once, and a sheet holds what there is.
    """

    def __init__(
        self,
        frames: Frames,
        spec: FrameInput,
        requests: Requests,
        motion_spec: FrameInput,
        motion: Requests,
        *,
        parts: bool,
        patience_s: float = 120.0,
        live: bool = False,
    ) -> None:
        self.sheets: deque[Sheet] = deque()
        self.listens = False
        self._frames = frames
        self._spec = spec
        self._requests = requests
        self._motion_spec = motion_spec
        self._motion = motion
        self._parts = parts
        self._patience_s = patience_s
        self._live = live
        self._gate = Gate(spec, parts=parts)
        self._memory = GateMemory()
        self._sampler = Sampler(MOTION_FPS)
        self._known: deque[Told] = deque()
        self._told: deque[Told] = deque()
        self._untold: deque[Turn] = deque()
        self._asked = False
        self._waiting: deque[_Waiting] = deque()
        self._looks: deque[Look] = deque()
        self._turns: list[Turn] = []
        self._open: _Open | None = None
        self._spare: list[Frame] = []
        self._ended = False

    @property
    def over(self) -> bool:
        return self._ended and not self._looks and not self._turns

    def advance(self) -> bool:
        if self._looks:
            return self._lay()
        if self._turns and (self._ended or self._live):
            self._close_sheet()
            return not self._ended
        taken = None if self._ended else self._frames.next()
        if taken is None:
            if self._ended or not self._frames.over:
                return False
            self._ended = True
            self._settle()
            self._looks.extend(self._gate.decide(final=True))
            return bool(self._looks or self._turns)
        self._take(*taken)
        return True

    def listen(self) -> None:
        pass

    def finished(self, turn: Turn) -> None:
        self._memory = turn.gate or self._memory
        while self._told and self._told[0].frame <= turn.moment.frame:
            self._told.popleft()

    def state(self, timeout_s: float) -> bytes | None:
        self._settle()
        rows = self._motion.states(timeout_s)
        if rows is None:
            return None
        told = (*self._told, *self._known)
        state = _State(self._motion.model, self._memory, told, self._sampler.state(), tuple(rows))
        return msgspec.msgpack.encode(state)

    def restore(self, state: bytes) -> None:
        """
        Raises:
            ValueError: the state is of another background model.
        """
        saved = _decoder.decode(state)
        if saved.model != self._motion.model:
            raise ValueError(f"the gate was {saved.model} and is {self._motion.model}")
        self._memory = saved.memory
        self._gate = Gate(self._spec, parts=self._parts, memory=saved.memory)
        self._known = deque(saved.told)
        self._sampler.restore(saved.sampler)
        self._motion.put_states(saved.rows)

    def let_go(self) -> tuple[list[Turn], Outcomes]:
        if self._open is not None:
            self._requests.give(self._open.frame)
            self._open = None
        turns = self._turns + [waiting.turn for waiting in self._waiting]
        self._turns = []
        self._waiting.clear()
        self._looks.clear()
        self._motion.withdraw(WITHDRAW_S)
        return turns, self._frames.take_passed()

    def close(self) -> None:
        self._motion.close()

    # ── towards the gate ─────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, picture: Frame, turn: Turn) -> None:
        """A frame has come: it waits for its decision, and the background model may be asked about it."""
        if turn.begins:
            self._gate = Gate(self._spec, parts=self._parts)
            self._motion.begin_anew()
        start = self._frames.clock()
        fitted = self._spare.pop() if self._spare else np.empty((self._spec.height, self._spec.width, 3), np.uint8)
        self._waiting.append(_Waiting(turn, fit(picture, self._spec, out=fitted)))
        self._frames.recorder.stage("fit", self._frames.clock() - start)
        if self._known:
            self._tell(self._known.popleft())  # it was told before a crash
        elif self._sampler.wants(turn.moment.pts_s):
            self._settle()
            self._untold.append(turn)
            self._ask(picture)
        else:
            self._untold.append(turn)
            if not self._asked:
                self._settle()
        if self._live:
            self._settle()
        self._looks.extend(self._gate.decide(final=self._live))

    def _ask(self, picture: Frame) -> None:
        """Ask the background model; the answer is waited for when the next frame wants it."""
        spec, cancelled = self._motion_spec, self._frames.cancelled
        taken = self._motion.await_place((spec.height, spec.width, 3), self._patience_s, cancelled)
        if taken is None:
            return
        slot, array = taken
        fit(picture, spec, out=array)
        self._motion.ask([Question(slot)])
        self._asked = True

    def _settle(self) -> None:
        """Tell the gate of all that came since it was last told."""
        moving = self._moving() if self._asked else None
        while self._untold:
            moment = self._untold.popleft().moment
            self._tell(self._gate.describe(moment.frame, moment.pts_s, moment.width, moment.height, moving))
            moving = None

    def _tell(self, told: Told) -> None:
        self._told.append(told)
        self._gate.tell(told)

    def _moving(self) -> F32:
        """What moves in the frame that was asked about, f32 [N, 4] in pixels of it.

        Raises:
            EngineSilent: no answer comes.
            ModelGone: the background model is not there any more.
        """
        answer = self._motion.await_answer(self._patience_s, self._frames.cancelled)
        self._asked = False
        moment = self._untold[0].moment
        if answer is None:
            if self._frames.cancelled.is_set():
                return np.empty((0, 4), np.float32)
            raise EngineSilent(f"The engine has not answered for {self._patience_s:.0f} seconds.")
        if answer.outputs is None:
            if answer.error == "not_loaded":
                raise ModelGone(answer.message)
            # What is not known to stand still is looked at.
            return np.array([[0, 0, moment.width, moment.height]], np.float32)
        spec = self._motion_spec
        found = boxes_of(answer.outputs["foreground"], width=spec.width, height=spec.height)
        return to_source(found.xyxy, place(spec, moment.width, moment.height))

    # ── onto the sheet ───────────────────────────────────────────────────────────────────────────────────────────

    def _lay(self) -> bool:
        """Put the parts of the next decided frame onto the sheet; False while no slot is free for one."""
        look = self._looks[0]
        waiting = self._waiting[0]
        turn = waiting.turn
        turn.gate = look.memory
        if look.regions:
            tiles = self._open.mosaic.place(look.regions) if self._open else None
            if tiles is None:
                if self._open is not None:
                    self._close_sheet()
                opened = self._open_sheet()
                if opened is None:
                    return False
                tiles = opened.mosaic.place(look.regions)
            assert self._open is not None
            assert tiles is not None
            draw(tiles, waiting.fitted, self._open.array)
            turn.tiles = tiles
        else:
            turn.tiles = ()
        self._looks.popleft()
        self._waiting.popleft()
        self._spare.append(waiting.fitted)
        self._turns.append(turn)
        if len(self._turns) >= _MOST_TURNS:
            self._close_sheet()
        return True

    def _open_sheet(self) -> _Open | None:
        taken = self._requests.place((self._spec.height, self._spec.width, 3))
        if taken is None:
            return None
        frame, array = taken
        array[...] = self._spec.pad
        self._open = _Open(Mosaic(self._spec.width, self._spec.height), frame, array)
        return self._open

    def _close_sheet(self) -> None:
        self.sheets.append(Sheet(self._turns, self._open.frame if self._open else None))
        self._turns = []
        self._open = None
