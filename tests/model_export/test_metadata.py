import onnx
import pytest
from model_builders import doubling
from onnx import helper

from model_export.metadata import Metadata


def saying(**properties: str) -> onnx.ModelProto:
    proto = doubling()
    helper.set_model_props(proto, properties)
    return proto


def test_what_ultralytics_writes_is_read() -> None:
    said = Metadata.of(saying(task="detect", names="{0: 'car', 1: 'traffic light'}", imgsz="[384, 640]", stride="32"))

    assert said == Metadata(task="detect", labels=("car", "traffic light"), size=(640, 384))


def test_a_file_that_says_nothing_is_read_as_such() -> None:
    assert Metadata.of(doubling()) == Metadata()


@pytest.mark.parametrize(
    "names",
    [
        "['car', 'bus']",
        "('car', 'bus')",
        "{1: 'bus', 0: ' car '}",
    ],
)
def test_labels_come_in_their_order(names: str) -> None:
    assert Metadata.of(saying(names=names)).labels == ("car", "bus")


@pytest.mark.parametrize(
    "names",
    [
        "",
        "car",
        "{0: 'car', 2: 'bus'}",
        "{'a': 'car'}",
        "['car', '']",
        "['car', 7]",
        "{0: ['car']}",
        "__import__('os').system('true')",
        "{[]: 1}",
        "(" * 100_000,
        "['car'" + " " * (1 << 20) + "]",
    ],
    ids=range(11),
)
def test_what_are_no_labels_is_not_taken_for_some(names: str) -> None:
    assert Metadata.of(saying(names=names)).labels == ()


@pytest.mark.parametrize("size", ["640", "[640]", "[0, 640]", "[640, 99999]", "['a', 'b']", "[True, True, True]", "{}"])
def test_what_is_no_size_is_not_taken_for_one(size: str) -> None:
    assert Metadata.of(saying(imgsz=size)).size is None


def test_another_exporters_task_means_nothing() -> None:
    assert Metadata.of(saying(task="image-classification")).task == ""
