"""Lists in pages: `limit` and `cursor` in, `next_cursor` out. What a cursor looks like is each list's own affair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from server.api.references import reference

Item = TypeVar("Item")


CURSOR = "`next_cursor` of the page before this one"


class PageQuery(BaseModel):
    """Which page of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200, description="items a page")] = 50


class Page(BaseModel, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(default=None, description="of the next page; absent on the last")


class _Encoded(msgspec.Struct, omit_defaults=True):
    items: list[msgspec.Raw]
    next_cursor: str | None = None


def encoded_page(items: Sequence[bytes], cursor: str | None) -> Response:
    """A page of items that are JSON already."""
    answer = _Encoded([msgspec.Raw(item) for item in items], cursor)
    return Response(msgspec.json.encode(answer), media_type="application/json")


def encoded_page_of(name: str, example: dict[str, Any]) -> dict[str, Any]:
    """The same in the OpenAPI document, by the name of the items' schema and one of them."""
    schema = {
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {"type": "array", "items": reference(name)},
            "next_cursor": {"type": "string", "description": "of the next page; absent on the last"},
        },
    }
    shown = {"schema": schema, "example": {"items": [example]}}
    return {"description": "A page.", "content": {"application/json": shown}}
