import asyncio
import functools
import logging

import pytest
from fake_engine import Site, a_bundle, a_bundle_with_variant, a_while, until
from model_builders import written

from model_export.errors import ModelNotFound, ModelReadOnly, TaskNotForVideo
from model_export.manifest import Task
from server.core.errors import ModelUnavailable
from server.runtime.models.models import DefaultConfigured, ModelInUse
from server.runtime.processes.death import STOPPED


def in_loop(test):
    @functools.wraps(test)
    def run(tmp_path):
        async def within():
            await test(Site(tmp_path))

        asyncio.run(within())

    # pytest would ask for what the inner function takes.
    del run.__wrapped__
    return run


# ── a new version ────────────────────────────────────────────────────────────────────────────────────────────────────


@in_loop
async def test_the_old_version_answers_until_the_new_one_is_warm(site):
    site.bundle(1)
    assert await site.predict() == "net@1"
    site.bundle(2)
    site.engine.at_once = False
    assert await site.predict() == "net@1"
    assert await site.predict() == "net@1"
    assert site.engine.told == ["load net@1", "load net@2"]
    assert await site.serving() == ["net@1"]
    assert (await site.models.get("net")).version == 1
    assert (await site.models.resolve("net")).manifest.id == "net@1"

    await site.up("net@2")
    assert await site.predict() == "net@2"
    assert await site.serving() == ["net@2"]


async def superseded(site):
    """`net@1` has served, until `net@2` took over."""
    site.bundle(1)
    await site.predict()
    site.bundle(2)
    await site.predict()
    await site.ready("net@2")
    await site.predict()
    await site.told("unload net@1")


@in_loop
async def test_the_old_version_goes_when_the_new_one_has_taken_over(site):
    await superseded(site)
    assert await site.states() == {"net@1": "unloaded", "net@2": "ready"}


@in_loop
async def test_the_old_version_stays_until_its_last_job_is_over(site):
    site.bundle(1)
    await site.models.resolve("net")
    await site.models.acquire("net@1")
    site.bundle(2)
    await site.predict()
    await site.ready("net@2")
    assert await site.predict() == "net@2"
    await a_while()
    assert (await site.states())["net@1"] == "ready"
    site.models.release("net@1")
    await site.told("unload net@1")


@in_loop
async def test_the_old_version_stays_where_a_job_takes_it_as_it_is_about_to_go(site):
    site.bundle(1)
    await site.models.acquire("net@1")
    await site.models.resolve("net")
    site.bundle(2)
    await site.predict()
    await site.ready("net@2")
    await site.predict()
    site.models.release("net@1")
    site.models.loading.models["net@1"].users += 1  # as `acquire` does, in a task whose turn comes before
    await a_while()
    assert (await site.states())["net@1"] == "ready"
    site.models.release("net@1")
    await site.told("unload net@1")


@in_loop
async def test_the_old_version_stays_until_its_last_picture_is_answered(site):
    site.bundle(1)
    await site.predict()
    site.pictures.held.clear()
    picture = asyncio.create_task(site.predict())
    await until(lambda: len(site.pictures.seen) == 2)
    site.bundle(2)
    await site.models.resolve("net")
    await site.ready("net@2")
    await site.models.resolve("net")
    await a_while()
    assert "unload net@1" not in site.engine.told
    site.pictures.held.set()
    assert await picture == "net@1"
    await site.told("unload net@1")


@in_loop
async def test_a_version_that_somebody_asked_for_by_its_number_stays(site):
    site.bundle(1)
    await site.predict()
    await site.models.load("net@1")
    site.bundle(2)
    await site.predict()
    await site.ready("net@2")
    assert await site.predict() == "net@2"
    await a_while()
    assert (await site.states())["net@1"] == "ready"


