"""The OpenAPI document: what FastAPI finds by itself, the bodies that are parsed by hand, rows, problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from server.api.access import is_open
from server.api.error_answers import problems, refusals
from server.api.errors import Problem, Refused, below_v2
from server.api.job_request import JobByUrl
from server.api.references import REFERENCE, reference
from server.domain.event import Event
from server.domain.result import Row
from server.domain.stream import NewStream, ProbeSource, StreamChange

REPLAYED = {
    "Idempotent-Replayed": {
        "description": "`true` where an earlier call with the same key began it",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
"""A header of answers to calls that take an Idempotency-Key."""

DESCRIPTION = """
POST a video, or point the server at a camera, and get every object in every frame. `…` is this server's address, as
`http://127.0.0.1:8000`.

```
curl -F file=@street.mp4 …/v1/jobs                          # a video: the answer has its ID
curl '…/v1/jobs/ID?wait=60'                                 # progress, then a summary
curl '…/v1/jobs/ID/results?format=csv'                      # what is where in every frame

curl -H 'Content-Type: application/json' -d '{"name": "yard", "url": "rtsp://192.168.1.20/stream1"}' …/v1/streams
curl '…/v1/streams?name=yard'                               # a camera: how it is, and its ID
curl -N …/v1/streams/ID/subscribe                           # its rows and events, as they are made
```

Times are seconds of media time, or RFC 3339 in UTC. Boxes are `[x1, y1, x2, y2]` in pixels of the source frame.
A server that is bound to more than loopback wants a key: `Authorization: Bearer KEY`. One without a key answers by
names of its own machine alone, and not to pages of other sites.
Everything that goes wrong is answered as `application/problem+json` with a stable `code` and a `hint` that says what
to do. Send `X-Request-ID` to find a call in the server's log; each answer has one.
"""

# OpenAPI has no words for WebSockets.
_SUBSCRIPTIONS = """News as they come: as Server-Sent Events by the calls below, or over a WebSocket.

`/v1/streams/{id}/ws` follows a stream, with `types`, `labels` and `from` in its address. At `/v1/ws` you say what you
want, in messages of one JSON object each:

`{"subscribe": {"streams": ["ID"], "jobs": ["ID"], "types": ["result"], "labels": ["car"], "from": "start"}}`, of which
all may be left out (without names all streams are meant), and `{"unsubscribe": {"streams": ["ID"]}}`.

The server answers `{"event": "subscribed", "data": …}`, or `{"event": "error", "data": {"code": …, "detail": …}}` where
that cannot be, and sends `{"id": …, "event": "result", "data": {…}}` with the events and data of the calls below.
"""

TAGS = [
    {"name": "jobs", "description": "Videos analysed from their first frame to their last."},
    {"name": "streams", "description": "Cameras and other sources that never end."},
    {"name": "subscriptions", "description": _SUBSCRIPTIONS},
    {"name": "events", "description": "What happened."},
    {"name": "models", "description": "What the server can see with, and pictures one by one."},
    {"name": "access", "description": "Tickets for callers that cannot send a header."},
    {"name": "inference protocol", "description": "Open Inference Protocol v2: tensors in, tensors out."},
    {"name": "health", "description": "Whether the server works, and how hard."},
]


def answered(description: str, example: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An answer with an example."""
    return {"description": description, "content": {"application/json": {"example": example}}, **more}


def location(description: str) -> dict[str, Any]:
    """The header of an answer that says where to look next."""
    return {"Location": {"description": description, "schema": {"type": "string"}}}


def key_parameter(description: str) -> dict[str, Any]:
    """The header Idempotency-Key."""
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    }


def document(app: FastAPI) -> Mapping[str, Any]:
    """The document, made once; `app.state.undeclared` are more models that it needs."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=TAGS,
            separate_input_output_schemas=False,
        )
        schemas = made["components"]["schemas"]
        bodies = (JobByUrl, NewStream, StreamChange, ProbeSource, *app.state.undeclared)
        _, ours = models_json_schema(
            [(Problem, "serialization"), (Refused, "serialization"), *((body, "validation") for body in bodies)],
            ref_template=REFERENCE.replace("{name}", "{model}"),
        )
        _, rows = msgspec.json.schema_components([Row, Event], ref_template=REFERENCE)
        for name, schema in {**ours["$defs"], **rows}.items():
            schemas.setdefault(name, schema)
        schemas["Row"]["description"] = "What was seen in one frame. What a task does not say is left out."
        schemas["Event"]["description"] = "Something that happened. What does not apply is left out."
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        _forget_the_usual_422(made)
        if app.state.closed:
            _name_keys(made)
        _refuse(made, 401 if app.state.closed else 403)
        app.openapi_schema = made
    return app.openapi_schema


def _forget_the_usual_422(made: dict[str, Any]) -> None:
    """FastAPI says it of every call with a parameter, also where any text will do; the routes say where none does."""
    for calls in made["paths"].values():
        for call in calls.values():
            if "application/json" in call["responses"].get("422", {}).get("content", {}):
                schema = call["responses"]["422"]["content"]["application/json"]["schema"]
                if schema == reference("HTTPValidationError"):
                    del call["responses"]["422"]


def _name_keys(made: dict[str, Any]) -> None:
    """Say which calls want the key, and which are content with a ticket."""
    made["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "The administrator's key."},
        "ticket": {
            "type": "apiKey",
            "in": "query",
            "name": "ticket",
            "description": "Of `POST /v1/tickets`, for reading where no header can be sent.",
        },
    }
    for path, calls in made["paths"].items():
        for method, call in calls.items():
            if not is_open(path):
                call["security"] = [{"key": []}, {"ticket": []}] if method == "get" else [{"key": []}]


def _refuse(made: dict[str, Any], status: int) -> None:
    """Say with which status those are refused who may not call."""
    for path, calls in made["paths"].items():
        errors = refusals if below_v2(path) else problems
        for call in () if is_open(path) else calls.values():
            call["responses"] |= {str(status): errors(status)[status]}


def methods(request: Request) -> list[str]:
    """The methods of the path that a request asks for."""
    route = request.scope.get("route")
    documented = document(request.app)["paths"].get(getattr(route, "path", ""))
    found = {method.upper() for method in documented or getattr(route, "methods", ())}
    return sorted(found | {"HEAD"} if "GET" in found else found)
