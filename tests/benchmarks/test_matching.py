import numpy as np
import pytest

from benchmarks.matching import Track, iou, long, lost, share, tracks


def thing(track, box, label="car"):
    return {"label": label, "box": box} | ({"track_id": track} if track else {})


def row(pts_s, *objects):
    return {"pts_s": pts_s, "objects": list(objects)}


def driving(times, *, label="car", ahead=0.0):
    """A box of 10×10 that moves 10 pixels a second, `ahead` of where it would be."""
    left = 10 * np.array(times, np.float64) + ahead
    zero = np.zeros_like(left)
    return Track(label, np.array(times, np.float64), np.stack([left, zero, left + 10, zero + 10], 1))


def tenths(first, last):
    return [n / 10 for n in range(first, last + 1)]


def test_rows_become_tracks_by_id_and_label_and_what_has_no_id_is_left_out():
    rows = [
        row(0.0, thing(1, [0, 0, 1, 1]), thing(None, [5, 5, 6, 6])),
        row(0.5, thing(1, [1, 0, 2, 1]), thing(2, [5, 5, 6, 6], "person")),
        {"pts_s": 1.0},
    ]
    found = tracks(rows)
    assert [(track.label, track.times.tolist()) for track in found] == [("car", [0.0, 0.5]), ("person", [0.5])]
    assert found[0].boxes.tolist() == [[0, 0, 1, 1], [1, 0, 2, 1]]


def test_only_tracks_of_more_than_a_second_count():
    assert [track.seconds for track in long([driving([0.0, 1.0]), driving([0.0, 1.5])])] == [1.5]
    assert lost([driving([0.0, 1.0])], []) == []


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param([driving(tenths(0, 20))], 1.0, id="the same"),
        pytest.param([driving(tenths(0, 20), ahead=5)], 1.0, id="near enough: IoU is a third"),
        pytest.param([driving(tenths(0, 20), ahead=6)], 0.0, id="too far: IoU is a quarter"),
        pytest.param([driving(tenths(0, 20), label="bus")], 0.0, id="of another label"),
        pytest.param([driving([0.0, 2.0])], 1.0, id="seen twice, and on its way between"),
        pytest.param([driving(tenths(0, 9))], 10 / 21, id="given up too early"),
        pytest.param([driving(tenths(0, 9)), driving(tenths(10, 20))], 1.0, id="with an id that changed"),
        pytest.param([driving(tenths(30, 50))], 0.0, id="at another time"),
        pytest.param([], 0.0, id="nothing"),
    ],
)
def test_how_much_of_a_track_is_found(other, expected):
    track = driving(tenths(0, 20))
    assert share(track, other) == pytest.approx(expected)
    assert (lost([track], other) == []) == (expected >= 0.5)


def test_the_overlap_of_boxes_pair_by_pair():
    first = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [5, 5, 5, 5]], np.float64)
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [5, 5, 5, 5]], np.float64)
    assert iou(first, second).tolist() == [1.0, pytest.approx(1 / 3), 0.0, 0.0]
