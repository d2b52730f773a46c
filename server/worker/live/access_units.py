"""Pictures of H.264 and H.265 put together from what RTP brings, and given out as soon as they are complete.

FFmpeg's own parser gives a picture out when the next one begins, which makes every frame one frame older. RTP marks the
last packet of a picture, but FFmpeg does not pass the mark on. What can be seen is enough: a NAL unit that is larger
than a packet comes in fragments of one size and a smaller last one, and pictures of a camera have the same number of
slices. That is tried on the first pictures, and believed only where it was right each time; elsewhere the time stamp of
the next picture ends the one before, as with FFmpeg.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

_START = b"\0\0\0\1"
_TRIALS = 12
"""Pictures in a row whose end must have been told rightly before it is believed."""
_KNOWN = 3
"""Pictures after which something is known of the number of slices."""
_WINDOW = 64


@dataclass(frozen=True, slots=True)
class Unit:
    """A picture, encoded.

    Attributes:
        data: with start codes.
        stamp: time stamp of the container, in its ticks.
        began: when its first piece came.
        key: it can be decoded without those before it.
    """

    data: bytes
    stamp: int | None
    began: float
    key: bool


@dataclass
class _Open:
    """A picture that is still coming.

    Attributes:
        slices: NAL units of it that hold parts of the picture.
        told: its end was told, by the rule; what comes after that proves the rule wrong.
    """

    stamp: int | None
    began: float
    pieces: list[bytes] = field(default_factory=list)
    slices: int = 0
    key: bool = False
    told: bool = False


class AccessUnits:
    """
    Args:
        codec: `h264` or `hevc`.
    """

    def __init__(self, codec: str) -> None:
        self._hevc = codec == "hevc"
        self._now: _Open | None = None
        # The largest pieces so far that begin a NAL unit, and that go on with one: such a piece may have followers.
        self._largest = [0, 0]
        self._slices: deque[int] = deque(maxlen=_WINDOW)
        self._right = 0

    def add(self, piece: bytes, stamp: int | None, now: float) -> list[Unit]:
        """The pictures that are complete with this piece, in order.

        Args:
            piece: one or more whole NAL units with start codes, the first fragment of one, or another fragment.
            stamp: of its picture; None: the same as before.
            now: when it came.
        """
        units = []
        if self._now is None or (stamp is not None and stamp != self._now.stamp):
            units += self._end()
            self._now = _Open(stamp, now)
        picture = self._now
        slices = self._look(piece, picture)
        if picture.told and (slices or not piece.startswith(_START)):
            self._right = -_WINDOW  # not a camera of which this can be told
        picture.pieces.append(piece)
        picture.slices += slices
        goes_on = self._goes_on(piece)
        if not (picture.told or goes_on) and len(self._slices) >= _KNOWN and picture.slices >= max(self._slices):
            picture.told = True
            if self._right >= _TRIALS:
                units += self._give(picture)
        return units

    def _look(self, piece: bytes, picture: _Open) -> int:
        """How many slices begin in a piece."""
        slices = 0
        at = piece.find(_START)
        while 0 <= at < len(piece) - 4:
            kind = (piece[at + 4] >> 1) & 0x3F if self._hevc else piece[at + 4] & 0x1F
            slices += kind < 32 if self._hevc else 1 <= kind <= 5
            # Pictures from which decoding can begin, or what stands before such.
            picture.key |= 16 <= kind <= 23 or kind == 33 if self._hevc else kind in (5, 7)
            at = piece.find(_START, at + 4)
        return slices

    def _goes_on(self, piece: bytes) -> bool:
        """Whether another fragment may follow."""
        follows = not piece.startswith(_START)
        may = len(piece) >= self._largest[follows]
        self._largest[follows] = max(self._largest[follows], len(piece))
        return may

    def _end(self) -> list[Unit]:
        """The next picture begins: the one at hand is complete."""
        picture = self._now
        if picture is None:
            return []
        if picture.slices:
            self._slices.append(picture.slices)
            self._right += picture.told
        return self._give(picture)

    @staticmethod
    def _give(picture: _Open) -> list[Unit]:
        if not picture.pieces:
            return []
        unit = Unit(b"".join(picture.pieces), picture.stamp, picture.began, picture.key)
        picture.pieces.clear()
        return [unit]
