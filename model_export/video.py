"""Frames of a video file, in order, with presentation times that can be relied on and turned as they were meant.

OpenCV reads (FFmpeg inside); PyAV says beforehand what the file is, and reads where OpenCV opens a file and gives no
frame, as with AV1. Frame counts, frame rates and times that a container states are wrong too often: a time is taken
only if it rises, and one far ahead only if the next frame does not fall back behind it; frames are counted where the
container has no presentation times (B-frames in AVI).
"""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Protocol, Self

import av
import av.error
import av.stream
import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from model_export.container import (
    OPTIONS,
    Facts,
    check_size,
    decoder_options,
    open_container,
    probe,
    seconds,
    video_stream,
)
from model_export.errors import VideoError, VideoTooLong, VideoUnreadable
from model_export.orientation import may_mirror, orientation
from model_export.presentation import PresentationClock

Frame = npt.NDArray[np.uint8]

_QUIET = "-8"
_ENVIRONMENT = Lock()


class Video:
    """Frames of one file, from the first to the last; not for two threads at once.

    Attributes:
        index: of the grabbed frame, from 0; -1 before the first `grab`.
        pts_s: presentation time of the grabbed frame in seconds, rising strictly; 0 is where a player begins.
        width, height: of a frame in pixels, after it was turned.
        duration_s: as the container says; None where it does not.
        truncated: reading ended before the video did: the file is cut off, or damaged at that place.
        exceeded: the limit at which reading ended; None where it did not.
    """

    def __init__(self, decoder: _Decoder, facts: Facts, max_s: float | None = None) -> None:
        self._decoder = decoder
        self._max_s = max_s
        self._facts = facts
        self._clock = PresentationClock(
            facts.period_s, offset_s=facts.offset_s, counted=facts.counted, counts_s=facts.counts_s
        )
        # Whether there is a next frame, where that is known: `open_video` has already moved to the first one.
        self._ahead: bool | None = True
        self._held: Frame | None = None
        self.index = -1
        self.pts_s = 0.0
        self.width, self.height = decoder.size_wh
        self.duration_s = facts.duration_s
        self.truncated = False
        self.exceeded: VideoError | None = None

    def grab(self) -> bool:
        """Move to the next frame, which is much cheaper than `retrieve`; False at the end."""
        more, self._ahead, self._held = self._ahead, None, None
        if not (self._decoder.grab() if more is None else more):
            self._ahead = False
            self.truncated = self._decoder.damaged or self._short()
            return False
        pts_s = self._clock.next(self._decoder.time_s, self._look_ahead)
        if self._max_s is not None and pts_s > self._max_s:
            self.exceeded = _too_long(self._max_s)
            return False
        self.index += 1
        self.pts_s = pts_s
        return True

    def retrieve(self, out: Frame | None = None) -> Frame | None:
        """The grabbed frame, uint8 [H, W, 3] BGR; None if it does not decode.

        Args:
            out: an array that may be written to and given back, if it fits.
        """
        return self._decoder.retrieve(out) if self._ahead is None else self._held

    def close(self) -> None:
        """Let go of the file."""
        self._decoder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def _look_ahead(self) -> float:
        """What the container says of the next frame's time, or where none follows of the end; NaN: nothing. The picture
        of this frame is made, since the decoder moves on.
        """
        self._held = self._decoder.retrieve(None)
        self._ahead = self._decoder.grab()
        if self._ahead:
            return self._decoder.time_s
        end_s = self._facts.pictures_end_s
        return math.nan if end_s is None else end_s - self._facts.offset_s

    def _short(self) -> bool:
        """Whether the last frame lies well before the end that the container states for its pictures."""
        end_s = self._facts.pictures_end_s
        return end_s is not None and end_s - (self.pts_s + self._facts.period_s) > max(0.3, 0.01 * end_s)


def open_video(path: Path, *, threads: int = 1, max_pixels: int | None = None, max_s: float | None = None) -> Video:
    """Open a file.

    Args:
        threads: decoding threads; each more than one holds back a frame.
        max_pixels: of a frame.
        max_s: of the video. One that turns out to be longer than its container says ends there, see `Video.exceeded`.

    Raises:
        VideoUnreadable: there is no such file, it is no video, or not one frame of it can be read.
        VideoTooLarge: its frames have more pixels than `max_pixels`.
        VideoTooLong: its container says that it lasts longer than `max_s`.
    """
    path = path.absolute()
    facts = probe(path, max_pixels=max_pixels)
    if max_s is not None and (facts.duration_s or 0.0) > max_s:
        raise _too_long(max_s)
    for decoder in _decoders(path, facts, threads, max_pixels):
        if decoder.grab():
            try:
                # Again: what the container says need not be what comes.
                check_size(*decoder.size_wh, max_pixels)
            except VideoError:
                decoder.close()
                raise
            return Video(decoder, facts, max_s)
        decoder.close()
    raise VideoUnreadable(
        f"Not one frame of the video ({facts.codec}) could be decoded.",
        hint="Convert it, for example with `ffmpeg -i FILE -c:v libx264 out.mp4`.",
    )


def _decoders(path: Path, facts: Facts, threads: int, max_pixels: int | None) -> Iterator[_Decoder]:
    """Those that open the file, the best first."""
    if facts.first_is_video:
        with suppress(VideoUnreadable):
            yield _OpenCV(path, threads)
    with suppress(VideoUnreadable):
        yield _PyAV(path, threads, max_pixels)


