"""Is the age of a result the truth? Each picture carries its number, and the camera keeps a list of when it sent which
one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median, quantiles

from benchmarks.cameras.listening import Heard, Listener
from benchmarks.cameras.streams import Streams, cameras_wanted
from benchmarks.failure import NotMeasured
from benchmarks.serving import serving
from benchmarks.stage import Stage
from benchmarks.table import Row, at_most, told
from tests.cameras.numbers import NUMBERS, numbered, write_reader
from tests.cameras.proxy import Proxy
from tests.cameras.rtsp import RtspServer

FPS = 10.0
HELD_BACK_S = 2.0
_SETTLING_S = 3.0
_WATCHED_S = 10.0


def rows(stage: Stage) -> Iterator[Row]:
    cameras_wanted()
    reader = write_reader(stage.data / "models")
    analysis = {"model": reader, "sample_fps": None, "max_age_ms": 60_000}
    frame_ms = 1e3 / FPS
    with (
        RtspServer({"numbers": numbered(fps=FPS)}) as cameras,
        Proxy(cameras.port) as proxy,
        serving(stage.data, engine__models=reader) as server,
    ):
        streams = Streams(server)
        [stream] = streams.add_all([f"rtsp://127.0.0.1:{proxy.port}/numbers"], analysis)
        with Listener(server.address, [stream]) as listener:
            for delay_s in (0.0, HELD_BACK_S):
                proxy.delay_s = delay_s
                time.sleep(delay_s + _SETTLING_S)
                start, before = time.time(), streams.scrape()
                time.sleep(_WATCHED_S)
                metric_s = streams.scrape().since(before).age_s(0.5)
                heard = listener.since(stream, start)
                if len(heard) < FPS:
                    raise NotMeasured(f"only {len(heard)} rows came in {_WATCHED_S:g} s")
                sent = cameras.sent("numbers")
                wrong_ms = [1e3 * abs(row.captured_at - _sent_at(row, sent)) for row in heard]
                age_s = median(row.age_s for row in heard)
                what = f"held back {delay_s:g} s" if delay_s else "undisturbed"
                note = f"{len(heard)} rows, median {median(wrong_ms):.0f} ms"
                p95 = quantiles(wrong_ms, n=20)[-1]
                yield at_most(f"captured_at against the truth, {what}, p95", p95, frame_ms, note, unit=" ms", digits=0)
                yield told("… median age of rows, and by the metric", f"{age_s:.3f} s, {metric_s:.3f} s")
            off_ms = 1e3 * abs(age_s - HELD_BACK_S)
            yield at_most("… that age against what was held back", off_ms, frame_ms, unit=" ms", digits=0)


def _sent_at(row: Heard, sent: dict[int, float]) -> float:
    """When the picture of a row was sent: of all with its number, the last before the row came."""
    number = int(row.row["classes"][0]["label"])
    return max(at for other, at in sent.items() if other % NUMBERS == number and at <= row.at)
