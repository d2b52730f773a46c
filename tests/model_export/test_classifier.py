"""Classifiers of every kind of output, against a decode that is written here anew."""

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from model_builders import PICTURE, classifier_like, model, saved
from onnx import TensorProto, helper, numpy_helper

from model_export.bundle import Bundle
from model_export.errors import ImportRefused
from model_export.geometry import fit
from model_export.importer import import_model
from model_export.manifest import Precision, Resize, Task
from model_export.options import Wishes
from model_export.pictures import draw
from model_export.predictions import Classes, read_outputs
from model_export.repository import Repository
from model_export.session import Session

Frame = npt.NDArray[np.uint8]

LABELS = ("day", "night", "rain", "snow")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def brought_in(proto: onnx.ModelProto, folder: Path, **wishes: Any) -> tuple[Bundle, list[str]]:
    said: list[str] = []
    bundle = import_model(
        saved(proto, folder),
        family="classifier",
        name="weather",
        repository=Repository(folder / "models"),
        wishes=Wishes(**wishes),
        say=said.append,
    )
    return bundle, said


def numbers_of(proto: onnx.ModelProto, frame: Frame) -> list[float]:
    """The model's own answer: the middle square, shrunk, as torchvision normalises."""
    side = min(frame.shape[:2])
    top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
    square = cv2.resize(frame[top : top + side, left : left + side], (PICTURE, PICTURE), interpolation=cv2.INTER_AREA)
    values = (square[..., ::-1].astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    takes = session.get_inputs()[0]
    copies = takes.shape[0] if isinstance(takes.shape[0], int) else 1
    planes = np.repeat(values.transpose(2, 0, 1)[None], copies, axis=0)
    half = takes.type == "tensor(float16)"
    answer = session.run(None, {takes.name: planes.astype("f2" if half else "f4")})[0][0]
    return [float(value) for value in answer.ravel()]


def softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(value - max(logits)) for value in logits]
    return [power / sum(powers) for power in powers]


def sigmoid(logits: list[float]) -> list[float]:
    return [1 / (1 + math.exp(-value)) for value in logits]


def as_they_are(numbers: list[float]) -> list[float]:
    return numbers


@pytest.mark.parametrize(
    "options",
    [{}, {"batch": 4}, {"batch": "n"}, {"batch": 4, "stuck": True}, {"maps": True}],
    ids=["one", "four", "free", "stuck", "maps"],
)
@pytest.mark.parametrize(
    ("last", "multi_label", "decode"),
    [
        ("Identity", False, softmax),
        ("LogSoftmax", False, softmax),
        ("Softmax", False, as_they_are),
        ("Identity", True, sigmoid),
        ("Sigmoid", True, as_they_are),
    ],
)
def test_probabilities_are_those_of_a_plain_decode(
    last: str, multi_label: bool, decode: Any, options: dict[str, Any], tmp_path: Path
) -> None:
    proto = classifier_like(last, **options)
    bundle, _ = brought_in(proto, tmp_path, multi_label=multi_label)
    spec, session = bundle.manifest.input, Session(bundle.model, name="weather")
    assert spec is not None
    frames = [*draw(2, 160, 96, seed=1), *draw(2, 96, 128, seed=2)]

    outputs = session.run({"frames": np.stack([fit(frame, spec) for frame in frames])})

    for row, frame in enumerate(frames):
        read = read_outputs(bundle.manifest, {name: value[row] for name, value in outputs.items()})
        assert isinstance(read, Classes)
        expected = decode(numbers_of(proto, frame))
        np.testing.assert_allclose(read.probabilities, expected, atol=1e-5)
        assert max(expected) - min(expected) > 0.1
    assert bundle.manifest.batch.fixed == (4 if "stuck" in options else None)
    assert bundle.manifest.multi_label is multi_label
    assert (bundle.manifest.thresholds.confidence == 0.5) is multi_label


def test_half_precision_answers_alike_but_for_rounding(tmp_path: Path) -> None:
    proto = classifier_like(dtype=TensorProto.FLOAT16)
    bundle, _ = brought_in(proto, tmp_path)
    frame = draw(1, 160, 96, seed=1)[0]
    assert bundle.manifest.input is not None

    answer = Session(bundle.model, name="weather").run({"frames": fit(frame, bundle.manifest.input)[None]})

    assert bundle.manifest.precision is Precision.FP16
    assert answer["probabilities"].dtype == np.float32
    np.testing.assert_allclose(answer["probabilities"][0], softmax(numbers_of(proto, frame)), atol=0.01)


