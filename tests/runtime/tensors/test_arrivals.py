import pytest

from server.core.errors import TooManyRequests
from server.runtime.tensors.arrivals import Arrivals


def test_so_many_requests_may_be_under_way_and_no_more():
    arrivals = Arrivals(2, 100)
    with arrivals.one(), arrivals.one(), pytest.raises(TooManyRequests), arrivals.one():
        raise AssertionError("one too many")
    with arrivals.one(), arrivals.one():
        pass


def test_all_that_arrive_have_so_many_bytes_between_them():
    arrivals = Arrivals(9, 100)
    with arrivals.one() as first:
        first.grow(60)
        first.grow(60)  # of the same bytes
        with arrivals.one() as second:
            second.grow(40)
            with pytest.raises(TooManyRequests):
                second.grow(41)
        with arrivals.one() as third:
            third.grow(40)
    with arrivals.one() as last:
        last.grow(100)