def _too_long(max_s: float) -> VideoTooLong:
    return VideoTooLong(
        f"The video lasts longer than {max_s:g} seconds, the most that is taken.",
        hint="Send it in parts, for example with `ffmpeg -i FILE -c copy -f segment -segment_time 3600 part%03d.mp4`.",
    )


class _Decoder(Protocol):
    """What reads a file.

    Attributes:
        size_wh: of a frame, after it was turned.
        time_s: of the grabbed frame, as the container says; NaN if it does not.
        damaged: it ended at a frame that does not decode, and not at the end of the file.
    """

    @property
    def size_wh(self) -> tuple[int, int]: ...
    @property
    def time_s(self) -> float: ...
    @property
    def damaged(self) -> bool: ...
    def grab(self) -> bool: ...
    def retrieve(self, out: Frame | None) -> Frame | None: ...
    def close(self) -> None: ...


@contextmanager
def _capture_options() -> Iterator[None]:
    """OpenCV takes the options from the environment alone, when it opens; they replace its defaults."""
    wanted = {
        "OPENCV_FFMPEG_CAPTURE_OPTIONS": "|".join(f"{key};{value}" for key, value in OPTIONS.items()),
        "OPENCV_FFMPEG_LOGLEVEL": _QUIET,
    }
    with _ENVIRONMENT:
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


class _OpenCV:
    """OpenCV turns frames by itself, but does not mirror them."""

    def __init__(self, path: Path, threads: int) -> None:
        with _capture_options():
            self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
        if not self._capture.isOpened():
            raise VideoUnreadable("OpenCV cannot open the file.")
        self.damaged = False
        self._flip: int | None = None
        # Of frames that are mirrored top to bottom alone it says nothing.
        if self._capture.get(cv2.CAP_PROP_ORIENTATION_META) or may_mirror(path):
            turned, mirrored = _orientation(path)
            self._flip = int(turned % 2) if mirrored else None

    @property
    def size_wh(self) -> tuple[int, int]:
        return (
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )

    @property
    def time_s(self) -> float:
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000

    def grab(self) -> bool:
        if self._capture.grab():
            return True
        # At the end nothing follows; behind a damaged place something may.
        self.damaged = self._capture.grab()
        return False

    def retrieve(self, out: Frame | None) -> Frame | None:
        try:
            good, frame = self._capture.retrieve(out)
        except cv2.error:  # no memory for a picture of that size
            return None
        if not good:
            return None
        return _frame(frame if self._flip is None else cv2.flip(frame, self._flip))

    def close(self) -> None:
        self._capture.release()


class _PyAV:
    """Slower in making pictures than OpenCV, but with more decoders. As OpenCV does, it brings frames that come in
    another size to that of the first one: whoever follows objects through a video needs one frame of reference.

    Attributes:
        orientation: quarter turns against the clock, and whether frames are turned upside down before.
    """

    def __init__(self, path: Path, threads: int, max_pixels: int | None = None) -> None:
        options = decoder_options(max_pixels)
        self._container = open_container(path, options)
        stream = video_stream(self._container)
        stream.codec_context.thread_count = threads
        stream.codec_context.options = options
        self._frames = self._decode(stream)
        self._now: VideoFrame | None = None
        self._size_wh = 0, 0
        self.orientation = 0, False
        self._start_s = seconds(stream.start_time, stream.time_base) or 0.0
        self.damaged = False

    @property
    def size_wh(self) -> tuple[int, int]:
        return self._size_wh[::-1] if self.orientation[0] % 2 else self._size_wh

    @property
    def time_s(self) -> float:
        return math.nan if self._now is None or self._now.time is None else self._now.time - self._start_s

    def grab(self) -> bool:
        frame = next(self._frames, None)
        if frame is None:
            return False
        if self._now is None:
            self._size_wh = frame.width, frame.height
            self.orientation = orientation(frame)
        self._now = frame
        return True

    def retrieve(self, out: Frame | None) -> Frame | None:
        if self._now is None:
            return None
        turned, mirrored = self.orientation
        width, height = self._size_wh
        frame = _frame(self._now.to_ndarray(format="bgr24", width=width, height=height))
        if mirrored:
            frame = frame[::-1]
        return np.ascontiguousarray(np.rot90(frame, turned)) if turned or mirrored else frame

    def close(self) -> None:
        self._frames.close()
        self._container.close()

    def _decode(self, stream: VideoStream) -> Generator[VideoFrame, None, None]:
        """All frames up to one that does not decode; but what comes before the first one is passed over."""
        try:
            for packet in self._container.demux(stream):
                try:
                    yield from packet.decode()
                except av.error.FFmpegError:
                    if self._now is not None:
                        raise
        except av.error.FFmpegError:
            self.damaged = self._now is not None
        except IndexError:  # what PyAV says at the end of a file to which a stream was added on the way
            return


def _orientation(path: Path) -> tuple[int, bool]:
    decoder = _PyAV(path, 1)
    try:
        return decoder.orientation if decoder.grab() else (0, False)
    finally:
        decoder.close()


def _frame(picture: npt.NDArray[Any]) -> Frame:
    """OpenCV's and PyAV's types leave open what they give."""
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    return picture
