"""Particles that make one of all frames. Legend: B batch, T time, C channels.

In a clip of T frames they give what the whole clip comes to; frame by frame what the last T frames come to, so that a
stream that runs for days is judged by what is happening, and not by all that ever did.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from training.particles.initialisation import initialise
from training.particles.particle import Count, State, StateSpec, TemporalParticle
from training.particles.pooling import TINY
from training.particles.shape import Shape

LOWEST = -3.0e38
"""Less than any number that is compared with it, and still finite in float32."""


class TimePool(TemporalParticle):
    """[B, T, …] → [B, …]: the last frame, or the mean, the largest or the standard deviation over the last T frames.

    State: those frames, the newest last; of means and deviations also how many there are already. Means over frames:
    Karpathy et al., Large-scale Video Classification with Convolutional Neural Networks (2014); deviations beside them:
    Snyder et al., X-Vectors (2018).
    """

    def __init__(self, shape: Shape, *, kind: Literal["last", "mean", "max", "std"] = "last") -> None:
        super().__init__()
        self.frames = shape.clip()
        self.out = shape.frame
        self.kind = kind
        if kind in ("mean", "std"):
            self.state = (StateSpec("recent", (self.frames, *shape.features)), StateSpec("count", (1,)))
        elif kind == "max":
            self.state = (StateSpec("recent", (self.frames, *shape.features), LOWEST),)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if self.kind == "last":
            return x[:, -1], ()
        recent = _newest(state[0], x)
        if self.kind == "max":
            return recent.amax(1), (recent,)
        count = (state[1] + x.shape[1]).clamp(max=self.frames)
        many = count.reshape(-1, *[1] * (x.dim() - 2))
        # Frames that have not been yet are zeros.
        mean = recent.sum(1) / many
        if self.kind == "mean":
            return mean, (recent, count)
        there = torch.arange(self.frames, 0, -1, device=x.device) <= count
        off = (recent - mean[:, None]) * there.reshape(*there.shape, *[1] * (x.dim() - 2)).to(x.dtype)
        return (off.square().sum(1) / many + TINY).sqrt(), (recent, count)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self(x[:, None], state)  # type: ignore[no-any-return]


class AttentionPooling(TemporalParticle):
    """[B, T, C] → [B, C]: Σ_t a_t x_t, a = softmax over the last T frames of w·tanh(V x_t), V with `hidden` rows.

    State: those frames and their scores, the newest last. Ilse et al., Attention-based Deep Multiple Instance Learning
    (2018). Xavier.
    """

    def __init__(self, shape: Shape, *, hidden: Count = 64) -> None:
        super().__init__()
        frames, channels = shape.clip(), shape.vector()
        self.out = shape.frame
        self.hidden = nn.Linear(channels, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        initialise(self.hidden.weight, self.hidden.bias, "tanh")
        initialise(self.score.weight, None, "none")
        self.state = (StateSpec("recent", (frames, channels)), StateSpec("score", (frames, 1), LOWEST))

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        recent = _newest(state[0], x)
        score = _newest(state[1], self.score(self.hidden(x).tanh()))
        return (score.softmax(1) * recent).sum(1), (recent, score)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self(x[:, None], state)  # type: ignore[no-any-return]


def _newest(recent: Tensor, x: Tensor) -> Tensor:
    """As many frames as `recent` has: [B, T, …] and the frames [B, any, …] after it → [B, T, …]."""
    frames = recent.shape[1]
    return x[:, -frames:] if x.shape[1] >= frames else torch.cat([recent[:, x.shape[1] :], x], dim=1)
