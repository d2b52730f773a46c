"""The cameras are away for ten seconds, again and again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

from benchmarks import processes
from benchmarks.cameras.listening import Listener, disorder
from benchmarks.cameras.streams import Streams, cameras_wanted
from benchmarks.serving import Server, serving
from benchmarks.stage import MOVING, Stage
from benchmarks.table import Row, at_most
from tests.cameras.material import filmed
from tests.cameras.rtsp import RtspServer

STREAMS = 4
FPS = 10.0
AWAY_S = 10.0
BACK_S = 8.0 + 2.0
"""The longest pause between two tries within ten seconds of absence, and two seconds."""
GROWTH_MB = 4.0
"""SQLite's cache of the history of events fills meanwhile, and has 2 MB when it is full."""
_FULL_AFTER = 3
"""Absences after which the minute of rows that is kept for subscribers is full, and the way back has been gone."""
_STEADY_S = 12.0
"""After which a source that worked is tried again at once."""


def rows(stage: Stage) -> Iterator[Row]:
    cameras_wanted()
    street = filmed(stage.street, fps=FPS, size_wh=(640, 360))
    names = [f"camera-{number}" for number in range(STREAMS)]
    back: list[float] = []
    states: set[str] = set()
    with (
        RtspServer(dict.fromkeys(names, street)) as cameras,
        serving(stage.data, engine__models=MOVING) as server,
    ):
        streams = Streams(server)
        ids = streams.add_all(map(cameras.url, names))
        with Listener(server.address, ids) as listener:
            sizes = []
            for _ in range(stage.times):
                time.sleep(_STEADY_S)
                sizes.append(_size(server))
                cameras.stop()
                time.sleep(AWAY_S)
                states |= {streams.get(stream)["state"] for stream in ids}
                cameras.start()
                start = time.monotonic()
                for stream in ids:
                    streams.wait(stream, lambda one: one["state"] == "running")
                    back.append(time.monotonic() - start)
            time.sleep(_STEADY_S)
            sizes.append(_size(server))
            wrong = sum(disorder(listener.heard(stream), FPS) for stream in ids)
            heard = sum(len(listener.heard(stream)) for stream in ids)
    what = f"{STREAMS} cameras away for {AWAY_S:g} s, {stage.times} times"
    yield Row(f"{what}: state meanwhile", "reconnecting", ", ".join(sorted(states)), states == {"reconnecting"})
    note = ", ".join(f"{one:.1f}" for one in back)
    yield at_most("… running again, the slowest", max(back), BACK_S, f"{note} s", unit=" s", digits=1)
    yield at_most("… rows out of order (frame, pts, captured_at)", wrong, 0, f"of {heard}", digits=0)
    steady = sizes[min(_FULL_AFTER, stage.times - 1) :]
    grown = _growth(steady)
    course = " ".join(f"{sum(size.memory.values()):.0f}" for size in sizes)
    note = ", ".join(f"{name} {mb:+.1f}" for name, mb in grown.items())
    yield at_most(
        "… growth of memory", sum(grown.values()), GROWTH_MB, f"{note}; in all {course} MB", unit=" MB", digits=1
    )
    for what, before, after in (
        ("threads", steady[0].threads, steady[-1].threads),
        ("descriptors", steady[0].descriptors, steady[-1].descriptors),
    ):
        yield at_most(f"… growth of {what}", after - before, 0, f"{before} → {after}", digits=0)


class _Size(NamedTuple):
    """Of all processes; memory in MB that is no file's, by process."""

    memory: dict[str, float]
    threads: int
    descriptors: int


def _growth(sizes: Sequence[_Size]) -> dict[str, float]:
    """MB of each process, the median of the last third against that of the first: one look meets a worker with some
    frames more or less in its hands, 8 MB of it.
    """
    third = max(1, len(sizes) // 3)
    before, after = sizes[:third], sizes[-third:]
    return {
        name: median(size.memory[name] for size in after) - median(size.memory[name] for size in before)
        for name in sizes[0].memory
    }


def _size(server: Server) -> _Size:
    pids = server.processes
    memory = {name: processes.anonymous_mb(pid) for name, pid in pids.items()}
    threads, descriptors = (sum(map(count, pids.values())) for count in (processes.threads, processes.descriptors))
    return _Size(memory, threads, descriptors)
