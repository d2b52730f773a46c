import pytest

from server.core.errors import FieldsInvalid
from server.events.position import START, Position, parse


@pytest.mark.parametrize(
    ("text", "position"),
    [
        (None, None),
        ("now", None),
        ("start", START),
        ("0", START),
        ("3fa2-17", Position("3fa2", 17)),
        ("0-0", Position("0", 0)),
    ],
)
def test_a_position_is_now_the_start_or_an_id(text, position):
    assert parse(text, "from") == position


@pytest.mark.parametrize("text", ["", "17", "x-", "-1", "a-b", "A-1", "a-1\n", "a" * 17 + "-1", "a-" + "1" * 19, "١-١"])
def test_anything_else_is_refused_by_the_name_of_its_field(text):
    with pytest.raises(FieldsInvalid, match="Last-Event-ID"):
        parse(text, "Last-Event-ID")
