"""What lies on disk for a job, in DATA/jobs/<id>/:

source        the video, without its extension, so that nothing but its content says what it is
rows.ndjson   a result row a frame
events.ndjson an event a line
checkpoint    what it takes to go on, and how much of the two files above it covers

All methods block. One thread at a time may write a job's files; reading is free at any time.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from server.core.errors import JobNotFound
from server.storage.disk import replace, sync_folder, writing
from server.storage.uploads import Upload, Uploads

_ROWS = "rows.ndjson"
_EVENTS = "events.ndjson"
_TO_GO_ON = ("checkpoint", "checkpoint.part")
"""The second is there while the first is written, or if a kill came between."""
_CHUNK = 128 * 1024
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

log = logging.getLogger(__name__)


class _Checkpoint(msgspec.Struct, frozen=True):
    rows_bytes: int
    events_bytes: int
    blob: bytes


_checkpoint = msgspec.msgpack.Decoder(_Checkpoint)


class Media:
    """The files of all jobs.

    Args:
        data: the data folder.
        free_bytes: that uploads leave free on its disk.
    """

    def __init__(self, data: Path, *, free_bytes: int = 0) -> None:
        self._jobs = data / "jobs"
        self._data = data
        self.uploads = Uploads(data / "uploads", free_bytes=free_bytes)

    def source(self, job_id: str) -> Path:
        """Where the job's video lies."""
        return self._folder(job_id) / "source"

    def adopt(self, job_id: str, upload: Upload) -> Path:
        """Take an upload as the job's video: it is renamed, not copied. Do this before the job is in the database;
        a crash in between leaves a folder that `sweep` removes, never a job without its video.

        Raises:
            StorageFull: no space is left.
        """
        source = self.source(job_id)
        with writing(source):
            source.parent.mkdir(parents=True, exist_ok=True)
            upload.path.rename(source)
            sync_folder(source.parent)
            sync_folder(self._jobs)
        return source

    def link(self, job_id: str, path: Path) -> Path:
        """Take a file of this machine as the job's video, where it lies: nothing is copied."""
        source = self.source(job_id)
        with writing(source):
            source.parent.mkdir(parents=True, exist_ok=True)
            source.symlink_to(path.resolve())
        return source

    def append_rows(self, job_id: str, rows: bytes, events: bytes = b"") -> None:
        """Add finished rows and events, whole lines both. All of them or, if the disk is full, none.

        Raises:
            StorageFull: no space is left.
        """
        _append(((self._folder(job_id) / _ROWS, rows), (self._folder(job_id) / _EVENTS, events)))

    def commit_checkpoint(self, job_id: str, blob: bytes) -> None:
        """Make what was appended so far and `blob`, all it takes to go on after it, permanent together.

        Raises:
            StorageFull: no space is left; the checkpoint before this one still holds.
        """
        folder = self._folder(job_id)
        sizes = [self._sync(folder / name) for name in (_ROWS, _EVENTS)]
        replace(folder / "checkpoint", msgspec.msgpack.encode(_Checkpoint(sizes[0], sizes[1], blob)))

    def resume(self, job_id: str) -> bytes | None:
        """Cut the results back to what the last checkpoint covers, and give what it takes to go on.

        Returns:
            What `commit_checkpoint` was given, or None: the job begins again, without any results.
        """
        folder = self._folder(job_id)
        checkpoint = _read_checkpoint(folder)
        sizes = (checkpoint.rows_bytes, checkpoint.events_bytes) if checkpoint else (0, 0)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if checkpoint is None:
                (folder / "checkpoint").unlink(missing_ok=True)
            for name, size in zip((_ROWS, _EVENTS), sizes, strict=True):
                with (folder / name).open("ab") as file:
                    file.truncate(size)
                    os.fsync(file.fileno())
            sync_folder(folder)
        return checkpoint.blob if checkpoint else None

    def seal(self, job_id: str) -> None:
        """Make all results permanent: the job is about to end."""
        folder = self._folder(job_id)
        for name in (_ROWS, _EVENTS):
            self._sync(folder / name)

    def forget_checkpoint(self, job_id: str) -> None:
        """Drop what it takes to go on: the job has ended."""
        folder = self._folder(job_id)
        for name in _TO_GO_ON:
            (folder / name).unlink(missing_ok=True)
        with suppress(FileNotFoundError):  # an ended job may be deleted at any time
            sync_folder(folder)

    def read_rows(self, job_id: str, *, after: int = 0) -> Iterator[bytes]:
        """The rows finished when reading begins, in chunks of whole lines, while others may be appended.

        Args:
            after: bytes that are passed over, whole lines.
        """
        return _lines(self._folder(job_id) / _ROWS, after)

    def read_events(self, job_id: str, *, after: int = 0) -> Iterator[bytes]:
        """The events raised when reading begins, as `read_rows`."""
        return _lines(self._folder(job_id) / _EVENTS, after)

    def count(self, job_id: str) -> int:
        """How many results and events are there."""
        chunks = itertools.chain(self.read_events(job_id), self.read_rows(job_id))
        return sum(chunk.count(b"\n") for chunk in chunks)

    def delete(self, job_id: str) -> None:
        """Remove everything of a job. Nothing happens if there is nothing."""
        folder = self._folder(job_id)
        with writing(folder):
            if folder.exists():
                shutil.rmtree(folder)

    def sweep(self, known: Collection[str], unfinished: Collection[str]) -> int:
        """Remove what a crash left behind: uploads that no job took, folders of jobs that are not `known`, and what it
        would have taken to go on with those that are not `unfinished`.

        Returns:
            How many files and folders were removed.
        """
        removed = self.uploads.sweep()
        for folder in self._jobs.iterdir() if self._jobs.is_dir() else ():
            if folder.is_dir() and folder.name not in known:
                shutil.rmtree(folder)
                removed += 1
            elif folder.name not in unfinished and any((folder / name).exists() for name in _TO_GO_ON):
                self.forget_checkpoint(folder.name)
                removed += 1
        return removed

    def usage(self) -> tuple[dict[str, int], int]:
        """Bytes in use by kind (`jobs`, `uploads`, `imports`), and bytes free on the data folder's disk."""
        kinds = {name: _size(self._data / name) for name in ("jobs", "uploads", "imports")}
        return kinds, shutil.disk_usage(self._data).free

    def _folder(self, job_id: str) -> Path:
        # Ids come from clients too, and must never leave the folder.
        if not _ID.fullmatch(job_id):
            raise JobNotFound(f"There is no job {job_id!r}.")
        return self._jobs / job_id

    def _sync(self, path: Path) -> int:
        with writing(path), path.open("ab") as file:
            os.fsync(file.fileno())
            return file.tell()


