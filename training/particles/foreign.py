"""A module that knows nothing of particles, in a net all the same. Legend: B batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.errors import ShapeMismatch
from training.particles.particle import Particle
from training.particles.shape import Shape


class Foreign(Particle):
    """[B, …] → [B, …]: any `torch.nn.Module` of one tensor. What it gives is found out by running it once on zeros."""

    def __init__(self, shape: Shape, module: nn.Module) -> None:
        super().__init__()
        self.module = module.eval()
        try:
            with torch.no_grad():
                answer = module(torch.zeros(2, *shape.features))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ShapeMismatch(f"something else: it fails ({str(error).splitlines()[0]})", shape) from error
        if not isinstance(answer, Tensor) or answer.dim() < 2 or len(answer) != 2:
            raise ShapeMismatch("to give one tensor [B, …], and does not", shape)
        module.train()
        self.out = shape.with_features(*answer.shape[1:])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.module(x)
        return y
