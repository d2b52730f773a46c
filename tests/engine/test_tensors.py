"""Tensors through a model: blocks of rows, alone and together."""

import numpy as np
import pytest
from engine_builders import SIDE, Frames, adding_graph, bundle, mean_graph, running, sum_graph, tensor_bundle

from model_export.manifest import Batch
from server.engine.batcher import Batch as Run
from server.engine.inputs import FrameRefused
from server.engine.loading import load
from server.wire.messages import INLINE_OUTPUT_BYTES
from server.wire.slots import Segments

PAIR = {"a": (None, 2), "b": (None, 2)}


@pytest.fixture
def segments():
    made = Segments()
    yield made
    made.close()


@pytest.fixture
def slots(request):
    made = Frames(f"{abs(hash(request.node.nodeid))}.slots", slots=8, slot_bytes=2**20)
    yield made
    made.segment.close()


@pytest.fixture
def adding(tmp_path):
    return load("m@1", tensor_bundle(tmp_path / "m", adding_graph(), PAIR, {"sum": (None, 2)}).folder, 0, running())


def pair(rows, start=0.0, width=2):
    """Two inputs, and what they add up to."""
    a = np.arange(rows * width, dtype=np.float32).reshape(rows, width) + start
    return {"a": a, "b": 10 * a}, 11 * a


def run(model, segments, *requests, size):
    for request in requests:
        model.add(request)
        model.batcher.take(0.0, 1)
    answers, _ = model.run(0, Run(list(requests), size, "idle"), segments)
    return answers


def array(answered, output=0):
    meta = answered.done.outputs[output]
    return np.frombuffer(answered.payload[0], meta.dtype, np.prod(meta.shape, dtype=int)).reshape(meta.shape)


def test_blocks_of_several_requests_share_a_run_and_each_gets_its_rows(adding, slots, segments):
    asked = [pair(1), pair(2, 100), pair(1, 1000)]
    answers = run(adding, segments, *(slots.tensors(inputs) for inputs, _ in asked), size=4)
    for answered, (_, expected) in zip(answers, asked, strict=True):
        assert np.array_equal(array(answered), expected)
        assert answered.done.batch == 4


def test_padding_shows_in_no_answer(adding, slots, segments):
    inputs, expected = pair(3)
    [answered] = run(adding, segments, slots.tensors(inputs), size=4)
    assert np.array_equal(array(answered), expected)


def test_only_the_outputs_that_are_wanted_come_back(tmp_path, slots, segments):
    model = load("m@1", bundle(tmp_path / "m", mean_graph()).folder, 0, running())
    frames = {"frames": np.full((2, SIDE, SIDE, 3), 51, np.uint8)}
    [answered] = run(model, segments, slots.tensors(frames, outputs=("probabilities",)), size=2)
    assert np.allclose(array(answered), np.full((2, 3), 0.2))


def test_a_block_shares_a_run_with_frames_of_a_video(tmp_path, slots, segments):
    model = load("m@1", bundle(tmp_path / "m", mean_graph()).folder, 0, running())
    block = slots.tensors({"frames": np.full((2, SIDE, SIDE, 3), 51, np.uint8)})
    frame, tensors = run(model, segments, slots.ask(255), block, size=4)
    assert np.array_equal(array(frame), np.ones(3, np.float32))
    assert np.allclose(array(tensors), np.full((2, 3), 0.2))
    assert tensors.done.batch == 3


@pytest.mark.parametrize(
    "inputs",
    [
        {"a": np.zeros((1, 2), np.float32)},
        {"a": np.zeros((1, 2), np.float32), "c": np.zeros((1, 2), np.float32)},
        {"a": np.zeros((1, 3), np.float32), "b": np.zeros((1, 2), np.float32)},
        {"a": np.zeros((1, 2), np.float64), "b": np.zeros((1, 2), np.float32)},
        {"a": np.zeros((1, 2), np.float32), "b": np.zeros((2, 2), np.float32)},
        {"a": np.zeros(2, np.float32), "b": np.zeros((1, 2), np.float32)},
    ],
    ids=["missing", "name", "shape", "dtype", "rows", "rank"],
)
def test_what_the_model_does_not_take_fails_alone(adding, slots, segments, inputs):
    good, expected = pair(1)
    request = slots.tensors(inputs)
    request.rows = 1
    answers = adding.run(0, Run([request, slots.tensors(good)], 2, "idle"), segments)[0]
    assert {answered.done.error for answered in answers} == {"frame_refused", None}
    assert np.array_equal(array(answers[-1]), expected)


