"""What a client POSTs to begin a job: a form with the video, or JSON with its URL."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from server.api.arrival import arriving, check_file
from server.api.deps import Intake
from server.api.multipart import FORM, Form, content_length, or_empty, read_form
from server.api.validation import fields_invalid, parse_body, parse_field
from server.core.errors import FieldProblem, FieldsInvalid, UploadTooLarge
from server.domain.analysis import Analysis, ModelReference
from server.storage.uploads import Upload

_JSON_BYTES = 64 * 1024
_NAMELESS = "video"


class JobByUrl(BaseModel):
    """A job whose video the server fetches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        min_length=1,
        max_length=4096,
        description="http or https. Addresses inside the server's own network are refused unless its settings allow "
        "them. A user and a password in it are used, and never shown.",
        examples=["https://example.com/street.mp4"],
    )
    analysis: Analysis = Analysis()


async def read_json(request: Request) -> JobByUrl:
    """The JSON body of a job request.

    Raises:
        UploadTooLarge: it is longer than any such body needs to be.
        BodyInvalid: it is not JSON.
        FieldsInvalid: fields are missing, unknown or out of range.
    """
    return parse_body(JobByUrl, await read_body(request, limit=_JSON_BYTES))


async def read_upload(request: Request, intake: Intake) -> tuple[Upload, Analysis]:
    """The video and the analysis of a job request's form, the video on disk.

    Whatever ends it early, a client that goes away among them, leaves nothing on the disk.

    Raises:
        UploadTooLarge: more bytes than the settings allow; said as soon as it is known.
        StorageFull: the disk does not hold it.
        BodyInvalid: it is not a multipart form.
        FieldsInvalid: fields are missing, unknown or out of range.
    """
    async with arriving(request, intake.uploads, limit=intake.upload_bytes) as writer:
        form = await read_form(request, writer, file="file", fields=("analysis", "model"))
        analysis = _analysis(form)
        file_name = check_file(form, writer, what="video", example="video.mp4")
        return await asyncio.to_thread(writer.finish, file_name or _NAMELESS), analysis


async def read_body(request: Request, *, limit: int) -> bytes:
    """A body that fits in memory.

    Raises:
        UploadTooLarge: it is longer than `limit` bytes; said as soon as it is known.
        ClientDisconnect: the client went away.
    """
    length = content_length(request)
    body = bytearray()
    if length is None or length <= limit:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise UploadTooLarge(f"The body is larger than {limit} bytes, the most that this call takes.")


def _analysis(form: Form) -> Analysis:
    # A form that somebody filled in on a page has its untouched fields too: empty is absent.
    text, model = form.fields.get("analysis", "").strip(), form.fields.get("model", "").strip()
    analysis = parse_field(Analysis, "analysis", text) if text else Analysis()
    if not model:
        return analysis
    if analysis.model not in (None, model):
        raise FieldsInvalid(
            FieldProblem("model", f"it is {model}, and `analysis` says {analysis.model}."), hint="Say it once."
        )
    try:
        return Analysis.model_validate({**analysis.model_dump(), "model": model})
    except ValidationError as error:
        raise fields_invalid(error.errors(include_url=False), Analysis) from error


FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "the video, in any format that FFmpeg reads"},
        "analysis": {
            "allOf": [{"$ref": "#/components/schemas/Analysis"}],
            "description": "what to do with it, as JSON",
            "examples": [{"model": "moving-objects", "track": True}],
        },
        "model": {
            **or_empty(TypeAdapter(ModelReference).json_schema()),
            # The same as in `analysis`: the documentation page sends both unless told otherwise.
            "examples": ["moving-objects"],
            "description": "the model, where there is no `analysis` or it does not name one",
        },
    },
    "required": ["file"],
    "additionalProperties": False,
}

BODY: dict[str, Any] = {
    "required": True,
    "content": {
        FORM: {
            "schema": FORM_SCHEMA,
            "encoding": {"analysis": {"contentType": "application/json"}},
        },
        "application/json": {
            "schema": {"$ref": "#/components/schemas/JobByUrl"},
            "examples": {
                "url": {
                    "summary": "Cars and people of a video on the web, five frames a second",
                    "value": {
                        "url": "https://example.com/street.mp4",
                        "analysis": {"model": "yolox-nano", "labels": ["car", "person"], "sample_fps": 5},
                    },
                }
            },
        },
    },
}
"""Of the OpenAPI document: the body is parsed by hand, so FastAPI cannot know it."""
