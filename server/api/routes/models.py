"""Models: what there is, which version serves, and pictures one by one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from model_export.manifest import MOST_VERSION, NAME_PATTERN, VERSION_PATTERN, parse_reference
from server.api import examples
from server.api import known_problems as known
from server.api.deps import ModelsDep, Reference
from server.api.error_answers import invalid, problems
from server.api.job_request import read_body
from server.api.multipart import FORM, OVERHEAD, content_length, media_type, read_form
from server.api.openapi import answered
from server.api.pages import CURSOR, Page, PageQuery
from server.api.references import reference
from server.api.validation import parse_body
from server.core.errors import ContentTypeUnsupported, FieldProblem, FieldsInvalid, UploadTooLarge
from server.domain.analysis import Label
from server.domain.model import ModelStatus

router = APIRouter(prefix="/v1/models", tags=["models"])

_PICTURE_BYTES = 32 * 1024 * 1024
_JSON_BYTES = 1024
_MODEL = answered("The model.", examples.MODEL)
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PICTURE: dict[str, Any] = {
    "required": True,
    "content": {
        FORM: {
            "schema": {
                "type": "object",
                "properties": {"file": {"type": "string", "format": "binary", "description": "the picture"}},
                "required": ["file"],
                "additionalProperties": False,
            }
        },
        "image/jpeg": _BINARY,
        "image/png": _BINARY,
        "application/octet-stream": _BINARY,
    },
}


class ModelsQuery(PageQuery):
    """Which models."""

    cursor: Annotated[str | None, Field(pattern=f"^{NAME_PATTERN}@{VERSION_PATTERN}$", description=CURSOR)] = None


class Default(BaseModel):
    """Which version is to serve."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1, le=MOST_VERSION, examples=[1])


_DEFAULT: dict[str, Any] = {
    "description": "Not needed where the name says `@version`.",
    "content": {"application/json": {"schema": Default.model_json_schema()}},
}


class PredictQuery(BaseModel):
    """What counts as found."""

    model_config = ConfigDict(extra="forbid")

    confidence: Annotated[
        float | None, Field(ge=0, le=1, description="what counts as found; the model's own threshold if absent")
    ] = None
    labels: Annotated[
        list[Label] | None,
        Field(max_length=1000, description="only these labels; all if absent", examples=[["moving"]]),
    ] = None


