"""The administrator's key: who has it may call everything.

On loopback anybody may call until a key is set. Bound to anything else the server wants one, and makes it where nobody
has set one.
"""

from __future__ import annotations

import logging
import os
import secrets
import tempfile
from pathlib import Path

from server.core.configuration import SettingsInvalid
from server.core.loopback import is_loopback
from server.core.settings import KEY_PATTERN, Settings

_log = logging.getLogger(__name__)

_FILE = "admin.key"
_BYTES = 32


def key_file(data: Path) -> Path:
    """Where a key that the server made lies in its data folder."""
    return data / _FILE


def wanted_key(settings: Settings) -> str | None:
    """The key that a server with these settings wants of its callers, made if need be; None: it wants none.

    Raises:
        SettingsInvalid: the file in the data folder cannot be read or made, or holds no key.
    """
    if settings.admin_key is not None:
        return settings.admin_key.get_secret_value()
    if is_loopback(settings.host):
        return None
    file = key_file(settings.data)
    try:
        return _kept(file) if file.exists() else _made(file)
    except OSError as error:
        raise SettingsInvalid(
            f"The key of this server in {file} cannot be read or made: {error.strerror}.",
            hint="Give the folder to the user that the server runs as, or set admin_key_file.",
        ) from error


def known_key(settings: Settings) -> str | None:
    """The key with which a command calls a server of these settings: the one that is set, else the one that it made."""
    if settings.admin_key is not None:
        return settings.admin_key.get_secret_value()
    file = key_file(settings.data)
    return _read(file) if os.access(file, os.R_OK) else None


def _kept(file: Path) -> str:
    if file.stat().st_mode & 0o077:
        _log.warning("others could read %s; that is mended now, but only a new key is a secret again: delete it", file)
        file.chmod(0o600)
    return _read(file)


def _made(file: Path) -> str:
    key = secrets.token_urlsafe(_BYTES)
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(descriptor, "w") as begun:
        begun.write(f"{key}\n")
    Path(name).replace(file)
    _log.info("callers need the key that was made in %s", file)
    return key


def _read(file: Path) -> str:
    key = file.read_text(encoding="utf-8", errors="replace").strip()
    if not KEY_PATTERN.fullmatch(key):
        raise SettingsInvalid(f"{file} holds no key.", hint="Delete it; the server makes a new one when it starts.")
    return key
