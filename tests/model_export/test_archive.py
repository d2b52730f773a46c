import stat
import warnings
import zipfile
from pathlib import Path

import pytest

from model_export.archive import extract
from model_export.errors import BundleInvalid


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "deep" / "into"
    folder.mkdir(parents=True)
    return folder


def archive(folder: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    path = folder / "upload.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as content, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that stand twice, which is the point of a test
        for name, data in entries:
            content.writestr(name, data)
    return path


def outside(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.rglob("*") if path.is_file() and path.name != "upload.zip")


def test_files_and_folders_are_unpacked(tmp_path: Path, into: Path) -> None:
    extract(archive(tmp_path, ("a.txt", b"one"), ("sub/", b""), ("sub/b.txt", b"two")), into)

    assert (into / "a.txt").read_bytes() == b"one"
    assert (into / "sub" / "b.txt").read_bytes() == b"two"


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "C:/evil", "C:\\evil", "a/..", "."]
)
def test_a_name_that_leads_outside_is_refused(tmp_path: Path, into: Path, name: str) -> None:
    with pytest.raises(BundleInvalid, match=r"leads outside"):
        extract(archive(tmp_path, (name, b"x")), into)
    assert outside(tmp_path) == []


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR], ids=["link", "pipe", "device"])
def test_links_and_special_files_are_refused(tmp_path: Path, into: Path, kind: int) -> None:
    entry = zipfile.ZipInfo("model.onnx")
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16

    with pytest.raises(BundleInvalid, match="link or a special file"):
        extract(archive(tmp_path, (entry, b"/etc/passwd")), into)
    assert outside(tmp_path) == []


def test_a_bomb_is_stopped_while_it_unpacks(tmp_path: Path, into: Path) -> None:
    bomb = archive(tmp_path, ("zeros", bytes(64 << 20)))

    with pytest.raises(BundleInvalid, match="unpacks to more than 16 MB"):
        extract(bomb, into)
    assert (into / "zeros").stat().st_size <= 16 << 20


def test_what_the_archive_claims_of_a_size_is_not_believed(tmp_path: Path, into: Path) -> None:
    path = archive(tmp_path, ("zeros", bytes(20 << 20)))
    content = bytearray(path.read_bytes())
    # The uncompressed size stands at byte 24 of the central directory's entry.
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    path.write_bytes(content)

    with pytest.raises(BundleInvalid):
        extract(path, into)
    assert (into / "zeros").stat().st_size <= 16 << 20


def test_many_entries_are_refused(tmp_path: Path, into: Path) -> None:
    with pytest.raises(BundleInvalid, match="holds 1001 entries"):
        extract(archive(tmp_path, *((f"{index}", b"") for index in range(1001))), into)


def test_a_name_that_stands_twice_is_refused(tmp_path: Path, into: Path) -> None:
    with pytest.raises(BundleInvalid, match="holds a name twice"):
        extract(archive(tmp_path, ("a", b"1"), ("a", b"2")), into)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x05\x06"], ids=["empty", "text", "cut off"])
def test_what_is_no_zip_is_refused(tmp_path: Path, into: Path, content: bytes) -> None:
    path = tmp_path / "upload.zip"
    path.write_bytes(content)

    with pytest.raises(BundleInvalid, match="is not a zip file"):
        extract(path, into)


def test_a_damaged_file_is_refused(tmp_path: Path, into: Path) -> None:
    path = archive(tmp_path, ("a", b"some content " * 100))
    content = bytearray(path.read_bytes())
    content[40] ^= 0xFF
    path.write_bytes(content)

    with pytest.raises(BundleInvalid):
        extract(path, into)
