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
    stream = zlib.decompressobj(window)
    body = bytearray()
    rest = packed
    while not stream.eof:
        try:
            # Piece by piece: what claims to be small may be a bomb.
            piece = await asyncio.to_thread(stream.decompress, rest, _UNPACK_BYTES)
        except zlib.error as error:
            raise BodyInvalid(f"The body cannot be unpacked: {error}.") from error
        if not piece and not stream.unconsumed_tail and not stream.eof:
            raise BodyInvalid("The packed body ends too early.", hint="Send it again; it was cut off on the way.")
        body += piece
        rest = stream.unconsumed_tail
        _check(arrival, len(packed) + len(body), limit + len(packed))
    return body


def _check(arrival: Arrival, size: int, limit: int) -> None:
    if size > limit:
        raise UploadTooLarge(
            f"The request is larger than {limit} bytes.",
            hint="Send fewer rows at once, or set v2.request_bytes higher.",
        )
    arrival.grow(size)
