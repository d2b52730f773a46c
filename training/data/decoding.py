"""A sample's frames, decoded and fitted by the code that the server uses. Without torch: it runs in many processes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from model_export.errors import VideoUnreadable
from model_export.geometry import fit
from model_export.sampling import Sampler
from model_export.video import open_video
from training.data.frame_spec import FrameSpec
from training.data.listing import PICTURES, U8, Sample
from training.errors import DataInvalid

F64 = npt.NDArray[np.float64]

_MANY = 256
"""Frames kept while it is not known how long a video is; past that, every second one is let go."""


def decode(sample: Sample, spec: FrameSpec) -> U8:
    """All frames of a sample that a net may see, uint8 [K, height, width, channels].

    With `spec.fps` K is as many as the video has; without, it is `spec.frames`, or fewer if the video has fewer.

    Raises:
        VidserveError: the file cannot be read, or is longer than `spec.longest_s`.
    """
    return decode_timed(sample, spec)[0]


def decode_timed(sample: Sample, spec: FrameSpec) -> tuple[U8, F64]:
    """The same, and when each frame is shown, float64 [K], in seconds of the file; a picture is shown at 0."""
    if sample.path.suffix.lower() in PICTURES:
        return decode_picture(read_picture(sample.path), sample, spec), np.zeros(1)
    found = _fitted_frames(sample, spec)
    if not found:
        raise DataInvalid(f"{sample.id} has no frame between its start and its end.")
    if spec.fps is None:
        found = [found[at] for at in _spread(len(found), spec.frames)]
    return np.stack([frame for _, frame in found]), np.array([pts_s for pts_s, _ in found])


def decode_picture(picture: U8, sample: Sample, spec: FrameSpec) -> U8:
    """A picture's sample, or the part of it that the sample is, as a clip of one frame.

    Args:
        picture: uint8 [H, W, 3], BGR.

    Raises:
        DataInvalid: nothing of the sample's box lies in the picture.
    """
    if sample.box is not None:
        x1, y1, x2, y2 = sample.box
        picture = picture[max(y1, 0) : y2, max(x1, 0) : x2]
        if not picture.size:
            raise DataInvalid(f"The box of {sample.id} lies outside of its picture.")
    return _fitted(picture, spec)[None]


def read_picture(path: Path) -> U8:
    """A picture, uint8 [H, W, 3] BGR, turned as it was meant.

    Raises:
        DataInvalid: it cannot be read.
    """
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataInvalid(f"It cannot be read: {error.strerror}.") from error
    picture = cv2.imdecode(content, cv2.IMREAD_COLOR_BGR) if content.size else None
    if picture is None:
        raise DataInvalid("It is no picture that OpenCV can read.", hint="Save it again as PNG or JPEG.")
    return np.asarray(picture, np.uint8)


def _fitted_frames(sample: Sample, spec: FrameSpec) -> list[tuple[float, U8]]:
    """The frames of a video between start and end with their seconds, at the rate asked for; thinned out evenly if they
    are many.
    """
    start_s, end_s = sample.start_s or 0.0, sample.end_s
    sampler, stride, count = Sampler(spec.fps), 1, 0
    kept: list[tuple[float, U8]] = []
    with open_video(sample.path) as video:
        while video.grab():
            if video.pts_s < start_s:
                continue
            if end_s is not None and video.pts_s >= end_s:
                break
            if video.pts_s - start_s > spec.longest_s:
                raise DataInvalid(
                    f"It is longer than {spec.longest_s:g} seconds.",
                    hint="Give start_s and end_s in a list, or raise `input.longest_s`.",
                )
            if not sampler.wants(video.pts_s - start_s):
                continue
            count += 1
            if (count - 1) % stride:
                continue
            frame = video.retrieve()
            if frame is None:
                raise VideoUnreadable(f"The frame at {video.pts_s:.2f} s does not decode.")
            kept.append((video.pts_s, _fitted(frame, spec)))
            if spec.fps is None and len(kept) >= max(_MANY, 4 * spec.frames):
                kept, stride = kept[::2], stride * 2
    return kept


def _fitted(frame: U8, spec: FrameSpec) -> U8:
    """uint8 [height, width, channels]."""
    fitted = fit(frame, spec.geometry)
    return np.asarray(cv2.cvtColor(fitted, cv2.COLOR_BGR2GRAY), np.uint8)[..., None] if spec.channels == 1 else fitted


def _spread(count: int, wanted: int) -> list[int]:
    """`wanted` of `count` frames, from the middle of equal parts; all, where there are not more."""
    if count <= wanted:
        return list(range(count))
    return [int((at + 0.5) * count / wanted) for at in range(wanted)]
