"""What has come of a run so far: a row an epoch, and what follows from the rows. Pure: no clock, no file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from training.optimisation import AnySchedule, Plateau

_SMALLER = 0.01
"""By what part a loss must be smaller to count: it may creep down for ever."""

Keep = Literal["best", "last"]
"""Which epoch's weights a run ends with."""

Row = dict[str, float]
"""`epoch` from 1, `seconds`, `rate`, `loss`, `val_loss`, and the task's metrics on the validation part."""


@dataclass
class Progress:
    """Rows, and the decisions that depend on them alone, so that a resumed run takes the same ones.

    Attributes:
        measure: the key by which epochs are compared.
        higher_is_better: of it.
        patience: epochs without a better one before it stops; None: it goes on.
        schedule: of the rate.
        keep: which epoch counts in the end: the best by the measure, or the last whatever it is like.
        rows: an epoch each.
    """

    measure: str
    higher_is_better: bool
    patience: int | None = None
    schedule: AnySchedule | None = None
    keep: Keep = "best"
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Mapping[str, float]) -> None:
        """An epoch has ended."""
        self.rows.append(dict(row))

    @property
    def kept(self) -> int | None:
        """The place of the row whose weights the run would end with now; None where none can be compared."""
        return self.best if self.keep == "best" else len(self.rows) - 1 if self.rows else None

    @property
    def newest_is_kept(self) -> bool:
        return bool(self.rows) and self.kept in (None, len(self.rows) - 1)

    @property
    def best(self) -> int | None:
        """The place of the best row; None where none can be compared.

        Of equals, which are many where few samples validate, a later one is best if its loss is clearly smaller.
        """
        best: int | None = None
        for at in range(len(self.rows)):
            if self._better(at, best):
                best = at
        return best

    @property
    def stopped(self) -> bool:
        """Whether patience is at its end."""
        best = self.best
        waited = len(self.rows) if best is None else len(self.rows) - 1 - best
        return self.patience is not None and waited >= self.patience

    @property
    def slowed(self) -> float:
        """What the rate is multiplied by because the measure stood still; 1 for schedules that do not look at it."""
        if not isinstance(self.schedule, Plateau):
            return 1.0
        factor, best, waited = 1.0, None, 0
        for at in range(len(self.rows)):
            if self._better(at, best):
                best, waited = at, 0
                continue
            waited += 1
            if waited >= self.schedule.patience:
                factor, waited = factor * self.schedule.by, 0
        return factor

    def _better(self, at: int, than: int | None) -> bool:
        value = self.rows[at].get(self.measure, math.nan)
        if math.isnan(value):
            return False
        if than is None:
            return True
        other = self.rows[than][self.measure]
        if value == other:
            return self._loss(at) < (1 - _SMALLER) * self._loss(than)
        return value > other if self.higher_is_better else value < other

    def _loss(self, at: int) -> float:
        return self.rows[at].get("val_loss", math.nan)
