"""Convolutions of maps. Legend: B batch, C channels, H height, W width, k kernel, s stride."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from training.errors import ShapeMismatch
from training.particles.activation import ActivationName
from training.particles.activation import activation as function
from training.particles.initialisation import initialise
from training.particles.normalisation import NormName, normalisation
from training.particles.particle import Count, Particle
from training.particles.shape import Shape

Padding = Literal["same", "valid"]


def convolved(shape: Shape, channels: int, kernel: int, stride: int, padding: Padding) -> Shape:
    """The map that a convolution gives: ⌈H / s⌉ for `same`, ⌊(H − k) / s⌋ + 1 for `valid`.

    Raises:
        ShapeMismatch: no map comes, it is smaller than the kernel, or an even kernel cannot be padded evenly.
    """
    _, height, width = shape.map()
    if padding == "same" and kernel % 2 == 0:
        raise ShapeMismatch(f"an odd kernel for padding `same`, not {kernel}", shape)
    around = 2 * (kernel // 2) if padding == "same" else 0
    if min(height, width) + around < kernel:
        raise ShapeMismatch(f"a map of at least {kernel} × {kernel}", shape)
    return shape.with_features(
        channels, (height + around - kernel) // stride + 1, (width + around - kernel) // stride + 1
    )


class ConvNormActivation(nn.Sequential):
    """Convolution, then normalisation, then activation; the bricks of the particles here."""

    def __init__(
        self,
        shape: Shape,
        channels: int,
        *,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        padding: Padding = "same",
        norm: NormName = "batch",
        activation: ActivationName = "relu",
    ) -> None:
        self.out = convolved(shape, channels, kernel, stride, padding)
        if shape.channels % groups or channels % groups:
            raise ShapeMismatch(f"channels that are a multiple of {groups} groups, before and after", shape)
        # A norm has an offset of its own.
        conv = nn.Conv2d(
            shape.channels, channels, kernel, stride, kernel // 2 if padding == "same" else 0, 1, groups, norm == "none"
        )
        initialise(conv.weight, conv.bias, activation)
        super().__init__(conv, normalisation(self.out, norm), function(activation))


class Convolution(Particle):
    """[B, C, H, W] → [B, channels, H', W']: y = f(norm(W ∗ x + b)); a bias only without norm.

    Fukushima, Neocognitron (1980); LeCun et al., Backpropagation Applied to Handwritten Zip Code Recognition (1989).
    He where `activation` is a ReLU kind, else Xavier.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        channels: Count,
        kernel: Count = 3,
        stride: Count = 1,
        groups: Count = 1,
        padding: Padding = "same",
        norm: NormName = "none",
        activation: ActivationName = "none",
    ) -> None:
        super().__init__()
        self.layers = ConvNormActivation(
            shape,
            channels,
            kernel=kernel,
            stride=stride,
            groups=groups,
            padding=padding,
            norm=norm,
            activation=activation,
        )
        self.out = self.layers.out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class DepthwiseSeparable(Particle):
    """[B, C, H, W] → [B, channels, ⌈H / s⌉, ⌈W / s⌉]: a kernel a channel, then 1×1 across channels, each normalised.

    Howard et al., MobileNets (2017). He.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        channels: Count,
        kernel: Count = 3,
        stride: Count = 1,
        norm: NormName = "batch",
        activation: ActivationName = "relu",
    ) -> None:
        super().__init__()
        alone = shape.map()[0]
        self.depthwise = ConvNormActivation(
            shape, alone, kernel=kernel, stride=stride, groups=alone, norm=norm, activation=activation
        )
        self.pointwise = ConvNormActivation(self.depthwise.out, channels, kernel=1, norm=norm, activation=activation)
        self.out = self.pointwise.out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x))
        return y


class SqueezeExcite(Particle):
    """[B, C, H, W] → the same: every channel times a factor 0…1 that is found from the means of all channels.

    s = σ(W₂ relu(W₁ mean(x))), with C / reduction numbers in between. Hu et al., Squeeze-and-Excitation Networks
    (2018). He for W₁, Xavier for W₂.
    """

    def __init__(self, shape: Shape, *, reduction: Count = 16) -> None:
        super().__init__()
        channels, _, _ = shape.map()
        self.out = shape
        between = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, between)
        self.excite = nn.Linear(between, channels)
        initialise(self.squeeze.weight, self.squeeze.bias, "relu")
        initialise(self.excite.weight, self.excite.bias, "sigmoid")

    def forward(self, x: Tensor) -> Tensor:
        factor: Tensor = self.excite(self.squeeze(x.mean((2, 3))).relu()).sigmoid()
        return x * factor[:, :, None, None]
