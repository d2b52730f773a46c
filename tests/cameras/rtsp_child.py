"""GStreamer's RTSP server, fed with encoded pictures at their time. Run by the system's own Python, which has `gi`.

Standard input: a line of JSON, what `tests.cameras.rtsp` wishes, then commands, a line each; its end ends the
server. Standard output: the port. Pictures follow the clock of the machine: a loop goes on while nobody looks, as a
camera does, and after the server was started again.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

_ENCODED = {
    "h264": ("video/x-h264,stream-format=byte-stream,alignment=au", "rtph264pay config-interval=-1"),
    "h265": ("video/x-h265,stream-format=byte-stream,alignment=au", "rtph265pay config-interval=-1"),
    "jpeg": ("image/jpeg,width={width},height={height},framerate=0/1", "rtpjpegpay"),
}


class Show:
    """What a mount point shows, and when."""

    def __init__(self, mount: dict[str, Any], epoch: float, log: Any) -> None:
        self.name = mount["name"]
        self.loop = mount["loop"]
        self.duration_s = mount["duration_s"]
        caps, payer = _ENCODED[mount["codec"]]
        caps = caps.format(width=mount["size_wh"][0], height=mount["size_wh"][1])
        source = f"appsrc name=source is-live=true format=time max-bytes=0 caps={caps}"
        self.pipeline = f"( {source} ! {payer} name=pay0 pt=96 )"
        with open(mount["file"], "rb") as file:
            whole = file.read()
        self.units = [(whole[start : start + size], *rest) for start, size, *rest in mount["units"]]
        self._epoch = epoch
        self._log = log

    def feed(self, source: Any, over: threading.Event) -> None:
        """Push each picture when its time has come, from the next key picture on."""
        epoch = self._epoch if self.loop else time.time()
        number = self._next_key(time.time() - epoch) if self.loop else 0
        offset_s: float | None = None
        while self.loop or number < len(self.units):
            turn, index = divmod(number, len(self.units))
            data, dts_s, pts_s, _ = self.units[index]
            due = epoch + turn * self.duration_s + dts_s
            if over.wait(max(0.0, due - time.time())):
                return
            if offset_s is None:
                now = source.get_current_running_time()
                running_s = 0.0 if now == Gst.CLOCK_TIME_NONE else now / Gst.SECOND
                offset_s = running_s - (turn * self.duration_s + dts_s)
            buffer = Gst.Buffer.new_wrapped(data)
            buffer.dts = round((turn * self.duration_s + dts_s + offset_s) * Gst.SECOND)
            buffer.pts = round((turn * self.duration_s + pts_s + offset_s) * Gst.SECOND)
            self._log.write(f"{self.name} {number} {time.time():.6f}\n")
            if source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
                return
            number += 1
        source.emit("end-of-stream")

    def _next_key(self, passed_s: float) -> int:
        turn, rest_s = divmod(passed_s, self.duration_s)
        later = [i for i, (_, dts_s, _, key) in enumerate(self.units) if key and dts_s >= rest_s]
        return int(turn) * len(self.units) + (later[0] if later else len(self.units))


class Factory(GstRtspServer.RTSPMediaFactory):  # type: ignore[misc]
    """Makes a pipeline for each client: a shared one refuses who comes while it is being taken down."""

    def __init__(self, show: Show) -> None:
        super().__init__()
        self._show = show
        self.set_shared(False)
        self.set_protocols(GstRtsp.RTSPLowerTrans.TCP | GstRtsp.RTSPLowerTrans.UDP)
        self.connect("media-configure", self._configure)

    def do_create_element(self, url: Any) -> Any:
        return Gst.parse_launch(self._show.pipeline)

    def _configure(self, factory: Any, media: Any) -> None:
        over = threading.Event()
        source = media.get_element().get_by_name("source")
        media.connect("unprepared", lambda media: over.set())
        threading.Thread(target=self._show.feed, args=(source, over), daemon=True).start()


class Server:
    def __init__(self, wish: dict[str, Any]) -> None:
        self._epoch = wish["epoch"]
        self._log = open(wish["log"], "a", buffering=1)  # noqa: SIM115 - as long as the process lives
        self._server = GstRtspServer.RTSPServer()
        self._server.set_address(wish["address"])
        self._server.set_service(str(wish["port"]))
        # A thread for each client: who waits for a first picture keeps nobody else waiting.
        self._server.get_thread_pool().set_max_threads(-1)
        self._keys = self._authorised(wish)
        for mount in wish["mounts"]:
            self.mount(mount)
        if self._server.attach(None) == 0:
            raise SystemExit(f"port {wish['port']} cannot be listened at")
        self.port = self._server.get_bound_port()

    def mount(self, mount: dict[str, Any]) -> None:
        factory = Factory(Show(mount, self._epoch, self._log))
        if self._keys:
            factory.add_role_from_structure(_role("guest", not mount["secret"]))
            factory.add_role_from_structure(_role("owner", True))
        self._server.get_mount_points().add_factory(f"/{mount['name']}", factory)

    def drop(self) -> None:
        """Close the connections of all clients."""
        self._server.client_filter(lambda server, client: GstRtspServer.RTSPFilterResult.REMOVE)

    def obey(self, line: str) -> None:
        command = json.loads(line)
        if "mount" in command:
            self.mount(command["mount"])
        self.drop()

    def _authorised(self, wish: dict[str, Any]) -> bool:
        """Ask for name and password where a mount point is secret."""
        if not any(mount["secret"] for mount in wish["mounts"]):
            return False
        auth = GstRtspServer.RTSPAuth()
        guest, owner = (_token(role) for role in ("guest", "owner"))
        auth.set_default_token(guest)
        if wish["digest"]:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(wish["username"], wish["password"], owner)
        else:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(wish["username"], wish["password"]), owner)
        self._server.set_auth(auth)
        return True


def _role(name: str, may: bool) -> Any:
    allowed = str(may).lower()
    role, _ = Gst.Structure.from_string(
        # Without `access` the answer would be 404 and not 401.
        f"{name}, media.factory.access=(boolean)true, media.factory.construct=(boolean){allowed}"
    )
    return role


def _token(role: str) -> Any:
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", role)
    return token


def main() -> None:
    Gst.init(None)
    server = Server(json.loads(sys.stdin.readline()))
    loop = GLib.MainLoop()

    def listen() -> None:
        for line in sys.stdin:
            GLib.idle_add(server.obey, line)
        loop.quit()

    threading.Thread(target=listen, daemon=True).start()
    print(server.port, flush=True)
    loop.run()


if __name__ == "__main__":
    main()
