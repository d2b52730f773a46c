"""Particles that make one of two inputs, such as frames and sound.

Legend: B batch, C, D channels, H height, W width, N, M tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.errors import ShapeMismatch
from training.particles.attention import Attention
from training.particles.initialisation import initialise
from training.particles.particle import Count, Fusion
from training.particles.shape import Shape


class Concatenate(Fusion):
    """[B, C, …], [B, D, …] → [B, C + D, …]: channels side by side; maps must be of one size, tokens as many.

    Baltrušaitis et al., Multimodal Machine Learning (2018), early fusion.
    """

    def __init__(self, first: Shape, second: Shape) -> None:
        super().__init__()
        axis = 0 if len(first.features) == 3 else len(first.features) - 1
        rest = [shape.features[:axis] + shape.features[axis + 1 :] for shape in (first, second)]
        if len(first.features) != len(second.features) or rest[0] != rest[1]:
            raise ShapeMismatch(f"two that differ in channels alone, and {first} from one branch", second)
        features = list(first.features)
        features[axis] += second.features[axis]
        self.out = first.with_features(*features)
        self.axis = axis + 1

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.cat([first, second], self.axis)


class Add(Fusion):
    """[B, …], [B, …] → [B, …]: their sum, as in residual connections (He et al., 2016)."""

    def __init__(self, first: Shape, second: Shape) -> None:
        super().__init__()
        if first.features != second.features:
            raise ShapeMismatch(f"two of one shape, and {first} from one branch", second)
        self.out = first

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


class Gated(Fusion):
    """[B, C], [B, D] → [B, channels]: z a + (1 − z) b, a = tanh(W₁ x₁), b = tanh(W₂ x₂), z = σ(W₃ [x₁, x₂]).

    Arevalo et al., Gated Multimodal Units (2017). Xavier.
    """

    def __init__(self, first: Shape, second: Shape, *, channels: Count) -> None:
        super().__init__()
        one, other = first.vector(), second.vector()
        self.out = first.with_features(channels)
        self.first = nn.Linear(one, channels)
        self.second = nn.Linear(other, channels)
        self.gate = nn.Linear(one + other, channels)
        for layer in (self.first, self.second, self.gate):
            initialise(layer.weight, layer.bias, "tanh")

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        gate: Tensor = self.gate(torch.cat([first, second], 1)).sigmoid()
        mixed: Tensor = gate * self.first(first).tanh() + (1 - gate) * self.second(second).tanh()
        return mixed


class CrossAttention(Fusion):
    """Queries [B, N, C], others [B, M, D] → [B, N, C]: x₁ + attention from norm(x₁) to norm(x₂).

    A vector counts as one token, a map as one a place; what comes out is as the first is. Lu et al., ViLBERT (2019);
    Jaegle et al., Perceiver (2021). Xavier.
    """

    def __init__(self, first: Shape, second: Shape, *, heads: Count = 1) -> None:
        super().__init__()
        if first.channels % heads:
            raise ShapeMismatch(f"a first branch whose channels are a multiple of {heads} heads", first)
        self.out = first
        self.norms = nn.ModuleList([nn.LayerNorm(first.channels), nn.LayerNorm(second.channels)])
        self.attention = Attention(first.channels, second.channels, heads)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        queries, others = (norm(_tokens(x)) for norm, x in zip(self.norms, (first, second), strict=True))
        found: Tensor = self.attention(queries, others)
        # Tokens back to a map: [B, N, C] → [B, C, N] → [B, C, H, W].
        return first + (found.transpose(1, 2) if first.dim() == 4 else found).reshape(first.shape)


def _tokens(x: Tensor) -> Tensor:
    """A vector [B, C] → [B, 1, C]; a map [B, C, H, W] → [B, H·W, C]; tokens as they are."""
    if x.dim() == 4:
        return x.flatten(2).transpose(1, 2)
    return x[:, None] if x.dim() == 2 else x
