"""Why a model says what it says of a picture or clip: where it looks, and when its scores rise.

Legend: T time, H height, W width, C channels, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from training.errors import ModelUnsuitable
from training.evaluation.predictor import Predictor
from training.evaluation.torch_predictor import TorchPredictor
from training.explanation.gradcam import grad_cam
from training.explanation.occlusion import occlusion

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
Method = Literal["grad-cam", "occlusion"]


@dataclass(frozen=True)
class Explanation:
    """What was found.

    Attributes:
        frames: uint8 [T, H, W, C], as the model sees them.
        maps: float32 [T, H, W], 0…1, what speaks for the label.
        label: the place of the one that is explained.
        said: float32 [L], of the whole clip.
        in_time: float32 [T, L], as of each frame; None of a picture.
        method: how the maps were made.
    """

    frames: U8
    maps: F32
    label: int
    said: F32
    in_time: F32 | None
    method: Method


def explain(predictor: Predictor, frames: U8, *, label: int | None = None, method: Method | None = None) -> Explanation:
    """Explain an answer.

    Args:
        frames: of one clip, uint8 [T, H, W, C].
        label: its place; None: the likeliest.
        method: None: Grad-CAM where there is a torch net with places, else occlusion.

    Raises:
        ModelUnsuitable: Grad-CAM was asked for, and this model has no gradients or no places.
    """
    if predictor.kind == "numbers":
        raise ModelUnsuitable("Only classes and labels can be explained, and this model answers numbers.")
    said = predictor.predict(frames[None])[0]
    chosen = int(said.argmax()) if label is None else label
    maps, used = _maps(predictor, frames, chosen, method)
    in_time = _in_time(predictor, frames) if len(frames) > 1 else None
    return Explanation(frames, maps, chosen, said, in_time, used)


def _maps(predictor: Predictor, frames: U8, label: int, method: Method | None) -> tuple[F32, Method]:
    if method == "occlusion" or (method is None and not isinstance(predictor, TorchPredictor)):
        return occlusion(predictor, frames, label), "occlusion"
    if not isinstance(predictor, TorchPredictor):
        raise ModelUnsuitable(
            f"{predictor.name} runs in {predictor.runtime}, which has no gradients for Grad-CAM.",
            hint="Use --method occlusion, or explain the run that the model came from.",
        )
    try:
        return grad_cam(predictor.module, frames, label), "grad-cam"
    except ModelUnsuitable:
        if method is not None:
            raise
        return occlusion(predictor, frames, label), "occlusion"


def _in_time(predictor: Predictor, frames: U8) -> F32:
    """float32 [T, L]. A model without a state is asked for the frames so far, with the last of them held."""
    if predictor.streams:
        scores: F32 = predictor.in_time(frames[None])[0]
        return scores
    time = len(frames)
    held = np.minimum(np.arange(time), np.arange(time)[:, None])
    return np.concatenate([predictor.predict(frames[positions][None]) for positions in held])
