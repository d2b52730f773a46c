"""The log: one pipe to standard error for every logger of a process, as text or JSON.

Modules use `logging.getLogger(__name__)`; what uvicorn, warnings and other libraries say comes the same way. Every
entry carries the process's name and what is bound with `bound(...)`: the request's and the job's id. Credentials in
URLs never get through, and neither do control characters: who chooses a path could forge entries with them.
"""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import unquote

import msgspec
import structlog

if TYPE_CHECKING:
    # Children are told a `LogConfig`, and need no settings to start.
    from server.core.settings import LogSettings

# A password may have a `/`, `?` or `#` in it that should have been escaped.
_USERINFO = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?:[^\s/?#'\"@]*:[^\s'\"]*|[^\s/?#'\"]*)@", re.IGNORECASE)
_NAME = re.compile(r"(?<![^\s?&#=,;'\"/:])(?P<name>[^\s?&#=,;'\"/:]+)=(?=[^\s&#,;'\"])")
_VALUE = re.compile(r"(?:[^\s&#,;'\"]|[,;](?=[^\s&#]))+")
# What cameras call their secrets in queries is theirs to choose; `keyframe`, `tokens`, `author` or `bypass` are none.
_SECRET = re.compile(
    r"passw|passphrase|passcode|(?<!by)(?<!com)pass?[0-9_]*$|pwd|psw|pw[0-9_]*$|auth(?!or)|authoriz|(?<!mon)key(_?id|[0-9_]*)$"
    r"|secret(?!s)|token(?!s)|ticket(?!s)|session(?!s)|sessid|jwt|cred|signature|sig$|^x-amz-",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(?P<scheme>bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)

# Those of Unicode that break or turn lines too.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_CONTROL_IN_LINES = re.compile(r"(?![\n\t])" + _CONTROL.pattern)
_LINES = ("exception", "stack")

# What a LogRecord has by itself; the rest came with `extra=`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class LogConfig(msgspec.Struct, frozen=True):
    """How a process logs; small, and sent to children.

    Attributes:
        process: its name in every entry, such as `api` or `worker-0`.
        colour: whether text is coloured; the parent decides, since children write to its terminal.
    """

    level: str = "info"
    format: str = "text"
    process: str = "api"
    colour: bool = False

    @classmethod
    def of(cls, settings: LogSettings, process: str = "api") -> LogConfig:
        """From the settings and whether standard error is a terminal."""
        return cls(settings.level, settings.format, process, sys.stderr.isatty())

    def named(self, process: str) -> LogConfig:
        """The same for another process."""
        return msgspec.structs.replace(self, process=process)


def configure(config: LogConfig, stream: TextIO | None = None) -> None:
    """Send everything that this process logs through one pipe.

    Args:
        stream: standard error if absent.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_enrich(config.process),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_render(config)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(config.level.upper())
    logging.captureWarnings(True)
    # Printed as the text of an entry, a warning needs no source line of its own.
    warnings.formatwarning = _one_line
    # Uvicorn's loggers bring handlers of their own; without them their entries reach the root's.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # They tell of every request, also of those with a query that nobody should read.
    for name in ("httpx", "httpcore", "multipart", "python_multipart", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def bound(**values: str) -> Iterator[None]:
    """Add `values` to every entry logged inside, in this thread or task: `request`, `job`."""
    with structlog.contextvars.bound_contextvars(**values):
        yield


def redacted(text: str) -> str:
    """The text without user names and passwords in URLs, without tokens in queries and without Authorization values."""
    text = _USERINFO.sub(r"\g<scheme>***@", text)
    return _BEARER.sub(r"\g<scheme> ***", _without_values(text) if "=" in text else text)


def _without_values(text: str) -> str:
    """Mask values by their names, which queries may write in other ways (`user%70assword`)."""
    parts: list[str] = []
    at = 0
    for found in _NAME.finditer(text):
        if found.start() >= at and _SECRET.search(unquote(found["name"])):
            value = _VALUE.match(text, found.end())
            parts += text[at : found.end()], "***"
            at = value.end() if value else found.end()
    return "".join((*parts, text[at:]))


def _enrich(process: str) -> list[structlog.typing.Processor]:
    def name_process(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_extra,
        name_process,
    ]


def _render(config: LogConfig) -> list[structlog.typing.Processor]:
    if config.format == "json":
        return [
            structlog.processors.format_exc_info,
            _redact,
            _escape,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    console = structlog.dev.ConsoleRenderer(colors=config.colour, pad_event_to=0, sort_keys=False)
    return [structlog.processors.format_exc_info, _redact, _escape, console]


def _add_extra(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    record = event.get("_record")
    if record is not None:
        event.update({key: value for key, value in vars(record).items() if key not in _OWN and key not in event})
    return event


def _redact(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {key: _redacted_value(value) for key, value in event.items()}


def _redacted_value(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {key: _redacted_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted_value(item) for item in value]
    # Errors and paths are printed by their text, in which a URL may be.
    return value if isinstance(value, int | float | bool | type(None)) else redacted(str(value))


def _escape(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {key: _escaped(value, _CONTROL_IN_LINES if key in _LINES else _CONTROL) for key, value in event.items()}


def _escaped(value: Any, control: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return control.sub(lambda found: found[0].encode("unicode_escape").decode(), value)
    if isinstance(value, dict):
        return {key: _escaped(item, control) for key, item in value.items()}
    return [_escaped(item, control) for item in value] if isinstance(value, list) else value


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return f"{category.__name__}: {message} ({filename}:{lineno})"
