import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_builders import detect_manifest

from model_export.manifest import Suppression
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
