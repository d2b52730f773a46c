"""A pipeline's talk with the engine: frames asked, answers in the order of asking."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from threading import Event as Flag
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import zmq

from model_export.manifest import Manifest, Task
from model_export.predictions import readable
from server.wire.messages import (
    INLINE_OUTPUT_BYTES,
    Cancel,
    Cancelled,
    FrameRef,
    GetState,
    Infer,
    InferDone,
    Priority,
    PutState,
    StateRows,
    TensorMeta,
)
from server.wire.slots import Array, Slots
from server.wire.sockets import Dealer, Parcel, Received

Outputs = Mapping[str, npt.NDArray[Any]]
Awaited = TypeVar("Awaited")

_POLL_S = 0.1
_SLOT_S = 0.002

LOST = "lost"
"""The error of a request that was recalled."""
NO_NUMBERS = "no_numbers"
"""The error of an answer that cannot be read."""
_NO_NUMBERS = "The answer of {} is not finite. Half precision overflows so, and weights that are damaged do."
WITHDRAW_S = 2.0
"""Patience with the engine when one takes leave of it."""
IN_FLIGHT_JOB = 8
IN_FLIGHT_LIVE = 2
IN_FLIGHT_STATE = 1
"""A recurrent model needs one frame's state before it can see the next."""


class Answer(NamedTuple):
    """What came of a request; `outputs` is None where `error` says why."""

    outputs: Outputs | None
    error: str | None
    message: str
    queue_s: float
    infer_s: float


class Question(NamedTuple):
    """A frame to ask about, and the CLOCK_MONOTONIC seconds after which nobody wants the answer; None: never."""

    frame: FrameRef
    deadline: float | None = None


class _Asked(NamedTuple):
    frame: FrameRef
    reply: FrameRef | None
    reply_array: Array | None


