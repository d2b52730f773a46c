"""The models that the benchmark makes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks import gru
from benchmarks.answers import by_heart
from benchmarks.plain import letterbox, open_session
from model_export.bundle import Bundle
from model_export.manifest import FrameInput, Manifest, Provenance, Task, TensorSpec


@pytest.fixture
def frames():
    noise = np.random.default_rng(3)
    return [noise.integers(0, 256, (1, gru.SIDE, gru.SIDE, 3), np.uint8) for _ in range(5)]


def brightness(folder):
    """The bundle of a model whose `probabilities` [B, 3] are the channels' means."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["frames"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats"], ["probabilities"], axes=[1, 2], keepdims=0),
        ],
        "brightness",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["B", gru.SIDE, gru.SIDE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["B", 3])],
    )
    manifest = Manifest(
        name="brightness",
        version=1,
        task=Task.CLASSIFY,
        family="raw",
        input=FrameInput(width=gru.SIDE, height=gru.SIDE),
        inputs=(TensorSpec(name="frames", dtype="uint8", shape=(None, gru.SIDE, gru.SIDE, 3)),),
        outputs=(TensorSpec(name="probabilities", dtype="float32", shape=(None, 3)),),
        provenance=Provenance(tool="tests"),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return Bundle.write(folder, manifest, {"model.onnx": onnx.ModelProto.SerializeToString(model)})


def test_a_model_by_heart_answers_each_frame_as_the_real_one(tmp_path, frames):
    real = brightness(tmp_path / "real")
    double = by_heart(real, frames, tmp_path / "models", "by-heart")
    double.verify()
    assert (double.manifest.id, double.manifest.batch.fixed) == ("by-heart@1", 1)
    sessions = [open_session(bundle.model, 1, spinning=False) for bundle in (real, double)]
    for frame in reversed(frames):
        answers = [session.run(["probabilities"], {"frames": frame})[0] for session in sessions]
        assert np.array_equal(*answers)


def test_the_recurrent_model_remembers(tmp_path, frames):
    bundle = gru.write(tmp_path)
    bundle.verify()
    session = open_session(bundle.model, 1, spinning=False)
    fresh = np.zeros((1, *bundle.manifest.state[0].shape), np.float32)
    first, state = session.run(["probabilities", "next_state"], {"frames": frames[0], "state": fresh})
    again, _ = session.run(["probabilities", "next_state"], {"frames": frames[0], "state": state})
    assert first.sum() == pytest.approx(1)
    assert not np.array_equal(first, again)


def test_a_frame_is_letterboxed_at_the_top_left():
    out, scale = letterbox(np.full((208, 832, 3), 7, np.uint8))
    assert (out.shape, scale) == ((416, 416, 3), 0.5)
    assert (out[:104] == 7).all()
    assert (out[104:] == 114).all()
