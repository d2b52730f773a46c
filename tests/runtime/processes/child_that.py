"""A child process for tests: does what its configuration says."""

import sys
import time

import msgspec
import zmq

from server.core.child import Life
from server.wire.messages import Heartbeat, Stop, WorkerReady
from server.wire.sockets import Dealer


class Orders(msgspec.Struct):
    api: str
    incarnation: int
    does: str


def main() -> None:
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    if orders.does == "crashes":
        sys.exit(3)
    life = Life()
    if orders.does == "starts slowly":
        time.sleep(3)
    api = Dealer(zmq.Context(), orders.api, "child", orders.incarnation)
    api.send(WorkerReady(0))
    if orders.does == "falls silent":
        time.sleep(60)
    while not life.over.is_set():
        api.send(Heartbeat())
        received = api.recv(0.05)
        if received is not None and isinstance(received.message, Stop) and orders.does != "will not stop":
            break
    api.close()


if __name__ == "__main__":
    main()
