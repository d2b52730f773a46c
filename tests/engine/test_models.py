import msgspec
import numpy as np
import pytest
from engine_builders import SIDE, Frames, bundle, failing_graph, key, mean_graph, running, sum_graph, wide_graph

from model_export.manifest import Batch
from server.engine.batcher import Batch as Run
from server.engine.loading import load
from server.wire.messages import INLINE_OUTPUT_BYTES, FrameRef
from server.wire.slots import Segments

FLOATS = INLINE_OUTPUT_BYTES // 4 + 1


@pytest.fixture
def segments():
    made = Segments()
    yield made
    made.close()


@pytest.fixture
def large_slots(request):
    made = Frames(f"{abs(hash(request.node.nodeid))}.large", slots=1, slot_bytes=2 * 2**20)
    yield made
    made.segment.close()


@pytest.fixture
def up(tmp_path):
    def bring_up(graph, **options):
        return load("m@1", bundle(tmp_path / "m", graph, **options).folder, 0, running())

    return bring_up


def levels(answers):
    """Grey levels that the answers say, in the order of asking; errors by their code."""
    by_seq = sorted(answers, key=lambda answered: answered.done.seq)
    return [a.done.error or round(float(np.frombuffer(a.payload[0], np.float32)[0]) * 255) for a in by_seq]


def test_each_request_gets_its_row(up, frames, segments):
    requests = [frames.ask(level) for level in (3, 1, 2)]
    answers, seconds = up(mean_graph()).run(0, Run(requests, 4, "idle"), segments)
    assert levels(answers) == [3, 1, 2]
    assert [answered.done.batch for answered in answers] == [3, 3, 3]
    assert seconds > 0
    assert answers[0].done.outputs[0].shape == (3,)


def test_a_batch_after_a_larger_one_shows_nothing_of_it(up, frames, segments):
    model = up(mean_graph())
    model.run(0, Run([frames.ask(9) for _ in range(4)], 4, "full"), segments)
    answers, _ = model.run(0, Run([frames.ask(1), frames.ask(2)], 4, "idle"), segments)
    assert levels(answers) == [1, 2]


def test_a_frame_of_another_shape_fails_alone(up, frames, segments):
    requests = [frames.ask(1), frames.ask(2, shape=(SIDE, SIDE + 1, 3)), frames.ask(3)]
    answers, _ = up(mean_graph()).run(0, Run(requests, 4, "idle"), segments)
    assert levels(answers) == [1, "frame_refused", 3]


def test_a_frame_that_makes_the_run_fail_fails_alone(up, frames, segments):
    requests = [frames.ask(level) for level in (1, 0, 3)]
    answers, _ = up(failing_graph()).run(0, Run(requests, 4, "idle"), segments)
    assert levels(answers) == [1, "run_failed", 3]


def test_padding_never_makes_a_run_fail(up, frames, segments):
    model = up(failing_graph(), batch=Batch(fixed=4))
    assert levels(model.run(0, Run([frames.ask(0)], 4, "idle"), segments)[0]) == ["run_failed"]
    assert levels(model.run(0, Run([frames.ask(5)], 4, "idle"), segments)[0]) == [5]


def test_a_frame_that_is_gone_leaves_the_state_as_it_was(up, frames, segments):
    model = up(sum_graph(), recurrent=True)
    model.run(0, Run([frames.ask(7, stream="a")], 1, "idle"), segments)
    failing = frames.ask(8, stream="a")
    failing.ask = msgspec.structs.replace(failing.ask, frame=_gone())
    assert levels(model.run(0, Run([failing], 1, "idle"), segments)[0]) == ["stale_frame"]
    assert levels(model.run(0, Run([frames.ask(1, stream="a")], 1, "idle"), segments)[0]) == [8]


def test_a_stream_that_starts_over_forgets_and_its_neighbour_does_not(up, frames, segments):
    model = up(sum_graph(), recurrent=True)
    model.run(0, Run([frames.ask(5, stream="a"), frames.ask(6, stream="b")], 2, "idle"), segments)
    again = [frames.ask(1, stream="a", reset=True), frames.ask(1, stream="b")]
    assert levels(model.run(1, Run(again, 2, "idle"), segments)[0]) == [1, 7]


def test_large_outputs_lie_in_the_slot_that_came_with_the_request(up, frames, segments, large_slots):
    model = up(wide_graph(FLOATS), probabilities=FLOATS)
    reply, array = large_slots.slots.take((FLOATS * 4,))
    answers, _ = model.run(0, Run([frames.ask(3, reply=reply)], 1, "idle"), segments)
    assert answers[0].done.in_slot
    assert answers[0].payload == ()
    assert np.frombuffer(array, np.float32).tolist() == [3.0] * FLOATS


def test_large_outputs_without_a_slot_that_holds_them_are_an_error(up, frames, segments):
    model = up(wide_graph(FLOATS), probabilities=FLOATS)
    small = frames.of(0, (100,))
    requests = [frames.ask(3), frames.ask(3, reply=small), frames.ask(3, reply=_gone())]
    answers, _ = model.run(0, Run(requests, 4, "idle"), segments)
    assert [a.done.error for a in answers] == ["output_too_large", "output_too_large", "stale_frame"]


def test_a_model_that_has_gone_holds_nothing(up, frames, segments):
    model = up(sum_graph(), recurrent=True)
    model.run(0, Run([frames.ask(5, stream="a")], 1, "idle"), segments)
    model.close()
    assert key("a") not in model.states


def _gone() -> FrameRef:
    return FrameRef("shm", "vidserve.gone", 0, 1, (SIDE, SIDE, 3), "uint8")
