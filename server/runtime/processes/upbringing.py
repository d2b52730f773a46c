"""What the engine and the workers are told when they are started, and how the workers are watched."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from server.core.log import LogConfig
from server.core.machine import memory_bytes
from server.core.settings import Settings
from server.engine.config import EngineConfig
from server.engine.running import Running
from server.engine.tuning.order import Tuning
from server.runtime.processes.shared import Shared
from server.runtime.processes.watch import WorkerWatch
from server.worker.config import WorkerConfig

_LEAST_MEMORY = 512 * 2**20


def engine_config(
    settings: Settings, shared: Shared, name: str, *, api: str, address: str, choices: Path
) -> Callable[[int], EngineConfig]:
    """Makes the configuration of an incarnation of the engine.

    Args:
        api, address: where the API process listens, and where the engine shall.
        choices: the file of what was measured.
    """
    log = LogConfig.of(settings.log).named(name)
    return lambda incarnation: EngineConfig(
        address=address,
        api=api,
        incarnation=incarnation,
        running=Running.of(settings, choices),
        tuning=Tuning() if settings.engine.tune else Tuning(after_s=None),
        page=shared.page_name,
        page_writers=shared.writers,
        writer=0,
        log=log,
    )


def worker_config(
    settings: Settings, shared: Shared, name: str, number: int, *, api: str
) -> Callable[[int], WorkerConfig]:
    """Makes the configuration of an incarnation of a worker.

    Args:
        number: which rows and regions of what is shared are its.
        api: where the API process listens.
    """
    log = LogConfig.of(settings.log).named(name)
    return lambda incarnation: WorkerConfig(
        name=name,
        incarnation=incarnation,
        api=api,
        segment=shared.segments[name],
        page=shared.page_name,
        page_writers=shared.writers,
        writer=1 + number,
        calls=shared.calls_name,
        workers=len(shared.segments),
        worker=number,
        last_words=shared.last_words[name].name,
        max_pixels=settings.limits.pixels,
        max_s=settings.limits.video_s,
        log=log,
    )


def worker_watch(settings: Settings, shared: Shared, name: str, number: int) -> WorkerWatch:
    """What a worker may do before it is ended."""
    workers, sources = settings.workers, settings.sources
    share = max(_LEAST_MEMORY, memory_bytes() // (workers.count + 1))
    return WorkerWatch(
        shared.calls,
        number,
        call_s=workers.call_s,
        # One that says nothing is given up after that time, or twice that: FFmpeg has the patience of opening for the
        # talk with the camera, and again for its first packet. A call that takes even longer hangs.
        source_s=3 * max(sources.open_s, sources.read_s),
        memory_bytes=share if workers.memory_mb is None else workers.memory_mb * 2**20,
        last_words=functools.partial(shared.take_last_words, name),
    )
