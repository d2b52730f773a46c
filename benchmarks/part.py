"""One part of the benchmark in a process of its own, so that nothing it loads or leaves behind reaches another: memory
that two processes share counts half for each, and the server shall not share its libraries with what measures it.

    python -m benchmarks.part NAME      (a stage as JSON on standard input; prints its rows as JSON)
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import asdict

from benchmarks.failure import NotMeasured
from benchmarks.stage import Stage
from benchmarks.table import Row

CAMERAS = {
    "cameras": "cameras.steady",
    "age": "cameras.age",
    "growth": "cameras.growth",
    "beside": "cameras.beside_jobs",
    "swap": "cameras.swapping",
    "kills": "cameras.killing",
    "outage": "cameras.outage",
}
"""Parts that need no model but the one that is shipped."""
TRAINING = {
    "export": "exported",
    "compress": "training.compressed",
    "shapes": "training.shapes",
    "mnist": "training.mnist",
    "cells": "training.cells",
    "fights": "training.fights",
    "reading": "training.reading",
}
"""Parts that need the trainer's libraries, and no model."""
GPU = {
    "gpu-answers": "gpu.answers",
    "gpu-engine": "gpu.rates",
    "gpu-state": "gpu.state",
    "gpu-server": "gpu.server",
    "gpu-training": "gpu.fitting",
}
"""Parts that need a CUDA device, and are left out unless they are named."""
PARTS = {
    "speed": "throughput",
    "cpu": "overhead",
    "inside": "inside",
    "memory": "memory",
    "flat": "flatness",
    "recurrent": "recurrent",
    "gate": "gate",
    "scrape": "scrape",
    "subscribers": "subscribers",
    "v2": "tensors",
    **CAMERAS,
    **TRAINING,
    **GPU,
}
"""The module of each; its `rows` measures."""
WITHOUT_MODEL = frozenset({*CAMERAS, *TRAINING, "gpu-training"})
USUAL = tuple(name for name in PARTS if name not in GPU)


def measured(name: str, stage: Stage) -> list[Row]:
    """A part's rows, measured in a process of its own; if it failed, a row that says so."""
    command = [sys.executable, "-m", "benchmarks.part", name]
    done = subprocess.run(command, input=stage.model_dump_json(), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        return [Row(name, "", "not measured", False, "it crashed, see above")]
    return [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    name = sys.argv[1]
    stage = Stage.model_validate_json(sys.stdin.read())
    rows: list[Row] = []
    try:
        rows.extend(importlib.import_module(f"benchmarks.{PARTS[name]}").rows(stage))
    except NotMeasured as error:
        rows.append(Row(name, "", "not measured", False, str(error)))
    print(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    main()
