"""`/v2/repository`: what there is, loaded and unloaded by hand."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from server.api.deps import ModelsDep, Reference, TensorsDep
from server.api.error_answers import refusals
from server.api.job_request import read_body
from server.api.v2.documents import ModelIndex
from server.api.validation import parse_body
from server.core.errors import TensorInvalid
from server.domain.model import ModelState

router = APIRouter(prefix="/v2/repository", tags=["inference protocol"])

_JSON_BYTES = 64 * 1024
_STATES = {ModelState.READY: "READY", ModelState.LOADING: "LOADING"}


class IndexRequest(BaseModel):
    """Which models."""

    model_config = ConfigDict(frozen=True)

    ready: bool = Field(default=False, description="only those that serve")


class LoadRequest(BaseModel):
    """Nothing but a name is needed."""

    model_config = ConfigDict(frozen=True)

    parameters: dict[str, Any] = {}


def _optional(model: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"schema": model.model_json_schema()}}}}


@router.post(
    "/index",
    summary="List models",
    responses=refusals(400, 413, 422),
    openapi_extra=_optional(IndexRequest),
)
async def index(request: Request, models: ModelsDep) -> list[ModelIndex]:
    """Every version of every model, with whether it serves and, if not, why."""
    body = await read_body(request, limit=_JSON_BYTES)
    wanted = parse_body(IndexRequest, body) if body.strip() else IndexRequest()
    found = []
    for one in await models.list():
        reason = one.error.message if one.error is not None else ""
        if one.state is ModelState.UNLOADED:
            reason = "unloaded"
        if one.state is ModelState.READY or not wanted.ready:
            found.append(
                ModelIndex(
                    name=one.name,
                    version=str(one.version),
                    state=_STATES.get(one.state, "UNAVAILABLE"),
                    reason=reason,
                )
            )
    return found


@router.post(
    "/models/{name}/load",
    summary="Load a model",
    response_class=Response,
    responses={200: {"description": "It serves."}, **refusals(400, 404, 413, 422, 503)},
    openapi_extra=_optional(LoadRequest),
)
async def load(request: Request, name: Reference, models: ModelsDep) -> Response:
    """As `POST /v1/models/{name}/load`: answers when it is warm."""
    await _plain(request)
    await models.load(name)
    return Response()


@router.post(
    "/models/{name}/unload",
    summary="Unload a model",
    response_class=Response,
    responses={200: {"description": "It is gone."}, **refusals(400, 404, 409, 413, 422)},
    openapi_extra=_optional(LoadRequest),
)
async def unload(request: Request, name: Reference, tensors: TensorsDep) -> Response:
    """As `POST /v1/models/{name}/unload`; its sequences end. It is loaded again when somebody asks for it."""
    await _plain(request)
    await tensors.unload(name)
    return Response()


async def _plain(request: Request) -> None:
    body = await read_body(request, limit=_JSON_BYTES)
    parameters = parse_body(LoadRequest, body).parameters if body.strip() else {}
    foreign = [name for name in parameters if name != "unload_dependents"]
    if foreign:
        raise TensorInvalid(
            f"A model is not loaded with a {foreign[0]} of the client's.", hint="POST /v1/models brings models in."
        )
