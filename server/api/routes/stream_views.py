"""What streams have shown, and what they show now."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from server.api import examples
from server.api import known_problems as known
from server.api.deps import StreamId, ViewsDep
from server.api.error_answers import invalid, problems
from server.api.moments import Moment
from server.api.pages import CURSOR, PageQuery, encoded_page, encoded_page_of
from server.runtime.streams.results import CURSOR_PATTERN

router = APIRouter(prefix="/v1/streams", tags=["streams"])

_JPEG = {"description": "The picture.", "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}


class ResultsQuery(PageQuery):
    """Which rows."""

    cursor: Annotated[str | None, Field(pattern=f"^{CURSOR_PATTERN}$", description=CURSOR)] = None
    since: Annotated[Moment | None, Field(description="of frames captured at this time or later")] = None
    until: Annotated[Moment | None, Field(description="of frames captured before this time")] = None


class SnapshotQuery(BaseModel):
    """How the picture is wanted."""

    model_config = ConfigDict(extra="forbid")

    boxes: Annotated[bool, Field(description="with what was found drawn on it; false: as the camera sent it")] = True


@router.get(
    "/{stream_id}/results",
    response_class=Response,
    summary="Read a stream's latest results",
    responses={200: encoded_page_of("Row", examples.STREAM_ROW), **problems(known.NO_STREAM, 422)},
)
async def results(stream_id: StreamId, query: Annotated[ResultsQuery, Query()], views: ViewsDep) -> Response:
    """Rows, newest first, as far as they are kept in memory: some 2000, or about a minute of a busy stream, until the
    server ends. Who wants all of them follows the stream (`…/subscribe`). To ask again and again, name in `since` the
    `captured_at` of the newest row that is known; that row comes once more.
    """
    found, cursor = await views.results(
        stream_id, since=query.since, until=query.until, limit=query.limit, cursor=query.cursor
    )
    return encoded_page(found, cursor)


@router.get(
    "/{stream_id}/snapshot.jpg",
    response_class=Response,
    summary="Look through a camera",
    responses={
        200: _JPEG,
        **problems(
            known.NO_STREAM,
            invalid("boxes: Input should be a valid boolean, unable to interpret input."),
            known.NO_SNAPSHOT,
        ),
    },
)
async def snapshot(stream_id: StreamId, query: Annotated[SnapshotQuery, Query()], views: ViewsDep) -> Response:
    """The next frame that the camera sends, with boxes and labels of what was found in it. It is analysed whatever
    `sample_fps` says, and encoded only because somebody looks.
    """
    jpeg = await views.snapshot(stream_id, boxes=query.boxes)
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})