def test_more_rows_than_any_batch_has_are_not_queued(adding, slots):
    with pytest.raises(FrameRefused, match="1 to 4 rows"):
        adding.add(slots.tensors(pair(5)[0]))


def test_a_recurrent_model_takes_one_row_of_a_sequence(tmp_path, slots, segments):
    model = load("m@1", bundle(tmp_path / "m", sum_graph(), recurrent=True).folder, 0, running())
    frame = {"frames": np.full((1, SIDE, SIDE, 3), 51, np.uint8)}
    said = [array(run(model, segments, slots.tensors(frame), size=1)[0])[0, 0] for _ in range(3)]
    assert np.allclose(said, [0.2, 0.4, 0.6])
    two = slots.tensors({"frames": np.zeros((2, SIDE, SIDE, 3), np.uint8)}, stream="other")
    assert run(model, segments, two, size=2)[0].done.error == "frame_refused"


@pytest.mark.parametrize("batch", [Batch(fixed=3), Batch(invariant=False)], ids=["fixed", "not-invariant"])
def test_what_does_not_share_runs_runs_as_it_came(tmp_path, slots, segments, batch):
    shape = (3 if batch.fixed else None, 2)
    made = tensor_bundle(tmp_path / "m", adding_graph(), {"a": shape, "b": shape}, {"sum": shape}, batch=batch)
    model = load("m@1", made.folder, 0, running())
    inputs, expected = pair(3)
    request = slots.tensors(inputs)
    [answered] = run(model, segments, request, size=1)
    assert request.rows == 1
    assert np.array_equal(array(answered), expected)


def test_outputs_too_large_for_a_message_lie_in_the_slot_or_say_what_they_need(tmp_path, slots, segments):
    width = INLINE_OUTPUT_BYTES // 4 + 1
    shapes = {"a": (None, None), "b": (None, None)}
    made = tensor_bundle(tmp_path / "m", adding_graph("width"), shapes, {"sum": (None, None)})
    model = load("m@1", made.folder, 0, running())
    inputs, expected = pair(1, width=width)
    request = slots.tensors(inputs)
    [answered] = run(model, segments, request, size=1)
    assert answered.done.in_slot
    written = segments.array(request.ask.reply)[: expected.nbytes].view(np.float32)
    assert np.array_equal(written, expected[0])
    small = Frames("small", slots=1, slot_bytes=4096)
    request = slots.tensors(inputs)
    reply, _ = small.slots.take((4096,))
    request.ask = type(request.ask)(**{**_fields(request.ask), "reply": reply})
    [answered] = run(model, segments, request, size=1)
    assert (answered.done.error, answered.done.needed) == ("output_too_large", expected.nbytes)
    small.segment.close()


def _fields(ask):
    return {name: getattr(ask, name) for name in ask.__struct_fields__}


def test_what_ran_is_tallied_by_request_and_by_size(adding, slots, segments):
    run(adding, segments, slots.tensors(pair(2)[0]), slots.tensors(pair(1)[0]), size=4)
    run(adding, segments, slots.tensors(pair(3)[0]), size=4)
    bad = slots.tensors({"a": np.zeros((1, 2), np.float32)})
    run(adding, segments, bad, size=1)
    tally = adding.tally.tally("m@1")
    assert (tally.rows, tally.runs, tally.success.count, tally.fail.count) == (6, 2, 3, 1)
    assert [(size.rows, size.run.count) for size in tally.sizes] == [(3, 2)]
    assert tally.run.count == 3
    assert tally.run.seconds > tally.sizes[0].run.seconds > 0
    assert tally.success.seconds > tally.queue.seconds + tally.run.seconds
    assert tally.last > 0
