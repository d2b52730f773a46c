import asyncio
import signal
from types import SimpleNamespace

import pytest
from dispatcher_builders import FakeHub

from model_export.manifest import Manifest, Provenance, Task, TensorSpec
from server.core.errors import ModelUnavailable
from server.core.metrics import Metrics
from server.core.metrics_page import MODEL_ROWS, Page
from server.runtime.models.loading import Loading
from server.runtime.processes.death import STOPPED, death_of
from server.wire.messages import LoadModel, ModelFailed, ModelLoaded

SEGV = death_of(-signal.SIGSEGV, out_of_memory=False)
KILL = death_of(-signal.SIGKILL, out_of_memory=False)


def bundle(name):
    manifest = Manifest(
        name=name,
        version=1,
        task=Task.TENSOR,
        family="test",
        inputs=(TensorSpec(name="x", dtype="float32", shape=(None,)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=(None,)),),
        provenance=Provenance(tool="test"),
    )
    return SimpleNamespace(manifest=manifest, folder=f"/{name}")


class Desk:
    """Models that are asked for, and an engine that is played by the test."""

    def __init__(self):
        page = Page(bytearray(Page.bytes_for(1)), 1)
        self.hub = FakeHub()
        self.loading = Loading(self.hub, Metrics(page, version="0", jobs=dict, storage=lambda: ({}, 0)), page)
        self.asked = {}

    def ask(self, *names, by_hand=False):
        for name in names:
            self.asked[name] = asyncio.ensure_future(self.loading.ensure(bundle(name), by_hand=by_hand))

    async def sent(self):
        """The models that the engine has been asked for since this was asked last."""
        await asyncio.sleep(0.01)
        names = [message.model.partition("@")[0] for _, message in self.hub.of(LoadModel)]
        self.hub.sent.clear()
        return names

    def loaded(self, name):
        self.hub.hear(ModelLoaded(f"{name}@1", "cpu", "cpu", "", "fp32", 1, 1, 1, 0.1, "cpu"))

    async def engine_dies(self, death):
        self.loading.engine_lost(death)
        await self.loading.engine_back()

    def crashed(self, name):
        error = self.asked[name].exception()
        assert isinstance(error, ModelUnavailable)
        return "died 3 times while it loaded the model" in str(error)


def play(body):
    async def run():
        desk = Desk()
        await body(desk)
        for future in desk.asked.values():
            future.cancel()

    asyncio.run(run())


def test_a_model_is_loaded_once_however_many_ask_and_again_in_the_next_engine():
    async def body(desk):
        desk.ask("a")
        desk.ask("a")
        assert await desk.sent() == ["a"]
        desk.loaded("a")
        assert (await desk.asked["a"]).said.model == "a@1"
        await desk.engine_dies(SEGV)
        assert await desk.sent() == ["a"]

    play(body)


def test_the_model_that_engines_die_of_is_given_up_and_the_others_go_on():
    async def body(desk):
        desk.ask("good", "deadly", "other")
        assert await desk.sent() == ["good", "deadly", "other"]
        desk.loaded("good")
        await desk.engine_dies(SEGV)
        assert await desk.sent() == ["good"]  # which was up already; the two suspects one by one after it
        desk.loaded("good")
        assert await desk.sent() == ["deadly"]
        await desk.engine_dies(SEGV)
        assert await desk.sent() == ["good"]
        desk.loaded("good")
        assert await desk.sent() == ["other"]  # it was suspected less often
        desk.loaded("other")
        assert await desk.sent() == ["deadly"]
        await desk.engine_dies(SEGV)
        await asyncio.sleep(0.01)
        assert desk.crashed("deadly")
        assert await desk.sent() == ["good", "other"]

    play(body)


async def give_up(desk, name):
    desk.ask(name)
    for _ in range(3):
        assert await desk.sent() == [name]
        await desk.engine_dies(SEGV)
    await asyncio.sleep(0.01)
    assert desk.crashed(name)


def test_a_deadly_model_is_tried_again_by_hand_alone():
    async def body(desk):
        await give_up(desk, "deadly")
        desk.ask("deadly")
        assert await desk.sent() == []
        assert desk.crashed("deadly")
        desk.ask("deadly", by_hand=True)
        assert await desk.sent() == ["deadly"]

    play(body)


@pytest.mark.parametrize("death", [KILL, STOPPED])
def test_an_engine_that_others_kill_while_it_loads_says_nothing_of_the_model(death):
    async def body(desk):
        desk.ask("a")
        for _ in range(10):
            assert await desk.sent() == ["a"]
            await desk.engine_dies(death)
        desk.loaded("a")
        await desk.asked["a"]

    play(body)


def test_a_model_that_does_not_load_is_tried_anew_when_it_is_asked_for_again():
    async def body(desk):
        desk.ask("a")
        assert await desk.sent() == ["a"]
        desk.hub.hear(ModelFailed("a@1", "bundle_invalid", "It is damaged."))
        with pytest.raises(ModelUnavailable, match="It is damaged"):
            await desk.asked["a"]
        desk.ask("a")
        assert await desk.sent() == ["a"]

    play(body)


def test_while_the_engine_is_away_models_wait_for_it():
    async def body(desk):
        desk.hub.gone.add("engine")
        desk.ask("a")
        assert await desk.sent() == []
        assert desk.loading.longest_s == 0
        desk.hub.gone.clear()
        await desk.loading.engine_back()
        assert await desk.sent() == ["a"]
        assert desk.loading.longest_s > 0
        desk.loaded("a")
        assert desk.loading.longest_s == 0

    play(body)


def test_a_row_of_the_metrics_goes_to_a_new_model_only_where_its_own_is_gone():
    async def body(desk):
        names = [f"m{n}" for n in range(MODEL_ROWS)]
        desk.ask(*names)
        await desk.sent()
        for name in names:
            desk.loaded(name)
        await asyncio.gather(*desk.asked.values())
        for name in names[2:]:
            desk.loading._gone(desk.loading.models[f"{name}@1"])
        desk.loading.engine_lost(KILL)  # from here on m0 and m1 are not loaded, and will be

        desk.ask("a", "b")
        await desk.sent()

        rows = {name: model.row for name, model in desk.loading.models.items()}
        assert sorted(rows) == ["a@1", "b@1", "m0@1", "m1@1"]
        assert len(set(rows.values())) == 4

    play(body)


def test_where_each_row_of_the_metrics_has_its_model_one_more_is_refused():
    async def body(desk):
        desk.ask(*[f"m{n}" for n in range(MODEL_ROWS)])
        await desk.sent()
        with pytest.raises(ModelUnavailable, match="no more may be"):
            await desk.loading.ensure(bundle("a"))

    play(body)
