"""Reads files that never come, in two processes, and says which: `endless_reading.py FOLDER`."""

import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path

from training.data.cache import FrameCache
from training.data.frame_spec import FrameSpec
from training.data.listing import Listing, Sample
from training.data.reading import read_all

FILES = 8


def say_workers() -> None:
    """The workers' process numbers, once all are there."""
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.01)
    sys.stdout.write(" ".join(str(one.pid) for one in multiprocessing.active_children()) + "\n")
    sys.stdout.flush()


def main() -> None:
    folder = Path(sys.argv[1])
    samples = []
    for at in range(FILES):
        # Who opens a pipe waits for somebody who writes.
        os.mkfifo(folder / f"{at}.png")
        samples.append(Sample(str(at), folder / f"{at}.png", at % 2, str(at)))
    threading.Thread(target=say_workers, daemon=True).start()
    listing = Listing(tuple(samples), ("a", "b"), "class")
    spec = FrameSpec(width=16, height=16)
    read_all(listing, spec, FrameCache(folder / "cache", 10**6), workers=2, keep=lambda at, frames: None)


if __name__ == "__main__":
    main()
