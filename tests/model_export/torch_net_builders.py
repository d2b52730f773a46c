"""Small torch nets with random weights, as people bring them; and clips to try them on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model_export.draft import Draft
from model_export.manifest import FrameInput, State, Task

SIDE = 24
HIDDEN = 12
WINDOW = 4
LABELS = ("left", "right", "still")


class Trunk(nn.Module):
    """uint8 [B, H, W, 3] → [B, 16]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(16)

    def forward(self, frames: Tensor) -> Tensor:
        x = frames.movedim(-1, -3).float() / 255
        return torch.relu(self.norm(self.conv(x))).mean((-2, -1))


class PictureNet(nn.Module):
    """uint8 [B, H, W, 3] → logits [B, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.head = nn.Linear(16, len(LABELS))

    def forward(self, frames: Tensor) -> Tensor:
        return 4 * self.head(self.trunk(frames))


class RecurrentNet(nn.Module):
    """Frames and a GRU's state → logits and its next state."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.cell = nn.GRUCell(16, HIDDEN)
        self.head = nn.Linear(HIDDEN, len(LABELS))

    def forward(self, frames: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        after = self.cell(5 * self.trunk(frames), memory)
        return 4 * self.head(after), after


class WindowNet(nn.Module):
    """uint8 [B, T, H, W, 3] → logits [B, 3], by a convolution over time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 8, (WINDOW, 3, 3), stride=(1, 2, 2))
        self.head = nn.Linear(8, len(LABELS))

    def forward(self, clips: Tensor) -> Tensor:
        x = clips.permute(0, 4, 1, 2, 3).float() / 255
        return 4 * self.head(torch.relu(self.conv(x)).mean((2, 3, 4)))


class EmbeddingNet(nn.Module):
    """uint8 [B, H, W, 3] → vectors [B, 16] of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()

    def forward(self, frames: Tensor) -> Tensor:
        return nn.functional.normalize(self.trunk(frames), dim=1)


def net(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    """One with weights of its own, and statistics of batches as after training."""
    torch.manual_seed(seed)
    made = kind()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features) * 0.1
            module.running_var = torch.rand(module.num_features) + 0.5
    return made


def clips(count: int = 5, frames: int = 9, side: int = SIDE) -> npt.NDArray[np.uint8]:
    """A bright square that moves its own way in each, uint8 [count, frames, side, side, 3]."""
    random = np.random.default_rng(3)
    made = random.integers(0, 60, (count, frames, side, side, 3)).astype(np.uint8)
    for number in range(count):
        for frame in range(frames):
            left = (number * 3 + frame * (1 + number % 3)) % (side - 6)
            made[number, frame, 4:12, left : left + 6] = 90 + 30 * number
    return made


def pictures(count: int = 5) -> npt.NDArray[np.uint8]:
    """uint8 [count, SIDE, SIDE, 3]."""
    return clips(count)[:, 0]


def draft(**said: object) -> Draft:
    """Of a classifier that gives logits."""
    usual = {
        "name": "net",
        "task": Task.CLASSIFY,
        "input": FrameInput(width=SIDE, height=SIDE),
        "labels": LABELS,
        "logits": True,
    }
    return Draft(**{**usual, **said})  # type: ignore[arg-type]


GRU_STATE = (State(input="memory", output="next_memory", dtype="float32", shape=(HIDDEN,)),)
