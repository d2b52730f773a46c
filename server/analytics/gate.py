"""When and where a costly model shall look, by what moves. Pure: the same motion gives the same decisions."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from model_export.geometry import Rectangle, place
from model_export.manifest import FrameInput
from server.analytics.regions import area, around, joined, whole

F32 = npt.NDArray[np.float32]

MOTION_FPS = 5.0
"""Frames in which motion is looked for, per second of media time. What passes between two of them is not followed by
anybody."""
MARGIN_S = 0.2
"""Seconds of media time that are looked at before and after motion."""
REST_S = 0.5
"""Seconds after motion in which, past the margin, whole frames are looked at: what has come to rest, or was hidden till
then, is seen a few times before the model rests too."""
EVERY = 16
"""Of so many frames at least one is looked at whole."""
_ROUNDING_S = 0.0005  # time stamps of many containers are rounded to a millisecond
_REACH_S = MARGIN_S + _ROUNDING_S
_MOST_AREA = 0.6
"""Above this share of the frame, parts are not worth their seams."""
_BUSY = 0.3
_BUSY_SAMPLES = 30
"""Where, on an average over about so many samples, more than this share moves, whole frames are looked at: parts would
save little, and what stands still is seen less often."""


class GateMemory(msgspec.Struct, frozen=True, array_like=True):
    """What decisions about later frames depend on.

    Attributes:
        since: frames since the last that was looked at whole.
        share: that moved of late, of the frame.
        recent: pts in seconds and parts of the samples in which something moved a short while ago.
    """

    since: int = EVERY
    share: float = 0.0
    recent: tuple[tuple[float, tuple[Rectangle, ...]], ...] = ()


class Told(msgspec.Struct, frozen=True, array_like=True):
    """A frame that the gate has been told of.

    Attributes:
        whole: the part of the input that the frame fills.
        moving: parts of the input that move; None where nobody looked.
    """

    frame: int
    pts_s: float
    whole: Rectangle
    moving: tuple[Rectangle, ...] | None


class Look(NamedTuple):
    """A decision about one frame.

    Attributes:
        regions: parts of the model's input to look at; none: nothing moves.
        memory: of the gate after it.
    """

    regions: tuple[Rectangle, ...]
    memory: GateMemory


class Gate:
    """Decides for every frame of a source, a margin behind what it is told.

    Args:
        spec: input of the costly model.
        parts: whether it can look at parts of a frame, as detectors can.
    """

    def __init__(self, spec: FrameInput, *, parts: bool, memory: GateMemory | None = None) -> None:
        self._spec = spec
        self._parts = parts
        self._memory = memory or GateMemory()
        self._pending: deque[Told] = deque()

    def describe(self, frame: int, pts_s: float, width: int, height: int, moving: F32 | None) -> Told:
        """A frame as `tell` takes it.

        Args:
            width, height: of the source frame, in pixels.
            moving: f32 [N, 4], x1 y1 x2 y2 in pixels of the source frame; None where nobody looked.
        """
        placement = place(self._spec, width, height)
        parts = None if moving is None else around(moving, placement)
        return Told(frame, pts_s, whole(placement), parts)

    def tell(self, told: Told) -> None:
        """The next frame of the source."""
        self._pending.append(told)

    def decide(self, *, final: bool = False) -> list[Look]:
        """The decisions that can be made now, in the order of the frames.

        Args:
            final: no more frames come, so none is waited for.
        """
        looks = []
        while self._pending and (final or self._pending[-1].pts_s - self._pending[0].pts_s > _REACH_S):
            looks.append(self._decide(self._pending[0]))
            self._pending.popleft()
        return looks

    def _decide(self, told: Told) -> Look:
        now = told.pts_s
        memory = self._memory
        share = memory.share
        recent = tuple(one for one in memory.recent if now - one[0] <= REST_S + _ROUNDING_S)
        if told.moving is not None:
            share += (min(1.0, area(told.moving) / area([told.whole])) - share) / _BUSY_SAMPLES
            if told.moving:
                recent += ((now, told.moving),)
        parts = [part for at, moved in recent if now - at <= _REACH_S for part in moved]
        for later in self._pending:
            if later.pts_s - now > _REACH_S:
                break
            if later is not told:
                parts += later.moving or ()
        regions = joined(parts)
        due = memory.since >= EVERY - 1
        if due or (recent and not regions) or (regions and not self._worthwhile(regions, told.whole, share)):
            regions = (told.whole,)
        since = 0 if regions == (told.whole,) else memory.since + 1
        self._memory = GateMemory(since, share, recent)
        return Look(regions, self._memory)

    def _worthwhile(self, regions: tuple[Rectangle, ...], whole: Rectangle, share: float) -> bool:
        return self._parts and share <= _BUSY and area(regions) <= _MOST_AREA * area([whole])
