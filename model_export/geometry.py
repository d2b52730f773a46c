"""From a frame to a model's input, and boxes back. Trainer and server share it; there is no second implementation.

Coordinates are continuous: pixel (0, 0) covers 0…1 in x and y, so a box of a whole frame is 0, 0, width, height. A
resized picture keeps its corners, which is how OpenCV resizes: the mapping is a scale and an offset per axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from model_export.manifest import FrameInput, Resize

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]


class Rectangle(NamedTuple):
    """Whole pixels: left and top edge, width, height."""

    x: int
    y: int
    width: int
    height: int

    def of(self, picture: U8) -> U8:
        """This part of a picture [H, W, 3], as a view."""
        return picture[self.y : self.y + self.height, self.x : self.x + self.width]


@dataclass(frozen=True)
class Placement:
    """Where a frame lies in a model's input.

    `input = source * scale + offset` for each axis.

    Attributes:
        source_width, source_height: of the frame, in pixels.
        width, height: of the model's input, in pixels.
        used: the part of the frame that is seen (all of it, but for `crop`).
        filled: the part of the input that it fills (all of it, but for `letterbox`).
        scale_x, scale_y: input pixels per source pixel.
        offset_x, offset_y: in input pixels.
    """

    source_width: int
    source_height: int
    width: int
    height: int
    used: Rectangle
    filled: Rectangle
    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float

    @cached_property
    def corners(self) -> tuple[F64, F64, F64]:
        """Scale, offset and limits of x1 y1 x2 y2, f64 [4] each."""
        scale = np.array([self.scale_x, self.scale_y] * 2)
        offset = np.array([self.offset_x, self.offset_y] * 2)
        return scale, offset, np.array([self.source_width, self.source_height] * 2, np.float64)


def place(spec: FrameInput, width: int, height: int) -> Placement:
    """Where frames of `width` × `height` pixels lie in the input `spec`.

    A side that comes to less than half a pixel is given one.

    Raises:
        ValueError: a side is not positive.
    """
    # Remembered by plain values: to compare a spec with an equal one costs more than all else here.
    return _place(spec.width, spec.height, spec.resize, spec.align, width, height)


@lru_cache(maxsize=256)
def _place(input_width: int, input_height: int, resize: Resize, align: str, width: int, height: int) -> Placement:
    if width < 1 or height < 1:
        raise ValueError(f"a frame of {width}x{height} pixels")
    used = Rectangle(0, 0, width, height)
    filled = Rectangle(0, 0, input_width, input_height)
    if resize is Resize.LETTERBOX:
        scale = min(input_width / width, input_height / height)
        inner_width = min(max(round(width * scale), 1), input_width)
        inner_height = min(max(round(height * scale), 1), input_height)
        left, top = 0, 0
        if align == "center":
            left, top = (input_width - inner_width) // 2, (input_height - inner_height) // 2
        filled = Rectangle(left, top, inner_width, inner_height)
    elif resize is Resize.CROP:
        scale = max(input_width / width, input_height / height)
        seen_width = min(max(round(input_width / scale), 1), width)
        seen_height = min(max(round(input_height / scale), 1), height)
        used = Rectangle((width - seen_width) // 2, (height - seen_height) // 2, seen_width, seen_height)
    scale_x, scale_y = filled.width / used.width, filled.height / used.height
    return Placement(
        source_width=width,
        source_height=height,
        width=input_width,
        height=input_height,
        used=used,
        filled=filled,
        scale_x=scale_x,
        scale_y=scale_y,
        offset_x=filled.x - used.x * scale_x,
        offset_y=filled.y - used.y * scale_y,
    )


def fit(frame: U8, spec: FrameInput, out: U8 | None = None, *, framed: bool = False) -> U8:
    """A frame as the model takes it.

    Args:
        frame: uint8 [H, W, 3], BGR.
        spec: the model's input.
        out: uint8 [spec.height, spec.width, 3], C order (a shared-memory slot): written in place and returned;
            None makes a new array.
        framed: `out` holds another frame of this size, so what is around it is there already.

    Raises:
        ValueError: a frame or `out` of another shape, dtype or order.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"frame: expected uint8 [H, W, 3], got {frame.dtype} {list(frame.shape)}")
    shape = (spec.height, spec.width, 3)
    if out is None:
        out = np.empty(shape, np.uint8)
    elif out.shape != shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise ValueError(f"out: expected uint8 {list(shape)} in C order, got {out.dtype} {list(out.shape)}")
    placement = place(spec, frame.shape[1], frame.shape[0])
    used, filled = placement.used, placement.filled
    source, target = used.of(frame), filled.of(out)
    if source.shape == target.shape:
        target[...] = source
    else:
        smaller = filled.width < used.width or filled.height < used.height
        _resize(source, target, cv2.INTER_AREA if spec.interpolation == "area" and smaller else cv2.INTER_LINEAR)
    if not framed:
        _fill_around(out, filled, spec.pad)
    return out


def _resize(source: U8, target: U8, interpolation: int) -> None:
    height, width = target.shape[:2]
    halves = source.shape[:2] == (2 * height, 2 * width)
    # Intel's code, where OpenCV has it, makes the same area in half to a sixth of the time, but for one number in a
    # hundred thousand, which it rounds the other way; but OpenCV is quicker at halving. Linear, a tenth would differ.
    cv2.ipp.setUseIPP_NotExact(interpolation == cv2.INTER_AREA and not halves)
    resized = cv2.resize(source, (width, height), dst=target, interpolation=interpolation)
    cv2.ipp.setUseIPP_NotExact(False)
    # OpenCV writes into `dst` only where it accepts the layout, and says so by returning it.
    if not np.may_share_memory(resized, target):
        target[...] = resized


def _fill_around(out: U8, filled: Rectangle, grey: int) -> None:
    height, width = out.shape[:2]
    bottom, right = filled.y + filled.height, filled.x + filled.width
    if filled.y or bottom < height:
        out[: filled.y] = grey
        out[bottom:] = grey
    if filled.x or right < width:
        out[filled.y : bottom, : filled.x] = grey
        out[filled.y : bottom, right:] = grey


def to_source(xyxy: F32, placement: Placement) -> F32:
    """Boxes from input pixels to source pixels, clipped to the frame.

    Args:
        xyxy: f32 [N, 4], x1 y1 x2 y2 in pixels of the model's input.
        placement: of the frame they were found in.

    Returns:
        f32 [N, 4], x1 y1 x2 y2 in pixels of the source frame.
    """
    if not len(xyxy):
        return xyxy
    scale, offset, limit = placement.corners
    mapped: F32 = ((xyxy - offset) / scale).clip(0.0, limit).astype(np.float32)
    return mapped
