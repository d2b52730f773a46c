"""idx files."""

from pathlib import Path

import numpy as np
import pytest
from data_builders import idx_file, idx_files

from training.data.listing import Split
from training.data.sources.idx import read_idx
from training.errors import DataInvalid, DataNotFound


@pytest.mark.parametrize("packed", [True, False])
def test_pictures_come_with_their_classes_and_the_test_list(tmp_path: Path, packed: bool) -> None:
    read = read_idx(idx_files(tmp_path, packed=packed))
    assert read.pixels is not None
    assert read.pixels.shape == (50, 1, 6, 5, 1)
    assert read.pixels[7].max() == read.pixels[7].min() == 7
    assert read.targets[:5].tolist() == [0, 1, 2, 3, 0]
    assert read.labels == ("0", "1", "2", "3")
    assert [sample.split for sample in read.samples] == [None] * 40 + [Split.TEST] * 10


def test_without_a_test_list_all_are_to_be_split(tmp_path: Path) -> None:
    idx_files(tmp_path)
    for file in tmp_path.glob("t10k*"):
        file.unlink()
    assert {sample.split for sample in read_idx(tmp_path).samples} == {None}


def test_labels_that_do_not_match_the_pictures_are_told(tmp_path: Path) -> None:
    idx_files(tmp_path)
    idx_file(tmp_path / "train-labels-idx1-ubyte", np.zeros(39, np.uint8))
    with pytest.raises(DataInvalid, match="has 40 pictures and train-labels-idx1-ubyte 39 labels"):
        read_idx(tmp_path)


def test_more_classes_than_labels_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"has a class 3, and .* names 2"):
        read_idx(idx_files(tmp_path), labels=["even", "odd"])


def test_a_file_that_is_cut_off_is_told(tmp_path: Path) -> None:
    idx_files(tmp_path, packed=False)
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(DataInvalid, match="says that it holds 40 × 6 × 5 bytes, and holds 1197"):
        read_idx(tmp_path)


def test_a_packed_file_that_is_cut_off_is_told(tmp_path: Path) -> None:
    idx_files(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataInvalid, match="cannot be unpacked"):
        read_idx(tmp_path)


def test_something_else_is_no_idx_file(tmp_path: Path) -> None:
    idx_files(tmp_path, packed=False)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"hello, these are labels")
    with pytest.raises(DataInvalid, match="is not an idx file"):
        read_idx(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    idx_files(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataNotFound, match="has no train-labels-idx1-ubyte"):
        read_idx(tmp_path)
