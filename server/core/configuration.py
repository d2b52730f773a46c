"""Where settings come from: flag over variable over file over default, each value with its origin.

The file is `--config` (or `$VIDSERVE_CONFIG`), else `vidserve.toml` here, else in the data folder. Variables are
`VIDSERVE_` and the key in capitals, with `__` for each dot: `VIDSERVE_ENGINE__MAX_BATCH=4`. A file may say `${NAME}`
for the value of a variable. A secret can be given as `KEY_file`, the path of a file that holds it.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from model_export.errors import VidserveError
from server.core.expectation import expectation, holds, is_secret, leaves, named_sections
from server.core.log import redacted

FILE_NAME = "vidserve.toml"
PREFIX = "VIDSERVE_"
CONFIG_VARIABLE = "VIDSERVE_CONFIG"

_FILE_SUFFIX = "_file"
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Variables that tests read, and those that Kubernetes sets by itself beside a service called vidserve.
_NOT_OURS = re.compile(r"^VIDSERVE_(CONFIG|CAMERA_PASSWORD|TEST_.*|SERVICE_(HOST|PORT.*)|PORT_[0-9]+_.*)$")

_NAMES = {
    "streams": "letters, digits, _ and - can, up to 48",
    "models": "a model's can, of lower-case letters, digits, ., _ and -, up to 64",
}
"""What names of sections may be."""

Kind = TypeVar("Kind", bound=BaseModel)


class SettingsInvalid(VidserveError):
    """Settings that cannot be used; `problems` has a line for each thing that is wrong."""

    code = "settings_invalid"

    def __init__(self, *problems: str, hint: str | None = None) -> None:
        super().__init__("\n".join(problems), hint=hint)
        self.problems = problems


@dataclass(frozen=True)
class Value:
    """What was given for a key.

    Attributes:
        origin: `--port`, `VIDSERVE_PORT`, `vidserve.toml line 3` or `default`.
    """

    given: Any
    origin: str


@dataclass(frozen=True)
class Configuration(Generic[Kind]):
    """Settings and where they come from.

    Attributes:
        file: the settings file that was read, if any.
        origins: by dotted key, such as `engine.max_batch`; every key is there, in the order of their definition, and
            after them what is said of sections with names of their own.
    """

    settings: Kind
    file: Path | None
    origins: Mapping[str, str]

    def shown(self) -> list[tuple[str, str, str]]:
        """Key, value and origin of every setting in the order of `origins`; secrets hidden."""
        rows = []
        for key, origin in self.origins.items():
            value = _value_at(self.settings, key)
            text = "**********" if isinstance(value, SecretStr) else redacted(_as_toml(value))
            rows.append((key, text, origin))
        return rows


def load(
    kind: type[Kind],
    *,
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    config: Path | None = None,
    here: Path = Path(),
) -> Configuration[Kind]:
    """Read the settings.

    Args:
        kind: the model of the settings.
        flags: by dotted key; None: not given.
        config: the file that `--config` names.
        here: the folder in which the file is looked for first.

    Raises:
        SettingsInvalid: something is unknown, out of range or unreadable; it says what, where and what to write.
    """
    known = leaves(kind)
    values: dict[str, Value] = {}
    problems: list[str] = []
    for key, given in flags.items():
        if given is not None:
            _put(values, key, Value(given, f"--{key.rpartition('.')[2].replace('_', '-')}"), known, problems)
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or _NOT_OURS.match(name) or not text or text.startswith("tcp://"):
            continue
        key = name.removeprefix(PREFIX).lower().replace("__", ".")
        _put(values, key, Value(text, name), known, problems)
    file = _find(config, environ, here, values.get("data"), known)
    sections: list[str] = []
    if file is not None:
        read, sections = _read(file, environ, problems, named_sections(kind))
        known = {**known, **_leaves_of(sections, kind)}
        for key, value in read.items():
            _put(values, key, value, known, problems)
    if problems:
        raise SettingsInvalid(*problems)
    try:
        settings = kind.model_validate(_nested(values, sections))
    except ValidationError as error:
        raise SettingsInvalid(*_explained(error, values, known)) from None
    always = leaves(kind)
    origins = {
        key: values[key].origin if key in values else "default" for key in known if key in values or key in always
    }
    return Configuration(settings, file, origins)


def _leaves_of(sections: list[str], kind: type[BaseModel]) -> dict[str, FieldInfo]:
    """The keys of sections with names of their own, such as `streams.front`."""
    models = named_sections(kind)
    found: dict[str, FieldInfo] = {}
    for section in sections:
        found |= leaves(models[section.partition(".")[0]], f"{section}.")
    return found


def _put(values: dict[str, Value], key: str, value: Value, known: Mapping[str, FieldInfo], problems: list[str]) -> None:
    """Take a value for a key, unless a stronger origin has given one."""
    field = known.get(key)
    if field is None and key.endswith(_FILE_SUFFIX):
        key = key.removesuffix(_FILE_SUFFIX)
        field = known.get(key)
        if field is not None and is_secret(field):
            try:
                value = Value(Path(value.given).expanduser().read_text().strip(), value.origin)
            except OSError as error:
                problems.append(f"{value.origin}: the file {value.given} cannot be read: {error.strerror}.")
                return
        else:
            field, key = None, key + _FILE_SUFFIX
    if field is None:
        problems.append(_unknown(key, value, known))
        return
    if isinstance(value.given, str) and holds(field, tuple):
        value = Value(_as_list(value.given), value.origin)
    values.setdefault(key, value)


def _unknown(key: str, value: Value, known: Mapping[str, FieldInfo]) -> str:
    said = value.origin if value.origin.startswith(PREFIX) else key
    where = "" if said == value.origin else f"{value.origin}: "
    if any(other.startswith(f"{key}.") for other in known):
        return f"{where}{said} is a section and takes keys, not a value."
    by_last = {other.rpartition(".")[2]: other for other in known}
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.75)
    if not close:
        close = [by_last[last] for last in difflib.get_close_matches(key.rpartition(".")[2], by_last, n=1)]
    if not close:
        return f"{where}there is no setting {said}. `vidserve config check` lists them all."
    nearest = _as_variable(close[0]) if value.origin.startswith(PREFIX) else close[0]
    return f"{where}there is no setting {said}; did you mean {nearest}?"


def _find(
    config: Path | None,
    environ: Mapping[str, str],
    here: Path,
    data: Value | None,
    known: Mapping[str, FieldInfo],
) -> Path | None:
    named = config or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    if named is not None:
        if not named.is_file():
            said = "--config" if config else CONFIG_VARIABLE
            raise SettingsInvalid(f"{said}: there is no file {named}.", hint="Name an existing settings file.")
        return named
    folder = Path(data.given).expanduser() if data else known["data"].default if "data" in known else here
    return next((path for path in (here / FILE_NAME, here / folder / FILE_NAME) if path.is_file()), None)


def _read(
    file: Path, environ: Mapping[str, str], problems: list[str], named: Collection[str]
) -> tuple[dict[str, Value], list[str]]:
    """The keys of a settings file, dotted; and which sections with names of their own it has, such as `streams.front`.

    Args:
        named: which fields are made of such sections.
    """
    try:
        text = file.read_text(encoding="utf-8")
        tree = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsInvalid(f"{file} cannot be read: {error}.") from error
    values = {}
    for key, given in _flat(tree, "").items():
        line = _line(text, key)
        origin = f"{file} line {line}" if line else str(file)
        try:
            values[key] = Value(_filled(given, environ), origin)
        except KeyError as error:
            name = error.args[0]
            problems.append(f"{origin}: {key} wants the variable {name}, which is not set.")
    sections: list[str] = []
    for field in named:
        branch = tree.get(field)
        if isinstance(branch, dict):
            sections.extend(f"{field}.{name}" for name, section in branch.items() if isinstance(section, dict))
    return values, sections


def _flat(tree: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _line(text: str, key: str) -> int | None:
    """The line that sets a key; None where it is written in a way too clever for this search."""
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
            section = re.sub("[\"']", "", header[1]) + "."
        elif (match := re.match(r"\s*([\w.-]+)\s*=", line)) and section + match[1] == key:
            return number
    return None


def _filled(given: Any, environ: Mapping[str, str]) -> Any:
    """`${NAME}` replaced by the variable, in texts and lists of them. KeyError: it is not set."""
    if isinstance(given, list):
        return [_filled(item, environ) for item in given]
    if isinstance(given, str):
        return _REFERENCE.sub(lambda match: environ[match[1]], given)
    return given


def _nested(values: Mapping[str, Value], sections: list[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for section in sections:  # also those that hold nothing
        _branch(tree, _path(section))
    for key, value in values.items():
        # Names of sections may have dots in them.
        section = max((one for one in sections if key.startswith(f"{one}.")), key=len, default="")
        path, rest = _path(section), key.removeprefix(f"{section}.")
        *inner, last = rest.split(".")
        _branch(tree, [*path, *inner])[last] = value.given
    return tree


def _path(section: str) -> list[str]:
    """`models.NAME`, whatever is in the name."""
    field, _, name = section.partition(".")
    return [field, name] if name else []


def _value_at(settings: BaseModel, key: str) -> Any:
    value: Any = settings
    while key:
        if isinstance(value, Mapping):
            part = max((name for name in value if f"{key}.".startswith(f"{name}.")), key=len)
            value = value[part]
        else:
            part = key.partition(".")[0]
            value = getattr(value, part)
        key = key[len(part) + 1 :]
    return value


def _branch(tree: dict[str, Any], path: list[str]) -> dict[str, Any]:
    for part in path:
        tree = tree.setdefault(part, {})
    return tree


def _explained(error: ValidationError, values: Mapping[str, Value], known: Mapping[str, FieldInfo]) -> list[str]:
    lines = []
    for problem in error.errors():
        path = [str(part) for part in problem["loc"]]
        key = next((key for length in range(len(path), 0, -1) if (key := ".".join(path[:length])) in known), None)
        if key is None:
            lines.append(f"{path[1]!r} cannot be a name in [{path[0]}.NAME]: {_NAMES[path[0]]}.")
        elif key not in values:
            lines.append(f"{key} is missing.")
        else:
            value, field = values[key], known[key]
            given = "" if is_secret(field) else f" not {redacted(_as_toml(value.given))},"
            lines.append(f"{value.origin}: {key} must be {expectation(field)},{given}".rstrip(",") + ".")
    return list(dict.fromkeys(lines))


def _as_list(text: str) -> list[str]:
    """A list from a variable or flag: JSON, or items between commas."""
    if text.lstrip().startswith("["):
        try:
            return list(json.loads(text))
        except ValueError:
            return [text]
    return [item.strip() for item in text.split(",") if item.strip()]


def _as_variable(key: str) -> str:
    return PREFIX + key.upper().replace(".", "__")


def _as_toml(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Path | SecretStr):
        return json.dumps(str(value))
    if isinstance(value, tuple):
        return json.dumps(list(value), default=str)
    return json.dumps(value, default=str)
