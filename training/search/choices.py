"""What may be chosen at a place of a recipe, and a recipe with everything chosen.

    channels: {choose: [16, 32, 64]}                  one of these
    rate: {range: [0.0003, 0.03], log: true}          a number from … to …, both included
    repeat: {range: [1, 3]}                           a whole number, as both ends are
    - choose: {gru: [{particle: gru, hidden: 32}, time_pool], mean: [{particle: time_pool, kind: mean}]}

An alternative may be anything, with choices of its own in it, and may have a name. In a list of particles one that is a
list stands for all of its entries, and `[]` for none. Places with the same `named` choose alike. Without `named` a
choice is called by its place, with positions counted from 0, as `key=value` does; inside of an alternative, the
alternative's name is part of the place.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import Field

from training.configuration import Config, read
from training.errors import ConfigInvalid

Number = int | float


class _Choose(Config):
    choose: list[Any] | dict[Any, Any] = Field(min_length=1)
    named: str | None = None


class _Range(Config):
    range: tuple[Number, Number]
    step: Number | None = Field(default=None, gt=0)
    log: bool = False
    named: str | None = None


_KINDS: Mapping[str, type[_Choose] | type[_Range]] = {"choose": _Choose, "range": _Range}


@dataclass(frozen=True)
class Choice:
    """One of several alternatives.

    Attributes:
        name: of the choice.
        alternatives: by their names.
        within: the alternatives of other choices that it depends on, by the names of those choices.
    """

    name: str
    alternatives: Mapping[str, Any]
    within: Mapping[str, str]


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included; whole ones if both are, and the step is.

    Attributes:
        name, within: as of a `Choice`.
        step: between numbers; None: any, or the whole ones.
        log: small numbers are tried as closely as large ones.
    """

    name: str
    low: Number
    high: Number
    step: Number | None
    log: bool
    within: Mapping[str, str]

    @property
    def whole(self) -> bool:
        return all(isinstance(one, int) for one in (self.low, self.high, self.step or 1))


AnyChoice = Choice | Range


class Draw(Protocol):
    """Who chooses."""

    def alternative_of(self, choice: Choice) -> str:
        """The name of one."""

    def number_in(self, choice: Range) -> Number:
        """One of the range."""


@dataclass(frozen=True)
class Given:
    """Chooses what it was told, and the first, or the lowest, of everything else."""

    chosen: Mapping[str, Any]

    def alternative_of(self, choice: Choice) -> str:
        return str(self.chosen.get(choice.name, next(iter(choice.alternatives))))

    def number_in(self, choice: Range) -> Number:
        number: Number = self.chosen.get(choice.name, choice.low)
        return number


def filled(tree: Any, draw: Draw) -> Any:
    """A recipe, or a part of one, with everything chosen.

    Raises:
        ConfigInvalid: a choice is written wrongly.
    """
    return _filled(tree, draw, "", {})


def choices(tree: Any) -> list[AnyChoice]:
    """Every choice in a tree, in its order, those within alternatives too; of those that are alike, the first.

    Raises:
        ConfigInvalid: one is written wrongly, or two that differ have the same name.
    """
    found: dict[str, AnyChoice] = {}
    _collect(tree, "", {}, found)
    return list(found.values())


def is_choice(value: Any) -> bool:
    """Whether something is left to be chosen in the place of this."""
    # A particle may have an option of that name.
    return isinstance(value, Mapping) and "particle" not in value and any(key in value for key in _KINDS)


def _filled(value: Any, draw: Draw, place: str, within: Mapping[str, str]) -> Any:
    choice = _choice_at(value, place, within)
    if isinstance(choice, Range):
        return draw.number_in(choice)
    if isinstance(choice, Choice):
        name = draw.alternative_of(choice)
        return _filled(choice.alternatives[name], draw, f"{choice.name}.{name}", {**within, choice.name: name})
    if isinstance(value, Mapping):
        return {key: _filled(one, draw, _below(place, key), within) for key, one in value.items()}
    if isinstance(value, list):
        entries: list[Any] = []
        for at, entry in enumerate(value):
            made = _filled(entry, draw, _below(place, at), within)
            entries += made if is_choice(entry) and isinstance(made, list) else [made]
        return entries
    return value


