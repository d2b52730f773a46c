"""Particles that make one of all frames. Legend: B batch, T time, C channels.

In a clip they give what the whole clip comes to; frame by frame what the frames so far come to.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from training.particles.initialisation import initialise
from training.particles.particle import Count, State, StateSpec, TemporalParticle
from training.particles.shape import Shape

LOWEST = -3.0e38
"""Less than any number that is compared with it, and still finite in float32."""


class TimePool(TemporalParticle):
    """[B, T, …] → [B, …]: the last frame, or the mean or the largest over all frames.

    State of the mean: the sum and how many; of the largest: it. Means over frames: Karpathy et al., Large-scale Video
    Classification with Convolutional Neural Networks (2014).
    """

    def __init__(self, shape: Shape, *, kind: Literal["last", "mean", "max"] = "last") -> None:
        super().__init__()
        shape.clip()
        self.out = shape.frame
        self.kind = kind
        if kind == "mean":
            self.state = (StateSpec("sum", shape.features), StateSpec("count", (1,)))
        elif kind == "max":
            self.state = (StateSpec("largest", shape.features, LOWEST),)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if self.kind == "last":
            return x[:, -1], ()
        if self.kind == "max":
            return self._largest(x.amax(1), state)
        return self._mean(x.sum(1), x.shape[1], state)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if self.kind == "last":
            return x, ()
        return self._largest(x, state) if self.kind == "max" else self._mean(x, 1, state)

    def _largest(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        largest = torch.maximum(x, state[0])
        return largest, (largest,)

    def _mean(self, x: Tensor, frames: int, state: State) -> tuple[Tensor, State]:
        total, count = state[0] + x, state[1] + frames
        return total / count.reshape(-1, *[1] * (x.dim() - 1)), (total, count)


class AttentionPooling(TemporalParticle):
    """[B, T, C] → [B, C]: Σ_t a_t x_t, a = softmax over t of w·tanh(V x_t), V with `hidden` rows.

    State: the largest score so far, and numerator and denominator of the softmax relative to it, so that frame by frame
    is exact. Ilse et al., Attention-based Deep Multiple Instance Learning (2018). Xavier.
    """

    def __init__(self, shape: Shape, *, hidden: Count = 64) -> None:
        super().__init__()
        shape.clip()
        channels = shape.vector()
        self.out = shape.frame
        self.hidden = nn.Linear(channels, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        initialise(self.hidden.weight, self.hidden.bias, "tanh")
        initialise(self.score.weight, None, "none")
        self.state = (
            StateSpec("largest", (1,), LOWEST),
            StateSpec("numerator", (channels,)),
            StateSpec("denominator", (1,)),
        )

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        before, numerator, denominator = state
        score: Tensor = self.score(self.hidden(x).tanh())
        largest = torch.maximum(score.amax(1), before)
        weight, kept = (score - largest[:, None]).exp(), (before - largest).exp()
        numerator = kept * numerator + (weight * x).sum(1)
        denominator = kept * denominator + weight.sum(1)
        return numerator / denominator, (largest, numerator, denominator)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self(x[:, None], state)  # type: ignore[no-any-return]
