"""Any process is killed, again and again, while four streams and four jobs run."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import processes
from benchmarks.cameras.listening import Listener, disorder
from benchmarks.cameras.streams import Streams, cameras_wanted
from benchmarks.cameras.work import Work
from benchmarks.failure import NotMeasured
from benchmarks.serving import Server, serving
from benchmarks.stage import MOVING, Stage
from benchmarks.table import Row, at_most
from tests.cameras.material import filmed
from tests.cameras.rtsp import RtspServer

STREAMS = JOBS = 4
FPS = 10.0
BACK_S = 5.0
_PATIENCE_S = 30.0
_SEED = 1


def rows(stage: Stage) -> Iterator[Row]:
    cameras_wanted()
    street = filmed(stage.street, fps=FPS, size_wh=(640, 360))
    names = [f"camera-{number}" for number in range(STREAMS)]
    chance = random.Random(_SEED)
    back: dict[str, list[float]] = {}
    pids: set[int] = set()
    with (
        RtspServer(dict.fromkeys(names, street)) as cameras,
        serving(stage.data, engine__models=MOVING, jobs__checkpoint_s="0.5") as server,
    ):
        with Work(server, stage.street, {"model": MOVING}, at_once=1) as undisturbed:
            pass
        expected = undisturbed.done[0].rows
        ids = Streams(server).add_all(map(cameras.url, names))
        with (
            Listener(server.address, ids) as listener,
            Work(server, stage.street, {"model": MOVING}, at_once=JOBS) as work,
        ):
            for _ in range(stage.times):
                time.sleep(chance.uniform(1, 4))
                victim = chance.choice(sorted(server.processes))
                pids.update((server.pid, *processes.descendants(server.pid)))
                back.setdefault(victim.partition("-")[0], []).append(_kill(server, victim, listener, ids))
            wrong = sum(disorder(listener.heard(stream), FPS) for stream in ids)
            heard = sum(len(listener.heard(stream)) for stream in ids)
        pids.update((server.pid, *processes.descendants(server.pid)))
    seconds = [one for of in back.values() for one in of]
    note = "; ".join(f"{victim}: {', '.join(f'{one:.1f}' for one in of)}" for victim, of in back.items())
    what = f"{stage.times} kills with {STREAMS} streams and {JOBS} jobs"
    yield at_most(f"{what}: streams are back", max(seconds), BACK_S, f"{note} s", unit=" s", digits=1)
    begun_anew = STREAMS * len(back.get("API", []))
    told = f"of {heard}, and {begun_anew} where the server was started again"
    yield at_most("… rows out of order (frame, pts, captured_at)", wrong - begun_anew, 0, told, digits=0)
    wrong = sum(job.state != "done" or job.rows != expected for job in work.done)
    yield at_most("… jobs with other bytes", wrong, 0, f"of {len(work.done)}", digits=0)
    alive = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    left = [name for name in _shared() if any(f"vidserve.{pid}." in name for pid in pids)]
    yield at_most("… left behind: processes, segments", len(alive) + len(left), 0, " ".join(left), digits=0)


def _shared() -> set[str]:
    """Names of shared memory of all servers."""
    return {path.name for path in Path("/dev/shm").iterdir() if "vidserve." in path.name}


def _kill(server: Server, victim: str, listener: Listener, ids: Sequence[str]) -> float:
    """Kill a process; seconds until every stream gave a row of a frame captured after that.

    Where it is the API process, the server is started again, and seconds count from when it is ready.
    """
    os.kill(server.processes[victim], signal.SIGKILL)
    since = time.time()
    if victim == "API":
        server.start_again()
        since = time.time()
    until = time.monotonic() + _PATIENCE_S
    while not all(any(row.captured_at > since for row in listener.since(stream, since)) for stream in ids):
        if time.monotonic() > until:
            raise NotMeasured(f"{victim} was killed, and streams were not back after {_PATIENCE_S:g} s")
        time.sleep(0.02)
    return time.time() - since
