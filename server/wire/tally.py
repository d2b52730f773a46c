"""What a model has been asked and has done, as numbers that travel."""

from __future__ import annotations

import msgspec


class Spent(msgspec.Struct, frozen=True, array_like=True):
    """How often something was done, and the seconds that it took in all."""

    count: int = 0
    seconds: float = 0.0


class SizeTally(msgspec.Struct, frozen=True, array_like=True):
    """The runs of one size of batch: how many rows were asked for in each, padding left out."""

    rows: int
    gather: Spent
    run: Spent
    split: Spent


class Tally(msgspec.Struct, frozen=True):
    """What a model has been asked and has done since it came up.

    Attributes:
        model: `name@version`.
        rows: that were answered. runs: that brought answers.
        last: Unix seconds of the last run; 0 before the first.
        success, fail: requests, from their arrival to their answer.
        queue: requests that ran, their waiting.
        gather, run, split: requests that ran, by what their batch took: inputs put together, the session, outputs taken
            apart.
        sizes: the same by size of batch, once a run.
    """

    model: str
    rows: int
    runs: int
    last: float
    success: Spent
    fail: Spent
    queue: Spent
    gather: Spent
    run: Spent
    split: Spent
    sizes: tuple[SizeTally, ...]
