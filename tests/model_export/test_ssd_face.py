"""The face detector on real pictures, against a decode that is written here anew; and what is none."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from model_builders import model, saved
from onnx import helper

from model_export.bundle import Bundle
from model_export.errors import ImportRefused
from model_export.geometry import fit, place, to_source
from model_export.importer import import_model
from model_export.manifest import Resize, Task
from model_export.options import Wishes
from model_export.predictions import Detections, read_outputs
from model_export.repository import Repository
from model_export.session import Session

Frame = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
Found = list[tuple[float, Box]]

WIDTH, HEIGHT = 320, 240
CONFIDENCE = 0.5


@pytest.fixture(scope="module")
def bundle(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return import_model(
        shared_data / "onnx" / "face_rfb320.onnx",
        family="ssd-face",
        name="face",
        repository=Repository(tmp_path_factory.mktemp("models")),
    )


@pytest.fixture(scope="module")
def pictures(shared_data: Path) -> list[Frame]:
    """Photographs of many sizes, half of them with people."""
    found = [cv2.imread(str(path)) for path in sorted((shared_data / "coco128" / "images").rglob("*.jpg"))]
    assert len(found) == 128
    return found


def found_plainly(session: ort.InferenceSession, frame: Frame) -> Found:
    """Stretch, run, decode box by box, suppress pair by pair: (score, box in pixels of the frame)."""
    picture = cv2.cvtColor(cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2RGB)
    planes = ((picture.astype(np.float32) - 127) / 128).transpose(2, 0, 1)[None]
    scores, boxes = session.run(["scores", "boxes"], {"input": planes})
    height, width = frame.shape[:2]
    candidates: Found = []
    for (_, face), (x1, y1, x2, y2) in zip(scores[0].tolist(), boxes[0].tolist(), strict=True):
        if face >= CONFIDENCE:
            candidates.append((face, (x1 * width, y1 * height, x2 * width, y2 * height)))
    kept: Found = []
    for candidate in sorted(candidates, key=lambda one: -one[0]):
        if all(overlap(other[1], candidate[1]) <= 0.3 for other in kept):
            kept.append(candidate)
    return [(score, (max(x1, 0), max(y1, 0), min(x2, width), min(y2, height))) for score, (x1, y1, x2, y2) in kept]


def overlap(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@pytest.mark.data
def test_the_imported_model_finds_the_faces_that_a_plain_decode_finds(
    bundle: Bundle, pictures: list[Frame], shared_data: Path
) -> None:
    plain = ort.InferenceSession(str(shared_data / "onnx" / "face_rfb320.onnx"), providers=["CPUExecutionProvider"])
    session, spec = Session(bundle.model, name="face"), bundle.manifest.input
    assert spec is not None
    faces = 0
    for start in range(0, len(pictures), 4):
        frames = pictures[start : start + 4]
        outputs = session.run({"frames": np.stack([fit(frame, spec) for frame in frames])})
        for row, frame in enumerate(frames):
            one = {name: value[row] for name, value in outputs.items()}
            found = read_outputs(bundle.manifest, one, confidence=CONFIDENCE)
            assert isinstance(found, Detections)
            expected = found_plainly(plain, frame)

            boxes = to_source(found.xyxy, place(spec, frame.shape[1], frame.shape[0]))
            np.testing.assert_allclose(found.scores, [score for score, _ in expected], atol=1e-4)
            np.testing.assert_allclose(boxes, np.reshape([box for _, box in expected], (-1, 4)), atol=0.1)
            faces += len(expected)
    assert faces > 60


@pytest.mark.data
def test_what_it_is_is_in_the_manifest(bundle: Bundle) -> None:
    manifest = bundle.manifest

    assert manifest.task is Task.DETECT
    assert manifest.labels == ("face",)
    assert manifest.input is not None
    assert (manifest.input.width, manifest.input.height, manifest.input.resize) == (WIDTH, HEIGHT, Resize.STRETCH)
    assert manifest.suppression is not None
    assert (manifest.suppression.iou, manifest.thresholds.confidence) == (0.3, 0.7)
    assert manifest.batch.fixed is None
    assert manifest.batch.invariant


def face_like(side: int = 32, *, softmax: bool = True, corners: bool = True, pixels: bool = False) -> onnx.ModelProto:
    """Random weights: scores [1, 16, 2] and boxes [1, 16, 4], a candidate per 8 × 8 pixels, boxes first."""
    random = np.random.default_rng(3)
    cells = (side // 8) ** 2
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["maps"], strides=[8, 8]),
        helper.make_node("Reshape", ["maps", "shape"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("Slice", ["rows", "zero", "two", "axis"], ["logits"]),
        helper.make_node("Softmax" if softmax else "Identity", ["logits"], ["found"]),
        helper.make_node("Slice", ["rows", "two", "six", "axis"], ["where"]),
        helper.make_node("Sigmoid", ["where"], ["places"]),
        helper.make_node("Slice", ["places", "zero", "two", "axis"], ["near"]),
        helper.make_node("Slice", ["places", "two", "four", "axis"], ["size"]),
        helper.make_node("Add", ["near", "size"], ["far"]),
        helper.make_node("Concat", ["near", "far" if corners else "size"], ["shares"], axis=2),
        helper.make_node("Mul", ["shares", "scale"], ["areas"]),
    ]
    constants: dict[str, Any] = {
        "w": random.normal(0, 0.3, (6, 3, 8, 8)).astype(np.float32),
        "shape": np.array([1, 6, cells]),
        "zero": np.array([0]),
        "two": np.array([2]),
        "four": np.array([4]),
        "six": np.array([6]),
        "axis": np.array([2]),
        "scale": np.float32(side if pixels else 0.5),
    }
    return model(nodes, {"x": [1, 3, side, side]}, {"areas": [1, cells, 4], "found": [1, cells, 2]}, constants)


def test_outputs_are_told_apart_by_their_shape(tmp_path: Path) -> None:
    file = saved(face_like(), tmp_path)

    bundle = import_model(file, family="ssd-face", name="face", labels=["head"], repository=Repository(tmp_path / "m"))

    plain = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    frame = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    planes = ((frame[..., ::-1].astype(np.float32) - 127) / 128).transpose(2, 0, 1)[None]
    areas, found = plain.run(["areas", "found"], {"x": planes})
    order = np.argsort(-found[0, :, 1])
    answer = Session(bundle.model, name="face").run({"frames": frame[None]})
    np.testing.assert_allclose(answer["scores"][0], found[0, order, 1], rtol=1e-5)
    np.testing.assert_allclose(answer["boxes"][0], areas[0, order] * 32, rtol=1e-4)
    assert not answer["class_ids"].any()
    assert bundle.manifest.labels == ("head",)
    assert bundle.manifest.batch.fixed is None


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (face_like(softmax=False), "two scores of a box lie in 0…1 and add up to 1"),
        (face_like(corners=False), "boxes are x1 y1 x2 y2 in 0…1"),
        (face_like(pixels=True), "boxes are x1 y1 x2 y2 in 0…1"),
        (
            model([helper.make_node("Flatten", ["x"], ["y"])], {"x": [1, 3, 8, 8]}, {"y": [1, 192]}),
            r"scores \[boxes, 2\] and boxes \[boxes, 4\]; this model answers y \[192\]",
        ),
    ],
    ids=["logits", "sizes", "pixels", "shape"],
)
def test_what_is_no_such_detector_is_refused(proto: onnx.ModelProto, message: str, tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=message):
        import_model(
            saved(proto, tmp_path),
            family="ssd-face",
            name="face",
            repository=Repository(tmp_path / "m"),
            wishes=Wishes(),
        )


def test_more_labels_than_faces_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="Classes of the model: 1; labels that were given: 2"):
        import_model(
            saved(face_like(), tmp_path),
            family="ssd-face",
            name="face",
            labels=["a", "b"],
            repository=Repository(tmp_path),
        )
