"""Multipart forms, parsed as they arrive: the file goes to its sink piece by piece and is never whole in memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from server.api.validation import unknown
from server.core.errors import BodyInvalid, ContentTypeUnsupported, FieldProblem, FieldsInvalid

FORM = "multipart/form-data"
OVERHEAD = 1024 * 1024
"""Bytes that a form may have beside its file."""

_FIELD_BYTES = 64 * 1024
_WRITE_BYTES = 1024 * 1024
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


class Sink(Protocol):
    """Where the file's bytes go; called in a thread, one call at a time."""

    def write(self, data: bytes, /) -> None: ...


@dataclass(frozen=True)
class Form:
    """A form that has arrived whole.

    Attributes:
        fields: text fields by name.
        file_name: what the client calls the file (`""` if it does not say), or None: there was no file.
    """

    fields: dict[str, str]
    file_name: str | None


@dataclass(frozen=True)
class _Part:
    name: str
    file_name: str


@dataclass
class _Events:
    """What the parser found in the last chunk, in order: a part that begins, its bytes, the end of it (None)."""

    queue: list[_Part | bytes | None] = field(default_factory=list)
    headers: dict[str, bytes] = field(default_factory=dict)
    name: bytes = b""
    value: bytes = b""
    ended: bool = False

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self.name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def header_end(self) -> None:
        self.headers[self.name.decode("latin-1").lower()] = self.value
        self.name = self.value = b""

    def headers_finished(self) -> None:
        disposition, options = parse_options_header(self.headers.get("content-disposition", b""))
        self.headers = {}
        if disposition != b"form-data" or b"name" not in options:
            raise BodyInvalid(
                "A part of the form has no name.", hint='Give each part `Content-Disposition: form-data; name="…"`.'
            )
        self.queue.append(_Part(_text(options[b"name"]), _file_name(_text(options.get(b"filename", b"")))))

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self.queue.append(data[start:end])

    def part_end(self) -> None:
        self.queue.append(None)

    def end(self) -> None:
        self.ended = True

    def drain(self) -> Iterator[_Part | bytes | None]:
        queue, self.queue = self.queue, []
        return iter(queue)


class _Reader:
    def __init__(self, sink: Sink, file: str, known: Collection[str], field_bytes: int) -> None:
        self._sink = sink
        self._file = file
        self._known = {file, *known}
        self._field_bytes = field_bytes
        self._part: _Part | None = None
        self._buffered: list[bytes] = []
        self._buffered_bytes = 0
        self.texts: dict[str, bytearray] = {}
        self.file_name: str | None = None

    def begin(self, part: _Part) -> None:
        if part.name not in self._known:
            raise FieldsInvalid(FieldProblem(part.name, unknown(part.name, self._known)))
        if part.name in self.texts or (part.name == self._file and self.file_name is not None):
            raise FieldsInvalid(FieldProblem(part.name, "it is there twice."))
        if part.name == self._file:
            self.file_name = part.file_name
        else:
            self.texts[part.name] = bytearray()
        self._part = part

    async def take(self, data: bytes) -> None:
        if self._part is not None and self._part.name == self._file:
            self._buffered.append(data)
            self._buffered_bytes += len(data)
            if self._buffered_bytes >= _WRITE_BYTES:
                await self.flush()
        elif self._part is not None:
            text = self.texts[self._part.name]
            if len(text) + len(data) > self._field_bytes:
                raise FieldsInvalid(FieldProblem(self._part.name, f"it is longer than {self._field_bytes} bytes."))
            text += data

    async def flush(self) -> None:
        if self._buffered:
            data = b"".join(self._buffered)
            self._buffered, self._buffered_bytes = [], 0
            await asyncio.to_thread(self._sink.write, data)


async def read_form(
    request: Request, sink: Sink, *, file: str, fields: Collection[str] = (), field_bytes: int = _FIELD_BYTES
) -> Form:
    """Read a request's form.

    Args:
        request: whose body has not been touched.
        sink: gets the file, in pieces of about a megabyte.
        file: the name of the field that is the file.
        fields: the names of the text fields that may stand before or after it.
        field_bytes: that one of them may have.

    Raises:
        BodyInvalid: the body is not a multipart form, or is cut off.
        FieldsInvalid: a field is unknown, there twice, too long or not UTF-8.
        ContentTypeUnsupported: the header says that it is something else.
        ClientDisconnect: the client went away.
        VidserveError: whatever the sink raises.
    """
    events = _Events()
    parser = _parser(request.headers.get("content-type", ""), events)
    reader = _Reader(sink, file, fields, field_bytes)
    async for chunk in request.stream():
        try:
            parser.write(chunk)
        except FormParserError as error:
            raise BodyInvalid(
                "The body is not a multipart form.", hint="Let the HTTP client make the form and its Content-Type."
            ) from error
        for event in events.drain():
            if isinstance(event, _Part):
                reader.begin(event)
            elif event is not None:
                await reader.take(event)
    if not events.ended:
        raise BodyInvalid("The form ends before its last boundary.", hint="Send it again; it was cut off on the way.")
    await reader.flush()
    return Form({name: _utf8(name, bytes(text)) for name, text in reader.texts.items()}, reader.file_name)


def or_empty(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a text field as a form sends it: an untouched one is there and empty, and counts as absent."""
    if "pattern" not in schema:
        return schema
    rest = {key: value for key, value in schema.items() if key != "maxLength"}  # the pattern says it too
    return {**rest, "pattern": rf"^\s*$|{schema['pattern']}"}


def media_type(content_type: str) -> str:
    """The type of a Content-Type header, without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def content_length(request: Request) -> int | None:
    """Bytes that the body is said to have; None where the client does not say."""
    value = request.headers.get("content-length", "")
    return int(value) if value.isdecimal() else None


def _parser(content_type: str, events: _Events) -> MultipartParser:
    kind, options = parse_options_header(content_type)
    if kind != FORM.encode():
        raise ContentTypeUnsupported(f"{content_type or 'A body without a type'} is not a form.", hint=f"Send {FORM}.")
    boundary = options.get(b"boundary")
    if not boundary:
        raise BodyInvalid(
            "The Content-Type names no boundary.", hint="Let the HTTP client set the Content-Type of the form."
        )
    try:
        return MultipartParser(
            boundary,
            {
                "on_header_field": events.header_name,
                "on_header_value": events.header_value,
                "on_header_end": events.header_end,
                "on_headers_finished": events.headers_finished,
                "on_part_data": events.part_data,
                "on_part_end": events.part_end,
                "on_end": events.end,
            },
        )
    except FormParserError as error:
        raise BodyInvalid("The boundary of the form is too long.", hint="Use one of at most 70 characters.") from error


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _utf8(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise FieldsInvalid(FieldProblem(name, "it is not UTF-8 text.")) from error


def _file_name(name: str) -> str:
    # Some clients send the path; only the last part is a name.
    return _UNPRINTABLE.sub("", name.replace("\\", "/").rpartition("/")[2])[:255]
