"""The OpenAPI document: what FastAPI finds by itself, the bodies that are parsed by hand, rows, problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from server.api.errors import MEDIA_TYPE, Problem
from server.api.job_request import JobByUrl
from server.domain.result import Row

_REFERENCE = "#/components/schemas/{name}"
_WHEN = {
    400: "The body is not what its content type says.",
    404: "There is none with this name.",
    406: "Not to be had in this format.",
    409: "Its present state does not allow that.",
    413: "More bytes than this server takes.",
    415: "A content type that this call does not read.",
    422: "A field is missing, unknown or out of range; `errors` names each.",
    500: "The server's own fault; its log says more.",
    503: "Not now; the same call may succeed later.",
    507: "The server's disk is full.",
}

DESCRIPTION = """
POST a video and get every object in every frame.

```
curl -F file=@street.mp4 -F model=moving-objects http://localhost:8000/v1/jobs
curl 'http://localhost:8000/v1/jobs/ID?wait=60'
curl 'http://localhost:8000/v1/jobs/ID/results?format=csv'
```

Times are seconds of media time, or RFC 3339 in UTC. Boxes are `[x1, y1, x2, y2]` in pixels of the source frame.
Everything that goes wrong is answered as `application/problem+json` with a stable `code` and a `hint` that says what
to do. Send `X-Request-ID` to find a call in the server's log; each answer has one.
"""

TAGS = [
    {"name": "jobs", "description": "Videos analysed from their first frame to their last."},
    {"name": "models", "description": "What the server can see with, and pictures one by one."},
    {"name": "health", "description": "Whether the server works, and how hard."},
]


def problems(*statuses: int, **texts: str) -> dict[int | str, dict[str, Any]]:
    """The problems that a call answers with, for `responses`; `s404="…"` says when in other words."""
    schema = {"$ref": _REFERENCE.format(name="Problem")}
    said = {int(key.removeprefix("s")): text for key, text in texts.items()}
    return {
        status: {"description": said.get(status, _WHEN[status]), "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in (*statuses, 500)
    }


def reference(name: str) -> dict[str, str]:
    """A pointer to a schema of the document."""
    return {"$ref": _REFERENCE.format(name=name)}


def document(app: FastAPI) -> Mapping[str, Any]:
    """The document, made once."""
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
        _, ours = models_json_schema([(Problem, "serialization"), (JobByUrl, "validation")], ref_template=_template())
        _, rows = msgspec.json.schema_components([Row], ref_template=_REFERENCE)
        for name, schema in {**ours["$defs"], **rows}.items():
            schemas.setdefault(name, schema)
        schemas["Row"]["description"] = "What was seen in one frame. What a task does not say is left out."
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        app.openapi_schema = made
    return app.openapi_schema


def _template() -> str:
    return _REFERENCE.replace("{name}", "{model}")
