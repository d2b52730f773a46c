"""What a video file says of itself, and the one way in which files are opened.

Files come from strangers. Only containers that hold their pictures themselves are opened, whatever a file is called,
and only by the protocol `file`: a playlist would make the reader open other files or addresses.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import av.error
import av.stream
from av.container import InputContainer
from av.video.stream import VideoStream

from model_export.errors import VideoTooLarge, VideoUnreadable

_CONTAINERS = (
    "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,gif,mxf,nut,wtv,rm,dv,ivf,obu,av1,yuv4mpegpipe,h264,hevc,m4v,mpegvideo"
)
"""FFmpeg's names of the containers that are opened. Not among them: whatever names other files (hls, dash, concat, sdp,
image2), and pictures."""

OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
"""For FFmpeg, whoever opens a file by it."""

# They say when a frame is decoded, not when it is shown.
_WITHOUT_TIMES = frozenset({"avi", "h264", "hevc", "m4v", "mpegvideo"})
_MOST_COUNTS = 1_000_000  # nine hours; an index may have been made up
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@dataclass(frozen=True)
class Facts:
    """What the container says.

    Attributes:
        width, height: of a frame in pixels, before it is turned; 0 where nobody knows.
        period_s: between two frames, on average.
        counted: there are no presentation times, and frames are shown in another order than they are decoded.
        counts_s: the times of the first frames that are shown, from 0, where frames are counted and some were left out.
        offset_s: from where a player begins to the first picture.
        pictures_end_s: where the pictures end, in a player's time.
        first_is_video: the first picture stream is a video and not a cover.
    """

    codec: str
    width: int
    height: int
    period_s: float
    counted: bool
    counts_s: Sequence[float]
    offset_s: float
    duration_s: float | None
    pictures_end_s: float | None
    first_is_video: bool


def probe(path: Path, *, max_pixels: int | None = None) -> Facts:
    """What a file says of itself.

    Args:
        max_pixels: of a frame; a larger one is not decoded to learn more about it.

    Raises:
        VideoUnreadable: it is not there, or no video.
        VideoTooLarge: its frames have more pixels.
    """
    facts = _facts(path, decoder_options(max_pixels))
    if max_pixels is None:
        return facts
    if not facts.width or not facts.height:
        # Some decoders that refuse a frame do not say how large it is. Asked again, it costs the memory of one frame.
        facts = _facts(path, {})
    check_size(facts.width, facts.height, max_pixels)
    return facts


def check_size(width: int, height: int, max_pixels: int | None) -> None:
    """
    Raises:
        VideoTooLarge: a frame has more pixels.
    """
    if max_pixels is not None and width * height > max_pixels:
        raise VideoTooLarge(
            f"The video's frames have {width}×{height} pixels; at most {max_pixels} in all are taken.",
            hint="Make it smaller, for example with `ffmpeg -i FILE -vf scale=1920:-2 out.mp4`.",
        )


def decoder_options(max_pixels: int | None) -> dict[str, str]:
    """For FFmpeg's decoders: they refuse larger frames before they make room for them."""
    return {} if max_pixels is None else {"max_pixels": str(max_pixels)}


def open_container(path: Path, options: Mapping[str, str] | None = None) -> InputContainer:
    """Open a file with PyAV.

    Args:
        options: more of them, for the decoders that look into the file meanwhile.

    Raises:
        VideoUnreadable: it is not there, or none of the containers that are opened.
    """
    if not path.is_file():
        raise VideoUnreadable(f"There is no file {path.name}.", hint="Check the path.")
    try:
        # Titles and other texts are in any encoding, and nobody here reads them.
        return av.open(str(path), options={**OPTIONS, **(options or {})}, metadata_errors="replace")
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


def _facts(path: Path, options: Mapping[str, str]) -> Facts:
    with open_container(path, options) as container:
        stream = video_stream(container)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        period_s = float(1 / rate) if 1 <= rate <= 1000 else 0.04
        start_s = seconds(stream.start_time, stream.time_base) or 0.0
        begin_s = (container.start_time or 0) / av.time_base
        end_s = _end_s(container, stream, period_s, start_s)
        whole_s = container.duration / av.time_base if container.duration and container.duration > 0 else None
        if end_s is not None:
            end_s = end_s - begin_s if end_s > begin_s else None
        alone = len(container.streams) == 1
        counted = container.format.name in _WITHOUT_TIMES and bool(stream.codec_context.has_b_frames)
        return Facts(
            codec=stream.codec_context.name,
            width=stream.width,
            height=stream.height,
            period_s=period_s,
            counted=counted,
            counts_s=_counts_s(container, stream) if counted and container.format.name == "avi" else (),
            offset_s=start_s - begin_s,
            duration_s=end_s or whole_s,
            # The length of the whole may be the sound's.
            pictures_end_s=end_s or (whole_s if alone else None),
            first_is_video=stream.index == container.streams.video[0].index,
        )


def _counts_s(container: InputContainer, stream: VideoStream) -> Sequence[float]:
    """When frames of an AVI are shown, in seconds from the first; empty where one comes each tick, as is usual.

    Its index has the tick at which each frame is decoded, and so the ticks that a recorder left out. As many frames are
    shown until a moment as are decoded, so the nth that is shown has the nth tick, however frames are reordered. FFmpeg
    decodes ahead by as many frames as are reordered; what else writes AVI does not say.
    """
    ticks = array("q", (entry.timestamp for entry in islice(stream.index_entries, _MOST_COUNTS)))
    steps = {later - earlier for earlier, later in pairwise(ticks)}
    if steps <= {1} or min(steps) < 1 or stream.time_base is None:
        return ()
    ahead = stream.codec_context.reorder_depth if container.metadata.get("software", "").startswith("Lavf") else 0
    ahead = min(ahead, len(ticks) - 1)
    shown = ticks[ahead:] + array("q", (ticks[-1] + number * min(steps) for number in range(1, ahead + 1)))
    return array("d", ((tick - shown[0]) * float(stream.time_base) for tick in shown))


def _end_s(container: InputContainer, stream: VideoStream, period_s: float, start_s: float) -> float | None:
    """When the pictures end on the container's clock; None where it does not say."""
    length_s = seconds(stream.duration, stream.time_base) or 0.0
    if container.format.name == "avi":
        # Of an AVI that is cut off, FFmpeg makes the length up from what is left; its header still has the number.
        length_s = max(length_s, stream.frames * period_s)
    if length_s > 0:
        return start_s + length_s
    clock = _CLOCK.match(stream.metadata.get("DURATION", ""))  # Matroska's way
    return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3]) if clock else None
