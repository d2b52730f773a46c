import pytest
from pydantic import ValidationError

from model_export.options import ImportOptions, Wishes, labels_of, name_of
from model_export.preprocessing import Colour


def options(**said: object) -> ImportOptions:
    return ImportOptions.model_validate({"family": "yolox", **said})


def test_texts_become_values() -> None:
    read = options(input="640x384", mean="123.7, 116.3, 103.5", std="58", color="rgb", pad="0", version="3")

    assert read.size == (640, 384)
    assert read.mean == (123.7, 116.3, 103.5)
    assert read.std == (58, 58, 58)
    assert (read.colour, read.pad, read.version) == (Colour.RGB, 0, 3)


def test_what_is_said_of_the_model_itself_is_all_but_what_it_is_called() -> None:
    said = options(name="net", labels="car", version=2, pad=0)

    assert said.wishes == Wishes(pad=0)


def test_options_survive_a_journey_as_json() -> None:
    said = options(input="640x384", mean="1,2,3", color="rgb", labels="a\nb", name="net")

    assert ImportOptions.model_validate_json(said.model_dump_json(by_alias=True)) == said


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("input", "640", "'640' is not WxH"),
        ("input", "0x10", "'0x10' is not WxH"),
        ("mean", "1,2", "'1,2' is not one number or three"),
        ("mean", "inf", "'inf' is not one number or three"),
        ("std", "0", "it divides, so it must be above 0"),
        ("std", "0.229,0.224,0.225", "multiply what is meant for 0…1 by 255"),
        ("pad", "256", "less than or equal to 255"),
        ("name", "My Net", "'My Net' is not a name"),
        ("name", "a" * 65, "is not a name"),
        ("labels", "car\n\nbus", "line 2 is empty"),
        ("labels", "x" * 129, "at most 128 characters"),
        ("family", "yolo", "Input should be 'yolox'"),
        ("version", "0", "greater than or equal to 1"),
        ("nonsense", "1", "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(field: str, text: str, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        options(**{field: text})
    [error] = refused.value.errors()
    assert error["loc"][0] == field
    assert message in error["msg"]


def test_labels_are_the_lines_of_a_text_without_what_editors_add() -> None:
    assert labels_of("\ufeffcar\r\ntraffic light\r\n\r\n") == ("car", "traffic light")
    assert labels_of("") == ()


@pytest.mark.parametrize(
    ("file", "name"),
    [("My Net.onnx", "my-net"), ("a.b.ONNX", "a.b"), ("../x.zip", "x"), ("ß.onnx", ""), (f"{'a' * 70}.onnx", "a" * 64)],
)
def test_a_name_is_made_of_a_file_name(file: str, name: str) -> None:
    assert name_of(file) == name
