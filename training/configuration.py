"""Configurations as pydantic reads them, and what is wrong with one in the words of who wrote it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

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
    key = ".".join(str(part) for part in place)
    if problem["type"] == "extra_forbidden":
        known = _known(kind, place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
        return f"{key} is not known; {meant}"
    if problem["type"] == "missing":
        return f"{key} is missing."
    if not key:
        return str(problem["msg"]).removeprefix("Value error, ") + "."
    return f"{key}: {problem['msg']} (it is {problem['input']!r})."


def _known(kind: type[BaseModel], place: tuple[Any, ...]) -> list[str]:
    """The keys that may stand at a place. Steps that are no field are positions in a list and tags of a choice."""
    kinds: list[type[BaseModel]] = [kind]
    for step in place:
        fields = [one.model_fields[step].annotation for one in kinds if step in one.model_fields]
        if fields:
            kinds = [inner for field in fields for inner in _models(field)]
        elif tagged := [one for one in kinds if _tag(one) == step]:
            kinds = tagged
    return sorted({name for one in kinds for name in one.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Every pydantic model in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def _tag(kind: type[BaseModel]) -> object:
    """What a model's `kind` must be to be chosen, if it has one."""
    field = kind.model_fields.get("kind")
    return get_args(field.annotation)[0] if field is not None and get_args(field.annotation) else None
