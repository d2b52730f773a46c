from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
from video_builders import small_video

from model_export.orientation import may_mirror


@pytest.mark.parametrize("name", ["v.mp4", "v.mov", "v.mkv", "v.avi", "v.ts"])
def test_what_says_nothing_of_mirroring_need_not_be_decoded_for_it(tmp_path: Path, name: str) -> None:
    assert not may_mirror(small_video(tmp_path / name))


def a_box(kind: bytes, *inside: bytes, large: bool = False) -> bytes:
    content = b"".join(inside)
    if large:
        return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content
    return struct.pack(">I4s", 8 + len(content), kind) + content


def a_header(version: int, *matrix: int) -> bytes:
    before = bytes([version, *bytes(39 if version == 0 else 51)])
    return a_box(b"tkhd", before, struct.pack(">9i", *(65536 * one for one in matrix)), bytes(8))


UPRIGHT, MIRRORED = (1, 0, 0, 0, 1, 0, 0, 0, 1), (1, 0, 0, 0, -1, 0, 0, 0, 1)


@pytest.mark.parametrize("version", [0, 1])
def test_the_header_of_any_track_may_say_so_behind_the_pictures_too(tmp_path: Path, version: int) -> None:
    start = a_box(b"ftyp", b"isom") + a_box(b"mdat", bytes(5000), large=True)
    for last, expected in ((MIRRORED, True), (UPRIGHT, False)):
        tracks = (a_box(b"trak", a_header(version, *one), a_box(b"mdia", bytes(90))) for one in (UPRIGHT, last))
        (tmp_path / "v").write_bytes(start + a_box(b"moov", a_box(b"mvhd", bytes(100)), *tracks))
        assert may_mirror(tmp_path / "v") is expected


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        b"\0\0\0\1mdat",
        b"\0\0\0\7moov",
        b"\0\0\0\x60tkhd\0",
        struct.pack(">I4sQ", 1, b"mdat", 3),
        struct.pack(">I4sQ", 1, b"mdat", 1 << 63),
    ],
)
def test_headers_that_cannot_be_are_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "v").write_bytes(content)
    assert not may_mirror(tmp_path / "v")


def test_a_file_of_nothing_but_headers_takes_no_time(tmp_path: Path) -> None:
    (tmp_path / "v").write_bytes(a_box(b"free") * 2_000_000)
    start = time.thread_time()
    assert not may_mirror(tmp_path / "v")
    assert time.thread_time() - start < 1
