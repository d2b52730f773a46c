"""A file that a client sends in a form: to the disk while it arrives, and nothing left of it if anything goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from server.api.multipart import OVERHEAD, Form, content_length
from server.core.errors import FieldProblem, FieldsInvalid
from server.storage.uploads import VIDEO_HINT, Uploads, UploadWriter


@asynccontextmanager
async def arriving(
    request: Request, uploads: Uploads, *, limit: int, hint: str = VIDEO_HINT
) -> AsyncIterator[UploadWriter]:
    """Where the file of a request's form goes.

    Whatever ends it early, a client that goes away among them, leaves nothing on the disk.

    Args:
        limit: bytes that the file may have. hint: what to do where it has more.

    Raises:
        UploadTooLarge: more bytes are announced; what is not announced is found while writing.
        StorageFull: the disk does not hold them.
    """
    length = content_length(request)
    expected = None if length is None else max(0, length - OVERHEAD)
    writer = await asyncio.to_thread(uploads.open, limit=limit, expected=expected, hint=hint)
    try:
        yield writer
    except BaseException:
        writer.abort()
        raise


def check_file(form: Form, writer: UploadWriter, *, what: str, example: str) -> str:
    """See that a form had a file, and something in it; what it calls the file.

    Raises:
        FieldsInvalid: it had not.
    """
    if form.file_name is None:
        raise FieldsInvalid(FieldProblem("file", "it is missing."), hint=f"curl sends it with -F file=@{example}.")
    if writer.size == 0:
        raise FieldsInvalid(FieldProblem("file", "it is empty."), hint=f"Send the {what}'s bytes.")
    return form.file_name
