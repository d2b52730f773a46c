"""The worker's and the engine's parts, counted from inside: processor time of their threads, a frame.

A worker's job runs here, in a thread of this process, with stopwatches around its parts; the engine is a process that
counts what its sessions run. Both work on the real model, at its pace. Left out are the API process, opening the file,
and ZeroMQ's own thread in the worker; what is measured from outside (benchmarks/overhead.py) has them in it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from threading import Thread

import cv2

from benchmarks import processes
from benchmarks.ceiling import cores
from benchmarks.engine import Engine, running
from benchmarks.failure import NotMeasured
from benchmarks.footage import count
from benchmarks.stage import Stage
from benchmarks.stopwatch import Stopwatch
from benchmarks.table import Row, spread, told
from model_export.bundle import Bundle
from model_export.video import Video, open_video
from server.analytics.scene import Scene
from server.analytics.tracker import Tracker
from server.core.calls import CallPage, CallRows
from server.domain.analysis import Analysis
from server.domain.job import JobState
from server.engine import process
from server.engine.session import OnnxSession
from server.wire.messages import JobEnded, JobRows, RowsTaken, StartJob
from server.worker import every_frame
from server.worker.job import RunningJob
from server.worker.live.sources import open_live
from server.worker.publisher import Publisher
from server.worker.requests import Requests
from server.worker.surroundings import Surroundings
from server.worker.walk import Walk

DECODING = "decoding"
_PATIENCE_S = 60.0


def rows(stage: Stage) -> Iterator[Row]:
    cv2.setNumThreads(1)  # as in a worker
    watch = _around_the_worker()
    frames = count(stage.video)
    told_at = stage.data / "engine-runs"
    parts: dict[str, list[float]] = {}
    engines: list[float] = []
    with running(stage.bundle, "benchmarks.inside", str(told_at), sessions=cores()) as engine:
        for run in range(stage.runs + 1):
            before, engine_before = watch.seconds(), _beside_runs(engine, told_at)
            _job(engine, stage.bundle, stage.video, run)
            if run == 0:
                continue  # the first one imports the tracker
            engines.append((_beside_runs(engine, told_at) - engine_before) / frames * 1e3)
            for part, seconds in watch.seconds().items():
                parts.setdefault(part, []).append((seconds - before[part]) / frames * 1e3)
    worker = [sum(run) for run in zip(*(ms for part, ms in parts.items() if part != DECODING), strict=True)]
    note = ", ".join(f"{part} {median(ms):.2f}" for part, ms in parts.items())
    yield told("from inside: a worker's job beside decoding", spread(worker, "ms/frame", digits=2), note)
    yield told("from inside: the engine beside its runs", spread(engines, "ms/frame", digits=2))


def _around_the_worker() -> Stopwatch:
    watch = Stopwatch()
    for owner, name, part in (
        (Video, "grab", DECODING),
        (Video, "retrieve", DECODING),
        (every_frame, "fit", "fit"),
        (Requests, "place", "ask"),
        (Requests, "ask", "ask"),
        (Requests, "receive", "receive"),
        (Scene, "read", "read"),
        (Tracker, "update", "track"),
        (Scene, "see", "row"),
        (Publisher, "add", "publish"),
        (Publisher, "flush", "publish"),
        (Walk, "run", "rest"),
    ):
        watch.around(owner, name, part)
    return watch


def _job(engine: Engine, bundle: Bundle, video: Path, attempt: int) -> None:
    """A video through a worker's job, whose rows are taken as the API process does.

    Raises:
        NotMeasured: it failed.
    """
    rows = CallRows(CallPage(bytearray(CallPage.bytes_for(1)), 1).rows(0))
    around = Surroundings(
        engine.context,
        engine.api_address,
        "worker",
        1,
        engine.slots,
        engine.recorder,
        rows,
        open_video,
        partial(open_live, max_pixels=2**25),
    )
    order = StartJob(
        "job", attempt, str(video), Analysis().model_dump_json().encode(), str(bundle.folder), engine.address
    )
    RunningJob(order, around, lambda job, attempt: None).start()
    while (received := engine.api.recv(_PATIENCE_S)) is not None:
        match received.message:
            case JobRows(job=job):
                engine.api.send(received.peer, RowsTaken(job))
            case JobEnded(state=JobState.DONE):
                return
            case JobEnded(message=message):
                raise NotMeasured(f"the job failed: {message}")
    raise NotMeasured("the job never ended")


def _beside_runs(engine: Engine, told_at: Path) -> float:
    """The engine's processor seconds so far, without its sessions' runs."""
    told_at.unlink(missing_ok=True)
    os.kill(engine.pid, signal.SIGUSR1)
    until = time.monotonic() + _PATIENCE_S
    while not told_at.exists():
        if time.monotonic() > until:
            raise NotMeasured("the engine does not say what it ran")
        time.sleep(0.01)
    return processes.cpu_seconds(engine.pid) - float(told_at.read_text())


def main() -> None:
    """An engine process that writes down the processor seconds of its runs whenever it gets SIGUSR1."""
    to = Path(sys.argv[1])
    watch = Stopwatch()
    watch.around(OnnxSession, "run", "run")

    def tell() -> None:
        part = to.with_suffix(".part")
        part.write_text(str(watch.seconds().get("run", 0.0)))
        part.rename(to)

    signal.signal(signal.SIGUSR1, lambda *_: Thread(target=tell).start())
    process.main()


if __name__ == "__main__":
    main()