@in_loop
async def test_a_new_version_that_does_not_come_up_changes_nothing(site):
    site.bundle(1)
    await site.predict()
    site.bundle(2)
    site.engine.at_once = False
    await site.predict()
    site.engine.down("net@2")
    await until(lambda: site.models.loading.models.get("net@2").failed)
    for _ in range(3):
        assert await site.predict() == "net@1"
    assert site.engine.told == ["load net@1", "load net@2"]
    assert await site.states() == {"net@1": "ready", "net@2": "failed"}
    assert site.models.problems(["net"]) == []
    loading = asyncio.create_task(site.models.load("net"))
    await until(lambda: site.engine.told.count("load net@2") == 2)
    site.engine.down("net@2")
    with pytest.raises(ModelUnavailable, match="does not load"):
        await loading
    assert await site.predict() == "net@1"


@in_loop
async def test_a_server_stays_ready_while_a_new_version_comes_up(site):
    site.bundle(1)
    await site.models.load("net")
    site.bundle(2)
    site.engine.at_once = False
    await site.models.resolve("net")
    assert site.models.problems(["net"]) == []
    assert site.models.problems(["net@2"]) == ["Model net@2 is loading."]


@in_loop
async def test_the_way_back_to_an_old_version_has_no_gap_either(site):
    for version in (1, 2):
        site.bundle(version)
    assert await site.predict() == "net@2"
    site.engine.at_once = False
    task = asyncio.create_task(site.models.set_default("net@1"))
    await site.told("load net@1")
    assert await site.predict() == "net@2"
    await site.up("net@1")
    await task
    assert await site.predict() == "net@1"


@in_loop
async def test_the_way_back_to_an_old_version_is_not_cut_off_by_those_who_ask_meanwhile(site):
    site.bundle(1)
    site.bundle(2)
    await site.predict()
    for version in (1, 2):  # so that each has been superseded by the other once
        await site.models.set_default(f"net@{version}")
        await site.predict()
    await site.told("unload net@1")
    site.engine.told.clear()
    site.engine.at_once = False
    change = asyncio.create_task(site.models.set_default("net@1"))
    await site.told("load net@1")
    for _ in range(3):
        assert await site.predict() == "net@2"
    await a_while()
    site.engine.up("net@1")
    while not change.done():
        await site.predict()
    await change
    assert await site.predict() == "net@1"
    await site.told("unload net@2")
    assert site.engine.told == ["load net@1", "unload net@2"]


@in_loop
async def test_a_superseded_version_that_a_job_waits_for_is_not_sent_away(site):
    await superseded(site)
    site.engine.at_once = False
    job = asyncio.create_task(site.models.acquire("net@1"))
    await until(lambda: site.engine.told.count("load net@1") == 2)
    assert await site.predict() == "net@2"
    await a_while()
    site.engine.up("net@1")
    assert (await job).manifest.id == "net@1"
    assert site.engine.told.count("unload net@1") == 1


@in_loop
async def test_an_old_version_set_as_default_beside_the_server_comes_up_although_jobs_end_meanwhile(site):
    await superseded(site)
    await site.models.acquire("net")
    site.engine.at_once = False
    site.repository.set_default("net", 1)
    await site.predict()
    await until(lambda: site.engine.told.count("load net@1") == 2)
    site.models.release("net@2")
    await a_while()
    assert site.engine.told.count("unload net@1") == 1
    await site.up("net@1")
    assert await site.predict() == "net@1"


@in_loop
async def test_a_version_set_as_default_beside_the_server_takes_over_when_it_is_warm(site):
    for version in (1, 2):
        site.bundle(version)
    assert await site.predict() == "net@2"
    site.repository.set_default("net", 1)
    assert await site.predict() == "net@2"
    await site.ready("net@1")
    assert await site.predict() == "net@1"


@in_loop
async def test_what_others_bring_in_is_noticed_without_a_request(site):
    site.bundle(1)
    await site.predict()
    site.models.watch()
    site.bundle(2)
    await site.told("unload net@1")
    assert await site.serving() == ["net@2"]
    await site.models.close()


