"""State in a pool, here on the CPU: it is the same as state that is carried."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from engine_builders import SIDE, key, sum_graph

from model_export.bundle import Bundle
from model_export.manifest import State
from model_export.state_pool import pool_input
from server.engine.pool import PooledSession, StatePool
from server.engine.session import OnnxSession, Options, SessionFailed
from server.engine.state import StateRefused, StateRows

TOTAL = State(input="total_in", output="total_out", dtype="float32", shape=(3,), initial=7.0)
STATES = (TOTAL,)
SHIPPED = Path(__file__).parents[2] / "server" / "models" / "moving-objects" / "1"


@pytest.fixture
def session(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(sum_graph().SerializeToString())
    made = PooledSession(path, "cpu", Options(), STATES)
    yield made
    made.close()


@pytest.fixture
def pool(session):
    return session.states(STATES)


def grey(levels):
    return np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in levels])


def step(session, states, levels, size=None, fresh=()):
    """A frame of one grey level of each stream; the streams' totals, as shares of white."""
    streams = [key(name) for name in levels]
    size = size or len(streams)
    frames = grey([*levels.values(), *[99] * (size - len(streams))])
    outputs = session.run({"frames": frames, **states.gather(streams, size, fresh={key(name) for name in fresh})})
    states.scatter(streams, outputs)
    assert list(outputs) == ["probabilities"]
    return [round(float(share[0]) * 255) for share in outputs["probabilities"][: len(streams)]]


def test_streams_go_on_from_their_own_rows_in_any_order_and_any_batch(session, pool):
    assert step(session, pool, {"a": 1, "b": 2}) == [8, 9]
    assert step(session, pool, {"b": 10, "new": 20, "a": 30}, size=8) == [19, 27, 38]
    assert step(session, pool, {"new": 0}) == [27]
    assert len(pool) == 3
    assert key("a") in pool


def test_a_pool_that_is_too_small_grows_and_keeps_what_is_in_it(session, pool):
    for round_ in range(3):
        for first in range(0, 90, 30):
            levels = {f"s{number}": number for number in range(first, first + 30)}
            assert step(session, pool, levels) == [7 + (round_ + 1) * number for number in levels.values()]


def test_runs_write_the_pool_where_it_lies(session, pool):
    (before,) = (value for name, value in pool.gather([key("a")], 1).items() if name == pool_input(TOTAL))
    pool.failed([key("a")])
    address = before.data_ptr()
    step(session, pool, {"a": 1})
    (after,) = (value for name, value in pool.gather([key("a")], 1).items() if name == pool_input(TOTAL))
    assert after.data_ptr() == address
    assert (after.numpy() == 8).any()


def test_a_stream_that_starts_over_begins_anew_and_its_neighbour_does_not(session, pool):
    step(session, pool, {"a": 1, "b": 1})
    assert step(session, pool, {"a": 1, "b": 1}, fresh=["a"]) == [8, 9]


def test_the_row_of_a_stream_that_went_begins_anew_for_another(session, pool):
    names = [f"s{number}" for number in range(14)]
    step(session, pool, dict.fromkeys(names, 50))
    for name in names:
        pool.reset(key(name))
    pool.reset(key("nobody"))
    assert len(pool) == 0
    assert step(session, pool, {f"t{number}": 1 for number in range(14)}) == [8] * 14


def test_a_run_that_fails_leaves_what_there_was(session, pool):
    step(session, pool, {"a": 1})
    for _ in range(100):  # rows that were lost would be missing
        gathered = pool.gather([key("a"), key("new")], 2, fresh={key("a")})
        with pytest.raises(SessionFailed, match="The run failed"):
            session.run({"frames": np.zeros((2, 1), np.uint8), **gathered})
        pool.failed([key("a"), key("new")])
    assert key("new") not in pool
    assert step(session, pool, {"a": 1, "new": 1}) == [9, 8]
    assert pool._size == 16


def test_a_stream_that_is_forgotten_while_it_runs_keeps_its_row_until_the_run_is_over(session, pool):
    step(session, pool, {"a": 1})
    gathered = pool.gather([key("a")], 1)
    pool.reset(key("a"))
    assert step(session, pool, {"b": 1}) == [8]
    outputs = session.run({"frames": grey([50]), **gathered})
    pool.scatter([key("a")], outputs)
    assert step(session, pool, {"b": 1}) == [9]


