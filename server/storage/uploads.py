"""Uploads on their way in: temporary files under DATA/uploads, renamed into place when a job takes them."""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path

from server.core.errors import StorageFull, UploadTooLarge
from server.storage.disk import check_space, writing

VIDEO_HINT = "Send a shorter or smaller video, or raise `[limits] upload_bytes` in the settings."


@dataclass(frozen=True)
class Upload:
    """A file that has arrived whole.

    Attributes:
        path: where it lies until somebody takes it.
        name: what the client calls it; shown, never used as a path.
        size: in bytes.
        sha256: of its content, in hex.
    """

    path: Path
    name: str
    size: int
    sha256: str

    def discard(self) -> None:
        """Remove the file, unless it was taken."""
        self.path.unlink(missing_ok=True)


class UploadWriter:
    """An upload that is arriving. It ends by `finish` or by `abort`; its methods block.

    `abort` may come from another thread while a `write` is under way, as when a request is given up: it waits for that
    write, because a descriptor that is closed under it could by then be another file's.
    """

    def __init__(self, path: Path, limit: int, free_bytes: int, hint: str) -> None:
        self._path = path
        self._limit = limit
        self._free_bytes = free_bytes
        self._hint = hint
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._lock = threading.Lock()
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not readable for others: it may be a camera's picture of somebody's home.
            self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    def write(self, data: bytes) -> None:
        """
        Raises:
            UploadTooLarge: this would be more than the limit.
            StorageFull: no space is left.
        """
        if self._size + len(data) > self._limit:
            raise too_large(self._limit, self._hint)
        check_space(self._path, len(data) + self._free_bytes)
        view = memoryview(data)
        with self._lock:
            with writing(self._path):
                while view:
                    view = view[self._file.write(view) :]
            self._sha256.update(data)
            self._size += len(data)

    def finish(self, name: str) -> Upload:
        """Wait until the file is on the disk."""
        with self._lock, writing(self._path):
            os.fsync(self._file.fileno())
            self._file.close()
        return Upload(self._path, name, self._size, self._sha256.hexdigest())

    def abort(self) -> None:
        """Leave nothing behind."""
        with self._lock:
            self._file.close()
            self._path.unlink(missing_ok=True)


class Uploads:
    """The folder of uploads that no job has taken yet.

    Args:
        free_bytes: that uploads leave free on its disk.
    """

    def __init__(self, folder: Path, *, free_bytes: int = 0) -> None:
        self._folder = folder
        self._free_bytes = free_bytes

    def open(self, *, limit: int, expected: int | None = None, hint: str = VIDEO_HINT) -> UploadWriter:
        """Begin an upload.

        Args:
            limit: bytes it may have at most.
            expected: bytes it is said to have; refused at once where they cannot fit.
            hint: what to do about one that is too large.

        Raises:
            UploadTooLarge: more than the limit is expected.
            StorageFull: more than the free space is expected.
        """
        if expected is not None and expected > limit:
            raise too_large(limit, hint)
        path = self._folder / uuid.uuid4().hex
        writer = UploadWriter(path, limit, self._free_bytes, hint)
        try:
            check_space(path, (expected or 0) + self._free_bytes)
        except StorageFull:
            writer.abort()
            raise
        return writer

    def sweep(self) -> int:
        """Remove what a crash left behind; the number of files removed. Only while no upload is under way."""
        found = list(self._folder.iterdir()) if self._folder.is_dir() else []
        for path in found:
            path.unlink()
        return len(found)


def too_large(limit: int, hint: str = VIDEO_HINT) -> UploadTooLarge:
    """The error for an upload of more than `limit` bytes."""
    return UploadTooLarge(f"The file is larger than {limit} bytes, the most that this server takes.", hint=hint)
