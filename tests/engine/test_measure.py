"""Real sessions of small models; how fast they are is not looked at."""

import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from engine_builders import bundle, mean_graph, running, sum_graph
from onnx import numpy_helper

from model_export.manifest import Batch
from server.core.log import LogConfig
from server.engine.loading import load
from server.engine.session import SessionFailed
from server.engine.tuning.choices import Choices
from server.engine.tuning.contest import OnnxContestant
from server.engine.tuning.gate import GateCost, measure_gate
from server.engine.tuning.idle import MeasuringProcess
from server.engine.tuning.measure import measure
from server.engine.tuning.order import Ending, TuneOrder
from server.engine.tuning.search import Candidate


@pytest.fixture
def mean(tmp_path):
    return bundle(tmp_path / "mean", mean_graph())


@pytest.fixture
def kept(tmp_path):
    """Settings that leave as little open as possible: what is left to try takes a second or two."""
    return running(sessions=2, threads=1, max_batch=1, choices=str(tmp_path / "tuning.json"))


def contestant(made, *what):
    return OnnxContestant(made, "cpu", Candidate(*what))


def test_a_contestant_runs_in_all_lanes_at_once(mean):
    frames = []
    runner = contestant(mean, 2, 1, 4, "all")
    assert runner.rate(0.01, after=frames.append) > 0
    assert set(frames) == {4}
    assert len(frames) >= 2
    assert runner.run_s() > 0
    runner.close()


def test_its_answer_is_the_same_whatever_the_batch(mean):
    answers = []
    for batch in (1, 2, 4):
        runner = contestant(mean, 1, 1, batch, "extended")
        answers.append(runner.answer()["probabilities"].tolist())
        runner.close()
    assert answers[0] == answers[1] == answers[2]


def test_a_way_that_gives_other_answers_than_the_golden_ones_cannot_run(tmp_path):
    graph = mean_graph()
    white = next(c for c in graph.graph.initializer if c.name == "white")
    white.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(white) * 2, "white"))
    with pytest.raises(SessionFailed, match="answers otherwise"):
        contestant(bundle(tmp_path / "wrong", graph), 1, 1, 1, "all")


def test_a_model_with_state_is_measured_too(tmp_path, kept):
    made = bundle(tmp_path / "total", sum_graph(), recurrent=True)
    found = measure(made, running(sessions=None, threads=1, max_batch=2))
    assert {row.candidate.batch for row in found.outcome.rows} == {1, 2}
    assert found.choice.run_s > 0


def test_a_fixed_batch_is_the_only_one_that_is_tried(tmp_path, kept):
    made = bundle(tmp_path / "fixed", mean_graph(), batch=Batch(fixed=3))
    found = measure(made, kept)
    assert {row.candidate.batch for row in found.outcome.rows} == {3}
    assert found.choice.max_batch == 3
    choices = Choices(Path(kept.choices))
    choices.put(found.subject, found.choice)
    assert choices.find(found.subject) == (found.choice, True)


def test_a_gate_runs_for_every_frame_of_the_model_beside_it(mean):
    model, gate = contestant(mean, 2, 1, 1, "all"), contestant(mean, 1, 1, 1, "all")
    cost = measure_gate(model, gate, slice_s=0.02)
    assert min(cost.alone_s, cost.beside_s, cost.ungated_s, cost.gated_s) > 0
    model.close()
    gate.close()


@pytest.mark.parametrize(("gated", "share"), [(50.0, 1.0), (80.0, 0.25), (100.0, 0.0), (101.0, 0.0)])
def test_a_gate_pays_when_it_spares_more_than_it_takes(gated, share):
    assert GateCost(0.002, 0.003, ungated_s=100.0, gated_s=gated).pays_from == share


def process(made, options, tolerance=1.0):
    return MeasuringProcess(TuneOrder(str(made.folder), options, tolerance, LogConfig(level="error", process="tuning")))


def end_of(measurement):
    until = time.monotonic() + 240
    while (code := measurement.poll()) is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    return code


def test_a_process_that_measures_leaves_a_choice_for_the_next_load(mean, kept):
    assert end_of(process(mean, kept)) == Ending.KEPT
    model = load("mean@1", mean.folder, 0, kept)
    assert model.measured
    assert not load("mean@1", mean.folder, 0, running()).measured


def test_a_machine_that_others_use_is_not_measured(mean, kept, tmp_path):
    assert end_of(process(mean, kept, tolerance=-1.0)) == Ending.DISTURBED
    assert not (tmp_path / "tuning.json").exists()


def test_a_process_that_is_killed_leaves_nothing(mean, kept, tmp_path):
    measurement = process(mean, kept)
    measurement.kill()
    assert end_of(measurement) != 0
    assert not (tmp_path / "tuning.json").exists()


def test_a_graph_that_does_not_load_is_not_measured(mean, kept):
    mean.model.write_bytes(b"no graph")
    assert end_of(process(mean, kept)) == Ending.FAILED


def test_a_choice_that_cannot_be_kept_is_no_choice(mean, tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert (
        end_of(process(mean, running(sessions=1, max_batch=1, choices=str(tmp_path / "file" / "tuning.json"))))
        == Ending.FAILED
    )


def test_it_ends_when_nobody_waits_for_it_any_more(mean, kept, tmp_path):
    order = TuneOrder(str(mean.folder), kept, 1.0, LogConfig(level="error", process="tuning"))
    command = [sys.executable, "-m", "server.engine.tuning.process"]
    done = subprocess.run(command, input=msgspec.json.encode(order) + b"\n", timeout=60, check=False)
    assert done.returncode == 1
    assert not (tmp_path / "tuning.json").exists()
