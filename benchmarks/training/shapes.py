"""Moving shapes, which only time can tell apart: a net with a state, and the same net that sees one frame."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.stage import Stage
from benchmarks.table import Row, at_least, at_most, told
from benchmarks.training.trained import train

RECIPE = "moving-shapes"
WITH_TIME, WITHOUT = 0.99, 0.40


def rows(stage: Stage) -> Iterator[Row]:
    shown = train(stage, RECIPE)
    yield at_least("moving shapes, GRU: accuracy", shown.measure("accuracy"), WITH_TIME, shown.between("accuracy"))
    yield told("… from the command to its end", f"{shown.seconds / 60:.1f} min")
    still = train(stage, RECIPE, "data.input.frames=1", name="moving-shapes-still")
    yield at_most("… the same net without time", still.measure("accuracy"), WITHOUT, still.between("accuracy"))
