"""The orders that workers are given about streams."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from model_export.bundle import Bundle
from server.domain.stream import StreamSource
from server.runtime.streams.stint import Stint
from server.wire.messages import ChangeStream, StartStream


def start_order(stint: Stint, source: StreamSource, bundles: Sequence[Bundle], engine: str) -> StartStream:
    """Begin.

    Args:
        bundles: the model, and that of the gate.
        engine: address of the engine that serves both.
    """
    case = stint.case
    return StartStream(
        stream=case.id,
        attempt=stint.number,
        source=msgspec.json.encode(source),
        analysis=case.kept.analysis.model_dump_json().encode(),
        bundle=str(bundles[0].folder),
        gate=_gate(bundles),
        engine=engine,
        row=case.row,
        # Times, so that numbers rise over restarts of the server with nothing remembered.
        events_after=int(time.time() * 1000),
        after=case.reached(),
        refusals=case.refusals,
    )


def change_order(stint: Stint, bundles: Sequence[Bundle]) -> ChangeStream:
    """Go on in another way."""
    case = stint.case
    return ChangeStream(
        stream=case.id,
        attempt=stint.number,
        analysis=case.kept.analysis.model_dump_json().encode(),
        bundle=str(bundles[0].folder),
        gate=_gate(bundles),
    )


def _gate(bundles: Sequence[Bundle]) -> str:
    return str(bundles[1].folder) if len(bundles) > 1 else ""
