"""A net in torch."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.batch import TargetKind
from training.data.frame_spec import FrameSpec

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


class Streaming(Protocol):
    """A net that answers after every frame."""

    def in_time(self, clip: Tensor) -> Tensor:
        """[B, T, H, W, C] → [B, T, L]."""


class TorchPredictor:
    """Asks a net; see `Predictor`.

    Args:
        module: takes frames [B, T, H, W, C], uint8 or float grey levels, and gives logits or numbers [B, L].
        streams: it has `in_time` as well.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str,
        labels: tuple[str, ...],
        kind: TargetKind,
        input: FrameSpec,
        streams: bool = False,
        device: str = "cpu",
    ) -> None:
        self.module = module.to(device).eval()
        self.name = name
        self.labels = labels
        self.kind: TargetKind = kind
        self.input = input
        self.streams = streams
        self.runtime = f"PyTorch {torch.__version__}"
        self._device = device

    def predict(self, frames: U8) -> F32:
        with torch.inference_mode():
            return self._answers(self.module(self._tensor(frames)))

    def in_time(self, frames: U8) -> F32:
        with torch.inference_mode():
            streaming: Streaming = self.module  # type: ignore[assignment]
            return self._answers(streaming.in_time(self._tensor(frames)))

    def gradient(self, frames: U8, target: Tensor) -> F32:
        pixels = self._tensor(frames).float().requires_grad_()
        logits = self.module(pixels)
        target = target.to(self._device)
        if self.kind == "class":
            loss = functional.cross_entropy(logits, target, reduction="sum")
        elif self.kind == "multi_label":
            loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
        else:
            loss = functional.mse_loss(logits, target, reduction="sum")
        (found,) = torch.autograd.grad(loss, pixels)
        gradient: F32 = found.cpu().numpy()
        return gradient

    def _tensor(self, frames: U8) -> Tensor:
        return torch.from_numpy(frames).to(self._device)

    def _answers(self, logits: Tensor) -> F32:
        logits = logits.float()
        if self.kind == "class":
            logits = logits.softmax(dim=-1)
        elif self.kind == "multi_label":
            logits = logits.sigmoid()
        answers: F32 = logits.cpu().numpy()
        return answers