def test_frames_are_cropped_unless_they_shall_be_stretched(tmp_path: Path) -> None:
    usual, _ = brought_in(classifier_like(), tmp_path)
    other, _ = brought_in(classifier_like(), tmp_path, resize=Resize.STRETCH)

    assert usual.manifest.task is Task.CLASSIFY
    assert usual.manifest.input is not None
    assert other.manifest.input is not None
    assert (usual.manifest.input.resize, usual.manifest.input.interpolation) == (Resize.CROP, "area")
    assert other.manifest.input.resize is Resize.STRETCH


@pytest.mark.parametrize(
    ("last", "multi_label", "remark"),
    [
        ("Identity", False, "Its outputs are logits; they get a softmax."),
        ("Identity", True, "Its outputs are logits; each gets a sigmoid."),
        ("Softmax", False, "Its outputs are probabilities already: they add up to 1."),
        ("Sigmoid", True, "Its outputs are probabilities already: they lie in 0…1."),
    ],
)
def test_what_was_found_out_is_said(last: str, multi_label: bool, remark: str, tmp_path: Path) -> None:
    assert remark in brought_in(classifier_like(last), tmp_path, multi_label=multi_label)[1]


@pytest.mark.parametrize(
    ("proto", "multi_label", "message"),
    [
        (classifier_like("Sigmoid"), False, "4 outputs do not exclude each other.*Say --multi-label"),
        (classifier_like("Identity", classes=1), False, "1 outputs do not exclude each other.*Say --multi-label"),
        (classifier_like("Softmax"), True, "add up to 1, so its classes exclude each other.*Leave --multi-label out"),
        (classifier_like("Sqrt", shift=-100), False, "answers NaN or infinity"),
        (
            model([helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 3, 8, 8]}, {"y": [1, 3, 8, 8]}),
            False,
            r"answers one output \[classes\]; this model answers y \[3, 8, 8\]",
        ),
    ],
    ids=["sigmoid", "one", "softmax", "nan", "maps"],
)
def test_what_cannot_be_read_for_sure_is_refused(
    proto: onnx.ModelProto, multi_label: bool, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ImportRefused) as refused:
        brought_in(proto, tmp_path, multi_label=multi_label)
    refused.match(message)


def test_a_branch_that_the_whole_batch_chooses_keeps_the_batch_at_one(tmp_path: Path) -> None:
    """Drawn pictures are all bright somewhere, so all of them choose the same."""

    def times(factor: float) -> onnx.GraphProto:
        given = helper.make_tensor_value_info(f"times_{factor}", TensorProto.FLOAT, None)
        constant = numpy_helper.from_array(np.float32(factor), f"factor_{factor}")
        node = helper.make_node("Mul", ["x", f"factor_{factor}"], [f"times_{factor}"])
        return helper.make_graph([node], "branch", [], [given], [constant])

    proto = classifier_like(batch="n")
    proto.graph.node[0].input[0] = "chosen"
    branch = helper.make_node("If", ["bright"], ["chosen"], then_branch=times(1.0), else_branch=times(2.0))
    proto.graph.node.insert(0, branch)
    proto.graph.node.insert(0, helper.make_node("Greater", ["brightest", "grey"], ["bright"]))
    proto.graph.node.insert(0, helper.make_node("ReduceMax", ["x"], ["brightest"], keepdims=0))
    proto.graph.initializer.append(numpy_helper.from_array(np.float32(0), "grey"))
    # Else black and white would be so certain that nothing shows in their probabilities.
    gain = next(tensor for tensor in proto.graph.initializer if tensor.name == "gain")
    gain.CopyFrom(numpy_helper.from_array(np.float32(0.1), "gain"))

    bundle, said = brought_in(proto, tmp_path)

    assert bundle.manifest.batch.fixed == 1
    assert any("depends on its place in a batch of 3, or on the others there" in line for line in said)


def test_labels_are_counted(tmp_path: Path) -> None:
    file, repository = saved(classifier_like(), tmp_path), Repository(tmp_path / "models")

    assert (
        import_model(file, family="classifier", name="weather", labels=LABELS, repository=repository).manifest.labels
        == LABELS
    )
    with pytest.raises(ImportRefused, match="Classes of the model: 4; labels that were given: 3"):
        import_model(file, family="classifier", name="weather", labels=LABELS[:3], repository=repository)
    with pytest.raises(ImportRefused, match="nothing to suppress"):
        import_model(file, family="classifier", name="weather", repository=repository, wishes=Wishes(iou=0.5))
