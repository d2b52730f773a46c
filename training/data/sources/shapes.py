"""Moving shapes: clips whose class only time can tell, made from a seed.

A light square, triangle or bar goes left, goes right, grows, shrinks or spins. Its place, size and angle are each a
phase that begins anywhere; the class says which of them runs, and in which direction. So every single frame, wherever
in its clip, is drawn alike in all classes: what runs out at the right comes in at the left, and what has grown is small
again.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from training.data.listing import U8, Listing, Sample

CLASSES = ("left", "right", "grow", "shrink", "spin")

_SHAPES = {
    "square": ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)),
    "triangle": ((1.0, 0.0), (-0.5, 0.87), (-0.5, -0.87)),
    "bar": ((-1.2, -0.4), (1.2, -0.4), (1.2, 0.4), (-1.2, 0.4)),
}
"""Corners, in units of the radius."""
_RADIUS = (0.11, 0.3)
"""Of the smallest and the largest, in sides of the frame."""
_NOISE = 5.0
"""Standard deviation, in grey levels."""
_SHIFT = 4
_SCALE = 1 << _SHIFT


def moving_shapes(count: int, *, frames: int = 16, size: int = 32, seed: int = 0) -> Listing:
    """Make clips, equally many of each class as far as `count` allows.

    Args:
        count: of clips.
        frames: of each clip.
        size: of a frame's side, in pixels.
        seed: the same seed gives the same clips, whatever `count` is.

    Returns:
        pixels uint8 [count, frames, size, size, 1], grey.
    """
    pixels = np.empty((count, frames, size, size, 1), np.uint8)
    samples = []
    for at in range(count):
        class_id = at % len(CLASSES)
        pixels[at] = moving_shape(CLASSES[class_id], np.random.default_rng([seed, at]), frames=frames, size=size)
        name = f"{at:05d}"
        samples.append(Sample(name, Path("moving-shapes"), class_id, name))
    return Listing(tuple(samples), CLASSES, "class", pixels).checked(where=Path("moving shapes"))


def moving_shape(motion: str, random: np.random.Generator, *, frames: int, size: int) -> U8:
    """One clip, uint8 [frames, size, size, 1], of a motion in `CLASSES`."""
    corners = np.array(list(_SHAPES.values())[int(random.integers(len(_SHAPES)))])
    ground, shape = float(random.uniform(20, 90)), float(random.uniform(150, 235))
    y = float(random.uniform(0.3, 0.7)) * size
    place, growth, angle = random.random(3)
    way = np.arange(frames) / frames * float(random.uniform(0.5, 0.9))
    still = np.zeros(frames)
    x = (place + {"left": -way, "right": way}.get(motion, still)) % 1.0 * size
    grown = (growth + {"grow": way, "shrink": -way}.get(motion, still)) % 1.0
    turned = (angle + (way * random.choice([-1, 1]) if motion == "spin" else still)) * 2 * np.pi
    radius = _RADIUS[0] * (_RADIUS[1] / _RADIUS[0]) ** grown * size
    pictures = np.empty((frames, size, size, 1), np.uint8)
    for at in range(frames):
        # Drawn with the neighbouring frames around it, of which left and right are then laid over this one.
        wide = np.zeros((3 * size, 3 * size), np.float32)
        cv2.fillPoly(wide, [_outline(corners, x[at] + size, y + size, radius[at], turned[at])], 1.0, shift=_SHIFT)
        covered = cv2.GaussianBlur(wide, (3, 3), 0)[size : 2 * size].reshape(size, 3, size).sum(axis=1)
        noise = random.standard_normal((size, size), np.float32) * _NOISE
        pictures[at, :, :, 0] = np.clip(ground + (shape - ground) * covered + noise, 0, 255)
    return pictures


def _outline(
    corners: npt.NDArray[np.float64], x: float, y: float, radius: float, angle: float
) -> npt.NDArray[np.int32]:
    """Corners int32 [N, 2] of a shape around x, y, in sixteenths of a pixel."""
    cos, sin = np.cos(angle), np.sin(angle)
    turned = corners @ np.array([[cos, sin], [-sin, cos]])
    # OpenCV's pixel centres are whole numbers, ours are halves.
    fixed: npt.NDArray[np.int32] = np.round((turned * radius + (x - 0.5, y - 0.5)) * _SCALE).astype(np.int32)
    return fixed
