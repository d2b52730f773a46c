"""Files of shared memory: reserved when they are made, locked while their owner lives, swept when it does not.

Python 3.11's `SharedMemory` hands every attached segment to a tracker that removes it too early; so the files are
mapped here. On Linux they lie in `/dev/shm`; elsewhere in the temporary folder, which is only for development.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import sys
import tempfile
from pathlib import Path

from server.wire.errors import SharedMemoryTooSmall

PREFIX = "vidserve."


def folder() -> Path:
    """Where shared memory lies on this system."""
    return Path("/dev/shm") if sys.platform == "linux" else Path(tempfile.gettempdir())


class SharedFile:
    """A file of shared memory, mapped for reading and writing.

    Attributes:
        name: of the file; begins with `PREFIX`.
        buffer: its content.
    """

    def __init__(self, name: str, descriptor: int, buffer: mmap.mmap, *, owned: bool) -> None:
        self.name = name
        self.buffer = buffer
        self._descriptor = descriptor
        self._owned = owned

    @property
    def descriptor(self) -> int:
        """For who writes it like any file."""
        return self._descriptor

    @classmethod
    def create(cls, name: str, size: int) -> SharedFile:
        """Make a file of `size` zero bytes, with every byte reserved, and lock it for as long as this process lives.

        Raises:
            SharedMemoryTooSmall: there is not that much left.
        """
        # It gets its name when all of it is reserved.
        path = folder() / f".{name}"
        descriptor = _create_locked(path)
        try:
            if hasattr(os, "posix_fallocate"):
                # Without this, too little memory shows as a bus error at the first write, much later.
                os.posix_fallocate(descriptor, 0, size)
            else:
                os.ftruncate(descriptor, size)
            buffer = mmap.mmap(descriptor, size)
            path.rename(folder() / name)
            return cls(name, descriptor, buffer, owned=True)
        except OSError as error:
            os.close(descriptor)
            path.unlink()
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                raise SharedMemoryTooSmall(
                    f"{size / 2**20:.0f} MiB of shared memory are not to be had in {folder()}.",
                    hint="Give the container more (docker run --shm-size=256m), or set workers.shm_mb lower.",
                ) from error
            raise

    @classmethod
    def attach(cls, name: str) -> SharedFile:
        """Map a file that another process made.

        Raises:
            FileNotFoundError: its owner has ended.
        """
        descriptor = os.open(folder() / name, os.O_RDWR | os.O_CLOEXEC)
        return cls(name, descriptor, mmap.mmap(descriptor, 0), owned=False)

    def close(self) -> None:
        """Let go; the owner removes the file too. Arrays made from `buffer` stay valid until they are gone."""
        if self._descriptor < 0:
            return
        if self._owned:
            with contextlib.suppress(FileNotFoundError):
                (folder() / self.name).unlink()
        os.close(self._descriptor)
        self._descriptor = -1
        with contextlib.suppress(BufferError):  # arrays still point into it; the mapping goes with the last of them
            self.buffer.close()


def sweep() -> list[str]:
    """Remove the files whose owner has ended without doing so; their names."""
    swept = []
    for path in (*folder().glob(f"{PREFIX}*"), *folder().glob(f".{PREFIX}*")):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except (FileNotFoundError, PermissionError):  # gone meanwhile, or another user's
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            swept.append(path.name)
        except (BlockingIOError, FileNotFoundError):
            pass
        finally:
            os.close(descriptor)
    return swept


def _create_locked(path: Path) -> int:
    """A descriptor that holds the file's lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
        os.close(descriptor)  # before it was locked, the sweep of another server took it for one that was left
