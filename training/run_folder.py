"""A run's folder: `runs/NAME/` with all that is needed to go on, to export, and to know later what was done.

recipe.yaml         the recipe, every default written out
run.json            versions, and the fingerprint of the data
split.csv …         what the data module writes
last.ckpt           after the last finished epoch; what a resume goes on from
best.ckpt           after the epoch that counts: the best by the task's measure, or the last
metrics.csv         a row an epoch
curves.png
tensorboard/        `tensorboard --logdir runs`
"""

from __future__ import annotations

import csv
import io
import json
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from training import atomic
from training.configuration import read
from training.errors import NothingToResume, RunChanged, RunExists
from training.progress import Row
from training.recipe import Recipe, differences

RECIPE = "recipe.yaml"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where the files of a run are."""

    path: Path

    @property
    def last(self) -> Path:
        return self.path / "last.ckpt"

    @property
    def best(self) -> Path:
        return self.path / "best.ckpt"

    @property
    def curves(self) -> Path:
        return self.path / "curves.png"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    def recipe(self) -> Recipe:
        """The recipe that the run began with.

        Raises:
            NothingToResume: this is no run.
            ConfigInvalid: it was written by a version with other keys.
        """
        file = self.path / RECIPE
        if not file.is_file():
            raise NothingToResume(f"{self.path} is no run: it has no {RECIPE}.")
        return read(Recipe, yaml.safe_load(file.read_text(encoding="utf-8")), where=str(file))

    def begin(self, recipe: Recipe) -> None:
        """Make the folder of a new run. One that never finished an epoch is begun anew.

        Raises:
            RunExists: there is a run, or something else, in its place.
        """
        another = f"give this one another name: name={recipe.name}-2"
        if self.last.exists():
            raise RunExists(f"There is a run at {self.path}.", hint=f"Go on with it by --resume, or {another}")
        if (self.path / RECIPE).is_file():
            shutil.rmtree(self.path)
        elif self.path.exists() and any(self.path.iterdir()):
            raise RunExists(f"Something that is no run is at {self.path}.", hint=f"Move it away, or {another}")
        self.path.mkdir(parents=True, exist_ok=True)
        atomic.write(self.path / RECIPE, recipe.to_yaml().encode())

    def resume(self, recipe: Recipe) -> None:
        """See that a run can be gone on with.

        Raises:
            NothingToResume: there is no run.
            RunChanged: the recipe is another; shows the difference.
        """
        if not (self.path / RECIPE).is_file():
            raise NothingToResume(f"There is no run at {self.path}.", hint="To begin one, leave --resume out.")
        changed = differences(self.recipe(), recipe)
        if changed:
            raise RunChanged(
                "The recipe is not the one that the run began with:\n  " + "\n  ".join(changed),
                hint="Take the changes back, or start a new run: name=… , with `transfer.weights` of this one perhaps.",
            )

    def note(self, fingerprint: str, labels: Sequence[str], teacher: str | None = None) -> None:
        """Write down which data are learnt, and with which versions; of a run that goes on, see that they are the same.

        Args:
            fingerprint: of the data; `teacher` is that of the weights of its teacher.

        Raises:
            RunChanged: the data or the teacher are others.
        """
        file = self.path / "run.json"
        if file.is_file():
            before = json.loads(file.read_text(encoding="utf-8"))
            if before["fingerprint"] != fingerprint:
                raise RunChanged(
                    "The data are not those that the run began with.",
                    hint="Bring the old ones back, or start a new run.",
                )
            if before.get("teacher") != teacher:
                raise RunChanged(
                    "The teacher is not the one that the run began with: its weights are others.",
                    hint="Bring the old one back, or start a new run.",
                )
            return
        noted: dict[str, Any] = {
            "fingerprint": fingerprint,
            "labels": list(labels),
            "teacher": teacher,
            "versions": {name: version(name) for name in ("vidserve", "torch", "lightning", "numpy")},
            "python": platform.python_version(),
        }
        atomic.write(file, (json.dumps(noted, indent=2, ensure_ascii=False) + "\n").encode())

    def write_metrics(self, rows: Sequence[Row]) -> None:
        """All rows so far, as CSV."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]) if rows else ["epoch"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in rows)
        atomic.write(self.metrics, text.getvalue().encode())
