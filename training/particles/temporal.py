"""Particles that compare and mix neighbouring frames. Legend: B batch, T time, C channels, H height, W width.

Where a frame before the first is wanted there is none: it counts as zeros (for the difference: as no change).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.errors import NetInvalid, ShapeMismatch
from training.particles.activation import ActivationName
from training.particles.activation import activation as function
from training.particles.initialisation import initialise
from training.particles.particle import Count, Share, State, StateSpec, TemporalParticle
from training.particles.shape import Shape


class FrameDifference(TemporalParticle):
    """[B, T, C, …] → [B, T, C, …]: x_t − x_{t−over}, 0 while there is no such frame; with `keep` x_t in front of it,
    2·C channels.

    State: as many frames before, and how many of them there have been. Simonyan and Zisserman, Two-Stream Convolutional
    Networks (2014) give motion beside the picture; plain differences are those of Wang et al., Temporal Segment
    Networks (2016).
    """

    def __init__(self, shape: Shape, *, over: Count = 1, keep: bool = False) -> None:
        super().__init__()
        if over >= shape.clip():
            raise ShapeMismatch(f"a clip of more than {over} frames for `over`: {over}; all would be 0", shape)
        if len(shape.features) == 2:
            raise ShapeMismatch("a clip of maps [T, C, H, W] or vectors [T, C]", shape)
        self.over = over
        self.keep = keep
        self.out = shape.with_features(shape.channels * (1 + keep), *shape.features[1:])
        self.state = (StateSpec("before", (over, *shape.features)), StateSpec("seen", (1,)))

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        before, seen = state
        frames = torch.cat([before, x], 1)
        # How many there were before each frame: [B, T].
        known = seen + torch.arange(x.shape[1], device=x.device)
        there = (known >= self.over).to(x.dtype)
        difference = (x - frames[:, : x.shape[1]]) * there.reshape(*there.shape, *[1] * (x.dim() - 2))
        after = frames[:, -self.over :], (seen + x.shape[1]).clamp(max=self.over)
        return torch.cat([x, difference], 2) if self.keep else difference, after

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        before, seen = state
        there = (seen >= self.over).to(x.dtype)
        difference = (x - before[:, 0]) * there.reshape(-1, *[1] * (x.dim() - 1))
        after = torch.cat([before[:, 1:], x[:, None]], 1), (seen + 1).clamp(max=self.over)
        return torch.cat([x, difference], 1) if self.keep else difference, after


class TemporalShift(TemporalParticle):
    """[B, T, C, …] → the same: the first `share` of the channels come from the frame before.

    State: those channels. With `causal` false as many come from the frame after, and a window is needed. It costs
    nothing, and a convolution after it sees two frames or three. Lin et al., TSM: Temporal Shift Module (2019).
    """

    def __init__(self, shape: Shape, *, share: Share = 0.125, causal: bool = True) -> None:
        super().__init__()
        shape.clip()
        if len(shape.features) == 2:
            raise ShapeMismatch("a clip of maps [T, C, H, W] or vectors [T, C]", shape)
        self.count = max(1, int(shape.channels * share))
        if self.count * (1 if causal else 2) > shape.channels:
            raise ShapeMismatch("more channels to take some from the frames beside", shape)
        self.streams = causal
        self.out = shape
        self.state = (StateSpec("before", (self.count, *shape.features[1:])),)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        moved, own = x[:, :, : self.count], x[:, :, self.count :]
        parts = [torch.cat([state[0][:, None], moved[:, :-1]], 1)]
        if not self.streams:
            later, own = own[:, :, : self.count], own[:, :, self.count :]
            parts.append(torch.cat([later[:, 1:], torch.zeros_like(later[:, :1])], 1))
        return torch.cat([*parts, own], 2), (moved[:, -1],)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        _only_if(self.streams)
        return torch.cat([state[0], x[:, self.count :]], 1), (x[:, : self.count],)


class TemporalConvolution(TemporalParticle):
    """[B, T, C, …] → [B, T, channels, …]: y_t = f(Σ_i W_i x_{t−i·dilation} + b) over `kernel` frames, place by place.

    State: the (kernel − 1)·dilation frames before. With `causal` false the frames around t, and a window is needed. Bai
    et al., An Empirical Evaluation of Generic Convolutional and Recurrent Networks (2018). He for ReLU kinds, else
    Xavier.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        channels: Count,
        kernel: Count = 3,
        dilation: Count = 1,
        causal: bool = True,
        activation: ActivationName = "none",
    ) -> None:
        super().__init__()
        shape.clip()
        if len(shape.features) == 2:
            raise ShapeMismatch("a clip of maps [T, C, H, W] or vectors [T, C]", shape)
        if not causal and kernel % 2 == 0:
            raise ShapeMismatch(f"an odd kernel around a frame, not {kernel}", shape)
        self.reach = (kernel - 1) * dilation
        self.streams = causal
        self.out = shape.with_features(channels, *shape.features[1:])
        # Without frames before, a state of no frames would be a tensor of no numbers.
        self.state = (StateSpec("before", (self.reach, *shape.features)),) if causal and self.reach else ()
        self.convolution = nn.Conv3d(shape.channels, channels, (kernel, 1, 1), dilation=(dilation, 1, 1))
        initialise(self.convolution.weight, self.convolution.bias, activation)
        self.activation = function(activation)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if self.streams:
            seen = torch.cat([*state, x], 1)
            return self._over(seen), tuple(seen[:, -self.reach :] for _ in state)
        beside = torch.zeros_like(x[:, :1]).expand(-1, self.reach // 2, *x.shape[2:])
        return self._over(torch.cat([beside, x, beside], 1)), ()

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        _only_if(self.streams)
        seen = torch.cat([*state, x[:, None]], 1)
        return self._over(seen)[:, 0], tuple(seen[:, 1:] for _ in state)

    def _over(self, seen: Tensor) -> Tensor:
        """[B, T + reach, C, …] → [B, T, channels, …]."""
        places = seen.transpose(1, 2)
        flat = len(self.out.features) == 1
        y: Tensor = self.activation(self.convolution(places[..., None, None] if flat else places))
        return (y[..., 0, 0] if flat else y).transpose(1, 2)


def _only_if(streams: bool) -> None:
    if not streams:
        raise NetInvalid("A particle with `causal: false` looks at later frames and cannot go frame by frame.")
