"""The arithmetic that a model wants done to a fitted frame. `graph` puts it into the graph; this is what it means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Channels = tuple[float, float, float]


class Colour(StrEnum):
    """The order of a model's channels."""

    BGR = "bgr"
    RGB = "rgb"


class Layout(StrEnum):
    """The order of a model's axes, a letter each: N the batch, T time, C channels, H height, W width."""

    NCHW = "nchw"
    NHWC = "nhwc"
    NCTHW = "ncthw"
    NTCHW = "ntchw"
    NTHWC = "nthwc"

    @property
    def of_clips(self) -> bool:
        return "t" in self.value

    @property
    def permutation(self) -> tuple[int, ...]:
        """How the axes of frames, [N, H, W, C], or of clips, [N, T, H, W, C], are to be transposed."""
        given = "nthwc" if self.of_clips else "nhwc"
        return tuple(given.index(letter) for letter in self.value)

    def row(self, frame: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one row, without the batch, of a frame (H, W, C) or a clip (T, H, W, C)."""
        return tuple(frame[place - 1] for place in self.permutation[1:])


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """`(grey level - mean) / std`, in the model's channel order.

    Attributes:
        colour, layout: of the model's input.
        mean, std: per channel, in grey levels 0…255; torchvision's 0.485 and 0.229 are 123.675 and 58.395 here.
        dtype: NumPy's name for the type of the model's input.
    """

    colour: Colour = Colour.BGR
    layout: Layout = Layout.NCHW
    mean: Channels = (0.0, 0.0, 0.0)
    std: Channels = (1.0, 1.0, 1.0)
    dtype: str = "float32"

    def apply(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Fitted frames uint8 [B, H, W, 3], BGR, or clips [B, T, H, W, 3], as the untouched model takes them."""
        values: npt.NDArray[Any] = frames[..., ::-1] if self.colour is Colour.RGB else frames
        if self.dtype != "uint8":
            values = (values.astype(np.float32) - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(values.transpose(self.layout.permutation), self.dtype)
