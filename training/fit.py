"""Training: a recipe and data in, a run's folder with the best weights out."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader

from training import curves
from training.batch import Batch, DataSet
from training.checkpoints import AtomicCheckpoints, rows_of
from training.compose import compose
from training.distillation import Distillation, distillation, fingerprint
from training.errors import ConfigInvalid, DeviceMissing
from training.keeping import Recording, Say, Watch
from training.learner import Learner
from training.order import Order, loader
from training.progress import Progress, Row
from training.recipe import FitConfig, Recipe
from training.run_folder import RunFolder
from training.tasks.choice import task_for
from training.transfer import TakenOver, take_over

TERMINATED = 128 + signal.SIGTERM
"""The exit status of a process that SIGTERM ended, as shells have it."""

LoadData = Callable[[Recipe, Path], DataSet]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run.

    Attributes:
        folder: with its files.
        kept: the row of the epoch whose weights are.
        rows: of all epochs.
    """

    folder: RunFolder
    kept: Row
    rows: tuple[Row, ...]


def fit(
    recipe: Recipe,
    folder: Path,
    load_data: LoadData,
    *,
    resume: bool = False,
    bar: bool = False,
    say: Say = lambda line: None,
    watch: Watch = lambda rows: None,
    draw: bool = True,
) -> Outcome:
    """Train as a recipe says.

    Args:
        folder: of the run, made unless it goes on.
        load_data: makes the recipe's data ready, and may write what it did to the folder.
        resume: go on from the last finished epoch; the run must have begun with the same recipe and data.
        bar: show a bar of the steps.
        say: is told a line an epoch.
        watch: is shown the rows so far after every epoch; what it raises ends the run.
        draw: make a picture of its course.

    Raises:
        TrainingError: the recipe, the data or the run cannot be used, the loss is no number any more, or the disk is
            full. What was finished stays.
        SystemExit: a signal ended it; what was finished stays.
    """
    run = RunFolder(folder)
    _see_devices(recipe.fit)
    if first_process():
        run.resume(recipe) if resume else run.begin(recipe)
    data = load_data(recipe, folder)
    task = task_for(
        data.kind,
        len(data.labels),
        data.train.targets,
        smoothing=recipe.fit.loss.smoothing,
        weights=recipe.fit.loss.weights,
    )
    torch.manual_seed(recipe.seed)
    net = compose(recipe.net, recipe.looks_at, len(data.labels))
    taken = _head_start(net, recipe, say) if recipe.transfer is not None else None
    teacher = _teacher(recipe, data, say) if recipe.teacher is not None else None
    if first_process():
        teacher_sha256 = fingerprint(recipe.teacher.model) if recipe.teacher is not None else None
        run.note(data.fingerprint, data.labels, teacher_sha256)
        _say_unvalidated(data, say)

    progress = Progress(task.measure, task.higher_is_better, recipe.fit.patience, recipe.fit.schedule, recipe.fit.keep)
    order = Order(len(data.train), recipe.fit.batch, seed=recipe.seed)
    learner = Learner(
        net,
        task,
        recipe,
        steps=len(order),
        progress=progress,
        taken_over=taken.names if taken is not None else (),
        distillation=teacher,
    )
    recording = Recording(run, progress, recipe.fit.epochs, say, watch)
    checkpoint = run.last if resume and run.last.exists() else None
    if checkpoint is not None:
        progress.rows += rows_of(checkpoint)
        if first_process():
            recording.catch_up()
    if len(progress.rows) < recipe.fit.epochs and not progress.stopped:
        with _advice_unsaid():
            trainer = _trainer(recipe.fit, folder, recording, bar=bar)
            try:
                trainer.fit(learner, datamodule=_Loading(data, recipe), ckpt_path=checkpoint)
            except SIGTERMException:
                sys.exit(TERMINATED)
    if draw and first_process():
        curves.draw(progress.rows, run.curves)
    return Outcome(run, progress.rows[progress.kept or 0], tuple(progress.rows))


