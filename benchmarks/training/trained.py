"""Recipes that come along, trained and evaluated by the commands that a user gives."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.failure import NotMeasured
from benchmarks.stage import Stage


@dataclass(frozen=True, slots=True)
class Trained:
    """A run that ended.

    Attributes:
        folder: of the run.
        seconds: from the command to its end, reading the data included.
        evaluation: `evaluation.json` on what is kept for tests.
    """

    folder: Path
    seconds: float
    evaluation: dict[str, Any]

    def measure(self, name: str) -> float:
        return float(self.evaluation["measures"][name]["value"])

    def interval(self, name: str) -> tuple[float, float]:
        measure = self.evaluation["measures"][name]
        return float(measure["low"]), float(measure["high"])

    def between(self, name: str, *, digits: int = 4) -> str:
        """The interval as text."""
        low, high = self.interval(name)
        return f"95 % interval {low:.{digits}f} … {high:.{digits}f}"


def data_of(stage: Stage, name: str) -> Path:
    """A data set below the folder that was given.

    Raises:
        NotMeasured: it is not there.
    """
    if stage.given is None or not (stage.given / name).exists():
        raise NotMeasured(f"it needs --data FOLDER with {name} in it")
    return (stage.given / name).resolve()


def train(stage: Stage, recipe: str, *changes: str, name: str | None = None) -> Trained:
    """Train anew, then evaluate. Runs are kept below the cache's `runs`, to look at and to explain.

    Raises:
        NotMeasured: a command failed.
    """
    folder = stage.cache / "runs" / (name or recipe)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    _vidserve("train", recipe, *changes, f"name={folder.name}", "--runs", str(folder.parent))
    return evaluated(folder, time.monotonic() - start)


def evaluated(folder: Path, seconds: float) -> Trained:
    """What a run is worth on what is kept for tests.

    Raises:
        NotMeasured: the command failed.
    """
    _vidserve("evaluate", str(folder), "--no-conditions", "--no-latency")
    return Trained(folder, seconds, json.loads((folder / "report" / "evaluation.json").read_text()))


def _vidserve(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "server.cli", *arguments], stdout=sys.stderr)
    if done.returncode:
        raise NotMeasured(f"vidserve {' '.join(arguments)} ended with {done.returncode}")