def _append(parts: tuple[tuple[Path, bytes], ...]) -> None:
    before: list[tuple[Path, int]] = []
    try:
        for path, data in parts:
            if not data:
                continue
            with writing(path), path.open("ab", buffering=0) as file:
                before.append((path, file.tell()))
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
    except BaseException:
        for path, size in before:
            os.truncate(path, size)
        raise


def _read_checkpoint(folder: Path) -> _Checkpoint | None:
    """None where there is none, or where it does not fit the results: then the frames are analysed again."""
    try:
        checkpoint = _checkpoint.decode((folder / "checkpoint").read_bytes())
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        log.warning("the checkpoint of job %s is damaged (%s): it begins again", folder.name, error)
        return None
    for name, covered in ((_ROWS, checkpoint.rows_bytes), (_EVENTS, checkpoint.events_bytes)):
        found = (folder / name).stat().st_size if (folder / name).exists() else 0
        if found < covered:
            log.warning("%s of job %s lost %d bytes: it begins again", name, folder.name, covered - found)
            return None
    return checkpoint


def _lines(path: Path, after: int) -> Iterator[bytes]:
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        return
    with file:
        # Up to here and no further: a reader that is slower than the job would otherwise never end.
        left = os.fstat(file.fileno()).st_size - after
        file.seek(after)
        rest = b""
        while left > 0:
            data = file.read(min(_CHUNK, left))
            if not data:
                break
            left -= len(data)
            whole, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                yield whole + newline


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            # Jobs come and go meanwhile.
            with suppress(FileNotFoundError):
                total += os.stat(os.path.join(place, name)).st_size
    return total
