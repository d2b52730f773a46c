"""ZeroMQ sockets that carry our messages: a router at the busy end, dealers around it.

Messages may travel together, which costs little more than one; they are received one by one all the same. On the wire:
`[header][body][payload …]`, the body a list of (message, how many of the payload's frames are its own).

Never PUB: it drops in silence. Nothing here is thread-safe; a thread that wants to talk makes a dealer of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import zmq
import zmq.asyncio

from server.wire.errors import WireError
from server.wire.messages import PROTOCOL, AnyMessage, Header, Message

Payload = Sequence[bytes | memoryview]
Parcel = tuple[Message, Payload]
"""A message with its payload."""

_encoder = msgspec.msgpack.Encoder()
_bodies: msgspec.msgpack.Decoder[list[tuple[AnyMessage, int]]] = msgspec.msgpack.Decoder(list[tuple[AnyMessage, int]])
_headers = msgspec.msgpack.Decoder(Header)
_LINGER_MS = 500
# As plain numbers: pyzmq's flags are enums, and putting two of them together costs more than sending.
_MORE = int(zmq.SNDMORE)
_READABLE = int(zmq.POLLIN)


class Received(NamedTuple):
    """A message and who sent it. `peer` is empty on a dealer, which has one peer only."""

    peer: bytes
    header: Header
    message: AnyMessage
    payload: list[bytes]


def encode(header: bytes, parcels: Sequence[Parcel]) -> list[bytes | memoryview]:
    """The frames of messages that travel together."""
    body = _encoder.encode([(message, len(payload)) for message, payload in parcels])
    return [header, body, *(frame for _, payload in parcels for frame in payload)]


def decode(frames: list[bytes], *, peer: bytes = b"") -> list[Received]:
    """Messages from their frames.

    Raises:
        WireError: they are not ours, or of another protocol version.
    """
    try:
        header = _headers.decode(frames[0])
        if header.protocol != PROTOCOL:
            raise WireError(f"{header.sender} speaks protocol {header.protocol}, this process {PROTOCOL}.")
        received = []
        at = 2
        for message, count in _bodies.decode(frames[1]):
            received.append(Received(peer, header, message, frames[at : at + count]))
            at += count
        return received
    except (msgspec.MsgspecError, IndexError) as error:
        raise WireError(f"A message that is not one of ours: {error}.") from error


def make_header(sender: str, incarnation: int) -> bytes:
    """The first frame of all that a process sends."""
    return _encoder.encode(Header(PROTOCOL, sender, incarnation))


class Dealer:
    """One end of a talk with a router. `identity` is what the router knows it by."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, identity: str, incarnation: int) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.set(zmq.IDENTITY, identity.encode())
        _unbounded(self.socket)
        self.socket.connect(address)
        self._header = make_header(identity, incarnation)
        self._inbox: deque[Received] = deque()

    def send(self, message: Message, payload: Payload = ()) -> None:
        self.send_together([(message, payload)])

    def send_together(self, parcels: Sequence[Parcel]) -> None:
        """Send messages that travel as one."""
        _send(self.socket, encode(self._header, parcels))

    @property
    def has_mail(self) -> bool:
        """Whether a message lies here."""
        return bool(self._inbox) or _has_mail(self.socket)

    def wait(self, timeout_s: float, *descriptors: int) -> None:
        """Until a message lies here, one of the descriptors is readable, or the time is over."""
        if self.has_mail:
            return
        poller = zmq.Poller()
        for source in (self.socket, *descriptors):
            poller.register(source, zmq.POLLIN)
        poller.poll(max(0, round(timeout_s * 1000)))

    def recv(self, timeout_s: float | None = None) -> Received | None:
        """The next message; None if none came in time. Without a timeout it waits for ever."""
        if not self._inbox:
            frames = _recv(self.socket, timeout_s)
            if frames is None:
                return None
            self._inbox.extend(decode(frames))
        return self._inbox.popleft()

    def close(self) -> None:
        self.socket.close()


class Router:
    """The end that many dealers talk to."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, sender: str, incarnation: int) -> None:
        self.socket = context.socket(zmq.ROUTER)
        _listen(self.socket, address)
        self._header = make_header(sender, incarnation)
        self._inbox: deque[Received] = deque()

    def send(self, peer: bytes, message: Message, payload: Payload = ()) -> bool:
        """Send to one peer; False if it is gone."""
        return self.send_together(peer, [(message, payload)])

    def send_together(self, peer: bytes, parcels: Sequence[Parcel]) -> bool:
        """Send messages that travel as one; False if the peer is gone."""
        try:
            _send(self.socket, [peer, *encode(self._header, parcels)])
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        return True

    @property
    def has_mail(self) -> bool:
        """Whether a message lies here."""
        return bool(self._inbox) or _has_mail(self.socket)

    def recv(self, timeout_s: float | None = None) -> Received | None:
        """The next message; None if none came in time. Without a timeout it waits for ever."""
        if not self._inbox:
            frames = _recv(self.socket, timeout_s)
            if frames is None:
                return None
            self._inbox.extend(decode(frames[1:], peer=frames[0]))
        return self._inbox.popleft()

    def close(self) -> None:
        self.socket.close()


class AsyncRouter:
    """The router of the API process, on its event loop."""

    def __init__(self, context: zmq.asyncio.Context, address: str, sender: str, incarnation: int) -> None:
        self.socket = context.socket(zmq.ROUTER)
        _listen(self.socket, address)
        self._header = make_header(sender, incarnation)
        self._inbox: deque[Received] = deque()

    async def send(self, peer: bytes, message: Message, payload: Payload = ()) -> bool:
        """Send to one peer; False if it is gone."""
        try:
            await self.socket.send_multipart([peer, *encode(self._header, [(message, payload)])])
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        return True

    async def recv(self) -> Received:
        """The next message."""
        while not self._inbox:
            peer, *frames = await self.socket.recv_multipart()
            self._inbox.extend(decode(frames, peer=peer))
        return self._inbox.popleft()

    def close(self) -> None:
        self.socket.close()


def _send(socket: zmq.Socket[bytes], frames: list[bytes | memoryview]) -> None:
    for frame in frames[:-1]:
        socket.send(frame, _MORE)
    socket.send(frames[-1])


def _recv(socket: zmq.Socket[bytes], timeout_s: float | None) -> list[bytes] | None:
    """The frames of the next message; None if none came in time."""
    if timeout_s is not None and not _has_mail(socket) and not socket.poll(max(0, round(timeout_s * 1000))):
        return None
    frames: list[bytes] = []
    more = True
    while more:
        # A frame knows whether another one follows; asking the socket costs as much as receiving.
        frame = socket.recv(copy=False)
        frames.append(frame.bytes)
        more = frame.more
    return frames


def _has_mail(socket: zmq.Socket[bytes]) -> bool:
    return bool(int(socket.get(zmq.EVENTS)) & _READABLE)


def _listen(socket: zmq.Socket[Any], address: str) -> None:
    socket.set(zmq.ROUTER_MANDATORY, 1)
    # A process that came back under its old name takes the name over.
    socket.set(zmq.ROUTER_HANDOVER, 1)
    _unbounded(socket)
    socket.bind(address)


def _unbounded(socket: zmq.Socket[Any]) -> None:
    """Credits and slots bound what is under way; a socket that drops or blocks at a mark of its own would hide it."""
    socket.set(zmq.LINGER, _LINGER_MS)
    socket.set(zmq.SNDHWM, 0)
    socket.set(zmq.RCVHWM, 0)
