"""Live streams of a server, as its users make and watch them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpx

from benchmarks.failure import NotMeasured
from benchmarks.serving import Server
from server.commands.scrape import Scrape
from tests.cameras import rtsp

_PATIENCE_S = 30.0
_POLL_S = 0.05
EVERY_FRAME = {"model": "moving-objects", "sample_fps": None}


def cameras_wanted() -> None:
    """See that there can be an RTSP server.

    Raises:
        NotMeasured: there can be none.
    """
    if reason := rtsp.missing():
        raise NotMeasured(reason)


class Streams:
    """The streams of a server; those that an earlier part has left in its data folder are removed first."""

    def __init__(self, server: Server) -> None:
        self._client = server.client
        while left := self._client.get("/v1/streams").raise_for_status().json()["items"]:
            for stream in left:
                self.remove(stream["id"])

    def add(self, url: str, analysis: Mapping[str, Any] = EVERY_FRAME) -> str:
        """POST a stream; its id.

        Raises:
            NotMeasured: it was refused.
        """
        wish = {"url": url, "analysis": dict(analysis)}
        answer = self._client.post("/v1/streams", params={"force": "true"}, json=wish)
        if answer.status_code != httpx.codes.CREATED:
            raise NotMeasured(f"POST /v1/streams answered {answer.status_code}: {answer.text}")
        return str(answer.json()["id"])

    def add_all(self, urls: Iterable[str], analysis: Mapping[str, Any] = EVERY_FRAME) -> list[str]:
        """Streams that run."""
        ids = [self.add(url, analysis) for url in urls]
        for stream in ids:
            self.wait(stream, lambda one: one["state"] == "running" and one.get("last_result_at") is not None)
        return ids

    def get(self, stream: str) -> dict[str, Any]:
        found: dict[str, Any] = self._client.get(f"/v1/streams/{stream}").raise_for_status().json()
        return found

    def wait(
        self, stream: str, what: Callable[[dict[str, Any]], bool], *, seconds: float = _PATIENCE_S
    ) -> dict[str, Any]:
        """The stream when it is so.

        Raises:
            NotMeasured: it was not within the seconds.
        """
        until = time.monotonic() + seconds
        while True:
            found = self.get(stream)
            if what(found):
                return found
            if time.monotonic() > until:
                raise NotMeasured(f"a stream did not come to what was waited for in {seconds:g} s: {found}")
            time.sleep(_POLL_S)

    def remove(self, stream: str) -> None:
        self._client.delete(f"/v1/streams/{stream}").raise_for_status()

    def scrape(self) -> Scrape:
        return Scrape.of(self._client.get("/metrics").raise_for_status().text)
