"""The bare hop: a frame into a shared-memory slot, its reference to another process, an answer back.

    python benchmarks/hop.py [--frames 5000]

Prints the median and 99th percentile of the whole trip in microseconds, for the reference alone and for a frame of
416×416 that is copied into its slot, touched by the other side and answered with 28 KB of outputs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import zmq

from server.wire.messages import Infer, InferDone, Priority, TensorMeta
from server.wire.slots import Segment, Segments, SizeClass, Slots
from server.wire.sockets import Dealer, Router

SHAPE = (416, 416, 3)
OUTPUTS = (TensorMeta("boxes", "float32", (1000, 4)), TensorMeta("scores", "float32", (1000,)))


def answer(address: str) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = Router(context, address, "engine", 1)
    segments = Segments()
    payload = [bytes(16_000), bytes(4_000), bytes(8_000)]
    while True:
        received = router.recv()
        if received is None or not isinstance(received.message, Infer):
            return
        message = received.message
        if message.model == "touch":
            segments.array(message.frame).sum(dtype=np.uint64)
            router.send(received.peer, InferDone(message.stream, message.seq, OUTPUTS), payload)
        else:
            router.send(received.peer, InferDone(message.stream, message.seq))


def measure(dealer: Dealer, slots: Slots, model: str, frames: int) -> list[float]:
    frame = np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)
    times = []
    for seq in range(frames):
        start = time.perf_counter()
        taken = slots.take(SHAPE)
        assert taken is not None
        ref, array = taken
        if model == "touch":
            array[:] = frame
        dealer.send(Infer("s", seq, model, ref, Priority.JOB))
        dealer.recv()
        slots.give(ref)
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the bare hop between two processes.")
    parser.add_argument("--frames", type=int, default=5000)
    frames = parser.parse_args().frames
    with tempfile.TemporaryDirectory() as folder:
        address = f"ipc://{Path(folder)}/hop"
        child = multiprocessing.get_context("spawn").Process(target=answer, args=(address,), daemon=True)
        child.start()
        segment = Segment.create(f"vidserve.hop.{os.getpid()}", [SizeClass(640 * 1024, 8)])
        dealer = Dealer(zmq.Context(), address, "worker", 1)
        slots = Slots(segment)
        measure(dealer, slots, "touch", 200)
        for name, model in (("reference only", "bare"), ("416×416 copied in, read, 28 KB back", "touch")):
            times = np.array(measure(dealer, slots, model, frames)) * 1e6
            print(f"{name:40} median {np.median(times):6.0f} µs   p99 {np.percentile(times, 99):6.0f} µs")
        dealer.send(InferDone("s", 0))
        child.join(2)
        child.kill()
        segment.close()


if __name__ == "__main__":
    main()
