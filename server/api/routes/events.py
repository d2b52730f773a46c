"""The history of events."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from server.api import examples
from server.api import known_problems as known
from server.api.deps import EventsDep
from server.api.error_answers import invalid, problems
from server.api.moments import Moment
from server.api.pages import CURSOR, PageQuery, encoded_page, encoded_page_of
from server.api.references import reference
from server.domain.event import EventType
from server.storage.events import CURSOR_PATTERN, Wanted

router = APIRouter(prefix="/v1/events", tags=["events"])

_EVENT = {"schema": reference("Event"), "example": examples.EVENT}
_WRONG_TYPE = invalid("type: Input should be 'track_started', 'track_ended', 'stream_state', 'job_state' or 'gap'.")


class EventsQuery(PageQuery):
    """Which events."""

    cursor: Annotated[str | None, Field(pattern=f"^{CURSOR_PATTERN}$", description=CURSOR)] = None
    stream: Annotated[str | None, Field(description="of this stream")] = None
    job: Annotated[str | None, Field(description="of this job")] = None
    type: Annotated[EventType | None, Field(description="of this type")] = None
    label: Annotated[str | None, Field(description="with this label")] = None
    track_id: Annotated[int | None, Field(ge=0, le=2**53, description="of this track")] = None
    since: Annotated[Moment | None, Field(description="at this time or later")] = None
    until: Annotated[Moment | None, Field(description="before this time")] = None


@router.get(
    "",
    response_class=Response,
    summary="List events",
    responses={200: encoded_page_of("Event", examples.EVENT), **problems(_WRONG_TYPE)},
)
async def page(query: Annotated[EventsQuery, Query()], events: EventsDep) -> Response:
    """Newest first. `at` is when it happened; of a video, when the server learned of it. Events come here within a
    second, go with their job or stream, and are kept as `[events] keep_days` and `keep` say.
    """
    wanted = Wanted(
        stream=query.stream,
        job=query.job,
        type=query.type,
        label=query.label,
        track_id=query.track_id,
        since=query.since,
        until=query.until,
    )
    found, cursor = await asyncio.to_thread(events.page, wanted, limit=query.limit, cursor=query.cursor)
    return encoded_page(found, cursor)


@router.get(
    "/{event_id}",
    response_class=Response,
    summary="Look at an event",
    responses={
        200: {"description": "The event.", "content": {"application/json": _EVENT}},
        **problems(known.NO_EVENT),
    },
)
async def get(
    event_id: Annotated[str, Path(description="the event's `id`", examples=["9905153c5e080afd-12"])], events: EventsDep
) -> Response:
    """As it was told to subscribers, and with `at`."""
    return Response(await asyncio.to_thread(events.get, event_id), media_type="application/json")
