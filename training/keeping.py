"""What is kept of a run after every epoch: a row of metrics, checkpoints, TensorBoard, a line for who watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import lightning.pytorch as pl
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.utils.tensorboard import SummaryWriter

from training import atomic
from training.learner import Learner
from training.progress import Progress, Row
from training.run_folder import RunFolder

Say = Callable[[str], None]
Watch = Callable[[Sequence[Row]], None]

_NOT_TOLD = ("epoch", "seconds", "rate")


class Recording(pl.Callback):
    """Writes a run down; the last of the callbacks, so that a checkpoint holds what the others did.

    An epoch counts as finished when its checkpoint is in place.
    """

    def __init__(self, folder: RunFolder, progress: Progress, epochs: int, say: Say, watch: Watch) -> None:
        self._folder, self._progress, self._epochs, self._say, self._watch = folder, progress, epochs, say, watch
        self._began = 0.0
        self._board: SummaryWriter | None = None

    def catch_up(self) -> None:
        """Write what a kill may have kept from being written after the last checkpoint."""
        self._keep()
        self._folder.write_metrics(self._progress.rows)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        done = len(self._progress.rows)
        # What a killed run had written of an epoch that is done again is hidden.
        self._board = SummaryWriter(str(self._folder.path / "tensorboard"), purge_step=done + 1)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        seconds = time.monotonic() - self._began
        row = {"epoch": float(trainer.current_epoch + 1), "seconds": seconds, **pl_module.row()}
        self._progress.add(row)
        trainer.save_checkpoint(self._folder.last)
        if self._progress.stopped:
            trainer.should_stop = True
        if not trainer.is_global_zero:
            return
        self._keep()
        self._folder.write_metrics(self._progress.rows)
        if self._board is not None:
            for key, value in row.items():
                self._board.add_scalar(key, value, int(row["epoch"]))
        self._say(_line(row, self._epochs, self._progress))
        self._watch(tuple(self._progress.rows))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if isinstance(exception, KeyboardInterrupt | SIGTERMException) and trainer.is_global_zero:
            self._say("Stopped. What was finished is kept; --resume goes on.")
        self._close()  # there is no teardown after it

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._close()

    def _close(self) -> None:
        if self._board is not None:
            self._board.close()
            self._board = None

    def _keep(self) -> None:
        if self._progress.newest_is_kept:
            atomic.copy(self._folder.last, self._folder.best)


def _line(row: Row, epochs: int, progress: Progress) -> str:
    told = [f"{key.replace('_', ' ')} {value:.4f}" for key, value in row.items() if key not in _NOT_TOLD]
    best = "  best so far" if progress.keep == "best" and progress.newest_is_kept else ""
    return f"epoch {row['epoch']:.0f}/{epochs}  {'  '.join(told)}  {row['seconds']:.1f} s{best}"
