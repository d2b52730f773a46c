"""A worker that takes files which do what they say: `crash`, `hang` or `grow`, at a frame, the first few times. Jobs
and streams may play them.

Otherwise it is `server.worker.process`: every other file is a video as usual.
"""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import av
import numpy as np

from model_export.video import open_video
from server.core.calls import Call
from server.worker import process
from server.worker.live import sources as live_sources
from server.worker.live.connection import Shot
from server.worker.live.errors import SourceEnded

_MAGIC = "deadly "
_FPS = 25
OPENING = -1


def write(path: Path, does: str, *, at: int = 30, frames: int = 50, times: int = 1000, frame_s: float = 0.005) -> Path:
    """A file that does this when frame `at` is grabbed (`OPENING`: when it is opened), `times` times in all.

    Args:
        does: a signal's name, `hang`, `grow` (in memory) or `play` (nothing).
        frame_s: what a frame takes.
    """
    path.write_text(f"{_MAGIC}{does} {at} {frames} {times} {frame_s}")
    return path


class Deadly:
    """A grey square that wanders over black, until it happens."""

    def __init__(self, path: Path) -> None:
        self._does, at, frames, times, frame_s = path.read_text().removeprefix(_MAGIC).split()
        self._at, self._frames, self._times, self._frame_s = int(at), int(frames), int(times), float(frame_s)
        self._count = path.with_name("deaths")
        self.index = -1
        self.pts_s = 0.0
        self.duration_s = self._frames / _FPS
        self.truncated = False
        self.exceeded = None
        self._maybe(OPENING)

    def grab(self) -> bool:
        time.sleep(self._frame_s)
        self._maybe(self.index + 1)
        if self.index + 1 >= self._frames:
            return False
        self.index += 1
        self.pts_s = self.index / _FPS
        return True

    def retrieve(self, out=None):
        frame = np.zeros((90, 160, 3), np.uint8)
        x, y = self.index % 120, 20 + self.index % 40
        frame[y : y + 20, x : x + 20] = 200
        return frame

    def close(self) -> None:
        pass

    def _maybe(self, frame: int) -> None:
        if frame != self._at or self._does == "play":
            return
        before = len(self._count.read_bytes()) if self._count.exists() else 0
        if before >= self._times:
            return
        self._count.write_bytes(bytes(before + 1))
        if self._does == "hang":
            time.sleep(3600)
        elif self._does == "grow":
            kept = []
            while True:
                kept.append(np.ones(2**20))
                time.sleep(0.005)  # it is noticed by looking from time to time
        else:
            signal.pthread_kill(threading.get_ident(), signal.Signals[self._does])


class DeadlyLive:
    """The same as a live source."""

    codec = "deadly"
    fps = float(_FPS)
    bulk = recorded = False

    def __init__(self, path: Path) -> None:
        self._file = Deadly(path)

    def grab(self) -> Shot:
        if not self._file.grab():
            raise SourceEnded("The file is over.")
        frame = av.VideoFrame.from_ndarray(self._file.retrieve(), format="bgr24")
        return Shot(self._file.pts_s, time.monotonic(), frame)

    def close(self) -> None:
        pass


def open_source(path: Path, **limits):
    return Deadly(path) if _is_deadly(path) else open_video(path, **limits)


def open_live(source, row, **limits):
    path = Path(source.url.removeprefix("file://"))
    if not _is_deadly(path):
        return live_sources.open_live(source, row, **limits)
    with row.inside(Call.OPEN):
        return DeadlyLive(path)


def _is_deadly(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC.encode()


def main() -> None:
    process.main(open_source, open_live)
