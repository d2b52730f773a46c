"""The empty street of a rendered scene."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]

ROAD = (0.50, 0.80)
"""Where the road lies, as parts of the picture's height; pavements are above and below it."""

_PAVEMENT = 0.40
_FACADES = ((118, 132, 150), (96, 116, 146), (140, 146, 148), (104, 118, 122), (128, 136, 160))


def street(width: int, height: int, *, seed: int) -> U8:
    """House fronts, a pavement, a road of two lanes, another pavement; uint8 [height, width, 3], BGR."""
    rng = np.random.default_rng([seed, 0])
    picture = np.zeros((height, width, 3), np.uint8)
    pavement, kerb, far_kerb = round(height * _PAVEMENT), round(height * ROAD[0]), round(height * ROAD[1])
    _houses(picture, pavement, rng)
    picture[pavement:kerb] = (148, 150, 152)
    picture[kerb:far_kerb] = (92, 90, 88)
    picture[far_kerb:] = (140, 143, 146)
    _slabs(picture, pavement, kerb)
    _slabs(picture, far_kerb, height)
    cv2.line(picture, (0, kerb), (width, kerb), (188, 190, 192), 2)
    cv2.line(picture, (0, far_kerb), (width, far_kerb), (188, 190, 192), 2)
    middle = (kerb + far_kerb) // 2
    for x in range(8, width, 64):
        cv2.line(picture, (x, middle), (x + 30, middle), (205, 208, 208), 2)
    return _textured(picture, rng)


def _houses(picture: U8, bottom: int, rng: np.random.Generator) -> None:
    width = picture.shape[1]
    left = 0
    while left < width:
        right = left + int(rng.integers(90, 170))
        facade = _FACADES[int(rng.integers(len(_FACADES)))]
        cv2.rectangle(picture, (left, 0), (right, bottom), facade, -1)
        cv2.line(picture, (right, 0), (right, bottom), (70, 76, 84), 2)
        for top in range(12, bottom - 60, 44):
            for x in range(left + 14, right - 24, 34):
                pane = int(rng.integers(45, 95))
                cv2.rectangle(picture, (x, top), (x + 16, top + 26), (pane + 14, pane + 6, pane), -1)
                cv2.rectangle(picture, (x, top), (x + 16, top + 26), (178, 182, 186), 1)
        door = left + (right - left) // 2
        cv2.rectangle(picture, (door - 11, bottom - 44), (door + 11, bottom), (52, 62, 82), -1)
        left = right


def _slabs(picture: U8, top: int, bottom: int) -> None:
    for x in range(0, picture.shape[1], 28):
        cv2.line(picture, (x, top), (x, bottom), (126, 128, 130), 1)
    for y in range(top, bottom, 14):
        cv2.line(picture, (0, y), (picture.shape[1], y), (130, 132, 134), 1)


def _textured(picture: U8, rng: np.random.Generator) -> U8:
    """Stains and grain, so that no surface is flat."""
    height, width = picture.shape[:2]
    texture = np.zeros((height, width), np.float32)
    for cell, strength in ((48, 9.0), (12, 6.0), (3, 5.0)):
        coarse = rng.normal(0.0, strength, (height // cell + 2, width // cell + 2)).astype(np.float32)
        texture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(picture + texture[:, :, None], 0, 255), np.uint8)
