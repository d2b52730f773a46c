"""`vidserve analyze rtsp://…`, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from serving import USUALLY, eventually
from template import Forked

from tests.cameras import rtsp
from tests.cameras.material import moving_square
from tests.cameras.rtsp import RtspServer

START_S = 90


@pytest.fixture(scope="module")
def cameras() -> Iterator[RtspServer]:
    if reason := rtsp.missing():
        pytest.skip(reason)
    with RtspServer({"square": moving_square(), "short": moving_square(seconds=2)}, once={"short"}) as server:
        yield server


class Analysis:
    """The command, running; forked from a process that has imported everything, unless it is to be started anew."""

    def __init__(self, *words: str, cwd: Path, anew: bool = False) -> None:
        words = ("analyze", *words, "--data", str(cwd))
        environ = {**os.environ, **USUALLY}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process: Forked | subprocess.Popen[bytes]
        if anew or sys.platform != "linux":
            self.process = subprocess.Popen([sys.executable, "-m", "server.cli", *words], env=environ, **streams)
        else:
            self.process = Forked("server.cli", *words, imports=["server.commands.analyze"], env=environ, **streams)
        self.rows: list[str] = []
        self.told: list[str] = []
        heard = ((self.process.stdout, self.rows), (self.process.stderr, self.told))
        self._listening = [threading.Thread(target=self._listen, args=one) for one in heard]
        for one in self._listening:
            one.start()

    @staticmethod
    def _listen(stream: IO[bytes], lines: list[str]) -> None:
        with stream:
            for line in stream:
                lines.append(line.decode().strip())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for one in self._listening:
            one.join()

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture
def analyze(tmp_path: Path) -> Iterator[object]:
    running: list[Analysis] = []

    def start(*words: str, anew: bool = False) -> Analysis:
        running.append(Analysis(*words, cwd=tmp_path, anew=anew))
        return running[-1]

    yield start
    for one in running:
        one.close()


def test_rows_come_as_they_are_made_until_it_is_interrupted(cameras, analyze) -> None:
    analysis = analyze(cameras.url("square"), "--sample-fps", "1000", anew=True)
    eventually(lambda: len(analysis.rows) >= 5, seconds=START_S)
    eventually(lambda: "running" in analysis.told)
    rows = [json.loads(line) for line in analysis.rows]
    assert [row["frame"] for row in rows] == sorted(row["frame"] for row in rows)
    assert {(row["width"], row["height"], row["model"]) for row in rows} == {(640, 360, "moving-objects@1")}
    assert analysis.interrupt() == 0
    assert "Traceback" not in " ".join(analysis.told)


def test_a_camera_that_is_away_is_waited_for(cameras, analyze) -> None:
    away = RtspServer({"square": moving_square()})
    with away:
        away.stop()
        analysis = analyze(away.url("square"), "--format", "csv", "-o", "-")
        eventually(lambda: any("reconnecting" in line for line in analysis.told), seconds=START_S)
        away.start()
        eventually(lambda: len(analysis.rows) >= 3, seconds=60)
        assert analysis.rows[0].startswith("frame,pts_s,track_id")
        assert analysis.interrupt() == 0


def test_credentials_are_not_told(cameras, analyze) -> None:
    analysis = analyze("rtsp://joe:s3cret@127.0.0.1:9/yard")
    eventually(lambda: any("reconnecting" in line for line in analysis.told), seconds=START_S)
    assert "s3cret" not in " ".join(analysis.told)
    assert analysis.interrupt() == 0


@pytest.mark.parametrize(
    ("word", "message"),
    [("rtsp://169.254.169.254/a", "link-local"), ("/dev/null", "is no video device")],
)
def test_a_source_that_must_not_be_opened_is_told(analyze, word: str, message: str) -> None:
    analysis = analyze(word)
    assert analysis.process.wait(START_S) == 1
    eventually(lambda: message in " ".join(analysis.told))
