"""A model measured on this machine, from its bundle to what is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from model_export.bundle import Bundle
from server.engine.loading import GPU_PARALLEL, policy_for, session_of
from server.engine.plan import subject
from server.engine.running import MAX_BATCH, Running
from server.engine.session import OPTIMIZATIONS, Options, Provider, open_session
from server.engine.tuning.choices import Choice, Subject
from server.engine.tuning.contest import OnnxContestant
from server.engine.tuning.search import Candidate, Outcome, Search, Space


@dataclass(frozen=True)
class Measured:
    """What was found about a model, and what that holds for."""

    subject: Subject
    provider: Provider
    outcome: Outcome

    @property
    def choice(self) -> Choice:
        """What is kept of it."""
        chosen = self.outcome.chosen
        return Choice(
            sessions=chosen.sessions,
            threads=chosen.threads,
            max_batch=chosen.batch,
            optimization=chosen.optimization,
            frames_s=round(self.outcome.frames_s, 1),
            run_s=round(self.outcome.run_s, 6),
        )


def measure(bundle: Bundle, running: Running, told: Callable[[Candidate], None] = lambda _: None) -> Measured:
    """Find the fastest way to run a model.

    Args:
        told: called with each candidate before it is tried.

    Raises:
        NotMeasurable: it takes something else than frames.
        VariantUnknown: it lacks the variant that is to serve.
        SessionFailed, ProviderUnavailable: it cannot be run.
    """
    bundle = bundle.as_variant(running.variants.get(bundle.manifest.name))
    manifest = bundle.manifest
    session, provider = open_session(
        lambda on: session_of(bundle, on, Options()), running.provider, required=running.require_provider
    )
    session.close()
    on_cpu = provider.name == "cpu"
    policy = policy_for(
        manifest,
        on_cpu=on_cpu,
        max_batch=running.max_batch or MAX_BATCH[provider.name],
        max_delay_s=running.max_delay_s,
    )
    if on_cpu:
        space = Space.on_cpu(running, policy.sizes)
    else:
        space = Space(((GPU_PARALLEL, 1),), policy.sizes, OPTIMIZATIONS[:1])
    outcome = Search(space, lambda candidate: OnnxContestant(bundle, provider.name, candidate), told).run()
    return Measured(subject(bundle, provider.name, running), provider, outcome)
