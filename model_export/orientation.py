"""How a container says that frames are to be turned and mirrored: by a display matrix."""

from __future__ import annotations

import struct
from pathlib import Path

from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame

_MOST_BOXES = 10_000
_INSIDE = (b"moov", b"trak")
_AFTER_TIMES = {0: 40, 1: 52}
"""Bytes of a track header before its matrix, by version."""
_EBML = b"\x1a\x45\xdf\xa3"
_PROJECTION = b"\x76\x70"
_CLUSTER = b"\x1f\x43\xb6\x75"
_HEAD = 65536


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Quarter turns against the clock, and whether the frame is turned upside down before that.

    The container's display matrix says so: 3×3, of which the left upper 2×2 (fixed point) turn and mirror.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know the kind of one of them, and gives none then
        return round(frame.rotation / 90) % 4, False
    if not isinstance(matrix, SideData):
        return 0, False
    a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
    return round(frame.rotation / 90) % 4, a * d - b * c < 0


def may_mirror(path: Path) -> bool:
    """Whether a file may mirror frames. What this says yes to has to be looked at by decoding a frame: only that shows
    the matrix, but of a large video it takes many times as long as to open it.

    Only MP4, MOV and Matroska can.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if head.startswith(_EBML):
            return _PROJECTION in head.partition(_CLUSTER)[0]  # what follows are pictures
        at, end = 0, file.seek(0, 2)
        for _ in range(_MOST_BOXES):
            if at + 8 > end:
                return False
            file.seek(at)
            box = file.read(100)
            size, kind = struct.unpack_from(">I4s", box)
            if kind == b"tkhd" and _mirrors(box):
                return True
            if size == 1 and len(box) >= 16:
                size = struct.unpack_from(">Q", box, 8)[0]
            elif size == 0:
                size = end - at
            if size < 8:
                return False
            at += 8 if kind in _INSIDE else size
    return False


def _mirrors(box: bytes) -> bool:
    """Whether the matrix of a track header mirrors."""
    at = 8 + _AFTER_TIMES.get(box[8], 52)
    if len(box) < at + 20:
        return False
    a, b, _, c, d = struct.unpack_from(">5i", box, at)
    return bool(a * d < b * c)
