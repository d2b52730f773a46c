"""Boxes cut out of annotated pictures."""

from pathlib import Path

import pytest
from data_builders import voc

from training.data.listing import Split
from training.data.sources.voc import read_voc
from training.errors import DataInvalid, DataNotFound

BOXES = {
    "one": [("red", 1, 1, 40, 40), ("white", 50, 20, 70, 60)],
    "two": [("red", 11, 21, 30, 30), ("white", 5, 5, 4, 5)],
}


def test_each_box_is_a_sample_and_its_picture_the_group(tmp_path: Path) -> None:
    read = read_voc(voc(tmp_path, BOXES, {}))
    assert [(sample.id, sample.target, sample.group) for sample in read.samples] == [
        ("one#0", 0, "one"),
        ("one#1", 1, "one"),
        ("two#0", 0, "two"),
    ]


def test_pixels_are_counted_from_one_in_the_file_and_from_zero_here(tmp_path: Path) -> None:
    read = read_voc(voc(tmp_path, BOXES, {}))
    assert read.samples[0].box == (0, 0, 40, 40)
    assert read.samples[2].box == (10, 20, 30, 30)


def test_a_margin_is_cut_to_the_picture(tmp_path: Path) -> None:
    read = read_voc(voc(tmp_path, BOXES, {}), margin=0.1)
    assert read.samples[0].box == (0, 0, 44, 44)
    assert read.samples[1].box == (45, 15, 74, 64)


def test_given_lists_say_what_a_picture_is_for(tmp_path: Path) -> None:
    read = read_voc(voc(tmp_path, BOXES, {"train.txt": "one", "test.txt": "two", "trainval.txt": "one"}))
    assert [sample.split for sample in read.samples] == [Split.TRAIN, Split.TRAIN, Split.TEST]


def test_a_picture_in_two_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"two is in train.txt and in test.txt"):
        read_voc(voc(tmp_path, BOXES, {"train.txt": "one two", "test.txt": "two"}))


def test_a_listed_picture_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="The picture three is annotated or listed"):
        read_voc(voc(tmp_path, BOXES, {"train.txt": "one three"}))


def test_an_annotation_that_is_something_else_is_named(tmp_path: Path) -> None:
    voc(tmp_path, BOXES, {})
    (tmp_path / "Annotations" / "one.xml").write_text("<annotation><size></size></annotation>")
    with pytest.raises(DataInvalid, match=r"one.xml is not a VOC annotation: <size/width> is missing"):
        read_voc(tmp_path)


@pytest.mark.data
def test_the_cells_of_bccd_are_listed(shared_data: Path) -> None:
    read = read_voc(shared_data / "bccd")
    assert read.labels == ("Platelets", "RBC", "WBC")
    assert len(read.groups) == 364
    assert sum(sample.split is Split.TEST for sample in read.samples) == 945
