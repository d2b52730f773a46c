"""Bringing a model up: verified, checked against its golden samples, warm at every batch size that will run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from model_export import golden
from model_export.agreement import ROUNDING
from model_export.bundle import Bundle
from model_export.errors import BundleInvalid
from model_export.manifest import Manifest
from server.engine.batcher import Policy
from server.engine.models import Model
from server.engine.session import OnnxSession, Provider, Session, open_session
from server.engine.warmup import warm_up, worthwhile

_GPU_DELAY_S = 0.002
_GPU_PARALLEL = 2
"""One batch runs while the next is put together; more only take turns on the device."""


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
        if provider.name == "cpu":
            # One session for all lanes would do and save memory, but its runs wait for each other: 3 to 7 % slower.
            sessions += [OnnxSession(bundle.model, "cpu", running.threads) for _ in range(running.sessions - 1)]
        if bundle.golden is not None:
            tolerance = ROUNDING[manifest.precision]
            golden.check(golden.read(bundle.golden), first.run, tolerance, state=manifest.state)
        policy = _policy(manifest, provider, running)
        if manifest.input is not None and provider.name == "cpu" and len(policy.sizes) > 1:
            policy = replace(policy, sizes=worthwhile(policy.sizes, manifest, manifest.input, sessions))
        elif manifest.input is not None:
            warm_up(policy.sizes, manifest, manifest.input, sessions)
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
