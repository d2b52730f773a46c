import json
from datetime import UTC, datetime

import pytest

from model_export.options import ImportOptions
from server.core.errors import StorageFull
from server.domain.model_import import ImportState, ModelImport
from server.storage.imports import ImportStore, KeptImport
from server.storage.uploads import Uploads

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
OPTIONS = ImportOptions.model_validate({"family": "yolox", "input": "640x384", "color": "rgb", "labels": "car\nbus"})


def an_import(number=1, source="net.onnx", **more):
    shown = ModelImport(id=f"import{number}", state=ImportState.IMPORTING, created_at=NOON, source=source)
    return KeptImport(**{"shown": shown, "number": number, "options": OPTIONS, "key": "k", "fingerprint": "f", **more})


@pytest.fixture
def store(tmp_path):
    return ImportStore(tmp_path)


def an_upload(tmp_path, content=b"model"):
    writer = Uploads(tmp_path / "uploads").open(limit=10**6)
    writer.write(content)
    return writer.finish("net.onnx")


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_an_import_comes_back_as_it_was_kept(store, tmp_path):
    one = an_import(attempts=2, target=7)
    store.create(one, an_upload(tmp_path))
    assert ImportStore(tmp_path).load() == [one]
    assert store.upload(one).read_bytes() == b"model"
    assert files(tmp_path) == ["imports/import1/import.json", "imports/import1/upload/net.onnx"]


def test_imports_come_back_in_the_order_of_their_numbers(store, tmp_path):
    for number in (10, 2, 1):
        store.create(an_import(number), an_upload(tmp_path))
    assert [one.number for one in store.load()] == [1, 2, 10]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("net.onnx", "net.onnx"),
        ("..", "model"),
        ("../../etc/passwd", "etc_passwd"),
        (".hidden", "hidden"),
        ("straße 1.onnx", "straße 1.onnx"),
        ("a\0b:c*d.onnx", "a_b_c_d.onnx"),
        ("x" * 300 + ".onnx", "x" * 55 + ".onnx"),
    ],
)
def test_an_upload_keeps_its_name_as_far_as_that_is_harmless(store, source, name):
    path = store.upload(an_import(source=source))
    assert path.parent == store.folder("import1") / "upload"
    assert path.name == name


def test_what_a_crash_left_half_made_is_removed(store, tmp_path):
    store.create(an_import(1), an_upload(tmp_path))
    (tmp_path / "imports/half/upload").mkdir(parents=True)
    (tmp_path / "imports/damaged").mkdir()
    (tmp_path / "imports/damaged/import.json").write_text("{")
    assert [one.number for one in store.load()] == [1]
    assert [path.name for path in (tmp_path / "imports").iterdir()] == ["import1"]


def test_what_attempts_leave_goes_and_what_is_known_stays(store, tmp_path):
    one = an_import()
    store.create(one, an_upload(tmp_path))
    (store.folder("import1") / "made/net/1").mkdir(parents=True)
    (store.folder("import1") / "bundle").symlink_to(tmp_path / "uploads")
    store.clean(one)
    assert sorted(path.name for path in store.folder("import1").iterdir()) == ["import.json", "upload"]
    store.tidy(one)
    assert files(store.folder("import1")) == ["import.json"]
    assert (tmp_path / "uploads").is_dir()
    store.delete("import1")
    assert store.load() == []


def test_a_full_disk_leaves_nothing_of_an_import(store, tmp_path, files_of_at_most):
    upload = an_upload(tmp_path)
    with files_of_at_most(10), pytest.raises(StorageFull):
        store.create(an_import(), upload)
    upload.discard()
    assert files(tmp_path) == []


def test_a_change_that_the_disk_does_not_take_leaves_what_was_known(store, tmp_path, files_of_at_most):
    one = an_import()
    store.create(one, an_upload(tmp_path))
    with files_of_at_most(10), pytest.raises(StorageFull):
        store.save(one.model_copy(update={"attempts": 1}))
    assert store.load() == [one]
    assert json.loads((store.folder("import1") / "import.json").read_bytes())["attempts"] == 0
