"""How a sample is brought to the frames that a net takes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from model_export.manifest import FrameInput, Resize
from training.configuration import Config


class FrameSpec(Config):
    """The frames of a clip: `input` of a data configuration. A picture is a clip of one frame."""

    width: int = Field(ge=4, le=4096, description="of a frame, in pixels")
    height: int = Field(ge=4, le=4096, description="of a frame, in pixels")
    channels: Literal[1, 3] = Field(default=3, description="3: BGR, as OpenCV decodes; 1: grey")
    resize: Resize = Field(default=Resize.LETTERBOX, description="letterbox, stretch or crop")
    pad: int = Field(default=114, ge=0, le=255, description="grey level around a letterboxed frame")
    align: Literal["top_left", "center"] = Field(default="center", description="where a letterboxed frame lies")
    interpolation: Literal["linear", "area"] = Field(default="area", description="how frames are made smaller")
    frames: int = Field(default=1, ge=1, le=1024, description="of a clip that a net sees at once")
    fps: float | None = Field(
        default=None,
        gt=0,
        le=240,
        description="frames taken for each second of a video; without it, `frames` are spread over all of the video",
    )
    longest_s: float = Field(default=120.0, gt=0, description="of a video or cut; a longer one counts as broken")

    @property
    def geometry(self) -> FrameInput:
        """What fits a frame, in training as in the server."""
        return FrameInput(
            width=self.width,
            height=self.height,
            resize=self.resize,
            pad=self.pad,
            align=self.align,
            interpolation=self.interpolation,
        )
