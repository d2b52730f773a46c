"""OpenCV's VideoCapture and nothing else: what reading so many streams costs at least.

python -m benchmarks.cameras.bare SECONDS URL …      (prints MB of memory and processor seconds a second)
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import processes

_PATIENCE_S = 120
"""OpenCV opens one source at a time."""


@dataclass(frozen=True)
class Bare:
    """
    Attributes:
        memory: PSS of the process in MB.
        cpu: cores that it kept busy.
    """

    memory: float
    cpu: float


def bare(urls: Sequence[str], seconds: float) -> Bare:
    """Read streams in a process of its own, a thread each, every frame decoded and thrown away."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cameras.bare", f"{seconds:g}", *urls],
        env={**os.environ, "OPENCV_FFMPEG_CAPTURE_OPTIONS": "rtsp_transport;tcp|analyzeduration;100000"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    memory, cpu = map(float, done.stdout.split())
    return Bare(memory, cpu)


def main() -> None:
    import cv2

    seconds, urls = float(sys.argv[1]), sys.argv[2:]
    reading = threading.Barrier(len(urls) + 1)

    def read(url: str) -> None:
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        capture.read()
        reading.wait(_PATIENCE_S)
        while capture.read()[0]:
            pass

    for url in urls:
        threading.Thread(target=read, args=(url,), daemon=True).start()
    reading.wait(_PATIENCE_S)
    start, spent = time.monotonic(), time.process_time()
    time.sleep(seconds)
    cpu = (time.process_time() - spent) / (time.monotonic() - start)
    print(processes.pss_mb(os.getpid()), cpu, flush=True)
    os._exit(0)  # captures are still being read


if __name__ == "__main__":
    main()
