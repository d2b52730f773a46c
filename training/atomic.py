"""Files that are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from training.errors import RunNotWritten


def write(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there; what was there before stays until then.

    Raises:
        RunNotWritten: no space is left, or the folder cannot be written to.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RunNotWritten(
            f"{path} could not be written: {error.strerror}.",
            hint="What was there before is untouched. Make room, and go on with --resume.",
        ) from error


def copy(source: Path, path: Path) -> None:
    """Let another file have the same content, without taking space where the file system can.

    Raises:
        RunNotWritten: no space is left, or the folder cannot be written to.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        try:
            # Files of a run are replaced and never written into, so both names may stand for one.
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RunNotWritten(f"{path} could not be written: {error.strerror}.", hint="Make room, and go on.") from error
