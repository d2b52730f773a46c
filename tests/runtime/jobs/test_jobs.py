import asyncio
from types import SimpleNamespace

from dispatcher_builders import play

from model_export.manifest import Task
from server.core.errors import FetchFailed
from server.domain.analysis import Analysis
from server.domain.job import JobState
from server.runtime.jobs.jobs import Jobs
from server.storage.uploads import Uploads

AT_A_TIME = 8


class Web:
    """Videos by URL, which arrive when they are let.

    Attributes:
        asked: for which one was connected, in order.
        broken: those that give an error.
    """

    def __init__(self, folder):
        self.asked = []
        self.under_way = self.most = 0
        self.broken = set()
        self._uploads = Uploads(folder)
        self._let = {}

    def let(self, url):
        self._let[url].set()

    async def fetch(self, url):
        self.asked.append(url)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self._let.setdefault(url, asyncio.Event()).wait()
        finally:
            self.under_way -= 1
        if url in self.broken:
            raise FetchFailed("It gave no file.")
        writer = self._uploads.open(limit=100)
        writer.write(b"video")
        return writer.finish("a.mp4")


class Models:
    """One model."""

    async def resolve(self, reference):
        manifest = SimpleNamespace(id="net@1", name="net", task=Task.DETECT, labels=(), state=(), window=None)
        return SimpleNamespace(manifest=manifest)


def url(number):
    return f"http://example.com/{number}"


def test_so_many_videos_are_fetched_at_a_time_and_the_others_wait(tmp_path):
    async def body(stage):
        web = Web(tmp_path / "uploads")
        jobs = Jobs(stage.ledger, stage.media, Models(), stage.dispatcher, web.fetch, allow_private_urls=False)
        try:
            numbers = range(AT_A_TIME + 4)
            made = {url(n): (await jobs.submit_url(url(n), Analysis(), key=None))[0].id for n in numbers}
            await stage.until(lambda: len(web.asked) == AT_A_TIME)
            await asyncio.sleep(0.1)
            assert {(await jobs.get(id)).state for id in made.values()} == {JobState.QUEUED}

            under_way, waiting = list(web.asked), [one for one in made if one not in web.asked]
            assert (await jobs.cancel(made[waiting[0]])).state is JobState.CANCELLED
            await jobs.delete(made[waiting[1]])

            broken, unwanted, good = under_way[:3]
            web.broken.add(broken)
            web.let(broken)
            await stage.until(lambda: len(web.asked) == AT_A_TIME + 1)
            assert (await stage.ended(made[broken])).error.code == "fetch_failed"
            assert (await jobs.cancel(made[unwanted])).state is JobState.CANCELLED  # gives its turn back
            await stage.until(lambda: len(web.asked) == AT_A_TIME + 2)
            web.let(good)
            await stage.running(made[good])
            assert sorted(web.asked[AT_A_TIME:]) == sorted(waiting[2:])
            assert web.most == AT_A_TIME
        finally:
            await jobs.close()

    play(tmp_path, body)
