"""Damaged files are read as far as they go or refused with a reason; in a process of their own, which may die of it."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from damage import mutations

# A line of standard input is a path; a line of output is what became of it.
_READ = """
import json, sys
from pathlib import Path
import cv2
from model_export.errors import VidserveError
from model_export.video import open_video

cv2.setNumThreads(1)
for line in sys.stdin:
    frames, said = 0, "read"
    try:
        with open_video(Path(line.rstrip("\\n")), max_pixels=8192 * 4320, max_s=86400) as video:
            while video.grab():
                frames += 1
                picture = video.retrieve()
                assert picture is None or picture.size
            if video.exceeded:
                said = video.exceeded.code
            elif video.truncated:
                said = "truncated"
    except VidserveError as error:
        said = error.code
    print(json.dumps([said, frames]), flush=True)
"""
_PATIENCE_S = 60
_PARTS = 4
"""Of the files, so that several processes of a test run share them."""


class _Reader:
    def __init__(self, log: Path) -> None:
        self.log = log
        with log.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _READ], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True
            )

    def read(self, path: Path) -> tuple[str, int] | None:
        """What became of it, and its frames; None if the process died of a signal: a crash inside the decoder."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(path, file=self._process.stdin, flush=True)
        ready, _, _ = select.select([self._process.stdout], [], [], _PATIENCE_S)
        assert ready, f"{path.name} hangs"
        answer = self._process.stdout.readline()
        if answer:
            said, frames = json.loads(answer)
            return said, frames
        assert self._process.wait(10) < 0, f"{path.name}: {self.log.read_text()}"
        return None

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.mark.data
@pytest.mark.parametrize("part", range(_PARTS))
def test_damaged_files_are_read_as_far_as_they_go_or_refused(shared_data: Path, tmp_path: Path, part: int) -> None:
    outcomes: Counter[str] = Counter()
    files = mutations(shared_data / "formats", usually=500, part=part, parts=_PARTS)
    more = True
    while more:
        more = False
        with closing(_Reader(tmp_path / "log")) as reader:
            for name, content in files:
                (tmp_path / name).write_bytes(content)
                answer = reader.read(tmp_path / name)
                (tmp_path / name).unlink()
                if answer is None:
                    outcomes["crashed"] += 1
                    more = True
                    break
                said, frames = answer
                assert said in ("read", "truncated", "video_unreadable", "video_too_large", "video_too_long"), name
                assert frames or said.startswith("video_"), name
                outcomes[said] += 1
    assert all(outcomes[said] for said in ("read", "truncated", "video_unreadable")), outcomes