class _Memory:
    """A picture that is arriving."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        if len(self.data) + len(data) > _PICTURE_BYTES:
            raise _too_large()
        self.data += data


@router.get(
    "",
    response_model_exclude_none=True,
    summary="List models",
    responses={200: answered("A page.", examples.page(examples.MODEL)), **problems(422)},
)
async def page(query: Annotated[ModelsQuery, Query()], models: ModelsDep) -> Page[ModelStatus]:
    """Every version of every model in the repository, by name and version. `default` marks what serves under a bare
    name, `server_default` what serves where no model is named.
    """
    name, version = parse_reference(query.cursor) if query.cursor is not None else ("", None)
    rest = sorted(
        (one for one in await models.list() if (one.name, one.version) > (name, version or 0)),
        key=lambda one: (one.name, one.version),
    )
    items = rest[: query.limit]
    return Page(items=items, next_cursor=items[-1].id if len(rest) > len(items) else None)


@router.get(
    "/{name}",
    response_model_exclude_none=True,
    summary="Look at a model",
    responses={200: _MODEL, **problems(known.NO_MODEL, known.BAD_BUNDLE)},
)
async def get(name: Reference, models: ModelsDep) -> ModelStatus:
    """What it is, whether it serves, on which provider, and if that is not the one asked for, why."""
    return await models.get(name)


@router.put(
    "/{name}/default",
    response_model_exclude_none=True,
    summary="Choose the version that serves",
    responses={
        200: _MODEL,
        **problems(
            400,
            known.NO_MODEL,
            413,
            invalid("version: it is missing.", 'Send {"version": 1}, or PUT /v1/models/yolox-nano@1/default.'),
            known.MODEL_NOT_UP,
        ),
    },
    openapi_extra={"requestBody": _DEFAULT},
)
async def set_default(request: Request, name: Reference, models: ModelsDep) -> ModelStatus:
    """The version that answers from now on when just the name is asked for. It is verified and warm before it takes
    over; running jobs end with the version that they began with. Setting the old one again is the way back.
    """
    plain, version = parse_reference(name)
    body = await read_body(request, limit=_JSON_BYTES)
    default = parse_body(Default, body) if body.strip() else None
    if default is not None and version is not None and default.version != version:
        raise FieldsInvalid(FieldProblem("version", f"it is {default.version} in the body and {version} in the path."))
    wanted = version if default is None else default.version
    if wanted is None:
        raise FieldsInvalid(
            FieldProblem("version", "it is missing."),
            hint=f'Send {{"version": 1}}, or PUT /v1/models/{plain}@1/default.',
        )
    chosen = f"{plain}@{wanted}"
    await models.set_default(chosen)
    return await models.get(chosen)


@router.put(
    "/{name}/server-default",
    response_model_exclude_none=True,
    summary="Choose the model that serves where none is named",
    responses={
        200: answered("The model.", {**examples.MODEL, "server_default": True}),
        **problems(
            known.NO_MODEL,
            known.DEFAULT_IN_SETTINGS,
            invalid(
                "name: a name without a version is wanted.",
                "PUT /v1/models/yolox-nano@1/default says which version the name stands for.",
            ),
            known.MODEL_NOT_UP,
        ),
    },
)
async def set_server_default(name: Reference, models: ModelsDep) -> ModelStatus:
    """The model of jobs that name none, from now on. It is verified and warm before it takes over. One that takes
    tensors cannot be it (422 `task_not_for_video`).
    """
    plain, version = parse_reference(name)
    if version is not None:
        raise FieldsInvalid(
            FieldProblem("name", "a name without a version is wanted."),
            hint=f"PUT /v1/models/{name}/default says which version the name stands for.",
        )
    await models.set_server_default(plain)
    return await models.get(plain)


@router.delete(
    "/{name}",
    status_code=204,
    summary="Remove a model",
    response_description="It is gone.",
    responses=problems(
        known.NO_MODEL,
        known.MODEL_IN_USE._replace(when="Jobs that have not ended, or streams, need it, or it came with the server."),
    ),
)
async def remove(name: Reference, models: ModelsDep) -> None:
    """A version, or every version of a name, from memory and disk. Models that came with the server stay."""
    await models.remove(name)


@router.post(
    "/{name}/load",
    response_model_exclude_none=True,
    summary="Load a model",
    responses={200: _MODEL, **problems(known.NO_MODEL, known.BAD_BUNDLE, known.MODEL_NOT_UP)},
)
async def load(name: Reference, models: ModelsDep) -> ModelStatus:
    """Answers when it is verified and warm. One that is loaded stays as it is."""
    await models.load(name)
    return await models.get(name)


@router.post(
    "/{name}/unload",
    response_model_exclude_none=True,
    summary="Unload a model",
    responses={
        200: answered("The model.", examples.UNLOADED_MODEL),
        **problems(known.NO_MODEL, known.MODEL_IN_USE, known.BAD_BUNDLE),
    },
)
async def unload(name: Reference, models: ModelsDep) -> ModelStatus:
    """Gives its memory back; it stays in the repository. One that is not loaded stays as it is."""
    await models.unload(name)
    return await models.get(name)


@router.post(
    "/{name}/predict",
    summary="What one picture shows",
    responses={
        200: {
            "description": "A result row.",
            "content": {"application/json": {"schema": reference("Row"), "example": examples.PICTURE_ROW}},
        },
        **problems(
            known.FORM_CUT_OFF,
            known.NO_MODEL,
            known.PICTURE_TOO_LARGE,
            known.NO_PICTURE,
            known.PICTURE_UNREADABLE,
            known.PICTURES_FULL,
            known.NO_ANSWER,
        ),
    },
    openapi_extra={"requestBody": _PICTURE},
)
async def predict(
    request: Request, name: Reference, query: Annotated[PredictQuery, Query()], models: ModelsDep
) -> Response:
    """JPEG, PNG and what else OpenCV reads, as a form or raw:

        curl -F file=@street.jpg …/v1/models/yolox-nano/predict
        curl -H 'Content-Type: image/jpeg' --data-binary @street.jpg '…/predict?labels=car&labels=person'

    It passes the same batcher as the frames of videos. Models that take tensors are asked over `/v2` (422
    `task_not_for_video`).
    """
    image = await _read_picture(request)
    row = await models.predict(name, image, confidence=query.confidence, labels=query.labels)
    return Response(row, media_type="application/json")


async def _read_picture(request: Request) -> bytes:
    kind = media_type(request.headers.get("content-type", ""))
    if kind == FORM:
        if (content_length(request) or 0) > _PICTURE_BYTES + OVERHEAD:
            raise _too_large()
        sink = _Memory()
        form = await read_form(request, sink, file="file")
        if form.file_name is None:
            raise FieldsInvalid(FieldProblem("file", "it is missing."), hint="curl sends it with -F file=@picture.jpg.")
        return bytes(sink.data)
    if kind.startswith("image/") or kind == "application/octet-stream":
        return await read_body(request, limit=_PICTURE_BYTES)
    raise ContentTypeUnsupported(
        f"A picture is a form or raw, not {kind or 'a body without a type'}.",
        hint=f"Send it as {FORM} (curl -F file=@picture.jpg), or raw with its own type, for example image/jpeg.",
    )


def _too_large() -> UploadTooLarge:
    return UploadTooLarge(f"The picture is larger than {_PICTURE_BYTES} bytes.", hint="Send a smaller picture.")
