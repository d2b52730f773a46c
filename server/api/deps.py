"""What routes are given: the runtime's parts, and the values that a request names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Path, Request
from fastapi.requests import HTTPConnection

from model_export.errors import ManifestInvalid, ModelNotFound
from model_export.manifest import parse_reference
from server.api.ports import Events, Imports, Jobs, Models, Runtime, Streams, Subscriptions, Tensors, Views
from server.api.tickets import Tickets
from server.core.errors import FieldProblem, FieldsInvalid
from server.storage.uploads import Uploads

_MAX_KEY = 255


@dataclass(frozen=True)
class Intake:
    """Where uploads go, and how many bytes a video and a model may have."""

    uploads: Uploads
    upload_bytes: int
    model_bytes: int


def runtime_of(request: Request) -> Runtime:
    """The running server, as `server.api.application.build` was given it."""
    return cast(Runtime, request.app.state.runtime)


# Coroutines, though they wait for nothing: plain functions would each be run in a thread.


async def _runtime(request: Request) -> Runtime:
    return runtime_of(request)


async def _jobs(request: Request) -> Jobs:
    return runtime_of(request).jobs


async def _streams(request: Request) -> Streams:
    return runtime_of(request).streams


async def _views(request: Request) -> Views:
    return runtime_of(request).views


async def _models(request: Request) -> Models:
    return runtime_of(request).models


async def _tensors(request: Request) -> Tensors:
    return runtime_of(request).tensors


async def _imports(request: Request) -> Imports:
    return runtime_of(request).imports


async def _subscriptions(request: HTTPConnection) -> Subscriptions:
    return cast(Runtime, request.app.state.runtime).subscriptions


async def _events(request: Request) -> Events:
    return runtime_of(request).events


async def _intake(request: Request) -> Intake:
    return cast(Intake, request.app.state.intake)


async def _tickets(request: Request) -> Tickets:
    return cast(Tickets, request.app.state.tickets)


async def _reference(
    name: Annotated[
        str,
        Path(
            description="`name`, for the version that serves, or `name@version`",
            examples=["moving-objects", "yolox-nano@1"],
        ),
    ],
) -> str:
    try:
        parse_reference(name)
    except ManifestInvalid as error:
        raise ModelNotFound(f"There is no model {name!r}.", hint="GET /v1/models lists those there are.") from error
    return name


async def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not (0 < len(key) <= _MAX_KEY and key.isascii() and key.isprintable()):
        raise FieldsInvalid(
            FieldProblem("Idempotency-Key", f"1 to {_MAX_KEY} printable ASCII characters are wanted."),
            hint="A UUID is a good key.",
        )
    return key


JobsDep = Annotated[Jobs, Depends(_jobs)]
StreamsDep = Annotated[Streams, Depends(_streams)]
ViewsDep = Annotated[Views, Depends(_views)]
ModelsDep = Annotated[Models, Depends(_models)]
TensorsDep = Annotated[Tensors, Depends(_tensors)]
ImportsDep = Annotated[Imports, Depends(_imports)]
SubscriptionsDep = Annotated[Subscriptions, Depends(_subscriptions)]
EventsDep = Annotated[Events, Depends(_events)]
RuntimeDep = Annotated[Runtime, Depends(_runtime)]
TicketsDep = Annotated[Tickets, Depends(_tickets)]
IntakeDep = Annotated[Intake, Depends(_intake)]
KeyDep = Annotated[str | None, Depends(_idempotency_key)]
Reference = Annotated[str, Depends(_reference)]
StreamId = Annotated[str, Path(description="the stream's `id`", examples=["9905153c5e080afd"])]
JobId = Annotated[str, Path(description="the job's `id`", examples=["8c1d5e0f2a7b4c69"])]
