"""Decoded frames on disk."""

import os
from pathlib import Path

import numpy as np
import pytest

from training.data.cache import FrameCache, default_folder, key_of, load, stage
from training.data.frame_spec import FrameSpec
from training.data.listing import Sample

SPEC = FrameSpec(width=16, height=12)
SAMPLE = Sample("a", Path("a.mp4"), 0, "a")
ENTRY = 1000 + 128
"""Bytes of the file for 1000 pixels."""


def frames(grey: int = 0) -> np.ndarray:
    return np.full((1, 10, 100, 1), grey, np.uint8)


def add(cache: FrameCache, key: str, grey: int = 0) -> bool:
    return cache.admit(key, stage(cache.folder, frames(grey)))


def test_what_is_put_in_comes_out_mapped(tmp_path: Path) -> None:
    assert add(FrameCache(tmp_path, 10_000), "a", 7)
    kept = load(tmp_path, "a")
    assert isinstance(kept, np.memmap)
    assert (kept == 7).all()
    assert load(tmp_path, "b") is None


def test_the_bound_holds_and_what_this_run_uses_stays(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, 3 * ENTRY)
    taken = [add(cache, key) for key in "abcde"]
    assert taken == [True, True, True, False, False]
    assert cache.size == 3 * ENTRY == sum(file.stat().st_size for file in tmp_path.glob("*.npy"))


def test_entries_of_earlier_runs_make_room_the_longest_unused_first(tmp_path: Path) -> None:
    earlier = FrameCache(tmp_path, 3 * ENTRY)
    for at, key in enumerate("abc"):
        add(earlier, key)
        os.utime(tmp_path / f"{key}.npy", (1000 - at, 1000 - at))
    cache = FrameCache(tmp_path, 3 * ENTRY)
    cache.use("c")
    assert add(cache, "d")
    assert sorted(file.stem for file in tmp_path.glob("*.npy")) == ["a", "c", "d"]
    assert add(cache, "e")
    assert not add(cache, "f")
    assert sorted(file.stem for file in tmp_path.glob("*.npy")) == ["c", "d", "e"]


def test_a_bound_of_nothing_keeps_nothing(tmp_path: Path) -> None:
    assert not add(FrameCache(tmp_path, 0), "a")


def test_a_damaged_entry_counts_as_none(tmp_path: Path) -> None:
    add(FrameCache(tmp_path, 10_000), "a")
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:500])
    (tmp_path / "b.npy").write_bytes(b"")
    assert load(tmp_path, "a") is None
    assert load(tmp_path, "b") is None


def test_what_a_killed_process_staged_is_swept(tmp_path: Path) -> None:
    old, new = stage(tmp_path, frames()), stage(tmp_path, frames())
    os.utime(old, (1000, 1000))
    FrameCache(tmp_path, 10_000)
    assert not old.exists()
    assert new.exists()


def test_other_content_cuts_and_sizes_have_other_names() -> None:
    names = {
        key_of("c1", SAMPLE, SPEC),
        key_of("c2", SAMPLE, SPEC),
        key_of("c1", Sample("a", Path("a.mp4"), 0, "a", start_s=1.0), SPEC),
        key_of("c1", Sample("a", Path("a.mp4"), 0, "a", box=(1, 2, 3, 4)), SPEC),
        key_of("c1", SAMPLE, FrameSpec(width=16, height=16)),
        key_of("c1", SAMPLE, FrameSpec(width=16, height=12, fps=5)),
    }
    assert len(names) == 6


def test_a_file_that_moved_or_has_another_label_keeps_its_entry() -> None:
    moved = Sample("b", Path("elsewhere/b.mp4"), 3, "b")
    assert key_of("c1", SAMPLE, SPEC) == key_of("c1", moved, SPEC)


@pytest.mark.parametrize(
    ("environ", "folder"),
    [({"XDG_CACHE_HOME": "/var/tmp/c"}, Path("/var/tmp/c")), ({}, Path.home() / ".cache")],
)
def test_the_folder_is_the_users_cache(environ: dict[str, str], folder: Path) -> None:
    assert default_folder(environ) == folder / "vidserve" / "frames"
