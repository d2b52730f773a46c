import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_builders import detect_manifest

from model_export.manifest import FrameInput, Manifest, Suppression
from model_export.predictions import MAX_DETECTIONS, Detections, read_outputs, suppress


def detections(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """Rows of x1, y1, x2, y2, score, class."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(np.int64))


def kept_one_by_one(found: Detections, rule: Suppression) -> list[int]:
    """The definition, written as a loop over pairs in exact numbers: grid boxes have whole areas."""
    kept: list[int] = []
    for i in range(len(found)):
        for j in kept:
            if found.class_ids[i] != found.class_ids[j] and not rule.class_agnostic:
                continue
            a, b = found.xyxy[i].tolist(), found.xyxy[j].tolist()
            width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            shared = max(width, 0) * max(height, 0)
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
            if shared > rule.iou * union:
                break
        else:
            kept.append(i)
    return kept


boxes = st.tuples(st.integers(-20, 60), st.integers(-20, 60), st.integers(0, 30), st.integers(0, 30), st.integers(0, 3))


@given(st.lists(boxes, max_size=25), st.sampled_from([0.25, 0.45, 0.5, 1.0]), st.booleans())
def test_suppression_agrees_with_its_definition(
    rows: list[tuple[int, int, int, int, int]], iou: float, agnostic: bool
) -> None:
    found = detections(*((x, y, x + w, y + h, 1 - i / 100, c) for i, (x, y, w, h, c) in enumerate(rows)))
    rule = Suppression(iou=iou, class_agnostic=agnostic)

    left = suppress(found, rule)

    expected = found.take(np.array(kept_one_by_one(found, rule), np.intp))
    assert left.xyxy.tolist() == expected.xyxy.tolist()
    assert left.scores.tolist() == expected.scores.tolist()
    assert left.class_ids.tolist() == expected.class_ids.tolist()


def test_boxes_of_two_classes_may_overlap() -> None:
    found = detections((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.8, 1), (0, 0, 10, 10, 0.7, 0))

    assert suppress(found, Suppression()).class_ids.tolist() == [0, 1]
    assert len(suppress(found, Suppression(class_agnostic=True))) == 1


def test_what_a_suppressed_box_overlaps_stays() -> None:
    found = detections((0, 0, 10, 10, 0.9, 0), (4, 0, 14, 10, 0.8, 0), (8, 0, 18, 10, 0.7, 0))

    assert suppress(found, Suppression(iou=0.4)).xyxy[:, 0].tolist() == [0, 8]


def outputs(*scores: float) -> dict[str, np.ndarray]:
    count = len(scores)
    boxes = np.array([[i * 20, 0, i * 20 + 10, 10] for i in range(count)], np.float32).reshape(-1, 4)
    return {"boxes": boxes, "scores": np.array(scores, np.float32), "class_ids": np.zeros(count, np.int64)}


def test_what_is_found_has_at_least_the_threshold() -> None:
    found = read_outputs(detect_manifest(), outputs(0.9, 0.25, 0.2, 0.0))

    assert isinstance(found, Detections)
    assert found.scores.tolist() == [np.float32(0.9), 0.25]


def test_a_threshold_that_is_asked_for_replaces_the_models() -> None:
    found = read_outputs(detect_manifest(), outputs(0.9, 0.3), confidence=0.5)

    assert isinstance(found, Detections)
    assert len(found) == 1


def test_padding_is_never_found() -> None:
    found = read_outputs(detect_manifest(), outputs(0.9, 0.0, 0.0), confidence=0.0)

    assert isinstance(found, Detections)
    assert len(found) == 1


def test_suppression_that_is_due_is_done() -> None:
    manifest = detect_manifest(suppression=Suppression(iou=0.45))
    both_alike = outputs(0.9, 0.8) | {"boxes": np.array([[0, 0, 9, 9], [0, 0, 9, 9]], np.float32)}

    found = read_outputs(manifest, both_alike)

    assert isinstance(found, Detections)
    assert len(found) == 1


def test_a_frame_has_at_most_300_detections() -> None:
    found = read_outputs(detect_manifest(), outputs(*[0.9] * 400))

    assert isinstance(found, Detections)
    assert len(found) == MAX_DETECTIONS


def test_columns_of_different_length_are_no_detections() -> None:
    with pytest.raises(ValueError, match="boxes"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(3, np.float32), np.zeros(3, np.int64))


NAN, INF = float("nan"), float("inf")


def large_detect_manifest(**more: Suppression) -> Manifest:
    """Of a detector for 100 × 100 pixels."""
    return detect_manifest(**more).model_copy(update={"input": FrameInput(width=100, height=100)})


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_scores_that_are_no_numbers_are_not_found_and_hide_none(bad: float, at: int) -> None:
    scores = [0.9, 0.8]
    scores.insert(at, bad)

    found = read_outputs(large_detect_manifest(), outputs(*scores, 0.0, 0.0))

    assert isinstance(found, Detections)
    assert found.scores.tolist() == [np.float32(0.9), np.float32(0.8)]
    assert found.xyxy[:, 0].tolist() == [20.0 * number for number in range(3) if number != at]


def test_behind_a_score_that_is_no_number_nothing_is_found_that_is_not_above_the_threshold() -> None:
    found = read_outputs(large_detect_manifest(), outputs(0.9, 0.1, NAN, 0.8, 0.0))

    assert isinstance(found, Detections)
    assert found.scores.tolist() == [np.float32(0.9), np.float32(0.8)]


@pytest.mark.parametrize("edge", [NAN, INF, -INF, 3e38, 1e25, 1e17, -1e17])
@pytest.mark.parametrize("agnostic", [False, True])
def test_one_box_out_of_all_proportion_switches_suppression_off_for_none(edge: float, agnostic: bool) -> None:
    manifest = large_detect_manifest(suppression=Suppression(iou=0.5, class_agnostic=agnostic))
    boxes = [[0, 0, 10, 10], [0, 0, 10, 10], [50, 50, edge, 60], [20, 0, 30, 10]]
    said = outputs(0.9, 0.8, 0.7, 0.6) | {"boxes": np.array(boxes, np.float32), "class_ids": np.array([5, 5, 0, 5])}

    found = read_outputs(manifest, said)

    assert isinstance(found, Detections)
    assert np.isfinite(found.xyxy).all()
    left = found.scores.tolist()
    assert left == [np.float32(score) for score in ((0.9, 0.7, 0.6) if np.isfinite(edge) else (0.9, 0.6))]


def test_boxes_a_few_times_as_large_as_the_input_are_left_as_they_are() -> None:
    manifest = large_detect_manifest()
    assert manifest.input is not None
    side = float(max(manifest.input.width, manifest.input.height))
    said = outputs(0.9) | {"boxes": np.array([[-3 * side, -3 * side, 4 * side, 4 * side]], np.float32)}

    found = read_outputs(manifest, said)

    assert isinstance(found, Detections)
    np.testing.assert_array_equal(found.xyxy, said["boxes"])
