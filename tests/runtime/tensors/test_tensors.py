import asyncio
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from server.core.errors import ModelUnavailable
from server.domain.inference import Inference, Step, Tensor
from server.runtime.tensors.tensors import Tensors

MANIFEST = SimpleNamespace(id="rnn@1", name="rnn", version=1, state=("h",), shares_runs=True)


class FakeModels:
    """One recurrent model, which is loaded when the test says so."""

    def __init__(self):
        self.users = Counter()
        self.loaded = asyncio.Event()
        bundle = SimpleNamespace(manifest=MANIFEST)
        self.loading = SimpleNamespace(models={"rnn@1": SimpleNamespace(bundle=bundle)})
        self._bundle = bundle

    def at_hand(self, reference):
        return None

    async def resolve(self, reference):
        return self._bundle

    async def acquire(self, reference):
        await self.loaded.wait()
        self.users["rnn@1"] += 1
        return self._bundle

    def release(self, model):
        self.users[model] -= 1


class FakeAsking:
    def stream(self):
        return "v2.1"

    def engine_lost(self):
        pass

    async def leave(self, stream):
        pass

    def close(self):
        pass


def test_a_sequence_whose_engine_dies_while_its_model_loads_needs_that_model_no_more():
    async def run():
        models = FakeModels()
        room = SimpleNamespace(largest=2**20, close=lambda: None)
        tensors = Tensors(models, FakeAsking(), room, None, request_bytes=2**20, sequences_at_once=4, idle_s=60)
        asked = Inference(inputs=(Tensor("x", np.zeros((1, 2), np.float32)),), outputs=(), step=Step(1, start=True))
        first = asyncio.create_task(tensors.infer("rnn", asked))
        await asyncio.sleep(0.02)
        tensors.engine_lost()
        models.loaded.set()
        with pytest.raises(ModelUnavailable, match="engine ended"):
            await first
        assert models.users == {"rnn@1": 0}
        await tensors.close()

    asyncio.run(run())
