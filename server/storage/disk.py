"""Files that survive a power cut, and what the disk says when it does not take them."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.core.errors import StorageError, StorageFull

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusals while `path` is written into errors a client can be told.

    Raises:
        StorageFull: the disk, the quota or the file system's largest file is reached.
        StorageError: anything else, such as missing permissions.
    """
    try:
        yield
    except OSError as error:
        raise refusal(path, error.errno or 0) from error


def refusal(path: Path, number: int) -> StorageError:
    """What a client is told when the system refused, with this error number, to write `path`."""
    reason = os.strerror(number)
    if number in _NO_SPACE:
        return no_space(path, reason)
    return StorageError(f"{path} cannot be written: {reason}.", hint="Check the permissions of the data folder.")


def no_space(path: Path, reason: str | None = None) -> StorageFull:
    """The error for a disk that is full."""
    return StorageFull(
        f"No space is left for {path}{f' ({reason})' if reason else ''}.",
        hint="Delete jobs that are no longer needed, or free space on the disk.",
    )


def check_space(path: Path, wanted: int) -> None:
    """See that a file's disk has room.

    Raises:
        StorageFull: fewer than `wanted` bytes are free.
    """
    if wanted > shutil.disk_usage(path.parent).free:
        raise no_space(path)


def sync_folder(path: Path) -> None:
    """Wait until a folder's entries (made, renamed, removed) are on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a start after a power cut, finds the old content or the new, never a part."""
    part = path.with_name(f"{path.name}.part")
    with writing(path):
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
