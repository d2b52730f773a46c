"""Frame slots: fixed places in shared memory that pixels are written into once, and named by a `FrameRef` after that.

The API process makes the segments and removes them; the slots of each are given out by one process alone (a worker),
and any process may read them.
A slot carries the generation of its content, so that a reference that outlived it is noticed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from server.wire.errors import FrameTooLarge, StaleFrame, WireError
from server.wire.memory import SharedFile
from server.wire.messages import FrameRef

_MAGIC = 0x7669_6473_6C6F_7473  # "vidslots"
_PAGE = 4096
_MAX_CLASSES = 16
_MOST_VIEWS = 1024
_KIB, _MIB = 1024, 1024 * 1024
_LARGE = 256 * _MIB

Array = npt.NDArray[Any]


class SizeClass(NamedTuple):
    """`slots` slots of `slot_bytes` each; a multiple of the page size."""

    slot_bytes: int
    slots: int


def size_classes(total_bytes: int) -> tuple[SizeClass, ...]:
    """Divide a worker's share of shared memory: most slots for common inputs, a few for large ones.

    256 KiB holds 384×216, 640 KiB holds 416×416, 1.25 MiB holds 640×640, 4 MiB 1152×1152 and, where there is room for
    such, 32 MiB 3840×2160 (uint8, three channels).
    """
    shares: tuple[tuple[int, float], ...] = (
        (_KIB * 256, 0.125),
        (_KIB * 640, 0.375),
        (_KIB * 1280, 0.3125),
        (_MIB * 4, 0.1875),
    )
    if total_bytes >= _LARGE:
        shares = ((_KIB * 256, 0.125), (_KIB * 640, 0.25), (_KIB * 1280, 0.25), (_MIB * 4, 0.1875), (_MIB * 32, 0.1875))
    classes = [SizeClass(size, int(total_bytes * share) // size) for size, share in shares]
    return tuple(c for c in classes if c.slots)


def few_of(classes: Sequence[SizeClass]) -> tuple[SizeClass, ...]:
    """What a single job needs of a worker's classes: a few of each, and of the largest two where there were so many."""
    *others, large, largest = sorted(classes)
    few = [SizeClass(c.slot_bytes, min(4, c.slots)) for c in others]
    return *few, *(SizeClass(c.slot_bytes, min(2, c.slots)) for c in (large, largest))


def slots_bytes(classes: Sequence[SizeClass]) -> int:
    """What all the slots take."""
    return sum(c.slot_bytes * c.slots for c in classes)


class _Layout:
    """Where each slot begins: a header page, the generations, then the slots in order of their size."""

    def __init__(self, classes: Sequence[SizeClass]) -> None:
        self.classes = tuple(sorted(classes))
        self.slots = sum(c.slots for c in self.classes)
        at = _PAGE + math.ceil(self.slots * 8 / _PAGE) * _PAGE
        self.offsets: list[int] = []
        self.sizes: list[int] = []
        for size, slots in self.classes:
            for _ in range(slots):
                self.offsets.append(at)
                self.sizes.append(size)
                at += size
        self.total = at


class Segment:
    """A mapped segment, of one's own or of another process."""

    def __init__(self, file: SharedFile, layout: _Layout) -> None:
        self.name = file.name
        self._file = file
        self._layout = layout
        generations = np.frombuffer(file.buffer, np.uint64, layout.slots, _PAGE)
        self._generations: memoryview[int] = generations.data
        self._views: dict[tuple[int, tuple[int, ...], str], Array] = {}

    @classmethod
    def create(cls, name: str, classes: Sequence[SizeClass]) -> Segment:
        """Make and reserve a segment.

        Raises:
            SharedMemoryTooSmall: there is not that much left.
        """
        if not classes or len(classes) > _MAX_CLASSES or any(c.slot_bytes % _PAGE for c in classes):
            raise ValueError(f"size classes {classes}")
        layout = _Layout(classes)
        file = SharedFile.create(name, layout.total)
        header = np.frombuffer(file.buffer, np.uint64, 2 + 2 * _MAX_CLASSES)
        header[0] = _MAGIC
        header[1] = len(layout.classes)
        header[2 : 2 + 2 * len(layout.classes)] = np.array(layout.classes, np.uint64).ravel()
        return cls(file, layout)

    @classmethod
    def attach(cls, name: str) -> Segment:
        """Map a segment that another process made.

        Raises:
            FileNotFoundError: its owner has ended.
            WireError: it is not a segment.
        """
        file = SharedFile.attach(name)
        header = np.frombuffer(file.buffer, np.uint64, 2 + 2 * _MAX_CLASSES)
        if int(header[0]) != _MAGIC:
            raise WireError(f"{name} is not a segment of frame slots.")
        pairs = header[2 : 2 + 2 * int(header[1])].reshape(-1, 2)
        return cls(file, _Layout([SizeClass(int(size), int(slots)) for size, slots in pairs]))

    @property
    def sizes(self) -> Sequence[int]:
        """Bytes of each slot, ascending."""
        return self._layout.sizes

    def array(self, ref: FrameRef) -> Array:
        """The array that `ref` names, without a copy.

        Raises:
            StaleFrame: the slot holds another one by now.
        """
        if not self.holds(ref):
            raise StaleFrame(f"Slot {ref.slot} of {self.name} has been given to another frame.")
        return self._view(ref.slot, ref.shape, ref.dtype)

    def holds(self, ref: FrameRef) -> bool:
        """Whether the slot still holds what `ref` names; ask again after a copy whose source may have died."""
        return 0 <= ref.slot < self._layout.slots and self._generations[ref.slot] == ref.generation

    def renew(self, slot: int, shape: tuple[int, ...], dtype: str) -> tuple[FrameRef, Array]:
        """Begin a new content of a slot: from here on older references to it are stale. For the owner alone."""
        generation = self._generations[slot] + 1
        self._generations[slot] = generation
        ref = FrameRef("shm", self.name, slot, generation, shape, dtype)
        return ref, self._view(slot, shape, dtype)

    def close(self) -> None:
        """Let go; the owner removes it."""
        self._generations.release()
        self._views.clear()
        self._file.close()

    def _view(self, slot: int, shape: tuple[int, ...], dtype: str) -> Array:
        view = self._views.get((slot, shape, dtype))
        if view is None:
            count = math.prod(shape)
            if count * np.dtype(dtype).itemsize > self._layout.sizes[slot]:
                raise FrameTooLarge(f"{shape} of {dtype} does not fit slot {slot} of {self.name}.")
            if len(self._views) >= _MOST_VIEWS:
                self._views.clear()
            view = np.frombuffer(self._file.buffer, dtype, count, self._layout.offsets[slot]).reshape(shape)
            self._views[slot, shape, dtype] = view
        return view


