from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

KILLED_SEARCH = Path(__file__).parents[1] / "killed_search.py"


def rows(folder: Path) -> list[tuple[str, ...]]:
    """What was chosen in each trial and what came of it, without those that died, numbers, and times."""
    with (folder / "trials.csv").open(newline="") as file:
        whole = list(csv.DictReader(file))
    left_out = ("trial", "seconds")
    return [
        tuple(value for key, value in row.items() if key not in left_out) for row in whole if row["outcome"] != "died"
    ]


def test_a_search_that_is_killed_again_and_again_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(KILLED_SEARCH), str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kills = int(done.stdout.split()[-1])

    assert kills >= 2
    assert rows(tmp_path / "killed") == rows(tmp_path / "undisturbed")
    assert len(rows(tmp_path / "killed")) >= 4
    died = [row for row in (tmp_path / "killed" / "trials.csv").read_text().splitlines() if ",died," in row]
    assert died
