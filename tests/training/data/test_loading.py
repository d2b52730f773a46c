"""From a configuration to batches."""

import csv
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from data_builders import clip, config, folders, idx_files, picture, save, voc

from training.configuration import read
from training.data.config import DataConfig
from training.data.loading import DataDescription, load_data
from training.errors import ClassesChanged, ConfigInvalid, DataInvalid, SplitInvalid


@pytest.fixture
def animals(tmp_path: Path) -> DataConfig:
    folders(tmp_path / "data", {"cat": 20, "dog": 20})
    return config({"kind": "images", "path": tmp_path / "data"}, tmp_path / "cache")


def test_batches_have_frames_targets_places_and_groups(animals: DataConfig) -> None:
    data = load_data(animals)
    batch = data.train.batch([0, 3, 1], epoch=0)
    assert batch.frames.shape == (3, 1, 12, 16, 3)
    assert batch.frames.dtype == torch.uint8
    assert batch.target.dtype == batch.index.dtype == batch.group.dtype == torch.int64
    assert [data.names[at].split("/")[0] for at in batch.index] == [data.labels[at] for at in batch.target]
    assert [data.groups[at] for at in batch.group] == [data.names[at] for at in batch.index]


def test_the_parts_share_no_sample(animals: DataConfig) -> None:
    data = load_data(animals)
    assert data.test is not None
    parts = [set(part.index.tolist()) for part in (data.train, data.validation, data.test)]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 40


def test_a_split_is_written_down_and_used_again(animals: DataConfig, tmp_path: Path) -> None:
    first = load_data(animals, tmp_path / "run")
    other = animals.model_copy(update={"split": animals.split.model_copy(update={"seed": 5})})
    again = load_data(other, tmp_path / "run")
    assert again.train.index.tolist() == first.train.index.tolist()
    assert again.fingerprint == first.fingerprint
    assert load_data(other, tmp_path / "run2").train.index.tolist() != first.train.index.tolist()
    assert DataDescription.read(tmp_path / "run").counts == {"cat": 20, "dog": 20}


def test_a_class_that_was_added_later_is_named(animals: DataConfig, tmp_path: Path) -> None:
    load_data(animals, tmp_path / "run")
    folders(tmp_path / "data", {"cow": 5})
    with pytest.raises(ClassesChanged, match="cow came") as told:
        load_data(animals, tmp_path / "run")
    assert told.value.code == "data_classes_changed"


def test_a_file_that_was_added_later_is_named(animals: DataConfig, tmp_path: Path) -> None:
    load_data(animals, tmp_path / "run")
    save(tmp_path / "data" / "cat" / "new.png", picture(5))
    with pytest.raises(SplitInvalid, match=r"1 samples are new .* 'cat/new.png'"):
        load_data(animals, tmp_path / "run")


def test_other_content_has_another_fingerprint(animals: DataConfig, tmp_path: Path) -> None:
    before = load_data(animals).fingerprint
    save(tmp_path / "data" / "cat" / "0.png", picture(77))
    assert load_data(animals).fingerprint != before


def test_a_run_whose_description_is_lost_says_so(animals: DataConfig, tmp_path: Path) -> None:
    load_data(animals, tmp_path / "run")
    (tmp_path / "run" / "data.json").write_text("{}")
    with pytest.raises(DataInvalid, match="it is not known what was trained"):
        load_data(animals, tmp_path / "run")


def test_what_is_broken_is_in_no_part_and_is_written_down(animals: DataConfig, tmp_path: Path) -> None:
    (tmp_path / "data" / "cat" / "7.png").write_bytes(b"no picture")
    data = load_data(animals, tmp_path / "run")
    assert data.test is not None
    assert sum(map(len, (data.train, data.validation, data.test))) == 39
    assert list(data.broken) == ["cat/7.png"]
    with (tmp_path / "run" / "broken.csv").open() as file:
        assert [row["sample"] for row in csv.DictReader(file)] == ["cat/7.png"]
    assert json.loads((tmp_path / "run" / "data.json").read_text())["broken"] == 1


@pytest.mark.parametrize("cache", [{"memory_gb": 0.0}, {"memory_gb": 0.0, "gb": 0.0}, {"memory_gb": 1.0, "gb": 0.0}])
def test_batches_are_the_same_from_memory_from_the_cache_and_from_files(
    tmp_path: Path, cache: dict[str, float]
) -> None:
    for at in range(8):
        clip(tmp_path / "data" / ("go" if at % 2 else "stop") / f"{at}.mp4", 12, first=10 * at)
    source = {"kind": "clips", "path": tmp_path / "data"}
    frames = {"frames": 4, "fps": 5}
    augment = {"rotate": 10, "time_jitter": 1}
    memory = load_data(config(source, tmp_path / "c1", input=frames, augment=augment))
    other = load_data(config(source, tmp_path / "c2", input=frames, augment=augment, cache={**cache, "workers": 3}))
    assert memory.workers == 0
    assert other.workers == (0 if cache["memory_gb"] else 3)
    for epoch in (0, 1):
        expected, batch = memory.train.batch([1, 0, 2], epoch), other.train.batch([1, 0, 2], epoch)
        assert torch.equal(expected.frames, batch.frames)
        assert expected.frames.shape == (3, 4, 12, 16, 3)