def _collect(value: Any, place: str, within: Mapping[str, str], found: dict[str, AnyChoice]) -> None:
    choice = _choice_at(value, place, within)
    if choice is not None:
        before = found.setdefault(choice.name, choice)
        if _essence(before) != _essence(choice):
            raise ConfigInvalid(
                f"{place}: two choices are named {choice.name!r}, and do not say the same.",
                hint="Let one be a copy of the other, with an anchor: channels: &width {choose: …}, channels: *width.",
            )
    if isinstance(choice, Choice):
        for name, one in choice.alternatives.items():
            _collect(one, f"{choice.name}.{name}", {**within, choice.name: name}, found)
    elif choice is None:
        parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
        for key, one in parts:
            _collect(one, _below(place, key), within, found)


def _essence(choice: AnyChoice) -> tuple[Any, ...]:
    if isinstance(choice, Choice):
        return tuple(choice.alternatives.items())
    return choice.low, choice.high, choice.step, choice.log


def _choice_at(value: Any, place: str, within: Mapping[str, str]) -> AnyChoice | None:
    if not is_choice(value):
        _see_misspelt(value, place)
        return None
    read_one = read(_KINDS[next(key for key in _KINDS if key in value)], value, where=place)
    name = read_one.named or place
    if isinstance(read_one, _Choose):
        return Choice(name, _named(read_one.choose, place), within)
    low, high = read_one.range
    _see_range(place, low, high, read_one.step, log=read_one.log)
    return Range(name, low, high, read_one.step, read_one.log, within)


def _see_misspelt(value: Any, place: str) -> None:
    if not isinstance(value, Mapping) or "particle" in value:
        return
    for key, one in value.items():
        near = difflib.get_close_matches(str(key), _KINDS, n=1, cutoff=0.8)
        if near and isinstance(one, list | Mapping):
            raise ConfigInvalid(f"{place}: {key} is not known; did you mean {near[0]!r}?")


def _see_range(place: str, low: Number, high: Number, step: Number | None, *, log: bool) -> None:
    if not low < high:
        raise ConfigInvalid(f"{place}: a range goes up, and this one from {low} to {high}.")
    if log and (low <= 0 or step is not None):
        raise ConfigInvalid(f"{place}: a range with `log` begins above 0 and has no `step`.")
    if step is not None:
        steps = (high - low) / step
        if abs(steps - round(steps)) > 1e-9 * max(steps, 1) or steps < 1:
            raise ConfigInvalid(f"{place}: steps of {step} do not lead from {low} to {high}.")


def _named(alternatives: Sequence[Any] | Mapping[Any, Any], place: str) -> dict[str, Any]:
    if isinstance(alternatives, Mapping):
        return {str(name): one for name, one in alternatives.items()}
    found: dict[str, Any] = {}
    for one in alternatives:
        if any(one == other and type(one) is type(other) for other in found.values()):
            raise ConfigInvalid(f"{place}: {_called(one)} is there twice.")
        name = _called(one)
        also = sum(other == name or other.startswith(f"{name} (") for other in found)
        found[f"{name} ({also + 1})" if also else name] = one
    return found


def _called(value: Any) -> str:
    """A name for an alternative that was given none: its particle, its kind, or what it is."""
    if isinstance(value, list) and all(isinstance(one, str | list | Mapping) for one in value):
        return "+".join(map(_called, value)) or "nothing"
    if isinstance(value, Mapping):
        given = next((value[key] for key in ("particle", "kind", "preset") if key in value), None)
        return str(given) if isinstance(given, str) else "+".join(map(str, value))
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    return str(value)


def _below(place: str, key: object) -> str:
    return f"{place}.{key}" if place else str(key)
