from pathlib import Path

import numpy as np
import onnx
import pytest
from model_builders import model, saved
from onnx import TensorProto, helper
from wicked_builders import pointing_to, with_weights_beside

from model_export.errors import ImportRefused
from model_export.manifest import Precision
from model_export.onnx_file import external_files, precision, read, read_skeleton


def test_weights_beside_the_model_are_read(tmp_path: Path) -> None:
    path = with_weights_beside(tmp_path)

    assert external_files(read_skeleton(path), path) == ("weights.bin",)
    assert len(read(path).graph.initializer[0].raw_data) == 4 * 512


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "sub/../../secret.bin", ""])
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(4096))
    path = pointing_to(with_weights_beside(folder), location)

    with pytest.raises(ImportRefused, match="outside its own folder"):
        read(path)


def test_weights_behind_a_link_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = with_weights_beside(folder)
    (folder / "weights.bin").rename(tmp_path / "secret.bin")
    (folder / "weights.bin").symlink_to(tmp_path / "secret.bin")

    with pytest.raises(ImportRefused, match="outside its own folder"):
        read(path)


def test_weights_in_an_inner_graph_are_seen(tmp_path: Path) -> None:
    outer = with_weights_beside(tmp_path)
    inner = pointing_to(outer, "../secret.bin")
    branch = onnx.load_model(inner, load_external_data=False).graph
    del branch.input[:]
    node = helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)
    path = saved(model([node], {"yes": [1]}, {"y": [1, 512]}), tmp_path, "outer.onnx")

    with pytest.raises(ImportRefused, match="outside its own folder"):
        read(path)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    path = with_weights_beside(tmp_path)
    (tmp_path / "weights.bin").unlink()

    with pytest.raises(ImportRefused, match=r"'weights\.bin', which is not there"):
        read(path)


@pytest.mark.parametrize("content", [b"text", b"", b"\x00" * 100], ids=["text", "empty", "zeros"])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)

    with pytest.raises(ImportRefused, match=r"model\.onnx (is not an ONNX file|holds no ONNX graph)"):
        read(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="cannot be read: No such file"):
        read(tmp_path / "absent.onnx")


def weighing(kind: str, count: int = 4096) -> onnx.ModelProto:
    """A graph with so many weights of this kind, and one number of single precision."""
    nodes = [
        helper.make_node("Cast", ["w"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "b"], ["y"]),
    ]
    constants = {"w": np.zeros(count, kind), "b": np.zeros(1, np.float32)}
    return model(nodes, {"x": [1]}, {"y": [1]}, constants)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("f4", "fp32"), ("f2", "fp16"), ("i1", "int8"), ("u1", "int8"), ("f8", "fp32"), ("i8", "fp32")],
)
def test_the_precision_is_that_of_most_weights(kind: str, expected: str) -> None:
    assert precision(weighing(kind)) == expected


def test_weights_that_are_rounded_before_use_count_as_rounded() -> None:
    """As trainers that know of quantisation, and mixed precision, export them."""
    half, eight = weighing("f4"), weighing("f4")
    half.graph.node[0].CopyFrom(helper.make_node("Cast", ["w"], ["narrow"], to=TensorProto.FLOAT16))
    eight.graph.node[0].CopyFrom(helper.make_node("QuantizeLinear", ["w", "b"], ["narrow"]))

    assert precision(half) is Precision.FP16
    assert precision(eight) is Precision.INT8


def test_a_graph_without_weights_has_the_precision_of_its_input() -> None:
    relu = [helper.make_node("Relu", ["x"], ["y"])]

    assert precision(model(relu, {"x": [1]}, {"y": [1]})) is Precision.FP32
    assert precision(model(relu, {"x": [1]}, {"y": [1]}, dtype=TensorProto.FLOAT16)) is Precision.FP16


def test_weights_beside_the_model_count_without_being_read(tmp_path: Path) -> None:
    assert precision(read_skeleton(with_weights_beside(tmp_path))) is Precision.FP32
