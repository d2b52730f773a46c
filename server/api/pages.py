"""Lists in pages: `limit` and `cursor` in, `next_cursor` out."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")


class PageQuery(BaseModel):
    """Which page of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200, description="items a page")] = 50
    cursor: Annotated[
        str | None, Field(min_length=1, max_length=256, description="`next_cursor` of the page before this one")
    ] = None


class Page(BaseModel, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(default=None, description="of the next page; absent on the last")
