from pathlib import Path

import msgspec
import numpy as np
import pytest
from analytics_builders import box, found

from model_export.predictions import Detections
from server.analytics.tracker import PATIENCE_S, Tracker, overlap


def crowd(seed: int, frames: int) -> list[tuple[Detections, float]]:
    """Objects of three classes that come, wobble, vanish for some frames and go, at an uneven frame rate."""
    rng = np.random.default_rng(seed)
    starts = rng.uniform(0, 400, (9, 2))
    ways = rng.uniform(-6, 6, (9, 2))
    video, pts_s = [], 0.0
    for frame in range(frames):
        pts_s += float(rng.uniform(0.04, 0.2))
        there = np.flatnonzero(rng.random(9) < 0.85)
        corners = starts[there] + ways[there] * frame + rng.normal(0, 2, (len(there), 2))
        boxes = np.concatenate([corners, corners + np.array([60, 90])], axis=1).astype(np.float32)
        scores = np.sort(rng.uniform(0.2, 0.95, len(there)).astype(np.float32))[::-1]
        video.append((Detections(boxes, scores.copy(), there.astype(np.int64) % 3), pts_s))
    return video


def test_an_id_appears_with_the_second_sighting_and_stays() -> None:
    tracker = Tracker()
    ids = [tracker.update(found(box(10.0 + 6 * frame)), frame / 10).tolist() for frame in range(20)]
    assert ids == [[-1]] + [[1]] * 19


def test_ids_begin_after_those_of_another_tracker() -> None:
    tracker = Tracker(ids_after=7)
    assert tracker.last_id == 7
    ids = [tracker.update(found(box(10), box(400)), frame / 10).tolist() for frame in range(2)]
    assert sorted(ids[1]) == [8, 9]
    assert tracker.last_id == 9


def test_ids_stand_in_the_order_of_the_detections() -> None:
    tracker = Tracker()
    left, right = box(10), box(400)
    tracker.update(found(left, right), 0.0)
    first = tracker.update(found(left, right), 0.1).tolist()
    assert sorted(first) == [1, 2]
    assert tracker.update(found(right, left), 0.2).tolist() == first[::-1]


def test_what_moves_by_its_own_width_is_followed_at_five_frames_a_second() -> None:
    tracker = Tracker()
    ids = [tracker.update(found(box(40.0 * frame)), frame / 5).tolist() for frame in range(10)]
    assert {one for row in ids[1:] for one in row} == {1}


def test_a_low_score_continues_a_track_but_begins_none() -> None:
    tracker = Tracker()
    for frame in range(3):
        assert tracker.update(found(box(10), scores=[0.3]), frame / 10).tolist() == [-1]
    for frame in range(3, 6):
        last = tracker.update(found(box(10), scores=[0.6]), frame / 10).tolist()
    assert last == [1]
    assert tracker.update(found(box(12), scores=[0.3]), 0.6).tolist() == [1]


def test_a_track_never_changes_its_class() -> None:
    tracker = Tracker()
    tracker.update(found(box(10), classes=[2]), 0.0)
    car = tracker.update(found(box(10), classes=[2]), 0.1).tolist()
    person = [tracker.update(found(box(10), classes=[0]), t).tolist() for t in (0.2, 0.3)]
    assert (car, person) == ([1], [[-1], [2]])
    assert tracker.update(found(box(10), classes=[2]), 0.4).tolist() == [1]


@pytest.mark.parametrize(("gap_s", "same"), [(PATIENCE_S - 0.2, True), (PATIENCE_S + 0.2, False)])
def test_who_is_hidden_is_remembered_by_media_time(gap_s: float, same: bool) -> None:
    tracker = Tracker()
    for frame in range(5):
        before = tracker.update(found(box(100)), frame / 10).tolist()
    back_s = 0.4 + gap_s
    tracker.update(found(), back_s - 0.1)
    tracker.update(found(box(100)), back_s)
    after = tracker.update(found(box(100)), back_s + 0.1).tolist()
    assert (after == before) is same


def test_patience_counts_seconds_and_not_frames() -> None:
    tracker = Tracker()
    for frame in range(5):
        tracker.update(found(box(100)), frame / 100)
    for frame in range(5, 105):
        tracker.update(found(), frame / 100)
    assert tracker.update(found(box(100)), 1.05).tolist() == [1]


