"""An open source, read frame by frame: packets, decoded by one thread, with the moment at which each came."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

import av.error
from av.container import Flags, InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from model_export.container import decoder_options
from model_export.orientation import orientation
from server.worker.live.access_units import AccessUnits, Unit
from server.worker.live.errors import SourceLost, SourceSilent, SourceTooLarge

_UNDATED = frozenset({"mpjpeg", "mjpeg"})
"""FFmpeg counts frames for these as if 25 came a second; nobody but their arrival says when they are from."""

_ASSEMBLED = frozenset({"h264", "hevc"})
"""Over RTP these come in pieces, which are put together here."""
_UNPARSED = cast(int, (Flags.no_parse | Flags.no_fillin).value)


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame that a source delivered.

    Attributes:
        stamp_s: the source's time stamp in seconds; None where it has none.
        arrived: CLOCK_MONOTONIC seconds at which its data had come.
        packets: time stamps of what came since the shot before, and when it had begun to come. Where frames are
            reordered some are of later frames.
        turned: quarter turns against the clock to set it upright.
    """

    stamp_s: float | None
    arrived: float
    image: VideoFrame
    packets: tuple[tuple[float, float], ...] = ()
    turned: int = 0


class Connection(Protocol):
    """
    Attributes:
        codec: FFmpeg's name of it.
        fps: as the source declares it; None where it does not.
        bulk: it gives many frames at once: they wait for their turn by media time.
        recorded: its frames are of no particular moment: a file.
    """

    @property
    def codec(self) -> str: ...
    @property
    def fps(self) -> float | None: ...
    @property
    def bulk(self) -> bool: ...
    @property
    def recorded(self) -> bool: ...

    def grab(self) -> Shot | None:
        """The next frame; None for one that does not decode.

        Raises:
            SourceError: no more come.
        """
        ...

    def close(self) -> None: ...


class Patience:
    """Until when the call at hand must be done; FFmpeg looks at a clock of its own, what reads for it at this one."""

    def __init__(self) -> None:
        self.until = float("inf")

    def begin(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        return self.until - time.monotonic()


class Decoded:
    """A source that FFmpeg demultiplexes and decodes.

    Args:
        container: open, with a read timeout of its own.
        read_s: without a picture for so long, it is silent.
        patience: of what reads for the container, where FFmpeg does not.
        max_pixels: of a frame.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        *,
        read_s: float,
        patience: Patience,
        max_pixels: int,
        bulk: bool = False,
        recorded: bool = False,
    ) -> None:
        self.codec = stream.codec_context.name
        rate = stream.average_rate or 0
        self.fps = float(rate) if 0 < rate <= 1000 else None
        self.bulk = bulk
        self.recorded = recorded
        self._container = container
        self._dated = container.format.name not in _UNDATED
        self._read_s = read_s
        self._patience = patience
        self._max_pixels = max_pixels
        # More decoding threads would each hold a frame back.
        stream.codec_context.thread_count = 1
        stream.codec_context.options = decoder_options(max_pixels)
        self._base_s = float(stream.time_base or 1)
        self._demuxed: Iterator[Packet[VideoStream]] = container.demux(stream)
        self._ready: deque[VideoFrame] = deque()
        self._packets: list[tuple[float, float]] = []
        self._pictured = time.monotonic()
        self._arrived = self._pictured
        self._keyed = False
        self._decoder = stream.codec_context
        self._units: AccessUnits | None = None
        self._complete: deque[Unit] = deque()
        if container.format.name == "rtsp":
            if self.codec in _ASSEMBLED:
                self._units = AccessUnits(self.codec)
            else:
                container.flags &= ~_UNPARSED
        # FFmpeg knows the end of such a packet by the beginning of the next one: that one had come by then.
        self._held = container.format.name == "mpegts"
        self._began = self._pictured

    def grab(self) -> Shot | None:
        while not self._ready:
            if not self._decode(self._next_packet()):
                return None
        self._pictured = time.monotonic()
        image = self._ready.popleft()
        if image.width * image.height > self._max_pixels:
            raise SourceTooLarge(
                f"Its frames have {image.width}x{image.height} pixels.",
                hint="Choose another stream of the camera, or raise `[limits] pixels`.",
            )
        packets, self._packets = tuple(self._packets), []
        stamp_s = image.pts * self._base_s if self._dated and image.pts is not None else None
        turned = orientation(image)[0] if self.recorded else 0
        return Shot(stamp_s, self._arrived, image, packets, turned)

    def close(self) -> None:
        self._demuxed = iter(())
        self._ready.clear()
        self._container.close()

    def _next_packet(self) -> Packet[Any]:
        """An encoded picture; the first is a key picture, since nothing before one decodes.

        Raises:
            SourceSilent, SourceLost
        """
        while True:
            packet: Packet[Any]
            if self._complete:
                unit = self._complete.popleft()
                packet, key, began = packet_of(unit), unit.key, unit.began
            else:
                packet = self._read()
                if self._units is not None:
                    self._complete.extend(self._units.add(bytes(packet), packet.pts, self._arrived))
                    continue
                key, began = packet.is_keyframe, self._began if self._held else self._arrived
                self._began = self._arrived
            if self._keyed or key:
                self._keyed = True
                if self._dated and packet.pts is not None:
                    self._packets.append((packet.pts * self._base_s, began))
                return packet

    def _read(self) -> Packet[VideoStream]:
        """What the container gives next.

        Raises:
            SourceSilent, SourceLost
        """
        self._patience.begin(self._read_s)
        try:
            packet = next(self._demuxed, None)
        # FFmpeg's errors carry the URL, with its secrets.
        except (av.error.ExitError, TimeoutError):
            raise SourceSilent(f"Nothing has come for {self._read_s:g} seconds.") from None
        except (av.error.FFmpegError, OSError):
            raise SourceLost("The connection broke off.") from None
        self._arrived = time.monotonic()
        if packet is None:
            raise SourceLost("It ended.")
        if self._arrived - self._pictured > self._read_s:
            raise SourceSilent(f"Data comes, but no picture has for {self._read_s:g} seconds.")
        return packet

    def _decode(self, packet: Packet[Any]) -> bool:
        """Whether it was sound."""
        try:
            self._ready.extend(self._decoder.decode(packet))
        except (av.error.FFmpegError, OSError, MemoryError):
            return False
        return True


def packet_of(unit: Unit) -> Packet[Any]:
    """A picture as decoders take it: they read beyond its end, so its bytes are copied to where there is room behind
    them. A packet that is made of bytes lies where those lie, and a decoder reads what comes after that, or crashes.
    """
    packet = Packet(len(unit.data))
    packet.update(unit.data)
    packet.pts = unit.stamp
    return packet
