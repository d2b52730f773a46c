"""Bringing a model up: verified, checked against its golden samples, warm at every batch size that will run."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from model_export import golden
from model_export.bundle import Bundle
from model_export.errors import BundleInvalid
from model_export.manifest import Manifest
from server.core import heap
from server.engine.batcher import Policy
from server.engine.models import Model
from server.engine.plan import fingerprint, plan
from server.engine.running import Running
from server.engine.session import OnnxSession, Options, Session, open_session
from server.engine.sessions import Sessions
from server.engine.warmup import Takes, slim, warm_up, worthwhile

_GPU_DELAY_S = 0.002
GPU_PARALLEL = 2
"""One batch runs while the next is put together; more only take turns on the device."""


def load(name: str, folder: Path, row: int, running: Running) -> Model:
    """Bring a bundle up.

    Args:
        name: `name@version` that is expected there.
        row: the model's, of the metrics page.

    Raises:
        ModelError: the bundle is another one or damaged or lacks the variant that is to serve, the graph does not load,
            its answers are not its golden ones, or the provider that is required does not work.
    """
    bundle = Bundle.open(folder)
    bundle.verify()
    manifest = bundle.manifest
    if manifest.id != name:
        raise BundleInvalid(f"{folder} holds {manifest.id}, not {name}.", hint="Import the model again.")
    bundle = bundle.as_variant(running.variants.get(manifest.name))
    manifest = bundle.manifest
    planned = partial(plan, bundle, running=running)
    first, provider = open_session(
        lambda on: session_of(bundle, on, planned(on).options), running.provider, required=running.require_provider
    )
    chosen = planned(provider.name)
    on_cpu = provider.name == "cpu"
    policy = policy_for(manifest, on_cpu=on_cpu, max_batch=chosen.max_batch, max_delay_s=running.max_delay_s)
    opened: list[Session] = [first]
    try:
        # On a CPU one session for all lanes would save memory, but its runs wait for each other: 3 to 7 % slower.
        for _ in range((chosen.sessions if on_cpu else len(policy.sizes)) - 1):
            opened.append(session_of(bundle, provider.name, chosen.options))
        samples = golden.of(bundle)
        if samples is not None:
            golden.check(samples, first.run, state=manifest.state)
        sessions = (
            Sessions.for_lanes(opened) if on_cpu else Sessions.for_sizes(dict(zip(policy.sizes, opened, strict=True)))
        )
        run_s = None
        takes = _takes(manifest, samples)
        if takes is not None:
            timed = worthwhile if on_cpu and len(policy.sizes) > 1 and not chosen.measured else warm_up
            # Time that the thread did not have the processor is not the model's.
            clock = time.thread_time if on_cpu and chosen.options.threads == 1 else time.perf_counter
            warm = timed(policy.sizes, manifest, takes, sessions, clock)
            policy, run_s = replace(policy, sizes=warm.sizes), chosen.run_s or warm.run_s
            if on_cpu:
                slim(policy.sizes[0], manifest, takes, sessions)
                heap.release()
        return Model(
            bundle,
            sessions,
            first.states(manifest.state),
            policy,
            provider,
            parallel=chosen.sessions if on_cpu else GPU_PARALLEL,
            row=row,
            threads=chosen.options.threads,
            settings=fingerprint(bundle, provider.name, chosen.options, policy.sizes),
            run_s=run_s,
            measured=chosen.measured,
        )
    except BaseException:
        for session in opened:
            session.close()
        raise


def session_of(bundle: Bundle, provider: str, options: Options) -> OnnxSession:
    """A session of a bundle's graph; on a device its state stays there.

    Raises:
        SessionFailed: the graph cannot be loaded.
    """
    if provider == "cpu" or not bundle.manifest.state:
        return OnnxSession(bundle.model, provider, options)
    # It takes 30 MB that a server without a device can do without.
    from server.engine.pool import PooledSession

    return PooledSession(bundle.model, provider, options, bundle.manifest.state)


def _takes(manifest: Manifest, samples: golden.Golden | None) -> Takes | None:
    """What to warm a model up with; None where nothing is known that it would take.

    What runs as it came has no sizes to warm up, and has run on its samples already.
    """
    if manifest.input is not None:
        return manifest.input
    if samples is None or not manifest.shares_runs:
        return None
    states = {state.input for state in manifest.state}
    return {name: value[:1] for name, value in samples.inputs.items() if name not in states}


def policy_for(manifest: Manifest, *, on_cpu: bool, max_batch: int, max_delay_s: float | None) -> Policy:
    """How a model's requests may be batched, with all sizes that may be used."""
    delay_s = max_delay_s if max_delay_s is not None else (0.0 if on_cpu else _GPU_DELAY_S)
    one_each = bool(manifest.state)
    if not manifest.shares_runs:
        return Policy((1,), one_each=one_each)
    if manifest.batch.fixed is not None:
        return Policy((manifest.batch.fixed,), delay_s, pad=True, one_each=one_each)
    if not manifest.batch.invariant:
        # Answers depend on the batch's size, so there is one: what a job says must not depend on what else runs.
        return Policy((1 if on_cpu else max_batch,), delay_s, pad=True, one_each=one_each)
    if not on_cpu:
        # Each takes a session, and a device runs a few rows too many in no time.
        return Policy(tuple(sorted({1, max(1, max_batch // 4), max_batch})), delay_s, pad=True, one_each=one_each)
    powers = [1 << n for n in range(max_batch.bit_length())]
    return Policy(tuple(sorted({*powers, max_batch})), delay_s, one_each=one_each)
