import numpy as np
import pytest
from engine_builders import SIDE, bundle, mean_graph

from server.engine.sessions import Sessions
from server.engine.warmup import slim, warm_up, worthwhile

SIZES = (1, 2, 4, 8)


class Clockwork:
    """A session that takes `fixed + each * batch` seconds of its own clock, and answers the frames' means.

    With `drift` a frame's answer depends on the size of its batch.
    """

    provider = "cpu"

    def __init__(self, fixed=0.0, each=0.0, drift=0.0):
        self.fixed, self.each, self.drift = fixed, each, drift
        self.now = 0.0
        self.ran = []
        self.shrunk = []

    def clock(self):
        return self.now

    def run(self, inputs, *, shrink=False):
        frames = inputs["frames"]
        (self.shrunk if shrink else self.ran).append(len(frames))
        self.now += self.fixed + self.each * len(frames)
        return {"probabilities": frames.mean(axis=(1, 2)) + self.drift * len(frames)}

    def close(self):
        pass


@pytest.fixture
def manifest(tmp_path):
    return bundle(tmp_path / "m", mean_graph()).manifest


def chosen(session, manifest):
    return worthwhile(SIZES, manifest, manifest.input, Sessions.for_lanes([session]), session.clock).sizes


def test_where_a_batch_costs_as_much_a_frame_as_one_frame_alone_frames_run_alone(manifest):
    session = Clockwork(each=0.03)
    assert chosen(session, manifest) == (1,)
    assert max(session.ran) == 2


def test_where_a_batch_costs_no_more_than_one_frame_the_largest_is_used(manifest):
    assert chosen(Clockwork(fixed=0.03), manifest) == SIZES


def test_sizes_grow_as_long_as_that_pays(manifest):
    assert chosen(Clockwork(fixed=0.01, each=0.03), manifest) == (1, 2)


def test_where_answers_depend_on_the_batch_frames_run_alone(manifest, caplog):
    assert chosen(Clockwork(fixed=0.03, drift=1e-3), manifest) == (1,)
    assert "one by one" in caplog.text


def test_slow_sessions_are_not_tried_again_and_again(manifest):
    session = Clockwork(each=2.0)
    chosen(session, manifest)
    assert session.ran == [1, 2]


def test_every_size_runs_in_every_session(manifest):
    sessions = [Clockwork(), Clockwork()]
    assert warm_up((4, 8), manifest, manifest.input, Sessions.for_lanes(sessions)).sizes == (4, 8)
    assert [set(session.ran) for session in sessions] == [{4, 8}, {4, 8}]


def test_a_session_for_one_size_runs_no_other(manifest):
    sessions = {4: Clockwork(fixed=0.02), 8: Clockwork(fixed=0.01)}
    warm = warm_up((4, 8), manifest, manifest.input, Sessions.for_sizes(sessions), sessions[4].clock)
    assert warm.run_s == pytest.approx(0.02)
    assert {size: set(session.ran) for size, session in sessions.items()} == {4: {4}, 8: {8}}


@pytest.mark.parametrize("warm", [warm_up, worthwhile])
def test_what_a_run_of_the_smallest_batch_takes_is_measured(warm, manifest):
    session = Clockwork(fixed=0.01, each=0.03)
    found = warm(SIZES, manifest, manifest.input, Sessions.for_lanes([session]), session.clock)
    assert found.run_s == pytest.approx(0.04)


def test_afterwards_every_session_gives_back_what_it_took_for_larger_batches(manifest):
    sessions = [Clockwork(), Clockwork()]
    slim(1, manifest, manifest.input, Sessions.for_lanes(sessions))
    assert [session.shrunk for session in sessions] == [[1], [1]]


def test_the_frames_are_of_the_models_size(manifest):
    class Looking(Clockwork):
        def run(self, inputs, *, shrink=False):
            assert inputs["frames"].shape[1:] == (SIDE, SIDE, 3)
            assert inputs["frames"].dtype == np.uint8
            return super().run(inputs)

    chosen(Looking(each=1.0), manifest)
