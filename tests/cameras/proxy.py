"""What lies between a camera and the server: a network that holds bytes back, stalls, or breaks."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from types import TracebackType
from typing import Self

_CHUNK = 65536
_TURN_S = 0.02


class Proxy:
    """Passes TCP connections on to a port of this machine (RTSP over tcp, HTTP).

    Attributes:
        port: to connect to.
        delay_s: for how long it holds back each byte that comes from the camera; may be changed at any time.
    """

    def __init__(self, target: int) -> None:
        self.delay_s = 0.0
        self._target = target
        self._flowing = threading.Event()
        self._flowing.set()
        self._open: set[socket.socket] = set()
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def stall(self) -> None:
        """Let nothing through from the camera, and keep connections open; it is kept for later."""
        self._flowing.clear()

    def flow(self) -> None:
        """Let through what was stalled."""
        self._flowing.set()

    def cut(self) -> None:
        """Break all connections; new ones are accepted."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over.is_set():
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as camera:
            self._open |= {client, camera}
            back = threading.Thread(target=self._late, args=(camera, client), daemon=True)
            back.start()
            try:
                while data := client.recv(_CHUNK):
                    camera.sendall(data)
            finally:
                for one in (client, camera):
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)
                back.join()
                self._open -= {client, camera}

    def _late(self, camera: socket.socket, client: socket.socket) -> None:
        """What the camera says reaches the client when its time has come."""
        held: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

        def take() -> None:
            data = b"?"
            while data:
                try:
                    data = camera.recv(_CHUNK)
                except OSError:
                    data = b""
                held.put((time.monotonic(), data))

        taker = threading.Thread(target=take, daemon=True)
        taker.start()
        with contextlib.suppress(OSError):
            while True:
                came, data = held.get()
                while not self._over.is_set() and (
                    not self._flowing.is_set() or time.monotonic() < came + self.delay_s
                ):
                    time.sleep(_TURN_S)
                if not data:
                    break
                client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        taker.join()
