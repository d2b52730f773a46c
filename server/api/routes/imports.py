"""Imports: a file in, a model of this server out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from server.api import examples
from server.api import known_problems as known
from server.api.deps import ImportsDep, IntakeDep, KeyDep
from server.api.error_answers import invalid, problems
from server.api.import_request import BODY, read_model
from server.api.multipart import FORM, media_type
from server.api.openapi import REPLAYED, answered, key_parameter, location
from server.api.pages import CURSOR, Page, PageQuery
from server.core.errors import ContentTypeUnsupported
from server.domain.model_import import ModelImport

router = APIRouter(prefix="/v1", tags=["models"])

ImportId = Annotated[str, Path(description="the import's `id`", examples=["5b1c77d0a94e2f63"])]


class ImportsQuery(PageQuery):
    """Which imports."""

    cursor: Annotated[str | None, Field(pattern="^i[0-9]{1,18}$", description=CURSOR)] = None


class ImportQuery(BaseModel):
    """How to look at an import."""

    model_config = ConfigDict(extra="forbid")

    wait: Annotated[
        float, Field(ge=0, le=60, description="seconds to wait for the import's end before answering", examples=[30])
    ] = 0


@router.post(
    "/models",
    status_code=202,
    response_model_exclude_none=True,
    summary="Bring a model in",
    responses={
        202: answered(
            "The import, waiting for its turn.",
            examples.NEW_IMPORT,
            headers={**location("the import's path"), **REPLAYED},
        ),
        **problems(
            known.FORM_CUT_OFF,
            known.VERSION_TAKEN,
            known.MODEL_TOO_LARGE,
            known.NO_FORM,
            invalid(
                "family: Input should be 'yolox', 'ultralytics', 'ssd-face', 'classifier', 'video-classifier' or 'raw'."
            ),
            known.IMPORTS_FULL,
            *(503, 507),
        ),
    },
    openapi_extra={
        "requestBody": BODY,
        "parameters": [
            key_parameter(
                "Any text of yours, say a UUID. A second call with the same key, file and options gives the import of "
                "the first one, for as long as that is kept; with others it is refused (409)."
            )
        ],
    },
)
async def submit(
    request: Request, response: Response, imports: ImportsDep, intake: IntakeDep, key: KeyDep
) -> ModelImport:
    """Send an ONNX file and what kind of model it is, the same options as of `vidserve models import`:

        curl -F file=@yolox_nano.onnx -F family=yolox -F labels=@coco.names …/v1/models

    or a bundle, as zip of its folder:

        curl -F file=@bundle.zip …/v1/models

    The answer comes as soon as the file is stored; `Location` says where to see what becomes of it. It is converted and
    proved in a process of its own, one model after the other, and a refusal ends as `failed`, with the reason in
    `error`. Where an older version serves under the name, it goes on until the new one is warm.
    """
    kind = media_type(request.headers.get("content-type", ""))
    if kind != FORM:
        raise ContentTypeUnsupported(
            f"A model comes in a form, not as {kind or 'a body without a type'}.",
            hint=f"Send it as {FORM} (curl -F file=@model.onnx -F family=yolox).",
        )
    imports.check_room(key)  # before the file has travelled in vain
    upload, options = await read_model(request, intake)
    try:
        made, created = await imports.submit(upload, options, key=key)
    finally:
        upload.discard()
    response.headers["Location"] = f"/v1/imports/{made.id}"
    if not created:
        response.headers["Idempotent-Replayed"] = "true"
    return made


@router.get(
    "/imports",
    response_model_exclude_none=True,
    summary="List imports",
    responses={200: answered("A page.", examples.page(examples.IMPORT)), **problems(422)},
)
async def page(query: Annotated[ImportsQuery, Query()], imports: ImportsDep) -> Page[ModelImport]:
    """Newest first: those that have not ended, and the last hundred that have."""
    before = None if query.cursor is None else int(query.cursor[1:])
    items, more = await imports.list(limit=query.limit, before=before)
    return Page(items=list(items), next_cursor=None if more is None else f"i{more}")


@router.get(
    "/imports/{import_id}",
    response_model_exclude_none=True,
    summary="Look at an import, or wait for it",
    responses={
        200: answered("The import.", examples.IMPORT),
        **problems(known.NO_IMPORT, invalid("wait: Input should be less than or equal to 60.")),
    },
)
async def get(import_id: ImportId, query: Annotated[ImportQuery, Query()], imports: ImportsDep) -> ModelImport:
    """`importing`, `done` (then `model` names it) or `failed` (then `error` says why), and what was proved, in `lines`.
    With `wait` the answer comes when the import ends, or after that many seconds as it is then.
    """
    return await (imports.wait(import_id, query.wait) if query.wait > 0 else imports.get(import_id))


@router.delete(
    "/imports/{import_id}",
    status_code=204,
    summary="Delete an import",
    response_description="It is gone.",
    responses=problems(known.NO_IMPORT),
)
async def delete(import_id: ImportId, imports: ImportsDep) -> None:
    """Ends it if need be, then forgets it. A model that it has brought in stays."""
    await imports.delete(import_id)
