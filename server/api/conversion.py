"""Result rows in other people's formats, converted as they are read and never whole in memory.

The formats' own documents: MOTChallenge (Leal-Taixé et al., 2015), COCO (Lin et al., 2014).
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Callable
from enum import StrEnum

import msgspec
from msgspec import UNSET

from server.domain.result import Object, Row

Rows = Callable[[], AsyncIterator[bytes]]
"""Begins to read a job's rows: NDJSON in chunks of whole lines."""

_COLUMNS = ("frame", "pts_s", "track_id", "label", "class_id", "confidence", "x1", "y1", "x2", "y2")
_decode = msgspec.json.Decoder(Row).decode


class Format(StrEnum):
    """What results can be had as."""

    NDJSON = "ndjson"
    CSV = "csv"
    COCO = "coco"
    MOT = "mot"

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[self]

    @property
    def suffix(self) -> str:
        """Of a file of this format."""
        return {Format.COCO: "json", Format.MOT: "txt"}.get(self, self.value)


_MEDIA_TYPES = {
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv",
    Format.COCO: "application/json",
    Format.MOT: "text/plain",
}


def convert(rows: Rows, form: Format) -> AsyncIterator[bytes]:
    """A job's rows in a format.

    `csv`: a header, then a line an object: frame (from 0), media time in seconds, track, label, class, confidence,
    box x1 y1 x2 y2 in pixels of the source frame. `mot`: `frame,id,left,top,width,height,confidence,-1,-1,-1` for each
    object that has a track; frames from 1, and pixels too: the left upper one is 1, 1. `coco`: one document, see
    `_coco`. All but `ndjson` need rows that have `objects`.
    """
    if form is Format.NDJSON:
        return rows()
    if form is Format.CSV:
        return _lines(rows, _csv, head=",".join(_COLUMNS).encode() + b"\r\n")
    if form is Format.MOT:
        return _lines(rows, _mot, head=b"")
    return _coco(rows)


async def _lines(rows: Rows, of: Callable[[list[Row]], bytes], *, head: bytes) -> AsyncIterator[bytes]:
    if head:
        yield head
    async for chunk in rows():
        lines = await asyncio.to_thread(_converted, chunk, of)
        if lines:
            yield lines


def _converted(chunk: bytes, of: Callable[[list[Row]], bytes]) -> bytes:
    return of([_decode(line) for line in chunk.splitlines()])


def _csv(rows: list[Row]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    for row in rows:
        for one in _objects(row):
            track = "" if one.track_id is UNSET else one.track_id
            writer.writerow((row.frame, row.pts_s, track, one.label, one.class_id, one.confidence, *one.box))
    return text.getvalue().encode()


def _mot(rows: list[Row]) -> bytes:
    lines = []
    for row in rows:
        for one in _objects(row):
            if one.track_id is UNSET:
                continue
            left, top, width, height = _left_top_size(one)
            left, top = round(left + 1, 3), round(top + 1, 3)
            lines.append(f"{row.frame + 1},{one.track_id},{left},{top},{width},{height},{one.confidence},-1,-1,-1\n")
    return "".join(lines).encode()


async def _coco(rows: Rows) -> AsyncIterator[bytes]:
    """One COCO document: an image a frame (`id` is the frame's index from 0, `file_name` what `ffmpeg -start_number 0
    … frame_%06d.jpg` would call it), an annotation an object (`bbox` is left, top, width, height in pixels; `score` and
    `track_id` beside COCO's own), and the categories that occurred (`id` is the class index + 1).

    The rows are read twice, images first, because COCO wants them in a list of their own. Rows that came in between
    are left out of the second reading.
    """
    yield b'{"info":{"description":"vidserve"},"images":['
    frames = 0
    comma = b""
    async for chunk in rows():
        found, images = await asyncio.to_thread(_images, chunk)
        frames += found
        if images:
            yield comma + images
            comma = b","
    yield b'],"annotations":['
    annotations = _Annotations(frames)
    comma = b""
    async for chunk in rows():
        part = await asyncio.to_thread(annotations.take, chunk)
        if part:
            yield comma + part
            comma = b","
    yield b'],"categories":' + annotations.categories() + b"}\n"


def _images(chunk: bytes) -> tuple[int, bytes]:
    rows = [_decode(line) for line in chunk.splitlines()]
    images = (
        {
            "id": row.frame,
            "file_name": f"frame_{row.frame:06d}.jpg",
            "width": row.width,
            "height": row.height,
            "pts_s": row.pts_s,
        }
        for row in rows
    )
    return len(rows), b",".join(msgspec.json.encode(image) for image in images)


class _Annotations:
    def __init__(self, frames: int) -> None:
        self._left = frames
        # From 1: evaluation tools take 0 for "no match".
        self._next = 1
        self._labels: dict[int, str] = {}

    def take(self, chunk: bytes) -> bytes:
        lines = chunk.splitlines()[: self._left]
        self._left -= len(lines)
        return b",".join(self._annotation(row, one) for row in map(_decode, lines) for one in _objects(row))

    def categories(self) -> bytes:
        return json.dumps(
            [{"id": number + 1, "name": self._labels[number]} for number in sorted(self._labels)]
        ).encode()

    def _annotation(self, row: Row, one: Object) -> bytes:
        self._labels[one.class_id] = one.label
        box = _left_top_size(one)
        annotation = {
            "id": self._next,
            "image_id": row.frame,
            "category_id": one.class_id + 1,
            "bbox": box,
            "area": round(box[2] * box[3], 3),
            "iscrowd": 0,
            "score": one.confidence,
        }
        if one.track_id is not UNSET:
            annotation["track_id"] = one.track_id
        self._next += 1
        return msgspec.json.encode(annotation)


def _objects(row: Row) -> list[Object]:
    return [] if row.objects is UNSET else row.objects


def _left_top_size(one: Object) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = one.box
    # The rounding takes off what subtracting binary fractions puts on.
    return x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)
