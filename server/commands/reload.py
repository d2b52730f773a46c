"""SIGHUP: the settings are read again, and the streams that they declare are as they say from then on.

A terminal that is closed sends the same signal; a server that had one then ends, as any program does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable

from model_export.errors import VidserveError
from server.core.settings import Settings
from server.runtime import Runtime

_log = logging.getLogger(__name__)

ReadSettings = Callable[[], Settings]
"""Reads the settings from where they were read before; raises SettingsInvalid."""


class Reload:
    """Use as an async context manager, before the server starts: until `runtime` is set, the signal does nothing.

    Args:
        read: None: the settings are not to be read again.
    """

    def __init__(self, read: ReadSettings | None) -> None:
        self.runtime: Runtime | None = None
        self._read = read
        self._due = asyncio.Event()
        self._in_terminal = _in_terminal()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Reload:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._due.set)
        self._task = asyncio.create_task(self._follow(), name="reload")
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            if self._in_terminal and not _in_terminal():
                _log.info("the terminal was closed")
                signal.raise_signal(signal.SIGTERM)
                return
            if self._read is None or self.runtime is None:
                _log.warning("SIGHUP: there is nothing to be read again now")
                continue
            try:
                await self.runtime.reload(await asyncio.to_thread(self._read))
            except VidserveError as error:
                _log.error("SIGHUP: everything stays as it was. %s", error)
            except Exception:  # the edge of a task: the next signal must be heard
                _log.exception("SIGHUP: reading the settings again failed")
            else:
                _log.info("SIGHUP: the streams are as the settings say")


def _in_terminal() -> bool:
    """Whether there is a terminal that this process belongs to."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY))
    except OSError:
        return False
    return True
