"""Searches over the data of `fit_builders`, with latencies that follow from the net, so that they come out the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from fit_builders import SIZE, MadeData, shades

from training.batch import DataSet
from training.net import Net
from training.recipe import Recipe
from training.search.searching import Found, search_for
from training.search.space import Search, read_search

RATE = {"range": [0.001, 0.1], "log": True}
HEAD = ["flatten", {"particle": "linear", "channels": "outputs"}]


def tree(**changes: Any) -> dict[str, Any]:
    """A search of nets with and without a hidden layer, and of rates."""
    return {
        "data": {
            "source": {"kind": "idx", "path": "made-on-the-spot"},
            "input": {"width": SIZE, "height": SIZE, "channels": 1},
        },
        "net": [
            {"choose": {"none": [], "conv": [{"particle": "conv", "channels": {"choose": [2, 4]}, "stride": 2}]}},
            *HEAD,
        ],
        "fit": {"epochs": 9, "batch": 16, "optimiser": {"kind": "adam", "rate": RATE}, "device": "cpu"},
        "search": {"trials": 3, "epochs": 1, "random": 100, "pruner": None} | changes.pop("search", {}),
        **changes,
    }


def a_search(folder: Path, *changes: str, **more: Any) -> Search:
    """As it is read from a file."""
    file = folder / "greys.yaml"
    file.write_text(yaml.safe_dump(tree(**more), sort_keys=False))
    return read_search(file, changes)


def cost(net: Net, recipe: Recipe, data: DataSet) -> float:
    """In the place of a latency."""
    return sum(weight.numel() for weight in net.parameters()) / 1000


def searched(search: Search, folder: Path, data: MadeData | None = None, **more: Any) -> Found:
    """What comes of it, without a picture, which would take longer than all the rest."""
    quick: dict[str, Any] = {"latency": cost, "draw": lambda *drawn: None}
    return search_for(search, folder, lambda config: data or shades(), **quick | more)
