"""What a camera does to frames, and what an adversary does: conditions that a model is tried under.

Legend: B batch, T time, H height, W width, C channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from training.evaluation.predictor import Differentiable

U8 = npt.NDArray[np.uint8]
Change = Callable[[U8, np.random.Generator], U8]
"""Frames uint8 [B, T, H, W, C] → the same shape."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A change of frames.

    Attributes:
        clips_only: it does nothing to single pictures.
    """

    name: str
    change: Change
    clips_only: bool = False


def noise(deviation: float) -> Change:
    """Normal noise; deviation in grey levels."""

    def change(frames: U8, random: np.random.Generator) -> U8:
        noisy = frames + random.normal(0.0, deviation, frames.shape).astype(np.float32)
        return np.clip(np.round(noisy), 0, 255).astype(np.uint8)

    return change


def blur(share: float) -> Change:
    """A Gaussian whose standard deviation is a share of the frame's longer side."""

    def change(frames: U8, random: np.random.Generator) -> U8:
        sigma = share * max(frames.shape[2:4])
        return _each(frames, lambda frame: cv2.GaussianBlur(frame, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))

    return change


def dark(part: float) -> Change:
    """Only a part of the light, with the noise of a sensor that amplifies it."""

    def change(frames: U8, random: np.random.Generator) -> U8:
        noisy = frames * np.float32(part) + random.normal(0.0, 4.0, frames.shape).astype(np.float32)
        return np.clip(np.round(noisy), 0, 255).astype(np.uint8)

    return change


def jpeg(quality: int) -> Change:
    """JPEG of a quality, 0…100."""

    def packed(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.generic]:
        _, content = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
        flag = cv2.IMREAD_GRAYSCALE if frame.shape[2] == 1 else cv2.IMREAD_COLOR_BGR
        return np.asarray(cv2.imdecode(content, flag))

    return lambda frames, random: _each(frames, packed)


def dropped(share: float) -> Change:
    """Each frame but the first is lost with this probability: the one before it is seen again."""

    def change(frames: U8, random: np.random.Generator) -> U8:
        batch, time = frames.shape[:2]
        lost = random.random((batch, time)) < share
        lost[:, 0] = False
        seen = np.maximum.accumulate(np.where(lost, 0, np.arange(time)), axis=1)
        return frames[np.arange(batch)[:, None], seen]

    return change


def attacked(predictor: Differentiable, frames: U8, target: torch.Tensor, step: float) -> U8:
    """Every pixel a step in the direction that makes the answer worse.

    Source: Goodfellow, Shlens, Szegedy, "Explaining and harnessing adversarial examples", 2015 (FGSM).

    Args:
        step: in grey levels.
    """
    worse = frames + step * np.sign(predictor.gradient(frames, target))
    return np.clip(np.round(worse), 0, 255).astype(np.uint8)


CONDITIONS = (
    Condition("noise, σ 10 grey levels", noise(10)),
    Condition("noise, σ 25 grey levels", noise(25)),
    Condition("blur, σ 1 % of the frame", blur(0.01)),
    Condition("blur, σ 3 % of the frame", blur(0.03)),
    Condition("dark, half of the light", dark(0.5)),
    Condition("dark, a fifth of the light", dark(0.2)),
    Condition("JPEG, quality 30", jpeg(30)),
    Condition("JPEG, quality 10", jpeg(10)),
    Condition("a quarter of the frames dropped", dropped(0.25), clips_only=True),
    Condition("half of the frames dropped", dropped(0.5), clips_only=True),
)
ATTACKS = {"FGSM, 2 grey levels": 2.0, "FGSM, 8 grey levels": 8.0}


def _each(frames: U8, change: Callable[[U8], npt.NDArray[np.generic]]) -> U8:
    """Frame by frame."""
    flat = frames.reshape(-1, *frames.shape[2:])
    changed = [np.asarray(change(np.ascontiguousarray(frame)), np.uint8).reshape(frame.shape) for frame in flat]
    return np.stack(changed).reshape(frames.shape)
