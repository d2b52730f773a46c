"""What Lightning runs: a step, an epoch's seeds and rates, and what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torchmetrics import MeanMetric

from training import optimisation
from training.batch import Batch
from training.checkpoints import ROWS
from training.distillation import Distillation
from training.errors import LossNotFinite
from training.net import Net
from training.progress import Progress
from training.recipe import Recipe
from training.tasks.choice import AnyTask

_LOOK_EVERY = 50
"""Steps between looks at the losses on a device that would have to be waited for."""


class Learner(pl.LightningModule):
    """A net that learns a task as a recipe says.

    Everything random is seeded anew at the start of each epoch, and the rate follows from the step: so an epoch
    comes out the same whatever was before it, and a resumed run ends as an undisturbed one.

    Args:
        net: with its first weights.
        task: of the data.
        recipe: how it is trained.
        steps: in an epoch.
        progress: the rows so far, which decide about the rate and are kept in checkpoints.
        taken_over: names of weights that came from another model, for `transfer.freeze`.
        distillation: a teacher to learn from beside the labels, or None.
    """

    def __init__(
        self,
        net: Net,
        task: AnyTask,
        recipe: Recipe,
        *,
        steps: int,
        progress: Progress,
        taken_over: Sequence[str] = (),
        distillation: Distillation | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.task = task
        self.progress = progress
        self.config = recipe.fit
        self.seed = recipe.seed
        self.steps = steps
        # No module of this one: its weights are neither trained nor kept.
        self.distillation = distillation
        self.measured = task.metrics()
        self.val_loss = MeanMetric()
        self._frozen = set(taken_over) if recipe.transfer is not None else set()
        self._freeze_epochs = 0 if recipe.transfer is None else recipe.transfer.freeze
        self._losses: list[Tensor] = []
        self._batches: list[Tensor] = []
        self._matrices = [weight for weight in net.parameters() if weight.dim() > 1]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        # With mixed precision a fused kernel would scale gradients itself, and they could not be clipped.
        fused = self.config.precision == "32" and self.device.type in ("cpu", "cuda")
        return optimisation.optimiser(self.config.optimiser, self.net, l2=self.config.loss.l2, fused=fused)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)

    def on_train_epoch_start(self) -> None:
        epoch = self.current_epoch
        own = np.random.SeedSequence((self.seed, epoch, self.global_rank)).generate_state(2)
        torch.manual_seed(int(own[0]) << 31 | int(own[1]) >> 1)
        self._losses.clear()
        self._batches.clear()
        self._freeze(epoch < self._freeze_epochs)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        step = self.current_epoch * self.steps + batch_idx
        factor = self.config.schedule.factor(step, self.steps, self.config.epochs) * self.progress.slowed
        for group in self._optimiser.param_groups:
            group["lr"] = self.config.optimiser.rate * factor

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        logits = self.net(batch.frames)
        loss = self.task.loss(logits, batch.target)
        if self.distillation is not None:
            loss = self.distillation.loss(loss, logits, batch.frames)
        if self.config.loss.l1:
            loss = loss + self.config.loss.l1 * sum((one.abs().sum() for one in self._matrices), loss.new_zeros(()))
        self._losses.append(loss.detach())
        self._batches.append(batch.index)
        if loss.device.type == "cpu" or (batch_idx + 1) % _LOOK_EVERY == 0 or batch_idx + 1 == self.steps:
            self._look()
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self.net(batch.frames).float()
        self.val_loss.update(self.task.loss(logits, batch.target), weight=len(batch))
        self.measured.update(self.task.answers(logits), self.task.truth(batch.target))

    def row(self) -> dict[str, float]:
        """What the epoch that ended came to; forgets it."""
        # Of several devices each has seen its share.
        loss = self.trainer.strategy.reduce(torch.stack(self._losses).mean(), reduce_op="mean").item()
        metrics = {name: value.item() for name, value in self.measured.compute().items()}
        row = {"rate": self._optimiser.param_groups[0]["lr"], "loss": loss, "val_loss": self.val_loss.compute().item()}
        self.val_loss.reset()
        self.measured.reset()
        return row | metrics

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[ROWS] = [dict(row) for row in self.progress.rows]

    @property
    def _optimiser(self) -> torch.optim.Optimizer:
        one: torch.optim.Optimizer = self.trainer.optimizers[0]
        return one

    def _look(self) -> None:
        """See that the losses since the last look are numbers."""
        start = (len(self._losses) - 1) // _LOOK_EVERY * _LOOK_EVERY
        finite = torch.stack(self._losses[start:]).isfinite()
        if finite.all():
            return
        at = start + int(finite.logical_not().nonzero()[0])
        samples = ", ".join(map(str, self._batches[at][:8].tolist()))
        raise LossNotFinite(
            f"The loss became {self._losses[at].item()} in epoch {self.current_epoch + 1}, batch {at + 1} of"
            f" {self.steps} (samples {samples} …).",
            hint="The checkpoint of the last finished epoch is kept. Try a smaller rate, a warm-up or fit.clip=1.",
        )

    def _freeze(self, frozen: bool) -> None:
        """Let the weights that were taken over rest, or let them go; norms that rest do not move their means either."""
        if not self._frozen:
            return
        for name, weight in self.net.named_parameters():
            weight.requires_grad_(not (frozen and name in self._frozen))
        for module in self.net.modules():
            own = list(module.parameters(recurse=False))
            if own and frozen and not any(weight.requires_grad for weight in own):
                module.eval()
            elif own:
                module.train()
