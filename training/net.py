"""A composed net: frames in, one number a label out; over clips, and frame by frame with a state.

Legend: B batch, T time, H height, W width, C channels, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from training.border import Border
from training.errors import NetInvalid
from training.nodes import Chain, Extra
from training.particles.particle import StateSpec, initial_state


class Net(nn.Module):
    """A chain of particles behind a border. What it gives are logits, or numbers; tasks make probabilities of them.

    Attributes:
        frames: of a clip; None: it looks at pictures.
        outputs: L.
        state: what it remembers from frame to frame, with names that are unique; empty for pictures.
        streams: whether it can go frame by frame; one that cannot needs a window of `frames`.
    """

    def __init__(self, border: Border, chain: Chain, *, frames: int | None, outputs: int) -> None:
        super().__init__()
        self.border = border
        self.chain = chain
        self.frames = frames
        self.outputs = outputs
        self.state: tuple[StateSpec, ...] = chain.state
        self.streams: bool = chain.streams

    def forward(self, frames: Tensor, extra: Extra | None = None) -> Tensor:
        """What a whole clip, or a picture, comes to.

        Args:
            frames: uint8 or float, grey levels, [B, T, H, W, C]; of pictures T is 1, or there is no T.
            extra: the further inputs by name, [B, …].

        Returns:
            [B, L].
        """
        if self.frames is None and frames.dim() == 5:
            if frames.shape[1] != 1:
                raise NetInvalid(f"The net looks at pictures, and clips of {frames.shape[1]} frames come.")
            frames = frames[:, 0]
        if self.frames is not None and frames.dim() == 4:
            raise NetInvalid(f"The net looks at clips of {self.frames} frames, and single pictures come.")
        x = self.border(frames)
        y: Tensor = self.chain(x, initial_state(self.state, x), extra or {})[0]
        return y

    def step(
        self, frame: Tensor, state: Mapping[str, Tensor], extra: Extra | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One frame of a stream.

        Over the frames of a clip, from the initial state on, the last answer is that of `forward`.

        Args:
            frame: uint8 or float, grey levels, [B, H, W, C].
            state: by name, [B, *shape]: `initial_state` at first, then what the step before gave.

        Returns:
            [B, L] as of this frame, and the state after it.
        """
        if not self.streams:
            raise NetInvalid("The net looks at later frames and cannot go frame by frame; it needs a window.")
        y, after = self.chain.step(self.border(frame), tuple(state[spec.name] for spec in self.state), extra or {})
        return y, {spec.name: value for spec, value in zip(self.state, after, strict=True)}

    def initial_state(self, batch: int) -> dict[str, Tensor]:
        """The state before the first frame of `batch` streams."""
        rows = self.border.mean.new_empty(batch)
        return {spec.name: value for spec, value in zip(self.state, initial_state(self.state, rows), strict=True)}

    def in_time(self, clip: Tensor, extra: Extra | None = None) -> Tensor:
        """What a clip [B, T, H, W, C] comes to after every frame: [B, T, L]."""
        state, answers = self.initial_state(len(clip)), []
        for frame in clip.unbind(1):
            answer, state = self.step(frame, state, extra)
            answers.append(answer)
        return torch.stack(answers, 1)
