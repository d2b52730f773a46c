"""Particles as people write them, and as they write them wrong."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.particles.particle import Particle, State, StateSpec, TemporalParticle
from training.particles.shape import Shape


class Trace(TemporalParticle):
    """What came before fades away."""

    def __init__(self, shape: Shape, *, fading: float = 0.5) -> None:
        super().__init__()
        self.out, self.fading = shape, fading
        self.state = (StateSpec("trace", tuple(shape.features)),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        trace = self.fading * state[0] + x
        return trace, (trace,)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        answers = []
        for frame in x.unbind(1):
            answer, state = self.step(frame, state)
            answers.append(answer)
        return torch.stack(answers, 1), state


class Forgetful(Trace):
    """Its `forward` forgets what its `step` remembers."""

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return x, state


class Stepless(TemporalParticle):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.out = shape

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return x, state


class Short(Trace):
    """Its `step` gives less than it says."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return x[:, :1], state

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return x, state


class Silent(Particle):
    """It does not say what it gives."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class Liar(Particle):
    """It says that it gives twice as much as it does."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.out = shape.with_features(2 * shape.channels, *shape.features[1:])

    def forward(self, x: Tensor) -> Tensor:
        return x


class Failing(Particle):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.out = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(1, 2, 3)


class Counting(Particle):
    """Its statistics are not to move before training begins."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.out = shape
        self.norm = nn.BatchNorm2d(shape.channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x)
        return y
