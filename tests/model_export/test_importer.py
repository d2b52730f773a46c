import importlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from model_builders import doubling, model, saved, yolox_like
from onnx import TensorProto, helper

from model_export import golden
from model_export.bundle import sha256_of
from model_export.check import check_bundle
from model_export.errors import BundleInvalid, GoldenMismatch, ImportRefused, ManifestInvalid, ModelExists, TaskDiffers
from model_export.families import FAMILIES, FamilyName
from model_export.importer import import_model
from model_export.manifest import Batch, Precision, Task, TensorSpec
from model_export.options import Wishes, read_labels
from model_export.preprocessing import Colour
from model_export.repository import Repository

LABELS = ("car", "bus", "person")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "models")


def test_an_imported_model_is_in_the_repository_with_all_that_the_server_needs(
    tmp_path: Path, repository: Repository
) -> None:
    file = saved(yolox_like(), tmp_path, "net.onnx")

    import_model(file, family="yolox", name="tiny", repository=repository, labels=LABELS)

    bundle = repository.resolve("tiny")
    manifest = bundle.manifest
    assert manifest.id == "tiny@1"
    assert manifest.task is Task.DETECT
    assert manifest.labels == LABELS
    assert manifest.suppression is not None
    assert manifest.provenance.source == "net.onnx"
    assert manifest.provenance.source_sha256 == sha256_of(file)
    assert bundle.golden is not None
    assert len(golden.read(bundle.golden).inputs["frames"]) == 2
    assert check_bundle(bundle)[-1] == "rows are bit-identical in batches of 1, 2, 4, 8"


def test_the_same_file_gives_the_same_bytes(tmp_path: Path, repository: Repository) -> None:
    file = saved(yolox_like(), tmp_path, "net.onnx")

    one = import_model(file, family="yolox", name="tiny", repository=repository)
    two = import_model(file, family="yolox", name="tiny", repository=repository)

    assert (one.manifest.version, two.manifest.version) == (1, 2)
    assert one.manifest.files == two.manifest.files


def test_the_number_of_labels_must_be_that_of_the_classes(tmp_path: Path, repository: Repository) -> None:
    file = saved(yolox_like(), tmp_path)

    with pytest.raises(ImportRefused, match="Classes of the model: 3; labels that were given: 2"):
        import_model(file, family="yolox", name="tiny", repository=repository, labels=("a", "b"))
    assert repository.names() == ()


def test_a_version_that_is_there_is_refused_before_any_work(tmp_path: Path, repository: Repository) -> None:
    file = saved(doubling(), tmp_path, "d.onnx")
    import_model(file, family="raw", name="d", repository=repository, version=3)

    with pytest.raises(ModelExists, match="d@3 is there already"):
        import_model(file, family="raw", name="d", repository=repository, version=3)
    assert import_model(file, family="raw", name="d", repository=repository).manifest.version == 4


def test_a_family_with_a_dash_in_its_name_is_found(tmp_path: Path, repository: Repository) -> None:
    with pytest.raises(ImportRefused, match=r"scores \[boxes, 2\] and boxes \[boxes, 4\]"):
        import_model(saved(yolox_like(), tmp_path), family="ssd-face", name="face", repository=repository)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_has_its_module(family: FamilyName) -> None:
    assert importlib.import_module(f"model_export.families.{family.value.replace('-', '_')}")


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.FLOAT], ids=["half", "single"])
@pytest.mark.parametrize("family", ["yolox", "raw"])
def test_the_manifest_says_how_precise_the_weights_are(
    tmp_path: Path, repository: Repository, family: str, dtype: int
) -> None:
    bundle = import_model(saved(yolox_like(dtype=dtype), tmp_path), family=family, name="tiny", repository=repository)

    assert bundle.manifest.precision is (Precision.FP16 if dtype == TensorProto.FLOAT16 else Precision.FP32)
    check_bundle(bundle)


@pytest.mark.parametrize("name", ["Tiny", "../tiny", "", "tiny model"])
def test_what_is_no_name_is_refused(tmp_path: Path, repository: Repository, name: str) -> None:
    with pytest.raises(ManifestInvalid):
        import_model(saved(doubling(), tmp_path), family="raw", name=name, repository=repository)


def test_an_unknown_family_is_refused_with_those_there_are(tmp_path: Path, repository: Repository) -> None:
    with pytest.raises(ImportRefused, match=r"no family 'yolo'\. There is yolox, ultralytics, .*, raw"):
        import_model(saved(doubling(), tmp_path), family="yolo", name="d", repository=repository)


def test_a_raw_graph_is_copied_byte_for_byte_and_described(tmp_path: Path, repository: Repository) -> None:
    file = saved(doubling(), tmp_path, "d.onnx")

    bundle = import_model(file, family="raw", name="d", repository=repository)

    manifest = bundle.manifest
    assert bundle.model.read_bytes() == file.read_bytes()
    assert manifest.task is Task.TENSOR
    assert manifest.input is None
    assert manifest.inputs[0] == TensorSpec(name="x", dtype="float32", shape=(None, 4))
    assert [spec.name for spec in manifest.outputs] == ["y", "z"]
    assert manifest.batch == Batch(fixed=None, invariant=True)
    assert check_bundle(bundle)[-1] == "golden samples agree"


