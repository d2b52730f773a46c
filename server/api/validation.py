"""Values from what clients send, and in words what is wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from server.core.errors import BodyInvalid, FieldProblem, FieldsInvalid

Value = TypeVar("Value", bound=BaseModel)

MOST_PROBLEMS = 20
"""That are described. A body may have thousands, each of which would take time and a line of the answer."""
_LETTERS = 200


def parse_body(model: type[Value], body: bytes) -> Value:
    """A request's JSON body.

    Raises:
        BodyInvalid: it is not JSON.
        FieldsInvalid: fields are missing, unknown or out of range.
    """
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise BodyInvalid(
                f"The body is not JSON: {first['ctx']['error']}.", hint="Send one JSON object."
            ) from error
        raise fields_invalid(error.errors(include_url=False), model) from error


def parse_field(model: type[Value], field: str, text: str) -> Value:
    """A form's field that holds JSON.

    Raises:
        FieldsInvalid: it is not JSON, or something in it is missing, unknown or out of range.
    """
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise fields_invalid(error.errors(include_url=False), model, under=(field,)) from error


def fields_invalid(
    errors: Sequence[Mapping[str, Any]],
    model: type[BaseModel] | None,
    *,
    under: tuple[str, ...] = (),
    hint: str | None = None,
) -> FieldsInvalid:
    """Pydantic's findings by field, the first of them; an unknown key brings the nearest known one."""
    found = []
    for error in errors[:MOST_PROBLEMS]:
        place = error["loc"]
        path = ".".join(str(part) for part in (*under, *place))[:_LETTERS] or "body"
        if error["type"] == "extra_forbidden":
            known = _fields(model, place[:-1])
            found.append(FieldProblem(path, unknown(str(place[-1])[:_LETTERS], known)))
        elif error["type"] == "json_invalid":
            found.append(FieldProblem(path, f"it is not JSON: {error['ctx']['error']}."))
        elif error["type"] == "missing":
            found.append(FieldProblem(path, "it is missing."))
        else:
            found.append(FieldProblem(path, f"{error['msg'].removeprefix('Value error, ')}."))
    return FieldsInvalid(*found, hint=hint, more=len(errors) - len(found))


def unknown(name: str, known: Collection[str]) -> str:
    """A sentence about a name that is not known, with the nearest one that is."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"it is not known; `{near[0]}` is."
    return (
        f"it is not known; known are {', '.join(f'`{one}`' for one in sorted(known))}." if known else "it is not known."
    )


def _fields(model: type[BaseModel] | None, place: tuple[int | str, ...]) -> Collection[str]:
    for part in place:
        field = model.model_fields.get(str(part)) if model is not None else None
        model = _model(field.annotation) if field is not None else None
    fields = model.model_fields if model is not None else {}
    return [field.alias or name for name, field in fields.items()]


def _model(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
