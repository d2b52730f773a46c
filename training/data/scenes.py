"""Rendered scenes with known truth: a street seen by a fixed camera.

Sensor noise, changes of light and a shaking mount can be switched on; cars and walkers follow key points, so that
they move, cross, stop and stand exactly where the truth says. Needs NumPy and OpenCV only, and the same scene gives
the same tracks everywhere.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from training.data.actors import draw_car, draw_walker
from training.data.street import street

U8 = npt.NDArray[np.uint8]
Label = Literal["car", "person"]

_NOISE_FIELDS = 4
_NOISE_MARGIN = 64


@dataclass(frozen=True)
class KeyPoint:
    """Where an actor stands on the ground at a moment: its middle and its foot, in pixels."""

    t_s: float
    x: float
    y: float


@dataclass(frozen=True)
class Actor:
    """Somebody or something that moves.

    Attributes:
        id: of its true track, from 1.
        width, height: in pixels; the same everywhere (the camera is far away).
        colour: blue, green, red.
        path: at least two key points, times rising. Between two it moves evenly, where both are the same it stands;
            before the first and after the last it is not there.
    """

    id: int
    label: Label
    width: float
    height: float
    colour: tuple[int, int, int]
    path: tuple[KeyPoint, ...]

    def at(self, t_s: float) -> tuple[float, float] | None:
        """Middle and foot at a moment, or None while it is not there."""
        path = self.path
        if not path[0].t_s <= t_s <= path[-1].t_s:
            return None
        times = [point.t_s for point in path]
        x = float(np.interp(t_s, times, [point.x for point in path]))
        y = float(np.interp(t_s, times, [point.y for point in path]))
        return x, y

    def walked(self, t_s: float) -> float:
        """Pixels of way behind it; legs and wheels turn by it."""
        way = 0.0
        for start, end in zip(self.path, self.path[1:], strict=False):
            if t_s <= start.t_s:
                break
            part = min(1.0, (t_s - start.t_s) / (end.t_s - start.t_s))
            way += part * math.hypot(end.x - start.x, end.y - start.y)
        return way


@dataclass(frozen=True)
class Light:
    """A change of light between two moments, sudden if they are the same: from then on value · gain + offset."""

    start_s: float
    end_s: float
    gain: float
    offset: float = 0.0


@dataclass(frozen=True)
class TrueBox:
    """Where an actor is in one frame.

    Attributes:
        xyxy: x1 y1 x2 y2 in pixels, clipped to the frame.
        visible: the part of the actor's whole box that is in the frame and behind nobody, 0…1.
    """

    frame: int
    id: int
    label: Label
    xyxy: tuple[float, float, float, float]
    visible: float


@dataclass(frozen=True)
class Scene:
    """A rendered video.

    Attributes:
        noise: standard deviation of the sensor noise in grey levels.
        shake: the largest way of the picture from its place, in pixels; 0 is a camera that stands still.
        shake_s: from when to when it shakes; None: always.
    """

    seed: int
    actors: tuple[Actor, ...] = ()
    width: int = 640
    height: int = 360
    fps: float = 12.5
    seconds: float = 20.0
    light: tuple[Light, ...] = ()
    noise: float = 3.0
    shake: float = 0.0
    shake_s: tuple[float, float] | None = None

    @property
    def frame_count(self) -> int:
        return round(self.fps * self.seconds)

    def frames(self) -> Iterator[U8]:
        """Every frame, uint8 [height, width, 3], BGR."""
        margin = math.ceil(self.shake) + 1
        background = street(self.width + 2 * margin, self.height + 2 * margin, seed=self.seed)
        fields = self._noise_fields()
        for index in range(self.frame_count):
            t_s = index / self.fps
            canvas = background.copy()
            for actor, x, y in self._present(t_s):
                draw = draw_car if actor.label == "car" else draw_walker
                draw(
                    canvas,
                    x + margin,
                    y + margin,
                    width=actor.width,
                    height=actor.height,
                    colour=actor.colour,
                    way=actor.walked(t_s),
                    to_left=self._to_left(actor, t_s),
                )
            dx, dy = self._shaken(index)
            picture = self._cut(canvas, margin - dx, margin - dy)
            lit = np.asarray(cv2.LUT(picture, self._curve(t_s)), np.uint8)
            yield self._with_noise(lit, fields, index)

    def truth(self) -> list[TrueBox]:
        """The boxes of every frame, by frame, then by id. What is less than half a pixel in the picture is left out."""
        return [box for index in range(self.frame_count) for box in self._boxes(index)]

    def _boxes(self, index: int) -> list[TrueBox]:
        dx, dy = self._shaken(index)
        present = self._present(index / self.fps)
        whole = [
            (x - actor.width / 2 + dx, y - actor.height + dy, x + actor.width / 2 + dx, y + dy)
            for actor, x, y in present
        ]
        boxes = []
        for i, (actor, _, _) in enumerate(present):
            x1, y1, x2, y2 = whole[i]
            clipped = (max(x1, 0.0), max(y1, 0.0), min(x2, float(self.width)), min(y2, float(self.height)))
            if clipped[2] - clipped[0] < 0.5 or clipped[3] - clipped[1] < 0.5:
                continue
            xyxy = (round(clipped[0], 2), round(clipped[1], 2), round(clipped[2], 2), round(clipped[3], 2))
            seen = _seen(clipped, whole[i + 1 :]) / (actor.width * actor.height)
            boxes.append(TrueBox(index, actor.id, actor.label, xyxy, round(seen, 3)))
        return sorted(boxes, key=lambda box: box.id)

    def _present(self, t_s: float) -> list[tuple[Actor, float, float]]:
        """Who is there, the farthest (highest in the picture) first."""
        there = [(actor, place[0], place[1]) for actor in self.actors if (place := actor.at(t_s)) is not None]
        return sorted(there, key=lambda one: (one[2], one[0].id))

    def _to_left(self, actor: Actor, t_s: float) -> bool:
        heading = 0.0
        for start, end in zip(actor.path, actor.path[1:], strict=False):
            if start.t_s > t_s and heading:
                break
            heading = end.x - start.x or heading
        return heading < 0

    @cached_property
    def _shakes(self) -> npt.NDArray[np.float64]:
        """How far the picture is from its place in each frame, [frames, 2], dx dy in pixels."""
        count = self.frame_count
        if not self.shake:
            return np.zeros((count, 2))
        rng = np.random.default_rng([self.seed, 1])
        ways = np.zeros((count, 2))
        way = np.zeros(2)
        for index in range(count):
            # A mount in the wind: pushed at random, pulled back to its place.
            way = np.clip(0.6 * way + rng.uniform(-1, 1, 2) * self.shake * 0.8, -self.shake, self.shake)
            ways[index] = way
        if self.shake_s is not None:
            t_s = np.arange(count) / self.fps
            ways[(t_s < self.shake_s[0]) | (t_s >= self.shake_s[1])] = 0.0
        return ways

    def _shaken(self, index: int) -> tuple[float, float]:
        dx, dy = self._shakes[index]
        return float(dx), float(dy)

    def _cut(self, canvas: U8, left: float, top: float) -> U8:
        if left.is_integer() and top.is_integer():
            return canvas[int(top) : int(top) + self.height, int(left) : int(left) + self.width]
        matrix = np.array([[1.0, 0.0, left], [0.0, 1.0, top]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(canvas, matrix, (self.width, self.height), flags=flags), np.uint8)

    def _curve(self, t_s: float) -> U8:
        """Grey level → grey level in the light of a moment, [256]."""
        levels = np.arange(256, dtype=np.float64)
        for change in self.light:
            if t_s < change.start_s:
                continue
            length = change.end_s - change.start_s
            part = 1.0 if length <= 0 else min(1.0, (t_s - change.start_s) / length)
            levels = levels * (1 + part * (change.gain - 1)) + part * change.offset
        return np.clip(np.rint(levels), 0, 255).astype(np.uint8)

    def _noise_fields(self) -> list[npt.NDArray[np.int16]]:
        rng = np.random.default_rng([self.seed, 2])
        shape = (self.height + _NOISE_MARGIN, self.width + _NOISE_MARGIN, 3)
        return [np.rint(rng.normal(0.0, self.noise, shape)).astype(np.int16) for _ in range(_NOISE_FIELDS)]

    def _with_noise(self, picture: U8, fields: list[npt.NDArray[np.int16]], index: int) -> U8:
        # Fresh noise for every frame would take most of the time; a random piece of a few fields looks the same.
        rng = np.random.default_rng([self.seed, 3, index])
        field = fields[int(rng.integers(_NOISE_FIELDS))]
        top, left = (int(n) for n in rng.integers(0, _NOISE_MARGIN, 2))
        piece = field[top : top + self.height, left : left + self.width]
        return np.asarray(cv2.add(picture, piece, dtype=cv2.CV_8U), np.uint8)


def _seen(box: tuple[float, ...], nearer: list[tuple[float, float, float, float]]) -> float:
    """Pixels of `box` that no box nearer to the camera covers, on a grid of 16 × 16 points."""
    x1, y1, x2, y2 = box
    steps = (np.arange(16) + 0.5) / 16
    xs, ys = np.meshgrid(x1 + steps * (x2 - x1), y1 + steps * (y2 - y1))
    free = np.ones(xs.shape, np.bool_)
    for a1, b1, a2, b2 in nearer:
        free &= ~((xs > a1) & (xs < a2) & (ys > b1) & (ys < b2))
    return float(free.mean()) * (x2 - x1) * (y2 - y1)


def main() -> None:
    """Write a busy street and its true tracks; without options, the sample video that ships with the server."""
    from training.data.recording import record, tracks_path
    from training.data.traffic import busy_street

    parser = argparse.ArgumentParser(prog="python -m training.data.scenes", description=main.__doc__)
    parser.add_argument("video", type=Path, help="the file to write, for example street.mp4")
    parser.add_argument("--seed", type=int, default=7, help="another street and other traffic (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=24.0, help="length (default: %(default)s)")
    parser.add_argument("--fps", type=float, default=12.5, help="frames a second (default: %(default)s)")
    parser.add_argument("--noise", type=float, default=3.0, help="sensor noise in grey levels (default: %(default)s)")
    parser.add_argument("--shake", type=float, default=0.0, help="way of a shaking mount in pixels (default: none)")
    asked = parser.parse_args()
    scene = busy_street(seed=asked.seed, seconds=asked.seconds, fps=asked.fps, noise=asked.noise, shake=asked.shake)
    record(scene, asked.video)
    sys.stdout.write(f"{asked.video} and {tracks_path(asked.video)}: {scene.frame_count} frames\n")


if __name__ == "__main__":
    main()
