"""What a setting may be, in words: for error messages and for the page of all settings."""

from __future__ import annotations

import types
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from model_export.manifest import NAME_PATTERN


def leaves(kind: type[BaseModel], prefix: str = "") -> Mapping[str, FieldInfo]:
    """The fields of a model and of the models in it by their dotted key, in the order of their definition."""
    found: dict[str, FieldInfo] = {}
    for name, field in kind.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found |= leaves(annotation, f"{prefix}{name}.")
        elif _named(field) is None:
            found[prefix + name] = field
    return found


def named_sections(kind: type[BaseModel]) -> Mapping[str, type[BaseModel]]:
    """The fields of which each value is a section with a name of its own, such as `[streams.NAME]`; and its model."""
    found = {name: _named(field) for name, field in kind.model_fields.items()}
    return {name: section for name, section in found.items() if section is not None}


def is_secret(field: FieldInfo) -> bool:
    """Whether its value must not be shown."""
    return holds(field, SecretStr)


def holds(field: FieldInfo, kind: type) -> bool:
    """Whether a value of the field is a `kind`."""
    wanted = _bare(_required(field.annotation))
    return kind in (wanted, get_origin(wanted))


def expectation(field: FieldInfo) -> str:
    """For example `a whole number from 1 to 256` or `one of "auto", "cpu", "cuda"`."""
    kind = _required(field.annotation)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return "one of " + ", ".join(f'"{choice}"' for choice in kind)
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _bounds(field.metadata)
    if kind is Path:
        return "a path"
    if kind is SecretStr and (shortest := next((limit for limit in field.metadata if isinstance(limit, MinLen)), None)):
        return f"a secret of at least {shortest.min_length} letters, digits and ._~+/=-"
    if holds(field, tuple):
        if _of_models(kind):
            return "a list of model names, each `name` or `name@version`"
        return "a list of paths" if "Path" in repr(kind) else "a list of texts"
    return "a model's `name` or `name@version`" if _of_models(kind) else "a text that is not empty"


def _required(annotation: Any) -> Any:
    """The type without `| None` and without what annotates it."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(option for option in get_args(annotation) if option is not types.NoneType)
    return annotation


def _bare(annotation: Any) -> Any:
    """The type itself, without what is said of it."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _named(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field's sections, if each has a name of its own."""
    if get_origin(field.annotation) is not dict:
        return None
    section = get_args(field.annotation)[1]
    return section if isinstance(section, type) and issubclass(section, BaseModel) else None


def _of_models(kind: Any) -> bool:
    """Whether texts have the pattern of a model's name."""
    return NAME_PATTERN in repr(kind)


def _bounds(metadata: list[Any]) -> str:
    low = next((f" from {limit.ge}" for limit in metadata if isinstance(limit, Ge)), "")
    above = next((f" above {limit.gt}" for limit in metadata if isinstance(limit, Gt)), "")
    high = next((f" to {limit.le}" for limit in metadata if isinstance(limit, Le)), "")
    below = next((f" below {limit.lt}" for limit in metadata if isinstance(limit, Lt)), "")
    return low + above + high + below
