"""A real RTSP server with many cameras: GStreamer's, in a child process."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cameras.material import Material

_PYTHON = "/usr/bin/python3"
_CHILD = Path(__file__).with_name("rtsp_child.py")
_NEEDED = "gi.require_version('GstRtspServer', '1.0'); gi.require_version('GstRtsp', '1.0')"
_ENOUGH_S = 10


@cache
def missing() -> str:
    """Why there can be no RTSP server here; empty if there can be one."""
    script = f"import gi; {_NEEDED}; from gi.repository import Gst, GstRtspServer; Gst.init(None); "
    script += "import sys; sys.exit(Gst.ElementFactory.find('rtph264pay') is None)"
    try:
        done = subprocess.run([_PYTHON, "-c", script], capture_output=True, text=True)
    except OSError as error:
        return f"{_PYTHON}: {error.strerror}"
    return f"no GStreamer RTSP server here (make test-deps): {done.stderr[-200:]}" if done.returncode else ""


@dataclass(frozen=True)
class Credentials:
    """Of the mount points that are secret; `digest`, or else basic."""

    username: str
    password: str
    digest: bool = False


class RtspServer:
    """Cameras at `rtsp://127.0.0.1:PORT/NAME`, by tcp and udp.

    Args:
        shows: what each camera shows, by name.
        port: 0 takes a free one. It stays the same when the server is stopped and started.
        once: names of those that end when all was shown; it begins when somebody looks. The others begin anew for ever.
        secret: names of those that ask for `credentials`.
    """

    def __init__(
        self,
        shows: Mapping[str, Material],
        *,
        port: int = 0,
        once: frozenset[str] | set[str] = frozenset(),
        secret: frozenset[str] | set[str] = frozenset(),
        credentials: Credentials | None = None,
    ) -> None:
        assert not secret or credentials
        self._shows = dict(shows)
        self._once = once
        self._secret = secret
        self._credentials = credentials or Credentials("", "")
        self._folder = tempfile.TemporaryDirectory(prefix="vidserve-cameras-")
        self._log = Path(self._folder.name) / "sent"
        self._log.touch()
        self._epoch = time.time()
        self._child: subprocess.Popen[str] | None = None
        self._changes = 0
        self.port = port

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def url(self, name: str) -> str:
        """Without credentials."""
        return f"rtsp://127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        """Listen, also again after `stop`: what was shown goes on as if it had never been away."""
        wish = {
            "address": "127.0.0.1",
            "port": self.port,
            "epoch": self._epoch,
            "log": str(self._log),
            "digest": self._credentials.digest,
            "username": self._credentials.username,
            "password": self._credentials.password,
            "mounts": [self._mount(name) for name in self._shows],
        }
        self._child = subprocess.Popen([_PYTHON, _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout is not None
        self._tell(wish)
        port = self._child.stdout.readline()
        if not port:
            raise RuntimeError(f"the RTSP server ended with {self._child.wait()} before it listened")
        self.port = int(port)

    def stop(self) -> None:
        """End it as a camera does whose plug is pulled: connections break."""
        if self._child is None:
            return
        self._child.kill()
        self._child.communicate(timeout=_ENOUGH_S)
        self._child = None

    def drop(self) -> None:
        """Close all connections; who comes again is served."""
        self._tell({})

    def change(self, name: str, material: Material) -> None:
        """Show something else from now on, perhaps in another codec; all connections are closed, as cameras do."""
        self._shows[name] = material
        self._tell({"mount": self._mount(name)})

    def sent(self, name: str) -> dict[int, float]:
        """Unix seconds at which each picture was sent so far; pictures are counted from the start of the server, also
        while nobody looked, and of a loop on and on.
        """
        lines = (line.split() for line in self._log.read_text().splitlines())
        return {int(line[1]): float(line[2]) for line in lines if len(line) == 3 and line[0] == name}

    def _mount(self, name: str) -> dict[str, Any]:
        material = self._shows[name]
        self._changes += 1
        file = Path(self._folder.name) / f"{self._changes}.units"
        file.write_bytes(b"".join(unit.data for unit in material.units))
        start, units = 0, []
        for unit in material.units:
            units.append((start, len(unit.data), unit.dts_s, unit.pts_s, unit.key))
            start += len(unit.data)
        return {
            "name": name,
            "codec": material.codec,
            "size_wh": material.size_wh,
            "duration_s": material.duration_s,
            "file": str(file),
            "units": units,
            "loop": name not in self._once,
            "secret": name in self._secret,
        }

    def _tell(self, message: dict[str, Any]) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(message) + "\n")
        self._child.stdin.flush()
