"""A real server as a child process, for journeys from the outside."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from template import Forked

SAMPLE = Path(__file__).parents[2] / "server" / "samples" / "street.mp4"
USUALLY = {"VIDSERVE_ENGINE__TUNE": "false", "VIDSERVE_WORKERS__COUNT": "1"}
TWO_WORKERS = {"VIDSERVE_WORKERS__COUNT": "2"}


def free_port() -> int:
    """A port that nobody listens on, and that no other process of the test run is given."""
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        # Linux gives every other port alone.
        if port // 2 % processes == mine:
            return port


def eventually(what: Callable[[], object], *, seconds: float = 60.0) -> object:
    """The first true value of `what`, asked again and again; fails when the seconds have passed."""
    until, pause = time.monotonic() + seconds, 0.02
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"did not happen within {seconds} s; the last answer was {found!r}")
        # Asking again and again takes the processor from what is asked.
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


class Server:
    """`vidserve serve` on a free port.

    Args:
        data: its data folder.
        options: more flags; `env`: more variables. It has one worker and does not measure models when idle, unless they
            say so: `TWO_WORKERS` for tests of workers beside each other.
        log: where it writes its log; in the data folder if absent.
        anew: start the command as a user does, for tests of the start itself, of signals, and of what `/proc` tells.
            Others have it forked from a process that has imported everything, which costs half of the time.
    """

    def __init__(
        self,
        data: Path,
        *options: str,
        env: dict[str, str] | None = None,
        log: Path | None = None,
        anew: bool = False,
    ) -> None:
        self.port = free_port()
        self.data = data
        self.log = log or data / "server.log"
        data.mkdir(parents=True, exist_ok=True)
        serve = ["serve", "--data", str(data), "--port", str(self.port), *options]
        environ = {**os.environ, **USUALLY, **(env or {})}
        self.process: Forked | subprocess.Popen[bytes]
        with self.log.open("ab") as log_file:
            if anew or sys.platform != "linux":
                command = [sys.executable, "-m", "server.cli", *serve]
                self.process = subprocess.Popen(command, stderr=log_file, stdout=subprocess.DEVNULL, env=environ)
            else:
                self.process = Forked(
                    "server.cli", *serve, imports=["server.commands.serve"], stderr=log_file, env=environ
                )
        # Servers close a connection that nobody used for five seconds: just then no request may be on its way.
        limits = httpx.Limits(keepalive_expiry=1.0)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=90, limits=limits)

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx.TransportError):
                return self.client.get("/health/ready").status_code == 200
            return False

        eventually(ready, seconds=90)

    def children(self, module: str) -> list[int]:
        """Process ids of the server's children that run `module`."""
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid and module in (folder / "cmdline").read_text():
                    found.append(int(folder.name))
        return found

    def segments(self) -> set[str]:
        """Names of the server's shared memory."""
        return {path.name for path in Path("/dev/shm").glob(f"vidserve.{self.process.pid}.*")}

    def post(self, video: Path, **fields: str) -> dict:
        """A job, as it was accepted."""
        with video.open("rb") as file:
            answer = self.client.post("/v1/jobs", files={"file": (video.name, file)}, data=fields)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def post_until_checkpoint(self, video: Path) -> dict:
        """A job that was seen to have a checkpoint; who is done before a busy machine looks is followed by another."""
        job = self.post(video)

        def seen() -> dict | None:
            nonlocal job
            if (self.data / "jobs" / job["id"] / "checkpoint").exists():
                return job
            if self.client.get(f"/v1/jobs/{job['id']}").json()["state"] == "done":
                job = self.post(video)
            return None

        return eventually(seen)  # type: ignore[return-value]

    def wait(self, job: dict, *, seconds: float = 120) -> dict:
        """The job when it has ended."""

        def ended() -> dict | None:
            answer = self.client.get(f"/v1/jobs/{job['id']}", params={"wait": 10}).json()
            return answer if answer["state"] in ("done", "failed", "cancelled") else None

        return eventually(ended, seconds=seconds)  # type: ignore[return-value]

    def rows(self, job: dict) -> bytes:
        """The job's results as NDJSON."""
        return self.client.get(f"/v1/jobs/{job['id']}/results").raise_for_status().content

    def stop(self) -> int:
        """End it in order; the exit status."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()  # or it would be there beside all later tests
            raise

    def kill(self) -> None:
        """End it as a power cut would."""
        self.client.close()
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def serving(
    data: Path,
    *options: str,
    env: dict[str, str] | None = None,
    log: Path | None = None,
    anew: bool = False,
) -> Iterator[Server]:
    """A server that is ready, and gone afterwards."""
    server = Server(data, *options, env=env, log=log, anew=anew)
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


def import_model(data: Path, model: Path, labels: Path, name: str = "yolox-nano") -> None:
    """`vidserve models import` into a data folder."""
    vidserve = [sys.executable, "-m", "server.cli", "models", "import", str(model), "--family", "yolox"]
    named = ["--name", name, "--labels", str(labels), "--data", str(data)]
    subprocess.run([*vidserve, *named], check=True, capture_output=True)
