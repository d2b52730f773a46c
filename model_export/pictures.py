"""Pictures to try a model on: drawn, seeded, with the edges, textures and colours that real ones have.

Noise alone makes a detector answer the same nothing everywhere, and a mistake in its decoding would go unseen.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]


def draw(count: int, width: int = 640, height: int = 480, *, seed: int = 0) -> list[U8]:
    """Different pictures of a street with walkers, cars, signs and balls; the same for the same arguments.

    Returns:
        `count` arrays uint8 [height, width, 3], BGR.
    """
    return [_picture(np.random.default_rng([seed, index]), width, height) for index in range(count)]


def _picture(random: np.random.Generator, width: int, height: int) -> U8:
    canvas = _ground(random, width, height)
    for place in range(4):
        draw_one = (_walker, _car, _sign, _ball)[int(random.integers(4)) if place else 1]
        x = float(width * (0.15 + 0.7 * random.random()))
        y = float(height * (0.62 + 0.3 * random.random()))
        draw_one(canvas, random, x, y, height * (0.2 + 0.35 * random.random()))
    blurred = cv2.GaussianBlur(canvas, (0, 0), 0.8)
    grain = random.normal(0.0, 4.0, canvas.shape)
    return np.clip(blurred + grain, 0, 255).astype(np.uint8)


def _ground(random: np.random.Generator, width: int, height: int) -> U8:
    """Sky, a row of houses with windows, and a road, with coarse texture."""
    horizon = int(height * (0.35 + 0.15 * random.random()))
    canvas = np.empty((height, width, 3), np.uint8)
    fade = np.linspace(0, 1, horizon)[:, None, None]
    canvas[:horizon] = (np.array([230, 190, 140]) * (1 - fade) + np.array([240, 230, 220]) * fade).astype(np.uint8)
    canvas[horizon:] = int(random.integers(80, 130))
    left = 0
    while left < width:
        right = left + int(width * (0.12 + 0.2 * random.random()))
        top = int(horizon * (0.2 + 0.6 * random.random()))
        cv2.rectangle(canvas, (left, top), (right, horizon), _colour(random, 90, 200), -1)
        for x in range(left + 10, right - 18, 26):
            for y in range(top + 10, horizon - 20, 34):
                cv2.rectangle(canvas, (x, y), (x + 12, y + 18), (70, 60, 50), -1)
        left = right + 4
    coarse = random.normal(0.0, 10.0, (height // 8 + 1, width // 8 + 1)).astype(np.float32)
    texture = cv2.resize(coarse, (width, height))[..., None]
    ground: U8 = np.clip(canvas + texture, 0, 255).astype(np.uint8)
    return ground


def _walker(canvas: U8, random: np.random.Generator, x: float, y: float, size: float) -> None:
    skin, shirt, trousers = (120, 150, 200), _colour(random, 20, 220), _colour(random, 20, 90)
    head = size * 0.075
    stride = size * (0.03 + 0.08 * random.random())
    limb = max(int(size * 0.07), 1)
    hip, neck = y - size * 0.48, y - size * 0.83
    for side in (-1, 1):
        cv2.line(canvas, _point(x, hip), _point(x + side * stride, y), trousers, limb + 2)
        cv2.line(canvas, _point(x, neck + size * 0.04), _point(x - side * stride * 1.6, hip), shirt, limb)
    body = [_point(x - size * 0.11, neck), _point(x + size * 0.11, neck), _point(x + size * 0.09, hip)]
    cv2.fillConvexPoly(canvas, np.array([*body, _point(x - size * 0.09, hip)]), shirt)
    cv2.ellipse(canvas, _point(x, y - size * 0.91), (int(head), int(head * 1.25)), 0, 0, 360, skin, -1)
    cv2.ellipse(canvas, _point(x, y - size * 0.94), (int(head), int(head)), 0, 180, 360, (30, 35, 45), -1)


def _car(canvas: U8, random: np.random.Generator, x: float, y: float, size: float) -> None:
    paint, half, high = _colour(random, 30, 230), size * 0.85, size * 0.5
    cv2.ellipse(canvas, _point(x, y), (int(half * 1.05), max(int(size * 0.05), 1)), 0, 0, 360, (40, 40, 40), -1)
    cabin = [(-0.55, -0.5), (-0.3, -1.0), (0.35, -1.0), (0.62, -0.5)]
    glass = [(-0.46, -0.52), (-0.26, -0.92), (0.31, -0.92), (0.5, -0.52)]
    for outline, colour in ((cabin, paint), (glass, (90, 75, 60))):
        cv2.fillConvexPoly(canvas, np.array([_point(x + dx * half, y + dy * high) for dx, dy in outline]), colour)
    cv2.rectangle(canvas, _point(x - half, y - high * 0.55), _point(x + half, y - high * 0.12), paint, -1)
    cv2.line(canvas, _point(x, y - high), _point(x, y - high * 0.2), (50, 50, 50), 2)
    cv2.rectangle(
        canvas, _point(x + half * 0.9, y - high * 0.48), _point(x + half, y - high * 0.36), (200, 240, 250), -1
    )
    for side in (-0.58, 0.58):
        centre = _point(x + side * half, y - high * 0.1)
        cv2.circle(canvas, centre, max(int(high * 0.24), 1), (25, 25, 25), -1)
        cv2.circle(canvas, centre, max(int(high * 0.12), 1), (170, 170, 170), -1)


def _sign(canvas: U8, random: np.random.Generator, x: float, y: float, size: float) -> None:
    radius = size * (0.2 + 0.1 * random.random())
    cv2.line(canvas, _point(x, y), _point(x, y - size), (110, 110, 110), max(int(size * 0.04), 1))
    corners = [np.pi / 8 + np.pi / 4 * k for k in range(8)]
    for scale, colour in ((1.0, (240, 240, 240)), (0.92, (40, 30, 190))):
        ring = [_point(x + radius * scale * np.cos(a), y - size + radius * scale * np.sin(a)) for a in corners]
        cv2.fillConvexPoly(canvas, np.array(ring), colour)
    text = radius / 44
    cv2.putText(
        canvas, "STOP", _point(x - radius * 0.78, y - size + radius * 0.25), cv2.FONT_HERSHEY_DUPLEX, text,
        (245, 245, 245), max(int(text * 2), 1),
    )  # fmt: skip


def _ball(canvas: U8, random: np.random.Generator, x: float, y: float, size: float) -> None:
    radius = max(int(size * 0.2), 2)
    paint = np.array(_colour(random, 60, 255))
    for ring in range(radius, 0, -1):
        light = 0.55 + 0.45 * (1 - ring / radius)
        shift = (radius - ring) * 0.3
        colour = tuple(int(v) for v in paint * light)
        cv2.circle(canvas, _point(x - shift, y - radius - shift), ring, colour, -1)


def _colour(random: np.random.Generator, low: int, high: int) -> Colour:
    blue, green, red = (int(v) for v in random.integers(low, high, 3))
    return blue, green, red


def _point(x: float, y: float) -> tuple[int, int]:
    return round(float(x)), round(float(y))
