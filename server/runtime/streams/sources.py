"""Which sources streams may open, as far as that can be said without opening them.

| source                         | allowed                                          | else the code is         |
| ------------------------------ | ------------------------------------------------ | ------------------------ |
| `rtsp(s):`, `http(s):`         | by address, below                                | `address_refused`        |
| `file:///…`                    | in one of `[sources] folders`                    | `source_file_refused`    |
| `/dev/video0`, `/dev/v4l/by-…` | unless `[sources] allow_devices` is false        | `source_device_refused`  |
| anything else                  | never                                            | `source_scheme_refused`  |

Private addresses are allowed unless `[sources] allow_private` is false, those of this machine as `[sources]
allow_loopback` says, link-local and metadata addresses never. Here numbers are looked at; what a name leads to is
looked at by the worker, at each connection.
"""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import SplitResult, unquote

from server.core.addresses import AddressPolicy
from server.core.authority import NO_PLACE, UrlUnreadable, split
from server.core.errors import (
    SourceDeviceRefused,
    SourceFileRefused,
    SourceSchemeRefused,
    SourceUrlInvalid,
)
from server.core.log import redacted
from server.core.loopback import is_loopback
from server.core.settings import Settings
from server.core.web_urls import web_url
from server.domain.stream import KeptStream, StreamSource, Transport

WEB = ("http", "https")
NETWORK = ("rtsp", "rtsps", *WEB)
_DEVICE = re.compile(r"/dev/(video[0-9]{1,3}|v4l/by-(id|path)/[\w:.+-]+)")
_IPV4 = re.compile(r"[0-9a-fx.]+", re.IGNORECASE)
_SOURCES = "Use rtsp://, http://, https://, file:///… or a device such as /dev/video0."


class Separated(NamedTuple):
    """A URL without its credentials, and those."""

    url: str
    username: str | None
    password: str | None


def separated(url: str) -> Separated:
    """Take the credentials out of a URL.

    Raises:
        SourceUrlInvalid: it cannot be read.
    """
    parts = _split(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return Separated(parts._replace(fragment="").geturl(), None, None)
    username, _, password = userinfo.partition(":")
    bare = parts._replace(netloc=host, fragment="").geturl()
    return Separated(bare, unquote(username) or None, unquote(password) or None)


def shown(url: str) -> str:
    """A URL as anybody may see it: what looks like a secret in its query is masked."""
    return redacted(url)


def title(url: str) -> str:
    """What a stream is called where nobody says it: its host, its file, its device."""
    parts = _split(url)
    return (parts.hostname or unquote(parts.path).rstrip("/").rpartition("/")[2] or "stream")[:128]


@dataclass(frozen=True)
class SourcePolicy:
    """What the settings allow.

    Attributes:
        folders: whose files may be played.
        open_s, read_s: how long opening and each read may take, in seconds.
    """

    private: bool = True
    loopback: bool = True
    devices: bool = True
    folders: tuple[Path, ...] = ()
    open_s: float = 10.0
    read_s: float = 10.0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        sources = settings.sources
        loopback = sources.allow_loopback
        return cls(
            private=sources.allow_private,
            loopback=is_loopback(settings.host) if loopback is None else loopback,
            devices=sources.allow_devices,
            folders=sources.folders,
            open_s=sources.open_s,
            read_s=sources.read_s,
        )

    def source(self, stream: KeptStream) -> StreamSource:
        """What a worker needs to open a stream's source. It looks at the disk where that is a file.

        Raises:
            SourceNotAllowed: it must not be opened.
        """
        return self.source_of(
            stream.url,
            stream.username,
            None if stream.password is None else stream.password.get_secret_value(),
            transport=stream.transport,
            loop=stream.loop,
        )

    def source_of(
        self, url: str, username: str | None, password: str | None, *, transport: Transport, loop: bool = False
    ) -> StreamSource:
        """The same for a source that is no stream's; the URL has no credentials."""
        return StreamSource(
            url=self._allowed(url, credentials=username is not None or password is not None),
            username=username or "",
            password=password or "",
            transport=transport,
            open_s=self.open_s,
            read_s=self.read_s,
            loop=loop,
            private=self.private,
            loopback=self.loopback,
        )

    def _allowed(self, url: str, *, credentials: bool) -> str:
        """The URL as it is opened; of a file where that really lies."""
        parts = _split(url)
        if parts.scheme in NETWORK:
            self._check_address(_host(parts))
            return url
        if credentials:
            raise SourceUrlInvalid("Files and devices ask for no credentials.", hint="Leave them out.")
        if parts.scheme == "file":
            return f"file://{self._file(parts)}"
        if not parts.scheme and url.startswith("/dev/"):
            self._check_device(url)
            return url
        what = f"{parts.scheme}: URLs" if parts.scheme else "texts without a scheme"
        raise SourceSchemeRefused(f"Streams do not open {what}.", hint=_SOURCES)

    def _check_address(self, host: str) -> None:
        name = host.rstrip(".").lower()
        local = name == "localhost" or name.endswith(".localhost")
        address = "127.0.0.1" if local else _address(name)
        if address is not None:
            AddressPolicy(self.private, self.loopback).check(host, address)

    def _check_device(self, path: str) -> None:
        if not _DEVICE.fullmatch(path):
            raise SourceDeviceRefused(
                f"{path} is no video device.", hint="Name one such as /dev/video0, or /dev/v4l/by-id/…."
            )
        if not self.devices:
            raise SourceDeviceRefused(
                f"Streams may not open devices such as {path}.", hint="Set `[sources] allow_devices = true`."
            )

    def _file(self, parts: SplitResult) -> Path:
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise SourceUrlInvalid("The URL of a file has no host and a whole path.", hint="Write file:///PATH.")
        path = Path(unquote(parts.path))
        # Who may not play a file is not told whether it is there.
        with contextlib.suppress(OSError, ValueError):
            path = path.resolve()
        for folder in self.folders:
            with contextlib.suppress(OSError):
                if path.is_relative_to(folder.resolve()):
                    if path.is_file():
                        return path
                    raise SourceFileRefused(f"There is no file {path}.", hint="Check its name.")
        allowed = ", ".join(str(folder) for folder in self.folders) or "none"
        raise SourceFileRefused(
            f"{path} is in no folder whose files streams may play ({allowed}).",
            hint="Put the folder into `[sources] folders`.",
        )


def _split(url: str) -> SplitResult:
    try:
        parts = split(url)
        if parts.port == 0:
            raise UrlUnreadable(NO_PLACE)
        if parts.scheme in WEB:
            web_url(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
    except UrlUnreadable as error:
        raise SourceUrlInvalid(str(error), hint=error.hint or _SOURCES) from None
    except ValueError:  # its words show parts of the URL
        raise SourceUrlInvalid(NO_PLACE, hint=_SOURCES) from None
    return parts


def _host(parts: SplitResult) -> str:
    if not parts.hostname:
        raise SourceUrlInvalid("The URL names no host.", hint=f"Write {parts.scheme}://HOST/PATH.")
    return parts.hostname


def _address(host: str) -> str | None:
    """The address that a host is in numbers, also in the old ways to write one (`127.1`); None where it is a name."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    if _IPV4.fullmatch(host):
        with contextlib.suppress(OSError):
            return socket.inet_ntoa(socket.inet_aton(host))
    return None
