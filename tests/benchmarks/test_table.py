import pytest

from benchmarks.table import Row, at_least, at_most, formatted, spread, told


@pytest.mark.parametrize(
    ("row", "want", "got", "ok"),
    [
        (at_least("speed", 0.85, 0.85), "≥ 0.85", "0.85", True),
        (at_least("speed", 1.594, 1.6, unit="×"), "≥ 1.6×", "1.59×", False),
        (at_most("memory", 600.4, 600, unit=" MB", digits=0), "≤ 600 MB", "600 MB", False),
        (at_most("memory", 512.0, 600, unit=" MB", digits=0), "≤ 600 MB", "512 MB", True),
        (told("ready", "3.8 s"), "", "3.8 s", None),
    ],
)
def test_a_row_says_what_was_wanted_what_was_got_and_whether_that_is_enough(row, want, got, ok):
    assert (row.want, row.got, row.ok) == (want, got, ok)


def test_a_spread_is_the_median_and_what_it_lies_between():
    assert spread([3.0, 1.0, 2.25], "ms", digits=2) == "2.25 (1.00…3.00) ms"


def test_the_table_is_aligned_and_shouts_what_was_missed():
    rows = [at_least("fast", 2, 1, "twice"), Row("small and so on", "none", "1 of 6", False), told("ready", "1 s")]
    lines = formatted(rows).splitlines()
    assert lines[2:] == [
        "fast             ≥ 1   2.00    ok      twice",
        "small and so on  none  1 of 6  MISSED",
        "ready                  1 s",
    ]
