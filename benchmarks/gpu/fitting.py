"""Training on the device: the recipe that makes its own clips, in full and in half precision, and exported after it."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.gpu.device import watched
from benchmarks.stage import Stage
from benchmarks.table import Row, at_least
from benchmarks.training.shapes import RECIPE, WITH_TIME
from benchmarks.training.trained import train

PRECISIONS = ("32", "bf16-mixed", "16-mixed")


def rows(stage: Stage) -> Iterator[Row]:
    for precision in PRECISIONS:
        name = f"{RECIPE}-cuda-{precision}"
        with watched() as seen:
            run = train(stage, RECIPE, "fit.device=cuda", f"fit.precision={precision}", name=name)
        note = f"{run.between('accuracy')}; {run.seconds:.0f} s from the command to its end; {seen.note}"
        yield at_least(f"moving shapes on the device, {precision}", run.measure("accuracy"), WITH_TIME, note, digits=4)
