"""How weights are moved: the optimiser, and its rate as a function of how far a run is.

A rate depends on the place in the run alone and not on what was called before, so that a resumed run has the same.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import nn

from training.configuration import Config, of_kind

Rate = Annotated[float, Field(gt=0, le=100)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class Adam(Config):
    """Kingma and Ba, Adam (2015)."""

    kind: Literal["adam"] = "adam"
    rate: Rate = 0.001
    betas: tuple[Beta, Beta] = (0.9, 0.999)


class AdamW(Config):
    """Loshchilov and Hutter, Decoupled Weight Decay Regularization (2019)."""

    kind: Literal["adamw"]
    rate: Rate = 0.001
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    decay: float = Field(default=0.01, ge=0, description="part of a weight that goes with each step, times the rate")


class Sgd(Config):
    """Gradient descent with momentum (Polyak, 1964), by default looking ahead (Nesterov, 1983)."""

    kind: Literal["sgd"]
    rate: Rate = 0.1
    momentum: Beta = 0.9
    nesterov: bool = True


Optimiser = Annotated[Adam | AdamW | Sgd, Field(discriminator="kind"), BeforeValidator(of_kind("adam"))]


class Schedule(Config):
    """A rate's course: a linear warm-up, then what a kind does with the rest."""

    warmup: float = Field(default=0.0, ge=0, le=1000, description="epochs in which the rate rises from 0")

    def factor(self, step: int, steps: int, epochs: int) -> float:
        """What the rate is multiplied by.

        Args:
            step: of the whole run, from 0.
            steps: in an epoch.
            epochs: of the run.
        """
        if step + 1 < self.warmup * steps:
            return (step + 1) / (self.warmup * steps)
        return self.course(step / steps, epochs)

    def course(self, done: float, epochs: int) -> float:
        """The factor after so many epochs, without warm-up."""
        return 1.0

    def rest(self, done: float, epochs: int) -> float:
        """Which part of what follows the warm-up is done, 0…1."""
        return min(max((done - self.warmup) / max(epochs - self.warmup, 1e-9), 0.0), 1.0)


class Constant(Schedule):
    """Always the same rate."""

    kind: Literal["constant"] = "constant"


class Step(Schedule):
    """Times `factor` every so many epochs."""

    kind: Literal["step"]
    every: int = Field(default=10, ge=1, description="epochs")
    by: float = Field(default=0.1, gt=0, lt=1)

    def course(self, done: float, epochs: int) -> float:
        return self.by ** int(done / self.every)


class Cosine(Schedule):
    """Half a cosine from the rate to `end` of it (Loshchilov and Hutter, SGDR, 2017, without restarts)."""

    kind: Literal["cosine"]
    end: float = Field(default=0.0, ge=0, le=1)

    def course(self, done: float, epochs: int) -> float:
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * self.rest(done, epochs))) / 2


class OneCycle(Schedule):
    """Half cosines up to the rate from 1/25 of it, and down to nearly 0 (Smith and Topin, Super-Convergence, 2018)."""

    kind: Literal["one_cycle"]
    rise: float = Field(default=0.3, gt=0, lt=1, description="part of the run in which it rises")

    def course(self, done: float, epochs: int) -> float:
        part = self.rest(done, epochs)
        if part < self.rise:
            low, way = 1 / 25, part / self.rise
        else:
            low, way = 1e-4, 1 - (part - self.rise) / (1 - self.rise)
        return low + (1 - low) * (1 - math.cos(math.pi * way)) / 2


class Plateau(Schedule):
    """Times `by` whenever the measure has not become better for `patience` epochs."""

    kind: Literal["plateau"]
    patience: int = Field(default=3, ge=1, description="epochs")
    by: float = Field(default=0.1, gt=0, lt=1)


AnySchedule = Annotated[
    Constant | Step | Cosine | OneCycle | Plateau, Field(discriminator="kind"), BeforeValidator(of_kind("constant"))
]


def optimiser(config: Optimiser, net: nn.Module, *, l2: float, fused: bool) -> torch.optim.Optimizer:
    """The optimiser of a net's weights. Offsets and norms (one axis) are not decayed.

    Args:
        l2: λ of a penalty λ/2·Σw² whose gradient is added; for `adamw` that is `decay`'s part, and this comes on top.
        fused: one kernel for all weights instead of several; the same arithmetic, and quicker.
    """
    weights = list(net.parameters())
    matrices = [one for one in weights if one.dim() > 1]
    others = [one for one in weights if one.dim() <= 1]
    decay = config.decay if isinstance(config, AdamW) else l2
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if isinstance(config, Sgd):
        nesterov = config.nesterov and config.momentum > 0
        return torch.optim.SGD(groups, lr=config.rate, momentum=config.momentum, nesterov=nesterov, fused=fused)
    kind = torch.optim.AdamW if isinstance(config, AdamW) else torch.optim.Adam
    return kind(groups, lr=config.rate, betas=config.betas, fused=fused)
