"""Small data sets that are made on the spot, and recipes for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from shades import SIZE, Shades

from training.batch import TargetKind
from training.configuration import read
from training.fit import Outcome, fit
from training.recipe import Recipe

NET: list[Any] = [
    {"particle": "conv", "channels": 4, "stride": 2, "norm": "batch", "activation": "relu"},
    "flatten",
    {"particle": "dropout", "share": 0.2},
    {"particle": "linear", "channels": "outputs"},
]
STILL_NET: list[Any] = ["flatten", NET[-1]]
"""One whose answers stay the same where its weights do."""
CLIP_NET: list[Any] = ["global_pool", {"particle": "gru", "hidden": 4}, "time_pool", NET[-1]]


@dataclass(frozen=True)
class MadeData:
    """A data set of shades."""

    train: Shades
    validation: Shades
    labels: tuple[str, ...] = ("dark", "light")
    test: Shades | None = None
    fingerprint: str = "a" * 64
    workers: int = 0

    @property
    def kind(self) -> TargetKind:
        return self.train.kind


def shades(count: int = 48, **changes: Any) -> MadeData:
    """48 to train with and 16 to validate with."""
    labels = ("how light",) if changes.get("kind") == "numbers" else tuple(map(str, range(changes.get("classes", 2))))
    plain = {key: value for key, value in changes.items() if key in ("frames", "classes", "kind")}
    return MadeData(Shades(count, augmented=True, **changes), Shades(16, first=1000, **plain), labels)


def a_recipe(*, frames: int = 1, **changes: Any) -> Recipe:
    """A recipe of two epochs; what it says of data is not looked at, but for the size of frames."""
    given: dict[str, Any] = {
        "name": "shades",
        "data": {
            "source": {"kind": "idx", "path": "made-on-the-spot"},
            "input": {"width": SIZE, "height": SIZE, "channels": 1, "frames": frames},
        },
        "net": NET if frames == 1 else CLIP_NET,
        **changes,
    }
    given["fit"] = {
        "epochs": 2,
        "batch": 16,
        "optimiser": {"rate": 0.01, "kind": "adam"},
        "device": "cpu",
    } | changes.get("fit", {})
    return read(Recipe, given)


def trained(folder: Path, data: MadeData | None = None, *, resume: bool = False, **changes: Any) -> Outcome:
    """What comes of a recipe with these changes."""
    return fit(a_recipe(**changes), folder, lambda recipe, folder: data or shades(), resume=resume)


def state_of(checkpoint: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return found


def same_weights(first: Path, second: Path) -> bool:
    """Whether two checkpoints hold the same numbers, bit for bit."""
    one, other = state_of(first), state_of(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
