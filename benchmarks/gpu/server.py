"""The whole server with its models on the device: videos at once, each decoded, analysed and tracked."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.gpu.device import watched
from benchmarks.serving import serving
from benchmarks.stage import MODEL, Stage
from benchmarks.table import Row, told

AT_ONCE = (1, 4, 16)


def rows(stage: Stage) -> Iterator[Row]:
    with serving(stage.data, engine__provider="cuda", engine__require_provider="true") as server:
        server.run([stage.video] * max(AT_ONCE), {"model": MODEL})
        for videos in AT_ONCE:
            with watched() as seen:
                done = server.run([stage.video] * videos, {"model": MODEL})
            spent = ", ".join(f"{name} {seconds / done.frames * 1e3:.2f}" for name, seconds in done.cpu.items())
            note = f"{done.frames} frames, {server.tuning()}; ms of processor time a frame: {spent}; {seen.note}"
            yield told(f"{videos} videos at once" if videos > 1 else "one video", f"{done.fps:.0f} frames/s", note)
