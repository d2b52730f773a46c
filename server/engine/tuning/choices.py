"""What was measured to be the fastest way to run a model, and the file in which that is kept."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import msgspec

from server.core.machine import processor

_log = logging.getLogger(__name__)

_FORMAT = 1
_MOST = 200


def machine(cores: int) -> str:
    """This machine, as far as it decides how fast a model runs.

    Args:
        cores: that the engine may use.
    """
    return f"{processor()}, {cores} cores"


class Subject(msgspec.Struct, frozen=True):
    """What a choice is about, and what it holds for.

    Attributes:
        model: its name. sha256: of the graph, so of one version.
        machine: processor and cores. onnxruntime: version. provider: `cpu` or `cuda`.
        asked: what the settings leave open.
    """

    model: str
    sha256: str
    machine: str
    onnxruntime: str
    provider: str
    asked: str


class Choice(msgspec.Struct, frozen=True):
    """How a model runs fastest.

    Attributes:
        frames_s: frames a second with all sessions at work.
        run_s: seconds of a run of the smallest batch, alone.
    """

    sessions: int
    threads: int
    max_batch: int
    optimization: str
    frames_s: float
    run_s: float

    @property
    def words(self) -> str:
        """As one says it: `2 sessions of 1 thread, batches of up to 4, optimisation all`."""
        sessions = "1 session" if self.sessions == 1 else f"{self.sessions} sessions"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        batches = "no batches" if self.max_batch == 1 else f"batches of up to {self.max_batch}"
        return f"{sessions} of {threads}, {batches}, optimisation {self.optimization}"


class Found(NamedTuple):
    """A choice, and whether it was measured for this very graph or for another version of the model."""

    choice: Choice
    exact: bool


class _Entry(msgspec.Struct, frozen=True):
    subject: Subject
    choice: Choice


class _File(msgspec.Struct, frozen=True):
    format: int
    entries: list[_Entry]


_file = msgspec.json.Decoder(_File)


class Choices:
    """The file; whoever writes it last has the last word, and a choice that got lost is measured again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, subject: Subject) -> Found | None:
        """The choice for this graph, else that of the version that was measured last."""
        inherited = None
        for entry in reversed(self._entries()):
            if entry.subject == subject:
                return Found(entry.choice, exact=True)
            if inherited is None and msgspec.structs.replace(entry.subject, sha256=subject.sha256) == subject:
                inherited = Found(entry.choice, exact=False)
        return inherited

    def frames_s(self, sha256: str, provider: str, machine: str) -> float | None:
        """Frames a second that a graph was measured to do, whatever was asked; the last measurement counts."""
        for entry in reversed(self._entries()):
            about = entry.subject
            if (about.sha256, about.provider, about.machine) == (sha256, provider, machine):
                return entry.choice.frames_s
        return None

    def put(self, subject: Subject, choice: Choice) -> None:
        """Keep a choice; the oldest go when there are too many. Readers see the old file or the new one.

        Raises:
            OSError: it cannot be written.
        """
        kept = [entry for entry in self._entries() if entry.subject != subject]
        entries = [*kept, _Entry(subject, choice)][-_MOST:]
        content = msgspec.json.format(msgspec.json.encode(_File(_FORMAT, entries)), indent=1)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".tmp-", dir=self._path.parent)
        try:
            with open(descriptor, "wb") as file:
                file.write(content + b"\n")
            os.replace(name, self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _entries(self) -> list[_Entry]:
        """Oldest first. A file that cannot be read counts as none: it holds nothing that cannot be measured again."""
        try:
            file = _file.decode(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("%s cannot be read, so models are measured again: %s", self._path, error)
            return []
        return file.entries if file.format == _FORMAT else []
