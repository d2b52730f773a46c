"""News as they come: Server-Sent Events and WebSockets."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, WebSocket

from model_export.errors import VidserveError
from server.api import known_problems as known
from server.api.deps import JobId, RuntimeDep, StreamId, SubscriptionsDep
from server.api.error_answers import invalid, problems
from server.api.errors import problem_of
from server.api.event_stream import EventStream
from server.api.socket_session import SocketSession
from server.api.subscribe_request import FollowManyQuery, FollowQuery, NoQuery, parse_query, split
from server.core.errors import FieldsInvalid
from server.events.filter import Filter
from server.events.item import CLOSED, GAP, Kind
from server.events.position import Position, parse

router = APIRouter(prefix="/v1", tags=["subscriptions"])

_LAST_ID = {
    "parameters": [
        {
            "name": "Last-Event-ID",
            "in": "header",
            "required": False,
            "description": "the `id` that came last, to go on after it; `0` for all that is still there",
            "schema": {"type": "string", "pattern": "^(now|start|0|[0-9a-z]{1,16}-[0-9]{1,18})$"},
        }
    ]
}
_WRONG_TYPE = invalid("types: 'resutl': it is not known; `result` is.")
_EXAMPLE = (
    'retry: 2000\nid: 5d01f2c7-811\n\nid: 5d01f2c7-812\nevent: result\ndata: {"stream":"cfg_gate","frame":240,"pts_s":'
    '24.0,"captured_at":"2026-01-02T10:00:00.120Z","width":640,"height":360,"model":"moving-objects@1","objects":[]}'
    "\n\n"
)
_EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": [*Kind, GAP, CLOSED]},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string", "description": "to go on after it, as `Last-Event-ID`"},
        "retry": {"type": "integer", "description": "milliseconds to wait before connecting again"},
    },
    "required": ["event", "data"],
}
_EVENTS: dict[str, Any] = {
    "description": "Events `result`, `event`, `state`, `progress`, `gap` and `closed`, each with JSON.",
    # What each event is; a `schema` would be of all of them, which have no end.
    "content": {"text/event-stream": {"itemSchema": _EVENT, "example": _EXAMPLE}},
}


@router.get(
    "/jobs/{job_id}/subscribe",
    response_class=Response,
    summary="Follow a job",
    responses={
        200: _EVENTS,
        204: {"description": "The job has ended, and there is nothing after this id: do not connect again."},
        **problems(known.NO_JOB, _WRONG_TYPE, known.SUBSCRIBERS_FULL),
    },
    openapi_extra=_LAST_ID,
)
async def follow_job(
    request: Request,
    job_id: JobId,
    query: Annotated[FollowQuery, Query()],
    subscriptions: SubscriptionsDep,
    runtime: RuntimeDep,
) -> Response:
    """Server-Sent Events: first the job's present state; then results and events as they are made, and how far it is,
    to its last state, which ends the answer. `from=start` gives everything from the first frame on, of a job that has
    ended too. Nothing is ever missing: a client that is slow, or comes back with `Last-Event-ID` after any time and any
    restart of the server, gets the rest from the job's files.
    """
    feed = await subscriptions.job(job_id, query.filter(), query.after(request))
    if feed is None:
        return Response(status_code=204)
    return EventStream(feed, runtime.metrics.subscribers.labels("sse").track_inprogress())


@router.get(
    "/streams/{stream_id}/subscribe",
    response_class=Response,
    summary="Follow a stream",
    responses={200: _EVENTS, **problems(known.NO_STREAM, _WRONG_TYPE, known.SUBSCRIBERS_FULL)},
    openapi_extra=_LAST_ID,
)
async def follow_stream(
    request: Request,
    stream_id: StreamId,
    query: Annotated[FollowQuery, Query()],
    subscriptions: SubscriptionsDep,
    runtime: RuntimeDep,
) -> Response:
    """Server-Sent Events: the stream's present state, then results and events as they are made. Who comes back with
    `Last-Event-ID` gets what it missed as far as that is kept; where something is missing, an event `gap` says so,
    with how much in `value` if that is known.
    """
    feed = await subscriptions.streams([stream_id], [], query.filter(), query.after(request))
    return EventStream(feed, runtime.metrics.subscribers.labels("sse").track_inprogress())


@router.get(
    "/subscribe",
    response_class=Response,
    summary="Follow many streams and jobs",
    responses={
        200: _EVENTS,
        **problems(
            known.NO_STREAM._replace(when="There is no stream, or no job, with one of these ids."),
            _WRONG_TYPE,
            known.SUBSCRIBERS_FULL,
        ),
    },
    openapi_extra=_LAST_ID,
)
async def follow_many(
    request: Request,
    query: Annotated[FollowManyQuery, Query()],
    subscriptions: SubscriptionsDep,
    runtime: RuntimeDep,
) -> Response:
    """The same of many streams and jobs over one connection, with one sequence of ids; without names of all streams,
    those to come too.
    """
    feed = await subscriptions.streams(split(query.streams), split(query.jobs), query.filter(), query.after(request))
    return EventStream(feed, runtime.metrics.subscribers.labels("sse").track_inprogress())


@router.websocket("/streams/{stream_id}/ws")
async def stream_socket(socket: WebSocket, stream_id: str, subscriptions: SubscriptionsDep) -> None:
    """A stream over a WebSocket: `types`, `labels` and `from` in the query. Messages are understood as at `/v1/ws`."""
    try:
        query = parse_query(FollowQuery, socket.query_params)
        first = stream_id, query.filter(), parse(query.start, "from")
    except FieldsInvalid as error:
        await socket.send_denial_response(problem_of(error))
        return
    await _serve(socket, subscriptions, first=first)


@router.websocket("/ws")
async def socket(socket: WebSocket, subscriptions: SubscriptionsDep) -> None:
    """Many streams and jobs over one WebSocket, by messages."""
    try:
        parse_query(NoQuery, socket.query_params)
    except FieldsInvalid as error:
        await socket.send_denial_response(problem_of(error))
        return
    await _serve(socket, subscriptions)


async def _serve(
    socket: WebSocket, subscriptions: SubscriptionsDep, *, first: tuple[str, Filter, Position | None] | None = None
) -> None:
    try:
        channel = subscriptions.channel()
    except VidserveError as error:
        await socket.send_denial_response(problem_of(error))
        return
    try:
        if first is not None:
            stream, filter, after = first
            await channel.follow([stream], [], filter, after)
    except VidserveError as error:
        channel.close()
        await socket.send_denial_response(problem_of(error))
        return
    await socket.accept()
    with socket.app.state.runtime.metrics.subscribers.labels("websocket").track_inprogress():
        await SocketSession(socket, channel).run()
