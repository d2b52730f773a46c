import numpy as np
import pytest
from analytics_builders import box, found

from model_export.predictions import Detections
from server.analytics.merging import Passing
from server.analytics.tracker import Tracker


def expected(*boxes: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4)


def separate(found: Detections, expected: np.ndarray) -> Detections:
    """With tracks 1, 2, 3 …, for the first time."""
    return Passing().separate(found, range(1, len(expected) + 1), expected, 0.0)


def test_blobs_of_one_track_each_stay_as_they_are() -> None:
    blobs = found(box(0), box(200))
    assert separate(blobs, expected(box(2), box(198))) is blobs


def test_a_blob_without_tracks_stays_as_it_is() -> None:
    blobs = found(box(0))
    assert separate(blobs, expected()) is blobs
    assert separate(blobs, expected(box(300), box(400))) is blobs


def test_a_blob_of_two_becomes_two_at_its_ends() -> None:
    blobs = found((100, 100, 180, 180), scores=[0.6])
    apart = separate(blobs, expected(box(98), box(143)))
    assert apart.xyxy.tolist() == [list(box(100)), list(box(140))]
    assert apart.scores.tolist() == pytest.approx([0.6, 0.6])


def test_two_who_hide_each_other_stand_where_they_are_expected() -> None:
    blobs = found((100, 100, 150, 180))
    apart = separate(blobs, expected(box(104), box(108)))
    assert apart.xyxy.tolist() == [list(box(104)), list(box(108))]


def test_boxes_stay_inside_their_blob() -> None:
    blobs = found((100, 100, 150, 170))
    apart = separate(blobs, expected(box(90), box(125)))
    assert apart.xyxy.tolist() == [[100, 100, 140, 170], [110, 100, 150, 170]]


def test_other_blobs_stay_and_the_best_score_comes_first() -> None:
    blobs = found((100, 100, 180, 180), box(300), scores=[0.9, 0.4])
    apart = separate(blobs, expected(box(100), box(140), box(301)))
    assert apart.scores.tolist() == pytest.approx([0.9, 0.9, 0.4])
    assert apart.xyxy[2].tolist() == list(box(300))


def test_two_who_pass_each_other_keep_their_ids() -> None:
    tracker, passing = Tracker(), Passing()
    seen = []
    for frame in range(60):
        right, left = box(10.0 + 5 * frame), box(320.0 - 5 * frame)
        shared = min(right[2], left[2]) > max(right[0], left[0])
        blob = (min(right[0], left[0]), 100.0, max(right[2], left[2]), 180.0)
        blobs = found(blob) if shared else found(right, left)
        apart = passing.separate(blobs, *tracker.expected(frame / 10), frame / 10)
        ids = tracker.update(apart, frame / 10).tolist()
        seen.append({track: (x1 + x2) / 2 for track, (x1, _, x2, _) in zip(ids, apart.xyxy.tolist(), strict=True)})
    assert all(set(frame) == {1, 2} for frame in seen[1:])
    first, second = (1, 2) if seen[1][1] < seen[1][2] else (2, 1)
    assert seen[-1][first] > seen[-1][second]


def test_who_stays_hidden_is_given_up_after_three_seconds() -> None:
    passing = Passing()
    blobs, both = found(box(100)), expected(box(100), box(104))
    numbers = [len(passing.separate(blobs, [7, 9], both, pts_s)) for pts_s in (0.0, 2.9, 3.1)]
    assert numbers == [2, 2, 1]


def test_who_came_out_may_be_hidden_anew() -> None:
    passing = Passing()
    passing.separate(found(box(100)), [1, 2], expected(box(100), box(104)), 0.0)
    passing.separate(found(box(100), box(200)), [1, 2], expected(box(100), box(200)), 2.0)
    assert len(passing.separate(found(box(100)), [1, 2], expected(box(100), box(104)), 4.0)) == 2


def test_two_who_walk_side_by_side_stay_two() -> None:
    passing = Passing()
    blobs, both = found((100, 100, 180, 180)), expected(box(100), box(140))
    assert [len(passing.separate(blobs, [1, 2], both, float(pts_s))) for pts_s in range(10)] == [2] * 10


def test_goes_on_from_its_state() -> None:
    first, second = Passing(), Passing()
    first.separate(found(box(100)), [1, 2], expected(box(100), box(104)), 0.0)
    second.restore(first.state())
    assert len(second.separate(found(box(100)), [1, 2], expected(box(100), box(104)), 3.5)) == 1