@pytest.mark.parametrize("fps", [0.66, 0.5, 0.2, 0.01])
def test_however_rare_frames_are_tracks_go_on_and_over_one_that_does_not_show_them(fps: float) -> None:
    tracker = Tracker()
    ids = [tracker.update(found(box(100)), frame / fps).tolist() for frame in range(4)]
    assert ids == [[-1], [1], [1], [1]]
    tracker.update(found(), 4 / fps)
    assert tracker.update(found(box(100)), 5 / fps).tolist() == [1]
    for frame in (6, 7):
        tracker.update(found(), frame / fps)
    assert tracker.update(found(box(100)), 8 / fps).tolist() == [-1]


def test_patience_is_of_the_usual_rate_and_neither_of_gaps_nor_of_bursts() -> None:
    tracker = Tracker()
    patience = []
    for pts_s in (0.0, 0.1, 9.0, 9.1, 20.0, 20.1, 20.2):
        tracker.update(found(box(100)), pts_s)
        patience.append(tracker.patience_s)
    assert patience == [PATIENCE_S] * 7
    for pts_s in (30.0, 40.0, 50.0, 50.0, 60.0, 60.1, 70.0):
        tracker.update(found(box(100)), pts_s)
    assert tracker.patience_s == pytest.approx(2.5 * 9.9)


def test_a_restored_tracker_is_as_patient() -> None:
    first, second = Tracker(), Tracker()
    for frame in range(3):
        first.update(found(box(100)), 5.0 * frame)
    second.restore(first.state())
    assert second.patience_s == first.patience_s == 12.5
    assert second.update(found(box(100)), 20.0).tolist() == [1]


def test_times_that_stand_still_or_go_back_do_no_harm() -> None:
    tracker = Tracker()
    ids = [tracker.update(found(box(100)), pts_s).tolist() for pts_s in (5.0, 5.0, 4.0, 4.1, 4.1)]
    assert ids == [[-1], [1], [1], [1], [1]]


def test_knows_where_its_tracks_should_be() -> None:
    tracker = Tracker()
    assert tracker.expected(0.0)[0] == []
    assert tracker.expected(0.0)[1].shape == (0, 4)
    for frame in range(10):
        tracker.update(found(box(10.0 * frame)), frame / 10)
    ids, boxes = tracker.expected(1.0)
    assert ids == [1]
    assert boxes == pytest.approx(np.array([box(100)]), abs=2.0)
    tracker.update(found(), 1.0)
    assert tracker.expected(1.1)[0] == []


@pytest.mark.parametrize("at", [0, 1, 7, 40])
def test_a_restored_tracker_answers_bit_for_bit_the_same(at: int) -> None:
    video = crowd(seed=at, frames=90)
    whole, first, second = Tracker(), Tracker(), Tracker()
    expected = [whole.update(*frame).tolist() for frame in video]
    before = [first.update(*frame).tolist() for frame in video[:at]]
    second.update(found(box(1)), 0.0)  # forgotten by restore
    second.restore(first.state())
    after = [second.update(*frame).tolist() for frame in video[at:]]

    assert before + after == expected
    assert second.state() == whole.state()
    assert max(one for row in expected for one in row) >= 9


def test_overlap_of_boxes_that_do_not_touch_but_are_near_is_not_zero() -> None:
    a, near, far = (np.array([box(left)]).T for left in (0, 50, 100))
    assert overlap(a, a)[0, 0] == 1.0
    assert 0.0 < overlap(a, near)[0, 0] < 0.2
    assert overlap(a, far)[0, 0] == 0.0


def test_overlap_of_boxes_without_area_is_nothing() -> None:
    flat = np.full((4, 1), 5.0)
    assert overlap(flat, flat).tolist() == [[0.0]]


@pytest.mark.data
@pytest.mark.parametrize(("street", "people"), [("TUD-Campus", 8), ("TUD-Stadtmitte", 10)])
def test_a_real_detector_s_boxes_give_tracks_that_survive_a_restore(
    shared_data: Path, street: str, people: int
) -> None:
    boxes = np.loadtxt(shared_data / "mot" / street / "test.txt", delimiter=",")
    video = []
    for frame in range(1, int(boxes[:, 0].max()) + 1):
        x, y, width, height = boxes[boxes[:, 0] == frame, 2:6].T
        video.append((found(*zip(x, y, x + width, y + height, strict=True)), frame / 25))
    whole, parts = Tracker(), Tracker()
    for frame in video:
        state = parts.state()
        parts = Tracker()
        parts.restore(state)
        assert parts.update(*frame).tolist() == whole.update(*frame).tolist()
    given = msgspec.msgpack.decode(whole.state())[0]
    assert people - 1 <= given <= 2 * people  # one stands behind another and is never detected
