"""Densely connected blocks of maps. Legend: B batch, C channels, H height, W width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.particles.initialisation import initialise
from training.particles.particle import Count, Particle, Share
from training.particles.shape import Shape


def _norm_relu_conv(channels: int, out: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False)
    initialise(conv.weight, None, "relu")
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), conv)


class DenseBlock(Particle):
    """[B, C, H, W] → [B, C + layers·growth, H, W]: every layer sees the outputs of all before it.

    A layer is norm, ReLU, 1×1 convolution to 4·growth, norm, ReLU, 3×3 convolution to `growth` channels. Huang et al.,
    Densely Connected Convolutional Networks (2017). He.
    """

    def __init__(self, shape: Shape, *, layers: Count = 4, growth: Count = 12, dropout: Share = 0.0) -> None:
        super().__init__()
        channels, height, width = shape.map()
        self.layers = nn.ModuleList(
            nn.Sequential(
                _norm_relu_conv(channels + number * growth, 4 * growth, 1),
                _norm_relu_conv(4 * growth, growth, 3),
                nn.Dropout(dropout),
            )
            for number in range(layers)
        )
        self.out = shape.with_features(channels + layers * growth, height, width)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class Transition(Particle):
    """[B, C, H, W] → [B, ⌊C·keep⌋, ⌊H / 2⌋, ⌊W / 2⌋]: norm, ReLU, 1×1 convolution, mean over 2×2; between dense blocks.

    Huang et al. (2017). He.
    """

    def __init__(self, shape: Shape, *, keep: Share = 0.5) -> None:
        super().__init__()
        channels, height, width = shape.map()
        kept = max(1, int(channels * keep))
        self.layers = nn.Sequential(_norm_relu_conv(channels, kept, 1), nn.AvgPool2d(2))
        self.out = shape.with_features(kept, height // 2, width // 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y
