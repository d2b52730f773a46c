"""A model's version is swapped again and again under streams, single pictures and a job."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import httpx

from benchmarks.cameras.listening import Heard, Listener
from benchmarks.cameras.streams import Streams, cameras_wanted
from benchmarks.cameras.work import Work
from benchmarks.failure import NotMeasured
from benchmarks.serving import Server, serving
from benchmarks.stage import Stage
from benchmarks.table import Row, at_most, told
from model_export.bundle import GOLDEN, MODEL, Bundle
from model_export.repository import Repository
from server.runtime.runtime import SHIPPED
from tests.cameras.material import filmed, yard
from tests.cameras.rtsp import RtspServer

NAME = "swapped"
STREAMS = 8
FPS = 10.0
PREDICTS_S = 20.0
GAP_MS = 200.0
_SWAPS = 4
_EVERY_S = 4.0


def rows(stage: Stage) -> Iterator[Row]:
    cameras_wanted()
    for version in (1, 2):
        _write(stage.data, version)
    street = filmed(stage.street, fps=FPS, size_wh=(640, 360))
    names = [f"camera-{number}" for number in range(STREAMS)]
    with (
        RtspServer(dict.fromkeys(names, street)) as cameras,
        serving(stage.data, engine__models=NAME) as server,
    ):
        streams = Streams(server)
        ids = streams.add_all(map(cameras.url, names), {"model": NAME, "sample_fps": None})
        with (
            Listener(server.address, ids) as listener,
            Work(server, stage.street, {"model": NAME}, at_once=1) as work,
            Predicts(server) as predicts,
        ):
            time.sleep(_EVERY_S)
            calm = time.time()
            time.sleep(_SWAPS * _EVERY_S)
            start = time.time()
            for swap in range(_SWAPS):
                _serve(server, 1 + swap % 2)
                time.sleep(_EVERY_S)
            end = time.time()
            heard = {stream: [row for row in listener.since(stream, start) if row.at < end] for stream in ids}
            before = [[row for row in listener.since(stream, calm) if row.at < start] for stream in ids]
    served = {str(row.row["model"]) for of in heard.values() for row in of}
    if len(served) < 2:
        raise NotMeasured(f"the streams were served by {served} alone")
    what = f"{_SWAPS} swaps under {STREAMS} streams"
    wrong = {answer: count for answer, count in predicts.answers.items() if answer != "200"}
    asked = sum(predicts.answers.values())
    yield at_most(f"{what}: failed of {asked} predicts", sum(wrong.values()), 0, str(wrong or ""), digits=0)
    took_ms = sorted(took_s * 1e3 for took_s in predicts.took_s)
    yield told("… half of them, and the slowest, within", f"{took_ms[len(took_ms) // 2]:.0f}, {took_ms[-1]:.0f}", "ms")
    lost = sum(abs(job.frames - work.done[0].frames) + (job.state != "done") for job in work.done)
    yield at_most("… lost frames of jobs", lost, 0, f"{len(work.done)} jobs", digits=0)
    pauses = [_longest_ms(of) for of in heard.values()]
    yield at_most("… longest pause of a stream", max(pauses), GAP_MS, unit=" ms", digits=0)
    yield told("… each stream's", ", ".join(f"{pause:.0f}" for pause in pauses), "ms")
    yield told("… the longest in as long a time without a swap", f"{max(map(_longest_ms, before)):.0f}", "ms")


def _longest_ms(rows: Sequence[Heard]) -> float:
    """The longest time between two rows of a stream."""
    return max(later.at - sooner.at for sooner, later in pairwise(rows)) * 1e3


class Predicts:
    """Asks about a picture so many times a second, whatever becomes of those before.

    Attributes:
        answers: how often each status, or error, came.
        took_s: how long each took that came.
    """

    def __init__(self, server: Server) -> None:
        self.answers: Counter[str] = Counter()
        self.took_s: list[float] = []
        self._address = server.address
        self._picture = cv2.imencode(".jpg", yard((640, 360)))[1].tobytes()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._clock = threading.Thread(target=self._fire, daemon=True)

    def __enter__(self) -> Self:
        self._clock.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._clock.join()
        for one in self._threads:
            one.join(30)

    def _fire(self) -> None:
        with httpx.Client(base_url=self._address, timeout=20) as client:

            def ask() -> None:
                asked = time.monotonic()
                try:
                    head = {"Content-Type": "image/jpeg"}
                    answer = client.post(f"/v1/models/{NAME}/predict", content=self._picture, headers=head)
                    self.answers[str(answer.status_code)] += 1
                    self.took_s.append(time.monotonic() - asked)
                except httpx.HTTPError as error:
                    self.answers[type(error).__name__] += 1

            while not self._over.wait(1 / PREDICTS_S):
                one = threading.Thread(target=ask)
                one.start()
                self._threads.append(one)
            for one in self._threads:
                one.join(30)


def _write(data: Path, version: int) -> None:
    """`moving-objects` under another name."""
    shipped = Repository(data / "models", shipped=SHIPPED).resolve("moving-objects@1")
    manifest = shipped.manifest.model_copy(update={"name": NAME, "version": version})
    files = {name: shipped.folder / name for name in (MODEL, GOLDEN)}
    Bundle.write(data / "models" / NAME / str(version), manifest, files)


def _serve(server: Server, version: int) -> None:
    answer = server.client.put(f"/v1/models/{NAME}/default", json={"version": version})
    if answer.status_code != httpx.codes.OK:
        raise NotMeasured(f"PUT default answered {answer.status_code}: {answer.text}")
