"""Models as they are served: what shares a batch with a frame, or which lane runs it, changes no bit of its answer."""

from pathlib import Path

import numpy as np
import pytest
from engine_builders import Frames, running

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