def test_a_part_travels_to_a_worker_process(tmp_path: Path, animals: DataConfig) -> None:
    data = load_data(animals.model_copy(update={"cache": animals.cache.model_copy(update={"memory_gb": 0.0})}))
    copied = pickle.loads(pickle.dumps(data.train))
    assert torch.equal(copied.batch([2, 0], 3).frames, data.train.batch([2, 0], 3).frames)


def test_an_epoch_repeats_itself_and_differs_from_the_next(animals: DataConfig) -> None:
    changed = animals.model_copy(update={"augment": animals.augment.model_copy(update={"brightness": 0.3})})
    one, two = load_data(changed).train, load_data(changed).train
    assert torch.equal(one.batch([0, 1], 4).frames, two.batch([1, 0], 4).frames.flip(0))
    assert not torch.equal(one.batch([0, 1], 4).frames, one.batch([0, 1], 5).frames)


def test_validation_is_not_augmented(animals: DataConfig) -> None:
    changed = animals.model_copy(update={"augment": animals.augment.model_copy(update={"brightness": 0.3})})
    data = load_data(changed)
    assert torch.equal(data.validation.batch([0], 0).frames, data.validation.batch([0], 1).frames)


def test_mixup_makes_targets_of_shares(animals: DataConfig) -> None:
    changed = animals.model_copy(update={"augment": animals.augment.model_copy(update={"mixup": 0.4})})
    data = load_data(changed)
    assert data.train.batch([0, 1], 0).target.shape == (2, 2)
    assert data.validation.batch([0, 1], 0).target.dtype == torch.int64


def test_idx_files_are_slices_of_memory(tmp_path: Path) -> None:
    source = {"kind": "idx", "path": idx_files(tmp_path / "mnist")}
    data = load_data(config(source, tmp_path, input={"width": 5, "height": 6, "channels": 1}))
    assert data.test is not None
    assert len(data.test) == 10
    assert (len(data.train), len(data.validation)) == (34, 6)
    batch = data.test.batch(np.arange(3).tolist(), 0)
    assert batch.frames[:, 0, 0, 0, 0].tolist() == [0, 1, 2]
    assert batch.target.tolist() == [0, 1, 2]


def test_frames_that_come_with_the_data_must_have_the_size_asked_for(tmp_path: Path) -> None:
    source = {"kind": "idx", "path": idx_files(tmp_path / "mnist")}
    with pytest.raises(DataInvalid, match=r"are 5 × 6 pixels of 1 channels, and `data.input` asks for 16 × 12 of 3"):
        load_data(config(source, tmp_path))


def test_moving_shapes_need_no_files(tmp_path: Path) -> None:
    source = {"kind": "shapes", "count": 40, "size": 16, "frames": 8}
    data = load_data(config(source, tmp_path, input={"width": 16, "height": 16, "channels": 1, "frames": 8}))
    assert data.train.batch([0, 1], 0).frames.shape == (2, 8, 16, 16, 1)
    assert data.labels == ("left", "right", "grow", "shrink", "spin")


def test_tables_give_numbers_as_targets(tmp_path: Path) -> None:
    lines = ["path,speed,count"]
    for at in range(20):
        save(tmp_path / f"{at}.png", picture(at * 10))
        lines.append(f"{at}.png,{at / 2},{at}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    data = load_data(config({"kind": "numbers", "path": tmp_path / "table.csv"}, tmp_path / "cache"))
    batch = data.train.batch([0], 0)
    assert batch.target.dtype == torch.float32
    assert batch.target[0, 1] == 2 * batch.target[0, 0]


def test_boxes_keep_their_given_lists(tmp_path: Path) -> None:
    boxes = {name: [("red", 1, 1, 30, 30), ("white", 40, 20, 70, 60)] for name in ("a", "b", "c", "d")}
    root = voc(tmp_path / "voc", boxes, {"train.txt": "a b", "val.txt": "c", "test.txt": "d"})
    data = load_data(config({"kind": "voc", "path": root}, tmp_path / "cache"))
    assert data.test is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (4, 2, 2)


def test_there_must_be_something_to_validate_with(animals: DataConfig) -> None:
    nothing = animals.model_copy(update={"split": animals.split.model_copy(update={"val": 0.0})})
    with pytest.raises(SplitInvalid, match="no samples to validate with"):
        load_data(nothing)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"source": {"kind": "clips", "pth": "x"}}, "source.pth is not known; did you mean 'path'?"),
        ({"augmnt": {}}, "augmnt is not known; did you mean 'augment'?"),
        ({"augment": {"rotation": 5}}, "augment.rotation is not known; did you mean 'rotate'?"),
        ({"augment": {"flip": 2}}, "augment.flip: Input should be less than or equal to 1"),
        ({"source": {"kind": "film", "path": "x"}}, "source.kind: there is no 'film'; known are images, clips"),
        ({"input": {"width": 16}}, "input.height is missing."),
    ],
)
def test_a_configuration_that_cannot_be_says_what_is_meant(given: dict[str, object], told: str) -> None:
    whole = {"source": {"kind": "clips", "path": "x"}, "input": {"width": 16, "height": 12}} | given
    with pytest.raises(ConfigInvalid) as refused:
        read(DataConfig, whole)
    assert told in str(refused.value)
