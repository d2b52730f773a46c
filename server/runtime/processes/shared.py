"""What the processes share: two pages that outlive whoever writes them, and slots for frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from server.core.calls import CallPage
from server.core.metrics_page import Page, Recorder
from server.runtime.processes.quarantine import QUARANTINE
from server.wire.memory import PREFIX, SharedFile
from server.wire.slots import Segment, few_of, size_classes

_WORDS_BYTES = 4096
"""Of a worker's last words; they may become more."""
_MOST_WORDS = 2**20


@dataclass(frozen=True)
class Shared:
    """
    Attributes:
        run: begins the names of all shared memory of this run.
        page, page_name: of metrics.
        writers: regions of it: the engine's is the first, then come the workers', the API process's is the last.
        calls, calls_name: the page of calls.
        segments: names of the segments of frame slots, by worker; in the order of the workers' rows and regions.
        last_words: what each worker leaves when it crashes.
    """

    run: str
    page: Page
    page_name: str
    writers: int
    calls: CallPage
    calls_name: str
    segments: Mapping[str, str]
    last_words: Mapping[str, SharedFile]

    @property
    def recorder(self) -> Recorder:
        """What this process counts itself."""
        return self.page.recorder(self.writers - 1)

    @property
    def stale(self) -> Callable[[], None]:
        """Counts a message that this process drops."""
        return self.recorder.stale

    def take_last_words(self, worker: str) -> bytes:
        """What a worker left when it crashed; the next one finds an empty file."""
        file = self.last_words[worker]
        words = os.pread(file.descriptor, _MOST_WORDS, 0).strip(b"\0")
        os.ftruncate(file.descriptor, 0)
        os.ftruncate(file.descriptor, _WORDS_BYTES)
        return words


@contextmanager
def reserved(workers: Sequence[str], shm_mb: int) -> Iterator[Shared]:
    """Reserve it all, for as long as the server runs.

    Args:
        workers: the ordinary ones; the quarantine worker has its share, too.

    Raises:
        SharedMemoryTooSmall: there is not that much.
    """
    run = f"{PREFIX}{os.getpid()}.{os.urandom(3).hex()}"
    names = [*workers, QUARANTINE]
    writers = 1 + len(names) + 1
    classes = size_classes(shm_mb * 2**20)
    segments, last_words = {}, {}
    with ExitStack() as stack:
        page = SharedFile.create(f"{run}.metrics", Page.bytes_for(writers))
        stack.callback(page.close)
        calls = SharedFile.create(f"{run}.calls", CallPage.bytes_for(len(names)))
        stack.callback(calls.close)
        for name in names:
            segment = Segment.create(f"{run}.{name}", few_of(classes) if name == QUARANTINE else classes)
            stack.callback(segment.close)
            segments[name] = segment.name
            words = last_words[name] = SharedFile.create(f"{run}.{name}.last-words", _WORDS_BYTES)
            stack.callback(words.close)
        yield Shared(
            run=run,
            page=Page(page.buffer, writers),
            page_name=page.name,
            writers=writers,
            calls=CallPage(calls.buffer, len(names)),
            calls_name=calls.name,
            segments=segments,
            last_words=last_words,
        )
