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
    """The order of a model's axes."""

    NCHW = "nchw"
    NHWC = "nhwc"


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
        """Fitted frames uint8 [B, H, W, 3], BGR, as the untouched model takes them."""
        values: npt.NDArray[Any] = frames[..., ::-1] if self.colour is Colour.RGB else frames
        if self.dtype != "uint8":
            values = (values.astype(np.float32) - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        if self.layout is Layout.NCHW:
            values = values.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(values, self.dtype)
