"""Tickets, for pictures and subscriptions of a browser."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, field_validator

from server.api.deps import TicketsDep
from server.api.error_answers import invalid, problems
from server.api.job_request import read_body
from server.api.openapi import answered
from server.api.validation import parse_body

router = APIRouter(prefix="/v1/tickets", tags=["access"])

_JSON_BYTES = 4096
_EXAMPLE = {"ticket": "1767348060.L3YxL3N0cmVhbXM.kY3…", "path": "/v1/streams", "expires_at": "2026-01-02T10:01:00Z"}


class TicketRequest(BaseModel):
    """What a ticket shall open, and for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[
        str,
        Field(
            pattern=r"^/[!-~]*$",
            max_length=512,
            description="the path that it opens, with all below it; no query (`?`) and no fragment (`#`)",
            json_schema_extra={"pattern": r"^/[!\"$->@-~]*$"},
            examples=["/v1/streams"],
        ),
    ] = "/v1"
    seconds: Annotated[int, Field(ge=1, le=3600, description="how long connections can be opened with it")] = 60

    @field_validator("path")
    @classmethod
    def _is_a_path(cls, path: str) -> str:
        if "?" in path or "#" in path:
            raise ValueError("a path is wanted, without `?` and `#`; a ticket opens it with every query")
        return path


_WISH: dict[str, Any] = {
    "description": "Not needed for a minute's ticket to all of `/v1`.",
    "content": {"application/json": {"schema": TicketRequest.model_json_schema()}},
}


class TicketGiven(BaseModel):
    """A ticket: `?ticket=` of any GET or WebSocket at `path` or below it."""

    ticket: str
    path: str
    expires_at: datetime


@router.post(
    "",
    status_code=201,
    summary="Get a ticket",
    responses={
        201: answered("The ticket.", _EXAMPLE),
        **problems(400, 413, invalid("seconds: Input should be less than or equal to 3600.")),
    },
    openapi_extra={"requestBody": _WISH},
)
async def issue(request: Request, tickets: TicketsDep) -> TicketGiven:
    """A ticket reads and changes nothing: it is for `<img>`, `EventSource` and `WebSocket`, which cannot send a key.

    It is looked at when a connection is opened; one that is open stays so. It is worth nothing once the server was
    started again.
    """
    body = await read_body(request, limit=_JSON_BYTES)
    wish = parse_body(TicketRequest, body) if body.strip() else TicketRequest()
    made = tickets.issue(wish.path, wish.seconds)
    return TicketGiven(ticket=made.text, path=wish.path, expires_at=datetime.fromtimestamp(made.expires_at, UTC))
