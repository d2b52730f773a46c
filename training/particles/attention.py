"""Patches of a map as tokens, and attention among them. Legend: B batch, C channels, H height, W width, N tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.errors import ShapeMismatch
from training.particles.initialisation import initialise
from training.particles.particle import Count, Particle, Share
from training.particles.shape import Shape


class PatchEmbedding(Particle):
    """[B, C, H, W] → [B, N, channels]: every patch × patch square through one linear layer, plus a learnt position.

    N is H / patch · W / patch, and one more in front for the class unless `class_token` is false. Dosovitskiy et al.,
    An Image is Worth 16x16 Words (2021). Xavier; token and positions normal with deviation 0.02.
    """

    def __init__(self, shape: Shape, *, channels: Count, patch: Count = 16, class_token: bool = True) -> None:
        super().__init__()
        incoming, height, width = shape.map()
        if height % patch or width % patch:
            raise ShapeMismatch(f"a map whose height and width are multiples of the patch, {patch}", shape)
        count = (height // patch) * (width // patch) + class_token
        self.out = shape.with_features(count, channels)
        self.project = nn.Conv2d(incoming, channels, patch, patch)
        initialise(self.project.weight.view(channels, -1), self.project.bias, "none")
        self.token = nn.Parameter(torch.empty(1, 1, channels)) if class_token else None
        self.position = nn.Parameter(torch.empty(1, count, channels))
        for one in (self.token, self.position):
            if one is not None:
                nn.init.trunc_normal_(one, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.project(x).flatten(2).transpose(1, 2)
        if self.token is not None:
            tokens = torch.cat([self.token.expand(tokens.shape[0], -1, -1), tokens], 1)
        return tokens + self.position


class Attention(nn.Module):
    """Multi-head attention: softmax(q kᵀ / √d) v, heads side by side; queries [B, M, C], others [B, N, D] → [B, M, C].

    Vaswani et al., Attention Is All You Need (2017). Xavier.
    """

    def __init__(self, channels: int, others: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(others, channels)
        self.value = nn.Linear(others, channels)
        self.project = nn.Linear(channels, channels)
        for layer in (self.query, self.key, self.value, self.project):
            initialise(layer.weight, layer.bias, "none")

    def forward(self, queries: Tensor, others: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, queries), (self.key, others), (self.value, others))
        )
        y: Tensor = self.project(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return y


class TransformerEncoder(Particle):
    """[B, N, C] → [B, N, C]: `layers` times x + attention(norm(x)), then x + mlp(norm(x)); a norm at the end.

    Vaswani et al. (2017), the norm in front as in Dosovitskiy et al. (2021). Xavier; the middle of the mlp is `widen`·C
    with GELU, He.
    """

    def __init__(
        self, shape: Shape, *, layers: Count = 1, heads: Count = 3, widen: Count = 4, dropout: Share = 0.0
    ) -> None:
        super().__init__()
        _, channels = shape.tokens()
        if channels % heads:
            raise ShapeMismatch(f"tokens whose channels are a multiple of {heads} heads", shape)
        self.out = shape
        self.layers = nn.ModuleList(_EncoderLayer(channels, heads, widen, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        y: Tensor = self.norm(x)
        return y


class _EncoderLayer(nn.Module):
    def __init__(self, channels: int, heads: int, widen: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = Attention(channels, channels, heads)
        self.mlp_norm = nn.LayerNorm(channels)
        up, down = nn.Linear(channels, widen * channels), nn.Linear(widen * channels, channels)
        initialise(up.weight, up.bias, "gelu")
        initialise(down.weight, down.bias, "none")
        self.mlp = nn.Sequential(up, nn.GELU(), nn.Dropout(dropout), down)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.attention_norm(x)
        x = x + self.dropout(self.attention(seen, seen))
        y: Tensor = x + self.dropout(self.mlp(self.mlp_norm(x)))
        return y
