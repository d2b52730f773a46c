"""What a camera shows, encoded beforehand, so that sending it costs nothing but the sending."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""BGR, [height, width, 3]."""

_ENCODERS = {"h264": "libx264", "h265": "libx265", "jpeg": "mjpeg"}
_OPTIONS = {
    # What cameras send: no B-frames, one slice a picture.
    "h264": {"preset": "ultrafast", "tune": "zerolatency", "threads": "1", "x264-params": "sliced-threads=0"},
    "h265": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none:pools=1:frame-threads=1"},
    "jpeg": {"qmin": "5", "qmax": "5", "strict": "unofficial"},
}


@dataclass(frozen=True)
class Unit:
    """One encoded picture.

    Attributes:
        data: H.264 and H.265 with start codes, and parameter sets before each key picture.
        dts_s, pts_s: when it is sent and when it is shown, seconds from the beginning of the material.
    """

    data: bytes
    dts_s: float
    pts_s: float
    key: bool


@dataclass(frozen=True)
class Material:
    """
    Attributes:
        codec: `h264`, `h265` or `jpeg`.
        duration_s: after which it begins anew, where it is looped.
    """

    codec: str
    size_wh: tuple[int, int]
    units: tuple[Unit, ...]
    duration_s: float

    @property
    def fps(self) -> float:
        return len(self.units) / self.duration_s

    def then(self, other: Material) -> Material:
        """This, and after it the other in the same stream; of the same codec."""
        assert self.codec == other.codec
        late = self.duration_s
        moved = (replace(unit, dts_s=unit.dts_s + late, pts_s=unit.pts_s + late) for unit in other.units)
        return Material(self.codec, self.size_wh, (*self.units, *moved), late + other.duration_s)


def encoded(pictures: Iterable[Picture], *, fps: float, codec: str = "h264", key_s: float = 1.0) -> Material:
    """Encode pictures; a key picture comes every `key_s` seconds."""
    units: list[Unit] = []
    encoder: av.VideoCodecContext | None = None
    height = width = 0

    def take(packets: Iterable[av.Packet[av.VideoStream]]) -> None:
        for packet in packets:
            at_s = len(units) / fps
            units.append(Unit(bytes(packet), at_s, at_s, packet.is_keyframe))

    for number, picture in enumerate(pictures):
        if encoder is None:
            height, width = picture.shape[:2]
            encoder = _encoder(codec, (width, height), fps, key_s)
        frame = av.VideoFrame.from_ndarray(picture, "bgr24").reformat(format=encoder.pix_fmt)
        frame.pts = number
        take(encoder.encode(frame))
    assert encoder is not None, "there must be a picture"
    take(encoder.encode(None))
    return Material(codec, (width, height), tuple(units), len(units) / fps)


def filmed(video: Path, *, fps: float, size_wh: tuple[int, int] | None = None, codec: str = "h264") -> Material:
    """The pictures of a file at another rate, and perhaps another size; encoded anew: films have few key pictures."""

    def pictures() -> Iterator[Picture]:
        number = 0
        with av.open(str(video)) as file:
            for frame in file.decode(video=0):
                width, height = size_wh or (frame.width, frame.height)
                picture = np.asarray(frame.reformat(width, height, "bgr24").to_ndarray(), np.uint8)
                while number / fps <= frame.time:
                    yield picture
                    number += 1

    return encoded(pictures(), fps=fps, codec=codec)


def moving_square(
    *, size_wh: tuple[int, int] = (640, 360), fps: float = 10, seconds: float = 6, codec: str = "h264"
) -> Material:
    """A bright square that crosses a textured yard once."""
    return encoded(_crossing(size_wh, round(seconds * fps)), fps=fps, codec=codec)


def yard(size_wh: tuple[int, int]) -> Picture:
    """A still scene that is neither flat nor bright."""
    width, height = size_wh
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    grey = 80 + 25 * np.sin(across / 23) * np.cos(down / 17)
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


def _crossing(size_wh: tuple[int, int], count: int) -> Iterator[Picture]:
    width, height = size_wh
    side = height // 6
    scene = yard(size_wh)
    for number in range(count):
        picture = scene.copy()
        left = (width - side) * number // max(1, count - 1)
        picture[height // 2 : height // 2 + side, left : left + side] = 240
        yield picture


def _encoder(codec: str, size_wh: tuple[int, int], fps: float, key_s: float) -> av.VideoCodecContext:
    encoder = av.CodecContext.create(_ENCODERS[codec], "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height = size_wh
    encoder.pix_fmt = "yuvj420p" if codec == "jpeg" else "yuv420p"
    encoder.framerate = Fraction(fps).limit_denominator(1000)
    encoder.time_base = 1 / encoder.framerate
    encoder.gop_size = max(1, round(key_s * fps))
    encoder.options = _OPTIONS[codec]
    return encoder
