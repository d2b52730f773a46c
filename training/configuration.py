"""Configurations as pydantic reads them, and what is wrong with one in the words of who wrote it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from model_export.manifest import NAME_PATTERN
from training.errors import ConfigInvalid

Kind = TypeVar("Kind", bound=BaseModel)


class Config(BaseModel):
    """A part of a configuration: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read(kind: type[Kind], given: Mapping[str, Any], *, where: str = "the configuration") -> Kind:
    """The configuration that was given.

    Args:
        kind: what it must be.
        given: as YAML or JSON gives it.
        where: what to call it in messages, such as the file's name.

    Raises:
        ConfigInvalid: something is unknown, missing or out of range; a line for each, with the nearest known key.
    """
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        lines = [_line(kind, dict(one)) for one in error.errors(include_url=False)]
        raise ConfigInvalid(f"{where}: " + "\n".join(lines)) from None


def of_kind(usual: str) -> Callable[[object], object]:
    """Reads a choice by `kind`: one that says none is the usual one, and a word alone is a kind with its defaults."""

    def read_kind(given: object) -> object:
        if isinstance(given, str):
            return {"kind": given}
        return {"kind": usual, **given} if isinstance(given, Mapping) else given

    return read_kind


def changes_between(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`key: then → now` for every key, with dots, that differs."""
    before, now = _flat(old), _flat(new)
    keys = [key for key in [*before, *(key for key in now if key not in before)] if before.get(key) != now.get(key)]
    return [f"{key}: {_said(before, key)} → {_said(now, key)}" for key in keys]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if parts is None or not value:
        return {prefix: value}
    return {
        key: inner
        for name, one in parts
        for key, inner in _flat(one, f"{prefix}.{name}" if prefix else str(name)).items()
    }


def _said(flat: Mapping[str, Any], key: str) -> str:
    return str(flat[key]) if key in flat else "absent"


def _line(kind: type[BaseModel], problem: dict[str, Any]) -> str:
    place = tuple(problem["loc"])
    kinds, said = _walk(kind, place)
    key = ".".join(said)
    if problem["type"] == "extra_forbidden":
        parents, _ = _walk(kind, place[:-1])
        known = sorted({name for one in parents for name in one.model_fields})
        return f"{key} is not known; {_nearest(str(place[-1]), known)}"
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
        known = [str(tag) for one in kinds for tag in _tags(one)]
        given = problem["input"].get("kind") if isinstance(problem["input"], Mapping) else None
        if given is None:
            return f"{key}.kind is missing; known are {', '.join(known)}."
        return f"{key}.kind: there is no {given!r}; {_nearest(str(given), known)}"
    if problem["type"] == "missing":
        return f"{key} is missing."
    if problem["type"] == "string_pattern_mismatch" and NAME_PATTERN in problem["msg"]:
        return (
            f"{key}: {problem['input']!r} is no name: take lower-case letters, digits, dots, underscores and dashes, at"
            " most 64, a letter or digit first."
        )
    told = str(problem["msg"]).removeprefix("Value error, ").rstrip(".")
    return f"{key}: {told} (it is {problem['input']!r})." if key else f"{told}."


def _nearest(given: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."


def _walk(kind: type[BaseModel], place: tuple[Any, ...]) -> tuple[list[type[BaseModel]], list[str]]:
    """What may stand at a place, and the place as a user writes it: without the tags that pydantic puts into it."""
    kinds, said = [kind], []
    for step in place:
        tagged = [one for one in kinds if step in _tags(one)]
        fields = [one.model_fields[step].annotation for one in kinds if step in one.model_fields]
        if tagged and not fields:
            kinds = tagged
            continue
        kinds = [inner for field in fields for inner in _models(field)] if fields else kinds
        said.append(str(step))
    return kinds, said


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Every pydantic model in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def _tags(kind: type[BaseModel]) -> tuple[object, ...]:
    """What a model's `kind` may be for it to be chosen, if it has one."""
    field = kind.model_fields.get("kind")
    return get_args(field.annotation) if field is not None else ()
