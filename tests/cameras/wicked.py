"""What listens where a camera should be, and is none."""

from __future__ import annotations

import contextlib
import random
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """The port of one that accepts connections and says nothing."""
    over = threading.Event()

    def say_nothing(connection: socket.socket) -> None:
        over.wait()

    with _listening(say_nothing) as port:
        try:
            yield port
        finally:
            over.set()


@contextlib.contextmanager
def garbage(*, seed: int = 1) -> Iterator[int]:
    """The port of one that answers with random bytes for as long as they are taken, always the same."""

    def talk(connection: socket.socket) -> None:
        noise = random.Random(seed)
        while True:
            connection.sendall(noise.randbytes(4096))

    with _listening(talk) as port:
        yield port


@contextlib.contextmanager
def rude() -> Iterator[int]:
    """The port of one that closes every connection at once."""
    with _listening(lambda connection: None) as port:
        yield port


@contextlib.contextmanager
def talking_nonsense() -> Iterator[int]:
    """The port of one that speaks RTSP, and describes a stream that cannot be."""
    body = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 NO-SUCH-CODEC/0\r\n"

    def answer(connection: socket.socket) -> None:
        while request := connection.recv(4096):
            number = next((line for line in request.decode().splitlines() if line.startswith("CSeq")), "CSeq: 1")
            head = f"RTSP/1.0 200 OK\r\n{number}\r\nPublic: DESCRIBE\r\nContent-Type: application/sdp\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())

    with _listening(answer) as port:
        yield port


@contextlib.contextmanager
def playing_nothing(*, delay_s: float = 0.0) -> Iterator[int]:
    """The port of one that speaks RTSP, says that it plays, and sends no picture.

    Args:
        delay_s: that it takes for each answer.
    """
    body = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n"
    heads = {
        "OPTIONS": "Public: DESCRIBE, SETUP, PLAY\r\n",
        "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n",
        "SETUP": "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n",
    }

    def answer(connection: socket.socket) -> None:
        while request := connection.recv(4096):
            method, *lines = request.decode().splitlines()
            number = next((line for line in lines if line.startswith("CSeq")), "CSeq: 1")
            kind = method.partition(" ")[0]
            time.sleep(delay_s)
            head = f"RTSP/1.0 200 OK\r\n{number}\r\n{heads.get(kind, '')}\r\n"
            connection.sendall((head + (body if kind == "DESCRIBE" else "")).encode())

    with _listening(answer) as port:
        yield port


@contextlib.contextmanager
def redirecting(to: str) -> Iterator[int]:
    """The port of one that speaks RTSP, and sends whoever comes to another URL."""

    def answer(connection: socket.socket) -> None:
        while request := connection.recv(4096):
            number = next((line for line in request.decode().splitlines() if line.startswith("CSeq")), "CSeq: 1")
            connection.sendall(f"RTSP/1.0 302 Found\r\n{number}\r\nLocation: {to}\r\n\r\n".encode())

    with _listening(answer) as port:
        yield port


@contextlib.contextmanager
def visited() -> Iterator[tuple[int, list[bytes]]]:
    """The port of one that answers nothing, and what those say who come."""
    said: list[bytes] = []
    with _listening(lambda connection: said.append(connection.recv(4096))) as port:
        yield port, said


@contextlib.contextmanager
def encrypted(certificate: str) -> Iterator[tuple[int, list[tuple[str | None, bytes]]]]:
    """The port of one that speaks TLS and closes every connection, and what those who came asked for: the name that
    they wanted to talk to, and their first words.

    Args:
        certificate: path of a PEM with certificate and key.
    """
    came: list[tuple[str | None, bytes]] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    names: dict[ssl.SSLObject | ssl.SSLSocket, str | None] = {}
    context.sni_callback = lambda talk, name, _: names.__setitem__(talk, name)

    def hear(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as talk:
            came.append((names.get(talk), talk.recv(4096)))

    with _listening(hear) as port:
        yield port, came


@contextlib.contextmanager
def _listening(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                talk(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
