"""What an answer of a net costs, once it is exported."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path

import numpy as np
import onnxruntime

from model_export.session import Session
from model_export.torch_export import as_onnx
from training.batch import DataSet
from training.evaluation.latency import measure_latency
from training.evaluation.onnx_predictor import OnnxPredictor
from training.export.bundling import as_served
from training.net import Net
from training.recipe import Recipe


def latency_ms(net: Net, recipe: Recipe, data: DataSet, *, seconds: float = 1.0) -> float:
    """Milliseconds for one answer in ONNX Runtime, on one core, of the graph that would be exported; the median.

    An answer is about a frame where the net goes frame by frame, else about a picture or a whole window, since so much
    is computed for it. Weights do not matter, so the net need not have learnt anything.

    Args:
        seconds: that are measured.

    Raises:
        ExportRefused: the net cannot be exported.
    """
    served, draft = as_served(net, recipe, data.labels, data.kind)
    frames = data.validation.batch([0], 0).frames.numpy()
    coloured = np.repeat(frames, 3, axis=-1) if frames.shape[-1] == 1 else frames
    content = as_onnx(served, draft, coloured[:, 0] if net.frames is None else coloured)
    predictor = OnnxPredictor(
        Session(content, name="the net"),
        input=recipe.data.input,
        labels=data.labels,
        kind=data.kind,
        state=draft.state,
    )
    measured = measure_latency(predictor, coloured, seconds=seconds)
    return measured.median_ms if measured.per_frame_ms is None else measured.per_frame_ms


def fingerprint(recipe: Recipe, outputs: int) -> str:
    """Of all that a latency depends on: the net, what it looks at, the machine."""
    whole = [recipe.net, recipe.data.input.model_dump(mode="json"), outputs, machine()]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def machine() -> str:
    """What it is measured on."""
    return f"{_processor()}, {os.cpu_count()} cores, ONNX Runtime {onnxruntime.__version__}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
