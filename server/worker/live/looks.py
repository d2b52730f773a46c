"""Pictures of a stream for those who look: of its next frame, encoded only while somebody looks.

A frame that is looked for is analysed whatever `sample_fps` says. Without boxes the picture goes as it is, at once;
with boxes it waits for the row of its frame.
"""

from __future__ import annotations

import math
import queue
import time
from collections import deque
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from server.domain.result import Row
from server.wire.messages import Look, Looked
from server.worker.drawing import drawn
from server.worker.source import Frame

PATIENCE_S = 3.0
_AGAIN_S = 0.5
"""After this time without a row another frame is wanted: the one before may have been too old for the engine."""
_QUALITY = 85
_UNAVAILABLE = "snapshot_unavailable"
_HELD = 3
"""Pictures that may be at the engine at a time, or wait for it."""

Show = Callable[[Looked, bytes], None]
"""Sends an answer, with a JPEG."""


class Looks:
    """For the thread that walks a stream's frames.

    Args:
        orders: filled by another thread.
        show: sends answers.
    """

    def __init__(self, orders: queue.SimpleQueue[Look], show: Show) -> None:
        self._orders = orders
        self._show = show
        self._waiting: list[tuple[Look, float]] = []
        """Who looks, and since when."""
        self._pictures: deque[tuple[int, Frame]] = deque(maxlen=_HELD)
        self._pictured = -math.inf

    def attend(self) -> bool:
        """Hear who looks, and refuse who has looked for too long; whether a frame is wanted for somebody."""
        now = time.monotonic()
        for look, since in self._waiting[:]:
            if now - since > PATIENCE_S:
                self._waiting.remove((look, since))
                self._show(Looked(look.request, _UNAVAILABLE, _late(look)), b"")
        if not self._waiting:
            self._pictures.clear()
            self._pictured = -math.inf
        while not self._orders.empty():
            self._waiting.append((self._orders.get(), now))
        return bool(self._waiting) and now - self._pictured > _AGAIN_S

    def see(self, index: int, picture: Frame) -> None:
        """A frame is on its way to the engine.

        Args:
            picture: uint8 [H, W, 3], BGR.
        """
        if self._waiting:
            self._pictures.append((index, picture))
            self._pictured = time.monotonic()
            self._answer(boxes=False, picture=lambda: picture)

    def find(self, row: Row) -> None:
        """The row of a frame is there."""
        if not self._waiting:
            return
        for index, picture in self._pictures:
            if index == row.frame:
                self._answer(boxes=True, picture=partial(drawn, picture, row))

    def _answer(self, *, boxes: bool, picture: Callable[[], Frame]) -> None:
        mine = [one for one in self._waiting if one[0].boxes is boxes]
        if not mine:
            return
        good, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(picture()), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        for one in mine:
            self._waiting.remove(one)
            if good:
                self._show(Looked(one[0].request), jpeg.tobytes())
            else:
                self._show(Looked(one[0].request, _UNAVAILABLE, "The frame cannot be made into a picture."), b"")


def _late(look: Look) -> str:
    if look.boxes:
        return f"No result came within {PATIENCE_S:g} s. ?boxes=false shows the picture without."
    return f"No frame came within {PATIENCE_S:g} s."
