"""Small nets and clips for tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from training.border import InputConfig
from training.compose import compose
from training.net import Net

GRU_LIST: list[Any] = [
    {"particle": "conv", "channels": 4, "stride": 2, "norm": "batch", "activation": "relu"},
    {"particle": "global_pool"},
    {"particle": "gru", "hidden": 6},
    {"particle": "time_pool"},
    {"particle": "linear", "channels": "outputs"},
]


def pictures(*, channels: int = 3, size: int = 8) -> InputConfig:
    return InputConfig(height=size, width=size, channels=channels)


def clips(frames: int = 5, *, size: int = 8) -> InputConfig:
    return InputConfig(height=size, width=size, frames=frames)


def net_of(*entries: Any, looks_at: InputConfig | None = None, outputs: int = 3) -> Net:
    """A net of a list that is ready to answer; its weights come from a fixed seed."""
    torch.manual_seed(0)
    return compose(list(entries), looks_at or pictures(), outputs).eval()


def some_frames(batch: int = 2, frames: int = 5, *, size: int = 8, channels: int = 3, seed: int = 0) -> Tensor:
    """uint8 [B, T, H, W, C]."""
    torch.manual_seed(seed)
    return torch.randint(0, 256, (batch, frames, size, size, channels), dtype=torch.uint8)
