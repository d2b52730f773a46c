"""The server as one ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from server.api.application import build
from server.api.deps import Intake
from server.api.ports import Runtime as RuntimePort
from server.core.keys import wanted_key
from server.core.settings import Settings
from server.runtime import Runtime
from server.storage.uploads import Uploads


def create_app(settings: Settings, runtime: RuntimePort | None = None) -> FastAPI:
    """The application; entering its lifespan starts the server's processes, leaving it stops them.

    Args:
        settings: of the whole server.
        runtime: one that is running already and is left running; None: one is made from the settings.

    Raises:
        SettingsInvalid: callers need a key, and none can be read or made.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.runtime = runtime or await stack.enter_async_context(Runtime(settings))
            yield

    limits = settings.limits
    uploads = Uploads(settings.data / "uploads", free_bytes=limits.free_bytes)
    return build(Intake(uploads, limits.upload_bytes, limits.model_bytes), lifespan, key=wanted_key(settings))
