"""How fast: the server, with one video and with four at once, against the ceiling, a plain loop and the rival.

The measurements of a round follow each other closely, round after round, so that a change of the machine's speed meets
all of them; ratios are of medians. Server and rival analyse every frame with tracking on. The server's seconds run from
the POST to `done`, upload included; the rival's from the start of its pipeline, imports and model excluded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import median

import onnxruntime as ort

from benchmarks import ceiling
from benchmarks.failure import NotMeasured
from benchmarks.footage import fitted
from benchmarks.plain import plain
from benchmarks.rival import Rival
from benchmarks.serving import serving
from benchmarks.stage import MODEL, Stage
from benchmarks.table import Row, at_least, spread, told

AT_ONCE = 4


def rows(stage: Stage) -> Iterator[Row]:
    assert stage.original is not None
    rival = Rival(stage.cache, stage.original) if stage.with_rival else None
    model, frames = stage.bundle.model, fitted(stage.video, stage.bundle.manifest)
    sessions, threads = ceiling.best(model, frames)
    several = [stage.video] * AT_ONCE
    tunings = {n: rival.tuned([stage.video] * n) for n in (1, AT_ONCE)} if rival else {}
    versions = {"onnxruntime": ort.__version__}
    figures: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(stage.runs):
        figures["ceiling"].append(ceiling.run(model, frames, sessions, threads).fps)
        figures["plain"].append(plain(stage.original, stage.video, ceiling.cores()))
        with serving(stage.data) as server:
            figures["ready"].append(server.ready_s)
            ours = server.tuning()
            server.run(several, {"model": MODEL})  # the first job of a worker imports the tracker
            figures["one"].append(server.run([stage.video], {"model": MODEL}).fps)
            figures["four"].append(server.run(several, {"model": MODEL}).fps)
        for videos in tunings:
            assert rival is not None
            ran = rival.run([stage.video] * videos, tunings[videos])
            if ran.frames != [len(frames)] * videos:
                raise NotMeasured(f"the rival saw {ran.frames} frames of {len(frames)} each")
            figures[f"rival {videos}"].append(ran.fps)
            versions = ran.versions
    middle = {name: median(values) for name, values in figures.items()}
    fps = {name: spread(values, "frames/s") for name, values in figures.items()}
    yield told("ceiling", fps["ceiling"], f"{sessions} sessions × {threads} threads, ONNX Runtime {ort.__version__}")
    yield at_least("one POST against the ceiling", middle["one"] / middle["ceiling"], 0.85, f"{fps['one']}, {ours}")
    yield at_least("four at once against the ceiling", middle["four"] / middle["ceiling"], 0.85, fps["four"])
    yield told("plain loop", fps["plain"])
    yield told("… one POST against it", f"{middle['one'] / middle['plain']:.2f}×")
    bounds = {1: ("one video", "one", 1.6), AT_ONCE: ("four videos", "four", 1.9)}
    for videos, (what, name, bound) in bounds.items():
        if videos not in tunings:
            yield Row(f"{what} against InferencePipeline", f"≥ {bound:g}×", "not measured", None)
            continue
        ratio = middle[name] / middle[f"rival {videos}"]
        note = f"it: {fps[f'rival {videos}']}, {tunings[videos]}"
        yield at_least(f"{what} against InferencePipeline", ratio, bound, note, unit="×")
    if tunings:
        yield told("… its versions", "", ", ".join(f"{package} {number}" for package, number in versions.items()))
    yield told("from `vidserve serve` to ready", spread(figures["ready"], "s"))
