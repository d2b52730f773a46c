from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from model_builders import CELLS, CLASSES, SIDE, doubling, model, saved, yolox_grid, yolox_like
from onnx import TensorProto, helper, numpy_helper

from model_export.agreement import Tolerance, disagreement
from model_export.check import frames, joined, prove_parity
from model_export.conversion import Converted, convert
from model_export.errors import ImportRefused
from model_export.families.family import Reading, Told
from model_export.families.yolox import FAMILY, Yolox, YoloxHead
from model_export.graph import Graph
from model_export.manifest import FrameInput, Resize, TensorSpec
from model_export.onnx_file import read
from model_export.options import Wishes
from model_export.preprocessing import Colour, Layout, Preprocessing
from model_export.session import Session

Arrays = Mapping[str, Any]


def converted(proto: onnx.ModelProto, folder: Path, wishes: Wishes | None = None) -> tuple[Converted, list[str]]:
    said: list[str] = []
    return convert(saved(proto, folder), FAMILY, wishes or Wishes(), said.append), said


def plain_decode(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [84, 4] and scores [84, 3] of one picture, cell by cell."""
    boxes, scores, row = [], [], 0
    for stride in (8, 16, 32):
        for y in range(SIDE // stride):
            for x in range(SIDE // stride):
                dx, dy, dw, dh, sure, *kinds = raw[row].tolist()
                centre, size = ((x + dx) * stride, (y + dy) * stride), (np.exp(dw) * stride, np.exp(dh) * stride)
                boxes.append([c + sign * s / 2 for sign in (-1, 1) for c, s in zip(centre, size, strict=True)])
                scores.append([sure * kind for kind in kinds])
                row += 1
    return np.array(boxes), np.array(scores)


def test_a_yolox_answers_in_standard_outputs_what_its_raw_output_says(tmp_path: Path) -> None:
    untouched = yolox_like()
    done, _ = converted(untouched, tmp_path)
    # Without padding or plain areas, whose cells would score alike.
    picture = np.random.default_rng(5).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)

    answer = Session(done.model, name="m").run({"frames": picture})

    raw = Session(untouched.SerializeToString(), name="u").run(
        {"images": picture.astype(np.float32).transpose(0, 3, 1, 2)}
    )
    boxes, scores = plain_decode(raw["output"][0])
    order = np.argsort(-scores.max(axis=1))
    assert scores.max() > 0.3
    np.testing.assert_allclose(answer["scores"][0], scores.max(axis=1)[order], rtol=1e-5)
    np.testing.assert_allclose(answer["boxes"][0], boxes[order], rtol=1e-4, atol=1e-3)
    assert answer["class_ids"][0].tolist() == scores.argmax(axis=1)[order].tolist()


def test_what_is_declared_is_what_comes(tmp_path: Path) -> None:
    done, _ = converted(yolox_like(), tmp_path)
    session = Session(done.model, name="m")

    assert session.inputs == done.inputs == (TensorSpec(name="frames", dtype="uint8", shape=(None, SIDE, SIDE, 3)),)
    assert session.outputs == done.outputs
    assert done.outputs[0].shape == (None, CELLS, 4)
    assert done.reading.classes == CLASSES


def test_old_models_are_brought_to_opset_17(tmp_path: Path) -> None:
    done, said = converted(yolox_like(opset=11), tmp_path)
    proto = onnx.load_from_string(done.model)

    assert proto.opset_import[0].version == 17
    assert [value.name for value in proto.graph.input] == ["frames"]
    assert "Opset 11 becomes 17." in said


def test_an_old_model_with_functions_of_its_own_is_brought_to_opset_17(tmp_path: Path) -> None:
    plain = yolox_like(opset=13)
    proto, place = yolox_like(opset=13), next(i for i, n in enumerate(plain.graph.node) if n.op_type == "Sigmoid")
    proto.graph.node[place].op_type, proto.graph.node[place].domain = "Squash", "own"
    proto.opset_import.append(helper.make_opsetid("own", 1))
    inner = [helper.make_node("Sigmoid", ["taken"], ["given"])]
    proto.functions.append(
        helper.make_function("own", "Squash", ["taken"], ["given"], inner, [helper.make_opsetid("", 13)])
    )

    done, said = converted(proto, tmp_path)

    assert "Opset 13 becomes 17." in said
    assert done.batch.fixed is None
    assert disagreement(converted(plain, tmp_path)[0].samples[1], done.samples[1], Tolerance(0, 0, 0)) is None


def test_newer_opsets_stay(tmp_path: Path) -> None:
    done, said = converted(yolox_like(opset=19), tmp_path)

    assert onnx.load_from_string(done.model).opset_import[0].version == 19
    assert not any("Opset" in line for line in said)


def test_a_batch_written_into_constants_becomes_free(tmp_path: Path) -> None:
    done, said = converted(yolox_like(batch=1), tmp_path)
    session, pictures = Session(done.model, name="m"), frames(done.spec, 5)

    together = session.run({"frames": pictures})

    alone = joined([session.run({"frames": pictures[i : i + 1]}) for i in range(5)])
    assert done.batch.fixed is None
    assert done.batch.invariant
    assert "Constants that held the size of the batch, rewritten: 3." in said
    assert all(together[name].tobytes() == alone[name].tobytes() for name in together)


def test_a_batch_of_several_becomes_free_too(tmp_path: Path) -> None:
    done, _ = converted(yolox_like(batch=4), tmp_path)

    assert done.batch.fixed is None


def test_a_batch_that_is_declared_free_and_written_into_constants_becomes_free(tmp_path: Path) -> None:
    done, said = converted(yolox_like(batch="n"), tmp_path)

    assert done.batch.fixed is None
    assert any("rewritten: 3" in line for line in said)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_batch_that_cannot_be_free_stays(tmp_path: Path, batch: int) -> None:
    done, said = converted(yolox_like(batch=batch, stuck=True), tmp_path)

    answer = Session(done.model, name="m").run({"frames": frames(done.spec, batch)})

    assert done.batch.fixed == batch
    assert done.inputs[0].shape == (batch, SIDE, SIDE, 3)
    assert done.outputs[1].shape == answer["scores"].shape == (batch, CELLS)
    assert len(done.samples[0]["frames"]) == batch
    assert any(line.startswith(f"The batch stays {batch}; it cannot be free:") for line in said)


def test_declaring_another_shape_is_not_enough_and_parity_says_so(tmp_path: Path) -> None:
    """What a converter does that trusts the declared shapes alone: it loads, and answers for one of three pictures."""
    path = saved(yolox_like(), tmp_path)
    graph = Graph(read(path))
    spec = FrameInput(width=SIDE, height=SIDE)
    graph.put_frames_in_front(spec, Preprocessing(), None)
    naive = graph.seal([TensorSpec(name="net/output", dtype="float32", shape=(None, None, 5 + CLASSES))])
    pictures = frames(spec, 3)
    untouched = Session(path, name="u")
    rows = [untouched.run({"images": Preprocessing().apply(pictures[i : i + 1])}) for i in range(3)]
    expected = {"net/output": joined(rows)["output"]}

    prove_parity(expected, Session(naive, name="the converted model"), {"frames": pictures}, (1,), against="the file")
    with pytest.raises(ImportRefused, match=r"In a batch of 3 .* has shape \[1, 252, 8\] instead of \[3, 84, 8\]"):
        prove_parity(
            expected, Session(naive, name="the converted model"), {"frames": pictures}, (3,), against="the file"
        )


@dataclass(frozen=True)
class Shifted:
    """A head whose two writings differ by a pixel."""

    head: Any

    def append(self, graph: Graph) -> tuple[TensorSpec, ...]:
        return self.head.append(graph)

    def decode(self, raw: Arrays) -> dict[str, Any]:
        said = self.head.decode(raw)
        return said | {"boxes": said["boxes"] + np.float32(1)}


class ShiftedYolox(Yolox):
    def read(self, raw: Arrays, spec: FrameInput, told: Told) -> Reading:
        reading = super().read(raw, spec, told)
        return replace(reading, head=Shifted(reading.head))


def test_answers_that_would_change_are_refused_with_the_difference(tmp_path: Path) -> None:
    path = saved(yolox_like(), tmp_path)

    with pytest.raises(ImportRefused, match=r"In a batch of 1 .* lacks class .* 1 px and 0 in score apart in row 0"):
        convert(path, ShiftedYolox(), Wishes(), lambda line: None)


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(colour=Colour.RGB, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
        Wishes(std=(255.0, 255.0, 255.0), resize=Resize.STRETCH, pad=0),
    ],
    ids=["torchvision", "0…1"],
)
def test_arithmetic_that_is_asked_for_is_done_in_the_graph(tmp_path: Path, wishes: Wishes) -> None:
    done, _ = converted(yolox_like(), tmp_path, wishes)

    assert done.batch.invariant
    assert done.spec.resize is (wishes.resize or Resize.LETTERBOX)
    assert done.spec.pad == (114 if wishes.pad is None else wishes.pad)


def of_bytes() -> onnx.ModelProto:
    """Takes `uint8`, and makes its floats itself."""
    proto = yolox_like()
    proto.graph.node.insert(0, helper.make_node("Cast", ["bytes"], ["images"], to=TensorProto.FLOAT))
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("bytes", TensorProto.UINT8, [1, 3, SIDE, SIDE]))
    return proto


@pytest.mark.parametrize(
    "wishes", [Wishes(mean=(0.0, 0.0, 1.0)), Wishes(std=(255.0, 255.0, 255.0))], ids=["mean", "std"]
)
def test_a_mean_or_std_that_could_not_be_done_to_bytes_is_refused(tmp_path: Path, wishes: Wishes) -> None:
    with pytest.raises(ImportRefused, match=r"'bytes' takes bytes, uint8: nothing can be subtracted") as refused:
        converted(of_bytes(), tmp_path, wishes)

    assert "--mean and --std" in (refused.value.hint or "")


def test_a_mean_and_std_that_change_nothing_are_no_matter_to_bytes(tmp_path: Path) -> None:
    usual, _ = converted(of_bytes(), tmp_path)
    said, _ = converted(of_bytes(), tmp_path, Wishes(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))

    assert said.model == usual.model


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.FLOAT], ids=["half", "single"])
def test_half_precision_is_read(tmp_path: Path, dtype: int) -> None:
    done, _ = converted(yolox_like(dtype=dtype), tmp_path)

    assert {spec.dtype for spec in done.outputs} == {"float32", "int64"}


def test_nodes_may_stand_in_any_order(tmp_path: Path) -> None:
    """The converter to half precision that comes with ONNX Runtime appends its casts at the end."""
    proto = yolox_like()
    nodes = [*reversed(proto.graph.node)]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)

    done, _ = converted(proto, tmp_path)

    assert done.batch.fixed is None


def test_nodes_in_a_circle_are_refused(tmp_path: Path) -> None:
    proto = model(
        [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])], {"x": [1]}, {"b": [1]}
    )

    with pytest.raises(ImportRefused, match="take from each other in a circle"):
        Graph(proto)


def test_a_batch_that_is_free_already_is_left_alone(tmp_path: Path) -> None:
    """A constant that looks as if it held the size of the batch is not rewritten where everything runs without."""
    done, said = converted(yolox_free(), tmp_path)

    assert done.batch.fixed is None
    assert not any("rewritten" in line for line in said)


def yolox_free() -> onnx.ModelProto:
    proto = yolox_like(batch="n")
    for tensor in proto.graph.initializer:
        if tensor.name == "shape":
            tensor.CopyFrom(numpy_helper.from_array(np.array([0, 5 + CLASSES, -1]), "shape"))
    return proto


def test_boxes_that_are_decoded_already_are_not_decoded_again(tmp_path: Path) -> None:
    done, _ = converted(yolox_like(decoded=True), tmp_path)
    raw, _ = converted(yolox_like(), tmp_path)

    assert done.batch.fixed is None
    # The same net, which leaves to the import what the other does itself.
    assert disagreement(raw.samples[1], done.samples[1], Tolerance()) is None


def yolox_answer(offsets: float, logs: Callable[[np.ndarray], np.ndarray], *, decoded: bool) -> Arrays:
    """[1, 84, 8]: centres that lie so far from their cells, in strides, and logarithms of sizes."""
    random, (cells, strides) = np.random.default_rng(4), yolox_grid()
    values = np.empty((1, CELLS, 5 + CLASSES), np.float32)
    values[..., :2], values[..., 2:4] = random.normal(offsets, 0.3, (CELLS, 2)), logs(random.normal(0, 1, (CELLS, 2)))
    if decoded:
        values[..., :2], values[..., 2:4] = (values[..., :2] + cells) * strides, np.exp(values[..., 2:4]) * strides
    values[..., 4:] = random.uniform(0, 1, values[..., 4:].shape)
    return {"output": values}


SPEC = FrameInput(width=SIDE, height=SIDE)


@pytest.mark.parametrize(
    ("logs", "decoded"),
    [
        (lambda noise: np.where(noise > 2, -np.inf, noise), True),
        (lambda noise: noise, True),
        (lambda noise: np.abs(noise) + 0.01, False),
        (lambda noise: noise, False),
    ],
    ids=["a width of 0", "pixels", "all logarithms positive", "strides"],
)
def test_where_centres_lie_says_whether_boxes_are_decoded_whatever_their_sizes(
    logs: Callable[[np.ndarray], np.ndarray], decoded: bool
) -> None:
    raw = yolox_answer(0.5, logs, decoded=decoded)
    head = Yolox().read(raw, SPEC, Told()).head

    assert isinstance(head, YoloxHead)
    assert head.decoded is decoded
    assert np.abs(head.decode(raw)["boxes"]).max() < 10 * SIDE


@pytest.mark.parametrize(
    ("factor", "shift", "message"),
    [
        ([4, 4, 1, 1], 0, "It stays in doubt .* and there are sizes below 0"),
        (1, [40, 40, 0, 0], "It stays in doubt .* strides from their cells if not"),
        (0, 0, "not in pixels of the input: all of them lie in 0…1"),
        (1, [0, 0, 12, 12], "The best box of a drawn picture reaches to .* input of 64x64"),
    ],
    ids=["far off", "pixels with logarithms", "shares", "absurd"],
)
def test_boxes_in_a_unit_that_is_not_clear_are_refused(factor: Any, shift: Any, message: str) -> None:
    raw = yolox_answer(0.5, lambda noise: noise, decoded=False)
    raw["output"][..., :4] = raw["output"][..., :4] * np.array(factor) + np.array(shift)

    with pytest.raises(ImportRefused, match=message) as refused:
        Yolox().read(raw, SPEC, Told())
    assert "Export it as YOLOX does" in (refused.value.hint or "")


def test_channels_may_come_last(tmp_path: Path) -> None:
    proto = yolox_like()
    node = helper.make_node("Transpose", ["hwc"], ["images"], perm=[0, 3, 1, 2])
    proto.graph.node.insert(0, node)
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("hwc", TensorProto.FLOAT, [1, SIDE, SIDE, 3]))

    done, _ = converted(proto, tmp_path)

    assert done.batch.fixed is None
    assert done.spec.width == SIDE


def test_a_size_the_graph_leaves_free_is_the_users(tmp_path: Path) -> None:
    proto = yolox_like()
    for dim in list(proto.graph.input[0].type.tensor_type.shape.dim)[2:]:
        dim.dim_param = "side"

    done, _ = converted(proto, tmp_path, Wishes(size=(SIDE, SIDE)))

    assert (done.spec.width, done.spec.height) == (SIDE, SIDE)


@pytest.mark.parametrize(
    ("proto", "wishes", "message"),
    [
        (yolox_like(), Wishes(size=(32, 32)), "takes pictures of 64x64, not 32x32"),
        (yolox_like(), Wishes(layout=Layout.NHWC), "is not nhwc with 3 channels"),
        (yolox_like(sigmoid=False), Wishes(), r"scores lie in 0…1; this model's do not"),
        (doubling(), Wishes(), "has 2 inputs; this family takes one"),
        (
            model([helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 8]}, {"y": [1, 8]}),
            Wishes(),
            r"'x' is float32 \[1, 8\]; this family takes a picture with 4 axes",
        ),
        (
            model([helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 3, 64, 64]}, {"y": [1, 3, 64, 64]}),
            Wishes(),
            r"YOLOX answers one output \[boxes, 5 \+ classes\]; this model answers y \[3, 64, 64\]",
        ),
        (
            model(
                [helper.make_node("Reshape", ["x", "s"], ["y"])],
                {"x": [1, 3, 64, 64]},
                {"y": [1, 1536, 8]},
                {"s": np.array([1, 1536, 8])},
            ),
            Wishes(),
            "At 64x64 YOLOX answers 84 or 85 boxes, this model 1536",
        ),
        (
            model([helper.make_node("Nonsense", ["x"], ["y"])], {"x": [1, 3, 8, 8]}, {"y": [1, 3, 8, 8]}),
            Wishes(),
            "ONNX Runtime .* cannot load model.onnx: .*Nonsense",
        ),
    ],
    ids=["size", "layout", "logits", "inputs", "axes", "output", "boxes", "operator"],
)
def test_what_is_not_of_the_family_is_refused_in_a_sentence(
    tmp_path: Path, proto: onnx.ModelProto, wishes: Wishes, message: str
) -> None:
    with pytest.raises(ImportRefused, match=message) as refused:
        converted(proto, tmp_path, wishes)
    assert "\n" not in refused.value.message
    assert refused.value.message.endswith(".")
