"""Imports from their acceptance to the repository, with the real process that makes the bundles."""

import asyncio
import functools
import shutil

import pytest
from fake_engine import Site, until
from model_builders import doubling, saved, yolox_like
from wicked_builders import endless, zipped

from model_export.errors import ModelExists
from model_export.options import ImportOptions
from server.core.errors import ImportNotFound, KeyConflict, QueueFull, Stopping
from server.domain.model_import import ImportState
from server.runtime.models.import_attempt import ImportLimits
from server.runtime.models.imports import Imports
from server.storage.imports import ImportStore
from server.storage.uploads import Uploads

RAW = ImportOptions.model_validate({"family": "raw", "name": "net"})
ENDED = 300


class Counter:
    """Where models are handed in."""

    def __init__(self, folder, **limits):
        self.folder = folder
        self.site = Site(folder)
        self.uploads = Uploads(folder / "uploads")
        self.limits = ImportLimits(4 << 30, 600)
        self.waiting = limits.pop("waiting", 8)
        self.imports = self._new()

    def _new(self):
        return Imports(ImportStore(self.folder), self.site.models, self.limits, waiting=self.waiting)

    async def __aenter__(self):
        await self.imports.restart()
        return self

    async def __aexit__(self, *_):
        await self.imports.close()

    async def start_anew(self):
        """As after a kill: nothing is told of the end."""
        await self.imports.close()
        self.imports = self._new()
        await self.imports.restart()

    def upload(self, file, name=None):
        writer = self.uploads.open(limit=1 << 30)
        writer.write(file.read_bytes())
        return writer.finish(name or file.name)

    async def submit(self, file, options=RAW, key=None):
        made, _ = await self.imports.submit(self.upload(file), options, key=key)
        return made

    async def ended(self, one):
        done = await self.imports.wait(one.id, ENDED)
        assert done.state.ended, done
        return done

    async def bring_in(self, file, options=RAW):
        return await self.ended(await self.submit(file, options))

    def models(self):
        return [f"{entry.name}@{entry.version}" for entry in self.site.repository.entries()]


def at_the_counter(test=None, **limits):
    if test is None:
        return functools.partial(at_the_counter, **limits)

    def run(tmp_path):
        async def within():
            async with Counter(tmp_path, **limits) as counter:
                await test(counter, tmp_path)

        asyncio.run(within())

    run.__name__ = test.__name__
    return run


def raw(folder, name="net.onnx", batch="batch"):
    return saved(doubling(batch), folder, name)


def left(folder):
    """Files of imports and uploads, what is known of the former aside."""
    found = [*(folder / "imports").rglob("*"), *(folder / "uploads").rglob("*")]
    return [path for path in found if path.is_file() and path.name != "import.json"]


@at_the_counter
async def test_a_file_becomes_a_model_and_leaves_nothing_else(counter, folder):
    options = ImportOptions.model_validate({"family": "yolox", "labels": "car\nbus\nperson"})
    accepted = await counter.submit(saved(yolox_like(), folder, "My Net.onnx"), options)
    assert (accepted.state, accepted.source, accepted.family) == (ImportState.IMPORTING, "My Net.onnx", "yolox")
    done = await counter.ended(accepted)
    assert (done.state, done.model) == (ImportState.DONE, "my-net@1")
    assert any("Parity shown" in line for line in done.lines)
    assert done.created_at <= done.started_at <= done.ended_at
    assert counter.site.repository.resolve("my-net").manifest.labels == ("car", "bus", "person")
    assert left(folder) == []


@at_the_counter
async def test_the_next_free_version_is_taken_unless_one_is_named(counter, folder):
    for expected in ("net@1", "net@2"):
        assert (await counter.bring_in(raw(folder))).model == expected
    named = ImportOptions.model_validate({"family": "raw", "name": "net", "version": "7"})
    assert (await counter.bring_in(raw(folder), named)).model == "net@7"
    other = raw(folder, batch=1)
    with pytest.raises(ModelExists, match="net@7 is there already"):
        await counter.submit(other, named)
    assert (await counter.bring_in(raw(folder), named)).model == "net@7"  # the same file
    assert counter.models() == ["net@1", "net@2", "net@7"]


