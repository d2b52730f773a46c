"""Searches once undisturbed, and once killed (SIGKILL) again and again and gone on with until it is done.

Prints how often it was killed. Children are forked, so that only this process waits for torch's import.
"""

from __future__ import annotations

import mmap
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from fit_builders import shades
from killed_run import BATCHES_OF_EPOCH, counting, killed_after
from search_builders import HEAD, a_search, searched

from training.search.study import Study

# Some lists make no net, so that there are trials of all kinds.
NET = [
    {
        "choose": {
            "none": [],
            "conv": [{"particle": "conv", "channels": {"choose": [2, 4]}}],
            "not": ["flatten", "pool"],
        }
    },
    *HEAD,
]
SEARCH = {"trials": 4, "epochs": 2, "random": 3, "pruner": {"startup": 2}}
KILLS = 4


def begun(folder: Path, made: mmap.mmap) -> int:
    """A child that searches, or goes on, and counts the batches that it learns."""
    count = counting(made)
    child = os.fork()
    if child == 0:
        searched(a_search(folder.parent, net=NET, search=SEARCH), folder, shades(before=count))
        os._exit(0)
    return child


def kills(folder: Path) -> int:
    torch.set_num_threads(1)
    moments, made = random.Random(1), mmap.mmap(-1, 2)
    # What a database needs is imported when one is made.
    search = a_search(folder)
    Study(folder / "first.sqlite3", search.name, search.config, higher_is_better=True).close()
    if os.waitpid(begun(folder / "undisturbed", made), 0)[1] != 0:
        sys.exit("The undisturbed search failed.")
    count = 0
    # Never before a trial has finished an epoch, so that none is given up.
    while count < KILLS and killed_after(
        begun(folder / "killed", made),
        made,
        moments.randint(BATCHES_OF_EPOCH + 1, 2 * BATCHES_OF_EPOCH + 1),
        moments.uniform(0, 0.2),
    ):
        count += 1
    if os.waitpid(begun(folder / "killed", made), 0)[1] != 0:
        sys.exit("The search failed when it went on.")
    return count


if __name__ == "__main__":
    sys.stdout.write(f"{kills(Path(sys.argv[1]))}\n")
