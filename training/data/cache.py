"""Decoded frames on disk: a memory-mapped file a sample, named by what it was made from, and a bound on all of them.

Entries that this process uses are never given up for others of its own: where a data set does not fit, the same part of
it stays, and the rest is decoded anew in every epoch. Giving up the oldest would throw out each entry just before it is
needed again. Entries of other data sets and settings go first, the longest unused one before all.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from training.data.frame_spec import FrameSpec
from training.data.listing import U8, Sample

_FORMAT = 1
"""To be raised when the same sample and settings decode to other frames."""
_STAGED = ".part"
_STALE_S = 3600.0


def default_folder(environ: Mapping[str, str]) -> Path:
    """Where decoded frames lie unless a configuration says otherwise."""
    cache = environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "vidserve" / "frames"


def key_of(content: str, sample: Sample, spec: FrameSpec) -> str:
    """The name of an entry: the hash of the file's content, of the part of it, and of how it is fitted."""
    # How many frames a net sees at once does not matter where the rate says which are taken.
    fitted = spec.model_dump_json(exclude={"longest_s"} | ({"frames"} if spec.fps else set()))
    made_from = f"{_FORMAT}|{content}|{sample.start_s}|{sample.end_s}|{sample.box}|{fitted}"
    return hashlib.sha256(made_from.encode()).hexdigest()


class FrameCache:
    """The entries of one folder. Several processes may share it; whoever finds an entry gone decodes it again.

    Args:
        folder: is made if need be.
        bound: bytes that all entries may have together.
    """

    def __init__(self, folder: Path, bound: int) -> None:
        self.folder = folder
        self._bound = bound
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        found = [(_last_used(entry), entry) for entry in folder.glob("*.npy")]
        # The longest unused one first.
        self._idle = {entry.stem: _size(entry) for _, entry in sorted(found)}
        self._used: dict[str, int] = {}
        self._spare = sum(self._idle.values())
        self._needed = 0

    @property
    def size(self) -> int:
        """Bytes of all entries."""
        return self._needed + self._spare

    def use(self, key: str) -> None:
        """Note that an entry which is there is needed."""
        path = entry_path(self.folder, key)
        self._spare -= self._idle.pop(key, 0)
        with suppress(FileNotFoundError):
            os.utime(path)
        self._count(key, _size(path))

    def admit(self, key: str, staged: Path) -> bool:
        """Take a staged file over as an entry, if there is room or room can be made; else leave it where it is."""
        size = _size(staged)
        if self._needed + size > self._bound:
            return False
        while self.size + size > self._bound:
            oldest = next(iter(self._idle))
            entry_path(self.folder, oldest).unlink(missing_ok=True)
            self._spare -= self._idle.pop(oldest)
        staged.replace(entry_path(self.folder, key))
        self._count(key, size)
        return True

    def _count(self, key: str, size: int) -> None:
        self._needed += size - self._used.get(key, 0)
        self._used[key] = size


def entry_path(folder: Path, key: str) -> Path:
    """The file of an entry."""
    return folder / f"{key}.npy"


def load(folder: Path, key: str) -> U8 | None:
    """The frames of an entry, uint8 [K, H, W, C], mapped and not read; None where there is none, or it is damaged."""
    return load_file(entry_path(folder, key))


def load_file(path: Path) -> U8 | None:
    """As `load`, of any file of frames."""
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return frames if frames.ndim == 4 and frames.dtype == np.uint8 else None


def stage(folder: Path, frames: U8) -> Path:
    """Write frames to a file that is no entry yet."""
    descriptor, name = tempfile.mkstemp(suffix=_STAGED, dir=folder)
    with os.fdopen(descriptor, "wb") as file:
        np.lib.format.write_array(file, frames, allow_pickle=False)
    return Path(name)


def _sweep(folder: Path) -> None:
    """Remove what a killed process had staged."""
    for staged in folder.glob(f"*{_STAGED}"):
        if time.time() - _last_used(staged) > _STALE_S:
            staged.unlink(missing_ok=True)


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
