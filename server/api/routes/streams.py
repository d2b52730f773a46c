"""Streams: cameras and other sources that never end, and what they show."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from server.api import examples
from server.api import known_problems as known
from server.api.deps import StreamId, StreamsDep
from server.api.error_answers import problems
from server.api.job_request import read_body
from server.api.multipart import media_type
from server.api.openapi import answered, location
from server.api.pages import CURSOR, Page, PageQuery
from server.api.references import reference
from server.api.validation import parse_body
from server.core.errors import ContentTypeUnsupported
from server.domain.stream import Name, NewStream, ProbeResult, ProbeSource, Stream, StreamChange, StreamState

router = APIRouter(prefix="/v1/streams", tags=["streams"])

_JSON_BYTES = 64 * 1024
_JSON = ("application/json", "application/merge-patch+json")
_SIMPLE = {"name": "front door", "url": "rtsp://192.168.1.20/stream1"}
_NEW = {
    "simple": {"summary": "A camera without a password, and the server's own model", "value": _SIMPLE},
    "whole": {
        "summary": "A camera that asks for a password, and what to look for",
        "value": {
            **_SIMPLE,
            "username": "viewer",
            "password": "the camera's password",
            "analysis": {"model": "yolox-nano", "labels": ["person"], "sample_fps": 5},
        },
    },
    "file": {
        "summary": "A file as a camera, of a folder in `[sources] folders`",
        "value": {"name": "street", "url": "file:///videos/street.mp4", "loop": True},
    },
}
_PROBE = {
    "application/json": {
        "examples": {
            "picture": {"summary": "It gives a picture", "value": examples.PROBE},
            "none": {"summary": "It gives none", "value": examples.FAILED_PROBE},
        }
    }
}


class StreamsQuery(PageQuery):
    """Which streams."""

    cursor: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_-]{1,2048}$", description=CURSOR)] = None
    state: Annotated[StreamState | None, Field(description="only streams in this state")] = None
    name: Annotated[Name | None, Field(description="only the stream of exactly this name", examples=["front door"])] = (
        None
    )


class ForceQuery(BaseModel):
    """Whether to insist."""

    model_config = ConfigDict(extra="forbid")

    force: Annotated[
        bool, Field(description="although the models were measured not to do as much; frames will be dropped")
    ] = False


def _body(name: str, shown: dict[str, Any], *types: str) -> dict[str, Any]:
    """Of the OpenAPI document: the body is parsed by hand, so that what is wrong with it is said in words."""
    content = {"schema": reference(name), "examples": shown}
    return {"requestBody": {"required": True, "content": {one: content for one in types or _JSON[:1]}}}


@router.post(
    "",
    status_code=201,
    response_model_exclude_none=True,
    summary="Add a stream",
    responses={
        201: answered("The stream.", examples.NEW_STREAM, headers=location("the stream's path")),
        **problems(
            *(400, known.NO_MODEL, known.NAME_TAKEN, 413, known.NOT_JSON, known.BAD_SOURCE, known.NO_ROOM, 507),
        ),
    },
    openapi_extra=_body("NewStream", _NEW),
)
async def create(
    request: Request, response: Response, query: Annotated[ForceQuery, Query()], streams: StreamsDep
) -> Stream:
    """A camera (`rtsp://`, `http://` and `https://` with MJPEG or HLS), a device, or a file of a folder that the
    settings allow:

        curl -H 'Content-Type: application/json' -d '{"url": "rtsp://192.168.1.20/stream1", "username": "viewer",
             "password": "…", "analysis": {"model": "yolox-nano", "labels": ["person"]}}' …/v1/streams

    It is opened at once, and again whenever it breaks off, also after a restart of the server. Where the source does
    not answer the stream is there all the same, `reconnecting`; `POST /v1/streams/probe` tries one first. Names are
    unique, so the same call again adds nothing (409).
    """
    new = parse_body(NewStream, await _read(request))
    stream = await streams.create(new, force=query.force)
    response.headers["Location"] = f"/v1/streams/{stream.id}"
    return stream


@router.get(
    "",
    response_model_exclude_none=True,
    summary="List streams",
    responses={200: answered("A page.", examples.page(examples.STREAM)), **problems(422)},
)
async def page(query: Annotated[StreamsQuery, Query()], streams: StreamsDep) -> Page[Stream]:
    """In the order of their names. `?name=` finds one by its name, and with it the `id` that all other calls want."""
    items, cursor = await streams.list(state=query.state, name=query.name, limit=query.limit, cursor=query.cursor)
    return Page(items=list(items), next_cursor=cursor)


@router.post(
    "/probe",
    response_model_exclude_none=True,
    summary="Try a source",
    responses={
        200: {"description": "What it gave, or why it gave nothing.", "content": _PROBE},
        **problems(400, 413, known.NOT_JSON, known.BAD_SOURCE),
    },
    openapi_extra=_body(
        "ProbeSource", {"camera": {"summary": "A camera", "value": {"url": "rtsp://192.168.1.20/stream1"}}}
    ),
)
async def probe(request: Request, streams: StreamsDep) -> ProbeResult:
    """Opens it, takes a picture and closes it again: codec, size, rate and the picture, or in `error` why not."""
    return await streams.probe(parse_body(ProbeSource, await _read(request)))


@router.get(
    "/{stream_id}",
    response_model_exclude_none=True,
    summary="Look at a stream",
    responses={200: answered("The stream.", examples.STREAM), **problems(known.NO_STREAM)},
)
async def get(stream_id: StreamId, streams: StreamsDep) -> Stream:
    """Its state, what its source gives, its frames by what became of them, and what was wrong last."""
    return await streams.get(stream_id)


@router.patch(
    "/{stream_id}",
    response_model_exclude_none=True,
    summary="Change a stream",
    responses={
        200: answered("The stream.", {**examples.STREAM, "state": "paused", "paused": True}),
        **problems(
            400,
            known.NO_STREAM._replace(when="There is no stream with this id, or no model with this name."),
            known.DECLARED._replace(when="It stands in the settings file, or another stream has this name."),
            *(413, known.NOT_JSON, known.BAD_SOURCE, known.NO_ROOM, 507),
        ),
    },
    openapi_extra=_body(
        "StreamChange",
        {
            "pause": {"summary": "Close its source", "value": {"paused": True}},
            "analysis": {"summary": "Look for something else", "value": {"analysis": {"confidence": 0.6}}},
        },
        *_JSON,
    ),
)
async def change(
    request: Request, stream_id: StreamId, query: Annotated[ForceQuery, Query()], streams: StreamsDep
) -> Stream:
    """What is absent stays as it is (RFC 7396), a password that is absent or masked too, unless `url` names another
    scheme, host or port, which wants it anew:

        curl -X PATCH -H 'Content-Type: application/json' -d '{"paused": true}' …/v1/streams/ID
        curl -X PATCH -H 'Content-Type: application/json' -d '{"analysis": {"confidence": 0.6}}' …/v1/streams/ID

    Another analysis or model takes hold while the source stays open, and tracks live on where the model allows it.
    """
    return await streams.change(stream_id, parse_body(StreamChange, await _read(request)), force=query.force)


@router.delete(
    "/{stream_id}",
    status_code=204,
    summary="Delete a stream",
    response_description="It is gone.",
    responses=problems(known.NO_STREAM, known.DECLARED, 507),
)
async def delete(stream_id: StreamId, streams: StreamsDep) -> None:
    """Closes its source; its metrics go."""
    await streams.delete(stream_id)


async def _read(request: Request) -> bytes:
    kind = media_type(request.headers.get("content-type", ""))
    if kind not in _JSON:
        raise ContentTypeUnsupported(
            f"A stream is described in JSON, not {kind or 'a body without a type'}.",
            hint="Send it with Content-Type: application/json.",
        )
    return await read_body(request, limit=_JSON_BYTES)
