"""How cars and walkers of a rendered scene look."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_SHIFT = 4
_SCALE = 1 << _SHIFT
_GLASS: Colour = (96, 84, 74)
_TYRE: Colour = (34, 32, 32)
_SKIN: Colour = (132, 158, 198)


def draw_car(
    canvas: U8, x: float, y: float, *, width: float, height: float, colour: Colour, way: float, to_left: bool
) -> None:
    """Draw a car from its side onto `canvas` (BGR), in place.

    Args:
        x, y: middle and lowest point of its wheels, in pixels.
        width, height: in pixels, wheels included.
        way: pixels driven; the wheels turn by it.
        to_left: where its bonnet points.
    """
    side = -1.0 if to_left else 1.0
    wheel = height * 0.2

    def at(along: float, up: float) -> tuple[float, float]:
        return x + side * (along - 0.5) * width, y - up * height

    _polygon(
        canvas, [at(0.0, 0.18), at(0.0, 0.58), at(0.2, 0.62), at(0.85, 0.58), at(1.0, 0.45), at(1.0, 0.18)], colour
    )
    _polygon(canvas, [at(0.12, 0.58), at(0.24, 1.0), at(0.62, 1.0), at(0.8, 0.58)], _shade(colour, 0.85))
    _polygon(canvas, [at(0.19, 0.6), at(0.28, 0.92), at(0.42, 0.92), at(0.42, 0.6)], _GLASS)
    _polygon(canvas, [at(0.46, 0.6), at(0.46, 0.92), at(0.6, 0.92), at(0.72, 0.6)], _GLASS)
    _polygon(canvas, [at(0.95, 0.36), at(0.95, 0.48), at(1.0, 0.45), at(1.0, 0.36)], (210, 232, 236))
    for along in (0.2, 0.8):
        cx, _ = at(along, 0.0)
        _circle(canvas, cx, y - wheel, wheel, _TYRE)
        _circle(canvas, cx, y - wheel, wheel * 0.55, (150, 150, 152))
        turn = way / max(wheel, 1.0)
        spoke = (cx + math.cos(turn) * wheel * 0.4, y - wheel + math.sin(turn) * wheel * 0.4)
        _circle(canvas, spoke[0], spoke[1], wheel * 0.18, _TYRE)


def draw_walker(
    canvas: U8, x: float, y: float, *, width: float, height: float, colour: Colour, way: float, to_left: bool
) -> None:
    """Draw a person who walks onto `canvas` (BGR), in place.

    Args:
        x, y: middle and sole, in pixels.
        width, height: in pixels, of a full stride.
        way: pixels walked; legs and arms swing by it.
        to_left: where the face looks.
    """
    head = height * 0.085
    swing = math.sin(way / (width * 0.55)) * width * 0.36
    hip, shoulder = y - height * 0.47, y - height * 0.8
    trousers = _shade(colour, 0.45)
    thick = width * 0.26
    for way_out in (swing, -swing):
        _limb(canvas, (x, hip), (x + way_out, y - thick / 2), thick, trousers)
    _limb(canvas, (x, shoulder), (x - swing * 0.8, hip), thick * 0.75, _shade(colour, 0.8))
    top, bottom = width * 0.36, width * 0.28
    _polygon(canvas, [(x - top, shoulder), (x + top, shoulder), (x + bottom, hip), (x - bottom, hip)], colour)
    _limb(canvas, (x, shoulder), (x + swing * 0.8, hip), thick * 0.75, _shade(colour, 0.7))
    _circle(canvas, x, y - height + head, head, _SKIN)
    hair = -0.3 if to_left else 0.3
    _circle(canvas, x - hair * head, y - height + head * 0.8, head * 0.8, (44, 52, 66))


def _shade(colour: Colour, factor: float) -> Colour:
    return (round(colour[0] * factor), round(colour[1] * factor), round(colour[2] * factor))


def _fixed(value: float) -> int:
    """A coordinate as OpenCV takes parts of a pixel; its pixel centres are whole numbers, ours are halves."""
    return round((value - 0.5) * _SCALE)


def _polygon(canvas: U8, points: list[tuple[float, float]], colour: Colour) -> None:
    corners = np.array([[_fixed(px), _fixed(py)] for px, py in points], np.int32)
    cv2.fillPoly(canvas, [corners], colour, lineType=cv2.LINE_AA, shift=_SHIFT)


def _circle(canvas: U8, x: float, y: float, radius: float, colour: Colour) -> None:
    cv2.circle(canvas, (_fixed(x), _fixed(y)), round(radius * _SCALE), colour, -1, lineType=cv2.LINE_AA, shift=_SHIFT)


def _limb(canvas: U8, start: tuple[float, float], end: tuple[float, float], thick: float, colour: Colour) -> None:
    across = np.array([-(end[1] - start[1]), end[0] - start[0]])
    length = float(np.hypot(*across)) or 1.0
    dx, dy = across / length * thick / 2
    corners = [
        (start[0] + dx, start[1] + dy),
        (end[0] + dx, end[1] + dy),
        (end[0] - dx, end[1] - dy),
        (start[0] - dx, start[1] - dy),
    ]
    _polygon(canvas, corners, colour)
