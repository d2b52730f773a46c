"""Small graphs of convolutions with weights of their own, to be compressed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from model_export.compress import Compression, Score
from model_export.draft import Draft
from model_export.manifest import FrameInput, Precision, State, Task
from model_export.session import Session

SIDE, LABELS, HIDDEN = 16, ("calm", "fight", "flight"), 5
STATE = (
    State(input="memory", output="next_memory", dtype="float32", shape=(HIDDEN,)),
    State(input="count", output="next_count", dtype="float32", shape=(1,)),
)


def conv_graph(*, recurrent: bool = False) -> bytes:
    """Frames through convolutions of 3, 8 and 16 channels to the mean over places, then `probabilities` [B, 3].

    A recurrent one remembers `memory` = tanh(features·W + memory·R), and counts its frames, which nothing depends on.
    """
    nodes = [
        helper.make_node("Transpose", ["frames"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "white"], ["shares"]),
        *_conv("shares", 1, "first"),
        *_conv("first", 2, "second"),
        *_conv("second", 3, "third"),
        helper.make_node("ReduceMean", ["third", "places"], ["features"], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", len(LABELS)])]
    last, width = "features", 16
    if recurrent:
        nodes += [
            helper.make_node("MatMul", ["features", "gate"], ["seen"]),
            helper.make_node("MatMul", ["memory", "again"], ["remembered"], name="remembering"),
            helper.make_node("Add", ["seen", "remembered"], ["both"]),
            helper.make_node("Tanh", ["both"], ["next_memory"]),
            helper.make_node("Add", ["count", "one"], ["counted"]),
            # With a constant that others use too, in single precision or not.
            helper.make_node("Mul", ["counted", "white"], ["many"]),
            helper.make_node("Div", ["many", "white"], ["next_count"]),
        ]
        for one in STATE:
            size = ["batch", *one.shape]
            inputs.append(helper.make_tensor_value_info(one.input, TensorProto.FLOAT, size))
            outputs.append(helper.make_tensor_value_info(one.output, TensorProto.FLOAT, size))
        last, width = "next_memory", HIDDEN
    nodes += [
        helper.make_node("MatMul", [last, "head"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants: dict[str, npt.NDArray[Any]] = {
        "white": np.array(255, np.float32),
        "places": np.array([2, 3], np.int64),
        **{f"weight_{n}": _noise(out, into, 3, 3) for n, into, out in ((1, 3, 8), (2, 8, 16), (3, 16, 16))},
        **{f"bias_{n}": _noise(out) * 0.1 for n, out in ((1, 8), (2, 16), (3, 16))},
        "gate": _noise(16, HIDDEN) * 4,
        "again": _noise(HIDDEN, HIDDEN),
        "one": np.array(1, np.float32),
        "head": _noise(width, len(LABELS)) * 6,
    }
    for at, node in enumerate(nodes):
        node.name = node.name or f"{node.op_type.lower()}_{at}"
    used = {name for node in nodes for name in node.input}
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used]
    graph = helper.make_graph(nodes, "test", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def frames(count: int = 24, steps: int | None = None) -> npt.NDArray[np.uint8]:
    """Noise of another brightness in each, uint8 [count, SIDE, SIDE, 3]; with `steps`, clips of so many."""
    random = np.random.default_rng(5)
    time = () if steps is None else (steps,)
    light = random.integers(30, 256, (count, *time, 1, 1, 3))
    return (random.random((count, *time, SIDE, SIDE, 3)) * light).astype(np.uint8)


def draft(*, recurrent: bool = False) -> Draft:
    size = FrameInput(width=SIDE, height=SIDE)
    return Draft(name="tiny", task=Task.CLASSIFY, input=size, labels=LABELS, state=STATE if recurrent else ())


def faithful(own: Session, samples: npt.NDArray[np.uint8]) -> Any:
    """Judges graphs of pictures: on how many samples they say the same as the model."""
    expected = own.run({"frames": samples})["probabilities"].argmax(1)

    def judge(session: Session) -> Score:
        said = session.run({"frames": samples})["probabilities"].argmax(1)
        return Score("accuracy", float((said == expected).mean()))

    return judge


def compression(judge: Any, calibration: npt.NDArray[np.uint8], **changes: Any) -> Compression:
    usual = {"wanted": (Precision.INT8, Precision.FP16), "calibration": calibration, "judge": judge, "timed_s": 0.0}
    return Compression(**{**usual, **changes})


def _conv(taken: str, number: int, given: str) -> list[onnx.NodeProto]:
    weights = [f"weight_{number}", f"bias_{number}"]
    return [
        helper.make_node("Conv", [taken, *weights], [f"sum_{number}"], pads=[1, 1, 1, 1], name=f"conv_{number}"),
        helper.make_node("Relu", [f"sum_{number}"], [given]),
    ]


def _noise(*shape: int) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(sum(shape))
    return (random.standard_normal(shape) / np.sqrt(max(np.prod(shape[1:]), 1))).astype(np.float32)
