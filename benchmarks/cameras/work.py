"""Jobs that run all the while, one after the other, so many at a time."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from benchmarks.serving import Server

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Done:
    """A job that has ended.

    Attributes:
        frames: whatever became of them.
        rows: hash of its results.
    """

    state: str
    frames: int
    rows: str


class Work:
    """Sends the same video again and again, at least once, until left; then waits for the last ones.

    Attributes:
        done: jobs that have ended.
        seconds: from the first to the end of the last.
    """

    def __init__(self, server: Server, video: Path, analysis: Mapping[str, Any], *, at_once: int) -> None:
        self.done: list[Done] = []
        self.seconds = 0.0
        self._server = server
        self._video = video
        self._analysis = dict(analysis)
        self._over = threading.Event()
        self._start = time.monotonic()
        self._crew = [threading.Thread(target=self._work, daemon=True) for _ in range(at_once)]

    def __enter__(self) -> Self:
        for one in self._crew:
            one.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for one in self._crew:
            one.join(120)
        self.seconds = time.monotonic() - self._start

    @property
    def fps(self) -> float:
        return sum(one.frames for one in self.done) / self.seconds

    def _work(self) -> None:
        while True:
            self.done.append(self._whole(_until_heard(lambda: self._server.submit(self._video, self._analysis))))
            if self._over.is_set():
                return

    def _whole(self, job: str) -> Done:
        """A job when it has ended."""
        while (found := _until_heard(lambda: self._server.job(job)))["state"] in ("queued", "running"):
            time.sleep(0.1)
        rows = _until_heard(lambda: self._server.client.get(f"/v1/jobs/{job}/results").raise_for_status())
        frames = sum(found["frames"].values())
        return Done(found["state"], frames, hashlib.sha256(rows.content).hexdigest())


def _until_heard(ask: Callable[[], Answer]) -> Answer:
    """Ask again while the server is away."""
    while True:
        with contextlib.suppress(httpx.HTTPError):
            return ask()
        time.sleep(0.2)
