"""How models are to run on this machine, as the settings say it; apart, so that the parent need not import more."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import msgspec

from server.core.machine import cores
from server.core.settings import Settings

CHOICES = "tuning.json"
"""The file in the data folder that says what was measured."""
MAX_BATCH = {"cpu": 8, "cuda": 32}
"""The most frames that are run together on each provider, unless the settings say otherwise."""


class Running(msgspec.Struct, frozen=True):
    """How models run.

    Attributes:
        provider: that is asked for: `auto`, `cpu` or `cuda`.
        require_provider: do not load, rather than run on the CPU, where it does not work.
        sessions: batches that run at once on a CPU. threads: of each of them. max_batch: the most frames in one.
            None: as measured, and before that what suits most models.
        max_delay_s: how long a frame may wait for others; None: 2 ms on a GPU, and on a CPU, where it gains nothing, 0.
        cores: that the engine may use.
        choices: the file of what was measured; empty: there is none.
        variants: name of a model → the variant that serves in its place.
    """

    provider: str
    require_provider: bool
    sessions: int | None
    threads: int | None
    max_batch: int | None
    max_delay_s: float | None
    cores: int
    choices: str = ""
    variants: dict[str, str] = {}

    @classmethod
    def of(cls, settings: Settings, choices: Path) -> Self:
        """As the settings say, on this machine."""
        engine = settings.engine
        return cls(
            provider=engine.provider,
            require_provider=engine.require_provider,
            sessions=engine.sessions,
            threads=engine.threads,
            max_batch=engine.max_batch,
            max_delay_s=None if engine.max_delay_ms is None else engine.max_delay_ms / 1000,
            cores=cores(),
            choices=str(choices),
            variants={name: model.variant for name, model in settings.models.items() if model.variant is not None},
        )

    @property
    def lanes(self) -> int:
        """Batches of any models that run at once."""
        return self.sessions or self.cores

    def layout(self, threads: int = 1) -> tuple[int, int]:
        """Sessions and threads that make use of every core, with so many threads each; the settings have their way."""
        threads = self.threads or threads
        return self.sessions or max(1, self.cores // threads), threads
