"""Streams added to a running server until it is too much for it."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from model_export.errors import VidserveError
from server.commands.scrape import Scrape
from server.domain.outcome import Outcome

_RUNNING_S = 30.0
_POLL_S = 0.2
_SETTLING_S = 2.0
_WELL = (Outcome.ANALYSED, Outcome.SAMPLED_OUT, Outcome.GATED)


class CameraSilent(VidserveError):
    """A stream that was added does not run."""

    code = "camera_silent"


@dataclass(frozen=True)
class Bearing:
    """How so many streams fared.

    Attributes:
        frames: by outcome, a second, of all of them.
        age_s: p95 of `result_age_seconds`; not a number where there was no result.
        why: what was too much; empty while all is well.
    """

    streams: int
    frames: dict[str, float]
    age_s: float
    why: str


@dataclass(frozen=True)
class Terms:
    """What is asked of the streams.

    Attributes:
        fps: frames analysed a second of each; None: every frame.
        age_s: the most that p95 of the age may be.
        kept: the least part of frames that must end as wanted.
        seconds: how long each number of streams is watched.
        most: streams to try.
    """

    fps: float | None
    age_s: float
    kept: float
    seconds: float
    most: int


class Server(Protocol):
    """What a crowd needs of `server.commands.client.Client`."""

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response: ...

    async def scrape(self) -> Scrape: ...


class Crowd:
    """
    Args:
        cameras: URLs, taken in turn.
        model: None: the server's default.
    """

    def __init__(self, client: Server, cameras: Sequence[str], model: str | None, terms: Terms) -> None:
        self._client = client
        self._cameras = itertools.cycle(cameras)
        self._analysis = {"model": model, "sample_fps": terms.fps}
        self._terms = terms
        self._ids: list[str] = []

    async def grow(self) -> AsyncIterator[Bearing]:
        """Twice as many streams each time, until they fare badly; then, halving the step, how many fare well. Call
        `leave` afterwards.

        Raises:
            CameraSilent, ServerRefuses, ServerUnreachable
        """
        good, bad, wanted = 0, self._terms.most + 1, 1
        while good + 1 < bad:
            await self._become(wanted)
            bearing = await self._watch()
            yield bearing
            if bearing.why:
                bad = wanted
            else:
                good = wanted
            wanted = min(2 * wanted, self._terms.most) if bad > self._terms.most else (good + bad) // 2

    async def leave(self) -> None:
        """Remove all streams that were added."""
        await self._become(0)

    async def _become(self, count: int) -> None:
        """As many streams as that."""
        while len(self._ids) > count:
            await self._client.call("DELETE", f"/v1/streams/{self._ids.pop()}")
        new = [await self._add() for _ in range(count - len(self._ids))]
        for stream in new:
            await self._wait(stream)

    async def _add(self) -> str:
        wish = {"url": next(self._cameras), "analysis": self._analysis, "name": f"bench {len(self._ids) + 1}"}
        # More than was measured to be possible is what shall be seen.
        answer = await self._client.call("POST", "/v1/streams", params={"force": "true"}, json=wish)
        self._ids.append(str(answer.json()["id"]))
        return self._ids[-1]

    async def _wait(self, stream: str) -> None:
        until = time.monotonic() + _RUNNING_S
        while True:
            found = (await self._client.call("GET", f"/v1/streams/{stream}")).json()
            if found["state"] == "running":
                return
            if time.monotonic() > until or found["state"] in ("failed", "ended"):
                problem = found.get("error") or {}
                raise CameraSilent(
                    f"A stream does not run but is {found['state']}: {problem.get('message', 'nobody knows why')}",
                    hint="See what POST /v1/streams/probe says of the camera.",
                )
            await asyncio.sleep(_POLL_S)

    async def _watch(self) -> Bearing:
        await asyncio.sleep(_SETTLING_S)
        before, start = await self._client.scrape(), time.monotonic()
        await asyncio.sleep(self._terms.seconds)
        after, seconds = await self._client.scrape(), time.monotonic() - start
        return judge(after.since(before).only(self._ids), seconds, self._terms)


def judge(counted: Scrape, seconds: float, terms: Terms) -> Bearing:
    """What was counted of streams in so many seconds, and whether it was too much."""
    outcomes = counted.outcomes
    whole = sum(outcomes.values())
    kept = sum(outcomes.get(outcome, 0) for outcome in _WELL) / max(1, whole)
    age_s = counted.age_s()
    why = ""
    if not whole:
        why = "no frames came"
    elif kept < terms.kept:
        why = f"{1 - kept:.1%} of the frames lost"
    elif math.isnan(age_s) or age_s > terms.age_s:
        why = "no results" if math.isnan(age_s) else "results too old"
    return Bearing(len(counted.frames), {name: count / seconds for name, count in outcomes.items()}, age_s, why)