class Slots:
    """The owner's slots: which are free, and the arrays to write into. Threads may share it."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._free: dict[int, deque[int]] = {}
        for slot, size in enumerate(segment.sizes):
            self._free.setdefault(size, deque()).append(slot)
        self._taken: set[int] = set()
        self._lock = Lock()

    def take(self, shape: tuple[int, ...], dtype: str = "uint8") -> tuple[FrameRef, Array] | None:
        """A free slot for such an array, from the smallest class that has one; None if all are taken.

        Raises:
            FrameTooLarge: even an empty segment has no slot for it.
        """
        taken = self.take_all([shape], dtype)
        return None if taken is None else taken[0]

    def take_all(self, shapes: Sequence[tuple[int, ...]], dtype: str = "uint8") -> list[tuple[FrameRef, Array]] | None:
        """Free slots for all of these arrays at once; None if there are not as many.

        All or none: two that each held one slot and waited for another would wait for ever.

        Raises:
            FrameTooLarge: even an empty segment has no slots for them.
        """
        each = np.dtype(dtype).itemsize
        needed = [math.prod(shape) * each for shape in shapes]
        with self._lock:
            found: list[int] = []
            for size in needed:
                for least, free in self._free.items():
                    if least >= size and free:
                        found.append(free.popleft())
                        break
                else:
                    for slot in reversed(found):
                        self._free[self._segment.sizes[slot]].appendleft(slot)
                    self._check(needed)
                    return None
            self._taken.update(found)
            return [self._segment.renew(slot, shape, dtype) for slot, shape in zip(found, shapes, strict=True)]

    def give(self, ref: FrameRef) -> None:
        """Take a slot back. Only once nobody reads it any more."""
        with self._lock:
            if ref.slot not in self._taken:
                raise ValueError(f"slot {ref.slot} is not taken")
            self._taken.remove(ref.slot)
            # The next to be taken: its memory is in the processor's cache, and the others need not have any yet.
            self._free[self._segment.sizes[ref.slot]].appendleft(ref.slot)

    @property
    def taken(self) -> int:
        """How many are in use."""
        return len(self._taken)

    def _check(self, needed: Sequence[int]) -> None:
        """Whether there would be such slots if all were free."""
        sizes = self._segment.sizes
        for count, size in enumerate(sorted(needed, reverse=True), 1):
            fitting = sum(slot >= size for slot in sizes)
            if fitting < count:
                said = f"{fitting} of the slots can hold that" if fitting else f"the largest slot holds {max(sizes)}"
                raise FrameTooLarge(
                    f"{count} frames or answers of {size} bytes or more are needed at once, and {said}.",
                    hint=f"Set workers.shm_mb to {_LARGE // _MIB} or more.",
                )


class Segments:
    """Other processes' segments, attached when first named."""

    def __init__(self) -> None:
        self._attached: dict[str, Segment] = {}

    def array(self, ref: FrameRef) -> Array:
        """The array that `ref` names, without a copy.

        Raises:
            StaleFrame: the slot holds another one by now, or its owner has ended.
        """
        return self._segment(ref.owner).array(ref)

    def holds(self, ref: FrameRef) -> bool:
        """Whether the slot still holds what `ref` names."""
        return self._segment(ref.owner).holds(ref)

    def close(self) -> None:
        for segment in self._attached.values():
            segment.close()
        self._attached.clear()

    def _segment(self, name: str) -> Segment:
        segment = self._attached.get(name)
        if segment is None:
            try:
                segment = self._attached[name] = Segment.attach(name)
            except FileNotFoundError as error:
                raise StaleFrame(f"The owner of {name} has ended.") from error
        return segment
