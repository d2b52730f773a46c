"""A `--option` of a Typer command for each field of a pydantic model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import Annotated, Any, TypeVar, get_args

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

Value = TypeVar("Value", bound=BaseModel)
Command = TypeVar("Command", bound=Callable[..., None])

_PLAIN = (int, float, bool)
_BY_NAME = inspect.Parameter.KEYWORD_ONLY


def takes(model: type[BaseModel], *, but: Collection[str] = ()) -> Callable[[Command], Command]:
    """Give a command with `**said` an option for each field of `model`; what is not said is None.

    Args:
        but: fields that the command has a parameter of its own for.
    """

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True).parameters.values()
        kept = [one.replace(kind=_BY_NAME) for one in own if one.kind is not inspect.Parameter.VAR_KEYWORD]
        added = [_parameter(name, field) for name, field in model.model_fields.items() if name not in but]
        # What must be said is told first.
        said = sorted([*kept, *added], key=lambda one: one.default is not inspect.Parameter.empty)
        command.__signature__ = inspect.Signature(said)  # type: ignore[attr-defined]
        return command

    return decorate


def read(model: type[Value], said: Mapping[str, Any]) -> Value:
    """The value that was said.

    Raises:
        typer.BadParameter: it is not valid; names the option.
    """
    try:
        return model.model_validate({name: value for name, value in said.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise typer.BadParameter(f"{_why(first)}.", param_hint=f"'{_flag(str(first['loc'][0]))}'") from error


def _why(error: ErrorDetails) -> str:
    if error["type"] == "enum":
        return f"{error['input']!r} is not one of {error['ctx']['expected']}; --help says what each is for"
    return error["msg"].removeprefix("Value error, ")


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    option = typer.Option(
        _flag(field.alias or name),
        metavar=field.title or _choices(field.annotation),
        help=_sentence(field.description or ""),
    )
    required = field.is_required()
    kind = _kind(field.annotation)
    return inspect.Parameter(
        name,
        _BY_NAME,
        default=inspect.Parameter.empty if required else None,
        annotation=Annotated[kind if required else kind | None, option],
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _kind(annotation: Any) -> Any:
    """What Typer reads: numbers and switches as such, everything else as text, whose errors are ours to word."""
    return next((one for one in (annotation, *get_args(annotation)) if one in _PLAIN), str)


def _choices(annotation: Any) -> str | None:
    """How the help shows an option that is one of a few words."""
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, Enum):
            return f"<{'|'.join(member.value for member in one)}>"
    return None


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
