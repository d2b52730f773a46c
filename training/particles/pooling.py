"""Pooling in space, and the ways from maps and tokens to vectors.

Legend: B batch, C channels, H height, W width, N tokens.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from training.errors import ShapeMismatch
from training.particles.particle import Count, Particle
from training.particles.shape import Shape

TINY = 1e-5
"""Of a variance: the root of 0 has no gradient."""


def deviation(x: Tensor, axes: int | tuple[int, ...]) -> Tensor:
    """The standard deviation of all numbers along some axes, never quite 0."""
    return (x.var(axes, correction=0) + TINY).sqrt()


class Pool(Particle):
    """[B, C, H, W] → [B, C, ⌊(H − size) / stride⌋ + 1, …]: the largest or the mean number of every window.

    Max: Ranzato et al. (2007); mean: LeCun et al. (1989). `stride` is `size` where it is left out.
    """

    def __init__(
        self, shape: Shape, *, kind: Literal["max", "mean"] = "max", size: Count = 2, stride: Count | None = None
    ) -> None:
        super().__init__()
        channels, height, width = shape.map()
        if min(height, width) < size:
            raise ShapeMismatch(f"a map of at least {size} × {size}", shape)
        step = stride or size
        self.out = shape.with_features(channels, (height - size) // step + 1, (width - size) // step + 1)
        self.pool: nn.Module = nn.MaxPool2d(size, step) if kind == "max" else nn.AvgPool2d(size, step)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pool(x)
        return y


class GlobalPool(Particle):
    """A map [B, C, H, W] or tokens [B, N, C] → a vector [B, C]: the mean, the largest or the standard deviation over H
    and W, or over N.

    Lin et al., Network in Network (2014); deviations beside means: Snyder et al., X-Vectors (2018).
    """

    def __init__(self, shape: Shape, *, kind: Literal["max", "mean", "std"] = "mean") -> None:
        super().__init__()
        if len(shape.features) == 1:
            raise ShapeMismatch("a map [C, H, W] or tokens [N, C]", shape)
        self.out = shape.with_features(shape.channels)
        self.kind = kind
        self.over = (2, 3) if len(shape.features) == 3 else (1,)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "std":
            return deviation(x, self.over)
        return x.amax(self.over) if self.kind == "max" else x.mean(self.over)


class Flatten(Particle):
    """A map [B, C, H, W] or tokens [B, N, C] → a vector [B, C·H·W] or [B, N·C]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.out = shape.with_features(shape.size)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class FirstToken(Particle):
    """[B, N, C] → [B, C]: the first token, which `patch_embedding` adds for the class (Dosovitskiy et al., 2021)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.out = shape.with_features(shape.tokens()[1])

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]
