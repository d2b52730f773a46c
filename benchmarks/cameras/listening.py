"""Rows of live streams as a subscriber gets them, with the moment at which each came."""

from __future__ import annotations

import contextlib
import gc
import json
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import httpx


@dataclass(frozen=True)
class Heard:
    """A row.

    Attributes:
        at: Unix seconds at which it came.
        captured_at: Unix seconds at which its frame was captured, as the server says.
    """

    at: float
    frame: int
    pts_s: float
    captured_at: float
    row: dict[str, Any]

    @property
    def age_s(self) -> float:
        return self.at - self.captured_at


def disorder(heard: Sequence[Heard], fps: float) -> int:
    """How often a row does not come after the one before it: by frame, by media time, by capture.

    Args:
        fps: of the camera; a frame's time of capture is good to one frame.
    """
    return sum(
        not (one.frame < next.frame and one.pts_s < next.pts_s and one.captured_at < next.captured_at + 1 / fps)
        for one, next in pairwise(heard)
    )


class Listener:
    """Subscribes to streams in one connection, connects again when it breaks, and keeps every row. No garbage is
    collected meanwhile: the hundreds of milliseconds that this takes would look like pauses of the streams.

    Attributes:
        gaps: rows that the server said it had lost on the way to us.
    """

    def __init__(self, address: str, streams: Sequence[str]) -> None:
        self.gaps = 0
        self._address = address
        self._params = {"streams": ",".join(streams), "types": "result"}
        self._heard: defaultdict[str, list[Heard]] = defaultdict(list)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        gc.disable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(5)
        gc.enable()

    def heard(self, stream: str) -> list[Heard]:
        """A stream's rows so far."""
        with self._lock:
            return list(self._heard[stream])

    def since(self, stream: str, at: float) -> list[Heard]:
        """A stream's rows that came after this moment."""
        return [row for row in self.heard(stream) if row.at > at]

    def _listen(self) -> None:
        timeout = httpx.Timeout(5, read=1)
        with httpx.Client(base_url=self._address, timeout=timeout) as client:
            while not self._over.is_set():
                with (
                    contextlib.suppress(httpx.TransportError),
                    client.stream("GET", "/v1/subscribe", params=self._params) as answer,
                ):
                    self._read(answer)
                self._over.wait(0.1)

    def _read(self, answer: httpx.Response) -> None:
        event = ""
        for line in answer.iter_lines():
            if self._over.is_set():
                return
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "data" and event == "result":
                self._keep(json.loads(value))
            elif name == "data" and event == "gap":
                self.gaps += json.loads(value).get("value", 0)

    def _keep(self, row: dict[str, Any]) -> None:
        captured_at = datetime.fromisoformat(row["captured_at"]).timestamp()
        heard = Heard(time.time(), row["frame"], row["pts_s"], captured_at, row)
        with self._lock:
            self._heard[row["stream"]].append(heard)