@in_loop
async def test_a_version_of_another_task_that_appears_beside_the_server_changes_nothing(site):
    site.bundle(1)
    assert await site.predict() == "net@1"
    written(site.root, name="net", version=2, task=Task.TENSOR)
    site.models.watch()
    await asyncio.sleep(2.5)
    assert await site.predict() == "net@1"
    assert site.engine.told == ["load net@1"]
    assert [status.id for status in await site.models.list()] == ["net@1"]
    await site.models.close()


@in_loop
async def test_what_cannot_be_served_is_in_the_log(site):
    site.bundle(1)
    written(site.root, name="net", version=2, task=Task.TENSOR)
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    log = logging.getLogger("server.runtime.models.models")
    log.addHandler(handler)
    try:
        await site.models.tell_broken()
    finally:
        log.removeHandler(handler)
    (said,) = records
    assert said.startswith("net@2 cannot be served: It is of task tensor, and net@1 of task detect")


@in_loop
async def test_nothing_is_loaded_because_somebody_asks_which_version_serves(site):
    site.bundle(1)
    await site.models.resolve("net")
    site.bundle(2)
    assert (await site.models.resolve("net")).manifest.version == 2
    assert (await site.models.get("net")).version == 2
    assert site.engine.told == []


@in_loop
async def test_a_new_engine_gets_what_the_old_one_had(site):
    site.bundle(1)
    await site.predict()
    site.bundle(2)
    site.engine.at_once = False
    await site.predict()
    site.models.loading.engine_lost(STOPPED)
    site.engine.told.clear()
    await site.models.loading.engine_back()
    assert site.engine.told == ["load net@1", "load net@2"]
    await site.up("net@1")
    assert await site.predict() == "net@1"


@in_loop
async def test_one_that_waits_for_a_model_that_is_sent_away_is_told(site):
    site.bundle(1)
    site.engine.at_once = False
    waiting = asyncio.create_task(site.predict())
    await site.told("load net@1")
    await site.models.unload("net")
    with pytest.raises(ModelUnavailable, match="unloaded before it was up"):
        await waiting


@in_loop
async def test_a_version_that_was_removed_and_brought_in_anew_is_loaded_anew(site):
    site.bundle(1)
    assert await site.predict() == "net@1"
    site.repository.remove("net", 1)
    site.bundle(1, labels=("bus",))
    assert await site.predict() == "net@1"
    assert site.engine.told == ["load net@1", "unload net@1", "load net@1"]


# ── removing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@in_loop
async def test_a_removed_version_is_gone_from_memory_and_disk_and_another_serves(site):
    for version in (1, 2):
        site.bundle(version)
    await site.predict()
    await site.models.remove("net@2")
    assert site.engine.told == ["load net@2", "unload net@2"]
    assert await site.predict() == "net@1"
    await site.models.remove("net")
    with pytest.raises(ModelNotFound):
        await site.models.remove("net")
    assert await site.models.list() == []


@in_loop
async def test_a_model_that_jobs_need_is_not_removed(site):
    for version in (1, 2):
        site.bundle(version)
    await site.models.acquire("net@1")
    with pytest.raises(ModelInUse, match="net@1"):
        await site.models.remove("net")
    asyncio.get_running_loop().call_later(0.1, site.models.release, "net@1")
    await site.models.remove("net@1")  # the job has ended, and was about to let go of it
    site.pinned = {"net@2"}
    with pytest.raises(ModelInUse, match="net@2"):
        await site.models.remove("net")
    assert [status.id for status in await site.models.list()] == ["net@2"]


@in_loop
async def test_a_model_that_came_with_the_server_stays(site):
    a_bundle(site.repository.shipped)
    with pytest.raises(ModelReadOnly):
        await site.models.remove("net")
    site.bundle(2)
    await site.models.remove("net")
    assert await site.serving() == ["net@1"]


