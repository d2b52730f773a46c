"""What a subscriber asks for: which news, and where to go on. In a query, or in a WebSocket message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import QueryParams

from server.api.validation import MOST_PROBLEMS, fields_invalid, unknown
from server.core.errors import FieldProblem, FieldsInvalid
from server.events.filter import NAMES, Filter
from server.events.position import PATTERN, Position, parse

Asked = TypeVar("Asked", bound=BaseModel)

_MOST = 1000
_TYPES = f"only these, between commas: {', '.join(f'`{name}`' for name in NAMES)}; all if absent"
_LABELS = (
    "only results and events with one of these labels, between commas; what is not about labels comes all the same"
)
_FROM = (
    "`now`; `start` for all that is still there, of a job everything; or an `id`, to go on after it. The header "
    "`Last-Event-ID`, which browsers send when they connect again, says it too and counts more"
)

Names = Annotated[list[str], Field(max_length=_MOST)]


class FollowQuery(BaseModel):
    """Which news, and from where on."""

    model_config = ConfigDict(extra="forbid")

    types: Annotated[Names, Query(description=_TYPES, examples=[["result,track_started"]])] = []
    labels: Annotated[Names, Query(description=_LABELS, examples=[["car,person"]])] = []
    start: Annotated[str, Field(alias="from", pattern=f"^({PATTERN})$", description=_FROM)] = "now"

    def filter(self) -> Filter:
        """
        Raises:
            FieldsInvalid: there is no such type.
        """
        return filter_of(split(self.types), split(self.labels))

    def after(self, request: Request) -> Position | None:
        """
        Raises:
            FieldsInvalid: the header is not an id.
        """
        last = request.headers.get("last-event-id")
        return parse(last, "Last-Event-ID") if last else parse(self.start, "from")


class FollowManyQuery(FollowQuery):
    """Whose news, which, and from where on."""

    streams: Annotated[Names, Query(description="ids, between commas; all streams if neither these nor jobs")] = []
    jobs: Annotated[Names, Query(description="ids, between commas")] = []


class NoQuery(BaseModel):
    """Nothing: who follows says it in messages."""

    model_config = ConfigDict(extra="forbid")


def parse_query(model: type[Asked], query: QueryParams) -> Asked:
    """A WebSocket's query, whose mistakes no framework answers with a problem.

    Raises:
        FieldsInvalid: keys are unknown, or values are none.
    """
    several = {field.alias or name for name, field in model.model_fields.items() if field.annotation == list[str]}
    said = {name: query.getlist(name) if name in several else query[name] for name in query}
    try:
        return model.model_validate(said)
    except ValidationError as error:
        raise fields_invalid(error.errors(include_url=False), model) from error


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Named(_Said):
    """Streams and jobs; of neither, all streams."""

    streams: Names = []
    jobs: Names = []


class Follow(Named):
    """What is in `subscribe`."""

    types: Names = []
    labels: Names = []
    start: Annotated[str, Field(alias="from")] = "now"


class Said(_Said):
    """A message of a client: one of these."""

    subscribe: Follow | None = None
    unsubscribe: Named | None = None


def filter_of(types: Sequence[str], labels: Sequence[str]) -> Filter:
    """
    Raises:
        FieldsInvalid: there is no such type.
    """
    wrong = [name for name in types if name not in NAMES]
    if wrong:
        described = [FieldProblem("types", f"{name[:40]!r}: {unknown(name, NAMES)}") for name in wrong[:MOST_PROBLEMS]]
        raise FieldsInvalid(*described, more=len(wrong) - len(described))
    return Filter.of(types, labels)


def split(values: Sequence[str]) -> list[str]:
    """What stands between commas, in one parameter or in several."""
    return [name for value in values for part in value.split(",") if (name := part.strip())]
