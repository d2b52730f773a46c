"""Moving shapes, which only time can tell apart: a net with a state, and the same net that sees one frame."""

from __future__ import annotations

import json
from collections.abc import Iterator

import yaml

from benchmarks.stage import Stage
from benchmarks.table import Row, at_least, at_most, told
from benchmarks.training.trained import train
from training.recipes import find

RECIPE = "moving-shapes"
IN_TIME = {"frame_difference", "gru", "time_pool"}
WITH_TIME, WITHOUT = 0.99, 0.40


def rows(stage: Stage) -> Iterator[Row]:
    shown = train(stage, RECIPE)
    yield at_least(
        "moving shapes, GRU: accuracy", shown.measure("accuracy"), WITH_TIME, shown.between("accuracy"), digits=4
    )
    yield told("… from the command to its end", f"{shown.seconds / 60:.1f} min")
    still = train(stage, RECIPE, "data.input.frames=1", f"net={_without_time()}", name="moving-shapes-still")
    yield at_most(
        "… the same net without time", still.measure("accuracy"), WITHOUT, still.between("accuracy"), digits=4
    )


def _without_time() -> str:
    """The recipe's net without the particles that look along time, for one frame of a clip; on one line."""
    net = yaml.safe_load(find(RECIPE).read_text(encoding="utf-8"))["net"]
    return json.dumps([entry for entry in net if entry["particle"] not in IN_TIME])