class _Loading(pl.LightningDataModule):
    """The loaders, made when it is known which device of how many this process is."""

    def __init__(self, data: DataSet, recipe: Recipe) -> None:
        super().__init__()
        self._data, self._recipe = data, recipe

    def train_dataloader(self) -> DataLoader[Batch]:
        return self._loader(training=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._loader(training=False)

    def _loader(self, *, training: bool) -> DataLoader[Batch]:
        assert self.trainer is not None
        part = self._data.train if training else self._data.validation
        order = Order(
            len(part),
            self._recipe.fit.batch,
            seed=self._recipe.seed if training else None,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
        )
        on_gpu = self.trainer.strategy.root_device.type == "cuda"
        return loader(part, order, workers=self._data.workers, pin=on_gpu)


def _trainer(config: FitConfig, folder: Path, recording: Recording, *, bar: bool) -> pl.Trainer:
    several = config.devices > 1
    bars: list[Callback] = [TQDMProgressBar(refresh_rate=25, leave=False)] if bar else []
    return pl.Trainer(
        max_epochs=config.epochs,
        accelerator="gpu" if config.device == "cuda" else config.device,
        devices=config.devices,
        strategy="ddp" if several else "auto",
        # Which knows GPUs only; the processes of a CPU each see their own share of a batch.
        sync_batchnorm=several and config.device in ("auto", "cuda") and torch.cuda.is_available(),
        precision=config.precision,
        gradient_clip_val=config.clip,
        callbacks=[*bars, recording],
        plugins=[AtomicCheckpoints()],
        default_root_dir=folder,
        # Done by us: the order is seeded by epoch, checkpoints are atomic, metrics are kept with them.
        use_distributed_sampler=False,
        enable_checkpointing=False,
        logger=False,
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _head_start(net: torch.nn.Module, recipe: Recipe, say: Say) -> TakenOver:
    assert recipe.transfer is not None
    taken = take_over(net, recipe.transfer.weights)
    if recipe.transfer.freeze and not taken.fresh:
        raise ConfigInvalid(
            "transfer.freeze: everything was taken over, so nothing would be left to train.",
            hint="Set transfer.freeze to 0.",
        )
    say(f"Taken over: {', '.join(taken.parts) or 'parts of particles only'}.")
    if taken.fresh:
        say(f"Fresh: {', '.join(taken.fresh)}.")
    return taken


def _teacher(recipe: Recipe, data: DataSet, say: Say) -> Distillation:
    config = recipe.teacher
    assert config is not None
    opened = distillation(config, recipe.data.input, data.labels, data.kind)
    predictor = opened.teacher.predictor
    say(
        f"The teacher is {predictor.name} ({predictor.runtime}): {config.weight:g} of the loss, at temperature"
        f" {config.temperature:g}."
    )
    return opened


def _say_unvalidated(data: DataSet, say: Say) -> None:
    """Name the labels, of several at once, that no sample has by which the best epoch is chosen."""
    if data.kind == "multi_label":
        columns = data.validation.targets.T
        none = [label for label, column in zip(data.labels, columns, strict=True) if not column.any()]
        if none:
            say(f"No sample to validate with has {', '.join(none)}: average precision counts 0 for it.")


def first_process() -> bool:
    """Whether this is the process that the user started, and not one of those that several devices need."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0


def _see_devices(config: FitConfig) -> None:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(config.device, True):
        raise DeviceMissing(f"There is no {config.device} device here.", hint="Set fit.device to cpu or auto.")
    if config.device == "cuda" and config.devices > torch.cuda.device_count():
        raise DeviceMissing(f"{config.devices} GPUs are asked for, and {torch.cuda.device_count()} are here.")


@contextmanager
def _advice_unsaid() -> Iterator[None]:
    """Lightning's log lines and its advice about loaders, and warnings of metrics, which are for who wrote the loop."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            # torchmetrics', at every epoch; `_say_unvalidated` says it once.
            warnings.filterwarnings("ignore", message="No positive samples")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
