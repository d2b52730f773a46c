"""What the engine costs a frame besides the model: a graph that does next to nothing, asked by one worker.

    python benchmarks/engine_overhead.py [--frames 5000] [--streams 8] [--side 416] [--sessions 2]

Prints, per frame in microseconds: processor time of the engine process, wall time with eight frames of each stream in
flight, and the median and 99th percentile from asking to the answer with one frame in flight at all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import onnx
import zmq
from onnx import TensorProto, helper, numpy_helper

from model_export.bundle import Bundle
from model_export.manifest import FrameInput, Manifest, Provenance, Task, TensorSpec
from server.core.log import LogConfig
from server.core.machine import cores
from server.core.metrics_page import Page
from server.engine.config import EngineConfig
from server.engine.running import Running
from server.engine.tuning.order import Tuning
from server.wire.memory import PREFIX, SharedFile
from server.wire.messages import EngineReady, Infer, InferDone, LoadModel, ModelFailed, ModelLoaded, Priority, Stop
from server.wire.slots import Segment, SizeClass, Slots
from server.wire.sockets import Dealer, Router

IN_FLIGHT = 8


def small_model(folder: Path, side: int) -> Bundle:
    """`probabilities` [B, 3] are the first pixel's channels."""
    nodes = [
        helper.make_node("Slice", ["frames", "start", "end", "axes"], ["pixel"]),
        helper.make_node("Reshape", ["pixel", "flat"], ["channels"]),
        helper.make_node("Cast", ["channels"], ["probabilities"], to=TensorProto.FLOAT),
    ]
    constants = {"start": [0, 0], "end": [1, 1], "axes": [1, 2], "flat": [-1, 3]}
    graph = helper.make_graph(
        nodes,
        "first_pixel",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["B", side, side, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["B", 3])],
        [numpy_helper.from_array(np.array(values, np.int64), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    manifest = Manifest(
        name="first-pixel",
        version=1,
        task=Task.CLASSIFY,
        family="raw",
        input=FrameInput(width=side, height=side),
        inputs=(TensorSpec(name="frames", dtype="uint8", shape=(None, side, side, 3)),),
        outputs=(TensorSpec(name="probabilities", dtype="float32", shape=(None, 3)),),
        provenance=Provenance(tool="benchmarks/engine_overhead.py"),
    )
    return Bundle.write(
        folder / "first-pixel" / "1", manifest, {"model.onnx": onnx.ModelProto.SerializeToString(model)}
    )


def hear(api: Router, kind: type) -> object:
    while True:
        received = api.recv(30)
        if received is None or isinstance(received.message, ModelFailed):
            raise SystemExit(f"the engine said {received}")
        if isinstance(received.message, kind):
            return received.message


def flood(dealer: Dealer, slots: Slots, side: int, streams: int, frames: int) -> Counter[int]:
    """Every stream keeps its frames in flight; batches that frames were in, by size."""
    asked: dict[tuple[str, int], object] = {}
    seqs = dict.fromkeys((f"s{n}" for n in range(streams)), 0)
    sizes: Counter[int] = Counter()
    left = frames

    def ask(stream: str) -> None:
        taken = slots.take((side, side, 3))
        assert taken is not None
        seqs[stream] += 1
        asked[stream, seqs[stream]] = taken[0]
        dealer.send(Infer(stream, seqs[stream], "first-pixel@1", taken[0], Priority.JOB))

    for stream in seqs:
        for _ in range(IN_FLIGHT):
            ask(stream)
    while asked:
        received = dealer.recv(10)
        assert received is not None
        assert isinstance(received.message, InferDone)
        done = received.message
        assert done.error is None, done
        slots.give(asked.pop((done.stream, done.seq)))  # type: ignore[arg-type]
        sizes[done.batch] += 1
        left -= 1
        if left >= len(asked) + 1:
            ask(done.stream)
    return sizes


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the engine with a model that does next to nothing.")
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--side", type=int, default=416)
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--max-batch", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = small_model(folder, options.side)
        page = SharedFile.create(f"{PREFIX}bench.{os.getpid()}.page", Page.bytes_for(1))
        slot = -(-options.side * options.side * 3 // 4096) * 4096
        segment = Segment.create(f"{PREFIX}bench.{os.getpid()}", [SizeClass(slot, options.streams * IN_FLIGHT + 8)])
        slots = Slots(segment)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        api = Router(context, f"ipc://{folder}/api", "api", 1)
        config = EngineConfig(
            address=f"ipc://{folder}/engine",
            api=f"ipc://{folder}/api",
            incarnation=1,
            running=Running(
                provider="cpu",
                require_provider=False,
                sessions=options.sessions,
                threads=1,
                max_batch=options.max_batch,
                max_delay_s=None,
                cores=cores(),
            ),
            tuning=Tuning(after_s=None),
            page=page.name,
            page_writers=1,
            writer=0,
            log=LogConfig(process="engine"),
        )
        engine = subprocess.Popen([sys.executable, "-m", "server.engine.process"], stdin=subprocess.PIPE)
        assert engine.stdin is not None
        engine.stdin.write(msgspec.json.encode(config) + b"\n")
        engine.stdin.flush()
        hear(api, EngineReady)
        api.send(b"engine", LoadModel(bundle.manifest.id, str(bundle.folder), 0))
        print(hear(api, ModelLoaded))
        dealer = Dealer(context, config.address, "worker", 1)
        flood(dealer, slots, options.side, options.streams, 500)
        spent, start = cpu_seconds(engine.pid), time.perf_counter()
        sizes = flood(dealer, slots, options.side, options.streams, options.frames)
        wall, spent = time.perf_counter() - start, cpu_seconds(engine.pid) - spent
        print(f"processor time {spent / options.frames * 1e6:6.0f} µs a frame")
        print(f"wall time      {wall / options.frames * 1e6:6.0f} µs a frame, batches {dict(sorted(sizes.items()))}")
        trips = []
        for seq in range(min(options.frames, 2000)):
            taken = slots.take((options.side, options.side, 3))
            assert taken is not None
            start = time.perf_counter()
            dealer.send(Infer("alone", seq, "first-pixel@1", taken[0], Priority.JOB))
            dealer.recv()
            trips.append(time.perf_counter() - start)
            slots.give(taken[0])
        print(f"one in flight  {np.median(trips) * 1e6:6.0f} µs median, {np.percentile(trips, 99) * 1e6:.0f} µs p99")
        api.send(b"engine", Stop())
        engine.wait(10)
        dealer.close()
        api.close()
        segment.close()
        page.close()


if __name__ == "__main__":
    main()
