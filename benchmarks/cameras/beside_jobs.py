"""Four live streams while four jobs run as fast as they can: streams go first, jobs get what is left."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.cameras.streams import EVERY_FRAME, Streams, cameras_wanted
from benchmarks.cameras.work import Work
from benchmarks.serving import serving
from benchmarks.stage import MODEL, MOVING, Stage
from benchmarks.table import Row, at_least, told
from tests.cameras.material import filmed
from tests.cameras.rtsp import RtspServer

STREAMS = JOBS = 4
FPS = 10.0
KEPT = 98.0
_SETTLING_S = 3.0
_MOST_S = 30.0


def rows(stage: Stage) -> Iterator[Row]:
    cameras_wanted()
    street = filmed(stage.street, fps=FPS, size_wh=(640, 360))
    names = [f"camera-{number}" for number in range(STREAMS)]
    models = [MOVING] if stage.original is None else [MOVING, MODEL]
    with (
        RtspServer(dict.fromkeys(names, street)) as cameras,
        serving(stage.data, engine__models=",".join(models)) as server,
    ):
        streams = Streams(server)
        streams.add_all(map(cameras.url, names), EVERY_FRAME)
        for model in models:
            with Work(server, stage.street, {"model": model}, at_once=JOBS) as work:
                time.sleep(_SETTLING_S)
                start, before = time.time(), streams.scrape()
                time.sleep(min(_MOST_S, stage.seconds))
                found, end = streams.scrape().since(before), time.time()
            sent = sum(start <= at < end for name in names for at in cameras.sent(name).values())
            kept = 100 * found.outcomes.get("analysed", 0) / sent
            note = f"{found.outcomes} of {sent} sent, p95 of result_age {1e3 * found.age_s():.0f} ms"
            yield at_least(f"{STREAMS} streams beside {JOBS} jobs of {model}: frames kept", kept, KEPT, note, unit=" %")
            yield told("… the jobs did", f"{work.fps:.0f} frames/s")
