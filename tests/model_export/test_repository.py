import json
import os
import shutil
import time
from pathlib import Path

import pytest
from model_builders import written

from model_export.bundle import Bundle
from model_export.errors import (
    BundleInvalid,
    ManifestInvalid,
    ModelExists,
    ModelNotFound,
    ModelReadOnly,
    TaskDiffers,
    TaskNotForVideo,
)
from model_export.manifest import Task
from model_export.repository import Repository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def repository(root: Path) -> Repository:
    return Repository(root)


def broken(root: Path, name: str, version: int) -> None:
    """A version whose model is gone."""
    written(root, name=name, version=version).model.unlink()


def test_a_folder_that_is_not_there_holds_no_models(repository: Repository) -> None:
    assert repository.names() == ()
    assert repository.entries() == ()
    with pytest.raises(ModelNotFound, match="no model 'car'"):
        repository.resolve("car")
    with pytest.raises(ModelNotFound, match="none is set as default"):
        repository.default()


def test_a_bare_name_is_its_highest_version_counted_as_numbers(repository: Repository, root: Path) -> None:
    for version in (9, 10, 2):
        written(root, name="car", version=version)

    assert repository.versions("car") == (2, 9, 10)
    assert repository.resolve("car").manifest.id == "car@10"
    assert repository.resolve("car@2").manifest.version == 2
    assert repository.next_version("car") == 11
    assert repository.next_version("new") == 1


def test_a_version_that_is_set_serves_until_it_is_unset(repository: Repository, root: Path) -> None:
    written(root, name="car", version=1)
    written(root, name="car", version=2)

    repository.set_default("car", 1)
    assert repository.resolve("car").manifest.version == 1
    assert [entry.serves for entry in repository.entries("car")] == [True, False]
    assert Repository(root).resolve("car").manifest.version == 1

    repository.set_default("car", None)
    assert repository.resolve("car").manifest.version == 2


def test_a_version_that_is_not_there_cannot_be_set(repository: Repository, root: Path) -> None:
    written(root, name="car")
    broken(root, "car", 2)

    with pytest.raises(ModelNotFound, match="no version 7 of 'car'; there is 1, 2"):
        repository.set_default("car", 7)
    with pytest.raises(BundleInvalid, match=r"model\.onnx is missing"):
        repository.set_default("car", 2)


def test_a_broken_version_is_listed_with_the_reason_and_never_served(repository: Repository, root: Path) -> None:
    written(root, name="car", version=1)
    broken(root, "car", 2)
    (root / "car" / "3").mkdir()

    assert repository.resolve("car").manifest.version == 1
    assert repository.versions("car") == (1,)
    problems = {entry.version: entry.problem for entry in repository.entries("car")}
    assert problems[1] == ""
    assert "model.onnx is missing" in problems[2]
    assert "manifest.json cannot be read" in problems[3]
    assert repository.next_version("car") == 4


def test_a_bundle_in_another_ones_place_is_broken(repository: Repository, root: Path) -> None:
    shutil.copytree(written(root, name="car").folder, root / "bus" / "1")

    assert repository.versions("bus") == ()
    with pytest.raises(ModelNotFound, match=r"No version of 'bus' can be served: Its manifest says car@1"):
        repository.resolve("bus")


def test_a_default_that_broke_is_not_replaced_in_silence(repository: Repository, root: Path) -> None:
    written(root, name="car", version=1)
    bundle = written(root, name="car", version=2)
    repository.set_default("car", 2)
    bundle.model.unlink()

    with pytest.raises(ModelNotFound, match=r"Version 2 of 'car' is set as default and cannot be served"):
        repository.resolve("car")


def test_the_default_model_is_the_one_set_else_the_shipped_one_else_the_only_one(tmp_path: Path, root: Path) -> None:
    shipped = tmp_path / "shipped"
    written(shipped, name="moving")
    written(root, name="car")
    both = Repository(root, shipped=shipped)

    assert Repository(root).default().manifest.name == "car"
    assert both.default().manifest.name == "moving"
    both.set_default_model("car")
    assert both.default().manifest.name == "car"
    both.set_default_model(None)
    assert both.default_model() == "moving"


def test_of_two_models_neither_is_the_default_by_itself(repository: Repository, root: Path) -> None:
    written(root, name="bus")
    written(root, name="car")

    assert repository.default_model() is None


def test_the_users_versions_lie_beside_the_shipped_ones(tmp_path: Path, root: Path) -> None:
    shipped = tmp_path / "shipped"
    written(shipped, name="moving", version=1)
    repository = Repository(root, shipped=shipped)
    written(root, name="moving", version=repository.next_version("moving"))

    assert repository.versions("moving") == (1, 2)
    assert [entry.shipped for entry in repository.entries()] == [True, False]
    assert repository.resolve("moving@1").folder == shipped / "moving" / "1"


def test_the_users_version_goes_before_the_shipped_one_of_the_same_number(tmp_path: Path, root: Path) -> None:
    written(tmp_path / "shipped", name="moving")
    written(root, name="moving")

    assert Repository(root, shipped=tmp_path / "shipped").resolve("moving@1").folder == root / "moving" / "1"


def test_a_bundle_is_moved_into_its_place(repository: Repository, root: Path, tmp_path: Path) -> None:
    staged = repository.staging()
    shutil.copytree(written(tmp_path / "x", name="car", version=4).folder, staged)

    added = repository.add(Bundle.open(staged))

    assert added.folder == root / "car" / "4"
    assert [path.name for path in root.iterdir()] == ["car"]
    assert repository.resolve("car").manifest.version == 4


def test_a_version_is_not_overwritten(repository: Repository, root: Path, tmp_path: Path) -> None:
    written(root, name="car")

    with pytest.raises(ModelExists):
        repository.add(written(tmp_path / "x", name="car", content=b"other"))
    assert repository.resolve("car").model.read_bytes() == b"graph"


