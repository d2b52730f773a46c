"""Particles for tests: in float64, with numbers drawn from a seed."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy_layers import Array
from torch import Tensor, nn

from training.particles.shape import Shape

Module = TypeVar("Module", bound=nn.Module)


def a_map(channels: int = 2, height: int = 5, width: int = 6, *, time: int | None = None) -> Shape:
    return Shape((channels, height, width), time)


def some_tokens(count: int = 4, channels: int = 6) -> Shape:
    return Shape((count, channels))


def a_vector(channels: int = 5, *, time: int | None = None) -> Shape:
    return Shape((channels,), time)


def numbers(shape: Shape, *, batch: int = 3, seed: int = 0) -> Tensor:
    """[B, …] or [B, T, …] between −2 and 2."""
    over = () if shape.time is None else (shape.time,)
    drawn = np.random.default_rng(seed).uniform(-2, 2, (batch, *over, *shape.features))
    return torch.from_numpy(drawn)


def drawn(module: Module, seed: int = 1) -> Module:
    """The module in float64, its weights and offsets all different from what they start as."""
    module = module.double()
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.from_numpy(rng.uniform(-0.7, 0.7, tuple(weight.shape))))
    return module


def weights(module: nn.Module) -> dict[str, Array]:
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


def within(found: dict[str, Array], prefix: str) -> dict[str, Array]:
    """The weights of a part, without its name."""
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}


def array(x: Tensor) -> Array:
    return x.detach().numpy()
