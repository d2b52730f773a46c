"""Whatever answers: a net in torch or a model in ONNX Runtime, asked in the same way."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from training.batch import TargetKind
from training.data.frame_spec import FrameSpec

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


class Predictor(Protocol):
    """A model to be asked.

    Legend: B batch, T time, L labels.

    Attributes:
        name: as reports call it.
        runtime: what computes, such as "PyTorch 2.13".
        labels: of its answers; empty where it has none of its own.
        kind: what it answers.
        input: how frames must be fitted.
        streams: whether it answers after every frame of a clip.
    """

    @property
    def name(self) -> str: ...
    @property
    def runtime(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def kind(self) -> TargetKind: ...
    @property
    def input(self) -> FrameSpec: ...
    @property
    def streams(self) -> bool: ...

    def predict(self, frames: U8) -> F32:
        """Clips uint8 [B, T, H, W, C] → probabilities or numbers, float32 [B, L]."""

    def in_time(self, frames: U8) -> F32:
        """As of every frame, float32 [B, T, L]; only where it `streams`."""


@runtime_checkable
class Differentiable(Protocol):
    """A predictor that can say in which direction each pixel makes an answer worse."""

    def gradient(self, frames: U8, target: torch.Tensor) -> F32:
        """Of the loss by each pixel's grey level, float32 [B, T, H, W, C].

        Args:
            target: int64 [B] of classes, or float32 [B, L].
        """
