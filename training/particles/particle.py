"""What a particle is.

Legend: B batch, T time, C channels, H height, W width, N tokens. Maps are [B, C, H, W], tokens [B, N, C], vectors
[B, C]; with time, T comes after B.

A particle is made with the shape that comes, then its options by name, and says in `out` which shape it gives. The
annotations of the options are how a recipe's values are checked.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from training.particles.shape import Shape

State = tuple[Tensor, ...]
"""What a particle remembers from frame to frame, a tensor for each `StateSpec`, [B, *shape]."""

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, slots=True)
class StateSpec:
    """One tensor of a state: its name, its shape without B, and what every element starts as."""

    name: str
    shape: tuple[int, ...]
    initial: float = 0.0


class Particle(nn.Module):
    """A particle that looks at one frame: [B, …] → [B, …]. All frames of a clip go through it as one batch."""

    out: Shape

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """x: [B, *features] → [B, *out.features]."""


class TemporalParticle(nn.Module):
    """A particle that looks along time.

    `step` over the frames of a clip, from the initial state on, gives what `forward` gives; `forward` is the quick way
    to train it. One that also looks at later frames has `streams` False, and no `step`.
    """

    out: Shape
    state: tuple[StateSpec, ...] = ()
    streams: bool = True

    @abstractmethod
    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x: [B, T, *features] → [B, T, *out.features]; one that pools time gives [B, *out.features]."""

    @abstractmethod
    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One frame: [B, *features] → [B, *out.features]."""


class Fusion(nn.Module):
    """A particle that makes one of two: [B, …], [B, …] → [B, …]."""

    out: Shape

    @abstractmethod
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The two of the same frame → [B, *out.features]."""


def initial_state(specs: Sequence[StateSpec], x: Tensor) -> State:
    """The state before the first frame, for the batch, on the device and in the precision of `x`."""
    return tuple(torch.full((x.shape[0], *spec.shape), spec.initial, device=x.device, dtype=x.dtype) for spec in specs)
