"""The folders of a running server: the data folder, locked, and a short-lived one for its sockets."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_export.errors import VidserveError

_PREFIX = "vidserve-sockets-"
_LOCK = "owner.lock"
_DATA_LOCK = "lock"


class DataFolderInUse(VidserveError):
    """Another server works on the data folder."""

    code = "data_folder_in_use"


class DataFolderUnusable(VidserveError):
    """The data folder cannot be made, or not be written."""

    code = "data_folder_unusable"


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """The data folder for one server alone; made, if there is none.

    Raises:
        DataFolderInUse: another one has it.
        DataFolderUnusable: it cannot be made, or not be written.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(data / _DATA_LOCK)
    except OSError as error:
        raise DataFolderUnusable(
            f"The data folder {data} cannot be made or written: {error.strerror}.",
            hint="Name another folder with --data, or give this user the right to write there.",
        ) from error
    if descriptor is None:
        raise DataFolderInUse(f"Another server works on {data}.", hint="Stop it, or name another folder with --data.")
    try:
        yield
    finally:
        os.close(descriptor)


def is_locked(data: Path) -> bool:
    """Whether a server works on the data folder at this moment."""
    try:
        descriptor = os.open(data / _DATA_LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def sockets_folder() -> Iterator[Path]:
    """A folder of short name (an ipc path has at most 107 bytes); those that killed servers left are removed."""
    _sweep()
    # It gets its name only once it is locked, so that another server's sweep never takes it for one that was left.
    made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}"))
    descriptor = _lock(made / _LOCK)
    folder = made.rename(made.with_name(made.name.removeprefix(".")))
    try:
        yield folder
    finally:
        _remove(folder)
        if descriptor is not None:
            os.close(descriptor)


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or gone meanwhile
            descriptor = _lock(folder / _LOCK)
            if descriptor is not None:
                _remove(folder)
                os.close(descriptor)


def _remove(folder: Path) -> None:
    """Only what is ours: nobody's data may ever go, whatever the folder is called."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.is_socket() or path.name == _LOCK:
                path.unlink()
        folder.rmdir()


def _lock(file: Path) -> int | None:
    """A descriptor that holds the lock for as long as it is open; None: somebody else holds it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
