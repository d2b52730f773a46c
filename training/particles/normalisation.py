"""Normalisation. Legend: B batch, C channels, H height, W width, N tokens."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from training.errors import ShapeMismatch
from training.particles.particle import Count, Particle
from training.particles.shape import Shape

NormName = Literal["batch", "layer", "group", "none"]


def normalisation(shape: Shape, kind: NormName, groups: int = 8) -> nn.Module:
    """The normalisation of that name for what has this shape.

    Raises:
        ShapeMismatch: the channels cannot be split into so many groups, or batch norm is asked for of tokens.
    """
    channels = shape.channels
    if kind == "none":
        return nn.Identity()
    if kind == "batch":
        if len(shape.features) == 2:
            raise ShapeMismatch("a map [C, H, W] or a vector [C]", shape, hint="Tokens take `kind: layer`.")
        return nn.BatchNorm2d(channels) if len(shape.features) == 3 else nn.BatchNorm1d(channels)
    if kind == "layer":
        # One group over a map is layer norm, with a weight a channel.
        return nn.GroupNorm(1, channels) if len(shape.features) == 3 else nn.LayerNorm(channels)
    if len(shape.features) == 2 or channels % groups:
        raise ShapeMismatch(f"a map [C, H, W] or a vector [C] whose channels are a multiple of {groups} groups", shape)
    return nn.GroupNorm(groups, channels)


class Normalisation(Particle):
    """[B, …] → [B, …]: mean 0, variance 1, then a learnt scale (from 1) and offset (from 0) a channel.

    The mean is over B, H, W for `batch` (Ioffe and Szegedy, 2015; a running one when not training), over all of a
    sample for `layer` (of tokens: of each token; Ba et al., 2016), over a group of channels for `group` (Wu and He,
    2018).
    """

    def __init__(self, shape: Shape, *, kind: Literal["batch", "layer", "group"] = "batch", groups: Count = 8) -> None:
        super().__init__()
        self.out = shape
        self.norm = normalisation(shape, kind, groups)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x)
        return y
