import shutil
import zipfile
from pathlib import Path

import pytest
from model_builders import detect_manifest, written

from model_export.bundle import Bundle
from model_export.errors import BundleInvalid, ManifestInvalid, ModelExists, VariantUnknown
from model_export.manifest import Batch, Precision, Variant


def zipped(folder: Path, archive: Path, *, inside: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as content:
        for path in sorted(folder.rglob("*")):
            content.write(path, f"{inside}{path.relative_to(folder).as_posix()}")
    return archive


def test_what_was_written_opens_and_verifies(tmp_path: Path) -> None:
    bundle = written(tmp_path)

    again = Bundle.open(bundle.folder)
    again.verify()

    assert again.manifest == bundle.manifest
    assert set(again.manifest.files) == {"model.onnx", "golden.npz"}
    assert again.model.read_bytes() == b"graph"
    assert again.golden == bundle.folder / "golden.npz"


def test_files_may_lie_in_folders_and_come_from_files(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>")

    bundle = Bundle.write(tmp_path / "b", detect_manifest(), {"model.onnx": b"m", "report/page.html": page})

    bundle.verify()
    assert (bundle.folder / "report" / "page.html").read_text() == "<p>"
    assert bundle.golden is None


def test_a_bundle_is_written_once(tmp_path: Path) -> None:
    written(tmp_path)

    with pytest.raises(ModelExists):
        written(tmp_path)
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == ["1"]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Bundle.write(tmp_path / "b", detect_manifest(), {"model.onnx": tmp_path / "absent"})

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\\x", ""])
def test_a_name_outside_the_folder_is_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="files of a bundle"):
        Bundle.write(tmp_path / "b", detect_manifest(), {"model.onnx": b"", name: b""})


def test_a_changed_file_is_found_by_its_hash(tmp_path: Path) -> None:
    bundle = written(tmp_path)
    bundle.model.write_bytes(b"grahp")

    with pytest.raises(BundleInvalid, match=r"model\.onnx is not the file that the manifest was written for"):
        Bundle.open(bundle.folder).verify()


def test_a_stranger_is_found(tmp_path: Path) -> None:
    bundle = written(tmp_path)
    (bundle.folder / "extra.py").write_text("")

    with pytest.raises(BundleInvalid, match=r"extra\.py is not in the manifest"):
        bundle.verify()


def test_a_link_is_found(tmp_path: Path) -> None:
    bundle = written(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(bundle.model, elsewhere)
    bundle.model.symlink_to(elsewhere)

    with pytest.raises(BundleInvalid, match=r"model\.onnx is a link"):
        bundle.verify()


def test_a_missing_file_is_found_when_the_bundle_is_opened(tmp_path: Path) -> None:
    bundle = written(tmp_path)
    bundle.model.unlink()

    with pytest.raises(BundleInvalid, match=r"model\.onnx is missing"):
        Bundle.open(bundle.folder)
    with pytest.raises(BundleInvalid, match=r"model\.onnx is missing"):
        bundle.verify()


def test_a_manifest_that_points_outside_is_refused(tmp_path: Path) -> None:
    bundle = written(tmp_path)
    files = bundle.manifest.files | {"../../secret": "0" * 64}
    changed = bundle.manifest.model_copy(update={"files": files})
    (bundle.folder / "manifest.json").write_text(changed.to_json())

    with pytest.raises(BundleInvalid, match="lies outside the bundle"):
        Bundle.open(bundle.folder)


@pytest.mark.parametrize("inside", ["", "tiny/"], ids=["at the top", "in a folder"])
def test_a_zipped_bundle_is_unpacked(tmp_path: Path, inside: str) -> None:
    archive = zipped(written(tmp_path / "a").folder, tmp_path / "b.zip", inside=inside)

    bundle = Bundle.unpack(archive, tmp_path / "models" / "new")

    bundle.verify()
    assert bundle.folder == tmp_path / "models" / "new"
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["new"]


def test_a_zip_with_a_changed_file_leaves_nothing(tmp_path: Path) -> None:
    source = written(tmp_path / "a")
    source.model.write_bytes(b"other")
    archive = zipped(source.folder, tmp_path / "b.zip")

    with pytest.raises(BundleInvalid):
        Bundle.unpack(archive, tmp_path / "models" / "new")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_zip_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as content:
        content.writestr("readme.txt", "hello")

    with pytest.raises(ManifestInvalid, match=r"holds no manifest\.json"):
        Bundle.unpack(tmp_path / "b.zip", tmp_path / "models" / "new")


def with_variant(folder: Path, *files: str) -> Bundle:
    variant = Variant(
        precision=Precision.INT8, metric="map", value=0.5, lost=0.2, tolerance=0.1, batch=Batch(invariant=False)
    )
    manifest = detect_manifest().model_copy(update={"variants": {"int8": variant}})
    return Bundle.write(folder / "b", manifest, {name: name.encode() for name in ("model.onnx", *files)})


def test_a_variant_is_the_same_bundle_with_another_graph(tmp_path: Path) -> None:
    bundle = with_variant(tmp_path, "model.int8.onnx")

    bundle.verify()
    variant = Bundle.open(bundle.folder).as_variant("int8")

    assert variant.model.read_bytes() == b"model.int8.onnx"
    assert variant.sha256 == bundle.manifest.files["model.int8.onnx"] != bundle.sha256
    assert (variant.manifest.precision, variant.manifest.batch.invariant) == (Precision.INT8, False)
    assert variant.manifest.id == bundle.manifest.id
    assert bundle.as_variant(None) is bundle


def test_a_variant_that_is_not_there_is_named_beside_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(VariantUnknown, match="has no variant 'fp16'; it has int8"):
        with_variant(tmp_path, "model.int8.onnx").as_variant("fp16")


def test_a_variant_without_its_file_is_no_whole_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleInvalid, match=r"has a variant int8, and lists no model\.int8\.onnx"):
        Bundle.open(with_variant(tmp_path).folder)


def test_a_variant_that_was_changed_is_found(tmp_path: Path) -> None:
    bundle = with_variant(tmp_path, "model.int8.onnx")
    bundle.as_variant("int8").model.write_bytes(b"changed")

    with pytest.raises(BundleInvalid, match=r"model\.int8\.onnx is not the file"):
        bundle.verify()
