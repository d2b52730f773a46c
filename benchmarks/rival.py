"""Roboflow's `inference.InferencePipeline`, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ceiling import cores
from benchmarks.environment import Environment
from benchmarks.failure import NotMeasured

PINS = (
    "inference-cpu==1.8.3",
    "numpy==2.2.6",
    "onnxruntime==1.21.1",
    "opencv-python==4.12.0.88",
    "streamvision==0.1.3",
    "supervision==0.30.9",
    "torch==2.14.1",
    "torchvision==0.29.1",
)
"""It imports torch and torchvision, which must be of one make, whatever it runs."""

_QUIET = {"TELEMETRY_OPT_OUT": "True", "DISABLE_VERSION_CHECK": "True", "LOG_LEVEL": "ERROR"}


@dataclass(frozen=True)
class Tuning:
    """How its one session runs."""

    threads: int
    spinning: bool

    def __str__(self) -> str:
        return f"1 session × {self.threads} threads, {'' if self.spinning else 'not '}spinning"


@dataclass(frozen=True)
class Ran:
    """What it did: frames of each video, and the seconds from the start of its pipeline to its end."""

    frames: list[int]
    seconds: float
    versions: dict[str, str]

    @property
    def fps(self) -> float:
        return sum(self.frames) / self.seconds


class Rival:
    """It in an environment of its own.

    Args:
        cache: where to keep environments.
        model: YOLOX-Nano as it was published.

    Raises:
        NotMeasured: pip could not install it.
    """

    def __init__(self, cache: Path, model: Path) -> None:
        self._model = model
        # Several GB of it.
        self._python = Environment(cache, "rival", PINS).python

    def run(self, videos: Sequence[Path], tuning: Tuning) -> Ran:
        """The videos as its list of references, all of each."""
        command = [str(self._python), "-m", "benchmarks.rival_loop", str(self._model)]
        command += [str(tuning.threads), "1" if tuning.spinning else "0", *map(str, videos)]
        root = Path(__file__).parents[1]
        done = subprocess.run(command, cwd=root, env={**os.environ, **_QUIET}, capture_output=True, text=True)
        if done.returncode:
            raise NotMeasured(f"the rival ended with {done.returncode}: {done.stderr[-2000:]}")
        said = json.loads(done.stdout.splitlines()[-1])
        return Ran(said["frames"], said["seconds"], said["versions"])

    def tuned(self, videos: Sequence[Path]) -> Tuning:
        """What makes it fastest on these videos, of one thread and all, spinning and not."""
        candidates = [Tuning(1, False), Tuning(cores(), False), Tuning(cores(), True)]
        return max(candidates, key=lambda tuning: self.run(videos, tuning).fps)
