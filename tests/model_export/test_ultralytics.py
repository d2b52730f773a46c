"""Detectors of the forms that Ultralytics exports, against a decode that is written here anew."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from model_builders import CELLS, CLASSES, SIDE, model, saved
from onnx import TensorProto, helper
from yolo_builders import END_ROWS, yolo_like

from model_export.bundle import Bundle
from model_export.errors import ImportRefused
from model_export.families.family import Told
from model_export.families.ultralytics import FAMILY, CentreHead, EndToEndHead
from model_export.geometry import fit, place, to_source
from model_export.importer import import_model
from model_export.manifest import FrameInput, Precision, Suppression
from model_export.options import Wishes
from model_export.pictures import draw
from model_export.predictions import Detections, read_outputs
from model_export.repository import Repository
from model_export.session import Session

Frame = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
Found = list[tuple[int, float, Box]]

NAMES = {0: "car", 1: "bus", 2: "person"}
SAYS = {"names": repr(NAMES), "imgsz": f"[{SIDE}, {SIDE}]", "task": "detect", "stride": "32"}
CONFIDENCE = 0.6


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "models")


def brought_in(proto: onnx.ModelProto, repository: Repository, **wishes: Any) -> Bundle:
    repository.root.mkdir(parents=True, exist_ok=True)
    file = saved(proto, repository.root.parent, "net.onnx")
    return import_model(
        file, family="ultralytics", name="yolo", repository=repository, wishes=Wishes(**wishes) if wishes else None
    )


def found_by(bundle: Bundle, session: Session, frames: list[Frame]) -> list[Found]:
    """As the server finds: fitted, in batches of the size there is, read, and brought back to the frame."""
    spec = bundle.manifest.input
    assert spec is not None
    size = bundle.manifest.batch.fixed or len(frames)
    found: list[Found] = []
    for start in range(0, len(frames), size):
        outputs = session.run({"frames": np.stack([fit(frame, spec) for frame in frames[start : start + size]])})
        for row, frame in enumerate(frames[start : start + size]):
            one = read_outputs(bundle.manifest, {name: value[row] for name, value in outputs.items()})
            assert isinstance(one, Detections)
            boxes = to_source(one.xyxy, place(spec, frame.shape[1], frame.shape[0]))
            found.append(
                [
                    (kind, score, (x1, y1, x2, y2))
                    for kind, score, (x1, y1, x2, y2) in zip(
                        one.class_ids.tolist(), one.scores.tolist(), boxes.tolist(), strict=True
                    )
                ]
            )
    return found


def found_plainly(proto: onnx.ModelProto, form: str, frame: Frame) -> Found:
    """Letterbox in the middle, run, decode box by box, suppress pair by pair."""
    ratio = min(SIDE / frame.shape[0], SIDE / frame.shape[1])
    wide, high = round(frame.shape[1] * ratio), round(frame.shape[0] * ratio)
    left, top = (SIDE - wide) // 2, (SIDE - high) // 2
    picture = np.full((SIDE, SIDE, 3), 114, np.uint8)
    picture[top : top + high, left : left + wide] = cv2.resize(frame, (wide, high), interpolation=cv2.INTER_LINEAR)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    takes = session.get_inputs()[0]
    planes = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).transpose(2, 0, 1)[None].astype(np.float32) / 255
    copies = takes.shape[0] if isinstance(takes.shape[0], int) else 1
    half = takes.type == "tensor(float16)"
    raw = session.run(None, {takes.name: np.repeat(planes, copies, axis=0).astype("f2" if half else "f4")})[0][0]

    candidates: Found = []
    for number in range(raw.shape[1] if form == "cells" else raw.shape[0]):
        values = [float(value) for value in (raw[:, number] if form == "cells" else raw[number])]
        if form == "end":
            x1, y1, x2, y2, score, kind = values
            corners, kind = (x1, y1, x2, y2), int(kind)
        else:
            cx, cy, w, h = values[:4]
            corners = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
            kinds = values[5:] if form == "anchors" else values[4:]
            kind = max(range(CLASSES), key=lambda index, kinds=kinds: kinds[index])
            score = kinds[kind] * (values[4] if form == "anchors" else 1.0)
        if score >= CONFIDENCE:
            x1, y1, x2, y2 = corners
            candidates.append((kind, score, (x1 - left, y1 - top, x2 - left, y2 - top)))

    iou = {"cells": 0.7, "anchors": 0.45, "end": 1.0}[form]
    kept: Found = []
    for candidate in sorted(candidates, key=lambda one: -one[1]):
        if all(other[0] != candidate[0] or overlap(other[2], candidate[2]) <= iou for other in kept):
            kept.append(candidate)
    width, height = frame.shape[1], frame.shape[0]
    return [
        (
            kind,
            score,
            (
                min(max(x1 / ratio, 0), width), min(max(y1 / ratio, 0), height),
                min(max(x2 / ratio, 0), width), min(max(y2 / ratio, 0), height),
            ),
        )
        for kind, score, (x1, y1, x2, y2) in kept
    ]  # fmt: skip


def overlap(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@pytest.mark.parametrize(
    "options",
    [{}, {"batch": 4}, {"batch": "n"}, {"batch": "n", "free_size": True}, {"batch": 4, "stuck": True}],
    ids=["one", "four", "free batch", "free size", "stuck"],
)
@pytest.mark.parametrize("form", ["cells", "anchors", "end"])
def test_the_imported_model_finds_what_a_plain_decode_finds(
    form: str, options: dict[str, Any], repository: Repository
) -> None:
    proto = yolo_like(form, metadata=SAYS, **options)
    bundle = brought_in(proto, repository, confidence=CONFIDENCE)
    session = Session(bundle.model, name="yolo")
    frames = [*draw(4, 160, 90, seed=3), *draw(4, 90, 120, seed=4)]

    objects = 0
    for frame, found in zip(frames, found_by(bundle, session, frames), strict=True):
        expected = found_plainly(proto, form, frame)
        assert [kind for kind, _, _ in found] == [kind for kind, _, _ in expected]
        np.testing.assert_allclose([one[1] for one in found], [one[1] for one in expected], atol=1e-4)
        np.testing.assert_allclose([one[2] for one in found], [one[2] for one in expected], atol=0.01)
        objects += len(expected)
    assert objects > 40
    assert bundle.manifest.batch.fixed == (4 if "stuck" in options else None)
    assert bundle.manifest.batch.invariant


@pytest.mark.parametrize("form", ["cells", "end"])
def test_half_precision_answers_alike_but_for_rounding(form: str, repository: Repository) -> None:
    proto = yolo_like(form, dtype=TensorProto.FLOAT16)
    bundle = brought_in(proto, repository, confidence=CONFIDENCE)
    frame = draw(1, 160, 90, seed=3)[0]

    found = found_by(bundle, Session(bundle.model, name="yolo"), [frame])[0]

    expected = found_plainly(proto, form, frame)
    assert bundle.manifest.precision is Precision.FP16
    assert len(expected) > 3
    for kind, score, box in expected:
        assert any(
            kind == other and abs(score - near) < 0.02 and np.allclose(box, place, atol=1)
            for other, near, place in found
        )


def test_what_the_file_says_of_itself_is_taken(repository: Repository) -> None:
    file, said = saved(yolo_like(free_size=True, metadata=SAYS), repository.root.parent), list[str]()
    manifest = import_model(file, family="ultralytics", name="yolo", repository=repository, say=said.append).manifest

    assert "The file names its classes: car, bus, person" in said
    assert manifest.labels == ("car", "bus", "person")
    assert manifest.input is not None
    assert (manifest.input.width, manifest.input.height) == (SIDE, SIDE)
    assert (manifest.input.align, manifest.input.pad) == ("center", 114)


def test_the_users_labels_and_size_go_before_the_files(repository: Repository) -> None:
    file = saved(yolo_like(batch="n", free_size=True, metadata=SAYS), repository.root.parent)

    with pytest.raises(ImportRefused, match=r"fails on images \[1, 3, 32, 32\].* with --input"):
        import_model(
            file, family="ultralytics", name="yolo", repository=repository, labels="abc", wishes=Wishes(size=(32, 32))
        )
    bundle = import_model(file, family="ultralytics", name="yolo", repository=repository, labels="abc")
    assert bundle.manifest.labels == ("a", "b", "c")


def test_an_end_to_end_model_has_nothing_left_to_suppress(repository: Repository) -> None:
    manifest = brought_in(yolo_like("end"), repository).manifest

    assert manifest.suppression is None
    assert manifest.outputs[0].shape == (None, END_ROWS, 4)
    with pytest.raises(ImportRefused, match="nothing to suppress"):
        brought_in(yolo_like("end"), repository, iou=0.5)


def test_of_an_end_to_end_model_at_most_300_rows_are_handed_on(repository: Repository) -> None:
    outputs = brought_in(of_rows(700, 6, {5: 0.0}), repository).manifest.outputs

    assert outputs[1].shape == (None, 300)


def rows_of_six(scores: npt.NDArray[Any], kind: float) -> npt.NDArray[Any]:
    """[4, N, 6]: four pictures with the same boxes, these scores, and one number in the last column."""
    random = np.random.default_rng(3)
    rows = np.empty((len(scores), 6), scores.dtype)
    rows[:, :2], rows[:, 2:4] = random.uniform(5, 30, (len(rows), 2)), random.uniform(30, 60, (len(rows), 2))
    rows[:, 4], rows[:, 5] = scores, kind
    return np.stack([rows] * 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float16], ids=["single", "half"])
def test_of_one_class_whose_score_is_always_1_the_rows_of_anchors_are_not_end_to_end(dtype: type) -> None:
    spec = FrameInput(width=SIDE, height=SIDE)
    scores = np.random.default_rng(2).uniform(0, 0.9, 3 * CELLS).astype(dtype)

    anchors = FAMILY.read({"y": rows_of_six(scores, 0.9999983)}, spec, Told())
    saturated = FAMILY.read({"y": rows_of_six(scores, 1.0)}, spec, Told())
    best_first = FAMILY.read({"y": rows_of_six(np.sort(scores)[::-1], 1.0)}, spec, Told())

    assert isinstance(saturated.head, CentreHead)
    assert (saturated.classes, saturated.suppression) == (1, Suppression(iou=0.45))
    assert anchors == saturated
    assert isinstance(best_first.head, EndToEndHead)


def of_rows(rows: int, columns: int, fixed: dict[int, float] | None = None, *, scale: float = 64) -> onnx.ModelProto:
    """A model that answers [1, rows, columns]: pixels as they come, in columns to be multiplied; 0…1 from the fifth."""
    factors = np.full(columns, 1.0, np.float32)
    factors[:4] = scale
    for column, factor in (fixed or {}).items():
        factors[column] = factor
    size = rows * columns
    assert size <= 3 * SIDE * SIDE
    return model(
        [
            helper.make_node("Flatten", ["x"], ["flat"], axis=1),
            helper.make_node("Slice", ["flat", "zero", "size", "one"], ["some"]),
            helper.make_node("Reshape", ["some", "shape"], ["rows"]),
            helper.make_node("Mul", ["rows", "factors"], ["y"]),
        ],
        {"x": [1, 3, SIDE, SIDE]},
        {"y": [1, rows, columns]},
        {
            "zero": np.array([0]),
            "one": np.array([1]),
            "size": np.array([size]),
            "shape": np.array([1, rows, columns]),
            "factors": factors,
        },
    )


def upright(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same with its last two axes swapped."""
    proto.graph.node[-1].output[0] = "lying"
    proto.graph.node.append(helper.make_node("Transpose", ["lying"], ["y"], perm=[0, 2, 1]))
    dims = proto.graph.output[0].type.tensor_type.shape.dim
    dims[1].dim_value, dims[2].dim_value = dims[2].dim_value, dims[1].dim_value
    return proto


