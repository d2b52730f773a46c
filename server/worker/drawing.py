"""What was found in a frame, drawn on it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from msgspec import UNSET

from server.domain.result import Object, Row
from server.worker.source import Frame

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_DARK, _LIGHT = (24, 24, 24), (255, 255, 255)
_COLOURS = ((40, 180, 255), (90, 200, 60), (240, 140, 40), (200, 80, 220), (60, 90, 240), (200, 200, 40))
"""BGR; one a class. Dark letters can be read on each."""


def drawn(picture: Frame, row: Row) -> Frame:
    """A copy of a frame with the row's boxes and labels on it.

    Args:
        picture: uint8 [height, width, 3], BGR; the frame that the row is of.
    """
    canvas = picture.copy()
    thin = max(1, round(min(canvas.shape[:2]) / 360))
    for one in row.objects or ():
        _draw_object(canvas, one, thin)
    if row.classes:
        _draw_lines(canvas, [f"{one.label} {one.confidence:.2f}" for one in row.classes], thin)
    return canvas


def _draw_object(canvas: Frame, one: Object, thin: int) -> None:
    x1, y1, x2, y2 = (round(edge) for edge in one.box)
    colour = _COLOURS[one.class_id % len(_COLOURS)]
    cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, 2 * thin)
    track = "" if one.track_id is UNSET else f" {one.track_id}"
    text = f"{one.label}{track} {one.confidence:.2f}"
    (width, height), below = cv2.getTextSize(text, _FONT, 0.45 * thin, thin)
    # Above the box where there is room, else inside; and never beyond the right edge.
    bottom = y1 if y1 >= height + below else y1 + height + below
    left = max(0, min(x1, canvas.shape[1] - width))
    cv2.rectangle(canvas, (left, bottom - height - below), (left + width, bottom), colour, cv2.FILLED)
    _write(canvas, text, (left, bottom - below), _DARK, thin)


def _draw_lines(canvas: Frame, lines: Sequence[str], thin: int) -> None:
    """Text at the top left, on a dark ground."""
    sizes = [cv2.getTextSize(line, _FONT, 0.45 * thin, thin) for line in lines]
    step = max(height + below for (_, height), below in sizes) + 4 * thin
    width = max(width for (width, _), _ in sizes) + 8 * thin
    ground = canvas[: step * len(lines) + 4 * thin, :width]
    np.copyto(ground, (ground * 0.35).astype(np.uint8))
    for number, line in enumerate(lines):
        _write(canvas, line, (4 * thin, step * (number + 1) - 4 * thin), _LIGHT, thin)


def _write(canvas: Frame, text: str, place: tuple[int, int], colour: tuple[int, int, int], thin: int) -> None:
    cv2.putText(canvas, text, place, _FONT, 0.45 * thin, colour, thin, cv2.LINE_AA)
