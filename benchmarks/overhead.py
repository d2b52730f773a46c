"""What the server costs beside decoding and ONNX Runtime: processor time of all its processes, a frame.

Two ways, which alternate. Both take from the processor time of the whole server, from the POST to `done` with tracking
on, what decoding alone costs (`grab` and `retrieve` of the same decoder in one thread) and what bare runs of the graph
cost (as many sessions as the server has, on frames that lie ready).

by heart   the model is one that looks the real one's answers up (benchmarks/answers.py): messages and rows are the
           same, and there is no ONNX Runtime to speak of. This is judged, as it repeats to a few hundredths of a ms.
real       the difference of two figures ten times as large. On top of it is what the model's runs cost more because
           decoding takes from their cache; it tells whether the first way leaves anything out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import median

import cv2

from benchmarks import ceiling
from benchmarks.answers import by_heart
from benchmarks.footage import decoding_cpu_s, fitted
from benchmarks.serving import Done, serving
from benchmarks.stage import MODEL, Stage
from benchmarks.table import Row, at_most, spread, told

BY_HEART = "by-heart"
BOUND_MS = 0.8


def rows(stage: Stage) -> Iterator[Row]:
    cv2.setNumThreads(1)  # as in a worker
    frames = fitted(stage.video, stage.bundle.manifest)
    double = by_heart(stage.bundle, frames, stage.data / "models", BY_HEART)
    graphs = {BY_HEART: double.model, MODEL: stage.bundle.model}
    beside: defaultdict[str, list[float]] = defaultdict(list)
    shares: defaultdict[str, list[float]] = defaultdict(list)
    with serving(stage.data, engine__models=f"{MODEL},{BY_HEART}") as server:
        for name in graphs:
            server.run([stage.video] * 4, {"model": name})
        for _ in range(stage.runs):
            for name, graph in graphs.items():
                done = server.run([stage.video], {"model": name})
                decoding_ms = decoding_cpu_s(stage.video) * 1e3
                bare_ms = ceiling.run(graph, frames, ceiling.cores(), 1).cpu_s * 1e3
                spent = _by_process(done)
                beside[name].append(sum(spent.values()) - decoding_ms - bare_ms)
                if name == BY_HEART:
                    shares["decoding alone"].append(decoding_ms)
                    shares["workers beside it"].append(spent["workers"] - decoding_ms)
                    shares["engine beside runs"].append(spent["engine"] - bare_ms)
                    shares["API process"].append(spent["rest"])
    note = ", ".join(f"{name} {median(values):.2f}" for name, values in shares.items())
    got = median(beside[BY_HEART])
    yield at_most("processor time beside decoding and ONNX Runtime", got, BOUND_MS, note, unit=" ms/frame")
    yield told("… as it repeats", spread(beside[BY_HEART], "ms/frame", digits=2))
    yield told("… with the real model, by difference", spread(beside[MODEL], "ms/frame", digits=2))


def _by_process(done: Done) -> dict[str, float]:
    """Milliseconds a frame of the engine, of all workers, and of the rest."""
    spent = {"engine": 0.0, "workers": 0.0, "rest": 0.0}
    for name, seconds in done.cpu.items():
        kind = name if name == "engine" else "workers" if name.startswith("worker") else "rest"
        spent[kind] += seconds / done.frames * 1e3
    return spent
