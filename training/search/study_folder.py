"""A study's folder: `studies/NAME/`.

search.yaml       the search, with every change that was made to it
study.sqlite3     all trials; Optuna's, and its dashboard's
study.lock        held by the process that is at it
trials/NUMBER/    a run's folder without its checkpoints: recipe, metrics, TensorBoard
trials.csv        a row a trial
pareto.png        what is to be had: score and latency
best-1.yaml …     the recipes of the front, the best score first
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training import atomic
from training.configuration import changes_between
from training.errors import StudyBusy, StudyChanged, StudyExists
from training.search.space import Search, read_search

_LOCK = "study.lock"


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """Where the files of a study are."""

    path: Path

    @property
    def search(self) -> Path:
        return self.path / "search.yaml"

    @property
    def database(self) -> Path:
        return self.path / "study.sqlite3"

    @property
    def trials(self) -> Path:
        return self.path / "trials"

    @property
    def table(self) -> Path:
        return self.path / "trials.csv"

    @property
    def picture(self) -> Path:
        return self.path / "pareto.png"

    def trial(self, number: int) -> Path:
        """Where a trial trains."""
        return self.trials / f"{number:04d}"

    def recipe(self, rank: int) -> Path:
        """Of the front, the best score being 1."""
        return self.path / f"best-{rank}.yaml"

    def recipes(self) -> list[Path]:
        """All that were written."""
        return sorted(self.path.glob("best-*.yaml"))

    @contextmanager
    def held(self, search: Search) -> Iterator[None]:
        """Begin a study, or go on with it, and keep others from it.

        Raises:
            StudyExists: something else is in its place.
            StudyChanged: it is about another search; shows the difference.
            StudyBusy: another process is at it.
        """
        another = "give this one another name: name=…"
        names = {one.name for one in self.path.iterdir()} if self.path.is_dir() else set()
        if self.search.name not in names and names - {_LOCK}:
            raise StudyExists(f"Something that is no study is at {self.path}.", hint=f"Move it away, or {another}")
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / _LOCK).open("w") as lock:
            # It ends with the process, however that ends.
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StudyBusy(f"Another process is at {self.path}.", hint=f"Wait for it, or {another}") from None
            self._see_same(search)
            atomic.write(self.search, search.to_yaml().encode())
            yield

    def _see_same(self, search: Search) -> None:
        if not self.search.is_file():
            return
        changed = changes_between(read_search(self.search).described(), search.described())
        if changed:
            raise StudyChanged(
                "The search is not the one that the study began with:\n  " + "\n  ".join(changed),
                hint="Take the changes back, or start a new study: name=… ",
            )
