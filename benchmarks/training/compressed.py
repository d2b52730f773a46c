"""Variants of a model in 8 bits and half precision: what they lose, and how much faster they are on this machine.

The nets are small, and a small net need not gain: why not is measured too, node by node.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime as ort
import torch

from benchmarks.stage import Stage
from benchmarks.table import Row, at_most, spread, told
from benchmarks.training.trained import train
from model_export.bundle import Bundle
from model_export.check import frames
from model_export.compress import Compression, Score, Tried
from model_export.draft import Draft
from model_export.manifest import FrameInput, Precision, Provenance, Task
from model_export.repository import Repository
from model_export.session import Session
from model_export.states import first_rows
from model_export.timing import in_turns
from model_export.torch_export import export
from training.border import InputConfig
from training.compose import compose
from training.export.bundling import FrameByFrame, Variants, carried, export_run

FASTER, LOST = 1.3, 1.0
BOTH = (Precision.INT8, Precision.FP16)
SHAPES = ("data.source.count=1500", "fit.epochs=8")
SIDE, WINDOW, LABELS = 112, 16, 5
WIDE = [
    {"particle": "conv", "channels": 32, "stride": 2, "norm": "batch", "activation": "relu"},
    {"particle": "residual", "channels": 64, "stride": 2},
    {"particle": "residual", "channels": 128, "stride": 2},
    {"particle": "residual", "channels": 256, "stride": 2},
    "global_pool",
    {"particle": "gru", "hidden": 64},
    "time_pool",
    {"particle": "linear", "channels": "outputs"},
]
"""A net that has work enough for 8 bits to be less of it."""
_RUNS = 200
_GROUPS = {
    "Conv": "convolutions",
    "FusedConv": "convolutions",
    "QLinearConv": "convolutions",
    "QuantizeLinear": "rounding",
    "DequantizeLinear": "rounding",
}


def rows(stage: Stage) -> Iterator[Row]:
    run = stage.run or _short_run(stage)
    tried: list[Tried] = []
    variants = Variants(wanted=BOTH, most_lost=100, tried=tried.extend)
    bundle = export_run(run, Repository(stage.data / "compressed"), variants=variants)
    yield from _rows(stage, bundle, {row.precision: row for row in tried}, run.name)
    yield from _rows(stage, _noise(stage), {}, f"a residual clip net of {SIDE} × {SIDE}, weights of noise")


def _short_run(stage: Stage) -> Path:
    """The moving shapes as the part `shapes` has trained them, else trained for a shorter time."""
    there = stage.cache / "runs" / "moving-shapes"
    if (there / "best.ckpt").is_file():
        return there
    return train(stage, "moving-shapes", *SHAPES, name="shapes-short").folder


def _rows(stage: Stage, bundle: Bundle, tried: dict[Precision, Tried], what: str) -> Iterator[Row]:
    own = _one(bundle)
    for precision in BOTH:
        if precision.value not in bundle.manifest.variants:
            yield told(f"{precision} of {what}", "not there", tried[precision].why if precision in tried else "")
            continue
        variant = bundle.as_variant(precision)
        plain, other = in_turns([own, _one(variant)], 2.0 * stage.runs)
        gain = median(slow / quick for slow, quick in zip(plain, other, strict=True))
        note = f"{spread(plain, 'ms', digits=3)} → {spread(other, 'ms', digits=3)}, a frame on one thread"
        name = f"{precision} of {what}"
        if precision is Precision.INT8:
            # A net whose convolutions are a small part of it cannot gain; the row below says whether that is so.
            yield Row(name, f"≥ {FASTER:g}×, or why not", f"{gain:.2f}×", True if gain >= FASTER else None, note)
            yield told("… where the time goes", *_where(bundle, variant))
        else:
            yield told(name, f"{gain:.2f}×", note)
        if precision in tried:
            row = tried[precision]
            assert row.score is not None
            worth = f"{row.score.metric} {row.score.value:.4f}, {row.size / tried[Precision.FP32].size:.0%} of the size"
            yield at_most("… what it loses on the validation data", row.lost, LOST, worth, unit=" points")


def _noise(stage: Stage) -> Bundle:
    """A larger net without training: how fast it is does not depend on its weights."""
    torch.manual_seed(0)
    net = compose(WIDE, InputConfig(height=SIDE, width=SIDE, frames=WINDOW), LABELS).eval()
    clips = frames(FrameInput(width=SIDE, height=SIDE), 2, WINDOW)
    draft = Draft(
        name="wide",
        task=Task.CLASSIFY,
        input=FrameInput(width=SIDE, height=SIDE),
        labels=tuple(f"label_{number}" for number in range(LABELS)),
        logits=True,
        state=carried(net),
        provenance=Provenance(tool="benchmarks"),
    )
    compression = Compression(wanted=BOTH, calibration=clips, judge=lambda session: Score("none", 1.0), timed_s=0)
    return export(FrameByFrame(net), draft, clips, Repository(stage.data / "compressed"), compression=compression)


def _one(bundle: Bundle) -> Callable[[], object]:
    """A run of one frame or clip."""
    session, inputs = Session(bundle.model, name=bundle.manifest.id), _inputs(bundle)
    return lambda: session.run(inputs)


def _inputs(bundle: Bundle) -> dict[str, np.ndarray]:
    manifest = bundle.manifest
    assert manifest.input is not None
    pictures = frames(manifest.input, 1, manifest.window)
    return {manifest.input.name: pictures} | first_rows(manifest.state, 1)


def _where(own: Bundle, variant: Bundle) -> tuple[str, str]:
    """Microseconds of each kind of node before and after, and what the processor has for 8 bits."""
    before, after = _profiles(own, variant)
    kinds = ("convolutions", "rounding", "else")
    got = ", ".join(f"{kind} {before[kind]:.0f} → {after[kind]:.0f} µs" for kind in kinds)
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    vnni = "with VNNI" if "vnni" in flags else "without VNNI: 8 bits take three instructions where it takes one"
    return got, f"the quickest of {_RUNS} runs of each node, with what profiling costs; a processor {vnni}"


def _profiles(*bundles: Bundle) -> list[dict[str, float]]:
    """Microseconds of a run by kind of node, of each bundle, in turns: the quickest of each node, added up."""
    with tempfile.TemporaryDirectory(prefix="vidserve-profile-") as folder:
        sessions = []
        for number, bundle in enumerate(bundles):
            options = ort.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.enable_profiling, options.profile_file_prefix = True, f"{folder}/{number}"
            session = ort.InferenceSession(str(bundle.model), options, providers=["CPUExecutionProvider"])
            sessions.append((session, _inputs(bundle)))
        for _ in range(_RUNS):
            for session, inputs in sessions:
                session.run(None, inputs)
        return [_by_kind(Path(session.end_profiling())) for session, _ in sessions]


def _by_kind(profile: Path) -> dict[str, float]:
    quickest: dict[tuple[str, str], float] = {}
    for event in json.loads(profile.read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            node = event["args"]["op_name"], event["name"]
            quickest[node] = min(event["dur"], quickest.get(node, event["dur"]))
    sums: defaultdict[str, float] = defaultdict(float)
    for (op, _), taken in quickest.items():
        sums[_GROUPS.get(op, "else")] += taken
    return sums
