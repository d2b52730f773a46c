"""Blood cells, cut out of smears by their boxes."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.stage import Stage
from benchmarks.table import Row, at_least, told
from benchmarks.training.trained import data_of, train

F1 = 0.95


def rows(stage: Stage) -> Iterator[Row]:
    cells = train(stage, "cells", f"data.source.path={data_of(stage, 'bccd')}")
    yield at_least("cells: macro F1 on the given test list", cells.measure("f1"), F1, cells.between("f1"))
    each = ", ".join(f"{row['label']} {row['f1']:.3f}" for row in cells.evaluation["labels"])
    yield told("… by class", each, f"trained in {cells.seconds / 60:.1f} min")
