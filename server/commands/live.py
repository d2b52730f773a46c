"""`vidserve analyze rtsp://…`: rows of a live source as they are made, without a server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from rich.console import Console

from server.api.conversion import Format, convert
from server.core.settings import Settings
from server.domain.analysis import Analysis
from server.domain.stream import NewStream, StreamState
from server.events.filter import EVERYTHING
from server.events.item import Item, Kind
from server.runtime import Runtime

_SCHEMES = ("rtsp://", "rtsps://")
_OVER = (StreamState.ENDED, StreamState.FAILED)
PASSWORD_VARIABLE = "VIDSERVE_CAMERA_PASSWORD"
FORMS = (Format.NDJSON, Format.CSV, Format.MOT)
"""Formats that have no end."""


class Login(NamedTuple):
    """What a camera asks for."""

    username: str
    password: str | None

    @classmethod
    def of(cls, username: str, environ: Mapping[str, str], ask: Callable[[str], str]) -> Self:
        """With the password that the variable says, else the one that is typed: an option would stand in the list of
        processes, for everybody on the machine.
        """
        return cls(username, environ.get(PASSWORD_VARIABLE) or ask(f"Password of {username}: ") or None)


def is_live(word: str) -> bool:
    """Whether a word of the command line can mean a live source only."""
    return word.startswith(("/dev/", *_SCHEMES))


class LiveRun:
    """Analyses a source until it is over, or until it is interrupted.

    Args:
        url: of any source that streams have, credentials and all.
        login: credentials that are not in it.
        output: a file; None: standard output.
    """

    def __init__(
        self, url: str, analysis: Analysis, output: Path | None, form: Format, login: Login | None = None
    ) -> None:
        self._new = NewStream.model_validate({"url": url, "analysis": analysis, **(login._asdict() if login else {})})
        self._output = output
        self._form = form
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._state = StreamState.STARTING

    async def go(self, settings: Settings, models: Path) -> int:
        """The exit status: 1 if it failed for good; an interrupt is how an endless source ends.

        Raises:
            VidserveError: the model or the source is not there, or nothing can be started.
        """
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError, BrokenPipeError):
            async with Runtime(settings, models=models) as runtime:
                await runtime.wait_ready()
                await self._write(runtime)
        return int(self._state is StreamState.FAILED)

    async def _write(self, runtime: Runtime) -> None:
        with contextlib.ExitStack() as stack:
            file = sys.stdout.buffer if self._output is None else stack.enter_context(self._output.open("wb"))
            stream = await runtime.streams.create(self._new, force=True)
            async for chunk in convert(lambda: self._rows(runtime, stream.id), self._form):
                file.write(chunk)
                file.flush()

    async def _rows(self, runtime: Runtime, stream: str) -> AsyncIterator[bytes]:
        subscription = runtime.bus.join()
        runtime.bus.follow(subscription, [stream], EVERYTHING)
        try:
            while self._state not in _OVER:
                rows = []
                for one in await subscription.take():
                    if not isinstance(one, Item):
                        self._console.print("Rows were lost: whoever reads them is too slow.")
                    elif one.kind is Kind.RESULT:
                        rows.append(one.data + b"\n")
                    elif one.kind is Kind.STATE:
                        self._tell(json.loads(one.data))
                if rows:
                    yield b"".join(rows)
        finally:
            runtime.bus.leave(subscription)

    def _tell(self, state: dict[str, Any]) -> None:
        self._state = StreamState(state["state"])
        message = state.get("message", "")
        self._console.print(f"{self._state}{f': {message}' if message else ''}", markup=False)