def varying() -> onnx.ModelProto:
    """Suppressed in the graph and not padded: as many rows as there are bright pixels."""
    return model(
        [
            helper.make_node("ReduceMax", ["x"], ["brightest"], axes=[1], keepdims=0),
            helper.make_node("Greater", ["brightest", "most"], ["bright"]),
            helper.make_node("NonZero", ["bright"], ["places"]),
            helper.make_node("Cast", ["places"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["numbers"], ["rows"], perm=[1, 0]),
            helper.make_node("Concat", ["rows", "rows"], ["wide"], axis=1),
            helper.make_node("Unsqueeze", ["wide", "zero"], ["y"]),
        ],
        {"x": [1, 3, SIDE, SIDE]},
        {"y": [1, "n", 6]},
        {"most": np.float32(0.8), "zero": np.array([0])},
    )


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (of_rows(CELLS, 7), r"this model answers y \[84, 7\]\. The axes are swapped"),
        (upright(of_rows(CELLS, 7, {6: 10.0})), r"those after the first 4 are scores in 0…1; this model's are not"),
        (upright(of_rows(CELLS, 7, scale=1.0)), "boxes are not in pixels"),
        (of_rows(CELLS * 3, 8, scale=1.0), "boxes are not in pixels"),
        (of_rows(50, 6, {5: 0.0}, scale=1.0), "boxes are not in pixels"),
        (of_rows(50, 6), r"one output \[4 \+ classes, 84\], \[252, 5 \+ classes\], or \[boxes, 6\] end to end"),
        (of_rows(50, 38), "More than 6 numbers a box are not only a box"),
        (upright(of_rows(90, 8)), "Say the size that it was exported for with --input"),
        (varying(), "shape of output 'y' depends on what is in the picture"),
    ],
    ids=["swapped", "masks", "shares", "shares of anchors", "shares end to end", "six", "wide", "cells", "varying"],
)
def test_what_is_no_such_detector_is_refused_with_what_came(
    proto: onnx.ModelProto, message: str, repository: Repository
) -> None:
    with pytest.raises(ImportRefused, match=message) as refused:
        brought_in(proto, repository)
    assert refused.value.hint
    assert repository.names() == ()


