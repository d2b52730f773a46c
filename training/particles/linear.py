"""Fully connected layers, and dropout. Legend: B batch, C channels, N tokens."""

from __future__ import annotations

from torch import Tensor, nn

from training.errors import ShapeMismatch
from training.particles.activation import ActivationName
from training.particles.activation import activation as function
from training.particles.initialisation import initialise
from training.particles.particle import Count, Particle, Share
from training.particles.shape import TO_VECTOR, Shape


class Linear(Particle):
    """Fully connected: [B, C] → [B, channels], y = f(W x + b); of tokens [B, N, C] → [B, N, channels] each by itself.

    Rosenblatt, The Perceptron (1958). He where `activation` is a ReLU kind, else Xavier.
    """

    def __init__(
        self, shape: Shape, *, channels: Count, activation: ActivationName = "none", bias: bool = True
    ) -> None:
        super().__init__()
        if len(shape.features) == 3:
            raise ShapeMismatch("a vector [C] or tokens [N, C]", shape, hint=TO_VECTOR)
        self.out = shape.with_features(*shape.features[:-1], channels)
        self.linear = nn.Linear(shape.channels, channels, bias=bias)
        self.activation = function(activation)
        initialise(self.linear.weight, self.linear.bias, activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(self.linear(x))
        return y


class Dropout(Particle):
    """[B, …] → [B, …]: while training, `share` of the numbers are 0 and the others grow by 1 / (1 − share).

    Srivastava et al., Dropout (2014). With `channels` whole channels of a map are dropped (Tompson et al., 2015).
    """

    def __init__(self, shape: Shape, *, share: Share = 0.5, channels: bool = False) -> None:
        super().__init__()
        self.out = shape
        if channels:
            shape.map()
        self.dropout: nn.Module = nn.Dropout2d(share) if channels else nn.Dropout(share)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout(x)
        return y
