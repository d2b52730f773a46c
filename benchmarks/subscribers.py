"""How many may listen: 300 subscribers of one stream of ten results a second, a tenth of whom do not read."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import processes
from benchmarks.broadcast import OBJECTS, RATE, STREAM
from benchmarks.failure import NotMeasured
from benchmarks.stage import Stage
from benchmarks.table import Row, at_least, at_most, told

READING, IDLE = 270, 30
BOUND_MS = 100
WARM_S, SECONDS = 3, 45
_PATIENCE_S = 60


def rows(stage: Stage) -> Iterator[Row]:
    """Server and subscribers on the same machine, of whose cores the subscribers take their share."""
    with _broadcasting() as (pid, port):
        before, cpu = processes.pss_mb(pid), processes.cpu_seconds(pid)
        command = [sys.executable, "-m", "benchmarks.listeners", str(port), f"/v1/streams/{STREAM}/subscribe"]
        numbers = [str(number) for number in (READING, IDLE, WARM_S, SECONDS)]
        done = subprocess.run([*command, *numbers], stdout=subprocess.PIPE, text=True, timeout=SECONDS + _PATIENCE_S)
        if done.returncode:
            raise NotMeasured("the subscribers failed, see above")
        seen = json.loads(done.stdout)
        after, cpu = processes.pss_mb(pid), processes.cpu_seconds(pid) - cpu
    share = cpu / (WARM_S + SECONDS)
    spread = f"median {seen['p50'] * 1000:.0f}, longest {seen['max'] * 1000:.0f} ms"
    note = f"{RATE} results a second of {OBJECTS} objects; {spread}"
    yield at_most(
        f"p95 to {READING} of {READING + IDLE} subscribers", seen["p95"] * 1000, BOUND_MS, note, unit=" ms", digits=0
    )
    yield at_most("… results that readers missed", seen["missed"], 0, f"of {seen['results']}", digits=0)
    right = f"{seen['gaps_right']} say exactly how much"
    yield at_least(f"… gaps told to {IDLE} that do not read", seen["gaps"], IDLE, right, digits=0)
    yield told("… API process", f"{before:.0f} → {after:.0f} MB", f"{share:.2f} cores")


@contextlib.contextmanager
def _broadcasting() -> Iterator[tuple[int, int]]:
    """Process id and port of a server that speaks."""
    with (
        tempfile.TemporaryDirectory(prefix="vidserve-bench-") as folder,
        (Path(folder) / "server.log").open("w") as log,
    ):
        command = [sys.executable, "-m", "benchmarks.broadcast", folder]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            if not line.strip():
                raise NotMeasured(
                    f"the server did not start; its log says:\n{(Path(folder) / 'server.log').read_text()}"
                )
            yield server.pid, int(line)
        finally:
            server.terminate()
            server.wait(_PATIENCE_S)
