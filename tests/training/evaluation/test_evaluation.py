"""A whole evaluation, and its report."""

import json
import math

import numpy as np
import pytest
from evaluation_builders import GreyClips, brightness, onnx_brightness

from training.data.frame_spec import FrameSpec
from training.evaluation.evaluation import Evaluation, evaluate
from training.evaluation.onnx_predictor import OnnxPredictor
from training.evaluation.report import as_html, as_json

GREYS = [20, 40, 60, 80, 100, 140, 160, 180, 200, 220, 110, 150]
TARGETS = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0])
"""The last two are wrong: they lie on the other side of 128."""
GROUPS = [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2]


def evaluation(predictor=None, part=None, **more) -> Evaluation:
    part = part or GreyClips(GREYS, TARGETS, GROUPS)
    asked = {"data": "greys", "labels": ("dark", "<bright>"), "groups": ("cam-a", "cam-b", "cam-c"), "latency": False}
    return evaluate(predictor or brightness(), part, names=[f"clip-{at}" for at in range(len(part))], **(asked | more))


def test_all_samples_are_asked_and_measured() -> None:
    found = evaluation()
    assert found.answers.measures()["accuracy"] == pytest.approx(10 / 12)
    assert found.names == tuple(f"clip-{at}" for at in range(12))
    low, high = found.intervals["accuracy"]
    assert low < 10 / 12 <= high


def test_the_group_that_fares_worst_comes_first() -> None:
    found = evaluation()
    assert [(row.group, row.samples, row.value) for row in found.by_group] == [
        ("cam-c", 2, 0.0),
        ("cam-a", 4, 1.0),
        ("cam-b", 6, 1.0),
    ]
    low, high = found.by_group[0].interval or (0, 0)
    assert (low, high) == pytest.approx((0.0, 0.658), abs=0.01)


def test_without_groups_there_is_no_table_of_them() -> None:
    found = evaluation(part=GreyClips(GREYS, TARGETS), groups=[str(at) for at in range(12)])
    assert found.by_group == ()
    assert found.groups == 12


def test_the_net_and_the_graph_are_measured_alike() -> None:
    graph = OnnxPredictor(onnx_brightness(), input=FrameSpec(width=8, height=8, channels=1), labels=("dark", "bright"))
    one, other = evaluation(), evaluation(graph)
    assert other.runtime.startswith("ONNX Runtime")
    assert one.answers.measures() == pytest.approx(other.answers.measures())
    assert one.by_group == other.by_group
    same = {row.condition: row.value for row in other.conditions}
    assert {row.condition: row.value for row in one.conditions if row.condition in same} == pytest.approx(same)


def test_conditions_are_tried_with_attacks_on_nets_alone() -> None:
    names = {row.condition for row in evaluation().conditions}
    assert "FGSM, 8 grey levels" in names
    assert not any("dropped" in name for name in names)
    dark = next(row for row in evaluation().conditions if "fifth" in row.condition)
    assert dark.value == pytest.approx(0.5, abs=0.01)
    assert dark.change == pytest.approx(0.5 - 10 / 12, abs=0.01)


def test_frames_of_clips_are_dropped_as_well() -> None:
    part = GreyClips(GREYS, TARGETS, GROUPS, frames=4)
    names = {row.condition for row in evaluation(brightness(4), part).conditions}
    assert "half of the frames dropped" in names


def test_latency_is_measured_when_asked_for() -> None:
    part = GreyClips(GREYS, TARGETS, GROUPS, frames=4)
    found = evaluation(brightness(4, streams=True), part, conditions=False, latency=True).latency
    assert found is not None
    assert 0 < found.median_ms <= found.p95_ms
    assert found.per_frame_ms == pytest.approx(found.median_ms / 4)


def test_the_json_says_everything_with_null_for_what_is_not_known() -> None:
    content = json.loads(as_json(evaluation(part=GreyClips([10, 200], np.array([0, 1]), [0, 0]))))
    assert content["measures"]["accuracy"] == {"value": 1.0, "low": None, "high": None}
    assert content["confusion"] == [[1, 0], [0, 1]]
    assert content["labels"][0]["label"] == "dark"
    assert {"model", "runtime", "data", "by_group", "conditions", "latency", "calibration"} <= set(content)


def test_the_page_is_one_file_with_its_pictures_inside() -> None:
    page = as_html(evaluation())
    assert page.count("data:image/png;base64,") == 3
    assert "http" not in page
    assert "&lt;bright&gt;" in page
    assert "<bright>" not in page
    for words in ("By label", "By group", "cam-c", "Under worse conditions", "Surest mistakes", "clip-11"):
        assert words in page


def test_labels_at_once_have_a_report_too() -> None:
    targets = np.stack([TARGETS == 0, TARGETS == 1], axis=1).astype(np.float32)
    found = evaluation(brightness(kind="multi_label"), GreyClips(GREYS, targets, GROUPS))
    assert found.answers.headline == "f1"
    assert "Surest mistakes" not in as_html(found)
    assert json.loads(as_json(found))["confusion"] is None


def test_numbers_have_a_report_too() -> None:
    targets = np.array(GREYS, np.float32)[:, None] * 0.05 - 128 * 0.05
    both = np.concatenate([-targets, targets], axis=1)
    found = evaluation(brightness(kind="numbers"), GreyClips(GREYS, both, GROUPS))
    assert found.answers.measures()["rmse"] == pytest.approx(0.0, abs=1e-5)
    content = json.loads(as_json(found))
    assert content["labels"][0]["rmse"] == pytest.approx(0.0, abs=1e-5)
    assert math.isclose(content["measures"]["r2"]["value"], 1.0, abs_tol=1e-6)
    assert "what was said" not in as_html(found).split("<img")[0]
    assert as_html(found).count("data:image/png;base64,") == 1