def test_a_name_that_is_another_tasks_is_refused_before_any_work(tmp_path: Path, repository: Repository) -> None:
    import_model(saved(doubling(), tmp_path, "d.onnx"), family="raw", name="d", repository=repository)
    lines: list[str] = []

    with pytest.raises(TaskDiffers, match="d@1 is of task tensor, so a model of task detect"):
        import_model(saved(yolox_like(), tmp_path), family="yolox", name="d", repository=repository, say=lines.append)
    assert lines == []
    assert repository.next_version("d") == 2


def test_a_raw_graph_for_one_size_of_batch_keeps_it(tmp_path: Path, repository: Repository) -> None:
    bundle = import_model(saved(doubling(batch=2), tmp_path), family="raw", name="d", repository=repository)

    assert bundle.manifest.batch.fixed == 2
    check_bundle(bundle)


def test_a_raw_graph_that_mixes_its_rows_keeps_a_batch_of_one(tmp_path: Path, repository: Repository) -> None:
    mixed = model([helper.make_node("ReduceSum", ["x"], ["y"], keepdims=1)], {"x": ["n", 4]}, {"y": [1, 1]})

    bundle = import_model(saved(mixed, tmp_path), family="raw", name="sum", repository=repository)

    assert bundle.manifest.batch.fixed == 1


def test_a_raw_graph_keeps_the_weights_beside_it(tmp_path: Path, repository: Repository) -> None:
    proto = model(
        [helper.make_node("Add", ["x", "w"], ["y"])], {"x": [1, 512]}, {"y": [1, 512]}, {"w": np.ones(512, "f4")}
    )
    file = tmp_path / "net.onnx"
    onnx.save_model(proto, file, save_as_external_data=True, location="weights.bin", size_threshold=16)

    bundle = import_model(file, family="raw", name="net", repository=repository)

    assert "weights.bin" in bundle.manifest.files
    check_bundle(bundle)


def test_a_raw_graph_that_runs_on_nothing_made_up_has_no_samples(tmp_path: Path, repository: Repository) -> None:
    picky = model(
        [helper.make_node("Reshape", ["x", "s"], ["y"])],
        {"x": [1, "n"]},
        {"y": [1, 7, 11]},
        {"s": np.array([1, 7, 11])},
    )
    said: list[str] = []

    bundle = import_model(saved(picky, tmp_path), family="raw", name="p", repository=repository, say=said.append)

    assert bundle.golden is None
    assert any("no golden samples" in line for line in said)
    assert "no golden samples to compare with" in check_bundle(bundle)


def test_a_graph_that_takes_text_is_refused(tmp_path: Path, repository: Repository) -> None:
    text = model([helper.make_node("Identity", ["x"], ["y"])], {"x": [1]}, {"y": [1]}, dtype=TensorProto.STRING)
    text.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING

    with pytest.raises(ImportRefused, match=r"'x' is a tensor\(string\), not a tensor of numbers"):
        import_model(saved(text, tmp_path), family="raw", name="t", repository=repository)


def test_a_raw_graph_takes_no_preprocessing(tmp_path: Path, repository: Repository) -> None:
    with pytest.raises(ImportRefused, match="leaves the graph as it is"):
        import_model(
            saved(doubling(), tmp_path), family="raw", name="d", repository=repository, wishes=Wishes(colour=Colour.RGB)
        )


def test_a_bundle_whose_golden_answers_are_others_does_not_pass(tmp_path: Path, repository: Repository) -> None:
    file = saved(doubling(), tmp_path, "d.onnx")
    bundle = import_model(file, family="raw", name="d", repository=repository)
    assert bundle.golden is not None
    samples = golden.read(bundle.golden)
    golden.write(bundle.golden, samples.inputs, {"y": samples.outputs["y"] + 1})

    with pytest.raises(BundleInvalid, match=r"golden\.npz is not the file"):
        check_bundle(bundle)
    files = bundle.manifest.files | {"golden.npz": sha256_of(bundle.golden)}
    (bundle.folder / "manifest.json").write_text(bundle.manifest.model_copy(update={"files": files}).to_json())
    with pytest.raises(GoldenMismatch, match="output 'y' differs by 1"):
        check_bundle(repository.resolve("d"))


def test_a_manifest_that_describes_another_graph_does_not_pass(tmp_path: Path, repository: Repository) -> None:
    bundle = import_model(saved(doubling(), tmp_path), family="raw", name="d", repository=repository)
    other = (TensorSpec(name="x", dtype="float32", shape=(None, 4)),)
    (bundle.folder / "manifest.json").write_text(bundle.manifest.model_copy(update={"inputs": other}).to_json())

    with pytest.raises(BundleInvalid, match=r"differ at input 'w': nothing and float32 \[any, 4\]"):
        check_bundle(repository.resolve("d"))


def test_labels_are_read_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_bytes(b"\xef\xbb\xbfcar\r\ntraffic light\r\nb\xc3\xa4r\r\n\r\n")

    assert read_labels(file) == ("car", "traffic light", "bär")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"car\n\nbus\n", "line 2 is empty"), (b"\xff\xfe", "cannot be read")],
    ids=["gap", "encoding"],
)
def test_labels_that_cannot_be_meant_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "names.txt"
    file.write_bytes(content)

    with pytest.raises(ImportRefused, match=message):
        read_labels(file)
