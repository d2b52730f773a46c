"""Tensors over /v2, asked by Triton's client, beside ONNX Runtime alone in the same minute.

The clients have their share of the machine's cores; so has whoever runs a model without a server, but no HTTP to speak.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.ceiling import cores
from benchmarks.plain import open_session
from benchmarks.serving import Server, import_raw, serving
from benchmarks.stage import Stage
from benchmarks.table import Row, told
from benchmarks.tensor_clients import Asked, measure

SMALL, LARGE = "small-net", "yolox-raw"
_WIDTH, _SECONDS = 256, 4.0


def rows(stage: Stage) -> Iterator[Row]:
    assert stage.original is not None
    small = _small_net(stage.data / f"{SMALL}.onnx")
    for name, model in ((SMALL, small), (LARGE, stage.original)):
        import_raw(stage.data, model, name)
    with serving(stage.data, engine__models=f"{SMALL},{LARGE},yolox-nano") as server:
        yield from _model(server, Asked(SMALL, "x", "float32", (1, _WIDTH)), small)
        yield from _model(server, Asked(LARGE, "images", "float32", (1, 3, 416, 416)), stage.original)
        yield from _model(server, Asked("yolox-nano", "frames", "uint8", (1, 416, 416, 3)), stage.bundle.model)


def _model(server: Server, asked: Asked, model: Path) -> Iterator[Row]:
    """One client, as many as keep the engine busy, and no server at all."""
    alone = _bare(model, asked, cores())
    yield told(f"{asked.model}: ONNX Runtime alone, {cores()} sessions", _rate(alone), _latency(alone))
    measure(server.port, asked, 1, 0.5)
    for clients in (1, 8):
        before = server.cpu()
        trips = measure(server.port, asked, clients, _SECONDS)
        spent = {name: (after - before.get(name, 0.0)) / len(trips) * 1e3 for name, after in server.cpu().items()}
        cost = ", ".join(f"{name} {spent[name]:.2f}" for name in ("API", "engine"))
        share = f"{len(trips) / len(alone):.2f} of that"
        note = f"{_latency(trips)}; {share}; {cost} ms of processor time a request"
        yield told(f"… over /v2, {clients} client{'s' if clients > 1 else ''}", _rate(trips), note)


def _bare(model: Path, asked: Asked, sessions: int) -> list[float]:
    """Seconds of each run, of so many sessions with a thread each."""
    trips: list[float] = []
    until = time.perf_counter() + _SECONDS

    def run() -> None:
        session = open_session(model, 1, spinning=False)
        inputs = {asked.input: asked.values()}
        while (start := time.perf_counter()) < until:
            session.run(None, inputs)
            trips.append(time.perf_counter() - start)

    crew = [Thread(target=run) for _ in range(sessions)]
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    return trips


def _rate(trips: list[float]) -> str:
    return f"{len(trips) / _SECONDS:.0f}/s"


def _latency(trips: list[float]) -> str:
    p95 = statistics.quantiles(trips, n=20)[-1] if len(trips) > 1 else trips[0]
    return f"p50 {statistics.median(trips) * 1e3:.2f} ms, p95 {p95 * 1e3:.2f} ms"


def _small_net(to: Path) -> Path:
    """Four dense layers of 256, x [rows, 256] to y: a run takes as long as a message or two."""
    random = np.random.default_rng(0)
    nodes, weights, before = [], [], "x"
    for layer in range(4):
        weights.append(
            numpy_helper.from_array(random.normal(0, 0.06, (_WIDTH, _WIDTH)).astype(np.float32), f"w{layer}")
        )
        nodes += [
            helper.make_node("MatMul", [before, f"w{layer}"], [f"m{layer}"]),
            helper.make_node("Relu", [f"m{layer}"], [f"r{layer}" if layer < 3 else "y"]),
        ]
        before = f"r{layer}"
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", _WIDTH]) for name in "xy")
    graph = helper.make_graph(nodes, "small", [x], [y], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), to)
    return to
