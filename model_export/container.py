"""What a video file says of itself, and the one way in which files are opened.

Files come from strangers. Only containers that hold their pictures themselves are opened, whatever a file is called,
and only by the protocol `file`: a playlist would make the reader open other files or addresses.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.stream
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from model_export.errors import VideoUnreadable

_CONTAINERS = (
    "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,gif,mxf,nut,wtv,rm,dv,ivf,obu,av1,yuv4mpegpipe,h264,hevc,m4v,mpegvideo"
)
"""FFmpeg's names of the containers that are opened. Not among them: whatever names other files (hls, dash, concat, sdp,
image2), and pictures."""

OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
"""For FFmpeg, whoever opens a file by it."""

# They say when a frame is decoded, not when it is shown.
_WITHOUT_TIMES = frozenset({"avi", "h264", "hevc", "m4v", "mpegvideo"})


@dataclass(frozen=True)
class Facts:
    """What the container says.

    Attributes:
        period_s: between two frames, on average.
        counted: there are no presentation times, and frames are shown in another order than they are decoded.
        offset_s: from where a player begins to the first picture.
        pictures_end_s: where the pictures end, in a player's time.
        first_is_video: the first picture stream is a video and not a cover.
    """

    codec: str
    period_s: float
    counted: bool
    offset_s: float
    duration_s: float | None
    pictures_end_s: float | None
    first_is_video: bool


def probe(path: Path) -> Facts:
    """What a file says of itself.

    Raises:
        VideoUnreadable: it is not there, or no video.
    """
    with open_container(path) as container:
        stream = video_stream(container)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        start_s = seconds(stream.start_time, stream.time_base) or 0.0
        begin_s = (container.start_time or 0) / av.time_base
        stream_s = seconds(stream.duration, stream.time_base)
        whole_s = container.duration / av.time_base if container.duration else None
        end_s = None if stream_s is None else start_s - begin_s + stream_s
        alone = len(container.streams) == 1
        return Facts(
            codec=stream.codec_context.name,
            period_s=float(1 / rate) if 1 <= rate <= 1000 else 0.04,
            counted=container.format.name in _WITHOUT_TIMES and bool(stream.codec_context.has_b_frames),
            offset_s=start_s - begin_s,
            duration_s=end_s or whole_s,
            # The length of the whole may be the sound's.
            pictures_end_s=end_s or (whole_s if alone else None),
            first_is_video=stream.index == container.streams.video[0].index,
        )


def open_container(path: Path) -> InputContainer:
    """Open a file with PyAV.

    Raises:
        VideoUnreadable: it is not there, or none of the containers that are opened.
    """
    if not path.is_file():
        raise VideoUnreadable(f"There is no file {path.name}.", hint="Check the path.")
    try:
        return av.open(str(path), options=OPTIONS)
    except (av.error.FFmpegError, OSError) as error:
        raise VideoUnreadable(
            f"The file is not a video that can be read ({error.strerror}).",
            hint="Send MP4, MOV, MKV, WebM, AVI, MPEG-TS or another file that holds its pictures itself.",
        ) from error


def video_stream(container: InputContainer) -> VideoStream:
    """The first stream of pictures that is a video and not a cover.

    Raises:
        VideoUnreadable: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic and stream.codec_context is not None:
            return stream
    raise VideoUnreadable("The file has no video in it.", hint="Send a file with pictures, not only sound.")


def seconds(ticks: int | None, time_base: Fraction | None) -> float | None:
    """A stream's time in seconds; None where it has none."""
    return None if ticks is None or time_base is None else float(ticks * time_base)


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Quarter turns against the clock, and whether the frame is turned upside down before that.

    The container's display matrix says so: 3×3, of which the left upper 2×2 (fixed point) turn and mirror.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, SideData):
        return 0, False
    a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
    return round(frame.rotation / 90) % 4, a * d - b * c < 0
