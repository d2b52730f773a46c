import mmap

import pytest
from worker_builders import FakeSource

from server.core.calls import Call, CallPage
from server.worker.source import Watched


@pytest.fixture
def page():
    return CallPage(mmap.mmap(-1, CallPage.bytes_for(1)), 1)


def test_a_watched_source_says_which_call_it_is_in_and_how_far_it_is(page, tmp_path):
    row = page.rows(0)[0]
    row.begin("job")
    calls = []

    class Telling(FakeSource):
        def _tell(self):
            (seen,) = page.seen(0)
            calls.append((seen.call, seen.frame))

        def grab(self):
            self._tell()
            return super().grab()

        def retrieve(self, out=None):
            self._tell()
            return super().retrieve(out)

        def close(self):
            self._tell()

    def open_source(path):
        assert path == tmp_path
        (seen,) = page.seen(0)
        calls.append((seen.call, seen.frame))
        return Telling(2, broken={1}, duration_s=0.2)

    source = Watched(open_source, tmp_path, row)
    assert source.duration_s == 0.2
    assert source.grab()
    assert source.retrieve().shape == (6, 8, 3)
    assert source.grab()
    assert (source.index, source.pts_s, source.truncated) == (1, 0.1, False)
    assert source.retrieve() is None
    assert not source.grab()
    source.close()
    assert calls == [
        (Call.OPEN, -1),
        (Call.GRAB, -1),
        (Call.RETRIEVE, 0),
        (Call.GRAB, 0),
        (Call.RETRIEVE, 1),
        (Call.GRAB, 1),
        (Call.CLOSE, 1),
    ]
    assert page.seen(0)[0].call is Call.NONE


def test_a_call_that_fails_is_over_all_the_same(page, tmp_path):
    row = page.rows(0)[0]
    row.begin("job")

    def open_source(path):
        raise RuntimeError("no video")

    with pytest.raises(RuntimeError):
        Watched(open_source, tmp_path, row)
    assert page.seen(0)[0].call is Call.NONE
