"""Bringing a model up: verified, checked against its golden samples, warm at every batch size that will run."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_export import golden
from model_export.bundle import Bundle
from model_export.errors import BundleInvalid
from model_export.manifest import FrameInput, Manifest
from server.engine.batcher import Policy
from server.engine.models import Model
from server.engine.session import OnnxSession, Provider, Session, open_session
from server.engine.state import StateRows

_log = logging.getLogger(__name__)

Array = npt.NDArray[Any]

_GPU_DELAY_S = 0.002
_GPU_PARALLEL = 2
"""One batch runs while the next is put together; more only take turns on the device."""
_GAIN = 0.9
"""Twice the batch must cost at most this share per frame of what it did, or it is not worth its wait."""
_TRIES, _TRY_S = 3, 0.5


@dataclass(frozen=True)
class Running:
    """How models run on this machine.

    Attributes:
        provider: that is asked for: `auto`, `cpu` or `cuda`.
        require_provider: do not load, rather than run on the CPU, where it does not work.
        sessions: batches that run at once on a CPU.
        threads: of each of them.
        max_delay_s: how long a frame may wait for others; None: 2 ms on a GPU, and on a CPU, where it gains nothing, 0.
    """

    provider: str
    require_provider: bool
    sessions: int
    threads: int
    max_batch: int
    max_delay_s: float | None


def load(name: str, folder: Path, row: int, running: Running) -> Model:
    """Bring a bundle up.

    Args:
        name: `name@version` that is expected there.
        row: the model's, of the metrics page.

    Raises:
        ModelError: the bundle is another one or damaged, the graph does not load, its answers are not its golden ones,
            or the provider that is required does not work.
    """
    bundle = Bundle.open(folder)
    bundle.verify()
    manifest = bundle.manifest
    if manifest.id != name:
        raise BundleInvalid(f"{folder} holds {manifest.id}, not {name}.", hint="Import the model again.")
    first, provider = open_session(bundle.model, running.provider, running.threads, required=running.require_provider)
    sessions: list[Session] = [first]
    try:
        if provider.name == "cpu" and running.threads > 1:
            # With one thread a run stays in the lane that calls it, and one session serves all lanes; with more it
            # would have to share them.
            sessions += [OnnxSession(bundle.model, "cpu", running.threads) for _ in range(running.sessions - 1)]
        if bundle.golden is not None:
            golden.check(golden.read(bundle.golden), first.run, state=manifest.state)
        policy = _policy(manifest, provider, running)
        if manifest.input is not None:
            sizes = _warm_up(manifest, manifest.input, policy, provider, sessions)
            policy = replace(policy, sizes=sizes)
        parallel = running.sessions if provider.name == "cpu" else _GPU_PARALLEL
        return Model(manifest, sessions, policy, provider, parallel=parallel, row=row)
    except BaseException:
        for session in sessions:
            session.close()
        raise


def _policy(manifest: Manifest, provider: Provider, running: Running) -> Policy:
    """With all sizes that may be used."""
    on_gpu = provider.name != "cpu"
    delay_s = running.max_delay_s if running.max_delay_s is not None else (_GPU_DELAY_S if on_gpu else 0.0)
    one_each = bool(manifest.state)
    if manifest.batch.fixed is not None:
        return Policy((manifest.batch.fixed,), delay_s, pad=True, one_each=one_each)
    if not manifest.batch.invariant:
        # Answers depend on the batch's size, so there is one: what a job says must not depend on what else runs.
        return Policy((running.max_batch if on_gpu else 1,), delay_s, pad=True, one_each=one_each)
    powers = [1 << n for n in range(running.max_batch.bit_length())]
    sizes = tuple(sorted({*powers, running.max_batch}))
    return Policy(sizes, delay_s, pad=on_gpu, one_each=one_each)


def _warm_up(
    manifest: Manifest, takes: FrameInput, policy: Policy, provider: Provider, sessions: Sequence[Session]
) -> tuple[int, ...]:
    """Run every size in every session; the sizes to use.

    On a CPU a larger batch often costs as much per frame as a small one; then it only makes frames wait. Sizes are
    tried from the smallest up, for as long as they pay and a frame's answer stays the same bit for bit.
    """
    choosing = provider.name == "cpu" and len(policy.sizes) > 1
    states = StateRows(manifest.state)
    shape = (policy.sizes[-1], takes.height, takes.width, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    kept: list[int] = []
    best = math.inf
    alone: dict[str, Array] | None = None
    for size in policy.sizes:
        # The first frame comes last, so that its place is another one in every batch.
        inputs = {takes.name: np.ascontiguousarray(frames[:size][::-1]), **states.gather([], size)}
        outputs, seconds = _timed(sessions, inputs, tries=_TRIES if choosing else 1)
        if choosing:
            last = {name: value[-1] for name, value in outputs.items()}
            alone = alone or last
            if not _same(alone, last):
                _log.warning(
                    "%s: a frame's answer is another one in a batch of %d on this machine, so frames run one by one",
                    manifest.id,
                    size,
                )
                return (1,)
            if seconds / size > best * _GAIN:
                break
        best = seconds / size
        kept.append(size)
    _log.info("%s: %.1f ms a frame in batches of %d, the largest that is used", manifest.id, best * 1e3, kept[-1])
    return tuple(kept)


def _timed(sessions: Sequence[Session], inputs: dict[str, Array], tries: int) -> tuple[dict[str, Array], float]:
    """Outputs of a run, and the seconds of the quickest of a few: what else the machine does only makes them slower."""
    quickest = math.inf
    outputs: dict[str, Array] = {}
    for session in sessions:
        spent = 0.0
        for _ in range(tries):
            start = time.perf_counter()
            outputs = session.run(inputs)
            seconds = time.perf_counter() - start
            quickest = min(quickest, seconds)
            spent += seconds
            if spent > _TRY_S:
                break
    return outputs, quickest


def _same(first: dict[str, Array], second: dict[str, Array]) -> bool:
    return all(np.array_equal(value, second[name], equal_nan=value.dtype.kind == "f") for name, value in first.items())
