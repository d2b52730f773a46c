from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from server.core.machine import busy_s, cores, memory_bytes, processor, yield_to_others


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


def test_the_processor_is_named_and_told_apart_by_what_it_can_do(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    lines = (
        "processor\t: 0\nmodel name\t: Some CPU  @ 2.6GHz\ncpu MHz\t: {mhz}\nflags\t: fpu {flags}\n\nprocessor\t: 1\n"
    )
    file.write_text(lines.format(mhz=2600, flags="avx2"))
    name = processor(file)
    assert name.startswith("Some CPU @ 2.6GHz ")
    file.write_text(lines.format(mhz=800, flags="avx2"))
    assert processor(file) == name
    file.write_text(lines.format(mhz=2600, flags="avx2 avx512f"))
    assert processor(file) != name


def test_where_the_kernel_says_nothing_the_processor_has_a_name_all_the_same(tmp_path: Path) -> None:
    assert processor(tmp_path / "nothing")


def test_time_at_work_is_that_of_all_cores_without_waiting(tmp_path: Path) -> None:
    file = tmp_path / "stat"
    ticks = os.sysconf("SC_CLK_TCK")
    file.write_text(f"cpu  {ticks} {2 * ticks} {3 * ticks} 999999 888888 0 {4 * ticks} {5 * ticks} 0 0\ncpu0 1 2 3\n")
    assert busy_s(file) == 15
    assert busy_s(tmp_path / "nothing") is None


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
def test_only_the_thread_that_says_so_yields_to_others():
    priorities = {}

    def modest():
        yield_to_others()
        priorities["modest"] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=modest)
    thread.start()
    thread.join()
    assert priorities["modest"] > before
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
