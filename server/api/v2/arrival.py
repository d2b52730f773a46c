"""A request's body, read and unpacked within bounds."""

from __future__ import annotations

import asyncio
import zlib

from fastapi import Request

from server.api.multipart import content_length
from server.api.ports import Arrival
from server.core.errors import BodyInvalid, ContentTypeUnsupported, RequestTimeout, UploadTooLarge

_ARRIVE_S = 60.0
_UNPACK_BYTES = 8 * 1024 * 1024
_FED_BYTES = 16 * 1024
_MOST_MEMBERS = 10_000
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


async def read_body(request: Request, arrival: Arrival, *, limit: int) -> bytes | bytearray:
    """The body, unpacked where it is packed.

    Args:
        arrival: counts its bytes.
        limit: bytes that it may have, unpacked too.

    Raises:
        UploadTooLarge: it has more.
        TooManyRequests: all that arrive have too many.
        RequestTimeout: it does not arrive.
        ContentTypeUnsupported: it is packed in an unknown way.
        BodyInvalid: it cannot be unpacked.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in _WINDOWS and encoding not in ("identity", ""):
        raise ContentTypeUnsupported(f"A body packed as {encoding} is not read.", hint="Pack it with gzip or deflate.")
    try:
        async with asyncio.timeout(_ARRIVE_S):
            body = await _arrived(request, arrival, limit)
    except TimeoutError as error:
        raise RequestTimeout(f"The request did not arrive within {_ARRIVE_S:.0f} s.") from error
    return await _unpacked(body, _WINDOWS[encoding], arrival, limit) if encoding in _WINDOWS else body


async def _arrived(request: Request, arrival: Arrival, limit: int) -> bytes:
    _check(arrival, content_length(request) or 0, limit)
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        _check(arrival, size, limit)
        chunks.append(chunk)
    if size <= _UNPACK_BYTES:
        return b"".join(chunks)
    return await asyncio.to_thread(b"".join, chunks)


async def _unpacked(packed: bytes, window: int, arrival: Arrival, limit: int) -> bytearray:
    unpacking = Unpacking(packed, window)
    body = bytearray()
    # Piece by piece: what claims to be small may be a bomb.
    while piece := await asyncio.to_thread(unpacking.piece):
        body += piece
        _check(arrival, len(packed) + len(body), limit + len(packed))
    return body


class Unpacking:
    """What is packed, piece by piece. Of gzip several members may stand one after the other (RFC 1952)."""

    def __init__(self, packed: bytes, window: int) -> None:
        self._rest = memoryview(packed)
        self._window = window
        self._stream = zlib.decompressobj(window)
        self._members = 1

    def piece(self) -> bytearray:
        """The next bytes, so many that there is room for; empty: that was all.

        Raises:
            BodyInvalid: it cannot be unpacked.
        """
        found = bytearray()
        while len(found) < _UNPACK_BYTES and not (self._stream.eof and not self._next_member()):
            # A little at a time, because what a stream does not take of it is copied.
            given = self._rest[:_FED_BYTES]
            try:
                got = self._stream.decompress(given, _UNPACK_BYTES - len(found))
            except zlib.error as error:
                raise BodyInvalid(f"The body cannot be unpacked: {error}.") from error
            left = len(self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail)
            self._rest = self._rest[len(given) - left :]
            if not got and not self._stream.eof and left == len(given):
                raise BodyInvalid("The packed body ends too early.", hint="Send it again; it was cut off on the way.")
            found += got
        return found

    def _next_member(self) -> bool:
        if not self._rest or self._window == zlib.MAX_WBITS:
            return False
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise BodyInvalid(f"The body is packed in more than {_MOST_MEMBERS} parts.", hint="Pack it as a whole.")
        self._stream = zlib.decompressobj(self._window)
        return True


def _check(arrival: Arrival, size: int, limit: int) -> None:
    if size > limit:
        raise UploadTooLarge(
            f"The request is larger than {limit} bytes.",
            hint="Send fewer rows at once, or set v2.request_bytes higher.",
        )
    arrival.grow(size)
