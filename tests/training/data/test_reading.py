"""Reading a whole data set once."""

import dataclasses
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from data_builders import clip, folders, picture, save
from deadly_path import DeadlyPath

from training.data.cache import FrameCache
from training.data.frame_spec import FrameSpec
from training.data.listing import PICTURES, VIDEOS, Listing, Sample
from training.data.reading import Reading, read_all
from training.data.sources.folders import read_folders
from training.errors import DataError, TooManyBroken

SPEC = FrameSpec(width=16, height=12, frames=4, resize="stretch")


def read(listing: Listing, cache: FrameCache, *, workers: int = 0) -> tuple[list[Reading], dict[int, np.ndarray]]:
    kept: dict[int, np.ndarray] = {}
    readings = read_all(
        listing, SPEC, cache, workers=workers, keep=lambda at, frames: kept.update({at: np.array(frames)})
    )
    return readings, kept


def pictures(root: Path, count: int) -> Listing:
    return read_folders(folders(root, {"cat": count // 2, "dog": count - count // 2}), PICTURES)


def spoil(listing: Listing, *places: int) -> None:
    for at in places:
        listing.samples[at].path.write_bytes(b"not a picture any more")


@pytest.mark.parametrize("workers", [0, 2])
def test_every_sample_is_read_and_kept_in_the_cache(tmp_path: Path, workers: int) -> None:
    listing = pictures(tmp_path / "data", 12)
    cache = FrameCache(tmp_path / "cache", 10**6)
    readings, kept = read(listing, cache, workers=workers)
    assert [one.at for one in readings] == list(range(12))
    assert [one.count for one in readings] == [1] * 12
    assert len({one.content for one in readings}) == 12
    assert sorted(kept) == list(range(12))
    assert len(list(cache.folder.glob("*.npy"))) == 12
    assert not list(cache.folder.glob("*.part"))


def test_a_second_reading_decodes_nothing(tmp_path: Path) -> None:
    clip(tmp_path / "data" / "go" / "a.mp4", 8)
    clip(tmp_path / "data" / "stop" / "b.mp4", 8, first=50)
    listing = read_folders(tmp_path / "data", VIDEOS)
    first, kept = read(listing, FrameCache(tmp_path / "cache", 10**6))
    written = {file: file.stat().st_ino for file in (tmp_path / "cache").iterdir()}
    second, again = read(listing, FrameCache(tmp_path / "cache", 10**6))
    assert first == second
    assert all(np.array_equal(kept[at], again[at]) for at in kept)
    assert written == {file: file.stat().st_ino for file in (tmp_path / "cache").iterdir()}


def test_what_has_no_room_in_the_cache_is_handed_over_all_the_same(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "cache", 0)
    readings, kept = read(pictures(tmp_path / "data", 6), cache)
    assert len(kept) == 6
    assert [one.key for one in readings] == [""] * 6
    assert not list(cache.folder.iterdir())


def test_a_broken_file_is_left_out_with_the_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listing = pictures(tmp_path / "data", 40)
    spoil(listing, 3)
    with caplog.at_level(logging.WARNING):
        readings, kept = read(listing, FrameCache(tmp_path / "cache", 10**6))
    assert [one.at for one in readings if one.broken] == [3]
    assert "no picture that OpenCV can read" in readings[3].broken
    assert 3 not in kept
    assert f"Left out: {listing.samples[3].id}: It is no picture" in caplog.text


def test_a_file_that_cannot_be_opened_is_broken_too(tmp_path: Path) -> None:
    listing = pictures(tmp_path / "data", 40)
    listing.samples[5].path.unlink()
    readings, _ = read(listing, FrameCache(tmp_path / "cache", 10**6))
    assert readings[5].broken == "It cannot be read: No such file or directory."


def test_more_than_one_in_twenty_stops_the_run_and_lists_them(tmp_path: Path) -> None:
    listing = pictures(tmp_path / "data", 40)
    spoil(listing, 1, 20)
    read(listing, FrameCache(tmp_path / "cache", 10**6))
    spoil(listing, 30)
    with pytest.raises(TooManyBroken) as told:
        read(listing, FrameCache(tmp_path / "cache", 10**6))
    assert told.value.code == "data_too_many_broken"
    assert "3 of 40 samples" in told.value.message
    for at in (1, 20, 30):
        assert listing.samples[at].id in told.value.message


def test_a_file_that_kills_its_decoder_is_broken_and_the_others_are_read(tmp_path: Path) -> None:
    listing = pictures(tmp_path / "data", 20)
    samples, deadly = list(listing.samples), 17  # all that wait with it are read again, each by a process of its own
    samples[deadly] = dataclasses.replace(samples[deadly], path=DeadlyPath(samples[deadly].path))
    readings, kept = read(
        Listing(tuple(samples), listing.labels, "class"), FrameCache(tmp_path / "cache", 10**6), workers=2
    )
    assert [one.at for one in readings if one.broken] == [deadly]
    assert readings[deadly].broken == "Its decoder crashed."
    assert len(kept) == 19


def test_a_picture_with_many_boxes_is_decoded_for_each_of_them(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", picture(60))
    boxes = [(0, 0, 4, 4), (8, 8, 16, 16)]
    samples = tuple(Sample(f"a#{at}", path, at, "a", box=box) for at, box in enumerate(boxes))
    _, kept = read(Listing(samples, ("x", "y"), "class"), FrameCache(tmp_path / "cache", 10**6))
    assert (kept[0] == 255).all()
    assert (kept[1] == 60).all()


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FrameCache(tmp_path / "cache", 10**6)
    cache.folder.rmdir()
    with pytest.raises(DataError, match="Decoded frames cannot be written to") as told:
        read(pictures(tmp_path / "data", 4), cache)
    assert "data.cache.folder" in str(told.value.hint)


def test_workers_end_when_who_started_them_is_killed(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "endless_reading.py"
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE, text=True, env=environ) as parent:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2
        parent.kill()
    deadline = time.monotonic() + 30
    while any(map(alive, workers)):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
