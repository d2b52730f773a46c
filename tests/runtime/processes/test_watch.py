import mmap
import os
import subprocess
import sys
import time
from threading import get_ident

import pytest

from server.core.calls import Call, CallPage
from server.core.machine import own_memory_bytes
from server.runtime.processes.blame import suspects
from server.runtime.processes.death import HUNG, MEMORY
from server.runtime.processes.watch import WorkerWatch

MUCH = 1 << 50
_SHARES = """
import mmap, os
from server.core.machine import own_memory_bytes
before = own_memory_bytes(os.getpid())
shared = mmap.mmap(-1, 64 * 2**20)
shared.write(bytes(64 * 2**20))
print(own_memory_bytes(os.getpid()) - before)
"""


@pytest.fixture
def page():
    return CallPage(mmap.mmap(-1, CallPage.bytes_for(2)), 2)


def a_row(page, worker, call, *, for_s, clock):
    row = page.rows(worker)[0]
    row.begin("job")
    then = time.monotonic() - for_s
    clock.setattr(time, "monotonic", lambda: then)
    row.enter(call)
    clock.undo()


@pytest.mark.parametrize(
    ("call", "for_s", "hangs"),
    [
        (Call.GRAB, 9.0, False),
        (Call.GRAB, 11.0, True),
        (Call.CLOSE, 11.0, True),
        (Call.OPEN, 11.0, False),
        (Call.OPEN, 16.0, True),
        (Call.READ, 19.0, False),
        (Call.CONNECT, 19.0, False),
        (Call.READ, 21.0, True),
        (Call.NONE, 1e6, False),
    ],
)
def test_a_call_that_lasts_too_long_hangs(page, monkeypatch, call, for_s, hangs):
    a_row(page, 1, call, for_s=for_s, clock=monkeypatch)
    watch = WorkerWatch(page, 1, call_s=10.0, source_s=20.0, memory_bytes=MUCH)
    assert watch.look(os.getpid()) is (HUNG if hangs else None)
    assert WorkerWatch(page, 0, call_s=10.0, source_s=20.0, memory_bytes=MUCH).look(os.getpid()) is None


def test_memory_counts_that_a_process_has_for_itself(page):
    has = own_memory_bytes(os.getpid())
    if has is None:
        pytest.skip("only Linux says what a process has")
    assert WorkerWatch(page, 0, call_s=10.0, source_s=20.0, memory_bytes=has // 2).look(os.getpid()) is MEMORY
    assert WorkerWatch(page, 0, call_s=10.0, source_s=20.0, memory_bytes=has * 2).look(os.getpid()) is None


def test_shared_memory_does_not_count():
    if own_memory_bytes(os.getpid()) is None:
        pytest.skip("only Linux says what a process has")
    # In a process of its own: what this one has moves by more than that.
    counted = subprocess.run([sys.executable, "-c", _SHARES], capture_output=True, text=True, check=True)
    assert int(counted.stdout) < 32 * 2**20


def test_a_process_that_is_gone_has_no_memory(page):
    assert WorkerWatch(page, 0, call_s=10.0, source_s=20.0, memory_bytes=1).look(2**22 - 1) is None


def test_what_was_seen_last_is_seen_once(page):
    page.rows(0)[3].begin("job")
    watch = WorkerWatch(page, 0, call_s=10.0, source_s=20.0, memory_bytes=MUCH)
    assert [row.owner for row in watch.last_seen()] == ["job"]
    assert watch.last_seen() == []


def test_what_a_worker_left_when_it_crashed_tells_whose_thread_it_was(page, caplog):
    page.rows(0)[0].begin("job")
    words = b"Fatal Python error: Segmentation fault\n\nCurrent thread 0x%x (most recent call first):\n" % get_ident()
    watch = WorkerWatch(page, 0, call_s=10.0, source_s=20.0, memory_bytes=MUCH, last_words=lambda: words)
    assert [row.crashed for row in watch.last_seen()] == [True]
    assert caplog.records[0].stack.startswith("Current thread")
    assert watch.last_seen() == []


def test_who_waits_for_a_camera_is_not_overdue_when_a_decoder_beside_it_hangs(page, monkeypatch):
    for row, (owner, call, for_s) in zip(
        page.rows(0), [("stream", Call.READ, 9.0), ("job", Call.GRAB, 2.5), ("still", Call.NONE, 99.0)], strict=False
    ):
        then = time.monotonic() - for_s
        with monkeypatch.context() as clock:
            clock.setattr(time, "monotonic", lambda then=then: then)
            row.begin(owner)
            row.enter(call)
    watch = WorkerWatch(page, 0, call_s=2.0, source_s=20.0, memory_bytes=MUCH)
    assert watch.look(os.getpid()) is HUNG
    seen = watch.last_seen()
    assert [row.overdue_s > 0 for row in seen] == [False, True, False]
    assert suspects(HUNG, seen) == {"job"}
