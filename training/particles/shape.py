"""The shape of what goes from particle to particle.

Legend: B batch, T time (frames of a clip), C channels, H height, W width, N tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from training.errors import ShapeMismatch

TO_VECTOR = "Put `flatten` or `global_pool` in between."


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape without its batch.

    Attributes:
        features: of one frame: a map (C, H, W), tokens (N, C) or a vector (C,).
        time: frames of a clip, T; None where there is no time. The tensor is [B, T, *features] or [B, *features].
    """

    features: tuple[int, ...]
    time: int | None = None

    def __str__(self) -> str:
        names = {1: "C", 2: "NC", 3: "CHW"}.get(len(self.features), "")
        sizes = [f"{name} {size}" for name, size in zip(names, self.features, strict=False)]
        kind = {1: "a vector", 2: "tokens", 3: "a map"}.get(len(self.features), f"{self.features}")
        over = [] if self.time is None else [f"T {self.time}"]
        return f"{kind} [{', '.join(over + sizes)}]"

    @property
    def size(self) -> int:
        """Numbers in one frame."""
        return math.prod(self.features)

    @property
    def channels(self) -> int:
        """C: of a map the first axis, else the last."""
        return self.features[0] if len(self.features) == 3 else self.features[-1]

    @property
    def frame(self) -> Shape:
        """The same without time."""
        return replace(self, time=None)

    def with_features(self, *features: int) -> Shape:
        """Other features, the same time."""
        return replace(self, features=features)

    def map(self) -> tuple[int, int, int]:
        """(C, H, W).

        Raises:
            ShapeMismatch: it is no map.
        """
        if len(self.features) != 3:
            raise ShapeMismatch("a map [C, H, W]", self)
        channels, height, width = self.features
        return channels, height, width

    def tokens(self) -> tuple[int, int]:
        """(N, C).

        Raises:
            ShapeMismatch: these are no tokens.
        """
        if len(self.features) != 2:
            raise ShapeMismatch("tokens [N, C]", self)
        count, channels = self.features
        return count, channels

    def vector(self) -> int:
        """C.

        Raises:
            ShapeMismatch: it is no vector.
        """
        if len(self.features) != 1:
            raise ShapeMismatch("a vector [C]", self, hint=TO_VECTOR)
        return self.features[0]

    def clip(self) -> int:
        """T.

        Raises:
            ShapeMismatch: there is no time.
        """
        if self.time is None:
            raise ShapeMismatch(
                "a clip [T, …]", self, hint="`frames` of the input makes clips; where time is pooled they end."
            )
        return self.time
