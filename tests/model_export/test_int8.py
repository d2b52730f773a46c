import numpy as np
import onnx
import pytest
from compress_builders import STATE, conv_graph, frames
from onnx import TensorProto, helper, numpy_helper

from model_export import int8
from model_export.playing import play
from model_export.session import Session

CARRIED = {one.output: one.input for one in STATE}
FEEDS = [{"frames": frames()[:16]}, {"frames": frames()[16:]}]


@pytest.fixture(scope="module")
def quantised():
    content = int8.quantised(conv_graph(), FEEDS, {})
    assert content is not None
    return content


def constants(content):
    return {one.name: numpy_helper.to_array(one) for one in onnx.load_model_from_string(content).graph.initializer}


def seen(tensor):
    """Every number that comes in `tensor` of the graph in single precision."""
    model = onnx.load_model_from_string(conv_graph())
    model.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
    session = Session(model.SerializeToString(), name="with one more output")
    return np.concatenate([session.run(feed)[tensor].ravel() for feed in FEEDS])


@pytest.mark.parametrize("tensor", ["first", "second", "third"])
def test_ranges_are_what_came_for_real(quantised, tensor):
    numbers, found = seen(tensor), constants(quantised)
    scale, zero = found[f"{tensor}_scale"], found[f"{tensor}_zero_point"]
    low, high = min(numbers.min(), 0.0), max(numbers.max(), 0.0)
    assert scale == pytest.approx((high - low) / 255, rel=1e-6)
    assert zero == round(-low / ((high - low) / 255))
    assert zero.dtype == np.uint8


def test_weights_have_seven_bits_and_a_scale_for_each_channel(quantised):
    found, plain = constants(quantised), constants(conv_graph())
    for name in ("weight_2", "weight_3"):
        largest = np.abs(plain[name]).max((1, 2, 3))
        np.testing.assert_allclose(found[f"{name}_scale"], largest / 64, rtol=1e-6)
        assert found[f"{name}_quantized"].dtype == np.int8
        expected = np.round(plain[name] / (largest / 64)[:, None, None, None])
        assert np.abs(found[f"{name}_quantized"] - expected).max() <= 1  # halves may be rounded either way
        assert np.abs(found[f"{name}_quantized"].astype(int)).max() == 64


def test_convolutions_of_pictures_and_small_products_stay_as_they_are(quantised):
    found, plain = constants(quantised), constants(conv_graph())
    for name in ("weight_1", "head"):
        np.testing.assert_array_equal(found[name], plain[name])


def test_what_a_state_comes_back_to_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(int8, "LEAST_WEIGHTS", 1)
    chosen = int8.worthwhile(onnx.load_model_from_string(conv_graph(recurrent=True)), CARRIED)
    assert {"conv_2", "conv_3"} < set(chosen)
    assert not {"conv_1", "remembering"} & set(chosen)
    # Without the way back it is a product like any other.
    assert "remembering" in int8.worthwhile(onnx.load_model_from_string(conv_graph(recurrent=True)), {})


def test_it_answers_nearly_as_the_graph_that_it_was(quantised):
    own = Session(conv_graph(), name="own").run({"frames": frames()})["probabilities"]
    got = Session(quantised, name="int8").run({"frames": frames()})["probabilities"]
    assert 0 < np.abs(own - got).max() < 0.05
    assert np.ptp(own, axis=0).max() > 0.2


def test_over_the_frames_of_a_stream_it_stays_near():
    clips, content = frames(3, steps=30), conv_graph(recurrent=True)
    own, feeds = Session(content, name="own"), []

    def run(inputs):
        feeds.append(dict(inputs))
        return own.run(inputs)

    expected = play(run, clips, "frames", STATE)
    got = play(Session(int8.quantised(content, feeds, CARRIED), name="int8").run, clips, "frames", STATE)

    apart = [np.abs(a["probabilities"] - b["probabilities"]).max() for a, b in zip(expected, got, strict=True)]
    assert max(apart) < 0.1
    assert [answer["next_count"][0, 0] for answer in got] == list(range(1, 31))


def test_where_nothing_is_large_enough_there_is_nothing(monkeypatch):
    monkeypatch.setattr(int8, "PICTURE_CHANNELS", 16)
    assert int8.quantised(conv_graph(), FEEDS, {}) is None
