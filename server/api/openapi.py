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
from server.api.references import REFERENCE
from server.domain.event import Event
from server.domain.result import Row
from server.domain.stream import NewStream, ProbeSource, StreamChange

JOB_EXAMPLE = {
    "id": "8c1d5e0f2a7b4c69",
    "state": "done",
    "created_at": "2026-01-02T10:00:00Z",
    "started_at": "2026-01-02T10:00:00.020000Z",
    "ended_at": "2026-01-02T10:00:04.310000Z",
    "source": "street.mp4",
    "analysis": {"model": "yolox-nano", "labels": ["car"]},
    "model": "yolox-nano@1",
    "width": 768,
    "height": 432,
    "duration_s": 30.16,
    "progress": 1.0,
    "fps": 87.9,
    "frames": {"analysed": 377},
    "summary": {"car": {"frames": 153, "most_at_once": 2, "tracks": 4, "first_s": 2.4, "last_s": 27.92}},
    "warnings": [],
}

STREAM_EXAMPLE = {
    "id": "8c1d5e0f2a7b4c69",
    "name": "front door",
    "managed_by": "api",
    "url": "rtsp://192.168.1.20/stream1",
    "username": "viewer",
    "transport": "tcp",
    "loop": False,
    "state": "running",
    "paused": False,
    "created_at": "2026-01-02T10:00:00Z",
    "analysis": {"model": "yolox-nano", "labels": ["person"], "sample_fps": 5.0},
    "model": "yolox-nano@1",
    "asked_fps": 5.0,
    "codec": "h264",
    "width": 640,
    "height": 360,
    "fps": 9.97,
    "last_frame_at": "2026-01-02T10:20:00.310000Z",
    "last_result_at": "2026-01-02T10:20:00.290000Z",
    "reconnects": 0,
    "frames": {"analysed": 6000, "sampled_out": 6000},
}

IMPORT_EXAMPLE = {
    "id": "5b1c77d0a94e2f63",
    "state": "done",
    "created_at": "2026-01-02T10:00:00Z",
    "started_at": "2026-01-02T10:00:00.010000Z",
    "ended_at": "2026-01-02T10:00:04.310000Z",
    "source": "yolox_nano.onnx",
    "family": "yolox",
    "model": "yolox-nano@1",
    "lines": ["The batch is free; rows are bit-identical in batches of 1, 2, 4, 8.", "Parity shown on 4 pictures."],
}

REPLAYED = {
    "Idempotent-Replayed": {
        "description": "`true` where an earlier call with the same key began it",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
"""A header of answers to calls that take an Idempotency-Key."""

DESCRIPTION = """
POST a video and get every object in every frame.

```
curl -F file=@street.mp4 -F model=moving-objects http://localhost:8000/v1/jobs
curl 'http://localhost:8000/v1/jobs/ID?wait=60'
curl 'http://localhost:8000/v1/jobs/ID/results?format=csv'
```

Times are seconds of media time, or RFC 3339 in UTC. Boxes are `[x1, y1, x2, y2]` in pixels of the source frame.
A server that is bound to more than loopback wants a key: `Authorization: Bearer KEY`. One without a key answers by
names of its own machine alone, and not to pages of other sites.
Everything that goes wrong is answered as `application/problem+json` with a stable `code` and a `hint` that says what
to do. Send `X-Request-ID` to find a call in the server's log; each answer has one.
"""

TAGS = [
    {"name": "jobs", "description": "Videos analysed from their first frame to their last."},
    {"name": "streams", "description": "Cameras and other sources that never end."},
    {"name": "subscriptions", "description": "News as they come. WebSockets, too: `/v1/ws`, `/v1/streams/{id}/ws`."},
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
        if app.state.closed:
            _name_keys(made)
        _refuse(made, 401 if app.state.closed else 403)
        app.openapi_schema = made
    return app.openapi_schema


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


def _template() -> str:
    return REFERENCE.replace("{name}", "{model}")