def test_saved_rows_are_those_of_state_that_is_carried(session, pool):
    carried = StateRows(STATES)
    carried.put(key("a"), [np.array([1, 2, 3], np.float32).tobytes()])
    pool.put(key("a"), carried.get(key("a")))
    assert pool.get(key("a")) == carried.get(key("a"))
    assert pool.get(key("b")) is None
    step(session, pool, {"a": 5})
    assert np.frombuffer(pool.get(key("a"))[0], np.float32).tolist() == [6, 7, 8]
    for number in range(40):
        pool.put(key(f"s{number}"), [np.full(3, number, np.float32).tobytes()])
    assert step(session, pool, {"s39": 1, "s0": 1}) == [40, 1]
    with pytest.raises(StateRefused, match="8 bytes"):
        pool.put(key("a"), [b"12345678"])


def test_runs_at_the_same_time_while_the_pool_grows_and_rows_are_put(session, pool):
    def stream(number):
        total, draw = 7, random.Random(number)
        for _ in range(60):
            level = draw.randrange(4)
            total += level
            assert step(session, pool, {f"s{number}": level}) == [total]
            pool.put(key(f"put{number}"), [np.full(3, number, np.float32).tobytes()])
            if draw.random() < 0.1:
                pool.reset(key(f"s{number}"))
                total = 7
        return pool.get(key(f"put{number}"))

    with ThreadPoolExecutor(8) as threads:
        for number, saved in enumerate(threads.map(stream, range(48))):
            assert np.frombuffer(saved[0], np.float32).tolist() == [number] * 3


def test_it_runs_as_the_bundles_graph_does_too(session, tmp_path):
    plain = OnnxSession(tmp_path / "model.onnx", "cpu", Options())
    inputs = {"frames": grey([1, 2]), "total_in": np.array([[1, 2, 3], [4, 5, 6]], np.float32)}
    expected, got = plain.run(inputs), session.run(inputs)
    assert set(got) == set(expected)
    for name, value in expected.items():
        assert np.array_equal(got[name], value)


def test_moving_objects_sees_the_same_bit_for_bit():
    bundle = Bundle.open(SHIPPED)
    manifest = bundle.manifest
    sessions = (
        OnnxSession(bundle.model, "cpu", Options()),
        PooledSession(bundle.model, "cpu", Options(), manifest.state),
    )
    kept = [session.states(manifest.state) for session in sessions]
    assert [type(one) for one in kept] == [StateRows, StatePool]
    random_ = np.random.default_rng(0)
    for number in range(4):
        streams = [key("a"), key("b"), key("c")][: 3 - number % 2]
        frames = random_.integers(0, 256, (4, manifest.input.height, manifest.input.width, 3), np.uint8)
        answers = []
        for session, states in zip(sessions, kept, strict=True):
            outputs = session.run({manifest.input.name: frames, **states.gather(streams, 4)})
            states.scatter(streams, outputs)
            answers.append({name: value[: len(streams)].tobytes() for name, value in outputs.items()})
        assert answers[0] == answers[1]
    for stream in (key("a"), key("b"), key("c")):
        assert kept[0].get(stream) == kept[1].get(stream)


@pytest.mark.gpu
def test_on_a_device_rows_stay_there_and_are_what_they_are_on_the_cpu(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(sum_graph().SerializeToString())
    sessions = [PooledSession(path, provider, Options(), STATES) for provider in ("cpu", "cuda")]
    pools = [session.states(STATES) for session in sessions]
    assert [session.provider for session in sessions] == ["cpu", "cuda"]
    for number in range(30):
        levels = {f"s{(number * 7 + offset) % 40}": number + offset for offset in range(5)}
        expected, got = (step(session, pool, levels, size=8) for session, pool in zip(sessions, pools, strict=True))
        assert got == expected
    for stream in (key(f"s{number}") for number in range(40)):
        on_cpu, on_device = (pool.get(stream) for pool in pools)
        assert (on_cpu is None) == (on_device is None)
        if on_cpu is not None:
            np.testing.assert_allclose(*(np.frombuffer(rows[0], np.float32) for rows in (on_cpu, on_device)), rtol=1e-5)
    pools[1].put(key("s1"), pools[0].get(key("s2")))
    assert pools[1].get(key("s1")) == pools[0].get(key("s2"))