@pytest.mark.parametrize("version", [1, 2])
def test_a_model_of_another_task_does_not_become_a_version_of_a_name(root: Path, tmp_path: Path, version: int) -> None:
    repository = Repository(root, shipped=tmp_path / "shipped")
    written(tmp_path / "shipped", name="moving", task=Task.MOTION)
    stranger = written(tmp_path / "x", name="moving", version=version, task=Task.TENSOR)

    for add in (repository.add, lambda one: repository.take(one, renumber=True)):
        with pytest.raises(TaskDiffers, match="moving@1 is of task motion, so a model of task tensor") as refused:
            add(stranger)
        assert refused.value.hint == "Give it another name."
    assert not (root / "moving").exists()

    assert repository.add(written(tmp_path / "y", name="moving", version=2, task=Task.MOTION)).manifest.version == 2


def test_a_version_of_another_task_that_lies_there_is_listed_with_the_reason_and_never_serves(
    root: Path, tmp_path: Path
) -> None:
    repository = Repository(root, shipped=tmp_path / "shipped")
    written(tmp_path / "shipped", name="moving", version=2, task=Task.MOTION)
    for version in (1, 2, 3):
        written(root, name="moving", version=version, task=Task.TENSOR)
        written(root, name="net", version=version, task=Task.TENSOR if version == 3 else Task.DETECT)

    assert repository.resolve("moving").folder == tmp_path / "shipped" / "moving" / "2"
    assert [(entry.version, entry.serves, entry.shipped) for entry in repository.entries("moving")] == [
        (1, False, False),
        (2, True, True),
        (3, False, False),
    ]
    assert (repository.resolve("net").manifest.id, repository.versions("net")) == ("net@2", (1, 2))
    assert "of task tensor, and net@1 of task detect" in repository.entries("net")[2].problem
    with pytest.raises(BundleInvalid, match="needs a name of its own"):
        repository.resolve("net@3")
    with pytest.raises(BundleInvalid, match="needs a name of its own"):
        repository.set_default("moving", 3)
    assert repository.next_version("net") == 4
    assert repository.remove("net", 3) == (3,)


def test_a_model_that_takes_tensors_does_not_serve_where_none_is_named(repository: Repository, root: Path) -> None:
    written(root, name="car")
    written(root, name="rok", task=Task.TENSOR)
    repository.set_default_model("car")

    with pytest.raises(TaskNotForVideo, match="rok@1 has task tensor"):
        repository.set_default_model("rok")
    assert repository.default_model() == "car"


def test_a_changed_bundle_is_not_added(repository: Repository, root: Path, tmp_path: Path) -> None:
    bundle = written(tmp_path / "x", name="car")
    bundle.model.write_bytes(b"other")

    with pytest.raises(BundleInvalid):
        repository.add(bundle)
    assert repository.names() == ()


def test_what_is_removed_is_gone_and_its_settings_with_it(repository: Repository, root: Path) -> None:
    written(root, name="car", version=1)
    written(root, name="car", version=2)
    repository.set_default("car", 1)
    repository.set_default_model("car")

    assert repository.remove("car", 1) == (1,)
    assert repository.resolve("car").manifest.version == 2
    assert repository.default_model() == "car"

    assert repository.remove("car") == (2,)
    assert repository.names() == ()
    assert json.loads((root / "_defaults.json").read_text()) == {"model": None, "versions": {}}
    assert [path.name for path in root.iterdir()] == ["_defaults.json"]


def test_a_broken_version_can_be_removed(repository: Repository, root: Path) -> None:
    broken(root, "car", 1)

    assert repository.remove("car", 1) == (1,)


def test_what_ships_with_the_server_stays(tmp_path: Path, root: Path) -> None:
    written(tmp_path / "shipped", name="moving", version=1)
    written(root, name="moving", version=2)
    repository = Repository(root, shipped=tmp_path / "shipped")

    assert repository.remove("moving") == (2,)
    with pytest.raises(ModelReadOnly):
        repository.remove("moving")
    assert repository.resolve("moving").manifest.version == 1


def test_what_is_not_there_cannot_be_removed(repository: Repository, root: Path) -> None:
    written(root, name="car")

    with pytest.raises(ModelNotFound, match="no model 'car@5'"):
        repository.remove("car", 5)


@pytest.mark.parametrize(
    "reference", ["../car", "car@0", "car@x", "", "Car", "car@1@2", "car@1\n", "car@" + "9" * 5000]
)
def test_what_is_no_name_is_refused(repository: Repository, reference: str) -> None:
    with pytest.raises(ManifestInvalid, match="is not a model's name"):
        repository.resolve(reference)


@pytest.mark.parametrize("name", ["..", ".", "/", "../models/car", ".tmp-x", "_defaults.json"])
def test_names_never_lead_outside(repository: Repository, root: Path, name: str) -> None:
    written(root, name="car")

    assert repository.versions(name) == ()
    with pytest.raises(ModelNotFound):
        repository.remove(name)


def test_a_defaults_file_that_cannot_be_read_is_named(repository: Repository, root: Path) -> None:
    written(root, name="car")
    (root / "_defaults.json").write_text("{")

    with pytest.raises(BundleInvalid, match=r"_defaults\.json cannot be read"):
        repository.resolve("car")
    assert repository.resolve("car@1").manifest.version == 1


def test_what_a_dead_process_left_is_swept_up_after_a_day(repository: Repository, root: Path) -> None:
    old, new = root / ".tmp-old", root / ".tmp-new"
    for folder in (old, new):
        (folder / "bundle").mkdir(parents=True)
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))

    repository.staging()

    assert not old.exists()
    assert new.exists()