class Requests:
    """The frames of one stream at the engine.

    Attributes:
        engine: the incarnation of the engine that spoke last; 0 before the first word.

    Args:
        context: for the socket, which belongs to the calling thread.
        address: of the engine.
        identity: the engine answers to it.
        stream: the unit of order, fairness and recurrent state.
        confidence: what counts as found; None: the model's own threshold.
        priority: of its frames.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        identity: str,
        incarnation: int,
        stream: str,
        manifest: Manifest,
        slots: Slots,
        confidence: float | None = None,
        priority: Priority = Priority.JOB,
    ) -> None:
        self._dealer = Dealer(context, address, identity, incarnation)
        self._priority = priority
        self._anew = False
        self._stream = stream
        self._manifest = manifest
        self._slots = slots
        self._asked: dict[int, _Asked] = {}
        self._replies: dict[FrameRef, tuple[FrameRef, Array]] = {}
        """Of frames that are placed and not asked yet: the slots for their answers."""
        self._seq = 0
        self._answered: list[Received] = []
        self._recalled = False
        self._lost: deque[int] = deque()
        self.engine = 0
        self._reply_bytes = _output_bytes(manifest)
        self._least: float | None = None
        self.look_for(confidence)
        several = IN_FLIGHT_LIVE if priority is Priority.LIVE else IN_FLIGHT_JOB
        self.limit = IN_FLIGHT_STATE if manifest.state else several
        self._together = max(1, self.limit // 2)

    @property
    def model(self) -> str:
        """`name@version` of the model that is asked."""
        return self._manifest.id

    @property
    def room(self) -> int:
        """How many frames more may be asked now."""
        return 0 if self._recalled else self.limit - len(self._asked)

    @property
    def company(self) -> int:
        """How many frames are worth waiting for, to ask them together: that costs all processes less, and as many again
        may be on their way while these are answered.
        """
        return self._together

    @property
    def answered(self) -> bool:
        """Whether an answer lies here already."""
        return bool(self._answered) or self._dealer.has_mail

    def look_for(self, confidence: float | None) -> None:
        """What counts as found from the next frame on; None: the model's own threshold."""
        if self._manifest.task is Task.DETECT:
            self._least = self._manifest.thresholds.confidence if confidence is None else confidence

    def place(self, shape: tuple[int, ...]) -> tuple[FrameRef, Array] | None:
        """A slot to write a frame into, with another one for its answer where that is large; None while there are none.

        Raises:
            FrameTooLarge: there never will be.
        """
        if self._reply_bytes <= INLINE_OUTPUT_BYTES:
            return self._slots.take(shape)
        taken = self._slots.take_all([shape, (self._reply_bytes,)])
        if taken is None:
            return None
        (frame, array), reply = taken
        self._replies[frame] = reply
        return frame, array

    def give(self, frame: FrameRef) -> None:
        """Take back a slot whose frame was never asked."""
        self._slots.give(frame)
        if frame in self._replies:
            self._slots.give(self._replies.pop(frame)[0])

    def begin_anew(self) -> None:
        """From the next frame on the stream is another one: what the model remembers of it is forgotten."""
        self._anew = True

    def ask(self, questions: Sequence[Question]) -> None:
        """Send frames that lie in slots of `place`."""
        asks: list[Parcel] = []
        for frame, deadline in questions:
            reply, array = self._replies.pop(frame, (None, None))
            self._seq += 1
            self._asked[self._seq] = _Asked(frame, reply, array)
            ask = Infer(
                self._stream,
                self._seq,
                self._manifest.id,
                frame,
                self._priority,
                deadline,
                reset=self._anew and bool(self._manifest.state),
                reply=reply,
                least=self._least,
                together=self._together,
            )
            asks.append((ask, ()))
        self._dealer.send_together(asks)

    def receive(self, timeout_s: float, wake: int | None = None) -> Answer | None:
        """The next answer in the order of asking; None if none came in time.

        Args:
            wake: a descriptor; when it is readable, no answer is waited for any more.
        """
        if self._lost:
            self._free(self._asked.pop(self._lost.popleft()))
            return Answer(None, LOST, "The engine was restarted, or takes too long.", 0.0, 0.0)
        if wake is not None and not self.answered:
            self._dealer.wait(timeout_s, wake)
            timeout_s = 0.0
        received = self._answered.pop(0) if self._answered else self._dealer.recv(timeout_s)
        if received is None:
            return None
        self.engine = received.header.incarnation
        if isinstance(received.message, Cancelled) and self._recalled:
            self._recalled = False
            self._lost.extend(self._asked)
        if not isinstance(received.message, InferDone) or received.message.seq not in self._asked:
            return None
        done = received.message
        asked = self._asked.pop(done.seq)
        self._recalled = self._recalled and bool(self._asked)
        outputs: dict[str, npt.NDArray[Any]] | None = None
        if done.error is None:
            self._anew = False  # only now: what was never run has reset nothing
            if done.in_slot and asked.reply_array is not None:
                outputs = _unpack(done.outputs, asked.reply_array.tobytes())
            else:
                outputs = _unpack(done.outputs, received.payload[0])
        self._free(asked)
        if outputs is not None and not readable(self._manifest, outputs):
            return Answer(None, NO_NUMBERS, _NO_NUMBERS.format(self._manifest.id), done.queue_s, done.infer_s)
        return Answer(outputs, done.error, done.message, done.queue_s, done.infer_s)

    def wait(self, timeout_s: float, wake: int) -> None:
        """Nothing is asked: until `wake` is readable, or the time is over, or the engine speaks all the same."""
        self._dealer.wait(timeout_s, wake)
        if self._dealer.has_mail:
            self.receive(0.0)

    def recall(self) -> None:
        """The engine is silent: take back what it was asked. What it does not answer all the same comes back as `LOST`,
        once it has let go of it; nothing is asked till then.
        """
        if not self._recalled and not self._lost:
            self._recalled = True
            self._dealer.send(Cancel(self._stream))

    def await_place(
        self, shape: tuple[int, ...], patience_s: float, cancelled: Flag | None = None
    ) -> tuple[FrameRef, Array] | None:
        """As `place`, but others may hold every slot for a while."""
        return _awaited(lambda: self.place(shape), patience_s, cancelled, pause_s=_SLOT_S)

    def await_answer(self, patience_s: float, cancelled: Flag | None = None) -> Answer | None:
        """As `receive`, but not longer than until it is cancelled."""
        return _awaited(lambda: self.receive(_POLL_S), patience_s, cancelled)

    def states(self, timeout_s: float) -> list[bytes] | None:
        """The recurrent rows after the last answer, with nothing in flight; None if the engine is silent."""
        if not self._manifest.state:
            return []
        self._dealer.send(GetState(self._stream, self._manifest.id))
        received = self._wait_for(StateRows, timeout_s)
        return None if received is None else list(received.payload)

    def put_states(self, rows: Sequence[bytes]) -> None:
        """Set the recurrent rows, before the first frame."""
        if rows:
            self._dealer.send(PutState(self._stream, self._manifest.id), rows)

    def withdraw(self, timeout_s: float) -> int:
        """Leave the engine: how many frames went unanswered. Afterwards it holds no slot and no state of the stream."""
        self._dealer.send(Cancel(self._stream, forget=True))
        self._wait_for(Cancelled, timeout_s)
        unanswered = len(self._asked)
        for asked in self._asked.values():
            self._free(asked)
        self._asked.clear()
        self._lost.clear()
        self._recalled = False
        return unanswered

    def close(self) -> None:
        self._dealer.close()

    def _wait_for(self, kind: type[StateRows] | type[Cancelled], timeout_s: float) -> Received | None:
        while (received := self._dealer.recv(timeout_s)) is not None:
            if isinstance(received.message, kind):
                return received
            self._answered.append(received)
        return None

    def _free(self, asked: _Asked) -> None:
        self._slots.give(asked.frame)
        if asked.reply is not None:
            self._slots.give(asked.reply)


def _awaited(
    get: Callable[[], Awaited | None], patience_s: float, cancelled: Flag | None, *, pause_s: float = 0.0
) -> Awaited | None:
    """What `get` gives, once it gives something; None if that took too long or was cancelled."""
    until = time.monotonic() + patience_s
    while (found := get()) is None:
        if time.monotonic() > until or (cancelled is not None and cancelled.is_set()):
            return None
        time.sleep(pause_s)
    return found


def _output_bytes(manifest: Manifest) -> int:
    """Bytes of one frame's outputs, without the batch axis and without state."""
    states = {state.output for state in manifest.state}
    return sum(
        math.prod(size or 1 for size in spec.shape[1:]) * np.dtype(spec.dtype).itemsize
        for spec in manifest.outputs
        if spec.name not in states
    )


def _unpack(metas: Sequence[TensorMeta], buffer: bytes) -> dict[str, npt.NDArray[Any]]:
    """Outputs that lie one after the other."""
    outputs: dict[str, npt.NDArray[Any]] = {}
    at = 0
    for meta in metas:
        array = outputs[meta.name] = np.ndarray(meta.shape, meta.dtype, buffer, at)
        at += array.nbytes
    return outputs
