"""Digits: the classic net as its recipe trains it, against a bare loop and against Keras; and the best small net.

The bare loop takes an epoch after each of the recipe's, in the same process, so that both see the same machine.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from benchmarks.environment import Environment
from benchmarks.failure import NotMeasured
from benchmarks.stage import Stage
from benchmarks.table import Row, at_least, at_most, spread, told
from benchmarks.training.trained import data_of, evaluated, train
from training.batch import Part
from training.data.loading import load_data
from training.fit import fit
from training.recipe import Recipe, read_recipe
from training.recipes import find

ACCURACY, BEST_ACCURACY = 0.985, 0.994
RATIO = 1.15
KERAS = ("tensorflow-cpu==2.21.0", "keras==3.12.0")
_KERAS_EPOCHS = 3


def rows(stage: Stage) -> Iterator[Row]:
    folder = data_of(stage, "mnist")
    classic = read_recipe(find("mnist"), [f"data.source.path={folder}"])
    run = stage.cache / "runs" / classic.name
    shutil.rmtree(run, ignore_errors=True)
    bare = BareLoop(classic, stage.data / "mnist-run")
    said: list[float] = []

    def after_epoch(line: str) -> None:
        print(line, file=sys.stderr, flush=True)
        said.append(bare.epoch())

    outcome = fit(classic, run, lambda recipe, at: load_data(recipe.data, at), say=after_epoch)
    ours = [row["seconds"] for row in outcome.rows]
    result = evaluated(run, sum(ours))
    yield at_least(
        "mnist, classic net: accuracy", result.measure("accuracy"), ACCURACY, result.between("accuracy"), digits=4
    )
    ratio = statistics.median(one / other for one, other in zip(ours, said, strict=True))
    note = f"epochs in turns: {spread(ours, 's')} against {spread(said, 's')}"
    yield at_most("… its time against a bare torch loop", ratio, RATIO, note, unit="×")
    yield _keras(stage, folder)
    best = train(stage, "mnist-best", f"data.source.path={folder}")
    note = f"{best.between('accuracy')}, {best.seconds / 60:.0f} min"
    yield at_least("mnist-best: accuracy", best.measure("accuracy"), BEST_ACCURACY, note, digits=4)


class BareLoop:
    """The same net, data and optimiser, as one would write it down in a minute: all tensors ready in memory."""

    def __init__(self, recipe: Recipe, run: Path) -> None:
        run.mkdir()
        data = load_data(recipe.data, run)
        self._train, self._validation = self._tensors(data.train), self._tensors(data.validation)
        torch.manual_seed(0)
        self._net = nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(32 * 13 * 13, 128), nn.ReLU(), nn.Linear(128, 10),
        )  # fmt: skip
        self._optimiser = torch.optim.Adam(self._net.parameters(), lr=recipe.fit.optimiser.rate)
        self._batch = recipe.fit.batch

    def epoch(self) -> float:
        """Train on every sample once and validate; the seconds that took."""
        start = time.monotonic()
        pictures, target = self._train
        self._net.train()
        with torch.enable_grad():
            for places in torch.split(torch.randperm(len(target)), self._batch):
                self._optimiser.zero_grad()
                loss = nn.functional.cross_entropy(self._net(pictures[places]), target[places])
                loss.backward()  # type: ignore[no-untyped-call]
                self._optimiser.step()
        self._net.eval()
        with torch.no_grad():
            pictures, target = self._validation
            (self._net(pictures).argmax(1) == target).float().mean().item()
        return time.monotonic() - start

    @staticmethod
    def _tensors(part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures float32 [N, 1, 28, 28] in 0…1, and their classes."""
        batch = part.batch(range(len(part)), 0)
        return batch.frames.reshape(-1, 1, 28, 28).float() / 255, batch.target


def _keras(stage: Stage, folder: Path) -> Row:
    """Its seconds an epoch, in an environment of its own."""
    what = "… the same in Keras on TensorFlow, an epoch"
    if not stage.with_rival:
        return told(what, "not measured", "--without-rival")
    python = Environment(stage.cache, "keras", KERAS).python
    script = Path(__file__).with_name("keras_loop.py")
    done = subprocess.run(
        [str(python), str(script), str(folder), str(_KERAS_EPOCHS)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise NotMeasured(f"Keras ended with {done.returncode}: {done.stderr[-1000:]}")
    ran = json.loads(done.stdout.splitlines()[-1])
    return told(what, spread(ran["seconds"], "s"), f"{', '.join(KERAS)}; accuracy {ran['accuracy']:.4f} by then")
