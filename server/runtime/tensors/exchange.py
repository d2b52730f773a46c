"""A block of tensors, by a slot of shared memory to the engine and back."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from server.core.errors import DeadlinePassed, ModelUnavailable, relayed
from server.domain.inference import Array, Tensor
from server.engine.answers import OutputTooLarge
from server.runtime.tensors.asking import Asking, Done
from server.runtime.tensors.room import Room
from server.wire.messages import INLINE_OUTPUT_BYTES, FrameRef, Infer, Priority, TensorMeta
from server.wire.tensors import tensors_bytes, tensors_in

Result = TypeVar("Result")

_PATIENCE_S = 60.0
_AT_ONCE = 256 * 1024
"""Bytes that are copied on the event loop; more are copied in a thread."""


@dataclass(frozen=True, eq=False)
class Block:
    """What runs in one go.

    Attributes:
        stream, seq: a number within a stream.
        model: `name@version`.
        outputs: that are wanted; empty: all.
        expected: bytes that they will have, as far as that is known.
        reset: forget the stream's state first.
    """

    stream: str
    seq: int
    model: str
    inputs: Sequence[Tensor]
    outputs: tuple[str, ...]
    expected: int
    urgent: bool = False
    deadline: float | None = None
    reset: bool = False


class Exchange:
    """
    Args:
        asking: the talk with the engine.
        room: for tensors, shared with it.
    """

    def __init__(self, asking: Asking, room: Room) -> None:
        self._asking = asking
        self._room = room
        self._returning: set[asyncio.Task[None]] = set()

    async def run(self, block: Block) -> Sequence[Tensor]:
        """The outputs.

        Raises:
            UploadTooLarge, DeadlinePassed, SharedMemoryTooSmall: as `Room.take`.
            ModelUnavailable: the engine is gone, or silent.
            OutputTooLarge: they are more than was expected; the state has moved on all the same.
            VidserveError: in the engine's own words.
        """
        metas = metas_of(block.inputs)
        size = max(tensors_bytes(metas), block.expected if block.expected > INLINE_OUTPUT_BYTES else 0)
        ref, slot = await self._room.take(size, block.deadline)
        asked = False
        try:
            await somewhere(size, lambda: _fill(slot, metas, block.inputs))
            asked = True
            done = await self._answer(_infer(block, metas, ref))
            asked = False
            if done.message.error is not None:
                _refuse(done)
            return await somewhere(size if done.message.in_slot else 0, lambda: _outputs(done, slot))
        finally:
            if asked:
                # The engine may still be at it.
                self._return_later(block.stream, ref)
            else:
                self._room.give(ref)

    async def close(self) -> None:
        for task in list(self._returning):
            task.cancel()
        await asyncio.gather(*self._returning, return_exceptions=True)

    async def _answer(self, ask: Infer) -> Done:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._asking.ask(ask)
        except TimeoutError as error:
            raise ModelUnavailable(f"No answer within {_PATIENCE_S:.0f} s.") from error

    def _return_later(self, stream: str, ref: FrameRef) -> None:
        async def give_back() -> None:
            await self._asking.leave(stream)
            self._room.give(ref)

        task = asyncio.create_task(give_back())
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)


def metas_of(tensors: Sequence[Tensor]) -> tuple[TensorMeta, ...]:
    """What messages say of tensors."""
    return tuple(TensorMeta(one.name, one.array.dtype.name, one.array.shape) for one in tensors)


async def somewhere(size: int, work: Callable[[], Result]) -> Result:
    """Do what moves so many bytes: at once, or in a thread where that would take long. Who is cancelled meanwhile waits
    for the thread: afterwards the memory that it uses may be somebody else's.
    """
    if size <= _AT_ONCE:
        return work()
    moving = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(moving)
    except asyncio.CancelledError:
        while not moving.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({moving})
        raise


def _infer(block: Block, metas: tuple[TensorMeta, ...], ref: FrameRef) -> Infer:
    return Infer(
        stream=block.stream,
        seq=block.seq,
        model=block.model,
        frame=ref,
        priority=Priority.LIVE if block.urgent else Priority.JOB,
        deadline=block.deadline,
        reset=block.reset,
        reply=ref,  # when there are outputs, nobody reads the inputs any more
        inputs=metas,
        outputs=block.outputs,
    )


def _fill(slot: Array, metas: Sequence[TensorMeta], tensors: Sequence[Tensor]) -> None:
    places = tensors_in(slot, metas)
    for one in tensors:
        places[one.name][...] = one.array


def _outputs(done: Done, slot: Array) -> Sequence[Tensor]:
    """Outputs that lie one after the other, in memory of their own."""
    found = []
    buffer = done.payload
    if done.message.in_slot:
        buffer = slot[: sum(_bytes(meta) for meta in done.message.outputs)].tobytes()
    at = 0
    for meta in done.message.outputs:
        array = np.frombuffer(buffer, meta.dtype, math.prod(meta.shape), at).reshape(meta.shape)
        found.append(Tensor(meta.name, array))
        at += array.nbytes
    return found


def _bytes(meta: TensorMeta) -> int:
    return math.prod(meta.shape) * np.dtype(meta.dtype).itemsize


def _refuse(done: Done) -> None:
    code, message = done.message.error, done.message.message
    if code == "stale":
        raise DeadlinePassed("Its deadline passed before its turn came.")
    if code == OutputTooLarge.code:
        raise OutputTooLarge(message, done.message.needed)
    raise relayed(code or "", message)
