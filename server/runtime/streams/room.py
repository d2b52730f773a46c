"""Whether there is room for a stream beside those there are."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from server.domain.analysis import GATE_MODEL
from server.domain.stream import KeptStream
from server.runtime.models.models import Models
from server.runtime.streams.admission import Demand, Throughput, admit, demands
from server.runtime.streams.case import StreamCase


class StreamRoom:
    """Adds up what streams ask of the models that serve at this moment."""

    def __init__(self, models: Models, throughput: Throughput) -> None:
        self._models = models
        self._throughput = throughput

    async def check(self, kept: KeptStream, case: StreamCase | None, cases: Collection[StreamCase]) -> None:
        """
        Args:
            kept: the stream as it shall be.
            case: what it is now; None: it is new.
            cases: all that there are.

        Raises:
            CapacityExceeded: there is none.
            ModelNotFound: its model is not there.
        """
        new = await self._demands(kept, None if case is None else case.fps)
        before = [] if case is None or case.kept.paused else await self._demands(case.kept, case.fps)
        present = [demand for other in cases if other is not case for demand in _present(other)]
        asked = {one.model for one in (*new, *before, *present)}
        admit(new, present, (await asyncio.to_thread(self._known, asked)).get, instead_of=before)

    async def _demands(self, kept: KeptStream, fps: float | None) -> list[Demand]:
        model = (await self._models.resolve(kept.analysis.model)).manifest
        gate = (await self._models.resolve(GATE_MODEL)).manifest if kept.analysis.gate else None
        return demands(kept, model, gate, fps)

    def _known(self, models: set[str]) -> dict[str, float | None]:
        loaded = self._models.loading.models
        return {model: self._throughput.of(loaded[model]) for model in models if model in loaded}


def _present(case: StreamCase) -> list[Demand]:
    """What a stream asks of the models that look at it now."""
    if case.kept.paused or not case.manifests:
        return []
    return demands(case.kept, case.manifests[0], case.manifests[1] if len(case.manifests) > 1 else None, case.fps)
