"""Trains once undisturbed, and once killed (SIGKILL) again and again and gone on with until it is done.

Prints how often it was killed. A child is killed a random moment after it has made a few batches: in a step, in
validation, while a checkpoint is written. Children are forked, so that only this process waits for torch's import.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from fit_builders import shades, trained

EPOCHS, BATCHES_OF_EPOCH = 8, 3
FIT = {
    "epochs": EPOCHS,
    "optimiser": {"kind": "sgd", "rate": 0.05, "momentum": 0.9},
    "schedule": {"kind": "one_cycle", "warmup": 0.5},
    "loss": {"l2": 0.01, "smoothing": 0.1},
}


def counting(made: mmap.mmap) -> Callable[[int, object], None]:
    """Counts batches in `made[0]`. An epoch after those of `made[1]`, unless they are none, it waits to be killed: who
    is to do it may be held up.
    """

    def count(epoch: int, places: object) -> None:
        made[0] = min(made[0] + 1, 255)
        while 0 < made[1] < made[0] - BATCHES_OF_EPOCH:
            time.sleep(0.01)

    made[:] = bytes(2)
    return count


def begun(folder: Path, made: mmap.mmap) -> int:
    """A child that trains, or goes on, and counts the batches that it made."""
    count = counting(made)
    child = os.fork()
    if child == 0:
        trained(folder, shades(before=count), resume=folder.exists(), fit=FIT)
        os._exit(0)
    return child


def killed_after(child: int, made: mmap.mmap, batches: int, pause_s: float) -> bool:
    """Kill a child a moment after it has made so many batches; False if it was done before that.

    Raises:
        SystemExit: it failed by itself.
    """
    made[1] = batches
    while made[0] < batches:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status:
                sys.exit(f"The run failed when it went on: {os.waitstatus_to_exitcode(status)}.")
            return False
        time.sleep(0.0005)
    time.sleep(pause_s)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def kills(folder: Path) -> int:
    torch.set_num_threads(1)
    moments, made = random.Random(0), mmap.mmap(-1, 2)
    started = time.monotonic()
    undisturbed = begun(folder / "undisturbed", made)
    if os.waitpid(undisturbed, 0)[1] != 0:
        sys.exit("The undisturbed run failed.")
    epoch_s = (time.monotonic() - started) / EPOCHS
    count = 0
    # Never fewer than an epoch's batches three times in a row, so that it ends.
    while killed_after(
        begun(folder / "killed", made),
        made,
        moments.randint(1, BATCHES_OF_EPOCH) + BATCHES_OF_EPOCH * (count % 3 == 2),
        moments.uniform(0, epoch_s / 2),
    ):
        count += 1
    return count


if __name__ == "__main__":
    sys.stdout.write(f"{kills(Path(sys.argv[1]))}\n")
