"""Errors on their way out: `application/problem+json` (RFC 9457) for everything that goes wrong.

Below /v2 the protocol has a form of its own, `{"error": …}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from model_export.errors import VidserveError
from server.api.validation import fields_invalid
from server.core.errors import FieldsInvalid
from server.core.statuses import status_of

MEDIA_TYPE = "application/problem+json"
RETRY = {"Retry-After": "2"}
"""Of an answer that says `not now`: in seconds."""
_NOT_NOW = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)


class Invalid(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="its path", examples=["analysis.sample_fps"])
    message: str


class Problem(BaseModel):
    """What went wrong, and what to do. `code` is stable; the texts may change."""

    type: str = Field(examples=["urn:vidserve:problem:job_not_found"])
    title: str = Field(examples=["Job not found"])
    status: int = Field(examples=[404])
    code: str = Field(examples=["job_not_found"])
    detail: str = Field(examples=["There is no job '5f0e'."])
    hint: str | None = Field(default=None, description="what to do", examples=["GET /v1/jobs lists those there are."])
    errors: list[Invalid] | None = Field(
        default=None, description="the fields that are wrong, of `fields_invalid`; the first 20"
    )


class Refused(BaseModel):
    """What went wrong and what to do, as the inference protocol has it. `code` is stable; the text may change."""

    error: str = Field(examples=["There is no model 'yolo'. GET /v1/models lists those there are."])
    code: str = Field(examples=["model_not_found"])


def below_v2(path: str) -> bool:
    """Whether callers of a path expect errors in the form of the Open Inference Protocol."""
    return path == "/v2" or path.startswith("/v2/")


def problem_value(
    status: int, code: str, detail: str, *, hint: str | None = None, errors: Sequence[Invalid] = ()
) -> Problem:
    """A problem with the type and the title of its code."""
    return Problem(
        type=f"urn:vidserve:problem:{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        code=code,
        detail=detail,
        hint=hint,
        errors=list(errors) or None,
    )


def problem(value: Problem, *, headers: Mapping[str, str] | None = None, path: str = "") -> Response:
    """A problem as an answer, in the form that callers of the path expect."""
    if below_v2(path):
        error = f"{value.detail} {value.hint}" if value.hint else value.detail
        said = Refused(error=error, code=value.code)
        return Response(said.model_dump_json(), value.status, dict(headers or {}), "application/json")
    return Response(value.model_dump_json(exclude_none=True), value.status, dict(headers or {}), MEDIA_TYPE)


def problem_value_of(error: VidserveError) -> Problem:
    """An error of the one tree as a problem."""
    fields = error.problems if isinstance(error, FieldsInvalid) else ()
    return problem_value(
        status_of(error),
        error.code,
        error.message,
        hint=error.hint,
        errors=[Invalid(field=one.field, message=one.message) for one in fields],
    )


def problem_of(error: VidserveError, path: str = "") -> Response:
    """An error of the one tree as an answer to callers of the path."""
    value = problem_value_of(error)
    return problem(value, headers=RETRY if value.status in _NOT_NOW else None, path=path)


def install(app: FastAPI, methods: Callable[[Request], Sequence[str]]) -> None:
    """Make every error that a route raises a problem.

    Args:
        methods: all those of the path that a request asks for; routing itself knows those of one route only.
    """

    @app.exception_handler(VidserveError)
    async def _ours(request: Request, error: VidserveError) -> Response:
        return problem_of(error, request.url.path)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        return problem_of(_fields_invalid(request, error), request.url.path)

    @app.exception_handler(HTTPException)
    async def _plain(request: Request, error: HTTPException) -> Response:
        hints = {404: "GET /docs lists the calls there are.", 405: "The `Allow` header says which methods there are."}
        phrase = HTTPStatus(error.status_code).phrase
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(methods(request)) or headers.get("Allow", "")
        return problem(
            problem_value(
                error.status_code,
                phrase.lower().replace(" ", "_"),
                f"{request.method} {request.url.path}: {phrase.lower()}.",
                hint=hints.get(error.status_code),
            ),
            headers=headers,
            path=request.url.path,
        )


def _fields_invalid(request: Request, error: RequestValidationError) -> FieldsInvalid:
    # The first part says where the value stood (query, path, header); the name alone is what a user typed.
    found = [{**one, "loc": one["loc"][1:]} for one in error.errors()]
    return fields_invalid(found, _query_model(request))


def _query_model(request: Request) -> type[BaseModel] | None:
    dependant = getattr(request.scope.get("route"), "dependant", None)
    for parameter in dependant.query_params if dependant is not None else ():
        annotation: Any = parameter.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
    return None
