"""Folders of pictures and clips."""

from pathlib import Path

import pytest
from data_builders import folders, picture, save

from training.data.listing import PICTURES, Split
from training.data.sources.folders import read_folders
from training.errors import DataInvalid, DataNotFound, OneClass


def test_each_folder_is_a_class_and_each_file_a_group(tmp_path: Path) -> None:
    read = read_folders(folders(tmp_path, {"dog": 2, "cat": 1}), PICTURES)
    assert read.labels == ("cat", "dog")
    assert [sample.id for sample in read.samples] == ["cat/0.png", "dog/0.png", "dog/1.png"]
    assert read.targets.tolist() == [0, 1, 1]
    assert len(read.groups) == 3


def test_labels_given_say_the_order(tmp_path: Path) -> None:
    read = read_folders(folders(tmp_path, {"dog": 1, "cat": 1}), PICTURES, labels=["dog", "cat"])
    assert read.counts() == {"dog": 1, "cat": 1}
    assert {sample.id: sample.target for sample in read.samples}["dog/0.png"] == 0


def test_folders_named_for_a_split_are_given_lists(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        folders(tmp_path / split, {"cat": 1, "dog": 1})
    read = read_folders(tmp_path, PICTURES)
    assert [sample.split for sample in read.samples] == [Split.TEST] * 2 + [Split.TRAIN] * 2 + [Split.VALIDATION] * 2
    assert read.labels == ("cat", "dog")


def test_a_pattern_finds_the_group_in_a_name(tmp_path: Path) -> None:
    for name in ("cat/film1-a.png", "cat/film1-b.png", "dog/film2-a.png"):
        save(tmp_path / name, picture(50))
    read = read_folders(tmp_path, PICTURES, group=r"(film\d+)")
    assert read.groups == ("film1", "film2")
    with pytest.raises(DataInvalid, match=r"finds no group in 'cat/film1-a.png'"):
        read_folders(tmp_path, PICTURES, group=r"(series\d+)")


def test_there_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="is no folder: it does not exist") as told:
        read_folders(tmp_path / "nowhere", PICTURES)
    assert told.value.code == "data_not_found"
    assert "data.source.path" in str(told.value.hint)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="it is something else"):
        read_folders(save(tmp_path / "a.png", picture(3)), PICTURES)


def test_one_class_only_is_nothing_to_tell_apart(tmp_path: Path) -> None:
    with pytest.raises(OneClass, match=r"Every one of the 3 samples .* is of the class 'cat'") as told:
        read_folders(folders(tmp_path, {"cat": 3}), PICTURES)
    assert told.value.code == "data_one_class"


def test_a_folder_that_is_no_label_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="has the class 'cow', which is not among the labels: cat, dog"):
        read_folders(folders(tmp_path, {"cat": 1, "cow": 1, "dog": 1}), PICTURES, labels=["cat", "dog"])


def test_files_beside_the_folders_have_no_class(tmp_path: Path) -> None:
    folders(tmp_path, {"cat": 1, "dog": 1})
    save(tmp_path / "lost.png", picture(9))
    with pytest.raises(DataInvalid, match=r"lost.png lies in .* and in no class's folder"):
        read_folders(tmp_path, PICTURES)


def test_files_without_any_folder_have_no_class(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(9))
    with pytest.raises(DataInvalid, match="holds files and no folders"):
        read_folders(tmp_path, PICTURES)


def test_an_empty_folder_has_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match=r"No files with .*\.png"):
        read_folders(tmp_path, PICTURES)


def test_a_pattern_that_is_none_is_told(tmp_path: Path) -> None:
    folders(tmp_path, {"cat": 1, "dog": 1})
    with pytest.raises(DataInvalid, match=r"'\(cam' is no regular expression: missing \)"):
        read_folders(tmp_path, PICTURES, group="(cam")
    with pytest.raises(DataInvalid, match="its bracket nothing"):
        read_folders(tmp_path, PICTURES, group="0|(cam)")