@at_the_counter
async def test_a_bundle_is_the_version_that_it_says(counter, folder):
    await counter.bring_in(raw(folder))
    bundle = counter.site.repository.resolve("net@1")
    file = zipped(bundle.folder, folder / "bundle.zip")
    again = await counter.bring_in(file, None)
    assert (again.state, again.model) == (ImportState.DONE, "net@1")  # the same bytes
    shutil.move(bundle.folder, folder / "elsewhere")
    assert (await counter.bring_in(file, None)).model == "net@1"
    assert counter.site.repository.resolve("net").manifest == bundle.manifest
    shutil.rmtree(bundle.folder)
    await counter.bring_in(raw(folder, batch=1))
    refused = await counter.bring_in(file, None)
    assert (refused.state, refused.error.code) == (ImportState.FAILED, "model_exists")
    assert counter.models() == ["net@1"]
    assert left(folder) == []


@at_the_counter
async def test_a_refusal_says_why_and_what_to_do_and_leaves_nothing(counter, folder):
    options = ImportOptions.model_validate({"family": "yolox", "name": "net", "labels": "car"})
    failed = await counter.bring_in(saved(yolox_like(), folder), options)
    assert (failed.state, failed.error.code, failed.model) == (ImportState.FAILED, "import_refused", None)
    assert "Classes of the model: 3" in failed.error.message
    assert failed.error.hint
    assert counter.models() == []
    assert left(folder) == []


@at_the_counter
async def test_one_that_does_not_end_makes_way_for_the_next(counter, folder):
    counter.imports._limits = ImportLimits(4 << 30, 4)
    stuck = await counter.submit(saved(endless(), folder))
    following = await counter.submit(raw(folder))
    await until(lambda: counter.imports._in_hand and counter.imports._in_hand.attempt)
    # The other one has all the time that it takes.
    counter.imports._limits = counter.limits
    stuck, following = await counter.ended(stuck), await counter.ended(following)
    assert stuck.error.code == "import_timeout"
    assert following.state is ImportState.DONE
    assert stuck.ended_at <= following.started_at


@at_the_counter
async def test_one_import_runs_at_a_time_and_the_others_wait_in_their_order(counter, folder):
    stuck = await counter.submit(saved(endless(), folder))
    waiting = [await counter.submit(raw(folder)) for _ in range(2)]
    await until_begun(counter, stuck)
    assert [(await counter.imports.get(one.id)).started_at for one in waiting] == [None, None]
    await counter.imports.delete(stuck.id)
    assert [(await counter.ended(one)).model for one in waiting] == ["net@1", "net@2"]


async def until_begun(counter, one):
    while (await counter.imports.get(one.id)).started_at is None:
        await asyncio.sleep(0.01)


@at_the_counter(waiting=1)
async def test_no_more_wait_than_may(counter, folder):
    stuck = await counter.submit(saved(endless(), folder))
    await until_begun(counter, stuck)
    waiting = await counter.submit(raw(folder), key="k")
    counter.imports.check_room("k")
    assert (await counter.submit(raw(folder), key="k")).id == waiting.id
    with pytest.raises(QueueFull):
        counter.imports.check_room(None)
    upload = counter.upload(raw(folder))
    with pytest.raises(QueueFull):
        await counter.imports.submit(upload, RAW, key=None)
    upload.discard()
    await counter.imports.delete(stuck.id)


@at_the_counter
async def test_an_import_that_is_deleted_ends_and_no_model_comes_of_it(counter, folder):
    stuck = await counter.submit(saved(endless(), folder))
    waiting = await counter.submit(raw(folder))
    await until_begun(counter, stuck)
    watching = asyncio.create_task(counter.imports.wait(stuck.id, ENDED))
    await asyncio.sleep(0)
    for one in (waiting, stuck):
        await counter.imports.delete(one.id)
        with pytest.raises(ImportNotFound):
            await counter.imports.get(one.id)
    with pytest.raises(ImportNotFound):
        await watching
    assert counter.models() == []
    assert left(folder) == []


