"""A server under attack, with jobs that run all the while, and a look at what is left afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from serving import SAMPLE, TWO_WORKERS, Server, eventually

_BESIEGED = "VIDSERVE_TEST_SIEGE"
_KEPT_OF_A_JOB = {"source", "rows.ndjson", "events.ndjson"}
_KEPT = {
    "jobs",
    "uploads",
    "models",
    "lock",
    "server.log",
    "vidserve.db",
    "vidserve.db-wal",
    "vidserve.db-shm",
    "imports",
}


class Siege:
    """
    Args:
        folder: for data and everything else of the server.
        seed: of the moments and the victims.
        jobs: as many are unfinished at any time.
    """

    def __init__(self, folder: Path, seed: int, *, jobs: int = 3) -> None:
        self.random = random.Random(seed)
        self._data = folder / "data"
        self._temporary = folder / "tmp"
        self._temporary.mkdir()
        self._token = f"{os.getpid()}-{folder.name}"
        self._at_once = jobs
        self._jobs: list[dict] = []
        self._pids: list[int] = []
        self.server = self._serve()
        self.server.wait_ready()
        self._expected = self._result(self.server.post(SAMPLE))
        self._descriptors = self._open_descriptors()

    # ── the attack ───────────────────────────────────────────────────────────────────────────────────────────────

    def wait(self, seconds: float) -> None:
        """Let a random time pass while jobs run."""
        self.feed()
        time.sleep(self.random.uniform(0.0, seconds))

    def feed(self) -> None:
        """See that jobs run."""
        states = [self.server.client.get(f"/v1/jobs/{job['id']}").json()["state"] for job in self._jobs]
        for _ in range(self._at_once - sum(state in ("queued", "running") for state in states)):
            self._jobs.append(self.server.post(SAMPLE))

    def strike(self, module: str, number: signal.Signals) -> int | None:
        """Send a signal to a process that runs `module`; None if there is none at the moment."""
        pids = self.server.children(module)
        if not pids:
            return None
        pid = self.random.choice(sorted(pids))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    def restart(self) -> None:
        """End the server as a power cut would, and start it again on the same data, at any moment."""
        before = self._processes()
        self.server.kill()
        eventually(lambda: not before & self._processes(), seconds=5)
        self.server = self._serve()

    # ── what came of it ──────────────────────────────────────────────────────────────────────────────────────────

    def check_results(self) -> None:
        """Every job is done, with the same bytes as undisturbed."""
        self.server.wait_ready()
        for job in self._jobs:
            assert self._result(job) == self._expected

    def check_nothing_leaked(self) -> None:
        """No process, segment, descriptor, file or folder is left that an undisturbed server would not have."""
        server = self.server
        eventually(lambda: len(self._processes()) == 1 + len(server.children("server.")), seconds=10)
        eventually(lambda: self._open_descriptors() <= self._descriptors, seconds=10)
        assert {name for pid in self._pids[:-1] for name in _segments(pid)} == set()
        assert server.stop() == 0
        assert self._processes() == set()
        assert _segments(self._pids[-1]) == set()
        # ONNX Runtime keeps a file of its own there.
        assert {path.name for path in self._temporary.iterdir()} <= {".ses"}
        assert {path.name for path in self._data.iterdir()} <= _KEPT
        assert list((self._data / "uploads").iterdir()) == []
        for folder in (self._data / "jobs").iterdir():
            assert {path.name for path in folder.iterdir()} <= _KEPT_OF_A_JOB

    def deaths(self) -> dict[tuple[str, str], int]:
        """How often processes ended, by kind and reason, as the server counts it."""
        found = {}
        for family in text_string_to_metric_families(self.server.client.get("/metrics").text):
            for sample in family.samples:
                if sample.name == "vidserve_process_restarts_total":
                    found[sample.labels["process"], sample.labels["reason"]] = int(sample.value)
        return found

    def close(self) -> None:
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.server.process.wait()
        self.server.client.close()

    def _serve(self) -> Server:
        # What is measured in between may change the last bits of a model's answers.
        quiet = {**TWO_WORKERS, "VIDSERVE_ENGINE__TUNE": "false", "VIDSERVE_JOBS__CHECKPOINT_S": "0.2"}
        env = {**quiet, "TMPDIR": str(self._temporary), _BESIEGED: self._token}
        # Its processes are found by their variables.
        server = Server(self._data, env=env, anew=True)
        self._pids.append(server.process.pid)
        return server

    def _result(self, job: dict) -> tuple[object, ...]:
        ended = self.server.wait(job)
        assert ended["state"] == "done", (ended, self.server.log.read_text()[-4000:])
        kept = ("frames", "summary", "width", "height", "duration_s", "progress", "warnings")
        return self.server.rows(job), *(ended[name] for name in kept)

    def _processes(self) -> set[int]:
        """All processes that descend from a server of this siege."""
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                alive = (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
                if alive and f"{_BESIEGED}={self._token}\0".encode() in (folder / "environ").read_bytes():
                    found.add(int(folder.name))
        return found

    def _open_descriptors(self) -> int:
        """Without the database's, which has a few connections, as many as were ever needed at once."""
        links = [os.readlink(file) for file in Path(f"/proc/{self.server.process.pid}/fd").iterdir()]
        return sum("/vidserve.db" not in link for link in links)


def _segments(pid: int) -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir() if f"vidserve.{pid}." in path.name}


@contextlib.contextmanager
def siege(folder: Path, seed: int) -> Iterator[Siege]:
    """A server under attack; at the end everything is compared and looked through."""
    besieged = Siege(folder, seed)
    try:
        yield besieged
        besieged.check_results()
        besieged.check_nothing_leaked()
    finally:
        besieged.close()
