"""How long the engine may sleep."""

from types import SimpleNamespace

import pytest
from engine_builders import request

from server.engine import process
from server.engine.batcher import Batcher, Policy


@pytest.mark.parametrize(
    ("looked_at", "now", "patience_ms"),
    [
        pytest.param(100.001, 100.0015, 1, id="it falls due later"),
        pytest.param(100.001, 100.0023, 0, id="it fell due since"),
        pytest.param(100.002, 100.0023, 898, id="it was due then, and waits for a lane"),
    ],
)
def test_what_falls_due_after_the_queues_were_looked_at_is_not_slept_over(monkeypatch, looked_at, now, patience_ms):
    batcher = Batcher(Policy((1, 2, 4), max_delay_s=0.002, pad=True))
    batcher.add(request("a", at=100.0))
    engine = SimpleNamespace(_models={"m@1": SimpleNamespace(batcher=batcher)}, _beat_at=100.9)
    monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=lambda: now))

    assert process.Engine._patience_ms(engine, looked_at) == patience_ms
