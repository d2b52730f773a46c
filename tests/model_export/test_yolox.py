"""YOLOX-Nano on real frames, against a decode that is written here anew."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest

from model_export.bundle import Bundle
from model_export.errors import ImportRefused
from model_export.geometry import fit, place, to_source
from model_export.importer import import_model
from model_export.options import read_labels
from model_export.predictions import Detections, read_outputs
from model_export.repository import Repository
from model_export.session import Session

pytestmark = pytest.mark.data

Frame = npt.NDArray[np.uint8]
Found = list[tuple[int, float, tuple[float, float, float, float]]]

VIDEOS = {"car-detection.mp4": 14, "street.mp4": 12, "vtest.avi": 12, "road-1.avi": 12}
SIDE = 416


def frames_of(video: Path, count: int) -> Iterator[Frame]:
    """Every 20th frame."""
    capture = cv2.VideoCapture(str(video))
    try:
        while count:
            for _ in range(20):
                assert capture.grab()
            yield capture.retrieve()[1]
            count -= 1
    finally:
        capture.release()


@pytest.fixture(scope="module")
def frames(shared_data: Path) -> list[Frame]:
    found = [frame for name, count in VIDEOS.items() for frame in frames_of(shared_data / "videos" / name, count)]
    assert len(found) == 50
    return found


@pytest.fixture(scope="module")
def bundle(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return import_model(
        shared_data / "onnx" / "yolox_nano.onnx",
        family="yolox",
        name="yolox-nano",
        labels=read_labels(shared_data / "onnx" / "coco.names"),
        repository=Repository(tmp_path_factory.mktemp("models")),
    )


@pytest.fixture(scope="module")
def session(bundle: Bundle) -> Session:
    return Session(bundle.model, name="yolox-nano")


@pytest.fixture(scope="module")
def plain(shared_data: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    path = str(shared_data / "onnx" / "yolox_nano.onnx")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def found_plainly(model: ort.InferenceSession, frame: Frame) -> Found:
    """Letterbox, run, decode cell by cell, suppress pair by pair: (class, score, box in pixels of the frame)."""
    ratio = min(SIDE / frame.shape[0], SIDE / frame.shape[1])
    wide, high = round(frame.shape[1] * ratio), round(frame.shape[0] * ratio)
    picture = np.full((SIDE, SIDE, 3), 114, np.uint8)
    picture[:high, :wide] = cv2.resize(frame, (wide, high), interpolation=cv2.INTER_LINEAR)
    raw = model.run(None, {"images": picture.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]

    candidates: Found = []
    row = 0
    for stride in (8, 16, 32):
        for y in range(SIDE // stride):
            for x in range(SIDE // stride):
                values = raw[row]
                row += 1
                kind = int(np.argmax(values[5:]))
                score = float(values[4] * values[5 + kind])
                if score < 0.25:
                    continue
                cx, cy = (x + float(values[0])) * stride, (y + float(values[1])) * stride
                w, h = float(np.exp(values[2])) * stride, float(np.exp(values[3])) * stride
                box = [(cx - w / 2) / ratio, (cy - h / 2) / ratio, (cx + w / 2) / ratio, (cy + h / 2) / ratio]
                candidates.append((kind, score, (box[0], box[1], box[2], box[3])))
    assert row == len(raw)

    kept: Found = []
    for candidate in sorted(candidates, key=lambda one: -one[1]):
        if all(other[0] != candidate[0] or overlap(other[2], candidate[2]) <= 0.45 for other in kept):
            kept.append(candidate)
    width, height = frame.shape[1], frame.shape[0]
    return [
        (kind, score, (max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)))
        for kind, score, (x1, y1, x2, y2) in kept
    ]


def overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_the_imported_model_finds_what_a_plain_decode_finds(
    bundle: Bundle, session: Session, plain: ort.InferenceSession, frames: list[Frame]
) -> None:
    spec = bundle.manifest.input
    assert spec is not None
    objects = 0
    for frame in frames:
        outputs = session.run({"frames": fit(frame, spec)[None]})
        found = read_outputs(bundle.manifest, {name: value[0] for name, value in outputs.items()})
        assert isinstance(found, Detections)
        boxes = to_source(found.xyxy, place(spec, frame.shape[1], frame.shape[0]))
        expected = found_plainly(plain, frame)

        assert found.class_ids.tolist() == [kind for kind, _, _ in expected]
        np.testing.assert_allclose(found.scores, [score for _, score, _ in expected], atol=1e-3)
        np.testing.assert_allclose(boxes, np.reshape([box for _, _, box in expected], (-1, 4)), atol=0.5)
        objects += len(expected)
    assert objects > 100


def test_a_frame_has_the_same_bits_whatever_shares_its_batch(
    bundle: Bundle, session: Session, frames: list[Frame]
) -> None:
    spec = bundle.manifest.input
    assert spec is not None
    pictures = np.stack([fit(frame, spec) for frame in frames[::3]])
    alone = [session.run({"frames": picture[None]}) for picture in pictures]

    for size in (2, 3, 8):
        for start in range(0, len(pictures) - size, size):
            together = session.run({"frames": pictures[start : start + size]})
            for row in range(size):
                for name, value in together.items():
                    assert value[row : row + 1].tobytes() == alone[start + row][name].tobytes()


def test_its_batch_is_free_and_invariant(bundle: Bundle) -> None:
    assert bundle.manifest.batch.fixed is None
    assert bundle.manifest.batch.invariant
    assert bundle.manifest.outputs[0].shape == (None, 1000, 4)
    assert bundle.manifest.label(2) == "car"


def test_another_family_of_detector_is_refused(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=r"this model answers scores \[4420, 2\], boxes \[4420, 4\]"):
        import_model(
            shared_data / "onnx" / "face_rfb320.onnx", family="yolox", name="face", repository=Repository(tmp_path)
        )


def test_a_graph_of_opset_9_with_constants_among_its_inputs_is_served_untouched(
    shared_data: Path, tmp_path: Path
) -> None:
    bundle = import_model(
        shared_data / "onnx" / "face_rfb320.onnx", family="raw", name="face", repository=Repository(tmp_path)
    )

    assert [spec.shape for spec in bundle.manifest.inputs] == [(1, 3, 240, 320)]
    assert bundle.manifest.batch.fixed == 1
