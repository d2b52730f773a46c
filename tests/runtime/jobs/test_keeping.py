import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from dispatcher_builders import play

from server.core.errors import JobNotFound
from server.runtime.jobs.jobs import Jobs
from server.runtime.jobs.keeping import Keeping


def jobs_of(stage) -> Jobs:
    return Jobs(stage.ledger, stage.media, stage.models, stage.dispatcher, None, allow_private_urls=False)


def days(number: float) -> timedelta:
    return timedelta(days=number)


async def ended(stage, *names: str) -> None:
    await stage.put(*names)
    await stage.running(*names)
    for name in names:
        stage.media.source(name).write_bytes(b"video")
        stage.end(name)
        await stage.ended(name)


def test_jobs_that_ended_long_ago_are_deleted_with_all_that_is_theirs_and_no_others(tmp_path):
    async def body(stage):
        await ended(stage, "old", "older")
        await stage.put("runs", "waits")
        await stage.running("runs")
        keeping = Keeping(stage.ledger, jobs_of(stage).delete, days=2)
        now = datetime.now(UTC)
        assert await keeping.look(now + days(1.9)) == 0
        assert await keeping.look(now + days(2.1)) == 2
        for name in ("old", "older"):
            with pytest.raises(JobNotFound):
                await stage.ledger.get(name)
            assert not stage.media.source(name).parent.exists()
        assert (await stage.ledger.get("runs")).id == "runs"
        assert (await stage.ledger.get("waits")).id == "waits"
        assert stage.ledger.counts()["done"] == 0

    play(tmp_path, body)


def test_one_that_a_client_deletes_meanwhile_holds_nothing_up(tmp_path):
    async def body(stage):
        await ended(stage, "old", "older")
        jobs = jobs_of(stage)

        async def delete(job: str) -> None:
            await jobs.delete(job)
            if job == "old":
                await jobs.delete(job)  # somebody was quicker

        assert await Keeping(stage.ledger, delete, days=2).look(datetime.now(UTC) + days(3)) == 1

    play(tmp_path, body)


def test_it_looks_at_once_and_what_goes_wrong_is_logged_and_tried_later(tmp_path, caplog):
    async def body(stage):
        await ended(stage, "old")

        async def delete(job: str) -> None:
            raise RuntimeError("broken")

        task = asyncio.create_task(Keeping(stage.ledger, delete, days=1e-9).run())
        await stage.until(lambda: "deleting old jobs" in caplog.text)
        assert not task.done()
        task.cancel()

    play(tmp_path, body)
