"""Activations. Legend: … any axes."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from training.particles.particle import Particle
from training.particles.shape import Shape

ActivationName = Literal["relu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid", "abs", "log", "none"]

RECTIFIERS: frozenset[ActivationName] = frozenset({"relu", "leaky_relu", "gelu", "silu"})
"""Those that let about half of the signal through."""

LEAK = 0.01


class _Abs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


class _Log(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sign() * x.abs().log1p()


_FUNCTIONS: dict[ActivationName, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "abs": _Abs,
    "log": _Log,
    "none": nn.Identity,
}


def activation(name: ActivationName) -> nn.Module:
    """The function of that name as a module."""
    return _FUNCTIONS[name]()


class Activation(Particle):
    """[B, …] → [B, …], each number by itself.

    relu max(0, x) (Nair and Hinton, 2010), leaky_relu max(0.01 x, x) (Maas et al., 2013), gelu x·Φ(x) (Hendrycks and
    Gimpel, 2016), silu x·σ(x) (Elfwing et al., 2017), tanh, sigmoid, abs |x| (Jarrett et al., 2009; of a
    difference, how much it is), log sign(x)·ln(1 + |x|) (Webber, 2012; where some numbers are many times larger).
    """

    def __init__(self, shape: Shape, *, function: ActivationName = "relu") -> None:
        super().__init__()
        self.out = shape
        self.function = activation(function)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.function(x)
        return y
