"""How small: memory of all processes, as PSS, so that what they share counts once.

What measures must share nothing with them, so this imports neither OpenCV nor ONNX Runtime nor PyAV.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import processes
from benchmarks.serving import serving
from benchmarks.stage import MODEL, MOVING, Stage
from benchmarks.table import Row, at_most, told

BOUND_MB = 600


def rows(stage: Stage) -> Iterator[Row]:
    """After jobs with tracking on both workers, with both models."""
    with serving(stage.data, engine__models=f"{MODEL},{MOVING}", workers__count="2") as server:
        for model in (MODEL, MOVING):
            server.run([stage.video] * 4, {"model": model})
        memory, tuning = server.memory(), server.tuning()
    note = f"{tuning}{'; TOO LITTLE: other servers here share its libraries' * bool(processes.servers())}"
    yield at_most("memory of all processes", sum(memory.values()), BOUND_MB, note, unit=" MB", digits=0)
    for name, size in memory.items():
        yield told(f"… {name}", f"{size:.0f} MB")
