"""Room for tensors in shared memory: slots of a few sizes, reserved when they are first needed."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import NamedTuple

from server.core.errors import DeadlinePassed, UploadTooLarge
from server.wire.errors import SharedMemoryTooSmall
from server.wire.messages import FrameRef
from server.wire.slots import Array, Segment, SizeClass, Slots

_PAGE, _KIB, _MIB = 4096, 1024, 1024 * 1024


class _Waiting(NamedTuple):
    size: int
    found: asyncio.Future[tuple[FrameRef, Array]]


def tensor_classes(total_bytes: int) -> tuple[SizeClass, ...]:
    """Divide the room: many slots for small requests, a quarter of all in one for the largest.

    8 MiB hold 3 × 640 × 640 of FP32.
    """
    largest = total_bytes // 4 // _PAGE * _PAGE
    shares = ((64 * _KIB, 1 / 16), (_MIB, 3 / 16), (min(8 * _MIB, largest), 1 / 2))
    return *(SizeClass(size, int(total_bytes * share) // size) for size, share in shares), SizeClass(largest, 1)


class Room:
    """Slots for whoever asks first; who finds none free waits.

    Nothing is reserved before somebody needs it: most servers are never asked over /v2, and a container gives little.

    Args:
        segment: its name.
        total_bytes: of all slots.
    """

    def __init__(self, segment: str, total_bytes: int) -> None:
        self._name = segment
        self._classes = tensor_classes(total_bytes)
        self._total = total_bytes
        self._segment: Segment | None = None
        self._slots: Slots | None = None
        self._reserving = asyncio.Lock()
        self._waiting: deque[_Waiting] = deque()

    @property
    def largest(self) -> int:
        """Bytes of the largest slot."""
        return max(size for size, _ in self._classes)

    async def take(self, size: int, deadline: float | None) -> tuple[FrameRef, Array]:
        """A slot and its bytes, uint8 [at least `size`].

        Raises:
            UploadTooLarge: no slot is that large.
            DeadlinePassed: none was free before the deadline.
            SharedMemoryTooSmall: there is not that much on this machine.
        """
        if size > self.largest:
            raise UploadTooLarge(
                f"Tensors of {size} bytes do not fit the shared memory, which holds {self.largest} at once.",
                hint=f"Set v2.shm_mb to {-(-size * 4 // _MIB)} or more.",
            )
        slots = self._slots or await self._reserve()
        if not self._waiting:
            taken = slots.take((size,))
            if taken is not None:
                return taken
        waiting = _Waiting(size, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(None if deadline is None else max(0.0, deadline - time.monotonic())):
                return await waiting.found
        except BaseException as error:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            if waiting.found.done() and not waiting.found.cancelled():
                self.give(waiting.found.result()[0])
            if isinstance(error, TimeoutError):
                raise DeadlinePassed("Its deadline passed before there was room for it.") from error
            raise

    def give(self, ref: FrameRef) -> None:
        """Take a slot back. Only once nobody reads it any more."""
        assert self._slots is not None
        self._slots.give(ref)
        self._serve()

    def close(self) -> None:
        """Remove the segment."""
        if self._segment is not None:
            self._segment.close()

    def _serve(self) -> None:
        """Give free slots to those who wait, the longest first; a small one may fit where a large one does not."""
        assert self._slots is not None
        for waiting in list(self._waiting):
            taken = None if waiting.found.done() else self._slots.take((waiting.size,))
            if taken is not None:
                self._waiting.remove(waiting)
                waiting.found.set_result(taken)

    async def _reserve(self) -> Slots:
        async with self._reserving:
            if self._slots is None:
                try:
                    self._segment = await asyncio.to_thread(Segment.create, self._name, self._classes)
                except SharedMemoryTooSmall as error:
                    raise SharedMemoryTooSmall(
                        f"/v2 needs {self._total // _MIB} MiB of shared memory, which are not to be had here.",
                        hint="Give the container more (docker run --shm-size=256m), or set v2.shm_mb lower.",
                    ) from error
                self._slots = Slots(self._segment)
            return self._slots
