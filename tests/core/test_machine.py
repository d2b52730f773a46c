from __future__ import annotations

import os
from pathlib import Path

import pytest

from server.core.machine import cores, memory_bytes


def control_group(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file = folder / name.replace("__", "/").replace("_of_", ".")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text + "\n")
    return folder


@pytest.mark.parametrize(("quota", "expected"), [("50000 100000", 1), ("100000 100000", 1)])
def test_a_quota_of_the_control_group_is_the_number_of_cores(tmp_path: Path, quota: str, expected: int) -> None:
    assert cores(control_group(tmp_path, cpu_of_max=quota)) == expected


def test_a_quota_of_version_1_counts_too(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cores(tmp_path) == 1


@pytest.mark.parametrize("quota", ["max 100000", "99900000 100000"])
def test_no_more_cores_than_there_are(tmp_path: Path, quota: str) -> None:
    assert cores(control_group(tmp_path, cpu_of_max=quota)) == cores(tmp_path / "nothing") <= (os.cpu_count() or 1)


def test_a_memory_limit_of_the_control_group_counts(tmp_path: Path) -> None:
    unlimited = memory_bytes(tmp_path / "nothing")
    assert memory_bytes(control_group(tmp_path, memory_of_max="1000000")) == 1_000_000
    assert memory_bytes(control_group(tmp_path, memory_of_max="max")) == unlimited
