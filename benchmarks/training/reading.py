"""Reading clips while training: the first epoch decodes, those after it take what was kept."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator

import yaml

from benchmarks.stage import Stage
from benchmarks.table import Row, at_least, told
from benchmarks.training.trained import data_of
from training.data.loading import load_data
from training.order import Order, loader
from training.recipe import read_recipe
from training.recipes import find

FASTER = 3.0


def rows(stage: Stage) -> Iterator[Row]:
    path = data_of(stage, "fights/clips.csv")
    changes = [f"data.source.path={path}", f"data.cache.folder={yaml.safe_dump(str(stage.data / 'frames')).strip()}"]
    recipe = read_recipe(find("fights-gru"), changes)
    run = stage.data / "reading"
    run.mkdir()
    start, busy = time.monotonic(), _processor_s()
    data = load_data(recipe.data, run)
    decoding = time.monotonic() - start
    used = (_processor_s() - busy) / decoding / len(os.sched_getaffinity(0))
    order = Order(len(data.train), recipe.fit.batch, seed=recipe.seed)
    passes = []
    for epoch in range(3):
        order.set_epoch(epoch)
        start = time.monotonic()
        clips = sum(len(batch) for batch in loader(data.train, order, workers=data.workers))
        passes.append(time.monotonic() - start)
    first, second = decoding + passes[0], min(passes[1:])
    note = f"{clips} clips, with augmentation: {first:.1f} s → {second:.1f} s, without the net"
    yield at_least("reading clips: second epoch against the first", first / second, FASTER, note, unit="×", digits=1)
    yield told("… cores busy while it decodes", f"{used:.0%}", f"{decoding:.1f} s")


def _processor_s() -> float:
    """Of this process and of those that it ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
