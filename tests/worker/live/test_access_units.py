import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.worker.live.access_units import AccessUnits

START = b"\0\0\0\1"
MTU = 100
TRIALS = 12


def nal(kind, size):
    return START + bytes([kind]) + bytes([7]) * (size - 1)


def fragments(unit, mtu=MTU):
    """As RTP cuts it, and FFmpeg gives it: the start code before the first fragment alone."""
    if len(unit) <= mtu:
        return [unit]
    return [unit[at : at + mtu] for at in range(0, len(unit), mtu)]


def picture(size, *, slices=1, kind=1):
    """The pieces of a picture whose slices have so many bytes."""
    return [piece for _ in range(slices) for piece in fragments(nal(kind, size))]


def told(pictures, codec="h264"):
    """Stamp, number of the piece with which it was given out (-1: by the next picture), and unit, of each picture."""
    units, found = AccessUnits(codec), []
    for stamp, pieces in enumerate(pictures):
        for number, piece in enumerate(pieces):
            for unit in units.add(piece, stamp, float(stamp)):
                found.append((unit.stamp, number if unit.stamp == stamp else -1, unit))
    return found


def test_a_picture_is_given_out_with_its_last_piece_once_that_was_right_often_enough():
    pictures = [picture(350, kind=5), *(picture(40 + n) for n in range(40))]
    found = told(pictures)
    assert [stamp for stamp, _, _ in found] == list(range(41))
    assert {number for _, number, _ in found[: TRIALS // 2]} == {-1}
    assert {number for _, number, _ in found[-20:]} == {0}


@pytest.mark.parametrize("slices", [1, 4])
def test_fragments_and_slices_are_waited_for(slices):
    pictures = [picture(230 + n % 17, slices=slices, kind=5 if n % 10 == 0 else 1) for n in range(60)]
    found = told(pictures)
    assert [unit.data for _, _, unit in found] == [b"".join(pieces) for pieces in pictures[: len(found)]]
    assert {number for _, number, _ in found[-20:]} == {3 * slices - 1}


def test_where_the_last_fragment_is_as_large_as_the_others_the_next_picture_tells():
    pictures = [picture(350, kind=5), *(picture(60) for _ in range(30)), picture(2 * MTU - 4), picture(60)]
    assert [number for _, number, _ in told(pictures)][-2:] == [-1, 0]


def test_a_camera_that_breaks_the_rule_is_believed_no_more_and_loses_one_picture_at_most():
    even = [nal(1, 79)[:40], nal(1, 79)[40:]]
    steady = [picture(350, kind=5), *(picture(60) for _ in range(30))]
    found = told([*steady, even, *steady])
    cut = [unit for stamp, _, unit in found if stamp == len(steady)]
    assert b"".join(unit.data for unit in cut) == b"".join(even)
    assert len(cut) == 2
    assert {number for stamp, number, _ in found if stamp > len(steady)} == {-1}


def test_parameter_sets_are_part_of_the_picture_behind_them():
    whole = [nal(7, 10) + nal(8, 5), *picture(50, kind=5)]
    (unit, *_) = (unit for _, _, unit in told([whole, picture(40)]))
    assert unit.key
    assert unit.data == b"".join(whole)


@pytest.mark.parametrize(
    ("codec", "kind", "key"), [("h264", 5, True), ("h264", 1, False), ("hevc", 40, True), ("hevc", 2, False)]
)
def test_a_key_picture_is_known_by_its_kind(codec, kind, key):
    (unit, *_) = (unit for _, _, unit in told([picture(50, kind=kind), picture(50)], codec))
    assert unit.key is key


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(6, 400), st.integers(1, 4), st.booleans()), min_size=1, max_size=80))
def test_no_byte_is_lost_or_changes_its_place(shapes):
    pictures = [picture(size, slices=slices, kind=5 if key else 1) for size, slices, key in shapes]
    found = told(pictures)
    given_out = b"".join(unit.data for _, _, unit in found)
    assert b"".join(piece for pieces in pictures for piece in pieces).startswith(given_out)
    assert [stamp for stamp, _, _ in found] == sorted(stamp for stamp, _, _ in found)
