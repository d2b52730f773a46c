"""That the graph is the exported one is seen by what it is asked; how long it takes is not looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fit_builders import CLIP_NET, NET, a_recipe, shades

from training.compose import compose
from training.evaluation.latency import Latency
from training.evaluation.onnx_predictor import OnnxPredictor
from training.search import latency
from training.search.latency import fingerprint, latency_ms

FRAMES = 4
WINDOW = [CLIP_NET[0], {"particle": "temporal_conv", "channels": 4, "causal": False}, "time_pool", CLIP_NET[-1]]


@pytest.mark.parametrize(
    ("net", "frames", "kind", "per_frame"),
    [
        (["flatten", NET[-1]], 1, "class", False),
        (CLIP_NET, FRAMES, "class", True),
        (WINDOW, FRAMES, "numbers", False),
    ],
)
def test_an_answer_is_of_a_frame_where_the_net_goes_so_and_else_of_all_it_looks_at(
    monkeypatch: pytest.MonkeyPatch, net: list[Any], frames: int, kind: Any, per_frame: bool
) -> None:
    asked: list[tuple[OnnxPredictor, np.ndarray, float]] = []

    def measure(predictor: OnnxPredictor, clip: np.ndarray, *, seconds: float) -> Latency:
        asked.append((predictor, clip, seconds))
        return Latency("", 1, median_ms=8.0, p95_ms=9.0, per_frame_ms=2.0 if predictor.streams else None)

    monkeypatch.setattr(latency, "measure_latency", measure)
    recipe, data = a_recipe(frames=frames, net=net), shades(frames=frames, kind=kind)
    made = compose(recipe.net, recipe.looks_at, len(data.labels)).eval()

    assert latency_ms(made, recipe, data, seconds=0.5) == (2.0 if per_frame else 8.0)

    ((predictor, clip, seconds),) = asked
    assert (predictor.streams, seconds) == (per_frame, 0.5)
    assert clip.shape == (1, frames, 8, 8, 3)
    expected = made(data.validation.batch([0], 0).frames).detach()
    expected = expected if kind == "numbers" else expected.softmax(-1)
    np.testing.assert_allclose(predictor.predict(clip), expected.numpy(), atol=1e-4)


def test_nets_that_differ_in_nothing_that_costs_time_are_measured_once() -> None:
    one = fingerprint(a_recipe(), 2)
    assert fingerprint(a_recipe(fit={"epochs": 9}, seed=4), 2) == one
    others = [fingerprint(a_recipe(net=["flatten", NET[-1]]), 2), fingerprint(a_recipe(), 3)]
    others.append(fingerprint(a_recipe(frames=4, net=NET), 2))
    assert len({one, *others}) == 4
