"""`vidserve serve`: the server from its first line to its end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

import uvicorn
from rich.console import Console
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_export.errors import VidserveError
from server.api.errors import problem, problem_value
from server.api.socket_session import MESSAGE_BYTES
from server.app import create_app
from server.commands.address import listen, url_of
from server.commands.reload import ReadSettings, Reload
from server.core import heap
from server.core.errors import Stopping
from server.core.keys import key_file
from server.core.log import LogConfig, configure
from server.core.loopback import is_loopback
from server.core.settings import Settings
from server.domain.model import ModelState, ModelStatus
from server.runtime import Runtime

_log = logging.getLogger(__name__)

# Requests that wait for a job would otherwise hold up the end.
_GRACE_S = 1
_FORCED = 130
_SAME_S = 0.1
_PROBES = ("/health/", "/livez", "/readyz", "/metrics")

WhenReady = Callable[[Runtime, str], Awaitable[bool]]
"""Called with the runtime and the server's URL once it is ready; False ends the server."""


def run(settings: Settings, read: ReadSettings | None = None) -> None:
    """Serve until a signal; returns when everything has ended.

    Args:
        read: the settings again, at SIGHUP.

    Raises:
        AddressRefused: the address is taken.
        VidserveError: the server cannot start.
    """
    configure(LogConfig.of(settings.log))
    asyncio.run(serve(settings, listen(settings.host, settings.port), announce, read))


async def serve(
    settings: Settings, listener: socket.socket, when_ready: WhenReady, read: ReadSettings | None = None
) -> None:
    """Start every process, answer requests, and end everything in order at a signal."""
    url = url_of(listener)
    async with _Signals() as signals, Reload(read) as reload, Runtime(settings) as runtime:
        reload.runtime = runtime
        server = _Server(
            uvicorn.Config(
                _Ending(create_app(settings, runtime)),
                log_config=None,
                timeout_graceful_shutdown=_GRACE_S,
                ws="websockets-sansio",
                ws_max_size=MESSAGE_BYTES,
                # Each subscriber's news would be compressed anew.
                ws_per_message_deflate=False,
            )
        )

        def stop() -> None:
            runtime.ending()
            # They would never end by themselves.
            runtime.bus.stop()
            server.stop()

        signals.stop = stop
        # It tells of its own start and end, which is not that of the server.
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        logging.getLogger("uvicorn.error").addFilter(_not_a_refusal)
        access = logging.getLogger("uvicorn.access")
        access.addFilter(_not_a_probe)
        ready = asyncio.create_task(_when_ready(runtime, url, when_ready, stop))
        heap.freeze()
        try:
            await server.serve([listener])
        finally:
            access.removeFilter(_not_a_probe)
            logging.getLogger("uvicorn.error").removeFilter(_not_a_refusal)
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)
            listener.close()


async def announce(runtime: Runtime, url: str) -> bool:
    """Say on standard output where the server is and what it runs."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]vidserve {version('vidserve')}[/] is ready at [bold]{url}[/], documentation at {url}/docs")
    for line in running(await runtime.models.list()):
        console.print(line, markup=False)
    if callers := who_may_call(runtime.settings):
        console.print(callers, markup=False)
    return True


def who_may_call(settings: Settings) -> str | None:
    """Which key callers need, and where it lies; None: anybody on this machine may call."""
    if settings.admin_key is not None:
        return "callers need the key that the settings give"
    return None if is_loopback(settings.host) else f"callers need the key in {key_file(settings.data)}"


def running(models: Sequence[ModelStatus]) -> list[str]:
    """A line for each model that is loaded: what it runs on, and why."""
    lines = []
    for model in models:
        if model.state is ModelState.READY:
            on = {"cpu": "the CPU", "cuda": "the GPU"}.get(model.provider or "", model.provider)
            lines.append(f"{model.id} runs on {on}: {_why(model)}")
    return lines


def _why(model: ModelStatus) -> str:
    if model.provider_reason:
        return f"{model.asked_provider} was asked for, but {model.provider_reason}"
    if model.provider == model.asked_provider:
        return "so the settings say"
    return "no NVIDIA GPU is here" if model.provider == "cpu" else "it is here and works"


async def _when_ready(runtime: Runtime, url: str, when_ready: WhenReady, stop: Callable[[], None]) -> None:
    try:
        await runtime.wait_ready()
    except VidserveError as error:
        _log.error("not ready: %s", error)
        return
    if not await when_ready(runtime, url):
        stop()


class _Ending:
    """Answers the requests that are cut off at the end: who waits for a job is told to ask again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except asyncio.CancelledError:
            if scope["type"] == "http" and not begun:
                said = problem_value(503, Stopping.code, "The server is stopping.", hint="Ask again when it is back.")
                await problem(said)(scope, receive, send)


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise them again when it has ended, before the other processes have."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Take no more requests, and end when those under way are answered."""
        self.should_exit = True


class _Signals:
    """The first signal stops in order; the second ends at once, and the children notice that this process is gone.

    What comes within a moment is the first one still: `timeout` sends it to the process and to its group.
    """

    def __init__(self) -> None:
        self._received_at: float | None = None
        self._stop: Callable[[], None] | None = None

    @property
    def stop(self) -> Callable[[], None] | None:
        """What the first signal calls."""
        return self._stop

    @stop.setter
    def stop(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        if self._received_at is not None:
            stop()

    async def __aenter__(self) -> _Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._receive, number)
        return self

    async def __aexit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)

    def _receive(self, number: signal.Signals) -> None:
        now = time.monotonic()
        if self._received_at is not None:
            if now - self._received_at < _SAME_S:
                return
            _log.warning("%s again: ending at once", number.name)
            os._exit(_FORCED)
        self._received_at = now
        _log.info("%s: stopping", number.name)
        if self._stop is not None:
            self._stop()


def _not_a_probe(record: logging.LogRecord) -> bool:
    """Probes and Prometheus ask all the time; when they are answered well, nobody wants to read it."""
    args = record.args if isinstance(record.args, tuple) else ()
    return not (len(args) == 5 and str(args[2]).startswith(_PROBES) and args[4] in (200, 503))


def _not_a_refusal(record: logging.LogRecord) -> bool:
    """A WebSocket that was refused with a problem is an error to uvicorn, and none of ours."""
    return record.msg != "ASGI callable returned without completing handshake."
