from typing import Any

import numpy as np
import onnx
import pytest
from model_builders import model
from onnx import helper

from model_export.batching import free_batch
from model_export.graph import Graph
from model_export.manifest import FrameInput, TensorSpec
from model_export.preprocessing import Preprocessing
from model_export.session import Session

SIZE = (8, 4)
X = {"x": [1, 3, 4, 8]}


def reshape(*sizes: list[int], **attributes: Any) -> onnx.ModelProto:
    """A chain of reshapes."""
    nodes = [
        helper.make_node("Reshape", [f"t{i}" if i else "x", f"s{i}"], [f"t{i + 1}"], **attributes)
        for i in range(len(sizes))
    ]
    nodes.append(helper.make_node("Identity", [f"t{len(sizes)}"], ["y"]))
    return model(nodes, X, {"y": sizes[-1]}, {f"s{i}": np.array(size) for i, size in enumerate(sizes)})


def resized() -> onnx.ModelProto:
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="nearest")
    return model([node], X, {"y": [1, 3, 8, 16]}, {"sizes": np.array([1, 3, 8, 16])})


def from_constant_nodes() -> onnx.ModelProto:
    constant = helper.make_node("Constant", [], ["s"], value=onnx.numpy_helper.from_array(np.array([1, -1])))
    return model([constant, helper.make_node("Reshape", ["x", "s"], ["y"])], X, {"y": [1, 96]})


def from_constant_numbers() -> onnx.ModelProto:
    """Constants that are said as numbers and not as tensors."""
    nodes = [
        helper.make_node("Constant", [], ["s"], value_ints=[1, -1]),
        helper.make_node("Constant", [], ["one"], value_int=1),
        helper.make_node("Constant", [], ["scales"], value_floats=[1.0] * 96),
        helper.make_node("Constant", [], ["half"], value_float=0.5),
        helper.make_node("Reshape", ["x", "s"], ["flat"]),
        helper.make_node("Mul", ["flat", "scales"], ["scaled"]),
        helper.make_node("Mul", ["scaled", "half"], ["less"]),
        helper.make_node("CumSum", ["less", "one"], ["y"]),
    ]
    return model(nodes, X, {"y": [1, 96]})


def attention() -> onnx.ModelProto:
    """Sequence first, as PyTorch's attention has it: (L, B, heads * width) → (L, B * heads, width) → back."""
    nodes = [
        helper.make_node("Reshape", ["x", "s0"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["sequence"], perm=[1, 0, 2]),
        helper.make_node("Reshape", ["sequence", "s1"], ["heads"]),
        helper.make_node("Transpose", ["heads"], ["by_head"], perm=[1, 0, 2]),
        helper.make_node("Softmax", ["by_head"], ["soft"], axis=-1),
        helper.make_node("Transpose", ["soft"], ["again"], perm=[1, 0, 2]),
        helper.make_node("Reshape", ["again", "s2"], ["merged"]),
        helper.make_node("Transpose", ["merged"], ["y"], perm=[1, 0, 2]),
    ]
    constants = {"s0": np.array([1, 12, 8]), "s1": np.array([12, 2, 4]), "s2": np.array([12, 1, 8])}
    return model(nodes, X, {"y": [1, 12, 8]}, constants)


def merged_behind() -> onnx.ModelProto:
    """The batch axis, moved behind another, is merged into it."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2, 3]),
        helper.make_node("Reshape", ["turned", "s0"], ["flat"]),
        helper.make_node("Reshape", ["flat", "s1"], ["split"]),
        helper.make_node("Transpose", ["split"], ["y"], perm=[1, 0, 2]),
    ]
    return model(nodes, X, {"y": [1, 3, 32]}, {"s0": np.array([3, 32]), "s1": np.array([3, 1, 32])})


@pytest.mark.parametrize(
    ("proto", "rewritten"),
    [
        (reshape([1, 3, -1]), 1),
        (reshape([1, -1, 8], [1, 3, 4, 8], [1, 96]), 3),
        (reshape([3, 32], [1, 96]), 2),
        (reshape([-1, 96]), 0),
        (reshape([0, -1], [1, 3, 32]), 2),
        (resized(), 1),
        (from_constant_nodes(), 1),
        (from_constant_numbers(), 1),
        (attention(), 3),
        (merged_behind(), 2),
    ],
    ids=[
        "kept",
        "chain",
        "merged",
        "already free",
        "zero",
        "resize",
        "constant node",
        "constant numbers",
        "attention",
        "merged behind",
    ],
)
def test_a_graph_for_one_picture_answers_for_several_as_for_each(proto: onnx.ModelProto, rewritten: int) -> None:
    graph = Graph(proto)

    assert free_batch(graph, 1, (3, SIZE[1], SIZE[0])) == rewritten

    spec = FrameInput(width=SIZE[0], height=SIZE[1])
    graph.put_frames_in_front(spec, Preprocessing(), None)
    result = TensorSpec(name="net/y", dtype="float32", shape=(None, *graph.results[0].shape[1:]))
    session = Session(graph.seal([result]), name="freed")
    pictures = np.random.default_rng(3).integers(0, 256, (3, SIZE[1], SIZE[0], 3), np.uint8)
    together = session.run({"frames": pictures})["net/y"]
    untouched = Session(proto.SerializeToString(), name="untouched")
    for index in range(3):
        alone = untouched.run({"x": Preprocessing().apply(pictures[index : index + 1])})["y"]
        assert together[index : index + 1].tobytes() == alone.tobytes()


def test_a_constant_that_others_share_stays_for_them() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "s"], ["a"]),
        helper.make_node("Reshape", ["w", "s"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    proto = model(nodes, X, {"y": [1, 96]}, {"s": np.array([1, 96]), "w": np.zeros((96,), np.float32)})
    graph = Graph(proto)

    assert free_batch(graph, 1, (3, SIZE[1], SIZE[0])) == 1
    assert graph.model.graph.node[1].input[1] == "net/s"
