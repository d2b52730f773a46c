"""Models as they are served: what shares a batch with a frame, or which lane runs it, changes no bit of its answer."""

from pathlib import Path

import numpy as np
import pytest
from engine_builders import Frames, running
from onnx import TensorProto, helper, numpy_helper

from model_export.bundle import Bundle
from model_export.importer import import_model
from model_export.repository import Repository
from server.engine.batcher import Batch
from server.engine.loading import load
from server.wire.slots import Segments

SHIPPED = Path(__file__).parents[2] / "server" / "models" / "moving-objects" / "1"


@pytest.fixture
def slots(request):
    made = Frames(f"{abs(hash(request.node.nodeid))}.real", slots=16, slot_bytes=640 * 1024)
    yield made
    made.segment.close()


def noise(slots, manifest, seed, **options):
    """A request for a frame of noise."""
    request = slots.ask(0, shape=(manifest.input.height, manifest.input.width, 3), **options)
    array = slots.segment.array(request.ask.frame)
    array[:] = np.random.default_rng(seed).integers(0, 256, array.shape, np.uint8)
    return request


def bytes_of(answers):
    assert [answered.done.error for answered in answers] == [None] * len(answers)
    return {answered.request.ask.stream: b"".join(bytes(part) for part in answered.payload) for answered in answers}


def test_streams_of_moving_objects_that_share_batches_see_what_each_sees_alone(slots):
    bundle, segments = Bundle.open(SHIPPED), Segments()
    apart, together = (load(bundle.manifest.id, bundle.folder, 0, running()) for _ in range(2))
    for step in range(3):
        requests = [noise(slots, bundle.manifest, 10 * step + n, stream=f"s{n}") for n in range(3)]
        alone = {}
        for lane, request in enumerate(requests):
            alone |= bytes_of(apart.run(lane % 2, Batch([request], 1, "idle"), segments)[0])
        assert bytes_of(together.run(0, Batch(requests, 3, "full"), segments)[0]) == alone
        for request in requests:
            slots.slots.give(request.ask.frame)
    states = [apart.states.get(request.key) for request in requests]
    assert states == [together.states.get(request.key) for request in requests]
    segments.close()


def written_for_four(path):
    """A classifier exported for batches of four, whose graph runs at no other size; 32 × 32 pixels, three classes."""
    random = np.random.default_rng(2)
    constants = {
        "filters": random.normal(0, 0.2, (3, 3, 8, 8)).astype(np.float32),
        "token": np.repeat(random.normal(0, 0.2, (1, 3, 1)), 4, axis=0).astype(np.float32),
        "shape": np.array([4, 3, 16]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "filters"], ["maps"], strides=[8, 8]),
        helper.make_node("Reshape", ["maps", "shape"], ["tokens"]),
        helper.make_node("Concat", ["token", "tokens"], ["all"], axis=2),
        helper.make_node("ReduceMax", ["all"], ["y"], axes=[2], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(built.SerializeToString())
    return path


def test_an_imported_model_for_one_size_of_batch_answers_streams_alike_however_they_share_it(slots, tmp_path):
    file = written_for_four(tmp_path / "four.onnx")
    bundle = import_model(file, family="classifier", name="four", repository=Repository(tmp_path / "models"))
    assert bundle.manifest.batch.fixed == 4
    model, segments = load("four@1", bundle.folder, 0, running()), Segments()
    assert model.policy.sizes == (4,)
    requests = [noise(slots, bundle.manifest, n, stream=f"s{n}") for n in range(4)]
    alone = {}
    for lane, request in enumerate(requests):
        alone |= bytes_of(model.run(lane % 2, Batch([request], 4, "idle"), segments)[0])
    assert len(set(alone.values())) == 4
    assert bytes_of(model.run(0, Batch(requests, 4, "full"), segments)[0]) == alone
    assert bytes_of(model.run(1, Batch(requests[:0:-1], 4, "idle"), segments)[0]) == {
        stream: answer for stream, answer in alone.items() if stream != "s0"
    }
    segments.close()


@pytest.mark.data
def test_yolox_answers_a_frame_alike_in_every_batch(slots, shared_data, tmp_path):
    file = shared_data / "onnx" / "yolox_nano.onnx"
    bundle = import_model(file, family="yolox", name="yolox-nano", repository=Repository(tmp_path))
    model, segments = load("yolox-nano@1", bundle.folder, 0, running()), Segments()
    requests = [noise(slots, bundle.manifest, n, stream=f"s{n}") for n in range(3)]
    alone = {}
    for lane, request in enumerate(requests):
        alone |= bytes_of(model.run(lane % 2, Batch([request], 1, "idle"), segments)[0])
    assert bytes_of(model.run(0, Batch(requests, 4, "full"), segments)[0]) == alone
    segments.close()
