"""Streams that end or hang the process which reads them, in real workers, and those beside them."""

import asyncio
import contextlib
import os
import signal
import time

import deadly_worker
import pytest
from deadly_worker import write
from prometheus_client.parser import text_string_to_metric_families

from server.core.settings import Settings, SourcesSettings, WorkersSettings
from server.domain.analysis import Analysis
from server.domain.stream import NewStream, StreamState
from server.runtime import Runtime

FOREVER = 10**6

pytestmark = pytest.mark.alone


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    here = os.path.dirname(deadly_worker.__file__)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]))


@contextlib.asynccontextmanager
async def running(tmp_path, **workers):
    settings = Settings(
        data=tmp_path / "data",
        workers=WorkersSettings(**{"count": 2, "shm_mb": 8, "call_s": 1.5, **workers}),
        sources=SourcesSettings(folders=(tmp_path,), open_s=0.5, read_s=0.5),
    )
    async with Runtime(settings, worker="deadly_worker") as runtime:
        await runtime.wait_ready()
        yield runtime


async def add(runtime, path, name, **options):
    """A stream that plays a file which does what it says; it has shown something."""
    (path / name).mkdir()
    file = write(path / name / "file", **{"does": "play", "frames": FOREVER, "frame_s": 0.02, **options})
    new = NewStream(name=name, url=f"file://{file}", analysis=Analysis(sample_fps=20))
    stream = await runtime.streams.create(new, force=True)
    await shows(runtime, stream.id)
    return stream.id


async def until(what, seconds=60):
    end = time.monotonic() + seconds
    while not (found := await what()):
        assert time.monotonic() < end
        await asyncio.sleep(0.02)
    return found


async def shows(runtime, stream, after=0):
    """Return its frames once more than so many were analysed, and it runs."""

    async def more():
        seen = await runtime.streams.get(stream)
        frames = seen.frames.get("analysed", 0)
        return frames if seen.state is StreamState.RUNNING and frames > after else 0

    return await until(more)


def pid_of(runtime, name):
    return int(runtime.health().parts[name].detail.split()[-1].rstrip(")"))


def deaths(runtime):
    """Processes that ended, by kind and reason."""
    found = {}
    for family in text_string_to_metric_families(runtime.scrape().decode()):
        for sample in family.samples:
            if sample.name == "vidserve_process_restarts_total":
                found[sample.labels["process"], sample.labels["reason"]] = int(sample.value)
    return found


def worker_of(runtime, stream):
    dispatcher = runtime._streaming.dispatcher
    return next((stint.worker for case, stint in dispatcher._current.items() if case.id == stream), None)


def test_the_streams_of_a_killed_worker_go_on_in_another_one_and_nothing_that_was_counted_is_lost(tmp_path):
    async def body():
        async with running(tmp_path) as runtime:
            streams = [await add(runtime, tmp_path, name) for name in "abcd"]
            for victim in ("worker-0", "worker-1"):
                before = {stream: await shows(runtime, stream) for stream in streams}
                os.kill(pid_of(runtime, victim), signal.SIGKILL)
                for stream in streams:
                    await shows(runtime, stream, after=before[stream])
                await until(lambda: ready(runtime, 2))
            assert deaths(runtime) == {("worker", "sigkill"): 2}

    asyncio.run(body())


async def ready(runtime, count):
    return [part.ok for name, part in runtime.health().parts.items() if name.startswith("worker")].count(True) == count


def test_a_stream_that_hangs_its_worker_goes_on_alone_and_its_neighbours_at_once(tmp_path):
    async def body():
        async with running(tmp_path, count=1) as runtime:
            good = await add(runtime, tmp_path, "good")
            bad = await add(runtime, tmp_path, "bad", does="hang", at=40, times=2)
            before = await shows(runtime, good)
            await until(lambda: died(runtime, {("worker", "hung"): 1, ("quarantine", "hung"): 1}))
            assert worker_of(runtime, good) == "worker-0"
            await shows(runtime, good, after=before)
            await shows(runtime, bad, after=30)
            assert worker_of(runtime, bad) == "quarantine"
            assert (await runtime.streams.get(bad)).error.code == "worker_lost"
            await runtime.streams.delete(bad)
            await until(lambda: gone(runtime, "quarantine"))

    asyncio.run(body())


async def died(runtime, wanted):
    return deaths(runtime) == wanted


async def gone(runtime, name):
    return name not in runtime.health().parts


def test_a_stream_that_crashes_its_worker_again_and_again_is_found_out_and_is_never_given_up(tmp_path):
    async def body():
        async with running(tmp_path, call_s=60) as runtime:
            good = [await add(runtime, tmp_path, name) for name in "ab"]
            bad = await add(runtime, tmp_path, "bad", does="SIGSEGV", at=25)

            async def found_out():
                return deaths(runtime).get(("quarantine", "sigsegv"), 0) >= 2

            await until(found_out)
            for stream in good:
                await shows(runtime, stream, after=await shows(runtime, stream))
                assert worker_of(runtime, stream) != "quarantine"
            assert (await runtime.streams.get(bad)).state in (StreamState.RECONNECTING, StreamState.RUNNING)

    asyncio.run(body())


def test_streams_go_on_when_the_engine_dies(tmp_path):
    async def body():
        async with running(tmp_path) as runtime:
            streams = [await add(runtime, tmp_path, name) for name in "ab"]
            before = {stream: await shows(runtime, stream) for stream in streams}
            os.kill(pid_of(runtime, "engine"), signal.SIGKILL)
            await until(lambda: died(runtime, {("engine", "sigkill"): 1}))
            for stream in streams:
                await shows(runtime, stream, after=before[stream] + 20)

    asyncio.run(body())


def test_streams_that_were_there_start_again_with_the_server(tmp_path):
    async def first():
        async with running(tmp_path) as runtime:
            return [await add(runtime, tmp_path, name) for name in "ab"]

    async def second(streams):
        async with running(tmp_path) as runtime:
            for stream in streams:
                await shows(runtime, stream)

    asyncio.run(second(asyncio.run(first())))
