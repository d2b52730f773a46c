from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from server.commands.crowd import Bearing, CameraSilent, Crowd, Terms, judge
from server.commands.scrape import Scrape

TERMS = Terms(fps=5, age_s=0.5, kept=0.99, seconds=0.01, most=16)


class FakeServer:
    """Analyses everything while it has no more than so many streams, and drops half of it beyond that."""

    def __init__(self, *, room: int, state: str = "running") -> None:
        self.room = room
        self.state = state
        self.streams: dict[str, dict[str, Any]] = {}
        self.counted: dict[str, dict[str, int]] = {}

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        stream = path.rpartition("/")[2]
        if method == "POST":
            stream = f"s{len(self.counted)}"
            self.streams[stream] = more["json"]
            self.counted[stream] = {"analysed": 0, "dropped_busy": 0}
        elif method == "DELETE":
            del self.streams[stream]
        return httpx.Response(200, json={"id": stream, "state": self.state, "error": {"message": "No route."}})

    async def scrape(self) -> Scrape:
        for stream in self.streams:
            self.counted[stream]["analysed"] += 50
            self.counted[stream]["dropped_busy"] += 0 if len(self.streams) <= self.room else 50
        live = {stream: dict(self.counted[stream]) for stream in self.streams}
        return Scrape(
            live, {stream: {0.1: of["analysed"], float("inf"): of["analysed"]} for stream, of in live.items()}
        )


@pytest.fixture(autouse=True)
def _no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.commands.crowd._SETTLING_S", 0)


def grown(server: FakeServer, terms: Terms = TERMS) -> list[Bearing]:
    """All that a crowd on this server is seen to do; it has left afterwards."""

    async def grow() -> list[Bearing]:
        crowd = Crowd(server, ["rtsp://a/", "rtsp://b/"], None, terms)
        try:
            return [bearing async for bearing in crowd.grow()]
        finally:
            await crowd.leave()

    return asyncio.run(grow())


def test_streams_are_doubled_until_it_is_too_much_and_then_the_bound_is_found() -> None:
    server = FakeServer(room=5)
    found = grown(server)
    assert [one.streams for one in found] == [1, 2, 4, 8, 6, 5]
    assert [one.streams for one in found if not one.why] == [1, 2, 4, 5]
    assert found[3].why == "50.0% of the frames lost"
    assert server.streams == {}


def test_it_ends_where_no_more_shall_be_tried() -> None:
    assert [one.streams for one in grown(FakeServer(room=100))] == [1, 2, 4, 8, 16]


def test_one_stream_may_be_too_much() -> None:
    assert [one.why != "" for one in grown(FakeServer(room=0))] == [True]


def test_cameras_are_taken_in_turn_with_the_wanted_rate() -> None:
    server = FakeServer(room=0)

    async def three() -> list[dict[str, Any]]:
        crowd = Crowd(server, ["rtsp://a/", "rtsp://b/"], "m", TERMS)
        await crowd._become(3)
        return list(server.streams.values())

    added = asyncio.run(three())
    assert [one["url"] for one in added] == ["rtsp://a/", "rtsp://b/", "rtsp://a/"]
    assert added[0]["analysis"] == {"model": "m", "sample_fps": 5}


def test_a_stream_that_fails_is_told_with_its_reason_and_removed() -> None:
    server = FakeServer(room=9, state="failed")
    with pytest.raises(CameraSilent, match=r"failed: No route\."):
        grown(server)
    assert server.streams == {}


@pytest.mark.parametrize(
    ("frames", "ages", "why"),
    [
        ({"analysed": 50, "sampled_out": 50}, {0.1: 50, 1.0: 50}, ""),
        ({"analysed": 50, "gated": 50}, {0.1: 50, 1.0: 50}, ""),
        ({"analysed": 50, "dropped_stale": 50}, {0.1: 50, 1.0: 50}, "50.0% of the frames lost"),
        ({"analysed": 100}, {0.1: 0, 1.0: 100}, "results too old"),
        ({"analysed": 100}, {}, "no results"),
        ({}, {}, "no frames came"),
    ],
)
def test_what_is_too_much(frames: dict[str, int], ages: dict[float, float], why: str) -> None:
    assert judge(Scrape({"a": frames}, {"a": ages}), 10, TERMS).why == why
