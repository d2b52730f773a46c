"""Streams in a real worker process."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import zmq
from live_builders import ROW, eventually
from web_builders import Site, mjpeg
from worker_builders import FakeEngine, manifest

from server.core.calls import CallPage
from server.core.log import LogConfig
from server.core.metrics_page import Page
from server.domain.stream import StreamSource
from server.wire.memory import PREFIX, SharedFile
from server.wire.messages import (
    RowsTaken,
    StartStream,
    Stop,
    StopStream,
    StreamEnded,
    StreamRows,
    WorkerReady,
)
from server.wire.slots import Segment, SizeClass
from server.wire.sockets import Router
from server.worker.config import WorkerConfig


class Process:
    """A worker process, with an engine and an API process that are this one."""

    def __init__(self, folder: Path) -> None:
        name = f"{PREFIX}test.{os.getpid()}.{folder.name}"
        self.context = zmq.Context()
        self.engine = FakeEngine(self.context, f"ipc://{folder}/engine")
        self._address = f"ipc://{folder}/engine"
        self._api = Router(self.context, f"ipc://{folder}/api", "api", 1)
        self._page_file = SharedFile.create(f"{name}.page", Page.bytes_for(1))
        self._calls_file = SharedFile.create(f"{name}.calls", CallPage.bytes_for(1))
        self._words_file = SharedFile.create(f"{name}.words", 4096)
        self._segment = Segment.create(name, [SizeClass(4096, 16)])
        self.page = Page(self._page_file.buffer, 1)
        self.calls = CallPage(self._calls_file.buffer, 1)
        self.rows = dict[str, int]()
        self.ended: list[StreamEnded] = []
        (folder / "bundle").mkdir()
        (folder / "bundle/manifest.json").write_text(manifest().model_dump_json())
        self._bundle = str(folder / "bundle")
        config = WorkerConfig(
            name="worker-0",
            incarnation=1,
            api=f"ipc://{folder}/api",
            segment=self._segment.name,
            page=self._page_file.name,
            page_writers=1,
            writer=0,
            max_pixels=2**22,
            max_s=None,
            calls=self._calls_file.name,
            workers=1,
            worker=0,
            last_words=self._words_file.name,
            log=LogConfig(process="worker-0", level="debug"),
        )
        self.output = folder / "stderr"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "server.worker.process"], stdin=subprocess.PIPE, stderr=output
            )
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(config) + b"\n")
        self.process.stdin.flush()
        self.peer = b""
        eventually(lambda: self.hear() or self.peer)

    def start(self, stream: str, source: StreamSource) -> None:
        self._api.send(
            self.peer,
            StartStream(stream, 1, msgspec.json.encode(source), b"{}", self._bundle, self._address, ROW),
        )

    def stop(self, stream: str) -> None:
        self._api.send(self.peer, StopStream(stream, 1))

    def hear(self) -> None:
        """Take what has come."""
        while (received := self._api.recv(0.01)) is not None:
            match received.message:
                case WorkerReady():
                    self.peer = received.peer
                case StreamRows(stream=stream):
                    self.rows[stream] = self.rows.get(stream, 0) + len(received.payload[0].splitlines())
                    self._api.send(received.peer, RowsTaken(stream))
                case StreamEnded() as ended:
                    self.ended.append(ended)

    def count(self, what: str) -> int:
        """Its `task`s (threads) or `fd`s (open files)."""
        return len(os.listdir(f"/proc/{self.process.pid}/{what}"))

    def close(self) -> None:
        if self.process.poll() is None:
            self._api.send(self.peer, Stop())
            self.process.wait(10)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.engine.close()
        self._api.close()
        self.context.destroy(linger=0)
        for shared in (self._segment, self._page_file, self._calls_file, self._words_file):
            shared.close()


@pytest.fixture
def worker(tmp_path):
    process = Process(tmp_path)
    yield process
    process.close()


@pytest.fixture
def site():
    site = Site(cam=mjpeg(fps=20), short=mjpeg(fps=50, frames=5))
    yield site
    site.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_each_stream_has_two_threads_and_leaves_nothing_behind(worker, site):
    threads = worker.count("task")
    # Once a stream has come and gone, its other threads have opened what they need, too.
    worker.start("first", StreamSource(url=site.url("cam"), loopback=True))
    eventually(lambda: worker.hear() or worker.rows)
    worker.stop("first")
    eventually(lambda: worker.hear() or worker.ended)
    eventually(lambda: worker.count("task") == threads)
    files = worker.count("fd")
    worker.rows.clear()
    worker.ended.clear()
    for number in range(4):
        worker.start(f"cam-{number}", StreamSource(url=site.url("cam"), loopback=True))
    eventually(lambda: worker.hear() or (len(worker.rows) == 4 and min(worker.rows.values()) >= 5))
    assert worker.count("task") == threads + 8
    assert len({seen.owner for seen in worker.calls.seen(0) if seen.owner}) == 4
    for number in range(4):
        worker.stop(f"cam-{number}")
    eventually(lambda: worker.hear() or len(worker.ended) == 4)
    eventually(lambda: worker.count("task") == threads)
    eventually(lambda: worker.count("fd") <= files)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_source_that_breaks_off_again_and_again_takes_ever_the_same(worker, site):
    def asked(times):
        return lambda: worker.hear() or len(site.asked) >= times

    for number in range(6):
        worker.start(f"cam-{number}", StreamSource(url=site.url("short"), loopback=True))
    eventually(asked(12))
    threads, files = worker.count("task"), worker.count("fd")
    eventually(asked(24))
    assert worker.count("task") <= threads
    assert worker.count("fd") <= files + 6


def test_a_password_is_in_no_line_of_the_log(worker, site):
    source = StreamSource(
        url=site.url("nothing"), username="viewer", password="pa55word", loopback=True, open_s=1, read_s=1
    )
    worker.start("cam", source)
    worker.start("door", msgspec.structs.replace(source, url=f"rtsp://127.0.0.1:{site.port}/x"))
    eventually(lambda: worker.output.read_text().count("Trying again") >= 4)
    assert "pa55word" not in worker.output.read_text()
