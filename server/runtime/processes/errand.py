"""A child process that does one thing and ends: told what on standard input, heard line by line, given so long."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

from server.core.launch import command

_LINE_BYTES = 1 << 20


class TookTooLong(Exception):
    """Its time was up, and it was killed."""


async def run(module: str, order: bytes, *, timeout_s: float, hear: Callable[[bytes], None]) -> int:
    """Run a module to its end; its exit code, or minus the signal that ended it. Cancelled, it is killed.

    Args:
        order: a line for its standard input, which stays open: its end tells the child that this process is gone.
        hear: called with each line of its standard output.

    Raises:
        TookTooLong: it was killed.
        OSError: it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *command(module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        process_group=0,  # Ctrl-C in the terminal is for the parent
        limit=_LINE_BYTES,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(timeout_s):
            process.stdin.write(order + b"\n")
            with contextlib.suppress(ConnectionError):  # it died at once; its exit code says more
                await process.stdin.drain()
            with contextlib.suppress(ValueError):  # a line without an end: no report, whatever it is
                async for line in process.stdout:
                    hear(line)
                return await process.wait()
            process.kill()
            return await process.wait()
    except TimeoutError as error:
        raise TookTooLong from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process.stdin.close()