def test_a_head_for_segments_is_refused_by_its_second_output(repository: Repository) -> None:
    proto = yolo_like()
    proto.graph.node.append(helper.make_node("MaxPool", ["images"], ["output1"], kernel_shape=[4, 4], strides=[4, 4]))
    proto.graph.output.append(helper.make_tensor_value_info("output1", TensorProto.FLOAT, [1, 3, 16, 16]))

    with pytest.raises(ImportRefused, match=r"answers output0 \[7, 84\], output1 \[3, 16, 16\]\. Heads for segments"):
        brought_in(proto, repository)


@pytest.mark.parametrize("task", ["segment", "pose", "obb", "classify"])
def test_a_file_that_says_it_is_for_something_else_is_refused(task: str, repository: Repository) -> None:
    with pytest.raises(ImportRefused, match=f"says that it is for task '{task}'; this family is for 'detect'"):
        brought_in(yolo_like(metadata=SAYS | {"task": task}), repository)


def test_labels_tell_turned_boxes_from_one_class_more(repository: Repository) -> None:
    with pytest.raises(ImportRefused, match=r"With 2 labels there would be 6 numbers a box, this model answers 7\."):
        brought_in(yolo_like(metadata=SAYS | {"names": "['car', 'bus']"}), repository)


def test_a_class_beyond_the_labels_of_an_end_to_end_model_is_refused(repository: Repository) -> None:
    with pytest.raises(ImportRefused, match=r"found class 2 .* the last of 2 labels is of class 1"):
        brought_in(yolo_like("end", metadata=SAYS | {"names": "['car', 'bus']"}), repository)


def test_what_counts_as_found_and_as_the_same_can_be_said(repository: Repository) -> None:
    usual = brought_in(yolo_like(), repository).manifest
    other = brought_in(yolo_like(), repository, confidence=0.4, iou=0.5).manifest

    assert usual.suppression is not None
    assert other.suppression is not None
    assert (usual.thresholds.confidence, usual.suppression.iou) == (0.25, 0.7)
    assert (other.thresholds.confidence, other.suppression.iou) == (0.4, 0.5)
    with pytest.raises(ImportRefused, match="Only a classifier has several labels"):
        brought_in(yolo_like(), repository, multi_label=True)
