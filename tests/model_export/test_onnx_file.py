from pathlib import Path

import numpy as np
import onnx
import pytest
from model_builders import model, saved
from onnx import helper

from model_export.errors import ImportRefused
from model_export.onnx_file import external_files, read, read_skeleton


def with_weights_beside(folder: Path) -> Path:
    """A model whose weights lie in `weights.bin` beside it."""
    proto = model(
        [helper.make_node("Add", ["x", "w"], ["y"])], {"x": [1, 512]}, {"y": [1, 512]}, {"w": np.ones(512, np.float32)}
    )
    path = folder / "model.onnx"
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
