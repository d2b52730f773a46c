"""Lists in pages: `limit` and `cursor` in, `next_cursor` out. What a cursor looks like is each list's own affair."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

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
