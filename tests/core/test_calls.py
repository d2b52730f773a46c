import mmap
import threading
import time

from server.core.calls import ROWS, Call, CallPage, Seen


def page(workers=3):
    return CallPage(mmap.mmap(-1, CallPage.bytes_for(workers)), workers)


def test_a_row_says_who_is_in_which_call_since_when_and_how_far():
    pages = page()
    row = pages.rows(1)[5]
    row.begin("job-a")
    assert pages.seen(1) == [Seen("job-a", Call.NONE, 0.0, -1)]
    before = time.monotonic()
    row.enter(Call.GRAB)
    (seen,) = pages.seen(1)
    assert seen.call is Call.GRAB
    assert before <= seen.since <= time.monotonic()
    row.leave()
    row.reach(7)
    (seen,) = pages.seen(1)
    assert (seen.call, seen.frame) == (Call.NONE, 7)
    row.end()
    assert pages.seen(1) == []


def test_workers_have_rows_of_their_own():
    pages = page()
    for worker in range(3):
        assert len(pages.rows(worker)) == ROWS
        pages.rows(worker)[worker].begin(f"job-{worker}")
        pages.rows(worker)[-1].begin("")
    assert [[seen.owner for seen in pages.seen(worker)] for worker in range(3)] == [
        [f"job-{worker}", ""] for worker in range(3)
    ]
    pages.clear(1)
    assert [len(pages.seen(worker)) for worker in range(3)] == [2, 0, 2]


def test_a_row_is_the_next_jobs_from_the_beginning():
    pages = page()
    row = pages.rows(0)[0]
    row.begin("a-job-with-a-long-name")
    row.reach(99)
    with row.inside(Call.OPEN):
        row.begin("b")
    assert pages.seen(0)[0][:2] == ("b", Call.NONE)
    assert pages.seen(0)[0].frame == -1


def test_a_page_that_was_spoilt_is_read_all_the_same():
    buffer = mmap.mmap(-1, CallPage.bytes_for(1))
    buffer.write(bytes(range(256)) * (len(buffer) // 256))
    assert all(seen.call in Call for seen in CallPage(buffer, 1).seen(0))


def test_a_row_knows_whether_the_thread_that_crashed_is_its_own():
    pages = page()
    for number, owner in enumerate("ab"):
        thread = threading.Thread(target=pages.rows(0)[number].begin, args=(owner,))
        thread.start()
        thread.join()
    pages.rows(0)[2].begin("c")
    seen = pages.seen(0, crashed=threading.get_ident())
    assert [(row.owner, row.crashed) for row in seen] == [("a", False), ("b", False), ("c", True)]
    assert not any(row.crashed for row in pages.seen(0))
