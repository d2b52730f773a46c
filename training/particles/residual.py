"""Residual blocks of maps: y = relu(F(x) + x). Legend: B batch, C channels, H height, W width, s stride."""

from __future__ import annotations

from torch import Tensor, nn

from training.particles.convolution import ConvNormActivation
from training.particles.normalisation import NormName
from training.particles.particle import Count, Particle
from training.particles.shape import Shape


def _shortcut(shape: Shape, out: Shape, stride: int, norm: NormName) -> nn.Module:
    """x as it is, or a 1×1 convolution where channels or size change."""
    if shape.features == out.features:
        return nn.Identity()
    return ConvNormActivation(shape, out.channels, kernel=1, stride=stride, norm=norm, activation="none")


class Residual(Particle):
    """[B, C, H, W] → [B, channels, ⌈H / s⌉, ⌈W / s⌉]: two 3×3 convolutions, and the input added before the last ReLU.

    He et al., Deep Residual Learning for Image Recognition (2016), figure 5 left. He.
    """

    def __init__(self, shape: Shape, *, channels: Count, stride: Count = 1, norm: NormName = "batch") -> None:
        super().__init__()
        self.first = ConvNormActivation(shape, channels, kernel=3, stride=stride, norm=norm)
        self.second = ConvNormActivation(self.first.out, channels, kernel=3, norm=norm, activation="none")
        self.out = self.second.out
        self.shortcut = _shortcut(shape, self.out, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x)) + self.shortcut(x)
        return y.relu()


class Bottleneck(Particle):
    """[B, C, H, W] → [B, channels, ⌈H / s⌉, ⌈W / s⌉]: 1×1 to fewer channels, 3×3, 1×1 to `channels`, the input added.

    In between are channels / reduction. He et al. (2016), figure 5 right; the stride is at the 3×3 convolution (Goyal
    et al., 2017). He.
    """

    def __init__(
        self, shape: Shape, *, channels: Count, stride: Count = 1, reduction: Count = 4, norm: NormName = "batch"
    ) -> None:
        super().__init__()
        between = max(1, channels // reduction)
        self.down = ConvNormActivation(shape, between, kernel=1, norm=norm)
        self.middle = ConvNormActivation(self.down.out, between, kernel=3, stride=stride, norm=norm)
        self.up = ConvNormActivation(self.middle.out, channels, kernel=1, norm=norm, activation="none")
        self.out = self.up.out
        self.shortcut = _shortcut(shape, self.out, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.up(self.middle(self.down(x))) + self.shortcut(x)
        return y.relu()
