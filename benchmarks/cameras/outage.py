"""The cameras are away for ten seconds, again and again."""

from __future__ import annotations

import time
from collections.abc import Iterator

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
                sizes.append(_sizes(server))
                cameras.stop()
                time.sleep(AWAY_S)
                states |= {streams.get(stream)["state"] for stream in ids}
                cameras.start()
                start = time.monotonic()
                for stream in ids:
                    streams.wait(stream, lambda one: one["state"] == "running")
                    back.append(time.monotonic() - start)
            time.sleep(_STEADY_S)
            sizes.append(_sizes(server))
            wrong = sum(disorder(listener.heard(stream), FPS) for stream in ids)
            heard = sum(len(listener.heard(stream)) for stream in ids)
    what = f"{STREAMS} cameras away for {AWAY_S:g} s, {stage.times} times"
    yield Row(f"{what}: state meanwhile", "reconnecting", ", ".join(sorted(states)), states == {"reconnecting"})
    note = ", ".join(f"{one:.1f}" for one in back)
    yield at_most("… running again, the slowest", max(back), BACK_S, f"{note} s", unit=" s", digits=1)
    yield at_most("… rows out of order (frame, pts, captured_at)", wrong, 0, f"of {heard}", digits=0)
    first, last = sizes[1 if stage.times > 1 else 0], sizes[-1]  # the first time may take more once
    yield at_most(
        "… growth of memory", last[0] - first[0], GROWTH_MB, f"{first[0]:.0f} → {last[0]:.0f} MB", unit=" MB", digits=1
    )
    for name, of in (("threads", 1), ("descriptors", 2)):
        yield at_most(f"… growth of {name}", last[of] - first[of], 0, f"{first[of]} → {last[of]}", digits=0)


def _sizes(server: Server) -> tuple[float, int, int]:
    """MB, threads and descriptors of all processes."""
    pids = server.processes.values()
    threads, descriptors = sum(map(processes.threads, pids)), sum(map(processes.descriptors, pids))
    return sum(server.memory().values()), threads, descriptors
