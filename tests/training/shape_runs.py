"""Recipes of tiny nets for moving shapes, one of each kind of model that a run becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.configuration import read
from training.recipe import Recipe

FRAMES, SIDE = 5, 16
TRUNK: list[Any] = [
    {"particle": "conv", "channels": 6, "stride": 2, "norm": "batch", "activation": "relu"},
    {"particle": "conv", "channels": 8, "activation": "relu"},
    "global_pool",
]
HEAD: list[Any] = [{"particle": "time_pool", "kind": "last"}, {"particle": "linear", "channels": "outputs"}]
NETS: dict[str, list[Any]] = {
    "gru": [*TRUNK, {"particle": "gru", "hidden": 6}, *HEAD],
    "window": [*TRUNK, {"particle": "temporal_conv", "channels": 6, "causal": False}, *HEAD],
    "picture": [*TRUNK, {"particle": "linear", "channels": "outputs"}],
}


def recipe(kind: str, cache: Path) -> Recipe:
    frames = 1 if kind == "picture" else FRAMES
    given: dict[str, Any] = {
        "name": f"shapes-{kind}",
        "data": {
            "source": {"kind": "shapes", "count": 40, "frames": 8, "size": SIDE},
            "input": {
                "width": SIDE,
                "height": SIDE,
                "channels": 1,
                "frames": frames,
                "fps": 10 if frames > 1 else None,
            },
            "cache": {"folder": str(cache), "workers": 0},
        },
        "net": NETS[kind],
        "fit": {"epochs": 1, "batch": 16, "device": "cpu"},
        "seed": 3,
    }
    return read(Recipe, given)
