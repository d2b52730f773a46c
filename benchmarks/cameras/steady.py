"""Eight cameras of 640×360 at ten frames a second: are all frames analysed, and how old are the results?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import quantiles

from benchmarks.cameras.listening import Listener
from benchmarks.cameras.streams import Streams, cameras_wanted
from benchmarks.serving import serving
from benchmarks.stage import Stage
from benchmarks.table import Row, at_least, at_most, told
from tests.cameras.material import filmed
from tests.cameras.rtsp import RtspServer

CAMERAS = 8
FPS = 10.0
AGE_S = 0.15
_SETTLING_S = 3.0
_UNDER_WAY = 3
"""Frames of a camera that may be between its sending and our counting at either end."""


def rows(stage: Stage) -> Iterator[Row]:
    cameras_wanted()
    street = filmed(stage.street, fps=FPS, size_wh=(640, 360))
    names = [f"camera-{number}" for number in range(CAMERAS)]
    with (
        RtspServer(dict.fromkeys(names, street)) as cameras,
        serving(stage.data, engine__models="moving-objects") as server,
    ):
        streams = Streams(server)
        ids = streams.add_all(map(cameras.url, names))
        with Listener(server.address, ids) as listener:
            time.sleep(_SETTLING_S)
            cpu, before, start = server.cpu(), streams.scrape(), time.time()
            time.sleep(stage.seconds)
            end, after, spent = time.time(), streams.scrape(), server.cpu()
            ages = [row.age_s for stream in ids for row in listener.since(stream, start) if row.at <= end]
            sent = sum(start <= at < end for name in names for at in cameras.sent(name).values())
    found = after.since(before)
    delivered = sum(found.outcomes.values())
    what = f"{CAMERAS} cameras at {FPS:g} fps for {stage.seconds:g} s"
    yield at_least(f"{what}: analysed", 100 * found.analysed, 99, str(found.outcomes), unit=" %")
    missing = abs(sent - delivered)
    yield Row(
        "… outcomes add up to what was sent",
        f"within {_UNDER_WAY} a camera",
        f"{delivered} of {sent}",
        missing <= _UNDER_WAY * CAMERAS,
    )
    yield at_most("… p95 of result_age_seconds", 1e3 * found.age_s(), 1e3 * AGE_S, unit=" ms", digits=0)
    p95 = 1e3 * quantiles(ages, n=20)[-1]
    yield told("… p95 at a subscriber", f"{p95:.0f} ms", f"{len(ages)} rows, {listener.gaps} lost on the way")
    busy = sum(spent[name] - cpu.get(name, 0.0) for name in spent) / (end - start) / CAMERAS
    yield told("… processor a camera", f"{100 * busy:.1f} %", "of one core")
