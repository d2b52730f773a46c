"""A small recurrent model as a bundle: convolutions, a GRU over them, three probabilities. Its weights are noise."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from model_export.bundle import Bundle
from model_export.manifest import FrameInput, Manifest, Provenance, State, Task, TensorSpec

SIDE = 64
_FEATURES, _HIDDEN, _CLASSES = 256, 256, 3


def write(to: Path) -> Bundle:
    """The bundle `gru`, version 1, in a repository's folder."""
    manifest = Manifest(
        name="gru",
        version=1,
        task=Task.CLASSIFY,
        family="raw",
        input=FrameInput(width=SIDE, height=SIDE),
        inputs=(
            TensorSpec(name="frames", dtype="uint8", shape=(None, SIDE, SIDE, 3)),
            TensorSpec(name="state", dtype="float32", shape=(None, _HIDDEN)),
        ),
        outputs=(
            TensorSpec(name="probabilities", dtype="float32", shape=(None, _CLASSES)),
            TensorSpec(name="next_state", dtype="float32", shape=(None, _HIDDEN)),
        ),
        state=(State(input="state", output="next_state", dtype="float32", shape=(_HIDDEN,)),),
        provenance=Provenance(tool="benchmarks"),
    )
    return Bundle.write(to / "gru" / "1", manifest, {"model.onnx": _graph().SerializeToString()})


def _graph() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["frames"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "white"], ["shares"]),
        helper.make_node("Transpose", ["shares"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "conv_1"], ["coarse"], strides=[8, 8]),
        helper.make_node("Relu", ["coarse"], ["coarse_up"]),
        helper.make_node("Conv", ["coarse_up", "conv_2"], ["whole"], strides=[8, 8]),
        helper.make_node("Relu", ["whole"], ["whole_up"]),
        helper.make_node("Reshape", ["whole_up", "one_step"], ["features"]),
        helper.make_node("Unsqueeze", ["state", "first"], ["before"]),
        helper.make_node("GRU", ["features", "gru_w", "gru_r", "", "", "before"], ["", "after"], hidden_size=_HIDDEN),
        helper.make_node("Squeeze", ["after", "first"], ["next_state"]),
        helper.make_node("MatMul", ["next_state", "head"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants: dict[str, npt.NDArray[Any]] = {
        "white": np.array(255, np.float32),
        "conv_1": _noise(16, 3, 8, 8),
        "conv_2": _noise(_FEATURES, 16, 8, 8),
        "one_step": np.array([1, -1, _FEATURES], np.int64),
        "first": np.array([0], np.int64),
        "gru_w": _noise(1, 3 * _HIDDEN, _FEATURES),
        "gru_r": _noise(1, 3 * _HIDDEN, _HIDDEN),
        "head": _noise(_HIDDEN, _CLASSES),
    }
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "gru",
        [
            helper.make_tensor_value_info("frames", TensorProto.UINT8, ["B", SIDE, SIDE, 3]),
            helper.make_tensor_value_info("state", floats, ["B", _HIDDEN]),
        ],
        [
            helper.make_tensor_value_info("probabilities", floats, ["B", _CLASSES]),
            helper.make_tensor_value_info("next_state", floats, ["B", _HIDDEN]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _noise(*shape: int) -> npt.NDArray[np.float32]:
    """Weights of which a sum over all but the first axis varies by about 1."""
    values = np.random.default_rng(sum(shape)).standard_normal(shape)
    return (values / math.sqrt(math.prod(shape[1:]))).astype(np.float32)
