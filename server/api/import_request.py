"""What a client POSTs to bring a model in: a form with the file, and what is to be said about it."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request
from pydantic import ValidationError

from model_export.options import ImportOptions, name_of
from server.api.arrival import arriving, check_file
from server.api.deps import Intake
from server.api.multipart import FORM, OVERHEAD, or_empty, read_form
from server.api.validation import fields_invalid
from server.core.errors import FieldProblem, FieldsInvalid
from server.storage.uploads import Upload

_FIELDS = tuple(field.alias or name for name, field in ImportOptions.model_fields.items())
_LABELS_BYTES = OVERHEAD // 2
_TOO_LARGE = "Raise `[limits] model_bytes` in the settings, or use `vidserve models import` on the server's machine."


async def read_model(request: Request, intake: Intake) -> tuple[Upload, ImportOptions | None]:
    """The file, on disk, and the options of an ONNX file; None: it is a bundle.

    Whatever ends it early, a client that goes away among them, leaves nothing on the disk.

    Raises:
        UploadTooLarge: more bytes than the settings allow; said as soon as it is known.
        StorageFull: the disk does not hold it.
        BodyInvalid: it is not a multipart form.
        FieldsInvalid: fields are missing, unknown or out of range.
    """
    async with arriving(request, intake.uploads, limit=intake.model_bytes, hint=_TOO_LARGE) as writer:
        form = await read_form(request, writer, file="file", fields=_FIELDS, field_bytes=_LABELS_BYTES)
        file_name = check_file(form, writer, what="model", example="model.onnx")
        # A form that somebody filled in on a page has its untouched fields too: empty is absent.
        options = _options({name: text for name, text in form.fields.items() if text.strip()}, file_name)
        name = file_name or ("model.onnx" if options else "bundle.zip")
        return await asyncio.to_thread(writer.finish, name), options


def _options(said: dict[str, str], file_name: str) -> ImportOptions | None:
    if not said:
        return None
    if "family" not in said:
        raise FieldsInvalid(
            FieldProblem("family", "it is missing."),
            hint="An ONNX file needs it; of a bundle, which says everything itself, send `file` alone.",
        )
    try:
        options = ImportOptions.model_validate(said)
        return options if options.name else ImportOptions.model_validate({**said, "name": name_of(file_name)})
    except ValidationError as error:
        raise fields_invalid(error.errors(include_url=False), ImportOptions) from error


def _schema() -> dict[str, Any]:
    """Of the form: what the text of each option must look like."""
    made = ImportOptions.model_json_schema()
    properties: dict[str, Any] = {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "a bundle as zip; or, with `family`, an ONNX file or a zip of one and the weights beside it",
        }
    }
    for name, schema in made["properties"].items():
        # A form cannot say null, and its fields stand for themselves.
        kinds = [one for one in schema.get("anyOf", [schema]) if one != {"type": "null"}]
        kind = made["$defs"][kinds[0]["$ref"].rpartition("/")[2]] if "$ref" in kinds[0] else kinds[0]
        said = {key: schema[key] for key in ("description", "examples") if key in schema}
        properties[name] = (
            or_empty({key: value for key, value in kind.items() if key not in ("title", "default")}) | said
        )
    return {"type": "object", "properties": properties, "required": ["file"], "additionalProperties": False}


BODY: dict[str, Any] = {"required": True, "content": {FORM: {"schema": _schema()}}}
"""Of the OpenAPI document: the body is parsed by hand, so FastAPI cannot know it."""
