import pytest

from server.domain.event import EVENT_TYPES
from server.events.filter import NAMES, Filter
from server.events.item import Item, Kind


def an_item(kind: Kind, data: bytes) -> Item:
    return Item("cam", kind, data, epoch="e", seq=1)


def test_every_kind_and_every_type_but_the_gap_can_be_named():
    assert set(NAMES) == {*Kind, *EVENT_TYPES} - {"gap"}


def test_empty_lists_leave_nothing_out():
    assert Filter.of([], []) == Filter.of(None, None) == Filter()


@pytest.mark.parametrize(
    ("data", "passes"),
    [
        (b'{"objects":[{"label":"dog"},{"label":"car"}]}', True),
        (b'{"classes":[{"label":"car","confidence":0.9}]}', True),
        (b'{"objects":[{"label":"dog"}]}', False),
        (b'{"objects":[]}', False),
        (b"{}", False),
        (b"no JSON", False),
    ],
)
def test_a_result_passes_with_one_of_the_labels(data, passes):
    assert Filter.of([], ["car", "bus"]).passes(an_item(Kind.RESULT, data)) is passes


def test_progress_is_not_about_labels():
    assert Filter.of([], ["car"]).passes(an_item(Kind.PROGRESS, b'{"progress":0.5}'))
    assert not Filter.of(["result"], ["car"]).passes(an_item(Kind.PROGRESS, b'{"progress":0.5}'))
