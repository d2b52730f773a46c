from pathlib import Path

import numpy as np
import onnx
import pytest
from model_builders import model
from onnx import helper

from model_export.bundle import Bundle
from model_export.check import check_bundle, frames
from model_export.errors import ImportRefused
from model_export.importer import import_model
from model_export.manifest import Resize, Task
from model_export.options import Wishes
from model_export.preprocessing import Layout
from model_export.repository import Repository
from model_export.session import Session

LABELS = ("run", "walk", "stand", "fall")
WINDOW, SIDE = 4, 32


def clip_classifier_like(
    layout: str = "ncthw", *, batch: int | str = "batch", sizes: dict[str, int | str] | None = None
) -> onnx.ModelProto:
    """A convolution over time and space, a mean and random weights, for clips of four frames of 32 × 32."""
    random = np.random.default_rng(11)
    extents = {"n": batch, "t": WINDOW, "c": 3, "h": SIDE, "w": SIDE, **(sizes or {})}
    constants = {
        "w1": random.normal(0, 0.15, (8, 3, 2, 4, 4)).astype(np.float32),
        "w2": random.normal(0, 2.0, (8, len(LABELS))).astype(np.float32),
    }
    nodes = [
        helper.make_node("Transpose", ["clip"], ["ordered"], perm=[layout.index(letter) for letter in "ncthw"]),
        helper.make_node("Conv", ["ordered", "w1"], ["c1"], strides=[1, 4, 4]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("GlobalAveragePool", ["r1"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w2"], ["y"]),
    ]
    return model(nodes, {"clip": [extents[letter] for letter in layout]}, {"y": [batch, len(LABELS)]}, constants)


def imported(folder: Path, proto: onnx.ModelProto, **said: object) -> Bundle:
    file = folder / "net.onnx"
    onnx.save(proto, file)
    wishes = Wishes.model_validate(said)
    repository = Repository(folder / "models")
    return import_model(
        file, family="video-classifier", name="acts", repository=repository, labels=LABELS, wishes=wishes
    )


def expected_of(proto: onnx.ModelProto, clips: np.ndarray, layout: str) -> np.ndarray:
    """Probabilities of the untouched model, computed apart from the importer."""
    values = (clips[..., ::-1].astype(np.float64) - (110.2008, 100.63983, 95.99475)) / (58.14765, 56.46975, 55.332195)
    order = ["nthwc".index(letter) for letter in layout]
    session = Session(proto.SerializeToString(), name="untouched")
    logits = session.run({"clip": np.ascontiguousarray(values.transpose(order), np.float32)})["y"].astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("layout", ["ncthw", "ntchw", "nthwc"])
def test_a_model_of_clips_answers_as_it_did_in_whatever_order_its_axes_are(tmp_path, layout):
    proto = clip_classifier_like(layout)

    bundle = imported(tmp_path, proto)

    manifest = bundle.manifest
    assert (manifest.kind, manifest.window, manifest.task) == ("clip", WINDOW, Task.CLASSIFY)
    assert manifest.inputs[0].shape == (None, WINDOW, SIDE, SIDE, 3)
    clips = frames(manifest.input, 3, WINDOW)
    answer = Session(bundle.model, name="converted").run({"frames": clips})["probabilities"]
    np.testing.assert_allclose(answer, expected_of(proto, clips, layout), atol=1e-4)
    assert answer.std(axis=0).max() > 1e-3


def test_a_model_for_one_clip_at_a_time_takes_several(tmp_path):
    bundle = imported(tmp_path, clip_classifier_like(batch=1))

    assert bundle.manifest.batch.fixed is None


def test_the_bundle_passes_the_check(tmp_path):
    assert "golden samples agree" in check_bundle(imported(tmp_path, clip_classifier_like()))


def test_what_the_user_says_is_in_the_manifest(tmp_path):
    bundle = imported(tmp_path, clip_classifier_like(), fps=8, resize="stretch")

    assert bundle.manifest.fps == 8
    assert bundle.manifest.input.resize is Resize.STRETCH


def test_sizes_that_the_graph_leaves_free_are_the_familys_unless_they_are_said(tmp_path):
    free = {"t": "frames", "h": "height", "w": "width"}

    bundle = imported(tmp_path, clip_classifier_like(sizes=free), window=6, input="48x40")

    assert bundle.manifest.ask_shape == (6, 40, 48, 3)


@pytest.mark.parametrize(
    ("proto", "said", "why"),
    [
        (clip_classifier_like(), {"window": 8}, "takes clips of 4 frames, not 8"),
        (clip_classifier_like(), {"layout": "ntchw"}, "is not ntchw with 3 channels"),
        (clip_classifier_like(), {"layout": "nchw"}, "is not nchw with 3 channels"),
        (clip_classifier_like(sizes={"t": 3}), {}, "three of it may be channels or frames"),
        (clip_classifier_like(sizes={"c": 1}), {}, "with 3 channels"),
    ],
)
def test_what_contradicts_the_graph_is_refused(tmp_path, proto, said, why):
    with pytest.raises(ImportRefused, match=why):
        imported(tmp_path, proto, **said)


def test_three_frames_are_told_from_three_channels_by_the_user(tmp_path):
    bundle = imported(tmp_path, clip_classifier_like(sizes={"t": 3}), layout=Layout.NCTHW)

    assert bundle.manifest.window == 3


def test_a_model_of_pictures_is_refused(tmp_path):
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["y"])]
    with pytest.raises(ImportRefused, match="this family takes a clip with 5 axes"):
        imported(tmp_path, model(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 3, 1, 1]}))


def test_a_model_of_pictures_has_no_window(tmp_path):
    file = tmp_path / "net.onnx"
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["y"])]
    onnx.save(model(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 3, 1, 1]}), file)

    with pytest.raises(ImportRefused, match="Only a model of clips has a window"):
        import_model(file, family="classifier", name="net", repository=Repository(tmp_path), wishes=Wishes(window=8))
