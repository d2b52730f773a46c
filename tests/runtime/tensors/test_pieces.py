import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.runtime.tensors.pieces import divided


@pytest.mark.parametrize(
    ("rows", "sizes", "at_most", "parts"),
    [
        (1, (1, 2, 4, 8), 99, [1]),
        (8, (1, 2, 4, 8), 99, [8]),
        (21, (1, 2, 4, 8), 99, [8, 8, 4, 1]),
        (3, (1,), 99, [1, 1, 1]),
        (5, (4,), 99, [4, 1]),
        (8, (1, 2, 4, 8), 3, [2, 2, 2, 2]),
        (2, (4,), 1, [1, 1]),
    ],
    ids=["one", "a-batch", "more", "one-by-one", "fixed", "slots", "fixed-and-slots"],
)
def test_rows_are_divided_into_sizes_that_run(rows, sizes, at_most, parts):
    assert divided(rows, sizes, at_most=at_most) == parts


@given(rows=st.integers(1, 200), largest=st.integers(0, 5), at_most=st.integers(1, 100))
def test_no_row_is_lost_and_none_is_there_twice(rows, largest, at_most):
    parts = divided(rows, [1 << n for n in range(largest + 1)], at_most=at_most)
    assert sum(parts) == rows
    assert all(0 < part <= min(at_most, 1 << largest) for part in parts)
