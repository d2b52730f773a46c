"""The `search` of a search file: how many trials there are, how long each may take, and which are ended early."""

from __future__ import annotations

from pydantic import Field

from training.configuration import Config


class PrunerConfig(Config):
    """Ends trials that fall behind; see `training.search.pruning`."""

    keep: float = Field(default=0.5, gt=0, lt=1, description="part of the trials, the best, that one must be among")
    warmup: int = Field(default=1, ge=1, description="epochs that every trial is given")
    startup: int = Field(default=4, ge=1, description="trials that must have come as far before one is ended")


class SearchConfig(Config):
    """How it is searched."""

    trials: int = Field(default=30, ge=1, le=100_000, description="that are trained, on the whole")
    epochs: int | None = Field(
        default=None, ge=1, le=100_000, description="of a trial; without it, as many as `fit.epochs` says"
    )
    random: int = Field(default=10, ge=1, description="the first draws, before what was learnt of others counts")
    max_latency_ms: float | None = Field(default=None, gt=0, description="of an answer; a slower net is not trained")
    pruner: PrunerConfig | None = PrunerConfig()
    idle: int = Field(default=50, ge=1, description="draws in a row that lead to no training, after which it ends")
    seed: int = Field(default=0, ge=0, lt=2**63, description="of the draws")
