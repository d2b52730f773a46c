"""Reading a whole data set once, with all cores: what is broken, what each sample's content is, and its frames."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from model_export.bundle import sha256_of
from model_export.errors import VidserveError
from training.data import cache as entries
from training.data.cache import FrameCache, key_of
from training.data.decoding import decode, decode_picture, read_picture
from training.data.frame_spec import FrameSpec
from training.data.listing import PICTURES, U8, Listing, Sample
from training.errors import DataError, TooManyBroken

_log = logging.getLogger(__name__)

ALLOWED_BROKEN = 0.05
"""Of the samples of a data set."""
_FEW = 8
"""Files that are read in this process: starting others takes longer."""
_AHEAD = 4
"""Files that wait for each worker, so that none is ever without work."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of a sample.

    Attributes:
        at: its place in the listing.
        content: SHA-256 of its file; empty where that could not be read.
        key: of its entry in the cache; empty where it has none.
        count: of its frames; 0 where they were not kept.
        broken: why it cannot be used; empty if it can.
        staged: the file that its frames are in, for as long as nobody has taken them.
    """

    at: int
    content: str
    key: str = ""
    count: int = 0
    broken: str = ""
    staged: Path | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    """The samples of one file."""

    path: Path
    samples: tuple[tuple[int, Sample], ...]
    spec: FrameSpec
    folder: Path


def read_all(
    listing: Listing,
    spec: FrameSpec,
    cache: FrameCache,
    *,
    workers: int,
    keep: Callable[[int, U8], None],
    say: Callable[[int, int], None] = lambda done, total: None,
) -> list[Reading]:
    """Read every sample.

    Args:
        cache: takes decoded frames as long as it has room.
        workers: processes that decode; 0: none but this.
        keep: is given each sample's place and frames, uint8 [K, H, W, C], once, in any order.
        say: is told how many samples of how many are done.

    Returns:
        A reading for each sample, in the listing's order.

    Raises:
        TooManyBroken: as soon as more than 5 % of the samples cannot be used; lists them with the reasons.
        DataError: decoded frames cannot be written.
    """
    done: dict[int, Reading] = {}
    broken: list[Reading] = []
    try:
        for outcome in _run(_tasks(listing, spec, cache.folder), workers):
            for reading in outcome:
                done[reading.at] = _taken(reading, cache, keep)
            say(len(done), len(listing))
            broken += [one for one in outcome if one.broken]
            if len(broken) > ALLOWED_BROKEN * len(listing):
                raise TooManyBroken(_listed(broken, listing), hint="Mend or remove these files, and start again.")
    except OSError as error:
        raise DataError(
            f"Decoded frames cannot be written to {cache.folder}: {error.strerror}.",
            hint="Make room there, or name another folder with `data.cache.folder`.",
        ) from error
    for one in broken:
        _log.warning("Left out: %s: %s", listing.samples[one.at].id, one.broken)
    return [done[at] for at in range(len(listing))]


def _listed(broken: Sequence[Reading], listing: Listing) -> str:
    lines = [f"  {listing.samples[one.at].id}: {one.broken}" for one in sorted(broken, key=lambda one: one.at)[:20]]
    return (
        f"{len(broken)} of {len(listing)} samples or more cannot be read, and {ALLOWED_BROKEN:.0%} is the most that is"
        f" left out:\n" + "\n".join(lines)
    )


def _tasks(listing: Listing, spec: FrameSpec, folder: Path) -> list[_Task]:
    """A task for each file, in the order of its first sample."""
    files: dict[Path, list[tuple[int, Sample]]] = {}
    for at, sample in enumerate(listing.samples):
        files.setdefault(sample.path, []).append((at, sample))
    return [_Task(path, tuple(samples), spec, folder) for path, samples in files.items()]


def _taken(reading: Reading, cache: FrameCache, keep: Callable[[int, U8], None]) -> Reading:
    """Hand a sample's frames over, and put them into the cache if it has room."""
    if reading.broken:
        return reading
    if reading.staged is None:
        cache.use(reading.key)
        frames = entries.load(cache.folder, reading.key)
    else:
        frames = entries.load_file(reading.staged)
        if not cache.admit(reading.key, reading.staged):
            reading.staged.unlink()
            reading = replace(reading, key="")
    assert frames is not None, "an entry vanished while it was read"
    keep(reading.at, frames)
    return replace(reading, staged=None)


def _run(tasks: Sequence[_Task], workers: int) -> Iterator[list[Reading]]:
    if not workers or len(tasks) < _FEW:
        yield from map(_read_file, tasks)
        return
    waiting = deque(tasks)
    while waiting:
        under_way: deque[tuple[_Task, Future[list[Reading]]]] = deque()
        try:
            with _pool(workers) as pool:
                while waiting or under_way:
                    while waiting and len(under_way) < _AHEAD * workers:
                        under_way.append((waiting[0], pool.submit(_read_file, waiting.popleft())))
                    result = under_way[0][1].result()
                    under_way.popleft()
                    yield result
        except BrokenProcessPool:
            # One of these took its process with it; each is tried in a process of its own.
            for task, _ in under_way:
                yield _read_alone(task)


def _read_alone(task: _Task) -> list[Reading]:
    try:
        with _pool(1) as pool:
            return pool.submit(_read_file, task).result()
    except BrokenProcessPool:
        return [Reading(at, "", broken="Its decoder crashed.") for at, _ in task.samples]


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """A worker of a killed parent would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _read_file(task: _Task) -> list[Reading]:
    """Runs in a worker: every sample of a file, from the cache where it is there."""
    try:
        content = sha256_of(task.path)
    except OSError as error:
        return [Reading(at, "", broken=f"It cannot be read: {error.strerror}.") for at, _ in task.samples]
    readings, picture = [], None
    for at, sample in task.samples:
        key = key_of(content, sample, task.spec)
        frames = entries.load(task.folder, key)
        if frames is not None:
            readings.append(Reading(at, content, key, len(frames)))
            continue
        try:
            if task.path.suffix.lower() in PICTURES:
                # A picture with many boxes is decoded once.
                picture = read_picture(task.path) if picture is None else picture
                frames = decode_picture(picture, sample, task.spec)
            else:
                frames = decode(sample, task.spec)
        except VidserveError as error:
            readings.append(Reading(at, content, broken=error.message))
            continue
        readings.append(Reading(at, content, key, len(frames), staged=entries.stage(task.folder, frames)))
    return readings
