"""Lists and tables."""

from pathlib import Path

import numpy as np
import pytest
from data_builders import picture, save

from training.data.listing import Split
from training.data.sources.tables import read_list, read_table
from training.errors import DataInvalid, DataNotFound


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "my films/c.png"):
        save(tmp_path / name, picture(50))
    return tmp_path


def write(root: Path, text: str, name: str = "list.csv") -> Path:
    (root / name).write_text(text, encoding="utf-8")
    return root / name


def test_a_kinetics_list_has_a_path_and_a_label_a_line(root: Path) -> None:
    read = read_list(write(root, "a.png 0\nmy films/c.png 2\n\nb.png 1\n", "train.txt"))
    assert read.labels == ("0", "1", "2")
    assert [(sample.id, sample.target) for sample in read.samples] == [
        ("a.png", 0),
        ("my films/c.png", 2),
        ("b.png", 1),
    ]


def test_a_csv_says_what_part_of_a_video_and_which_group(root: Path) -> None:
    read = read_list(
        write(root, "path,label,start_s,end_s,group,split\na.png,run,0,1.5,s1,train\na.png,walk,1.5,,s1,\n")
    )
    first, second = read.samples
    assert (first.id, first.start_s, first.end_s, first.group, first.split) == (
        "a.png@0-1.5",
        0,
        1.5,
        "s1",
        Split.TRAIN,
    )
    assert (second.id, second.start_s, second.end_s, second.split) == ("a.png@1.5-", 1.5, None, None)


def test_cuts_of_one_video_are_one_group_unless_said_otherwise(root: Path) -> None:
    read = read_list(write(root, "path,label,start_s\na.png,run,0\na.png,walk,2\nb.png,run,0\n"))
    assert read.groups == ("a.png", "b.png")


def test_columns_may_have_other_names(root: Path) -> None:
    read = read_list(
        write(root, "clip,label,source\na.png,run,s1\nb.png,walk,s2\n"), columns={"clip": "path", "source": "group"}
    )
    assert read.groups == ("s1", "s2")


def test_paths_may_be_relative_to_another_folder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    lists = tmp_path_factory.mktemp("lists")
    assert len(read_list(write(lists, "path,label\na.png,x\nb.png,y\n"), root=root)) == 2


def test_a_line_whose_file_is_missing_is_named(root: Path) -> None:
    with pytest.raises(DataNotFound, match=r"line 3: there is no file .*lost\.png"):
        read_list(write(root, "path,label\na.png,x\nlost.png,y\n"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("file,label\na.png,x\n", "has no column 'path'; its first line is file, label"),
        ("path,label\na.png,x\nb.png\n", "line 3: not 2 columns"),
        ("path,label,start_s\na.png,x,soon\nb.png,y,0\n", "line 2: start_s is 'soon', and no number of seconds"),
        ("path,label,start_s,end_s\na.png,x,3,2\nb.png,y,0,1\n", "line 2: it ends at 2 s, and begins at 3 s"),
        ("path,label,split\na.png,x,train\nb.png,y,practice\n", "the split 'practice' is none of train, val, test"),
        ("path,label\na.png,x\na.png,y\n", "names 'a.png' more than once"),
        ("", "its first line is empty"),
    ],
)
def test_a_csv_that_cannot_be_read_says_where(root: Path, text: str, told: str) -> None:
    with pytest.raises(DataInvalid, match=told):
        read_list(write(root, text))


@pytest.mark.parametrize("label", ["", "  "])
def test_an_empty_label_is_no_class_and_its_line_is_told(root: Path, label: str) -> None:
    with pytest.raises(DataInvalid, match=r"list\.csv, line 3: the label is empty"):
        read_list(write(root, f"path,label\na.png,run\nb.png,{label}\n"))


def test_spaces_around_labels_and_columns_do_not_count(root: Path) -> None:
    read = read_list(write(root, "path, label \na.png,run \nb.png, run\nmy films/c.png,walk\n"))
    assert read.labels == ("run", "walk")


def test_a_column_without_a_name_is_not_learnt(root: Path) -> None:
    with pytest.raises(DataInvalid, match="has a column without a name"):
        read_table(write(root, ",path,fire\n0,a.png,1\n1,b.png,0\n"), "multi_label")


def test_a_line_without_a_label_is_told(root: Path) -> None:
    with pytest.raises(DataInvalid, match=r"line 2: 'b.png' is not `path label`"):
        read_list(write(root, "a.png 0\nb.png\n", "train.txt"))


def test_a_table_may_say_several_labels_at_once(root: Path) -> None:
    read = read_table(write(root, "path,rain,dark,group\na.png,1,0,x\nb.png,1,1,y\n"), "multi_label")
    assert read.labels == ("rain", "dark")
    assert read.targets.tolist() == [[1, 0], [1, 1]]
    assert read.counts() == {"rain": 2, "dark": 1}


def test_a_table_of_numbers_takes_the_columns_asked_for(root: Path) -> None:
    read = read_table(write(root, "path,speed,count\na.png,1.5,3\nb.png,-2,4\n"), "numbers", labels=["speed"])
    assert read.targets.dtype == np.float32
    assert read.targets.tolist() == [[1.5], [-2.0]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,rain\na.png,2\n", "line 2: rain is 2, and neither 0 nor 1"),
        ("path,rain\na.png,yes\n", "line 2: rain is 'yes', and no number"),
        ("path,group\na.png,1\n", "has no column to learn"),
    ],
)
def test_a_table_that_cannot_be_learnt_says_why(root: Path, text: str, told: str) -> None:
    with pytest.raises(DataInvalid, match=told):
        read_table(write(root, text), "multi_label")


def test_a_number_that_is_none_is_told(root: Path) -> None:
    with pytest.raises(DataInvalid, match="line 2: speed is nan"):
        read_table(write(root, "path,speed\na.png,nan\n"), "numbers")


def test_files_that_are_missing_are_counted_and_some_are_named(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("path,label\n" + "".join(f"{at}.mp4,{'ab'[at % 2]}\n" for at in range(7)))
    with pytest.raises(DataNotFound) as told:
        read_list(file)
    assert told.value.message.startswith(
        f"{file}, line 2: there is no file {tmp_path / '0.mp4'}. So it is with 7 of 7 "
    )
    assert told.value.message.endswith("4.mp4\n  and 2 more")
