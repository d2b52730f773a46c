"""The server as its users meet it: started, asked over HTTP, watched from outside."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks import processes
from benchmarks.failure import NotMeasured

_PATIENCE_S = 60


@dataclass(frozen=True)
class Done:
    """Jobs that have ended.

    Attributes:
        jobs: as the server describes them.
        frames: of all, whatever became of them.
        seconds: from the first POST to the last `done`.
        cpu: processor seconds of each process meanwhile.
    """

    jobs: list[dict[str, Any]]
    frames: int
    seconds: float
    cpu: dict[str, float]

    @property
    def fps(self) -> float:
        return self.frames / self.seconds


class Server:
    """`vidserve serve` on a free port.

    Args:
        data: its data folder.
        settings: by their keys, for example `engine.models`.

    Attributes:
        port: it listens at.
        ready_s: seconds from its start until it was ready.
        address: its URL.
        client: for what the methods do not do.
    """

    def __init__(self, data: Path, settings: Mapping[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = port = int(probe.getsockname()[1])
        settings = {"engine.tune": "false", **settings}  # nothing shall be measured between measurements
        self._variables = {f"VIDSERVE_{key.upper().replace('.', '__')}": value for key, value in settings.items()}
        self._command = [sys.executable, "-m", "server.cli", "serve", "--data", str(data), "--port", str(port)]
        self._log = data / "server.log"
        self._log.unlink(missing_ok=True)
        self.address = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.address, timeout=_PATIENCE_S + 30)
        self.ready_s = self._start()

    @property
    def pid(self) -> int:
        """Of the API process."""
        return self._process.pid

    def start_again(self) -> None:
        """After it was killed: on the same data, at the same port; returns when it is ready."""
        self._process.wait(_PATIENCE_S)
        self._start()

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by what they are."""
        return processes.names(self._process.pid)

    def cpu(self) -> dict[str, float]:
        """Processor seconds of each process so far."""
        return {name: processes.cpu_seconds(pid) for name, pid in self.processes.items()}

    def memory(self) -> dict[str, float]:
        """PSS of each process, in MB."""
        return {name: processes.pss_mb(pid) for name, pid in self.processes.items()}

    def tuning(self) -> str:
        """How the models run that are loaded: sessions, threads and the largest batch."""
        models = self.client.get("/v1/models").raise_for_status().json()["items"]
        return ", ".join(
            f"{model['name']} {model['sessions']} × {model['threads']}, batches of {model['max_batch']}"
            for model in models
            if model["state"] == "ready"
        )

    def submit(self, video: Path, analysis: Mapping[str, Any]) -> str:
        """POST a video; the job's id."""
        with video.open("rb") as file:
            answer = self.client.post(
                "/v1/jobs", files={"file": (video.name, file)}, data={"analysis": json.dumps(dict(analysis))}
            )
        if answer.status_code != httpx.codes.ACCEPTED:
            raise NotMeasured(f"POST /v1/jobs answered {answer.status_code}: {answer.text}")
        return str(answer.json()["id"])

    def job(self, job: str, *, wait_s: int = 0) -> dict[str, Any]:
        """What the server says of a job; with `wait_s`, when it ends or the seconds have passed."""
        found: dict[str, Any] = self.client.get(f"/v1/jobs/{job}", params={"wait": wait_s}).raise_for_status().json()
        return found

    def run(self, videos: Sequence[Path], analysis: Mapping[str, Any]) -> Done:
        """POST the videos at the same moment, and wait until all are done."""

        def whole(video: Path) -> dict[str, Any]:
            name = self.submit(video, analysis)
            while (job := self.job(name, wait_s=_PATIENCE_S))["state"] in ("queued", "running"):
                pass
            return job

        before, start = self.cpu(), time.perf_counter()
        with ThreadPoolExecutor(len(videos)) as crew:
            jobs = list(crew.map(whole, videos))
        seconds, after = time.perf_counter() - start, self.cpu()
        for job in jobs:
            if job["state"] != "done":
                raise NotMeasured(f"a job is {job['state']}: {job.get('error')}")
        frames = sum(sum(job["frames"].values()) for job in jobs)
        cpu = {name: spent - before.get(name, 0.0) for name, spent in after.items()}
        return Done(jobs, frames, seconds, cpu)

    def rows(self, job: str) -> list[dict[str, Any]]:
        """A job's results."""
        text = self.client.get(f"/v1/jobs/{job}/results").raise_for_status().text
        return [json.loads(line) for line in text.splitlines()]

    def stop(self) -> None:
        self.client.close()
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _start(self) -> float:
        """Seconds until it was ready."""
        start = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.DEVNULL, stderr=log, env={**os.environ, **self._variables}
            )
        self._wait_ready()
        return time.perf_counter() - start

    def _wait_ready(self) -> None:
        until = time.monotonic() + _PATIENCE_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                if self.client.get("/health/ready").status_code == httpx.codes.OK:
                    return
            if self._process.poll() is not None or time.monotonic() > until:
                self._process.kill()
                raise NotMeasured(f"the server did not become ready; its log says:\n{self._log.read_text()}")
            time.sleep(0.02)


@contextlib.contextmanager
def serving(data: Path, **settings: str) -> Iterator[Server]:
    """A server that is ready; `__` in a setting's name stands for a dot."""
    server = Server(data, {key.replace("__", "."): value for key, value in settings.items()})
    try:
        yield server
    finally:
        server.stop()


def import_model(data: Path, model: Path, labels: Path, name: str) -> None:
    """`vidserve models import` of a YOLOX model, made the default."""
    named = ("--family", "yolox", "--name", name, "--labels", str(labels))
    _vidserve(data, "models", "import", str(model), *named)
    _vidserve(data, "models", "default", name)


def import_raw(data: Path, model: Path, name: str) -> None:
    """`vidserve models import` of a model that is asked with tensors."""
    _vidserve(data, "models", "import", str(model), "--family", "raw", "--name", name)


def measure_model(data: Path, name: str) -> None:
    """`vidserve bench`: servers on this data folder run the model as is fastest here, if the machine is quiet now."""
    _vidserve(data, "bench", name)


def _vidserve(data: Path, *command: str) -> None:
    """Run a command, which speaks on standard error.

    Raises:
        NotMeasured: it failed.
    """
    done = subprocess.run([sys.executable, "-m", "server.cli", *command, "--data", str(data)], stdout=sys.stderr)
    if done.returncode:
        raise NotMeasured(f"vidserve {' '.join(command)} failed")