@in_loop
async def test_a_picture_on_its_way_is_answered_before_its_model_goes(site):
    site.bundle(1)
    await site.predict()
    site.pictures.held.clear()
    picture = asyncio.create_task(site.predict())
    await until(lambda: len(site.pictures.seen) == 2)
    removal = asyncio.create_task(site.models.remove("net"))
    await a_while()
    assert not removal.done()
    site.pictures.held.set()
    assert await picture == "net@1"
    await removal


@in_loop
async def test_a_job_cannot_begin_with_a_model_that_is_being_removed(site):
    site.bundle(1)
    site.engine.at_once = False
    beginning = asyncio.create_task(site.models.acquire("net@1"))
    await site.told("load net@1")
    removal = asyncio.create_task(site.models.remove("net@1"))
    with pytest.raises((ModelNotFound, ModelUnavailable)):
        await beginning
    await removal


# ── the model where none is named ────────────────────────────────────────────────────────────────────────────────────


@in_loop
async def test_one_version_of_one_model_serves_where_none_is_named(site):
    a_bundle(site.repository.shipped, "shipped")
    for version in (1, 2):
        site.bundle(version)

    async def server_default():
        return [status.id for status in await site.models.list() if status.server_default]

    assert await server_default() == ["shipped@1"]
    await site.models.set_server_default("net")
    assert await server_default() == ["net@2"]
    assert site.engine.told == ["load net@2"]
    assert await site.predict(None) == "net@2"
    await site.models.set_default("net@1")
    assert await server_default() == ["net@1"]
    await site.models.remove("net")
    assert await server_default() == ["shipped@1"]


@in_loop
async def test_a_model_that_takes_tensors_is_shown_no_picture_and_does_not_become_the_servers(site):
    a_bundle(site.repository.shipped, "shipped")
    written(site.root, name="rok", task=Task.TENSOR)
    for asking in (site.predict("rok"), site.predict("rok@1"), site.models.set_server_default("rok")):
        with pytest.raises(TaskNotForVideo, match="rok@1 has task tensor"):
            await asking
    assert (site.engine.told, site.pictures.seen) == ([], [])
    assert (await site.models.resolve(None)).manifest.id == "shipped@1"


@in_loop
async def test_a_model_that_does_not_come_up_does_not_become_the_servers(site):
    a_bundle(site.repository.shipped, "shipped")
    site.bundle(1)
    site.engine.at_once = False
    setting = asyncio.create_task(site.models.set_server_default("net"))
    await site.told("load net@1")
    site.engine.down("net@1")
    with pytest.raises(ModelUnavailable):
        await setting
    assert (await site.models.resolve(None)).manifest.id == "shipped@1"


def test_what_the_settings_say_is_not_changed(tmp_path):
    async def within():
        site = Site(tmp_path, default_model="net@1")
        for version in (1, 2):
            site.bundle(version)
        with pytest.raises(DefaultConfigured):
            await site.models.set_server_default("net")
        assert [status.id for status in await site.models.list() if status.server_default] == ["net@1"]

    asyncio.run(within())


# ── variants ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@in_loop
async def test_it_is_said_which_variant_serves_and_which_there_are(site):
    made = a_bundle_with_variant(site.root)
    waiting = await site.models.get("net")
    assert (waiting.variant, [one.name for one in waiting.variants]) == (None, ["int8"])
    assert waiting.sha256 == made.manifest.files["model.onnx"]

    site.engine.at_once = False
    loading = asyncio.create_task(site.models.load("net"))
    await site.told("load net@1")
    site.engine.up("net@1", variant="int8")
    await loading

    status = await site.models.get("net")
    assert (status.variant, status.precision) == ("int8", "int8")
    assert status.sha256 == made.manifest.files["model.int8.onnx"]
    assert status.variants[0].model_dump() == {"name": "int8", "metric": "accuracy", "value": 0.93, "lost": 0.4}
