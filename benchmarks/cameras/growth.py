"""What one more stream costs: memory, processor and threads from 1 stream to 32, against a bare VideoCapture.

What we share with the server counts half in its memory, but is the same however many streams there are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import processes
from benchmarks.cameras.bare import Bare, bare
from benchmarks.cameras.streams import Streams, cameras_wanted
from benchmarks.serving import Server, serving
from benchmarks.stage import Stage
from benchmarks.table import Row, at_most, told
from tests.cameras.material import moving_square
from tests.cameras.rtsp import RtspServer

FPS = 2.0
SIZES = (((640, 360), 8.0), ((1920, 1080), 50.0))
"""Width and height, and what memory a stream of it may take, in MB."""
STEPS = (1, 8, 32)
THREADS = 2.0
LINEAR = 1.25
"""How much more the later streams may take of the processor than the earlier ones, each."""
_SETTLING_S = 5.0
_MEASURED_S = 10.0


@dataclass(frozen=True)
class Cost:
    """
    Attributes:
        memory: PSS of all processes of the server in MB.
        cpu: cores that they kept busy.
        threads: that they had.
    """

    memory: float
    cpu: float
    threads: int


def rows(stage: Stage) -> Iterator[Row]:
    cameras_wanted()
    for size_wh, most_mb in SIZES:
        names = [f"camera-{number}" for number in range(STEPS[-1])]
        show = moving_square(size_wh=size_wh, fps=FPS, seconds=10)
        with RtspServer(dict.fromkeys(names, show)) as cameras:
            urls = [cameras.url(name) for name in names]
            ours = _ours(stage, urls)
            least = {count: bare(urls[:count], _MEASURED_S / 2) for count in STEPS[:2]}
        yield from _told(f"{size_wh[0]}×{size_wh[1]} at {FPS:g} fps", ours, least, most_mb)


def _ours(stage: Stage, urls: list[str]) -> dict[int, Cost]:
    """Costs of so many streams, in one server."""
    found: dict[int, Cost] = {}
    with serving(stage.data, engine__models="moving-objects") as server:
        streams, have = Streams(server), 0
        for count in STEPS:
            streams.add_all(urls[have:count])
            have = count
            time.sleep(_SETTLING_S)
            found[count] = _cost(server)
    return found


def _cost(server: Server) -> Cost:
    before, start = server.cpu(), time.monotonic()
    time.sleep(_MEASURED_S)
    seconds, after = time.monotonic() - start, server.cpu()
    cpu = sum(spent - before.get(name, 0.0) for name, spent in after.items()) / seconds
    threads = sum(processes.threads(pid) for pid in server.processes.values())
    return Cost(sum(server.memory().values()), cpu, threads)


def _told(what: str, ours: dict[int, Cost], least: dict[int, Bare], most_mb: float) -> Iterator[Row]:
    first, middle, last = STEPS
    more = last - first
    memory = (ours[last].memory - ours[first].memory) / more
    bare_mb = (least[middle].memory - least[first].memory) / (middle - first)
    all_mb = ", ".join(f"{count}: {ours[count].memory:.0f}" for count in STEPS)
    note = f"a VideoCapture {bare_mb:.1f}; in all {all_mb} MB"
    yield at_most(f"{what}: memory a stream, {first} to {last}", memory, most_mb, note, unit=" MB", digits=1)
    early = (ours[middle].cpu - ours[first].cpu) / (middle - first)
    late = (ours[last].cpu - ours[middle].cpu) / (last - middle)
    bare_cpu = (least[middle].cpu - least[first].cpu) / (middle - first)
    note = f"{1e2 * early:.2f} and {1e2 * late:.2f} % of a core each; a VideoCapture {1e2 * bare_cpu:.2f}"
    yield at_most(f"… processor a stream, {middle} to {last} against before", late / early, LINEAR, note, unit="×")
    threads = (ours[last].threads - ours[first].threads) / more
    all_threads = ", ".join(f"{count}: {ours[count].threads}" for count in STEPS)
    yield at_most("… threads a stream", threads, THREADS, f"in all {all_threads}")
    yield told("… all processes", f"{ours[last].cpu:.2f} cores", f"with {last} streams")
