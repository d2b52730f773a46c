"""The real engine process, with the test in the places of API process and workers."""

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq
from engine_builders import SIDE, bundle, failing_graph, fixed_graph, mean_graph, running, slow_graph, sum_graph

from model_export.manifest import Batch
from server.core.log import LogConfig
from server.core.metrics_page import Page
from server.engine.config import EngineConfig
from server.engine.tuning.order import Tuning
from server.wire.memory import PREFIX, SharedFile
from server.wire.messages import (
    Cancel,
    Cancelled,
    EngineReady,
    FrameRef,
    GetState,
    GetTally,
    Heartbeat,
    Infer,
    InferDone,
    LoadModel,
    ModelFailed,
    ModelLoaded,
    ModelUnloaded,
    Priority,
    PutState,
    StateRows,
    Stop,
    UnloadModel,
)
from server.wire.slots import Segment, SizeClass, Slots
from server.wire.sockets import Dealer, Router
from tests.benches import benches


class EngineUnderTest:
    """The process, with the test as its API process and as its workers."""

    _numbers = itertools.count(1)

    def __init__(self, folder: Path, **options) -> None:
        number = next(self._numbers)
        self.context = zmq.Context()
        self.loaded = set()
        self.page_file = SharedFile.create(f"{PREFIX}test.{os.getpid()}.{number}.page", Page.bytes_for(1))
        self.page = Page(self.page_file.buffer, 1)
        self.segment = Segment.create(f"{PREFIX}test.{os.getpid()}.{number}.frames", [SizeClass(4096, 32)])
        self.api = Router(self.context, f"ipc://{folder}/api", "api", 1)
        settings = {
            "address": f"ipc://{folder}/engine",
            "api": f"ipc://{folder}/api",
            "incarnation": 1,
            "running": running(),
            "tuning": Tuning(after_s=None),
            "page": self.page_file.name,
            "page_writers": 1,
            "writer": 0,
            "log": LogConfig(level="error", process="engine"),
        }
        config = EngineConfig(**{**settings, **options})
        self.address = config.address
        self.process = subprocess.Popen(
            [sys.executable, "-m", "server.engine.process"],
            stdin=subprocess.PIPE,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
        self.process.stdin.write(msgspec.json.encode(config) + b"\n")
        self.process.stdin.flush()
        self.from_engine(EngineReady)
        self.worker = None
        self.begin()

    def begin(self):
        """As if nothing had been asked yet: no models, all slots free, a new worker."""
        for name in sorted(self.loaded):
            self.order(UnloadModel(name))
            self.from_engine(ModelUnloaded)
        self.loaded.clear()
        for row in range(4):
            self.page.forget_model(row)
        if self.worker is not None:
            self.worker.close()
        self.slots = Slots(self.segment)
        self.worker = self.another_worker()

    def another_worker(self):
        return Dealer(self.context, self.address, f"worker-{next(self._numbers)}", 1)

    def from_engine(self, *kinds):
        """What the engine says to the API process next, heartbeats left out."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            received = self.api.recv(1)
            if received is not None and isinstance(received.message, kinds):
                return received.message
        raise AssertionError(f"the engine did not say {kinds}")

    def order(self, message):
        assert self.api.send(b"engine", message)

    def load(self, made, row=0):
        self.loaded.add(made.manifest.id)
        self.order(LoadModel(made.manifest.id, str(made.folder), row))
        return self.from_engine(ModelLoaded, ModelFailed)

    def frame(self, level) -> FrameRef:
        ref, array = self.slots.take((SIDE, SIDE, 3))
        array[:] = level
        return ref

    def ask(self, model, level, seq, stream="s", **options):
        ref = level if isinstance(level, FrameRef) else self.frame(level)
        self.worker.send(Infer(stream, seq, model, ref, options.pop("priority", Priority.JOB), **options))
        return ref

    def answer(self, worker=None):
        received = (worker or self.worker).recv(10)
        assert received is not None, "no answer"
        if isinstance(received.message, InferDone) and received.message.error is None:
            meta = received.message.outputs[0]
            return received.message, np.frombuffer(received.payload[0], meta.dtype).reshape(meta.shape)
        return received.message, received.payload

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.worker.close()
        self.api.close()
        self.context.term()
        self.segment.close()
        self.page_file.close()


@pytest.fixture
def start(tmp_path):
    """Starts an engine of the test's own."""
    yield from benches(EngineUnderTest, tmp_path)


@pytest.fixture(scope="module")
def shared_engine(tmp_path_factory):
    engine = EngineUnderTest(tmp_path_factory.mktemp("engine"))
    yield engine
    engine.close()


@pytest.fixture
def engine(shared_engine):
    """An engine in which nothing is loaded; the process is the same for all tests."""
    shared_engine.begin()
    assert shared_engine.process.poll() is None
    return shared_engine


@pytest.fixture
def mean(tmp_path):
    return bundle(tmp_path / "mean", mean_graph())


@pytest.fixture
def total(tmp_path):
    return bundle(tmp_path / "total", sum_graph(), recurrent=True)


def test_frames_come_back_as_outputs_in_order(engine, mean):
    assert engine.load(mean).provider == "cpu"
    for seq in range(1, 21):
        engine.ask("mean@1", seq, seq)
    for seq in range(1, 21):
        done, probabilities = engine.answer()
        assert done.seq == seq
        assert np.allclose(probabilities, seq / 255)
        assert 1 <= done.batch <= 4
        assert done.infer_s > 0


def test_batches_are_counted_by_size_and_reason(engine, mean):
    engine.load(mean, row=3)
    for seq in range(1, 11):
        engine.ask("mean@1", 9, seq)
    frames = sum(engine.answer()[0].seq > 0 for _ in range(10))
    sizes, closed = engine.page.batch_size(3), engine.page.batch_closed(3)
    assert sizes.sum == frames == 10
    assert sum(closed.values()) == sizes.cumulative[-1][1] == engine.page.inference(3).cumulative[-1][1]
    assert engine.page.queue_depth(3) == 0


@pytest.mark.parametrize("size", [1, 4])
def test_streams_take_turns_in_a_model_whose_batch_is_fixed(engine, tmp_path, size):
    fixed = bundle(tmp_path / "fixed", fixed_graph(size), batch=Batch(fixed=size))
    assert engine.load(fixed).max_batch == size
    for seq in range(1, 9):
        for stream, level in (("a", 10), ("b", 100), ("c", 200)):
            engine.ask("fixed@1", level + seq, seq, stream=stream)
    levels = {}
    for _ in range(24):
        done, probabilities = engine.answer()
        assert 1 <= done.batch <= size
        levels.setdefault(done.stream, []).append([round(float(share) * 255) for share in probabilities])
    assert levels == {
        stream: [[level + seq] * 3 for seq in range(1, 9)] for stream, level in (("a", 10), ("b", 100), ("c", 200))
    }
    assert engine.page.batch_size(0).sum == 24


def test_a_recurrent_model_keeps_the_streams_apart(engine, total):
    engine.load(total)
    for seq in range(1, 6):
        engine.ask("total@1", 10, seq, stream="a")
        engine.ask("total@1", 1, seq, stream="b")
    sums = {}
    for _ in range(10):
        done, probabilities = engine.answer()
        sums.setdefault(done.stream, []).append(round(float(probabilities[0]) * 255))
    assert sums == {"a": [10, 20, 30, 40, 50], "b": [1, 2, 3, 4, 5]}


def test_state_can_be_saved_put_back_reset_and_forgotten(engine, total):
    engine.load(total)

    def step(seq, **options):
        engine.ask("total@1", 10, seq, **options)
        return round(float(engine.answer()[1][0]) * 255)

    assert [step(1), step(2)] == [10, 20]
    engine.worker.send(GetState("s", "total@1"))
    answer, saved = engine.answer()
    assert answer == StateRows("s", True)
    assert step(3) == 30
    engine.worker.send(PutState("s", "total@1"), saved)
    assert step(4) == 30
    assert step(5, reset=True) == 10
    engine.worker.send(Cancel("s", forget=True))
    assert isinstance(engine.answer()[0], Cancelled)
    engine.worker.send(GetState("s", "total@1"))
    assert engine.answer()[0] == StateRows("s", False)
    assert step(6) == 10


def test_a_frame_that_makes_the_run_fail_fails_alone(engine, tmp_path):
    engine.load(bundle(tmp_path / "failing", failing_graph()))
    for seq in range(1, 9):
        engine.ask("failing@1", 0 if seq == 3 else 50, seq)
    errors = [engine.answer()[0].error for _ in range(8)]
    assert errors == [None, None, "run_failed", None, None, None, None, None]
    assert engine.page.inference_errors(0)["run_failed"] == 1


def test_a_frame_that_was_given_away_fails_alone(engine, mean):
    engine.load(mean)
    good = engine.frame(5)
    stale = FrameRef("shm", good.owner, good.slot, good.generation + 1, good.shape, good.dtype)
    engine.ask("mean@1", stale, 1)
    engine.ask("mean@1", good, 2)
    engine.ask("mean@1", FrameRef("shm", f"{PREFIX}gone", 0, 1, good.shape, good.dtype), 3)
    assert [engine.answer()[0].error for _ in range(3)] == ["stale_frame", None, "stale_frame"]


def test_a_live_frame_past_its_deadline_is_stale_and_not_run(engine, mean):
    engine.load(mean)
    engine.ask("mean@1", 5, 1, priority=Priority.LIVE, deadline=time.monotonic() - 1)
    assert engine.answer()[0].error == "stale"
    assert engine.page.batch_size(0).sum == 0


def test_a_model_that_is_not_loaded_is_an_error_and_not_a_wait(engine):
    engine.ask("nobody@1", 5, 1)
    done, _ = engine.answer()
    assert (done.error, done.message) == ("not_loaded", "nobody@1 is not loaded.")


def test_a_cancel_is_acknowledged_when_no_slot_is_held_any_more(engine, mean):
    engine.load(mean)
    for seq in range(1, 31):
        engine.ask(
            "mean@1",
            engine.frame(1) if seq == 1 else FrameRef("shm", engine.segment.name, 0, 1, (4, 4, 3), "uint8"),
            seq,
        )
    engine.worker.send(Cancel("s"))
    answered, dropped = [], None
    while dropped is None:
        message, _ = engine.answer()
        if isinstance(message, Cancelled):
            dropped = message.seqs
        else:
            answered.append(message.seq)
    assert sorted([*answered, *dropped]) == list(range(1, 31))


def test_a_damaged_bundle_does_not_serve(engine, mean):
    (mean.folder / "model.onnx").write_bytes(b"changed")
    failed = engine.load(mean)
    assert failed.code == "bundle_invalid"
    assert "model.onnx" in failed.message


def test_what_a_dead_worker_left_does_not_reach_its_successor(engine, total):
    engine.load(total)
    engine.ask("total@1", 10, 1, stream="job")
    engine.answer()
    successor = engine.another_worker()
    successor.send(Infer("job", 1, "total@1", engine.frame(10), Priority.JOB))
    _, probabilities = engine.answer(successor)
    assert round(float(probabilities[0]) * 255) == 10
    successor.send(GetState("job", "total@1"))
    assert engine.answer(successor)[0] == StateRows("job", True)
    engine.worker.send(GetState("job", "total@1"))
    assert engine.answer()[0] == StateRows("job", False)
    successor.close()


def test_saved_state_of_another_model_stops_the_stream_and_nobody_else(engine, total):
    engine.load(total)
    engine.worker.send(PutState("s", "total@1"), [b"too short"])
    engine.ask("total@1", 1, 1)
    engine.ask("total@1", 1, 1, stream="other")
    errors = {message.stream: message.error for message, _ in (engine.answer(), engine.answer())}
    assert errors == {"s": "state_refused", "other": None}
    engine.ask("total@1", 1, 2, reset=True)
    assert engine.answer()[0].error is None


def test_what_is_not_a_message_is_dropped_and_the_engine_goes_on(engine, mean):
    engine.load(mean)
    engine.worker.socket.send_multipart([b"neither", b"this nor that"])
    engine.ask("mean@1", 5, 1)
    assert engine.answer()[0].error is None


def test_a_frame_of_another_shape_is_refused(engine, mean):
    engine.load(mean)
    ref, _ = engine.slots.take((SIDE, SIDE, 1))
    engine.ask("mean@1", ref, 1)
    done, _ = engine.answer()
    assert (done.error, "[4, 4, 3]" in done.message) == ("frame_refused", True)


def test_a_fixed_batch_is_padded_and_its_padding_not_answered(engine, tmp_path):
    made = bundle(tmp_path / "fixed", mean_graph(), batch=Batch(fixed=4))
    assert engine.load(made).max_batch == 4
    engine.ask("fixed@1", 7, 1)
    done, probabilities = engine.answer()
    assert done.batch == 1
    assert np.allclose(probabilities, 7 / 255)
    assert engine.worker.recv(0.2) is None


def test_an_unloaded_model_finishes_what_it_has_and_is_gone(engine, mean):
    engine.load(mean)
    for seq in range(1, 9):
        engine.ask("mean@1", seq, seq)
    engine.order(UnloadModel("mean@1"))
    engine.from_engine(ModelUnloaded)
    answers = [engine.answer()[0].error for _ in range(8)]
    assert set(answers) <= {None, "not_loaded"}
    engine.ask("mean@1", 1, 9)
    assert engine.answer()[0].error == "not_loaded"


def test_two_versions_serve_side_by_side_while_one_is_loaded(engine, mean, total):
    engine.load(mean)
    engine.ask("mean@1", 1, 1)
    engine.load(total, row=1)
    engine.ask("total@1", 1, 1, stream="t")
    assert {engine.answer()[0].error for _ in range(2)} == {None}


def test_a_quick_model_does_not_wait_for_batches_of_a_costly_one(start, mean, tmp_path):
    engine = start(running=running(max_batch=1))
    engine.load(mean)
    engine.load(bundle(tmp_path / "slow", slow_graph()), row=1)
    for seq in range(1, 13):
        engine.ask("slow@1", 1, seq, stream="job")
    engine.ask("mean@1", 1, 1, stream="gate")
    order = [engine.answer()[0].stream for _ in range(13)]
    assert order.index("gate") < 10


def test_at_rest_it_measures_what_was_not_measured_and_the_next_load_knows(start, mean, tmp_path):
    choices = tmp_path / "tuning.json"
    engine = start(
        running=running(sessions=None, max_batch=1, choices=str(choices)), tuning=Tuning(after_s=0.1, tolerance=1.0)
    )
    engine.load(mean)
    until = time.monotonic() + 240
    while not choices.exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    engine.order(UnloadModel("mean@1"))
    engine.from_engine(ModelUnloaded)
    kept = json.loads(choices.read_text())["entries"][0]["choice"]
    loaded = engine.load(mean)
    assert (loaded.sessions, loaded.threads, loaded.max_batch) == (
        kept["sessions"],
        kept["threads"],
        kept["max_batch"],
    )
    assert f"threads={kept['threads']} {kept['optimization']}" in loaded.settings


def test_a_provider_that_is_not_there_is_said(start, mean):
    loaded = start(running=running(provider="cuda")).load(mean)
    assert (loaded.provider, loaded.asked) == ("cpu", "cuda")
    assert loaded.why


def test_a_required_provider_that_is_not_there_is_a_failure(start, mean):
    failed = start(running=running(provider="cuda", require_provider=True)).load(mean)
    assert failed.code == "provider_unavailable"
    assert "vidserve doctor" in failed.message


def test_what_runs_when_it_is_stopped_is_answered_or_left_but_the_exit_is_in_order(start, mean):
    engine = start()
    engine.load(mean)
    for seq in range(1, 21):
        engine.ask("mean@1", seq, seq)
    engine.order(Stop())
    assert engine.process.wait(60) == 0
    seqs = []
    while (received := engine.worker.recv(0)) is not None:
        assert received.message.error is None
        seqs.append(received.message.seq)
    assert seqs == list(range(1, len(seqs) + 1))


def test_it_says_every_second_that_it_lives(start):
    start().from_engine(Heartbeat)


def test_it_ends_when_asked(start):
    engine = start()
    engine.order(Stop())
    assert engine.process.wait(60) == 0


def test_it_ends_when_its_parent_is_gone(start):
    engine = start()
    engine.process.stdin.close()
    # In order, or, where it takes longer than it may, at once.
    assert engine.process.wait(60) in (0, 70)


def test_what_has_run_is_told_to_whoever_asks(engine, mean):
    engine.load(mean)
    for seq in range(1, 4):
        engine.ask("mean@1", seq, seq)
    for _ in range(3):
        engine.answer()
    engine.worker.send(GetTally())
    [tally] = engine.answer()[0].models
    assert (tally.model, tally.rows, tally.success.count, tally.fail.count) == ("mean@1", 3, 3, 0)
    assert tally.run.seconds > 0
