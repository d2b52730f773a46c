import numpy as np
import onnx
import pytest
from compress_builders import HIDDEN, STATE, conv_graph, frames
from onnx import numpy_helper

from model_export.fp16 import halved
from model_export.session import Session

CARRIED = {one.output: one.input for one in STATE}


@pytest.fixture(scope="module")
def half():
    return halved(conv_graph(recurrent=True), CARRIED)


def weights(content):
    return {one.name: numpy_helper.to_array(one) for one in onnx.load_model_from_string(content).graph.initializer}


def test_inputs_and_outputs_are_the_same(half):
    own, got = Session(conv_graph(recurrent=True), name="own"), Session(half, name="fp16")
    assert got.inputs == own.inputs
    assert got.outputs == own.outputs


def test_weights_are_the_nearest_numbers_of_half_precision(half):
    plain = weights(conv_graph(recurrent=True))
    for name in ("weight_1", "weight_2", "weight_3", "head"):
        np.testing.assert_array_equal(weights(half)[name], plain[name].astype(np.float16))
    assert len(half) < 0.75 * len(conv_graph(recurrent=True))


def test_it_answers_nearly_as_the_graph_that_it_was(half):
    inputs = {"frames": frames(), "memory": np.zeros((24, HIDDEN), np.float32), "count": np.zeros((24, 1), np.float32)}
    own, got = (Session(one, name="graph").run(inputs) for one in (conv_graph(recurrent=True), half))
    assert 0 < np.abs(own["probabilities"] - got["probabilities"]).max() < 0.01


def test_a_state_counts_further_than_half_precision_does(half):
    assert np.float16(2048) + np.float16(1) == 2048
    rows = {"memory": np.zeros((1, HIDDEN), np.float32), "count": np.full((1, 1), 4097, np.float32)}
    assert Session(half, name="fp16").run({"frames": frames(1), **rows})["next_count"] == 4098


def test_the_memory_is_not_rounded_on_its_way_round(half):
    memory = np.array([[0.1, 0.2, 0.3, 0.4, 0.5]], np.float32)
    after = Session(half, name="fp16").run(
        {"frames": frames(1), "memory": memory, "count": np.zeros((1, 1), np.float32)}
    )
    assert not np.array_equal(after["next_memory"], after["next_memory"].astype(np.float16).astype(np.float32))
