"""A net's border: frames as they are decoded in, numbers as nets like them out, so that export is the same arithmetic.

Legend: B batch, T time, H height, W width, C channels.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from training.configuration import Config

Size = Annotated[int, Field(ge=1, le=8192)]

_GREY_OF_BGR = (0.114, 0.587, 0.299)
"""ITU-R BT.601, as OpenCV does it."""


class InputConfig(Config):
    """`input`: what the net looks at."""

    height: Size = Field(description="of a frame, in pixels")
    width: Size = Field(description="of a frame, in pixels")
    channels: Literal[1, 3] = Field(default=3, description="1 grey, 3 BGR; the net makes one of the other")
    frames: Size | None = Field(default=None, description="frames of a clip; absent: pictures")
    mean: tuple[float, ...] = Field(default=(0.0,), description="subtracted, in grey levels; one, or one a channel")
    std: tuple[float, ...] = Field(
        default=(255.0,), description="then divided by, in grey levels; one, or one a channel"
    )
    also: dict[str, tuple[Size, ...]] = Field(
        default={}, description="further inputs by name with their shape, such as `audio: [1, 64, 96]`, for `branches`"
    )

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _as_many_as_channels(self) -> InputConfig:
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, self.channels):
                raise ValueError(f"`{name}` needs one number, or {self.channels}")
        if not all(self.std):
            raise ValueError("`std` must not be 0")
        return self


class Border(nn.Module):
    """uint8 or float frames [B, H, W, C] or [B, T, H, W, C], grey levels 0…255 → float [B, C, H, W], [B, T, C, H, W].

    Grey is made of BGR and BGR of grey where the net wants the other; then (x − mean) / std.
    """

    mean: Tensor
    std: Tensor
    grey: Tensor

    def __init__(self, config: InputConfig) -> None:
        super().__init__()
        self.channels = config.channels
        # What a configuration says is no weight: it stays out of checkpoints.
        for name, values in (("mean", config.mean), ("std", config.std), ("grey", _GREY_OF_BGR)):
            self.register_buffer(name, torch.tensor(values).reshape(-1, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        x = frames.movedim(-1, -3).to(self.mean.dtype, memory_format=torch.contiguous_format)
        if x.shape[-3] == 3 and self.channels == 1:
            x = (x * self.grey).sum(-3, keepdim=True)
        x = (x - self.mean) / self.std
        return x.expand(*x.shape[:-3], 3, -1, -1) if x.shape[-3] < self.channels else x
