"""Files that try to do harm, and the innocent ones that they are made from."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import onnx
from model_builders import model
from onnx import TensorProto, helper


def with_weights_beside(folder: Path) -> Path:
    """A model whose weights lie in `weights.bin` beside it, nothing else with them."""
    proto = model(
        [helper.make_node("Add", ["x", "w"], ["y"])], {"x": [1, 512]}, {"y": [1, 512]}, {"w": np.ones(512, np.float32)}
    )
    path = folder / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    onnx.save_model(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=16)
    return path


def pointing_to(path: Path, location: str) -> Path:
    """The same model, with its weights said to lie elsewhere."""
    proto = onnx.load_model(path, load_external_data=False)
    for entry in proto.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    path.write_bytes(proto.SerializeToString())
    return path


def crashing() -> onnx.ModelProto:
    """A graph that ends its process on x86: the smallest number divided by -1 has no answer."""
    nodes = [helper.make_node("Div", ["a", "b"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    numbers = {"a": np.array([-(2**63)]), "b": np.array([-1])}
    proto = model(nodes, {"x": [1]}, {"y": [1]}, numbers, dtype=TensorProto.INT64)
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    return proto


def endless() -> onnx.ModelProto:
    """A graph that does not end."""
    number = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Identity", ["v"], ["v_out"])],
        "body",
        [number("i", TensorProto.INT64, []), number("go", TensorProto.BOOL, []), number("v", TensorProto.FLOAT, [1])],
        [number("go_on", TensorProto.BOOL, []), number("v_out", TensorProto.FLOAT, [1])],
    )
    loop = helper.make_node("Loop", ["n", "yes", "x"], ["y"], body=body)
    return model([loop], {"x": [1]}, {"y": [1]}, {"n": np.array(2**62), "yes": np.array(True)})


def greedy() -> onnx.ModelProto:
    """A graph that wants 16 GB."""
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"]),
        helper.make_node("ReduceSum", ["c"], ["d"], keepdims=0),
        helper.make_node("Add", ["x", "d"], ["y"]),
    ]
    return model(nodes, {"x": [1]}, {"y": [1]}, {"s": np.array([1 << 12, 1 << 20])})


def zipped(folder: Path, path: Path, **instead: bytes) -> Path:
    """A folder as zip; `instead` replaces the content of files, by their names with a `_` for the dot."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                name = file.relative_to(folder).as_posix()
                archive.writestr(name, instead.get(name.replace(".", "_"), file.read_bytes()))
    return path


def with_entry(path: Path, entry: str | zipfile.ZipInfo, content: bytes = b"evil") -> Path:
    """A zip with one entry more."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, content)
    return path


def a_link(name: str = "passwd") -> zipfile.ZipInfo:
    """An entry that is a symbolic link."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o120777 << 16
    return entry


def bomb(path: Path) -> Path:
    """A zip that unpacks to a thousand times its size."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.onnx", bytes(64 << 20))
    return path
