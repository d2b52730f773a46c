"""Runs and bundles as training and export leave them, without either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from data_builders import picture, save
from evaluation_builders import onnx_brightness, onnx_brightness_file

from model_export.bundle import Bundle
from model_export.manifest import FrameInput, Manifest, Provenance, Task
from training.compose import compose
from training.configuration import read
from training.data.loading import load_data
from training.recipe import Recipe
from training.run_folder import RunFolder

NET = [
    {"particle": "conv", "channels": 4, "kernel": 3},
    {"particle": "global_pool"},
    {"particle": "linear", "channels": "outputs"},
]


def greys(root: Path, count: int = 12) -> Path:
    """Pictures in the folders `dark` and `bright`."""
    for at in range(count):
        save(root / "dark" / f"{at}.png", picture(10 + 5 * at))
        save(root / "bright" / f"{at}.png", picture(180 + 5 * at))
    return root


def recipe(data: Path, cache: Path, **more: Any) -> Recipe:
    given = {
        "name": "greys",
        "data": {
            "source": {"kind": "images", "path": data, "labels": ["dark", "bright"]},
            "input": {"width": 8, "height": 8, "channels": 1, "resize": "stretch"},
            "cache": {"folder": cache, "workers": 0},
        },
        "net": NET,
    }
    return read(Recipe, given | more)


def finished_run(folder: Path, made: Recipe) -> Path:
    """A run with the weights that its net begins with."""
    run = RunFolder(folder)
    run.begin(made)
    data = load_data(made.data, folder)
    torch.manual_seed(0)
    net = compose(made.net, made.looks_at, len(data.labels))
    weights = {f"net.{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": weights, "rows": [{"epoch": 1.0}]}, run.best)
    run.note(data.fingerprint, data.labels, None)
    return folder


def brightness_bundle(folder: Path) -> Path:
    """Tells dark from bright, and is right."""
    session = onnx_brightness(channels=3)
    manifest = Manifest(
        name="brightness",
        version=1,
        task=Task.CLASSIFY,
        family="raw",
        labels=("dark", "bright"),
        input=FrameInput(width=8, height=8, resize="stretch"),
        inputs=session.inputs,
        outputs=session.outputs,
        provenance=Provenance(tool="test"),
    )
    return Bundle.write(folder, manifest, {"model.onnx": onnx_brightness_file(channels=3)}).folder