@at_the_counter
async def test_what_was_accepted_goes_on_after_the_server_was_killed(counter, folder):
    await counter.bring_in(raw(folder))
    stuck = await counter.submit(saved(endless(), folder))
    waiting = await counter.submit(raw(folder), RAW, key="k")
    await until_begun(counter, stuck)
    await counter.start_anew()
    await until_begun(counter, stuck)
    await counter.imports.delete(stuck.id)
    assert (await counter.ended(waiting)).model == "net@2"
    assert (await counter.submit(raw(folder), RAW, key="k")).id == waiting.id
    assert len((await counter.imports.list(limit=10, before=None))[0]) == 2


@at_the_counter
async def test_one_that_was_placed_but_not_told_becomes_no_second_version(counter, folder):
    done = await counter.bring_in(raw(folder))
    record = folder / "imports" / done.id / "import.json"
    # As it was on the disk before its end was written, its file still there.
    record.write_text(record.read_text().replace('"state":"done"', '"state":"importing"'))
    (record.parent / "upload").mkdir()
    shutil.copy(raw(folder), record.parent / "upload" / "net.onnx")
    await counter.start_anew()
    assert (await counter.ended(done)).model == "net@1"
    assert counter.models() == ["net@1"]


@at_the_counter
async def test_one_that_ends_the_server_each_time_is_given_up(counter, folder):
    stuck = await counter.submit(saved(endless(), folder))
    for _ in range(3):
        await until_attempt(counter, stuck)
        await counter.start_anew()
    given_up = await counter.ended(stuck)
    assert given_up.error.code == "import_crashed"
    assert "3 times" in given_up.error.message


async def until_attempt(counter, one):
    """Return when the process is at it."""
    folder = counter.folder / "imports" / one.id
    before = getattr(counter, "attempts", 0)
    await until(lambda: f'"attempts":{before + 1}' in (folder / "import.json").read_text())
    counter.attempts = before + 1


@at_the_counter
async def test_the_same_key_gives_the_same_import_also_at_the_same_moment(counter, folder):
    file = raw(folder)
    both = await asyncio.gather(
        *(counter.imports.submit(counter.upload(file), RAW, key="k") for _ in range(2)),
    )
    assert both[0][0].id == both[1][0].id
    assert sorted(created for _, created in both) == [False, True]
    with pytest.raises(KeyConflict):
        await counter.submit(file, ImportOptions.model_validate({"family": "raw", "name": "other"}), key="k")
    await counter.ended(both[0][0])


@at_the_counter
async def test_imports_are_listed_newest_first_in_pages(counter, folder):
    made = [await counter.submit(raw(folder)) for _ in range(3)]
    first, more = await counter.imports.list(limit=2, before=None)
    rest, end = await counter.imports.list(limit=2, before=more)
    assert [one.id for one in [*first, *rest]] == [one.id for one in reversed(made)]
    assert end is None
    for one in made:
        await counter.ended(one)


@at_the_counter
async def test_a_new_version_takes_over_without_a_request(counter, folder):
    await counter.bring_in(raw(folder))
    await counter.site.models.load("net")
    await counter.bring_in(raw(folder))
    await counter.site.ready("net@2")
    assert (await counter.site.models.resolve("net")).manifest.id == "net@2"


@at_the_counter
async def test_a_model_of_another_task_does_not_take_over_a_name(counter, folder):
    counter.site.bundle(1)
    assert await counter.site.predict() == "net@1"
    failed = await counter.bring_in(raw(folder))
    assert (failed.state, failed.error.code) == (ImportState.FAILED, "task_differs")
    assert failed.error.hint == "Give it another name."
    assert counter.models() == ["net@1"]
    assert await counter.site.predict() == "net@1"
    assert left(folder) == []


@at_the_counter
async def test_a_server_that_stops_takes_nothing_more(counter, folder):
    await counter.imports.close()
    upload = counter.upload(raw(folder))
    with pytest.raises(Stopping):
        await counter.imports.submit(upload, RAW, key=None)
    upload.discard()
